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
"""The demonstration: ``python -m demo``, with this package on PYTHONPATH.

Begun with any Python, it makes its environment and goes on with the Python
there.
"""

import os
import pathlib
import signal
import sys
from typing import Sequence

from demo import arguments
from demo import environment
from demo import errors
from demo import layout
from demo import processes
from demo import report


def _interrupt(signal_number: int, frame: object) -> None:
    raise errors.Interrupted(signal_number)


def _stop(where: layout.Layout) -> None:
    left = processes.running(where).processes
    processes.end(left)
    print(f'Stopped {len(left)} processes.' if left
          else f'Nothing is running in {where.directory}.')


def _clear(where: layout.Layout) -> None:
    """End what an earlier demonstration left without meaning to.

    :raises DemoError: if it was left on purpose
    """
    left = processes.running(where)
    if left.kept and left.processes:
        raise errors.DemoError(
            'What --keep left is still running. Stop it with: ' +
            where.command('--stop'))
    processes.end(left.processes)


def _run(given: arguments.Arguments, where: layout.Layout,
         argv: Sequence[str]) -> None:
    with environment.locked(where):
        _clear(where)
        where.logs.mkdir(exist_ok=True)
        if pathlib.Path(sys.prefix) == where.environment:
            # It imports what only the environment is sure to have.
            from demo import demonstration
            demonstration.run(given, where)
            return
        environment.prepare(where)
    os.execve(where.python, [str(where.python), '-P', '-m', 'demo', *argv],
              {**os.environ, 'PYTHONPATH': str(arguments.TREE / 'tools')})


def main(argv: Sequence[str]) -> int:
    given = arguments.parse(argv)
    where = layout.Layout(
        given.directory, pathlib.Path(sys.prefix) if given.installed else None)
    for number in errors.SIGNALS:
        signal.signal(number, _interrupt)
    try:
        if given.stop:
            _stop(where)
        else:
            _run(given, where, argv)
    except errors.DemoError as error:
        report.failure(error)
        return 1
    except errors.Interrupted as interrupted:
        print('\nInterrupted.', flush=True)
        return 128 + interrupted.signal_number
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
