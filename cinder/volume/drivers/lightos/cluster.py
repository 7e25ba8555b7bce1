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
"""What is known of the cluster: its nodes for hosts, and its capacity."""

from typing import Any, Optional

from oslo_log import log as logging

from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder.volume.drivers.lightos import connection
from cinder.volume.drivers.lightos import endpoints
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies

LOG = logging.getLogger(__name__)

# The part of an operation's time that may go into asking once more.
_REFRESH_SHARE = 0.2


def refresh(op: operation.Operation,
            known: connection.LightOSConnection) -> replies.ClusterInfo:
    """Ask the cluster for its endpoints and remember them.

    :raises: LightOSRefused, LightOSNotSeen, LightOSError,
        LightOSWrongCluster
    """
    info = op.read('get_cluster_info', replies.ClusterInfo.parse)
    if info is None:
        raise op.failed('the API has no clusterinfo')
    known.learn(info, 'the LightOS API')
    if not info.discovery_endpoints:
        # LightOS API, "Attaching": each node has a discovery service.
        nodes = op.read('get_nodes', replies.parse_node_endpoints) or ()
        known.learn_discovery(tuple(
            node._replace(port=connection.DISCOVERY_PORT)
            for node in map(_parse, nodes) if node))
    return info


def check_replicas(op: operation.Operation,
                   known: connection.LightOSConnection, asked: int) -> None:
    """Refuse replicas that the cluster cannot hold now.

    What was known before is asked anew before it hinders anything.

    :raises: LightOSError
    """
    if known.max_replicas is None or asked <= known.max_replicas:
        return
    try:
        refresh(op.within(op.deadline.earlier(_REFRESH_SHARE)), known)
    except cinder_exception.CinderException as exc:
        LOG.debug('Leaving it to the LightOS cluster whether it can hold '
                  '%(asked)d replicas: %(why)s', {'asked': asked, 'why': exc})
        return
    if asked > known.max_replicas:
        raise op.failed(
            _('its type or lightos_default_num_replicas asks for %(asked)d '
              'replicas, and the cluster can hold %(most)d of a volume now')
            % {'asked': asked, 'most': known.max_replicas})


def discovery_targets(
        known: connection.LightOSConnection) -> dict[str, dict[str, Any]]:
    """The discovery services as os-brick's LIGHTOS connector takes them."""
    return {node.host: {'target_portal': node.host,
                        'target_port': node.port,
                        'transport_type': 'tcp'}
            for node in known.discovery_endpoints}


def _parse(text: str) -> Optional[endpoints.Address]:
    return endpoints.Address.parse(text, connection.DISCOVERY_PORT)
