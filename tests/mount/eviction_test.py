#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One capacity for all file systems of a state directory: what is idle (unmounted) leaves first; a full cache pins what it has
and reads the rest through, each object once however small the kernel's reads are; every byte stays right and the limit holds."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import MountTest, random_bytes  # noqa: E402

CAPACITY = 24 << 20


class Eviction(MountTest):
    def read_all(self, mountpoint, contents):
        for key, body in contents.items():
            with open(os.path.join(mountpoint, key), 'rb') as file:
                self.assertEqual(file.read(), body, key)

    def fill(self, bucket, megabytes):
        self.server.bucket(bucket)
        contents = {f'{index:03d}': random_bytes(f'{bucket}{index}', 500_000) for index in range(megabytes * 2)}
        for key, body in contents.items():
            self.server.put(bucket, key, body)
        return contents

    def test_an_unmounted_data_set_makes_room_for_another(self):
        old, new = self.fill('evict-old', 15), self.fill('evict-new', 15)
        other = self.mountpoint + '-keeps-the-daemon'
        self.server.bucket('evict-keeper')
        self.server.put('evict-keeper', 'f', b'kept')
        self.leat.mount('s3://evict-keeper', other, '--capacity', str(CAPACITY))
        self.leat.mount('s3://evict-old', self.mountpoint)
        self.leat.run('restore', self.mountpoint, '--wait')
        self.read_all(self.mountpoint, old)
        self.leat.unmount(self.mountpoint)
        self.leat.mount('s3://evict-new', self.mountpoint)
        self.leat.run('restore', self.mountpoint, '--wait')
        self.read_all(self.mountpoint, new)
        found = self.leat.file_system(self.mountpoint)
        self.assertEqual(found['restored']['files'], len(new), 'the idle data set made room for all of the new one')
        self.assertLessEqual(self.leat.status()['capacity']['used_bytes'], CAPACITY)

    def second_pass_gets(self, bucket, contents, read_ahead_kib):
        self.leat.mount(f's3://{bucket}', self.mountpoint, '--capacity', str(CAPACITY))
        device = next(line.split()[2] for line in open('/proc/self/mountinfo') if line.split()[4] == self.mountpoint)
        with open(f'/sys/class/bdi/{device}/read_ahead_kb', 'w') as file:
            file.write(str(read_ahead_kib))
        self.read_all(self.mountpoint, contents)
        self.assertLessEqual(self.leat.status()['capacity']['used_bytes'], CAPACITY)
        with open('/proc/sys/vm/drop_caches', 'w') as file:
            file.write('1')
        before = self.leat.file_system(self.mountpoint)['requests']['s3.get']
        self.read_all(self.mountpoint, contents)
        return self.leat.file_system(self.mountpoint)['requests']['s3.get'] - before

    def test_a_data_set_larger_than_the_cache_is_pinned_and_read_through(self):
        contents = self.fill('evict-large', 40)
        kept = int(0.9 * CAPACITY / 503_808)  # at least 0.9 of the capacity's share is read without S3
        gets = self.second_pass_gets('evict-large', contents, read_ahead_kib=4096)
        self.assertLessEqual(gets, len(contents) - kept)
        self.assertGreater(gets, 0)

    def test_reads_in_pieces_fetch_an_object_once(self):
        contents = self.fill('evict-pieces', 40)
        kept = int(0.9 * CAPACITY / 503_808)
        gets = self.second_pass_gets('evict-pieces', contents, read_ahead_kib=128)  # four reads a file
        self.assertLessEqual(gets, len(contents) - kept)
        self.assertGreater(gets, 0)


if __name__ == '__main__':
    unittest.main(verbosity=2)
