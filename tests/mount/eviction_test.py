#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One capacity for all file systems of a state directory: what is idle (unmounted) leaves first; every byte
stays right and the limit holds."""
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


if __name__ == '__main__':
    unittest.main(verbosity=2)
