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
"""``lightos-audit`` beside a running Cinder, on a simulated cluster.

What it is to find is done by hand, through the API of LightOS or in Cinder's
database.
"""

import concurrent.futures
import configparser
import contextlib
import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from typing import Any, Iterator
import uuid

import requests
import testtools

TREE = pathlib.Path(__file__).resolve().parents[4]
# Seconds for Cinder to do what it was asked for.
TIME = 20
# Seconds for an audit: one that asks a cluster in vain takes 13 of them, and
# the machine may be busy.
AUDIT_TIME = 120

sys.path.insert(0, str(TREE / 'tools'))
from demo import block_storage  # noqa: E402
from demo import environment  # noqa: E402
from demo import layout  # noqa: E402
from demo import processes  # noqa: E402
from demo import rest  # noqa: E402
from demo import services  # noqa: E402


def connector(number: int) -> dict[str, Any]:
    return {'host': f'host-{number}', 'ip': f'192.0.2.{number}',
            'nqn': f'nqn.2014-08.org.nvmexpress:uuid:host-{number}',
            'host_ips': [f'192.0.2.{number}'], 'found_dsc': 'found'}


def console_script() -> list[str]:
    """The command that an installation of the package has for it."""
    package = configparser.ConfigParser()
    package.read(TREE / 'setup.cfg')
    _name, target = package['entry_points']['console_scripts'].split('=')
    module, function = target.strip().split(':')
    return [sys.executable, '-W', 'ignore', '-c',
            f'import sys; from {module} import {function}; '
            f'sys.exit({function}())']


