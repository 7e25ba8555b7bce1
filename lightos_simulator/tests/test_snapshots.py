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
"""The rules of snapshots, each by its name."""

from __future__ import annotations

from typing import Any

import ddt

from lightos_simulator.tests import base
from lightos_simulator.tests.base import GIB
from lightos_simulator.tests.base import NQN
from lightos_simulator.tests.base import PROJECT

SNAPSHOTS = PROJECT + '/snapshots'


@ddt.ddt
class TestSnapshots(base.ClusterTest):

    def setUp(self) -> None:
        super().setUp()
        self.prepare()

    def prepare(self) -> None:
        self.source = self.volume(compression='true', acl={'values': [NQN]})
        self.world.settle()

    def state(self, uuid: str) -> str:
        state: str = self.get(uuid, 'snapshots')['state']
        return state

    def body(self, **fields: Any) -> dict[str, Any]:
        return {'name': 's', 'sourceVolumeUUID': self.source, **fields}

    def test_has_what_its_volume_had(self) -> None:
        uuid = self.snapshot(self.source, description='d')
        self.update(self.source, size='5 gib')
        snapshot = self.get(uuid, 'snapshots')
        self.assertEqual(
            (self.source, 'v', str(4 * GIB), 2, True, [NQN], 'd'),
            tuple(snapshot[name] for name in (
                'sourceVolumeUUID', 'sourceVolumeName', 'size',
                'replicaCount', 'compression'))
            + (snapshot['acl']['values'], snapshot['description']))

    def test_states(self) -> None:
        self.work(CreateSnapshot=5, DeleteSnapshot=5)
        uuid = self.done('POST', SNAPSHOTS, self.body())['UUID']
        self.assertEqual('Creating', self.state(uuid))
        self.pass_time(5)
        self.assertEqual('Available', self.state(uuid))
        self.assertEqual({}, self.done('DELETE', SNAPSHOTS + '/' + uuid))
        self.assertEqual('Deleting', self.state(uuid))
        self.pass_time(5)
        self.refused(404, 5, 'GET', SNAPSHOTS + '/' + uuid)

    def test_by_volume_name(self) -> None:
        snapshot = self.done('POST', SNAPSHOTS, {
            'name': 's', 'sourceVolumeName': 'v'})
        self.assertEqual(self.source, snapshot['sourceVolumeUUID'])

    @ddt.data(('name', ''), ('name', 'a b'), ('sourceVolumeUUID', ''),
              ('retentionTime', '-1s'))
    @ddt.unpack
    def test_bad_value(self, field: str, value: str) -> None:
        self.refused(400, 3, 'POST', SNAPSHOTS, self.body(**{field: value}))

    def test_missing_volume(self) -> None:
        self.refused(404, 5, 'POST', SNAPSHOTS,
                     self.body(sourceVolumeUUID='nobody'))

    def test_name_is_unique(self) -> None:
        self.snapshot(self.source)
        self.world.settle()
        self.refused(409, 6, 'POST', SNAPSHOTS, self.body())

    def test_get_by_name(self) -> None:
        uuid = self.snapshot(self.source, 'x')
        self.assertEqual(uuid, self.done('GET', SNAPSHOTS + '/?Name=x'
                                         )['UUID'])
        self.refused(404, 5, 'GET', SNAPSHOTS + '/?Name=y')

    def test_name_parameter_has_a_capital(self) -> None:
        self.refused(400, 3, 'GET', SNAPSHOTS + '/?name=x')
        self.refused(400, 3, 'GET', SNAPSHOTS + '?name=x')

    def test_delete_by_name_has_no_capital(self) -> None:
        self.snapshot(self.source, 'x')
        self.done('DELETE', SNAPSHOTS + '/?name=x')
        self.refused(404, 5, 'GET', SNAPSHOTS + '/?Name=x')

    def test_delete_missing(self) -> None:
        self.refused(404, 5, 'DELETE', SNAPSHOTS + '/nobody')

    @ddt.data(('Creating', 503, 14), ('Deleting', 409, 10), ('Failed', 400, 9))
    @ddt.unpack
    def test_delete_in_state(self, state: str, status: int, code: int) -> None:
        uuid = self.snapshot(self.source)
        snapshot = self.world.snapshots.get(uuid)
        assert snapshot is not None
        self.world.settle()
        self.cluster.snapshots.force(snapshot, state=state)
        self.refused(status, code, 'DELETE', SNAPSHOTS + '/' + uuid)

    def test_delete_failed_where_that_is_possible(self) -> None:
        self.build(failed_snapshot_deletable=True)
        self.prepare()
        uuid = self.done('POST', SNAPSHOTS, self.body(), fails=True)['UUID']
        self.assertEqual('Failed', self.state(uuid))
        self.done('DELETE', SNAPSHOTS + '/' + uuid)
        self.refused(404, 5, 'GET', SNAPSHOTS + '/' + uuid)

    def test_failed_frees_its_name(self) -> None:
        self.done('POST', SNAPSHOTS, self.body(), fails=True)
        self.world.settle()
        live = self.done('POST', SNAPSHOTS, self.body())['UUID']
        self.assertEqual(live, self.done('GET', SNAPSHOTS + '/?Name=s'
                                         )['UUID'])

    @ddt.data(('Creating', 503, 14), ('Updating', 503, 14),
              ('Rollback', 409, 10), ('Failed', 400, 9), ('Deleting', 400, 9))
    @ddt.unpack
    def test_of_a_volume_in_state(self, state: str, status: int, code: int
                                  ) -> None:
        volume = self.world.volumes.get(self.source)
        assert volume is not None
        self.cluster.volumes.force(volume, state=state)
        # Undocumented for this operation, 409 is answered as what it means.
        self.refused(status, code, 'POST', SNAPSHOTS, self.body())

    def test_one_at_a_time(self) -> None:
        self.work(CreateSnapshot=5)
        self.snapshot(self.source, 'a')
        self.refused(500, 13, 'POST', SNAPSHOTS, self.body())
        self.snapshot(self.volume('w'), 'b')
        self.pass_time(5)
        self.done('POST', SNAPSHOTS, self.body())

    def test_several_at_a_time(self) -> None:
        self.build(one_snapshot_at_a_time=False)
        self.prepare()
        self.work(CreateSnapshot=5)
        self.snapshot(self.source, 'a')
        self.done('POST', SNAPSHOTS, self.body())

    def test_outlives_its_volume(self) -> None:
        uuid = self.snapshot(self.source)
        self.done('DELETE', '%s/volumes/%s' % (PROJECT, self.source))
        self.assertEqual('Available', self.state(uuid))

    def test_holds_its_volume(self) -> None:
        self.build(snapshots_hold_volume=True)
        self.prepare()
        uuid = self.snapshot(self.source)
        url = '%s/volumes/%s' % (PROJECT, self.source)
        self.assertIn('snapshots', self.refused(400, 9, 'DELETE', url))
        self.done('DELETE', SNAPSHOTS + '/' + uuid)
        self.done('DELETE', url)

    def test_etag_and_if_match(self) -> None:
        uuid = self.snapshot(self.source)
        tag = self.get(uuid, 'snapshots')['ETag']
        url = SNAPSHOTS + '/' + uuid
        self.refused(412, 9, 'DELETE', url, headers={'If-Match': '"0"'})
        self.done('DELETE', url, headers={'If-Match': tag})


