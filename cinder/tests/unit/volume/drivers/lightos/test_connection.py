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
"""One call to whichever node of the cluster answers it."""

from concurrent import futures
import errno
import gzip
import itertools
import logging
import os
import random
import socket
import threading
import traceback
import types
from typing import Any, Callable, Iterator, Optional
import unittest
from unittest import mock

import ddt
import fixtures
from oslo_config import cfg
from oslo_reports import guru_meditation_report
from oslo_utils import timeutils
from oslo_utils import units
import requests
import urllib3

from cinder import exception as cinder_exception
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder import version
from cinder.volume.drivers import lightos
from cinder.volume.drivers.lightos import connection
from cinder.volume.drivers.lightos import endpoints
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import transport
from cinder.volume import volume_utils

OTHER_CLUSTER = 'c2c2c2c2-0000-4000-8000-000000000002'
# Nothing of it may ever be seen but in the header that it is for.
SECRET = 'hushhush'
TOKEN = SECRET + '.first.token'
NEW_TOKEN = SECRET + '.second.token'
NEW_VOLUME = {'project_name': 'default', 'name': 'v', 'size': '1 gib',
              'n_replicas': 1, 'compression': 'False', 'acl': ['ALLOW_NONE'],
              'ip_acl': ['ALLOW_NONE'], 'labels': (('k', 'x'),)}
NOT_SENT: tuple[dict[str, Any], ...] = (
    {'refused': True}, {'unreachable': True}, {'ssl': True})
PERHAPS_SENT: tuple[dict[str, Any], ...] = (
    {'lose_request': True}, {'lose_reply': True}, {'hang': True},
    {'half': True}, {'hang': True, 'executed': True})
GARBAGE: tuple[Any, ...] = ('<html>', '[]', '7', '"x"', 'null', '{',
                            b'\xff\xfe', 'NaN', '[' * 20000)


class ConnectionTestCase(base.LightOSTestCase):

    OPTIONS = {**base.LightOSTestCase.OPTIONS,
               'driver_ssl_cert_verify': True}

    def setUp(self) -> None:
        super().setUp()
        self.cluster = self.driver.cluster
        self.log = self.useFixture(fixtures.FakeLogger(
            level=logging.DEBUG, format='%(levelname)s %(message)s'))
        self.began = self.clock.monotonic()

    def new(self, **options: Any) -> lightos.LightOSConnection:
        """A connection that has not been used yet."""
        return self.make_driver(setup=False, **options).cluster

    def ask(self, cmd: str = 'get_nodes', timeout: float = 100.0,
            cluster: Optional[lightos.LightOSConnection] = None,
            **kwargs: Any) -> tuple[int, Any]:
        return (cluster or self.cluster).send_cmd(cmd, timeout=timeout,
                                                  **kwargs)

    def hosts(self, operation: Optional[str] = None) -> list[str]:
        """The nodes that were asked, in order."""
        return [request.node for request in self.server.requests
                if operation in (None, request.operation)]

    def lines(self, *levels: str) -> list[str]:
        """What was logged for the operator, or at these levels."""
        return [line for line in self.log.output.splitlines()
                if line.startswith(levels or ('INFO', 'WARNING', 'ERROR'))]

    @property
    def elapsed(self) -> float:
        return self.clock.monotonic() - self.began

    def at_once(self, count: int,
                work: Callable[[int], Any]) -> list['futures.Future[Any]']:
        """Have so many threads do something at the same moment."""
        pool = futures.ThreadPoolExecutor(count)
        self.addCleanup(pool.shutdown)
        barrier = threading.Barrier(count, timeout=30)

        def run(number: int) -> Any:
            barrier.wait()
            return work(number)

        return [pool.submit(run, number) for number in range(count)]


@ddt.ddt
class SeamTestCase(ConnectionTestCase):

    def test_d2_returns_status_and_reply(self):
        status, data = self.ask('create_volume', **NEW_VOLUME)
        self.assertEqual((200, 'v'), (status, data['name']))

    @ddt.data(400, 401, 403, 404, 409, 412, 429, 500, 501, 502, 503, 504)
    def test_d2_returns_whatever_a_node_answered(self, status):
        self.server.fault('ListNodes', status=status, message='no way')
        seen, data = self.ask()
        self.assertEqual((status, 'no way'), (seen, data['message']))
        self.assertEqual(1, len(self.server.requests))

    @ddt.data(404, 502)
    def test_d2_an_error_that_is_no_json_is_a_message(self, status):
        self.server.fault('ListNodes', status=status, html=True)
        seen, data = self.ask()
        self.assertEqual(status, seen)
        self.assertIn('<html>', data['message'])

    def test_d2_raises_only_when_no_node_answered(self):
        self.server.fault(refused=True, times=None)
        exc = self.assertRaises(exception.LightOSNoAnswer, self.ask)
        self.assertFalse(exc.sent)
        self.assertIn('Connection refused', exc.msg)

    def test_d2_a_body_that_is_empty_is_an_empty_reply(self):
        self.server.fault('ListNodes', body='')
        self.assertEqual((200, {}), self.ask())

    def test_d2_driver_looks_the_seam_up_at_each_call(self):
        calls: list[tuple[str, set[str]]] = []

        def send_cmd(cmd: str, timeout: float,
                     **kwargs: Any) -> tuple[int, Any]:
            calls.append((cmd, {keyword for keyword, value in kwargs.items()
                                if value is not None}))
            return sent(cmd=cmd, timeout=timeout, **kwargs)

        sent = self.cluster.send_cmd
        with mock.patch.object(self.driver.cluster, 'send_cmd', send_cmd):
            volume = self.make_volume(create=True)
            self.driver.extend_volume(volume, 2)
            self.driver.get_volume_stats(refresh=True)
            self.driver.delete_volume(volume)
        self.assertEqual([], [
            request for request in self.server.requests[len(calls):]])
        addressed = {'project_name', 'volume_uuid'}
        for call in (
                ('create_volume', set(NEW_VOLUME)),
                ('extend_volume', {*addressed, 'etag', 'size'}),
                ('get_volume', addressed), ('get_cluster_info', set()),
                ('delete_volume', {*addressed, 'etag'})):
            self.assertIn(call, calls)

    def test_d2_subsystem_nqn_can_be_set(self):
        self.cluster.subsystemNQN = 'nqn'
        self.assertEqual('nqn', self.driver.cluster.subsystemNQN)

    def test_d2_addresses_may_be_one_string(self):
        self.server.clusterinfo['apiEndpoints'] = []
        conf = types.SimpleNamespace(
            lightos_api_address='10.0.0.2, 10.0.0.3', lightos_api_port=443,
            lightos_jwt=None, lightos_api_service_timeout=30,
            driver_ssl_cert_verify=False, safe_get=lambda option: None)
        self.ask(cluster=connection.LightOSConnection(conf))
        self.assertEqual({'10.0.0.2', '10.0.0.3'},
                         set(self.hosts('GetClusterInfo')))

    def test_d2_options_are_read_at_each_use(self):
        self.configure(lightos_api_service_timeout=7)
        self.ask()
        self.assertEqual(7, self.server.requests[-1].timeout[1])

    def test_c2_node_has_five_seconds_to_connect(self):
        self.ask()
        self.assertEqual(5, self.server.requests[-1].timeout[0])


