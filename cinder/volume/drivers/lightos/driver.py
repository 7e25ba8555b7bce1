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
"""Cinder volume driver for Lightbits LightOS."""

from typing import Any, Mapping, Optional
import uuid

from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import importutils

from cinder import context as cinder_context
from cinder import coordination
from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder import interface
from cinder.objects.snapshot import Snapshot
from cinder.objects.volume import Volume
from cinder import utils
from cinder.volume import driver
from cinder.volume.drivers.lightos import access
from cinder.volume.drivers.lightos import attachments
from cinder.volume.drivers.lightos import changes
from cinder.volume.drivers.lightos import cluster
from cinder.volume.drivers.lightos import connection
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import migration
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import options
from cinder.volume.drivers.lightos import replies
from cinder.volume.drivers.lightos import rollback
from cinder.volume.drivers.lightos import snapshots
from cinder.volume.drivers.lightos import specs
from cinder.volume.drivers.lightos import stats
from cinder.volume.drivers.lightos import volumes
from cinder.volume.drivers.lightos import waiting
from cinder.volume import volume_utils

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

LIGHTOS = 'LIGHTOS'
TEMPORARY_SNAPSHOT_PREFIX = 'for_clone_%s_'
# How long a temporary snapshot lives at the most if nobody can delete it.
TEMPORARY_SNAPSHOT_RETENTION = '86400s'
# The part of an operation's time that is kept for undoing what failed.
UNDO_SHARE = 0.2
VENDOR = 'lightos'


