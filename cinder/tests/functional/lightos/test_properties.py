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
"""What holds for every input, whatever it is."""

import base64
import functools
import json
import re
from typing import Any, Callable
import urllib.parse

import fixtures
import hypothesis
from hypothesis import strategies as st
import requests
import testtools
import urllib3

from cinder.volume.drivers.lightos import answers
from cinder.volume.drivers.lightos import commands
from cinder.volume.drivers.lightos import credentials
from cinder.volume.drivers.lightos import endpoints
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import waiting

# The same examples in every run, so that a failure is nobody's bad luck.
hypothesis.settings.register_profile(
    'lightos', derandomize=True, deadline=None, max_examples=100,
    database=None)
hypothesis.settings.load_profile('lightos')

PREFIX = '/api/v2'
HOST = re.compile(r'[A-Za-z0-9._-]+')

# A value for each keyword in the path or the query of a command.
KEYWORDS = sorted({
    keyword for row in commands.COMMANDS.values()
    for keyword in (*re.findall(r'{(\w+)}', row.path), *row.query.values())})
HOSTILE = st.sampled_from([
    '', '.', '..', '../..', '/', '//', '%', '%2e%2e', '%2F', '%252F', '?',
    '#', '&', '=', '+', ' ', '\\', ';', ':', '@', '\r\n', '\0', '{}', '~',
    'ä', '\U0001f600', 'None', '*', '..;', 'a/../../b'])
TEXT = st.one_of(st.text(), HOSTILE)

NUMBERS = st.one_of(st.integers(), st.floats())
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(),
                                                             inner)),
    max_leaves=8)

FIELDS = (
    'UUID', 'name', 'projectName', 'state', 'protectionState', 'ETag', 'size',
    'replicaCount', 'compression', 'acl', 'IPAcl', 'values', 'qosPolicyUUID',
    'qosPolicyName', 'sourceSnapshotUUID', 'sourceSnapshotName',
    'sourceVolumeUUID', 'sourceVolumeName', 'subsystemNQN', 'code', 'message',
    'currentMaxReplicas', 'apiEndpoints', 'discoveryEndpoints', 'statistics',
    'estimatedLogicalStorage', 'estimatedFreeLogicalStorage',
    'logicalStorage', 'volumes', 'snapshots', 'nodes', 'nvmeEndpoint')
# What is nearly a message of the API finds more than what is nothing like it.
LIKELY = st.one_of(
    JSON, st.text('0123456789', max_size=6), st.just('Available'),
    st.sampled_from(['1gib', '1 GiB', '10b', '-1', '1.5', '٣', '²', 'true',
                     '5a5c1b0e-0000-4000-8000-000000000001']),
    st.fixed_dictionaries({'values': st.lists(st.text())}))
MESSAGE = st.dictionaries(st.sampled_from(FIELDS), LIKELY, max_size=8)
REPLY = st.one_of(
    JSON, MESSAGE,
    st.fixed_dictionaries({'UUID': st.text(min_size=1)}, optional={
        field: LIKELY for field in FIELDS if field != 'UUID'}),
    st.dictionaries(st.sampled_from(['volumes', 'snapshots', 'nodes',
                                     'statistics']),
                    st.one_of(MESSAGE, st.lists(MESSAGE))))


class QuotingTest(testtools.TestCase):
    """Everything that goes into a URL (O6)."""

    @hypothesis.given(command=st.sampled_from(sorted(commands.COMMANDS)),
                      values=st.fixed_dictionaries(
                          {keyword: TEXT for keyword in KEYWORDS}))
    @hypothesis.example('get_volume', dict.fromkeys(KEYWORDS, '.'))
    @hypothesis.example('get_volume', dict.fromkeys(KEYWORDS, '..'))
    def test_o6_keywords_stay_what_and_where_they_are(
            self, command: str, values: dict[str, str]) -> None:
        try:
            request = commands.build(command, **values)
        except exception.LightOSError:
            # Refused before any call.
            return
        row = commands.COMMANDS[command]
        # As the libraries send it, which have their own ideas of quoting.
        prepared = requests.Request(
            'GET', 'https://192.0.2.1:443' + request.target).prepare()
        self.assertIsNotNone(prepared.url)
        sent = urllib3.util.parse_url(prepared.url)
        self.assertEqual(('192.0.2.1', 443), (sent.host, sent.port))
        self.assertIsNone(sent.fragment)
        expected = [part.strip('{}') for part in
                    (PREFIX + row.path).split('/')]
        self.assertEqual(
            [values.get(part, part) for part in expected],
            [urllib.parse.unquote(part)
             for part in (sent.path or '').split('/')])
        self.assertEqual(
            [(parameter, values[keyword])
             for parameter, keyword in row.query.items()],
            urllib.parse.parse_qsl(sent.query or '',
                                   keep_blank_values=True))


