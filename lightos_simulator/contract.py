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
"""The published API contract: routes, messages and their types.

``contract.json`` is the vendor's API definition, reduced to what a client of
block storage uses. This module answers which operation a request is, decodes
the request by the rules of proto3 JSON and refuses what the contract does not
have; it also says whether a reply keeps to the contract.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import json
import pathlib
import re
from typing import Any
import urllib.parse

from lightos_simulator import errors

_INTEGERS = {
    'int32': (-2 ** 31, 2 ** 31 - 1),
    'uint32': (0, 2 ** 32 - 1),
    'int64': (-2 ** 63, 2 ** 63 - 1),
    'uint64': (0, 2 ** 64 - 1),
}
_DIGITS = re.compile(r'-?[0-9]{1,20}')
_DURATION = re.compile(r'-?[0-9]{1,12}(\.[0-9]{1,9})?s')
_TIMESTAMP = re.compile(r'[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:'
                        r'[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})')
_BOOLEAN_WORDS = {'true': True, 'false': False}


@dataclasses.dataclass(frozen=True)
class FieldType:
    """The type of one field.

    :ivar kind: a scalar's name, ``enum`` or ``message``
    :ivar name: the name of the enumeration or message
    :ivar repeated: whether the field is a list of these
    """
    kind: str
    name: str = ''
    repeated: bool = False

    @classmethod
    def parse(cls, text: str) -> FieldType:
        """Read the notation of ``contract.json``."""
        if text.startswith('list of '):
            item = cls.parse(text[len('list of '):])
            return dataclasses.replace(item, repeated=True)
        if text.startswith('enum '):
            return cls('enum', text[len('enum '):])
        word = text.split(' (')[0]
        if word in _INTEGERS or word in ('string', 'bool', 'double', 'bytes',
                                         'timestamp', 'duration'):
            return cls(word)
        return cls('message', word)


Fields = Mapping[str, FieldType]


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation of the API.

    :ivar takes_body: whether its request has a body
    :ivar body: the fields that its body may have
    :ivar query: the parameters that its query may have
    :ivar reply: the name of the message it answers with
    :ivar statuses: the error statuses that the vendor documents for it
    """
    name: str
    takes_body: bool
    path_fields: tuple[str, ...]
    body: Fields
    query: Fields
    reply: str
    statuses: frozenset[int]


@dataclasses.dataclass(frozen=True)
class Match:
    """A request's operation and the fields that its path carries."""
    operation: Operation
    path_fields: Mapping[str, str]


class _Junction:
    """A place in the tree of paths, one path segment below another."""

    def __init__(self) -> None:
        self.fixed: dict[str, _Junction] = {}
        self.any: _Junction | None = None
        self.ends: dict[str, tuple[Operation, tuple[str, ...]]] = {}


