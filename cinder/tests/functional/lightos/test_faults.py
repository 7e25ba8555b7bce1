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
"""The driver against real HTTPS servers, with every fault for real.

Each class stands here twice, once for eventlet and once for native threads.
Nodes have one second to answer, so that what takes a second took one timeout.
"""

import gzip
import pathlib
import socket
import ssl
import subprocess
import time
from typing import Any, Callable, Optional
import uuid
import warnings

import ddt
import fixtures
import testtools

from cinder.tests.functional.lightos import certificates
from cinder.tests.functional.lightos import processes
from cinder.tests.functional.lightos.processes import call

# lightos_api_service_timeout, in seconds.
TIMEOUT = 1
# The same where one process makes and serves hundreds of connections.
BUSY_TIMEOUT = 5
# Seconds: what a busy machine may add to a time.
SLACK = 0.8
DAY = 24 * 60 * 60
# Seconds: an operation that has all the time it needs.
ENOUGH = 25
HTML = '<html><body><h1>Oops</h1></body></html>'
# It is looked for in everything that a driver says.
TOKEN = 'eyJhbGciOiJSUzI1NiJ9.e30.c2VjcmV0LXNpZ25hdHVyZQ'
WARNING, ERROR, INFO = 'WARNING', 'ERROR', 'INFO'
POST = {'cmd': 'create_volume', 'project_name': 'default', 'name': 'volume',
        'size': '1 gib'}
VOLUME = '5a5c1b0e-0000-4000-8000-000000000001'


def refresh(times: int = 1, timeout: float = ENOUGH) -> list[processes.Call]:
    return [call('refresh', timeout=timeout)] * times


def post(timeout: float = ENOUGH) -> processes.Call:
    return call('send', timeout=timeout, **POST)


def look(volume_uuid: str = VOLUME) -> processes.Call:
    return call('look', volume_uuid=volume_uuid, timeout=ENOUGH)


class Nodes:
    """HTTPS servers that are the nodes of one cluster.

    :param servers: the process that they are in
    :param settings: of each node, as ``https_servers.Node`` takes them
    :param port: 0 is any that is free on all addresses
    :ivar addresses: of the nodes, which listen on one port
    """

    def __init__(self, servers: processes.Servers, addresses: list[str],
                 settings: list[dict[str, Any]], port: int = 0) -> None:
        self._servers = servers
        self._settings = [dict(each) for each in settings]
        self.addresses = addresses
        self.uuid = str(uuid.uuid4())
        self.port = port
        started = 0
        while started < len(addresses):
            try:
                self.start(started)
                started += 1
            except processes.ProcessError:
                # The port is taken on another of the addresses.
                if port or not started:
                    raise
                for index in range(started):
                    self.stop(index)
                self.port = started = 0
        self.endpoints = ['%s:%d' % (
            '[%s]' % address if ':' in address else address, self.port)
            for address in addresses]
        for index in range(len(addresses)):
            self.change(index, info=self.clusterinfo(self.endpoints))

    def clusterinfo(self, endpoints: list[str]) -> dict[str, Any]:
        return {'UUID': self.uuid, 'subsystemNQN': 'nqn.' + self.uuid,
                'currentMaxReplicas': 3, 'apiEndpoints': endpoints,
                'discoveryEndpoints': ['192.0.2.1:8009']}

    def start(self, index: int, **settings: Any) -> None:
        self._settings[index].update(settings)
        self.port = self._servers.ask(
            'start', name=self.addresses[index], port=self.port,
            address=self.addresses[index], **self._settings[index])

    def stop(self, index: int) -> None:
        self._servers.ask('stop', name=self.addresses[index])

    def stop_all(self) -> None:
        for index in range(len(self.addresses)):
            self.stop(index)

    def restart(self, index: int, **settings: Any) -> None:
        """Cut its connections and have it behave differently."""
        self.stop(index)
        self.start(index, info=self.clusterinfo(self.endpoints), **settings)

    def change(self, index: int, **settings: Any) -> None:
        self._settings[index].update(settings)
        self._servers.ask('change', name=self.addresses[index], **settings)

    def rule(self, *indexes: int, **rule: Any) -> None:
        """Have some or, by default, all of them act by a rule."""
        for index in indexes or range(len(self.addresses)):
            self._servers.ask('rule', name=self.addresses[index],
                              rules=[rule])

    def mend(self, *indexes: int) -> None:
        for index in indexes:
            self._servers.ask('rule', name=self.addresses[index], rules=[])

    def seen(self, index: int) -> dict[str, Any]:
        seen: dict[str, Any] = self._servers.ask(
            'seen', name=self.addresses[index])
        return seen

    def total(self, what: str) -> int:
        """The sum over all nodes of a figure in what they have seen."""
        return sum(self.seen(index)[what]
                   for index in range(len(self.addresses)))

    def requests(self, asked: str = '') -> list[dict[str, Any]]:
        """Those in whose ``METHOD path`` is this text."""
        return [request for index in range(len(self.addresses))
                for request in self.seen(index)['requests']
                if asked in request['asked']]


class Driver:
    """A driver in its process, whose every word is searched for the token."""

    def __init__(self, test: testtools.TestCase, drivers: processes.Drivers,
                 names: dict[str, str], **options: Any) -> None:
        self._test = test
        self._drivers = drivers
        self._name = drivers.open(names, **{
            'lightos_api_service_timeout': TIMEOUT, **options})

    def run(self, *calls: processes.Call,
            threads: int = 1) -> processes.Report:
        self.begin(*calls, threads=threads)
        return self.finish()

    def begin(self, *calls: processes.Call, threads: int = 1) -> None:
        self._drivers.begin(self._name, *calls, threads=threads)

    def finish(self) -> processes.Report:
        report = self._drivers.finish()
        self._test.assertNotIn(TOKEN, repr(report))
        return report

    def works(self, *calls: processes.Call,
              threads: int = 1) -> processes.Report:
        """Make calls of which none may fail."""
        report = self.run(*calls, threads=threads)
        self._test.assertEqual([], report.errors)
        return report


