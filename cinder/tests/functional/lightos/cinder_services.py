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
"""A real Cinder on simulated clusters, for tests that operate it.

API and scheduler are one process and the volume service of each backend is
another, as in a production deployment; RabbitMQ is between them.
"""

import atexit
import contextlib
import glob
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from typing import Any, Mapping, NamedTuple, Optional
import unittest

TREE = pathlib.Path(__file__).resolve().parents[4]
HERE = pathlib.Path(__file__).resolve().parent

sys.path[:0] = [str(TREE / 'tools')]
from cinder.tests.functional.lightos import waiting  # noqa: E402
from demo import block_storage  # noqa: E402
from demo import environment  # noqa: E402
from demo import errors  # noqa: E402
from demo import layout  # noqa: E402
from demo import processes  # noqa: E402
from demo import rest  # noqa: E402
from demo import services  # noqa: E402

# Seconds that RabbitMQ may take to start.
BROKER_TIME = 60
# Two clusters; the first has two backends.
CLUSTERS = {'east': '127.0.0.11', 'west': '127.0.0.21'}
BACKENDS = {'east': 'east', 'annex': 'east', 'west': 'west'}
PROJECT = 'blue'
# Seconds that the clusters work on each request after answering.
CLUSTER_TIME = 0.05
# What a volume holds in these tests; a block, for dd and O_DIRECT.
CONTENT_SIZE = 4096

until = waiting.until


class Gone(Exception):
    """What was looked for is not there."""


