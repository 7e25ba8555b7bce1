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

"""Giving a volume another type in place."""

import math
from typing import Any, Optional

import ddt

from cinder import exception as cinder_exception
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.volume.drivers.lightos import exception

UUID = '11111111-2222-4333-8444-555555555555'


@ddt.ddt
class RetypeTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.gold, self.silver = (
            self.server.add_policy(name, limitIOPS={})
            for name in ('gold', 'silver'))
        self.volume = self.make_volume(
            self.make_type(lightos__qos_policy='gold'), create=True)
        self.there = self.server.volume(self.volume.name)
        # What its labels take is test_labels' matter.
        self.mock_object(self.driver, '_labelling')
        self.server.requests.clear()
        self.changes = lambda: [request.body for request
                                in self.server.requests
                                if request.method != 'GET']

    def retype(self, host: Optional[dict[str, Any]] = None,
               **diff: Any) -> bool:
        # Cinder gives what differs not as well.
        whole: dict[str, Any] = {'encryption': {}, 'qos_specs': {},
                                 'extra_specs': {'same': ('1', '1')}}
        for part, values in diff.items():
            whole[part] = {**whole[part], **values}
        return bool(self.driver.retype(
            self.context, self.volume, {'id': UUID}, whole,
            host or {'host': self.volume.host}))

    def retype_to(self, policy: Optional[str], **more: Any) -> bool:
        return self.retype(extra_specs={
            'lightos:qos_policy': ('gold', policy), **more})

    @ddt.data('name', 'uuid')
    def test_policy_is_changed_in_place(self, kind):
        self.assertIs(True, self.retype_to(
            'silver' if kind == 'name' else self.silver))
        self.assertEqual(self.silver, self.there.qos_policy)
        self.assertEqual(['GetVolume', 'UpdateVolume', 'GetVolume'],
                         self.server.operations())

    def test_e3_policy_is_seen_on_return(self):
        self.server.work_time['UpdateVolume'] = 20
        self.retype_to('silver')
        self.assertEqual(self.silver, self.there.qos_policy)

    def test_e4_lost_reply_is_looked_up(self):
        self.server.fault('UpdateVolume', lose_reply=True)
        self.assertIs(True, self.retype_to('silver'))
        self.assertEqual(['GetVolume', 'UpdateVolume', 'GetVolume'],
                         self.server.operations())

    def test_o2_volume_that_became_anothers_is_not_retyped(self):
        self.server.fault('UpdateVolume', before=lambda request: setattr(
            self.there, 'name', 'volume-' + UUID))
        error = self.assertRaises(exception.LightOSError, self.retype_to,
                                  'silver')
        self.assert_tells(error, self.volume.id, self.there.uuid)
        self.assertEqual(self.gold, self.there.qos_policy)

    def test_policy_that_is_there_changes_nothing(self):
        self.there.qos_policy = self.silver
        self.assertIs(True, self.retype_to('silver'))
        self.assertEqual(['GetVolume'], self.server.operations())

    def test_update_carries_only_the_policy(self):
        etag = self.there.etag
        self.retype_to('silver')
        request = self.server.requests[1]
        self.assertEqual(({'qosPolicyName': 'silver'}, etag),
                         (request.body, request.headers['If-Match']))

    def test_policy_that_is_not_there_is_an_error(self):
        error = self.assertRaises(exception.LightOSRefused, self.retype_to,
                                  'lead')
        self.assert_tells(error, self.volume.id, 'lead', self.there.uuid,
                          'project default', 'HTTP 400', 'not found')
        self.assertEqual(self.gold, self.there.qos_policy)

    def test_volume_that_is_gone_is_not_found(self):
        self.driver.delete_volume(self.volume)
        self.assertRaises(cinder_exception.VolumeNotFound, self.retype_to,
                          'silver')

    def test_nothing_that_differs_is_done_at_once(self):
        self.assertIs(True, self.retype())
        self.assertEqual([], self.server.requests)

    def test_types_without_any_difference_told(self):
        self.assertIs(True, self.driver.retype(
            self.context, self.volume, {'id': UUID}, None, None))

    def test_policy_by_uuid_in_upper_case_is_the_same(self):
        self.there.qos_policy = '0000abcd-0000-4000-8000-000000000001'
        self.assertIs(True, self.retype_to(
            '0000ABCD-0000-4000-8000-000000000001'))
        self.assertEqual([], self.changes())

    @ddt.data(('<is> True', True), ('true', True), ('<is> False', False),
              (None, False))
    @ddt.unpack
    def test_compression_is_changed_in_place(self, new, compression):
        self.there.compression = not compression
        self.assertIs(True, self.retype(extra_specs={
            'compression': ('what it was', new)}))
        self.assertEqual(([{'compression': str(compression)}], compression),
                         (self.changes(), self.there.compression))

    def test_all_that_differs_is_one_change(self):
        etag = self.there.etag
        self.assertIs(True, self.retype_to(
            'silver', compression=(None, '<is> True')))
        self.assertEqual(
            [{'compression': 'True', 'qosPolicyName': 'silver'}],
            self.changes())
        self.assertEqual(etag,
                         self.server.requests[1].headers['If-Match'])

    def test_attached_volume_is_retyped(self):
        self.driver.initialize_connection(self.volume, self.host_connector())
        acl = self.there.acl
        self.assertIs(True, self.retype_to(
            'silver', compression=(None, 'true')))
        self.assertEqual((self.silver, True, acl), (
            self.there.qos_policy, self.there.compression, self.there.acl))

    @ddt.data({'compression': ('<is> True', 'true')},
              {'compression': (None, '<is> False')},
              {'lightos:num_replicas': (None, '3')},
              {'lightos:num_replicas': ('3', ' 3 ')},
              {'lightos:project_name': (None, 'default')},
              {'lightos:qos_policy': (None, '')},
              {'volume_backend_name': ('lightos', None)},
              {'other:key': (None, 'x')})
    def test_one_thing_spelled_differently_is_no_change(self, differences):
        self.there.compression = (
            differences.get('compression') == ('<is> True', 'true'))
        self.assertIs(True, self.retype(extra_specs=differences))
        self.assertEqual([], self.changes())

    def test_types_that_name_no_policy_differ_in_none(self):
        self.assertIs(True, self.retype(extra_specs={
            'lightos:qos_policy': (None, '')}))
        self.assertEqual([], self.server.requests)

    def test_what_the_volume_has_already_is_no_change(self):
        # Its type left it open when the option was another one.
        self.there.replicas = 2
        self.assertIs(True, self.retype(extra_specs={
            'lightos:num_replicas': (None, '2')}))

    @ddt.data({'lightos:num_replicas': (None, '2')},
              {'lightos:num_replicas': ('2', '1')},
              {'lightos:project_name': ('default', 'blue')})
    def test_replicas_and_project_take_a_migration(self, differences):
        self.assertIs(False, self.retype_to('silver', **differences))
        self.assertIs(False, self.retype(extra_specs=differences))
        self.assertEqual([], self.changes())

    @ddt.data(None, 2)
    def test_replicas_that_are_not_shown_take_a_migration(self, shown):
        self.server.fault('GetVolume', body={
            **self.there.reply(), 'replicaCount': shown}, times=None)
        self.assertIs(shown == 2, self.retype(extra_specs={
            'lightos:num_replicas': ('3', '2')}))

    def test_qos_specs_without_a_consumer_take_a_migration(self):
        self.assertIs(False, self.retype(qos_specs={'x': ('1', '2')}))

    def test_encryption_takes_a_migration(self):
        self.assertIs(False, self.retype(
            extra_specs={'lightos:qos_policy': ('gold', 'silver')},
            encryption={'cipher': (None, 'aes')}))
        self.assertEqual([], self.server.requests)

    @ddt.data({'consumer': ('front-end', None), 'x': ('1', None)},
              {'consumer': (None, 'front-end'), 'read_iops_sec': (None, '9')},
              {'consumer': ('both', 'both'), 'x': ('1', '2')})
    def test_qos_specs_for_nova_change_nothing(self, differences):
        self.assertIs(True, self.retype(qos_specs=differences))
        self.assertEqual([], self.server.requests)

    def test_qos_specs_are_changed_in_place(self):
        self.assertIs(True, self.retype(qos_specs={
            'consumer': ('back-end', 'back-end'),
            'lightos:read_iops': ('256', '512')}))
        self.assertEqual('cinder-iops-r512-w0',
                         self.server.policies[-1]['name'])
        self.assertEqual(self.server.policies[-1]['UUID'],
                         self.there.qos_policy)

    def test_limits_in_place_of_a_policy(self):
        self.assertIs(True, self.retype(
            extra_specs={'lightos:qos_policy': ('gold', None)},
            qos_specs={'consumer': (None, 'back-end'),
                       'lightos:read_bw_mbps': (None, '5')}))
        self.assertEqual(self.server.policies[-1]['UUID'],
                         self.there.qos_policy)

    @ddt.data({'consumer': ('back-end', None),
               'lightos:read_iops': ('256', None)},
              {'consumer': ('both', 'front-end'),
               'lightos:read_iops': ('256', '256')})
    def test_limits_that_go_take_a_migration(self, differences):
        self.assertIs(False, self.retype(qos_specs=differences))
        self.assertEqual([], self.server.requests)

    def test_limits_that_could_never_be_met_are_left_behind(self):
        self.assertIs(True, self.retype(qos_specs={
            'consumer': ('back-end', None),
            'lightos:read_iops': ('1', None)}))

    @ddt.data(None, '')
    def test_policy_that_goes_takes_a_migration(self, policy):
        self.assertIs(False, self.retype_to(policy))
        self.assertEqual([], self.server.requests)

    def test_bad_new_type_is_an_error(self):
        error = self.assertRaises(
            cinder_exception.InvalidVolumeType, self.retype,
            extra_specs={'compression': (None, 'perhaps')})
        self.assert_tells(error, 'compression', 'perhaps')

    def test_no_policy_is_made_for_what_takes_a_migration(self):
        self.assertIs(False, self.retype(
            extra_specs={'lightos:num_replicas': (None, '1')},
            qos_specs={'consumer': (None, 'back-end'),
                       'lightos:read_bw_mbps': (None, '5')}))
        self.assertEqual([], self.changes())

    def test_token_that_may_not_make_policies_is_told(self):
        self.server.fault('ListPolicies', status=403, code=7, times=None)
        error = self.assertRaises(
            exception.LightOSRefused, self.retype, qos_specs={
                'consumer': (None, 'back-end'),
                'lightos:read_bw_mbps': (None, '5')})
        self.assert_tells(error, self.volume.id, 'cluster-admin')
        self.assertEqual([], self.changes())

    def test_other_host_takes_a_migration(self):
        self.assertIs(False, self.retype({'host': 'other@lightos#lightos'}))
        self.assertEqual([], self.server.requests)

    def test_other_host_of_the_same_cluster_is_here(self):
        self.volume.cluster_name = 'cluster@lightos'
        self.assertIs(True, self.retype({
            'host': 'other@lightos#lightos',
            'cluster_name': 'cluster@lightos'}))
        self.assertIs(False, self.retype({
            'host': self.volume.host, 'cluster_name': 'another@lightos'}))

    @ddt.data({'status': 400, 'code': 3}, {'status': 403, 'code': 7},
              {'status': 501, 'code': 12})
    def test_refused_retype_leaves_the_volume_as_it_was(self, answer):
        self.server.fault('UpdateVolume', message='no way', **answer)
        error = self.assertRaises(
            exception.LightOSRefused, self.retype_to, 'silver',
            compression=(None, 'true'))
        self.assert_tells(error, self.volume.id, 'no way', self.there.uuid)
        self.assertEqual((self.gold, False), (self.there.qos_policy,
                                              self.there.compression))

    def test_retype_that_is_not_seen_is_undone(self):
        self.delay_update(85)
        error = self.assertRaises(
            exception.LightOSNotSeen, self.retype_to, 'silver',
            compression=(None, 'true'))
        self.assert_tells(error, self.volume.id, 'Updating',
                          'It is what it was')
        self.assertEqual(
            {'compression': 'False', 'qosPolicyUUID': self.gold},
            self.changes()[-1])

    def test_policy_that_cannot_be_undone_is_told(self):
        self.there.qos_policy = ''
        self.delay_update(85)
        error = self.assertRaises(
            exception.LightOSNotSeen, self.retype_to, 'silver')
        self.assert_tells(error, 'the QoS policy silver now')

    def test_volume_that_is_gone_when_a_retype_is_undone_is_told(self):
        self.server.work_time['UpdateVolume'] = math.inf
        undone_from = self.clock.monotonic() + 80
        self.server.fault('GetVolume', status=404, times=None,
                          when=lambda request: request.at > undone_from)
        error = self.assertRaises(
            exception.LightOSNotSeen, self.retype_to, 'silver')
        self.assert_tells(error, 'It is gone')

    def test_retype_that_was_never_begun_is_not_undone(self):
        self.there.state = 'Updating'
        error = self.assertRaises(
            exception.LightOSNotSeen, self.retype_to, 'silver')
        self.assertNotIn('what it was', str(error))

    def test_retype_that_hangs_says_what_is_left(self):
        self.server.work_time['UpdateVolume'] = math.inf
        error = self.assertRaises(
            exception.LightOSNotSeen, self.retype_to, 'silver')
        self.assert_tells(error, 'Making it what it was failed too')

    def test_volume_that_is_deleted_meanwhile_is_an_error(self):
        self.server.fault('UpdateVolume', before=lambda _request:
                          self.driver.delete_volume(self.volume))
        self.assertRaises(cinder_exception.CinderException, self.retype_to,
                          'silver')
