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
"""The package beside an installed Cinder: what it adds and takes away."""

import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import venv
import zipfile

import testtools

TREE = pathlib.Path(__file__).resolve().parents[4]
DRIVER = 'cinder.volume.drivers.lightos'
# What a test run or a build leaves in a tree and a clone of it has not.
LEFTOVERS = shutil.ignore_patterns(
    '.demo', '.tox', '.venv', '.stestr', 'build', '*.egg-info', '__pycache__')


class Environment:
    """A virtual environment of its own with Cinder and nothing of ours."""

    def __init__(self, directory: pathlib.Path) -> None:
        venv.create(directory, with_pip=True)
        self.python = directory / 'bin' / 'python'
        self.run('-m', 'pip', 'install', '--no-compile',
                 'cinder==' + importlib.metadata.version('cinder'))
        self.site = pathlib.Path(self.run(
            '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))'
        ).strip())

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Run its python in another directory than the tree's.

        :param fails: whether the command has to fail
        :returns: what it printed
        """
        environ = {name: value for name, value in os.environ.items()
                   if not name.startswith('PYTHON')}
        # Where the tree has no history its version cannot be found in it.
        if not (TREE / '.git').exists():
            environ['PBR_VERSION'] = '0.0.0'
        ended = subprocess.run(
            [str(self.python), *arguments], cwd=self.python.parent,
            env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=600)
        if (ended.returncode != 0) != fails:
            raise AssertionError(
                f'{arguments} ended with {ended.returncode}: {ended.stdout}')
        return ended.stdout

    def driver_file(self) -> pathlib.Path:
        """Return the file that importing the driver loads."""
        return pathlib.Path(self.run(
            '-W', 'ignore', '-c',
            f'import {DRIVER} as driver; print(driver.__file__)'
        ).splitlines()[-1])

    def files_of_cinder(self) -> dict[pathlib.Path, bytes]:
        """Return the content of every file that Cinder's wheel installed."""
        (record,) = self.site.glob('cinder-[0-9]*.dist-info/RECORD')
        names = [line.split(',')[0]
                 for line in record.read_text().splitlines()]
        return {self.site / name: (self.site / name).read_bytes()
                for name in names if not name.endswith('.pyc')}


