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
"""Who may reach a volume: its lists of host NQNs and of IP addresses.

Pure functions on values; nothing here talks to the cluster. A host reaches a
volume when both lists let it in.
"""

import ipaddress
from typing import Any, Iterable, Mapping, NamedTuple, Optional, Union

from cinder import exception
from cinder.i18n import _

ALLOW_NONE = 'ALLOW_NONE'
ALLOW_ANY = 'ALLOW_ANY'
NOBODY = (ALLOW_NONE,)
ANYBODY = (ALLOW_ANY,)

# LightOS API (assumed): IPAcl.values of a volume.
MOST_IPS = 16
# Bytes, NVM Express Base Specification: NVMe Qualified Names.
_LONGEST_NQN = 223

_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class Access(NamedTuple):
    """The two lists of a volume, as the cluster has or shall have them.

    :param nqns: host NQNs, or one of the words
    :param ips: IP addresses, or one of the words; None where the cluster
        has no such list
    """

    nqns: tuple[str, ...]
    ips: Optional[tuple[str, ...]]

    def equals(self, other: 'Access') -> bool:
        """Whether both let the same hosts in."""
        return (set(self.nqns) == set(other.nqns) and
                _canonical(self.ips) == _canonical(other.ips))


class Host(NamedTuple):
    """A host as its connector describes it.

    :param nqn: None when the connector has none
    :param ips: the addresses that count, see ``usable_ips``
    """

    nqn: Optional[str]
    ips: tuple[str, ...]


def fields(connector: object) -> Mapping[str, Any]:
    """What a connector says; one that is no mapping says nothing."""
    return connector if isinstance(connector, Mapping) else {}


def host(connector: Mapping[str, Any], networks: Iterable[Network]) -> Host:
    """Read a connector, in which its sender may have written anything."""
    nqn, ips = connector.get('nqn'), connector.get('host_ips')
    return Host(nqn if _is_nqn(nqn) else None,
                usable_ips(ips if isinstance(ips, (list, tuple)) else (),
                           networks))


def networks(configured: Iterable[str]) -> tuple[Network, ...]:
    """Read ``lightos_ipacl_networks``.

    :raises: InvalidConfigurationValue
    """
    try:
        return tuple(ipaddress.ip_network(each.strip())
                     for each in configured)
    except ValueError:
        raise exception.InvalidConfigurationValue(
            option='lightos_ipacl_networks', value=', '.join(configured))


def usable_ips(addresses: Iterable[str],
               chosen: Iterable[Network]) -> tuple[str, ...]:
    """The addresses of a host by which it can reach the cluster.

    :param addresses: all that the host has
    :param chosen: the networks that count; empty means all of them
    """
    chosen = tuple(chosen)
    usable = {address for address in map(_parse, addresses)
              if address is not None and
              not (address.is_link_local or address.is_loopback or
                   address.is_multicast or address.is_unspecified) and
              (not chosen or any(address in network for network in chosen))}
    return tuple(map(str, sorted(
        usable, key=lambda address: (address.version, address))))


def closed(use_ipacl: bool) -> Access:
    """The lists of a new volume, which no host may reach."""
    return Access(NOBODY, NOBODY if use_ipacl else ANYBODY)


def admit(current: Access, newcomer: Host, use_ipacl: bool) -> Access:
    """The lists that also let a host in.

    Entries of others stay, and so does a list that lets anybody in.

    :raises: InvalidConnectorException when the host has more addresses than
        the list still takes
    """
    nqns = current.nqns
    if newcomer.nqn and ALLOW_ANY not in nqns:
        nqns = _with(nqns, (newcomer.nqn,))
    if current.ips is None or ALLOW_ANY in current.ips:
        return Access(nqns, current.ips)
    if not use_ipacl:
        return Access(nqns, ANYBODY)
    ips = _with(current.ips, _missing(newcomer.ips, current.ips))
    if len(ips) > MOST_IPS:
        raise exception.InvalidConnectorException(missing=_(
            'few enough host_ips: host %(nqn)s has %(count)d (%(ips)s) and '
            'the volume already lets in %(others)d other addresses; a '
            'LightOS volume takes %(most)d. Set lightos_ipacl_networks to '
            'the storage networks of the hosts') % {
                'nqn': newcomer.nqn, 'count': len(newcomer.ips),
                'ips': ', '.join(newcomer.ips),
                'others': len(_missing(ips, newcomer.ips)),
                'most': MOST_IPS})
    return Access(nqns, ips)


def expel(current: Access, nqn: Optional[str],
          ips: Iterable[str]) -> Access:
    """The lists without a host.

    The last host takes all addresses with it: a list of addresses without a
    host lets nobody in, but would let in the next host from them.

    :param nqn: None when the host stays and only addresses of it go
    :param ips: the addresses that nobody else needs
    """
    nqns = tuple(each for each in current.nqns if each != nqn) or NOBODY
    kept = current.ips
    if kept is None or ALLOW_ANY in kept:
        return Access(nqns, kept)
    if nqns == NOBODY:
        return Access(nqns, NOBODY)
    gone = set(map(_parse, ips))
    kept = tuple(each for each in kept if _parse(each) not in gone)
    return Access(nqns, kept or NOBODY)


def take_back(current: Access, newcomer: Host, before: Access) -> Access:
    """The lists without what letting in a host has added.

    A list of addresses that was opened to anybody stays open: that is how
    the backend uses it, and others may have come in by it.

    :param before: the lists as they were before
    """
    return expel(current,
                 None if newcomer.nqn in before.nqns else newcomer.nqn,
                 _missing(newcomer.ips, before.ips or ()))


def only(current: Access, hosts: Iterable[Host], use_ipacl: bool) -> Access:
    """The lists that let in these hosts and nobody else.

    A list that lets anybody in is left as it is.
    """
    lists = Access(
        current.nqns if ALLOW_ANY in current.nqns else NOBODY,
        current.ips if current.ips is None or ALLOW_ANY in current.ips
        else NOBODY)
    for each in hosts:
        lists = admit(lists, each, use_ipacl)
    return lists


def _with(values: tuple[str, ...],
          more: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(
        [each for each in values if each != ALLOW_NONE] + list(more))) \
        or NOBODY


def _missing(wanted: Iterable[str],
             present: Iterable[str]) -> tuple[str, ...]:
    known = set(map(_parse, present))
    return tuple(each for each in wanted if _parse(each) not in known)


def _canonical(
        ips: Optional[tuple[str, ...]]) -> Optional[set[Union[_Address, str]]]:
    if ips is None:
        return None
    return {_parse(each) or each for each in ips}


def _is_nqn(value: Any) -> bool:
    """Whether it can stand for one host in a list.

    One of the words there would let in everybody, and nobody shut out.
    """
    return (isinstance(value, str) and value.isprintable() and
            ' ' not in value and value not in ('', ALLOW_NONE, ALLOW_ANY) and
            len(value.encode()) <= _LONGEST_NQN)


def _parse(text: Any) -> Optional[_Address]:
    """An address in whichever spelling; None for what is none."""
    try:
        return ipaddress.ip_address(str(text).partition('%')[0])
    except ValueError:
        return None
