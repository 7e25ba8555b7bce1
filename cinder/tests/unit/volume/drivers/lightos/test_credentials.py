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
"""The token: where it comes from, how it is replaced, who never sees it."""

import base64
import calendar
import json
import logging
import os
import time
import types
from typing import Any, Optional

import ddt
import fixtures
from oslo_config import cfg
from oslo_config import fixture as config_fixture
import testtools

from cinder.tests.unit.volume.drivers.lightos import fake_lightos
from cinder.volume import configuration
from cinder.volume.drivers import lightos
from cinder.volume.drivers.lightos import credentials

BACKEND = 'lightos'
DAY = 24 * 60 * 60
# Nothing of these may ever be seen.
SECRET = 'hushhush'
TOKEN = SECRET + '.first.token'
OTHER_TOKEN = SECRET + '.other.token'
BAD_TOKENS = (SECRET + '\n' + SECRET, SECRET + '\r\nX-Evil: ' + SECRET,
              SECRET + ' ' + SECRET, '\u00e9' + SECRET, SECRET + '\x00',
              '"' + SECRET + '"', 'Bearer ' + SECRET)


def jwt(claims: Any) -> str:
    """A token with these claims, and a signature that nobody checks."""
    def part(content: Any) -> str:
        return base64.urlsafe_b64encode(
            json.dumps(content).encode()).decode().rstrip('=')
    return '.'.join((part({'alg': 'RS256', 'kid': 'system:' + SECRET}),
                     part(claims), SECRET))


class CredentialsTestCase(testtools.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.conf = self.useFixture(config_fixture.Config(cfg.CONF))
        self.clock = self.useFixture(fake_lightos.FakeClock())
        self.useFixture(fixtures.MonkeyPatch(
            'cinder.volume.drivers.lightos.credentials.time',
            types.SimpleNamespace(time=self.clock.time, gmtime=time.gmtime,
                                  strftime=time.strftime)))
        self.log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
        self.path = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'token')
        self.addCleanup(self.assertHushed)

    def assertHushed(self) -> None:
        self.assertNotIn(SECRET, self.log.output)

    def credentials(self, token: Optional[str] = None,
                    path: Optional[str] = None) -> credentials.Credentials:
        """Those of a backend.

        :param token: what ``lightos_jwt`` holds, if set
        :param path: what ``lightos_jwt_file`` is, if set
        """
        conf = configuration.Configuration(lightos.lightos_opts,
                                           config_group=BACKEND)
        for option, value in (('lightos_jwt', token),
                              ('lightos_jwt_file', path)):
            if value is not None:
                self.conf.config(group=BACKEND, **{option: value})
        return credentials.Credentials(conf)

    def write(self, content: str, encoding: str = 'utf-8') -> None:
        with open(self.path, 'w', encoding=encoding, newline='') as file:
            file.write(content)

    def rewrite_unseen(self, token: str) -> None:
        """Change the file within one tick of the file system's clock."""
        was = os.stat(self.path)
        self.write(token)
        os.utime(self.path, ns=(was.st_atime_ns, was.st_mtime_ns))

    def lines(self) -> list[str]:
        return self.log.output.splitlines()


