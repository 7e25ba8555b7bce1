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
"""What Cinder offers beside volumes, through the API of a running Cinder.

Cinder and a simulated cluster run for all of these tests, which therefore
leave nothing behind.
"""

import atexit
import contextlib
import json
import pathlib
import sys
import tempfile
import time
from typing import Any, NamedTuple, Optional

import ddt
import testtools

TREE = pathlib.Path(__file__).resolve().parents[4]

sys.path.insert(0, str(TREE / 'tools'))
from cinder.tests.functional.lightos import waiting  # noqa: E402
from demo import block_storage  # noqa: E402
from demo import cluster  # noqa: E402
from demo import errors  # noqa: E402
from demo import layout  # noqa: E402
from demo import processes  # noqa: E402
from demo import rest  # noqa: E402
from demo import services  # noqa: E402

# Seconds that Cinder may take to tell the scheduler of a change: several
# periods of the statistics.
STATS_PERIOD = 20
STATS_TIME = 90
# Requests of the two backends in a period.
STATS_REQUESTS = 2 * 2
GIB = 1024 ** 3
# What the simulated cluster can hold in GiB, and how many times that Cinder
# provisions by default.
CAPACITY = 10240
MOST_PROVISIONED = 20
# A backend whose token is one of this LightOS project.
TENANT = 'tenant'
PROJECT = 'blue'
# What Cinder tells its users: the driver's own words are in the log.
NOT_MADE = ('create volume from backend storage:'
            'Driver failed to create the volume.')
NOWHERE = ('schedule allocate volume:'
           'Could not find any available weighted backend.')
HOST = {'nqn': 'nqn.2014-08.org.nvmexpress:uuid:host', 'host': 'host',
        'ip': '192.0.2.1', 'host_ips': ['192.0.2.1'], 'found_dsc': 'found'}

until = waiting.until


class Here(layout.Layout):
    """Cinder as it is installed in this very environment."""

    @property
    def environment(self) -> pathlib.Path:
        return pathlib.Path(sys.prefix)


class Cloud(NamedTuple):
    """A Cinder and its cluster.

    :param api: Cinder's REST API, as the administrator of the project "demo"
    :param other: likewise of the project "other"
    """

    api: rest.Api
    other: rest.Api
    simulator: cluster.Simulator
    control: rest.Api
    log: pathlib.Path
    command_line: block_storage.CommandLine

    @classmethod
    def start(cls) -> 'Cloud':
        stack = contextlib.ExitStack()
        atexit.register(stack.close)
        where = Here(pathlib.Path(stack.enter_context(
            tempfile.TemporaryDirectory(prefix='lightos-features-'))))
        where.run.mkdir()
        where.logs.mkdir()
        started = processes.Processes(where)
        stack.callback(started.end)
        simulator = services.start_simulator(where, started,
                                             options=['--project', PROJECT])
        control = rest.Api(simulator.control, {})
        token = control.call('POST', '/tokens', {
            'scope': PROJECT, 'role': 'admin'})['file']
        url = services.start_cinder(
            where, started, {
                services.BACKEND: simulator.address,
                TENANT: simulator.address._replace(
                    jwt_file=pathlib.Path(token))},
            {'DEFAULT': {'backend_stats_polling_interval': STATS_PERIOD,
                         'periodic_interval': STATS_PERIOD,
                         # A refusal takes as long, each time.
                         'scheduler_max_attempts': 2}})
        version = {'OpenStack-API-Version':
                   f'volume {block_storage.MICROVERSION}'}
        cloud = cls(rest.Api(url, version),
                    rest.Api(url, {**version, 'X-Auth-Token': 'other'}),
                    simulator, control, where.log('cinder'),
                    block_storage.CommandLine(where, started, url))
        until(lambda: len(cloud.pools()) == 2,
              'the scheduler knows the backends')
        # Only a type that says so is for the other backend.
        (default,) = [each for each in cloud.api.call('GET', '/types')[
            'volume_types'] if each['name'] == '__DEFAULT__']
        cloud.api.call('POST', f'/types/{default["id"]}/extra_specs', {
            'extra_specs': {'volume_backend_name': services.BACKEND}})
        for project in ('demo', 'other'):
            cloud.api.call('PUT', f'/os-quota-sets/{project}', {
                'quota_set': dict.fromkeys(
                    ('volumes', 'snapshots', 'gigabytes', 'groups'), -1)})
        return cloud

    def pools(self) -> dict[str, dict[str, Any]]:
        """What the scheduler knows of each backend."""
        return {pool['name'].partition('#')[2]: pool['capabilities']
                for pool in self.api.call(
                    'GET', '/scheduler-stats/get_pools',
                    query={'detail': 'True'})['pools']}

    def openstack(self, *words: str) -> Any:
        """Run the openstack command; return what it says in JSON."""
        run = self.command_line.start([
            '--os-volume-api-version', block_storage.MICROVERSION, *words,
            '--format', 'json'])
        output, _ = run.process.communicate(timeout=waiting.WORK_TIME)
        return json.loads(output)


