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
"""Injected faults, and the journal of requests."""

from __future__ import annotations

import collections
from collections.abc import Mapping
import dataclasses
import itertools
import json
import math
import re
from typing import Any

from lightos_simulator import contract
from lightos_simulator import errors

ACTIONS = ('status', 'lose-reply', 'drop', 'half-reply', 'html', 'empty',
           'delay', 'hang', 'fail-object', 'body')
_EXECUTED = ('lose-reply', 'half-reply', 'delay', 'fail-object', 'body')
_USUAL_CODES = {
    400: errors.INVALID_ARGUMENT, 401: errors.UNAUTHENTICATED,
    403: errors.PERMISSION_DENIED, 404: errors.NOT_FOUND,
    409: errors.ABORTED, 412: errors.FAILED_PRECONDITION,
    429: errors.RESOURCE_EXHAUSTED, 500: errors.INTERNAL,
    501: errors.UNIMPLEMENTED}
_JOURNAL_LENGTH = 100000
_BODY_LENGTH = 16384
_TOKEN = re.compile(r'eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*')

HTML = (b'<html><head><title>Bad Gateway</title></head>'
        b'<body><h1>Bad Gateway</h1></body></html>')


@dataclasses.dataclass
class FaultRule:
    """What goes wrong, and with which requests.

    :ivar operation: an operation's name, or a regular expression that is
        searched for in ``METHOD path``; None is every request
    :ivar node: the index of the only node that it concerns
    :ivar skip: how many requests that it concerns it still lets pass
    :ivar times: how often it still happens; None is for ever
    :ivar action: one of ACTIONS
    :ivar delay: seconds to wait first
    :ivar body: what ``body`` answers: text, or anything else as JSON
    :ivar execute: whether the request is done all the same; None is what the
        action usually does
    :ivar hits: how often it has happened
    """
    id: int
    action: str
    operation: str | None = None
    node: int | None = None
    skip: int = 0
    times: int | None = 1
    status: int | None = None
    code: int | None = None
    message: str = 'injected fault'
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    delay: float = 0.0
    body: Any = None
    execute: bool | None = None
    hits: int = 0

    @property
    def executes(self) -> bool:
        """Whether the request is done all the same."""
        if self.execute is None:
            return self.action in _EXECUTED
        return self.execute

    def payload(self) -> bytes:
        """What ``body`` answers."""
        if isinstance(self.body, str):
            return self.body.encode()
        return json.dumps(self.body).encode()

    def concerns(self, node: int, operation: str | None, method: str,
                 path: str) -> bool:
        """Whether it is about a request."""
        if self.node not in (None, node):
            return False
        if self.operation is None or self.operation == operation:
            return True
        if self.operation in contract.load().operations:
            return False
        return bool(re.search(self.operation, '%s %s' % (method, path)))


_FIELD_TYPES: Mapping[str, tuple[type, ...]] = {
    'operation': (str, type(None)), 'node': (int, type(None)), 'skip': (int,),
    'times': (int, type(None)), 'action': (str,), 'status': (int, type(None)),
    'code': (int, type(None)), 'message': (str,), 'headers': (dict,),
    'delay': (int, float), 'execute': (bool, type(None)), 'body': (object,)}


