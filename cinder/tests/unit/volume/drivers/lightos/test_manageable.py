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

"""Lists of what could be taken in."""

import json
from typing import Any, Optional, Sequence

import ddt
from oslo_utils import units

from cinder import exception as cinder_exception
from cinder import objects
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import listing


class ListTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.server.projects['blue'] = ''

    def volumes(self, marker: Any = None, limit: Optional[int] = 100,
                offset: Optional[int] = 0,
                sort_keys: Sequence[str] = ('reference',),
                sort_dirs: Sequence[str] = ('asc',)) -> list[dict[str, Any]]:
        """What Cinder would show."""
        return self.show(
            objects.ManageableVolumeList, self.driver.get_manageable_volumes(
                list(objects.VolumeList.get_all(self.context)), marker,
                limit, offset, list(sort_keys), list(sort_dirs)))

    def snapshots(self, **page: Any) -> list[dict[str, Any]]:
        return self.show(
            objects.ManageableSnapshotList,
            self.driver.get_manageable_snapshots(
                list(objects.SnapshotList.get_all(self.context, {})),
                page.get('marker'), page.get('limit', 100), 0,
                ['reference'], ['asc']))

    def show(self, kind: Any, listed: list[dict[str, Any]]
             ) -> list[dict[str, Any]]:
        # It must fit into the objects that go over the wire.
        kind.from_primitives(self.context, listed)
        return listed

    def reason(self, listed: list[dict[str, Any]]) -> str:
        (entry,) = listed
        self.assertFalse(entry['safe_to_manage'])
        return str(entry['reason_not_safe'])


@ddt.ddt
class VolumesTestCase(ListTestCase):

    def test_volume_that_can_be_managed(self):
        there = self.server.add_volume('theirs', size=units.Gi + 4096,
                                       project='blue', replicas=2)
        self.assertEqual([{
            'reference': {'source-id': there.uuid}, 'size': 2,
            'safe_to_manage': True, 'reason_not_safe': None,
            'cinder_id': None, 'extra_info': {
                'project': 'blue', 'uuid': there.uuid, 'name': 'theirs',
                'replicas': '2', 'compression': 'False',
                'state': 'Available'}}], self.volumes())

    def test_volume_of_which_the_size_is_not_known(self):
        reply = self.server.add_volume('theirs').reply()
        del reply['size']
        self.server.fault('ListVolumes', body={'volumes': [reply]},
                          when=lambda request: '/default/' in request.path)
        (entry,) = self.volumes()
        self.assertEqual(0, entry['size'])

    def test_what_is_listed_as_safe_can_be_managed(self):
        there = self.server.add_volume('theirs')
        (entry,) = self.volumes()
        volume = self.make_volume(size=0)
        self.driver.manage_existing(volume, entry['reference'])
        self.assertEqual(volume.name, there.name)

    @ddt.data('own', 'other backend', 'by UUID', 'by name_id')
    def test_volume_of_cinder_is_not_safe(self, how):
        values: dict[str, Any] = {}
        if how == 'other backend':
            values['host'] = 'x@y#z'
        if how == 'by name_id':
            values['_name_id'] = '11111111-2222-4333-8444-555555555555'
        volume = self.make_volume(create=True, **values)
        if how == 'by UUID':
            self.server.volume(volume.name).name = 'x'
        (entry,) = listed = self.volumes()
        self.assertEqual(volume.id, entry['cinder_id'])
        self.assertIn(volume.id, self.reason(listed))

    @ddt.data(({'state': 'Failed'}, 'Failed'),
              ({'state': 'Creating'}, 'Creating'),
              ({'protection': 'NotAvailable'}, 'NotAvailable'),
              ({'acl': ('nqn.x',)}, 'nqn.x'),
              ({'acl': ('ALLOW_ANY',)}, 'ALLOW_ANY'),
              ({'connected_hosts': ('nqn.y',)}, 'nqn.y'))
    @ddt.unpack
    def test_volume_that_is_not_free_is_not_safe(self, attributes, told):
        self.server.add_volume('theirs', **attributes)
        self.assertIn(told, self.reason(self.volumes()))

    def uuids(self, **page: Any) -> list[str]:
        return [entry['reference']['source-id']
                for entry in self.volumes(**page)]

    def test_pages(self):
        self.mock_object(listing, 'PAGE', 2)
        there = [self.server.add_volume(
            'v%d' % number, size=(5 - number) * units.Gi,
            project=('default', 'blue')[number % 2]).uuid
            for number in range(5)]
        self.assertEqual(there, self.uuids())
        self.assertEqual(there[:2], self.uuids(limit=2))
        self.assertEqual(there[2:4], self.uuids(limit=2, offset=2))
        for marker in ({'source-id': there[1]},
                       json.dumps({'source-id': there[1]})):
            self.assertEqual(there[2:4], self.uuids(marker=marker, limit=2))
        self.assertEqual(there[::-1], self.uuids(sort_dirs=['desc']))
        self.assertEqual(there[::-1], self.uuids(sort_keys=['size']))
        self.assertEqual(there, self.uuids(limit=None))

    @ddt.data('{"source-id": "x"}', 'no JSON')
    def test_marker_that_is_not_there_is_an_error(self, marker):
        self.assertRaises(cinder_exception.InvalidInput, self.volumes,
                          marker=marker)

    def test_only_the_page_is_looked_up(self):
        for number in range(3):
            self.make_volume(create=True)
        get_all = self.mock_object(
            objects.VolumeList, 'get_all',
            side_effect=objects.VolumeList.get_all)
        self.driver.get_manageable_volumes([], None, 1, 0, ['size'], ['asc'])
        self.assertEqual([1] * 3, [
            len(next(iter(call.kwargs['filters'].values())))
            for call in get_all.call_args_list])

    @ddt.data({'status': 403, 'code': 7}, {'status': 501, 'code': 12})
    def test_projects_that_are_named_where_they_cannot_be_listed(
            self, refusal):
        self.server.projects.update(red='', green='', grey='')
        self.make_type(lightos__project_name='red')
        self.make_type(lightos__project_name='a/b')
        self.make_volume(provider_id='green')
        there = [self.server.add_volume(name, project=name).uuid
                 for name in ('default', 'red', 'green')]
        for name in ('grey', 'blue'):
            self.server.add_volume(name, project=name)
        self.server.fault('ListProjects', times=None, **refusal)
        self.assertEqual(there, self.uuids())

    def test_projects_that_the_token_does_not_open_are_left_out(self):
        self.server.add_volume('theirs', project='blue')
        there = self.server.add_volume('other')
        self.server.fault('ListVolumes', status=403, code=7, times=None,
                          when=lambda request: '/blue/' in request.path)
        self.assertEqual([there.uuid], self.uuids())

    @ddt.data('ListProjects', 'ListVolumes')
    def test_list_that_cannot_be_had_is_an_error(self, name):
        self.server.fault(name, status=401, code=16, times=None)
        self.assertRaises(exception.LightOSRefused, self.volumes)


