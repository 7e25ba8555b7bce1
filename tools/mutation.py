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
"""Which small changes of the driver's code do its unit tests not notice?

    mutation.py [--processes P] [ROOM ...]

A ROOM is a module of the driver; without one all of them are done. cosmic-ray
makes the changed code. Each change is tried in a process of its own, forked
from one that has imported Cinder already, and never written to a file: the
files are linked into the environment.

A change is tried on the tests that run the changed statement, until one fails:
those of the room itself come first, then those that run what few others run,
and after 1000 it counts as not noticed. One outside of functions is tried on
all tests. Which tests run a statement is measured before, and kept in the
environment until the driver or the tests are changed.

Changes that no test notices are listed in mutation_survivors.txt, each with
the reason why it may stay. It fails if one is not listed, and if a listed one
is noticed or cannot be made any more.
"""

import argparse
import collections
import difflib
import functools
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import resource
import signal
import sys
import time
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Optional
import unittest
import warnings

# The tree's own directory cinder must not hide the installed one.
os.environ.setdefault('OS_CINDER_DISABLE_EVENTLET_PATCHING', 'true')
# The tests get a limit of their own here.
os.environ.pop('OS_TEST_TIMEOUT', None)
warnings.simplefilter('ignore')

from cosmic_ray import ast  # noqa: E402
from cosmic_ray.ast import ast_query  # noqa: E402
from cosmic_ray import mutating  # noqa: E402
from cosmic_ray import plugins  # noqa: E402
import coverage  # noqa: E402

TREE = pathlib.Path(__file__).resolve().parent.parent
SOURCES = TREE / 'cinder' / 'volume' / 'drivers' / 'lightos'
SURVIVORS = TREE / 'tools' / 'mutation_survivors.txt'
PACKAGE = 'cinder.volume.drivers.lightos'
TESTS = 'cinder.tests.unit.volume.drivers.lightos'
TEST_SOURCES = TREE / TESTS.replace('.', '/')
MEASURED = pathlib.Path(sys.prefix) / 'mutation'

ROOMS = sorted(path.stem for path in SOURCES.glob('*.py')
               if path.stem != '__init__')

# Of the many replacements of one operator, those that a test can be asked to
# notice: "==" for "is", say, is the same on what the driver compares. That of
# exceptions does not know dotted names.
OPERATORS = (
    'AddNot', 'ReplaceTrueWithFalse', 'ReplaceFalseWithTrue',
    'ReplaceAndWithOr', 'ReplaceOrWithAnd', 'ReplaceBreakWithContinue',
    'ReplaceContinueWithBreak', 'NumberReplacer',
    'RemoveDecorator', 'ZeroIterationForLoop',
    'ReplaceUnaryOperator_Delete_Not', 'ReplaceUnaryOperator_USub_UAdd',
    *(f'ReplaceComparisonOperator_{pair}' for pair in (
        'Eq_NotEq', 'NotEq_Eq', 'Lt_LtE', 'LtE_Lt', 'Gt_GtE', 'GtE_Gt',
        'Lt_Gt', 'Gt_Lt', 'Is_IsNot', 'IsNot_Is')),
    *(f'ReplaceBinaryOperator_{pair}' for pair in (
        'Add_Sub', 'Sub_Add', 'Mul_Div', 'Div_Mul', 'FloorDiv_Mul',
        'Pow_Mul', 'BitAnd_BitOr')),
)

NOTICED, SURVIVED, BROKEN = 0, 1, 2
# A test that takes so many times what it takes for the unchanged code, and
# ten seconds more, has noticed that something is wrong. On a busy machine it
# may just be slow: these changes are counted apart.
PATIENCE, GRACE = 3, 10
# Nearly all tests run the innermost statements, and those that have not failed
# by then are not about them.
MOST_TESTS = 1000
# Bytes of memory with which a change that never ends is stopped.
MEMORY = 4 << 30


