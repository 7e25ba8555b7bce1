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
"""Several controllers of one cluster, and everything that they need.

RabbitMQ, MariaDB, Redis or etcd, a simulated cluster of three nodes, two API
workers, a scheduler and three cinder-volume processes with one ``cluster``
name: each a process of its own, on the loopback interface alone.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Mapping, Optional, Sequence
import unittest

import pymysql
import pymysql.cursors

from cinder.tests.functional.lightos import cinder_services
from cinder.tests.functional.lightos import waiting
from demo import block_storage  # found by cinder_services
from demo import cluster
from demo import environment
from demo import errors
from demo import layout
from demo import processes
from demo import rest
from demo import services

HERE = pathlib.Path(__file__).resolve().parent
CONTROLLERS = ('controller1', 'controller2', 'controller3')
CLUSTER = 'lightos-controllers'
# Seconds for a program of Debian's to serve, and for a controller to be up.
SERVE_TIME = 60
START_TIME = 120
COMMAND_TIME = 300
# Seconds that the cluster works on each request after answering, and those
# that it takes to answer a question: what was read is old when it is used.
CLUSTER_TIME = 0.2
ANSWER_TIME = 0.2
# Seconds that it works on a change of a volume: longer than Cinder takes to
# answer, so that who reports a change before it is seen is found out.
CHANGE_TIME = 1.0
SHARED_TYPE = 'shared'

until = waiting.until


class Programs:
    """Processes that are killed as a whole: a session for each."""

    def __init__(self, where: layout.Layout) -> None:
        self._where = where
        self._running: dict[str, 'subprocess.Popen[bytes]'] = {}

    def start(self, name: str, command: Sequence[str],
              variables: Optional[Mapping[str, str]] = None) -> None:
        with self._where.log(name).open('ab') as output:
            self._running[name] = subprocess.Popen(
                command, cwd=self._where.run, start_new_session=True,
                env=variables or environment.clean_variables(),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def kill(self, name: str) -> None:
        """Kill it and its children; return when it is gone."""
        process = self._running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        for name in reversed(list(self._running)):
            self.kill(name)


def program(name: str, package: str) -> str:
    """Return the path of a program of Debian's.

    :raises SkipTest: it is not installed
    """
    found = shutil.which(name, path=os.pathsep.join(
        [os.environ['PATH'], '/usr/sbin', '/sbin']))
    if found is None:
        raise unittest.SkipTest(f'needs {name} (apt-get install {package})')
    return found


class Controllers:
    """The services and the cluster that they manage.

    :param coordination: ``redis`` or ``etcd``
    :param threads: of the volume services, ``eventlet`` or ``native``
    :ivar url: of Cinder's REST API
    :ivar simulator: the cluster
    """

    def __init__(self, coordination: str, threads: str) -> None:
        self._coordination = coordination
        self._threads = threads
        self._programs_of_debian = {
            'mariadbd': program('mariadbd', 'mariadb-server'),
            'mariadb-install-db': program('mariadb-install-db',
                                          'mariadb-server'),
            'redis': program('redis-server', 'redis-server')
            if coordination == 'redis' else
            program('etcd', 'etcd-server')}
        self._stack = contextlib.ExitStack()
        self.directory = pathlib.Path(self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix='lightos-controllers-')))
        self._where = layout.Layout(self.directory, pathlib.Path(sys.prefix))
        for part in (self._where.run, self._where.logs):
            part.mkdir()
        self._programs = Programs(self._where)
        self._stack.callback(self._programs.end)
        started = processes.Processes(self._where)
        self._stack.callback(started.end)
        try:
            self._start(started)
        except BaseException:
            self.end()
            raise

    def _start(self, started: processes.Processes) -> None:
        self._broker = cinder_services.Broker(self._where.run / 'broker')
        self._stack.callback(self._broker.end)
        (self._database_port, self._coordination_port, self._peer_port,
         api_port) = cinder_services.free_ports(4)
        self._start_database()
        self.start_coordination()
        # Two runs at once have a network each.
        high, low = divmod(os.getpid(), 250)
        self.network = f'127.{1 + low}.{high % 250}'
        self.simulator: cluster.Simulator = services.start_simulator(
            self._where, started, 'simulator',
            ['--nodes', '3', '--first-address', f'{self.network}.11',
             '--work-time', str(CLUSTER_TIME)])
        self.control = rest.Api(self.simulator.control, {})
        self.control.call('POST', '/work-times', {
            'UpdateVolume': CHANGE_TIME})
        self.control.call('POST', '/faults', {
            'action': 'delay', 'operation': '^GET ', 'times': None,
            'delay': ANSWER_TIME})
        self.url = f'http://127.0.0.1:{api_port}/v3'
        until(self._database_serves, 'MariaDB serves', SERVE_TIME)
        self._configure(api_port)
        self._prepare_database()
        self._broker.wait()
        self._serve('scheduler')
        self._serve('api')
        for name in CONTROLLERS:
            self.start(name)
        self.api = self.new_api()
        until(self._has_started, 'all services are up', START_TIME)
        until(lambda: self.api.call('GET', '/scheduler-stats/get_pools')
              ['pools'], 'the scheduler knows the backend', START_TIME)
        block_storage.BlockStorage(self.url, 3).lift_quotas()
        self.api.call('POST', '/types', {'volume_type': {
            'name': SHARED_TYPE,
            'extra_specs': {'multiattach': '<is> True'}}})

    def _start_database(self) -> None:
        data = self._where.run / 'mariadb'
        # It runs as another user otherwise, or not at all as root.
        subprocess.run(
            [self._programs_of_debian['mariadb-install-db'], '--no-defaults',
             '--user=root', '--auth-root-authentication-method=normal',
             '--skip-test-db', f'--datadir={data}'], check=True,
            env=environment.clean_variables(), capture_output=True)
        self._programs.start('mariadb', [
            self._programs_of_debian['mariadbd'], '--no-defaults',
            '--user=root', f'--datadir={data}', '--skip-grant-tables',
            '--bind-address=127.0.0.1', f'--port={self._database_port}',
            '--skip-networking=0', '--max-connections=500',
            '--innodb-flush-log-at-trx-commit=0',
            f'--socket={self._where.run / "mariadb.sock"}',
            f'--pid-file={self._where.run / "mariadb.pid"}'])

    def _connect(self, database: Optional[str] = None
                 ) -> 'pymysql.Connection[pymysql.cursors.DictCursor]':
        return pymysql.connect(
            host='127.0.0.1', port=self._database_port, user='root',
            database=database, autocommit=True,
            cursorclass=pymysql.cursors.DictCursor)

    def _database_serves(self) -> bool:
        with contextlib.suppress(pymysql.MySQLError):
            self._connect().close()
            return True
        return False

    def _prepare_database(self) -> None:
        with contextlib.closing(self._connect()) as connection:
            connection.cursor().execute('CREATE DATABASE cinder')
        subprocess.run(
            [self._where.programs / 'cinder-manage', '--config-file',
             self._where.run / 'cinder.conf', 'db', 'sync'], check=True,
            env=environment.clean_variables(), capture_output=True)

    def rows(self, query: str) -> list[dict[str, Any]]:
        """What Cinder's database answers."""
        with contextlib.closing(self._connect('cinder')) as connection:
            cursor = connection.cursor()
            cursor.execute(query)
            return list(cursor.fetchall())

    def start_coordination(self) -> None:
        listen = f'http://127.0.0.1:{self._coordination_port}'
        peers = f'http://127.0.0.1:{self._peer_port}'
        serve = self._programs_of_debian['redis']
        self._programs.start(self._coordination, [
            serve, '--port', str(self._coordination_port),
            '--bind', '127.0.0.1', '--save', '',
            '--dir', str(self._where.run)]
            if self._coordination == 'redis' else [
                serve, '--data-dir', str(self._where.run / 'etcd'),
                '--listen-client-urls', listen,
                '--advertise-client-urls', listen,
                '--listen-peer-urls', peers,
                '--initial-advertise-peer-urls', peers,
                '--initial-cluster', f'default={peers}'])

    def kill_coordination(self) -> None:
        self._programs.kill(self._coordination)

    def drop_broker_connections(self) -> None:
        """Have RabbitMQ close all its connections.

        :raises AssertionError: it does not
        """
        self._broker.control('close_all_connections', 'the test says so')

    def _configure(self, api_port: int) -> None:
        scheme = 'redis' if self._coordination == 'redis' else 'etcd3+http'
        services.configure(
            self._where, {'lightos': self.simulator.address},
            {'DEFAULT': {
                'transport_url': self._broker.url,
                'osapi_volume_listen_port': api_port,
                'osapi_volume_workers': 2,
                'scheduler_default_filters': 'CapabilitiesFilter',
                'scheduler_driver_init_wait_time': 1,
                'report_interval': 2,
                'service_down_time': 10},
             'database': {
                 'connection': 'mysql+pymysql://root@127.0.0.1:'
                               f'{self._database_port}/cinder'},
             'coordination': {
                 'backend_url': f'{scheme}://127.0.0.1:'
                                f'{self._coordination_port}'},
             'lightos': {'lightos_api_service_timeout': 5}})
        for name in CONTROLLERS:
            services.write_conf(self._where.run / f'{name}.conf', {
                'DEFAULT': {'host': name, 'cluster': CLUSTER}})

    def _serve(self, name: str, service: Optional[str] = None,
               threads: str = 'eventlet') -> None:
        files = ['cinder', *([name] if service else [])]
        self._programs.start(
            name, [str(self._where.python),
                   str(HERE / 'controller_process.py'), service or name,
                   *(f'--config-file={self._where.run / file}.conf'
                     for file in files)],
            {**services.cinder_variables(),
             'OS_CINDER_DISABLE_EVENTLET_PATCHING':
                 str(threads == 'native').lower()})

    def new_api(self) -> rest.Api:
        """A client of Cinder's REST API, for one thread."""
        return rest.Api(self.url, {'OpenStack-API-Version':
                                   f'volume {block_storage.MICROVERSION}'})

    # The controllers

    def start(self, name: str) -> None:
        self._serve(name, 'volume', self._threads)

    def kill(self, name: str) -> None:
        """Kill a controller, the parent and its children, with SIGKILL."""
        self._programs.kill(name)

    def reported(self) -> dict[str, str]:
        """When each controller that is up last said so."""
        return {service['host'].partition('@')[0]: service['updated_at']
                for service in self.api.call(
                    'GET', '/os-services',
                    query={'binary': 'cinder-volume'})['services']
                if service['state'] == 'up'}

    def _has_started(self) -> bool:
        try:
            return len(self.reported()) == len(CONTROLLERS)
        except errors.DemoError:
            return False

    def wait_until_whole(self, since: Mapping[str, str],
                         seconds: float = START_TIME) -> None:
        """Return when each has reported after what is known.

        :raises AssertionError: not in time
        """
        def whole() -> bool:
            try:
                reported = self.reported()
            except errors.DemoError:
                return False
            return all(reported.get(name, '') > since.get(name, '')
                       for name in CONTROLLERS)
        until(whole, 'all controllers report', seconds)

    # What is there

    def audit(self, *options: str) -> dict[str, Any]:
        """Run lightos-audit; return its report."""
        ended = subprocess.run(
            [str(self._where.python), '-m',
             'cinder.volume.drivers.lightos.audit',
             '--config-file', str(self._where.run / 'cinder.conf'),
             '--config-file', str(self._where.run / 'controller1.conf'),
             '--host', 'controller2', '--host', 'controller3',
             '--format', 'json', '--settle', '3', *options],
            env=services.cinder_variables(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=COMMAND_TIME)
        if not ended.stdout.startswith('{'):
            raise AssertionError(ended.stderr)
        report: dict[str, Any] = json.loads(ended.stdout)
        return report

    def rotate_token(self, number: int) -> None:
        """Give the driver another token and refuse the one before."""
        path = self.simulator.address.jwt_file
        assert path is not None
        told = self.control.call('POST', '/tokens', {
            'scope': 'system', 'role': 'cluster-admin',
            'name': f'rotated-{number}'})
        new = path.with_suffix('.new')
        new.write_text(told['token'] + '\n')
        new.replace(path)
        # Calls that are on their way have the old one.
        time.sleep(1)
        self.control.call('POST', '/tokens', {
            'revoke': f'system:rotated-{number - 1}' if number > 1 else
            'system:cluster-admin'})

    def save_logs(self, directory: pathlib.Path) -> None:
        shutil.copytree(self._where.logs, directory, dirs_exist_ok=True)

    def end(self) -> None:
        self._stack.close()
