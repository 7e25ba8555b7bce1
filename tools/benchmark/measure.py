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
"""The measurements: both drivers in turn, on one simulated cluster."""

import datetime
import http.client
import importlib.metadata
import os
import pathlib
import platform
import ssl
import statistics
import sys
import tempfile
import time
from typing import Any, Iterator

from benchmark import auditing
from benchmark import plan

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
FUNCTIONAL = TREE / 'cinder/tests/functional/lightos'
# As a part of Cinder's package it would switch this process to eventlet.
sys.path.insert(0, str(FUNCTIONAL))

import processes  # type: ignore[import-not-found]  # noqa: E402,I100

Row = dict[str, Any]

ROUND_TRIPS = 300
NODES = range(3)
# GiB: 50,000 volumes of one each, and what is made beside them.
CAPACITY = 1048576
# Seconds for the longest command of a worker.
PATIENCE = 600


class Bench:
    """The drivers, each in a process of its own, and a cluster.

    :param directory: for what the drivers keep
    :param threading: ``native``, ``eventlet`` or both
    """

    def __init__(self, directory: pathlib.Path,
                 threading: tuple[str, ...]) -> None:
        self.workers: dict[tuple[str, str], Any] = {}
        self.threading = threading
        self.simulator: Any = None
        self.directory = directory

    def __enter__(self) -> 'Bench':
        try:
            for driver in plan.DRIVERS:
                for threading in self.threading:
                    self._start(driver, threading)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *args: object) -> None:
        for worker in self.workers.values():
            worker.end()
        if self.simulator is not None:
            self.simulator.end()

    def _start(self, driver: str, threading: str) -> None:
        home = self.directory / ('%s-%s' % (driver, threading))
        home.mkdir()
        worker = processes.Process(
            str(FUNCTIONAL / 'measured_driver.py'), driver, str(home),
            variables={'OS_CINDER_DISABLE_EVENTLET_PATCHING':
                       str(threading == 'native').lower()})
        self.workers[driver, threading] = worker

    def new_cluster(self, **options: Any) -> None:
        """Have every driver begin on a new cluster.

        The cluster takes what the driver of the release sends beside what
        the API has. The release's driver does not hand its CA file on, so it
        is spared the verification.

        :param options: of the drivers' sections in cinder.conf
        """
        if self.simulator is not None:
            self.simulator.end()
        self.simulator = processes.Simulator(
            '--assume', 'refuse-unknown=off', '--capacity-gib', str(CAPACITY))
        token = pathlib.Path(self.simulator.told['tokens']['cluster-admin'])
        for (driver, _threading), worker in self.workers.items():
            reached = self.simulator.options(
                lightos_jwt=token.read_text().strip(),
                driver_ssl_cert_verify=driver == 'ours',
                **{'lightos_api_service_timeout': 30, **options})
            del reached['lightos_jwt_file']
            self.ask(worker, 'open', options=reached)

    @staticmethod
    def ask(worker: Any, do: str, **fields: Any) -> Any:
        worker.tell(do, **fields)
        return worker.answer(PATIENCE)

    def work_time(self, seconds: float) -> None:
        self.simulator.control('POST', '/work-times', default=seconds)

    def latency(self, seconds: float) -> None:
        """Have each answer come so much later."""
        for node in NODES:
            if seconds:
                self.simulator.mode(node, 'slow', delay=seconds)
            else:
                self.simulator.mode(node, 'up')

    def simulator_cpu(self) -> float:
        """Seconds of CPU time that the simulator has used.

        Source of the fields: proc_pid_stat(5).
        """
        path = pathlib.Path('/proc/%d/stat' % self.simulator.told['pid'])
        fields = path.read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def counted(self) -> int:
        """How many requests have come to the cluster so far."""
        return int(self.simulator.control('GET', '/journal?limit=0')['next'])


