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
"""A small LightOS cluster behind requests' transport, on a clock of its own.

It stands where requests would open a connection, so that the driver's own
session, URLs, headers, JSON and error handling are exercised. It follows the
published definition of the LightOS management API v2 and is stricter than a
cluster: a field or parameter that an operation lacks is refused with 400.
"""

import dataclasses
import datetime
import http.client
import io
import ipaddress
import itertools
import json
import math
import re
import ssl
import threading
import time as real_time
from typing import Any, Callable, NamedTuple, Optional, TypeVar
from urllib import parse

import fixtures
from oslo_utils import units
import requests
import urllib3
from urllib3 import exceptions as urllib3_exc

CLUSTER_UUID = 'c1c1c1c1-0000-4000-8000-000000000001'
SUBSYSTEM_NQN = 'nqn.2016-01.com.lightbitslabs:uuid:' + CLUSTER_UUID
GRPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 412: 9, 429: 8,
              500: 13, 501: 12, 503: 14}
_Kind = TypeVar('_Kind', 'Volume', 'Snapshot')
GONE = ('Failed', 'Deleting', 'Deleted')
SETTLING = ('Creating', 'Updating', 'Rollback')


class FakeClock(fixtures.Fixture):
    """Stands for the module ``time`` where the driver waits.

    :param limit: seconds that may be slept altogether; a wait without an end
        fails with AssertionError
    :ivar sleeps: what was slept, in order, in seconds
    """

    MODULE = 'cinder.volume.drivers.lightos.waiting.time'

    def __init__(self, limit: float = 7200.0) -> None:
        self.sleeps: list[float] = []
        self._now, self._left = 1000.0, limit
        self._lock = threading.Lock()

    def _setUp(self) -> None:
        self.useFixture(fixtures.MonkeyPatch(self.MODULE, self))

    def monotonic(self) -> float:
        return self._now

    def time(self) -> float:
        return 1.8e9 + self._now

    def advance(self, seconds: float) -> None:
        """Let time pass without anybody having slept."""
        with self._lock:
            self._now += seconds

    def sleep(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError('sleep length must be non-negative')
        with self._lock:
            self._now += seconds
            self.sleeps.append(seconds)
            self._left -= seconds
        if self._left < 0:
            raise AssertionError('slept for too long altogether')
        # Lets the other threads of a test run.
        real_time.sleep(0)  # noqa: C339


class Request(NamedTuple):
    """One request as the driver sent it, whether or not it was answered.

    :ivar operation: its name in the API definition, else 'Unknown'
    :ivar node: the host in the URL, without brackets
    :ivar path: as sent, still quoted
    :ivar token: the bearer token, which ``headers`` leave out
    :ivar body: the JSON sent, {} without a body, the bytes if it is no JSON
    :ivar at: the clock's monotonic time when it was sent
    """
    operation: str
    method: str
    node: str
    port: int
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    token: Optional[str]
    body: Any
    timeout: Any
    verify: Any
    at: float


@dataclasses.dataclass(eq=False)
class Fault:
    """What goes wrong with which requests: see :meth:`FakeLightOS.fault`."""
    operation: str = '*'
    node: Optional[str] = None
    when: Callable[[Request], bool] = lambda request: True
    skip: int = 0
    times: Optional[int] = 1
    status: Optional[int] = None
    code: Optional[int] = None
    message: str = 'injected'
    body: Any = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    html: bool = False
    executed: bool = False
    refused: bool = False
    unreachable: bool = False
    ssl: bool = False
    lose_request: bool = False
    lose_reply: bool = False
    hang: bool = False
    delay: float = 0.0
    half: bool = False
    drip: float = 0.0
    ends: Optional[str] = None
    before: Callable[[Request], Any] = lambda request: None
    after: Callable[[Request], Any] = lambda request: None
    hits: int = 0

    def strikes(self, request: Request) -> bool:
        if not (self.times != 0 and
                self.operation in ('*', request.operation) and
                self.node in (None, request.node) and
                not (self.ssl and request.verify is False) and
                self.when(request)):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        self.hits += 1
        return True

    @property
    def answers(self) -> bool:
        return bool(self.status or self.html or self.body is not None)


class APIError(Exception):
    def __init__(self, status: int, message: str,
                 code: Optional[int] = None) -> None:
        super().__init__(message)
        self.status = status
        self.reply = {
            'code': GRPC_CODES.get(status, 2) if code is None else code,
            'message': message, 'error': message}


@dataclasses.dataclass(eq=False)
class Resource:
    """A volume or snapshot; setting an attribute changes its ETag."""
    name: str
    uuid: str
    created: str
    project: str = 'default'
    size: int = units.Gi
    replicas: int = 3
    compression: bool = False
    acl: tuple[str, ...] = ('ALLOW_NONE',)
    ip_acl: tuple[str, ...] = ('ALLOW_ANY',)
    labels: tuple[tuple[str, str], ...] = ()
    sector_size: int = 4096
    data: str = ''
    state: str = 'Available'
    due: float = math.inf
    then: dict[str, Any] = dataclasses.field(default_factory=dict)
    revision = 0

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        self.__dict__['revision'] = self.revision + 1

    @property
    def etag(self) -> str:
        return '%s-%d' % (self.uuid[:8], self.revision)

    def reply(self) -> dict[str, Any]:
        return {'UUID': self.uuid, 'name': self.name, 'state': self.state,
                'projectName': self.project, 'size': str(self.size),
                'replicaCount': self.replicas, 'ETag': self.etag,
                'acl': {'values': list(self.acl)},
                'IPAcl': {'values': list(self.ip_acl)},
                'labels': [{'key': key, 'value': value}
                           for key, value in self.labels],
                'sectorSize': self.sector_size,
                'creationTime': self.created}


@dataclasses.dataclass(eq=False)
class Volume(Resource):
    protection: str = 'FullyProtected'
    qos_policy: str = ''
    source_uuid: str = ''
    source_name: str = ''
    connected_hosts: tuple[str, ...] = ()

    def reply(self) -> dict[str, Any]:
        creating = self.state == 'Creating'
        return {**super().reply(), 'compression': str(self.compression),
                'protectionState': 'Unknown' if creating else self.protection,
                'qosPolicyUUID': self.qos_policy,
                'connectedHosts': list(self.connected_hosts),
                'sourceSnapshotUUID': self.source_uuid,
                'sourceSnapshotName': self.source_name}


@dataclasses.dataclass(eq=False)
class Snapshot(Resource):
    volume_uuid: str = ''
    volume_name: str = ''
    description: str = ''
    retention: str = '0s'
    expires: float = math.inf

    def reply(self) -> dict[str, Any]:
        return {**super().reply(), 'compression': self.compression,
                'sourceVolumeUUID': self.volume_uuid,
                'sourceVolumeName': self.volume_name,
                'description': self.description,
                'retentionTime': self.retention}


def _is(kind: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError
        return value
    return check


def _matches(pattern: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not re.fullmatch(pattern, value, re.ASCII | re.IGNORECASE):
            raise ValueError
        return str(value)
    return check


_text, _list, _name = _is(str), _is(list), _matches(r'[\w.-]{1,253}')


def _number(value: Any) -> int:
    text = value if isinstance(value, str) else json.dumps(value)
    return int(_matches(r'-?\d+')(text))


def _size(value: Any) -> int:
    text = _matches(r'\d+(b| ?gib)')(value).lower()
    size = int(text.rstrip(' gib')) * (units.Gi if 'g' in text else 1)
    if size % 4096 or not size:
        raise ValueError
    return size


def _acl(value: Any) -> tuple[str, ...]:
    (values,) = {**_is(dict)(value), 'values': value['values']}.values()
    words = {'ALLOW_NONE', 'ALLOW_ANY'}.intersection(values)
    if not _list(values) or words and len(values) > 1:
        raise ValueError
    return tuple(_text(each) for each in values)


def _ip_acl(value: Any) -> tuple[str, ...]:
    values = _acl(value)
    if len(values) > 16:
        raise ValueError
    return tuple(each if each.startswith('ALLOW_')
                 else str(ipaddress.ip_address(each)) for each in values)


def _labels(value: Any) -> tuple[tuple[str, str], ...]:
    """A cluster keeps only what follows the last '-' or '.' of a key."""
    if len(_list(value)) > 16 or any(
            set(label) != {'key', 'value'} for label in value):
        raise ValueError
    return tuple((re.split('[-.]', _name(label['key']))[-1],
                  _name(label['value'])) for label in value)


def _rate_limits(value: Any) -> dict[str, Any]:
    """One kind of limit, IOPS in steps of 256."""
    kinds = _is(dict)(value).keys() - {'policyVisibility',
                                       'projectsNamesScope'}
    (kind,) = kinds & {'limitIOPS', 'limitBw', 'limitIOPSPerGB'}
    word = kind.replace('limit', '').upper().replace('PERGB', 'PerGB')
    fields = {way + word + 'Limit' for way in ('read', 'write')}
    limits = {field: _number(limit) for field, limit in value[kind].items()}
    if len(kinds) > 1 or not limits.keys() <= fields or any(
            not 0 <= limit < 2 ** 32 or word == 'IOPS' and limit % 256
            for limit in limits.values()) or bool(
                value.get('projectsNamesScope')) != (
                    {'Scoped': True, 'Global': False}[
                        value['policyVisibility']]):
        raise ValueError
    return {**value, kind: limits}


_SWITCH = {'true': True, 'enable': True, 'enabled': True,
           'false': False, 'disable': False, 'disabled': False}
SECTOR_SIZES = {'sectorSize_Default': 4096, 'sectorSize_512B': 512,
                'sectorSize_4K': 4096}
# Each function raises ValueError, KeyError, TypeError or AttributeError.
FIELDS: dict[str, Callable[[Any], Any]] = {
    'name': _name, 'Name': _name, 'newName': _name, 'size': _size,
    'acl': _acl, 'IPAcl': _ip_acl, 'labels': _labels,
    'sectorSize': SECTOR_SIZES.__getitem__,
    'compression': lambda value: _SWITCH[value.lower()],
    'replicaCount': _number, 'minReplicas': _number, 'limit': _number,
    'qoSRateLimitPolicy': _rate_limits,
    'placementRestrictions': _list, 'Force': _is(bool),
    'showAll': {'true': True, 'false': False}.__getitem__,
    'retentionTime': _matches(r'\d+(\.\d+)?s')}
_ATTRIBUTES = (('acl', 'acl'), ('IPAcl', 'ip_acl'), ('size', 'size'),
               ('compression', 'compression'), ('labels', 'labels'))
_VOLUMES, _SNAPSHOTS = ('/projects/{projectName}/volumes',
                        '/projects/{projectName}/snapshots')
_CHANGEABLE = ' acl IPAcl size compression qosPolicyUUID qosPolicyName labels'
_PAGE = ' projectName UUID offsetUUID limit showAll'
# Operation: method, path, and what it takes in the query or the body.
OPERATIONS = {
    'GetVersion': ('GET', '/version', ''),
    'GetClusterInfo': ('GET', '/clusterinfo', ''),
    'GetCluster': ('GET', '/cluster', ''),
    'ListNodes': ('GET', '/nodes', 'name UUID failureDomain'),
    'ListProjects': ('GET', '/projects', ''),
    'ListPolicies': ('GET', '/policies', 'UUID name projectName'),
    'CreatePolicy': ('POST', '/policies',
                     'name description qoSRateLimitPolicy'),
    'CreateVolume': ('POST', _VOLUMES,
                     'projectName name replicaCount minReplicas sectorSize '
                     'sourceSnapshotUUID sourceSnapshotName '
                     'placementRestrictions' + _CHANGEABLE),
    'ListVolumes': ('GET', _VOLUMES,
                    'name failureDomain snapshotUUID' + _PAGE),
    'GetVolume': ('GET', _VOLUMES + '/{UUID}', 'projectName UUID name'),
    'UpdateVolume': ('PUT', _VOLUMES + '/{UUID}',
                     'projectName UUID name newName Force' + _CHANGEABLE),
    'DeleteVolume': ('DELETE', _VOLUMES + '/{UUID}', 'projectName UUID name'),
    'RollbackVolume': ('PUT', _VOLUMES + '/{UUID}/rollback',
                       'projectName UUID Name srcSnapshotUUID '
                       'srcSnapshotName'),
    'CreateSnapshot': ('POST', _SNAPSHOTS,
                       'projectName name sourceVolumeUUID sourceVolumeName '
                       'retentionTime description'),
    'ListSnapshots': ('GET', _SNAPSHOTS, 'Name' + _PAGE),
    'GetSnapshot': ('GET', _SNAPSHOTS + '/{UUID}', 'projectName UUID Name'),
    'DeleteSnapshot': ('DELETE', _SNAPSHOTS + '/{UUID}',
                       'projectName UUID name'),
}
# '[^/]*' takes the form .../volumes/?name=N, whose UUID is empty, as well.
_ROUTES = [(method, re.compile('/api/v2' + re.sub(
    r'\{(\w+)\}', r'(?P<\1>[^/]*)', path)), operation)
    for operation, (method, path, _takes) in OPERATIONS.items()]


class FakeLightOS(fixtures.Fixture):
    """A cluster that answers whatever this process asks through requests.

    What a test may set at any time:

    :ivar nodes: the nodes' addresses; nothing listens at any other
    :ivar names: host name -> node's address
    :ivar tokens: the bearer tokens that are taken, None if none is needed
    :ivar work_time: operation -> seconds of the clock from the request to
        its effect; absent: done at the next look, math.inf: never
    :ivar latency: seconds of the clock that each answer takes
    :ivar clusterinfo: fields that replace those of GetClusterInfo's reply;
        likewise ``cluster`` for GetCluster
    :ivar projects: project -> UUID of its default QoS policy, or ''
    :ivar policies: the QoS policies, as ListPolicies shows them
    :ivar ip_acl: False for a release that knows no IPAcl
    :ivar etag_mismatch: 412, or 400 as gateways of some releases have it
    :ivar omit_zeros: whether replies leave out fields at their zero value
    :ivar shows_updating: False if an update's work goes on in Available
    :ivar refuse_same_size: whether an update to the current size is refused
    :ivar concurrent_snapshots: False if a snapshot fails with 500 while
        another one of its volume is being made
    :ivar requests: every :class:`Request` so far, unanswered ones too
    """

    PORT = 443
    MAX_REQUESTS = 5000

    def __init__(self, clock: Optional[FakeClock] = None) -> None:
        self.clock = clock or FakeClock()
        self.nodes = ['10.0.0.1', '10.0.0.2', '10.0.0.3']
        self.names: dict[str, str] = {}
        self.tokens: Optional[set[str]] = None
        self.work_time: dict[str, float] = {}
        self.latency = 0.0
        self.clusterinfo: dict[str, Any] = {}
        self.cluster: dict[str, Any] = {}
        self.projects = {'default': ''}
        self.policies: list[dict[str, Any]] = []
        self.total, self.free = 300 * units.Gi, 200 * units.Gi
        self.max_replicas = 3
        self.health, self.compression_ratio = 'OK', 1.0
        self.ip_acl = self.shows_updating = self.concurrent_snapshots = True
        self.omit_zeros = self.refuse_same_size = False
        self.etag_mismatch = 412
        self.requests: list[Request] = []
        self._resources: list[Any] = []
        self._faults: list[Fault] = []
        self._ends: Optional[str] = None
        self._serial = itertools.count(1)
        self._lock = threading.RLock()

    def _setUp(self) -> None:
        def send(adapter: requests.adapters.HTTPAdapter,
                 prepared: requests.PreparedRequest, stream: bool = False,
                 timeout: Any = None, verify: Any = True, cert: Any = None,
                 proxies: Any = None) -> requests.Response:
            return adapter.build_response(
                prepared, self._send(prepared, timeout, verify))

        self.useFixture(fixtures.MonkeyPatch(
            'requests.adapters.HTTPAdapter.send', send))

    def fault(self, operation: str = '*', **what: Any) -> Fault:
        """Let something go wrong; of several rules the first holds.

        :param operation: its name in the API definition, '*' for any
        :param node: only at this address; ``when``: only if this function of
            the Request says so; ``skip``: after so many; ``times``: so often
            (once), None for always
        :param status: answered in place of work, with ``code``, ``message``,
            ``headers`` and ``body`` (text, bytes or JSON); ``html``: a page,
            with 200 unless ``status`` is given
        :param refused: nothing listens; ``unreachable``: the connection
            times out; ``ssl``: the certificate fails, if it is verified;
            ``lose_request``: cut before the work, ``lose_reply``: after it;
            ``hang``: neither work nor answer until the read timeout
        :param executed: the work is done in spite of ``status``, ``body``,
            ``html`` or ``hang``
        :param delay: seconds until the answer; ``half``: the body is cut
            short; ``drip``: seconds that each byte of the body takes
        :param ends: the state, e.g. 'Failed', in which the work ends
        :param before: called with the Request before the work, ``after``
            after it: here another writer comes in between
        :returns: the rule; ``hits`` counts, ``times = 0`` ends it
        """
        self._faults.append(Fault(operation, **what))
        return self._faults[-1]

    def operations(self, probes: bool = False) -> list[str]:
        """The operations asked for, GetClusterInfo only with ``probes``."""
        return [request.operation for request in self.requests
                if probes or request.operation != 'GetClusterInfo']

    def volumes(self) -> list[Volume]:
        return self._all(Volume)

    def snapshots(self) -> list[Snapshot]:
        return self._all(Snapshot)

    def volume(self, name_or_uuid: str) -> Optional[Volume]:
        """The volume as it is now, a live one rather than a husk, or None."""
        return self._pick(self.volumes(), name_or_uuid)

    def snapshot(self, name_or_uuid: str) -> Optional[Snapshot]:
        return self._pick(self.snapshots(), name_or_uuid)

    def add_volume(self, name: str, **attributes: Any) -> Volume:
        """Put a volume there, with :class:`Volume`'s attributes."""
        return self._add(Volume, name, attributes)

    def add_snapshot(self, name: str, volume: Volume,
                     **attributes: Any) -> Snapshot:
        """Put a snapshot of the volume there."""
        copied = {field: getattr(volume, field) for field in (
            'project', 'size', 'replicas', 'compression', 'acl', 'ip_acl',
            'labels', 'sector_size', 'data')}
        return self._add(Snapshot, name, {
            **copied, 'volume_uuid': volume.uuid, 'volume_name': volume.name,
            **attributes})

    def add_policy(self, name: str, state: str = 'Active',
                   description: str = '', **limits: Any) -> str:
        """Put a QoS policy there that all projects see; returns its UUID."""
        self.policies.append({
            'UUID': self._uuid(), 'name': name, 'state': state,
            'description': description,
            'QoSRateLimitPolicy': {'policyVisibility': 'Global', **limits}})
        return str(self.policies[-1]['UUID'])

    def _all(self, kind: type[_Kind]) -> list[_Kind]:
        with self._lock:
            self._settle()
            return [each for each in self._resources
                    if isinstance(each, kind)]

    @staticmethod
    def _pick(resources: list[_Kind], key: str) -> Optional[_Kind]:
        found = [each for each in resources if key in (each.uuid, each.name)]
        return min(found, key=lambda each: each.state in GONE, default=None)

    def _add(self, kind: type[_Kind], name: str,
             attributes: dict[str, Any]) -> _Kind:
        with self._lock:
            attributes.setdefault('uuid', self._uuid())
            created = datetime.datetime.fromtimestamp(
                int(self.clock.time()), datetime.timezone.utc)
            one = kind(name=name, created=created.isoformat(), **attributes)
            self._resources.append(one)
            return one

    def _uuid(self) -> str:
        number = next(self._serial)
        return '%08x-0000-4000-8000-%012x' % (number, number)

    # From a request to the model and back

    def _send(self, prepared: requests.PreparedRequest, timeout: Any,
              verify: Any) -> urllib3.HTTPResponse:
        # A real request lets other threads run, too.
        real_time.sleep(0)  # noqa: C339
        request, path = self._read(prepared, timeout, verify)
        with self._lock:
            self.requests.append(request)
            if len(self.requests) > self.MAX_REQUESTS:
                raise AssertionError('requests without an end')
            fault = next((rule for rule in self._faults
                          if rule.strikes(request)), Fault())
        connect_timeout, read_timeout = _timeouts(timeout)
        if (fault.refused or request.port != self.PORT or
                self.names.get(request.node, request.node) not in self.nodes):
            raise _failure('refused', prepared, request)
        if fault.unreachable:
            self._pass(connect_timeout, request)
            raise _failure('unreachable', prepared, request)
        if fault.ssl:
            raise _failure('ssl', prepared, request)
        self.clock.advance(self.latency)
        fault.before(request)
        status, reply = fault.status or 200, fault.body
        if fault.executed or not (fault.answers or fault.hang or
                                  fault.lose_request):
            executed = self._execute(request, path, fault)
            status, reply = (status, reply) if fault.answers else executed
        fault.after(request)
        if fault.lose_request or fault.lose_reply:
            raise _failure('cut', prepared, request)
        if fault.hang or fault.delay > read_timeout:
            self._pass(read_timeout, request)
            raise _failure('silent', prepared, request)
        self.clock.advance(fault.delay)
        return self._answer(request, status, reply, fault)

    def _pass(self, seconds: float, request: Request) -> None:
        if seconds == math.inf:
            raise AssertionError('%s has no timeout' % request.operation)
        self.clock.advance(seconds)

    def _answer(self, request: Request, status: int, reply: Any,
                fault: Fault) -> urllib3.HTTPResponse:
        if fault.html:
            reply = '<html><body>Bad Gateway</body></html>'
        elif reply is None:
            reply = APIError(status, fault.message, fault.code).reply
        if not isinstance(reply, (str, bytes)):
            reply = json.dumps(reply)
        body = reply.encode() if isinstance(reply, str) else reply
        headers = {
            'Content-Type': 'text/html' if fault.html else 'application/json',
            'Content-Length': str(len(body)), **fault.headers}
        if fault.half:
            body = body[:len(body) // 2]
        return urllib3.HTTPResponse(
            _Body(body, self.clock, fault.drip), headers, status,
            reason=http.client.responses.get(status, ''),
            preload_content=False, enforce_content_length=True,
            request_method=request.method)

    def _read(self, prepared: requests.PreparedRequest, timeout: Any,
              verify: Any) -> tuple[Request, dict[str, str]]:
        url = parse.urlsplit(prepared.url or '')
        operation, path = 'Unknown', {}
        for method, pattern, name in _ROUTES:
            match = pattern.fullmatch(url.path)
            if match and method == prepared.method:
                operation, path = name, {
                    key: parse.unquote(value)
                    for key, value in match.groupdict().items() if value}
        headers = {str(key): str(value)
                   for key, value in prepared.headers.items()}
        token = headers.pop('Authorization', None)
        body: Any = prepared.body or b'{}'
        try:
            body = json.loads(body)
        except ValueError:
            pass  # recorded as it is; the API refuses it
        return Request(
            operation, str(prepared.method), str(url.hostname),
            url.port or 443 if url.scheme == 'https' else 80, url.path,
            dict(parse.parse_qsl(url.query, keep_blank_values=True)),
            headers, token and token.replace('Bearer ', '', 1), body,
            timeout, verify, self.clock.monotonic()), path

    def _execute(self, request: Request, path: dict[str, str],
                 fault: Fault) -> tuple[int, dict[str, Any]]:
        with self._lock:
            self._settle()
            self._ends = fault.ends
            try:
                if self.tokens is not None and (
                        request.token not in self.tokens):
                    raise APIError(401, 'missing or invalid token')
                if request.operation == 'Unknown':
                    raise APIError(404, 'Not Found')
                args = {**self._arguments(request), **path,
                        'If-Match': request.headers.get('If-Match')}
                if path and args.get('projectName') not in self.projects:
                    raise APIError(404, 'project not found')
                handler = re.sub('([A-Z])', r'_\1', request.operation).lower()
                return 200, self._shown(getattr(self, handler)(args))
            except APIError as error:
                return error.status, error.reply

    @staticmethod
    def _arguments(request: Request) -> dict[str, Any]:
        given: Any = request.query
        if request.method in ('POST', 'PUT'):
            given = request.body
        if not isinstance(given, dict):
            raise APIError(400, 'the body is no JSON object')
        args = {}
        for key, value in given.items():
            if key not in OPERATIONS[request.operation][2].split():
                raise APIError(400, 'unknown field "%s"' % key)
            # A list that is empty is none in proto3.
            if value is not None and value != []:
                try:
                    args[key] = FIELDS.get(key, _text)(value)
                except (ValueError, KeyError, TypeError, AttributeError):
                    raise APIError(400, 'invalid value %r for field "%s"'
                                   % (value, key)) from None
        return args

    def _shown(self, reply: Any) -> Any:
        if isinstance(reply, list):
            return [self._shown(each) for each in reply]
        if not isinstance(reply, dict):
            return reply
        return {key: self._shown(value) for key, value in reply.items()
                if (key != 'IPAcl' or self.ip_acl) and
                not (self.omit_zeros and value in (0, '', '0', '0s', []))}

    # The model: everything below runs under the lock

    def _settle(self) -> None:
        now = self.clock.monotonic()
        # Clones before the snapshots that wait for them to be gone.
        for one in sorted(self._resources, key=lambda one: isinstance(
                one, Snapshot)):
            if isinstance(one, Snapshot):
                if one.expires <= now and one.state == 'Available':
                    self._begin(one, 'DeleteSnapshot', 'Deleting',
                                state='Deleted')
                if one.state == 'Deleting' and any(
                        other.source_uuid == one.uuid and
                        other.state != 'Failed' for other in self._resources
                        if isinstance(other, Volume)):
                    continue
            if one.due <= now:
                changes, one.due = one.then, math.inf
                for attribute, value in changes.items():
                    setattr(one, attribute, value)
                if one.state == 'Deleted':
                    self._resources.remove(one)

    def _begin(self, one: Resource, operation: str, during: str,
               **then: Any) -> dict[str, Any]:
        one.due = self.clock.monotonic() + self.work_time.get(operation, 0.0)
        one.then = {'state': self._ends} if self._ends else then
        one.state = during
        return {}

    def _find(self, kind: Any, args: dict[str, Any], uuid: str,
              name: str) -> Any:
        uuid, name = args.get(uuid, ''), args.get(name, '')
        for one in self._resources:
            if (isinstance(one, kind) and one.project == args['projectName']
                    and (one.uuid.lower() == uuid.lower() if uuid
                         else one.name == name)):
                return one
        raise APIError(404, '%s %s not found' % (kind.__name__, uuid or name))

    def _ready(self, one: Any, args: dict[str, Any]) -> Any:
        if args['If-Match'] not in (None, one.etag):
            raise APIError(self.etag_mismatch, 'ETag does not match', 9)
        if one.state in SETTLING:
            raise APIError(503, '%s is %s' % (one.name, one.state))
        if one.state in GONE:
            raise APIError(400, '%s is %s' % (one.name, one.state), 9)
        return one

    def _new_name(self, kind: Any, args: dict[str, Any], name: str) -> str:
        if name not in args:
            raise APIError(400, 'no name given')
        if any(isinstance(one, kind) and one.name == args[name] and
               one.project == args['projectName'] and one.state != 'Failed'
               for one in self._resources):
            raise APIError(409, '%s already exists' % args[name], 6)
        return str(args[name])

    def _page(self, kind: Any, args: dict[str, Any],
              name: str) -> list[dict[str, Any]]:
        if not 0 < args.setdefault('limit', 1000) <= 1000:
            raise APIError(400, 'limit is not from 1 to 1000')
        return [self._reply(one) for one in sorted(
            self._all(kind), key=lambda one: one.uuid)
            if one.project == args['projectName'] and
            one.uuid > args.get('offsetUUID', '') and
            args.get(name, one.name) == one.name and
            args.get('UUID', one.uuid).lower() == one.uuid.lower() and
            args.get('snapshotUUID') in (
                None, getattr(one, 'source_uuid', None)) and
            (args.get('showAll') or one.state != 'Deleting')][:args['limit']]

    def _reply(self, one: Any) -> dict[str, Any]:
        reply = one.reply()
        for policy in self.policies:
            if policy['UUID'] == reply.get('qosPolicyUUID'):
                reply['qosPolicyName'] = policy['name']
        return dict(reply)

    def _qos(self, args: dict[str, Any], default: str) -> str:
        wanted = {key: args['qosPolicy' + suffix] for key, suffix in (
            ('UUID', 'UUID'), ('name', 'Name')) if args.get(
                'qosPolicy' + suffix)}
        if len(wanted) > 1:
            raise APIError(400, 'give either qosPolicyUUID or qosPolicyName')
        for policy in self.policies:
            scope = policy['QoSRateLimitPolicy']
            if wanted and wanted.items() <= {
                    key: policy[key] for key in wanted}.items() and (
                    scope['policyVisibility'] == 'Global' or
                    args['projectName'] in scope['projectsNamesScope']):
                return str(policy['UUID'])
        if wanted:
            raise APIError(400, 'QoS policy not found: %s' % wanted)
        return default

    def _get_volume(self, args: dict[str, Any]) -> dict[str, Any]:
        return self._reply(self._find(Volume, args, 'UUID', 'name'))

    def _get_snapshot(self, args: dict[str, Any]) -> dict[str, Any]:
        return self._reply(self._find(Snapshot, args, 'UUID', 'Name'))

    def _list_volumes(self, args: dict[str, Any]) -> dict[str, Any]:
        return {'volumes': self._page(Volume, args, 'name')}

    def _list_snapshots(self, args: dict[str, Any]) -> dict[str, Any]:
        return {'snapshots': self._page(Snapshot, args, 'Name')}

    def _create_volume(self, args: dict[str, Any]) -> dict[str, Any]:
        attributes = {field: args[key] for key, field in (
            ('projectName', 'project'), ('replicaCount', 'replicas'),
            ('sectorSize', 'sector_size'), *_ATTRIBUTES) if key in args}
        name = self._new_name(Volume, args, 'name')
        if 'sourceSnapshotUUID' in args or 'sourceSnapshotName' in args:
            source = self._find(Snapshot, args, 'sourceSnapshotUUID',
                                'sourceSnapshotName')
            if source.state != 'Available':
                raise APIError(400, 'the snapshot is ' + source.state, 9)
            for field in ('replicas', 'compression', 'size', 'labels'):
                attributes.setdefault(field, getattr(source, field))
            if attributes['size'] < source.size:
                raise APIError(400, 'size is below the snapshot\'s')
            attributes.setdefault('sector_size',
                                  SECTOR_SIZES['sectorSize_Default'])
            for field in ('replicas', 'compression', 'sector_size'):
                if attributes[field] != getattr(source, field):
                    raise APIError(400, field + ' is not the snapshot\'s')
            attributes.update(data=source.data, source_uuid=source.uuid,
                              source_name=source.name)
        if 'size' not in attributes or not (
                0 < attributes.get('replicas', 0) <= self.max_replicas):
            raise APIError(400, 'size or replicaCount missing or too large')
        attributes['qos_policy'] = self._qos(
            args, self.projects[args['projectName']])
        volume = self.add_volume(name, **attributes)
        self._begin(volume, 'CreateVolume', 'Creating', state='Available')
        return self._reply(volume)

    def _update_volume(self, args: dict[str, Any]) -> dict[str, Any]:
        volume = self._ready(self._find(Volume, args, 'UUID', 'name'), args)
        then = {field: args[key] for key, field in _ATTRIBUTES if key in args}
        if 'size' in then:
            if then['size'] < volume.size and not args.get('Force'):
                raise APIError(400, 'a volume cannot shrink')
            if then['size'] == volume.size and self.refuse_same_size:
                raise APIError(400, 'the volume has that size')
        if args.get('newName', volume.name) != volume.name:
            then['name'] = self._new_name(Volume, args, 'newName')
        then['qos_policy'] = self._qos(args, volume.qos_policy)
        during = 'Updating' if self.shows_updating else volume.state
        return self._begin(volume, 'UpdateVolume', during,
                           state=volume.state, **then)

    def _rollback_volume(self, args: dict[str, Any]) -> dict[str, Any]:
        volume = self._ready(self._find(Volume, args, 'UUID', 'Name'), args)
        snapshot = self._find(Snapshot, args, 'srcSnapshotUUID',
                              'srcSnapshotName')
        if snapshot.volume_uuid != volume.uuid:
            raise APIError(400, 'the snapshot is another volume\'s')
        if snapshot.state != 'Available':
            raise APIError(400, 'the snapshot is ' + snapshot.state, 9)
        return self._begin(
            volume, 'RollbackVolume', 'Rollback', state=volume.state,
            size=snapshot.size, data=snapshot.data, acl=snapshot.acl,
            ip_acl=snapshot.ip_acl)

    def _delete_volume(self, args: dict[str, Any]) -> dict[str, Any]:
        return self._delete(Volume, args)

    def _delete_snapshot(self, args: dict[str, Any]) -> dict[str, Any]:
        return self._delete(Snapshot, args)

    def _delete(self, kind: Any, args: dict[str, Any]) -> dict[str, Any]:
        one = self._ready(self._find(kind, args, 'UUID', 'name'), args)
        return self._begin(one, 'Delete' + kind.__name__, 'Deleting',
                           state='Deleted')

    def _create_snapshot(self, args: dict[str, Any]) -> dict[str, Any]:
        name = self._new_name(Snapshot, args, 'name')
        volume = self._find(Volume, args, 'sourceVolumeUUID',
                            'sourceVolumeName')
        if volume.state in SETTLING + GONE:
            raise APIError(400, 'the volume is ' + volume.state, 9)
        if not self.concurrent_snapshots and any(
                other.volume_uuid == volume.uuid and other.state == 'Creating'
                for other in self.snapshots()):
            raise APIError(500, 'another snapshot is being made')
        retention = args.get('retentionTime', '0s')
        snapshot = self.add_snapshot(
            name, volume, retention=retention,
            description=args.get('description', ''),
            expires=self.clock.monotonic() + (float(retention[:-1]) or
                                              math.inf))
        self._begin(snapshot, 'CreateSnapshot', 'Creating', state='Available')
        return self._reply(snapshot)

    def _get_version(self, args: dict[str, Any]) -> dict[str, Any]:
        return {'apiVersion': 'v2'}

    def _get_cluster_info(self, args: dict[str, Any]) -> dict[str, Any]:
        return {'UUID': CLUSTER_UUID, 'subsystemNQN': SUBSYSTEM_NQN,
                'currentMaxReplicas': self.max_replicas,
                'supportedMaxReplicas': self.max_replicas,
                'apiEndpoints': self._endpoints(self.PORT),
                'discoveryEndpoints': self._endpoints(8009),
                'nvmeEndpoints': self._endpoints(4420), **self.clusterinfo}

    def _get_cluster(self, args: dict[str, Any]) -> dict[str, Any]:
        reply = self._get_cluster_info(args)
        del reply['nvmeEndpoints']
        return {**reply, 'health': {'state': self.health}, 'statistics': {
            'compressionRatio': self.compression_ratio,
            'estimatedLogicalStorage': str(self.total),
            'estimatedFreeLogicalStorage': str(self.free),
            'logicalStorage': str(sum(
                volume.size for volume in self.volumes()))}, **self.cluster}

    def _endpoints(self, port: int) -> list[str]:
        return [('[%s]:%d' if ':' in node else '%s:%d') % (node, port)
                for node in self.nodes]

    def _list_nodes(self, args: dict[str, Any]) -> dict[str, Any]:
        return {'nodes': [
            {'name': 'node-%d' % number, 'state': 'Active',
             'UUID': 'd0d0d0d0-0000-4000-8000-%012d' % number,
             'nvmeEndpoint': endpoint, 'failureDomains': ['%d' % number]}
            for number, endpoint in enumerate(self._endpoints(4420), 1)]}

    def _list_projects(self, args: dict[str, Any]) -> dict[str, Any]:
        return {'projects': [
            {'name': name, 'defaultPolicies': [
                {'policyType': 'qosRateLimit', 'policyUUID': policy}]}
            for name, policy in self.projects.items()]}

    def _list_policies(self, args: dict[str, Any]) -> dict[str, Any]:
        return {'policies': [
            policy for policy in self.policies
            if args.get('UUID', policy['UUID']) == policy['UUID'] and
            args.get('name', policy['name']) == policy['name']]}

    def _create_policy(self, args: dict[str, Any]) -> dict[str, Any]:
        if any(policy['name'] == args['name'] for policy in self.policies):
            raise APIError(409, '%s already exists' % args['name'], 6)
        self.add_policy(args['name'], self._ends or 'Active',
                        args.get('description', ''),
                        **args['qoSRateLimitPolicy'])
        return dict(self.policies[-1])


class _Body(io.BytesIO):
    """A reply's body each of whose bytes takes a while to arrive."""

    def __init__(self, content: bytes, clock: FakeClock, drip: float) -> None:
        super().__init__(content)
        self._clock, self._drip = clock, drip

    def read(self, size: Optional[int] = -1, /) -> bytes:
        content = super().read(size)
        self._clock.advance(self._drip * len(content))
        return content

    def read1(self, size: Optional[int] = -1, /) -> bytes:
        return self.read(1 if self._drip and size else size)


def _timeouts(timeout: Any) -> tuple[float, float]:
    if isinstance(timeout, urllib3.Timeout):
        timeout = (timeout.connect_timeout, timeout.read_timeout)
    elif not isinstance(timeout, tuple):
        timeout = (timeout, timeout)
    connect, read = (math.inf if limit is None else float(limit)
                     for limit in timeout)
    return connect, read


def _failure(what: str, prepared: requests.PreparedRequest,
             request: Request) -> Exception:
    """The exception that requests makes of urllib3's."""
    pool: Any = urllib3.HTTPSConnectionPool(request.node, request.port)
    connection: Any = urllib3.connection.HTTPSConnection(request.node,
                                                         request.port)
    reasons = {
        'refused': urllib3_exc.NewConnectionError(
            connection, 'Failed to establish a new connection: [Errno 111] '
            'Connection refused'),
        'unreachable': urllib3_exc.ConnectTimeoutError(
            connection, 'Connection to %s timed out.' % request.node),
        'ssl': urllib3_exc.SSLError(ssl.SSLCertVerificationError(
            1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: '
            "IP address mismatch, certificate is not valid for '%s'."
            % request.node))}
    kinds = {
        'unreachable': requests.exceptions.ConnectTimeout,
        'ssl': requests.exceptions.SSLError,
        'silent': requests.exceptions.ReadTimeout}
    cause: Exception
    if what in reasons:
        cause = urllib3_exc.MaxRetryError(pool, prepared.path_url,
                                          reasons[what])
    elif what == 'silent':
        cause = urllib3_exc.ReadTimeoutError(pool, prepared.path_url,
                                             'Read timed out.')
    else:
        cause = urllib3_exc.ProtocolError(
            'Connection aborted.', http.client.RemoteDisconnected(
                'Remote end closed connection without response'))
    return kinds.get(what, requests.exceptions.ConnectionError)(
        cause, request=prepared)
