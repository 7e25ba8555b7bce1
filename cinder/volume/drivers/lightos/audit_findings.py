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
"""What the audit finds: where the cluster is not as Cinder's database says.

Nothing here reads either of them.
"""

from typing import Iterable, Iterator, Mapping, NamedTuple, Optional

from oslo_config import cfg
from oslo_utils import units

from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder.objects.snapshot import Snapshot
from cinder.objects.volume import Volume
from cinder.volume.drivers.lightos import access
from cinder.volume.drivers.lightos import attachments
from cinder.volume.drivers.lightos import audit_records as records
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import listing
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import qos
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import snapshots
from cinder.volume.drivers.lightos import specs

CONF = cfg.CONF

TEMPORARY_TEMPLATE = 'for_clone_%s'

# The classes of findings, in the order in which they are told.
CLASSES: Mapping[str, str] = {
    'missing': 'counted by Cinder, not on the cluster',
    'projects': 'in another LightOS project than Cinder has recorded',
    'orphans': 'on the cluster, unknown to Cinder',
    'temporary-snapshots': 'left over from clones that have ended',
    'sizes': 'of another size than Cinder counts',
    'attributes': 'not as the volume type asks for',
    'access': 'let in on the cluster, not attached in Cinder',
    'no-access': 'attached in Cinder, not let in on the cluster',
    'addresses': 'IP addresses let in that no attached host has',
    'open-access': 'open to every host',
    'unrecovered': 'in a state that Cinder does not leave by itself',
}


class Finding(NamedTuple):
    """One thing that is not as it should be.

    :param kind: one of ``CLASSES``
    :param kept: what it is about: 'volume' or 'snapshot'
    :param what: the finding in words
    :param backend: the backend section, None if that is not known
    :param project: where it is on the cluster, with its UUID and name there
    :param volume_id: of Cinder's record, likewise ``snapshot_id``
    :param host: the NQN of the host it is about
    :param by_hand: why nothing but a person can mend it; empty if ``--fix``
        can
    """

    kind: str
    kept: str
    what: str
    backend: Optional[str] = None
    project: Optional[str] = None
    uuid: Optional[str] = None
    name: Optional[str] = None
    volume_id: Optional[str] = None
    snapshot_id: Optional[str] = None
    host: Optional[str] = None
    by_hand: str = ''

    @property
    def key(self) -> tuple[Optional[str], ...]:
        """What two looks at the same trouble have in common."""
        return (self.kind, *self.thing, self.host)

    @property
    def thing(self) -> tuple[str, Optional[str]]:
        """What has to be looked at to see it again."""
        if self.kind in ('orphans', 'temporary-snapshots'):
            return self.kind + self.kept, self.uuid
        return self.kept, self.snapshot_id or self.volume_id


class Waiting(NamedTuple):
    """A record that is not judged, because something goes on with it."""

    kept: str
    id: str
    why: str
    since: str


def of_volume(volume: Volume, found: Optional[lookup.Found],
              elsewhere: Optional[lookup.Found],
              rows: attachments.Attachments,
              backend: records.Backend) -> Iterator[Finding]:
    """Compare a record that is at rest with the volume that it means.

    :param found: that volume, None when it is not there
    :param elsewhere: a volume of the recorded UUID in another project
    :param rows: its attachments, with all addresses of the hosts
    """
    seen = found or elsewhere
    blank = Finding('', 'volume', '', backend.name, volume_id=volume.id,
                    project=seen and seen.project,
                    uuid=seen and seen.volume.uuid,
                    name=seen.volume.name if seen else identity.volume_name(
                        volume))
    gone = found is None or found.volume.state in replies.DEAD
    if records.has_failed(volume):
        yield blank._replace(
            kind='unrecovered', by_hand=_('see the log of the volume service '
                                          'for what failed'),
            what=_in_state(volume, lookup.describe(found) if found else
                           _('the cluster has no such volume')))
    if elsewhere and gone:
        yield blank._replace(
            kind='projects', by_hand=_('provider_id in the database has to '
                                       'be corrected'),
            what=_('Cinder has recorded %(recorded)s; %(seen)s')
            % {'recorded': volume.provider_id,
               'seen': lookup.describe(elsewhere)})
    elif gone and volume.status not in records.NOT_COUNTED:
        yield blank._replace(
            kind='missing', by_hand=_('its data cannot be made again'),
            what=_('Cinder counts a volume of %(size)d GiB, %(state)s, with '
                   'provider_id %(recorded)s; %(seen)s')
            % {'size': volume.size, 'state': records.state(volume),
               'recorded': volume.provider_id,
               'seen': lookup.describe(found) if found else
               _('the cluster has no such volume')})
    if found is not None and not gone:
        yield from _size(blank, volume.size, found.volume.size)
        yield from _attributes(blank, volume, found, backend)
        yield from _access(blank, found.volume, rows)


