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
"""By which labels a volume on the cluster says whose it is."""

import logging
from typing import Any, Optional

import ddt
import fixtures
import testtools

from cinder import exception as cinder_exception
from cinder.tests.unit import fake_constants as fake
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import labels

OWNER = labels.Ownership('volume', 'project', 'type', 'host@backend')
OURS = (('cinder_volume_id', 'volume'), ('openstack_project_id', 'project'),
        ('cinder_volume_type', 'type'), ('cinder_backend', 'host_backend'))
OTHER_ID = '00000000-1111-4222-8333-444444444444'


def operators(number: int) -> tuple[tuple[str, str], ...]:
    """So many labels of an operator's."""
    return tuple(('key%d' % each, 'x') for each in range(number))


@ddt.ddt
class OwnershipTestCase(testtools.TestCase):

    def test_labels_name_what_a_volume_belongs_to(self) -> None:
        self.assertEqual(OURS, OWNER.labels())

    def test_what_is_not_known_has_no_label(self) -> None:
        owner = OWNER._replace(volume_type_id=None, project_id='')
        self.assertEqual((OURS[0], OURS[3]), owner.labels())

    @ddt.data(('a b', 'a_b'), ('x' * 300, 'x' * 253), ('\u00e4/\n', '___'),
              ('A-z_0.9', 'A-z_0.9'), ('host@backend#pool',
                                       'host_backend_pool'))
    @ddt.unpack
    def test_value_that_the_api_does_not_take_is_made_one(
            self, value, label) -> None:
        owner = OWNER._replace(project_id=value)
        self.assertIn(('openstack_project_id', label), owner.labels())

    def test_keys_have_no_separators(self) -> None:
        self.assertEqual([], [key for key in labels.OURS
                              if '-' in key or '.' in key])

    def test_an_operators_labels_stay(self) -> None:
        self.assertEqual(
            (('team', 'red'), *OURS),
            OWNER.among((('cinder_volume_id', 'old'), ('team', 'red'))))

    @ddt.data((0, 4), (12, 4), (13, 3), (15, 1), (16, 0), (20, 0))
    @ddt.unpack
    def test_ours_take_the_room_that_is_left(self, theirs, ours) -> None:
        self.assertEqual(operators(theirs) + OURS[:ours],
                         OWNER.among(OURS + operators(theirs)))

    def test_of_a_volume_let_go_an_operators_labels_are_left(self) -> None:
        self.assertEqual(operators(2), labels.let_go(
            operators(1) + OURS + operators(2)[1:]))

    @ddt.data(None, (), (('team', 'red'),), (('cinder_unmanaged', 'x'),))
    def test_what_is_not_ours_is_let_go_as_it_is(self, present) -> None:
        self.assertEqual(present or (), labels.let_go(present))

    def test_of_a_volume_let_go_one_label_is_left(self) -> None:
        self.assertEqual((('cinder_unmanaged', 'volume'),),
                         labels.let_go(OURS))

    @ddt.data(None, (), (('team', 'red'),))
    def test_labels_that_name_no_volume_deny_nothing(self, present) -> None:
        self.assertFalse(OWNER.is_denied_by(present))


class LabelsTestCase(base.LightOSTestCase):

    def labels_of(self, volume: Any) -> Optional[dict[str, str]]:
        there = self.server.volume('volume-' + volume.name_id)
        return there and dict(there.labels)

    def expected(self, volume: Any, **changed: str) -> dict[str, str]:
        return {'cinder_volume_id': volume.id,
                'openstack_project_id': volume.project_id,
                'cinder_volume_type': volume.volume_type_id,
                'cinder_backend': 'controller_lightos', **changed}

    def add_label(self, volume: Any, key: str, value: str) -> None:
        there = self.server.volume(volume.name)
        there.labels = (*there.labels, (key, value))

    def refuse_labels(self, operation: str = '*',
                      **fault: Any) -> fake_lightos.Fault:
        return self.server.fault(
            operation, when=lambda request: 'labels' in request.body,
            times=None, **{'status': 400, 'message': 'unknown field',
                           **fault})


