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
"""The nodes as API endpoints, and how they are doing."""

import logging
from typing import Iterable, Optional

import ddt
import fixtures
import testtools

from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import endpoints

SEEDS = tuple(endpoints.Address('10.0.0.%d' % number, 443)
              for number in (1, 2, 3))


@ddt.ddt
class AddressTestCase(testtools.TestCase):

    @ddt.data(('10.0.0.1', '10.0.0.1', 443),
              ('10.0.0.1:8443', '10.0.0.1', 8443),
              ('10.0.0.1:1', '10.0.0.1', 1),
              ('10.0.0.1:65535', '10.0.0.1', 65535),
              ('fd00::1', 'fd00::1', 443),
              ('[fd00::1]', 'fd00::1', 443),
              ('[fd00::1]:8443', 'fd00::1', 8443),
              ('node-1.example.org', 'node-1.example.org', 443),
              ('node-1.example.org:8443', 'node-1.example.org', 8443),
              ('node-1', 'node-1', 443))
    @ddt.unpack
    def test_c1_reads(self, text, host, port):
        self.assertEqual(endpoints.Address(host, port),
                         endpoints.Address.parse(text, 443))

    @ddt.data('', ':443', '[]:443', '[fd00::1', '10.0.0.1:', '10.0.0.1:https',
              '10.0.0.1:0', '10.0.0.1:-1', '10.0.0.1:65536', 'fd00::1::2',
              '10.0.0.1:443:443', '10.0.0.1 ', '10.0.0.1/api',
              '10.0.0.1?', '10.0.0.1#', 'user@10.0.0.1', 'user@10.0.0.1:443',
              '10.0.0.1\\', 'https://10.0.0.1', '%31', 'a b', 'a\nb',
              '[10.0.0.1/]:443', 'fe80::1%eth0', '[fe80::1%eth0]:443')
    def test_o6_what_is_no_endpoint_is_none(self, text):
        self.assertIsNone(endpoints.Address.parse(text, 443))

    @ddt.data(('10.0.0.1', '10.0.0.1:443'), ('fd00::1', '[fd00::1]:443'),
              ('node-1', 'node-1:443'))
    @ddt.unpack
    def test_c1_writes_what_stands_in_a_url(self, host, written):
        address = endpoints.Address(host, 443)
        self.assertEqual(written, str(address))
        self.assertEqual(address, endpoints.Address.parse(written, 1))