@ddt.ddt
class NodesTestCase(ConnectionTestCase):
    """Which node is asked, and which is not."""

    def test_c2_healthy_nodes_take_turns(self):
        for _each in range(30):
            self.ask()
        hosts = self.hosts()
        self.assertEqual([10] * 3, [hosts.count(node)
                                    for node in self.server.nodes])

    @ddt.data(*NOT_SENT, *PERHAPS_SENT, {'unreachable': True, 'times': 2})
    def test_e2_another_node_is_asked_at_once(self, fault):
        self.server.fault('ListNodes', **fault)
        self.assertEqual(200, self.ask()[0])
        self.assertEqual([], self.clock.sleeps)
        asked = self.hosts('ListNodes')
        self.assertEqual(len(asked), len(set(asked)))

    @ddt.data(*NOT_SENT, *PERHAPS_SENT)
    def test_c2_a_node_that_does_not_answer_is_set_aside(self, fault):
        self.server.fault('ListNodes', **fault)
        self.ask()
        bad = self.hosts('ListNodes')[0]
        self.server.requests.clear()
        for _each in range(9):
            self.ask()
        self.assertNotIn(bad, self.hosts())

    @ddt.data(*({'body': body} for body in GARBAGE), {'html': True},
              {'status': 502, 'html': True}, {'status': 500, 'body': '{}'},
              {'status': 503, 'body': ''}, {'status': 504, 'body': '[]'},
              {'status': 299, 'body': '[]'})
    def test_c2_a_node_that_answers_garbage_is_set_aside(self, fault):
        self.server.fault('ListNodes', **fault)
        status, _data = self.ask()
        self.assertEqual(fault.get('status', 200), status)
        bad = self.hosts('ListNodes')[0]
        self.server.requests.clear()
        for _each in range(9):
            self.ask()
        self.assertNotIn(bad, self.hosts())

    @ddt.data(400, 401, 404, 409, 429, 500, 503)
    def test_c2_a_node_whose_cluster_says_no_is_healthy(self, status):
        self.server.fault('ListNodes', status=status, times=3)
        for _each in range(6):
            self.ask()
        self.assertEqual(['ListNodes'] * 6, self.server.operations(True))
        self.assertEqual([], self.lines())

    @ddt.data(300, 403, 499)
    def test_c2_a_node_behind_something_that_says_no_is_healthy(self, status):
        self.server.fault('ListNodes', status=status, html=True)
        for _each in range(6):
            self.ask()
        self.assertEqual(['ListNodes'] * 6, self.server.operations(True))
        self.assertEqual([], self.lines())

    def test_c2_a_hung_node_costs_the_calls_in_flight_on_it(self):
        hung = self.server.fault(node='10.0.0.2', hang=True, times=None)
        for _each in range(3):
            self.ask()
        self.assertEqual(1, hung.hits)
        self.assertEqual(30, self.elapsed)

    def test_c2_a_hung_node_costs_one_probe_per_growing_pause(self):
        self.server.fault(node='10.0.0.2', hang=True, times=None)
        for _each in range(300):
            self.ask()
            self.clock.advance(2)
        at = [request.at for request in self.server.requests
              if request.node == '10.0.0.2']
        gaps = [later - earlier for earlier, later in zip(at[1:], at[2:])]
        # A probe takes 5 s, and the next call is up to 2 s away.
        for number, gap in enumerate(gaps):
            pause = min(2 ** (number + 1), 60)
            self.assertTrue(0.75 * pause <= gap - 5 <= pause + 2, gaps)
        self.assertGreater(len(gaps), 10)
        self.assertEqual(1, self.hosts('ListNodes').count('10.0.0.2'))
        self.assertEqual(1, len(self.lines()), self.lines())

    def test_c2_a_node_that_is_back_serves_again(self):
        down = self.server.fault(node='10.0.0.2', refused=True, times=None)
        for _each in range(100):
            self.ask()
            self.clock.advance(1)
        down.times = 0
        self.clock.advance(60)
        self.server.requests.clear()
        for _each in range(9):
            self.ask()
        self.assertIn('10.0.0.2', self.hosts('ListNodes')[1:])
        lines = self.lines()
        self.assertEqual(2, len(lines), lines)
        self.assertIn('WARNING The LightOS node 10.0.0.2:443 is set aside',
                      lines[0])
        self.assertIn('Connection refused', lines[0])
        self.assertIn('INFO The LightOS node 10.0.0.2:443 answers again',
                      lines[1])

    def test_c2_a_node_is_probed_by_one_call(self):
        self.server.fault('ListNodes', node='10.0.0.2', refused=True)
        for _each in range(3):
            self.ask()
        self.clock.advance(60)
        self.server.requests.clear()
        gate = threading.Event()
        self.addCleanup(gate.set)
        self.server.fault(node='10.0.0.2', times=None, after=lambda request:
                          gate.wait(30))
        calls = self.at_once(16, lambda number: self.ask())
        done = futures.as_completed(calls, timeout=30)
        for _each in range(15):
            self.assertEqual(200, next(done).result()[0])
        self.assertEqual(1, self.hosts().count('10.0.0.2'))
        gate.set()
        self.assertEqual(200, next(done).result()[0])

    def test_c2_a_call_tries_one_lost_node_while_another_serves(self):
        self.server.nodes += ['10.0.0.%d' % number for number in range(4, 17)]
        self.driver.get_volume_stats(refresh=True)
        for _each in range(16):
            self.ask()
        lost = self.server.nodes[8:]
        self.server.fault(unreachable=True, times=None,
                          when=lambda request: request.node in lost)
        while len(self.lines('WARNING')) < len(lost):
            self.ask()
        self.clock.advance(60)
        for _each in range(20):
            began = self.clock.monotonic()
            self.ask()
            self.assertLessEqual(self.clock.monotonic() - began, 5)

    def test_c1_learned_name_that_no_url_can_have(self):
        self.server.clusterinfo['apiEndpoints'] = [
            *self.server.nodes, 'x' * 64 + '.example.com', '-x', 'a..b']
        self.driver.get_volume_stats(refresh=True)
        for _each in range(9):
            self.assertEqual(200, self.ask()[0])

    def test_c2_all_nodes_down_is_waited_out_without_a_tight_loop(self):
        self.server.fault(refused=True, times=None)
        self.assertRaises(exception.LightOSNoAnswer, self.ask, timeout=100)
        self.assertEqual(100, round(self.elapsed, 3))
        self.assertLess(len(self.server.requests), 3 * 200)
        self.assertLessEqual(max(self.clock.sleeps), 1)

    def test_c2_all_nodes_down_is_one_line_for_each(self):
        self.server.fault(refused=True, times=None)
        for _each in range(3):
            self.assertRaises(exception.LightOSNoAnswer, self.ask,
                              timeout=20)
        self.assertEqual(3, len(self.lines()), self.lines())

    def test_e2_all_nodes_down_until_one_is_back(self):
        self.server.fault(refused=True, times=None,
                          when=lambda request: request.at < self.began + 50)
        self.assertEqual(200, self.ask()[0])
        self.assertLess(self.elapsed, 52)

    def test_e1_all_nodes_hung(self):
        self.server.fault(hang=True, times=None)
        self.assertRaises(exception.LightOSNoAnswer, self.ask, timeout=100)
        self.assertTrue(100 <= self.elapsed < 100.1, self.elapsed)

    @ddt.data((7, 100, 7), (30, 3, 3), (1, 1, 1))
    @ddt.unpack
    def test_e1_one_answer_is_waited_for(self, option, timeout, seconds):
        self.configure(lightos_api_service_timeout=option)
        hung = self.server.fault('ListNodes', hang=True)
        try:
            self.ask(timeout=timeout)
        except exception.LightOSNoAnswer:
            self.assertEqual(timeout, seconds)
        self.assertEqual(1, hung.hits)
        self.assertEqual(seconds, self.elapsed)

    @unittest.skipUnless(hasattr(urllib3.HTTPResponse, 'read1'),
                         'this urllib3 is bounded at the socket alone')
    def test_e1_a_reply_that_trickles_in_does_not_last(self):
        self.server.fault('ListNodes', drip=5)
        self.assertEqual(200, self.ask()[0])
        self.assertLessEqual(self.elapsed, 35)

    def test_e1_a_timeout_that_has_passed_allows_one_try(self):
        self.assertEqual(200, self.ask(timeout=0)[0])

    def test_e1_a_call_that_had_no_time_blames_no_node(self):
        self.server.latency = 0.5
        self.server.fault('ListNodes', hang=True)
        self.assertRaises(exception.LightOSNoAnswer, self.ask, timeout=0.1)
        self.assertEqual([], self.lines())

    def test_c8_without_an_endpoint_nobody_answers(self):
        cluster = self.new(lightos_api_address=[])
        exc = self.assertRaises(exception.LightOSNoAnswer, self.ask,
                                cluster=cluster, timeout=5)
        self.assertFalse(exc.sent)
        self.assertIn('no endpoint could be asked', exc.msg)

    def test_c4_connections_to_a_node_are_bounded(self):
        self.mock_object(transport, 'CONNECTIONS_PER_NODE', 2)
        cluster = self.new(lightos_api_address=['10.0.0.1'])
        self.server.clusterinfo['apiEndpoints'] = []
        self.ask(cluster=cluster)
        most, lock, gate = [0, 0], threading.Lock(), threading.Event()
        self.addCleanup(gate.set)

        def enter(request: fake_lightos.Request) -> None:
            with lock:
                most[0] += 1
                most[1] = max(most)
            gate.wait(0.05)

        def leave(request: fake_lightos.Request) -> None:
            with lock:
                most[0] -= 1

        self.server.fault(times=None, before=enter, after=leave)
        for call in self.at_once(8, lambda number: self.ask(
                cluster=cluster)):
            self.assertEqual(200, call.result(timeout=30)[0])
        self.assertEqual([0, 2], most)

    def held(self, operation: str,
             **fault: Any) -> tuple[threading.Event, threading.Event]:
        """Hold the next request until the second of the events is set.

        :param operation: that the request asks for
        :param fault: what happens to it besides
        :returns: set when the request is there, and what lets it go
        """
        entered, gate = threading.Event(), threading.Event()
        self.addCleanup(gate.set)

        def hold(request: fake_lightos.Request) -> None:
            entered.set()
            gate.wait(30)

        self.server.fault(operation, before=hold, **fault)
        return entered, gate

    def queue(self, cluster: lightos.LightOSConnection, node: str,
              length: int) -> threading.Event:
        """Set when so many calls have come for the connection to a node."""
        full, came = threading.Event(), itertools.count(1)

        class Slot(threading.BoundedSemaphore):

            def acquire(self, *args: Any, **kwargs: Any) -> bool:
                if next(came) == length:
                    full.set()
                return super().acquire(*args, **kwargs)

        cluster._slots[endpoints.Address(node, 443)] = Slot(1)
        return full

    @staticmethod
    def finished(count: int, calls: list['futures.Future[Any]']) -> None:
        """Wait until so many of the calls have ended."""
        ended = futures.as_completed(calls, timeout=30)
        for _each in range(count):
            next(ended)

    def test_c4_a_change_that_gets_no_connection_was_not_sent(self):
        self.mock_object(transport, 'CONNECTIONS_PER_NODE', 1)
        cluster = self.new(lightos_api_address=['10.0.0.1'])
        self.server.clusterinfo['apiEndpoints'] = []
        self.ask(cluster=cluster)
        entered, gate = self.held('ListNodes')
        call, = self.at_once(1, lambda number: self.ask(cluster=cluster))
        self.assertTrue(entered.wait(30))
        exc = self.assertRaises(
            exception.LightOSNoAnswer, self.ask, 'create_volume',
            timeout=0.05, cluster=cluster, **NEW_VOLUME)
        self.assertFalse(exc.sent)
        gate.set()
        call.result(timeout=30)
        self.server.requests.clear()
        # The node is not to blame.
        self.ask(cluster=cluster)
        self.assertEqual(['ListNodes'], self.server.operations(True))

    def test_c4_a_change_that_waits_for_a_hung_node_goes_to_another(self):
        self.mock_object(transport, 'CONNECTIONS_PER_NODE', 1)
        cluster = self.new(lightos_api_address=['10.0.0.1', '10.0.0.2'])
        self.server.clusterinfo['apiEndpoints'] = []
        self.ask(cluster=cluster)
        # The nodes take turns.
        full = self.queue(cluster, '10.0.0.2', 4)
        entered, gate = self.held('CreateVolume', node='10.0.0.2',
                                  hang=True)
        calls = self.at_once(8, lambda number: self.ask(
            'create_volume', cluster=cluster,
            **{**NEW_VOLUME, 'name': 'v%d' % number}))
        self.assertTrue(entered.wait(30))
        self.assertTrue(full.wait(30))
        self.finished(4, calls)
        gate.set()
        errors = [call.exception(timeout=30) for call in calls]
        self.assertEqual([True], [error.sent for error in errors if error])

    def test_e1_a_good_node_has_the_time_of_any_call_to_tell_of_its_cluster(
            self):
        self.server.fault('GetClusterInfo', delay=8)
        self.assertEqual(200, self.ask('get_cluster_info')[0])
        self.assertEqual((8, 1), (self.elapsed, len(self.server.requests)))

    @ddt.data((1, 'Connection refused'), (100, 'no answer in time'))
    @ddt.unpack
    def test_e1_last_trouble_of_a_try_that_had_time_is_told(self, timeout,
                                                            words):
        self.server.fault('ListNodes', refused=True)
        self.server.fault(hang=True, times=None)
        exc = self.assertRaises(exception.LightOSNoAnswer, self.ask,
                                timeout=timeout)
        self.assertIn(words, exc.msg)

    def test_e1_seeds_are_compared_no_longer_than_the_call_has_time(self):
        self.server.fault(hang=True, times=None)
        self.assertRaises(exception.LightOSNoAnswer, self.ask, timeout=7,
                          cluster=self.new())
        # Two seeds in that time, and the one try that each call has.
        self.assertEqual(3, len(self.server.requests))

    @ddt.data(401, 403)
    def test_c3_refusal_to_tell_of_the_cluster_is_the_answer(self, status):
        self.server.fault('GetClusterInfo', status=status, times=None)
        self.assertEqual(status, self.ask(cluster=self.new())[0])
        self.assertEqual([], self.server.operations())

    def test_c1_replica_count_is_kept_while_the_cluster_starts(self):
        self.assertEqual(3, self.cluster.max_replicas)
        self.server.max_replicas = 0
        self.ask('get_cluster_info')
        self.assertEqual(3, self.cluster.max_replicas)

    def test_c3_a_change_that_no_node_proved_itself_for_was_not_sent(self):
        self.server.fault(hang=True, times=None)
        exc = self.assertRaises(
            exception.LightOSNoAnswer, self.ask, 'create_volume', timeout=20,
            cluster=self.new(), **NEW_VOLUME)
        self.assertFalse(exc.sent)
        self.assertEqual([], self.server.operations())

    def test_c2_a_call_that_waits_for_a_hung_node_does_not_ask_it(self):
        self.mock_object(transport, 'CONNECTIONS_PER_NODE', 1)
        cluster = self.new(lightos_api_address=['10.0.0.1', '10.0.0.2'])
        self.server.clusterinfo['apiEndpoints'] = []
        self.ask(cluster=cluster)
        full = self.queue(cluster, '10.0.0.2', 4)
        gate = threading.Event()
        self.addCleanup(gate.set)
        hung = self.server.fault('ListNodes', node='10.0.0.2', hang=True,
                                 times=None,
                                 before=lambda request: gate.wait(5))
        # The moment between the end of a call and its being noted.
        set_aside = cluster._endpoints.set_aside

        def late(*args: Any, **kwargs: Any) -> None:
            threading.Event().wait(0.1)
            set_aside(*args, **kwargs)

        self.mock_object(cluster._endpoints, 'set_aside', late)
        calls = self.at_once(8, lambda number: self.ask(cluster=cluster))
        self.assertTrue(full.wait(30))
        self.finished(4, calls)
        gate.set()
        for call in calls:
            self.assertEqual(200, call.result(timeout=30)[0])
        self.assertEqual(1, hung.hits)


