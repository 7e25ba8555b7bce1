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
"""The options of a LightOS backend section in cinder.conf."""

from oslo_config import cfg
from oslo_config import types

from cinder.volume import configuration

lightos_opts = [
    cfg.ListOpt(
        'lightos_api_address',
        item_type=types.HostAddress(),
        help='Addresses or host names of LightOS nodes, separated by commas. '
             'They are where the driver starts; it learns the current nodes '
             'from the cluster itself. Give two or more, so that the volume '
             'service can start while one of them is down.'),
    cfg.PortOpt(
        'lightos_api_port',
        default=443,
        help='TCP port of the LightOS management API on the addresses in '
             'lightos_api_address. The API is spoken over HTTPS on any port.'),
    cfg.StrOpt(
        'lightos_jwt',
        secret=True,
        help='The JWT with which the driver authenticates to the cluster. It '
             'expires and changing it here takes a restart of the volume '
             'service: lightos_jwt_file does not. Leave both unset for a '
             'cluster without multi-tenancy.'),
    cfg.StrOpt(
        'lightos_jwt_file',
        help='Path of a file that holds the JWT. It takes precedence over '
             'lightos_jwt and is read again whenever it changes, so that a '
             'token can be replaced while the volume service runs. The user '
             'of the volume service must be able to read it, and nobody '
             'else should.'),
    cfg.IntOpt(
        'lightos_default_num_replicas',
        min=1, max=3, default=3,
        help='Replicas of a new volume whose type does not set '
             'lightos:num_replicas.'),
    cfg.BoolOpt(
        'lightos_default_compression_enabled',
        default=False,
        help='Whether a new volume whose type does not set compression is '
             'compressed.'),
    cfg.IntOpt(
        'lightos_api_service_timeout',
        min=1, default=30,
        help='Seconds that one node has to answer one call before another '
             'node is asked. An operation may take three times as long and '
             '10 seconds more. What Cinder waits for, which is to attach, to '
             'detach, to accept a transfer and to end a migration, may take '
             'three quarters of rpc_response_timeout instead, and to read '
             'the statistics half of backend_stats_polling_interval.'),
    cfg.BoolOpt(
        'lightos_use_ipacl',
        default=True,
        help='Whether attaching a volume restricts it to the IP addresses of '
             'the host, beside its NQN. If disabled, any address that '
             'presents the NQN of an attached host is let in.'),
    cfg.ListOpt(
        'lightos_ipacl_networks',
        default=[],
        help='Networks in CIDR notation, separated by commas, that choose '
             'which addresses of a host are let in when lightos_use_ipacl is '
             'enabled. Set it to the storage networks of hosts that have '
             'many addresses: a volume can hold 16 at the most. Empty means '
             'all addresses but link-local, loopback and multicast ones.'),
    cfg.IntOpt(
        'lightos_api_service_snapshots_max_calls',
        min=1, default=5,
        help='How many times the creation of a snapshot is requested from '
             'the cluster at the most. A cluster may turn a request down '
             'while it makes another snapshot of the same volume.'),
]

CONF = cfg.CONF
CONF.register_opts(lightos_opts, group=configuration.SHARED_CONF_GROUP)
