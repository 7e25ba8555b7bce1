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
"""What a result says: medians, ratios, and whether the aims are met."""

import statistics
from typing import Any, Iterator, NamedTuple, Optional, Sequence

from benchmark import plan

Row = dict[str, Any]

MOST_OVER_LIMIT = {0.05: 1.3, 0.5: 1.15, 5: 1.15}
# How much longer many creations at once may take than one alone.
MOST_AT_ONCE = {0.5: 3.0, 5: 1.5}
MANY = 256
CPU_SHARE = 1 / 3
# Connections that the driver keeps to a node, and nodes of the cluster.
CONNECTIONS = 64 * 3


class Spread(NamedTuple):
    """Several runs of one measurement."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, runs: Sequence[Row], field: str) -> 'Spread':
        values = [run[field] for run in runs]
        return cls(statistics.median(values), min(values), max(values))


class Aim(NamedTuple):
    """Something that was aimed at.

    :param met: None if it was not measured
    """

    text: str
    reached: str
    met: Optional[bool]


def rows(result: Row, part: str, **wanted: Any) -> list[Row]:
    """The rows of a part that have these values."""
    return [row for row in result.get(part, ())
            if all(row.get(name) == value for name, value in wanted.items())]


def row(result: Row, part: str, **wanted: Any) -> Optional[Row]:
    """The first of them."""
    return next(iter(rows(result, part, **wanted)), None)


def round_trip(result: Row, latency: float) -> float:
    """Seconds that one round trip took without a driver."""
    found = row(result, 'floor', latency=latency)
    return float(found['seconds']) if found else 0.0


def limit(result: Row, measured: Row) -> float:
    """The work and the fewest round trips of an operation, in seconds."""
    operation = plan.OPERATIONS[measured['operation']]
    work: float = operation.works * measured['work']
    return work + operation.requests * round_trip(result,
                                                  measured['latency'])


def over_limit(result: Row, measured: Row) -> float:
    """How many times the limit an operation took."""
    return (Spread.of(measured['runs'], 'seconds').median /
            limit(result, measured))


def beside(result: Row, part: str, measured: Row) -> Optional[Row]:
    """What the release's driver did where ours was measured."""
    return row(result, part, driver='release', **{
        name: measured[name] for name in
        ('work', 'latency', 'operation', 'threading', 'count', 'mode',
         'volumes', 'task') if name in measured})


def cpu_share(result: Row, measured: Row) -> Optional[float]:
    """Our CPU time for an operation as a share of the other driver's."""
    other = beside(result, 'sweep', measured)
    if other is None or not Spread.of(other['runs'], 'requests').median:
        return None
    return (Spread.of(measured['runs'], 'cpu').median /
            Spread.of(other['runs'], 'cpu').median)


def aims(result: Row) -> Iterator[Aim]:
    """The aims, in the order in which they are set."""
    yield _fewest_requests(result)
    for work, most in MOST_OVER_LIMIT.items():
        yield _near_limit(result, work, most)
    yield _no_handshake(result)
    for work, most in MOST_AT_ONCE.items():
        for threading in plan.THREADING:
            yield _at_once(result, work, most, threading)
    yield _waiting_is_cheap(result)
    yield _little_cpu(result)
    yield _one_timeout(result)
    yield _stats_do_not_grow(result)
    yield _lists_do_not_grow(result)


def _fewest_requests(result: Row) -> Aim:
    found = rows(result, 'sweep', driver='ours', work=0)
    more = {'%s %d' % (each['operation'], run['requests'])
            for each in found for run in each['runs']
            if run['requests'] != plan.OPERATIONS[each['operation']].requests}
    return Aim(
        'With an instant cluster no operation sends more than the fewest '
        'requests: ' + ', '.join(
            '%s %d' % (name, operation.requests)
            for name, operation in plan.OPERATIONS.items()),
        'more: ' + ', '.join(sorted(more)) if more else 'so many each time',
        not more if found else None)


def _near_limit(result: Row, work: float, most: float) -> Aim:
    found = [(over_limit(result, each), each['operation']) for each
             in rows(result, 'sweep', driver='ours', work=work, latency=0)
             if plan.OPERATIONS[each['operation']].works]
    worst = max(found, default=(0, ''))
    return Aim(
        '%g s of work: at most %g times the limit' % (work, most),
        '%.2f to %.2f times (%s)' % (min(found)[0], *worst) if found else '',
        worst[0] <= most if found else None)


