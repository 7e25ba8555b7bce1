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
"""Time: how long an operation may take, and how to pause in between.

This is the only room of the driver that sleeps.
"""

import random
import time
from typing import Optional

SHORTEST_PAUSE = 0.01
LONGEST_PAUSE = 1.0
PAUSE_SHARE = 0.1


def monotonic() -> float:
    """Seconds on a clock that never jumps."""
    return time.monotonic()


class Deadline:
    """The moment by which a Cinder operation must have ended.

    It is made once, where the operation begins, and handed down.

    :param seconds: how long the operation may take from now on
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._began = monotonic()

    @property
    def remaining(self) -> float:
        """Seconds left, 0 when the deadline has passed."""
        return max(0.0, self.seconds - self.elapsed)

    @property
    def passed(self) -> bool:
        """Whether less is left than a clock can tell from nothing."""
        return self.remaining < 0.001

    @property
    def elapsed(self) -> float:
        """Seconds since it was made."""
        return monotonic() - self._began

    def earlier(self, share: float) -> 'Deadline':
        """A deadline after a share (0 to 1) of the time that is left."""
        return Deadline(self.remaining * share)


def pause_after(waited: float) -> float:
    """How long to pause, in seconds, after having waited for so long.

    A pause is at most a tenth of the time waited so far, so that waiting
    makes nothing much longer, and at most a second; jitter keeps waiters
    that began together from asking together. It is small: each look that
    comes sooner than it may is one more.
    """
    length = min(waited * PAUSE_SHARE, LONGEST_PAUSE)
    return max(length * random.uniform(0.9, 1.0), SHORTEST_PAUSE)


class Pauses:
    """The pauses of one wait, which grow with the time already waited.

    :param deadline: when the wait must have ended
    :param reserve: seconds before the deadline that no pause goes into
    """

    def __init__(self, deadline: Deadline, reserve: float = 0.0) -> None:
        self._deadline = deadline
        self._reserve = reserve
        self._began = monotonic()

    def pause(self, at_least: Optional[float] = None) -> None:
        """Sleep until it is worth looking again.

        :param at_least: seconds that the cluster asked to be left alone for
            (``Retry-After``)
        """
        length = max(pause_after(monotonic() - self._began), at_least or 0.0)
        left = self._deadline.remaining
        length = min(length, max(left - self._reserve, SHORTEST_PAUSE))
        sleep(min(length, left))


def sleep(seconds: float) -> None:
    """Let other threads run for so many seconds."""
    time.sleep(seconds)
