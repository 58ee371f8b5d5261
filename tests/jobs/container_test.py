#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Jobs in containers of their TrainingImage, by podman: the service's contract, and what happens to a container when its script, its
parent or the supervisor ends. The image is made of this machine's own python3, in a storage of the test's own: nothing is pulled and
the user's images are not touched. With LEAT_TEST_TOOLKIT=DIRECTORY (pip install --target DIRECTORY sagemaker-training) an image with
the SageMaker training toolkit runs a script too."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import SECRET_KEY, wait_for  # noqa: E402
from job_harness import LONG, JobsTest, alive, s3_source  # noqa: E402

IMAGE = 'localhost/leat-test:1'
MARKS = '/opt/ml/checkpoints'  # of the job's own volume: a container sees nothing else of this machine
CANARY = 'CANARY-environment-value'
PYTHON = '/usr/bin/python3'

# What the image has for `train`: a toolkit in small.
TRAIN = f"""#!{PYTHON}
import json, os, sys
parameters = json.load(open('/opt/ml/input/config/hyperparameters.json'))
sys.argv = [parameters['sagemaker_program'], *sys.argv[1:]]
exec(compile(open('/opt/ml/code/' + sys.argv[0]).read(), sys.argv[0], 'exec'))
"""


def libraries_of(path):
    shown = subprocess.run(['ldd', path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return [word for word in shown.split() if word.startswith('/')]


def copy_program(path, root):
    """The file and all that it is linked with, under their own names."""
    for source in [path, *libraries_of(path)]:
        target = root + source
        if not os.path.exists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(source, target)


def make_root(root):
    for directory in ('tmp', 'proc', 'sys', 'dev', 'etc', 'root', 'usr/local/bin'):
        os.makedirs(os.path.join(root, directory))
    for program in (PYTHON, '/bin/sh', '/bin/sleep'):
        copy_program(program, root)
    library = subprocess.run([PYTHON, '-c', 'import os; print(os.path.dirname(os.__file__))'], stdout=subprocess.PIPE, text=True,
                             check=True).stdout.strip()
    shutil.copytree(library, root + library, symlinks=True,
                    ignore=shutil.ignore_patterns('test', '__pycache__', 'config-*', 'idlelib', 'tkinter', 'ensurepip', 'dist-packages',
                                                  'site-packages', 'sitecustomize.py'))
    for name in os.listdir(library + '/lib-dynload'):
        for path in libraries_of(f'{library}/lib-dynload/{name}'):
            copy_program(path, root)
    with open(root + '/usr/local/bin/train', 'w') as file:
        file.write(TRAIN)
    os.chmod(root + '/usr/local/bin/train', 0o755)


class Podman:
    """podman with a storage, records and locks of its own."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory)
        with open(directory + '/storage.conf', 'w') as file:
            file.write(f'[storage]\ndriver = "vfs"\ngraphroot = "{directory}/graph"\nrunroot = "{directory}/run"\n')
        with open(directory + '/containers.conf', 'w') as file:
            file.write(f'[engine]\ntmp_dir = "{directory}/tmp"\nlock_type = "file"\nevents_logger = "file"\n'
                       'cgroup_manager = "cgroupfs"\n')
        self.variables = {'CONTAINERS_STORAGE_CONF': directory + '/storage.conf', 'CONTAINERS_CONF': directory + '/containers.conf'}

    def run(self, *arguments, check=True):
        done = subprocess.run(['podman', *arguments], env={**os.environ, **self.variables}, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, timeout=LONG)
        if check and done.returncode != 0:
            raise AssertionError(f'podman {" ".join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}')
        return done

    def import_image(self, root, image):
        def of_root(entry):
            entry.uid = entry.gid = 0
            return entry

        archive = self.directory + '/root.tar'
        with tarfile.open(archive, 'w') as tar:
            tar.add(root, '.', filter=of_root)
        self.run('import', '--quiet', '--change', 'CMD ["--command-of-the-image"]', archive, image)
        os.unlink(archive)

    def containers(self):
        return self.run('ps', '--all', '--format', '{{.Names}}').stdout.split()

    def close(self):
        self.run('rm', '--force', '--all', '--time', '0', check=False)
        self.run('rmi', '--force', '--all', check=False)


class ContainersTest(JobsTest):
    @classmethod
    def setUpClass(cls):
        if not shutil.which('podman') or not shutil.which('crun'):
            raise unittest.SkipTest('podman or crun is not installed')
        super().setUpClass()
        try:
            cls.podman = Podman(os.path.join(cls.class_scratch, 'podman'))
            root = os.path.join(cls.class_scratch, 'root')
            make_root(root)
            cls.add_to_root(root)
            cls.podman.import_image(root, IMAGE)
        except BaseException:
            super().tearDownClass()
            raise

    @classmethod
    def add_to_root(cls, root):
        pass

    @classmethod
    def tearDownClass(cls):
        cls.podman.close()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.leat.environment.update(self.podman.variables)

    def tearDown(self):
        super().tearDown()
        for name in self.podman.containers():
            self.podman.run('rm', '--force', '--time', '0', name)

    def contained(self, name, script='', **members):
        request = self.spec(name, script, **members)
        request['AlgorithmSpecification']['TrainingImage'] = IMAGE
        request['Environment'] = {**members.get('Environment', {}), 'MARKS': MARKS}
        self.marks = os.path.join(self.leat.state, 'jobs', name, 'ml/checkpoints')
        return request

    def commanded(self, name, entrypoint=None, arguments=None):
        request = self.contained(name)
        del request['HyperParameters']
        if entrypoint:
            request['AlgorithmSpecification']['ContainerEntrypoint'] = entrypoint
        if arguments:
            request['AlgorithmSpecification']['ContainerArguments'] = arguments
        return request

    def lines(self, name):
        return self.logs(name).decode().splitlines()

    def processes_of(self, word):
        """Numbers of the processes that have it in their arguments."""
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{pid}/cmdline', 'rb') as file:
                    if word.encode() in file.read().split(b'\0') and alive(int(pid)):
                        found.append(int(pid))
            except OSError:
                pass
        return found


class Contract(ContainersTest):
    SEES = """
import errno, fcntl, termios
def attempt(action):
    try: action()
    except OSError as error: return errno.errorcode[error.errno]
    return 'done'
seen = {
    'arguments': sys.argv[1:], 'number': os.getpid(), 'parameters': json.load(open('/opt/ml/input/config/hyperparameters.json')),
    'resources': json.load(open('/opt/ml/input/config/resourceconfig.json'))['hosts'],
    'file': open('/opt/ml/input/data/file/x').read(), 'mount': open('/opt/ml/input/data/mount/x').read(),
    'write file': attempt(lambda: open('/opt/ml/input/data/file/new', 'w')),
    'write mount': attempt(lambda: open('/opt/ml/input/data/mount/new', 'w')),
    'environment': dict(os.environ), 'machine': os.path.exists('/usr/bin/env'),
    'shared memory': os.statvfs('/dev/shm').f_blocks * os.statvfs('/dev/shm').f_frsize,
}
with open('/dev/ptmx', 'rb') as terminal:  # asked of a terminal, for any other file has the same answer without the filter
    seen['terminal'] = attempt(lambda: fcntl.ioctl(terminal, termios.TCGETS, bytes(64)))
    seen['other request'] = attempt(lambda: fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8)))
