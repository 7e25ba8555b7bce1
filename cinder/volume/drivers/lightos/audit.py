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
"""``lightos-audit``: the cluster against Cinder's database.

It reads cinder.conf as the services do, looks at both sides through the
driver's own code, and changes nothing unless told to.
"""

import argparse
import logging as python_logging
import math
import sys
from typing import Any, NamedTuple, Optional, Sequence

from oslo_config import cfg
from oslo_log import log as logging

# Registers the options of the services.
from cinder.common import config as cinder_config  # noqa: F401
from cinder import coordination
from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder import objects
from cinder import version
from cinder.volume import configuration
from cinder.volume import driver
from cinder.volume.drivers.lightos import attachments
from cinder.volume.drivers.lightos import audit_findings as findings
from cinder.volume.drivers.lightos import audit_fixes as fixes
from cinder.volume.drivers.lightos import audit_looks as looks
from cinder.volume.drivers.lightos import audit_proofs as proofs
from cinder.volume.drivers.lightos import audit_records as records
from cinder.volume.drivers.lightos import audit_report as reports
from cinder.volume.drivers.lightos import cluster
from cinder.volume.drivers.lightos import connection
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import listing
from cinder.volume.drivers.lightos import options

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

DRIVER = 'cinder.volume.drivers.lightos.LightOSVolumeDriver'

# Seconds between the two looks. An attach or detach is seen by Cinder's
# database a moment after the cluster has it.
SETTLE = 10.0

_EPILOG = """\
classes of findings:
%(classes)s

exit status: 0 clean, 1 findings are left, 2 some or all of it could not be
audited (or bad arguments).
""" % {'classes': '\n'.join('  %-20s %s%s' % (
    kind, meaning, ' [--fix]' if kind in fixes.FIXES else '')
    for kind, meaning in findings.CLASSES.items())}


class _CannotAudit(Exception):
    """Nothing can be audited; the text says why."""


