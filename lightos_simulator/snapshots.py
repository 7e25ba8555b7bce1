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
"""Snapshots as a state machine."""

from __future__ import annotations

import functools
from typing import Any

from lightos_simulator import errors
from lightos_simulator import records
from lightos_simulator import world


class Snapshots:
    """What can be done with snapshots."""

    def __init__(self, cluster: world.World) -> None:
        self._world = cluster

    def find(self, project: str | None, uuid: str, name: str
             ) -> records.Snapshot:
        """A snapshot by UUID or name; a live one before a Failed one.

        :raises ApiError: 404, or 400 if neither is given
        """
        return self._world.snapshots.find('snapshot', project, uuid, name)

    def check_usable(self, snapshot: records.Snapshot) -> None:
        """Refuse a snapshot that holds no data yet, or no more.

        :raises ApiError: 503, or 400 with code 9
        """
        if snapshot.state == 'Creating':
            raise errors.unavailable('snapshot %s is Creating'
                                     % snapshot.name)
        if snapshot.state != 'Available':
            raise errors.precondition('snapshot %s is %s'
                                      % (snapshot.name, snapshot.state))

    def create(self, name: str, volume: records.Volume, retention: float,
               description: str, fails: bool = False) -> records.Snapshot:
        """Begin a snapshot.

        :param retention: seconds after which it is deleted; 0 is never
        :param fails: let it end Failed
        :raises ApiError: it is refused
        """
        cluster = self._world
        if cluster.snapshots.is_taken(volume.project, name):
            self._check_name_comes_free(volume.project, name)
            fails = True
        cluster.check_ready(volume)
        if (cluster.assume.one_snapshot_at_a_time
                and self._is_being_snapshotted(volume)):
            raise errors.internal('a snapshot of volume %s is being made'
                                  % volume.name)
        snapshot = records.Snapshot(
            uuid=world.new_uuid(), name=name, project=volume.project,
            size=volume.size, replicas=volume.replicas,
            compression=volume.compression, acl=volume.acl,
            ip_acl=volume.ip_acl, labels=volume.labels,
            sector_size=volume.sector_size, nsid=cluster.next_nsid(),
            nodes=volume.nodes, created=cluster.clock(),
            volume_uuid=volume.uuid, volume_name=volume.name,
            description=description, retention=retention)
        cluster.note_snapshot(snapshot)
        self._begin(snapshot, 'CreateSnapshot', 'Creating', fails)
        return snapshot

    def _check_name_comes_free(self, project: str, name: str) -> None:
        if (not self._world.assume.deleting_name_fails
                or any(namesake.state not in ('Deleting', 'Failed')
                       for namesake
                       in self._world.snapshots.named(project, name))):
            raise errors.exists('snapshot %s exists in project %s'
                                % (name, project))

    def _is_being_snapshotted(self, volume: records.Volume) -> bool:
        for uuid in self._world.snapshots_of.get(volume.uuid, ()):
            snapshot = self._world.snapshots.get(uuid)
            if (snapshot is not None and snapshot.state == 'Creating'
                    and snapshot.work is not None):
                return True
        return False

    def delete(self, snapshot: records.Snapshot, if_match: str | None = None,
               fails: bool = False) -> None:
        """Begin to delete a snapshot; it waits for its last clone to go.

        :raises ApiError: it is refused
        """
        self._world.check_etag(snapshot, if_match)
        if not (snapshot.state == 'Failed'
                and self._world.assume.failed_snapshot_deletable):
            self._world.check_ready(snapshot, deletes=True)
        self._begin(snapshot, 'DeleteSnapshot', 'Deleting', fails)

    def clone_gone(self, uuid: str) -> None:
        """A clone lives no more: its snapshot may have waited for that."""
        snapshot = self._world.snapshots.get(uuid)
        if (snapshot is not None and snapshot.state == 'Deleting'
                and snapshot.work is None
                and not self._world.has_living_clones(snapshot)):
            self._remove(snapshot)

    def force(self, snapshot: records.Snapshot, **attributes: Any) -> None:
        """Give a snapshot other attributes at once."""
        snapshot.work = None
        for name, value in attributes.items():
            setattr(snapshot, name, value)
        self._world.touch(snapshot)

    def resume(self, snapshot: records.Snapshot) -> None:
        """Go on with the work of a snapshot that was kept in a file."""
        self._world.note_snapshot(snapshot)
        if snapshot.work is not None:
            self._world.at(snapshot.work.due, functools.partial(
                self._finish, snapshot, snapshot.work))
        self._watch_age(snapshot)

    def _begin(self, snapshot: records.Snapshot, operation: str, state: str,
               fails: bool) -> None:
        work = records.Work(
            operation, self._world.clock()
            + self._world.work_times.of(operation), fails)
        snapshot.work = work
        snapshot.state = state
        self._world.touch(snapshot)
        self._world.at(work.due,
                       functools.partial(self._finish, snapshot, work))

    def _finish(self, snapshot: records.Snapshot, work: records.Work) -> None:
        if snapshot.work is not work:
            return
        snapshot.work = None
        if work.fails:
            snapshot.state = 'Failed'
        elif work.operation == 'CreateSnapshot':
            snapshot.state = 'Available'
            self._world.data.snapshot_created(snapshot)
            self._watch_age(snapshot)
        elif not self._world.has_living_clones(snapshot):
            self._remove(snapshot)
            return
        self._world.touch(snapshot)

    def _watch_age(self, snapshot: records.Snapshot) -> None:
        if snapshot.retention and snapshot.state == 'Available':
            self._world.at(snapshot.created + snapshot.retention,
                           functools.partial(self._expire, snapshot))

    def _expire(self, snapshot: records.Snapshot) -> None:
        if snapshot.state == 'Available':
            self._begin(snapshot, 'DeleteSnapshot', 'Deleting', False)

    def _remove(self, snapshot: records.Snapshot) -> None:
        snapshot.state = 'Deleted'
        self._world.forget_snapshot(snapshot)
        self._world.data.snapshot_deleted(snapshot)
        self._world.touch(snapshot)
