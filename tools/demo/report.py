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
"""What the demonstration prints."""

import contextlib
import re
import time
from typing import Iterator, Optional

from demo import errors

# Lines of a log that are shown when something fails.
TAIL = 15
WIDTH = 600
# A line of a service's log that tells of an error, not one of its traceback
ERROR = re.compile(r' ERROR \S+ \S')


class Report:
    """The lines of the steps, each printed when the step is over."""

    def __init__(self) -> None:
        self.steps = 0

    def title(self, text: str) -> None:
        print(f'\n{text}', flush=True)

    def text(self, text: str) -> None:
        print(text, flush=True)

    @contextlib.contextmanager
    def step(self, what: str, command: str,
             started: Optional[float] = None) -> Iterator[None]:
        """Print the line of the step that is done inside.

        :param command: what was run or sent
        :param started: on the monotonic clock, if it was earlier
        """
        if started is None:
            started = time.monotonic()
        outcome = 'FAILED'
        try:
            yield
            outcome = 'ok'
            self.steps += 1
        except errors.Interrupted:
            outcome = 'stopped'
            raise
        finally:
            seconds = time.monotonic() - started
            print(f'{outcome:7} {seconds:5.1f} s  {what:42}  {command}',
                  flush=True)


def failure(error: errors.DemoError) -> None:
    """Print why the demonstration ends, and the end of the log."""
    print(f'\nFAILED: {error}', flush=True)
    if error.log is None or not error.log.is_file():
        return
    lines = error.log.read_text(errors='replace').splitlines()
    telling = [line for line in lines if ERROR.search(line)] or lines
    print(f'\nThe end of {error.log}:')
    for line in telling[-TAIL:]:
        print(line[:WIDTH])