class EndpointTest(testtools.TestCase):
    """Addresses of nodes, as configured and as the cluster tells them."""

    @hypothesis.given(text=st.one_of(TEXT, st.text('[]:.%0123456789abf'),
                                     st.from_regex(r'\[?[\w.:]*\]?:?\w*')),
                      port=st.integers(1, 65535))
    def test_parse_of_anything(self, text: str, port: int) -> None:
        address = endpoints.Address.parse(text, port)
        if address is None:
            return
        self.assertEqual(address, endpoints.Address.parse(str(address), 1))
        self.assertTrue(0 <= address.port <= 65535)
        # Nothing else may get into a URL with it.
        url = urllib3.util.parse_url('https://%s/api' % str(address))
        self.assertEqual(
            ('/api', None, None, address.port),
            (url.path, url.auth, url.query, url.port))
        if ':' not in address.host:
            self.assertRegex(address.host, HOST)

    @hypothesis.given(host=st.one_of(
        st.ip_addresses().map(str),
        st.from_regex(r'[a-z]([a-z0-9-]{0,20}[a-z0-9])?'
                      r'(\.[a-z]([a-z0-9-]{0,20}[a-z0-9])?){0,3}',
                      fullmatch=True)), port=st.integers(1, 65535))
    def test_parse_round_trip(self, host: str, port: int) -> None:
        address = endpoints.Address(host, port)
        self.assertEqual(address, endpoints.Address.parse(str(address), 1))
        self.assertEqual(address, endpoints.Address.parse(host, port))


class ReplyTest(testtools.TestCase):
    """Replies are read strictly: a typed value, or LightOSBadReply (E5)."""

    def _parse(self, parse: Callable[[Any], Any], reply: Any) -> Any:
        try:
            return parse(reply)
        except exception.LightOSBadReply:
            return None

    def _check_text(self, *values: Any) -> None:
        for value in values:
            self.assertIsInstance(value, (str, type(None)))

    def _check_number(self, *values: Any) -> None:
        for value in values:
            self.assertIsInstance(value, (int, type(None)))
            self.assertLessEqual(0, value or 0)

    def _check_texts(self, *lists: Any) -> None:
        for values in lists:
            self.assertIsInstance(values, (tuple, type(None)))
            for value in values or ():
                self.assertIsInstance(value, str)

    def _check_volume(self, volume: replies.Volume) -> None:
        self.assertTrue(volume.uuid)
        self._check_text(volume.uuid, volume.name, volume.project,
                         volume.state, volume.protection, volume.etag,
                         volume.qos_policy_uuid, volume.qos_policy_name)
        self._check_number(volume.size, volume.replicas)
        self._check_texts(volume.acl, volume.ip_acl)
        self.assertIn(volume.compression, (True, False, None))

    def _check_snapshot(self, snapshot: replies.Snapshot) -> None:
        self.assertTrue(snapshot.uuid)
        self._check_text(snapshot.uuid, snapshot.name, snapshot.state,
                         snapshot.etag, snapshot.source_volume_uuid,
                         snapshot.source_volume_name)
        self._check_number(snapshot.size, snapshot.replicas)

    @hypothesis.given(reply=REPLY)
    def test_e5_volume(self, reply: Any) -> None:
        for parse in (replies.Volume.parse, replies.Volume.parse_named):
            volume = self._parse(parse, reply)
            if volume is not None:
                self._check_volume(volume)

    @hypothesis.given(reply=REPLY)
    def test_e5_snapshot(self, reply: Any) -> None:
        for parse in (replies.Snapshot.parse, replies.Snapshot.parse_named):
            snapshot = self._parse(parse, reply)
            if snapshot is not None:
                self._check_snapshot(snapshot)

    @hypothesis.given(reply=REPLY)
    def test_e5_cluster(self, reply: Any) -> None:
        info = self._parse(replies.ClusterInfo.parse, reply)
        if info is not None:
            self._check_text(info.uuid, info.subsystem_nqn)
            self._check_number(info.max_replicas)
            self._check_texts(info.api_endpoints, info.discovery_endpoints)
        capacity = self._parse(replies.Capacity.parse, reply)
        if capacity is not None:
            self._check_number(*capacity)
        self._check_texts(self._parse(replies.parse_node_endpoints, reply))

    @hypothesis.given(etag=TEXT)
    def test_e5_etag_that_is_taken_can_be_sent(self, etag: str) -> None:
        volume = self._parse(replies.Volume.parse,
                             {'UUID': 'a', 'ETag': etag})
        if volume is None:
            return
        request = commands.build(
            'extend_volume', project_name='default', volume_uuid='a',
            size='1gib', etag=volume.etag)
        prepared = requests.Request(
            'PUT', 'https://192.0.2.1/', headers=request.headers).prepare()
        for value in prepared.headers.values():
            value.encode('latin-1')


