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
"""What the tests share: a cluster in the test's process, on a fake clock."""

from __future__ import annotations

from collections.abc import Mapping
import functools
import json
from typing import Any

import testtools

from lightos_simulator import api
from lightos_simulator import auth
from lightos_simulator import contract
from lightos_simulator import model
from lightos_simulator import settings

ADDRESSES = ('127.0.0.11', '127.0.0.12', '127.0.0.13')
PROJECT = '/api/v2/projects/default'
GIB = 2 ** 30
NQN = 'nqn.2014-08.org.nvmexpress:uuid:a'
NQN2 = 'nqn.2014-08.org.nvmexpress:uuid:b'
# 2026-01-01T00:00:00Z
START = 1767225600.0


@functools.lru_cache(maxsize=1)
def signing_key() -> str:
    """A private key, which takes long to make, for all tests of a process."""
    return auth.Authority('', FakeClock()).key()


class FakeClock:
    """A clock that stands still until it is put forward."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Reply:
    """A response, with its JSON decoded."""

    def __init__(self, response: api.ApiResponse) -> None:
        self.status = response.status
        self.operation = response.operation
        self.json: Any = json.loads(response.body)

    @property
    def code(self) -> int:
        """The gRPC status of an error."""
        code: int = self.json['code']
        return code


class ClusterTest(testtools.TestCase):
    """A test on a cluster without tokens; every reply is checked."""

    assumptions: Mapping[str, bool] = {}
    tenancy = False

    def setUp(self) -> None:
        super().setUp()
        self.clock = FakeClock()
        self.build(**self.assumptions)

    def build(self, **assumptions: bool) -> None:
        """Make the cluster anew, with other assumptions."""
        assume = settings.Assumptions()
        for name, on in assumptions.items():
            assume = assume.with_switch(name.replace('_', '-'), on)
        self.cluster = model.Cluster(self.clock, ADDRESSES, assume)
        self.world = self.cluster.world
        self.authority = (
            auth.Authority(self.world.uuid, self.clock, signing_key())
            if self.tenancy else None)
        self.api = api.Api(self.cluster, self.authority)

    def call(self, method: str, url: str, body: Any = None,
             headers: Mapping[str, str] | None = None, fails: bool = False
             ) -> Reply:
        """Send a request and check the form of what comes back."""
        content = b'' if body is None else json.dumps(body).encode()
        reply = Reply(self.api.handle(
            api.ApiRequest.from_url(method, url, headers, content), fails))
        if reply.status == 200:
            assert reply.operation is not None
            contract.load().check_reply(reply.operation, reply.json)
        else:
            self.assertEqual({'error', 'code', 'message'}, set(reply.json))
            self.assertEqual(reply.json['error'], reply.json['message'])
        return reply

    def done(self, *args: Any, **kwargs: Any) -> Any:
        """The JSON of a request that must succeed."""
        reply = self.call(*args, **kwargs)
        self.assertEqual(200, reply.status, reply.json)
        return reply.json

    def refused(self, status: int, code: int, *args: Any, **kwargs: Any
                ) -> str:
        """The message of a request that must be refused so."""
        reply = self.call(*args, **kwargs)
        self.assertEqual(status, reply.status, reply.json)
        self.assertEqual(code, reply.code, reply.json)
        message: str = reply.json['message']
        return message

    def work(self, **seconds: float) -> None:
        """Set work times."""
        self.world.work_times.set(seconds)

    def pass_time(self, seconds: float) -> None:
        """Put the clock forward."""
        self.clock.now += seconds

    def volume(self, name: str = 'v', **fields: Any) -> str:
        """Make a volume; give its UUID."""
        body = {'name': name, 'size': '4 gib', 'replicaCount': 2, **fields}
        uuid: str = self.done('POST', PROJECT + '/volumes', body)['UUID']
        return uuid

    def snapshot(self, volume: str, name: str = 's', **fields: Any) -> str:
        """Make a snapshot; give its UUID."""
        body = {'name': name, 'sourceVolumeUUID': volume, **fields}
        uuid: str = self.done('POST', PROJECT + '/snapshots', body)['UUID']
        return uuid

    def policy(self, name: str = 'q', **limits: Any) -> str:
        """Make a QoS policy; give its UUID."""
        body = {'name': name, 'qoSRateLimitPolicy': {
            'policyVisibility': 'Global', 'limitIOPS': {'readIOPSLimit': 256},
            **limits}}
        uuid: str = self.done('POST', '/api/v2/policies', body)['UUID']
        return uuid

    def get(self, uuid: str, kind: str = 'volumes') -> Any:
        """Read a volume or snapshot that must be there."""
        return self.done('GET', '%s/%s/%s' % (PROJECT, kind, uuid))

    def update(self, uuid: str, headers: Mapping[str, str] | None = None,
               **fields: Any) -> Any:
        """Update a volume, which must succeed."""
        return self.done('PUT', '%s/volumes/%s' % (PROJECT, uuid), fields,
                         headers)
