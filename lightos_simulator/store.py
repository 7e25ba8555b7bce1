# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""Objects, found by UUID and by name, and listed page by page."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Generic
from typing import TypeVar

from lightos_simulator import errors
from lightos_simulator import records

RecordT = TypeVar('RecordT', bound=records.Record)


class Store(Generic[RecordT]):
    """The objects of one kind.

    Lists go by UUID, so that a page begins rightly also after an object that
    has gone since.
    """

    def __init__(self) -> None:
        self._objects: dict[str, RecordT] = {}
        self._names: dict[tuple[str, str], list[RecordT]] = {}
        self._reserved: set[tuple[str, str]] = set()
        self._everywhere: list[str] = []
        self._order: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[RecordT]:
        return iter(self._objects.values())

    def get(self, uuid: str) -> RecordT | None:
        """The object of this UUID."""
        return self._objects.get(uuid)

    def named(self, project: str, name: str) -> list[RecordT]:
        """The objects of this name: at most one that has not Failed."""
        return list(self._names.get((project, name), ()))

    def find(self, what: str, project: str | None, uuid: str, name: str
             ) -> RecordT:
        """The object that a request addresses.

        Of several of a name the one that has not Failed counts.

        :param what: what to call it
        :param project: where it must be; None is anywhere, for a UUID
        :param uuid: its UUID, or empty for the name alone
        :param name: its name, or empty for the UUID alone
        :raises ApiError: 404, or 400 if the address is not complete
        """
        if uuid:
            record = self._objects.get(uuid)
            if (record is not None and name in ('', record.name)
                    and project in (None, record.project)):
                return record
        elif not name:
            raise errors.invalid('UUID or name of the %s is needed' % what)
        elif project is None:
            raise errors.invalid('a name needs a project')
        else:
            namesakes = self.named(project, name)
            for record in namesakes:
                if record.state != 'Failed':
                    return record
            if namesakes:
                return namesakes[-1]
        raise errors.not_found('%s %s does not exist' % (what, uuid or name))

    def is_taken(self, project: str, name: str) -> bool:
        """Whether a name is in use or promised; a Failed object frees it."""
        return ((project, name) in self._reserved
                or any(record.state != 'Failed'
                       for record in self._names.get((project, name), ())))

    def reserve(self, project: str, name: str) -> None:
        """Promise a name to an object that is about to be renamed."""
        self._reserved.add((project, name))

    def add(self, record: RecordT) -> None:
        """Take an object in."""
        self._objects[record.uuid] = record
        self._names.setdefault((record.project, record.name),
                               []).append(record)
        for order in (self._everywhere,
                      self._order.setdefault(record.project, [])):
            bisect.insort(order, record.uuid)

    def remove(self, record: RecordT) -> None:
        """Let an object go."""
        del self._objects[record.uuid]
        self._forget_name(record)
        for order in (self._everywhere, self._order[record.project]):
            del order[bisect.bisect_left(order, record.uuid)]

    def rename(self, record: RecordT, name: str) -> None:
        """Give an object another name."""
        self._forget_name(record)
        self._reserved.discard((record.project, name))
        record.name = name
        self._names.setdefault((record.project, name), []).append(record)

    def release(self, project: str, name: str) -> None:
        """Take back the promise of a name."""
        self._reserved.discard((project, name))

    def _forget_name(self, record: RecordT) -> None:
        key = (record.project, record.name)
        namesakes = self._names[key]
        namesakes.remove(record)
        if not namesakes:
            del self._names[key]

    def after(self, offset: str, project: str | None) -> Iterator[RecordT]:
        """The objects whose UUID follows another, in order.

        :param offset: that UUID; empty is before the first
        :param project: only those of this project; None is all
        """
        order = (self._everywhere if project is None
                 else self._order.get(project, []))
        for position in range(bisect.bisect_right(order, offset),
                              len(order)):
            yield self._objects[order[position]]