@ddt.ddt
class RepetitionTestCase(ConnectionTestCase):
    """A call that may have been carried out is not made again."""

    @ddt.data(*NOT_SENT)
    def test_c4_a_change_that_was_not_sent_goes_to_another_node(self, fault):
        self.server.fault('CreateVolume', times=2, **fault)
        self.assertEqual(200, self.ask('create_volume', **NEW_VOLUME)[0])
        self.assertEqual(3, len(set(self.hosts('CreateVolume'))))

    @ddt.data(*PERHAPS_SENT)
    def test_c4_a_change_that_may_have_been_sent_is_not_repeated(self, fault):
        volume = self.server.add_volume('v')
        addressed = {'project_name': 'default', 'volume_uuid': volume.uuid}
        for cmd, operation, kwargs in (
                ('create_volume', 'CreateVolume', {**NEW_VOLUME,
                                                   'name': 'w'}),
                ('extend_volume', 'UpdateVolume', {**addressed,
                                                   'size': '2 gib'}),
                ('delete_volume', 'DeleteVolume', addressed)):
            self.server.fault(operation, **fault)
            exc = self.assertRaises(exception.LightOSNoAnswer, self.ask, cmd,
                                    **kwargs)
            self.assertTrue(exc.sent)
            self.assertEqual(1, len(self.hosts(operation)))

    @ddt.data(*PERHAPS_SENT)
    def test_e4_the_layer_above_is_told_which_node_was_asked(self, fault):
        self.server.fault('CreateVolume', **fault)
        exc = self.assertRaises(exception.LightOSNoAnswer, self.ask,
                                'create_volume', **NEW_VOLUME)
        self.assertIn(self.hosts('CreateVolume')[0], exc.msg)

    @ddt.data(*NOT_SENT, *PERHAPS_SENT)
    def test_e4_volume_is_created_once(self, fault):
        self.server.fault('CreateVolume', **fault)
        self.make_volume(create=True)
        self.assertEqual(1, len(self.server.volumes()))


