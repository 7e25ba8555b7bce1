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
"""Which test keeps which promise of the driver.

A test that keeps a promise begins its name with the promise's number:
test_e4_... The page doc/source/contributor/promises.rst states the promises;
this writes below each the tests that keep it.

    promises.py write    bring the page up to date
    promises.py check    exit with 1 unless it is, or if a promise has no test
"""

import ast
import pathlib
import re
import sys
from typing import Iterator

TREE = pathlib.Path(__file__).resolve().parent.parent
PAGE = TREE / 'doc' / 'source' / 'contributor' / 'promises.rst'
TESTS = ('cinder/tests/unit/volume/drivers/lightos',
         'cinder/tests/functional/lightos')

PROMISE = re.compile(r'[A-Z]\d+')
TEST = re.compile(r'test_([a-z]\d+)_\w+')
FIELD = '  Tests::'
ENTRY = '    test_'


def tests() -> Iterator[tuple[str, str]]:
    """Yield the promise and the name of each test that keeps one."""
    for directory in TESTS:
        for path in sorted((TREE / directory).glob('test_*.py')):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.FunctionDef):
                    continue
                match = TEST.fullmatch(node.name)
                if match:
                    yield match[1].upper(), f'{path.stem}.{node.name}'


def rewritten(page: str, kept: dict[str, list[str]]) -> str:
    """Return the page with the tests as they are."""
    text = [line for line in page.splitlines()
            if line != FIELD and not line.startswith(ENTRY)]
    lines: list[str] = []
    promise = ''
    for line in text:
        if PROMISE.fullmatch(line):
            promise = line
        if line:
            lines.append(line)
        elif promise:
            lines += ['', FIELD, '']
            lines += [f'    {name}' for name in kept.get(promise, [])] + ['']
            promise = ''
        elif lines[-1]:
            lines.append('')
    return '\n'.join(lines).rstrip() + '\n'


def main() -> int:
    if sys.argv[1:] not in (['write'], ['check']):
        print(__doc__, file=sys.stderr)
        return 2
    kept: dict[str, list[str]] = {}
    for promise, name in tests():
        kept.setdefault(promise, []).append(name)
    page = PAGE.read_text()
    stated = {line for line in page.splitlines() if PROMISE.fullmatch(line)}
    complaints = [f'Promise {promise} has no test.'
                  for promise in sorted(stated - kept.keys())]
    complaints += [f'{kept[promise][0]} keeps {promise}, which is not stated.'
                   for promise in sorted(kept.keys() - stated)]
    current = rewritten(page, kept)
    if sys.argv[1] == 'write':
        PAGE.write_text(current)
    elif current != page:
        complaints.append(f'{PAGE.relative_to(TREE)} is out of date: run '
                          'tools/promises.py write')
    print('\n'.join(complaints) or f'{len(stated)} promises have '
          f'{sum(map(len, kept.values()))} tests.')
    return 1 if complaints else 0


if __name__ == '__main__':
    sys.exit(main())
