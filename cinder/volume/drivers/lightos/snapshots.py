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
"""Snapshots as resources of the cluster: find, create, delete."""

from typing import NamedTuple, Optional

from oslo_log import log as logging

from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies

LOG = logging.getLogger(__name__)

Outcome = operation.Outcome

# The requests for a snapshot are spread over this share of the time there
# is, each after five times the time of the one before.
_POST_SHARE = 0.6
_POST_RATIO = 5


class Found(NamedTuple):
    """A snapshot and the project in which it was found."""

    project: str
    snapshot: replies.Snapshot


def create(op: operation.Operation, name: str,
           source: identity.VolumeIdentity, most_posts: int,
           retention: Optional[str] = None) -> Found:
    """Take a snapshot of the volume of a Cinder record.

    :param most_posts: how many times it may be requested
    :param retention: after how long the cluster may remove it by itself
    :returns: the snapshot, Available
    :raises: VolumeNotFound, LightOSNotOurs, LightOSRefused, LightOSNotSeen,
        LightOSError
    """
    recorded = source.recorded
    if recorded and recorded.uuid and not source.copied:
        # A look at the volume before would tell what the snapshot tells.
        found = _take(op, name, recorded.project, recorded.uuid, most_posts,
                      retention)
        # A snapshot has the labels of its volume.
        if lookup.is_of(source, found.snapshot.source_volume_name,
                        found.snapshot.labels):
            return found
        # The recorded UUID is another volume's.
        discard(op, found)
    volume = lookup.find(op, source)
    if volume is None:
        raise cinder_exception.VolumeNotFound(volume_id=source.cinder_id)
    return _take(op, name, volume.project, volume.volume.uuid, most_posts,
                 retention)


def find(op: operation.Operation,
         sought: identity.SnapshotIdentity) -> Optional[Found]:
    """Look for the snapshot of a Cinder record.

    :returns: None when the cluster does not have it
    :raises: LightOSRefused, LightOSNotSeen
    """
    if sought.uuid:
        snapshot = read(op, sought.project, sought.uuid)
        if (snapshot is None or
                lookup.is_named_for(snapshot.name, sought.cinder_id) or
                _was_taken_in(op, sought, snapshot)):
            return snapshot and Found(sought.project, snapshot)
    snapshot = read_by_name(op, sought.project, sought.name)
    return snapshot and Found(sought.project, snapshot)


def _was_taken_in(op: operation.Operation, sought: identity.SnapshotIdentity,
                  snapshot: replies.Snapshot) -> bool:
    """Whether a snapshot of a foreign name is the one of a record.

    The cluster cannot rename a snapshot, so that one which an operator had
    Cinder manage keeps its name. Cinder copies ``provider_id`` between
    records of volumes but not of snapshots: a recorded snapshot is the
    record's own if it is one of the record's volume and no other snapshot
    of that volume in Cinder has given it its name.
    """
    if sought.kin is None:
        return False
    volume, siblings = sought.kin()
    if any(each in (snapshot.name or '') for each in siblings):
        return False
    if volume.recorded and volume.recorded.uuid:
        uuid = volume.recorded.uuid
    else:
        found = lookup.find(op, volume)
        if found is None:
            return False
        uuid = found.volume.uuid
    return (snapshot.source_volume_uuid or '').lower() == uuid.lower()


def delete(op: operation.Operation,
           sought: identity.SnapshotIdentity) -> None:
    """Delete a snapshot.

    One that is Deleting counts as deleted: the cluster keeps it in that
    state for as long as clones of it live.

    :raises: LightOSRefused, LightOSNotSeen
    """
    pauses = op.pauses()
    while True:
        found = find(op, sought)
        if found is None or found.snapshot.state in replies.DEAD:
            return
        answer = _send_delete(op, found)
        if answer.outcome is Outcome.REFUSED:
            raise op.refused(answer)
        left = read(op, found.project, found.snapshot.uuid)
        if left is None or left.state in replies.DEAD:
            return
        op.pause(pauses, answer.text, answer.retry_after)


def discard_by_name(op: operation.Operation, name: str,
                    projects: tuple[str, ...]) -> None:
    """As ``discard``, for a snapshot that may be there or not.

    :param projects: where it may be
    """
    for project in projects:
        try:
            snapshot = read_by_name(op, project, name)
        except exception.LightOSRefused:
            # What the token does not open has nothing of ours.
            continue
        except cinder_exception.CinderException as exc:
            LOG.warning('A temporary LightOS snapshot %(name)s may be left '
                        'behind: %(why)s', {'name': name, 'why': exc})
            return
        if snapshot is not None:
            discard(op, Found(project, snapshot))
            return


