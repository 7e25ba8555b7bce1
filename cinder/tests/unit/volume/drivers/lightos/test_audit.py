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
"""Tests of what ``lightos-audit`` finds, and of what it does not."""

import contextlib
import io
import json
import logging
from typing import Any, Callable, Optional
from unittest import mock
import uuid

import ddt
import fixtures
from oslo_config import cfg
from oslo_utils import fixture
from oslo_utils import timeutils
from oslo_utils import units

from cinder import coordination
from cinder import exception as cinder_exception
from cinder import objects
from cinder.tests.unit import fake_constants as fake
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import audit
from cinder.volume.drivers.lightos import audit_findings as findings
from cinder.volume.drivers.lightos import audit_fixes as fixes
from cinder.volume.drivers.lightos import audit_looks as looks
from cinder.volume.drivers.lightos import audit_records as records
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import listing
from cinder.volume import manager
from cinder.volume import qos_specs

NQN = 'nqn.2014-08.org.nvmexpress:uuid:compute%d'


class AuditTestCase(base.LightOSTestCase):
    """The console script on a fake cluster and a real database."""

    OPTIONS = {
        **base.LightOSTestCase.OPTIONS, 'volume_driver': audit.DRIVER}

    def setUp(self) -> None:
        super().setUp()
        self.override_config('enabled_backends', [base.BACKEND])
        self.override_config('host', 'controller')
        # It would forget what the tests have configured.
        self.mock_object(audit, '_configure')
        self.mock_object(coordination.COORDINATOR, 'start')
        self.status: Optional[int] = None

    def audit(self, *arguments: str) -> dict[str, Any]:
        """The JSON of an audit; the exit status is kept."""
        report: dict[str, Any] = json.loads(
            self.run_audit('--format', 'json', *arguments))
        return report

    def run_audit(self, *arguments: str) -> str:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            self.status = audit.main(arguments)
        return output.getvalue()

    def found(self, *arguments: str) -> list[str]:
        """The classes of what an audit finds."""
        report = self.audit(*arguments)
        self.assertEqual([], report['errors'])
        return [each['class'] for each in report['findings']]

    def finding(self, kind: str, *arguments: str) -> dict[str, Any]:
        """The one finding of an audit, which has to be of this class."""
        report = self.audit(*arguments)
        self.assertEqual([kind], [each['class']
                                  for each in report['findings']], report)
        self.assertEqual([], report['errors'])
        only: dict[str, Any] = report['findings'][0]
        return only

    def between_looks(self, happens: Callable[[], Any]) -> None:
        """Let something happen between the two looks."""
        self.mock_object(looks.waiting, 'sleep',
                         mock.Mock(side_effect=lambda seconds: happens()))

    def on_cluster(self, volume: objects.Volume) -> Any:
        """The volume of a record as the fake cluster has it."""
        return self.server.volume(volume.provider_id.split()[1])

    @staticmethod
    def end_detach(volume: objects.Volume) -> None:
        """Take the attachment away, as Cinder does after the driver's part."""
        for attachment in list(volume.volume_attachment):
            volume.finish_detach(attachment.id)

    def attached(self, number: int = 1,
                 **values: Any) -> objects.Volume:
        """A volume that is attached on both sides."""
        volume = self.make_volume(create=True, status='in-use', **values)
        connector = self.host_connector(number)
        self.driver.initialize_connection(volume, connector)
        self.make_attachment(volume, connector)
        return volume


@ddt.ddt
class FoundTestCase(AuditTestCase):
    """Each class of finding is found, and its status is 1."""

    def test_nothing_is_found_where_all_is_well(self):
        volume = self.attached()
        self.make_snapshot(volume, create=True, status='available')
        self.assertEqual([], self.found())
        self.assertEqual(0, self.status)

    def test_nothing_at_all_is_clean(self):
        report = self.audit()
        self.assertEqual(([], [], 0), (
            report['findings'], report['clusters'][0]['notes'], self.status))

    def test_it_changes_nothing_unless_told_to(self):
        self.server.add_volume('volume-' + fake.VOLUME_ID)
        volume = self.attached()
        self.on_cluster(volume).acl = (NQN % 7,)
        self.server.requests.clear()
        self.assertEqual(['orphans', 'access', 'no-access'], self.found())
        self.assertEqual({'GET'}, {each.method
                                   for each in self.server.requests})

    def test_volume_that_is_missing(self):
        volume = self.make_volume(create=True, status='available')
        self.server._resources.clear()
        finding = self.finding('missing')
        self.assertEqual(1, self.status)
        self.assertEqual((volume.id, 'volume', 'lightos', False), (
            finding['volume_id'], finding['object'], finding['backend'],
            finding['fixable']))

    @ddt.data('Failed', 'Deleting')
    def test_e8_volume_that_is_dead_is_missing(self, state):
        volume = self.make_volume(create=True, status='available')
        self.on_cluster(volume).state = state
        self.finding('missing')

    def test_volume_of_an_older_release_that_is_missing(self):
        self.make_volume(status='available', provider_id='default')
        self.finding('missing')

    def test_snapshot_that_is_missing(self):
        volume = self.make_volume(create=True, status='available')
        snapshot = self.make_snapshot(volume, create=True, status='available')
        self.server._resources.remove(self.server.snapshots()[0])
        self.assertEqual(snapshot.id, self.finding('missing')['snapshot_id'])

    def test_volume_in_another_project_than_recorded(self):
        self.server.projects['other'] = ''
        volume = self.make_volume(create=True, status='available')
        self.on_cluster(volume).project = 'other'
        finding = self.finding('projects')
        self.assertEqual('other', finding['project'])

    def test_orphan_volume(self):
        orphan = self.server.add_volume('volume-' + fake.VOLUME_ID)
        finding = self.finding('orphans')
        self.assertEqual((orphan.uuid, 'default', False), (
            finding['uuid'], finding['project'], finding['fixable']))
        self.assertIn('another Cinder', finding['not_fixable_because'])

    def test_orphan_in_another_project(self):
        self.server.projects['other'] = ''
        self.server.add_volume('volume-' + fake.VOLUME_ID, project='other')
        self.assertEqual('other', self.finding('orphans')['project'])

    def test_orphan_snapshot(self):
        volume = self.make_volume(create=True, status='available')
        self.server.add_snapshot('snapshot-' + fake.SNAPSHOT_ID,
                                 self.on_cluster(volume))
        self.assertEqual('snapshot', self.finding('orphans')['object'])

    def test_second_object_of_a_volume_is_an_orphan(self):
        self.server.projects['other'] = ''
        volume = self.make_volume(create=True, status='available')
        second = self.server.add_volume('volume-' + volume.id,
                                        project='other')
        finding = self.finding('orphans')
        self.assertEqual(second.uuid, finding['uuid'])
        self.assertIn(volume.id, finding['text'])

    def test_source_that_a_migration_has_left_is_an_orphan(self):
        volume = self.make_volume(
            create=True, status='available', migration_status='success')
        left = self.on_cluster(volume)
        moved = self.server.add_volume('volume-' + fake.VOLUME2_ID)
        volume.update({'_name_id': fake.VOLUME2_ID,
                       'provider_id': 'default ' + moved.uuid})
        volume.save()
        self.assertEqual(left.uuid, self.finding('orphans')['uuid'])

    @ddt.data((2, False), (0.5, True))
    @ddt.unpack
    def test_volume_of_another_size(self, gib, fixable):
        volume = self.make_volume(create=True, status='available')
        self.on_cluster(volume).size = int(gib * units.Gi)
        self.assertEqual(fixable, self.finding('sizes')['fixable'])

    def test_snapshot_of_another_size(self):
        volume = self.make_volume(create=True, status='available')
        self.make_snapshot(volume, create=True, status='available')
        self.server.snapshots()[0].size = 2 * units.Gi
        self.assertFalse(self.finding('sizes')['fixable'])

    @ddt.data({'replicas': 1}, {'compression': False})
    def test_volume_that_is_not_as_its_type_says(self, change):
        volume = self.make_volume(self.make_type(
            lightos__num_replicas='2', compression='<is> True'),
            create=True, status='available')
        for name, value in change.items():
            setattr(self.on_cluster(volume), name, value)
        self.finding('attributes')

    @ddt.data('512', '4096')
    def test_volume_of_other_sectors_than_its_type_says(self, asked):
        volume = self.make_volume(
            self.make_type(lightos__sector_size=asked), create=True,
            status='available')
        self.assertEqual([], self.found())
        seen = {'512': 4096, '4096': 512}[asked]
        self.on_cluster(volume).sector_size = seen
        self.assertEqual(
            'the type asks for sectors of %s bytes, it has %d'
            % (asked, seen), self.finding('attributes')['text'])

    @ddt.data('gold', 'uuid')
    def test_volume_under_another_policy_than_its_type_says(self, asked):
        gold, silver = (self.server.add_policy(name, limitIOPS={})
                        for name in ('gold', 'silver'))
        asked = gold.upper() if asked == 'uuid' else asked
        volume = self.make_volume(
            self.make_type(lightos__qos_policy=asked), create=True,
            status='available')
        self.assertEqual([], self.found())
        self.on_cluster(volume).qos_policy = silver
        self.assertEqual(
            'the type asks for the QoS policy %s, it is under silver' % asked,
            self.finding('attributes')['text'])

    def test_volume_in_another_project_than_its_type_says(self):
        self.server.projects['gold'] = ''
        gold = self.make_type(lightos__project_name='gold')
        volume = self.make_volume(create=True, status='available')
        volume.volume_type_id = gold.id
        volume.save()
        self.assertIn('gold', self.finding('attributes')['text'])

    def test_temporary_snapshot(self):
        volume = self.make_volume(create=True, status='available')
        left = self.server.add_snapshot(
            'for_clone_%s_%s' % (volume.id, uuid.uuid4().hex),
            self.on_cluster(volume))
        finding = self.finding('temporary-snapshots')
        self.assertEqual((left.uuid, True), (finding['uuid'],
                                             finding['fixable']))

    def test_temporary_snapshot_of_another_cinder(self):
        source = self.server.add_volume('something')
        self.server.add_snapshot('for_clone_' + fake.VOLUME_ID, source)
        self.assertFalse(self.finding('temporary-snapshots')['fixable'])

    def test_host_with_access_that_cinder_does_not_know(self):
        volume = self.attached()
        self.on_cluster(volume).acl += (NQN % 9,)
        finding = self.finding('access')
        self.assertEqual((NQN % 9, volume.id), (finding['host'],
                                                finding['volume_id']))

    def test_host_without_access_that_cinder_counts_attached(self):
        volume = self.attached()
        self.on_cluster(volume).acl = ('ALLOW_NONE',)
        self.assertEqual(NQN % 1, self.finding('no-access')['host'])

    def test_host_whose_addresses_are_not_let_in(self):
        volume = self.attached()
        self.on_cluster(volume).ip_acl = ('192.0.2.77',)
        self.assertEqual(['no-access', 'addresses'], self.found())

    def test_a10_order_of_calls_that_cinder_cannot_tell_is_found(self):
        """An attach and a detach at one instant: the last one decided."""
        volume = self.attached()
        self.driver.terminate_connection(volume, self.host_connector())
        self.finding('no-access')

    def test_a10_two_detachments_that_cinder_cannot_tell_are_found(self):
        """Two attachments of one host go at one instant: each saw both."""
        volume = self.attached()
        self.make_attachment(volume, self.host_connector())
        for _number in range(2):
            self.driver.terminate_connection(volume, self.host_connector())
        for row in volume.volume_attachment:
            row.destroy()
        self.assertEqual(NQN % 1, self.finding('access')['host'])

    def test_address_that_no_attached_host_has(self):
        volume = self.attached()
        self.on_cluster(volume).ip_acl += ('192.0.2.77',)
        self.assertIn('192.0.2.77', self.finding('addresses')['text'])

    def test_a9_volume_that_is_open_to_everybody(self):
        volume = self.attached()
        self.on_cluster(volume).acl = ('ALLOW_ANY',)
        self.finding('open-access')

    @ddt.data('error', 'error_deleting', 'error_extending')
    def test_volume_in_error_is_told_apart(self, status):
        self.make_volume(create=True, status=status)
        self.finding('unrecovered')

    def test_volume_in_error_that_was_never_made_is_not_missing(self):
        self.make_volume(status='error')
        self.assertIn('no such volume', self.finding('unrecovered')['text'])

    def test_snapshot_in_error(self):
        volume = self.make_volume(create=True, status='available')
        self.make_snapshot(volume, status='error')
        self.assertEqual('snapshot', self.finding('unrecovered')['object'])

    @ddt.data(False, True)
    def test_operation_that_goes_on_for_a_day_has_ended(self, updated):
        time = self.useFixture(fixture.TimeFixture())
        began = timeutils.utcnow().strftime('%Y-%m-%dT%H:%M:%SZ')
        volume = self.make_volume(status='creating')
        if updated:
            time.advance_time_seconds(3600)
            volume.status = 'detaching'
            volume.save()
            began = timeutils.utcnow().strftime('%Y-%m-%dT%H:%M:%SZ')
        time.advance_time_seconds(24 * 60 * 60)
        self.assertEqual([], self.found())
        time.advance_time_seconds(1)
        self.assertIn('%s since %s' % (volume.status, began),
                      self.finding('unrecovered')['text'])

    def test_thousands_are_found_without_thousands_of_pages(self):
        self.mock_object(listing, 'PAGE', 100)
        for number in range(300):
            self.server.add_volume('volume-%s' % uuid.uuid4())
        self.assertEqual(['orphans'] * 300, self.found())


