# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""The kernel's target: what is written, into a directory of the test's."""

from __future__ import annotations

import pathlib

import ddt
import fixtures
import testtools

from lightos_simulator import nvmet
from lightos_simulator.tests import base

SUBSYSTEM = 'nqn.2016-01.com.lightbitslabs:uuid:c'
UUID = '77148061-a111-49f5-8801-9fe90f78b685'


@ddt.ddt
class TestStates(testtools.TestCase):

    @ddt.data(
        ((0, 1), (0, 1, 2), 'optimized non-optimized inaccessible'),
        ((2, 0), (0, 1, 2), 'non-optimized inaccessible optimized'),
        ((0, 1), (1, 2), 'inaccessible optimized inaccessible'),
        ((0, 1, 2), (0, 1, 2), 'optimized non-optimized non-optimized'),
        ((0,), (1, 2), 'inaccessible inaccessible inaccessible'))
    @ddt.unpack
    def test_states(self, nodes: tuple[int, ...], active: tuple[int, ...],
                    expected: str) -> None:
        self.assertEqual(tuple(expected.split()),
                         nvmet.ana_states(nodes, active, 3))


class TestTarget(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for name in ('subsystems', 'ports', 'hosts'):
            (self.root / name).mkdir()
        self.target = nvmet.Target(
            SUBSYSTEM, ['192.0.2.11', '2001:db8::12'], self.root)
        self.target.create()
        self.subsystem = self.root / 'subsystems' / SUBSYSTEM

    def read(self, path: str) -> str:
        return (self.root / path).read_text().strip()

    def hosts(self) -> set[str]:
        return {link.name for link
                in (self.subsystem / 'allowed_hosts').iterdir()}

    def namespace(self) -> nvmet.Namespace:
        return nvmet.Namespace(7, UUID, pathlib.Path('/content'), (1, 0))

    def test_each_node_is_a_port(self) -> None:
        self.assertEqual(
            [('tcp', 'ipv4', '192.0.2.11', '4420'),
             ('tcp', 'ipv6', '2001:db8::12', '4420')],
            [tuple(self.read('ports/%d/addr_%s' % (port, name))
                   for name in ('trtype', 'adrfam', 'traddr', 'trsvcid'))
             for port in (1, 2)])

    def test_node_serves_and_ceases(self) -> None:
        link = self.root / 'ports' / '2' / 'subsystems' / SUBSYSTEM
        link.parent.mkdir()
        self.target.serve(1)
        self.target.serve(1)
        self.assertEqual(self.subsystem, link.readlink())
        self.target.cease(1)
        self.target.cease(1)
        self.assertFalse(link.is_symlink())

    def test_hosts_are_those_admitted_last(self) -> None:
        self.target.admit([base.NQN])
        self.target.admit([base.NQN2])
        self.assertEqual({base.NQN2}, self.hosts())
        self.assertEqual('0', self.read(
            'subsystems/%s/attr_allow_any_host' % SUBSYSTEM))

    def test_any_host(self) -> None:
        self.target.admit([base.NQN])
        self.target.admit([base.NQN], any_host=True)
        self.assertEqual(set(), self.hosts())
        self.assertEqual('1', self.read(
            'subsystems/%s/attr_allow_any_host' % SUBSYSTEM))

    def test_namespace_has_the_uuid_of_its_volume(self) -> None:
        self.target.show(self.namespace())
        directory = 'subsystems/%s/namespaces/7/' % SUBSYSTEM
        self.assertEqual((UUID, '/content', '1'), tuple(
            self.read(directory + name)
            for name in ('device_uuid', 'device_path', 'enable')))

    def test_namespace_shown_again_has_its_size_read(self) -> None:
        self.target.show(self.namespace())
        self.target.show(self.namespace())
        self.assertEqual('1', self.read(
            'subsystems/%s/namespaces/7/revalidate_size' % SUBSYSTEM))

    def test_states_are_those_of_the_group_of_the_volume(self) -> None:
        self.target.set_states({(1, 0): ('non-optimized', 'optimized')})
        self.target.show(self.namespace())
        group = self.read('subsystems/%s/namespaces/7/ana_grpid' % SUBSYSTEM)
        self.assertEqual(['non-optimized', 'optimized'], [
            self.read('ports/%d/ana_groups/%s/ana_state' % (port, group))
            for port in (1, 2)])

    def test_more_groups_than_the_kernel_has(self) -> None:
        for number in range(127):
            self.target.set_states({(number, number + 1): ()})
        self.assertRaises(nvmet.TargetError, self.target.set_states,
                          {(1000, 1001): ()})
