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
"""How the audit looks: at everything, and again at what seemed wrong.

The lists are not of one moment, neither the cluster's nor Cinder's. What
they do not have in common is only suspected; it is found when a second look,
some seconds later and at both sides afresh, shows the same.
"""

import collections
from typing import Iterator

from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder.objects.snapshot import Snapshot
from cinder.objects.volume import Volume
from cinder.volume.drivers.lightos import attachments
from cinder.volume.drivers.lightos import audit_findings as findings
from cinder.volume.drivers.lightos import audit_inventory as inventory
from cinder.volume.drivers.lightos import audit_proofs as proofs
from cinder.volume.drivers.lightos import audit_records as records
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import snapshots
from cinder.volume.drivers.lightos import waiting

Finding = findings.Finding


class Seen:
    """What an audit of one cluster has seen.

    :ivar findings: what two looks have shown
    :ivar waiting: the records that were not judged
    :ivar notes: what the operator should know to read the rest
    :ivar errors: why some of it could not be audited
    """

    def __init__(self, cluster: proofs.Cluster) -> None:
        self.cluster = cluster
        self.findings: list[Finding] = []
        self.waiting: list[findings.Waiting] = []
        self.notes: list[str] = []
        self.errors: list[str] = []
        self.projects: tuple[str, ...] = ()
        self.counts: collections.Counter[str] = collections.Counter()


def audit(cluster: proofs.Cluster, settle: float) -> Seen:
    """Look at all of a cluster; it raises nothing of Cinder's.

    :param settle: seconds from the first look to the second
    """
    seen = Seen(cluster)
    try:
        suspected = _First(seen).look()
        if suspected:
            waiting.sleep(settle)
            _second(seen, suspected)
    except cinder_exception.CinderException as exc:
        seen.errors.append(str(exc))
    return seen


