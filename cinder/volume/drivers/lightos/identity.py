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
"""Which object on the cluster a Cinder record means.

The driver records ``<project> <UUID>`` in ``provider_id``. Records of older
releases hold the project alone or nothing, and Cinder copies ``provider_id``
to temporary records, so that what is recorded is a claim to be checked.
"""

import re
from typing import Callable, Mapping, NamedTuple, Optional

from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import uuidutils

from cinder import context
from cinder import exception
from cinder.i18n import _
from cinder import objects
from cinder.objects.snapshot import Snapshot
from cinder.objects.volume import Volume
from cinder.objects.volume_type import VolumeType

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

LIGHTOS_DEFAULT_PROJECT_NAME = 'default'
PROJECT_SPEC = 'lightos:project_name'

# How the names of the snapshots begin that a clone is made through.
TEMPORARY_PREFIX = 'for_clone_'

# LightOS API: names of projects, volumes and snapshots.
_NAME = re.compile(r'[A-Za-z0-9._-]{1,253}')


class ProviderId(NamedTuple):
    """What ``provider_id`` says: a LightOS project, and perhaps a UUID."""

    project: str
    uuid: Optional[str] = None

    def __str__(self) -> str:
        return ' '.join(filter(None, self))

    @classmethod
    def parse(cls, text: Optional[str]) -> Optional['ProviderId']:
        """Read a ``provider_id``; one that makes no sense counts as none."""
        if not text:
            return None
        project, _space, uuid = text.partition(' ')
        if is_name(project) and (not uuid or uuidutils.is_uuid_like(uuid)):
            return cls(project, uuid or None)
        LOG.warning('Ignoring the provider_id %r: it is not the project and '
                    'the UUID of a LightOS object.', text)
        return None


class VolumeIdentity(NamedTuple):
    """All that is known of where to find the LightOS volume of a record.

    :param launched: whether Cinder has seen the volume in service; it notes
        that after it has written what the driver recorded
    :param temporary: whether Cinder made the record to migrate or back up
        another volume
    """

    cinder_id: str
    name_id: str
    name: str
    recorded: Optional[ProviderId]
    type_project: str
    migrating: bool
    launched: bool
    temporary: bool

    @property
    def copied(self) -> bool:
        """Whether what is recorded may have been copied from another record.

        Cinder copies ``provider_id`` to the records of volumes that it is
        about to create, and then writes what the driver returns for them.
        """
        return self.migrating or not self.launched

    @property
    def projects(self) -> tuple[str, ...]:
        """The projects to look for the name in, the likeliest first."""
        if self.recorded:
            return (self.recorded.project,)
        return tuple(dict.fromkeys(
            (self.type_project, LIGHTOS_DEFAULT_PROJECT_NAME)))

    @property
    def own_projects(self) -> tuple[str, ...]:
        """Where to look if what is recorded turned out to be another's.

        Cinder copies the ``provider_id`` of a volume to the temporary record
        it migrates to, whose object lives in the project of its type.
        """
        recorded = (self.recorded.project,) if self.recorded else ()
        return tuple(dict.fromkeys(
            (self.type_project, *recorded, LIGHTOS_DEFAULT_PROJECT_NAME)))


class Kin(NamedTuple):
    """What Cinder's database has beside the record of a snapshot.

    :param volume: the volume that the snapshot is of
    :param siblings: the ids of the other snapshots of that volume
    """

    volume: VolumeIdentity
    siblings: tuple[str, ...]


class SnapshotIdentity(NamedTuple):
    """All that is known of where to find the LightOS snapshot of a record.

    :param kin: reads from the database what proves a recorded UUID to be
        the record's own where the snapshot's name does not
    """

    cinder_id: str
    name: str
    project: str
    uuid: Optional[str]
    kin: Optional[Callable[[], Kin]] = None


def is_name(text: object) -> bool:
    """Whether the LightOS API takes this as a name."""
    return (isinstance(text, str) and _NAME.fullmatch(text) is not None and
            text not in ('.', '..'))


def type_project(volume: Volume) -> str:
    """The LightOS project that the type of a volume asks for.

    :raises: InvalidVolumeType when it is no name that LightOS takes
    """
    return project_of(extra_specs(volume))


def project_of(specs: Mapping[str, str]) -> str:
    """The LightOS project that the extra specs of a type ask for.

    :raises: InvalidVolumeType when it is no name that LightOS takes
    """
    project = specs.get(PROJECT_SPEC, LIGHTOS_DEFAULT_PROJECT_NAME)
    if not is_name(project):
        raise exception.InvalidVolumeType(
            reason=_('%(spec)s=%(value)r is not the name of a LightOS '
                     'project: 1 to 253 letters, digits, "-", "_" and "."')
            % {'spec': PROJECT_SPEC, 'value': project})
    return project


def extra_specs(volume: Volume) -> Mapping[str, str]:
    """The extra specs of the type of a volume, if it has one."""
    found: Optional[VolumeType] = volume.volume_type
    return (found and found.extra_specs) or {}


def of_volume(volume: Volume) -> VolumeIdentity:
    """Read what a volume record says of its LightOS volume."""
    recorded = ProviderId.parse(volume.provider_id)
    try:
        project = type_project(volume)
    except (exception.VolumeTypeNotFound, exception.InvalidVolumeType):
        # A type that is gone or broken must not keep a volume, which may
        # not even need it, from being detached or deleted.
        LOG.warning('The type of volume %s cannot be read; looking for it in '
                    'the LightOS project %s.', volume.id,
                    LIGHTOS_DEFAULT_PROJECT_NAME)
        project = LIGHTOS_DEFAULT_PROJECT_NAME
    return VolumeIdentity(
        cinder_id=volume.id,
        name_id=volume.name_id,
        name=volume_name(volume),
        recorded=recorded,
        type_project=project,
        migrating=bool(volume.migration_status),
        launched=volume.launched_at is not None,
        temporary=not volume.get('use_quota', True))


def of_snapshot(snapshot: Snapshot) -> SnapshotIdentity:
    """Read what a snapshot record says of its LightOS snapshot."""
    recorded = ProviderId.parse(snapshot.provider_id)
    if recorded and recorded.uuid:
        project: str = recorded.project
        uuid = recorded.uuid
    else:
        project, uuid = of_volume(snapshot.volume).projects[0], None
    return SnapshotIdentity(
        cinder_id=snapshot.id,
        name=snapshot_name(snapshot),
        project=project,
        uuid=uuid,
        kin=(lambda: _kin(snapshot)) if uuid else None)


def _kin(snapshot: Snapshot) -> Kin:
    rows = objects.SnapshotList.get_all_for_volume(
        context.get_admin_context(), snapshot.volume_id)
    return Kin(of_volume(snapshot.volume),
               tuple(row.id for row in rows if row.id != snapshot.id))


def volume_name(volume: Volume) -> str:
    """The name under which the driver creates the volume of a record."""
    return CONF.volume_name_template % volume.name_id


def clone_prefix(volume_id: str) -> str:
    """How the temporary snapshots begin that a volume is cloned through."""
    return '%s%s_' % (TEMPORARY_PREFIX, volume_id)


def snapshot_name(snapshot: Snapshot) -> str:
    """The name under which the driver creates the snapshot of a record."""
    return CONF.snapshot_name_template % snapshot.id
