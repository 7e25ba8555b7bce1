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

"""What the tests of the LightOS driver have in common."""

import logging
from typing import Any, Optional, Sequence

import fixtures
from oslo_utils import timeutils

from cinder import context
from cinder import objects
from cinder.objects import fields
from cinder.tests.unit import fake_constants as fake
from cinder.tests.unit import test
from cinder.tests.unit import utils as test_utils
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume import configuration
from cinder.volume import driver as volume_driver
from cinder.volume.drivers import lightos
from cinder.volume import manager
from cinder.volume import qos_specs

BACKEND = 'lightos'
HOST = 'controller@lightos#lightos'


class FakeConnector:
    """Stands for os-brick: what this controller is as an NVMe host."""

    properties: dict[str, Any] = {}

    @classmethod
    def factory(cls, *args: Any, **kwargs: Any) -> 'FakeConnector':
        return cls()

    @classmethod
    def get_connector_properties(cls, *args: Any,
                                 **kwargs: Any) -> dict[str, Any]:
        return dict(cls.properties)


class LightOSTestCase(test.TestCase):
    """A driver with a real configuration on a fake cluster.

    A test that runs several threads sets ``MOCK_TOOZ = False``, for locks
    that lock.

    :cvar OPTIONS: what the backend's section has in every test
    :ivar driver: set up, with its requests and sleeps so far forgotten
    :ivar connector_properties: what os-brick says of this controller
    """

    OPTIONS: dict[str, Any] = {
        'lightos_api_address': ['10.0.0.1', '10.0.0.2', '10.0.0.3'],
        'volume_backend_name': BACKEND,
    }

    def setUp(self) -> None:
        super().setUp()
        self.context = context.RequestContext(
            fake.USER_ID, fake.PROJECT_ID, is_admin=True)
        self.clock = self.useFixture(fake_lightos.FakeClock())
        self.server = self.useFixture(fake_lightos.FakeLightOS(self.clock))
        self.connector_properties = self.host_connector(100)
        self.mock_object(FakeConnector, 'properties',
                         self.connector_properties)
        self.patch('os_brick.initiator.connector.InitiatorConnector',
                   FakeConnector)
        self.driver = self.make_driver()
        self.server.requests.clear()
        self.clock.sleeps.clear()

    def make_driver(self, setup: bool = True,
                    **options: Any) -> lightos.LightOSVolumeDriver:
        """A driver as the volume manager makes it.

        :param setup: whether it is ready to be used
        :param options: options of the backend, beside ``OPTIONS``
        """
        # As from a file, the options are there before the driver is.
        conf = configuration.Configuration(
            [*manager.volume_backend_opts, *volume_driver.volume_opts,
             *lightos.lightos_opts], config_group=BACKEND)
        self.configure(**{**self.OPTIONS, **options})
        driver = lightos.LightOSVolumeDriver(configuration=conf, host=HOST)
        if setup:
            driver.do_setup(self.context)
            driver.check_for_setup_error()
        return driver

    def make_manager(self) -> manager.VolumeManager:
        """Cinder's own volume manager, with the driver under it."""
        self.override_config(
            'volume_driver',
            'cinder.volume.drivers.lightos.LightOSVolumeDriver', BACKEND)
        made = manager.VolumeManager(service_name=BACKEND,
                                     host=HOST.partition('#')[0])
        made.driver = self.driver
        made.stats = {'pools': {}, 'allocated_capacity_gb': 0}
        self.driver.set_initialized()
        self.mock_object(made, 'message_api')
        self.patch('cinder.volume.volume_utils.notify_about_volume_usage')
        return made

    def configure(self, **options: Any) -> None:
        """Change options of the backend, also under a running driver."""
        for name, value in options.items():
            self.override_config(name, value, BACKEND)

    def make_type(self, **extra_specs: str) -> objects.VolumeType:
        """A volume type; ``lightos__x`` stands for the key ``lightos:x``."""
        created = test_utils.create_volume_type(
            self.context, name='type%d' % len(
                objects.VolumeTypeList.get_all(self.context)),
            extra_specs={key.replace('__', ':'): value
                         for key, value in extra_specs.items()})
        return objects.VolumeType.get_by_id(self.context, created.id)

    def make_qos_type(self, limits: dict[str, str],
                      consumer: str = 'back-end',
                      **extra_specs: str) -> objects.VolumeType:
        """A volume type with QoS specs.

        :param limits: the QoS specs; ``read_iops`` stands for the key
            ``lightos:read_iops``
        """
        volume_type = self.make_type(**extra_specs)
        made = qos_specs.create(self.context, volume_type.name, {
            'consumer': consumer, **{
                key if ':' in key else 'lightos:' + key: value
                for key, value in limits.items()}})
        qos_specs.associate_qos_with_type(self.context, made.id,
                                          volume_type.id)
        return objects.VolumeType.get_by_id(self.context, volume_type.id)

    def make_volume(self, volume_type: Optional[objects.VolumeType] = None,
                    create: bool = False, **values: Any) -> objects.Volume:
        """A volume in Cinder's database, of 1 GiB unless ``size`` is given.

        :param create: whether the driver creates it on the cluster, too, and
            Cinder sees it in service
        """
        values.setdefault('volume_type_id', volume_type.id if volume_type
                          else self.vt['id'])
        volume = test_utils.create_volume(self.context,
                                          **{'host': HOST, **values})
        if create:
            self.record(volume, {**self.driver.create_volume(volume),
                                 'launched_at': timeutils.utcnow()})
        return volume

    def make_snapshot(self, volume: objects.Volume, create: bool = False,
                      **values: Any) -> objects.Snapshot:
        """A snapshot in Cinder's database, as :meth:`make_volume`."""
        snapshot = test_utils.create_snapshot(
            self.context, volume.id, volume_type_id=volume.volume_type_id,
            **values)
        if create:
            self.record(snapshot, self.driver.create_snapshot(snapshot))
        return snapshot

    @staticmethod
    def record(resource: Any, update: Optional[dict[str, Any]]) -> None:
        """Write what the driver returned, as the volume manager does."""
        if update:
            resource.update(update)
            resource.save()

    @staticmethod
    def host_connector(number: int = 1, ips: Optional[Sequence[str]] = None,
                       ) -> dict[str, Any]:
        """What os-brick says of a host: compute<number>.

        :param ips: of the host, 192.0.2.<number> by default
        """
        name = 'compute%d' % number
        addresses = ['192.0.2.%d' % number] if ips is None else list(ips)
        return {'host': name, 'ip': addresses[0] if addresses else '',
                'nqn': 'nqn.2014-08.org.nvmexpress:uuid:%s' % name,
                'found_dsc': 'found', 'host_ips': addresses}

    def make_attachment(self, volume: objects.Volume,
                        connector: Optional[dict[str, Any]] = None,
                        **values: Any) -> objects.VolumeAttachment:
        """A row of the volume's attachments, its connector as stored."""
        attachment = objects.VolumeAttachment(
            self.context, volume_id=volume.id, connector=connector,
            attached_host=connector and connector.get('host'),
            attach_status=fields.VolumeAttachStatus.ATTACHED, **values)
        attachment.create()
        volume.refresh()
        return attachment

    def delay_update(self, seconds: float) -> None:
        """The next change of a volume takes a while, others no time."""
        self.server.work_time['UpdateVolume'] = seconds
        self.server.fault('UpdateVolume', after=lambda _request:
                          self.server.work_time.clear())

    def warnings(self) -> fixtures.FakeLogger:
        """Takes down what is logged from now on, from warnings up."""
        return self.useFixture(fixtures.FakeLogger(level=logging.WARNING))

    def assert_tells(self, error: BaseException, *words: str) -> None:
        """Whether the text of an error has what the operator needs."""
        for word in words:
            self.assertIn(word, str(error))