def of_snapshot(snapshot: Snapshot, found: Optional[snapshots.Found],
                backend: records.Backend) -> Iterator[Finding]:
    """Compare a record that is at rest with the snapshot that it means."""
    blank = Finding('', 'snapshot', '', backend.name,
                    volume_id=snapshot.volume_id, snapshot_id=snapshot.id,
                    project=found and found.project,
                    uuid=found and found.snapshot.uuid,
                    name=found.snapshot.name if found else
                    identity.snapshot_name(snapshot))
    gone = found is None or found.snapshot.state in replies.DEAD
    seen = _('the cluster has no such snapshot')
    if found:
        seen = _('LightOS snapshot %(uuid)s of project %(project)s is '
                 '%(state)s') % {'uuid': found.snapshot.uuid,
                                 'project': found.project,
                                 'state': found.snapshot.state}
    if records.has_failed(snapshot):
        yield blank._replace(
            kind='unrecovered', by_hand=_('see the log of the volume service '
                                          'for what failed'),
            what=_in_state(snapshot, seen))
    if gone and snapshot.status not in records.NOT_COUNTED:
        yield blank._replace(
            kind='missing', by_hand=_('its data cannot be made again'),
            what=_('Cinder counts a snapshot of volume %(volume)s, %(state)s, '
                   'with provider_id %(recorded)s; %(seen)s')
            % {'volume': snapshot.volume_id, 'state': snapshot.status,
               'recorded': snapshot.provider_id, 'seen': seen})
    if found is not None and not gone:
        for finding in _size(blank, snapshot.volume_size,
                             found.snapshot.size):
            yield finding._replace(by_hand=_('a snapshot keeps its size'))


def of_stuck(kept: str, record: records.Record,
             backend: records.Backend) -> Finding:
    """A record with which something goes on that must have ended."""
    return Finding(
        'unrecovered', kept,
        _in_state(record, _('no operation takes so long')), backend.name,
        volume_id=record.id if kept == 'volume' else record.volume_id,
        snapshot_id=record.id if kept == 'snapshot' else None,
        by_hand=_('see the log of the volume service for what became of it'))


def orphan(kept: str, project: str, one: listing.Item,
           why: str, by_hand: str) -> Finding:
    """An object that is named like Cinder's and that Cinder has not."""
    return Finding(
        'orphans', kept, _('%(why)s; it has %(size)s bytes, made %(created)s')
        % {'why': why, 'size': one.size,
           'created': one.created or _('at an unknown time')},
        project=project, uuid=one.uuid, name=one.name, by_hand=by_hand)


def temporary(found: snapshots.Found, volume_id: str, why: str,
              by_hand: str) -> Finding:
    """A snapshot that a clone has left."""
    return Finding(
        'temporary-snapshots', 'snapshot',
        _('%(why)s; made %(created)s')
        % {'why': why, 'created': found.snapshot.created or
           _('at an unknown time')},
        project=found.project, uuid=found.snapshot.uuid,
        name=found.snapshot.name, volume_id=volume_id, by_hand=by_hand)


def cloned_volume(name: Optional[str]) -> Optional[str]:
    """For which Cinder volume a temporary snapshot was taken, if it is one.

    Older releases have no more in the name than that.
    """
    parts = (name or '').split('_')
    return records.id_in(TEMPORARY_TEMPLATE, '_'.join(parts[:3]))


def volume_id_of(name: Optional[str]) -> Optional[str]:
    """The id in a name that the driver gives to volumes."""
    return records.id_in(CONF.volume_name_template, name)


def snapshot_id_of(name: Optional[str]) -> Optional[str]:
    """The id in a name that the driver gives to snapshots."""
    return records.id_in(CONF.snapshot_name_template, name)


def _in_state(record: records.Record, seen: str) -> str:
    return _('Cinder has it in state %(state)s since %(since)s; %(seen)s') % {
        'state': records.state(record), 'since': records.since(record),
        'seen': seen}


def _size(blank: Finding, counted: int,
          seen: Optional[int]) -> Iterator[Finding]:
    if seen is None or seen == counted * units.Gi:
        return
    larger = seen > counted * units.Gi
    yield blank._replace(
        kind='sizes',
        what=_('Cinder counts %(counted)d GiB; on the cluster it has %(seen)d '
               'bytes, %(gib).2f GiB')
        % {'counted': counted, 'seen': seen, 'gib': seen / units.Gi},
        by_hand=_('nothing is ever made smaller: extend it in Cinder to what '
                  'it has') if larger else '')


