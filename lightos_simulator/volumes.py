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
"""Volumes as a state machine."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import functools
from typing import Any

from lightos_simulator import errors
from lightos_simulator import policies
from lightos_simulator import records
from lightos_simulator import rules
from lightos_simulator import snapshots
from lightos_simulator import world


@dataclasses.dataclass(frozen=True)
class NewVolume:
    """What a volume is to be; None is what the cluster chooses."""
    project: str
    name: str
    size: int
    replicas: int
    compression: bool
    acl: tuple[str, ...] | None
    ip_acl: tuple[str, ...] | None
    labels: rules.Labels
    sector_size: int
    source_uuid: str
    source_name: str
    policy_uuid: str
    policy_name: str
    placement: tuple[Mapping[str, Any], ...]


@dataclasses.dataclass(frozen=True)
class VolumeChange:
    """What is to change of a volume; None stays as it is."""
    name: str | None = None
    size: int | None = None
    shrink: bool = False
    compression: bool | None = None
    acl: tuple[str, ...] | None = None
    ip_acl: tuple[str, ...] | None = None
    labels: rules.Labels | None = None
    policy_uuid: str = ''
    policy_name: str = ''


class Volumes:
    """What can be done with volumes."""

    def __init__(self, cluster: world.World, policy_room: policies.Policies,
                 snapshot_room: snapshots.Snapshots) -> None:
        self._world = cluster
        self._policies = policy_room
        self._snapshots = snapshot_room

    def find(self, project: str | None, uuid: str, name: str
             ) -> records.Volume:
        """A volume by UUID or name; a live one before a Failed one.

        :param project: None is any, for a UUID alone
        :raises ApiError: 404, or 400 if neither is given
        """
        return self._world.volumes.find('volume', project, uuid, name)

    def create(self, new: NewVolume, fails: bool = False) -> records.Volume:
        """Begin a volume.

        :param fails: let it end Failed
        :raises ApiError: it is refused
        """
        cluster = self._world
        project = cluster.project(new.project)
        if cluster.volumes.is_taken(new.project, new.name):
            raise errors.exists('volume %s exists in project %s'
                                % (new.name, new.project))
        most = cluster.current_max_replicas()
        if not 1 <= new.replicas <= most:
            raise errors.invalid('replicaCount must be 1 to %d' % most)
        labels = new.labels
        source = self._source(new)
        if source is not None:
            labels = labels or source.labels
        policy_uuid = (self._policies.choose(new.project, new.policy_uuid,
                                             new.policy_name)
                       or project.policy_uuid)
        volume = records.Volume(
            uuid=world.new_uuid(), name=new.name, project=new.project,
            size=new.size, replicas=new.replicas,
            compression=new.compression, acl=new.acl or (rules.ALLOW_NONE,),
            ip_acl=new.ip_acl or (rules.ALLOW_ANY,), labels=labels,
            sector_size=new.sector_size, nsid=cluster.next_nsid(),
            nodes=cluster.choose_nodes(new.replicas), created=cluster.clock(),
            source_uuid=source.uuid if source else '',
            source_name=source.name if source else '',
            policy_uuid=policy_uuid, placement=new.placement)
        cluster.note_volume(volume)
        self._begin(volume, 'CreateVolume', 'Creating', fails=fails)
        self._report(volume, 'VolumeCreated', 101)
        return volume

    def _source(self, new: NewVolume) -> records.Snapshot | None:
        if not (new.source_uuid or new.source_name):
            return None
        source = self._snapshots.find(new.project, new.source_uuid,
                                      new.source_name)
        self._snapshots.check_usable(source)
        if new.replicas != source.replicas:
            raise errors.invalid('replicaCount must be that of the snapshot')
        if new.compression != source.compression:
            raise errors.invalid('compression must be that of the snapshot')
        if new.sector_size != source.sector_size:
            raise errors.invalid('sectorSize must be that of the snapshot')
        if new.size < source.size:
            raise errors.invalid('size must be at least that of the snapshot')
        return source

    def update(self, volume: records.Volume, change: VolumeChange,
               if_match: str | None = None, fails: bool = False) -> None:
        """Begin a change.

        :raises ApiError: it is refused
        """
        cluster = self._world
        cluster.check_etag(volume, if_match)
        cluster.check_ready(volume)
        changes: dict[str, Any] = {
            name: value for name, value in (
                ('compression', change.compression), ('acl', change.acl),
                ('ip_acl', change.ip_acl), ('labels', change.labels))
            if value is not None}
        if change.size is not None:
            self._check_size(volume, change)
            changes['size'] = change.size
        policy_uuid = self._policies.choose(
            volume.project, change.policy_uuid, change.policy_name)
        if policy_uuid:
            changes['policy_uuid'] = policy_uuid
        if change.name is not None and change.name != volume.name:
            if cluster.volumes.is_taken(volume.project, change.name):
                raise errors.exists('volume %s exists in project %s'
                                    % (change.name, volume.project))
            cluster.volumes.reserve(volume.project, change.name)
            changes['name'] = change.name
        state = (volume.state if cluster.assume.updating_hidden
                 else 'Updating')
        self._begin(volume, 'UpdateVolume', state, changes, fails)

    def _check_size(self, volume: records.Volume, change: VolumeChange
                    ) -> None:
        assert change.size is not None
        if change.size < volume.size and not change.shrink:
            raise errors.invalid('shrinking %s takes Force' % volume.name)
        if (change.size == volume.size
                and self._world.assume.same_size_refused):
            raise errors.invalid('%s has this size' % volume.name)

    def rollback(self, volume: records.Volume, snapshot: records.Snapshot,
                 if_match: str | None = None, fails: bool = False) -> None:
        """Begin to put a volume back to one of its own snapshots.

        :raises ApiError: it is refused
        """
        self._world.check_etag(volume, if_match)
        self._world.check_ready(volume)
        if snapshot.volume_uuid != volume.uuid:
            raise errors.invalid('snapshot %s is not one of volume %s'
                                 % (snapshot.name, volume.name))
        self._snapshots.check_usable(snapshot)
        changes: dict[str, Any] = {}
        if self._world.assume.rollback_restores_metadata:
            changes = {'size': snapshot.size, 'acl': snapshot.acl,
                       'ip_acl': snapshot.ip_acl, 'labels': snapshot.labels}
        self._begin(volume, 'RollbackVolume', 'Rollback', changes, fails,
                    snapshot.uuid)

    def delete(self, volume: records.Volume, if_match: str | None = None,
               fails: bool = False) -> None:
        """Begin to delete a volume.

        :raises ApiError: it is refused
        """
        cluster = self._world
        cluster.check_etag(volume, if_match)
        cluster.check_ready(volume, deletes=True)
        if (cluster.assume.snapshots_hold_volume
                and cluster.snapshots_of.get(volume.uuid)):
            raise errors.precondition('volume %s has snapshots' % volume.name)
        self._begin(volume, 'DeleteVolume', 'Deleting', fails=fails)

    def force(self, volume: records.Volume, **attributes: Any) -> None:
        """Give a volume other attributes at once, whatever it was doing."""
        if 'state' in attributes:
            self._drop_work(volume)
        for name, value in attributes.items():
            setattr(volume, name, value)
        self._world.touch(volume)
        self._world.data.volume_changed(volume)
        self._after_end(volume)

    def resume(self, volume: records.Volume) -> None:
        """Go on with the work of a volume that was kept in a file."""
        self._world.note_volume(volume)
        work = volume.work
        if work is not None:
            if 'name' in work.changes:
                self._world.volumes.reserve(volume.project,
                                            work.changes['name'])
            self._world.at(work.due,
                           functools.partial(self._finish, volume, work))

    def _begin(self, volume: records.Volume, operation: str, state: str,
               changes: Mapping[str, Any] | None = None, fails: bool = False,
               snapshot: str = '') -> None:
        back_to = volume.state if volume.state == 'Migrating' else 'Available'
        self._drop_work(volume)
        work = records.Work(
            operation, self._world.clock()
            + self._world.work_times.of(operation), fails, changes or {},
            back_to, snapshot)
        volume.work = work
        volume.state = state
        self._world.touch(volume)
        self._world.at(work.due, functools.partial(self._finish, volume, work))

    def _drop_work(self, volume: records.Volume) -> None:
        if volume.work is not None and 'name' in volume.work.changes:
            self._world.volumes.release(volume.project,
                                        volume.work.changes['name'])
        volume.work = None

    def _finish(self, volume: records.Volume, work: records.Work) -> None:
        if volume.work is not work:
            return
        self._drop_work(volume)
        if work.fails:
            volume.state = 'Failed'
            self._report(volume, 'VolumeFailed', 104, 'High')
        elif work.operation == 'DeleteVolume':
            volume.state = 'Deleted'
            self._world.forget_volume(volume)
            self._world.data.volume_deleted(volume)
            self._report(volume, 'VolumeDeleted', 102)
        else:
            self._take_changes(volume, work)
        self._world.touch(volume)
        self._after_end(volume)

    def _take_changes(self, volume: records.Volume, work: records.Work
                      ) -> None:
        for name, value in work.changes.items():
            if name == 'name':
                self._world.volumes.rename(volume, value)
            else:
                setattr(volume, name, value)
        volume.state = work.back_to
        data = self._world.data
        if work.operation == 'CreateVolume':
            volume.protection = self._world.protection(volume.nodes)
            data.volume_created(volume)
            return
        if work.snapshot:
            data.volume_rolled_back(volume, work.snapshot)
        data.volume_changed(volume)
        self._report(volume, 'VolumeUpdated', 103)

    def _after_end(self, volume: records.Volume) -> None:
        if volume.source_uuid and not volume.living:
            self._snapshots.clone_gone(volume.source_uuid)

    def _report(self, volume: records.Volume, name: str, code: int,
                severity: str = 'Info') -> None:
        self._world.report('Volume', name, code, (volume.uuid, volume.name),
                           volume.project, severity)