class AuditTest(testtools.TestCase):

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        directory = pathlib.Path(tempfile.mkdtemp(prefix='lightos-audit-'))
        cls.addClassCleanup(shutil.rmtree, directory)
        cls.where = layout.Layout(directory)
        cls.where.logs.mkdir()
        cls.where.run.mkdir()
        # Cinder is installed in the environment of the tests.
        cls.where.environment.symlink_to(sys.prefix)
        started = processes.Processes(cls.where)
        cls.addClassCleanup(started.end)
        cls.simulator = services.start_simulator(cls.where, started)
        url = services.start_cinder(cls.where, started, {
            services.BACKEND: cls.simulator.address})
        cls.cinder = block_storage.BlockStorage(url, 3)
        cls.until(lambda: cls.cinder.pools())
        cls.cinder.lift_quotas()
        cls.api = rest.Api(url, {'OpenStack-API-Version': 'volume 3.71'})
        cls.lightos = requests.Session()
        # REQUESTS_CA_BUNDLE would win over what is set here.
        cls.lightos.trust_env = False
        address = cls.simulator.address
        cls.lightos.verify = str(address.ca_file)
        assert address.jwt_file is not None
        cls.lightos.headers['Authorization'] = (
            f'Bearer {address.jwt_file.read_text().strip()}')
        cls.projects = (f'https://{address.addresses[0]}:{address.port}'
                        '/api/v2/projects/default')

    @classmethod
    def until(cls, is_so: Any) -> None:
        deadline = time.monotonic() + TIME
        while not is_so():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f'not seen: {cls.where.log("cinder").read_text()[-4000:]}')
            time.sleep(0.1)

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.forget_everything)

    def forget_everything(self) -> None:
        """Leave neither side anything."""
        for kind in ('volumes', 'snapshots'):
            for found in self.simulator.messages(kind):
                if found['state'] != 'Deleting':
                    self.change('DELETE', f'{kind}/{found["UUID"]}')
        self.in_database('UPDATE volumes SET deleted = 1')
        self.in_database('UPDATE snapshots SET deleted = 1')
        self.in_database('UPDATE volume_attachment SET deleted = 1')
        self.until(lambda: not (self.simulator.messages('volumes') +
                                self.simulator.messages('snapshots')))

    # What Cinder is asked for

    def make_volume(self, **fields: Any) -> str:
        volume_id = str(self.api.call('POST', '/volumes', {'volume': {
            'size': 1, **fields}})['volume']['id'])
        self.until(lambda: self.status('volumes', volume_id) == 'available')
        return volume_id

    def make_snapshot(self, volume_id: str) -> str:
        snapshot_id = str(self.api.call('POST', '/snapshots', {'snapshot': {
            'volume_id': volume_id}})['snapshot']['id'])
        self.until(
            lambda: self.status('snapshots', snapshot_id) == 'available')
        return snapshot_id

    def status(self, kind: str, object_id: str) -> str:
        return str({each['id']: each['status'] for each in
                    self.cinder.all(kind)}.get(object_id, 'gone'))

    # What is done behind its back

    def change(self, method: str, path: str, **fields: Any) -> Any:
        """Ask the cluster for a change and wait until it is done."""
        def ask() -> bool:
            nonlocal reply
            reply = self.lightos.request(
                method, f'{self.projects}/{path}',
                json=fields if fields else None)
            return reply.status_code not in (409, 503)

        reply = requests.Response()
        self.until(ask)
        reply.raise_for_status()
        self.until(lambda: not any(
            each['state'] in ('Creating', 'Updating')
            for kind in ('volumes', 'snapshots')
            for each in self.simulator.messages(kind)))
        return reply.json()

    def on_cluster(self, volume_id: str) -> dict[str, Any]:
        found, = [each for each in self.simulator.messages('volumes')
                  if volume_id in each['name']]
        return found

    def in_database(self, statement: str, *values: str) -> None:
        with contextlib.closing(sqlite3.connect(
                self.where.run / 'cinder.sqlite', timeout=TIME)) as database:
            database.execute(statement, values)
            database.commit()

    # The audit

    def run_audit(self, *arguments: str
                  ) -> 'subprocess.CompletedProcess[str]':
        return subprocess.run(
            [*console_script(), '--config-file',
             str(self.where.run / 'cinder.conf'), '--settle', '1',
             *arguments], env=environment.clean_variables(), text=True,
            capture_output=True, timeout=AUDIT_TIME)

    def audit(self, status: int, *arguments: str) -> dict[str, Any]:
        """The report in JSON; the exit status has to be this."""
        ended = self.run_audit('--format', 'json', *arguments)
        self.assertEqual(status, ended.returncode,
                         ended.stdout + ended.stderr)
        report: dict[str, Any] = json.loads(ended.stdout)
        return report

    def classes(self, report: dict[str, Any]) -> list[str]:
        return sorted(each['class'] for each in report['findings'])

    def damage(self) -> dict[str, str]:
        """Do to the cluster what each class of findings is about."""
        ids = {}
        for kind in ('missing', 'sizes', 'access', 'no-access',
                     'temporary-snapshots'):
            ids[kind] = self.make_volume()
        attached = self.cinder.attach(ids['no-access'], connector(1))
        ids['attachment'] = attached
        self.change('DELETE', 'volumes/'
                    + self.on_cluster(ids['missing'])['UUID'])
        self.change('PUT', 'volumes/' + self.on_cluster(ids['sizes'])['UUID'],
                    size='3 gib')
        self.change('PUT', 'volumes/' + self.on_cluster(ids['access'])['UUID'],
                    acl={'values': [connector(9)['nqn']]})
        self.change(
            'PUT', 'volumes/' + self.on_cluster(ids['no-access'])['UUID'],
            acl={'values': ['ALLOW_NONE']}, IPAcl={'values': ['ALLOW_NONE']})
        self.change('POST', 'snapshots', name='for_clone_%s_x'
                    % ids['temporary-snapshots'], sourceVolumeUUID=(
                        self.on_cluster(ids['temporary-snapshots'])['UUID']))
        self.change('POST', 'volumes', name=f'volume-{uuid.uuid4()}',
                    size='1 gib', replicaCount=3,
                    acl={'values': ['ALLOW_NONE']})
        return ids

    def test_a_cluster_as_cinder_says_is_clean(self) -> None:
        volume_id = self.make_volume()
        self.make_snapshot(volume_id)
        self.cinder.attach(self.make_volume(), connector(1))
        self.make_volume(source_volid=volume_id)
        report = self.audit(0)
        self.assertEqual([], report['findings'] + report['in_flight'])
        self.assertEqual([(3, 1, 3, 1)], [
            tuple(each[name] for name in ('volumes', 'snapshots',
                                          'cinder_volumes',
                                          'cinder_snapshots'))
            for each in report['clusters']])

    def test_what_is_done_by_hand_is_found_and_mended(self) -> None:
        ids = self.damage()
        report = self.audit(1)
        self.assertEqual(['access', 'missing', 'no-access', 'orphans',
                          'sizes', 'temporary-snapshots'],
                         self.classes(report))
        for kind in ('missing', 'sizes', 'access', 'no-access',
                     'temporary-snapshots'):
            self.assertEqual([ids[kind]], [
                each['volume_id'] for each in report['findings']
                if each['class'] == kind])

        fixed = self.audit(
            1, '--fix', 'access,no-access,temporary-snapshots,orphans,sizes')
        self.assertEqual(
            {'access', 'no-access', 'temporary-snapshots'},
            {each['class'] for each in fixed['findings'] if each['fixed']})
        self.assertEqual(['missing', 'orphans', 'sizes'],
                         self.classes(self.audit(1)))
        self.assertEqual([connector(1)['nqn']], self.on_cluster(
            ids['no-access'])['acl']['values'])
        # The remedy that the guide gives for a size.
        self.api.call('POST', f'/volumes/{ids["sizes"]}/action',
                      {'os-extend': {'new_size': 3}})
        self.until(
            lambda: self.status('volumes', ids['sizes']) == 'available')
        self.cinder.detach(ids['attachment'])
        self.assertEqual(['missing', 'orphans'],
                         self.classes(self.audit(1)))

    def test_text_is_for_people(self) -> None:
        self.damage()
        ended = self.run_audit()
        self.assertEqual(1, ended.returncode, ended.stderr)
        for words in ('orphans (1): on the cluster, unknown to Cinder',
                      '-> --fix access', '6 findings, 0 of them mended.'):
            self.assertIn(words, ended.stdout)

    def make_type(self, **extra_specs: str) -> str:
        made = self.api.call('POST', '/types', {'volume_type': {
            'name': self.getUniqueString(), 'extra_specs': {
                key.replace('__', ':'): value
                for key, value in extra_specs.items()}}})
        return str(made['volume_type']['id'])

    def test_volume_that_is_not_as_its_type_says(self) -> None:
        limits = self.api.call('POST', '/qos-specs', {'qos_specs': {
            'name': self.getUniqueString(), 'consumer': 'back-end',
            'lightos:read_iops': '1000'}})['qos_specs']['id']
        types = {
            'the type asks for 2 replicas, it has 3':
                self.make_type(lightos__num_replicas='2'),
            'the type asks for sectors of 512 bytes, it has 4096':
                self.make_type(lightos__sector_size='512'),
            'Invalid qos specs: lightos:read_iops must be a multiple of 256 '
            "from 0, which is unlimited, to 4294967295, not '1000'":
                self.make_type()}
        for volume_type in types.values():
            self.in_database('UPDATE volumes SET volume_type_id = ? '
                             'WHERE id = ?', volume_type, self.make_volume())
        self.api.call('GET', f'/qos-specs/{limits}/associate',
                      query={'vol_type_id': volume_type})
        report = self.audit(1)
        self.assertEqual(
            sorted(('attributes', text) for text in types),
            sorted((each['class'], each['text'])
                   for each in report['findings']))
        self.assertEqual(0, self.run_audit(
            '--ignore', 'attributes').returncode)

    def test_orphan_is_deleted_only_if_it_is_proven_ours(self) -> None:
        ours, unmanaged = self.make_volume(), self.make_volume()
        self.change('PUT', 'volumes/' + self.on_cluster(ours)['UUID'],
                    labels=[{'key': 'cinder_volume_id', 'value': ours},
                            {'key': 'cinder_backend',
                             'value': 'demo_lightos'}])
        self.change('PUT', 'volumes/' + self.on_cluster(unmanaged)['UUID'],
                    labels=[{'key': 'mine', 'value': '1'}])
        for volume_id in (ours, unmanaged):
            self.in_database("UPDATE volumes SET deleted = 1, status = "
                             "'deleted' WHERE id = ?", volume_id)
        report = self.audit(1, '--fix', 'orphans')
        self.assertEqual({ours: True, unmanaged: None}, {
            each['name'][len('volume-'):]: each['fixed']
            for each in report['findings']})
        self.assertEqual([f'volume-{unmanaged}'], [
            each['name'] for each in self.simulator.messages('volumes')])

    def test_cinder_at_work_is_no_finding(self) -> None:
        with self.work():
            for _time in range(3):
                report = self.audit(0)
                self.assertEqual([], report['findings'])

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """Have Cinder create, attach, copy and delete all the while."""
        going = True

        def once(number: int) -> int:
            rounds = 0
            while going:
                volume_id = self.make_volume()
                attachment = self.cinder.attach(volume_id, connector(number))
                self.cinder.detach(attachment)
                copy_id = self.make_volume(source_volid=volume_id)
                for each in (copy_id, volume_id):
                    self.cinder.delete('volumes', each)
                rounds += 1
            return rounds

        with concurrent.futures.ThreadPoolExecutor(3) as threads:
            rounds = [threads.submit(once, number) for number in (1, 2, 3)]
            try:
                yield
            finally:
                going = False
        self.assertNotIn(0, [each.result() for each in rounds])
        self.until(lambda: not self.cinder.all('volumes'))

    def test_class_that_is_never_mended_is_refused(self) -> None:
        ended = self.run_audit('--fix', 'access,missing')
        self.assertEqual(2, ended.returncode)
        self.assertIn("'missing' is none of", ended.stderr)

    def test_configuration_that_is_wrong_is_told(self) -> None:
        self.make_volume()
        conf = self.where.run / 'wrong.conf'
        for text, words in (
                ('[lightos', 'cannot read the configuration'),
                ('\xff', 'cannot read the configuration'),
                ('[lightos]\nlightos_api_port = many\n',
                 'backend lightos: Value for option lightos_api_port'),
                ('[lightos]\nlightos_jwt_file = /none\n',
                 '(the token is that of lightos_jwt_file (/none))'),
                ('[database]\nconnection = sqlite:////none/cinder\n',
                 'unable to open database file'),
                ('[database]\nconnection = sqlite://\n', 'no such table')):
            conf.write_text(text, encoding='latin-1')
            ended = self.run_audit('--config-file', str(conf))
            self.assertEqual(2, ended.returncode, ended.stdout)
            self.assertIn(words, ended.stdout)
            self.assertNotIn('SELECT', ended.stdout)
            self.assertNotIn('Traceback', ended.stdout + ended.stderr)
        ended = self.run_audit('--backend', 'lightos', '--backend', 'west')
        self.assertEqual(2, ended.returncode)
        for words in ('west is no section of the configuration',
                      'backend lightos: 1 volume and 0 snapshots in the '
                      'project default; Cinder has 1 volume and 0 snapshots'):
            self.assertIn(words, ended.stdout)

    def test_cluster_that_does_not_answer_is_not_clean(self) -> None:
        self.make_volume()
        for node in range(3):
            self.simulator.set_mode(node, 'stopped')
            self.addCleanup(self.simulator.set_mode, node, 'up')
        conf = self.where.run / 'quick.conf'
        conf.write_text('[lightos]\nlightos_api_service_timeout = 1\n')
        report = self.audit(2, '--config-file', str(conf))
        self.assertIn('backend lightos', report['errors'][0])

    def test_node_that_stops_hides_nothing(self) -> None:
        self.make_volume()
        self.simulator.set_mode(0, 'stopped')
        self.addCleanup(self.simulator.set_mode, 0, 'up')
        self.assertEqual([], self.audit(0)['findings'])
