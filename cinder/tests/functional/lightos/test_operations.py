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
"""What administrators and users do with a running Cinder.

Each test leaves the clusters as it found them, and says so.
"""

from typing import Any

import ddt
import testtools

from cinder.tests.functional.lightos import cinder_services
from cinder.tests.functional.lightos import waiting

until = waiting.until
CONTENT = b'what the user wrote'


class OperationsTestCase(testtools.TestCase):
    """A test on the one Cinder that all of them use."""

    def setUp(self) -> None:
        super().setUp()
        self.cloud = cinder_services.cloud()
        self.addCleanup(self.cloud.forget_to_kill)
        self.before = {volume.uuid for volume in self.cloud.volumes()}

    def make_volume(self, backend: str = 'east', **values: Any) -> str:
        """A volume with something in it."""
        volume_id = self.cloud.create_volume(backend, **values)
        self.cloud.write(self.cloud.volume_of(volume_id).uuid, CONTENT)
        return volume_id

    def volumes(self) -> list[cinder_services.Volume]:
        """What the test has on the clusters."""
        return [volume for volume in self.cloud.volumes()
                if volume.uuid not in self.before]

    def assert_alone(self, volume_id: str) -> cinder_services.Volume:
        """The volume lives, with its content, and nothing else is left."""
        volume = self.assert_lives(volume_id)
        until(lambda: not self.others(), 'there is one record left')
        self.assertEqual([volume], self.volumes())
        return volume

    def assert_lives(self, volume_id: str) -> cinder_services.Volume:
        self.assertEqual('available',
                         self.cloud.show(volume_id)['status'])
        volume = self.cloud.volume_of(volume_id)
        self.assertEqual(CONTENT, self.cloud.read(volume.uuid))
        return volume

    def others(self) -> list[str]:
        """The records of temporary volumes."""
        return [record['id'] for record in self.cloud.records(
            'use_quota = 0')]

    def delete(self, volume_id: str) -> None:
        """Delete the volume; nothing of the test is left then."""
        self.cloud.delete(volume_id)
        self.assertEqual([], self.volumes())


class RevertTest(OperationsTestCase):
    """A volume goes back to its latest snapshot, in place (V8)."""

    def setUp(self) -> None:
        super().setUp()
        self.volume_id = self.make_volume()
        self.there = self.cloud.volume_of(self.volume_id)
        self.addCleanup(self.clean_up)

    def clean_up(self) -> None:
        for snapshot in self.cloud.api.call('GET', '/snapshots', query={
                'volume_id': self.volume_id})['snapshots']:
            self.cloud.delete(snapshot['id'], 'snapshots')
        self.delete(self.volume_id)

    def rollbacks(self) -> int:
        """How many were asked of the cluster."""
        return sum('/rollback' in request['path'] for request in
                   self.cloud.requests('east'))

    def test_v8_with_the_command(self) -> None:
        snapshot_id = self.cloud.create_snapshot(self.volume_id)
        before = self.rollbacks()
        self.cloud.openstack('volume', 'revert', snapshot_id)
        self.cloud.wait_for_status(self.volume_id, 'available')
        self.cloud.wait_for_status(snapshot_id, 'available', 'snapshots')
        self.assertEqual(before + 1, self.rollbacks())
        self.assertEqual(self.there, self.cloud.volume_of(self.volume_id))

    def test_v8_size_is_another_since(self) -> None:
        snapshot_id = self.cloud.create_snapshot(self.volume_id)
        self.cloud.act(self.volume_id, 'os-extend', new_size=2)
        self.cloud.wait_for_status(self.volume_id, 'available')
        before = self.rollbacks()
        said = self.cloud.openstack('volume', 'revert', snapshot_id,
                                    fails=True)
        self.assertIn('size must be equal to the snapshot size', said)
        self.assertEqual(before, self.rollbacks())

    def test_v8_snapshot_is_not_the_latest(self) -> None:
        first = self.cloud.create_snapshot(self.volume_id)
        self.cloud.create_snapshot(self.volume_id)
        said = self.cloud.openstack('volume', 'revert', first, fails=True)
        self.assertIn('latest', said)

    def test_v8_volume_is_attached(self) -> None:
        snapshot_id = self.cloud.create_snapshot(self.volume_id)
        attachment_id = self.cloud.attach(self.volume_id)
        said = self.cloud.openstack('volume', 'revert', snapshot_id,
                                    fails=True)
        self.assertIn('available', said)
        self.cloud.api.call('DELETE', f'/attachments/{attachment_id}')


