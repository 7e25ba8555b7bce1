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
"""Drivers that do what they are told, in a process of their own: a program.

It uses eventlet or native threads as Cinder does: that is decided by the
variable OS_CINDER_DISABLE_EVENTLET_PATCHING. It reads one command a line from
stdin, a JSON object, and answers each with a line of JSON.
"""

# Everything imported after this uses the threads and sockets chosen here.
from cinder import monkey_patch
monkey_patch.patch()
# Cinder's modules look for its objects when they are imported.
from cinder import objects
objects.register_all()

import json  # noqa: I100
import logging
import resource
import socket
import sys
import tempfile
import threading
import time
from typing import Any, Callable, Optional
import warnings

from oslo_config import cfg
from oslo_utils import timeutils
import urllib3

from cinder import context
from cinder import coordination
from cinder.db import migration
from cinder import exception as cinder_exception
from cinder.objects import fields
from cinder.volume import configuration
from cinder.volume import driver as volume_driver
from cinder.volume.drivers import lightos
from cinder.volume.drivers.lightos import cluster
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import waiting
from cinder.volume import manager

CONF = cfg.CONF
# Seconds. The statistics may take half of it.
STATS_INTERVAL = 4
NQN = 'nqn.2014-08.org.nvmexpress:uuid:%s'


class Connector:
    """Stands for os-brick: what this controller is as an NVMe host."""

    @classmethod
    def factory(cls, *args: Any, **kwargs: Any) -> 'Connector':
        return cls()

    def get_connector_properties(self, *args: Any) -> dict[str, Any]:
        return {'nqn': NQN % 'controller'}


