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
"""What an answer of the cluster means, and how long it is waited for."""

from typing import Any, Callable, Optional
import uuid

import ddt

from cinder import exception as cinder_exception
from cinder.tests.unit import fake_constants as fake
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import waiting

Outcome = operation.Outcome
NEW_VOLUME = {'project_name': 'default', 'name': 'w', 'size': '1 gib',
              'n_replicas': 1, 'compression': 'False', 'acl': ['ALLOW_NONE'],
              'ip_acl': ['ALLOW_NONE']}
# What answers a call, and what that means for a call that changes nothing,
# for one that creates and for one that changes.
MEANINGS: tuple[tuple[dict[str, Any], Outcome, Outcome, Outcome], ...] = (
    ({'status': 200, 'body': {}}, *[Outcome.DONE] * 3),
    ({'status': 201, 'body': {}}, *[Outcome.DONE] * 3),
    ({'status': 204, 'body': ''}, *[Outcome.DONE] * 3),
    *(({'status': 200, 'body': body},
       Outcome.PASSING, Outcome.UNKNOWN, Outcome.UNKNOWN)
      for body in ('<html>', '[]', 'null', '7', '{')),
    *(({'status': status, 'headers': {'Location': '/'}},
       Outcome.PASSING, Outcome.UNKNOWN, Outcome.UNKNOWN)
      for status in (300, 301, 302, 307, 308, 399)),
    ({'status': 400}, *[Outcome.REFUSED] * 3),
    ({'status': 400, 'code': 3}, *[Outcome.REFUSED] * 3),
    ({'status': 400, 'code': 9}, *[Outcome.STALE] * 3),
    ({'status': 400, 'html': True}, *[Outcome.REFUSED] * 3),
    ({'status': 400, 'body': {'code': '9'}}, *[Outcome.REFUSED] * 3),
    ({'status': 401}, *[Outcome.REFUSED] * 3),
    ({'status': 403}, *[Outcome.REFUSED] * 3),
    ({'status': 403, 'html': True}, *[Outcome.REFUSED] * 3),
    ({'status': 299}, *[Outcome.DONE] * 3),
    ({'status': 404}, *[Outcome.MISSING] * 3),
    ({'status': 404, 'html': True},
     Outcome.PASSING, Outcome.UNKNOWN, Outcome.UNKNOWN),
    ({'status': 405}, *[Outcome.REFUSED] * 3),
    ({'status': 409, 'code': 6},
     Outcome.PASSING, Outcome.EXISTS, Outcome.PASSING),
    ({'status': 409, 'code': 10}, *[Outcome.PASSING] * 3),
    ({'status': 409, 'body': ''},
     Outcome.PASSING, Outcome.EXISTS, Outcome.PASSING),
    ({'status': 412}, *[Outcome.STALE] * 3),
    ({'status': 412, 'html': True}, *[Outcome.STALE] * 3),
    ({'status': 429}, *[Outcome.PASSING] * 3),
    ({'status': 429, 'html': True}, *[Outcome.PASSING] * 3),
    ({'status': 501}, *[Outcome.REFUSED] * 3),
    ({'status': 503, 'code': 14}, *[Outcome.PASSING] * 3),
    *(({'status': status, 'html': html},
       Outcome.PASSING, Outcome.UNKNOWN, Outcome.UNKNOWN)
      for status in (408, 500, 502, 504) for html in (False, True)),
    ({'status': 503, 'html': True},
     Outcome.PASSING, Outcome.UNKNOWN, Outcome.UNKNOWN),
    ({'lose_request': True},
     Outcome.DONE, Outcome.UNKNOWN, Outcome.UNKNOWN),
    ({'refused': True, 'times': None}, *[Outcome.PASSING] * 3),
)


class OperationTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.server.add_volume('v')
        self.address = {'project_name': 'default',
                        'volume_uuid': self.volume.uuid}
        self.began = self.clock.monotonic()

    def operation(self, seconds: float = 100.0) -> operation.Operation:
        return operation.Operation(self.driver.cluster, 'do it',
                                   waiting.Deadline(seconds))

    def read(self, seconds: float = 100.0) -> Optional[replies.Volume]:
        return self.operation(seconds).read(
            'get_volume', replies.Volume.parse, **self.address)

    @property
    def elapsed(self) -> float:
        return self.clock.monotonic() - self.began


@ddt.ddt
class SendTestCase(OperationTestCase):

    @ddt.data(*range(len(MEANINGS)))
    def test_e2_meaning(self, number):
        fault, *expected = MEANINGS[number]
        seen = []
        for operation_name, cmd, kwargs in (
                ('GetVolume', 'get_volume', self.address),
                ('CreateVolume', 'create_volume', NEW_VOLUME),
                ('UpdateVolume', 'extend_volume',
                 {**self.address, 'size': '2 gib'})):
            rule = self.server.fault(operation_name, **fault)
            seen.append(self.operation(5).send(cmd, **kwargs).outcome)
            rule.times = 0
            self.clock.advance(60)
        self.assertEqual(expected, seen, fault)

    def test_e2_answer_tells_what_is_known(self):
        self.server.fault('CreateVolume', status=429, code=8,
                          message='slow down', headers={'Retry-After': '9'})
        answer = self.operation().send('create_volume', **NEW_VOLUME)
        self.assertEqual(
            operation.Answer(
                outcome=Outcome.PASSING, message='slow down', status=429,
                retry_after=9, data=answer.data,
                text='create_volume of w in project default: HTTP 429 '
                     '(code 8): slow down'),
            answer)

    def test_e3_done_carries_the_reply(self):
        answer = self.operation().send('get_volume', **self.address)
        self.assertEqual((Outcome.DONE, 'v', 200), (
            answer.outcome, answer.data['name'], answer.status))

    def test_e4_without_an_answer_there_is_no_status(self):
        self.server.fault('CreateVolume', lose_reply=True)
        answer = self.operation().send('create_volume', **NEW_VOLUME)
        self.assertEqual((Outcome.UNKNOWN, None), (answer.outcome,
                                                   answer.status))
        self.assertIn('create_volume of w in project default',
                      answer.text)

    @ddt.data({'message': {'x': 'y'}}, {'message': 7, 'code': 'x'}, {},
              {'message': None, 'error': 'no'}, {'code': True})
    def test_e5_error_that_makes_no_sense_is_an_answer(self, body):
        self.server.fault('GetVolume', status=403, body=body)
        answer = self.operation().send('get_volume', **self.address)
        self.assertIs(Outcome.REFUSED, answer.outcome)
        self.assertIn('HTTP 403', answer.text)

    def test_e5_message_at_great_length_is_cut(self):
        self.server.fault('GetVolume', status=403, message='x' * 10000)
        answer = self.operation().send('get_volume', **self.address)
        self.assertEqual('x' * 500, answer.message)

    def test_e5_text_in_place_of_a_reply_is_cut(self):
        self.server.fault('GetVolume', body='"%s"' % ('x' * 10000))
        answer = self.operation().send('get_volume', **self.address)
        self.assertEqual('x' * 200, answer.message)

    @ddt.data('message', 'error')
    def test_e5_either_field_of_an_error_is_told(self, field):
        self.server.fault('GetVolume', status=403, body={field: 'because'})
        answer = self.operation().send('get_volume', **self.address)
        self.assertEqual('because', answer.message)

    def test_e1_call_is_given_what_is_left_of_the_deadline(self):
        op = self.operation(20)
        self.clock.advance(15)
        self.server.fault(hang=True, times=None)
        op.send('get_volume', **self.address)
        self.assertEqual(20, round(self.elapsed, 1))

    def test_e1_half_a_second_is_enough_for_the_last_look(self):
        op = self.operation(20)
        self.clock.advance(19.5)
        op.check_time('nothing')
        self.clock.advance(0.01)
        self.assertRaises(exception.LightOSNotSeen, op.check_time, 'nothing')

    def test_e1_part_of_an_operation_has_a_part_of_its_time(self):
        op = self.operation(20)
        part = op.within(op.deadline.earlier(0.5))
        self.assertEqual((10, 'do it'), (part.deadline.remaining,
                                         part.action))


