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
"""What becomes of the names of volumes that Cinder migrated."""

import ddt

from cinder.tests.unit.volume.drivers.lightos import base


@ddt.ddt
class UpdateMigratedVolumeTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.source = self.make_volume()
        self.target = self.make_volume(create=True)
        self.there = self.server.volume(self.target.name)
        self.server.requests.clear()

    def update(self) -> dict:
        return self.driver.update_migrated_volume(
            self.context, self.source, self.target, 'available')

    def test_d4_takes_the_name_of_a_source_elsewhere(self) -> None:
        self.assertEqual({'_name_id': None}, self.update())
        self.assertEqual('volume-' + self.source.id, self.there.name)

    def test_d4_keeps_its_name_while_the_source_is_on_this_cluster(
            self) -> None:
        self.record(self.source, self.driver.create_volume(self.source))
        self.assertEqual({'_name_id': self.target.id}, self.update())
        self.assertEqual('volume-' + self.target.id, self.there.name)

    @ddt.data('recorded', 'type')
    def test_d4_keeps_its_name_if_the_source_is_in_another_project(
            self, how) -> None:
        self.server.projects['goose'] = ''
        if how == 'recorded':
            uuid = '11111111-2222-4333-8444-555555555555'
            self.record(self.source, {'provider_id': 'goose ' + uuid})
        else:
            goose = self.make_type(lightos__project_name='goose')
            self.record(self.source, {'volume_type_id': goose.id})
            self.source.refresh()
        self.server.add_volume('volume-' + self.source.id, project='goose')
        self.assertEqual({'_name_id': self.target.id}, self.update())

    def test_d4_name_that_is_taken_in_its_own_project_is_left(self) -> None:
        self.server.projects['blue'] = ''
        self.target = self.make_volume(self.make_type(
            lightos__project_name='blue'), create=True)
        self.server.add_volume('volume-' + self.source.id, project='blue')
        self.mock_object(self.driver, '_labelling')
        self.server.requests.clear()
        self.assertEqual({'_name_id': self.target.id}, self.update())
        self.assertNotIn('UpdateVolume', self.server.operations())

    @ddt.data({'status': 403, 'code': 7}, {'status': 400, 'code': 3},
              {'status': 500, 'code': 13})
    def test_d4_name_that_cannot_be_looked_for_is_not_taken(
            self, trouble) -> None:
        self.server.fault('ListVolumes', times=None, **trouble)
        self.assertEqual({'_name_id': self.target.id}, self.update())
        self.assertEqual('volume-' + self.target.id, self.there.name)

    @ddt.data({'status': 403, 'code': 7}, {'status': 501, 'code': 12})
    def test_d4_rename_that_is_refused_is_no_error(self, trouble) -> None:
        self.server.fault('UpdateVolume', times=None, **trouble)
        self.assertEqual({'_name_id': self.target.id}, self.update())

    def test_d4_volume_that_is_gone_took_no_name(self) -> None:
        self.driver.delete_volume(self.target)
        self.assertEqual({'_name_id': self.target.id}, self.update())

    def test_d4_lost_reply_of_the_rename_is_looked_up(self) -> None:
        self.server.fault('UpdateVolume', lose_reply=True)
        self.assertEqual({'_name_id': None}, self.update())
        self.assertEqual('volume-' + self.source.id, self.there.name)

    def test_d4_husk_of_the_name_is_no_hindrance(self) -> None:
        self.server.add_volume('volume-' + self.source.id, state='Failed')
        self.assertEqual({'_name_id': None}, self.update())

    def test_d4_never_returns_provider_id(self) -> None:
        self.assertEqual({'_name_id'}, self.update().keys())

    def test_d4_renamed_volume_is_found_by_its_new_record(self) -> None:
        self.update()
        self.record(self.source, {'provider_id': self.target.provider_id})
        self.driver.delete_volume(self.source)
        self.assertIsNone(self.server.volume('volume-' + self.source.id))


