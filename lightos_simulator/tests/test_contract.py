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
"""The whole contract, replayed: each operation, field, type and status."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
import json
import pathlib
from typing import Any
import urllib.parse

import ddt
import testtools

from lightos_simulator import api
from lightos_simulator import contract
from lightos_simulator.tests import base

NOBODY = '00000000-0000-4000-8000-000000000000'
LABEL = {'key': 'k', 'value': 'v'}
MATCH = {'operator': 'In',
         'labelValueKeyPairs': [{'key': 'FD', 'value': 'rack0'}]}

# A good value of each field that a request may have; {volume}, {snapshot},
# {policy} and {node} are UUIDs of what the cluster under test has.
GOOD: dict[str, dict[str, Any]] = {
    'CreateVolume': {
        'name': 'n', 'size': '4 gib', 'acl': {'values': [base.NQN]},
        'compression': 'false', 'replicaCount': 2,
        'IPAcl': {'values': ['192.0.2.1']}, 'minReplicas': 1,
        'sectorSize': 'sectorSize_4K', 'sourceSnapshotUUID': '{snapshot}',
        'sourceSnapshotName': 's', 'placementRestrictions': [MATCH],
        'qosPolicyUUID': '{policy}', 'qosPolicyName': 'q',
        'labels': [LABEL]},
    'UpdateVolume': {
        'acl': {'values': ['ALLOW_ANY']}, 'IPAcl': {'values': ['2001:db8::1']},
        'size': '5 gib', 'compression': 'Enabled',
        'qosPolicyUUID': '{policy}', 'qosPolicyName': 'q', 'Force': True,
        'name': 'v', 'labels': [LABEL], 'newName': 'w'},
    'DeleteVolume': {'name': 'v'},
    'GetVolume': {'name': 'v'},
    'ListVolumes': {
        'UUID': '{volume}', 'name': 'v', 'failureDomain': 'rack1',
        'offsetUUID': NOBODY, 'limit': 10, 'snapshotUUID': '{snapshot}',
        'showAll': True},
    'ListEvents': {
        'nextToken': '1', 'since': '2026-01-01T00:00:00Z',
        'until': '2026-01-01T00:00:00.1+01:00', 'limit': 10,
        'severity': ['Info', 'High'], 'componentType': 'Volume'},
    'GetHost': {},
    'ListHosts': {'hostNQN': base.NQN, 'volumeUUID': '{volume}'},
    'ListNodes': {'name': 'node0', 'UUID': '{node}',
                  'failureDomain': 'rack0'},
    'CreatePolicy': {
        'name': 'n', 'description': 'd', 'qoSRateLimitPolicy': {
            'policyVisibility': 'Scoped', 'projectsNamesScope': ['default'],
            'limitBw': {'writeBWLimit': 1, 'readBWLimit': 2}}},
    'UpdatePolicy': {
        'name': 'n', 'description': 'd', 'qoSRateLimitPolicy': {
            'policyVisibility': 'Global', 'limitIOPSPerGB': {
                'writeIOPSPerGBLimit': 1, 'readIOPSPerGBLimit': 2}}},
    'GetPolicy': {'name': 'q', 'projectName': 'default'},
    'ListPolicies': {'UUID': '{policy}', 'name': 'q',
                     'projectName': 'default'},
    'DeletePolicy': {'name': 'q'},
    'CreateSnapshot': {
        'name': 'n', 'sourceVolumeUUID': '{volume}', 'sourceVolumeName': 'v',
        'retentionTime': '3600.5s', 'description': 'd'},
    'GetSnapshot': {'Name': 's'},
    'ListSnapshots': {'UUID': '{snapshot}', 'Name': 's', 'offsetUUID': NOBODY,
                      'limit': 10, 'showAll': False},
    'DeleteSnapshot': {'name': 's'},
    'RollbackVolume': {'srcSnapshotUUID': '{snapshot}', 'Name': 'v',
                       'srcSnapshotName': 's'},
    'ListChangedBlocks': {
        'baseSnapshotUUID': '{snapshot}', 'offsetLBA': 8, 'snapshotName': 's',
        'baseSnapshotName': 's'},
}
# The fields that an operation does not go without.
NEEDED = {
    'CreateVolume': ('name', 'size', 'replicaCount'),
    'CreatePolicy': ('name', 'qoSRateLimitPolicy'),
    'CreateSnapshot': ('name', 'sourceVolumeUUID'),
    'RollbackVolume': ('srcSnapshotUUID',),
}
# What is no value of a type, in a body; and in a query, where all is text.
WRONG_IN_BODY: dict[str, tuple[Any, ...]] = {
    'string': (1, True, ['x'], {}), 'bool': ('true', 1, 'yes'),
    'uint32': ('x', -1, 2 ** 32, 1.5, True, []),
    'duration': ('1', 1, '1m', 'x'), 'enum': ('nonsense', 7777, True),
    'message': ('x', 1, []), 'list': ('x', 1, {}, [None], [7])}
WRONG_IN_QUERY = {
    'bool': ('yes', '1'), 'int64': ('x', '1.5', str(2 ** 63)),
    'uint64': ('-1', 'x', str(2 ** 64))}
DOCUMENT = contract.load()
ROUTES = {
    name: entry['http'][0] for name, entry in json.loads(
        pathlib.Path(contract.__file__).with_name('contract.json').read_text(
            encoding='utf-8'))['operations'].items()}


def operations(takes_body: bool | None = None) -> Iterator[str]:
    for name, operation in DOCUMENT.operations.items():
        if takes_body in (None, operation.takes_body):
            yield name


def fields(in_body: bool) -> Iterator[tuple[str, str]]:
    for name, operation in DOCUMENT.operations.items():
        if operation.takes_body == in_body:
            for field in (operation.body if in_body else operation.query):
                if field not in operation.path_fields:
                    yield (name, field)


def query_type(name: str, field: str) -> contract.FieldType:
    return DOCUMENT.operations[name].query[field]


class ReplayTest(base.ClusterTest):
    """A cluster on which every operation can be done."""

    def setUp(self) -> None:
        super().setUp()
        self.fill()

    def fill(self) -> None:
        """Make one object of each kind."""
        self.ids = {'volume': self.volume(), 'policy': self.policy(),
                    'node': self.world.nodes[0].uuid}
        self.world.settle()
        self.ids['snapshot'] = self.snapshot(self.ids['volume'])
        self.world.settle()
        volume = self.world.volumes.get(self.ids['volume'])
        assert volume is not None
        self.cluster.volumes.force(volume, connected_hosts=(base.NQN,))

    def filled_in(self, value: Any) -> Any:
        """A good value with the UUIDs of this cluster."""
        if isinstance(value, str) and value.startswith('{'):
            return self.ids[value[1:-1]]
        return value

    def path(self, name: str, /, **others: str) -> tuple[str, str]:
        """The method and path of an operation, on what the cluster has."""
        values = {'projectName': 'default', 'name': 'default',
                  'snapshotUUID': self.ids['snapshot'],
                  'hostNQN': urllib.parse.quote(base.NQN), **others}
        kind = {'Volume': 'volume', 'Snapshot': 'snapshot',
                'Policy': 'policy', 'Node': 'node'}
        for ending, what in kind.items():
            if name.endswith(ending):
                values.setdefault('UUID', self.ids[what])
        return (ROUTES[name]['method'],
                ROUTES[name]['path'].format(**values))

    def send(self, name: str, values: dict[str, Any], /, **others: str
             ) -> base.Reply:
        """Send an operation with fields where they belong."""
        method, path = self.path(name, **others)
        if DOCUMENT.operations[name].takes_body:
            return self.call(method, path, values)
        if values:
            path += '?' + urllib.parse.urlencode(
                {field: str(value).lower() if isinstance(value, bool)
                 else value for field, value in values.items()}, doseq=True)
        return self.call(method, path)

    def needed(self, name: str, *but: str) -> dict[str, Any]:
        """The fields that an operation does not go without."""
        return {field: self.filled_in(GOOD[name][field])
                for field in NEEDED.get(name, ()) if field not in but}


@ddt.ddt
class TestReplay(ReplayTest):

    @ddt.idata(operations())
    def test_operation(self, name: str) -> None:
        reply = self.send(name, self.needed(name))
        self.assertEqual(200, reply.status, reply.json)
        self.assertEqual(name, reply.operation)

    @ddt.idata(operations())
    def test_reply_with_zero_fields(self, name: str) -> None:
        self.build(omit_zero=False)
        self.fill()
        reply = self.send(name, self.needed(name))
        self.assertEqual(200, reply.status, reply.json)
        message = DOCUMENT.types[DOCUMENT.operations[name].reply]
        self.assertEqual(set(message), set(reply.json))

    @ddt.idata(list(fields(True)) + list(fields(False)))
    @ddt.unpack
    def test_field(self, name: str, field: str) -> None:
        values = {**self.needed(name),
                  field: self.filled_in(GOOD[name][field])}
        reply = self.send(name, values)
        self.assertEqual(200, reply.status, reply.json)

    @ddt.idata(fields(True))
    @ddt.unpack
    def test_field_of_wrong_type(self, name: str, field: str) -> None:
        kind = DOCUMENT.operations[name].body[field]
        for value in WRONG_IN_BODY['list' if kind.repeated else kind.kind]:
            reply = self.send(name, {**self.needed(name), field: value})
            self.assertEqual((400, 3), (reply.status, reply.code), str(value))
            self.assertIn(field, reply.json['message'])

    @ddt.idata(pair for pair in fields(False)
               if query_type(*pair).kind in WRONG_IN_QUERY)
    @ddt.unpack
    def test_parameter_of_wrong_type(self, name: str, field: str) -> None:
        for value in WRONG_IN_QUERY[query_type(name, field).kind]:
            reply = self.send(name, {field: value})
            self.assertEqual((400, 3), (reply.status, reply.code), value)
            self.assertIn(field, reply.json['message'])

    @ddt.idata(pair for pair in fields(False)
               if not query_type(*pair).repeated)
    @ddt.unpack
    def test_parameter_given_twice(self, name: str, field: str) -> None:
        value = self.filled_in(GOOD[name][field])
        reply = self.send(name, {field: [value, value]})
        self.assertEqual((400, 3), (reply.status, reply.code))

    @ddt.idata(fields(True))
    @ddt.unpack
    def test_null_is_absent(self, name: str, field: str) -> None:
        reply = self.send(name, {**self.needed(name), field: None})
        without = self.send(name, self.needed(name, field))
        if field in NEEDED.get(name, ()):
            self.assertEqual(without.json, reply.json)
        else:
            self.assertEqual(200, reply.status, reply.json)

    @ddt.idata(operations())
    def test_one_field_too_many(self, name: str) -> None:
        reply = self.send(name, {**self.needed(name), 'nonsense': 'x'})
        self.assertEqual((400, 3), (reply.status, reply.code))
        self.assertIn('nonsense', reply.json['message'])

    @ddt.idata(operations())
    def test_one_field_too_many_ignored(self, name: str) -> None:
        self.build(refuse_unknown=False)
        self.fill()
        reply = self.send(name, {**self.needed(name), 'nonsense': 'x'})
        self.assertEqual(200, reply.status, reply.json)

    @ddt.idata(operations(takes_body=False))
    def test_body_where_there_is_none(self, name: str) -> None:
        method, path = self.path(name)
        reply = self.call(method, path, {'name': 'x'})
        self.assertEqual((400, 3), (reply.status, reply.code))

    @ddt.idata(operations(takes_body=True))
    def test_parameter_beside_a_body(self, name: str) -> None:
        method, path = self.path(name)
        reply = self.call(method, path + '?name=x', self.needed(name, 'name'))
        self.assertEqual((400, 3), (reply.status, reply.code))

    @ddt.idata(operations())
    def test_other_method(self, name: str) -> None:
        _, path = self.path(name)
        self.refused(501, 12, 'PATCH', path)

    @ddt.data(('CreateVolume', 'labels', {'key': 'k', 'other': 'x'}),
              ('CreateVolume', 'labels', {'key': 1, 'value': 'x'}),
              ('CreateVolume', 'placementRestrictions',
               {'operator': 'NotIn'}),
              ('CreateVolume', 'placementRestrictions',
               {'labelValueKeyPairs': [{'key': 'Rack'}]}))
    @ddt.unpack
    def test_nested_field(self, name: str, field: str, item: Any) -> None:
        reply = self.send(name, {**self.needed(name), field: [item]})
        self.assertEqual((400, 3), (reply.status, reply.code))

    @ddt.data(('nonsense', 1), ('limitIOPS', {'readIOPSLimit': 'x'}),
              ('limitIOPS', {'nonsense': 1}), ('limitIOPS', 5),
              ('policyVisibility', 'Everybody'))
    @ddt.unpack
    def test_nested_policy_field(self, field: str, value: Any) -> None:
        reply = self.send('CreatePolicy', {'name': 'n', 'qoSRateLimitPolicy': {
            'policyVisibility': 'Global', 'limitIOPS': {}, field: value}})
        self.assertEqual((400, 3), (reply.status, reply.code))

    @ddt.data(2, '2', 2.0)
    def test_integer_as_number_or_string(self, count: Any) -> None:
        reply = self.send('CreateVolume', {**self.needed('CreateVolume'),
                                           'replicaCount': count})
        self.assertEqual(2, reply.json['replicaCount'])

    @ddt.data('sectorSize_512B', 512)
    def test_enumeration_as_name_or_number(self, value: Any) -> None:
        reply = self.send('CreateVolume', {**self.needed('CreateVolume'),
                                           'sectorSize': value})
        self.assertEqual(512, reply.json['sectorSize'])

    @ddt.data(b'{', b'[]', b'"x"', b'7', b'\xff',
              b'{"name":"a","name":"a","size":"1 gib","replicaCount":1}')
    def test_body_that_is_no_object(self, body: bytes) -> None:
        response = self.api.handle(api.ApiRequest(
            'POST', base.PROJECT + '/volumes', body=body))
        self.assertEqual(400, response.status)

    @ddt.data(b'', b'{}', b'null')
    def test_empty_body_of_a_get(self, body: bytes) -> None:
        response = self.api.handle(api.ApiRequest(
            'GET', '/api/v2/clusterinfo', body=body))
        self.assertEqual(200, response.status)


@ddt.ddt
class TestPaths(ReplayTest):

    @ddt.data('CreateVolume', 'ListVolumes', 'GetVolume', 'UpdateVolume',
              'DeleteVolume', 'ListEvents')
    def test_second_path_with_project_in_body_or_query(self, name: str
                                                       ) -> None:
        method, path = self.path(name)
        path = path.replace('/projects/default', '')
        in_query = self.call(method, path + '?projectName=default',
                             self.needed(name) or None)
        self.assertEqual(200, in_query.status, in_query.json)
        if DOCUMENT.operations[name].takes_body:
            self.build()
            self.fill()
            method, path = self.path(name)
            path = path.replace('/projects/default', '')
            in_body = self.call(method, path, {**self.needed(name),
                                               'projectName': 'default'})
            self.assertEqual(200, in_body.status, in_body.json)

    def test_create_volume_needs_a_project(self) -> None:
        self.refused(400, 3, 'POST', '/api/v2/volumes',
                     self.needed('CreateVolume'))

    def test_path_fields_agree(self) -> None:
        method, path = self.path('UpdateVolume')
        body = {'UUID': self.ids['volume'], 'projectName': 'default'}
        self.done(method, path + '?projectName=default', body)

    @ddt.data({'UUID': NOBODY}, {'projectName': 'other'})
    def test_path_fields_disagree_in_body(self, body: dict[str, str]) -> None:
        method, path = self.path('UpdateVolume')
        self.refused(400, 3, method, path, body)

    def test_path_fields_disagree_in_query(self) -> None:
        method, path = self.path('GetVolume')
        self.refused(400, 3, method, path + '?projectName=other')

    def test_uuid_in_query(self) -> None:
        found = self.done('GET', '%s/volumes/?UUID=%s'
                          % (base.PROJECT, self.ids['volume']))
        self.assertEqual('v', found['name'])

    @ddt.data('/', '/api', '/api/v2', '/api/v2/nope', '/api/v1/cluster',
              '/api/v2/cluster/', '/api/v2/projects//volumes',
              '/api/v2/snapshots', base.PROJECT + '/volumes/a/b',
              base.PROJECT + '/volumes//rollback')
    def test_unknown_path(self, path: str) -> None:
        self.refused(404, 5, 'GET', path)

    def test_path_is_decoded(self) -> None:
        self.world.add_project('p.1')
        self.assertEqual({}, self.done('GET', '/api/v2/projects/%70%2e1/'
                                              'volumes'))

    def test_path_that_is_not_utf8(self) -> None:
        self.refused(400, 3, 'GET', '/api/v2/projects/%ff/volumes')


def _unknown(test: TestStatuses, name: str) -> base.Reply:
    return test.send(name, {'nonsense': 'x'})


def _absent(test: TestStatuses, name: str) -> base.Reply:
    return test.send(name, test.needed(name), UUID=NOBODY, name='nobody',
                     hostNQN='nobody', snapshotUUID=NOBODY)


def _body(**values: Any) -> Callable[[TestStatuses, str], base.Reply]:
    def send(test: TestStatuses, name: str) -> base.Reply:
        return test.send(name, {**test.needed(name), **values})
    return send


def _busy(operation: str) -> Callable[[TestStatuses, str], base.Reply]:
    def send(test: TestStatuses, name: str) -> base.Reply:
        test.work(default=100)
        test.send(operation, test.needed(operation))
        return test.send(name, test.needed(name))
    return send


def _creating(test: TestStatuses, name: str) -> base.Reply:
    test.work(default=100)
    if name.endswith('Volume'):
        return test.send(name, test.needed(name), UUID=test.volume('fresh'))
    return test.send(name, test.needed(name), UUID=test.snapshot(
        test.ids['volume'], 'fresh'))


def _mismatch(test: TestStatuses, name: str) -> base.Reply:
    method, path = test.path(name)
    body = test.needed(name) if DOCUMENT.operations[name].takes_body else None
    return test.call(method, path, body, {'If-Match': '"1"'})


def _twice(test: TestStatuses, name: str) -> base.Reply:
    test.work(default=100)
    test.send(name, test.needed(name))
    return test.send(name, {**test.needed(name), 'name': 'second'})


SCENARIOS: dict[tuple[str, int], Callable[[TestStatuses, str], base.Reply]] = {
    ('CreateVolume', 409): _body(name='v'),
    ('UpdateVolume', 409): _busy('RollbackVolume'),
    ('DeleteVolume', 409): _busy('RollbackVolume'),
    ('CreatePolicy', 409): _body(name='q'),
    ('CreateSnapshot', 409): _body(name='s'),
    ('DeleteSnapshot', 409): _busy('DeleteSnapshot'),
    ('UpdateVolume', 412): _mismatch,
    ('DeleteVolume', 412): _mismatch,
    ('DeleteSnapshot', 412): _mismatch,
    ('UpdateVolume', 503): _creating,
    ('DeleteVolume', 503): _creating,
    ('RollbackVolume', 503): _creating,
    ('DeleteSnapshot', 503): _creating,
    ('CreateSnapshot', 404): _body(sourceVolumeUUID=NOBODY),
    ('CreateSnapshot', 500): _twice,
    ('CreatePolicy', 404): _body(qoSRateLimitPolicy={
        'policyVisibility': 'Scoped', 'projectsNamesScope': ['nobody'],
        'limitIOPS': {}}),
    ('ListPolicies', 404): _body(projectName='nobody'),
    ('ListHosts', 404): _body(volumeUUID=NOBODY),
    ('ListEvents', 404): lambda test, name: test.send(
        name, {}, projectName='nobody'),
}


def statuses() -> Iterator[tuple[str, int]]:
    """What is documented and the model gives without an injected fault."""
    for name, operation in DOCUMENT.operations.items():
        for status in sorted(operation.statuses - {401, 403, 500, 501}):
            yield (name, status)
    yield ('CreateSnapshot', 500)


@ddt.ddt
class TestStatuses(ReplayTest):

    @ddt.idata(statuses())
    @ddt.unpack
    def test_status(self, name: str, status: int) -> None:
        usual = _unknown if status == 400 else _absent
        reply = SCENARIOS.get((name, status), usual)(self, name)
        self.assertEqual(status, reply.status, reply.json)

    @ddt.data(('CreateVolume', {'sourceSnapshotUUID': NOBODY}, {}, 3),
              ('ListVolumes', {}, {'projectName': 'nobody'}, 3),
              ('ListSnapshots', {}, {'projectName': 'nobody'}, 3))
    @ddt.unpack
    def test_undocumented_404_is_400(
            self, name: str, values: dict[str, Any], others: dict[str, str],
            code: int) -> None:
        reply = self.send(name, {**self.needed(name), **values}, **others)
        self.assertEqual((400, code), (reply.status, reply.code))

    def test_undocumented_412_is_400(self) -> None:
        method, path = self.path('RollbackVolume')
        self.refused(400, 9, method, path, self.needed('RollbackVolume'),
                     {'If-Match': '1'})


@ddt.ddt
class TestReplyCheck(testtools.TestCase):
    """The check that all other tests rely on."""

    @ddt.data({'nonsense': 1}, {'size': 1}, {'size': 'x'}, {'UUID': 1},
              {'replicaCount': '1'}, {'replicaCount': True}, {'state': 'Odd'},
              {'acl': ['x']}, {'acl': {'values': 'x'}},
              {'labels': [{'nonsense': 'x'}]}, {'creationTime': 'today'},
              {'statistics': {'compressionRatio': 1}})
    def test_refuses(self, volume: Any) -> None:
        self.assertRaises(ValueError, DOCUMENT.check_reply, 'GetVolume',
                          volume)

    @ddt.data(('Snapshot', {'retentionTime': '1h'}),
              ('Snapshot', {'compression': 'true'}),
              ('LBARange', {'dataBitMap': 'not base64'}))
    @ddt.unpack
    def test_refuses_in_other_messages(self, message: str, value: Any) -> None:
        self.assertRaises(ValueError, DOCUMENT.check_message, message, value)

    def test_accepts(self) -> None:
        DOCUMENT.check_reply('GetVolume', {
            'size': '1', 'state': 'Available', 'acl': {'values': ['x']},
            'statistics': None, 'creationTime': '2026-01-01T00:00:00Z'})
        DOCUMENT.check_message('LBARange', {'dataBitMap': 'AAE='})
