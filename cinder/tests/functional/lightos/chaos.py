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
"""Operations by many clients while controllers and nodes fail at random.

What happens, and to what, follows from a seed alone; when it happens depends
on the machine, too.
"""

import collections
from concurrent import futures
import contextlib
import dataclasses
import itertools
import json
import random
import statistics
import threading
import time
from typing import Any, Callable, Iterator, Mapping, Optional

from cinder.tests.functional.lightos import controllers
from cinder.tests.functional.lightos import waiting
from demo import errors  # found by controllers
from demo import rest

GIB = 1 << 30
CLIENTS = 16
HOSTS = 8
SHARED = 4
# Seconds for which Redis and etcd keep a lock of a dead controller.
LOCK_TIME = 30
# Seconds in which the services of Cinder have their connections again.
RECONNECT_TIME = 5
# Seconds after which an operation that goes on counts as left over: it may
# have waited for a lock, and the slowest take as long again.
OPERATION_TIME = 2.5 * LOCK_TIME
# Seconds in which Cinder gets quiet after the last fault; what has not moved
# for some of them is left.
QUIET_TIME = 180
STILL_TIME = 20
PAUSE = 0.25

# How an operation may end: it is done, Cinder says that it has failed (by an
# error of its API or an error state), Cinder's API refuses it, or the record
# is left in the state of an operation that nobody works on. Nothing allows the
# last one: Cinder says that it is done, and the cluster shows that it is not.
DONE, FAILED, REFUSED, LEFT, UNTRUE = ENDINGS = (
    'done', 'failed', 'refused', 'left', 'untrue')

# Faults of Cinder and what it stands on, and of the LightOS cluster.
OF_CINDER = ('controller killed', 'coordination restarted',
             'broker connections dropped')
OF_LIGHTOS = ('node stopped', 'node hung', 'node replaced', 'token rotated',
              'reply lost')

# The ends that are allowed beside "done", by operation, of one that met a
# fault of Cinder. One that met none, or those of LightOS alone, has to be
# done: two nodes go on, and the driver waits out the rest.
ENDS: Mapping[str, frozenset[str]] = {
    'create': frozenset({FAILED, LEFT}),
    'clone': frozenset({FAILED, LEFT}),
    'extend': frozenset({FAILED, LEFT}),
    'snapshot': frozenset({FAILED, LEFT}),
    'delete': frozenset({FAILED, LEFT}),
    'delete snapshot': frozenset({FAILED, LEFT}),
    # These are answered when they are done.
    'attach': frozenset({FAILED, REFUSED}),
    'detach': frozenset({FAILED, REFUSED}),
}
# What Cinder's API may refuse at any time: it reserves no attachment of a
# shared volume while another one's is under way.
ALWAYS: Mapping[str, frozenset[str]] = {'attach': frozenset({REFUSED})}
# How many of those that met a fault of Cinder may end so: a controller that is
# killed has a few in hand, and the others go on. At least so many may in any
# case.
HARMED_SHARE, HARMED_LEAST = 0.1, 5

# How Cinder may leave a record of a killed controller, and its operations.
IN_TRANSIT = ('creating', 'deleting', 'extending', 'attaching', 'detaching',
              'reserved')
# What the audit may find of an operation that was killed, until an operator
# has acted. Any other class, a missing volume above all, is never right.
OF_A_KILL = frozenset({'unrecovered', 'sizes', 'access', 'no-access',
                       'addresses', 'temporary-snapshots'})

# The states in which the cluster has an object no more.
GONE = ('Deleting', 'Deleted', 'Failed')
CLOSED = ['ALLOW_NONE']

# A volume and the NQN of a host.
Use = tuple[str, str]


def connector_of(host: int) -> dict[str, Any]:
    """What a host tells of itself; each has an address of its own."""
    return {'nqn': f'nqn.2014-08.org.nvmexpress:uuid:host-{host}',
            'host': f'host-{host}', 'ip': f'192.0.2.{host}',
            'host_ips': [f'192.0.2.{host}'], 'found_dsc': 'found'}


HOST_OF_IP: Mapping[str, str] = {
    connector_of(host)['ip']: connector_of(host)['nqn']
    for host in range(1, HOSTS + 1)}


