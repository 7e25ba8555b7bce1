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

"""Hosts let in and shut out: what the driver makes of the attachments."""

import contextlib
import glob
import math
import threading
from typing import Any, Callable, Iterator, Optional

import ddt
from oslo_config import cfg
from oslo_db import exception as db_exception

from cinder import coordination
from cinder import exception as cinder_exception
from cinder import objects
from cinder.objects import fields
from cinder.tests.unit import fake_constants as fake
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import waiting

CLOSED = ('ALLOW_NONE',)
OPEN = ('ALLOW_ANY',)
# 0.75 of rpc_response_timeout.
LONGEST = 45
PASSING = ((409, None), (412, None), (400, 9), (429, None), (500, None),
           (502, None), (503, None), (504, None))


class AccessTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.override_config('rpc_response_timeout', 60)
        self.volume = self.make_volume(create=True)
        self.there = self.server.volume(self.volume.name)
        self.first = self.host_connector(1)
        self.second = self.host_connector(2)
        self.own = self.connector_properties
        self.server.requests.clear()

    def attach(self, connector: Optional[dict[str, Any]] = None,
               ) -> dict[str, Any]:
        return self.driver.initialize_connection(
            self.volume, connector or self.first)

    def detach(self, connector: Optional[dict[str, Any]],
               **how: Any) -> None:
        self.driver.terminate_connection(self.volume, connector, **how)

    def let_in(self, *connectors: dict[str, Any]) -> None:
        """Put the hosts into the volume's lists."""
        self.there.acl = tuple(each['nqn'] for each in connectors)
        self.there.ip_acl = tuple(dict.fromkeys(
            ip for each in connectors for ip in each['host_ips']))

    def assert_in(self, *connectors: dict[str, Any]) -> None:
        """The hosts and their addresses, and nobody else, are let in."""
        self.server.volumes()
        self.assertEqual(
            ({each['nqn'] for each in connectors} or set(CLOSED),
             {ip for each in connectors for ip in each['host_ips']} or
             set(CLOSED)), (set(self.there.acl), set(self.there.ip_acl)))

    def updates(self) -> list[fake_lightos.Request]:
        return [request for request in self.server.requests
                if request.operation == 'UpdateVolume']


