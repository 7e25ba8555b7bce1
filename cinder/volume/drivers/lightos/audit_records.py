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
"""Cinder's side of the audit: its backends and what its database holds."""

import re
from typing import Callable, Iterator, NamedTuple, Optional, TypeVar, Union

from oslo_config import cfg
from oslo_utils import timeutils

from cinder import context as cinder_context
from cinder import exception as cinder_exception
from cinder import objects
from cinder.objects.snapshot import Snapshot
from cinder.objects.volume import Volume
from cinder.volume import configuration
from cinder.volume.drivers.lightos import attachments
from cinder.volume.drivers.lightos import connection
from cinder.volume import volume_utils

CONF = cfg.CONF

Record = TypeVar('Record', Volume, Snapshot)

# How many records are read from the database at once: this bounds the memory
# that they take.
PAGE = 500

# Seconds after which Cinder will not end an operation any more: none takes
# so long, but for copying the largest images.
STUCK_AFTER = 24 * 60 * 60

# The states that a volume or snapshot stays in. All others, those of future
# releases too, are of an operation that goes on, but for the error states.
_AT_REST = ('available', 'in-use', 'reserved', 'awaiting-transfer',
            'maintenance')
# LightOS volumes of these may never have been made, or are gone already.
NOT_COUNTED = ('error', 'error_deleting', 'error_managing',
               'error_managing_deleting')
_MIGRATION_ENDED = (None, '', 'none', 'success', 'error')

_UUID = '([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})'


class Backend(NamedTuple):
    """A backend of this driver, as a section of cinder.conf has it.

    :param services: the volume services that manage it, ``host@backend``
        and ``cluster@backend``
    """

    name: str
    conf: configuration.Configuration
    policy: attachments.Policy
    services: frozenset[str]
    connection: connection.LightOSConnection

    def manages(self, volume: Volume) -> bool:
        """Whether a volume record is of this backend."""
        return any(service and volume_utils.extract_host(service) in
                   self.services
                   for service in (volume.host, volume.cluster_name))


def admin(deleted: bool = False) -> cinder_context.RequestContext:
    """Who reads the database.

    :param deleted: whether records that Cinder has deleted are seen, too
    """
    return cinder_context.get_admin_context(
        read_deleted='yes' if deleted else 'no')


def volumes() -> Iterator[Volume]:
    """All volume records, whatever their backend."""
    # A volume type would fetch its extra specs anew for each volume.
    types = {each.id: each for each in
             objects.VolumeTypeList.get_all(admin())}

    def page(marker: Optional[str]) -> list[Volume]:
        found = list(objects.VolumeList.get_all(
            admin(), marker, PAGE, sort_keys=['id'], sort_dirs=['asc']))
        for volume in found:
            if volume.volume_type_id in types:
                volume.volume_type = types[volume.volume_type_id]
        return found

    return _all(page, cinder_exception.VolumeNotFound)


def snapshots() -> Iterator[Snapshot]:
    """All snapshot records, with the records of their volumes.

    One whose volume has no record (any more) comes without.
    """
    def page(marker: Optional[str]) -> list[Snapshot]:
        found = objects.SnapshotList.get_all(
            admin(), None, marker, PAGE, sort_keys=['id'], sort_dirs=['asc'])
        # One query for the volumes of all of them, not one for each.
        wanted = {snapshot.volume_id for snapshot in found}
        of_id = {volume.id: volume for volume in objects.VolumeList.get_all(
            admin(), filters={'id': list(wanted)})} if wanted else {}
        for snapshot in found:
            if snapshot.volume_id in of_id:
                snapshot.volume = of_id[snapshot.volume_id]
        return list(found)

    return _all(page, cinder_exception.SnapshotNotFound)


def volume(volume_id: str, deleted: bool = False) -> Optional[Volume]:
    """A volume record as it is now.

    :param deleted: whether one that Cinder has deleted counts
    """
    try:
        return Volume.get_by_id(admin(deleted), volume_id)
    except cinder_exception.VolumeNotFound:
        return None


def snapshot(snapshot_id: str, deleted: bool = False) -> Optional[Snapshot]:
    """A snapshot record as it is now, likewise."""
    try:
        return Snapshot.get_by_id(admin(deleted), snapshot_id)
    except cinder_exception.SnapshotNotFound:
        return None


def claimants(name_id: str, provider_id: str) -> list[Volume]:
    """The volume records that may mean an object on the cluster.

    :param name_id: the id in its name
    :param provider_id: what the driver would record for it
    """
    named = volume(name_id)
    found = [named] if named else []
    for filters in ({'_name_id': name_id}, {'provider_id': provider_id}):
        found.extend(objects.VolumeList.get_all(admin(), filters=filters))
    return list({each.id: each for each in found}.values())


def is_copied_for_backup(volume_id: str) -> bool:
    """Whether a volume is the temporary copy of a backup that goes on.

    The host that makes the backup attaches it without an attachment.
    """
    return bool(objects.BackupList.get_all(
        admin(), filters={'temp_volume_id': volume_id}))


def projects_of_types(spec: str) -> set[str]:
    """The values that volume types give to an extra spec."""
    types = objects.VolumeTypeList.get_all(admin())
    return {each.extra_specs[spec] for each in types
            if spec in (each.extra_specs or {})}


def is_at_rest(record: Union[Volume, Snapshot]) -> bool:
    """Whether no operation of Cinder is going on with it."""
    return ((record.status in _AT_REST or has_failed(record)) and
            getattr(record, 'migration_status', None) in _MIGRATION_ENDED)


def has_failed(record: Union[Volume, Snapshot]) -> bool:
    """Whether it is in an error state."""
    return (record.status or '').startswith('error')


def state(record: Union[Volume, Snapshot]) -> str:
    """The state of a record, that of its migration beside it."""
    migration = getattr(record, 'migration_status', None)
    if migration in _MIGRATION_ENDED:
        return str(record.status)
    return '%s, migration %s' % (record.status, migration)


def since(record: Union[Volume, Snapshot]) -> str:
    """When a record was last changed, UTC."""
    changed = record.updated_at or record.created_at
    return changed.strftime('%Y-%m-%dT%H:%M:%SZ') if changed else 'unknown'


def is_stuck(record: Union[Volume, Snapshot]) -> bool:
    """Whether an operation goes on for so long that it has ended."""
    changed = record.updated_at or record.created_at
    return (not is_at_rest(record) and changed is not None and
            timeutils.is_older_than(changed, STUCK_AFTER))


def id_in(template: str, name: Optional[str]) -> Optional[str]:
    """The id in a name that was made by a template of Cinder's options."""
    match = re.fullmatch(
        re.escape(template).replace('%s', _UUID), name or '')
    return match and match[1]


def _all(read: Callable[[Optional[str]], list[Record]],
         gone: type[cinder_exception.NotFound]) -> Iterator[Record]:
    """Go through a table by pages, though records go meanwhile."""
    before: list[str] = []
    while True:
        page: Optional[list[Record]] = None
        # A record that was deleted since marks no place any more.
        for marker in (*reversed(before), None):
            try:
                page = read(marker)
                break
            except gone:
                continue
        if not page:
            return
        last = max(before, default='')
        before = [record.id for record in page]
        yield from (record for record in page if record.id > last)
