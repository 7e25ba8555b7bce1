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
"""A result as plots for the documentation."""

import pathlib
from typing import Any

import matplotlib
from matplotlib import pyplot
from matplotlib import ticker

from benchmark import aims
from benchmark import plan

Row = dict[str, Any]

COLOURS = {'ours': '#0b6e99', 'release': '#c0562f'}
STYLES = {'native': '-', 'eventlet': '--'}
# So that the same result gives the same file.
STABLE = {'svg.hashsalt': 'benchmark', 'svg.fonttype': 'none',
          'font.size': 9, 'axes.grid': True, 'grid.alpha': 0.3}


def write(result: Row, directory: pathlib.Path) -> None:
    """Write every plot of what was measured."""
    matplotlib.use('svg')
    with matplotlib.rc_context(STABLE):
        for name, draw in {'sweep': _sweep, 'cpu': _cpu,
                           'concurrency': _concurrency,
                           'growth': _growth}.items():
            figure = draw(result)
            figure.tight_layout()
            path = directory / ('benchmark-%s.svg' % name)
            figure.savefig(path, metadata={'Date': None})
            pyplot.close(figure)
            # matplotlib ends lines with spaces.
            path.write_text('\n'.join(
                line.rstrip() for line in path.read_text().splitlines()) +
                '\n')


def _seconds(row: Row) -> float:
    return aims.Spread.of(row['runs'], 'seconds').median


def _sweep(result: Row) -> Any:
    """Times the limit, for each operation that the cluster works on."""
    works = sorted({row['work'] for row in result['sweep'] if row['work']})
    figure, axes = pyplot.subplots(1, len(works), sharey=True, squeeze=False,
                                   figsize=(9, 3.2))
    names = [name for name, operation in plan.OPERATIONS.items()
             if operation.works]
    for axis, work in zip(axes[0], works):
        for place, driver in enumerate(plan.DRIVERS):
            found = [aims.row(result, 'sweep', driver=driver, work=work,
                              latency=0, operation=name) for name in names]
            axis.barh([at + 0.4 * place for at in range(len(names))],
                      [aims.over_limit(result, row) if row else 0
                       for row in found],
                      0.38, label=driver, color=COLOURS[driver])
        axis.axvline(1, color='black', linewidth=0.8)
        axis.set_xscale('log')
        _readable(axis.xaxis)
        axis.set_title('%g s of work' % work)
        axis.set_xlabel('times the limit')
    axes[0][0].set_yticks([at + 0.2 for at in range(len(names))], names)
    axes[0][0].invert_yaxis()
    _beside(axes[0][-1])
    return figure


def _cpu(result: Row) -> Any:
    """CPU time of each operation, by how long the cluster works."""
    works = sorted({row['work'] for row in result['sweep']})
    figure, axes = pyplot.subplots(1, len(works), sharey=True, squeeze=False,
                                   figsize=(9, 3.2))
    names = list(plan.OPERATIONS)
    for axis, work in zip(axes[0], works):
        for place, driver in enumerate(plan.DRIVERS):
            found = [aims.row(result, 'sweep', driver=driver, work=work,
                              latency=0, operation=name) for name in names]
            axis.barh([at + 0.4 * place for at in range(len(names))],
                      [1000 * aims.Spread.of(row['runs'], 'cpu').median
                       if row else 0 for row in found],
                      0.38, label=driver, color=COLOURS[driver])
        axis.set_title('%g s of work' % work)
        axis.set_xlabel('CPU time in ms')
    axes[0][0].set_yticks([at + 0.2 for at in range(len(names))], names)
    axes[0][0].invert_yaxis()
    _beside(axes[0][-1])
    return figure


def _concurrency(result: Row) -> Any:
    """Time until the last volume is there, by how many are created."""
    figure, axis = pyplot.subplots(figsize=(9, 3.6))
    for driver in plan.DRIVERS:
        for threading in plan.THREADING:
            for work, marker in ((0.5, 'o'), (5, 's')):
                found = aims.rows(result, 'concurrency', driver=driver,
                                  threading=threading, work=work)
                if found:
                    axis.plot([row['count'] for row in found],
                              [_seconds(row) for row in found],
                              STYLES[threading], marker=marker, markersize=4,
                              color=COLOURS[driver],
                              label='%s, %s, %g s of work'
                              % (driver, threading, work))
    _logarithmic(axis, 'volumes created at once',
                 'seconds until the last is there')
    _beside(axis)
    return figure


def _growth(result: Row) -> Any:
    """Time of what might grow with the number of volumes."""
    figure, axis = pyplot.subplots(figsize=(9, 3.6))
    marks = {'stats': 'o', 'service_start': 's', 'list': '^',
             'manageable': 'v', 'audit': 'D'}
    for driver in plan.DRIVERS:
        for task, marker in marks.items():
            found = aims.rows(result, 'growth', driver=driver, task=task)
            # The other driver's statistics ask the cluster nothing.
            if found and found[0]['runs'][0]['requests']:
                axis.plot([row['volumes'] for row in found],
                          [_seconds(row) for row in found], marker=marker,
                          markersize=4, color=COLOURS[driver],
                          label='%s, %s' % (driver, task.replace('_', ' ')))
    _logarithmic(axis, 'volumes', 'seconds')
    _beside(axis)
    return figure


def _beside(axis: Any) -> None:
    """Put the legend where it hides nothing."""
    axis.legend(fontsize=7, handlelength=3, loc='upper left',
                bbox_to_anchor=(1, 1))


def _logarithmic(axis: Any, across: str, up: str) -> None:
    axis.set_xscale('log')
    axis.set_yscale('log')
    _readable(axis.xaxis)
    _readable(axis.yaxis)
    axis.set_xlabel(across)
    axis.set_ylabel(up)


def _readable(axis: Any) -> None:
    """Label a logarithmic axis with plain numbers."""
    least, most = axis.get_view_interval()
    axis.set_major_locator(ticker.LogLocator(
        subs=(1, 2, 5) if most < 200 * least else (1,)))
    axis.set_major_formatter(ticker.FormatStrFormatter('%g'))
    axis.set_minor_formatter(ticker.NullFormatter())