def _attributes(blank: Finding, volume: Volume, found: lookup.Found,
                backend: records.Backend) -> Iterator[Finding]:
    """Judge by what the type itself says: defaults change in the years."""
    blank = blank._replace(kind='attributes', by_hand=_(
        'migrate it to the type, or correct the type'))
    try:
        asked = identity.extra_specs(volume)
        wanted = specs.of_volume(volume, backend.conf)
    except cinder_exception.VolumeTypeNotFound:
        return
    except specs.UNREADABLE as exc:
        yield blank._replace(what=str(exc))
        return
    differences = []
    if (specs.REPLICAS_SPEC in asked and
            found.volume.replicas not in (None, wanted.replicas)):
        differences.append(
            _('the type asks for %(asked)d replicas, it has %(seen)d')
            % {'asked': wanted.replicas, 'seen': found.volume.replicas})
    if (specs.COMPRESSION_SPEC in asked and
            found.volume.compression not in (None, wanted.compression)):
        differences.append(
            _('the type asks for compression, it has none')
            if wanted.compression else
            _('the type asks for no compression, it is compressed'))
    if identity.PROJECT_SPEC in asked and found.project != wanted.project:
        differences.append(
            _('the type asks for the project %(asked)s, it is in %(seen)s')
            % {'asked': wanted.project, 'seen': found.project})
    if (specs.SECTOR_SIZE_SPEC in asked and
            found.volume.sector_size not in (None, wanted.sector_size)):
        differences.append(
            _('the type asks for sectors of %(asked)d bytes, it has %(seen)d')
            % {'asked': wanted.sector_size,
               'seen': found.volume.sector_size})
    under = found.volume.qos_policy_name or found.volume.qos_policy_uuid
    if wanted.qos_policy and under and not qos.is_under(found.volume,
                                                        wanted.qos_policy):
        differences.append(
            _('the type asks for the QoS policy %(asked)s, it is under '
              '%(seen)s') % {'asked': wanted.qos_policy, 'seen': under})
    if differences:
        yield blank._replace(what='; '.join(differences))


def _access(blank: Finding, volume: replies.Volume,
            rows: attachments.Attachments) -> Iterator[Finding]:
    if volume.acl is None:
        return
    lists = lookup.lists_of(volume)
    if access.ALLOW_ANY in lists.nqns:
        yield blank._replace(
            kind='open-access', what=_('its list is ALLOW_ANY'),
            by_hand=_('the driver leaves a list as it is that was opened to '
                      'everybody'))
        return
    # A host has as many rows as it has uses for the volume.
    attached = {nqn: access.Host(nqn, tuple(
        ip for host in rows.hosts if host.nqn == nqn for ip in host.ips))
        for nqn in {host.nqn for host in rows.hosts} if nqn}
    if not rows.unknown:
        yield from _not_attached(blank, volume, lists, attached)
    yield from _not_let_in(blank, lists, attached)


def _not_attached(blank: Finding, volume: replies.Volume,
                  lists: access.Access,
                  attached: Mapping[str, access.Host]) -> Iterator[Finding]:
    """The hosts that are let in too many, or else the addresses."""
    strangers = set(lists.nqns) - {access.ALLOW_NONE} - set(attached)
    for nqn in sorted(strangers):
        yield blank._replace(
            kind='access', host=nqn,
            what=_('the host %(nqn)s is let in%(connected)s; Cinder has it '
                   'attached to %(hosts)s')
            % {'nqn': nqn, 'connected': _(' and connected')
               if nqn in (volume.connected_hosts or ()) else '',
               'hosts': ', '.join(sorted(attached)) or _('no host')})
    addresses = set(_other_ips(lists, (
        ip for host in attached.values() for ip in host.ips)) or ()) - {
            access.ALLOW_ANY, access.ALLOW_NONE}
    if addresses and not strangers:
        yield blank._replace(
            kind='addresses', by_hand=_('a host reaches a volume by its NQN '
                                        'and its address together'),
            what=_('no host that Cinder has attached has %s')
            % ', '.join(sorted(addresses)))


def _not_let_in(blank: Finding, lists: access.Access,
                attached: Mapping[str, access.Host]) -> Iterator[Finding]:
    for nqn, host in sorted(attached.items()):
        if nqn not in lists.nqns:
            what = _('Cinder has the host %s attached; its NQN is not let in')
        elif (host.ips and lists.ips is not None and
                access.ALLOW_ANY not in lists.ips and
                _other_ips(lists, host.ips) == lists.ips):
            what = _('Cinder has the host %s attached; none of its IP '
                     'addresses is let in')
        else:
            continue
        yield blank._replace(kind='no-access', host=nqn, what=what % nqn)


def _other_ips(lists: access.Access,
               ips: Iterable[str]) -> Optional[tuple[str, ...]]:
    """The addresses of a list but for some, in whichever spelling."""
    return access.expel(lists, '', ips).ips