@ddt.ddt
class ToldTestCase(AuditTestCase):
    """What a finding tells of both sides."""

    def assert_is(self, finding: dict[str, Any], there: Any) -> None:
        """Whether a finding names an object of the cluster."""
        self.assertEqual(
            (there.project, there.uuid, there.name),
            (finding['project'], finding['uuid'], finding['name']))

    def assert_nowhere(self, finding: dict[str, Any], name: str) -> None:
        """Whether it names what the cluster should have."""
        self.assertEqual(
            (None, None, name),
            (finding['project'], finding['uuid'], finding['name']))

    def test_volume_that_is_missing(self):
        volume = self.make_volume(status='available', provider_id='default')
        finding = self.finding('missing')
        self.assert_nowhere(finding, volume.name)
        self.assertIn('the cluster has no such volume', finding['text'])

    def test_volume_that_is_dead(self):
        volume = self.make_volume(create=True, status='available')
        there = self.on_cluster(volume)
        there.state, there.size = 'Failed', 0
        finding = self.finding('missing')
        self.assert_is(finding, there)
        self.assertIn('is Failed', finding['text'])

    def test_volume_in_error_that_is_there(self):
        volume = self.make_volume(create=True, status='error_extending')
        finding = self.finding('unrecovered')
        self.assert_is(finding, self.on_cluster(volume))
        self.assertIn('is Available', finding['text'])

    def test_snapshot_that_is_missing(self):
        snapshot = self.make_snapshot(
            self.make_volume(create=True, status='available'),
            status='available')
        finding = self.finding('missing')
        self.assert_nowhere(finding, snapshot.name)
        self.assertIn('the cluster has no such snapshot', finding['text'])

    @ddt.data('Failed', 'Deleting')
    def test_e8_snapshot_that_is_dead(self, state):
        self.make_snapshot(self.make_volume(create=True, status='available'),
                           create=True, status='available')
        there, = self.server.snapshots()
        there.state, there.size = state, 0
        finding = self.finding('missing')
        self.assert_is(finding, there)
        self.assertIn('is ' + state, finding['text'])

    def test_snapshot_in_error_that_is_there(self):
        self.make_snapshot(self.make_volume(create=True, status='available'),
                           create=True, status='error_deleting')
        finding = self.finding('unrecovered')
        self.assert_is(finding, self.server.snapshots()[0])
        self.assertIn('is Available', finding['text'])

    @ddt.data('volume', 'snapshot')
    def test_operation_that_goes_on_for_days(self, kept):
        volume = self.make_volume(create=True, status='available')
        snapshot = self.make_snapshot(volume, create=True,
                                      status='available')
        record = volume if kept == 'volume' else snapshot
        record.status = 'deleting'
        record.save()
        self.useFixture(fixture.TimeFixture()).advance_time_seconds(
            records.STUCK_AFTER + 1)
        finding = self.finding('unrecovered')
        self.assertEqual(
            (kept, volume.id, snapshot.id if kept == 'snapshot' else None),
            (finding['object'], finding['volume_id'],
             finding['snapshot_id']))

    @ddt.data((2, '2147483648 bytes, 2.00 GiB'),
              (0.5, '536870912 bytes, 0.50 GiB'), (0, '0 bytes, 0.00 GiB'))
    @ddt.unpack
    def test_size(self, gib, words):
        volume = self.make_volume(create=True, status='available')
        self.on_cluster(volume).size = int(gib * units.Gi)
        self.assertIn(words, self.finding('sizes')['text'])

    @ddt.data((True, 'the type asks for compression, it has none'),
              (False, 'the type asks for no compression, it is compressed'))
    @ddt.unpack
    def test_compression(self, asked, words):
        volume = self.make_volume(
            self.make_type(compression='<is> %s' % asked,
                           lightos__num_replicas='2'),
            create=True, status='available')
        self.on_cluster(volume).compression = not asked
        self.assertEqual(words, self.finding('attributes')['text'])

    def test_replicas(self):
        volume = self.make_volume(
            self.make_type(compression='<is> True',
                           lightos__num_replicas='2'),
            create=True, status='available')
        self.on_cluster(volume).replicas = 1
        self.assertEqual('the type asks for 2 replicas, it has 1',
                         self.finding('attributes')['text'])

    @ddt.data(((), 'is let in; Cinder has it attached to %s' % (NQN % 1)),
              ((NQN % 9,), 'is let in and connected; Cinder has'))
    @ddt.unpack
    def test_host_that_is_let_in(self, connected, words):
        volume = self.attached()
        self.on_cluster(volume).acl += (NQN % 9,)
        self.on_cluster(volume).connected_hosts = connected
        self.assertIn(words, self.finding('access')['text'])

    def test_host_that_is_let_in_where_none_is_attached(self):
        volume = self.make_volume(create=True, status='available')
        self.on_cluster(volume).acl = (NQN % 9,)
        self.assertIn('attached to no host', self.finding('access')['text'])

    def test_each_host_without_access(self):
        volume = self.attached(1)
        for number in (2, 3):
            self.make_attachment(volume, self.host_connector(number))
        self.on_cluster(volume).acl = (NQN % 1, NQN % 3)
        self.on_cluster(volume).ip_acl = ('192.0.2.1', '192.0.2.2')
        report = self.audit()
        self.assertEqual(
            [(NQN % 2, 'its NQN is not let in'),
             (NQN % 3, 'none of its IP addresses is let in')],
            [(each['host'], each['text'].partition('; ')[2])
             for each in report['findings']])

    @ddt.data(('volume', '2001-02-03'), ('volume', ''),
              ('snapshot', '2001-02-03'), ('snapshot', ''))
    @ddt.unpack
    def test_since_when_an_orphan_is_there(self, kept, created):
        volume = self.make_volume(create=True, status='available')
        orphan = (self.server.add_volume('volume-' + fake.VOLUME_ID)
                  if kept == 'volume' else
                  self.server.add_snapshot('snapshot-' + fake.SNAPSHOT_ID,
                                           self.on_cluster(volume)))
        orphan.created = created
        self.assertIn('1073741824 bytes, made ' + (
            created or 'at an unknown time'), self.finding('orphans')['text'])

    @ddt.data('2001-02-03', '')
    def test_since_when_a_temporary_snapshot_is_there(self, created):
        volume = self.make_volume(create=True, status='available')
        self.server.add_snapshot(
            'for_clone_' + volume.id,
            self.on_cluster(volume)).created = created
        finding = self.finding('temporary-snapshots')
        self.assertIn('made ' + (created or 'at an unknown time'),
                      finding['text'])
        self.assertEqual(volume.id, finding['volume_id'])


