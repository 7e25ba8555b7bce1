#!/usr/bin/env python3
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
"""Measure how long a volume service with many volumes takes to start.

    python tools/service_start.py [--volumes N] [--older]

What Cinder's volume service does before it takes requests is done here: its
VolumeManager's init_host, on a database of N volumes of this backend (50,000
if nothing is said) and on a simulated cluster. The time in the driver is told
apart from Cinder's own, and the calls to the cluster are counted. A tenth of
the volumes is in use. With --older they are records of an older release,
without the LightOS project and UUID.

The environment has to be one that overlay.py has linked.
"""

# Nothing that is imported here has types for its users.
# mypy: disable-error-code="attr-defined,import-untyped,misc"

# Everything imported after this uses eventlet's threads and sockets, as the
# volume service does.
from cinder import monkey_patch
monkey_patch.patch()
# Cinder's modules look for its objects when they are imported.
from cinder import objects
objects.register_all()

import argparse  # noqa: I100
import collections
import configparser
import contextlib
import functools
import inspect
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any, Iterator
import uuid

from oslo_config import cfg
import sqlalchemy
from sqlalchemy import event

from cinder.common import constants
from cinder import context
from cinder import coordination
from cinder.db import migration
from cinder.db import models
from cinder import rpc
from cinder.volume.drivers import lightos
from cinder.volume import manager
from cinder.volume import volume_types

TREE = pathlib.Path(__file__).resolve().parent.parent
CONF = cfg.CONF
BACKEND = 'lightos'
SERVICE = f'controller@{BACKEND}'
NQN = 'nqn.2014-08.org.nvmexpress:uuid:controller'
# Seconds that the simulator may take to start.
START_TIME = 60


class Connector:
    """Stands for os-brick: what this controller is as an NVMe host."""

    @classmethod
    def factory(cls, *args: Any, **kwargs: Any) -> 'Connector':
        return cls()

    def get_connector_properties(self, *args: Any) -> dict[str, Any]:
        return {'nqn': NQN}


class Account:
    """The time that passes in the driver, and what it asks for.

    :ivar seconds: of each method that the volume manager called
    :ivar calls: how often each command went to the cluster
    :ivar statements: how many the database was given meanwhile
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = collections.defaultdict(float)
        self.calls: collections.Counter[str] = collections.Counter()
        self.statements = 0
        self._inside = False

    def watch(self, driver: lightos.LightOSVolumeDriver) -> None:
        for name in dir(driver):
            method = getattr(driver, name)
            if not name.startswith('_') and inspect.ismethod(method):
                setattr(driver, name, self._timed(name, method))
        send_cmd = driver.cluster.send_cmd

        def counted(cmd: str, **kwargs: Any) -> tuple[int, Any]:
            self.calls[cmd] += 1
            return send_cmd(cmd=cmd, **kwargs)

        setattr(driver.cluster, 'send_cmd', counted)

    def _timed(self, name: str, method: Any) -> Any:
        @functools.wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return method(*args, **kwargs)
            self._inside = True
            began = time.monotonic()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds[name] += time.monotonic() - began
                self._inside = False
        return timed

    def count_statement(self, *args: Any) -> None:
        self.statements += 1


@contextlib.contextmanager
def simulator(directory: str) -> Iterator[dict[str, Any]]:
    """A simulated cluster, as it describes itself."""
    process = subprocess.Popen(
        [sys.executable, '-m', 'lightos_simulator', '--directory', directory],
        cwd=TREE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(START_TIME)


def configure(directory: pathlib.Path, told: dict[str, Any]) -> None:
    """Configure Cinder as a file would."""
    written = configparser.ConfigParser(interpolation=None)
    written.read_dict({
        'DEFAULT': {'transport_url': 'fake:/', 'state_path': str(directory)},
        'database': {'connection': f'sqlite:///{directory}/cinder.sqlite'},
        'coordination': {'backend_url': f'file://{directory}'},
        BACKEND: {
            'volume_driver':
                'cinder.volume.drivers.lightos.LightOSVolumeDriver',
            'volume_backend_name': BACKEND,
            'lightos_api_address': ','.join(told['addresses']),
            'lightos_api_port': str(told['port']),
            'lightos_jwt_file': told['tokens']['cluster-admin'],
            'driver_ssl_cert_verify': 'true',
            'driver_ssl_cert_path': told['ca_file']}})
    path = directory / 'cinder.conf'
    with path.open('w') as file:
        written.write(file)
    CONF(['--config-file', str(path)], project='cinder')
    CONF.register_opt(cfg.StrOpt('initiator_connector',
                                 default=f'{__name__}.Connector'),
                      group=BACKEND)


def fill(volumes: int, older: bool) -> sqlalchemy.Engine:
    """Put the volumes and the service into a new database."""
    migration.db_sync()
    admin = context.get_admin_context()
    volume_type = volume_types.create(admin, 'gold',
                                      {'lightos:num_replicas': '2'})
    objects.Service(admin, host=SERVICE, binary=constants.VOLUME_BINARY,
                    topic=constants.VOLUME_TOPIC).create()
    engine = sqlalchemy.create_engine(CONF.database.connection)
    rows = [{
        'id': str(uuid.uuid4()), 'host': f'{SERVICE}#{BACKEND}', 'size': 1,
        'status': 'available' if number % 10 else 'in-use',
        'attach_status': 'detached', 'project_id': 'project',
        'user_id': 'user', 'volume_type_id': volume_type.id, 'deleted': False,
        'use_quota': True,
        'provider_id': None if older else f'default {uuid.uuid4()}'}
        for number in range(volumes)]
    with engine.begin() as connection:
        connection.execute(sqlalchemy.insert(models.Volume.__table__), rows)
    return engine


def start(account: Account) -> float:
    """Start the volume manager; return the seconds that it took."""
    event.listen(sqlalchemy.Engine, 'before_cursor_execute',
                 account.count_statement)
    rpc.init(CONF)
    coordination.COORDINATOR.start()
    made = manager.VolumeManager(service_name=BACKEND, host=SERVICE)
    account.watch(made.driver)
    began = time.monotonic()
    made.init_host(service_id=1)
    seconds = time.monotonic() - began
    if not made.is_working():
        sys.exit('The driver did not start.')
    coordination.COORDINATOR.stop()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description='Measure the start of a volume service.')
    parser.add_argument('--volumes', type=int, default=50000)
    parser.add_argument('--older', action='store_true',
                        help='records of an older release')
    given = parser.parse_args()
    account = Account()
    with tempfile.TemporaryDirectory(prefix='lightos-start-') as directory:
        with simulator(f'{directory}/cluster') as told:
            configure(pathlib.Path(directory), told)
            fill(given.volumes, given.older).dispose()
            seconds = start(account)
    driver = sum(account.seconds.values())
    print(f'volumes                     {given.volumes}')
    print(f'start of the service        {seconds:.2f} s')
    print(f'  of it in the driver       {driver:.2f} s')
    for name, spent in sorted(account.seconds.items(),
                              key=lambda item: -item[1])[:4]:
        print(f'    {name:<24}{spent:.2f} s')
    print(f'  of it in Cinder itself    {seconds - driver:.2f} s')
    print(f'statements to the database  {account.statements}')
    print(f'calls to the cluster        {sum(account.calls.values())}: '
          + ', '.join(f'{number} {cmd}'
                      for cmd, number in sorted(account.calls.items())))


if __name__ == '__main__':
    main()
