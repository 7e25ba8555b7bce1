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
"""What administrators do with volume types and with foreign volumes.

The first cluster is left as it was found. The second one has 10,000 volumes
once they have been listed.
"""

import json
from typing import Any, Mapping, Optional

import ddt

from cinder.tests.functional.lightos import cinder_services
from cinder.tests.functional.lightos import test_operations
from cinder.tests.functional.lightos import waiting

errors = cinder_services.errors
until = waiting.until
GIB = 1024 ** 3
MANY = 10000
CLOSED = {'values': ['ALLOW_NONE']}
Message = dict[str, Any]


class AdministrationTestCase(test_operations.MigrationTestCase):

    CLUSTER = 'east'

    def setUp(self) -> None:
        super().setUp()
        self.lightos = self.cloud.lightos(self.CLUSTER)

    # On the cluster, behind Cinder's back

    def make_foreign(self, kind: str = 'volumes', **fields: Any) -> str:
        """Make a volume or snapshot that Cinder does not know.

        :returns: its UUID
        """
        if kind == 'volumes':
            fields = {'size': f'{GIB}b', 'replicaCount': 3, 'acl': CLOSED,
                      'compression': 'false', **fields}
        uuid = str(self.lightos.call('POST', f'/projects/default/{kind}', {
            'name': self.getUniqueString(), **fields})['UUID'])
        self.addCleanup(self.destroy, kind, uuid)
        self.wait_until_idle(kind, uuid)
        return uuid

    def destroy(self, kind: str, uuid: str) -> None:
        if self.message(uuid, kind):
            self.lightos.call('DELETE', f'/projects/default/{kind}/{uuid}')
            until(lambda: not self.message(uuid, kind), f'{uuid} is gone')

    def change(self, uuid: str, **fields: Any) -> None:
        self.lightos.call('PUT', f'/projects/default/volumes/{uuid}', fields)
        self.wait_until_idle('volumes', uuid)

    def wait_until_idle(self, kind: str, uuid: str) -> None:
        until(lambda: self.message(uuid, kind).get('state') == 'Available',
              f'{uuid} is made')

    def message(self, uuid: str, kind: str = 'volumes') -> Message:
        """What the cluster says of it; empty if it does not have it."""
        return next((message for message in
                     self.cloud.clusters[self.CLUSTER].messages(kind)
                     if message['UUID'] == uuid), {})

    def make_policy(self, **limits: int) -> Message:
        """Make a QoS policy for all projects."""
        policy: Message = self.lightos.call('POST', '/policies', {
            'name': self.getUniqueString(), 'qoSRateLimitPolicy': {
                'policyVisibility': 'Global', 'limitIOPS': limits}})
        until(lambda: self.policies()[policy['UUID']]['state'] == 'Active',
              'the policy is made')
        return policy

    def policies(self) -> dict[str, Message]:
        return {policy['UUID']: policy for policy in
                self.cloud.clusters[self.CLUSTER].state()['policies']}

    # In Cinder

    def make_type(self, extra_specs: Mapping[str, str] = {}) -> str:
        """Make a volume type; return its id."""
        type_id = str(self.cloud.api.call('POST', '/types', {
            'volume_type': {'name': self.getUniqueString(),
                            'extra_specs': extra_specs}}
        )['volume_type']['id'])
        self.addCleanup(self.cloud.api.call, 'DELETE', f'/types/{type_id}')
        return type_id

    def manage(self, reference: Mapping[str, str],
               status: str = 'available', **values: Any) -> str:
        """Manage a volume of the cluster; return its id."""
        volume_id = str(self.cloud.api.call('POST', '/manageable_volumes', {
            'volume': {'host': self.cloud.pools['east'], 'ref': reference,
                       **values}})['volume']['id'])
        self.cloud.wait_for_status(volume_id, status)
        return volume_id

    def manage_snapshot(self, volume_id: str, reference: Mapping[str, str],
                        status: str = 'available') -> str:
        """Manage a snapshot of the cluster; return its id."""
        snapshot_id = str(self.cloud.api.call(
            'POST', '/manageable_snapshots', {'snapshot': {
                'volume_id': volume_id, 'ref': reference}})['snapshot']['id'])
        self.cloud.wait_for_status(snapshot_id, status, 'snapshots')
        return snapshot_id

    def assert_labelled(self, volume_id: str,
                        backend: str = 'east') -> Message:
        """The volume says whose it is.

        :returns: what the cluster says of it
        """
        shown = self.cloud.record(volume_id)
        message = self.message(self.cloud.volume_of(volume_id).uuid)
        self.assertEqual(
            {'cinder_volume_id': volume_id,
             'openstack_project_id': shown['project_id'],
             'cinder_volume_type': shown['volume_type_id'],
             'cinder_backend': f'demo_{backend}'},
            {label['key']: label['value'] for label in message['labels']})
        return message


