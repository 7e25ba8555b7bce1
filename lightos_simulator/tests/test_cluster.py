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
"""The rules of policies, projects, nodes, hosts, events and the cluster."""

from __future__ import annotations

from typing import Any

import ddt

from lightos_simulator import model
from lightos_simulator.tests import base
from lightos_simulator.tests.base import GIB
from lightos_simulator.tests.base import NQN
from lightos_simulator.tests.base import PROJECT

POLICIES = '/api/v2/policies'


@ddt.ddt
class TestPolicies(base.ClusterTest):

    def body(self, **limits: Any) -> dict[str, Any]:
        return {'name': 'q', 'qoSRateLimitPolicy': {
            'policyVisibility': 'Global', **limits}}

    @ddt.data({'limitIOPS': {'readIOPSLimit': 512, 'writeIOPSLimit': 0}},
              {'limitBw': {'readBWLimit': 7, 'writeBWLimit': 9}},
              {'limitIOPSPerGB': {'readIOPSPerGBLimit': 3}},
              {'limitIOPS': {}})
    def test_good_limits(self, limits: Any) -> None:
        uuid = self.done('POST', POLICIES, self.body(**limits))['UUID']
        (kind, values), = limits.items()
        shown = self.done('GET', '%s/%s' % (POLICIES, uuid))
        self.assertEqual(
            {name: limit for name, limit in values.items() if limit},
            shown['QoSRateLimitPolicy'][kind])

    @ddt.data({}, {'limitIOPS': {'readIOPSLimit': 100}},
              {'limitIOPS': {}, 'limitBw': {}},
              {'limitIOPS': {}, 'policyVisibility': 'Unavailable'},
              {'limitIOPS': {}, 'policyVisibility': 'Scoped'},
              {'limitIOPS': {}, 'projectsNamesScope': ['default']},
              {'limitIOPS': {}, 'policyVisibility': 'Scoped',
               'projectsNamesScope': ['a b']})
    def test_bad_limits(self, limits: Any) -> None:
        self.refused(400, 3, 'POST', POLICIES, self.body(**limits))

    def test_limits_are_needed(self) -> None:
        self.refused(400, 3, 'POST', POLICIES, {'name': 'q'})

    def test_states(self) -> None:
        self.work(default=5)
        url = '%s/%s' % (POLICIES, self.policy())
        states = [self.done('GET', url)['state']]
        self.pass_time(5)
        states.append(self.done('GET', url)['state'])
        self.done('PUT', url, {'description': 'd'})
        states.append(self.done('GET', url)['state'])
        self.pass_time(5)
        self.assertEqual('d', self.done('GET', url)['description'])
        self.done('DELETE', url)
        self.pass_time(5)
        self.refused(404, 5, 'GET', url)
        self.assertEqual(['Creating', 'Active', 'Updating'], states)

    def test_name_is_unique(self) -> None:
        self.policy()
        self.refused(409, 6, 'POST', POLICIES, self.body(limitIOPS={}))

    def test_rename_shows_in_volumes(self) -> None:
        policy = self.policy()
        uuid = self.volume(qosPolicyUUID=policy)
        self.assertEqual('q', self.get(uuid)['qosPolicyName'])
        self.done('PUT', '%s/%s' % (POLICIES, policy), {'name': 'r'})
        self.assertEqual('r', self.get(uuid)['qosPolicyName'])

    def test_rename_to_a_name_in_use(self) -> None:
        self.policy('r')
        self.refused(400, 9, 'PUT', '%s/%s' % (POLICIES, self.policy()),
                     {'name': 'r'})

    def test_list(self) -> None:
        uuids = {self.policy('a'), self.policy('b')}
        listed = self.done('GET', POLICIES)['policies']
        self.assertEqual(uuids, {policy['UUID'] for policy in listed})
        listed = self.done('GET', POLICIES + '?name=a')['policies']
        self.assertEqual(['a'], [policy['name'] for policy in listed])

    def test_get_by_name(self) -> None:
        uuid = self.policy()
        self.assertEqual(uuid, self.done('GET', POLICIES + '/?name=q')['UUID'])

    def test_delete_in_use(self) -> None:
        policy = self.policy()
        self.volume(qosPolicyUUID=policy)
        self.refused(400, 9, 'DELETE', '%s/%s' % (POLICIES, policy))

    def test_delete_a_default(self) -> None:
        policy = self.policy()
        self.world.settle()
        self.cluster.set_default_policy('default', 'q')
        self.refused(400, 9, 'DELETE', '%s/%s' % (POLICIES, policy))

    @ddt.data('qosPolicyUUID', 'qosPolicyName')
    def test_of_a_volume(self, field: str) -> None:
        policy = self.policy()
        uuid = self.volume()
        values: dict[str, Any] = {'qosPolicyUUID': policy,
                                  'qosPolicyName': 'q'}
        self.update(uuid, **{field: values[field]})
        volume = self.get(uuid)
        self.assertEqual((policy, 'q'), (volume['qosPolicyUUID'],
                                         volume['qosPolicyName']))

    def test_uuid_and_name_exclude_each_other(self) -> None:
        policy = self.policy()
        self.refused(400, 3, 'PUT', '%s/volumes/%s' % (PROJECT, self.volume()),
                     {'qosPolicyUUID': policy, 'qosPolicyName': 'q'})

    def test_missing(self) -> None:
        self.refused(400, 3, 'POST', PROJECT + '/volumes', {
            'name': 'v', 'size': '4 gib', 'replicaCount': 1,
            'qosPolicyName': 'nobody'})

    def test_scoped_to_another_project(self) -> None:
        self.world.add_project('other')
        self.policy(policyVisibility='Scoped', projectsNamesScope=['other'])
        self.refused(400, 3, 'PUT', '%s/volumes/%s' % (PROJECT, self.volume()),
                     {'qosPolicyName': 'q'})
        listed = self.done('GET', POLICIES + '?projectName=default')
        self.assertEqual({}, listed)

    def test_in_the_making(self) -> None:
        self.work(CreatePolicy=5)
        self.policy()
        self.refused(400, 9, 'PUT', '%s/volumes/%s' % (PROJECT, self.volume()),
                     {'qosPolicyName': 'q'})

    def test_default_of_the_project(self) -> None:
        policy = self.policy()
        self.world.settle()
        self.cluster.set_default_policy('default', 'q')
        self.assertEqual(policy, self.get(self.volume())['qosPolicyUUID'])
        project = self.done('GET', PROJECT)
        self.assertEqual([{'policyType': 'qosRateLimit',
                           'policyUUID': policy}],
                         project['defaultPolicies'])

    def test_no_default(self) -> None:
        self.assertNotIn('qosPolicyUUID', self.get(self.volume()))


