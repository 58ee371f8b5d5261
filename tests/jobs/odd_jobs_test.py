#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scripts that go wrong in the ways that lifecycle_test.py leaves out: they hang, hide grandchildren, take all memory or disk, flood
their log, report a million numbers, lose their file system, race with a stop; and scripts that bring requirements."""
import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import sys
import unittest
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import LEAT, random_bytes, wait_for  # noqa: E402
from job_harness import LONG, JobsTest, SupervisorConnection, alive  # noqa: E402


def memory_groups():
    """Where control groups limit memory, of either version; empty where we may make none."""
    places = ['/sys/fs/cgroup/memory', '/sys/fs/cgroup']
    return [place for place in places if os.access(os.path.join(place, 'cgroup.procs'), os.W_OK)]


class Ends(JobsTest):
    # A daemon as daemons are made: forked twice, in a session of its own, deaf to SIGTERM, holding the log's pipe.
    GRANDCHILDREN = """def daemon(name):
    if os.fork(): return
    os.setsid()
    if os.fork(): os._exit(0)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
    mark(name, str(os.getpid()))
    while True: time.sleep(60)
"""

    def test_without_output_a_model_of_nothing_is_uploaded(self):
        self.submit(self.spec('nothing', 'pass'))
        described = self.wait_status('nothing', 'Completed')
        self.assertEqual(self.keys('out', 'jobs/nothing/'), ['jobs/nothing/output/model.tar.gz'])
        self.assertEqual(self.artifact('nothing'), {})
        self.assertEqual(described.get('FinalMetricDataList', []), [])
        shown = self.leat.run('jobs', 'metrics', 'nothing', state_directory=True)
        self.assertIn('m', shown.stdout)

    def test_a_script_that_hears_nothing_is_killed_with_all_that_it_started(self):
        """The service gives 120 s; the supervisor is asked for less."""
        script = self.GRANDCHILDREN + """for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
name = os.environ['TRAINING_JOB_NAME']
for _ in range(3): daemon(name + '-daemons')
subprocess.Popen(['setsid', 'sh', '-c', 'trap "" TERM; while true; do sleep 1; done'])
open('/opt/ml/model/w', 'w').write('so far')
mark(name + '-script', str(os.getpid()))
while True: time.sleep(60)
"""
        self.submit(self.spec('holder', "mark('held'); until('release')\n"))
        self.wait_marked('held')
        names = ('asked', 'timed')
        with SupervisorConnection(self.leat) as supervisor:
            for name, members in (('asked', {}), ('timed', {'StoppingCondition': {'MaxRuntimeInSeconds': 3}})):
                supervisor.submit(self.spec(name, script, **members), python='/usr/bin/python3', stop_grace_ms=300)
        for name in names:
            self.wait_marked(name + '-daemons', 3)
            self.wait_marked(name + '-script')
        self.leat.run('jobs', 'stop', 'asked', state_directory=True)
        self.assertEqual(self.wait_status('asked', 'Stopped')['SecondaryStatus'], 'Stopped')
        self.assertEqual(self.wait_status('timed', 'Stopped')['SecondaryStatus'], 'MaxRuntimeExceeded')
        for name in names:
            pids = self.marked(name + '-daemons') + self.marked(name + '-script')
            self.assertEqual(len(pids), 4)
            self.assertEqual([pid for pid in pids if alive(pid)], [], name)
            self.assertEqual(self.artifact(name), {'w': b'so far'})
        self.assertEqual(self.describe('holder')['SecondaryStatus'], 'Training')  # neighbours never notice
        self.touch('release')
        self.wait_status('holder', 'Completed')

    def test_daemons_of_a_script_end_with_it(self):
        script = self.GRANDCHILDREN + """name = os.environ['TRAINING_JOB_NAME']
