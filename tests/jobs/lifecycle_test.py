#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The life of jobs as their user sees it: supervisor, shim and `leat train` killed in each state, the queue, scripts that fail in
each way, checkpoints, channels, secrets. Conditions are waited for; no test looks at how long anything took."""
import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import tarfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import LEAT, SECRET_KEY, wait_for  # noqa: E402
from job_harness import LONG, JobsTest, alive, s3_source  # noqa: E402


class SupervisorKilled(JobsTest):
    """kill -9 of the supervisor while one job downloads, one trains and one uploads."""

    DOWNLOADING = "mark('d-start'); print(open('/opt/ml/input/data/c/x').read()); print('m=1')\n"
    TRAINING = """mark('t-start')
for i in range(1, 6): print(f'first {i} m={i}')
mark('t-half')
until('t-go')
for i in range(6, 11): print(f'second {i} m={i}')
open('/opt/ml/model/w', 'w').write('weights')
"""
    UPLOADING = "mark('u-start'); print('m=1'); open('/opt/ml/model/w', 'w').write('weights')\n"

    def requests(self, kind):
        self.server.put('data', f'{kind}/x', b'the data')
        channel = {'ChannelName': 'c', 'DataSource': {'S3DataSource': {
            'S3DataType': 'S3Prefix', 'S3Uri': f's3://data/{kind}/', 'S3DataDistributionType': 'FullyReplicated'}}}
        return [self.spec(f'{kind}-d', self.DOWNLOADING, InputDataConfig=[channel]), self.spec(f'{kind}-t', self.TRAINING),
                self.spec(f'{kind}-u', self.UPLOADING)]

    def slow_down(self, kind):
        self.server.faults(
            {'match': {'operation': 'GetObject', 'bucket': 'data', 'key_prefix': f'{kind}/'}, 'count': -1, 'action': {'delay': 600000}},
            *[{'match': {'operation': operation, 'bucket': 'out', 'key_prefix': f'jobs/{kind}-u/'}, 'count': -1,
               'action': {'delay': 600000}} for operation in ('PutObject', 'CreateMultipartUpload')])

    def wait_for_the_three_states(self, kind):
        self.wait_status(f'{kind}-d', 'Downloading')
        self.wait_status(f'{kind}-u', 'Uploading')
        self.wait_marked('t-half')

        def fired():
            rules = self.server.control('GET', 'faults')['rules']
            return rules[0]['fired'] > 0 and sum(rule['fired'] for rule in rules[1:]) > 0
        wait_for(fired, 'a download and an upload wait for S3', LONG)

    def check_ends(self, kind):
        for job, count in (('d', 1), ('t', 10), ('u', 1)):
            name = f'{kind}-{job}'
            described = self.wait_status(name, 'Completed')
            self.assertEqual(len(self.marked(f'{job}-start')), 1, f'starts of the script of {name}')
            self.assertEqual([float(value) for value in self.samples(name)], [float(i + 1) for i in range(count)], name)
            self.assertEqual(described['FinalMetricDataList'][0]['Value'], count)
            states = [entry['Status'] for entry in described['SecondaryStatusTransitions']]
            self.assertEqual((states.count('Completed'), states[-1]), (1, 'Completed'), states)
            self.assertEqual(described['ModelArtifacts']['S3ModelArtifacts'], f's3://out/jobs/{name}/output/model.tar.gz')
            self.assertEqual(self.keys('out', f'jobs/{name}/'), [f'jobs/{name}/output/model.tar.gz'])
        self.assertEqual(self.logs(f'{kind}-t').decode().splitlines(), self.training_log())
        self.assertEqual(self.logs(f'{kind}-d').decode().splitlines(), ['the data', 'm=1'])

    def training_log(self):
        return [f'first {i} m={i}' for i in range(1, 6)] + [f'second {i} m={i}' for i in range(6, 11)]

    def test_an_attached_train_never_notices(self):
        self.slow_down('a')
        trains = [self.attach(request) for request in self.requests('a')]
        self.wait_for_the_three_states('a')
        pids = []
        for _ in range(3):  # once each is at work: one that dies while it starts is told of, and rightly
            downloads = self.server.control('GET', 'faults')['rules'][0]['fired']
            pids.append(self.kill_supervisor())
            wait_for(lambda: self.server.control('GET', 'faults')['rules'][0]['fired'] > downloads,  # noqa: B023
                     'the next supervisor downloads', LONG)
        self.assertEqual(len(set(pids)), 3)
        self.assertEqual([train.poll() for train in trains], [None] * 3)
        self.server.control('DELETE', 'faults')
        self.kill_supervisor()  # whose requests S3 delays
        self.touch('t-go')
        self.assertEqual([train.wait(LONG) for train in trains], [0, 0, 0])
        self.check_ends('a')
        for train, lines in zip(trains, (['the data', 'm=1'], self.training_log(), ['m=1'])):
            with open(train.log) as file:
                text = file.read()
            printed = text.splitlines()
            self.assertEqual([line for line in printed if line in lines], lines)
            self.assertEqual(text.count(' Completed - Training job completed'), 1, text)
            self.assertNotIn('warning', text)
            self.assertNotIn('supervisor', text)

    def test_detached_jobs_are_taken_up_by_the_next_command(self):
        self.slow_down('b')
        for request in self.requests('b'):
            self.submit(request)
        self.wait_for_the_three_states('b')
        self.kill_supervisor()
        self.server.control('DELETE', 'faults')
        shim = self.shim_pid('b-t')
        self.assertTrue(alive(shim))
        self.touch('t-go')
        wait_for(lambda: not alive(shim), 'the script ends with nobody there', LONG)
        self.assertIsNone(self.supervisor_pid())
        listed = json.loads(self.leat.run('jobs', 'list', '--json', state_directory=True).stdout)['TrainingJobSummaries']
        self.assertEqual([job['TrainingJobName'] for job in listed], ['b-d', 'b-t', 'b-u'])
        self.check_ends('b')


class Attached(JobsTest):
    """What `leat train` in a terminal does to its job, and what does not happen to it."""

    STOPPABLE = """def stop(*_):
    mark('s-told')
    open('/opt/ml/model/w', 'w').write('half')
    raise SystemExit(0)
