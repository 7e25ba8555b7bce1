# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""A running simulator: the cluster, its nodes' services, its control port."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
import contextlib
import dataclasses
import ipaddress
import logging
import os
import pathlib
import shutil
import socket
import tempfile
import time
from typing import Any

from aiohttp import web
import trustme

from lightos_simulator import api
from lightos_simulator import auth
from lightos_simulator import control
from lightos_simulator import dataplane
from lightos_simulator import errors
from lightos_simulator import faults
from lightos_simulator import messages
from lightos_simulator import model
from lightos_simulator import nodes
from lightos_simulator import rules
from lightos_simulator import settings
from lightos_simulator import statefile

LOG = logging.getLogger(__name__)

CONTROL_ADDRESS = '127.0.0.1'
DEFAULT_NODES = 3
_SAVE_INTERVAL = 0.5
# Saving may take a tenth of the time at most.
_SAVE_SHARE = 10


class StartError(Exception):
    """The simulator cannot start as it was asked to."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How to run a simulator.

    :ivar nodes: how many; None is as many as the state file has, or 3
    :ivar first_data_address: where the first node serves NVMe, if it is
        another one
    :ivar port: of the REST service on every node; 0 is any free one
    :ivar directory: for CA and tokens; None makes a temporary one
    :ivar projects: beside ``default``
    :ivar work_times: seconds by operation
    :ivar data: what keeps the content of volumes; None is nothing
    """
    nodes: int | None = None
    first_address: str = '127.0.0.11'
    first_data_address: str = ''
    port: int = 0
    control_port: int = 0
    directory: pathlib.Path | None = None
    projects: tuple[str, ...] = ()
    state_file: pathlib.Path | None = None
    capacity: int = model.DEFAULT_CAPACITY
    multi_tenancy: bool = True
    work_times: Mapping[str, float] = dataclasses.field(default_factory=dict)
    assumptions: settings.Assumptions = settings.Assumptions()
    data: dataplane.DataPlane | None = None


class Clock:
    """The wall clock, which can be put forward."""

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset

    def __call__(self) -> float:
        return time.time() + self.offset

    def advance(self, seconds: float) -> None:
        """Put it forward."""
        self.offset += seconds


