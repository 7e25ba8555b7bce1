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
"""HTTPS servers that behave as badly as they are told to: a program.

It reads one command a line from stdin, a JSON object, and answers each with a
line of JSON. Its servers are nodes of a LightOS cluster as far as the driver
can tell; each connection has a thread of its own. It imports nothing but the
standard library, so that what it does is not at the mercy of what it tests.
"""

import dataclasses
import http.server
import itertools
import json
import re
import socket
import socketserver
import ssl
import struct
import sys
import threading
from typing import Any, Optional
import warnings

# How long anything here lasts at the most, in seconds.
LONGEST = 60.0
VERSIONS = {'1.1': ssl.TLSVersion.TLSv1_1, '1.2': ssl.TLSVersion.TLSv1_2,
            '1.3': ssl.TLSVersion.TLSv1_3}


@dataclasses.dataclass
class Rule:
    """What happens to some requests instead of an answer as it should be.

    :ivar action: ``reply``; ``hang`` (read and never answered); ``close`` (in
        order) and ``reset``, both after ``sent`` of the reply; ``dribble``
        (a byte at a time); ``long`` (``length`` blanks and ``end``); ``raw``
        (``body``, and after ``pause`` seconds ``end`` if there is one, both
        in Latin-1 and as they are; without an ``end`` that is all)
    :ivar when: regular expression, searched for in ``METHOD path``
    :ivar times: how often it happens; None is for ever
    :ivar kept: whether it happens only to requests that are not the first of
        their connection
    :ivar sent: how much of the reply is sent: 0 to 1
    :ivar pause: seconds between the bytes of a dribble
    :ivar headers_too: whether the headers dribble as well as the body
    """

    action: str
    when: str = ''
    times: Optional[int] = None
    kept: bool = False
    status: int = 200
    body: Any = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    sent: float = 0.0
    pause: float = 0.1
    headers_too: bool = False
    length: int = 0
    end: str = ''


class Node(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """One server, and what it has seen.

    :param info: its answer to clusterinfo
    :param certificate: path of the PEM file with its key and certificate
    :param by_name: the same for clients that ask for a host name (SNI)
    :param mode: ``up``; ``no-handshake`` and ``no-read``: it accepts
        connections and goes no further
    :param idle: seconds after which it closes a connection nothing comes on
    :param tls: the only version of TLS it speaks
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, address: str, port: int, certificate: str,
                 info: Any = None, by_name: Optional[dict[str, str]] = None,
                 mode: str = 'up', idle: float = LONGEST,
                 tls: Optional[str] = None) -> None:
        self.address_family = (socket.AF_INET6 if ':' in address
                               else socket.AF_INET)
        self.info = info
        self.mode = mode
        self.idle = idle
        self.rules: list[Rule] = []
        self.requests: list[dict[str, Any]] = []
        self.open: set[socket.socket] = set()
        self.connections = self.handshakes = self.most_open = 0
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.context = self._context(certificate, tls)
        names = {name: self._context(path, tls)
                 for name, path in (by_name or {}).items()}

        def choose(tls_socket: ssl.SSLSocket, name: Optional[str],
                   context: ssl.SSLContext) -> None:
            tls_socket.context = names.get(name or '', context)

        self.context.sni_callback = choose
        super().__init__((address, port), Handler)

    @staticmethod
    def _context(certificate: str, tls: Optional[str]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if tls:
            # Old versions work at OpenSSL's lowest security level alone.
            context.set_ciphers('DEFAULT:@SECLEVEL=0')
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', DeprecationWarning)
                context.minimum_version = VERSIONS[tls]
                context.maximum_version = VERSIONS[tls]
        return context

    def server_bind(self) -> None:
        # That of HTTPServer looks up the address's name.
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    def pick(self, asked: str, first: bool) -> Optional[Rule]:
        with self.lock:
            for rule in self.rules:
                if (rule.times != 0 and re.search(rule.when, asked) and
                        not (rule.kept and first)):
                    if rule.times is not None:
                        rule.times -= 1
                    return rule
        return None

    def end(self) -> None:
        """Refuse connections from now on and cut those there are."""
        self.shutdown()
        self.released.set()
        with self.lock:
            for each in self.open:
                try:
                    # This wakes the thread that waits for a request.
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.server_close()

    def seen(self) -> dict[str, Any]:
        with self.lock:
            return {'requests': list(self.requests),
                    'connections': self.connections,
                    'handshakes': self.handshakes,
                    'most_open': self.most_open}


def reset(connection: socket.socket) -> None:
    """End a connection with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                          struct.pack('ii', 1, 0))
    # The files made from the socket would keep close() from closing it.
    socket.close(connection.detach())


