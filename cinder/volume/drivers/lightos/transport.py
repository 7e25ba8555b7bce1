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
"""One request on one connection: pools, limits, what a failure means."""

import http.client
import io
import ssl
from typing import Any, Iterator, Optional

import requests
import urllib3

from cinder.volume.drivers.lightos import waiting

CONNECTIONS_PER_NODE = 64
# A page of 1000 volumes takes about 2 MiB.
_LONGEST_REPLY = 32 * 1024 * 1024
_CHUNK = 64 * 1024


class _Bounded(io.RawIOBase):
    """What comes from a socket until its timeout, counted from now, is over.

    The timeout of a socket starts anew with each byte that comes.
    """

    def __init__(self, sock: Any, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self._limit = waiting.Deadline(sock.gettimeout())

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Optional[int]:
        if self._limit.passed:
            raise TimeoutError('the reply takes too long')
        self._sock.settimeout(self._limit.remaining or 0.001)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Reply(http.client.HTTPResponse):
    """A reply all of which must come within the socket's timeout."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        if sock.gettimeout() is not None:
            self.fp = io.BufferedReader(_Bounded(sock, self.fp.detach()))


class _Connection(urllib3.connection.HTTPSConnection):
    response_class = _Reply


class _Pool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Connection


def adapter() -> requests.adapters.HTTPAdapter:
    """What keeps connections, and sends a request on one of them.

    It is used without a ``requests.Session``, whose proxies, netrc, cookies
    and redirects have no place here; the merging of its settings would take
    a tenth of the time of each request.
    """
    made = requests.adapters.HTTPAdapter(
        pool_connections=64, pool_maxsize=CONNECTIONS_PER_NODE)
    made.poolmanager.pool_classes_by_scheme = {'https': _Pool}
    return made


def receive(response: requests.Response, limit: waiting.Deadline) -> bytes:
    """Read a reply, but neither for ever nor without end."""
    # read1 returns what there is, where read waits for a whole chunk.
    # urllib3 1.26 does not have it.
    read = getattr(response.raw, 'read1', response.raw.read)
    content = bytearray()
    while chunk := read(_CHUNK, decode_content=True):
        content += chunk
        if len(content) > _LONGEST_REPLY:
            raise requests.RequestException('the reply is too long')
        if limit.passed:
            raise requests.Timeout('the reply takes too long')
    return bytes(content)


def was_sent(exc: Exception) -> bool:
    """Whether a request that failed so may have reached the node."""
    return not any(isinstance(each, (urllib3.exceptions.NewConnectionError,
                                     urllib3.exceptions.ConnectTimeoutError,
                                     ssl.SSLCertVerificationError,
                                     requests.exceptions.ConnectTimeout,
                                     requests.exceptions.InvalidHeader,
                                     requests.exceptions.InvalidURL))
                   for each in _causes(exc))


def is_timeout(exc: Exception) -> bool:
    # urllib3 derives the error for a refused connection from one for a
    # connection that took too long.
    return isinstance(exc, requests.exceptions.Timeout) or any(
        isinstance(each, urllib3.exceptions.TimeoutError) and
        not isinstance(each, urllib3.exceptions.NewConnectionError)
        for each in _causes(exc))


def reason(exc: Exception) -> str:
    """Why there is no reply, in few words."""
    if is_timeout(exc):
        return 'no answer in time'
    for each in _causes(exc):
        if isinstance(each, ssl.SSLError):
            return 'TLS: ' + str(each)
        if isinstance(each, OSError) and each.strerror:
            return each.strerror
        if isinstance(each, http.client.HTTPException):
            return 'the connection was closed: %s' % each
    return str(exc)


def _causes(exc: object, depth: int = 6) -> Iterator[object]:
    """An exception of requests and what the libraries below it raised."""
    if not isinstance(exc, BaseException) or not depth:
        return
    yield exc
    for cause in (*exc.args, getattr(exc, 'reason', None), exc.__context__):
        yield from _causes(cause, depth - 1)