_started: list[Cloud] = []


class FeaturesTestCase(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        if not _started:
            _started.append(Cloud.start())
        self.cloud = _started[0]
        self.api = self.cloud.api

    def make_type(self, **extra_specs: str) -> str:
        """Make a volume type; ``lightos__x`` is the key ``lightos:x``."""
        made = self.api.call('POST', '/types', {'volume_type': {
            'name': self.getUniqueString(), 'extra_specs': {
                'volume_backend_name': services.BACKEND,
                **{key.replace('__', ':'): value
                   for key, value in extra_specs.items()}}}})['volume_type']
        self.addCleanup(self.api.call, 'DELETE', f'/types/{made["id"]}')
        return str(made['id'])

    def make(self, kind: str, status: str = 'available',
             **values: Any) -> dict[str, Any]:
        """Make a volume or snapshot; return it once it has the status."""
        if kind == 'volumes':
            values.setdefault('size', 1)
        made = self.api.call('POST', f'/{kind}', {kind[:-1]: values})
        object_id = made[kind[:-1]]['id']
        self.addCleanup(self.delete, kind, object_id)
        return self.wait_for(kind, object_id, status)

    def show(self, kind: str, object_id: str) -> Optional[dict[str, Any]]:
        try:
            shown: dict[str, Any] = self.api.call(
                'GET', f'/{kind}/{object_id}')[kind[:-1]]
        except errors.DemoError as error:
            if ': 404 ' in str(error):
                return None
            raise
        return shown

    def wait_for(self, kind: str, object_id: str,
                 status: str) -> dict[str, Any]:
        def settled() -> Optional[dict[str, Any]]:
            shown = self.show(kind, object_id)
            assert shown is not None
            return None if shown['status'] in (
                'creating', 'retyping', 'reverting', 'updating',
                'deleting') else shown
        shown: dict[str, Any] = until(settled, f'{object_id} is {status}')
        self.assertEqual(status, shown['status'], shown)
        return shown

    def delete(self, kind: str, object_id: str) -> None:
        """Delete a volume or snapshot and wait for the end of it."""
        if self.show(kind, object_id) is None:
            return
        self.api.call('DELETE', f'/{kind}/{object_id}')
        until(lambda: self.show(kind, object_id) is None,
              f'{object_id} is gone')

    def there(self, volume: dict[str, Any]) -> dict[str, Any]:
        """The volume of that name on the cluster."""
        (found,) = [each for each in self.cloud.simulator.messages('volumes')
                    if each['name'] == 'volume-' + volume['id']]
        return dict(found)

    def labels(self, volume: dict[str, Any]) -> dict[str, str]:
        return {label['key']: label['value']
                for label in self.there(volume)['labels']}

    def act(self, volume: dict[str, Any], action: str,
            **values: Any) -> None:
        self.api.call('POST', f'/volumes/{volume["id"]}/action',
                      {action: values})

    def attach(self, volume: dict[str, Any], **connector: Any) -> None:
        """Attach a volume to a host until the end of the test."""
        self.addCleanup(self.detach, volume)
        made = self.api.call('POST', '/attachments', {'attachment': {
            'volume_uuid': volume['id'],
            'connector': {**HOST, **connector}}})['attachment']
        self.api.call('POST', f'/attachments/{made["id"]}/action',
                      {'os-complete': {}})

    def detach(self, volume: dict[str, Any]) -> None:
        """Leave a volume no attachment, whatever state that is in."""
        for each in self.api.call('GET', '/attachments', query={
                'volume_id': volume['id']})['attachments']:
            self.api.call('DELETE', f'/attachments/{each["id"]}')

    def expected(self, volume: dict[str, Any],
                 **changed: str) -> dict[str, str]:
        return {'cinder_volume_id': volume['id'],
                'openstack_project_id': 'demo',
                'cinder_volume_type': volume['volume_type_id'],
                'cinder_backend': 'demo_lightos', **changed}

    def messages(self, volume: dict[str, Any]) -> list[str]:
        """What Cinder tells its user of a volume."""
        return [message['user_message'] for message in self.api.call(
            'GET', '/messages')['messages']
            if message['resource_uuid'] == volume['id']]

    def requests(self) -> list[dict[str, Any]]:
        """Every request to the cluster."""
        return list(self.cloud.control.call('GET', '/journal')['requests'])

    def refused(self, reason: str, *told: str, **values: Any) -> None:
        """Ask for a volume; it is in error, and nothing of it is left.

        :param reason: what the log has in a line with the volume's id;
            empty if it is not the driver that refuses it
        :param told: what Cinder tells the user
        """
        volume = self.make('volumes', status='error', **values)
        self.assertTrue(any(
            reason in line and volume['id'] in line
            for line in self.cloud.log.read_text().splitlines()), reason)
        self.assertEqual({*told}, {*self.messages(volume)})
        self.assertEqual([], [
            each for kind in ('volumes', 'snapshots')
            for each in self.cloud.simulator.messages(kind)
            if volume['id'] in each['name'] and
            each['state'] not in ('Deleting', 'Deleted')])


class LabelsTest(FeaturesTestCase):

    def test_new_volume_and_its_copies_have_labels_of_their_own(
            self) -> None:
        volume = self.make('volumes')
        snapshot = self.make('snapshots', volume_id=volume['id'])
        for copy in (volume, self.make('volumes', source_volid=volume['id']),
                     self.make('volumes', snapshot_id=snapshot['id'])):
            self.assertEqual(self.expected(copy), self.labels(copy))

    def test_transferred_volume_is_labelled_with_its_new_project(
            self) -> None:
        volume = self.make('volumes')
        transfer = self.api.call('POST', '/volume-transfers', {
            'transfer': {'volume_id': volume['id'], 'name': 'x'}})['transfer']
        self.cloud.other.call(
            'POST', f'/volume-transfers/{transfer["id"]}/accept',
            {'accept': {'auth_key': transfer['auth_key']}})
        self.assertEqual(
            self.expected(volume, openstack_project_id='other'),
            self.labels(volume))

    def test_reverted_volume_keeps_the_labels_it_had(self) -> None:
        volume = self.make('volumes')
        self.make('snapshots', volume_id=volume['id'])
        (snapshot,) = self.api.call(
            'GET', '/snapshots', query={'volume_id': volume['id']}
        )['snapshots']
        transfer = self.api.call('POST', '/volume-transfers', {
            'transfer': {'volume_id': volume['id'], 'name': 'x'}})['transfer']
        self.cloud.other.call(
            'POST', f'/volume-transfers/{transfer["id"]}/accept',
            {'accept': {'auth_key': transfer['auth_key']}})
        self.act(volume, 'revert', snapshot_id=snapshot['id'])
        self.wait_for('volumes', volume['id'], 'available')
        self.assertEqual(
            self.expected(volume, openstack_project_id='other'),
            self.labels(volume))


@ddt.ddt
class SectorSizeTest(FeaturesTestCase):

    @ddt.data('512', '4096')
    def test_volume_has_the_sectors_its_type_asks_for(self, size) -> None:
        volume_type = self.make_type(lightos__sector_size=size)
        volume = self.make('volumes', volume_type=volume_type)
        snapshot = self.make('snapshots', volume_id=volume['id'])
        for made in (volume, self.make('volumes', source_volid=volume['id'],
                                       volume_type=volume_type),
                     self.make('volumes', snapshot_id=snapshot['id'],
                               volume_type=volume_type)):
            self.assertEqual(int(size), self.there(made)['sectorSize'])

    def test_type_cannot_be_changed_in_place(self) -> None:
        volume = self.make('volumes', volume_type=self.make_type(
            lightos__sector_size='512'))
        self.act(volume, 'os-retype', migration_policy='never',
                 new_type=self.make_type(lightos__sector_size='4096'))
        time.sleep(1)
        self.wait_for('volumes', volume['id'], 'available')
        self.assertEqual(512, self.there(volume)['sectorSize'])


class InUseTest(FeaturesTestCase):
    """What can be done with a volume that a host has, and what cannot."""

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.make('volumes')
        self.attach(self.volume)

    def test_attached_volume_is_copied(self) -> None:
        snapshot = self.make('snapshots', volume_id=self.volume['id'],
                             force=True)
        self.assertIn(
            ('snapshot-' + snapshot['id'], self.there(self.volume)['UUID']),
            {(each['name'], each['sourceVolumeUUID'])
             for each in self.cloud.simulator.messages('snapshots')})
        for source in ({'snapshot_id': snapshot['id']},
                       {'source_volid': self.volume['id']}):
            copy = self.make('volumes', **source)
            self.assertEqual(['ALLOW_NONE'],
                             self.there(copy)['acl']['values'])

    def test_attached_volume_is_not_deleted(self) -> None:
        for query in ({}, {'force': 'True'}, {'cascade': 'True'}):
            said = self.assertRaises(
                errors.DemoError, self.api.call, 'DELETE',
                f'/volumes/{self.volume["id"]}', query=query)
            self.assertIn('attached', str(said))
        self.assertEqual([HOST['nqn']],
                         self.there(self.volume)['acl']['values'])

    def test_host_is_told_that_it_may_only_read(self) -> None:
        self.detach(self.volume)
        self.act(self.volume, 'os-update_readonly_flag', readonly=True)
        self.attach(self.volume, mode='ro')
        (attachment,) = self.api.call('GET', '/attachments', query={
            'volume_id': self.volume['id']})['attachments']
        shown = self.api.call('GET', f'/attachments/{attachment["id"]}')
        self.assertEqual('ro', shown['attachment']['connection_info'][
            'access_mode'])


class DeleteTest(FeaturesTestCase):

    def test_volume_goes_with_its_snapshots(self) -> None:
        volume = self.make('volumes')
        snapshots = [self.make('snapshots', volume_id=volume['id'])['id']
                     for _each in range(2)]
        copy = self.make('volumes', snapshot_id=snapshots[0])
        self.api.call('DELETE', f'/volumes/{volume["id"]}',
                      query={'cascade': 'True'})
        until(lambda: self.show('volumes', volume['id']) is None,
              'it is gone')
        self.assertEqual([], [
            each['name'] for kind in ('volumes', 'snapshots')
            for each in self.cloud.simulator.messages(kind)
            if each['state'] not in ('Deleting', 'Deleted') and
            each['name'].partition('-')[2] in (volume['id'], *snapshots)])
        self.assertEqual('Available', self.there(copy)['state'])

    def test_volume_goes_whose_type_makes_no_sense_any_more(self) -> None:
        limits = self.api.call('POST', '/qos-specs', {'qos_specs': {
            'name': self.getUniqueString(), 'consumer': 'back-end',
            'lightos:read_iops': '1024'}})['qos_specs']['id']
        self.addCleanup(self.api.call, 'DELETE', f'/qos-specs/{limits}',
                        query={'force': 'True'})
        volume_type = self.make_type()
        self.api.call('GET', f'/qos-specs/{limits}/associate',
                      query={'vol_type_id': volume_type})
        volume = self.make('volumes', volume_type=volume_type)
        self.api.call('PUT', f'/qos-specs/{limits}', {
            'qos_specs': {'lightos:read_iops': '1000'}})
        self.refused("must be a multiple of 256 from 0, which is unlimited, "
                     "to 4294967295, not '1000'", NOT_MADE, NOWHERE,
                     volume_type=volume_type)
        self.delete('volumes', volume['id'])


class ExtendTest(FeaturesTestCase):

    def test_attached_volume_grows(self) -> None:
        volume = self.make('volumes')
        self.attach(volume)
        before = self.there(volume)
        self.act(volume, 'os-extend', new_size=3)
        until(lambda: self.show('volumes', volume['id'])['size'] == 3,
              'it is extended')
        self.wait_for('volumes', volume['id'], 'in-use')
        after = self.there(volume)
        self.assertEqual((before['UUID'], [HOST['nqn']], str(3 * GIB)),
                         (after['UUID'], after['acl']['values'],
                          after['size']))

    def test_volume_does_not_shrink(self) -> None:
        volume = self.make('volumes', size=2)
        before = len(self.requests())
        said = self.assertRaises(errors.DemoError, self.act, volume,
                                 'os-extend', new_size=1)
        self.assertIn('must be greater', str(said))
        self.assertEqual([], [
            each for each in self.requests()[before:]
            if each['method'] == 'PUT'])


@ddt.ddt
class RefusedTest(FeaturesTestCase):
    """What cannot be had: who is told what, and that nothing is left."""

    @ddt.data(
        ({'lightos__num_replicas': '4'},
         "lightos:num_replicas must be a number from 1 to 3, not '4'"),
        ({'lightos__sector_size': '513'},
         "lightos:sector_size must be 512 or 4096, not '513'"),
        ({'lightos__project_name': 'no/such'}, 'no/such'),
        ({'lightos__project_name': 'nowhere'}, 'nowhere'),
        ({'lightos__qos_policy': 'nothing'},
         'The cluster has no QoS policy nothing'))
    @ddt.unpack
    def test_type_that_makes_no_sense(self, specs: dict[str, str],
                                      reason: str) -> None:
        self.refused(reason, NOT_MADE, NOWHERE,
                     volume_type=self.make_type(**specs))

    @ddt.data(
        {'compression': 'perhaps'}, {'storage_protocol': 'iSCSI'},
        {'thick_provisioning_support': '<is> True'},
        {'replication_enabled': '<is> True'},
        {'consistent_group_snapshot_enabled': '<is> True'},
        {'clone_across_pools': '<is> True'})
    def test_type_of_what_lightos_has_not(self, specs: dict[str, str]
                                          ) -> None:
        self.refused('', NOWHERE,
                     volume_type=self.make_type(**specs))

    def test_spec_that_says_nothing_to_lightos_is_told(self) -> None:
        volume = self.make('volumes', volume_type=self.make_type(
            lightos__replicas='1'))
        self.assertTrue(any(
            'extra specs lightos:replicas, which say nothing' in line and
            volume['id'] in line
            for line in self.cloud.log.read_text().splitlines()))
        self.assertEqual(3, self.there(volume)['replicaCount'])

    def test_copy_that_is_not_as_its_source(self) -> None:
        volume = self.make('volumes')
        snapshot = self.make('snapshots', volume_id=volume['id'])
        for specs, reason in (
                ({'lightos__num_replicas': '2'},
                 'The snapshot has 3 replicas and the volume type or '
                 'lightos_default_num_replicas asks for 2'),
                ({'compression': '<is> True'},
                 'The snapshot is not compressed and the volume type or '
                 'lightos_default_compression_enabled asks for compression'),
                ({'lightos__sector_size': '512'},
                 'The snapshot has sectors of 4096 bytes and the volume type '
                 'asks for 512'),
                ({'lightos__project_name': PROJECT},
                 'LightOS makes a clone in the project of its source')):
            volume_type = self.make_type(**specs)
            for source in ({'snapshot_id': snapshot['id']},
                           {'source_volid': volume['id']}):
                self.refused(reason, NOWHERE, volume_type=volume_type,
                             **source)

    def test_user_lists_the_messages(self) -> None:
        volume_type = self.make_type(lightos__num_replicas='4')
        made = self.cloud.openstack('volume', 'create', '--size', '1',
                                    '--type', volume_type, 'refused')
        self.addCleanup(self.delete, 'volumes', made['id'])
        self.wait_for('volumes', made['id'], 'error')
        self.assertEqual({NOT_MADE, NOWHERE}, {
            message['User Message'] for message in self.cloud.openstack(
                'volume', 'message', 'list')
            if message['Resource UUID'] == made['id']})

    def test_host_that_cannot_attach(self) -> None:
        volume = self.make('volumes')
        addresses = [f'192.0.2.{number}' for number in range(17)]
        for connector, reason in (
                ({'nqn': ''}, '/etc/nvme/hostnqn'),
                ({'found_dsc': ''}, 'discovery-client'),
                ({'host_ips': ['169.254.0.1']}, 'host_ips'),
                ({'host_ips': addresses}, 'few enough host_ips')):
            said = self.assertRaises(errors.DemoError, self.attach, volume,
                                     **connector)
            self.assertIn(reason, str(said))
            self.assertEqual(['ALLOW_NONE'],
                             self.there(volume)['acl']['values'])
            self.detach(volume)


class StatisticsTest(FeaturesTestCase):

    def capabilities(self, backend: str = services.BACKEND
                     ) -> dict[str, Any]:
        return self.cloud.pools()[backend]

    def test_scheduler_knows_what_the_backend_is(self) -> None:
        seen = self.capabilities()
        self.assertEqual({
            'backend_state': 'up', 'storage_protocol': 'lightos',
            'sparse_copy_volume': True, 'QoS_support': True,
            'online_extend_support': True, 'multiattach': True,
            'thin_provisioning_support': True,
            'thick_provisioning_support': False,
            'compression': [True, False], 'lightos_max_replicas': 3,
            'lightos_health': 'OK'},
            {name: seen.get(name) for name in (
                'backend_state', 'storage_protocol', 'sparse_copy_volume',
                'QoS_support', 'online_extend_support', 'multiattach',
                'thin_provisioning_support', 'thick_provisioning_support',
                'compression', 'lightos_max_replicas', 'lightos_health')})
        self.assertEqual(1, seen['lightos_compression_ratio'])
        self.assertNotIn('consistent_group_snapshot_enabled', seen)

    def test_figures_are_those_of_the_cluster(self) -> None:
        self.make('volumes', size=4)
        until(lambda: self.capabilities().get(
            'provisioned_capacity_gb') == sum(
                int(each['size']) for each in
                self.cloud.simulator.messages('volumes')) / GIB,
            'the scheduler knows what is provisioned', STATS_TIME)
        seen = self.capabilities()
        # What a volume is provisioned with takes no room.
        self.assertEqual((CAPACITY, CAPACITY), (
            seen['total_capacity_gb'], seen['free_capacity_gb']))

    def test_more_than_there_is_can_be_provisioned(self) -> None:
        self.make('volumes', size=2 * CAPACITY)
        self.refused('', NOWHERE,
                     size=MOST_PROVISIONED * CAPACITY)

    def test_looking_at_the_figures_asks_the_cluster_for_nothing(
            self) -> None:
        began, before = time.monotonic(), len(self.requests())
        for _time in range(10):
            self.cloud.pools()
            self.api.call('GET', '/capabilities/demo@lightos')
        periods = 1 + (time.monotonic() - began) // STATS_PERIOD
        self.assertLessEqual(len(self.requests()) - before,
                             STATS_REQUESTS * periods)

    def test_token_of_a_project_tells_no_capacity(self) -> None:
        until(lambda: self.capabilities(TENANT)['lightos_max_replicas'] == 3,
              'the scheduler knows of three replicas', STATS_TIME)
        seen = self.capabilities(TENANT)
        self.assertEqual(
            ('up', 'infinite', 'infinite', 'unknown'), tuple(
                seen[name] for name in (
                    'backend_state', 'total_capacity_gb',
                    'free_capacity_gb', 'lightos_health')))
        self.assertNotIn('provisioned_capacity_gb', seen)
        volume_type = self.make_type(volume_backend_name=TENANT,
                                     lightos__project_name=PROJECT)
        volume = self.make('volumes', volume_type=volume_type)
        self.assertEqual(PROJECT, self.there(volume)['projectName'])
        self.make('volumes', source_volid=volume['id'],
                  volume_type=volume_type)
        self.refused('403', NOT_MADE, NOWHERE, volume_type=self.make_type(
            volume_backend_name=TENANT))

    def test_cluster_that_does_not_answer_is_down(self) -> None:
        for node in range(3):
            self.cloud.simulator.set_mode(node, 'stopped')
            self.addCleanup(self.cloud.simulator.set_mode, node, 'up')
        until(lambda: self.capabilities()['backend_state'] == 'down',
              'the scheduler knows that it is down', STATS_TIME)
        self.refused('', NOWHERE)
        for node in range(3):
            self.cloud.simulator.set_mode(node, 'up')
        for backend in (services.BACKEND, TENANT):
            until(lambda: self.capabilities(backend)['backend_state'] == 'up',
                  'the scheduler knows that it is up', STATS_TIME)
        self.make('volumes')

    def test_more_replicas_than_possible_now_are_refused(self) -> None:
        at_scheduling = self.make_type(
            lightos__num_replicas='3',
            capabilities__lightos_max_replicas='>= 3')
        at_create = self.make_type(lightos__num_replicas='3')
        self.cloud.control.call('POST', '/nodes/2', {'state': 'Inactive'})
        self.addCleanup(self.cloud.control.call, 'POST', '/nodes/2',
                        {'state': 'Active'})
        until(lambda: self.capabilities()['lightos_max_replicas'] == 2,
              'the scheduler knows of two replicas', STATS_TIME)
        self.assertEqual('Warning', self.capabilities()['lightos_health'])
        before = len(self.requests())
        for volume_type in (at_scheduling, self.make_type(
                capabilities__lightos_health='OK')):
            self.refused('', NOWHERE,
                         volume_type=volume_type)
        self.refused('its type or lightos_default_num_replicas asks for 3 '
                     'replicas, and the cluster can hold 2 of a volume now',
                     NOT_MADE, NOWHERE, volume_type=at_create)
        # It was not even asked.
        self.assertEqual([], [each for each in self.requests()[before:]
                              if each['method'] == 'POST'])
        self.cloud.control.call('POST', '/nodes/2', {'state': 'Active'})
        self.make('volumes', volume_type=at_create)


@ddt.ddt
class GroupsTest(FeaturesTestCase):

    def setUp(self) -> None:
        super().setUp()
        made = self.api.call('POST', '/group_types', {'group_type': {
            'name': self.getUniqueString()}})['group_type']
        self.addCleanup(self.api.call, 'DELETE', f'/group_types/{made["id"]}')
        self.group_type = made['id']
        self.volume_type = self.make_type(lightos__num_replicas='2')

    def make_group(self, path: str = '/groups', action: str = 'group',
                   **values: Any) -> str:
        made = self.api.call('POST', path, {action: values})
        group_id = str(made['group']['id'])
        self.addCleanup(self.delete_group, group_id)
        self.wait_for('groups', group_id, 'available')
        return group_id

    def delete_group(self, group_id: str) -> None:
        if self.show('groups', group_id):
            self.api.call('POST', f'/groups/{group_id}/action',
                          {'delete': {'delete-volumes': True}})
            until(lambda: self.show('groups', group_id) is None,
                  f'group {group_id} is gone')

    def volumes_of(self, group_id: str) -> list[dict[str, Any]]:
        return [each for each in self.api.call(
            'GET', '/volumes/detail')['volumes']
            if each['group_id'] == group_id]

    def test_group_and_its_snapshot_through_all_their_life(self) -> None:
        group = self.make_group(group_type=self.group_type,
                                volume_types=[self.volume_type])
        volumes = [self.make('volumes', volume_type=self.volume_type,
                             **values)
                   for values in ({'group_id': group}, {})]
        self.api.call('PUT', f'/groups/{group}', {
            'group': {'add_volumes': volumes[1]['id']}})
        self.wait_for('groups', group, 'available')
        self.assertEqual({volume['id'] for volume in volumes},
                         {volume['id'] for volume in self.volumes_of(group)})

        taken = self.make('group_snapshots', group_id=group)
        self.assertEqual(
            {self.there(volume)['UUID'] for volume in volumes},
            {snapshot['sourceVolumeUUID'] for snapshot in
             self.cloud.simulator.messages('snapshots')
             if snapshot['state'] == 'Available'})

        for source in ({'group_snapshot_id': taken['id']},
                       {'source_group_id': group}):
            copy = self.make_group('/groups/action', 'create-from-src',
                                   **source)
            copies = self.volumes_of(copy)
            self.assertEqual(2, len(copies))
            for volume in copies:
                self.wait_for('volumes', volume['id'], 'available')
                self.assertEqual(volume['id'],
                                 self.labels(volume)['cinder_volume_id'])
            self.delete_group(copy)

        self.delete('group_snapshots', taken['id'])
        self.delete_group(group)
        self.assertEqual([], [
            each for each in self.cloud.simulator.messages('volumes')
            if each['state'] not in ('Deleting', 'Deleted') and
            each['name'].partition('-')[2] in
            {volume['id'] for volume in volumes}])

    @ddt.data('consistent_group_snapshot_enabled',
              'group_replication_enabled',
              'consistent_group_replication_enabled')
    def test_promise_that_cannot_be_kept_is_refused(self, spec: str) -> None:
        made = self.api.call('POST', '/group_types', {'group_type': {
            'name': self.getUniqueString(),
            'group_specs': {spec: '<is> True'}}})
        type_id = made['group_type']['id']
        self.addCleanup(self.api.call, 'DELETE', f'/group_types/{type_id}')
        group = self.api.call('POST', '/groups', {'group': {
            'group_type': type_id,
            'volume_types': [self.volume_type]}})['group']
        self.addCleanup(self.delete_group, group['id'])
        self.wait_for('groups', group['id'], 'error')
        self.assertTrue(any(
            f'the type of group {group["id"]} asks for' in line
            for line in self.cloud.log.read_text().splitlines()))
