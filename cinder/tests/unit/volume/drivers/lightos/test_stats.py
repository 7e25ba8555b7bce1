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
"""What the scheduler and the operator are told of the backend."""

import logging
from typing import Any
from unittest import mock

import ddt
import fixtures
from oslo_utils import units

from cinder import exception as cinder_exception
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import exception


class StatsTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger(
            level=logging.INFO, format='%(levelname)s %(message)s'))

    def stats(self) -> dict[str, Any]:
        return self.driver.get_volume_stats(refresh=True)

    def capacity(self) -> tuple[Any, Any, Any]:
        """Total, free and provisioned."""
        stats = self.stats()
        return (stats['total_capacity_gb'], stats['free_capacity_gb'],
                stats.get('provisioned_capacity_gb'))


@ddt.ddt
class CapacityTestCase(StatsTestCase):

    def test_c7_figures_of_the_cluster(self):
        self.server.add_volume('v', size=5 * units.Gi)
        self.assertEqual((300, 200, 5), self.capacity())
        self.assertEqual('up', self.stats()['backend_state'])

    def test_c7_figures_are_in_gib_to_two_places(self):
        self.server.total, self.server.free = 7 * units.Gi // 3, units.Mi
        self.assertEqual((2.33, 0, 0), self.capacity())

    def test_c7_figures_are_asked_for_when_they_are_to_be_fresh(self):
        first = self.stats()
        self.server.requests.clear()
        self.server.free = 0
        self.assertEqual(first, self.driver.get_volume_stats())
        self.assertEqual([], self.server.requests)

    def test_c7_provisioned_that_is_not_told_is_left_out(self):
        self.server.cluster['statistics'] = {
            'estimatedLogicalStorage': '%d' % units.Gi}
        stats = self.stats()
        self.assertNotIn('provisioned_capacity_gb', stats)
        self.assertEqual((1, 0), (stats['total_capacity_gb'],
                                  stats['free_capacity_gb']))

    @ddt.data({'status': 401}, {'status': 403}, {'status': 404},
              {'status': 500}, {'status': 501}, {'body': {}},
              {'body': {'statistics': 7}}, {'html': True}, {'refused': True},
              {'hang': True})
    def test_c7_figures_that_cannot_be_read_are_infinite(self, fault):
        self.server.fault('GetCluster', times=None, **fault)
        self.assertEqual(('infinite', 'infinite', None), self.capacity())
        self.assertEqual('up', self.stats()['backend_state'])

    @ddt.data({'status': 403}, {'status': 404}, {'status': 500},
              {'body': {}}, {'refused': True})
    def test_c7_figures_that_cannot_be_read_are_the_last_known(self, fault):
        self.stats()
        self.server.fault('GetCluster', times=None, **fault)
        self.assertEqual((300, 200, 0), self.capacity())

    def test_c7_figures_are_read_again_when_they_can_be(self):
        self.server.fault('GetCluster', status=403)
        self.stats()
        self.assertEqual((300, 200, 0), self.capacity())

    def test_c7_figures_beyond_all_measure_do_not_raise(self):
        for digits in (25, 400, 5000):
            self.server.cluster['statistics'] = {
                'estimatedLogicalStorage': '9' * digits}
            self.assertEqual('up', self.stats()['backend_state'])


