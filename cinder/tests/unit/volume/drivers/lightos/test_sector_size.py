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
"""Volumes whose type asks for a sector size, and copies of them."""

import ddt

from cinder import objects
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import exception


@ddt.ddt
class SectorSizeTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.types = {size: self.make_type(lightos__sector_size=size)
                      for size in ('512', '4096')}
        self.types['none'] = self.make_type()

    def of_type(self, size: str) -> objects.Volume:
        return self.make_volume(self.types[size])

    def copy(self, how: str, source: str, size: str) -> fake_lightos.Volume:
        """Copy a volume of one type to one of another."""
        original = self.make_volume(self.types[source], create=True)
        volume = self.of_type(size)
        if how == 'clone':
            self.driver.create_cloned_volume(volume, original)
        else:
            snapshot = self.make_snapshot(original, create=True)
            self.driver.create_volume_from_snapshot(volume, snapshot)
        return self.server.volume(volume.name)

    @ddt.data('512', '4096')
    def test_volume_has_the_sectors_its_type_asks_for(self, size) -> None:
        volume = self.of_type(size)
        self.driver.create_volume(volume)
        self.assertEqual(int(size),
                         self.server.volume(volume.name).sector_size)

    def test_type_that_asks_for_none_leaves_it_to_the_cluster(self) -> None:
        self.driver.create_volume(self.of_type('none'))
        self.assertNotIn('sectorSize', self.server.requests[0].body)

    def test_e4_volume_of_other_sectors_is_not_ours(self) -> None:
        volume = self.of_type('512')
        self.server.add_volume(volume.name, ip_acl=('ALLOW_NONE',))
        error = self.assertRaises(exception.LightOSNotOurs,
                                  self.driver.create_volume, volume)
        self.assert_tells(error, volume.id, 'sectors', '4096')

    def test_e4_sectors_that_the_type_leaves_open_are_any(self) -> None:
        volume = self.of_type('none')
        self.server.add_volume(volume.name, ip_acl=('ALLOW_NONE',),
                               sector_size=512)
        self.driver.create_volume(volume)

    @ddt.data(*((how, source, size, sectors)
                for how in ('clone', 'snapshot')
                for source, size, sectors in (
                    ('512', '512', 512), ('4096', '4096', 4096),
                    ('512', 'none', 512), ('none', '4096', 4096))))
    @ddt.unpack
    def test_v2_copy_has_the_sectors_of_its_source(
            self, how, source, size, sectors) -> None:
        self.assertEqual(sectors, self.copy(how, source, size).sector_size)

    @ddt.data(*((how, source, size) for how in ('clone', 'snapshot')
                for source, size in (('512', '4096'), ('4096', '512'),
                                     ('none', '512'))))
    @ddt.unpack
    def test_v2_copy_that_asks_for_others_is_an_error_that_says_so(
            self, how, source, size) -> None:
        error = self.assertRaises(exception.LightOSRefused, self.copy, how,
                                  source, size)
        self.assert_tells(error, 'The snapshot has sectors of %s bytes' % (
            source if source != 'none' else '4096'), 'asks for ' + size)
        self.assertEqual(1, len(self.server.volumes()))

    def test_v2_copy_that_differs_in_more_is_not_asked_for_again(
            self) -> None:
        self.types['none'] = self.make_type(lightos__num_replicas='2')
        refusal = self.server.fault(
            'CreateVolume', status=400, message='sectorSize', times=None,
            when=lambda request: 'sourceSnapshotUUID' in request.body)
        self.assertRaises(exception.LightOSRefused, self.copy, 'snapshot',
                          '512', 'none')
        # With labels and without.
        self.assertEqual(2, refusal.hits)

    def test_v2_from_snapshot_takes_two_requests(self) -> None:
        self.copy('snapshot', '512', '512')
        self.assertEqual(['CreateVolume', 'GetVolume'],
                         self.server.operations()[-2:])
