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
"""What an audit tells, as text for people and as JSON for programs."""

import json
from typing import Any, Iterator, NamedTuple, Optional

from cinder.i18n import _
from cinder.volume.drivers.lightos import audit_findings as findings
from cinder.volume.drivers.lightos import audit_fixes as fixes
from cinder.volume.drivers.lightos import audit_looks as looks

# Fields may be added to the JSON without a change of this; none goes or
# changes its meaning.
SCHEMA = 1

CLEAN, FINDINGS, INCOMPLETE = 0, 1, 2


class Report(NamedTuple):
    """All that was seen and done.

    :param seen: a part for each cluster
    :param fixed: what became of what was to be mended
    :param errors: why some backends could not be audited at all
    :param ignored: classes that are not told
    """

    seen: tuple[looks.Seen, ...]
    fixed: tuple[fixes.Fixed, ...]
    errors: tuple[str, ...]
    ignored: frozenset[str] = frozenset()

    @property
    def findings(self) -> list[findings.Finding]:
        """Those that are told."""
        return [finding for seen in self.seen for finding in seen.findings
                if finding.kind not in self.ignored]

    @property
    def all_errors(self) -> list[str]:
        return [*self.errors, *(error for seen in self.seen
                                for error in seen.errors)]

    @property
    def status(self) -> int:
        """The exit status: what could not be seen weighs most."""
        if self.all_errors:
            return INCOMPLETE
        left = len(self.findings) - sum(
            not each.error and each.finding.kind not in self.ignored
            for each in self.fixed)
        return FINDINGS if left > 0 else CLEAN


def as_json(report: Report) -> str:
    """The report for a program."""
    outcome = _outcomes(report)
    told: list[dict[str, Any]] = []
    for seen in report.seen:
        for finding in seen.findings:
            if finding.kind in report.ignored:
                continue
            error = outcome.get(finding)
            told.append({
                'class': finding.kind, 'object': finding.kept,
                'cluster': seen.cluster.uuid, 'backend': finding.backend,
                'project': finding.project, 'uuid': finding.uuid,
                'name': finding.name, 'volume_id': finding.volume_id,
                'snapshot_id': finding.snapshot_id, 'host': finding.host,
                'text': finding.what,
                'fixable': (finding.kind in fixes.FIXES and
                            not finding.by_hand),
                'not_fixable_because': finding.by_hand or None,
                'fixed': None if error is None else not error,
                'fix_error': error or None})
    return json.dumps({
        'schema': SCHEMA,
        'status': report.status,
        'complete': not report.all_errors,
        'clusters': [{
            'uuid': seen.cluster.uuid,
            'backends': [each.name for each in seen.cluster.backends],
            'projects': list(seen.projects),
            'volumes': seen.counts['volumes'],
            'snapshots': seen.counts['snapshots'],
            'cinder_volumes': seen.counts['cinder_volumes'],
            'cinder_snapshots': seen.counts['cinder_snapshots'],
            'notes': seen.notes} for seen in report.seen],
        'summary': {kind: sum(each['class'] == kind for each in told)
                    for kind in findings.CLASSES},
        'findings': told,
        'in_flight': [{
            'object': each.kept, 'id': each.id, 'state': each.why,
            'since': each.since}
            for seen in report.seen for each in seen.waiting],
        'errors': report.all_errors}, indent=1)


def as_text(report: Report) -> Iterator[str]:
    """The report for people, line by line."""
    outcome = _outcomes(report)
    for seen in report.seen:
        yield _head(seen)
        yield from seen.notes
        for kind, meaning in findings.CLASSES.items():
            told = [finding for finding in seen.findings
                    if finding.kind == kind and kind not in report.ignored]
            if told:
                yield ''
                yield '%s (%d): %s' % (kind, len(told), meaning)
            for finding in told:
                yield '  ' + _line(finding)
                yield '    ' + _remedy(finding, outcome.get(finding))
        if seen.waiting:
            yield ''
            yield _('In flight, not judged (%d):') % len(seen.waiting)
            for each in seen.waiting:
                yield '  %s %s: %s since %s' % each
    if report.all_errors:
        yield ''
        yield _('NOT COMPLETE. What could not be audited:')
        for error in report.all_errors:
            yield '  ' + error
    yield ''
    yield _sum(len(report.findings),
               sum(not error for error in outcome.values()))


def _head(seen: looks.Seen) -> str:
    backends = [each.name for each in seen.cluster.backends]
    projects = seen.projects
    return _('LightOS cluster %(uuid)s, %(backends)s: %(there)s in '
             '%(projects)s; Cinder has %(here)s there.') % {
        'uuid': seen.cluster.uuid,
        'backends': (_('backend %s') if len(backends) == 1 else
                     _('backends %s')) % ', '.join(backends),
        'projects': (_('the project %s') if len(projects) == 1 else
                     _('the projects %s')) % (', '.join(projects) or
                                              _('none')),
        'there': _counted(seen.counts['volumes'], seen.counts['snapshots']),
        'here': _counted(seen.counts['cinder_volumes'],
                         seen.counts['cinder_snapshots'])}


def _counted(volumes: int, snapshots: int) -> str:
    return _('%(volumes)s and %(snapshots)s') % {
        'volumes': (_('%d volume') if volumes == 1 else
                    _('%d volumes')) % volumes,
        'snapshots': (_('%d snapshot') if snapshots == 1 else
                      _('%d snapshots')) % snapshots}


def _sum(found: int, fixed: int) -> str:
    if found == 1:
        return _('1 finding, %d mended.') % fixed
    return _('%(findings)d findings, %(fixed)d of them mended.') % {
        'findings': found, 'fixed': fixed}


def _line(finding: findings.Finding) -> str:
    where = []
    if finding.uuid:
        where.append('%s %s' % (finding.project, finding.uuid))
    if finding.backend:
        where.append(_('backend %s') % finding.backend)
    return '%s %s%s: %s' % (
        finding.kept, finding.name or finding.snapshot_id or
        finding.volume_id, ' (%s)' % ', '.join(where) if where else '',
        finding.what)


def _remedy(finding: findings.Finding, error: Optional[str]) -> str:
    if error == '':
        return _('-> mended')
    if error:
        return _('-> NOT mended: %s') % error
    if finding.by_hand:
        return _('-> by hand: %s') % finding.by_hand
    return '-> --fix %s' % finding.kind


def _outcomes(report: Report) -> dict[findings.Finding, str]:
    return {each.finding: each.error for each in report.fixed}
