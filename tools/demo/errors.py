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
"""What ends a demonstration early."""

import pathlib
import signal
from typing import Optional

# What asks a program to end.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoError(Exception):
    """The demonstration cannot go on; the text says why.

    :param log: the file that tells more
    """

    def __init__(self, text: str, log: Optional[pathlib.Path] = None) -> None:
        super().__init__(text)
        self.log = log


class Interrupted(BaseException):
    """A signal asks to end; nothing but the cleaning up may catch it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number
