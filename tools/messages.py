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
"""Whether the operator's runbook explains every message of the driver.

The page doc/source/admin/runbook.rst has an entry for each text that the
driver puts into an error or logs as a warning or an error, in the words of the
code, and for each exception that it raises. An entry is an item of a bullet
list whose first paragraph is literals and nothing else.

    messages.py list     print what the code has, with where it is
    messages.py check    exit with 1 unless the page has exactly that
"""

import ast
import collections
import pathlib
import re
import sys
from typing import Iterator

TREE = pathlib.Path(__file__).resolve().parent.parent
PAGE = TREE / 'doc' / 'source' / 'admin' / 'runbook.rst'
DRIVER = TREE / 'cinder' / 'volume' / 'drivers' / 'lightos'

# What is called with a text that an operator sees.
TELLING = {'_', 'warning', 'error', 'exception', 'failed', '_complain',
           '_note_refusal', 'HTTPException', 'LightOSBadReply',
           'LightOSError', 'LightOSNoAnswer', 'RequestException'}
# What becomes part of such a text.
PARTS = {'reason', 'trouble'}
# These take the words for what Cinder asked for, and for types' properties.
NAMING = {'_operation', '_set_property'}
# It is caught in the driver; its text is in the error of another.
INTERNAL = 'LightOSBadReply'

ENTRY = re.compile(r'^- (``(?:[^\n]+\n)+)$', re.MULTILINE)
LITERAL = re.compile(r'``(.+?)``', re.DOTALL)
PLACE = re.compile(r'%(\(\w+\))?[.\d]*[a-z]')
WORD = re.compile(r'[A-Za-z]{3}')


def name_of(called: ast.expr) -> str:
    """Return the last part of the name of what is called."""
    return (called.attr if isinstance(called, ast.Attribute) else
            called.id if isinstance(called, ast.Name) else '')


def texts(node: ast.AST | None) -> Iterator[str]:
    """Yield the texts that an expression may begin with."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if WORD.search(PLACE.sub('', node.value)):
            yield node.value
    elif isinstance(node, ast.BinOp):
        yield from texts(node.left)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from texts(value)


def parts(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and what is in it, but for words that only name."""
    if isinstance(node, ast.Call) and name_of(node.func) in NAMING:
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from parts(child)


def told_by(node: ast.AST) -> Iterator[str]:
    """Yield what one node, without those in it, tells an operator."""
    if isinstance(node, ast.Call):
        called = node.func
        if name_of(called) in TELLING and node.args:
            yield from texts(node.args[0])
        for keyword in node.keywords:
            if keyword.arg in PARTS:
                yield from texts(keyword.value)
        if (isinstance(called, ast.Attribute) and
                name_of(called.value).endswith('exception') and
                called.attr[0].isupper() and called.attr != INTERNAL):
            yield called.attr
    elif isinstance(node, ast.Assign):
        if {name_of(target) for target in node.targets} & PARTS:
            yield from texts(node.value)
    elif isinstance(node, ast.FunctionDef) and node.name in PARTS:
        for each in ast.walk(node):
            if isinstance(each, ast.Return):
                yield from texts(each.value)


def told() -> dict[str, str]:
    """Return what the driver tells, and a place in the code for each."""
    found: dict[str, str] = {}
    for path in sorted(DRIVER.glob('*.py')):
        # lightos-audit reports by itself and has a page of its own.
        if path.name.startswith('audit'):
            continue
        for node in parts(ast.parse(path.read_text())):
            for text in told_by(node):
                line = getattr(node, 'lineno', 0)
                found.setdefault(' '.join(text.split()),
                                 f'{path.name}:{line}')
    return found


def explained(page: str) -> list[str]:
    """Return what the page has entries for."""
    return [' '.join(literal.split())
            for entry in ENTRY.findall(page)
            if not LITERAL.sub('', entry).strip(' ,\n')
            for literal in LITERAL.findall(entry)]


def main() -> int:
    if sys.argv[1:] not in (['list'], ['check']):
        print(__doc__, file=sys.stderr)
        return 2
    code = told()
    if sys.argv[1] == 'list':
        print('\n'.join(f'{place}: {text}' for text, place in code.items()))
        return 0
    page = collections.Counter(explained(PAGE.read_text()))
    name = PAGE.relative_to(TREE)
    complaints = [f'{name} does not explain what {code[text]} says: {text}'
                  for text in code if text not in page]
    complaints += [f'{name} explains what the driver does not say: {text}'
                   for text in page if text not in code]
    complaints += [f'{name} explains {number} times: {text}'
                   for text, number in page.items() if number > 1]
    print('\n'.join(complaints) or f'{len(code)} messages are explained.')
    return 1 if complaints else 0


if __name__ == '__main__':
    sys.exit(main())