@ddt.ddt
class TokenTestCase(CredentialsTestCase):

    def test_c8_no_token_is_no_fault(self):
        none = self.credentials()
        self.assertIsNone(none.token())
        self.assertEqual([], self.lines())
        self.assertIn('no token is set', none.source)

    def test_c6_token_of_the_option(self):
        given = self.credentials(TOKEN)
        self.assertEqual((TOKEN, 'lightos_jwt'), (given.token(),
                                                  given.source))

    def test_c6_token_of_the_file(self):
        self.write(TOKEN)
        given = self.credentials(path=self.path)
        self.assertEqual(TOKEN, given.token())
        self.assertEqual('lightos_jwt_file (%s)' % self.path, given.source)

    def test_d1_file_takes_precedence(self):
        self.write(TOKEN)
        self.assertEqual(TOKEN, self.credentials(OTHER_TOKEN,
                                                 self.path).token())

    @ddt.data('\n', '\r\n', ' \n\n', '\t')
    def test_c6_space_around_the_token_is_trimmed(self, space):
        self.write(space + TOKEN + space)
        self.assertEqual(TOKEN, self.credentials(path=self.path).token())
        self.assertEqual(TOKEN, self.credentials(
            space + TOKEN + space).token())

    def test_c6_file_is_read_again_when_it_changes(self):
        self.write(TOKEN)
        given = self.credentials(path=self.path)
        given.token()
        self.write(OTHER_TOKEN + '\n')
        self.assertEqual(OTHER_TOKEN, given.token())

    def test_c6_file_is_read_again_when_it_is_replaced(self):
        self.write(TOKEN)
        given = self.credentials(path=self.path)
        given.token()
        was = os.stat(self.path)
        new = self.path + '.new'
        with open(new, 'w') as file:
            file.write(OTHER_TOKEN)
        os.utime(new, ns=(was.st_atime_ns, was.st_mtime_ns))
        os.rename(new, self.path)
        self.assertEqual(OTHER_TOKEN, given.token())

    def test_c6_file_that_did_not_change_is_not_read_again(self):
        self.write(TOKEN)
        given = self.credentials(path=self.path)
        given.token()
        self.rewrite_unseen(OTHER_TOKEN)
        self.assertEqual(TOKEN, given.token())

    def test_c6_refused_token_makes_the_file_be_read_again(self):
        self.write(TOKEN)
        given = self.credentials(path=self.path)
        given.token()
        self.rewrite_unseen(OTHER_TOKEN)
        self.assertTrue(given.replaced(TOKEN))
        self.assertEqual(OTHER_TOKEN, given.token())

    def test_c6_refused_token_that_is_still_there_is_not_replaced(self):
        self.write(TOKEN)
        given = self.credentials(path=self.path)
        self.assertFalse(given.replaced(given.token()))

    @ddt.data('gone', 'empty', 'blank', 'a directory', 'not a token',
              'not ASCII')
    def test_c6_last_good_token_is_kept_and_that_is_said_once(self, fault):
        self.write(TOKEN)
        given = self.credentials(path=self.path)
        given.token()
        os.remove(self.path)
        if fault == 'a directory':
            os.mkdir(self.path)
        elif fault != 'gone':
            self.write({'empty': '', 'blank': ' \n'}.get(
                fault, BAD_TOKENS[2]),
                encoding='utf-16' if fault == 'not ASCII' else 'ascii')
        self.assertEqual([TOKEN] * 3, [given.token() for _each in range(3)])
        self.assertEqual(1, len(self.lines()), self.lines())
        self.assertIn(self.path, self.log.output)
        self.assertIn('stays in use', self.log.output)

    def test_c6_file_that_is_mended_is_used_and_may_fail_again(self):
        self.write(TOKEN)
        given = self.credentials(path=self.path)
        for token in (TOKEN, OTHER_TOKEN):
            self.write(token)
            self.assertEqual(token, given.token())
            os.remove(self.path)
            self.assertEqual(token, given.token())
        self.assertEqual(2, len(self.lines()), self.lines())

    def test_c6_file_that_never_held_a_token_gives_none(self):
        given = self.credentials(path=self.path)
        self.assertIsNone(given.token())
        self.assertIn('there is no token to use', self.log.output)

    @ddt.data(*BAD_TOKENS)
    def test_c6_what_no_header_can_hold_is_not_used(self, text):
        self.write(text)
        for given in (self.credentials(path=self.path),
                      self.credentials(text, path='')):
            self.assertIsNone(given.token())
            self.assertIn('holds no token', self.log.output)

    def test_c6_pipe_is_not_waited_for(self):
        os.mkfifo(self.path)
        self.assertIsNone(self.credentials(path=self.path).token())
        self.assertIn('is empty', self.log.output)

    def test_c6_file_without_an_end_is_not_read_for_ever(self):
        self.assertIsNone(self.credentials(path='/dev/zero').token())
        self.assertIn('holds no token', self.log.output)

    def test_c6_file_that_is_too_long_gives_no_part_of_it(self):
        longest = SECRET.ljust(64 * 1024 - 1, 'x')
        for content, token in ((longest + 'x', None), (longest, longest)):
            self.write(content)
            self.assertEqual(token, self.credentials(path=self.path).token())

    @ddt.data(*BAD_TOKENS)
    def test_c6_token_is_in_no_representation(self, text):
        for token in (text, TOKEN):
            given = self.credentials(token)
            given.token()
            for shown in (repr(given), str(given), '%s' % given,
                          '{}'.format(given), given.source):
                self.assertNotIn(SECRET, shown)

    @ddt.data(logging.DEBUG, logging.INFO)
    def test_c6_token_is_not_dumped_with_the_options(self, level):
        self.credentials(TOKEN)
        cfg.CONF.log_opt_values(logging.getLogger(__name__), level)
        self.assertIn('lightos_jwt', self.log.output)


