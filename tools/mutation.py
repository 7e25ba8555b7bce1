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

A ROOM is a module of the driver; without one all that --help lists are done.
cosmic-ray makes the changed code. Each change is tried in a process of its
own, forked from one that has imported Cinder already, and never written to a
file: the files are linked into the environment.

Changes that no test notices are listed in mutation_survivors.txt, each with
the reason why it may stay. It fails if one is not listed, and if a listed one
is noticed or cannot be made any more.
"""

import argparse
import difflib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import os
import pathlib
import signal
import sys
import time
from typing import Any, Iterator, NamedTuple
import unittest
import warnings

# The tree's own directory cinder must not hide the installed one.
os.environ.setdefault('OS_CINDER_DISABLE_EVENTLET_PATCHING', 'true')
warnings.simplefilter('ignore')

from cosmic_ray import ast  # noqa: E402
from cosmic_ray.ast import ast_query  # noqa: E402
from cosmic_ray import mutating  # noqa: E402
from cosmic_ray import plugins  # noqa: E402

TREE = pathlib.Path(__file__).resolve().parent.parent
SOURCES = TREE / 'cinder' / 'volume' / 'drivers' / 'lightos'
SURVIVORS = TREE / 'tools' / 'mutation_survivors.txt'
PACKAGE = 'cinder.volume.drivers.lightos'
TESTS = 'cinder.tests.unit.volume.drivers.lightos'

# The tests of each room, those that notice most first.
ROOMS = {
    'access': 'access attachments',
    'answers': 'connection',
    'attachments': 'attachments concurrency access',
    'changes': 'attachments volumes migration rollback driver labels qos '
               'retype',
    'cluster': 'cluster stats driver attachments',
    'commands': 'commands connection volumes snapshots rollback migration',
    'connection': 'connection endpoints credentials cluster',
    'copies': 'sector_size snapshots volumes images',
    'credentials': 'credentials connection',
    'driver': 'driver volumes snapshots attachments migration rollback stats '
              'concurrency',
    'endpoints': 'endpoints connection cluster',
    'exception': 'operation driver attachments volumes',
    'identity': 'identity snapshots volumes migration driver',
    'images': 'images',
    'labelling': 'labels migration rollback retype manage',
    'labels': 'labels identity volumes migration',
    'listing': 'listing commands',
    'lookup': 'identity volumes attachments migration snapshots labels',
    'manage': 'manage',
    'manageable': 'manageable manage',
    'migration': 'migration',
    'operation': 'operation volumes snapshots attachments',
    'owners': 'manage manageable',
    'qos': 'qos retype manage',
    'replies': 'replies volumes snapshots cluster stats',
    'retype': 'retype qos rollback',
    'rollback': 'rollback',
    'snapshots': 'snapshots volumes identity',
    'specs': 'specs volumes driver qos retype',
    'stats': 'stats cluster driver scheduling',
    'transport': 'connection credentials',
    'volumes': 'volumes identity snapshots labels',
    'waiting': 'waiting operation volumes',
}

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

NOTICED, SURVIVED = 0, 1
# A test that has not ended after so many times what all of them take for the
# unchanged code has noticed that something is wrong. On a busy machine it may
# just be slow: these changes are counted apart.
PATIENCE = 3


class Mutant(NamedTuple):
    """One change of a room.

    :param name: the room and definition that it is in, and the lines
    """

    name: str
    source: str


def mutants(room: str) -> Iterator[Mutant]:
    """Make every change of a room."""
    source = (SOURCES / f'{room}.py').read_text()
    tree = ast.get_ast(source)
    for name in OPERATORS:
        operator = plugins.get_operator(f'core/{name}')()
        places = (node for node in ast.ast_nodes(tree)
                  for _position in operator.mutation_positions(node))
        for occurrence, node in enumerate(places):
            changed = mutating.mutate_code(source, operator, occurrence)
            where = ast_query.ASTQuery(node).get_definition_name()
            yield Mutant('%s.%s: %s' % (room, where or 'module',
                                        difference(source, changed)), changed)


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
    # What these import from elsewhere stays imported.
    for path in (TREE / TESTS.replace('.', '/')).glob('test_*.py'):
        importlib.import_module(f'{TESTS}.{path.stem}')


def try_out(room: str, source: str) -> int:
    """Run the tests of a room on other source code of it.

    :returns: SURVIVED if all of them pass
    """
    for name in [name for name in sys.modules
                 if name.startswith((PACKAGE, TESTS))]:
        del sys.modules[name]
    for name in PACKAGE, TESTS:
        parent, _dot, child = name.rpartition('.')
        delattr(sys.modules[parent], child)
    sys.meta_path.insert(0, Finder(room, source))
    loader = unittest.TestLoader()
    for name in ROOMS[room].split():
        suite = loader.loadTestsFromName(f'{TESTS}.test_{name}')
        result = unittest.TextTestRunner(
            io.StringIO(), failfast=True, verbosity=0).run(suite)
        if not result.wasSuccessful():
            return NOTICED
    return SURVIVED


def fork(room: str, source: str) -> int:
    """Begin to try a change out and return the process."""
    child = os.fork()
    if child:
        return child
    status = NOTICED
    try:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        status = try_out(room, source)
    finally:
        os._exit(status)


def ended(children: dict[int, tuple[Mutant, float]]) -> Iterator[
        tuple[Mutant, int]]:
    """Yield the changes whose tests are done, and how they ended."""
    for child, (mutant, until) in list(children.items()):
        gone, status = os.waitpid(child, os.WNOHANG)
        if not gone and time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            gone, status = os.waitpid(child, 0)
        if gone:
            del children[child]
            yield mutant, status


def survivors(room: str, processes: int) -> tuple[int, int, list[str]]:
    """Try out every change of a room.

    :returns: how many there are, how many of them ran out of time, and which
        of them no test noticed
    """
    original = Mutant(room, (SOURCES / f'{room}.py').read_text())
    began = time.monotonic()
    child = fork(room, original.source)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != SURVIVED:
        sys.exit(f'{room}: its tests fail without any change.')
    seconds = (time.monotonic() - began) * PATIENCE + 10
    waiting = list(mutants(room))
    count, late, found = len(waiting), 0, []
    children: dict[int, tuple[Mutant, float]] = {}
    while waiting or children:
        while waiting and len(children) < processes:
            mutant = waiting.pop()
            children[fork(room, mutant.source)] = (
                mutant, time.monotonic() + seconds)
        for mutant, status in ended(children):
            if os.waitstatus_to_exitcode(status) == SURVIVED:
                found.append(mutant.name)
            late += os.WIFSIGNALED(status)
        time.sleep(0.02)
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
                        choices=[*ROOMS, []], help=' '.join(ROOMS))
    given = parser.parse_args()
    os.nice(19)
    prepare()
    explained = read_explained()
    total = surviving = complaining = 0
    for room in given.rooms or ROOMS:
        count, late, found = survivors(room, given.processes)
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
