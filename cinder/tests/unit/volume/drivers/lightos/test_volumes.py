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

"""Volumes on the cluster: found, made, changed and deleted until seen."""

import logging
import math
from typing import Any, Optional

import ddt
import fixtures
from oslo_utils import units

from cinder import exception as cinder_exception
from cinder import objects
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import waiting
from cinder.volume import qos_specs

ALL_CLOSED = ('ALLOW_NONE',)
# Fields of a volume without which a reply still tells enough.
MAY_LACK = ('size', 'replicaCount', 'compression', 'sourceSnapshotUUID',
            'sourceSnapshotName', 'acl', 'IPAcl', 'name', 'projectName')
SOMEBODY_ELSE = '0000000e-1111-4222-8333-444444444444'
# What any operation may take: three answers and ten seconds.
LONGEST = 100
FINAL = (401, 403, 404, 501)
PASSING = ((409, None), (412, None), (400, 9), (429, None), (500, None),
           (502, None), (503, None), (504, None))


@ddt.ddt
class CreateTestCase(base.LightOSTestCase):

    def existing(self, volume: objects.Volume,
                 **attributes: Any) -> fake_lightos.Volume:
        """What an earlier try to create the volume may have left."""
        return self.server.add_volume(volume.name, **{
            'ip_acl': ALL_CLOSED, **attributes})

    def create(self, volume: Optional[objects.Volume] = None,
               ) -> fake_lightos.Volume:
        """Create a volume and return it, as it is right then."""
        volume = volume or self.make_volume()
        provider_id = self.driver.create_volume(volume)['provider_id']
        project, uuid = provider_id.split()
        (found,) = (each for each in self.server.volumes()
                    if each.uuid == uuid)
        self.assertEqual((volume.name, project),
                         (found.name, found.project))
        return found

    def refusal(self, volume: objects.Volume) -> exception.LightOSError:
        return self.assertRaises(exception.LightOSError,
                                 self.driver.create_volume, volume)

    def test_create_asks_for_what_the_record_says(self):
        volume = self.make_volume(size=3)
        self.driver.create_volume(volume)
        self.assertEqual(
            {'name': 'volume-' + volume.id, 'size': '3 gib',
             'replicaCount': 3, 'compression': 'False',
             'acl': {'values': ['ALLOW_NONE']},
             'IPAcl': {'values': ['ALLOW_NONE']},
             'labels': [
                 {'key': 'cinder_volume_id', 'value': volume.id},
                 {'key': 'openstack_project_id', 'value': volume.project_id},
                 {'key': 'cinder_volume_type',
                  'value': volume.volume_type_id},
                 {'key': 'cinder_backend', 'value': 'controller_lightos'}]},
            self.server.requests[0].body)

    def test_create_takes_two_requests(self):
        self.create()
        self.assertEqual(['CreateVolume', 'GetVolume'],
                         self.server.operations(probes=True))

    def test_create_is_named_after_name_id(self):
        volume = self.make_volume(_name_id='00000000-1111-4222-8333-'
                                           '444444444444')
        self.assertEqual('volume-' + volume.name_id,
                         self.create(volume).name)

    def test_o1_create_records_project_and_uuid(self):
        self.server.projects['blue'] = ''
        volume = self.make_volume(self.make_type(
            lightos__project_name='blue'))
        update = self.driver.create_volume(volume)
        self.assertEqual(
            {'provider_id': 'blue '
                            + self.server.volume(volume.name).uuid}, update)

    @ddt.data('Available', 'Migrating')
    def test_e3_create_returns_when_in_service(self, state):
        self.server.work_time['CreateVolume'] = 40
        self.server.fault('CreateVolume', ends=state)
        self.assertEqual(state, self.create().state)

    def test_e3_create_that_never_ends_is_an_error(self):
        self.server.work_time['CreateVolume'] = math.inf
        volume = self.make_volume()
        began = self.clock.monotonic()
        error = self.assertRaises(exception.LightOSNotSeen,
                                  self.driver.create_volume, volume)
        self.assertLessEqual(self.clock.monotonic() - began, LONGEST + 1)
        self.assert_tells(
            error, 'create volume ' + volume.id, 'project default',
            self.server.volume(volume.name).uuid, 'is Creating')

    def test_v1_volume_that_is_not_as_asked_in_time_is_deleted(self):
        volume = self.make_volume(size=2)
        self.server.fault('CreateVolume', after=lambda _request: setattr(
            self.server.volume(volume.name), 'size', units.Gi))
        began = self.clock.monotonic()
        error = self.assertRaises(exception.LightOSNotSeen,
                                  self.driver.create_volume, volume)
        self.assert_tells(error, volume.id, '1073741824 bytes')
        self.assertEqual([], self.server.volumes())
        self.assertIn('If-Match', self.server.requests[-1].headers)
        self.assertLessEqual(self.clock.monotonic() - began, LONGEST + 1)

    def test_v1_deletion_of_a_volume_that_is_late_is_asked_for_once(self):
        self.server.work_time['CreateVolume'] = math.inf
        volume = self.make_volume()
        self.assertRaises(exception.LightOSNotSeen,
                          self.driver.create_volume, volume)
        self.assertEqual(1, self.server.operations().count('DeleteVolume'))

    def test_v1_late_volume_that_cannot_be_deleted_hides_no_error(self):
        self.server.work_time['CreateVolume'] = math.inf
        self.server.fault('DeleteVolume', status=403, times=None)
        volume = self.make_volume()
        error = self.assertRaises(exception.LightOSNotSeen,
                                  self.driver.create_volume, volume)
        self.assert_tells(error, volume.id, 'is Creating')

    def test_v1_adopted_volume_that_is_late_is_never_deleted(self):
        volume = self.make_volume()
        self.existing(volume, state='Creating')
        self.assertRaises(exception.LightOSNotSeen,
                          self.driver.create_volume, volume)
        self.assertNotIn('DeleteVolume', self.server.operations())

    def test_e3_create_waits_for_a_volume_not_shown_yet(self):
        self.server.fault('GetVolume', status=404, times=3)
        self.assertEqual('Available', self.create().state)

    def test_e3_create_waits_for_the_size_asked_for(self):
        volume = self.make_volume(size=2)
        self.server.work_time['CreateVolume'] = 30

        def small_at_first(request: fake_lightos.Request) -> None:
            made = self.server.volume(volume.name)
            made.size, made.state = units.Gi, 'Available'
            made.then = {'size': 2 * units.Gi}

        self.server.fault('CreateVolume', after=small_at_first)
        self.assertEqual(2 * units.Gi, self.create(volume).size)

    def test_v1_new_volume_is_closed(self):
        made = self.create()
        self.assertEqual((ALL_CLOSED, ALL_CLOSED), (made.acl, made.ip_acl))

    def test_v1_new_volume_without_use_of_ip_acls(self):
        self.configure(lightos_use_ipacl=False)
        made = self.create()
        self.assertEqual((ALL_CLOSED, ('ALLOW_ANY',)),
                         (made.acl, made.ip_acl))
        self.assertEqual(['CreateVolume', 'GetVolume'],
                         self.server.operations())

    def test_a9_create_on_a_cluster_without_ip_acls(self):
        self.server.ip_acl = False
        self.assertEqual(ALL_CLOSED, self.create().acl)
        self.assertEqual(['CreateVolume', 'GetVolume'],
                         self.server.operations())

    def test_v1_volume_without_a_type(self):
        volume = self.make_volume()
        volume.volume_type_id = None
        self.assertEqual('Available', self.create(volume).state)

    @ddt.data('Failed', 'Deleting', 'Rollback', 'Unknown')
    def test_v1_volume_that_failed_is_reported_and_deleted(self, state):
        self.server.fault('CreateVolume', ends=state)
        volume = self.make_volume()
        error = self.refusal(volume)
        uuid = self.server.requests[-1].path.rpartition('/')[2]
        self.assert_tells(error, 'create volume ' + volume.id,
                          'project default', uuid, 'is ' + state)
        self.assertEqual(['CreateVolume', 'GetVolume', 'DeleteVolume'],
                         self.server.operations())
        self.assertIn('If-Match', self.server.requests[-1].headers)

    def test_v1_failed_volume_that_cannot_be_deleted_is_reported(self):
        self.server.fault('CreateVolume', ends='Failed')
        self.server.fault('DeleteVolume', status=403, times=None)
        self.assert_tells(self.refusal(self.make_volume()), 'is Failed')

    def test_v1_updating_is_no_failure(self):
        volume = self.make_volume()
        self.server.fault('CreateVolume', ends='Updating')
        self.server.fault('GetVolume', skip=2, before=lambda request: setattr(
            self.server.volume(volume.name), 'state', 'Available'))
        self.assertEqual('Available', self.create(volume).state)

    def test_v1_adopted_volume_is_never_deleted(self):
        volume = self.make_volume()
        husk = self.existing(volume, state='Creating',
                             due=self.clock.monotonic() + 20,
                             then={'state': 'Failed'})
        error = self.refusal(volume)
        self.assert_tells(error, husk.uuid, 'is Failed')
        self.assertNotIn('DeleteVolume', self.server.operations())

    @ddt.data({'lose_reply': True}, {'status': 500}, {'status': 502},
              {'status': 504}, {'status': 503, 'html': True}, {'half': True},
              {'html': True}, {'hang': True}, {'body': {'state': 'Creating'}},
              {'body': {'UUID': 5}}, {'body': []}, {'status': 302})
    def test_e4_create_of_unknown_outcome_is_looked_up(self, fault):
        self.server.fault('CreateVolume', executed=True, **fault)
        made = self.create()
        self.assertEqual([made], self.server.volumes())
        self.assertEqual(['CreateVolume', 'ListVolumes', 'GetVolume'],
                         self.server.operations())

    @ddt.data({'lose_request': True}, {'status': 500}, {'refused': True},
              {'status': 503}, {'status': 429}, {'status': 409, 'code': 10})
    def test_e2_create_that_did_not_happen_is_asked_again(self, fault):
        self.server.fault('CreateVolume', **fault)
        made = self.create()
        self.assertEqual([made], self.server.volumes())

    def test_e2_create_waits_as_long_as_the_cluster_asks(self):
        self.server.fault('CreateVolume', status=429,
                          headers={'Retry-After': '20'})
        self.create()
        self.assertEqual([20.0], self.clock.sleeps)

    @ddt.data(*FINAL)
    def test_e2_create_refused_for_good_is_reported_at_once(self, status):
        self.server.fault('CreateVolume', status=status, message='no way',
                          times=None)
        volume = self.make_volume()
        error = self.refusal(volume)
        self.assert_tells(error, 'create volume ' + volume.id, volume.name,
                          'project default', 'HTTP %d' % status, 'no way')
        self.assertEqual((['CreateVolume'], []),
                         (self.server.operations(), self.clock.sleeps))

    def test_e2_trouble_without_end_is_an_error(self):
        self.server.fault('CreateVolume', status=503, message='overloaded',
                          times=None)
        volume = self.make_volume()
        error = self.assertRaises(exception.LightOSNotSeen,
                                  self.driver.create_volume, volume)
        self.assert_tells(error, volume.id, 'HTTP 503', 'overloaded')

    def test_e4_create_that_is_repeated_finds_its_own_volume(self):
        volume = self.make_volume()
        first = self.create(volume)
        self.assertIs(first, self.create(volume))

    def test_e4_adopted_volume_is_waited_for(self):
        volume = self.make_volume()
        self.existing(volume, state='Creating',
                      due=self.clock.monotonic() + 20,
                      then={'state': 'Available'})
        self.assertEqual('Available', self.create(volume).state)

    @ddt.data({'size': 2 * units.Gi}, {'replicas': 2}, {'compression': True},
              {'source_uuid': '11111111-2222-4333-8444-555555555555'},
              {'source_name': 'snapshot-x'})
    def test_e4_name_taken_by_something_else(self, difference):
        volume = self.make_volume()
        other = self.existing(volume, **difference)
        before = other.etag
        error = self.assertRaises(exception.LightOSNotOurs,
                                  self.driver.create_volume, volume)
        self.assert_tells(error, 'create volume ' + volume.id, volume.name,
                          'project default', other.uuid)
        self.assertEqual((before, 'Available'), (other.etag, other.state))
        self.assertEqual(['CreateVolume', 'ListVolumes'],
                         self.server.operations())

    @ddt.data(({'size': 2 * units.Gi}, '2147483648 bytes'),
              ({'replicas': 2}, '2 replicas'),
              ({'compression': True}, 'it is compressed'),
              ({'source_name': 'snapshot-x'}, 'made from a snapshot'))
    @ddt.unpack
    def test_e4_name_taken_says_in_what_it_differs(self, difference, words):
        volume = self.make_volume()
        self.existing(volume, **difference)
        self.assert_tells(self.refusal(volume), words)

    def test_e4_compression_that_is_missing_is_told(self):
        volume = self.make_volume(self.make_type(compression='<is> True'))
        self.existing(volume)
        self.assert_tells(self.refusal(volume), 'it is not compressed')

    @ddt.data(*MAY_LACK)
    def test_e4_field_that_the_reply_lacks_is_no_difference(self, field):
        volume = self.make_volume()
        mine = self.existing(volume)
        reply = mine.reply()
        del reply[field]
        self.server.fault('ListVolumes', body={'volumes': [reply]})
        self.server.fault('GetVolume', body=reply)
        self.assertEqual(mine, self.create(volume))

    @ddt.data(*MAY_LACK)
    def test_e4_field_that_no_reply_ever_has_is_no_difference(self, field):
        volume = self.make_volume()
        made = self.existing(volume)
        reply = made.reply()
        del reply[field]
        self.server.fault('CreateVolume', body=reply)
        self.server.fault('GetVolume', body=reply, times=None)
        self.assertEqual(made, self.create(volume))
        self.assertEqual(['CreateVolume', 'GetVolume'],
                         self.server.operations())

    @ddt.data('true', 'True', 'ENABLED', 'enable')
    def test_d2_compression_is_understood_in_any_spelling(self, spelling):
        volume = self.make_volume(self.make_type(compression='<is> True'))
        mine = self.existing(volume, compression=True)
        self.server.fault('GetVolume', body={
            **mine.reply(), 'compression': spelling})
        self.assertEqual(mine, self.create(volume))

    @ddt.data('1073741824', '1073741824b', '1 gib', '1GiB', 1073741824)
    def test_d2_size_is_understood_in_any_spelling(self, spelling):
        volume = self.make_volume()
        mine = self.existing(volume)
        self.server.fault('GetVolume', body={
            **mine.reply(), 'size': spelling})
        self.assertEqual(mine, self.create(volume))

    @ddt.data({'acl': ('nqn.other',)}, {'acl': ('ALLOW_ANY',)},
              {'ip_acl': ('192.0.2.1',)}, {'ip_acl': ('ALLOW_ANY',)})
    def test_v1_adopted_volume_is_closed(self, lists):
        volume = self.make_volume()
        self.existing(volume, **lists)
        made = self.create(volume)
        self.assertEqual((ALL_CLOSED, ALL_CLOSED), (made.acl, made.ip_acl))

    def test_v1_adopted_volume_is_closed_on_a_cluster_without_ip_acls(self):
        self.server.ip_acl = False
        volume = self.make_volume()
        self.existing(volume, acl=('nqn.other',))
        self.assertEqual(ALL_CLOSED, self.create(volume).acl)
        self.assertNotIn('IPAcl', self.server.requests[-2].body)

    def test_v1_adopted_volume_of_unknown_hosts_is_closed(self):
        volume = self.make_volume()
        reply = self.existing(volume, ip_acl=('192.0.2.1',)).reply()
        del reply['acl']
        self.server.fault('GetVolume', body=reply)
        self.assertEqual(ALL_CLOSED, self.create(volume).ip_acl)

    def test_v1_adopted_volume_of_hosts_that_a_reply_lacks_is_closed(self):
        volume = self.make_volume()
        reply = self.existing(volume, acl=('nqn.other',)).reply()
        del reply['acl']
        self.server.fault('GetVolume', body=reply)
        self.assertEqual(ALL_CLOSED, self.create(volume).acl)

    def test_v1_adopted_volume_that_goes_again_is_an_error(self):
        volume = self.make_volume()
        self.existing(volume, acl=('nqn.other',))
        self.server.fault('GetVolume', skip=1, status=404)
        self.assert_tells(self.refusal(volume), volume.id, 'gone')

    def test_e8_create_over_a_failed_husk(self):
        volume = self.make_volume()
        husk = self.existing(volume, state='Failed')
        self.server.fault('CreateVolume', lose_reply=True)
        self.assertIsNot(husk, self.create(volume))

    def test_e8_create_whose_lost_work_failed_is_asked_again(self):
        self.server.fault('CreateVolume', lose_reply=True, ends='Failed')
        made = self.create()
        self.assertEqual(['Failed', 'Available'],
                         [each.state for each in self.server.volumes()])
        self.assertEqual('Available', made.state)

    def test_e8_create_waits_until_a_name_is_free(self):
        volume = self.make_volume()
        going = self.existing(volume, state='Deleting',
                              due=self.clock.monotonic() + 30,
                              then={'state': 'Deleted'})
        made = self.create(volume)
        self.assertIsNot(going, made)
        self.assertEqual('Available', made.state)

    def test_o6_bad_project_is_refused_before_any_call(self):
        volume = self.make_volume(self.make_type(
            lightos__project_name='../admin'))
        self.assertRaises(cinder_exception.InvalidVolumeType,
                          self.driver.create_volume, volume)
        self.assertEqual([], self.server.requests)