def discard(op: operation.Operation, found: Found) -> None:
    """Delete a snapshot that nobody will miss; it never raises."""
    try:
        answer = _send_delete(op, found)
        if answer.outcome in (Outcome.DONE, Outcome.MISSING):
            return
        delete(op, identity.SnapshotIdentity(
            cinder_id='', name='', project=found.project,
            uuid=found.snapshot.uuid))
    except cinder_exception.CinderException as exc:
        LOG.warning('The temporary LightOS snapshot %(name)s (%(uuid)s) of '
                    'project %(project)s is left behind: %(why)s',
                    {'name': found.snapshot.name, 'project': found.project,
                     'uuid': found.snapshot.uuid, 'why': exc})


def _send_delete(op: operation.Operation, found: Found) -> operation.Answer:
    return op.send('delete_snapshot', project_name=found.project,
                   snapshot_uuid=found.snapshot.uuid,
                   etag=found.snapshot.etag)


def _take(op: operation.Operation, name: str, project: str,
          volume_uuid: str, most_posts: int,
          retention: Optional[str]) -> Found:
    pauses = op.pauses()
    posts = 0
    while True:
        if op.deadline.elapsed >= _post_after(op, posts, most_posts):
            answer = op.send('create_snapshot', project_name=project,
                             name=name, src_volume_uuid=volume_uuid,
                             retention_time=retention)
            if (answer.outcome is Outcome.REFUSED and
                    answer.status == 400 and retention):
                # Not every cluster takes a retention time.
                retention = None
                continue
            if answer.outcome in (Outcome.REFUSED, Outcome.MISSING):
                raise op.refused(answer)
            posts += 1
            uuid = _uuid_of(answer, name)
            if uuid:
                return _settled(op, project, uuid)
        snapshot = read_by_name(op, project, name)
        if snapshot is not None:
            _check_source(op, project, snapshot, volume_uuid)
            return _settled(op, project, snapshot.uuid)
        if posts >= most_posts:
            raise op.failed(
                _('it was requested %(posts)d times; last answer: %(seen)s')
                % {'posts': posts, 'seen': answer.text})
        op.pause(pauses, answer.text, answer.retry_after)


def _post_after(op: operation.Operation, posts: int,
                most_posts: int) -> float:
    """Seconds after which the next request may be made."""
    if not posts:
        return 0.0
    return (op.deadline.seconds * _POST_SHARE *
            _POST_RATIO ** (posts + 1.0 - most_posts))


def _uuid_of(answer: operation.Answer, name: str) -> Optional[str]:
    if answer.outcome is not Outcome.DONE:
        return None
    try:
        made = replies.named(name, replies.Snapshot.parse)(answer.data)
    except exception.LightOSBadReply:
        return None
    return made and made.uuid


def _check_source(op: operation.Operation, project: str,
                  snapshot: replies.Snapshot, volume_uuid: str) -> None:
    if (snapshot.source_volume_uuid or volume_uuid).lower() != (
            volume_uuid.lower()):
        raise exception.LightOSNotOurs(
            reason=_('could not %(action)s: the LightOS project %(project)s '
                     'has another snapshot of the name %(name)s, with the '
                     'UUID %(uuid)s, of the volume %(volume)s. It is left as '
                     'it is')
            % {'action': op.action, 'project': project,
               'name': snapshot.name, 'uuid': snapshot.uuid,
               'volume': snapshot.source_volume_uuid})


def _settled(op: operation.Operation, project: str, uuid: str) -> Found:
    """Wait until a snapshot is Available; remove one that failed."""
    pauses = op.pauses()
    while True:
        snapshot = read(op, project, uuid)
        if snapshot is None:
            seen = _('it is not there')
        elif snapshot.state == 'Available':
            return Found(project, snapshot)
        else:
            seen = _('LightOS snapshot %(uuid)s of project %(project)s is '
                     '%(state)s') % {'uuid': uuid, 'project': project,
                                     'state': snapshot.state}
            if snapshot.state not in replies.SETTLING:
                discard(op, Found(project, snapshot))
                raise op.failed(seen)
        op.pause(pauses, seen)


def read(op: operation.Operation, project: str,
         uuid: str) -> Optional[replies.Snapshot]:
    """Read the snapshot of a UUID, whatever its state.

    :raises: LightOSRefused, LightOSNotSeen
    """
    return op.read('get_snapshot', replies.of(uuid, replies.Snapshot.parse),
                   project_name=project, snapshot_uuid=uuid)


def read_by_name(op: operation.Operation, project: str,
                 name: str) -> Optional[replies.Snapshot]:
    """Read the live snapshot of a name in one project.

    :raises: LightOSRefused, LightOSNotSeen
    """
    return op.read('get_snapshot_by_name',
                   replies.named(name, replies.Snapshot.parse_named),
                   project_name=project, snapshot_name=name)
