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
"""What the cluster says, as typed values."""

from typing import Any

import ddt
from oslo_utils import units
import testtools

from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import replies

UUID = '5d7a5b3e-0000-4000-8000-000000000001'
SOURCE = '5d7a5b3e-0000-4000-8000-000000000002'
POLICY = '5d7a5b3e-0000-4000-8000-000000000003'
VOLUME: dict[str, Any] = {
    'UUID': UUID, 'name': 'volume-1', 'projectName': 'p',
    'state': 'Available', 'protectionState': 'FullyProtected', 'ETag': '7',
    'size': '1073741824', 'replicaCount': 2, 'compression': 'true',
    'acl': {'values': ['nqn1', 'nqn2']}, 'IPAcl': {'values': ['192.0.2.1']},
    'qosPolicyUUID': POLICY, 'qosPolicyName': 'gold',
    'sourceSnapshotUUID': SOURCE, 'sourceSnapshotName': 's',
    'sectorSize': 4096, 'labels': [{'key': 'k', 'value': 'x'}],
    'creationTime': '2026-01-02T03:04:05Z', 'connectedHosts': ['nqn1'],
    'statistics': {'a field that the driver': 'does not know'}}
SNAPSHOT: dict[str, Any] = {
    'UUID': UUID, 'name': 'snapshot-1', 'state': 'Creating', 'ETag': '7',
    'size': '1073741824', 'replicaCount': 2, 'compression': True,
    'sourceVolumeUUID': SOURCE, 'sourceVolumeName': 'volume-1',
    'sectorSize': 512, 'labels': [{'key': 'k', 'value': 'x'}]}
INFO: dict[str, Any] = {
    'UUID': UUID, 'subsystemNQN': 'nqn', 'currentMaxReplicas': 3,
    'apiEndpoints': ['10.0.0.1:443'],
    'discoveryEndpoints': ['10.0.0.1:8009']}
CAPACITY: dict[str, Any] = {'statistics': {
    'estimatedLogicalStorage': '300', 'estimatedFreeLogicalStorage': '200',
    'logicalStorage': '400', 'compressionRatio': 1.5},
    'health': {'state': 'Warning', 'numInactiveNodes': 1}}
PROJECTS: dict[str, Any] = {'projects': [{'name': 'a'}, {}, {'name': 'b'}]}
NO_MESSAGES = (None, [], [VOLUME], '', 'html', 7, True)
NO_TEXTS = (7, True, ['x'], {'x': 'y'})
NO_NUMBERS = ('', 'three', '-1', '0x10', '1e3', ' 1', 1.5, -1, True, [1],
              float('nan'), '\u00b2')
# Python refuses to make an integer of 5000 digits, and to make a
# floating-point number of one of 400.
ENDLESS = '1' * 5000
TOO_LARGE = '1' * 400


class RepliesTestCase(testtools.TestCase):

    def assertBad(self, parse: Any, data: Any) -> None:
        self.assertRaises(exception.LightOSBadReply, parse, data)


