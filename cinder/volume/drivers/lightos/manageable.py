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
"""Lists of the volumes and snapshots that could be taken in.

Cinder asks for a page of them at a time and has it cut from the whole list.
Only what is on the page is looked up in the database.
"""

from typing import Any, Callable, Iterator, NamedTuple, Optional, Sequence

from oslo_log import log as logging
from oslo_utils import units

from cinder.i18n import _
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import listing
from cinder.volume.drivers.lightos import manage
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import owners
from cinder.volume import volume_utils

LOG = logging.getLogger(__name__)


class Page(NamedTuple):
    """What Cinder asks for: see ``volume_utils.paginate_entries_list``."""

    marker: Any
    limit: Optional[int]
    offset: Optional[int]
    sort_keys: Sequence[str]
    sort_dirs: Sequence[str]

    def of(self, sizes: dict[str, Optional[int]]) -> list[dict[str, Any]]:
        """Cut it from the whole list.

        :param sizes: UUID -> size in bytes
        :returns: entries with ``reference`` and ``size`` in GiB
        :raises: InvalidInput when there is no such marker
        """
        entries = [{'reference': {manage.SOURCE_ID: uuid},
                    # Without a number it could not be sorted by size.
                    'size': 0 if size is None else -(-size // units.Gi)}
                   for uuid, size in sizes.items()]
        page: list[dict[str, Any]] = volume_utils.paginate_entries_list(
            entries, self.marker,
            len(entries) if self.limit is None else self.limit, self.offset,
            list(self.sort_keys), list(self.sort_dirs))
        return page


def volumes(op: operation.Operation, records: Sequence[Any],
            page: Page) -> list[dict[str, Any]]:
    """The volumes on the cluster, and what hinders their being taken in.

    :param records: the volumes of this backend
    :returns: as ``ManageableVD.get_manageable_volumes``
    :raises: InvalidInput, LightOSRefused, LightOSNotSeen, LightOSError
    """
    found = {volume.uuid: (project, volume) for project, volume in
             _everywhere(op, records, listing.volumes)}
    entries = page.of({uuid: volume.size
                       for uuid, (_project, volume) in found.items()})
    shown = [found[entry['reference'][manage.SOURCE_ID]]
             for entry in entries]
    owner_of = owners.of_volumes(
        owners.Held(project, volume.uuid, volume.name)
        for project, volume in shown)
    for entry, (project, volume) in zip(entries, shown):
        owner = owner_of.get(volume.uuid)
        _complete(entry, owner, manage.why_not_volume(volume, owner),
                  project, volume)
    return entries


def snapshots(op: operation.Operation, records: Sequence[Any],
              page: Page) -> list[dict[str, Any]]:
    """The snapshots on the cluster, and what hinders their being taken in.

    :param records: the snapshots of this backend
    :returns: as ``ManageableSnapshotsVD.get_manageable_snapshots``
    :raises: as ``volumes``
    """
    found = {snapshot.uuid: (project, snapshot) for project, snapshot in
             _everywhere(op, records, listing.snapshots)}
    entries = page.of({uuid: snapshot.size
                       for uuid, (_project, snapshot) in found.items()})
    shown = [found[entry['reference'][manage.SOURCE_ID]]
             for entry in entries]
    volume_of = owners.of_volumes(
        owners.Held(project, snapshot.source_volume_uuid,
                    snapshot.source_volume_name)
        for project, snapshot in shown if snapshot.source_volume_uuid)
    own = owners.Snapshots(records)
    for entry, (project, snapshot) in zip(entries, shown):
        volume = snapshot.source_volume_uuid
        volume_id = volume_of.get(volume or '')
        owner = own.find(snapshot, volume_id)
        reason = manage.why_not_snapshot(snapshot, owner)
        if not reason and volume_id is None:
            reason = _('its volume, LightOS volume %s, is not in Cinder: '
                       'manage that one first') % volume
        _complete(entry, owner, reason, project, snapshot)
        entry['source_reference'] = {manage.SOURCE_ID: volume}
    return entries


def _everywhere(
        op: operation.Operation, records: Sequence[Any],
        list_all: Callable[[operation.Operation, str], Iterator[Any]]
) -> Iterator[tuple[str, Any]]:
    for project in owners.projects(op, records):
        try:
            for each in list_all(op, project):
                yield project, each
        except exception.LightOSRefused as exc:
            if exc.status != 403:
                raise
            LOG.debug('Not listing LightOS project %(project)s, which the '
                      'token does not open.', {'project': project})


def _complete(entry: dict[str, Any], owner: Optional[str], reason: str,
              project: str, found: Any) -> None:
    entry.update({
        'safe_to_manage': not reason,
        'reason_not_safe': reason or None,
        'cinder_id': owner,
        'extra_info': {
            'project': project, 'uuid': found.uuid, 'name': found.name,
            'replicas': _shown(found.replicas),
            'compression': _shown(found.compression),
            'state': found.state}})


def _shown(value: object) -> Optional[str]:
    return None if value is None else str(value)
