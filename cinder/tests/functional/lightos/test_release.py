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
"""What has to be so with each release of Cinder, whichever is installed."""

import importlib.metadata
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv

import testtools

TREE = pathlib.Path(__file__).resolve().parents[4]
DRIVER = 'cinder.volume.drivers.lightos'
# Seconds for a demonstration or an installation.
TIME = 600

sys.path.insert(0, str(TREE / 'tools'))
from cinder.tests.functional.lightos import test_packaging  # noqa: E402
from demo import releases  # noqa: E402


def run(*command: object, directory: pathlib.Path,
        variables: dict[str, str] = {}) -> str:
    """Run a program and return what it printed.

    :raises AssertionError: if it fails, with what it printed
    """
    ended = subprocess.run(
        [str(word) for word in command], cwd=directory, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=TIME,
        env={**os.environ, **variables})
    if ended.returncode:
        raise AssertionError(f'{command} ended with {ended.returncode}: '
                             f'{ended.stdout}')
    return ended.stdout


class ReleaseTestCase(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(tempfile.mkdtemp(
            prefix='lightos-release-'))
        self.addCleanup(shutil.rmtree, self.directory)


class DemonstrationTest(ReleaseTestCase):
    """The demonstration in the environment of the tests."""

    def demonstrate(self, *options: str) -> str:
        """Return the log of its Cinder."""
        here = self.directory / 'demo'
        told = run(sys.executable, '-m', 'demo', '--installed', '--directory',
                   here, *options, directory=self.directory,
                   variables={'PYTHONPATH': str(TREE / 'tools')})
        self.assertRegex(told, r'All \d+ steps were seen to be done')
        self.assertIn(f'Cinder       {importlib.metadata.version("cinder")} '
                      f'in {"native threads" if options else "eventlet"} ',
                      told)
        self.assertIn(f'Driver       {TREE}/cinder/volume/drivers/lightos',
                      told)
        return (here / 'logs' / 'cinder.log').read_text()

    def test_demonstration_in_eventlet(self) -> None:
        self.assertNotIn('native threading', self.demonstrate())

    @testtools.skipUnless(releases.has_native_threads(),
                          'this Cinder has no native threads')
    def test_demonstration_in_native_threads(self) -> None:
        self.assertIn('Service is starting with native threading',
                      self.demonstrate('--native-threads'))


class PackageTest(ReleaseTestCase):
    """The wheel beside this Cinder.

    The environment of the tests has the driver linked into it. So Cinder is
    installed once more, alone, into an environment that takes the libraries
    from there.
    """

    def setUp(self) -> None:
        super().setUp()
        environment = self.directory / 'environment'
        venv.create(environment, with_pip=True)
        self.python = environment / 'bin' / 'python'
        site = pathlib.Path(self.execute(
            '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))'
        ).strip())
        # Read after what is installed there: its Cinder is found first.
        (site / 'libraries.pth').write_text(
            sysconfig.get_path('purelib') + '\n')
        self.pip('install', '--ignore-installed', '--no-compile',
                 f'cinder=={importlib.metadata.version("cinder")}')
        tree = self.directory / 'tree'
        shutil.copytree(TREE, tree, symlinks=True,
                        ignore=test_packaging.LEFTOVERS)
        self.pip('wheel', '--wheel-dir', self.directory, tree)
        (self.wheel,) = self.directory.glob('cinder_lightos-*.whl')

    def execute(self, *arguments: object) -> str:
        # Where the tree has no history its version cannot be found in it.
        version = ({} if (TREE / '.git').exists() else
                   {'PBR_VERSION': '0.0.0'})
        return run(self.python, *arguments, directory=self.directory,
                   variables=version)

    def pip(self, command: str, *arguments: object) -> None:
        self.execute('-m', 'pip', command, '--no-deps', *arguments)

    def loaded(self) -> str:
        """Return the file of the driver and its version."""
        return self.execute(
            '-W', 'ignore', '-c',
            f'import {DRIVER} as driver; '
            'print(driver.__file__, driver.LightOSVolumeDriver.VERSION)'
        ).splitlines()[-1]

    def test_wheel_replaces_the_driver_until_it_is_uninstalled(self) -> None:
        environment = str(self.directory / 'environment')
        before = self.loaded()
        self.assertRegex(before, rf'^{environment}/.*/lightos\.py ')

        self.pip('install', self.wheel)
        ours = importlib.import_module(DRIVER).LightOSVolumeDriver
        self.assertRegex(self.loaded(),
                         rf'^{environment}/.*/lightos/__init__\.py '
                         rf'{ours.VERSION}$')

        self.execute('-m', 'pip', 'uninstall', '--yes', 'cinder-lightos')
        self.assertEqual(before, self.loaded())
