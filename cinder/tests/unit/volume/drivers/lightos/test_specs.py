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

"""What a volume type asks of LightOS."""

import ddt

from cinder import exception
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.volume.drivers.lightos import specs


@ddt.ddt
class SpecsTestCase(base.LightOSTestCase):

    def read(self, **extra_specs: str) -> specs.VolumeSpecs:
        return specs.of_volume(self.make_volume(self.make_type(
            **extra_specs)), self.driver.configuration)

    def refusal(self, **extra_specs: str) -> exception.InvalidVolumeType:
        return self.assertRaises(exception.InvalidVolumeType, self.read,
                                 **extra_specs)

    def test_d1_type_that_asks_for_nothing_gets_the_defaults(self):
        self.assertEqual(specs.VolumeSpecs('default', 3, False, None),
                         self.read())

    def test_d1_options_are_the_defaults(self):
        self.configure(lightos_default_num_replicas=2,
                       lightos_default_compression_enabled=True)
        self.assertEqual(specs.VolumeSpecs('default', 2, True, None),
                         self.read())

    def test_v1_volume_without_a_type_gets_the_defaults(self):
        volume = self.make_volume()
        volume.volume_type_id = volume.volume_type = None
        self.assertEqual(
            specs.VolumeSpecs('default', 3, False, None),
            specs.of_volume(volume, self.driver.configuration))

    def test_d1_type_goes_before_the_options(self):
        self.configure(lightos_default_num_replicas=2,
                       lightos_default_compression_enabled=True)
        self.assertEqual(
            specs.VolumeSpecs('blue', 1, False, 'gold'),
            self.read(lightos__num_replicas='1', compression='<is> False',
                      lightos__project_name='blue',
                      lightos__qos_policy='gold'))

    @ddt.data('1', '2', '3', ' 3 ')
    def test_d1_replicas(self, asked):
        self.assertEqual(int(asked),
                         self.read(lightos__num_replicas=asked).replicas)

    @ddt.data('0', '4', '-1', 'three', '', '1.5')
    def test_d1_replicas_that_lightos_has_not(self, asked):
        error = self.refusal(lightos__num_replicas=asked)
        self.assert_tells(error, 'lightos:num_replicas', repr(asked))

    @ddt.data(('<is> True', True), ('<is>True', True), ('True', True),
              ('true', True), ('<is> False', False), ('false', False))
    @ddt.unpack
    def test_d1_compression(self, asked, compression):
        self.configure(lightos_default_compression_enabled=not compression)
        self.assertIs(compression, self.read(compression=asked).compression)

    @ddt.data('perhaps', '', '<is> ')
    def test_d1_compression_that_is_no_switch(self, asked):
        error = self.refusal(compression=asked)
        self.assert_tells(error, 'compression', repr(asked))

    @ddt.data(('512', 512), ('4096', 4096), (' 512 ', 512))
    @ddt.unpack
    def test_sector_size(self, asked, size):
        self.assertEqual(size, self.read(
            lightos__sector_size=asked).sector_size)

    @ddt.data('0', '511', '4k', '', '4096.0', '0512', '-512')
    def test_sector_size_that_lightos_has_not(self, asked):
        error = self.refusal(lightos__sector_size=asked)
        self.assert_tells(error, 'lightos:sector_size', repr(asked), '512',
                          '4096')

    @ddt.data('../x', 'a b', 'x' * 254, '', '.', '..', 'a/b', 'ä', 'a\n')
    def test_o6_project_that_is_no_name(self, project):
        error = self.refusal(lightos__project_name=project)
        self.assert_tells(error, 'lightos:project_name', repr(project))

    @ddt.data('a', 'x' * 253, 'A-b_c.9', '...')
    def test_o6_project_that_is_a_name(self, project):
        self.assertEqual(project, self.read(
            lightos__project_name=project).project)

    @ddt.data('.', '..', 'a\n', '\ud800')
    def test_o6_qos_policy_that_cannot_be_sent(self, policy):
        error = self.assertRaises(exception.InvalidVolumeType, specs.read,
                                  {'lightos:qos_policy': policy}, {})
        self.assert_tells(error, 'lightos:qos_policy', repr(policy), 'UUID')

    @ddt.data('gold & silver', 'Größe', '...')
    def test_qos_policy_of_any_name(self, policy):
        self.assertEqual(policy, self.read(
            lightos__qos_policy=policy).qos_policy)

    def test_spec_that_says_nothing_to_lightos_is_told(self):
        told = self.warnings()
        volume = self.make_volume(self.make_type(
            lightos__replicas='1', lightos__num_replicas='2',
            lightos__sector_size='512', other__spec='x'), create=True)
        self.assertEqual(1, told.output.count('\n'), told.output)
        self.assert_tells(
            told.output, volume.id, 'has the extra specs lightos:replicas, ',
            'it knows lightos:num_replicas, lightos:project_name, '
            'lightos:qos_policy, lightos:sector_size.')

    def test_d1_empty_qos_policy_is_none(self):
        self.assertIsNone(self.read(lightos__qos_policy='').qos_policy)
