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
"""Tests of the lists of everything on the cluster."""

import itertools
from typing import Any
from unittest import mock

import ddt

from cinder.tests.unit.volume.drivers.lightos import base
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import listing
from cinder.volume.drivers.lightos import operation
from cinder.volume.drivers.lightos import waiting


@ddt.ddt
class ListingTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.op = operation.Operation(self.driver.cluster, 'list',
                                      waiting.Deadline(20))

    def names(self, project: str = 'default') -> list[Any]:
        return sorted(each.name for each in listing.volumes(self.op, project))

    def test_projects_are_in_order(self):
        self.server.projects = {'zeta': '', 'alpha': ''}
        self.assertEqual(('alpha', 'zeta'), listing.projects(self.op))

    def test_nobody_is_told_projects_with_a_token_of_one(self):
        self.server.fault('ListProjects', status=403)
        self.assertRaises(exception.LightOSRefused, listing.projects, self.op)

    def test_nothing_is_left_out_between_pages(self):
        self.mock_object(listing, 'PAGE', 2)
        wanted = ['v%d' % number for number in range(5)]
        for name in wanted:
            self.server.add_volume(name)
        self.assertEqual(wanted, self.names())
        self.assertEqual(['ListVolumes'] * 4, self.server.operations())

    def test_a_page_is_as_large_as_the_api_lets_it_be(self):
        self.names()
        self.assertEqual('1000', self.server.requests[0].query['limit'])

    def test_a_page_that_is_shorter_than_asked_for_is_not_the_last(self):
        self.server.fault('ListVolumes', body={'volumes': [
            {'UUID': '00000000-0000-4000-8000-000000000000', 'name': 'v0'}]})
        self.server.add_volume('v1')
        self.assertEqual(['v0', 'v1'], self.names())

    def test_snapshots_are_listed_likewise(self):
        volume = self.server.add_volume('v')
        self.server.add_snapshot('s', volume)
        self.assertEqual(['s'], [each.name for each in listing.snapshots(
            self.op, 'default')])

    def test_other_projects_are_not_shown(self):
        self.server.add_volume('v', project='other')
        self.assertEqual([], self.names())

    def test_e2_a_page_that_fails_is_asked_for_again(self):
        self.server.add_volume('v')
        self.server.fault('ListVolumes', status=503)
        self.assertEqual(['v'], self.names())

    def test_e5_a_cluster_that_does_not_turn_the_page_is_an_error(self):
        op = mock.Mock(wraps=self.op)
        page = listing.replies.parse_volumes({'volumes': [
            {'UUID': '00000000-0000-4000-8000-00000000000%d' % number}
            for number in range(2)]})
        op.read = mock.Mock(return_value=page)
        # No more than this, should it never end.
        some = itertools.islice(listing.volumes(op, 'default'), 9)
        error = self.assertRaises(exception.LightOSError, list, some)
        self.assert_tells(error, 'list_volumes', 'default')

    def test_project_that_is_missing_is_an_error(self):
        self.server.fault('ListVolumes', status=404, code=5)
        error = self.assertRaises(exception.LightOSError, self.names, 'gone')
        self.assert_tells(error, 'gone')
