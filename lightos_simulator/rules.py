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
"""What a single value of a request must look like.

Pure functions; the limits are those that a client of LightOS may rely on.
Each raises :class:`errors.ApiError` (400, code 3) for a bad value.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import ipaddress
import re
from typing import Any

from lightos_simulator import errors

BLOCK = 4096
GIB = 2 ** 30
MAX_PAGE = 1000
ALLOW_NONE = 'ALLOW_NONE'
ALLOW_ANY = 'ALLOW_ANY'

_WORDS = (ALLOW_NONE, ALLOW_ANY)
_NAME = re.compile(r'[A-Za-z0-9._-]{1,253}')
_SIZE = re.compile(r'([0-9]{1,20}) ?(b|gib)', re.IGNORECASE)
_MAX_SIZE = 2 ** 63
_MAX_IPS = 16
_MAX_LABELS = 16
# The NVMe specification bounds a qualified name to 223 bytes.
_NQN = re.compile(r'nqn\.[!-~]{1,219}')
_COMPRESSION = {'true': True, 'enable': True, 'enabled': True,
                'false': False, 'disable': False, 'disabled': False}
_IOPS_STEP = 256

Labels = tuple[tuple[str, str], ...]


def name(text: str, what: str = 'name') -> str:
    """A name: 1 to 253 of letters, digits, ``-``, ``_`` and ``.``."""
    if not _NAME.fullmatch(text):
        raise errors.invalid(
            '%s must be 1 to 253 of letters, digits, "-", "_" and "."' % what)
    return text


def size(text: str) -> int:
    """A volume's size: ``4096b`` or ``4 gib``.

    :return: bytes
    """
    match = _SIZE.fullmatch(text)
    if not match:
        raise errors.invalid('size must be "<bytes>b" or "<number> gib"')
    number = int(match.group(1))
    if match.group(2).lower() == 'gib':
        number *= GIB
    if not 0 < number <= _MAX_SIZE:
        raise errors.invalid('size is out of range')
    if number % BLOCK:
        raise errors.invalid('size must be a multiple of %d bytes' % BLOCK)
    return number


def compression(text: str) -> bool:
    """Whether a volume is compressed; empty is not."""
    try:
        return _COMPRESSION[text.lower() or 'false']
    except KeyError:
        raise errors.invalid('compression must be one of %s'
                             % ', '.join(_COMPRESSION)) from None


def acl(values: Sequence[str]) -> tuple[str, ...]:
    """The hosts that may reach a volume: NQNs, or exactly one word."""
    return _access(values, 'acl', _is_nqn)


def ip_acl(values: Sequence[str], limited: bool) -> tuple[str, ...]:
    """The IP addresses that may reach a volume, or exactly one word.

    :param limited: allow at most 16 addresses
    """
    if limited and len(values) > _MAX_IPS:
        raise errors.invalid('IPAcl takes at most %d addresses' % _MAX_IPS)
    return _access(values, 'IPAcl', _is_ip)


def _access(values: Sequence[str], what: str, valid: Callable[[str], bool]
            ) -> tuple[str, ...]:
    if not values:
        raise errors.invalid('%s must have values' % what)
    if any(value in _WORDS for value in values):
        if len(values) > 1:
            raise errors.invalid('%s takes one of %s alone'
                                 % (what, ', '.join(_WORDS)))
    else:
        for value in values:
            if not valid(value):
                raise errors.invalid('%s has a bad value' % what)
    return tuple(values)


def _is_nqn(value: str) -> bool:
    return bool(_NQN.fullmatch(value))


def _is_ip(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def labels(values: Sequence[Mapping[str, str]], cut_keys: bool) -> Labels:
    """Labels; of two with the same key the last one counts.

    :param cut_keys: keep only what follows a key's last ``-`` or ``.``
    """
    if len(values) > _MAX_LABELS:
        raise errors.invalid('at most %d labels' % _MAX_LABELS)
    result = {}
    for label in values:
        key = name(label.get('key', ''), 'label key')
        if cut_keys:
            key = name(re.split('[-.]', key)[-1], 'label key')
        result[key] = name(label.get('value', ''), 'label value')
    return tuple(result.items())


def page_limit(limit: int) -> int:
    """How many objects a page has, at most 1000, which is the default."""
    if not 0 <= limit <= MAX_PAGE:
        raise errors.invalid('limit must be between 0 and %d' % MAX_PAGE)
    return limit or MAX_PAGE


def retention(seconds: float) -> float:
    """How long a snapshot is kept, in seconds; 0 is for ever."""
    if seconds < 0:
        raise errors.invalid('retentionTime must not be negative')
    return seconds


def rate_limit(policy: Mapping[str, Any]) -> None:
    """A QoS policy's limits: exactly one kind, IOPS in steps of 256."""
    kinds = [kind for kind in ('limitIOPS', 'limitBw', 'limitIOPSPerGB')
             if kind in policy]
    if len(kinds) != 1:
        raise errors.invalid('a policy limits exactly one of limitIOPS, '
                             'limitBw, limitIOPSPerGB')
    if any(limit % _IOPS_STEP for limit in
           policy.get('limitIOPS', {}).values()):
        raise errors.invalid('IOPS are limited in steps of %d' % _IOPS_STEP)
    scope = policy.get('projectsNamesScope', [])
    visibility = policy.get('policyVisibility')
    if visibility == 'Global':
        if scope:
            raise errors.invalid('a Global policy names no projects')
    elif visibility == 'Scoped':
        if not scope:
            raise errors.invalid('a Scoped policy names its projects')
        for project in scope:
            name(project, 'project name')
    else:
        raise errors.invalid('policyVisibility must be Global or Scoped')
