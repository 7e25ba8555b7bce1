# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""The operations of the contract, done on the model.

Each takes a decoded request, whose right has been checked, and gives the
JSON of its reply.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import datetime
import itertools
import json
import re
from typing import Any
from typing import TypeVar

from lightos_simulator import auth
from lightos_simulator import contract
from lightos_simulator import errors
from lightos_simulator import messages
from lightos_simulator import model
from lightos_simulator import records
from lightos_simulator import rules
from lightos_simulator import store
from lightos_simulator import volumes

RecordT = TypeVar('RecordT', bound=records.Record)

_API_VERSION = 'v2'
_FRACTION = re.compile(r'\.([0-9]+)')
_SECTOR_SIZES = {'sectorSize_512B': 512, 'sectorSize_4K': 4096}


@dataclasses.dataclass(frozen=True)
class Call:
    """A request, decoded.

    :ivar fields: what it carries, without what is at its zero value
    :ivar if_match: its If-Match header
    :ivar fails: let the object that it works on end Failed
    """
    identity: auth.Identity
    fields: Mapping[str, Any]
    if_match: str | None
    fails: bool

    def text(self, name: str) -> str:
        """A string field; empty if it is absent."""
        value: str = self.fields.get(name, '')
        return value

    def required(self, name: str) -> str:
        """A string field that must be there.

        :raises ApiError: 400
        """
        if name not in self.fields:
            raise errors.invalid('%s is needed' % name)
        return self.text(name)

    @property
    def project(self) -> str | None:
        """The project that it is about; None is all."""
        return self.fields.get('projectName')


