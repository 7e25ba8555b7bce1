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
"""The steps with the real protocol: a program of the virtual machine.

    nvme_steps.py SCENARIO RESULT

SCENARIO is a JSON file of what the cluster and Cinder said outside, see
test_nvme.py; RESULT takes a line of JSON for each step that is over. Each
step builds on those before, so that the first that fails is the last.
"""

import contextlib
import glob
import json
import mmap
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

from lightos_simulator import nvmet
from lightos_simulator import nvmet_plane

MIB = 1024 ** 2
BLOCK = 64 * 1024
CONTENT = 16 * MIB
# Seconds. Twice the longest that was seen, and more.
SEEN_TIME = 60
# Where error recovery waits, the kernel's I/O timeout of 30 s ends a stall. A
# machine that is emulated on a busy one is late.
STALL_TIME = 60
CONNECTOR_TIME = 30
DATA = pathlib.Path('/tmp/contents')


class StepError(Exception):
    """Something was not seen to be as it should; the text says what."""


def check(condition, text):
    if not condition:
        raise StepError(text)


def until(seen, what, seconds=SEEN_TIME):
    """Return the first true value of seen."""
    end = time.monotonic() + seconds
    while True:
        value = seen()
        if value:
            return value
        check(time.monotonic() < end, f'not after {seconds} s: {what}')
        time.sleep(0.1)


def read(path):
    """Return a word of sysfs; nothing if it is going away."""
    with contextlib.suppress(OSError):
        return pathlib.Path(path).read_text().strip()
    return ''


class Block:
    """Memory that a device can read and write directly."""

    def __init__(self, size):
        self.memory = mmap.mmap(-1, size)

    def write(self, device, offset, content):
        self.memory[:] = content
        done = os.pwrite(device, self.memory, offset)
        check(done == len(content), f'{done} bytes written')

    def read(self, device, offset):
        done = os.preadv(device, [self.memory], offset)
        check(done == len(self.memory), f'{done} bytes read')
        return self.memory[:]


def content(seed, size=CONTENT):
    return random.Random(seed).randbytes(size)


def write(path, offset, seed):
    """Write content past the page cache; return MiB a second."""
    device = os.open(path, os.O_RDWR | os.O_DIRECT)
    data = content(seed)
    try:
        began = time.monotonic()
        block = Block(MIB)
        for place in range(0, len(data), MIB):
            block.write(device, offset + place, data[place:place + MIB])
        os.fsync(device)
        return len(data) / MIB / (time.monotonic() - began)
    finally:
        os.close(device)


def verify(path, offset, seed):
    device = os.open(path, os.O_RDONLY | os.O_DIRECT)
    data = content(seed)
    try:
        block = Block(MIB)
        for place in range(0, len(data), MIB):
            check(block.read(device, offset + place) ==
                  data[place:place + MIB],
                  f'{path} has other content at {offset + place}')
    finally:
        os.close(device)


