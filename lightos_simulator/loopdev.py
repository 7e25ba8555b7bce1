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
"""A data plane without NVMe: loop devices dressed as NVMe namespaces.

A volume that lets this host in is a loop device under the name of an NVMe
namespace, with the link by which os-brick finds it. That is all that matters
where only the bytes do: there is no multipath and no network. As the names
are false, this works only in a mount namespace with a /dev of its own, see
private.py.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import stat
import struct
from typing import NamedTuple
from typing import TYPE_CHECKING

from lightos_simulator import dataplane
from lightos_simulator import rules

if TYPE_CHECKING:
    from lightos_simulator import records

HOST_NQN = pathlib.Path('/etc/nvme/hostnqn')
DEV = pathlib.Path('/dev')
BY_ID = DEV / 'disk' / 'by-id'

# linux/loop.h
_MAJOR = 7
_SET_CAPACITY = 0x4c07
_CONFIGURE = 0x4c0a
_GET_FREE = 0x4c82
_AUTOCLEAR = 4
_TRIES = 20


class _Shown(NamedTuple):
    """A loop device that stands for a namespace; it ends with its file."""

    device: int
    node: pathlib.Path
    link: pathlib.Path


class LoopDataPlane(dataplane.FileDataPlane):
    """Volumes as loop devices on the host that the simulator runs on."""

    def __init__(self) -> None:
        self._shown: dict[str, _Shown] = {}

    def check(self) -> None:
        if os.geteuid() != 0:
            raise dataplane.DataPlaneError('loop devices need root')
        if dev_is_of_the_machine(
                pathlib.Path('/proc/self/mountinfo').read_text()):
            raise dataplane.DataPlaneError(
                'the devices have names of NVMe: run this with "python -m '
                'lightos_simulator.private", which gives it a /dev of its '
                'own')
        if not (DEV / 'loop-control').exists():
            raise dataplane.DataPlaneError('there is no /dev/loop-control')

    def prepare(self) -> None:
        BY_ID.mkdir(parents=True, exist_ok=True)

    def show(self, volume: records.Volume) -> None:
        shown = self._shown.get(volume.uuid)
        if not self.hosts(volume) & {host_nqn(), rules.ALLOW_ANY}:
            self.withdraw(volume.uuid)
        elif shown is None:
            self._shown[volume.uuid] = self._attach(volume.uuid)
        else:
            fcntl.ioctl(shown.device, _SET_CAPACITY)

    def withdraw(self, uuid: str) -> None:
        shown = self._shown.pop(uuid, None)
        if shown is not None:
            shown.link.unlink()
            shown.node.unlink()
            os.fsync(shown.device)
            os.close(shown.device)

    def flush(self, uuid: str) -> None:
        shown = self._shown.get(uuid)
        if shown is not None:
            os.fsync(shown.device)

    def _attach(self, uuid: str) -> _Shown:
        with self.path(uuid).open('r+b') as file:
            device, node = _loop_device(file.fileno())
        link = BY_ID / ('nvme-uuid.' + uuid)
        link.symlink_to(node)
        return _Shown(device, node, link)


def _loop_device(file: int) -> tuple[int, pathlib.Path]:
    """Make a loop device on an open file.

    :return: the device, open, and its node in /dev
    :raises DataPlaneError: none could be had
    """
    with (DEV / 'loop-control').open('rb') as control:
        for _attempt in range(_TRIES):
            number = fcntl.ioctl(control, _GET_FREE)
            node = DEV / ('nvme%dn1' % number)
            # Somebody else may be taking the same one just now.
            with contextlib.suppress(FileExistsError):
                os.mknod(node, stat.S_IFBLK | 0o660,
                         os.makedev(_MAJOR, number))
                device = os.open(node, os.O_RDWR)
                try:
                    fcntl.ioctl(device, _CONFIGURE, _configuration(file))
                    return device, node
                except OSError as error:
                    os.close(device)
                    node.unlink()
                    if error.errno != errno.EBUSY:
                        raise
    raise dataplane.DataPlaneError('no loop device is free')


def _configuration(file: int) -> bytes:
    """A struct loop_config: the file, and that the device ends with us."""
    return struct.pack('=II52xI176x64x', file, 0, _AUTOCLEAR)


def dev_is_of_the_machine(mountinfo: str) -> bool:
    """Whether /dev is the one that all processes of the machine see.

    :param mountinfo: the content of /proc/self/mountinfo
    """
    kind = ''
    for line in mountinfo.splitlines():
        fields, _separator, rest = line.partition(' - ')
        if fields.split()[4] == str(DEV):
            kind = rest.split()[0]
    return kind in ('', 'devtmpfs')


def host_nqn() -> str:
    """The NQN of this machine as an NVMe host; empty if it has none."""
    with contextlib.suppress(OSError):
        return HOST_NQN.read_text().strip()
    return ''