def _check_fields(fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        types = _FIELD_TYPES.get(name)
        if types is None:
            raise ValueError('a fault rule has no field %s' % name)
        if (not isinstance(value, types)
                or isinstance(value, bool) and name not in ('execute',
                                                            'body')):
            raise ValueError('field %s is of the wrong type' % name)
    for name in ('skip', 'times', 'delay'):
        number = fields.get(name)
        if number is not None and not 0 <= number < math.inf:
            raise ValueError('field %s is 0 or more' % name)
    status = fields.get('status')
    if status is not None and not 200 <= status <= 599:
        raise ValueError('status is a number from 200 to 599')
    if not all(isinstance(text, str) for header in
               fields.get('headers', {}).items() for text in header):
        raise ValueError('headers have strings')
    if fields.get('action') not in ACTIONS:
        raise ValueError('action must be one of %s' % ', '.join(ACTIONS))
    if fields['action'] == 'status' and status is None:
        raise ValueError('action status needs a status')
    try:
        re.compile(fields.get('operation') or '')
    except re.error as error:
        raise ValueError('operation is neither a name nor a regular '
                         'expression: %s' % error) from None


class FaultRules:
    """The rules in force; of several that concern a request the first acts."""

    def __init__(self) -> None:
        self._rules: dict[int, FaultRule] = {}
        self._ids = itertools.count(1)

    def add(self, fields: Mapping[str, Any]) -> FaultRule:
        """Add a rule.

        :param fields: the attributes of :class:`FaultRule`
        :raises ValueError: one of them is bad
        """
        _check_fields(fields)
        rule = FaultRule(id=next(self._ids), **fields)
        self._rules[rule.id] = rule
        return rule

    def remove(self, rule_id: int) -> bool:
        """Remove a rule; say whether it was there."""
        return self._rules.pop(rule_id, None) is not None

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()

    def all(self) -> list[FaultRule]:
        """The rules, those that are used up among them."""
        return list(self._rules.values())

    def pick(self, node: int, operation: str | None, method: str, path: str
             ) -> FaultRule | None:
        """The rule that acts on a request, which counts as a hit."""
        for rule in self._rules.values():
            if rule.times == 0 or not rule.concerns(node, operation, method,
                                                    path):
                continue
            if rule.skip:
                rule.skip -= 1
                continue
            if rule.times is not None:
                rule.times -= 1
            rule.hits += 1
            return rule
        return None

    def __bool__(self) -> bool:
        return bool(self._rules)


@dataclasses.dataclass
class JournalEntry:
    """A request that has come.

    :ivar number: counts from 1
    :ivar time: when it came, in seconds since the epoch
    :ivar connection: the number of the connection that it came on
    :ivar status: of its reply; None while, or if, it has none
    :ivar fault: the action of the fault that happened to it
    """
    number: int
    time: float
    node: int
    connection: int
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: bytes
    operation: str | None = None
    credential: str | None = None
    status: int | None = None
    milliseconds: float | None = None
    fault: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The entry as JSON objects have it; no token is in it."""
        return {
            'n': self.number, 'time': self.time, 'node': self.node,
            'connection': self.connection, 'method': self.method,
            'path': _scrub(self.path),
            'query': _scrub_all(_query(self.query)),
            'operation': self.operation, 'body': self._body(),
            'credential': self.credential, 'status': self.status,
            'milliseconds': self.milliseconds, 'fault': self.fault}

    def _body(self) -> Any:
        if not self.body:
            return None
        text = _scrub(self.body.decode(errors='replace'))
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text


def _scrub(text: str) -> str:
    return _TOKEN.sub('<token>', text)


def _scrub_all(values: Mapping[str, Any]) -> dict[str, Any]:
    scrubbed: dict[str, Any] = json.loads(_scrub(json.dumps(values)))
    return scrubbed


def _query(pairs: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name not in values:
            values[name] = value
        elif isinstance(values[name], list):
            values[name].append(value)
        else:
            values[name] = [values[name], value]
    return values


class Journal:
    """The last requests, of all nodes."""

    def __init__(self) -> None:
        self._entries: collections.deque[JournalEntry] = collections.deque(
            maxlen=_JOURNAL_LENGTH)
        self._numbers = itertools.count(1)
        self._next = 1

    def add(self, time: float, node: int, connection: int, method: str,
            path: str, query: tuple[tuple[str, str], ...], body: bytes
            ) -> JournalEntry:
        """Note a request that has come; its outcome is filled in later."""
        entry = JournalEntry(next(self._numbers), time, node, connection,
                             method, path, query, body[:_BODY_LENGTH])
        self._next = entry.number + 1
        self._entries.append(entry)
        return entry

    def clear(self) -> None:
        """Forget the requests; the numbers go on."""
        self._entries.clear()

    def since(self, number: int, limit: int | None) -> dict[str, Any]:
        """The requests from a number on.

        :param number: the first number wanted
        :param limit: the most to give; None is all
        :return: the requests, and the number to ask for ``next``
        """
        first = self._entries[0].number if self._entries else self._next
        begin = max(0, number - first)
        end = None if limit is None else begin + limit
        found = list(itertools.islice(self._entries, begin, end))
        following = found[-1].number + 1 if found else max(number, self._next)
        return {'next': following,
                'requests': [entry.as_dict() for entry in found]}


def error_of(rule: FaultRule) -> errors.ApiError:
    """The error that a rule of action ``status`` answers with."""
    assert rule.status is not None
    code = rule.code
    if code is None:
        code = _USUAL_CODES.get(rule.status, errors.UNAVAILABLE)
    return errors.ApiError(rule.status, code, rule.message)
