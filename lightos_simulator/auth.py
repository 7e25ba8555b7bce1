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
"""Tokens: who a request comes from, and what that one may do.

A token is a JWT signed with RS256. Its header names the credential
(``kid`` = ``<scope>:<name>``), its claim ``roles`` the right
(``<scope>:<role>``); a scope is ``system`` or a project.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
import dataclasses
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives import serialization
import jwt

from lightos_simulator import errors
from lightos_simulator import world

SYSTEM = world.SYSTEM_SCOPE
CLUSTER_ADMIN = 'cluster-admin'
ADMIN = 'admin'
VIEWER = 'viewer'
# The default of the vendor's command line.
LIFETIME = 30 * 24 * 3600.0

_CLAIMS = ['roles', 'sub', 'iss', 'iat', 'nbf', 'exp']
_CACHE_SIZE = 1000


@dataclasses.dataclass(frozen=True)
class Identity:
    """Who a request comes from.

    :ivar credential: ``<scope>:<credential name>``
    """
    credential: str
    scope: str
    role: str

    @property
    def is_cluster_admin(self) -> bool:
        """Whether it may do everything."""
        return (self.scope, self.role) == (SYSTEM, CLUSTER_ADMIN)

    def check(self, project: str | None, writes: bool) -> None:
        """Refuse what this one may not do.

        :param project: where it would be done; None is the whole cluster
        :param writes: whether it changes anything
        :raises ApiError: 403
        """
        if self.is_cluster_admin:
            return
        if project is None or project != self.scope:
            raise errors.denied('%s is confined to project %s'
                                % (self.credential, self.scope))
        if writes and self.role != ADMIN:
            raise errors.denied('%s may only read' % self.credential)


ANYBODY = Identity('', SYSTEM, CLUSTER_ADMIN)


@dataclasses.dataclass(frozen=True)
class _Verified:
    identity: Identity
    not_before: float
    expires: float


def _roles(scope: str) -> tuple[str, ...]:
    return (CLUSTER_ADMIN,) if scope == SYSTEM else (ADMIN, VIEWER)


class Authority:
    """Makes tokens and checks them.

    :param issuer: the issuer that tokens name
    :param clock: gives the seconds since the epoch
    :param key: a private key in PEM; None makes a new one
    """

    def __init__(self, issuer: str, clock: Callable[[], float],
                 key: str | None = None, credentials: Iterable[str] = (),
                 revoked: Iterable[str] = ()) -> None:
        self._issuer = issuer
        self._clock = clock
        if key is None:
            private = rsa.generate_private_key(public_exponent=65537,
                                               key_size=2048)
        else:
            loaded = serialization.load_pem_private_key(key.encode(), None)
            assert isinstance(loaded, rsa.RSAPrivateKey)
            private = loaded
        self._private = private
        self._public = private.public_key()
        self.credentials = set(credentials)
        self.revoked = set(revoked)
        self._cache: dict[str, _Verified] = {}

    def key(self) -> str:
        """The private key in PEM."""
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()).decode()

    def issue(self, scope: str, role: str, name: str,
              lifetime: float = LIFETIME) -> str:
        """Make a token.

        :param name: the credential's name
        :param lifetime: seconds; a token of a negative one has expired
        :raises ValueError: there is no such role in this scope, or the
            credential was revoked
        """
        if role not in _roles(scope):
            raise ValueError('the roles of scope %s are: %s'
                             % (scope, ', '.join(_roles(scope))))
        credential = '%s:%s' % (scope, name)
        if credential in self.revoked:
            raise ValueError('credential %s was revoked' % credential)
        self.credentials.add(credential)
        now = self._clock()
        return jwt.encode(
            {'roles': ['%s:%s' % (scope, role)], 'sub': name,
             'iss': self._issuer, 'iat': int(now), 'nbf': int(now),
             'exp': int(now + lifetime)},
            self._private, algorithm='RS256', headers={'kid': credential})

    def revoke(self, name: str) -> list[str]:
        """Refuse the tokens of a credential from now on.

        :param name: ``<scope>:<name>``, or a name in every scope
        :return: the credentials that this revoked
        """
        found = sorted(credential for credential in self.credentials
                       if name in (credential, credential.partition(':')[2]))
        self.revoked.update(found)
        self.credentials.difference_update(found)
        return found

    def authenticate(self, header: str | None) -> Identity:
        """Say who a request comes from.

        :param header: its Authorization header
        :raises ApiError: 401
        """
        scheme, _, token = (header or '').partition(' ')
        if scheme.lower() != 'bearer' or not token:
            raise errors.unauthenticated('a bearer token is needed')
        verified = self._cache.get(token)
        if verified is None:
            verified = self._verify(token.strip())
            if len(self._cache) >= _CACHE_SIZE:
                self._cache.clear()
            self._cache[token] = verified
        now = self._clock()
        if now >= verified.expires:
            raise errors.unauthenticated('the token has expired')
        if now < verified.not_before:
            raise errors.unauthenticated('the token is not valid yet')
        if verified.identity.credential not in self.credentials:
            raise errors.unauthenticated('the credential is not known')
        return verified.identity

    def _verify(self, token: str) -> _Verified:
        try:
            kid: Any = jwt.get_unverified_header(token).get('kid')
            claims = jwt.decode(
                token, self._public, algorithms=['RS256'],
                options={'require': _CLAIMS, 'verify_exp': False,
                         'verify_nbf': False, 'verify_iat': False})
            (right,) = claims['roles']
            scope, role = right.split(':')
            credential_scope, _ = kid.split(':')
            not_before = float(claims['nbf'])
            expires = float(claims['exp'])
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            raise errors.unauthenticated('the token is not good') from None
        if (credential_scope != scope or claims['iss'] != self._issuer
                or role not in _roles(scope)):
            raise errors.unauthenticated('the token is not good')
        return _Verified(Identity(kid, scope, role), not_before, expires)
