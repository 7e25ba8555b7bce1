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
"""What a copy of a snapshot cannot have otherwise than the snapshot."""

from typing import Optional

from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import snapshots
from cinder.volume.drivers.lightos import volumes


def with_sectors_of(wanted: volumes.Wanted,
                    found: snapshots.Found) -> volumes.Wanted:
    """The same volume, with the snapshot's sectors if its type asks none."""
    return wanted._replace(specs=wanted.specs._replace(
        sector_size=wanted.specs.sector_size or found.snapshot.sector_size))


def after_refusal(op: operation.Operation, wanted: volumes.Wanted,
                  sought: identity.SnapshotIdentity, refusal: str
                  ) -> tuple[str, Optional[volumes.Wanted]]:
    """Look why the cluster does not make a volume from a snapshot.

    :param refusal: what the cluster said
    :returns: the reason, empty if none is seen, and the volume to ask for
        in its place, if one is worth a try
    """
    try:
        found = snapshots.find(op, sought)
    except cinder_exception.CinderException:
        return '', None
    if found is None:
        return _('The cluster does not have the snapshot'), None
    why = differences(wanted, found)
    other = with_sectors_of(wanted, found)
    if why or other == wanted or 'sector' not in refusal.lower():
        return why, None
    return why, other


def differences(wanted: volumes.Wanted, found: snapshots.Found) -> str:
    """In what a volume is wanted otherwise than the snapshot is."""
    asked, snapshot = wanted.specs, found.snapshot
    reasons = []
    if snapshot.replicas not in (None, asked.replicas):
        reasons.append(
            _('The snapshot has %(source)s replicas and the volume type or '
              'lightos_default_num_replicas asks for %(asked)d')
            % {'source': snapshot.replicas, 'asked': asked.replicas})
    # LightOS API: a reply may leave out what is false.
    if bool(snapshot.compression) != asked.compression:
        reasons.append(
            _('The snapshot is compressed and the volume type or '
              'lightos_default_compression_enabled asks for none')
            if snapshot.compression else
            _('The snapshot is not compressed and the volume type or '
              'lightos_default_compression_enabled asks for compression'))
    if asked.sector_size and snapshot.sector_size not in (
            None, asked.sector_size):
        reasons.append(
            _('The snapshot has sectors of %(source)s bytes and the volume '
              'type asks for %(asked)d')
            % {'source': snapshot.sector_size,
               'asked': asked.sector_size})
    return '. '.join(reasons)