class Lines(logging.Handler):
    """Keeps what is logged, with the thread that it comes from."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._kept: list[tuple[int, str, str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append((threading.get_ident(), record.levelname,
                           record.name, record.getMessage()))

    def take(self) -> list[tuple[int, str, str, str]]:
        kept, self._kept = self._kept, []
        return kept


class Names:
    """A resolver that knows the host names of the tests.

    Nothing else of a connection to a closed port can be counted: whoever
    connects asks here first.
    """

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self.asked = 0
        self._resolve = socket.getaddrinfo

    def getaddrinfo(self, host: str, *args: Any, **kwargs: Any) -> Any:
        self.asked += 1
        return self._resolve(self.addresses.get(host, host), *args, **kwargs)


class Backend:
    """A driver and what can be asked of it.

    :param name: of the section of its options
    :param options: its options; those it does not have are left as they are
    """

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        conf = configuration.Configuration(
            [*manager.volume_backend_opts, *volume_driver.volume_opts,
             *lightos.lightos_opts,
             cfg.StrOpt('initiator_connector')], config_group=name)
        for option, value in {
                'initiator_connector': '__main__.Connector',
                'volume_backend_name': name,
                'driver_ssl_cert_verify': True, **options}.items():
            CONF.set_override(option, value, name)
        self.driver = lightos.LightOSVolumeDriver(configuration=conf,
                                                  host='controller@' + name)
        self._context = context.get_admin_context()
        self._volumes: dict[str, objects.Volume] = {}

    def send(self, cmd: str, timeout: float, **kwargs: Any) -> Any:
        """One call: [status, reply]."""
        return self.driver.cluster.send_cmd(cmd=cmd, timeout=timeout,
                                            **kwargs)

    def look(self, volume_uuid: str, timeout: float) -> Any:
        """Read a volume: its UUID, None when it is gone."""
        found = operation.Operation(
            self.driver.cluster, 'look', waiting.Deadline(timeout)).read(
                'get_volume', replies.Volume.parse, project_name='default',
                volume_uuid=volume_uuid)
        return found and found.uuid

    def warned(self, times: int, suppressed: bool) -> dict[str, Any]:
        """What Python's warnings come of some calls.

        :param suppressed: whether to do before what Cinder's volume manager
            does where suppress_requests_ssl_warnings is set
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            if suppressed:
                urllib3.disable_warnings(
                    urllib3.exceptions.InsecureRequestWarning)
            before = list(warnings.filters)
            for _each in range(times):
                self.refresh(timeout=10)
            return {'categories': [each.category.__name__
                                   for each in caught],
                    'untouched': before == list(warnings.filters)}

    def refresh(self, timeout: float) -> str:
        """Learn from the cluster: its UUID."""
        known = self.driver.cluster
        return cluster.refresh(operation.Operation(
            known, 'refresh', waiting.Deadline(timeout)), known).uuid

    def setup(self) -> None:
        self.driver.do_setup(self._context)
        self.driver.check_for_setup_error()

    def stats(self) -> Any:
        return self.driver.get_volume_stats(refresh=True)

    def show(self) -> str:
        """All that the driver's objects say of themselves."""
        connection = self.driver.cluster
        return repr([self.driver, connection, vars(connection),
                     [repr(value) for value in vars(connection).values()]])

    def create(self, name: str) -> None:
        """Create a volume of 1 GiB, known by a name from now on."""
        volume = self._volumes[name] = objects.Volume(
            self._context, size=1, host='controller@lightos#lightos',
            status='creating', display_name=name)
        volume.create()
        _record(volume, self.driver.create_volume(volume))

    def extend(self, name: str, size: int) -> None:
        self.driver.extend_volume(self._volumes[name], size)

    def delete(self, name: str) -> None:
        self.driver.delete_volume(self._volumes.pop(name))

    def fill(self, volumes: int, records: int) -> None:
        """Put volumes on the cluster.

        :param records: of how many of them Cinder has a record
        """
        for number in range(volumes):
            name = 'theirs-%d' % number
            if number < records:
                volume = objects.Volume(
                    self._context, size=1, host=self.driver.host)
                volume.create()
                name = volume.name
            status, reply = self.driver.cluster.send_cmd(
                cmd='create_volume', timeout=10, project_name='default',
                name=name, size='1 gib', n_replicas=1, compression='false')
            assert status == 200, reply
            if number < records:
                _record(volume, {'provider_id': 'default ' + reply['UUID']})

    def list_manageable(self, limit: int) -> dict[str, Any]:
        """The first page of what could be taken in, and what it takes."""
        records = list(objects.VolumeList.get_all(self._context))
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.monotonic()
        shown = self.driver.get_manageable_volumes(
            records, None, limit, 0, ['reference'], ['asc'])
        seconds = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_SELF)
        return {'shown': len(shown),
                'safe': sum(each['safe_to_manage'] for each in shown),
                'seconds': seconds,
                'cpu_seconds': after.ru_utime - before.ru_utime,
                'more_memory_mib': (after.ru_maxrss - before.ru_maxrss) / 1024}

    def ordinary_path(self) -> dict[str, float]:
        """Everything Cinder asks of a driver every day: seconds of each."""
        seconds: dict[str, float] = {}

        def timed(name: str, method: Callable[..., Any],
                  *arguments: Any) -> Any:
            began = time.monotonic()
            value = method(*arguments)
            seconds[name] = round(time.monotonic() - began, 3)
            return value

        def new(create: Callable[..., Any], *source: Any) -> objects.Volume:
            volume = objects.Volume(self._context, size=2,
                                    host='controller@lightos#lightos')
            volume.create()
            _record(volume, timed(create.__name__, create, volume, *source))
            return volume

        driver = self.driver
        volume = new(driver.create_volume)
        snapshot = objects.Snapshot(
            self._context, volume_id=volume.id, volume_size=2,
            display_name='snapshot')
        snapshot.create()
        _record(snapshot, timed('create_snapshot', driver.create_snapshot,
                                snapshot))
        restored = new(driver.create_volume_from_snapshot, snapshot)
        clone = new(driver.create_cloned_volume, volume)
        timed('extend_volume', driver.extend_volume, clone, 3)
        host = _host('compute1')
        driver.validate_connector(host)
        attachment = objects.VolumeAttachment(
            self._context, volume_id=clone.id, connector=host,
            attach_status=fields.VolumeAttachStatus.ATTACHED)
        attachment.create()
        timed('initialize_connection', driver.initialize_connection, clone,
              host)
        timed('terminate_connection', driver.terminate_connection, clone,
              host)
        timed('get_volume_stats', driver.get_volume_stats, True)
        timed('delete_snapshot', driver.delete_snapshot, snapshot)
        for each in (restored, clone, volume):
            timed('delete_volume', driver.delete_volume, each)
        return seconds