class MigrationTestCase(OperationsTestCase):

    def migrate(self, volume_id: str, backend: str) -> None:
        """Migrate the volume, and wait for the end of it."""
        self.begin(volume_id, backend)
        self.wait_for_end(volume_id)

    def begin(self, volume_id: str, backend: str) -> None:
        self.cloud.act(volume_id, 'os-migrate_volume',
                       host=self.cloud.pools[backend])

    def wait_for_end(self, volume_id: str, end: str = 'success') -> None:
        self.assertEqual(end, until(
            lambda: [status for status in
                     [self.cloud.record(volume_id)['migration_status']]
                     if status in ('success', 'error')],
            'the migration ends')[0])

    def targets(self, volume_id: str) -> list[dict[str, Any]]:
        """The temporary records that the volume is migrated to."""
        return self.cloud.records('migration_status = ?',
                                  f'target:{volume_id}')


@ddt.ddt
class WholeMigrationTest(MigrationTestCase):
    """Migrations during which nothing fails."""

    @ddt.data('full', 'project', 'none')
    def test_to_another_cluster(self, recorded: str) -> None:
        volume_id = self.make_volume()
        self.forget(volume_id, recorded)
        self.migrate(volume_id, 'west')
        volume = self.assert_alone(volume_id)
        self.assertEqual('west', volume.cluster)
        self.assertEqual(f'volume-{volume_id}', volume.name)
        self.delete(volume_id)

    @ddt.data('full', 'project', 'none')
    def test_inside_a_project(self, recorded: str) -> None:
        volume_id = self.make_volume()
        self.forget(volume_id, recorded)
        self.migrate(volume_id, 'annex')
        first = self.assert_alone(volume_id)
        # Where the name of the source is not taken any more, back again.
        self.migrate(volume_id, 'east')
        second = self.assert_alone(volume_id)
        self.assertNotEqual(first.uuid, second.uuid)
        self.assertEqual(f'volume-{volume_id}', second.name)
        self.delete(volume_id)

    @ddt.data('full', 'project', 'none')
    def test_to_another_project(self, recorded: str) -> None:
        self.make_type('blue')
        volume_id = self.make_volume()
        self.forget(volume_id, recorded)
        self.cloud.openstack('volume', 'set', '--type', 'blue',
                             '--migration-policy', 'on-demand', volume_id)
        self.wait_for_end(volume_id)
        volume = self.assert_alone(volume_id)
        self.assertEqual(('east', 'blue'), (volume.cluster, volume.project))
        self.delete(volume_id)

    def test_with_the_command(self) -> None:
        volume_id = self.make_volume()
        self.cloud.openstack('volume', 'migrate', '--host',
                             self.cloud.pools['west'], volume_id)
        self.wait_for_end(volume_id)
        self.assertEqual('west', self.assert_alone(volume_id).cluster)
        self.delete(volume_id)

    def forget(self, volume_id: str, recorded: str) -> None:
        """Make the record of the volume one of an older release."""
        if recorded != 'full':
            self.cloud.set_provider_id(
                volume_id, 'default' if recorded == 'project' else None)

    def make_type(self, project: str) -> None:
        """A type of this name for a project, on the other backend."""
        known = self.cloud.api.call('GET', '/types')['volume_types']
        if project not in [each['name'] for each in known]:
            self.cloud.api.call('POST', '/types', {'volume_type': {
                'name': project, 'extra_specs': {
                    'volume_backend_name': 'annex',
                    'lightos:project_name': project}}})


