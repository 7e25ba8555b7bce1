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
"""Images in volumes: a real Keystone, Glance and Cinder.

Glance's store is Cinder. The clusters are simulated, and their volumes are
loop devices, which Glance and Cinder attach by os-brick.
``allowed_direct_url_schemes`` is not set: Cinder clones an image where the
driver's clone_image does.
"""

import contextlib
import pathlib
import random
import socket
import subprocess
from typing import Any, Iterator, Mapping

import ddt
import testtools

from cinder.tests.functional.lightos import cloud
from cinder.tests.functional.lightos import keystone_server

BACKENDS = ('first', 'second')
OPTIONS = ('--data-plane', 'loop')
SERVICE = keystone_server.SERVICE
# A project of one user, who is called like it.
OWNER, STRANGER = 'owner', 'stranger'
# The name of Glance's store.
STORE = 'volumes'
IMAGE_SIZE = 8 * cloud.MIB


class User:
    """A user of the services.

    :param headers: of the user's requests
    """

    def __init__(self, of: cloud.Cloud, cinder: str,
                 headers: Mapping[str, str]) -> None:
        self.cinder = cloud.Cinder(cinder, headers)
        self.images = cloud.Images(of.glance, headers)


@ddt.ddt
class ImagesTest(testtools.TestCase):

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cloud.require('qemu-img of qemu-utils', 'mount of mount',
                      'ip of iproute2')
        keystone = cloud.make_environment(
            'keystone', keystone_server.KEYSTONE)
        glance = cloud.make_environment('glance', cloud.GLANCE)
        cloud.enter_namespaces()
        with open('/etc/hosts', 'a') as hosts:
            # Glance looks up the address of its host.
            hosts.write(f'127.0.0.1 {socket.gethostname()}\n')
        cls.cloud = cloud.Cloud(dict.fromkeys(BACKENDS, OPTIONS))
        with cls.cloud.ended_if_it_fails():
            cls.cloud.serve('discovery_client', [
                'python', '-m', 'lightos_simulator.discovery_client',
                '--no-connect'])
            cls.host = cloud.Host(cls.cloud.directory)
            cls.start_services(keystone, glance)

    @classmethod
    def start_services(cls, keystone: pathlib.Path,
                       glance: pathlib.Path) -> None:
        identity = keystone_server.Keystone(cls.cloud, keystone)
        cls.projects = {name: identity.add_project(name)
                        for name in (SERVICE, OWNER, STRANGER)}
        cinder = identity.add_user('cinder', cls.projects[SERVICE],
                                   # Glance shows private images of others
                                   # to no service that is not admin.
                                   'service', 'admin')
        identity.add_user('glance', cls.projects[SERVICE],
                          'service', 'member')
        for name in (OWNER, STRANGER):
            identity.add_user(name, cls.projects[name], 'member')
        as_cinder = identity.section('cinder', SERVICE)
        admin = cls.cloud.start_cinder(more={
            'DEFAULT': {
                'auth_strategy': 'keystone',
                'cinder_internal_tenant_project_id': cls.projects[SERVICE],
                'cinder_internal_tenant_user_id': cinder},
            'keystone_authtoken': as_cinder,
            'glance': as_cinder,
            'first': {'image_upload_use_cinder_backend': 'True',
                      'image_upload_use_internal_tenant': 'True'}},
            headers=identity.headers(keystone_server.ADMIN,
                                     keystone_server.ADMIN))
        identity.add_service('volumev3', f'{admin.url}/%(project_id)s')
        for name, specs in {
                **{name: {'volume_backend_name': name}
                   for name in BACKENDS},
                'two-replicas': {'volume_backend_name': 'first',
                                 'lightos:num_replicas': '2'}}.items():
            admin.api.call('POST', '/types', {'volume_type': {
                'name': name, 'extra_specs': specs}})
        cloud.until(lambda: len(admin.pools()) == len(BACKENDS),
                    'the scheduler knows the backends')
        cls.cloud.start_glance(glance, {
            'DEFAULT': {'enabled_backends': f'{STORE}:cinder'},
            'glance_store': {'default_backend': STORE},
            STORE: {
                'cinder_store_auth_address': identity.url,
                'cinder_store_user_name': 'glance',
                'cinder_store_password': keystone_server.PASSWORD,
                'cinder_store_project_name': SERVICE,
                'cinder_volume_type': 'first',
                'rootwrap_config':
                    cls.cloud.directory / 'glance' / 'rootwrap.conf'},
            'keystone_authtoken': identity.section('glance', SERVICE),
            'paste_deploy': {'flavor': 'keystone'}})
        identity.add_service('image', cls.cloud.glance)
        cls.owner, cls.stranger, cls.service = (
            User(cls.cloud, admin.url, identity.headers(name, project))
            for name, project in ((OWNER, OWNER), (STRANGER, STRANGER),
                                  ('cinder', SERVICE)))

    @classmethod
    def tearDownClass(cls) -> None:
        cls.cloud.end()
        super().tearDownClass()

    def setUp(self) -> None:
        super().setUp()
        self.cloud.show_logs(self, 'cinder', 'glance')

    def volume(self, user: User, **values: Any) -> str:
        """Make a volume that the end of the test deletes; return its id."""
        made: str = user.cinder.create('volume', **{
            'size': 1, 'volume_type': 'first', **values})['id']
        self.addCleanup(user.cinder.remove, 'volume', made)
        return made

    def file(self, name: str) -> pathlib.Path:
        """Make a file of random content."""
        path = self.cloud.directory / name
        path.write_bytes(random.Random(name).randbytes(IMAGE_SIZE))
        self.addCleanup(path.unlink)
        return path

    def image(self, path: pathlib.Path, disk_format: str = 'raw',
              **values: Any) -> str:
        """Have the owner upload an image that the end deletes."""
        image = self.owner.images.create(path, disk_format, **values)
        self.addCleanup(self.owner.images.delete, image)
        return image

    def uploaded(self, volume: str) -> str:
        """Have Cinder make an image of the owner's volume."""
        image: str = self.owner.cinder.act(
            volume, 'os-volume_upload_image', image_name='uploaded',
            disk_format='raw', container_format='bare')[
                'os-volume_upload_image']['image_id']
        # Glance reads it once, and may say before that it is active.
        cloud.until(lambda: self.owner.images.wait(image)['os_hash_value'],
                    'Glance has read the image')
        self.service.cinder.wait('volume', self.holder(image))
        self.owner.cinder.wait('volume', volume)
        return image

    def written(self, volume: str, seed: int) -> str:
        """Write to the owner's volume; return the checksum of all of it."""
        with self.host.attached(self.owner.cinder, volume) as device:
            cloud.write(device, seed)
            return cloud.checksum(device)

    def checksum(self, volume: str, user: User,
                 size: int = cloud.GIB) -> str:
        """Return the checksum of the first bytes of a volume."""
        with self.host.attached(user.cinder, volume) as device:
            return cloud.checksum(device, size)

    def holder(self, image: str) -> str:
        """Return the id of the volume that holds the image."""
        location, = self.service.images.locations(image)
        head, _, volume = location.rpartition('/')
        self.assertEqual(f'cinder://{STORE}', head)
        return volume

    def on_cluster(self, volume: str, backend: str = 'first'
                   ) -> list[dict[str, Any]]:
        """Return what the cluster has by the name of a volume of Cinder."""
        return [known for known
                in self.cloud.simulators[backend].messages('volumes')
                if known['name'] == f'volume-{volume}']

    @contextlib.contextmanager
    def nothing_left(self) -> Iterator[None]:
        """Fail if a volume or snapshot has come to stay."""
        kinds = [(simulator, kind)
                 for simulator in self.cloud.simulators.values()
                 for kind in ('volumes', 'snapshots')]

        def held() -> set[str]:
            return {known['UUID'] for simulator, kind in kinds
                    for known in simulator.messages(kind)}

        before = held()
        yield
        cloud.until(lambda: held() <= before, 'what was made has gone')

    def assert_cloned(self, volume: str) -> None:
        """Fail unless the cluster made the volume of another one."""
        there, = self.on_cluster(volume)
        self.assertThat(there.get('sourceSnapshotName', ''),
                        testtools.matchers.StartsWith(f'for_clone_{volume}_'))
        self.assertEqual(f'default {there["UUID"]}',
                         self.cloud.provider_id(volume))

    def assert_copied(self, volume: str, backend: str = 'first') -> None:
        there, = self.on_cluster(volume, backend)
        self.assertFalse(there.get('sourceSnapshotName'))
        self.assertEqual(f'default {there["UUID"]}',
                         self.cloud.provider_id(volume))

    def test_image_stored_by_glance_is_cloned(self) -> None:
        path = self.file('stored')
        image = self.image(path)
        volume = self.volume(self.owner, imageRef=image)
        self.assert_cloned(volume)
        self.assertEqual(cloud.checksum(str(path)),
                         self.checksum(volume, self.owner, IMAGE_SIZE))
        self.assertEqual(cloud.checksum(str(path)),
                         self.owner.images.checksum(image))

    def test_o2_uploaded_volume_and_its_clone_outlive_the_image(self) -> None:
        source = self.volume(self.owner)
        content = self.written(source, 1)
        image = self.uploaded(source)
        holder = self.holder(image)
        self.assert_cloned(holder)
        volume = self.volume(self.owner, imageRef=image)
        self.assert_cloned(volume)
        self.owner.images.delete(image)
        cloud.until(lambda: not self.on_cluster(holder),
                    'the volume of the image has gone')
        self.assertEqual(
            [content] * 2,
            [self.checksum(kept, self.owner) for kept in (source, volume)])

    def test_o2_source_and_clone_that_go_leave_the_image(self) -> None:
        with self.nothing_left():
            source = self.owner.cinder.create(
                'volume', size=1, volume_type='first')['id']
            content = self.written(source, 3)
            image = self.uploaded(source)
            self.owner.cinder.remove('volume', source)
            clone = self.owner.cinder.create(
                'volume', size=1, volume_type='first', imageRef=image)['id']
            self.assert_cloned(clone)
            self.owner.cinder.remove('volume', clone)
            self.assertEqual(content, self.owner.images.checksum(image))
            self.owner.images.delete(image)

    def test_clone_of_an_image_is_overwritten_alone(self) -> None:
        path = self.file('overwritten')
        image = self.image(path)
        self.written(self.volume(self.owner, imageRef=image), 4)
        self.assertEqual(cloud.checksum(str(path)),
                         self.owner.images.checksum(image))

    def test_larger_volume_of_an_image_is_cloned(self) -> None:
        path = self.file('grown')
        volume = self.volume(self.owner, size=3, imageRef=self.image(path))
        self.assert_cloned(volume)
        there, = self.on_cluster(volume)
        self.assertEqual(str(3 * cloud.GIB), there['size'])
        self.assertEqual(cloud.checksum(str(path)),
                         self.checksum(volume, self.owner, IMAGE_SIZE))

    @ddt.data('community', 'shared')
    def test_image_that_another_project_may_use_is_cloned(
            self, visibility: str) -> None:
        path = self.file(visibility)
        image = self.image(path, visibility=visibility)
        if visibility == 'shared':
            self.owner.images.admit(image, self.projects[STRANGER])
            self.stranger.images.accept(image, self.projects[STRANGER])
        volume = self.volume(self.stranger, imageRef=image)
        self.assert_cloned(volume)
        self.assertEqual(cloud.checksum(str(path)),
                         self.checksum(volume, self.stranger, IMAGE_SIZE))

    def test_image_that_another_project_may_not_use_is_refused(self) -> None:
        image = self.image(self.file('private'), visibility='private')
        with self.nothing_left():
            refused = self.assertRaises(
                cloud.errors.DemoError, self.volume, self.stranger,
                imageRef=image)
        self.assertIn('unable to access requested image', str(refused))

    def test_image_of_another_project_by_its_volume_is_not_cloned(
            self) -> None:
        path = self.file('pointed-at')
        holder = self.holder(self.image(path, visibility='private'))
        # With either image Glance deletes the volume.
        self.addCleanup(
            cloud.until, lambda: holder not in [
                each['id'] for each in self.service.cinder.all('volumes')],
            'the volume of the image has gone')
        image = self.stranger.images.register('not theirs')
        self.addCleanup(self.stranger.images.delete, image)
        self.service.images.locate(image, f'cinder://{STORE}/{holder}')
        cloud.until(
            lambda: self.stranger.images.wait(image)['os_hash_value'],
            'Glance has read the image')
        self.service.cinder.wait('volume', holder)
        volume = self.volume(self.stranger, imageRef=image)
        # It has what Glance gives, and nothing by the driver.
        self.assert_copied(volume)
        self.assertIn(
            f'Not cloning volume {holder}, which holds image {image}, to '
            f'volume {volume}: the image is of project '
            f'{self.projects[STRANGER]}.', self.cloud.log('cinder', None))

    def test_image_of_another_format_is_copied(self) -> None:
        path = self.file('converted')
        qcow2 = self.cloud.directory / 'image.qcow2'
        subprocess.run(['qemu-img', 'convert', '-c', '-O', 'qcow2', path,
                        qcow2], check=True)
        self.addCleanup(qcow2.unlink)
        volume = self.volume(self.owner,
                             imageRef=self.image(qcow2, 'qcow2'))
        self.assert_copied(volume)
        self.assertEqual(cloud.checksum(str(path)),
                         self.checksum(volume, self.owner, IMAGE_SIZE))

    def test_volume_of_another_cluster_is_copied(self) -> None:
        path = self.file('elsewhere')
        volume = self.volume(self.owner, volume_type='second',
                             imageRef=self.image(path))
        self.assert_copied(volume, 'second')
        self.assertEqual(cloud.checksum(str(path)),
                         self.checksum(volume, self.owner, IMAGE_SIZE))

    def test_volume_of_other_replicas_is_copied(self) -> None:
        path = self.file('replicas')
        volume = self.volume(self.owner, volume_type='two-replicas',
                             imageRef=self.image(path))
        self.assert_copied(volume)
        self.assertEqual(cloud.checksum(str(path)),
                         self.checksum(volume, self.owner, IMAGE_SIZE))
