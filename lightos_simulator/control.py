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
"""The control interface: what a test does to the cluster from outside.

JSON over plain HTTP, on the loopback address only.
"""

from __future__ import annotations

from collections.abc import Awaitable
from collections.abc import Callable
from collections.abc import Mapping
import json
import math
from typing import Any
from typing import TYPE_CHECKING

from aiohttp import web

from lightos_simulator import contract
from lightos_simulator import errors
from lightos_simulator import model
from lightos_simulator import nodes
from lightos_simulator import records
from lightos_simulator import rules
from lightos_simulator import volumes
from lightos_simulator import world

if TYPE_CHECKING:
    from lightos_simulator import simulator

_VOLUME_FIELDS = {'state': 'state', 'protectionState': 'protection',
                  'connectedHosts': 'connected_hosts',
                  'logicalUsedStorage': 'used'}
_MOST_VOLUMES = 100000


class _BadRequest(Exception):
    pass


async def _fields(request: web.Request, *allowed: str) -> dict[str, Any]:
    try:
        values = json.loads(await request.read() or b'{}')
    except ValueError:
        raise _BadRequest('the body is not JSON') from None
    if not isinstance(values, dict):
        raise _BadRequest('the body is not a JSON object')
    for name in values:
        if allowed and name not in allowed:
            raise _BadRequest('there is no field %s; there are: %s'
                              % (name, ', '.join(allowed)))
    return values


def _seconds(value: Any, what: str) -> float:
    if (isinstance(value, bool) or not isinstance(value, (int, float))
            or not math.isfinite(value)):
        raise _BadRequest('%s is a number of seconds' % what)
    return float(value)


def _text(values: Mapping[str, Any], name: str, default: str = '') -> str:
    value = values.get(name, default)
    if not isinstance(value, str):
        raise _BadRequest('%s is a string' % name)
    return value


