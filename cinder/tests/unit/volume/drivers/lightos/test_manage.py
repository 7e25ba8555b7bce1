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

"""Taking in volumes that Cinder has not made, and letting them go."""

import math
from typing import Any

import ddt
from oslo_utils import units

from cinder import exception as cinder_exception
from cinder import objects
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import exception

UUID = 'abcdef00-2222-4333-8444-555555555555'
HOST = 'nqn.2014-08.org.nvmexpress:uuid:somebody'
CLOSED = {'acl': {'values': ['ALLOW_NONE']},
          'IPAcl': {'values': ['ALLOW_NONE']}}
NOT_NAMES = ({}, None, 'v', ['v'], 7, {'source-name': 'v', 'source-id': UUID},
             {'name': 'v'}, {'source-name': 'v', 'other': 1},
             {'source-name': None}, {'source-name': ''},
             {'source-name': ['v']}, {'source-name': {'x': 1}},
             {'source-name': 'a\x00b'}, {'source-name': 'v\n'},
             {'source-name': 'a/../b'}, {'source-name': '..'},
             {'source-name': 'x' * 254}, {'source-name': 7},
             {'source-id': 'v'}, {'source-id': None}, {'source-id': 7},
             {'source-id': ''}, {'source-id': [UUID]},
             {'source-id': UUID + '\x00'}, {'source-id': UUID + '/..'})


class ManageTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.server.projects['blue'] = ''
        self.there = self.server.add_volume('theirs', uuid=UUID)
        self.volume = self.make_volume(size=0, status='managing')

    def use_type(self, volume_type: objects.VolumeType) -> None:
        self.record(self.volume, {'volume_type_id': volume_type.id})
        self.volume.refresh()

    def ref(self) -> dict[str, str]:
        return {'source-name': self.there.name}

    def manage(self, ref: Any = None) -> fake_lightos.Volume:
        """Do what Cinder does, and return the volume as it is then."""
        ref = ref or self.ref()
        size = self.driver.manage_existing_get_size(self.volume, ref)
        update = self.driver.manage_existing(self.volume, ref)
        self.record(self.volume, {**update, 'size': size})
        return self.server.volume(update['provider_id'].split()[1])

    def refusal(self, ref: Any = None,
                kind: type[Exception] =
                cinder_exception.ManageExistingInvalidReference
                ) -> Exception:
        """The error of both calls; nothing is changed by them."""
        ref = self.ref() if ref is None else ref
        error = self.assertRaises(
            kind, self.driver.manage_existing_get_size, self.volume, ref)
        again = self.assertRaises(
            kind, self.driver.manage_existing, self.volume, ref)
        self.assertEqual(str(error), str(again))
        self.assertEqual([], self.changes())
        return error

    def changes(self) -> list[Any]:
        return [request.body for request in self.server.requests
                if request.method != 'GET']