@ddt.ddt
class ProofTestCase(AuditTestCase):
    """What tells whose an object is that Cinder does not know."""

    def orphan_of(self, volume: objects.Volume, **attributes: Any) -> Any:
        """A second volume on the cluster that is named for a record."""
        self.server.projects['other'] = ''
        return self.server.add_volume('volume-' + volume.id, project='other',
                                      **attributes)

    def clone_left(self, source: Any) -> Any:
        """The temporary snapshot of a clone of which nothing is known."""
        return self.server.add_snapshot('for_clone_' + fake.VOLUME2_ID,
                                        source)

    def test_temporary_snapshot_of_a_clone_that_was_deleted(self):
        source = self.make_volume(create=True, status='available')
        clone = self.make_volume(status='deleted')
        self.server.add_snapshot('for_clone_' + clone.id,
                                 self.on_cluster(source))
        clone.destroy()
        finding = self.finding('temporary-snapshots')
        self.assertIn('has ended, which is deleted', finding['text'])
        self.assertTrue(finding['fixable'])

    @ddt.data(False, True)
    def test_temporary_snapshot_of_a_volume_that_cinder_has_or_had(self,
                                                                   gone):
        source = self.make_volume(create=True, status='available')
        self.clone_left(self.on_cluster(source))
        if gone:
            self.driver.delete_volume(source)
            source.destroy()
        finding = self.finding('temporary-snapshots')
        self.assertIn('Cinder has no record of volume ' + fake.VOLUME2_ID,
                      finding['text'])
        self.assertEqual((True, None), (finding['fixable'],
                                        finding['not_fixable_because']))

    def test_temporary_snapshot_of_a_volume_named_like_cinders(self):
        self.clone_left(self.server.add_volume('volume-' + fake.VOLUME_ID,
                                               state='Failed'))
        self.assertIn('another Cinder', self.finding(
            'temporary-snapshots')['not_fixable_because'])

    def test_snapshot_that_cinder_never_had(self):
        volume = self.make_volume(create=True, status='available')
        self.server.add_snapshot('snapshot-' + fake.SNAPSHOT_ID,
                                 self.on_cluster(volume))
        finding = self.finding('orphans')
        self.assertIn('Cinder has no record of snapshot ' + fake.SNAPSHOT_ID,
                      finding['text'])
        self.assertIn('another Cinder', finding['not_fixable_because'])

    def test_snapshot_that_cinder_has_deleted(self):
        volume = self.make_volume(create=True, status='available')
        snapshot = self.make_snapshot(volume, create=True)
        snapshot.destroy()
        finding = self.finding('orphans')
        self.assertIn('Cinder has deleted snapshot %s at 20' % snapshot.id,
                      finding['text'])
        self.assertIn('unmanaged', finding['not_fixable_because'])

    def test_second_snapshot_of_a_record(self):
        volume = self.make_volume(create=True, status='available')
        snapshot = self.make_snapshot(volume, create=True,
                                      status='available')
        second = self.server.add_snapshot(snapshot.name,
                                          self.on_cluster(volume))
        finding = self.finding('orphans')
        self.assertEqual(
            (second.uuid, 'compare the two'),
            (finding['uuid'], finding['not_fixable_because']))
        self.assertIn('Cinder has snapshot %s as %s' % (
            snapshot.id, snapshot.provider_id), finding['text'])

    def test_second_snapshot_of_a_record_with_which_something_goes_on(self):
        volume = self.make_volume(create=True, status='available')
        snapshot = self.make_snapshot(volume, create=True, status='deleting')
        self.server.add_snapshot(snapshot.name, self.on_cluster(volume))
        self.assertEqual([], self.found())

    def test_second_volume_of_a_record(self):
        volume = self.make_volume(create=True, status='available')
        second = self.orphan_of(volume)
        finding = self.finding('orphans')
        self.assertEqual(
            (second.uuid, 'compare the two'),
            (finding['uuid'], finding['not_fixable_because']))
        self.assertIn('Cinder has volume %s as %s' % (
            volume.id, volume.provider_id), finding['text'])

    def test_second_volume_of_a_record_that_another_record_names(self):
        volume = self.make_volume(create=True, status='available')
        second = self.orphan_of(volume)
        other = self.make_volume(create=True, status='available')
        other.provider_id = 'other %s' % second.uuid
        other.save()
        text, = (each['text'] for each in self.audit()['findings']
                 if each['uuid'] == second.uuid)
        self.assertIn('Cinder has volume %s as %s' % (
            volume.id, volume.provider_id), text)

    def test_second_volume_of_a_record_with_which_something_goes_on(self):
        volume = self.make_volume(create=True, status='retyping')
        self.orphan_of(volume)
        self.assertEqual([], self.found())

    def test_volume_whose_label_names_a_volume_that_cinder_has(self):
        volume = self.make_volume(create=True, status='available')
        self.server.add_volume('volume-' + fake.VOLUME_ID, labels=(
            ('cinder_volume_id', volume.id),
            ('cinder_backend', 'controller_lightos')))
        finding = self.finding('orphans')
        self.assertIn('its label names volume %s, which Cinder has'
                      % volume.id, finding['text'])
        self.assertEqual('compare the two', finding['not_fixable_because'])

    @ddt.data(((('cinder_backend', 'theirs'),), 'theirs'), ((), '-'))
    @ddt.unpack
    def test_volume_that_cinder_never_had(self, labels, backend):
        self.server.add_volume('volume-' + fake.VOLUME_ID, labels=labels)
        finding = self.finding('orphans')
        self.assertIn(
            'Cinder has no record of volume %s, not even a deleted one; its '
            'label says backend %s' % (fake.VOLUME_ID, backend),
            finding['text'])

    def deleted(self, label: Optional[str] = None, backend: str =
                'controller_lightos', **attributes: Any) -> dict[str, Any]:
        """What is told of a volume whose record Cinder has deleted."""
        volume = self.make_volume(create=True, status='available')
        there = self.on_cluster(volume)
        there.labels = (('cinder_volume_id', label or volume.id),
                        ('cinder_backend', backend))
        for name, value in attributes.items():
            setattr(there, name, value)
        volume.destroy()
        finding = self.finding('orphans')
        self.assertIn('Cinder has deleted volume %s at 20' % volume.id,
                      finding['text'])
        return finding

    def test_o5_volume_that_is_proven_ours(self):
        finding = self.deleted()
        self.assertEqual((True, None), (finding['fixable'],
                                        finding['not_fixable_because']))

    @ddt.data(
        ({'labels': ()}, 'does not have the labels'),
        ({'labels': (('cinder_backend', 'controller_lightos'),)},
         'does not have the labels'),
        ({'backend': 'other_lightos'}, 'of backend other_lightos'),
        ({'connected_hosts': (NQN % 3,)}, 'hosts are let in'),
        ({'acl': (NQN % 3,)}, 'hosts are let in'),
        ({'uuid': fake.UUID1}, 'was another one'))
    @ddt.unpack
    def test_o5_volume_that_is_not_proven_ours(self, other, words):
        finding = self.deleted(**other)
        self.assertIn(words, finding['not_fixable_because'])

    def test_deadline_is_that_of_an_operation_of_the_driver(self):
        self.configure(lightos_api_service_timeout=7)
        self.server.add_volume('volume-' + fake.VOLUME_ID)
        self.server.fault('GetVolume', status=503, times=None)
        began = self.clock.monotonic()
        self.audit('--settle', '0')
        # The last half second is kept for one more look.
        self.assertEqual(31, round(self.clock.monotonic() - began + 0.4))


