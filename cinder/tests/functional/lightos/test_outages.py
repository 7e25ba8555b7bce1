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
"""A running Cinder while one node of its cluster is out, each in turn.

Cinder's API, scheduler and volume service run on a simulated cluster, as the
demonstration starts them. Users do through the API what they do every day.
"""

import pathlib
import re
import sys
import tempfile
import time
from typing import Any, Callable

import ddt
import testtools

TREE = pathlib.Path(__file__).resolve().parents[4]
sys.path.insert(0, str(TREE / 'tools'))
from demo import block_storage  # noqa: E402
from demo import cluster  # noqa: E402
from demo import comparison  # noqa: E402
from demo import layout  # noqa: E402
from demo import processes  # noqa: E402
from demo import rest  # noqa: E402
from demo import scenario  # noqa: E402
from demo import services  # noqa: E402

# lightos_api_service_timeout in seconds: what a hung node costs a call.
TIMEOUT = 4
# Seconds after which a node that is set aside is used again: its pauses have
# not grown far in these tests.
BACK = 60
HTML = '<html><body><h1>502 Bad Gateway</h1></body></html>'
FAULTS: dict[str, dict[str, Any]] = {
    'hung': {'mode': 'hung'}, 'dead': {'mode': 'stopped'},
    '502': {'action': 'body', 'times': None, 'status': 502, 'body': HTML,
            'execute': False}}
EVENT = re.compile(r'The LightOS node (\S+) (is set aside|answers again)')


class Here(layout.Layout):
    """The environment that this runs in, in place of the demonstration's."""

    @property
    def environment(self) -> pathlib.Path:
        return pathlib.Path(sys.prefix)


class Users:
    """What users ask of Cinder, each time until it is done."""

    def __init__(self, url: str, replicas: int) -> None:
        self.cinder = block_storage.BlockStorage(url, replicas)
        self._api = rest.Api(url, {
            'OpenStack-API-Version':
                f'volume {block_storage.MICROVERSION}'})

    def create(self, kind: str, name: str, **source: Any) -> str:
        made = self._api.call('POST', f'/{kind}', {
            kind[:-1]: {'name': name, **source}})[kind[:-1]]
        self._until(name, lambda: self.cinder.find(
            kind, name)['status'] == 'available')
        return str(made['id'])

    def extend(self, name: str, size: int) -> None:
        volume = self.cinder.find('volumes', name)
        self._api.call('POST', f'/volumes/{volume["id"]}/action',
                       {'os-extend': {'new_size': size}})

        def done() -> bool:
            found = self.cinder.find('volumes', name)
            return (found['status'], found['size']) == ('available', size)

        self._until(name, done)

    def delete(self, kind: str, *ids: str) -> None:
        for each in ids:
            self.cinder.delete(kind, each)
        self._until(kind, lambda: not {
            found['id'] for found in self.cinder.all(kind)} & set(ids))

    @staticmethod
    def _until(what: str, seen: Callable[[], bool]) -> None:
        scenario.until(seen, f'{what} is not what was asked for.')


@ddt.ddt
class OutageTest(testtools.TestCase):

    started: processes.Processes
    simulator: cluster.Simulator
    control: rest.Api
    users: Users
    keeper: str
    log: pathlib.Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        directory = tempfile.TemporaryDirectory(prefix='lightos-outages-')
        cls.addClassCleanup(directory.cleanup)
        where = Here(pathlib.Path(directory.name))
        where.run.mkdir()
        where.logs.mkdir()
        cls.log = where.log('cinder')
        cls.started = processes.Processes(where)
        cls.addClassCleanup(cls.started.end)
        cls.simulator = services.start_simulator(where, cls.started)
        cls.control = rest.Api(cls.simulator.control, {})
        address = cls.simulator.address
        url = services.start_cinder(
            where, cls.started, {services.BACKEND: address},
            {services.BACKEND: {'lightos_api_service_timeout': TIMEOUT}})
        cls.users = Users(url, address.replicas)
        scenario.until(lambda: bool(cls.users.cinder.pools()),
                       'the scheduler knows no pool of the driver.')
        cls.users.cinder.lift_quotas()
        cls.keeper = cls.users.create('volumes', 'keeper', size=1)

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self._mend)
        self._use_until_every_node_serves()
        self.offset = self.log.stat().st_size

    def _mend(self) -> None:
        self.control.call('DELETE', '/faults')
        for node in range(3):
            self.simulator.set_mode(node, 'up')

    def _strike(self, node: int, fault: str) -> None:
        settings = FAULTS[fault]
        if 'mode' in settings:
            self.simulator.set_mode(node, settings['mode'])
        else:
            self.control.call('POST', '/faults', {'node': node, **settings})

    def _events(self, offset: int) -> list[tuple[str, str]]:
        """What the log tells of nodes: address and what became of it."""
        return EVENT.findall(self.log.read_text()[offset:])

    def _use_until_every_node_serves(self) -> None:
        """Attach and detach: a node comes back only where it is used."""
        end = time.monotonic() + BACK
        while 'is set aside' in dict(self._events(0)).values():
            self.assertLess(time.monotonic(), end, self._events(0))
            self._attach_and_detach(self.keeper)

    def _attach_and_detach(self, volume: str) -> None:
        attachment = self.users.cinder.attach(
            volume, scenario.connector('host-a'))
        self._compare()
        self.users.cinder.detach(attachment)

    def _compare(self) -> None:
        """Cinder and the cluster say the same of everything there is."""
        hosts = {scenario.connector(host)['nqn']: host
                 for host in scenario.HOSTS}
        held = {found.name: found.facts._replace(hosts=frozenset(
            hosts.get(nqn, nqn) for nqn in found.facts.hosts))
            for found in self.simulator.contents()
            if found.state in cluster.IN_SERVICE}
        rows = comparison.compare(
            {name: found.facts for name, found in
             self.users.cinder.contents().items()}, held, {})
        self.assertTrue(rows)
        self.assertTrue(all(row.same for row in rows),
                        comparison.table(rows))

    @ddt.data(*((fault, node) for fault in FAULTS for node in range(3)))
    @ddt.unpack
    def test_everyday_work_with_one_node(self, fault: str,
                                         node: int) -> None:
        self._strike(node, fault)
        users = self.users
        volume = users.create('volumes', 'volume', size=1)
        users.extend('volume', 2)
        snapshot = users.create('snapshots', 'snapshot', volume_id=volume)
        restored = users.create('volumes', 'restored', size=3,
                                snapshot_id=snapshot)
        clone = users.create('volumes', 'clone', size=2,
                             source_volid=volume)
        self._attach_and_detach(clone)
        users.delete('snapshots', snapshot)
        users.delete('volumes', restored, clone, volume)
        self._compare()

        log = self.log.read_text()[self.offset:]
        self.assertNotIn(' ERROR ', log)
        address = self.simulator.address
        self.assertEqual(
            [(f'{address.addresses[node]}:{address.port}', 'is set aside')],
            self._events(self.offset))
