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
"""The state file: what a cluster is after a restart."""

from __future__ import annotations

import json
import pathlib
import stat
from typing import Any

import ddt
import fixtures

from lightos_simulator import api
from lightos_simulator import model
from lightos_simulator import statefile
from lightos_simulator.tests import base
from lightos_simulator.tests.base import GIB
from lightos_simulator.tests.base import PROJECT


@ddt.ddt
class TestRestart(base.ClusterTest):

    def restart(self) -> None:
        """Put the state of this cluster into a new one."""
        before = json.loads(json.dumps(statefile.dump(self.cluster)))
        self.cluster = model.Cluster(self.clock, base.ADDRESSES,
                                     uuid=self.world.uuid)
        statefile.restore(self.cluster, before)
        self.world = self.cluster.world
        self.api = api.Api(self.cluster)
        self.assertEqual(before, json.loads(json.dumps(
            statefile.dump(self.cluster))))

    def everything(self) -> list[Any]:
        return [self.done('GET', url) for url in (
            '/api/v2/volumes', PROJECT + '/snapshots', '/api/v2/projects',
            '/api/v2/policies', '/api/v2/nodes', '/api/v2/cluster',
            '/api/v2/clusterinfo', '/api/v2/events')]

    def test_nothing_changes(self) -> None:
        self.world.add_project('other')
        self.policy()
        source = self.volume(
            labels=[{'key': 'k', 'value': 'v'}], qosPolicyName='q',
            acl={'values': [base.NQN]}, placementRestrictions=[{
                'operator': 'In', 'labelValueKeyPairs': [
                    {'key': 'FD', 'value': 'rack0'}]}])
        self.volume('c', sourceSnapshotUUID=self.snapshot(source))
        self.world.settle()
        before = self.everything()
        self.restart()
        self.assertEqual(before, self.everything())

    def test_work_goes_on(self) -> None:
        self.work(UpdateVolume=10)
        uuid = self.volume('old')
        self.update(uuid, size='5 gib', newName='new')
        self.restart()
        self.assertEqual('Updating', self.get(uuid)['state'])
        self.refused(409, 6, 'POST', PROJECT + '/volumes', {
            'name': 'new', 'size': '1 gib', 'replicaCount': 1})
        self.pass_time(10)
        volume = self.get(uuid)
        self.assertEqual(('Available', 'new', str(5 * GIB)),
                         (volume['state'], volume['name'], volume['size']))

    def test_snapshot_still_expires(self) -> None:
        uuid = self.snapshot(self.volume(), retentionTime='60s')
        self.get(uuid, 'snapshots')
        self.restart()
        self.pass_time(60)
        self.refused(404, 5, 'GET', '%s/snapshots/%s' % (PROJECT, uuid))

    def test_snapshot_still_waits_for_its_clones(self) -> None:
        snapshot = self.snapshot(self.volume())
        clone = self.volume('c', sourceSnapshotUUID=snapshot)
        self.done('DELETE', '%s/snapshots/%s' % (PROJECT, snapshot))
        self.world.settle()
        self.restart()
        self.assertEqual('Deleting', self.get(snapshot, 'snapshots')['state'])
        self.done('DELETE', '%s/volumes/%s' % (PROJECT, clone))
        self.refused(404, 5, 'GET', '%s/snapshots/%s' % (PROJECT, snapshot))

    def test_numbers_go_on(self) -> None:
        nsid = self.get(self.volume('a'))['nsid']
        self.restart()
        self.assertGreater(self.get(self.volume('b'))['nsid'], nsid)

    @ddt.data({}, {'nodes': 1}, {'nodes': [{'x': 1}]})
    def test_incomplete(self, state: Any) -> None:
        self.assertRaises(statefile.StateError, statefile.restore,
                          self.cluster, state)


@ddt.ddt
class TestFile(base.ClusterTest):

    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.useFixture(
            fixtures.TempDir()).path)
        self.path = self.directory / 'state.json'

    def test_written_and_read(self) -> None:
        statefile.write(self.path, {'a': 1})
        statefile.write(self.path, {'a': 2})
        content = statefile.read(self.path)
        assert content is not None
        self.assertEqual(2, content['a'])
        self.assertEqual([self.path], list(self.directory.iterdir()))

    def test_nobody_else_may_read_it(self) -> None:
        statefile.write(self.path, {})
        self.assertEqual(0o600, stat.S_IMODE(self.path.stat().st_mode))

    def test_no_file(self) -> None:
        self.assertIsNone(statefile.read(self.path))

    def test_failed_write_leaves_the_old_one(self) -> None:
        statefile.write(self.path, {'a': 1})
        self.assertRaises(TypeError, statefile.write, self.path,
                          {'a': object()})
        self.assertEqual({'format': 1, 'a': 1},
                         json.loads(self.path.read_text()))

    @ddt.data('', '{', '[]', '{}', '{"format": 99}')
    def test_other_content(self, text: str) -> None:
        self.path.write_text(text)
        error = self.assertRaises(statefile.StateError, statefile.read,
                                  self.path)
        self.assertIn(str(self.path), str(error))

    def test_directory_in_its_place(self) -> None:
        self.path.mkdir()
        self.assertRaises(statefile.StateError, statefile.read, self.path)
        self.assertRaises(statefile.StateError, statefile.write, self.path,
                          {})
