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
"""A whole cluster: volumes, snapshots, policies, projects, nodes, hosts.

A state machine on a clock that it is given; no I/O, no sleeping, no threads.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
import itertools
from typing import Any

from lightos_simulator import dataplane
from lightos_simulator import errors
from lightos_simulator import policies
from lightos_simulator import records
from lightos_simulator import rules
from lightos_simulator import settings
from lightos_simulator import snapshots
from lightos_simulator import volumes
from lightos_simulator import world

DEFAULT_PROJECT = 'default'
DEFAULT_CAPACITY = 10240 * rules.GIB


class Cluster:
    """A LightOS cluster.

    :param clock: gives the seconds since the epoch; it may stand still
    :param addresses: one for each node
    :param uuid: the cluster's UUID; None makes a new one
    :param capacity: bytes that it can hold, as its users see it
    :param data: what keeps the content of its volumes; None is nothing
    :param data_addresses: where the nodes serve NVMe, if not at addresses
    """

    def __init__(self, clock: world.Clock, addresses: Sequence[str],
                 assumptions: settings.Assumptions = settings.Assumptions(),
                 uuid: str | None = None,
                 capacity: int = DEFAULT_CAPACITY,
                 data: dataplane.DataPlane | None = None,
                 data_addresses: Sequence[str] = ()) -> None:
        self.world = world.World(clock, assumptions,
                                 uuid or world.new_uuid(), capacity,
                                 data or dataplane.DataPlane())
        self.policies = policies.Policies(self.world)
        self.snapshots = snapshots.Snapshots(self.world)
        self.volumes = volumes.Volumes(self.world, self.policies,
                                       self.snapshots)
        for address, data_address in itertools.zip_longest(
                addresses, data_addresses, fillvalue=''):
            self.world.add_node(address, data_address)
        self.world.add_project(DEFAULT_PROJECT)

    def set_default_policy(self, project: str, policy: str) -> None:
        """Give a project a default QoS policy.

        :param policy: its name
        :raises ApiError: one of them is not there
        """
        self.world.project(project).policy_uuid = self.policies.choose(
            project, '', policy)
        self.world.etag += 1

    def set_node_state(self, node: records.Node, state: str) -> None:
        """Let a node fail or come back, and the volumes on it with it."""
        if node.state == state:
            return
        node.state = state
        self.world.touch_node(node)
        active = state == 'Active'
        self.world.report('Node', 'NodeActive' if active else 'NodeInactive',
                          201 if active else 202, (node.uuid, node.name),
                          severity='Info' if active else 'High')
        for volume in self.world.volumes:
            if node.uuid in volume.nodes and volume.protection != 'Unknown':
                volume.protection = self.world.protection(volume.nodes)
                self.world.touch(volume)
        self.world.data.nodes_changed()

    def move_node(self, node: records.Node, address: str) -> None:
        """Give a node another address."""
        node.address = address
        self.world.touch_node(node)
        self.world.data.nodes_changed()

    def node(self, uuid: str) -> records.Node:
        """A node.

        :raises ApiError: 404
        """
        for node in self.world.nodes:
            if node.uuid == uuid:
                return node
        raise errors.not_found('node %s does not exist' % uuid)

    def hosts(self, host: str = '', volume: str = '') -> dict[str, list[str]]:
        """The hosts that are connected, with the volumes of each.

        :param host: only this host
        :param volume: only the hosts of this volume, by its UUID
        :raises ApiError: 404, there is no such volume
        """
        found: dict[str, list[str]] = {}
        volumes_in_question = ([self.volumes.find(None, volume, '')]
                               if volume else self.world.volumes)
        for one in volumes_in_question:
            for nqn in one.connected_hosts:
                if host in ('', nqn):
                    found.setdefault(nqn, []).append(one.uuid)
        return found

    def resume(self, objects: Iterable[Any]) -> None:
        """Take objects in that were kept in a file.

        Policies come first, then snapshots, then volumes.
        """
        rooms: dict[type, Any] = {records.Policy: self.policies,
                                  records.Snapshot: self.snapshots,
                                  records.Volume: self.volumes}
        for record in objects:
            rooms[type(record)].resume(record)