with open('/opt/ml/model/weights', 'w') as file: file.write('w')
print('m=3')
print(json.dumps(seen))
mark('ready')
until('go')
"""

    def channels(self, prefix):
        self.server.put('data', prefix + '/x', prefix.encode())
        return [{'ChannelName': 'file', 'DataSource': s3_source(f's3://data/{prefix}/')},
                {'ChannelName': 'mount', 'DataSource': {'FileSystemDataSource': {
                    'FileSystemType': 'FSxLustre', 'FileSystemAccessMode': 'ro', 'FileSystemId': f's3://data/{prefix}',
                    'DirectoryPath': '/'}}}]

    def test_what_the_service_promises(self):
        self.leat.environment['OF_THE_CALLER'] = 'x'
        request = self.contained('whole', self.SEES, InputDataConfig=self.channels('whole'),
                                 Environment={'TOKEN': CANARY, 'HOME': '/opt/ml'})
        request['HyperParameters']['epochs'] = '3'
        request['HyperParameters']['two words'] = '"a b"'
        self.submit(request)
        self.wait_marked('ready')
        words = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{pid}/cmdline', 'rb') as file:
                    words.append(file.read())
            except OSError:
                pass
        self.assertTrue(any(b'leat-whole' in text for text in words), 'the container is seen')
        words = [text for text in words if b's3lab' not in text.split(b'\0')[0]]  # which is given its key so
        self.assertFalse([text for text in words if CANARY.encode() in text or SECRET_KEY.encode() in text])
        self.touch('go')
        described = self.wait_status('whole', 'Completed')
        self.assertEqual(described['AlgorithmSpecification']['TrainingImage'], IMAGE)
        self.assertEqual([entry['StatusMessage'] for entry in described['SecondaryStatusTransitions']][1:3],
                         ['Downloading the training image', 'Training image download completed. Training in progress.'])
        self.assertEqual(described['FinalMetricDataList'][0]['Value'], 3)
        self.assertEqual(self.keys('out', 'jobs/whole/'), ['jobs/whole/output/model.tar.gz'])
        self.assertEqual(described['LeatDataAccounting']['BytesRead'], len('whole'))  # a container's reads are the job's
        log = self.lines('whole')
        self.assertEqual((len(log), log[0]), (2, 'm=3'))
        seen = json.loads(log[1])
        self.assertEqual(seen['arguments'], [])
        self.assertEqual(seen['number'], 1)
        self.assertEqual(seen['parameters'], request['HyperParameters'])
        self.assertEqual(seen['resources'], ['algo-1'])
        self.assertEqual((seen['file'], seen['mount']), ('whole', 'whole'))
        self.assertEqual((seen['write file'], seen['write mount']), ('done', 'EROFS'))
        self.assertEqual((seen['terminal'], seen['other request']), ('ENOTTY', 'done'))
        self.assertFalse(seen['machine'])
        self.assertGreater(seen['shared memory'], 64 << 20)
        environment = seen['environment']
        self.assertEqual({name: environment.get(name) for name in ('TRAINING_JOB_NAME', 'SM_HP_EPOCHS', 'TOKEN', 'HOME', 'AWS_REGION')},
                         {'TRAINING_JOB_NAME': 'whole', 'SM_HP_EPOCHS': '3', 'TOKEN': CANARY, 'HOME': '/opt/ml',
                          'AWS_REGION': 'us-east-1'})
        self.assertNotIn('OF_THE_CALLER', environment)
        self.assertNotIn(SECRET_KEY, log[1])
        self.assertNotIn('seccomp.json', os.listdir(os.path.join(self.leat.state, 'jobs/whole')))
        self.assertEqual(self.podman.containers(), [])

    def test_hosts_find_one_another(self):
        self.submit(self.contained('hosts', """