@ddt.ddt
class ManageVolumeTest(AdministrationTestCase):

    def test_there_and_back_again(self) -> None:
        type_id = self.make_type({'compression': '<is> False',
                                  'lightos:num_replicas': '3'})
        uuid = self.make_foreign(name='payroll', size=f'{GIB * 3 // 2}b',
                                 labels=[{'key': 'owner', 'value': 'us'}])
        self.cloud.write(uuid, test_operations.CONTENT)

        volume_id = self.cloud.openstack(
            'volume', 'create', '--remote-source', 'source-name=payroll',
            '--host', self.cloud.pools['east'], '--type', type_id,
            # Without, Cinder refuses what the command sends.
            '--non-bootable', '--format', 'value', '--column', 'id',
            'taken').strip()
        self.cloud.wait_for_status(volume_id, 'available')
        self.assertEqual(2, self.cloud.show(volume_id)['size'])
        self.assertEqual(uuid, self.assert_lives(volume_id).uuid)
        message = self.message(uuid)
        self.assertEqual((f'volume-{volume_id}', str(2 * GIB)),
                         (message['name'], message['size']))
        labels = {label['key']: label['value'] for label in message['labels']}
        self.assertEqual(('us', volume_id, type_id), (
            labels['owner'], labels['cinder_volume_id'],
            labels['cinder_volume_type']))

        self.cloud.openstack('volume', 'delete', '--remote', volume_id)
        self.cloud.wait_until_gone(volume_id)
        self.assertEqual([{'key': 'owner', 'value': 'us'}],
                         self.message(uuid)['labels'])
        self.assertEqual(test_operations.CONTENT, self.cloud.read(uuid))

        again = self.manage({'source-id': uuid})
        self.assertEqual(f'volume-{again}', self.message(uuid)['name'])
        attachment_id = self.cloud.attach(again)
        self.cloud.api.call('DELETE', f'/attachments/{attachment_id}')
        self.cloud.wait_for_status(again, 'available')
        self.delete(again)

    def refused(self, reference: Mapping[str, str], reason: str,
                **values: Any) -> None:
        """Managing fails with the reason, and changes nothing."""
        before = self.cloud.clusters['east'].messages('volumes')
        # The API does not tell this from any other error.
        volume_id = self.manage(reference, 'error', **values)
        self.assertEqual('error_managing',
                         self.cloud.record(volume_id)['status'])
        self.assertIn(reason, self.cloud.log('east').partition(volume_id)[2])
        self.cloud.delete(volume_id)
        self.assertEqual(before,
                         self.cloud.clusters['east'].messages('volumes'))

    def test_volume_of_this_cinder_is_refused(self) -> None:
        volume_id = self.make_volume()
        uuid = self.cloud.volume_of(volume_id).uuid
        self.refused({'source-id': uuid}, f'it is volume {volume_id} of')
        # This one Cinder sees by itself.
        self.assertIn('already managed', str(self.assertRaises(
            errors.DemoError, self.manage,
            {'source-name': f'volume-{volume_id}'})))
        self.assert_lives(volume_id)
        self.delete(volume_id)

    def test_volume_that_lets_in_a_host_is_refused(self) -> None:
        uuid = self.make_foreign(acl={'values': ['nqn.2014-08.org.nvm:h']})
        self.refused({'source-id': uuid}, 'it lets in hosts')

    def test_what_is_not_there_is_refused(self) -> None:
        self.refused({'source-name': 'nothing'}, 'there is no such volume')
        self.refused({'source-id': 'nothing'}, 'must be the UUID')

    @ddt.data(({'lightos:num_replicas': '2'}, 'it has 3 replicas'),
              ({'compression': '<is> True'}, 'it is not compressed'),
              ({'lightos:qos_policy': 'gold'}, 'the type asks for gold'),
              ({'lightos:project_name': 'blue'}, 'is in project default'))
    @ddt.unpack
    def test_type_that_contradicts_is_refused(
            self, extra_specs: Mapping[str, str], reason: str) -> None:
        uuid = self.make_foreign()
        self.refused({'source-id': uuid}, reason,
                     volume_type=self.make_type(extra_specs))


