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
"""One request on one connection, and what a failure means."""

import errno
import io
import logging
import os
import ssl
import types
from typing import Any, Optional
from unittest import mock

import ddt
import fixtures
import requests
import testtools
import urllib3

from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import transport
from cinder.volume.drivers.lightos import waiting

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}'
MIB = 1024 * 1024


class FakeSocket:
    """A connection on which a reply comes in parts.

    :param reply: all of it
    :param parts: in so many parts
    :param seconds: that each part takes to come
    :ivar timeouts: those that were set, in order
    """

    def __init__(self, clock: fake_lightos.FakeClock, reply: bytes,
                 parts: int = 1, seconds: float = 0.0) -> None:
        self._clock = clock
        self._reply = io.BytesIO(reply)
        self._size = -(-len(reply) // parts)
        self._seconds = seconds
        self.timeouts: list[Optional[float]] = [None]

    def settimeout(self, seconds: Optional[float]) -> None:
        self.timeouts.append(seconds)

    def gettimeout(self) -> Optional[float]:
        return self.timeouts[-1]

    def sendall(self, data: bytes) -> None:
        pass

    def makefile(self, *_args: Any) -> io.BufferedReader:
        raw = io.RawIOBase()
        raw.readable = lambda: True  # type: ignore[method-assign]
        raw.readinto = self._readinto  # type: ignore[attr-defined]
        return io.BufferedReader(raw)

    def _readinto(self, buffer: Any) -> int:
        self._clock.advance(self._seconds)
        part = self._reply.read(min(self._size, len(buffer)))
        buffer[:len(part)] = part
        return len(part)

    def shutdown(self, _how: int) -> None:
        pass

    def close(self) -> None:
        pass


class TransportTestCase(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.clock = self.useFixture(fake_lightos.FakeClock())
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))

    def request(self, sock: FakeSocket,
                timeout: Optional[float] = 10.0) -> requests.Response:
        """Send a request on a connection."""
        def connect(made: Any) -> None:
            made.sock, made.is_verified = sock, True

        with mock.patch('urllib3.connection.HTTPSConnection.connect',
                        connect):
            return transport.session().get('https://10.0.0.1/',
                                           timeout=timeout)

    def failure(self, *args: Any, **kwargs: Any) -> requests.RequestException:
        """With what a request fails."""
        return self.assertRaises(requests.RequestException, self.request,
                                 *args, **kwargs)


@ddt.ddt
class ReplyTestCase(TransportTestCase):

    def test_c4_reply_is_read(self):
        self.assertEqual(b'{}', self.request(
            FakeSocket(self.clock, OK)).content)

    def test_e1_all_of_a_reply_must_come_within_the_timeout(self):
        began = self.clock.monotonic()
        error = self.failure(FakeSocket(self.clock, OK, len(OK), seconds=3))
        self.assertEqual(12, self.clock.monotonic() - began)
        self.assertEqual('no answer in time', transport.reason(error))

    def test_e1_each_wait_is_for_what_is_left(self):
        sock = FakeSocket(self.clock, OK, 3, seconds=3)
        self.request(sock)
        self.assertEqual([10, 7, 4], [
            timeout for timeout in sock.timeouts if timeout][-3:])

    def test_e1_reply_without_a_timeout_may_take_its_time(self):
        self.assertEqual(b'{}', self.request(
            FakeSocket(self.clock, OK, 3, seconds=99), timeout=None).content)

    @ddt.data(102, 199)
    def test_c4_answer_to_come_is_not_left_on_the_connection(self, status):
        error = self.failure(FakeSocket(
            self.clock, b'HTTP/1.1 %d Wait\r\n\r\n%s' % (status, OK)))
        self.assertIn('HTTP %d' % status, transport.reason(error))

    def test_c6_headers_that_are_none_are_not_logged(self):
        error = self.failure(FakeSocket(
            self.clock, OK.replace(b'Content', b'hushhush\r\nContent')))
        self.assertIn('headers that are none', transport.reason(error))
        self.assertNotIn('hushhush', self.log.output + str(error))


