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
"""Taking volumes and snapshots in that Cinder has not made.

A volume gets the name that the driver would have given it. The cluster cannot
rename a snapshot: it keeps its name and is found by its UUID (see
``snapshots.find``).
"""

from typing import Any, Mapping, NamedTuple, NoReturn, Optional, Sequence
import uuid

from oslo_log import log as logging
from oslo_utils import units

from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder.objects.snapshot import Snapshot
from cinder.volume.drivers.lightos import access
from cinder.volume.drivers.lightos import changes
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import owners
from cinder.volume.drivers.lightos import qos
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import snapshots
from cinder.volume.drivers.lightos import specs

LOG = logging.getLogger(__name__)

SOURCE_NAME = 'source-name'
SOURCE_ID = 'source-id'

# The part of an operation's time that is kept for undoing it.
_UNDO_SHARE = 0.2


class Reference(NamedTuple):
    """What an operator names a volume or snapshot on the cluster by.

    :param name: its name, or None
    :param uuid: its UUID, or None
    :param given: the reference as it was given
    """

    name: Optional[str]
    uuid: Optional[str]
    given: Any

    @classmethod
    def parse(cls, given: Any) -> 'Reference':
        """:raises: ManageExistingInvalidReference"""
        reference = cls(None, None, given)
        if not isinstance(given, Mapping) or len(given) != 1:
            reference.refuse(
                _('give either %(name)s or %(id)s, and nothing else')
                % {'name': SOURCE_NAME, 'id': SOURCE_ID})
        ((key, value),) = given.items()
        if key == SOURCE_NAME and identity.is_name(value):
            return reference._replace(name=value)
        if key == SOURCE_ID:
            try:
                return reference._replace(uuid=str(uuid.UUID(value)))
            except (ValueError, TypeError, AttributeError):
                reference.refuse(_('%(id)s must be the UUID of a LightOS '
                                   'object') % {'id': SOURCE_ID})
        reference.refuse(
            _('%(name)s must be the name of a LightOS object: 1 to 253 '
              'letters, digits, "-", "_" and "."') % {'name': SOURCE_NAME}
            if key == SOURCE_NAME else
            _('%(key)r is neither %(name)s nor %(id)s')
            % {'key': key, 'name': SOURCE_NAME, 'id': SOURCE_ID})

    def refuse(self, reason: str) -> NoReturn:
        """:raises: ManageExistingInvalidReference"""
        raise cinder_exception.ManageExistingInvalidReference(
            existing_ref=self.given, reason=reason)


class Newcomer(NamedTuple):
    """A volume record that shall have a volume which is there already.

    :param cinder_id: of the record
    :param name: that the volume shall have
    :param asked: what the record's type says
    :param access: the lists that the volume shall have
    """

    cinder_id: str
    name: str
    asked: specs.Asked
    access: access.Access

    @property
    def project(self) -> str:
        """The LightOS project in which the volume must be."""
        return self.asked.project or identity.LIGHTOS_DEFAULT_PROJECT_NAME


def find_volume(op: operation.Operation, reference: Reference,
                newcomer: Newcomer) -> lookup.Found:
    """Find a volume that can be taken in.

    :raises: ManageExistingInvalidReference when there is none, it is in use
        or it is another record's, ManageExistingVolumeTypeMismatch when the
        type asks for another one; LightOSRefused, LightOSNotSeen
    """
    volume = _read(op, reference, newcomer.project)
    if volume is None:
        _refuse_missing(op, reference, newcomer.project)
    found = lookup.Found(newcomer.project, volume)
    _check(reference, found, newcomer)
    mismatch = (_type_mismatch(newcomer.asked, volume) or
                qos.contradicts(op, volume, newcomer.asked))
    if mismatch:
        raise cinder_exception.ManageExistingVolumeTypeMismatch(
            reason=_('LightOS volume %(uuid)s of project %(project)s: '
                     '%(mismatch)s')
            % {'uuid': volume.uuid, 'project': found.project,
               'mismatch': mismatch})
    return found


