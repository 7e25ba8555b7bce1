# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""``python -m lightos_simulator``: run a LightOS cluster in this process."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
import ipaddress
import json
import logging
import pathlib
import signal
import sys
from typing import Any
from typing import NoReturn

from lightos_simulator import dataplane
from lightos_simulator import loopdev
from lightos_simulator import nvmet_plane
from lightos_simulator import settings
from lightos_simulator import simulator

_BAD_ARGUMENT = 2
_MAX_NODES = 64
_DATA_PLANES = {'none': dataplane.DataPlane, 'loop': loopdev.LoopDataPlane,
                'nvmet': nvmet_plane.NvmetDataPlane}


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(_BAD_ARGUMENT, '%s: error: %s\n' % (self.prog, message))


def _number(low: int, high: int) -> Any:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit()
                and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(
                '%r is not a number from %d to %d' % (text, low, high))
        return int(text)
    return number


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            '%r is not an IP address' % text) from None


def _work_time(text: str) -> tuple[str, float]:
    name, found, number = text.rpartition('=')
    try:
        pair = (name if found else 'default', float(number))
        settings.WorkTimes().set(dict([pair]))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            '%r: %s; operations: %s' % (text, error, ', '.join(
                settings.WORKING_OPERATIONS))) from None
    return pair


def _assumption(text: str) -> tuple[str, bool]:
    name, _, word = text.partition('=')
    if name not in settings.Assumptions.names() or word not in ('on', 'off'):
        raise argparse.ArgumentTypeError(
            '%r is not NAME=on|off; names: %s'
            % (text, ', '.join(settings.Assumptions.names())))
    return name, word == 'on'


def _parser() -> argparse.ArgumentParser:
    default = settings.Assumptions()
    assumptions = '\n'.join(
        '  %s (%s): %s' % (
            name, 'on' if getattr(default, name.replace('-', '_')) else 'off',
            meaning)
        for name, meaning in default.names().items())
    parser = _Parser(
        prog='lightos_simulator', description='A LightOS cluster in one '
        'process: its management API, on several nodes.',
        epilog='assumptions (and their defaults):\n' + assumptions,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--nodes', type=_number(1, _MAX_NODES),
                        help='how many nodes (default: %d)'
                        % simulator.DEFAULT_NODES)
    parser.add_argument('--first-address', type=_address,
                        default='127.0.0.11', metavar='ADDRESS',
                        help='of the first node; the others take those that '
                             'follow (default: %(default)s)')
    parser.add_argument('--first-data-address', type=_address,
                        metavar='ADDRESS',
                        help='where the first node serves NVMe (default: '
                             'its address)')
    parser.add_argument('--port', type=_number(0, 65535), default=0,
                        help='of the API on every node (default: any free)')
    parser.add_argument('--control-port', type=_number(0, 65535), default=0,
                        metavar='PORT',
                        help='of the control interface (default: any free)')
    parser.add_argument('--directory', type=pathlib.Path,
                        help='for CA certificate and tokens (default: a '
                             'temporary one)')
    parser.add_argument('--project', action='append', default=[],
                        metavar='NAME', help='a project beside "default"; '
                                             'can be given several times')
    parser.add_argument('--state-file', type=pathlib.Path, metavar='FILE',
                        help='keeps the state across restarts')
    parser.add_argument('--capacity-gib', type=_number(1, 2 ** 33),
                        default=10240, metavar='GIB',
                        help='what the cluster can hold '
                             '(default: %(default)s)')
    parser.add_argument('--no-multi-tenancy', action='store_true',
                        help='the cluster takes no token')
    parser.add_argument('--work-time', type=_work_time, action='append',
                        default=[], metavar='[OPERATION=]SECONDS',
                        help='how long the cluster works on an operation, or '
                             'on all (default: 0)')
    parser.add_argument('--assume', type=_assumption, action='append',
                        default=[], metavar='NAME=on|off',
                        help='switch an assumption about LightOS, see below')
    parser.add_argument('--data-plane', default='none',
                        choices=sorted(_DATA_PLANES),
                        help='what keeps the content of volumes (default: '
                             '%(default)s)')
    parser.add_argument('--log-level', default='warning',
                        choices=['debug', 'info', 'warning', 'error'])
    return parser


def _options(arguments: argparse.Namespace) -> simulator.Options:
    assumptions = settings.Assumptions()
    for name, on in arguments.assume:
        assumptions = assumptions.with_switch(name, on)
    return simulator.Options(
        nodes=arguments.nodes, first_address=arguments.first_address,
        first_data_address=arguments.first_data_address or '',
        port=arguments.port, control_port=arguments.control_port,
        directory=arguments.directory, projects=tuple(arguments.project),
        state_file=arguments.state_file,
        capacity=simulator.gib(arguments.capacity_gib),
        multi_tenancy=not arguments.no_multi_tenancy,
        work_times=dict(arguments.work_time), assumptions=assumptions,
        data=_DATA_PLANES[arguments.data_plane]())


def _table(description: dict[str, Any]) -> str:
    rows = [('LightOS cluster', description['cluster_uuid']),
            ('subsystem NQN', description['subsystem_nqn'])]
    rows += [('node %d' % index, 'https://%s' % endpoint)
             for index, endpoint in enumerate(description['endpoints'])]
    rows += [('control', description['control']),
             ('CA certificate', description['ca_file'])]
    rows += [('token %s' % name, path)
             for name, path in description['tokens'].items()]
    width = max(len(name) for name, _ in rows)
    return '\n'.join('%-*s  %s' % (width, name, value)
                     for name, value in rows)


async def _run(options: simulator.Options) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    running = simulator.Simulator(options)
    await running.start()
    try:
        sys.stdout.write(json.dumps(running.describe()) + '\n')
        sys.stdout.flush()
        sys.stderr.write(_table(running.describe()) + '\n')
        sys.stderr.flush()
        await stopped.wait()
    finally:
        await running.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM.

    :return: the exit status: 0, or 2 if it cannot start
    """
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(level=parsed.log_level.upper(),
                        format='%(asctime)s %(levelname)s %(message)s')
    try:
        asyncio.run(_run(_options(parsed)))
    except simulator.StartError as error:
        sys.stderr.write('lightos_simulator: error: %s\n' % error)
        return _BAD_ARGUMENT
    return 0


if __name__ == '__main__':
    sys.exit(main())