@ddt.ddt
class DeleteTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.make_volume(create=True)
        self.there = self.server.volume(self.volume.name)
        self.server.requests.clear()

    def assert_deleted(self) -> None:
        self.assertIsNone(self.server.volume(self.there.uuid))

    def test_delete_takes_three_requests(self):
        self.driver.delete_volume(self.volume)
        self.assert_deleted()
        self.assertEqual(['GetVolume', 'DeleteVolume', 'GetVolume'],
                         self.server.operations(probes=True))

    def test_v4_volume_is_deleted_whose_qos_specs_have_become_bad(self):
        volume_type = self.make_qos_type({'read_iops': '1024'})
        volume = self.make_volume(volume_type, create=True)
        qos_specs.update(self.context, volume_type.qos_specs_id,
                         {'lightos:read_iops': '1000'})
        self.driver.delete_volume(volume)
        self.assertIsNone(self.server.volume(volume.name))

    def test_o1_volume_that_is_gone_is_not_looked_for_by_name(self):
        self.driver.delete_volume(self.volume)
        other = self.server.add_volume(self.volume.name)
        self.server.requests.clear()
        self.driver.delete_volume(self.volume)
        self.assertEqual(['GetVolume'], self.server.operations())
        self.assertEqual('Available', other.state)

    @ddt.data('Deleting', 'Deleted', 'Failed')
    def test_v4_volume_on_its_way_out_is_success(self, state):
        self.server.fault('GetVolume', body={
            **self.there.reply(), 'state': state})
        self.driver.delete_volume(self.volume)
        self.assertEqual(['GetVolume'], self.server.operations())

    def test_v4_returns_when_deleting_is_seen(self):
        self.server.work_time['DeleteVolume'] = 1000
        self.driver.delete_volume(self.volume)
        self.assertEqual('Deleting', self.there.state)
        self.assertEqual([], self.clock.sleeps)

    def test_v4_volume_that_fails_while_it_is_deleted_is_success(self):
        self.server.fault('DeleteVolume', ends='Failed')
        self.driver.delete_volume(self.volume)

    @ddt.data((400, 3), (401, None), (403, None), (501, None))
    @ddt.unpack
    def test_v4_refused_is_an_error(self, status, code):
        self.server.fault('DeleteVolume', status=status, code=code,
                          message='no way', times=None)
        error = self.assertRaises(exception.LightOSRefused,
                                  self.driver.delete_volume, self.volume)
        self.assert_tells(error, 'delete volume ' + self.volume.id,
                          self.there.uuid, 'project default',
                          'HTTP %d' % status, 'no way')
        self.assertEqual('Available', self.there.state)
        self.assertEqual(1, self.server.operations().count('DeleteVolume'))

    @ddt.data(401, 403, 400)
    def test_v4_volume_that_may_not_be_read_is_no_success(self, status):
        self.server.fault('GetVolume', status=status, times=None)
        error = self.assertRaises(exception.LightOSRefused,
                                  self.driver.delete_volume, self.volume)
        self.assert_tells(error, self.volume.id, 'HTTP %d' % status)

    @ddt.data('GetVolume', 'DeleteVolume')
    def test_v4_trouble_without_end_is_no_success(self, operation):
        for status in (500, 503):
            self.server.fault(operation, status=status, times=None,
                              message='disk on fire')
            error = self.assertRaises(exception.LightOSNotSeen,
                                      self.driver.delete_volume, self.volume)
            self.assert_tells(error, self.volume.id, self.there.uuid,
                              'HTTP 500', 'disk on fire')
        self.assertEqual('Available', self.there.state)

    @ddt.data(*PASSING, (404, None))
    @ddt.unpack
    def test_e2_delete_waits_out_passing_trouble(self, status, code):
        self.server.fault('DeleteVolume', status=status, code=code, times=3)
        self.driver.delete_volume(self.volume)
        self.assert_deleted()

    def test_e2_delete_waits_as_long_as_the_cluster_asks(self):
        self.server.fault('DeleteVolume', status=429,
                          headers={'Retry-After': '20'})
        self.driver.delete_volume(self.volume)
        self.assertEqual([20.0], self.clock.sleeps)

    @ddt.data({'status': 500}, {'status': 404}, {'lose_reply': True},
              {'status': 409}, {'hang': True})
    def test_v4_delete_is_looked_at_whatever_was_answered(self, fault):
        self.server.fault('DeleteVolume', executed=True, **fault)
        self.driver.delete_volume(self.volume)
        self.assert_deleted()
        self.assertEqual(1, self.server.operations().count('DeleteVolume'))

    def test_o5_delete_carries_the_etag_that_was_read(self):
        etag = self.there.etag
        self.driver.delete_volume(self.volume)
        self.assertEqual(etag, self.server.requests[1].headers['If-Match'])

    @ddt.data(400, 412)
    def test_o5_volume_that_changed_is_read_again(self, status):
        self.server.etag_mismatch = status
        self.server.fault('DeleteVolume', before=lambda request: setattr(
            self.there, 'acl', ('nqn.other',)))
        self.driver.delete_volume(self.volume)
        self.assert_deleted()

    def test_o5_volume_that_became_anothers_is_not_deleted(self):
        self.server.fault('DeleteVolume', before=lambda request: setattr(
            self.there, 'name', 'volume-' + SOMEBODY_ELSE))
        self.driver.delete_volume(self.volume)
        self.assertEqual('Available', self.there.state)

    @ddt.data((400, 3), (400, 9), (412, None))
    @ddt.unpack
    def test_v4_held_by_snapshots_is_busy(self, status, code):
        log = self.useFixture(fixtures.FakeLogger(level=logging.ERROR))
        self.server.fault('DeleteVolume', status=status, code=code,
                          message='Volume has Snapshots', times=None)
        error = self.assertRaises(cinder_exception.VolumeIsBusy,
                                  self.driver.delete_volume, self.volume)
        # Cinder's manager drops the text of the exception.
        for text in (str(error), log.output):
            for word in ('delete volume ' + self.volume.id, self.there.uuid,
                         'project default', 'HTTP %d' % status,
                         'Volume has Snapshots'):
                self.assertIn(word, text)

    @ddt.data((400, 3), (400, 9))
    @ddt.unpack
    def test_v4_never_busy_while_migrating(self, status, code):
        self.volume.migration_status = 'deleting'
        self.server.fault('DeleteVolume', status=status, code=code,
                          message='volume has snapshots', times=None)
        error = self.assertRaises(exception.LightOSError,
                                  self.driver.delete_volume, self.volume)
        self.assert_tells(error, 'volume has snapshots')

    @ddt.data(401, 403, 501)
    def test_v4_token_that_may_not_is_not_busy(self, status):
        self.server.fault('DeleteVolume', status=status, times=None,
                          message='no right to delete volumes or snapshots')
        self.assertRaises(exception.LightOSRefused,
                          self.driver.delete_volume, self.volume)

    @ddt.data(409, 503)
    def test_v4_passing_trouble_is_not_busy(self, status):
        self.server.fault('DeleteVolume', status=status,
                          message='a snapshot is being made')
        self.driver.delete_volume(self.volume)
        self.assert_deleted()

    def test_e8_of_several_of_a_name_the_live_one_is_deleted(self):
        self.volume.provider_id = None
        husk = self.server.add_volume(self.volume.name, state='Failed',
                                      uuid='00000000' + self.there.uuid[8:])
        self.driver.delete_volume(self.volume)
        self.assert_deleted()
        self.assertEqual('Failed', husk.state)

    def test_e8_husk_found_by_name_is_not_there(self):
        self.volume.provider_id = None
        self.there.state = 'Failed'
        self.driver.delete_volume(self.volume)
        self.assertEqual(['ListVolumes'], self.server.operations())

    def test_e7_volume_made_again_elsewhere_is_not_deleted(self):
        # So Cinder calls it when it has handed a failed create on.
        volume = self.make_volume(create=True, status='creating')
        volume.update({'host': None})
        volume.save()
        self.driver.delete_volume(volume)
        self.assertEqual('Available', self.server.volume(volume.name).state)


