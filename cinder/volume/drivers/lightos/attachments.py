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
"""Letting hosts in to a volume and shutting them out again.

Who else uses a volume stands in Cinder's database, who may reach it in the
access lists of the cluster; here the one is made to follow the other.
"""

from typing import Any, Callable, Iterable, Mapping, NamedTuple, Optional

from oslo_log import log as logging

from cinder import context
from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder import objects
from cinder.objects import fields
from cinder.objects.volume import Volume
from cinder.objects.volume_attachment import VolumeAttachment
from cinder.volume import configuration
from cinder.volume.drivers.lightos import access
from cinder.volume.drivers.lightos import changes
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import locks
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies

LOG = logging.getLogger(__name__)

# The part of an attachment's time that is kept for taking it back.
_UNDO_SHARE = 0.2
# With less than this part of its time left an attachment is not begun: it
# would hardly be seen, nor taken back.
_LEAST_SHARE = 0.1

# Seconds in which Cinder has removed the row of an attachment after the driver
# has answered, and those from one look at the rows to the next.
_ROW_TIME = 1.0
_ROW_PAUSE = 0.1


class Policy(NamedTuple):
    """How a backend uses IP access lists.

    :param use_ipacl: whether it does
    :param networks: those that choose which addresses of a host count
    """

    use_ipacl: bool
    networks: tuple[access.Network, ...]

    @classmethod
    def of(cls, conf: configuration.Configuration) -> 'Policy':
        """Read a backend's configuration.

        :raises: InvalidConfigurationValue
        """
        return cls(use_ipacl=conf.lightos_use_ipacl,
                   networks=access.networks(
                       conf.safe_get('lightos_ipacl_networks') or ()))


class Attachments(NamedTuple):
    """The hosts of a volume's attachments.

    :param host_of: those whose connector is known, by the id of their row
    :param unknown: how many attached rows have no connector stored, as the
        calls before the attachments API leave them
    """

    host_of: Mapping[str, access.Host]
    unknown: int

    @property
    def hosts(self) -> tuple[access.Host, ...]:
        """The hosts that are known, one for each row."""
        return tuple(self.host_of.values())

    @classmethod
    def of(cls, volume: Volume,
           networks: Iterable[access.Network]) -> 'Attachments':
        """Read the attachments of a volume afresh.

        The volume object may carry attachments that were read before
        another service changed them.
        """
        return cls.of_rows(
            objects.VolumeAttachmentList.get_all_by_volume_id(
                context.get_admin_context(), volume.id), networks)

    @classmethod
    def of_rows(cls, rows: Iterable[VolumeAttachment],
                networks: Iterable[access.Network]) -> 'Attachments':
        """Read attachments that were read from the database."""
        rows, networks = tuple(rows), tuple(networks)
        hosts = {row.id: access.host(row.connector, networks)
                 for row in rows if row.connector}
        return cls(
            host_of={row: host for row, host in hosts.items() if host.nqn},
            unknown=sum(
                not row.connector and
                row.attach_status != fields.VolumeAttachStatus.RESERVED
                for row in rows))

    def rows_of(self, nqn: str) -> int:
        """How many rows a host has."""
        return sum(host.nqn == nqn for host in self.hosts)

    def ips_of(self, nqn: str) -> frozenset[str]:
        """The addresses that a host has."""
        return frozenset(ip for host in self.hosts if host.nqn == nqn
                         for ip in host.ips)

    def ips_beside(self, nqn: str) -> frozenset[str]:
        """The addresses that the other hosts have."""
        return frozenset(ip for host in self.hosts if host.nqn != nqn
                         for ip in host.ips)


def read_connector(connector: Mapping[str, Any],
                   policy: Policy) -> access.Host:
    """Read the connector of a host that is to be let in.

    :raises: LightOSBadConnector when it cannot be
    """
    connector = access.fields(connector)
    host = access.host(connector, policy.networks)
    if not host.nqn:
        raise _no_nqn(connector)
    if not connector.get('found_dsc'):
        raise exception.LightOSBadConnector(
            host=connector.get('host'), missing='found_dsc', remedy=_(
                'Install and start the LightOS discovery-client there.'))
    if policy.use_ipacl and not host.ips:
        raise exception.LightOSBadConnector(
            host=connector.get('host'), missing='host_ips', remedy=_(
                'It has no address that counts for an IP access list: check '
                'its addresses and lightos_ipacl_networks, or disable '
                'lightos_use_ipacl.'))
    return host


