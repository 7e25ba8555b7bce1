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
"""A data plane with the kernel's NVMe/TCP target: what hosts really see.

Each node has a network namespace, a port of the target and a discovery
service of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
import os
import pathlib
import shutil
import subprocess
from typing import TYPE_CHECKING

from lightos_simulator import dataplane
from lightos_simulator import discovery
from lightos_simulator import netns
from lightos_simulator import nvmet
from lightos_simulator import rules

if TYPE_CHECKING:
    from lightos_simulator import records

HOST_ADDRESS = '192.0.2.1'
_MODULES = ('nvmet-tcp', 'veth')


class Nodes:
    """The nodes of the cluster, as far as hosts use them for their data.

    :param nqn: of the cluster's subsystem
    :param addresses: one of each node, for nothing but this
    """

    def __init__(self, nqn: str, addresses: Sequence[str]) -> None:
        self._nqn = nqn
        self._addresses = tuple(addresses)
        self._namespaces = [
            netns.Node(index, address, HOST_ADDRESS)
            for index, address in enumerate(addresses)]
        self.target = nvmet.Target(nqn, addresses)
        self._active: frozenset[int] = frozenset()
        self._volumes: dict[int, tuple[int, ...]] = {}

    def start(self) -> None:
        """Make them; all of them serve.

        :raises NamespaceError, OSError: the system refuses
        """
        self._services = discovery.Services()
        self.target.remove()
        for node in self._namespaces:
            node.create()
        self.target.create()
        self.set_active(range(len(self._addresses)))

    def stop(self) -> None:
        """Take them away."""
        self._services.close()
        self.target.remove()
        for node in self._namespaces:
            node.remove()

    def set_active(self, active: Iterable[int]) -> None:
        """Let these nodes serve and no others.

        A node that ceases ends as a process does: its connections are cut.
        The others take over, and the discovery services list them alone.
        """
        wanted = frozenset(active)
        for node in self._active - wanted:
            self._services.stop(node)
            self.target.cease(node)
        for node in wanted - self._active:
            with self._namespaces[node].inside():
                self.target.serve(node)
                self._services.start(node, discovery.listen(
                    self._addresses[node]))
        self._active = wanted
        self._update_states()
        self._services.list([
            discovery.Entry(self._addresses[node], nvmet.PORT, self._nqn,
                            node + 1) for node in sorted(wanted)])

    def set_link(self, node: int, up: bool) -> None:
        """Plug a node's network cable in or out: it falls silent."""
        self._namespaces[node].set_link(up)

    def show(self, namespace: nvmet.Namespace) -> None:
        """Let hosts see a volume as it is now."""
        self._volumes[namespace.nsid] = namespace.nodes
        self._update_states()
        self.target.show(namespace)

    def withdraw(self, nsid: int) -> None:
        """Let no host see a volume."""
        self._volumes.pop(nsid, None)
        self.target.withdraw(nsid)

    def _update_states(self) -> None:
        self.target.set_states({
            nodes: nvmet.ana_states(nodes, self._active,
                                    len(self._addresses))
            for nodes in self._volumes.values()})


class NvmetDataPlane(dataplane.FileDataPlane):
    """Volumes as namespaces of the kernel's target.

    The kernel knows no access list of a namespace, only one of the subsystem:
    that has all hosts that any volume lets in, and a volume that lets nobody
    in is not there.
    """

    _nodes: Nodes

    def __init__(self) -> None:
        self._shown: dict[str, tuple[int, frozenset[str]]] = {}

    def check(self) -> None:
        if os.geteuid() != 0:
            raise dataplane.DataPlaneError('the NVMe target needs root')
        load_target()

    def prepare(self) -> None:
        addresses = [node.data_address for node in self._cluster.nodes]
        if any(address.startswith('127.') for address in addresses):
            raise dataplane.DataPlaneError(
                'a node in a network namespace cannot have the loopback '
                'address %s: give --first-data-address' % addresses[0])
        self._nodes = Nodes(self._cluster.subsystem_nqn, addresses)
        try:
            self._nodes.start()
            self.nodes_changed()
        except (netns.NamespaceError, OSError) as error:
            self._nodes.stop()
            raise dataplane.DataPlaneError(str(error)) from None

    def stop(self, keep: bool) -> None:
        super().stop(keep)
        self._nodes.stop()

    def nodes_changed(self) -> None:
        self._nodes.set_active(
            index for index, node in enumerate(self._cluster.nodes)
            if node.state == 'Active')
        super().nodes_changed()

    def show(self, volume: records.Volume) -> None:
        hosts = self.hosts(volume)
        if not hosts:
            self.withdraw(volume.uuid)
            return
        self._shown[volume.uuid] = (volume.nsid, hosts)
        self._admit()
        places = [node.uuid for node in self._cluster.nodes]
        self._nodes.show(nvmet.Namespace(
            volume.nsid, volume.uuid, self.path(volume.uuid),
            tuple(places.index(node) for node in volume.nodes)))

    def withdraw(self, uuid: str) -> None:
        nsid, _hosts = self._shown.pop(uuid, (0, frozenset()))
        if nsid:
            self._nodes.withdraw(nsid)
            self._admit()

    def _admit(self) -> None:
        hosts = frozenset[str]().union(
            *(hosts for _nsid, hosts in self._shown.values()))
        self._nodes.target.admit(hosts - {rules.ALLOW_ANY},
                                 rules.ALLOW_ANY in hosts)


def load_target() -> None:
    """Load the kernel's target and mount where it is configured.

    :raises DataPlaneError: this machine has none
    """
    if not shutil.which('ip'):
        raise dataplane.DataPlaneError('there is no program ip')
    for module in _MODULES:
        if shutil.which('modprobe'):
            # It may be a part of the kernel instead.
            subprocess.run(['modprobe', module], capture_output=True)
    configfs = pathlib.Path('/sys/kernel/config')
    if configfs.is_dir() and not os.path.ismount(configfs):
        subprocess.run(['mount', '-t', 'configfs', 'none', configfs],
                       capture_output=True)
    if not nvmet.ROOT.is_dir():
        raise dataplane.DataPlaneError(
            'the kernel has no NVMe target (module nvmet-tcp)')