signal.signal(signal.SIGTERM, stop)
print('started')
mark('s-start')
while True: time.sleep(0.1)
"""
    STUBBORN = """signal.signal(signal.SIGTERM, lambda *_: mark('i-told'))
mark('i-pids', str(subprocess.Popen(['sleep', '5000']).pid))
mark('i-start')
while True: time.sleep(0.1)
"""

    def test_killed_interrupted_and_interrupted_twice(self):
        killed = self.attach(self.spec('killed', "mark('k-start'); until('k-go'); print('m=1')\n"))
        once = self.attach(self.spec('once', self.STOPPABLE))
        twice = self.attach(self.spec('twice', self.STUBBORN))
        for name in ('k-start', 's-start', 'i-start'):
            self.wait_marked(name)
        killed.kill()
        killed.wait()
        once.send_signal(signal.SIGINT)
        twice.send_signal(signal.SIGINT)
        self.assertEqual(once.wait(LONG), 130)
        self.assertEqual(self.describe('once')['TrainingJobStatus'], 'Stopped')
        self.assertEqual(self.marked('s-told'), ['x'])
        self.assertEqual(self.keys('out', 'jobs/once/'), ['jobs/once/output/model.tar.gz'])
        with open(once.log) as file:
            self.assertIn(' Stopped - Training job stopped', file.read())
        self.wait_marked('i-told')  # and goes on
        shim = self.shim_pid('twice')
        self.assertTrue(alive(shim))
        self.assertIsNone(twice.poll())
        twice.send_signal(signal.SIGINT)
        self.assertEqual(twice.wait(LONG), 130)
        self.assertEqual(self.describe('twice')['TrainingJobStatus'], 'Stopped')
        self.assertEqual(self.marked('i-told'), ['x'])
        self.assertEqual([pid for pid in self.marked('i-pids') if alive(pid)], [])
        self.assertFalse(alive(shim))
        self.assertEqual(self.describe('killed')['SecondaryStatus'], 'Training')
        self.touch('k-go')
        self.wait_status('killed', 'Completed')
        self.assertEqual(self.samples('killed'), ['1'])
        self.assertEqual(self.marked('k-start'), ['x'])


    def test_stop_now_kills_a_job_that_a_stop_does_not_end(self):
        self.submit(self.spec('now', self.STUBBORN))
        self.wait_marked('i-start')
        self.leat.run('jobs', 'stop', 'now', state_directory=True)
        self.wait_marked('i-told')  # and goes on
        self.assertEqual(self.describe('now')['SecondaryStatus'], 'Stopping')
        self.leat.run('jobs', 'stop', '--now', 'now', state_directory=True)
        self.wait_status('now', 'Stopped')
        self.assertEqual([pid for pid in self.marked('i-pids') if alive(pid)], [])
        self.assertEqual(self.keys('out', 'jobs/now/'), [])


class ShimKilled(JobsTest):
    """kill -9 of the process between supervisor and script: nobody knows how the script ended."""

    SCRIPT = """name = os.environ['TRAINING_JOB_NAME']