class Simulator:
    """One cluster, running.

    :param options: how
    :raises StartError: the state file cannot be used, or does not agree
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        state = self._read_state()
        self.clock = Clock(state.get('clock_offset', 0.0))
        self.cluster = self._make_cluster(state)
        self.world = self.cluster.world
        self.authority = auth.Authority(
            self.world.uuid, self.clock, state.get('key'),
            state.get('credentials', ()), state.get('revoked', ()))
        self._ca = (trustme.CA.from_pem(state['ca_certificate'].encode(),
                                        state['ca_key'].encode())
                    if state else trustme.CA())
        self._tokens: dict[str, str] = dict(state.get('tokens', {}))
        self._last_port: int = state.get('port', 0)
        self.api = api.Api(self.cluster, self.authority
                           if options.multi_tenancy else None)
        self.rules = faults.FaultRules()
        self.journal = faults.Journal()
        self.services: list[nodes.NodeService] = []
        self._directory: pathlib.Path | None = None
        self._control: web.AppRunner | None = None
        self._control_url = ''
        self._saver: asyncio.Task[None] | None = None
        self._changes = 0
        self._has_data = False
        self._saved: tuple[int, int] | None = None

    def _read_state(self) -> Mapping[str, Any]:
        path = self._options.state_file
        try:
            return (statefile.read(path) if path else None) or {}
        except statefile.StateError as error:
            raise StartError(str(error)) from None

    def _make_cluster(self, state: Mapping[str, Any]) -> model.Cluster:
        options = self._options
        try:
            count = options.nodes or (len(state['cluster']['nodes'])
                                      if state else DEFAULT_NODES)
            cluster = model.Cluster(
                self.clock, _addresses(options.first_address, count),
                options.assumptions,
                state['cluster']['uuid'] if state else None,
                options.capacity, options.data,
                _addresses(options.first_data_address, count))
            cluster.world.work_times.set(options.work_times)
            if state:
                statefile.restore(cluster, state['cluster'])
                if count != len(cluster.world.nodes):
                    raise StartError(
                        'the state file has %d nodes, not %d'
                        % (len(cluster.world.nodes), count))
            for project in options.projects:
                cluster.world.add_project(project)
        except (ValueError, KeyError, errors.ApiError,
                statefile.StateError) as error:
            raise StartError(str(error)) from None
        return cluster

    async def start(self) -> None:
        """Begin to serve.

        :raises StartError: a port or the directory cannot be had
        """
        try:
            directory = self._make_directory()
            self.world.data.start(self.world, directory / 'data')
            self._has_data = True
            await self._start_nodes()
            await self._start_control()
        except (OSError, dataplane.DataPlaneError) as error:
            await self.stop()
            raise StartError(getattr(error, 'strerror', None)
                             or str(error)) from None
        if self._options.state_file is not None:
            try:
                self._save()
            except statefile.StateError as error:
                await self.stop()
                raise StartError(str(error)) from None
            self._saver = asyncio.create_task(self._keep_saving())

    async def stop(self) -> None:
        """Cease to serve, save, and clean up."""
        if self._saver is not None:
            self._saver.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._saver
            self._saver = None
            self._save()
        for service in self.services:
            await service.set_mode('stopped')
        if self._control is not None:
            await self._control.cleanup()
        if self._has_data:
            self._has_data = False
            self.world.data.stop(keep=self._options.state_file is not None)
        if self._directory is not None and self._options.directory is None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _make_directory(self) -> pathlib.Path:
        directory = self._options.directory
        if directory is None:
            directory = pathlib.Path(tempfile.mkdtemp(
                prefix='lightos-simulator-'))
        else:
            directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory.absolute()
        self._ca.cert_pem.write_to_path(str(self._directory / 'ca.pem'))
        if self._options.multi_tenancy:
            self._token_file('cluster-admin', auth.SYSTEM, auth.CLUSTER_ADMIN)
            for project in self.world.projects:
                self.project_tokens(project)
        return self._directory

    def _token_file(self, name: str, scope: str, role: str) -> str:
        token = self._tokens.get(name)
        if token is not None:
            try:
                self.authority.authenticate('Bearer ' + token)
            except errors.ApiError:
                token = None
        if token is None:
            token = self.authority.issue(scope, role, role)
            self._tokens[name] = token
        return self.write_token(name, token)

    def write_token(self, name: str, token: str) -> str:
        """Write a token into the directory, for the owner only.

        :param name: the file's name without its ending
        :return: the file's path
        """
        assert self._directory is not None
        path = self._directory / (name + '.jwt')
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, 'w', encoding='ascii') as stream:
            stream.write(token + '\n')
        return str(path)

    def project_tokens(self, project: str) -> dict[str, str]:
        """Write the tokens of a project's admin and viewer.

        :return: their files by name
        """
        if not self._options.multi_tenancy:
            return {}
        return {'%s-%s' % (project, role): self._token_file(
            '%s-%s' % (project, role), project, role)
            for role in (auth.ADMIN, auth.VIEWER)}

    async def _start_nodes(self) -> None:
        addresses = [node.address for node in self.world.nodes]
        listeners = self._bind(addresses)
        self.world.port = listeners[0].getsockname()[1]
        for index, (address, listener) in enumerate(
                zip(addresses, listeners)):
            service = nodes.NodeService(
                index, address, self.world.port, self.api, self.rules,
                self.journal, self._ca, self.clock)
            self.services.append(service)
            await service.set_mode('up', listener=listener)

    def _bind(self, addresses: list[str]) -> list[socket.socket]:
        if self._options.port == 0 and self._last_port:
            try:
                return nodes.bind_all(addresses, self._last_port)
            except OSError:
                LOG.warning('port %d is not free any more', self._last_port)
        return nodes.bind_all(addresses, self._options.port)

    async def _start_control(self) -> None:
        listener = nodes.bind(CONTROL_ADDRESS, self._options.control_port)
        self._control_url = 'http://%s:%d' % listener.getsockname()
        self._control = web.AppRunner(control.application(self),
                                      access_log=None, shutdown_timeout=0)
        await self._control.setup()
        await web.SockSite(self._control, listener).start()

    def describe(self) -> dict[str, Any]:
        """What a client needs to know."""
        assert self._directory is not None
        return {
            'cluster_uuid': self.world.uuid,
            'subsystem_nqn': self.world.subsystem_nqn,
            'addresses': [node.address for node in self.world.nodes],
            'data_addresses': [node.data_address
                               for node in self.world.nodes],
            'port': self.world.port,
            'endpoints': [messages.endpoint(node.address, self.world.port)
                          for node in self.world.nodes],
            'control': self._control_url,
            'ca_file': str(self._directory / 'ca.pem'),
            'tokens': {name: str(self._directory / (name + '.jwt'))
                       for name in self._tokens
                       if self._options.multi_tenancy},
            'directory': str(self._directory),
            'pid': os.getpid()}

    def note_change(self) -> None:
        """Something has changed that is to be saved."""
        self._changes += 1

    def _content(self) -> dict[str, Any]:
        return {
            'cluster': statefile.dump(self.cluster),
            'clock_offset': self.clock.offset,
            'key': self.authority.key(),
            'credentials': sorted(self.authority.credentials),
            'revoked': sorted(self.authority.revoked),
            'ca_certificate': self._ca.cert_pem.bytes().decode(),
            'ca_key': self._ca.private_key_pem.bytes().decode(),
            'tokens': self._tokens,
            'port': self.world.port}

    def _save(self) -> None:
        assert self._options.state_file is not None
        statefile.write(self._options.state_file, self._content())

    async def _keep_saving(self) -> None:
        assert self._options.state_file is not None
        pause = _SAVE_INTERVAL
        while True:
            await asyncio.sleep(pause)
            changed = (self.world.etag, self._changes)
            if changed == self._saved:
                continue
            begin = time.monotonic()
            try:
                await asyncio.to_thread(statefile.write,
                                        self._options.state_file,
                                        self._content())
                self._saved = changed
            except statefile.StateError as error:
                LOG.error('%s', error)
            pause = max(_SAVE_INTERVAL,
                        _SAVE_SHARE * (time.monotonic() - begin))


def _addresses(first: str, count: int) -> list[str]:
    """An address and those that follow; none of none."""
    if not first:
        return []
    return [str(ipaddress.ip_address(first) + place)
            for place in range(count)]


def gib(number: int) -> int:
    """GiB in bytes."""
    return number * rules.GIB