@ddt.ddt
class AttachTestCase(AccessTestCase):

    def test_attach_takes_three_requests(self):
        self.attach()
        self.assertEqual(['GetVolume', 'UpdateVolume', 'GetVolume'],
                         self.server.operations(probes=True))

    def test_a1_attach_adds_the_host_under_if_match(self):
        etag = self.there.etag
        self.attach()
        (request,) = self.updates()
        self.assertEqual(
            ({'acl': {'values': [self.first['nqn']]},
              'IPAcl': {'values': ['192.0.2.1']}}, etag),
            (request.body, request.headers['If-Match']))

    def test_a1_entries_of_others_stay(self):
        self.let_in(self.second)
        self.attach()
        self.assert_in(self.first, self.second)

    def without_acl(self, **fault: Any) -> None:
        """A reply does not show whom the volume lets in."""
        reply = self.there.reply()
        del reply['acl']
        self.server.fault('GetVolume', body=reply, **fault)

    def test_a1_hosts_that_a_reply_does_not_show_stay(self):
        self.let_in(self.second)
        self.without_acl()
        self.attach()
        self.assert_in(self.first, self.second)

    def test_a1_attach_that_does_not_see_who_is_in_is_an_error(self):
        self.let_in(self.second)
        self.without_acl(times=None)
        error = self.assertRaises(exception.LightOSNotSeen, self.attach)
        self.assert_tells(error, self.volume.id, self.there.uuid, 'no acl')
        self.assert_in(self.second)
        self.assertEqual([], self.updates())

    def test_a1_refused_attach_that_does_not_see_who_is_in(self):
        self.let_in(self.second)
        self.server.fault('UpdateVolume', status=403, message='no way')
        self.without_acl(skip=1)
        error = self.assertRaises(exception.LightOSRefused, self.attach)
        self.assert_tells(error, 'no way')
        self.assert_in(self.second)

    def test_a1_attach_again_changes_nothing(self):
        self.attach()
        self.server.requests.clear()
        self.attach()
        self.assertEqual(['GetVolume'], self.server.operations())
        self.assert_in(self.first)

    def test_a1_address_in_another_spelling_is_there_already(self):
        self.first['host_ips'] = ['2001:db8::1']
        self.there.acl = (self.first['nqn'],)
        self.there.ip_acl = ('2001:0DB8:0::1',)
        self.attach()
        self.assertEqual([], self.updates())

    @ddt.data(400, 412)
    def test_a1_entry_of_another_writer_is_not_lost(self, status):
        self.server.etag_mismatch = status
        self.server.fault('UpdateVolume', before=lambda request: self.let_in(
            self.second))
        self.attach()
        self.assert_in(self.first, self.second)

    def test_a1_entry_that_another_writer_drops_is_put_back(self):
        self.server.fault('UpdateVolume', after=lambda request: setattr(
            self.there, 'then', {'state': 'Available'}))
        self.attach()
        self.assert_in(self.first)

    @ddt.data(*PASSING, (404, None))
    @ddt.unpack
    def test_e2_attach_waits_out_passing_trouble(self, status, code):
        self.server.fault('UpdateVolume', status=status, code=code, times=3)
        self.attach()
        self.assert_in(self.first)

    @ddt.data({'lose_reply': True}, {'status': 500}, {'hang': True},
              {'html': True}, {'status': 403}, {'status': 400})
    def test_e4_attach_is_looked_at_whatever_was_answered(self, fault):
        self.server.fault('UpdateVolume', executed=True, **fault)
        self.attach()
        self.assert_in(self.first)
        self.assertEqual(1, len(self.updates()))

    @ddt.data(True, False)
    def test_e3_attach_waits_until_it_is_seen(self, shows_updating):
        self.server.shows_updating = shows_updating
        self.server.work_time['UpdateVolume'] = 0.5
        self.attach()
        self.assertEqual((self.first['nqn'],), self.there.acl)
        self.assertEqual('Available', self.there.state)

    @ddt.data('Creating', 'Updating', 'Rollback')
    def test_a1_volume_that_is_busy_is_attached_later(self, state):
        self.there.state, self.there.then = state, {'state': 'Available'}
        self.there.due = self.clock.monotonic() + 20
        self.attach()
        self.assert_in(self.first)

    def test_a1_volume_whose_replica_moves_is_attached(self):
        self.there.state = 'Migrating'
        self.attach()
        self.assert_in(self.first)
        self.assertEqual([], self.clock.sleeps)

    @ddt.data('Failed', 'Deleting', 'Deleted')
    def test_a1_volume_that_is_no_more_is_not_found(self, state):
        self.server.fault('GetVolume', times=None, body={
            **self.there.reply(), 'state': state})
        error = self.assertRaises(cinder_exception.VolumeNotFound,
                                  self.attach)
        self.assert_tells(error, self.volume.id, 'is ' + state)

    def test_a1_volume_that_is_gone_is_not_found(self):
        self.driver.delete_volume(self.volume)
        error = self.assertRaises(cinder_exception.VolumeNotFound,
                                  self.attach)
        self.assert_tells(error, self.volume.id)

    @ddt.data(400, 401, 403, 501)
    def test_a1_refused_is_an_error(self, status):
        self.server.fault('UpdateVolume', status=status, message='no way',
                          times=None)
        error = self.assertRaises(exception.LightOSRefused, self.attach)
        self.assert_tells(
            error, 'attach volume %s to host %s' % (
                self.volume.id, self.first['nqn']), 'update_volume',
            self.there.uuid, 'project default', 'HTTP %d' % status, 'no way')
        self.assert_in()

    def test_e1_attach_that_is_not_seen_is_an_error_in_time(self):
        self.server.work_time['UpdateVolume'] = math.inf
        began = self.clock.monotonic()
        error = self.assertRaises(exception.LightOSNotSeen, self.attach)
        self.assert_tells(error, self.volume.id, self.there.uuid)
        self.assertLessEqual(self.clock.monotonic() - began, LONGEST + 1)

    def test_e3_error_tells_whom_the_volume_lets_in(self):
        self.let_in(self.second)
        self.server.work_time['UpdateVolume'] = math.inf
        error = self.assertRaises(exception.LightOSNotSeen, self.attach)
        self.assert_tells(error, 'lets in %s, 192.0.2.2' % self.second['nqn'])

    def test_a1_failed_attach_takes_back_what_it_added(self):
        self.let_in(self.second)
        self.server.fault('GetVolume', skip=1, status=403, message='no way')
        error = self.assertRaises(exception.LightOSRefused, self.attach)
        self.assert_tells(error, 'no way')
        self.assert_in(self.second)

    def test_a1_attach_that_is_seen_too_late_is_taken_back(self):
        self.server.work_time['UpdateVolume'] = LONGEST - 5
        self.assertRaises(exception.LightOSNotSeen, self.attach)
        self.clock.advance(LONGEST)
        self.assert_in()

    def test_a1_failed_attach_leaves_a_host_that_was_in(self):
        self.let_in(self.first)
        self.there.ip_acl = CLOSED
        self.server.fault('GetVolume', skip=1, status=403)
        self.assertRaises(exception.LightOSRefused, self.attach)
        self.assertIn(self.first['nqn'], self.there.acl)

    def test_a1_failed_attach_takes_back_the_addresses_it_added(self):
        self.let_in(self.first)
        self.make_attachment(self.volume, self.host_connector(
            3, ips=['192.0.2.9']))
        moved = self.host_connector(1, ips=['192.0.2.1', '192.0.2.8',
                                            '192.0.2.9'])
        self.server.fault('GetVolume', skip=1, status=403)
        self.assertRaises(exception.LightOSRefused, self.attach, moved)
        self.assertEqual(((self.first['nqn'],), {'192.0.2.1', '192.0.2.9'}),
                         (self.there.acl, set(self.there.ip_acl)))

    def test_a1_row_of_the_host_keeps_no_address_of_a_failed_attach(self):
        self.let_in(self.first)
        moved = self.host_connector(1, ips=['192.0.2.1', '192.0.2.8'])
        self.make_attachment(self.volume, moved)
        self.server.fault('GetVolume', skip=1, status=403)
        self.assertRaises(exception.LightOSRefused, self.attach, moved)
        self.assert_in(self.first)

    def test_a1_failed_attach_takes_back_what_its_first_try_added(self):
        self.let_in(self.second)
        self.server.fault('UpdateVolume', after=lambda request: setattr(
            self.there, 'then', {'state': 'Available', 'ip_acl': (
                '192.0.2.1', '192.0.2.2')}))
        self.server.fault('UpdateVolume', status=403)
        self.assertRaises(exception.LightOSRefused, self.attach)
        self.assert_in(self.second)

    def test_a1_attach_that_does_not_show_yet_is_taken_back(self):
        self.let_in(self.second)
        self.server.shows_updating = False
        self.server.work_time['UpdateVolume'] = LONGEST
        self.assertRaises(exception.LightOSNotSeen, self.attach)
        self.clock.advance(2 * LONGEST)
        self.assert_in(self.second)

    def test_a1_refused_attach_takes_nothing_from_others(self):
        self.let_in(self.second)
        self.server.fault('UpdateVolume', status=403)
        self.assertRaises(exception.LightOSRefused, self.attach)
        self.assert_in(self.second)

    def test_a1_attach_is_taken_back_without_the_database(self):
        self.let_in(self.second)
        self.first['host_ips'] = ['192.0.2.1', '192.0.2.2']
        self.patch('cinder.objects.VolumeAttachmentList.get_all_by_volume_id',
                   side_effect=db_exception.DBError('no database'))
        self.server.fault('GetVolume', skip=1, status=403, message='no way')
        error = self.assertRaises(exception.LightOSRefused, self.attach)
        self.assert_tells(error, 'no way')
        self.assertEqual(
            ((self.second['nqn'],), {'192.0.2.1', '192.0.2.2'}),
            (self.there.acl, set(self.there.ip_acl)))

    @ddt.data(1, 3)
    def test_a1_attach_is_taken_back_whatever_it_died_of(self, times):
        def die(_request: fake_lightos.Request) -> None:
            raise AttributeError('fp')

        log = self.warnings()
        self.let_in(self.second)
        self.server.fault('GetVolume', skip=1, times=times, before=die)
        self.assertRaises(AttributeError, self.attach)
        self.assert_in(*[self.first] * (times > 1), self.second)
        self.assertEqual(times > 1, self.first['nqn'] in log.output)

    def test_a1_attach_that_cannot_be_taken_back_says_so(self):
        log = self.warnings()
        self.server.fault('GetVolume', skip=1, status=403, message='first')
        self.server.fault('UpdateVolume', skip=1, status=403, times=None,
                          message='second')
        error = self.assertRaises(exception.LightOSRefused, self.attach)
        self.assert_tells(error, 'first')
        for word in (self.first['nqn'], self.volume.id, 'second'):
            self.assertIn(word, log.output)

    @ddt.data('nqn', 'found_dsc', 'host_ips')
    def test_a2_connector_that_lacks_something_is_refused(self, field):
        for value in (None, ''):
            connector = {**self.first, field: value}
            for refuse in (
                    lambda: self.driver.validate_connector(connector),
                    lambda: self.attach(connector)):
                error = self.assertRaises(
                    cinder_exception.InvalidConnectorException, refuse)
                self.assert_tells(error, field, 'compute1')
        del connector[field]
        self.assertRaises(cinder_exception.InvalidConnectorException,
                          self.driver.validate_connector, connector)
        self.assertEqual([], self.server.requests)

    @ddt.data('ALLOW_ANY', 'ALLOW_NONE', ['nqn.x'], {'a': 1})
    def test_a2_nqn_that_names_no_host_opens_no_volume(self, nqn):
        self.assertRaises(cinder_exception.InvalidConnectorException,
                          self.attach, {**self.first, 'nqn': nqn})
        self.assertEqual([], self.server.requests)

    @ddt.data(None, 'nqn.x', 7, True, ['nqn'], [('nqn', 'nqn.x')])
    def test_a2_connector_that_is_none_is_refused(self, connector):
        for refuse in (
                lambda: self.driver.validate_connector(connector),
                lambda: self.driver.initialize_connection(self.volume,
                                                          connector)):
            error = self.assertRaises(
                cinder_exception.InvalidConnectorException, refuse)
            self.assert_tells(error, 'nqn', 'nvme-cli')
        self.assertEqual([], self.server.requests)

    @ddt.data(('nqn', 'nvme-cli'), ('found_dsc', 'discovery-client'),
              ('host_ips', 'lightos_ipacl_networks'))
    @ddt.unpack
    def test_a2_refusal_says_what_to_do(self, field, words):
        error = self.assertRaises(
            cinder_exception.InvalidConnectorException,
            self.driver.validate_connector, {**self.first, field: None})
        self.assert_tells(error, words)

    def test_a2_whole_connector_is_taken(self):
        self.driver.validate_connector(self.first)
        self.assertEqual([], self.server.requests)

    def test_a2_addresses_that_do_not_count_are_none(self):
        self.first['host_ips'] = ['127.0.0.1', 'fe80::1']
        self.assertRaises(cinder_exception.InvalidConnectorException,
                          self.driver.validate_connector, self.first)

    def test_a2_addresses_are_not_needed_without_ip_acls(self):
        self.configure(lightos_use_ipacl=False)
        self.there.ip_acl = OPEN
        del self.first['host_ips']
        self.driver.validate_connector(self.first)
        self.attach()
        self.assertEqual(((self.first['nqn'],), OPEN),
                         (self.there.acl, self.there.ip_acl))

    def test_a2_volume_that_is_not_available_is_refused(self):
        self.there.protection = 'NotAvailable'
        error = self.assertRaises(exception.LightOSError, self.attach)
        self.assert_tells(error, self.volume.id, self.there.uuid,
                          'NotAvailable')
        self.assert_in()

    def test_a2_volume_that_is_not_available_any_more_is_refused(self):
        self.server.fault('UpdateVolume', after=lambda request: setattr(
            self.there, 'protection', 'NotAvailable'))
        error = self.assertRaises(exception.LightOSError, self.attach)
        self.assert_tells(error, self.volume.id, 'NotAvailable')
        self.assert_in()

    @ddt.data('Degraded', 'ReadOnly')
    def test_a2_volume_that_lost_a_replica_is_attached(self, protection):
        self.there.protection = protection
        self.attach()
        self.assert_in(self.first)

    def test_a8_addresses_that_never_count_are_left_out(self):
        self.first['host_ips'] = ['169.254.1.1', '127.0.0.1', '224.0.0.1',
                                  'fe80::1%eth0', '::1', '192.0.2.1']
        self.attach()
        self.assertEqual(('192.0.2.1',), self.there.ip_acl)

    def test_a8_networks_choose_the_addresses(self):
        self.configure(lightos_ipacl_networks=['192.0.2.0/24',
                                               '2001:db8::/64'])
        self.first['host_ips'] = ['10.1.1.1', '192.0.2.1', '2001:db8::1',
                                  '2001:db8:1::1']
        self.attach()
        self.assertEqual(('192.0.2.1', '2001:db8::1'), self.there.ip_acl)

    def test_a8_host_outside_the_networks_is_refused(self):
        self.configure(lightos_ipacl_networks=['198.51.100.0/24'])
        self.assertRaises(cinder_exception.InvalidConnectorException,
                          self.attach)
        self.assertEqual([], self.server.requests)

    def test_a8_sixteen_addresses_fit(self):
        self.first['host_ips'] = ['192.0.2.%d' % number
                                  for number in range(1, 17)]
        self.attach()
        self.assert_in(self.first)

    def test_a8_seventeen_addresses_are_an_error(self):
        self.let_in(self.second)
        self.first['host_ips'] = ['198.51.100.%d' % number
                                  for number in range(1, 17)]
        error = self.assertRaises(
            cinder_exception.InvalidConnectorException, self.attach)
        self.assert_tells(error, self.first['nqn'], '16', '198.51.100.7',
                          'lightos_ipacl_networks')
        self.assert_in(self.second)
        self.assertEqual([], self.updates())

    def test_a9_attach_on_a_cluster_without_ip_acls(self):
        self.server.ip_acl = False
        self.attach()
        (request,) = self.updates()
        self.assertEqual({'acl': {'values': [self.first['nqn']]}},
                         request.body)

    def test_a9_lists_that_let_anybody_in_are_left(self):
        self.there.acl = self.there.ip_acl = OPEN
        self.attach()
        self.assertEqual((OPEN, OPEN), (self.there.acl, self.there.ip_acl))
        self.assertEqual([], self.updates())

    def test_a9_address_list_that_lets_anybody_in_is_left(self):
        self.there.ip_acl = OPEN
        self.attach()
        self.assertEqual(((self.first['nqn'],), OPEN),
                         (self.there.acl, self.there.ip_acl))

    def test_a9_use_of_ip_acls_switched_off(self):
        self.let_in(self.second)
        self.configure(lightos_use_ipacl=False)
        self.attach()
        self.assertEqual(({self.first['nqn'], self.second['nqn']}, OPEN),
                         (set(self.there.acl), self.there.ip_acl))


