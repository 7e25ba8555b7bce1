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
"""The steps of the demonstration."""

import time
from typing import Any, Callable, Mapping, NamedTuple, Optional
import uuid

from demo import block_storage
from demo import cluster
from demo import comparison
from demo import errors
from demo import report

# Seconds that Cinder and the cluster may work on one step.
WORK_TIME = 180
PAUSE = 0.2
# Runs of the openstack command side by side: most of each is its own start.
AT_ONCE = 2
HOSTS = ('host-a', 'host-b', 'host-c')

TYPES = {
    'compressed': ['compression=<is> True'],
    'one-replica': ['lightos:num_replicas=1'],
    'compressed-one-replica': ['compression=<is> True',
                               'lightos:num_replicas=1'],
    'multiattach': ['multiattach=<is> True'],
}
VOLUMES: dict[str, Optional[str]] = {
    'demo-plain': None,
    'demo-compressed': 'compressed',
    'demo-one-replica': 'one-replica',
    'demo-both': 'compressed-one-replica',
    'demo-shared': 'multiattach',
}


class Step(NamedTuple):
    """Something done with the openstack command.

    :param what: for the reader
    :param words: what the command is given
    :param seen: tells whether Cinder shows it as done
    """
    what: str
    words: list[str]
    seen: Callable[[], bool]


