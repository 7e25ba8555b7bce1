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
"""A driver that does what it is told, in a process of its own: a program.

    measured_driver.py ours|release DIRECTORY

``release`` is the module that the installed Cinder's release has: the package
of this tree is then hidden. It uses eventlet or native threads as Cinder does,
by the variable OS_CINDER_DISABLE_EVENTLET_PATCHING. It reads one command a
line from stdin, a JSON object, and answers each with a line of JSON.
"""

# Everything imported after this uses the threads and sockets chosen here.
from cinder import monkey_patch
monkey_patch.patch()
# Cinder's modules look for its objects when they are imported.
from cinder import objects
objects.register_all()

import importlib.util  # noqa: I100
import json
import logging
import pathlib
import shutil
import sys
import threading
import time
import traceback
import tracemalloc
from typing import Any, Callable, Iterable, NamedTuple, Optional
import uuid

from os_brick.initiator import connector
from oslo_config import cfg
from oslo_utils import timeutils
import urllib3

import cinder
from cinder import context
from cinder import coordination
from cinder.db import migration
from cinder.volume import configuration
from cinder.volume import driver as volume_driver
from cinder.volume import manager
from cinder.volume import volume_types

CONF = cfg.CONF
MODULE = 'cinder.volume.drivers.lightos'
NQN = 'nqn.2014-08.org.nvmexpress:uuid:%s'
# An address for which nothing answers (RFC 5737).
HOST = {'host': 'compute1', 'nqn': NQN % 'compute1', 'found_dsc': 'found',
        'host_ips': ['192.0.2.1']}