@ddt.ddt
class ExtendTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.make_volume(create=True)
        self.there = self.server.volume(self.volume.name)
        self.server.requests.clear()

    def extend(self) -> None:
        self.driver.extend_volume(self.volume, 3)
        self.assertEqual((3 * units.Gi, 'Available'),
                         (self.there.size, self.there.state))

    def test_extend_takes_three_requests(self):
        self.extend()
        self.assertEqual(['GetVolume', 'UpdateVolume', 'GetVolume'],
                         self.server.operations(probes=True))

    def test_v5_force_is_never_sent(self):
        etag = self.there.etag
        self.extend()
        request = self.server.requests[1]
        self.assertEqual(({'size': '3 gib'}, etag),
                         (request.body, request.headers['If-Match']))

    def test_e6_change_that_shows_late_is_seldom_asked_for_again(self):
        self.server.shows_updating = False
        self.server.work_time['UpdateVolume'] = 5
        self.mock_object(waiting.random, 'uniform', lambda low, high: high)
        began = self.clock.monotonic()
        self.extend()
        asked = [request.at - began for request in self.server.requests
                 if request.operation == 'UpdateVolume']
        self.assertEqual([0, 1, 3, 8], [int(each) for each in asked])

    def test_e6_cluster_without_etags_is_asked_at_once(self):
        reply = self.there.reply()
        del reply['ETag']
        self.server.fault('GetVolume', body=reply)
        self.extend()
        self.assertEqual([], self.clock.sleeps)

    def test_e3_change_that_was_accepted_and_lost_is_asked_for_again(self):
        self.server.fault('UpdateVolume', body={})
        began = self.clock.monotonic()
        self.extend()
        self.assertLess(self.clock.monotonic() - began, 1.3)

    def test_e6_change_that_another_writer_undid_is_decided_at_once(self):
        self.server.shows_updating = False
        self.server.work_time['UpdateVolume'] = 50

        def undo(request: fake_lightos.Request) -> None:
            self.there.then, self.there.due = {}, math.inf
            self.server.work_time['UpdateVolume'] = 0

        self.server.fault('GetVolume', skip=5, before=undo)
        began = self.clock.monotonic()
        self.extend()
        self.assertLess(self.clock.monotonic() - began, 0.2)

    def test_v5_nothing_to_do_if_the_size_is_there(self):
        self.extend()
        self.server.requests.clear()
        self.extend()
        self.assertEqual(['GetVolume'], self.server.operations())

    def test_v5_larger_than_asked_is_an_error(self):
        self.there.size = 5 * units.Gi
        error = self.assertRaises(exception.LightOSError,
                                  self.driver.extend_volume, self.volume, 3)
        self.assert_tells(error, 'extend volume %s to 3 GiB' % self.volume.id,
                          self.there.uuid, '5368709120 bytes')
        self.assertEqual(['GetVolume'], self.server.operations())

    @ddt.data(True, False)
    def test_v5_missing_is_volume_not_found(self, recorded):
        if not recorded:
            self.volume.provider_id = None
        self.driver.delete_volume(self.volume)
        error = self.assertRaises(cinder_exception.VolumeNotFound,
                                  self.driver.extend_volume, self.volume, 3)
        self.assert_tells(error, self.volume.id)

    def test_v5_volume_that_goes_meanwhile_is_not_found(self):
        self.server.fault('GetVolume', skip=1, status=404)
        self.assertRaises(cinder_exception.VolumeNotFound,
                          self.driver.extend_volume, self.volume, 3)

    @ddt.data(True, False)
    def test_v5_returns_when_size_and_state_are_seen(self, shows_updating):
        self.server.shows_updating = shows_updating
        self.server.work_time['UpdateVolume'] = 0.5
        self.extend()

    def test_v5_size_without_the_state_is_not_enough(self):
        self.server.work_time['UpdateVolume'] = 30
        self.server.fault('UpdateVolume', after=lambda request: setattr(
            self.there, 'size', 3 * units.Gi))
        self.extend()

    def test_v5_volume_that_is_busy_is_extended_later(self):
        self.there.state, self.there.then = 'Updating', {'state': 'Available'}
        self.there.due = self.clock.monotonic() + 30
        self.extend()

    def test_v5_volume_whose_replica_moves_is_in_service(self):
        self.there.state = 'Migrating'
        self.driver.extend_volume(self.volume, 3)
        self.assertEqual((3 * units.Gi, 'Migrating'),
                         (self.there.size, self.there.state))

    @ddt.data('Failed', 'Deleting', 'Deleted')
    def test_v5_volume_that_is_no_more_is_not_found(self, state):
        self.server.fault('GetVolume', times=None, body={
            **self.there.reply(), 'state': state})
        error = self.assertRaises(cinder_exception.VolumeNotFound,
                                  self.driver.extend_volume, self.volume, 3)
        self.assert_tells(error, self.volume.id, self.there.uuid,
                          'is ' + state)

    @ddt.data(*FINAL[:2], 501, 400)
    def test_v5_refused_is_an_error(self, status):
        self.server.fault('UpdateVolume', status=status, message='too large',
                          times=None)
        error = self.assertRaises(exception.LightOSRefused,
                                  self.driver.extend_volume, self.volume, 3)
        self.assert_tells(error, 'extend volume ' + self.volume.id,
                          'extend_volume', self.there.uuid, 'project default',
                          'HTTP %d' % status, 'too large')
        self.assertEqual(1, self.server.operations().count('UpdateVolume'))

    def test_v5_refused_for_what_is_there_by_now_is_success(self):
        self.server.refuse_same_size = True
        self.server.fault(
            'UpdateVolume', status=400, code=3, message='has that size',
            before=lambda request: setattr(self.there, 'size', 3 * units.Gi))
        self.extend()

    def test_v5_refused_while_it_is_not_done_is_an_error(self):
        def half_done(request: fake_lightos.Request) -> None:
            self.there.size, self.there.state = 3 * units.Gi, 'Updating'

        self.server.fault('UpdateVolume', status=400, code=3,
                          before=half_done)
        self.assertRaises(exception.LightOSRefused,
                          self.driver.extend_volume, self.volume, 3)

    def test_e2_extend_waits_as_long_as_the_cluster_asks(self):
        self.server.fault('UpdateVolume', status=429,
                          headers={'Retry-After': '20'})
        self.extend()
        self.assertEqual([20.0], self.clock.sleeps)

    @ddt.data(*PASSING, (404, None))
    @ddt.unpack
    def test_e2_extend_waits_out_passing_trouble(self, status, code):
        self.server.fault('UpdateVolume', status=status, code=code, times=3)
        self.extend()

    @ddt.data({'lose_reply': True}, {'status': 500}, {'hang': True},
              {'html': True})
    def test_e4_lost_reply_of_extend_is_looked_up(self, fault):
        self.server.fault('UpdateVolume', executed=True, **fault)
        self.extend()
        self.assertEqual(['GetVolume', 'UpdateVolume', 'GetVolume'],
                         self.server.operations())
        self.assertEqual([], self.clock.sleeps)

    def test_e3_extend_that_is_not_seen_is_an_error(self):
        self.server.work_time['UpdateVolume'] = math.inf
        error = self.assertRaises(exception.LightOSNotSeen,
                                  self.driver.extend_volume, self.volume, 3)
        self.assert_tells(error, self.volume.id, self.there.uuid,
                          'is Updating', '1073741824 bytes')

    @ddt.data(400, 412)
    def test_v5_volume_that_changed_is_decided_anew(self, status):
        self.server.etag_mismatch = status
        self.server.fault('UpdateVolume', before=lambda request: setattr(
            self.there, 'size', 5 * units.Gi))
        self.assertRaises(exception.LightOSError,
                          self.driver.extend_volume, self.volume, 3)
        self.assertEqual(5 * units.Gi, self.there.size)


