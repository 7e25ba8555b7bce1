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
"""The commands as they stand on the wire."""

import re
import string
from typing import Any
from urllib import parse

import ddt
import testtools

from cinder import exception
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume.drivers.lightos import commands

UUID = '5d7a5b3e-0000-4000-8000-000000000001'
# Each command with everything that it takes, and what it is on the wire.
ON_THE_WIRE: dict[str, tuple[dict[str, Any], str, str, Any]] = {
    'get_cluster_info': ({}, 'GET', '/clusterinfo', None),
    'get_cluster': ({}, 'GET', '/cluster', None),
    'get_nodes': ({}, 'GET', '/nodes', None),
    'list_projects': ({}, 'GET', '/projects', None),
    'list_volumes': (
        {'project_name': 'p', 'limit': 1000, 'offset_uuid': UUID},
        'GET', '/projects/p/volumes?limit=1000&offsetUUID=' + UUID, None),
    'list_snapshots': (
        {'project_name': 'p', 'limit': 1000, 'offset_uuid': None},
        'GET', '/projects/p/snapshots?limit=1000', None),
    'get_volume': (
        {'project_name': 'p', 'volume_uuid': UUID},
        'GET', '/projects/p/volumes/' + UUID, None),
    'get_volume_by_name': (
        {'project_name': 'p', 'volume_name': 'v'},
        'GET', '/projects/p/volumes?name=v', None),
    'create_volume': (
        {'project_name': 'p', 'name': 'v', 'size': '1 gib', 'n_replicas': 2,
         'compression': 'True', 'acl': ['nqn'], 'ip_acl': ['192.0.2.1'],
         'src_snapshot_uuid': UUID, 'src_snapshot_name': 's',
         'qos_policy': 'gold', 'sector_size': 512,
         'labels': (('k', 'x'), ('l', 'y'))},
        'POST', '/projects/p/volumes',
        {'name': 'v', 'size': '1 gib', 'replicaCount': 2,
         'compression': 'True', 'acl': {'values': ['nqn']},
         'IPAcl': {'values': ['192.0.2.1']}, 'sourceSnapshotUUID': UUID,
         'sourceSnapshotName': 's', 'qosPolicyName': 'gold',
         'sectorSize': 'sectorSize_512B',
         'labels': [{'key': 'k', 'value': 'x'},
                    {'key': 'l', 'value': 'y'}]}),
    'update_volume': (
        {'project_name': 'p', 'volume_uuid': UUID, 'acl': ['nqn'],
         'ip_acl': ['192.0.2.1']},
        'PUT', '/projects/p/volumes/' + UUID,
        {'acl': {'values': ['nqn']}, 'IPAcl': {'values': ['192.0.2.1']}}),
    'extend_volume': (
        {'project_name': 'p', 'volume_uuid': UUID, 'size': '2 gib'},
        'PUT', '/projects/p/volumes/' + UUID, {'size': '2 gib'}),
    'set_volume_qos_policy': (
        {'project_name': 'p', 'volume_uuid': UUID, 'qos_policy': UUID},
        'PUT', '/projects/p/volumes/' + UUID, {'qosPolicyUUID': UUID}),
    'set_volume_labels': (
        {'project_name': 'p', 'volume_uuid': UUID, 'labels': (('k', 'x'),)},
        'PUT', '/projects/p/volumes/' + UUID,
        {'labels': [{'key': 'k', 'value': 'x'}]}),
    'retype_volume': (
        {'project_name': 'p', 'volume_uuid': UUID, 'compression': 'True',
         'qos_policy': 'gold'},
        'PUT', '/projects/p/volumes/' + UUID,
        {'compression': 'True', 'qosPolicyName': 'gold'}),
    'take_in_volume': (
        {'project_name': 'p', 'volume_uuid': UUID, 'new_name': 'w',
         'size': '2 gib', 'acl': ['nqn'], 'ip_acl': ['192.0.2.1']},
        'PUT', '/projects/p/volumes/' + UUID,
        {'newName': 'w', 'size': '2 gib', 'acl': {'values': ['nqn']},
         'IPAcl': {'values': ['192.0.2.1']}}),
    'rename_volume': (
        {'project_name': 'p', 'volume_uuid': UUID, 'new_name': 'w'},
        'PUT', '/projects/p/volumes/' + UUID, {'newName': 'w'}),
    'rollback_volume': (
        {'project_name': 'p', 'volume_uuid': UUID,
         'src_snapshot_uuid': UUID},
        'PUT', '/projects/p/volumes/%s/rollback' % UUID,
        {'srcSnapshotUUID': UUID}),
    'delete_volume': (
        {'project_name': 'p', 'volume_uuid': UUID},
        'DELETE', '/projects/p/volumes/' + UUID, None),
    'get_snapshot': (
        {'project_name': 'p', 'snapshot_uuid': UUID},
        'GET', '/projects/p/snapshots/' + UUID, None),
    'get_snapshot_by_name': (
        {'project_name': 'p', 'snapshot_name': 's'},
        'GET', '/projects/p/snapshots?Name=s', None),
    'create_snapshot': (
        {'project_name': 'p', 'name': 's', 'src_volume_uuid': UUID,
         'src_volume_name': 'v', 'retention_time': '60s'},
        'POST', '/projects/p/snapshots',
        {'name': 's', 'sourceVolumeUUID': UUID, 'sourceVolumeName': 'v',
         'retentionTime': '60s'}),
    'delete_snapshot': (
        {'project_name': 'p', 'snapshot_uuid': UUID},
        'DELETE', '/projects/p/snapshots/' + UUID, None),
    'list_policies': (
        {'policy_uuid': None, 'policy_name': 'a b'},
        'GET', '/policies?name=a+b', None),
    'create_policy': (
        {'name': 'q', 'description': 'd',
         'rate_limits': {'limitBw': {'readBWLimit': 1}}},
        'POST', '/policies',
        {'name': 'q', 'description': 'd',
         'qoSRateLimitPolicy': {'limitBw': {'readBWLimit': 1}}}),
}
# What a name may not hold, and what ends a part of a URL if left as it is.
ODD = string.punctuation + ' \t\r\n\x00\x7f\u00e9\u2028'