@ddt.ddt
class NotFoundTestCase(AuditTestCase):
    """What is under way, or another's, is no finding."""

    @ddt.data('creating', 'deleting', 'extending', 'attaching', 'detaching',
              'downloading', 'uploading', 'retyping', 'backing-up',
              'a state of a later release')
    def test_volume_with_which_something_goes_on(self, status):
        volume = self.make_volume(create=True, status=status)
        self.on_cluster(volume).acl = (NQN % 9,)
        self.on_cluster(volume).size = 5 * units.Gi
        report = self.audit()
        self.assertEqual(([], 0), (report['findings'], self.status))
        self.assertEqual([(volume.id, status)], [
            (each['id'], each['state']) for each in report['in_flight']])

    def test_volume_that_is_not_there_yet_or_any_more(self):
        self.make_volume(status='creating')
        self.make_volume(status='deleting', provider_id='default %s'
                         % fake.UUID1)
        self.assertEqual([], self.found())

    @ddt.data('migrating', 'completing', 'target:' + fake.VOLUME_ID)
    def test_volume_that_migrates(self, migration):
        self.make_volume(status='available', migration_status=migration)
        self.assertEqual([], self.found())

    @ddt.data('creating', 'deleting')
    def test_snapshot_with_which_something_goes_on(self, status):
        volume = self.make_volume(create=True, status='available')
        self.make_snapshot(volume, status=status)
        self.assertEqual([], self.found())

    def test_volume_that_is_made_while_the_audit_looks(self):
        self.server.fault('ListVolumes', after=lambda request: (
            self.make_volume(create=True, status='available')))
        self.assertEqual([], self.found())

    def test_volume_that_is_deleted_while_the_audit_looks(self):
        volume = self.make_volume(create=True, status='available')

        def delete(request: Any = None) -> None:
            self.driver.delete_volume(volume)
            volume.destroy()

        self.server.fault('ListVolumes', after=delete)
        self.assertEqual([], self.found())

    def test_volume_whose_record_goes_before_the_second_look(self):
        volume = self.make_volume(status='available')
        self.between_looks(volume.destroy)
        self.assertEqual([], self.found())

    def test_orphan_that_goes_before_the_second_look(self):
        self.server.add_volume('volume-' + fake.VOLUME_ID)
        self.between_looks(self.server._resources.clear)
        self.assertEqual([], self.found())

    def test_host_whose_attach_ends_between_the_looks(self):
        volume = self.make_volume(create=True, status='available')
        connector = self.host_connector()
        self.driver.initialize_connection(volume, connector)
        self.between_looks(lambda: self.make_attachment(volume, connector))
        self.assertEqual([], self.found())

    def test_host_whose_detach_ends_between_the_looks(self):
        volume = self.attached()
        self.driver.terminate_connection(volume, self.host_connector())
        self.between_looks(lambda: self.end_detach(volume))
        self.assertEqual([], self.found())

    def test_no_second_look_where_nothing_was_suspected(self):
        self.make_snapshot(self.attached(), create=True, status='available')
        self.clock.sleeps.clear()
        self.audit()
        self.assertEqual([], self.clock.sleeps)

    def test_each_project_is_listed_once(self):
        self.make_volume(create=True, status='available')
        self.server.requests.clear()
        self.audit()
        once = self.server.operations()
        self.make_volume(create=True, status='available')
        self.server.requests.clear()
        self.audit()
        self.assertEqual(once, self.server.operations())

    @ddt.data('volume', 'snapshot')
    def test_record_that_another_backend_gets_before_the_second_look(self,
                                                                     kept):
        volume = self.make_volume(status='available' if kept == 'volume'
                                  else 'creating')
        if kept == 'snapshot':
            self.make_snapshot(volume, status='available')

        def move() -> None:
            volume.host = 'elsewhere@other#other'
            volume.save()

        self.between_looks(move)
        self.assertEqual([], self.found())

    def test_orphan_that_is_renamed_before_the_second_look(self):
        orphan = self.server.add_volume('volume-' + fake.VOLUME_ID)
        self.between_looks(lambda: setattr(orphan, 'name', 'pvc'))
        self.assertEqual([], self.found())

    def test_temporary_snapshot_that_goes_before_the_second_look(self):
        volume = self.make_volume(create=True, status='available')
        left = self.server.add_snapshot('for_clone_' + volume.id,
                                        self.on_cluster(volume))
        self.between_looks(lambda: setattr(left, 'state', 'Deleting'))
        self.assertEqual([], self.found())

    def test_looks_are_ten_seconds_apart(self):
        self.server.add_volume('volume-' + fake.VOLUME_ID)
        self.clock.sleeps.clear()
        self.audit()
        self.assertIn(10, self.clock.sleeps)

    def test_settle_is_the_time_between_the_looks(self):
        self.server.add_volume('volume-' + fake.VOLUME_ID)
        self.clock.sleeps.clear()
        self.audit('--settle', '33')
        self.assertIn(33, self.clock.sleeps)

    def test_temporary_snapshot_of_a_clone_under_way(self):
        source = self.make_volume(create=True, status='available')
        clone = self.make_volume(status='creating')
        self.server.add_snapshot('for_clone_%s_x' % clone.id,
                                 self.on_cluster(source))
        self.assertEqual([], self.found())

    def test_access_of_hosts_whose_connectors_are_not_stored(self):
        """Calls before the attachments API store none: not judged."""
        volume = self.make_volume(create=True, status='in-use')
        self.make_attachment(volume)
        self.on_cluster(volume).acl = (NQN % 9,)
        self.assertEqual([], self.found())

    def test_host_that_makes_a_backup_of_a_copy(self):
        volume = self.make_volume(create=True, status='available')
        self.on_cluster(volume).acl = (NQN % 100,)
        backup = objects.Backup(
            self.context, volume_id=fake.VOLUME_ID, user_id=fake.USER_ID,
            project_id=fake.PROJECT_ID, temp_volume_id=volume.id)
        backup.create()
        self.assertEqual([], self.found())

    def test_d1_volumes_of_older_releases_are_found_by_name(self):
        gold = self.make_type(lightos__project_name='gold')
        self.server.projects['gold'] = ''
        for provider_id, project in ((None, 'gold'), (None, 'default'),
                                     ('gold', 'gold')):
            volume = self.make_volume(gold if project == 'gold' else None,
                                      status='available',
                                      provider_id=provider_id)
            self.server.add_volume('volume-' + volume.id, project=project)
        self.assertEqual([], self.found())

    def test_o2_recorded_object_of_another_is_counted_once(self):
        volume = self.make_volume(create=True, status='available')
        copy = self.make_volume(status='available',
                                provider_id=volume.provider_id)
        self.server.add_volume('volume-' + copy.id)
        self.assertEqual([], self.found())

    def test_o2_record_with_nothing_but_the_object_of_another(self):
        volume = self.make_volume(create=True, status='available')
        copy = self.make_volume(status='available',
                                provider_id=volume.provider_id)
        self.assertEqual(copy.id, self.finding('missing')['volume_id'])

    def test_volume_of_another_backend_is_no_orphan(self):
        self.make_volume(create=True, status='available',
                         host='elsewhere@other#other')
        self.make_volume(create=True, status='available', host=None)
        self.assertEqual([], self.found())

    def test_missing_volume_of_another_backend_is_not_told(self):
        self.make_volume(status='available', host='elsewhere@other#other')
        self.assertEqual([], self.found())

    def test_snapshot_of_another_backend_is_no_orphan(self):
        volume = self.make_volume(create=True, status='available',
                                  host='elsewhere@other#other')
        self.make_snapshot(volume, create=True, status='available')
        self.assertEqual([], self.found())

    def test_objects_that_are_not_named_like_cinders(self):
        other = self.server.add_volume('pvc-' + fake.VOLUME_ID)
        self.server.add_snapshot('nightly', other)
        report = self.audit()
        self.assertEqual([], report['findings'])
        self.assertIn('2 volumes and snapshots',
                      ' '.join(report['clusters'][0]['notes']))

    def test_e8_husks_beside_what_lives(self):
        volume = self.make_volume(status='available', provider_id='default')
        there = self.server.add_volume('volume-' + volume.id)
        self.server.add_volume(there.name, state='Failed')
        snapshot = self.make_snapshot(volume, status='available')
        self.server.add_snapshot(snapshot.name, there)
        self.server.add_snapshot(snapshot.name, there, state='Failed')
        self.clock.sleeps.clear()
        self.assertEqual([], self.found())
        # Nothing was even suspected.
        self.assertEqual([], self.clock.sleeps)

    def test_husk_of_a_failed_snapshot(self):
        volume = self.make_volume(create=True, status='available')
        self.server.add_snapshot('snapshot-' + fake.SNAPSHOT_ID,
                                 self.on_cluster(volume), state='Failed')
        self.assertEqual([], self.found())

    def test_husk_of_a_failed_volume(self):
        self.server.add_volume('volume-' + fake.VOLUME_ID, state='Failed')
        self.assertEqual([], self.found())

    def test_e4_field_that_the_reply_lacks_is_no_difference(self):
        volume = self.make_volume(self.make_type(
            lightos__num_replicas='2'), create=True, status='available')
        sparse = {'UUID': self.on_cluster(volume).uuid, 'state': 'Available',
                  'name': 'volume-' + volume.id}
        self.server.fault('ListVolumes', body={'volumes': [sparse]})
        self.assertEqual([], self.found())

    def test_defaults_that_were_others_once(self):
        self.make_volume(create=True, status='available')
        self.configure(lightos_default_num_replicas=1,
                       lightos_default_compression_enabled=True)
        self.assertEqual([], self.found())

    def test_addresses_of_networks_that_do_not_count_any_more(self):
        self.attached()
        self.configure(lightos_ipacl_networks=['198.51.100.0/24'])
        self.assertEqual([], self.found())

    def test_host_that_had_another_address_at_another_attachment(self):
        volume = self.attached()
        self.make_attachment(volume, self.host_connector(
            1, ips=['192.0.2.61']))
        self.on_cluster(volume).ip_acl = ('192.0.2.1', '192.0.2.61')
        self.assertEqual([], self.found())

    def test_reserved_attachment(self):
        volume = self.attached()
        reserved = self.make_attachment(volume)
        reserved.attach_status = 'reserved'
        reserved.save()
        self.assertEqual([], self.found())


