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
"""The processes of a demonstration: started, watched, ended by their id."""

import json
import os
import pathlib
import signal
import subprocess
import time
from typing import Any, Mapping, NamedTuple, Optional

from demo import errors
from demo import layout

# Seconds from SIGTERM to SIGKILL.
GRACE = 10
PAUSE = 0.05


class Identity(NamedTuple):
    """One process, and no later one that was given its number.

    :param pid: the process id
    :param started: ticks from the start of the machine to its own
    """
    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Optional['Identity']:
        """The identity of the process that runs now; None if there is none.

        Source of the fields: proc_pid_stat(5).
        """
        try:
            text = pathlib.Path(f'/proc/{pid}/stat').read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        state, *fields = text.rpartition(')')[2].split()
        return None if state in 'ZX' else cls(pid, int(fields[18]))

    def runs(self) -> bool:
        return Identity.of(self.pid) == self


class Running(NamedTuple):
    """What a demonstration has left on record as running.

    :param kept: whether it was to go on after the end
    """
    kept: bool
    processes: tuple[Identity, ...]


def end(processes: tuple[Identity, ...]) -> None:
    """End these processes; return when they are gone."""
    for number, seconds in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        deadline = time.monotonic() + seconds
        for process in processes:
            if process.runs():
                os.kill(process.pid, number)
        while any(process.runs() for process in processes):
            if time.monotonic() > deadline:
                break
            time.sleep(PAUSE)


def _record(where: layout.Layout) -> pathlib.Path:
    return where.run / 'running.json'


def running(where: layout.Layout) -> Running:
    """What an earlier demonstration in the directory left running."""
    try:
        content = json.loads(_record(where).read_text())
    except FileNotFoundError:
        return Running(False, ())
    processes = (Identity(*entry) for entry in content['processes'])
    return Running(content['kept'],
                   tuple(process for process in processes if process.runs()))


class Service(NamedTuple):
    """A process that serves until it is ended.

    :param told: the JSON object that it printed when it was ready
    """
    identity: Identity
    log: pathlib.Path
    told: Mapping[str, Any]


class Processes:
    """Everything that this demonstration starts."""

    def __init__(self, where: layout.Layout) -> None:
        self._where = where
        self._services: list[subprocess.Popen[Any]] = []
        self._commands: list[subprocess.Popen[Any]] = []

    def serve(self, name: str, arguments: list[str], directory: pathlib.Path,
              variables: Mapping[str, str], seconds: float) -> Service:
        """Start a service and return when it has told that it is ready.

        Its standard error goes to the log of its name. It has no terminal,
        so that it outlives this process if it is kept.

        :param seconds: it may take to be ready
        :raises DemoError: if it ends, or says nothing in time
        """
        log = self._where.log(name)
        told = self._where.run / f'{name}.json'
        with log.open('wb') as errors_to, told.open('wb') as output_to:
            process = subprocess.Popen(
                arguments, cwd=directory, env=variables,
                stdin=subprocess.DEVNULL, stdout=output_to, stderr=errors_to,
                start_new_session=True)
        self._services.append(process)
        self._write_record(kept=False)
        deadline = time.monotonic() + seconds
        while not told.read_bytes().endswith(b'\n'):
            if process.poll() is not None:
                raise errors.DemoError(
                    f'The {name} ended with status {process.returncode} '
                    'before it was ready.', log)
            if time.monotonic() > deadline:
                raise errors.DemoError(
                    f'The {name} is not ready after {seconds:.0f} s.', log)
            time.sleep(PAUSE)
        identity = Identity.of(process.pid)
        if identity is None:
            raise errors.DemoError(f'The {name} ended.', log)
        return Service(identity, log, json.loads(told.read_text()))

    def command(self, arguments: list[str],
                variables: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start a program that is to end by itself; its output is piped."""
        process = subprocess.Popen(
            arguments, env=variables, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True)
        self._commands.append(process)
        return process

    def keep(self) -> None:
        """Record the services as those that go on after the end."""
        self._write_record(kept=True)

    def end_commands(self) -> None:
        """End the programs that have not ended by themselves."""
        self._end(self._commands)

    def end(self) -> None:
        """End whatever still runs."""
        self._end([*self._commands, *self._services])

    @staticmethod
    def _end(processes: list[subprocess.Popen[Any]]) -> None:
        end(tuple(filter(None, (Identity.of(process.pid)
                                for process in processes
                                if process.poll() is None))))
        for process in processes:
            process.poll()

    def _write_record(self, kept: bool) -> None:
        identities = filter(None, (Identity.of(process.pid)
                                   for process in self._services))
        _record(self._where).write_text(json.dumps(
            {'kept': kept, 'processes': list(identities)}))
