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
"""The rules of volumes, each by its name."""

from __future__ import annotations

from typing import Any

import ddt

from lightos_simulator.tests import base
from lightos_simulator.tests.base import GIB
from lightos_simulator.tests.base import NQN
from lightos_simulator.tests.base import NQN2
from lightos_simulator.tests.base import PROJECT

VOLUMES = PROJECT + '/volumes'


def body(**fields: Any) -> dict[str, Any]:
    return {'name': 'n', 'size': '4 gib', 'replicaCount': 2, **fields}


@ddt.ddt
class TestCreate(base.ClusterTest):

    @ddt.data('a', 'A-b_c.9', 'x' * 253)
    def test_good_name(self, name: str) -> None:
        self.assertEqual(name, self.get(self.volume(name))['name'])

    @ddt.data('', 'x' * 254, 'a b', 'a/b', 'ä', 'a\n')
    def test_bad_name(self, name: str) -> None:
        self.refused(400, 3, 'POST', VOLUMES, body(name=name))

    @ddt.data(('4096b', 4096), ('1 gib', GIB), ('2gib', 2 * GIB),
              ('3 GiB', 3 * GIB))
    @ddt.unpack
    def test_good_size(self, size: str, octets: int) -> None:
        self.assertEqual(str(octets),
                         self.get(self.volume(size=size))['size'])

    @ddt.data('', '4096', '4097b', '0b', '0 gib', '-1 gib', '1.5 gib', '1 tib',
              'gib', '9999999999999 gib')
    def test_bad_size(self, size: str) -> None:
        self.refused(400, 3, 'POST', VOLUMES, body(size=size))

    @ddt.data(1, 2, 3)
    def test_good_replica_count(self, count: int) -> None:
        volume = self.get(self.volume(replicaCount=count))
        self.assertEqual(count, volume['replicaCount'])
        self.assertEqual(count, len(set(volume['nodeList'])))
        self.assertEqual(volume['nodeList'][0], volume['primaryNodeUUID'])

    @ddt.data(0, 4)
    def test_bad_replica_count(self, count: int) -> None:
        self.refused(400, 3, 'POST', VOLUMES, body(replicaCount=count))

    def test_replica_count_above_current_max_replicas(self) -> None:
        self.cluster.set_node_state(self.world.nodes[0], 'Inactive')
        self.refused(400, 3, 'POST', VOLUMES, body(replicaCount=3))
        self.volume(replicaCount=2)

    @ddt.data(('true', 'true'), ('ENABLE', 'true'), ('Enabled', 'true'),
              ('false', 'false'), ('disable', 'false'),
              ('DISABLED', 'false'), ('', 'false'))
    @ddt.unpack
    def test_good_compression(self, word: str, shown: str) -> None:
        self.assertEqual(
            shown, self.get(self.volume(compression=word))['compression'])

    @ddt.data('yes', 'on', 'truee')
    def test_bad_compression(self, word: str) -> None:
        self.refused(400, 3, 'POST', VOLUMES, body(compression=word))

    def test_compression_words(self) -> None:
        self.build(compression_words=True)
        volume = self.get(self.volume(compression='true'))
        self.assertEqual('enabled', volume['compression'])

    @ddt.data([NQN], [NQN, NQN2], ['ALLOW_NONE'], ['ALLOW_ANY'])
    def test_good_acl(self, values: list[str]) -> None:
        volume = self.get(self.volume(acl={'values': values}))
        self.assertEqual(values, volume['acl']['values'])

    @ddt.data([], [''], ['host'], [NQN, 'ALLOW_ANY'],
              ['ALLOW_NONE', 'ALLOW_ANY'], ['allow_any'],
              ['nqn.' + 'x' * 220])
    def test_bad_acl(self, values: list[str]) -> None:
        self.refused(400, 3, 'POST', VOLUMES, body(acl={'values': values}))

    @ddt.data(['192.0.2.1', '2001:db8::1'], ['ALLOW_NONE'], ['ALLOW_ANY'],
              ['192.0.2.%d' % host for host in range(16)])
    def test_good_ip_acl(self, values: list[str]) -> None:
        volume = self.get(self.volume(IPAcl={'values': values}))
        self.assertEqual(values, volume['IPAcl']['values'])

    @ddt.data([], ['host'], ['192.0.2.0/24'], ['192.0.2.1', 'ALLOW_ANY'],
              ['192.0.2.%d' % host for host in range(17)])
    def test_bad_ip_acl(self, values: list[str]) -> None:
        self.refused(400, 3, 'POST', VOLUMES, body(IPAcl={'values': values}))

    def test_ip_acl_without_limit(self) -> None:
        self.build(ip_acl_limit=False)
        self.volume(IPAcl={'values': ['192.0.2.%d' % host
                                      for host in range(17)]})

    def test_default_access(self) -> None:
        volume = self.get(self.volume())
        self.assertEqual(['ALLOW_NONE'], volume['acl']['values'])
        self.assertEqual(['ALLOW_ANY'], volume['IPAcl']['values'])

    def test_name_is_unique_in_its_project(self) -> None:
        self.world.add_project('other')
        self.volume('n')
        self.refused(409, 6, 'POST', VOLUMES, body())
        self.done('POST', '/api/v2/projects/other/volumes', body())

    def test_name_of_a_deleting_volume_is_taken(self) -> None:
        self.work(DeleteVolume=10)
        uuid = self.volume('n')
        self.done('DELETE', '%s/%s' % (VOLUMES, uuid))
        self.refused(409, 6, 'POST', VOLUMES, body())

    def test_failed_husk_frees_its_name(self) -> None:
        husk = self.done('POST', VOLUMES, body(), fails=True)['UUID']
        self.assertEqual('Failed', self.get(husk)['state'])
        live = self.volume('n')
        found = self.done('GET', VOLUMES + '?name=n')['volumes']
        self.assertEqual({husk, live}, {one['UUID'] for one in found})
        self.assertEqual(live, self.done('GET', VOLUMES + '/?name=n')['UUID'])

    def test_name_finds_a_failed_husk(self) -> None:
        husk = self.done('POST', VOLUMES, body(), fails=True)['UUID']
        self.assertEqual(husk, self.done('GET', VOLUMES + '/?name=n')['UUID'])

    def test_missing_project(self) -> None:
        self.refused(400, 3, 'POST', '/api/v2/projects/nobody/volumes',
                     body())


