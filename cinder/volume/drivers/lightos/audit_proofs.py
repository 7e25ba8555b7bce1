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
"""The audit's second look: at one thing, on both sides afresh.

It tells, too, whether an object that Cinder does not know is proven to be
the driver's own.
"""

from typing import NamedTuple, Optional

from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder.objects.volume import Volume
from cinder.volume.drivers.lightos import access
from cinder.volume.drivers.lightos import attachments
from cinder.volume.drivers.lightos import audit_findings as findings
from cinder.volume.drivers.lightos import audit_records as records
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import labels
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import snapshots
from cinder.volume.drivers.lightos import waiting

Finding = findings.Finding

_ANOTHER_CINDER = _('it may belong to another Cinder on the same cluster')


class Cluster(NamedTuple):
    """One LightOS cluster and the backends that are on it."""

    uuid: str
    backends: tuple[records.Backend, ...]

    def backend_of(self, volume: Volume) -> Optional[records.Backend]:
        """Whose a volume record is, None if it is none of these."""
        return next((backend for backend in self.backends
                     if backend.manages(volume)), None)

    def operation(self, action: str) -> operation.Operation:
        """Something to do on the cluster."""
        return operation.Operation(self.backends[0].connection, action,
                                   self.deadline())

    def deadline(self) -> waiting.Deadline:
        """What an operation of the driver would have, beginning now."""
        return waiting.Deadline(
            3 * self.backends[0].conf.lightos_api_service_timeout + 10)


def look(cluster: Cluster, finding: Finding) -> list[Finding]:
    """What there is to find now about the thing that a finding is about.

    :raises: LightOSRefused, LightOSNotSeen
    """
    op = cluster.operation(_('audit %(kept)s %(name)s') % {
        'kept': finding.kept, 'name': finding.name or finding.volume_id})
    try:
        if finding.kind == 'temporary-snapshots':
            return _temporary(op, finding)
        if finding.kind == 'orphans' and finding.kept == 'volume':
            return _orphan_volume(op, cluster, finding)
        if finding.kind == 'orphans':
            return _orphan_snapshot(op, finding)
        if finding.kept == 'snapshot':
            return _snapshot(op, cluster, finding)
        return _volume(op, cluster, finding)
    except cinder_exception.VolumeNotFound:
        # A snapshot goes, and the record of its volume went first.
        return []


def again(cluster: Cluster, finding: Finding) -> Optional[Finding]:
    """A finding as it is now, None if it has gone.

    :raises: LightOSRefused, LightOSNotSeen
    """
    return next((each for each in look(cluster, finding)
                 if each.key == finding.key), None)


def _volume(op: operation.Operation, cluster: Cluster,
            finding: Finding) -> list[Finding]:
    volume = finding.volume_id and records.volume(finding.volume_id)
    backend = volume and cluster.backend_of(volume)
    if not volume or not backend:
        return []
    if not records.is_at_rest(volume):
        return [findings.of_stuck('volume', volume, backend)
                ] if records.is_stuck(volume) else []
    sought = identity.of_volume(volume)
    found = lookup.find(op, sought)
    elsewhere = None
    if (found is None and finding.project and sought.recorded and
            sought.recorded.uuid):
        there = lookup.read(op, finding.project, sought.recorded.uuid)
        elsewhere = there and lookup.Found(finding.project, there)
    seen = list(findings.of_volume(
        volume, found, elsewhere, attachments.Attachments.of(volume, ()),
        backend))
    if (any(each.kind == 'access' for each in seen) and
            records.is_copied_for_backup(volume.id)):
        seen = [each for each in seen if each.kind != 'access']
    return seen


def _snapshot(op: operation.Operation, cluster: Cluster,
              finding: Finding) -> list[Finding]:
    snapshot = finding.snapshot_id and records.snapshot(finding.snapshot_id)
    backend = snapshot and cluster.backend_of(snapshot.volume)
    if not snapshot or not backend:
        return []
    if not records.is_at_rest(snapshot):
        return [findings.of_stuck('snapshot', snapshot, backend)
                ] if records.is_stuck(snapshot) else []
    return list(findings.of_snapshot(
        snapshot, snapshots.find(op, identity.of_snapshot(snapshot)),
        backend))


def _temporary(op: operation.Operation, finding: Finding) -> list[Finding]:
    volume_id = findings.cloned_volume(finding.name) or ''
    found = _read_snapshot(op, finding, volume_id)
    volume = records.volume(volume_id, deleted=True)
    if found is None or (volume and not volume.deleted and
                         not records.is_at_rest(volume)):
        return []
    if volume:
        return [findings.temporary(
            found, volume_id, _('the clone to volume %(id)s has ended, which '
                                'is %(state)s')
            % {'id': volume_id, 'state': records.state(volume)}, '')]
    source_id = findings.volume_id_of(found.snapshot.source_volume_name)
    ours = source_id and records.volume(source_id, deleted=True)
    return [findings.temporary(
        found, volume_id, _('Cinder has no record of volume %s')
        % volume_id, '' if ours else _ANOTHER_CINDER)]