import socket
print(os.environ['SM_CURRENT_HOST'], socket.gethostbyname('algo-1'), socket.gethostbyname('algo-2'))
""", ResourceConfig={'InstanceType': 'local', 'InstanceCount': 2}))
        self.wait_status('hosts', 'Completed')
        self.assertEqual(sorted(line.split('  ', 1)[1] for line in self.lines('hosts')),
                         ['algo-1 127.0.0.1 127.0.0.1', 'algo-2 127.0.0.1 127.0.0.1'])
        self.assertEqual(self.podman.containers(), [])

    def test_the_network_is_the_machines_unless_the_job_is_isolated(self):
        script = f"""
import socket
print(socket.gethostbyname('algo-1'))
try: socket.create_connection(('127.0.0.1', {int(self.server.endpoint.rsplit(':', 1)[1])})); print('connected')
except OSError as error: print(type(error).__name__)
"""
        self.submit(self.contained('open', script))
        self.submit(self.contained('isolated', script, EnableNetworkIsolation=True))
        self.wait_status('open', 'Completed')
        warnings = self.wait_status('isolated', 'Completed').get('LeatWarnings', [])
        self.assertEqual(self.lines('open'), ['127.0.0.1', 'connected'])
        self.assertEqual(self.lines('isolated'), ['127.0.0.1', 'ConnectionRefusedError'])
        self.assertEqual([warning for warning in warnings if 'Isolation' in warning], [])

    def test_flags_make_the_request(self):
        script = os.path.join(self.scratch, 'main.py')
        with open(script, 'w') as file:
            file.write("import os; print(os.getpid(), os.environ['SM_HP_LR'])\n")
        arguments = ['train', '--image', IMAGE, '--script', script, '--hyperparameter', 'lr=0.1', '--name', 'flags']
        printed = json.loads(self.leat.run(*arguments, '--print-request', state_directory=True).stdout)
        self.assertEqual(printed['AlgorithmSpecification'], {'TrainingInputMode': 'File', 'TrainingImage': IMAGE})
        self.assertIn('1 0.1\n', self.leat.run(*arguments, state_directory=True).stdout)


class Commands(ContainersTest):
    def test_entry_points_and_arguments(self):
        self.submit(self.commanded('both', ['/bin/sh', '-c'], ['echo "$0" "$1"', 'a', 'b c']))
        self.submit(self.commanded('entrypoint', ['/bin/sh', '-c', 'echo $$; exit 0']))
        self.submit(self.commanded('arguments', None, ['/bin/sh', '-c', 'echo arguments']))
        self.submit(self.commanded('alone', ['/usr/local/bin/train']))
        for name, log in (('both', ['a b c']), ('entrypoint', ['1']), ('arguments', ['arguments'])):
            self.wait_status(name, 'Completed')
            self.assertEqual(self.lines(name), log)
        # Not with the image's own command behind it, which is not the entry point's.
        self.assertIn("KeyError: 'sagemaker_program'", self.wait_status('alone', 'Failed')['FailureReason'])

    def test_failures_of_scripts(self):
        self.submit(self.contained('file', "open('/opt/ml/output/failure', 'w').write('too hot'); raise SystemExit(3)"))
        self.submit(self.commanded('killed', ['/bin/sh', '-c', 'echo bad; /bin/sh -c "kill -9 \\$\\$"; exit $?']))
        for code in (125, 126, 127):
            self.submit(self.commanded(f'code-{code}', ['/bin/sh', '-c', f'echo mine; exit {code}']))
        self.assertEqual(self.wait_status('file', 'Failed')['FailureReason'], 'AlgorithmError: too hot, exit code: 3')
        self.assertIn('killed by signal 9', self.wait_status('killed', 'Failed')['FailureReason'])
        for code in (125, 126, 127):  # podman has them for its own failures
            self.assertEqual(self.wait_status(f'code-{code}', 'Failed')['FailureReason'], f'AlgorithmError: mine, exit code: {code}')
        self.assertEqual(self.podman.containers(), [])

    def test_failures_of_images(self):
        self.podman.run('tag', IMAGE, 'localhost/without:1')
        none = self.commanded('none', ['/no/such/program'])
        directory = self.commanded('directory', ['/tmp'])
        missing = self.contained('missing')
        missing['AlgorithmSpecification']['TrainingImage'] = 'localhost:1/no/such:1'
        for request in (none, directory, missing):
            self.submit(request)
        for name in ('none', 'directory'):
            reason = self.wait_status(name, 'Failed')['FailureReason']
            self.assertIn('ClientError: CannotStartContainerError: a container of ' + IMAGE, reason)
            self.assertNotIn('`train`', reason)
        described = self.wait_status('missing', 'Failed')
        self.assertIn('ClientError: the training image localhost:1/no/such:1 could not be pulled: ', described['FailureReason'])
        self.assertEqual(described['SecondaryStatusTransitions'][-2]['StatusMessage'], 'Downloading the training image')
        self.assertEqual(self.podman.containers(), [])

    def test_refusals(self):
        path = self.write(self.contained('refused'))
        done = self.leat.run('train', path, '--no-sandbox', '--detach', state_directory=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('--no-sandbox does not go with TrainingImage', done.stderr)
        bare = self.another_leat('bare')
        programs = os.path.join(self.scratch, 'bin')
        os.makedirs(programs)
        for name in ('crun', 'bwrap', 'fusermount3', 'sh'):
            os.symlink(shutil.which(name), os.path.join(programs, name))
        bare.environment['PATH'] = programs
        done = bare.run('train', path, '--detach', state_directory=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('podman is not installed; install podman and crun (apt-get install podman crun)', done.stderr)
        self.assertEqual(json.loads(bare.run('jobs', 'list', '--json', state_directory=True).stdout)['TrainingJobSummaries'], [])


class WithoutTrain(ContainersTest):
    @classmethod
    def add_to_root(cls, root):
        os.unlink(root + '/usr/local/bin/train')

    def test_the_image_needs_a_program(self):
        self.submit(self.contained('empty'))
        reason = self.wait_status('empty', 'Failed')['FailureReason']
        self.assertIn('ClientError: CannotStartContainerError', reason)
        self.assertIn('the image has no program `train`: set AlgorithmSpecification.ContainerEntrypoint', reason)


class Ends(ContainersTest):
    WAITS = """
