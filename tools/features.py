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
The section after it explains the operations of LightOS's API that the driver
does not use.

    features.py check    exit with 1 if a row has none or one that is not
                         there, and unless exactly these operations are
                         explained
"""

import ast
import json
import pathlib
import re
import sys
from typing import Iterator

TREE = pathlib.Path(__file__).resolve().parent.parent
PAGE = TREE / 'doc' / 'source' / 'reference' / 'features.rst'
TESTS = TREE / 'cinder' / 'tests' / 'functional' / 'lightos'
COMMANDS = (TREE / 'cinder' / 'volume' / 'drivers' / 'lightos' /
            'commands.py')
CONTRACT = TREE / 'lightos_simulator' / 'contract.json'

ROW = '\n   * - '
COLUMN = '\n     -'
LITERAL = re.compile(r'``(.+?)``', re.DOTALL)
# A term of the section's list that is operations alone, no fields of them.
OPERATIONS = re.compile(r'^``\w+``(?:, ``\w+``)*$', re.MULTILINE)


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


def text_of(node: ast.expr, names: dict[str, str]) -> str:
    """The text that an expression of texts and names of texts makes."""
    if isinstance(node, ast.BinOp):
        return text_of(node.left, names) + text_of(node.right, names)
    if isinstance(node, ast.Name):
        return names.get(node.id, '')
    return str(node.value) if isinstance(node, ast.Constant) else ''


def used() -> set[tuple[str, str]]:
    """Method and path of each command of the driver."""
    names: dict[str, str] = {}
    found = set()
    tree = ast.parse(COMMANDS.read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0],
                                                       ast.Name):
            names[node.targets[0].id] = text_of(node.value, names)
    for call in ast.walk(tree):
        if (isinstance(call, ast.Call) and len(call.args) == 2 and
                isinstance(call.func, ast.Name) and
                call.func.id == 'Command'):
            method, path = (text_of(each, names) for each in call.args)
            found.add((method, names['_PREFIX'] + place(path)))
    return found


def place(path: str) -> str:
    """A path without the names of what is filled in."""
    return re.sub(r'\{\w+\}', '{}', path)


def unexplained(section: str) -> Iterator[str]:
    """Where the section and the API differ."""
    explained = {name for term in OPERATIONS.findall(section)
                 for name in LITERAL.findall(term)}
    sent = used()
    unused = {
        name for name, operation in json.loads(
            CONTRACT.read_text())['operations'].items()
        if not any((each['method'], place(each['path'])) in sent
                   for each in operation['http'])}
    for name in sorted(unused - explained):
        yield f'{name} is not used, and the page does not say why.'
    for name in sorted(explained - unused):
        yield f'{name} is used, or not of the API.'


def main() -> int:
    if sys.argv[1:] != ['check']:
        print(__doc__, file=sys.stderr)
        return 2
    table, section = PAGE.read_text().split('In full\n')[1].split(
        'What the driver does not use of the API\n')
    _heading, *rows = table.split(ROW)[1:]
    found = [text for row in rows for text in complaints(row)]
    found += unexplained(section)
    print('\n'.join(found) or f'{len(rows)} capabilities have tests.')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
