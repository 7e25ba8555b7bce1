#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.
"""Random sequences of operations, and whether Cinder and the cluster agree.

A sequence goes through Cinder's VolumeManager and a real database on one
side and the simulated cluster on the other, while requests fail, nodes go
down, other writers change access lists and the volume service dies. What the
API service of Cinder does around a call of the manager is done here.

Everything random comes from the sequence's seed, each step from a seed of
its own, so that a failing sequence stays the same while steps are left out.

Where Cinder and the cluster may differ:

* A record in status error: its volume or snapshot may or may not be there.
* error_extending: the volume may have the size that was asked for.
* A detach that failed: Cinder keeps the attachment, and the host may have
  lost its access, or not.
* An attach that failed and ran out of time, or was refused twice for good,
  the second time while it took back what it had added: the host may have
  access although Cinder has no connector for it. Likewise when the service
  died meanwhile, also in the middle of a copy of its own.
* Husks in state Failed, which LightOS does not delete, and snapshots in
  Deleting, which it keeps while clones of them live.
* Temporary snapshots, until their retention time is over; and one without
  it where the cluster refused that.
* Addresses of hosts that were detached while a host was attached with the
  old calls: nobody knows whether that one has them, too.
* A list at ALLOW_ANY, which the driver leaves as it is.
"""

import collections
import random
from typing import Any, Callable, Iterable, Optional

from oslo_utils import units

from cinder import exception
from cinder import objects
from cinder.objects import fields
from cinder.tests.functional.lightos import model_cinder
from cinder.tests.functional.lightos import model_wire
from lightos_simulator import api
from lightos_simulator import model
from lightos_simulator import records
from lightos_simulator import settings

# Seconds an operation may take, and by how much it may be late: the last
# request is given a moment also when the time is up.
ATTACH_SECONDS = 0.75 * model_cinder.RPC_TIMEOUT
OTHER_SECONDS = 3 * model_cinder.SERVICE_TIMEOUT + 10
LATE = 0.5
# An operation that took all its time but so much had none left to look.
LAST_LOOK = 1.0
# So many passing faults must not make an operation fail.
MOST_PASSING = 2
TWO_DAYS = 2 * 86400.0
ALLOW_ANY = 'ALLOW_ANY'
ALLOW_NONE = 'ALLOW_NONE'
TEMPORARY = 'for_clone_'
BY_NQN = {host.nqn: host for host in model_cinder.HOSTS}
MOST_STEPS = 7
GONE = ('Failed', 'Deleting', 'Deleted')

# How often each kind of step comes, in comparison.
STEPS = {
    'create': 6, 'create_from_snapshot': 3, 'clone': 4, 'extend': 3,
    'delete': 4, 'create_snapshot': 4, 'delete_snapshot': 3, 'attach': 8,
    'detach': 6, 'attach_the_old_way': 2, 'detach_the_old_way': 2,
    'copy_of_own': 3, 'force_detach': 1, 'detach_all': 1,
    'detach_without_nqn': 1, 'restart': 2, 'statistics': 1, 'node': 2,
    'work_times': 1, 'others_access': 2, 'migrate_replica': 1}

# Answers that say nothing false about the cluster: a 404 for what is there,
# or a refusal of what is done, would leave a client no way to know better.
ERRORS = ((400, 3), (400, 9), (401, 16), (403, 7), (409, 10), (412, 9),
          (429, 8), (500, 13), (501, 12), (502, 14), (503, 14), (504, 4))
CHANGES = ('CreateVolume', 'UpdateVolume', 'DeleteVolume', 'CreateSnapshot',
           'DeleteSnapshot')
LOOKS = ('GetVolume', 'ListVolumes', 'GetSnapshot', 'ListSnapshots')
CAN_FAIL = ('CreateVolume', 'CreateSnapshot', 'DeleteVolume',
            'DeleteSnapshot')


class Disagreement(Exception):
    """Cinder and the cluster differ where they must not."""


