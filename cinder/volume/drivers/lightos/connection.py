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
"""The REST client: one call, to whichever node of the cluster answers it."""

import http
import itertools
import json
import threading
from typing import Any, Optional

from oslo_log import log as logging
import requests
import urllib3

from cinder import exception as cinder_exception
from cinder.volume import configuration
from cinder.volume.drivers.lightos import answers
from cinder.volume.drivers.lightos import commands
from cinder.volume.drivers.lightos import credentials
from cinder.volume.drivers.lightos import endpoints
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import transport
from cinder.volume.drivers.lightos import waiting

LOG = logging.getLogger(__name__)

# LightOS API, "Attaching": the port of a node's discovery service.
DISCOVERY_PORT = 8009

# Seconds to connect in: a node on the same network that takes longer is not
# there, and nothing has been sent to it yet.
_CONNECT_TIMEOUT = 5.0
# Seconds for a node to prove itself while other nodes serve.
_PROOF_TIMEOUT = 5.0
# What LightOS does not answer to clusterinfo, and what would be taken for an
# answer about the object that the next call is for.
_NO_ANSWER_OF_OURS = (http.HTTPStatus.BAD_REQUEST, http.HTTPStatus.NOT_FOUND,
                      http.HTTPStatus.CONFLICT,
                      http.HTTPStatus.PRECONDITION_FAILED)