class _Control:
    """The handlers, on one simulator."""

    def __init__(self, subject: simulator.Simulator) -> None:
        self._simulator = subject
        self._world = subject.world
        self._cluster = subject.cluster

    async def root(self, request: web.Request) -> Any:
        return {**self._simulator.describe(), 'nodes': self._nodes()}

    # Nodes

    def _node(self, index: int) -> dict[str, Any]:
        node = self._world.nodes[index]
        service = self._simulator.services[index]
        return {'index': index, 'uuid': node.uuid, 'name': node.name,
                'address': node.address, 'port': service.port,
                'mode': service.mode, 'delay': service.delay,
                'state': node.state}

    def _nodes(self) -> list[dict[str, Any]]:
        return [self._node(index) for index in range(len(self._world.nodes))]

    async def list_nodes(self, request: web.Request) -> Any:
        return self._nodes()

    async def change_node(self, request: web.Request) -> Any:
        index = int(request.match_info['index'])
        if index >= len(self._world.nodes):
            raise web.HTTPNotFound(text='there is no such node')
        values = await _fields(request, 'mode', 'delay', 'address', 'state')
        node = self._world.nodes[index]
        service = self._simulator.services[index]
        state = _text(values, 'state', node.state)
        if state not in contract.load().enums['DurosNodeInfo.State']:
            raise _BadRequest('a node has no state %s' % state)
        mode = _text(values, 'mode', service.mode)
        if mode not in nodes.MODES:
            raise _BadRequest('mode is one of %s' % ', '.join(nodes.MODES))
        delay = _seconds(values.get('delay', 0), 'delay')
        address = _text(values, 'address', node.address)
        try:
            if address != node.address:
                await service.move(address)
                self._cluster.move_node(node, address)
            if 'mode' in values:
                await service.set_mode(mode, delay)
        except OSError as error:
            raise _BadRequest(error.strerror) from None
        self._cluster.set_node_state(node, state)
        return self._node(index)

    # Projects and tokens

    async def list_projects(self, request: web.Request) -> Any:
        return [self._simulator.api.messages.project(project)
                for project in self._world.projects.values()]

    async def add_project(self, request: web.Request) -> Any:
        values = await _fields(request, 'name', 'default_policy')
        project = self._world.add_project(_text(values, 'name'))
        if 'default_policy' in values:
            self._world.settle()
            self._cluster.set_default_policy(
                project.name, _text(values, 'default_policy'))
        self._simulator.note_change()
        return {'name': project.name, 'uuid': project.uuid,
                'tokens': self._simulator.project_tokens(project.name)}

    async def tokens(self, request: web.Request) -> Any:
        values = await _fields(request, 'scope', 'role', 'lifetime', 'name',
                               'revoke')
        authority = self._simulator.authority
        self._simulator.note_change()
        if 'revoke' in values:
            revoked = authority.revoke(_text(values, 'revoke'))
            if not revoked:
                raise web.HTTPNotFound(text='there is no such credential')
            return {'revoked': revoked}
        scope = _text(values, 'scope')
        if scope != 'system':
            self._world.project(scope)
        role = _text(values, 'role')
        name = _text(values, 'name') or role
        lifetime = _seconds(values.get('lifetime', 3600), 'lifetime')
        if not name.replace('-', '').replace('_', '').isalnum():
            raise _BadRequest('name must be letters, digits, "-" and "_"')
        token = authority.issue(scope, role, name, lifetime)
        return {'token': token, 'file': self._simulator.write_token(
            '%s-token-%s' % (scope, name), token)}

    # Faults and the journal

    async def list_faults(self, request: web.Request) -> Any:
        return [vars(rule) for rule in self._simulator.rules.all()]

    async def add_fault(self, request: web.Request) -> Any:
        return vars(self._simulator.rules.add(await _fields(request)))

    async def clear_faults(self, request: web.Request) -> Any:
        self._simulator.rules.clear()
        self._release_hanging()
        return {}

    async def remove_fault(self, request: web.Request) -> Any:
        if not self._simulator.rules.remove(int(request.match_info['id'])):
            raise web.HTTPNotFound(text='there is no such rule')
        self._release_hanging()
        return {}

    def _release_hanging(self) -> None:
        for service in self._simulator.services:
            if service.mode != 'hung':
                service.release()

    async def read_journal(self, request: web.Request) -> Any:
        numbers = {}
        for name in ('since', 'limit'):
            text = request.query.get(name, '')
            if text and not (text.isascii() and text.isdigit()):
                raise _BadRequest('%s is a number' % name)
            numbers[name] = int(text) if text else None
        return self._simulator.journal.since(numbers['since'] or 0,
                                             numbers['limit'])

    async def clear_journal(self, request: web.Request) -> Any:
        self._simulator.journal.clear()
        return {}

    # The model

    async def state(self, request: web.Request) -> Any:
        self._world.settle()
        messages = self._simulator.api.messages
        return {
            'volumes': [{**messages.volume(volume), 'project': volume.project}
                        for volume in self._world.volumes],
            'snapshots': [{**messages.snapshot(snapshot),
                           'project': snapshot.project}
                          for snapshot in self._world.snapshots],
            'projects': [messages.project(project)
                         for project in self._world.projects.values()],
            'policies': [messages.policy(policy)
                         for policy in self._world.policies]}

    async def work_times(self, request: web.Request) -> Any:
        values = await _fields(request)
        self._world.work_times.set(
            {name: _seconds(value, name) for name, value in values.items()})
        return self._world.work_times.as_dict()

    async def clock(self, request: web.Request) -> Any:
        values = await _fields(request, 'advance')
        seconds = _seconds(values.get('advance', 0), 'advance')
        if seconds < 0:
            raise _BadRequest('the clock only goes forward')
        self._simulator.clock.advance(seconds)
        self._simulator.note_change()
        return {'now': self._simulator.clock()}

    async def add_volumes(self, request: web.Request) -> Any:
        values = await _fields(request, 'count', 'project')
        count = values.get('count')
        if type(count) is not int or not 0 <= count <= _MOST_VOLUMES:
            raise _BadRequest('count is a number up to %d' % _MOST_VOLUMES)
        project = _text(values, 'project', model.DEFAULT_PROJECT)
        for _number in range(count):
            self._cluster.volumes.create(volumes.NewVolume(
                project=project, name='volume-%s' % world.new_uuid(),
                size=rules.GIB, replicas=1, compression=False, acl=None,
                ip_acl=None, labels=(), sector_size=rules.BLOCK,
                source_uuid='', source_name='', policy_uuid='',
                policy_name='', placement=()))
        self._world.settle()
        return {'count': count}

    async def force_volume(self, request: web.Request) -> Any:
        values = await _fields(request, *_VOLUME_FIELDS)
        enums = contract.load().enums
        self._check_word(values, 'state', enums['Volume.StateEnum'])
        self._check_word(values, 'protectionState',
                         enums['ProtectionStateEnum'])
        used = values.get('logicalUsedStorage', 0)
        if type(used) is not int or used < 0:
            raise _BadRequest('logicalUsedStorage is a number of bytes')
        hosts = values.get('connectedHosts', [])
        if not (isinstance(hosts, list)
                and all(isinstance(host, str) for host in hosts)):
            raise _BadRequest('connectedHosts is a list of NQNs')
        if 'connectedHosts' in values:
            values['connectedHosts'] = tuple(hosts)
        self._world.settle()
        volume: records.Volume = self._cluster.volumes.find(
            None, request.match_info['uuid'], '')
        self._cluster.volumes.force(volume, **{
            _VOLUME_FIELDS[name]: value for name, value in values.items()})
        return self._simulator.api.messages.volume(volume)

    async def force_snapshot(self, request: web.Request) -> Any:
        values = await _fields(request, 'state')
        self._check_word(values, 'state',
                         contract.load().enums['Snapshot.StateEnum'])
        self._world.settle()
        snapshot = self._cluster.snapshots.find(
            None, request.match_info['uuid'], '')
        self._cluster.snapshots.force(snapshot, **values)
        return self._simulator.api.messages.snapshot(snapshot)

    def _check_word(self, values: Mapping[str, Any], name: str,
                    words: Mapping[str, int]) -> None:
        if name in values and _text(values, name) not in words:
            raise _BadRequest('%s is one of %s' % (name, ', '.join(words)))