@interface.volumedriver
class LightOSVolumeDriver(driver.VolumeDriver):
    """Volume driver for Lightbits LightOS over NVMe/TCP.

    .. code-block:: default

      Version history:
          3.0.0 - Written anew.
    """

    VERSION = '3.0.0'
    # ThirdPartySystems wiki page
    CI_WIKI_NAME = 'LightbitsLabs_CI'
    SUPPORTS_ACTIVE_ACTIVE = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(options.lightos_opts)
        self.connector = importutils.import_class(
            self.configuration.safe_get('initiator_connector') or
            'os_brick.initiator.connector.InitiatorConnector').factory(
                LIGHTOS, root_helper=utils.get_root_helper(),
                message_queue=None,
                device_scan_attempts=(
                    self.configuration.num_volume_device_scan_tries))
        self.cluster = connection.LightOSConnection(self.configuration)
        self._statistics = stats.Statistics(self.configuration, self.VERSION)

    @classmethod
    def get_driver_options(cls) -> list[cfg.Opt]:
        return options.lightos_opts + cls._get_oslo_driver_opts(
            'driver_ssl_cert_path', 'driver_ssl_cert_verify',
            'max_over_subscription_ratio', 'num_volume_device_scan_tries',
            'reserved_percentage', 'volume_backend_name')

    @classmethod
    def clean_volume_file_locks(cls, volume_id: str) -> None:
        coordination.synchronized_remove(attachments.LOCK % volume_id)

    # Setup and statistics

    def do_setup(self, context: cinder_context.RequestContext) -> None:
        if not self.configuration.lightos_api_address:
            raise cinder_exception.InvalidConfigurationValue(
                option='lightos_api_address',
                value=self.configuration.lightos_api_address)
        self._access_policy()
        op = self._operation(_('connect to the cluster'))
        try:
            info = cluster.refresh(op, self.cluster)
        except exception.LightOSRefused as exc:
            if exc.status != 401:
                raise
            raise cinder_exception.InvalidAuthKey(
                reason=_('the LightOS cluster does not take the token of '
                         '%(source)s: %(why)s')
                % {'source': self.cluster.token_source, 'why': exc})
        LOG.info('Connected to the LightOS cluster %(uuid)s, subsystem '
                 '%(nqn)s.', {'uuid': info.uuid, 'nqn': info.subsystem_nqn})

    def check_for_setup_error(self) -> None:
        missing = []
        if not self.cluster.subsystemNQN:
            missing.append(_('the cluster tells no subsystem NQN'))
        if not self._own_nqn():
            missing.append(_('this controller has no host NQN '
                             '(/etc/nvme/hostnqn), which it needs to copy '
                             'images and volumes'))
        if missing:
            raise exception.LightOSError(
                reason=_('cannot start: %s') % ', and '.join(missing))

    def get_volume_stats(self, refresh: bool = False) -> dict[str, Any]:
        if refresh:
            self._stats = self._statistics.collect(
                self._operation(_('read the statistics'),
                                seconds=0.5 * self._stats_interval()),
                self.cluster)
        return self._stats

    def _init_vendor_properties(self) -> tuple[dict[str, Any], str]:
        properties: dict[str, Any] = {}
        self._set_property(
            properties, specs.REPLICAS_SPEC, 'LightOS replicas',
            _('How many replicas of a volume the cluster keeps, on as many '
              'nodes.'),
            'integer', minimum=specs.REPLICA_COUNTS[0],
            maximum=specs.REPLICA_COUNTS[-1],
            default=self.configuration.lightos_default_num_replicas)
        self._set_property(
            properties, identity.PROJECT_SPEC, 'LightOS project',
            _('The LightOS project in which volumes are created.'),
            'string', default=identity.LIGHTOS_DEFAULT_PROJECT_NAME)
        self._set_property(
            properties, specs.QOS_POLICY_SPEC, 'LightOS QoS policy',
            _('The LightOS QoS policy of volumes, by UUID or name. Without '
              'one the default of the LightOS project applies.'),
            'string')
        return properties, VENDOR

    # Volumes

    @volume_utils.trace
    def create_volume(self, volume: Volume) -> dict[str, str]:
        op = self._operation(_('create volume %s') % volume.id)
        return _model(volumes.create(op, self._wanted(volume)))

    @volume_utils.trace
    def create_volume_from_snapshot(
            self, volume: Volume,
            snapshot: Snapshot) -> dict[str, str]:
        op = self._operation(
            _('create volume %(volume)s from snapshot %(snapshot)s')
            % {'volume': volume.id, 'snapshot': snapshot.id})
        sought = identity.of_snapshot(snapshot)
        wanted = self._wanted(volume)._replace(
            source=volumes.Source(sought.uuid, sought.name))
        self._refuse_other_project(op, wanted, sought.project)
        try:
            return _model(volumes.create(op, wanted))
        except exception.LightOSRefused as exc:
            raise exc.explained(_why_not_from(op, wanted, sought)) from exc

    @volume_utils.trace
    def create_cloned_volume(self, volume: Volume,
                             src_vref: Volume) -> dict[str, str]:
        op = self._operation(
            _('clone volume %(source)s to volume %(volume)s')
            % {'source': src_vref.id, 'volume': volume.id})
        wanted = self._wanted(volume)
        prefix = TEMPORARY_SNAPSHOT_PREFIX % volume.id
        name = prefix + uuid.uuid4().hex
        found = snapshots.create(
            self._most_of(op), name, identity.of_volume(src_vref),
            self._most_snapshot_calls(), TEMPORARY_SNAPSHOT_RETENTION)
        try:
            self._refuse_other_project(op, wanted, found.project)
            return _model(volumes.create(
                self._most_of(op), wanted._replace(source=volumes.Source(
                    found.snapshot.uuid, name, prefix))))
        except exception.LightOSRefused as exc:
            raise exc.explained(_differences(wanted, found.snapshot)) from exc
        finally:
            snapshots.discard(op, found)

    @volume_utils.trace
    def delete_volume(self, volume: Volume) -> None:
        op = self._operation(_('delete volume %s') % volume.id)
        sought = identity.of_volume(volume)
        volumes.delete(
            op, sought,
            lambda: migration.find_to_delete(op, volume, sought)
            if sought.temporary else lookup.find(op, sought))

    @volume_utils.trace
    def extend_volume(self, volume: Volume, new_size: int) -> None:
        op = self._operation(_('extend volume %(id)s to %(size)d GiB')
                             % {'id': volume.id, 'size': new_size})
        changes.extend(op, identity.of_volume(volume), new_size)

    @volume_utils.trace
    def retype(self, context: cinder_context.RequestContext, volume: Volume,
               new_type: Mapping[str, Any],
               diff: Mapping[str, Any],
               host: Optional[Mapping[str, Any]]) -> bool:
        """Give a volume another QoS policy in place.

        Whatever else two types differ in takes a migration.
        """
        if host and host['host'] != volume.host:
            return False
        if any(_differs(diff, part) for part in ('encryption', 'qos_specs')):
            return False
        changed = _differs(diff, 'extra_specs')
        if not changed:
            return True
        policy = changed.pop(specs.QOS_POLICY_SPEC, (None, None))[1]
        if changed or not policy:
            return False
        op = self._operation(_('set the QoS policy %(policy)s of volume '
                               '%(id)s') % {'policy': policy,
                                            'id': volume.id})
        changes.set_qos_policy(op, identity.of_volume(volume), policy)
        return True

    @volume_utils.trace
    def before_volume_copy(
            self, context: cinder_context.RequestContext, src_vol: Volume,
            dest_vol: Volume, remote: Optional[str] = None) -> None:
        LOG.info('Copying volume %(id)s to the temporary volume %(new)s.',
                 {'id': src_vol.id, 'new': dest_vol.id})
        migration.complete_provider_id(
            self._operation(_('find volume %s') % src_vol.id), src_vol)

    def update_migrated_volume(
            self, ctxt: cinder_context.RequestContext, volume: Volume,
            new_volume: Volume,
            original_volume_status: str) -> dict[str, Optional[str]]:
        """Name the volume that was migrated to after the one it replaces.

        While the source is on this cluster its name is taken, and Cinder's
        clean-up deletes the source next: the new volume then keeps its name.
        """
        op = self._operation(_('rename the LightOS volume of %(new)s to that '
                               'of volume %(id)s')
                             % {'new': new_volume.id, 'id': volume.id})
        try:
            renamed = migration.take_name(
                op, volume, new_volume, CONF.volume_name_template % volume.id)
        except cinder_exception.CinderException as exc:
            LOG.warning('The migrated volume keeps its name: %s', exc)
            renamed = False
        # Where this is done once more after a restart, name_id of the new
        # volume is that of the old one already.
        return {'_name_id': None if renamed else new_volume.id}

    def update_provider_info(
            self, volumes: list[Volume],
            snapshots: list[Snapshot]
    ) -> tuple[list[dict[str, str]], None]:
        """Record the project of volumes that older releases left without.

        It runs before the service takes requests and for all volumes at
        once, so it asks the cluster nothing.
        """
        updates = []
        for volume in volumes:
            if identity.ProviderId.parse(volume.provider_id):
                continue
            try:
                project = identity.type_project(volume)
            except Exception as exc:
                # A wrong project would outlive the trouble, and one broken
                # record must not keep the service from starting.
                LOG.warning('Not recording the LightOS project of volume '
                            '%(id)s, whose type cannot be read: %(why)s',
                            {'id': volume.id, 'why': exc})
                continue
            updates.append({'id': volume.id, 'provider_id': project})
        return updates, None

    # Snapshots

    @volume_utils.trace
    def create_snapshot(self, snapshot: Snapshot) -> dict[str, str]:
        op = self._operation(
            _('create snapshot %(snapshot)s of volume %(volume)s')
            % {'snapshot': snapshot.id, 'volume': snapshot.volume_id})
        found = snapshots.create(
            op, identity.snapshot_name(snapshot),
            identity.of_volume(snapshot.volume), self._most_snapshot_calls())
        return {'provider_id': str(identity.ProviderId(
            found.project, found.snapshot.uuid))}

    @volume_utils.trace
    def revert_to_snapshot(self, context: cinder_context.RequestContext,
                           volume: Volume, snapshot: Snapshot) -> None:
        op = self._operation(
            _('revert volume %(volume)s to snapshot %(snapshot)s')
            % {'volume': volume.id, 'snapshot': snapshot.id})
        rollback.revert(op, identity.of_volume(volume),
                        identity.of_snapshot(snapshot))

    def snapshot_revert_use_temp_snapshot(self) -> bool:
        """The cluster reverts in place and needs no copy to fall back on."""
        return False

    @volume_utils.trace
    def delete_snapshot(self, snapshot: Snapshot) -> None:
        op = self._operation(
            _('delete snapshot %(snapshot)s of volume %(volume)s')
            % {'snapshot': snapshot.id, 'volume': snapshot.volume_id})
        snapshots.delete(op, identity.of_snapshot(snapshot))

    # Access. Nothing is exported: a volume is there for the hosts that its
    # access lists name.

    def create_export(self, context: cinder_context.RequestContext,
                      volume: Volume,
                      connector: Optional[Mapping[str, Any]]) -> None:
        pass

    def ensure_export(self, context: cinder_context.RequestContext,
                      volume: Volume) -> None:
        pass

    def remove_export(self, context: cinder_context.RequestContext,
                      volume: Volume) -> None:
        pass

    def backup_use_temp_snapshot(self) -> bool:
        """A snapshot cannot be attached, so a backup needs a clone."""
        return False

    def validate_connector(self, connector: Mapping[str, Any]) -> None:
        attachments.read_connector(connector, self._access_policy())

    @volume_utils.trace
    def initialize_connection(
            self, volume: Volume,
            connector: Mapping[str, Any]) -> dict[str, Any]:
        policy = self._access_policy()
        host = attachments.read_connector(connector, policy)
        op = self._operation(
            _('attach volume %(id)s to host %(nqn)s')
            % {'id': volume.id, 'nqn': host.nqn},
            seconds=self._attach_seconds())
        targets = self._discovery_targets(op)
        found = attachments.attach(op, volume, host, policy)
        return {'driver_volume_type': 'lightos', 'data': {
            'uuid': found.volume.uuid.lower(),
            'subsysnqn': self.cluster.subsystemNQN,
            'lightos_nodes': targets}}

    @volume_utils.trace
    def terminate_connection(self, volume: Volume,
                             connector: Optional[Mapping[str, Any]],
                             **kwargs: Any) -> None:
        op = self._operation(
            _('detach volume %(id)s from %(host)s')
            % {'id': volume.id, 'host': _('all hosts') if connector is None
               else _('host %s') % connector.get('nqn')},
            seconds=self._attach_seconds())
        attachments.detach(op, volume, connector, bool(kwargs.get('force')),
                           self._own_nqn, self._access_policy())

    # What the methods above have in common

    def _operation(self, action: str,
                   seconds: Optional[float] = None) -> operation.Operation:
        if seconds is None:
            seconds = 3 * self.configuration.lightos_api_service_timeout + 10
        return operation.Operation(self.cluster, action,
                                   waiting.Deadline(seconds))

    def _most_of(self, op: operation.Operation) -> operation.Operation:
        return op.within(op.deadline.earlier(1 - UNDO_SHARE))

    def _attach_seconds(self) -> float:
        # The caller gives up after rpc_response_timeout.
        return 0.75 * getattr(CONF, 'rpc_response_timeout', 60)

    def _stats_interval(self) -> float:
        return getattr(CONF, 'backend_stats_polling_interval', 60)

    def _most_snapshot_calls(self) -> int:
        return self.configuration.lightos_api_service_snapshots_max_calls

    def _access_policy(self) -> attachments.Policy:
        return attachments.Policy(
            use_ipacl=self.configuration.lightos_use_ipacl,
            networks=access.networks(self.configuration.safe_get(
                'lightos_ipacl_networks') or ()))

    def _wanted(self, volume: Volume) -> volumes.Wanted:
        return volumes.Wanted(
            name=identity.volume_name(volume),
            size=volume.size,
            specs=specs.of_volume(volume, self.configuration),
            access=access.closed(self.configuration.lightos_use_ipacl))

    def _refuse_other_project(self, op: operation.Operation,
                              wanted: volumes.Wanted, project: str) -> None:
        if wanted.specs.project != project:
            raise op.failed(
                _('its type asks for the LightOS project %(asked)s, and what '
                  'it is made from lives in project %(source)s: LightOS '
                  'makes a clone in the project of its source')
                % {'asked': wanted.specs.project, 'source': project})

    def _own_nqn(self) -> Optional[str]:
        properties = self.connector.get_connector_properties(
            utils.get_root_helper())
        return properties.get('nqn')

    def _discovery_targets(
            self, op: operation.Operation) -> dict[str, dict[str, Any]]:
        """The discovery services as they were in the last stats period."""
        learned_at = self.cluster.learned_at
        if (learned_at is None or
                waiting.monotonic() - learned_at > self._stats_interval()):
            try:
                cluster.refresh(op.within(op.deadline.earlier(UNDO_SHARE)),
                                self.cluster)
            except cinder_exception.CinderException as exc:
                LOG.warning('The endpoints of the LightOS cluster may be out '
                            'of date: %s', exc)
        targets = cluster.discovery_targets(self.cluster)
        if not targets:
            raise op.failed(_('the cluster names neither a discovery service '
                              'nor a node'))
        return targets