class BackendsTestCase(AuditTestCase):
    """Which backends are audited, and which records are theirs."""

    def add_backend(self, name: str, **options: Any) -> None:
        audit._own('backend_host', name)
        audit.configuration.Configuration(
            [*manager.volume_backend_opts, *audit.driver.volume_opts,
             *audit.options.lightos_opts], config_group=name)
        for option, value in {**self.OPTIONS, **options}.items():
            self.override_config(option, value, name)
        self.override_config('enabled_backends', [base.BACKEND, name])

    def test_two_backends_on_one_cluster_are_audited_as_one(self):
        self.add_backend('second')
        self.make_volume(create=True, status='available',
                         host='controller@second#second')
        self.make_volume(status='available', host='controller@second#second')
        report = self.audit()
        self.assertEqual([['lightos', 'second']], [
            each['backends'] for each in report['clusters']])
        self.assertEqual(['second'], [each['backend']
                                      for each in report['findings']])

    def confine(self, token: str, project: str) -> None:
        """Let a token open nothing but one LightOS project."""
        self.server.projects[project] = ''
        self.server.fault(
            status=403, times=None, when=lambda request: (
                request.token == token and (
                    request.operation == 'ListProjects' or
                    '/projects/' in request.path and
                    '/projects/%s/' % project not in request.path)))

    def test_backends_with_tokens_of_a_project_each(self):
        self.configure(lightos_jwt='token-of-one')
        self.add_backend('second', lightos_jwt='token-of-two')
        self.confine('token-of-one', 'one')
        self.confine('token-of-two', 'two')
        for backend, project in (('lightos', 'one'), ('second', 'two')):
            self.make_volume(status='available',
                             provider_id='%s %s' % (project, uuid.uuid4()),
                             launched_at=timeutils.utcnow(),
                             host='controller@%s#x' % backend)
        report = self.audit()
        self.assertEqual([], report['errors'])
        self.assertEqual([['lightos'], ['second']], [
            each['backends'] for each in report['clusters']])
        self.assertEqual([('lightos', 'missing'), ('second', 'missing')], [
            (each['backend'], each['class']) for each in report['findings']])

    def test_token_that_opens_all_projects_is_enough_for_all_backends(self):
        self.configure(lightos_jwt='token-of-one')
        self.add_backend('second', lightos_jwt='token-of-all')
        self.confine('token-of-one', 'one')
        self.server.projects['two'] = ''
        for backend, project in (('lightos', 'one'), ('second', 'two')):
            self.make_volume(status='available',
                             provider_id='%s %s' % (project, uuid.uuid4()),
                             host='controller@%s#x' % backend)
        report = self.audit()
        self.assertEqual([], report['errors'])
        self.assertEqual([['second', 'lightos']], [
            each['backends'] for each in report['clusters']])
        self.assertEqual(['lightos', 'second'], sorted(
            each['backend'] for each in report['findings']))

    def test_only_token_is_not_asked_what_it_opens(self):
        self.add_backend('second')
        self.server.requests.clear()
        self.audit()
        self.assertEqual(1, self.server.operations().count('ListProjects'))

    def assert_told_once(self, status: int) -> None:
        self.configure(lightos_jwt='token-of-one')
        self.add_backend('second', lightos_jwt='token-of-two')
        self.server.fault('ListProjects', status=status, times=None)
        report = self.audit()
        self.assertEqual((1, 2), (len(report['errors']), self.status))
        self.assertIn(str(status), report['errors'][0])

    def test_one_of_two_tokens_that_is_not_good_is_told_once(self):
        self.assert_told_once(401)

    def test_c8_each_token_that_is_not_taken_is_named_by_its_source(self):
        self.configure(lightos_jwt='secret')
        self.add_backend('second', lightos_jwt='another')
        self.server.fault('GetClusterInfo', status=401, times=None)
        self.assertEqual([1, 1], [
            error.count('(the token is that of lightos_jwt)')
            for error in self.audit()['errors']])

    def test_projects_that_the_cluster_does_not_list_are_told_once(self):
        self.assert_told_once(500)

    def test_each_backend_counts_its_own_records(self):
        volume = self.make_volume(create=True, status='available')
        for _each in range(2):
            self.make_snapshot(volume, create=True, status='available')
        other = self.make_volume(create=True, status='available',
                                 host='elsewhere@other#other')
        self.make_snapshot(other, create=True, status='available')
        only, = self.audit()['clusters']
        self.assertEqual((2, 3, 1, 2), (
            only['volumes'], only['snapshots'], only['cinder_volumes'],
            only['cinder_snapshots']))

    def test_backends_that_share_their_driver(self):
        self.configure(volume_driver='')
        self.override_config('volume_driver', audit.DRIVER,
                             audit.configuration.SHARED_CONF_GROUP)
        self.override_config('enabled_backends', ['', base.BACKEND])
        self.assertEqual([['lightos']], [
            each['backends'] for each in self.audit()['clusters']])

    def test_backend_that_is_not_ours_hides_no_other(self):
        self.make_volume(status='available')
        report = self.audit('--backend', 'nonesuch', '--backend', 'lightos')
        self.assertEqual((1, 1), (len(report['errors']),
                                  len(report['findings'])))

    def test_text_has_several_backends_and_projects(self):
        self.server.projects['gold'] = ''
        self.add_backend('second')
        self.assertIn('backends lightos, second: 0 volumes and 0 snapshots '
                      'in the projects default, gold; ', self.run_audit())

    def test_backend_with_a_bad_option_hides_no_other(self):
        self.add_backend('second')
        connect, error = audit._backend, cfg.ConfigFileValueError(
            'Value for option lightos_api_port is not valid')

        def backend(name, hosts):
            if name == 'second':
                raise error
            return connect(name, hosts)

        self.mock_object(audit, '_backend', backend)
        report = self.audit()
        self.assertEqual((1, ['backend second: %s' % error]), (
            len(report['clusters']), report['errors']))
        self.assertEqual(2, self.status)

    def test_backend_of_another_driver_is_left_out(self):
        self.add_backend('lvm', volume_driver='cinder.volume.drivers.lvm.'
                                              'LVMVolumeDriver')
        self.assertEqual([['lightos']], [
            each['backends'] for each in self.audit()['clusters']])
        self.assertEqual(0, self.status)

    def test_backend_that_is_asked_for_and_is_not_ours(self):
        report = self.audit('--backend', 'nonesuch')
        self.assertIn('nonesuch', report['errors'][0])
        self.assertEqual(2, self.status)

    def test_no_backend_at_all(self):
        self.override_config('enabled_backends', None)
        self.assertIn('enabled_backends', self.audit()['errors'][0])
        self.assertEqual(2, self.status)

    def test_one_backend_of_several(self):
        self.add_backend('second')
        self.make_volume(status='available')
        self.assertEqual([], self.found('--backend', 'second'))
        self.assertEqual(['missing'], self.found('--backend', 'lightos'))

    def test_records_of_an_active_active_cluster(self):
        audit._own('cluster')
        self.override_config('cluster', 'ha')
        self.make_volume(status='available', host='other@lightos#lightos',
                         cluster_name='ha@lightos#lightos')
        self.finding('missing')

    def test_records_of_another_controller_if_it_is_named(self):
        self.make_volume(status='available', host='other@lightos#lightos')
        self.assertEqual([], self.found())
        self.finding('missing', '--host', 'other')

    def test_backend_host_is_whose_the_records_are(self):
        audit._own('backend_host', base.BACKEND)
        self.configure(backend_host='shared')
        self.make_volume(status='available', host='shared@lightos#lightos')
        self.finding('missing')

    def test_cluster_that_does_not_answer_does_not_hide_another(self):
        self.add_backend('second', lightos_api_address=['10.9.9.9'])
        self.server.add_volume('volume-' + fake.VOLUME_ID)
        report = self.audit()
        self.assertEqual(['orphans'], [each['class']
                                       for each in report['findings']])
        self.assertIn('second', report['errors'][0])
        self.assertEqual(2, self.status)


@ddt.ddt
class TroubleTestCase(AuditTestCase):
    """What could not be seen is said, and its status is 2."""

    def test_e2_node_that_dies_meanwhile_hides_nothing(self):
        self.mock_object(listing, 'PAGE', 2)
        for number in range(6):
            self.server.add_volume('volume-%s' % uuid.uuid4())
        self.server.fault('ListVolumes', skip=2, hang=True)
        self.server.fault('ListVolumes', skip=2, refused=True)
        report = self.audit()
        self.assertEqual((6, []), (len(report['findings']),
                                   report['errors']))

    @ddt.data('ListVolumes', 'GetVolume')
    def test_token_that_expires_meanwhile(self, operation):
        self.make_volume(create=True, status='available')
        self.make_volume(status='available',
                         provider_id='default ' + fake.UUID1)
        self.server.fault(operation, status=401, times=None)
        report = self.audit()
        self.assertIn('401', report['errors'][0])
        self.assertEqual((False, 2), (report['complete'], self.status))

    def test_second_look_ends_where_the_token_has_expired(self):
        for _each in range(3):
            self.make_volume(status='available',
                             provider_id='default %s' % uuid.uuid4())
        refused = self.server.fault('GetVolume', status=401, times=None)
        report = self.audit()
        self.assertIn('The second look ended there', report['errors'][1])
        self.assertEqual((2, 1), (len(report['errors']), refused.hits))

    def test_refusal_of_one_thing_hides_no_other(self):
        for number in range(2):
            self.make_volume(status='available', size=number + 1,
                             provider_id='default %s' % uuid.uuid4())
        self.server.fault('GetVolume', status=403)
        report = self.audit()
        self.assertEqual((['missing'], 1), (
            [each['class'] for each in report['findings']],
            len(report['errors'])))
        self.assertIn('audit volume volume-', report['errors'][0])

    def test_c8_token_that_is_not_taken_is_named_by_its_source(self):
        self.configure(lightos_jwt='secret')
        self.server.fault('GetClusterInfo', status=401, times=None)
        self.assertIn('(the token is that of lightos_jwt)',
                      self.audit()['errors'][0])
        self.assertEqual(2, self.status)

    def test_error_of_the_database_is_told_without_its_statement(self):
        self.mock_object(records, 'volumes', mock.Mock(
            side_effect=RuntimeError('no such table\n[SQL: SELECT ...]')))
        self.assertEqual(['RuntimeError: no such table'],
                         self.audit()['errors'])

    @ddt.data('ListProjects', 'ListVolumes')
    def test_refusal_that_is_not_about_rights_is_told(self, operation):
        self.server.fault(operation, status=400, times=None)
        report = self.audit()
        self.assertIn('400', report['errors'][0])
        self.assertEqual(2, self.status)

    def test_cluster_that_dies_before_the_second_look(self):
        for number in range(50):
            self.make_volume(status='available',
                             provider_id='default %s' % uuid.uuid4())
        self.server.fault('GetVolume', refused=True, times=None)
        before = self.clock.monotonic()
        report = self.audit()
        self.assertEqual((2, []), (self.status, report['findings']))
        # It is not tried for each of the fifty.
        self.assertLess(self.clock.monotonic() - before, 300)

    def test_projects_that_a_token_of_one_may_not_list(self):
        self.server.fault('ListProjects', status=403, times=None)
        self.make_type(lightos__project_name='gold')
        self.server.projects = {'default': '', 'gold': '', 'secret': ''}
        for project in self.server.projects:
            self.server.add_volume('volume-%s' % uuid.uuid4(),
                                   project=project)
        report = self.audit()
        self.assertEqual({'default', 'gold'}, {
            each['project'] for each in report['findings']})
        self.assertIn('Orphans in others',
                      report['clusters'][0]['notes'][0])
        self.assertEqual(1, self.status)

    def test_project_that_only_a_record_names_is_looked_at(self):
        self.server.fault('ListProjects', status=403, times=None)
        self.server.projects['old'] = ''
        there = self.server.add_volume('volume-' + fake.VOLUME_ID,
                                       project='old')
        self.make_volume(id=fake.VOLUME_ID, status='available',
                         provider_id='old ' + there.uuid)
        self.assertEqual([], self.found())
        self.assertEqual(['default', 'old'],
                         self.audit()['clusters'][0]['projects'])

    def test_project_that_the_token_does_not_open(self):
        self.server.projects['closed'] = ''
        self.server.fault(
            'ListVolumes', status=403, times=None,
            when=lambda request: '/closed/' in request.path)
        report = self.audit()
        self.assertEqual(([], 0), (report['errors'], self.status))
        self.assertIn('closed', report['clusters'][0]['notes'][0])
        self.make_volume(status='available',
                         provider_id='closed ' + fake.UUID1)
        report = self.audit()
        self.assertEqual(([], 2), (report['findings'], self.status))
        self.assertIn('403', report['errors'][0])

    def test_snapshot_in_a_project_that_the_token_does_not_open(self):
        self.server.projects['closed'] = ''
        self.server.fault(
            'ListVolumes', status=403, times=None,
            when=lambda request: '/closed/' in request.path)
        self.make_snapshot(
            self.make_volume(create=True, status='available'),
            status='available', provider_id='closed ' + fake.UUID1)
        report = self.audit()
        self.assertEqual(([], 2), (report['findings'], self.status))
        self.assertIn('403', report['errors'][0])

    def test_project_that_is_gone_has_nothing(self):
        self.make_volume(status='available',
                         provider_id='gone ' + fake.UUID1)
        self.finding('missing')

    @ddt.data(RuntimeError('no database'),
              cinder_exception.VolumeBackendAPIException(data='broken'))
    def test_nothing_unforeseen_looks_like_findings(self, error):
        self.mock_object(records, 'volumes', mock.Mock(side_effect=error))
        report = self.audit()
        self.assertIn(str(error), report['errors'][0])
        self.assertEqual(2, self.status)

    def test_records_that_go_while_the_table_is_read(self):
        self.mock_object(records, 'PAGE', 2)
        volumes = sorted((self.make_volume(status='available', size=number)
                          for number in range(1, 7)),
                         key=lambda volume: volume.id)
        seen = []
        for volume in records.volumes():
            seen.append(volume.id)
            if len(seen) in (2, 4):
                volume.destroy()
        self.assertEqual([volume.id for volume in volumes], seen)

    def test_snapshot_record_without_a_volume_record(self):
        volume = self.make_volume(create=True, status='available')
        self.make_snapshot(volume, create=True, status='available')
        real = objects.VolumeList.get_all
        self.mock_object(
            objects.VolumeList, 'get_all',
            lambda *args, filters=None, **pages:
            [] if filters else real(*args, **pages))
        report = self.audit()
        self.assertEqual(([], []), (report['findings'], report['errors']))
        self.assertIn('1 snapshot record of Cinder has',
                      report['clusters'][0]['notes'][0])

    def test_records_of_one_type_share_it(self):
        volume_type = self.make_type(compression='<is> True')
        for _each in range(2):
            self.make_volume(volume_type)
        first, second = records.volumes()
        self.assertIs(first.volume_type, second.volume_type)

    def test_deleted_snapshot_counts_only_where_it_is_asked_for(self):
        snapshot = self.make_snapshot(self.make_volume())
        snapshot.destroy()
        self.assertIsNone(records.snapshot(snapshot.id))
        self.assertEqual(snapshot.id, records.snapshot(
            snapshot.id, deleted=True).id)

    def test_page_of_records_that_goes_altogether(self):
        self.mock_object(records, 'PAGE', 2)
        volumes = sorted((self.make_volume(status='available')
                          for number in range(5)),
                         key=lambda volume: volume.id)
        reading = records.volumes()
        seen = [next(reading).id, next(reading).id]
        for volume in volumes[:2]:
            volume.destroy()
        self.assertEqual([volume.id for volume in volumes],
                         seen + [volume.id for volume in reading])

    def test_type_that_is_broken_keeps_nothing_from_being_audited(self):
        self.make_volume(self.make_type(lightos__num_replicas='many'),
                         status='available', provider_id='default')
        self.server.add_volume('volume-' + fake.VOLUME_ID)
        self.assertEqual(['missing', 'orphans'], self.found())

    def test_qos_specs_that_are_broken_keep_nothing_from_being_audited(self):
        volume_type = self.make_qos_type({'read_iops': '1024'})
        self.make_volume(volume_type, create=True, status='available')
        self.server.add_volume('volume-' + fake.VOLUME_ID)
        qos_specs.update(self.context, volume_type.qos_specs_id,
                         {'lightos:read_iops': '1000'})
        report = self.audit()
        self.assertEqual([], report['errors'])
        attributes, orphan = sorted(report['findings'],
                                    key=lambda each: each['class'])
        self.assertEqual(('attributes', 'orphans'),
                         (attributes['class'], orphan['class']))
        self.assert_tells(attributes['text'], 'lightos:read_iops', "'1000'")

    def test_type_that_is_gone_keeps_nothing_from_being_audited(self):
        gone = self.make_type(lightos__num_replicas='2')
        self.make_volume(gone, create=True, status='available')
        self.mock_object(
            identity, 'extra_specs', mock.Mock(
                side_effect=cinder_exception.VolumeTypeNotFound(
                    volume_type_id=gone.id)))
        self.assertEqual([], self.found())

    def test_c6_token_is_told_nowhere(self):
        self.configure(lightos_jwt='secret.secret.secret')
        self.server.fault('ListVolumes', status=400,
                          message='bad secret.secret.secret')
        self.assertNotIn('secret', self.run_audit('--debug'))


