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
"""Three controllers of one cluster, any of them killed at any moment.

``tools/chaos_run.py`` does the same for longer, with etcd and with native
threads; doc/source/contributor/chaos.rst says what is expected.
"""

import json
import pathlib
import tempfile

import testtools
from testtools import content

from cinder.tests.functional.lightos import chaos
from cinder.tests.functional.lightos import controllers

SEED = 20261
MINUTES = 3
OPERATIONS = 300
# Seconds between faults of Cinder: each kind happens.
PAUSE = (10, 20)


class ControllersTest(testtools.TestCase):
    """Nothing is lost, doubled or left open (E7, A4, A5, A6, O5)."""

    def test_e7_a4_a5_a6_o5_controllers_are_killed(self) -> None:
        subject = controllers.Controllers('redis', 'eventlet')
        self.addCleanup(subject.end)
        self.addOnException(lambda _error: self.keep_logs(subject))
        result = chaos.Run(subject, SEED, MINUTES, OPERATIONS, PAUSE).result(
            'redis', 'eventlet')
        told = result.as_dict()
        self.addDetail('report', content.text_content(
            json.dumps(told, indent=1)))
        self.assertEqual([], told['unexpected ends'])
        self.assertEqual([], told['faults of the driver'])
        self.assertEqual([], told['wrong after recovery'])
        # An attach that failed is followed by a detach, as Nova does it.
        self.assertGreaterEqual(len(result.operations), OPERATIONS)
        # A quiet time would prove nothing.
        self.assertEqual([], [fault for fault, count
                              in told['faults'].items() if not count])

    def keep_logs(self, subject: controllers.Controllers) -> None:
        directory = tempfile.mkdtemp(prefix='lightos-controllers-logs-')
        subject.save_logs(pathlib.Path(directory))
        self.addDetail('logs', content.text_content(directory))