@ddt.ddt
class CreateTestCase(LabelsTestCase):

    def test_new_volume_has_labels(self) -> None:
        volume = self.make_volume(create=True)
        self.assertEqual(self.expected(volume), self.labels_of(volume))

    def test_volume_without_a_type_has_no_label_of_it(self) -> None:
        volume = self.make_volume(volume_type_id=None)
        volume.volume_type_id = None
        self.driver.create_volume(volume)
        self.assertNotIn('cinder_volume_type', self.labels_of(volume))

    def test_backend_of_a_cluster_of_services_is_the_cluster(self) -> None:
        self.driver.cluster_name = 'controllers@lightos'
        volume = self.make_volume(create=True)
        self.assertEqual('controllers_lightos',
                         self.labels_of(volume)['cinder_backend'])

    @ddt.data('snapshot', 'volume')
    def test_copy_has_labels_of_its_own(self, source) -> None:
        original = self.make_volume(create=True, project_id='theirs')
        self.add_label(original, 'team', 'red')
        volume = self.make_volume()
        if source == 'snapshot':
            self.driver.create_volume_from_snapshot(
                volume, self.make_snapshot(original, create=True))
        else:
            self.driver.create_cloned_volume(volume, original)
        self.assertEqual(self.expected(volume), self.labels_of(volume))

    def test_labels_cost_no_request(self) -> None:
        original = self.make_volume(create=True)
        snapshot = self.make_snapshot(original, create=True)
        for count, create in (
                (2, lambda volume: self.driver.create_volume(volume)),
                (2, lambda volume: self.driver.create_volume_from_snapshot(
                    volume, snapshot)),
                (5, lambda volume: self.driver.create_cloned_volume(
                    volume, original))):
            self.server.requests.clear()
            create(self.make_volume())
            self.assertEqual(count, len(self.server.requests))

    @ddt.data({}, {'code': 3}, {'html': True})
    def test_d2_cluster_that_refuses_labels_still_makes_volumes(
            self, fault) -> None:
        self.refuse_labels(**fault)
        volume = self.make_volume(create=True)
        self.assertEqual({}, self.labels_of(volume))
        self.assertEqual(['CreateVolume', 'CreateVolume', 'GetVolume'],
                         self.server.operations())

    def test_d2_refusal_of_labels_is_remembered(self) -> None:
        fault = self.refuse_labels()
        first = self.make_volume(create=True)
        self.server.requests.clear()
        self.make_volume(create=True)
        self.driver.accept_transfer(self.context, first, fake.USER2_ID,
                                    fake.PROJECT2_ID)
        self.assertEqual(['CreateVolume', 'GetVolume'],
                         self.server.operations())
        self.assertEqual(1, fault.hits)

    def test_d2_labels_are_offered_again_after_an_hour(self) -> None:
        fault = self.refuse_labels()
        self.make_volume(create=True)
        fault.times = 0
        self.clock.advance(3601)
        volume = self.make_volume(create=True)
        self.assertEqual(self.expected(volume), self.labels_of(volume))

    def test_refusal_for_another_reason_is_reported(self) -> None:
        self.server.fault('CreateVolume', status=400, times=None,
                          message='no room')
        volume = self.make_volume()
        error = self.assertRaises(exception.LightOSRefused,
                                  self.driver.create_volume, volume)
        self.assert_tells(error, volume.id, 'no room')
        self.server.fault('CreateVolume', times=0)
        self.server.requests.clear()
        self.assertRaises(exception.LightOSRefused,
                          self.driver.create_volume, volume)
        self.assertIn('labels', self.server.requests[0].body)

    def test_d2_cluster_that_ignores_labels_costs_nothing(self) -> None:
        def ignore(_request: fake_lightos.Request) -> None:
            for volume in self.server.volumes():
                volume.labels = ()

        self.server.fault('CreateVolume', after=ignore, times=None)
        volume = self.make_volume(create=True)
        self.driver.accept_transfer(self.context, volume, fake.USER2_ID,
                                    fake.PROJECT2_ID)
        self.assertEqual((['CreateVolume', 'GetVolume'], []),
                         (self.server.operations(), self.clock.sleeps))

    def test_e4_name_taken_by_a_volume_labelled_for_another_is_an_error(
            self) -> None:
        volume = self.make_volume()
        there = self.server.add_volume(
            volume.name, ip_acl=('ALLOW_NONE',),
            labels=(('cinder_volume_id', OTHER_ID),))
        error = self.assertRaises(exception.LightOSNotOurs,
                                  self.driver.create_volume, volume)
        self.assert_tells(error, volume.id, there.uuid, OTHER_ID)
        self.assertEqual((('cinder_volume_id', OTHER_ID),), there.labels)

    @ddt.data((), (('cinder_backend', 'elsewhere'), ('team', 'red')))
    def test_e4_adopted_volume_gets_labels(self, present) -> None:
        volume = self.make_volume()
        self.server.add_volume(volume.name, labels=present,
                               ip_acl=('ALLOW_NONE',))
        self.driver.create_volume(volume)
        self.assertEqual({**dict(present), **self.expected(volume)},
                         self.labels_of(volume))

    @ddt.data({'status': 400}, {'status': 403}, {'status': 503}, {})
    def test_d2_adopted_volume_whose_labels_do_not_take_is_created(
            self, fault) -> None:
        volume = self.make_volume()
        self.server.add_volume(volume.name, ip_acl=('ALLOW_NONE',))
        self.server.fault('UpdateVolume', times=None,
                          **(fault or {'body': {}}))
        began = self.clock.monotonic()
        self.driver.create_volume(volume)
        self.assertLessEqual(self.clock.monotonic() - began, 26)

    def test_e4_lost_reply_is_looked_up_with_labels(self) -> None:
        self.server.fault('CreateVolume', lose_reply=True)
        volume = self.make_volume(create=True)
        self.assertEqual(self.expected(volume), self.labels_of(volume))
        self.assertEqual(['CreateVolume', 'ListVolumes', 'GetVolume'],
                         self.server.operations())


