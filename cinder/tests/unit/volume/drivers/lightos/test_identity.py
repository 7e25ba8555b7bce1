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

"""Which object on the cluster a record of Cinder means."""

from typing import Any, Optional

import ddt
import fixtures
from oslo_utils import timeutils

from cinder import exception as cinder_exception
from cinder import objects
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import identity

UUID = '11111111-2222-4333-8444-555555555555'


@ddt.ddt
class ProviderIdTestCase(base.LightOSTestCase):

    @ddt.data(('default ' + UUID, ('default', UUID)),
              ('blue', ('blue', None)),
              ('a.b-c_d ' + UUID.upper(), ('a.b-c_d', UUID.upper())))
    @ddt.unpack
    def test_o1_provider_id_is_read(self, text, expected):
        read = identity.ProviderId.parse(text)
        self.assertEqual((expected, text), (read, str(read)))

    @ddt.data(None, '', ' ', 'a/b', '.. ' + UUID, 'default not-a-uuid',
              'default %s x' % UUID, ' ' + UUID, '..', 'a b',
              'default ../../cluster')
    def test_o6_provider_id_that_makes_no_sense_counts_as_none(self, text):
        self.assertIsNone(identity.ProviderId.parse(text))

    def test_o1_project_alone_ends_without_a_space(self):
        self.assertEqual('blue', str(identity.ProviderId('blue')))


