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
"""Cinder as its users see it: the openstack command and the REST API."""

import shlex
import subprocess
import time
from typing import Any, Iterable, Mapping, NamedTuple

from demo import comparison
from demo import environment
from demo import errors
from demo import layout
from demo import processes
from demo import rest

# Seconds that a run of the openstack command may take.
COMMAND_TIME = 180
# The newest that Cinder 29 has.
MICROVERSION = '3.71'


class Run(NamedTuple):
    """A run of the openstack command.

    :param text: as a person would type it
    :param started: on the monotonic clock
    """
    text: str
    process: subprocess.Popen[str]
    started: float


class CommandLine:
    """The openstack command, on this Cinder.

    :param url: of Cinder's API
    """

    def __init__(self, where: layout.Layout, started: processes.Processes,
                 url: str) -> None:
        self.variables = {'OS_AUTH_TYPE': 'none', 'OS_ENDPOINT': url}
        self._program = str(where.programs / 'openstack')
        self._started = started
        self._log = where.log('commands')

    def start(self, words: Iterable[str]) -> Run:
        """Start the command with these words."""
        words = list(words)
        process = self._started.command(
            [self._program, *words],
            {**environment.clean_variables(), **self.variables})
        return Run(shlex.join(['openstack', *words]), process,
                   time.monotonic())

    def finish(self, run: Run) -> None:
        """Return when the command has done its work.

        :raises DemoError: if it fails, with what it printed
        """
        try:
            output, _ = run.process.communicate(timeout=COMMAND_TIME)
        except subprocess.TimeoutExpired:
            raise errors.DemoError(f'Not done after {COMMAND_TIME} s.',
                                   self._log)
        with self._log.open('a') as log:
            print(f'$ {run.text}\n{output}', file=log)
        if run.process.returncode:
            raise errors.DemoError(
                f'Exit status {run.process.returncode}.\n{output.strip()}')


class BlockStorage:
    """Cinder's REST API.

    :param url: of the API
    :param replicas: of a volume whose type sets none
    :param headers: go with every request
    """

    def __init__(self, url: str, replicas: int,
                 headers: Mapping[str, str] = {}) -> None:
        self._api = rest.Api(url, {
            'OpenStack-API-Version': f'volume {MICROVERSION}', **headers})
        self._replicas = replicas

    def pools(self) -> list[dict[str, Any]]:
        """Return the pools that the scheduler knows."""
        pools: list[dict[str, Any]] = self._api.call(
            'GET', '/scheduler-stats/get_pools')['pools']
        return pools

    def lift_quotas(self) -> None:
        """Let every project have as much as it likes.

        In SQLite the quotas of requests that come together are counted
        twice now and then, which would use them up.
        """
        self._api.call('PUT', '/os-quota-class-sets/default', {
            'quota_class_set': dict.fromkeys(
                ('volumes', 'snapshots', 'gigabytes'), -1)})

    def find(self, kind: str, name: str) -> dict[str, Any]:
        """Return the volume or snapshot of this name.

        :param kind: volumes or snapshots
        :raises DemoError: if there is none, or it is in an error state
        """
        for found in self.all(kind):
            if found['name'] == name:
                if found['status'].startswith('error'):
                    raise errors.DemoError(
                        f'{name} is in status {found["status"]}.')
                return found
        raise errors.DemoError(f'Cinder has no {name} among its {kind}.')

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return all volumes or snapshots, the oldest first."""
        found: list[dict[str, Any]] = self._api.call(
            'GET', f'/{kind}/detail',
            query={'sort': 'created_at:asc'})[kind]
        return found

    def attachments(self) -> list[dict[str, Any]]:
        attachments: list[dict[str, Any]] = self._api.call(
            'GET', '/attachments')['attachments']
        return attachments

    def attach(self, volume_id: str, connector: Mapping[str, Any]) -> str:
        """Attach the volume to a host as Nova does; return the attachment."""
        attachment = self._api.call('POST', '/attachments', {'attachment': {
            'volume_uuid': volume_id, 'connector': connector}})['attachment']
        self._api.call('POST', f'/attachments/{attachment["id"]}/action',
                       {'os-complete': {}})
        return str(attachment['id'])

    def detach(self, attachment_id: str) -> None:
        self._api.call('DELETE', f'/attachments/{attachment_id}')

    def delete(self, kind: str, object_id: str) -> None:
        """Ask for the deletion of a volume or snapshot."""
        self._api.call('DELETE', f'/{kind}/{object_id}')

    def contents(self) -> dict[str, comparison.Found]:
        """Return what Cinder has, by the name it should have there.

        Replicas and compression are those that the volume's type asks for.
        """
        types = {known['name']: known['extra_specs'] for known in
                 self._api.call('GET', '/types',
                                query={'is_public': 'None'})
                 ['volume_types']}
        contents = {}
        volumes = {volume['id']: volume for volume in self.all('volumes')}
        for volume in volumes.values():
            contents[f'volume-{volume["id"]}'] = comparison.Found(
                volume['name'], volume['status'], comparison.Facts(
                    volume['size'] * comparison.GIB,
                    *self._wanted(types.get(volume['volume_type'], {})),
                    frozenset(attachment['host_name'] for attachment
                              in volume['attachments'])))
        for snapshot in self.all('snapshots'):
            volume = volumes[snapshot['volume_id']]
            contents[f'snapshot-{snapshot["id"]}'] = comparison.Found(
                snapshot['name'], snapshot['status'], comparison.Facts(
                    snapshot['size'] * comparison.GIB,
                    *self._wanted(types.get(volume['volume_type'], {}))))
        return contents

    def _wanted(self, extra_specs: Mapping[str, str]) -> tuple[int, bool]:
        return (int(extra_specs.get('lightos:num_replicas', self._replicas)),
                extra_specs.get('compression') == '<is> True')
