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
"""One of Cinder's services, as its own command starts it.

Run as ``controller_process.py SERVICE --config-file FILE ...``, where SERVICE
is ``api``, ``scheduler`` or ``volume``.
"""

# The demonstration patches the interpreter for eventlet before the rest.
from demo import cinder_process

import importlib  # noqa: I100
import sys


def main() -> None:
    service = sys.argv.pop(1)
    cinder_process.provide_host_nqn()
    importlib.import_module(f'cinder.cmd.{service}').main()


if __name__ == '__main__':
    main()