@ddt.ddt
class VolumeTestCase(base.LightOSTestCase):
    """Which volume a record means, seen by what is deleted or extended."""

    def setUp(self) -> None:
        super().setUp()
        self.server.projects.update({'blue': '', 'green': ''})
        self.volume = self.make_volume(launched_at=timeutils.utcnow())
        self.other = self.server.add_volume('volume-' + UUID)

    def in_project(self, project: str, **attributes: Any,
                   ) -> fake_lightos.Volume:
        return self.server.add_volume(self.volume.name, project=project,
                                      **attributes)

    def record_foreign(self, migration_status: Optional[str] = None) -> None:
        """As Cinder copies a volume's provider_id to another record."""
        self.volume.provider_id = 'default ' + self.other.uuid
        self.volume.migration_status = migration_status

    def delete(self) -> list[fake_lightos.Volume]:
        self.server.requests.clear()
        self.driver.delete_volume(self.volume)
        return self.server.volumes()

    def of_type(self, project: str) -> None:
        volume_type = self.make_type(lightos__project_name=project)
        self.volume.volume_type_id = volume_type.id
        self.volume.volume_type = volume_type

    def test_o1_uuid_is_looked_for_in_its_project(self):
        ours = self.in_project('blue')
        self.volume.provider_id = 'blue ' + ours.uuid
        self.assertEqual([self.other], self.delete())
        self.assertEqual('/api/v2/projects/blue/volumes/' + ours.uuid,
                         self.server.requests[0].path)

    def test_o1_uuid_that_is_gone_is_not_looked_for_by_name(self):
        named = self.in_project('default')
        self.volume.provider_id = 'default ' + UUID
        self.assertEqual([self.other, named], self.delete())
        self.assertEqual(['GetVolume'], self.server.operations())
        self.assertRaises(cinder_exception.VolumeNotFound,
                          self.driver.extend_volume, self.volume, 2)

    def test_o1_volume_of_an_older_name_template_is_ours(self):
        ours = self.server.add_volume('old-%s-x' % self.volume.id)
        self.volume.provider_id = 'default ' + ours.uuid
        self.assertEqual([self.other], self.delete())

    def test_o1_name_goes_by_name_id(self):
        self.volume._name_id = UUID
        self.other.name = 'old-' + UUID
        self.volume.provider_id = 'default ' + self.other.uuid
        self.assertEqual([], self.delete())

    def test_o1_name_that_the_reply_lacks_proves_nothing(self):
        reply = self.other.reply()
        del reply['name']
        self.record_foreign()
        self.server.fault('GetVolume', body=reply)
        self.assertEqual([], self.delete())

    @ddt.data({'migration_status': 'migrating'}, {'launched_at': None})
    def test_o2_volume_without_a_name_is_another_records(self, values):
        reply = self.other.reply()
        del reply['name']
        self.record_foreign()
        self.volume.update(values)
        self.server.fault('GetVolume', body=reply)
        self.assertEqual([self.other], self.delete())

    @ddt.data(None, 'migrating', 'completing', 'deleting', 'target:' + UUID)
    def test_o2_volume_of_another_record_survives(self, migration_status):
        self.record_foreign(migration_status)
        self.assertEqual([self.other], self.delete())
        self.assertEqual('Available', self.other.state)

    def test_o2_own_volume_is_deleted_in_its_place(self):
        self.in_project('default')
        self.record_foreign()
        self.assertEqual([self.other], self.delete())

    @ddt.data('migrating', 'completing', 'deleting', 'target:' + UUID)
    def test_o2_nothing_found_by_name_is_deleted_while_migrating(self,
                                                                 status):
        ours = self.in_project('default')
        self.record_foreign(status)
        self.assertEqual([self.other, ours], self.delete())
        self.assertNotIn('DeleteVolume', self.server.operations())

    @ddt.data(str.upper, str.lower)
    def test_o2_own_uuid_is_deleted_while_migrating(self, spelling):
        ours = self.in_project('default', uuid=spelling(
            'abcdef00-0000-4000-8000-00000000000a'))
        self.volume.provider_id = 'default ' + ours.uuid.swapcase()
        self.volume.migration_status = 'deleting'
        self.assertEqual([self.other], self.delete())

    def test_o3_volume_without_uuid_is_deleted_while_migrating(self):
        self.in_project('default')
        self.volume.migration_status = 'deleting'
        self.assertEqual([self.other], self.delete())

    def test_o2_own_name_is_looked_for_in_the_project_of_the_type(self):
        self.of_type('blue')
        self.in_project('blue')
        self.record_foreign()
        self.assertEqual([self.other], self.delete())

    def test_o2_so_it_is_where_the_others_is_gone(self):
        self.of_type('blue')
        self.in_project('blue')
        self.volume.update({'provider_id': 'default ' + UUID,
                            'launched_at': None})
        self.assertEqual([self.other], self.delete())

    def test_o2_own_name_is_looked_for_in_the_recorded_project(self):
        self.other.project = 'green'
        ours = self.in_project('green')
        self.volume.provider_id = 'green ' + self.other.uuid
        self.driver.extend_volume(self.volume, 2)
        self.assertEqual((1 << 30, 2 << 30), (self.other.size, ours.size))

    def test_o2_volume_of_another_record_is_not_extended(self):
        ours = self.in_project('default')
        self.record_foreign()
        self.driver.extend_volume(self.volume, 2)
        self.assertEqual((1 << 30, 2 << 30), (self.other.size, ours.size))

    def test_o2_volume_of_another_record_is_not_attached(self):
        ours = self.in_project('default')
        self.record_foreign()
        connector = self.host_connector()
        data = self.driver.initialize_connection(self.volume, connector)
        self.assertEqual(ours.uuid, data['data']['uuid'])
        self.assertEqual((('ALLOW_NONE',), (connector['nqn'],)),
                         (self.other.acl, ours.acl))

    def test_o2_absent_own_volume_is_not_found(self):
        self.record_foreign()
        self.assertRaises(cinder_exception.VolumeNotFound,
                          self.driver.extend_volume, self.volume, 2)
        self.assertRaises(
            cinder_exception.VolumeNotFound,
            self.driver.initialize_connection, self.volume,
            self.host_connector())

    def test_o2_clone_is_not_of_the_volume_of_another_record(self):
        self.in_project('default', data='ours')
        self.record_foreign()
        clone = self.make_volume()
        self.driver.create_cloned_volume(clone, self.volume)
        self.assertEqual('ours', self.server.volume(clone.name).data)

    @ddt.data(('blue', 'blue'), (None, 'default'))
    @ddt.unpack
    def test_o3_no_uuid_means_the_name_in_the_project(self, recorded, where):
        ours = self.in_project(where)
        elsewhere = self.in_project('green')
        self.volume.provider_id = recorded
        self.assertEqual([self.other, elsewhere], self.delete())
        self.assertNotIn(ours, self.server.volumes())

    def test_o3_recorded_project_is_the_only_one(self):
        elsewhere = self.in_project('default')
        self.of_type('green')
        self.volume.provider_id = 'blue'
        self.assertEqual([self.other, elsewhere], self.delete())
        self.assertEqual(['ListVolumes'], self.server.operations())

    def test_o3_project_of_the_type_goes_before_default(self):
        self.in_project('blue')
        elsewhere = self.in_project('default')
        self.of_type('blue')
        self.assertEqual([self.other, elsewhere], self.delete())

    def test_o3_default_is_looked_in_at_last(self):
        self.in_project('default')
        self.of_type('blue')
        self.assertEqual([self.other], self.delete())

    def test_o3_default_that_the_token_does_not_open_is_skipped(self):
        self.of_type('blue')
        self.server.fault(
            'ListVolumes', status=403, times=None,
            when=lambda request: '/projects/default/' in request.path)
        self.assertEqual([self.other], self.delete())

    def test_o2_closed_project_between_two_others_is_skipped(self):
        self.of_type('blue')
        self.other.project = 'green'
        ours = self.in_project('default')
        self.volume.provider_id = 'green ' + self.other.uuid
        self.server.fault(
            'ListVolumes', status=403, times=None,
            when=lambda request: '/projects/green/' in request.path)
        self.driver.extend_volume(self.volume, 2)
        self.assertEqual(2 << 30, ours.size)

    def test_o3_project_that_must_be_looked_in_is_not_skipped(self):
        self.of_type('blue')
        self.server.fault(
            'ListVolumes', status=403, times=None,
            when=lambda request: '/projects/blue/' in request.path)
        error = self.assertRaises(exception.LightOSRefused, self.delete)
        self.assert_tells(error, self.volume.id, self.volume.name,
                          'project blue', 'HTTP 403')

    @ddt.data(401, 400)
    def test_o3_only_a_closed_project_is_skipped(self, status):
        self.of_type('blue')
        self.server.fault(
            'ListVolumes', status=status, times=None,
            when=lambda request: '/projects/default/' in request.path)
        self.assertRaises(exception.LightOSRefused, self.delete)

    def test_o3_project_that_is_no_more_has_no_volumes(self):
        self.volume.provider_id = 'gone'
        self.assertEqual([self.other], self.delete())

    def test_o3_template_names_the_volume(self):
        self.override_config('volume_name_template', 'old-%s')
        ours = self.server.add_volume('old-' + self.volume.id)
        self.assertEqual([self.other], self.delete())
        self.assertNotIn(ours, self.server.volumes())

    def test_o3_extended_volume_of_an_older_release_is_deleted(self):
        self.in_project('default', size=5 << 30, replicas=1)
        self.assertEqual([self.other], self.delete())

    @ddt.data('a/b ' + UUID, 'default ../../cluster', 'default nonsense')
    def test_o6_bad_provider_id_is_in_no_request(self, provider_id):
        self.in_project('default')
        self.volume.provider_id = provider_id
        self.assertEqual([self.other], self.delete())
        self.assertEqual('/api/v2/projects/default/volumes',
                         self.server.requests[0].path)

    @ddt.data('../x', '', 'a b')
    def test_o6_bad_project_of_the_type_keeps_no_volume(self, project):
        self.of_type(project)
        self.in_project('default')
        self.assertEqual([self.other], self.delete())

    def test_o6_type_that_is_gone_keeps_no_volume(self):
        self.in_project('default')
        self.volume = objects.Volume(
            self.context, id=self.volume.id, _name_id=None, provider_id=None,
            migration_status=None, status='deleting', volume_type_id=UUID,
            launched_at=timeutils.utcnow(), size=1)
        self.assertEqual([self.other], self.delete())

    def test_o6_names_are_quoted(self):
        self.override_config('volume_name_template', 'a&b=%s/..')
        self.assertRaises(exception.LightOSRefused, self.delete)
        (request,) = self.server.requests
        self.assertEqual({'name': 'a&b=%s/..' % self.volume.id},
                         request.query)


