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
"""What the rooms of the model share: objects, clock, schedule, events.

Nothing here sleeps or does I/O. Time comes from a clock that is given, and
what is due is done when somebody looks.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from collections.abc import Sequence
import heapq
import itertools
import uuid

from lightos_simulator import dataplane
from lightos_simulator import errors
from lightos_simulator import records
from lightos_simulator import rules
from lightos_simulator import settings
from lightos_simulator import store

Clock = Callable[[], float]

MAX_REPLICAS = 3
SYSTEM_SCOPE = 'system'
_MAX_EVENTS = 10000
_READY = ('Available', 'Migrating', 'Active')


class World:
    """The objects of one cluster.

    :param clock: gives the seconds since the epoch
    :param uuid: the cluster's UUID
    :param capacity: bytes that the cluster can hold, as its users see it
    :param data: what keeps the content of its volumes
    """

    def __init__(self, clock: Clock, assumptions: settings.Assumptions,
                 uuid: str, capacity: int, data: dataplane.DataPlane) -> None:
        self.clock = clock
        self.data = data
        self.assume = assumptions
        self.work_times = settings.WorkTimes()
        self.uuid = uuid
        self.subsystem_nqn = 'nqn.2016-01.com.lightbitslabs:uuid:' + uuid
        self.capacity = capacity
        self.port = 443
        self.volumes: store.Store[records.Volume] = store.Store()
        self.snapshots: store.Store[records.Snapshot] = store.Store()
        self.policies: store.Store[records.Policy] = store.Store()
        self.projects: dict[str, records.Project] = {}
        self.nodes: list[records.Node] = []
        self.events: collections.deque[records.Event] = collections.deque(
            maxlen=_MAX_EVENTS)
        self.snapshots_of: dict[str, set[str]] = {}
        self.clones_of: dict[str, set[str]] = {}
        self.provisioned = 0
        self.used = 0
        self.protections: collections.Counter[str] = collections.Counter()
        self._counted: dict[str, tuple[int, int, str]] = {}
        self.etag = 0
        self.nsid = 0
        self.event_number = 0
        self._numbers = itertools.count()
        self._schedule: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, when: float, deed: Callable[[], None]) -> None:
        """Do something when its time has come and somebody looks."""
        heapq.heappush(self._schedule, (when, next(self._numbers), deed))

    def settle(self) -> None:
        """Do all that is due."""
        if not self._schedule:
            return
        now = self.clock()
        while self._schedule and self._schedule[0][0] <= now:
            heapq.heappop(self._schedule)[2]()

    def touch(self, record: records.Record) -> None:
        """Note that an object has changed."""
        self.etag += 1
        record.etag = self.etag
        record.rendered = None
        if isinstance(record, records.Volume):
            self._count(record)

    def touch_node(self, node: records.Node) -> None:
        """Note that a node has changed."""
        self.etag += 1
        node.etag = self.etag

    def _count(self, volume: records.Volume) -> None:
        size, used, protection = self._counted.pop(volume.uuid, (0, 0, ''))
        self.provisioned -= size
        self.used -= used
        if protection:
            self.protections[protection] -= 1
        if volume.living and self.volumes.get(volume.uuid) is volume:
            self._counted[volume.uuid] = (volume.size, volume.used,
                                          volume.protection)
            self.provisioned += volume.size
            self.used += volume.used
            self.protections[volume.protection] += 1

    def note_volume(self, volume: records.Volume) -> None:
        """Take a volume in."""
        self.volumes.add(volume)
        if volume.source_uuid:
            self.clones_of.setdefault(volume.source_uuid,
                                      set()).add(volume.uuid)
        self._count(volume)

    def forget_volume(self, volume: records.Volume) -> None:
        """Let a volume go."""
        self.volumes.remove(volume)
        self.clones_of.get(volume.source_uuid, set()).discard(volume.uuid)
        self._count(volume)

    def note_snapshot(self, snapshot: records.Snapshot) -> None:
        """Take a snapshot in."""
        self.snapshots.add(snapshot)
        self.snapshots_of.setdefault(snapshot.volume_uuid,
                                     set()).add(snapshot.uuid)

    def forget_snapshot(self, snapshot: records.Snapshot) -> None:
        """Let a snapshot go."""
        self.snapshots.remove(snapshot)
        self.snapshots_of[snapshot.volume_uuid].discard(snapshot.uuid)

    def has_living_clones(self, snapshot: records.Snapshot) -> bool:
        """Whether a volume still lives on a snapshot."""
        for clone in self.clones_of.get(snapshot.uuid, ()):
            volume = self.volumes.get(clone)
            if volume is not None and volume.living:
                return True
        return False

    def report(self, kind: str, name: str, code: int,
               component: tuple[str, str], project: str = '',
               severity: str = 'Info') -> None:
        """Add an event."""
        self.event_number += 1
        self.events.append(records.Event(
            number=self.event_number, time=self.clock(), kind=kind, name=name,
            code=code, severity=severity, project=project,
            component=component,
            description='%s: %s %s' % (name, component[1], component[0])))

    def next_nsid(self) -> int:
        """A namespace identifier that nothing else has."""
        self.nsid += 1
        return self.nsid

    def project(self, name: str) -> records.Project:
        """A project.

        :raises ApiError: 404
        """
        try:
            return self.projects[name]
        except KeyError:
            raise errors.not_found('project %s does not exist'
                                   % name) from None

    def add_project(self, name: str) -> records.Project:
        """Make a project, unless it is there.

        :raises ApiError: the name is bad
        """
        rules.name(name, 'project name')
        if name == SYSTEM_SCOPE:
            raise errors.invalid('no project can be named %s' % name)
        self.etag += 1
        return self.projects.setdefault(
            name, records.Project(uuid=new_uuid(), name=name))

    def add_node(self, address: str, data_address: str = ''
                 ) -> records.Node:
        """Add an Active node in a failure domain of its own.

        :param data_address: of its NVMe services, if another one
        """
        number = len(self.nodes)
        node = records.Node(
            uuid=new_uuid(), server_uuid=new_uuid(), name='node%d' % number,
            address=address, failure_domain='rack%d' % number,
            other_address=data_address)
        self.nodes.append(node)
        self.touch_node(node)
        return node

    def active_nodes(self) -> list[records.Node]:
        """The nodes that serve."""
        return [node for node in self.nodes if node.state == 'Active']

    def current_max_replicas(self) -> int:
        """How many replicas a new volume can have."""
        return min(MAX_REPLICAS, len(self.active_nodes()))

    def choose_nodes(self, count: int) -> tuple[str, ...]:
        """Nodes for the replicas of a new volume, in turn."""
        nodes = self.active_nodes()
        first = self.nsid % len(nodes)
        return tuple(node.uuid
                     for node in (nodes + nodes)[first:first + count])

    def protection(self, nodes: Sequence[str]) -> str:
        """The protectionState of a volume that has its replicas on these."""
        active = {node.uuid for node in self.active_nodes()}
        alive = sum(node in active for node in nodes)
        if alive == len(nodes):
            return 'FullyProtected'
        return 'Degraded' if alive else 'NotAvailable'

    def check_etag(self, record: records.Record, if_match: str | None) -> None:
        """Refuse a request that expects another ETag.

        :param if_match: the If-Match header
        :raises ApiError: 412, or 400 with code 9
        """
        if if_match is None or if_match.strip() == '*':
            return
        if if_match.strip().strip('"') != str(record.etag):
            message = ('ETag of %s is %d, not the one of If-Match'
                       % (record.name, record.etag))
            if self.assume.if_match_400:
                raise errors.precondition(message)
            raise errors.mismatch(message)

    def check_ready(self, record: records.Record, deletes: bool = False
                    ) -> None:
        """Refuse a request that the object's state does not allow.

        :param deletes: whether the request is to delete it
        :raises ApiError: 503, 409 with code 10, or 400 with code 9
        """
        state = record.state
        message = '%s is %s' % (record.name, state)
        if state in _READY:
            if record.work is not None:
                raise errors.in_progress(
                    'another operation is in progress on %s' % record.name)
        elif state in ('Creating', 'Updating', 'Rollback'):
            if deletes and self.assume.delete_while_busy:
                return
            if state == 'Rollback' or (state == 'Updating'
                                       and self.assume.updating_conflicts):
                raise errors.in_progress(message)
            raise errors.unavailable(message)
        elif state == 'Deleting' and deletes:
            raise errors.in_progress(message)
        else:
            raise errors.precondition(message)


def new_uuid() -> str:
    """A random UUID as LightOS writes it."""
    return str(uuid.uuid4())
