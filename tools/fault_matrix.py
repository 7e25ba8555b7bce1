#!/usr/bin/env python3
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
"""Measure what each fault costs, and write the table of the documentation.

    fault_matrix.py [FILE]      FILE: doc/source/admin/fault-matrix.rst

Each fault is made on a simulated cluster of three nodes (lightos_simulator)
under a driver with its default timeouts, in eventlet as Cinder runs it. What
is written is what was measured in this run, which takes some five minutes.
The environment has to be one that overlay.py has linked.
"""

import argparse
import datetime
import importlib.metadata
import pathlib
import platform
import re
import statistics
import sys
import textwrap
import time
from typing import Any, Callable, NamedTuple, Optional

TREE = pathlib.Path(__file__).resolve().parent.parent
# As a part of Cinder's package it would switch this process to eventlet.
sys.path.insert(0, str(TREE / 'cinder/tests/functional/lightos'))

import processes  # type: ignore[import-not-found]
from processes import call

DEFAULT = TREE / 'doc/source/admin/fault-matrix.rst'
HTML = '<html><body><h1>Bad Gateway</h1></body></html>'
# How many volumes are created one after the other, so that every node is met.
OPERATIONS = 6
UUID = re.compile(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')


class Bench(NamedTuple):
    """A driver and its cluster.

    :param other: a second cluster
    """

    simulator: processes.Simulator
    drivers: processes.Drivers
    other: Optional[processes.Simulator] = None


class Fault(NamedTuple):
    """A row of the table.

    :param strike: makes it happen
    :param during: what happens while the operations go on
    :param operations: how many there are
    :param calls: what is done instead of creating volumes
    :param options: of the driver, beside those that reach the cluster
    :param arguments: of the simulator
    :param two: whether there is a second cluster
    """

    name: str
    strike: Callable[[Bench], None]
    during: Optional[Callable[[Bench], None]] = None
    operations: int = OPERATIONS
    calls: Optional[list[processes.Call]] = None
    options: Optional[Callable[[Bench], dict[str, Any]]] = None
    arguments: tuple[str, ...] = ()
    two: bool = False


class Measured(NamedTuple):
    """What became of a fault.

    :param seconds: of each operation
    """

    fault: Fault
    seconds: list[float]
    errors: list[str]
    lines: list[str]


def mode(node: Optional[int], mode: str,
         **values: Any) -> Callable[[Bench], None]:
    """Put a node, or all of them, into a mode."""
    def strike(bench: Bench) -> None:
        for index in range(3) if node is None else [node]:
            bench.simulator.mode(index, mode, **values)
    return strike


def rule(action: str, node: Optional[int] = None,
         times: Optional[int] = None, **values: Any
         ) -> Callable[[Bench], None]:
    """Add a fault rule of the simulator."""
    def strike(bench: Bench) -> None:
        bench.simulator.fault(action, node=node, times=times, **values)
    return strike


def move(bench: Bench) -> None:
    bench.simulator.control('POST', '/nodes/1', address='127.0.0.21')


def back_after_ten_seconds(bench: Bench) -> None:
    time.sleep(10)
    bench.simulator.mend()


def restart(bench: Bench) -> None:
    for index in range(3):
        bench.simulator.mode(index, 'stopped')
        bench.simulator.mode(index, 'up')


def replace_token(bench: Bench) -> None:
    token = bench.simulator.control(
        'POST', '/tokens', scope='system', role='cluster-admin',
        lifetime=30 * 86400, name='next')['token']
    pathlib.Path(bench.simulator.told['tokens']['cluster-admin']).write_text(
        token)
    revoke(bench)


def revoke(bench: Bench) -> None:
    bench.simulator.control('POST', '/tokens', revoke='cluster-admin')


def expire(bench: Bench) -> None:
    bench.simulator.control('POST', '/clock', advance=20 * 365 * 86400)


def nothing(bench: Bench) -> None:
    pass


def wrong_ca(bench: Bench) -> dict[str, Any]:
    assert bench.other is not None
    return {'driver_ssl_cert_path': bench.other.told['ca_file']}


def wrong_name(bench: Bench) -> dict[str, Any]:
    return {'lightos_api_address': ['lightos.example.com'],
            'names': {'lightos.example.com':
                      bench.simulator.told['addresses'][0]}}


def two_clusters(bench: Bench) -> dict[str, Any]:
    assert bench.other is not None
    return {'driver_ssl_cert_verify': False,
            'lightos_api_address':
                bench.simulator.told['addresses'][:1] +
                bench.other.told['addresses'][:1]}


BAD_GATEWAY: dict[str, Any] = {'status': 502, 'body': HTML, 'execute': False}
SETUP = [call('setup')]

SHORT = [
    Fault('None', nothing),
    Fault('One node refuses connections', mode(1, 'stopped')),
    Fault('One node accepts connections and never answers',
          mode(1, 'hung')),
    Fault('One node reads each request and never answers', rule('hang', 1)),
    Fault('One node takes 2 seconds for each answer',
          mode(1, 'slow', delay=2)),
    Fault('One node answers 502 with HTML', rule('body', 1, **BAD_GATEWAY)),
    Fault('One node answers 200 with HTML', rule('html', 1)),
    Fault('One node answers 200 with nothing', rule('empty', 1)),
    Fault('One node answers 200 with JSON of the wrong type',
          rule('body', 1, body=[{'UUID': 5}], execute=False)),
    Fault('One node answers with a redirect',
          rule('status', 1, status=302, code=2,
               headers={'Location': 'https://192.0.2.1/'})),
    Fault('One node breaks off in the middle of each reply',
          rule('half-reply', 1)),
    Fault('One node closes the connection instead of an answer',
          rule('drop', 1)),
    Fault('One node answers 500 of LightOS (code 13)',
          rule('status', 1, status=500, code=13)),
    Fault('One node answers 503 of LightOS (code 14)',
          rule('status', 1, status=503, code=14)),
    Fault('429 with Retry-After: 2, once',
          rule('status', times=1, status=429, code=8,
               headers={'Retry-After': '2'})),
    Fault('All kept connections are closed', restart),
    Fault('One node gets another address', move),
    Fault('The token is replaced in its file, the old one revoked',
          replace_token),
    Fault('The reply to the creation of a volume is lost, once',
          rule('lose-reply', times=1, operation='CreateVolume')),
    Fault('The request to create a volume is lost, once',
          rule('drop', times=1, operation='CreateVolume')),
    Fault('The request to create a volume hangs, once',
          rule('hang', times=1, operation='CreateVolume')),
    Fault('The cluster fails to make a volume, once',
          rule('fail-object', times=1, operation='CreateVolume')),
]

# Each of these takes all the time that an operation has.
LONG = [
    Fault('All nodes refuse connections', mode(None, 'stopped'),
          operations=1),
    Fault('All nodes hang', mode(None, 'hung'), operations=1),
    Fault('All nodes answer 502 with HTML', rule('body', **BAD_GATEWAY),
          operations=1),
    Fault('All nodes answer 503 of LightOS (code 14)',
          rule('status', status=503, code=14), operations=1),
    Fault('All nodes refuse connections for 10 seconds',
          mode(None, 'stopped'), back_after_ten_seconds, operations=1),
]

CONFIGURATION = [
    Fault('The certificates are of another CA', nothing, calls=SETUP,
          options=wrong_ca, two=True),
    Fault('The certificates do not have the configured name', nothing,
          calls=SETUP, options=wrong_name),
    Fault('The token is revoked', revoke, operations=1),
    Fault('The token has expired', expire, operations=1),
    Fault('lightos_api_address names two clusters', nothing, calls=SETUP,
          options=two_clusters, two=True,
          arguments=('--no-multi-tenancy',)),
]


def set_up(fault: Fault, drivers: processes.Drivers) -> Bench:
    simulator = processes.Simulator(*fault.arguments)
    other = None
    if fault.two:
        other = processes.Simulator(
            '--first-address', '127.0.0.31',
            '--port', str(simulator.told['port']), *fault.arguments)
    return Bench(simulator, drivers, other)


def begin(fault: Fault, bench: Bench) -> None:
    """Have a driver meet the fault."""
    options = bench.simulator.options()
    if fault.options:
        options.update(fault.options(bench))
    name = bench.drivers.open(**options)
    if fault.calls is None:
        bench.drivers.run(name, call('setup'))
    fault.strike(bench)
    bench.drivers.begin(name, *(fault.calls or [
        call('create', name=str(number))
        for number in range(fault.operations)]))
    if fault.during:
        fault.during(bench)


def finish(fault: Fault, bench: Bench) -> Measured:
    report = bench.drivers.finish()
    bench.simulator.end()
    if bench.other is not None:
        bench.other.end()
    print('%-55s %7.2f s' % (fault.name, report.slowest), flush=True)
    return Measured(fault, [each.seconds for each in report.outcomes],
                    report.errors, report.said('WARNING', 'ERROR'))


def measure() -> list[Measured]:
    """Make every fault: the short ones in turn, the long ones at once."""
    measured = []
    drivers = processes.Drivers('eventlet')
    own = [processes.Drivers('eventlet') for _fault in LONG]
    try:
        drivers.enable_database()
        for fault in SHORT:
            bench = set_up(fault, drivers)
            begin(fault, bench)
            measured.append(finish(fault, bench))
        benches = []
        for fault, each in zip(LONG, own):
            each.enable_database()
            benches.append(set_up(fault, each))
        for fault, bench in zip(LONG, benches):
            begin(fault, bench)
        for fault, bench in zip(LONG, benches):
            measured.append(finish(fault, bench))
        for fault in CONFIGURATION:
            bench = set_up(fault, drivers)
            begin(fault, bench)
            measured.append(finish(fault, bench))
    finally:
        for each in [drivers, *own]:
            each.end()
    return measured


HEADER = '''\
..
   Written by tools/fault_matrix.py: change it there.

===================
What a fault costs
===================

Each line is a fault that was made on a simulated cluster of three nodes while
the driver created volumes of 1 GiB on it: {operations} of them, one after the
other, where the fault leaves a node that serves. The option
``lightos_api_service_timeout`` was 30 seconds, its default, so that an
operation had 100 seconds in all. The figures are those of one run with
Cinder {cinder} and Python {python} on {date}. The simulator answers in
milliseconds: what a fault adds is what counts here. Where certificates or
addresses are wrong it is the start of the driver that was measured. To measure
again:

.. code-block:: console

   $ tox -e venv -- python tools/fault_matrix.py

A node that fails is set aside: its line in the log appears once, however many
operations would have met it. It is tried again by one operation at a time,
after a pause that doubles from one second up to a minute, and a second line
says when it answers again.

.. list-table::
   :header-rows: 1
   :widths: 24 10 10 56

   * - Fault
     - Longest operation
     - Median
     - What the operator sees
'''


def literal(text: str) -> str:
    """A text as a literal of reStructuredText, short and without UUIDs."""
    text = UUID.sub('<UUID>', ' '.join(text.split())).replace('`', "'")
    return '``%s``' % text


def entry(marker: str, lines: list[str]) -> str:
    """A cell of the table."""
    paragraphs = [textwrap.fill(line, 72, break_long_words=False,
                                break_on_hyphens=False) for line in lines]
    return textwrap.indent('\n\n'.join(paragraphs), '       ').replace(
        '       ', '     ' + marker, 1) + '\n'


def row(measured: Measured) -> str:
    seen = ['The log: %s' % literal(line)
            for line in dict.fromkeys(measured.lines)]
    seen += ['The operation fails: %s' % literal(error.partition(': ')[2])
             for error in dict.fromkeys(measured.errors)]
    cells = [measured.fault.name, '%.2f s' % max(measured.seconds),
             '%.2f s' % statistics.median(measured.seconds)
             if len(measured.seconds) > 1 else '(one)']
    return '   * - ' + '\n     - '.join(cells) + '\n' + entry(
        '- ', seen or ['Nothing.'])


def document(measured: list[Measured]) -> str:
    text = HEADER.format(
        operations=OPERATIONS, date=datetime.date.today().isoformat(),
        cinder=importlib.metadata.version('cinder'),
        python=platform.python_version())
    return text + ''.join(map(row, measured))


def main() -> None:
    parser = argparse.ArgumentParser(
        description='Measure what each fault costs.')
    parser.add_argument('file', nargs='?', type=pathlib.Path,
                        default=DEFAULT)
    arguments = parser.parse_args()
    arguments.file.parent.mkdir(exist_ok=True)
    with arguments.file.open('w') as file:
        file.write(document(measure()))


if __name__ == '__main__':
    main()