@ddt.ddt
class NameAloneTestCase(base.LightOSTestCase):
    """What is deleted for a record of which only the name was found."""

    OTHERWISE = ({'size': 2 << 30}, {'replicas': 2}, {'compression': True},
                 {'source_name': 'snapshot-' + UUID},
                 {'source_uuid': UUID, 'source_name': 'for_clone_%s_x' % UUID})

    def setUp(self) -> None:
        super().setUp()
        self.server.projects['blue'] = ''
        self.log = self.useFixture(fixtures.FakeLogger())

    def named(self, volume: objects.Volume,
              **attributes: Any) -> fake_lightos.Volume:
        return self.server.add_volume(volume.name, **attributes)

    def assert_survives(self, volume: objects.Volume,
                        foreign: fake_lightos.Volume) -> None:
        self.driver.delete_volume(volume)
        self.assertIn(foreign, self.server.volumes())
        self.assertNotIn('DeleteVolume', self.server.operations())
        for word in (volume.id, foreign.uuid, foreign.project):
            self.assertIn(word, self.log.output)

    def assert_deleted(self, volume: objects.Volume) -> None:
        self.driver.delete_volume(volume)
        self.assertEqual([], self.server.volumes())

    @ddt.data(*OTHERWISE)
    def test_o5_volume_that_kept_a_create_from_its_name_survives(self, how):
        volume = self.make_volume()
        foreign = self.named(volume, **how)
        self.assertRaises(exception.LightOSNotOurs,
                          self.driver.create_volume, volume)
        self.assert_survives(volume, foreign)

    @ddt.data(*OTHERWISE)
    def test_o5_so_it_does_after_a_restart_stamped_the_project(self, how):
        volume = self.make_volume()
        foreign = self.named(volume, **how)
        (update,), _none = self.driver.update_provider_info([volume], [])
        self.record(volume, {'provider_id': update['provider_id']})
        self.driver.delete_volume(volume)
        self.assertIn(foreign, self.server.volumes())

    @ddt.data(*OTHERWISE)
    def test_o5_so_it_does_with_the_uuid_of_another_record(self, how):
        other = self.server.add_volume('volume-' + UUID)
        volume = self.make_volume(provider_id='default ' + other.uuid,
                                  launched_at=timeutils.utcnow())
        self.assert_survives(volume, self.named(volume, **how))

    def test_o5_so_it_does_where_the_type_is_broken(self):
        volume = self.make_volume(self.make_type(lightos__num_replicas='9'))
        self.assert_survives(volume, self.named(volume))

    def test_o5_so_it_does_where_the_type_is_gone(self):
        volume = self.make_volume()
        foreign = self.named(volume)
        self.assert_survives(objects.Volume(
            self.context, id=volume.id, _name_id=None, provider_id=None,
            migration_status=None, status='deleting', volume_type_id=UUID,
            launched_at=None, size=1), foreign)

    def test_o5_so_it_does_in_a_project_that_create_does_not_use(self):
        volume = self.make_volume(self.make_type(
            lightos__project_name='blue'))
        self.assert_survives(volume, self.named(volume))

    def test_e4_volume_of_a_create_that_was_not_answered_is_deleted(self):
        volume = self.make_volume(size=2)
        self.server.fault('CreateVolume', lose_reply=True)
        lost = self.server.fault('*', refused=True, times=None, skip=1)
        self.assertRaises(exception.LightOSError, self.driver.create_volume,
                          volume)
        lost.times = 0
        self.clock.advance(100)
        self.assertEqual(1, len(self.server.volumes()))
        self.assert_deleted(volume)

    def test_o2_own_volume_is_deleted_though_the_others_is_gone(self):
        volume = self.make_volume(provider_id='default ' + UUID)
        self.named(volume)
        self.assert_deleted(volume)

    def test_o2_volume_that_is_gone_with_the_others_is_deleted(self):
        volume = self.make_volume(provider_id='default ' + UUID)
        self.assert_deleted(volume)

    def test_e4_field_that_the_reply_lacks_is_no_difference(self):
        volume = self.make_volume()
        reply = self.named(volume).reply()
        for field in ('size', 'replicaCount', 'compression'):
            del reply[field]
        self.server.fault('ListVolumes', body={'volumes': [reply]})
        self.assert_deleted(volume)

    def test_e4_volume_made_from_the_snapshot_is_deleted(self):
        volume = self.make_volume(snapshot_id=UUID)
        self.named(volume, source_name='snapshot-' + UUID)
        self.assert_deleted(volume)

    def test_o5_volume_made_from_another_snapshot_survives(self):
        volume = self.make_volume(snapshot_id=UUID)
        self.assert_survives(volume, self.named(
            volume, source_name='snapshot-of-somebody'))

    def test_o5_volume_made_from_another_clone_survives(self):
        volume = self.make_volume(source_volid=UUID)
        self.assert_survives(volume, self.named(
            volume, source_name='for_clone_%s_x' % UUID))

    @ddt.data({'source_volid': UUID}, {})
    def test_v3_clone_is_deleted_whatever_its_size(self, source):
        volume = self.make_volume(**source)
        self.named(volume, size=7 << 30,
                   source_name='for_clone_%s_x' % volume.id)
        self.assert_deleted(volume)


class SnapshotTestCase(base.LightOSTestCase):

    def snapshot(self, **values: Any) -> objects.Snapshot:
        return self.make_snapshot(self.make_volume(**values))

    def test_o4_snapshot_is_in_the_project_of_its_volume(self):
        snapshot = self.snapshot(provider_id='blue ' + UUID)
        self.assertEqual(
            identity.SnapshotIdentity(
                snapshot.id, 'snapshot-' + snapshot.id, 'blue', None),
            identity.of_snapshot(snapshot))

    def test_o4_snapshot_with_a_provider_id_of_its_own(self):
        snapshot = self.snapshot(provider_id='blue ' + UUID)
        snapshot.provider_id = 'green ' + UUID
        sought = identity.of_snapshot(snapshot)
        self.assertEqual(('green', UUID), (sought.project, sought.uuid))

    def test_o4_project_alone_in_a_snapshot_is_not_enough(self):
        snapshot = self.snapshot(provider_id='blue ' + UUID)
        snapshot.provider_id = 'green'
        sought = identity.of_snapshot(snapshot)
        self.assertEqual(('blue', None), (sought.project, sought.uuid))