@ddt.ddt
class FromSnapshotTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.source = self.make_volume(create=True)
        self.snapshot = self.make_snapshot(self.source, create=True)
        self.there = self.server.snapshot(self.snapshot.name)
        self.server.requests.clear()

    def create(self, **values: Any) -> fake_lightos.Volume:
        volume = self.make_volume(**values)
        update = self.driver.create_volume_from_snapshot(volume,
                                                         self.snapshot)
        made = self.server.volume(volume.name)
        self.assertEqual('default ' + made.uuid, update['provider_id'])
        self.assertEqual('Available', made.state)
        return made

    def refusal(self, **values: Any) -> exception.LightOSError:
        return self.assertRaises(
            exception.LightOSError, self.driver.create_volume_from_snapshot,
            self.make_volume(**values), self.snapshot)

    def test_from_snapshot_takes_two_requests(self):
        self.there.data = 'precious'
        self.assertEqual('precious', self.create().data)
        self.assertEqual(['CreateVolume', 'GetVolume'],
                         self.server.operations(probes=True))

    def test_v2_snapshot_with_uuid_is_not_named_as_well(self):
        self.create()
        body = self.server.requests[0].body
        self.assertEqual((self.there.uuid, False),
                         (body['sourceSnapshotUUID'],
                          'sourceSnapshotName' in body))

    def test_v2_larger_size_is_there_on_return(self):
        self.server.work_time['CreateVolume'] = 30
        self.assertEqual(3 * units.Gi, self.create(size=3).size)

    def test_v1_volume_from_snapshot_is_closed(self):
        self.there.acl = self.there.ip_acl = ('ALLOW_ANY',)
        made = self.create()
        self.assertEqual((ALL_CLOSED, ALL_CLOSED), (made.acl, made.ip_acl))

    def test_o4_snapshot_without_uuid_is_named(self):
        self.snapshot.provider_id = None
        self.create()
        body = self.server.requests[0].body
        self.assertEqual((self.snapshot.name, False),
                         (body['sourceSnapshotName'],
                          'sourceSnapshotUUID' in body))

    @ddt.data(({'lightos__num_replicas': '2'},
               'The snapshot has 3 replicas and the volume type or '
               'lightos_default_num_replicas asks for 2'),
              ({'compression': '<is> True'},
               'The snapshot is not compressed and the volume type or '
               'lightos_default_compression_enabled asks for compression'))
    @ddt.unpack
    def test_v2_other_type_is_an_error_that_says_so(self, specs, words):
        volume = self.make_volume(self.make_type(**specs))
        error = self.assertRaises(
            exception.LightOSError, self.driver.create_volume_from_snapshot,
            volume, self.snapshot)
        self.assert_tells(
            error, 'create volume %s from snapshot %s'
            % (volume.id, self.snapshot.id), volume.name, 'project default',
            'HTTP 400', 'is not the snapshot\'s', words)
        self.assertIsNone(self.server.volume(volume.name))

    def test_v2_compressed_snapshot_for_a_plain_type_says_so(self):
        self.there.compression = True
        self.assert_tells(
            self.refusal(), 'The snapshot is compressed and the volume type '
            'or lightos_default_compression_enabled asks for none')

    def test_v2_plain_snapshot_says_so_where_zeros_are_left_out(self):
        self.server.omit_zeros = True
        volume = self.make_volume(self.make_type(compression='<is> True'))
        error = self.assertRaises(
            exception.LightOSError, self.driver.create_volume_from_snapshot,
            volume, self.snapshot)
        self.assert_tells(error, 'The snapshot is not compressed')

    def test_v2_refusal_that_has_no_such_reason_adds_none(self):
        self.server.fault('CreateVolume', status=403, message='no way')
        self.assertTrue(str(self.refusal()).endswith('no way'))

    def test_v2_text_of_a_refusal_begins_once(self):
        self.server.fault('CreateVolume', status=403)
        self.assertEqual(1, str(self.refusal()).count('LightOS: '))

    def test_v2_snapshot_that_is_gone_is_told(self):
        self.driver.delete_snapshot(self.snapshot)
        self.assert_tells(self.refusal(), 'not found', 'HTTP 404',
                          'does not have the snapshot')

    @ddt.data({'status': 403}, {'status': 500}, {'hang': True})
    def test_v2_trouble_while_explaining_hides_nothing(self, fault):
        self.server.fault('CreateVolume', status=400, message='no way',
                          times=None)
        self.server.fault('GetSnapshot', times=None, **fault)
        self.assert_tells(self.refusal(), 'HTTP 400', 'no way')

    def test_v2_other_project_is_an_error_before_any_call(self):
        self.server.projects['blue'] = ''
        volume = self.make_volume(self.make_type(
            lightos__project_name='blue'))
        error = self.assertRaises(
            exception.LightOSError, self.driver.create_volume_from_snapshot,
            volume, self.snapshot)
        self.assert_tells(error, volume.id, self.snapshot.id, 'blue',
                          'default')
        self.assertEqual([], self.server.requests)

    def test_e4_lost_reply_of_from_snapshot_is_looked_up(self):
        self.server.fault('CreateVolume', lose_reply=True)
        made = self.create()
        self.assertEqual(2, len(self.server.volumes()))
        self.assertEqual(self.there.uuid, made.source_uuid)

    @ddt.data({'source_uuid': '11111111-2222-4333-8444-555555555555',
               'source_name': 'snapshot-x'},
              {'source_name': 'snapshot-x'},
              {'source_uuid': '', 'source_name': ''})
    def test_e4_volume_of_another_source_is_not_ours(self, source):
        volume = self.make_volume()
        other = self.server.add_volume(volume.name, ip_acl=ALL_CLOSED,
                                       **source)
        error = self.assertRaises(
            exception.LightOSNotOurs, self.driver.create_volume_from_snapshot,
            volume, self.snapshot)
        self.assert_tells(error, volume.name, other.uuid, 'made from')

    def test_e4_source_of_the_same_name_with_another_uuid_is_not_ours(self):
        volume = self.make_volume()
        self.server.add_volume(
            volume.name, ip_acl=ALL_CLOSED, source_name=self.there.name,
            source_uuid='11111111-2222-4333-8444-555555555555')
        self.assertRaises(
            exception.LightOSNotOurs, self.driver.create_volume_from_snapshot,
            volume, self.snapshot)

    def test_e4_source_in_upper_case_is_the_same(self):
        self.there.uuid = 'abcdef00-0000-4000-8000-00000000000a'
        self.snapshot.provider_id = 'default ' + self.there.uuid
        volume = self.make_volume()
        mine = self.server.add_volume(
            volume.name, ip_acl=ALL_CLOSED, source_name=self.there.name,
            source_uuid=self.there.uuid.upper())
        update = self.driver.create_volume_from_snapshot(volume,
                                                         self.snapshot)
        self.assertEqual('default ' + mine.uuid, update['provider_id'])

    def test_e4_source_that_the_reply_lacks_is_no_difference(self):
        volume = self.make_volume()
        mine = self.server.add_volume(volume.name, ip_acl=ALL_CLOSED,
                                      source_uuid=self.there.uuid)
        reply = mine.reply()
        del reply['sourceSnapshotUUID'], reply['sourceSnapshotName']
        self.server.fault('ListVolumes', body={'volumes': [reply]})
        self.server.fault('GetVolume', body=reply)
        update = self.driver.create_volume_from_snapshot(volume,
                                                         self.snapshot)
        self.assertEqual('default ' + mine.uuid, update['provider_id'])

    def test_e4_source_known_by_name_alone_is_compared_by_name(self):
        self.snapshot.provider_id = None
        self.server.fault('CreateVolume', lose_reply=True)
        self.assertEqual(self.there.name, self.create().source_name)

    def test_v1_volume_from_snapshot_that_failed_is_deleted(self):
        self.server.fault('CreateVolume', ends='Failed')
        self.assert_tells(self.refusal(), 'is Failed')
        self.assertIn('DeleteVolume', self.server.operations())


