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
"""Attach and detach of one volume at one instant."""

import threading

from cinder.tests.unit.volume.drivers.lightos import base


class OneInstantTestCase(base.LightOSTestCase):

    MOCK_TOOZ = False

    def test_a10_attach_and_detach_of_a_host_follow_one_another(self) -> None:
        volume = self.make_volume(create=True)
        host = self.host_connector()
        self.make_attachment(volume, host)
        self.server.requests.clear()
        detach = threading.Thread(
            target=self.driver.terminate_connection, args=(volume, host))
        self.server.fault('UpdateVolume',
                          before=lambda _request: detach.start())
        self.driver.initialize_connection(volume, host)
        detach.join(30)
        self.assertEqual(
            ['GetVolume', 'UpdateVolume', 'GetVolume'] * 2,
            self.server.operations())
        self.assertEqual(('ALLOW_NONE',),
                         self.server.volume(volume.name).acl)
