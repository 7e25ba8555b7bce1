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
"""A simulator in a process of its own, for the tests that need sockets."""

from __future__ import annotations

from collections.abc import Callable
import json
import pathlib
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import fixtures
import requests

from lightos_simulator.tests import base

ROOT = pathlib.Path(__file__).parents[2]
PATIENCE = 20.0


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start the command line, with pipes for what it prints."""
    return subprocess.Popen(
        [sys.executable, '-m', 'lightos_simulator', *arguments], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def poll(condition: Callable[[], Any]) -> None:
    """Wait until something is so.

    :raises AssertionError: it is not so for too long
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, 'waited too long'
        time.sleep(0.02)


def free_port(address: str) -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


class Simulator(fixtures.Fixture):
    """A running simulator, ended when the test ends.

    :param arguments: of the command line
    """

    def __init__(self, *arguments: str) -> None:
        super().__init__()
        self._arguments = arguments

    def _setUp(self) -> None:
        self.process = start(*self._arguments)
        self.addCleanup(self._end)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate(timeout=PATIENCE)[1]
        self.facts: dict[str, Any] = json.loads(line)
        self.sessions: dict[str, requests.Session] = {}

    def _end(self) -> None:
        for session in getattr(self, 'sessions', {}).values():
            session.close()
        # Asked to end, it removes its directory; killed it would not.
        self.process.terminate()
        try:
            self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate(timeout=PATIENCE)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """End it with a signal.

        :return: its exit status and how many seconds it took
        """
        begin = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        return status, time.monotonic() - begin

    def session(self, who: str = 'default-admin') -> requests.Session:
        """A session with somebody's token and the simulator's CA."""
        if who not in self.sessions:
            session = requests.Session()
            # The environment may name another CA.
            session.trust_env = False
            session.verify = self.facts['ca_file']
            if who in self.facts['tokens']:
                token = pathlib.Path(self.facts['tokens'][who]).read_text()
                session.headers['Authorization'] = 'Bearer ' + token.strip()
            self.sessions[who] = session
        return self.sessions[who]

    def call(self, method: str, path: str, body: Any = None, node: int = 0,
             who: str = 'default-admin', timeout: float = PATIENCE
             ) -> requests.Response:
        """Send a request to a node."""
        return self.session(who).request(
            method, 'https://%s%s' % (self.facts['endpoints'][node], path),
            json=body, timeout=timeout, allow_redirects=False)

    def control(self, method: str, path: str, body: Any = None,
                status: int = 200) -> Any:
        """Use the control interface."""
        session = self.session('nobody')
        reply = session.request(method, self.facts['control'] + path,
                                json=body, timeout=PATIENCE)
        assert reply.status_code == status, reply.text
        return reply.json()

    def volume(self, name: str = 'v', node: int = 0) -> requests.Response:
        """Ask a node for a volume."""
        return self.call('POST', base.PROJECT + '/volumes', {
            'name': name, 'size': '1 gib', 'replicaCount': 2}, node)