def _orphan_snapshot(op: operation.Operation,
                     finding: Finding) -> list[Finding]:
    snapshot_id = findings.snapshot_id_of(finding.name) or ''
    found = _read_snapshot(op, finding, snapshot_id)
    if found is None:
        return []
    record = records.snapshot(snapshot_id, deleted=True)
    if record is None:
        return [findings.orphan(
            'snapshot', *found, _('Cinder has no record of snapshot %s')
            % snapshot_id, _ANOTHER_CINDER)]
    if record.deleted:
        return [findings.orphan(
            'snapshot', *found, _('Cinder has deleted snapshot %(id)s at '
                                  '%(when)s')
            % {'id': snapshot_id, 'when': record.deleted_at},
            _('it may have been unmanaged, which nothing tells of a '
              'snapshot'))]
    if not records.is_at_rest(record):
        return []
    own = snapshots.find(op, identity.of_snapshot(record))
    if own and own.snapshot.uuid == found.snapshot.uuid:
        return []
    return [findings.orphan(
        'snapshot', *found, _('Cinder has snapshot %(id)s as %(recorded)s')
        % {'id': snapshot_id, 'recorded': record.provider_id},
        _('compare the two'))]


def _orphan_volume(op: operation.Operation, cluster: Cluster,
                   finding: Finding) -> list[Finding]:
    project, uuid = finding.project or '', finding.uuid or ''
    volume = lookup.read(op, project, uuid)
    name_id = volume and findings.volume_id_of(volume.name)
    if (volume is None or name_id is None or
            volume.state in replies.DEAD):
        return []
    claimants = records.claimants(
        name_id, str(identity.ProviderId(project, uuid)))
    for record in claimants:
        if not records.is_at_rest(record):
            return []
        own = lookup.find(op, identity.of_volume(record))
        if own and own.volume.uuid.lower() == uuid.lower():
            return []
    if claimants:
        return [findings.orphan(
            'volume', project, volume,
            _('Cinder has volume %(id)s as %(recorded)s')
            % {'id': claimants[0].id, 'recorded': claimants[0].provider_id},
            _('compare the two'))]
    present = dict(volume.labels or ())
    last = records.volume(present.get(labels.VOLUME, name_id), deleted=True)
    if last is None:
        return [findings.orphan(
            'volume', project, volume,
            _('Cinder has no record of volume %(id)s, not even a deleted '
              'one; its label says backend %(backend)s')
            % {'id': name_id, 'backend': present.get(labels.BACKEND, '-')},
            _ANOTHER_CINDER)]
    return [findings.orphan(
        'volume', project, volume,
        _('Cinder has deleted volume %(id)s at %(when)s')
        % {'id': last.id, 'when': last.deleted_at}
        if last.deleted else
        _('its label names volume %s, which Cinder has') % last.id,
        _why_not_ours(cluster, last, name_id, volume))]


def _why_not_ours(cluster: Cluster, record: Volume, name_id: str,
                  volume: replies.Volume) -> str:
    """Why a volume is not proven to be what a deleted record has left.

    Another Cinder on the cluster names its volumes likewise, and a volume
    that Cinder has let go (unmanage) has a deleted record, too: that it has
    not lost its labels is what tells that it was not.

    :returns: empty if it is proven
    """
    present = dict(volume.labels or ())
    backend = cluster.backend_of(record)
    recorded = identity.ProviderId.parse(record.provider_id)
    if not record.deleted:
        return _('compare the two')
    if not {labels.VOLUME, labels.BACKEND} <= set(present):
        return _('it does not have the labels of the driver, so that it may '
                 'have been unmanaged, or be another Cinder\'s')
    if backend is None or not any(
            labels.Ownership(record.id, None, None, service).is_on(
                volume.labels) for service in backend.services):
        return _('its label says that it is of backend %s') % (
            present[labels.BACKEND])
    if record.name_id != name_id or (
            recorded and recorded.uuid and
            recorded.uuid.lower() != volume.uuid.lower()):
        return _('the volume that Cinder deleted was another one')
    if volume.connected_hosts or volume.acl != access.NOBODY:
        return _('hosts are let in')
    return ''


def _read_snapshot(op: operation.Operation, finding: Finding,
                   cinder_id: str) -> Optional[snapshots.Found]:
    """The live snapshot that a finding is about."""
    found = snapshots.find(op, identity.SnapshotIdentity(
        cinder_id, finding.name or '', finding.project or '', finding.uuid))
    return None if found is None or (
        found.snapshot.state in replies.DEAD) else found
