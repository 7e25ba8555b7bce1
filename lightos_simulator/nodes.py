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
"""The REST service of each node: up, stopped, hung or slow."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
import itertools
import logging
import socket
import ssl
import time
from typing import Any

from aiohttp import web
import trustme

from lightos_simulator import api
from lightos_simulator import faults

LOG = logging.getLogger(__name__)

MODES = ('up', 'stopped', 'hung', 'slow')
_PORT_TRIES = 100
_BACKLOG = 1024


class _Server(web.Server):
    """A server that numbers its connections and can let requests hang."""

    connection_numbers = itertools.count(1)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.numbers: dict[Any, int] = {}
        self._hanging: dict[Any, asyncio.Future[None]] = {}

    def connection_made(self, handler: Any, transport: asyncio.Transport
                        ) -> None:
        super().connection_made(handler, transport)
        self.numbers[handler] = next(self.connection_numbers)

    def connection_lost(self, handler: Any, exc: BaseException | None = None
                        ) -> None:
        super().connection_lost(handler, exc)
        self.numbers.pop(handler, None)
        self._release(handler)

    async def hang(self, handler: Any) -> None:
        """Wait until the client leaves or hanging requests are released."""
        future = asyncio.get_running_loop().create_future()
        self._hanging[handler] = future
        await future

    def _release(self, handler: Any) -> None:
        future = self._hanging.pop(handler, None)
        if future is not None and not future.done():
            future.set_result(None)

    def release_all(self) -> None:
        """Let no request hang any longer."""
        for handler in list(self._hanging):
            self._release(handler)


class NodeService:
    """The REST service of one node.

    :param index: the node's place in the cluster
    :param clock: gives the time for the journal
    """

    def __init__(self, index: int, address: str, port: int, service: api.Api,
                 rules: faults.FaultRules, journal: faults.Journal,
                 authority: trustme.CA, clock: Any) -> None:
        self.index = index
        self.address = address
        self.port = port
        self.mode = 'stopped'
        self.delay = 0.0
        self._api = service
        self._rules = rules
        self._journal = journal
        self._authority = authority
        self._clock = clock
        self._server: _Server | None = None
        self._runner: web.ServerRunner | None = None

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        certificate = self._authority.issue_cert(
            self.address, 'localhost', 'lightos-node%d.test' % self.index)
        certificate.configure_cert(context)
        return context

    async def set_mode(self, mode: str, delay: float = 0.0,
                       listener: socket.socket | None = None) -> None:
        """Change how the service behaves.

        Requests that hang are cut when a hung node is no longer so.

        :param mode: one of MODES
        :param delay: seconds that a slow node takes longer
        :param listener: a socket that is bound to the node's endpoint
        :raises OSError: the endpoint is taken
        """
        if mode == 'stopped':
            await self._stop()
        elif self._runner is None:
            await self._start(listener or bind(self.address, self.port))
        self.mode = mode
        self.delay = delay
        self.release()

    def release(self) -> None:
        """Cut the requests that hang."""
        if self._server is not None:
            self._server.release_all()

    async def move(self, address: str) -> None:
        """Give the service another address, in the mode that it has.

        :raises OSError: it cannot listen there; nothing has changed
        """
        if self.mode == 'stopped':
            self.address = address
            return
        listener = bind(address, self.port)
        mode, delay = self.mode, self.delay
        await self._stop()
        self.address = address
        await self.set_mode(mode, delay, listener)

    async def _start(self, listener: socket.socket) -> None:
        self._server = _Server(self._serve, access_log=None)
        self._runner = web.ServerRunner(self._server, access_log=None,
                                        shutdown_timeout=0)
        await self._runner.setup()
        await web.SockSite(self._runner, listener, ssl_context=self._tls(),
                           backlog=_BACKLOG).start()

    async def _stop(self) -> None:
        if self._runner is not None:
            runner = self._runner
            self._server = self._runner = None
            self.mode = 'stopped'
            await runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        begin = time.perf_counter()
        server = self._server
        if server is None:
            return _cut(request)
        body = await request.read()
        asked = api.ApiRequest.from_url(request.method, request.raw_path,
                                        request.headers, body)
        entry = self._journal.add(
            self._clock(), self.index, server.numbers[request.protocol],
            asked.method, asked.path, asked.query, body)
        try:
            if self.mode == 'slow':
                await asyncio.sleep(self.delay)
            if self.mode == 'hung':
                entry.operation = self._api.operation_name(asked)
                await server.hang(request.protocol)
                return _cut(request)
            if not self._rules:
                return _send(self._execute(asked, entry, False))
            return await self._serve_with_faults(server, request, asked,
                                                 entry)
        finally:
            entry.milliseconds = round(
                1000 * (time.perf_counter() - begin), 3)

    def _execute(self, asked: api.ApiRequest, entry: faults.JournalEntry,
                 fails: bool) -> api.ApiResponse:
        response = self._api.handle(asked, fails)
        entry.operation = response.operation
        entry.credential = response.credential
        entry.status = response.status
        return response

    async def _serve_with_faults(self, server: _Server,
                                 request: web.BaseRequest,
                                 asked: api.ApiRequest,
                                 entry: faults.JournalEntry
                                 ) -> web.StreamResponse:
        entry.operation = self._api.operation_name(asked)
        rule = self._rules.pick(self.index, entry.operation, asked.method,
                                asked.path)
        if rule is None:
            return _send(self._execute(asked, entry, False))
        entry.fault = rule.action
        if rule.delay:
            await asyncio.sleep(rule.delay)
        response = None
        if rule.executes:
            response = self._execute(asked, entry,
                                     rule.action == 'fail-object')
        if rule.action in ('delay', 'fail-object') and response is not None:
            return _send(response)
        if rule.action == 'hang':
            await server.hang(request.protocol)
        if rule.action in ('hang', 'drop', 'lose-reply'):
            entry.status = None
            return _cut(request)
        if rule.action == 'half-reply':
            entry.status = None
            return await _send_half(request, response)
        if rule.action == 'status':
            error = faults.error_of(rule)
            faulty = api.error_response(error.status, error.code,
                                        error.message)
        elif rule.action == 'html':
            faulty = api.ApiResponse(200, {'Content-Type': 'text/html'},
                                     faults.HTML)
        else:
            content = rule.payload() if rule.action == 'body' else b''
            faulty = api.ApiResponse(
                200, {'Content-Type': 'application/json'}, content)
        entry.status = rule.status or faulty.status
        return web.Response(
            status=entry.status, headers={**faulty.headers, **rule.headers},
            body=faulty.body)


def _send(response: api.ApiResponse) -> web.Response:
    return web.Response(status=response.status, headers=response.headers,
                        body=response.body)


def _cut(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _send_half(request: web.BaseRequest,
                     response: api.ApiResponse | None) -> web.StreamResponse:
    body = response.body if response else b'{"message": "half a reply"}'
    half = web.StreamResponse(
        status=response.status if response else 200,
        headers={'Content-Type': 'application/json',
                 'Content-Length': str(len(body))})
    await half.prepare(request)
    await half.write(body[:len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half


def bind(address: str, port: int) -> socket.socket:
    """A socket that is bound and does not listen yet.

    :raises OSError: the address and port cannot be had; its strerror says
        which they are
    """
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, 'cannot listen on %s port %d: %s'
                      % (address, port, error.strerror)) from None
    return listener


def bind_all(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """A socket on each address, all on one port.

    :param port: 0 is any that is free on all of them
    :raises OSError: there is none
    """
    for attempt in range(_PORT_TRIES):
        bound: list[socket.socket] = []
        try:
            for address in addresses:
                wanted = port or (bound[0].getsockname()[1] if bound else 0)
                bound.append(bind(address, wanted))
            return bound
        except OSError:
            for listener in bound:
                listener.close()
            # Only a port that the system chose may be free elsewhere.
            if port or not bound or attempt == _PORT_TRIES - 1:
                raise
    raise AssertionError('unreachable')
