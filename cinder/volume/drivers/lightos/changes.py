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
"""Changing a volume until the change is seen."""

from typing import Any, Callable, Mapping, NamedTuple, Optional

from oslo_utils import units

from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder.volume.drivers.lightos import access
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies

Outcome = operation.Outcome

# Seconds after which a change that was accepted and does not show is asked
# for again, the first time.
_PATIENCE = 1.0


class Change(NamedTuple):
    """A command that changes a volume, with what it takes."""

    cmd: str
    arguments: Mapping[str, Any]


def change(op: operation.Operation, sought: identity.VolumeIdentity,
           plan: Callable[[replies.Volume], Optional[Change]]) -> lookup.Found:
    """Change a volume until the change is seen.

    A change that was decided on a state that has passed is decided again.

    :param plan: what is to be done to a volume, None when nothing is left;
        it may raise, LightOSBadReply when it takes another look to tell
    :returns: the volume in service, with nothing left to do
    :raises: VolumeNotFound, LightOSRefused, LightOSNotSeen, LightOSError
    """
    found = converge(op, lambda: lookup.find(op, sought), plan)
    if found is None:
        raise cinder_exception.VolumeNotFound(volume_id=sought.cinder_id)
    return found


def converge(op: operation.Operation,
             look: Callable[[], Optional[lookup.Found]],
             plan: Callable[[replies.Volume], Optional[Change]],
             insist: Optional[Callable[[replies.Volume],
                                       Optional[Change]]] = None
             ) -> Optional[lookup.Found]:
    """As ``change``, for a volume that is found otherwise.

    :param look: finds the volume
    :param insist: what is asked for, until the cluster accepts it, though
        nothing is left to do: an earlier change may be under way that does
        not show yet
    :returns: None when there is no volume
    """
    pauses = op.pauses()
    first_look = False
    shown: Optional[str] = None
    wait_until = 0.0
    while True:
        found = look()
        if found is None:
            return None
        seen, at_least = lookup.describe(found), None
        if found.volume.state in replies.DEAD:
            raise cinder_exception.VolumeNotFound(message=_(
                'LightOS: could not %(action)s: %(seen)s')
                % {'action': op.action, 'seen': seen})
        try:
            todo = plan(found.volume) or (insist and insist(found.volume))
        except exception.LightOSBadReply as exc:
            op.pause(pauses, '%s: %s' % (seen, exc))
            continue
        if found.volume.state in replies.IN_SERVICE:
            if todo is None:
                return found
            # A cluster may show late what it accepted. Another writer who
            # undid it changes the ETag; that it was lost has to be thought
            # of more and more seldom.
            if first_look:
                shown = found.volume.etag
            elif found.volume.etag != shown or (
                    op.deadline.elapsed >= wait_until):
                answer = op.send(
                    todo.cmd, project_name=found.project,
                    volume_uuid=found.volume.uuid, etag=found.volume.etag,
                    **todo.arguments)
                if answer.outcome is Outcome.REFUSED:
                    return _refused_for_nothing(op, look, plan, answer)
                if answer.outcome is Outcome.DONE:
                    insist = None
                    wait_until = 2 * op.deadline.elapsed + _PATIENCE
                # The first look at what came of it is not delayed.
                first_look = answer.outcome in (Outcome.DONE, Outcome.UNKNOWN)
                if first_look:
                    continue
                seen, at_least = answer.text, answer.retry_after
        first_look = False
        op.pause(pauses, seen, at_least)


def extend(op: operation.Operation, sought: identity.VolumeIdentity,
           size: int) -> None:
    """Make a volume larger.

    :param size: in GiB
    :raises: as ``change``; LightOSError when it is larger already
    """
    def plan(volume: replies.Volume) -> Optional[Change]:
        if volume.size is not None and volume.size > size * units.Gi:
            raise op.failed(
                _('LightOS volume %(uuid)s has %(bytes)d bytes already, '
                  'more than %(size)d GiB')
                % {'uuid': volume.uuid, 'bytes': volume.size, 'size': size})
        if volume.size == size * units.Gi:
            return None
        return Change('extend_volume', {'size': in_gib(size)})

    change(op, sought, plan)


def rename_if_free(op: operation.Operation,
                   sought: identity.VolumeIdentity, name: str,
                   projects: tuple[str, ...]) -> bool:
    """Give a volume another name, unless a volume has it.

    :param projects: where that name must not be in use
    :returns: whether the volume has the name now
    :raises: as ``change``
    """
    for project in projects:
        named = lookup.read_by_name(op, project, name)
        if named is not None:
            recorded = sought.recorded and sought.recorded.uuid
            return named.uuid.lower() == (recorded or '').lower()
    found = lookup.find(op, sought)
    if found is None:
        return False
    return converge(
        op, lambda: lookup.again(op, found),
        lambda volume: None if volume.name == name else
        Change('rename_volume', {'new_name': name})) is not None


def access_change(volume: replies.Volume,
                  decided: access.Access) -> Optional[Change]:
    """What makes a volume's lists those that were decided on."""
    lists = lookup.lists_of(volume)
    if None in (lists.ips, decided.ips):
        lists = lists._replace(ips=None)
        decided = decided._replace(ips=None)
    if lists.equals(decided):
        return None
    return access_update(decided)


def access_update(lists: access.Access) -> Change:
    """What gives a volume these lists, whichever it has."""
    return Change('update_volume', {
        'acl': list(lists.nqns),
        'ip_acl': None if lists.ips is None else list(lists.ips)})


def in_gib(size: int) -> str:
    """A size as the LightOS API takes it."""
    return '%d gib' % size


def _refused_for_nothing(
        op: operation.Operation, look: Callable[[], Optional[lookup.Found]],
        plan: Callable[[replies.Volume], Optional[Change]],
        answer: operation.Answer) -> lookup.Found:
    """Nothing is wrong with a refusal of what is there by now."""
    found = look()
    try:
        if (found is None or found.volume.state not in replies.IN_SERVICE or
                plan(found.volume) is not None):
            raise op.refused(answer)
    except exception.LightOSBadReply:
        raise op.refused(answer)
    return found