def _host(name: str) -> dict[str, Any]:
    return {'host': name, 'nqn': NQN % name, 'found_dsc': 'found',
            'host_ips': ['192.0.2.1']}


def _record(record: Any, update: Optional[dict[str, Any]]) -> None:
    """Write what the driver returned, as the volume manager does."""
    record.update(update or {})
    if isinstance(record, objects.Volume):
        record.launched_at = timeutils.utcnow()
    record.save()


class Program:
    """The commands: the public methods, with a command's other fields."""

    def __init__(self, directory: str) -> None:
        CONF([], project='cinder', default_config_files=[])
        CONF.set_override('connection', 'sqlite:///%s/cinder.sqlite'
                          % directory, 'database')
        CONF.set_override('backend_url', 'file://' + directory,
                          'coordination')
        CONF.set_override('backend_stats_polling_interval',
                          STATS_INTERVAL)
        self._backends: dict[str, Backend] = {}
        self._lines = Lines()
        self._names = Names()
        socket.getaddrinfo = self._names.getaddrinfo
        root = logging.getLogger()
        root.addHandler(self._lines)
        root.setLevel(logging.DEBUG)

    def threading(self) -> str:
        return 'eventlet' if monkey_patch.is_patched() else 'native'

    def database(self) -> None:
        """Make ready what attaching needs."""
        migration.db_sync()
        coordination.COORDINATOR.start()

    def open(self, name: str, options: dict[str, Any],
             names: dict[str, str]) -> None:
        """Make a driver.

        :param names: addresses of host names
        """
        self._names.addresses.update(names)
        self._backends[name] = Backend(name, options)

    def run(self, name: str, calls: list[list[Any]],
            threads: int) -> dict[str, Any]:
        """Make calls, one after the other in each of several threads.

        :param calls: name of a method of Backend, arguments by name
        """
        backend = self._backends[name]
        self._lines.take()
        asked = self._names.asked
        ended: list[list[Any]] = [[] for _thread in range(threads)]
        begin = threading.Event()

        def one(results: list[Any]) -> None:
            begin.wait()
            for method, arguments in calls:
                results.append(_outcome(getattr(backend, method), arguments))

        running = [threading.Thread(target=one, args=(results,))
                   for results in ended]
        for thread in running:
            thread.start()
        begin.set()
        for thread in running:
            thread.join()
        return {'ended': ended, 'attempts': self._names.asked - asked,
                'lines': self._lines.take()}


def _outcome(method: Callable[..., Any],
             arguments: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    outcome: dict[str, Any] = {'thread': threading.get_ident()}
    try:
        outcome['value'] = method(**arguments)
    except Exception as exc:
        outcome.update(error=type(exc).__name__, text=str(exc),
                       sent=getattr(exc, 'sent', None),
                       of_cinder=isinstance(
                           exc, cinder_exception.CinderException))
    outcome['seconds'] = round(time.monotonic() - began, 3)
    return outcome


def main() -> None:
    with tempfile.TemporaryDirectory(prefix='lightos-driver-') as directory:
        program = Program(directory)
        for line in sys.stdin:
            command = json.loads(line)
            value = getattr(program, command.pop('do'))(**command)
            sys.stdout.write(json.dumps({'value': value}, default=str) + '\n')
            sys.stdout.flush()


if __name__ == '__main__':
    main()