class Contract:
    """The whole contract.

    :param document: what ``contract.json`` holds
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.types: dict[str, Fields] = {
            name: _fields(fields)
            for name, fields in document['types'].items()}
        self.enums: dict[str, Mapping[str, int]] = document['enums']
        self._by_number = {
            name: {number: word for word, number in reversed(words.items())}
            for name, words in self.enums.items()}
        self.operations: dict[str, Operation] = {}
        self._root = _Junction()
        for name, entry in document['operations'].items():
            operation = Operation(
                name=name,
                takes_body=entry['http'][0]['body'],
                path_fields=tuple(entry['path_params']),
                body=_fields(entry.get('body_fields', {}),
                             entry['path_params']),
                query=_fields(entry.get('query_params', {}),
                              entry['path_params']),
                reply=entry['reply'],
                statuses=frozenset(entry['documented_error_statuses']))
            self.operations[name] = operation
            for route in entry['http']:
                self._add_route(route['method'], route['path'], operation)
        self._zeros = {
            name: {field: self._zero(kind) for field, kind in fields.items()}
            for name, fields in self.types.items()}

    def _add_route(self, method: str, path: str,
                   operation: Operation) -> None:
        junction = self._root
        names = []
        for segment in path.split('/')[1:]:
            if segment.startswith('{'):
                names.append(segment[1:-1])
                junction.any = junction.any or _Junction()
                junction = junction.any
            else:
                junction = junction.fixed.setdefault(segment, _Junction())
        junction.ends[method] = (operation, tuple(names))

    def route(self, method: str, path: str) -> Match:
        """Find the operation of a request.

        The last field of a path may be empty, which is how existing clients
        address by name: ``.../volumes/?name=N``.

        :param path: the path as it came, percent-encoded
        :raises ApiError: 404 for an unknown path, 501 for an unknown method
        """
        junction: _Junction | None = self._root
        values = []
        segments = path.split('/')[1:]
        for position, segment in enumerate(segments, 1):
            if junction is None:
                break
            fixed = junction.fixed.get(segment)
            if fixed is None and (segment or position == len(segments)):
                values.append(_unquote(segment))
                junction = junction.any
            else:
                junction = fixed
        if junction is None or not junction.ends:
            raise errors.not_found('no such path: %s' % path)
        try:
            operation, names = junction.ends[method]
        except KeyError:
            raise errors.unimplemented(
                'method %s is not allowed here' % method) from None
        return Match(operation, dict(zip(names, values)))

    def decode(self, match: Match, query: Sequence[tuple[str, str]],
               body: bytes, strict: bool = True) -> dict[str, Any]:
        """Decode a request into the fields that it really carries.

        A field at its zero value or null is absent, as in proto3, but for
        messages, which are present even when they are empty.

        :param query: the query's names and values, decoded
        :param body: the request's body
        :param strict: refuse fields that the contract does not have
        :return: integers as int, durations as float seconds, enumerations as
            names, messages as dict
        :raises ApiError: 400 with code 3
        """
        operation = match.operation
        fields: dict[str, Any] = {
            name: value for name, value in match.path_fields.items() if value}
        sources = []
        if query:
            sources.append(self._decode_query(operation, query, strict))
        if body:
            sources.append(self._decode_body(operation, body, strict))
        for source in sources:
            for name, value in source.items():
                if fields.setdefault(name, value) != value:
                    raise errors.invalid(
                        'field %s is given twice, differently' % name)
        return fields

    def _decode_query(self, operation: Operation,
                      query: Sequence[tuple[str, str]],
                      strict: bool) -> dict[str, Any]:
        collected: dict[str, Any] = {}
        for name, text in query:
            # With a body, only the fields of the path may stand in the query.
            kind = (operation.query.get(name)
                    if not operation.takes_body
                    or name in operation.path_fields else None)
            if kind is None:
                if strict:
                    raise errors.invalid('unknown parameter %s' % name)
                continue
            value: Any = text
            if kind.kind == 'bool':
                value = _BOOLEAN_WORDS.get(text, text)
            if kind.repeated:
                collected.setdefault(name, []).append(value)
            elif name in collected:
                raise errors.invalid('parameter %s is given twice' % name)
            elif text:
                collected[name] = value
        return self._decode_fields(operation.query, collected, '', strict)

    def _decode_body(self, operation: Operation, body: bytes,
                     strict: bool) -> dict[str, Any]:
        try:
            value = json.loads(body, object_pairs_hook=_no_duplicates)
        except (ValueError, RecursionError) as error:
            raise errors.invalid('the body is not JSON: %s' % error) from None
        if value is None or value == {}:
            return {}
        if not isinstance(value, dict):
            raise errors.invalid('the body is not a JSON object')
        if not operation.takes_body:
            if strict:
                raise errors.invalid('%s takes no body' % operation.name)
            return {}
        return self._decode_fields(operation.body, value, '', strict)

    def _decode_fields(self, fields: Fields, values: Mapping[str, Any],
                       where: str, strict: bool) -> dict[str, Any]:
        decoded = {}
        for name, value in values.items():
            kind = fields.get(name)
            if kind is None:
                if strict:
                    raise errors.invalid('unknown field %s%s' % (where, name))
                continue
            if value is None:
                continue
            result = self._decode_value(kind, value, where + name, strict)
            if result or kind.kind == 'message' and not kind.repeated:
                decoded[name] = result
        return decoded

    def _decode_value(self, kind: FieldType, value: Any, where: str,
                      strict: bool) -> Any:
        if kind.repeated:
            if not isinstance(value, list):
                raise errors.invalid('field %s must be a list' % where)
            item = dataclasses.replace(kind, repeated=False)
            return [self._decode_value(item, one, where, strict)
                    for one in value]
        if kind.kind == 'message':
            if not isinstance(value, dict):
                raise errors.invalid('field %s must be an object' % where)
            return self._decode_fields(self.types[kind.name], value,
                                       where + '.', strict)
        if kind.kind == 'enum':
            return self._decode_enum(kind.name, value, where)
        try:
            return _SCALARS[kind.kind](value)
        except (ValueError, TypeError):
            raise errors.invalid(
                'field %s must be %s' % (where, kind.kind)) from None

    def _decode_enum(self, name: str, value: Any, where: str) -> str | None:
        words = self.enums[name]
        if isinstance(value, str) and value in words:
            word = value
        elif type(value) is int and value in self._by_number[name]:
            word = self._by_number[name][value]
        else:
            raise errors.invalid('field %s must be one of %s'
                                 % (where, ', '.join(words)))
        return word if words[word] else None

    def _zero(self, kind: FieldType) -> Any:
        if kind.repeated:
            return []
        if kind.kind == 'enum':
            return self._by_number[kind.name][0]
        return {'string': '', 'bytes': '', 'bool': False, 'double': 0.0,
                'int32': 0, 'uint32': 0, 'int64': '0', 'uint64': '0',
                }.get(kind.kind)

    def finish(self, message: str, values: Mapping[str, Any],
               omit_zero: bool) -> dict[str, Any]:
        """Leave a reply's zero fields out, or fill them all in.

        :param message: the message's name
        :param values: its fields; None is absent
        :param omit_zero: leave out, rather than fill in
        """
        zeros = self._zeros[message]
        if omit_zero:
            return {name: value for name, value in values.items()
                    if value is not None and value != zeros[name]}
        return {name: zero if values.get(name) is None else values[name]
                for name, zero in zeros.items()}

    def check_reply(self, operation: str, reply: Any) -> None:
        """Say whether a reply has only fields and types of its message.

        :param reply: the decoded JSON of a successful reply
        :raises ValueError: it has not
        """
        self.check_message(self.operations[operation].reply, reply)

    def check_message(self, message: str, value: Any) -> None:
        """As :meth:`check_reply`, for a message by its name."""
        self._check(FieldType('message', message), value, message)

    def _check(self, kind: FieldType, value: Any, where: str) -> None:
        if kind.repeated:
            if not isinstance(value, list):
                raise ValueError('%s is not a list' % where)
            item = dataclasses.replace(kind, repeated=False)
            for one in value:
                self._check(item, one, where)
        elif kind.kind == 'message':
            if not isinstance(value, dict):
                raise ValueError('%s is not an object' % where)
            fields = self.types[kind.name]
            for name, one in value.items():
                if name not in fields:
                    raise ValueError('%s has no field %s' % (where, name))
                if one is not None:
                    self._check(fields[name], one, '%s.%s' % (where, name))
        elif kind.kind == 'enum':
            if value not in self.enums[kind.name]:
                raise ValueError('%s is not in %s' % (where, kind.name))
        elif not _is_reply_scalar(kind.kind, value):
            raise ValueError('%s is not %s: %r' % (where, kind.kind, value))


def _fields(types: Mapping[str, str], strings: Iterable[str] = ()) -> Fields:
    fields = {name: FieldType.parse(text) for name, text in types.items()}
    for name in strings:
        fields.setdefault(name, FieldType('string'))
    return fields


def _unquote(segment: str) -> str:
    if '%' not in segment:
        return segment
    try:
        return urllib.parse.unquote(segment, errors='strict')
    except UnicodeDecodeError:
        raise errors.invalid('the path is not UTF-8') from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError('a field is given twice')
    return values


def _integer(kind: str, value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError(value)
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError(value)
    elif isinstance(value, str):
        if not _DIGITS.fullmatch(value):
            raise ValueError(value)
    elif not isinstance(value, int):
        raise TypeError(value)
    number = int(value)
    low, high = _INTEGERS[kind]
    if not low <= number <= high:
        raise ValueError(value)
    return number


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _duration(value: Any) -> float:
    if not _DURATION.fullmatch(value):
        raise ValueError(value)
    return float(value[:-1])


_SCALARS: dict[str, Callable[[Any], Any]] = {
    'string': _string, 'bool': _boolean, 'duration': _duration,
    **{kind: functools.partial(_integer, kind) for kind in _INTEGERS}}


def _is_reply_scalar(kind: str, value: Any) -> bool:
    if kind in ('int32', 'uint32'):
        low, high = _INTEGERS[kind]
        return type(value) is int and low <= value <= high
    if kind == 'bool':
        return isinstance(value, bool)
    if kind == 'double':
        return isinstance(value, float)
    if not isinstance(value, str):
        return False
    if kind in ('int64', 'uint64'):
        return bool(_DIGITS.fullmatch(value))
    if kind == 'timestamp':
        return bool(_TIMESTAMP.fullmatch(value))
    if kind == 'duration':
        return bool(_DURATION.fullmatch(value))
    if kind == 'bytes':
        try:
            base64.b64decode(value, validate=True)
        except binascii.Error:
            return False
    return True


@functools.lru_cache(maxsize=1)
def load() -> Contract:
    """Load the contract that lies beside this module."""
    path = pathlib.Path(__file__).with_name('contract.json')
    return Contract(json.loads(path.read_text(encoding='utf-8')))
