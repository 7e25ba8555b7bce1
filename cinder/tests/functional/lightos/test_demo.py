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
"""The demonstration, run as a newcomer runs it.

The tests share the directory that ./run_demo.sh has in the tree by default:
its environment takes a minute or two to make.
"""

import contextlib
import json
import pathlib
import re
import signal
import subprocess
import sys
import threading
from typing import Any

import ddt
import requests
import testtools

TREE = pathlib.Path(__file__).resolve().parents[4]
SCRIPT = TREE / 'run_demo.sh'
DIRECTORY = TREE / '.demo'
# Seconds, the making of the environment included.
TIME = 1800
GIB = 1024 ** 3

sys.path.insert(0, str(TREE / 'tools'))
from demo import comparison  # noqa: E402


def processes_of_demo() -> list[str]:
    """Return the command line of each process of a demonstration."""
    found = []
    for entry in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        with contextlib.suppress(OSError):
            words = entry.read_text().split('\0')
            if any(word.startswith(f'{DIRECTORY}/') for word in words):
                found.append(' '.join(words))
    return found


def run(*command: str) -> 'subprocess.CompletedProcess[str]':
    return subprocess.run(
        command, cwd='/', stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=TIME)


class Demo:
    """A demonstration that is running."""

    def __init__(self) -> None:
        self.text = ''
        self._process = subprocess.Popen(
            [SCRIPT], cwd='/', stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._timer = threading.Timer(TIME, self.interrupt)
        self._timer.start()

    def read_until(self, pattern: str) -> 're.Match[str]':
        """Read on until a line has the pattern."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.text += line
            match = re.search(pattern, line)
            if match:
                return match
        raise AssertionError(f'No {pattern!r} in:\n{self.text}')

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Read the rest and return the exit status."""
        assert self._process.stdout is not None
        with self._process.stdout as output:
            self.text += output.read()
        self._timer.cancel()
        return self._process.wait()

    def abandon(self) -> None:
        """Leave nothing of it, wherever a test has ended."""
        if self._process.poll() is None:
            self.interrupt()
            self.end()


class WholeDemoTest(testtools.TestCase):
    """A demonstration that is kept, used by hand and stopped."""

    ended: 'subprocess.CompletedProcess[str]'
    by_hand: 'subprocess.CompletedProcess[str]'
    second: 'subprocess.CompletedProcess[str]'
    left: list[str]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.ended = run(str(SCRIPT), '--keep')
        try:
            exports = re.findall('^export .*$', cls.ended.stdout, re.M)
            cls.by_hand = run('bash', '-c', '\n'.join([
                *exports, 'openstack volume create --size 1 '
                          '--type compressed -f json by-hand']))
            cls.second = run(str(SCRIPT))
        finally:
            run(str(SCRIPT), '--stop')
        cls.left = processes_of_demo()

    def test_exit_status_is_0(self) -> None:
        self.assertEqual(0, self.ended.returncode, self.ended.stdout)

    def test_each_step_has_a_line(self) -> None:
        lines = re.findall(r'^(\w+) +[0-9.]+ s  ', self.ended.stdout, re.M)
        self.assertEqual({'ok'}, set(lines), self.ended.stdout)
        self.assertIn(f'All {len(lines)} steps were seen to be done',
                      self.ended.stdout)

    def test_commands_are_printed(self) -> None:
        for command in (
                "openstack volume type create --property "
                "'compression=<is> True' compressed",
                'openstack volume create --size 1 --type '
                'compressed-one-replica demo-both',
                'openstack volume set --size 2 demo-plain',
                'openstack volume snapshot create --volume demo-plain '
                'demo-snapshot',
                'openstack volume create --snapshot demo-snapshot --size 3 '
                'demo-larger',
                'openstack volume create --source demo-both --size 1 '
                'demo-clone',
                'POST /v3/attachments',
                '{"mode": "stopped"}'):
            self.assertThat(self.ended.stdout, testtools.matchers.MatchesRegex(
                rf'(?ms).*^ok .*{re.escape(command)}$'))

    def test_table_has_every_object_on_both_sides(self) -> None:
        rows = {}
        for line in self.ended.stdout.splitlines():
            if line.endswith('| same'):
                name, said, held, _same = map(str.strip, line.split(' | '))
                self.assertEqual(said.split(), held.split())
                rows[name] = said.split()
        self.assertEqual({
            'demo-plain': ['2', '3', 'no', '-'],
            'demo-compressed': ['1', '3', 'yes', '-'],
            'demo-one-replica': ['2', '1', 'no', '-'],
            'demo-both': ['1', '1', 'yes', '-'],
            'demo-shared': ['1', '3', 'no', 'host-a,', 'host-b'],
            'demo-restored': ['2', '3', 'no', '-'],
            'demo-larger': ['3', '3', 'no', '-'],
            'demo-clone': ['1', '1', 'yes', '-'],
            'demo-late': ['1', '3', 'yes', '-'],
            'demo-snapshot': ['2', '3', 'no', '-']}, rows)

    def test_last_step_finds_nothing_on_the_cluster(self) -> None:
        self.assertThat(self.ended.stdout, testtools.matchers.MatchesRegex(
            r'(?ms).*^ok [^\n]* nothing is left on the cluster '))

    def test_kept_cinder_is_used_by_hand(self) -> None:
        self.assertEqual(0, self.by_hand.returncode, self.by_hand.stdout)
        self.assertEqual('by-hand', json.loads(self.by_hand.stdout)['name'])

    def test_start_beside_a_kept_one_is_refused(self) -> None:
        self.assertEqual(1, self.second.returncode)
        self.assertIn('run_demo.sh --stop', self.second.stdout)

    def test_stop_ends_every_process(self) -> None:
        self.assertEqual([], self.left)


class EndingTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.demo = Demo()
        self.addCleanup(self.demo.abandon)

    def test_loss_behind_the_back_of_cinder_fails(self) -> None:
        url = self.demo.read_until(r'^Cinder .* on (http\S+)')[1]
        self.demo.read_until(r'^ok .* demo-compressed$')
        volumes = requests.get(f'{url}/volumes').json()['volumes']
        volume_id, = (volume['id'] for volume in volumes
                      if volume['name'] == 'demo-compressed')
        self._delete_on_cluster(f'volume-{volume_id}')

        self.assertEqual(1, self.demo.end(), self.demo.text)
        self.assertThat(self.demo.text, testtools.matchers.MatchesRegex(
            r'(?ms).*^demo-compressed .* \| missing .* \| DIFFERENT$'))
        self.assertThat(self.demo.text, testtools.matchers.MatchesRegex(
            r'(?ms).*^FAILED: 1 of 10 volumes and snapshots '))
        self.assertEqual([], processes_of_demo())

    def test_interrupt_ends_every_process(self) -> None:
        self.demo.read_until(r'^ok ')
        self.demo.interrupt()
        self.assertEqual(128 + signal.SIGINT, self.demo.end())
        self.assertEqual([], processes_of_demo())

    def _delete_on_cluster(self, name: str) -> None:
        told: dict[str, Any] = json.loads(
            (DIRECTORY / 'run' / 'simulator.json').read_text())
        token = pathlib.Path(told['tokens']['cluster-admin']).read_text()
        session = requests.Session()
        # REQUESTS_CA_BUNDLE would win over what is set here.
        session.trust_env = False
        session.verify = told['ca_file']
        session.headers['Authorization'] = f'Bearer {token.strip()}'
        url = (f'https://{told["endpoints"][0]}/api/v2/projects/default/'
               'volumes')
        volume, = session.get(url, params={'name': name}).json()['volumes']
        session.delete(f'{url}/{volume["UUID"]}').raise_for_status()


@ddt.ddt
class ComparisonTest(testtools.TestCase):

    FACTS = comparison.Facts(GIB, 3, False, frozenset({'host-a'}))

    def rows(self, cinder: dict[str, comparison.Facts],
             cluster: dict[str, comparison.Facts]) -> list[comparison.Row]:
        return comparison.compare(cinder, cluster, {'volume-1': 'mine'})

    def test_same_on_both_sides(self) -> None:
        row, = self.rows({'volume-1': self.FACTS}, {'volume-1': self.FACTS})
        self.assertTrue(row.same)
        self.assertIn('| same', comparison.table([row]))

    @ddt.data({'size': 2 * GIB}, {'replicas': 2}, {'compressed': True},
              {'hosts': frozenset()},
              {'hosts': frozenset({'host-a', 'ALLOW_ANY'})})
    def test_difference(self, change: dict[str, Any]) -> None:
        row, = self.rows({'volume-1': self.FACTS},
                         {'volume-1': self.FACTS._replace(**change)})
        self.assertFalse(row.same)
        self.assertIn('DIFFERENT', comparison.table([row]))

    @ddt.data(({'volume-1': FACTS}, {}), ({}, {'volume-1': FACTS}))
    @ddt.unpack
    def test_missing_on_one_side(
            self, cinder: dict[str, comparison.Facts],
            cluster: dict[str, comparison.Facts]) -> None:
        row, = self.rows(cinder, cluster)
        self.assertFalse(row.same)
        self.assertIn('missing', comparison.table([row]))