class Operations:
    """What a cluster does, by the name of the operation."""

    def __init__(self, cluster: model.Cluster,
                 definition: contract.Contract) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self.messages = messages.Messages(definition, cluster.world)
        self.table: Mapping[str, Callable[[Call], str]] = {
            'GetVersion': self._get_version,
            'CreateVolume': self._create_volume,
            'GetVolume': self._get_volume,
            'ListVolumes': self._list_volumes,
            'UpdateVolume': self._update_volume,
            'DeleteVolume': self._delete_volume,
            'RollbackVolume': self._rollback_volume,
            'CreateSnapshot': self._create_snapshot,
            'GetSnapshot': self._get_snapshot,
            'ListSnapshots': self._list_snapshots,
            'DeleteSnapshot': self._delete_snapshot,
            'ListChangedBlocks': self._list_changed_blocks,
            'CreatePolicy': self._create_policy,
            'GetPolicy': self._get_policy,
            'ListPolicies': self._list_policies,
            'UpdatePolicy': self._update_policy,
            'DeletePolicy': self._delete_policy,
            'GetProject': self._get_project,
            'ListProjects': self._list_projects,
            'GetNode': self._get_node,
            'ListNodes': self._list_nodes,
            'GetHost': self._get_host,
            'ListHosts': self._list_hosts,
            'ListEvents': self._list_events,
            'GetCluster': self._get_cluster,
            'GetClusterInfo': self._get_cluster_info,
        }

    # Volumes

    def _volume(self, call: Call, name_field: str) -> records.Volume:
        return self._cluster.volumes.find(
            call.project, call.text('UUID'), call.text(name_field))

    def _create_volume(self, call: Call) -> str:
        fields = call.fields
        project = call.required('projectName')
        return self.messages.rendered(self._cluster.volumes.create(
            volumes.NewVolume(
                project=project,
                name=rules.name(call.text('name')),
                size=rules.size(call.text('size')),
                replicas=fields.get('replicaCount', 0),
                compression=rules.compression(call.text('compression')),
                acl=self._acl(fields),
                ip_acl=self._ip_acl(fields),
                labels=self._labels(fields) or (),
                sector_size=_SECTOR_SIZES.get(call.text('sectorSize'),
                                              rules.BLOCK),
                source_uuid=call.text('sourceSnapshotUUID'),
                source_name=call.text('sourceSnapshotName'),
                policy_uuid=call.text('qosPolicyUUID'),
                policy_name=call.text('qosPolicyName'),
                placement=tuple(fields.get('placementRestrictions', ()))),
            call.fails))

    def _acl(self, fields: Mapping[str, Any]) -> tuple[str, ...] | None:
        if 'acl' not in fields:
            return None
        return rules.acl(fields['acl'].get('values', ()))

    def _ip_acl(self, fields: Mapping[str, Any]) -> tuple[str, ...] | None:
        if 'IPAcl' not in fields:
            return None
        if not self._world.assume.ip_acl:
            if self._world.assume.ip_acl_refused:
                raise errors.invalid('unknown field IPAcl')
            return None
        return rules.ip_acl(fields['IPAcl'].get('values', ()),
                            self._world.assume.ip_acl_limit)

    def _labels(self, fields: Mapping[str, Any]) -> rules.Labels | None:
        # An empty list is an absent one in proto3.
        if 'labels' not in fields:
            return None
        return rules.labels(fields['labels'],
                            self._world.assume.cut_label_keys)

    def _get_volume(self, call: Call) -> str:
        return self.messages.rendered(self._volume(call, 'name'))

    def _list_volumes(self, call: Call) -> str:
        domain = call.text('failureDomain')
        source = call.text('snapshotUUID')
        nodes = {node.uuid for node in self._world.nodes
                 if domain in ('', node.failure_domain)}

        def wanted(volume: records.Volume) -> bool:
            return (source in ('', volume.source_uuid)
                    and not nodes.isdisjoint(volume.nodes))

        found: Iterable[records.Volume] = self._page(
            self._world.volumes, call, 'name', wanted)
        return self._list('volumes', found)

    def _page(self, objects: store.Store[RecordT], call: Call,
              name_field: str, wanted: Callable[[RecordT], bool]
              ) -> Iterable[RecordT]:
        project = call.project
        self._check_project(call)
        uuid = call.text('UUID')
        name = call.text(name_field)
        offset = call.text('offsetUUID')
        limit = rules.page_limit(call.fields.get('limit', 0))
        show_all = call.fields.get('showAll', False)
        candidates: Iterable[RecordT]
        if uuid:
            record = objects.get(uuid)
            candidates = [record] if record is not None else []
        elif name and project is not None:
            candidates = sorted(objects.named(project, name),
                                key=lambda record: record.uuid)
        else:
            candidates = objects.after(offset, project)
        return itertools.islice(
            (record for record in candidates
             if record.uuid > offset
             and name in ('', record.name)
             and project in (None, record.project)
             and (show_all or record.state != 'Deleting')
             and wanted(record)), limit)

    def _check_project(self, call: Call) -> None:
        if call.project is not None:
            self._world.project(call.project)

    def _list(self, field: str, found: Iterable[records.Record]) -> str:
        rendered = ','.join(map(self.messages.rendered, found))
        if not rendered and self._world.assume.omit_zero:
            return '{}'
        return '{"%s":[%s]}' % (field, rendered)

    def _update_volume(self, call: Call) -> str:
        fields = call.fields
        volume = self._volume(call, 'name')
        size = call.text('size')
        compression = call.text('compression')
        name = call.text('newName')
        self._cluster.volumes.update(
            volume,
            volumes.VolumeChange(
                name=rules.name(name, 'newName') if name else None,
                size=rules.size(size) if size else None,
                shrink=fields.get('Force', False),
                compression=(rules.compression(compression)
                             if compression else None),
                acl=self._acl(fields),
                ip_acl=self._ip_acl(fields),
                labels=self._labels(fields),
                policy_uuid=call.text('qosPolicyUUID'),
                policy_name=call.text('qosPolicyName')),
            call.if_match, call.fails)
        return '{}'

    def _delete_volume(self, call: Call) -> str:
        self._cluster.volumes.delete(self._volume(call, 'name'),
                                     call.if_match, call.fails)
        return '{}'

    def _rollback_volume(self, call: Call) -> str:
        volume = self._volume(call, 'Name')
        snapshot = self._cluster.snapshots.find(
            volume.project, call.text('srcSnapshotUUID'),
            call.text('srcSnapshotName'))
        self._cluster.volumes.rollback(volume, snapshot, call.if_match,
                                       call.fails)
        return '{}'

    # Snapshots

    def _snapshot(self, call: Call, name_field: str) -> records.Snapshot:
        return self._cluster.snapshots.find(
            call.project, call.text('UUID'), call.text(name_field))

    def _create_snapshot(self, call: Call) -> str:
        name = rules.name(call.text('name'))
        retention = rules.retention(call.fields.get('retentionTime', 0.0))
        volume = self._cluster.volumes.find(
            call.required('projectName'), call.text('sourceVolumeUUID'),
            call.text('sourceVolumeName'))
        return self.messages.rendered(self._cluster.snapshots.create(
            name, volume, retention, call.text('description'), call.fails))

    def _get_snapshot(self, call: Call) -> str:
        return self.messages.rendered(self._snapshot(call, 'Name'))

    def _list_snapshots(self, call: Call) -> str:
        found: Iterable[records.Snapshot] = self._page(
            self._world.snapshots, call, 'Name', lambda snapshot: True)
        return self._list('snapshots', found)

    def _delete_snapshot(self, call: Call) -> str:
        self._cluster.snapshots.delete(self._snapshot(call, 'name'),
                                       call.if_match, call.fails)
        return '{}'

    def _list_changed_blocks(self, call: Call) -> str:
        snapshot = self._cluster.snapshots.find(
            call.project, call.text('snapshotUUID'),
            call.text('snapshotName'))
        self._cluster.snapshots.check_usable(snapshot)
        base_uuid = call.text('baseSnapshotUUID')
        base_name = call.text('baseSnapshotName')
        if base_uuid or base_name:
            base = self._cluster.snapshots.find(call.project, base_uuid,
                                                base_name)
            self._cluster.snapshots.check_usable(base)
            if base.volume_uuid != snapshot.volume_uuid:
                raise errors.invalid('the snapshots are of two volumes')
        # The model holds no data, so nothing ever differs.
        return self._reply('ListChangedBlocksResponse', {})

    # QoS policies

    def _policy(self, call: Call) -> records.Policy:
        policy = self._cluster.policies.find(call.text('UUID'),
                                             call.text('name'))
        if not self._may_see(call, policy):
            raise errors.not_found('policy %s does not exist' % policy.name)
        return policy

    def _may_see(self, call: Call, policy: records.Policy) -> bool:
        project = call.project
        if project is None and not call.identity.is_cluster_admin:
            project = call.identity.scope
        return project is None or policy.visible_to(project)

    def _limits(self, call: Call) -> dict[str, Any] | None:
        limits: dict[str, Any] | None = call.fields.get('qoSRateLimitPolicy')
        if limits is None:
            return None
        rules.rate_limit(limits)
        limits.setdefault('projectsNamesScope', [])
        return limits

    def _create_policy(self, call: Call) -> str:
        limits = self._limits(call)
        if limits is None:
            raise errors.invalid('qoSRateLimitPolicy is needed')
        return self.messages.rendered(self._cluster.policies.create(
            rules.name(call.text('name')), call.text('description'), limits,
            call.fails))

    def _get_policy(self, call: Call) -> str:
        return self.messages.rendered(self._policy(call))

    def _list_policies(self, call: Call) -> str:
        uuid = call.text('UUID')
        name = call.text('name')
        self._check_project(call)
        return self._list('policies', (
            policy for policy in self._world.policies
            if uuid in ('', policy.uuid) and name in ('', policy.name)
            and self._may_see(call, policy)))

    def _update_policy(self, call: Call) -> str:
        name = call.text('name')
        self._cluster.policies.update(
            self._cluster.policies.find(call.text('UUID'), ''),
            rules.name(name) if name else '', call.text('description'),
            self._limits(call), call.fails)
        return '{}'

    def _delete_policy(self, call: Call) -> str:
        self._cluster.policies.delete(self._policy(call), call.fails)
        return '{}'

    # The cluster

    def _reply(self, name: str, values: Mapping[str, Any]) -> str:
        return json.dumps(self.messages.finish(name, values),
                          separators=(',', ':'))

    def _get_version(self, call: Call) -> str:
        return self._reply('Version', {'apiVersion': _API_VERSION})

    def _get_cluster(self, call: Call) -> str:
        return json.dumps(self.messages.cluster())

    def _get_cluster_info(self, call: Call) -> str:
        return json.dumps(self.messages.cluster_info())

    def _get_project(self, call: Call) -> str:
        return json.dumps(self.messages.project(
            self._world.project(call.text('name'))))

    def _list_projects(self, call: Call) -> str:
        return self._reply('ListProjectsResponse', {'projects': [
            self.messages.project(project)
            for project in self._world.projects.values()]})

    def _get_node(self, call: Call) -> str:
        return json.dumps(self.messages.node(
            self._cluster.node(call.text('UUID'))))

    def _list_nodes(self, call: Call) -> str:
        return self._reply('ListNodesResponse', {'nodes': [
            self.messages.node(node) for node in self._world.nodes
            if call.text('UUID') in ('', node.uuid)
            and call.text('name') in ('', node.name)
            and call.text('failureDomain') in ('', node.failure_domain)]})

    def _host(self, nqn: str, uuids: Sequence[str]) -> dict[str, Any]:
        return self.messages.finish('ConnectedHost', {
            'hostNQN': nqn, 'volumeUUIDs': list(uuids)})

    def _get_host(self, call: Call) -> str:
        nqn = call.text('hostNQN')
        found = self._cluster.hosts(nqn) if nqn else {}
        if not found:
            raise errors.not_found('host %s is not connected' % nqn)
        return json.dumps(self._host(nqn, found[nqn]))

    def _list_hosts(self, call: Call) -> str:
        found = self._cluster.hosts(call.text('hostNQN'),
                                    call.text('volumeUUID'))
        return self._reply('ListHostsResponse', {'connectedHosts': [
            self._host(nqn, uuids) for nqn, uuids in sorted(found.items())]})

    def _list_events(self, call: Call) -> str:
        self._check_project(call)
        limit = rules.page_limit(call.fields.get('limit', 0))
        after = _event_number(call.text('nextToken'))
        since = _moment(call.text('since'), 0.0)
        until = _moment(call.text('until'), float('inf'))
        severities = call.fields.get('severity', ())
        kind = call.text('componentType')
        found = list(itertools.islice(
            (event for event in self._world.events
             if event.number > after and since <= event.time <= until
             and (not severities or event.severity in severities)
             and kind in ('', event.kind)
             and call.project in (None, event.project)), limit + 1))
        token = str(found[limit - 1].number) if len(found) > limit else ''
        return self._reply('ListEventsResponse', {
            'events': [self.messages.event(event) for event in found[:limit]],
            'nextToken': token})


def _event_number(token: str) -> int:
    if not token:
        return 0
    if not (token.isascii() and token.isdigit()):
        raise errors.invalid('nextToken is not one of ours')
    return int(token)


def _moment(text: str, absent: float) -> float:
    if not text:
        return absent
    # Python 3.10 takes neither the Z nor any number of digits.
    text = _FRACTION.sub(lambda match: '.' + match[1][:6].ljust(6, '0'),
                         text.replace('Z', '+00:00'))
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise errors.invalid('a time must be RFC 3339') from None
    if moment.tzinfo is None:
        raise errors.invalid('a time needs its zone')
    return moment.timestamp()
