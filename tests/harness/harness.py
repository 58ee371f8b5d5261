# SPDX-License-Identifier: Apache-2.0
"""What the tests on a real mount share: S3 servers on loopback, the leat binary, a scratch directory. Every process started here
is ended by its id; everything mounted here is unmounted."""
import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LEAT = os.environ.get('LEAT', os.path.join(TOP, 'build/release/src/cli/leat'))
S3LAB = os.environ.get('S3LAB', os.path.join(TOP, 'build/release/tools/s3lab/s3lab'))
ACCESS_KEY, SECRET_KEY = 'LEATTESTACCESSKEY', 'CANARY-leat-test-secret'


def wait_for(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f'{what}: not after {seconds} s')


class Server:
    """An S3 server: endpoint, credentials, and a boto3 client as an independent second client."""

    def __init__(self, endpoint, access_key, secret_key):
        self.endpoint = endpoint
        self.environment = {'AWS_ACCESS_KEY_ID': access_key, 'AWS_SECRET_ACCESS_KEY': secret_key,
                            'AWS_ENDPOINT_URL_S3': endpoint, 'AWS_REGION': 'us-east-1',
                            'AWS_EC2_METADATA_DISABLED': 'true'}

    @functools.cached_property
    def client(self):
        import boto3  # only what asks for a second client needs it installed
        from botocore.config import Config
        return boto3.client(
            's3', endpoint_url=self.endpoint, aws_access_key_id=self.environment['AWS_ACCESS_KEY_ID'],
            aws_secret_access_key=self.environment['AWS_SECRET_ACCESS_KEY'], region_name='us-east-1',
            config=Config(s3={'addressing_style': 'path'}, retries={'max_attempts': 4}, read_timeout=20))

    def bucket(self, name):
        self.client.create_bucket(Bucket=name)
        return name

    def remove(self, bucket, key):
        self.client.delete_object(Bucket=bucket, Key=key)

    def put(self, bucket, key, body, **more):
        return self.client.put_object(Bucket=bucket, Key=key, Body=body, **more)


class S3Lab(Server):
    def __init__(self, scratch, *arguments, sign=True):
        self.port_file = os.path.join(scratch, f's3lab-{time.monotonic_ns()}.port')
        keys = ['--access-key', ACCESS_KEY, '--secret-key', SECRET_KEY] if sign else ['--anonymous']
        self.process = subprocess.Popen([S3LAB, '--port', '0', '--port-file', self.port_file, *keys, *arguments],
                                        stdout=subprocess.DEVNULL, stderr=open(self.port_file + '.log', 'w'))
        wait_for(lambda: self.process.poll() is not None or
                 (os.path.exists(self.port_file) and open(self.port_file).read().strip()), 's3lab listens')
        if self.process.poll() is not None:
            raise AssertionError('s3lab ended: ' + open(self.port_file + '.log').read())
        super().__init__(f'http://127.0.0.1:{open(self.port_file).read().strip()}', ACCESS_KEY, SECRET_KEY)

    def control(self, method, path, body=None):
        request = urllib.request.Request(self.endpoint + '/_s3lab/' + path, method=method,
                                         data=json.dumps(body).encode() if body is not None else None)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text.strip() else None

    def stats(self):
        return self.control('GET', 'stats')

    def gets(self):
        return self.stats()['operations']['GetObject']['requests']

    def faults(self, *rules):
        return self.control('POST', 'faults', list(rules))

    def close(self):
        end(self.process)


