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

"""Tests of the fake cluster that the tests of the driver rely on."""

import math
import threading
from typing import Any, Optional

import ddt
from oslo_utils import units
import requests
import testtools
import urllib3

from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import waiting

VOLUMES = '/projects/default/volumes'
SNAPSHOTS = '/projects/default/snapshots'
NEW = {'name': 'v1', 'size': '1 gib', 'replicaCount': 2,
       'acl': {'values': ['ALLOW_NONE']}}


class FakeLightOSTestCase(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.server = self.useFixture(fake_lightos.FakeLightOS())
        self.clock = self.server.clock
        self.session = requests.Session()
        self.addCleanup(self.session.close)

    def send(self, method: str, path: str, body: Any = None,
             node: str = '10.0.0.1', **kwargs: Any) -> requests.Response:
        kwargs.setdefault('timeout', (2, 10))
        return self.session.request(
            method, 'https://%s:443/api/v2%s' % (node, path), json=body,
            **kwargs)

    def get(self, path: str, **kwargs: Any) -> Any:
        response = self.send('GET', path, **kwargs)
        self.assertEqual(200, response.status_code, response.text)
        return response.json()

    def refusal(self, method: str, path: str, body: Any = None,
                **kwargs: Any) -> tuple[int, int]:
        response = self.send(method, path, body, **kwargs)
        reply = response.json()
        self.assertEqual({'code', 'message', 'error'}, set(reply))
        return response.status_code, reply['code']

    def create(self, name: str = 'v1', **fields: Any) -> Any:
        response = self.send('POST', VOLUMES, {**NEW, 'name': name, **fields})
        self.assertEqual(200, response.status_code, response.text)
        return response.json()


class FakeClockTestCase(testtools.TestCase):

    def test_stands_for_time_where_the_driver_waits(self):
        clock = self.useFixture(fake_lightos.FakeClock())
        before = waiting.time.monotonic(), waiting.time.time()
        waiting.time.sleep(2.5)
        self.assertEqual([2.5], clock.sleeps)
        self.assertEqual((before[0] + 2.5, before[1] + 2.5),
                         (clock.monotonic(), clock.time()))

    def test_waits_without_an_end_fail(self):
        clock = fake_lightos.FakeClock(limit=10)
        clock.sleep(10)
        self.assertRaises(AssertionError, clock.sleep, 0.1)

    def test_time_does_not_go_back(self):
        self.assertRaises(ValueError, fake_lightos.FakeClock().sleep, -1)


@ddt.ddt
class TransportTestCase(FakeLightOSTestCase):

    def test_records_requests(self):
        self.clock.advance(5)
        self.server.nodes.append('fd00::1')
        self.send('GET', VOLUMES + '?name=a.b', node='[fd00::1]',
                  headers={'Authorization': 'Bearer secret', 'If-Match': 'x'},
                  verify=False)
        (request,) = self.server.requests
        self.assertEqual(
            ('ListVolumes', 'GET', 'fd00::1', 443, '/api/v2' + VOLUMES,
             {'name': 'a.b'}, 'secret', {}, (2, 10), False, 1005.0),
            (request.operation, request.method, request.node, request.port,
             request.path, request.query, request.token, request.body,
             request.timeout, request.verify, request.at))
        self.assertEqual('x', request.headers['If-Match'])
        self.assertNotIn('secret', str(request.headers))

    def test_operations_leave_out_probes(self):
        self.get('/clusterinfo')
        self.get('/cluster')
        self.assertEqual(['GetCluster'], self.server.operations())
        self.assertEqual(['GetClusterInfo', 'GetCluster'],
                         self.server.operations(probes=True))

    def test_requests_without_an_end_fail(self):
        self.server.MAX_REQUESTS = 1
        self.get('/clusterinfo')
        self.assertRaises(AssertionError, self.get, '/clusterinfo')

    def test_streams(self):
        with self.send('GET', '/version', stream=True) as response:
            self.assertFalse(response.raw.closed)
            self.assertEqual(b'{"apiVersion": "v2"}',
                             b''.join(response.iter_content(4)))
        self.assertEqual('application/json',
                         response.headers['Content-Type'])

    def test_latency(self):
        self.server.latency = 0.25
        self.get('/version')
        self.assertEqual(1000.25, self.clock.monotonic())

    def test_tokens(self):
        self.server.tokens = {'good'}
        for headers, status in (({}, 401),
                                ({'Authorization': 'Bearer bad'}, 401),
                                ({'Authorization': 'Bearer good'}, 200)):
            self.assertEqual(status, self.send(
                'GET', '/version', headers=headers).status_code)

    @ddt.data('https://10.0.0.9', 'https://10.0.0.1:444', 'http://10.0.0.1',
              'https://lightos.example')
    def test_nothing_listens_elsewhere(self, url):
        exc = self.assertRaises(
            requests.ConnectionError, self.session.get,
            url + '/api/v2/version')
        self.assertIsInstance(exc.args[0].reason,
                              urllib3.exceptions.NewConnectionError)

    def test_host_names(self):
        self.server.names['lightos.example'] = '10.0.0.2'
        self.get('/version', node='lightos.example')

    @ddt.data(('refused', requests.ConnectionError, 0),
              ('unreachable', requests.ConnectTimeout, 2),
              ('ssl', requests.exceptions.SSLError, 0),
              ('lose_request', requests.ConnectionError, 0),
              ('hang', requests.ReadTimeout, 10))
    @ddt.unpack
    def test_failure_without_work(self, kind, expected, seconds):
        rule = self.server.fault('CreateVolume', **{kind: True})
        exc = self.assertRaises(requests.RequestException, self.create)
        self.assertIs(expected, type(exc))
        self.assertEqual(1000.0 + seconds, self.clock.monotonic())
        self.assertEqual([], self.server.volumes())
        self.assertEqual(1, rule.hits)
        self.create()

    @ddt.data(({'lose_reply': True}, requests.ConnectionError),
              ({'hang': True, 'executed': True}, requests.ReadTimeout),
              ({'delay': 11.0}, requests.ReadTimeout),
              ({'half': True}, requests.exceptions.ChunkedEncodingError))
    @ddt.unpack
    def test_failure_after_the_work(self, what, expected):
        self.server.fault('CreateVolume', **what)
        exc = self.assertRaises(requests.RequestException, self.create)
        self.assertIs(expected, type(exc))
        self.assertIsNotNone(self.server.volume('v1'))

    def test_half_a_body_while_streaming(self):
        self.server.fault(half=True)
        response = self.send('GET', '/version', stream=True)
        self.assertRaises(requests.exceptions.ChunkedEncodingError,
                          list, response.iter_content(4))

    def test_hang_without_timeout(self):
        self.server.fault(hang=True)
        self.assertRaises(AssertionError, self.send, 'GET', '/version',
                          timeout=None)

    def test_bad_certificates_matter_only_if_verified(self):
        self.server.fault(ssl=True)
        self.get('/version', verify=False)

    def test_delay(self):
        self.server.fault(delay=9.0)
        self.get('/version')
        self.assertEqual(1009.0, self.clock.monotonic())

    def test_drip(self):
        self.server.fault(drip=0.5)
        with self.send('GET', '/version', stream=True) as response:
            self.assertEqual(1000.0, self.clock.monotonic())
            self.assertEqual(20, len(response.content))
        self.assertEqual(1010.0, self.clock.monotonic())

    def test_status(self):
        self.server.fault('CreateVolume', status=429, skip=1, times=2,
                          message='slow down', headers={'Retry-After': '3'})
        self.create('v1')
        for _attempt in range(2):
            response = self.send('POST', VOLUMES, {**NEW, 'name': 'v2'})
            self.assertEqual(429, response.status_code)
            self.assertEqual('Too Many Requests', response.reason)
            self.assertEqual('3', response.headers['Retry-After'])
            self.assertEqual({'code': 8, 'message': 'slow down',
                              'error': 'slow down'}, response.json())
        self.assertIsNone(self.server.volume('v2'))
        self.create('v2')

    def test_status_although_executed(self):
        self.server.fault('CreateVolume', status=500, code=2, executed=True)
        self.assertEqual((500, 2), self.refusal('POST', VOLUMES, NEW))
        self.assertIsNotNone(self.server.volume('v1'))

    @ddt.data((b'\xff', b'\xff'), ('[]', b'[]'), ({'a': 1}, b'{"a": 1}'))
    @ddt.unpack
    def test_body(self, body, content):
        self.server.fault(body=body)
        response = self.send('GET', '/version')
        self.assertEqual((200, content),
                         (response.status_code, response.content))

    def test_html(self):
        self.server.fault(html=True)
        self.server.fault(html=True, status=502)
        for status in (200, 502):
            response = self.send('GET', '/version')
            self.assertEqual(status, response.status_code)
            self.assertEqual('text/html', response.headers['Content-Type'])
            self.assertRaises(ValueError, response.json)

    def test_node_and_condition(self):
        self.server.fault(node='10.0.0.2', times=None, status=503)
        self.server.fault(when=lambda request: 'name' in request.query,
                          status=403)
        self.get(VOLUMES)
        for _attempt in range(3):
            self.refusal('GET', VOLUMES, node='10.0.0.2')
        self.assertEqual((403, 7),
                         self.refusal('GET', VOLUMES + '?name=v1'))

    def test_other_writers(self):
        volume = self.server.add_volume('v1')
        path = VOLUMES + '/' + volume.uuid
        etag = self.get(path)['ETag']
        seen = []
        self.server.fault(
            'UpdateVolume',
            before=lambda request: setattr(volume, 'acl', ('nqn.other',)),
            after=lambda request: seen.append(volume.acl))
        body = {'acl': {'values': ['nqn.mine']}}
        self.assertEqual((412, 9), self.refusal(
            'PUT', path, body, headers={'If-Match': etag}))
        self.assertEqual([('nqn.other',)], seen)

    def test_threads(self):
        def work(number: int) -> None:
            for each in range(20):
                self.create('v%d-%d' % (number, each))

        threads = [threading.Thread(target=work, args=(number,))
                   for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(100, len({each.uuid
                                   for each in self.server.volumes()}))


@ddt.ddt
class ModelTestCase(FakeLightOSTestCase):

    def test_create(self):
        self.server.work_time['CreateVolume'] = 3
        reply = self.create(labels=[{'key': 'a-b.c', 'value': 'd'}])
        path = VOLUMES + '/' + reply['UUID']
        self.assertEqual(
            ('Creating', 'Unknown', str(units.Gi), 2, 'default'),
            tuple(reply[field] for field in (
                'state', 'protectionState', 'size', 'replicaCount',
                'projectName')))
        self.assertEqual([{'key': 'c', 'value': 'd'}], reply['labels'])
        self.clock.advance(2.9)
        self.assertEqual('Creating', self.get(path)['state'])
        self.clock.advance(0.1)
        later = self.get(path)
        self.assertEqual(('Available', 'FullyProtected'),
                         (later['state'], later['protectionState']))
        self.assertNotEqual(reply['ETag'], later['ETag'])

    def test_work_may_never_end_or_fail(self):
        self.server.work_time['CreateVolume'] = math.inf
        self.server.fault('CreateSnapshot', ends='Failed')
        self.create()
        self.clock.advance(1e6)
        self.assertEqual('Creating', self.server.volume('v1').state)
        self.send('POST', SNAPSHOTS, {
            'name': 's1', 'sourceVolumeUUID': self.server.add_volume('v2').uuid
        })
        self.assertEqual('Failed', self.server.snapshot('s1').state)

    @ddt.data({'size': 5}, {'size': '1'}, {'size': '4097b'}, {'size': '0b'},
              {'size': None}, {'name': 'a/b'}, {'name': None}, {'name': ''},
              {'replicaCount': 4}, {'replicaCount': 0}, {'replicaCount': True},
              {'replicaCount': 1.5}, {'compression': True},
              {'compression': 'maybe'}, {'acl': ['ALLOW_NONE']},
              {'acl': {'values': []}}, {'acl': {'values': [1]}},
              {'acl': {'values': ['ALLOW_NONE', 'nqn.x']}},
              {'acl': {'values': ['nqn.x'], 'more': 1}},
              {'IPAcl': {'values': ['nonsense']}},
              {'IPAcl': {'values': ['10.0.1.%d' % n for n in range(17)]}},
              {'labels': [{'key': 'a'}]}, {'labels': 'a'},
              {'labels': [{'key': 'a b', 'value': 'c'}]},
              {'qosPolicyName': 'absent'}, {'description': 'unknown here'})
    def test_create_refused(self, fields):
        self.assertEqual((400, 3), self.refusal('POST', VOLUMES,
                                                {**NEW, **fields}))
        self.assertEqual([], self.server.volumes())

    def test_create_takes_what_the_api_takes(self):
        reply = self.create(
            size='%db' % units.Gi, replicaCount='3', compression='Enabled',
            IPAcl={'values': ['10.0.1.1', 'fd00::1']}, sourceSnapshotUUID=None)
        self.assertEqual(str(units.Gi), reply['size'])
        self.assertEqual(('true', 3), (reply['compression'].lower(),
                                       reply['replicaCount']))
        self.assertEqual({'values': ['10.0.1.1', 'fd00::1']}, reply['IPAcl'])

    def test_names_are_unique_but_for_husks(self):
        husk = self.server.add_volume('v1', state='Failed')
        self.create()
        self.assertEqual((409, 6), self.refusal('POST', VOLUMES, NEW))
        listed = self.get(VOLUMES + '?name=v1')['volumes']
        self.assertEqual(['Failed', 'Available'],
                         [each['state'] for each in listed])
        self.assertIsNot(husk, self.server.volume('v1'))

    def test_by_name(self):
        volume = self.server.add_volume('v1')
        snapshot = self.server.add_snapshot('s1', volume)
        self.assertEqual(volume.uuid, self.get(
            VOLUMES + '/?name=v1')['UUID'])
        self.assertEqual(snapshot.uuid, self.get(
            SNAPSHOTS + '?Name=s1')['snapshots'][0]['UUID'])
        self.assertEqual({'volumes': []}, self.get(VOLUMES + '?name=v2'))
        self.assertEqual((404, 5), self.refusal('GET', VOLUMES + '/?name=v2'))
        self.assertEqual((400, 3), self.refusal('GET', SNAPSHOTS + '?name=a'))

    def test_projects_are_apart(self):
        self.server.projects['other'] = ''
        volume = self.server.add_volume('v1', project='other')
        self.assertEqual((404, 5),
                         self.refusal('GET', VOLUMES + '/' + volume.uuid))
        self.get('/projects/other/volumes/' + volume.uuid)
        self.assertEqual((404, 5),
                         self.refusal('GET', '/projects/absent/volumes'))

    def test_paging(self):
        for number in range(5):
            self.server.add_volume('v%d' % number)
        self.server.add_volume('going', state='Deleting')
        seen: list[str] = []
        offset: Optional[str] = ''
        while offset is not None:
            page = self.get('%s?limit=2&offsetUUID=%s' % (VOLUMES, offset))
            seen += [each['name'] for each in page['volumes']]
            offset = page['volumes'][-1]['UUID'] if page['volumes'] else None
        self.assertEqual(['v%d' % number for number in range(5)], seen)
        self.assertEqual(6, len(self.get(VOLUMES + '?showAll=true')[
            'volumes']))
        self.assertEqual((400, 3), self.refusal('GET', VOLUMES + '?limit=0'))

    def test_update(self):
        volume = self.server.add_volume('v1')
        path = VOLUMES + '/' + volume.uuid
        self.server.work_time['UpdateVolume'] = 1
        self.assertEqual({}, self.send('PUT', path, {
            'size': '2 gib', 'newName': 'v2', 'compression': 'true',
            'acl': {'values': ['nqn.x']}}).json())
        self.assertEqual(('Updating', 'v1', str(units.Gi)), tuple(
            self.get(path)[field] for field in ('state', 'name', 'size')))
        self.assertEqual((503, 14), self.refusal('PUT', path, {}))
        self.clock.advance(1)
        reply = self.get(path)
        self.assertEqual(
            ('Available', 'v2', str(2 * units.Gi), 'true', ['nqn.x']),
            (reply['state'], reply['name'], reply['size'],
             reply['compression'].lower(), reply['acl']['values']))

    def test_update_unseen(self):
        volume = self.server.add_volume('v1', state='Migrating')
        path = VOLUMES + '/' + volume.uuid
        self.server.shows_updating = False
        self.server.work_time['UpdateVolume'] = 1
        self.send('PUT', path, {'size': '2 gib'})
        self.assertEqual(('Migrating', str(units.Gi)), tuple(
            self.get(path)[field] for field in ('state', 'size')))
        self.clock.advance(1)
        self.assertEqual(str(2 * units.Gi), self.get(path)['size'])

    @ddt.data(({'size': '1 gib'}, 400), ({'replicaCount': 1}, 400),
              ({'newName': 'taken'}, 409))
    @ddt.unpack
    def test_update_refused(self, body, status):
        self.server.add_volume('taken')
        volume = self.server.add_volume('v1', size=2 * units.Gi)
        self.assertEqual(status, self.refusal(
            'PUT', VOLUMES + '/' + volume.uuid, body)[0])

    def test_update_to_the_same_size(self):
        path = VOLUMES + '/' + self.server.add_volume('v1').uuid
        self.send('PUT', path, {'size': '1 gib'}).raise_for_status()
        self.server.refuse_same_size = True
        self.assertEqual((400, 3),
                         self.refusal('PUT', path, {'size': '1 gib'}))

    @ddt.data(412, 400)
    def test_if_match(self, status):
        self.server.etag_mismatch = status
        volume = self.server.add_volume('v1')
        path = VOLUMES + '/' + volume.uuid
        for method, body in (('PUT', {}), ('DELETE', None)):
            self.assertEqual((status, 9), self.refusal(
                method, path, body, headers={'If-Match': 'stale'}))
        self.assertEqual(200, self.send('DELETE', path, headers={
            'If-Match': volume.etag}).status_code)

    def test_delete(self):
        path = VOLUMES + '/' + self.server.add_volume('v1').uuid
        self.server.work_time['DeleteVolume'] = 1
        self.assertEqual({}, self.send('DELETE', path).json())
        self.assertEqual('Deleting', self.get(path)['state'])
        self.assertEqual((400, 9), self.refusal('DELETE', path))
        self.assertEqual((409, 6), self.refusal('POST', VOLUMES, NEW))
        self.clock.advance(1)
        self.assertEqual((404, 5), self.refusal('DELETE', path))

    def test_husks_cannot_be_deleted(self):
        husk = self.server.add_volume('v1', state='Failed')
        self.assertEqual((400, 9), self.refusal(
            'DELETE', VOLUMES + '/' + husk.uuid))

    def test_snapshot(self):
        volume = self.server.add_volume('v1', replicas=2, data='old',
                                        labels=(('a', 'b'),))
        reply = self.send('POST', SNAPSHOTS, {
            'name': 's1', 'sourceVolumeUUID': volume.uuid,
            'retentionTime': '60s'}).json()
        self.assertEqual(
            ('Creating', volume.uuid, 'v1', 2, str(units.Gi), False, '60s'),
            tuple(reply[field] for field in (
                'state', 'sourceVolumeUUID', 'sourceVolumeName',
                'replicaCount', 'size', 'compression', 'retentionTime')))
        snapshot = self.server.snapshot('s1')
        self.assertEqual(('Available', 'old', volume.labels),
                         (snapshot.state, snapshot.data, snapshot.labels))
        self.clock.advance(60)
        self.server.snapshots()
        self.assertIsNone(self.server.snapshot('s1'))

    def test_one_snapshot_at_a_time(self):
        body = {'sourceVolumeUUID': self.server.add_volume('v1').uuid}
        self.server.work_time['CreateSnapshot'] = 1
        self.server.concurrent_snapshots = False
        self.send('POST', SNAPSHOTS, {'name': 's1', **body})
        self.assertEqual((500, 13), self.refusal(
            'POST', SNAPSHOTS, {'name': 's2', **body}))

    def test_clone(self):
        snapshot = self.server.add_snapshot('s1', self.server.add_volume(
            'v1', replicas=2, data='old', labels=(('a', 'b'),)))
        reply = self.create('c1', sourceSnapshotUUID=snapshot.uuid)
        self.assertEqual((snapshot.uuid, 's1'), (
            reply['sourceSnapshotUUID'], reply['sourceSnapshotName']))
        clone = self.server.volume('c1')
        self.assertEqual(('old', snapshot.labels), (clone.data, clone.labels))
        path = SNAPSHOTS + '/' + snapshot.uuid
        self.server.add_volume('husk', source_uuid=snapshot.uuid,
                               state='Failed')
        self.send('DELETE', path)
        self.assertEqual('Deleting', self.get(path)['state'])
        self.assertEqual((400, 9), self.refusal('POST', VOLUMES, {
            **NEW, 'name': 'c2', 'sourceSnapshotName': 's1'}))
        self.send('DELETE', VOLUMES + '/' + clone.uuid)
        self.assertEqual((404, 5), self.refusal('GET', path))

    @ddt.data({'replicaCount': 1}, {'compression': 'true'},
              {'size': '4096b'})
    def test_clone_refused(self, fields):
        snapshot = self.server.add_snapshot('s1', self.server.add_volume(
            'v1', replicas=2))
        self.assertEqual((400, 3), self.refusal('POST', VOLUMES, {
            **NEW, 'name': 'c1', 'sourceSnapshotUUID': snapshot.uuid,
            **fields}))

    def test_rollback(self):
        volume = self.server.add_volume('v1', data='old', acl=('nqn.old',))
        snapshot = self.server.add_snapshot('s1', volume)
        volume.data, volume.acl = 'new', ('nqn.new',)
        path = VOLUMES + '/' + volume.uuid
        self.server.work_time['RollbackVolume'] = 1
        self.send('PUT', path + '/rollback',
                  {'srcSnapshotUUID': snapshot.uuid}).raise_for_status()
        self.assertEqual('Rollback', self.get(path)['state'])
        self.clock.advance(1)
        self.assertEqual('Available', self.get(path)['state'])
        self.assertEqual(('old', ('nqn.old',)), (volume.data, volume.acl))
        other = self.server.add_snapshot('s2', self.server.add_volume('v2'))
        self.assertEqual((400, 3), self.refusal(
            'PUT', path + '/rollback', {'srcSnapshotUUID': other.uuid}))

    def test_qos_policies(self):
        uuid = self.server.add_policy('gold', limitIOPS={})
        self.assertEqual(uuid, self.create(qosPolicyName='gold')[
            'qosPolicyUUID'])
        self.assertEqual('gold', self.create('v2', qosPolicyUUID=uuid)[
            'qosPolicyName'])
        self.assertEqual('', self.create('v3')['qosPolicyUUID'])
        self.server.projects['default'] = uuid
        self.assertEqual(uuid, self.create('v4')['qosPolicyUUID'])
        self.assertEqual((400, 3), self.refusal('POST', VOLUMES, {
            **NEW, 'name': 'v5', 'qosPolicyName': 'gold',
            'qosPolicyUUID': uuid}))
        self.assertEqual('gold', self.get('/policies?UUID=' + uuid)[
            'policies'][0]['name'])

    def test_without_ip_acl(self):
        self.server.ip_acl = False
        self.assertNotIn('IPAcl', self.create(
            IPAcl={'values': ['10.0.1.1']}))

    def test_omit_zeros(self):
        self.server.omit_zeros = True
        reply = self.create()
        self.assertNotIn('qosPolicyUUID', reply)
        self.assertNotIn('labels', reply)
        self.server.add_snapshot('s1', self.server.volume('v1'))
        self.assertNotIn('compression', self.get(
            SNAPSHOTS + '?Name=s1')['snapshots'][0])

    def test_cluster(self):
        self.server.nodes[1:] = ['fd00::1']
        self.server.add_volume('v1', size=5 * units.Gi)
        info = self.get('/clusterinfo')
        self.assertEqual(['10.0.0.1:8009', '[fd00::1]:8009'],
                         info['discoveryEndpoints'])
        self.assertEqual(fake_lightos.SUBSYSTEM_NQN, info['subsystemNQN'])
        statistics = self.get('/cluster')['statistics']
        self.assertEqual(
            [str(size * units.Gi) for size in (300, 200, 5)],
            [statistics[field] for field in (
                'estimatedLogicalStorage', 'estimatedFreeLogicalStorage',
                'logicalStorage')])
        self.assertEqual('[fd00::1]:4420',
                         self.get('/nodes')['nodes'][1]['nvmeEndpoint'])
        self.server.clusterinfo['UUID'] = 'another'
        self.server.cluster['statistics'] = {}
        self.assertEqual('another', self.get('/clusterinfo')['UUID'])
        self.assertEqual({}, self.get('/cluster')['statistics'])
        self.assertEqual('default', self.get('/projects')[
            'projects'][0]['name'])

    @ddt.data(('GET', '/nonsense', None, (404, 5)),
              ('POST', '/clusterinfo', {}, (404, 5)),
              ('GET', '/clusterinfo?x=1', None, (400, 3)),
              ('POST', VOLUMES, [], (400, 3)),
              ('GET', VOLUMES + '?showAll=1', None, (400, 3)))
    @ddt.unpack
    def test_refused(self, method, path, body, expected):
        self.assertEqual(expected, self.refusal(method, path, body))