def take_in(op: operation.Operation, reference: Reference,
            newcomer: Newcomer) -> lookup.Found:
    """Make a volume that is there the one of a new record.

    It is renamed, extended to whole GiB and closed to every host by one
    change of the cluster, which is done as a whole or not at all. If the
    change is not seen, the old name and access lists are put back; a size
    cannot be.

    :raises: as ``find_volume``; LightOSError
    """
    before = find_volume(op, reference, newcomer)
    sent = False

    def plan(volume: replies.Volume) -> Optional[changes.Change]:
        nonlocal sent
        change = _change(volume, newcomer)
        if volume.name != newcomer.name:
            _check(reference, lookup.Found(before.project, volume), newcomer,
                   replies.IN_SERVICE + (replies.SETTLING if sent else ()))
            sent = sent or change is not None
        return change

    looked = [before]
    try:
        found = changes.converge(
            op.within(op.deadline.earlier(1 - _UNDO_SHARE)),
            lambda: looked.pop() if looked else lookup.again(op, before),
            plan)
    except cinder_exception.CinderException:
        if sent:
            _let_go(op, before, newcomer)
        raise
    if found is None:
        reference.refuse(_('it is gone'))
    return found


def size_of(size: Optional[int], reference: Reference) -> int:
    """A size in GiB, a part of one as a whole.

    :param size: in bytes
    :raises: ManageExistingInvalidReference when it is not known
    """
    if not size:
        reference.refuse(_('the cluster does not tell its size'))
    return -(-size // units.Gi)


def find_snapshot(op: operation.Operation, reference: Reference,
                  record: Snapshot) -> snapshots.Found:
    """Find a snapshot that can be taken in.

    :param record: the new one
    :raises: ManageExistingInvalidReference when there is none, it is not
        one of the record's volume or it is another record's;
        VolumeNotFound, LightOSRefused, LightOSNotSeen
    """
    volume = lookup.find(op, identity.of_volume(record.volume))
    if volume is None:
        raise cinder_exception.VolumeNotFound(volume_id=record.volume_id)
    if reference.uuid:
        snapshot = snapshots.read(op, volume.project, reference.uuid)
    else:
        snapshot = snapshots.read_by_name(op, volume.project,
                                          reference.name or '')
    if snapshot is None:
        reference.refuse(
            _('there is no such snapshot in LightOS project %(project)s, '
              'where volume %(volume)s is')
            % {'project': volume.project, 'volume': record.volume_id})
    if (snapshot.source_volume_uuid or '').lower() != (
            volume.volume.uuid.lower()):
        reference.refuse(
            _('it is a snapshot of LightOS volume %(source)s and not of '
              '%(uuid)s, which is volume %(id)s')
            % {'source': snapshot.source_volume_uuid,
               'uuid': volume.volume.uuid, 'id': record.volume_id})
    owner = owners.Snapshots((), apart_from=record.id).find(
        snapshot, record.volume_id)
    reason = why_not_snapshot(snapshot, owner)
    if reason:
        reference.refuse(reason)
    return snapshots.Found(volume.project, snapshot)


def why_not_volume(volume: replies.Volume, owner: Optional[str],
                   states: Sequence[str] = replies.IN_SERVICE) -> str:
    """Why a volume cannot be taken in, if the type does not matter.

    :param owner: the id of the volume of Cinder's that it is
    :param states: those that it may be in
    :returns: empty if it can be
    """
    if owner:
        return _('it is volume %s of Cinder') % owner
    if volume.state not in states:
        return _('it is %s') % volume.state
    if volume.protection == 'NotAvailable':
        return _('it is NotAvailable: too many of its replicas are down')
    if volume.connected_hosts:
        return _('these hosts are connected to it: %s') % ', '.join(
            volume.connected_hosts)
    if access.ALLOW_ANY in (volume.acl or ()):
        return _('it lets in any host (ALLOW_ANY), which may be using it: '
                 'set its ACL to ALLOW_NONE first')
    if volume.acl and volume.acl != access.NOBODY:
        return _('it lets in hosts, which may be using it: %s. Set its ACL '
                 'to ALLOW_NONE first') % ', '.join(volume.acl)
    return ''


def why_not_snapshot(snapshot: replies.Snapshot,
                     owner: Optional[str]) -> str:
    """Why a snapshot cannot be taken in.

    :param owner: the id of the snapshot of Cinder's that it is
    :returns: empty if it can be
    """
    if owner:
        return _('it is snapshot %s of Cinder') % owner
    if (snapshot.name or '').startswith(identity.TEMPORARY_PREFIX):
        return _('it is a temporary one, which a clone is made from')
    if snapshot.state != 'Available':
        return _('it is %s') % snapshot.state
    if snapshot.retention:
        return _('the cluster deletes it by itself when it is %s old'
                 ) % snapshot.retention
    return ''


def _read(op: operation.Operation, reference: Reference,
          project: str) -> Optional[replies.Volume]:
    if reference.uuid:
        return lookup.read(op, project, reference.uuid)
    return lookup.read_by_name(op, project, reference.name or '')


def _refuse_missing(op: operation.Operation, reference: Reference,
                    project: str) -> NoReturn:
    """Say that the type asks for another project, if that is it."""
    found = None
    try:
        found = _find_elsewhere(op, reference, project)
    except cinder_exception.CinderException as exc:
        LOG.debug('Not all projects could be looked in: %s', exc)
    if found is not None:
        raise cinder_exception.ManageExistingVolumeTypeMismatch(
            reason=_('LightOS volume %(uuid)s is in project %(has)s and the '
                     'type asks for project %(asked)s; set %(spec)s of the '
                     'type')
            % {'uuid': found.volume.uuid, 'has': found.project,
               'asked': project, 'spec': identity.PROJECT_SPEC})
    reference.refuse(_('there is no such volume in LightOS project %s')
                     % project)


def _find_elsewhere(op: operation.Operation, reference: Reference,
                    apart_from: str) -> Optional[lookup.Found]:
    for project in owners.projects(op, ()):
        if project == apart_from:
            continue
        try:
            volume = _read(op, reference, project)
        except exception.LightOSRefused as exc:
            LOG.debug('Not looking in project %(project)s: %(why)s',
                      {'project': project, 'why': exc})
            continue
        if volume is not None:
            return lookup.Found(project, volume)
    return None


def _check(reference: Reference, found: lookup.Found, newcomer: Newcomer,
           states: Sequence[str] = replies.IN_SERVICE) -> None:
    """Refuse a volume that is not free.

    :param states: those that it may be in
    """
    volume = found.volume
    owner = owners.of_volumes(
        [owners.Held(found.project, volume.uuid, volume.name)],
        apart_from=newcomer.cinder_id).get(volume.uuid)
    reason = why_not_volume(volume, owner, states)
    if reason:
        reference.refuse(_('LightOS volume %(uuid)s of project %(project)s: '
                           '%(reason)s')
                         % {'uuid': volume.uuid, 'project': found.project,
                            'reason': reason})


def _type_mismatch(asked: specs.Asked, volume: replies.Volume) -> str:
    if asked.replicas is not None and (
            volume.replicas not in (None, asked.replicas)):
        return _('it has %(has)d replicas and the type asks for %(asked)d'
                 ) % {'has': volume.replicas, 'asked': asked.replicas}
    if asked.compression is not None and (
            volume.compression not in (None, asked.compression)):
        return (_('it is compressed and the type asks for none')
                if volume.compression else
                _('it is not compressed and the type asks for compression'))
    if asked.sector_size is not None and (
            volume.sector_size not in (None, asked.sector_size)):
        return _('it has sectors of %(has)d bytes and the type asks for '
                 '%(asked)d') % {'has': volume.sector_size,
                                 'asked': asked.sector_size}
    return ''


def _change(volume: replies.Volume,
            newcomer: Newcomer) -> Optional[changes.Change]:
    """What is still to be done to a volume that is taken in."""
    arguments: dict[str, Any] = {}
    closing = changes.access_change(volume, newcomer.access)
    if closing is not None:
        arguments.update(closing.arguments)
    if volume.size is not None and volume.size % units.Gi:
        arguments['size'] = changes.in_gib(-(-volume.size // units.Gi))
    if volume.name != newcomer.name:
        arguments['new_name'] = newcomer.name
    return changes.Change('take_in_volume', arguments) if arguments else None


def _let_go(op: operation.Operation, before: lookup.Found,
            newcomer: Newcomer) -> None:
    """Give a volume that may have been taken in its old name and lists."""
    was = before.volume

    def plan(volume: replies.Volume) -> Optional[changes.Change]:
        if was.name is None or volume.name != newcomer.name:
            return None
        back = changes.access_change(volume, lookup.lists_of(was))
        return changes.Change('take_in_volume', {
            **(back.arguments if back else {}), 'new_name': was.name})

    try:
        now = changes.converge(op, lambda: lookup.again(op, before), plan)
    except cinder_exception.CinderException as exc:
        LOG.error('LightOS volume %(uuid)s of project %(project)s could not '
                  'be taken in and may have been left with the name %(name)s'
                  ', in place of %(old)s: %(why)s',
                  {'uuid': was.uuid, 'project': before.project,
                   'name': newcomer.name, 'old': was.name, 'why': exc})
        return
    if now is not None and now.volume.size != was.size:
        LOG.warning('LightOS volume %(uuid)s of project %(project)s could '
                    'not be taken in; its extension from %(old)s to %(new)s '
                    'bytes cannot be undone.',
                    {'uuid': was.uuid, 'project': before.project,
                     'old': was.size, 'new': now.volume.size})