class TestRetention(base.ClusterTest):

    def test_shown(self) -> None:
        uuid = self.snapshot(self.volume(), retentionTime='90.5s')
        self.assertEqual('90.5s',
                         self.get(uuid, 'snapshots')['retentionTime'])

    def test_expires(self) -> None:
        self.work(DeleteSnapshot=5)
        uuid = self.snapshot(self.volume(), retentionTime='60s')
        self.pass_time(59.9)
        self.assertEqual('Available', self.get(uuid, 'snapshots')['state'])
        self.pass_time(0.1)
        self.assertEqual('Deleting', self.get(uuid, 'snapshots')['state'])
        self.pass_time(5)
        self.refused(404, 5, 'GET', SNAPSHOTS + '/' + uuid)

    def test_never_expires_without(self) -> None:
        uuid = self.snapshot(self.volume(), retentionTime='0s')
        self.pass_time(10 ** 9)
        self.assertEqual('Available', self.get(uuid, 'snapshots')['state'])


class TestClonesHold(base.ClusterTest):
    """A snapshot stays in Deleting until its last clone is gone."""

    def setUp(self) -> None:
        super().setUp()
        self.prepare()

    def prepare(self) -> None:
        self.source = self.volume()
        self.uuid = self.snapshot(self.source)
        self.clones = [self.volume(name, sourceSnapshotUUID=self.uuid)
                       for name in ('c1', 'c2')]
        self.done('DELETE', SNAPSHOTS + '/' + self.uuid)

    def drop(self, volume: str) -> None:
        self.done('DELETE', '%s/volumes/%s' % (PROJECT, volume))
        self.world.settle()

    def test_until_the_last_is_gone(self) -> None:
        self.pass_time(1000)
        self.drop(self.clones[0])
        self.assertEqual('Deleting', self.get(self.uuid, 'snapshots'
                                              )['state'])
        self.drop(self.clones[1])
        self.refused(404, 5, 'GET', SNAPSHOTS + '/' + self.uuid)

    def test_left_out_of_lists(self) -> None:
        self.assertEqual({}, self.done('GET', SNAPSHOTS))
        shown = self.done('GET', SNAPSHOTS + '?showAll=true')['snapshots']
        self.assertEqual([self.uuid], [one['UUID'] for one in shown])

    def test_name_is_refused_meanwhile(self) -> None:
        self.refused(409, 6, 'POST', SNAPSHOTS, {
            'name': 's', 'sourceVolumeUUID': self.source})

    def test_name_is_accepted_and_fails(self) -> None:
        self.build(deleting_name_fails=True)
        self.prepare()
        uuid = self.snapshot(self.source)
        self.assertEqual('Failed', self.get(uuid, 'snapshots')['state'])

    def test_failed_clone_holds_nothing(self) -> None:
        for clone in self.clones:
            volume = self.world.volumes.get(clone)
            assert volume is not None
            self.cluster.volumes.force(volume, state='Failed')
        self.refused(404, 5, 'GET', SNAPSHOTS + '/' + self.uuid)


class TestChangedBlocks(base.ClusterTest):

    def setUp(self) -> None:
        super().setUp()
        self.source = self.volume()
        self.first = self.snapshot(self.source, 'a')
        self.world.settle()
        self.second = self.snapshot(self.source, 'b')
        self.url = '%s/diff/%s' % (SNAPSHOTS, self.second)

    def test_nothing_differs(self) -> None:
        self.assertEqual({}, self.done(
            'GET', '%s?baseSnapshotUUID=%s' % (self.url, self.first)))

    def test_missing_base(self) -> None:
        self.refused(404, 5, 'GET', self.url + '?baseSnapshotName=nobody')

    def test_base_of_another_volume(self) -> None:
        self.snapshot(self.volume('w'), 'c')
        self.refused(400, 3, 'GET', self.url + '?baseSnapshotName=c')

    def test_snapshot_in_the_making(self) -> None:
        self.work(CreateSnapshot=5)
        self.snapshot(self.source, 'c')
        self.refused(503, 14, 'GET', SNAPSHOTS + '/diff/?snapshotName=c')