@ddt.ddt
class ReplyTestCase(ConnectionTestCase):

    def test_e5_a_reply_that_is_too_long_is_passing_trouble(self):
        self.server.fault('ListNodes',
                          body=b'{"nodes": []}' + b' ' * 32 * units.Mi)
        _status, data = self.ask()
        self.assertEqual(3, len(data['nodes']))
        self.assertIn('the reply is too long', self.lines('WARNING')[0])

    def test_e5_a_page_of_1000_volumes_fits(self):
        page = {'volumes': [{'name': 'v' * 253, 'acl': 'x' * 2000}] * 1000}
        self.server.fault('ListVolumes', body=page)
        self.assertEqual((200, page), self.ask(
            'get_volume_by_name', project_name='default', volume_name='v'))

    @ddt.data('7', '0')
    def test_e2_retry_after_is_handed_up(self, seconds):
        self.server.fault('ListNodes', status=429,
                          headers={'Retry-After': seconds})
        self.assertEqual(float(seconds), self.ask()[1].retry_after)

    @ddt.data('soon', '-1', '', '1e3', 'nan', '\u00b2')
    def test_e2_retry_after_that_is_no_number_is_left_out(self, text):
        self.server.fault('ListNodes', status=429,
                          headers={'Retry-After': text})
        self.assertIsNone(self.ask()[1].retry_after)

    def test_c2_a_request_is_one_debug_line(self):
        self.ask('create_volume', **NEW_VOLUME)
        line, = [line for line in self.lines('DEBUG')
                 if 'create_volume' in line]
        self.assertRegex(line, r"^DEBUG #\d+ create_volume, %s:443: 200 after "
                         r"0 ms, POST /api/v2/projects/default/volumes "
                         r"\{'name': 'v'.*\}: '\{.UUID.*\}'$"
                         % self.hosts()[0])

    def test_c2_a_request_without_an_answer_is_one_debug_line(self):
        self.server.fault('ListNodes', hang=True)
        self.ask()
        line, = [line for line in self.lines('DEBUG')
                 if 'get_nodes' in line and '200' not in line]
        self.assertIn('no answer in time after 30000 ms, GET', line)

    def test_e5_a_long_reply_is_not_logged_whole(self):
        self.server.fault('ListNodes', body='{"x": "%s"}' % ('y' * units.Mi))
        self.ask()
        self.assertEqual([4096 - len('{"x": "')], [
            line.count('y') for line in self.lines('DEBUG')
            if 'yy' in line])

    @ddt.data('{"a": 1, "a": 1}', '{"a": [{"b": 1, "b": 2}]}',
              '{"a": NaN}', '{"a": -Infinity}', '{"a": "\\ud800"}',
              '{"\\uDFFF": 1}', b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}',
              '{"a": 1}{}', '\ufeff{}', '{"a": 1e}', "{'a': 1}",
              '{"a": %s}' % ('[' * 20000), '{"a": %s}' % ('9' * 5000))
    def test_e5_json_is_read_strictly(self, body):
        self.server.fault('ListNodes', body=body)
        self.ask()
        line, = self.lines()
        self.assertIn('a body that is no JSON object', line)

    @ddt.data('{"a": "\\ud83d\\ude00"}', '{"a": "\u00e9\\u0000"}',
              '{"a": {"a": 1}, "b": {"a": 1}}')
    def test_e5_json_that_is_in_order_is_read(self, body):
        self.server.fault('ListNodes', body=body)
        self.ask()
        self.assertEqual([], self.lines())

    @ddt.data(200, 404, 500, 502)
    def test_e5_nesting_that_logging_could_not_show(self, status):
        # Python 3.11 reads it and cannot make a text of it.
        volume = self.make_volume(create=True)
        for depth in range(100, 1000, 100):
            deep = '[' * depth + ']' * depth
            self.server.fault('GetVolume', status=status, body=(
                '{"UUID": %s, "message": %s, "size": %s, "compression": %s}'
                % (deep, deep, deep, deep)))
            try:
                self.driver.extend_volume(volume, 2)
            except cinder_exception.CinderException:
                self.assertEqual(404, status)

    def test_e5_answer_about_another_object_is_none(self):
        volume = self.make_volume(create=True)
        other = self.server.add_volume('volume-' + volume.id + '-copy')
        self.server.fault('GetVolume', body=other.reply())
        self.driver.extend_volume(volume, 2)
        self.assertEqual(units.Gi, other.size)
        snapshot = self.make_snapshot(volume, create=True)
        another = self.server.add_snapshot('another', other)
        self.server.fault('GetSnapshot', body=another.reply())
        self.driver.delete_snapshot(snapshot)
        self.assertEqual([another], self.server.snapshots())

    def test_e5_answer_about_another_name_is_none(self):
        volume = self.make_volume(create=True)
        snapshot = self.make_snapshot(volume, create=True)
        volume.provider_id = snapshot.provider_id = None
        other = self.server.add_volume('theirs')
        another = self.server.add_snapshot('theirs', other)
        self.server.fault('ListSnapshots', body={'snapshots': [
            another.reply()]})
        self.driver.delete_snapshot(snapshot)
        self.assertEqual([another], self.server.snapshots())
        self.server.fault('ListVolumes', body={'volumes': [other.reply()]})
        self.driver.delete_volume(volume)
        self.assertEqual([other], self.server.volumes())

    def test_e5_answer_to_another_create_is_none(self):
        other = self.server.add_volume('theirs', ip_acl=('ALLOW_NONE',))
        another = self.server.add_snapshot('theirs', other)
        self.server.fault('CreateVolume', executed=True, body=other.reply())
        volume = self.make_volume(create=True)
        self.server.fault('CreateSnapshot', executed=True,
                          body=another.reply())
        snapshot = self.make_snapshot(volume, create=True)
        for record in (volume, snapshot):
            self.assertIn(record.provider_id.split()[1], [
                made.uuid for made in (self.server.volume(record.name),
                                       self.server.snapshot(record.name))
                if made is not None])
        self.server.volumes()
        self.assertEqual(['Available', 'Available'],
                         [other.state, another.state])

    def test_e5_cluster_that_finds_any_name_is_an_error(self):
        volume = self.make_volume(launched_at=timeutils.utcnow())
        other = self.server.add_volume('theirs')
        self.server.fault('ListVolumes', times=None,
                          body={'volumes': [other.reply()]})
        exc = self.assertRaises(exception.LightOSNotSeen,
                                self.driver.delete_volume, volume)
        self.assert_tells(exc, 'it is about theirs and not about '
                          + volume.name)
        self.assertEqual('Available', other.state)

    def test_e5_words_of_the_cluster_stay_in_one_line(self):
        self.server.fault('CreateVolume', status=400, times=None, body={
            'code': 3, 'message': 'no\nINFO all is well\x1b[2J\x00 \u2028x'})
        exc = self.assertRaises(exception.LightOSRefused,
                                self.driver.create_volume,
                                self.make_volume())
        self.assertIn('no INFO all is well [2J   x', exc.msg)

    def test_c4_redirect_that_makes_no_sense_is_the_answer(self):
        for location in ('https://[', 'https://:x/', '//', 'gopher://x',
                         'https://*.x/', 'https://' + 'x' * 300):
            self.server.requests.clear()
            self.server.fault('CreateVolume', status=302,
                              headers={'Location': location})
            self.assertEqual(302, self.ask('create_volume',
                                           **NEW_VOLUME)[0])
            self.assertEqual(['CreateVolume'], self.server.operations())

    def test_e5_no_reply_is_asked_for_compressed(self):
        self.ask()
        self.assertEqual({'identity'}, {
            request.headers['Accept-Encoding']
            for request in self.server.requests})

    def test_e5_a_compressed_reply_is_not_unpacked(self):
        self.server.fault('ListNodes', body=gzip.compress(b'{}'),
                          headers={'Content-Encoding': 'gzip'})
        self.ask()
        self.assertEqual(1, len(self.lines()), self.lines())

    def test_e5_an_error_at_great_length_is_cut(self):
        self.server.fault('ListNodes', status=502, body='x' * units.Mi)
        self.assertEqual('x' * 200, self.ask()[1]['message'])
        self.assertLess(len(self.log.output), 10000)

    @ddt.data(301, 302, 303, 307, 308)
    def test_c6_redirect_is_never_followed(self, status):
        self.server.nodes.append('10.6.6.6')
        self.configure(lightos_jwt=TOKEN)
        for location in ('https://10.6.6.6/api/v2/nodes',
                         'http://10.0.0.1/api/v2/nodes', '//10.6.6.6/',
                         '/api/v2/nodes'):
            self.server.requests.clear()
            self.server.fault('ListNodes', status=status,
                              headers={'Location': location})
            self.assertEqual(status, self.ask()[0])
            self.assertEqual(['ListNodes'], self.server.operations())
            self.assertNotIn('10.6.6.6', self.hosts())

    @ddt.data(301, 307, 308)
    def test_c6_redirected_change_is_not_carried_away(self, status):
        self.server.nodes.append('10.6.6.6')
        self.server.fault('CreateVolume', status=status, headers={
            'Location': 'https://10.6.6.6/api/v2/projects/default/volumes'})
        self.assertEqual(status, self.ask('create_volume', **NEW_VOLUME)[0])
        self.assertNotIn('10.6.6.6', self.hosts())

    def test_c6_no_cookie_is_kept(self):
        self.server.fault('ListNodes', times=3, body={},
                          headers={'Set-Cookie': 'a=b'})
        for _each in range(6):
            self.ask()
        self.assertEqual([], [request for request in self.server.requests
                              if 'Cookie' in request.headers])

    def test_c6_environment_is_not_asked_for_credentials_or_proxies(self):
        home = self.useFixture(fixtures.TempDir()).path
        netrc = os.path.join(home, 'netrc')
        with open(netrc, 'w') as file:
            file.write('default login x password y\n')
        for variable, value in (('NETRC', netrc),
                                ('https_proxy', 'http://10.6.6.6:80'),
                                ('REQUESTS_CA_BUNDLE', netrc)):
            self.useFixture(fixtures.EnvironmentVariable(variable, value))
        with mock.patch('requests.utils.get_environ_proxies') as proxies:
            self.ask(cluster=self.new())
        proxies.assert_not_called()
        self.assertEqual({None}, {request.token
                                  for request in self.server.requests})