@ddt.ddt
class ConnectionDataTestCase(AccessTestCase):

    TARGETS = {
        node: {'target_portal': node, 'target_port': 8009,
               'transport_type': 'tcp'}
        for node in ('10.0.0.1', '10.0.0.2', '10.0.0.3')}

    def targets(self) -> dict[str, Any]:
        return dict(self.attach()['data']['lightos_nodes'])

    def test_a3_connection_data(self):
        self.assertEqual(
            {'driver_volume_type': 'lightos',
             'data': {'uuid': self.there.uuid,
                      'subsysnqn': fake_lightos.SUBSYSTEM_NQN,
                      'lightos_nodes': self.TARGETS}}, self.attach())

    def test_a3_uuid_is_in_lower_case(self):
        self.there.uuid = 'ABCDEF00-0000-4000-8000-00000000000A'
        self.volume.provider_id = 'default ' + self.there.uuid
        self.assertEqual(self.there.uuid.lower(),
                         self.attach()['data']['uuid'])

    def test_a3_ipv6_addresses_are_bare(self):
        self.server.clusterinfo['discoveryEndpoints'] = ['[fd00::1]:8010']
        self.clock.advance(61)
        self.assertEqual(
            {'fd00::1': {'target_portal': 'fd00::1', 'target_port': 8010,
                         'transport_type': 'tcp'}}, self.targets())

    @ddt.data((59, '10.0.0.1'), (61, '10.9.9.9'))
    @ddt.unpack
    def test_a3_nodes_are_at_most_one_stats_period_old(self, age, node):
        self.server.clusterinfo['discoveryEndpoints'] = ['10.9.9.9:8009']
        self.clock.advance(age)
        self.assertIn(node, self.targets())

    def test_a3_stats_refresh_the_nodes(self):
        self.clock.advance(59)
        self.server.clusterinfo['discoveryEndpoints'] = ['10.9.9.9:8009']
        self.driver.get_volume_stats(refresh=True)
        self.server.requests.clear()
        self.assertEqual(['10.9.9.9'], list(self.targets()))
        self.assertNotIn('GetClusterInfo',
                         self.server.operations(probes=True))

    def test_a3_nodes_that_cannot_be_read_are_those_last_learned(self):
        self.clock.advance(61)
        self.server.fault('GetClusterInfo', status=403, times=None)
        self.assertEqual(self.TARGETS, self.targets())
        self.assert_in(self.first)

    def test_a3_nodes_that_cannot_be_read_leave_time_to_attach(self):
        self.clock.advance(61)
        self.server.fault('GetClusterInfo', status=503, times=None)
        self.assertEqual(self.TARGETS, self.targets())

    def test_a3_cluster_that_lists_no_discovery_services(self):
        self.server.clusterinfo['discoveryEndpoints'] = []
        self.server.nodes = ['10.0.0.1', '10.0.0.3']
        self.driver = self.make_driver()
        self.assertEqual(
            {node: target for node, target in self.TARGETS.items()
             if node != '10.0.0.2'}, self.targets())

    def test_a3_cluster_without_nodes_is_an_error(self):
        self.server.clusterinfo['discoveryEndpoints'] = []
        self.server.fault('ListNodes', times=None, body={'nodes': []})
        self.driver = self.make_driver()
        error = self.assertRaises(exception.LightOSError, self.attach)
        self.assert_tells(error, self.volume.id)
        self.assert_in()


