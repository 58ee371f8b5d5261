#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every error of `leat mount` and of a read: one line that names the cause and the remedy, a non-zero exit, nothing left mounted
or running; a fault of S3 during a read gives the right errno and never ends the mount."""
import errno
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import LEAT, MountTest, wait_for  # noqa: E402


class Errors(MountTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.bucket('errors-test')
        for index in range(20):
            cls.server.put('errors-test', f'd/{index}', bytes([index]) * 50_000)

    def setUp(self):
        super().setUp()
        self.server.control('DELETE', 'faults')

    def refused(self, *arguments, says, environment=None, timeout=60):
        saved = self.leat.environment
        self.leat.environment = {**saved, **(environment or {})}
        try:
            done = self.leat.run('mount', *arguments, state_directory=True, check=False, timeout=timeout)
        finally:
            self.leat.environment = saved
        shown = done.stderr.strip()
        print('   ', shown)
        self.assertNotEqual(done.returncode, 0, shown)
        self.assertEqual(len(shown.splitlines()), 1, shown)
        self.assertTrue(shown.startswith('leat mount: '), shown)
        for text in says:
            self.assertIn(text.lower(), shown.lower())
        self.assertFalse(os.path.ismount(self.mountpoint))
        wait_for(lambda: self.leat.daemon_pid() is None, 'the daemon has gone', 30)

    def test_wrong_bucket(self):
        os.makedirs(self.mountpoint)
        self.refused('s3://no-such-bucket', self.mountpoint, says=['no-such-bucket', 'does not exist'])

    def test_wrong_repository_url(self):
        os.makedirs(self.mountpoint)
        self.refused('http://x/y', self.mountpoint, says=['s3://'])

    def test_wrong_secret_and_unknown_key(self):
        os.makedirs(self.mountpoint)
        self.refused('s3://errors-test', self.mountpoint, says=['secret'], environment={'AWS_SECRET_ACCESS_KEY': 'wrong'})
        self.refused('s3://errors-test', self.mountpoint, says=['key'], environment={'AWS_ACCESS_KEY_ID': 'AKIAWRONG'})

    def test_no_credentials(self):
        os.makedirs(self.mountpoint)
        self.refused('s3://errors-test', self.mountpoint, says=['credentials', '--no-sign-request'],
                     environment={'AWS_ACCESS_KEY_ID': '', 'AWS_SECRET_ACCESS_KEY': '', 'HOME': self.scratch})

    def test_denied(self):
        os.makedirs(self.mountpoint)
        self.refused('s3://errors-test', self.mountpoint, '--no-sign-request', says=['denied'])

    def test_unreachable_endpoint(self):
        os.makedirs(self.mountpoint)
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        self.refused('s3://errors-test', self.mountpoint, '--endpoint-url', f'http://127.0.0.1:{port}', says=[f'127.0.0.1:{port}'])

    def test_wrong_region_is_followed(self):
        self.leat.mount('s3://errors-test', self.mountpoint, '--region', 'eu-north-1')
        self.assertEqual(open(os.path.join(self.mountpoint, 'd/3'), 'rb').read(), b'\3' * 50_000)

    def test_mountpoint_missing_or_a_file(self):
        self.refused('s3://errors-test', self.mountpoint, says=[self.mountpoint, 'mkdir'])
        open(self.mountpoint, 'w').close()
        self.refused('s3://errors-test', self.mountpoint, says=[self.mountpoint, 'not a directory'])

    def test_mountpoint_busy_or_already_leat(self):
        os.makedirs(self.mountpoint)
        subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', self.mountpoint], check=True)
        try:
            done = self.leat.run('mount', 's3://errors-test', self.mountpoint, state_directory=True, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn('mounted', done.stderr)
            print('   ', done.stderr.strip())
        finally:
            subprocess.run(['umount', self.mountpoint], check=True)
        self.leat.mount('s3://errors-test', self.mountpoint)
        done = self.leat.run('mount', 's3://errors-test', self.mountpoint, state_directory=True, check=False)
        self.assertIn('mounted already', done.stderr)
        print('   ', done.stderr.strip())
        self.assertTrue(os.path.ismount(self.mountpoint))

    def test_capacity_larger_than_the_disk(self):
        os.makedirs(self.mountpoint)
        self.refused('s3://errors-test', self.mountpoint, '--capacity', '900P', says=['capacity', 'disk'])
        self.refused('s3://errors-test', self.mountpoint, '--capacity', 'lots', says=['lots'])

    def test_state_directory_locked_by_a_process_that_does_not_answer(self):
        self.leat.mount('s3://errors-test', self.mountpoint)
        pid = self.leat.daemon_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            other = self.mountpoint + '-2'
            os.makedirs(other)
            done = self.leat.run('mount', 's3://errors-test', other, state_directory=True, check=False, timeout=60)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(str(pid), done.stderr)
            print('   ', done.stderr.strip())
        finally:
            os.kill(pid, signal.SIGCONT)

    def test_no_dev_fuse(self):
        os.makedirs(self.mountpoint)
        script = f'mount -t tmpfs tmpfs /dev && mknod /dev/null c 1 3 && exec "$@"'
        done = subprocess.run(['unshare', '--mount', 'sh', '-c', script, 'sh', LEAT, 'mount', 's3://errors-test', self.mountpoint,
                               '--state-dir', self.leat.state], env=self.leat.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60, stdin=subprocess.DEVNULL)
        print('   ', done.stderr.strip())
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('/dev/fuse', done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1)

    def test_usage_errors(self):
        for arguments in [['mount'], ['mount', 's3://b'], ['nonsense'], ['restore'], ['mount', 's3://b', '/x', '--nonsense']]:
            done = self.leat.run(*arguments, check=False)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertTrue(done.stderr.strip(), arguments)
        self.assertIn('not on a Leat file system', self.leat.run('state', '/etc/passwd', check=False).stderr)
        verbs = self.verbs()
        self.assertLessEqual({'mount', 'train', 'tune', 'suggest'}, set(verbs))
        for command in [[], *([verb] for verb in verbs), *(['jobs', verb] for verb in self.verbs('jobs')),
                        *(['tunings', verb] for verb in self.verbs('tunings'))]:
            help_text = self.leat.run(*command, '--help').stdout
            self.assertIn('xample', help_text, command)
            self.assertLessEqual(max(map(len, help_text.splitlines())), 80, command)

    def verbs(self, *of):
        """Those that the help names below its heading of them."""
        listed = re.split(r'(?i)^(?:subcommands|verbs|commands):?$', self.leat.run(*of, '--help').stdout, flags=re.M)[1]
        return re.findall(r'^  ([a-z]+)  ', listed, re.M)

    def fails(self, *arguments, says, code=1):
        done = self.leat.run(*arguments, check=False)
        print('   ', done.stderr.strip())
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn(says, done.stderr)

    def test_a_daemon_that_was_killed(self):
        self.leat.mount('s3://errors-test', self.mountpoint)
        pid = self.leat.daemon_pid()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not os.path.exists(f'/proc/{pid}'), 'the daemon has gone')
        says = f'its daemon is gone: leat unmount {self.mountpoint}, or leat mount again'
        for verb in ['state', 'restore', 'release', 'import']:
            self.fails(verb, os.path.join(self.mountpoint, 'd'), says=says)
        self.fails('status', self.mountpoint, says=says)
        shown = self.leat.run('status', state_directory=True).stdout
        self.assertIn(f'{self.mountpoint} is dead', shown)
        self.assertEqual([dead['mountpoint'] for dead in self.leat.status()['dead_mounts']], [self.mountpoint])
        self.leat.unmount(self.mountpoint)
        self.assertFalse(os.path.ismount(self.mountpoint))
        self.assertEqual(self.leat.status()['dead_mounts'], [])

    def test_restoring_in_the_background_what_is_not_there(self):
        self.leat.mount('s3://errors-test', self.mountpoint)
        self.fails('restore', os.path.join(self.mountpoint, 'd/none'), says='d/none')
        done = self.leat.run('restore', os.path.join(self.mountpoint, 'd/1'))
        self.assertEqual(done.stdout, 'restoring 1 path in the background; leat status shows it\n')

    def test_a_plan_names_its_mount(self):
        self.leat.mount('s3://errors-test', self.mountpoint)
        plan = os.path.join(self.scratch, 'plan')
        with open(plan, 'w') as file:
            file.write(f'{self.mountpoint}/d/2\nd/1\n')
        self.assertIn('restored 2 files', self.leat.run('restore', '--plan', plan, '--wait').stdout)
        self.fails('restore', self.mountpoint, self.mountpoint, '--plan', plan, says='one PATH', code=2)
        with open(plan, 'w') as file:
            file.write('d/1\n')
        self.fails('restore', '--plan', plan, says='is not absolute; say which mount', code=2)

    def test_a_mistyped_prefix_is_noted(self):
        done = self.leat.mount('s3://errors-test/typo/', self.mountpoint)
        self.assertIn('nothing lies below s3://errors-test/typo/: check the prefix', done.stderr)
        done = self.leat.mount('s3://errors-test/d/', self.mountpoint + '-2')
        self.assertEqual(done.stderr, '')

    def test_names_that_are_no_utf8(self):
        source = os.path.join(self.scratch, 'source')
        os.makedirs(source)
        with open(os.path.join(os.fsencode(source), b'a\xffb'), 'wb') as file:
            file.write(b'x' * 5000)
        self.leat.mount('file://' + source, self.mountpoint)
        name, = os.listdir(os.fsencode(self.mountpoint))
        path = os.path.join(os.fsencode(self.mountpoint), name)
        for arguments in [['restore', '--wait'], ['state'], ['release']]:
            command = [LEAT, arguments[0], path, *arguments[1:]]
            done = subprocess.run(command, env=self.leat.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, b''), arguments)

    def test_a_mount_that_fails_late_leaves_one_file_system_behind(self):
        self.leat.mount('s3://errors-test', self.mountpoint)  # keeps the daemon, which then has no descriptors to spare
        pid = self.leat.daemon_pid()
        source, other = os.path.join(self.scratch, 'source'), self.mountpoint + '-2'
        os.makedirs(source)
        os.makedirs(other)
        file_systems = os.path.join(self.leat.state, 'file-systems')
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = {int(name) for name in os.listdir(f'/proc/{pid}/fd')}
        free = [number for number in range(4096) if number not in used]
        reached = False
        # Fewest first: with enough to remember the file system and too few for its catalog, the mount fails late.
        for spare in range(2, 30):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[spare], limits[1]))
            try:
                done = self.leat.run('mount', 'file://' + source, other, state_directory=True, check=False)
            finally:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            self.assertNotEqual(done.returncode, 0)
            reached = len(os.listdir(file_systems)) == 2
            if reached:
                break
        self.assertTrue(reached, 'it fails after its settings are saved')
        print('   ', done.stderr.strip())
        self.leat.mount('file://' + source, other)
        self.assertEqual(len(os.listdir(file_systems)), 2)

    def test_another_users_daemon(self):
        os.chmod(self.class_scratch, 0o755)
        os.chmod(self.scratch, 0o755)
        leat = os.path.join(self.scratch, 'leat')  # where anybody may run it
        shutil.copy(LEAT, leat)
        os.chmod(leat, 0o755)
        self.leat.mount('s3://errors-test', self.mountpoint, '--allow-other')
        done = subprocess.run([leat, 'state', os.path.join(self.mountpoint, 'd/1')], env={'PATH': '/usr/bin:/bin'}, user=65534, group=65534,
                              extra_groups=[], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, cwd='/')
        print('   ', done.stderr.strip())
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("served by another user's daemon", done.stderr)

    def test_errors_of_s3_during_a_read_leave_the_mount_alive(self):
        self.leat.mount('s3://errors-test', self.mountpoint)
        path = os.path.join(self.mountpoint, 'd/5')
        os.stat(path)
        self.server.faults({'match': {'operation': 'GetObject', 'key': 'd/5'}, 'count': 1000, 'action': {'deny': True}})
        with self.assertRaises(OSError) as caught:
            open(path, 'rb').read()
        self.assertEqual(caught.exception.errno, errno.EACCES)
        self.assertEqual(open(os.path.join(self.mountpoint, 'd/6'), 'rb').read(), b'\6' * 50_000)
        self.server.control('DELETE', 'faults')
        self.assertEqual(open(path, 'rb').read(), b'\5' * 50_000)

    def test_transient_faults_are_not_seen_by_a_reader(self):
        actions = [{'status': 503, 'code': 'SlowDown'}, {'status': 500, 'code': 'InternalError'}, {'reset': True},
                   {'reset_mid_body': 20_000}, {'short_body': 20_000}, {'wrong_content_range': True}, {'stall': {'bytes': 10, 'ms': 300}}]
        for index, action in enumerate(actions):
            # A bucket of one object: nothing is fetched ahead, so the fault meets the read.
            bucket = self.server.bucket(f'fault-{index}')
            self.server.put(bucket, 'f', b'7' * 50_000)
            mountpoint = f'{self.mountpoint}-{index}'
            self.leat.mount(f's3://{bucket}', mountpoint)
            self.server.control('DELETE', 'faults')
            self.server.faults({'match': {'operation': 'GetObject', 'bucket': bucket}, 'count': 1, 'action': action})
            with self.subTest(action=action):
                with open(os.path.join(mountpoint, 'f'), 'rb') as file:
                    self.assertEqual(file.read(), b'7' * 50_000)
                fired = self.server.control('GET', 'faults')
                self.assertEqual([rule['fired'] for rule in fired['rules']], [1], 'the fault was reached')

    def test_interrupting_a_stalled_read(self):
        self.leat.mount('s3://errors-test', self.mountpoint)
        os.stat(os.path.join(self.mountpoint, 'd/7'))
        self.server.faults({'match': {'operation': 'GetObject', 'key': 'd/7'}, 'count': 100, 'action': {'stall': {'bytes': 0, 'ms': 60_000}}})
        reader = subprocess.Popen(['cat', os.path.join(self.mountpoint, 'd/7')], stdout=subprocess.DEVNULL)
        time.sleep(1)
        reader.send_signal(signal.SIGINT)
        self.assertNotEqual(reader.wait(timeout=10), 0)


if __name__ == '__main__':
    unittest.main(verbosity=2)
