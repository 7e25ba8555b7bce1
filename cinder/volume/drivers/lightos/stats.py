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
"""What the scheduler is told of the backend."""

from typing import Any, Optional

from oslo_log import log as logging
from oslo_utils import units

from cinder.common import constants
from cinder import exception as cinder_exception
from cinder.volume import configuration
from cinder.volume.drivers.lightos import cluster
from cinder.volume.drivers.lightos import connection
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import specs

LOG = logging.getLogger(__name__)

UNKNOWN_CAPACITY = 'infinite'
UNKNOWN_HEALTH = 'unknown'


class Statistics:
    """The figures of one backend, and what they were when last seen.

    :param conf: the backend's configuration
    :param driver_version: the version to report
    """

    def __init__(self, conf: configuration.Configuration,
                 driver_version: str) -> None:
        self._conf = conf
        self._driver_version = driver_version
        self._capacity: Optional[replies.Capacity] = None
        self._health: Optional[str] = None
        self._trouble = ''

    def collect(self, op: operation.Operation,
                known: connection.LightOSConnection) -> dict[str, Any]:
        """Read the figures from the cluster; it never raises."""
        try:
            cluster.refresh(op, known)
        except Exception as exc:
            self._note(str(exc))
            return {**self._fixed(), 'backend_state': 'down',
                    'total_capacity_gb': 0, 'free_capacity_gb': 0}
        self._note('')
        self._read_capacity(op)
        return {**self._fixed(), 'backend_state': 'up', **self._figures(),
                'lightos_health': self._health or UNKNOWN_HEALTH,
                # Where it is not known the cluster decides at create.
                'lightos_max_replicas':
                    known.max_replicas or specs.REPLICA_COUNTS[-1]}

    def _read_capacity(self, op: operation.Operation) -> None:
        # Unlike figures, an old state of health is worth nothing.
        self._health = None
        try:
            capacity = op.read('get_cluster', replies.Capacity.parse)
        except cinder_exception.CinderException as exc:
            # Only a cluster-admin may know the capacity.
            LOG.debug('The capacity of the LightOS cluster is not known: %s',
                      exc)
        except Exception:
            LOG.exception('Could not read the capacity of the LightOS '
                          'cluster.')
        else:
            if capacity:
                self._capacity, self._health = capacity, capacity.health

    def _fixed(self) -> dict[str, Any]:
        return {
            'vendor_name': 'LightOS Storage',
            'volume_backend_name':
                self._conf.safe_get('volume_backend_name') or
                'LightOSVolumeDriver',
            'driver_version': self._driver_version,
            'storage_protocol': constants.LIGHTOS,
            'reserved_percentage':
                self._conf.safe_get('reserved_percentage'),
            'max_over_subscription_ratio':
                self._conf.safe_get('max_over_subscription_ratio'),
            'thin_provisioning_support': True,
            'thick_provisioning_support': False,
            'compression': [True, False],
            'multiattach': True,
            'online_extend_support': True,
            'sparse_copy_volume': True,
            'QoS_support': True,
        }

    def _figures(self) -> dict[str, Any]:
        if self._capacity is None:
            return {'total_capacity_gb': UNKNOWN_CAPACITY,
                    'free_capacity_gb': UNKNOWN_CAPACITY}
        figures = {'total_capacity_gb': _gib(self._capacity.total),
                   'free_capacity_gb': _gib(self._capacity.free)}
        if self._capacity.provisioned is not None:
            figures['provisioned_capacity_gb'] = _gib(
                self._capacity.provisioned)
        if self._capacity.compression_ratio is not None:
            figures['lightos_compression_ratio'] = round(
                self._capacity.compression_ratio, 2)
        return figures

    def _note(self, trouble: str) -> None:
        """Log the backend's going down and coming back once each."""
        if trouble and not self._trouble:
            LOG.error('The LightOS backend is reported down: %s', trouble)
        elif self._trouble and not trouble:
            LOG.info('The LightOS backend is up again.')
        self._trouble = trouble


def _gib(size: int) -> float:
    return round(size / units.Gi, 2)
