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
"""The cluster's side of the audit: all that it has, as it was listed."""

from typing import Any, Callable, Iterator, Optional, TypeVar

from cinder import exception as cinder_exception
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import listing
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import snapshots
from cinder.volume.drivers.lightos import waiting

T = TypeVar('T')


class _EachCall(operation.Operation):
    """An operation each of whose calls has the whole time for itself.

    A list of fifty pages may take as long as it takes; a cluster that does
    not answer is noticed as soon as ever.
    """

    def read(self, cmd: str, parse: Callable[[Any], T],
             **kwargs: Any) -> Optional[T]:
        return self.within(waiting.Deadline(self.deadline.seconds)).read(
            cmd, parse, **kwargs)


class Inventory(operation.Operation):
    """An operation that reads from lists instead of asking the cluster.

    What the driver's look-ups find on the cluster they find here, by the
    same rules.

    :ivar projects: those that were listed
    :ivar unopened: those that the token does not open, with the refusal
    """

    def __init__(self, cluster: operation.Cluster, action: str,
                 deadline: waiting.Deadline) -> None:
        super().__init__(cluster, action, deadline)
        self._op = _EachCall(cluster, action, deadline)
        self.projects: set[str] = set()
        self.unopened: dict[str, exception.LightOSRefused] = {}
        self._volumes: dict[str, lookup.Found] = {}
        self._snapshots: dict[str, snapshots.Found] = {}
        # What the names find; husks and what is going are not found so.
        self._volume_names: dict[tuple[str, str], str] = {}
        self._snapshot_names: dict[tuple[str, str], str] = {}
        self._claimed: set[str] = set()
        self._words: dict[Any, Any] = {}

    def names(self) -> Optional[tuple[str, ...]]:
        """The names of all projects, None if the token may not know them.

        :raises: LightOSRefused, LightOSNotSeen
        """
        try:
            return listing.projects(self._op)
        except exception.LightOSRefused as exc:
            if exc.status != 403:
                raise
            return None

    def load(self, project: str) -> None:
        """List a project, unless that was done.

        One that does not exist holds nothing. One that the token does not
        open is remembered, and reading from it is refused.

        :raises: LightOSRefused, LightOSNotSeen
        """
        if project in self.projects or project in self.unopened:
            return
        try:
            for snapshot in listing.snapshots(self._op, project):
                self._add_snapshot(project, snapshot)
            for volume in listing.volumes(self._op, project):
                self._add_volume(project, volume)
        except exception.LightOSRefused as exc:
            if exc.status != 403:
                raise
            self.unopened[project] = exc
            return
        except exception.LightOSNotSeen:
            raise
        except exception.LightOSError:
            pass
        self.projects.add(project)

    def read(self, cmd: str, parse: Callable[[Any], T],
             **kwargs: Any) -> Optional[T]:
        project = kwargs['project_name']
        if project in self.unopened:
            raise self.unopened[project]
        found: Any
        if cmd.startswith('get_volume'):
            uuid = kwargs.get('volume_uuid') or self._volume_names.get(
                (project, kwargs.get('volume_name', '')), '')
            found = self._volumes.get(uuid.lower())
        else:
            uuid = kwargs.get('snapshot_uuid') or self._snapshot_names.get(
                (project, kwargs.get('snapshot_name', '')), '')
            found = self._snapshots.get(uuid.lower())
        return found[1] if found and found.project == project else None

    def claim(self, uuid: str) -> None:
        """Note that a record of Cinder accounts for an object."""
        self._claimed.add(uuid.lower())

    def volume(self, uuid: Optional[str]) -> Optional[lookup.Found]:
        """A volume, whatever its project."""
        return self._volumes.get((uuid or '').lower())

    def unclaimed_volumes(self) -> Iterator[lookup.Found]:
        """The live volumes that no record of Cinder accounts for."""
        return (found for uuid, found in self._volumes.items()
                if uuid not in self._claimed and
                found.volume.state not in replies.DEAD)

    def unclaimed_snapshots(self) -> Iterator[snapshots.Found]:
        return (found for uuid, found in self._snapshots.items()
                if uuid not in self._claimed and
                found.snapshot.state not in replies.DEAD)

    def counts(self) -> tuple[int, int]:
        """How many volumes and snapshots were listed."""
        return len(self._volumes), len(self._snapshots)

    def _add_volume(self, project: str, volume: replies.Volume) -> None:
        uuid = volume.uuid.lower()
        self._volumes[uuid] = lookup.Found(project, volume._replace(
            **{field: self._once(getattr(volume, field)) for field in (
                'project', 'state', 'protection', 'size', 'acl', 'ip_acl',
                'qos_policy_uuid', 'qos_policy_name')}))
        if volume.name and volume.state not in replies.DEAD:
            self._volume_names[project, volume.name] = uuid

    def _add_snapshot(self, project: str, snapshot: replies.Snapshot) -> None:
        uuid = snapshot.uuid.lower()
        self._snapshots[uuid] = snapshots.Found(project, snapshot._replace(
            state=self._once(snapshot.state), size=self._once(snapshot.size)))
        if snapshot.name and snapshot.state not in replies.DEAD:
            self._snapshot_names[project, snapshot.name] = uuid

    def _once(self, value: T) -> T:
        """Keep one of equal values: most volumes differ in little."""
        kept: T = self._words.setdefault(value, value)
        return kept


def ends_all(exc: cinder_exception.CinderException) -> bool:
    """Whether after this nothing more can be learned from the cluster."""
    return (isinstance(exc, exception.LightOSNotSeen) or
            isinstance(exc, exception.LightOSRefused) and exc.status == 401)
