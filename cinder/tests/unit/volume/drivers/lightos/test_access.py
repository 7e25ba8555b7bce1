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

"""The access lists of a volume, decided without a cluster."""

import ipaddress

import ddt

from cinder import exception
from cinder.tests.unit import test
from cinder.volume.drivers.lightos import access

NONE = ('ALLOW_NONE',)
ANY = ('ALLOW_ANY',)
A, B = (access.Host(nqn, ips) for nqn, ips in (
    ('nqn.a', ('192.0.2.1', '2001:db8::1')), ('nqn.b', ('192.0.2.2',))))


def lists(nqns: tuple[str, ...],
          ips: 'tuple[str, ...] | None') -> access.Access:
    return access.Access(nqns, ips)


@ddt.ddt
class UsableIPsTestCase(test.TestCase):

    @ddt.data('127.0.0.1', '127.9.9.9', '::1', '169.254.0.1', 'fe80::1',
              'fe80::1%eth0', '224.0.0.1', 'ff02::1', '0.0.0.0', '::',
              'not-an-address', '', '192.0.2.1/24')
    def test_a8_address_that_never_counts(self, address):
        self.assertEqual((), access.usable_ips([address], ()))

    @ddt.data('10.0.0.1', '192.168.1.1', '100.64.0.1', '203.0.113.1',
              '2001:db8::1', 'fd00::1')
    def test_a8_address_that_counts(self, address):
        self.assertEqual((address,), access.usable_ips([address], ()))

    def test_a8_spelling_is_one(self):
        self.assertEqual(('2001:db8::a',), access.usable_ips(
            ['2001:DB8:0::A', '2001:db8::a', '2001:db8::a%eth0'], ()))

    def test_a8_order_is_one(self):
        self.assertEqual(
            ('9.0.0.1', '10.0.0.1', '2001:db8::1'),
            access.usable_ips(['2001:db8::1', '10.0.0.1', '9.0.0.1'], ()))

    def test_a8_networks_choose(self):
        networks = access.networks(['192.0.2.0/25', ' 2001:db8::/64 '])
        self.assertEqual(
            ('192.0.2.1', '2001:db8::1'),
            access.usable_ips(['192.0.2.1', '192.0.2.129', '10.0.0.1',
                               '2001:db8::1', '2001:db8:1::1'], networks))

    def test_a8_networks_do_not_bring_back_what_never_counts(self):
        networks = access.networks(['0.0.0.0/0', '::/0'])
        self.assertEqual((), access.usable_ips(
            ['127.0.0.1', 'fe80::1', '224.0.0.1'], networks))

    def test_a8_networks_are_read(self):
        self.assertEqual((ipaddress.ip_network('192.0.2.0/24'),
                          ipaddress.ip_network('2001:db8::1/128')),
                         access.networks(['192.0.2.0/24', '2001:db8::1']))

    @ddt.data('192.0.2.1/24', 'storage', '', '10.0.0.0/33')
    def test_a8_network_that_is_none(self, network):
        error = self.assertRaises(exception.InvalidConfigurationValue,
                                  access.networks, ['10.0.0.0/8', network])
        self.assertIn('lightos_ipacl_networks', str(error))
        self.assertIn('10.0.0.0/8, ' + network, str(error))

    @ddt.data({}, {'nqn': None, 'host_ips': None}, {'nqn': ''})
    def test_a2_connector_without_anything(self, connector):
        self.assertEqual(access.Host(None, ()), access.host(connector, ()))

    @ddt.data(access.ALLOW_ANY, access.ALLOW_NONE, ['nqn.b'], {'a': 1}, True,
              'nqn.b nqn.c', 'nqn.b\n', '\ud800', 'n' * 224)
    def test_a2_what_names_no_host(self, nqn):
        self.assertIsNone(access.host({'nqn': nqn}, ()).nqn)

    def test_a2_longest_nqn_names_a_host(self):
        self.assertEqual('n' * 223, access.host({'nqn': 'n' * 223}, ()).nqn)

    @ddt.data(1, True, '192.0.2.1', {'a': 1}, [None, 1, {}, ['192.0.2.1']])
    def test_a2_what_is_no_list_of_addresses(self, ips):
        self.assertEqual((), access.host({'host_ips': ips}, ()).ips)

    def test_a2_connector(self):
        self.assertEqual(B, access.host(
            {'nqn': 'nqn.b', 'host_ips': ['192.0.2.2', '127.0.0.1']}, ()))


