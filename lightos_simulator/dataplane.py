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
"""The content of volumes and snapshots: what the model tells of it.

The model calls these methods when its work is done, so that a host sees
what the API says, no sooner. What each returns from has happened.
"""

from __future__ import annotations

import abc
import contextlib
import pathlib
import subprocess
from typing import TYPE_CHECKING

from lightos_simulator import rules

if TYPE_CHECKING:
    from lightos_simulator import records
    from lightos_simulator import world


class DataPlaneError(Exception):
    """The data plane cannot work on this machine; the text says why."""


class DataPlane:
    """A data plane that keeps nothing: the API is all there is."""

    def start(self, cluster: world.World, directory: pathlib.Path) -> None:
        """Show what the cluster has.

        :param directory: for the contents
        :raises DataPlaneError: something is missing on this machine
        """

    def stop(self, keep: bool) -> None:
        """Show nothing any more.

        :param keep: whether the contents are wanted again
        """

    def volume_created(self, volume: records.Volume) -> None:
        """A volume is there: empty, or with its source's content."""

    def volume_changed(self, volume: records.Volume) -> None:
        """Its size, access lists, state or nodes are other ones."""

    def volume_rolled_back(self, volume: records.Volume, snapshot: str
                           ) -> None:
        """It has the content of a snapshot again.

        :param snapshot: its UUID
        """

    def volume_deleted(self, volume: records.Volume) -> None:
        """It is gone."""

    def snapshot_created(self, snapshot: records.Snapshot) -> None:
        """A snapshot holds what its volume has now."""

    def snapshot_deleted(self, snapshot: records.Snapshot) -> None:
        """It is gone."""

    def nodes_changed(self) -> None:
        """A node has failed or come back."""


class FileDataPlane(DataPlane, abc.ABC):
    """Contents in sparse files, one for each volume and snapshot."""

    _cluster: world.World
    _directory: pathlib.Path

    def start(self, cluster: world.World, directory: pathlib.Path) -> None:
        self.check()
        self._cluster = cluster
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.prepare()
        for volume in cluster.volumes:
            if volume.living and volume.protection != 'Unknown':
                self.volume_changed(volume)

    def stop(self, keep: bool) -> None:
        for volume in self._cluster.volumes:
            self.withdraw(volume.uuid)
        if not keep:
            for path in self._directory.iterdir():
                path.unlink()
            self._directory.rmdir()

    def path(self, uuid: str) -> pathlib.Path:
        """The file with the content of a volume or snapshot."""
        return self._directory / uuid

    def hosts(self, volume: records.Volume) -> frozenset[str]:
        """The NQNs of the hosts that may use it; ALLOW_ANY is any."""
        if not volume.living or volume.protection == 'NotAvailable':
            return frozenset()
        return frozenset(volume.acl) - {rules.ALLOW_NONE}

    def volume_created(self, volume: records.Volume) -> None:
        if volume.source_uuid:
            copy(self.path(volume.source_uuid), self.path(volume.uuid))
        self.volume_changed(volume)

    def volume_changed(self, volume: records.Volume) -> None:
        with self.path(volume.uuid).open('ab') as file:
            if file.seek(0, 2) != volume.size:
                file.truncate(volume.size)
        self.show(volume)

    def volume_rolled_back(self, volume: records.Volume, snapshot: str
                           ) -> None:
        self.withdraw(volume.uuid)
        copy(self.path(snapshot), self.path(volume.uuid))

    def volume_deleted(self, volume: records.Volume) -> None:
        self.withdraw(volume.uuid)
        self.path(volume.uuid).unlink(missing_ok=True)

    def snapshot_created(self, snapshot: records.Snapshot) -> None:
        self.flush(snapshot.volume_uuid)
        copy(self.path(snapshot.volume_uuid), self.path(snapshot.uuid))

    def snapshot_deleted(self, snapshot: records.Snapshot) -> None:
        self.path(snapshot.uuid).unlink(missing_ok=True)

    def nodes_changed(self) -> None:
        for volume in self._cluster.volumes:
            if self.path(volume.uuid).exists():
                self.show(volume)

    @abc.abstractmethod
    def check(self) -> None:
        """Look whether this machine can do it.

        :raises DataPlaneError: it cannot
        """

    def prepare(self) -> None:
        """Make ready what all volumes share."""

    @abc.abstractmethod
    def show(self, volume: records.Volume) -> None:
        """Let the hosts that may see a volume see it as it is now."""

    @abc.abstractmethod
    def withdraw(self, uuid: str) -> None:
        """Let no host see a volume, if one does."""

    def flush(self, uuid: str) -> None:
        """See to it that what hosts have written is in the file."""


def copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """Make a file that has the content of another; holes stay holes.

    :raises DataPlaneError: there is no room for it
    """
    try:
        subprocess.run(
            ['cp', '--reflink=auto', '--sparse=always', source, target],
            check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        with contextlib.suppress(OSError):
            target.unlink()
        raise DataPlaneError(error.stderr.strip()) from None
