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
"""What Cinder believes and what the cluster holds, after random sequences.

As many sequences as LIGHTOS_MODEL_SEQUENCES says are run, 2,000 without it.
"""

import os
import pathlib
import subprocess
import sys

import testtools
from testtools import content

TREE = pathlib.Path(__file__).resolve().parents[4]
SEQUENCES = os.environ.get('LIGHTOS_MODEL_SEQUENCES', '2000')
# Seconds, for a machine that is busy with other things.
TIMEOUT = 60 + int(SEQUENCES)


class ModelTest(testtools.TestCase):

    def test_cinder_and_cluster_agree(self) -> None:
        ended = subprocess.run(
            [sys.executable, str(TREE / 'tools' / 'model_run.py'),
             '--sequences', SEQUENCES],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=TIMEOUT)
        self.addDetail('model run', content.text_content(ended.stdout))
        self.assertEqual(0, ended.returncode)