class Scenario:
    """The demonstration on a Cinder and a cluster that are running.

    :param simulator: the cluster once more, if its nodes can be stopped
    """

    def __init__(self, out: report.Report,
                 command_line: block_storage.CommandLine,
                 cinder: block_storage.BlockStorage,
                 lightos: cluster.Cluster,
                 simulator: Optional[cluster.Simulator]) -> None:
        self._out = out
        self.command_line = command_line
        self._cinder = cinder
        self._cluster = lightos
        self._simulator = simulator
        self._names: dict[str, str] = {}
        self._attachments: dict[str, str] = {}

    def run(self) -> None:
        """Do every step.

        :raises DemoError: at the first that fails
        """
        self._out.title('Volume types, and a volume of each')
        self._make_types()
        self._make_volumes()
        self._out.title('Extend, snapshot, copy')
        self._extend_and_copy()
        self._out.title('Two hosts at once' + (
            ', and a node stops' if self._simulator else ''))
        self._attach_and_stop_a_node()
        self._out.title('Live migration')
        self._migrate()
        self._out.title('Delete')
        self._delete()

    def withdraw(self) -> None:
        """Delete what was made on a cluster that outlives this run.

        :raises DemoError: naming what is left
        """
        for attachment in self._cinder.attachments():
            self._cinder.detach(attachment['id'])
        for kind in ('snapshots', 'volumes'):
            until(lambda: self._is_quiet(kind),
                  f'Cinder still works on {kind}.')
            for found in self._cinder.all(kind):
                self._cinder.delete(kind, found['id'])
            until(lambda: not self._cinder.all(kind),
                  f'Cinder still has {kind}.')
        self._expect_nothing()

    def _make_types(self) -> None:
        steps = []
        for name, properties in TYPES.items():
            words = ['volume', 'type', 'create']
            for value in properties:
                words += ['--property', value]
            steps.append(Step(f'type {name}', [*words, name], lambda: True))
        self._openstack(*steps)

    def _make_volumes(self) -> None:
        self._openstack(*(
            self._create(name, 'volume', '--size', '1',
                         *(['--type', kind] if kind else []))
            for name, kind in VOLUMES.items()))

    def _extend_and_copy(self) -> None:
        self._openstack(self._extend('demo-plain', 2))
        self._openstack(Step(
            'snapshot: demo-snapshot',
            ['volume', 'snapshot', 'create', '--volume', 'demo-plain',
             'demo-snapshot'],
            lambda: self._is_available('snapshots', 'demo-snapshot')))
        self._openstack(
            self._create('demo-restored', 'volume from it',
                         '--snapshot', 'demo-snapshot'),
            self._create('demo-larger', 'larger volume from it',
                         '--snapshot', 'demo-snapshot', '--size', '3'),
            self._create('demo-clone', 'clone', '--source', 'demo-both',
                         '--size', '1'))

    def _attach_and_stop_a_node(self) -> None:
        self._attach('demo-shared', 'host-a')
        node = 0
        if self._simulator:
            node = self._simulator.last_used_node()
            address = self._simulator.address.addresses[node]
            with self._out.step(
                    f'stop the node in use, {address}',
                    f'POST {self._simulator.control}/nodes/{node} '
                    '{"mode": "stopped"}'):
                self._simulator.set_mode(node, 'stopped')
        self._attach('demo-shared', 'host-b')
        self._openstack(
            self._create('demo-late', 'volume', '--size', '1', '--type',
                         'compressed'),
            self._extend('demo-one-replica', 2))
        self._compare(show=True)
        if self._simulator:
            with self._out.step(
                    'start the node again',
                    f'POST {self._simulator.control}/nodes/{node} '
                    '{"mode": "up"}'):
                self._simulator.set_mode(node, 'up')

    def _migrate(self) -> None:
        self._attach('demo-shared', 'host-c')
        self._detach('demo-shared', 'host-a')
        self._compare()
        self._detach('demo-shared', 'host-b')
        self._detach('demo-shared', 'host-c')
        self._compare()

    def _delete(self) -> None:
        self._openstack(Step(
            'delete the snapshot before its copies',
            ['volume', 'snapshot', 'delete', 'demo-snapshot'],
            lambda: not self._cinder.all('snapshots')))
        self._openstack(Step(
            'delete the volumes',
            ['volume', 'delete', *sorted(
                volume['name'] for volume in self._cinder.all('volumes'))],
            lambda: not self._cinder.all('volumes')))
        with self._out.step('nothing is left on the cluster',
                            self._cluster.source):
            self._expect_nothing()

    def _create(self, name: str, what: str, *words: str) -> Step:
        return Step(f'{what}: {name}',
                    ['volume', 'create', *words, name],
                    lambda: self._is_available('volumes', name))

    def _extend(self, name: str, gib: int) -> Step:
        return Step(
            f'extend {name} to {gib} GiB',
            ['volume', 'set', '--size', str(gib), name],
            lambda: (self._is_available('volumes', name) and
                     self._cinder.find('volumes', name)['size'] == gib))

    def _is_available(self, kind: str, name: str) -> bool:
        found = self._cinder.find(kind, name)
        self._remember(kind, found)
        return bool(found['status'] == 'available')

    def _is_quiet(self, kind: str) -> bool:
        """Whether Cinder is not at work on any object of the kind."""
        everything = self._cinder.all(kind)
        for found in everything:
            self._remember(kind, found)
        return not any(found['status'].endswith('ing') and
                       not found['status'].startswith('error')
                       for found in everything)

    def _remember(self, kind: str, found: Mapping[str, Any]) -> None:
        self._names[f'{kind[:-1]}-{found["id"]}'] = found['name']

    def _openstack(self, *steps: Step) -> None:
        for first in range(0, len(steps), AT_ONCE):
            batch = steps[first:first + AT_ONCE]
            runs = [self.command_line.start(step.words) for step in batch]
            for step, run in zip(batch, runs):
                with self._out.step(step.what, run.text, run.started):
                    self.command_line.finish(run)
                    until(step.seen, 'Cinder still works on it.')

    def _attach(self, volume: str, host: str) -> None:
        with self._out.step(f'attach {volume} to {host}',
                            'POST /v3/attachments'):
            self._attachments[host] = self._cinder.attach(
                self._cinder.find('volumes', volume)['id'], connector(host))

    def _detach(self, volume: str, host: str) -> None:
        attachment = self._attachments.pop(host)
        with self._out.step(f'detach {volume} from {host}',
                            f'DELETE /v3/attachments/{attachment}'):
            self._cinder.detach(attachment)

    def _compare(self, show: bool = False) -> None:
        with self._out.step('Cinder and the cluster agree',
                            self._cluster.source):
            said = self._cinder.contents()
            held = {found.name: found.facts for found in self._contents()
                    if found.state in cluster.IN_SERVICE}
            rows = comparison.compare(
                {key: found.facts for key, found in said.items()}, held,
                self._names)
            if show or not all(row.same for row in rows):
                self._out.text(f'\n{comparison.table(rows)}\n')
            different = sum(not row.same for row in rows)
            if different:
                raise errors.DemoError(
                    f'{different} of {len(rows)} volumes and snapshots are '
                    'not on the cluster what they are in Cinder.')

    def _contents(self) -> list[comparison.Found]:
        """What is on the simulator, or on another cluster of our making."""
        names = {connector(host)['nqn']: host for host in HOSTS}
        contents = []
        for found in self._cluster.contents():
            if self._simulator or self._is_ours(found.name):
                hosts = frozenset(names.get(nqn, nqn)
                                  for nqn in found.facts.hosts)
                contents.append(found._replace(
                    facts=found.facts._replace(hosts=hosts)))
        return contents

    def _is_ours(self, name: str) -> bool:
        # The driver names what it makes on the way after the volume, too.
        return any(known.partition('-')[2] in name for known in self._names)

    def _expect_nothing(self) -> None:
        left: list[str] = []

        def nothing() -> bool:
            left[:] = [f'{found.name} ({found.state})'
                       for found in self._contents()]
            return not left

        try:
            until(nothing, '')
        except errors.DemoError:
            raise errors.DemoError('Left on the cluster: ' + ', '.join(left))


def until(seen: Callable[[], bool], otherwise: str) -> None:
    """Return once it is seen.

    :raises DemoError: saying what is instead, after WORK_TIME
    """
    deadline = time.monotonic() + WORK_TIME
    while not seen():
        if time.monotonic() > deadline:
            raise errors.DemoError(f'After {WORK_TIME} seconds: {otherwise}')
        time.sleep(PAUSE)


def connector(host: str) -> dict[str, Any]:
    """Return what os-brick tells of a host that runs the discovery client.

    The address is one that RFC 5737 keeps for documentation.
    """
    identity = uuid.uuid5(uuid.NAMESPACE_DNS, f'{host}.example.org')
    return {'host': host, 'ip': f'192.0.2.{HOSTS.index(host) + 1}',
            'host_ips': [f'192.0.2.{HOSTS.index(host) + 1}'],
            'nqn': f'nqn.2014-08.org.nvmexpress:uuid:{identity}',
            'found_dsc': 'found', 'multipath': False,
            'platform': 'x86_64', 'os_type': 'linux'}
