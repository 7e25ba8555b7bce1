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

"""Snapshots on the cluster: found, made and deleted until seen."""

import math
from typing import Any

import ddt
from oslo_utils import units

from cinder import exception as cinder_exception
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import exception

LONGEST = 100
SOME_UUID = '11111111-2222-4333-8444-555555555555'
PASSING = ((409, None), (412, None), (400, 9), (429, None), (500, None),
           (502, None), (503, None), (504, None))


@ddt.ddt
class CreateTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.make_volume(create=True)
        self.there = self.server.volume(self.volume.name)
        self.snapshot = self.make_snapshot(self.volume)
        self.server.requests.clear()

    def create(self) -> fake_lightos.Snapshot:
        """Create the snapshot and return it, as it is right then."""
        update = self.driver.create_snapshot(self.snapshot)
        made = self.server.snapshot(update['provider_id'].split()[1])
        self.assertEqual(
            (self.snapshot.name, self.there.uuid, 'Available'),
            (made.name, made.volume_uuid, made.state))
        return made

    def refusal(self) -> exception.LightOSError:
        return self.assertRaises(exception.LightOSError,
                                 self.driver.create_snapshot, self.snapshot)

    def posts(self) -> int:
        return self.server.operations().count('CreateSnapshot')

    def test_create_asks_for_what_the_record_says(self):
        self.create()
        self.assertEqual(
            {'name': 'snapshot-' + self.snapshot.id,
             'sourceVolumeUUID': self.there.uuid},
            self.server.requests[0].body)

    def test_create_takes_two_requests(self):
        self.create()
        self.assertEqual(['CreateSnapshot', 'GetSnapshot'],
                         self.server.operations(probes=True))

    def test_o1_create_records_project_and_uuid(self):
        self.server.projects['blue'] = ''
        self.there.project = 'blue'
        self.volume.provider_id = 'blue ' + self.there.uuid
        self.volume.save()
        self.snapshot = self.make_snapshot(self.volume)
        update = self.driver.create_snapshot(self.snapshot)
        made = self.server.snapshot(self.snapshot.name)
        self.assertEqual({'provider_id': 'blue ' + made.uuid}, update)

    def test_v6_returns_when_available(self):
        self.server.work_time['CreateSnapshot'] = 40
        self.create()

    def test_v6_snapshot_not_shown_yet_is_waited_for(self):
        self.server.fault('GetSnapshot', status=404, times=3)
        self.create()

    def test_v6_snapshot_that_hangs_in_creating_is_an_error(self):
        self.server.work_time['CreateSnapshot'] = math.inf
        began = self.clock.monotonic()
        error = self.assertRaises(
            exception.LightOSNotSeen, self.driver.create_snapshot,
            self.snapshot)
        self.assertLessEqual(self.clock.monotonic() - began, LONGEST + 1)
        self.assert_tells(
            error, 'create snapshot %s of volume %s'
            % (self.snapshot.id, self.volume.id), 'project default',
            self.server.snapshot(self.snapshot.name).uuid, 'is Creating')
        self.assertEqual(1, self.posts())

    @ddt.data('Failed', 'Deleting', 'Unknown')
    def test_v6_snapshot_that_failed_is_reported_and_removed(self, state):
        self.server.fault('CreateSnapshot', ends=state)
        error = self.refusal()
        self.assert_tells(error, self.snapshot.id, self.volume.id,
                          'project default', 'is ' + state)
        self.assertEqual('DeleteSnapshot', self.server.operations()[2])

    def test_v6_failed_snapshot_that_cannot_be_removed_is_reported(self):
        self.server.fault('CreateSnapshot', ends='Failed')
        self.server.fault('DeleteSnapshot', status=403, times=None)
        self.assert_tells(self.refusal(), 'is Failed')

    @ddt.data(1, 2, 5)
    def test_v6_max_calls_bounds_the_requests(self, calls):
        self.configure(lightos_api_service_snapshots_max_calls=calls)
        self.server.fault('CreateSnapshot', status=500, times=None,
                          message='disk on fire')
        began = self.clock.monotonic()
        error = self.refusal()
        self.assertEqual(calls, self.posts())
        self.assert_tells(
            error, self.snapshot.id, self.volume.id, self.snapshot.name,
            'project default', 'HTTP 500', 'disk on fire',
            'requested %d times' % calls)
        self.assertLessEqual(self.clock.monotonic() - began, LONGEST + 1)

    def test_v6_requests_are_spread_over_the_time_there_is(self):
        self.server.fault('CreateSnapshot', status=500, times=None)
        self.refusal()
        at = [request.at for request in self.server.requests
              if request.operation == 'CreateSnapshot']
        pauses = [later - sooner for sooner, later in zip(at, at[1:])]
        self.assertEqual(sorted(pauses), pauses)
        self.assertLess(pauses[0], 1)
        # The last one at 0.6 of the time, the one before at a fifth of that.
        for share, when in ((0.6, at[-1]), (0.12, at[-2])):
            self.assertTrue(1 <= (when - at[0]) / (share * LONGEST) < 1.11,
                            (share, when - at[0]))

    def test_v6_nodes_that_do_not_answer_cost_no_request(self):
        self.configure(lightos_api_service_snapshots_max_calls=1)
        self.server.fault('CreateSnapshot', refused=True, times=30)
        self.create()

    def test_v6_snapshot_of_a_volume_that_has_one_being_made(self):
        self.server.concurrent_snapshots = False
        other = self.server.add_snapshot(
            'other', self.there, state='Creating',
            due=self.clock.monotonic() + 20, then={'state': 'Available'})
        self.create()
        self.assertEqual('Available', other.state)

    @ddt.data(400, 401, 403, 404, 501)
    def test_e2_create_refused_for_good_is_reported_at_once(self, status):
        self.server.fault('CreateSnapshot', status=status, times=None,
                          message='no way')
        error = self.refusal()
        self.assert_tells(
            error, 'create snapshot %s of volume %s'
            % (self.snapshot.id, self.volume.id), self.snapshot.name,
            'project default', 'HTTP %d' % status, 'no way')
        self.assertEqual((['CreateSnapshot'], []),
                         (self.server.operations(), self.clock.sleeps))

    @ddt.data(*PASSING)
    @ddt.unpack
    def test_e2_create_waits_out_passing_trouble(self, status, code):
        self.server.fault('CreateSnapshot', status=status, code=code,
                          times=3)
        self.create()

    def test_e2_create_waits_as_long_as_the_cluster_asks(self):
        self.server.fault('CreateSnapshot', status=429,
                          headers={'Retry-After': '20'})
        self.create()
        self.assertIn(20.0, self.clock.sleeps)

    @ddt.data({'lose_reply': True}, {'status': 500}, {'hang': True},
              {'half': True}, {'html': True}, {'body': {}}, {'body': []})
    def test_e4_create_of_unknown_outcome_is_looked_up(self, fault):
        self.server.fault('CreateSnapshot', executed=True, **fault)
        self.create()
        self.assertEqual(['CreateSnapshot', 'ListSnapshots', 'GetSnapshot'],
                         self.server.operations())

    def test_e4_create_that_is_repeated_finds_its_own_snapshot(self):
        first = self.create()
        self.assertIs(first, self.create())

    def test_e4_adopted_snapshot_is_waited_for(self):
        self.server.add_snapshot(
            self.snapshot.name, self.there, state='Creating',
            due=self.clock.monotonic() + 20, then={'state': 'Available'})
        self.create()

    def test_e4_snapshot_of_another_volume_is_not_ours(self):
        other = self.server.add_snapshot(
            self.snapshot.name, self.server.add_volume('other'))
        error = self.assertRaises(
            exception.LightOSNotOurs, self.driver.create_snapshot,
            self.snapshot)
        self.assert_tells(error, self.snapshot.id, self.volume.id,
                          self.snapshot.name, other.uuid, 'project default',
                          other.volume_uuid)
        self.assertEqual('Available', other.state)
        self.assertNotIn('DeleteSnapshot', self.server.operations())

    def test_e4_volume_in_upper_case_is_the_same(self):
        self.there.uuid = 'abcdef00-0000-4000-8000-00000000000a'
        self.volume.provider_id = 'default ' + self.there.uuid
        self.volume.save()
        self.snapshot = self.make_snapshot(self.volume)
        mine = self.server.add_snapshot(self.snapshot.name, self.there)
        self.server.fault('ListSnapshots', body={'snapshots': [
            {**mine.reply(), 'sourceVolumeUUID': self.there.uuid.upper()}]})
        self.assertIs(mine, self.create())

    @ddt.data('sourceVolumeUUID', 'sourceVolumeName', 'size', 'name')
    def test_e4_field_that_the_reply_lacks_is_no_difference(self, field):
        mine = self.server.add_snapshot(self.snapshot.name, self.there)
        reply = mine.reply()
        del reply[field]
        self.server.fault('ListSnapshots', body={'snapshots': [reply]})
        self.server.fault('GetSnapshot', body=reply)
        self.assertIs(mine, self.create())

    def test_e8_create_over_a_failed_husk(self):
        husk = self.server.add_snapshot(self.snapshot.name, self.there,
                                        state='Failed')
        self.server.fault('CreateSnapshot', lose_reply=True)
        self.assertIsNot(husk, self.create())

    def test_e8_create_waits_until_a_name_is_free(self):
        self.server.add_snapshot(
            self.snapshot.name, self.there, state='Deleting',
            due=self.clock.monotonic() + 1, then={'state': 'Deleted'})
        self.create()

    def test_v6_name_held_by_clones_is_an_error(self):
        held = self.server.add_snapshot(self.snapshot.name, self.there,
                                        state='Deleting')
        self.assert_tells(self.refusal(), self.snapshot.name, 'HTTP 409',
                          'already exists')
        self.assertEqual('Deleting', held.state)

    def test_o3_volume_without_uuid_is_found_by_name(self):
        self.volume.provider_id = None
        self.volume.save()
        self.snapshot = self.make_snapshot(self.volume)
        self.create()

    def test_volume_without_uuid_that_is_gone_is_not_found(self):
        self.driver.delete_volume(self.volume)
        self.volume.provider_id = None
        self.volume.save()
        self.snapshot = self.make_snapshot(self.volume)
        error = self.assertRaises(
            cinder_exception.VolumeNotFound, self.driver.create_snapshot,
            self.snapshot)
        self.assert_tells(error, self.volume.id)

    @ddt.data({'launched_at': None}, {'migration_status': 'completing'},
              {'migration_status': 'target:' + SOME_UUID})
    def test_o2_no_snapshot_is_made_of_another_records_volume(self, record):
        other = self.server.add_volume('volume-' + SOME_UUID)
        self.volume.update({'provider_id': 'default ' + other.uuid,
                            **record})
        self.volume.save()
        self.snapshot = self.make_snapshot(self.volume)
        self.create()
        self.assertEqual(
            [self.there.uuid],
            [request.body['sourceVolumeUUID']
             for request in self.server.requests
             if request.operation == 'CreateSnapshot'])

    def test_o2_snapshot_is_not_of_the_volume_of_another_record(self):
        other = self.server.add_volume('volume-' + SOME_UUID)
        self.volume.provider_id = 'default ' + other.uuid
        self.volume.save()
        self.snapshot = self.make_snapshot(self.volume)
        self.create()
        self.assertEqual([self.there.uuid],
                         [each.volume_uuid
                          for each in self.server.snapshots()])


