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
"""Volumes as resources of the cluster: create and delete.

Nothing is reported as done here before a look at the cluster has shown it.
"""

import http
from typing import Callable, NamedTuple, Optional

from oslo_log import log as logging
from oslo_utils import units

from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder.volume.drivers.lightos import access
from cinder.volume.drivers.lightos import changes
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import labels
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import specs

LOG = logging.getLogger(__name__)

Outcome = operation.Outcome

# How the cluster refuses to delete what snapshots hold.
_HELD = (http.HTTPStatus.BAD_REQUEST, http.HTTPStatus.PRECONDITION_FAILED)


class Source(NamedTuple):
    """The snapshot that a new volume is made from.

    :param uuid: its UUID, if known
    :param name: its name
    :param prefix: how the name of any snapshot may begin that serves as
        well: the temporary ones of a clone differ from try to try
    """

    uuid: Optional[str]
    name: str
    prefix: Optional[str] = None

    def is_of(self, volume: replies.Volume) -> bool:
        """Whether a volume was made from it, as far as that is known."""
        name = volume.source_snapshot_name
        if self.prefix and name is not None:
            return name.startswith(self.prefix)
        if self.uuid and volume.source_snapshot_uuid is not None:
            return self.uuid.lower() == volume.source_snapshot_uuid.lower()
        return name is None or name == self.name


class Wanted(NamedTuple):
    """A volume that shall exist.

    :param size: in GiB
    :param owner: what its labels shall say, None for no labels
    """

    name: str
    size: int
    specs: specs.VolumeSpecs
    access: access.Access
    source: Optional[Source] = None
    owner: Optional[labels.Ownership] = None

    def differences(self, volume: replies.Volume) -> str:
        """In what a volume is another than this one; empty if in nothing."""
        found = []
        if volume.size not in (None, self.size * units.Gi):
            found.append(_('its size is %s bytes') % volume.size)
        if volume.replicas not in (None, self.specs.replicas):
            found.append(_('it has %s replicas') % volume.replicas)
        if volume.compression not in (None, self.specs.compression):
            found.append(_('it is compressed') if volume.compression
                         else _('it is not compressed'))
        if self.specs.sector_size and volume.sector_size not in (
                None, self.specs.sector_size):
            found.append(_('its sectors have %s bytes')
                         % volume.sector_size)
        if self.source is None:
            if volume.source_snapshot_uuid or volume.source_snapshot_name:
                found.append(_('it was made from a snapshot'))
        elif not self.source.is_of(volume):
            found.append(_('it was made from the snapshot %s')
                         % volume.source_snapshot_name)
        return ', '.join(found)


class Made(NamedTuple):
    """A volume that is there, and whether it is the work of this call."""

    found: lookup.Found
    own: bool


def create(op: operation.Operation, wanted: Wanted) -> Made:
    """Make a volume, or take over the very one an earlier try has made.

    :returns: the volume in service, closed to every host
    :raises: LightOSNotOurs when the name is taken by something else,
        LightOSRefused, LightOSNotSeen, LightOSError
    """
    project = wanted.specs.project
    pauses = op.pauses()
    while True:
        answer = _post(op, wanted)
        if answer.outcome is Outcome.DONE:
            return Made(_settled(op, wanted, project, answer.data.uuid,
                                 own=True), True)
        if answer.outcome in (Outcome.REFUSED, Outcome.MISSING):
            raise op.refused(answer)
        if answer.outcome in (Outcome.EXISTS, Outcome.UNKNOWN):
            found = lookup.find_by_name(op, wanted.name, (project,))
            if found is not None:
                return Made(_adopted(op, wanted, found), False)
        op.pause(pauses, answer.text, answer.retry_after)


def delete(op: operation.Operation, sought: identity.VolumeIdentity,
           made: Optional[Wanted],
           look: Callable[[], Optional[lookup.Found]]) -> None:
    """Delete a volume; one that is gone, going or Failed is deleted.

    One that may be another's is left as it is, with a warning, and the
    record has none: what is left over can be deleted by hand, what was
    somebody else's could not be brought back, and a record that cannot be
    deleted helps nobody.

    :param made: what create makes of the record; None when it makes nothing
    :param look: finds the volume
    :raises: VolumeIsBusy, LightOSRefused, LightOSNotSeen
    """
    pauses = op.pauses()
    while True:
        found = look()
        if found is None or found.volume.state in replies.DEAD:
            return
        doubt = _doubt(found, sought, made)
        if doubt:
            LOG.warning('Not deleting the LightOS volume %(uuid)s of project '
                        '%(project)s, which has the name of volume %(id)s: '
                        '%(doubt)s.',
                        {'uuid': found.volume.uuid, 'project': found.project,
                         'id': sought.cinder_id, 'doubt': doubt})
            return
        answer = op.send('delete_volume', project_name=found.project,
                         volume_uuid=found.volume.uuid,
                         etag=found.volume.etag)
        if (answer.status in _HELD and
                'snapshot' in answer.message.lower() and
                not sought.migrating):
            # Cinder logs no text of this exception.
            LOG.error('Could not %(action)s: %(text)s',
                      {'action': op.action, 'text': answer.text})
            raise cinder_exception.VolumeIsBusy(
                message=op.refused(answer).msg)
        if answer.outcome is Outcome.REFUSED:
            raise op.refused(answer)
        left = lookup.again(op, found)
        if left is None or left.volume.state in replies.DEAD:
            return
        op.pause(pauses, answer.text, answer.retry_after)