@ddt.ddt
class VolumeTestCase(ManageTestCase):

    @ddt.data({'source-name': 'theirs'}, {'source-id': UUID},
              {'source-id': UUID.upper()})
    def test_volume_is_renamed_closed_and_recorded(self, ref):
        self.assertIs(self.there, self.manage(ref))
        self.assertEqual(
            ('volume-' + self.volume.id, ('ALLOW_NONE',), ('ALLOW_NONE',)),
            (self.there.name, self.there.acl, self.there.ip_acl))
        self.assertEqual(('default ' + UUID, 1),
                         (self.volume.provider_id, self.volume.size))

    def test_o5_it_is_one_change_of_what_was_read(self):
        self.mock_object(self.driver, '_labelling')
        self.there.size = units.Gi + 4096
        etag = self.there.etag
        self.manage()
        (sent,) = (request for request in self.server.requests
                   if request.method != 'GET')
        self.assertEqual(
            ({**CLOSED, 'size': '2 gib', 'newName': self.there.name}, etag),
            (sent.body, sent.headers['If-Match']))

    def test_what_was_found_is_not_looked_for_again(self):
        self.mock_object(self.driver, '_labelling')
        self.driver.manage_existing(self.volume, self.ref())
        self.assertEqual(
            ['ListVolumes', 'UpdateVolume', 'GetVolume'],
            [request.operation for request in self.server.requests])

    @ddt.data((1, 1), (units.Gi - 4096, 1), (units.Gi, 1),
              (units.Gi + 4096, 2), (3 * units.Gi, 3))
    @ddt.unpack
    def test_parts_of_a_gib_are_made_whole(self, size, gib):
        self.there.size = size
        self.manage()
        self.assertEqual((gib, gib * units.Gi),
                         (self.volume.size, self.there.size))

    def test_e3_it_is_seen_on_return(self):
        self.mock_object(self.driver, '_labelling')
        self.server.work_time['UpdateVolume'] = 30
        self.manage()
        self.assertEqual('Available', self.there.state)

    @ddt.data({'lose_reply': True}, {'lose_request': True}, {'status': 412},
              {'status': 503, 'code': 14}, {'status': 400, 'code': 9})
    def test_e2_passing_trouble_is_waited_out(self, trouble):
        self.server.fault('UpdateVolume', **trouble)
        self.manage()
        self.assertEqual('volume-' + self.volume.id, self.there.name)

    def test_managed_volume_is_one_like_others(self):
        self.manage()
        self.driver.extend_volume(self.volume, 2)
        self.driver.initialize_connection(self.volume, self.host_connector())
        self.driver.terminate_connection(self.volume, None)
        self.driver.delete_volume(self.volume)
        self.assertIsNone(self.server.volume(UUID))

    def test_volume_of_the_project_of_the_type(self):
        self.use_type(self.make_type(lightos__project_name='blue'))
        self.server.add_volume('other')
        there = self.server.add_volume('other', project='blue')
        self.assertIs(there, self.manage({'source-name': 'other'}))
        self.assertEqual('blue ' + there.uuid, self.volume.provider_id)

    def test_volume_without_a_type_is_of_the_project_default(self):
        self.volume.volume_type_id = self.volume.volume_type = None
        update = self.driver.manage_existing(self.volume, self.ref())
        self.assertEqual({'provider_id': 'default ' + UUID}, update)

    @ddt.data({'source-name': 'theirs'}, {'source-id': UUID})
    def test_volume_of_another_project_is_a_mismatch(self, ref):
        self.there.project = 'blue'
        error = self.refusal(
            ref, cinder_exception.ManageExistingVolumeTypeMismatch)
        self.assert_tells(error, UUID, 'blue', 'default',
                          'lightos:project_name')

    def test_volume_is_looked_for_in_all_projects_that_the_token_opens(self):
        self.server.projects['green'] = ''
        self.there.project = 'green'
        self.server.fault('ListVolumes', status=403, code=7, times=None,
                          when=lambda request: '/blue/' in request.path)
        error = self.refusal(
            kind=cinder_exception.ManageExistingVolumeTypeMismatch)
        self.assert_tells(error, UUID, 'green')

    @ddt.data({'source-name': 'none'}, {'source-id': UUID[:-1] + '6'})
    def test_volume_that_is_not_there(self, ref):
        self.assert_tells(self.refusal(ref), 'no such volume', 'default',
                          *ref.values())

    def test_volume_that_is_not_there_with_the_token_of_a_project(self):
        self.server.fault('ListProjects', status=403, code=7, times=None)
        self.make_type(lightos__project_name='blue')
        self.server.fault('ListVolumes', status=403, code=7, times=None,
                          when=lambda request: '/blue/' in request.path)
        self.assert_tells(self.refusal({'source-name': 'none'}),
                          'no such volume')

    @ddt.data('ListProjects', 'ListVolumes')
    def test_volume_that_is_not_there_whatever_else_is_wrong(self, name):
        self.server.fault(name, status=500, code=13, times=None,
                          when=lambda request:
                          '/default/' not in request.path)
        error = self.assertRaises(
            cinder_exception.ManageExistingInvalidReference,
            self.driver.manage_existing_get_size, self.volume,
            {'source-name': 'none'})
        self.assert_tells(error, 'no such volume')

    @ddt.data(*NOT_NAMES)
    def test_o6_references_that_name_nothing(self, ref):
        error = self.assertRaises(
            cinder_exception.ManageExistingInvalidReference,
            self.driver.manage_existing_get_size, self.volume, ref)
        self.assert_tells(error, 'source-')
        self.assertRaises(
            cinder_exception.ManageExistingInvalidReference,
            self.driver.manage_existing, self.volume, ref)
        self.assertEqual([], self.server.requests)

    @ddt.data(({'name': 'v'}, "'name' is neither source-name nor source-id"),
              ({'source-name': 'a/../b'}, 'source-name must be the name'),
              ({'source-id': 'v'}, 'source-id must be the UUID'))
    @ddt.unpack
    def test_o6_reference_that_names_nothing_says_why(self, ref, why):
        self.assert_tells(self.refusal(ref), why)

    @ddt.data('Creating', 'Updating', 'Rollback', 'Failed', 'Deleting',
              'Unknown')
    def test_volume_out_of_service_is_refused(self, state):
        self.there.state = state
        self.assert_tells(self.refusal({'source-id': UUID}), UUID,
                          'default', 'is ' + state)

    def test_volume_whose_replicas_are_down_is_refused(self):
        self.there.protection = 'NotAvailable'
        self.assert_tells(self.refusal(), 'NotAvailable')

    @ddt.data(((HOST,), 'lets in hosts'), (('ALLOW_ANY',), 'any host'))
    @ddt.unpack
    def test_volume_that_lets_in_hosts_is_refused(self, acl, told):
        self.there.acl = acl
        self.assert_tells(self.refusal(), *acl, told, 'ALLOW_NONE')

    def test_e4_volume_that_an_earlier_try_has_taken_in(self):
        self.there.name = 'volume-' + self.volume.id
        self.record(self.volume, {'provider_id': 'default ' + UUID})
        self.manage({'source-id': UUID})
        taken_in, labelled = self.changes()
        self.assertNotIn('labels', taken_in)
        self.assertEqual(['labels'], list(labelled))

    def test_e4_volume_that_an_earlier_try_has_taken_in_is_not_let_go(self):
        self.there.name = 'volume-' + self.volume.id
        self.there.size = units.Gi + 4096
        self.server.fault('UpdateVolume', status=400, code=3, times=None)
        self.assertRaises(exception.LightOSRefused, self.manage)
        self.assertEqual(1, len(self.changes()))

    def test_volume_that_hosts_are_connected_to_is_refused(self):
        self.there.connected_hosts = (HOST,)
        self.assert_tells(self.refusal(), HOST)

    @ddt.data('name', 'other template', 'name_id', 'provider_id', 'backend')
    def test_volume_of_another_record_is_refused(self, how):
        values: dict[str, Any] = {'host': 'x@other#other'} if (
            how == 'backend') else {}
        if how == 'provider_id':
            values['provider_id'] = 'default ' + UUID
        if how == 'name_id':
            values['_name_id'] = UUID[:-1] + '7'
        owner = self.make_volume(**values)
        if how != 'provider_id':
            self.there.name = ('other-%s.x' if how == 'other template'
                               else 'volume-%s') % owner.name_id
        self.assert_tells(self.refusal(), owner.id, UUID)

    def test_volume_whose_record_is_gone_is_taken_in(self):
        owner = self.make_volume()
        self.there.name = owner.name
        owner.destroy()
        self.manage()

    def test_o5_volume_that_another_takes_meanwhile_is_refused(self):
        other = self.make_volume()
        self.server.fault(
            'UpdateVolume', before=lambda _request: setattr(
                self.there, 'name', 'volume-' + other.id))
        error = self.assertRaises(
            cinder_exception.ManageExistingInvalidReference, self.manage)
        self.assert_tells(error, other.id)
        self.assertEqual('volume-' + other.id, self.there.name)

    def test_o5_volume_that_is_attached_meanwhile_is_refused(self):
        self.server.fault(
            'UpdateVolume', before=lambda _request: setattr(
                self.there, 'acl', (HOST,)))
        self.assertRaises(
            cinder_exception.ManageExistingInvalidReference, self.manage)
        self.assertEqual(('theirs', (HOST,)),
                         (self.there.name, self.there.acl))

    @ddt.data(({'lightos__num_replicas': '2'}, '3 replicas', '2'),
              ({'compression': '<is> True'}, 'not compressed', 'type'),
              ({'lightos__qos_policy': 'gold'}, 'silver', 'gold'))
    @ddt.unpack
    def test_type_that_contradicts_is_a_mismatch(self, extra_specs, *words):
        self.there.qos_policy = self.server.add_policy('silver', limitBw={})
        self.use_type(self.make_type(**extra_specs))
        self.assert_tells(self.refusal(
            kind=cinder_exception.ManageExistingVolumeTypeMismatch), UUID,
            'default', *words)

    def test_type_that_agrees(self):
        gold = self.server.add_policy('gold', limitIOPS={})
        self.there.qos_policy, self.there.compression = gold, True
        self.use_type(self.make_type(
            lightos__num_replicas='3', compression='true',
            lightos__qos_policy='gold'))
        self.manage()

    def test_type_that_says_nothing_contradicts_nothing(self):
        self.there.replicas, self.there.compression = 1, True
        self.there.qos_policy = self.server.add_policy('x', limitBw={})
        self.manage()

    @ddt.data((256, None), (512, 'read_iops=256'))
    @ddt.unpack
    def test_limits_of_the_type_are_those_of_the_policy(self, has, told):
        self.there.qos_policy = self.server.add_policy(
            'x', limitIOPS={'readIOPSLimit': has})
        self.use_type(self.make_qos_type({'read_iops': '256'}))
        if told:
            self.assert_tells(self.refusal(
                kind=cinder_exception.ManageExistingVolumeTypeMismatch),
                told)
        else:
            self.manage()

    def test_token_that_may_not_see_policies_is_told(self):
        self.there.qos_policy = self.server.add_policy('x', limitBw={})
        self.use_type(self.make_qos_type({'read_iops': '256'}))
        self.server.fault('ListPolicies', status=403, code=7, times=None)
        self.assert_tells(self.refusal(kind=exception.LightOSRefused),
                          'cluster-admin')

    @ddt.data({'status': 400, 'code': 3}, {'status': 403, 'code': 7},
              {'status': 501, 'code': 12})
    def test_refused_change_leaves_the_volume_as_it_was(self, answer):
        self.server.fault('UpdateVolume', message='no way', times=None,
                          **answer)
        self.there.size = 4096
        error = self.assertRaises(exception.LightOSRefused, self.manage)
        self.assert_tells(error, self.volume.id, 'no way', UUID,
                          "manage {'source-name': 'theirs'}")
        self.assertEqual(('theirs', 4096), (self.there.name,
                                            self.there.size))
        self.assertEqual(1, len(self.changes()))

    def test_name_and_lists_are_put_back(self):
        self.server.work_time['UpdateVolume'] = 82
        self.assertRaises(exception.LightOSNotSeen, self.manage)
        self.assertEqual(
            {'newName': 'theirs', 'IPAcl': {'values': ['ALLOW_ANY']},
             'acl': {'values': ['ALLOW_NONE']}}, self.changes()[-1])

    def let_go_of(self, size: int = units.Gi) -> str:
        """Take in a volume of a size in vain, and return what was warned."""
        self.there.size = size
        self.delay_update(82)
        warnings = self.warnings()
        self.assertRaises(exception.LightOSNotSeen, self.manage)
        return str(warnings.output)

    def test_volume_that_is_let_go_as_it_was_is_no_warning(self):
        self.assertEqual('', self.let_go_of())

    def test_extension_that_cannot_be_undone_is_told(self):
        self.assertIn('from %d to %d' % (units.Gi + 4096, 2 * units.Gi),
                      self.let_go_of(units.Gi + 4096))

    def test_volume_that_is_gone_when_it_is_let_go_is_no_warning(self):
        let_go_from = self.clock.monotonic() + 80
        self.server.fault('GetVolume', status=404, times=None,
                          when=lambda request: request.at > let_go_from)
        self.assertEqual('', self.let_go_of())

    def test_what_could_not_be_managed_is_never_deleted(self):
        self.server.work_time['UpdateVolume'] = math.inf
        self.assertRaises(exception.LightOSNotSeen, self.manage)
        self.server.work_time.clear()
        self.there.state, self.there.name = 'Available', self.volume.name
        self.volume.status = 'error_managing_deleting'
        self.server.requests.clear()
        self.driver.delete_volume(self.volume)
        self.assertEqual([], self.server.requests)

    def test_size_that_is_not_told_is_refused(self):
        reply = self.there.reply()
        del reply['size']
        self.server.fault('GetVolume', body=reply)
        error = self.assertRaises(
            cinder_exception.ManageExistingInvalidReference,
            self.driver.manage_existing_get_size, self.volume,
            {'source-id': UUID})
        self.assert_tells(error, 'size')


