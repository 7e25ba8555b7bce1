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
"""Lists of everything that the cluster has, a page at a time."""

from typing import Any, Callable, Iterator, TypeVar

from cinder.i18n import _
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies

Item = TypeVar('Item', replies.Volume, replies.Snapshot)

# LightOS API: the most that one page shows.
PAGE = 1000


def projects(op: operation.Operation) -> tuple[str, ...]:
    """The names of all projects, in order.

    :raises: LightOSRefused when the token may not know them (a project's),
        LightOSNotSeen
    """
    return tuple(sorted(op.read('list_projects',
                                replies.parse_projects) or ()))


def volumes(op: operation.Operation,
            project: str) -> Iterator[replies.Volume]:
    """All volumes of a project, but those that are Deleting.

    :raises: LightOSRefused, LightOSNotSeen, LightOSError when there is no
        such project
    """
    return _all(op, project, 'list_volumes', replies.parse_volumes)


def snapshots(op: operation.Operation,
              project: str) -> Iterator[replies.Snapshot]:
    """All snapshots of a project, but those that are Deleting.

    :raises: as ``volumes``
    """
    return _all(op, project, 'list_snapshots', replies.parse_snapshots)


def _all(op: operation.Operation, project: str, cmd: str,
         parse: Callable[[Any], tuple[Item, ...]]) -> Iterator[Item]:
    last = None
    while True:
        page = op.read(cmd, parse, project_name=project, limit=PAGE,
                       offset_uuid=last)
        if page is None:
            raise op.failed(_('there is no LightOS project %s') % project)
        if not page:
            return
        if page[-1].uuid == last:
            raise op.failed(_('%(cmd)s of LightOS project %(project)s shows '
                              'the same page again')
                            % {'cmd': cmd, 'project': project})
        last = page[-1].uuid
        yield from page
