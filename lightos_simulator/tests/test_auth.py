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
"""Tokens and roles."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
import ddt
import jwt
import testtools

from lightos_simulator import auth
from lightos_simulator import errors
from lightos_simulator.tests import base

WHO = {'cluster-admin': ('system', 'cluster-admin'),
       'admin': ('default', 'admin'), 'viewer': ('default', 'viewer'),
       'foreign': ('other', 'admin')}
P = base.PROJECT
UUID = '00000000-0000-4000-8000-000000000000'
# What each may do: method and path, and who is not answered with 403.
MATRIX: list[tuple[str, str, tuple[str, ...]]] = [
    ('GET', '/api/v2/clusterinfo', tuple(WHO)),
    ('GET', '/api/v2/nodes', tuple(WHO)),
    ('GET', '/api/v2/nodes/' + UUID, tuple(WHO)),
    ('GET', '/api/v2/cluster', ('cluster-admin',)),
    ('GET', '/api/v2/projects', ('cluster-admin',)),
    ('GET', P, ('cluster-admin', 'admin', 'viewer')),
    ('GET', '/api/v2/connectedHosts', ('cluster-admin',)),
    ('GET', '/api/v2/connectedHosts/h', ('cluster-admin',)),
    ('GET', '/api/v2/policies', ('cluster-admin',)),
    ('GET', '/api/v2/policies/' + UUID, ('cluster-admin',)),
    ('POST', '/api/v2/policies', ('cluster-admin',)),
    ('PUT', '/api/v2/policies/' + UUID, ('cluster-admin',)),
    ('DELETE', '/api/v2/policies/' + UUID, ('cluster-admin',)),
    ('GET', '/api/v2/events', ('cluster-admin',)),
    ('GET', '/api/v2/volumes', ('cluster-admin',)),
    ('GET', '/api/v2/volumes/' + UUID, ('cluster-admin',)),
    ('GET', '/api/v2/volumes?projectName=default',
     ('cluster-admin', 'admin', 'viewer')),
    ('DELETE', '/api/v2/volumes/%s?projectName=default' % UUID,
     ('cluster-admin', 'admin')),
] + [('GET', P + path, ('cluster-admin', 'admin', 'viewer')) for path in (
    '/volumes', '/volumes/' + UUID, '/snapshots', '/snapshots/' + UUID,
    '/snapshots/diff/' + UUID, '/events')
] + [(method, P + path, ('cluster-admin', 'admin')) for method, path in (
    ('POST', '/volumes'), ('PUT', '/volumes/' + UUID),
    ('DELETE', '/volumes/' + UUID), ('PUT', '/volumes/%s/rollback' % UUID),
    ('POST', '/snapshots'), ('DELETE', '/snapshots/' + UUID))]


class TokenTest(base.ClusterTest):
    tenancy = True

    def setUp(self) -> None:
        super().setUp()
        self.prepare()

    def prepare(self) -> None:
        self.world.add_project('other')
        assert self.authority is not None
        self.tokens = {name: self.authority.issue(scope, role, role)
                       for name, (scope, role) in WHO.items()}

    def ask(self, token: str | None, method: str = 'GET',
            url: str = P + '/volumes', body: Any = None) -> base.Reply:
        headers = ({} if token is None
                   else {'Authorization': 'Bearer ' + token})
        return self.call(method, url, body, headers)


@ddt.ddt
class TestRoles(TokenTest):

    @ddt.idata((who, *row) for row in MATRIX for who in WHO)
    @ddt.unpack
    def test_right(self, who: str, method: str, url: str,
                   allowed: tuple[str, ...]) -> None:
        reply = self.ask(self.tokens[who], method, url)
        if who in allowed:
            self.assertNotIn(reply.status, (401, 403), reply.json)
        else:
            self.assertEqual((403, 7), (reply.status, reply.code))

    @ddt.idata(MATRIX)
    @ddt.unpack
    def test_no_token(self, method: str, url: str, allowed: Any) -> None:
        reply = self.ask(None, method, url)
        self.assertEqual((401, 16), (reply.status, reply.code))

    def test_version_needs_no_token(self) -> None:
        self.assertEqual(200, self.ask(None, url='/api/v2/version').status)

    def test_project_in_the_body_is_checked(self) -> None:
        reply = self.ask(self.tokens['foreign'], 'POST', '/api/v2/volumes', {
            'projectName': 'default', 'name': 'v', 'size': '1 gib',
            'replicaCount': 1})
        self.assertEqual(403, reply.status)

    def test_projects_may_read_policies(self) -> None:
        self.build(projects_read_policies=True)
        self.prepare()
        for name, scope in (('a', 'default'), ('b', 'other')):
            reply = self.ask(
                self.tokens['cluster-admin'], 'POST', '/api/v2/policies',
                {'name': name, 'qoSRateLimitPolicy': {
                    'policyVisibility': 'Scoped', 'limitIOPS': {},
                    'projectsNamesScope': [scope]}})
            self.assertEqual(200, reply.status)
        listed = self.ask(self.tokens['viewer'], url='/api/v2/policies')
        self.assertEqual(['a'], [one['name']
                                 for one in listed.json['policies']])
        url = '/api/v2/policies/?name='
        self.assertEqual(200, self.ask(self.tokens['viewer'], url=url + 'a'
                                       ).status)
        self.assertEqual(404, self.ask(self.tokens['viewer'], url=url + 'b'
                                       ).status)

    def test_without_multi_tenancy_a_token_does_not_matter(self) -> None:
        self.tenancy = False
        self.build()
        self.assertEqual(200, self.ask('nonsense').status)


@ddt.ddt
class TestTokens(TokenTest):

    def forge(self, key: Any = None, algorithm: str = 'RS256',
              kid: Any = 'default:admin', **claims: Any) -> str:
        assert self.authority is not None
        now = int(self.clock())
        values = {'roles': ['default:admin'], 'sub': 'admin',
                  'iss': self.world.uuid, 'iat': now, 'nbf': now,
                  'exp': now + 60, **claims}
        return jwt.encode(
            {name: value for name, value in values.items()
             if value is not None},
            base.signing_key() if key is None else key,
            algorithm=algorithm, headers={'kid': kid} if kid else {})

    def check(self, status: int, token: str) -> None:
        reply = self.ask(token)
        self.assertEqual(status, reply.status, reply.json)

    def test_good(self) -> None:
        self.check(200, self.forge())

    def test_form(self) -> None:
        header = jwt.get_unverified_header(self.tokens['cluster-admin'])
        claims = jwt.decode(self.tokens['cluster-admin'],
                            options={'verify_signature': False})
        self.assertEqual(('RS256', 'system:cluster-admin'),
                         (header['alg'], header['kid']))
        self.assertEqual(['system:cluster-admin'], claims['roles'])
        self.assertEqual(30 * 24 * 3600, claims['exp'] - claims['iat'])

    @ddt.data('roles', 'sub', 'iss', 'iat', 'nbf', 'exp')
    def test_claim_missing(self, claim: str) -> None:
        claims: dict[str, Any] = {claim: None}
        self.check(401, self.forge(**claims))

    @ddt.data({'roles': []}, {'roles': ['default']}, {'roles': 'x'},
              {'roles': ['default:admin', 'system:cluster-admin']},
              {'roles': ['system:cluster-admin']},
              {'roles': ['default:owner']},
              {'roles': ['default:cluster-admin']}, {'iss': 'another'},
              {'exp': 'x'})
    def test_claim_bad(self, claims: Any) -> None:
        self.check(401, self.forge(**claims))

    @ddt.data(None, 'default:nobody', 'nobody', 'other:admin', '')
    def test_kid_bad(self, kid: Any) -> None:
        self.check(401, self.forge(kid=kid))

    def test_expired(self) -> None:
        token = self.forge()
        self.check(200, token)
        self.pass_time(60)
        self.check(401, token)

    def test_not_valid_yet(self) -> None:
        self.check(401, self.forge(nbf=int(self.clock()) + 10))

    def test_signed_by_another(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.check(401, self.forge(key))

    def test_signed_by_nobody(self) -> None:
        self.check(401, self.forge('', 'none'))

    def test_signed_with_a_shared_secret(self) -> None:
        self.check(401, self.forge('x' * 32, 'HS256'))

    def test_altered(self) -> None:
        header, _, signature = self.tokens['viewer'].split('.')
        claims = jwt.decode(self.tokens['viewer'],
                            options={'verify_signature': False})
        claims['roles'] = ['default:admin']
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()
                                        ).rstrip(b'=').decode()
        self.check(401, '.'.join((header, body, signature)))

    @ddt.data('', 'x', 'a.b', 'a.b.c', 'ä.b.c')
    def test_no_token_at_all(self, token: str) -> None:
        self.check(401, token)

    @ddt.data('Basic x', 'bearer', 'Token x')
    def test_other_scheme(self, header: str) -> None:
        reply = self.call('GET', P + '/volumes', None,
                          {'Authorization': header})
        self.assertEqual(401, reply.status)

    def test_header_of_any_case(self) -> None:
        reply = self.call('GET', P + '/volumes', None, {
            'authorization': 'bearer ' + self.tokens['viewer']})
        self.assertEqual(200, reply.status)

    def test_revoked(self) -> None:
        assert self.authority is not None
        self.check(200, self.tokens['viewer'])
        self.assertEqual(['default:viewer'],
                         self.authority.revoke('default:viewer'))
        self.check(401, self.tokens['viewer'])
        self.check(200, self.tokens['admin'])
        self.assertRaises(ValueError, self.authority.issue, 'default',
                          'viewer', 'viewer')

    @ddt.data(('default', 'cluster-admin'), ('system', 'admin'),
              ('default', 'owner'))
    @ddt.unpack
    def test_role_that_is_not(self, scope: str, role: str) -> None:
        assert self.authority is not None
        self.assertRaises(ValueError, self.authority.issue, scope, role, 'x')


class TestAuthority(testtools.TestCase):

    def test_same_key_after_a_restart(self) -> None:
        clock = base.FakeClock()
        first = auth.Authority('c', clock, base.signing_key())
        token = first.issue('default', 'admin', 'admin')
        second = auth.Authority('c', clock, first.key(), first.credentials,
                                first.revoked)
        self.assertEqual(auth.Identity('default:admin', 'default', 'admin'),
                         second.authenticate('Bearer ' + token))

    def test_another_cluster(self) -> None:
        clock = base.FakeClock()
        first = auth.Authority('c', clock, base.signing_key())
        token = first.issue('default', 'admin', 'admin')
        other = auth.Authority('d', clock, first.key(), first.credentials)
        self.assertRaises(errors.ApiError, other.authenticate,
                          'Bearer ' + token)
