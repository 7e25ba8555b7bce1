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
"""Deadlines and pauses."""

import random

import ddt
import testtools

from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import waiting


class WaitingTestCase(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.clock = self.useFixture(fake_lightos.FakeClock())


@ddt.ddt
class DeadlineTestCase(WaitingTestCase):

    def test_e1_counts_down_and_stays_at_zero(self):
        deadline = waiting.Deadline(10)
        seen = []
        for _each in range(3):
            seen.append((deadline.remaining, deadline.passed))
            self.clock.advance(6)
        self.assertEqual([(10, False), (4, False), (0, True)], seen)

    @ddt.data((0.001, False), (0.0009, True))
    @ddt.unpack
    def test_e1_less_than_a_millisecond_is_no_time(self, seconds, passed):
        self.assertIs(passed, waiting.Deadline(seconds).passed)

    def test_e1_tells_the_time_since_it_was_made(self):
        deadline = waiting.Deadline(10)
        self.clock.advance(12)
        self.assertEqual(12, deadline.elapsed)

    def test_e1_an_earlier_one_takes_a_share_of_what_is_left(self):
        deadline = waiting.Deadline(10)
        self.clock.advance(5)
        self.assertEqual(4, deadline.earlier(0.8).remaining)


@ddt.ddt
class PausesTestCase(WaitingTestCase):

    def pause(self, waited: float, at_least: float = 0.0,
              seconds: float = 1000.0) -> float:
        """How long a pause is.

        :param waited: seconds since the wait began
        :param seconds: those that the wait may take
        """
        pauses = waiting.Pauses(waiting.Deadline(seconds))
        self.clock.advance(waited)
        pauses.pause(at_least)
        return self.clock.sleeps[-1]

    def test_e6_first_look_is_soon(self):
        self.assertEqual(0.01, self.pause(waited=0))

    @ddt.data(0.001, 0.05, 0.1)
    def test_e6_never_below_10_ms(self, waited):
        self.assertEqual(0.01, self.pause(waited))

    @ddt.data(0.2, 1, 3, 9.9)
    def test_e6_at_most_a_tenth_of_the_time_waited(self, waited):
        lengths = [self.pause(waited) for _each in range(50)]
        self.assertLessEqual(max(lengths), waited / 10)
        self.assertGreaterEqual(min(lengths), waited * 0.09)

    @ddt.data(10, 60, 900)
    def test_e6_at_most_a_second(self, waited):
        lengths = [self.pause(waited) for _each in range(50)]
        self.assertLessEqual(max(lengths), 1)
        self.assertGreaterEqual(min(lengths), 0.9)

    def test_e6_waiters_that_began_together_part(self):
        lengths = {self.pause(waited=5) for _each in range(20)}
        self.assertGreater(len(lengths), 10)

    def test_e6_pauses_grow_with_the_wait(self):
        random.seed(1)
        self.addCleanup(random.seed)
        deadline = waiting.Deadline(100)
        pauses = waiting.Pauses(deadline)
        while not deadline.passed:
            pauses.pause()
        # 10 ms up to 0.1 s, then at least 9 % more each time up to 10 s,
        # then at least 0.9 s each.
        self.assertLess(len(self.clock.sleeps), 10 + 54 + 101)

    def test_e1_no_pause_goes_beyond_the_deadline(self):
        self.assertEqual(0.25, self.pause(waited=9.75, seconds=10))

    def test_e1_after_the_deadline_there_is_hardly_a_pause(self):
        self.assertLessEqual(self.pause(waited=11, seconds=10), 0.01)

    def test_e3_time_that_is_kept_for_a_last_look_is_not_slept_away(self):
        pauses = waiting.Pauses(waiting.Deadline(10), reserve=0.5)
        self.clock.advance(9)
        pauses.pause()
        self.assertEqual([0.5], self.clock.sleeps)

    def test_e2_leaves_the_cluster_alone_as_long_as_asked(self):
        self.assertEqual(7, self.pause(waited=1, at_least=7))

    def test_e2_a_wish_for_less_shortens_nothing(self):
        self.assertGreater(self.pause(waited=5, at_least=0.02), 0.3)

    def test_e1_leaves_the_cluster_alone_within_the_deadline_only(self):
        self.assertEqual(9, self.pause(waited=1, at_least=60, seconds=10))
