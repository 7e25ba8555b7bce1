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

"""The driver as Cinder sees it, beside what it does on the cluster."""

import inspect
import logging
import types
from typing import Any

import ddt
import fixtures
from oslo_config import cfg

from cinder import coordination
from cinder import exception as cinder_exception
from cinder import interface
from cinder import objects
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume import configuration
from cinder.volume.drivers import lightos
from cinder.volume.drivers.lightos import exception

UUID = '11111111-2222-4333-8444-555555555555'
# The options of Cinder's release, and their defaults.
RELEASE_OPTIONS = {
    'lightos_api_address': None,
    'lightos_api_port': 443,
    'lightos_jwt': None,
    'lightos_default_num_replicas': 3,
    'lightos_default_compression_enabled': False,
    'lightos_api_service_timeout': 30,
    'lightos_use_ipacl': True,
    'lightos_api_service_snapshots_max_calls': 5,
}
OWN_OPTIONS = {'lightos_jwt_file': None, 'lightos_ipacl_networks': []}


@ddt.ddt
class OptionsTestCase(base.LightOSTestCase):

    def test_d1_options_and_defaults(self):
        self.assertEqual({**RELEASE_OPTIONS, **OWN_OPTIONS},
                         {option.name: option.default
                          for option in lightos.lightos_opts})

    @ddt.data(*RELEASE_OPTIONS, *OWN_OPTIONS)
    def test_d1_options_are_registered(self, name):
        self.assertIn(name, cfg.CONF[configuration.SHARED_CONF_GROUP])

    def test_d1_token_is_secret(self):
        (option,) = (each for each in lightos.lightos_opts
                     if each.name == 'lightos_jwt')
        self.assertTrue(option.secret)

    @ddt.data(('lightos_default_num_replicas', 0),
              ('lightos_default_num_replicas', 4),
              ('lightos_api_service_timeout', 0),
              ('lightos_api_service_snapshots_max_calls', 0),
              ('lightos_api_port', 65536),
              ('lightos_api_address', 'not a host'))
    @ddt.unpack
    def test_option_out_of_range_is_refused(self, name, value):
        (option,) = (each for each in lightos.lightos_opts
                     if each.name == name)
        self.assertRaises(ValueError, option.type, value)

    @ddt.data(('lightos_default_num_replicas', 1),
              ('lightos_default_num_replicas', 3),
              ('lightos_api_service_timeout', 1),
              ('lightos_api_service_snapshots_max_calls', 1))
    @ddt.unpack
    def test_option_at_the_end_of_its_range_is_taken(self, name, value):
        (option,) = (each for each in lightos.lightos_opts
                     if each.name == name)
        self.assertEqual(value, option.type(value))

    @ddt.data('10.0.0.1', '10.0.0.1,10.0.0.2', 'lightos.example.org,fd00::1')
    def test_c1_addresses_or_names(self, value):
        (option,) = (each for each in lightos.lightos_opts
                     if each.name == 'lightos_api_address')
        self.assertEqual(value.split(','), option.type(value))

    def test_every_option_has_help(self):
        for option in lightos.lightos_opts:
            self.assertGreater(len(option.help), 40, option.name)

    def test_get_driver_options(self):
        names = {option.name for option in
                 lightos.LightOSVolumeDriver.get_driver_options()}
        self.assertEqual(
            {*RELEASE_OPTIONS, *OWN_OPTIONS, 'driver_ssl_cert_path',
             'driver_ssl_cert_verify', 'max_over_subscription_ratio',
             'num_volume_device_scan_tries', 'reserved_percentage',
             'suppress_requests_ssl_warnings', 'volume_backend_name'}, names)