@ddt.ddt
class DetachTestCase(AccessTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.let_in(self.first, self.second)

    def rows(self, *connectors: Optional[dict[str, Any]]) -> None:
        """Make attachments of the volume in Cinder's database."""
        for connector in connectors:
            self.make_attachment(self.volume, connector)

    def row_of(self, connector: dict[str, Any]) -> objects.VolumeAttachment:
        return next(row for row in self.volume.volume_attachment
                    if row.connector == connector)

    def test_detach_takes_three_requests(self):
        self.detach(self.first)
        self.assertEqual(['GetVolume', 'UpdateVolume', 'GetVolume'],
                         self.server.operations(probes=True))

    @ddt.data({}, {'force': False}, {'force': True})
    def test_a4_host_with_one_row_goes(self, how):
        self.rows(self.first, self.second)
        self.detach(self.first, **how)
        self.assert_in(self.second)

    @ddt.data({}, {'force': True})
    def test_a4_host_without_a_row_goes(self, how):
        self.rows(self.second)
        self.detach(self.first, **how)
        self.assert_in(self.second)

    @ddt.data({}, {'force': False}, {'force': True})
    def test_a4_host_with_another_row_stays(self, how):
        self.rows(self.first, self.first)
        self.detach(self.first, **how)
        self.assert_in(self.first, self.second)
        self.assertEqual([], self.server.requests)

    def test_a6_host_goes_with_the_last_of_two_detachments(self):
        leaving = [self.make_attachment(self.volume, self.first)]
        self.rows(self.first, self.second)
        sleep = waiting.sleep

        def leave(seconds: float) -> None:
            sleep(seconds)
            while leaving:
                leaving.pop().destroy()

        self.mock_object(waiting, 'sleep', leave)
        self.detach(self.first)
        self.assert_in(self.second)

    def test_a4_host_that_stays_is_waited_for_a_second(self):
        self.rows(self.first, self.first)
        began = self.clock.monotonic()
        self.detach(self.first)
        self.assertAlmostEqual(1, self.clock.monotonic() - began, delta=0.2)

    def test_a4_second_for_a_host_that_stays_begins_with_the_lock(self):
        self.rows(self.first, self.first)
        get_lock = coordination.COORDINATOR.get_lock
        self.mock_object(
            coordination.COORDINATOR, 'get_lock',
            lambda name: (self.clock.advance(20), get_lock(name))[1])
        self.detach(self.first)
        self.assertAlmostEqual(1, sum(self.clock.sleeps), delta=0.2)

    def test_e6_host_that_goes_is_not_waited_for(self):
        self.rows(self.first, self.second)
        self.detach(self.first)
        self.assertEqual([], self.clock.sleeps)

    def test_e6_host_that_stays_is_looked_at_ten_times_a_second(self):
        self.rows(self.first, self.first)
        self.detach(self.first)
        for each in self.clock.sleeps:
            self.assertAlmostEqual(0.1, each)

    def test_e1_host_that_stays_is_waited_for_in_time(self):
        self.rows(self.first, self.first)
        self.override_config('rpc_response_timeout', 1)
        began = self.clock.monotonic()
        self.detach(self.first)
        self.assertLessEqual(self.clock.monotonic() - began, 0.75)

    @ddt.data((0, True, False), (1, True, True), (2, True, True),
              (0, False, False), (1, False, False), (2, False, True))
    @ddt.unpack
    def test_a4_own_copies_of_cinder(self, rows, force, stays):
        self.let_in(self.own, self.second)
        self.rows(*[self.own] * rows, self.second)
        self.detach(self.own, force=force)
        self.assert_in(*[self.own] * stays, self.second)

    def test_a4_row_that_came_since_counts(self):
        self.rows(self.first)
        stale = objects.Volume.get_by_id(self.context, self.volume.id)
        self.assertEqual(1, len(stale.volume_attachment))
        self.rows(self.first)
        self.driver.terminate_connection(stale, self.first)
        self.assert_in(self.first, self.second)

    def test_a4_host_whose_row_comes_meanwhile_stays(self):
        self.rows(self.first, self.second)
        self.server.fault('UpdateVolume',
                          before=lambda _request: self.rows(self.first))
        self.detach(self.first)
        self.assert_in(self.first, self.second)

    def test_a4_own_copy_whose_row_comes_meanwhile_stays(self):
        self.let_in(self.own, self.second)
        self.server.fault('UpdateVolume',
                          before=lambda _request: self.rows(self.own))
        self.detach(self.own, force=True)
        self.assert_in(self.own, self.second)

    def test_a5_address_of_a_host_whose_row_comes_meanwhile_stays(self):
        self.first['host_ips'] = self.second['host_ips']
        self.let_in(self.first, self.second)
        self.rows(self.first)
        self.server.fault('UpdateVolume',
                          before=lambda _request: self.rows(self.second))
        self.detach(self.first)
        self.assert_in(self.second)

    def test_a4_row_that_comes_for_one_that_goes_meanwhile_counts(self):
        # The detachment is asked for twice, and the first one has ended.
        self.rows(self.first, self.second)
        going = self.row_of(self.first)

        def exchange(_request: fake_lightos.Request) -> None:
            going.destroy()
            self.rows(self.first)

        self.server.fault('UpdateVolume', before=exchange)
        self.detach(self.first)
        self.assert_in(self.first, self.second)

    def test_a6_row_that_goes_lets_nobody_in_again(self):
        self.rows(self.first, self.second)
        going = self.row_of(self.first)

        def change(_request: fake_lightos.Request) -> None:
            going.connector = {**self.first, 'host_ips': ['192.0.2.11']}
            going.save()

        self.server.fault('UpdateVolume', before=change)
        self.detach(self.first)
        self.assert_in(self.second)

    def test_a6_host_that_cannot_be_let_in_again_is_told(self):
        self.rows(self.first, self.second)
        self.server.fault('UpdateVolume',
                          before=lambda _request: self.rows(self.first))
        self.server.fault('UpdateVolume', status=403, times=None)
        log = self.warnings()
        self.assertRaises(exception.LightOSRefused, self.detach, self.first)
        self.assertIn('The hosts %s were attached to volume %s while' % (
            self.first['nqn'], self.volume.id), log.output)

    def test_e1_letting_in_again_ends_in_time(self):
        self.rows(self.first, self.second)
        self.server.fault('UpdateVolume',
                          before=lambda _request: self.rows(self.first))
        self.server.fault('UpdateVolume', status=503, times=None)
        began = self.clock.monotonic()
        self.assertRaises(exception.LightOSNotSeen, self.detach, self.first)
        self.assertLessEqual(self.clock.monotonic() - began, LONGEST + 1)

    def test_a4_row_that_went_since_does_not_count(self):
        self.rows(self.first, self.first)
        stale = objects.Volume.get_by_id(self.context, self.volume.id)
        self.assertEqual(2, len(stale.volume_attachment))
        self.volume.volume_attachment[0].destroy()
        self.driver.terminate_connection(stale, self.first)
        self.assert_in(self.second)

    def test_a5_addresses_go_with_their_host(self):
        self.first['host_ips'] = ['192.0.2.1', '192.0.2.11']
        self.let_in(self.first, self.second)
        self.detach(self.first)
        self.assert_in(self.second)

    @ddt.data({}, {'host_ips': []}, {'host_ips': ['192.0.2.9']})
    def test_a5_addresses_go_that_only_the_row_knows(self, told):
        self.first['host_ips'] = ['192.0.2.1', '192.0.2.2', '192.0.2.11']
        self.let_in(self.first, self.second)
        self.rows(self.first, self.second)
        self.detach({'nqn': self.first['nqn'], **told}, force=True)
        self.assert_in(self.second)

    def test_a5_shared_address_stays(self):
        self.first['host_ips'] = ['192.0.2.1', '192.0.2.2']
        self.let_in(self.first, self.second)
        self.rows(self.first, self.second)
        self.detach(self.first)
        self.assert_in(self.second)

    def test_a5_shared_address_in_another_spelling_stays(self):
        self.first['host_ips'] = ['2001:DB8::0:1']
        self.second['host_ips'] = ['2001:db8::1']
        self.let_in(self.second)
        self.there.acl += (self.first['nqn'],)
        self.rows(self.first, self.second)
        self.detach(self.first)
        self.assert_in(self.second)

    def test_a5_shared_address_stays_though_it_counts_no_more(self):
        self.first['host_ips'] = ['192.0.2.1', '192.0.2.2']
        self.let_in(self.first, self.second)
        self.rows(self.first, self.second)
        self.configure(lightos_ipacl_networks=['198.51.100.0/24'])
        self.detach(self.first)
        self.assert_in(self.second)

    def test_a5_address_outside_the_networks_goes_with_its_host(self):
        self.configure(lightos_ipacl_networks=['198.51.100.0/24'])
        self.detach(self.first)
        self.assert_in(self.second)

    def test_a5_addresses_stay_with_hosts_that_are_not_known(self):
        self.rows(self.first, None)
        self.detach(self.first)
        self.assertEqual(((self.second['nqn'],), ('192.0.2.1', '192.0.2.2')),
                         (self.there.acl, self.there.ip_acl))

    def test_a5_one_of_two_rows_without_a_connector_is_of_another_host(self):
        self.rows(None, None)
        self.detach(self.first)
        self.assertEqual(((self.second['nqn'],), ('192.0.2.1', '192.0.2.2')),
                         (self.there.acl, self.there.ip_acl))

    def test_a5_row_without_a_connector_is_that_of_the_host_that_goes(self):
        self.rows(self.second, None)
        self.detach(self.first)
        self.assert_in(self.second)

    def test_a5_last_one_out_closes_both_lists(self):
        self.let_in(self.first)
        self.there.ip_acl += ('203.0.113.9',)
        self.detach(self.first)
        self.assert_in()

    def test_a5_last_address_out_closes_the_list(self):
        self.there.ip_acl = ('192.0.2.1',)
        self.detach(self.first)
        self.assertEqual(((self.second['nqn'],), CLOSED),
                         (self.there.acl, self.there.ip_acl))

    @ddt.data('first', None)
    def test_a6_detach_that_does_not_see_who_is_in_is_no_success(self, who):
        reply = self.there.reply()
        del reply['acl']
        lacking = self.server.fault('GetVolume', body=reply, times=None)
        connector = who and self.first
        error = self.assertRaises(exception.LightOSNotSeen, self.detach,
                                  connector)
        self.assert_tells(error, self.volume.id, 'no acl')
        self.assert_in(self.first, self.second)
        lacking.times = 1
        self.detach(connector)
        self.assert_in(*[self.second] if who else [])

    def test_a6_host_that_is_out_already_is_success(self):
        self.let_in(self.second)
        self.detach(self.first)
        self.assertEqual(['GetVolume'], self.server.operations())

    @ddt.data(400, 401, 403, 501)
    def test_a6_detach_that_is_refused_raises(self, status):
        self.server.fault('UpdateVolume', status=status, message='no way',
                          times=None)
        error = self.assertRaises(exception.LightOSRefused, self.detach,
                                  self.first)
        self.assert_tells(
            error, 'detach volume %s from host %s' % (
                self.volume.id, self.first['nqn']), 'update_volume',
            self.there.uuid, 'project default', 'HTTP %d' % status, 'no way')

    @ddt.data({'status': 500}, {'status': 503}, {'hang': True},
              {'refused': True}, {'status': 412})
    def test_a6_detach_that_cannot_be_done_raises_in_time(self, fault):
        self.server.fault('UpdateVolume', times=None, **fault)
        began = self.clock.monotonic()
        error = self.assertRaises(exception.LightOSNotSeen, self.detach,
                                  self.first)
        self.assert_tells(error, self.volume.id, self.first['nqn'],
                          self.there.uuid)
        self.assertLessEqual(self.clock.monotonic() - began, LONGEST + 1)

    def test_a6_detach_that_is_not_seen_raises(self):
        self.server.work_time['UpdateVolume'] = math.inf
        self.assertRaises(exception.LightOSNotSeen, self.detach, self.first)

    def test_a6_volume_that_may_not_be_read_is_no_success(self):
        self.server.fault('GetVolume', status=403, times=None)
        self.assertRaises(exception.LightOSRefused, self.detach, self.first)

    @ddt.data(True, False)
    def test_a6_missing_volume_is_success(self, recorded):
        self.driver.delete_volume(self.volume)
        if not recorded:
            self.volume.provider_id = None
        for connector in (self.first, None):
            self.detach(connector)

    @ddt.data('Failed', 'Deleting', 'Deleted')
    def test_a6_volume_that_is_no_more_is_success(self, state):
        self.server.fault('GetVolume', body={
            **self.there.reply(), 'state': state})
        self.detach(self.first)
        self.assertEqual([], self.updates())

    @ddt.data(*PASSING, (404, None))
    @ddt.unpack
    def test_e2_detach_waits_out_passing_trouble(self, status, code):
        self.server.fault('UpdateVolume', status=status, code=code, times=3)
        self.detach(self.first)
        self.assert_in(self.second)

    @ddt.data(400, 412)
    def test_a1_detach_loses_no_entry_of_another_writer(self, status):
        third = self.host_connector(3)
        self.server.etag_mismatch = status
        self.server.fault('UpdateVolume', before=lambda request: self.let_in(
            self.first, self.second, third))
        self.detach(self.first)
        self.assert_in(self.second, third)

    def test_e3_detach_waits_until_it_is_seen(self):
        self.server.work_time['UpdateVolume'] = 20
        self.detach(self.first)
        self.assertEqual((self.second['nqn'],), self.there.acl)

    def test_a6_volume_whose_replica_moves_is_detached(self):
        self.there.state = 'Migrating'
        self.detach(self.first)
        self.assert_in(self.second)
        self.assertEqual([], self.clock.sleeps)

    def test_a6_volume_that_is_not_available_is_detached(self):
        self.there.protection = 'NotAvailable'
        self.detach(self.first)
        self.assert_in(self.second)

    @ddt.data({}, {'force': True})
    def test_a7_without_a_connector_all_hosts_go(self, how):
        self.rows(self.first, self.second)
        self.detach(None, **how)
        self.assert_in()

    def test_a7_error_without_a_connector_names_all_hosts(self):
        self.server.fault('UpdateVolume', status=403)
        error = self.assertRaises(exception.LightOSRefused, self.detach, None)
        self.assert_tells(
            error, 'detach volume %s from all hosts' % self.volume.id)

    @ddt.data({}, {'host': 'compute1'}, {'host': 'compute1', 'nqn': ''},
              '', 'nqn.x', 0, 7, False, [], ['nqn'])
    def test_a7_connector_without_nqn_cuts_nobody_off(self, connector):
        self.assertRaises(cinder_exception.InvalidConnectorException,
                          self.detach, connector)
        self.assert_in(self.first, self.second)

    @ddt.data({'host': 'compute1'}, {}, '', 'nqn.x', 7, ['nqn'])
    def test_a7_force_without_nqn_leaves_what_the_others_need(self,
                                                              connector):
        self.rows({'host': 'compute1'}, self.second)
        self.detach(connector, force=True)
        self.assert_in(self.second)

    def test_a7_force_without_nqn_lets_in_who_is_attached(self):
        self.let_in(self.first)
        self.rows(self.second)
        self.detach({'host': 'compute1'}, force=True)
        self.assert_in(self.second)

    def test_a7_force_without_nqn_leaves_who_comes_meanwhile(self):
        self.rows({'host': 'compute1'}, self.second)
        self.server.fault('UpdateVolume',
                          before=lambda _request: self.rows(self.first))
        self.detach({'host': 'compute1'}, force=True)
        self.assert_in(self.first, self.second)

    def test_a7_force_without_nqn_leaves_whom_a_row_names_meanwhile(self):
        self.rows(self.second)
        row = self.row_of(self.second)

        def change(_request: fake_lightos.Request) -> None:
            row.connector = self.first
            row.save()

        self.server.fault('UpdateVolume', before=change)
        self.detach({'host': 'compute1'}, force=True)
        self.assert_in(self.first, self.second)

    def test_a7_force_without_nqn_and_attachments_closes_the_lists(self):
        self.detach({'host': 'compute1'}, force=True)
        self.assert_in()

    def test_a7_force_without_nqn_beside_hosts_that_are_not_known(self):
        self.rows(self.second, None)
        error = self.assertRaises(
            exception.LightOSError, self.detach, {'host': 'compute1'},
            force=True)
        self.assert_tells(error, self.volume.id)
        self.assert_in(self.first, self.second)

    def test_a7_reserved_rows_need_nothing(self):
        self.rows(self.second, None)
        row = next(each for each in self.volume.volume_attachment
                   if not each.connector)
        row.attach_status = fields.VolumeAttachStatus.RESERVED
        row.save()
        self.detach({'host': 'compute1'}, force=True)
        self.assert_in(self.second)

    def test_a8_force_without_nqn_drops_no_address_in_silence(self):
        self.second['host_ips'] = ['198.51.100.%d' % number
                                   for number in range(1, 18)]
        self.rows(self.second)
        self.assertRaises(
            cinder_exception.InvalidConnectorException, self.detach,
            {'host': 'compute1'}, force=True)
        self.assertEqual([], self.updates())

    def test_a9_detach_on_a_cluster_without_ip_acls(self):
        self.server.ip_acl = False
        self.detach(self.first)
        (request,) = self.updates()
        self.assertEqual({'acl': {'values': [self.second['nqn']]}},
                         request.body)

    def test_a9_use_of_ip_acls_switched_off(self):
        self.configure(lightos_use_ipacl=False)
        self.detach(self.first)
        self.assert_in(self.second)

    @ddt.data(True, False)
    def test_a9_address_list_that_lets_anybody_in_is_left(self, last):
        log = self.warnings()
        self.there.ip_acl = OPEN
        self.detach(self.first)
        if last:
            self.detach(self.second)
        self.assertEqual('', log.output)
        self.assertEqual((CLOSED if last else (self.second['nqn'],), OPEN),
                         (self.there.acl, self.there.ip_acl))

    def test_a9_host_list_that_lets_anybody_in_is_left_with_a_warning(self):
        log = self.warnings()
        self.there.acl = OPEN
        self.detach(self.first)
        self.assertEqual(OPEN, self.there.acl)
        self.assertEqual(1, log.output.count('ALLOW_ANY'))
        self.assertIn(self.volume.id, log.output)

    def test_a9_list_that_lets_anybody_in_is_warned_of_once(self):
        log = self.warnings()
        self.there.acl = OPEN
        self.rows(self.first)
        self.server.fault('GetVolume',
                          before=lambda _request: self.rows(self.first))
        self.detach(self.first)
        self.assertEqual(1, log.output.count('ALLOW_ANY'))

    def test_a9_lists_that_let_anybody_in_are_left_for_all_hosts(self):
        log = self.warnings()
        self.there.acl = self.there.ip_acl = OPEN
        self.detach(None)
        self.assertEqual((OPEN, OPEN), (self.there.acl, self.there.ip_acl))
        self.assertEqual(1, log.output.count('ALLOW_ANY'))

    def test_a9_ordinary_detach_warns_of_nothing(self):
        log = self.warnings()
        self.detach(self.first)
        self.assertEqual('', log.output)


@ddt.ddt
class WritersTestCase(AccessTestCase):
    """Several writers of one volume's lists at once."""

    MOCK_TOOZ = False
    WRITERS = 8

    def setUp(self) -> None:
        super().setUp()
        self.hosts = [self.host_connector(number)
                      for number in range(self.WRITERS)]

    def record_of_its_own(self) -> objects.Volume:
        volume = objects.Volume.get_by_id(self.context, self.volume.id)
        # What is loaded when it is needed would be loaded by all at once.
        self.assertIsNotNone(volume.volume_type.extra_specs)
        return volume

    def at_once(self, *work: Callable[[], Any]) -> None:
        """Run each in a thread of its own; the first error is raised."""
        start = threading.Barrier(len(work))
        errors: list[BaseException] = []

        def run(each: Callable[[], Any]) -> None:
            start.wait(60)
            try:
                each()
            except BaseException as exc:
                errors.append(exc)

        threads = [threading.Thread(target=run, args=(each,), daemon=True)
                   for each in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            self.assertFalse(thread.is_alive())
        if errors:
            raise errors[0]

    def attaching(self, connector: dict[str, Any]) -> Callable[[], Any]:
        volume = self.record_of_its_own()
        return lambda: self.driver.initialize_connection(volume, connector)

    def detaching(self, connector: dict[str, Any]) -> Callable[[], Any]:
        volume = self.record_of_its_own()
        return lambda: self.driver.terminate_connection(volume, connector)

    def test_a1_eight_hosts_attached_at_once_are_all_in(self):
        self.at_once(*map(self.attaching, self.hosts))
        self.assert_in(*self.hosts)

    def test_a1_eight_hosts_detached_at_once_are_all_out(self):
        for each in self.hosts:
            self.make_attachment(self.volume, each)
        self.let_in(*self.hosts)
        self.at_once(*map(self.detaching, self.hosts))
        self.assert_in()

    def test_a1_attached_and_detached_at_once(self):
        going, coming = self.hosts[::2], self.hosts[1::2]
        for each in self.hosts:
            self.make_attachment(self.volume, each)
        self.let_in(*going)
        self.at_once(*map(self.detaching, going),
                     *map(self.attaching, coming))
        self.assert_in(*coming)

    def test_e7_writers_of_other_controllers_have_no_common_lock(self):
        self.patch('cinder.coordination.Coordinator.get_lock')
        self.at_once(*map(self.attaching, self.hosts))
        self.assert_in(*self.hosts)

    def during_detach(self, work: Callable[[], Any]) -> bool:
        """Start work while a detach writes; whether it ends before that."""
        ended: list[bool] = []
        # With Python 3.13 the join of an eventlet thread raises in the end.
        through = threading.Event()

        def run() -> None:
            work()
            through.set()

        def begin(request: fake_lightos.Request) -> None:
            thread.start()
            ended.append(through.wait(0.2 if self.blocks else 60))

        thread = threading.Thread(target=run, daemon=True)
        self.let_in(self.first)
        self.server.fault('UpdateVolume', before=begin)
        self.detach(self.first)
        thread.join(60)
        self.assertFalse(thread.is_alive())
        return ended[0]

    def test_e7_attach_waits_for_a_detach_of_the_volume(self):
        self.blocks = True
        volume = self.record_of_its_own()
        volume._name_id = fake.VOLUME2_ID  # locks go by the id alone
        self.assertFalse(self.during_detach(
            lambda: self.driver.initialize_connection(volume, self.second)))
        self.assert_in(self.second)

    def test_e7_detach_waits_for_a_detach_of_the_volume(self):
        self.blocks = True
        self.assertFalse(self.during_detach(self.detaching(self.second)))

    def test_e7_attach_does_not_wait_for_other_volumes(self):
        self.blocks = False
        other = self.make_volume(create=True)
        self.assertIsNotNone(other.volume_type.extra_specs)
        self.assertTrue(self.during_detach(
            lambda: self.driver.initialize_connection(other, self.second)))

    @contextlib.contextmanager
    def waiting_for_the_lock(self, work: Callable[[], Any],
                             ) -> Iterator[list[BaseException]]:
        """Work that gets the lock of the volume only after this.

        :returns: what it raised in the end
        """
        errors: list[BaseException] = []
        waiting = threading.Event()
        get_lock = coordination.COORDINATOR.get_lock

        def get_lock_and_tell(name: str) -> Any:
            waiting.set()
            return get_lock(name)

        def run() -> None:
            try:
                work()
            except exception.LightOSError as exc:
                errors.append(exc)

        self.mock_object(coordination.COORDINATOR, 'get_lock',
                         get_lock_and_tell)
        thread = threading.Thread(target=run, daemon=True)
        with get_lock('lightos-%s' % self.volume.id):
            thread.start()
            self.assertTrue(waiting.wait(60))
            yield errors
        thread.join(60)
        self.assertFalse(thread.is_alive())

    @ddt.data('attaching', 'detaching')
    def test_e7_waiting_for_the_lock_ends_in_time(self, kind):
        self.let_in(self.first)
        work = getattr(self, kind)(self.second)
        with self.waiting_for_the_lock(work) as errors:
            self.clock.advance(LONGEST)
        self.assert_tells(errors[0], self.volume.id, self.second['nqn'])
        self.assertEqual([], self.server.requests)

    @ddt.data((4.4, False), (4.5, True))
    @ddt.unpack
    def test_a1_attach_that_could_not_be_taken_back_is_not_begun(
            self, left, begun):
        work = self.attaching(self.second)
        with self.waiting_for_the_lock(work) as errors:
            self.clock.advance(LONGEST - left)
        self.assertEqual(begun, not errors)
        for error in errors:
            self.assert_tells(error, self.volume.id, self.second['nqn'],
                              'left no time')
        self.assertEqual(begun, bool(self.server.requests))
        self.assert_in(*[self.second] * begun)

    def test_a4_attachments_are_read_under_the_lock(self):
        self.let_in(self.first, self.second)
        row, _other = (self.make_attachment(self.volume, self.first)
                       for _each in range(2))
        with self.waiting_for_the_lock(self.detaching(self.first)):
            row.destroy()
        self.assert_in(self.second)

    def test_e7_controller_is_looked_at_without_the_lock(self):
        events = []
        get_lock = coordination.COORDINATOR.get_lock
        self.mock_object(coordination.COORDINATOR, 'get_lock', lambda name: (
            events.append('lock'), get_lock(name))[1])
        self.mock_object(
            base.FakeConnector, 'get_connector_properties',
            lambda *args, **kwargs: events.append('look') or self.own)
        for how, seen in (({'force': True}, ['look', 'lock']),
                          ({}, ['lock'])):
            self.detach(self.own, **how)
            self.assertEqual(seen, events)
            events.clear()

    def test_e7_locks_are_cleaned_with_their_volume(self):
        self.attach()
        self.detach(self.first)
        path = '%s/cinder-*%s*' % (
            cfg.CONF.coordination.backend_url.partition('://')[2],
            self.volume.id)
        self.assertEqual(1, len(glob.glob(path)))
        self.driver.clean_volume_file_locks(self.volume.id)
        self.assertEqual([], glob.glob(path))
