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
"""The DevStack plugin, sourced as DevStack sources it.

The functions of DevStack that it uses stand in for those of a DevStack here.
"""

import configparser
import importlib
import importlib.machinery
import os
import pathlib
import subprocess
import sys
from typing import Any

import fixtures
import testtools

from cinder.volume.drivers import lightos

TREE = pathlib.Path(__file__).resolve().parents[4]
PLUGIN = TREE / 'devstack'
DRIVERS = pathlib.Path('cinder', 'volume', 'drivers')

# What DevStack has for its plugins, as far as this one calls it.
DEVSTACK = r'''
set -e
function iniset {
    "$PYTHON" - "$@" <<'END'
import configparser
import sys
path, section, option, value = sys.argv[1:]
conf = configparser.RawConfigParser()
conf.read(path)
conf.has_section(section) or conf.add_section(section)
conf.set(section, option, value)
conf.write(open(path, 'w'))
END
}
function die { echo "line $1: $2" >&2; exit 1; }
function install_package { echo "install_package $*"; }
function sudo { echo "sudo $*"; }
source "$PLUGIN/settings"
'''
EACH_BACKEND = r'''
for be in ${CINDER_ENABLED_BACKENDS//,/ }; do
    "$1_cinder_backend_${be%%:*}" "${be##*:}"
done
'''


class DevStackTest(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path)
        self.conf = self.directory / 'cinder.conf'
        self.drivers = self.directory / 'cinder' / DRIVERS
        self.drivers.mkdir(parents=True)
        (self.drivers / 'lightos.py').touch()

    def run_plugin(self, mode: str, function: str = '', status: int = 0,
                   **localrc: str) -> str:
        """Source the plugin, and do as lib/cinder does with its functions.

        :param mode: the words with which the plugin is sourced
        :param function: configure, init or cleanup
        :param localrc: what local.conf sets
        :returns: what was printed
        """
        script = f'{DEVSTACK}\nsource "$PLUGIN/plugin.sh" {mode}\n'
        if function:
            script += f'set {function}\n{EACH_BACKEND}'
        ended = subprocess.run(
            ['bash', '-c', script], text=True, cwd=self.directory,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
            env={'PATH': os.environ['PATH'], 'PYTHON': sys.executable,
                 'PLUGIN': str(PLUGIN), 'CINDER_CONF': str(self.conf),
                 'CINDER_DIR': str(self.directory / 'cinder'),
                 'CINDER_ENABLED_BACKENDS': 'lightos:lightos', **localrc})
        self.assertEqual(status, ended.returncode, ended.stdout)
        return ended.stdout

    def configure(self, **localrc: str) -> dict[str, dict[str, str]]:
        """Return the sections of the cinder.conf that is written."""
        self.run_plugin('stack pre-install', 'configure',
                        LIGHTOS_API_ADDRESS='192.0.2.11,192.0.2.12', **localrc)
        conf = configparser.RawConfigParser()
        conf.read(self.conf)
        return {name: dict(conf[name]) for name in conf.sections()}

    def driver(self) -> Any:
        """Return the file that Python finds in Cinder's checkout."""
        importlib.machinery.PathFinder.invalidate_caches()
        found = importlib.machinery.PathFinder.find_spec(
            'lightos', [str(self.drivers)])
        assert found is not None
        return found.origin

    def test_configure_writes_a_section_for_each_backend(self) -> None:
        section = {
            'volume_driver':
                'cinder.volume.drivers.lightos.LightOSVolumeDriver',
            'lightos_api_address': '192.0.2.11,192.0.2.12',
            'lightos_api_port': '8443', 'lightos_default_num_replicas': '3'}
        self.assertEqual(
            {name: {'volume_backend_name': name, **section}
             for name in ('one', 'two')},
            self.configure(CINDER_ENABLED_BACKENDS='lightos:one,lightos:two',
                           LIGHTOS_API_PORT='8443'))

    def test_settings_choose_no_backend(self) -> None:
        # DevStack's lib/cinder has chosen when it reads them.
        self.assertEqual({}, self.configure(CINDER_ENABLED_BACKENDS=''))

    def test_configure_takes_token_and_authority(self) -> None:
        section = self.configure(LIGHTOS_JWT_FILE='/etc/token',
                                 LIGHTOS_CA_FILE='/etc/ca.pem')['lightos']
        self.assertEqual('/etc/token', section['lightos_jwt_file'])
        self.assertEqual('True', section['driver_ssl_cert_verify'])
        self.assertEqual('/etc/ca.pem', section['driver_ssl_cert_path'])

    def test_configure_writes_options_that_the_driver_has(self) -> None:
        section = self.configure(LIGHTOS_JWT_FILE='/etc/token',
                                 LIGHTOS_CA_FILE='/etc/ca.pem')['lightos']
        # Options that drivers share are registered by what is imported there.
        importlib.import_module('cinder.volume.manager')
        known = {option.name for option in
                 lightos.LightOSVolumeDriver.get_driver_options()}
        self.assertEqual(set(), section.keys() - known - {
            'volume_driver', 'volume_backend_name'})

    def test_configure_puts_the_driver_into_the_checkout(self) -> None:
        before = self.driver()
        self.assertEqual(str(self.drivers / 'lightos.py'), before)
        self.configure()
        self.configure()
        self.assertEqual(str(self.drivers / 'lightos' / '__init__.py'),
                         self.driver())
        self.assertEqual(TREE / DRIVERS / 'lightos',
                         (self.drivers / 'lightos').resolve())

        self.run_plugin('clean', 'cleanup')
        self.assertEqual(before, self.driver())
        self.run_plugin('clean', 'cleanup')

    def test_driver_of_the_checkout_is_left_alone(self) -> None:
        theirs = self.drivers / 'lightos'
        theirs.mkdir()
        (theirs / '__init__.py').touch()
        told = self.run_plugin('stack pre-install', 'configure', 1,
                               LIGHTOS_API_ADDRESS='192.0.2.11')
        self.assertIn('this Cinder has the driver', told)
        self.run_plugin('clean', 'cleanup')
        self.assertEqual(['__init__.py'], os.listdir(theirs))

    def test_configure_without_an_address_is_refused(self) -> None:
        self.assertIn('LIGHTOS_API_ADDRESS', self.run_plugin(
            'stack pre-install', 'configure', 1))

    def test_host_is_made_ready(self) -> None:
        self.assertIn('install_package nvme-cli\n',
                      self.run_plugin('stack pre-install'))
        self.assertEqual('sudo modprobe nvme-tcp\n',
                         self.run_plugin('stack install', 'init'))

    def test_other_phases_do_nothing(self) -> None:
        for mode in ('stack install', 'stack post-config', 'stack extra',
                     'unstack', 'clean'):
            self.assertEqual('', self.run_plugin(mode))
        self.assertEqual(['cinder'], os.listdir(self.directory))
