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
"""A result as tables, in the terminal and in the documentation."""

import pathlib
import textwrap
from typing import Any, Iterator, NamedTuple, Optional, Sequence

from benchmark import aims
from benchmark import plan

Row = dict[str, Any]

PAGE = 'benchmark.rst'
MIB = 2 ** 20
TASKS = {'stats': 'statistics', 'service_start': 'service start',
         'list': 'list of all volumes',
         'manageable': 'first page of manageable volumes',
         'audit': 'audit, the whole process'}
MODES = {'up': 'none', 'hung': 'one hangs', 'stopped': 'one is dead'}
MET = {True: 'met', False: 'not met', None: 'not measured'}


class Table(NamedTuple):
    """A table.

    :param key: by which the page refers to it
    """

    key: str
    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def text(self) -> str:
        """For a terminal."""
        widths = [max(map(len, column))
                  for column in zip(self.header, *self.rows)]
        return '\n'.join([self.title, '', *(
            '  '.join('%-*s' % pair for pair in zip(widths, line)).rstrip()
            for line in (self.header, *self.rows))])

    def rst(self) -> str:
        """For the documentation."""
        lines = ['.. list-table:: ' + self.title, '   :header-rows: 1', '']
        for cells in (self.header, *self.rows):
            for place, cell in enumerate(cells):
                marker = '     - ' if place else '   * - '
                # A "-" in a cell would be a list.
                lines += textwrap.wrap(
                    cell, 78, initial_indent=marker,
                    subsequent_indent='       ', break_long_words=False,
                    break_on_hyphens=False) or [marker.rstrip()]
        return '\n'.join(lines)


def tables(result: Row) -> Iterator[Table]:
    """All tables of what was measured."""
    yield Table('aims', 'The aims', ('Aim', 'Reached', 'Outcome'), [
        (aim.text, aim.reached if aim.met is not None else '', MET[aim.met])
        for aim in aims.aims(result)])
    settings = dict.fromkeys((each['work'], each['latency'])
                             for each in aims.rows(result, 'sweep'))
    for work, latency in settings:
        yield _sweep(result, work, latency)
    if 'concurrency' in result:
        yield _concurrency(result)
    if 'trouble' in result:
        yield _trouble(result)
    if 'growth' in result:
        yield _growth(result)
    if 'floor' in result:
        yield Table(
            'floor', 'One round trip without a driver',
            ('Latency of the network', 'Round trip',
             'CPU time of the simulator'),
            [(_ms(each['latency']), _ms(each['seconds']),
              _ms(each['simulator_cpu'])) for each in result['floor']])


def table(result: Row) -> str:
    """All tables for a terminal."""
    return '\n\n'.join(each.text() for each in tables(result))


def _sweep(result: Row, work: float, latency: float) -> Table:
    lines = []
    for ours in aims.rows(result, 'sweep', driver='ours', work=work,
                          latency=latency):
        other = aims.beside(result, 'sweep', ours)
        assert other is not None
        share = aims.cpu_share(result, ours)
        lines.append((
            ours['operation'], _ms(aims.limit(result, ours)),
            _spread(ours), '%.2f' % aims.over_limit(result, ours),
            _spread(other),
            '%s / %d / %s' % (
                _count(ours, 'requests'),
                plan.OPERATIONS[ours['operation']].requests,
                _count(other, 'requests')),
            '%s / %s' % (_count(ours, 'connections'),
                         _count(other, 'connections')),
            '%s / %s' % (_count(ours, 'handshakes'),
                         _count(other, 'handshakes')),
            '%s / %s' % (_median(ours, 'cpu'), _median(other, 'cpu')),
            '' if share is None else '%.2f' % share))
    return Table(
        'sweep-%g-%g' % (work, latency),
        'One operation at a time: %g s of work, %g ms of latency' % (
            work, 1000 * latency),
        ('Operation', 'Limit', 'Ours', 'to limit', 'Release',
         'Requests: ours / fewest / release', 'Connections',
         'TLS handshakes', 'CPU time', 'CPU share'), lines)


