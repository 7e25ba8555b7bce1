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
"""The NVMe/TCP discovery service of the nodes.

It lists all nodes that serve, whichever is asked, and sends an asynchronous
event to the hosts that stay connected when the list changes. Source of all
values and offsets: the NVM Express Base Specification 2.0 and its TCP
Transport Specification 1.0.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import ipaddress
import itertools
import logging
import socket
import struct
import threading
from typing import NamedTuple

LOG = logging.getLogger(__name__)

PORT = 8009
NQN = 'nqn.2014-08.org.nvmexpress.discovery'

# PDU types of the TCP transport, and the lengths of their headers
_IC_REQUEST, _IC_RESPONSE = 0x00, 0x01
_COMMAND, _RESPONSE, _DATA = 0x04, 0x05, 0x07
_HEADER = 8
_IC_LENGTH = 128
_RESPONSE_LENGTH = _DATA_LENGTH = 24
_LAST_PDU = 0x04
_MAX_PDU = 1 << 16

# Opcodes
_GET_LOG_PAGE, _IDENTIFY, _ABORT = 0x02, 0x06, 0x08
_SET_FEATURES, _GET_FEATURES, _EVENT_REQUEST = 0x09, 0x0a, 0x0c
_KEEP_ALIVE, _FABRICS = 0x18, 0x7f
_PROPERTY_SET, _CONNECT, _PROPERTY_GET = 0x00, 0x01, 0x04

# Status of a completion
_OK = 0
_BAD_OPCODE = 0x4001
_BAD_FIELD = 0x4002

# Properties: CAP has 128 entries of a queue, contiguous, 7.5 s to get ready
# and the NVM command set; version 1.3.
_CAP, _VS, _CC, _CSTS = 0x00, 0x08, 0x14, 0x1c
_CAPABILITIES = 127 | 1 << 16 | 15 << 24 | 1 << 37
_VERSION = 0x10300
_LOG_DISCOVERY = 0x70
# A notice (2) of the discovery log page (70h): it has changed (f0h).
LOG_CHANGED = 0x70f002
_RECORD = 1024


class Entry(NamedTuple):
    """A port of the cluster's subsystem: one node."""

    address: str
    port: int
    subsystem_nqn: str
    port_id: int


def log_page(generation: int, entries: Sequence[Entry]) -> bytes:
    """The discovery log page.

    :param generation: another one for each change
    """
    header = struct.pack('<QQH', generation, len(entries), 0)
    return header.ljust(_RECORD, b'\0') + b''.join(map(_record, entries))


def _record(entry: Entry) -> bytes:
    family = ipaddress.ip_address(entry.address).version
    # TCP; IPv4 is 1 and IPv6 2; an NVM subsystem; any controller.
    return b''.join((
        struct.pack('<BBBBHHHH', 3, {4: 1, 6: 2}[family], 2, 0,
                    entry.port_id, 0xffff, 32, 0).ljust(32, b'\0'),
        str(entry.port).encode().ljust(32, b' '), bytes(192),
        entry.subsystem_nqn.encode().ljust(256, b'\0'),
        entry.address.encode().ljust(256, b' '), bytes(256)))


def identify(controller: int) -> bytes:
    """The Identify Controller data structure of a discovery controller."""
    data = bytearray(4096)
    for offset, value in (
            (4, b'lightos-simulator'.ljust(20)),
            (24, b'lightos discovery'.ljust(40)),
            (64, b'1'.ljust(8)),
            (78, struct.pack('<HI', controller, _VERSION)),
            # It reports changes of the discovery log page.
            (92, struct.pack('<I', 1 << 31)),
            (111, b'\2'),
            # Four asynchronous events at once; log pages are read in parts;
            # the keep-alive timeout is in units of 10 s.
            (259, b'\3'), (261, b'\4'), (320, struct.pack('<H', 100)),
            (512, struct.pack('<BBH', 0x66, 0x44, 128)),
            (536, struct.pack('<I', 1 << 20 | 1)),
            (768, NQN.encode()),
            # A command capsule is 64 bytes, a response 16.
            (1792, struct.pack('<II', 4 + 64, 1))):
        data[offset:offset + len(value)] = value
    return bytes(data)


class Listing:
    """What the discovery services list, and who wants to hear of changes."""

    def __init__(self) -> None:
        self.generation = 0
        self.entries: tuple[Entry, ...] = ()
        self.listeners: set[Callable[[], None]] = set()

    def replace(self, entries: Sequence[Entry]) -> None:
        """List other entries; announce it if they are."""
        if tuple(entries) == self.entries:
            return
        self.entries = tuple(entries)
        self.generation += 1
        for announce in tuple(self.listeners):
            announce()


