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
"""The bytes of volumes, through a real Cinder, Glance, os-brick and Nova.

The clusters are simulated and keep their volumes in files, which are loop
devices where a host is let in (lightos_simulator/loopdev.py). Every content is
compared by its SHA-256.
"""

import contextlib
import os
import pathlib
import random
import subprocess
from typing import Any, Iterator

import tenacity
import testtools

from cinder.tests.functional.lightos import cloud
from cinder.tests.functional.lightos import processes

NOVA = 'nova>=32.0.0\n'
BACKENDS = ('first', 'second')
# The cluster goes on working after it has answered: a driver that does not
# wait for it is found out.
OPTIONS = ('--data-plane', 'loop', '--work-time', 'UpdateVolume=1')
# cinder/image: more than one of any block that Cinder, Glance and qemu-img
# copy at once, and no multiple of them.
IMAGE_SIZE = 160 * cloud.MIB + 4096
# The one key of Cinder's ConfKeyManager.
KEY = '0123456789abcdef' * 4


class Nova(processes.Process):
    """A host with Nova, see nova_host.py."""

    def __init__(self, prefix: pathlib.Path,
                 directory: pathlib.Path) -> None:
        conf = directory / 'nova.conf'
        conf.write_text(
            f'[oslo_concurrency]\nlock_path = {directory}\n'
            f'[os_brick]\nlock_path = {directory}\n')
        super().__init__(str(cloud.HERE / 'nova_host.py'), str(conf),
                         interpreter=str(prefix / 'bin' / 'python'))