@ddt.ddt
class ExpiryTestCase(CredentialsTestCase):

    def expiring(self, days: float) -> credentials.Credentials:
        return self.credentials(jwt({'exp': self.clock.time() + days * DAY}))

    def warnings(self, given: credentials.Credentials) -> int:
        """How many lines a hundred calls of today bring."""
        before = len(self.lines())
        for _each in range(100):
            given.token()
        return len(self.lines()) - before

    def test_c6_expiry_is_announced_seven_days_ahead(self):
        given = self.expiring(days=7)
        self.assertEqual(0, self.warnings(given))
        self.clock.advance(1)
        self.assertEqual(1, self.warnings(given))

    def test_c6_expiry_is_announced_daily(self):
        given = self.expiring(days=5)
        seen = []
        for _each in range(6):
            seen.append(self.warnings(given))
            self.clock.advance(DAY / 2)
        self.assertEqual([1, 0, 1, 0, 1, 0], seen)

    def test_c6_announcement_says_what_expires_and_when(self):
        expiry = calendar.timegm((2027, 1, 20, 8, 30, 0))
        self.clock.advance(expiry - DAY - self.clock.time())
        self.credentials(jwt({'exp': expiry})).token()
        self.assertIn('lightos_jwt expires at 2027-01-20 08:30:00 UTC',
                      self.log.output)

    @ddt.data(-1, 0)
    def test_c6_expired_token_is_announced_and_sent_all_the_same(self, days):
        given = self.expiring(days)
        self.assertIsNotNone(given.token())
        self.assertIn('expired at', self.log.output)

    def test_c6_replaced_token_ends_the_announcements(self):
        self.write(jwt({'exp': self.clock.time() + DAY}))
        given = self.credentials(path=self.path)
        self.assertEqual(1, self.warnings(given))
        self.write(jwt({'exp': self.clock.time() + 30 * DAY}))
        self.clock.advance(2 * DAY)
        self.assertEqual(0, self.warnings(given))

    def test_c6_new_token_that_expires_soon_is_announced_at_once(self):
        self.write(jwt({'exp': self.clock.time() + DAY}))
        given = self.credentials(path=self.path)
        given.token()
        self.write(jwt({'exp': self.clock.time() + 2 * DAY}))
        self.assertEqual(1, self.warnings(given))

    @ddt.data('', 'x', 'xx', 'xxx')
    def test_c6_claims_of_every_length_are_read(self, more):
        given = self.credentials(jwt({'exp': self.clock.time(), 'sub': more}))
        self.assertEqual(1, self.warnings(given))

    @ddt.data((0, 1), (-1, 0))
    @ddt.unpack
    def test_c6_time_before_1970_is_no_expiry(self, expiry, announced):
        given = self.credentials(jwt({'exp': expiry}))
        self.assertEqual(announced, self.warnings(given))

    @ddt.data({}, [], 'text', None, {'exp': 'tomorrow'}, {'exp': None},
              {'exp': [1]}, {'exp': 1e18}, {'exp': float('nan')},
              {'exp': float('inf')}, {'exp': float('-inf')}, {'exp': -1e18},
              {'exp': -10 ** 30}, {'exp': 10 ** 400})
    def test_c6_claims_are_not_trusted(self, claims):
        token = jwt(claims)
        self.assertEqual(token, self.credentials(token).token())

    @ddt.data(b'\xff\xfe', b'{', b'')
    def test_c6_claims_that_are_no_json_are_no_fault(self, claims):
        token = 'a.%s.c' % base64.urlsafe_b64encode(claims).decode().rstrip(
            '=')
        self.assertEqual(token, self.credentials(token).token())

    def test_c6_claims_nested_without_end_are_no_fault(self):
        token = 'a.%s.c' % base64.urlsafe_b64encode(b'[' * 99999).decode()
        self.assertEqual(token, self.credentials(token).token())

    @ddt.data('opaque', 'a.b.c', 'a..c', '.')
    def test_c6_token_that_is_no_jwt_is_sent_as_it_is(self, token):
        self.assertEqual(token, self.credentials(token).token())
        self.assertEqual([], self.lines())
