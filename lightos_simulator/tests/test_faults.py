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
"""Fault rules and the journal, without any network."""

from __future__ import annotations

from typing import Any

import ddt
import testtools

from lightos_simulator import faults

PATH = '/api/v2/projects/default/volumes'


@ddt.ddt
class TestRules(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.rules = faults.FaultRules()

    def hits(self, operation: str | None = 'CreateVolume', node: int = 0,
             method: str = 'POST', path: str = PATH) -> bool:
        return self.rules.pick(node, operation, method, path) is not None

    def test_once_by_default(self) -> None:
        self.rules.add({'action': 'drop'})
        self.assertEqual([True, False], [self.hits(), self.hits()])

    def test_skip_and_times(self) -> None:
        rule = self.rules.add({'action': 'drop', 'skip': 1, 'times': 2})
        self.assertEqual([False, True, True, False],
                         [self.hits() for _ in range(4)])
        self.assertEqual(2, rule.hits)

    def test_for_ever(self) -> None:
        self.rules.add({'action': 'drop', 'times': None})
        self.assertTrue(all(self.hits() for _ in range(50)))

    @ddt.data(('CreateVolume', True), ('GetVolume', False),
              ('^POST .*/volumes$', True), ('^GET ', False),
              ('projects/default', True), (None, True))
    @ddt.unpack
    def test_operation(self, operation: str | None, hit: bool) -> None:
        self.rules.add({'action': 'drop', 'operation': operation})
        self.assertEqual(hit, self.hits())

    def test_name_of_an_operation_is_no_expression(self) -> None:
        self.rules.add({'action': 'drop', 'operation': 'GetVolume'})
        self.assertFalse(self.hits(None, path='/x/GetVolume'))

    def test_node(self) -> None:
        self.rules.add({'action': 'drop', 'node': 1})
        self.assertEqual([False, True], [self.hits(node=0),
                                         self.hits(node=1)])

    def test_first_that_concerns_acts(self) -> None:
        self.rules.add({'action': 'drop', 'operation': 'GetVolume'})
        self.rules.add({'action': 'html'})
        self.rules.add({'action': 'empty'})
        rule = self.rules.pick(0, 'CreateVolume', 'POST', PATH)
        assert rule is not None
        self.assertEqual('html', rule.action)

    def test_remove_and_clear(self) -> None:
        rule = self.rules.add({'action': 'drop'})
        self.assertTrue(self.rules.remove(rule.id))
        self.assertFalse(self.rules.remove(rule.id))
        self.rules.add({'action': 'drop'})
        self.rules.clear()
        self.assertFalse(self.hits())

    @ddt.data({}, {'action': 'explode'}, {'action': 'status'},
              {'action': 'drop', 'nonsense': 1},
              {'action': 'drop', 'times': '1'}, {'action': 'drop', 'skip': -1},
              {'action': 'drop', 'skip': True},
              {'action': 'drop', 'operation': '('},
              {'action': 'drop', 'delay': float('nan')},
              {'action': 'status', 'status': 42},
              {'action': 'drop', 'headers': {'a': 1}})
    def test_bad(self, fields: Any) -> None:
        self.assertRaises(ValueError, self.rules.add, fields)
        self.assertEqual([], self.rules.all())

    @ddt.data(('status', False), ('lose-reply', True), ('drop', False),
              ('half-reply', True), ('html', False), ('empty', False),
              ('delay', True), ('hang', False), ('fail-object', True),
              ('body', True))
    @ddt.unpack
    def test_whether_the_request_is_done(self, action: str, done: bool
                                         ) -> None:
        fields = {'action': action, 'status': 500}
        self.assertEqual(done, self.rules.add(fields).executes)
        fields['execute'] = not done
        self.assertEqual(not done, self.rules.add(fields).executes)


@ddt.ddt
class TestErrorOfARule(testtools.TestCase):

    @ddt.data((400, None, 3), (400, 9, 9), (409, None, 10), (429, None, 8),
              (500, None, 13), (502, None, 14), (503, None, 14))
    @ddt.unpack
    def test_code(self, status: int, code: int | None, answered: int) -> None:
        error = faults.error_of(faults.FaultRules().add(
            {'action': 'status', 'status': status, 'code': code}))
        self.assertEqual((status, answered), (error.status, error.code))


class TestJournal(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.journal = faults.Journal()

    def add(self, count: int = 1, query: Any = (), body: bytes = b''
            ) -> faults.JournalEntry:
        for _ in range(count):
            entry = self.journal.add(1.5, 2, 7, 'POST', PATH, query, body)
        return entry

    def numbers(self, since: int, limit: int | None = None) -> list[int]:
        return [entry['n'] for entry
                in self.journal.since(since, limit)['requests']]

    def test_entry(self) -> None:
        entry = self.add(query=(('a', 'x'), ('b', 'y'), ('b', 'z')),
                         body=b'{"name": "n"}')
        entry.status = 200
        (shown,) = self.journal.since(0, None)['requests']
        self.assertEqual(
            {'n': 1, 'time': 1.5, 'node': 2, 'connection': 7,
             'method': 'POST', 'path': PATH,
             'query': {'a': 'x', 'b': ['y', 'z']}, 'operation': None,
             'body': {'name': 'n'}, 'credential': None, 'status': 200,
             'milliseconds': None, 'fault': None}, shown)

    def test_since_and_next(self) -> None:
        self.add(5)
        self.assertEqual([1, 2], self.numbers(0, 2))
        self.assertEqual(3, self.journal.since(0, 2)['next'])
        self.assertEqual([3, 4, 5], self.numbers(3))
        self.assertEqual(6, self.journal.since(3, None)['next'])
        self.assertEqual([], self.numbers(6))
        self.assertEqual(6, self.journal.since(6, None)['next'])

    def test_clear_keeps_counting(self) -> None:
        self.add(3)
        self.journal.clear()
        self.assertEqual(4, self.journal.since(0, None)['next'])
        self.add()
        self.assertEqual([4], self.numbers(0))

    def test_is_bounded(self) -> None:
        self.add(100002)
        self.assertEqual([3, 4], self.numbers(0, 2))

    def test_body_that_is_no_json(self) -> None:
        self.add(body=b'{"a"\xff')
        (shown,) = self.journal.since(0, None)['requests']
        self.assertEqual('{"a"\ufffd', shown['body'])

    def test_holds_no_token(self) -> None:
        token = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln-_bmF0'
        self.add(query=(('name', token),), body=('{"a":"%s"}' % token
                                                 ).encode())
        self.assertNotIn('eyJ', str(self.journal.since(0, None)))