@ddt.ddt
class ReadTestCase(OperationTestCase):

    def test_e3_reads_a_typed_value(self):
        self.assertEqual(self.volume.uuid, self.read().uuid)

    def test_o1_404_is_final(self):
        self.address['volume_uuid'] = str(uuid.uuid4())
        self.assertIsNone(self.read())
        self.assertEqual(1, len(self.server.requests))

    @ddt.data({'status': 409}, {'status': 412}, {'status': 429},
              {'status': 400, 'code': 9}, {'status': 500}, {'status': 502},
              {'status': 503}, {'status': 504}, {'html': True},
              {'body': '{}'}, {'body': '[]'}, {'body': {'UUID': 7}},
              {'status': 302}, {'half': True}, {'lose_reply': True},
              {'refused': True}, {'hang': True},
              {'status': 502, 'html': True})
    def test_e2_passing_trouble_is_waited_out(self, fault):
        self.server.fault('GetVolume', times=3, **fault)
        self.assertEqual(self.volume.uuid, self.read().uuid)

    @ddt.data({'status': 409}, {'status': 412}, {'status': 429},
              {'status': 400, 'code': 9}, {'status': 500}, {'status': 503},
              {'html': True}, {'body': {}}, {'status': 302}, {'half': True},
              {'refused': True}, {'hang': True},
              {'status': 502, 'html': True})
    def test_e1_passing_trouble_that_does_not_pass(self, fault):
        self.server.fault('GetVolume', times=None, **fault)
        exc = self.assertRaises(exception.LightOSNotSeen, self.read, 20)
        self.assertTrue(19 <= self.elapsed < 20.1, self.elapsed)
        self.assertIn('could not do it within 20 seconds; last seen: '
                      'get_volume of %s in project default: '
                      % self.volume.uuid, exc.msg)

    @ddt.data({'body': {}}, {'body': {'UUID': 7}})
    def test_e5_what_was_wrong_with_the_reply_is_told(self, fault):
        self.server.fault('GetVolume', times=None, **fault)
        exc = self.assertRaises(exception.LightOSNotSeen, self.read, 20)
        self.assertIn('UUID', exc.msg)

    @ddt.data({'status': 400}, {'status': 400, 'code': 3}, {'status': 401},
              {'status': 403}, {'status': 501})
    def test_e2_refusal_is_final_and_reported_at_once(self, fault):
        self.server.fault('GetVolume', message='because', **fault)
        exc = self.assertRaises(exception.LightOSRefused, self.read)
        self.assertEqual((1, []), (len(self.server.requests),
                                   self.clock.sleeps))
        self.assertEqual(fault['status'], exc.status)
        for word in ('could not do it', 'get_volume', self.volume.uuid,
                     'project default', 'HTTP %d' % fault['status'],
                     'because'):
            self.assertIn(word, exc.msg)

    def test_e2_retry_after_is_honoured(self):
        self.server.fault('GetVolume', status=429,
                          headers={'Retry-After': '7'})
        self.read()
        self.assertEqual([7], self.clock.sleeps)

    def test_e2_retry_after_is_honoured_within_the_deadline(self):
        self.server.fault('GetVolume', status=429, times=None,
                          headers={'Retry-After': '3600'})
        self.assertRaises(exception.LightOSNotSeen, self.read, 20)
        self.assertTrue(19 <= self.elapsed <= 20.1, self.elapsed)
        self.assertLessEqual(len(self.server.requests), 3)

    def test_e6_what_passes_soon_is_seen_soon(self):
        for after in (0.05, 1, 10):
            began = self.clock.monotonic()
            self.server.fault('GetVolume', status=503, times=None,
                              when=lambda request:
                              request.at < began + after)
            self.read()
            took = self.clock.monotonic() - began
            self.assertLess(took, after * 1.11 + 0.01)

    def test_e6_waiting_is_no_tight_loop(self):
        self.server.fault('GetVolume', status=503, times=None)
        self.assertRaises(exception.LightOSNotSeen, self.read, 100)
        self.assertLess(len(self.server.requests), 200)
        self.assertGreaterEqual(min(self.clock.sleeps[:-1]), 0.01)