@ddt.ddt
class VolumeTestCase(RepliesTestCase):

    def test_d2_reads_a_volume(self):
        self.assertEqual(
            replies.Volume(
                created='2026-01-02T03:04:05Z', connected_hosts=('nqn1',),
                uuid=UUID, name='volume-1', project='p', state='Available',
                protection='FullyProtected', etag='7', size=units.Gi,
                replicas=2, compression=True, acl=('nqn1', 'nqn2'),
                ip_acl=('192.0.2.1',), qos_policy_uuid=POLICY,
                qos_policy_name='gold', source_snapshot_uuid=SOURCE,
                source_snapshot_name='s', sector_size=4096,
                labels=(('k', 'x'),)),
            replies.Volume.parse(VOLUME))

    @ddt.data(7, None, {'x': 1}, [7])
    def test_e5_what_is_only_for_people_fails_nothing(self, value):
        volume = replies.Volume.parse({**VOLUME, 'creationTime': value})
        self.assertIsNone(volume.created)

    def test_e4_a_field_that_is_absent_is_unknown(self):
        volume = replies.Volume.parse({'UUID': UUID})
        self.assertEqual({None}, set(volume._replace(uuid=None, state=None)))

    def test_e4_without_a_state_it_is_unknown(self):
        self.assertEqual('Unknown', replies.Volume.parse(
            {'UUID': UUID}).state)

    @ddt.data('name', 'projectName', 'qosPolicyUUID', 'qosPolicyName',
              'ETag')
    def test_e4_an_empty_text_is_as_good_as_none(self, field):
        self.assertEqual(
            replies.Volume.parse({**VOLUME, field: None}),
            replies.Volume.parse({**VOLUME, field: ''}))

    @ddt.data('source_snapshot_uuid', 'source_snapshot_name')
    def test_e4_an_empty_source_is_told_from_an_unknown_one(self, attribute):
        given = replies.Volume.parse({**VOLUME, 'sourceSnapshotUUID': '',
                                      'sourceSnapshotName': ''})
        absent = replies.Volume.parse({'UUID': UUID})
        self.assertEqual(('', None), (getattr(given, attribute),
                                      getattr(absent, attribute)))

    def test_e4_no_labels_are_told_from_unknown_ones(self):
        for labels, seen in (([], ()), (None, None),
                             ([{'key': 'k'}], (('k', ''),))):
            self.assertEqual(seen, replies.Volume.parse(
                {'UUID': UUID, 'labels': labels}).labels)

    def test_a9_a_cluster_without_ip_acls_has_none(self):
        volume = replies.Volume.parse({'UUID': UUID,
                                       'acl': {'values': ['nqn']}})
        self.assertEqual((('nqn',), None), (volume.acl, volume.ip_acl))

    def test_a9_an_empty_list_is_not_a_missing_one(self):
        volume = replies.Volume.parse({'UUID': UUID, 'acl': {}, 'IPAcl': {
            'values': []}})
        self.assertEqual(((), ()), (volume.acl, volume.ip_acl))

    @ddt.data(('0', 0), ('1073741824', units.Gi), (1073741824, units.Gi),
              ('1073741824b', units.Gi), ('1073741824 B', units.Gi),
              ('2 gib', 2 * units.Gi), ('2gib', 2 * units.Gi),
              ('2 GiB', 2 * units.Gi))
    @ddt.unpack
    def test_d2_size(self, size, read):
        self.assertEqual(read, replies.Volume.parse(
            {**VOLUME, 'size': size}).size)

    @ddt.data(('true', True), ('True', True), ('enable', True),
              ('ENABLED', True), (True, True), ('false', False),
              ('disable', False), ('Disabled', False), (False, False))
    @ddt.unpack
    def test_d2_compression(self, word, read):
        self.assertIs(read, replies.Volume.parse(
            {**VOLUME, 'compression': word}).compression)

    @ddt.data('2', 2)
    def test_d2_replicas(self, count):
        self.assertEqual(2, replies.Volume.parse(
            {**VOLUME, 'replicaCount': count}).replicas)

    @ddt.data(*NO_MESSAGES)
    def test_e5_what_is_no_message(self, data):
        self.assertBad(replies.Volume.parse, data)

    @ddt.data(None, '', *NO_TEXTS, '..', 'a/b', 'x', UUID + '/rollback',
              UUID + '\ud800')
    def test_e5_what_is_no_uuid(self, value):
        self.assertBad(replies.Volume.parse, {**VOLUME, 'UUID': value})

    @ddt.data('name', 'projectName', 'state', 'protectionState', 'ETag',
              'qosPolicyUUID', 'qosPolicyName', 'sourceSnapshotUUID',
              'sourceSnapshotName')
    def test_e5_what_is_no_text(self, field):
        for value in NO_TEXTS:
            self.assertBad(replies.Volume.parse, {**VOLUME, field: value})

    @ddt.data('7\r\nX: y', '7\n', '\u20ac', '\ud800')
    def test_e5_what_cannot_stand_in_a_header_is_no_etag(self, value):
        self.assertBad(replies.Volume.parse, {**VOLUME, 'ETag': value})
        self.assertBad(replies.Snapshot.parse, {**SNAPSHOT, 'ETag': value})

    @ddt.data(*NO_NUMBERS)
    def test_e5_what_is_no_number(self, value):
        self.assertBad(replies.Volume.parse,
                       {**VOLUME, 'replicaCount': value})

    @ddt.data('', 'large', '-1', '1 tib', '1.5 gib', 'b', 1.5, -1, True, [1],
              {})
    def test_e5_what_is_no_size(self, value):
        self.assertBad(replies.Volume.parse, {**VOLUME, 'size': value})

    def test_e5_a_number_without_end_is_none(self):
        for field in ('size', 'replicaCount'):
            self.assertBad(replies.Volume.parse, {**VOLUME, field: ENDLESS})

    @ddt.data('', 'maybe', 1, 0, [True], {})
    def test_e5_what_is_no_switch(self, value):
        self.assertBad(replies.Volume.parse,
                       {**VOLUME, 'compression': value})

    @ddt.data('nqn', ['nqn'], 7, {'values': 'nqn'}, {'values': [7]},
              {'values': [None]}, {'values': {'nqn': 1}})
    def test_e5_what_is_no_access_list(self, value):
        self.assertBad(replies.Volume.parse, {**VOLUME, 'acl': value})
        self.assertBad(replies.Volume.parse, {**VOLUME, 'IPAcl': value})