def run(wanted: plan.Plan, parts: tuple[str, ...]) -> Row:
    """Measure.

    :param parts: names of PARTS
    :returns: what was measured and on what machine, fit for JSON
    """
    began = time.monotonic()
    result: Row = {'machine': machine(), 'load_before': os.getloadavg(),
                   'parts': list(parts), 'callers': wanted.callers,
                   'rounds': wanted.rounds}
    with tempfile.TemporaryDirectory(prefix='lightos-benchmark-') as name:
        with Bench(pathlib.Path(name), wanted.threading) as bench:
            for part in parts:
                say(part)
                bench.new_cluster(**OPTIONS.get(part, {}))
                result[part] = list(PARTS[part](bench, wanted))
    result['load_after'] = os.getloadavg()
    result['seconds'] = time.monotonic() - began
    return result


def machine() -> Row:
    """What the measurement ran on."""
    model = [line.partition(':')[2].strip() for line
             in pathlib.Path('/proc/cpuinfo').read_text().splitlines()
             if line.startswith('model name')]
    return {'date': datetime.date.today().isoformat(),
            'cpu': model[0] if model else platform.machine(),
            'cpus': len(os.sched_getaffinity(0)),
            'kernel': platform.release(),
            'python': platform.python_version(),
            'cinder': importlib.metadata.version('cinder'),
            'requests': importlib.metadata.version('requests'),
            'urllib3': importlib.metadata.version('urllib3'),
            'load_certificates': _load_certificates()}


def _load_certificates() -> float:
    """Seconds of CPU time to read the CA certificates of the system."""
    began = time.process_time()
    for _time in range(10):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_default_certs()
    return (time.process_time() - began) / 10


def floor(bench: Bench, wanted: plan.Plan) -> Iterator[Row]:
    """What one round trip to the simulator takes a client without a driver.

    The client holds one connection and does not even look at the answer.
    """
    told = bench.simulator.told
    token = pathlib.Path(told['tokens']['cluster-admin']).read_text().strip()
    connection = http.client.HTTPSConnection(
        told['addresses'][0], told['port'],
        context=ssl.create_default_context(cafile=told['ca_file']))
    for latency in dict.fromkeys(each.latency for each in wanted.sweeps):
        bench.latency(latency)
        taken = []
        cpu = bench.simulator_cpu()
        for _number in range(ROUND_TRIPS):
            began = time.monotonic()
            connection.request('GET', '/api/v2/clusterinfo', headers={
                'Authorization': 'Bearer ' + token})
            connection.getresponse().read()
            taken.append(time.monotonic() - began)
        yield {'latency': latency, 'seconds': statistics.median(taken),
               'simulator_cpu':
                   (bench.simulator_cpu() - cpu) / ROUND_TRIPS}
    connection.close()


def sweep(bench: Bench, wanted: plan.Plan) -> Iterator[Row]:
    """Each operation, one at a time, in native threads."""
    bench.work_time(0)
    for driver in plan.DRIVERS:
        bench.ask(bench.workers[driver, 'native'], 'chain')
    for each in wanted.sweeps:
        say('  %g s of work, %g s of latency' % (each.work, each.latency))
        bench.work_time(each.work)
        bench.latency(each.latency)
        runs: dict[tuple[str, str], list[Row]] = {
            (driver, name): [] for driver in plan.DRIVERS
            for name in plan.OPERATIONS}
        for _repeat in range(each.repeats):
            for driver in plan.DRIVERS:
                chain = bench.ask(bench.workers[driver, 'native'], 'chain')
                for name, taken in chain.items():
                    runs[driver, name].append(taken)
        for (driver, name), taken in runs.items():
            yield {'driver': driver, 'work': each.work,
                   'latency': each.latency, 'operation': name, 'runs': taken}


def concurrency(bench: Bench, wanted: plan.Plan) -> Iterator[Row]:
    """Volumes created at once, when connections have been made."""
    for threading in bench.threading:
        for each in wanted.batches:
            for count in each.counts:
                say('  %s: %d at once, %g s of work'
                    % (threading, count, each.work))
                bench.work_time(0)
                # The release's driver keeps no connections.
                bench.ask(bench.workers['ours', threading], 'batch',
                          count=count)
                bench.work_time(each.work)
                runs: dict[str, list[Row]] = {
                    driver: [] for driver in plan.DRIVERS}
                for _repeat in range(each.repeats):
                    for driver in plan.DRIVERS:
                        runs[driver].append(_batch(
                            bench, driver, threading, count=count))
                for driver in plan.DRIVERS:
                    yield {'driver': driver, 'threading': threading,
                           'work': each.work, 'count': count,
                           'runs': runs[driver]}