class FaultTestCase(testtools.TestCase):
    """What the tests below have in common.

    :cvar threading: ``eventlet`` or ``native``
    """

    threading = ''

    def setUp(self) -> None:
        super().setUp()
        self.directory = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path)
        self.drivers = processes.Drivers.shared(self.threading)
        self.servers = processes.Servers.shared()
        self.addCleanup(self.servers.ask, 'stop_all')
        self.authority = self.make_authority('good', certificates.new_ca(1))

    def make_authority(self, name: str, ca: Any) -> certificates.Authority:
        return certificates.Authority(self.directory, name, ca)

    def make_nodes(self, count: int = 3, first: int = 1, port: int = 0,
                   **settings: Any) -> Nodes:
        """Nodes with certificates for their addresses.

        :param first: the last number of the first one's address
        """
        addresses = ['127.0.20.%d' % number
                     for number in range(first, first + count)]
        return Nodes(self.servers, addresses, [
            {'certificate': self.authority.issue(address), **settings}
            for address in addresses], port)

    def make_driver(self, nodes: Nodes,
                    names: Optional[dict[str, str]] = None,
                    **options: Any) -> Driver:
        """A driver of these nodes.

        :param names: addresses of host names
        """
        return Driver(self, self.drivers, names or {}, **{
            'lightos_api_address': nodes.addresses,
            'lightos_api_port': nodes.port, 'lightos_jwt': TOKEN,
            'driver_ssl_cert_path': self.authority.file, **options})

    def make_simulator(self, *arguments: str) -> processes.Simulator:
        simulator = processes.Simulator(*arguments)
        self.addCleanup(simulator.end)
        return simulator

    def shared_simulator(self) -> processes.Simulator:
        simulator = processes.Simulator.shared()
        self.addCleanup(simulator.mend)
        return simulator

    def driver_of(self, simulator: processes.Simulator,
                  **options: Any) -> Driver:
        return Driver(self, self.drivers, {}, **simulator.options(**options))

    def assert_quick(self, report: processes.Report,
                     seconds: float = 0.0) -> None:
        """No call took longer than these seconds."""
        self.assertLess(report.slowest, seconds + SLACK)

    def assert_one_warning(self, report: processes.Report,
                           *words: str) -> None:
        warnings = report.said(WARNING, ERROR)
        self.assertEqual(1, len(warnings), warnings)
        for word in words:
            self.assertIn(word.lower(), warnings[0].lower())


class InEventlet:
    threading = 'eventlet'


class InNativeThreads:
    threading = 'native'


class Fault:
    """What happens to a node, and what is said of it.

    :param strike: makes it happen to the node of an index
    :param said: a word in the warning
    :param seconds: how long it keeps a call
    """

    def __init__(self, strike: Callable[[Nodes, int], None], said: str,
                 seconds: float = 0.0) -> None:
        self.strike = strike
        self.said = said
        self.seconds = seconds

    @classmethod
    def rule(cls, said: str, seconds: float = 0.0, **rule: Any) -> 'Fault':
        return cls(lambda nodes, index: nodes.rule(index, **rule), said,
                   seconds)

    @classmethod
    def mode(cls, said: str, seconds: float, mode: str) -> 'Fault':
        return cls(lambda nodes, index: nodes.restart(index, mode=mode),
                   said, seconds)


FAULTS = {
    'refused': Fault(lambda nodes, index: nodes.stop(index), 'refused'),
    'hung_in_handshake': Fault.mode('in time', TIMEOUT, 'no-handshake'),
    'hung_before_reading': Fault.mode('in time', TIMEOUT, 'no-read'),
    'hung_after_reading': Fault.rule('in time', TIMEOUT, action='hang'),
    'closed_without_a_reply': Fault.rule('closed', action='close'),
    'reset_without_a_reply': Fault.rule('closed', action='reset'),
    'reset_in_the_body': Fault.rule('', action='reset', sent=0.9),
    'half_a_reply': Fault.rule('', action='close', sent=0.9),
    'dribbling_body': Fault.rule('', TIMEOUT, action='dribble', pause=0.02),
    'dribbling_headers': Fault.rule('', TIMEOUT, action='dribble', pause=0.1,
                                    headers_too=True),
    'no_http': Fault.rule('', action='reply', status=99999),
    'html': Fault.rule('200', action='reply', body=HTML),
    'cut_json': Fault.rule('200', action='reply', body='{"UUID": "5a5c'),
    'a_list': Fault.rule('200', action='reply', body=[{}]),
    'a_number': Fault.rule('200', action='reply', body=5),
    'a_null': Fault.rule('200', action='reply', body='null'),
    'no_uuid': Fault.rule('no uuid', action='reply', body={}),
    'wrong_type_of_field': Fault.rule('uuid', action='reply',
                                      body={'UUID': 5}),
    'wrong_type_of_list': Fault.rule(
        'apiendpoints', action='reply',
        body={'UUID': '5a5c1b0e-0000-4000-8000-000000000001',
              'apiEndpoints': 'here'}),
    'half_a_header': Fault.rule('headers', action='close', sent=0.1),
    'html_502': Fault.rule('502', action='reply', status=502, body=HTML),
    'html_503': Fault.rule('503', action='reply', status=503, body=HTML),
    'empty_504': Fault.rule('504', action='reply', status=504, body=''),
}

OK = 'HTTP/1.1 200 OK\r\n'
GZIP = OK + 'Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s'
# A GiB of blanks, packed twice, is a few KiB.
BOMB = gzip.compress(gzip.compress(b' ' * (1 << 28)) * 4).decode('latin-1')
# Replies as no server should send them; {token} is the driver's own.
GARBAGE = {
    'http_0_9': '{}',
    'http_2': 'HTTP/2 200 OK\r\n\r\n{}',
    'token_for_a_status': 'Bearer {token}\r\n\r\n',
    'token_for_a_header': OK + 'Bearer {token}\r\n\r\n{}',
    'early_hints': 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n',
    'switched_protocols': 'HTTP/1.1 101 Whatever\r\nUpgrade: x\r\n\r\n',
    'continue_without_end': 'HTTP/1.1 100 Continue\r\n\r\n' * 10000,
    'long_header': OK + 'X: ' + 'x' * (1 << 20) + '\r\n\r\n{}',
    'many_headers': OK + 'X: x\r\n' * 10000 + '\r\n{}',
    'nul': OK + 'Content-Length: 8\r\n\r\n{"a":"\0"}',
    'bad_chunk': OK + 'Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0',
    'negative_chunk': OK + 'Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n',
    'huge_chunk': OK + 'Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n{}',
    'chunk_without_end': OK + 'Transfer-Encoding: chunked\r\n\r\n2\r\n{}',
    'contradicting_lengths': OK + 'Content-Length: 2, 3\r\n\r\n{}',
    'length_beyond_the_end': OK + 'Content-Length: 99999999999\r\n\r\n{}',
    'length_that_is_none': OK + 'Content-Length: x\r\n\r\n{',
    'gzip': GZIP % (5, '\x1f\x8bxyz'),
    'gzip_bomb': GZIP % (len(BOMB), BOMB),
    'twice_the_same_field': OK + 'Content-Length: 15\r\n\r\n{"a":1, "a":2}',
    'nan': OK + 'Content-Length: 9\r\n\r\n{"a":NaN}',
    'half_a_surrogate': OK + 'Content-Length: 14\r\n\r\n{"a":"\\ud800"}',
    'deep': OK + '\r\n{"a":' + '[' * 100000,
}

