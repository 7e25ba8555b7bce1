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
"""The benchmark: ``python tools/benchmark``, see the contributor's guide."""

import argparse
import json
import pathlib
import sys
from typing import Sequence

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
# This directory is a package; run as a program it stands there itself.
sys.path[0] = str(TREE / 'tools')

from benchmark import measure  # noqa: E402
from benchmark import plan  # noqa: E402
from benchmark import report  # noqa: E402

DOCUMENTATION = TREE / 'doc/source/contributor'


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='tools/benchmark',
        description='Measure the driver beside the one that the installed '
                    'Cinder has, on a simulated cluster.')
    commands = parser.add_subparsers(dest='command', required=True)
    run = commands.add_parser(
        'run', help='measure; prints a table, takes up to 30 minutes')
    run.add_argument('result', nargs='?', type=pathlib.Path,
                     default=pathlib.Path('benchmark.json'),
                     help='JSON file to write (default: %(default)s)')
    run.add_argument('--quick', action='store_true',
                     help='less of everything, in a minute')
    run.add_argument('--part', action='append', choices=list(measure.PARTS),
                     help='only this part, and what it builds on; can be '
                          'given several times. A result that is there '
                          'already keeps its other parts')
    table = commands.add_parser('table', help='print the table of a result')
    table.add_argument('result', type=pathlib.Path)
    pages = commands.add_parser(
        'report', help='write the page and the plots of the documentation')
    pages.add_argument('result', type=pathlib.Path)
    pages.add_argument('--directory', type=pathlib.Path,
                       default=DOCUMENTATION,
                       help='where (default: %(default)s)')
    return parser


def main(argv: Sequence[str]) -> int:
    given = _parser().parse_args(argv)
    if given.command == 'run':
        parts = tuple(given.part or measure.PARTS)
        before = (json.loads(given.result.read_text())
                  if given.part and given.result.exists() else {})
        result = measure.run(plan.QUICK if given.quick else plan.FULL, parts)
        result['parts'] = [part for part in measure.PARTS
                           if part in {*before, *parts}]
        result['seconds'] += before.get('seconds', 0)
        given.result.write_text(json.dumps({**before, **result}, indent=1))
    result = json.loads(given.result.read_text())
    if given.command == 'report':
        # Only this needs matplotlib.
        from benchmark import plots
        report.write(result, given.directory)
        plots.write(result, given.directory)
    else:
        print(report.table(result))
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
