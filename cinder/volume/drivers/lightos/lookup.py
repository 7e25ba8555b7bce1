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
"""Finding the volume of a Cinder record on the cluster."""

import re
from typing import NamedTuple, Optional

from oslo_log import log as logging

from cinder.i18n import _
from cinder.volume.drivers.lightos import access
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import labels
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies

LOG = logging.getLogger(__name__)

_UUID = re.compile(r'[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}', re.I)


class Found(NamedTuple):
    """A volume and the project in which it was found."""

    project: str
    volume: replies.Volume


def find(op: operation.Operation,
         sought: identity.VolumeIdentity) -> Optional[Found]:
    """Look for the volume of a Cinder record.

    :returns: None when the cluster does not have it
    :raises: LightOSRefused, LightOSNotSeen
    """
    recorded = sought.recorded
    if recorded is None or recorded.uuid is None:
        return find_by_name(op, sought.name, sought.projects)
    volume = read(op, recorded.project, recorded.uuid)
    if volume is None:
        if sought.launched:
            return None
        # The UUID may be a copied one, of a volume that is gone by now.
        return find_by_name(op, sought.name, sought.own_projects)
    if is_of(sought, volume.name, volume.labels):
        return Found(recorded.project, volume)
    LOG.info('The LightOS volume %(uuid)s, recorded for volume %(id)s, is '
             '%(name)s and belongs to another volume; looking for %(own)s.',
             {'uuid': recorded.uuid, 'id': sought.cinder_id,
              'name': volume.name, 'own': sought.name})
    return find_by_name(op, sought.name, sought.own_projects)


def again(op: operation.Operation, found: Found) -> Optional[Found]:
    """Look again for a volume that was found and proven before.

    :raises: LightOSRefused, LightOSNotSeen
    """
    volume = read(op, found.project, found.volume.uuid)
    return volume and Found(found.project, volume)


def find_by_name(op: operation.Operation, name: str,
                 projects: tuple[str, ...]) -> Optional[Found]:
    """Look for a live volume of a name.

    :param projects: where to look, the likeliest first
    :raises: LightOSRefused, LightOSNotSeen
    """
    for project in projects:
        try:
            volume = read_by_name(op, project, name)
        except exception.LightOSRefused as exc:
            # A project's token cannot have made a volume in the other
            # projects where an older release might have.
            if project == projects[0] or exc.status != 403:
                raise
            LOG.debug('Not looking for %(name)s in project %(project)s, '
                      'which the token does not open.',
                      {'name': name, 'project': project})
            continue
        if volume is not None:
            return Found(project, volume)
    return None


def read_by_name(op: operation.Operation, project: str,
                 name: str) -> Optional[replies.Volume]:
    """Read the live volume of a name in one project.

    :raises: LightOSRefused, LightOSNotSeen
    """
    return op.read('get_volume_by_name',
                   replies.named(name, replies.Volume.parse_named),
                   project_name=project, volume_name=name)


def is_of(sought: identity.VolumeIdentity, name: Optional[str],
          present: Optional[labels.Labels]) -> bool:
    """Whether what is recorded for a volume is that volume's own.

    Its label says so for a volume that was renamed on the cluster, but for
    one that was given the name of another Cinder volume, and but while
    Cinder migrates the volume and exchanges its records.

    :param name: the name on the cluster
    :param present: the labels on the cluster
    """
    if name is None:
        # What may be another's is not to be touched for want of a name.
        return not sought.copied
    # While Cinder exchanges the records of a migration, name_id is that of
    # the other one already.
    if (is_named_for(name, sought.name_id) or
            is_named_for(name, sought.cinder_id)):
        return True
    return (not sought.copied and not _UUID.search(name or '') and
            labels.volume_id(present) in (sought.cinder_id, sought.name_id))


def is_named_for(name: Optional[str], name_id: str) -> bool:
    """Whether a name on the cluster was made from this ``name_id``.

    ``volume_name_template`` may have been another then. A reply that has no
    name tells nothing.
    """
    return name is None or name_id in name


def describe(found: Found) -> str:
    """What is seen of a volume, for messages to the operator."""
    volume = found.volume
    return _('LightOS volume %(uuid)s of project %(project)s is %(state)s, '
             'has %(size)s bytes and lets in %(acl)s') % {
                 'uuid': volume.uuid, 'project': found.project,
                 'state': volume.state, 'size': volume.size,
                 'acl': ', '.join((volume.acl or ()) +
                                  (volume.ip_acl or ())) or _('nobody')}


def lists_of(volume: replies.Volume) -> access.Access:
    """The access lists that a volume shows.

    :raises: LightOSBadReply when it does not show whom it lets in: what is
        decided on nobody would shut out those who are
    """
    if volume.acl is None:
        raise exception.LightOSBadReply('no acl')
    return access.Access(volume.acl or access.NOBODY, volume.ip_acl)


def read(op: operation.Operation, project: str,
         uuid: str) -> Optional[replies.Volume]:
    """Read the volume of a UUID, whatever its state.

    :raises: LightOSRefused, LightOSNotSeen
    """
    return op.read('get_volume', replies.of(uuid, replies.Volume.parse),
                   project_name=project, volume_uuid=uuid)