# What the cluster itself says when it cannot serve: nothing against the node.
BLAMELESS = {
    'error_500': {'status': 500, 'body': {'code': 13, 'message': 'oops'}},
    'error_503': {'status': 503, 'body': {'code': 14, 'message': 'oops'}},
    'error_504': {'status': 504, 'body': {'code': 4, 'message': 'oops'}},
    'error_429': {'status': 429, 'body': {'code': 8, 'message': 'oops'}},
}


@ddt.ddt
class OneBadNode:
    """One node of three has a fault."""

    @ddt.data(*FAULTS)
    def test_c2_operations_go_on_and_one_call_notices(self,
                                                      name: str) -> None:
        fault = FAULTS[name]
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh())
        fault.strike(nodes, 0)
        report = driver.works(*refresh(6))
        self.assert_quick(report, fault.seconds)
        if fault.seconds:
            self.assertEqual(1, len([
                each for each in report.outcomes
                if each.seconds > 0.8 * fault.seconds]))
        self.assert_one_warning(report, nodes.endpoints[0], fault.said)

    @ddt.data(*GARBAGE)
    def test_e5_garbage_is_a_fault_of_the_node(self, name: str) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh())
        nodes.rule(0, action='raw',
                   body=GARBAGE[name].replace('{token}', TOKEN))
        report = driver.works(*refresh(6))
        self.assert_quick(report)
        self.assert_one_warning(report, nodes.endpoints[0])

    def test_e5_answer_after_another_is_taken_for_no_other_calls(
            self) -> None:
        nodes = self.make_nodes(1)
        driver = self.make_driver(nodes)
        driver.works(*refresh())
        stale = str(uuid.uuid4())
        reply = '{"UUID": "%s", "state": "Available"}' % stale
        nodes.rule(action='raw', when='volumes', times=1, pause=0.2,
                   body='HTTP/1.1 103 Early Hints\r\n\r\n',
                   end='%sContent-Length: %d\r\n\r\n%s' % (
                       OK, len(reply), reply))
        report = driver.works(*[look()] * 50)
        self.assertEqual({VOLUME}, {each.value for each in report.outcomes})

    @ddt.data(*BLAMELESS)
    def test_e2_error_of_the_cluster_fails_nothing(self, name: str) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh())
        nodes.rule(0, action='reply', **BLAMELESS[name])
        report = driver.works(*refresh(6))
        self.assert_quick(report)
        self.assertEqual([], report.said(WARNING, ERROR))

    def test_c2_answers_again(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh())
        nodes.stop(0)
        driver.works(*refresh(3))
        nodes.start(0)
        time.sleep(1.1)
        report = driver.works(*refresh(9))
        self.assertEqual(
            ['The LightOS node %s answers again.' % nodes.endpoints[0]],
            report.said(INFO, WARNING))
        self.assertLess(2, len(nodes.seen(0)['requests']))

    def test_c2_one_probe_for_each_growing_pause(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh())
        before = len(nodes.seen(0)['requests'])
        nodes.rule(0, action='hang')
        end = time.monotonic() + 5 * TIMEOUT
        slow = 0
        while time.monotonic() < end:
            report = driver.works(*refresh(20), threads=4)
            slow += len([each for each in report.outcomes
                         if each.seconds > 0.8 * TIMEOUT])
        noticed = len(nodes.seen(0)['requests']) - before
        # At once, in each of the four threads; then after pauses of 1 and 2
        # seconds, each of which begins when the call before it has ended.
        self.assertLessEqual(noticed, 4 + 2)
        self.assertLess(2, noticed)
        self.assertEqual(noticed, slow)

    def test_too_long_a_reply_is_not_read(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes, lightos_api_service_timeout=9)
        driver.works(*refresh())
        nodes.rule(0, action='long', length=1 << 30)
        report = driver.works(*refresh(6))
        self.assert_one_warning(report, nodes.endpoints[0], 'too long')

    def test_too_long_a_redirect_is_not_read(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes, lightos_api_service_timeout=9)
        driver.works(*refresh())
        nodes.rule(0, action='long', length=1 << 30, status=302,
                   headers={'Location': '/elsewhere'})
        report = driver.works(*refresh(6))
        self.assert_one_warning(report, nodes.endpoints[0], 'too long')

    def test_page_of_a_thousand_volumes_fits(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes, lightos_api_service_timeout=9)
        driver.works(*refresh())
        # Each of them takes about 2 KiB.
        nodes.rule(action='long', length=2 << 20, times=1, end='{}')
        report = driver.works(call('send', timeout=ENOUGH,
                                   cmd='get_nodes'))
        self.assertEqual([], report.said(WARNING, ERROR))
        self.assertEqual([200, {}], report.outcomes[0].value)

    def test_slow_node_is_not_set_aside(self) -> None:
        simulator = self.shared_simulator()
        driver = self.driver_of(simulator)
        driver.works(*refresh())
        simulator.mode(0, 'slow', delay=0.4 * TIMEOUT)
        report = driver.works(*refresh(6))
        self.assert_quick(report, 0.4 * TIMEOUT)
        self.assertEqual([], report.said(WARNING, ERROR))
        self.assertEqual(2, len([each for each in report.outcomes
                                 if each.seconds > 0.3 * TIMEOUT]))

    def test_e2_retry_after_is_waited_for(self) -> None:
        nodes = self.make_nodes(1)
        driver = self.make_driver(nodes)
        driver.works(*refresh())
        nodes.rule(action='reply', status=429, times=1,
                   body={'code': 8, 'message': 'busy'},
                   headers={'Retry-After': '1'})
        report = driver.works(*refresh())
        self.assertLessEqual(1.0, report.slowest)
        self.assert_quick(report, 1.0)

    def test_e2_retry_after_ends_with_the_deadline(self) -> None:
        nodes = self.make_nodes(1)
        driver = self.make_driver(nodes)
        driver.works(*refresh())
        nodes.rule(action='reply', status=429,
                   body={'code': 8, 'message': 'busy'},
                   headers={'Retry-After': '100'})
        report = driver.run(*refresh(timeout=2))
        self.assert_quick(report, 2.0)
        self.assertEqual(['LightOSNotSeen'],
                         [each.error for each in report.outcomes])
        self.assertIn('busy', report.outcomes[0].text)

    @ddt.data('https://127.0.20.9:%d/elsewhere', '/elsewhere')
    def test_c6_redirect_is_not_followed(self, target: str) -> None:
        nodes = self.make_nodes(2)
        other = self.make_nodes(1, first=9)
        driver = self.make_driver(nodes)
        driver.works(*refresh())
        if '%d' in target:
            target %= other.port
        nodes.rule(0, action='reply', status=302, body=HTML,
                   headers={'Location': target})
        self.assert_quick(driver.works(*refresh(4)))
        self.assertEqual(0, other.seen(0)['connections'])
        self.assertEqual([], nodes.requests('elsewhere'))

    def test_e5_404_that_is_not_from_the_api_is_not_gone(self) -> None:
        # A proxy, or a node that is being installed.
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh())
        nodes.rule(0, action='reply', status=404, body=HTML)
        report = driver.works(*[look()] * 6)
        self.assertEqual([VOLUME] * 6, [each.value
                                        for each in report.outcomes])
        self.assert_one_warning(report, nodes.endpoints[0], '404')

    def test_e5_404_to_the_proof_is_no_answer_to_the_call(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh())
        nodes.rule(0, action='close')
        driver.works(*refresh(3))
        nodes.rule(0, action='reply', when='clusterinfo', status=404,
                   body={'code': 5, 'message': 'no such page'})
        time.sleep(1.1)
        self.assertEqual([VOLUME] * 6, [
            each.value for each in driver.works(*[look()] * 6).outcomes])


