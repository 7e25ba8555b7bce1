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
"""What lies between the driver and the simulated cluster in a model run.

It stands where requests would open a connection, so that the driver's own
session, URLs, headers and error handling are at work; the simulator answers
in this process, and both are on one clock that nobody waits for.
"""

import io
import json
import random
import ssl
from typing import Any, Callable, Optional
from urllib import parse

import requests
import urllib3
from urllib3 import exceptions as urllib3_exc

from lightos_simulator import api
from lightos_simulator import faults

# More requests in one sequence than any sensible driver makes.
MOST_REQUESTS = 30000
# Statuses after which the driver may give up at once.
_FINAL = (400, 401, 403, 404, 501)


class ServiceDied(BaseException):
    """The volume service is killed: nothing of it runs any further."""


class Endless(BaseException):
    """The driver would go on for ever."""


class Clock:
    """The one clock of a model run; it stands for the module ``time``."""

    def __init__(self) -> None:
        self.now = 1.8e9

    def __call__(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def sleep(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError('sleep length must be non-negative')
        self.now += seconds


class Wire:
    """The network of one cluster.

    :param addresses: one for each node
    :ivar node_modes: by address: up, refused (nothing listens), unreachable,
        hung (takes the connection and never answers)
    :ivar rules: the faults in force
    :ivar die_at: the number, from 1, of the request during which the service
        dies; None for none
    :ivar dies_after: whether that request is carried out first
    :ivar before_update: called before an UpdateVolume is carried out: here
        another writer comes in between
    :ivar struck: what became of which operation, for each fault
    :ivar log: called with a line for each request
    :ivar final_faults: how many requests got a status that is final
    """

    def __init__(self, clock: Clock, server: api.Api,
                 addresses: list[str]) -> None:
        self._clock = clock
        self._server = server
        self._addresses = addresses
        self._rng = random.Random()
        self._requests = 0
        self.node_modes = dict.fromkeys(addresses, 'up')
        self.before_update: Optional[Callable[[str], None]] = None
        self.log: Optional[Callable[[str], None]] = None
        self.calm()

    def calm(self, seed: object = 0) -> None:
        """End all faults but those of the nodes.

        :param seed: for the latencies from now on
        """
        self._rng.seed(str(seed))
        self.rules = faults.FaultRules()
        self.die_at: Optional[int] = None
        self.dies_after = False
        self.struck: list[str] = []
        self.final_faults = 0

    def send(self, adapter: requests.adapters.HTTPAdapter,
             prepared: requests.PreparedRequest, stream: bool = False,
             timeout: Any = None, verify: Any = True, cert: Any = None,
             proxies: Any = None) -> requests.Response:
        """Stand for ``requests.adapters.HTTPAdapter.send``."""
        self._requests += 1
        if self._requests > MOST_REQUESTS:
            raise Endless()
        asked = api.ApiRequest.from_url(
            str(prepared.method), prepared.path_url, prepared.headers,
            (prepared.body or '').encode())
        try:
            response = self._pass(asked, prepared, timeout)
        except Exception as exc:
            self._note(asked, type(exc).__name__)
            raise
        self._note(asked, str(response.status))
        return adapter.build_response(prepared, response)

    def ask(self, method: str, path: str,
            body: dict[str, Any]) -> dict[str, Any]:
        """A request of somebody else, which nothing disturbs."""
        answer: dict[str, Any] = json.loads(self._server.handle(
            api.ApiRequest(method, path, body=json.dumps(body).encode())
        ).body)
        return answer

    def _note(self, asked: api.ApiRequest, what: str) -> None:
        if self.log:
            self.log('    %.3f %s %s%s %s -> %s' % (
                self._clock.now - 1.8e9, asked.method, asked.path,
                dict(asked.query) or '', asked.body.decode(), what))

    def _pass(self, asked: api.ApiRequest,
              prepared: requests.PreparedRequest,
              timeout: tuple[float, float]) -> urllib3.HTTPResponse:
        connect_timeout, read_timeout = timeout
        host = str(parse.urlsplit(str(prepared.url)).hostname)
        mode = self.node_modes.get(host, 'refused')
        if mode == 'refused':
            raise _broken('refused', prepared)
        if mode == 'unreachable':
            self._clock.advance(connect_timeout)
            raise _broken('unreachable', prepared)
        self._clock.advance(self._rng.uniform(0.0005, 0.005))
        operation = self._server.operation_name(asked)
        if mode == 'hung':
            self._clock.advance(read_timeout)
            raise _broken('silent', prepared)
        if operation == 'UpdateVolume' and self.before_update:
            self.before_update(asked.path.rpartition('/')[2])
        if self.die_at is not None:
            self.die_at -= 1
            if self.die_at == 0:
                if self.dies_after:
                    self._server.handle(asked)
                raise ServiceDied()
        rule = self.rules.pick(self._addresses.index(host), operation,
                               asked.method, asked.path)
        if rule is None:
            return _answer(asked, self._server.handle(asked))
        return self._strike(rule, asked, prepared, operation, read_timeout)

    def _strike(self, rule: faults.FaultRule, asked: api.ApiRequest,
                prepared: requests.PreparedRequest, operation: Optional[str],
                read_timeout: float) -> urllib3.HTTPResponse:
        self.struck.append('%s %s' % (rule.action, operation))
        response = None
        if rule.executes:
            response = self._server.handle(asked,
                                           rule.action == 'fail-object')
        if rule.action == 'hang' or rule.delay > read_timeout:
            self._clock.advance(read_timeout)
            raise _broken('silent', prepared)
        self._clock.advance(rule.delay)
        if rule.action in ('drop', 'lose-reply'):
            raise _broken('cut', prepared)
        if rule.action in ('delay', 'fail-object', 'half-reply'):
            assert response is not None
            return _answer(asked, response, rule.action == 'half-reply')
        if rule.action == 'status':
            error = faults.error_of(rule)
            answer = api.error_response(error.status, error.code,
                                        error.message)
        elif rule.action == 'html':
            answer = api.ApiResponse(200, {'Content-Type': 'text/html'},
                                     faults.HTML)
        else:
            answer = api.ApiResponse(
                200, {'Content-Type': 'application/json'},
                rule.payload() if rule.action == 'body' else b'')
        status = rule.status or answer.status
        self.final_faults += status in _FINAL
        return _answer(asked, api.ApiResponse(
            status, {**answer.headers, **rule.headers}, answer.body))


def _answer(asked: api.ApiRequest, response: api.ApiResponse,
            half: bool = False) -> urllib3.HTTPResponse:
    body = response.body
    headers = {**response.headers, 'Content-Length': str(len(body))}
    return urllib3.HTTPResponse(
        io.BytesIO(body[:len(body) // 2] if half else body), headers,
        response.status, preload_content=False, enforce_content_length=True,
        request_method=asked.method)


def _broken(how: str, prepared: requests.PreparedRequest) -> Exception:
    """The exception that requests makes of urllib3's."""
    pool: Any = urllib3.HTTPSConnectionPool('node')
    if how == 'refused':
        return requests.exceptions.ConnectionError(urllib3_exc.MaxRetryError(
            pool, prepared.path_url, urllib3_exc.NewConnectionError(
                pool, 'Connection refused')), request=prepared)
    if how == 'unreachable':
        return requests.exceptions.ConnectTimeout(urllib3_exc.MaxRetryError(
            pool, prepared.path_url, urllib3_exc.ConnectTimeoutError(
                pool, 'timed out')), request=prepared)
    if how == 'silent':
        return requests.exceptions.ReadTimeout(urllib3_exc.ReadTimeoutError(
            pool, prepared.path_url, 'Read timed out.'), request=prepared)
    return requests.exceptions.ConnectionError(urllib3_exc.ProtocolError(
        'Connection aborted.', ssl.SSLEOFError(8, 'EOF occurred')),
        request=prepared)
