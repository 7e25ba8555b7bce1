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

"""The lock of a volume, of services that hand locks out in their own ways."""

from typing import Any
from unittest import mock

import ddt
import tenacity
import tooz
from tooz import coordination as tooz_coordination

from cinder import coordination
from cinder.tests.unit.volume.drivers.lightos import base
from cinder.volume.drivers.lightos import exception
from cinder.volume.drivers.lightos import locks

# 0.75 of rpc_response_timeout.
LONGEST = 45


@ddt.ddt
class LockTestCase(base.LightOSTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.override_config('rpc_response_timeout', 60)
        self.volume = self.make_volume(create=True)
        self.host = self.host_connector()
        self.server.requests.clear()
        self.lock = mock.Mock(spec=('acquire', 'release'))
        self.lock.acquire.return_value = True
        self.lock.release.return_value = True
        self.mock_object(coordination.COORDINATOR, 'get_lock',
                         return_value=self.lock)

    def attach(self) -> Any:
        return self.driver.initialize_connection(self.volume, self.host)

    def assert_in(self, *nqns: str) -> None:
        self.assertEqual(nqns or ('ALLOW_NONE',),
                         self.server.volume(self.volume.name).acl)

    def away(self, times: int) -> list[Any]:
        return [tooz_coordination.ToozConnectionError('no etcd')] * times

    def test_e7_lock_is_had_and_released(self):
        self.attach()
        coordination.COORDINATOR.get_lock.assert_called_once_with(
            'lightos-%s' % self.volume.id)
        self.assertEqual(1, self.lock.acquire.call_count)
        self.lock.release.assert_called_once_with()

    def test_e1_lock_is_waited_for_in_the_time_of_the_operation(self):
        self.attach()
        self.assertEqual(LONGEST, self.lock.acquire.call_args[1]['blocking'])

    def test_e1_wait_for_the_lock_has_an_end(self):
        def wait(blocking: float) -> bool:
            self.clock.advance(blocking)
            return False

        self.lock.acquire.side_effect = wait
        error = self.assertRaises(exception.LightOSNotSeen, self.attach)
        self.assertIn('other attachments', str(error))
        self.assertEqual([], self.server.requests)
        self.lock.release.assert_not_called()

    def test_e1_wait_for_a_lock_of_etcd_has_an_end(self):
        self.lock.acquire.side_effect = tenacity.RetryError(mock.Mock())
        error = self.assertRaises(exception.LightOSNotSeen, self.attach)
        self.assertIn('other attachments', str(error))
        self.lock.release.assert_not_called()

    def test_e7_service_of_locks_that_is_away_for_a_moment(self):
        self.lock.acquire.side_effect = [*self.away(3), True]
        self.attach()
        self.assert_in(self.host['nqn'])

    @ddt.data(tooz_coordination.ToozConnectionError('no etcd'),
              OSError('no etcd'))
    def test_e7_service_of_locks_that_stays_away(self, trouble):
        began = self.clock.monotonic()
        self.lock.acquire.side_effect = trouble
        error = self.assertRaises(exception.LightOSNotSeen, self.attach)
        self.assertIn('no etcd', str(error))
        self.assertIn('backend_url', str(error))
        self.assertLessEqual(self.clock.monotonic() - began, LONGEST)
        self.assert_in()

    @ddt.data(tooz_coordination.ToozConnectionError(''), tooz.ToozError('no'),
              OSError('gone'))
    def test_e7_lock_is_released_when_the_service_is_back(self, trouble):
        self.lock.release.side_effect = [trouble, trouble, True]
        self.attach()
        self.assertEqual(3, self.lock.release.call_count)

    def test_e7_lock_that_cannot_be_released_harms_no_attach(self):
        log = self.mock_object(locks, 'LOG')
        began = self.clock.monotonic()
        self.lock.release.side_effect = self.away(1)[0]
        self.attach()
        self.assert_in(self.host['nqn'])
        self.assertLessEqual(self.clock.monotonic() - began, LONGEST)
        (text, values), = [call[0] for call in log.error.call_args_list]
        self.assertIn(self.volume.id, text % values)
        self.assertIn('no etcd', text % values)

    def test_e7_lock_that_was_lost_is_told(self):
        log = self.mock_object(locks, 'LOG')
        self.lock.release.return_value = False
        self.attach()
        self.assert_in(self.host['nqn'])
        self.lock.release.assert_called_once_with()
        (text, volume_id), = [call[0] for call in log.warning.call_args_list]
        self.assertIn(self.volume.id, text % volume_id)

    def test_e7_lock_that_is_released_is_not_told(self):
        log = self.mock_object(locks, 'LOG')
        self.attach()
        log.warning.assert_not_called()

    def test_e7_lock_is_released_after_a_failure(self):
        self.server.fault('UpdateVolume', status=403, times=None)
        self.assertRaises(exception.LightOSRefused, self.attach)
        self.lock.release.assert_called_once_with()