class OneBadNodeEventletTest(InEventlet, OneBadNode, FaultTestCase):
    pass


class OneBadNodeNativeTest(InNativeThreads, OneBadNode, FaultTestCase):

    def test_c2_probe_is_shorter_than_a_long_timeout(self) -> None:
        # A probe has 5 seconds, however long a call may take.
        nodes = self.make_nodes()
        driver = self.make_driver(nodes, lightos_api_service_timeout=6)
        driver.works(*refresh())
        nodes.rule(0, action='hang')
        self.assertLessEqual(6, driver.works(*refresh(3)).slowest)
        time.sleep(1.1)
        self.assert_quick(driver.works(*refresh()), 5)
        # It has failed, and the pause has doubled.
        self.assert_quick(driver.works(*refresh(6)))


@ddt.ddt
class Writes:
    """A POST is never repeated unless it is known not to have been sent."""

    @ddt.data('hung_after_reading', 'closed_without_a_reply',
              'reset_without_a_reply', 'reset_in_the_body', 'half_a_reply')
    def test_e4_unknown_outcome_is_not_repeated(self, name: str) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh(3))
        for index in range(3):
            FAULTS[name].strike(nodes, index)
        report = driver.run(post())
        self.assertEqual(
            [('LightOSNoAnswer', True)],
            [(each.error, each.sent) for each in report.outcomes])
        self.assertEqual(1, len(nodes.requests('POST')))
        self.assert_quick(report, FAULTS[name].seconds)

    @ddt.data(*GARBAGE)
    def test_e4_garbage_does_not_have_it_repeated(self, name: str) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh(3))
        nodes.rule(action='raw', when='POST',
                   body=GARBAGE[name].replace('{token}', TOKEN))
        report = driver.run(post())
        self.assertIn((report.outcomes[0].error, report.outcomes[0].sent),
                      [('LightOSNoAnswer', True), (None, None)])
        self.assertEqual(1, len(nodes.requests('POST')))

    @ddt.data('https://[', 'https://:x/', 'gopher://x', '\u00ff')
    def test_e4_redirect_does_not_have_it_repeated(self, to: str) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh(3))
        nodes.rule(action='reply', status=302, when='POST',
                   headers={'Location': to})
        report = driver.works(post())
        self.assertEqual(302, report.outcomes[0].value[0])
        self.assertEqual(1, len(nodes.requests('POST')))

    def test_c4_post_goes_on_where_the_handshake_hangs(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh(3))
        nodes.restart(0, mode='no-handshake')
        report = driver.works(*[post()] * 3)
        self.assert_quick(report, TIMEOUT)
        self.assertEqual(3, len(nodes.requests('POST')))
        self.assert_one_warning(report, nodes.endpoints[0], 'in time')

    @ddt.data('close', 'reset')
    def test_c4_close_that_races_with_a_post(self, action: str) -> None:
        nodes = self.make_nodes(1)
        driver = self.make_driver(nodes)
        driver.works(*refresh(2))
        nodes.rule(action=action, when='POST', kept=True)
        report = driver.run(post())
        self.assertEqual(
            [('LightOSNoAnswer', True)],
            [(each.error, each.sent) for each in report.outcomes])
        self.assertEqual(1, len(nodes.requests('POST')))

    def test_c4_connection_closed_while_idle(self) -> None:
        nodes = self.make_nodes(3, idle=0.2)
        driver = self.make_driver(nodes)
        driver.works(*refresh(3))
        connections = nodes.total('connections')
        time.sleep(0.5)
        report = driver.works(post(), post(), post())
        self.assertEqual([], report.said(WARNING, ERROR))
        self.assertEqual(3, len(nodes.requests('POST')))
        self.assertEqual(connections + 3, nodes.total('connections'))

    def test_refused_post_goes_to_another_node(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh(3))
        nodes.stop(0)
        nodes.stop(1)
        report = driver.works(post())
        self.assert_quick(report)
        self.assertEqual(1, len([
            request for request in nodes.seen(2)['requests']
            if 'POST' in request['asked']]))

    def test_refused_everywhere_is_known_not_to_be_sent(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh(3))
        nodes.stop_all()
        report = driver.run(post(timeout=1))
        self.assertEqual(
            [('LightOSNoAnswer', False)],
            [(each.error, each.sent) for each in report.outcomes])
        self.assertIn('refused', report.outcomes[0].text.lower())

    @ddt.data('lose-reply', 'drop', 'half-reply', 'hang')
    def test_e4_lost_reply_leaves_one_volume(self, action: str) -> None:
        simulator = self.make_simulator()
        self.drivers.enable_database()
        driver = self.driver_of(simulator)
        simulator.fault(action, operation='CreateVolume', times=1)
        report = driver.works(call('create', name='v'))
        self.assert_quick(report, TIMEOUT)
        volumes = simulator.control('GET', '/state')['volumes']
        self.assertEqual(['Available'], [each['state'] for each in volumes])
        posts = [request for request in simulator.requests()
                 if request['operation'] == 'CreateVolume']
        executed = action in ('lose-reply', 'half-reply')
        self.assertEqual(1 if executed else 2, len(posts))


