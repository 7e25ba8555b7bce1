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

"""QoS policies: named by a type, or found and made for QoS specs."""

from typing import Any

import ddt

from cinder import context
from cinder import exception as cinder_exception
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import exception

IOPS = {'read_iops': '1024', 'write_iops': '512'}
LIMIT_IOPS = {'limitIOPS': {'readIOPSLimit': 1024, 'writeIOPSLimit': 512}}
NAME = 'cinder-iops-r1024-w512'


@ddt.ddt
class NamedPolicyTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.gold, self.silver = (
            self.server.add_policy(name, limitIOPS={})
            for name in ('gold', 'silver'))

    def made(self, policy: str) -> fake_lightos.Volume:
        volume = self.make_volume(
            self.make_type(lightos__qos_policy=policy), create=True)
        return self.server.volume(volume.name)

    def refusal(self, policy: str) -> exception.LightOSRefused:
        return self.assertRaises(exception.LightOSRefused, self.made, policy)

    def test_d1_policy_by_name(self):
        self.assertEqual(self.gold, self.made('gold').qos_policy)

    def test_d1_policy_by_uuid(self):
        self.assertEqual(self.silver, self.made(self.silver).qos_policy)

    def test_policy_costs_no_request_of_its_own(self):
        self.made('gold')
        self.assertEqual(['CreateVolume', 'GetVolume'],
                         self.server.operations(probes=True))

    @ddt.data('lead', '11111111-2222-4333-8444-555555555555')
    def test_policy_that_is_not_there_is_an_error(self, policy):
        self.assert_tells(self.refusal(policy), 'HTTP 400', policy,
                          'has no QoS policy ' + policy)

    def test_policy_of_other_projects_is_an_error(self):
        self.server.policies[0]['QoSRateLimitPolicy'] = {
            'policyVisibility': 'Scoped', 'projectsNamesScope': ['blue']}
        self.assert_tells(self.refusal('gold'), 'gold', 'projects blue',
                          'project default')

    def test_policy_in_a_bad_state_is_an_error(self):
        self.server.fault('CreateVolume', status=400, code=3, times=None)
        self.server.policies[0]['state'] = 'Failed'
        self.assert_tells(self.refusal('gold'), 'gold', 'is Failed')

    @ddt.data({'status': 403, 'code': 7}, {'body': {'policies': 'none'}},
              {'status': 503})
    def test_error_that_cannot_be_explained_is_still_told(self, trouble):
        self.server.fault('ListPolicies', times=None, **trouble)
        self.assert_tells(self.refusal('lead'), 'HTTP 400', 'lead',
                          'not found')

    def test_volume_without_a_policy_asks_for_none(self):
        self.server.fault('CreateVolume', status=400, code=3, times=None)
        self.assertRaises(exception.LightOSRefused, self.make_volume,
                          create=True)
        self.assertEqual({'CreateVolume'}, set(self.server.operations()))

    @ddt.data('snapshot', 'clone')
    def test_copies_are_under_the_policy_of_their_type(self, how):
        source = self.make_volume(create=True)
        copy = self.make_volume(self.make_type(lightos__qos_policy='gold'))
        if how == 'clone':
            self.record(copy, self.driver.create_cloned_volume(copy, source))
        else:
            self.record(copy, self.driver.create_volume_from_snapshot(
                copy, self.make_snapshot(source, create=True)))
        self.assertEqual(self.gold, self.server.volume(copy.name).qos_policy)


