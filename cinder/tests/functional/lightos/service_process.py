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
"""One of Cinder's services, which can be told where to die.

Run as ``service_process.py SERVICE --config-file FILE``, where SERVICE is
``api``, which is the scheduler too, or the name of a backend. It prints one
JSON object when it serves.

A process that gets to the point whose name is in the file ``die`` of its
state path is gone at once, as with ``kill -9``.

No NVMe namespace is needed: a plain file for each volume, ``files/UUID`` below
the state path, stands for it, for hosts that the volume lets in and no others.
"""

# The demonstration patches the interpreter for eventlet before the rest.
from demo import cinder_process

import functools  # noqa: I100
import os
import pathlib
import signal
import sys
from typing import Any

from os_brick.initiator import connector
from os_brick.initiator.connectors.lightos import LightOSConnector
from oslo_config import cfg

from cinder import objects
objects.register_all()
from cinder.db import migration
from cinder.objects.volume import Volume
from cinder.volume.drivers.lightos import LightOSConnection
from cinder.volume.drivers.lightos import LightOSVolumeDriver
from cinder.volume import manager
from cinder.volume import rpcapi
from cinder.volume import volume_utils
from demo import rest

CONF = cfg.CONF
CONF.register_opts([
    cfg.ListOpt('simulators', default=[],
                help='The control interfaces of the clusters.'),
])
HOST_NQN = 'nqn.2014-08.org.nvmexpress:uuid:controller'


def properties_of_host(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return {'nqn': HOST_NQN, 'found_dsc': 'found', 'host': 'controller',
            'ip': '127.0.0.1', 'host_ips': ['192.0.2.9']}


def attach_file(self: LightOSConnector,
                connection_properties: dict[str, Any]) -> dict[str, str]:
    """Attach the file of a volume that lets this host in."""
    uuid = connection_properties['uuid']
    for control in CONF.simulators:
        for volume in rest.Api(control, {}).call('GET', '/state')['volumes']:
            if (volume['UUID'] == uuid and
                    HOST_NQN in volume['acl']['values']):
                path = pathlib.Path(CONF.state_path) / 'files' / uuid
                path.touch()
                return {'type': 'block', 'path': str(path)}
    raise RuntimeError(f'Volume {uuid} does not let in {HOST_NQN}.')


def detach_file(self: LightOSConnector, *args: Any, **kwargs: Any) -> None:
    pass


def is_attached(self: LightOSConnector, path: str,
                run_as_root: bool = True) -> bool:
    return os.path.exists(path)


def attach_files() -> None:
    """Have os-brick attach plain files for LightOS volumes."""
    # Those of all other protocols would ask for root's rights.
    connector.get_connector_properties = properties_of_host
    LightOSConnector.get_connector_properties = staticmethod(
        properties_of_host)
    LightOSConnector.connect_volume = attach_file
    LightOSConnector.disconnect_volume = detach_file
    LightOSConnector.check_valid_device = is_attached


def reach(point: str) -> None:
    """Die if this is the place to."""
    told = pathlib.Path(CONF.state_path) / 'die'
    if told.exists() and told.read_text() == point:
        told.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def mark(owner: Any, name: str, before: str = '', after: str = '') -> None:
    """Make the points before and after each call of a function.

    :param before: name of the point, a template for the named arguments
    """
    function = getattr(owner, name)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        reach(before % kwargs)
        result = function(*args, **kwargs)
        reach(after % kwargs)
        return result

    setattr(owner, name, call)


def mark_migration() -> None:
    """Make the points of a migration, in its order."""
    mark(rpcapi.VolumeAPI, 'create_volume', before='target recorded')
    mark(LightOSConnection, 'send_cmd', before='asking for %(cmd)s',
         after='answered to %(cmd)s')
    mark(volume_utils, 'copy_volume', before='attached', after='copied')
    mark(rpcapi.VolumeAPI, 'update_migrated_volume', before='completing')
    mark(LightOSVolumeDriver, 'update_migrated_volume', after='renamed')
    mark(manager.VolumeManager, 'update_migrated_volume',
         after='name recorded')
    mark_swap()
    mark(rpcapi.VolumeAPI, 'delete_volume', before='swapped',
         after='deletion asked for')
    mark(LightOSVolumeDriver, 'delete_volume', before='deleting',
         after='deleted')


def mark_swap() -> None:
    """Make a point between the two halves of the swap of the records."""
    swapping = []
    swap, save = Volume.finish_volume_migration, Volume.save

    def finish_volume_migration(self: Volume, dest_volume: Volume) -> Volume:
        reach('name answered')
        swapping.append(self.id)
        try:
            return swap(self, dest_volume)
        finally:
            swapping.remove(self.id)

    def save_and_perhaps_die(self: Volume) -> None:
        save(self)
        if self.id in swapping:
            reach('half swapped')

    Volume.finish_volume_migration = finish_volume_migration
    Volume.save = save_and_perhaps_die


def main() -> None:
    name, *arguments = sys.argv[1:]
    cinder_process.share_sqlite()
    cinder_process.prepare(arguments)
    attach_files()
    if name == 'api':
        migration.db_sync()
        cinder_process.serve(port=cinder_process.start_scheduler_and_api())
    mark_migration()
    cinder_process.start_volume_service(name)
    cinder_process.serve()


if __name__ == '__main__':
    main()
