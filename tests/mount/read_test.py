#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The read side on a real mount: every byte, every way of reading, attributes, links, xattrs; on s3lab and on Ceph's radosgw,
uploaded with boto3 and with the AWS command line as independent clients."""
import mmap
import os
import random
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import MountTest, RadosGateway, random_bytes  # noqa: E402

SIZES = [0, 1, 4095, 4096, 4097, 65536, 65537, 110_000, 323_000, 1 << 20, (1 << 20) + 1, (8 << 20) - 1, 8 << 20, (8 << 20) + 1,
         (20 << 20) + 12_345]


class ReadOnS3Lab(MountTest):
    bucket_name = 'read-test'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.bucket(cls.bucket_name)
        cls.contents = {f'data/{index % 3}/file-{size}': random_bytes(size, size) for index, size in enumerate(SIZES)}
        for key, body in cls.contents.items():
            cls.server.put(cls.bucket_name, key, body)
        for index in range(300):
            key = f'small/class-{index % 7}/{index:04d}.bin'
            cls.contents[key] = random_bytes(index, 1000 + index)
            cls.server.put(cls.bucket_name, key, cls.contents[key])

    def mount(self):
        self.leat.mount(f's3://{self.bucket_name}', self.mountpoint)

    def path(self, key):
        return os.path.join(self.mountpoint, key)

    def test_every_byte_by_every_way_of_reading(self):
        self.mount()
        found = {os.path.relpath(os.path.join(folder, name), self.mountpoint)
                 for folder, _, names in os.walk(self.mountpoint) for name in names}
        self.assertEqual(found, set(self.contents))
        for key, body in self.contents.items():
            with open(self.path(key), 'rb') as file:
                self.assertEqual(file.read(), body, key)
            self.assertEqual(os.stat(self.path(key)).st_size, len(body))
            if body:
                with open(self.path(key), 'rb') as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                    self.assertEqual(mapped[:], body, key)
        chosen = random.Random(1)
        for key in [f'data/{index % 3}/file-{size}' for index, size in enumerate(SIZES) if size > 100_000]:
            body = self.contents[key]
            descriptor = os.open(self.path(key), os.O_RDONLY | os.O_DIRECT)
            try:
                for _ in range(10):
                    offset = chosen.randrange(len(body) // 4096) * 4096
                    buffer = mmap.mmap(-1, 65536)
                    got = os.preadv(descriptor, [buffer], offset)
                    self.assertEqual(buffer[:got], body[offset:offset + got], (key, offset))
            finally:
                os.close(descriptor)

    def test_random_reads_of_a_cold_large_file_fetch_only_what_they_touch(self):
        self.mount()
        key = f'data/{(len(SIZES) - 1) % 3}/file-{SIZES[-1]}'
        body, chosen = self.contents[key], random.Random(2)
        with open(self.path(key), 'rb', buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            for offset in [17, 15 << 20, (20 << 20) + 12_000]:
                self.assertEqual(os.pread(file.fileno(), 5000, offset), body[offset:offset + 5000])
        received = self.leat.file_system(self.mountpoint)['s3']['bytes_received']
        self.assertLess(received, 8 << 20)
        with open(self.path(key), 'rb', buffering=0) as file:
            for _ in range(50):
                offset = chosen.randrange(len(body))
                length = chosen.randrange(1, 300_000)
                self.assertEqual(os.pread(file.fileno(), length, offset), body[offset:offset + length])

    def test_second_mount_reads_from_the_cache_and_survives_kill(self):
        self.mount()
        for key, body in self.contents.items():
            with open(self.path(key), 'rb') as file:
                self.assertEqual(file.read(), body)
        self.leat.imported(self.mountpoint)
        identity = self.leat.file_system(self.mountpoint)['id']
        for kill in [False, True]:
            if kill:
                pid = self.leat.daemon_pid()
                os.kill(pid, 9)
            else:
                self.leat.unmount(self.mountpoint)
            self.mount()  # a dead mount point is cleaned up, not refused
            for key, body in self.contents.items():
                with open(self.path(key), 'rb') as file:
                    self.assertEqual(file.read(), body, key)
            status = self.leat.file_system(self.mountpoint)
            self.assertEqual(status['requests']['s3.get'], 0, f'after {"kill -9" if kill else "unmount"}')
            self.assertEqual(status['id'], identity)

    def test_attributes_and_xattrs(self):
        self.mount()
        key = 'data/0/file-0'
        info = os.stat(self.path(key))
        self.assertEqual(info.st_mode & 0o777, 0o644)
        self.assertEqual(os.stat(self.path('data')).st_mode & 0o777, 0o755)
        head = self.server.client.head_object(Bucket=self.bucket_name, Key=key)
        self.assertEqual(int(info.st_mtime), int(head['LastModified'].timestamp()))
        self.assertEqual(os.getxattr(self.path(key), 'user.leat.key').decode(), key)
        self.assertEqual(os.getxattr(self.path(key), 'user.leat.etag').decode().strip('"'), head['ETag'].strip('"'))
        self.assertIn('user.leat.state', os.listxattr(self.path(key)))
        with self.assertRaises(OSError):
            os.getxattr(self.path(key), 'security.selinux')
        self.assertGreater(os.statvfs(self.mountpoint).f_blocks, 0)

    def test_nothing_can_be_written(self):
        self.mount()
        for action in [lambda: open(self.path('new'), 'w'), lambda: open(self.path('data/0/file-0'), 'ab'),
                       lambda: os.unlink(self.path('data/0/file-0')), lambda: os.mkdir(self.path('d')),
                       lambda: os.rename(self.path('data'), self.path('data2'))]:
            with self.assertRaises(OSError) as caught:
                action()
            self.assertEqual(caught.exception.errno, 30)  # EROFS

    def test_posix_metadata_symlinks_and_user_xattrs(self):
        bucket = self.bucket_name
        self.server.put(bucket, 'posix/script', b'#!/bin/sh\necho hello\n', Metadata={
            'file-permissions': '0100750', 'file-owner': '1234', 'file-group': '2345', 'file-mtime': '1595002920000000000ns',
            'colour': 'teal'})
        self.server.put(bucket, 'posix/link', b'script', Metadata={'file-permissions': '0120777'})
        try:
            self.mount()
            self.leat.run('import', self.path('posix'), '--posix')
            info = os.stat(self.path('posix/script'))
            self.assertEqual((info.st_mode & 0o7777, info.st_uid, info.st_gid, info.st_mtime_ns),
                             (0o750, 1234, 2345, 1595002920000000000))
            self.assertEqual(os.readlink(self.path('posix/link')), 'script')
            self.assertEqual(open(self.path('posix/link')).read(), '#!/bin/sh\necho hello\n')
            self.assertEqual(os.getxattr(self.path('posix/script'), 'user.colour'), b'teal')
        finally:
            for key in ['posix/script', 'posix/link']:
                self.server.remove(bucket, key)

    def test_readdir_offsets_are_stable(self):
        self.mount()
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'seekdir.py')
        subprocess.run([sys.executable, script, self.path('small/class-0')], check=True, timeout=60)

    def test_restore_release_state(self):
        self.mount()
        path = self.path('small')
        done = self.leat.run('restore', path, '--wait')
        self.assertIn('300', done.stdout + done.stderr)
        one = self.path('small/class-0/0000.bin')
        self.assertEqual(self.leat.run('state', one).stdout.strip(),
                         f'{one}: (0x00000009) exists archived, archive_id:1, 100 % restored')
        gets = self.leat.file_system(self.mountpoint)['requests']['s3.get']
        for key in [key for key in self.contents if key.startswith('small/')]:
            with open(self.path(key), 'rb') as file:
                self.assertEqual(file.read(), self.contents[key])
        self.assertEqual(self.leat.file_system(self.mountpoint)['requests']['s3.get'], gets)
        self.leat.run('release', path)
        self.assertEqual(self.leat.run('state', one).stdout.strip(),
                         f'{one}: (0x0000000d) released exists archived, archive_id:1, 0 % restored')
        with open(one, 'rb') as file:
            self.assertEqual(file.read(), self.contents['small/class-0/0000.bin'])
        self.assertGreater(self.leat.file_system(self.mountpoint)['requests']['s3.get'], gets)
        missing = self.leat.run('state', self.path('nothing'), one, check=False)
        self.assertNotEqual(missing.returncode, 0)
        self.assertIn('No such file or directory', missing.stderr)
        self.assertIn(one, missing.stdout)

    def test_a_warm_epoch_asks_the_daemon_nothing(self):
        self.mount()
        paths = [self.path(key) for key in self.contents if key.startswith('small/')]
        reader = ['sh', '-c', 'for round in 1 2 3; do cat "$@" >/dev/null; done', 'sh', *paths]
        subprocess.run(reader, check=True)
        before = self.leat.file_system(self.mountpoint)['kernel_requests']
        subprocess.run(reader, check=True)
        after = self.leat.file_system(self.mountpoint)['kernel_requests']
        self.assertLess(after - before, 20, 'kernel requests during 900 warm opens and reads')


class ReadOnRadosGateway(ReadOnS3Lab):
    @classmethod
    def make_server(cls):
        return RadosGateway(cls.class_scratch)

    def test_uploaded_by_the_aws_command_line(self):
        tree = os.path.join(self.scratch, 'tree')
        expected = {}
        for index in range(40):
            name = f'd{index % 4}/näme {index} +%&=.bin'
            expected[name] = random_bytes(index, 3000 * index)
            os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
            with open(os.path.join(tree, name), 'wb') as file:
                file.write(expected[name])
        with open(os.path.join(tree, 'multipart.bin'), 'wb') as file:
            expected['multipart.bin'] = random_bytes(99, 18 << 20)
            file.write(expected['multipart.bin'])
        self.server.bucket('from-aws-cli')
        subprocess.run(['/usr/bin/aws', '--endpoint-url', self.server.endpoint, 's3', 'cp', '--recursive', '--only-show-errors',
                        tree, 's3://from-aws-cli/up/'], check=True, timeout=120,
                       env={**self.leat.environment, 'AWS_DEFAULT_REGION': 'us-east-1'})
        self.leat.mount('s3://from-aws-cli/up', self.mountpoint)
        done = subprocess.run(['diff', '-r', tree, self.mountpoint], stdout=subprocess.PIPE, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ''))


if __name__ == '__main__':
    unittest.main(verbosity=2)