@ddt.ddt
class FixTestCase(AuditTestCase):
    """Each fix mends its class, and nothing else."""

    def setUp(self) -> None:
        super().setUp()
        self.temporary = self.make_volume(create=True, status='available')
        self.server.add_snapshot('for_clone_%s_1' % self.temporary.id,
                                 self.on_cluster(self.temporary))
        self.access = self.attached(1)
        self.on_cluster(self.access).acl += (NQN % 9,)
        self.on_cluster(self.access).ip_acl += ('192.0.2.9',)
        self.no_access = self.attached(2)
        self.on_cluster(self.no_access).acl = ('ALLOW_NONE',)
        self.on_cluster(self.no_access).ip_acl = ('ALLOW_NONE',)
        self.small = self.make_volume(create=True, status='available', size=2)
        self.on_cluster(self.small).size = units.Gi
        self.orphan = self.make_orphan()
        self.everything = sorted(fixes.FIXES)

    def make_orphan(self, **attributes: Any) -> Any:
        """A volume that Cinder has deleted and that is proven ours."""
        volume = self.make_volume(create=True, status='available')
        there = self.on_cluster(volume)
        there.labels = (('cinder_volume_id', volume.id),
                        ('cinder_backend', 'controller_lightos'))
        for name, value in attributes.items():
            setattr(there, name, value)
        volume.destroy()
        return there

    def test_all_are_there_to_be_fixed(self):
        report = self.audit()
        self.assertEqual(self.everything, sorted(
            each['class'] for each in report['findings']))
        self.assertTrue(all(each['fixable'] for each in report['findings']))

    @ddt.data(*sorted(fixes.FIXES))
    def test_fix_mends_its_class_alone(self, kind):
        report = self.audit('--fix', kind)
        self.assertEqual({kind: True}, {
            each['class']: each['fixed'] for each in report['findings']
            if each['fixed'] is not None}, report)
        self.assertEqual(1, self.status)
        self.assertEqual([each for each in self.everything if each != kind],
                         sorted(self.found()))

    def finding_of(self, kind: str, report: dict[str, Any]
                   ) -> dict[str, Any]:
        """The one finding of a class."""
        only, = [each for each in report['findings']
                 if each['class'] == kind]
        return only

    def failing(self, kind: str) -> str:
        """Why a fix did not mend a finding."""
        finding = self.finding_of(kind, self.audit('--fix', kind))
        self.assertIs(False, finding['fixed'])
        return str(finding['fix_error'])

    @ddt.data(('access', 1), ('no-access', 2))
    @ddt.unpack
    def test_hosts_that_are_let_in_are_looked_at_once_more(self, kind,
                                                           looks_apart):
        log = self.useFixture(fixtures.FakeLogger(level=logging.ERROR))
        self.clock.sleeps.clear()
        self.audit('--fix', kind, '--settle', '33')
        self.assertEqual(looks_apart, self.clock.sleeps.count(33))
        self.assertEqual('', log.output)

    def test_host_that_is_not_let_in_is_not_looked_at_once_more(self):
        self.server.fault('UpdateVolume', status=403, times=None)
        self.clock.sleeps.clear()
        self.audit('--fix', 'no-access', '--settle', '33')
        self.assertEqual(1, self.clock.sleeps.count(33))

    def test_host_that_cannot_be_shut_out_again_is_told(self):
        log = self.useFixture(fixtures.FakeLogger(level=logging.ERROR))

        def end() -> None:
            if (NQN % 2,) == self.on_cluster(self.no_access).acl:
                self.end_detach(self.no_access)
                self.server.fault('UpdateVolume', status=403, times=None)

        self.between_looks(end)
        self.audit('--fix', 'no-access')
        for word in (NQN % 2, self.no_access.id, '403'):
            self.assertIn(word, log.output)

    def test_host_whose_volume_has_gone_meanwhile_is_no_trouble(self):
        log = self.useFixture(fixtures.FakeLogger(level=logging.ERROR))

        def end() -> None:
            if (NQN % 2,) == self.on_cluster(self.no_access).acl:
                self.no_access.destroy()

        self.between_looks(end)
        self.audit('--fix', 'no-access')
        self.assertEqual('', log.output)

    def test_host_alone_is_let_in(self):
        self.make_attachment(self.no_access, self.host_connector(5))
        self.on_cluster(self.no_access).acl = (NQN % 5,)
        self.on_cluster(self.no_access).ip_acl = ('192.0.2.5',)
        self.make_attachment(self.no_access, self.host_connector(6))
        self.server.fault('UpdateVolume', status=403, skip=1, times=None)
        self.audit('--fix', 'no-access')
        there = self.on_cluster(self.no_access)
        self.assertEqual((2, 2), (len(there.acl), len(there.ip_acl)))

    @ddt.data(('access', 'shut host %s out' % (NQN % 9)),
              ('no-access', 'let host %s in' % (NQN % 2)),
              ('temporary-snapshots', 'delete the temporary snapshot'),
              ('sizes', 'to 2 GiB'), ('orphans', 'delete the orphan'))
    @ddt.unpack
    def test_fix_that_is_refused_says_what_it_was(self, kind, words):
        for operation in ('UpdateVolume', 'DeleteVolume', 'DeleteSnapshot'):
            self.server.fault(operation, status=403, times=None)
        error = self.failing(kind)
        self.assertIn(words, error)
        self.assertIn('403', error)

    def at_the_lock(self, happens: Callable[[], Any]) -> None:
        """Let something happen while the lock of a volume is waited for."""
        def get_lock(_name: str) -> mock.MagicMock:
            happens()
            return mock.MagicMock()

        self.mock_object(coordination.COORDINATOR, 'get_lock', get_lock)

    @ddt.data(({'status': 'uploading'}, 'it is uploading'),
              ({'host': 'elsewhere@other#other'}, 'it is in-use'))
    @ddt.unpack
    def test_e7_volume_that_changes_before_the_lock_is_left(self, change,
                                                            words):
        def happens() -> None:
            self.access.update(change)
            self.access.save()

        self.at_the_lock(happens)
        self.assertIn(words, self.failing('access'))
        self.assertIn(NQN % 9, self.on_cluster(self.access).acl)

    def test_e7_host_that_is_attached_before_the_lock_stays(self):
        self.at_the_lock(lambda: self.make_attachment(
            self.access, self.host_connector(9)))
        self.assertIn('its attachments have changed', self.failing('access'))
        self.assertIn(NQN % 9, self.on_cluster(self.access).acl)

    def test_e7_host_that_is_detached_before_the_lock_is_not_let_in(self):
        self.at_the_lock(lambda: self.end_detach(self.no_access))
        self.assertIn('its attachments have changed',
                      self.failing('no-access'))

    def orphan_before(self, look: int, happens: Callable[[Any], Any]
                      ) -> dict[str, Any]:
        """What becomes of the orphan when something happens to it.

        :param look: before which look at it, the first of --fix being 1
        """
        self.server.fault(
            'GetVolume', skip=look, before=happens,
            when=lambda request: self.orphan.uuid in request.path)
        return self.finding_of('orphans', self.audit('--fix', 'orphans'))

    def test_orphan_that_goes_by_itself_is_mended(self):
        finding = self.orphan_before(
            2, lambda request: self.server._resources.remove(self.orphan))
        self.assertTrue(finding['fixed'], finding)

    @ddt.data(({'labels': ()}, 'does not have the labels'),
              ({'state': 'Failed'}, 'it was not so any more'))
    @ddt.unpack
    def test_o5_orphan_is_proven_as_it_was_read(self, change, words):
        def happens(_request: Any) -> None:
            for name, value in change.items():
                setattr(self.orphan, name, value)

        finding = self.orphan_before(3, happens)
        self.assertIn(words, finding['fix_error'])
        self.assertNotIn('DeleteVolume', self.server.operations())

    def test_v4_orphan_that_is_being_deleted_is_mended(self):
        self.server.fault('DeleteVolume', body={}, before=lambda request:
                          setattr(self.orphan, 'state', 'Deleting'))
        finding = self.finding_of('orphans', self.audit('--fix', 'orphans'))
        self.assertTrue(finding['fixed'], finding)

    def test_finding_for_a_person_is_not_tried(self):
        self.orphan.labels = ()
        finding = self.finding_of('orphans', self.audit('--fix', 'orphans'))
        self.assertEqual((None, None), (finding['fixed'],
                                        finding['fix_error']))

    def test_locks_are_those_of_the_services_where_something_is_mended(self):
        self.audit()
        coordination.COORDINATOR.start.assert_not_called()
        self.audit('--fix', 'sizes')
        coordination.COORDINATOR.start.assert_called_once_with()

    def test_ignored_class_is_not_mended(self):
        self.audit('--fix', 'access,sizes', '--ignore', 'access')
        self.assertIn(NQN % 9, self.on_cluster(self.access).acl)
        self.assertEqual(2 * units.Gi, self.on_cluster(self.small).size)

    def test_fix_of_all_leaves_a_clean_cluster(self):
        self.audit('--fix', ','.join(self.everything))
        self.assertEqual(0, self.status)
        self.assertEqual([], self.found())

    def test_a1_others_keep_their_access(self):
        self.audit('--fix', 'access,no-access')
        there = self.on_cluster(self.access)
        self.assertEqual(((NQN % 1,), ('192.0.2.1',)),
                         (there.acl, there.ip_acl))
        there = self.on_cluster(self.no_access)
        self.assertEqual(((NQN % 2,), ('192.0.2.2',)),
                         (there.acl, there.ip_acl))

    def test_o5_what_changes_right_before_is_not_overwritten(self):
        self.server.fault('UpdateVolume', before=lambda request: setattr(
            self.on_cluster(self.access), 'acl',
            (NQN % 1, NQN % 9, NQN % 5)))
        self.audit('--fix', 'access')
        self.assertEqual((NQN % 1, NQN % 5),
                         self.on_cluster(self.access).acl)

    def fix_after(self, kind: str, happens: Callable[[], Any]
                  ) -> dict[str, Any]:
        """What became of a finding when something happened before its fix."""
        real = fixes.fix

        def late(*args: Any) -> Any:
            happens()
            return real(*args)

        self.mock_object(fixes, 'fix', late)
        report = self.audit('--fix', kind)
        self.assertEqual([], report['errors'])
        finding, = [each for each in report['findings']
                    if each['class'] == kind]
        self.assertFalse(finding['fixed'], finding)
        return finding

    def test_host_that_is_attached_by_now_stays(self):
        self.fix_after('access', lambda: self.make_attachment(
            self.access, self.host_connector(9)))
        self.assertIn(NQN % 9, self.on_cluster(self.access).acl)

    def test_reserved_attachment_keeps_hosts_from_being_shut_out(self):
        def reserve() -> None:
            row = self.make_attachment(self.access)
            row.attach_status = 'reserved'
            row.save()

        self.assertIn('no connector',
                      self.fix_after('access', reserve)['fix_error'])
        self.assertIn(NQN % 9, self.on_cluster(self.access).acl)

    def test_volume_with_which_something_goes_on_is_left_alone(self):
        def upload() -> None:
            self.access.status = 'uploading'
            self.access.save()

        self.fix_after('access', upload)
        self.assertIn(NQN % 9, self.on_cluster(self.access).acl)

    def test_host_that_is_detached_by_now_is_not_let_in(self):
        self.fix_after('no-access', lambda: self.end_detach(self.no_access))
        self.assertEqual(('ALLOW_NONE',), self.on_cluster(self.no_access).acl)

    def test_host_whose_detach_was_ending_is_shut_out_again(self):
        """The driver had detached it; its row went after it was let in."""
        def end() -> None:
            if (NQN % 2,) == self.on_cluster(self.no_access).acl:
                self.end_detach(self.no_access)

        self.between_looks(end)
        self.audit('--fix', 'no-access')
        self.assertEqual(('ALLOW_NONE',), self.on_cluster(self.no_access).acl)

    def test_temporary_snapshot_of_a_clone_that_begins_is_left(self):
        def clone() -> None:
            self.temporary.status = 'creating'
            self.temporary.save()

        self.fix_after('temporary-snapshots', clone)
        self.assertEqual(1, len(self.server.snapshots()))

    def assert_orphan_stays(self, finding: dict[str, Any]) -> None:
        self.assertIsNot(True, finding['fixed'])
        self.assertNotEqual('', finding['not_fixable_because'] or
                            finding['fix_error'] or '')
        self.assertIsNotNone(self.server.volume(finding['uuid']))

    @ddt.data(
        {'labels': ()},
        {'labels': (('cinder_backend', 'controller_lightos'),)},
        {'acl': (NQN % 3,)}, {'acl': ('ALLOW_ANY',)})
    def test_o5_volume_that_is_not_proven_ours_is_never_deleted(self, other):
        self.server._resources.remove(self.orphan)
        self.make_orphan(**other)
        report = self.audit('--fix', 'orphans')
        finding, = [each for each in report['findings']
                    if each['class'] == 'orphans']
        self.assert_orphan_stays(finding)

    @ddt.data('other_lightos', 'controller_other')
    def test_o5_volume_of_another_backend_is_never_deleted(self, label):
        self.orphan.labels = (self.orphan.labels[0],
                              ('cinder_backend', label))
        report = self.audit('--fix', 'orphans')
        finding, = [each for each in report['findings']
                    if each['class'] == 'orphans']
        self.assert_orphan_stays(finding)

    def test_o5_volume_that_cinder_never_had_is_never_deleted(self):
        self.server._resources.remove(self.orphan)
        self.server.add_volume(
            'volume-' + fake.VOLUME_ID,
            labels=(('cinder_volume_id', fake.VOLUME_ID),
                    ('cinder_backend', 'controller_lightos')))
        report = self.audit('--fix', 'orphans')
        finding, = [each for each in report['findings']
                    if each['class'] == 'orphans']
        self.assert_orphan_stays(finding)

    def test_o5_volume_whose_deleted_record_means_another_is_left(self):
        name, labels = self.orphan.name, self.orphan.labels
        self.server._resources.remove(self.orphan)
        self.server.add_volume(name, labels=labels)
        report = self.audit('--fix', 'orphans')
        finding, = [each for each in report['findings']
                    if each['class'] == 'orphans']
        self.assert_orphan_stays(finding)

    def test_o5_volume_that_loses_its_labels_meanwhile_is_left(self):
        """As when Cinder lets it go (unmanage) at that moment."""
        self.server.fault('DeleteVolume', before=lambda request: setattr(
            self.orphan, 'labels', ()))
        report = self.audit('--fix', 'orphans')
        finding, = [each for each in report['findings']
                    if each['class'] == 'orphans']
        self.assert_orphan_stays(finding)

    def test_o2_volume_that_a_live_record_names_is_never_deleted(self):
        self.make_volume(status='available',
                         provider_id='default ' + self.orphan.uuid)
        report = self.audit('--fix', 'orphans')
        finding, = [each for each in report['findings']
                    if each['class'] == 'orphans']
        self.assert_orphan_stays(finding)

    def test_orphan_is_not_deleted_unless_it_is_named(self):
        self.audit('--fix', ','.join(
            each for each in self.everything if each != 'orphans'))
        self.assertIsNotNone(self.server.volume(self.orphan.uuid))

    def test_orphan_snapshot_is_never_deleted(self):
        self.server.add_snapshot('snapshot-' + fake.SNAPSHOT_ID,
                                 self.on_cluster(self.temporary))
        self.audit('--fix', 'orphans')
        self.assertIsNotNone(self.server.snapshot(
            'snapshot-' + fake.SNAPSHOT_ID))

    def test_volume_that_has_become_larger_is_not_made_smaller(self):
        self.fix_after('sizes', lambda: setattr(
            self.on_cluster(self.small), 'size', 8 * units.Gi))
        self.assertEqual(8 * units.Gi, self.on_cluster(self.small).size)

    def test_fix_that_fails_is_told(self):
        self.server.fault('DeleteSnapshot', status=403, times=None)
        report = self.audit('--fix', 'temporary-snapshots')
        finding, = [each for each in report['findings']
                    if each['class'] == 'temporary-snapshots']
        self.assertIn('403', finding['fix_error'])
        self.assertEqual(1, self.status)

    def test_e7_access_changes_under_the_lock_of_the_volume(self):
        lock = self.mock_object(coordination.COORDINATOR, 'get_lock',
                                mock.Mock(return_value=mock.MagicMock()))
        self.audit('--fix', 'access')
        lock.assert_called_once_with('lightos-' + self.access.id)


