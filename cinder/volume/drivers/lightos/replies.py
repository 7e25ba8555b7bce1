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

import math
import re
from typing import Any, Callable, Mapping, NamedTuple, Optional, TypeVar

from oslo_utils import units

from cinder.volume.drivers.lightos import exception

Item = TypeVar('Item', 'Volume', 'Snapshot', 'Policy')
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
_NO_TIME = re.compile(r'0*(\.0*)?s')
_TRUE = ('true', 'enable', 'enabled')
_FALSE = ('false', 'disable', 'disabled')


class Volume(NamedTuple):
    """A volume of the cluster (LightOS API: Volume).

    :param size: in bytes
    :param acl: the NQNs of the hosts let in, or one of the words
    :param ip_acl: likewise their IP addresses; None where the cluster has
        no such list
    :param created: when, as the cluster writes it (RFC 3339)
    :param connected_hosts: the NQNs of the hosts that are connected to it
    """

    uuid: str
    name: Optional[str]
    project: Optional[str]
    created: Optional[str]
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
    sector_size: Optional[int] = None
    labels: Optional[Labels] = None
    connected_hosts: Optional[tuple[str, ...]] = None

    @classmethod
    def parse(cls, data: Any) -> 'Volume':
        """:raises: LightOSBadReply when it is not a volume"""
        fields = _message(data)
        return cls(
            uuid=_uuid(fields),
            name=_text(fields, 'name'),
            project=_text(fields, 'projectName'),
            created=_remark(fields, 'creationTime'),
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
            sector_size=_number(fields, 'sectorSize'),
            labels=_labels(fields),
            connected_hosts=_list(fields, 'connectedHosts') or None)

    @classmethod
    def parse_named(cls, data: Any) -> Optional['Volume']:
        """Read the answer to a look-up by name: a list, or one volume."""
        return _live(_items(data, 'volumes', cls.parse))


class Snapshot(NamedTuple):
    """A snapshot on the cluster (LightOS API: Snapshot).

    :param retention: after how long the cluster deletes it by itself, a
        duration in its own words; None for never
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
    sector_size: Optional[int] = None
    labels: Optional[Labels] = None
    retention: Optional[str] = None

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
            source_volume_name=_text(fields, 'sourceVolumeName'),
            sector_size=_number(fields, 'sectorSize'),
            labels=_labels(fields),
            retention=_duration(fields, 'retentionTime'))

    @classmethod
    def parse_named(cls, data: Any) -> Optional['Snapshot']:
        """Read the answer to a look-up by name: a list, or one snapshot."""
        return _live(_items(data, 'snapshots', cls.parse))


class Limits(NamedTuple):
    """What a QoS policy limits (LightOS API: QoSRateLimitPolicy).

    :param kind: a key of ``LIMIT_KINDS``
    :param read: IOPS, MB/s, or IOPS per GB; 0 is unlimited
    :param write: likewise
    """

    kind: str
    read: int
    write: int

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Optional['Limits']:
        """:returns: None for limits of no kind that is known, or of two"""
        found = []
        for kind, names in LIMIT_KINDS.items():
            if fields.get(names.message) is not None:
                limits = _message(fields[names.message])
                found.append(cls(kind, _number(limits, names.read) or 0,
                                 _number(limits, names.write) or 0))
        # A kind at zero limits nothing and may be shown beside another.
        limiting = [each for each in found if each.read or each.write]
        found = limiting or found[:1]
        return found[0] if len(found) == 1 else None


class LimitFields(NamedTuple):
    """The fields of the LightOS API that hold one kind of limit."""

    message: str
    read: str
    write: str


LIMIT_KINDS: Mapping[str, LimitFields] = {
    'iops': LimitFields('limitIOPS', 'readIOPSLimit', 'writeIOPSLimit'),
    'bw_mbps': LimitFields('limitBw', 'readBWLimit', 'writeBWLimit'),
    'iops_per_gb': LimitFields('limitIOPSPerGB', 'readIOPSPerGBLimit',
                               'writeIOPSPerGBLimit')}


class Policy(NamedTuple):
    """A QoS policy (LightOS API: Policy).

    :param projects: those that may use it; None is all of them
    """

    uuid: str
    name: Optional[str]
    state: str
    projects: Optional[tuple[str, ...]]
    limits: Optional[Limits]

    @classmethod
    def parse(cls, data: Any) -> 'Policy':
        """:raises: LightOSBadReply when it is not a policy"""
        fields = _message(data)
        rates = _message(fields.get('QoSRateLimitPolicy') or {})
        everybody = _text(rates, 'policyVisibility') == 'Global'
        return cls(
            uuid=_uuid(fields),
            name=_text(fields, 'name'),
            state=_text(fields, 'state') or 'Unknown',
            projects=None if everybody else _list(rates,
                                                  'projectsNamesScope'),
            limits=Limits.parse(rates))

    def visible_to(self, project: str) -> bool:
        """Whether the volumes of a project can be under it."""
        return self.projects is None or project in self.projects


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

    LightOS API: ClusterStatisticsApi, ClusterHealth.

    :param provisioned: the sum of the sizes of all volumes
    :param compression_ratio: what was written over what it takes
    :param health: ``OK``, ``Warning`` or ``Error``
    """

    total: int
    free: int
    provisioned: Optional[int]
    compression_ratio: Optional[float]
    health: Optional[str]

    @classmethod
    def parse(cls, data: Any) -> 'Capacity':
        """:raises: LightOSBadReply when it has no capacity"""
        fields = _message(data)
        statistics = _message(fields.get('statistics'))
        total = _number(statistics, 'estimatedLogicalStorage')
        if total is None:
            raise exception.LightOSBadReply('no estimatedLogicalStorage')
        return cls(
            total=total,
            free=_number(statistics, 'estimatedFreeLogicalStorage') or 0,
            provisioned=_number(statistics, 'logicalStorage'),
            compression_ratio=_ratio(statistics, 'compressionRatio'),
            health=_text(_message(fields.get('health') or {}), 'state'))