class EndpointsTestCase(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.clock = self.useFixture(fake_lightos.FakeClock())
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.INFO))
        self.endpoints = endpoints.Endpoints(SEEDS)

    def take(self, tried: Iterable[endpoints.Address] = ()
             ) -> endpoints.Endpoint:
        endpoint = self.endpoints.take(tried)
        assert endpoint is not None
        return endpoint

    def all_good(self) -> list[endpoints.Endpoint]:
        """Have every endpoint prove itself; in the order of the seeds."""
        lent = [self.take() for _each in SEEDS]
        for endpoint in lent:
            self.endpoints.recovered(endpoint)
        return sorted(lent, key=lambda endpoint: endpoint.address)

    def host(self, tried: Iterable[endpoints.Address] = ()) -> Optional[str]:
        endpoint = self.endpoints.take(tried)
        return endpoint and endpoint.address.host

    def pause_of(self, endpoint: endpoints.Endpoint) -> float:
        """Fail an endpoint; seconds for which it is left alone then."""
        self.endpoints.set_aside(endpoint, 'it hangs')
        began = self.clock.monotonic()
        while not endpoint.being_proven:
            self.clock.advance(0.125)
            self.host()
        return self.clock.monotonic() - began

    def test_c2_good_endpoints_take_turns(self):
        self.all_good()
        hosts = [self.host() for _each in range(6)]
        self.assertEqual(3, len(set(hosts[:3])))
        self.assertEqual(hosts[:3], hosts[3:])

    def test_c2_two_good_endpoints_take_turns(self):
        self.endpoints = endpoints.Endpoints(SEEDS[:2])
        for _each in range(2):
            self.endpoints.recovered(self.take())
        self.assertNotEqual(self.host(), self.host())

    def test_c2_one_call_asks_each_endpoint_once(self):
        self.all_good()
        tried: list[endpoints.Address] = []
        for _each in SEEDS:
            tried.append(self.take(tried).address)
        self.assertEqual(set(SEEDS), set(tried))
        self.assertIsNone(self.host(tried))

    def test_c2_an_unproven_endpoint_is_lent_to_one_caller(self):
        lent = {self.take().address for _each in SEEDS}
        self.assertEqual(set(SEEDS), lent)
        self.assertIsNone(self.host())

    def test_c2_an_endpoint_given_back_can_be_lent_again(self):
        lent = [self.take() for _each in SEEDS]
        self.endpoints.give_back(lent[1])
        self.assertIs(lent[1], self.take())

    def test_c2_an_endpoint_aside_is_not_asked(self):
        first = self.all_good()[0]
        self.endpoints.set_aside(first, 'it hangs')
        self.assertEqual({'10.0.0.2', '10.0.0.3'},
                         {self.host() for _each in range(9)})

    def test_c2_after_its_pause_one_caller_tries_it(self):
        first = self.all_good()[0]
        self.endpoints.set_aside(first, 'it hangs')
        self.clock.advance(1)
        hosts = [self.host() for _each in range(9)]
        self.assertEqual(1, hosts.count('10.0.0.1'))
        self.assertEqual('10.0.0.1', hosts[0])

    def test_c2_pauses_double(self):
        first = self.all_good()[0]
        pauses = [self.pause_of(first) for _each in range(6)]
        for pause, most in zip(pauses, (1, 2, 4, 8, 16, 32)):
            self.assertTrue(0.75 * most <= pause <= most, pauses)

    def test_c2_a_new_endpoint_that_fails_is_left_alone_for_a_second(self):
        first, *others = [self.take() for _each in SEEDS]
        for endpoint in others:
            self.endpoints.recovered(endpoint)
        self.assertTrue(0.75 <= self.pause_of(first) <= 1)

    def test_c2_longest_pause_is_a_minute(self):
        self.useFixture(fixtures.MonkeyPatch(
            'cinder.volume.drivers.lightos.endpoints.random.uniform',
            lambda low, high: high))
        first = self.all_good()[0]
        self.assertEqual(60, [self.pause_of(first)
                              for _each in range(12)][-1])

    def test_c2_pauses_grow_to_a_minute_at_most(self):
        first = self.all_good()[0]
        pauses = [self.pause_of(first) for _each in range(12)]
        self.assertTrue(45 <= min(pauses[-5:]) and max(pauses) <= 60, pauses)

    def test_c2_pauses_are_jittered(self):
        first = self.all_good()[0]
        pauses = {self.pause_of(first) for _each in range(20)}
        self.assertGreater(len(pauses), 10)

    def test_c2_failures_in_flight_together_count_as_one(self):
        first = self.all_good()[0]
        for _each in range(30):
            self.endpoints.set_aside(first, 'it hangs')
        self.clock.advance(1)
        self.assertEqual('10.0.0.1', self.host())

    def test_c2_recovering_forgets_the_failures(self):
        first = self.all_good()[0]
        for _each in range(5):
            self.pause_of(first)
        self.endpoints.recovered(first)
        self.assertLessEqual(self.pause_of(first), 1)

    def test_c2_without_a_good_endpoint_all_share_a_short_pause(self):
        for endpoint in self.all_good():
            self.endpoints.set_aside(endpoint, 'it hangs')
        self.assertIsNone(self.endpoints.take(()))
        self.clock.advance(0.01)
        self.assertEqual({'10.0.0.1', '10.0.0.2', '10.0.0.3'},
                         {self.host() for _each in SEEDS})

    def test_c2_endpoint_that_failed_another_call_meanwhile(self):
        first = self.all_good()[0]
        seen = [first.failed_meanwhile]
        self.endpoints.set_aside(first, 'it hangs')
        seen.append(first.failed_meanwhile)
        self.clock.advance(1)
        self.assertIs(first, self.take())
        # Who tries it again is told nothing new by that.
        self.assertEqual([False, True, False],
                         [*seen, first.failed_meanwhile])

    def test_c2_any_good(self):
        good = self.all_good()
        for endpoint in good[:2]:
            self.endpoints.set_aside(endpoint, 'it hangs')
        self.assertTrue(self.endpoints.any_good())
        self.endpoints.set_aside(good[2], 'it hangs')
        self.assertFalse(self.endpoints.any_good())

    def test_c2_a_change_of_health_is_one_line(self):
        first = self.all_good()[0]
        self.assertEqual('', self.log.output)
        for _each in range(5):
            self.endpoints.set_aside(first, 'it hangs')
            self.clock.advance(70)
        self.endpoints.recovered(first)
        self.endpoints.recovered(first)
        lines = self.log.output.splitlines()
        self.assertEqual(2, len(lines), lines)
        self.assertIn('10.0.0.1:443 is set aside', lines[0])
        self.assertIn('it hangs', lines[0])
        self.assertIn('10.0.0.1:443 answers again', lines[1])

    def test_c3_another_cluster_at_an_endpoint_aside_is_one_more_line(self):
        first = self.all_good()[0]
        self.endpoints.set_aside(first, 'it hangs')
        for _each in range(3):
            self.endpoints.set_aside(first, 'it is foreign', stranger=True)
        self.assertEqual(2, len(self.log.output.splitlines()))
        self.assertIn('it is foreign', self.log.output)

    def test_c5_untrusted_are_all_or_none(self):
        self.assertFalse(self.endpoints.untrusted)
        lent = self.all_good()
        for endpoint in lent:
            self.endpoints.set_aside(endpoint, 'it hangs')
        self.assertFalse(self.endpoints.untrusted)
        for endpoint in lent:
            self.endpoints.set_aside(endpoint, 'TLS', untrusted=True)
        self.assertTrue(self.endpoints.untrusted)
        self.endpoints.recovered(lent[0])
        self.assertFalse(self.endpoints.untrusted)

    def test_c1_learns_new_endpoints(self):
        self.all_good()
        new = endpoints.Address('10.0.0.4', 8443)
        self.endpoints.learn([*SEEDS, new])
        self.assertEqual({*SEEDS, new}, set(self.endpoints.addresses()))
        self.assertEqual('10.0.0.4', self.host())

    def test_c1_forgets_learned_endpoints_that_are_no_more(self):
        new = endpoints.Address('10.0.0.4', 443)
        self.endpoints.learn([new])
        self.endpoints.learn(SEEDS[:1])
        self.assertNotIn(new, self.endpoints.addresses())

    def test_c1_seeds_are_never_forgotten(self):
        self.endpoints.learn([endpoints.Address('10.0.0.4', 443)])
        self.assertLessEqual(set(SEEDS), set(self.endpoints.addresses()))

    def test_c1_learning_nothing_forgets_nothing(self):
        new = endpoints.Address('10.0.0.4', 443)
        self.endpoints.learn([new])
        self.endpoints.learn([])
        self.assertIn(new, self.endpoints.addresses())

    def test_c1_learning_keeps_the_health(self):
        first = self.all_good()[0]
        self.endpoints.set_aside(first, 'it hangs')
        self.endpoints.learn(SEEDS)
        self.assertNotIn('10.0.0.1', [self.host() for _each in range(6)])

    def test_c8_without_seeds_there_is_nobody_to_ask(self):
        self.assertIsNone(endpoints.Endpoints([]).take([]))