class AskedForTestCase(RepliesTestCase):

    def test_e5_reply_about_another_object_is_none(self):
        for parse in (replies.Volume.parse, replies.Snapshot.parse):
            self.assertBad(replies.of(SOURCE, parse), VOLUME)

    def test_d2_case_of_a_uuid_makes_no_difference(self):
        self.assertEqual(UUID, replies.of(
            UUID.upper(), replies.Volume.parse)(VOLUME).uuid)


@ddt.ddt
class PolicyTestCase(RepliesTestCase):

    def policy(self, state: str = 'Active',
               **rates: Any) -> replies.Policy:
        return replies.Policy.parse({
            'UUID': POLICY, 'name': 'gold', 'state': state,
            'QoSRateLimitPolicy': rates})

    def test_d2_reads_a_policy(self):
        self.assertEqual(
            replies.Policy(POLICY, 'gold', 'Active', ('p',),
                           replies.Limits('iops', 100, 200)),
            self.policy(policyVisibility='Scoped', projectsNamesScope=['p'],
                        limitIOPS={'readIOPSLimit': '100',
                                   'writeIOPSLimit': 200}))

    def test_e4_a_field_that_is_absent_is_unknown(self):
        self.assertEqual(
            replies.Policy(POLICY, None, 'Unknown', (), None),
            replies.Policy.parse({'UUID': POLICY}))

    def test_d2_global_policy_is_for_all_projects(self):
        everybody = self.policy(policyVisibility='Global',
                                projectsNamesScope=['p'])
        some = self.policy(policyVisibility='Scoped',
                           projectsNamesScope=['p'])
        self.assertEqual((None, True, True, False), (
            everybody.projects, everybody.visible_to('q'),
            some.visible_to('p'), some.visible_to('q')))

    @ddt.data(
        ('bw_mbps', {'limitBw': {'readBWLimit': 1, 'writeBWLimit': 2}}),
        ('iops_per_gb', {'limitIOPSPerGB': {'readIOPSPerGBLimit': 1,
                                            'writeIOPSPerGBLimit': 2}}))
    @ddt.unpack
    def test_d2_kind_of_limits(self, kind, limits):
        self.assertEqual(replies.Limits(kind, 1, 2),
                         self.policy(**limits).limits)

    @ddt.data(({}, 0, 0), ({'readIOPSLimit': 7}, 7, 0),
              ({'writeIOPSLimit': 7}, 0, 7))
    @ddt.unpack
    def test_d2_limit_that_is_absent_is_none(self, limits, read, write):
        self.assertEqual(replies.Limits('iops', read, write),
                         self.policy(limitIOPS=limits).limits)

    @ddt.data({'readBWLimit': 7}, {'writeBWLimit': 7})
    def test_d2_kind_that_limits_nothing_is_passed_over(self, limits):
        self.assertEqual('bw_mbps', self.policy(
            limitIOPS={}, limitBw=limits, limitIOPSPerGB={}).limits.kind)

    def test_d2_of_kinds_that_limit_nothing_the_first_is_as_good(self):
        self.assertEqual(replies.Limits('iops', 0, 0), self.policy(
            limitIOPS={}, limitBw={}).limits)

    def test_d2_limits_of_two_kinds_are_none_that_is_known(self):
        self.assertIsNone(self.policy(
            limitIOPS={'readIOPSLimit': 1},
            limitBw={'writeBWLimit': 1}).limits)

    @ddt.data({'policyVisibility': 7}, {'projectsNamesScope': 'p'},
              {'limitIOPS': 7}, {'limitIOPS': {'readIOPSLimit': 'x'}},
              {'limitBw': {'writeBWLimit': -1}})
    def test_e5_what_are_no_limits(self, rates):
        self.assertRaises(exception.LightOSBadReply, self.policy, **rates)

    @ddt.data(*NO_MESSAGES, {}, {'UUID': POLICY, 'state': 7})
    def test_e5_what_is_no_policy(self, data):
        self.assertBad(replies.Policy.parse, data)