@ddt.ddt
class SnapshotsTestCase(ListTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.volume = self.make_volume(create=True)
        self.there = self.server.volume(self.volume.name)

    def test_snapshot_that_can_be_managed(self):
        theirs = self.server.add_snapshot('nightly', self.there)
        self.assertEqual([{
            'reference': {'source-id': theirs.uuid}, 'size': 1,
            'safe_to_manage': True, 'reason_not_safe': None,
            'cinder_id': None,
            'source_reference': {'source-id': self.there.uuid},
            'extra_info': {
                'project': 'default', 'uuid': theirs.uuid, 'name': 'nightly',
                'replicas': '3', 'compression': 'False',
                'state': 'Available'}}], self.snapshots())

    @ddt.data('by name', 'by UUID', 'by UUID in the database',
              'of an older release')
    def test_snapshot_of_cinder_is_not_safe(self, how):
        snapshot = self.make_snapshot(self.volume, create=True)
        if how == 'of an older release':
            self.record(snapshot, {'provider_id': None})
        if how.startswith('by UUID'):
            self.server.snapshot(snapshot.name).name = 'x'
        if how == 'by UUID in the database':
            self.mock_object(objects.SnapshotList, 'get_all',
                             return_value=[])
        (entry,) = listed = self.snapshots()
        self.assertEqual(snapshot.id, entry['cinder_id'])
        self.assertIn(snapshot.id, self.reason(listed))

    @ddt.data(('one of Cinder', 0), ('two that are not', 1),
              ('one of a volume that is not', 0))
    @ddt.unpack
    def test_database_is_asked_once_for_what_is_not_known(self, what, times):
        if what == 'one of Cinder':
            self.make_snapshot(self.volume, create=True)
        if what == 'two that are not':
            self.server.add_snapshot('one', self.there)
            self.server.add_snapshot('two', self.there)
        if what == 'one of a volume that is not':
            self.server.add_snapshot('one', self.server.add_volume('other'))
        asked = self.mock_object(
            objects.SnapshotList, 'get_all_for_volume',
            side_effect=objects.SnapshotList.get_all_for_volume)
        self.snapshots()
        self.assertEqual(times, asked.call_count)

    def test_snapshot_of_a_volume_that_is_not_managed(self):
        other = self.server.add_volume('other')
        self.server.add_snapshot('x', other)
        self.assertIn(other.uuid, self.reason(self.snapshots()))

    @ddt.data(({'name': 'for_clone_1'}, 'temporary'),
              ({'state': 'Failed'}, 'Failed'),
              ({'retention': '60s'}, '60s'))
    @ddt.unpack
    def test_snapshot_that_is_of_no_use_is_not_safe(self, attributes, told):
        name = attributes.pop('name', 'x')
        self.server.add_snapshot(name, self.there, **attributes)
        self.assertIn(told, self.reason(self.snapshots()))

    def test_snapshot_of_which_the_volume_is_not_known(self):
        self.server.add_snapshot('x', self.there, volume_uuid='')
        self.assertIn('not in Cinder', self.reason(self.snapshots()))