@ddt.ddt
class CloneTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.source = self.make_volume(create=True)
        self.server.volume(self.source.name).data = 'precious'
        self.server.requests.clear()

    def clone(self, volume: Optional[objects.Volume] = None,
              ) -> fake_lightos.Volume:
        volume = volume or self.make_volume()
        update = self.driver.create_cloned_volume(volume, self.source)
        made = self.server.volume(volume.name)
        self.assertEqual('default ' + made.uuid, update['provider_id'])
        self.assertEqual(('Available', 'precious'), (made.state, made.data))
        return made

    def failure(self, volume: Optional[objects.Volume] = None,
                ) -> exception.LightOSError:
        return self.assertRaises(
            exception.LightOSError, self.driver.create_cloned_volume,
            volume or self.make_volume(), self.source)

    def snapshot_states(self) -> list[str]:
        return [each.state for each in self.server.snapshots()]

    def test_clone_takes_five_requests(self):
        self.clone()
        self.assertEqual(
            ['CreateSnapshot', 'GetSnapshot', 'CreateVolume', 'GetVolume',
             'DeleteSnapshot'], self.server.operations(probes=True))

    def test_v3_temporary_snapshot_is_named_and_expires(self):
        volume = self.make_volume()
        self.clone(volume)
        body = self.server.requests[0].body
        self.assertRegex(body['name'],
                         '^for_clone_%s_[0-9a-f]+$' % volume.id)
        self.assertEqual('86400s', body['retentionTime'])

    def test_v3_temporary_snapshots_differ_from_try_to_try(self):
        volume = self.make_volume()
        self.clone(volume)
        self.driver.delete_volume(volume)
        self.clone(volume)
        names = {request.body['name'] for request in self.server.requests
                 if request.operation == 'CreateSnapshot'}
        self.assertEqual(2, len(names))

    def test_v3_temporary_snapshot_is_deleted(self):
        made = self.clone()
        self.assertEqual(['Deleting'], self.snapshot_states())
        made.state = 'Failed'  # a clone that holds it no longer
        self.assertEqual([], self.server.snapshots())

    def test_v3_retention_time_that_is_refused_is_left_out(self):
        refusal = self.server.fault(
            'CreateSnapshot', status=400, code=3, times=None,
            when=lambda request: 'retentionTime' in request.body)
        self.clone()
        self.assertEqual(1, refusal.hits)

    def test_v3_retention_time_outlives_passing_trouble(self):
        self.server.fault('CreateSnapshot', status=400, code=9)
        self.clone()
        (request,) = (each for each in self.server.requests[1:]
                      if each.operation == 'CreateSnapshot')
        self.assertIn('retentionTime', request.body)

    @ddt.data({'status': 403}, {'ends': 'Failed'},
              {'status': 400, 'times': None},
              {'status': 503, 'times': None},
              {'lose_reply': True, 'times': None, 'ends': 'Failed'})
    def test_v3_snapshot_of_a_failed_clone_is_deleted(self, fault):
        self.server.fault('CreateVolume', message='no way', **fault)
        self.failure()
        self.assertEqual([], self.server.snapshots())

    def test_v3_snapshot_of_a_clone_that_never_ends_is_deleted(self):
        self.server.work_time['CreateVolume'] = math.inf
        began = self.clock.monotonic()
        self.server.fault('DeleteSnapshot', status=503, times=2)
        self.assert_tells(self.failure(), 'is Creating')
        self.assertEqual(['Deleting'], self.snapshot_states())
        self.assertLessEqual(self.clock.monotonic() - began, LONGEST + 1)

    def test_v3_snapshot_of_a_clone_with_a_bad_type_is_deleted(self):
        volume = self.make_volume(self.make_type(compression='perhaps'))
        self.assertRaises(
            cinder_exception.InvalidVolumeType,
            self.driver.create_cloned_volume, volume, self.source)
        self.assertEqual([], self.server.snapshots())

    @ddt.data({'status': 403}, {'status': 500}, {'hang': True},
              {'status': 409}, {'status': 400})
    def test_v3_snapshot_that_cannot_be_deleted_fails_nothing(self, fault):
        self.server.fault('DeleteSnapshot', times=None, **fault)
        self.clone()
        self.assertEqual(['Available'], self.snapshot_states())

    @ddt.data({'status': 503}, {'status': 409}, {'lose_request': True})
    def test_v3_snapshot_is_deleted_through_passing_trouble(self, fault):
        self.server.fault('DeleteSnapshot', **fault)
        self.clone()
        self.assertEqual(['Deleting'], self.snapshot_states())

    def test_v3_snapshot_left_behind_hides_no_error(self):
        self.server.fault('DeleteSnapshot', times=None, status=403,
                          message='kept')
        self.server.fault('CreateVolume', status=403, message='no way')
        self.assert_tells(self.failure(), 'no way')

    def test_v3_snapshot_left_behind_expires(self):
        self.server.fault('DeleteSnapshot', times=None, status=403)
        self.clone().state = 'Failed'
        self.clock.advance(86400)
        self.assertEqual([], self.server.snapshots())

    @ddt.data({'status': 403}, {'ends': 'Failed'}, {'status': 404})
    def test_v3_clone_whose_snapshot_fails_leaves_nothing(self, fault):
        self.server.fault('CreateSnapshot', message='no way', **fault)
        volume = self.make_volume()
        self.assert_tells(
            self.failure(volume), 'clone volume %s to volume %s'
            % (self.source.id, volume.id))
        self.assertNotIn('CreateVolume', self.server.operations())

    def test_v3_snapshot_that_is_late_is_deleted(self):
        self.server.work_time['CreateSnapshot'] = 0.9 * LONGEST
        began = self.clock.monotonic()
        self.assert_tells(self.failure(), 'is Creating')
        self.assertEqual([], self.server.snapshots())
        self.assertLessEqual(self.clock.monotonic() - began, LONGEST + 1)

    @ddt.data({'status': 503}, {'hang': True})
    def test_v3_snapshot_that_was_not_seen_is_deleted(self, fault):
        began = self.clock.monotonic()
        self.server.fault('CreateSnapshot', lose_reply=True)
        self.server.fault(
            'ListSnapshots', times=None, **fault,
            when=lambda request: request.at < began + 0.8 * LONGEST)
        self.failure()
        self.assertEqual([], self.server.snapshots())

    def test_v3_snapshot_that_cannot_be_looked_for_hides_no_error(self):
        log = self.useFixture(fixtures.FakeLogger())
        self.server.fault('CreateSnapshot', lose_reply=True)
        self.server.fault('ListSnapshots', status=503, times=None)
        volume = self.make_volume()
        began = self.clock.monotonic()
        self.assert_tells(self.failure(volume), 'HTTP 503')
        self.assertLessEqual(self.clock.monotonic() - began, LONGEST + 1)
        self.assertEqual(1, log.output.count(
            'snapshot for_clone_%s_' % volume.id))
        self.clock.advance(86400)
        self.assertEqual([], self.server.snapshots())

    @ddt.data({'status': 403}, {'times': 0})
    def test_v3_snapshot_is_looked_for_where_its_volume_is(self, closed):
        # That of its type is another, perhaps closed to the token.
        self.server.projects['blue'] = ''
        blue = self.make_type(lightos__project_name='blue')
        self.record(self.source, {'volume_type_id': blue.id})
        self.source.refresh()
        self.server.work_time['CreateSnapshot'] = 0.9 * LONGEST
        self.server.fault('ListSnapshots', **{
            'times': None, **closed,
            'when': lambda request: '/projects/blue/' in request.path})
        self.failure()
        self.assertEqual([], self.server.snapshots())

    def test_v3_snapshot_is_looked_for_where_its_own_volume_is(self):
        self.server.projects['blue'] = ''
        self.source = self.make_volume(
            self.make_type(lightos__project_name='blue'), create=True)
        other = self.server.add_volume('volume-' + SOMEBODY_ELSE)
        self.record(self.source, {'migration_status': 'migrating',
                                  'provider_id': 'default ' + other.uuid})
        self.server.work_time['CreateSnapshot'] = 0.9 * LONGEST
        self.failure()
        self.assertEqual([], self.server.snapshots())

    def test_v1_clone_is_closed(self):
        there = self.server.volume(self.source.name)
        there.acl = there.ip_acl = ('ALLOW_ANY',)
        made = self.clone()
        self.assertEqual((ALL_CLOSED, ALL_CLOSED), (made.acl, made.ip_acl))

    def test_v2_larger_clone_is_there_on_return(self):
        self.server.work_time['CreateVolume'] = 20
        self.assertEqual(3 * units.Gi,
                         self.clone(self.make_volume(size=3)).size)

    @ddt.data(({'lightos__num_replicas': '1'}, '3 replicas'),
              ({'compression': '<is> True'}, 'is not compressed'))
    @ddt.unpack
    def test_v2_clone_of_another_type_says_so(self, specs, words):
        volume = self.make_volume(self.make_type(**specs))
        self.assert_tells(
            self.failure(volume), 'clone volume %s to volume %s'
            % (self.source.id, volume.id), 'project default', words)
        self.assertEqual([], self.server.snapshots())

    def test_v2_text_of_a_refused_clone_begins_once(self):
        self.server.fault('CreateVolume', status=403)
        self.assertEqual(1, str(self.failure()).count('LightOS: '))

    def test_v2_clone_into_another_project_is_an_error(self):
        self.server.projects['blue'] = ''
        volume = self.make_volume(self.make_type(
            lightos__project_name='blue'))
        self.assert_tells(self.failure(volume), 'blue', 'default')
        self.assertEqual((1, []), (len(self.server.volumes()),
                                   self.server.snapshots()))

    @ddt.data({'lose_reply': True}, {'status': 500}, {'hang': True})
    def test_v3_lost_reply_of_the_clone_is_looked_up(self, fault):
        self.server.fault('CreateVolume', executed=True, **fault)
        self.clone()
        self.assertEqual(2, len(self.server.volumes()))

    @ddt.data({'lose_reply': True}, {'status': 500}, {'hang': True},
              {'html': True}, {'body': {}})
    def test_v3_lost_reply_of_the_snapshot_is_looked_up(self, fault):
        self.server.fault('CreateSnapshot', executed=True, **fault)
        self.clone()
        self.assertEqual(1, len(self.server.snapshots()))

    def test_v3_clone_of_an_earlier_try_is_taken_over(self):
        volume = self.make_volume()
        earlier = self.server.add_volume(
            volume.name, ip_acl=ALL_CLOSED, data='precious',
            source_uuid='11111111-2222-4333-8444-555555555555',
            source_name='for_clone_%s_0' % volume.id)
        self.assertIs(earlier, self.clone(volume))

    @ddt.data('for_clone_11111111-2222-4333-8444-555555555555_0',
              'snapshot-x')
    def test_v3_volume_of_another_source_is_not_ours(self, name):
        volume = self.make_volume()
        self.server.add_volume(volume.name, source_name=name)
        self.assertRaises(
            exception.LightOSNotOurs, self.driver.create_cloned_volume,
            volume, self.source)

    def test_v3_clone_of_a_volume_that_is_gone(self):
        self.driver.delete_volume(self.source)
        self.assert_tells(self.failure(), 'HTTP 404', 'not found')

    def test_v3_clone_of_a_volume_without_uuid(self):
        self.source.provider_id = None
        self.clone()

    def test_v3_clone_of_a_volume_without_uuid_that_is_gone(self):
        self.driver.delete_volume(self.source)
        self.source.provider_id = None
        self.assertRaises(
            cinder_exception.VolumeNotFound, self.driver.create_cloned_volume,
            self.make_volume(), self.source)