@ddt.ddt
class ListsTestCase(test.TestCase):

    @ddt.data((True, NONE), (False, ANY))
    @ddt.unpack
    def test_v1_closed(self, use_ipacl, ips):
        self.assertEqual(lists(NONE, ips), access.closed(use_ipacl))

    @ddt.data(
        # now, what is wanted
        (lists(NONE, NONE), lists(('nqn.b',), ('192.0.2.2',))),
        (lists(('nqn.x',), ('10.0.0.1',)),
         lists(('nqn.x', 'nqn.b'), ('10.0.0.1', '192.0.2.2'))),
        (lists(('nqn.b',), NONE), lists(('nqn.b',), ('192.0.2.2',))),
        (lists(('nqn.b',), ('192.0.2.2',)),
         lists(('nqn.b',), ('192.0.2.2',))),
        (lists(NONE, ANY), lists(('nqn.b',), ANY)),
        (lists(ANY, NONE), lists(ANY, ('192.0.2.2',))),
        (lists(ANY, ANY), lists(ANY, ANY)),
        (lists(NONE, None), lists(('nqn.b',), None)))
    @ddt.unpack
    def test_a1_admit(self, now, wanted):
        self.assertEqual(wanted, access.admit(now, B, True))

    @ddt.data(
        (lists(NONE, NONE), lists(('nqn.b',), ANY)),
        (lists(('nqn.x',), ('10.0.0.1',)), lists(('nqn.x', 'nqn.b'), ANY)),
        (lists(NONE, ANY), lists(('nqn.b',), ANY)),
        (lists(NONE, None), lists(('nqn.b',), None)))
    @ddt.unpack
    def test_a9_admit_without_use_of_ip_acls(self, now, wanted):
        self.assertEqual(wanted, access.admit(now, B, False))

    def test_a8_address_that_is_in_already_takes_no_place(self):
        full = tuple('10.0.0.%d' % number for number in range(1, 16))
        now = lists(('nqn.x',), full + ('2001:0db8::0:1',))
        host = access.Host('nqn.c', ('10.0.0.1', '2001:db8::1'))
        self.assertEqual(now.ips, access.admit(now, host, True).ips)

    @ddt.data((15, False), (16, True))
    @ddt.unpack
    def test_a8_seventeenth_address(self, others, too_many):
        now = lists(('nqn.x',), tuple(
            '10.0.0.%d' % number for number in range(others)))
        if not too_many:
            self.assertEqual(16, len(access.admit(now, B, True).ips))
            return
        error = self.assertRaises(exception.InvalidConnectorException,
                                  access.admit, now, B, True)
        for word in ('nqn.b', 'has 1 (192.0.2.2)', '16 other addresses',
                     'takes 16', 'lightos_ipacl_networks'):
            self.assertIn(word, str(error))

    @ddt.data(
        (lists(('nqn.a', 'nqn.b'), A.ips + B.ips),
         lists(('nqn.a',), A.ips)),
        (lists(('nqn.b',), B.ips), lists(NONE, NONE)),
        (lists(('nqn.b',), B.ips + ('10.0.0.1',)), lists(NONE, NONE)),
        (lists(('nqn.a', 'nqn.b'), B.ips), lists(('nqn.a',), NONE)),
        (lists(('nqn.a',), A.ips), lists(('nqn.a',), A.ips)),
        (lists(NONE, NONE), lists(NONE, NONE)),
        (lists(('nqn.a', 'nqn.b'), ANY), lists(('nqn.a',), ANY)),
        (lists(('nqn.b',), ANY), lists(NONE, ANY)),
        (lists(ANY, B.ips + A.ips), lists(ANY, A.ips)),
        (lists(ANY, ANY), lists(ANY, ANY)),
        (lists(('nqn.b',), None), lists(NONE, None)),
        (lists(('nqn.a', 'nqn.b'), None), lists(('nqn.a',), None)))
    @ddt.unpack
    def test_a5_expel(self, now, wanted):
        self.assertEqual(wanted, access.expel(now, 'nqn.b', B.ips))

    def test_a5_expel_knows_an_address_in_any_spelling(self):
        now = lists(('nqn.a', 'nqn.b'), ('2001:0DB8::0:1', '192.0.2.2'))
        self.assertEqual(lists(('nqn.b',), ('192.0.2.2',)),
                         access.expel(now, 'nqn.a', A.ips))

    def test_a5_expel_leaves_addresses_that_others_need(self):
        now = lists(('nqn.a', 'nqn.b'), A.ips)
        self.assertEqual(lists(('nqn.b',), A.ips),
                         access.expel(now, 'nqn.a', ()))

    @ddt.data(
        (lists(NONE, NONE), lists(('nqn.a',), A.ips), lists(NONE, NONE)),
        (lists(('nqn.b',), B.ips), lists(('nqn.a', 'nqn.b'), A.ips + B.ips),
         lists(('nqn.b',), B.ips)),
        (lists(('nqn.a',), NONE), lists(('nqn.a',), A.ips),
         lists(('nqn.a',), NONE)),
        (lists(('nqn.a',), A.ips[:1]), lists(('nqn.a',), A.ips),
         lists(('nqn.a',), A.ips[:1])),
        (lists(('nqn.b',), B.ips), lists(('nqn.a', 'nqn.b'), ANY),
         lists(('nqn.b',), ANY)),
        (lists(NONE, None), lists(('nqn.a',), None), lists(NONE, None)),
        (lists(NONE, NONE), lists(('nqn.b',), B.ips),
         lists(('nqn.b',), B.ips)))
    @ddt.unpack
    def test_a1_take_back(self, before, now, wanted):
        self.assertEqual(wanted, access.take_back(now, A, before))

    @ddt.data(
        (lists(('nqn.x',), ('10.0.0.1',)), (A, B),
         lists(('nqn.a', 'nqn.b'), A.ips + B.ips)),
        (lists(('nqn.x',), ('10.0.0.1',)), (), lists(NONE, NONE)),
        (lists(ANY, ANY), (B,), lists(ANY, ANY)),
        (lists(('nqn.x',), ANY), (B,), lists(('nqn.b',), ANY)),
        (lists(ANY, ('10.0.0.1',)), (B,), lists(ANY, B.ips)),
        (lists(('nqn.x',), None), (B,), lists(('nqn.b',), None)))
    @ddt.unpack
    def test_a7_only(self, now, hosts, wanted):
        self.assertEqual(wanted, access.only(now, hosts, True))

    def test_a9_only_without_use_of_ip_acls(self):
        self.assertEqual(
            lists(('nqn.b',), ANY),
            access.only(lists(('nqn.x',), ('10.0.0.1',)), (B,), False))

    @ddt.data(
        (lists(('a', 'b'), None), lists(('b', 'a'), None), True),
        (lists(('a',), ('::1', '192.0.2.1')),
         lists(('a',), ('192.0.2.1', '0::1')), True),
        (lists(('a',), NONE), lists(('a',), ANY), False),
        (lists(('a',), None), lists(('a',), NONE), False),
        (lists(('a',), NONE), lists(('b',), NONE), False),
        (lists(('a',), ('192.0.2.1',)), lists(('a',), ('192.0.2.2',)),
         False))
    @ddt.unpack
    def test_equals(self, one, other, same):
        self.assertIs(same, one.equals(other))