path = '/opt/ml/checkpoints/epoch'
print('checkpoint', open(path).read() if os.path.exists(path) else 'none')
if not os.path.exists(path):
    open(path, 'w').write('7')
    mark(name + '-pids', str(os.getpid()))
    mark(name + '-pids', str(subprocess.Popen(['sleep', '5000']).pid))
    print('m=6', flush=True)
    mark(name + '-start')
    time.sleep(5000)
print('m=7')
open('/opt/ml/model/w', 'w').write('weights')
"""

    def test_without_and_with_retries(self):
        retries = {'RetryStrategy': {'MaximumRetryAttempts': 2}}
        jobs = {'plain': {}, 'retried': {**retries, 'CheckpointConfig': {'S3Uri': 's3://checkpoints/retried'}},
                'kept': {**retries, 'CheckpointConfig': {'LocalPath': '/opt/ml/checkpoints'}}}
        for name, members in jobs.items():
            self.submit(self.spec(name, self.SCRIPT, **members))
        for name in jobs:
            self.wait_marked(name + '-start')
        for name in jobs:
            shim = self.shim_pid(name)
            with open(f'/proc/{shim}/comm') as file:
                self.assertEqual(file.read().strip(), 'leat-shim')
            os.kill(shim, signal.SIGKILL)
        described = self.wait_status('plain', 'Failed')
        self.assertRegex(described['FailureReason'], '^InternalServerError: ')
        self.assertEqual(self.keys('out', 'jobs/plain/'), [])
        for name in ('retried', 'kept'):
            described = self.wait_status(name, 'Completed')
            self.assertEqual(self.logs(name).decode().splitlines(), ['checkpoint none', 'm=6', 'checkpoint 7', 'm=7'])
            self.assertEqual(self.samples(name), ['6', '7'])
            told = self.leat.run('jobs', 'metrics', name, '--csv', state_directory=True).stdout.splitlines()[1:]
            seconds = [float(line.split(',')[1]) for line in told]
            self.assertTrue(0 <= seconds[0] < seconds[1], seconds)
            self.assertEqual(self.keys('out', f'jobs/{name}/'), [f'jobs/{name}/output/model.tar.gz'])
            states = [entry['Status'] for entry in described['SecondaryStatusTransitions']]
            self.assertEqual([states.count('Starting'), states.count('Training')], [2, 2], states)
            with open(os.path.join(self.leat.state, 'jobs', name, 'attempt-1/log.0')) as file:
                self.assertEqual(file.read(), 'checkpoint none\nm=6\n')
        for name in jobs:
            self.assertEqual([pid for pid in self.marked(name + '-pids') if alive(pid)], [], name)
        self.assertEqual(self.keys('checkpoints', 'retried/'), ['retried/epoch'])


class Queue(JobsTest):
    def test_jobs_that_fill_the_machine_run_one_after_another(self):
        os.makedirs(self.leat.state, 0o700)
        with open(os.path.join(self.leat.state, 'instance-types.json'), 'w') as file:
            json.dump({'ml.m5.large': {'cpus': len(os.sched_getaffinity(0))}}, file)
        script = """name = os.environ['TRAINING_JOB_NAME']