@ddt.ddt
class TestLabels(base.ClusterTest):

    def labels(self, *pairs: tuple[str, str]) -> list[dict[str, str]]:
        return [{'key': key, 'value': value} for key, value in pairs]

    def test_shown(self) -> None:
        labels = self.labels(('a', 'x-y.z_1'), ('b', 'y'))
        self.assertEqual(labels, self.get(self.volume(labels=labels)
                                          )['labels'])

    @ddt.data(('a-b', 'b'), ('a.b-c_d', 'c_d'), ('plain', 'plain'))
    @ddt.unpack
    def test_key_keeps_what_follows_dash_or_dot(self, key: str, kept: str
                                                ) -> None:
        volume = self.get(self.volume(labels=self.labels((key, 'x'))))
        self.assertEqual(self.labels((kept, 'x')), volume['labels'])

    def test_key_whole(self) -> None:
        self.build(cut_label_keys=False)
        volume = self.get(self.volume(labels=self.labels(('a-b', 'x'))))
        self.assertEqual(self.labels(('a-b', 'x')), volume['labels'])

    @ddt.data(('', 'x'), ('k', ''), ('a b', 'x'), ('k', 'a b'),
              ('x' * 254, 'x'), ('k', 'x' * 254), ('a-', 'x'))
    @ddt.unpack
    def test_bad(self, key: str, value: str) -> None:
        self.refused(400, 3, 'POST', VOLUMES,
                     body(labels=self.labels((key, value))))

    def test_at_most_sixteen(self) -> None:
        labels = self.labels(*(('k%d' % key, 'x') for key in range(17)))
        self.refused(400, 3, 'POST', VOLUMES, body(labels=labels))
        self.volume(labels=labels[:16])

    def test_update_replaces_all(self) -> None:
        uuid = self.volume(labels=self.labels(('a', 'x'), ('b', 'x')))
        self.update(uuid, labels=self.labels(('c', 'y')))
        self.assertEqual(self.labels(('c', 'y')), self.get(uuid)['labels'])

    @ddt.data({}, {'labels': []}, {'labels': None})
    def test_update_without_labels_keeps_them(self, fields: Any) -> None:
        uuid = self.volume(labels=self.labels(('a', 'x')))
        self.update(uuid, **fields)
        self.assertEqual(self.labels(('a', 'x')), self.get(uuid)['labels'])

    def test_snapshot_copies_its_volumes(self) -> None:
        uuid = self.volume(labels=self.labels(('a', 'x')))
        snapshot = self.get(self.snapshot(uuid), 'snapshots')
        self.assertEqual(self.labels(('a', 'x')), snapshot['labels'])

    def test_clone_copies_its_snapshots(self) -> None:
        snapshot = self.snapshot(self.volume(labels=self.labels(('a', 'x'))))
        clone = self.get(self.volume('c', sourceSnapshotUUID=snapshot))
        self.assertEqual(self.labels(('a', 'x')), clone['labels'])

    def test_clone_given_its_own(self) -> None:
        snapshot = self.snapshot(self.volume(labels=self.labels(('a', 'x'))))
        clone = self.get(self.volume('c', sourceSnapshotUUID=snapshot,
                                     labels=self.labels(('b', 'y'))))
        self.assertEqual(self.labels(('b', 'y')), clone['labels'])


