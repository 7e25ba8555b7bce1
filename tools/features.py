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
"""Whether each capability in the table of features has a functional test.

The last column of the table in doc/source/reference/features.rst has, as
literals, the name of a suite and then of tests, or of their classes, in it.

    features.py check    exit with 1 if a row has none or one that is not
                         there
"""

import ast
import pathlib
import re
import sys
from typing import Iterator

TREE = pathlib.Path(__file__).resolve().parent.parent
PAGE = TREE / 'doc' / 'source' / 'reference' / 'features.rst'
TESTS = TREE / 'cinder' / 'tests' / 'functional' / 'lightos'

ROW = '\n   * - '
COLUMN = '\n     -'
LITERAL = re.compile(r'``(.+?)``', re.DOTALL)


def tests_of(suite: str) -> set[str]:
    """The names of a suite's tests and of their classes."""
    path = TESTS / f'test_{suite}.py'
    if not path.exists():
        return set()
    return {node.name for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, (ast.ClassDef, ast.FunctionDef))}


def complaints(row: str) -> Iterator[str]:
    """What is wrong with a row of the table."""
    capability, *_others, shown = row.split(COLUMN)
    suite, named = '', 0
    for name in LITERAL.findall(shown):
        if not name.startswith('test_') and not name.endswith('Test'):
            suite = name
        elif name in tests_of(suite):
            named += 1
        else:
            yield f'{capability}: suite {suite or "?"} has no {name}.'
    if not named:
        yield f'{capability}: no test is named.'


def main() -> int:
    if sys.argv[1:] != ['check']:
        print(__doc__, file=sys.stderr)
        return 2
    _heading, *rows = PAGE.read_text().split('In full\n')[1].split(ROW)[1:]
    found = [text for row in rows for text in complaints(row)]
    print('\n'.join(found) or f'{len(rows)} capabilities have tests.')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