def _concurrency(result: Row) -> Table:
    lines = []
    for ours in aims.rows(result, 'concurrency', driver='ours'):
        other = aims.beside(result, 'concurrency', ours)
        assert other is not None
        count = ours['count']
        lines.append((
            ours['threading'], '%g s' % ours['work'], str(count),
            _spread(ours), _spread(other),
            *('%.1f / %.1f' % (
                aims.Spread.of(ours['runs'], field).median / count,
                aims.Spread.of(other['runs'], field).median / count)
              for field in ('requests', 'handshakes')),
            '%.1f / %.1f ms' % tuple(
                aims.Spread.of(each['runs'], 'cpu').median * 1000 / count
                for each in (ours, other)),
            '%d %% / %d %%' % tuple(
                100 * aims.Spread.of(each['runs'], 'simulator_cpu').median /
                aims.Spread.of(each['runs'], 'seconds').median
                for each in (ours, other))))
    return Table(
        'concurrency', 'Volumes created at once, until the last is there',
        ('Threads', 'Work', 'At once', 'Ours', 'Release',
         'Requests for each: ours / release', 'TLS handshakes for each',
         'CPU time for each', 'CPU in use by the simulator'), lines)


def _trouble(result: Row) -> Table:
    lines = []
    for ours in aims.rows(result, 'trouble', driver='ours'):
        other = aims.beside(result, 'trouble', ours)
        assert other is not None
        lines.append((
            ours['threading'], MODES[ours['mode']],
            _spread(ours), _spread(other),
            *('%s / %s' % (_count(ours, field), _count(other, field))
              for field in ('node_requests', 'late', 'failed')),
            '%s / %s' % (_median(ours, 'slowest'),
                         _median(other, 'slowest'))))
    return Table(
        'trouble', 'Volumes created while a node is in trouble',
        ('Threads', 'Node', 'Ours', 'Release',
         'Requests to the node: ours / release', 'Longer than the timeout',
         'Failed', 'Longest'), lines)


def _growth(result: Row) -> Table:
    return Table(
        'growth', 'What is done with all volumes, or beside them',
        ('Task', 'Driver', 'Volumes', 'Time', 'CPU time', 'Requests',
         'Memory at most'),
        [(TASKS[each['task']], each['driver'], '%d' % each['volumes'],
          _spread(each), _median(each, 'cpu'), _count(each, 'requests'),
          '%.2f MiB' % (each['memory'] / MIB))
         for task in TASKS for driver in plan.DRIVERS
         for each in aims.rows(result, 'growth', task=task, driver=driver)])


def _ms(seconds: float) -> str:
    return '%.*f ms' % (0 if seconds >= 0.1 else 1 if seconds >= 0.001 else
                        2, 1000 * seconds)


def _spread(row: Row) -> str:
    spread = aims.Spread.of(row['runs'], 'seconds')
    if len(row['runs']) == 1:
        return _ms(spread.median)
    return '%s (%s to %s)' % tuple(_ms(each) for each in spread)


def _median(row: Row, field: str) -> str:
    return _ms(aims.Spread.of(row['runs'], field).median)


def _count(row: Row, field: str) -> str:
    return '%g' % aims.Spread.of(row['runs'], field).median