@ddt.ddt
class TestStates(base.ClusterTest):

    def test_create_answers_in_creating(self) -> None:
        volume = self.done('POST', VOLUMES, body())
        self.assertEqual('Creating', volume['state'])
        self.assertNotIn('protectionState', volume)

    def test_creating_until_the_work_is_done(self) -> None:
        self.work(CreateVolume=5)
        uuid = self.volume()
        self.pass_time(4.9)
        self.assertEqual('Creating', self.get(uuid)['state'])
        self.pass_time(0.2)
        volume = self.get(uuid)
        self.assertEqual('Available', volume['state'])
        self.assertEqual('FullyProtected', volume['protectionState'])

    def test_create_that_fails(self) -> None:
        uuid = self.done('POST', VOLUMES, body(), fails=True)['UUID']
        self.assertEqual('Failed', self.get(uuid)['state'])

    def test_update_shows_when_the_work_is_done(self) -> None:
        self.work(UpdateVolume=5)
        uuid = self.volume()
        self.update(uuid, size='5 gib')
        volume = self.get(uuid)
        self.assertEqual(('Updating', str(4 * GIB)),
                         (volume['state'], volume['size']))
        self.pass_time(5)
        volume = self.get(uuid)
        self.assertEqual(('Available', str(5 * GIB)),
                         (volume['state'], volume['size']))

    def test_hidden_update(self) -> None:
        self.build(updating_hidden=True)
        self.work(UpdateVolume=5)
        uuid = self.volume()
        self.update(uuid, size='5 gib')
        volume = self.get(uuid)
        self.assertEqual(('Available', str(4 * GIB)),
                         (volume['state'], volume['size']))
        self.refused(409, 10, 'PUT', '%s/%s' % (VOLUMES, uuid), {})
        self.pass_time(5)
        self.assertEqual(str(5 * GIB), self.get(uuid)['size'])

    def test_delete_passes_through_deleting(self) -> None:
        self.work(DeleteVolume=5)
        uuid = self.volume()
        self.assertEqual({}, self.done('DELETE', '%s/%s' % (VOLUMES, uuid)))
        self.assertEqual('Deleting', self.get(uuid)['state'])
        self.pass_time(5)
        self.refused(404, 5, 'GET', '%s/%s' % (VOLUMES, uuid))

    @ddt.data(('Creating', 503, 14), ('Updating', 503, 14),
              ('Rollback', 409, 10), ('Deleting', 400, 9), ('Failed', 400, 9),
              ('Deleted', 400, 9), ('Unknown', 400, 9))
    @ddt.unpack
    def test_update_in_state(self, state: str, status: int, code: int) -> None:
        url = self.in_state(state)
        self.refused(status, code, 'PUT', url, {'size': '9 gib'})

    @ddt.data(('Creating', 503, 14), ('Updating', 503, 14),
              ('Rollback', 409, 10), ('Deleting', 409, 10), ('Failed', 400, 9))
    @ddt.unpack
    def test_delete_in_state(self, state: str, status: int, code: int) -> None:
        self.refused(status, code, 'DELETE', self.in_state(state))

    @ddt.data('Creating', 'Updating', 'Rollback')
    def test_delete_while_busy(self, state: str) -> None:
        self.build(delete_while_busy=True)
        self.done('DELETE', self.in_state(state))

    def test_updating_conflicts(self) -> None:
        self.build(updating_conflicts=True)
        self.refused(409, 10, 'PUT', self.in_state('Updating'), {})

    def in_state(self, state: str) -> str:
        uuid = self.volume()
        self.world.settle()
        volume = self.world.volumes.get(uuid)
        assert volume is not None
        self.cluster.volumes.force(volume, state=state)
        return '%s/%s' % (VOLUMES, uuid)

    def test_migrating_volume_is_in_service(self) -> None:
        url = self.in_state('Migrating')
        self.done('PUT', url, {'size': '9 gib'})
        volume = self.done('GET', url)
        self.assertEqual(('Migrating', str(9 * GIB)),
                         (volume['state'], volume['size']))

    def test_deleted_while_creating_stays_deleted(self) -> None:
        self.build(delete_while_busy=True)
        self.work(CreateVolume=1, DeleteVolume=10)
        uuid = self.volume()
        self.done('DELETE', '%s/%s' % (VOLUMES, uuid))
        self.pass_time(5)
        self.assertEqual('Deleting', self.get(uuid)['state'])

    def test_delete_missing(self) -> None:
        self.refused(404, 5, 'DELETE', VOLUMES + '/nobody')

    def test_other_project(self) -> None:
        self.world.add_project('other')
        self.refused(404, 5, 'GET',
                     '/api/v2/projects/other/volumes/' + self.volume())


