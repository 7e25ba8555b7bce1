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
"""Objects of the model as messages of the contract."""

from __future__ import annotations

from collections.abc import Mapping
import datetime
import ipaddress
import json
from typing import Any

from lightos_simulator import contract
from lightos_simulator import records
from lightos_simulator import world

DISCOVERY_PORT = 8009
NVME_PORT = 4420
_VERSION = '2.0'

Message = dict[str, Any]


class Messages:
    """Renders the objects of one cluster."""

    def __init__(self, definition: contract.Contract, cluster: world.World
                 ) -> None:
        self._contract = definition
        self._world = cluster

    def finish(self, name: str, values: Mapping[str, Any]) -> Message:
        """A message with its zero fields left out or filled in."""
        return self._contract.finish(name, values,
                                     self._world.assume.omit_zero)

    def rendered(self, record: records.Record) -> str:
        """An object's JSON, made anew only after a change."""
        if record.rendered is None:
            if isinstance(record, records.Volume):
                message = self.volume(record)
            elif isinstance(record, records.Snapshot):
                message = self.snapshot(record)
            else:
                assert isinstance(record, records.Policy)
                message = self.policy(record)
            record.rendered = json.dumps(message, separators=(',', ':'))
        return record.rendered

    def volume(self, volume: records.Volume) -> Message:
        """Volume."""
        policy = self._world.policies.get(volume.policy_uuid)
        words = (('enabled', 'disabled')
                 if self._world.assume.compression_words
                 else ('true', 'false'))
        message = self.finish('Volume', {
            **self._replicated(volume),
            'protectionState': volume.protection,
            'compression': words[0] if volume.compression else words[1],
            'rebuildProgress': '',
            'statistics': self.finish('VolumeStatisticsApi', {
                'logicalUsedStorage': str(volume.used),
                'physicalUsedStorage': str(volume.used * volume.replicas),
                'physicalCapacity': str(volume.used * volume.replicas),
                'physicalOwnedCapacity': str(volume.used * volume.replicas),
                'userWritten': str(volume.used),
                'compressionRatio': 1.0, 'totalCompressionRatio': 1.0}),
            'connectedHosts': list(volume.connected_hosts),
            'sourceSnapshotUUID': volume.source_uuid,
            'sourceSnapshotName': volume.source_name,
            'placementRestrictions': list(volume.placement),
            'qosPolicyUUID': policy.uuid if policy else '',
            'qosPolicyName': policy.name if policy else ''})
        return self._without_ip_acl(message)

    def snapshot(self, snapshot: records.Snapshot) -> Message:
        """Snapshot."""
        message = self.finish('Snapshot', {
            **self._replicated(snapshot),
            'compression': snapshot.compression,
            'description': snapshot.description,
            'retentionTime': _duration(snapshot.retention),
            'sourceVolumeUUID': snapshot.volume_uuid,
            'sourceVolumeName': snapshot.volume_name,
            'statistics': self.finish('SnapshotStatisticsApi', {})})
        return self._without_ip_acl(message)

    def _without_ip_acl(self, message: Message) -> Message:
        if not self._world.assume.ip_acl:
            del message['IPAcl']
        return message

    def _replicated(self, record: records.Replicated) -> Message:
        return {
            'state': record.state, 'UUID': record.uuid, 'name': record.name,
            'projectName': record.project, 'size': str(record.size),
            'replicaCount': record.replicas, 'nodeList': list(record.nodes),
            'primaryNodeUUID': record.nodes[0] if record.nodes else '',
            'nsid': record.nsid, 'sectorSize': record.sector_size,
            'acl': {'values': list(record.acl)},
            'IPAcl': {'values': list(record.ip_acl)},
            'ETag': str(record.etag),
            'creationTime': timestamp(record.created),
            'labels': [{'key': key, 'value': value}
                       for key, value in record.labels],
            'clusterId': self._world.uuid}

    def policy(self, policy: records.Policy) -> Message:
        """Policy."""
        limits = policy.limits
        return self.finish('Policy', {
            'UUID': policy.uuid, 'name': policy.name, 'state': policy.state,
            'description': policy.description,
            'QoSRateLimitPolicy': self.finish('QoSRateLimitPolicy', {
                'projectsNamesScope': list(limits['projectsNamesScope']),
                'policyVisibility': limits['policyVisibility'],
                **{kind: self.finish('QoSRateLimitPolicy.QoS' + name,
                                     limits[kind])
                   for kind, name in (('limitIOPS', 'LimitIOPS'),
                                      ('limitBw', 'LimitBW'),
                                      ('limitIOPSPerGB', 'LimitIOPSPerGB'))
                   if kind in limits}})})

    def project(self, project: records.Project) -> Message:
        """Project."""
        defaults = []
        if project.policy_uuid:
            defaults.append(self.finish('DefaultPolicy', {
                'policyType': 'qosRateLimit',
                'policyUUID': project.policy_uuid}))
        return self.finish('Project', {
            'UUID': project.uuid, 'name': project.name,
            'defaultPolicies': defaults})

    def node(self, node: records.Node) -> Message:
        """DurosNodeInfo."""
        active = node.state == 'Active'
        return self.finish('DurosNodeInfo', {
            'name': node.name, 'UUID': node.uuid, 'state': node.state,
            'status': 'ConnectivityOK' if active else 'ConnectivityProblem',
            'nvmeEndpoint': endpoint(node.data_address, NVME_PORT),
            'failureDomains': [node.failure_domain],
            'hostname': node.name, 'numManagedDevices': 1,
            'maxNvmeDevices': 1, 'serverUUID': node.server_uuid,
            'ETag': str(node.etag),
            'statistics': self.finish('NodeStatisticsApi',
                                      {'compressionRatio': 1.0})})

    def _cluster(self) -> Message:
        active = self._world.active_nodes()
        supported = (0 if self._world.assume.max_replicas_unknown
                     else min(world.MAX_REPLICAS, len(self._world.nodes)))
        return {
            'UUID': self._world.uuid,
            'subsystemNQN': self._world.subsystem_nqn,
            'currentMaxReplicas': self._world.current_max_replicas(),
            'supportedMaxReplicas': supported,
            'ETag': str(self._world.etag),
            'apiEndpoints': [endpoint(node.address, self._world.port)
                             for node in active],
            'discoveryEndpoints': [endpoint(node.data_address,
                                            DISCOVERY_PORT)
                                   for node in active],
            'clusterName': 'simulator',
            'lastUpgrade': self.finish('ClusterLastUpgrade',
                                       {'Status': 'None'}),
            'inBandAuthMode': 'Disabled',
            'encryptionStatus': self.finish('ClusterEncryptionStatus', {})}

    def cluster_info(self) -> Message:
        """ClusterInfoV2."""
        return self.finish('ClusterInfoV2', {
            **self._cluster(),
            'nvmeEndpoints': [endpoint(node.data_address, NVME_PORT)
                              for node in self._world.active_nodes()]})

    def cluster(self) -> Message:
        """ClusterInfo."""
        cluster = self._world
        capacity = str(cluster.capacity)
        free = str(max(0, cluster.capacity - cluster.used))
        counts = cluster.protections
        inactive = len(cluster.nodes) - len(cluster.active_nodes())
        impaired = (inactive or counts['Degraded'] or counts['ReadOnly']
                    or counts['NotAvailable'])
        return self.finish('ClusterInfo', {
            **self._cluster(),
            'MinVersionInCluster': _VERSION, 'MinAllowedVersion': _VERSION,
            'MaxAllowedVersion': _VERSION,
            'federatedAuthenticationStatus': self.finish(
                'FederatedAuthenticationStatus', {}),
            'statistics': self.finish('ClusterStatisticsApi', {
                'installedPhysicalStorage': capacity,
                'managedPhysicalStorage': capacity,
                'effectivePhysicalStorage': capacity,
                'logicalStorage': str(cluster.provisioned),
                'logicalUsedStorage': str(cluster.used),
                'physicalUsedStorage': str(cluster.used),
                'physicalUsedStorageIncludingParity': str(cluster.used),
                'freePhysicalStorage': free,
                'estimatedFreeLogicalStorage': free,
                'estimatedLogicalStorage': capacity,
                'compressionRatio': 1.0}),
            'health': self.finish('ClusterHealth', {
                'state': 'Warning' if impaired else 'OK',
                'numDegradedVolumes': counts['Degraded'],
                'numReadOnlyVolumes': counts['ReadOnly'],
                'numNotAvailableVolumes': counts['NotAvailable'],
                'numInactiveNodes': inactive,
                'numHealthyVolumes': counts['FullyProtected']})})

    def event(self, event: records.Event) -> Message:
        """Event."""
        uuid, name = event.component
        if event.kind == 'Volume':
            component = {'ComponentVolumesInfo': self.finish(
                'ComponentVolumesInfo', {'ProjectVolumesMap': [self.finish(
                    'ComponentVolumesInfo.ProjectVolumesMapEntry', {
                        'key': event.project,
                        'value': self.finish('VolumeComponentInfoList', {
                            'VolumeComponentInfoList': [self.finish(
                                'ComponentVolumeInfo',
                                {'ID': uuid, 'Name': name})]})})]})}
        else:
            component = {'ComponentNodeInfo': self.finish(
                'ComponentNodeInfo', {'ID': uuid, 'Name': name})}
        return self.finish('Event', {
            'ID': str(event.number), 'Time': timestamp(event.time),
            'Type': event.kind, 'Severity': event.severity,
            'EventName': event.name, 'EventCode': event.code,
            'ReportingService': 'CM', 'Description': event.description,
            **component})


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.strftime('%Y-%m-%dT%H:%M:%S.%fZ')


def _duration(seconds: float) -> str | None:
    return '%.9gs' % seconds if seconds else None


def endpoint(address: str, port: int) -> str:
    """``ip:port``, with an IPv6 address in brackets."""
    if ipaddress.ip_address(address).version == 6:
        return '[%s]:%d' % (address, port)
    return '%s:%d' % (address, port)