def _no_handshake(result: Row) -> Aim:
    found = [run for part in ('sweep', 'concurrency')
             for each in rows(result, part, driver='ours')
             for run in each['runs']]
    requests = sum(run['requests'] for run in found)
    handshakes = sum(run['handshakes'] for run in found)
    drivers = len({each['threading'] for each
                   in rows(result, 'concurrency')}) or 1
    return Aim(
        'No TLS handshake after the first on each pooled connection',
        '%d handshakes in %d requests, all of them while the pools, of %d '
        'connections, were still growing' % (
            handshakes, requests, CONNECTIONS * drivers),
        handshakes <= CONNECTIONS * drivers if found else None)


def _at_once(result: Row, work: float, most: float, threading: str) -> Aim:
    one, many = (row(result, 'concurrency', driver='ours', work=work,
                     threading=threading, count=count)
                 for count in (1, MANY))
    ratio = (Spread.of(many['runs'], 'seconds').median /
             Spread.of(one['runs'], 'seconds').median
             if one and many else 0)
    return Aim(
        '%d creations at once take at most %g times as long as one, at %g s '
        'of work (%s)' % (MANY, most, work, threading),
        '%.2f times' % ratio, ratio <= most if ratio else None)


def _waiting_is_cheap(result: Row) -> Aim:
    found = [(each['count'],
              Spread.of(each['runs'], 'requests').median / each['count'])
             for each in rows(result, 'concurrency', driver='ours',
                              work=0.5, threading='native')]
    return Aim(
        'The cost of waiting does not grow with the number of waiters',
        'requests for each volume: ' + ', '.join(
            '%.1f with %d at once' % (each, count) for count, each in found),
        max(found)[1] <= min(found)[1] if found else None)


def _little_cpu(result: Row) -> Aim:
    shares = {
        (each['work'], each['operation']): share
        for each in rows(result, 'sweep', driver='ours', latency=0)
        for share in [cpu_share(result, each)] if share is not None}
    more = ['%s %.2f (%g s of work)' % (operation, share, work)
            for (work, operation), share in shares.items()
            if share > CPU_SHARE]
    return Aim(
        'At most a third of the CPU time of the other driver',
        'a share of %.2f in the median, %d of %d below a third%s' % (
            statistics.median(shares.values()), len(shares) - len(more),
            len(shares), '; more: ' + ', '.join(more) if more else '')
        if shares else '', not more if shares else None)


def _one_timeout(result: Row) -> Aim:
    found = [run for each in rows(result, 'trouble', driver='ours',
                                  mode='hung') for run in each['runs']]
    slowest = max((run['slowest'] for run in found), default=0)
    return Aim(
        'A hung node costs the calls in flight on it one timeout (%d s here), '
        'then one probe for each pause' % plan.TROUBLE_TIMEOUT,
        '%s of the calls met it, the slowest operation took %.1f s, %d failed'
        % (' or '.join(sorted({str(run['node_requests']) for run in found})),
           slowest, sum(run['failed'] for run in found)),
        slowest < 2 * plan.TROUBLE_TIMEOUT and
        not any(run['failed'] for run in found) if found else None)


def _extremes(result: Row, task: str, least: int
              ) -> tuple[Optional[Row], Optional[Row]]:
    found = [each for each in rows(result, 'growth', driver='ours',
                                   task=task) if each['volumes'] >= least]
    return (found[0], found[-1]) if len(found) > 1 else (None, None)


def _stats_do_not_grow(result: Row) -> Aim:
    few, many = _extremes(result, 'stats', 0)
    if few is None or many is None:
        return Aim('Statistics cost the same with 50,000 volumes as with 10',
                   '', None)
    before, after = (Spread.of(each['runs'], 'seconds').median * 1000
                     for each in (few, many))
    counts = [Spread.of(each['runs'], 'requests').median
              for each in (few, many)]
    return Aim(
        'Statistics cost the same with 50,000 volumes as with 10',
        '%d and %d requests, %.1f and %.1f ms with %d and %d volumes' % (
            *counts, before, after, few['volumes'], many['volumes']),
        counts[0] == counts[1])


def _lists_do_not_grow(result: Row) -> Aim:
    few, many = _extremes(result, 'list', 1000)
    if few is None or many is None:
        return Aim('To go through all volumes keeps a page or two in memory',
                   '', None)
    return Aim(
        'To go through all volumes keeps a page or two in memory',
        'at most %.1f MiB at a time with %d volumes (one page), %.1f MiB '
        'with %d' % (few['memory'] / 2 ** 20, few['volumes'],
                     many['memory'] / 2 ** 20, many['volumes']),
        many['memory'] <= 2 * few['memory'])
