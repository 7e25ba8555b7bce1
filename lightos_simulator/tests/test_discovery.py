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
"""The discovery service, byte by byte, and the client's stand-in."""

from __future__ import annotations

import socket
import struct

import testtools

from lightos_simulator import discovery
from lightos_simulator import discovery_client

SUBSYSTEM = 'nqn.2016-01.com.lightbitslabs:uuid:c'
FIRST = discovery.Entry('192.0.2.11', 4420, SUBSYSTEM, 1)
SECOND = discovery.Entry('2001:db8::12', 4420, SUBSYSTEM, 2)


class Connection:
    """A host's connection, spoken by hand."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, 10)
        self.close = self._socket.close

    def send(self, kind: int, body: bytes) -> None:
        self._socket.sendall(struct.pack(
            '<BBBBI', kind, 0, 8, 0, 8 + len(body)) + body)

    def receive(self) -> tuple[int, bytes]:
        """The type of the next PDU and what follows its common header."""
        header = self._read(8)
        return header[0], self._read(
            struct.unpack_from('<I', header, 4)[0] - 8)

    def _read(self, length: int) -> bytes:
        data = b''
        while len(data) < length:
            read = self._socket.recv(length - len(data))
            if not read:
                raise EOFError
            data += read
        return data

    def command(self, opcode: int, identifier: int, **fields: bytes) -> None:
        """Send a command; the fields are f<offset>."""
        entry = bytearray(struct.pack('<BxH', opcode, identifier))
        entry += bytes(60)
        for name, value in fields.items():
            offset = int(name[1:])
            entry[offset:offset + len(value)] = value
        self.send(4, bytes(entry))

    def completion(self) -> tuple[int, int, int]:
        """The result, command and status of a completion."""
        kind, body = self.receive()
        assert kind == 5, kind
        result, _head, _queue, identifier, status = struct.unpack(
            '<QHHHH', body)
        return result, identifier, status >> 1

    def data(self, identifier: int) -> bytes:
        """The data of a command that ends well."""
        kind, body = self.receive()
        assert kind == 7, kind
        of, _offset, length = struct.unpack_from('<HxxII', body)
        assert (of, length) == (identifier, len(body) - 16)
        assert self.completion() == (0, identifier, 0)
        return body[16:]


class TestService(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.services = discovery.Services()
        self.addCleanup(self.services.close)
        listener = discovery.listen('127.0.0.1', 0)
        self.address = listener.getsockname()
        self.services.start(0, listener)
        self.services.list([FIRST])

    def connect(self) -> Connection:
        connection = Connection(self.address)
        self.addCleanup(connection.close)
        connection.send(0, bytes(120))
        kind, body = connection.receive()
        self.assertEqual((1, 120), (kind, len(body)))
        return connection

    def log_page(self, connection: Connection, length: int,
                 offset: int = 0) -> bytes:
        connection.command(
            2, 9, f40=struct.pack('<BxHH', 0x70, length // 4 - 1, 0),
            f48=struct.pack('<Q', offset))
        return connection.data(9)

    def test_log_page_lists_the_nodes(self) -> None:
        self.services.list([FIRST, SECOND])
        page = self.log_page(self.connect(), 3072)
        self.assertEqual((2, 2, 0), struct.unpack_from('<QQH', page))
        self.assertEqual(
            [(3, 1, 2, 1, b'4420', SUBSYSTEM.encode(), b'192.0.2.11'),
             (3, 2, 2, 2, b'4420', SUBSYSTEM.encode(), b'2001:db8::12')],
            [(*entry[:3], entry[4], entry[32:64].rstrip(),
              entry[256:512].rstrip(b'\0'), entry[512:768].rstrip())
             for entry in (page[1024:2048], page[2048:])])

    def test_log_page_is_read_in_parts(self) -> None:
        page = self.log_page(self.connect(), 1024, offset=1024)
        self.assertEqual(discovery.log_page(1, [FIRST])[1024:], page)

    def test_controller_gets_ready_and_shuts_down(self) -> None:
        connection = self.connect()
        states = []
        for configuration in (1, 1 | 1 << 14):
            connection.command(
                0x7f, 1, f4=b'\0',
                f44=struct.pack('<IQ', 0x14, configuration))
            self.assertEqual((0, 1, 0), connection.completion())
            connection.command(0x7f, 2, f4=b'\4',
                               f44=struct.pack('<I', 0x1c))
            states.append(connection.completion()[0])
        self.assertEqual([1, 2 << 2], states)

    def test_identify_is_of_the_controller_connected_to(self) -> None:
        connection = self.connect()
        connection.command(0x7f, 1, f4=b'\1')
        number = connection.completion()[0]
        connection.command(6, 2, f40=b'\1')
        data = connection.data(2)
        self.assertEqual(
            (number, 2, discovery.NQN.encode()),
            (struct.unpack_from('<H', data, 78)[0], data[111],
             data[768:1024].rstrip(b'\0')))

    def test_change_is_announced_to_who_asked(self) -> None:
        connection = self.connect()
        connection.command(0x0c, 5)
        self.services.list([FIRST, SECOND])
        self.assertEqual((discovery.LOG_CHANGED, 5, 0),
                         connection.completion())

    def test_change_is_announced_when_asked_later(self) -> None:
        connection = self.connect()
        connection.command(0x18, 4)
        connection.completion()
        self.services.list([FIRST, SECOND])
        connection.command(0x0c, 5)
        self.assertEqual((discovery.LOG_CHANGED, 5, 0),
                         connection.completion())

    def test_same_list_is_not_announced(self) -> None:
        connection = self.connect()
        connection.command(0x0c, 5)
        self.services.list([FIRST])
        connection.command(0x18, 6)
        self.assertEqual((0, 6, 0), connection.completion())

    def test_unknown_commands_are_refused(self) -> None:
        connection = self.connect()
        connection.command(0x77, 1)
        connection.command(2, 2, f40=b'\1')
        self.assertEqual([(0, 1, 0x4001), (0, 2, 0x4002)],
                         [connection.completion() for _number in range(2)])

    def test_end_of_a_node_cuts_its_connections(self) -> None:
        connection = self.connect()
        self.services.stop(0)
        self.assertRaises(EOFError, connection.receive)
        self.assertRaises(ConnectionRefusedError, Connection, self.address)


class TestClient(testtools.TestCase):

    def test_file_of_os_brick(self) -> None:
        self.assertEqual(
            {discovery_client.Service('tcp', '192.0.2.11', '8009', 'host'),
             discovery_client.Service('tcp', '192.0.2.12', '8009', 'host')},
            discovery_client.read(
                '# os_brick connector dsc file for LightOS volume: u\n'
                '-t tcp -a 192.0.2.11 -s 8009 -q host -n subsystem\n'
                '-t tcp -a 192.0.2.12 -s 8009 -q host -n subsystem\n'))

    def test_half_a_line_is_passed_over(self) -> None:
        self.assertEqual(set(), discovery_client.read('-t tcp -a 192.0'))

    def test_event_of_the_kernel(self) -> None:
        message = (b'change@/devices/virtual/nvme-fabrics/ctl/nvme0\0'
                   b'SUBSYSTEM=nvme\0NVME_AEN=%s\0NVME_TRTYPE=tcp\0')
        self.assertTrue(discovery_client.announces(message % b'0x70f002'))
        self.assertFalse(discovery_client.announces(message % b'0x0cff02'))