def _model(found: lookup.Found) -> dict[str, str]:
    return {'provider_id': str(identity.ProviderId(found.project,
                                                   found.volume.uuid))}


def _why_not_from(op: operation.Operation, wanted: volumes.Wanted,
                  sought: identity.SnapshotIdentity) -> str:
    """Explain why the cluster does not make a volume from a snapshot."""
    try:
        found = snapshots.find(op, sought)
    except cinder_exception.CinderException:
        return ''
    if found is None:
        return _('The cluster does not have the snapshot')
    return _differences(wanted, found.snapshot)


def _differences(wanted: volumes.Wanted, snapshot: replies.Snapshot) -> str:
    """What a clone of a snapshot cannot have otherwise than it."""
    found = []
    if snapshot.replicas not in (None, wanted.specs.replicas):
        found.append(
            _('The snapshot has %(source)d replicas and the volume type asks '
              'for %(asked)d') % {'source': snapshot.replicas or 0,
                                  'asked': wanted.specs.replicas})
    if snapshot.compression not in (None, wanted.specs.compression):
        found.append(
            _('The snapshot is compressed and the volume type asks for none')
            if snapshot.compression else
            _('The snapshot is not compressed and the volume type asks for '
              'compression'))
    return '. '.join(found)


def _differs(diff: Optional[Mapping[str, Any]],
             part: str) -> dict[str, tuple[Any, Any]]:
    """What differs in a part of two volume types: name -> (old, new)."""
    values = (diff or {}).get(part) or {}
    return {name: pair for name, pair in values.items()
            if pair[0] != pair[1]}