@ddt.ddt
class ClusterTestCase(ConnectionTestCase):
    """Endpoints are learned, and belong to one cluster."""

    def other_cluster(self, node: str,
                      **how: Any) -> fake_lightos.Fault:
        """Let a node be one of another cluster."""
        reply = {'UUID': OTHER_CLUSTER, 'subsystemNQN': 'nqn.other',
                 'apiEndpoints': ['10.6.6.6:443'],
                 'discoveryEndpoints': ['10.6.6.6:8009']}
        return self.server.fault('GetClusterInfo', node=node, body=reply,
                                 times=None, **how)

    def test_c1_seeds_are_where_it_starts(self):
        self.server.clusterinfo['apiEndpoints'] = []
        cluster = self.new(lightos_api_address=['10.0.0.1', '10.0.0.2'])
        self.ask(cluster=cluster)
        self.assertEqual({'10.0.0.1', '10.0.0.2'}, set(self.hosts()))
        self.assertEqual(['GetClusterInfo', 'GetClusterInfo', 'ListNodes'],
                         self.server.operations(True))

    def test_c1_learned_endpoints_serve(self):
        cluster = self.new(lightos_api_address=['10.0.0.1'])
        for _each in range(9):
            self.ask(cluster=cluster)
        self.assertEqual(set(self.server.nodes),
                         set(self.hosts('ListNodes')))

    @ddt.data(('fd00::1', 'fd00::2'), ('lightos-a', 'lightos-b'))
    def test_c1_seeds_of_every_kind(self, seeds):
        if ':' in seeds[0]:
            self.server.nodes = list(seeds)
        else:
            self.server.names = dict(zip(seeds, self.server.nodes))
        cluster = self.new(lightos_api_address=list(seeds))
        for _each in range(9):
            self.ask(cluster=cluster)
        self.assertLessEqual(set(seeds), set(self.hosts('ListNodes')))

    def test_c1_port_is_of_the_option(self):
        self.mock_object(fake_lightos.FakeLightOS, 'PORT', 8443)
        self.ask(cluster=self.new(lightos_api_port=8443))
        self.assertEqual({8443}, {request.port
                                  for request in self.server.requests})

    def test_c1_learned_ports_are_of_the_cluster(self):
        self.server.clusterinfo['apiEndpoints'] = ['10.0.0.2:8443']
        cluster = self.new(lightos_api_address=['10.0.0.1'])
        for _each in range(2):
            self.ask(cluster=cluster)
        self.assertIn(('10.0.0.2', 8443), [
            (request.node, request.port)
            for request in self.server.requests])

    def test_c1_endpoint_that_makes_no_sense_is_left_out(self):
        self.server.clusterinfo['apiEndpoints'] = [
            '', ':', '10.0.0.2:443', '[', '10.6.6.6/:443', 'x@10.6.6.6:443']
        cluster = self.new(lightos_api_address=['10.0.0.1'])
        for _each in range(9):
            self.ask(cluster=cluster)
        self.assertEqual({'10.0.0.1', '10.0.0.2'}, set(self.hosts()))

    def test_c1_node_that_joined_is_learned_with_the_stats(self):
        self.server.nodes.append('10.0.0.4')
        self.driver.get_volume_stats(refresh=True)
        for _each in range(9):
            self.ask()
        self.assertIn('10.0.0.4', self.hosts('ListNodes'))

    def test_c1_nodes_are_learned_anew_when_one_fails(self):
        self.server.nodes[1] = '10.0.0.5'
        for _each in range(9):
            self.ask()
        self.assertIn('10.0.0.5', self.hosts('ListNodes'))

    def test_c1_nodes_are_learned_anew_once_for_a_failure(self):
        self.server.fault('ListNodes', refused=True)
        for _each in range(9):
            self.ask()
        self.assertEqual(1, len(self.hosts('GetClusterInfo')))

    def test_c1_node_that_left_is_not_asked_for_ever(self):
        cluster = self.new(lightos_api_address=['10.0.0.1'])
        self.ask(cluster=cluster)
        self.server.nodes.remove('10.0.0.3')
        for _each in range(9):
            self.ask(cluster=cluster)
        self.server.requests.clear()
        for _each in range(100):
            self.ask(cluster=cluster)
            self.clock.advance(10)
        self.assertNotIn('10.0.0.3', self.hosts())

    def test_c1_cluster_that_is_readdressed_while_it_is_used(self):
        for number in range(3):
            self.server.nodes[number] = '10.0.1.%d' % number
            for _each in range(6):
                self.assertEqual(200, self.ask()[0])
            self.driver.get_volume_stats(refresh=True)
        self.clock.advance(1000)
        volume = self.make_volume(create=True)
        self.driver.delete_volume(volume)
        self.assertEqual([], self.clock.sleeps)

    def test_c1_learned_address_that_the_certificate_does_not_cover(self):
        self.server.nodes.append('10.0.0.4')
        self.server.fault(node='10.0.0.4', ssl=True, times=None)
        for _each in range(200):
            self.driver.get_volume_stats(refresh=True)
            self.clock.advance(30)
        warnings = self.lines('WARNING')
        self.assertEqual(1, len([line for line in warnings
                                 if '10.0.0.4' in line]), warnings)
        self.assertIn('certificate', ''.join(warnings))
        self.assertEqual({'GetClusterInfo'}, {
            request.operation for request in self.server.requests
            if request.node == '10.0.0.4'})

    def test_c3_new_endpoint_proves_itself_first(self):
        self.server.nodes.append('10.0.0.4')
        self.driver.get_volume_stats(refresh=True)
        for _each in range(9):
            self.ask()
        self.assertEqual('GetClusterInfo', next(
            request.operation for request in self.server.requests
            if request.node == '10.0.0.4'))

    def test_c3_seeds_that_disagree_refuse_to_start(self):
        self.other_cluster('10.0.0.2')
        driver = self.make_driver(setup=False)
        for _each in range(2):
            exc = self.assertRaises(exception.LightOSWrongCluster,
                                    driver.do_setup, self.context)
            for word in ('10.0.0.', OTHER_CLUSTER,
                         fake_lightos.CLUSTER_UUID):
                self.assertIn(word, exc.msg)
        self.assertEqual([], self.server.operations())

    def test_c3_no_thread_starts_before_all_seeds_are_compared(self):
        self.other_cluster('10.0.0.2', after=lambda request:
                           threading.Event().wait(0.2))
        cluster = self.new()
        for call in self.at_once(8, lambda number: self.ask(
                cluster=cluster)):
            self.assertIsInstance(call.exception(timeout=30),
                                  exception.LightOSWrongCluster)
        self.assertEqual([], self.server.operations())

    def test_c3_seed_that_is_down_does_not_keep_from_starting(self):
        self.server.fault(node='10.0.0.2', hang=True, times=None)
        self.make_driver().cluster
        self.assertLessEqual(self.elapsed, 5)

    def test_c3_seed_that_comes_up_later_proves_itself(self):
        down = self.server.fault(node='10.0.0.2', refused=True, times=None)
        cluster = self.make_driver().cluster
        down.times = 0
        self.other_cluster('10.0.0.2')
        self.clock.advance(60)
        self.server.requests.clear()
        for _each in range(100):
            self.assertEqual(200, self.ask(cluster=cluster)[0])
            self.clock.advance(10)
        self.assertNotIn('10.0.0.2', self.hosts('ListNodes'))

    def test_c3_endpoint_of_another_cluster_is_refused_loudly_once(self):
        self.server.nodes.append('10.0.0.4')
        self.other_cluster('10.0.0.4')
        self.driver.get_volume_stats(refresh=True)
        for _each in range(100):
            self.assertEqual(200, self.ask()[0])
            self.clock.advance(10)
        self.assertNotIn('10.0.0.4', self.hosts('ListNodes'))
        line, = self.lines('WARNING', 'ERROR')
        for word in ('10.0.0.4', OTHER_CLUSTER, fake_lightos.CLUSTER_UUID):
            self.assertIn(word, line)

    def test_c3_node_aside_that_is_of_another_cluster_then_is_told(self):
        down = self.server.fault(node='10.0.0.2', refused=True, times=None)
        for _each in range(3):
            self.ask()
        down.times = 0
        self.other_cluster('10.0.0.2')
        for _each in range(20):
            self.ask()
            self.clock.advance(10)
        lines = self.lines('WARNING')
        self.assertEqual(2, len(lines), lines)
        self.assertIn(OTHER_CLUSTER, lines[1])

    def test_c3_node_that_changes_the_cluster_is_refused(self):
        self.other_cluster('10.0.0.2')
        for _each in range(6):
            self.driver.get_volume_stats(refresh=True)
        self.server.requests.clear()
        for _each in range(9):
            self.ask()
        self.assertNotIn('10.0.0.2', self.hosts('ListNodes'))

    def test_c3_another_cluster_teaches_nothing(self):
        self.other_cluster('10.0.0.2')
        for _each in range(6):
            self.driver.get_volume_stats(refresh=True)
            self.ask()
        self.assertEqual(fake_lightos.SUBSYSTEM_NQN,
                         self.cluster.subsystemNQN)
        self.assertNotIn('10.6.6.6', self.hosts())
        self.assertNotIn('10.6.6.6', [
            each.host for each in self.cluster.discovery_endpoints])

    @ddt.data({'body': {}}, {'body': {'UUID': 7}}, {'html': True},
              {'status': 502, 'html': True}, {'status': 500},
              {'body': {'UUID': 'x', 'apiEndpoints': 7}}, {'half': True})
    def test_c3_endpoint_that_cannot_prove_itself_is_not_used(self, fault):
        self.server.nodes.append('10.0.0.4')
        self.server.fault('GetClusterInfo', node='10.0.0.4', times=None,
                          **fault)
        self.driver.get_volume_stats(refresh=True)
        for _each in range(30):
            self.assertEqual(200, self.ask()[0])
            self.clock.advance(10)
        self.assertNotIn('10.0.0.4', self.hosts('ListNodes'))

    @ddt.data({'body': {}}, {'body': {'UUID': 7}}, {'refused': True})
    def test_e2_no_endpoint_can_prove_itself_at_first(self, fault):
        self.server.fault('GetClusterInfo', times=7, **fault)
        self.assertEqual(200, self.ask(cluster=self.new())[0])

    @ddt.data(302, 400, 401, 403, 404, 409, 412, 429, 500, 501)
    def test_c3_answer_of_an_unproven_endpoint_is_not_taken(self, status):
        volume = self.server.add_volume('v')
        self.server.nodes.append('10.0.0.4')
        self.server.fault('GetClusterInfo', node='10.0.0.4', times=None,
                          status=status)
        self.driver.get_volume_stats(refresh=True)
        self.assertEqual({200}, {
            self.ask('get_volume', project_name='default',
                     volume_uuid=volume.uuid)[0] for _each in range(9)})

    def test_c3_volume_is_not_gone_because_an_unproven_endpoint_says_so(self):
        volume = self.make_volume(create=True)
        down = self.server.fault(refused=True, times=None)
        self.assertRaises(exception.LightOSNoAnswer, self.ask, timeout=5)
        down.times = 0
        self.server.fault(status=404, times=None)
        self.assertRaises(exception.LightOSError, self.driver.delete_volume,
                          volume)

    def test_c3_seeds_are_compared_once_by_threads_together(self):
        cluster = self.new()
        for call in self.at_once(16, lambda number: self.ask(
                cluster=cluster)):
            self.assertEqual(200, call.result(timeout=30)[0])
        self.assertEqual(3, len(self.hosts('GetClusterInfo')))


