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
"""What operations cost in requests: exact, whatever else the machine does."""

import atexit
import json
import pathlib
import subprocess
import sys
import tempfile

import ddt
import fixtures
import testtools

from cinder.tests.functional.lightos import processes

# The fewest that the promises allow: what changes the cluster, and a look at
# what came of it; before a change of what may have changed, a look at that.
FEWEST = {'create': 2, 'from snapshot': 2, 'clone': 5, 'extend': 3,
          'snapshot create': 2, 'attach': 3, 'detach': 3, 'delete': 3,
          'snapshot delete': 3, 'stats': 2}
# Connections that are kept to a node, and nodes.
CONNECTIONS = 64
NODES = 3
MANY = 64
PAGE = 1000


class MeasuredDriver(processes.Process):
    """The program measured_driver.py with the driver of this tree.

    :param threading: ``eventlet`` or ``native``
    """

    _directory = tempfile.TemporaryDirectory(prefix='lightos-requests-')

    def __init__(self, threading: str) -> None:
        directory = pathlib.Path(self._directory.name, threading)
        directory.mkdir()
        atexit.register(self._directory.cleanup)
        super().__init__(
            str(processes.HERE / 'measured_driver.py'), 'ours',
            str(directory), variables={
                'OS_CINDER_DISABLE_EVENTLET_PATCHING':
                    str(threading == 'native').lower()})


@ddt.ddt
class RequestsTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.simulator = processes.Simulator()
        self.addCleanup(self.simulator.end)

    def driver(self, threading: str = 'native') -> MeasuredDriver:
        """A driver that has just begun on the cluster."""
        driver = MeasuredDriver.shared(threading)
        driver.ask('open', options=self.simulator.options())
        return driver

    @ddt.data('native', 'eventlet')
    def test_no_operation_sends_more_than_it_must(self, threading):
        driver = self.driver(threading)
        for _time in range(2):
            taken = driver.ask('chain')
            self.assertEqual(FEWEST, {name: each['requests']
                                      for name, each in taken.items()})

    def test_what_is_counted_is_what_arrives(self):
        driver = self.driver()
        before = len(self.simulator.requests())
        driver.ask('chain')
        self.assertEqual(sum(FEWEST.values()),
                         len(self.simulator.requests()) - before)

    @ddt.data('native', 'eventlet')
    def test_c4_a_connection_is_made_once_for_each_node(self, threading):
        driver = self.driver(threading)
        driver.ask('chain')
        taken = driver.ask('chain').values()
        self.assertEqual([(0, 0)] * len(FEWEST),
                         [(each['connections'], each['handshakes'])
                          for each in taken])

    @ddt.data('native', 'eventlet')
    def test_c4_many_at_once_make_no_connection_that_is_not_kept(
            self, threading):
        driver = self.driver(threading)
        # Connections that a starved machine takes too long to make are
        # made again: that is not what is counted here.
        driver.ask('batch', count=MANY)
        taken = [driver.ask('batch', count=MANY) for _time in range(4)]
        self.assertEqual(
            [([], FEWEST['create'] * MANY)] * 4,
            [(each['errors'], each['requests']) for each in taken])
        self.assertLessEqual(sum(each['handshakes'] for each in taken),
                             NODES * CONNECTIONS)

    def test_the_number_of_volumes_changes_only_lists(self):
        self.simulator.control('POST', '/volumes', count=2 * PAGE)
        driver = self.driver()
        taken = driver.ask('grown', volumes=2 * PAGE, repeats=2,
                           tasks=['stats', 'known_stats', 'service_start',
                                  'list'])
        # A list ends with a page on which nothing is left.
        self.assertEqual(
            {'stats': [2, 2], 'known_stats': [0, 0],
             'service_start': [3, 3], 'list': [3, 3]},
            {name: [run['requests'] for run in each['runs']]
             for name, each in taken.items()})

    def test_a_list_holds_a_page_or_two(self):
        memory = []
        driver = self.driver()
        for _time in range(3):
            self.simulator.control('POST', '/volumes', count=PAGE)
            taken = driver.ask('grown', volumes=0, repeats=0, tasks=['list'])
            memory.append(taken['list']['memory'])
        self.assertLess(max(memory), 2 * memory[0])


class BenchmarkTest(testtools.TestCase):
    """``tools/benchmark``, of which the suite shares the measured driver."""

    def test_parts_of_a_result_and_its_table(self):
        result = pathlib.Path(self.useFixture(fixtures.TempDir()).path,
                              'result.json')
        for part in ('floor', 'growth'):
            printed = subprocess.run(
                [sys.executable, '-W', 'ignore', 'tools/benchmark', 'run',
                 '--quick', '--part', part, str(result)],
                cwd=processes.TREE, check=True, stdout=subprocess.PIPE,
                text=True).stdout
        measured = json.loads(result.read_text())
        self.assertEqual(['floor', 'growth'], measured['parts'])
        # One of the two drivers has the package of this tree hidden.
        self.assertEqual({'ours': 2, 'release': 0}, {
            row['driver']: row['runs'][0]['requests']
            for row in measured['growth'] if row['task'] == 'stats'})
        self.assertIn('What is done with all volumes', printed)