HEAD = '''\
..
   Written by tools/benchmark: change it in tools/benchmark/report.py.

=========
Benchmark
=========

How fast the driver is, measured side by side with the driver that Cinder's
release has, on one simulated cluster of three nodes. The driver's own share
of an operation's time is to vanish: what remains is the *limit*, which is the
cluster's work and the fewest round trips that the driver's promises allow.

{conditions}

To measure again, and to write this page anew:

.. code-block:: console

   $ tox -e benchmark -- run benchmark.json
   $ tox -e benchmark -- report benchmark.json

With ``--quick`` the first command takes a minute. ``--part sweep`` measures
only that part and leaves the others in the file as they are: ``floor``,
``sweep``, ``concurrency``, ``trouble`` and ``growth`` are the parts.
``table benchmark.json`` shows the tables. Nothing of this asserts a time.
What is exact, the number of requests, is checked by the suite ``requests``
(:doc:`testing`). To see where time goes, ``py-spy record -p PID`` takes the
process of a driver; it is in the environment ``benchmark``.
'''

CONDITIONS = '''\
The figures are of one run of {minutes:.0f} minutes on {date}: {cpus} CPUs
({cpu}), Linux {kernel}, Cinder {cinder}, Python {python}, requests {requests},
urllib3 {urllib3}. The simulator and the driver that was measured shared these
CPUs with whatever else ran: the load was {before:.1f} in the minute before the
run and {after:.1f} in the last minute of it. Where several figures are given
they are the median, and the least and the most.
'''

HOW = '''\
How it is measured
------------------

Each driver has a process of its own, which calls the methods that Cinder's
volume manager calls. In that of the release's driver the package of this tree
is hidden, so that its Cinder has only that one. Both drivers take turns on the
same cluster, so that a disturbance meets both. Requests, connections and TLS
handshakes are counted in the libraries below both, CPU time is that of the
driver's process.

The conditions favour the release's driver in these points:

- It does not give its certificate file to the library below, so it cannot
  verify the simulator's certificates and was spared that; ours verified.
- The simulator ignores the fields that it sends and the API does not have.
- Latency of the network is made by a later answer. It does not count for the
  round trips of a TCP or TLS handshake, of which that driver makes one for
  each request.
- It does not wait until a volume has its new size, and its statistics ask the
  cluster nothing.

'''

CERTIFICATES = '''\
Most of its CPU time goes into reading the CA certificates of the system into
a new TLS context (``ssl.SSLContext.load_default_certs``): {reading} of the
{all} that it takes for each request with an instant cluster.
'''

WAITING = '''\
Whether to poll for many at once
--------------------------------

The driver looks at each volume that it waits for with a request of its own.
One list in place of many requests was weighed and left out:

- Pauses are a tenth of the time waited so far, counted in real time. Where
  many wait the CPU is what is scarce, looks come later and each volume takes
  fewer of them: see the requests for each volume in the table above.
- LightOS has no list of certain volumes. A page shows 1,000 volumes in the
  order of their UUIDs, so that volumes that were just created are spread over
  all pages.

{figures}
'''

GROWTH = '''\
Service start is what the volume service asks of the driver before it serves,
with so many volumes in Cinder's database: ``do_setup`` (1 request),
``init_capabilities``, which reads the statistics (2), and nothing for a
volume. The nodes are known here. A service that starts sends more, 8 requests
with three nodes: it asks each node whether it is of this cluster (3), and
Cinder reads the statistics again, for the scheduler (2). To read the volumes
from the database, which Cinder does, is not a part of the time.

Manageable volumes are sorted and cut into pages by Cinder's
``paginate_entries_list``, which takes the whole list: so the driver keeps all
of it, and the memory grows with the volumes, though a page is all that is
asked for. The audit keeps what the cluster lists, too.
'''

SIMULATOR = '''\
A client that holds one connection and does not look at the answers needs the
time of this table for a round trip; the limit is computed with it. In the
busiest run above the simulator used {busy:d} % of one CPU: it is not what
was waited for.
'''


def write(result: Row, directory: pathlib.Path) -> None:
    """Write the page of the documentation, without its plots."""
    (directory / PAGE).write_text('\n'.join(_page(result)))