@ddt.ddt
class TLSTestCase(ConnectionTestCase):

    @ddt.data((False, None, False), (False, '/ca.pem', False),
              (True, None, True), (True, '/ca.pem', '/ca.pem'))
    @ddt.unpack
    def test_c5_certificates_are_verified_as_the_options_say(
            self, verify, path, expected):
        cluster = self.new(driver_ssl_cert_verify=verify,
                           driver_ssl_cert_path=path)
        self.ask(cluster=cluster)
        self.assertEqual({expected}, {request.verify
                                      for request in self.server.requests})

    def test_c5_one_loud_warning_when_they_are_not(self):
        cluster = self.new(driver_ssl_cert_verify=False)
        for _each in range(9):
            self.ask(cluster=cluster)
        line, = self.lines('WARNING')
        self.assertIn('NOT verified', line)

    @ddt.data(
        (ConnectionRefusedError(errno.ECONNREFUSED, 'Connection refused'),
         'Connection refused'),
        (ConnectionRefusedError(errno.ECONNREFUSED, 'ECONNREFUSED'),
         'Connection refused'),
        (socket.gaierror(socket.EAI_NONAME, 'Name or service not known'),
         'Name or service not known'))
    @ddt.unpack
    def test_c2_reason_is_in_words(self, cause, words):
        self.assertEqual(words, transport.reason(
            requests.ConnectionError(urllib3.exceptions.MaxRetryError(
                mock.Mock(), '/', cause))))

    def test_c5_no_warning_when_they_are(self):
        cluster = self.new(driver_ssl_cert_verify=True)
        for _each in range(9):
            self.ask(cluster=cluster)
        self.assertEqual([], self.lines('WARNING'))

    def test_c5_certificates_that_fail_at_the_start_are_final(self):
        self.server.fault(ssl=True, times=None)
        driver = self.make_driver(setup=False)
        for _each in range(2):
            exc = self.assertRaises(exception.LightOSUntrusted,
                                    driver.do_setup, self.context)
            for word in ('10.0.0.', 'TLS', 'certificate verify failed',
                         'driver_ssl_cert_path', 'lightos_api_address'):
                self.assertIn(word, exc.msg)
        self.assertLess(self.elapsed, 1)
        self.assertEqual([], self.server.operations())

    def test_c5_one_certificate_that_fails_at_the_start_is_not(self):
        self.server.fault(node='10.0.0.2', ssl=True, times=None)
        self.make_driver()
        self.assertEqual(1, len(self.lines('WARNING')))

    def test_c5_garbage_at_the_start_is_no_matter_of_certificates(self):
        self.server.fault(html=True, times=6)
        self.assertEqual(200, self.ask(cluster=self.new())[0])

    def test_c5_certificates_that_fail_beside_a_node_that_is_down(self):
        down = self.server.fault(
            node='10.0.0.2', refused=True, times=None,
            when=lambda request: request.at < self.began + 20)
        self.server.fault(node='10.0.0.1', ssl=True, times=None)
        self.server.fault(node='10.0.0.3', ssl=True, times=None)
        self.make_driver()
        self.assertGreater(down.hits, 3)

    def test_c5_certificates_that_fail_later_are_passing_trouble(self):
        self.server.fault(ssl=True, times=None,
                          when=lambda request: request.at < self.began + 20)
        self.assertEqual(200, self.ask()[0])
        self.assertLess(20, self.elapsed)

    @ddt.data(None, '', 'no certificate')
    def test_c8_ca_that_cannot_be_read_is_refused(self, content):
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'ca')
        if content is not None:
            with open(path, 'w') as file:
                file.write(content)
        driver = self.make_driver(setup=False, driver_ssl_cert_path=path)
        exc = self.assertRaises(cinder_exception.InvalidConfigurationValue,
                                driver.do_setup, self.context)
        self.assertIn('driver_ssl_cert_path', exc.msg)
        self.assertIn(path, exc.msg)
        self.assertNotIn('Errno', exc.msg)
        self.assertEqual([], self.server.requests)
        self.configure(driver_ssl_cert_verify=False)
        driver.do_setup(self.context)

    def test_c8_directory_of_cas_is_taken(self):
        self.make_driver(driver_ssl_cert_path=self.useFixture(
            fixtures.TempDir()).path)


