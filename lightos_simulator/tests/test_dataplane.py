# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""What the model tells of contents, and the files that they are kept in."""

from __future__ import annotations

import pathlib
from typing import Any

import fixtures

from lightos_simulator import api
from lightos_simulator import dataplane
from lightos_simulator import loopdev
from lightos_simulator import model
from lightos_simulator import records
from lightos_simulator.tests import base
from lightos_simulator.tests.base import GIB
from lightos_simulator.tests.base import NQN
from lightos_simulator.tests.base import PROJECT


class Recorded(dataplane.FileDataPlane):
    """Files without hosts; it remembers who could see them."""

    def __init__(self) -> None:
        self.seen: dict[str, frozenset[str]] = {}
        self.flushed: list[str] = []

    def check(self) -> None:
        pass

    def show(self, volume: records.Volume) -> None:
        self.seen[volume.uuid] = self.hosts(volume)

    def withdraw(self, uuid: str) -> None:
        self.seen.pop(uuid, None)

    def flush(self, uuid: str) -> None:
        self.flushed.append(uuid)


class TestContents(base.ClusterTest):

    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path) / 'data'
        self.data = Recorded()
        self.cluster = model.Cluster(self.clock, base.ADDRESSES,
                                     data=self.data)
        self.world = self.cluster.world
        self.api = api.Api(self.cluster)
        self.data.start(self.world, self.directory)

    def settled(self, uuid: str) -> None:
        """Let the work on a volume be done."""
        self.get(uuid)

    def write(self, uuid: str, content: bytes) -> None:
        with self.data.path(uuid).open('r+b') as file:
            file.write(content)

    def content(self, uuid: str) -> bytes:
        with self.data.path(uuid).open('rb') as file:
            return file.read(8).rstrip(b'\0')

    def size(self, uuid: str) -> int:
        return self.data.path(uuid).stat().st_size

    def written(self, **fields: Any) -> str:
        """Make a small volume with content."""
        volume = self.volume(size='1 gib', **fields)
        self.settled(volume)
        self.write(volume, b'first')
        return volume

    def taken(self, volume: str, name: str = 's') -> str:
        """Make a snapshot that is there."""
        snapshot = self.snapshot(volume, name)
        self.get(snapshot, 'snapshots')
        return snapshot

    def test_new_volume_is_sparse_and_of_its_size(self) -> None:
        volume = self.volume()
        self.settled(volume)
        self.assertEqual(4 * GIB, self.size(volume))
        self.assertEqual(0, self.data.path(volume).stat().st_blocks)

    def test_volume_is_not_there_while_it_is_created(self) -> None:
        self.work(CreateVolume=5)
        volume = self.volume()
        self.settled(volume)
        self.assertFalse(self.data.path(volume).exists())
        self.pass_time(5)
        self.settled(volume)
        self.assertTrue(self.data.path(volume).exists())

    def test_new_size_and_host_are_seen_when_the_work_is_done(self) -> None:
        volume = self.written()
        self.work(UpdateVolume=5)
        self.update(volume, size='2 gib', acl={'values': [NQN]})
        self.settled(volume)
        self.assertEqual((GIB, frozenset()),
                         (self.size(volume), self.data.seen[volume]))
        self.pass_time(5)
        self.settled(volume)
        self.assertEqual((2 * GIB, frozenset([NQN])),
                         (self.size(volume), self.data.seen[volume]))
        self.assertEqual(b'first', self.content(volume))

    def test_snapshot_keeps_what_it_was_taken_of(self) -> None:
        volume = self.written()
        snapshot = self.taken(volume)
        self.assertEqual([volume], self.data.flushed)
        self.write(volume, b'second')
        self.assertEqual(b'first', self.content(snapshot))

    def test_clone_is_another_copy(self) -> None:
        volume = self.written()
        clone = self.volume('c', size='2 gib',
                            sourceSnapshotUUID=self.taken(volume))
        self.settled(clone)
        self.assertEqual((b'first', 2 * GIB),
                         (self.content(clone), self.size(clone)))
        self.write(clone, b'second')
        self.assertEqual(b'first', self.content(volume))

    def test_rollback_brings_content_back(self) -> None:
        volume = self.written(acl={'values': [NQN]})
        snapshot = self.taken(volume)
        self.update(volume, size='2 gib')
        self.write(volume, b'second')
        self.work(RollbackVolume=5)
        self.done('PUT', '%s/volumes/%s/rollback' % (PROJECT, volume),
                  {'srcSnapshotUUID': snapshot})
        self.settled(volume)
        self.assertEqual(b'second', self.content(volume))
        self.pass_time(5)
        self.settled(volume)
        self.assertEqual((b'first', GIB),
                         (self.content(volume), self.size(volume)))
        self.assertEqual(frozenset([NQN]), self.data.seen[volume])

    def test_deleted_ones_leave_nothing(self) -> None:
        volume = self.written()
        snapshot = self.taken(volume)
        self.done('DELETE', '%s/snapshots/%s' % (PROJECT, snapshot))
        self.done('DELETE', '%s/volumes/%s' % (PROJECT, volume))
        self.world.settle()
        self.assertEqual([], list(self.directory.iterdir()))
        self.assertEqual({}, self.data.seen)

    def test_volume_without_a_living_node_is_seen_by_nobody(self) -> None:
        volume = self.written(acl={'values': [NQN]})
        for node in self.world.nodes:
            self.cluster.set_node_state(node, 'Inactive')
        self.assertEqual(frozenset(), self.data.seen[volume])
        for node in self.world.nodes:
            self.cluster.set_node_state(node, 'Active')
        self.assertEqual(frozenset([NQN]), self.data.seen[volume])

    def test_volumes_of_a_state_file_are_seen_again(self) -> None:
        volume = self.written(acl={'values': [NQN]})
        self.data.stop(keep=True)
        self.assertEqual({}, self.data.seen)
        self.data.start(self.world, self.directory)
        self.assertEqual(frozenset([NQN]), self.data.seen[volume])
        self.assertEqual(b'first', self.content(volume))

    def test_end_leaves_nothing(self) -> None:
        self.written()
        self.data.stop(keep=False)
        self.assertFalse(self.directory.exists())

    def test_no_room_for_a_copy(self) -> None:
        source = self.directory / 'source'
        source.write_bytes(b'x')
        self.assertRaises(dataplane.DataPlaneError, dataplane.copy, source,
                          self.directory / 'missing' / 'target')


class TestLoopDevices(base.ClusterTest):

    MACHINE = ('58 43 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw\n'
               '59 58 0:23 / /dev/shm rw - tmpfs tmpfs rw\n')
    OWN = '66 58 0:40 / /dev rw,relatime shared:1 - tmpfs tmpfs rw\n'

    def test_dev_of_the_machine_is_refused(self) -> None:
        self.assertTrue(loopdev.dev_is_of_the_machine(self.MACHINE))

    def test_machine_without_a_mounted_dev_is_refused(self) -> None:
        self.assertTrue(loopdev.dev_is_of_the_machine(
            '43 42 254:0 / / rw - ext4 /dev/vda rw\n'))

    def test_last_mount_counts(self) -> None:
        self.assertFalse(loopdev.dev_is_of_the_machine(
            self.MACHINE + self.OWN))
