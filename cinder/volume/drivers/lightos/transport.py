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
"""One request on one connection: sessions, limits, what a failure means."""

import errno
import http.client
import http.cookiejar
import io
import os
import ssl
from typing import Any, Iterator, Optional

import requests
import urllib3

from cinder.volume.drivers.lightos import waiting

CONNECTIONS_PER_NODE = 64
# A page of 1000 volumes takes about 2 MiB.
_LONGEST_REPLY = 32 * 1024 * 1024
_CHUNK = 64 * 1024
# Marks an exception from before anything of the request was sent.
_UNSENT = 'lightos_unsent'


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
        left = self._limit.remaining
        if not left:
            raise TimeoutError('the reply takes too long')
        self._sock.settimeout(left)
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

    def begin(self) -> None:
        super().begin()
        # After an informational status the answer is still to come: on a
        # connection that is kept it would be taken for that to the next
        # request.
        if self.status < http.HTTPStatus.OK:
            raise http.client.HTTPException('HTTP %d' % self.status)
        # urllib3 would log what it cannot read of the headers, and a node may
        # put the token there.
        try:
            urllib3.util.response.assert_header_parsing(self.msg)
        except urllib3.exceptions.HeaderParsingError:
            raise http.client.HTTPException('headers that are none') from None


class _Connection(urllib3.connection.HTTPSConnection):
    response_class = _Reply

    def connect(self) -> None:
        try:
            super().connect()
        except Exception as exc:
            setattr(exc, _UNSENT, True)
            raise


class _Pool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Connection


class _Session(requests.Session):

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Not even look where a redirect leads.

        To offer the next request, requests reads the reply whole, however
        long it is, and raises for an address that makes no sense.
        """
        return None


def session() -> requests.Session:
    """A session whose connections are kept and whose waits are bounded."""
    made = _Session()
    # Neither proxies nor netrc of the service's environment apply to the
    # storage network.
    made.trust_env = False
    # A short reply can hold a long one that is compressed.
    made.headers['Accept-Encoding'] = 'identity'
    made.cookies.set_policy(
        http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    adapter = requests.adapters.HTTPAdapter(
        pool_connections=64, pool_maxsize=CONNECTIONS_PER_NODE)
    adapter.poolmanager.pool_classes_by_scheme = {'https': _Pool}
    made.mount('https://', adapter)
    return made


def check_authorities(path: str) -> None:
    """Read what certificates shall be checked against.

    :param path: a file, or a directory as ``openssl rehash`` makes it
    :raises: OSError when there is none
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if os.path.isdir(path):
        os.listdir(path)
    else:
        context.load_verify_locations(cafile=path)


def receive(response: requests.Response, limit: waiting.Deadline) -> bytes:
    """Read a reply, but neither for ever nor without end."""
    # read1 returns what there is, where read waits for a whole chunk.
    # urllib3 1.26 does not have it.
    read = getattr(response.raw, 'read1', response.raw.read)
    content = bytearray()
    while chunk := read(_CHUNK, decode_content=False):
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
                                     requests.exceptions.ConnectTimeout)) or
                   getattr(each, _UNSENT, False)
                   for each in _causes(exc))


def is_untrusted(exc: Exception) -> bool:
    """Whether the node's certificate could not be verified."""
    return any(isinstance(each, ssl.SSLCertVerificationError)
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
            # eventlet has but the name of the number.
            if each.errno and each.strerror == errno.errorcode.get(
                    each.errno):
                return os.strerror(each.errno)
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