class Controller:
    """What one connection of a host is to the service: a queue of admin.

    :param listing: of all services
    :param send: takes what goes back to the host
    """

    _numbers = itertools.cycle(range(1, 0xfff0))

    def __init__(self, listing: Listing, send: Callable[[bytes], None]
                 ) -> None:
        self._listing = listing
        self._send = send
        self._number = next(self._numbers)
        self._configuration = 0
        self._waiting: list[int] = []
        self._unseen = False

    def open(self) -> None:
        """Accept the connection: version 0, no digests."""
        self._send(struct.pack('<BBBBIHBBI', _IC_RESPONSE, 0, _IC_LENGTH, 0,
                               _IC_LENGTH, 0, 0, 0, _MAX_PDU)
                   .ljust(_IC_LENGTH, b'\0'))
        self._listing.listeners.add(self.announce)

    def close(self) -> None:
        """The connection is gone."""
        self._listing.listeners.discard(self.announce)

    def announce(self) -> None:
        """Tell the host that the list has changed, once it asks."""
        if self._waiting:
            self._complete(self._waiting.pop(0), result=LOG_CHANGED)
        else:
            self._unseen = True

    def command(self, entry: bytes) -> None:
        """Execute a command.

        :param entry: its submission queue entry
        """
        opcode, identifier = struct.unpack_from('<BxH', entry)
        if opcode == _FABRICS:
            self._fabrics(entry, identifier)
        elif opcode == _IDENTIFY and entry[40] == 1:
            self._reply(identifier, identify(self._number))
        elif opcode == _GET_LOG_PAGE and entry[40] == _LOG_DISCOVERY:
            self._log_page(entry, identifier)
        elif opcode == _EVENT_REQUEST:
            self._waiting.append(identifier)
            if self._unseen:
                self._unseen = False
                self.announce()
        elif opcode in (_SET_FEATURES, _GET_FEATURES, _KEEP_ALIVE, _ABORT):
            self._complete(identifier)
        else:
            known = opcode in (_IDENTIFY, _GET_LOG_PAGE)
            self._complete(identifier,
                           status=_BAD_FIELD if known else _BAD_OPCODE)

    def _fabrics(self, entry: bytes, identifier: int) -> None:
        kind = entry[4]
        offset, value = struct.unpack_from('<IQ', entry, 44)
        if kind == _CONNECT:
            self._complete(identifier, result=self._number)
        elif kind == _PROPERTY_GET:
            self._complete(identifier, result=self._property(offset))
        elif kind == _PROPERTY_SET:
            if offset == _CC:
                self._configuration = value & 0xffffffff
            self._complete(identifier)
        else:
            self._complete(identifier, status=_BAD_OPCODE)

    def _property(self, offset: int) -> int:
        shutting_down = self._configuration >> 14 & 3
        return {_CAP: _CAPABILITIES, _VS: _VERSION, _CC: self._configuration,
                _CSTS: 2 << 2 if shutting_down
                else self._configuration & 1}.get(offset, 0)

    def _log_page(self, entry: bytes, identifier: int) -> None:
        low, high = struct.unpack_from('<HH', entry, 42)
        offset, = struct.unpack_from('<Q', entry, 48)
        length = ((high << 16 | low) + 1) * 4
        page = log_page(self._listing.generation, self._listing.entries)
        self._reply(identifier,
                    page[offset:offset + length].ljust(length, b'\0'))

    def _reply(self, identifier: int, data: bytes) -> None:
        self._send(struct.pack(
            '<BBBBIHxxII4x', _DATA, _LAST_PDU, _DATA_LENGTH, _DATA_LENGTH,
            _DATA_LENGTH + len(data), identifier, 0, len(data)) + data)
        self._complete(identifier)

    def _complete(self, identifier: int, result: int = 0, status: int = _OK
                  ) -> None:
        self._send(struct.pack(
            '<BBBBIQHHHH', _RESPONSE, 0, _RESPONSE_LENGTH, 0,
            _RESPONSE_LENGTH, result, 0, 0, identifier, status << 1))


class Services:
    """The discovery services of some nodes, on a thread of their own."""

    def __init__(self) -> None:
        self._listing = Listing()
        self._loop = asyncio.new_event_loop()
        self._servers: dict[int, _Server] = {}
        self._thread = threading.Thread(target=self._loop.run_forever,
                                        name='discovery', daemon=True)
        self._thread.start()

    def start(self, node: int, listener: socket.socket) -> None:
        """Let a node's service serve.

        :param listener: bound to its address
        """
        listener.setblocking(False)
        server = _Server(self._listing)
        asyncio.run_coroutine_threadsafe(
            server.start(listener), self._loop).result()
        self._servers[node] = server

    def stop(self, node: int) -> None:
        """Let a node's service end, and its connections with it."""
        server = self._servers.pop(node, None)
        if server is not None:
            asyncio.run_coroutine_threadsafe(server.stop(),
                                             self._loop).result()

    def list(self, entries: Sequence[Entry]) -> None:
        """List other entries from now on."""
        self._loop.call_soon_threadsafe(self._listing.replace, entries)

    def close(self) -> None:
        """End them all."""
        for node in tuple(self._servers):
            self.stop(node)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def listen(address: str, port: int = PORT) -> socket.socket:
    """A socket for a service, in the network namespace of this thread."""
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    return listener


class _Server:
    """The service of one node."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(self._serve, sock=listener)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader,
                     writer: asyncio.StreamWriter) -> None:
        controller = Controller(self._listing, writer.write)
        self._writers.add(writer)
        try:
            while True:
                kind, body = await _read_pdu(reader)
                if kind == _IC_REQUEST:
                    controller.open()
                elif kind == _COMMAND and len(body) >= 64:
                    controller.command(body)
                else:
                    LOG.warning('PDU of type %d is not expected', kind)
                    break
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            controller.close()
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _read_pdu(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    header = await reader.readexactly(_HEADER)
    length, = struct.unpack_from('<I', header, 4)
    if not _HEADER <= length <= _MAX_PDU:
        raise ConnectionError('a PDU of %d bytes' % length)
    return header[0], await reader.readexactly(length - _HEADER)