for _ in range(3): daemon(name)
while len(open(os.path.join(MARKS, name)).readlines()) < 3 if os.path.exists(os.path.join(MARKS, name)) else True: time.sleep(0.02)
print('m=1', flush=True)
"""
        endings = {'ends-well': '', 'ends-badly': 'raise SystemExit(5)\n', 'ends-itself': 'os.kill(os.getpid(), signal.SIGKILL)\n'}
        for name, ending in endings.items():
            self.submit(self.spec(name, script + ending))
        self.wait_status('ends-well', 'Completed')
        self.assertIn('exit code: 5', self.wait_status('ends-badly', 'Failed')['FailureReason'])
        self.assertIn('SIGKILL', self.wait_status('ends-itself', 'Failed')['FailureReason'])
        for name in endings:
            self.assertEqual(len(self.marked(name)), 3)
            self.assertEqual([pid for pid in self.marked(name) if alive(pid)], [], name)
            self.assertEqual(self.samples(name), ['1'])

    def test_a_stop_and_the_end_at_the_same_time(self):
        names = [f'race-{i}' for i in range(6)]
        for name in names:
            self.submit(self.spec(name, "mark('racing'); until('end-now'); open('/opt/ml/model/w', 'w').write('w')\n"))
        self.wait_marked('racing', len(names))
        stops = []
        for i, name in enumerate(names):
            if i == len(names) // 2:
                self.touch('end-now')
            stops += [subprocess.Popen([LEAT, 'jobs', 'stop', name, '--state-dir', self.leat.state], env=self.leat.environment,
                                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        for stop in stops:
            _, told = stop.communicate(timeout=LONG)
            if stop.returncode != 0:
                self.assertRegex(told, 'job is in status (Completed|Stopped)')
        for name in names:
            described = self.wait_status(name, 'Completed', 'Stopped')
            states = [entry['Status'] for entry in described['SecondaryStatusTransitions']]
            self.assertEqual(sum(state in ('Completed', 'Stopped', 'Failed') for state in states), 1, states)
            self.assertEqual(described['ModelArtifacts']['S3ModelArtifacts'], f's3://out/jobs/{name}/output/model.tar.gz')
            refused = self.leat.run('jobs', 'stop', name, state_directory=True, check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(f'job is in status {described["TrainingJobStatus"]}', refused.stderr)

    @unittest.skipUnless(memory_groups(), 'control groups cannot be made here')
    def test_a_script_that_wants_more_memory_than_its_instance_has(self):
        os.makedirs(self.leat.state, 0o700)
        with open(os.path.join(self.leat.state, 'instance-types.json'), 'w') as file:
            json.dump({'ml.m5.large': {'cpus': 1, 'memory_gib': 0.125}}, file)
        small = {'ResourceConfig': {'InstanceType': 'ml.m5.large', 'InstanceCount': 1}, 'RetryStrategy': {'MaximumRetryAttempts': 3}}
        self.submit(self.spec('neighbour', "mark('neighbour'); until('hog-ended'); print('m=1')\n",
                              ResourceConfig={'InstanceType': 'local', 'InstanceCount': 1}))
        self.wait_marked('neighbour')
        self.submit(self.spec('hog', "mark('hog'); print('before', flush=True)\nkept = []\n"
                              "while True: kept.append(b'x' * (8 << 20))\n", **small))
        described = self.wait_status('hog', 'Failed')
        self.assertRegex(described['FailureReason'], r'^AlgorithmError: killed by signal 9 \(SIGKILL\); .*out of memory.*, exit code: 137$')
        self.assertTrue(any('for want of memory: the job may use 128' in warning for warning in described['LeatWarnings']), described)
        self.assertEqual(self.marked('hog'), ['x'])  # not tried again: it would end alike
        self.assertEqual(self.keys('out', 'jobs/hog/'), [])
        self.touch('hog-ended')
        self.wait_status('neighbour', 'Completed')


class Disk(JobsTest):
    """The state directory on a disk of 96 MiB."""

    @unittest.skipUnless(os.geteuid() == 0, 'only root can mount a small disk')
    def test_a_script_that_fills_the_disk(self):
        disk = os.path.join(self.scratch, 'disk')
        os.makedirs(disk)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=96m,mode=700', 'leat-test', disk], check=True)
        self.addCleanup(lambda: os.path.ismount(disk) and subprocess.run(['umount', '-l', disk], check=True))
        leat = self.another_leat('disk/state')
        script = """mark('fills')
print('m=1', flush=True)
try:
    with open('/opt/ml/model/large', 'wb', buffering=0) as file:
        while True: file.write(b'x' * (1 << 20))
except OSError as error:
    mark('told', error.strerror)
    for _ in range(2000): print('y' * 1000)  # a log that finds no room, either
    sys.stdout.flush()
    raise