mark('order', name + ' begins')
if name == 'one': until('one-go')
time.sleep(0.1)
mark('order', name + ' ends')
"""
        names = ['one', 'two', 'never', 'three']
        for name in names:
            self.submit(self.spec(name, script, ResourceConfig={'InstanceType': 'ml.m5.large', 'InstanceCount': 1}))
        self.wait_marked('order')
        self.leat.run('jobs', 'stop', 'never', state_directory=True)
        never = self.wait_status('never', 'Stopped')
        self.assertEqual([entry['Status'] for entry in never['SecondaryStatusTransitions']], ['Starting', 'Stopping', 'Stopped'])
        for time_of in ('TrainingStartTime', 'TrainingTimeInSeconds', 'BillableTimeInSeconds'):
            self.assertNotIn(time_of, never)
        self.assertEqual(self.marked('order'), ['one begins'])
        waiting = self.describe('two')
        self.assertEqual(waiting['SecondaryStatus'], 'Starting')
        self.assertIn('Waiting for 1 running job to leave', waiting['SecondaryStatusTransitions'][-1]['StatusMessage'])
        self.kill_supervisor()  # the next one remembers who has the machine
        self.leat.run('jobs', 'list', state_directory=True)
        wait_for(self.supervisor_pid, 'the next supervisor', LONG)
        self.touch('one-go')
        for name in ('one', 'two', 'three'):
            self.wait_status(name, 'Completed')
        self.assertEqual(self.marked('order'), [f'{name} {what}' for name in ('one', 'two', 'three') for what in ('begins', 'ends')])

    def test_many_jobs_each_once(self):
        code = os.path.join(self.scratch, 'small')
        os.makedirs(code)
        with open(os.path.join(code, 'main.sh'), 'w') as file:
            file.write('echo "$TRAINING_JOB_NAME" >> "$MARKS/many"\n')
        names = [f'many-{i}' for i in range(300)]
        request = self.spec('many', '', HyperParameters={'sagemaker_program': 'main.sh', 'sagemaker_submit_directory': code},
                            OutputDataConfig={'S3OutputPath': 'file://' + os.path.join(self.scratch, 'output')})
        for first in range(0, len(names), 4):  # four commands at once
            commands = [subprocess.Popen([LEAT, 'train', self.write({**request, 'TrainingJobName': name}), '--detach',
                                          '--state-dir', self.leat.state], env=self.leat.environment, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL) for name in names[first:first + 4]]
            self.assertEqual([command.wait(LONG) for command in commands], [0] * len(commands))
            if first == 148:
                self.kill_supervisor()

        def listed():
            return json.loads(self.leat.run('jobs', 'list', '--json', state_directory=True).stdout)['TrainingJobSummaries']
        wait_for(lambda: all(job['TrainingJobStatus'] != 'InProgress' for job in listed()), 'all jobs end', LONG)
        self.assertEqual([(job['TrainingJobName'], self.describe(job['TrainingJobName']).get('FailureReason')) for job in listed()
                          if job['TrainingJobStatus'] != 'Completed'], [])
        self.assertEqual(sorted(self.marked('many')), sorted(names))


class Scripts(JobsTest):
    """Scripts that fail, and scripts that print what nobody expects: all at once in one state directory."""

    SCRIPTS = {
        'told': "open('/opt/ml/output/failure', 'w').write('the data is sour'); print('bye'); raise SystemExit(3)",
        'untold': "print('the last words'); raise SystemExit(3)",
        'partial': "open('/opt/ml/output/data/notes', 'w').write('n'); open('/opt/ml/model/w', 'w').write('w'); raise SystemExit(4)",
        'sigkill': 'os.kill(os.getpid(), signal.SIGKILL)',
        'sigsegv': 'os.kill(os.getpid(), signal.SIGSEGV)',
        'orphans': "for _ in range(2): mark('orphans', str(subprocess.Popen(['setsid', 'sleep', '5000']).pid))\n"
                   "print('m=1', flush=True)",
        'no-newline': "sys.stdout.write('m=1\\nm=2')",
        'binary': "sys.stdout.buffer.write(bytes(range(256)) * 4 + b'\\nm=3\\n')",
        'returns': "sys.stdout.write(''.join(f'\\rprogress {i} m={i}' for i in range(3)) + '\\nend\\r\\n')",
        'flood': "print('m=1')\nfor i in range(50): sys.stdout.write(('x' * 99 + '\\n') * 10486)\nprint('m=2')",
        'odd-numbers': "print('m=NaN'); print('m=1e400'); print('m=-1e400'); print('m=12..5'); print('m=2')",
        'too-long': "open('/opt/ml/model/w', 'w').write('w')\nmark('too-long')\ntime.sleep(5000)",
        'silent': '',
    }

    def test_each(self):
        limits = {'too-long': {'StoppingCondition': {'MaxRuntimeInSeconds': 1}}}
        for name, script in self.SCRIPTS.items():
            self.submit(self.spec(name, script, **limits.get(name, {})))
        missing = self.spec('missing', '')
        missing['HyperParameters']['sagemaker_program'] = 'absent.py'
        self.submit(missing)
        for name, program in (('no-program', '/no/such/program'), ('no-command', 'no-such-command')):
            request = self.spec(name, '', HyperParameters={})
            request['AlgorithmSpecification']['ContainerEntrypoint'] = [program]
            self.submit(request)

        def reason(name):
            return self.wait_status(name, 'Failed')['FailureReason']
        with self.subTest('exit codes'):
            self.assertEqual(reason('told'), 'AlgorithmError: the data is sour, exit code: 3')
            self.assertEqual(reason('untold'), 'AlgorithmError: the last words, exit code: 3')
            self.assertRegex(reason('sigkill'), r'^AlgorithmError: killed by signal 9 \(SIGKILL\).*, exit code: 137$')
            self.assertRegex(reason('sigsegv'), r'^AlgorithmError: killed by signal 11 \(SIGSEGV\).*, exit code: 139$')
        with self.subTest('output of a failed job'):
            self.assertIn('exit code: 4', reason('partial'))
            self.assertEqual(self.keys('out', 'jobs/partial/'), ['jobs/partial/output/output.tar.gz'])
        with self.subTest('nothing to run'):
            self.assertRegex(reason('missing'), '^ClientError: .*absent.py')
            self.assertIn('/no/such/program', reason('no-program'))
            self.assertIn('no-such-command', reason('no-command'))
        with self.subTest('orphans'):
            self.wait_status('orphans', 'Completed')
            self.assertEqual(len(self.marked('orphans')), 2)
            self.assertEqual([pid for pid in self.marked('orphans') if alive(pid)], [])
        with self.subTest('odd output'):
            for name, samples, log in (
                    ('no-newline', ['1', '2'], b'm=1\nm=2\n'), ('returns', ['0', '1', '2'], None), ('silent', [], b''),
                    ('binary', ['3'], None)):
                self.wait_status(name, 'Completed')
                self.assertEqual(self.samples(name), samples, name)
                if log is not None:
                    self.assertEqual(self.logs(name), log, name)
            self.assertIn(b'm=3\n', self.logs('binary'))
            self.assertEqual(self.logs('returns').replace(b'\r', b'\n').split(),
                             b'progress 0 m=0 progress 1 m=1 progress 2 m=2 end'.split())
        with self.subTest('odd numbers'):
            described = self.wait_status('odd-numbers', 'Completed')
            self.assertEqual([float(value) for value in self.samples('odd-numbers')[1:]], [float('inf'), float('-inf'), 2.0])
            self.assertIn('nan', self.samples('odd-numbers')[0].lower())
            self.assertEqual(described['FinalMetricDataList'][0]['Value'], 2)
            self.assertIn('m', self.leat.run('jobs', 'metrics', 'odd-numbers', state_directory=True).stdout)
        with self.subTest('a flood'):
            self.wait_status('flood', 'Completed')
            self.assertEqual(self.samples('flood'), ['1', '2'])
            self.assertEqual(len(self.logs('flood')), 50 * 10486 * 100 + 8)
        with self.subTest('MaxRuntimeInSeconds'):
            described = self.wait_status('too-long', 'Stopped')
            self.assertEqual(described['SecondaryStatus'], 'MaxRuntimeExceeded')
            self.assertEqual(self.keys('out', 'jobs/too-long/'), ['jobs/too-long/output/model.tar.gz'])
            self.assertEqual(len(self.marked('too-long')), 1)


class Checkpoints(JobsTest):
    def test_they_go_to_s3_while_the_script_runs_and_come_back(self):
        config = {'CheckpointConfig': {'S3Uri': 's3://checkpoints/shared/'}}
        self.server.put('checkpoints', 'shared-not/other', b'no')
        self.submit(self.spec('writer', """os.makedirs('/opt/ml/checkpoints/deep')