class Broker:
    """RabbitMQ, for this machine's loopback interface alone."""

    def __init__(self, directory: pathlib.Path) -> None:
        programs = glob.glob(
            '/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server')
        if not programs or not shutil.which('epmd'):
            raise unittest.SkipTest(
                'needs RabbitMQ (apt-get install rabbitmq-server)')
        directory.mkdir()
        self.port, distribution, mapper = free_ports(3)
        self.url = f'rabbit://guest:guest@127.0.0.1:{self.port}/'
        variables = {
            'PATH': os.environ['PATH'], 'HOME': str(directory),
            'ERL_EPMD_ADDRESS': '127.0.0.1', 'ERL_EPMD_PORT': str(mapper),
            'RABBITMQ_NODENAME': f'operations{self.port}@localhost',
            'RABBITMQ_NODE_IP_ADDRESS': '127.0.0.1',
            'RABBITMQ_NODE_PORT': str(self.port),
            'RABBITMQ_DIST_PORT': str(distribution),
            'RABBITMQ_MNESIA_BASE': str(directory / 'mnesia'),
            'RABBITMQ_LOG_BASE': str(directory / 'log'),
            'RABBITMQ_PID_FILE': str(directory / 'pid'),
            'RABBITMQ_ENABLED_PLUGINS_FILE': str(directory / 'plugins'),
            'RABBITMQ_CONF_ENV_FILE': str(directory / 'none'),
            'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS':
                '-kernel inet_dist_use_interface {127,0,0,1}'}
        self._log = directory / 'output'
        # Erlang would leave a port mapper of its own behind.
        self._processes = [self._start(['epmd'], variables),
                           self._start(programs[:1], variables)]
        self._variables = variables
        self._program = pathlib.Path(programs[0]).with_name('rabbitmqctl')

    def _start(self, command: list[str],
               variables: Mapping[str, str]) -> 'subprocess.Popen[bytes]':
        with self._log.open('ab') as output:
            return subprocess.Popen(
                command, env=variables, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True)

    def wait(self) -> None:
        """Return when it serves.

        :raises AssertionError: it does not
        """
        until(self._serves, f'RabbitMQ serves; see {self._log}', BROKER_TIME)

    def control(self, *words: str) -> None:
        """Run rabbitmqctl.

        :raises AssertionError: it fails
        """
        ended = subprocess.run(
            [self._program, *words], env=self._variables,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=BROKER_TIME)
        if ended.returncode:
            raise AssertionError(f'rabbitmqctl {words[0]}: {ended.stdout}')

    def _serves(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(
                ('127.0.0.1', self.port), 1) as connection:
            # AMQP 0-9-1: a header of another version is answered with ours.
            connection.sendall(b'AMQP\0\0\0\0')
            return connection.recv(4) == b'AMQP'
        return False

    def end(self) -> None:
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()


class Volume(NamedTuple):
    """A volume on a cluster."""

    cluster: str
    project: str
    name: str
    uuid: str
    hosts: tuple[str, ...]


class Cloud:
    """Cinder and its clusters.

    :ivar api: Cinder's REST API, as an administrator
    :ivar clusters: the simulators, each by its name
    """

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        directory = pathlib.Path(self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix='lightos-operations-')))
        self._where = layout.Layout(directory, pathlib.Path(sys.prefix))
        for part in (self._where.run, self._where.logs,
                     self._where.run / 'files'):
            part.mkdir()
        self._started = processes.Processes(self._where)
        self._stack.callback(self._started.end)
        self._services: dict[str, processes.Service] = {}
        try:
            self._start()
        except BaseException:
            self.end()
            raise

    def _start(self) -> None:
        broker = Broker(self._where.run / 'broker')
        self._stack.callback(broker.end)
        self.clusters = {
            name: services.start_simulator(
                self._where, self._started, name,
                ['--first-address', address, '--project', PROJECT,
                 '--work-time', str(CLUSTER_TIME)])
            for name, address in CLUSTERS.items()}
        self._write_shim()
        services.configure(
            self._where,
            {name: self.clusters[on].address for name, on in BACKENDS.items()},
            {'DEFAULT': {
                'transport_url': broker.url,
                # A volume is asked for where a test wants it.
                'scheduler_default_filters': 'CapabilitiesFilter,JsonFilter',
                'rpc_response_timeout': 20,
                # The volume services come after it.
                'scheduler_driver_init_wait_time': 1,
                'simulators': ','.join(
                    simulator.control
                    for simulator in self.clusters.values())},
             'database': {
                 'connection': f'sqlite:///{self._database}',
                 'sqlite_synchronous': 'False'}})
        broker.wait()
        port = self._serve('api').told['port']
        self.url = f'http://127.0.0.1:{port}/v3'
        self.api = rest.Api(self.url, {
            'OpenStack-API-Version': f'volume {block_storage.MICROVERSION}'})
        for name in BACKENDS:
            self.start(name)
        self.pools = {
            pool['name'].partition('#')[2]: pool['name'] for pool in until(
                self._all_pools, 'the scheduler knows every backend')}
        block_storage.BlockStorage(self.url, 3).lift_quotas()

    def _all_pools(self) -> list[dict[str, Any]]:
        pools: list[dict[str, Any]] = self.api.call(
            'GET', '/scheduler-stats/get_pools')['pools']
        return pools if len(pools) == len(BACKENDS) else []

    def _write_shim(self) -> None:
        """Provide a sudo: files of one's own need no root."""
        self._programs = self._where.run / 'bin'
        self._programs.mkdir()
        shim = self._programs / 'sudo'
        shim.write_text('#!/bin/sh\nexec "$@"\n')
        shim.chmod(0o755)

    @property
    def _database(self) -> pathlib.Path:
        return self._where.run / 'cinder.sqlite'

    def _serve(self, name: str) -> processes.Service:
        variables = services.cinder_variables()
        variables['PATH'] = os.pathsep.join([
            str(self._programs), str(self._where.programs),
            variables.get('PATH', ''), '/usr/sbin', '/sbin'])
        service = self._started.serve(
            name,
            [str(self._where.python), str(HERE / 'service_process.py'), name,
             '--config-file', str(self._where.run / 'cinder.conf')],
            self._where.run, variables, services.START_TIME)
        self._services[name] = service
        return service

    def end(self) -> None:
        self._stack.close()

    # The services

    def start(self, backend: str) -> None:
        """Start the volume service of a backend."""
        self._serve(backend)

    def kill_at(self, point: str) -> None:
        """Have the service that gets to this point be killed there."""
        (self._where.run / 'die').write_text(point)

    def wait_until_killed(self) -> str:
        """Return the backend whose service was killed."""
        def dead() -> Optional[str]:
            return next((name for name, service in self._services.items()
                         if not service.identity.runs()), None)
        name = until(dead, 'a service is killed')
        assert name is not None
        return name

    def forget_to_kill(self) -> None:
        (self._where.run / 'die').unlink(missing_ok=True)

    def log(self, name: str) -> str:
        return self._where.log(name).read_text()

    # What its users and operators do

    def openstack(self, *words: str, fails: bool = False) -> str:
        """Run the openstack command; return what it printed.

        :param fails: whether it is to fail
        :raises AssertionError: it does not do what it is to
        """
        ended = subprocess.run(
            [self._where.programs / 'openstack', *words],
            env={**environment.clean_variables(), 'OS_AUTH_TYPE': 'none',
                 'OS_ENDPOINT': self.url,
                 'OS_VOLUME_API_VERSION': block_storage.MICROVERSION},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=waiting.WORK_TIME)
        if bool(ended.returncode) != fails:
            raise AssertionError(f'openstack {" ".join(words)}: exit status '
                                 f'{ended.returncode}\n{ended.stdout}')
        return ended.stdout

    def create_volume(self, backend: str, **values: Any) -> str:
        """Make a volume of 1 GiB there; return its id when it is available."""
        body = {'volume': {'size': 1, **values},
                'OS-SCH-HNT:scheduler_hints': {
                    'query': json.dumps(['=', '$host', self.pools[backend]])}}
        volume_id = str(self.api.call('POST', '/volumes', body)
                        ['volume']['id'])
        self.wait_for_status(volume_id, 'available')
        return volume_id

    def create_snapshot(self, volume_id: str) -> str:
        """Make a snapshot; return its id when it is available."""
        snapshot_id = str(self.api.call('POST', '/snapshots', {
            'snapshot': {'volume_id': volume_id}})['snapshot']['id'])
        self.wait_for_status(snapshot_id, 'available', 'snapshots')
        return snapshot_id

    def show(self, object_id: str, kind: str = 'volumes') -> dict[str, Any]:
        """Return what Cinder says of a volume or snapshot.

        :raises Gone: Cinder does not have it
        """
        try:
            shown: dict[str, Any] = self.api.call(
                'GET', f'/{kind}/{object_id}')[kind[:-1]]
        except errors.DemoError as error:
            if ': 404 ' in str(error):
                raise Gone(object_id)
            raise
        return shown

    def wait_for_status(self, object_id: str, status: str,
                        kind: str = 'volumes') -> dict[str, Any]:
        """Return what Cinder says of it once it has the status."""
        def seen() -> Optional[dict[str, Any]]:
            shown = self.show(object_id, kind)
            return shown if shown['status'] == status else None
        found = until(seen, f'{object_id} is {status}')
        assert found is not None
        return found

    def wait_until_gone(self, object_id: str, kind: str = 'volumes') -> None:
        """Return when Cinder does not have it any more."""
        def gone() -> bool:
            try:
                self.show(object_id, kind)
            except Gone:
                return True
            return False
        until(gone, f'{object_id} is gone')

    def act(self, volume_id: str, action: str, **values: Any) -> Any:
        """Have the API do something with a volume."""
        return self.api.call('POST', f'/volumes/{volume_id}/action',
                             {action: values or None})

    def delete(self, object_id: str, kind: str = 'volumes') -> None:
        """Delete a volume or snapshot and wait for the end of it."""
        self.api.call('DELETE', f'/{kind}/{object_id}')
        self.wait_until_gone(object_id, kind)

    def attach(self, volume_id: str) -> str:
        """Attach the volume to a host, as Nova does; return the attachment."""
        return block_storage.BlockStorage(self.url, 3).attach(volume_id, {
            'nqn': 'nqn.2014-08.org.nvmexpress:uuid:host', 'host': 'host',
            'ip': '192.0.2.1', 'host_ips': ['192.0.2.1'],
            'found_dsc': 'found'})

    # Its database, as an administrator sees it

    def records(self, where: str, *values: str) -> list[dict[str, Any]]:
        """The volumes in the database that are not deleted."""
        with contextlib.closing(sqlite3.connect(self._database,
                                                timeout=20)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(
                f'SELECT * FROM volumes WHERE deleted = 0 AND {where}',
                values)]

    def record(self, volume_id: str) -> dict[str, Any]:
        record, = self.records('id = ?', volume_id)
        return record

    def set_provider_id(self, volume_id: str, text: Optional[str]) -> None:
        """Make a record one of an older release of the driver."""
        with contextlib.closing(sqlite3.connect(self._database,
                                                timeout=20)) as database:
            database.execute('UPDATE volumes SET provider_id = ? '
                             'WHERE id = ?', (text, volume_id))
            database.commit()

    # The clusters, and the data

    def volumes(self) -> list[Volume]:
        """Every volume of the clusters that is not on its way out."""
        return [Volume(name, message['projectName'], message['name'],
                       message['UUID'], tuple(message['acl']['values']))
                for name, simulator in self.clusters.items()
                for message in simulator.messages('volumes')
                if message['state'] not in ('Deleting', 'Deleted')]

    def control(self, name: str) -> rest.Api:
        """The interface by which a test rules a cluster."""
        return rest.Api(self.clusters[name].control, {})

    def lightos(self, name: str) -> rest.Api:
        """The API of a cluster, as its administrator uses it."""
        where = self.clusters[name].address
        assert where.jwt_file and where.ca_file
        return rest.Api(
            f'https://{where.addresses[0]}:{where.port}/api/v2',
            {'Authorization': f'Bearer {where.jwt_file.read_text().strip()}'},
            where.ca_file)

    def requests(self, name: str) -> list[dict[str, Any]]:
        """Every request to a cluster."""
        requests: list[dict[str, Any]] = self.control(name).call(
            'GET', '/journal')['requests']
        return requests

    def volume_of(self, volume_id: str) -> Volume:
        """The volume of a record, by its provider_id."""
        uuid = self.record(volume_id)['provider_id'].split()[1]
        volume, = (volume for volume in self.volumes()
                   if volume.uuid == uuid)
        return volume

    def write(self, uuid: str, content: bytes) -> None:
        """Put something into a volume on a cluster."""
        (self._where.run / 'files' / uuid).write_bytes(
            content.ljust(CONTENT_SIZE, b'\0'))

    def read(self, uuid: str) -> bytes:
        return (self._where.run / 'files' / uuid).read_bytes().rstrip(b'\0')


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that nobody uses."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(
            ('127.0.0.1', 0))) for _ in range(count)]
        return [number.getsockname()[1] for number in sockets]


_clouds: list[Cloud] = []


def cloud() -> Cloud:
    """The one that all tests use in turn; starting it takes longest."""
    if not _clouds:
        _clouds.append(Cloud())
        atexit.register(_clouds[0].end)
    return _clouds[0]
