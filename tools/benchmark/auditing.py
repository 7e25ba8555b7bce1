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
"""What an audit of the cluster against Cinder's database takes."""

import os
import pathlib
import sqlite3
import subprocess
import sys
import time
from typing import Any

# What the console script lightos-audit does.
PROGRAM = '''\
import sys
from cinder import objects
objects.register_all()
from cinder.volume.drivers.lightos import audit
sys.exit(audit.main())
'''
HOST = 'controller@lightos#lightos'
CONFIGURATION = '''\
[DEFAULT]
host = controller
enabled_backends = lightos

[database]
connection = sqlite:///{database}

[lightos]
volume_driver = cinder.volume.drivers.lightos.LightOSVolumeDriver
lightos_api_address = {addresses}
lightos_api_port = {port}
lightos_jwt_file = {token}
lightos_default_num_replicas = 1
driver_ssl_cert_verify = true
driver_ssl_cert_path = {certificate}
'''


def prepare(directory: pathlib.Path, simulator: Any) -> pathlib.Path:
    """Have Cinder know every volume of a cluster.

    :param directory: for the database and cinder.conf; one above it is an
        empty database
    :returns: cinder.conf
    """
    directory.mkdir()
    database = directory / 'cinder.sqlite'
    database.write_bytes((directory.parent / 'cinder.sqlite').read_bytes())
    volumes = simulator.control('GET', '/state')['volumes']
    with sqlite3.connect(database) as connection:
        (volume_type,), = connection.execute(
            'SELECT id FROM volume_types LIMIT 1')
        connection.executemany(
            'INSERT INTO volumes (id, size, host, status, attach_status, '
            'volume_type_id, provider_id, use_quota, deleted, multiattach) '
            "VALUES (?, 1, ?, 'available', 'detached', ?, ?, 1, 0, 0)",
            [(volume['name'].partition('-')[2], HOST, volume_type,
              'default ' + volume['UUID']) for volume in volumes])
    connection.close()
    told = simulator.told
    configuration = directory / 'cinder.conf'
    configuration.write_text(CONFIGURATION.format(
        database=database, addresses=','.join(told['addresses']),
        port=told['port'], token=told['tokens']['cluster-admin'],
        certificate=told['ca_file']))
    return configuration


def measure(configuration: pathlib.Path) -> dict[str, Any]:
    """Audit once, in a process of its own.

    :returns: ``status`` 0 if the audit found nothing, seconds and the most
        memory in bytes that the process had
    """
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, '-W', 'ignore', '-c', PROGRAM, '--settle', '0',
         '--config-file', str(configuration)],
        stdout=subprocess.DEVNULL)
    _pid, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {'seconds': time.monotonic() - began,
            'cpu': used.ru_utime + used.ru_stime,
            'status': process.returncode, 'memory': used.ru_maxrss * 1024}
