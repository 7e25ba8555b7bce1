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
"""The simulator and the one Cinder: their configuration and their start."""

import configparser
import os
from typing import Mapping, Sequence, Union

from demo import arguments
from demo import cluster
from demo import environment
from demo import layout
from demo import processes

BACKEND = 'lightos'
# Seconds for a service to be ready. The first start compiles its modules.
START_TIME = 120
# Seconds that the simulated cluster works on each request after answering.
WORK_TIME = 0.2


Sections = Mapping[str, Mapping[str, Union[str, os.PathLike[str], int]]]


def start_simulator(where: layout.Layout, started: processes.Processes,
                    name: str = 'simulator',
                    options: Sequence[str] = ()) -> cluster.Simulator:
    """Start the simulator and return when it serves.

    :param name: of its log and, among several, of its directory
    :param options: of its command line, more than all simulators have
    """
    service = started.serve(
        name,
        [str(where.python), '-m', 'lightos_simulator',
         '--directory', str(where.run / f'{name}.cluster'),
         '--work-time', str(WORK_TIME), *options],
        arguments.TREE, environment.clean_variables(), START_TIME)
    return cluster.Simulator(service.told)


def start_cinder(where: layout.Layout, started: processes.Processes,
                 backends: Mapping[str, cluster.Address],
                 more: Sections = {}, options: Sequence[str] = (),
                 variables: Mapping[str, str] = {}) -> str:
    """Start Cinder; return the URL of its API.

    :param backends: the cluster of each
    :param more: of its configuration
    :param options: of the program, beside its configuration file
    :param variables: of its environment, beside the usual ones
    """
    configure(where, backends, more)
    service = started.serve(
        'cinder',
        [str(where.python), '-m', 'demo.cinder_process',
         '--config-file', str(where.run / 'cinder.conf'), *options],
        where.run, {**cinder_variables(), **variables}, START_TIME)
    return f'http://127.0.0.1:{service.told["port"]}/v3'


def configure(where: layout.Layout, backends: Mapping[str, cluster.Address],
              more: Sections = {}) -> None:
    """Write the files that Cinder's services read.

    :param backends: the cluster of each
    :param more: of the configuration
    """
    write_conf(where.run / 'cinder.conf',
               merged(_cinder_conf(where, backends), more))
    # Cinder's own paste file stays as it is, behind a filter.
    paste = where.environment / 'etc' / 'cinder' / 'api-paste.ini'
    write_conf(where.run / 'api-paste.ini', {'filter-app:osapi_volume': {
        'paste.filter_factory': 'demo.cinder_process:one_user',
        'next': f'config:{paste}#osapi_volume'}})


def merged(sections: Sections, more: Sections) -> Sections:
    """Return all of them; what both have is as in the second."""
    return {name: {**sections.get(name, {}), **more.get(name, {})}
            for name in [*sections, *more]}


def cinder_variables() -> dict[str, str]:
    """The environment variables of a program that imports the demo's."""
    return {**environment.clean_variables(),
            'PYTHONPATH': str(arguments.TREE / 'tools')}


def _backend(name: str, address: cluster.Address
             ) -> Mapping[str, Union[str, os.PathLike[str], int]]:
    backend: dict[str, Union[str, os.PathLike[str], int]] = {
        'volume_backend_name': name,
        'volume_driver': 'cinder.volume.drivers.lightos.LightOSVolumeDriver',
        'lightos_api_address': ','.join(address.addresses),
        'lightos_api_port': address.port,
        'lightos_default_num_replicas': address.replicas,
        'driver_ssl_cert_verify': str(address.ca_file is not None)}
    if address.jwt_file:
        backend['lightos_jwt_file'] = address.jwt_file
    if address.ca_file:
        backend['driver_ssl_cert_path'] = address.ca_file
    return backend


def _cinder_conf(where: layout.Layout,
                 backends: Mapping[str, cluster.Address]) -> Sections:
    of_cinder = where.environment / 'etc' / 'cinder'
    return {
        'DEFAULT': {
            'host': 'demo',
            'my_ip': '127.0.0.1',
            'state_path': where.run,
            'use_stderr': 'True',
            'transport_url': 'fake://',
            'auth_strategy': 'noauth',
            'enabled_backends': ','.join(backends),
            'api_paste_config': where.run / 'api-paste.ini',
            'resource_query_filters_file':
                of_cinder / 'resource_filters.json',
            'rootwrap_config': of_cinder / 'rootwrap.conf',
            'osapi_volume_listen': '127.0.0.1',
            'osapi_volume_listen_port': 0,
            'periodic_fuzzy_delay': 0},
        'database': {
            'connection': f'sqlite:///{where.run / "cinder.sqlite"}'},
        'coordination': {
            'backend_url': f'file://{where.run / "coordination"}'},
        'oslo_concurrency': {'lock_path': where.run / 'locks'},
        'oslo_messaging_notifications': {'driver': 'noop'},
        **{name: _backend(name, address)
           for name, address in backends.items()}}


def write_conf(path: os.PathLike[str], sections: Sections) -> None:
    """Write a configuration file."""
    # A percent sign in a path means nothing to Cinder.
    parser = configparser.RawConfigParser()
    for name, options in sections.items():
        parser[name] = {key: str(value) for key, value in options.items()}
    with open(path, 'w') as file:
        parser.write(file)
