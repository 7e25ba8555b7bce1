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
"""Lay this tree over the Cinder that is installed beside the interpreter.

Whatever the tree has below cinder/ and the installed Cinder has not is linked
into the installed package: directories whole where Cinder has none of that
name, otherwise file by file. The driver then runs from the tree, edits take
effect at once, and the tests have the names they will have in Cinder's tree.

    overlay.py link     make the links, drop those whose file is gone
    overlay.py unlink   remove them
    overlay.py check    exit with 1 unless the links are exactly those

Do not pip install into a linked environment: pip would write through the
links into the tree.
"""

import argparse
import importlib.util
import os
import pathlib
import sys

TREE = pathlib.Path(__file__).resolve().parent.parent
DRIVER = pathlib.Path('volume', 'drivers', 'lightos')


class OverlayError(Exception):
    """The installed Cinder cannot take the links; the text says why."""


def installed_cinder() -> pathlib.Path:
    """Return the directory of the cinder package that is installed.

    :raises OverlayError: if this interpreter has no Cinder
    """
    spec = importlib.util.find_spec('cinder')
    # The tree's own cinder/ has no __init__.py: seen from the tree without
    # an installed Cinder it is a namespace package, which has no origin.
    if spec is None or spec.origin is None:
        raise OverlayError(f'{sys.executable} has no Cinder installed.')
    return pathlib.Path(spec.origin).parent


def wanted_links(source: pathlib.Path,
                 target: pathlib.Path) -> dict[pathlib.Path, pathlib.Path]:
    """Return what each link below target has to point to below source."""
    wanted: dict[pathlib.Path, pathlib.Path] = {}
    for entry in source.iterdir():
        link = target / entry.name
        if entry.is_dir():
            if link.is_dir() and not link.is_symlink():
                wanted.update(wanted_links(entry, link))
            elif any(entry.rglob('*.py')):
                wanted[link] = entry
        elif entry.suffix == '.py':
            wanted[link] = entry
    return wanted


def present_links(target: pathlib.Path) -> dict[pathlib.Path, pathlib.Path]:
    """Return the links below target into this tree or to nothing.

    Cinder itself has no symbolic links: one that leads nowhere was ours
    before the tree was moved or a file deleted.
    """
    present: dict[pathlib.Path, pathlib.Path] = {}
    for directory, subdirectories, files in os.walk(target):
        for name in subdirectories + files:
            link = pathlib.Path(directory, name)
            if link.is_symlink():
                source = pathlib.Path(os.readlink(link))
                if TREE in source.parents or not link.exists():
                    present[link] = source
    return present


def refuse_installed_driver(target: pathlib.Path) -> None:
    """Raise OverlayError if the driver is installed and not linked."""
    directory = target / DRIVER
    if directory.is_dir() and not directory.is_symlink():
        raise OverlayError(
            f'{directory} is an installed package. Remove it first: '
            f'{sys.executable} -m pip uninstall cinder-lightos')


def link(target: pathlib.Path) -> None:
    """Make every link that is missing and remove those to nothing.

    :raises OverlayError: before anything is changed, if the driver is
        installed or something that is not ours stands where a link belongs
    """
    refuse_installed_driver(target)
    wanted = wanted_links(TREE / 'cinder', target)
    present = present_links(target)
    for path in wanted.keys() - present.keys():
        if path.is_symlink():
            raise OverlayError(f'{path} leads to another tree, '
                               f'{os.readlink(path)}.')
        if path.exists():
            raise OverlayError(f'{path} belongs to the installed Cinder.')
    for path, _source in present.items() - wanted.items():
        path.unlink()
    for path, source in wanted.items() - present.items():
        path.symlink_to(source)


def unlink(target: pathlib.Path) -> None:
    """Remove every link into this tree."""
    for path in present_links(target):
        path.unlink()


def check(target: pathlib.Path) -> None:
    """Do nothing if the links are exactly those that link() makes.

    :raises OverlayError: naming what is missing or left over
    """
    refuse_installed_driver(target)
    wanted = wanted_links(TREE / 'cinder', target)
    present = present_links(target)
    wrong = ([f'{path} does not lead to {source}.'
              for path, source in sorted(wanted.items() - present.items())] +
             [f'{path} is left over.'
              for path in sorted(present.keys() - wanted.keys())])
    if wrong:
        raise OverlayError('\n'.join(wrong))


def main() -> int:
    parser = argparse.ArgumentParser(
        description='Lay this tree over the installed Cinder.')
    parser.add_argument('command', choices=('link', 'unlink', 'check'))
    command = parser.parse_args().command
    try:
        target = installed_cinder()
        {'link': link, 'unlink': unlink, 'check': check}[command](target)
    except OverlayError as error:
        print(f'overlay.py {command}: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
