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
"""A real Cinder on simulated clusters, and a host that attaches its volumes.

All of it runs in namespaces of the test's process, see
lightos_simulator/private.py: the machine does not see it.
"""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from typing import Any, Iterator, Mapping, Optional, Sequence
import unittest

import os_brick
from os_brick.initiator import connector
import os_brick.privileged
from oslo_config import cfg
import requests
import testtools
from testtools import content

TREE = pathlib.Path(__file__).resolve().parents[4]
HERE = pathlib.Path(__file__).resolve().parent

sys.path[:0] = [str(TREE / 'tools'), str(TREE)]
from cinder.tests.functional.lightos import waiting  # noqa: E402
from demo import block_storage  # noqa: E402
from demo import environment  # noqa: E402
from demo import errors  # noqa: E402
from demo import layout  # noqa: E402
from demo import processes  # noqa: E402
from demo import services  # noqa: E402
from lightos_simulator import private  # noqa: E402

# Those of Glance, Keystone and Nova, whose releases need not be Cinder's.
ENVIRONMENTS = TREE / '.tox'
GLANCE = 'glance>=31.0.0\nglance_store[cinder]\ngunicorn>=23.0.0\n'
GIB = 1024 ** 3
MIB = 1024 ** 2
# Seconds that Cinder may work on one thing, and that a program may start.
WORK_TIME = 240
START_TIME = 120
# What an unauthenticated user of Glance may not do by default.
POLICY = ('add_image', 'get_image', 'get_images', 'upload_image',
          'download_image', 'modify_image', 'delete_image')


def require(*programs: str) -> None:
    """Skip the tests unless this is root and the programs are there.

    :param programs: each as "program of package", the package Debian's
    """
    missing = [] if os.geteuid() == 0 else ['root']
    for program in programs:
        name, _of, package = program.partition(' of ')
        if not shutil.which(name, path=search_path()):
            missing.append(f'{name} (apt-get install {package})')
    if missing:
        raise unittest.SkipTest('needs ' + ', '.join(missing))


def search_path() -> str:
    """PATH with the directories of the system's own programs."""
    return os.pathsep.join([
        str(pathlib.Path(sys.prefix) / 'bin'), os.environ.get('PATH', ''),
        '/usr/sbin', '/sbin'])


def enter_namespaces() -> None:
    """Bring this process, and what it starts, away from the machine."""
    os.environ['PATH'] = search_path()
    try:
        private.enter()
    except OSError as error:
        raise unittest.SkipTest(
            f'needs mount and network namespaces ({error.strerror})')


def make_environment(name: str, requirements: str) -> pathlib.Path:
    """Make an environment beside those of tox; return its directory."""
    directory = ENVIRONMENTS / name
    # The standard output of a test is for its results.
    with contextlib.redirect_stdout(sys.stderr):
        environment.make(directory, name, requirements,
                         ENVIRONMENTS / f'{name}.log')
    return directory


until = functools.partial(waiting.until, seconds=WORK_TIME)