class _OneAnswer:
    """A cluster that always gives the same answer."""

    def __init__(self, status: int, data: Any) -> None:
        self._answer = (status, data)

    def send_cmd(self, cmd: str, timeout: float,
                 **kwargs: Any) -> tuple[int, Any]:
        return self._answer


class OperationTest(testtools.TestCase):
    """Every answer has a meaning."""

    @hypothesis.given(command=st.sampled_from(sorted(commands.COMMANDS)),
                      status=st.integers(100, 999), data=REPLY,
                      retry_after=st.one_of(st.none(), st.floats(0)))
    def test_every_answer_is_judged(self, command: str, status: int,
                                    data: Any, retry_after: Any) -> None:
        if status >= 300:
            # This is what becomes of the body of an error.
            data = answers.ErrorReply(
                data if isinstance(data, dict) else {'message': str(data)})
            data.retry_after = retry_after
        op = operation.Operation(_OneAnswer(status, data), 'test',
                                 waiting.Deadline(10))
        answer = op.send(command, project_name='default', name='name')
        self.assertIsInstance(answer.outcome, operation.Outcome)
        self.assertIsInstance(answer.text, str)
        self.assertEqual(status, answer.status)
        if answer.outcome is operation.Outcome.DONE:
            self.assertIsInstance(answer.data, dict)
            self.assertTrue(200 <= status < 300)

    @hypothesis.given(
        status=st.integers(200, 599), retry_after=TEXT,
        body=st.one_of(
            st.binary(), REPLY.map(json.dumps).map(str.encode),
            st.tuples(REPLY.map(json.dumps), st.integers(0, 99)).map(
                lambda cut: cut[0][:cut[1]].encode()),
            st.tuples(st.sampled_from(['%s', '{"message": %s}']),
                      st.sampled_from(['[%s]', '{"a": %s}']),
                      st.integers(0, 2000)).map(
                lambda deep: (deep[0] % functools.reduce(
                    lambda inner, _each: deep[1] % inner, range(deep[2]),
                    '7')).encode())))
    def test_e5_every_body_is_read_and_can_be_told(
            self, status: int, retry_after: str, body: bytes) -> None:
        response = requests.Response()
        response.status_code = status
        response.headers['Retry-After'] = retry_after
        result = answers.read(response,
                              body.decode('utf-8', 'surrogateescape'))
        answer = operation.Operation(
            _OneAnswer(status, result.data), 'test',
            waiting.Deadline(10)).send('get_cluster')
        for text in (answer.text, answer.message, result.shown):
            self.assertTrue(text.isprintable(), text)
            text.encode()


class TokenTest(testtools.TestCase):
    """A token is presented as it is; its claims are not trusted (C6)."""

    class _Configuration:
        lightos_jwt = ''

        def safe_get(self, option: str) -> None:
            return None

    def _present(self, token: str) -> Any:
        configured = self._Configuration()
        configured.lightos_jwt = token
        with fixtures.FakeLogger() as log:
            presented = credentials.Credentials(configured).token()
        if len(token.strip()) > 8:
            self.assertNotIn(token.strip(), log.output)
        return presented

    @hypothesis.given(claims=st.one_of(JSON, st.dictionaries(
        st.just('exp'), st.one_of(JSON, NUMBERS))))
    def test_c6_claims_of_any_kind(self, claims: Any) -> None:
        encoded = base64.urlsafe_b64encode(
            json.dumps(claims).encode()).decode().rstrip('=')
        token = 'eyJhbGciOiJSUzI1NiJ9.%s.c2lnbmF0dXJl' % encoded
        self.assertEqual(token, self._present(token))

    @hypothesis.given(token=st.one_of(TEXT, st.text(
        'abc.=\r\n\t :', min_size=1)))
    def test_c6_text_of_any_kind(self, token: str) -> None:
        presented = self._present(token)
        if presented is not None:
            self.assertEqual(token.strip(), presented)
            requests.Request('GET', 'https://192.0.2.1/', headers={
                'Authorization': 'Bearer ' + presented}).prepare()