def trouble(bench: Bench, wanted: plan.Plan) -> Iterator[Row]:
    """Volumes created while one of three nodes hangs or is dead."""
    bench.work_time(0)
    for threading in bench.threading:
        for mode in ('up', 'hung', 'stopped'):
            say('  %s: a node is %s' % (threading, mode))
            runs: dict[str, list[Row]] = {
                driver: [] for driver in plan.DRIVERS}
            for _repeat in range(wanted.trouble_repeats):
                for driver in plan.DRIVERS:
                    # So that the drivers know nothing of a node's trouble.
                    bench.new_cluster(**OPTIONS['trouble'])
                    _batch(bench, driver, threading, count=wanted.callers)
                    node = _node_in_use(bench)
                    bench.simulator.control('DELETE', '/journal')
                    bench.simulator.mode(node, mode)
                    runs[driver].append({
                        **_batch(bench, driver, threading,
                                 count=wanted.callers, rounds=wanted.rounds),
                        'node_requests': sum(
                            request['node'] == node
                            for request in bench.simulator.requests())})
            for driver in plan.DRIVERS:
                yield {'driver': driver, 'threading': threading,
                       'mode': mode, 'runs': runs[driver]}


def growth(bench: Bench, wanted: plan.Plan) -> Iterator[Row]:
    """What is done with all volumes, or beside them."""
    for volumes in wanted.volumes:
        say('  %d volumes' % volumes)
        bench.new_cluster()
        bench.simulator.control('POST', '/volumes', count=volumes)
        for driver in plan.DRIVERS:
            grown = bench.ask(
                bench.workers[driver, 'native'], 'grown', volumes=volumes,
                tasks=['stats', 'service_start', 'list', 'manageable'],
                repeats=wanted.growth_repeats)
            for task, taken in grown.items():
                yield {'driver': driver, 'volumes': volumes,
                       'task': task, **taken}
        if (TREE / 'cinder/volume/drivers/lightos/audit.py').exists():
            yield {'driver': 'ours', 'volumes': volumes, 'task': 'audit',
                   **_audit(bench, volumes)}


def _audit(bench: Bench, volumes: int) -> Row:
    configuration = auditing.prepare(
        bench.directory / ('audit-%d' % volumes), bench.simulator)
    counted = bench.counted()
    taken = auditing.measure(configuration)
    if taken.pop('status'):
        raise RuntimeError('the audit has findings or did not end well')
    memory = taken.pop('memory')
    return {'runs': [{**taken, 'requests': bench.counted() - counted}],
            'memory': memory}


def _batch(bench: Bench, driver: str, threading: str,
           **fields: Any) -> Row:
    cpu, counted = bench.simulator_cpu(), bench.counted()
    taken: Row = bench.ask(bench.workers[driver, threading], 'batch',
                           **fields)
    each = sorted(taken.pop('each'))
    errors = taken.pop('errors')
    return {**taken, 'simulator_cpu': bench.simulator_cpu() - cpu,
            'arrived': bench.counted() - counted,
            'median': statistics.median(each), 'slowest': each[-1],
            'late': sum(seconds > plan.TROUBLE_TIMEOUT for seconds in each),
            'failed': len(errors), 'error': errors[0] if errors else None}


def _node_in_use(bench: Bench) -> int:
    """The node that the last request came to."""
    node: int = bench.simulator.requests()[-1]['node']
    return node


def say(text: str) -> None:
    """Tell who waits what is going on."""
    print(text, file=sys.stderr, flush=True)


OPTIONS: dict[str, dict[str, Any]] = {
    'trouble': {'lightos_api_service_timeout': plan.TROUBLE_TIMEOUT}}
PARTS = {'floor': floor, 'sweep': sweep, 'concurrency': concurrency,
         'trouble': trouble, 'growth': growth}
