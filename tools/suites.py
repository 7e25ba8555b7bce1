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
"""Run suites of tests with stestr and say how many passed.

    suites.py [SUITE ...] [ARGUMENT OF stestr run ...]

Without a suite: those of ``tox -e py3``, or the unit tests alone if there are
arguments for stestr. Each suite ends with a line "<suite>: N passed, N failed,
N skipped". The environment has to be one that overlay.py has linked. Besides
those below, each test_NAME.py of the functional tests is a suite NAME.

The suite "shipped" is the tests that Cinder's release has for its own LightOS
driver. Those that this driver does not keep are listed with their reasons in
shipped_tests.txt. They are run all the same and counted as skipped; the suite
fails if one of them passes, if a listed test does not exist, and if a test
that is not listed fails.
"""

import ctypes
import importlib.util
import io
import itertools
import pathlib
import shutil
import signal
import subprocess
import sys
from typing import Any, NamedTuple, Optional

import psutil
import subunit
import testtools

TREE = pathlib.Path(__file__).resolve().parent.parent
# By the environment: two of them may be at work at the same time.
RESULTS = TREE / '.stestr' / pathlib.Path(sys.prefix).name
# Seconds from SIGTERM to SIGKILL.
GRACE = 10
# linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
SHIPPED_EXCEPTIONS = TREE / 'tools' / 'shipped_tests.txt'


class Suite(NamedTuple):
    """Where the tests of a suite are.

    :param path: directory in which stestr looks for them
    :param exclude: regular expression of those that are not of the suite
    :param of_cinder: whether path is in the installed Cinder, not in the tree
    :param workers: how many processes run its tests, by default one for
        each core
    """
    path: str
    exclude: str = '^$'
    of_cinder: bool = True
    workers: Optional[int] = None


def all_but(module: str) -> str:
    """Return the regular expression of all tests not in this module."""
    return rf'^(?!.*\.{module}\.)'


UNIT = 'cinder/tests/unit/volume/drivers/lightos'
FUNCTIONAL = 'cinder/tests/functional/lightos'

SUITES = {
    'unit': Suite(UNIT, r'\.test_lightos_storage\.'),
    'shipped': Suite(UNIT, all_but('test_lightos_storage')),
    # These look for drivers below the current directory: here, for ours.
    'compliance': Suite('cinder/tests/compliance',
                        all_but('test_volume_drivers')),
    'simulator': Suite('lightos_simulator/tests', of_cinder=False),
    # Most of them share something that costs minutes; those that mostly wait
    # need no core each.
    **{path.stem[len('test_'):]: Suite(
        FUNCTIONAL, all_but(path.stem),
        workers=2 if path.stem == 'test_faults' else 1)
       for path in (TREE / FUNCTIONAL).glob('test_*.py')},
}
PY3_SUITES = ['unit', 'simulator', 'shipped', 'compliance']


class Outcome(NamedTuple):
    """What became of one test.

    :param name: the full one
    :param text: all that it printed
    :param error: what its traceback ends with
    """
    name: str
    status: str
    text: str
    error: str = ''

    @property
    def short_name(self) -> str:
        """The class and the name of the test."""
        return '.'.join(self.name.split('.')[-2:])


def site_packages() -> pathlib.Path:
    """Return the directory that holds the installed Cinder."""
    spec = importlib.util.find_spec('cinder')
    if spec is None or spec.origin is None:
        sys.exit(f'{sys.executable} has no Cinder installed.')
    return pathlib.Path(spec.origin).parent.parent


def stestr(suite: str, *arguments: str,
           captured: bool) -> subprocess.CompletedProcess[bytes]:
    """Run a command of stestr on the results that are kept of the suite."""
    top = site_packages() if SUITES[suite].of_cinder else TREE
    return subprocess.run(
        [sys.executable, '-m', 'stestr', '--repo-url', str(RESULTS / suite),
         '--test-path', str(top / SUITES[suite].path), '--top-dir', str(top),
         *arguments],
        cwd=TREE, stdout=subprocess.PIPE if captured else None)


def recorded_outcomes(suite: str) -> list[Outcome]:
    """Return what the run of the suite recorded, an entry for each test."""
    outcomes = []

    def add(test: Any) -> None:
        details = {name: detail.as_text()
                   for name, detail in test['details'].items()}
        traceback = details.get('traceback', '').splitlines()
        error = list(itertools.takewhile(
            lambda line: not line.startswith('  '), reversed(traceback)))
        outcomes.append(Outcome(
            test['id'], test['status'], '\n'.join(details.values()),
            ' '.join(' '.join(reversed(error)).split())[:500]))

    recorded = stestr(suite, 'last', '--subunit', captured=True).stdout
    stream = testtools.StreamToDict(add)
    stream.startTestRun()
    # Where nothing was run there is a message instead of results.
    subunit.ByteStreamToStreamResult(
        io.BytesIO(recorded), non_subunit_name='message').run(stream)
    stream.stopTestRun()
    return outcomes


