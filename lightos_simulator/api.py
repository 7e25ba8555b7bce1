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
"""REST onto the model: one request in, one response out.

Synchronous and without sockets, so that a test can use it in its own process
with a clock of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import json
import urllib.parse

from lightos_simulator import auth
from lightos_simulator import contract
from lightos_simulator import errors
from lightos_simulator import model
from lightos_simulator import operations

_ANY_TOKEN = frozenset(('GetClusterInfo', 'ListNodes', 'GetNode'))
_WITHOUT_TOKEN = frozenset(('GetVersion',))
_CLUSTER_ADMIN = frozenset((
    'GetCluster', 'ListProjects', 'ListHosts', 'GetHost', 'CreatePolicy',
    'UpdatePolicy', 'DeletePolicy'))
_POLICY_READERS = frozenset(('GetPolicy', 'ListPolicies'))
# Where an operation does not document one of these, 400 stands for it.
_SPECIAL_STATUSES = (404, 409, 412)


@dataclasses.dataclass(frozen=True)
class ApiRequest:
    """A request.

    :ivar path: as it came, percent-encoded
    :ivar query: names and values, decoded
    :ivar headers: of any case
    """
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b''

    @classmethod
    def from_url(cls, method: str, url: str,
                 headers: Mapping[str, str] | None = None, body: bytes = b''
                 ) -> ApiRequest:
        """A request for a URL or for a path with its query."""
        parts = urllib.parse.urlsplit(url)
        query = (tuple(urllib.parse.parse_qsl(parts.query,
                                              keep_blank_values=True))
                 if parts.query else ())
        return cls(method, parts.path, query, headers or {}, body)

    def header(self, name: str) -> str | None:
        """A header by its name in the usual capitals."""
        value = self.headers.get(name)
        return self.headers.get(name.lower()) if value is None else value


@dataclasses.dataclass(frozen=True)
class ApiResponse:
    """A response.

    :ivar operation: the name of the operation, for the journal
    :ivar credential: who asked, for the journal
    """
    status: int
    headers: Mapping[str, str]
    body: bytes
    operation: str | None = None
    credential: str | None = None


_HEADERS = {'Content-Type': 'application/json'}


def error_response(status: int, code: int, message: str,
                   operation: str | None = None,
                   credential: str | None = None) -> ApiResponse:
    """An error reply as LightOS writes it."""
    body = json.dumps({'error': message, 'code': code, 'message': message})
    return ApiResponse(status, _HEADERS, body.encode(), operation, credential)


class Api:
    """The management API of one cluster.

    :param authority: checks the tokens; None is a cluster without
        multi-tenancy, which takes none
    """

    def __init__(self, cluster: model.Cluster,
                 authority: auth.Authority | None = None) -> None:
        self._world = cluster.world
        self._authority = authority
        self._contract = contract.load()
        self._operations = operations.Operations(cluster, self._contract)
        self.messages = self._operations.messages

    def operation_name(self, request: ApiRequest) -> str | None:
        """The name of the operation that a request asks for."""
        try:
            return self._contract.route(request.method,
                                        request.path).operation.name
        except errors.ApiError:
            return None

    def handle(self, request: ApiRequest, fails: bool = False) -> ApiResponse:
        """Do what a request asks for.

        :param fails: let the object that it begins to work on end Failed
        """
        self._world.settle()
        match: contract.Match | None = None
        identity: auth.Identity | None = None
        try:
            match = self._contract.route(request.method, request.path)
            identity = self._identify(request, match.operation.name)
            body = self._operations.table[match.operation.name](
                self._decode(request, match, identity, fails))
        except errors.ApiError as error:
            operation = match.operation if match else None
            status, code = error.status, error.code
            if (operation is not None and status in _SPECIAL_STATUSES
                    and status not in operation.statuses):
                status, code = 400, (errors.INVALID_ARGUMENT if status == 404
                                     else errors.FAILED_PRECONDITION)
            return error_response(
                status, code, error.message,
                operation.name if operation else None,
                (identity.credential or None) if identity else None)
        return ApiResponse(200, _HEADERS, body.encode(),
                           match.operation.name,
                           identity.credential or None)

    def _identify(self, request: ApiRequest, operation: str) -> auth.Identity:
        if self._authority is None or operation in _WITHOUT_TOKEN:
            return auth.ANYBODY
        return self._authority.authenticate(request.header('Authorization'))

    def _decode(self, request: ApiRequest, match: contract.Match,
                identity: auth.Identity, fails: bool) -> operations.Call:
        fields = self._contract.decode(
            match, request.query, request.body,
            strict=self._world.assume.refuse_unknown)
        name = match.operation.name
        if name in _CLUSTER_ADMIN:
            identity.check(None, writes=True)
        elif name in _POLICY_READERS:
            if self._world.assume.projects_read_policies:
                identity.check(fields.get('projectName', identity.scope),
                               writes=False)
            else:
                identity.check(None, writes=False)
        elif name == 'GetProject':
            identity.check(fields.get('name'), writes=False)
        elif name not in _ANY_TOKEN and name not in _WITHOUT_TOKEN:
            identity.check(fields.get('projectName'),
                           writes=request.method != 'GET')
        return operations.Call(identity, fields, request.header('If-Match'),
                               fails)
