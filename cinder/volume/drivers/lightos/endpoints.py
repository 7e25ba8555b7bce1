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
"""The nodes of the cluster as API endpoints, and how they are doing."""

import collections
import enum
import random
import threading
from typing import Iterable, NamedTuple, Optional

from oslo_config import types
from oslo_log import log as logging
from oslo_utils import netutils

from cinder.volume.drivers.lightos import waiting

LOG = logging.getLogger(__name__)

_HOST = types.HostAddress()

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


class Health(enum.Enum):
    NEW = 'new'              # it has not proven yet that it is of our cluster
    GOOD = 'good'
    ASIDE = 'set aside'      # it failed; tried again after a growing pause


class Address(NamedTuple):
    """Where an endpoint listens. An IPv6 address is without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return '%s:%d' % (netutils.escape_ipv6(self.host), self.port)

    @classmethod
    def parse(cls, text: str, default_port: int) -> Optional['Address']:
        """Read ``host``, ``host:port`` or ``[IPv6]:port``.

        :returns: None when it is none of these
        """
        if not text.isprintable() or '%' in text:
            return None
        if netutils.is_valid_ipv6(text):
            return cls(text, default_port)
        try:
            host, port = netutils.parse_host_port(text, default_port)
            host = _HOST(host)
        except (TypeError, ValueError):
            return None
        if not 0 < port < 65536:
            return None
        return cls(host, port)


class Endpoint:
    """One API endpoint. Its state belongs to the Endpoints it is in."""

    def __init__(self, address: Address, seed: bool) -> None:
        self.address = address
        self.seed = seed
        self.health = Health.NEW
        self.failures = 0
        self.retry_at = 0.0
        self.again_at = 0.0
        self.failing_since = 0.0
        # Whether it has answered for another cluster.
        self.stranger = False
        # Whether its certificate could not be verified.
        self.untrusted = False
        self.being_proven = False

    @property
    def failed_meanwhile(self) -> bool:
        """Whether it failed another call while this one waited for it."""
        return self.health is Health.ASIDE and not self.being_proven

    def __repr__(self) -> str:
        return '<Endpoint %s %s>' % (self.address, self.health.value)


class Endpoints:
    """All endpoints of the cluster: who is asked next, and who is not.

    Safe to use from several threads. A node that fails is set aside: calls
    go to the others, and one call at a time tries it again after a pause
    that doubles up to a minute.

    :param seeds: the configured addresses; they are never forgotten
    """

    def __init__(self, seeds: Iterable[Address]) -> None:
        # It guards everything below, is held for a few statements only and
        # never while a call is under way.
        self._lock = threading.Lock()
        self._endpoints = {address: Endpoint(address, seed=True)
                           for address in seeds}
        self._turn = random.randrange(len(self._endpoints) or 1)

    def addresses(self) -> tuple[Address, ...]:
        with self._lock:
            return tuple(self._endpoints)

    def take(self, tried: Iterable[Address]) -> Optional[Endpoint]:
        """Choose the endpoint for the next try of a call.

        An endpoint that is not GOOD is lent to one caller at a time, who
        must prove it and then say ``recovered``, ``set_aside`` or
        ``give_back``.

        :param tried: those that failed this call already
        :returns: None when all that could be asked have been tried
        """
        now = waiting.monotonic()
        with self._lock:
            rest = [each for each in self._in_turn()
                    if each.address not in set(tried) and
                    not each.being_proven]
            due = [each for each in rest if each.health is not Health.GOOD and
                   each.retry_at <= now]
            good = [each for each in rest if each.health is Health.GOOD]
            aside = [each for each in rest if each not in due + good and
                     each.again_at <= now]
            # A call that has lost time already makes no trial of its own
            # while a good node is left. With none left the pauses are short,
            # and all callers share them.
            first = good + due if tried else due + good
            for endpoint in first + aside:
                endpoint.being_proven = endpoint.health is not Health.GOOD
                return endpoint
        return None

    def any_good(self) -> bool:
        with self._lock:
            return any(each.health is Health.GOOD
                       for each in self._endpoints.values())

    @property
    def untrusted(self) -> bool:
        """Whether the certificate of no endpoint could be verified."""
        with self._lock:
            return bool(self._endpoints) and all(
                each.untrusted for each in self._endpoints.values())

    def recovered(self, endpoint: Endpoint) -> None:
        """An endpoint answered and has proven that it is of our cluster."""
        with self._lock:
            before = endpoint.health
            endpoint.health = Health.GOOD
            endpoint.failures = 0
            endpoint.untrusted = False
            endpoint.being_proven = False
        if before is Health.ASIDE:
            LOG.info('The LightOS node %s answers again.', endpoint.address)

    def give_back(self, endpoint: Endpoint) -> None:
        """An endpoint was lent, and nothing can be said of it."""
        with self._lock:
            endpoint.being_proven = False

    def set_aside(self, endpoint: Endpoint, why: str,
                  stranger: bool = False, untrusted: bool = False) -> None:
        """An endpoint failed a call.

        :param stranger: whether it is of another cluster
        :param untrusted: whether its certificate could not be verified
        """
        with self._lock:
            before = endpoint.health
            news = (before is not Health.ASIDE or
                    stranger and not endpoint.stranger)
            endpoint.stranger = stranger
            endpoint.untrusted = untrusted
            endpoint.health = Health.ASIDE
            endpoint.being_proven = False
            now = waiting.monotonic()
            if before is not Health.ASIDE:
                endpoint.failing_since = now
            endpoint.again_at = now + waiting.pause_after(
                now - endpoint.failing_since)
            # Calls that were in flight together fail together: they count
            # as one failure.
            if before is not Health.ASIDE or endpoint.retry_at <= now:
                endpoint.failures += 1
                pause = min(_FIRST_PAUSE * 2 ** (endpoint.failures - 1),
                            _LONGEST_PAUSE)
                endpoint.retry_at = now + pause * random.uniform(0.75, 1.0)
        if news:
            LOG.warning('The LightOS node %(node)s is set aside and tried '
                        'again from time to time: %(why)s',
                        {'node': endpoint.address, 'why': why})

    def learn(self, addresses: Iterable[Address]) -> None:
        """Take the cluster's own word for where its nodes are.

        :param addresses: the current endpoints; those learned before that
            are not among them are forgotten, seeds are not
        """
        current = set(addresses)
        if not current:
            return
        with self._lock:
            for address in current - self._endpoints.keys():
                self._endpoints[address] = Endpoint(address, seed=False)
            for address, endpoint in list(self._endpoints.items()):
                if address not in current and not endpoint.seed:
                    del self._endpoints[address]

    def _in_turn(self) -> list[Endpoint]:
        endpoints = collections.deque(self._endpoints.values())
        self._turn += 1
        endpoints.rotate(self._turn)
        return list(endpoints)