class _Chosen(NamedTuple):
    """The clusters to audit, and why others cannot be."""

    clusters: tuple[proofs.Cluster, ...]
    errors: tuple[str, ...]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Audit and report.

    :returns: the exit status
    """
    args = _parser().parse_args(arguments)
    # The token and what a volume holds belong into no log file, and standard
    # output is the report's alone.
    python_logging.basicConfig(
        stream=sys.stderr,
        level=python_logging.DEBUG if args.debug else python_logging.WARNING,
        format='%(asctime)s %(levelname)s %(name)s %(message)s')
    try:
        report = _audit(args)
    except _CannotAudit as exc:
        report = reports.Report((), (), (str(exc),))
    except Exception as exc:
        # Cinder's database or its locks cannot be used, most likely.
        LOG.debug('What ended the audit:', exc_info=True)
        # An error of the database goes on with all of its statement.
        report = reports.Report((), (), ('%s: %s' % (
            type(exc).__name__, str(exc).partition('\n')[0]),))
    if args.format == 'json':
        print(reports.as_json(report))  # noqa: C303
    else:
        for line in reports.as_text(report):
            print(line)  # noqa: C303
    return report.status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='lightos-audit', description='Compare the volumes, snapshots '
        "and access lists of LightOS clusters with Cinder's database.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--config-file', action='append', default=[], metavar='FILE',
        help='as the services take it; several may be given (default: '
             'cinder.conf where the services look for it)')
    parser.add_argument(
        '--config-dir', action='append', default=[], metavar='DIRECTORY',
        help='likewise')
    parser.add_argument(
        '--backend', action='append', default=[], metavar='NAME',
        help='a section of cinder.conf to audit; several may be given '
             '(default: all of enabled_backends that have this driver)')
    parser.add_argument(
        '--host', action='append', default=[], metavar='HOST',
        help='of another controller that has the same backends, as its '
             'option host or backend_host says; several may be given')
    parser.add_argument(
        '--settle', type=_seconds, default=SETTLE, metavar='SECONDS',
        help='between the first look and the second (default: %(default)g)')
    parser.add_argument(
        '--fix', type=_kinds(fixes.FIXES), default=frozenset(),
        metavar='CLASS,...', help='mend the findings of these classes: %s'
        % ', '.join(fixes.FIXES))
    parser.add_argument(
        '--ignore', type=_kinds(findings.CLASSES), default=frozenset(),
        metavar='CLASS,...', help='do not tell findings of these classes')
    parser.add_argument('--format', choices=('text', 'json'), default='text')
    parser.add_argument('--debug', action='store_true',
                        help='log everything, on standard error')
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(
            '%r is not a number of seconds from 0 to 3600' % text)
    return seconds


def _kinds(known: Any) -> Any:
    def kinds(text: str) -> frozenset[str]:
        named = frozenset(filter(None, text.split(',')))
        for each in named - set(known):
            raise argparse.ArgumentTypeError(
                '%r is none of %s' % (each, ', '.join(known)))
        return named
    return kinds


def _audit(args: argparse.Namespace) -> reports.Report:
    _configure(args)
    if args.fix:
        # The locks of the volume services.
        coordination.COORDINATOR.start()
    try:
        chosen = _clusters(args)
        seen, fixed = [], []
        for each in chosen.clusters:
            of_it = looks.audit(each, args.settle)
            seen.append(of_it)
            fixed += fixes.fix(each, of_it.findings,
                               args.fix - args.ignore, args.settle)
    finally:
        coordination.COORDINATOR.stop()
    return reports.Report(tuple(seen), tuple(fixed), chosen.errors,
                          args.ignore)


def _configure(args: argparse.Namespace) -> None:
    """Read cinder.conf.

    :raises: _CannotAudit
    """
    objects.register_all()
    words: list[str] = []
    for name in ('config_file', 'config_dir'):
        for value in getattr(args, name):
            words += ['--' + name.replace('_', '-'), value]
    try:
        CONF(words, project='cinder', version=version.version_string())
    except (cfg.Error, UnicodeError) as exc:
        raise _CannotAudit(_('cannot read the configuration: %s') % exc)


def _clusters(args: argparse.Namespace) -> _Chosen:
    """Connect to the clusters of the backends.

    :raises: _CannotAudit when there is nothing to audit
    """
    names = args.backend or [name for name in CONF.enabled_backends or ()
                             if name and _is_ours(name)]
    if not names:
        raise _CannotAudit(_('enabled_backends names no backend with the '
                             'driver %s') % DRIVER)
    errors: list[str] = []
    backends: dict[str, list[records.Backend]] = {}
    for name in dict.fromkeys(names):
        if not _is_ours(name):
            errors.append(_('%(name)s is no section of the configuration '
                            'with the driver %(driver)s')
                          % {'name': name, 'driver': DRIVER})
            continue
        try:
            backend = _backend(name, args.host)
            op = proofs.Cluster('', (backend,)).operation(
                _('connect to the cluster of backend %s') % name)
            info = cluster.refresh(op, backend.connection)
            backends.setdefault(info.uuid, []).append(backend)
        except (cinder_exception.CinderException, cfg.Error) as exc:
            errors.append(_('backend %(name)s: %(why)s')
                          % {'name': name, 'why': exc})
            if isinstance(exc, exception.LightOSRefused) and (
                    exc.status == 401):
                errors[-1] += _(' (the token is that of %s)') % (
                    backend.connection.token_source)
    return _Chosen(tuple(
        proofs.Cluster(uuid, together) for uuid, of_it in backends.items()
        for together in _by_token(of_it)), tuple(errors))


def _by_token(backends: Sequence[records.Backend]
              ) -> list[tuple[records.Backend, ...]]:
    """Put the backends of a cluster together that one token is enough for.

    A cluster-admin's is enough for all; a project's does not open the LightOS
    projects of the others. The backend that has it comes first.
    """
    tokens: dict[tuple[Any, ...], list[records.Backend]] = {}
    for backend in backends:
        tokens.setdefault(
            (backend.conf.safe_get('lightos_jwt_file'),
             backend.conf.lightos_jwt), []).append(backend)
    groups = list(tokens.values())
    if len(groups) == 1:
        return [tuple(backends)]
    for group in groups:
        if _opens_all(group[0]):
            return [(*group, *(backend for other in groups
                               if other is not group for backend in other))]
    return [tuple(group) for group in groups]


def _opens_all(backend: records.Backend) -> bool:
    """Whether a backend's token may list the LightOS projects.

    Any other trouble is told when the backend is audited.
    """
    op = proofs.Cluster('', (backend,)).operation(
        _('list the LightOS projects'))
    try:
        listing.projects(op)
    except exception.LightOSRefused as exc:
        return exc.status != 403
    except cinder_exception.CinderException:
        pass
    return True


def _is_ours(name: str) -> bool:
    """Whether a backend section names this driver."""
    package, _dot, class_name = DRIVER.rpartition('.')
    named = (_own('volume_driver', name) or
             _own('volume_driver', configuration.SHARED_CONF_GROUP))
    return named in (DRIVER, '%s.driver.%s' % (package, class_name))


def _backend(name: str, hosts: Sequence[str]) -> records.Backend:
    """Read a backend's section.

    :param hosts: further controllers that have it
    """
    conf = configuration.Configuration(
        [*driver.volume_opts, *options.lightos_opts], config_group=name)
    services = [*hosts, _own('backend_host', name) or CONF.host]
    # Controllers that share a backend active-active record their cluster.
    services += filter(None, [_own('cluster')])
    return records.Backend(
        name=name, conf=conf, policy=attachments.Policy.of(conf),
        services=frozenset('%s@%s' % (each, name) for each in services),
        connection=connection.LightOSConnection(conf))


def _own(name: str, group: Optional[str] = None) -> Optional[str]:
    """An option that the volume service registers, in its program or late.

    The modules that do so are for a service: they load all of it.
    """
    try:
        # It is an option of the services, not one more for Cinder's opts.py,
        # whose generator goes by the words CONF.register_opt.
        known = CONF
        known.register_opt(cfg.StrOpt(name), group=group)
    except cfg.DuplicateOptError:
        pass
    value = (CONF[group] if group else CONF)[name]
    return value.strip() if value else None


if __name__ == '__main__':
    sys.exit(main())