print('m=1'); mark('start'); until('go'); print('m=2')
open('/opt/ml/model/w', 'w').write('weights')
"""
    STOPPABLE = """
def stop(*_):
    open('/opt/ml/model/w', 'w').write('half'); raise SystemExit(0)
signal.signal(signal.SIGTERM, stop)
mark('start')
while True: time.sleep(0.1)
"""
    STUBBORN = """
signal.signal(signal.SIGTERM, lambda *_: mark('told'))
subprocess.Popen(['/bin/sleep', WORD], start_new_session=True)
mark('start')
while True: time.sleep(0.1)
"""

    def test_a_supervisor_that_is_killed_leaves_it_running(self):
        self.submit(self.contained('adopted', self.WAITS))
        self.wait_marked('start')
        self.kill_supervisor()
        shim = self.shim_pid('adopted')
        self.assertTrue(alive(shim))
        self.leat.run('jobs', 'list', state_directory=True)
        wait_for(self.supervisor_pid, 'another supervisor runs', LONG)
        self.assertEqual(self.shim_pid('adopted'), shim)
        self.touch('go')
        self.wait_status('adopted', 'Completed')
        self.assertEqual(self.lines('adopted'), ['m=1', 'm=2'])
        self.assertEqual([float(value) for value in self.samples('adopted')], [1, 2])
        self.assertEqual(self.keys('out', 'jobs/adopted/'), ['jobs/adopted/output/model.tar.gz'])
        self.assertEqual(self.podman.containers(), [])

    def test_a_stop_reaches_the_script(self):
        self.submit(self.contained('stopped', self.STOPPABLE))
        self.wait_marked('start')
        self.leat.run('jobs', 'stop', 'stopped', state_directory=True)
        self.wait_status('stopped', 'Stopped')
        self.assertEqual(self.keys('out', 'jobs/stopped/'), ['jobs/stopped/output/model.tar.gz'])
        self.assertEqual(self.podman.containers(), [])

    def test_a_second_stop_kills_all(self):
        train = self.attach(self.contained('stubborn', self.STUBBORN.replace('WORD', "'5432.1'")))
        self.wait_marked('start')
        wait_for(lambda: self.processes_of('5432.1'), 'its child runs', LONG)
        train.send_signal(signal.SIGINT)
        self.wait_marked('told')
        self.assertTrue(self.processes_of('5432.1'))
        train.send_signal(signal.SIGINT)
        self.assertEqual(train.wait(LONG), 130)
        self.assertEqual(self.describe('stubborn')['TrainingJobStatus'], 'Stopped')
        self.assertEqual(self.processes_of('5432.1'), [])
        self.assertEqual(self.podman.containers(), [])

    def test_what_a_killed_shim_leaves_is_removed(self):
        self.submit(self.contained('lost', self.STUBBORN.replace('WORD', "'6543.2'")))
        self.wait_marked('start')
        wait_for(lambda: self.processes_of('6543.2'), 'its child runs', LONG)
        os.kill(self.shim_pid('lost'), signal.SIGKILL)
        self.assertIn('InternalServerError: ', self.wait_status('lost', 'Failed')['FailureReason'])
        self.assertEqual(self.processes_of('6543.2'), [])
        self.assertEqual(self.podman.containers(), [])

    def test_a_lost_attempt_is_followed_by_another(self):
        script = """
