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
"""The records that Cinder makes for a migration, and what they may delete.

Cinder copies ``provider_id`` to the record of the volume that it migrates to,
names the LightOS volumes anew and exchanges the two records. Where a service
died in between, neither a recorded UUID nor a name tells alone whose a LightOS
volume is; the other records do.
"""

import re
from typing import Optional

from oslo_log import log as logging

from cinder import context
from cinder.objects.volume import Volume
from cinder.objects.volume import VolumeList
from cinder.volume.drivers.lightos import changes
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import operation

LOG = logging.getLogger(__name__)

_UUID = re.compile(r'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')


def find_to_delete(op: operation.Operation, volume: Volume,
                   sought: identity.VolumeIdentity) -> Optional[lookup.Found]:
    """Look for what the deletion of a temporary record may delete.

    :returns: None if the cluster has nothing that is this record's, or if
        another record counts it as its own
    :raises: LightOSRefused, LightOSNotSeen
    """
    for look in (
            lambda: lookup.find(op, sought),
            # The recorded UUID may be of another cluster, copied.
            lambda: lookup.find_by_name(op, sought.name, sought.own_projects),
            lambda: _find_renamed(op, sought)):
        found = look()
        if found is not None and not _is_counted(found, volume):
            return found
    return None


def complete_provider_id(op: operation.Operation, volume: Volume) -> None:
    """Record the UUID of a volume that an older release left without.

    Its name will not do while the records are exchanged.

    :raises: LightOSRefused, LightOSNotSeen
    """
    recorded = identity.ProviderId.parse(volume.provider_id)
    if recorded and recorded.uuid:
        return
    found = lookup.find(op, identity.of_volume(volume))
    if found is not None:
        volume.provider_id = str(identity.ProviderId(found.project,
                                                     found.volume.uuid))
        volume.save()


def take_name(op: operation.Operation, volume: Volume,
              new_volume: Volume, name: str) -> bool:
    """Give the volume migrated to the name of the one it replaces.

    :returns: whether it has the name now; not while another volume has it
    :raises: VolumeNotFound, LightOSRefused, LightOSNotSeen, LightOSError
    """
    source = identity.of_volume(volume)
    target = identity.of_volume(new_volume)
    return changes.rename_if_free(
        op, target, name,
        tuple(dict.fromkeys(target.own_projects + source.own_projects)))


def _find_renamed(op: operation.Operation, sought: identity.VolumeIdentity
                  ) -> Optional[lookup.Found]:
    """Find the recorded volume under the name of the volume it was to be."""
    recorded = sought.recorded
    if recorded is None or recorded.uuid is None:
        return None
    volume = lookup.read(op, recorded.project, recorded.uuid)
    named_after = volume and _UUID.search(volume.name or '')
    if volume is None or not named_after:
        return None
    if not _records(id=named_after[0]):
        return None
    return lookup.Found(recorded.project, volume)


def _is_counted(found: lookup.Found, volume: Volume) -> bool:
    """Whether another record than this one has a LightOS volume."""
    provider_id = str(identity.ProviderId(found.project, found.volume.uuid))
    for other in _records(provider_id=provider_id):
        if other.id != volume.id:
            LOG.info('The LightOS volume %(uuid)s of project %(project)s is '
                     'that of volume %(other)s and not to be deleted for '
                     'volume %(id)s.',
                     {'uuid': found.volume.uuid, 'project': found.project,
                      'id': volume.id, 'other': other.id})
            return True
    return False


def _records(**values: str) -> VolumeList:
    return VolumeList.get_all(context.get_admin_context(), filters=values)
