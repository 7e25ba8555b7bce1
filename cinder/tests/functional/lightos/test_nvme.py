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
"""A host gets its disk by the real protocol, NVMe/TCP with multipath.

A real Cinder with the driver attaches, extends and detaches two volumes of a
simulated cluster. What the driver returned, and what the cluster had after
each, is then played in a virtual machine whose kernel is the target and the
host (nvme_steps.py). The tests are its steps.
"""

import json
import pathlib
import sys
import time
from typing import Any
import uuid

import testtools

from cinder.tests.functional.lightos import cloud
from cinder.tests.functional.lightos import machine

OPTIONS = ('--first-data-address', '192.0.2.11',
           # A driver that does not wait for the cluster is found out.
           '--work-time', 'UpdateVolume=2')
HOST_ADDRESS = '192.0.2.1'
# Seconds for all the steps, and how often the machine is tried.
TIME = 420
TRIES = 2
VOLUMES = {'first': 3, 'second': 2}


class Recorder:
    """What Cinder does with volumes, and what the cluster then has.

    :param hostid: of the host that they are attached to
    """

    def __init__(self, running: cloud.Cloud, cinder: cloud.Cinder,
                 hostid: str) -> None:
        self._simulator = running.simulators['lightos']
        self._cinder = cinder
        self._told = running.told('lightos')
        self._connector = {
            'host': 'machine', 'ip': HOST_ADDRESS, 'multipath': False,
            'nqn': f'nqn.2014-08.org.nvmexpress:uuid:{hostid}',
            'found_dsc': 'found', 'host_ips': [HOST_ADDRESS],
            'platform': 'x86_64', 'os_type': 'linux'}
        self._names: dict[str, str] = {}
        self._states: dict[str, Any] = {}
        self._infos: dict[str, Any] = {}

    def _note(self, moment: str) -> None:
        """Remember what the cluster has now."""
        state = self._simulator.state()
        places = [node['uuid'] for node in state['nodes']]
        self._states[moment] = [{
            'name': self._names[volume['name']], 'uuid': volume['UUID'],
            'nsid': volume['nsid'], 'size': int(volume['size']),
            'hosts': [nqn for nqn in volume['acl']['values']
                      if nqn != 'ALLOW_NONE'],
            'nodes': [places.index(node) for node in volume['nodeList']]}
            for volume in state['volumes']]

    def record(self) -> dict[str, Any]:
        """Do everything; return the scenario."""
        cinder = self._cinder
        ids, attachments = {}, {}
        for name, replicas in VOLUMES.items():
            cinder.api.call('POST', '/types', {'volume_type': {
                'name': name, 'extra_specs': {
                    'lightos:num_replicas': str(replicas)}}})
            ids[name] = cinder.create('volume', size=1,
                                      volume_type=name)['id']
            self._names[f'volume-{ids[name]}'] = name
        self._note('created')
        for name in VOLUMES:
            attachments[name], self._infos[name] = cinder.connect(
                ids[name], self._connector)
            self._note(f'{name} attached')
        cinder.act(ids['first'], 'os-extend', new_size=2)
        cinder.wait('volume', ids['first'], 'in-use')
        self._note('extended')
        for name in VOLUMES:
            cinder.detach(attachments[name])
            self._note(f'{name} detached')
        return {'states': self._states, 'infos': self._infos,
                'hostnqn': self._connector['nqn'],
                'subsystem_nqn': self._told['subsystem_nqn'],
                'addresses': self._told['data_addresses']}


class NvmeTest(testtools.TestCase):

    outcomes: dict[str, Any]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cloud.require(
            'qemu-system-x86_64 of qemu-system-x86',
            'busybox of busybox-static', 'mke2fs of e2fsprogs',
            'nvme of nvme-cli', 'depmod of kmod', 'ip of iproute2',
            'apt-get of apt', 'dpkg of dpkg')
        try:
            kernel = machine.kernel()
            made = machine.environments()
            cloud.enter_namespaces()
            running = cloud.Cloud({'lightos': OPTIONS})
            try:
                cls._run(kernel, made, running)
            finally:
                running.end()
        except machine.NotMade as error:
            raise cls.skipException(str(error))

    @classmethod
    def _run(cls, kernel: machine.Kernel, made: machine.Environments,
             running: cloud.Cloud) -> None:
        hostid = str(uuid.uuid4())
        scenario = Recorder(running, running.start_cinder(),
                            hostid).record()
        disk = running.directory / 'disk'
        machine.image(made.packages, disk)
        for attempt in range(1, TRIES + 1):
            share = running.directory / f'share{attempt}'
            share.mkdir()
            (share / 'scenario.json').write_text(json.dumps(scenario))
            began = time.monotonic()
            machine.start(made.virtme, kernel, disk, share, hostid, TIME)
            cls.outcomes = _outcomes(share / 'result')
            seconds = time.monotonic() - began
            last = list(cls.outcomes.values())[-1:]
            if last and last[0]['step'] == 'no_access_after' \
                    and last[0]['ok']:
                break
            why = (f'{last[0]["step"]}: {last[0]["text"]}' if last
                   else 'no step was begun')
            log = ''.join(
                (share / name).read_text(errors='replace')[-6000:]
                for name in ('machine.log', 'console')
                if (share / name).exists())
            sys.stderr.write(
                f'{log}\nThe machine was tried {attempt} of {TRIES} times: '
                f'{why}\n')
        sys.stderr.write(_table(cls.outcomes, seconds))

    def check(self, *steps: str) -> None:
        for step in steps:
            outcome = self.outcomes.get(step)
            self.assertIsNotNone(outcome, f'{step} was not reached')
            self.assertTrue(outcome['ok'], outcome['text'])

    def test_host_without_access_list_gets_nothing(self) -> None:
        self.check('start', 'no_access_before')

    def test_os_brick_finds_the_discovery_client(self) -> None:
        self.check('connector')

    def test_attached_volume_is_one_device(self) -> None:
        self.check('attach')

    def test_paths_have_the_state_of_their_node(self) -> None:
        self.check('states')

    def test_what_is_written_is_on_the_cluster(self) -> None:
        self.check('write')

    def test_second_volume_on_the_same_subsystem(self) -> None:
        self.check('second')

    def test_extended_volume_is_seen_online(self) -> None:
        self.check('extend')

    def test_death_of_the_primary_loses_nothing(self) -> None:
        self.check('death')

    def test_node_returns_after_its_death(self) -> None:
        self.check('return_after_death')

    def test_silence_of_the_primary_loses_nothing(self) -> None:
        self.check('silence')

    def test_node_returns_after_its_silence(self) -> None:
        self.check('return_after_silence')

    def test_detach_leaves_the_second_volume_alone(self) -> None:
        self.check('detach')

    def test_detached_host_has_no_device_and_no_access(self) -> None:
        self.check('no_access_after')


def _outcomes(result: pathlib.Path) -> dict[str, Any]:
    if not result.exists():
        return {}
    return {outcome['step']: outcome for outcome in map(
        json.loads, result.read_text().splitlines())}


def _table(outcomes: dict[str, Any], seconds: float) -> str:
    rows = [f'{outcome["step"]:20}  {"ok" if outcome["ok"] else "FAILED":6}  '
            f'{outcome["seconds"]:6.1f} s  {outcome["text"]}'
            for outcome in outcomes.values()]
    inside = sum(outcome['seconds'] for outcome in outcomes.values())
    return '\n'.join([
        '', *rows, f'{"all":20}          {inside:6.1f} s  '
        f'{seconds:.1f} s with the start of the machine', ''])