class LabelsTest(AdministrationTestCase):
    """Whose a volume is, beside what an operator writes on it."""

    def labels(self, uuid: str) -> list[tuple[str, str]]:
        return [(label['key'], label['value'])
                for label in self.message(uuid)['labels']]

    def test_sixteen_are_never_exceeded(self) -> None:
        plain, compressed = self.make_type(), self.make_type(
            {'compression': '<is> True'})
        own = [(f'own{number}', 'x') for number in range(14)]
        uuid = self.make_foreign(
            labels=[{'key': key, 'value': value} for key, value in own])
        volume_id = self.manage({'source-id': uuid}, volume_type=plain)
        ours = [('cinder_volume_id', volume_id),
                ('openstack_project_id',
                 self.cloud.record(volume_id)['project_id'])]
        self.assertCountEqual(own + ours, self.labels(uuid))

        self.cloud.act(volume_id, 'os-retype', new_type=compressed,
                       migration_policy='never')
        until(lambda: self.cloud.record(volume_id)['volume_type_id'] ==
              compressed, 'it is retyped')
        self.assertCountEqual(own + ours, self.labels(uuid))

        self.cloud.openstack('volume', 'delete', '--remote', volume_id)
        self.cloud.wait_until_gone(volume_id)
        self.assertCountEqual(own, self.labels(uuid))

    def test_unmanaged_volume_is_not_said_to_be_cinders(self) -> None:
        uuid = self.make_foreign()
        volume_id = self.manage({'source-id': uuid},
                                volume_type=self.make_type())
        self.cloud.openstack('volume', 'delete', '--remote', volume_id)
        self.cloud.wait_until_gone(volume_id)
        self.assertEqual([('cinder_unmanaged', volume_id)],
                         self.labels(uuid))

    def test_migrated_volume_names_its_new_backend(self) -> None:
        volume_id = self.make_volume(volume_type=self.make_type())
        self.assert_labelled(volume_id)
        for backend in ('annex', 'west'):
            self.migrate(volume_id, backend)
            self.CLUSTER = self.assert_alone(volume_id).cluster
            self.assert_labelled(volume_id, backend)
        self.delete(volume_id)


@ddt.ddt
class QosPolicyTest(AdministrationTestCase):

    @ddt.data('name', 'UUID')
    def test_new_volume_is_under_the_policy_of_its_type(self,
                                                        key: str) -> None:
        policy = self.make_policy(readIOPSLimit=1280, writeIOPSLimit=1280)
        volume_id = self.make_volume(volume_type=self.make_type(
            {'lightos:qos_policy': policy[key]}))
        self.assertEqual(policy['UUID'],
                         self.assert_labelled(volume_id)['qosPolicyUUID'])
        self.delete(volume_id)


