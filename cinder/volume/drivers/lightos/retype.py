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
"""Giving a volume another type in place."""

from typing import Any, Mapping, NamedTuple, Optional

from oslo_log import log as logging

from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder.volume import configuration
from cinder.volume.drivers.lightos import changes
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import qos
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import specs

LOG = logging.getLogger(__name__)

# The part of a retype's time that is kept for undoing it.
_UNDO_SHARE = 0.2


class Wanted(NamedTuple):
    """What a volume shall be by its new type; None is as it is.

    :param qos: what the new type says of a QoS policy
    """

    project: Optional[str]
    replicas: Optional[int]
    sector_size: Optional[int]
    compression: Optional[bool]
    qos: Optional[specs.VolumeSpecs]

    def hinders(self, found: lookup.Found) -> str:
        """What about a volume cannot be changed in place; or empty."""
        if self.project not in (None, found.project):
            return _('it is in LightOS project %s') % found.project
        if self.replicas not in (None, found.volume.replicas):
            return _('it has %s replicas') % found.volume.replicas
        if self.sector_size not in (None, found.volume.sector_size):
            return _('it has sectors of %s bytes') % found.volume.sector_size
        return ''


def wanted(diff: Mapping[str, Any],
           conf: configuration.Configuration) -> Optional[Wanted]:
    """What the types differ in, as far as it says anything to LightOS.

    Two types may spell one thing differently, or one leave open what the
    options say. A volume may differ from its type if the options were
    changed since, or if it was taken in as it was: so what differs only
    counts after a look at the volume.

    :param diff: as ``volume_types_diff`` has it: for each part of a type
        the key -> (old, new), None where a type does not have it
    :returns: None if it takes a migration in any case
    :raises: InvalidVolumeType, InvalidQoSSpecs when the new type asks for
        what LightOS has not
    """
    extra_specs, qos_specs = (diff.get(part) or {}
                              for part in ('extra_specs', 'qos_specs'))
    if _differing(diff.get('encryption') or {}) or (
            _differing(qos_specs) and 'consumer' not in qos_specs):
        # Of QoS specs without one it is not known whom they are for.
        return None
    new = specs.read(_half(extra_specs, 1),
                     _half(qos_specs, 1)).filled(conf)
    differing = _differing(extra_specs)
    limits = _limits_before(qos_specs)
    qos_differs = (specs.QOS_POLICY_SPEC in differing or
                   limits != new.qos_limits)
    if qos_differs and not (new.qos_policy or new.qos_limits):
        had = extra_specs.get(specs.QOS_POLICY_SPEC, (None,))[0] or limits
        if had:
            # The API cannot take a volume from under a policy.
            return None
        qos_differs = False
    return Wanted(
        project=new.project if identity.PROJECT_SPEC in differing else None,
        replicas=new.replicas if specs.REPLICAS_SPEC in differing else None,
        sector_size=new.sector_size
        if specs.SECTOR_SIZE_SPEC in differing else None,
        compression=new.compression
        if specs.COMPRESSION_SPEC in differing else None,
        qos=new if qos_differs else None)


def retype(op: operation.Operation, sought: identity.VolumeIdentity,
           what: Wanted, policies: qos.Policies) -> bool:
    """Make a volume what its new type asks for, with one change.

    If that is not seen the volume is made what it was.

    :returns: False, and nothing is done, if it takes a migration
    :raises: VolumeNotFound, LightOSRefused, LightOSNotSeen, LightOSError
    """
    found = lookup.find(op, sought)
    if found is None:
        raise cinder_exception.VolumeNotFound(volume_id=sought.cinder_id)
    hindrance = what.hinders(found)
    if hindrance:
        LOG.info('Volume %(id)s cannot be retyped in place: %(why)s.',
                 {'id': sought.cinder_id, 'why': hindrance})
        return False
    if what.qos is None:
        _change(op, sought, found, what.compression, None)
    else:
        policies.under(
            op, what.qos._replace(project=found.project),
            lambda policy: _change(op, sought, found, what.compression,
                                   policy))
    return True


def _change(op: operation.Operation, sought: identity.VolumeIdentity,
            found: lookup.Found, compression: Optional[bool],
            policy: Optional[str]) -> None:
    sent = False

    def plan(volume: replies.Volume) -> Optional[changes.Change]:
        nonlocal sent
        change = difference(volume, compression, policy)
        sent = sent or (change is not None and
                        volume.state in replies.IN_SERVICE)
        return change

    looked = [found]
    try:
        if changes.converge(
                op.within(op.deadline.earlier(1 - _UNDO_SHARE)),
                lambda: looked.pop() if looked else lookup.find(op, sought),
                plan) is None:
            raise op.failed(_('LightOS volume %s is gone')
                            % found.volume.uuid)
    except exception.LightOSNotSeen as exc:
        if not sent:
            raise
        raise exception.LightOSNotSeen(reason='%s. %s' % (
            exc.reason, _undo(op, found))) from exc


def _undo(op: operation.Operation, before: lookup.Found) -> str:
    """Make a volume what it was; tells what came of it."""
    was = before.volume
    policy = was.qos_policy_uuid or was.qos_policy_name
    try:
        now = changes.converge(
            op, lambda: lookup.again(op, before),
            lambda volume: difference(volume, was.compression, policy))
    except cinder_exception.CinderException as exc:
        return _('Making it what it was failed too: %s') % exc
    if now is None:
        return _('It is gone')
    if policy is None and now.volume.qos_policy_uuid:
        return _('It may be under the QoS policy %s now, and was under none '
                 'before') % now.volume.qos_policy_name
    return _('It is what it was')


def difference(volume: replies.Volume, compression: Optional[bool],
               policy: Optional[str]) -> Optional[changes.Change]:
    """What puts a volume under a policy and makes it compressed or not.

    :param compression: None to leave it as it is
    :param policy: UUID or name; None to leave it as it is
    """
    arguments: dict[str, Any] = {}
    if compression is not None and volume.compression not in (None,
                                                              compression):
        arguments['compression'] = str(compression)
    if policy is not None and not qos.is_under(volume, policy):
        arguments['qos_policy'] = policy
    if not arguments:
        return None
    return changes.Change(
        'set_volume_qos_policy' if arguments.keys() == {'qos_policy'}
        else 'retype_volume', arguments)


def _half(pairs: Mapping[str, tuple[Optional[str], Optional[str]]],
          number: int) -> dict[str, str]:
    return {key: value for key, value in (
        (key, pair[number]) for key, pair in pairs.items())
        if value is not None}


def _differing(pairs: Mapping[str, tuple[Any, Any]]) -> frozenset[str]:
    return frozenset(key for key, pair in pairs.items()
                     if pair[0] != pair[1])


def _limits_before(
        pairs: Mapping[str, tuple[Optional[str], Optional[str]]]
) -> Optional[replies.Limits]:
    try:
        return specs.read({}, _half(pairs, 0)).qos_limits
    except cinder_exception.InvalidQoSSpecs:
        # No volume can have come under them.
        return None