class Test(NamedTuple):
    """A unit test.

    :param seconds: that it takes
    :param lines: of each room, those that it runs
    """

    name: str
    seconds: float
    lines: dict[str, list[int]]

    @property
    def module(self) -> str:
        return self.name.rsplit('.', 2)[0]


class Mutant(NamedTuple):
    """One change of a room.

    :param name: the room and definition that it is in, and the lines; a
        number if that is not the first such change
    :param lines: the statement that is changed, None if it is run when the
        room is imported
    """

    name: str
    source: str
    lines: Optional[range]


def mutants(room: str) -> Iterator[Mutant]:
    """Make every change of a room."""
    source = (SOURCES / f'{room}.py').read_text()
    tree = ast.get_ast(source)
    made: collections.Counter[str] = collections.Counter()
    for name in OPERATORS:
        operator = plugins.get_operator(f'core/{name}')()
        places = ((node, position[0]) for node in ast.ast_nodes(tree)
                  for position in operator.mutation_positions(node))
        for occurrence, (node, start) in enumerate(places):
            changed = mutating.mutate_code(source, operator, occurrence)
            where = ast_query.ASTQuery(node).get_definition_name()
            what = '%s.%s: %s' % (room, where or 'module',
                                  difference(source, changed))
            made[what] += 1
            yield Mutant(
                what if made[what] == 1 else f'{what} ({made[what]})',
                changed, statement(tree.get_leaf_for_position(start)))


def statement(leaf: Any) -> Optional[range]:
    """The lines of the statement that something is in.

    Of a compound statement: the part of its head.

    :returns: None if it is not in the body of a function
    """
    part, node = leaf, leaf.parent
    while node.parent.type not in ('suite', 'file_input'):
        part, node = node, node.parent
    whole = node if node.type == 'simple_stmt' else part
    while node.parent is not None:
        node, child = node.parent, node
        if node.type == 'funcdef' and child is node.children[-1]:
            return range(whole.start_pos[0], whole.end_pos[0] + 1)
    return None


def difference(before: str, after: str) -> str:
    """The lines that differ, as one line."""
    lines = [line for line in difflib.unified_diff(
        before.splitlines(), after.splitlines(), lineterm='', n=0)
        if line[0] in '+-' and line[:3] not in ('+++', '---')]
    return ' => '.join(' '.join(
        ' '.join(line[1:].split()) for line in lines if line[0] == sign)
        for sign in '-+')


class Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports a room with other source code."""

    def __init__(self, room: str, source: str) -> None:
        self._name = f'{PACKAGE}.{room}'
        self._source = source

    def find_spec(self, fullname: str, path: Any, target: Any = None
                  ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def get_source(self, fullname: str) -> str:
        return self._source


def prepare() -> None:
    """Do once what takes seconds and is the same for all changes."""
    case = importlib.import_module('cinder.tests.unit.test').TestCase('id')
    # It makes the database, which is kept.
    case.setUp()
    case.doCleanups()
    # What is imported again for each change is compiled only once.
    MEASURED.mkdir(exist_ok=True)
    sys.pycache_prefix = str(MEASURED)
    sys.dont_write_bytecode = False
    # What these import from elsewhere stays imported.
    for path in TEST_SOURCES.glob('test_*.py'):
        importlib.import_module(f'{TESTS}.{path.stem}')


def forget() -> None:
    """Have the driver and its tests imported again when they are needed."""
    # Changed options would not be registered beside those that are, and each
    # change of them be taken for noticed.
    options = importlib.import_module(f'{PACKAGE}.options')
    options.CONF.unregister_opts(options.lightos_opts,
                                 options.configuration.SHARED_CONF_GROUP)
    for name in [name for name in sys.modules
                 if name.startswith((PACKAGE, TESTS))]:
        del sys.modules[name]
    for name in PACKAGE, TESTS:
        parent, _dot, child = name.rpartition('.')
        delattr(sys.modules[parent], child)


def load(module: str) -> dict[str, unittest.TestCase]:
    """The tests of a module by their names."""
    found: dict[str, unittest.TestCase] = {}

    def collect(suite: Iterable[Any]) -> None:
        for each in suite:
            if isinstance(each, unittest.TestCase):
                found[each.id()] = each
            else:
                collect(each)

    collect(unittest.TestLoader().loadTestsFromModule(
        importlib.import_module(module)))
    return found


def passes(test: unittest.TestCase) -> bool:
    result = unittest.TestResult()
    try:
        unittest.TestSuite([test]).run(result)
    except SystemExit:
        # testtools hands it on.
        return False
    return result.wasSuccessful()


def fork(work: Callable[[], int]) -> int:
    """Begin to do something in a process of its own, and return that.

    :param work: what to do; it returns the status of the process
    """
    child = os.fork()
    if child:
        return child
    status = BROKEN
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        forget()
        status = work()
    finally:
        os._exit(status)


def run_all(works: Iterable[tuple[str, Callable[[], int]]],
            processes: int) -> Iterator[tuple[str, int]]:
    """Do everything, so many at a time.

    :param works: the name of each thing to do, and what to do
    :returns: the name of each thing when it is done, and the wait status
    """
    todo = iter(works)
    children: dict[int, str] = {}
    while True:
        while len(children) < processes and (work := next(todo, None)):
            children[fork(work[1])] = work[0]
        if not children:
            return
        child, status = os.wait()
        yield children.pop(child), status


def measure(module: str, to: pathlib.Path) -> int:
    """Find out what the tests of a module run, and how long they take."""
    measuring = coverage.Coverage(data_file=None, config_file=False,
                                  include=[str(SOURCES / '*')])
    measuring.start()
    seconds = {}
    for name, test in load(module).items():
        measuring.switch_context(name)
        began = time.monotonic()
        if not passes(test):
            return NOTICED
        seconds[name] = time.monotonic() - began
    measuring.stop()
    lines: dict[str, dict[str, list[int]]] = {name: {} for name in seconds}
    data = measuring.get_data()
    for path in data.measured_files():
        for line, names in data.contexts_by_lineno(path).items():
            for name in filter(None, names):
                lines[name].setdefault(pathlib.Path(path).stem, []).append(
                    line)
    to.write_text(json.dumps(
        [(name, seconds[name], lines[name]) for name in seconds]))
    return SURVIVED


def measured(processes: int) -> list[Test]:
    """All unit tests, with what they run."""
    common = hashlib.sha256()
    for path in (*sorted(SOURCES.glob('*.py')),
                 *sorted(TEST_SOURCES.glob('[!t]*.py'))):
        common.update(path.read_bytes())
    results = {}
    for path in sorted(TEST_SOURCES.glob('test_*.py')):
        digest = common.copy()
        digest.update(path.read_bytes())
        results[f'{TESTS}.{path.stem}'] = (
            MEASURED / f'{path.stem}-{digest.hexdigest()}.json')
    works = [(module, functools.partial(measure, module, to))
             for module, to in results.items() if not to.exists()]
    for module, status in run_all(works, processes):
        if os.waitstatus_to_exitcode(status) != SURVIVED:
            sys.exit(f'{module}: its tests fail without any change.')
    for path in set(MEASURED.glob('*.json')).difference(results.values()):
        path.unlink()
    return [Test(*test) for path in results.values()
            for test in json.loads(path.read_text())]


def likeliest_first(room: str, tests: list[Test]) -> list[Test]:
    """All tests in the order in which they shall try changes of a room.

    Those of the room itself come first, then those that run what few others
    run.
    """
    times_run = collections.Counter(
        line for test in tests for line in test.lines.get(room, ()))
    return sorted(tests, key=lambda test: (
        not test.module.endswith(f'.test_{room}'),
        -sum(1 / times_run[line] for line in test.lines.get(room, ())),
        test.seconds))


def concerned(room: str, mutant: Mutant, tests: list[Test]) -> list[Test]:
    """Those of some tests that shall try a change."""
    if mutant.lines is None:
        return tests
    return [test for test in tests if not set(mutant.lines).isdisjoint(
        test.lines.get(room, ()))][:MOST_TESTS]


def try_out(room: str, source: str, tests: list[Test]) -> int:
    """Run tests on other source code of a room.

    :returns: SURVIVED if all of them pass
    """
    sys.meta_path.insert(0, Finder(room, source))
    loaded: dict[str, dict[str, unittest.TestCase]] = {}
    signal.setitimer(signal.ITIMER_REAL, 6 * GRACE)
    for test in tests:
        if test.module not in loaded:
            try:
                loaded[test.module] = load(test.module)
            except (Exception, SystemExit):
                return NOTICED
        signal.setitimer(signal.ITIMER_REAL, test.seconds * PATIENCE + GRACE)
        if not passes(loaded[test.module][test.name]):
            return NOTICED
    return SURVIVED


def survivors(room: str, tests: list[Test],
              processes: int) -> tuple[int, int, list[str]]:
    """Try out every change of a room.

    :returns: how many there are, how many of them ran out of time, and which
        of them no test noticed
    """
    tests = likeliest_first(room, tests)
    unchanged = Mutant(room, (SOURCES / f'{room}.py').read_text(), None)
    for name, status in run_all([(room, functools.partial(
            try_out, room, unchanged.source,
            concerned(room, unchanged, tests)[:20]))], 1):
        if status != SURVIVED << 8:
            sys.exit(f'{name}: its tests fail without any change.')
    count, late, found = 0, 0, []
    for name, status in run_all(
            ((mutant.name, functools.partial(
                try_out, room, mutant.source,
                concerned(room, mutant, tests)))
             for mutant in mutants(room)), processes):
        count += 1
        late += (os.WIFSIGNALED(status) and
                 os.WTERMSIG(status) == signal.SIGALRM)
        if status == BROKEN << 8:
            sys.exit(f'{name}: it could not be tried out.')
        if status == SURVIVED << 8:
            found.append(name)
    return count, late, sorted(found)


def read_explained() -> dict[str, str]:
    """Return the reason for each survivor that is listed.

    In the file, a line that begins in the first column is the name of a
    change and the indented lines below it are the reason.
    """
    explained: dict[str, str] = {}
    name = ''
    for line in SURVIVORS.read_text().splitlines():
        if not line or line.startswith('#'):
            continue
        if not line[0].isspace():
            name = line
            explained[name] = ''
        else:
            explained[name] += f'{line.strip()} '
    for name, reason in explained.items():
        if not reason:
            sys.exit(f'{SURVIVORS}: no reason is given for {name}.')
    return explained


def main() -> int:
    parser = argparse.ArgumentParser(
        description='Try out small changes of the driver on its unit tests.')
    parser.add_argument('--processes', type=int, default=os.cpu_count() or 1,
                        metavar='P', help='how many at a time (default: as '
                                          'many as there are processors)')
    parser.add_argument('rooms', nargs='*', metavar='ROOM',
                        choices=[*ROOMS, []], help=', '.join(ROOMS))
    given = parser.parse_args()
    os.nice(19)
    prepare()
    tests = measured(given.processes)
    explained = read_explained()
    total = surviving = complaining = 0
    for room in given.rooms or ROOMS:
        count, late, found = survivors(room, tests, given.processes)
        listed = {name for name in explained if name.startswith(f'{room}.')}
        complaints = [f'No test notices {name}'
                      for name in found if name not in listed]
        complaints += [f'It is noticed, or cannot be made: {name}'
                       for name in sorted(listed - set(found))]
        total += count
        surviving += len(found)
        print(f'{room}: {count} changes, {count - len(found)} noticed '
              f'({late} by the time they took), '
              f'{len(listed & set(found))} explained, '
              f'{len(set(found) - listed)} not')
        print(*complaints, sep='\n', end='\n' * bool(complaints), flush=True)
        complaining += len(complaints)
    print(f'{total} changes, {total - surviving} noticed '
          f'({100 * (total - surviving) / total:.1f} %), '
          f'{complaining} complaints')
    return 1 if complaining else 0


if __name__ == '__main__':
    sys.exit(main())