class UnmanageTestCase(ManageTestCase):

    def test_volume_stays_as_it_is(self):
        self.manage()
        self.server.requests.clear()
        name = self.there.name
        self.driver.unmanage(self.volume)
        self.assertEqual((name, 'Available'),
                         (self.there.name, self.there.state))

    def test_volume_can_be_managed_again(self):
        self.manage()
        self.driver.unmanage(self.volume)
        self.volume.destroy()
        self.volume = self.make_volume(size=0)
        self.assertIs(self.there, self.manage())

    def test_snapshot_stays_as_it_is(self):
        self.manage()
        snapshot = self.make_snapshot(self.volume, create=True)
        self.server.requests.clear()
        self.driver.unmanage_snapshot(snapshot)
        self.assertEqual([], self.server.requests)


@ddt.ddt
class SnapshotTestCase(ManageTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.make_volume(create=True)
        self.there = self.server.volume(self.volume.name)
        self.there.data = 'old'
        self.theirs = self.server.add_snapshot('nightly', self.there,
                                               uuid=UUID[:-1] + '9')
        self.there.data = 'new'
        self.snapshot = self.make_snapshot(self.volume)

    def manage(self, ref: Any = None) -> fake_lightos.Snapshot:
        ref = ref or {'source-name': self.theirs.name}
        size = self.driver.manage_existing_snapshot_get_size(
            self.snapshot, ref)
        self.record(self.snapshot, {
            **self.driver.manage_existing_snapshot(self.snapshot, ref),
            'volume_size': size})
        self.assertEqual([], self.changes())
        return self.server.snapshot(self.snapshot.provider_id.split()[1])

    def refusal(self, ref: Any = None,
                kind: type[Exception] =
                cinder_exception.ManageExistingInvalidReference
                ) -> Exception:
        ref = {'source-name': self.theirs.name} if ref is None else ref
        self.assertRaises(
            kind, self.driver.manage_existing_snapshot_get_size,
            self.snapshot, ref)
        return self.assertRaises(
            kind, self.driver.manage_existing_snapshot, self.snapshot, ref)

    @ddt.data({'source-name': 'nightly'}, {'source-id': UUID[:-1] + '9'},
              {'source-id': (UUID[:-1] + '9').upper()})
    def test_o4_snapshot_is_recorded_and_keeps_its_name(self, ref):
        self.server.requests.clear()
        self.assertIs(self.theirs, self.manage(ref))
        self.assertEqual(('nightly', 'default ' + self.theirs.uuid),
                         (self.theirs.name, self.snapshot.provider_id))

    def test_e4_snapshot_that_an_earlier_try_has_taken_in(self):
        self.server.requests.clear()
        self.manage()
        self.assertIs(self.theirs, self.manage())

    def test_size_is_rounded_up(self):
        self.server.requests.clear()
        self.theirs.size = units.Gi + 4096
        self.manage()
        self.assertEqual(2, self.snapshot.volume_size)

    def managed(self) -> None:
        self.server.requests.clear()
        self.manage()

    def test_o4_managed_snapshot_is_deleted(self):
        self.managed()
        self.driver.delete_snapshot(self.snapshot)
        self.assertEqual([], self.server.snapshots())

    def test_o4_managed_snapshot_is_reverted_to(self):
        self.managed()
        self.driver.revert_to_snapshot(self.context, self.volume,
                                       self.snapshot)
        self.assertEqual('old', self.there.data)

    def test_o4_volume_from_a_managed_snapshot(self):
        self.managed()
        copy = self.make_volume()
        self.driver.create_volume_from_snapshot(copy, self.snapshot)
        self.assertEqual('old', self.server.volume(copy.name).data)

    @ddt.data('renamed', 'name_id', 'no UUID', 'managed anew')
    def test_o4_managed_snapshot_is_found_whatever_its_volume_is(self, how):
        self.managed()
        if how == 'renamed':
            self.there.name = 'x'
        if how == 'name_id':
            self.volume._name_id = UUID
            self.volume.save()
            self.there.name = 'volume-' + UUID
        if how == 'no UUID':
            self.record(self.volume, {'provider_id': None})
        if how == 'managed anew':
            provider_id = self.snapshot.provider_id
            self.snapshot.destroy()
            self.volume.destroy()
            self.volume = self.make_volume(size=0)
            ManageTestCase.manage(self)
            self.snapshot = self.make_snapshot(self.volume)
            self.server.requests.clear()
            self.manage()
            self.assertEqual(provider_id, self.snapshot.provider_id)
        self.snapshot = objects.Snapshot.get_by_id(self.context,
                                                   self.snapshot.id)
        self.driver.delete_snapshot(self.snapshot)
        self.assertEqual([], self.server.snapshots())

    def test_o2_recorded_snapshot_of_another_record_is_not_deleted(self):
        mine = self.make_snapshot(self.volume, create=True)
        self.snapshot.provider_id = mine.provider_id
        self.driver.delete_snapshot(self.snapshot)
        self.assertIsNotNone(self.server.snapshot(mine.name))

    def test_o2_recorded_snapshot_of_another_volume_is_not_deleted(self):
        other = self.server.add_snapshot('x', self.server.add_volume('y'))
        self.snapshot.provider_id = 'default ' + other.uuid
        self.driver.delete_snapshot(self.snapshot)
        self.assertIsNotNone(self.server.snapshot('x'))

    def test_delete_of_one_that_could_not_be_managed_deletes_nothing(self):
        self.driver.delete_snapshot(self.snapshot)
        self.assertEqual([self.theirs], self.server.snapshots())

    def test_snapshot_of_another_volume_is_refused(self):
        other = self.server.add_volume('other')
        self.theirs.volume_uuid = other.uuid
        self.assert_tells(self.refusal(), other.uuid, self.there.uuid,
                          self.volume.id)

    @ddt.data({'source-name': 'none'}, {'source-id': UUID})
    def test_snapshot_that_is_not_there(self, ref):
        self.assert_tells(self.refusal(ref), 'no such snapshot', 'default',
                          self.volume.id, *ref.values())

    def test_snapshot_of_another_project_is_not_there(self):
        self.theirs.project = 'blue'
        self.assert_tells(self.refusal(), 'no such snapshot')

    @ddt.data(*NOT_NAMES)
    def test_o6_references_that_name_nothing(self, ref):
        self.server.requests.clear()
        self.assert_tells(self.refusal({} if ref is None else ref),
                          'source-')
        self.assertEqual([], self.server.requests)

    @ddt.data('name', 'provider_id')
    def test_snapshot_of_another_record_is_refused(self, how):
        owner = self.make_snapshot(self.volume, create=True)
        if how == 'name':
            self.theirs.name = 'old-' + owner.id
        else:
            self.record(owner, {
                'provider_id': 'default ' + self.theirs.uuid})
        self.assert_tells(self.refusal(), owner.id)

    def test_temporary_snapshot_is_refused(self):
        self.theirs.name = 'for_clone_%s_1' % UUID
        self.assert_tells(self.refusal(), 'temporary')

    @ddt.data('Creating', 'Deleting', 'Failed', 'Unknown')
    def test_snapshot_that_is_not_available_is_refused(self, state):
        self.theirs.state = state
        self.assert_tells(self.refusal({'source-id': self.theirs.uuid}),
                          'is ' + state)

    @ddt.data(('3600s', True), ('0s', False), ('0.0s', False), ('', False))
    @ddt.unpack
    def test_snapshot_that_goes_by_itself_is_refused(self, retention, goes):
        self.theirs.retention = retention
        if goes:
            self.assert_tells(self.refusal(), retention)
        else:
            self.managed()

    def test_volume_that_is_gone_is_not_found(self):
        self.server.fault('GetVolume', status=404, times=None)
        self.refusal(kind=cinder_exception.VolumeNotFound)
