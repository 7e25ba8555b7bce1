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
"""A virtual machine with Debian's kernel, by software emulation.

It sees the file system of this machine; what it writes is thrown away but for
one directory. Python is many times slower there, and more so when it reads its
modules through 9p: they are in an image of their own.
"""

import importlib.metadata
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import sysconfig
from typing import NamedTuple

from cinder.tests.functional.lightos import cloud

VIRTME = 'virtme-ng>=1.36\n'
IMAGE_SIZE = '700M'
# The parts of Python's library that nothing of ours imports.
LEFT_OUT = ('__pycache__', 'site-packages', 'dist-packages', 'test',
            'idlelib', 'tkinter', 'turtledemo', 'ensurepip', 'config-*')
SCRIPT = '''#!/bin/bash
exec >{share}/console 2>&1
set -x
modprobe -a ext4 virtio_blk
mkdir -p /tmp/image
mount -o ro /dev/vda /tmp/image
mount --bind /tmp/image/library {library}
export PYTHONPATH=/tmp/image/tree:/tmp/image/packages PYTHONDONTWRITEBYTECODE=1
export PATH=$PATH:/usr/sbin:/sbin
ip link set lo up
mkdir -p /etc/nvme /etc/discovery-client/discovery.d /run/netns
echo {hostnqn} >/etc/nvme/hostnqn
echo {hostid} >/etc/nvme/hostid
cp /proc/uptime {share}/booted
{python} -s /tmp/image/tree/{program} {share}/scenario.json {share}/result
dmesg | tail -n 200
'''


class Kernel(NamedTuple):
    """An unpacked kernel.

    :param image: what is booted; its modules are below the same directory
    """

    image: pathlib.Path
    version: str


class NotMade(Exception):
    """The machine cannot be made here; the text says why."""


def run(*command: object, **options: object) -> str:
    """Run a program and return what it prints.

    :raises NotMade: it fails
    """
    done = subprocess.run(
        [str(word) for word in command], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode:
        raise NotMade(f'{shlex.join(map(str, command))}: {done.stderr[-500:]}')
    return done.stdout


def kernel() -> Kernel:
    """Download Debian's kernel and unpack it, unless it is there."""
    found = run('apt-cache', 'depends', 'linux-image-amd64')
    package, = [line.split()[1] for line in found.splitlines()
                if 'Depends: linux-image-' in line][:1]
    directory = cloud.ENVIRONMENTS / 'kernel' / package
    version = package.removeprefix('linux-image-')
    image = directory / 'boot' / f'vmlinuz-{version}'
    complete = directory / 'complete'
    if not complete.exists():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        run('apt-get', 'download', package, cwd=directory)
        for archive in directory.glob('*.deb'):
            run('dpkg', '-x', archive, directory)
            archive.unlink()
        run('depmod', '-b', directory, version)
        complete.touch()
    return Kernel(image, version)


class Environments(NamedTuple):
    """Directories of what is installed from PyPI."""

    packages: pathlib.Path
    virtme: pathlib.Path


def environments() -> Environments:
    """Make the environments: the os-brick of these tests, and virtme-ng."""
    version = importlib.metadata.version('os-brick')
    return Environments(
        cloud.make_environment('os-brick', f'os-brick=={version}\n'),
        cloud.make_environment('virtme-ng', VIRTME))


def image(packages: pathlib.Path, path: pathlib.Path) -> None:
    """Make the image with Python's library, os-brick and our programs."""
    library = pathlib.Path(sysconfig.get_path('stdlib'))
    place = path.with_suffix('.directory')
    shutil.copytree(library, place / 'library', symlinks=True,
                    ignore=shutil.ignore_patterns(*LEFT_OUT))
    # Places to mount what it hides.
    for name in ('site-packages', 'dist-packages'):
        (place / 'library' / name).mkdir()
    site, = packages.glob('lib/python3*/site-packages')
    shutil.copytree(site, place / 'packages', symlinks=True,
                    ignore=shutil.ignore_patterns(
                        '__pycache__', 'pip', 'tests', 'locale'))
    (place / 'tree').mkdir()
    shutil.copytree(cloud.TREE / 'lightos_simulator',
                    place / 'tree' / 'lightos_simulator',
                    ignore=shutil.ignore_patterns('__pycache__', 'tests'))
    shutil.copy(cloud.HERE / 'nvme_steps.py', place / 'tree')
    # Some packages bring files for other versions of Python.
    subprocess.run(
        [sys.executable, '-m', 'compileall', '-q', '-j', '2',
         '--invalidation-mode', 'unchecked-hash', place],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    run('mke2fs', '-q', '-t', 'ext4', '-O', '^has_journal', '-N', '60000',
        '-d', place, path, IMAGE_SIZE)
    shutil.rmtree(place)


def start(virtme: pathlib.Path, booted: Kernel, disk: pathlib.Path,
          share: pathlib.Path, hostid: str, seconds: float) -> None:
    """Run the steps in a machine; return when it has ended.

    :param virtme: the environment of virtme-ng
    :param share: the directory that it can write to, with the scenario
    :param hostid: of the NVMe host that it is
    :param seconds: after which it is ended
    """
    script = share / 'script'
    script.write_text(SCRIPT.format(
        share=share, library=sysconfig.get_path('stdlib'),
        python=pathlib.Path(sys.executable).resolve(),
        program='nvme_steps.py', hostid=hostid,
        hostnqn=f'nqn.2014-08.org.nvmexpress:uuid:{hostid}'))
    script.chmod(0o755)
    path = os.pathsep.join([str(virtme / 'bin'), cloud.search_path()])
    with (share / 'machine.log').open('wb') as log:
        process = subprocess.Popen(
            [virtme / 'bin' / 'vng', '--run', booted.image, '--disable-kvm',
             '--force-9p', '--cpus', '2', '--memory', '2G',
             '--user', 'root', '--verbose', f'--rwdir={share}',
             '--disk', disk, '--exec', script],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, 'PATH': path}, start_new_session=True)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _end(process)


def _end(process: 'subprocess.Popen[bytes]') -> None:
    """End it and what it has started, which is of its session."""
    if process.poll() is None:
        os.killpg(process.pid, 15)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