@ddt.ddt
class LeftByMigrationTestCase(base.LightOSTestCase):
    """Records as a volume service leaves them that dies in a migration."""

    def setUp(self) -> None:
        super().setUp()
        self.source = self.make_volume(create=True)
        self.source_name = 'volume-' + self.source.id
        # Cinder copies provider_id.
        self.target = self.make_volume(
            use_quota=False, provider_id=self.source.provider_id,
            migration_status='target:' + self.source.id)
        self.target_name = 'volume-' + self.target.id
        self.copied = self.source.provider_id

    def create_target(self, recorded: bool = True) -> None:
        update = self.driver.create_volume(self.target)
        if recorded:
            self.record(self.target, update)

    def names(self) -> set[str]:
        return {name for name in (self.source_name, self.target_name)
                if self.server.volume(name) is not None}

    def test_d4_target_that_was_not_created_leaves_the_source(self) -> None:
        self.driver.delete_volume(self.target)
        self.assertEqual({self.source_name}, self.names())

    def test_d4_target_that_was_created_and_not_recorded_goes(self) -> None:
        self.create_target(recorded=False)
        self.driver.delete_volume(self.target)
        self.assertEqual({self.source_name}, self.names())

    def test_d4_target_goes_whose_copied_uuid_is_of_another_cluster(
            self) -> None:
        elsewhere = 'default 11111111-2222-4333-8444-555555555555'
        self.record(self.source, {'provider_id': elsewhere})
        self.record(self.target, {'provider_id': elsewhere})
        self.create_target(recorded=False)
        self.driver.delete_volume(self.target)
        self.assertNotIn(self.target_name, self.names())

    def test_d4_target_that_was_renamed_goes(self) -> None:
        self.server.volume(self.source_name).name = 'elsewhere'
        self.create_target()
        self.server.volume(self.target_name).name = self.source_name
        self.driver.delete_volume(self.target)
        self.assertEqual(set(), self.names())

    @ddt.data(None, 'default')
    def test_d4_target_that_was_neither_created_nor_recorded_is_gone(
            self, provider_id) -> None:
        self.record(self.target, {'provider_id': provider_id})
        self.driver.delete_volume(self.target)
        self.assertEqual({self.source_name}, self.names())

    @ddt.data('volume-11111111-2222-4333-8444-555555555555', 'elsewhere')
    def test_d4_target_with_a_name_that_no_record_has_is_left(
            self, name) -> None:
        self.create_target()
        there = self.server.volume(self.target_name)
        there.name = name
        self.driver.delete_volume(self.target)
        self.assertEqual('Available', there.state)

    def test_d4_target_stays_that_is_the_volume_by_now(self) -> None:
        self.create_target()
        self.record(self.source, {'provider_id': self.target.provider_id,
                                  '_name_id': self.target.id})
        self.driver.delete_volume(self.target)
        self.assertIn(self.target_name, self.names())

    def test_d4_source_goes_after_the_swap_done_twice(self) -> None:
        self.create_target()
        self.record(self.source, {'provider_id': self.target.provider_id,
                                  '_name_id': self.target.id})
        self.record(self.target, {'provider_id': self.copied,
                                  '_name_id': self.target.id,
                                  'migration_status': 'deleting'})
        self.driver.delete_volume(self.target)
        self.assertEqual({self.target_name}, self.names())

    def test_d4_source_is_found_while_the_records_are_exchanged(
            self) -> None:
        self.create_target()
        self.record(self.source, {'_name_id': self.target.id})
        self.driver.delete_volume(self.source)
        self.assertEqual({self.target_name}, self.names())

    @ddt.data('default', None)
    def test_d4_source_of_an_older_release_is_recorded_before_the_copy(
            self, provider_id) -> None:
        self.record(self.source, {'provider_id': provider_id})
        self.driver.before_volume_copy(self.context, self.source, self.target)
        self.source.refresh()
        self.assertEqual(self.copied, self.source.provider_id)

    @ddt.data(str.lower, str.upper)
    def test_d4_rename_done_already_is_no_name_taken(self, spelling) -> None:
        self.server.volume(self.source_name).name = 'elsewhere'
        self.create_target()
        there = self.server.volume(self.target_name)
        there.uuid = 'abcdef00-0000-4000-8000-00000000000a'
        self.record(self.target, {'provider_id': 'default '
                                  + spelling(there.uuid)})
        for _ in range(2):
            self.assertEqual(
                {'_name_id': None}, self.driver.update_migrated_volume(
                    self.context, self.source, self.target, 'available'))