class TestProjects(base.ClusterTest):

    def test_list(self) -> None:
        self.world.add_project('p1')
        listed = self.done('GET', '/api/v2/projects')['projects']
        self.assertEqual(['default', 'p1'], [one['name'] for one in listed])

    def test_missing(self) -> None:
        self.refused(404, 5, 'GET', '/api/v2/projects/nobody')


@ddt.ddt
class TestNodes(base.ClusterTest):

    def let_down(self, index: int) -> None:
        self.cluster.set_node_state(self.world.nodes[index], 'Inactive')

    def test_list(self) -> None:
        listed = self.done('GET', '/api/v2/nodes')['nodes']
        self.assertEqual([address + ':4420' for address in base.ADDRESSES],
                         [node['nvmeEndpoint'] for node in listed])

    @ddt.data('name=node1', 'failureDomain=rack1')
    def test_filter(self, query: str) -> None:
        listed = self.done('GET', '/api/v2/nodes?' + query)['nodes']
        self.assertEqual([self.world.nodes[1].uuid],
                         [node['UUID'] for node in listed])

    def test_get(self) -> None:
        node = self.world.nodes[2]
        shown = self.done('GET', '/api/v2/nodes/' + node.uuid)
        self.assertEqual(('node2', 'Active'), (shown['name'], shown['state']))

    def test_endpoints_are_the_active_nodes(self) -> None:
        self.let_down(1)
        info = self.done('GET', '/api/v2/clusterinfo')
        self.assertEqual(['127.0.0.11:443', '127.0.0.13:443'],
                         info['apiEndpoints'])
        self.assertEqual(['127.0.0.11:8009', '127.0.0.13:8009'],
                         info['discoveryEndpoints'])
        self.assertEqual(['127.0.0.11:4420', '127.0.0.13:4420'],
                         info['nvmeEndpoints'])
        self.assertEqual((2, 3), (info['currentMaxReplicas'],
                                  info['supportedMaxReplicas']))

    def test_readdressed(self) -> None:
        self.cluster.move_node(self.world.nodes[0], '2001:db8::1')
        info = self.done('GET', '/api/v2/clusterinfo')
        self.assertEqual('[2001:db8::1]:443', info['apiEndpoints'][0])

    def test_protection_of_volumes(self) -> None:
        whole = self.volume('a', replicaCount=3)
        single = self.volume('b', replicaCount=1)
        node = self.get(single)['primaryNodeUUID']
        self.let_down([one.uuid for one in self.world.nodes].index(node))
        self.assertEqual(
            ('Degraded', 'NotAvailable'),
            (self.get(whole)['protectionState'],
             self.get(single)['protectionState']))
        health = self.done('GET', '/api/v2/cluster')['health']
        self.assertEqual(
            {'state': 'Warning', 'numDegradedVolumes': 1,
             'numNotAvailableVolumes': 1, 'numInactiveNodes': 1}, health)
        self.cluster.set_node_state(self.cluster.node(node), 'Active')
        self.assertEqual('FullyProtected', self.get(whole)['protectionState'])

    def test_replicas_unknown_for_a_while(self) -> None:
        self.build(max_replicas_unknown=True)
        self.assertNotIn('supportedMaxReplicas',
                         self.done('GET', '/api/v2/clusterinfo'))