class Cloud:
    """Cinder and its clusters, and what else is started for them.

    :param backends: arguments of each cluster's simulator, by the name of
        its backend
    """

    def __init__(self, backends: Mapping[str, Sequence[str]]) -> None:
        self._stack = contextlib.ExitStack()
        self.directory = pathlib.Path(self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix='lightos-cloud-')))
        self._where = layout.Layout(self.directory, pathlib.Path(sys.prefix))
        self._where.run.mkdir()
        self._where.logs.mkdir()
        self._started = processes.Processes(self._where)
        self._stack.callback(self._started.end)
        self.glance = ''
        # The services ask sudo for root's rights, which they have already.
        shims = self.directory / 'bin'
        shims.mkdir()
        (shims / 'sudo').write_text('#!/bin/sh\nexec "$@"\n')
        (shims / 'sudo').chmod(0o755)
        self.path = f'{shims}{os.pathsep}{search_path()}'
        self.simulators = {}
        with self.ended_if_it_fails():
            for name, options in backends.items():
                self.simulators[name] = services.start_simulator(
                    self._where, self._started, name, options)

    def end(self) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def ended_if_it_fails(self) -> Iterator[None]:
        """End everything, and say what its log says, if what follows fails."""
        try:
            yield
        except BaseException as error:
            if isinstance(error, errors.DemoError) and error.log:
                error.args = ('%s\n%s' % (
                    error, error.log.read_text(errors='replace')[-4000:]),)
            self.end()
            raise

    def told(self, backend: str) -> dict[str, Any]:
        """Return what the simulator printed when it had started."""
        told: dict[str, Any] = json.loads(
            (self._where.run / f'{backend}.json').read_text())
        return told

    def serve(self, name: str, arguments: Sequence[str],
              variables: Mapping[str, str] = {}) -> Mapping[str, Any]:
        """Start a program that prints a JSON object when it serves."""
        return self._started.serve(
            name, list(arguments), TREE,
            {**environment.clean_variables(), **variables}, START_TIME).told

    def start_glance(self, prefix: pathlib.Path,
                     more: services.Sections = {}) -> None:
        """Start Glance.

        :param prefix: of the environment that it is installed in
        :param more: of its configuration, with its store. Without any it
            keeps images in files and lets everybody do everything.
        """
        etc = self.directory / 'glance'
        etc.mkdir()
        path = f'{prefix / "bin"}{os.pathsep}{self.path}'
        services.write_conf(etc / 'rootwrap.conf', self._rootwrap(
            prefix / 'etc' / 'glance', path))
        services.write_conf(etc / 'glance-api.conf', services.merged({
            'DEFAULT': {'use_stderr': 'True'},
            **{name: {'filesystem_store_datadir': etc / name} for name in (
                'os_glance_tasks_store', 'os_glance_staging_store')},
            'database': {'connection': f'sqlite:///{etc}/glance.sqlite'},
            'oslo_concurrency': {'lock_path': etc / 'locks'},
            'paste_deploy': {'config_file': prefix / 'etc' / 'glance' /
                             'glance-api-paste.ini'}},
            more or self._open_glance(etc)))
        variables = {'OS_GLANCE_CONFIG_DIR': str(etc), 'PATH': path}
        subprocess.run(
            [prefix / 'bin' / 'glance-manage', '--config-file',
             etc / 'glance-api.conf', 'db_sync'], check=True,
            env=environment.clean_variables(), capture_output=True)
        self.glance = self.serve_wsgi('glance', prefix, 'glance.wsgi.api',
                                      variables)

    def serve_wsgi(self, name: str, prefix: pathlib.Path, application: str,
                   variables: Mapping[str, str]) -> str:
        """Start a WSGI application; return its URL.

        :param prefix: of the environment that it is installed in, and
            gunicorn
        """
        # Not as arguments: Keystone takes those of its process for its own.
        told = self.serve(name, [str(prefix / 'bin' / 'gunicorn')], {
            'GUNICORN_CMD_ARGS': f'--config {HERE / "gunicorn_conf.py"}',
            'WSGI_APPLICATION': application, **variables})
        return f'http://127.0.0.1:{told["port"]}'

    @staticmethod
    def _open_glance(etc: pathlib.Path) -> services.Sections:
        (etc / 'policy.json').write_text(json.dumps(
            {action: '@' for action in POLICY}))
        return {
            'DEFAULT': {'enabled_backends': 'fs:file'},
            'glance_store': {'default_backend': 'fs'},
            'fs': {'filesystem_store_datadir': etc / 'fs'},
            'oslo_policy': {'policy_file': etc / 'policy.json'}}

    @staticmethod
    def _rootwrap(etc: pathlib.Path, path: str) -> services.Sections:
        """The configuration of a service's rootwrap.

        :param etc: of the service
        :param path: PATH of what it may run
        """
        return {'DEFAULT': {'filters_path': etc / 'rootwrap.d',
                            'exec_dirs': ','.join(path.split(os.pathsep))}}

    def start_cinder(self, caching: Sequence[str] = (),
                     more: services.Sections = {},
                     headers: Mapping[str, str] = {}) -> 'Cinder':
        """Start Cinder, with the backup service.

        :param caching: the backends that keep a volume of each image
        :param more: of its configuration
        :param headers: of every request to it
        """
        rootwrap = self.directory / 'rootwrap.conf'
        services.write_conf(rootwrap, self._rootwrap(
            self._where.environment / 'etc' / 'cinder', self.path))
        url = services.start_cinder(
            self._where, self._started,
            {name: simulator.address
             for name, simulator in self.simulators.items()},
            services.merged({'DEFAULT': {
                **({'glance_api_servers': self.glance} if self.glance
                   else {}),
                **{f'quota_{resource}': -1 for resource in (
                    'volumes', 'snapshots', 'gigabytes', 'backups',
                    'backup_gigabytes')},
                'cinder_internal_tenant_project_id': 'internal',
                'cinder_internal_tenant_user_id': 'internal',
                'rootwrap_config': rootwrap,
                'image_conversion_dir': self.directory / 'conversion',
                'backup_driver':
                    'cinder.backup.drivers.posix.PosixBackupDriver',
                'backup_posix_path': self.directory / 'backups',
                # A backup of a GiB has many of these files.
                'backup_file_size': 64 * MIB},
                **{name: {'image_volume_cache_enabled': 'True'}
                   for name in caching}}, more),
            ['--backup'], {'PATH': self.path})
        return Cinder(url, headers)

    def provider_id(self, volume: str) -> str:
        """Return what Cinder's database has of a volume."""
        with contextlib.closing(sqlite3.connect(
                self._where.run / 'cinder.sqlite')) as database:
            (found,), = database.execute(
                'SELECT provider_id FROM volumes WHERE id = ?', [volume])
        return str(found)

    def log(self, name: str, most: Optional[int] = 6000) -> str:
        """Return the end of a service's log.

        :param most: characters; None for all of it
        """
        text = self._where.log(name).read_text(errors='replace')
        return text if most is None else text[-most:]

    def show_logs(self, test: testtools.TestCase, *names: str) -> None:
        """Have a test that fails show the logs of services."""
        for name in names:
            test.addOnException(lambda info, name=name: test.addDetail(
                name, content.text_content(self.log(name))))


