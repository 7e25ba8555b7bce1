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
"""Lists: pages, filters, what is left out, and that they are quick."""

from __future__ import annotations

import time

import ddt
import testtools

from lightos_simulator import records
from lightos_simulator import store
from lightos_simulator.tests import base
from lightos_simulator.tests.base import PROJECT

VOLUMES = PROJECT + '/volumes'


@ddt.ddt
class TestPaging(base.ClusterTest):

    def setUp(self) -> None:
        super().setUp()
        self.uuids = sorted(self.volume('v%d' % number)
                            for number in range(7))

    def listed(self, query: str = '', url: str = VOLUMES) -> list[str]:
        reply = self.done('GET', url + '?' + query)
        return [volume['UUID'] for volume in reply.get('volumes', [])]

    def test_pages_are_whole_and_disjoint(self) -> None:
        seen: list[str] = []
        while True:
            offset = '&offsetUUID=' + seen[-1] if seen else ''
            page = self.listed('limit=3' + offset)
            if not page:
                break
            self.assertLessEqual(len(page), 3)
            seen += page
        self.assertEqual(self.uuids, seen)

    def test_page_after_an_object_that_has_gone(self) -> None:
        page = self.listed('limit=3')
        self.done('DELETE', '%s/%s' % (VOLUMES, page[-1]))
        self.assertEqual(self.uuids[3:], self.listed('offsetUUID=' + page[-1]))

    @ddt.data('-1', '1001')
    def test_bad_limit(self, limit: str) -> None:
        self.refused(400, 3, 'GET', '%s?limit=%s' % (VOLUMES, limit))

    def test_by_name_at_most_one(self) -> None:
        self.assertEqual(1, len(self.listed('name=v1')))
        self.assertEqual([], self.listed('name=v99'))

    def test_by_uuid(self) -> None:
        self.assertEqual([self.uuids[2]],
                         self.listed('UUID=' + self.uuids[2]))

    def test_name_and_uuid_that_disagree(self) -> None:
        name = self.get(self.uuids[0])['name']
        self.assertEqual([], self.listed('UUID=%s&name=%s'
                                         % (self.uuids[1], name)))

    def test_by_failure_domain(self) -> None:
        node = self.world.nodes[0]
        expected = [uuid for uuid in self.uuids
                    if node.uuid in self.get(uuid)['nodeList']]
        self.assertEqual(expected, self.listed('failureDomain=rack0'))
        self.assertNotEqual(self.uuids, expected)
        self.assertEqual([], self.listed('failureDomain=rack99'))

    def test_clones_of_a_snapshot(self) -> None:
        snapshot = self.snapshot(self.uuids[0])
        clone = self.volume('c', sourceSnapshotUUID=snapshot)
        self.assertEqual([clone], self.listed('snapshotUUID=' + snapshot))

    def test_of_one_project(self) -> None:
        self.world.add_project('other')
        foreign = self.done('POST', '/api/v2/projects/other/volumes', {
            'name': 'v0', 'size': '1 gib', 'replicaCount': 1})['UUID']
        self.assertEqual(self.uuids, self.listed())
        self.assertEqual(sorted(self.uuids + [foreign]),
                         self.listed(url='/api/v2/volumes'))

    def test_deleting_is_left_out(self) -> None:
        self.work(DeleteVolume=5)
        self.done('DELETE', '%s/%s' % (VOLUMES, self.uuids[0]))
        self.assertEqual(self.uuids[1:], self.listed())
        self.assertEqual(self.uuids[1:], self.listed('showAll=false'))
        self.assertEqual(self.uuids, self.listed('showAll=true'))

    def test_empty_list_with_zero_fields(self) -> None:
        self.build(omit_zero=False)
        self.assertEqual({'volumes': []}, self.done('GET', VOLUMES))


class TestManyVolumes(base.ClusterTest):

    COUNT = 50000

    def setUp(self) -> None:
        super().setUp()
        for number in range(self.COUNT):
            self.world.note_volume(records.Volume(
                uuid='%08x-0000-4000-8000-000000000000' % number,
                name='v%d' % number, project='default', state='Available',
                nodes=(self.world.nodes[0].uuid,)))

    def test_a_page_and_a_get_do_not_walk_through_all(self) -> None:
        begin = time.perf_counter()
        for _ in range(200):
            self.done('GET', VOLUMES + '?name=v49999')
            self.done('GET', VOLUMES + '/?name=v49998')
            self.done('GET', VOLUMES + '?limit=1&offsetUUID='
                      '0000c000-0000-4000-8000-000000000000')
            self.done('GET', '/api/v2/cluster')
        # Walking through all would take ten times as long.
        self.assertLess(time.perf_counter() - begin, 2)

    def test_a_page_holds_a_thousand(self) -> None:
        page = self.done('GET', VOLUMES)['volumes']
        self.assertEqual(1000, len(page))


class TestStore(testtools.TestCase):

    def test_same_name_after_remove(self) -> None:
        objects: store.Store[records.Record] = store.Store()
        record = records.Record(uuid='u', name='n', project='p')
        objects.add(record)
        objects.remove(record)
        self.assertFalse(objects.is_taken('p', 'n'))
        self.assertEqual([], objects.named('p', 'n'))
        self.assertEqual([], list(objects.after('', 'p')))