def _answering(handler: Callable[[web.Request], Awaitable[Any]]
               ) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        try:
            return web.json_response(await handler(request))
        except web.HTTPNotFound as error:
            status, message = 404, error.text
        except errors.ApiError as error:
            status, message = error.status, error.message
        except (_BadRequest, ValueError) as error:
            status, message = 400, str(error)
        return web.json_response({'error': message}, status=status)
    return answer


def application(subject: simulator.Simulator) -> web.Application:
    """The control interface of a simulator."""
    control = _Control(subject)
    app = web.Application(client_max_size=2 ** 24)
    for method, path, handler in (
            ('GET', '/', control.root),
            ('GET', '/nodes', control.list_nodes),
            ('POST', r'/nodes/{index:\d+}', control.change_node),
            ('GET', '/projects', control.list_projects),
            ('POST', '/projects', control.add_project),
            ('POST', '/tokens', control.tokens),
            ('GET', '/faults', control.list_faults),
            ('POST', '/faults', control.add_fault),
            ('DELETE', '/faults', control.clear_faults),
            ('DELETE', r'/faults/{id:\d+}', control.remove_fault),
            ('GET', '/journal', control.read_journal),
            ('DELETE', '/journal', control.clear_journal),
            ('GET', '/state', control.state),
            ('POST', '/work-times', control.work_times),
            ('POST', '/clock', control.clock),
            ('POST', '/volumes', control.add_volumes),
            ('POST', '/volumes/{uuid}', control.force_volume),
            ('POST', '/snapshots/{uuid}', control.force_snapshot)):
        app.router.add_route(method, path, _answering(handler))
    return app