@ddt.ddt
class DeleteTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.make_volume(create=True)
        self.snapshot = self.make_snapshot(self.volume, create=True)
        self.there = self.server.snapshot(self.snapshot.name)
        self.server.requests.clear()

    def delete(self) -> None:
        self.driver.delete_snapshot(self.snapshot)
        self.assertIsNone(self.server.snapshot(self.there.uuid))

    def deletes(self) -> int:
        return self.server.operations().count('DeleteSnapshot')

    def test_delete_takes_three_requests(self):
        self.delete()
        self.assertEqual(['GetSnapshot', 'DeleteSnapshot', 'GetSnapshot'],
                         self.server.operations(probes=True))

    def test_v7_snapshot_that_is_gone_is_success(self):
        self.delete()
        self.server.requests.clear()
        self.delete()
        self.assertEqual(['GetSnapshot'], self.server.operations())

    @ddt.data('Deleting', 'Deleted', 'Failed')
    def test_v7_snapshot_on_its_way_out_is_success(self, state):
        self.server.fault('GetSnapshot', body={
            **self.there.reply(), 'state': state})
        self.driver.delete_snapshot(self.snapshot)
        self.assertEqual(['GetSnapshot'], self.server.operations())

    def test_v7_snapshot_with_living_clones_is_success(self):
        self.server.add_volume('clone', source_uuid=self.there.uuid)
        self.driver.delete_snapshot(self.snapshot)
        self.assertEqual('Deleting', self.there.state)
        self.assertEqual([], self.clock.sleeps)

    @ddt.data((400, 3), (401, None), (403, None), (501, None))
    @ddt.unpack
    def test_v7_refused_is_an_error(self, status, code):
        self.server.fault('DeleteSnapshot', status=status, code=code,
                          message='the snapshot has clones', times=None)
        error = self.assertRaises(exception.LightOSRefused,
                                  self.driver.delete_snapshot, self.snapshot)
        self.assert_tells(
            error, 'delete snapshot %s of volume %s'
            % (self.snapshot.id, self.volume.id), self.there.uuid,
            'project default', 'HTTP %d' % status, 'the snapshot has clones')
        self.assertEqual(('Available', 1),
                         (self.there.state, self.deletes()))

    @ddt.data((400, 9), (412, None), (409, None))
    @ddt.unpack
    def test_v7_never_snapshot_is_busy(self, status, code):
        self.server.fault('DeleteSnapshot', status=status, code=code,
                          message='the snapshot has clones', times=None)
        error = self.assertRaises(exception.LightOSNotSeen,
                                  self.driver.delete_snapshot, self.snapshot)
        self.assert_tells(error, self.snapshot.id, 'the snapshot has clones')

    @ddt.data(401, 403, 400)
    def test_v7_snapshot_that_may_not_be_read_is_no_success(self, status):
        self.server.fault('GetSnapshot', status=status, times=None)
        error = self.assertRaises(exception.LightOSRefused,
                                  self.driver.delete_snapshot, self.snapshot)
        self.assert_tells(error, self.snapshot.id, self.there.uuid,
                          'HTTP %d' % status)

    @ddt.data(('GetSnapshot', 500), ('GetSnapshot', 503),
              ('DeleteSnapshot', 500), ('DeleteSnapshot', 503))
    @ddt.unpack
    def test_v7_trouble_without_end_is_no_success(self, operation, status):
        self.server.fault(operation, status=status, times=None)
        error = self.assertRaises(exception.LightOSNotSeen,
                                  self.driver.delete_snapshot, self.snapshot)
        self.assert_tells(error, self.snapshot.id, 'HTTP %d' % status)
        self.assertEqual('Available', self.there.state)

    @ddt.data(*PASSING, (404, None))
    @ddt.unpack
    def test_e2_delete_waits_out_passing_trouble(self, status, code):
        self.server.fault('DeleteSnapshot', status=status, code=code, times=3)
        self.delete()

    def test_e2_delete_waits_as_long_as_the_cluster_asks(self):
        self.server.fault('DeleteSnapshot', status=429,
                          headers={'Retry-After': '20'})
        self.delete()
        self.assertEqual([20.0], self.clock.sleeps)

    @ddt.data({'status': 500}, {'status': 404}, {'lose_reply': True},
              {'status': 409}, {'hang': True})
    def test_v7_delete_is_looked_at_whatever_was_answered(self, fault):
        self.server.fault('DeleteSnapshot', executed=True, **fault)
        self.delete()
        self.assertEqual(1, self.deletes())

    def test_o5_delete_carries_the_etag_that_was_read(self):
        etag = self.there.etag
        self.delete()
        self.assertEqual(etag, self.server.requests[1].headers['If-Match'])

    @ddt.data(400, 412)
    def test_o5_snapshot_that_changed_is_read_again(self, status):
        self.server.etag_mismatch = status
        self.server.fault('DeleteSnapshot', before=lambda request: setattr(
            self.there, 'labels', (('key', 'value'),)))
        self.delete()

    def test_o5_snapshot_of_another_record_is_not_deleted(self):
        self.make_snapshot(self.volume, id=SOME_UUID)
        other = self.server.add_snapshot(
            'snapshot-' + SOME_UUID, self.server.volume(self.volume.name))
        self.snapshot.provider_id = 'default ' + other.uuid
        self.delete()
        self.assertEqual('Available', other.state)

    def test_o5_snapshot_of_another_volume_is_not_deleted(self):
        other = self.server.add_snapshot(
            'theirs', self.server.add_volume('other'))
        self.snapshot.provider_id = 'default ' + other.uuid
        self.delete()
        self.assertEqual('Available', other.state)

    def test_o5_snapshot_whose_volume_is_not_there_is_not_proven(self):
        other = self.server.add_snapshot(
            'theirs', self.server.add_volume('other'))
        self.driver.delete_volume(self.volume)
        self.volume.provider_id = None
        self.volume.save()
        self.snapshot = self.make_snapshot(
            self.volume, id=SOME_UUID, provider_id='default ' + other.uuid)
        self.driver.delete_snapshot(self.snapshot)
        self.assertEqual('Available', other.state)