def release_driver() -> Any:
    """Import the release's module, past the package that stands beside it."""
    path = pathlib.Path(cinder.__file__).parent / 'volume/drivers/lightos.py'
    spec = importlib.util.spec_from_file_location(MODULE, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    spec.loader.exec_module(module)
    return module


class Counted(NamedTuple):
    """What has been sent so far: totals of this process."""

    requests: int = 0
    connections: int = 0
    handshakes: int = 0


class Counter:
    """Counts below both drivers, where both use the same libraries."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0, 0, 0]
        connection = urllib3.connection.HTTPConnection
        connection.putrequest = self._counting(
            0, connection.putrequest)
        urllib3.util.connection.create_connection = self._counting(
            1, urllib3.util.connection.create_connection)
        urllib3.connection.ssl_wrap_socket = self._counting(
            2, urllib3.connection.ssl_wrap_socket)

    def _counting(self, place: int, function: Callable[..., Any]) -> Any:
        def counting(*args: Any, **kwargs: Any) -> Any:
            value = function(*args, **kwargs)
            with self._lock:
                self._counts[place] += 1
            return value
        return counting

    def now(self) -> Counted:
        with self._lock:
            return Counted(*self._counts)


class Connector:
    """Stands for os-brick: what this controller is as an NVMe host."""

    @classmethod
    def factory(cls, *args: Any, **kwargs: Any) -> 'Connector':
        return cls()

    def get_connector_properties(self, *args: Any) -> dict[str, Any]:
        return {'nqn': NQN % 'controller', 'host': 'controller',
                'host_ips': ['192.0.2.9'], 'found_dsc': 'found'}


class Subjects(NamedTuple):
    """What the operations of one chain work on."""

    volume: Any
    snapshot: Any
    restored: Any
    clone: Any


class Worker:
    """The commands: the public methods, with a command's other fields."""

    def __init__(self, driver: str, directory: pathlib.Path) -> None:
        CONF([], project='cinder', default_config_files=[])
        CONF.set_override('connection', 'sqlite:///%s/cinder.sqlite'
                          % directory, 'database')
        CONF.set_override('backend_url', 'file://%s' % directory,
                          'coordination')
        template = directory.parent / 'cinder.sqlite'
        if template.exists():
            shutil.copy(template, directory)
        else:
            migration.db_sync()
            shutil.copy(directory / 'cinder.sqlite', template)
        coordination.COORDINATOR.start()
        logging.getLogger().setLevel(logging.WARNING)
        connector.InitiatorConnector.factory = Connector.factory
        self._ours = driver == 'ours'
        self._module = (importlib.import_module(MODULE) if self._ours
                        else release_driver())
        assert hasattr(self._module, '__path__') is self._ours
        self._context = context.get_admin_context()
        # The release's driver creates no volume without a type.
        self._type = objects.VolumeType.get_by_id(
            self._context, volume_types.create(
                self._context, str(uuid.uuid4()),
                {'lightos:num_replicas': '3', 'compression': '<is> False'}
            ).id)
        self._counter = Counter()
        self._opened = 0
        self._driver: Any = None

    def open(self, options: dict[str, Any]) -> None:
        """Make a driver and set it up as the volume service does."""
        self._opened += 1
        name = 'lightos%d' % self._opened
        conf = configuration.Configuration(
            [*manager.volume_backend_opts, *volume_driver.volume_opts,
             *self._module.lightos_opts], config_group=name)
        for option, value in {'volume_backend_name': name,
                              **options}.items():
            CONF.set_override(option, value, name)
        self._driver = self._module.LightOSVolumeDriver(
            configuration=conf, host='controller@' + name)
        self._start()
        self._driver.set_initialized()

    def _start(self, records: Iterable[Any] = ()) -> None:
        """What the volume service asks of a driver before it serves."""
        self._driver.do_setup(self._context)
        self._driver.check_for_setup_error()
        self._driver.init_capabilities()
        records = list(records)
        self._driver.update_provider_info(records, [])
        for record in records:
            self._driver.ensure_export(self._context, record)

    def chain(self) -> dict[str, Any]:
        """Every operation once, one after the other: what each took."""
        taken: dict[str, Any] = {}
        driver = self._driver

        def do(name: str, method: Callable[..., Any], *arguments: Any) -> Any:
            before, cpu = self._counter.now(), time.process_time()
            began = time.monotonic()
            value = method(*arguments)
            taken[name] = {'seconds': time.monotonic() - began,
                           'cpu': time.process_time() - cpu,
                           **self._since(before)}
            return value

        made = Subjects(self._volume(), None, self._volume(), self._volume())
        made = made._replace(snapshot=self._snapshot(made.volume))
        _record(made.volume, do('create', driver.create_volume, made.volume))
        do('extend', driver.extend_volume, made.volume, 2)
        made.volume.size = 2
        _record(made.snapshot, do('snapshot create', driver.create_snapshot,
                                  made.snapshot))
        for volume in (made.restored, made.clone, made.snapshot):
            setattr(volume, 'volume_size' if volume is made.snapshot
                    else 'size', 2)
        _record(made.restored, do(
            'from snapshot', driver.create_volume_from_snapshot,
            made.restored, made.snapshot))
        _record(made.clone, do('clone', driver.create_cloned_volume,
                               made.clone, made.volume))
        do('attach', driver.initialize_connection, made.clone, HOST)
        do('detach', driver.terminate_connection, made.clone, HOST)
        do('stats', driver.get_volume_stats, True)
        do('delete', driver.delete_volume, made.restored)
        do('snapshot delete', driver.delete_snapshot, made.snapshot)
        return taken

    def batch(self, count: int, rounds: int = 1) -> dict[str, Any]:
        """Create volumes, each in a thread of its own, all at once.

        :param rounds: how many each thread creates, one after the other
        :returns: ``seconds`` until the last is there, ``each`` of them and
            the ``errors`` of those that failed
        """
        records = [[self._volume() for _round in range(rounds)]
                   for _thread in range(count)]
        each: list[float] = []
        errors: list[str] = []
        begin = threading.Event()

        def create(mine: list[Any]) -> None:
            begin.wait()
            for volume in mine:
                began = time.monotonic()
                try:
                    _record(volume, self._driver.create_volume(volume))
                except Exception as exc:
                    errors.append('%s: %s' % (type(exc).__name__, exc))
                each.append(time.monotonic() - began)

        threads = [threading.Thread(target=create, args=(mine,))
                   for mine in records]
        for thread in threads:
            thread.start()
        # Green threads run as far as their wait only when they are let.
        time.sleep(0.2)
        before, cpu = self._counter.now(), time.process_time()
        began = time.monotonic()
        begin.set()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - began
        return {'seconds': seconds, 'cpu': time.process_time() - cpu,
                'each': each, 'errors': errors, **self._since(before)}

    def grown(self, tasks: list[str], volumes: int,
              repeats: int) -> dict[str, Any]:
        """What is done with all volumes, or beside them.

        :param tasks: names of methods below, ``_stats`` without the ``_``
        :param volumes: how many Cinder knows
        :returns: for each task what it took, and the most memory in bytes
            that it held at a time
        """
        records = [self._volume(provider_id='default %s' % uuid.uuid4())
                   for _number in range(volumes)]
        taken: dict[str, Any] = {}
        for name in tasks:
            task = getattr(self, '_' + name)(records)
            if task is None:
                continue
            runs = []
            for _run in range(repeats):
                before, cpu = self._counter.now(), time.process_time()
                began = time.monotonic()
                task()
                runs.append({'seconds': time.monotonic() - began,
                             'cpu': time.process_time() - cpu,
                             **self._since(before)})
            # Once more: to follow the memory takes time.
            tracemalloc.start()
            task()
            taken[name] = {'runs': runs,
                           'memory': tracemalloc.get_traced_memory()[1]}
            tracemalloc.stop()
        return taken

    def _stats(self, records: list[Any]) -> Callable[[], Any]:
        return lambda: self._driver.get_volume_stats(True)

    def _known_stats(self, records: list[Any]) -> Callable[[], Any]:
        return lambda: self._driver.get_volume_stats(False)

    def _service_start(self, records: list[Any]) -> Callable[[], Any]:
        return lambda: self._start(records)

    def _list(self, records: list[Any]) -> Optional[Callable[[], Any]]:
        """One pass over all volumes of the cluster, none of them kept."""
        if not self._ours:
            return None
        from cinder.volume.drivers.lightos import listing

        def run() -> None:
            op = self._driver._operation('list the volumes')
            for _volume in listing.volumes(op, 'default'):
                pass

        return run

    def _manageable(self, records: list[Any]) -> Optional[Callable[[], Any]]:
        """What ``cinder manageable-list`` asks for, its first page."""
        if (type(self._driver).get_manageable_volumes is
                volume_driver.VolumeDriver.get_manageable_volumes):
            return None
        return lambda: self._driver.get_manageable_volumes(
            records, None, 1000, 0, ['reference'], ['asc'])

    def _volume(self, **fields: Any) -> Any:
        """A record of Cinder's that is not in its database."""
        number = str(uuid.uuid4())
        return objects.Volume(
            self._context, **{
                'id': number, '_name_id': None, 'size': 1,
                'host': 'controller@lightos#lightos', 'status': 'creating',
                'display_name': number, 'display_description': None,
                'launched_at': timeutils.utcnow(), 'use_quota': True,
                'provider_id': None, 'migration_status': None,
                'project_id': 'benchmark', 'volume_type_id': self._type.id,
                'volume_type': self._type, 'metadata': {},
                'admin_metadata': {},
                'snapshot_id': None, 'source_volid': None,
                'multiattach': False, 'volume_attachment':
                    objects.VolumeAttachmentList(objects=[]), **fields})

    def _snapshot(self, volume: Any) -> Any:
        number = str(uuid.uuid4())
        return objects.Snapshot(
            self._context, id=number, volume_id=volume.id, volume=volume,
            volume_size=volume.size, display_name=number, metadata={},
            provider_id=None, project_id='benchmark', status='creating')

    def _since(self, before: Counted) -> dict[str, int]:
        return {name: after - getattr(before, name) for name, after
                in self._counter.now()._asdict().items()}


def _record(resource: Any, update: Optional[dict[str, Any]]) -> None:
    """Take over what the driver returned, as the volume manager does."""
    resource.update(update or {})


def main() -> None:
    worker = Worker(sys.argv[1], pathlib.Path(sys.argv[2]))
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {'value': getattr(worker, command.pop('do'))(**command)}
        except Exception:
            answer = {'error': traceback.format_exc()}
        sys.stdout.write(json.dumps(answer, default=str) + '\n')
        sys.stdout.flush()


if __name__ == '__main__':
    main()
