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
"""What a cluster is made of."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from typing import Any

from lightos_simulator import rules


@dataclasses.dataclass(frozen=True)
class Work:
    """What the cluster is doing to an object.

    :ivar operation: the operation that began it
    :ivar due: when it is done, in seconds of the cluster's clock
    :ivar fails: whether the object ends in state Failed
    :ivar changes: the attributes that the object has when it is done
    :ivar back_to: the state that it then has
    :ivar snapshot: the UUID of the one whose content it then has
    """
    operation: str
    due: float
    fails: bool = False
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    back_to: str = 'Available'
    snapshot: str = ''


@dataclasses.dataclass(eq=False)
class Record:
    """What volumes, snapshots and policies have in common.

    :ivar etag: changes with every change
    :ivar rendered: the JSON of its message, while nothing has changed
    """
    uuid: str
    name: str
    project: str
    state: str = 'Creating'
    etag: int = 0
    work: Work | None = None
    rendered: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(eq=False)
class Replicated(Record):
    """What volumes and snapshots have in common.

    :ivar size: in bytes
    :ivar nodes: the UUIDs of the nodes that have a replica, the primary first
    :ivar created: seconds of the cluster's clock
    """
    size: int = 0
    replicas: int = 1
    compression: bool = False
    acl: tuple[str, ...] = (rules.ALLOW_NONE,)
    ip_acl: tuple[str, ...] = (rules.ALLOW_ANY,)
    labels: rules.Labels = ()
    sector_size: int = rules.BLOCK
    nsid: int = 0
    nodes: tuple[str, ...] = ()
    created: float = 0.0


@dataclasses.dataclass(eq=False)
class Volume(Replicated):
    """A volume.

    :ivar source_uuid: of the snapshot that it is a clone of
    :ivar used: bytes that its user has written
    :ivar placement: its placementRestrictions, as they were asked for
    """
    protection: str = 'Unknown'
    source_uuid: str = ''
    source_name: str = ''
    policy_uuid: str = ''
    used: int = 0
    placement: tuple[Mapping[str, Any], ...] = ()
    connected_hosts: tuple[str, ...] = ()

    @property
    def living(self) -> bool:
        """Whether it holds data."""
        return self.state not in ('Failed', 'Deleted')


@dataclasses.dataclass(eq=False)
class Snapshot(Replicated):
    """A snapshot.

    :ivar retention: seconds that it is kept for; 0 is for ever
    """
    volume_uuid: str = ''
    volume_name: str = ''
    description: str = ''
    retention: float = 0.0


@dataclasses.dataclass(eq=False)
class Policy(Record):
    """A QoS policy; it belongs to no project.

    :ivar limits: its QoSRateLimitPolicy message
    """
    description: str = ''
    limits: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def visible_to(self, project: str) -> bool:
        """Whether a project may use it."""
        return (self.limits['policyVisibility'] == 'Global'
                or project in self.limits['projectsNamesScope'])


@dataclasses.dataclass(eq=False)
class Project:
    """A project and, if it has one, its default QoS policy."""
    uuid: str
    name: str
    policy_uuid: str = ''


@dataclasses.dataclass(eq=False)
class Node:
    """A node; its state is DurosNodeInfo.State.

    :ivar other_address: where NVMe is served, if it is not its address
    """
    uuid: str
    server_uuid: str
    name: str
    address: str
    failure_domain: str
    state: str = 'Active'
    etag: int = 0
    other_address: str = ''

    @property
    def data_address(self) -> str:
        """Where its NVMe and discovery services are."""
        return self.other_address or self.address


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that has happened.

    :ivar kind: Event.EventType
    :ivar project: of the volume that it is about, else empty
    :ivar component: the UUID and name of what it is about
    """
    number: int
    time: float
    kind: str
    name: str
    code: int
    severity: str
    project: str
    component: tuple[str, str]
    description: str