"""
        neighbour = self.spec('neighbour', "mark('neighbour'); until('filled'); print('m=1')\n")
        self.submit(neighbour, leat)
        self.wait_marked('neighbour')
        self.submit(self.spec('filler', script), leat)
        described = self.wait_status('filler', 'Failed', leat=leat)
        self.assertEqual(self.marked('told'), ['No space left on device'])
        self.assertEqual(self.marked('fills'), ['x'])
        self.assertRegex(described['FailureReason'], '^AlgorithmError: .*exit code: 1$')
        self.assertTrue(any('bytes of the log are lost: the disk of the state directory' in warning
                            for warning in described['LeatWarnings']), described)
        self.assertEqual(self.samples('filler', leat), ['1'])
        self.assertEqual(self.keys('out', 'jobs/filler/'), [])
        with self.subTest('nothing is left'):
            ballast = os.path.join(disk, 'ballast')
            with open(ballast, 'wb', buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1 << 20))
            self.assertEqual(self.describe('filler', leat)['TrainingJobStatus'], 'Failed')
            self.assertEqual(self.describe('neighbour', leat)['SecondaryStatus'], 'Training')
            self.assertIn('filler', leat.run('jobs', 'list', state_directory=True).stdout)
            self.assertTrue(self.logs('filler', leat).startswith(b'm=1\n'))
            done = leat.run('train', self.write(self.spec('next', '')), '--detach', state_directory=True, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn('No space left on device', done.stderr)
            os.remove(ballast)
        self.touch('filled')
        self.wait_status('neighbour', 'Completed', leat=leat)
        self.submit(self.spec('next', "print('m=3'); open('/opt/ml/model/w', 'wb').write(bytes(40 << 20))\n"), leat)  # room is there again
        self.wait_status('next', 'Completed', leat=leat)
        self.assertEqual(len(self.artifact('next')['w']), 40 << 20)


class Logs(JobsTest):
    def kept_bytes(self, name):
        directory = os.path.join(self.leat.state, 'jobs', name)
        return sum(os.path.getsize(os.path.join(directory, part)) for part in os.listdir(directory) if part.startswith('log.'))

    def test_more_than_is_kept_without_a_line_end(self):
        """400 MiB, of which 256 are kept; the script never waits for good, and what it says behind it is heard."""
        self.submit(self.spec('endless', """print('m=1', flush=True)
out = sys.stdout.buffer
for _ in range(400): out.write(b'x' * (1 << 20))
out.write(b'\\nm=2\\n')
out.flush()
mark('printed')
"""))
        self.wait_status('endless', 'Completed')
        self.assertEqual(self.marked('printed'), ['x'])
        self.assertLessEqual(self.kept_bytes('endless'), 256 << 20)
        self.assertEqual(self.samples('endless'), ['1', '2'])
        done = subprocess.run([LEAT, 'jobs', 'logs', 'endless', '--state-dir', self.leat.state], env=self.leat.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=LONG, check=True)
        self.assertIn(b'bytes of the log are no longer kept', done.stderr)
        self.assertTrue(done.stdout.startswith(b'm=1\n'))
        self.assertTrue(done.stdout.endswith(b'\nm=2\n'), done.stdout[-20:])

    def test_what_nobody_reads_holds_up_nothing(self):
        read, write = os.pipe()
        train = subprocess.Popen([LEAT, 'train', self.write(self.spec('unread', """line = 'x' * 999 + '\\n'
for _ in range(20000): sys.stdout.write(line)
print('m=7')
""")), '--state-dir', self.leat.state], env=self.leat.environment, stdout=write, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        os.close(write)
        self.addCleanup(os.close, read)
        self.addCleanup(train.kill)
        _, told = train.communicate(timeout=LONG)
        self.assertEqual(train.returncode, 0, told)
        self.assertIn(b'nobody read the output to its end', told)
        self.assertEqual(self.wait_status('unread', 'Completed')['FinalMetricDataList'][0]['Value'], 7)
        self.assertEqual(len(self.logs('unread')), 20000 * 1000 + 4)

    def test_bytes_that_would_steer_a_terminal(self):
        """They are in the log as they were printed; in what Leat itself says they are escaped."""
        raw = b'\x1b]0;owned\x07\x1b[2J\x1b[31mred\x00\xff\xfe end'
        train = self.attach(self.spec('escapes', f"""sys.stdout.buffer.write(b'm=1\\rm=2\\r\\nm=3\\x1b[K\\n' + {raw!r} + b'\\n')
