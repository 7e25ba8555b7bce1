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
"""Volumes from images and images from volumes.

Cinder's own volume manager runs here, with the driver under it. Bytes are
not copied: what stands in their place is how often Cinder would have.
"""

import contextlib
import math
from typing import Any, Optional
from unittest import mock

import ddt
from oslo_utils import timeutils

from cinder import exception as cinder_exception
from cinder.image import cache
from cinder import objects
from cinder.tests.unit import fake_constants as fake
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume import api
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import images

RAW = {'id': fake.IMAGE_ID, 'disk_format': 'raw', 'container_format': 'bare',
       'owner': fake.PROJECT_ID, 'status': 'active', 'size': 1, 'min_disk': 1,
       'properties': {}, 'updated_at': timeutils.utcnow()}
OTHER_ID = '00000000-1111-4222-8333-444444444444'
HEX_ID = 'abcdef00-1111-4222-8333-444444444444'


class ImageService:
    """An image with its locations."""

    def __init__(self, location: Any, **image: Any) -> None:
        self.location, self.image = location, {**RAW, **image}
        self.added: list[str] = []

    def get_location(self, context: Any, image_id: str) -> Any:
        return self.location

    def show(self, context: Any, image_id: str) -> dict[str, Any]:
        return self.image

    def add_location(self, context: Any, image_id: str, url: str,
                     metadata: Any) -> dict[str, Any]:
        self.added.append(url)
        return self.image


@ddt.ddt
class LocationTestCase(base.LightOSTestCase):

    @ddt.data((None, ()), ((None, None), ()), (('', []), ()),
              (('cinder://' + OTHER_ID, None), (OTHER_ID,)),
              (('cinder://store/' + OTHER_ID, []), (OTHER_ID,)),
              ((None, [{'url': 'file:///x'}, {'url': None}, {},
                       {'url': 'cinder://' + OTHER_ID}]), (OTHER_ID,)),
              (('cinder://' + OTHER_ID,
                [{'url': 'cinder://s/' + OTHER_ID}]), (OTHER_ID,)),
              (('rbd://' + OTHER_ID, None), ()),
              (('cinder://x', None), ()), (('cinder:', None), ()),
              (('cinder://', None), ()), (('://' + OTHER_ID, None), ()),
              (('cinder://[' + OTHER_ID, None), ()),
              (('cinder://' + HEX_ID.upper(), None), (HEX_ID,)),
              (('CINDER://store/' + HEX_ID.replace('-', ''), None),
               (HEX_ID,)),
              (('cinder://' + HEX_ID.upper(), [
                  {'url': 'cinder://' + HEX_ID}]), (HEX_ID,)),
              ((7, 'x'), ()), ((b'cinder://' + OTHER_ID.encode(), None), ()),
              ((None, [None, 7, 'x', [], {'url': 7}, {'url': {}},
                       {'url': 'cinder://' + OTHER_ID}]), (OTHER_ID,)))
    @ddt.unpack
    def test_volumes_of_a_location(self, location, ids) -> None:
        self.assertEqual(ids, images.volume_ids(location))


class ImageTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.manager = self.make_manager()
        self.copy = self.patch(
            'cinder.volume.volume_utils.copy_image_to_volume')
        self.patch('cinder.image.image_utils.TemporaryImages.fetch',
                   return_value=contextlib.nullcontext('file'))
        self.patch('cinder.image.image_utils.qemu_img_info',
                   return_value=mock.Mock(virtual_size=1))
        self.patch('cinder.image.image_utils.check_available_space')
        self.type = self.make_type()

    def holder(self, **values: Any) -> objects.Volume:
        """A volume that holds an image."""
        return self.make_volume(**{
            'volume_type': self.type, 'create': True, 'status': 'available',
            'project_id': fake.PROJECT_ID, **values})

    def from_image(self, service: ImageService,
                   **values: Any) -> objects.Volume:
        """Have Cinder make a volume from an image."""
        volume = self.make_volume(**{
            'volume_type': self.type, 'status': 'creating',
            'project_id': fake.PROJECT_ID, **values})
        self.patch('cinder.volume.flows.manager.create_volume.glance.'
                   'get_remote_image_service',
                   return_value=(service, fake.IMAGE_ID))
        self.server.requests.clear()
        self.manager.create_volume(
            self.context, volume, allow_reschedule=False, request_spec={
                'image_id': fake.IMAGE_ID, 'volume_properties': {}})
        volume.refresh()
        self.assertEqual('available', volume.status)
        return volume

    def there(self, volume: objects.Volume) -> fake_lightos.Volume:
        """The volume of a record, which its provider_id has to name."""
        found = self.server.volume(volume.provider_id.split()[1])
        self.assertEqual(volume.name, found.name)
        return found

    @property
    def copied(self) -> bool:
        return bool(self.copy.call_count)