open('/opt/ml/checkpoints/deep/step-1', 'w').write('one')
open('/opt/ml/checkpoints/gone', 'w').write('gone')
until('seen')
os.remove('/opt/ml/checkpoints/gone')
open('/opt/ml/checkpoints/step-2', 'w').write('two')
""", **config))
        wait_for(lambda: self.keys('checkpoints', 'shared/') == ['shared/deep/step-1', 'shared/gone'],
                 'checkpoints appear in S3 while the script runs', LONG)
        self.assertEqual(self.describe('writer')['SecondaryStatus'], 'Training')
        self.touch('seen')
        self.wait_status('writer', 'Completed')
        self.assertEqual(self.keys('checkpoints', 'shared/'), ['shared/deep/step-1', 'shared/step-2'])
        self.submit(self.spec('reader', """for folder, _, names in os.walk('/opt/ml/checkpoints'):
    for name in names: mark('found', name + ' ' + open(os.path.join(folder, name)).read())
""", **config))
        self.wait_status('reader', 'Completed')
        self.assertEqual(sorted(self.marked('found')), ['step-1 one', 'step-2 two'])
        self.assertEqual(self.keys('checkpoints', 'shared/'), ['shared/deep/step-1', 'shared/step-2'])


class Channels(JobsTest):
    ALL = """base = '/opt/ml/input/data/'