def takes(request: commands.Request) -> set[str]:
    """The fields that the API has for a request, with its path."""
    path = request.target.partition('?')[0].replace('/api/v2', '', 1)
    for method, pattern, fields in fake_lightos.OPERATIONS.values():
        if method == request.method and re.fullmatch(
                re.sub(r'\{\w+\}', '[^/]+', pattern), path):
            return set(fields.split())
    raise AssertionError('the API has no such operation: %s' % (request,))


@ddt.ddt
class CommandsTestCase(testtools.TestCase):

    @ddt.data(*commands.COMMANDS)
    def test_d2_command(self, cmd):
        keywords, method, target, body = ON_THE_WIRE[cmd]
        self.assertEqual(
            commands.Request(method, '/api/v2' + target, body, {}),
            commands.build(cmd, **keywords))

    @ddt.data(*commands.COMMANDS)
    def test_asks_for_nothing_that_the_api_does_not_have(self, cmd):
        request = commands.build(cmd, **ON_THE_WIRE[cmd][0])
        query = parse.parse_qs(parse.urlsplit(request.target).query)
        self.assertLessEqual({*query, *(request.body or ())}, takes(request))

    @ddt.data(*commands.COMMANDS)
    def test_only_get_changes_nothing(self, cmd):
        self.assertEqual(ON_THE_WIRE[cmd][1] != 'GET',
                         commands.changes_something(cmd))

    def test_d2_unknown_command(self):
        self.assertFalse(commands.changes_something('drop_cluster'))
        self.assertRaises(exception.UnknownCmd, commands.build,
                          'drop_cluster')

    def test_d2_what_is_none_is_left_out(self):
        request = commands.build(
            'create_volume', project_name='p', name='v', size='1 gib',
            n_replicas=1, compression='False', acl=['ALLOW_NONE'],
            ip_acl=None, src_snapshot_uuid=None, qos_policy=None,
            sector_size=4096)
        self.assertEqual({'name', 'size', 'replicaCount', 'compression',
                          'acl', 'sectorSize'}, set(request.body))

    @ddt.data((512, 'sectorSize_512B'), (4096, 'sectorSize_4K'))
    @ddt.unpack
    def test_d2_size_of_sectors_is_a_word(self, size, word):
        request = commands.build('create_volume', project_name='p',
                                 sector_size=size)
        self.assertEqual({'sectorSize': word}, request.body)

    def test_d2_empty_values_are_sent(self):
        request = commands.build('update_volume', project_name='p',
                                 volume_uuid=UUID, acl=[])
        self.assertEqual({'acl': {'values': []}}, request.body)

    @ddt.data('update_volume', 'extend_volume', 'delete_volume',
              'delete_snapshot')
    def test_o5_etag_makes_a_change_conditional(self, cmd):
        request = commands.build(cmd, **ON_THE_WIRE[cmd][0], etag='7')
        self.assertEqual({'If-Match': '7'}, request.headers)

    @ddt.data('name', 'UUID')
    def test_d2_qos_policy_goes_by_name_or_uuid(self, by):
        value = {'name': 'gold', 'UUID': UUID}[by]
        request = commands.build('set_volume_qos_policy', project_name='p',
                                 volume_uuid=UUID, qos_policy=value)
        self.assertEqual({'qosPolicy' + by.replace('n', 'N'): value},
                         request.body)

    @ddt.data(('get_volume', 'volume_uuid'), ('get_volume', 'project_name'),
              ('delete_volume', 'volume_uuid'),
              ('get_snapshot', 'snapshot_uuid'),
              ('delete_snapshot', 'project_name'))
    @ddt.unpack
    def test_o6_nothing_leaves_its_place_in_the_path(self, cmd, keyword):
        keywords = ON_THE_WIRE[cmd][0]
        plain = commands.build(cmd, **keywords).target.split('/')
        odd = commands.build(cmd, **{**keywords, keyword: ODD})
        parts = odd.target.split('/')
        self.assertEqual(len(plain), len(parts))
        changed = [part for part, was in zip(parts, plain) if part != was]
        self.assertEqual([ODD], [parse.unquote(part) for part in changed])
        self.assertEqual([], re.findall(r'[^A-Za-z0-9._~%-]', changed[0]))

    @ddt.data(('get_volume_by_name', 'volume_name', 'name'),
              ('get_snapshot_by_name', 'snapshot_name', 'Name'))
    @ddt.unpack
    def test_o6_nothing_leaves_its_place_in_the_query(self, cmd, keyword,
                                                      parameter):
        odd = commands.build(cmd, **{**ON_THE_WIRE[cmd][0], keyword: ODD})
        self.assertEqual({parameter: [ODD]}, parse.parse_qs(
            parse.urlsplit(odd.target).query, strict_parsing=True))


