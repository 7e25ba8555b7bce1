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
"""Nova's volume driver for LightOS on this host: a program.

It runs with the Python of an environment that has Nova. It reads one command
a line from stdin, a JSON object, and answers each with a line of JSON.
"""

import json
import sys
import unittest.mock

from nova import config
config.parse_args(['nova', '--config-file', sys.argv[1]])  # noqa: E402
from nova.virt.libvirt.volume import lightos
from nova.volume import cinder
import os_brick
from os_brick.initiator import connector
import os_brick.privileged
from oslo_config import cfg

os_brick.setup(cfg.CONF)
# This is root: what needs root's rights can be done here.
os_brick.privileged.default.set_client_mode(False)


class Program:
    """The commands; the attachments are what Cinder's API gives."""

    def __init__(self):
        # The connection to libvirt: attaching to this host does not use it.
        self._driver = lightos.LibvirtLightOSVolumeDriver(
            unittest.mock.NonCallableMock(spec=()))
        self._infos = {}

    def connector(self):
        return connector.get_connector_properties(
            root_helper='', my_ip='127.0.0.1', multipath=False,
            enforce_multipath=False)

    def connect(self, attachment):
        """Attach as Nova does; return the guest's disk as libvirt has it."""
        cinder._translate_attachment_ref(attachment)
        connection_info = attachment['connection_info']
        self._infos[connection_info['data']['uuid']] = connection_info
        self._driver.connect_volume(connection_info, None)
        config = self._driver.get_config(connection_info, {
            'bus': 'virtio', 'dev': 'vda', 'type': 'disk'})
        return {'source': config.source_path, 'type': config.source_type}

    def disconnect(self, uuid):
        self._driver.disconnect_volume(self._infos.pop(uuid), None)


def main():
    program = Program()
    for line in sys.stdin:
        command = json.loads(line)
        value = getattr(program, command.pop('do'))(**command)
        sys.stdout.write(json.dumps({'value': value}) + '\n')
        sys.stdout.flush()


if __name__ == '__main__':
    main()
