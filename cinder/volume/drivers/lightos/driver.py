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

from typing import Any, Mapping, NoReturn, Optional, Sequence, Union
import uuid

from oslo_config import cfg
from oslo_log import log as logging
from oslo_utils import importutils

from cinder import context as cinder_context
from cinder import exception as cinder_exception
from cinder.i18n import _
from cinder import interface
from cinder.objects.group import Group
from cinder.objects.group_snapshot import GroupSnapshot
from cinder.objects.snapshot import Snapshot
from cinder.objects.volume import Volume
from cinder import utils
from cinder.volume import driver
from cinder.volume.drivers.lightos import access
from cinder.volume.drivers.lightos import attachments
from cinder.volume.drivers.lightos import changes
from cinder.volume.drivers.lightos import cluster
from cinder.volume.drivers.lightos import connection
from cinder.volume.drivers.lightos import copies
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import identity
from cinder.volume.drivers.lightos import images
from cinder.volume.drivers.lightos import labelling
from cinder.volume.drivers.lightos import labels
from cinder.volume.drivers.lightos import locks
from cinder.volume.drivers.lightos import lookup
from cinder.volume.drivers.lightos import manage
from cinder.volume.drivers.lightos import manageable
from cinder.volume.drivers.lightos import migration
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import options
from cinder.volume.drivers.lightos import qos
from cinder.volume.drivers.lightos import retype
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
# How long a temporary snapshot lives at the most if nobody can delete it.
TEMPORARY_SNAPSHOT_RETENTION = '86400s'
# The part of an operation's time that is kept for undoing what failed.
UNDO_SHARE = 0.2
GROUP_REPLICATION_SPECS = ('group_replication_enabled',
                           'consistent_group_replication_enabled')
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
        self._labelling = labelling.Labelling()
        self._policies = qos.Policies()
        self._statistics = stats.Statistics(self.configuration, self.VERSION)

    @classmethod
    def get_driver_options(cls) -> list[cfg.Opt]:
        return options.lightos_opts + cls._get_oslo_driver_opts(
            'driver_ssl_cert_path', 'driver_ssl_cert_verify',
            'max_over_subscription_ratio', 'num_volume_device_scan_tries',
            'reserved_percentage', 'suppress_requests_ssl_warnings',
            'volume_backend_name')

    @classmethod
    def clean_volume_file_locks(cls, volume_id: str) -> None:
        locks.remove(volume_id)

    # Setup and statistics

    @volume_utils.trace
    def do_setup(self, context: cinder_context.RequestContext) -> None:
        if not self.configuration.lightos_api_address:
            raise cinder_exception.InvalidConfigurationValue(
                option='lightos_api_address',
                value=self.configuration.lightos_api_address)
        self._access_policy()
        self.cluster.check_authorities()
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

    @volume_utils.trace
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

    @volume_utils.trace
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
        self._set_property(
            properties, specs.SECTOR_SIZE_SPEC, 'LightOS sector size',
            _('The logical sector size of volumes in bytes. Without one the '
              'cluster chooses.'),
            'integer', enum=list(specs.SECTOR_SIZES))
        return properties, VENDOR

    # Volumes

    @volume_utils.trace
    def create_volume(self, volume: Volume) -> dict[str, str]:
        op = self._operation(_('create volume %s') % volume.id)
        return _model(self._make(op, self._to_make(op, volume)))

    @volume_utils.trace
    def create_volume_from_snapshot(
            self, volume: Volume,
            snapshot: Snapshot) -> dict[str, str]:
        op = self._operation(
            _('create volume %(volume)s from snapshot %(snapshot)s')
            % {'volume': volume.id, 'snapshot': snapshot.id})
        sought = identity.of_snapshot(snapshot)
        wanted = self._to_make(op, volume)._replace(
            source=volumes.Source(sought.uuid, sought.name))
        self._refuse_other_project(op, wanted, sought.project)
        try:
            return _model(self._make(op, wanted))
        except exception.LightOSRefused as exc:
            why, other = copies.after_refusal(op, wanted, sought,
                                              exc.reason)
            if other is None:
                raise exc.explained(why) from exc
            return _model(self._make(op, other))

    @volume_utils.trace
    def create_cloned_volume(self, volume: Volume,
                             src_vref: Volume) -> dict[str, str]:
        return self._clone(self._operation(
            _('clone volume %(source)s to volume %(volume)s')
            % {'source': src_vref.id, 'volume': volume.id}), volume, src_vref)

    @volume_utils.trace
    def clone_image(self, context: cinder_context.RequestContext,
                    volume: Volume, image_location: Optional[images.Location],
                    image_meta: Mapping[str, Any],
                    image_service: Any) -> tuple[dict[str, str], bool]:
        """Clone the volume that holds an image, if this cluster has it."""
        op = self._operation(
            _('clone image %(image)s to volume %(volume)s')
            % {'image': image_meta.get('id'), 'volume': volume.id})
        look = op.within(waiting.Deadline(
            self.configuration.lightos_api_service_timeout))
        source = images.find_source(
            context, look, volume, self._to_make(look, volume),
            image_location, image_meta)
        if source is None:
            return {}, False
        try:
            return self._clone(op, volume, source), True
        except (cinder_exception.VolumeNotFound,
                exception.LightOSRefused) as exc:
            LOG.warning('Copying image %(image)s to volume %(volume)s, for '
                        'it cannot be cloned: %(why)s',
                        {'image': image_meta.get('id'), 'volume': volume.id,
                         'why': exc})
            return {}, False

    @volume_utils.trace
    def delete_volume(self, volume: Volume) -> None:
        if volume.status == 'error_managing_deleting':
            # It was not taken in; if it has the name of this record, it is
            # because that could not be undone.
            LOG.info('Volume %s could not be managed and is forgotten; what '
                     'it was to be is left on the cluster.', volume.id)
            return
        if volume.status == 'creating' and not volume.host:
            # Cinder does this after it has handed a create that failed to the
            # scheduler: another service may have made the volume by now, and
            # nothing tells that one from what the create could not delete.
            LOG.info('Volume %s is being made elsewhere; if there is one of '
                     'its name on the cluster, it stays.', volume.id)
            return
        op = self._operation(_('delete volume %s') % volume.id)
        sought = identity.of_volume(volume)
        volumes.delete(
            op, sought, self._made(volume),
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
        """Give a volume another compression or QoS policy in place.

        Other replicas, another project or encryption, and no QoS policy in
        place of one, take a migration.
        """
        if host and not _is_at(volume, host):
            return False
        wanted = retype.wanted(diff or {}, self.configuration)
        if wanted is None:
            return False
        op = self._operation(_('retype volume %(id)s to type %(type)s')
                             % {'id': volume.id, 'type': new_type['id']})
        sought = identity.of_volume(volume)
        if any(each is not None for each in wanted) and not retype.retype(
                op, sought, wanted, self._policies):
            return False
        self._labelling.put(op, sought, self._owner(volume)._replace(
            volume_type_id=new_type['id']))
        return True

    @volume_utils.trace
    def before_volume_copy(
            self, context: cinder_context.RequestContext, src_vol: Volume,
            dest_vol: Volume, remote: Optional[str] = None) -> None:
        LOG.info('Copying volume %(id)s to the temporary volume %(new)s.',
                 {'id': src_vol.id, 'new': dest_vol.id})
        migration.complete_provider_id(
            self._operation(_('find volume %s') % src_vol.id), src_vol)

    @volume_utils.trace
    def accept_transfer(self, context: cinder_context.RequestContext,
                        volume: Mapping[str, Any], new_user: str,
                        new_project: str) -> None:
        """Label a volume with the project that takes it over."""
        # Cinder passes a row of its database here, and waits for the end.
        record = Volume.get_by_id(context.elevated(), volume['id'])
        op = self._operation(
            _('label volume %(id)s with its new project %(project)s')
            % {'id': record.id, 'project': new_project},
            seconds=self._attach_seconds())
        self._labelling.put(
            op, identity.of_volume(record),
            self._owner(record)._replace(project_id=new_project))

    @volume_utils.trace
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
                             % {'new': new_volume.id, 'id': volume.id},
                             seconds=self._attach_seconds())
        self._labelling.put(
            op, identity.of_volume(new_volume),
            self._owner(volume)._replace(
                volume_type_id=new_volume.volume_type_id))
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
        # Each volume would read its type from the database by itself.
        projects: dict[Optional[str], str] = {}
        for volume in volumes:
            if identity.ProviderId.parse(volume.provider_id):
                continue
            if volume.status == 'creating':
                # Another controller may be making it and record its UUID
                # before Cinder writes what is returned here over it.
                continue
            try:
                if volume.volume_type_id not in projects:
                    projects[volume.volume_type_id] = identity.type_project(
                        volume)
            except Exception as exc:
                # A wrong project would outlive the trouble, and one broken
                # record must not keep the service from starting.
                LOG.warning('Not recording the LightOS project of volume '
                            '%(id)s, whose type cannot be read: %(why)s',
                            {'id': volume.id, 'why': exc})
                continue
            updates.append({'id': volume.id, 'provider_id':
                            projects[volume.volume_type_id]})
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
        try:
            rollback.revert(op, identity.of_volume(volume),
                            identity.of_snapshot(snapshot))
        except (AttributeError, NotImplementedError) as exc:
            # Cinder takes these for a driver that cannot revert, and copies
            # the snapshot over the volume.
            raise op.failed(repr(exc)) from exc

    def snapshot_revert_use_temp_snapshot(self) -> bool:
        """The cluster reverts in place and needs no copy to fall back on."""
        return False

    @volume_utils.trace
    def delete_snapshot(self, snapshot: Snapshot) -> None:
        op = self._operation(
            _('delete snapshot %(snapshot)s of volume %(volume)s')
            % {'snapshot': snapshot.id, 'volume': snapshot.volume_id})
        snapshots.delete(op, identity.of_snapshot(snapshot))

    # Groups. They are Cinder's own work, a volume after the other, which
    # NotImplementedError leaves to it. It would do the same with a group
    # that is promised to be consistent or replicated.

    def create_group(self, context: cinder_context.RequestContext,
                     group: Group) -> NoReturn:
        _refuse_consistency(group)
        _refuse_replication(group)
        raise NotImplementedError()

    def create_group_snapshot(
            self, context: cinder_context.RequestContext,
            group_snapshot: GroupSnapshot,
            snapshots: list[Snapshot]) -> NoReturn:
        _refuse_consistency(group_snapshot)
        raise NotImplementedError()

    # What was there before

    @volume_utils.trace
    def manage_existing_get_size(self, volume: Volume,
                                 existing_ref: Any) -> int:
        op, reference, newcomer = self._newcomer(volume, existing_ref)
        found = manage.find_volume(op, reference, newcomer)
        return manage.size_of(found.volume.size, reference)

    @volume_utils.trace
    def manage_existing(self, volume: Volume,
                        existing_ref: Any) -> dict[str, str]:
        op, reference, newcomer = self._newcomer(volume, existing_ref)
        found = manage.take_in(op, reference, newcomer)
        self._labelling.put_on(op, found, self._owner(volume))
        return _model(found)

    def unmanage(self, volume: Volume) -> None:
        """The volume loses its labels and keeps its name.

        :raises: LightOSRefused, LightOSNotSeen when it cannot lose them
        """
        labelling.remove(
            self._operation(_('unmanage volume %s') % volume.id),
            identity.of_volume(volume))
        LOG.info('Volume %(id)s is not managed any more; on the cluster it '
                 'is %(name)s, %(provider_id)s.',
                 {'id': volume.id, 'name': identity.volume_name(volume),
                  'provider_id': volume.provider_id})

    def get_manageable_volumes(
            self, cinder_volumes: Sequence[Volume], marker: Any,
            limit: Optional[int], offset: Optional[int],
            sort_keys: Sequence[str],
            sort_dirs: Sequence[str]) -> list[dict[str, Any]]:
        return manageable.volumes(
            self._operation(_('list manageable volumes')), cinder_volumes,
            manageable.Page(marker, limit, offset, sort_keys, sort_dirs))

    @volume_utils.trace
    def manage_existing_snapshot_get_size(self, snapshot: Snapshot,
                                          existing_ref: Any) -> int:
        op, reference = self._snapshot_newcomer(snapshot, existing_ref)
        found = manage.find_snapshot(op, reference, snapshot)
        return manage.size_of(found.snapshot.size, reference)

    @volume_utils.trace
    def manage_existing_snapshot(self, snapshot: Snapshot,
                                 existing_ref: Any) -> dict[str, str]:
        op, reference = self._snapshot_newcomer(snapshot, existing_ref)
        found = manage.find_snapshot(op, reference, snapshot)
        return {'provider_id': str(identity.ProviderId(
            found.project, found.snapshot.uuid))}

    def unmanage_snapshot(self, snapshot: Snapshot) -> None:
        """Nothing changes on the cluster: the snapshot keeps its name."""
        LOG.info('Snapshot %(id)s is not managed any more; on the cluster '
                 'it is %(provider_id)s.',
                 {'id': snapshot.id, 'provider_id': snapshot.provider_id})

    def get_manageable_snapshots(
            self, cinder_snapshots: Sequence[Snapshot], marker: Any,
            limit: Optional[int], offset: Optional[int],
            sort_keys: Sequence[str],
            sort_dirs: Sequence[str]) -> list[dict[str, Any]]:
        return manageable.snapshots(
            self._operation(_('list manageable snapshots')),
            cinder_snapshots,
            manageable.Page(marker, limit, offset, sort_keys, sort_dirs))

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

    @volume_utils.trace
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
        if connector is not None:
            connector = access.fields(connector)
        op = self._operation(
            _('detach volume %(id)s from %(host)s')
            % {'id': volume.id, 'host': _('all hosts') if connector is None
               else _('host %s') % connector.get('nqn')},
            seconds=self._attach_seconds())
        force = bool(kwargs.get('force'))
        # It takes os-brick some commands, and the lock need not be held.
        own_nqn = self._own_nqn() if force and connector else None
        attachments.detach(op, volume, connector, force, own_nqn,
                           self._access_policy())

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
        return attachments.Policy.of(self.configuration)

    def _to_make(self, op: operation.Operation,
                 volume: Volume) -> volumes.Wanted:
        wanted = self._wanted(volume)
        specs.warn_of_unknown(volume)
        cluster.check_replicas(op, self.cluster, wanted.specs.replicas)
        return wanted

    def _wanted(self, volume: Volume) -> volumes.Wanted:
        return volumes.Wanted(
            name=identity.volume_name(volume),
            size=volume.size,
            specs=specs.of_volume(volume, self.configuration),
            access=access.closed(self.configuration.lightos_use_ipacl),
            owner=self._owner(volume))

    def _owner(self, volume: Volume) -> labels.Ownership:
        service = self.cluster_name or self.host
        return labels.Ownership.of(
            volume, service and volume_utils.extract_host(service))

    def _make(self, op: operation.Operation,
              wanted: volumes.Wanted) -> lookup.Found:
        def make(wanted: volumes.Wanted) -> volumes.Made:
            return self._policies.under(
                op, wanted.specs, lambda policy: volumes.create(
                    op, wanted._replace(specs=wanted.specs._replace(
                        qos_policy=policy))))

        return self._labelling.create(op, wanted, make)

    def _clone(self, op: operation.Operation, volume: Volume,
               src_vref: Volume) -> dict[str, str]:
        wanted = self._to_make(op, volume)
        prefix = identity.clone_prefix(volume.id)
        name = prefix + uuid.uuid4().hex
        sought = identity.of_volume(src_vref)
        try:
            found = snapshots.create(
                self._most_of(op), name, sought, self._most_snapshot_calls(),
                TEMPORARY_SNAPSHOT_RETENTION)
        except exception.LightOSNotSeen:
            snapshots.discard_by_name(op, name, sought.own_projects)
            raise
        try:
            self._refuse_other_project(op, wanted, found.project)
            wanted = copies.with_sectors_of(wanted, found)._replace(
                source=volumes.Source(found.snapshot.uuid, name, prefix))
            return _model(self._make(self._most_of(op), wanted))
        except exception.LightOSRefused as exc:
            raise exc.explained(copies.differences(wanted, found)) from exc
        finally:
            snapshots.discard(op, found)

    def _newcomer(
            self, volume: Volume, existing_ref: Any
    ) -> tuple[operation.Operation, manage.Reference, manage.Newcomer]:
        reference = manage.Reference.parse(existing_ref)
        newcomer = manage.Newcomer(
            cinder_id=volume.id, name=identity.volume_name(volume),
            asked=specs.asked_by(volume),
            access=access.closed(self.configuration.lightos_use_ipacl))
        op = self._operation(_('manage %(ref)s as volume %(id)s')
                             % {'ref': existing_ref, 'id': volume.id})
        return op, reference, newcomer

    def _snapshot_newcomer(
            self, snapshot: Snapshot, existing_ref: Any
    ) -> tuple[operation.Operation, manage.Reference]:
        reference = manage.Reference.parse(existing_ref)
        op = self._operation(
            _('manage %(ref)s as snapshot %(snapshot)s of volume %(volume)s')
            % {'ref': existing_ref, 'snapshot': snapshot.id,
               'volume': snapshot.volume_id})
        return op, reference

    def _made(self, volume: Volume) -> Optional[volumes.Wanted]:
        """What a create makes of a record; None if its type is broken."""
        try:
            wanted = self._wanted(volume)
        except specs.UNREADABLE:
            return None
        if volume.snapshot_id:
            return wanted._replace(source=volumes.Source(
                None, CONF.snapshot_name_template % volume.snapshot_id))
        if volume.source_volid:
            prefix = identity.clone_prefix(volume.id)
            return wanted._replace(
                source=volumes.Source(None, prefix, prefix))
        return wanted

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
        learned_at = self.cluster.discovery_learned_at
        if (learned_at is None or not self.cluster.discovery_endpoints or
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


def _refuse_consistency(group: Union[Group, GroupSnapshot]) -> None:
    if volume_utils.is_group_a_cg_snapshot_type(group):
        raise exception.LightOSError(
            reason=_('the type of group %s asks for consistent snapshots, '
                     'and LightOS takes the snapshot of one volume at a time')
            % (group.get('group_id') or group.id))


def _refuse_replication(group: Group) -> None:
    if any(volume_utils.is_group_a_type(group, spec)
           for spec in GROUP_REPLICATION_SPECS):
        raise exception.LightOSError(
            reason=_('the type of group %s asks for replication, and LightOS '
                     'keeps the replicas of a volume inside one cluster')
            % group.id)


def _is_at(volume: Volume, host: Mapping[str, Any]) -> bool:
    """Whether a host is the backend that has the volume already.

    The services of a cluster of Cinder's share their backends.
    """
    cluster_name = host.get('cluster_name')
    if cluster_name:
        return bool(cluster_name == volume.cluster_name)
    return bool(host['host'] == volume.host)