def _post(op: operation.Operation, wanted: Wanted) -> operation.Answer:
    """Ask for a volume; the data of a DONE answer is a replies.Volume."""
    source = wanted.source
    answer = op.send(
        'create_volume',
        project_name=wanted.specs.project,
        name=wanted.name,
        size=changes.in_gib(wanted.size),
        n_replicas=wanted.specs.replicas,
        compression=str(wanted.specs.compression),
        acl=list(wanted.access.nqns),
        ip_acl=list(wanted.access.ips or ()),
        src_snapshot_uuid=source.uuid if source else None,
        src_snapshot_name=source.name if source and not source.uuid else None,
        qos_policy=wanted.specs.qos_policy,
        sector_size=wanted.specs.sector_size,
        labels=wanted.owner.labels() if wanted.owner else None)
    if answer.outcome is not Outcome.DONE:
        return answer
    try:
        return answer._replace(data=replies.named(
            wanted.name, replies.Volume.parse)(answer.data))
    except exception.LightOSBadReply as exc:
        return answer._replace(outcome=Outcome.UNKNOWN,
                               text='%s: %s' % (answer.text, exc))


def _adopted(op: operation.Operation, wanted: Wanted,
             found: lookup.Found) -> lookup.Found:
    differences = wanted.differences(found.volume)
    if wanted.owner and wanted.owner.is_denied_by(found.volume.labels):
        differences = ', '.join(filter(None, (
            differences, _('its label names the Cinder volume %s')
            % labels.volume_id(found.volume.labels))))
    if differences:
        raise exception.LightOSNotOurs(
            reason=_('could not %(action)s: the LightOS project %(project)s '
                     'has another volume of the name %(name)s, with the UUID '
                     '%(uuid)s: %(differences)s. It is left as it is')
            % {'action': op.action, 'project': found.project,
               'name': wanted.name, 'uuid': found.volume.uuid,
               'differences': differences})
    return _settled(op, wanted, found.project, found.volume.uuid, own=False)


def _settled(op: operation.Operation, wanted: Wanted, project: str,
             uuid: str, own: bool) -> lookup.Found:
    """Wait until a volume that was asked for is there as it was asked for.

    :param own: whether it is the work of this very call; only then is it
        removed when it failed or was not seen in time
    """
    pauses = op.pauses()
    while True:
        volume = lookup.read(op, project, uuid)
        if volume is None:
            op.pause(pauses, _('LightOS volume %(uuid)s is not in project '
                               '%(project)s') % {'uuid': uuid,
                                                 'project': project})
            continue
        found = lookup.Found(project, volume)
        if volume.state in replies.IN_SERVICE:
            seen = wanted.differences(volume)
            if not seen:
                # One of our own is closed if nothing else is shown.
                return (found if own and volume.acl is None
                        else _closed(op, wanted, found))
        elif volume.state in replies.SETTLING:
            seen = lookup.describe(found)
        else:
            if own:
                _remove(op, found)
            raise op.failed(lookup.describe(found))
        try:
            op.pause(pauses, seen)
        except exception.LightOSNotSeen:
            if own:
                # Cinder takes the record to another service and never asks
                # for the deletion of this one, or tries otherwise, and then
                # it has the name.
                _remove(op, found)
            raise


def _remove(op: operation.Operation, found: lookup.Found) -> None:
    """Ask once for the deletion of what came to nothing."""
    op.send('delete_volume', project_name=found.project,
            volume_uuid=found.volume.uuid, etag=found.volume.etag)


def _closed(op: operation.Operation, wanted: Wanted,
            found: lookup.Found) -> lookup.Found:
    """See to it that a new volume lets nobody in.

    The work of an earlier try, or of an older release, may be open.
    """
    def closing(volume: replies.Volume) -> Optional[changes.Change]:
        return changes.access_change(volume, wanted.access)

    if found.volume.acl is not None and closing(found.volume) is None:
        return found

    closed = changes.converge(op, lambda: lookup.again(op, found), closing)
    if closed is None:
        raise op.failed(_('it is gone again'))
    return closed


def _doubt(found: lookup.Found, sought: identity.VolumeIdentity,
           made: Optional[Wanted]) -> str:
    """Why a volume that was found may be another's; empty if it is not.

    The recorded UUID proves whose it is. Where none is recorded the name
    does, once Cinder has had the volume in service: older releases recorded
    nothing else, and their volumes may have been extended since. A record
    that never came so far is that of a create that failed, perhaps because
    another volume has its name: then only what that create can have made is
    the record's. So it is if the UUID of another volume is recorded, which
    the driver would have replaced.
    """
    recorded = sought.recorded and sought.recorded.uuid
    if recorded and recorded.lower() == found.volume.uuid.lower():
        return ''
    if sought.temporary:
        # No other record has it, which is why it was found.
        return ''
    if recorded and sought.migrating:
        # Whose it is cannot be told while Cinder swaps the records.
        return _('it is migrating and has another one recorded')
    if not recorded and sought.launched:
        return ''
    if (found.volume.source_snapshot_name or '').startswith(
            identity.clone_prefix(sought.cinder_id)):
        # The record of a clone of a cached image does not name its source.
        return ''
    if made is None:
        return _('no volume can be made of its type')
    if found.project not in (sought.projects[0], made.specs.project):
        return _('it is made in project %s') % made.specs.project
    return made.differences(found.volume)
