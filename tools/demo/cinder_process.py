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
"""Cinder's API, scheduler and volume services in one process.

Run as ``python -m demo.cinder_process --config-file FILE``, with ``--backup``
if it is to have the backup service, too. Once all serve, it prints one JSON
object, {"port": N}, and goes on until it is killed. It exits with 1, saying
why on stderr, if the driver does not start.
"""

# Nothing that is imported here has types for its users.
# mypy: disable-error-code="attr-defined,import-untyped,misc"

# Everything imported after this uses eventlet's threads and sockets, or native
# ones if these are asked for.
from demo import releases
releases.patch()

import json  # noqa: I100
import os
import shlex
import socketserver
import sys
import threading
import time
from typing import Any, Callable, Iterable, NoReturn, Sequence
import uuid
from wsgiref import simple_server

import os_brick
from os_brick import utils as brick_utils
from oslo_config import cfg
from oslo_log import log as logging
from oslo_privsep import priv_context
from oslo_service import wsgi
import sqlalchemy
from sqlalchemy import event

from cinder.common import config
from cinder.common import constants
from cinder import context
from cinder.db import migration
from cinder import i18n
i18n.enable_lazy()
from cinder import objects
from cinder import service
from cinder import utils
from cinder import version

CONF = cfg.CONF
# Seconds for the backup driver to be ready.
BACKUP_TIME = 60

# What keystoneauth sends for a token with OS_AUTH_TYPE=none, if anything.
UNUSED = 'notused'

WsgiApplication = Callable[[dict[str, Any], Any], Iterable[bytes]]


def one_user(
        global_conf: dict[str, str],
        **local_conf: str) -> Callable[[WsgiApplication], WsgiApplication]:
    """Make the paste filter that lets requests be of user "demo".

    Those that name another one in a token are his.

    With OS_AUTH_TYPE=none, the openstack command sends no token at first.
    Cinder's noauth answers that as the identity service of long ago did,
    which the command does not understand.
    """
    def wrap(application: WsgiApplication) -> WsgiApplication:
        def call(environ: dict[str, Any],
                 start_response: Any) -> Iterable[bytes]:
            if environ.get('HTTP_X_AUTH_TOKEN', UNUSED) == UNUSED:
                environ['HTTP_X_AUTH_TOKEN'] = 'demo'
            return application(environ, start_response)
        return call
    return wrap


class OneOfSeveral(service.Service):
    """A service that shares its process with others.

    Cinder keeps the id under which a service reports in a class attribute:
    the last one that starts would report for all, and they go "down".
    """

    def report_state(self) -> None:
        service.Service.service_id = self.origin_service_id
        super().report_state()


class ThreadingServer(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """Serves a WSGI application, each request in a thread of its own."""

    daemon_threads = True


def share_sqlite() -> None:
    """Let several threads or processes write to one SQLite file.

    A transaction that reads before it writes would find the file changed in
    between.
    """
    @event.listens_for(sqlalchemy.engine.Engine, 'connect')
    def connect(connection: Any, record: Any) -> None:
        connection.execute('PRAGMA journal_mode = WAL')
        connection.execute('PRAGMA busy_timeout = 20000')

    @event.listens_for(sqlalchemy.engine.Engine, 'begin')
    def begin(connection: Any) -> None:
        if 'in_transaction' not in connection.info:
            connection.info['in_transaction'] = True
            connection.exec_driver_sql('BEGIN IMMEDIATE')


def provide_host_nqn() -> None:
    """Answer for the host NQN file on a machine that has none.

    The driver needs a host NQN to start. os-brick would make the file with
    root's rights; a demonstration leaves the machine as it is.
    """
    if not os.path.exists('/etc/nvme/hostnqn'):
        nqn = f'nqn.2014-08.org.nvmexpress:uuid:{uuid.uuid4()}'
        brick_utils.get_host_nqn = lambda system_uuid=None: nqn


def start_backup() -> None:
    """Start the backup service and let the scheduler know that it works.

    By itself it would say so a minute later.
    """
    backup = OneOfSeveral.create(
        binary=constants.BACKUP_BINARY, service_name='backup',
        coordination=True)
    backup.start()
    deadline = time.monotonic() + BACKUP_TIME
    while not backup.manager.is_working():
        if time.monotonic() > deadline:
            sys.exit('The backup driver did not start.')
        time.sleep(0.1)
    backup.manager.publish_service_capabilities(context.get_admin_context())


def prepare(arguments: Sequence[str]) -> None:
    """Read the configuration and make ready what every service needs."""
    objects.register_all()
    # Not where this is imported: the filter in api-paste.ini does that once
    # more, when it is too late.
    CONF.register_cli_opt(cfg.BoolOpt('backup', default=False,
                                      help='Run the backup service.'))
    CONF(arguments, project='cinder', version=version.version_string())
    config.set_middleware_defaults()
    logging.setup(CONF, 'cinder')
    priv_context.init(root_helper=shlex.split(utils.get_root_helper()))
    os_brick.setup(CONF)
    provide_host_nqn()


def start_volume_service(backend: str) -> None:
    """Start the volume service of a backend, or exit if its driver fails."""
    volume = OneOfSeveral.create(
        host=f'{CONF.host}@{backend}', service_name=backend,
        binary=constants.VOLUME_BINARY, coordination=True)
    volume.start()
    if not volume.manager.is_working():
        sys.exit(f'The driver of backend {backend} did not start.')


def start_scheduler_and_api() -> int:
    """Start both; return the port of the API."""
    OneOfSeveral.create(binary=constants.SCHEDULER_BINARY).start()
    if CONF.backup:
        start_backup()
    if releases.is_native():
        return serve_in_threads()
    api = service.WSGIService('osapi_volume')
    api.start()
    port: int = api.port
    return port


def serve_in_threads() -> int:
    """Serve the API where Cinder's own server is not to be had."""
    server = simple_server.make_server(
        CONF.osapi_volume_listen, CONF.osapi_volume_listen_port,
        wsgi.Loader(CONF).load_app('osapi_volume'), ThreadingServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def serve(**told: object) -> NoReturn:
    """Tell that all is ready, and go on until this is killed."""
    print(json.dumps(told), flush=True)
    threading.Event().wait()
    sys.exit()


def main() -> None:
    if releases.is_native():
        share_sqlite()
    prepare(sys.argv[1:])
    migration.db_sync()
    # The scheduler asks for the capabilities of volume services that are
    # there when it starts.
    for backend in CONF.enabled_backends:
        start_volume_service(backend)
    serve(port=start_scheduler_and_api())


if __name__ == '__main__':
    main()