def attach(op: operation.Operation, volume: Volume, host: access.Host,
           policy: Policy) -> lookup.Found:
    """Let a host in, beside those that are.

    If it fails, what it added is taken back: the host, unless it was in
    before, and its addresses, but for those that were.

    :raises: VolumeNotFound, InvalidConnectorException, LightOSRefused,
        LightOSNotSeen, LightOSError
    """
    before: Optional[access.Access] = None

    def plan(found: replies.Volume) -> Optional[changes.Change]:
        nonlocal before
        if found.protection == 'NotAvailable':
            raise op.failed(_('LightOS volume %s is NotAvailable: too many '
                              'of its replicas are down') % found.uuid)
        lists = lookup.lists_of(found)
        change = changes.access_change(
            found, access.admit(lists, host, policy.use_ipacl))
        if change is not None and before is None:
            before = lists
        return change

    with locks.of_volume(op, volume.id):
        if op.deadline.remaining < _LEAST_SHARE * op.deadline.seconds:
            raise op.failed(_('other attachments and detachments of the '
                              'volume, which had to end first, left no time '
                              'for it'))
        try:
            return changes.change(
                op.within(op.deadline.earlier(1 - _UNDO_SHARE)),
                identity.of_volume(volume), plan)
        except Exception:
            if before is not None:
                _take_back(op, volume, host, before)
            raise


def detach(op: operation.Operation, volume: Volume,
           connector: Optional[Mapping[str, Any]], force: bool,
           own_nqn: Optional[str], policy: Policy) -> None:
    """Shut a host out, unless it has another use for the volume.

    :param connector: that of the host; None means all hosts
    :param force: whether Cinder detaches with force
    :param own_nqn: the NQN of this controller, needed with force
    :raises: LightOSBadConnector, LightOSRefused, LightOSNotSeen,
        LightOSError
    """
    nqn = access.host(connector, ()).nqn if connector else None
    with locks.of_volume(op, volume.id):
        try:
            if connector is None:
                _admit_only(op, volume, (), policy)
            elif nqn:
                _detach_host(op, volume, access.host(connector, ()),
                             # Cinder's own copies are detached with force.
                             0 if force and nqn == own_nqn else 1, policy)
            elif force:
                _detach_without_nqn(op, volume, policy)
            else:
                raise _no_nqn(connector)
        except cinder_exception.VolumeNotFound:
            LOG.warning('Volume %s is not on the LightOS cluster; there is '
                        'nothing to detach.', volume.id)


def _detach_host(op: operation.Operation, volume: Volume, host: access.Host,
                 going: int, policy: Policy) -> None:
    """Shut a host out, unless it has another use for the volume.

    :param going: how many rows the attachment that goes has: it is still
        among the rows, unless it is Cinder itself that was attached to copy
        the volume
    """
    nqn = host.nqn or ''
    before = _settled(op, volume, nqn, going, policy)
    if before.rows_of(nqn) > going:
        LOG.info('Host %(nqn)s keeps its access to volume %(id)s, to which '
                 'it is attached otherwise.',
                 {'nqn': nqn, 'id': volume.id})
        return
    _expel(op, volume, host)
    _admit_who_came(op, volume, before, policy, nqn)


def _settled(op: operation.Operation, volume: Volume, nqn: str, going: int,
             policy: Policy) -> Attachments:
    """Read the attachments, for a moment again and again while a host stays.

    Another detach of the host may have had the lock just before, and Cinder
    removes its row only when the driver has answered.
    """
    pauses = op.pauses()
    began = op.deadline.elapsed
    while True:
        rows = Attachments.of(volume, policy.networks)
        if (rows.rows_of(nqn) <= going or op.deadline.passed or
                op.deadline.elapsed - began >= _ROW_TIME):
            return rows
        pauses.pause(_ROW_PAUSE)


def _detach_without_nqn(op: operation.Operation, volume: Volume,
                        policy: Policy) -> None:
    """Leave only those hosts in that the attachments need."""
    rows = Attachments.of(volume, policy.networks)
    if rows.unknown:
        raise exception.LightOSError(reason=_(
            'could not detach volume %(id)s from a host without an NQN: '
            '%(count)d of its attachments have no connector stored, so that '
            'the hosts that must keep their access are not known. Detach '
            'those first') % {'id': volume.id, 'count': rows.unknown})
    _admit_only(op, volume, rows.hosts, policy)
    _admit_who_came(op, volume, rows, policy)


