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
"""Waiting for what other processes do."""

import time
from typing import Callable, TypeVar

# Seconds that Cinder may work on one thing.
WORK_TIME = 60
PAUSE = 0.1

T = TypeVar('T')


def until(seen: Callable[[], T], what: str, seconds: float = WORK_TIME) -> T:
    """Return the first true value of seen.

    :raises AssertionError: there is none in time
    """
    deadline = time.monotonic() + seconds
    while True:
        value = seen()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f'Not after {seconds} s: {what}')
        time.sleep(PAUSE)
