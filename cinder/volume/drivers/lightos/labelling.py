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
"""Labelling volumes, as far as the cluster takes labels.

Labels are best effort: no operation fails for want of them. Only to let a
volume go they have to be taken off.
"""

import contextlib
from typing import Callable, Optional

from oslo_log import log as logging

from cinder import exception as cinder_exception
from cinder.volume.drivers.lightos import changes
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import labels
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import volumes
from cinder.volume.drivers.lightos import waiting

LOG = logging.getLogger(__name__)

# Seconds after which a cluster that took no labels is offered some again: it
# may have been upgraded, or have had another reason.
OFFER_AGAIN = 3600.0
# The part of an operation's time that labels may take.
SHARE = 0.25

Look = Callable[[operation.Operation], Optional[lookup.Found]]


class Labelling:
    """The labels of one backend's volumes, and whether they are taken."""

    def __init__(self) -> None:
        self._refused_at: Optional[float] = None

    def create(self, op: operation.Operation, wanted: volumes.Wanted,
               make: Callable[[volumes.Wanted], volumes.Made]
               ) -> lookup.Found:
        """Make a volume with labels, or else without.

        :param make: what makes it
        :raises: as that
        """
        if not self._offers():
            wanted = wanted._replace(owner=None)
        owner = wanted.owner
        try:
            made = make(wanted)
        except exception.LightOSRefused as exc:
            if exc.status != 400 or owner is None:
                raise
            # It may be the labels that an older release does not take.
            made = make(wanted._replace(owner=None))
            self._note_refusal(str(exc))
            return made.found
        if owner is not None and not owner.is_on(made.found.volume.labels):
            if made.own:
                self._note_refusal('a volume that was created with labels '
                                   'does not show them')
            else:
                self.put_on(op, made.found, owner)
        return made.found

    def put(self, op: operation.Operation, sought: identity.VolumeIdentity,
            owner: labels.Ownership) -> None:
        """Have a volume say whose it is; it never raises."""
        if self._offers():
            self._put(op, lambda op: lookup.find(op, sought), owner)

    def put_on(self, op: operation.Operation, found: lookup.Found,
               owner: labels.Ownership) -> None:
        """As ``put``, for a volume that was found."""
        if self._offers():
            self._put(op, lambda op: lookup.again(op, found), owner)

    def _put(self, op: operation.Operation, look: Look,
             owner: labels.Ownership) -> None:
        refusal = change(op, look, owner.among)
        if refusal:
            self._note_refusal(refusal)

    def _offers(self) -> bool:
        return (self._refused_at is None or
                waiting.monotonic() - self._refused_at > OFFER_AGAIN)

    def _note_refusal(self, why: str) -> None:
        if self._refused_at is None:
            LOG.warning('The LightOS cluster takes no labels, and volumes '
                        'are left without: %s', why)
        self._refused_at = waiting.monotonic()


def remove(op: operation.Operation, sought: identity.VolumeIdentity) -> None:
    """Take off what proves a volume to be Cinder's.

    This is no best effort: an audit may delete a volume that has no record
    and says that it is Cinder's.

    :raises: LightOSRefused, LightOSNotSeen
    """
    with contextlib.suppress(cinder_exception.VolumeNotFound):
        changes.converge(op, lambda: lookup.find(op, sought),
                         _plan(labels.let_go))


def change(op: operation.Operation, look: Look,
           decide: Callable[[Optional[labels.Labels]], labels.Labels]
           ) -> Optional[str]:
    """Change the labels of a volume if the cluster lets; it never raises.

    :param look: finds the volume
    :param decide: the labels that a volume with these labels shall have;
        none is not to be had, and leaves them as they are
    :returns: the cluster's refusal, if it was one
    """
    op = op.within(op.deadline.earlier(SHARE))
    try:
        changes.converge(op, lambda: look(op), _plan(decide))
    except cinder_exception.CinderException as exc:
        LOG.warning('The labels of a LightOS volume may be out of date: %s',
                    exc)
        if isinstance(exc, exception.LightOSRefused):
            return str(exc)
    return None


def _plan(decide: Callable[[Optional[labels.Labels]], labels.Labels]
          ) -> Callable[[replies.Volume], Optional[changes.Change]]:
    def plan(volume: replies.Volume) -> Optional[changes.Change]:
        wanted = decide(volume.labels)
        if not wanted or set(wanted) == set(volume.labels or ()):
            return None
        return changes.Change('set_volume_labels', {'labels': wanted})
    return plan
