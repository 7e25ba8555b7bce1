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

import re
from typing import Any, Mapping, NamedTuple, Optional

from oslo_log import log as logging
from oslo_utils import strutils

from cinder import exception
from cinder.i18n import _
from cinder.objects.volume import Volume
from cinder.objects.volume_type import VolumeType
from cinder.volume import configuration
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import replies
from cinder.volume import volume_types

LOG = logging.getLogger(__name__)

COMPRESSION_SPEC = 'compression'
REPLICAS_SPEC = 'lightos:num_replicas'
QOS_POLICY_SPEC = 'lightos:qos_policy'
SECTOR_SIZE_SPEC = 'lightos:sector_size'
_KNOWN = (REPLICAS_SPEC, identity.PROJECT_SPEC, QOS_POLICY_SPEC,
          SECTOR_SIZE_SPEC)

# LightOS API: replicaCount of CreateVolume.
REPLICA_COUNTS = range(1, 4)
# LightOS API: sectorSize of CreateVolume, in bytes.
SECTOR_SIZES = (512, 4096)

# Keys of Cinder's QoS specs -> kind of limit and whether it is of reads.
QOS_KEYS: Mapping[str, tuple[str, str]] = {
    'lightos:%s_%s' % (direction, kind): (kind, direction)
    for kind in replies.LIMIT_KINDS for direction in ('read', 'write')}
# LightOS API: IOPS are limited in steps of 256; fields are of 32 bits.
IOPS_STEP = 256
_MOST = 2 ** 32 - 1

# Why a volume type cannot be read: it is gone, or asks for what LightOS has
# not. Its QoS specs may have come to that under volumes that have it.
UNREADABLE = (exception.VolumeTypeNotFound, exception.InvalidVolumeType,
              exception.InvalidQoSSpecs)

_OURS = 'lightos:'
_NUMBER = re.compile(r'[0-9]{1,10}')


class VolumeSpecs(NamedTuple):
    """What a new LightOS volume shall be, beside its name and size.

    :param qos_policy: UUID or name of a QoS policy
    :param qos_limits: what a QoS policy shall limit; never both
    :param sector_size: in bytes, None for what the cluster chooses
    """

    project: str
    replicas: int
    compression: bool
    qos_policy: Optional[str]
    qos_limits: Optional[replies.Limits] = None
    sector_size: Optional[int] = None


class Asked(NamedTuple):
    """What a volume type says; None is what it leaves open."""

    project: Optional[str]
    replicas: Optional[int]
    compression: Optional[bool]
    qos_policy: Optional[str]
    qos_limits: Optional[replies.Limits]
    sector_size: Optional[int]

    def filled(self, conf: configuration.Configuration) -> VolumeSpecs:
        """What the options say where the type leaves it open."""
        return VolumeSpecs(
            project=self.project or identity.LIGHTOS_DEFAULT_PROJECT_NAME,
            replicas=conf.lightos_default_num_replicas
            if self.replicas is None else self.replicas,
            compression=conf.lightos_default_compression_enabled
            if self.compression is None else self.compression,
            qos_policy=self.qos_policy,
            qos_limits=self.qos_limits,
            sector_size=self.sector_size)


def of_volume(volume: Volume,
              conf: configuration.Configuration) -> VolumeSpecs:
    """Read the type of a volume; what it leaves open, the options say.

    :raises: InvalidVolumeType, InvalidQoSSpecs when the type asks for what
        LightOS has not
    """
    return asked_by(volume).filled(conf)


def asked_by(volume: Volume) -> Asked:
    """Read the type of a volume.

    :raises: as ``of_volume``
    """
    return read(identity.extra_specs(volume), _qos_specs(volume))


def read(extra_specs: Mapping[str, str],
         qos_specs: Mapping[str, str]) -> Asked:
    """Read what a volume type consists of.

    :param qos_specs: its QoS specs with their ``consumer`` among them
    :raises: as ``of_volume``
    """
    asked = Asked(
        project=identity.project_of(extra_specs)
        if identity.PROJECT_SPEC in extra_specs else None,
        replicas=_replicas(extra_specs.get(REPLICAS_SPEC)),
        compression=_compression(extra_specs.get(COMPRESSION_SPEC)),
        qos_policy=_qos_policy(extra_specs.get(QOS_POLICY_SPEC)),
        qos_limits=_limits(qos_specs),
        sector_size=_sector_size(extra_specs.get(SECTOR_SIZE_SPEC)))
    if asked.qos_policy and asked.qos_limits:
        raise exception.InvalidVolumeType(
            reason=_('it has the extra spec %(spec)s and QoS specs with '
                     '%(prefix)s keys: LightOS puts a volume under one QoS '
                     'policy') % {'spec': QOS_POLICY_SPEC, 'prefix': _OURS})
    return asked