class BytesTest(testtools.TestCase):

    cloud: cloud.Cloud
    cinder: cloud.Cinder
    images: cloud.Images
    host: cloud.Host
    nova: pathlib.Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cloud.require('qemu-img of qemu-utils', 'mount of mount',
                      'ip of iproute2')
        glance = cloud.make_environment('glance', cloud.GLANCE)
        cls.nova = cloud.make_environment('nova', NOVA)
        cloud.enter_namespaces()
        cls.cloud = cloud.Cloud(dict.fromkeys(BACKENDS, OPTIONS))
        with cls.cloud.ended_if_it_fails():
            cls.cloud.serve('discovery_client', [
                'python', '-m', 'lightos_simulator.discovery_client',
                '--no-connect'])
            cls.host = cloud.Host(cls.cloud.directory)
            cls.cloud.start_glance(glance)
            cls.images = cloud.Images(cls.cloud.glance)
            cls.cinder = cls.cloud.start_cinder(
                caching=('second',), more={'key_manager': {
                    'backend': 'cinder.keymgr.conf_key_mgr.ConfKeyManager',
                    'fixed_key': KEY}})
            for backend in BACKENDS:
                cls.cinder.api.call('POST', '/types', {'volume_type': {
                    'name': backend, 'extra_specs': {
                        'volume_backend_name': backend}}})
            cls.cinder.api.call('POST', '/types', {
                'volume_type': {'name': 'anywhere'}})
            cloud.until(
                lambda: len(cls.cinder.pools()) == len(BACKENDS),
                'the scheduler knows the backends')

    @classmethod
    def tearDownClass(cls) -> None:
        cls.cloud.end()
        super().tearDownClass()

    def setUp(self) -> None:
        super().setUp()
        self.cloud.show_logs(self, 'cinder')

    def volume(self, size: int = 1, **values: Any) -> str:
        """Make a volume; return its id."""
        return self.made('volume', size=size, **values)

    def made(self, kind: str, **values: Any) -> str:
        """Make something that the end of the test deletes."""
        if kind == 'volume':
            values.setdefault('volume_type', 'first')
        made: str = self.cinder.create(kind, **values)['id']
        self.addCleanup(self.cinder.remove, kind, made)
        return made

    def written(self, volume: str, seed: int) -> str:
        """Write to a volume; return the checksum of all of it."""
        with self.host.attached(self.cinder, volume) as device:
            cloud.write(device, seed)
            return cloud.checksum(device)

    def checksum(self, volume: str, size: int = cloud.GIB) -> str:
        """Return the checksum of the first bytes of a volume."""
        with self.host.attached(self.cinder, volume) as device:
            return cloud.checksum(device, size)

    def file(self, name: str, size: int) -> pathlib.Path:
        """Make a file of random content."""
        path = self.cloud.directory / name
        path.write_bytes(random.Random(name).randbytes(size))
        self.addCleanup(path.unlink)
        return path

    def image(self, path: pathlib.Path, disk_format: str) -> str:
        image = self.images.create(path, disk_format)
        self.addCleanup(self.images.delete, image)
        return image

    def on_cluster(self, backend: str, volume: str) -> dict[str, Any]:
        """Return what the cluster itself says of a volume of Cinder."""
        state = self.cloud.simulators[backend].messages('volumes')
        found, = [known for known in state
                  if known['name'] == f'volume-{volume}']
        return found

    def test_volume_from_image_of_many_chunks(self) -> None:
        path = self.file('raw', IMAGE_SIZE)
        volume = self.volume(imageRef=self.image(path, 'raw'))
        self.assertEqual(cloud.checksum(str(path)),
                         self.checksum(volume, IMAGE_SIZE))

    def test_volume_from_image_that_is_converted(self) -> None:
        path = self.file('converted', 16 * cloud.MIB)
        qcow2 = self.cloud.directory / 'image.qcow2'
        subprocess.run(['qemu-img', 'convert', '-c', '-O', 'qcow2', path,
                        qcow2], check=True)
        self.addCleanup(qcow2.unlink)
        volume = self.volume(imageRef=self.image(qcow2, 'qcow2'))
        self.assertEqual(cloud.checksum(str(path)),
                         self.checksum(volume, 16 * cloud.MIB))

    def test_image_that_is_cached_is_cloned(self) -> None:
        path = self.file('cached', 8 * cloud.MIB)
        image = self.image(path, 'raw')
        self.volume(imageRef=image, volume_type='second')
        volume = self.volume(imageRef=image, volume_type='second')
        cached = self.on_cluster('second', volume)['sourceSnapshotName']
        self.assertThat(cached, testtools.matchers.StartsWith(
            f'for_clone_{volume}_'))
        self.assertEqual(cloud.checksum(str(path)),
                         self.checksum(volume, 8 * cloud.MIB))

    def test_cached_image_outlives_the_volumes_made_of_it(self) -> None:
        path = self.file('kept', 8 * cloud.MIB)
        image = self.image(path, 'raw')
        for _try in range(2):
            volume = self.cinder.create(
                'volume', size=1, imageRef=image, volume_type='second')
            self.cinder.remove('volume', volume['id'])
        volume_id = self.volume(imageRef=image, volume_type='second')
        self.assertEqual(cloud.checksum(str(path)),
                         self.checksum(volume_id, 8 * cloud.MIB))

    def test_volume_is_given_another_image(self) -> None:
        paths = [self.file(name, 8 * cloud.MIB) for name in ('old', 'new')]
        old, new = (self.image(path, 'raw') for path in paths)
        volume = self.volume(imageRef=old)
        before = self.on_cluster('first', volume)['UUID']
        self.cinder.act(volume, 'os-reimage', image_id=new)
        self.cinder.wait('volume', volume)
        self.assertEqual(cloud.checksum(str(paths[1])),
                         self.checksum(volume, 8 * cloud.MIB))
        self.assertEqual((before, ['ALLOW_NONE']), (
            self.on_cluster('first', volume)['UUID'],
            self.on_cluster('first', volume)['acl']['values']))

    def test_image_from_volume(self) -> None:
        volume = self.volume()
        content = self.written(volume, 1)
        image = self.cinder.act(
            volume, 'os-volume_upload_image', image_name='uploaded',
            disk_format='raw', container_format='bare')[
                'os-volume_upload_image']['image_id']
        self.addCleanup(self.images.delete, image)
        self.images.wait(image)
        self.cinder.wait('volume', volume)
        self.assertEqual(content, self.images.checksum(image))

    def test_backup_is_restored(self) -> None:
        volume = self.volume()
        content = self.written(volume, 2)
        backup = self.made('backup', volume_id=volume)
        changed = self.written(volume, 3)
        self.assertNotEqual(content, changed)
        restored = self.cinder.api.call(
            'POST', f'/backups/{backup}/restore',
            {'restore': {'volume_id': volume}})['restore']['volume_id']
        self.cinder.wait('backup', backup)
        self.cinder.wait('volume', restored)
        self.assertEqual(content, self.checksum(volume))

    def test_backup_becomes_new_volume(self) -> None:
        volume = self.volume()
        content = self.written(volume, 4)
        backup = self.made('backup', volume_id=volume)
        restored = self.volume(backup_id=backup)
        self.assertEqual(content, self.checksum(restored))

    def test_backup_of_a_volume_in_use(self) -> None:
        volume = self.volume()
        with self.nothing_left(), self.host.attached(
                self.cinder, volume) as device:
            cloud.write(device, 17)
            content = cloud.checksum(device)
            backup = self.made('backup', volume_id=volume, force=True)
            self.cinder.wait('volume', volume, 'in-use')
            cloud.write(device, 18)
            changed = cloud.checksum(device)
        self.assertEqual(content,
                         self.checksum(self.volume(backup_id=backup)))
        self.assertEqual(changed, self.checksum(volume))

    def test_backup_of_a_snapshot(self) -> None:
        volume = self.volume()
        content = self.written(volume, 19)
        snapshot = self.made('snapshot', volume_id=volume)
        self.written(volume, 20)
        with self.nothing_left():
            backup = self.made('backup', volume_id=volume,
                               snapshot_id=snapshot)
        self.assertEqual(content,
                         self.checksum(self.volume(backup_id=backup)))

    def test_encrypted_volume_and_its_copies(self) -> None:
        made = self.cinder.api.call('POST', '/types', {'volume_type': {
            'name': 'encrypted', 'extra_specs': {
                'volume_backend_name': 'first'}}})['volume_type']['id']
        self.addCleanup(self.cinder.api.call, 'DELETE', f'/types/{made}')
        self.cinder.api.call('POST', f'/types/{made}/encryption', {
            'encryption': {'provider': 'luks', 'cipher': 'aes-xts-plain64',
                           'key_size': 256, 'control_location': 'front-end'}})
        path = self.file('plain', 8 * cloud.MIB)
        volume = self.volume(volume_type=made)
        with self.host.attached(self.cinder, volume) as device:
            self.format_luks(device)
            self.qemu_img('convert', '-n', '-f', 'raw', str(path),
                          '--target-image-opts', self.opened(device))
        snapshot = self.made('snapshot', volume_id=volume)
        for copy in (volume, self.volume(volume_type=made,
                                         source_volid=volume),
                     self.volume(volume_type=made, snapshot_id=snapshot)):
            self.assertTrue(self.cinder.show('volume', copy)['encrypted'])
            with self.host.attached(self.cinder, copy) as device:
                with open(device, 'rb') as file:
                    self.assertEqual(b'LUKS', file.read(4))
                decrypted = self.cloud.directory / 'decrypted'
                self.qemu_img('convert', '--image-opts', self.opened(device),
                              '-O', 'raw', str(decrypted))
            self.assertEqual(cloud.checksum(str(path)),
                             cloud.checksum(str(decrypted)))

    # It measures how fast the CPU is, and gives up now and then where the
    # kernel's clock of CPU time is coarse: a few of a hundred times.
    @tenacity.retry(
        stop=tenacity.stop_after_attempt(10), reraise=True,
        retry=tenacity.retry_if_exception(
            lambda error: b'accurate CPU usage' in getattr(
                error, 'stderr', b'')))
    def format_luks(self, device: str) -> None:
        self.qemu_img('create', '-f', 'luks', '-o',
                      'key-secret=key,iter-time=10', device, '8M')

    def qemu_img(self, command: str, *words: str) -> None:
        """Run qemu-img, which encrypts as a virtual machine's host does."""
        subprocess.run(['qemu-img', command, '--object',
                        f'secret,id=key,data={KEY}', *words], check=True,
                       capture_output=True)

    @staticmethod
    def opened(device: str) -> str:
        """How qemu-img is told to look through the encryption."""
        return (f'driver=raw,size={8 * cloud.MIB},file.driver=luks,'
                'file.key-secret=key,file.file.driver=host_device,'
                f'file.file.filename={device}')

    @contextlib.contextmanager
    def nothing_left(self) -> Iterator[None]:
        """Fail if a volume or snapshot has come to stay."""
        def held() -> set[str]:
            return {known['UUID'] for kind in ('volumes', 'snapshots')
                    for known in
                    self.cloud.simulators['first'].messages(kind)}

        before = held()
        yield
        cloud.until(lambda: held() <= before, 'what was made has gone')

    def test_migration_between_backends(self) -> None:
        volume = self.volume(volume_type='anywhere')
        content = self.written(volume, 5)
        place = self.cinder.show('volume', volume)['os-vol-host-attr:host']
        source = place.partition('#')[2]
        target, = set(BACKENDS) - {source}
        before = self.on_cluster(source, volume)['UUID']
        self.cinder.act(volume, 'os-migrate_volume',
                        host=f'demo@{target}#{target}', force_host_copy=True,
                        lock_volume=True)

        def migrated() -> bool:
            shown = self.cinder.show('volume', volume)
            self.assertNotEqual('error', shown['migration_status'], shown)
            return bool(shown['os-vol-host-attr:host'] ==
                        f'demo@{target}#{target}' and
                        shown['status'] == 'available' and
                        shown['migration_status'] == 'success')

        cloud.until(migrated, 'the volume is migrated')
        self.assertEqual(content, self.checksum(volume))
        cloud.until(
            lambda: before not in [
                known['UUID'] for known
                in self.cloud.simulators[source].messages('volumes')],
            'the volume has gone from its first cluster')

    def test_revert_to_snapshot(self) -> None:
        volume = self.volume()
        content = self.written(volume, 6)
        snapshot = self.made('snapshot', volume_id=volume)
        self.assertNotEqual(content, self.written(volume, 7))
        self.cinder.act(volume, 'revert', snapshot_id=snapshot)
        self.cinder.wait('volume', volume)
        self.assertEqual(content, self.checksum(volume))

    def test_clone_keeps_its_content(self) -> None:
        source = self.volume()
        content = self.written(source, 8)
        clone = self.volume(source_volid=source)
        self.assertEqual(content, self.checksum(clone))
        overwritten = self.written(source, 9)
        self.assertEqual(content, self.checksum(clone))
        rewritten = self.written(clone, 10)
        self.assertEqual(overwritten, self.checksum(source))
        self.assertEqual(rewritten, self.checksum(clone))

    def test_volume_from_snapshot_keeps_its_content(self) -> None:
        source = self.volume()
        content = self.written(source, 11)
        snapshot = self.made('snapshot', volume_id=source)
        overwritten = self.written(source, 12)
        # It is larger than the snapshot that it is made from.
        restored = self.volume(2, snapshot_id=snapshot)
        self.assertEqual(content, self.checksum(restored))
        self.written(restored, 13)
        again = self.volume(snapshot_id=snapshot)
        self.assertEqual(content, self.checksum(again))
        self.assertEqual(overwritten, self.checksum(source))

    def test_extended_volume_keeps_its_content(self) -> None:
        volume = self.volume()
        content = self.written(volume, 14)
        self.cinder.act(volume, 'os-extend', new_size=2)
        self.cinder.wait('volume', volume)
        # What Cinder says is done has been done on the cluster.
        held = self.on_cluster('first', volume)
        self.assertEqual(('Available', str(2 * cloud.GIB)),
                         (held['state'], held['size']))
        with self.host.attached(self.cinder, volume) as device:
            self.assertEqual(content, cloud.checksum(device, cloud.GIB))
            with open(device, 'rb') as file:
                self.assertEqual(2 * cloud.GIB, file.seek(0, os.SEEK_END))
            cloud.write(device, 15)
            grown = cloud.checksum(device)
        self.assertEqual(grown, self.checksum(volume, 2 * cloud.GIB))

    def test_host_without_attachment_has_no_device(self) -> None:
        volume = self.volume()
        uuid = self.on_cluster('first', volume)['UUID']
        link = pathlib.Path(f'/dev/disk/by-id/nvme-uuid.{uuid}')
        with self.host.attached(self.cinder, volume):
            self.assertTrue(link.is_block_device())
        self.assertFalse(link.exists())
        other = {**self.host.properties(), 'host': 'other',
                 'nqn': 'nqn.2014-08.org.nvmexpress:uuid:other'}
        attachment, _info = self.cinder.connect(volume, other)
        self.assertFalse(link.exists())
        self.cinder.detach(attachment)

    def test_host_is_told_of_every_node(self) -> None:
        volume = self.volume()
        attachment, info = self.cinder.connect(volume, self.host.properties())
        self.addCleanup(self.cinder.wait, 'volume', volume)
        self.addCleanup(self.cinder.detach, attachment)
        told = self.cloud.told('first')
        self.assertEqual(told['subsystem_nqn'], info['subsysnqn'])
        self.assertEqual(
            {(address, 8009, 'tcp') for address in told['addresses']},
            {(node['target_portal'], node['target_port'],
              node['transport_type'])
             for node in info['lightos_nodes'].values()})

    def test_nova_connects_and_disconnects(self) -> None:
        nova = Nova(self.nova, self.cloud.directory)
        self.addCleanup(nova.end)
        volume = self.volume()
        content = self.written(volume, 16)
        attachment, info = self.cinder.connect(volume, nova.ask('connector'))
        self.addCleanup(self.cinder.wait, 'volume', volume)
        self.addCleanup(self.cinder.detach, attachment)
        listed = pathlib.Path('/etc/discovery-client/discovery.d',
                              f'{info["uuid"]}.conf')

        disk = nova.ask('connect', attachment={'connection_info': info})

        self.assertEqual('block', disk['type'])
        self.assertEqual(content, cloud.checksum(disk['source']))
        nodes = self.cloud.told('first')['addresses']
        self.assertEqual(
            {(address, '8009') for address in nodes},
            {(words[3], words[5]) for words in map(
                str.split, listed.read_text().splitlines()[1:])})
        nova.ask('disconnect', uuid=info['uuid'])
        self.assertFalse(listed.exists())