@ddt.ddt
class StateTestCase(StatsTestCase):

    @ddt.data({'status': 401}, {'status': 403}, {'status': 404},
              {'status': 500}, {'status': 502, 'html': True}, {'html': True},
              {'body': {}}, {'body': {'UUID': 7}}, {'refused': True},
              {'hang': True}, {'lose_reply': True}, {'half': True},
              {'body': {'UUID': 'c2c2c2c2-0000-4000-8000-000000000002'}})
    def test_c7_without_an_answer_the_backend_is_down(self, fault):
        self.stats()
        self.server.fault('GetClusterInfo', times=None, **fault)
        stats = self.stats()
        self.assertEqual(('down', 0, 0), (
            stats['backend_state'], stats['total_capacity_gb'],
            stats['free_capacity_gb']))

    def test_c7_never_raises(self):
        for what in (ValueError, KeyError, exception.LightOSBadReply,
                     cinder_exception.CinderException):
            with mock.patch.object(self.driver.cluster, 'send_cmd',
                                   side_effect=what('x')):
                self.assertEqual('down', self.stats()['backend_state'])

    def test_c7_never_raises_for_the_figures(self):
        send_cmd = self.driver.cluster.send_cmd

        def fail(cmd: str, **kwargs: Any) -> tuple[int, Any]:
            if cmd == 'get_cluster':
                raise ValueError('x')
            return send_cmd(cmd=cmd, **kwargs)

        with mock.patch.object(self.driver.cluster, 'send_cmd', fail):
            self.assertEqual(('infinite', 'infinite', None), self.capacity())

    def test_c7_going_down_and_coming_back_is_one_line_each(self):
        down = self.server.fault('GetClusterInfo', status=403, times=None)
        for _each in range(3):
            self.stats()
        down.times = 0
        for _each in range(3):
            self.stats()
        lines = self.log.output.splitlines()
        self.assertEqual(2, len(lines), lines)
        self.assertIn('ERROR The LightOS backend is reported down', lines[0])
        self.assertIn('HTTP 403', lines[0])
        self.assertIn('INFO The LightOS backend is up again', lines[1])

    def test_d1_driver_version_is_the_one_of_the_class(self):
        with mock.patch.object(type(self.driver), 'VERSION', '9.8.7'):
            self.driver = self.make_driver()
        self.assertEqual('9.8.7', self.stats()['driver_version'])

    def test_d1_what_the_backend_can(self):
        stats = self.stats()
        self.assertEqual({
            'vendor_name': 'LightOS Storage', 'volume_backend_name':
            base.BACKEND, 'driver_version': self.driver.VERSION,
            'storage_protocol': 'lightos', 'thin_provisioning_support': True,
            'thick_provisioning_support': False,
            'compression': [True, False], 'multiattach': True,
            'online_extend_support': True, 'sparse_copy_volume': True,
            'QoS_support': True, 'lightos_health': 'OK',
            'lightos_max_replicas': 3}, {
            key: value for key, value in stats.items()
            if not key.endswith(('_gb', '_state', '_percentage', '_ratio'))})

    def test_compression_ratio_is_the_clusters(self):
        self.server.compression_ratio = 1.4567
        self.assertEqual(1.46, self.stats()['lightos_compression_ratio'])

    def test_compression_ratio_that_is_not_told_is_left_out(self):
        self.server.fault('GetCluster', status=403)
        self.assertNotIn('lightos_compression_ratio', self.stats())

    @ddt.data('OK', 'Warning', 'Error')
    def test_health_is_the_clusters(self, health):
        self.server.health = health
        self.assertEqual(health, self.stats()['lightos_health'])

    def test_health_that_cannot_be_read_is_unknown(self):
        self.stats()
        self.server.fault('GetCluster', status=403)
        self.assertEqual(('unknown', 300), (
            self.stats()['lightos_health'],
            self.stats()['total_capacity_gb']))

    def test_replicas_are_those_possible_now(self):
        self.server.max_replicas = 2
        self.assertEqual(2, self.stats()['lightos_max_replicas'])

    @ddt.data(0, None)
    def test_replicas_of_a_cluster_that_starts_are_the_last_known(
            self, unknown):
        self.server.max_replicas = 2
        self.stats()
        self.server.clusterinfo['currentMaxReplicas'] = unknown
        self.assertEqual(2, self.stats()['lightos_max_replicas'])

    def test_replicas_that_were_never_known_are_left_to_the_cluster(self):
        self.server.clusterinfo['currentMaxReplicas'] = 0
        driver = self.make_driver()
        self.assertEqual(3, driver.get_volume_stats(refresh=True)[
            'lightos_max_replicas'])

    def test_groups_are_not_consistent(self):
        self.assertNotIn('consistent_group_snapshot_enabled', self.stats())

    def test_stats_are_not_read_before_they_are_to_be_fresh(self):
        self.assertEqual({}, self.driver.get_volume_stats())
        self.assertEqual([], self.server.requests)

    def test_stats_take_two_requests(self):
        self.stats()
        self.assertEqual(['GetClusterInfo', 'GetCluster'],
                         self.server.operations(probes=True))

    def test_d1_oversubscription_is_of_the_options(self):
        self.configure(reserved_percentage=7,
                       max_over_subscription_ratio='3.0')
        stats = self.stats()
        self.assertEqual((7, '3.0'), (stats['reserved_percentage'],
                                      stats['max_over_subscription_ratio']))

    def test_d1_name_of_a_backend_without_one(self):
        self.configure(volume_backend_name=None)
        self.assertEqual('LightOSVolumeDriver',
                         self.stats()['volume_backend_name'])


