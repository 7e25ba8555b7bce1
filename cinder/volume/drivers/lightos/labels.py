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
"""The labels by which a volume on the cluster says whose it is.

They are there for audit and chargeback on the cluster's side. Nothing in
this room talks to the cluster.
"""

import re
from typing import NamedTuple, Optional

from cinder.objects.volume import Volume
from cinder.volume.drivers.lightos import replies

Labels = replies.Labels

# LightOS keeps of a key only what follows its last '-' or '.', so these have
# neither.
VOLUME = 'cinder_volume_id'
PROJECT = 'openstack_project_id'
VOLUME_TYPE = 'cinder_volume_type'
BACKEND = 'cinder_backend'
# Where there is no room for all, the last ones are left out first.
OURS = (VOLUME, PROJECT, VOLUME_TYPE, BACKEND)
# What a volume keeps that Cinder has let go and that had no label but ours.
# The API is proto3: a list that is empty is absent, and takes no label off.
UNMANAGED = 'cinder_unmanaged'

# LightOS API: labels of a volume, and what a value may consist of.
MOST = 16
_LONGEST = 253
_NOT_ALLOWED = re.compile(r'[^A-Za-z0-9._-]')


class Ownership(NamedTuple):
    """To what in OpenStack a volume belongs, each as an id.

    :param backend: the service that manages it, ``host@backend`` or
        ``cluster@backend``
    """

    volume_id: str
    project_id: Optional[str]
    volume_type_id: Optional[str]
    backend: Optional[str]

    @classmethod
    def of(cls, volume: Volume, backend: Optional[str]) -> 'Ownership':
        """Whose a volume record says that its volume is."""
        return cls(volume.id, volume.project_id, volume.volume_type_id,
                   backend)

    def labels(self) -> Labels:
        """The labels that say so; what LightOS does not take becomes _."""
        return tuple((key, _NOT_ALLOWED.sub('_', value)[:_LONGEST])
                     for key, value in zip(OURS, self) if value)

    def is_on(self, present: Optional[Labels]) -> bool:
        """Whether a volume with these labels says so already."""
        return set(self.labels()) <= set(present or ())

    def is_denied_by(self, present: Optional[Labels]) -> bool:
        """Whether these labels name another Cinder volume."""
        return volume_id(present) not in (None, self.volume_id)

    def among(self, present: Optional[Labels]) -> Labels:
        """The labels that a volume shall have that has these now.

        An operator's own labels stay, and ours take the room they leave.
        """
        others = _without_ours(present)
        return others + self.labels()[:max(0, MOST - len(others))]


def let_go(present: Optional[Labels]) -> Labels:
    """The labels of a volume that Cinder does not manage any more."""
    if not any(key in OURS for key, _value in present or ()):
        return tuple(present or ())
    return _without_ours(present) or (
        (UNMANAGED, volume_id(present) or 'true'),)


def _without_ours(present: Optional[Labels]) -> Labels:
    return tuple(label for label in present or ()
                 if label[0] not in (*OURS, UNMANAGED))


def volume_id(present: Optional[Labels]) -> Optional[str]:
    """Which Cinder volume labels name, if they do."""
    return dict(present or ()).get(VOLUME)
