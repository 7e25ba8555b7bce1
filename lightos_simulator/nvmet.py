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
"""The kernel's NVMe target, through its directory in configfs.

One subsystem is the cluster; each node is a port of it, each volume a
namespace. Source of the paths and values: the kernel's
drivers/nvme/target/configfs.c.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import pathlib
from typing import NamedTuple

ROOT = pathlib.Path('/sys/kernel/config/nvmet')
PORT = 4420
OPTIMIZED, NON_OPTIMIZED = 'optimized', 'non-optimized'
INACCESSIBLE = 'inaccessible'
# Group 1 is always there; of the others a port can have as many.
MAX_GROUPS = 128


class TargetError(Exception):
    """The target cannot do it; the text says why."""


class Namespace(NamedTuple):
    """A volume as hosts see it.

    :param nodes: the indexes of the nodes that have a replica, the primary
        first
    """

    nsid: int
    uuid: str
    path: pathlib.Path
    nodes: tuple[int, ...]


def ana_states(nodes: Sequence[int], active: Iterable[int], count: int
               ) -> tuple[str, ...]:
    """The ANA state of each node's path to a volume.

    :param nodes: those with a replica, the primary first; if it is not
        active, the next one that is stands in for it
    :param active: those that serve
    :param count: of all nodes
    """
    active = frozenset(active)
    serving = [node for node in nodes if node in active]
    return tuple(
        INACCESSIBLE if node not in serving
        else OPTIMIZED if node == serving[0] else NON_OPTIMIZED
        for node in range(count))


class Target:
    """The target.

    :param nqn: of the subsystem
    :param addresses: of the nodes
    :param root: of the target in configfs
    """

    def __init__(self, nqn: str, addresses: Sequence[str],
                 root: pathlib.Path = ROOT) -> None:
        self._nqn = nqn
        self._root = root
        self._subsystem = root / 'subsystems' / nqn
        self._addresses = tuple(addresses)
        self._groups: dict[tuple[int, ...], int] = {}

    def create(self) -> None:
        """Make the subsystem and a port for each node; none serves yet."""
        self._subsystem.mkdir()
        _write(self._subsystem, attr_allow_any_host=0,
               attr_model='lightos-simulator')
        for node, address in enumerate(self._addresses):
            port = self._port(node)
            port.mkdir()
            _write(port, addr_trtype='tcp',
                   addr_adrfam='ipv6' if ':' in address else 'ipv4',
                   addr_traddr=address, addr_trsvcid=PORT)

    def serve(self, node: int) -> None:
        """Let a node serve.

        The kernel binds the port in the network namespace of this thread.
        """
        with contextlib.suppress(FileExistsError):
            self._link(node).symlink_to(self._subsystem)

    def cease(self, node: int) -> None:
        """Let a node serve no more: its connections are cut."""
        self._link(node).unlink(missing_ok=True)

    def admit(self, hosts: Iterable[str], any_host: bool = False) -> None:
        """Let these hosts connect and no other.

        :param hosts: their NQNs
        """
        wanted = set(hosts)
        allowed = self._subsystem / 'allowed_hosts'
        allowed.mkdir(exist_ok=True)
        if any_host:
            # The kernel takes either a list or anybody.
            wanted.clear()
        known = {link.name for link in allowed.iterdir()}
        for nqn in known - wanted:
            (allowed / nqn).unlink()
        _write(self._subsystem, attr_allow_any_host=int(any_host))
        for nqn in wanted - known:
            host = self._root / 'hosts' / nqn
            host.mkdir(parents=True, exist_ok=True)
            (allowed / nqn).symlink_to(host)

    def show(self, namespace: Namespace) -> None:
        """Let hosts see a namespace; if they do, see its size anew."""
        directory = self._namespace(namespace.nsid)
        group = self._group(namespace.nodes)
        if directory.exists():
            _write(directory, ana_grpid=group, revalidate_size=1)
            return
        directory.mkdir(parents=True)
        _write(directory, device_path=namespace.path,
               device_uuid=namespace.uuid, ana_grpid=group, buffered_io=1,
               enable=1)

    def withdraw(self, nsid: int) -> None:
        """Let no host see a namespace, if one does."""
        directory = self._namespace(nsid)
        if directory.exists():
            _write(directory, enable=0)
            directory.rmdir()

    def set_states(self, states: Mapping[tuple[int, ...], Sequence[str]]
                   ) -> None:
        """Set ANA states.

        :param states: for the nodes of a volume, of each node's path to it
        """
        for nodes, of_node in states.items():
            group = self._group(nodes)
            for node, state in enumerate(of_node):
                directory = self._port(node) / 'ana_groups' / str(group)
                directory.mkdir(parents=True, exist_ok=True)
                _write(directory, ana_state=state)

    def remove(self) -> None:
        """Take everything away, also what an earlier run has left."""
        for node in range(len(self._addresses)):
            with contextlib.suppress(FileNotFoundError):
                self.cease(node)
            for group in (self._port(node) / 'ana_groups').glob('*'):
                if group.name != '1':
                    group.rmdir()
            with contextlib.suppress(FileNotFoundError):
                self._port(node).rmdir()
        if self._subsystem.exists():
            self.admit(())
            for directory in (self._subsystem / 'namespaces').iterdir():
                self.withdraw(int(directory.name))
            self._subsystem.rmdir()
        for host in (self._root / 'hosts').glob('*'):
            # Another target may let it in.
            with contextlib.suppress(OSError):
                host.rmdir()

    def _port(self, node: int) -> pathlib.Path:
        return self._root / 'ports' / str(node + 1)

    def _link(self, node: int) -> pathlib.Path:
        return self._port(node) / 'subsystems' / self._nqn

    def _namespace(self, nsid: int) -> pathlib.Path:
        return self._subsystem / 'namespaces' / str(nsid)

    def _group(self, nodes: tuple[int, ...]) -> int:
        """The ANA group of the volumes on these nodes."""
        if nodes not in self._groups:
            if len(self._groups) + 2 > MAX_GROUPS:
                raise TargetError('the volumes are on more than %d different '
                                  'sets of nodes' % (MAX_GROUPS - 1))
            self._groups[nodes] = len(self._groups) + 2
        return self._groups[nodes]


def _write(directory: pathlib.Path, **attributes: object) -> None:
    for name, value in attributes.items():
        (directory / name).write_text('%s\n' % value)