@ddt.ddt
class TestETag(base.ClusterTest):

    def test_changes_with_every_change(self) -> None:
        self.work(default=5)
        uuid = self.volume()
        seen = [self.get(uuid)['ETag']]
        self.pass_time(5)
        seen.append(self.get(uuid)['ETag'])
        self.update(uuid, size='5 gib')
        seen.append(self.get(uuid)['ETag'])
        self.pass_time(5)
        seen.append(self.get(uuid)['ETag'])
        self.assertEqual(4, len(set(seen)))

    def test_stays_without_a_change(self) -> None:
        uuid = self.volume()
        self.assertEqual(self.get(uuid)['ETag'], self.get(uuid)['ETag'])

    @ddt.data('%s', '"%s"', '*')
    def test_match(self, form: str) -> None:
        uuid = self.volume()
        tag = self.get(uuid)['ETag']
        self.update(uuid, {'If-Match': form.replace('%s', tag)},
                    size='5 gib')

    @ddt.data('PUT', 'DELETE')
    def test_mismatch(self, method: str) -> None:
        url = '%s/%s' % (VOLUMES, self.volume())
        self.refused(412, 9, method, url, headers={'If-Match': '"0"'})
        self.assertEqual('Available', self.done('GET', url)['state'])

    @ddt.data('PUT', 'DELETE')
    def test_mismatch_as_400(self, method: str) -> None:
        self.build(if_match_400=True)
        url = '%s/%s' % (VOLUMES, self.volume())
        self.refused(400, 9, method, url, headers={'If-Match': '"0"'})


