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
"""What the cluster says, as typed values.

Replies are proto3 JSON: a field at its zero value may be left out, 64-bit
integers are strings. A field that is absent is None here: unknown, which is
never a difference from what was asked for.
"""

import re
from typing import Any, Callable, Mapping, NamedTuple, Optional, TypeVar

from oslo_utils import units

from cinder.volume.drivers.lightos import exception

Item = TypeVar('Item', 'Volume', 'Snapshot')
Labels = tuple[tuple[str, str], ...]

# States of a volume or snapshot (LightOS API: Volume.StateEnum,
# Snapshot.StateEnum). A volume is in service while a replica of it moves.
IN_SERVICE = ('Available', 'Migrating')
SETTLING = ('Creating', 'Updating')
GOING = ('Deleting', 'Deleted')
DEAD = GOING + ('Failed',)

_UUID = re.compile(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}',
                   re.IGNORECASE)
_NUMBER = re.compile(r'[0-9]{1,20}')
_SIZE = re.compile(r'([0-9]{1,20}) *(b|gib)?', re.IGNORECASE)
# What can stand in a header (If-Match).
_ETAG = re.compile(r'[!-~]+')
_TRUE = ('true', 'enable', 'enabled')
_FALSE = ('false', 'disable', 'disabled')


class Volume(NamedTuple):
    """A volume of the cluster (LightOS API: Volume).

    :param size: in bytes
    :param acl: the NQNs of the hosts let in, or one of the words
    :param ip_acl: likewise their IP addresses; None where the cluster has
        no such list
    :param created: when, as the cluster writes it (RFC 3339)
    :param connected: the NQNs of the hosts that are connected now
    """

    uuid: str
    name: Optional[str]
    project: Optional[str]
    created: Optional[str]
    connected: tuple[str, ...]
    state: str
    protection: Optional[str]
    etag: Optional[str]
    size: Optional[int]
    replicas: Optional[int]
    compression: Optional[bool]
    acl: Optional[tuple[str, ...]]
    ip_acl: Optional[tuple[str, ...]]
    qos_policy_uuid: Optional[str]
    qos_policy_name: Optional[str]
    source_snapshot_uuid: Optional[str]
    source_snapshot_name: Optional[str]
    labels: Optional[Labels]

    @classmethod
    def parse(cls, data: Any) -> 'Volume':
        """:raises: LightOSBadReply when it is not a volume"""
        fields = _message(data)
        return cls(
            uuid=_uuid(fields),
            name=_text(fields, 'name'),
            project=_text(fields, 'projectName'),
            created=_remark(fields, 'creationTime'),
            connected=_remarks(fields, 'connectedHosts'),
            state=_text(fields, 'state') or 'Unknown',
            protection=_text(fields, 'protectionState'),
            etag=_etag(fields),
            size=_size(fields),
            replicas=_number(fields, 'replicaCount'),
            compression=_switch(fields, 'compression'),
            acl=_strings(fields, 'acl'),
            ip_acl=_strings(fields, 'IPAcl'),
            qos_policy_uuid=_text(fields, 'qosPolicyUUID'),
            qos_policy_name=_text(fields, 'qosPolicyName'),
            source_snapshot_uuid=_text_or_empty(fields,
                                                'sourceSnapshotUUID'),
            source_snapshot_name=_text_or_empty(fields,
                                                'sourceSnapshotName'),
            labels=_labels(fields))

    @classmethod
    def parse_named(cls, data: Any) -> Optional['Volume']:
        """Read the answer to a look-up by name: a list, or one volume."""
        return _live(_items(data, 'volumes', cls.parse))