@ddt.ddt
class ProjectsTestCase(RepliesTestCase):

    def test_d2_reads_the_names(self):
        self.assertEqual(('a', 'b'), replies.parse_projects(PROJECTS))
        self.assertEqual((), replies.parse_projects({}))

    @ddt.data(*NO_MESSAGES, {'projects': 'x'}, {'projects': {'x': 1}},
              {'projects': [None]}, {'projects': [{'name': 7}]})
    def test_e5_what_is_no_list_of_projects(self, data):
        self.assertBad(replies.parse_projects, data)


@ddt.ddt
class NamedTestCase(RepliesTestCase):
    """Answers to a look-up by name."""

    def found(self, *states: str) -> list[Any]:
        """What is found of a volume and a snapshot in these states."""
        return [
            found and found.state for found in (
                replies.Volume.parse_named({'volumes': [
                    {**VOLUME, 'state': state} for state in states]}),
                replies.Snapshot.parse_named({'snapshots': [
                    {**SNAPSHOT, 'state': state} for state in states]}))]

    @ddt.data('Creating', 'Available', 'Unknown')
    def test_e8_what_lives_is_there(self, state):
        self.assertEqual([state, state], self.found(state))

    @ddt.data('Updating', 'Migrating', 'Rollback')
    def test_e8_a_volume_at_work_is_there(self, state):
        self.assertEqual([state, state], self.found(state))

    @ddt.data('Failed', 'Deleting', 'Deleted')
    def test_e8_what_is_dead_is_not_there(self, state):
        self.assertEqual([None, None], self.found(state))

    @ddt.data(('Failed', 'Available'), ('Available', 'Failed'),
              ('Deleting', 'Available', 'Deleted'))
    def test_e8_of_several_the_live_one_counts(self, states):
        self.assertEqual(['Available', 'Available'], self.found(*states))

    @ddt.data({}, {'volumes': []}, {'volumes': None},
              {'snapshots': []}, {'snapshots': None})
    def test_o3_an_empty_list_finds_nothing(self, data):
        self.assertIsNone(replies.Volume.parse_named(data))
        self.assertIsNone(replies.Snapshot.parse_named(data))

    def test_d2_one_object_in_place_of_a_list(self):
        self.assertEqual(UUID, replies.Volume.parse_named(VOLUME).uuid)
        self.assertEqual(UUID, replies.Snapshot.parse_named(SNAPSHOT).uuid)

    def test_e8_one_dead_object_in_place_of_a_list(self):
        self.assertIsNone(replies.Volume.parse_named(
            {**VOLUME, 'state': 'Failed'}))

    @ddt.data(*NO_MESSAGES, {'volumes': 'x', 'snapshots': 'x'},
              {'volumes': {'x': 1}, 'snapshots': {'x': 1}},
              {'volumes': [None], 'snapshots': [None]},
              {'volumes': [{}], 'snapshots': [{}]},
              {'volumes': 7, 'snapshots': 7})
    def test_e5_what_is_no_list_of_them(self, data):
        self.assertBad(replies.Volume.parse_named, data)
        self.assertBad(replies.Snapshot.parse_named, data)


@ddt.ddt
class SnapshotTestCase(RepliesTestCase):

    def test_d2_reads_a_snapshot(self):
        self.assertEqual(
            replies.Snapshot(
                created=None,
                uuid=UUID, name='snapshot-1', state='Creating', etag='7',
                size=units.Gi, replicas=2, compression=True,
                source_volume_uuid=SOURCE, source_volume_name='volume-1',
                sector_size=512, labels=(('k', 'x'),)),
            replies.Snapshot.parse(SNAPSHOT))

    def test_e4_a_field_that_is_absent_is_unknown(self):
        snapshot = replies.Snapshot.parse({'UUID': UUID})
        self.assertEqual('Unknown', snapshot.state)
        self.assertEqual(
            {None}, set(snapshot._replace(uuid=None, state=None)))

    @ddt.data(('60s', '60s'), ('0.5s', '0.5s'), ('0s', None), ('0.0s', None),
              ('', None), (None, None))
    @ddt.unpack
    def test_d2_retention(self, time, read):
        self.assertEqual(read, replies.Snapshot.parse(
            {**SNAPSHOT, 'retentionTime': time}).retention)

    @ddt.data(*NO_MESSAGES, {}, {**SNAPSHOT, 'UUID': ''},
              {**SNAPSHOT, 'size': 'x'}, {**SNAPSHOT, 'state': 7},
              {**SNAPSHOT, 'replicaCount': 'x'},
              {**SNAPSHOT, 'compression': 'x'},
              {**SNAPSHOT, 'labels': 'x'}, {**SNAPSHOT, 'labels': ['x']},
              {**SNAPSHOT, 'labels': [{'key': 7}]},
              {**SNAPSHOT, 'sectorSize': 'x'},
              {**SNAPSHOT, 'sourceVolumeUUID': 7})
    def test_e5_what_is_no_snapshot(self, data):
        self.assertBad(replies.Snapshot.parse, data)