def tree(channel):
    found = {}
    for folder, _, names in os.walk(base + channel):
        for name in names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, base + channel)] = open(path).read()
    return found
def pipe(channel, epoch):
    path = base + f'{channel}_{epoch}'
    while not os.path.exists(path): time.sleep(0.01)
    with open(path, 'rb') as file: return file.read().hex()
seen = {channel: tree(channel) for channel in ('prefix', 'manifest', 'fast', 'efs')}
for channel in ('raw', 'records'): seen[channel] = [pipe(channel, epoch) for epoch in range(2)]
seen['config'] = json.load(open('/opt/ml/input/config/inputdataconfig.json'))
seen['variables'] = sorted(name for name in os.environ if name.startswith('SM_CHANNEL_'))
try:
    open(base + 'fast/new', 'w')
except OSError as error:
    seen['fast-write'] = type(error).__name__
open(base + 'prefix/new', 'w').write('a copy of its own')
mark('all', json.dumps(seen))
"""
    SHARDED = """host = os.environ['SM_CURRENT_HOST']
path = '/opt/ml/input/data/piped_0'
while not os.path.exists(path): time.sleep(0.01)
piped = open(path, 'rb').read().decode()
mark('sharded', json.dumps([host, sorted(os.listdir('/opt/ml/input/data/files')), piped]))
open(f'/opt/ml/output/data/{host}', 'w').write(host)
print('m=1')
"""

    def test_all_kinds_at_once_and_shards(self):
        objects = {f'part-{i}': f'object {i};' for i in range(6)}
        for key, body in objects.items():
            self.server.put('data', f'kinds/{key}', body.encode())
        self.server.put('data', 'kinds/deep/er', b'below')
        self.server.put('data', 'the-manifest', json.dumps([{'prefix': 's3://data/kinds/'}, 'part-1', 'deep/er']).encode())
        shared = os.path.join(self.scratch, 'shared')
        os.makedirs(os.path.join(shared, 'set'))
        with open(os.path.join(shared, 'set/file'), 'w') as file:
            file.write('on disk')
        os.makedirs(self.leat.state, 0o700)
        with open(os.path.join(self.leat.state, 'file-systems.json'), 'w') as file:
            json.dump({'fs-0123456789abcdef0': shared}, file)
        self.submit(self.spec('all', self.ALL, InputDataConfig=[
            {'ChannelName': 'prefix', 'DataSource': s3_source('s3://data/kinds'), 'ContentType': 'text/plain'},
            {'ChannelName': 'manifest', 'DataSource': s3_source('s3://data/the-manifest', 'ManifestFile')},
            {'ChannelName': 'raw', 'InputMode': 'Pipe', 'DataSource': s3_source('s3://data/kinds/part-')},
            {'ChannelName': 'records', 'InputMode': 'Pipe', 'RecordWrapperType': 'RecordIO',
             'DataSource': s3_source('s3://data/kinds/part-')},
            {'ChannelName': 'fast', 'InputMode': 'FastFile', 'DataSource': s3_source('s3://data/kinds/')},
            {'ChannelName': 'efs', 'DataSource': {'FileSystemDataSource': {
                'FileSystemType': 'EFS', 'FileSystemAccessMode': 'ro', 'FileSystemId': 'fs-0123456789abcdef0',
                'DirectoryPath': '/set'}}}]))
        self.submit(self.spec('sharded', self.SHARDED, ResourceConfig={'InstanceType': 'local', 'InstanceCount': 2}, InputDataConfig=[
            {'ChannelName': 'files', 'DataSource': s3_source('s3://data/kinds/part-', sharded=True)},
            {'ChannelName': 'piped', 'InputMode': 'Pipe', 'DataSource': s3_source('s3://data/kinds/part-', sharded=True)}]))
        self.wait_status('all', 'Completed')
        seen = json.loads(self.marked('all')[0])
        everything = {**objects, 'deep/er': 'below'}
        self.assertEqual(seen['prefix'], everything)
        self.assertEqual(seen['fast'], everything)
        self.assertEqual(seen['manifest'], {'part-1': 'object 1;', 'deep/er': 'below'})
        self.assertEqual(seen['efs'], {'file': 'on disk'})
        self.assertEqual([bytes.fromhex(epoch).decode() for epoch in seen['raw']], [''.join(objects.values())] * 2)
        framed = b''.join(struct.pack('<II', 0xced7230a, len(body)) + body.encode() + bytes(-len(body) % 4) for body in objects.values())
        self.assertEqual([bytes.fromhex(epoch) for epoch in seen['records']], [framed] * 2)
        self.assertEqual({name: (entry['TrainingInputMode'], entry['RecordWrapperType']) for name, entry in seen['config'].items()},
                         {'prefix': ('File', 'None'), 'manifest': ('File', 'None'), 'raw': ('Pipe', 'None'),
                          'records': ('Pipe', 'RecordIO'), 'fast': ('FastFile', 'None'), 'efs': ('File', 'None')})
        self.assertEqual(seen['variables'], sorted('SM_CHANNEL_' + name.upper() for name in seen['config']))
        self.assertIn('fast-write', seen)
        self.assertNotIn('kinds/new', self.keys('data', 'kinds/'))
        self.wait_status('sharded', 'Completed')
        hosts = {host: (files, piped) for host, files, piped in map(json.loads, self.marked('sharded'))}
        self.assertEqual(sorted(hosts), ['algo-1', 'algo-2'])
        self.assertEqual([len(files) for files, _ in hosts.values()], [3, 3])
        self.assertEqual(sorted(sum((files for files, _ in hosts.values()), [])), sorted(objects))
        for files, piped in hosts.values():
            self.assertEqual(piped, ''.join(objects[name] for name in files))  # a host's share is one, in any mode
        self.assertEqual(sorted(self.logs('sharded').decode().splitlines()), ['algo-1  m=1', 'algo-2  m=1'])
        path = os.path.join(self.scratch, 'output.tar.gz')
        self.server.client.download_file('out', 'jobs/sharded/output/output.tar.gz', path)
        with tarfile.open(path) as archive:
            names = sorted(member.name.removeprefix('./') for member in archive if member.isfile())
        self.assertEqual(names, ['algo-1', 'algo-2'])


class Secrets(JobsTest):
    # The script's ancestors up to the shim, and all that they started, are processes of the job.
    SCRIPT = f"""secret = {SECRET_KEY[:6]!r} + {SECRET_KEY[6:]!r}