class Snapshot(NamedTuple):
    """A snapshot on the cluster (LightOS API: Snapshot).

    :param created: when, as the cluster writes it (RFC 3339)
    """

    uuid: str
    name: Optional[str]
    created: Optional[str]
    state: str
    etag: Optional[str]
    size: Optional[int]
    replicas: Optional[int]
    compression: Optional[bool]
    source_volume_uuid: Optional[str]
    source_volume_name: Optional[str]

    @classmethod
    def parse(cls, data: Any) -> 'Snapshot':
        """:raises: LightOSBadReply when it is not a snapshot"""
        fields = _message(data)
        return cls(
            uuid=_uuid(fields),
            name=_text(fields, 'name'),
            created=_remark(fields, 'creationTime'),
            state=_text(fields, 'state') or 'Unknown',
            etag=_etag(fields),
            size=_size(fields),
            replicas=_number(fields, 'replicaCount'),
            compression=_switch(fields, 'compression'),
            source_volume_uuid=_text(fields, 'sourceVolumeUUID'),
            source_volume_name=_text(fields, 'sourceVolumeName'))

    @classmethod
    def parse_named(cls, data: Any) -> Optional['Snapshot']:
        """Read the answer to a look-up by name: a list, or one snapshot."""
        return _live(_items(data, 'snapshots', cls.parse))


class ClusterInfo(NamedTuple):
    """What any token may know of the cluster (LightOS API: ClusterInfoV2).

    Endpoints are ``address:port`` as the cluster writes them.
    """

    uuid: str
    subsystem_nqn: Optional[str]
    max_replicas: Optional[int]
    api_endpoints: tuple[str, ...]
    discovery_endpoints: tuple[str, ...]

    @classmethod
    def parse(cls, data: Any) -> 'ClusterInfo':
        """:raises: LightOSBadReply when it is not that"""
        fields = _message(data)
        return cls(
            uuid=_uuid(fields),
            subsystem_nqn=_text(fields, 'subsystemNQN'),
            max_replicas=_number(fields, 'currentMaxReplicas'),
            api_endpoints=_list(fields, 'apiEndpoints'),
            discovery_endpoints=_list(fields, 'discoveryEndpoints'))


class Capacity(NamedTuple):
    """The cluster's capacity in bytes, as a volume's user sees it.

    LightOS API: ClusterStatisticsApi. ``provisioned`` is the sum of the
    sizes of all volumes.
    """

    total: int
    free: int
    provisioned: Optional[int]

    @classmethod
    def parse(cls, data: Any) -> 'Capacity':
        """:raises: LightOSBadReply when it has no capacity"""
        statistics = _message(_message(data).get('statistics'))
        total = _number(statistics, 'estimatedLogicalStorage')
        if total is None:
            raise exception.LightOSBadReply('no estimatedLogicalStorage')
        return cls(
            total=total,
            free=_number(statistics, 'estimatedFreeLogicalStorage') or 0,
            provisioned=_number(statistics, 'logicalStorage'))


def parse_volumes(data: Any) -> tuple[Volume, ...]:
    """A page of volumes (LightOS API: ListVolumes).

    :raises: LightOSBadReply when it is none
    """
    return tuple(_items(data, 'volumes', Volume.parse))


def parse_snapshots(data: Any) -> tuple[Snapshot, ...]:
    """A page of snapshots (LightOS API: ListSnapshots).

    :raises: LightOSBadReply when it is none
    """
    return tuple(_items(data, 'snapshots', Snapshot.parse))


def parse_projects(data: Any) -> tuple[str, ...]:
    """The names of the projects (LightOS API: ListProjects).

    :raises: LightOSBadReply when it is no list of projects
    """
    projects = _message(data).get('projects', [])
    if not isinstance(projects, list):
        raise exception.LightOSBadReply('projects is no list')
    names = (_text(_message(project), 'name') for project in projects)
    return tuple(name for name in names if name)


def parse_node_endpoints(data: Any) -> tuple[str, ...]:
    """The ``nvmeEndpoint`` of every node (LightOS API: ListNodes).

    :raises: LightOSBadReply when it is no list of nodes
    """
    nodes = _message(data).get('nodes', [])
    if not isinstance(nodes, list):
        raise exception.LightOSBadReply('nodes is no list')
    endpoints = (_text(_message(node), 'nvmeEndpoint') for node in nodes)
    return tuple(endpoint for endpoint in endpoints if endpoint)