def of(uuid: str, parse: Callable[[Any], Item]) -> Callable[[Any], Item]:
    """Take a reply only for the object that was asked for.

    What is between the driver and the cluster may give the answer to another
    question, a cache for instance.

    :param parse: of Volume or Snapshot
    """
    def parse_that(data: Any) -> Item:
        item = parse(data)
        if item.uuid.lower() != uuid.lower():
            raise exception.LightOSBadReply(
                'it is about %s and not about %s' % (item.uuid, uuid))
        return item
    return parse_that


def named(name: str, parse: Callable[[Any], Optional[Item]],
          ) -> Callable[[Any], Optional[Item]]:
    """Take the answer to a look-up by name only for that name.

    :param parse: ``parse_named`` of Volume or Snapshot
    """
    def parse_that(data: Any) -> Optional[Item]:
        item = parse(data)
        if item is not None and item.name not in (None, name):
            raise exception.LightOSBadReply(
                'it is about %s and not about %s' % (item.name, name))
        return item
    return parse_that


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


def parse_policies(data: Any) -> tuple[Policy, ...]:
    """The QoS policies (LightOS API: ListPolicies).

    :raises: LightOSBadReply when it is no list of policies
    """
    return tuple(_items(data, 'policies', Policy.parse))


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


def _number(fields: Mapping[str, Any], field: str) -> Optional[int]:
    value = fields.get(field)
    if value is None:
        return None
    if _NUMBER.fullmatch(str(value)) is None:
        raise exception.LightOSBadReply('%s is no number' % field)
    return int(value)


def _ratio(fields: Mapping[str, Any], field: str) -> Optional[float]:
    value = fields.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (
            not math.isfinite(value)):
        raise exception.LightOSBadReply('%s is no ratio' % field)
    return float(value)


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
    word = str(value).lower() if isinstance(value, (bool, str)) else ''
    if word not in _TRUE + _FALSE:
        raise exception.LightOSBadReply('%s is no switch' % field)
    return word in _TRUE


def _duration(fields: Mapping[str, Any], field: str) -> Optional[str]:
    text = _text(fields, field)
    return text if text and _NO_TIME.fullmatch(text) is None else None


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