print('attempt', os.path.exists('/opt/ml/model/first')); open('/opt/ml/model/first', 'w')
subprocess.Popen(['/bin/sleep', '7654.3'], start_new_session=True)
mark('start'); until('go')
"""
        self.submit(self.contained('again', script, RetryStrategy={'MaximumRetryAttempts': 1}))
        self.wait_marked('start')
        first = wait_for(lambda: self.processes_of('7654.3'), 'its child runs', LONG)
        os.kill(self.shim_pid('again'), signal.SIGKILL)
        wait_for(lambda: not alive(first[0]), 'the first attempt is gone', LONG)
        second = wait_for(lambda: self.processes_of('7654.3'), 'the second attempt starts', LONG)
        self.assertNotEqual(second, first)
        self.wait_marked('start')
        self.touch('go')
        self.wait_status('again', 'Completed')
        self.assertEqual(self.lines('again'), ['attempt False'] * 2)  # each on a volume of its own
        self.assertEqual(self.podman.containers(), [])

    def test_it_is_counted_with_the_job(self):
        self.submit(self.contained('counted', 'while time.process_time() < 1: pass'))
        accounting = self.wait_status('counted', 'Completed')['LeatDataAccounting']
        if 'CpuSeconds' not in accounting:
            self.skipTest('no control groups here')
        self.assertGreaterEqual(accounting['CpuSeconds'], 1)


@unittest.skipUnless(os.environ.get('LEAT_TEST_TOOLKIT'), 'LEAT_TEST_TOOLKIT names no directory with sagemaker-training')
class Toolkit(ContainersTest):
    """An image whose `train` is the SageMaker training toolkit's, without credentials."""

    SCRIPT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument('--epochs', type=int)
