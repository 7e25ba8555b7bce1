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
"""The command line, as a process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import signal
import socket
import stat
import subprocess
from typing import Any

import ddt
import fixtures
import requests
import testtools

from lightos_simulator import __main__
from lightos_simulator.tests import base
from lightos_simulator.tests.base import PROJECT
from lightos_simulator.tests import live

VOLUMES = PROJECT + '/volumes'


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    process = live.start(*arguments)
    try:
        out, error = process.communicate(timeout=live.PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, out,
                                       error)


@ddt.ddt
class TestBadStart(testtools.TestCase):

    def check(self, *arguments: str) -> str:
        """Check that it says what is wrong in one line; give the line."""
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(
                error):
            try:
                status: Any = __main__.main(arguments)
            except SystemExit as ended:
                status = ended.code
        self.assertEqual((2, ''), (status, out.getvalue()))
        lines = error.getvalue().splitlines()
        self.assertEqual(1, len(lines), error.getvalue())
        self.assertIn('lightos_simulator: error: ', lines[0])
        return lines[0]

    def test_as_a_process(self) -> None:
        done = run('--nodes', 'x')
        self.assertEqual(
            (2, '', "lightos_simulator: error: argument --nodes: 'x' is not "
             'a number from 1 to 64\n'),
            (done.returncode, done.stdout, done.stderr))

    @ddt.data(('--nodes', '0'), ('--port', '65536'), ('--port', 'x'),
              ('--first-address', 'somewhere'), ('--work-time', 'Dance=1'),
              ('--work-time', 'CreateVolume=-1'), ('--assume', 'gravity=off'),
              ('--assume', 'ip-acl=maybe'), ('--capacity-gib', '0'),
              ('--log-level', 'odd'))
    @ddt.unpack
    def test_bad_argument(self, option: str, value: str) -> None:
        self.assertIn(option, self.check(option, value))

    def test_unknown_option(self) -> None:
        self.assertIn('--nonsense', self.check('--nonsense'))

    def test_bad_project(self) -> None:
        self.assertIn('project name', self.check('--project', 'a b'))

    def test_address_that_is_not_ours(self) -> None:
        self.assertIn('192.0.2.1', self.check('--first-address', '192.0.2.1'))

    @ddt.data(('--port', base.ADDRESSES[2]), ('--control-port', '127.0.0.1'))
    @ddt.unpack
    def test_taken_port(self, option: str, address: str) -> None:
        with socket.socket() as taken:
            taken.bind((address, 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            line = self.check(option, port)
        self.assertIn(address, line)
        self.assertIn(port, line)

    def test_data_plane_that_would_change_the_machine(self) -> None:
        # Whoever runs the tests: no root, or the /dev of the machine.
        line = self.check('--data-plane', 'loop')
        self.assertTrue('root' in line or 'private' in line, line)

    def test_data_plane_that_is_none(self) -> None:
        self.assertIn('--data-plane', self.check('--data-plane', 'tape'))

    def test_directory_that_cannot_be(self) -> None:
        self.check('--directory', __file__)

    def test_state_file_that_is_none(self) -> None:
        self.assertIn(__file__, self.check('--state-file', __file__))

    def test_state_file_that_cannot_be(self) -> None:
        self.check('--state-file', '/nonexistent/state.json')


@ddt.ddt
class TestStart(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(self.useFixture(
            fixtures.TempDir()).path)

    def start(self, *arguments: str) -> live.Simulator:
        simulator: live.Simulator = self.useFixture(
            live.Simulator(*arguments))
        return simulator

    def test_first_line_and_table(self) -> None:
        simulator = self.start('--project', 'p1')
        facts = simulator.facts
        self.assertEqual(list(base.ADDRESSES), facts['addresses'])
        self.assertEqual(['%s:%d' % (address, facts['port'])
                          for address in base.ADDRESSES], facts['endpoints'])
        self.assertEqual(
            {'cluster-admin', 'default-admin', 'default-viewer', 'p1-admin',
             'p1-viewer'}, set(facts['tokens']))
        self.assertEqual(simulator.process.pid, facts['pid'])
        simulator.process.send_signal(signal.SIGTERM)
        out, error = simulator.process.communicate(timeout=live.PATIENCE)
        self.assertEqual('', out)
        for value in (facts['cluster_uuid'], facts['control'],
                      facts['tokens']['p1-viewer'], *facts['endpoints']):
            self.assertIn(value, error)

    @ddt.data(signal.SIGINT, signal.SIGTERM)
    def test_ends_at_once_and_cleans_up(self, number: int) -> None:
        simulator = self.start()
        simulator.volume()
        simulator.control('POST', '/nodes/0', {'mode': 'hung'})
        try:
            simulator.call('GET', VOLUMES, timeout=0.1)
        except requests.ReadTimeout:
            pass
        status, seconds = simulator.stop(number)
        self.assertEqual(0, status)
        self.assertLess(seconds, 2)
        self.assertFalse(os.path.exists(simulator.facts['directory']))

    def test_directory_given(self) -> None:
        target = self.directory / 'deep' / 'down'
        simulator = self.start('--directory', str(target))
        for path in simulator.facts['tokens'].values():
            self.assertEqual(0o600, stat.S_IMODE(os.stat(path).st_mode))
        simulator.stop()
        self.assertTrue((target / 'ca.pem').exists())

    def test_nodes_and_addresses(self) -> None:
        facts = self.start('--nodes', '2', '--first-address', '127.0.0.40'
                           ).facts
        self.assertEqual(['127.0.0.40', '127.0.0.41'], facts['addresses'])

    def test_other_addresses_for_data(self) -> None:
        simulator = self.start('--nodes', '2', '--first-data-address',
                               '192.0.2.11')
        self.assertEqual(['192.0.2.11', '192.0.2.12'],
                         simulator.facts['data_addresses'])
        info = simulator.call('GET', '/api/v2/clusterinfo').json()
        self.assertEqual(['192.0.2.11:8009', '192.0.2.12:8009'],
                         info['discoveryEndpoints'])
        self.assertEqual(['192.0.2.11:4420', '192.0.2.12:4420'],
                         info['nvmeEndpoints'])
        self.assertEqual(simulator.facts['endpoints'], info['apiEndpoints'])

    def test_port(self) -> None:
        port = live.free_port(base.ADDRESSES[0])
        self.assertEqual(port, self.start('--port', str(port)).facts['port'])

    def test_two_at_a_time(self) -> None:
        self.assertNotEqual(self.start().facts['port'],
                            self.start().facts['port'])

    def test_no_multi_tenancy(self) -> None:
        simulator = self.start('--no-multi-tenancy')
        self.assertEqual({}, simulator.facts['tokens'])
        reply = simulator.call('GET', '/api/v2/cluster', who='nobody')
        self.assertEqual(200, reply.status_code)

    def test_capacity(self) -> None:
        simulator = self.start('--capacity-gib', '7')
        cluster = simulator.call('GET', '/api/v2/cluster',
                                 who='cluster-admin').json()
        self.assertEqual(str(7 * 2 ** 30),
                         cluster['statistics']['estimatedLogicalStorage'])

    def test_work_time_and_assumption(self) -> None:
        simulator = self.start(
            '--work-time', '100', '--work-time', 'CreateVolume=0',
            '--assume', 'omit-zero=off')
        uuid = simulator.volume().json()['UUID']
        simulator.call('DELETE', VOLUMES + '/' + uuid)
        volume = simulator.call('GET', VOLUMES + '/' + uuid).json()
        self.assertEqual(('Deleting', []), (volume['state'],
                                            volume['connectedHosts']))

    def test_help_names_every_assumption(self) -> None:
        done = run('--help')
        self.assertEqual(0, done.returncode)
        self.assertIn('one-snapshot-at-a-time (on)', done.stdout)


class TestStateFile(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.path = pathlib.Path(self.useFixture(
            fixtures.TempDir()).path) / 'state.json'

    def start(self, *arguments: str) -> live.Simulator:
        simulator: live.Simulator = self.useFixture(live.Simulator(
            '--state-file', str(self.path), *arguments))
        return simulator

    def test_restart(self) -> None:
        first = self.start()
        uuid = first.volume().json()['UUID']
        first.control('POST', '/projects', {'name': 'p1'})
        now = first.control('POST', '/clock', {'advance': 1000})['now']
        state = first.control('GET', '/state')
        ca = pathlib.Path(first.facts['ca_file']).read_text()
        token = pathlib.Path(
            first.facts['tokens']['default-admin']).read_text()
        self.assertEqual(0, first.stop()[0])

        second = self.start()
        self.assertEqual(state, second.control('GET', '/state'))
        self.assertGreater(
            second.control('POST', '/clock', {'advance': 0})['now'], now)
        for name in ('cluster_uuid', 'port', 'endpoints'):
            self.assertEqual(first.facts[name], second.facts[name])
        self.assertEqual(ca, pathlib.Path(second.facts['ca_file']).read_text())
        self.assertEqual(token, pathlib.Path(
            second.facts['tokens']['default-admin']).read_text())
        self.assertIn('p1-admin', second.facts['tokens'])
        self.assertEqual('Available', second.call(
            'GET', VOLUMES + '/' + uuid).json()['state'])

    def test_killed(self) -> None:
        first = self.start()
        before = self.path.stat().st_mtime_ns
        uuid = first.volume().json()['UUID']
        live.poll(lambda: uuid in self.path.read_text())
        self.assertNotEqual(before, self.path.stat().st_mtime_ns)
        first.stop(signal.SIGKILL)
        second = self.start()
        self.assertEqual(200, second.call('GET', VOLUMES + '/' + uuid
                                          ).status_code)

    def test_port_that_is_taken_meanwhile(self) -> None:
        first = self.start()
        first.stop()
        with socket.socket() as taken:
            taken.bind((base.ADDRESSES[1], first.facts['port']))
            taken.listen()
            self.assertNotEqual(first.facts['port'],
                                self.start().facts['port'])

    def test_other_number_of_nodes(self) -> None:
        self.start().stop()
        done = run('--state-file', str(self.path), '--nodes', '2')
        self.assertEqual(2, done.returncode)
        self.assertIn('3 nodes', done.stderr)

    def test_content_that_is_not_complete(self) -> None:
        self.path.write_text(json.dumps({'format': 1}))
        done = run('--state-file', str(self.path))
        self.assertEqual((2, 1), (done.returncode,
                                  len(done.stderr.splitlines())))