@ddt.ddt
class TransferTestCase(LabelsTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.make_volume(create=True)
        self.server.requests.clear()

    def transfer(self) -> None:
        # What the volume manager passes is no object but a row.
        row = {'id': self.volume.id}
        self.assertIsNone(self.driver.accept_transfer(
            self.context, row, fake.USER2_ID, fake.PROJECT2_ID))

    def test_label_names_the_new_project(self) -> None:
        self.transfer()
        self.assertEqual(
            self.expected(self.volume, openstack_project_id=fake.PROJECT2_ID),
            self.labels_of(self.volume))

    def test_transfer_takes_three_requests(self) -> None:
        self.transfer()
        self.assertEqual(['GetVolume', 'UpdateVolume', 'GetVolume'],
                         self.server.operations())

    def test_an_operators_labels_stay(self) -> None:
        self.add_label(self.volume, 'team', 'red')
        self.transfer()
        self.assertEqual('red', self.labels_of(self.volume)['team'])

    def test_label_that_another_writer_adds_meanwhile_stays(self) -> None:
        self.server.fault('UpdateVolume', before=lambda _request:
                          self.add_label(self.volume, 'team', 'red'))
        self.transfer()
        self.assertEqual(
            (fake.PROJECT2_ID, 'red'),
            (self.labels_of(self.volume)['openstack_project_id'],
             self.labels_of(self.volume)['team']))

    @ddt.data({'status': 400}, {'status': 403}, {'status': 404},
              {'status': 503, 'times': None}, {'hang': True, 'times': None},
              {'refused': True, 'times': None})
    def test_d2_labels_that_do_not_take_keep_no_transfer(self, fault) -> None:
        self.server.fault(**fault)
        began = self.clock.monotonic()
        self.transfer()
        # The caller waits for rpc_response_timeout, 60 seconds.
        self.assertLess(self.clock.monotonic() - began, 15)

    def test_d2_refusal_in_a_transfer_is_told_and_remembered(self) -> None:
        log = self.useFixture(fixtures.FakeLogger(level=logging.WARNING))
        refusal = self.server.fault('UpdateVolume', status=400, times=None)
        self.clock.advance(4000)
        for _each in range(2):
            self.transfer()
        self.clock.advance(3599.5)
        self.transfer()
        self.assertEqual((1, 1), (
            refusal.hits, log.output.count('takes no labels')))

    def test_d2_trouble_in_a_transfer_is_no_refusal(self) -> None:
        trouble = self.server.fault('UpdateVolume', status=503, times=None)
        self.transfer()
        trouble.times = 0
        self.transfer()
        self.assertEqual(
            self.expected(self.volume, openstack_project_id=fake.PROJECT2_ID),
            self.labels_of(self.volume))

    def test_d2_volume_that_is_gone_keeps_no_transfer(self) -> None:
        self.driver.delete_volume(self.volume)
        self.transfer()

    def test_o2_volume_of_another_record_is_not_labelled(self) -> None:
        other = self.make_volume(create=True)
        self.record(self.volume, {'provider_id': other.provider_id})
        self.transfer()
        self.assertEqual(self.expected(other), self.labels_of(other))


class RetypeTestCase(LabelsTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.make_volume(create=True)
        self.add_label(self.volume, 'team', 'red')
        self.new_type = self.make_type(compression='<is> True')

    def retype(self, **extra_specs: tuple[Any, Any]) -> bool:
        return self.driver.retype(
            self.context, self.volume, self.new_type,
            {'extra_specs': {key.replace('__', ':'): pair
                             for key, pair in extra_specs.items()}},
            {'host': self.volume.host})

    def assert_labelled(self) -> None:
        self.assertEqual(
            self.expected(self.volume, cinder_volume_type=self.new_type.id,
                          team='red'), self.labels_of(self.volume))

    def test_label_names_the_new_type(self) -> None:
        self.assertTrue(self.retype(compression=(None, '<is> True')))
        self.assert_labelled()

    def test_label_names_a_new_type_that_asks_for_the_same(self) -> None:
        self.assertTrue(self.retype(other=(None, 'x')))
        self.assert_labelled()

    def test_label_stays_where_it_takes_a_migration(self) -> None:
        self.assertFalse(self.retype(
            lightos__num_replicas=(None, '1')))
        self.assertEqual(self.expected(self.volume, team='red'),
                         self.labels_of(self.volume))

    def test_sector_size_takes_a_migration(self) -> None:
        self.assertFalse(self.retype(lightos__sector_size=(None, '512')))
        self.assertTrue(self.retype(lightos__sector_size=(None, '4096')))

    def test_d2_labels_that_are_refused_keep_no_retype(self) -> None:
        self.refuse_labels('UpdateVolume')
        self.assertTrue(self.retype(compression=(None, '<is> True')))


@ddt.ddt
class ManageTestCase(LabelsTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.there = self.server.add_volume(
            'theirs', labels=(('team', 'red'),
                              ('cinder_volume_id', OTHER_ID)))
        self.volume = self.make_volume(size=0)
        self.reference = {'source-name': 'theirs'}

    def manage(self) -> None:
        self.record(self.volume, self.driver.manage_existing(
            self.volume, self.reference))

    def test_managed_volume_has_labels(self) -> None:
        self.manage()
        self.assertEqual({'team': 'red', **self.expected(self.volume)},
                         self.labels_of(self.volume))

    @ddt.data({'status': 400}, {'status': 503})
    def test_d2_labels_that_do_not_take_keep_no_manage(self, fault) -> None:
        self.refuse_labels('UpdateVolume', **fault)
        self.manage()
        self.assertEqual(self.volume.name, self.there.name)

    def test_unmanaged_volume_keeps_its_operators_labels(self) -> None:
        self.manage()
        self.driver.unmanage(self.volume)
        self.assertEqual((('team', 'red'),), self.there.labels)

    def test_unmanaged_volume_without_others_keeps_none_of_ours(
            self) -> None:
        self.there.labels = ()
        self.manage()
        self.driver.unmanage(self.volume)
        self.assertEqual((('cinder_unmanaged', self.volume.id),),
                         self.there.labels)
        self.assertEqual(1, len([
            request for request in self.server.requests
            if request.operation == 'UpdateVolume' and
            'cinder_unmanaged' in str(request.body)]))

    def test_volume_without_labels_is_unmanaged_without(self) -> None:
        self.manage()
        self.there.labels = ()
        self.driver.unmanage(self.volume)
        self.assertEqual((), self.there.labels)

    def test_volume_that_is_managed_again_has_labels(self) -> None:
        self.there.labels = ()
        self.manage()
        self.driver.unmanage(self.volume)
        self.volume.destroy()
        self.reference = {'source-id': self.there.uuid}
        self.volume = self.make_volume(size=0)
        self.manage()
        self.assertEqual(self.expected(self.volume),
                         self.labels_of(self.volume))

    @ddt.data(({'status': 400}, exception.LightOSRefused),
              ({'status': 503, 'times': None}, exception.LightOSNotSeen),
              ({'refused': True, 'times': None}, exception.LightOSNotSeen))
    @ddt.unpack
    def test_o5_volume_whose_labels_stay_is_not_unmanaged(
            self, fault, error) -> None:
        self.manage()
        self.server.fault('*', **fault)
        self.assertRaises(error, self.driver.unmanage, self.volume)

    @ddt.data('Deleted', 'Failed')
    def test_volume_that_is_gone_is_unmanaged(self, state) -> None:
        self.manage()
        self.there.state = state
        self.driver.unmanage(self.volume)

    def test_volume_of_other_sectors_is_another_type(self) -> None:
        self.volume = self.make_volume(
            self.make_type(lightos__sector_size='512'), size=0)
        error = self.assertRaises(
            cinder_exception.ManageExistingVolumeTypeMismatch, self.manage)
        self.assert_tells(error, '4096', '512')


class MigrationTestCase(LabelsTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.source = self.make_volume()
        self.new_type = self.make_type(compression='<is> False')
        self.target = self.make_volume(self.new_type, create=True)
        self.uuid = self.server.volume(self.target.name).uuid

    def update(self) -> dict[str, Optional[str]]:
        return self.driver.update_migrated_volume(
            self.context, self.source, self.target, 'available')

    def test_renamed_volume_is_labelled_for_its_record(self) -> None:
        self.update()
        self.assertEqual(
            self.expected(self.source, cinder_volume_type=self.new_type.id),
            dict(self.server.volume(self.uuid).labels))

    def test_volume_that_keeps_its_name_is_labelled_for_its_record(
            self) -> None:
        self.record(self.source, self.driver.create_volume(self.source))
        self.assertEqual({'_name_id': self.target.id}, self.update())
        self.assertEqual(
            self.expected(self.source, cinder_volume_type=self.new_type.id),
            dict(self.server.volume(self.uuid).labels))

    def test_d4_labels_that_are_refused_keep_no_rename(self) -> None:
        self.refuse_labels('UpdateVolume')
        self.assertEqual({'_name_id': None}, self.update())


@ddt.ddt
class ProofTestCase(LabelsTestCase):
    """What the label of a volume proves, seen by what is deleted."""

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.make_volume(create=True)
        self.there = self.server.volume(self.volume.name)

    def is_deleted(self) -> bool:
        self.driver.delete_volume(self.volume)
        return self.server.volumes() == []

    @ddt.data('database-of-the-shop', 'x', 'volume-1')
    def test_o2_renamed_volume_is_ours_by_its_label(self, name) -> None:
        self.there.name = name
        self.assertTrue(self.is_deleted())

    def test_o2_label_of_the_name_id_is_ours_as_well(self) -> None:
        self.there.name = 'database-of-the-shop'
        self.volume._name_id = OTHER_ID
        self.there.labels = (('cinder_volume_id', OTHER_ID),)
        self.assertTrue(self.is_deleted())

    @ddt.data(OTHER_ID, None)
    def test_o2_renamed_volume_of_another_label_survives(self, label) -> None:
        self.there.name = 'database-of-the-shop'
        self.there.labels = (('cinder_volume_id', label),) if label else ()
        self.assertFalse(self.is_deleted())

    @ddt.data('volume-' + OTHER_ID, OTHER_ID.upper(),
              'x-%s-y' % OTHER_ID.replace('-', ''))
    def test_o2_name_of_another_volume_outweighs_the_label(self,
                                                           name) -> None:
        self.there.name = name
        self.assertFalse(self.is_deleted())

    @ddt.data('migrating', 'completing', 'deleting', 'success', 'error',
              'target:' + OTHER_ID)
    def test_o2_label_proves_nothing_in_a_migration(self, status) -> None:
        self.there.name = 'database-of-the-shop'
        self.volume.migration_status = status
        self.assertFalse(self.is_deleted())

    def test_o2_label_alone_finds_nothing(self) -> None:
        self.there.name = 'database-of-the-shop'
        self.volume.provider_id = None
        self.assertFalse(self.is_deleted())

    def test_d1_name_outweighs_a_label_that_a_copy_inherited(self) -> None:
        # A release that knows no labels makes clones with their source's.
        self.there.labels = (('cinder_volume_id', OTHER_ID),)
        self.volume.provider_id = None
        self.assertTrue(self.is_deleted())

    def test_o2_snapshot_of_a_renamed_volume_is_taken(self) -> None:
        self.there.name = 'database-of-the-shop'
        snapshot = self.make_snapshot(self.volume, create=True)
        self.assertEqual(
            self.there.uuid,
            self.server.snapshot('snapshot-' + snapshot.id).volume_uuid)


@ddt.ddt
class RevertTestCase(LabelsTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.make_volume(create=True)
        self.snapshot = self.make_snapshot(self.volume, create=True)
        self.driver.accept_transfer(self.context, self.volume,
                                    fake.USER2_ID, fake.PROJECT2_ID)
        self.add_label(self.volume, 'team', 'red')
        self.old = self.server.snapshot(self.snapshot.name).labels
        self.wanted = self.labels_of(self.volume)

    def revert(self) -> None:
        there = self.server.volume(self.volume.name)
        self.server.fault('RollbackVolume', after=lambda _request: setattr(
            there, 'labels', self.old))
        self.driver.revert_to_snapshot(self.context, self.volume,
                                       self.snapshot)

    def test_v8_labels_are_as_they_were(self) -> None:
        self.revert()
        self.assertEqual(self.wanted, self.labels_of(self.volume))

    @ddt.data({'status': 400}, {'status': 503})
    def test_v8_labels_that_do_not_take_keep_no_revert(self, fault) -> None:
        self.refuse_labels('UpdateVolume', **fault)
        self.revert()
        self.assertEqual(dict(self.old), self.labels_of(self.volume))