@ddt.ddt
class ReceiveTestCase(TransportTestCase):

    def receive(self, *parts: bytes, seconds: float = 0.0,
                method: str = 'read1') -> bytes:
        """Read a reply that comes in parts.

        :param seconds: that each takes
        :param method: by which the library gives them
        """
        left = iter(parts)

        def read(size: int, decode_content: bool) -> bytes:
            self.clock.advance(seconds)
            self.assertIsInstance(size, int)
            # A short reply could hold a long one.
            self.assertFalse(decode_content)
            return next(left, b'')

        response = mock.Mock(raw=types.SimpleNamespace(
            **{'read': None, method: read}))
        return transport.receive(response, waiting.Deadline(10))

    @ddt.data('read1', 'read')
    def test_c4_parts_are_put_together(self, method):
        self.assertEqual(b'abc', self.receive(b'a', b'bc', method=method))

    def test_e5_reply_of_32_mib_is_the_longest(self):
        half = b' ' * (16 * MIB)
        self.assertEqual(32 * MIB, len(self.receive(half, half)))
        self.assertRaises(requests.RequestException, self.receive, half,
                          half, b' ')

    def test_e1_parts_that_come_for_ever_do_not_last(self):
        began = self.clock.monotonic()
        self.assertRaises(requests.Timeout, self.receive, *[b' '] * 99,
                          seconds=3)
        self.assertEqual(12, self.clock.monotonic() - began)


@ddt.ddt
class FailureTestCase(TransportTestCase):

    def nested(self, depth: int, exc: Exception) -> Exception:
        """An exception below others, so many altogether."""
        for _each in range(depth - 1):
            exc = Exception(exc)
        return exc

    def test_c4_what_fails_while_it_connects_was_not_sent(self):
        with mock.patch('urllib3.connection.HTTPSConnection.connect',
                        side_effect=OSError(errno.ECONNRESET, 'reset')):
            error = self.assertRaises(
                requests.RequestException, transport.session().get,
                'https://10.0.0.1/')
        self.assertFalse(transport.was_sent(error))

    def test_c4_what_fails_later_may_have_been_sent(self):
        self.assertTrue(transport.was_sent(self.failure(
            FakeSocket(self.clock, b''))))

    @ddt.data(ssl.SSLCertVerificationError(1, 'expired'),
              requests.exceptions.ConnectTimeout(),
              urllib3.exceptions.ConnectTimeoutError(),
              urllib3.exceptions.NewConnectionError(mock.Mock(), 'refused'))
    def test_c4_failure_of_what_comes_before_a_request(self, exc):
        self.assertFalse(transport.was_sent(self.nested(3, exc)))

    def test_c5_causes_are_followed_six_deep(self):
        exc = ssl.SSLCertVerificationError(1, 'expired')
        self.assertEqual([True, False], [
            transport.is_untrusted(self.nested(depth, exc))
            for depth in (6, 7)])

    @ddt.data(requests.exceptions.ReadTimeout(),
              requests.ConnectionError(
                  urllib3.exceptions.ReadTimeoutError(mock.Mock(), '/', '')),
              requests.ConnectionError(
                  urllib3.exceptions.ConnectTimeoutError()))
    def test_e2_answer_that_takes_too_long(self, exc):
        self.assertEqual('no answer in time', transport.reason(exc))

    @ddt.data(
        (ssl.SSLError(1, 'wrong version'), 'TLS: '),
        (urllib3.exceptions.NewConnectionError(mock.Mock(), 'no route'),
         'no route'),
        (OSError(0, 'as the system says'), 'as the system says'),
        (OSError(errno.EPIPE, 'as the system says'), 'as the system says'),
        (OSError(errno.EPIPE, 'EPIPE'), os.strerror(errno.EPIPE)))
    @ddt.unpack
    def test_c2_reason_is_in_words(self, exc, words):
        self.assertIn(words, transport.reason(
            requests.ConnectionError(exc)))


class SessionTestCase(TransportTestCase):

    def test_c5_authorities_are_in_a_file_or_a_directory(self):
        directory = self.useFixture(fixtures.TempDir())
        transport.check_authorities(directory.path)
        path = directory.join('ca')
        self.assertRaises(OSError, transport.check_authorities, path)
        with open(path, 'w') as file:
            file.write('no certificate')
        self.assertRaises(OSError, transport.check_authorities, path)

    def test_c6_environment_is_not_asked(self):
        self.assertFalse(transport.session().trust_env)

    def pool(self, session: requests.Session, number: int) -> Any:
        """The connections to a node."""
        return session.get_adapter(
            'https://').poolmanager.connection_from_host(
            '10.0.0.%d' % number, 443, 'https')

    def test_c4_connections_to_64_nodes_are_kept(self):
        session = transport.session()
        first = self.pool(session, 0)
        for number in range(64):
            self.pool(session, number)
        self.assertIs(first, self.pool(session, 0))

    def test_c4_64_connections_to_a_node_are_kept(self):
        self.assertEqual(64, self.pool(transport.session(), 0).pool.maxsize)