@ddt.ddt
class TestUpdate(base.ClusterTest):

    @ddt.data(('acl', {'values': [NQN]}, {'values': [NQN]}),
              ('IPAcl', {'values': ['192.0.2.1']}, {'values': ['192.0.2.1']}),
              ('size', '5 gib', str(5 * GIB)),
              ('compression', 'true', 'true'))
    @ddt.unpack
    def test_attribute(self, field: str, value: Any, shown: Any) -> None:
        uuid = self.volume()
        self.update(uuid, **{field: value})
        self.assertEqual(shown, self.get(uuid)[field])

    @ddt.data('size', 'acl', 'IPAcl', 'compression', 'newName', 'labels')
    def test_others_stay(self, field: str) -> None:
        uuid = self.volume(acl={'values': [NQN]}, compression='true',
                           IPAcl={'values': ['192.0.2.1']},
                           labels=[{'key': 'k', 'value': 'v'}])
        before = self.get(uuid)
        values: dict[str, Any] = {
            'size': '5 gib', 'acl': {'values': [NQN2]}, 'newName': 'w',
            'IPAcl': {'values': ['192.0.2.2']}, 'compression': 'false',
            'labels': [{'key': 'l', 'value': 'w'}]}
        self.update(uuid, **{field: values[field]})
        after = self.get(uuid)
        changed = {name for name in before if before[name] != after[name]}
        self.assertEqual(
            {'ETag', {'newName': 'name'}.get(field, field)}, changed)

    def test_shrinking_takes_force(self) -> None:
        uuid = self.volume()
        self.refused(400, 3, 'PUT', '%s/%s' % (VOLUMES, uuid),
                     {'size': '3 gib'})
        self.update(uuid, size='3 gib', Force=True)
        self.assertEqual(str(3 * GIB), self.get(uuid)['size'])

    def test_current_size_is_refused(self) -> None:
        self.refused(400, 3, 'PUT', '%s/%s' % (VOLUMES, self.volume()),
                     {'size': '4 gib'})

    def test_current_size_is_accepted(self) -> None:
        self.build(same_size_refused=False)
        self.update(self.volume(), size='4 gib')

    @ddt.data('replicaCount', 'sectorSize', 'sourceSnapshotUUID')
    def test_fixed_at_creation(self, field: str) -> None:
        self.refused(400, 3, 'PUT', '%s/%s' % (VOLUMES, self.volume()),
                     {field: 1})

    @ddt.data({'size': 'x'}, {'acl': {'values': ['x']}},
              {'IPAcl': {'values': ['x']}}, {'compression': 'x'},
              {'newName': 'a b'}, {'labels': [{'key': ''}]})
    def test_bad_value(self, fields: Any) -> None:
        uuid = self.volume()
        self.refused(400, 3, 'PUT', '%s/%s' % (VOLUMES, uuid), fields)
        self.assertEqual('Available', self.get(uuid)['state'])

    def test_rename(self) -> None:
        uuid = self.volume('old')
        self.update(uuid, newName='new')
        self.assertEqual('new', self.get(uuid)['name'])
        self.assertEqual(uuid, self.done('GET', VOLUMES + '/?name=new'
                                         )['UUID'])
        self.refused(404, 5, 'GET', VOLUMES + '/?name=old')

    def test_rename_to_a_name_in_use(self) -> None:
        self.volume('taken')
        self.refused(409, 6, 'PUT', '%s/%s' % (VOLUMES, self.volume('old')),
                     {'newName': 'taken'})

    def test_new_name_is_promised_while_updating(self) -> None:
        self.work(UpdateVolume=5)
        self.update(self.volume('old'), newName='new')
        self.refused(409, 6, 'POST', VOLUMES, body(name='new'))

    def test_promise_ends_with_a_failure(self) -> None:
        uuid = self.volume('old')
        self.done('PUT', '%s/%s' % (VOLUMES, uuid), {'newName': 'new'},
                  fails=True)
        self.assertEqual('Failed', self.get(uuid)['state'])
        self.volume('new')

    def test_by_name_in_the_body(self) -> None:
        uuid = self.volume('a')
        self.done('PUT', VOLUMES + '/', {'name': 'a', 'size': '5 gib'})
        self.assertEqual(str(5 * GIB), self.get(uuid)['size'])

    def test_name_in_the_body_must_be_the_volumes(self) -> None:
        self.refused(404, 5, 'PUT', '%s/%s' % (VOLUMES, self.volume('a')),
                     {'name': 'b'})


@ddt.ddt
class TestClone(base.ClusterTest):

    def setUp(self) -> None:
        super().setUp()
        self.source = self.snapshot(self.volume(compression='true'))

    def clone(self, **fields: Any) -> dict[str, Any]:
        return body(**{'compression': 'true',
                       'sourceSnapshotUUID': self.source, **fields})

    def test_shows_its_source(self) -> None:
        uuid = self.done('POST', VOLUMES, self.clone())['UUID']
        clone = self.get(uuid)
        self.assertEqual((self.source, 's'), (clone['sourceSnapshotUUID'],
                                              clone['sourceSnapshotName']))

    def test_by_the_snapshots_name(self) -> None:
        clone = self.done('POST', VOLUMES, self.clone(
            sourceSnapshotUUID='', sourceSnapshotName='s'))
        self.assertEqual(self.source, clone['sourceSnapshotUUID'])

    @ddt.data({'replicaCount': 3}, {'compression': 'false'},
              {'compression': ''}, {'size': '3 gib'}, {'size': ''},
              {'sectorSize': 'sectorSize_512B'},
              {'sourceSnapshotUUID': 'nobody'},
              {'sourceSnapshotName': 'another'})
    def test_refused(self, fields: Any) -> None:
        self.refused(400, 3, 'POST', VOLUMES, self.clone(**fields))

    def test_larger(self) -> None:
        clone = self.done('POST', VOLUMES, self.clone(size='5 gib'))
        self.assertEqual(str(5 * GIB), clone['size'])

    def test_lives_in_the_snapshots_project(self) -> None:
        self.world.add_project('other')
        self.refused(400, 3, 'POST', '/api/v2/projects/other/volumes',
                     self.clone())

    @ddt.data(('Creating', 503, 14), ('Deleting', 400, 9), ('Failed', 400, 9))
    @ddt.unpack
    def test_source_in_state(self, state: str, status: int, code: int
                             ) -> None:
        snapshot = self.world.snapshots.get(self.source)
        assert snapshot is not None
        self.cluster.snapshots.force(snapshot, state=state)
        self.refused(status, code, 'POST', VOLUMES, self.clone())