def warn_of_unknown(volume: Volume) -> None:
    """Log what the type of a volume asks for in vain.

    It is not refused: types of older releases may have such extra specs.
    """
    unknown = [key for key in sorted(identity.extra_specs(volume))
               if key.startswith(_OURS) and key not in _KNOWN]
    if unknown:
        LOG.warning('The type of volume %(id)s has the extra specs '
                    '%(unknown)s, which say nothing to this driver: it knows '
                    '%(known)s.', {
                        'id': volume.id, 'unknown': ', '.join(unknown),
                        'known': ', '.join(_KNOWN)})


def _qos_specs(volume: Volume) -> Mapping[str, str]:
    volume_type: Optional[VolumeType] = volume.volume_type
    if volume_type is None or not volume_type.qos_specs_id:
        return {}
    # Not by the type's own attribute, which only an administrator can load.
    found: Mapping[str, Any] = volume_types.get_volume_type_qos_specs(
        volume_type.id)['qos_specs'] or {}
    return {**found.get('specs', {}), 'consumer': found.get('consumer', '')}


def _replicas(asked: Optional[str]) -> Optional[int]:
    if asked is None:
        return None
    replicas = None
    try:
        replicas = int(asked)
    except ValueError:
        pass  # refused as any other number that is none of these
    if replicas not in REPLICA_COUNTS:
        raise _invalid(REPLICAS_SPEC, asked, _('a number from 1 to 3'))
    return replicas


def _compression(asked: Optional[str]) -> Optional[bool]:
    if asked is None:
        return None
    try:
        return strutils.bool_from_string(
            asked.replace('<is>', '').strip(), strict=True)
    except ValueError:
        raise _invalid(COMPRESSION_SPEC, asked,
                       _("'<is> True' or '<is> False'"))


def _qos_policy(asked: Optional[str]) -> Optional[str]:
    if not asked:
        return None
    if asked in ('.', '..') or not asked.isprintable():
        raise _invalid(QOS_POLICY_SPEC, asked,
                       _('the name or the UUID of a QoS policy'))
    return asked


def _sector_size(asked: Optional[str]) -> Optional[int]:
    if asked is None:
        return None
    for size in SECTOR_SIZES:
        if asked.strip() == str(size):
            return size
    raise _invalid(SECTOR_SIZE_SPEC, asked, _('512 or 4096'))


def _limits(specs: Mapping[str, str]) -> Optional[replies.Limits]:
    """The limits that QoS specs ask of the back end.

    LightOS takes limits of one kind; what it cannot express is refused and
    not rounded.
    """
    if specs.get('consumer') not in ('back-end', 'both'):
        return None
    kinds: dict[str, dict[str, int]] = {}
    for key, value in sorted(specs.items()):
        if key in QOS_KEYS:
            kind, direction = QOS_KEYS[key]
            kinds.setdefault(kind, {})[direction] = _limit(key, value)
        elif key.startswith(_OURS):
            raise exception.InvalidQoSSpecs(
                reason=_('LightOS has no %(key)s, only %(keys)s')
                % {'key': key, 'keys': ', '.join(QOS_KEYS)})
        elif key != 'consumer' and specs['consumer'] == 'back-end':
            LOG.warning('The QoS spec %s is for the back end, and LightOS '
                        'does not know it: it limits nothing.', key)
    limited = [kind for kind, limits in kinds.items() if any(limits.values())]
    if len(limited) > 1:
        raise exception.InvalidQoSSpecs(
            reason=_('a LightOS volume is limited in one of IOPS, MB/s and '
                     'IOPS per GB, and these QoS specs limit %d of them')
            % len(limited))
    for kind in limited or kinds:
        return replies.Limits(kind, kinds[kind].get('read', 0),
                              kinds[kind].get('write', 0))
    return None


def _limit(key: str, value: str) -> int:
    step, allowed = 1, _('a whole number')
    if QOS_KEYS[key][0] == 'iops':
        step, allowed = IOPS_STEP, _('a multiple of %d') % IOPS_STEP
    if (_NUMBER.fullmatch(value) is None or int(value) > _MOST or
            int(value) % step):
        raise exception.InvalidQoSSpecs(
            reason=_('%(key)s must be %(allowed)s from 0, which is '
                     'unlimited, to %(most)d, not %(value)r')
            % {'key': key, 'allowed': allowed, 'most': _MOST,
               'value': value})
    return int(value)


def _invalid(spec: str, asked: str,
             allowed: str) -> exception.InvalidVolumeType:
    return exception.InvalidVolumeType(
        reason=_('the extra spec %(spec)s must be %(allowed)s, not '
                 '%(asked)r') % {'spec': spec, 'allowed': allowed,
                                 'asked': asked})
