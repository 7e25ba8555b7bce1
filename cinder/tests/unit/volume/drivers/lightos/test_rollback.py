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
"""Reverting a volume to a snapshot."""

from typing import Any

import ddt

from cinder import exception as cinder_exception
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import exception

SOMEBODY_ELSE = '0000000e-1111-4222-8333-444444444444'


@ddt.ddt
class RevertTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.make_volume(create=True)
        self.there = self.server.volume(self.volume.name)
        self.there.data = 'old'
        self.snapshot = self.make_snapshot(self.volume, create=True)
        self.there.data = 'new'
        self.server.requests.clear()

    def revert(self) -> None:
        self.driver.revert_to_snapshot(self.context, self.volume,
                                       self.snapshot)

    def put_back_too(self, **old: Any) -> None:
        """Have the rollback put back these attributes as well."""
        self.server.fault('RollbackVolume', after=lambda _request:
                          self.there.then.update(old))

    def test_v8_data_is_that_of_the_snapshot(self) -> None:
        self.revert()
        self.assertEqual('old', self.there.data)
        self.assertEqual(1, self.server.operations().count('RollbackVolume'))

    def test_v8_returns_when_it_is_done(self) -> None:
        self.server.work_time['RollbackVolume'] = 5
        before = self.clock.monotonic()
        self.revert()
        self.assertGreaterEqual(self.clock.monotonic() - before, 5)
        self.assertEqual('Available', self.there.state)

    def test_v8_snapshot_of_another_size_is_refused_before_any_change(
            self) -> None:
        self.driver.extend_volume(self.volume, 2)
        self.server.requests.clear()
        error = self.assertRaises(exception.LightOSError, self.revert)
        self.assert_tells(error, self.volume.id, self.snapshot.id,
                          str(2 * 1024 ** 3), str(1024 ** 3))
        self.assertEqual({'GET'}, {request.method
                                   for request in self.server.requests})

    @ddt.data({'name': 'renamed'}, {'acl': ('ALLOW_ANY',)},
              {'ip_acl': ('ALLOW_ANY',)}, {'acl': ('nqn.other',)},
              {'name': 'renamed', 'acl': ('nqn.other',), 'ip_acl': ()})
    def test_v8_what_was_put_back_too_is_made_as_it_was(self, old) -> None:
        self.driver.initialize_connection(self.volume, self.host_connector())
        was = (self.there.name, self.there.acl, self.there.ip_acl)
        self.put_back_too(**old)
        self.revert()
        self.assertEqual(was, (self.there.name, self.there.acl,
                               self.there.ip_acl))

    def test_v8_hosts_that_are_not_known_are_not_put_at_risk(self) -> None:
        reply = self.there.reply()
        del reply['acl']
        self.server.fault('GetVolume', body=reply)
        error = self.assertRaises(exception.LightOSError, self.revert)
        self.assert_tells(error, self.volume.id, self.there.uuid)
        self.assertNotIn('RollbackVolume', self.server.operations())

    @ddt.data(0, 2)
    def test_v8_hosts_that_a_reply_does_not_show_are_put_back(
            self, skip) -> None:
        self.driver.initialize_connection(self.volume, self.host_connector())
        was = self.there.acl
        self.put_back_too(acl=('nqn.other',))
        reply = self.there.reply()
        del reply['IPAcl' if not skip else 'acl']
        self.server.fault('GetVolume', body=reply, skip=skip)
        began = self.clock.monotonic()
        self.revert()
        self.assertEqual(was, self.there.acl)
        self.assertLess(self.clock.monotonic() - began, 5)

    def test_v8_size_that_was_put_back_is_made_as_it_was(self) -> None:
        self.put_back_too(size=512 * 1024 ** 2)
        self.revert()
        self.assertEqual(1024 ** 3, self.there.size)

    @ddt.data({'compression': True}, {'qos_policy': ''})
    def test_v8_what_a_retype_has_changed_is_made_as_it_was(self, old) -> None:
        self.there.qos_policy = self.server.add_policy('gold', limitBw={})
        was = (self.there.compression, self.there.qos_policy)
        self.put_back_too(**old)
        self.revert()
        self.assertEqual(was, (self.there.compression,
                               self.there.qos_policy))

    def test_v8_policy_that_was_renamed_meanwhile_is_put_back(self) -> None:
        gold = self.server.add_policy('gold', limitBw={})
        self.there.qos_policy = gold
        self.put_back_too(qos_policy='')
        self.server.fault('UpdateVolume', status=412, before=lambda _request:
                          self.server.policies[0].update(name='bronze'))
        self.revert()
        self.assertEqual(gold, self.there.qos_policy)

    def test_v8_what_was_not_put_back_costs_no_request(self) -> None:
        self.revert()
        self.assertEqual(
            ['GetVolume', 'GetSnapshot', 'RollbackVolume', 'GetVolume',
             'GetVolume'], self.server.operations())

    def test_v8_snapshot_that_goes_by_itself_will_do(self) -> None:
        self.server.snapshot(self.snapshot.name).retention = '3600s'
        self.revert()
        self.assertEqual('old', self.there.data)

    @ddt.data('Deleting', 'Failed', 'Unknown')
    def test_v8_snapshot_that_is_of_no_use_is_refused_at_once(
            self, state) -> None:
        self.server.snapshot(self.snapshot.name).state = state
        error = self.assertRaises(exception.LightOSError, self.revert)
        self.assert_tells(error, self.volume.id, self.snapshot.id,
                          'is ' + state)
        self.assertNotIn('RollbackVolume', self.server.operations())

    def test_v8_snapshot_of_another_volume_is_refused_at_once(self) -> None:
        other = self.server.add_volume('other')
        self.server.snapshot(self.snapshot.name).volume_uuid = other.uuid
        error = self.assertRaises(exception.LightOSError, self.revert)
        self.assert_tells(error, other.uuid, self.there.uuid)
        self.assertNotIn('RollbackVolume', self.server.operations())

    def test_v8_volume_of_the_snapshot_in_upper_case_is_the_same(
            self) -> None:
        self.there.uuid = 'abcdef00-0000-4000-8000-00000000000a'
        self.volume.provider_id = 'default ' + self.there.uuid
        snapshot = self.server.snapshot(self.snapshot.name)
        snapshot.volume_uuid = self.there.uuid
        self.server.fault('GetSnapshot', body={
            **snapshot.reply(), 'sourceVolumeUUID': self.there.uuid.upper()})
        self.revert()
        self.assertEqual('old', self.there.data)

    @ddt.data({'lose_reply': True}, {'lose_request': True},
              {'status': 503, 'code': 14}, {'status': 412})
    def test_v8_it_is_done_in_spite_of_passing_trouble(self, trouble) -> None:
        self.server.fault('RollbackVolume', **trouble)
        self.revert()
        self.assertEqual('old', self.there.data)

    def test_e2_rollback_waits_as_long_as_the_cluster_asks(self) -> None:
        self.server.fault('RollbackVolume', status=429,
                          headers={'Retry-After': '20'})
        self.revert()
        self.assertEqual([20.0], self.clock.sleeps)

    def test_v8_what_another_writer_changes_is_not_taken_for_the_rollback(
            self) -> None:
        self.server.fault('RollbackVolume', before=lambda _request: setattr(
            self.there, 'name', 'renamed'))
        self.revert()
        self.assertEqual('old', self.there.data)
        self.assertEqual(2, self.server.operations().count('RollbackVolume'))

    def test_v8_rollback_that_shows_late_is_waited_for(self) -> None:
        self.server.work_time['RollbackVolume'] = 5
        self.server.fault('GetVolume', skip=1, times=3,
                          body=self.there.reply())
        self.revert()
        self.assertEqual('old', self.there.data)

    def test_v8_rollback_that_shows_late_is_asked_for_once(self) -> None:
        self.server.fault('GetVolume', skip=1, times=3,
                          body=self.there.reply())
        self.revert()
        self.assertEqual(1, self.server.operations().count('RollbackVolume'))

    def test_v8_volume_without_an_etag_is_rolled_back(self) -> None:
        self.mock_object(fake_lightos.Resource, 'etag', '')
        self.revert()
        self.assertEqual('old', self.there.data)

    @ddt.data((400, 3), (403, 7), (501, 12))
    @ddt.unpack
    def test_v8_refused_is_an_error_that_makes_cinder_copy_nothing(
            self, status, code) -> None:
        self.server.fault('RollbackVolume', status=status, code=code,
                          message='not here')
        error = self.assertRaises(exception.LightOSRefused, self.revert)
        self.assertNotIsInstance(error, (NotImplementedError, AttributeError))
        self.assert_tells(error, self.volume.id, self.there.uuid, 'not here',
                          str(status))

    @ddt.data(AttributeError('fp'), NotImplementedError())
    def test_v8_fault_of_a_library_makes_cinder_copy_nothing(
            self, fault) -> None:
        self.patch('requests.Session.send', side_effect=fault)
        error = self.assertRaises(exception.LightOSError, self.revert)
        self.assert_tells(error, self.volume.id, self.snapshot.id,
                          type(fault).__name__)

    def test_v8_volume_that_is_gone_is_an_error(self) -> None:
        self.driver.delete_volume(self.volume)
        self.assertRaises(cinder_exception.VolumeNotFound, self.revert)

    @ddt.data('Failed', 'Deleting', 'Deleted')
    def test_v8_volume_that_goes_meanwhile_is_an_error(self, state) -> None:
        self.server.fault('RollbackVolume', ends=state)
        error = self.assertRaises(cinder_exception.VolumeNotFound,
                                  self.revert)
        self.assert_tells(error, self.volume.id, self.there.uuid, 'is gone')

    def test_v8_snapshot_that_is_gone_is_an_error(self) -> None:
        self.driver.delete_snapshot(self.snapshot)
        self.assertRaises(cinder_exception.SnapshotNotFound, self.revert)
        self.assertEqual('new', self.there.data)

    def test_v8_needs_no_temporary_snapshot(self) -> None:
        self.assertFalse(self.driver.snapshot_revert_use_temp_snapshot())

    def test_o5_rollback_carries_the_etag_that_was_read(self) -> None:
        etag = self.there.etag
        self.revert()
        (sent,) = [request for request in self.server.requests
                   if request.operation == 'RollbackVolume']
        self.assertEqual(etag, sent.headers['If-Match'])

    @ddt.data({}, {'status': 503, 'code': 14})
    def test_o5_volume_that_became_anothers_is_not_rolled_back(
            self, fault) -> None:
        self.server.fault(
            'RollbackVolume', before=lambda _request: setattr(
                self.there, 'name', 'volume-' + SOMEBODY_ELSE), **fault)
        error = self.assertRaises(exception.LightOSError, self.revert)
        self.assert_tells(error, self.volume.id, self.there.uuid,
                          'is volume-%s by now' % SOMEBODY_ELSE)
        self.assertEqual('new', self.there.data)

    @ddt.data(True, False)
    def test_v8_name_from_before_is_no_other_volume(self, lost) -> None:
        self.server.work_time['RollbackVolume'] = 5
        self.server.fault(
            'RollbackVolume', lose_reply=lost,
            after=lambda _request: setattr(
                self.there, 'name', 'volume-' + SOMEBODY_ELSE))
        self.revert()
        self.assertEqual(('old', self.volume.name),
                         (self.there.data, self.there.name))

    def test_o2_volume_of_another_record_is_not_rolled_back(self) -> None:
        other = self.make_volume(create=True)
        self.record(self.volume, {'provider_id': other.provider_id})
        self.revert()
        self.assertEqual('old', self.there.data)
        self.assertNotIn(self.server.volume(other.name).uuid, [
            request.path.split('/')[-2] for request in self.server.requests
            if request.operation == 'RollbackVolume'])