class Writer(threading.Thread):
    """Writes numbered blocks, one after the other, and times each.

    :param blocks: how many places it writes to in turn
    """

    def __init__(self, path, offset, blocks=64):
        super().__init__()
        self._path = path
        self._offset = offset
        self._blocks = blocks
        self._stopped = threading.Event()
        self._last = {}
        self.written = 0
        self.longest = 0.0
        self.error = ''

    @staticmethod
    def _content(number):
        return number.to_bytes(8, 'little') * (BLOCK // 8)

    def run(self):
        device = os.open(self._path, os.O_RDWR | os.O_DIRECT)
        block = Block(BLOCK)
        try:
            while not self._stopped.is_set():
                place = self.written % self._blocks
                began = time.monotonic()
                block.write(device, self._offset + place * BLOCK,
                            self._content(self.written))
                self.longest = max(self.longest, time.monotonic() - began)
                self._last[place] = self.written
                self.written += 1
        except (OSError, StepError) as error:
            self.error = str(error)
        finally:
            os.close(device)

    def stop(self):
        """End and compare every block with what was written last."""
        self._stopped.set()
        self.join(SEEN_TIME)
        check(not self.is_alive(), 'a write has never come back')
        check(not self.error, f'I/O error: {self.error}')
        device = os.open(self._path, os.O_RDONLY | os.O_DIRECT)
        block = Block(BLOCK)
        try:
            bad = sum(
                block.read(device, self._offset + place * BLOCK) !=
                self._content(number)
                for place, number in self._last.items())
        finally:
            os.close(device)
        check(not bad, f'{bad} bad blocks')


class Host:
    """This machine as an NVMe host, as the kernel shows it."""

    def __init__(self, nqn):
        self._nqn = nqn

    def devices(self, uuid):
        """Return the names of the block devices of a volume."""
        return [path.split('/')[-2] for path
                in glob.glob('/sys/class/block/nvme*n*/wwid')
                if read(path) == f'uuid.{uuid}' and
                'c' not in path.split('/')[-2][4:]]

    def paths(self, uuid):
        """Return the ANA state of each live path to a volume, by address."""
        states = {}
        for path in glob.glob('/sys/class/nvme/nvme*/nvme*c*n*'):
            controller = os.path.dirname(path)
            address = dict(part.partition('=')[::2] for part in read(
                f'{controller}/address').split(',')).get('traddr', '')
            if (read(f'{path}/wwid') == f'uuid.{uuid}' and
                    read(f'{controller}/state') == 'live'):
                states[address] = read(f'{path}/ana_state')
        return states

    def connections(self):
        """Return the addresses of the live connections to the cluster."""
        return sorted(
            dict(part.partition('=')[::2] for part in read(
                f'{path}/address').split(','))['traddr']
            for path in glob.glob('/sys/class/nvme/nvme*')
            if read(f'{path}/subsysnqn') == self._nqn and
            read(f'{path}/state') == 'live')


class Steps:
    """The steps, in order; each returns what the reader is told."""

    def __init__(self, scenario):
        self._states = scenario['states']
        self._infos = scenario['infos']
        self._addresses = scenario['addresses']
        self._hostnqn = scenario['hostnqn']
        self._nqn = scenario['subsystem_nqn']
        self._connector = None
        self._paths = {}
        self._host = Host(self._nqn)
        self._nodes = nvmet_plane.Nodes(self._nqn, self._addresses)
        self._client = None
        self._shown = {}
        self._all = range(len(self._addresses))

    def run(self, told):
        """Do the steps.

        :param told: takes the outcome of each
        """
        for step in (self.start, self.no_access_before, self.connector,
                     self.attach, self.states, self.write, self.second,
                     self.extend, self.death, self.return_after_death,
                     self.silence, self.return_after_silence, self.detach,
                     self.no_access_after):
            began = time.monotonic()
            outcome = {'step': step.__name__, 'ok': False}
            try:
                outcome.update(text=step(), ok=True)
            except Exception as error:
                outcome['text'] = f'{type(error).__name__}: {error}'
            outcome['seconds'] = round(time.monotonic() - began, 1)
            told(outcome)
            if not outcome['ok']:
                return

    def end(self):
        if self._client:
            self._client.terminate()

    def _apply(self, state):
        """Let the target have what the cluster had."""
        wanted = {volume['uuid']: volume for volume in self._states[state]
                  if volume['hosts']}
        for uuid in self._shown.keys() - wanted.keys():
            self._nodes.withdraw(self._shown.pop(uuid))
        self._nodes.target.admit({
            nqn for volume in wanted.values() for nqn in volume['hosts']})
        for uuid, volume in wanted.items():
            path = DATA / uuid
            with path.open('ab') as file:
                file.truncate(volume['size'])
            self._nodes.show(nvmet.Namespace(
                volume['nsid'], uuid, path, tuple(volume['nodes'])))
            self._shown[uuid] = volume['nsid']

    def _expected(self, state, name, active):
        volume = self._states[state]
        nodes, = [tuple(one['nodes']) for one in volume
                  if one['name'] == name]
        states = nvmet.ana_states(nodes, active, len(self._addresses))
        return {self._addresses[node]: states[node] for node in active}

    def _until_paths(self, state, name, active):
        uuid = self._infos[name]['uuid']
        expected = self._expected(state, name, active)
        try:
            until(lambda: self._host.paths(uuid) == expected, '')
        except StepError:
            raise StepError(f'paths are {self._host.paths(uuid)}, '
                            f'not {expected}')
        return ', '.join(f'{address} {ana}'
                         for address, ana in sorted(expected.items()))

    def _connect(self, hostnqn, address):
        """Return whether a host is let in, by its own request."""
        done = subprocess.run(
            ['nvme', 'connect', '--transport', 'tcp', '--traddr', address,
             '--trsvcid', '4420', '--nqn', self._nqn, '--hostnqn', hostnqn],
            capture_output=True, text=True)
        if not done.returncode:
            subprocess.run(['nvme', 'disconnect', '--nqn', self._nqn],
                           capture_output=True)
        return not done.returncode

    def start(self):
        nvmet_plane.load_target()
        subprocess.run(['modprobe', 'nvme-tcp'], check=True)
        DATA.mkdir()
        subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', DATA], check=True)
        self._nodes.start()
        self._client = subprocess.Popen(
            [sys.executable, '-m', 'lightos_simulator.discovery_client'],
            stdout=subprocess.PIPE)
        return f'{len(self._addresses)} nodes'

    def no_access_before(self):
        self._apply('created')
        for address in self._addresses:
            check(not self._connect(self._hostnqn, address),
                  f'{address} lets a host in without an access list')
        return 'refused by every node'

    def connector(self):
        import os_brick
        from os_brick.initiator import connector
        import os_brick.privileged
        from oslo_config import cfg

        cfg.CONF([], project='os-brick-host', default_config_files=[])
        os_brick.setup(cfg.CONF)
        for group in ('oslo_concurrency', 'os_brick'):
            cfg.CONF.set_override('lock_path', '/tmp', group)
        os_brick.privileged.default.set_client_mode(False)
        self._client.stdout.readline()
        properties = connector.get_connector_properties(
            root_helper='', my_ip=nvmet_plane.HOST_ADDRESS, multipath=False,
            enforce_multipath=False)
        # What Cinder was told outside is what os-brick says.
        check((properties['nqn'], properties['found_dsc']) ==
              (self._hostnqn, 'found') and
              nvmet_plane.HOST_ADDRESS in properties['host_ips'],
              f'os-brick says {properties}')
        self._connector = connector.InitiatorConnector.factory(
            'LIGHTOS', root_helper='')
        return 'os-brick is loaded'

    def _attach(self, state, name):
        info = self._infos[name]
        nodes = {node['target_portal']
                 for node in info['lightos_nodes'].values()}
        check(nodes == set(self._addresses),
              f'the driver names the nodes {sorted(nodes)}')
        self._apply(state)
        began = time.monotonic()
        path = self._connector.connect_volume(info)['path']
        seconds = time.monotonic() - began
        self._paths[name] = path
        found = self._host.devices(info['uuid'])
        check([f'/dev/{device}' for device in found] == [path],
              f'{path} is not the one device of the volume: {found}')
        return f'{path}, connect_volume {seconds:.1f} s'

    def attach(self):
        return self._attach('first attached', 'first')

    def states(self):
        return self._until_paths('first attached', 'first', self._all)

    def write(self):
        path = self._paths['first']
        speed = write(path, 0, 1)
        verify(path, 0, 1)
        kept = (DATA / self._infos['first']['uuid']).open('rb')
        with kept:
            check(kept.read(CONTENT) == content(1),
                  'the cluster does not have what was written')
        return f'{CONTENT // MIB} MiB, {speed:.0f} MiB/s'

    def second(self):
        text = self._attach('second attached', 'second')
        write(self._paths['second'], 0, 2)
        verify(self._paths['first'], 0, 1)
        return f'{text}; ' + self._until_paths('second attached', 'second',
                                               self._all)

    def extend(self):
        info = self._infos['first']
        self._apply('extended')
        size = 2 * 1024 ** 3
        seen = []

        def extended():
            seen.append(self._connector.extend_volume(info))
            return seen[-1] == size

        try:
            until(extended, '', CONNECTOR_TIME)
        except StepError:
            raise StepError(f'os-brick sees {seen[-1]} bytes, not {size}')
        path = self._paths['first']
        write(path, size - CONTENT, 3)
        verify(path, size - CONTENT, 3)
        verify(path, 0, 1)
        return '1 to 2 GiB'

    def _fail(self, fail, seconds):
        """Let the primary's node fail under I/O; return the stall."""
        primary, = [volume['nodes'][0] for volume in self._states['extended']
                    if volume['name'] == 'first']
        others = [node for node in self._all if node != primary]
        writer = Writer(self._paths['first'], 64 * MIB)
        writer.start()
        until(lambda: writer.written > 20 or writer.error, 'writes')
        before = writer.longest
        fail(primary, others)
        at = writer.written
        until(lambda: writer.error or writer.written > at + 100,
              'I/O goes on', STALL_TIME)
        self._until_paths('extended', 'first', others)
        writer.stop()
        verify(self._paths['first'], 0, 1)
        check(writer.longest < seconds,
              f'a write took {writer.longest:.1f} s')
        return (f'{self._addresses[primary]}: longest write '
                f'{writer.longest:.2f} s ({before:.2f} s before), '
                f'{writer.written} blocks written, 0 errors, 0 bad')

    def death(self):
        return self._fail(
            lambda primary, others: self._nodes.set_active(others), 10)

    def _return(self):
        self._nodes.set_active(self._all)
        text = self._until_paths('extended', 'first', self._all)
        verify(self._paths['first'], 0, 1)
        verify(self._paths['second'], 0, 2)
        return text

    def return_after_death(self):
        return self._return()

    def silence(self):
        def fail(primary, others):
            self._nodes.set_link(primary, False)
            # The others notice as hosts do, by what they do not hear.
            time.sleep(2)
            self._nodes.set_active(others)

        return self._fail(fail, STALL_TIME)

    def return_after_silence(self):
        for node in self._all:
            self._nodes.set_link(node, True)
        return self._return()

    def detach(self):
        info = self._infos['first']
        self._connector.disconnect_volume(info, None)
        self._apply('first detached')
        until(lambda: not self._host.devices(info['uuid']),
              'the device is gone')
        verify(self._paths['second'], 0, 2)
        write(self._paths['second'], CONTENT, 4)
        verify(self._paths['second'], CONTENT, 4)
        return 'its device is gone; the second reads and writes'

    def no_access_after(self):
        info = self._infos['second']
        self._connector.disconnect_volume(info, None)
        self._apply('second detached')
        until(lambda: not self._host.devices(info['uuid']),
              'the device is gone')
        subprocess.run(['nvme', 'disconnect', '--nqn', self._nqn],
                       check=True, capture_output=True)
        for address in self._addresses:
            check(not self._connect(self._hostnqn, address),
                  f'{address} lets the host in')
        return 'no device; refused by every node'


def main():
    with open(sys.argv[1]) as file:
        steps = Steps(json.load(file))
    with open(sys.argv[2], 'a') as result:
        def told(outcome):
            line = json.dumps(outcome)
            result.write(line + '\n')
            result.flush()
            os.fsync(result.fileno())
            sys.stderr.write(line + '\n')

        try:
            steps.run(told)
        finally:
            steps.end()


if __name__ == '__main__':
    main()