@ddt.ddt
class LimitsTestCase(base.LightOSTestCase):

    def create(self, limits: dict[str, str] = IOPS,
               **more: Any) -> fake_lightos.Volume:
        volume = self.make_volume(self.make_qos_type(limits, **more),
                                  create=True)
        return self.server.volume(volume.name)

    def refusal(self, *args: Any, **kwargs: Any) -> exception.LightOSError:
        return self.assertRaises(exception.LightOSError, self.create, *args,
                                 **kwargs)

    def made(self) -> list[dict[str, Any]]:
        return [request.body for request in self.server.requests
                if request.operation == 'CreatePolicy']

    @ddt.data(
        (IOPS, NAME, LIMIT_IOPS),
        ({'read_bw_mbps': '100'}, 'cinder-bw_mbps-r100-w0',
         {'limitBw': {'readBWLimit': 100, 'writeBWLimit': 0}}),
        ({'write_iops_per_gb': '3'}, 'cinder-iops_per_gb-r0-w3',
         {'limitIOPSPerGB': {'readIOPSPerGBLimit': 0,
                             'writeIOPSPerGBLimit': 3}}),
        ({'read_iops': '0'}, 'cinder-iops-r0-w0',
         {'limitIOPS': {'readIOPSLimit': 0, 'writeIOPSLimit': 0}}))
    @ddt.unpack
    def test_policy_is_made_by_content(self, limits, name, message):
        volume = self.create(limits)
        (body,) = self.made()
        self.assertEqual((name, {'policyVisibility': 'Global', **message}),
                         (body['name'], body['qoSRateLimitPolicy']))
        self.assertEqual([volume.qos_policy],
                         [each['UUID'] for each in self.server.policies])

    def test_all_volumes_of_the_same_limits_share_a_policy(self):
        first = self.create()
        second = self.create({**IOPS, 'read_bw_mbps': '0'})
        self.assertEqual(first.qos_policy, second.qos_policy)
        self.assertEqual(1, len(self.made()))

    def test_policy_that_is_known_is_not_looked_for_again(self):
        self.create()
        self.server.requests.clear()
        self.create()
        self.assertEqual(['CreateVolume', 'GetVolume'],
                         self.server.operations())

    def test_policy_is_used_for_a_minute_without_another_look(self):
        self.create()
        self.server.requests.clear()
        self.clock.advance(59.5)
        self.create()
        self.assertNotIn('ListPolicies', self.server.operations())

    def test_policy_is_looked_for_again_after_a_minute(self):
        self.create()
        self.clock.advance(60)
        self.server.policies[0]['QoSRateLimitPolicy'] = {
            'policyVisibility': 'Global', 'limitBw': {}}
        self.assert_tells(self.refusal(), NAME, 'read_bw_mbps=0',
                          'read_iops=1024')

    def test_policy_that_was_deleted_meanwhile_is_made_again(self):
        self.create()
        self.server.policies.clear()
        self.server.requests.clear()
        volume = self.create()
        self.assertEqual(volume.qos_policy, self.server.policies[0]['UUID'])
        self.assertEqual(
            ['CreateVolume', 'ListPolicies', 'CreatePolicy', 'ListPolicies',
             'CreateVolume', 'GetVolume'], self.server.operations())

    def test_policy_of_an_operator_with_these_limits_is_used(self):
        theirs = self.server.add_policy('theirs', **LIMIT_IOPS)
        self.server.add_policy('other', limitIOPS={'readIOPSLimit': 1024})
        self.assertEqual(theirs, self.create().qos_policy)
        self.assertEqual([], self.made())

    def test_own_policy_goes_before_that_of_an_operator(self):
        self.server.add_policy('theirs', **LIMIT_IOPS)
        own = self.server.add_policy(NAME, **LIMIT_IOPS)
        self.assertEqual(own, self.create().qos_policy)

    def test_policy_of_other_projects_is_not_used(self):
        theirs = self.server.add_policy(
            'theirs', policyVisibility='Scoped', projectsNamesScope=['blue'],
            **LIMIT_IOPS)
        self.assertNotEqual(theirs, self.create().qos_policy)

    def test_policy_that_names_the_project_is_used(self):
        theirs = self.server.add_policy(
            'theirs', policyVisibility='Scoped',
            projectsNamesScope=['default'], **LIMIT_IOPS)
        self.assertEqual(theirs, self.create().qos_policy)

    def test_policy_for_all_projects_goes_before_one_for_some(self):
        self.server.add_policy(
            'some', policyVisibility='Scoped',
            projectsNamesScope=['default'], **LIMIT_IOPS)
        for_all = self.server.add_policy('all', **LIMIT_IOPS)
        self.assertEqual(for_all, self.create().qos_policy)

    @ddt.data('Failed', 'Deprecated', 'Creating')
    def test_policy_of_an_operator_must_be_active(self, state):
        theirs = self.server.add_policy('theirs', state=state, **LIMIT_IOPS)
        self.assertNotEqual(theirs, self.create().qos_policy)

    @ddt.data({'limitIOPS': {'readIOPSLimit': 256}}, {'limitBw': {}}, {},
              {**LIMIT_IOPS, 'policyVisibility': 'Scoped',
               'projectsNamesScope': ['blue']})
    def test_name_that_is_taken_is_an_error(self, limits):
        self.server.add_policy(NAME, **limits)
        self.assert_tells(self.refusal(), NAME, 'read_iops=1024',
                          self.server.policies[0]['UUID'])
        self.assertEqual([], self.server.volumes())

    def test_e3_policy_is_active_before_it_is_used(self):
        def activate(_request: Any) -> None:
            self.server.policies[0]['state'] = 'Active'

        self.server.fault('CreatePolicy', ends='Creating')
        self.server.fault('ListPolicies', skip=3, before=activate)
        self.create()
        self.assertEqual(4, self.server.operations().count('ListPolicies'))

    def test_policy_that_failed_is_an_error(self):
        self.server.fault('CreatePolicy', ends='Failed')
        self.assert_tells(self.refusal(), NAME, 'is Failed')

    def test_e4_policy_that_another_controller_makes_is_used(self):
        self.server.fault('CreatePolicy', before=lambda _request:
                          self.server.add_policy(NAME, **LIMIT_IOPS))
        self.create()
        self.assertEqual(1, len(self.server.policies))

    @ddt.data({'lose_reply': True}, {'lose_request': True},
              {'status': 503, 'code': 14}, {'status': 500})
    def test_e2_passing_trouble_is_waited_out(self, trouble):
        self.server.fault('CreatePolicy', **trouble)
        self.create()
        self.assertEqual(1, len(self.server.policies))

    def test_e6_first_look_at_a_new_policy_is_not_delayed(self):
        self.create()
        self.assertEqual([], self.clock.sleeps)

    def test_e2_policy_is_not_asked_for_before_the_cluster_says(self):
        self.server.fault('CreatePolicy', status=429,
                          headers={'Retry-After': '7'})
        began = self.clock.monotonic()
        self.create()
        self.assertGreaterEqual(self.clock.monotonic() - began, 7)

    def test_e3_policy_that_never_shows_is_an_error(self):
        self.server.fault('CreatePolicy', body={}, times=None)
        self.assertIsInstance(self.refusal(), exception.LightOSNotSeen)

    @ddt.data('ListPolicies', 'CreatePolicy')
    def test_token_that_may_not_make_policies_is_told(self, operation):
        self.server.fault(operation, status=403, code=7, times=None)
        error = self.refusal()
        self.assertIsInstance(error, exception.LightOSRefused)
        self.assert_tells(error, 'HTTP 403', 'cluster-admin',
                          'read_iops=1024', 'lightos:qos_policy')
        self.assertEqual([], self.server.volumes())

    def test_project_token_that_may_list_uses_what_is_there(self):
        self.server.fault('CreatePolicy', status=403, code=7, times=None)
        own = self.server.add_policy(NAME, **LIMIT_IOPS)
        self.assertEqual(own, self.create().qos_policy)

    def test_front_end_specs_are_left_to_nova(self):
        volume = self.create({'read_iops': '1000', 'x:y': '1'},
                             consumer='front-end')
        self.assertEqual(('', []), (volume.qos_policy, self.server.policies))

    def test_specs_for_both_count(self):
        volume = self.create({**IOPS, 'x:total_iops_sec': '9'},
                             consumer='both')
        self.assertEqual(self.server.policies[0]['UUID'], volume.qos_policy)

    def test_back_end_specs_of_others_limit_nothing(self):
        self.assertEqual('', self.create({'x:maxIOPS': '9'}).qos_policy)

    @ddt.data(({'x:maxIOPS': '9'}, 'back-end', 1),
              ({'x:maxIOPS': '9'}, 'both', 0), (IOPS, 'back-end', 0))
    @ddt.unpack
    def test_back_end_specs_of_others_are_warned_of(self, limits, consumer,
                                                    times):
        warnings = self.warnings()
        self.create(limits, consumer=consumer)
        self.assertEqual(times, warnings.output.count(
            'The QoS spec x:maxIOPS is for the back end'))

    def test_largest_limit_that_lightos_has(self):
        self.create({'read_bw_mbps': '4294967295'})
        self.assertEqual('cinder-bw_mbps-r4294967295-w0',
                         self.server.policies[0]['name'])

    @ddt.data('1000', '255', '-256', '256.0', '2.5', '1e3', '', ' 256',
              '0x100', '\u0662\u0665\u0666', '1_024', '4294967296', 'fast')
    def test_iops_that_lightos_has_not_are_refused(self, value):
        error = self.assertRaises(cinder_exception.InvalidQoSSpecs,
                                  self.create, {'read_iops': value})
        self.assert_tells(error, 'lightos:read_iops', repr(value), '256')
        self.assertEqual([], self.server.requests)

    @ddt.data('read_bw_mbps', 'write_bw_mbps', 'read_iops_per_gb',
              'write_iops_per_gb')
    def test_parts_are_refused_and_not_rounded(self, key):
        error = self.assertRaises(cinder_exception.InvalidQoSSpecs,
                                  self.create, {key: '1.5'})
        self.assert_tells(error, 'lightos:' + key, 'whole number')

    def test_limits_of_two_kinds_are_refused(self):
        error = self.assertRaises(
            cinder_exception.InvalidQoSSpecs, self.create,
            {**IOPS, 'read_bw_mbps': '1'})
        self.assert_tells(error, 'one of IOPS')

    def test_key_that_lightos_has_not_is_refused(self):
        error = self.assertRaises(cinder_exception.InvalidQoSSpecs,
                                  self.create, {'read_iop': '256'})
        self.assert_tells(error, 'lightos:read_iop,', 'lightos:read_iops')

    def test_policy_and_limits_are_refused(self):
        error = self.assertRaises(
            cinder_exception.InvalidVolumeType, self.create,
            lightos__qos_policy='gold')
        self.assert_tells(error, 'lightos:qos_policy', 'QoS specs')
        self.assertEqual([], self.server.requests)

    def test_users_need_not_be_administrators(self):
        volume = self.make_volume(self.make_qos_type(IOPS))
        volume._context = context.RequestContext('user', 'project')
        volume.volume_type._context = volume._context
        self.driver.create_volume(volume)
        self.assertEqual(1, len(self.made()))
