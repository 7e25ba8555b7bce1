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
"""The processes of the tests: drivers, HTTPS servers, simulated clusters."""

import atexit
import dataclasses
import itertools
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any, NamedTuple, Optional, TypeVar
import urllib.request

TREE = pathlib.Path(__file__).resolve().parents[4]
HERE = pathlib.Path(__file__).resolve().parent

# Seconds: to be ready, to answer, and from SIGTERM to SIGKILL.
START = 60
ANSWER = 120
GRACE = 5


P = TypeVar('P', bound='Process')

_shared: dict[tuple[type, tuple[str, ...]], 'Process'] = {}


class ProcessError(Exception):
    """A process does not do what it is there for; the text says which."""


class Process:
    """A program that is told what to do, one command at a time.

    :param arguments: of the interpreter
    :param variables: of its environment, beside those of this process
    :param interpreter: the Python that runs it
    :ivar failed: whether it is of no use any more
    """

    def __init__(self, *arguments: str,
                 variables: Optional[dict[str, str]] = None,
                 interpreter: str = sys.executable) -> None:
        self.failed = False
        self._name = pathlib.Path(arguments[-1]).name
        self._errors = tempfile.TemporaryFile('w+')
        self._process = subprocess.Popen(
            [interpreter, '-W', 'ignore', *arguments], cwd=TREE,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._errors)
        self._buffer = b''

    def ask(self, do: str, **fields: Any) -> Any:
        """Give a command and return what comes of it.

        :raises ProcessError: it ended, or does not answer in time
        """
        self.tell(do, **fields)
        return self.answer()

    def tell(self, do: str, **fields: Any) -> None:
        """Give a command whose answer is asked for later."""
        assert self._process.stdin is not None
        self._process.stdin.write(
            json.dumps({'do': do, **fields}).encode() + b'\n')
        self._process.stdin.flush()

    def answer(self, seconds: float = ANSWER) -> Any:
        answer = json.loads(self.line(seconds))
        if 'error' in answer:
            raise ProcessError(answer['error'])
        return answer['value']

    def line(self, seconds: float) -> bytes:
        """The next line that it prints."""
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        end = time.monotonic() + seconds
        while b'\n' not in self._buffer:
            ready, _writable, _broken = select.select(
                [output], [], [], max(0.0, end - time.monotonic()))
            read = os.read(output, 1 << 20) if ready else b''
            if not read:
                self.failed = True
                raise ProcessError('%s %s: %s' % (
                    self._name,
                    'ended' if ready else 'does not answer',
                    self._said()))
            self._buffer += read
        line, _newline, self._buffer = self._buffer.partition(b'\n')
        return line

    def end(self) -> None:
        """Return when it is gone."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.terminate()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    @classmethod
    def shared(cls: type[P], *arguments: str) -> P:
        """The one process of this kind that all tests use in turn.

        Starting one takes longer than most tests. One that has failed to
        answer is not used again.
        """
        process = _shared.get((cls, arguments))
        if not isinstance(process, cls) or process.failed:
            process = _shared[cls, arguments] = cls(*arguments)
            atexit.register(process.end)
        return process

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-4000:]


class Line(NamedTuple):
    """A line of a log."""

    thread: int
    level: str
    logger: str
    text: str


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one call.

    :ivar value: what it returned
    :ivar error: name of the exception's class
    :ivar sent: whether a call that nobody answered may have been received
    :ivar of_cinder: whether the exception is one of Cinder's
    """

    seconds: float
    thread: int
    value: Any = None
    error: Optional[str] = None
    text: str = ''
    sent: Optional[bool] = None
    of_cinder: Optional[bool] = None


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of some calls.

    :ivar threads: the outcomes of each thread
    :ivar attempts: how many connections were tried
    :ivar lines: what was logged, debug lines among it
    """

    threads: list[list[Outcome]]
    attempts: int
    lines: list[Line]

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for thread in self.threads for outcome in thread]

    @property
    def errors(self) -> list[str]:
        return ['%s: %s' % (outcome.error, outcome.text)
                for outcome in self.outcomes if outcome.error]

    @property
    def slowest(self) -> float:
        return max(outcome.seconds for outcome in self.outcomes)

    def said(self, *levels: str) -> list[str]:
        """What the driver logged at these levels."""
        return [line.text for line in self.lines
                if line.level in levels and 'lightos' in line.logger]


class Call(NamedTuple):
    """A method of ``driver_process.Backend`` and its arguments."""

    method: str
    arguments: dict[str, Any]


def call(method: str, **arguments: Any) -> Call:
    return Call(method, arguments)


class Drivers(Process):
    """Drivers in one process.

    :param threading: ``eventlet`` or ``native``
    """

    def __init__(self, threading: str) -> None:
        super().__init__(
            str(HERE / 'driver_process.py'), variables={
                'OS_CINDER_DISABLE_EVENTLET_PATCHING':
                    str(threading == 'native').lower()})
        self._numbers = itertools.count(1)
        self._has_database = False

    def open(self, names: Optional[dict[str, str]] = None,
             **options: Any) -> str:
        """Make a driver.

        :param names: addresses of host names
        :param options: of its section in cinder.conf
        :returns: its name
        """
        name = 'lightos%d' % next(self._numbers)
        self.ask('open', name=name, options=options, names=names or {})
        return name

    def run(self, name: str, *calls: Call, threads: int = 1) -> Report:
        """Make the calls one after the other, in each of some threads."""
        self.begin(name, *calls, threads=threads)
        return self.finish()

    def enable_database(self) -> None:
        """Make ready what attaching needs."""
        if not self._has_database:
            self.ask('database')
            self._has_database = True

    def begin(self, name: str, *calls: Call, threads: int = 1) -> None:
        """Have calls made while this process does something else."""
        self.tell('run', name=name, calls=calls, threads=threads)

    def finish(self) -> Report:
        told = self.answer()
        return Report(
            [[Outcome(**outcome) for outcome in thread]
             for thread in told['ended']],
            told['attempts'], [Line(*line) for line in told['lines']])


class Servers(Process):
    """The HTTPS servers of ``https_servers.py``."""

    def __init__(self) -> None:
        super().__init__(str(HERE / 'https_servers.py'))


class Simulator(Process):
    """A simulated cluster.

    :param arguments: of ``python -m lightos_simulator``
    :ivar told: the JSON object that it prints when it starts
    """

    def __init__(self, *arguments: str) -> None:
        self._directory = tempfile.mkdtemp(prefix='lightos-simulator-')
        super().__init__(
            *('-m', 'lightos_simulator', '--directory', self._directory),
            *arguments)
        try:
            self.told = json.loads(self.line(START))
        except ProcessError:
            self.end()
            raise

    def end(self) -> None:
        super().end()
        shutil.rmtree(self._directory, ignore_errors=True)

    def control(self, method: str, path: str, **values: Any) -> Any:
        """Use its control interface."""
        request = urllib.request.Request(
            self.told['control'] + path, method=method,
            data=json.dumps(values).encode() if values else None)
        with urllib.request.urlopen(request, timeout=ANSWER) as response:
            return json.load(response)

    def mode(self, node: int, mode: str, **values: Any) -> None:
        self.control('POST', '/nodes/%d' % node, mode=mode, **values)

    def fault(self, action: str, **values: Any) -> None:
        """Add a fault rule; ``node`` None is all nodes."""
        self.control('POST', '/faults', action=action, **values)

    def mend(self) -> None:
        """Undo every fault."""
        self.control('DELETE', '/faults')
        for node in self.control('GET', '/nodes'):
            if node['mode'] != 'up':
                self.mode(node['index'], 'up')

    def requests(self) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = self.control(
            'GET', '/journal')['requests']
        return requests

    def options(self, **options: Any) -> dict[str, Any]:
        """What a driver's section needs to reach it."""
        return {'lightos_api_address': self.told['addresses'],
                'lightos_api_port': self.told['port'],
                'lightos_jwt_file': self.told['tokens'].get('cluster-admin'),
                'driver_ssl_cert_path': self.told['ca_file'], **options}
