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
"""Cinder's generic groups, which the driver leaves to Cinder."""

import ddt

from cinder.db import api as db_api
from cinder import exception
from cinder import objects
from cinder.objects import fields
from cinder.tests.unit import fake_constants as fake
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import exception as lightos_exception
from cinder.volume import group_types


@ddt.ddt
class GroupsTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.manager = self.make_manager()
        self.type = self.make_type()
        self.group_type = objects.GroupType.get_by_id(
            self.context, group_types.create(
                self.context, 'together', {}).id)
        self.group = self.make_group()
        self.manager.create_group(self.context, self.group)
        self.volumes = [self.make_volume(
            self.type, create=True, status='available') for _each in '12']
        self.manager.update_group(
            self.context, self.group,
            add_volumes=','.join(volume.id for volume in self.volumes))
        for volume, data in zip(self.volumes, ('one', 'two')):
            volume.refresh()
            self.there(volume).data = data

    def make_group(self, **values) -> objects.Group:
        group = objects.Group(
            self.context, host=base.HOST, status='creating', name='g',
            group_type_id=self.group_type.id, project_id=fake.PROJECT_ID,
            user_id=fake.USER_ID, volume_type_ids=[self.type.id], **values)
        group.create()
        return group

    def there(self, volume: objects.Volume) -> fake_lightos.Volume:
        found = self.server.volume(volume.provider_id.split()[1])
        self.assertEqual('volume-' + volume.id, found.name)
        return found

    def take_snapshot(self) -> objects.GroupSnapshot:
        taken = objects.GroupSnapshot(
            self.context, group_id=self.group.id, status='creating',
            group_type_id=self.group_type.id, name='s',
            project_id=fake.PROJECT_ID, user_id=fake.USER_ID)
        taken.create()
        for volume in self.volumes:
            self.make_snapshot(volume, group_snapshot_id=taken.id,
                               status='creating')
        self.manager.create_group_snapshot(self.context, taken)
        taken.refresh()
        return taken

    def test_volumes_of_a_group_belong_to_it(self) -> None:
        self.assertEqual({self.group.id},
                         {volume.group_id for volume in self.volumes})
        self.group.refresh()
        self.assertEqual('available', self.group.status)

    def test_snapshot_of_a_group_has_one_of_each_volume(self) -> None:
        taken = self.take_snapshot()
        self.assertEqual('available', taken.status)
        self.assertEqual(
            {self.there(volume).uuid for volume in self.volumes},
            {snapshot.volume_uuid for snapshot in self.server.snapshots()})
        for snapshot in objects.SnapshotList.get_all_for_group_snapshot(
                self.context, taken.id):
            self.assertEqual('available', snapshot.status)
            self.assertEqual(
                'snapshot-' + snapshot.id, self.server.snapshot(
                    snapshot.provider_id.split()[1]).name)

    def copy(self, **values) -> list[objects.Volume]:
        """Make a group from another or from its snapshot."""
        group = self.make_group(**values)
        sources = {}
        for volume in self.volumes:
            if 'source_group_id' in values:
                sources = {'source_volid': volume.id}
            else:
                (snapshot,) = [each for each in
                               objects.SnapshotList.get_all_for_volume(
                                   self.context, volume.id)]
                sources = {'snapshot_id': snapshot.id}
            self.make_volume(self.type, group_id=group.id, status='creating',
                             **sources)
        self.manager.create_group_from_src(
            self.context, group,
            group_snapshot=values.get('group_snapshot_id') and
            objects.GroupSnapshot.get_by_id(self.context,
                                            values['group_snapshot_id']),
            source_group=values.get('source_group_id') and self.group)
        group.refresh()
        self.assertEqual('available', group.status)
        return list(objects.VolumeList.get_all_by_generic_group(
            self.context, group.id))

    @ddt.data('snapshot', 'group')
    def test_group_from_another_has_its_data(self, source) -> None:
        if source == 'group':
            made = self.copy(source_group_id=self.group.id)
        else:
            made = self.copy(group_snapshot_id=self.take_snapshot().id)
        self.assertEqual(
            ['one', 'two'], sorted(self.there(volume).data
                                   for volume in made))

    def test_deleted_group_takes_its_volumes_along_and_no_others(
            self) -> None:
        other = self.make_volume(self.type, create=True)
        self.group.refresh()
        self.manager.delete_group(self.context, self.group)
        self.assertEqual([self.there(other)], self.server.volumes())

    def test_deleted_group_snapshot_takes_its_snapshots_along(self) -> None:
        taken = self.take_snapshot()
        self.manager.delete_group_snapshot(self.context, taken)
        self.assertEqual([], self.server.snapshots())

    def test_trouble_with_one_volume_is_told_of_the_group_snapshot(
            self) -> None:
        self.server.fault('CreateSnapshot', status=403)
        self.assertRaises(exception.VolumeDriverException, self.take_snapshot)
        (taken,) = objects.GroupSnapshotList.get_all(self.context)
        self.assertEqual(fields.GroupSnapshotStatus.ERROR, taken.status)

    @ddt.data('create_group', 'create_group_snapshot')
    def test_what_is_cinders_is_left_to_cinder(self, method) -> None:
        self.server.requests.clear()
        self.assertRaises(NotImplementedError, self.call, method)
        self.assertEqual([], self.server.requests)

    @ddt.data('create_group', 'create_group_snapshot')
    def test_consistency_that_is_not_there_is_refused(self, method) -> None:
        db_api.group_type_specs_update_or_create(
            self.context, self.group_type.id,
            {'consistent_group_snapshot_enabled': '<is> True'})
        error = self.assertRaises(lightos_exception.LightOSError, self.call,
                                  method)
        self.assert_tells(error, self.group.id, 'consistent')

    @ddt.data('group_replication_enabled',
              'consistent_group_replication_enabled')
    def test_replication_that_is_not_there_is_refused(self, spec) -> None:
        db_api.group_type_specs_update_or_create(
            self.context, self.group_type.id, {spec: '<is> True'})
        error = self.assertRaises(lightos_exception.LightOSError, self.call,
                                  'create_group')
        self.assert_tells(error, self.group.id, 'replication')

    def call(self, method: str) -> None:
        if method == 'create_group':
            self.driver.create_group(self.context, self.group)
        self.driver.create_group_snapshot(
            self.context, objects.GroupSnapshot(
                self.context, group_id=self.group.id, id=fake.UUID1,
                group_type_id=self.group_type.id), [])