def live(messages: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """What the cluster has of a name."""
    return [message for message in messages
            if message['name'] == name and message['state'] not in GONE]


@dataclasses.dataclass(frozen=True)
class Happened:
    """A fault, in seconds of the monotonic clock."""

    fault: str
    begun: float
    ended: float
    text: str = ''

    def met(self, operation: 'Operation') -> bool:
        return (operation.begun < self.ended + RECONNECT_TIME and
                operation.ended > self.begun)


@dataclasses.dataclass(frozen=True)
class Operation:
    """What became of one operation.

    :ivar object_id: of the volume, or of the snapshot for one of those
    :ivar volume_id: of the volume itself, or that it is made from
    :ivar host: the NQN of the host that it attaches or detaches
    :ivar end: one of ENDINGS
    """

    kind: str
    object_id: str
    volume_id: str
    host: str
    begun: float
    ended: float
    end: str
    text: str = ''

    @property
    def seconds(self) -> float:
        return self.ended - self.begun

    def shares(self, others: list['Operation']) -> bool:
        """Whether one of others is about the same volume or snapshot."""
        mine = {self.object_id, self.volume_id}
        return any({each.object_id, each.volume_id} & mine
                   for each in others)


class Failed(Exception):
    """Cinder says that an operation has failed."""


class Refused(Exception):
    """Cinder's API does not take an operation."""


class Left(Exception):
    """An operation has not ended in time."""


class Untrue(Exception):
    """The cluster shows that what Cinder says is done is not."""


class Uses:
    """Which hosts use which volumes, as far as the clients know.

    Two clients are on each host: what one of them may expect of the cluster
    depends on what the other one does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attachments: collections.Counter[Use] = collections.Counter()
        self._begun: collections.Counter[Use] = collections.Counter()
        self._under_way: collections.Counter[Use] = collections.Counter()
        self._unknown: set[Use] = set()

    @contextlib.contextmanager
    def change(self, use: Use) -> Iterator[None]:
        """Attach or detach inside; what fails makes the use unknown."""
        with self._lock:
            self._begun[use] += 1
            self._under_way[use] += 1
        try:
            yield
        except BaseException:
            with self._lock:
                self._unknown.add(use)
            raise
        finally:
            with self._lock:
                self._under_way[use] -= 1

    def count(self, use: Use, by: int) -> None:
        with self._lock:
            self._attachments[use] += by

    def known(self, use: Use) -> Optional[tuple[int, int]]:
        """How many attachments there are, and what changes with each change.

        :returns: None if that is not known, or while another change goes on
        """
        with self._lock:
            if use in self._unknown or self._under_way[use] > 1:
                return None
            return self._attachments[use], self._begun[use]


class Client(threading.Thread):
    """One of those who use the cloud, on a host that it shares with another.

    :param pace: seconds from one operation to the next
    """

    def __init__(self, number: int, seed: int, count: int, pace: float,
                 subject: controllers.Controllers,
                 shared: list[str], uses: Uses) -> None:
        super().__init__(daemon=True)
        self.operations: list[Operation] = []
        self.error: Optional[BaseException] = None
        self._random = random.Random(f'{seed} client {number}')
        self._count = count
        self._pace = pace
        self._subject = subject
        self._of_thread = threading.local()
        self._shared = shared
        self._uses = uses
        self.connector = connector_of(number % HOSTS + 1)
        # What is known to be well, with its size or its volume.
        self._volumes: dict[str, int] = {}
        self._snapshots: dict[str, str] = {}
        self._attachments: dict[str, str] = {}

    def run(self) -> None:
        try:
            time.sleep(self._random.uniform(0, self._pace))
            for _number in range(self._count):
                begun = time.monotonic()
                self._one()
                time.sleep(max(0.0, begun + self._random.uniform(
                    0.5, 1.5) * self._pace - time.monotonic()))
        except BaseException as error:
            self.error = error

    def _one(self) -> None:
        """Do one of the operations that can be done now."""
        free = [volume for volume in self._volumes
                if volume not in self._snapshots.values()]
        unattached = [volume for volume in self._shared
                      if volume not in self._attachments.values()]
        choices: list[tuple[str, int, Callable[[], None]]] = [
            ('create', 8 if len(self._volumes) < 4 else 1, self._create)]
        for kind, weight, candidates, action in (
                ('extend', 3, list(self._volumes), self._extend),
                ('snapshot', 4, list(self._volumes), self._snapshot),
                ('clone', 3 if len(self._volumes) < 5 else 0,
                 list(self._volumes), self._clone),
                ('attach', 5, unattached, self._attach),
                ('detach', 3, list(self._attachments), self._detach),
                ('hand over', 4, list(self._attachments), self._hand_over),
                ('delete', 4 if len(self._volumes) > 2 else 1, free,
                 self._delete_volume),
                ('delete snapshot', 3, list(self._snapshots),
                 self._delete_snapshot)):
            if candidates and weight:
                choices.append((kind, weight, _with(
                    action, self._random.choice(candidates))))
        _kind, _weight, action = self._random.choices(
            choices, [weight for _kind, weight, _action in choices])[0]
        action()

    @contextlib.contextmanager
    def _noted(self, kind: str, object_id: str = '', volume_id: str = ''
               ) -> Iterator[list[str]]:
        """Note the operation that is done inside, whatever becomes of it."""
        begun = time.monotonic()
        about = [object_id]
        end, text = DONE, ''
        try:
            yield about
        except Failed as error:
            end, text = FAILED, str(error)
        except Refused as error:
            end, text = REFUSED, str(error)
        except Left as error:
            end, text = LEFT, str(error)
        except Untrue as error:
            end, text = UNTRUE, str(error)
        self.operations.append(Operation(
            kind, about[0], volume_id or about[0],
            self.connector['nqn'] if kind in ('attach', 'detach') else '',
            begun, time.monotonic(), end, text))

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        if not hasattr(self._of_thread, 'api'):
            self._of_thread.api = self._subject.new_api()
        try:
            return self._of_thread.api.call(method, path, body)
        except errors.DemoError as error:
            for status in (400, 404, 409):
                if f': {status} ' in str(error):
                    raise Refused(str(error))
            raise Failed(str(error))

    def _cluster(self) -> dict[str, list[dict[str, Any]]]:
        """What the cluster has, by kind."""
        if not hasattr(self._of_thread, 'cluster'):
            self._of_thread.cluster = rest.Api(
                self._subject.simulator.control, {})
        state: dict[str, Any] = self._of_thread.cluster.call('GET', '/state')
        return state

    def _check(self, kind: str, object_id: str, **expected: Any) -> None:
        """See that the cluster has an object, once, as Cinder says it has.

        :param expected: fields of it
        """
        found = live(self._cluster()[kind], f'{kind[:-1]}-{object_id}')
        shown = [{field: each.get(field) for field in expected}
                 for each in found]
        if shown != [expected]:
            raise Untrue(f'{kind[:-1]} {object_id} shall be {expected}, the '
                         f'cluster has {shown}')

    def _check_gone(self, kind: str, object_id: str) -> None:
        found = live(self._cluster()[kind], f'{kind[:-1]}-{object_id}')
        if found:
            raise Untrue(f'{kind[:-1]} {object_id} is deleted, the cluster '
                         f'has it {found[0]["state"]}')

    def _check_source(self, volume_id: str, source_id: str) -> None:
        """See that a clone was made from a snapshot of its source."""
        state = self._cluster()
        (volume,) = live(state['volumes'], f'volume-{volume_id}')
        sources = [snapshot['sourceVolumeName']
                   for snapshot in state['snapshots']
                   if snapshot['UUID'] == volume.get('sourceSnapshotUUID')]
        if sources != [f'volume-{source_id}']:
            raise Untrue(f'volume {volume_id} is to be a clone of volume '
                         f'{source_id}, on the cluster it is one of {sources}')

    def _check_access(self, volume_id: str) -> None:
        """See that this host is let in if, and only if, it is attached."""
        use = volume_id, self.connector['nqn']
        known = self._uses.known(use)
        if known is None:
            return
        (volume,) = live(self._cluster()['volumes'], f'volume-{volume_id}')
        if self._uses.known(use) != known:
            return
        expected = [known[0] > 0] * 2
        shown = [self.connector['nqn'] in volume['acl']['values'],
                 self.connector['ip'] in volume['IPAcl']['values']]
        if shown != expected:
            raise Untrue(
                f'{self.connector["host"]} has {known[0]} attachments to '
                f'volume {volume_id}, and its NQN and its address are let in: '
                f'{shown}')

    def _wait(self, kind: str, object_id: str, during: str,
              gone: bool = False) -> None:
        """Return when Cinder has done it.

        :param during: the status while it works on it
        :param gone: whether the record is to go
        """
        deadline = time.monotonic() + OPERATION_TIME
        status = during
        while time.monotonic() < deadline:
            time.sleep(PAUSE)
            try:
                status = self._call('GET', f'/{kind}/{object_id}')[
                    kind[:-1]]['status']
            except Refused:
                if gone:
                    return
                raise Failed(f'{object_id} is gone')
            except Failed:
                continue
            if status.startswith('error'):
                raise Failed(f'{object_id} is in status {status}')
            if status != during:
                if gone:
                    raise Failed(f'{object_id} is in status {status}')
                return
        raise Left(f'{object_id} is in status {status}')

    def _create(self) -> None:
        size = self._random.randint(1, 3)
        self._make('create', {'size': size})

    def _clone(self, volume_id: str) -> None:
        self._make('clone', {'source_volid': volume_id,
                             'size': self._volumes[volume_id]})

    def _make(self, kind: str, body: Mapping[str, Any]) -> None:
        with self._noted(kind, '', body.get('source_volid', '')) as about:
            about[0] = self._call('POST', '/volumes', {'volume': body})[
                'volume']['id']
            self._wait('volumes', about[0], 'creating')
            self._check('volumes', about[0], state='Available',
                        size=str(body['size'] * GIB),
                        acl={'values': CLOSED}, IPAcl={'values': CLOSED})
            if 'source_volid' in body:
                self._check_source(about[0], body['source_volid'])
            self._volumes[about[0]] = body['size']

    def _extend(self, volume_id: str) -> None:
        # It is well no more, unless it goes well.
        size = self._volumes.pop(volume_id) + 1
        with self._noted('extend', volume_id):
            self._call('POST', f'/volumes/{volume_id}/action',
                       {'os-extend': {'new_size': size}})
            self._wait('volumes', volume_id, 'extending')
            seen = self._call('GET', f'/volumes/{volume_id}')['volume']
            if seen['size'] != size:
                raise Failed(f'{volume_id} has {seen["size"]} GiB')
            self._check('volumes', volume_id, size=str(size * GIB))
            self._volumes[volume_id] = size

    def _snapshot(self, volume_id: str) -> None:
        with self._noted('snapshot', '', volume_id) as about:
            about[0] = self._call('POST', '/snapshots', {'snapshot': {
                'volume_id': volume_id}})['snapshot']['id']
            # Its volume cannot be deleted, whatever becomes of it.
            self._snapshots[about[0]] = volume_id
            self._wait('snapshots', about[0], 'creating')
            self._check('snapshots', about[0], state='Available',
                        sourceVolumeName=f'volume-{volume_id}')
            return
        self._volumes.pop(self._snapshots.pop(about[0], ''), None)

    def _delete_snapshot(self, snapshot_id: str) -> None:
        volume_id = self._snapshots.pop(snapshot_id)
        with self._noted('delete snapshot', snapshot_id, volume_id):
            self._call('DELETE', f'/snapshots/{snapshot_id}')
            self._wait('snapshots', snapshot_id, 'deleting', gone=True)
            self._check_gone('snapshots', snapshot_id)
            return
        self._volumes.pop(volume_id, None)

    def _delete_volume(self, volume_id: str) -> None:
        del self._volumes[volume_id]
        with self._noted('delete', volume_id):
            self._call('DELETE', f'/volumes/{volume_id}')
            self._wait('volumes', volume_id, 'deleting', gone=True)
            self._check_gone('volumes', volume_id)

    def _attach(self, volume_id: str) -> None:
        """Attach a shared volume in the steps that Nova takes."""
        attachment_id = None
        with self._noted('attach', volume_id):
            attachment_id = self._call('POST', '/attachments', {
                'attachment': {'volume_uuid': volume_id}})['attachment']['id']
            with self._uses.change((volume_id, self.connector['nqn'])):
                try:
                    self._call('PUT', f'/attachments/{attachment_id}', {
                        'attachment': {'connector': self.connector}})
                    self._call('POST', f'/attachments/{attachment_id}/action',
                               {'os-complete': {}})
                except Refused as error:
                    # Cinder has reserved it: nothing is to be refused now.
                    raise Failed(str(error))
                self._attachments[attachment_id] = volume_id
                self._uses.count((volume_id, self.connector['nqn']), 1)
                self._check_access(volume_id)
            return
        if attachment_id and attachment_id not in self._attachments:
            # As Nova does after a failure; it goes on until that is done.
            self._attachments[attachment_id] = volume_id
            self._detach(attachment_id)

    def _detach(self, attachment_id: str) -> None:
        volume_id = self._attachments[attachment_id]
        with self._noted('detach', volume_id):
            with self._uses.change((volume_id, self.connector['nqn'])):
                self._call('DELETE', f'/attachments/{attachment_id}')
                del self._attachments[attachment_id]
                self._uses.count((volume_id, self.connector['nqn']), -1)
                self._check_access(volume_id)

    def _hand_over(self, attachment_id: str) -> None:
        """Detach for one machine of the host, attach for another one."""
        volume_id = self._attachments[attachment_id]
        with futures.ThreadPoolExecutor(1) as other_machine:
            attached = other_machine.submit(self._attach, volume_id)
            self._detach(attachment_id)
        attached.result()


def _with(action: Callable[[str], None], subject: str) -> Callable[[], None]:
    return lambda: action(subject)


class Chaos(threading.Thread):
    """Faults of one side, one after the other.

    :param happening: what happens, by fault; each returns when it is over
    :param pause: the least and the most seconds from one to the next
    """

    def __init__(self, seed: int, side: str,
                 happening: Mapping[str, Callable[[random.Random], str]],
                 weights: Mapping[str, int],
                 pause: tuple[float, float]) -> None:
        super().__init__(daemon=True)
        self.happened: list[Happened] = []
        self.error: Optional[BaseException] = None
        self._random = random.Random(f'{seed} {side}')
        self._happening = happening
        self._weights = weights
        self._pause = pause
        self._over = threading.Event()

    def run(self) -> None:
        try:
            for fault in self._order():
                if self._over.wait(self._random.uniform(*self._pause)):
                    return
                begun = time.monotonic()
                text = self._happening[fault](self._random)
                self.happened.append(Happened(
                    fault, begun, time.monotonic(), text))
        except BaseException as error:
            self.error = error

    def _order(self) -> Iterator[str]:
        """All faults again and again, each time in another order."""
        while True:
            faults = [fault for fault, weight in self._weights.items()
                      for _number in range(weight)]
            self._random.shuffle(faults)
            yield from faults

    def stop(self) -> None:
        self._over.set()
        self.join()


class Faults:
    """What can happen to the controllers and to the cluster."""

    def __init__(self, subject: controllers.Controllers) -> None:
        self._subject = subject
        self._tokens = itertools.count(1)
        self._addresses = itertools.count(20)
        #: Seconds from the kill, and from the start, until all are up.
        self.whole: list[tuple[float, float]] = []

    def of_cinder(self) -> dict[str, Callable[[random.Random], str]]:
        return {'controller killed': self.kill,
                'coordination restarted': self.restart_coordination,
                'broker connections dropped': self.drop_connections}

    def of_lightos(self) -> dict[str, Callable[[random.Random], str]]:
        return {'node stopped': lambda chance: self.disturb(chance,
                                                            'stopped'),
                'node hung': lambda chance: self.disturb(chance, 'hung'),
                'node replaced': self.replace,
                'token rotated': self.rotate}

    def of_replies(self) -> dict[str, Callable[[random.Random], str]]:
        return {'reply lost': self.lose_reply}

    def kill(self, chance: random.Random) -> str:
        name = chance.choice(controllers.CONTROLLERS)
        begun = time.monotonic()
        self._subject.kill(name)
        # Its last report before it died is no sign of life.
        before = self._subject.reported()
        time.sleep(chance.uniform(0, 10))
        started = time.monotonic()
        self._subject.start(name)
        self._subject.wait_until_whole(before)
        now = time.monotonic()
        self.whole.append((now - begun, now - started))
        return name

    def restart_coordination(self, chance: random.Random) -> str:
        self._subject.kill_coordination()
        time.sleep(chance.uniform(0, 3))
        self._subject.start_coordination()
        return ''

    def drop_connections(self, chance: random.Random) -> str:
        self._subject.drop_broker_connections()
        return ''

    def disturb(self, chance: random.Random, mode: str) -> str:
        node = chance.randrange(3)
        path = f'/nodes/{node}'
        self._subject.control.call('POST', path, {'mode': mode})
        time.sleep(chance.uniform(5, 15))
        self._subject.control.call('POST', path, {'mode': 'up'})
        return f'node {node}'

    def replace(self, chance: random.Random) -> str:
        """Give the last node another address; the driver starts with two."""
        address = f'{self._subject.network}.{next(self._addresses)}'
        self._subject.control.call('POST', '/nodes/2', {'address': address})
        return address

    def rotate(self, chance: random.Random) -> str:
        self._subject.rotate_token(next(self._tokens))
        return ''

    def lose_reply(self, chance: random.Random) -> str:
        method = chance.choice(['POST', 'PUT', 'DELETE'])
        self._subject.control.call('POST', '/faults', {
            'action': 'lose-reply', 'operation': f'^{method} ', 'times': 1})
        return method


@dataclasses.dataclass
class Result:
    """What a run has seen.

    :ivar excused: how many operations met a fault of Cinder
    :ivar unexpected: ends that no fault allows
    :ivar error_states: how many records were in which error state
    :ivar leftovers: what Cinder did not recover, and an operator did
    :ivar faults_of_driver: what is wrong and no fault of Cinder explains
    :ivar still_wrong: what is wrong after the operator has acted
    """

    seed: int
    coordination: str
    threads: str
    minutes: float
    operations: list[Operation]
    happened: list[Happened]
    whole: list[tuple[float, float]]
    excused: int
    unexpected: list[str]
    error_states: dict[str, int]
    leftovers: list[str]
    faults_of_driver: list[str]
    still_wrong: list[str]

    @property
    def clean(self) -> bool:
        return not (self.unexpected or self.faults_of_driver or
                    self.still_wrong)

    def as_dict(self) -> dict[str, Any]:
        kills = [each for each in self.happened
                 if each.fault == 'controller killed']
        return {
            'seed': self.seed, 'coordination': self.coordination,
            'threads': self.threads, 'minutes': round(self.minutes, 1),
            'clean': self.clean,
            'operations': {kind: {
                'ends': {end: sum(each.end == end for each in of_kind)
                         for end in ENDINGS},
                'seconds': _figures(of_kind),
                'seconds while a controller was dead': _figures([
                    each for each in of_kind
                    if any(kill.begun < each.ended and
                           each.begun < kill.ended for kill in kills)])}
                for kind in ENDS
                if (of_kind := [each for each in self.operations
                                if each.kind == kind])},
            'met no fault of Cinder': len(self.operations) - self.excused,
            'faults': {fault: sum(each.fault == fault
                                  for each in self.happened)
                       for fault in (*OF_CINDER, *OF_LIGHTOS)},
            'seconds from a kill until whole': _figures_of(
                [whole for whole, _started in self.whole]),
            'seconds from the restart until whole': _figures_of(
                [started for _whole, started in self.whole]),
            'error states': self.error_states,
            'unexpected ends': self.unexpected,
            'left by Cinder': self.leftovers,
            'faults of the driver': self.faults_of_driver,
            'wrong after recovery': self.still_wrong}


def _figures(operations: list[Operation]) -> dict[str, float]:
    return _figures_of([each.seconds for each in operations
                        if each.end == DONE])


def _figures_of(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {'count': 0}
    return {'count': len(seconds),
            'median': round(statistics.median(seconds), 2),
            'max': round(max(seconds), 2)}


def excused(operations: list[Operation], happened: list[Happened]
            ) -> list[Operation]:
    """The operations that a fault of Cinder may have harmed.

    Those are the ones that were under way when it happened, and those that
    began soon afterwards with the same volume, as they wait for its lock.
    """
    harmed: list[Operation] = []
    for fault in happened:
        if fault.fault in OF_CINDER:
            met = [each for each in operations if fault.met(each)]
            harmed += met
            harmed += [
                each for each in operations if fault.begun < each.begun <
                fault.ended + LOCK_TIME and each.shares(met)]
    return [each for each in operations if each in harmed]


class Run:
    """A run, from the first operation to the last look.

    :param count: of operations, of all clients together
    :param minutes: of chaos
    :param pause: the least and the most seconds between faults of Cinder
    """

    def __init__(self, subject: controllers.Controllers, seed: int,
                 minutes: float, count: int,
                 pause: tuple[float, float]) -> None:
        self._subject = subject
        self._seed = seed
        self._minutes = minutes
        self._count = count
        self._faults = Faults(subject)
        self._chaos = (
            Chaos(seed, 'cinder', self._faults.of_cinder(),
                  {'controller killed': 3, 'coordination restarted': 1,
                   'broker connections dropped': 1}, pause),
            Chaos(seed, 'lightos', self._faults.of_lightos(),
                  dict.fromkeys(self._faults.of_lightos(), 1), (2, 8)),
            Chaos(seed, 'replies', self._faults.of_replies(),
                  {'reply lost': 1}, (1, 5)))
        self._operations: list[Operation] = []
        self._happened: list[Happened] = []

    def result(self, coordination: str, threads: str) -> Result:
        """Do it all.

        :raises AssertionError: something of the rig does not work
        """
        begun = time.monotonic()
        self._work()
        minutes = (time.monotonic() - begun) / 60
        harmed = excused(self._operations, self._happened)
        recovery = Recovery(self._subject, [each for each in harmed
                                            if each.end != DONE])
        recovery.let_cinder_recover()
        error_states = recovery.error_states()
        driver, explained = recovery.judge()
        leftovers = [*recovery.left(), *explained]
        recovery.act_as_operator()
        return Result(
            self._seed, coordination, threads, minutes, self._operations,
            self._happened, self._faults.whole, len(harmed),
            self._unexpected(harmed), error_states, leftovers, driver,
            recovery.still_wrong())

    def _work(self) -> None:
        shared = [self._subject.api.call('POST', '/volumes', {'volume': {
            'size': 1, 'volume_type': controllers.SHARED_TYPE}})
            ['volume']['id'] for _number in range(SHARED)]
        for volume_id in shared:
            waiting.until(
                lambda: self._subject.api.call(
                    'GET', f'/volumes/{volume_id}')['volume']['status'] ==
                'available', 'a shared volume is made')
        end = time.monotonic() + 60 * self._minutes
        uses = Uses()
        clients = [Client(
            number, self._seed,
            self._count // CLIENTS + (number <= self._count % CLIENTS),
            60 * self._minutes * CLIENTS / self._count, self._subject, shared,
            uses)
            for number in range(1, CLIENTS + 1)]
        for thread in (*clients, *self._chaos):
            thread.start()
        try:
            for client in clients:
                client.join()
            time.sleep(max(0.0, end - time.monotonic()))
        finally:
            for chaos in self._chaos:
                chaos.stop()
        for thread in (*clients, *self._chaos):
            if thread.error:
                raise AssertionError('The run broke.') from thread.error
        self._operations = [each for client in clients
                            for each in client.operations]
        self._happened = [each for chaos in self._chaos
                          for each in chaos.happened]

    def _unexpected(self, harmed: list[Operation]) -> list[str]:
        told = []
        for each in self._operations:
            allowed = {DONE} | ALWAYS.get(each.kind, frozenset())
            if each in harmed:
                allowed |= ENDS[each.kind]
            if each.end not in allowed:
                told.append(f'{each.kind} {each.object_id} {each.end} after '
                            f'{each.seconds:.1f} s: {each.text}')
        not_done = sum(
            each.end not in {DONE} | ALWAYS.get(each.kind, frozenset())
            for each in harmed)
        if not_done > max(HARMED_LEAST, HARMED_SHARE * len(harmed)):
            told.append(f'{not_done} of {len(harmed)} operations that met a '
                        'fault of Cinder are not done')
        return told


class Recovery:
    """What Cinder, and then an operator, makes of what is left.

    :param harmed: the operations that met a fault of Cinder, and of which
        Cinder does not say that they are done
    """

    def __init__(self, subject: controllers.Controllers,
                 harmed: list[Operation]) -> None:
        self._subject = subject
        self._suspects = {each.object_id for each in harmed}
        self._suspect_hosts = {(each.volume_id, each.host)
                               for each in harmed if each.host}

    def let_cinder_recover(self) -> None:
        """Restart each controller and have the rest cleaned up."""
        subject = self._subject
        subject.control.call('DELETE', '/faults')
        self._until_still()
        before = subject.reported()
        for name in controllers.CONTROLLERS:
            subject.kill(name)
            subject.start(name)
        subject.wait_until_whole(before)
        subject.api.call('POST', '/workers/cleanup', {})
        self._until_still()

    def _records(self) -> dict[str, tuple[str, str, str]]:
        """Kind, state and volume of all records, by id."""
        rows = self._subject.rows
        return {
            **{row['id']: ('volumes', row['status'], row['id'])
               for row in rows('SELECT id, status FROM volumes '
                               'WHERE deleted = 0')},
            **{row['id']: ('snapshots', row['status'], row['volume_id'])
               for row in rows('SELECT id, status, volume_id '
                               'FROM snapshots WHERE deleted = 0')},
            **{row['id']: ('attachments', row['attach_status'],
                           row['volume_id'])
               for row in rows('SELECT id, attach_status, volume_id '
                               'FROM volume_attachment WHERE deleted = 0')}}

    def _state(self, object_id: str) -> Optional[str]:
        record = self._records().get(object_id)
        return record and record[1]

    def _until_still(self) -> None:
        """Return when nothing is under way, or nothing has moved for long."""
        deadline = time.monotonic() + QUIET_TIME
        before, since = self._records(), time.monotonic()
        while time.monotonic() < deadline:
            records = self._records()
            if not any(state in IN_TRANSIT
                       for _kind, state, _volume in records.values()):
                return
            if records != before:
                before, since = records, time.monotonic()
            if time.monotonic() - since > STILL_TIME:
                return
            time.sleep(1)

    def error_states(self) -> dict[str, int]:
        states = [f'{kind[:-1]} {state}'
                  for kind, state, _volume in self._records().values()
                  if state.startswith('error')]
        return {state: states.count(state) for state in sorted(set(states))}

    def left(self) -> list[str]:
        """The records that Cinder has left in transit."""
        return [f'{kind[:-1]} {each} is left {state}'
                for each, (kind, state, _volume) in self._records().items()
                if state in IN_TRANSIT]

    def judge(self) -> tuple[list[str], list[str]]:
        """Say what is wrong: by the driver's fault, and for a kill's sake."""
        report = self._subject.audit()
        if report['errors']:
            raise AssertionError(f'lightos-audit: {report["errors"]}')
        driver, explained = [], []
        for finding in report['findings']:
            text = f'audit: {finding["class"]} {finding["object"]} ' + (
                finding['snapshot_id'] or finding['volume_id'] or
                finding['name']) + f': {finding["text"]}'
            of_a_kill = self._may_be_of_a_kill(
                finding['class'], finding['snapshot_id'] or
                finding['volume_id'], finding['host'])
            (explained if of_a_kill else driver).append(text)
        in_transit = {volume for _kind, state, volume
                      in self._records().values() if state in IN_TRANSIT}
        for kind, volume_id, host, text in self._differences():
            of_a_kill = self._may_be_of_a_kill(kind, volume_id, host)
            if volume_id not in in_transit:
                (explained if of_a_kill else driver).append(text)
        for each, (kind, state, volume) in self._records().items():
            if state in IN_TRANSIT and not {each, volume} & self._suspects:
                driver.append(f'{kind[:-1]} {each} is left {state}')
        return driver, explained

    def _may_be_of_a_kill(self, kind: str, object_id: str,
                          host: Optional[str]) -> bool:
        return kind in OF_A_KILL and (
            (object_id, host) in self._suspect_hosts if host
            else object_id in self._suspects)

    def _differences(self) -> Iterator[tuple[str, str, Optional[str], str]]:
        """Compare the cluster with the database, without the driver's code.

        Each has the class that the audit would give it, the id of the volume,
        the NQN of the host that it is about, and a text.
        """
        rows = self._subject.rows
        state = self._subject.simulator.state()
        volumes = {row['id']: row for row in rows(
            'SELECT id, size, status, provider_id FROM volumes '
            'WHERE deleted = 0')}
        attached: dict[str, set[str]] = {}
        for row in rows('SELECT volume_id, connector FROM volume_attachment '
                        'WHERE deleted = 0'):
            connector = json.loads(row['connector'] or '{}') or {}
            attached.setdefault(row['volume_id'], set()).update(
                filter(None, [connector.get('nqn')]))
        yield from self._snapshot_differences(state['snapshots'])
        there: dict[str, dict[str, Any]] = {}
        for message in state['volumes']:
            if message['state'] in ('Deleting', 'Deleted'):
                continue
            each = message['name'].partition('-')[2]
            if each not in volumes or each in there:
                yield 'orphans', each, None, (
                    f'volume {each} is there twice' if each in there else
                    f'volume {each} is unknown to Cinder')
            there[each] = message
        for each, row in volumes.items():
            if row['status'] not in ('available', 'in-use'):
                continue
            found = there.get(each)
            if found is None or found['UUID'] not in (
                    row['provider_id'] or ''):
                yield 'missing', each, None, (
                    f'volume {each} is not on the cluster')
                continue
            if int(found['size']) != row['size'] * GIB:
                yield 'sizes', each, None, (
                    f'volume {each} has {found["size"]} bytes, Cinder '
                    f'counts {row["size"]} GiB')
            hosts = attached.get(each, set())
            let_in = set(found['acl']['values']) - set(CLOSED)
            for host in let_in - hosts:
                yield 'access', each, host, (
                    f'volume {each} lets in {host}')
            for host in hosts - let_in:
                yield 'no-access', each, host, (
                    f'volume {each} does not let in {host}')
            of_ips = {HOST_OF_IP[ip] for ip in
                      set(found['IPAcl']['values']) - set(CLOSED)}
            for host in of_ips ^ let_in:
                yield 'addresses', each, host, (
                    f'volume {each} lets in either {host} or its address')

    def _snapshot_differences(
            self, messages: list[dict[str, Any]]
    ) -> Iterator[tuple[str, str, Optional[str], str]]:
        snapshots = {row['id']: row for row in self._subject.rows(
            'SELECT id, volume_id, status FROM snapshots WHERE deleted = 0')}
        for message in messages:
            kind, _dash, each = message['name'].partition('-')
            if message['state'] in GONE:
                continue
            if kind != 'snapshot':
                # for_clone_ID_RANDOM
                yield ('temporary-snapshots', message['name'].split('_')[2],
                       None, f'snapshot {message["name"]} is left')
            elif each not in snapshots:
                yield 'orphans', each, None, (
                    f'snapshot {each} is unknown to Cinder')
        for each, row in snapshots.items():
            if row['status'] == 'available' and [
                    f'volume-{row["volume_id"]}'] != [
                        message['sourceVolumeName'] for message in live(
                            messages, f'snapshot-{each}')]:
                yield 'missing', each, None, (
                    f'snapshot {each} is not on the cluster')

    def act_as_operator(self) -> None:
        """Do what the operator's guide says to do."""
        call = self._subject.api.call
        for each, (kind, state, _volume) in self._records().items():
            if kind == 'attachments' and state in (
                    'attaching', 'reserved', 'detaching', 'error_attaching'):
                call('DELETE', f'/attachments/{each}')
        doomed: list[tuple[str, str]] = []
        for each, (kind, state, _volume) in self._records().items():
            if kind == 'attachments' or not (
                    state.startswith('error') or state in IN_TRANSIT):
                continue
            if state in ('extending', 'error_extending'):
                call('POST', f'/volumes/{each}/action',
                     {'os-reset_status': {'status': 'available'}})
            elif state in ('creating', 'deleting', 'error',
                           'error_deleting'):
                call('POST', f'/{kind}/{each}/action',
                     {'os-reset_status': {'status': 'error'}})
                doomed.append((kind, each))
            else:
                call('POST', f'/{kind}/{each}/action', {'os-reset_status': {
                    'status': 'in-use' if call(
                        'GET', f'/{kind}/{each}')['volume']['attachments']
                    else 'available'}})
        # Snapshots first: their volumes cannot go before them.
        for kind, each in sorted(doomed):
            call('DELETE', f'/{kind}/{each}')
            waiting.until(
                lambda: self._state(each) in (None, 'error_deleting'),
                f'{kind[:-1]} {each} is deleted', OPERATION_TIME)
        self._extend_to_what_is_there()
        self._subject.audit(
            '--fix', 'access,no-access,temporary-snapshots,sizes')

    def _extend_to_what_is_there(self) -> None:
        call = self._subject.api.call
        sizes = {message['name'].partition('-')[2]: int(message['size'])
                 for message in self._subject.simulator.messages('volumes')}
        for kind, each, _host, _text in list(self._differences()):
            if kind == 'sizes':
                call('POST', f'/volumes/{each}/action', {'os-extend': {
                    'new_size': sizes[each] // GIB}})
                waiting.until(
                    lambda: self._state(each) == 'available',
                    f'volume {each} is extended', OPERATION_TIME)

    def still_wrong(self) -> list[str]:
        """What the audit and the comparison say when all is mended."""
        report = self._subject.audit()
        return [*report['errors'],
                *(f'audit: {finding["class"]} {finding["text"]}'
                  for finding in report['findings']),
                *(f'audit: in flight {each}'
                  for each in report['in_flight']),
                *(text for *_about, text in self._differences())]
