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
"""Cinder's side of a model run: database, types and volume manager."""

import json
import random
from typing import Any, Callable, NamedTuple
from unittest import mock
import uuid

import requests
import sqlalchemy

from cinder import context
from cinder.db import api as db_api
from cinder import objects
from cinder import service
from cinder.tests.functional.lightos import model_wire
from cinder.tests.unit import fake_constants as fake
from cinder.tests.unit import test
from cinder.tests.unit import utils as test_utils
from cinder.volume import configuration
from cinder.volume import driver as volume_driver
from cinder.volume.drivers import lightos
from cinder.volume.drivers.lightos import waiting
from cinder.volume import manager

BACKEND = 'lightos'
HOST = 'controller@lightos'
POOL = HOST + '#lightos'
ADDRESSES = ['10.0.0.1', '10.0.0.2', '10.0.0.3']
SERVICE_ID = 1
SERVICE_TIMEOUT = 30
RPC_TIMEOUT = 60
# What a sequence writes to.
_TABLES = ('volume_attachment', 'volume_admin_metadata', 'volume_metadata',
           'volume_glance_metadata', 'snapshots', 'workers', 'volumes')


class Host(NamedTuple):
    """A machine that attaches volumes."""

    name: str
    ips: tuple[str, ...]

    @property
    def nqn(self) -> str:
        return 'nqn.2014-08.org.nvmexpress:uuid:' + self.name

    def connector(self) -> dict[str, Any]:
        return {'host': self.name, 'ip': self.ips[0], 'nqn': self.nqn,
                'found_dsc': 'found', 'initiator': 'none',
                'host_ips': [*self.ips, '127.0.0.1', 'fe80::1']}


CONTROLLER = Host('controller', ('192.0.2.100',))
# Two of them are behind one address, as machines behind NAT are.
HOSTS = (Host('one', ('192.0.2.1',)),
         Host('two', ('192.0.2.2', '203.0.113.9')),
         Host('three', ('192.0.2.3', '203.0.113.9', '2001:db8::3')),
         CONTROLLER)


class Connector:
    """Stands for os-brick: what this controller is as an NVMe host."""

    @classmethod
    def factory(cls, *args: Any, **kwargs: Any) -> 'Connector':
        return cls()

    @staticmethod
    def get_connector_properties(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return CONTROLLER.connector()


class Scheduler:
    """Takes what the manager sends to the scheduler.

    :ivar rescheduled: the ids of volumes that are to be created again
    """

    def __init__(self) -> None:
        self.rescheduled: list[str] = []

    def create_volume(self, ctxt: context.RequestContext,
                      volume: objects.Volume, **kwargs: Any) -> None:
        self.rescheduled.append(volume.id)


class Environment(test.TestCase):
    """What many sequences share, because it takes seconds to set up.

    :ivar types: the volume types to choose from
    :ivar uuids: where the UUIDs of Cinder, driver and simulator come from
    """

    MOCK_WORKER = False

    def setUp(self) -> None:
        super().setUp()
        self.uuids = random.Random()
        self.context = context.RequestContext(
            fake.USER_ID, fake.PROJECT_ID, is_admin=True)
        self.override_config('rpc_response_timeout', RPC_TIMEOUT)
        self.override_config('default_volume_type', '__DEFAULT__')
        self.patch('os_brick.initiator.connector.InitiatorConnector',
                   Connector)
        # Nothing waits on a real clock: oslo.db yields after each statement.
        self.patch('time.sleep', lambda seconds: None)
        # None of these is the driver's business, and each takes time.
        self.patch('cinder.volume.manager.QUOTAS').reserve.return_value = None
        self.patch('cinder.volume.volume_utils.notify_about_volume_usage')
        self.patch('cinder.volume.volume_utils.notify_about_snapshot_usage')
        self.patch('cinder.image.image_utils.cleanup_temporary_file')
        self.patch('cinder.message.api.API.create')
        self.patch('cinder.volume.manager.VolumeManager.'
                   'publish_service_capabilities')
        self.patch('cinder.volume.manager.VolumeManager._add_to_threadpool')
        self.mock_object(service.Service, 'service_id', SERVICE_ID)
        # As from a file, the options are there before the driver is.
        configuration.Configuration(
            [*manager.volume_backend_opts, *volume_driver.volume_opts,
             *lightos.lightos_opts], config_group=BACKEND)
        for name, value in (
                ('lightos_api_address', ADDRESSES),
                ('lightos_api_service_timeout', SERVICE_TIMEOUT),
                ('volume_backend_name', BACKEND),
                ('volume_driver', 'cinder.volume.drivers.lightos.'
                                  'LightOSVolumeDriver')):
            self.override_config(name, value, BACKEND)
        self.types = [self._type(specs) for specs in (
            {}, {'lightos:num_replicas': '2'},
            {'lightos:num_replicas': '1', 'compression': '<is> True'},
            {'lightos:project_name': 'blue'},
            {'lightos:project_name': 'blue', 'compression': 'true'})]

    def _type(self, specs: dict[str, str]) -> objects.VolumeType:
        made = test_utils.create_volume_type(
            self.context, name=str(specs), extra_specs=specs)
        return objects.VolumeType.get_by_id(self.context, made.id)

    def runTest(self) -> None:
        """Nothing: this is what tests need, and no test."""

    def play(self, seed: int, wire: model_wire.Wire,
             clock: model_wire.Clock, deed: Callable[[], None]) -> None:
        """Do something on this clock and this cluster, then forget it."""
        self.uuids.seed(seed)

        def uuid4() -> uuid.UUID:
            return uuid.UUID(int=self.uuids.getrandbits(128), version=4)

        with mock.patch('uuid.uuid4', uuid4), \
                mock.patch.object(waiting, 'time', clock), \
                mock.patch.object(requests.adapters.HTTPAdapter, 'send',
                                  lambda *args, **kwargs:
                                  wire.send(*args, **kwargs)):
            try:
                deed()
            finally:
                with db_api.get_engine().begin() as connection:
                    for table in _TABLES:
                        connection.execute(
                            sqlalchemy.text('DELETE FROM ' + table))

    @staticmethod
    def statuses(table: str) -> dict[str, str]:
        """The statuses of all volumes or snapshots by their ids."""
        with db_api.get_engine().connect() as connection:
            return {row.id: row.status for row in connection.execute(
                sqlalchemy.text('SELECT id, status FROM %s WHERE deleted = 0'
                                % table))}

    @staticmethod
    def connectors(volume_id: str) -> list[dict[str, Any]]:
        """The connectors that the attachments of a volume have."""
        with db_api.get_engine().connect() as connection:
            return [json.loads(row.connector) for row in connection.execute(
                sqlalchemy.text(
                    'SELECT connector FROM volume_attachment WHERE '
                    'volume_id = :id AND deleted = 0 AND connector NOT NULL'),
                {'id': volume_id}) if row.connector]

    def start_service(self, use_ipacl: bool) -> manager.VolumeManager:
        """Start the volume service, as after a restart of its process."""
        self.override_config('lightos_use_ipacl', use_ipacl, BACKEND)
        started = manager.VolumeManager(service_name=BACKEND, host=HOST)
        started.scheduler_rpcapi = Scheduler()
        started.init_host(service_id=SERVICE_ID)
        return started
