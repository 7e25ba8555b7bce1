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
"""One run: start everything, do the steps, end everything."""

import contextlib
import importlib.metadata
import importlib.util
import pathlib
import shutil
import signal
import time
from typing import Iterator, Optional

from demo import arguments
from demo import block_storage
from demo import cluster
from demo import errors
from demo import layout
from demo import processes
from demo import releases
from demo import report
from demo import scenario
from demo import services


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    handlers = {number: signal.signal(number, signal.SIG_IGN)
                for number in errors.SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def run(given: arguments.Arguments, where: layout.Layout) -> None:
    """Run the demonstration in the environment that is there.

    :raises DemoError: if anything was not seen to be as it should
    """
    started_at = time.monotonic()
    if where.run.exists():
        shutil.rmtree(where.run)
    where.run.mkdir()
    for name in ('simulator', 'cinder', 'commands'):
        where.log(name).write_text('')
    out = report.Report()
    started = processes.Processes(where)
    kept = False
    try:
        played = _start(given, where, started, out)
        try:
            played.run()
        except (Exception, errors.Interrupted):
            if given.cluster:
                with _signals_ignored():
                    started.end_commands()
                    _withdraw(played, out)
            raise
        out.title(f'All {out.steps} steps were seen to be done, '
                  f'in {time.monotonic() - started_at:.0f} s.')
        if given.keep:
            started.keep()
            kept = True
            _say_how_to_go_on(where, played.command_line, out)
    except errors.DemoError as error:
        log = where.log('cinder')
        if error.log is None and report.ERROR.search(log.read_text()):
            error.log = log
        raise
    finally:
        if not kept:
            with _signals_ignored():
                started.end()


def _start(given: arguments.Arguments, where: layout.Layout,
           started: processes.Processes,
           out: report.Report) -> scenario.Scenario:
    lightos: cluster.Cluster
    simulator: Optional[cluster.Simulator] = None
    if given.cluster:
        lightos = cluster.LightOS(given.cluster)
        kind = 'real'
        if not given.cluster.ca_file:
            kind = 'real, its certificate not verified without --ca-file'
    else:
        lightos = simulator = services.start_simulator(where, started)
        kind = f'simulated, control interface {simulator.control}'
    address = lightos.address
    out.text(f'Cluster      {",".join(address.addresses)} port '
             f'{address.port} ({kind})')

    if given.native_threads and not releases.has_native_threads():
        raise errors.DemoError('This Cinder has no native threads.')
    url = services.start_cinder(
        where, started, {services.BACKEND: address},
        variables={releases.NATIVE_THREADS: str(given.native_threads)})
    cinder = block_storage.BlockStorage(url, address.replicas)
    scenario.until(lambda: bool(cinder.pools()),
                   'the scheduler knows no pool of the driver.')
    cinder.lift_quotas()
    spec = importlib.util.find_spec('cinder')
    if spec is None or spec.origin is None:
        raise errors.DemoError('Cinder is not installed.')
    driver = pathlib.Path(spec.origin).parent / 'volume/drivers/lightos'
    if not driver.is_dir():
        raise errors.DemoError('This driver is not in the Cinder there.')
    threads = 'native threads' if given.native_threads else 'eventlet'
    version = importlib.metadata.version('cinder')
    out.text(f'Cinder       {version} in {threads} on {url}')
    out.text(f'Driver       {driver.resolve()}')
    out.text(f'Logs         {where.logs}')
    return scenario.Scenario(
        out, block_storage.CommandLine(where, started, url), cinder, lightos,
        simulator)


def _withdraw(played: scenario.Scenario, out: report.Report) -> None:
    out.title('Deleting what was made on the cluster ...')
    try:
        played.withdraw()
    except errors.DemoError as error:
        out.text(f'That failed. {error}')


def _say_how_to_go_on(where: layout.Layout,
                      command_line: block_storage.CommandLine,
                      out: report.Report) -> None:
    out.text('Cinder and the cluster go on. To use them in this shell:\n')
    for name, value in command_line.variables.items():
        out.text(f'export {name}={value}')
    out.text(f'export PATH={where.programs}:$PATH\n')
    out.text('For example:  openstack volume create --size 1 --type '
             'compressed my-volume')
    out.text(f'To stop them: {where.command("--stop")}')