def read_exceptions() -> dict[str, str]:
    """Return the reason for each shipped test that is excepted.

    In the file, a line that begins in the first column is ``Class.test`` and
    the indented lines below it are the reason.
    """
    exceptions: dict[str, str] = {}
    name = ''
    for line in SHIPPED_EXCEPTIONS.read_text().splitlines():
        if not line or line.startswith('#'):
            continue
        if not line[0].isspace():
            name = line
            exceptions[name] = ''
        else:
            exceptions[name] += f'{line.strip()} '
    for name, reason in exceptions.items():
        if not reason:
            sys.exit(f'{SHIPPED_EXCEPTIONS}: no reason is given for {name}.')
    return exceptions


def except_listed(outcomes: list[Outcome]) -> list[Outcome]:
    """Return the outcomes as the list of exceptions would have them."""
    exceptions = read_exceptions()
    judged = []
    for outcome in outcomes:
        reason = exceptions.pop(outcome.short_name, None)
        if reason is not None:
            outcome = (
                outcome._replace(status='fail', text='It passes: take it off '
                                 f'{SHIPPED_EXCEPTIONS.name}.')
                if outcome.status == 'success' else
                outcome._replace(status='skip', text=reason))
        judged.append(outcome)
    return judged + [
        Outcome(name, 'fail', 'There is no such test: take it off '
                f'{SHIPPED_EXCEPTIONS.name}.') for name in exceptions]


def run(suite: str, arguments: list[str]) -> bool:
    """Run a suite, print its line and return whether nothing failed."""
    shutil.rmtree(RESULTS / suite, ignore_errors=True)
    (RESULTS / suite).mkdir(parents=True)
    # Of the shipped tests some fail by design: stestr's own report of them
    # would only hide those that should not.
    shipped = suite == 'shipped'
    if SUITES[suite].workers:
        arguments = ['--concurrency', str(SUITES[suite].workers), *arguments]
    ended = stestr(suite, 'run', '--exclude-regex', SUITES[suite].exclude,
                   *arguments, captured=shipped)
    outcomes = recorded_outcomes(suite)
    complete = ended.returncode == 0
    if shipped and outcomes:
        outcomes = except_listed(outcomes)
        complete = True
        for outcome in outcomes:
            if outcome.status != 'success':
                print(f'{outcome.status} {outcome.short_name}: {outcome.text}')
    elif shipped:
        print(ended.stdout.decode(errors='replace'))
    passed = sum(o.status in ('success', 'xfail') for o in outcomes)
    skipped = sum(o.status == 'skip' for o in outcomes)
    failed = len(outcomes) - passed - skipped
    if not complete and not failed and (passed or not skipped):
        # Nothing was run, a module could not be imported for instance. When
        # all are skipped stestr fails, too, but that is no failure.
        failed = 1
    for outcome in outcomes:
        if outcome.status == 'skip' and not passed:
            print(f'{suite}: not run: {outcome.text.strip()}')
        elif outcome.status not in ('success', 'xfail', 'skip'):
            print(f'{suite}: failed: {outcome.short_name}: {outcome.error}')
    print(f'{suite}: {passed} passed, {failed} failed, {skipped} skipped',
          flush=True)
    return not failed


def adopt_orphans() -> None:
    """Have what a killed test has started become a child of this process."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_children() -> None:
    """End what the tests have left running, as they do when they are killed.

    Ending some may have others become children.
    """
    for _round in range(3):
        children = psutil.Process().children(recursive=True)
        for child in children:
            child.terminate()
        _gone, alive = psutil.wait_procs(children, GRACE)
        for child in alive:
            child.kill()
        psutil.wait_procs(alive, GRACE)


def main() -> int:
    adopt_orphans()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run_suites(sys.argv[1:])
    except KeyboardInterrupt:
        return 130
    finally:
        end_children()


def run_suites(arguments: list[str]) -> int:
    suites = list(itertools.takewhile(SUITES.__contains__, arguments))
    arguments = arguments[len(suites):]
    if not suites:
        suites = ['unit'] if arguments else PY3_SUITES
    return 0 if all([run(suite, arguments) for suite in suites]) else 1


if __name__ == '__main__':
    sys.exit(main())