class _First:
    """The first look: at everything."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._cluster = seen.cluster
        self._inventory = inventory.Inventory(
            seen.cluster.backends[0].connection,
            _('list what the cluster has'), seen.cluster.deadline())

    def look(self) -> list[Finding]:
        """What has to be looked at again.

        :raises: LightOSRefused, LightOSNotSeen
        """
        self._load_projects()
        suspected: list[Finding] = []
        for volume in records.volumes():
            suspected += self._volume(volume)
        for snapshot in records.snapshots():
            suspected += self._snapshot(snapshot)
        suspected += self._unclaimed()
        self._tell()
        return suspected

    def _load_projects(self) -> None:
        projects = self._inventory.names()
        if projects is None:
            self._seen.notes.append(_(
                'The token may not list the LightOS projects: only those '
                'that records and volume types of Cinder name were looked '
                'at. Orphans in others are not seen.'))
            projects = tuple(sorted(
                {identity.LIGHTOS_DEFAULT_PROJECT_NAME} |
                set(filter(identity.is_name, records.projects_of_types(
                    identity.PROJECT_SPEC)))))
        for project in projects:
            self._inventory.load(project)

    def _volume(self, volume: Volume) -> list[Finding]:
        backend = self._cluster.backend_of(volume)
        sought = identity.of_volume(volume)
        if backend:
            self._seen.counts['cinder_volumes'] += 1
            for project in sought.projects:
                self._inventory.load(project)
        try:
            found = lookup.find(self._inventory, sought)
        except exception.LightOSRefused as exc:
            # Of the records of others only what they account for counts.
            if backend:
                self._refused(exc)
            return []
        if found:
            self._inventory.claim(found.volume.uuid)
        if backend is None:
            return []
        if not records.is_at_rest(volume):
            return self._waiting('volume', volume, backend)
        recorded = sought.recorded and sought.recorded.uuid
        elsewhere = self._inventory.volume(recorded)
        if elsewhere and found is None and lookup.is_named_for(
                elsewhere.volume.name, sought.name_id):
            self._inventory.claim(elsewhere.volume.uuid)
        else:
            elsewhere = None
        return list(findings.of_volume(
            volume, found, elsewhere, attachments.Attachments.of_rows(
                volume.volume_attachment, ()), backend))

    def _snapshot(self, snapshot: Snapshot) -> list[Finding]:
        if not snapshot.obj_attr_is_set('volume'):
            self._seen.counts['without_volume'] += 1
            return []
        backend = self._cluster.backend_of(snapshot.volume)
        sought = identity.of_snapshot(snapshot)
        if backend:
            self._seen.counts['cinder_snapshots'] += 1
            self._inventory.load(sought.project)
        try:
            found = snapshots.find(self._inventory, sought)
        except exception.LightOSRefused as exc:
            if backend:
                self._refused(exc)
            return []
        if found:
            self._inventory.claim(found.snapshot.uuid)
        if backend is None:
            return []
        if not records.is_at_rest(snapshot):
            return self._waiting('snapshot', snapshot, backend)
        return list(findings.of_snapshot(snapshot, found, backend))

    def _waiting(self, kept: str, record: records.Record,
                 backend: records.Backend) -> list[Finding]:
        """What there is to tell of a record with which something goes on."""
        if records.is_stuck(record):
            return [findings.of_stuck(kept, record, backend)]
        self._seen.waiting.append(findings.Waiting(
            kept, record.id, records.state(record), records.since(record)))
        return []

    def _unclaimed(self) -> Iterator[Finding]:
        others = 0
        for found in self._inventory.unclaimed_volumes():
            if findings.volume_id_of(found.volume.name):
                yield findings.orphan('volume', *found, '', '')
            else:
                others += 1
        for kept in self._inventory.unclaimed_snapshots():
            volume_id = findings.cloned_volume(kept.snapshot.name)
            if volume_id:
                yield findings.temporary(kept, volume_id, '', '')
            elif findings.snapshot_id_of(kept.snapshot.name):
                yield findings.orphan('snapshot', *kept, '', '')
            else:
                others += 1
        if others:
            self._seen.notes.append((_(
                '%d volume or snapshot is not named as Cinder names them and '
                'is nobody\'s that Cinder knows: it was left out.')
                if others == 1 else _(
                    '%d volumes and snapshots are not named as Cinder names '
                    'them and are nobody\'s that Cinder knows: they were '
                    'left out.')) % others)

    def _refused(self, exc: exception.LightOSRefused) -> None:
        if str(exc) not in self._seen.errors:
            self._seen.errors.append(str(exc))

    def _tell(self) -> None:
        seen = self._seen
        seen.projects = tuple(sorted(self._inventory.projects))
        seen.counts['volumes'], seen.counts['snapshots'] = (
            self._inventory.counts())
        alone = seen.counts['without_volume']
        if alone:
            seen.notes.append((_(
                '%d snapshot record of Cinder has no volume record: it was '
                'left out.') if alone == 1 else _(
                    '%d snapshot records of Cinder have no volume record: '
                    'they were left out.')) % alone)
        if self._inventory.unopened:
            seen.notes.append(_('The token does not open these LightOS '
                                'projects: %s.') % ', '.join(sorted(
                                    self._inventory.unopened)))


def _second(seen: Seen, suspected: list[Finding]) -> None:
    """Look again at what was suspected, at each thing once."""
    keys = {finding.key for finding in suspected}
    things = {finding.thing: finding for finding in suspected}
    for finding in things.values():
        try:
            seen.findings += [each for each in proofs.look(
                seen.cluster, finding) if each.key in keys]
        except cinder_exception.CinderException as exc:
            seen.errors.append(str(exc))
            if inventory.ends_all(exc):
                seen.errors.append(_('The second look ended there: what else '
                                     'was suspected is not told.'))
                break
    order = list(findings.CLASSES)
    seen.findings.sort(key=lambda finding: order.index(finding.kind))
