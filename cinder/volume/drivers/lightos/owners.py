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
"""Which records of Cinder's database the cluster's objects belong to.

The database is read afresh: the records of all backends count, and the
temporary ones of migrations.
"""

import re
from typing import Any, Iterable, Mapping, NamedTuple, Optional

from oslo_log import log as logging

from cinder import context
from cinder import objects
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import listing
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies
from cinder.volume import volume_types

LOG = logging.getLogger(__name__)

_ID = re.compile(r'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')


class Held(NamedTuple):
    """A volume on the cluster, as far as it tells whose it is."""

    project: str
    uuid: str
    name: Optional[str]


def of_volumes(held: Iterable[Held],
               apart_from: Optional[str] = None) -> Mapping[str, str]:
    """Which volumes on the cluster are volumes of Cinder's.

    Those are whose UUID is recorded, and whose name has the ``id`` or the
    ``name_id`` of a record in it.

    :param apart_from: the id of a record that does not count
    :returns: UUID -> id of the record
    """
    held = tuple(held)
    ids = sorted({each for one in held for each in _ids(one.name)})
    provider_ids = sorted({_provider_id(one) for one in held})
    records: dict[str, str] = {}
    for column, values in (('_name_id', ids), ('id', ids),
                           ('provider_id', provider_ids)):
        if not values:
            continue
        for record in objects.VolumeList.get_all(
                context.get_admin_context(), filters={column: values}):
            if record.id != apart_from:
                records.update({key: record.id for key in (
                    record.id, record.name_id, record.provider_id) if key})
    return {one.uuid: records[key] for one in held
            for key in (*_ids(one.name), _provider_id(one))
            if key in records}


class Snapshots:
    """The snapshots that Cinder has.

    :param rows: those that are known already
    :param apart_from: the id of a record that does not count
    """

    def __init__(self, rows: Iterable[Any],
                 apart_from: Optional[str] = None) -> None:
        self._apart_from = apart_from
        self._ids: dict[str, str] = {}
        self._read_volumes: set[str] = set()
        self._add(rows)

    def find(self, snapshot: replies.Snapshot,
             volume_id: Optional[str]) -> Optional[str]:
        """The id of the record whose snapshot on the cluster this is, if any.

        :param volume_id: of the volume in Cinder that it is one of
        """
        keys = (snapshot.uuid, *_ids(snapshot.name))
        owner = self._first_of(keys)
        if owner or not volume_id or volume_id in self._read_volumes:
            return owner
        self._read_volumes.add(volume_id)
        self._add(objects.SnapshotList.get_all_for_volume(
            context.get_admin_context(), volume_id))
        return self._first_of(keys)

    def _first_of(self, keys: Iterable[str]) -> Optional[str]:
        return next((self._ids[key] for key in keys if key in self._ids),
                    None)

    def _add(self, rows: Iterable[Any]) -> None:
        for row in rows:
            if row.id == self._apart_from:
                continue
            recorded = identity.ProviderId.parse(row.provider_id)
            self._ids[row.id] = row.id
            if recorded and recorded.uuid:
                self._ids[recorded.uuid] = row.id


def projects(op: operation.Operation,
             records: Iterable[Any]) -> tuple[str, ...]:
    """The LightOS projects that there are, as far as that can be known.

    A project's token may not know them: they are then those that the types
    and the records name, and the cluster does not show all of them.

    :param records: volumes or snapshots of this backend
    :raises: LightOSRefused, LightOSNotSeen
    """
    try:
        found = listing.projects(op)
    except exception.LightOSRefused as exc:
        if exc.status not in (403, 501):
            raise
        LOG.debug('The projects of the LightOS cluster are not known: %s',
                  exc)
        found = ()
    return found or tuple(sorted(_named_projects(records)))


def _named_projects(records: Iterable[Any]) -> set[str]:
    types: Any = volume_types.get_all_types(context.get_admin_context())
    recorded = (identity.ProviderId.parse(record.provider_id)
                for record in records)
    named = {each['extra_specs'].get(identity.PROJECT_SPEC)
             for each in types.values()}
    return {identity.LIGHTOS_DEFAULT_PROJECT_NAME,
            *(project for project in named if identity.is_name(project)),
            *(each.project for each in recorded if each)}


def _ids(name: Optional[str]) -> tuple[str, ...]:
    return tuple(_ID.findall((name or '').lower()))


def _provider_id(one: Held) -> str:
    return str(identity.ProviderId(one.project, one.uuid))