@ddt.ddt
class BrokenMigrationTest(MigrationTestCase):
    """The volume service is killed in the middle of a migration.

    An administrator then does what the driver's page says.
    """

    def break_at(self, point: str, backend: str) -> str:
        """Migrate a new volume until a service dies, and start that again."""
        volume_id = self.make_volume()
        self.cloud.kill_at(point)
        self.begin(volume_id, backend)
        self.cloud.start(self.cloud.wait_until_killed())
        return volume_id

    def complete(self, volume_id: str, error: bool) -> None:
        target, = self.targets(volume_id)
        self.cloud.act(volume_id, 'os-migrate_volume_completion',
                       new_volume=target['id'], error=error)

    def remove(self, record_id: str) -> None:
        """Delete a record that a migration has left."""
        self.cloud.act(record_id, 'os-reset_status', status='error',
                       migration_status='none')
        self.cloud.delete(record_id)

    def assert_goes_on(self, volume_id: str) -> None:
        """The volume can be migrated to the end, and deleted."""
        there = self.assert_alone(volume_id).cluster
        self.migrate(volume_id, 'east' if there == 'west' else 'west')
        self.assertEqual(('ALLOW_NONE',), self.assert_alone(volume_id).hosts)
        self.delete(volume_id)

    @ddt.data('target recorded', 'attached', 'copied')
    def test_source_before_completing(self, point: str) -> None:
        volume_id = self.break_at(point, 'west')
        self.assertEqual('migrating',
                         self.cloud.record(volume_id)['migration_status'])
        self.complete(volume_id, error=True)
        self.wait_for_end(volume_id, 'error')
        self.assertEqual('east', self.assert_alone(volume_id).cluster)
        self.assert_goes_on(volume_id)

    @ddt.data(('completing', 'west'), ('name answered', 'west'),
              ('name answered', 'annex'))
    @ddt.unpack
    def test_source_while_completing(self, point: str, backend: str) -> None:
        volume_id = self.break_at(point, backend)
        self.assertEqual('completing',
                         self.cloud.record(volume_id)['migration_status'])
        self.assert_lives(volume_id)
        self.complete(volume_id, error=False)
        self.wait_for_end(volume_id)
        self.assert_goes_on(volume_id)

    @ddt.data(('completing', 'west'), ('name answered', 'west'),
              ('name answered', 'annex'))
    @ddt.unpack
    def test_source_while_completing_given_up(self, point: str,
                                              backend: str) -> None:
        volume_id = self.break_at(point, backend)
        self.complete(volume_id, error=True)
        self.wait_for_end(volume_id, 'error')
        self.assertEqual('east', self.assert_alone(volume_id).cluster)
        self.assert_goes_on(volume_id)

    @ddt.data(('renamed', 'west'), ('name recorded', 'annex'))
    @ddt.unpack
    def test_target_while_completing(self, point: str, backend: str) -> None:
        volume_id = self.break_at(point, backend)
        self.wait_for_end(volume_id, 'error')
        self.assert_lives(volume_id)
        record, = self.others()
        self.remove(record)
        self.assertEqual('east', self.assert_alone(volume_id).cluster)
        self.assert_goes_on(volume_id)

    @ddt.data('west', 'annex')
    def test_source_between_the_halves_of_the_swap(self,
                                                   backend: str) -> None:
        volume_id = self.break_at('half swapped', backend)
        survivor = self.assert_lives(volume_id)
        record, = self.others()
        self.remove(record)
        # Cinder has forgotten the source.
        left, = (volume for volume in self.volumes() if volume != survivor)
        self.assertEqual((left.cluster, left.name),
                         ('east', f'volume-{volume_id}'))
        self.assert_lives(volume_id)
        self.cloud.delete(volume_id)
        self.assertEqual([left], self.volumes())

    @ddt.data('west', 'annex')
    def test_source_before_its_deletion_is_asked_for(self,
                                                     backend: str) -> None:
        volume_id = self.break_at('swapped', backend)
        self.assert_lives(volume_id)
        record, = self.others()
        self.remove(record)
        self.assert_goes_on(volume_id)

    @ddt.data('deleting', 'answered to delete_volume', 'deleted')
    def test_source_while_it_is_deleted(self, point: str) -> None:
        volume_id = self.break_at(point, 'west')
        until(lambda: not self.others(), 'Cinder goes on with it')
        self.assert_goes_on(volume_id)

    def test_target_while_it_is_created(self) -> None:
        volume_id = self.break_at('answered to create_volume', 'west')
        self.wait_for_end(volume_id, 'error')
        survivor = self.assert_lives(volume_id)
        self.assertEqual([], self.others())
        # Cinder has forgotten the target.
        left, = (volume for volume in self.volumes() if volume != survivor)
        self.assertEqual('west', left.cluster)
        self.cloud.delete(volume_id)
        self.assertEqual([left], self.volumes())