@ddt.ddt
class ClusterTestCase(RepliesTestCase):

    def test_c1_reads_the_cluster_info(self):
        self.assertEqual(
            replies.ClusterInfo(
                uuid=UUID, subsystem_nqn='nqn', max_replicas=3,
                api_endpoints=('10.0.0.1:443',),
                discovery_endpoints=('10.0.0.1:8009',)),
            replies.ClusterInfo.parse(INFO))

    def test_c1_a_cluster_may_list_nothing(self):
        self.assertEqual(
            replies.ClusterInfo(UUID, None, None, (), ()),
            replies.ClusterInfo.parse({'UUID': UUID, 'apiEndpoints': None}))

    @ddt.data(*NO_MESSAGES, {}, {**INFO, 'UUID': 7},
              {**INFO, 'subsystemNQN': 7}, {**INFO, 'apiEndpoints': 'x'},
              {**INFO, 'apiEndpoints': [7]},
              {**INFO, 'discoveryEndpoints': {'x': 1}},
              {**INFO, 'currentMaxReplicas': 'x'})
    def test_e5_what_is_no_cluster_info(self, data):
        self.assertBad(replies.ClusterInfo.parse, data)

    def test_c7_reads_the_capacity(self):
        self.assertEqual(replies.Capacity(300, 200, 400, 1.5, 'Warning'),
                         replies.Capacity.parse(CAPACITY))

    def test_c7_a_full_cluster_may_leave_out_what_is_free(self):
        self.assertEqual(
            replies.Capacity(300, 0, None, None, None), replies.Capacity.parse(
                {'statistics': {'estimatedLogicalStorage': '300'}}))

    @ddt.data(*NO_MESSAGES, {}, {'statistics': None}, {'statistics': 'x'},
              {'statistics': {}},
              {'statistics': {'estimatedLogicalStorage': 'x'}},
              {'statistics': {'estimatedLogicalStorage': '1',
                              'estimatedFreeLogicalStorage': -1}},
              {'statistics': {'estimatedLogicalStorage': '1',
                              'logicalStorage': True}},
              {**CAPACITY, 'health': 7}, {**CAPACITY, 'health': {'state': 7}})
    def test_e5_what_is_no_capacity(self, data):
        self.assertBad(replies.Capacity.parse, data)

    @ddt.data('1.5', True, float('nan'), float('inf'), [1])
    def test_e5_what_is_no_compression_ratio(self, ratio):
        self.assertBad(replies.Capacity.parse, {'statistics': {
            'estimatedLogicalStorage': '1', 'compressionRatio': ratio}})

    def test_e5_a_capacity_without_end_is_none(self):
        for field in ('estimatedLogicalStorage', 'logicalStorage',
                      'estimatedFreeLogicalStorage'):
            for value in (ENDLESS, TOO_LARGE):
                self.assertBad(replies.Capacity.parse, {'statistics': {
                    **CAPACITY['statistics'], field: value}})

    def test_a3_reads_the_endpoints_of_the_nodes(self):
        self.assertEqual(
            ('10.0.0.1:4420', '10.0.0.2:4420'),
            replies.parse_node_endpoints({'nodes': [
                {'nvmeEndpoint': '10.0.0.1:4420'}, {'nvmeEndpoint': ''}, {},
                {'nvmeEndpoint': '10.0.0.2:4420'}]}))

    def test_a3_a_cluster_may_list_no_nodes(self):
        self.assertEqual((), replies.parse_node_endpoints({}))

    @ddt.data(*NO_MESSAGES, {'nodes': 'x'}, {'nodes': {'x': 1}},
              {'nodes': [None]}, {'nodes': ['10.0.0.1']},
              {'nodes': [{'nvmeEndpoint': 7}]})
    def test_e5_what_is_no_list_of_nodes(self, data):
        self.assertBad(replies.parse_node_endpoints, data)
