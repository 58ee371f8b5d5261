# SPDX-License-Identifier: Apache-2.0
"""What the tests of jobs share beside harness.py: requests around small scripts, marks that scripts leave, what is seen of jobs, and
the processes that they have."""
import contextlib
import fcntl
import glob
import io
import json
import os
import signal
import socket
import subprocess
import tarfile

from harness import LEAT, Leat, MountTest, S3Lab, wait_for

LONG = 120  # seconds that a condition may take on a busy machine

# What scripts begin with: `mark` leaves a line in a file of the test's, `until` waits for one.
PRELUDE = """import json, os, signal, subprocess, sys, time
MARKS = os.environ['MARKS']
def mark(name, text='x'):
    with open(os.path.join(MARKS, name), 'a') as file:
        file.write(text + '\\n')
def until(name):
    while not os.path.exists(os.path.join(MARKS, name)): time.sleep(0.02)
"""


def s3_source(uri, kind='S3Prefix', sharded=False):
    """The DataSource of a channel."""
    return {'S3DataSource': {'S3DataType': kind, 'S3Uri': uri,
                             'S3DataDistributionType': 'ShardedByS3Key' if sharded else 'FullyReplicated'}}


def alive(pid):
    """Whether the process runs: a zombie does not."""
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return False


class SupervisorConnection:
    """The supervisor's socket, for what no flag says (a short grace) and for more submissions than there is time for commands."""

    def __init__(self, leat):
        self.environment = [f'{name}={value}' for name, value in leat.environment.items()]
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LONG)
        self.socket.connect(os.path.join(leat.state, 'supervisor.sock'))
        self.lines = self.socket.makefile('rb')

    def submit(self, request, **options):
        message = {'verb': 'submit', 'request': request, 'options': options, 'environment': self.environment}
        self.socket.sendall(json.dumps(message).encode() + b'\n')
        answer = json.loads(self.lines.readline())
        if not answer['ok']:
            raise AssertionError(answer['error']['message'])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()


