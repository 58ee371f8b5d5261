#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Correct at size: 1,000,000 keys, usable at once and whole soon; a sparse 100 GB object reads right at random offsets."""
import os
import random
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import MountTest, S3LAB, S3Lab  # noqa: E402

COUNT, SIZE, SEED = 1_000_000, 3000, 7
HUGE = 100 << 30


def synthetic(key, offset, length, seed=SEED):
    return subprocess.run([S3LAB, '--print-synthetic', key, str(offset), str(length), '--seed', str(seed)],
                          check=True, stdout=subprocess.PIPE).stdout


class Scale(MountTest):
    @classmethod
    def make_server(cls):
        return S3Lab(cls.class_scratch, '--synthetic', f'million=count={COUNT},size={SIZE},layout=flat,prefix=data/,seed={SEED}',
                     '--synthetic', f'nested=count={COUNT},size={SIZE},layout=nested:1000,prefix=data/,seed={SEED}',
                     '--synthetic', f'huge=object=huge.bin,size=100G,seed={SEED}')

    def some_keys(self, bucket):
        page = self.server.client.list_objects_v2(Bucket=bucket, StartAfter='data/', MaxKeys=3)
        keys = [entry['Key'] for entry in page['Contents']]
        return keys

    def first_byte_and_import(self, bucket):
        keys = self.some_keys(bucket)
        began = time.monotonic()
        self.leat.mount(f's3://{bucket}', self.mountpoint)
        with open(os.path.join(self.mountpoint, keys[1]), 'rb') as file:
            self.assertEqual(file.read(), synthetic(keys[1], 0, SIZE))
        first_byte_s = time.monotonic() - began
        self.leat.imported(self.mountpoint, 300)
        import_s = time.monotonic() - began
        status = self.leat.status()
        found = self.leat.file_system(self.mountpoint)
        self.assertEqual(found['files'], COUNT)
        print(f'    {bucket}: mount to first byte {first_byte_s:.2f} s, import of {COUNT} objects {import_s:.1f} s, '
              f'daemon {status["daemon"]["memory_bytes"] / 1e6:.0f} MB resident')

    def test_a_million_keys_in_one_directory(self):
        self.first_byte_and_import('million')
        began = time.monotonic()
        names = os.listdir(os.path.join(self.mountpoint, 'data'))
        self.assertEqual(len(names), COUNT)
        self.assertEqual(len(set(names)), COUNT)
        print(f'    listdir of {COUNT} names {time.monotonic() - began:.1f} s')
        for name in random.Random(3).sample(names, 40):
            with open(os.path.join(self.mountpoint, 'data', name), 'rb') as file:
                self.assertEqual(file.read(), synthetic('data/' + name, 0, SIZE))
        self.leat.unmount(self.mountpoint)
        began = time.monotonic()
        self.leat.mount('s3://million', self.mountpoint)
        with open(os.path.join(self.mountpoint, 'data', names[5]), 'rb') as file:
            self.assertEqual(file.read(), synthetic('data/' + names[5], 0, SIZE))
        print(f'    second mount to first byte {time.monotonic() - began:.2f} s')
        self.assertEqual(self.leat.file_system(self.mountpoint)['files'], COUNT)

    def test_a_million_keys_in_a_thousand_directories(self):
        self.first_byte_and_import('nested')
        done = subprocess.run(f'find {self.mountpoint} -type f | wc -l', shell=True, check=True, stdout=subprocess.PIPE, text=True)
        self.assertEqual(int(done.stdout), COUNT)

    def test_a_sparse_object_of_100_gb(self):
        self.leat.mount('s3://huge', self.mountpoint, '--capacity', '2G')
        path = os.path.join(self.mountpoint, 'huge.bin')
        self.assertEqual(os.stat(path).st_size, HUGE)
        chosen = random.Random(5)
        with open(path, 'rb', buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            for offset in [0, HUGE - 4000, (1 << 32) - 10] + [chosen.randrange(HUGE) for _ in range(30)]:
                length = chosen.randrange(1, 200_000)
                self.assertEqual(os.pread(file.fileno(), length, offset), synthetic('huge.bin', offset, min(length, HUGE - offset)))
        used = self.leat.status()['capacity']['used_bytes']
        self.assertLess(used, 400 << 20)


if __name__ == '__main__':
    unittest.main(verbosity=2)