@ddt.ddt
class SetupTestCase(base.LightOSTestCase):

    def test_d1_import_path(self):
        self.assertEqual('cinder.volume.drivers.lightos',
                         lightos.__name__)
        self.assertEqual('default', lightos.LIGHTOS_DEFAULT_PROJECT_NAME)
        self.assertIsInstance(self.driver.cluster, lightos.LightOSConnection)

    def test_driver_says_what_it_is(self):
        self.assertTrue(lightos.LightOSVolumeDriver.SUPPORTED)
        self.assertEqual('LightbitsLabs_CI',
                         lightos.LightOSVolumeDriver.CI_WIKI_NAME)
        self.assertIn(lightos.LightOSVolumeDriver.VERSION,
                      inspect.getdoc(lightos.LightOSVolumeDriver))

    @ddt.data('do_setup', 'check_for_setup_error', 'get_volume_stats',
              'create_volume', 'create_volume_from_snapshot',
              'create_cloned_volume', 'delete_volume', 'extend_volume',
              'retype', 'update_migrated_volume', 'create_snapshot',
              'delete_snapshot', 'revert_to_snapshot', 'validate_connector',
              'initialize_connection', 'terminate_connection', 'clone_image',
              'before_volume_copy', 'accept_transfer', 'manage_existing',
              'manage_existing_get_size', 'manage_existing_snapshot',
              'manage_existing_snapshot_get_size')
    def test_method_is_traced(self, name):
        log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        method = getattr(self.driver, name)
        arguments = [None for parameter in
                     inspect.signature(method).parameters.values()
                     if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
        try:
            method(*arguments)
        except Exception as exc:
            # What it makes of nothing at all is of no interest here.
            self.assertIsNotNone(exc)
        self.assertIn('==> %s: call' % name, log.output)

    def test_driver_is_among_those_of_cinder(self):
        self.assertIn(lightos.LightOSVolumeDriver,
                      interface._volume_register)

    def test_several_controllers_may_serve_one_cluster(self):
        self.assertTrue(lightos.LightOSVolumeDriver.SUPPORTS_ACTIVE_ACTIVE)

    def test_d2_connector_is_the_configured_one(self):
        class AnotherConnector(base.FakeConnector):
            pass

        self.patch('cinder.tests.AnotherConnector', AnotherConnector,
                   create=True)
        cfg.CONF.register_opt(cfg.StrOpt('initiator_connector'),
                              group=base.BACKEND)
        driver = self.make_driver(
            initiator_connector='cinder.tests.AnotherConnector')
        self.assertIsInstance(driver.connector, AnotherConnector)

    @ddt.data(None, [])
    def test_c8_missing_addresses_are_refused_before_any_call(self, value):
        driver = self.make_driver(setup=False, lightos_api_address=value)
        error = self.assertRaises(
            cinder_exception.InvalidConfigurationValue, driver.do_setup,
            self.context)
        self.assert_tells(error, 'lightos_api_address')
        self.assertEqual([], self.server.requests)

    def test_a8_bad_networks_are_refused_before_any_call(self):
        driver = self.make_driver(setup=False,
                                  lightos_ipacl_networks=['storage'])
        error = self.assertRaises(
            cinder_exception.InvalidConfigurationValue, driver.do_setup,
            self.context)
        self.assert_tells(error, 'lightos_ipacl_networks', 'storage')
        self.assertEqual([], self.server.requests)

    def test_c8_bad_token_is_told_with_its_source(self):
        self.server.tokens = {'good'}
        driver = self.make_driver(setup=False, lightos_jwt='bad')
        error = self.assertRaises(cinder_exception.InvalidAuthKey,
                                  driver.do_setup, self.context)
        self.assert_tells(error, 'lightos_jwt', '401')
        self.assertNotIn('bad', str(error))

    def test_c8_token_in_a_file_is_told_with_its_source(self):
        self.server.tokens = {'good'}
        path = self.useFixture(fixtures.TempDir()).join('jwt')
        with open(path, 'w') as file:
            file.write('bad')
        driver = self.make_driver(setup=False, lightos_jwt_file=path)
        error = self.assertRaises(cinder_exception.InvalidAuthKey,
                                  driver.do_setup, self.context)
        self.assert_tells(error, path)

    def test_c8_missing_token_is_told_when_the_cluster_asks_for_one(self):
        self.server.tokens = {'good'}
        driver = self.make_driver(setup=False)
        error = self.assertRaises(cinder_exception.InvalidAuthKey,
                                  driver.do_setup, self.context)
        self.assert_tells(error, 'lightos_jwt')

    def test_c8_no_token_is_no_fault(self):
        self.make_driver()
        self.assertIsNone(self.server.requests[-1].token)

    def test_c8_other_refusals_are_told_as_they_are(self):
        self.server.fault('GetClusterInfo', status=403, message='no way',
                          times=None)
        driver = self.make_driver(setup=False)
        error = self.assertRaises(exception.LightOSRefused, driver.do_setup,
                                  self.context)
        self.assert_tells(error, 'HTTP 403', 'no way')

    def test_c8_cluster_that_does_not_answer_is_told(self):
        self.server.nodes = []
        driver = self.make_driver(setup=False)
        self.assertRaises(cinder_exception.VolumeBackendAPIException,
                          driver.do_setup, self.context)

    @ddt.data((True, True), (True, False), (False, True))
    @ddt.unpack
    def test_c8_what_is_missing_is_named_together(self, subsystem, host):
        if subsystem:
            self.server.clusterinfo['subsystemNQN'] = ''
        if host:
            del self.connector_properties['nqn']
        driver = self.make_driver(setup=False)
        driver.do_setup(self.context)
        error = self.assertRaises(
            cinder_exception.VolumeBackendAPIException,
            driver.check_for_setup_error)
        self.assertEqual(
            (subsystem, host),
            ('subsystem NQN' in str(error), 'host NQN' in str(error)))

    def test_c8_nothing_missing(self):
        self.driver.check_for_setup_error()

    def test_c8_subsystem_nqn_may_be_set(self):
        self.server.clusterinfo['subsystemNQN'] = ''
        driver = self.make_driver(setup=False)
        driver.do_setup(self.context)
        driver.cluster.subsystemNQN = 'nqn.set'
        driver.check_for_setup_error()

    def test_c7_stats_take_two_requests(self):
        self.driver.get_volume_stats(refresh=True)
        self.assertEqual(['GetClusterInfo', 'GetCluster'],
                         self.server.operations(probes=True))

    def test_c7_stats_are_read_only_when_asked(self):
        stats = self.driver.get_volume_stats(refresh=True)
        self.server.requests.clear()
        self.assertIs(stats, self.driver.get_volume_stats())
        self.assertEqual([], self.server.requests)

    def test_e1_stats_that_hang_end_in_half_their_period(self):
        self.server.fault(hang=True, times=None)
        began = self.clock.monotonic()
        stats = self.driver.get_volume_stats(refresh=True)
        self.assertEqual('down', stats['backend_state'])
        self.assertAlmostEqual(30, self.clock.monotonic() - began, delta=1)

    @ddt.data((10, 40), (30, 100))
    @ddt.unpack
    def test_e1_other_operations_have_three_answers_and_ten_seconds(
            self, timeout, longest):
        self.configure(lightos_api_service_timeout=timeout)
        self.server.fault('CreateVolume', status=503, times=None)
        began = self.clock.monotonic()
        self.assertRaises(exception.LightOSNotSeen,
                          self.driver.create_volume, self.make_volume())
        # The last half second is kept for one more look.
        self.assertEqual(longest,
                         round(self.clock.monotonic() - began + 0.4))

    def test_e1_a_clone_keeps_a_fifth_of_its_time_for_undoing(self):
        source = self.make_volume(create=True)
        self.configure(lightos_api_service_snapshots_max_calls=10000)
        self.server.fault('CreateSnapshot', status=503, times=None)
        self.server.requests.clear()
        began = self.clock.monotonic()
        self.assertRaises(exception.LightOSNotSeen,
                          self.driver.create_cloned_volume,
                          self.make_volume(), source)
        tries = [request.at for request in self.server.requests
                 if request.operation == 'CreateSnapshot']
        self.assertAlmostEqual(80, tries[-1] - began, delta=2)

    @ddt.data(({'rpc_response_timeout': 100,
                'backend_stats_polling_interval': 40}, 75, 40), ({}, 45, 60))
    @ddt.unpack
    def test_e1_callers_wait_as_the_options_of_the_service_say(
            self, conf, attach, stats):
        self.patch('cinder.volume.drivers.lightos.driver.CONF',
                   types.SimpleNamespace(**conf))
        self.assertEqual((attach, stats), (
            self.driver._attach_seconds(), self.driver._stats_interval()))

    def test_a3_first_attachment_learns_the_discovery_endpoints(self):
        volume = self.make_volume(create=True)
        driver = self.make_driver(setup=False)
        data = driver.initialize_connection(
            volume, self.host_connector())['data']
        self.assertEqual(set(self.server.nodes), set(data['lightos_nodes']))

    def test_e1_learning_takes_a_fifth_of_an_attachment_at_most(self):
        volume = self.make_volume(create=True)
        self.clock.advance(100)
        self.server.fault('GetClusterInfo', hang=True, times=None)
        began = self.clock.monotonic()
        self.driver.initialize_connection(volume, self.host_connector())
        self.assertLessEqual(self.clock.monotonic() - began, 9)

    @ddt.data((None, 'from all hosts'),
              (base.LightOSTestCase.host_connector(), 'from host nqn.2014'))
    @ddt.unpack
    def test_a6_detach_that_fails_says_of_whom(self, connector, words):
        volume = self.make_volume(create=True)
        self.driver.initialize_connection(volume, self.host_connector())
        self.server.fault('UpdateVolume', status=403, times=None)
        error = self.assertRaises(
            exception.LightOSRefused, self.driver.terminate_connection,
            volume, connector)
        self.assert_tells(error, words)

    @ddt.data((base.LightOSTestCase.host_connector(), {}),
              (None, {'force': True}))
    @ddt.unpack
    def test_a4_detach_that_need_not_know_the_controller_does_not_look(
            self, connector, how):
        volume = self.make_volume(create=True)
        looked = self.mock_object(base.FakeConnector,
                                  'get_connector_properties')
        self.driver.terminate_connection(volume, connector, **how)
        looked.assert_not_called()

    @ddt.data(({}, '', True), ({}, 'snapshot-' + UUID, False),
              ({'snapshot_id': UUID}, 'snapshot-' + UUID, True),
              ({'snapshot_id': UUID}, '', False),
              ({'source_volid': UUID}, '', False))
    @ddt.unpack
    def test_v4_failed_create_deletes_only_what_it_can_have_made(
            self, record, source, deleted):
        volume = self.make_volume(status='error', **record)
        self.server.add_volume(volume.name, source_name=source)
        self.driver.delete_volume(volume)
        self.assertIs(deleted, self.server.volumes() == [])

    def test_e7_lock_files_are_removed_without_a_driver(self):
        remove = self.mock_object(coordination, 'synchronized_remove')
        lightos.LightOSVolumeDriver.clean_volume_file_locks(UUID)
        remove.assert_called_once_with('lightos-' + UUID)

    def test_export_is_nothing(self):
        volume = self.make_volume()
        connector = self.host_connector()
        self.assertIsNone(self.driver.create_export(
            self.context, volume, connector))
        self.assertIsNone(self.driver.ensure_export(self.context, volume))
        self.assertIsNone(self.driver.remove_export(self.context, volume))
        self.assertEqual([], self.server.requests)

    def test_backup_goes_through_a_clone(self):
        self.assertIs(False, self.driver.backup_use_temp_snapshot())


class VendorPropertiesTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.driver.init_capabilities()
        self.found = self.driver.capabilities['properties']

    def test_d1_vendor_properties(self):
        self.assertEqual(
            {'lightos:num_replicas', 'lightos:project_name',
             'lightos:qos_policy', 'lightos:sector_size'},
            {name for name in self.found if name.startswith('lightos')})

    def test_d1_replicas_have_a_range_and_a_default(self):
        found = self.found['lightos:num_replicas']
        self.assertEqual(
            ('integer', 1, 3, 3),
            (found['type'], found['minimum'], found['maximum'],
             found['default']))

    def test_sector_size_is_one_of_two(self):
        found = self.found['lightos:sector_size']
        self.assertEqual(('integer', [512, 4096]),
                         (found['type'], found['enum']))

    def test_d1_default_replicas_are_the_options(self):
        driver = self.make_driver(lightos_default_num_replicas=2)
        driver.init_capabilities()
        self.assertEqual(2, driver.capabilities['properties'][
            'lightos:num_replicas']['default'])

    def test_d1_project_has_a_default(self):
        found = self.found['lightos:project_name']
        self.assertEqual(('string', 'default'),
                         (found['type'], found['default']))

    def test_d1_qos_policy_has_none(self):
        found = self.found['lightos:qos_policy']
        self.assertEqual('string', found['type'])
        self.assertNotIn('default', found)


@ddt.ddt
class ProviderInfoTestCase(base.LightOSTestCase):

    def update(self, *volumes: objects.Volume,
               snapshots: Any = ()) -> list[dict[str, str]]:
        self.server.requests.clear()
        updates, of_snapshots = self.driver.update_provider_info(
            list(volumes), list(snapshots))
        self.assertIsNone(of_snapshots)
        self.assertEqual([], self.server.requests)
        return list(updates)

    def test_d3_project_is_recorded(self):
        volume = self.make_volume()
        self.assertEqual([{'id': volume.id, 'provider_id': 'default'}],
                         self.update(volume))

    def test_d3_project_of_the_type_is_recorded(self):
        volume = self.make_volume(self.make_type(
            lightos__project_name='blue'))
        self.assertEqual([{'id': volume.id, 'provider_id': 'blue'}],
                         self.update(volume))

    def test_d3_volume_without_a_type(self):
        volume = self.make_volume()
        volume.volume_type_id = None
        self.assertEqual([{'id': volume.id, 'provider_id': 'default'}],
                         self.update(volume))

    @ddt.data('blue', 'blue ' + UUID)
    def test_d3_what_is_recorded_stays(self, provider_id):
        self.assertEqual([], self.update(self.make_volume(
            provider_id=provider_id)))

    def test_d3_what_is_recorded_hides_no_other(self):
        volume = self.make_volume()
        self.assertEqual(
            [{'id': volume.id, 'provider_id': 'default'}],
            self.update(self.make_volume(provider_id='blue'), volume))

    def test_e7_volume_that_another_controller_makes_is_left_alone(self):
        volume = self.make_volume()
        self.assertEqual(
            [{'id': volume.id, 'provider_id': 'default'}],
            self.update(self.make_volume(status='creating'), volume))

    def test_d3_types_that_cannot_be_read_are_left_alone(self):
        volume = self.make_volume()
        gone, bad = (
            objects.Volume(self.context, id=volume.id, provider_id=None,
                           status='available', migration_status=None,
                           volume_type_id=each)
            for each in (UUID, self.make_type(
                lightos__project_name='../x').id))
        self.assertEqual([{'id': volume.id, 'provider_id': 'default'}],
                         self.update(gone, bad, volume))

    def test_d3_snapshots_are_left_alone(self):
        snapshot = self.make_snapshot(self.make_volume())
        self.assertEqual([], self.update(snapshots=[snapshot]))


class SeamTestCase(base.LightOSTestCase):
    """Another connection may stand in the place of ours."""

    def test_d2_every_call_goes_through_send_cmd(self):
        volume = self.make_volume()
        shown = fake_lightos.Volume(
            'volume-' + volume.id, UUID, '', ip_acl=('ALLOW_NONE',)).reply()
        calls = self.mock_object(
            self.driver.cluster, 'send_cmd', return_value=(200, shown))
        self.driver.create_volume(volume)
        self.assertEqual(['create_volume', 'get_volume'], [
            call.kwargs['cmd'] for call in calls.call_args_list])
        self.assertEqual(
            {'cmd', 'timeout', 'project_name', 'name', 'size', 'n_replicas',
             'compression', 'acl', 'ip_acl', 'src_snapshot_name',
             'src_snapshot_uuid', 'qos_policy', 'sector_size', 'labels'},
            set(calls.call_args_list[0].kwargs))
        self.assertEqual([], self.server.requests)
