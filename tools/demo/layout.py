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
"""Where each file of a demonstration is, below the one directory."""

import pathlib
import shlex
from typing import NamedTuple, Optional

from demo import arguments


class Layout(NamedTuple):
    """The files below the directory of the demonstration.

    What is in run/ belongs to one run and goes when the next one starts.

    :param prefix: of an environment that is elsewhere, if it is
    """
    directory: pathlib.Path
    prefix: Optional[pathlib.Path] = None

    @property
    def lock(self) -> pathlib.Path:
        return self.directory / 'lightos-demo.lock'

    @property
    def environment(self) -> pathlib.Path:
        return self.prefix or self.directory / 'venv'

    @property
    def programs(self) -> pathlib.Path:
        return self.environment / 'bin'

    @property
    def python(self) -> pathlib.Path:
        return self.programs / 'python'

    @property
    def logs(self) -> pathlib.Path:
        return self.directory / 'logs'

    def log(self, name: str) -> pathlib.Path:
        return self.logs / f'{name}.log'

    @property
    def run(self) -> pathlib.Path:
        return self.directory / 'run'

    def command(self, *options: str) -> str:
        """Return the command line of run_demo.sh for this directory."""
        words = [str(arguments.TREE / 'run_demo.sh'), *options]
        if self.directory != arguments.DIRECTORY:
            words += ['--directory', str(self.directory)]
        return shlex.join(words)
