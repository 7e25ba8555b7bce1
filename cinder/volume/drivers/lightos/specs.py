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
"""What a volume type asks of LightOS, as one value, validated once."""

from typing import Mapping, NamedTuple, Optional

from oslo_utils import strutils

from cinder import exception
from cinder.i18n import _
from cinder.objects.volume import Volume
from cinder.volume import configuration
from cinder.volume.drivers.lightos import identity

COMPRESSION_SPEC = 'compression'
REPLICAS_SPEC = 'lightos:num_replicas'
QOS_POLICY_SPEC = 'lightos:qos_policy'
SECTOR_SIZE_SPEC = 'lightos:sector_size'

# LightOS API: replicaCount of CreateVolume.
REPLICA_COUNTS = range(1, 4)
# LightOS API: sectorSize of CreateVolume, in bytes.
SECTOR_SIZES = (512, 4096)


class VolumeSpecs(NamedTuple):
    """What a new LightOS volume shall be, beside its name and size.

    :param sector_size: in bytes, None for what the cluster chooses
    """

    project: str
    replicas: int
    compression: bool
    qos_policy: Optional[str]
    sector_size: Optional[int] = None


def of_volume(volume: Volume,
              conf: configuration.Configuration) -> VolumeSpecs:
    """Read the type of a volume; what it leaves open, the options say.

    :raises: InvalidVolumeType when the type asks for what LightOS has not
    """
    specs = identity.extra_specs(volume)
    return VolumeSpecs(
        project=identity.type_project(volume),
        replicas=_replicas(specs, conf.lightos_default_num_replicas),
        compression=_compression(
            specs, conf.lightos_default_compression_enabled),
        qos_policy=specs.get(QOS_POLICY_SPEC) or None,
        sector_size=_sector_size(specs.get(SECTOR_SIZE_SPEC)))


def _replicas(specs: Mapping[str, str], default: int) -> int:
    asked = specs.get(REPLICAS_SPEC)
    if asked is None:
        return default
    try:
        replicas = int(asked)
    except ValueError:
        replicas = 0
    if replicas not in REPLICA_COUNTS:
        raise _invalid(REPLICAS_SPEC, asked, _('a number from 1 to 3'))
    return replicas


def _compression(specs: Mapping[str, str], default: bool) -> bool:
    asked = specs.get(COMPRESSION_SPEC)
    if asked is None:
        return default
    try:
        return strutils.bool_from_string(
            asked.replace('<is>', '').strip(), strict=True)
    except ValueError:
        raise _invalid(COMPRESSION_SPEC, asked,
                       _("'<is> True' or '<is> False'"))


def _sector_size(asked: Optional[str]) -> Optional[int]:
    if asked is None:
        return None
    for size in SECTOR_SIZES:
        if asked.strip() == str(size):
            return size
    raise _invalid(SECTOR_SIZE_SPEC, asked, _('512 or 4096'))


def _invalid(spec: str, asked: str,
             allowed: str) -> exception.InvalidVolumeType:
    return exception.InvalidVolumeType(
        reason=_('the extra spec %(spec)s must be %(allowed)s, not '
                 '%(asked)r') % {'spec': spec, 'allowed': allowed,
                                 'asked': asked})