class Sequence:
    """One random sequence.

    :param only: the numbers of the only steps to do; None for all
    :param log: called with every step and every request
    """

    def __init__(self, environment: model_cinder.Environment, seed: int,
                 only: Optional[Iterable[int]] = None,
                 log: Optional[Callable[[str], None]] = None) -> None:
        self._environment = environment
        self._context = environment.context
        self._seed = seed
        self._only = None if only is None else set(only)
        self._log = log or (lambda line: None)
        self._rng = random.Random('%d/plan' % seed)
        self._clock = model_wire.Clock()
        self._cluster = model.Cluster(
            self._clock, model_cinder.ADDRESSES, self._assumptions(),
            uuid='c1c1c1c1-0000-4000-8000-%012d' % seed)
        self._world = self._cluster.world
        self._world.add_project('blue')
        self._wire = model_wire.Wire(
            self._clock, api.Api(self._cluster), model_cinder.ADDRESSES)
        self._wire.log = log
        self._use_ipacl = self._rng.random() < 0.8
        self._draw_work_times()
        # Without a volume hardly any other step does anything.
        self.steps = ['create'] + self._rng.choices(
            list(STEPS), STEPS.values(),
            k=self._rng.randint(3, MOST_STEPS - 1))
        self.outcomes: collections.Counter[tuple[str, bool]] = \
            collections.Counter()
        self._volumes: list[str] = []
        self._snapshots: list[str] = []
        # Sizes in GiB that a volume may have, where not only its record's.
        self._sizes: dict[str, set[int]] = {}
        # Hosts attached with the old calls, whose rows have no connector.
        self._old: set[tuple[str, str]] = set()
        # Volumes that were attached with the old calls at any time.
        self._had_old: set[str] = set()
        # Hosts that may or may not have access, see above.
        self._uncertain: set[tuple[str, str]] = set()
        # What another writer put into a volume's list.
        self._others: set[tuple[str, str]] = set()
        # UUIDs of volumes of somebody else, by the record's id.
        self._squatters: dict[str, tuple[str, int]] = {}
        self._retention_refused = False
        self._name = ''
        self._at_rest = False

    # The run

    def run(self) -> None:
        """:raises: Disagreement"""
        self._environment.play(self._seed, self._wire, self._clock,
                               self._run)

    def _run(self) -> None:
        self._start()
        for number, name in enumerate(self.steps):
            if self._only is not None and number not in self._only:
                continue
            self._rng = random.Random('%d/%d' % (self._seed, number))
            random.seed(self._rng.random())
            self._environment.uuids.seed(self._rng.random())
            self._wire.calm(self._rng.random())
            self._log('step %d: %s' % (number, name))
            self._name = name
            self._at_rest = self._is_at_rest()
            if name not in ('restart', 'node', 'work_times'):
                self._draw_faults()
            getattr(self, '_' + name)()
            self._retention_refused |= any(
                'CreateSnapshot' in each for each in self._wire.struck)
        self._heal()
        self._compare()
        self._clean_up()

    def _start(self) -> None:
        self._nodes_are_well = set(self._wire.node_modes.values()) == {'up'}
        self._manager = self._environment.start_service(self._use_ipacl)
        if not self._manager.driver.initialized:
            raise Disagreement('the driver does not start')
        for method, seconds in (
                ('create_volume', OTHER_SECONDS),
                ('create_volume_from_snapshot', OTHER_SECONDS),
                ('create_cloned_volume', OTHER_SECONDS),
                ('delete_volume', OTHER_SECONDS),
                ('extend_volume', OTHER_SECONDS),
                ('create_snapshot', OTHER_SECONDS),
                ('delete_snapshot', OTHER_SECONDS),
                ('initialize_connection', ATTACH_SECONDS),
                ('terminate_connection', ATTACH_SECONDS)):
            self._watch(method, seconds)

    def _watch(self, method: str, seconds: float) -> None:
        """See to it that a method is in time and raises what it may."""
        original = getattr(self._manager.driver, method)

        def watched(*args: Any, **kwargs: Any) -> Any:
            began = self._clock.now
            try:
                return original(*args, **kwargs)
            except exception.CinderException as exc:
                self._log('  %s: %s' % (type(exc).__name__, exc))
                raise
            except Exception as exc:
                self._unexpected = '%s raised %r' % (method, exc)
                raise
            finally:
                self._took = self._clock.now - began
                if self._took > seconds + LATE:
                    self._unexpected = '%s took %.1f s' % (method, self._took)

        setattr(self._manager.driver, method, watched)

    def _attempt(self, call: Callable[..., Any], *args: Any,
                 **kwargs: Any) -> bool:
        """Whether a call succeeded; if the service died, start it again."""
        self._unexpected = ''
        self._took = 0.0
        self._died = False
        try:
            call(self._context, *args, **kwargs)
            succeeded = True
        except exception.CinderException:
            succeeded = False
        except model_wire.ServiceDied:
            self._log('  the service dies')
            self._died = True
            succeeded = False
        self.outcomes[self._name, succeeded] += 1
        if self._unexpected:
            raise Disagreement(self._unexpected)
        if self._died:
            self._wire.calm()
            self._in_fair_weather(self._start)
        return succeeded

    def _is_at_rest(self) -> bool:
        """Whether nothing but the faults to come keeps the cluster busy."""
        self._world.settle()
        return self._nodes_are_well and max(
            self._world.work_times.as_dict().values()) <= 2 and not any(
            volume.work for volume in self._world.volumes)

    def _expect_excuse(self, what: str) -> None:
        """Passing trouble of a request or two is none for giving up."""
        struck = self._wire.struck
        if (self._at_rest and len(struck) <= MOST_PASSING and
                not self._died and not self._wire.final_faults and
                not any(slow in each for each in struck
                        for slow in ('hang', 'delay', 'fail-object'))):
            raise Disagreement('could not %s because of %s' % (what, struck))

    # Trouble

    def _assumptions(self) -> settings.Assumptions:
        def often(share: float) -> bool:
            return self._rng.random() < share

        holds = often(0.2)
        return settings.Assumptions(
            omit_zero=often(0.5), ip_acl=often(0.85),
            compression_words=often(0.3), same_size_refused=often(0.5),
            if_match_400=often(0.3), updating_conflicts=often(0.3),
            updating_hidden=often(0.2), delete_while_busy=often(0.3),
            deleting_name_fails=often(0.2),
            one_snapshot_at_a_time=often(0.5), snapshots_hold_volume=holds,
            failed_snapshot_deletable=holds or often(0.3))

    def _draw_work_times(self) -> None:
        for operation in settings.WORKING_OPERATIONS:
            low, high = self._rng.choices(
                ((0, 0), (0, 2), (2, 20), (20, 150)), (8, 3, 0.7, 0.15))[0]
            self._world.work_times.set(
                {operation: self._rng.uniform(low, high)})

    def _draw_faults(self) -> None:
        if self._rng.random() < 0.45:
            return
        if self._rng.random() < 0.12:
            self._wire.die_at = self._rng.randint(1, 5)
            self._wire.dies_after = self._rng.random() < 0.6
        for _number in range(self._rng.choice((1, 1, 1, 2, 3))):
            self._wire.rules.add(self._fault())
        self._wire.before_update = self._other_writer(
            self._rng.choice((0, 0, 0.3, 0.6)))

    def _fault(self) -> dict[str, Any]:
        rng = self._rng
        operation = rng.choice((None, *CHANGES, *CHANGES, *LOOKS))
        fault: dict[str, Any] = {
            'operation': operation,
            'skip': rng.choice((0, 0, 0, 1, 1, 2, 4)),
            'times': rng.choices((1, 2, 4, None), (6, 2, 1, 0.5))[0]}
        action = rng.choice(('status', 'status', 'status', 'lose-reply',
                             'lose-reply', 'lose-reply', 'drop',
                             'half-reply', 'html', 'empty', 'hang', 'delay',
                             'body', 'fail-object'))
        if action == 'fail-object' and operation not in CAN_FAIL:
            action = 'lose-reply'
        fault['action'] = action
        if action == 'status':
            fault['status'], fault['code'] = rng.choice(ERRORS)
            if fault['status'] >= 500:
                fault['execute'] = rng.random() < 0.5
            if fault['status'] == 429:
                fault['headers'] = {'Retry-After': str(rng.randint(1, 5))}
        elif action == 'html':
            fault['status'] = rng.choice((None, 500, 502, 503))
            fault['execute'] = rng.random() < 0.5
        elif action == 'empty':
            fault['execute'] = rng.random() < 0.5
        elif action == 'delay':
            fault['delay'] = rng.uniform(0.1, 40)
        elif action == 'body':
            fault['body'] = rng.choice(
                ([], 'null', {'UUID': 7}, {'size': '1 gib'}))
        elif action == 'hang':
            fault['execute'] = rng.random() < 0.5
        return fault

    def _other_writer(self, share: float) -> Callable[[str], None]:
        rng = random.Random(self._rng.random())

        def write(volume_uuid: str) -> None:
            if rng.random() < share:
                volume = self._world.volumes.get(volume_uuid)
                if volume is not None:
                    self._write_access(volume, rng)

        return write

    def _write_access(self, volume: records.Volume,
                      rng: random.Random) -> None:
        """Another writer lets a host in or out, or touches the volume."""
        if volume.work is not None or volume.state not in ('Available',
                                                           'Migrating'):
            return
        nqn = 'nqn.2014-08.org.nvmexpress:uuid:other%d' % rng.randint(1, 2)
        entry = (volume.name.replace('volume-', ''), nqn)
        if rng.random() < 0.3 or ALLOW_ANY in volume.acl:
            self._world.touch(volume)
        elif entry in self._others:
            self._others.discard(entry)
            acl = tuple(each for each in volume.acl if each != nqn)
            self._cluster.volumes.force(volume, acl=acl or (ALLOW_NONE,))
        else:
            self._others.add(entry)
            acl = tuple(each for each in volume.acl if each != ALLOW_NONE)
            self._cluster.volumes.force(volume, acl=(*acl, nqn))
        self._log('  another writer: %s' % (volume.acl,))

    def _heal(self) -> None:
        """End all trouble and let the cluster come to rest."""
        self._wire.calm()
        self._wire.before_update = None
        self._set_nodes(dict.fromkeys(model_cinder.ADDRESSES, 'up'))
        self._world.work_times.set(dict.fromkeys(
            settings.WORKING_OPERATIONS, 0.0))
        for volume in self._world.volumes:
            if volume.state == 'Migrating':
                self._cluster.volumes.force(volume, state='Available')
        self._clock.advance(400)
        self._world.settle()

    def _in_fair_weather(self, deed: Callable[[], Any]) -> None:
        modes = dict(self._wire.node_modes)
        self._set_nodes(dict.fromkeys(model_cinder.ADDRESSES, 'up'))
        deed()
        self._set_nodes(modes)
        self._nodes_are_well = set(modes.values()) == {'up'}

    def _set_nodes(self, modes: dict[str, str]) -> None:
        self._wire.node_modes.update(modes)
        for node in self._world.nodes:
            self._cluster.set_node_state(
                node, 'Inactive' if modes[node.address] == 'refused'
                else 'Active')

    # Steps: trouble

    def _node(self) -> None:
        modes = dict.fromkeys(model_cinder.ADDRESSES, 'up')
        for address in self._rng.sample(
                model_cinder.ADDRESSES, self._rng.choice((0, 0, 1, 1, 2))):
            modes[address] = self._rng.choice(
                ('refused', 'unreachable', 'hung'))
        self._log('  %s' % modes)
        # The driver may take a while to trust a node again.
        self._nodes_are_well = False
        self._set_nodes(modes)

    def _work_times(self) -> None:
        self._draw_work_times()

    def _restart(self) -> None:
        self._use_ipacl ^= self._rng.random() < 0.2
        self._in_fair_weather(self._start)

    def _statistics(self) -> None:
        driver = self._manager.driver
        if not self._attempt(
                lambda context: driver.get_volume_stats(refresh=True)) and \
                not self._died:
            raise Disagreement('get_volume_stats raised')

    def _migrate_replica(self) -> None:
        volume = self._any_on_cluster()
        if volume is not None and volume.work is None:
            self._cluster.volumes.force(
                volume, state='Available' if volume.state == 'Migrating'
                else 'Migrating')

    def _others_access(self) -> None:
        volume = self._any_on_cluster()
        if volume is None or volume.work is not None:
            return
        if self._rng.random() < 0.8:
            self._write_access(volume, self._rng)
            return
        cinder_id = volume.name.replace('volume-', '')
        self._others = {entry for entry in self._others
                        if entry[0] != cinder_id}
        self._cluster.volumes.force(volume, acl=(ALLOW_ANY,))

    def _any_on_cluster(self) -> Optional[records.Volume]:
        self._world.settle()
        # A volume that no operation has reported yet is nobody's to touch.
        volume = self._choose_volume('available', 'in-use')
        found = volume and self._on_cluster(volume)
        return found if found and found.state in (
            'Available', 'Migrating') else None

    # Steps: volumes and snapshots

    def _create(self) -> None:
        self._create_volume(self._rng.randint(1, 3),
                            self._rng.choice(self._environment.types))

    def _create_from_snapshot(self) -> None:
        snapshot = self._choose_snapshot('available')
        if snapshot is not None:
            self._create_volume(
                snapshot.volume_size + self._rng.choice((0, 0, 1)),
                self._a_type_for(snapshot), snapshot_id=snapshot.id)

    def _clone(self) -> None:
        source = self._choose_volume('available', 'in-use')
        if source is not None:
            # As the records that Cinder copies for temporary volumes.
            inherited = {'provider_id': source.provider_id} \
                if self._rng.random() < 0.3 else {}
            self._create_volume(
                source.size + self._rng.choice((0, 0, 1)),
                self._a_type_for(source), source_volid=source.id, **inherited)

    def _a_type_for(self, source: Any) -> objects.VolumeType:
        if self._rng.random() < 0.15:
            return self._rng.choice(self._environment.types)
        return next(each for each in self._environment.types
                    if each.id == source.volume_type_id)

    def _create_volume(self, size: int, volume_type: objects.VolumeType,
                       **values: Any) -> None:
        volume = objects.Volume(
            self._context, size=size, volume_type_id=volume_type.id,
            status='creating', host=model_cinder.POOL,
            user_id=self._context.user_id,
            project_id=self._context.project_id,
            attach_status=fields.VolumeAttachStatus.DETACHED,
            availability_zone='nova', multiattach=self._rng.random() < 0.7,
            **values)
        volume.create()
        self._volumes.append(volume.id)
        self._log('  %s %s' % (volume.id, size))
        taken = self._rng.random() < 0.07
        if taken:
            self._squat(volume)
        retry = {'retry': {'num_attempts': 1}} \
            if self._rng.random() < 0.5 else {}
        made = self._send_create(volume, retry)
        rescheduled = self._manager.scheduler_rpcapi.rescheduled
        again = bool(rescheduled)
        if self._died and self._rng.random() < 0.5:
            # The message was not acknowledged, so it comes once more.
            again = True
        rescheduled.clear()
        volume = self._volume(volume.id)
        if again:
            volume.update({'status': 'creating', 'host': model_cinder.POOL})
            volume.save()
            made = self._send_create(volume, {})
            volume = self._volume(volume.id)
        if made:
            self._expect_volume(volume)
        elif volume.status == 'error':
            if not (values or taken):
                self._expect_excuse('create %s' % volume.id)
        else:
            raise Disagreement('%s was not created and is %s'
                               % (volume.id, volume.status))

    def _send_create(self, volume: objects.Volume,
                     properties: dict[str, Any]) -> bool:
        return self._attempt(
            self._manager.create_volume, volume, {
                'volume_id': volume.id, 'snapshot_id': volume.snapshot_id,
                'source_volid': volume.source_volid}, properties)

    def _squat(self, volume: objects.Volume) -> None:
        """Somebody has made another volume of the name to come."""
        specs = volume.volume_type.extra_specs
        size, replicas, compression = (
            volume.size, int(specs.get('lightos:num_replicas', 3)),
            'compression' in specs)
        differs = self._rng.randrange(3)
        response = self._wire.ask(
            'POST', '/api/v2/projects/%s/volumes' % specs.get(
                'lightos:project_name', 'default'),
            {'name': 'volume-' + volume.id,
             'size': '%d gib' % (size + (differs == 0)),
             'replicaCount': replicas % 3 + 1 if differs == 1 else replicas,
             'compression': str(compression ^ (differs == 2)),
             'acl': {'values': [ALLOW_NONE]}})
        if response.get('UUID'):
            squatter = self._world.volumes.get(response['UUID'])
            assert squatter is not None
            self._squatters[volume.id] = (squatter.uuid, squatter.size)

    def _extend(self) -> None:
        volume = self._choose_volume('available', 'in-use', 'error_extending')
        if volume is None:
            return
        size = volume.size + self._rng.choice((1, 1, 2))
        volume.status = 'extending'
        volume.save()
        self._attempt(self._manager.extend_volume, volume, size, None)
        volume = self._volume(volume.id)
        if volume.status in ('available', 'in-use'):
            self._sizes.pop(volume.id, None)
            if volume.size != size:
                raise Disagreement('%s was extended to %d, its record is %d'
                                   % (volume.id, size, volume.size))
            self._expect_volume(volume)
        else:
            if volume.id not in self._sizes:
                self._expect_excuse('extend %s' % volume.id)
            self._sizes.setdefault(volume.id, set()).add(size)
            volume.status = 'error_extending'
            volume.save()

    def _delete(self) -> None:
        volume = self._choose_volume(
            'available', 'error', 'error_deleting', 'error_extending',
            fit=self._may_be_deleted)
        if volume is not None:
            self._delete_volume(volume)

    def _may_be_deleted(self, volume: objects.Volume) -> bool:
        return not (
            volume.volume_attachment or self._has_old(volume.id) or
            objects.SnapshotList.get_all_for_volume(self._context, volume.id))

    def _delete_volume(self, volume: objects.Volume) -> bool:
        volume.status = 'deleting'
        volume.save()
        self._attempt(self._manager.delete_volume, volume)
        try:
            left = self._volume(volume.id)
        except exception.VolumeNotFound:
            self._volumes.remove(volume.id)
            self._world.settle()
            for each in self._world.volumes:
                if volume.id in each.name and each.state not in GONE and (
                        volume.id not in self._squatters or
                        each.uuid != self._squatters[volume.id][0]):
                    raise Disagreement('%s is deleted and %s lives'
                                       % (volume.id, each.uuid))
            return True
        if left.status not in ('available', 'error_deleting'):
            raise Disagreement('%s was not deleted and is %s'
                               % (left.id, left.status))
        return False

    def _create_snapshot(self) -> None:
        volume = self._choose_volume('available', 'in-use')
        if volume is None:
            return
        snapshot = objects.Snapshot(
            self._context, volume_id=volume.id, volume_size=volume.size,
            status=fields.SnapshotStatus.CREATING, progress='0%',
            user_id=volume.user_id, project_id=volume.project_id,
            volume_type_id=volume.volume_type_id, display_name='',
            use_quota=True)
        snapshot.create()
        self._snapshots.append(snapshot.id)
        made = self._attempt(self._manager.create_snapshot, snapshot)
        snapshot = self._snapshot(snapshot.id)
        if made:
            self._expect_snapshot(snapshot)
        elif self._died:
            # Cinder does not clean it up; its operator does.
            snapshot.status = fields.SnapshotStatus.ERROR
            snapshot.save()

    def _delete_snapshot(self) -> None:
        snapshot = self._choose_snapshot(
            'available', 'error', 'error_deleting')
        if snapshot is not None:
            self._delete_this_snapshot(snapshot)

    def _delete_this_snapshot(self, snapshot: objects.Snapshot) -> bool:
        snapshot.status = fields.SnapshotStatus.DELETING
        snapshot.save()
        if self._attempt(self._manager.delete_snapshot, snapshot):
            self._snapshots.remove(snapshot.id)
            self._world.settle()
            for each in self._world.snapshots:
                if snapshot.id in each.name and each.state not in GONE:
                    raise Disagreement('%s is deleted and %s lives'
                                       % (snapshot.id, each.uuid))
            return True
        if self._died:
            snapshot = self._snapshot(snapshot.id)
            snapshot.status = fields.SnapshotStatus.ERROR_DELETING
            snapshot.save()
        return False

    # Steps: access

    def _attach(self) -> None:
        volume = self._choose_volume(
            'available', 'in-use', fit=lambda each: each.multiattach or
            not (each.volume_attachment or self._has_old(each.id)))
        if volume is None:
            return
        host = self._rng.choice(model_cinder.HOSTS)
        if (volume.id, host.nqn) in self._old:
            return
        before = volume.status
        attachment = objects.VolumeAttachment(
            self._context, volume_id=volume.id, instance_uuid=None,
            attach_status=fields.VolumeAttachStatus.RESERVED)
        attachment.create()
        volume.status = 'reserved'
        volume.save()
        if self._let_in(volume.id, host, self._manager.attachment_update,
                        volume, host.connector(), attachment.id):
            attachment.refresh()
            attachment.attach_status = fields.VolumeAttachStatus.ATTACHED
            attachment.save()
            volume = self._volume(volume.id)
            volume.update({
                'status': 'in-use',
                'attach_status': fields.VolumeAttachStatus.ATTACHED})
            volume.save()
            return
        # Nova deletes the attachment, which has no connector yet: Cinder
        # asks the driver nothing.
        volume = self._volume(volume.id)
        volume.finish_detach(attachment.id)
        volume.status = before
        volume.save()

    def _let_in(self, volume_id: str, host: model_cinder.Host,
                call: Callable[..., Any], *args: Any,
                **kwargs: Any) -> bool:
        """Attach a host, or see to it that a failure leaves nothing."""
        entry = (volume_id, host.nqn)
        known = entry in self._attached(volume_id)
        self._log('  %s to %s' % entry)
        succeeded = self._attempt(call, *args, **kwargs)
        if not succeeded:
            self._expect_excuse('attach %s' % volume_id)
        if succeeded:
            self._uncertain.discard(entry)
            self._expect_access(volume_id, joining=host.nqn)
        elif known:
            # Whoever was attached before is none that may be taken back.
            self._expect_access(volume_id)
        elif (self._died or self._wire.final_faults > 1 or
                self._took > ATTACH_SECONDS - LAST_LOOK):
            self._uncertain.add(entry)
        else:
            self._expect_access(volume_id)
        return succeeded

    def _detach(self) -> None:
        volume = self._choose_volume('in-use', fit=self._rows_to_detach)
        if volume is not None:
            attachment = self._rng.choice(self._rows_to_detach(volume))
            self._let_out(volume, attachment, self._manager.attachment_delete,
                          attachment.id, volume)

    @staticmethod
    def _rows_to_detach(
            volume: objects.Volume) -> list[objects.VolumeAttachment]:
        return [each for each in volume.volume_attachment if each.connector]

    def _force_detach(self) -> None:
        """The call with which an operator gets a volume off a dead host."""
        volume = self._choose_volume('in-use', fit=self._rows_to_detach)
        if volume is None:
            return
        attachment = self._rng.choice(self._rows_to_detach(volume))
        if attachment.connector['nqn'] != model_cinder.CONTROLLER.nqn:
            self._let_out(volume, attachment,
                          self._manager.terminate_connection, volume.id,
                          attachment.connector, force=True)

    def _let_out(self, volume: objects.Volume,
                 attachment: objects.VolumeAttachment,
                 call: Callable[..., Any], *args: Any,
                 **kwargs: Any) -> bool:
        entry = (volume.id, attachment.connector['nqn'])
        self._log('  %s from %s' % entry)
        if not self._attempt(call, *args, **kwargs):
            self._expect_excuse('detach %s' % volume.id)
            self._uncertain.add(entry)
            return False
        self._volume(volume.id).finish_detach(attachment.id)
        if entry not in self._attached(volume.id):
            self._uncertain.discard(entry)
        self._expect_access(volume.id)
        return True

    def _attach_the_old_way(self) -> None:
        volume = self._choose_volume('available')
        host = self._rng.choice(model_cinder.HOSTS)
        if volume is None or self._has_old(volume.id):
            return
        if self._let_in(volume.id, host, self._manager.initialize_connection,
                        volume, host.connector()):
            self._old.add((volume.id, host.nqn))
            self._had_old.add(volume.id)
            self._manager.attach_volume(
                self._context, volume.id, None, host.name, '/dev/vdb', 'rw')

    def _detach_the_old_way(self) -> None:
        if self._old:
            self._detach_old(self._rng.choice(sorted(self._old)))

    def _detach_old(self, entry: tuple[str, str]) -> bool:
        volume_id, nqn = entry
        self._log('  %s from %s' % entry)
        if not self._attempt(self._manager.terminate_connection, volume_id,
                             BY_NQN[nqn].connector()):
            self._uncertain.add(entry)
            return False
        self._old.discard(entry)
        for row in self._volume(volume_id).volume_attachment:
            if not row.connector:
                self._manager.detach_volume(self._context, volume_id, row.id)
        if entry not in self._attached(volume_id):
            self._uncertain.discard(entry)
        self._expect_access(volume_id)
        return True

    def _copy_of_own(self) -> None:
        """What Cinder does to copy a volume: it has no attachment."""
        volume = self._choose_volume('available', 'in-use')
        own = model_cinder.CONTROLLER
        if volume is None or (volume.id, own.nqn) in self._old:
            return
        entry = (volume.id, own.nqn)
        known = entry in self._attached(volume.id)
        if not self._let_in(volume.id, own,
                            self._manager.initialize_connection, volume,
                            own.connector()):
            return
        if self._attempt(self._manager.terminate_connection, volume.id,
                         own.connector(), force=True):
            if not known:
                self._uncertain.discard(entry)
            self._expect_access(volume.id)
        else:
            self._uncertain.add(entry)

    def _detach_all(self) -> None:
        """A connector of None shuts everybody out, other writers' too."""
        volume = self._choose_volume('in-use')
        if volume is None:
            return
        attached = self._attached(volume.id)
        if not self._attempt(self._manager.terminate_connection, volume.id,
                             None, force=True):
            self._uncertain |= attached
            self._forget_others(volume.id, perhaps=True)
            return
        for row in volume.volume_attachment:
            self._volume(volume.id).finish_detach(row.id)
        for entries in (self._old, self._uncertain):
            entries -= {each for each in entries if each[0] == volume.id}
        self._forget_others(volume.id)
        self._expect_access(volume.id)

    def _detach_without_nqn(self) -> None:
        volume = self._choose_volume('in-use')
        if volume is None:
            return
        connector = {'host': 'unknown', 'ip': '192.0.2.200'}
        if self._rng.random() < 0.3:
            if self._attempt(self._manager.terminate_connection, volume.id,
                             connector, force=False):
                raise Disagreement('a connector without NQN was detached')
            self._expect_access(volume.id)
            return
        if self._attempt(self._manager.terminate_connection, volume.id,
                         connector, force=True):
            self._uncertain -= {each for each in self._uncertain
                                if each[0] == volume.id}
            self._forget_others(volume.id)
            self._expect_access(volume.id)
        elif not self._has_old(volume.id):
            # The lists may have become what the rows say, or not.
            self._forget_others(volume.id, perhaps=True)
            self._uncertain |= self._attached(volume.id)

    def _forget_others(self, volume_id: str, perhaps: bool = False) -> None:
        mine = {each for each in self._others if each[0] == volume_id}
        self._others -= mine
        if perhaps:
            self._uncertain |= mine

    # What Cinder believes

    def _volume(self, volume_id: str) -> objects.Volume:
        return objects.Volume.get_by_id(self._context, volume_id)

    def _snapshot(self, snapshot_id: str) -> objects.Snapshot:
        return objects.Snapshot.get_by_id(self._context, snapshot_id)

    def _choose_volume(
            self, *statuses: str,
            fit: Callable[[objects.Volume], bool] = lambda volume: True
    ) -> Optional[objects.Volume]:
        """A volume in one of these statuses, or None.

        :param fit: says whether a volume will do
        """
        for volume_id in self._in('volumes', self._volumes, statuses):
            volume = self._volume(volume_id)
            if fit(volume):
                return volume
        return None

    def _choose_snapshot(self, *statuses: str) -> Optional[objects.Snapshot]:
        found = self._in('snapshots', self._snapshots, statuses)
        return self._snapshot(found[0]) if found else None

    def _in(self, table: str, known: list[str],
            statuses: tuple[str, ...]) -> list[str]:
        present = self._environment.statuses(table)
        found = [each for each in known if present.get(each) in statuses]
        self._rng.shuffle(found)
        return found

    def _attached(self, volume_id: str) -> set[tuple[str, str]]:
        return {(volume_id, connector['nqn']) for connector
                in self._environment.connectors(volume_id)} | {
            entry for entry in self._old if entry[0] == volume_id}

    def _has_old(self, volume_id: str) -> bool:
        return any(entry[0] == volume_id for entry in self._old)

    # Whether the cluster agrees

    def _on_cluster(self, volume: objects.Volume
                    ) -> Optional[records.Volume]:
        return self._world.volumes.get(
            (volume.provider_id or '').rpartition(' ')[2])

    def _compare(self) -> None:
        """Compare everything, the cluster being at rest."""
        self._log('comparing')
        for volume in map(self._volume, self._volumes):
            if volume.status in ('available', 'in-use', 'error_extending'):
                self._expect_volume(volume)
                self._expect_access(volume.id)
        for snapshot in map(self._snapshot, self._snapshots):
            if snapshot.status == fields.SnapshotStatus.AVAILABLE:
                self._expect_snapshot(snapshot)
        self._expect_nothing_left_over()

    def _expect_volume(self, volume: objects.Volume) -> None:
        self._world.settle()
        found = self._on_cluster(volume)
        if found is None or found.state not in ('Available', 'Migrating'):
            raise Disagreement('%s is %s and on the cluster is %s' % (
                volume.id, volume.status, found and found.state))
        sizes = {volume.size} | self._sizes.get(volume.id, set())
        specs = volume.volume_type.extra_specs
        wanted = {
            'name': 'volume-' + volume.id,
            'project': specs.get('lightos:project_name', 'default'),
            'replicas': int(specs.get('lightos:num_replicas', 3)),
            'compression': 'compression' in specs}
        if volume.provider_id != '%s %s' % (found.project, found.uuid):
            raise Disagreement('the provider_id of %s is %s'
                               % (volume.id, volume.provider_id))
        for name, value in wanted.items():
            if getattr(found, name) != value:
                raise Disagreement('%s of %s is %s, not %s' % (
                    name, volume.id, getattr(found, name), value))
        if found.size not in {size * units.Gi for size in sizes}:
            raise Disagreement('%s has %d GiB, not %s' % (
                volume.id, found.size // units.Gi, sizes))
        self._expect_source(volume, found)

    def _expect_source(self, volume: objects.Volume,
                       found: records.Volume) -> None:
        name = None
        if volume.snapshot_id:
            name = 'snapshot-' + volume.snapshot_id
        elif volume.source_volid:
            name = TEMPORARY + volume.id
        if not found.source_name.startswith(name or '') or (
                name is None and found.source_name):
            raise Disagreement('%s was made from %s, not from %s' % (
                volume.id, found.source_name, name))

    def _expect_snapshot(self, snapshot: objects.Snapshot) -> None:
        self._world.settle()
        project, _space, snapshot_uuid = snapshot.provider_id.partition(' ')
        found = self._world.snapshots.get(snapshot_uuid)
        if found is None or found.state != 'Available':
            raise Disagreement('%s is %s and on the cluster is %s' % (
                snapshot.id, snapshot.status, found and found.state))
        if (found.project, found.name, found.volume_name) != (
                project, 'snapshot-' + snapshot.id,
                'volume-' + snapshot.volume_id):
            raise Disagreement('%s is %s of %s in %s' % (
                snapshot.id, found.name, found.volume_name, found.project))

    def _expect_access(self, volume_id: str,
                       joining: Optional[str] = None) -> None:
        """Compare who has access.

        :param joining: a host that is attached and has no attachment yet
        """
        self._world.settle()
        found = next((each for each in self._world.volumes
                      if each.name == 'volume-' + volume_id and
                      each.state not in GONE), None)
        if found is None:
            raise Disagreement('%s is lost' % volume_id)

        def of(entries: Iterable[tuple[str, str]]) -> set[str]:
            return {nqn for each, nqn in entries if each == volume_id}

        attached = of(self._attached(volume_id))
        if joining:
            attached.add(joining)
        uncertain = of(self._uncertain)
        others = of(self._others)
        acl = set(found.acl) - {ALLOW_NONE}
        if ALLOW_ANY not in acl:
            if not attached - uncertain <= acl:
                raise Disagreement('%s: no access for %s' % (
                    volume_id, attached - uncertain - acl))
            if not acl <= attached | uncertain | others:
                raise Disagreement('%s: access for %s' % (
                    volume_id, acl - attached - uncertain - others))
            if not others - uncertain <= acl:
                raise Disagreement("%s: another writer's %s is lost" % (
                    volume_id, others - uncertain - acl))
        if self._world.assume.ip_acl and ALLOW_ANY not in found.ip_acl:
            self._expect_ips(volume_id, set(found.ip_acl) - {ALLOW_NONE},
                             attached - uncertain, attached | uncertain)

    def _expect_ips(self, volume_id: str, ips: set[str], attached: set[str],
                    perhaps: set[str]) -> None:
        def of(nqns: set[str]) -> set[str]:
            return {ip for nqn in nqns if nqn in BY_NQN
                    for ip in BY_NQN[nqn].ips}

        if not of(attached) <= ips:
            raise Disagreement('%s: no access from %s' % (
                volume_id, of(attached) - ips))
        if not ips <= of(perhaps) and volume_id not in self._had_old:
            raise Disagreement('%s: access from %s' % (
                volume_id, ips - of(perhaps)))

    def _expect_nothing_left_over(self) -> None:
        self._world.settle()
        squatters = {squatter for squatter, _size
                     in self._squatters.values()}
        for squatter, size in self._squatters.values():
            found = self._world.volumes.get(squatter)
            if found is None or found.state in GONE or found.size != size:
                raise Disagreement('%s, of somebody else, was touched'
                                   % squatter)
        owners: set[str] = set()
        for volume in self._world.volumes:
            owner = volume.name.replace('volume-', '')
            if volume.state in GONE or volume.uuid in squatters:
                continue
            if owner not in self._volumes or owner in owners:
                raise Disagreement('%s (%s) is left over'
                                   % (volume.name, volume.uuid))
            owners.add(owner)
        for snapshot in self._world.snapshots:
            if snapshot.state in GONE:
                continue
            if snapshot.name.startswith(TEMPORARY):
                left = not (snapshot.retention or self._retention_refused)
            else:
                left = snapshot.name.replace(
                    'snapshot-', '') not in self._snapshots
            if left:
                raise Disagreement('%s (%s) is left over'
                                   % (snapshot.name, snapshot.uuid))

    # The end

    def _clean_up(self) -> None:
        """Delete everything through Cinder, which must succeed now."""
        self._log('cleaning up')
        self._name = 'clean_up'
        self._clock.advance(TWO_DAYS)
        self._world.settle()
        for entry in sorted(self._old):
            self._must(self._detach_old(entry), 'detach %s' % entry[0])
        for volume in map(self._volume, self._volumes):
            for row in volume.volume_attachment:
                if row.connector:
                    self._must(self._let_out(
                        volume, row, self._manager.attachment_delete, row.id,
                        volume), 'detach %s' % volume.id)
        for snapshot in list(map(self._snapshot, self._snapshots)):
            self._must(self._delete_this_snapshot(snapshot),
                       'delete snapshot %s' % snapshot.id)
        # A volume whose snapshot lives on in a clone comes after the clone.
        for volume in list(map(self._volume, reversed(self._volumes))):
            self._must(self._delete_volume(volume), 'delete %s' % volume.id)
        self._clock.advance(TWO_DAYS)
        self._expect_nothing_left_over()

    @staticmethod
    def _must(succeeded: bool, what: str) -> None:
        if not succeeded:
            raise Disagreement('could not %s in fair weather' % what)


def shortest(environment: model_cinder.Environment,
             seed: int) -> tuple[list[int], str]:
    """Leave out steps of a failing sequence as long as it fails.

    :returns: the numbers of the steps that are left, and the disagreement
    """
    steps = list(range(MOST_STEPS))
    said = ''
    for number in [None, *reversed(range(MOST_STEPS))]:
        kept = [each for each in steps if each != number]
        try:
            Sequence(environment, seed, only=kept).run()
        except Disagreement as exc:
            steps, said = kept, str(exc)
    return steps, said
