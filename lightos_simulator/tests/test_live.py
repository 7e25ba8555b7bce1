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
"""The nodes and the control interface, over real HTTPS."""

from __future__ import annotations

import json
import pathlib
import socket
import ssl
import stat
import threading
import time
from typing import Any

import ddt
import requests
import testtools

from lightos_simulator.tests import base
from lightos_simulator.tests.base import PROJECT
from lightos_simulator.tests import live

VOLUMES = PROJECT + '/volumes'


class LiveTest(testtools.TestCase):
    """One simulator for all tests of a class; each begins clean."""

    shared: live.Simulator | None = None

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.shared = live.Simulator('--project', 'p1')
        cls.shared.setUp()

    @classmethod
    def tearDownClass(cls) -> None:
        if cls.shared is not None:
            cls.shared.cleanUp()
        super().tearDownClass()

    def setUp(self) -> None:
        super().setUp()
        assert self.shared is not None
        self.simulator = self.shared
        self.addCleanup(self.clean)

    def clean(self) -> None:
        control = self.simulator.control
        control('DELETE', '/faults')
        control('POST', '/work-times', {'default': 0, 'CreateVolume': 0})
        for index, address in enumerate(base.ADDRESSES):
            control('POST', '/nodes/%d' % index, {
                'mode': 'up', 'address': address, 'state': 'Active'})
        for volume in control('GET', '/state')['volumes']:
            control('POST', '/volumes/' + volume['UUID'],
                    {'state': 'Available'})
            self.simulator.call('DELETE', VOLUMES + '/' + volume['UUID'])
        control('DELETE', '/journal')

    def state(self) -> Any:
        return self.simulator.control('GET', '/state')

    def journal(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.simulator.control(
            'GET', '/journal')['requests']
        return entries


@ddt.ddt
class TestNodes(LiveTest):

    def mode(self, node: int, mode: str, **more: Any) -> Any:
        return self.simulator.control('POST', '/nodes/%d' % node,
                                      {'mode': mode, **more})

    def test_every_node_answers_for_the_whole_cluster(self) -> None:
        uuid = self.simulator.volume(node=0).json()['UUID']
        for node in range(3):
            reply = self.simulator.call('GET', VOLUMES + '/' + uuid, node=node)
            self.assertEqual('Available', reply.json()['state'])

    def test_endpoints_are_the_real_ones(self) -> None:
        info = self.simulator.call('GET', '/api/v2/clusterinfo').json()
        self.assertEqual(self.simulator.facts['endpoints'],
                         info['apiEndpoints'])

    def test_connection_is_kept(self) -> None:
        for _ in range(3):
            self.simulator.call('GET', VOLUMES, node=1)
        self.assertEqual(1, len({entry['connection']
                                 for entry in self.journal()}))

    def test_connections_have_numbers_of_their_own(self) -> None:
        self.simulator.call('GET', VOLUMES, node=1)
        self.simulator.call('GET', VOLUMES, node=1, who='default-viewer')
        self.assertEqual(2, len({entry['connection']
                                 for entry in self.journal()}))

    def handshake(self, name: str, **settings: Any) -> ssl.SSLSocket:
        context = ssl.create_default_context(
            cafile=self.simulator.facts['ca_file'])
        # Else the client itself would refuse the older versions.
        context.set_ciphers('DEFAULT:@SECLEVEL=0')
        for setting, value in settings.items():
            setattr(context, setting, value)
        raw = socket.create_connection(
            (base.ADDRESSES[1], self.simulator.facts['port']), live.PATIENCE)
        self.addCleanup(raw.close)
        wrapped = context.wrap_socket(raw, server_hostname=name)
        self.addCleanup(wrapped.close)
        return wrapped

    @ddt.data(base.ADDRESSES[1], 'localhost', 'lightos-node1.test')
    def test_certificate_covers(self, name: str) -> None:
        self.handshake(name)

    @ddt.data(base.ADDRESSES[0], 'lightos-node0.test', 'example.org')
    def test_certificate_does_not_cover(self, name: str) -> None:
        self.assertRaises(ssl.SSLCertVerificationError, self.handshake, name)

    def test_tls_1_2_at_least(self) -> None:
        self.handshake('localhost', maximum_version=ssl.TLSVersion.TLSv1_2)
        self.assertRaises(
            (ssl.SSLError, OSError), self.handshake, 'localhost',
            minimum_version=ssl.TLSVersion.MINIMUM_SUPPORTED,
            maximum_version=ssl.TLSVersion.TLSv1_1)

    def test_stopped_node_refuses_and_cuts(self) -> None:
        self.simulator.call('GET', VOLUMES, node=1)
        self.mode(1, 'stopped')
        error = self.assertRaises(requests.ConnectionError,
                                  self.simulator.call, 'GET', VOLUMES, node=1)
        self.assertIn('refused', str(error))
        self.assertEqual(200, self.simulator.call('GET', VOLUMES).status_code)
        self.mode(1, 'up')
        self.assertEqual(
            200, self.simulator.call('GET', VOLUMES, node=1).status_code)

    def test_hung_node_accepts_and_never_answers(self) -> None:
        self.simulator.call('GET', VOLUMES, node=1)
        self.mode(1, 'hung')
        self.assertRaises(requests.ReadTimeout, self.simulator.call,
                          'POST', VOLUMES, {'name': 'v'}, node=1, timeout=0.3)
        entry = self.journal()[-1]
        self.assertEqual(('CreateVolume', None),
                         (entry['operation'], entry['status']))
        self.mode(1, 'up')
        self.assertEqual([], self.state()['volumes'])

    def test_request_on_a_hung_node_is_cut_at_its_end(self) -> None:
        self.mode(1, 'hung')
        timer = threading.Timer(0.3, self.mode, (1, 'up'))
        timer.start()
        self.addCleanup(timer.join)
        self.assertRaises(requests.ConnectionError, self.simulator.volume,
                          node=1)
        timer.join()
        self.assertEqual([], self.state()['volumes'])

    def test_slow_node(self) -> None:
        self.mode(1, 'slow', delay=0.3)
        begin = time.monotonic()
        self.assertEqual(200, self.simulator.volume(node=1).status_code)
        self.assertGreaterEqual(time.monotonic() - begin, 0.3)
        self.assertGreaterEqual(self.journal()[-1]['milliseconds'], 300)

    def test_slow_node_still_does_what_nobody_waits_for(self) -> None:
        self.mode(1, 'slow', delay=0.4)
        self.assertRaises(requests.ReadTimeout, self.simulator.call, 'POST',
                          VOLUMES, {'name': 'v', 'size': '1 gib',
                                    'replicaCount': 1}, node=1, timeout=0.1)
        self.assertEqual([], self.state()['volumes'])
        live.poll(lambda: self.state()['volumes'])

    def test_readdressed(self) -> None:
        changed = self.simulator.control('POST', '/nodes/1', {
            'address': '127.0.0.31'})
        self.assertEqual('127.0.0.31', changed['address'])
        self.assertRaises(requests.ConnectionError, self.simulator.call,
                          'GET', VOLUMES, node=1)
        port = self.simulator.facts['port']
        info = self.simulator.session().get(
            'https://127.0.0.31:%d/api/v2/clusterinfo' % port,
            timeout=live.PATIENCE).json()
        self.assertEqual('127.0.0.31:%d' % port, info['apiEndpoints'][1])

    def test_readdressed_to_an_address_that_is_taken(self) -> None:
        self.simulator.control('POST', '/nodes/1', {
            'address': base.ADDRESSES[0]}, status=400)
        self.assertEqual(
            200, self.simulator.call('GET', VOLUMES, node=1).status_code)

    def test_inactive(self) -> None:
        self.simulator.control('POST', '/nodes/2', {'state': 'Inactive'})
        info = self.simulator.call('GET', '/api/v2/clusterinfo').json()
        self.assertEqual(2, len(info['apiEndpoints']))

    @ddt.data({'mode': 'odd'}, {'nonsense': 1}, {'state': 'Odd'},
              {'mode': 'slow', 'delay': 'x'}, {'address': '192.0.2.1'})
    def test_bad_change(self, body: Any) -> None:
        self.simulator.control('POST', '/nodes/1', body, status=400)

    def test_no_such_node(self) -> None:
        self.simulator.control('POST', '/nodes/9', {'mode': 'up'}, status=404)

    def test_large_request_is_refused(self) -> None:
        reply = self.simulator.call('POST', VOLUMES, {'name': 'x' * 2 ** 21})
        self.assertEqual(413, reply.status_code)


@ddt.ddt
class TestFaults(LiveTest):

    def inject(self, **fields: Any) -> Any:
        return self.simulator.control('POST', '/faults', fields)

    def made(self) -> int:
        return len(self.state()['volumes'])

    def test_status(self) -> None:
        self.inject(action='status', status=429, code=8, message='slow down',
                    headers={'Retry-After': '2'})
        reply = self.simulator.volume()
        self.assertEqual(
            (429, '2', 8, 'slow down'),
            (reply.status_code, reply.headers['Retry-After'],
             reply.json()['code'], reply.json()['message']))
        self.assertEqual(0, self.made())
        self.assertEqual(200, self.simulator.volume().status_code)

    @ddt.data(*sorted((operation, status) for operation, status in (
        ('CreateVolume', 500), ('CreateSnapshot', 501),
        ('UpdateVolume', 501), ('ListEvents', 501), ('GetVolume', 500))))
    @ddt.unpack
    def test_documented_status_that_the_model_never_gives(
            self, operation: str, status: int) -> None:
        self.inject(action='status', status=status, operation=operation)
        method, path = {
            'CreateVolume': ('POST', VOLUMES),
            'CreateSnapshot': ('POST', PROJECT + '/snapshots'),
            'UpdateVolume': ('PUT', VOLUMES + '/x'),
            'ListEvents': ('GET', PROJECT + '/events'),
            'GetVolume': ('GET', VOLUMES + '/x')}[operation]
        self.assertEqual(status, self.simulator.call(method, path
                                                     ).status_code)

    @ddt.data(('lose-reply', 1), ('drop', 0), ('half-reply', 1))
    @ddt.unpack
    def test_reply_that_does_not_come(self, action: str, made: int) -> None:
        self.inject(action=action)
        self.assertRaises((requests.ConnectionError,
                           requests.exceptions.ChunkedEncodingError),
                          self.simulator.volume)
        self.assertEqual(made, self.made())
        entry = self.journal()[-1]
        self.assertEqual((action, None, 'CreateVolume'),
                         (entry['fault'], entry['status'],
                          entry['operation']))

    @ddt.data(('html', 'text/html', False), ('empty', 'application/json',
                                             False))
    @ddt.unpack
    def test_reply_that_is_no_json(self, action: str, kind: str, made: bool
                                   ) -> None:
        self.inject(action=action)
        reply = self.simulator.volume()
        self.assertEqual((200, kind), (reply.status_code,
                                       reply.headers['Content-Type']))
        self.assertRaises(ValueError, reply.json)
        self.assertEqual(made, bool(self.made()))

    def test_html_with_another_status(self) -> None:
        self.inject(action='html', status=502)
        self.assertEqual(502, self.simulator.volume().status_code)

    @ddt.data(([1], b'[1]'), ('half {', b'half {'), (None, b'null'))
    @ddt.unpack
    def test_body(self, body: Any, content: bytes) -> None:
        self.inject(action='body', body=body)
        self.assertEqual(content, self.simulator.volume().content)
        self.assertEqual(1, self.made())

    def test_delay(self) -> None:
        self.inject(action='delay', delay=0.3)
        begin = time.monotonic()
        self.assertEqual(200, self.simulator.volume().status_code)
        self.assertGreaterEqual(time.monotonic() - begin, 0.3)

    def test_hang(self) -> None:
        self.inject(action='hang', operation='GetVolume')
        self.assertRaises(requests.ReadTimeout, self.simulator.call, 'GET',
                          VOLUMES + '/x', timeout=0.3)
        self.assertEqual(200, self.simulator.call('GET', VOLUMES).status_code)

    def test_hang_ends_with_its_rule(self) -> None:
        self.inject(action='hang')
        timer = threading.Timer(0.3, self.simulator.control,
                                ('DELETE', '/faults'))
        timer.start()
        self.addCleanup(timer.join)
        self.assertRaises(requests.ConnectionError, self.simulator.volume)

    def test_fail_object(self) -> None:
        self.inject(action='fail-object')
        uuid = self.simulator.volume().json()['UUID']
        self.assertEqual('Failed', self.simulator.call(
            'GET', VOLUMES + '/' + uuid).json()['state'])

    def test_one_node_only(self) -> None:
        self.inject(action='status', status=503, node=1, times=None)
        self.assertEqual(
            [200, 503, 200],
            [self.simulator.call('GET', VOLUMES, node=node).status_code
             for node in range(3)])

    def test_list_and_remove(self) -> None:
        rule = self.inject(action='status', status=503, times=2)
        self.simulator.volume()
        (shown,) = self.simulator.control('GET', '/faults')
        self.assertEqual((rule['id'], 1), (shown['id'], shown['hits']))
        self.simulator.control('DELETE', '/faults/%d' % rule['id'])
        self.simulator.control('DELETE', '/faults/%d' % rule['id'],
                               status=404)
        self.assertEqual(200, self.simulator.volume().status_code)

    def test_bad_rule(self) -> None:
        self.simulator.control('POST', '/faults', {'action': 'explode'},
                               status=400)


@ddt.ddt
class TestControl(LiveTest):

    def test_root_is_the_first_line_and_the_nodes(self) -> None:
        root = self.simulator.control('GET', '/')
        nodes = root.pop('nodes')
        self.assertEqual(['up'] * 3, [node['mode'] for node in nodes])
        known = {name: value for name, value
                 in self.simulator.facts.items() if name != 'tokens'}
        self.assertEqual(known, {name: root[name] for name in known})

    def test_journal_knows_who_and_what(self) -> None:
        self.simulator.volume('x', node=2)
        entry = self.journal()[-1]
        self.assertEqual(
            ('CreateVolume', 'default:admin', 2, 200, 'x'),
            (entry['operation'], entry['credential'], entry['node'],
             entry['status'], entry['body']['name']))

    def test_journal_holds_no_token(self) -> None:
        token = self.simulator.session().headers['Authorization'].split()[1]
        self.simulator.call('GET', VOLUMES + '?name=' + str(token))
        self.assertNotIn(str(token)[:40], json.dumps(self.journal()))

    def test_journal_in_parts(self) -> None:
        for _ in range(3):
            self.simulator.call('GET', VOLUMES)
        part = self.simulator.control('GET', '/journal?limit=2')
        rest = self.simulator.control('GET', '/journal?since=%d'
                                      % part['next'])
        self.assertEqual((2, 1), (len(part['requests']),
                                  len(rest['requests'])))
        self.simulator.control('GET', '/journal?since=x', status=400)

    def test_state_shows_what_lists_leave_out(self) -> None:
        self.simulator.control('POST', '/work-times', {'DeleteVolume': 100})
        uuid = self.simulator.volume().json()['UUID']
        self.simulator.call('DELETE', VOLUMES + '/' + uuid)
        self.assertEqual({}, self.simulator.call('GET', VOLUMES).json())
        (volume,) = self.state()['volumes']
        self.assertEqual(('Deleting', 'default'),
                         (volume['state'], volume['project']))
        self.simulator.control('POST', '/clock', {'advance': 100})
        self.assertEqual([], self.state()['volumes'])
        self.simulator.control('POST', '/work-times', {'DeleteVolume': 0})

    @ddt.data({'nonsense': 1}, {'CreateVolume': -1}, {'CreateVolume': 'x'})
    def test_bad_work_time(self, body: Any) -> None:
        self.simulator.control('POST', '/work-times', body, status=400)

    @ddt.data({'advance': -1}, {'advance': 'x'}, {'back': 1})
    def test_bad_clock(self, body: Any) -> None:
        self.simulator.control('POST', '/clock', body, status=400)

    def test_many_volumes_at_once(self) -> None:
        self.simulator.control('POST', '/volumes', {'count': 3})
        shown = self.simulator.call('GET', VOLUMES).json()['volumes']
        self.assertEqual(['Available'] * 3,
                         [volume['state'] for volume in shown])
        self.assertEqual(3, len({volume['name'] for volume in shown}))

    @ddt.data({}, {'count': -1}, {'count': '3'}, {'count': 10 ** 6},
              {'count': 1, 'project': 1})
    def test_bad_number_of_volumes(self, body: Any) -> None:
        self.simulator.control('POST', '/volumes', body, status=400)
        self.assertEqual([], self.state()['volumes'])

    @ddt.data({'state': 'Migrating'}, {'protectionState': 'ReadOnly'},
              {'connectedHosts': [base.NQN]})
    def test_force_volume(self, change: Any) -> None:
        uuid = self.simulator.volume().json()['UUID']
        self.simulator.control('POST', '/volumes/' + uuid, change)
        shown = self.simulator.call('GET', VOLUMES + '/' + uuid).json()
        (name, value), = change.items()
        self.assertEqual(value, shown[name])

    @ddt.data({'state': 'Odd'}, {'nonsense': 1}, {'connectedHosts': 'x'},
              {'logicalUsedStorage': -1})
    def test_bad_force(self, change: Any) -> None:
        uuid = self.simulator.volume().json()['UUID']
        self.simulator.control('POST', '/volumes/' + uuid, change, status=400)

    def test_force_snapshot(self) -> None:
        self.simulator.volume()
        uuid = self.simulator.call('POST', PROJECT + '/snapshots', {
            'name': 's', 'sourceVolumeName': 'v'}).json()['UUID']
        url = '/snapshots/' + uuid
        self.simulator.control('POST', url, {'state': 'Creating'})
        self.assertEqual('Creating', self.simulator.call(
            'GET', PROJECT + url).json()['state'])
        self.simulator.control('POST', url, {'state': 'Available'})
        self.simulator.call('DELETE', PROJECT + url)

    def test_force_a_missing_one(self) -> None:
        for kind in ('volumes', 'snapshots'):
            self.simulator.control('POST', '/%s/nobody' % kind, {},
                                   status=404)

    def test_new_project_and_its_tokens(self) -> None:
        made = self.simulator.control('POST', '/projects', {'name': 'new'})
        self.assertEqual({'new-admin', 'new-viewer'}, set(made['tokens']))
        names = [project['name'] for project
                 in self.simulator.control('GET', '/projects')]
        self.assertEqual(['default', 'p1', 'new'], names)
        self.simulator.facts['tokens'].update(made['tokens'])
        reply = self.simulator.call('GET', '/api/v2/projects/new/volumes',
                                    who='new-viewer')
        self.assertEqual(200, reply.status_code)

    @ddt.data({'name': 'a b'}, {'name': ''}, {'name': 'system'}, {'name': 1})
    def test_bad_project(self, body: Any) -> None:
        self.simulator.control('POST', '/projects', body, status=400)

    def test_token_expires_and_is_replaced(self) -> None:
        made = self.simulator.control('POST', '/tokens', {
            'scope': 'default', 'role': 'admin', 'lifetime': 60, 'name': 'x'})
        path = pathlib.Path(made['file'])
        self.assertEqual(0o600, stat.S_IMODE(path.stat().st_mode))
        self.assertEqual(made['token'], path.read_text().strip())
        self.simulator.facts['tokens']['x'] = made['file']
        self.assertEqual(200, self.simulator.call('GET', VOLUMES, who='x'
                                                  ).status_code)
        self.simulator.control('POST', '/clock', {'advance': 60})
        self.assertEqual(401, self.simulator.call('GET', VOLUMES, who='x'
                                                  ).status_code)

    def test_token_is_revoked(self) -> None:
        made = self.simulator.control('POST', '/tokens', {
            'scope': 'p1', 'role': 'viewer', 'name': 'y'})
        self.simulator.facts['tokens']['y'] = made['file']
        url = '/api/v2/projects/p1/volumes'
        self.assertEqual(200, self.simulator.call('GET', url, who='y'
                                                  ).status_code)
        self.assertEqual({'revoked': ['p1:y']}, self.simulator.control(
            'POST', '/tokens', {'revoke': 'p1:y'}))
        self.assertEqual(401, self.simulator.call('GET', url, who='y'
                                                  ).status_code)

    @ddt.data(({'scope': 'nobody', 'role': 'admin'}, 404),
              ({'scope': 'default', 'role': 'cluster-admin'}, 400),
              ({'scope': 'default', 'role': 'admin', 'name': '../x'}, 400),
              ({'scope': 'default', 'role': 'admin', 'lifetime': 'x'}, 400),
              ({'revoke': 'nobody'}, 404))
    @ddt.unpack
    def test_bad_token(self, body: Any, status: int) -> None:
        self.simulator.control('POST', '/tokens', body, status=status)
