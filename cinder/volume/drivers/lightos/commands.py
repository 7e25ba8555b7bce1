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
"""The commands of the LightOS management API (v2) that the driver uses.

A command has the name and takes the keywords by which the rest of the driver
calls it; the table says what becomes of them on the wire.
"""

from typing import Any, Mapping, NamedTuple, Optional
import urllib.parse

from oslo_utils import uuidutils

from cinder import exception
from cinder.i18n import _
from cinder.volume.drivers.lightos import exception as lightos_exception

_PREFIX = '/api/v2'
_VOLUMES = '/projects/{project_name}/volumes'
_VOLUME = _VOLUMES + '/{volume_uuid}'
_SNAPSHOTS = '/projects/{project_name}/snapshots'
_SNAPSHOT = _SNAPSHOTS + '/{snapshot_uuid}'

# Query of the lists: what shows one page of them.
_PAGE = {'limit': 'limit', 'offsetUUID': 'offset_uuid'}

# Fields that the API wraps into a message of their own (StringList).
_STRING_LISTS = ('acl', 'IPAcl')
# CreateVolumeRequest.SectorSizeEnum
_SECTOR_SIZES = {512: 'sectorSize_512B', 4096: 'sectorSize_4K'}


class Command(NamedTuple):
    """A row of the table.

    :param method: the HTTP method
    :param path: below ``/api/v2``, with keywords in braces
    :param query: query parameter -> keyword
    :param body: body field -> keyword
    """

    method: str
    path: str
    query: Mapping[str, str] = {}
    body: Mapping[str, str] = {}


class Request(NamedTuple):
    """A command with its keywords filled in, ready to be sent."""

    method: str
    target: str
    body: Optional[dict[str, Any]]
    headers: Mapping[str, str]


COMMANDS: Mapping[str, Command] = {
    'get_cluster_info': Command('GET', '/clusterinfo'),
    'get_cluster': Command('GET', '/cluster'),
    'get_nodes': Command('GET', '/nodes'),
    'list_projects': Command('GET', '/projects'),

    'get_volume': Command('GET', _VOLUME),
    'get_volume_by_name': Command('GET', _VOLUMES,
                                  query={'name': 'volume_name'}),
    'list_volumes': Command('GET', _VOLUMES, query=_PAGE),
    'create_volume': Command('POST', _VOLUMES, body={
        'name': 'name',
        'size': 'size',
        'replicaCount': 'n_replicas',
        'compression': 'compression',
        'acl': 'acl',
        'IPAcl': 'ip_acl',
        'sourceSnapshotUUID': 'src_snapshot_uuid',
        'sourceSnapshotName': 'src_snapshot_name',
        'qosPolicyUUID': 'qos_policy',
        'sectorSize': 'sector_size',
        'labels': 'labels',
    }),
    'update_volume': Command('PUT', _VOLUME, body={
        'acl': 'acl',
        'IPAcl': 'ip_acl',
    }),
    'extend_volume': Command('PUT', _VOLUME, body={'size': 'size'}),
    'set_volume_qos_policy': Command('PUT', _VOLUME, body={
        'qosPolicyUUID': 'qos_policy',
    }),
    'set_volume_labels': Command('PUT', _VOLUME, body={'labels': 'labels'}),
    'retype_volume': Command('PUT', _VOLUME, body={
        'compression': 'compression',
        'qosPolicyUUID': 'qos_policy',
    }),
    'take_in_volume': Command('PUT', _VOLUME, body={
        'newName': 'new_name',
        'size': 'size',
        'acl': 'acl',
        'IPAcl': 'ip_acl',
    }),
    'rename_volume': Command('PUT', _VOLUME, body={'newName': 'new_name'}),
    'rollback_volume': Command('PUT', _VOLUME + '/rollback', body={
        'srcSnapshotUUID': 'src_snapshot_uuid',
    }),
    'delete_volume': Command('DELETE', _VOLUME),

    'get_snapshot': Command('GET', _SNAPSHOT),
    'get_snapshot_by_name': Command('GET', _SNAPSHOTS,
                                    query={'Name': 'snapshot_name'}),
    'list_snapshots': Command('GET', _SNAPSHOTS, query=_PAGE),
    'create_snapshot': Command('POST', _SNAPSHOTS, body={
        'name': 'name',
        'sourceVolumeUUID': 'src_volume_uuid',
        'sourceVolumeName': 'src_volume_name',
        'retentionTime': 'retention_time',
    }),
    'delete_snapshot': Command('DELETE', _SNAPSHOT),

    'list_policies': Command('GET', '/policies', query={
        'UUID': 'policy_uuid',
        'name': 'policy_name',
    }),
    'create_policy': Command('POST', '/policies', body={
        'name': 'name',
        'description': 'description',
        'qoSRateLimitPolicy': 'rate_limits',
    }),
}


def changes_something(cmd: str) -> bool:
    """Whether a command may have changed the cluster once it was sent."""
    return cmd in COMMANDS and COMMANDS[cmd].method != 'GET'


def build(cmd: str, **kwargs: Any) -> Request:
    """Fill the keywords of a call into its command.

    A keyword that is None is left out, as the API takes it.

    :raises: UnknownCmd when the table has no such command, LightOSError
        when a keyword would change the path
    """
    if cmd not in COMMANDS:
        raise exception.UnknownCmd(cmd=cmd)
    command = COMMANDS[cmd]
    quoted = {}
    for keyword, value in kwargs.items():
        try:
            quoted[keyword] = urllib.parse.quote(str(value), safe='')
        except UnicodeEncodeError:
            raise _unsendable(cmd, keyword, value)
        # The libraries below resolve these even when they are quoted.
        if value in ('.', '..'):
            raise _unsendable(cmd, keyword, value)
    target = _PREFIX + command.path.format(**quoted)
    if command.query:
        target += '?' + urllib.parse.urlencode(
            {parameter: kwargs[keyword]
             for parameter, keyword in command.query.items()
             if kwargs[keyword] is not None})
    etag = kwargs.get('etag')
    return Request(
        method=command.method,
        target=target,
        body=_body(command, kwargs) if command.body else None,
        headers={'If-Match': etag} if etag else {})


def _unsendable(cmd: str, keyword: str,
                value: object) -> lightos_exception.LightOSError:
    return lightos_exception.LightOSError(reason=_(
        '%(value)r cannot be the %(keyword)s of %(cmd)s: the names of LightOS '
        'have 1 to 253 letters, digits, "-", "_" and "."')
        % {'value': value, 'keyword': keyword, 'cmd': cmd})


def _body(command: Command, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for field, keyword in command.body.items():
        value = kwargs.get(keyword)
        if value is None:
            continue
        if field in _STRING_LISTS:
            value = {'values': value}
        elif field == 'qosPolicyUUID' and not uuidutils.is_uuid_like(value):
            field = 'qosPolicyName'
        elif field == 'sectorSize':
            value = _SECTOR_SIZES[value]
        elif field == 'labels':
            value = [{'key': key, 'value': text} for key, text in value]
        body[field] = value
    return body