def contents(path):
    try:
        with open(path, 'rb') as file: return file.read()
    except OSError: return b''
def parent(pid):
    return int(contents(f'/proc/{{pid}}/stat').rsplit(b')', 1)[1].split()[1])
found, job, pid = [], [], os.getpid()
while pid > 1:
    job.append(pid)
    if contents(f'/proc/{{pid}}/comm').strip() == b'leat-shim': break
    pid = parent(pid)
for number in filter(str.isdigit, os.listdir('/proc')):
    for name in ('environ', 'cmdline'):
        # The test server of this file is started with its key as an argument.
        if secret.encode() in contents(f'/proc/{{number}}/{{name}}') and contents(f'/proc/{{number}}/comm').strip() != b's3lab':
            found.append([number, name, contents(f'/proc/{{number}}/comm').decode().strip(), int(number) in job])
mark('env', json.dumps([name for name, value in os.environ.items()
                        if secret in value or secret[::-1] in value or name.startswith('AWS_SECRET')]))
mark('proc', json.dumps(found))
mark('job', json.dumps([contents(f'/proc/{{pid}}/comm').decode().strip() for pid in job]))
print('looked')
until('secrets-go')
"""

    def places_of_secret(self):
        found = []
        for folder, _, names in os.walk(self.leat.state):
            for name in names:
                with contextlib.suppress(OSError), open(os.path.join(folder, name), 'rb') as file:
                    contents = file.read()
                    if SECRET_KEY.encode() in contents or SECRET_KEY[::-1].encode() in contents:
                        found.append(os.path.join(folder, name))
        return found

    def test_credentials_of_the_caller_stay_with_leat(self):
        self.server.put('data', 'secret/x', b'x')
        self.assertEqual(self.leat.environment['AWS_SECRET_ACCESS_KEY'], SECRET_KEY)
        self.leat.environment['DB_PASSWORD'] = SECRET_KEY[::-1]
        train = self.attach(self.spec('secret', self.SCRIPT, InputDataConfig=[
            {'ChannelName': 'c', 'DataSource': s3_source('s3://data/secret/')},
            {'ChannelName': 'f', 'InputMode': 'FastFile', 'DataSource': s3_source('s3://data/secret/')}]))
        self.wait_marked('job')
        self.assertEqual(self.places_of_secret(), [])
        self.touch('secrets-go')
        self.assertEqual(train.wait(LONG), 0)
        self.assertEqual(self.places_of_secret(), [])
        with open(train.log) as file:
            self.assertNotIn(SECRET_KEY, file.read())
        self.assertEqual(json.loads(self.marked('env')[0]), [])
        job = json.loads(self.marked('job')[0])
        self.assertEqual(job[-1], 'leat-shim', job)
        found = json.loads(self.marked('proc')[0])
        self.assertEqual([entry for entry in found if entry[3]], [], 'in processes of the job')
        if os.geteuid() == 0:
            self.assertIn('leat', [entry[2] for entry in found], 'the search finds what is there: leat train has the secret')
        # Root reads every process's; of others, the kernel shows a script only what is dumpable, and `leat train` is not.
        self.assertEqual([entry for entry in found if entry[2] != 'leat' or entry[1] != 'environ' or os.geteuid() != 0], [])


if __name__ == '__main__':
    unittest.main()
