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
"""Prepare the change that brings this driver into Cinder's own tree.

    cinder_tree.py DIRECTORY

The source of the Cinder that is installed is fetched from PyPI into DIRECTORY
and becomes the first commit there. Then the module of the release is removed,
the files of this tree are copied to the places they have in Cinder's, and
Cinder's own tools bring up to date what is made from them. Cinder's checks for
drivers are run on the result. What is left is a tree with one commit more, to
be looked at with "git -C DIRECTORY show".

The exit status is 0 if every check passed. "tox -e cinder-tree" runs it.
"""

import argparse
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
from typing import Iterator, NamedTuple

TREE = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = pathlib.Path(sys.executable).parent

DRIVER = 'cinder/volume/drivers/lightos'
TESTS = 'cinder/tests/unit/volume/drivers/lightos'
PAGES = ('doc/source/configuration/block-storage/drivers/'
         'lightbits-lightos-driver.rst',
         'doc/source/configuration/block-storage/drivers/lightos-audit.rst')
FIGURES = ('doc/source/configuration/figures/lightbits-lightos.svg',)
NOTES = 'releasenotes/notes'
PROJECT = 'pyproject.toml'
SCRIPTS = '[project.scripts]\n'
AUDIT = 'lightos-audit = "cinder.volume.drivers.lightos.audit:main"\n'
MATRIX = 'doc/source/reference/support-matrix.ini'
OPTS = 'cinder/opts.py'
# Of the driver that goes: its module, and the tests of that module.
REPLACED = (DRIVER + '.py', TESTS + '/test_lightos_storage.py')

MESSAGE = 'LightOS: write the driver anew'


class Check(NamedTuple):
    """One of Cinder's checks, to be run in Cinder's tree.

    :param name: what it is called in the report
    :param command: the words of the command
    """
    name: str
    command: tuple[str, ...]


class TreeError(Exception):
    """The change cannot be prepared; the text says why."""


def run(tree: pathlib.Path, *command: str) -> str:
    """Run a command in Cinder's tree and return what it printed.

    :raises TreeError: if it fails, with what it printed
    """
    ended = subprocess.run(
        command, cwd=tree, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={
            **os.environ, 'PYTHONPATH': str(tree),
            'PYTHONDONTWRITEBYTECODE': '1',
            'PATH': f'{PROGRAMS}{os.pathsep}{os.environ["PATH"]}'})
    if ended.returncode:
        raise TreeError(f'{" ".join(command)}:\n{ended.stdout}')
    return ended.stdout


def fetch(directory: pathlib.Path) -> pathlib.Path:
    """Unpack the source of the installed Cinder; return where it is.

    :raises TreeError: if it cannot be had, or is there already
    """
    if directory.exists() and any(directory.iterdir()):
        raise TreeError(f'{directory} is not empty.')
    directory.mkdir(parents=True, exist_ok=True)
    version = importlib.metadata.version('cinder')
    run(directory, sys.executable, '-m', 'pip', 'download', '--no-deps',
        '--no-binary', 'cinder', f'cinder=={version}')
    [archive] = directory.glob('cinder-*.tar.gz')
    with tarfile.open(archive) as source:
        source.extractall(directory, filter='data')
    archive.unlink()
    [tree] = directory.iterdir()
    for command in (('init', '--quiet'), ('add', '--all', '--force'),
                    ('commit', '--quiet', '--message', f'Cinder {version}')):
        git(tree, *command)
    return tree


def git(tree: pathlib.Path, *words: str) -> str:
    """Run git in Cinder's tree, as nobody in particular."""
    return run(tree, 'git', '-c', 'user.name=LightOS',
               '-c', 'user.email=lightos@localhost', *words)


def copied() -> Iterator[pathlib.Path]:
    """Yield the files that go into Cinder's tree, as paths in both."""
    for directory, pattern in ((DRIVER, '**/*.py'), (TESTS, '**/*.py'),
                               (NOTES, '*.yaml')):
        for path in (TREE / directory).glob(pattern):
            # Cinder itself is packaged in other ways.
            if not path.name.startswith('packaging-'):
                yield path.relative_to(TREE)
    yield from map(pathlib.Path, PAGES + FIGURES)


