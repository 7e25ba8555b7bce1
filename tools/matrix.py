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
"""Test the driver with each release of Cinder and each Python that it takes.

    matrix.py [--json FILE] [RELEASE[/PYTHON] ...]

RELEASE is a major version of Cinder, 24 for instance, and 24/3.10 that with
one Python; without any, all are tested, one after the other. Each has the
environment of tox that CI has for it: the unit tests, Cinder's check of the
interface, the demonstration and the package. A line is printed as each ends,
and the table of all at last.

A Python that is not on the PATH nor among pyenv's is skipped. The exit status
is 0 if nothing failed. "./run_tests.sh --matrix" runs it with the tox that is
there.
"""

import argparse
import glob
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from typing import Iterator, NamedTuple, Optional

from demo import releases

TREE = pathlib.Path(__file__).resolve().parent.parent
LOGS = TREE / '.tox' / 'logs'
SUITES = ('unit', 'compliance', 'release')
# Seconds for one cell; on two cores most take four minutes.
TIME = 3600


class Cell(NamedTuple):
    """One Cinder with one Python."""

    release: releases.Release
    python: str

    @property
    def environment(self) -> str:
        return f'cinder-{self.release.cinder}-py{self.python.replace(".", "")}'


class Result(NamedTuple):
    """What became of a cell.

    :param status: ok, FAILED or skipped
    :param versions: what was installed, of Cinder and os-brick
    :param suites: the counts of each, as the suites print them
    :param note: why it failed or was skipped
    """

    cell: Cell
    status: str
    seconds: int = 0
    versions: tuple[str, ...] = ()
    suites: dict[str, str] = {}
    note: str = ''


def chosen(words: list[str]) -> Iterator[Cell]:
    """Yield the cells that the arguments name.

    :raises SystemExit: there is none of that name
    """
    cells = [Cell(release, python) for release in releases.RELEASES
             for python in release.pythons]
    for word in words or ['']:
        found = [cell for cell in cells if word in (
            '', f'{cell.release.cinder}',
            f'{cell.release.cinder}/{cell.python}')]
        if not found:
            sys.exit(f'matrix.py: there is no {word} to test. These are: ' +
                     ' '.join(f'{cell.release.cinder}/{cell.python}'
                              for cell in cells))
        yield from found


def interpreter(version: str) -> Optional[str]:
    """Return the path of a Python that runs, if there is one."""
    root = os.environ.get('PYENV_ROOT', os.path.expanduser('~/.pyenv'))
    for path in (shutil.which(f'python{version}'),
                 *glob.glob(f'{root}/versions/{version}.*/bin/python')):
        # The shims of pyenv are on the PATH for versions that are not there.
        if path and not subprocess.run(
                [path, '-c', ''], stderr=subprocess.DEVNULL).returncode:
            return path
    return None


def run(cell: Cell) -> Result:
    """Test a cell; return when it is done."""
    python = interpreter(cell.python)
    if python is None:
        return Result(cell, 'skipped', note=f'no Python {cell.python} here')
    log = LOGS / f'{cell.environment}.log'
    began = time.monotonic()
    with log.open('w') as output:
        try:
            status = subprocess.run(
                [sys.executable, '-m', 'tox', 'run', '--discover', python,
                 '-e', cell.environment], cwd=TREE, stdout=output,
                stderr=subprocess.STDOUT, timeout=TIME).returncode
        except subprocess.TimeoutExpired:
            status = -1
    text = log.read_text(errors='replace')
    counts = dict(re.findall(
        r'^(\w+): (\d+ passed, \d+ failed, \d+ skipped)$', text, re.M))
    good = status == 0 and set(SUITES) <= counts.keys()
    return Result(
        cell, 'ok' if good else 'FAILED', round(time.monotonic() - began),
        versions(cell), counts, '' if good else str(log.relative_to(TREE)))


def versions(cell: Cell) -> tuple[str, ...]:
    """Return which Cinder and os-brick an environment has."""
    python = TREE / '.tox' / cell.environment / 'bin' / 'python'
    if not python.exists():
        return ()
    told = subprocess.run(
        [python, '-c', 'from importlib.metadata import version\n'
         'print(version("cinder"), version("os-brick"))'],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return tuple(told.stdout.split())


def line(result: Result) -> str:
    """One row of the table."""
    counts = (result.suites.get(suite, '').replace(' passed', '')
              .replace(' failed', '').replace(' skipped', '')
              .replace(', ', '/') or '-' for suite in SUITES)
    cinder, brick = result.versions or (str(result.cell.release.cinder), '-')
    words = (cinder, result.cell.release.series, brick, result.cell.python,
             result.status, *counts, f'{result.seconds} s')
    widths = (7, 7, 9, 7, 8, 10, 11, 8, 6)
    return '  '.join(f'{word:{width}}' for word, width in
                     zip(words, widths)) + result.note


HEAD = ('Cinder   Series   os-brick   Python   Result    Unit        '
        'Compliance   Release\n'
        '(tests: passed/failed/skipped)')


def main() -> int:
    parser = argparse.ArgumentParser(
        description='Test the driver with each Cinder and each Python.')
    parser.add_argument('--json', type=pathlib.Path, metavar='FILE',
                        help='write the results there, too')
    parser.add_argument('cells', nargs='*', metavar='RELEASE[/PYTHON]')
    given = parser.parse_args()
    if importlib.util.find_spec('tox') is None:
        sys.exit(f'matrix.py: {sys.executable} has no tox.')
    LOGS.mkdir(parents=True, exist_ok=True)
    results = []
    print(HEAD, flush=True)
    for cell in chosen(given.cells):
        results.append(run(cell))
        print(line(results[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps([
            {'cinder': result.cell.release.cinder,
             'series': result.cell.release.series,
             'python': result.cell.python, 'status': result.status,
             'seconds': result.seconds, 'versions': result.versions,
             'suites': result.suites, 'note': result.note}
            for result in results], indent=2) + '\n')
    failed = sum(result.status == 'FAILED' for result in results)
    skipped = sum(result.status == 'skipped' for result in results)
    print(f'{len(results) - failed - skipped} ok, {failed} failed, '
          f'{skipped} skipped')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
