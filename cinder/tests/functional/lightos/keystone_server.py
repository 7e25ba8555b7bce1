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
"""A Keystone: projects, users, their tokens and the service catalog."""

import pathlib
import subprocess
from typing import Any, Mapping

import requests

from cinder.tests.functional.lightos import cloud

KEYSTONE = 'keystone>=27.0.0\ngunicorn>=23.0.0\n'
REGION = 'RegionOne'
ADMIN = 'admin'
SERVICE = 'service'
# Of every user.
PASSWORD = 'secret'


class Keystone:
    """A Keystone and what it knows.

    :param of: the cloud that it is started in
    :param prefix: of the environment that it is installed in
    """

    def __init__(self, of: cloud.Cloud, prefix: pathlib.Path) -> None:
        self._conf = of.directory / 'keystone'
        self._manage = prefix / 'bin' / 'keystone-manage'
        self._conf.mkdir()
        cloud.services.write_conf(self._conf / 'keystone.conf', {
            'DEFAULT': {'use_stderr': 'True', 'transport_url': 'fake://'},
            'oslo_messaging_notifications': {'driver': 'noop'},
            'database': {
                'connection': f'sqlite:///{self._conf}/keystone.sqlite'},
            'fernet_tokens': {'key_repository': self._conf / 'fernet'},
            'credential': {'key_repository': self._conf / 'credential'}})
        self._run('db_sync')
        for keys in ('fernet_setup', 'credential_setup'):
            self._run(keys, '--keystone-user', 'root',
                      '--keystone-group', 'root')
        url = of.serve_wsgi('keystone', prefix, 'keystone.wsgi.api',
                            {'OS_KEYSTONE_CONFIG_DIR': str(self._conf)})
        self.url = f'{url}/v3'
        self._run('bootstrap', '--bootstrap-password', PASSWORD,
                  '--bootstrap-region-id', REGION,
                  *(word for kind in ('public', 'internal', 'admin')
                    for word in (f'--bootstrap-{kind}-url', self.url)))
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update(self.headers(ADMIN, ADMIN))
        self._roles = {role['name']: role['id'] for role
                       in self._call('GET', '/roles')['roles']}

    def _run(self, *words: str) -> None:
        subprocess.run(
            [self._manage, '--config-dir', self._conf, *words], check=True,
            env=cloud.environment.clean_variables(), capture_output=True)

    def _call(self, method: str, path: str, **body: Any) -> Any:
        answer = self._session.request(
            method, self.url + path, json=body or None,
            timeout=cloud.WORK_TIME)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def add_project(self, name: str) -> str:
        """Make a project; return its id."""
        made: str = self._call('POST', '/projects', project={
            'name': name})['project']['id']
        return made

    def add_user(self, name: str, project: str, *roles: str) -> str:
        """Make a user; return the id.

        :param project: the id of the one to which the user belongs
        :param roles: there
        """
        made: str = self._call('POST', '/users', user={
            'name': name, 'password': PASSWORD})['user']['id']
        for role in roles:
            self._call('PUT', f'/projects/{project}/users/{made}/roles/'
                              f'{self._roles[role]}')
        return made

    def add_service(self, kind: str, url: str) -> None:
        """Let the catalog name a service."""
        made = self._call('POST', '/services', service={
            'type': kind, 'name': kind})['service']['id']
        self._call('POST', '/endpoints', endpoint={
            'service_id': made, 'interface': 'public', 'url': url,
            'region_id': REGION})

    def headers(self, user: str, project: str) -> Mapping[str, str]:
        """Return those of the user's requests, with a token."""
        domain = {'id': 'default'}
        answer = self._session.post(
            f'{self.url}/auth/tokens', timeout=cloud.WORK_TIME,
            json={'auth': {
                'identity': {'methods': ['password'], 'password': {'user': {
                    'name': user, 'domain': domain, 'password': PASSWORD}}},
                'scope': {'project': {'name': project, 'domain': domain}}}})
        answer.raise_for_status()
        return {'X-Auth-Token': answer.headers['X-Subject-Token']}

    def section(self, user: str, project: str) -> Mapping[str, str]:
        """Return the options with which a service is the user."""
        return {'auth_type': 'password', 'auth_url': self.url,
                'username': user, 'password': PASSWORD,
                'project_name': project, 'user_domain_name': 'Default',
                'project_domain_name': 'Default'}
