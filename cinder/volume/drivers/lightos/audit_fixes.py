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
"""What ``lightos-audit --fix`` does to the cluster.

Each finding is looked at once more right before, on both sides, and only
what is still so is mended. Nothing is ever written into Cinder's database.
"""

from typing import Callable, Iterable, Mapping, NamedTuple, Optional

from oslo_log import log as logging

from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder.objects.volume import Volume
from cinder.volume.drivers.lightos import access
from cinder.volume.drivers.lightos import attachments
from cinder.volume.drivers.lightos import audit_findings as findings
from cinder.volume.drivers.lightos import audit_proofs as proofs
from cinder.volume.drivers.lightos import audit_records as records
from cinder.volume.drivers.lightos import changes
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import locks
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import snapshots
from cinder.volume.drivers.lightos import waiting

LOG = logging.getLogger(__name__)

Finding = findings.Finding


class Fixed(NamedTuple):
    """What became of a finding that was to be mended.

    :param error: why it was not; empty if it was
    """

    finding: Finding
    error: str


def fix(cluster: proofs.Cluster, found: Iterable[Finding],
        kinds: Iterable[str], settle: float) -> list[Fixed]:
    """Mend the findings of some classes.

    :param kinds: names in ``FIXES``
    :param settle: seconds after which it is seen whether a host that was let
        in was being detached at that moment
    """
    tried = []
    for finding in found:
        if finding.kind in kinds and not finding.by_hand:
            tried.append(Fixed(finding, _attempt(cluster, finding)))
    let_in = [each.finding for each in tried
              if each.finding.kind == 'no-access' and not each.error]
    if let_in:
        waiting.sleep(settle)
        for finding in let_in:
            _take_back_if_gone(cluster, finding)
    return tried


def _attempt(cluster: proofs.Cluster, finding: Finding) -> str:
    try:
        now = proofs.again(cluster, finding)
        if now is None:
            return _('it was not so any more')
        if now.by_hand:
            return now.by_hand
        FIXES[now.kind](cluster, now)
    except cinder_exception.CinderException as exc:
        return str(exc)
    LOG.warning('Mended (%(kind)s): %(kept)s %(name)s, %(what)s',
                {'kind': now.kind, 'kept': now.kept, 'name': now.name,
                 'what': now.what})
    return ''


def _delete_temporary(cluster: proofs.Cluster, finding: Finding) -> None:
    op = cluster.operation(_('delete the temporary snapshot %s')
                           % finding.name)
    snapshots.delete(op, identity.SnapshotIdentity(
        finding.volume_id or '', finding.name or '', finding.project or '',
        finding.uuid))


def _delete_orphan(cluster: proofs.Cluster, finding: Finding) -> None:
    """Delete a volume, exactly as it was when it was proven to be ours."""
    op = cluster.operation(_('delete the orphan %s') % finding.name)
    volume = lookup.read(op, finding.project or '', finding.uuid or '')
    if volume is None:
        return
    # What is proven now is what If-Match below is about.
    proven = proofs.again(cluster, finding)
    if proven is None or proven.by_hand:
        raise op.failed(proven.by_hand if proven else
                        _('it was not so any more'))
    answer = op.send('delete_volume', project_name=finding.project,
                     volume_uuid=volume.uuid, etag=volume.etag)
    left = lookup.again(op, lookup.Found(finding.project or '', volume))
    if left is not None and left.volume.state not in replies.DEAD:
        raise op.failed(answer.text)


def _grow(cluster: proofs.Cluster, finding: Finding) -> None:
    volume = _record(finding)
    changes.extend(
        cluster.operation(_('extend volume %(id)s to %(size)d GiB')
                          % {'id': volume.id, 'size': volume.size}),
        identity.of_volume(volume), volume.size)


def _shut_out(cluster: proofs.Cluster, finding: Finding) -> None:
    _change_access(_record(finding), cluster, finding.host or '', False)


def _let_in(cluster: proofs.Cluster, finding: Finding) -> None:
    _change_access(_record(finding), cluster, finding.host or '', True)


def _take_back_if_gone(cluster: proofs.Cluster, finding: Finding) -> None:
    """Shut a host out again that was being detached when it was let in."""
    try:
        volume = _record(finding)
        rows = attachments.Attachments.of(volume, ())
        if not rows.rows_of(finding.host or ''):
            _change_access(volume, cluster, finding.host or '', False)
    except cinder_exception.VolumeNotFound:
        return
    except cinder_exception.CinderException as exc:
        LOG.error('Host %(nqn)s was let in to volume %(id)s and may have been '
                  'detached meanwhile: %(why)s',
                  {'nqn': finding.host, 'id': finding.volume_id, 'why': exc})


def _change_access(volume: Volume, cluster: proofs.Cluster, nqn: str,
                   attached: bool) -> None:
    """Let the lists follow the attachments, as far as one host goes.

    :param attached: whether the host has to be attached for this
    """
    op = cluster.operation(
        (_('let host %(nqn)s in to volume %(id)s') if attached else
         _('shut host %(nqn)s out of volume %(id)s'))
        % {'nqn': nqn, 'id': volume.id})
    with locks.of_volume(op, volume.id):
        _follow_attachments(op, records.volume(volume.id) or volume, cluster,
                            nqn, attached)


def _follow_attachments(op: operation.Operation, volume: Volume,
                        cluster: proofs.Cluster, nqn: str,
                        attached: bool) -> None:
    backend = cluster.backend_of(volume)
    if backend is None or not records.is_at_rest(volume):
        raise op.failed(_('something goes on with it, it is %s')
                        % records.state(volume))
    policy = backend.policy
    rows = attachments.Attachments.of(volume, ())
    if attached is not bool(rows.rows_of(nqn)):
        raise op.failed(_('its attachments have changed'))
    if not attached and any(not row.connector
                            for row in volume.volume_attachment):
        # Its connector is stored after the driver has let the host in.
        raise op.failed(_('one of its attachments has no connector stored, '
                          'so that it may be that of this host'))

    def plan(found: replies.Volume) -> Optional[changes.Change]:
        lists = lookup.lists_of(found)
        if attached:
            for host in attachments.Attachments.of(
                    volume, policy.networks).hosts:
                if host.nqn == nqn:
                    lists = access.admit(lists, host, policy.use_ipacl)
        else:
            theirs = {ip for host in rows.hosts for ip in host.ips}
            lists = access.expel(lists, nqn, (
                ip for ip in lists.ips or () if ip not in theirs))
        return changes.access_change(found, lists)

    changes.change(op, identity.of_volume(volume), plan)


def _record(finding: Finding) -> Volume:
    volume = finding.volume_id and records.volume(finding.volume_id)
    if not volume:
        raise cinder_exception.VolumeNotFound(volume_id=finding.volume_id)
    return volume


Fix = Callable[[proofs.Cluster, Finding], None]

FIXES: Mapping[str, Fix] = {
    'temporary-snapshots': _delete_temporary,
    'access': _shut_out,
    'no-access': _let_in,
    'sizes': _grow,
    'orphans': _delete_orphan,
}
