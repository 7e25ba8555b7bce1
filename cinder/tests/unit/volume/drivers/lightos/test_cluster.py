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
"""What is known of the cluster, for hosts to find its nodes."""

from typing import Any
from unittest import mock

import ddt

from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import cluster
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import waiting


@ddt.ddt
class ClusterTestCase(base.LightOSTestCase):

    def refresh(self) -> replies.ClusterInfo:
        return cluster.refresh(
            operation.Operation(self.driver.cluster, 'look',
                                waiting.Deadline(20)), self.driver.cluster)

    def targets(self) -> dict[str, dict[str, Any]]:
        return cluster.discovery_targets(self.driver.cluster)

    def connect(self) -> dict[str, Any]:
        """The connection data of an attachment."""
        volume = self.make_volume(create=True)
        return self.driver.initialize_connection(
            volume, self.host_connector())['data']

    def test_c1_returns_what_the_cluster_says_of_itself(self):
        info = self.refresh()
        self.assertEqual(
            (fake_lightos.CLUSTER_UUID, fake_lightos.SUBSYSTEM_NQN),
            (info.uuid, info.subsystem_nqn))

    def test_a3_targets_are_the_discovery_endpoints(self):
        self.server.clusterinfo['discoveryEndpoints'] = [
            '10.0.0.1:8009', '[fd00::2]:8010', 'node-3']
        self.refresh()
        self.assertEqual({
            host: {'target_portal': host, 'target_port': port,
                   'transport_type': 'tcp'}
            for host, port in (('10.0.0.1', 8009), ('fd00::2', 8010),
                               ('node-3', 8009))}, self.targets())

    def test_a3_targets_follow_the_cluster(self):
        self.server.nodes[2] = '10.0.0.4'
        self.refresh()
        self.assertEqual({'10.0.0.1', '10.0.0.2', '10.0.0.4'},
                         set(self.targets()))

    @ddt.data([], None)
    def test_a3_cluster_that_lists_none_has_them_on_its_nodes(self, listed):
        self.server.clusterinfo['discoveryEndpoints'] = listed
        self.server.nodes.append('fd00::4')
        self.refresh()
        self.assertEqual({'10.0.0.1': 8009, '10.0.0.2': 8009,
                          '10.0.0.3': 8009, 'fd00::4': 8009}, {
            host: target['target_port']
            for host, target in self.targets().items()})

    def test_a3_node_without_a_sensible_endpoint_is_left_out(self):
        self.server.clusterinfo['discoveryEndpoints'] = []
        self.server.fault('ListNodes', body={'nodes': [
            {'nvmeEndpoint': '10.0.0.1:4420'}, {'nvmeEndpoint': ':'}, {}]})
        self.refresh()
        self.assertEqual({'10.0.0.1'}, set(self.targets()))

    def test_a3_node_list_that_is_missing_gives_no_targets(self):
        self.server.clusterinfo['discoveryEndpoints'] = []
        self.server.fault('ListNodes', status=404, times=None)
        self.refresh()
        self.assertEqual({}, self.targets())

    def test_a3_nodes_are_not_asked_when_it_lists_some(self):
        self.refresh()
        self.assertEqual(['GetClusterInfo'], self.server.operations(True))

    def test_e2_api_without_clusterinfo_is_an_error(self):
        with mock.patch.object(self.driver.cluster, 'send_cmd',
                               return_value=(404, {})):
            exc = self.assertRaises(exception.LightOSError, self.refresh)
        self.assertIn('clusterinfo', exc.msg)

    def test_c1_subsystem_that_is_not_told_stays_known(self):
        self.server.clusterinfo['subsystemNQN'] = ''
        self.refresh()
        self.assertEqual(fake_lightos.SUBSYSTEM_NQN,
                         self.driver.cluster.subsystemNQN)

    def test_a3_attachment_gets_the_discovery_endpoints(self):
        data = self.connect()
        self.assertEqual(
            (fake_lightos.SUBSYSTEM_NQN, self.targets()),
            (data['subsysnqn'], data['lightos_nodes']))
        self.assertEqual(set(self.server.nodes), set(self.targets()))

    def test_a3_attachment_learns_them_anew_after_a_stats_period(self):
        self.override_config('backend_stats_polling_interval', 30)
        self.server.clusterinfo['discoveryEndpoints'] = ['10.0.0.9:8009']
        self.assertNotIn('10.0.0.9', self.connect()['lightos_nodes'])
        self.clock.advance(31)
        self.assertIn('10.0.0.9', self.connect()['lightos_nodes'])

    def test_a3_nodes_that_were_not_asked_for_are_no_fresher(self):
        self.override_config('backend_stats_polling_interval', 30)
        self.server.clusterinfo['discoveryEndpoints'] = []
        self.refresh()
        self.server.nodes[2] = '10.0.0.4'
        self.clock.advance(29)
        # So statistics end half-way.
        self.server.fault('ListNodes', status=403)
        self.assertRaises(exception.LightOSRefused, self.refresh)
        self.clock.advance(2)
        self.assertIn('10.0.0.4', self.connect()['lightos_nodes'])

    def test_a3_attachment_asks_again_where_none_are_known(self):
        self.server.clusterinfo['discoveryEndpoints'] = []
        self.server.fault('ListNodes', status=404)
        self.refresh()
        self.assertEqual({}, self.targets())
        self.assertEqual(set(self.server.nodes),
                         set(self.connect()['lightos_nodes']))

    def test_a3_attachment_takes_the_last_known_ones_if_need_be(self):
        self.override_config('backend_stats_polling_interval', 30)
        self.clock.advance(31)
        self.server.fault('GetClusterInfo', status=403, times=None)
        self.assertEqual(set(self.server.nodes),
                         set(self.connect()['lightos_nodes']))