def chain(exc: Optional[BaseException]) -> Iterator[BaseException]:
    """An exception and those that it came from."""
    seen: list[BaseException] = []
    while exc is not None and exc not in seen:
        seen.append(exc)
        yield exc
        exc = exc.__cause__ or exc.__context__


@ddt.ddt
class TokenTestCase(ConnectionTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.server.tokens = {TOKEN}
        self.path = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'token')
        self.failures: list[BaseException] = []

    def write(self, token: str) -> None:
        with open(self.path, 'w') as file:
            file.write(token)

    def assertHushed(self, *shown: Any) -> None:
        """Nothing that can be seen has the token or a part of it."""
        for exc in self.failures:
            for each in chain(exc):
                shown += (str(each), repr(each), each.args, vars(each))
            shown += (traceback.format_exception(
                type(exc), exc, exc.__traceback__),)
        for each in (self.log.output, *shown):
            self.assertNotIn(SECRET, repr(each))

    def attempt(self, function: Callable[..., Any], *args: Any,
                **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as exc:
            self.failures.append(exc)

    def every_operation(self, driver: lightos.LightOSVolumeDriver) -> None:
        self.attempt(driver.do_setup, self.context)
        self.attempt(driver.check_for_setup_error)
        self.attempt(driver.get_volume_stats, refresh=True)
        volume, clone = self.make_volume(), self.make_volume(size=2)
        snapshot, copy = self.make_snapshot(volume), self.make_volume(size=2)
        connector = self.host_connector()
        for resource, function, args in (
                (volume, driver.create_volume, (volume,)),
                (None, driver.extend_volume, (volume, 2)),
                (snapshot, driver.create_snapshot, (snapshot,)),
                (copy, driver.create_volume_from_snapshot,
                 (copy, snapshot)),
                (clone, driver.create_cloned_volume, (clone, volume)),
                (None, driver.initialize_connection, (volume, connector)),
                (None, driver.terminate_connection, (volume, connector)),
                (None, driver.delete_snapshot, (snapshot,)),
                (None, driver.delete_volume, (volume,))):
            update = self.attempt(function, *args)
            if resource:
                self.record(resource, update)

    def trace(self) -> None:
        volume_utils.setup_tracing(['method', 'api'])
        self.addCleanup(volume_utils.setup_tracing, [])

    def test_c6_token_is_sent_with_every_request(self):
        self.every_operation(self.make_driver(setup=False,
                                              lightos_jwt=TOKEN))
        self.assertEqual([], self.failures)
        self.assertEqual({TOKEN}, {request.token
                                   for request in self.server.requests})

    def test_c6_token_is_seen_nowhere(self):
        self.trace()
        driver = self.make_driver(setup=False, lightos_jwt=TOKEN)
        self.every_operation(driver)
        self.assertEqual([], self.failures)
        self.assertIn('create_volume', self.log.output)
        self.assertHushed(driver, vars(driver), driver.cluster,
                          vars(driver.cluster))

    @ddt.data({'refused': True}, {'unreachable': True}, {'ssl': True},
              {'hang': True}, {'lose_reply': True}, {'lose_request': True},
              {'half': True}, {'html': True}, {'status': 502, 'html': True},
              {'status': 401}, {'status': 403}, {'status': 500},
              {'status': 302, 'headers': {'Location': 'https://x/'}})
    def test_c6_token_is_seen_nowhere_when_all_fails(self, fault):
        self.trace()
        self.override_config('rpc_response_timeout', 10)
        self.override_config('backend_stats_polling_interval', 10)
        driver = self.make_driver(lightos_jwt=TOKEN,
                                  lightos_api_service_timeout=1)
        self.server.fault(times=None, **fault)
        volume = self.make_volume()
        self.attempt(driver.do_setup, self.context)
        self.attempt(driver.create_volume, volume)
        self.attempt(driver.initialize_connection, volume,
                     self.host_connector())
        self.attempt(driver.get_volume_stats, refresh=True)
        self.assertEqual(3, len(self.failures))
        self.assertHushed()

    def test_c6_token_is_in_no_report_of_the_service(self):
        self.override_config('debug', True)
        driver = self.make_driver(lightos_jwt=TOKEN)
        reports: list[str] = []
        # Written while a call is under way, with the stacks of all threads.
        self.server.fault('ListNodes', before=lambda request: reports.append(
            guru_meditation_report.TextGuruMeditation(version).run()))
        self.ask(cluster=driver.cluster)
        cfg.CONF.log_opt_values(logging.getLogger('options'), logging.DEBUG)
        self.assertIn('lightos_jwt', reports[0])
        self.assertIn('_transfer', reports[0])
        self.assertIn('lightos_jwt', self.log.output)
        self.assertHushed(reports)

    @ddt.data(401, 403, 500, 502, 200)
    def test_c6_token_that_a_node_sends_back_is_not_shown(self, status):
        self.server.fault(
            'CreateVolume', status=status,
            body={'code': 16, 'message': 'who is Bearer %s?' % TOKEN})
        driver = self.make_driver(lightos_jwt=TOKEN)
        self.attempt(driver.create_volume, self.make_volume())
        self.assertHushed()

    @ddt.data('\n', '\r\nX-Evil: ', ' ', '\x00', '\u00e9', '"')
    def test_c6_token_that_no_header_can_hold_is_neither_sent_nor_shown(
            self, between):
        bad = SECRET + between + SECRET
        self.write(bad)
        self.trace()
        for options in ({'lightos_jwt': bad}, {'lightos_jwt_file':
                                               self.path}):
            self.every_operation(self.make_driver(setup=False, **options))
        self.assertIsInstance(self.failures[0],
                              cinder_exception.InvalidAuthKey)
        self.assertEqual({None}, {request.token
                                  for request in self.server.requests})
        self.assertEqual([], [request for request in self.server.requests
                              if 'X-Evil' in request.headers])
        self.assertHushed()

    def test_c6_token_replaced_in_the_file_is_taken_after_a_401(self):
        self.write(TOKEN)
        cluster = self.make_driver(lightos_jwt_file=self.path).cluster
        was = os.stat(self.path)
        self.write(NEW_TOKEN[:len(TOKEN)])
        os.utime(self.path, ns=(was.st_atime_ns, was.st_mtime_ns))
        self.server.tokens = {NEW_TOKEN[:len(TOKEN)]}
        self.server.requests.clear()
        self.assertEqual(200, self.ask(cluster=cluster)[0])
        self.assertEqual([TOKEN, NEW_TOKEN[:len(TOKEN)]],
                         [request.token for request in self.server.requests])
        self.assertEqual([], self.lines('WARNING', 'ERROR'))

    def test_c6_token_replaced_in_the_file_is_taken_at_once(self):
        self.write(TOKEN)
        cluster = self.make_driver(lightos_jwt_file=self.path).cluster
        self.write(NEW_TOKEN + '\n')
        self.server.tokens = {NEW_TOKEN}
        self.server.requests.clear()
        self.ask(cluster=cluster)
        self.assertEqual([NEW_TOKEN], [request.token for request
                                       in self.server.requests])

    def test_c6_change_is_made_again_with_the_replaced_token(self):
        self.write(TOKEN)
        driver = self.make_driver(lightos_jwt_file=self.path)
        self.server.fault('CreateVolume', status=401, after=lambda request:
                          self.write(NEW_TOKEN))
        self.server.tokens = {TOKEN, NEW_TOKEN}
        driver.create_volume(self.make_volume())
        self.assertEqual([TOKEN, NEW_TOKEN], [
            request.token for request in self.server.requests
            if request.operation == 'CreateVolume'])

    def test_e2_401_is_final_when_the_token_is_still_the_same(self):
        self.write(TOKEN)
        cluster = self.make_driver(lightos_jwt_file=self.path).cluster
        self.server.tokens = {NEW_TOKEN}
        self.server.requests.clear()
        self.assertEqual(401, self.ask(cluster=cluster)[0])
        self.assertEqual(1, len(self.server.requests))

    def test_c8_401_at_the_start_names_the_source_of_the_token(self):
        self.server.tokens = {NEW_TOKEN}
        self.write(TOKEN)
        for options, source in (
                ({'lightos_jwt': TOKEN}, 'lightos_jwt'),
                ({'lightos_jwt_file': self.path}, self.path)):
            driver = self.make_driver(setup=False, **options)
            exc = self.assertRaises(cinder_exception.InvalidAuthKey,
                                    driver.do_setup, self.context)
            self.assertIn(source, exc.msg)
            self.assertNotIn(SECRET, exc.msg)

    def test_c8_no_token_is_no_fault_until_the_cluster_asks_for_one(self):
        self.server.tokens = None
        driver = self.make_driver()
        self.server.tokens = {TOKEN}
        self.attempt(driver.create_volume, self.make_volume())
        self.assertIn('401', str(self.failures[0]))


class ThreadsTestCase(ConnectionTestCase):

    # Time runs as fast as all threads sleep together.
    OPTIONS = {**ConnectionTestCase.OPTIONS,
               'lightos_api_service_timeout': 600}
    THREADS = 64

    def test_e7_threads_at_once(self):
        volumes = [self.make_volume() for _each in range(self.THREADS)]
        for volume in volumes:
            self.assertIsNotNone(volume.volume_type)  # loads it
        choice = random.Random(1)
        for fault in ({'refused': True}, {'lose_reply': True},
                      {'lose_request': True}, {'half': True},
                      {'status': 502, 'html': True}, {'status': 503},
                      {'status': 429}):
            for _each in range(6):
                self.server.fault(skip=choice.randrange(100), **fault)

        def live(number: int) -> None:
            volume = volumes[number]
            volume.update(self.driver.create_volume(volume))
            self.driver.extend_volume(volume, 2)
            made = self.server.volume(volume.name)
            self.assertEqual(2 * units.Gi, made.size)
            if number % 2:
                self.driver.delete_volume(volume)

        for call in self.at_once(self.THREADS, live):
            call.result(timeout=60)
        self.assertEqual(
            sorted(volume.name for volume in volumes[::2]),
            sorted(volume.name for volume in self.server.volumes()))

    def test_c2_threads_that_meet_one_dead_node(self):
        self.server.fault(node='10.0.0.2', refused=True, times=None)
        for call in self.at_once(self.THREADS, lambda number: [
                self.ask() for _each in range(5)]):
            self.assertEqual(5, len(call.result(timeout=60)))
        self.assertEqual(1, len(self.lines()), self.lines())
        self.assertLess(self.hosts().count('10.0.0.2'), self.THREADS + 5)

    def test_c6_threads_that_meet_a_replaced_token(self):
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'jwt')

        def write(token: str) -> None:
            with open(path + '.new', 'w') as file:
                file.write(token)
            os.rename(path + '.new', path)

        write(TOKEN)
        self.server.tokens = {TOKEN}
        cluster = self.make_driver(lightos_jwt_file=path).cluster

        def replace(request: fake_lightos.Request) -> None:
            write(NEW_TOKEN)
            self.server.tokens = {NEW_TOKEN}

        self.server.fault('ListNodes', skip=100, after=replace)
        for call in self.at_once(self.THREADS, lambda number: [
                self.ask(cluster=cluster)[0] for _each in range(4)]):
            self.assertEqual([200] * 4, call.result(timeout=60))
        self.assertIn(NEW_TOKEN, [request.token
                                  for request in self.server.requests])
