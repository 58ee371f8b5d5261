#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests, archives, objects and directories that were made to do harm, and ten thousand jobs at once: a clear refusal, or bounded
work; nothing outside of the job's own directory is written, and what is refused leaves nothing behind."""
import contextlib
import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import LEAT, wait_for  # noqa: E402
from job_harness import LONG, JobsTest, SupervisorConnection, alive, s3_source  # noqa: E402


class HostileRequests(JobsTest):
    def refused(self, request, *told):
        path = request if isinstance(request, str) else self.write(request)
        done = self.leat.run('train', path, '--detach', state_directory=True, check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        for text in told:
            self.assertIn(text, done.stderr)
        self.assertLess(len(done.stderr), 10000)
        return done.stderr

    def test_every_problem_is_told_and_no_job_made(self):
        channel = {'ChannelName': 'same', 'DataSource': s3_source('s3://data/x')}
        request = self.spec('x', '', InputDataConfig=[channel, channel], NoSuchMember={'deep': ['er']})
        request['TrainingJobName'] = '../x'
        request['HyperParameters']['large'] = 'x' * (3 << 20)
        request['ResourceConfig']['InstanceCount'] = 10 ** 30
        request['OutputDataConfig']['S3OutputPath'] = 'ftp://out'
        request['StoppingCondition'] = {'MaxRuntimeInSeconds': -1}
        request['Environment'] = {'BAD-NAME': 'x', 'NUL': 'a\0b'}
        request['CheckpointConfig'] = {'S3Uri': '/etc'}
        self.refused(request, 'TrainingJobName = "../x"', 'InputDataConfig[1].ChannelName', 'HyperParameters["large"]',
                     'ResourceConfig.InstanceCount', 'OutputDataConfig.S3OutputPath', 'MaxRuntimeInSeconds', 'BAD-NAME',
                     'Environment["NUL"]', 'CheckpointConfig.S3Uri')
        request = self.spec('large', '')
        request['HyperParameters']['large'] = 'x' * (10 << 20)
        self.refused(request, 'HyperParameters["large"] = "xxx', '...: must be text of at most 2500 characters')
        path = os.path.join(self.scratch, 'enormous.json')
        with open(path, 'w') as file:
            file.truncate((64 << 20) + 1)
        self.refused(path, path + ' is larger than 64.0 MiB')
        self.refused(self.spec('unknown', '', NoSuchMember='x' * (2 << 20)), 'unknown: the request and the environment have 2.00 MiB')
        for name in ('..', '.', '/', 'a/b', '-a', 'a-', 'a\nb', 'a\0b', 'ä', '', 'x' * 64, None, 7, ['x'], {}):
            request = self.spec('x', '')
            request['TrainingJobName'] = name
            self.refused(request, 'TrainingJobName')
        for channel_name in ('..', 'a/b', '../../etc', '\x1b[31m'):
            request = self.spec('x', '', InputDataConfig=[{**channel, 'ChannelName': channel_name}])
            self.assertNotIn('\x1b', self.refused(request, 'InputDataConfig[0].ChannelName'))
        for text in ('[]', '"x"', 'null', '{', '', '\xff', '[' * 100000, '{"TrainingJobName": ' + '[' * 50000 + ']' * 50000 + '}'):
            path = os.path.join(self.scratch, 'text.json')
            with open(path, 'w', encoding='latin-1') as file:
                file.write(text)
            self.refused(path)
        request = self.spec('x', '', AlgorithmSpecification={'TrainingInputMode': 'File', 'MetricDefinitions': [
            {'Name': 'm', 'Regex': 'm=('}]})
        done = self.leat.run('train', self.write(request), '--detach', state_directory=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('MetricDefinitions[0].Regex', done.stderr)
        listed = json.loads(self.leat.run('jobs', 'list', '--json', state_directory=True).stdout)
        self.assertEqual(listed['TrainingJobSummaries'], [])
        jobs = os.path.join(self.leat.state, 'jobs')
        self.assertEqual([name for name in (os.listdir(jobs) if os.path.isdir(jobs) else [])], [])
        self.assertEqual(sorted(name for name in os.listdir(self.leat.state) if name == 'x'), [])

    def test_unknown_members_are_told_and_ignored(self):
        self.submit(self.spec('unknown', 'pass', NoSuchMember=1, Nor={'this': []}))
        warnings = self.wait_status('unknown', 'Completed')['LeatWarnings']
        for name in ('NoSuchMember', 'Nor'):
            self.assertTrue(any(f"'{name}' is no member of CreateTrainingJob" in warning for warning in warnings), warnings)

    def test_names_of_jobs_lead_nowhere(self):
        """Not for the verbs that take them, either."""
        outside = os.path.join(self.scratch, 'outside')
        os.makedirs(os.path.join(outside, 'ml/model'))
        os.makedirs(os.path.join(self.leat.state, 'jobs'), 0o700)
        os.chmod(self.leat.state, 0o700)
        for name in ('../../outside', '..', '.', '/etc', outside, '../jobs', '', '-x', 'a\nb', "x'; DROP TABLE jobs; --", 'x' * 5000):
            for verb in (['describe'], ['logs'], ['stop'], ['metrics'], ['delete', '--force']):
                done = subprocess.run([LEAT, 'jobs', verb[0], '--state-dir', self.leat.state, *verb[1:], '--', name],
                                      env=self.leat.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      text=True, timeout=LONG)
                self.assertEqual((done.returncode != 0, done.stdout), (True, ''), (verb, name))
        self.assertTrue(os.path.isdir(os.path.join(outside, 'ml/model')))
        self.assertTrue(os.path.isdir(os.path.join(self.leat.state, 'jobs')))


def archive(entries, mode='w:gz'):
    """A tar of (name, content) pairs; a content may be bytes, or a dict of members of TarInfo."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode=mode, format=tarfile.PAX_FORMAT) as made:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
            else:
                for member, value in content.items():
                    setattr(info, member, value)
                made.addfile(info)
    return body.getvalue()


def header_alone(name, size):
    """An archive whose one entry promises that many bytes and has none."""
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


class Archives(JobsTest):
    MAIN = ('main.py', b"print('m=1')\n")
    SYMLINK, HARD_LINK = {'type': tarfile.SYMTYPE}, {'type': tarfile.LNKTYPE}

    def job_of(self, name, body, kind='s3'):
        """A job whose code is the archive, in the bucket or on the disk."""
        request = self.spec(name, '')
        if kind == 's3':
            self.server.put('data', f'code/{name}.tar.gz', body)
            place = f's3://data/code/{name}.tar.gz'
        else:
            place = os.path.join(self.scratch, name + '.tar.gz')
            with open(place, 'wb') as file:
                file.write(body)
        request['HyperParameters']['sagemaker_submit_directory'] = place
        return request

    def volume_bytes(self):
        """What jobs have on the disk by now."""
        total = 0
        for folder, _, names in os.walk(os.path.join(self.leat.state, 'jobs')):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
        return total

    def test_entries_that_lead_out_are_refused(self):
        victim = os.path.join(self.scratch, 'victim')
        with open(victim, 'w') as file:
            file.write('untouched')
        climb = '../' * 30 + victim.lstrip('/')
        hostile = {
            'dots': [(climb, b'evil')], 'dots-within': [('a/../' + climb, b'evil')], 'absolute': [(victim, b'evil')],
            'link-out': [('out', {**self.SYMLINK, 'linkname': self.scratch}), ('out/victim', b'evil')],
            'link-up': [('out', {**self.SYMLINK, 'linkname': '..'}), ('out/evil', b'evil')],
            'link-to-file': [('main.py', {**self.SYMLINK, 'linkname': victim})],
            'link-twice': [('a', {**self.SYMLINK, 'linkname': 'b'}), ('b', {**self.SYMLINK, 'linkname': climb}), ('a', b'evil')],
            'hard-link': [('hard', {**self.HARD_LINK, 'linkname': victim})],
            'hard-link-up': [('hard', {**self.HARD_LINK, 'linkname': climb})],
            'hard-link-through-link': [('out', {**self.SYMLINK, 'linkname': '.'}), ('out', {**self.SYMLINK, 'linkname': '../..'}),
                                       ('hard', {**self.HARD_LINK, 'linkname': 'out/environment'})],
            'fifo': [('fifo', {'type': tarfile.FIFOTYPE})],
            'character-device': [('null', {'type': tarfile.CHRTYPE, 'devmajor': 1, 'devminor': 3})],
            'block-device': [('disk', {'type': tarfile.BLKTYPE, 'devmajor': 7, 'devminor': 0})],
        }
        for i, (name, entries) in enumerate(hostile.items()):
            self.submit(self.job_of(name, archive([self.MAIN, *entries]), ('s3', 'disk')[i % 2]))
        for name, entries in hostile.items():
            described = self.wait_status(name, 'Failed')
            self.assertRegex(described['FailureReason'], r'^ClientError: .*\.tar\.gz', name)
            self.assertEqual(self.samples(name), [], name)
            self.assertFalse(os.path.exists(os.path.join(self.leat.state, 'jobs', name, 'ml')), name)
        with open(victim) as file:
            self.assertEqual(file.read(), 'untouched')
        self.assertEqual([name for name in os.listdir(self.leat.state) + os.listdir(self.scratch) if name == 'evil'], [])

    def test_links_and_modes_within_are_harmless(self):
        body = archive([self.MAIN, ('d/real', b'real'), ('d/link', {**self.SYMLINK, 'linkname': '../main.py'}),
                        ('hard', {**self.HARD_LINK, 'linkname': 'd/real'}),
                        ('setuid', {'mode': 0o6777, 'uid': 12345}), ('./dot/./file', b'')])
        request = self.job_of('good', body)
        self.submit(request)
        self.wait_status('good', 'Completed')
        self.assertEqual(self.samples('good'), ['1'])
        self.submit(self.job_of('modes', archive([('main.py', b"""import os
for name in ('setuid', 'hard'): print(name, oct(os.stat(name).st_mode))
"""), ('setuid', {'mode': 0o6777, 'uid': 12345}), ('hard', b'')])))
        self.wait_status('modes', 'Completed')
        self.assertIn(b'setuid 0o100755\n', self.logs('modes'))

    def test_bombs_are_bounded(self):
        bombs = {
            'promise': header_alone('main.py', 9 << 30),
            'promise-of-exabytes': header_alone('main.py', 1 << 60),
            'entries': archive([self.MAIN] + [(f'{i}', b'') for i in range(100001)]),
            'sparse': archive([('main.py', {'pax_headers': {'GNU.sparse.major': '1', 'GNU.sparse.minor': '0',
                                                            'GNU.sparse.name': 'main.py', 'GNU.sparse.realsize': str(1 << 50)}})]),
            'truncated': archive([self.MAIN, ('large', bytes(1 << 20))], 'w:')[:600_000],
            'no-archive': b'PK\x03\x04' + bytes(1000), 'empty-archive': archive([]), 'nothing': b'',
        }
        for name, body in bombs.items():
            self.submit(self.job_of(name, body))
        for name in bombs:
            described = self.wait_status(name, 'Failed')
            self.assertRegex(described['FailureReason'], r'^ClientError: .*\.tar\.gz', name)
            self.assertEqual(self.samples(name), [], name)
            self.assertFalse(os.path.exists(os.path.join(self.leat.state, 'jobs', name, 'ml')), name)
        self.assertIn('more than is allowed for code', self.describe('promise')['FailureReason'])
        self.assertIn('100000 entries', self.describe('entries')['FailureReason'])
        self.assertLess(self.volume_bytes(), 1 << 20)

    def test_programs_that_lie_elsewhere(self):
        code = os.path.join(self.scratch, 'code', 'elsewhere')
        for number, program in enumerate(['../x.py', '/bin/true', 'a/../../x.py', '.', 'link.sh/../../x', 'x' * 3000, '\x1b[31m.py']):
            request = self.spec('elsewhere', '')
            request['TrainingJobName'] = f'elsewhere-{number}'
            request['HyperParameters']['sagemaker_program'] = program
            done = self.leat.run('train', self.write(request), state_directory=True, check=False)
            self.assertNotEqual(done.returncode, 0, program)
            self.assertIn('sagemaker_program' if len(program) < 2500 else 'HyperParameters', done.stderr)
            self.assertNotIn('\x1b', done.stderr)
        self.assertEqual(os.listdir(code), ['main.py'])


class Contents(JobsTest):
    """Keys of objects, and what scripts put in the place of what is uploaded."""

    def test_keys_that_are_no_paths(self):
        for number, key in enumerate(['../../../../evil', 'a/../../../evil', 'a/./b', 'a//b', 'nul/\x01\x1b[31m', 'x/' + 'y' * 300]):
            self.server.put('data', f'keys/{number}/{key}', b'evil')
        channel = {'ChannelName': 'c', 'DataSource': s3_source('s3://data/keys/0/')}
        names = []
        for number in range(6):
            names.append(f'keys-{number}')
            self.submit(self.spec(names[-1], "for folder, _, files in os.walk('/opt/ml/input/data/c'):\n"
                                  "    for name in files: print(os.path.join(folder, name).encode())\n",
                                  InputDataConfig=[{**channel, 'DataSource': s3_source(f's3://data/keys/{number}/')}]))
        for name in names:
            described = self.wait_status(name, 'Completed', 'Failed')
            if described['TrainingJobStatus'] == 'Failed':
                self.assertRegex(described['FailureReason'], '^ClientError: channel c: ', name)
                self.assertNotIn('\x1b', described['FailureReason'])
            else:
                self.assertRegex(self.logs(name), rb"^b'/opt/ml/input/data/c/", name)
        self.assertEqual([self.describe(name)['TrainingJobStatus'] for name in names[:2]], ['Failed'] * 2)
        for folder, _, files in os.walk(self.scratch):
            self.assertNotIn('evil', files, folder)

    def test_what_is_no_file_is_not_uploaded_as_one(self):
        """Links stay links, and a pipe that nobody writes holds up no upload."""
        secret = os.path.join(self.scratch, 'secret')
        with open(secret, 'w') as file:
            file.write('TOP-SECRET')
        script = """import socket
os.chdir('/opt/ml/model')
os.symlink(SECRET, 'link')
os.symlink(os.path.dirname(SECRET), 'directory')
os.symlink('.', 'circle')
os.mkfifo('pipe')
socket.socket(socket.AF_UNIX).bind('socket')
open('file', 'w').write('x')
open(b'odd\\xff\\n name', 'w').close()
os.mkfifo('/opt/ml/output/data/pipe')
os.symlink(SECRET, '/opt/ml/output/failure')
""".replace('SECRET', repr(secret))
        self.submit(self.spec('odd-model', script))
        self.submit(self.spec('odd-failure', script + 'raise SystemExit(1)\n'))
        self.submit(self.spec('odd-files', script, OutputDataConfig={'S3OutputPath': 's3://out/jobs', 'CompressionType': 'NONE'}))
        self.wait_status('odd-model', 'Completed')
        model = self.artifact('odd-model')
        self.assertEqual((model['file'], model['link'], model['circle']), (b'x', secret, '.'))
        self.assertNotIn(b'TOP-SECRET', model.values())
        self.assertNotIn('TOP-SECRET', self.wait_status('odd-failure', 'Failed')['FailureReason'])
        self.wait_status('odd-files', 'Completed')
        self.assertIn('jobs/odd-files/output/model/file', self.keys('out', 'jobs/odd-files/'))
        for name in ('odd-model', 'odd-failure', 'odd-files'):
            for key in self.keys('out', f'jobs/{name}/'):
                if key.isascii() and key.isprintable():  # what a key of other bytes is called, each client sees by itself
                    self.assertNotIn(b'TOP-SECRET', self.server.client.get_object(Bucket='out', Key=key)['Body'].read(), key)

    def test_links_in_the_place_of_directories(self):
        """Whatever of the volume the script replaces: nothing of the machine is uploaded, moved or removed in its place."""
        outside = os.path.join(self.scratch, 'outside')
        os.makedirs(os.path.join(outside, 'data'))
        for place in ('file', 'data/file'):
            with open(os.path.join(outside, place), 'w') as file:
                file.write('TOP-SECRET')
        for name, place in (('model', '/opt/ml/model'), ('output', '/opt/ml/output'), ('data', '/opt/ml/output/data'),
                            ('checkpoints', '/opt/ml/checkpoints'), ('input', '/opt/ml/input'), ('code', '/opt/ml/code')):
            self.submit(self.spec('linked-' + name, f"import shutil\nshutil.rmtree({place!r})\nos.symlink({outside!r}, {place!r})\n",
                                  CheckpointConfig={'S3Uri': f's3://checkpoints/{name}'}))
        for name in ('model', 'output', 'data', 'checkpoints', 'input', 'code'):
            described = self.wait_status('linked-' + name, 'Completed', 'Failed')
            if name in ('model', 'output', 'data'):
                self.assertRegex(described['FailureReason'], '^ClientError: /opt/ml/(model|output|output/data) is a link', name)
            elif name in ('input', 'code'):
                self.assertEqual(described['TrainingJobStatus'], 'Completed', described)
            self.assertFalse(os.path.lexists(os.path.join(self.leat.state, 'jobs', 'linked-' + name, 'ml/input')), name)
        self.assertEqual(sorted(os.listdir(outside)), ['data', 'file'])
        self.assertEqual(os.listdir(os.path.join(outside, 'data')), ['file'])
        for bucket, prefix in (('out', 'jobs/linked-'), ('checkpoints', '')):
            for key in self.keys(bucket, prefix):
                body = self.server.client.get_object(Bucket=bucket, Key=key)['Body'].read()
                members = []
                if key.endswith('.tar.gz'):
                    with tarfile.open(fileobj=io.BytesIO(body)) as found:
                        members = [found.extractfile(member).read() for member in found if member.isfile()]
                self.assertNotIn(b'TOP-SECRET', [body, *members], key)


class TenThousandJobs(JobsTest):
    COUNT = 10000

    def listed(self, *arguments):
        return json.loads(self.leat.run('jobs', 'list', '--json', *arguments, state_directory=True).stdout)['TrainingJobSummaries']

    def test_are_queued_listed_taken_up_and_stopped(self):
        os.makedirs(self.leat.state, 0o700)
        with open(os.path.join(self.leat.state, 'instance-types.json'), 'w') as file:
            json.dump({'ml.m5.large': {'cpus': len(os.sched_getaffinity(0))}}, file)  # one fills the machine
        request = self.spec('first', "mark('ran', os.environ['TRAINING_JOB_NAME'] + ' %d' % os.getpid())\nuntil('go')\n",
                            ResourceConfig={'InstanceType': 'ml.m5.large', 'InstanceCount': 1})
        self.submit(request)
        self.wait_marked('ran')
        names = [f'queued-{i}' for i in range(self.COUNT)]
        with SupervisorConnection(self.leat) as supervisor:
            for name in names:
                supervisor.submit({**request, 'TrainingJobName': name}, sandbox=False)
        with self.subTest('seen'):
            self.assertEqual([job['TrainingJobName'] for job in self.listed()], ['first', *names])
            self.assertEqual(len(self.listed('--max', '5')), 5)
            self.assertEqual(self.describe(names[-1])['SecondaryStatus'], 'Starting')
        with self.subTest('the next supervisor'):
            self.kill_supervisor()
            self.assertEqual(len(self.listed()), 1 + self.COUNT)
            supervisor = wait_for(self.supervisor_pid, 'the next supervisor', LONG)
            self.leat.run('jobs', 'stop', names[7], state_directory=True)
            self.wait_status(names[7], 'Stopped')
        with self.subTest('all stopped at once'):
            most = 0

            def all_have_ended():  # one query of the database; the command would read every job
                nonlocal most
                with contextlib.suppress(OSError):
                    most = max(most, len(os.listdir(f'/proc/{supervisor}/task')))
                return database.execute('SELECT count(*) FROM jobs WHERE number NOT IN (SELECT job FROM ended_jobs)').fetchone()[0] == 0
            database = sqlite3.connect(os.path.join(self.leat.state, 'jobs.db'), timeout=LONG)
            self.addCleanup(database.close)
            rest = [name for name in names if name != names[7]]
            self.leat.run('jobs', 'stop', 'first', *rest, state_directory=True)
            wait_for(all_have_ended, 'all jobs end', LONG)
            self.assertLess(most, 300, 'threads of the supervisor')
            self.assertEqual({job['TrainingJobStatus'] for job in self.listed()}, {'Stopped'})
        with self.subTest('no orphan'):
            ran = dict(line.split() for line in self.marked('ran'))
            self.assertEqual(list(ran), ['first'])
            self.assertFalse(alive(int(ran['first'])))
            self.assertEqual(self.keys('out', 'jobs/queued-'), [])
            wait_for(lambda: not alive(supervisor), 'the supervisor has nothing left to do', LONG)
            kept = [name for name in os.listdir(os.path.join(self.leat.state, 'jobs'))
                    if os.path.exists(os.path.join(self.leat.state, 'jobs', name, 'environment'))]
            self.assertEqual(kept, [])


if __name__ == '__main__':
    unittest.main()