class WritesEventletTest(InEventlet, Writes, FaultTestCase):
    pass


class WritesNativeTest(InNativeThreads, Writes, FaultTestCase):
    pass


@ddt.ddt
class NoGoodNode:
    """Every node has a fault."""

    @ddt.data(*FAULTS)
    def test_e1_error_comes_with_the_deadline(self, name: str) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh(3))
        for index in range(3):
            FAULTS[name].strike(nodes, index)
        # Half a second is kept for a last look.
        seconds = 0.8 + 0.7 * FAULTS[name].seconds
        report = driver.run(*refresh(timeout=seconds))
        self.assertEqual(
            [('LightOSNotSeen', True)],
            [(each.error, each.of_cinder) for each in report.outcomes])
        self.assertIn(FAULTS[name].said, report.outcomes[0].text.lower())
        self.assert_quick(report, seconds)
        warnings = report.said(WARNING, ERROR)
        self.assertLessEqual(len(warnings), 3, warnings)

    def test_e6_no_tight_loop(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh(3))
        nodes.stop_all()
        report = driver.run(*refresh(timeout=3))
        # With pauses of a tenth of the time that has passed, from 10 ms to a
        # second, three nodes can be asked about 140 times in 3 seconds.
        self.assertLess(report.attempts, 160)
        self.assertEqual(3, len(report.said(WARNING)))

    def test_c2_no_storm_of_many_threads(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh(3))
        nodes.stop_all()
        report = driver.run(*refresh(timeout=3), threads=64)
        self.assertEqual({'LightOSNotSeen'},
                         {each.error for each in report.outcomes})
        self.assertEqual(3, len(report.said(WARNING)))
        # One at a time tries a node that is set aside.
        self.assertLess(report.attempts, 4 * 160)

    def test_first_node_that_is_back_serves_at_once(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(*refresh(3))
        nodes.stop_all()
        driver.begin(*refresh())
        time.sleep(2)
        nodes.start(1)
        began = time.monotonic()
        report = driver.finish()
        self.assertLess(time.monotonic() - began, 0.3 + SLACK)
        self.assertEqual([], report.errors)

    def test_c7_stats_say_down_once(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        driver.works(call('stats'))
        nodes.stop_all()
        report = driver.works(call('stats'), call('stats'))
        self.assertEqual(['down', 'down'], [each.value['backend_state']
                                            for each in report.outcomes])
        self.assertEqual(1, len(report.said(ERROR)))
        self.assertEqual(3, len(report.said(WARNING)))


class NoGoodNodeEventletTest(InEventlet, NoGoodNode, FaultTestCase):
    pass


class NoGoodNodeNativeTest(InNativeThreads, NoGoodNode, FaultTestCase):
    pass


@ddt.ddt
class ManyThreads:
    """Many calls at once."""

    def make_busy_driver(self, nodes: Nodes) -> Driver:
        return self.make_driver(nodes,
                                lightos_api_service_timeout=BUSY_TIMEOUT)

    @ddt.data('refused', 'reset_in_the_body', 'html_502')
    def test_c2_fault_under_64_threads(self, name: str) -> None:
        nodes = self.make_nodes()
        driver = self.make_busy_driver(nodes)
        driver.works(*refresh(), threads=64)
        FAULTS[name].strike(nodes, 0)
        report = driver.works(*refresh(4), threads=64)
        self.assert_one_warning(report, nodes.endpoints[0])
        self.assertLess(report.slowest, BUSY_TIMEOUT)

    def test_c2_hung_node_under_64_threads(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_busy_driver(nodes)
        driver.works(*refresh(), threads=64)
        before = len(nodes.seen(0)['requests'])
        nodes.rule(0, action='hang')
        report = driver.works(*refresh(4), threads=64)
        self.assert_one_warning(report, nodes.endpoints[0])
        noticed = [each for each in report.outcomes
                   if each.seconds >= BUSY_TIMEOUT]
        # Those of the first round that were in flight on it, and no other.
        self.assertLess(len(noticed), 64)
        self.assertEqual(len(nodes.seen(0)['requests']) - before,
                         len(noticed))
        self.assertLess(report.slowest, 2 * BUSY_TIMEOUT)

    def test_c2_hung_node_costs_256_threads_one_timeout(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_busy_driver(nodes)
        driver.works(*refresh(), threads=8)
        before = len(nodes.seen(0)['requests'])
        nodes.rule(0, action='hang')
        report = driver.works(*refresh(), threads=256)
        self.assertLess(report.slowest, 2 * BUSY_TIMEOUT)
        # Those that wait for a free connection to it do not ask it then.
        self.assertLessEqual(len(nodes.seen(0)['requests']) - before, 64 + 1)

    def test_c4_one_handshake_for_each_connection(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_busy_driver(nodes)
        driver.works(*refresh(30))
        self.assertEqual([1, 1, 1], [nodes.seen(index)['handshakes']
                                     for index in range(3)])

    def test_c4_connections_of_many_threads_are_kept(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_busy_driver(nodes)
        driver.works(*refresh(4), threads=64)
        first = nodes.total('handshakes')
        self.assertLessEqual(first, 64 * 3)
        driver.works(*refresh(4), threads=16)
        driver.works(*refresh(4), threads=16)
        self.assertLessEqual(nodes.total('handshakes') - first, 16 * 3)
        self.assertEqual(nodes.total('connections'),
                         nodes.total('handshakes'))

    def test_c4_connections_are_bounded(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_busy_driver(nodes)
        driver.works(*refresh(2), threads=256)
        for index in range(3):
            self.assertLessEqual(nodes.seen(index)['most_open'], 64)
        self.assertLessEqual(nodes.total('handshakes'), 64 * 3)


class ManyThreadsEventletTest(InEventlet, ManyThreads, FaultTestCase):
    pass


class ManyThreadsNativeTest(InNativeThreads, ManyThreads, FaultTestCase):
    pass


@ddt.ddt
class Tls:
    """Who a node is."""

    def _refused(self, driver: Driver, *words: str) -> None:
        """Nobody is asked, and the error says why and what to do."""
        report = driver.run(call('setup'))
        self.assertEqual([('LightOSUntrusted', True)],
                         [(each.error, each.of_cinder)
                          for each in report.outcomes])
        for word in (*words, 'driver_ssl_cert_path'):
            self.assertIn(word, report.outcomes[0].text)
        self.assert_quick(report)
        self.assert_one_warning(report, *words)

    def test_c5_wrong_ca(self) -> None:
        nodes = self.make_nodes(1)
        other = self.make_authority('other', certificates.new_ca(2))
        driver = self.make_driver(nodes, driver_ssl_cert_path=other.file)
        self._refused(driver, 'certificate verify failed')
        self.assertEqual([], nodes.requests())

    def test_c5_expired_certificate(self) -> None:
        certificate = self.authority.issue(
            '127.0.20.1', not_before=certificates.days(-9),
            not_after=certificates.days(-1))
        nodes = self.make_nodes(1, certificate=certificate)
        self._refused(self.make_driver(nodes), 'expired')
        self.assertEqual([], nodes.requests())

    @ddt.data(('127.0.20.2', 'IP address mismatch'),
              ('node1.cluster.test', 'IP address mismatch'))
    @ddt.unpack
    def test_c5_certificate_of_another_address(self, name: str,
                                               said: str) -> None:
        nodes = self.make_nodes(
            1, certificate=self.authority.issue(name))
        self._refused(self.make_driver(nodes), said)
        self.assertEqual([], nodes.requests())

    def test_c5_certificate_of_another_name(self) -> None:
        nodes = self.make_nodes(
            1, certificate=self.authority.issue('node2.cluster.test'))
        driver = self.make_driver(
            nodes, lightos_api_address=['node1.cluster.test'],
            names={'node1.cluster.test': nodes.addresses[0]})
        self._refused(driver, 'Hostname mismatch')
        self.assertEqual([], nodes.requests())

    def test_c5_host_name_with_sni_under_name_constraints(self) -> None:
        authority = self.make_authority(
            'constrained', certificates.constrained_ca('cluster.test'))
        nodes = self.make_nodes(
            1, certificate=authority.issue('else.cluster.test'), by_name={
                'node1.cluster.test': authority.issue('node1.cluster.test')})
        nodes.change(0, info=nodes.clusterinfo(
            ['node1.cluster.test:%d' % nodes.port]))
        driver = self.make_driver(
            nodes, lightos_api_address=['node1.cluster.test'],
            driver_ssl_cert_path=authority.file,
            names={'node1.cluster.test': nodes.addresses[0]})
        driver.works(*refresh(), post())
        self.assertEqual('node1.cluster.test:%d' % nodes.port,
                         nodes.requests('POST')[0]['host'])

    def test_c5_name_outside_the_constraints(self) -> None:
        authority = self.make_authority(
            'constrained', certificates.constrained_ca('cluster.test'))
        nodes = self.make_nodes(
            1, certificate=authority.issue('node1.elsewhere.test'))
        driver = self.make_driver(
            nodes, lightos_api_address=['node1.elsewhere.test'],
            driver_ssl_cert_path=authority.file,
            names={'node1.elsewhere.test': nodes.addresses[0]})
        self._refused(driver, 'permitted subtree violation')
        self.assertEqual([], nodes.requests())

    def test_c5_address_of_ipv6(self) -> None:
        nodes = Nodes(self.servers, ['::1'],
                      [{'certificate': self.authority.issue('::1')}])
        driver = self.make_driver(nodes)
        report = driver.works(*refresh(), post())
        self.assertEqual([], report.said(WARNING, ERROR))

    def test_c5_directory_of_authorities(self) -> None:
        directory = self.directory / 'authorities'
        directory.mkdir()
        (directory / 'ca.pem').write_text(
            pathlib.Path(self.authority.file).read_text())
        subprocess.run(['openssl', 'rehash', str(directory)], check=True)
        nodes = self.make_nodes()
        self.make_driver(nodes, driver_ssl_cert_path=str(directory)).works(
            *refresh(3))
        empty = self.directory / 'empty'
        empty.mkdir()
        self._refused(self.make_driver(
            self.make_nodes(1, first=9), driver_ssl_cert_path=str(empty)),
            'certificate verify failed')

    def test_c1_learned_address_that_the_certificate_does_not_cover(
            self) -> None:
        nodes = self.make_nodes(2)
        bare = self.make_nodes(
            1, first=9, certificate=self.authority.issue('127.0.20.99'))
        for index in range(2):
            nodes.change(index, info=nodes.clusterinfo(
                nodes.endpoints + bare.endpoints))
        driver = self.make_driver(nodes)
        report = driver.works(*refresh(12))
        self.assert_quick(report)
        self.assert_one_warning(report, bare.endpoints[0],
                                'IP address mismatch')
        time.sleep(1.1)
        report = driver.works(*refresh(6))
        self.assertEqual([], report.said(WARNING, ERROR))
        self.assertEqual([], bare.requests())

    def test_c5_wrong_ca_beside_a_node_that_is_down(self) -> None:
        # It may well be the one whose certificate is good.
        nodes = self.make_nodes(2)
        other = self.make_nodes(1, first=9, port=nodes.port)
        other.stop(0)
        wrong = self.make_authority('wrong', certificates.new_ca(2))
        nodes.restart(0, certificate=wrong.issue(nodes.addresses[0]))
        nodes.restart(1, certificate=wrong.issue(nodes.addresses[1]))
        driver = self.make_driver(
            nodes, lightos_api_address=nodes.addresses + other.addresses)
        driver.begin(*refresh())
        time.sleep(1)
        other.uuid = nodes.uuid
        other.start(0, info=nodes.clusterinfo(other.endpoints))
        self.assertEqual([], driver.finish().errors)

    @ddt.data(False, True)
    def test_c5_warnings_of_the_library_are_left_to_cinder(
            self, suppressed: bool) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes, driver_ssl_cert_verify=False,
                                  driver_ssl_cert_path=None)
        report = driver.works(call('warned', times=6, suppressed=suppressed))
        warned = report.outcomes[0].value
        self.assertTrue(warned['untouched'])
        self.assertEqual(
            not suppressed,
            'InsecureRequestWarning' in warned['categories'])

    def test_c5_unverified_is_said_once(self) -> None:
        nodes = self.make_nodes(
            certificate=self.authority.issue('127.0.20.99'))
        driver = self.make_driver(nodes, driver_ssl_cert_verify=False,
                                  driver_ssl_cert_path=None)
        report = driver.works(*refresh(6))
        self.assert_one_warning(report, 'NOT verified')

    def test_tls_1_1_is_refused(self) -> None:
        nodes = self.make_nodes(1, tls='1.1')
        # Others do speak it with this server.
        context = ssl.create_default_context(cafile=self.authority.file)
        context.set_ciphers('DEFAULT:@SECLEVEL=0')
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1_1
        with socket.create_connection(
                (nodes.addresses[0], nodes.port)) as plain:
            with context.wrap_socket(
                    plain, server_hostname=nodes.addresses[0]) as secure:
                self.assertEqual('TLSv1.1', secure.version())
        # The server counts it a moment after the client is through.
        end = time.monotonic() + 5
        while not nodes.total('handshakes') and time.monotonic() < end:
            time.sleep(0.01)
        report = self.make_driver(nodes).run(post(timeout=1))
        self.assertEqual('LightOSNoAnswer', report.outcomes[0].error)
        self.assertIn('TLS', report.outcomes[0].text)
        self.assertEqual(1, nodes.total('handshakes'))

    @ddt.data('1.2', '1.3')
    def test_tls_is_spoken(self, version: str) -> None:
        nodes = self.make_nodes(1, tls=version)
        self.make_driver(nodes).works(*refresh())


class Addresses:
    """Everything that Cinder does every day, however a node is named."""

    def _works(self, simulator: processes.Simulator, host: str,
               names: Optional[dict[str, str]] = None,
               **options: Any) -> None:
        self.drivers.enable_database()
        driver = Driver(self, self.drivers, names or {}, **simulator.options(
            lightos_api_address=[host], **options))
        report = driver.works(call('setup'), call('ordinary_path'))
        self.assert_quick(report, 1)

    def test_c1_address_of_ipv6(self) -> None:
        self._works(self.make_simulator(
            '--nodes', '1', '--first-address', '::1'), '::1',
            lightos_default_num_replicas=1)

    def test_c1_host_name(self) -> None:
        simulator = self.shared_simulator()
        self._works(simulator, 'node1.cluster.test',
                    {'node1.cluster.test': simulator.told['addresses'][0]},
                    driver_ssl_cert_verify=False)


class AddressesEventletTest(InEventlet, Addresses, FaultTestCase):
    pass


class AddressesNativeTest(InNativeThreads, Addresses, FaultTestCase):
    pass


class TlsEventletTest(InEventlet, Tls, FaultTestCase):
    pass


class TlsNativeTest(InNativeThreads, Tls, FaultTestCase):
    pass


class Token:
    """The token, and where it may not be."""

    def setUp(self) -> None:
        super().setUp()
        self.token_file = self.directory / 'token'
        self.simulator = self.shared_simulator()

    def _issue(self, name: str, **settings: Any) -> str:
        token: str = self.simulator.control(
            'POST', '/tokens', scope='system', role='cluster-admin',
            name='%s-%s' % (name, self.threading),
            **{'lifetime': 30 * DAY, **settings})['token']
        return token

    def _revoke(self, name: str) -> None:
        self.simulator.control('POST', '/tokens', revoke='%s-%s' % (
            name, self.threading))

    def _driver(self) -> Driver:
        return self.driver_of(self.simulator,
                              lightos_jwt_file=str(self.token_file))

    def _statuses(self, since: int) -> list[int]:
        return [request['status'] for request in
                self.simulator.requests()[since:]]

    def test_c6_replaced_file_is_read(self) -> None:
        self.token_file.write_text(self._issue('one') + '\n')
        driver = self._driver()
        driver.works(*refresh(3))
        self._revoke('one')
        self.token_file.write_text(self._issue('two') + '\n')
        since = len(self.simulator.requests())
        report = driver.works(*refresh(3))
        self.assertEqual([200] * 3, self._statuses(since))
        self.assertEqual([], report.said(WARNING, ERROR))

    def test_c6_401_has_the_token_read_once_more(self) -> None:
        self.token_file.write_text(self._issue('three') + '\n')
        driver = self._driver()
        driver.works(*refresh(3))
        # As it is while a call is on its way with the old token.
        self.simulator.fault(
            'status', operation='GetClusterInfo', status=401, code=16,
            times=1, delay=0.5)
        since = len(self.simulator.requests())
        driver.begin(*refresh())
        time.sleep(0.2)
        self.token_file.write_text(self._issue('four') + '\n')
        report = driver.finish()
        self.assertEqual([], report.errors)
        self.assertEqual([401, 200], self._statuses(since))

    def test_c6_401_of_the_only_token_is_final(self) -> None:
        self.token_file.write_text(self._issue('five') + '\n')
        driver = self._driver()
        driver.works(*refresh(3))
        self._revoke('five')
        since = len(self.simulator.requests())
        report = driver.run(*refresh())
        self.assertEqual(['LightOSRefused'],
                         [each.error for each in report.outcomes])
        self.assertIn('401', report.outcomes[0].text)
        self.assertEqual([401], self._statuses(since))
        self.assert_quick(report)

    def test_c8_setup_names_the_source_of_a_refused_token(self) -> None:
        self.token_file.write_text(self._issue('six') + '\n')
        self._revoke('six')
        report = self._driver().run(call('setup'))
        self.assertEqual(['InvalidAuthKey'],
                         [each.error for each in report.outcomes])
        self.assertIn(str(self.token_file), report.outcomes[0].text)

    def test_c6_expired_token_is_replaced(self) -> None:
        self.token_file.write_text(self._issue('lasting'))
        driver = self._driver()
        driver.works(*refresh())
        # A token expires at a whole second, up to one before its lifetime.
        lifetime = 3
        self.token_file.write_text(self._issue('seven', lifetime=lifetime))
        report = driver.works(*refresh())
        self.assert_one_warning(report, 'expires at', str(self.token_file))
        time.sleep(lifetime + 0.2)
        report = driver.run(*refresh())
        self.assertEqual(['LightOSRefused'],
                         [each.error for each in report.outcomes])
        self.token_file.write_text(self._issue('eight'))
        driver.works(*refresh(3))

    def test_c6_empty_file_keeps_the_last_good_token(self) -> None:
        self.token_file.write_text(self._issue('nine'))
        driver = self._driver()
        driver.works(*refresh())
        self.token_file.write_text('\n')
        report = driver.works(*refresh(3))
        self.assert_one_warning(report, 'is empty', str(self.token_file))
        self.token_file.unlink()
        report = driver.works(*refresh(3))
        self.assert_one_warning(report, 'cannot be read',
                                str(self.token_file))

    def test_c6_token_is_not_shown(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes)
        # Driver.run searches it all, debug lines too.
        report = driver.works(*refresh(3), post(), call('show'))
        self.assertEqual(
            {'Bearer ' + TOKEN},
            {request['authorization'] for request in nodes.requests()})
        self.assertLess(5, len([line for line in report.lines
                                if line.level == 'DEBUG']))

    def test_c6_what_cannot_be_a_token_is_not_shown(self) -> None:
        nodes = self.make_nodes()
        driver = self.make_driver(nodes, lightos_jwt=TOKEN + '\nX: y')
        report = driver.works(*refresh(3))
        self.assertEqual(1, len(report.said(ERROR)))
        self.assertEqual({None}, {request['authorization']
                                  for request in nodes.requests()})


class TokenEventletTest(InEventlet, Token, FaultTestCase):
    pass


class TokenNativeTest(InNativeThreads, Token, FaultTestCase):
    pass


class Clusters:
    """Where the cluster is, and which one it is."""

    def test_c1_readdressed_cluster_is_followed(self) -> None:
        simulator = self.make_simulator('--first-address', '127.0.30.1')
        self.drivers.enable_database()
        driver = self.driver_of(simulator)
        driver.works(call('setup'))
        for index in range(3):
            simulator.control('POST', '/nodes/%d' % index,
                              address='127.0.30.%d' % (index + 11))
            report = driver.works(*refresh(3))
            self.assert_quick(report)
        report = driver.works(call('ordinary_path'))
        self.assertEqual({'127.0.30.11', '127.0.30.12', '127.0.30.13'}, {
            node['address'] for node in simulator.control('GET', '/nodes')})

    def _two(self) -> tuple[Nodes, Nodes]:
        one = self.make_nodes(2)
        return one, self.make_nodes(1, first=9, port=one.port)

    def test_c3_two_clusters_at_the_start_are_refused(self) -> None:
        one, other = self._two()
        driver = self.make_driver(
            one, lightos_api_address=one.addresses + other.addresses)
        report = driver.run(call('setup'), call('setup'))
        self.assertEqual(['LightOSWrongCluster'] * 2,
                         [each.error for each in report.outcomes])
        for text in (one.uuid, other.uuid):
            self.assertIn(text, report.outcomes[0].text)
        self.assertTrue(any(
            endpoint in report.outcomes[0].text
            for endpoint in one.endpoints + other.endpoints))

    def test_c3_learned_endpoint_of_another_cluster(self) -> None:
        one, other = self._two()
        for index in range(2):
            one.change(index,
                       info=one.clusterinfo(one.endpoints + other.endpoints))
        driver = self.make_driver(one)
        report = driver.works(*refresh(9), *[post()] * 6)
        self.assert_one_warning(report, one.uuid, other.uuid,
                                other.endpoints[0])
        self.assertEqual([], other.requests('POST'))

    def test_c3_seed_that_comes_up_as_another_cluster(self) -> None:
        one, other = self._two()
        other.stop(0)
        driver = self.make_driver(
            one, lightos_api_address=one.addresses + other.addresses)
        report = driver.works(call('setup'), *refresh(3))
        self.assert_one_warning(report, other.endpoints[0], 'refused')
        other.start(0)
        time.sleep(1.1)
        report = driver.works(*refresh(6), *[post()] * 6)
        self.assert_one_warning(report, one.uuid, other.uuid,
                                other.endpoints[0])
        self.assertEqual([], other.requests('POST'))


class ClustersEventletTest(InEventlet, Clusters, FaultTestCase):
    pass


class ClustersNativeTest(InNativeThreads, Clusters, FaultTestCase):
    pass


@ddt.ddt
class OrdinaryPath:
    """Everything that Cinder does every day, with one bad node."""

    def _strike(self, simulator: processes.Simulator, node: int,
                fault: str) -> None:
        if fault == '502':
            simulator.fault('body', node=node, times=None, status=502,
                            body=HTML, execute=False)
        else:
            simulator.mode(node, fault)

    def _works(self, node: int, fault: str) -> None:
        simulator = self.shared_simulator()
        self.drivers.enable_database()
        driver = self.driver_of(simulator,
                                lightos_api_service_timeout=2)
        driver.works(call('setup'))
        self._strike(simulator, node, fault)
        report = driver.works(call('ordinary_path'))
        # A node is met once, then after pauses of 1, 2, 4 s.
        self.assert_quick(report, 3 + 2 * 2)
        # One line when it is set aside, none for each try.
        self.assert_one_warning(report,
                                simulator.told['endpoints'][node])
        state = simulator.control('GET', '/state')
        self.assertEqual([], [each['name'] for each in
                              state['volumes'] + state['snapshots']
                              if each['state'] != 'Deleting'])

    @ddt.data(0, 1, 2)
    def test_ordinary_path_with_bad_nodes_hung(self, node: int) -> None:
        self._works(node, 'hung')

    @ddt.data(0, 1, 2)
    def test_ordinary_path_with_bad_nodes_dead(self, node: int) -> None:
        self._works(node, 'stopped')

    @ddt.data(0, 1, 2)
    def test_ordinary_path_with_bad_nodes_answering_502(self,
                                                        node: int) -> None:
        self._works(node, '502')


class OrdinaryPathEventletTest(InEventlet, OrdinaryPath, FaultTestCase):
    pass


class OrdinaryPathNativeTest(InNativeThreads, OrdinaryPath, FaultTestCase):
    pass


class Threading:
    """The tests mean what they say."""

    def test_threading_is_the_one_asked_for(self) -> None:
        self.assertEqual(self.threading, self.drivers.ask('threading'))


class ThreadingEventletTest(InEventlet, Threading, FaultTestCase):
    pass


class ThreadingNativeTest(InNativeThreads, Threading, FaultTestCase):
    pass
