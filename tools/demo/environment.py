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
"""The virtual environment of the demonstration: Cinder, CLI, simulator.

Only the standard library is used here: this runs before there is one.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time
from typing import Iterator, Optional

from demo import arguments
from demo import errors
from demo import layout

REQUIREMENTS = pathlib.Path(__file__).with_name('requirements.txt')
# Seconds. A slow mirror may take many minutes, but not for ever.
INSTALL_TIME = 1800


@contextlib.contextmanager
def locked(where: layout.Layout) -> Iterator[None]:
    """Keep other demonstrations out of the directory.

    :raises DemoError: if one is running there, or the directory has files
        that are not of a demonstration
    """
    where.directory.mkdir(parents=True, exist_ok=True)
    if not where.lock.exists() and any(where.directory.iterdir()):
        raise errors.DemoError(
            f'{where.directory} has other files. Give a --directory that is '
            'empty or not there yet.')
    with where.lock.open('w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.DemoError(
                f'Another demonstration is running in {where.directory}. '
                'Wait for it, or give another --directory.')
        yield


def clean_variables() -> dict[str, str]:
    """The environment variables without those that redirect Python or pip.

    A cloud that the caller is logged in to (OS_*) is not to be touched
    either, and a proxy does not lead to the loopback interface.
    """
    variables = {name: value for name, value in os.environ.items()
                 if not name.startswith(('OS_', 'PYTHON'))}
    direct = variables.get('no_proxy', variables.get('NO_PROXY', ''))
    variables['no_proxy'] = variables['NO_PROXY'] = ','.join(
        filter(None, [direct, 'localhost', '127.0.0.1', '127.0.0.0/8']))
    return variables


def _fingerprint(environment: pathlib.Path, wanted: str) -> str:
    """Tell this environment from one that will not do any more.

    :param wanted: what is installed there
    :returns: nothing at all if its Python does not run
    """
    try:
        version = subprocess.run([environment / 'bin' / 'python',
                                  '--version'], text=True,
                                 stdout=subprocess.PIPE).stdout
    except OSError:
        return ''
    what = '\n'.join([version, str(arguments.TREE), wanted])
    return hashlib.sha256(what.encode()).hexdigest()


def _run(log_file: pathlib.Path, failure: str, *command: object) -> None:
    with log_file.open('a') as log:
        print('$', *command, file=log, flush=True)
        try:
            status = subprocess.run(
                [str(word) for word in command], stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, env=clean_variables(),
                timeout=INSTALL_TIME).returncode
        except subprocess.TimeoutExpired:
            raise errors.DemoError(
                f'{failure}: not done after {INSTALL_TIME} s.', log_file)
    if status:
        raise errors.DemoError(f'{failure}: exit status {status}.', log_file)


def prepare(where: layout.Layout) -> None:
    """Make the environment unless it is there; put the tree's driver in.

    It is made anew when the requirements, this interpreter or the place of
    the tree have changed since.

    :raises DemoError: if a program fails
    """
    log = where.log('environment')
    log.write_text('')
    made = make(where.environment, 'Cinder', REQUIREMENTS.read_text(), log)
    if made is None:
        print(f'Environment  {where.environment}', flush=True)
    else:
        print(f'             made in {made:.0f} s', flush=True)
    _run(log, 'Cannot put the driver into Cinder', where.python,
         arguments.TREE / 'tools' / 'overlay.py', 'link')


def make(environment: pathlib.Path, what: str, requirements: str,
         log: pathlib.Path) -> Optional[float]:
    """Make a virtual environment unless it is there.

    :param what: is installed there, for the reader
    :param requirements: the lines of a requirements file
    :param log: for the output of the programs
    :returns: the seconds that it took; None if it was there
    :raises DemoError: if a program fails
    """
    complete = environment / 'complete'
    if complete.is_file() and complete.read_text() == _fingerprint(
            environment, requirements):
        return None
    print(f'Environment  {environment}: installing {what}, a '
          'minute or two ...', flush=True)
    started = time.monotonic()
    if environment.exists():
        shutil.rmtree(environment)
    _run(log, 'Cannot make a virtual environment',
         sys.executable, '-m', 'venv', environment)
    wanted = environment / 'requirements.txt'
    wanted.write_text(requirements)
    # Compiling all of it would take longer than the demonstration: each
    # module is compiled when it is first used.
    _run(log, f'Cannot install {what}', environment / 'bin' / 'python',
         '-m', 'pip', 'install', '--no-compile',
         '--disable-pip-version-check', '--requirement', wanted)
    complete.write_text(_fingerprint(environment, requirements))
    return time.monotonic() - started
