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
"""Reverting a volume to one of its snapshots, in place."""

from typing import Optional

from oslo_utils import units

from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder.volume.drivers.lightos import changes
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import labelling
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import retype
from cinder.volume.drivers.lightos import snapshots

Outcome = operation.Outcome


def revert(op: operation.Operation, sought: identity.VolumeIdentity,
           snapshot: identity.SnapshotIdentity) -> None:
    """Put a volume back to a snapshot of it.

    The cluster may put back its name, size, access lists, compression, QoS
    policy and labels too: these are read again and made what they were.

    :raises: VolumeNotFound, SnapshotNotFound, LightOSRefused,
        LightOSNotSeen, LightOSError
    """
    before = lookup.find(op, sought)
    if before is None:
        raise cinder_exception.VolumeNotFound(volume_id=sought.cinder_id)
    source = snapshots.find(op, snapshot)
    if source is None:
        raise cinder_exception.SnapshotNotFound(
            snapshot_id=snapshot.cinder_id)
    if source.snapshot.state not in (*replies.SETTLING, 'Available'):
        raise op.failed(_('LightOS snapshot %(uuid)s of project %(project)s '
                          'is %(state)s')
                        % {'uuid': source.snapshot.uuid,
                           'project': source.project,
                           'state': source.snapshot.state})
    of_volume = source.snapshot.source_volume_uuid
    if of_volume and of_volume.lower() != before.volume.uuid.lower():
        raise op.failed(
            _('LightOS snapshot %(snapshot)s is one of LightOS volume '
              '%(source)s and not of %(volume)s')
            % {'snapshot': source.snapshot.uuid, 'source': of_volume,
               'volume': before.volume.uuid})
    if None not in (before.volume.size, source.snapshot.size) and (
            before.volume.size != source.snapshot.size):
        raise op.failed(
            _('the volume has %(volume)d bytes and the snapshot has '
              '%(snapshot)d; a volume that was extended cannot go back')
            % {'volume': before.volume.size,
               'snapshot': source.snapshot.size})
    if before.volume.acl is None:
        raise op.failed(_('LightOS volume %s does not show whom it lets in, '
                          'which has to be put back') % before.volume.uuid)
    _roll_back(op, sought, before, source.snapshot.uuid)
    _put_back(op, before)


def _roll_back(op: operation.Operation, sought: identity.VolumeIdentity,
               before: lookup.Found, snapshot_uuid: str) -> None:
    """Have the cluster roll back, and wait until it has."""
    pauses = op.pauses()
    now = before
    accepted = begun = False
    while True:
        if not accepted and now.volume.state in replies.IN_SERVICE:
            answer = op.send('rollback_volume', project_name=now.project,
                             volume_uuid=now.volume.uuid,
                             etag=now.volume.etag,
                             src_snapshot_uuid=snapshot_uuid)
            if answer.outcome in (Outcome.REFUSED, Outcome.MISSING):
                raise op.refused(answer)
            # If it is not known to be accepted it is sent again: going back
            # twice to one snapshot is going back once.
            accepted = answer.outcome is Outcome.DONE
            begun = begun or accepted or answer.outcome is Outcome.UNKNOWN
            before_rollback = now.volume.etag
            seen, at_least = answer.text, answer.retry_after
        else:
            seen, at_least = lookup.describe(now), None
        now = _again(op, before)
        if (accepted and now.volume.state in replies.IN_SERVICE and
                (now.volume.etag is None or
                 now.volume.etag != before_rollback)):
            return
        # Once it may have begun, the name may be one from before.
        if not begun and not lookup.is_of(sought, now.volume.name,
                                          now.volume.labels):
            raise op.failed(_('LightOS volume %(uuid)s of project '
                              '%(project)s is %(name)s by now and belongs to '
                              'another volume')
                            % {'uuid': now.volume.uuid,
                               'project': now.project,
                               'name': now.volume.name})
        op.pause(pauses, seen, at_least)


def _put_back(op: operation.Operation, before: lookup.Found) -> None:
    """Make what the rollback may have changed as it was."""
    was = before.volume

    def plan(volume: replies.Volume) -> Optional[changes.Change]:
        if None not in (was.name, volume.name) and volume.name != was.name:
            return changes.Change('rename_volume', {'new_name': was.name})
        if was.size is not None and volume.size not in (None, was.size):
            return changes.Change('extend_volume', {
                'size': changes.in_gib(was.size // units.Gi)})
        closing = changes.access_change(volume, lookup.lists_of(was))
        return closing or retype.difference(
            volume, was.compression,
            was.qos_policy_uuid or was.qos_policy_name)

    now = changes.converge(op, lambda: _again(op, before), plan)
    if now and set(now.volume.labels or ()) != set(was.labels or ()):
        labelling.change(op, lambda op: lookup.again(op, before),
                         lambda present: was.labels or ())


def _again(op: operation.Operation, found: lookup.Found) -> lookup.Found:
    now = lookup.again(op, found)
    if now is None or now.volume.state in replies.DEAD:
        raise cinder_exception.VolumeNotFound(message=_(
            'LightOS: could not %(action)s: LightOS volume %(uuid)s is gone')
            % {'action': op.action, 'uuid': found.volume.uuid})
    return now
