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
"""Measure what lightos-audit costs with many volumes.

    audit_scale.py [--volumes 50000] [--snapshots 5000] [--findings 0]

A simulated cluster and a Cinder database (SQLite) are filled in bulk, a tenth
of the volumes attached; then the console script is run on them. What is
printed is what was measured: seconds, the most memory it had, and its
requests to the cluster. The environment has to be one that overlay.py has
linked.
"""

import argparse
import collections
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import time
from typing import Any
import uuid

TREE = pathlib.Path(__file__).resolve().parent.parent
# As a part of Cinder's package it would switch this process to eventlet.
sys.path[:0] = [str(TREE), str(TREE / 'cinder/tests/functional/lightos')]

import processes  # type: ignore[import-not-found]  # noqa: E402

from lightos_simulator import records  # noqa: E402

GIB = 1024 ** 3
NQN = 'nqn.2014-08.org.nvmexpress:uuid:host-%d'
HOST = 'controller@lightos#lightos'
AUDIT = [sys.executable, '-W', 'ignore', '-m',
         'cinder.volume.drivers.lightos.audit']
# Run with --config-file; makes the tables.
SCHEMA = '''
import sys
from oslo_config import cfg
from cinder.common import config
from cinder.db import migration
from cinder import objects
objects.register_all()
cfg.CONF(sys.argv[1:], project='cinder')
migration.db_sync()
'''


def row_of(number: int) -> tuple[str, str, bool]:
    """The id, the cluster's UUID and whether it is attached, of a volume."""
    return (str(uuid.UUID(int=number + (1 << 96))),
            str(uuid.UUID(int=number + (2 << 96))), number % 10 == 0)


def fill_cluster(path: pathlib.Path, count: int, snapshots: int) -> None:
    """Put volumes and snapshots into the simulator's state file."""
    content = json.loads(path.read_text())
    state = content['cluster']
    nodes = tuple(node['uuid'] for node in state['nodes'])
    for number in range(count):
        volume_id, unique, attached = row_of(number)
        acl, ip_acl = ('ALLOW_NONE',), ('ALLOW_NONE',)
        if attached:
            acl, ip_acl = (NQN % (number % 500),), ('192.0.2.1',)
        state['volumes'].append(vars(records.Volume(
            unique, f'volume-{volume_id}', 'default', 'Available',
            etag=number, size=GIB, replicas=3, nodes=nodes, nsid=number + 1,
            acl=acl, ip_acl=ip_acl, protection='FullyProtected',
            labels=(('cinder_volume_id', volume_id),
                    ('openstack_project_id', uuid.UUID(int=1).hex),
                    ('cinder_volume_type', str(uuid.UUID(int=2))),
                    ('cinder_backend', 'controller_lightos')))))
    for number in range(snapshots):
        volume_id, unique, _attached = row_of(number)
        state['snapshots'].append(vars(records.Snapshot(
            str(uuid.UUID(int=number + (3 << 96))),
            f'snapshot-{uuid.UUID(int=number + (4 << 96))}', 'default',
            'Available', etag=number, size=GIB, replicas=3, nodes=nodes,
            volume_uuid=unique, volume_name=f'volume-{volume_id}')))
    path.write_text(json.dumps(content))


