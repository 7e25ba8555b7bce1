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
"""How a type that asks for more replicas than can be held is refused."""

from typing import Any
from unittest import mock

import ddt

from cinder.scheduler.filters import capabilities_filter
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.volume.drivers.lightos import exception


@ddt.ddt
class FilterTestCase(base.LightOSTestCase):
    """What Cinder's own filter makes of the statistics."""

    def passes(self, **extra_specs: str) -> bool:
        stats = self.driver.get_volume_stats(refresh=True)
        return capabilities_filter.CapabilitiesFilter().backend_passes(
            mock.Mock(capabilities=stats),
            {'resource_type': {'extra_specs': {
                key.replace('__', ':'): value
                for key, value in extra_specs.items()}}})

    @ddt.data((3, '3', True), (3, '2', True), (2, '3', False),
              (2, '2', True), (1, '2', False))
    @ddt.unpack
    def test_replicas_possible_now_choose_the_backend(self, possible, asked,
                                                      passes) -> None:
        self.server.max_replicas = possible
        self.assertIs(passes, self.passes(
            capabilities__lightos_max_replicas='>= ' + asked,
            lightos__num_replicas=asked))

    def test_replicas_of_a_starting_cluster_do_not_exclude_it(self) -> None:
        self.server.max_replicas = 0
        self.assertTrue(self.passes(
            capabilities__lightos_max_replicas='>= 3'))

    def test_spec_of_the_driver_alone_chooses_nothing(self) -> None:
        # Cinder leaves the keys of a vendor to the driver.
        self.server.max_replicas = 1
        self.assertTrue(self.passes(lightos__num_replicas='3'))

    @ddt.data(('OK', True), ('Warning', False), ('Error', False))
    @ddt.unpack
    def test_health_chooses_the_backend(self, health, passes) -> None:
        self.server.health = health
        self.assertIs(passes, self.passes(
            capabilities__lightos_health='OK'))

    @ddt.data(('<is> True', True), ('<is> False', True))
    @ddt.unpack
    def test_d1_compression_passes_either_way(self, asked, passes) -> None:
        self.assertIs(passes, self.passes(compression=asked))


@ddt.ddt
class CreateTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.make_volume(self.make_type(
            lightos__num_replicas='3'))

    def know(self, replicas: int) -> None:
        """Let the driver learn how many replicas are possible."""
        self.server.max_replicas = replicas
        self.driver.get_volume_stats(refresh=True)
        self.server.requests.clear()

    def create(self, **values: Any) -> None:
        self.driver.create_volume(self.volume)

    def test_more_replicas_than_possible_are_refused_with_the_reason(
            self) -> None:
        self.know(2)
        error = self.assertRaises(exception.LightOSError, self.create)
        self.assert_tells(
            error, self.volume.id, 'its type or lightos_default_num_replicas '
            'asks for 3 replicas', 'can hold 2')
        self.assertEqual(['GetClusterInfo'],
                         self.server.operations(probes=True))

    def test_replicas_that_became_possible_are_not_refused(self) -> None:
        self.know(2)
        self.server.max_replicas = 3
        self.create()
        self.assertEqual(['GetClusterInfo', 'CreateVolume', 'GetVolume'],
                         self.server.operations(probes=True))

    @ddt.data(0, 3)
    def test_replicas_take_no_request_where_they_are_possible(
            self, possible) -> None:
        self.server.clusterinfo['currentMaxReplicas'] = possible
        self.know(3)
        self.create()
        self.assertEqual(['CreateVolume', 'GetVolume'],
                         self.server.operations(probes=True))

    def test_cluster_that_does_not_say_decides_itself(self) -> None:
        self.know(2)
        self.server.fault('GetClusterInfo', status=403, times=None)
        error = self.assertRaises(exception.LightOSRefused, self.create)
        self.assert_tells(error, 'replicaCount')

    def test_e1_asking_once_more_takes_a_fifth_of_the_time(self) -> None:
        self.know(2)
        self.server.max_replicas = 3
        self.server.fault('GetClusterInfo', status=503, times=None)
        began = self.clock.monotonic()
        self.create()
        self.assertAlmostEqual(20, self.clock.monotonic() - began, delta=1)

    def test_clone_of_more_replicas_takes_no_snapshot(self) -> None:
        self.create()
        self.know(2)
        self.assertRaises(
            exception.LightOSError, self.driver.create_cloned_volume,
            self.make_volume(self.volume.volume_type), self.volume)
        self.assertNotIn('CreateSnapshot', self.server.operations())

    def test_volume_of_more_replicas_is_still_deleted(self) -> None:
        self.create()
        self.know(2)
        self.driver.delete_volume(self.volume)
        self.assertEqual([], self.server.volumes())
