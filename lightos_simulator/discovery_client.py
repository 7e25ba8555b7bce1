# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""``python -m lightos_simulator.discovery_client``: stands for LightOS's.

As the LightOS discovery-client does, it reads what os-brick writes into a
directory, a file for each volume with a line for each node, connects this
host to all that the discovery services of these nodes list, connects again
when one announces a change, and answers HEAD /metrics, by which os-brick
knows that it runs. It uses nvme-cli. It never disconnects: a namespace goes
when the cluster withdraws it.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable
from collections.abc import Sequence
import json
import logging
import pathlib
import shlex
import signal
import socket
import sys
from typing import NamedTuple

LOG = logging.getLogger(__name__)

ADDRESS = '127.0.0.1'
PORT = 6060
DIRECTORY = pathlib.Path('/etc/discovery-client/discovery.d')
_PAUSE = 0.5
# Seconds until a discovery service that did not answer is asked again.
_RETRY = 5.0
# linux/netlink.h
_UEVENTS = 15
_ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'


class Service(NamedTuple):
    """A discovery service, and as whom to ask it."""

    transport: str
    address: str
    port: str
    host_nqn: str


def read(text: str) -> set[Service]:
    """What a file of the directory names.

    Source of its form: os-brick's LIGHTOS connector, which writes it.
    """
    services = set()
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        options = dict(zip(words[::2], words[1::2]))
        if {'-t', '-a', '-s', '-q'} <= options.keys():
            services.add(Service(options['-t'], options['-a'],
                                 options['-s'], options['-q']))
    return services


def announces(uevent: bytes) -> bool:
    """Whether the kernel says that a discovery service has news.

    :param uevent: a message of the kernel's kobject events
    """
    variables = uevent.split(b'\0')
    # NVM Express Base Specification, Asynchronous Event Information: a
    # notice (2) that the discovery log page (70h) has changed (f0h).
    return b'NVME_AEN=0x70f002' in variables


class Client:
    """The client.

    :param directory: to watch
    :param keep_alive: seconds of silence after which a path is given up
    """

    def __init__(self, directory: pathlib.Path, keep_alive: int) -> None:
        self._directory = directory
        self._keep_alive = keep_alive
        self._known: set[Service] = set()
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Watch and connect, until cancelled."""
        events = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _UEVENTS)
        events.bind((0, 1))
        events.setblocking(False)
        listening = asyncio.create_task(self._listen(events))
        try:
            while True:
                named = self._named()
                asked = named - self._known
                if self._changed.is_set():
                    self._changed.clear()
                    asked = named
                self._known &= named
                for service in sorted(asked):
                    if await self._connect_all(service):
                        self._known.add(service)
                try:
                    await asyncio.wait_for(
                        self._changed.wait(),
                        _PAUSE if named <= self._known else _RETRY)
                except asyncio.TimeoutError:
                    pass
        finally:
            listening.cancel()
            events.close()

    async def _listen(self, events: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if announces(await loop.sock_recv(events, 1 << 16)):
                LOG.info('a discovery service has news')
                self._changed.set()

    def _named(self) -> set[Service]:
        services: set[Service] = set()
        for path in self._directory.glob('*.conf'):
            try:
                services |= read(path.read_text())
            except FileNotFoundError:
                continue
        return services

    async def _connect_all(self, service: Service) -> bool:
        command = connect_all(service, self._keep_alive)
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT)
        output, _none = await process.communicate()
        LOG.info('%s: status %d %s', ' '.join(command), process.returncode,
                 output.decode(errors='replace').strip())
        return process.returncode == 0


def connect_all(service: Service, keep_alive: int) -> list[str]:
    """The command that connects this host to all that a service lists."""
    return ['nvme', 'connect-all', '--transport', service.transport,
            '--traddr', service.address, '--trsvcid', service.port,
            '--hostnqn', service.host_nqn, '--persistent',
            '--keep-alive-tmo', str(keep_alive),
            '--reconnect-delay', '1', '--ctrl-loss-tmo', '600']


async def _answer(reader: asyncio.StreamReader,
                  writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(_ANSWER)
    await writer.drain()
    writer.close()


async def _run(arguments: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    server = await asyncio.start_server(_answer, ADDRESS, arguments.port)
    tasks: list[asyncio.Task[None]] = []
    if arguments.connect:
        tasks.append(asyncio.create_task(
            Client(arguments.directory, arguments.keep_alive).run()))
    sys.stdout.write(json.dumps({'port': arguments.port}) + '\n')
    sys.stdout.flush()
    waiting = asyncio.create_task(stopped.wait())
    done, _pending = await asyncio.wait(
        [waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    server.close()
    for task in _only_failed(done):
        task.result()
    for task in tasks:
        task.cancel()


def _only_failed(done: Iterable[asyncio.Task[object]]
                 ) -> list[asyncio.Task[object]]:
    return [task for task in done if task.exception() is not None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM; print {"port": N} when it answers."""
    parser = argparse.ArgumentParser(
        prog='lightos_simulator.discovery_client',
        description='A stand-in for the LightOS discovery-client.')
    parser.add_argument('--directory', type=pathlib.Path, default=DIRECTORY,
                        help='that os-brick writes to (default: %(default)s)')
    parser.add_argument('--port', type=int, default=PORT,
                        help='that os-brick asks (default: %(default)s)')
    parser.add_argument('--keep-alive', type=int, default=5,
                        metavar='SECONDS',
                        help='of silence after which a path is given up '
                             '(default: %(default)s)')
    parser.add_argument('--no-connect', dest='connect', action='store_false',
                        help='only answer os-brick, for --data-plane loop')
    logging.basicConfig(level='INFO', stream=sys.stderr,
                        format='%(asctime)s %(message)s')
    asyncio.run(_run(parser.parse_args(arguments)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