sys.stdout.flush()
raise SystemExit(3)
"""))
        self.assertEqual(train.wait(LONG), 1)
        described = self.describe('escapes')
        self.assertIn('exit code: 3', described['FailureReason'])
        self.assertEqual(self.samples('escapes'), ['1', '2', '3'])
        self.assertIn(raw, self.logs('escapes'))
        for verb in (['describe', 'escapes'], ['list'], ['metrics', 'escapes']):
            shown = subprocess.run([LEAT, 'jobs', *verb, '--state-dir', self.leat.state], env=self.leat.environment, check=True,
                                   stdout=subprocess.PIPE, stdin=subprocess.DEVNULL).stdout
            self.assertNotRegex(shown, rb'[\x00-\x08\x0b-\x1f\x7f]', verb)
        with open(train.log, 'rb') as file:
            said = file.read().rsplit(raw, 1)[1]
        self.assertNotIn(b'\x1b', said)
        self.assertIn(b'red', said)  # the end of the log is told, escaped


class Metrics(JobsTest):
    def test_a_million_samples(self):
        count = 1000000
        self.submit(self.spec('million', f"""out = []
for i in range({count}): out.append('m=%d' % i)
sys.stdout.write('\\n'.join(out) + '\\n')
"""))
        described = self.wait_status('million', 'Completed')
        self.assertEqual(described.get('LeatWarnings', []), [])
        self.assertEqual(described['FinalMetricDataList'][0]['Value'], count - 1)
        samples = self.samples('million')
        self.assertEqual(len(samples), count)
        self.assertTrue(all(float(value) == i for i, value in enumerate(samples)))
        shown = self.leat.run('jobs', 'metrics', 'million', state_directory=True).stdout
        self.assertLess(len(shown), 10000)

    def test_numbers_out_of_the_ordinary(self):
        definitions = [{'Name': name, 'Regex': name + r'=(\S*)'} for name in ('same', 'none', 'late', 'odd')]
        request = self.spec('numbers', """for value in ('nan', 'inf', '-inf', '-nan', '1e309', '-0', '1e-320', '0x10', '1_000', '١', '', '+', '1,5', '5'):
    print('odd=' + value)
for _ in range(3): print('same=1')
print('late=1', file=sys.stderr, flush=True)
sys.stdout.write('late=2')  # without a line end, last of all
""")
        request['AlgorithmSpecification']['MetricDefinitions'] = definitions
        self.submit(request)
        described = self.wait_status('numbers', 'Completed')
        shown = self.leat.run('jobs', 'metrics', 'numbers', '--csv', state_directory=True).stdout
        rows = list(csv.DictReader(io.StringIO(shown)))
        found = {name: [row['value'] for row in rows if row['metric'] == name] for name in ('same', 'none', 'late', 'odd')}
        self.assertEqual((found['same'], found['none'], found['late']), (['1'] * 3, [], ['1', '2']))
        numbers = [float(value) for value in found['odd']]
        self.assertEqual(len(numbers), 8, found['odd'])
        self.assertEqual([repr(abs(number)) for number in numbers], ['nan', 'inf', 'inf', 'nan', 'inf', '0.0', '1e-320', '5.0'])
        final = {entry['MetricName']: entry['Value'] for entry in described['FinalMetricDataList']}
        self.assertEqual(final, {'same': 1, 'late': 2, 'odd': 5})
        with self.subTest('the last of a metric is no number'):
            self.submit(self.spec('diverged', "print('m=1'); print('m=nan')\n"))
            described = self.wait_status('diverged', 'Completed')
            self.assertEqual(described['FinalMetricDataList'][0]['Value'], 'NaN')  # a text: JSON has no such number
            for options in ([], ['--json'], ['--csv']):
                self.leat.run('jobs', 'metrics', 'diverged', *options, state_directory=True)


class FileSystemLost(JobsTest):
    def test_the_daemon_dies_under_the_script(self):
        """An error of the infrastructure, whatever the script makes of it: told as one, and tried again where that was asked for."""
        for i in range(40):
            self.server.put('data', f'lost/{i:03d}', random_bytes(i, 100_000))
        script = """name = os.environ['TRAINING_JOB_NAME']