class Cinder(block_storage.BlockStorage):
    """Cinder's API, and what is waited for.

    :param url: of the API
    :param headers: go with every request
    """

    def __init__(self, url: str, headers: Mapping[str, str] = {}) -> None:
        super().__init__(url, 3, headers)
        self.url = url
        self.api = self._api

    def create(self, kind: str, **values: Any) -> dict[str, Any]:
        """Create a volume, snapshot or backup; return it when it is there.

        :param kind: of the object, in the singular
        """
        made = self.api.call('POST', f'/{kind}s', {kind: values})[kind]
        return self.wait(kind, made['id'])

    def show(self, kind: str, object_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.api.call(
            'GET', f'/{kind}s/{object_id}')[kind]
        return shown

    def wait(self, kind: str, object_id: str,
             *statuses: str) -> dict[str, Any]:
        """Return it when it has one of the statuses, available if none.

        :raises AssertionError: it is in an error state, or none in time
        """
        def seen() -> Optional[dict[str, Any]]:
            shown = self.show(kind, object_id)
            if shown['status'].startswith('error'):
                raise AssertionError(f'{kind} {object_id} is {shown}')
            return (shown if shown['status'] in (statuses or ('available',))
                    else None)

        found: dict[str, Any] = until(
            seen, f'{kind} {object_id} is {statuses or "available"}')
        return found

    def act(self, volume_id: str, action: str, **values: Any) -> Any:
        """Have something done with a volume; its status says when it is."""
        return self.api.call('POST', f'/volumes/{volume_id}/action',
                             {action: values})

    def remove(self, kind: str, object_id: str) -> None:
        """Delete it and return when it is gone."""
        self.delete(f'{kind}s', object_id)
        until(lambda: object_id not in [
            found['id'] for found in self.api.call('GET', f'/{kind}s')[
                f'{kind}s']], f'{kind} {object_id} is gone')

    def connect(self, volume_id: str,
                host: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Let a host in; return the attachment and its connection_info."""
        attachment = self.attach(volume_id, host)
        shown = self.api.call('GET', f'/attachments/{attachment}')
        return attachment, shown['attachment']['connection_info']


class Host:
    """This machine as a host that attaches volumes, with os-brick.

    :param directory: for the locks of os-brick
    """

    def __init__(self, directory: pathlib.Path) -> None:
        cfg.CONF([], project='os-brick-host', default_config_files=[])
        os_brick.setup(cfg.CONF)
        for group in ('oslo_concurrency', 'os_brick'):
            cfg.CONF.set_override('lock_path', str(directory), group)
        # This is root: what needs root's rights can be done here.
        os_brick.privileged.default.set_client_mode(False)
        self._connector = connector.InitiatorConnector.factory(
            'LIGHTOS', root_helper='')

    def properties(self) -> dict[str, Any]:
        """Return what Nova would tell Cinder of this host."""
        found: dict[str, Any] = connector.get_connector_properties(
            root_helper='', my_ip='127.0.0.1', multipath=False,
            enforce_multipath=False)
        return found

    @contextlib.contextmanager
    def attached(self, cinder: Cinder, volume_id: str) -> Iterator[str]:
        """Attach a volume; give the path of its device."""
        attachment, info = cinder.connect(volume_id, self.properties())
        try:
            device = self._connector.connect_volume(info)
            try:
                yield str(device['path'])
            finally:
                self._connector.disconnect_volume(info, device)
        finally:
            cinder.detach(attachment)
            cinder.wait('volume', volume_id)


def write(device: str, seed: int, size: int = 4 * MIB) -> None:
    """Write content of its own at the start, in the middle and at the end."""
    content = random.Random(seed).randbytes(size)
    with open(device, 'r+b') as file:
        end = file.seek(0, os.SEEK_END)
        for offset in (0, end // 2 - size // 2, end - size):
            file.seek(offset)
            file.write(content)
        file.flush()
        os.fsync(file.fileno())


def checksum(path: str, size: Optional[int] = None) -> str:
    """Return the SHA-256 of a device or file, or of its first bytes."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        left = file.seek(0, os.SEEK_END) if size is None else size
        file.seek(0)
        while left:
            block = file.read(min(left, 8 * MIB))
            if not block:
                raise AssertionError(f'{path} is {left} bytes too short')
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


class Images:
    """Glance's API.

    :param url: where it serves
    :param headers: go with every request
    """

    def __init__(self, url: str, headers: Mapping[str, str] = {}) -> None:
        self._url = f'{url}/v2/images'
        self._session = requests.Session()
        self._session.headers.update(headers)
        self._session.trust_env = False

    def _call(self, method: str, path: str, **options: Any) -> Any:
        answer = self._session.request(method, self._url + path,
                                       timeout=WORK_TIME, **options)
        answer.raise_for_status()
        return answer

    def create(self, path: pathlib.Path, disk_format: str,
               **values: Any) -> str:
        """Upload a file; return the image's id."""
        image: str = self._call('POST', '', json={
            'name': path.name, 'disk_format': disk_format,
            'container_format': 'bare', **values}).json()['id']
        with path.open('rb') as file:
            self._call('PUT', f'/{image}/file', data=file, headers={
                'Content-Type': 'application/octet-stream'})
        return image

    def register(self, name: str) -> str:
        """Make a raw image without content; return its id."""
        image: str = self._call('POST', '', json={
            'name': name, 'disk_format': 'raw',
            'container_format': 'bare'}).json()['id']
        return image

    def locate(self, image: str, url: str) -> None:
        """Say what holds an image without content, as services do."""
        self._call('POST', f'/{image}/locations', json={'url': url})

    def wait(self, image: str) -> dict[str, Any]:
        """Return the image when it is active."""
        def seen() -> Optional[dict[str, Any]]:
            shown: dict[str, Any] = self._call('GET', f'/{image}').json()
            return shown if shown['status'] == 'active' else None

        found: dict[str, Any] = until(seen, f'image {image} is active')
        return found

    def checksum(self, image: str) -> str:
        """Return the SHA-256 of the image's content."""
        digest = hashlib.sha256()
        with self._call('GET', f'/{image}/file', stream=True) as answer:
            for block in answer.iter_content(MIB):
                digest.update(block)
        return digest.hexdigest()

    def locations(self, image: str) -> list[str]:
        """Return the URLs of what holds the image; only services may ask."""
        return [location['url'] for location
                in self._call('GET', f'/{image}/locations').json()]

    def admit(self, image: str, project: str) -> None:
        """Let another project use the image, if it accepts that."""
        self._call('POST', f'/{image}/members', json={'member': project})

    def accept(self, image: str, project: str) -> None:
        """Accept, as the project, an image of another one's."""
        self._call('PUT', f'/{image}/members/{project}',
                   json={'status': 'accepted'})

    def delete(self, image: str) -> None:
        self._call('DELETE', f'/{image}')
