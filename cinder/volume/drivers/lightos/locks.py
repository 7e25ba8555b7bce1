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
"""The lock of a volume.

It keeps an attach and a detach of one volume apart: a detach reads from the
database who else uses the volume and then writes the access lists by what it
read. (Two writers of the lists alone have the ETag.) It is taken across all
controllers and held for the round trips of one attach or detach, at the most
for as long as its caller waits.

Cinder's decorator for locks waits without an end, fails while the service that
has the locks restarts, and does not try again to release one. A lock of etcd
that could not be released is then kept alive by the controller that had it:
nobody gets it until that controller ends. (Source: tooz.drivers.etcd3gw.)
"""

import contextlib
from typing import Any, Iterator

from oslo_log import log as logging
import tenacity

from cinder import coordination
from cinder.i18n import _
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import operation

LOG = logging.getLogger(__name__)

_NAME = 'lightos-%s'
_ANOTHER = _('other attachments and detachments of the volume, which had to '
             'end first')


@contextlib.contextmanager
def of_volume(op: operation.Operation, volume_id: str) -> Iterator[None]:
    """Hold the lock of a volume.

    :param op: what it is held for, in whose time it is waited for
    :raises: LightOSNotSeen when it is not free in that time
    """
    lock = _acquired(op, volume_id)
    try:
        op.check_time(_ANOTHER)
        yield
    finally:
        _release(op, lock, volume_id)


def remove(volume_id: str) -> None:
    """Remove what a lock of a deleted volume has left."""
    coordination.synchronized_remove(_NAME % volume_id)


def _acquired(op: operation.Operation, volume_id: str) -> Any:
    lock = coordination.COORDINATOR.get_lock(_NAME % volume_id)
    pauses = op.pauses()
    op.check_time(_ANOTHER)
    while True:
        seen = _ANOTHER
        try:
            if lock.acquire(blocking=op.deadline.remaining):
                return lock
        except tenacity.RetryError:
            # A lock of etcd that is not free.
            pass
        except Exception as exc:
            # Not all that a service's library raises is an error of tooz.
            seen = _('no answer of the lock service at [coordination] '
                     'backend_url (%s)') % _text(exc)
        op.pause(pauses, seen)


def _release(op: operation.Operation, lock: Any, volume_id: str) -> None:
    """Release a lock, while there is time for it.

    What was done under it is done, whatever becomes of the lock.
    """
    pauses = op.pauses()
    while True:
        try:
            if not lock.release():
                LOG.warning('The lock of volume %s was lost before it was '
                            'released. If it expired, another operation on '
                            'the volume may have gone on beside this one; if '
                            'not, it expires within 30 s.', volume_id)
            return
        except Exception as exc:
            seen = _text(exc)
        try:
            op.pause(pauses, seen)
        except exception.LightOSNotSeen:
            LOG.error('The lock of volume %(id)s could not be released: '
                      '%(why)s. No host can be attached to it or detached '
                      'until the lock expires, with etcd until this service '
                      'is restarted.', {'id': volume_id, 'why': seen})
            return


def _text(exc: Exception) -> str:
    return str(exc) or type(exc).__name__