parser.add_argument('--lr', type=float)
parser.add_argument('--train', default=os.environ.get('SM_CHANNEL_TRAIN'))
parser.add_argument('--model-dir', default=os.environ.get('SM_MODEL_DIR'))
args = parser.parse_args()
import helper
print(f'SEEN {args.epochs} {args.lr} {args.train} {helper.NAME} {os.environ["SM_HOSTS"]} {os.environ["SM_HPS"]}')
print('m=4')
open(os.path.join(args.model_dir, 'weights'), 'w').write(open(os.path.join(args.train, 'x')).read())
if args.epochs == 13: raise ValueError('unlucky')
"""

    @classmethod
    def add_to_root(cls, root):
        shutil.copytree(os.environ['LEAT_TEST_TOOLKIT'], root + '/toolkit')
        os.symlink('python3', root + '/usr/bin/python')
        copy_program(shutil.which('which'), root)
        for directory, _, names in os.walk(root + '/toolkit'):
            for name in filter(lambda name: '.so' in name, names):
                for path in libraries_of(os.path.join(directory, name)):
                    if not path.startswith(cls.class_scratch):
                        copy_program(path, root)
        with open(root + '/usr/local/bin/train', 'w') as file:
            file.write(f'#!{PYTHON}\nimport sys\nsys.path.insert(0, "/toolkit")\nimport os\nos.environ["PYTHONPATH"] = "/toolkit"\n'
                       'from sagemaker_training.cli.train import main\nmain()\n')

    def test_scripts_run_unmodified(self):
        self.server.put('data', 'kit/x', b'data')
        for name, epochs in (('kit', '3'), ('unlucky', '13')):
            request = self.contained(name, self.SCRIPT, InputDataConfig=[
                {'ChannelName': 'train', 'DataSource': s3_source('s3://data/kit/')}])
            code = request['HyperParameters']['sagemaker_submit_directory']
            with open(code + '/helper.py', 'w') as file:
                file.write("NAME = 'helper'\n")
            archive = os.path.join(self.scratch, name + '.tar.gz')
            with tarfile.open(archive, 'w:gz') as tar:
                tar.add(code, '.')
            self.server.client.upload_file(archive, 'data', f'code/{name}/sourcedir.tar.gz')
            request['HyperParameters'] = {'sagemaker_program': '"main.py"', 'epochs': epochs, 'lr': '0.1',
                                          'sagemaker_submit_directory': f'"s3://data/code/{name}/sourcedir.tar.gz"'}
            self.submit(request)
        self.wait_status('kit', 'Completed')
        self.assertIn('SEEN 3 0.1 /opt/ml/input/data/train helper ["algo-1"] {"epochs":3,"lr":0.1}', self.lines('kit'))
        self.assertEqual(self.keys('out', 'jobs/kit/'), ['jobs/kit/output/model.tar.gz'])
        reason = self.wait_status('unlucky', 'Failed')['FailureReason']
        self.assertIn('AlgorithmError: ExecuteUserScriptError:', reason)


def hybrid_groups_in_the_way():
    """crun refuses to run where version 1 control groups lie beside a version 2 that has controllers."""
    with open('/proc/self/mounts') as mounts:
        if '/sys/fs/cgroup/unified' not in [line.split()[1] for line in mounts]:
            return False
    with open('/sys/fs/cgroup/unified/cgroup.controllers') as controllers:
        return bool(controllers.read().strip())


if __name__ == '__main__':
    if hybrid_groups_in_the_way() and os.geteuid() == 0 and shutil.which('unshare'):
        os.execvp('unshare', ['unshare', '--mount', 'sh', '-c', 'umount /sys/fs/cgroup/unified && exec "$0" "$@"', sys.executable,
                              *sys.orig_argv[1:]])
    unittest.main()