def _message(data: Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise exception.LightOSBadReply(
            'a %s where a message belongs' % type(data).__name__)
    return data


def _items(data: Any, field: str,
           parse: Callable[[Any], Item]) -> list[Item]:
    fields = _message(data)
    if 'UUID' in fields:
        return [parse(fields)]
    items = fields.get(field) or []
    if not isinstance(items, list):
        raise exception.LightOSBadReply('%s is no list' % field)
    return [parse(item) for item in items]


def _live(found: list[Item]) -> Optional[Item]:
    """Of several objects of one name the live one counts."""
    return next((each for each in found if each.state not in DEAD), None)


def _uuid(fields: Mapping[str, Any]) -> str:
    uuid = _text(fields, 'UUID')
    if uuid is None or _UUID.fullmatch(uuid) is None:
        raise exception.LightOSBadReply('no UUID')
    return uuid


def _etag(fields: Mapping[str, Any]) -> Optional[str]:
    etag = _text(fields, 'ETag')
    if etag is not None and _ETAG.fullmatch(etag) is None:
        raise exception.LightOSBadReply('ETag is no ETag')
    return etag


def _text(fields: Mapping[str, Any], field: str) -> Optional[str]:
    return _text_or_empty(fields, field) or None


def _text_or_empty(fields: Mapping[str, Any], field: str) -> Optional[str]:
    """As ``_text``, where empty tells something that absent does not."""
    value = fields.get(field)
    if value is not None and not isinstance(value, str):
        raise exception.LightOSBadReply('%s is no string' % field)
    return value


def _remark(fields: Mapping[str, Any], field: str) -> Optional[str]:
    """What is only for people: nothing fails for its being no string."""
    value = fields.get(field)
    return value if isinstance(value, str) else None


def _remarks(fields: Mapping[str, Any], field: str) -> tuple[str, ...]:
    values = fields.get(field)
    return tuple(value for value in (values if isinstance(values, list)
                                     else ()) if isinstance(value, str))


def _number(fields: Mapping[str, Any], field: str) -> Optional[int]:
    value = fields.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, str)) or (
            _NUMBER.fullmatch(str(value)) is None):
        raise exception.LightOSBadReply('%s is no number' % field)
    return int(value)


def _size(fields: Mapping[str, Any]) -> Optional[int]:
    value = fields.get('size')
    if value is None:
        return None
    match = _SIZE.fullmatch(str(value))
    if match is None:
        raise exception.LightOSBadReply('size is no size')
    number, unit = match.groups()
    return int(number) * (units.Gi if (unit or '').lower() == 'gib' else 1)


def _switch(fields: Mapping[str, Any], field: str) -> Optional[bool]:
    value = fields.get(field)
    if value is None:
        return None
    word = str(value).lower()
    if word not in _TRUE + _FALSE:
        raise exception.LightOSBadReply('%s is no switch' % field)
    return word in _TRUE


def _strings(fields: Mapping[str, Any],
             field: str) -> Optional[tuple[str, ...]]:
    value = fields.get(field)
    if value is None:
        return None
    return _list(_message(value), 'values')


def _list(fields: Mapping[str, Any], field: str) -> tuple[str, ...]:
    values = fields.get(field) or []
    if (not isinstance(values, list) or
            not all(isinstance(value, str) for value in values)):
        raise exception.LightOSBadReply('%s is no list of strings' % field)
    return tuple(values)


def _labels(fields: Mapping[str, Any]) -> Optional[Labels]:
    value = fields.get('labels')
    if value is None:
        return None
    if not isinstance(value, list):
        raise exception.LightOSBadReply('labels is no list')
    return tuple((_text_or_empty(_message(label), 'key') or '',
                  _text_or_empty(_message(label), 'value') or '')
                 for label in value)