def change(tree: pathlib.Path) -> None:
    """Make the change in Cinder's tree."""
    for name in REPLACED:
        (tree / name).unlink(missing_ok=True)
    for path in copied():
        (tree / path.parent).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TREE / path, tree / path)
    set_support(tree / MATRIX, TREE / MATRIX)
    project = (tree / PROJECT).read_text()
    if SCRIPTS not in project:
        raise TreeError(f'{tree / PROJECT} has no {SCRIPTS}')
    (tree / PROJECT).write_text(project.replace(SCRIPTS, SCRIPTS + AUDIT))
    run(tree, sys.executable, 'tools/config/generate_cinder_opts.py')
    git(tree, 'add', '--all', '--force')
    git(tree, 'commit', '--quiet', '--message', MESSAGE)


def set_support(matrix: pathlib.Path, rows: pathlib.Path) -> None:
    """Write the rows of this driver into Cinder's support matrix.

    :raises TreeError: if Cinder's matrix has no such row
    """
    lines = matrix.read_text().splitlines()
    for section, row in _rows(rows):
        key = row.partition('=')[0]
        for number in _of_section(lines, section):
            if lines[number].startswith(key + '='):
                lines[number] = row
                break
        else:
            raise TreeError(f'{matrix} has no {key} in [{section}].')
    matrix.write_text('\n'.join(lines) + '\n')


def _rows(rows: pathlib.Path) -> Iterator[tuple[str, str]]:
    section = ''
    for line in rows.read_text().splitlines():
        if header := re.fullmatch(r'\[(.+)\]', line):
            section = header[1]
        elif '=' in line and not line.startswith('#'):
            yield section, line


def _of_section(lines: list[str], section: str) -> Iterator[int]:
    """Yield the numbers of the lines in a section."""
    inside = False
    for number, line in enumerate(lines):
        if line.startswith('['):
            inside = line == f'[{section}]'
        elif inside:
            yield number


def checks(tree: pathlib.Path) -> list[Check]:
    """Return Cinder's checks that concern a driver."""
    python = [path for path in map(str, copied()) if path.endswith('.py')]
    module = (sys.executable, '-m')
    return [
        Check('hacking', (*module, 'flake8', *python)),
        # The rules that ruff had by itself when Cinder took it up.
        Check('ruff', (*module, 'ruff', 'check', '--select', 'E4,E7,E9,F',
                       DRIVER, TESTS)),
        Check('documentation style', (*module, 'doc8', *PAGES)),
        Check('options', ('bash', 'tools/config/check_uptodate.sh')),
        Check('options as Python', (*module, 'py_compile', OPTS)),
        Check('interface of drivers', (
            *module, 'stestr', '--test-path', 'cinder/tests/compliance',
            '--top-dir', str(tree), 'run', 'test_volume_drivers')),
        Check('unit tests', (
            *module, 'stestr', '--test-path', TESTS,
            '--top-dir', str(tree), 'run')),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description='Bring this driver into the tree of Cinder.')
    parser.add_argument('directory', type=pathlib.Path,
                        help='where to put it; it must be empty')
    failed = 0
    try:
        tree = fetch(parser.parse_args().directory.resolve())
        change(tree)
    except TreeError as error:
        print(f'cinder_tree.py: {error}', file=sys.stderr)
        return 2
    print(git(tree, 'show', '--stat=78', '--summary', '--format=%s', 'HEAD'))
    wanted = checks(tree)
    for check in wanted:
        try:
            run(tree, *check.command)
            print(f'ok      {check.name}', flush=True)
        except TreeError as error:
            failed += 1
            print(f'FAILED  {check.name}: {error}', flush=True)
    print(f'tree: {len(wanted) - failed} passed, {failed} failed, 0 skipped')
    print(f'The change is the last commit of {tree}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
