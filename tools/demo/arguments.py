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
"""The command line of run_demo.sh."""

import argparse
import pathlib
from typing import NamedTuple, Optional, Sequence

TREE = pathlib.Path(__file__).resolve().parents[2]
DIRECTORY = TREE / '.demo'


class RealCluster(NamedTuple):
    """A LightOS cluster to use instead of the simulator.

    :param addresses: of nodes of the cluster
    :param port: of the management API on them
    :param jwt_file: holds the token; None for a cluster that takes none
    :param ca_file: to verify the cluster's certificate; None leaves it
        unverified
    """
    addresses: tuple[str, ...]
    port: int
    jwt_file: Optional[pathlib.Path]
    ca_file: Optional[pathlib.Path]


class Arguments(NamedTuple):
    """What the demonstration was asked to do.

    :param directory: takes every file of the demonstration
    :param keep: leave Cinder and the simulator running
    :param installed: use the Cinder beside this Python, which has the driver
    :param native_threads: run that Cinder without eventlet
    :param stop: do nothing but stop what an earlier --keep left running
    :param cluster: the cluster to use; None is the simulator
    """
    directory: pathlib.Path
    keep: bool
    installed: bool
    native_threads: bool
    stop: bool
    cluster: Optional[RealCluster]


def _readable_file(text: str) -> pathlib.Path:
    path = pathlib.Path(text).resolve()
    try:
        path.open('rb').close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f'{path}: {error.strerror}')
    return path


def parse(argv: Sequence[str]) -> Arguments:
    """Read the command line; exit with 2 if it is wrong."""
    parser = argparse.ArgumentParser(
        prog='run_demo.sh',
        description='Run the LightOS driver in a Cinder of its own, against '
                    'a simulated LightOS cluster or a real one, and compare '
                    'what Cinder says with what the cluster holds.')
    parser.add_argument(
        '--directory', type=pathlib.Path, default=DIRECTORY,
        help='for all files of the demonstration (default: %(default)s)')
    parser.add_argument(
        '--keep', action='store_true',
        help='leave all running at the end and say how to use it')
    parser.add_argument(
        '--stop', action='store_true',
        help='stop what --keep left running and do nothing else')
    parser.add_argument(
        '--installed', action='store_true',
        help='use the Cinder that is installed beside this Python, with this '
             'driver, in place of an environment of its own')
    parser.add_argument(
        '--native-threads', action='store_true',
        help='run Cinder in native threads, which it can from 29 on, in place '
             'of eventlet')
    real = parser.add_argument_group(
        'a real cluster', 'Only the volumes that the demonstration makes are '
        'looked at, and no node is stopped.')
    real.add_argument('--address', metavar='A,B,C',
                      help='addresses of its nodes')
    real.add_argument('--jwt-file', type=_readable_file, metavar='FILE',
                      help='holds a token for it')
    real.add_argument('--ca-file', type=_readable_file, metavar='FILE',
                      help='to verify its certificate, else it is not')
    real.add_argument('--port', type=int, default=443,
                      help='of its management API (default: %(default)s)')
    given = parser.parse_args(argv)
    cluster = None
    if given.address:
        addresses = tuple(filter(None, given.address.split(',')))
        cluster = RealCluster(addresses, given.port, given.jwt_file,
                              given.ca_file)
    elif given.jwt_file or given.ca_file:
        parser.error('--jwt-file and --ca-file need --address')
    return Arguments(given.directory.resolve(), given.keep, given.installed,
                     given.native_threads, given.stop, cluster)