@ddt.ddt
class TestRollback(base.ClusterTest):

    def setUp(self) -> None:
        super().setUp()
        self.prepare()

    def prepare(self) -> None:
        self.uuid = self.volume(acl={'values': [NQN]},
                                IPAcl={'values': ['192.0.2.1']},
                                labels=[{'key': 'k', 'value': 'v'}])
        self.source = self.snapshot(self.uuid)
        self.url = '%s/%s/rollback' % (VOLUMES, self.uuid)
        self.update(self.uuid, size='5 gib', acl={'values': [NQN2]},
                    IPAcl={'values': ['192.0.2.2']},
                    labels=[{'key': 'k', 'value': 'w'}])

    def test_passes_through_rollback(self) -> None:
        self.work(RollbackVolume=5)
        self.assertEqual({}, self.done('PUT', self.url, {
            'srcSnapshotUUID': self.source}))
        self.assertEqual('Rollback', self.get(self.uuid)['state'])
        self.pass_time(5)
        self.assertEqual('Available', self.get(self.uuid)['state'])

    def test_restores_metadata(self) -> None:
        self.done('PUT', self.url, {'srcSnapshotName': 's'})
        volume = self.get(self.uuid)
        self.assertEqual(
            (str(4 * GIB), [NQN], ['192.0.2.1'], 'v'),
            (volume['size'], volume['acl']['values'],
             volume['IPAcl']['values'], volume['labels'][0]['value']))

    def test_restores_data_only(self) -> None:
        self.build(rollback_restores_metadata=False)
        self.prepare()
        self.done('PUT', self.url, {'srcSnapshotName': 's'})
        volume = self.get(self.uuid)
        self.assertEqual((str(5 * GIB), [NQN2]),
                         (volume['size'], volume['acl']['values']))

    def test_another_volumes_snapshot(self) -> None:
        foreign = self.snapshot(self.volume('w'), 't')
        self.refused(400, 3, 'PUT', self.url, {'srcSnapshotUUID': foreign})

    def test_missing_snapshot(self) -> None:
        self.refused(404, 5, 'PUT', self.url, {'srcSnapshotName': 'nobody'})

    def test_no_snapshot(self) -> None:
        self.refused(400, 3, 'PUT', self.url, {})

    def test_name_must_be_the_volumes(self) -> None:
        self.refused(404, 5, 'PUT', self.url, {
            'srcSnapshotName': 's', 'Name': 'w'})

    @ddt.data(('Creating', 503, 14), ('Deleting', 400, 9))
    @ddt.unpack
    def test_snapshot_in_state(self, state: str, status: int, code: int
                               ) -> None:
        snapshot = self.world.snapshots.get(self.source)
        assert snapshot is not None
        self.cluster.snapshots.force(snapshot, state=state)
        self.refused(status, code, 'PUT', self.url, {'srcSnapshotName': 's'})


class TestOlderCluster(base.ClusterTest):
    """A cluster without IP ACLs."""

    assumptions = {'ip-acl': False}

    def test_not_in_replies(self) -> None:
        uuid = self.volume()
        self.assertNotIn('IPAcl', self.get(uuid))
        self.assertNotIn('IPAcl', self.get(self.snapshot(uuid), 'snapshots'))

    def test_ignored_in_requests(self) -> None:
        uuid = self.volume(IPAcl={'values': ['nonsense']})
        self.update(uuid, IPAcl={'values': ['192.0.2.1']})
        self.assertNotIn('IPAcl', self.get(uuid))

    def test_refused_in_requests(self) -> None:
        self.build(ip_acl=False, ip_acl_refused=True)
        self.refused(400, 3, 'POST', VOLUMES,
                     body(IPAcl={'values': ['192.0.2.1']}))