class JobsTest(MountTest):
    """State directories of a test's own; whatever still runs of them at its end is ended."""

    @classmethod
    def make_server(cls):
        server = S3Lab(cls.class_scratch, '--directory', os.path.join(cls.class_scratch, 's3'), '--threads', '2')
        for bucket in ('data', 'out', 'checkpoints'):
            server.bucket(bucket)
        return server

    def setUp(self):
        super().setUp()
        self.leats = [self.leat]
        self.marks = os.path.join(self.scratch, 'marks')
        os.makedirs(self.marks)

    def tearDown(self):
        if isinstance(self.server, S3Lab):
            with contextlib.suppress(OSError):
                self.server.control('DELETE', 'faults')
        for leat in self.leats:
            self.end_jobs(leat)
            if leat is not self.leat:
                leat.close()
        super().tearDown()

    def end_jobs(self, leat):
        pid = self.supervisor_pid(leat)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for trainer in glob.glob(os.path.join(leat.state, 'jobs', '*', 'trainer')):
            with contextlib.suppress(OSError), open(trainer) as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:  # the shim lives: the number is its own, and not another test's by now
                    os.kill(int(file.read().split()[-1]), signal.SIGQUIT)  # with all that it started

    def another_leat(self, name):
        leat = Leat(self.scratch, self.server.environment, name)
        self.leats.append(leat)
        return leat

    # --- requests

    def spec(self, name, script, **members):
        """A request whose script is `script` behind the prelude; its output goes to S3."""
        code = os.path.join(self.scratch, 'code', name)
        os.makedirs(code, exist_ok=True)
        with open(os.path.join(code, 'main.py'), 'w') as file:
            file.write(PRELUDE + script)
        request = {
            'TrainingJobName': name,
            'AlgorithmSpecification': {'TrainingInputMode': 'File', 'MetricDefinitions': [
                {'Name': 'm', 'Regex': 'm=([-+.0-9a-zA-Z]+)'}]},
            'OutputDataConfig': {'S3OutputPath': 's3://out/jobs'},
            'ResourceConfig': {'InstanceType': 'local', 'InstanceCount': 1},
            'HyperParameters': {'sagemaker_program': 'main.py', 'sagemaker_submit_directory': code},
            'Environment': {'MARKS': self.marks},
        }
        request.update(members)
        return request

    def write(self, request):
        path = os.path.join(self.scratch, f'{len(os.listdir(self.scratch))}.json')
        with open(path, 'w') as file:
            json.dump(request, file)
        return path

    def submit(self, request, leat=None):
        return (leat or self.leat).run('train', self.write(request), '--detach', state_directory=True)

    def attach(self, request, leat=None):
        """`leat train` in the background; what it prints goes to the file that it carries as `.log`."""
        leat = leat or self.leat
        log = os.path.join(self.scratch, request['TrainingJobName'] + '.attached')
        with open(log, 'w') as file:
            process = subprocess.Popen([LEAT, 'train', self.write(request), '--state-dir', leat.state], env=leat.environment,
                                       stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        process.log = log
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_for(lambda: os.path.getsize(log) > 0 or process.poll() is not None, 'the job is submitted', LONG)
        return process

    # --- what is seen of jobs

    def describe(self, name, leat=None):
        def no_constant(text):
            raise AssertionError(f'no JSON: {text}')
        shown = (leat or self.leat).run('jobs', 'describe', name, '--json', state_directory=True).stdout
        return json.loads(shown, parse_constant=no_constant)

    def wait_status(self, name, *statuses, leat=None):
        """The description once the job has one of these states, primary or secondary."""
        def reached():
            described = self.describe(name, leat)
            found = {described['TrainingJobStatus'], described['SecondaryStatus']}
            if not found & set(statuses) and described['TrainingJobStatus'] in ('Completed', 'Failed', 'Stopped'):
                raise AssertionError(f'{name} is {found}, not {statuses}: {described.get("FailureReason")}')
            return described if found & set(statuses) else None
        return wait_for(reached, f'{name} is {statuses}', LONG)

    def logs(self, name, leat=None):
        leat = leat or self.leat
        return subprocess.run([LEAT, 'jobs', 'logs', name, '--state-dir', leat.state], env=leat.environment, check=True,
                              stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=LONG).stdout

    def samples(self, name, leat=None):
        shown = (leat or self.leat).run('jobs', 'metrics', name, '--csv', state_directory=True).stdout
        return [line.rsplit(',', 1)[1] for line in shown.splitlines()[1:]]

    def marked(self, name):
        """The lines that scripts have left under that name."""
        with contextlib.suppress(FileNotFoundError):
            with open(os.path.join(self.marks, name)) as file:
                return file.read().splitlines()
        return []

    def wait_marked(self, name, lines=1):
        return wait_for(lambda: len(self.marked(name)) >= lines and self.marked(name), f'a script marks {name}', LONG)

    def touch(self, name):
        with open(os.path.join(self.marks, name), 'w'):
            pass

    def keys(self, bucket, prefix):
        found = self.server.client.list_objects_v2(Bucket=bucket, Prefix=prefix)
        return [entry['Key'] for entry in found.get('Contents', [])]

    def artifact(self, name, which='model', bucket='out', prefix='jobs'):
        """The members of a job's artifact as a second client reads it from S3: the bytes of files, None for directories, the target
        of links."""
        body = self.server.client.get_object(Bucket=bucket, Key=f'{prefix}/{name}/output/{which}.tar.gz')['Body'].read()
        members = {}
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            for member in archive:
                kept = archive.extractfile(member).read() if member.isfile() else member.linkname or None
                members[member.name.removeprefix('./')] = kept
        return members

    # --- processes, by id

    def supervisor_pid(self, leat=None):
        state = (leat or self.leat).state
        for pid in filter(str.isdigit, os.listdir('/proc')):
            with contextlib.suppress(OSError):
                with open(f'/proc/{pid}/cmdline', 'rb') as file:
                    words = file.read().split(b'\0')
                if words[1:4] == [b'supervisor', b'--state-dir', state.encode()] and alive(pid):
                    return int(pid)
        return None

    def kill_supervisor(self, leat=None):
        pid = wait_for(lambda: self.supervisor_pid(leat), 'a supervisor runs', LONG)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not alive(pid), 'the supervisor is dead')
        return pid

    def shim_pid(self, name, leat=None):
        with open(os.path.join((leat or self.leat).state, 'jobs', name, 'trainer')) as file:
            return int(file.read().split()[-1])