class ManageSnapshotTest(AdministrationTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.volume_id = self.make_volume()
        self.addCleanup(self.delete, self.volume_id)
        self.volume_uuid = self.cloud.volume_of(self.volume_id).uuid

    def test_there_and_back_again(self) -> None:
        uuid = self.make_foreign('snapshots', name='nightly',
                                 sourceVolumeUUID=self.volume_uuid)
        snapshot_id = self.cloud.openstack(
            'volume', 'snapshot', 'create', '--volume', self.volume_id,
            '--remote-source', 'source-name=nightly',
            '--format', 'value', '--column', 'id', 'taken').strip()
        self.cloud.wait_for_status(snapshot_id, 'available', 'snapshots')
        copy = self.cloud.create_volume('east', snapshot_id=snapshot_id)
        self.assertEqual(uuid, self.message(
            self.cloud.volume_of(copy).uuid)['sourceSnapshotUUID'])
        self.cloud.delete(copy)

        self.cloud.openstack('volume', 'snapshot', 'delete', '--remote',
                             snapshot_id)
        self.cloud.wait_until_gone(snapshot_id, 'snapshots')
        self.assertEqual(('nightly', 'Available'), (
            self.message(uuid, 'snapshots')['name'],
            self.message(uuid, 'snapshots')['state']))

        again = self.manage_snapshot(self.volume_id, {'source-id': uuid})
        self.cloud.delete(again, 'snapshots')
        until(lambda: not self.message(uuid, 'snapshots'), 'it is deleted')

    def refused(self, reference: Mapping[str, str], reason: str) -> None:
        """Managing fails with the reason, and changes nothing."""
        before = self.cloud.clusters['east'].messages('snapshots')
        snapshot_id = self.manage_snapshot(self.volume_id, reference,
                                           'error')
        self.assertIn(reason,
                      self.cloud.log('east').partition(snapshot_id)[2])
        self.cloud.delete(snapshot_id, 'snapshots')
        self.assertEqual(before,
                         self.cloud.clusters['east'].messages('snapshots'))

    def test_what_cannot_be_its_snapshot_is_refused(self) -> None:
        other = self.make_foreign()
        foreign = self.make_foreign('snapshots', sourceVolumeUUID=other)
        self.refused({'source-id': foreign},
                     f'it is a snapshot of LightOS volume {other} and not')
        self.refused({'source-name': 'nothing'}, 'there is no such snapshot')
        own = self.cloud.create_snapshot(self.volume_id)
        self.refused({'source-name': f'snapshot-{own}'},
                     f'it is snapshot {own} of Cinder')
        self.cloud.delete(own, 'snapshots')


class VeryManyVolumesTest(AdministrationTestCase):
    """What can be managed on a cluster with very many volumes."""

    CLUSTER = 'west'

    def setUp(self) -> None:
        super().setUp()
        missing = MANY - len(self.cloud.clusters['west'].messages('volumes'))
        if missing > 0:
            self.cloud.control('west').call(
                'POST', '/volumes', {'count': missing, 'project': 'blue'})

    def page(self, kind: str = 'volumes',
             **query: Any) -> list[dict[str, Any]]:
        """A page of the list, with everything that is told."""
        page: list[dict[str, Any]] = self.cloud.api.call(
            'GET', f'/manageable_{kind}/detail',
            query={'host': self.cloud.pools['west'], **query}
        )[f'manageable-{kind}']
        return page

    def test_pages(self) -> None:
        uuids = sorted(message['UUID'] for message in
                       self.cloud.clusters['west'].messages('volumes'))
        self.assertGreaterEqual(len(uuids), MANY)
        first = self.page(sort='reference:asc', limit=1000)
        self.assertEqual(uuids[:1000], references(first))
        self.assertEqual(uuids[1000:1003], references(self.page(
            sort='reference:asc', limit=3,
            marker=json.dumps(first[-1]['reference']))))
        self.assertEqual(uuids[-2:], references(self.page(
            sort='reference:asc', offset=len(uuids) - 2, limit=1000)))
        self.assertEqual({(True, None, 'blue')}, {
            (each['safe_to_manage'], each['reason_not_safe'],
             each['extra_info']['project']) for each in first})

    def test_sorted_with_reasons(self) -> None:
        volume_id = self.make_volume('west', size=4)
        in_use = self.make_foreign(size='3 gib',
                                   acl={'values': ['ALLOW_ANY']})
        free = self.make_foreign(size='2 gib')
        own, open_to_any, safe = self.page(sort='size:desc', limit=3)
        self.assertEqual(
            [(self.cloud.volume_of(volume_id).uuid, 4, False, volume_id),
             (in_use, 3, False, None), (free, 2, True, None)],
            [(each['reference']['source-id'], each['size'],
              each['safe_to_manage'], each['cinder_id'])
             for each in (own, open_to_any, safe)])
        self.assertEqual(f'it is volume {volume_id} of Cinder',
                         own['reason_not_safe'])
        self.assertIn('ALLOW_ANY', open_to_any['reason_not_safe'])
        self.assertEqual('default', safe['extra_info']['project'])
        self.cloud.delete(volume_id)

    def test_with_the_command(self) -> None:
        uuid = self.make_foreign(size='2 gib')
        # With a limit it asks for one page for ever: its rows have no id.
        first, second, *_rest = json.loads(self.cloud.openstack(
            'block', 'storage', 'volume', 'manageable', 'list', '--sort',
            'size:desc', '--format', 'json', self.cloud.pools['west']))
        self.assertEqual(
            ({'source-id': uuid}, 2, True, 1), tuple(
                row[key] for row, key in (
                    (first, 'reference'), (first, 'size'),
                    (first, 'safe_to_manage'), (second, 'size'))))

    def test_snapshots(self) -> None:
        volume_id = self.make_volume('west')
        volume_uuid = self.cloud.volume_of(volume_id).uuid
        own_id = self.cloud.create_snapshot(volume_id)
        free = self.make_foreign('snapshots', sourceVolumeUUID=volume_uuid)
        other = self.make_foreign('volumes')
        astray = self.make_foreign('snapshots', sourceVolumeUUID=other)
        listed = {each['reference']['source-id']: each for each in
                  self.page('snapshots')}
        (own,) = listed.keys() - {free, astray}
        self.assertEqual(
            [(False, f'it is snapshot {own_id} of Cinder', own_id),
             (True, None, None)],
            [(listed[uuid]['safe_to_manage'],
              listed[uuid]['reason_not_safe'], listed[uuid]['cinder_id'])
             for uuid in (own, free)])
        self.assertEqual({'source-id': volume_uuid},
                         listed[free]['source_reference'])
        self.assertIn('manage that one first',
                      listed[astray]['reason_not_safe'])
        self.assertEqual(sorted(listed), references(self.page(
            'snapshots', sort='reference:asc', limit=3)))
        self.destroy('snapshots', free)
        self.cloud.delete(own_id, 'snapshots')
        self.cloud.delete(volume_id)


def references(page: list[dict[str, Any]]) -> list[str]:
    return [each['reference']['source-id'] for each in page]


class RetypeTest(AdministrationTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.plain = self.make_type()

    def retype(self, volume_id: str, type_id: str,
               policy: str = 'never') -> None:
        """Retype a volume, and wait for the end of it."""
        self.cloud.act(volume_id, 'os-retype', new_type=type_id,
                       migration_policy=policy)
        until(lambda: self.cloud.show(volume_id)['status'] != 'retyping',
              'it is retyped')

    def assert_in_place(self, volume_id: str, there: str) -> Message:
        """It has its new type, and is the volume that it was."""
        self.assertEqual(there, self.assert_alone(volume_id).uuid)
        return self.assert_labelled(volume_id)

    def type_of(self, volume_id: str) -> str:
        return str(self.cloud.record(volume_id)['volume_type_id'])

    def test_compression_with_the_command(self) -> None:
        compressed = self.make_type({'compression': '<is> True'})
        volume_id = self.make_volume(volume_type=self.plain)
        there = self.assert_labelled(volume_id)['UUID']
        self.cloud.openstack('volume', 'set', '--type', compressed,
                             '--migration-policy', 'on-demand', volume_id)
        until(lambda: self.type_of(volume_id) == compressed, 'it is retyped')
        message = self.assert_in_place(volume_id, there)
        self.assertEqual('true', message['compression'].lower())
        self.retype(volume_id, self.plain)
        message = self.assert_in_place(volume_id, there)
        self.assertEqual('false', message['compression'].lower())
        self.delete(volume_id)

    def test_policy_by_name_and_uuid_and_none(self) -> None:
        silver, gold = (self.make_policy(readIOPSLimit=limit,
                                         writeIOPSLimit=limit)
                        for limit in (256, 512))
        volume_id = self.make_volume(volume_type=self.plain)
        there = self.cloud.volume_of(volume_id).uuid
        for policy, key in ((silver, 'name'), (gold, 'UUID')):
            self.retype(volume_id, self.make_type(
                {'lightos:qos_policy': policy[key]}))
            message = self.assert_in_place(volume_id, there)
            self.assertEqual(policy['UUID'], message['qosPolicyUUID'])

        # A volume cannot be taken from under a policy.
        self.retype(volume_id, self.plain)
        self.assertNotEqual(self.plain, self.type_of(volume_id))
        self.assert_in_place(volume_id, there)
        self.retype(volume_id, self.plain, 'on-demand')
        self.wait_for_end(volume_id)
        self.assertNotEqual(there, self.assert_alone(volume_id).uuid)
        self.assertFalse(
            self.assert_labelled(volume_id).get('qosPolicyUUID'))
        self.assertEqual(self.plain, self.type_of(volume_id))
        self.delete(volume_id)

    def test_replicas_take_a_migration(self) -> None:
        two = self.make_type({'lightos:num_replicas': '2'})
        volume_id = self.make_volume(volume_type=self.plain)
        there = self.cloud.volume_of(volume_id).uuid
        self.retype(volume_id, two)
        self.assertEqual(self.plain, self.type_of(volume_id))
        self.assert_in_place(volume_id, there)
        self.retype(volume_id, two, 'on-demand')
        self.wait_for_end(volume_id)
        self.assertNotEqual(there, self.assert_alone(volume_id).uuid)
        self.assertEqual(2, self.assert_labelled(volume_id)['replicaCount'])
        self.assertEqual(two, self.type_of(volume_id))
        self.delete(volume_id)

    def test_policy_that_is_not_there_changes_nothing(self) -> None:
        volume_id = self.make_volume(volume_type=self.plain)
        before = self.assert_labelled(volume_id)
        self.retype(volume_id, self.make_type(
            {'compression': '<is> True', 'lightos:qos_policy': 'nothing'}))
        self.assertIn('The cluster has no QoS policy nothing',
                      self.cloud.log('east').partition(volume_id)[2])
        self.assertEqual(self.plain, self.type_of(volume_id))
        self.assertEqual(before, self.assert_labelled(volume_id))
        self.delete(volume_id)


class QosSpecsTest(AdministrationTestCase):

    def make_type_with(self, consumer: str, **specs: str) -> str:
        """Make a type with QoS specs, whose keys lack their prefix."""
        type_id = self.make_type()
        specs_id = str(self.cloud.api.call('POST', '/qos-specs', {
            'qos_specs': {'name': self.getUniqueString(),
                          'consumer': consumer, **{
                              f'lightos:{key}': value
                              for key, value in specs.items()}}}
        )['qos_specs']['id'])
        self.addCleanup(self.forget, specs_id)
        self.cloud.api.call('GET', f'/qos-specs/{specs_id}/associate',
                            query={'vol_type_id': type_id})
        return type_id

    def forget(self, specs_id: str) -> None:
        self.cloud.api.call('DELETE', f'/qos-specs/{specs_id}',
                            query={'force': 'True'})

    def policy_of(self, volume_id: str) -> Optional[Message]:
        """The QoS policy that the volume is under."""
        return self.policies().get(self.message(
            self.cloud.volume_of(volume_id).uuid).get('qosPolicyUUID', ''))

    def test_one_policy_for_all_with_the_command(self) -> None:
        type_id = self.make_type()
        specs_id = self.cloud.openstack(
            'volume', 'qos', 'create', '--consumer', 'back-end',
            '--property', 'lightos:read_iops=1024',
            '--property', 'lightos:write_iops=768',
            '--format', 'value', '--column', 'id', 'limited').strip()
        self.addCleanup(self.forget, specs_id)
        self.cloud.openstack('volume', 'qos', 'associate', specs_id, type_id)
        before = self.policies()
        volumes = [self.make_volume(volume_type=each) for each in (
            type_id, type_id, self.make_type_with(
                'both', write_iops='768', read_iops='1024'))]
        (uuid,) = self.policies().keys() - before.keys()
        policy = self.policies()[uuid]
        self.assertEqual(
            ('Active', {'readIOPSLimit': 1024, 'writeIOPSLimit': 768}),
            (policy['state'], policy['QoSRateLimitPolicy']['limitIOPS']))
        for volume_id in volumes:
            self.assertEqual(policy, self.policy_of(volume_id))
            self.cloud.delete(volume_id)

    def test_retype_to_limits_in_place(self) -> None:
        volume_id = self.make_volume(volume_type=self.make_type())
        there = self.cloud.volume_of(volume_id)
        limited = self.make_type_with('back-end', read_bw_mbps='40')
        self.cloud.act(volume_id, 'os-retype', new_type=limited,
                       migration_policy='never')
        self.cloud.wait_for_status(volume_id, 'available')
        self.assertEqual(there, self.assert_alone(volume_id))
        self.assert_labelled(volume_id)
        policy = self.policy_of(volume_id)
        assert policy is not None
        self.assertEqual(
            40, policy['QoSRateLimitPolicy']['limitBw']['readBWLimit'])
        self.delete(volume_id)

    def test_what_lightos_cannot_express_is_refused(self) -> None:
        before = self.policies()
        for specs, reason in (
                ({'read_iops': '300'}, 'must be a multiple of 256'),
                ({'read_bw_mbps': '1.5'}, 'must be a whole number'),
                ({'read_iops': '256', 'write_bw_mbps': '1'},
                 'limited in one of IOPS, MB/s and IOPS per GB'),
                ({'most_iops': '256'}, 'LightOS has no lightos:most_iops')):
            type_id = self.make_type_with('back-end', **specs)
            volume_id = str(self.cloud.api.call('POST', '/volumes', {
                'volume': {'size': 1, 'volume_type': type_id}})
                ['volume']['id'])
            self.cloud.wait_for_status(volume_id, 'error')
            self.assertTrue(any(
                reason in self.cloud.log(backend).partition(volume_id)[2]
                for backend in cinder_services.BACKENDS))
            self.cloud.delete(volume_id)
        self.assertEqual(before, self.policies())
        self.assertEqual([], self.volumes())

    def test_front_end_specs_are_left_to_the_host(self) -> None:
        before = self.policies()
        volume_id = self.make_volume(volume_type=self.make_type_with(
            'front-end', read_iops='300'))
        self.assertIsNone(self.policy_of(volume_id))
        self.assertEqual(before, self.policies())
        attachment_id = self.cloud.attach(volume_id)
        told = self.cloud.api.call('GET', f'/attachments/{attachment_id}')
        self.assertEqual(
            {'lightos:read_iops': '300'},
            told['attachment']['connection_info']['qos_specs'])
        self.cloud.api.call('DELETE', f'/attachments/{attachment_id}')
        self.cloud.wait_for_status(volume_id, 'available')
        self.delete(volume_id)