def _page(result: Row) -> Iterator[str]:
    found = {each.key: each.rst() + '\n' for each in tables(result)}
    machine = result['machine']
    yield HEAD.format(conditions=_filled(CONDITIONS.format(
        **machine, before=result['load_before'][0],
        after=result['load_after'][0], minutes=result['seconds'] / 60)))
    yield _section('The aims')
    yield found['aims']
    yield _reasons(result)
    yield HOW
    other = aims.row(result, 'sweep', driver='release', work=0, latency=0,
                     operation='create')
    if other is not None:
        yield _filled(CERTIFICATES.format(
            reading=_ms(machine['load_certificates']),
            all=_ms(aims.Spread.of(other['runs'], 'cpu').median /
                    aims.Spread.of(other['runs'], 'requests').median))) + '\n'
    yield _section('One operation at a time')
    yield _filled('The column *to limit* is our time divided by the limit. '
                  'A time of the release that is below the limit is of an '
                  'operation that ends before the cluster has done it.') + '\n'
    yield _plot('sweep', 'Time of an operation as a multiple of the limit')
    yield _plot('cpu', 'CPU time of the driver for one operation')
    for key, text in found.items():
        if key.startswith('sweep'):
            yield text
    yield _section('Many at once')
    yield _plot('concurrency', 'Volumes created at once')
    yield found['concurrency']
    yield _waiting(result)
    yield _section('A node hangs, a node is dead')
    yield _filled(
        'There are %d threads, each of which creates %d volumes one after the '
        'other, from the moment on at which one of the three nodes hangs or '
        'is stopped. ``lightos_api_service_timeout`` is %d s here; its '
        'default is 30.' % (result['callers'], result['rounds'],
                            plan.TROUBLE_TIMEOUT)) + '\n'
    yield found['trouble']
    yield _section('As the cluster grows')
    yield _plot('growth', 'Time as the number of volumes grows')
    yield GROWTH
    yield found['growth']
    busy = max((aims.Spread.of(each['runs'], 'simulator_cpu').median /
                aims.Spread.of(each['runs'], 'seconds').median
                for each in aims.rows(result, 'concurrency', driver='ours')),
               default=0)
    yield _section('What the simulator costs')
    yield _filled(SIMULATOR.format(busy=int(100 * busy))) + '\n'
    yield found['floor'].rstrip()
    yield ''


def _filled(text: str) -> str:
    return textwrap.fill(text, 79, break_long_words=False,
                         break_on_hyphens=False)


def _section(title: str) -> str:
    return '%s\n%s\n' % (title, '-' * len(title))


def _plot(name: str, caption: str) -> str:
    return ('.. figure:: benchmark-%s.svg\n   :alt: %s\n\n   %s\n'
            % (name, caption, caption))


def _reasons(result: Row) -> str:
    """Why an aim is not met, as far as it is known beforehand."""
    return REASONS if any(
        aim.met is False for aim in aims.aims(result)) else ''


REASONS = '''\
Where the share of CPU time is above a third, the other driver sends one
request and does not look again, or it looks once a second: it succeeds before
the cluster has done the work, or up to a second after it. This driver looks
every tenth of the time that it has waited, which is what keeps it within 1.15
times the limit.
'''


def _waiting(result: Row) -> str:
    page: Optional[Row] = aims.row(result, 'growth', driver='ours',
                                   task='list', volumes=1000)
    look = aims.row(result, 'sweep', driver='ours', operation='stats',
                    work=0, latency=0)
    if page is None or look is None:
        return ''
    # The list ends with an empty page, and statistics are two requests.
    one = aims.Spread.of(look['runs'], 'cpu').median / 2
    whole = aims.Spread.of(page['runs'], 'cpu').median - one
    return WAITING.format(figures=_filled(
        'A page took the driver %s of CPU time and a single look %s: a list '
        'pays only when more than %.0f volumes of one page are waited for. Of '
        'the %d waiters of this benchmark a cluster with 50,000 volumes has 5 '
        'in each page.' % (_ms(whole), _ms(one), whole / one, aims.MANY)))