@ddt.ddt
class QuotingTestCase(base.LightOSTestCase):
    """What the driver quotes stays so in the libraries below it."""

    @ddt.data('../../clusterinfo', 'a/b?c=d#e', '%2e%2e%2f', 'a b+c&d=e')
    def test_o6_path_is_sent_as_quoted(self, project):
        self.driver.cluster.send_cmd(
            'get_volume', timeout=10, project_name=project, volume_uuid=UUID)
        self.assertEqual(
            ['/api/v2/projects/%s/volumes/%s'
             % (parse.quote(project, safe=''), UUID)],
            [request.path for request in self.server.requests])

    @ddt.data('a/b?c=d#e', 'x&limit=1', '%41', 'a b+c')
    def test_o6_query_is_sent_as_quoted(self, name):
        self.driver.cluster.send_cmd(
            'get_volume_by_name', timeout=10, project_name='default',
            volume_name=name)
        self.assertEqual([{'name': name}], [
            request.query for request in self.server.requests])

    @ddt.data('.', '..', '\ud800')
    def test_o6_what_no_path_can_hold_is_refused(self, project):
        error = self.assertRaises(
            exception.VolumeBackendAPIException,
            self.driver.cluster.send_cmd, 'get_volume', timeout=10,
            project_name=project, volume_uuid=UUID)
        self.assert_tells(error, 'get_volume', 'project_name', repr(project),
                          '1 to 253 letters')
        self.assertEqual([], self.server.requests)

    @ddt.data('..', '.', '', 'a/b', '../default', 'a b', 'a' * 254,
              'caf\u00e9', 'a\n')
    def test_o6_project_that_is_no_name_is_refused_before_any_call(self,
                                                                   project):
        volume = self.make_volume(
            self.make_type(lightos__project_name=project))
        self.assertRaises(exception.InvalidVolumeType,
                          self.driver.create_volume, volume)
        self.assertEqual([], self.server.requests)

    @ddt.data('../x', '..', 'a/b ' + UUID, 'default ../..',
              'default %s/rollback' % UUID)
    def test_o6_provider_id_that_makes_no_sense_is_not_sent(self, recorded):
        volume = self.make_volume(provider_id=recorded)
        self.driver.delete_volume(volume)
        self.assertEqual(
            {'/api/v2/projects/default/volumes'},
            {request.path for request in self.server.requests})
