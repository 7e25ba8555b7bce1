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
"""The LightOS cluster as it is seen without the driver."""

import abc
import pathlib
from typing import Any, Iterable, Mapping, NamedTuple, Optional

import urllib3

from demo import arguments
from demo import comparison
from demo import errors
from demo import rest

PROJECT = 'default'
# States in which an object serves its data, from the enumerations of the
# LightOS API.
IN_SERVICE = ('Available', 'Migrating')
# The most that the LightOS API lists in one page.
PAGE = 1000
# A volume's compression is a word in any case, a snapshot's a boolean.
COMPRESSED = ('true', 'enable', 'enabled')


class Address(NamedTuple):
    """What the driver needs to reach the cluster, as its options have it."""
    addresses: tuple[str, ...]
    port: int
    jwt_file: Optional[pathlib.Path]
    ca_file: Optional[pathlib.Path]
    replicas: int


class Cluster(abc.ABC):
    """A cluster and what it holds."""

    address: Address
    # The requests that read what it holds, for the reader
    source: str

    @abc.abstractmethod
    def messages(self, kind: str) -> list[dict[str, Any]]:
        """Return the API's messages of a kind: volumes or snapshots."""

    def contents(self) -> list[comparison.Found]:
        """Return what is there, whatever its state.

        The hosts are NQNs.
        """
        return [_read(message, message['acl']['values'])
                for message in self.messages('volumes')] + [
                    _read(message) for message in self.messages('snapshots')]


def _read(message: Mapping[str, Any],
          acl: Iterable[str] = ()) -> comparison.Found:
    return comparison.Found(
        message['name'], message['state'], comparison.Facts(
            int(message['size']), message['replicaCount'],
            str(message.get('compression', False)).lower() in COMPRESSED,
            frozenset(acl) - {'ALLOW_NONE'}))


class Simulator(Cluster):
    """The simulator, seen through its control interface.

    :param told: the JSON object that it prints when it starts
    """

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.control = told['control']
        self.source = f'GET {self.control}/state'
        self._api = rest.Api(self.control, {})
        self.address = Address(
            tuple(told['addresses']), told['port'],
            pathlib.Path(told['tokens']['cluster-admin']),
            pathlib.Path(told['ca_file']), min(3, len(told['addresses'])))

    def messages(self, kind: str) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.state()[kind]
        return messages

    def state(self) -> dict[str, Any]:
        """Return all that is there, and the nodes."""
        return {**self._api.call('GET', '/state'),
                'nodes': self._api.call('GET', '/nodes')}

    def last_used_node(self) -> int:
        """Return the index of the node that took the last request."""
        requests = self._api.call('GET', '/journal')['requests']
        return int(requests[-1]['node'])

    def set_mode(self, node: int, mode: str) -> None:
        self._api.call('POST', f'/nodes/{node}', {'mode': mode})


class LightOS(Cluster):
    """A real cluster, seen through its management API.

    :param given: where it is
    :raises DemoError: if it does not answer
    """

    def __init__(self, given: arguments.RealCluster) -> None:
        headers = {}
        if given.jwt_file:
            headers['Authorization'] = (
                f'Bearer {given.jwt_file.read_text().strip()}')
        if not given.ca_file:
            urllib3.disable_warnings()
        failures = []
        for address in given.addresses:
            host = f'[{address}]' if ':' in address else address
            url = f'https://{host}:{given.port}/api/v2'
            self.source = f'GET {url}/projects/{PROJECT}/volumes, snapshots'
            self._api = rest.Api(url, headers, given.ca_file or False)
            try:
                info = self._api.call('GET', '/clusterinfo')
                break
            except errors.DemoError as error:
                failures.append(str(error))
        else:
            raise errors.DemoError('The cluster does not answer:\n' +
                                   '\n'.join(failures))
        self.address = Address(*given, min(3, info['currentMaxReplicas']))

    def messages(self, kind: str) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        query = {'limit': str(PAGE), 'showAll': 'true'}
        while True:
            page = self._api.call(
                'GET', f'/projects/{PROJECT}/{kind}',
                query=query).get(kind, [])
            messages += page
            if len(page) < PAGE:
                return messages
            query['offsetUUID'] = page[-1]['UUID']