def end(process, patience_s=10):
    """Ends one process that this test started."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class RadosGateway(Server):
    """Ceph's radosgw on memory stores, started by tests/radosgw/start.sh."""

    def __init__(self, scratch):
        self.directory = os.path.join(scratch, 'radosgw')
        import socket
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        done = subprocess.run([os.path.join(TOP, 'tests/radosgw/start.sh'), self.directory, str(port)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180)
        if done.returncode != 0:
            raise AssertionError('radosgw did not start: ' + done.stdout[-2000:])
        values = dict(line.replace('export ', '').strip().split('=', 1)
                      for line in open(os.path.join(self.directory, 'env')) if '=' in line)
        values = {name: value.strip('\'"') for name, value in values.items()}
        super().__init__(values['AWS_ENDPOINT_URL_S3'], values['AWS_ACCESS_KEY_ID'], values['AWS_SECRET_ACCESS_KEY'])

    def close(self):
        subprocess.run([os.path.join(TOP, 'tests/radosgw/stop.sh'), self.directory], timeout=60,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Leat:
    """The leat binary with a state directory of its own."""

    def __init__(self, scratch, environment, name='state'):
        self.state = os.path.join(scratch, name)
        self.environment = {**{key: value for key, value in os.environ.items() if not key.startswith('AWS_')},
                            'LEAT_PYTHON': '/usr/bin/python3', 'NO_PROXY': '127.0.0.1', 'no_proxy': '127.0.0.1', **environment}

    def run(self, *arguments, check=True, timeout=120, state_directory=False, **more):
        command = [LEAT, *arguments, *(['--state-dir', self.state] if state_directory else [])]
        done = subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=timeout, stdin=subprocess.DEVNULL, **more)
        if check and done.returncode != 0:
            raise AssertionError(f'{" ".join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}')
        return done

    def mount(self, repository, mountpoint, *arguments, **more):
        os.makedirs(mountpoint, exist_ok=True)
        return self.run('mount', repository, mountpoint, *arguments, state_directory=True, **more)

    def unmount(self, mountpoint, *arguments, **more):
        return self.run('unmount', mountpoint, *arguments, **more)

    def status(self):
        return json.loads(self.run('status', '--json', state_directory=True).stdout)

    def file_system(self, mountpoint):
        return next(found for found in self.status()['file_systems'] if found['mountpoint'] == mountpoint)

    def daemon_pid(self):
        daemon = self.status()['daemon']
        return daemon['pid'] if daemon else None

    def imported(self, mountpoint, seconds=120):
        wait_for(lambda: self.file_system(mountpoint)['import']['state'] == 'complete', 'import completes', seconds)

    def close(self):
        with contextlib.suppress(Exception):
            for found in self.status()['file_systems']:
                if found['mountpoint']:
                    self.run('unmount', found['mountpoint'], '--force', check=False)
        with contextlib.suppress(Exception):
            pid = self.daemon_pid()
            if pid:
                os.kill(pid, signal.SIGTERM)
                wait_for(lambda: not os.path.exists(f'/proc/{pid}'), 'daemon ends', 20)
        for line in open('/proc/self/mountinfo'):
            path = line.split()[4]
            if path.startswith(os.path.dirname(self.state) + '/'):
                subprocess.run(['umount', '-l', path], check=False)


class MountTest(unittest.TestCase):
    """A scratch directory and s3lab for the class; a fresh Leat for each test."""
    server_arguments = ()

    @classmethod
    def make_server(cls):
        os.makedirs(os.path.join(cls.class_scratch, 's3'), exist_ok=True)
        return S3Lab(cls.class_scratch, '--directory', os.path.join(cls.class_scratch, 's3'), *cls.server_arguments)

    @classmethod
    def setUpClass(cls):
        if not os.path.exists('/dev/fuse'):
            raise unittest.SkipTest('no /dev/fuse here')
        cls.class_scratch = tempfile.mkdtemp(prefix='leat-test-')
        cls.server = cls.make_server()

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        shutil.rmtree(cls.class_scratch, ignore_errors=True)

    def setUp(self):
        self.scratch = tempfile.mkdtemp(prefix='leat-test-', dir=self.class_scratch)
        self.mountpoint = os.path.join(self.scratch, 'mnt')
        self.leat = Leat(self.scratch, self.server.environment)

    def tearDown(self):
        if sys.exc_info()[0] is not None or any(error for _, error in getattr(self._outcome, 'errors', []) if error):
            with contextlib.suppress(OSError):
                print('--- daemon.log\n' + open(os.path.join(self.leat.state, 'daemon.log')).read()[-3000:])
        self.leat.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


def random_bytes(seed, size):
    import random
    return random.Random(seed).randbytes(size)