@ddt.ddt
class CloneImageTestCase(ImageTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.source = self.holder()
        self.there(self.source).data = 'image'
        self.location = ('cinder://' + self.source.id, None)

    def clone(self, location: Any = None, image: Optional[dict] = None,
              **values: Any) -> objects.Volume:
        return self.from_image(
            ImageService(location or self.location, **(image or {})),
            **values)

    def assert_copied(self, volume: objects.Volume) -> None:
        self.assertTrue(self.copied)
        self.assertEqual('', self.there(volume).data)
        self.assertEqual('image', self.there(self.source).data)

    def test_image_in_a_volume_of_the_cluster_is_cloned(self) -> None:
        volume = self.clone()
        self.assertEqual('image', self.there(volume).data)
        self.assertFalse(self.copied)
        self.assertEqual(['Deleting'], [
            snapshot.state for snapshot in self.server.snapshots()])

    def test_clone_of_an_image_takes_one_look_more(self) -> None:
        self.clone()
        self.assertEqual(
            ['GetVolume', 'CreateSnapshot', 'GetSnapshot', 'CreateVolume',
             'GetVolume', 'DeleteSnapshot'],
            self.server.operations(probes=True))

    def test_larger_volume_has_its_size(self) -> None:
        self.assertEqual(3 * 2 ** 30, self.there(self.clone(size=3)).size)

    def test_volume_of_the_images_service_project_is_cloned(self) -> None:
        self.source = self.holder(
            project_id=fake.PROJECT3_ID,
            metadata={'image_owner': fake.PROJECT_ID})
        self.there(self.source).data = 'image'
        volume = self.clone(('cinder://store/' + self.source.id, None))
        self.assertEqual('image', self.there(volume).data)

    def test_volume_of_another_backend_on_the_cluster_is_cloned(self) -> None:
        self.source.host = 'elsewhere@lightos#lightos'
        self.source.save()
        self.assertEqual('image', self.there(self.clone()).data)

    def test_of_several_locations_the_fitting_one_is_cloned(self) -> None:
        volume = self.clone(('file:///image', [
            {'url': 'cinder://' + OTHER_ID},
            {'url': 'cinder://' + self.holder(size=9).id},
            {'url': self.location[0]}]))
        self.assertEqual('image', self.there(volume).data)

    @ddt.data(str.upper, lambda text: text.replace('-', ''))
    def test_id_in_any_spelling_is_that_volumes(self, spelling) -> None:
        volume = self.clone(('cinder://' + spelling(self.source.id), None))
        self.assertEqual('image', self.there(volume).data)

    @ddt.data((7, None), (None, ['x', None, {'url': 7}]), (None, 7))
    def test_locations_that_make_no_sense_are_copied(self, location) -> None:
        volume = self.make_volume(self.type)
        self.assertEqual(({}, False), self.driver.clone_image(
            self.context, volume, location, RAW, None))

    @ddt.data({'disk_format': 'qcow2'}, {'container_format': 'ovf'})
    def test_image_of_another_format_is_copied(self, image) -> None:
        self.assert_copied(self.clone(image=image))
        self.assertNotIn('CreateSnapshot', self.server.operations())

    @ddt.data(None, 'file:///image', 'rbd://x', 'cinder://' + OTHER_ID)
    def test_image_elsewhere_is_copied_without_a_look(self, url) -> None:
        self.assert_copied(self.clone((url, None)))
        self.assertEqual(['CreateVolume', 'GetVolume'],
                         self.server.operations(probes=True))

    @ddt.data({'project_id': fake.PROJECT2_ID}, {'size': 2},
              {'status': 'error'}, {'status': 'deleting'},
              {'migration_status': 'migrating'}, {'provider_id': None},
              {'provider_id': 'default'},
              {'provider_id': 'default ' + OTHER_ID},
              {'encryption_key_id': fake.ENCRYPTION_KEY_ID})
    def test_volume_that_does_not_do_is_not_cloned(self, values) -> None:
        ours = self.source.provider_id
        self.record(self.source, values)
        volume = self.clone()
        self.record(self.source, {'provider_id': ours})
        self.assert_copied(volume)

    def test_image_of_another_project_is_not_cloned(self) -> None:
        self.assert_copied(self.clone(image={'owner': fake.PROJECT2_ID}))

    def test_location_cannot_give_away_another_projects_volume(self) -> None:
        # Whoever owns an image may be let to set its location.
        self.record(self.source, {'project_id': fake.PROJECT2_ID})
        self.assert_copied(self.clone(image={'owner': fake.PROJECT_ID}))

    @ddt.data({'lightos__num_replicas': '1'}, {'compression': '<is> True'},
              {'lightos__project_name': 'blue'},
              {'lightos__sector_size': '512'})
    def test_type_that_asks_for_another_volume_is_copied(self,
                                                         specs) -> None:
        self.server.projects['blue'] = ''
        volume = self.clone(volume_type=self.make_type(**specs))
        self.assert_copied(volume)
        self.assertNotIn('CreateSnapshot', self.server.operations())

    @ddt.data(('GetVolume', {'status': 403}), ('GetVolume', {'hang': True}),
              ('CreateSnapshot', {'status': 400, 'times': None}),
              ('CreateSnapshot', {'status': 403, 'times': None}))
    @ddt.unpack
    def test_image_that_cannot_be_cloned_is_copied(self, operation,
                                                   fault) -> None:
        self.server.fault(operation, **fault)
        self.assert_copied(self.clone())

    def test_image_whose_volume_goes_meanwhile_is_copied(self) -> None:
        self.record(self.source, {'launched_at': None})
        self.server.fault('GetVolume', skip=1, status=404)
        self.server.fault('ListVolumes', body={'volumes': []})
        self.assert_copied(self.clone())

    def test_clone_that_is_not_seen_is_an_error_and_no_second_volume(
            self) -> None:
        self.server.fault('GetSnapshot', times=None, status=503, code=14)
        volume = self.make_volume(self.type)
        self.assertRaises(cinder_exception.VolumeBackendAPIException,
                          self.driver.clone_image, self.context, volume,
                          self.location, RAW, None)

    def test_e1_look_and_clone_have_one_deadline(self) -> None:
        self.server.fault('GetVolume', delay=25)
        self.server.work_time['CreateVolume'] = math.inf
        volume = self.make_volume(self.type)
        began = self.clock.monotonic()
        error = self.assertRaises(
            exception.LightOSNotSeen, self.driver.clone_image, self.context,
            volume, self.location, RAW, None)
        self.assert_tells(error, 'clone image %s to volume %s' % (
            fake.IMAGE_ID, volume.id), 'is Creating')
        self.assertLessEqual(self.clock.monotonic() - began, 101)

    def test_encrypted_volume_is_not_cloned(self) -> None:
        volume = self.make_volume(self.type,
                                  encryption_key_id=fake.ENCRYPTION_KEY_ID)
        self.server.requests.clear()
        self.assertEqual(({}, False), self.driver.clone_image(
            self.context, volume, self.location, RAW, None))
        self.assertEqual([], self.server.requests)


class CopyTestCase(ImageTestCase):

    def test_o1_volume_that_is_copied_records_its_uuid(self) -> None:
        volume = self.from_image(ImageService(None))
        self.assertTrue(self.copied)
        self.there(volume)

    def test_o2_image_volume_is_one_of_its_own(self) -> None:
        volume = self.holder(status='uploading')
        service = ImageService(None)
        self.assertTrue(self.manager._clone_image_volume_and_add_location(
            self.context, volume, service, RAW))
        (url,) = service.added
        kept = objects.Volume.get_by_id(self.context, url.rpartition('/')[2])
        self.assertNotEqual(volume.provider_id, kept.provider_id)
        self.assertEqual({self.there(volume), self.there(kept)},
                         set(self.server.volumes()))

    def test_o2_image_volume_that_failed_takes_nothing_along(self) -> None:
        # Its record is a copy of the volume's, with its provider_id.
        volume = self.holder(status='uploading')
        self.server.fault('CreateSnapshot', status=403, times=None)
        service = ImageService(None)
        self.assertFalse(self.manager._clone_image_volume_and_add_location(
            self.context, volume, service, RAW))
        self.assertEqual('Available', self.there(volume).state)
        self.assertEqual([volume.id], [each.id for each in (
            objects.VolumeList.get_all(self.context))])

    def test_o2_image_volume_of_a_renamed_volume_takes_nothing_along(
            self) -> None:
        volume = self.holder(status='uploading')
        there = self.there(volume)
        there.name = 'database-of-the-shop'
        self.server.fault('CreateSnapshot', status=403, times=None)
        self.manager._clone_image_volume_and_add_location(
            self.context, volume, ImageService(None), RAW)
        self.assertEqual('Available', there.state)


class CacheTestCase(ImageTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.override_config('cinder_internal_tenant_project_id',
                             fake.PROJECT3_ID)
        self.override_config('cinder_internal_tenant_user_id', fake.USER3_ID)
        self.manager.image_volume_cache = cache.ImageVolumeCache(
            self.manager.db, api.API())
        self.service = ImageService(None)

    def cached(self) -> objects.Volume:
        (kept,) = [each for each in objects.VolumeList.get_all(self.context)
                   if each.project_id == fake.PROJECT3_ID]
        return kept

    def test_o2_first_volume_of_an_image_leaves_one_in_the_cache(
            self) -> None:
        volume = self.from_image(self.service)
        self.assertTrue(self.copied)
        self.assertEqual({self.there(volume), self.there(self.cached())},
                         set(self.server.volumes()))

    def test_second_volume_of_an_image_is_a_clone(self) -> None:
        self.from_image(self.service)
        self.copy.reset_mock()
        self.there(self.cached()).data = 'image'
        volume = self.from_image(self.service)
        self.assertFalse(self.copied)
        self.assertEqual('image', self.there(volume).data)

    def test_o2_cache_entry_that_failed_takes_nothing_along(self) -> None:
        self.server.fault('CreateSnapshot', status=403, times=None)
        volume = self.from_image(self.service)
        self.assertEqual([self.there(volume)], self.server.volumes())

    def test_o2_evicted_entry_takes_nothing_along(self) -> None:
        volume = self.from_image(self.service)
        self.manager.delete_volume(self.context, self.cached())
        self.assertEqual([self.there(volume)], self.server.volumes())