class TestStatistics(base.ClusterTest):

    def statistics(self) -> dict[str, int]:
        shown = self.done('GET', '/api/v2/cluster')['statistics']
        return {name: int(shown.get(name, 0)) for name in (
            'estimatedLogicalStorage', 'estimatedFreeLogicalStorage',
            'logicalStorage')}

    def test_empty(self) -> None:
        self.assertEqual(
            {'estimatedLogicalStorage': model.DEFAULT_CAPACITY,
             'estimatedFreeLogicalStorage': model.DEFAULT_CAPACITY,
             'logicalStorage': 0}, self.statistics())

    def test_logical_storage_is_the_sum_of_all_sizes(self) -> None:
        uuid = self.volume('a')
        self.volume('b', size='6 gib')
        self.assertEqual(10 * GIB, self.statistics()['logicalStorage'])
        self.update(uuid, size='5 gib')
        self.assertEqual(11 * GIB, self.statistics()['logicalStorage'])
        self.done('DELETE', '%s/volumes/%s' % (PROJECT, uuid))
        self.assertEqual(6 * GIB, self.statistics()['logicalStorage'])

    def test_failed_volume_holds_no_data(self) -> None:
        self.done('POST', PROJECT + '/volumes', {
            'name': 'v', 'size': '4 gib', 'replicaCount': 1}, fails=True)
        self.assertEqual(0, self.statistics()['logicalStorage'])

    def test_used(self) -> None:
        volume = self.world.volumes.get(self.volume())
        assert volume is not None
        self.world.settle()
        self.cluster.volumes.force(volume, used=GIB)
        self.assertEqual(model.DEFAULT_CAPACITY - GIB,
                         self.statistics()['estimatedFreeLogicalStorage'])

    def test_health(self) -> None:
        self.volume()
        self.assertEqual({'state': 'OK', 'numHealthyVolumes': 1},
                         self.done('GET', '/api/v2/cluster')['health'])


class TestHosts(base.ClusterTest):

    def setUp(self) -> None:
        super().setUp()
        self.uuid = self.volume()
        self.world.settle()
        volume = self.world.volumes.get(self.uuid)
        assert volume is not None
        self.cluster.volumes.force(volume, connected_hosts=(NQN,))

    def test_list(self) -> None:
        self.assertEqual(
            [{'hostNQN': NQN, 'volumeUUIDs': [self.uuid]}],
            self.done('GET', '/api/v2/connectedHosts')['connectedHosts'])

    def test_list_of_a_volume(self) -> None:
        other = self.volume('w')
        self.assertEqual({}, self.done(
            'GET', '/api/v2/connectedHosts?volumeUUID=' + other))

    def test_get(self) -> None:
        self.assertEqual(
            [self.uuid],
            self.done('GET', '/api/v2/connectedHosts/' + NQN)['volumeUUIDs'])

    def test_missing(self) -> None:
        self.refused(404, 5, 'GET', '/api/v2/connectedHosts/nobody')


@ddt.ddt
class TestEvents(base.ClusterTest):

    def setUp(self) -> None:
        super().setUp()
        self.uuid = self.volume()
        self.pass_time(10)
        self.cluster.set_node_state(self.world.nodes[0], 'Inactive')
        self.pass_time(10)
        self.done('DELETE', '%s/volumes/%s' % (PROJECT, self.uuid))
        self.world.settle()

    def names(self, query: str = '', prefix: str = '/api/v2') -> list[str]:
        reply = self.done('GET', '%s/events?%s' % (prefix, query))
        return [event['EventName'] for event in reply.get('events', [])]

    def test_all(self) -> None:
        self.assertEqual(['VolumeCreated', 'NodeInactive', 'VolumeDeleted'],
                         self.names())

    def test_of_a_project(self) -> None:
        self.assertEqual(['VolumeCreated', 'VolumeDeleted'],
                         self.names(prefix=PROJECT))

    @ddt.data(('severity=High', ['NodeInactive']),
              ('severity=High&severity=Info', ['VolumeCreated', 'NodeInactive',
                                               'VolumeDeleted']),
              ('componentType=Node', ['NodeInactive']),
              ('since=2026-01-01T00:00:20Z', ['VolumeDeleted']),
              ('until=2026-01-01T00:00:10.000000001Z',
               ['VolumeCreated', 'NodeInactive']),
              ('since=2026-01-01T02:00:05%2B02:00&limit=1',
               ['NodeInactive']))
    @ddt.unpack
    def test_filter(self, query: str, names: list[str]) -> None:
        self.assertEqual(names, self.names(query))

    def test_pages(self) -> None:
        first = self.done('GET', '/api/v2/events?limit=2')
        rest = self.done('GET', '/api/v2/events?limit=2&nextToken='
                         + first['nextToken'])
        self.assertEqual((2, 1), (len(first['events']), len(rest['events'])))
        self.assertNotIn('nextToken', rest)

    @ddt.data('nextToken=x', 'since=yesterday', 'until=2026-01-01T00:00:00',
              'limit=-1')
    def test_bad(self, query: str) -> None:
        self.refused(400, 3, 'GET', '/api/v2/events?' + query)