class LightOSConnection:
    """The management API of one LightOS cluster.

    Calls go round the healthy nodes. A node that does not answer, or not
    with what belongs to the API, is set aside and the next one is asked; a
    call that may have reached a node is never repeated unless it changes
    nothing. What an answer means is for the caller to decide.

    Safe to use from several threads, native or green.

    :param conf: the backend's configuration; it is read at each use
    """

    def __init__(self, conf: configuration.Configuration) -> None:
        self.conf = conf
        self.subsystemNQN: Optional[str] = None
        self.cluster_uuid: Optional[str] = None
        self.discovery_endpoints: tuple[endpoints.Address, ...] = ()
        self.max_replicas: Optional[int] = None
        self.discovery_learned_at: Optional[float] = None
        self._credentials = credentials.Credentials(conf)
        self._endpoints = endpoints.Endpoints(self._seeds())
        self._session = transport.session()
        self._slots: dict[endpoints.Address, threading.BoundedSemaphore] = {}
        self._numbers = itertools.count(1)
        # Held while the pinned UUID is compared and set, and while the seeds
        # are compared for the first time.
        self._pin_lock = threading.Lock()
        self._first_lock = threading.Lock()
        self._compared = False
        # Set when a node failed: the nodes may have other addresses now, and
        # the next call asks for them first.
        self._relearn = False
        self._warned_of_tls = False

    @property
    def token_source(self) -> str:
        """Where the token comes from, for messages to the operator."""
        return self._credentials.source

    def check_authorities(self) -> None:
        """Refuse a CA that cannot be read before it is needed.

        :raises: InvalidConfigurationValue
        """
        path = self.conf.safe_get('driver_ssl_cert_path')
        if not (self.conf.driver_ssl_cert_verify and path):
            return
        try:
            transport.check_authorities(path)
        except OSError as exc:
            raise cinder_exception.InvalidConfigurationValue(
                option='driver_ssl_cert_path',
                value='%s (%s)' % (path, exc.strerror or exc))

    def send_cmd(self, cmd: str, timeout: float,
                 **kwargs: Any) -> tuple[int, Any]:
        """Send a command to the cluster.

        :param cmd: a name in ``commands.COMMANDS``
        :param timeout: seconds in which any node must have answered;
            ``lightos_api_service_timeout`` bounds the wait for each of them
        :param kwargs: what the command takes
        :returns: the HTTP status and the reply that a node gave: parsed
            JSON, or text where it was none
        :raises: LightOSNoAnswer when no node answered, LightOSWrongCluster
            when the configured addresses belong to different clusters,
            LightOSUntrusted when the certificate of none of them could be
            verified before the first call
        """
        request = commands.build(cmd, **kwargs)
        deadline = waiting.Deadline(timeout)
        self._compare_seeds(deadline)
        pauses = waiting.Pauses(deadline)
        tried: list[endpoints.Address] = []
        trouble = ''
        while True:
            endpoint = self._endpoints.take(tried)
            if endpoint is None:
                if deadline.passed:
                    raise exception.LightOSNoAnswer(
                        trouble or 'no endpoint could be asked', sent=False)
                pauses.pause()
                tried = []
                continue
            tried.append(endpoint.address)
            asks_who = cmd == 'get_cluster_info'
            if endpoint.being_proven or self._relearn or asks_who:
                self._relearn = False
                result = self._prove(endpoint, deadline)
                if result.trouble is not None:
                    trouble = _last_trouble(trouble, endpoint, result)
                    self._check_trust(trouble)
                    if deadline.passed:
                        raise exception.LightOSNoAnswer(trouble, sent=False)
                    continue
                if result.status is not None and (
                        asks_who or result.status != http.HTTPStatus.OK):
                    return result.status, result.data
            result = self._try(endpoint, cmd, request, deadline)
            if result.trouble is not None:
                self._relearn |= result.blame
                trouble = _last_trouble(trouble, endpoint, result)
            if result.status is not None:
                return result.status, result.data
            if result.sent and commands.changes_something(cmd):
                raise exception.LightOSNoAnswer(trouble, sent=True)
            if deadline.passed:
                raise exception.LightOSNoAnswer(trouble, sent=False)

    def learn(self, info: replies.ClusterInfo, source: str) -> None:
        """Take over what the cluster says of itself.

        :param source: the endpoint that says it
        :raises: LightOSWrongCluster when it is another cluster
        """
        self._pin(info.uuid, source)
        self.subsystemNQN = info.subsystem_nqn or self.subsystemNQN
        # LightOS API: 0 for a while at start.
        self.max_replicas = info.max_replicas or self.max_replicas
        port = self.conf.lightos_api_port
        self._endpoints.learn(_addresses(info.api_endpoints, port))
        if info.discovery_endpoints:
            self.learn_discovery(_addresses(info.discovery_endpoints,
                                            DISCOVERY_PORT))

    def learn_discovery(self,
                        addresses: tuple[endpoints.Address, ...]) -> None:
        """Take over where the discovery services are now."""
        self.discovery_endpoints = addresses
        self.discovery_learned_at = waiting.monotonic()

    def _seeds(self) -> tuple[endpoints.Address, ...]:
        configured = self.conf.lightos_api_address or []
        if isinstance(configured, str):
            configured = configured.split(',')
        return _addresses((str(each).strip() for each in configured),
                          self.conf.lightos_api_port)

    def _compare_seeds(self, deadline: waiting.Deadline) -> None:
        """Before the first call: do all seeds belong to one cluster?

        Seeds that do not answer are left for later: an endpoint proves
        itself before its first use anyway.
        """
        if self._compared:
            return
        with self._first_lock:
            tried: list[endpoints.Address] = []
            while not (self._compared or deadline.passed):
                endpoint = self._endpoints.take(tried)
                if endpoint is None:
                    self._compared = True
                    return
                tried.append(endpoint.address)
                result = self._prove(endpoint, deadline, first=endpoint.seed)
                self._check_trust('%s: %s' % (endpoint.address,
                                              result.trouble))

    def _check_trust(self, trouble: str) -> None:
        """Certificates that never could be verified do not pass by waiting.

        :raises: LightOSUntrusted
        """
        if self.cluster_uuid is None and self._endpoints.untrusted:
            raise exception.LightOSUntrusted(reason=trouble)

    def _prove(self, endpoint: endpoints.Endpoint,
               deadline: waiting.Deadline,
               first: bool = False) -> answers.Result:
        """Have an endpoint show that it serves, and serves our cluster.

        What it says of the cluster is learned on the way.

        :param first: whether seeds are compared for the first time: then
            another cluster's endpoint is an error, later it is set aside
        :returns: its answer, which is no proof unless it is OK; trouble when
            it is not one that any call might get
        """
        limit = deadline
        if first or endpoint.being_proven and self._endpoints.any_good():
            limit = waiting.Deadline(min(_PROOF_TIMEOUT, deadline.remaining))
        try:
            result = self._try(endpoint, 'get_cluster_info',
                               commands.build('get_cluster_info'), limit)
            if result.status == http.HTTPStatus.OK and not result.trouble:
                self.learn(replies.ClusterInfo.parse(result.data),
                           str(endpoint.address))
                self._endpoints.recovered(endpoint)
                return result
            if (result.status is not None and result.trouble is None and (
                    result.status in _NO_ANSWER_OF_OURS or
                    endpoint.being_proven and self._endpoints.any_good())):
                result = result._replace(
                    trouble='HTTP %d to clusterinfo' % result.status)
        except exception.LightOSBadReply as exc:
            result = answers.Result(None, trouble='clusterinfo: %s' % exc)
        except exception.LightOSWrongCluster as exc:
            if first:
                self._endpoints.give_back(endpoint)
                raise
            self._endpoints.set_aside(endpoint, str(exc), stranger=True)
            return answers.Result(None, trouble=str(exc))
        except BaseException:
            self._endpoints.give_back(endpoint)
            raise
        if result.trouble is not None and result.blame:
            self._endpoints.set_aside(endpoint, result.trouble,
                                      untrusted=result.untrusted)
        else:
            self._endpoints.give_back(endpoint)
        return result

    def _pin(self, uuid: str, endpoint: str) -> None:
        with self._pin_lock:
            if self.cluster_uuid is None:
                self.cluster_uuid = uuid
            if uuid != self.cluster_uuid:
                raise exception.LightOSWrongCluster(
                    endpoint=endpoint, found=uuid, expected=self.cluster_uuid)

    def _try(self, endpoint: endpoints.Endpoint, cmd: str,
             request: commands.Request,
             deadline: waiting.Deadline) -> answers.Result:
        """Send a request to one node, and again if the token was replaced."""
        token = self._credentials.token()
        result = self._exchange(endpoint, cmd, request, deadline, token)
        if (result.status == http.HTTPStatus.UNAUTHORIZED and
                self._credentials.replaced(token)):
            result = self._exchange(endpoint, cmd, request, deadline,
                                    self._credentials.token())
        return result

    def _exchange(self, endpoint: endpoints.Endpoint, cmd: str,
                  request: commands.Request, deadline: waiting.Deadline,
                  token: Optional[str]) -> answers.Result:
        """One request and its reply, on one connection to one node."""
        address = endpoint.address
        slot = self._slots.setdefault(
            address,
            threading.BoundedSemaphore(transport.CONNECTIONS_PER_NODE))
        if not slot.acquire(timeout=deadline.remaining):
            return answers.Result(None, trouble='all connections are in use',
                                  sent=False, blame=False)
        if endpoint.failed_meanwhile:
            slot.release()
            return answers.Result(None, trouble='set aside meanwhile',
                                  sent=False, blame=False)
        number = next(self._numbers)
        limit = waiting.Deadline(min(
            float(self.conf.lightos_api_service_timeout),
            max(deadline.remaining, waiting.SHORTEST_PAUSE)))
        try:
            result = self._transfer(address, request, limit, token)
            if result.trouble is not None and result.blame:
                # Before another call gets this slot, and with it the node.
                self._endpoints.set_aside(endpoint, result.trouble,
                                          untrusted=result.untrusted)
        finally:
            slot.release()
        LOG.debug('#%(number)d %(cmd)s, %(node)s: %(status)s after '
                  '%(milliseconds).0f ms, %(method)s %(target)s %(body)s: '
                  '%(reply)s',
                  {'number': number, 'cmd': cmd, 'node': address,
                   'status': result.status or result.trouble,
                   'milliseconds': limit.elapsed * 1000,
                   'method': request.method, 'target': request.target,
                   'body': request.body or '', 'reply': result.shown})
        return result

    def _transfer(self, address: endpoints.Address,
                  request: commands.Request, limit: waiting.Deadline,
                  token: Optional[str]) -> answers.Result:
        headers = {'Accept': 'application/json', **request.headers}
        body = None
        if request.body is not None:
            headers['Content-Type'] = 'application/json'
            body = json.dumps(request.body)
        if token:
            headers['Authorization'] = 'Bearer ' + token
        try:
            prepared = self._session.prepare_request(requests.Request(
                request.method, 'https://%s%s' % (address, request.target),
                headers=headers, data=body))
        except requests.RequestException as exc:
            return answers.Result(None, trouble=_hushed(str(exc), token),
                                  sent=False)
        try:
            # Redirects are not followed: they would carry the token away.
            with self._session.send(
                    prepared, stream=True, allow_redirects=False,
                    verify=self._verify(),
                    timeout=(min(_CONNECT_TIMEOUT, limit.seconds),
                             limit.seconds)) as response:
                content = transport.receive(response, limit)
        except (requests.RequestException,
                urllib3.exceptions.HTTPError, OSError) as exc:
            return answers.Result(
                None, trouble=_hushed(transport.reason(exc), token),
                sent=transport.was_sent(exc),
                blame=self._had_time(limit) or not transport.is_timeout(exc),
                untrusted=transport.is_untrusted(exc))
        # A node that shows the token back must not have it logged.
        return answers.read(response, _hushed(
            content.decode('utf-8', 'surrogateescape'), token))

    def _had_time(self, limit: waiting.Deadline) -> bool:
        """Whether a node that did not answer by then is to blame for it."""
        # Some of the time for a proof has passed before it is sent.
        return limit.seconds >= 0.9 * min(
            _PROOF_TIMEOUT, self.conf.lightos_api_service_timeout)

    def _verify(self) -> Any:
        """What requests shall check the nodes' certificates against."""
        if self.conf.driver_ssl_cert_verify:
            return self.conf.safe_get('driver_ssl_cert_path') or True
        if not self._warned_of_tls:
            self._warned_of_tls = True
            LOG.warning('The certificates of the LightOS nodes are NOT '
                        'verified: whoever can redirect the traffic to them '
                        'can take the token and with it every volume. Set '
                        'driver_ssl_cert_verify, and driver_ssl_cert_path '
                        'to the CA of the cluster.')
        return False


def _addresses(texts: Any, port: int) -> tuple[endpoints.Address, ...]:
    parsed = (endpoints.Address.parse(text, port) for text in texts)
    return tuple(dict.fromkeys(each for each in parsed if each))


def _last_trouble(before: str, endpoint: endpoints.Endpoint,
                  result: answers.Result) -> str:
    """What to tell the operator: a try that had no time tells nothing."""
    if before and not result.blame:
        return before
    return '%s: %s' % (endpoint.address, result.trouble)


def _hushed(text: str, token: Optional[str]) -> str:
    return text.replace(token, '***') if token else text