data = '/opt/ml/input/data/c/'
mark(name + '-attempts')
if len(open(os.path.join(MARKS, name + '-attempts')).readlines()) == 1:
    open(data + '000', 'rb').read()
    mark(name + '-reading')
    until('daemon-died')
for i in range(40): assert len(open(data + '%03d' % i, 'rb').read()) == 100000
open('/opt/ml/model/w', 'w').write('weights')
"""
        channel = {'InputDataConfig': [{'ChannelName': 'c', 'DataSource': {'FileSystemDataSource': {
            'FileSystemId': 's3://data/lost/', 'FileSystemAccessMode': 'ro', 'FileSystemType': 'FSxLustre', 'DirectoryPath': '/'}}}]}
        self.submit(self.spec('plain', script, **channel))
        self.submit(self.spec('retried', script, RetryStrategy={'MaximumRetryAttempts': 2}, **channel))
        self.wait_marked('plain-reading')
        self.wait_marked('retried-reading')
        pid = self.leat.daemon_pid()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not alive(pid), 'the daemon is dead')
        self.touch('daemon-died')
        described = self.wait_status('plain', 'Failed')
        self.assertRegex(described['FailureReason'], '^InternalServerError: .*s3://data/lost/')
        self.assertEqual(self.keys('out', 'jobs/plain/'), [])
        described = self.wait_status('retried', 'Completed')
        self.assertEqual(len(self.marked('retried-attempts')), 2)
        self.assertEqual(self.artifact('retried'), {'w': b'weights'})
        self.assertTrue(any(warning.startswith('attempt 1 was lost') for warning in described['LeatWarnings']), described)


class Requirements(JobsTest):
    def wheel(self):
        """A directory with a wheel of one module that no machine has."""
        directory = os.path.join(self.scratch, 'wheels')
        os.makedirs(directory)
        with zipfile.ZipFile(os.path.join(directory, 'leat_test_wheel-1.0-py3-none-any.whl'), 'w') as wheel:
            wheel.writestr('leat_test_wheel.py', 'ANSWER = 42\n')
            wheel.writestr('leat_test_wheel-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\nName: leat-test-wheel\nVersion: 1.0\n')
            wheel.writestr('leat_test_wheel-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n'
                           'Tag: py3-none-any\n')
            wheel.writestr('leat_test_wheel-1.0.dist-info/RECORD', '')
        return directory

    def request(self, name, requirements):
        request = self.spec(name, 'import leat_test_wheel\nprint(leat_test_wheel.__file__)\nprint("m=%d" % leat_test_wheel.ANSWER)\n')
        with open(os.path.join(self.scratch, 'code', name, 'requirements.txt'), 'w') as file:
            file.write(requirements)
        return request

    def test_are_ignored_installed_or_refused(self):
        request = self.request('installed', 'leat-test-wheel==1.0\n')
        request['Environment'].update(PIP_NO_INDEX='1', PIP_FIND_LINKS=self.wheel())
        done = self.leat.run('train', self.write(request), '--requirements', 'install', state_directory=True)
        self.assertEqual(self.samples('installed'), ['42'])
        self.assertIn('/opt/ml/code/.requirements/leat_test_wheel.py', done.stdout)
        self.assertEqual(self.artifact('installed'), {})
        done = subprocess.run(['/usr/bin/python3', '-c', 'import leat_test_wheel'], stderr=subprocess.PIPE, text=True)
        self.assertIn('No module named', done.stderr)  # for the job alone
        absent = self.request('absent', 'leat-test-wheel==2.0\n')
        absent['Environment'].update(request['Environment'])
        done = self.leat.run('train', self.write(absent), '--requirements', 'install', state_directory=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(self.describe('absent')['FailureReason'], '(?s)^AlgorithmError: .*leat-test-wheel==2.0.*exit code: 1$')
        self.assertEqual(self.samples('absent'), [])
        done = self.leat.run('train', self.write(self.request('ignored', 'x\n')), state_directory=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('requirements.txt is not installed', done.stderr)
        self.assertIn("No module named 'leat_test_wheel'", self.describe('ignored')['FailureReason'])
        done = self.leat.run('train', self.write(self.request('refused', 'x\n')), '--requirements', 'refuse', state_directory=True,
                             check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('--requirements install', self.describe('refused')['FailureReason'])
        self.assertEqual(self.logs('refused'), b'')


if __name__ == '__main__':
    unittest.main()
