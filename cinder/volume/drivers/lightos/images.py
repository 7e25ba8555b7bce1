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
"""Which volume holds an image, so that it can be cloned and not copied.

Glance's Cinder store, and Cinder when it uploads a volume as an image, keep
an image in a volume and give its location as ``cinder://`` and the volume's
id, perhaps with the name of the store before it.
"""

from typing import Any, Iterator, Mapping, Optional, Sequence
import uuid

from oslo_log import log as logging
from oslo_utils import uuidutils

from cinder import context as cinder_context
from cinder import exception as cinder_exception
from cinder.objects.volume import Volume
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import volumes

LOG = logging.getLogger(__name__)

# As Cinder's volume manager gives it: the location that Glance recommends,
# and all of them.
Location = tuple[Optional[str], Optional[Sequence[Mapping[str, Any]]]]

_SCHEME = 'cinder'
# Metadata of a volume that holds an image for another project.
_OWNER = 'image_owner'
_STATUSES = ('available', 'in-use')


def find_source(context: cinder_context.RequestContext,
                op: operation.Operation, volume: Volume,
                wanted: volumes.Wanted, location: Optional[Location],
                image: Mapping[str, Any]) -> Optional[Volume]:
    """Find a volume of this cluster to clone for an image; it never raises.

    :param volume: the record of the volume that shall have the image
    :param image: what Glance says of the image
    """
    if (volume.encryption_key_id or image.get('disk_format') != 'raw' or
            image.get('container_format') != 'bare'):
        return None
    for source in _records(context, location):
        try:
            why_not = (_forbidden(source, volume, image) or
                       _unfit(op, source, wanted))
        except cinder_exception.CinderException as exc:
            why_not = str(exc)
        if not why_not:
            return source
        LOG.info('Not cloning volume %(source)s, which holds image '
                 '%(image)s, to volume %(id)s: %(why)s.',
                 {'source': source.id, 'image': image.get('id'),
                  'id': volume.id, 'why': why_not})
    return None


def volume_ids(location: Optional[Location]) -> tuple[str, ...]:
    """The ids of the Cinder volumes in the locations of an image.

    Whoever owns an image may be let to write its locations. As in Glance,
    an id is taken in any spelling of a UUID.
    """
    direct, others = location or (None, None)
    if not isinstance(others, (list, tuple)):
        others = ()
    urls = [direct, *(other.get('url') for other in others
                      if isinstance(other, Mapping))]
    ids = []
    for url in urls:
        scheme, _, rest = (url if isinstance(url, str) else ''
                           ).partition('://')
        volume_id = rest.rpartition('/')[2]
        if scheme.lower() == _SCHEME and uuidutils.is_uuid_like(volume_id):
            ids.append(str(uuid.UUID(volume_id)))
    return tuple(dict.fromkeys(ids))


def _records(context: cinder_context.RequestContext,
             location: Optional[Location]) -> Iterator[Volume]:
    for volume_id in volume_ids(location):
        try:
            # It may be in a project of its own.
            yield Volume.get_by_id(context.elevated(), volume_id)
        except cinder_exception.VolumeNotFound:
            LOG.debug('There is no volume %s.', volume_id)


def _forbidden(source: Volume, volume: Volume,
               image: Mapping[str, Any]) -> str:
    """Why the project of a volume may not have what is in another.

    Who may set the locations of an image could name any volume there: it
    has to be the image owner's, or to have been made for the owner.
    """
    owner = image.get('owner')
    if owner and (source.metadata or {}).get(_OWNER) == owner:
        return ''
    if owner and owner == volume.project_id == source.project_id:
        return ''
    return 'the image is of project %s' % owner


def _unfit(op: operation.Operation, source: Volume,
           wanted: volumes.Wanted) -> str:
    """Why a volume cannot be cloned on this cluster to another."""
    recorded = identity.ProviderId.parse(source.provider_id)
    if (source.encryption_key_id or source.migration_status or
            source.status not in _STATUSES):
        return 'it is encrypted, being migrated or %s' % source.status
    if source.size > wanted.size:
        return 'it has %d GiB' % source.size
    if recorded is None or recorded.uuid is None:
        # Its name alone would not tell this cluster from another one.
        return 'no LightOS UUID is recorded'
    if recorded.project != wanted.specs.project:
        return 'it is in LightOS project %s' % recorded.project
    found = lookup.find(op, identity.of_volume(source))
    if found is None or found.volume.state not in replies.IN_SERVICE:
        return 'it is not in service on this cluster'
    have, asked = found.volume, wanted.specs
    if (have.replicas not in (None, asked.replicas) or
            have.compression not in (None, asked.compression) or
            asked.sector_size and have.sector_size not in (
                None, asked.sector_size)):
        return 'the volume type asks for another one'
    return ''
