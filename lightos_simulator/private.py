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
"""``python -m lightos_simulator.private COMMAND``: away from the machine.

The command, and all that it starts, has a /dev, an /etc and a network of its
own. What it makes there, devices with names of NVMe for instance, is not seen
by anybody else and goes with its last process. Needs root.
"""

from __future__ import annotations

from collections.abc import Sequence
import ctypes
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import uuid

# RFC 5737 keeps it for documentation: nothing else has it.
HOST_ADDRESS = '192.0.2.1'
# linux/sched.h
_NEW_MOUNTS = 0x00020000
_NEW_NETWORK = 0x40000000
_DEVICES = (('null', 1, 3), ('zero', 1, 5), ('full', 1, 7), ('random', 1, 8),
            ('urandom', 1, 9), ('tty', 5, 0), ('loop-control', 10, 237))
_LINKS = (('fd', '/proc/self/fd'), ('stdin', '/proc/self/fd/0'),
          ('stdout', '/proc/self/fd/1'), ('stderr', '/proc/self/fd/2'),
          ('ptmx', 'pts/ptmx'))


def enter() -> None:
    """Bring this process, which has one thread, to a place of its own.

    :raises OSError: it is not root, or namespaces cannot be made here
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS | _NEW_NETWORK):
        number = ctypes.get_errno()
        raise OSError(number, 'unshare: ' + os.strerror(number))
    _run('mount', '--make-rprivate', '/')
    _make_network()
    with tempfile.TemporaryDirectory(prefix='lightos-private-') as directory:
        # It is seen through the mounts alone: the directory can go again.
        _run('mount', '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', directory)
        place = pathlib.Path(directory)
        _make_dev(place / 'dev')
        shutil.copytree('/etc', place / 'etc', symlinks=True)
        _make_host(place / 'etc')
        for name in ('dev', 'etc'):
            _run('mount', '--rbind', str(place / name), '/' + name)
        _run('umount', '--lazy', directory)


def _make_network() -> None:
    _run('ip', 'link', 'set', 'lo', 'up')
    # os-brick counts no address of the loopback interface as the host's.
    _run('ip', 'link', 'add', 'host', 'type', 'veth', 'peer', 'name', 'peer')
    _run('ip', 'address', 'add', HOST_ADDRESS + '/24', 'dev', 'host')
    for interface in ('host', 'peer'):
        _run('ip', 'link', 'set', interface, 'up')


def _make_dev(dev: pathlib.Path) -> None:
    dev.mkdir()
    # A bind mount of a part of a file system is no mount of /dev alone.
    _run('mount', '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', str(dev))
    for name, major, minor in _DEVICES:
        os.mknod(dev / name, stat.S_IFCHR, os.makedev(major, minor))
        (dev / name).chmod(0o666)
    for name, target in _LINKS:
        (dev / name).symlink_to(target)
    (dev / 'shm').mkdir(mode=0o1777)
    (dev / 'pts').mkdir()
    _run('mount', '--bind', '/dev/pts', str(dev / 'pts'))


def _make_host(etc: pathlib.Path) -> None:
    """Make what an NVMe host and a LightOS host has in /etc."""
    identity = uuid.uuid4()
    (etc / 'nvme').mkdir(exist_ok=True)
    (etc / 'nvme' / 'hostnqn').write_text(
        'nqn.2014-08.org.nvmexpress:uuid:%s\n' % identity)
    (etc / 'nvme' / 'hostid').write_text('%s\n' % identity)
    shutil.rmtree(etc / 'discovery-client', ignore_errors=True)
    (etc / 'discovery-client' / 'discovery.d').mkdir(parents=True)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(0, '%s: %s' % (' '.join(command), done.stderr.strip()))


def main(command: Sequence[str]) -> int:
    """Run a command there.

    :return: the exit status, if it cannot be begun
    """
    if not command:
        sys.stderr.write('usage: python -m lightos_simulator.private '
                         'COMMAND [ARGUMENT ...]\n')
        return 2
    try:
        enter()
        os.execvp(command[0], list(command))
    except OSError as error:
        sys.stderr.write('lightos_simulator.private: error: %s\n'
                         % error.strerror)
    return 1


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
