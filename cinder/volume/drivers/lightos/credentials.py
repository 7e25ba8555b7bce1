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
"""The JWT that the driver presents to the cluster."""

import base64
import binascii
import json
import os
import re
import threading
import time
from typing import Optional

from oslo_log import log as logging

from cinder.volume import configuration

LOG = logging.getLogger(__name__)

# What can stand behind "Bearer" in a header (RFC 6750).
_TOKEN = re.compile(r'[A-Za-z0-9._~+/-]+=*')

# So many characters of a file cannot be a token.
_TOO_LONG = 64 * 1024

_DAY = 24 * 60 * 60
_WARN_AHEAD = 7 * _DAY


class Credentials:
    """The current token, from the configuration or from a file.

    The token is never shown: not in logs, not in errors, not in a repr.

    :param conf: the backend's configuration
    """

    def __init__(self, conf: configuration.Configuration) -> None:
        self._conf = conf
        self._lock = threading.Lock()
        self._token: Optional[str] = None
        self._stamp: Optional[tuple[int, int, int]] = None
        self._complaint: Optional[str] = None
        self._expiry: Optional[float] = None
        self._warned_at: Optional[float] = None

    def __repr__(self) -> str:
        return '<Credentials from %s>' % self.source

    @property
    def source(self) -> str:
        """Where the token comes from, for messages to the operator."""
        path = self._path
        if path:
            return 'lightos_jwt_file (%s)' % path
        if self._conf.lightos_jwt:
            return 'lightos_jwt'
        return 'neither lightos_jwt_file nor lightos_jwt: no token is set'

    @property
    def _path(self) -> Optional[str]:
        return self._conf.safe_get('lightos_jwt_file')

    def token(self) -> Optional[str]:
        """The token to present now, None for a cluster that takes none."""
        with self._lock:
            path = self._path
            if path:
                self._read_if_changed(path)
            else:
                self._take(self._conf.lightos_jwt or '')
            self._warn_of_expiry()
            return self._token

    def replaced(self, refused: Optional[str]) -> bool:
        """Whether there is another token than the one just refused."""
        with self._lock:
            self._stamp = None
        return self.token() != refused

    def _read_if_changed(self, path: str) -> None:
        try:
            with open(path, encoding='ascii',
                      opener=_open_at_once) as token_file:
                stamp = _stamp(token_file.fileno())
                if stamp == self._stamp:
                    return
                token = token_file.read(_TOO_LONG)
        except OSError as exc:
            self._complain('cannot be read (%s)' % exc.strerror)
            return
        except ValueError:
            self._complain('holds no token')
            return
        self._stamp = stamp
        if not token.strip():
            self._complain('is empty')
        elif len(token) == _TOO_LONG:
            self._complain('holds no token')
        else:
            self._take(token)

    def _take(self, text: str) -> None:
        """Use a token, unless it could not even be sent.

        A library that refused to send it would show it in the error.
        """
        token = text.strip()
        if token and _TOKEN.fullmatch(token) is None:
            self._complain('holds no token')
        elif token:
            self._complaint = None
            if token != self._token:
                self._token = token
                self._expiry = _expiry(token)
                self._warned_at = None

    def _complain(self, what: str) -> None:
        if what != self._complaint:
            LOG.error('%(source)s %(what)s; %(then)s.',
                      {'source': self.source, 'what': what,
                       'then': 'the token read before stays in use'
                       if self._token else 'there is no token to use'})
            self._complaint = what

    def _warn_of_expiry(self) -> None:
        now = time.time()
        if self._expiry is None or self._expiry >= now + _WARN_AHEAD:
            return
        if self._warned_at is None or now - self._warned_at >= _DAY:
            self._warned_at = now
            LOG.warning(
                'The LightOS token of %(source)s %(expires)s at %(when)s '
                'UTC. Replace it.',
                {'source': self.source,
                 'expires': 'expired' if self._expiry <= now else 'expires',
                 'when': time.strftime('%Y-%m-%d %H:%M:%S',
                                       time.gmtime(self._expiry))})


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; a pipe that nobody writes to is not waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def _stamp(descriptor: int) -> tuple[int, int, int]:
    status = os.fstat(descriptor)
    return status.st_mtime_ns, status.st_ino, status.st_size


def _expiry(token: str) -> Optional[float]:
    """When a token says it expires; nothing else depends on it.

    The claims are read without being trusted: only the cluster can tell
    whether a token is good.
    """
    try:
        # A JWT is without the padding; more than is missing is ignored.
        claims = base64.urlsafe_b64decode(token.split('.')[1] + '==')
        expiry = json.loads(claims).get('exp')
    except (IndexError, AttributeError, ValueError, RecursionError,
            binascii.Error):
        return None
    if isinstance(expiry, (int, float)) and expiry >= 0:
        return expiry
    return None