def fill_database(path: pathlib.Path, count: int, snapshots: int) -> None:
    """Put the records of the same into Cinder's database."""
    database = sqlite3.connect(path)
    (type_id,), = database.execute('SELECT id FROM volume_types')

    def insert(table: str, rows: list[dict[str, Any]]) -> None:
        if rows:
            names = ', '.join(rows[0])
            database.executemany(
                f'INSERT INTO {table} ({names}) VALUES '
                f'({", ".join("?" * len(rows[0]))})',
                [tuple(row.values()) for row in rows])

    now = '2026-01-01 00:00:00.000000'
    volumes, attachments = [], []
    for number in range(count):
        volume_id, unique, attached = row_of(number)
        volumes.append({
            'id': volume_id, 'created_at': now, 'updated_at': now,
            'deleted': 0, 'size': 1, 'host': HOST, 'use_quota': 1,
            'status': 'in-use' if attached else 'available',
            'attach_status': 'attached' if attached else 'detached',
            'volume_type_id': type_id, 'user_id': 'u', 'project_id': 'p',
            'provider_id': f'default {unique}'})
        if attached:
            attachments.append({
                'id': str(uuid.uuid4()), 'created_at': now, 'deleted': 0,
                'volume_id': volume_id, 'attach_status': 'attached',
                'connector': json.dumps({
                    'nqn': NQN % (number % 500), 'host': 'host',
                    'host_ips': ['192.0.2.1'], 'found_dsc': 'found'})})
    insert('volumes', volumes)
    insert('volume_attachment', attachments)
    insert('snapshots', [{
        'id': str(uuid.UUID(int=number + (4 << 96))), 'created_at': now,
        'updated_at': now, 'deleted': 0, 'volume_id': row_of(number)[0],
        'volume_type_id': type_id, 'use_quota': 1, 'status': 'available',
        'volume_size': 1, 'user_id': 'u', 'project_id': 'p',
        'provider_id': f'default {uuid.UUID(int=number + (3 << 96))}'}
        for number in range(snapshots)])
    database.commit()
    database.close()


def configure(directory: pathlib.Path, told: Any) -> pathlib.Path:
    """Write cinder.conf."""
    path = directory / 'cinder.conf'
    path.write_text(f'''\
[DEFAULT]
host = controller
enabled_backends = lightos
state_path = {directory}
[database]
connection = sqlite:///{directory}/cinder.sqlite
[lightos]
volume_driver = cinder.volume.drivers.lightos.LightOSVolumeDriver
lightos_api_address = {','.join(told['addresses'])}
lightos_api_port = {told['port']}
lightos_jwt_file = {told['tokens']['cluster-admin']}
driver_ssl_cert_verify = true
driver_ssl_cert_path = {told['ca_file']}
''')
    return path


def run(arguments: list[str]) -> tuple[dict[str, Any], float, int]:
    """Run the audit: its report, seconds, and KiB at the most."""
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        process = subprocess.Popen(arguments, stdout=output)
        _pid, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        return json.load(output), seconds, usage.ru_maxrss


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('--volumes', type=int, default=50000)
    parser.add_argument('--snapshots', type=int, default=5000)
    parser.add_argument('--findings', type=int, default=0, help='volumes '
                        'that the cluster has not, and as many orphans')
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='lightos-audit-') as name:
        directory = pathlib.Path(name)
        state = directory / 'state.json'
        processes.Simulator('--state-file', str(state)).end()
        fill_cluster(state, given.volumes, given.snapshots)
        simulator = processes.Simulator('--state-file', str(state))
        try:
            conf = configure(directory, simulator.told)
            subprocess.run([sys.executable, '-W', 'ignore', '-c', SCHEMA,
                            '--config-file', str(conf)], check=True)
            fill_database(directory / 'cinder.sqlite', given.volumes,
                          given.snapshots)
            if given.findings:
                # Each is a volume that is missing and an orphan.
                database = sqlite3.connect(directory / 'cinder.sqlite')
                database.execute(
                    "UPDATE volumes SET provider_id = 'default ' || id, "
                    "id = substr(id, 1, 8) || '-1111-4111-8111-' || "
                    "substr(id, 25) WHERE id IN (SELECT id FROM volumes "
                    "WHERE status = 'available' AND id NOT IN "
                    "(SELECT volume_id FROM snapshots) LIMIT ?)",
                    (given.findings,))
                database.commit()
                database.close()
            before = len(simulator.requests())
            report, seconds, memory = run(
                [*AUDIT, '--config-file', str(conf), '--format', 'json'])
            asked = collections.Counter(
                request['operation']
                for request in simulator.requests()[before:])
        finally:
            simulator.end()
    print(json.dumps({
        'volumes': given.volumes, 'snapshots': given.snapshots,
        'seconds': round(seconds, 1), 'MiB': memory // 1024,
        'requests': asked, 'status': report['status'],
        'summary': {kind: count for kind, count in report['summary'].items()
                    if count}, 'errors': report['errors']}))


if __name__ == '__main__':
    main()