class PackagingTest(testtools.TestCase):

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        directory = pathlib.Path(tempfile.mkdtemp(prefix='lightos-package-'))
        cls.addClassCleanup(shutil.rmtree, directory)
        cls.environment = Environment(directory / 'environment')
        # The build leaves files in the tree that it is given.
        cls.tree = directory / 'tree'
        shutil.copytree(TREE, cls.tree, symlinks=True, ignore=LEFTOVERS)
        cls.environment.run('-m', 'pip', 'wheel', '--no-deps', '--wheel-dir',
                            str(directory), str(cls.tree))
        (cls.wheel,) = directory.glob('cinder_lightos-*.whl')

    def _install(self, package: pathlib.Path) -> None:
        self.environment.run('-m', 'pip', 'install', str(package))
        self.addCleanup(self._uninstall)

    def _uninstall(self) -> None:
        self.environment.run('-m', 'pip', 'uninstall', '--yes',
                             'cinder-lightos')

    def _overlay(self, command: str, fails: bool = False) -> str:
        return self.environment.run(
            str(self.tree / 'tools' / 'overlay.py'), command, fails=fails)

    def test_install_makes_the_driver_ours(self) -> None:
        self._install(self.tree)
        self.assertEqual(
            self.environment.site / 'cinder/volume/drivers/lightos'
            '/__init__.py', self.environment.driver_file())

    def test_install_overwrites_no_file_of_cinder(self) -> None:
        before = self.environment.files_of_cinder()
        self._install(self.wheel)
        self.assertEqual(before, self.environment.files_of_cinder())

    def test_package_holds_the_driver_alone(self) -> None:
        self._install(self.wheel)
        listed = self.environment.run(
            '-m', 'pip', 'show', '--files', 'cinder-lightos')
        files = [line.strip() for line in
                 listed.partition('Files:\n')[2].splitlines()]
        in_tree = {str(path.relative_to(self.tree))
                   for path in (self.tree / 'cinder/volume').rglob('*.py')}
        self.assertEqual(in_tree, {
            name for name in files if not name.endswith('.pyc') and
            not name.startswith('cinder_lightos-') and
            pathlib.Path(name).name != 'lightos-audit'})

    def test_package_brings_the_console_script(self) -> None:
        self._install(self.wheel)
        script = self.environment.python.with_name('lightos-audit')
        told = self.environment.run(str(script), '--help')
        self.assertIn('--fix CLASS', told)
        # Without a configuration there is nothing to audit.
        ended = subprocess.run(
            [script, '--config-file', os.devnull, '--format', 'json'],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
        self.assertEqual(2, ended.returncode)
        self.assertIn('enabled_backends',
                      json.loads(ended.stdout)['errors'][0])

    def test_source_distribution_makes_the_same_package(self) -> None:
        directory = self.wheel.parent / 'source'
        self.environment.run('-m', 'pip', 'install', 'build')
        self.environment.run('-m', 'build', '--sdist', '--outdir',
                             str(directory), str(self.tree))
        (source,) = directory.glob('cinder_lightos-*.tar.gz')
        self.environment.run('-m', 'pip', 'wheel', '--no-deps',
                             '--wheel-dir', str(directory), str(source))
        self.assertEqual(self._modules(self.wheel), self._modules(
            directory / self.wheel.name))

    def _modules(self, wheel: pathlib.Path) -> dict[str, bytes]:
        """Return the content of each module and of the console scripts."""
        with zipfile.ZipFile(wheel) as archive:
            return {name: archive.read(name) for name in archive.namelist()
                    if name.endswith(('.py', '/entry_points.txt'))}

    @testtools.skipUnless(shutil.which('dpkg-deb'), 'there is no dpkg-deb')
    def test_debian_package_puts_the_driver_beside_that_of_cinder(
            self) -> None:
        directory = self.wheel.parent / 'debian'
        directory.mkdir()
        subprocess.run([self.tree / 'tools' / 'debian_package.sh', directory],
                       check=True, stdout=subprocess.PIPE, timeout=60)
        (package,) = directory.glob('cinder-lightos_*_all.deb')
        subprocess.run(['dpkg-deb', '--extract', package, directory / 'root'],
                       check=True, timeout=60)
        site = directory / 'root/usr/lib/python3/dist-packages'
        self.assertEqual(
            {name: content for name, content in
             self._modules(self.wheel).items() if name.endswith('.py')},
            {str(path.relative_to(site)): path.read_bytes()
             for path in site.rglob('*') if path.is_file()})
        self.assertEqual(
            {'lightos-audit'},
            {path.name for path in (directory / 'root/usr/bin').iterdir()})

    def test_uninstall_brings_back_the_driver_of_cinder(self) -> None:
        before = self.environment.driver_file()
        self._install(self.wheel)
        self._uninstall()
        self.assertEqual(before, self.environment.driver_file())
        self.assertEqual('lightos.py', before.name)

    def test_overlay_refuses_an_installed_driver(self) -> None:
        self._install(self.wheel)
        before = set(self.environment.site.rglob('*'))
        said = self._overlay('link', fails=True)
        self.assertIn('is an installed package', said)
        self.assertIn('pip uninstall cinder-lightos', said)
        self.assertEqual(before, set(self.environment.site.rglob('*')))

    def test_overlay_makes_the_driver_that_of_the_tree(self) -> None:
        self._overlay('link')
        self.addCleanup(self._overlay, 'unlink')
        self._overlay('check')
        loaded = self.environment.driver_file()
        self.assertEqual(self.tree / 'cinder/volume/drivers/lightos',
                         loaded.resolve().parent)

    def test_overlay_unlink_leaves_nothing(self) -> None:
        before = self.environment.driver_file()
        self._overlay('link')
        self._overlay('unlink')
        self.assertEqual(before, self.environment.driver_file())
        self.assertEqual([], [path for path in self.environment.site.rglob('*')
                              if path.is_symlink()])

    def test_overlay_link_follows_a_deleted_file(self) -> None:
        test = (self.tree / 'cinder/tests/unit/volume/drivers/lightos'
                / 'test_to_be_deleted.py')
        test.touch()
        self._overlay('link')
        self.addCleanup(self._overlay, 'unlink')
        test.unlink()
        self.assertIn('test_to_be_deleted.py is left over',
                      self._overlay('check', fails=True))
        self._overlay('link')
        self._overlay('check')

    def test_overlay_overwrites_no_file_of_cinder(self) -> None:
        test = (self.tree / 'cinder/tests/unit/volume/drivers/lightos'
                / 'test_lightos_storage.py')
        test.touch()
        self.addCleanup(test.unlink)
        self.assertIn('belongs to the installed Cinder',
                      self._overlay('link', fails=True))
        self.assertEqual([], [path for path in self.environment.site.rglob('*')
                              if path.is_symlink()])