@ddt.ddt
class FindTestCase(base.LightOSTestCase):
    """Which snapshot a record means, seen by what a delete deletes."""

    def setUp(self) -> None:
        super().setUp()
        self.server.projects.update({'blue': '', 'green': ''})
        self.volume = self.make_volume()

    def snapshot_in(self, project: str,
                    **attributes: Any) -> fake_lightos.Snapshot:
        return self.server.add_snapshot(
            self.snapshot.name, self.server.add_volume('x', project=project),
            **attributes)

    def delete(self, volume_says: str, snapshot_says: str) -> None:
        self.volume.provider_id = volume_says
        self.volume.save()
        self.snapshot = self.make_snapshot(self.volume)
        self.snapshot.provider_id = snapshot_says
        self.ours, self.other = (self.snapshot_in(project)
                                 for project in ('blue', 'green'))
        if snapshot_says:
            self.snapshot.provider_id = snapshot_says % self.ours.uuid
        self.driver.delete_snapshot(self.snapshot)

    @ddt.data('blue', 'blue ' + SOME_UUID)
    def test_o4_snapshot_is_looked_for_where_its_volume_is(self, recorded):
        self.delete(recorded, None)
        self.assertEqual([self.other], self.server.snapshots())

    def test_o4_own_provider_id_counts(self):
        self.delete('green ' + SOME_UUID, 'blue %s')
        self.assertEqual([self.other], self.server.snapshots())

    def test_o4_snapshot_is_looked_for_in_the_project_of_the_type(self):
        self.volume = self.make_volume(self.make_type(
            lightos__project_name='blue'))
        self.delete(None, None)
        self.assertEqual([self.other], self.server.snapshots())

    def test_e8_of_several_of_a_name_the_live_one_counts(self):
        self.snapshot = self.make_snapshot(self.volume)
        husk, live = (self.snapshot_in('default', state=state)
                      for state in ('Failed', 'Available'))
        self.driver.delete_snapshot(self.snapshot)
        self.assertEqual([husk], self.server.snapshots())

    def test_e8_husk_found_by_name_is_not_there(self):
        self.snapshot = self.make_snapshot(self.volume)
        self.snapshot_in('default', state='Failed', size=units.Gi)
        self.driver.delete_snapshot(self.snapshot)
        self.assertEqual(['ListSnapshots'], self.server.operations())

    def test_o4_template_names_the_snapshot(self):
        self.override_config('snapshot_name_template', 'old-%s')
        self.snapshot = self.make_snapshot(self.volume)
        there = self.server.add_snapshot(
            'old-' + self.snapshot.id, self.server.add_volume('x'))
        self.driver.delete_snapshot(self.snapshot)
        self.assertNotIn(there, self.server.snapshots())