@ddt.ddt
class CommandLineTestCase(AuditTestCase):

    @ddt.data(('--fix', 'everything'), ('--fix', 'missing'),
              ('--ignore', 'x'), ('--settle', 'long'), ('--settle', '-1'),
              ('--settle', '3601'),
              ('--format', 'xml'), ('extra',))
    def test_bad_arguments_have_status_2(self, arguments):
        with contextlib.redirect_stderr(io.StringIO()):
            error = self.assertRaises(SystemExit, audit.main, arguments)
        self.assertEqual(2, error.code)

    @ddt.data('0', '3600')
    def test_settle_is_up_to_an_hour(self, seconds):
        self.assertEqual([], self.found('--settle', seconds))

    @ddt.data(((), logging.WARNING), (('--debug',), logging.DEBUG))
    @ddt.unpack
    def test_log_has_warnings_unless_all_is_asked_for(self, arguments,
                                                      level):
        configured = self.mock_object(audit.python_logging, 'basicConfig')
        self.audit(*arguments)
        self.assertEqual(level, configured.call_args.kwargs['level'])

    def test_log_has_where_the_audit_ended(self):
        log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        self.mock_object(records, 'volumes', mock.Mock(
            side_effect=RuntimeError('no database')))
        self.audit()
        self.assertIn('Traceback', log.output)

    def test_help_marks_what_can_be_mended(self):
        self.assertEqual(set(fixes.FIXES), {
            line.split()[0] for line in audit._EPILOG.splitlines()
            if line.endswith('[--fix]')})

    def test_help_tells_classes_and_statuses(self):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            error = self.assertRaises(SystemExit, audit.main, ['--help'])
        self.assertEqual(0, error.code)
        for word in (*findings.CLASSES, 'exit status', '--config-file'):
            self.assertIn(word, output.getvalue())

    def test_ignored_classes_are_not_told(self):
        self.server.add_volume('volume-' + fake.VOLUME_ID)
        self.assertEqual([], self.found('--ignore', 'orphans'))
        self.assertEqual(0, self.status)

    def test_ignored_class_hides_no_other(self):
        self.server.add_volume('volume-' + fake.VOLUME_ID)
        self.make_volume(status='available')
        self.on_cluster(self.attached()).acl += (NQN % 9,)
        self.assertEqual(['missing', 'access'],
                         self.found('--ignore', 'orphans'))

    def test_fix_that_fails_leaves_its_finding(self):
        self.on_cluster(self.attached()).acl += (NQN % 9,)
        self.server.fault('UpdateVolume', status=403, times=None)
        text = self.run_audit('--fix', 'access')
        self.assertEqual(1, self.status)
        self.assertIn('    -> NOT mended: ', text)
        self.assertIn('\n1 finding, 0 mended.\n', text)

    def test_text_line_by_line(self):
        missing = self.make_volume(status='available', size=3)
        orphan = self.server.add_volume('volume-' + fake.VOLUME_ID)
        access = self.attached()
        there = self.on_cluster(access)
        there.acl += (NQN % 9,)
        time = self.useFixture(fixture.TimeFixture())
        pending = self.make_volume(status='creating')
        stuck = self.make_snapshot(access, status='deleting')
        since = timeutils.utcnow().strftime('%Y-%m-%dT%H:%M:%SZ')
        time.advance_time_seconds(24 * 60 * 60 + 1)
        pending.status = 'deleting'
        pending.save()
        later = timeutils.utcnow().strftime('%Y-%m-%dT%H:%M:%SZ')
        self.server.add_volume('pvc')
        self.assertEqual([
            'LightOS cluster %s, backend lightos: 3 volumes and 0 snapshots '
            'in the project default; Cinder has 3 volumes and 1 snapshot '
            'there.' % fake_lightos.CLUSTER_UUID,
            '1 volume or snapshot is not named as Cinder names them and is '
            "nobody's that Cinder knows: it was left out.",
            '',
            'missing (1): counted by Cinder, not on the cluster',
            '  volume %s (backend lightos): Cinder counts a volume of 3 GiB, '
            'available, with provider_id None; the cluster has no such '
            'volume' % missing.name,
            '    -> by hand: its data cannot be made again',
            '',
            'orphans (1): on the cluster, unknown to Cinder',
            '  volume %s (default %s): Cinder has no record of volume %s, '
            'not even a deleted one; its label says backend -; it has '
            '1073741824 bytes, made %s' % (
                orphan.name, orphan.uuid, fake.VOLUME_ID, orphan.created),
            '    -> by hand: it may belong to another Cinder on the same '
            'cluster',
            '',
            'access (1): let in on the cluster, not attached in Cinder',
            '  volume %s (default %s, backend lightos): the host %s is let '
            'in; Cinder has it attached to %s' % (
                access.name, there.uuid, NQN % 9, NQN % 1),
            '    -> --fix access',
            '',
            'unrecovered (1): in a state that Cinder does not leave by '
            'itself',
            '  snapshot %s (backend lightos): Cinder has it in state '
            'deleting since %s; no operation takes so long' % (
                stuck.id, since),
            '    -> by hand: see the log of the volume service for what '
            'became of it',
            '',
            'In flight, not judged (1):',
            '  volume %s: deleting since %s' % (pending.id, later),
            '',
            '4 findings, 0 of them mended.'],
            self.run_audit().splitlines())

    @ddt.data((1, '1 volume and 1 snapshot in the project default; Cinder '
                  'has 1 volume and 1 snapshot there.'),
              (2, '2 volumes and 2 snapshots in the project default; Cinder '
                  'has 2 volumes and 2 snapshots there.'))
    @ddt.unpack
    def test_text_counts_one_as_one(self, number, words):
        for _each in range(number):
            self.make_snapshot(
                self.make_volume(create=True, status='available'),
                create=True, status='available')
        self.assertIn(words, self.run_audit())

    @ddt.data((1, '1 volume or snapshot is not'),
              (2, '2 volumes and snapshots are not'))
    @ddt.unpack
    def test_text_counts_what_is_left_out(self, number, words):
        for each in range(number):
            self.server.add_volume('pvc%d' % each)
        self.assertIn(words, self.run_audit())

    def test_text_of_a_record_that_is_stuck_names_it(self):
        time = self.useFixture(fixture.TimeFixture())
        stuck = self.make_volume(status='deleting')
        time.advance_time_seconds(24 * 60 * 60 + 1)
        self.assertIn('  volume %s (backend lightos): ' % stuck.id,
                      self.run_audit())

    def test_text_of_what_could_not_be_audited(self):
        self.server.fault('ListProjects', status=401, times=None)
        lines = self.run_audit().splitlines()
        self.assertIn('in the projects none;', lines[0])
        self.assertEqual(
            ['', 'NOT COMPLETE. What could not be audited:'], lines[1:3])
        self.assertRegex(lines[3], '^  LightOS: .*401')
        self.assertEqual(['', '0 findings, 0 of them mended.'], lines[4:])

    def test_text_has_what_the_operator_needs(self):
        orphan = self.server.add_volume('volume-' + fake.VOLUME_ID)
        volume = self.attached()
        self.on_cluster(volume).acl += (NQN % 9,)
        pending = self.make_volume(status='creating')
        text = self.run_audit('--fix', 'access')
        for words in (orphan.uuid, '-> by hand: it may belong to another',
                      'access (1)', NQN % 9, '-> mended', pending.id,
                      '2 findings, 1 of them mended', 'creating since'):
            self.assertIn(words, text)

    def test_text_says_first_of_all_if_it_is_not_complete(self):
        self.server.fault('ListVolumes', status=401, times=None)
        self.assertIn('NOT COMPLETE', self.run_audit())

    def test_json_has_the_fields_that_are_documented(self):
        self.server.add_volume('volume-' + fake.VOLUME_ID)
        self.make_volume(status='creating')
        report = self.audit()
        self.assertEqual(
            {'schema', 'status', 'complete', 'clusters', 'summary',
             'findings', 'in_flight', 'errors'}, set(report))
        self.assertEqual(
            {'uuid', 'backends', 'projects', 'volumes', 'snapshots',
             'cinder_volumes', 'cinder_snapshots', 'notes'},
            set(report['clusters'][0]))
        self.assertEqual(
            {'class', 'object', 'cluster', 'backend', 'project', 'uuid',
             'name', 'volume_id', 'snapshot_id', 'host', 'text', 'fixable',
             'not_fixable_because', 'fixed', 'fix_error'},
            set(report['findings'][0]))
        self.assertEqual({'object', 'id', 'state', 'since'},
                         set(report['in_flight'][0]))
        self.assertEqual(set(findings.CLASSES), set(report['summary']))
        self.assertEqual((1, 1), (report['schema'],
                                  report['summary']['orphans']))


@ddt.ddt
class ConfigureTestCase(base.LightOSTestCase):

    def configure_from(self, *arguments: str) -> mock.Mock:
        """Read the configuration that the arguments name."""
        conf = self.mock_object(audit, 'CONF')
        audit._configure(audit._parser().parse_args(arguments))
        return conf

    def test_files_are_read_as_the_services_do(self):
        conf = self.configure_from(
            '--config-file', 'a', '--config-file', 'b', '--config-dir', 'c')
        conf.assert_called_once_with(
            ['--config-file', 'a', '--config-file', 'b', '--config-dir', 'c'],
            project='cinder', version=mock.ANY)

    def test_files_are_found_where_the_services_look(self):
        self.assertEqual([], self.configure_from().call_args.args[0])

    @ddt.data(cfg.ConfigFilesNotFoundError(['a']),
              UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'invalid'))
    def test_file_that_cannot_be_read_ends_the_audit(self, error):
        self.mock_object(audit, 'CONF', mock.Mock(side_effect=error))
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = audit.main(['--config-file', 'a'])
        self.assertEqual(2, status)
        self.assertIn('cannot read the configuration', output.getvalue())