def http_reply(status: int, body: Any,
               headers: Optional[dict[str, str]] = None) -> bytes:
    """A reply as it is on the wire.

    :param body: text, or anything else as JSON
    """
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    fields = {'Content-Type': 'application/json',
              'Content-Length': str(len(content)), **(headers or {})}
    head = 'HTTP/1.1 %d Whatever\r\n' % status + ''.join(
        '%s: %s\r\n' % field for field in fields.items()) + '\r\n'
    return head.encode() + content


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = 'HTTP/1.1'
    server: Node

    def setup(self) -> None:
        self.timeout = self.server.idle
        plain = self.request
        with self.server.lock:
            self.number = next(self.server.numbers)
            self.server.connections += 1
            self.server.open.add(plain)
            self.server.most_open = max(self.server.most_open,
                                        len(self.server.open))
        self.accepted = plain
        try:
            if self.server.mode == 'no-handshake':
                self.server.released.wait(LONGEST)
                raise ConnectionAbortedError
            plain.settimeout(LONGEST)
            self.request = self.server.context.wrap_socket(
                plain, server_side=True)
        except OSError:
            self._forget()
            raise
        with self.server.lock:
            self.server.open.discard(plain)
            self.server.open.add(self.request)
            self.server.handshakes += 1
        self.accepted = self.request
        self.first = True
        super().setup()

    def handle(self) -> None:
        if self.server.mode == 'no-read':
            self.server.released.wait(LONGEST)
        else:
            super().handle()

    def finish(self) -> None:
        try:
            super().finish()
            self.request.close()
        except OSError:
            pass
        finally:
            self._forget()

    def _forget(self) -> None:
        with self.server.lock:
            self.server.open.discard(self.accepted)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        asked = '%s %s' % (self.command, self.path)
        rule = self.server.pick(asked, self.first)
        self.first = False
        with self.server.lock:
            self.server.requests.append({
                'asked': asked, 'connection': self.number,
                'body': body.decode(), 'host': self.headers.get('Host'),
                'authorization': self.headers.get('Authorization')})
        if rule is None:
            self._send(http_reply(200, self._content()))
        else:
            getattr(self, rule.action)(rule)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def _content(self) -> Any:
        if self.path.endswith('/clusterinfo'):
            return self.server.info
        return {'UUID': '5a5c1b0e-0000-4000-8000-000000000001',
                'state': 'Available'}

    def _send(self, reply: bytes) -> None:
        self.wfile.write(reply)
        self.wfile.flush()

    def _reply_of(self, rule: Rule) -> bytes:
        body = self._content() if rule.body is None else rule.body
        return http_reply(rule.status, body, rule.headers)

    def reply(self, rule: Rule) -> None:
        self._send(self._reply_of(rule))

    def hang(self, rule: Rule) -> None:
        self.server.released.wait(LONGEST)
        self.close_connection = True

    def close(self, rule: Rule) -> None:
        reply = self._reply_of(rule)
        self._send(reply[:int(len(reply) * rule.sent)])
        self.close_connection = True

    def reset(self, rule: Rule) -> None:
        reply = self._reply_of(rule)
        self._send(reply[:int(len(reply) * rule.sent)])
        self.close_connection = True
        reset(self.request)

    def dribble(self, rule: Rule) -> None:
        reply = self._reply_of(rule)
        if not rule.headers_too:
            head, _separator, reply = reply.partition(b'\r\n\r\n')
            self._send(head + b'\r\n\r\n')
        for byte in reply:
            self._send(bytes([byte]))
            if self.server.released.wait(rule.pause):
                break

    def long(self, rule: Rule) -> None:
        end = rule.end.encode()
        self._send(http_reply(rule.status, '', {
            'Content-Length': str(rule.length + len(end)), **rule.headers}))
        chunk = b' ' * 65536
        for _count in range(rule.length // len(chunk)):
            self._send(chunk)
        self._send(end)

    def raw(self, rule: Rule) -> None:
        self._send(rule.body.encode('latin-1'))
        if rule.end:
            self.server.released.wait(rule.pause)
            self._send(rule.end.encode('latin-1'))
        else:
            self.close_connection = True


class Program:
    """The commands: the public methods, with a command's other fields."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def start(self, name: str, **settings: Any) -> Any:
        node = self._nodes[name] = Node(**settings)
        threading.Thread(target=node.serve_forever, args=(0.02,),
                         daemon=True).start()
        return node.server_address[1]

    def change(self, name: str, **attributes: Any) -> None:
        for attribute, value in attributes.items():
            setattr(self._nodes[name], attribute, value)

    def rule(self, name: str, rules: list[dict[str, Any]]) -> None:
        """Put these rules into the place of those there are."""
        node = self._nodes[name]
        made = [Rule(**each) for each in rules]
        with node.lock:
            node.rules = made

    def seen(self, name: str) -> Any:
        return self._nodes[name].seen()

    def stop(self, name: str) -> None:
        self._nodes.pop(name).end()

    def stop_all(self) -> None:
        for name in list(self._nodes):
            self.stop(name)


def main() -> None:
    program = Program()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {'value': getattr(program, command.pop('do'))(**command)}
        except OSError as exc:
            answer = {'error': str(exc)}
        sys.stdout.write(json.dumps(answer) + '\n')
        sys.stdout.flush()
    program.stop_all()


if __name__ == '__main__':
    main()
