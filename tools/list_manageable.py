#!/usr/bin/env python3
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
"""Measure the listing of many manageable volumes.

    list_manageable.py [--volumes N] [--records N] [--limit N]

A driver lists the volumes of a simulated cluster of three nodes over HTTPS.
The environment has to be one that overlay.py has linked.
"""

import argparse
import pathlib
import sys

TREE = pathlib.Path(__file__).resolve().parent.parent
# As a part of Cinder's package it would switch this process to eventlet.
sys.path.insert(0, str(TREE / 'cinder/tests/functional/lightos'))

import processes  # type: ignore[import-not-found]
from processes import call


def main() -> None:
    parser = argparse.ArgumentParser(
        description='Measure the listing of many manageable volumes.')
    parser.add_argument('--volumes', type=int, default=10000,
                        help='on the cluster')
    parser.add_argument('--records', type=int, default=1000,
                        help='of how many of them Cinder has a record')
    parser.add_argument('--limit', type=int, default=1000,
                        help='how many are shown at a time')
    arguments = parser.parse_args()
    simulator = processes.Simulator()
    drivers = processes.Drivers('native')
    try:
        drivers.enable_database()
        name = drivers.open(**simulator.options())
        report = drivers.run(
            name, call('setup'),
            call('fill', volumes=arguments.volumes,
                 records=arguments.records),
            *[call('list_manageable', limit=arguments.limit)] * 3)
        for outcome in report.outcomes[2:]:
            print(outcome.error or outcome.value, outcome.text)
        sys.exit(1 if report.errors else 0)
    finally:
        drivers.end()
        simulator.end()


if __name__ == '__main__':
    main()
