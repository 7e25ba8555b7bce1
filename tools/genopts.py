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
"""Write the driver's options into etc/lightos.conf.sample.

oslo-config-generator finds options by the entry points of what is installed.
The driver is linked and not installed, so they are handed to it here.
"""

import pathlib
from unittest import mock

from oslo_config import cfg
from oslo_config import generator

from cinder.volume.drivers import lightos

SAMPLE = pathlib.Path(__file__).parent.parent / 'etc' / 'lightos.conf.sample'
NAMESPACE = 'cinder.volume.drivers.lightos'


def options() -> list[tuple[str, list[cfg.Opt]]]:
    return [('lightos', lightos.lightos_opts)]


def main() -> None:
    SAMPLE.parent.mkdir(exist_ok=True)
    with mock.patch.object(generator, '_get_raw_opts_loaders',
                           return_value=[(NAMESPACE, options)]):
        generator.main(['--namespace', NAMESPACE,
                        '--output-file', str(SAMPLE)])


if __name__ == '__main__':
    main()