def _admit_who_came(op: operation.Operation, volume: Volume,
                    before: Attachments, policy: Policy,
                    gone: Optional[str] = None) -> None:
    """Let hosts in again that were shut out though they are attached.

    Cinder stores the connector of an attachment after the driver has let the
    host in. One that was let in just before this has its row by now.

    :param before: the attachments by which hosts were shut out
    :param gone: the NQN of the host that was; its row among them goes with
        it, whatever is stored there now
    """
    came = []
    for row, host in Attachments.of(volume, policy.networks).host_of.items():
        known = before.host_of.get(row)
        if known is None or known != host and known.nqn != gone:
            came.append(host)
    if not came:
        return

    def plan(found: replies.Volume) -> Optional[changes.Change]:
        lists = lookup.lists_of(found)
        for host in came:
            lists = access.admit(lists, host, policy.use_ipacl)
        return changes.access_change(found, lists)

    try:
        changes.change(op, identity.of_volume(volume), plan)
    except cinder_exception.VolumeNotFound:
        raise
    except cinder_exception.CinderException as exc:
        LOG.error('The hosts %(nqns)s were attached to volume %(id)s while '
                  'another attachment of it was detached, and may have been '
                  'left without access to it: %(why)s',
                  {'nqns': ', '.join(sorted({str(host.nqn)
                                             for host in came})),
                   'id': volume.id, 'why': exc})
        raise


def _expel(op: operation.Operation, volume: Volume,
           host: access.Host) -> None:
    nqn = host.nqn or ''
    # All addresses of the others count here, even those that would not be
    # let in today.
    rows = Attachments.of(volume, ())
    others_unknown = rows.unknown - (0 if rows.rows_of(nqn) else 1)
    # Who detaches by force may not know the addresses that were let in.
    ips = (frozenset() if others_unknown > 0
           else (rows.ips_of(nqn) | frozenset(host.ips)) -
           rows.ips_beside(nqn))
    _change_lists(op, volume, lambda lists: access.expel(lists, nqn, ips))


def _admit_only(op: operation.Operation, volume: Volume,
                hosts: tuple[access.Host, ...], policy: Policy) -> None:
    _change_lists(op, volume, lambda lists: access.only(
        lists, hosts, policy.use_ipacl))


def _change_lists(op: operation.Operation, volume: Volume,
                  decide: Callable[[access.Access], access.Access]) -> None:
    found = changes.change(
        op, identity.of_volume(volume),
        lambda found: changes.access_change(
            found, decide(lookup.lists_of(found))))
    if access.ALLOW_ANY in (found.volume.acl or ()):
        LOG.warning('The LightOS volume %(uuid)s of volume %(id)s lets in '
                    'any host (ALLOW_ANY), which is left as it is: a '
                    'detached host keeps its access.',
                    {'uuid': found.volume.uuid, 'id': volume.id})


def _take_back(op: operation.Operation, volume: Volume, host: access.Host,
               before: access.Access) -> None:
    """Undo what a failed attach may have done; it never raises.

    :param before: the lists that it found
    """
    try:
        others = Attachments.of(volume, ()).ips_beside(host.nqn or '')
    except Exception as exc:
        # Without the database any address may be another's.
        LOG.warning('The attachments of volume %(id)s cannot be read: '
                    '%(why)s', {'id': volume.id, 'why': exc})
        others = frozenset(host.ips)
    added = host._replace(ips=tuple(set(host.ips) - others))

    def plan(found: replies.Volume) -> Optional[changes.Change]:
        lists = lookup.lists_of(found)
        return changes.access_change(
            found, access.take_back(lists, added, before))

    sought = identity.of_volume(volume)
    try:
        # What the attach asked for may be under way and not show yet.
        changes.converge(op, lambda: lookup.find(op, sought), plan,
                         insist=lambda found: changes.access_update(
                             lookup.lists_of(found)))
    except Exception as exc:
        LOG.error('Host %(nqn)s could not be attached to volume %(id)s and '
                  'may have been left with access to it: %(why)s',
                  {'nqn': host.nqn, 'id': volume.id, 'why': exc})


def _no_nqn(connector: Mapping[str, Any]) -> exception.LightOSBadConnector:
    return exception.LightOSBadConnector(
        host=connector.get('host'), missing='nqn', remedy=_(
            'Install nvme-cli there and see to it that /etc/nvme/hostnqn '
            'holds the NQN of that host, of at most 223 bytes.'))