class ErrorTestCase(OperationTestCase):

    def test_refusal_explained(self):
        self.server.fault('GetVolume', status=403, message='because')
        op = self.operation()
        exc = op.refused(op.send('get_volume', **self.address))
        explained = exc.explained('It is not yours')
        self.assertEqual('%s. It is not yours' % exc.msg, explained.msg)
        self.assertEqual(403, explained.status)

    def test_change_that_was_turned_down_is_told_in_the_end(self):
        self.server.fault('UpdateVolume', status=503, message='too busy')
        op = self.operation(20)
        op.send('extend_volume', size='2 gib', **self.address)
        self.server.fault('GetVolume', status=500, times=None)
        exc = self.assertRaises(
            exception.LightOSNotSeen, op.read, 'get_volume',
            replies.Volume.parse, **self.address)
        for word in ('get_volume', 'HTTP 500', 'extend_volume', 'too busy'):
            self.assertIn(word, exc.msg)

    def test_failure_names_what_was_asked(self):
        exc = self.operation().failed('it is Failed')
        self.assertIsInstance(exc, cinder_exception.VolumeBackendAPIException)
        self.assertEqual('LightOS: could not do it: it is Failed', exc.msg)


@ddt.ddt
class DeadlineTestCase(base.LightOSTestCase):
    """Each operation of the driver has one deadline, whatever happens."""

    OPTIONS = {**base.LightOSTestCase.OPTIONS,
               'lightos_api_service_timeout': 5}
    LONG = 3 * 5 + 10

    def setUp(self) -> None:
        super().setUp()
        self.override_config('rpc_response_timeout', 20)
        self.override_config('backend_stats_polling_interval', 24)

    def operations(self) -> dict[str, tuple[float, Callable[[], Any]]]:
        """Each operation, and the seconds that it may take."""
        volume = self.make_volume(create=True)
        snapshot = self.make_snapshot(volume, create=True)
        connector = self.host_connector()
        new = self.make_volume()
        return {
            'create': (self.LONG, lambda: self.driver.create_volume(new)),
            'extend': (self.LONG,
                       lambda: self.driver.extend_volume(volume, 2)),
            'delete': (self.LONG, lambda: self.driver.delete_volume(volume)),
            'snapshot': (self.LONG, lambda: self.driver.create_snapshot(
                self.make_snapshot(volume))),
            'delete snapshot': (
                self.LONG, lambda: self.driver.delete_snapshot(snapshot)),
            'from snapshot': (
                self.LONG, lambda: self.driver.create_volume_from_snapshot(
                    new, snapshot)),
            'clone': (self.LONG, lambda: self.driver.create_cloned_volume(
                new, volume)),
            'revert': (self.LONG, lambda: self.driver.revert_to_snapshot(
                self.context, volume, snapshot)),
            'retype': (self.LONG, lambda: self.driver.retype(
                self.context, volume, {'id': volume.volume_type_id},
                {'extra_specs': {'compression': (None, '<is> True')}},
                None)),
            'find to manage': (
                self.LONG, lambda: self.driver.manage_existing_get_size(
                    new, {'source-name': 'x'})),
            'manage': (self.LONG, lambda: self.driver.manage_existing(
                new, {'source-name': 'x'})),
            'list': (self.LONG, lambda: self.driver.get_manageable_volumes(
                [], None, None, None, [], [])),
            'list snapshots': (
                self.LONG, lambda: self.driver.get_manageable_snapshots(
                    [], None, None, None, [], [])),
            'find to copy': (
                self.LONG, lambda: self.driver.before_volume_copy(
                    self.context, new, volume)),
            'attach': (15, lambda: self.driver.initialize_connection(
                volume, connector)),
            'detach': (15, lambda: self.driver.terminate_connection(
                volume, connector)),
            'detach all': (15, lambda: self.driver.terminate_connection(
                volume, None)),
            'end of migration': (
                15, lambda: self.driver.update_migrated_volume(
                    self.context, new, volume, 'available')),
            'transfer': (15, lambda: self.driver.accept_transfer(
                self.context, {'id': volume.id}, fake.USER2_ID,
                fake.PROJECT2_ID)),
            'setup': (self.LONG, lambda: self.driver.do_setup(self.context)),
            'stats': (12, lambda: self.driver.get_volume_stats(
                refresh=True)),
        }

    NAMES = ('create', 'extend', 'delete', 'snapshot', 'delete snapshot',
             'from snapshot', 'clone', 'revert', 'retype', 'find to manage',
             'manage', 'list', 'list snapshots', 'find to copy', 'attach',
             'detach', 'detach all', 'end of migration', 'setup', 'stats')
    NEVER_RAISE = ('stats', 'end of migration', 'transfer')

    def elapsed(self, name: str, **fault: Any) -> tuple[float, float]:
        """How long an operation may take and how long it took."""
        limit, run = self.operations()[name]
        self.server.fault(times=None, **fault)
        began = self.clock.monotonic()
        if name in self.NEVER_RAISE:
            run()
        else:
            self.assertRaises(cinder_exception.CinderException, run)
        return limit, self.clock.monotonic() - began

    @ddt.data(*NAMES)
    def test_e1_when_all_nodes_hang(self, name):
        limit, took = self.elapsed(name, hang=True)
        self.assertTrue(0.75 * limit <= took <= limit + 0.2, (limit, took))

    @ddt.data(*NAMES)
    def test_e1_when_all_nodes_are_down(self, name):
        limit, took = self.elapsed(name, refused=True)
        self.assertTrue(0.75 * limit <= took <= limit + 0.2, (limit, took))

    @ddt.data(*NAMES)
    def test_e1_when_all_calls_are_turned_down_for_now(self, name):
        limit, took = self.elapsed(name, status=503,
                                   headers={'Retry-After': '2'})
        self.assertTrue(0.75 * limit <= took <= limit + 0.2, (limit, took))

    @ddt.data('create', 'extend', 'snapshot', 'delete', 'attach')
    def test_e1_when_the_work_never_ends(self, name):
        self.server.shows_updating = True
        operations = self.operations()
        for work in ('CreateVolume', 'UpdateVolume', 'CreateSnapshot'):
            self.server.work_time[work] = 1e6
        self.server.fault('DeleteVolume', times=None, status=503)
        limit, run = operations[name]
        began = self.clock.monotonic()
        self.assertRaises(exception.LightOSError, run)
        took = self.clock.monotonic() - began
        self.assertTrue(0.75 * limit <= took <= limit + 0.2, (limit, took))

    @ddt.data({'hang': True}, {'refused': True}, {'status': 503})
    def test_e1_labels_of_a_transfer_end_in_time(self, fault):
        limit, took = self.elapsed('transfer', **fault)
        # Labels may take a quarter of it.
        self.assertTrue(0 < took <= limit / 4 + 0.2, (limit, took))

    def test_e1_options_are_those_of_the_moment(self):
        self.configure(lightos_api_service_timeout=2)
        self.server.fault(refused=True, times=None)
        began = self.clock.monotonic()
        self.assertRaises(exception.LightOSNotSeen, self.driver.delete_volume,
                          self.make_volume())
        took = self.clock.monotonic() - began
        self.assertTrue(15 <= took <= 16.1, took)