class StartTestCase(base.LightOSTestCase):

    def requests(self, volumes: int) -> list[str]:
        """What a service start asks of the cluster."""
        for status in ('available', 'in-use') * (volumes // 2):
            self.make_volume(create=True, status=status)
        self.driver = self.make_driver(setup=False)
        self.server.requests.clear()
        started = self.make_manager()
        started.init_host(service_id=1)
        self.assertTrue(started.is_working())
        return self.server.operations(probes=True)

    def test_start_asks_as_much_with_many_volumes(self) -> None:
        self.assertEqual(self.requests(0), self.requests(20))


@ddt.ddt
class SetupTestCase(base.LightOSTestCase):

    @ddt.data([], None)
    def test_c8_missing_addresses_are_refused_before_any_call(self, missing):
        driver = self.make_driver(setup=False, lightos_api_address=missing)
        exc = self.assertRaises(cinder_exception.InvalidConfigurationValue,
                                driver.do_setup, self.context)
        self.assertIn('lightos_api_address', exc.msg)
        self.assertEqual([], self.server.requests)

    def test_c8_what_is_missing_is_named_together(self):
        driver = self.make_driver()
        driver.cluster.subsystemNQN = None
        del self.connector_properties['nqn']
        exc = self.assertRaises(cinder_exception.VolumeBackendAPIException,
                                driver.check_for_setup_error)
        for word in ('subsystem NQN', 'host NQN', '/etc/nvme/hostnqn'):
            self.assertIn(word, exc.msg)

    @ddt.data(('subsystem NQN', 'host NQN'), ('host NQN', 'subsystem NQN'))
    @ddt.unpack
    def test_c8_only_what_is_missing_is_named(self, missing, there):
        driver = self.make_driver()
        if missing == 'subsystem NQN':
            driver.cluster.subsystemNQN = None
        else:
            self.connector_properties['nqn'] = ''
        exc = self.assertRaises(cinder_exception.VolumeBackendAPIException,
                                driver.check_for_setup_error)
        self.assertIn(missing, exc.msg)
        self.assertNotIn(there, exc.msg)

    @ddt.data(403, 501)
    def test_c8_another_refusal_is_told_as_it_is(self, status):
        self.server.fault('GetClusterInfo', status=status, times=None)
        exc = self.assertRaises(
            exception.LightOSRefused,
            self.make_driver(setup=False).do_setup, self.context)
        self.assertIn('HTTP %d' % status, exc.msg)

    def test_c8_cluster_is_named_when_connected(self):
        log = self.useFixture(fixtures.FakeLogger(level=logging.INFO))
        self.make_driver()
        self.assertIn(fake_lightos.CLUSTER_UUID, log.output)
        self.assertIn(fake_lightos.SUBSYSTEM_NQN, log.output)
