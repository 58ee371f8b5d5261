#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The read-only semantics against a reference model: a second client changes the bucket at random (adds, replaces, removes, odd
keys among them); after `leat import` the mount must show exactly the model's tree, with the right bytes, also after a restart."""
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import MountTest  # noqa: E402
from key_model import decode_path, tree_of  # noqa: E402

ODD_KEYS = ['a//b', '/leading', 'trailing//', 'a/./b', 'a/../b', '..', '.', 'x', 'x/y', 'x/y/z', 'dir/', 'dir/child', 'body/',
            '@leat-object', '@leat-enc-x', 'p/@leat-dot', 'n' * 255, 'n' * 256, 'é' * 200 + '/below', 'long/' + 'm' * 700 + '/tail',
            'new\nline', 'tab\there', 'quote"\'', 'percent%41', 'plus+space &', 'ünïcödé', '日本語/ファイル', 'back\\slash', '\x01\x1f',
            '*?[a]', '-rf', ' lead and trail ', 'a' * 1024]


def walk(mountpoint):
    files, directories = {}, set()
    stack = [b'']
    top = os.open(mountpoint, os.O_RDONLY)
    try:
        while stack:
            path = stack.pop()
            for entry in os.scandir(os.path.join(os.fsencode(mountpoint), path)):
                below = path + b'/' + entry.name if path else entry.name
                if entry.is_dir(follow_symlinks=False):
                    directories.add(below)
                    stack.append(below)
                else:
                    with open(entry.path, 'rb') as file:
                        files[below] = file.read()
    finally:
        os.close(top)
    return files, directories


class ReadOnlyModel(MountTest):
    def check(self, objects):
        files, directories = walk(self.mountpoint)
        wanted_files, wanted_directories, chunked = tree_of(objects)
        found_chunked = {decode_path(path): body for path, body in files.items() if b'@leat-part-' in path}
        self.assertEqual(found_chunked, chunked)
        plain = {path: body for path, body in files.items() if b'@leat-part-' not in path}
        self.assertEqual(sorted(plain), sorted(wanted_files))
        self.assertEqual(plain, wanted_files)
        self.assertEqual({path for path in directories if b'@leat-part-' not in path}, wanted_directories)
        for path in files:
            if len(path) < 3500:
                key = os.getxattr(os.path.join(os.fsencode(self.mountpoint), path), 'user.leat.key')
                self.assertEqual(key, decode_path(path))

    def test_odd_keys_each_have_a_name_and_lose_no_byte(self):
        bucket = self.server.bucket('odd-keys')
        objects = {}
        for index, key in enumerate(ODD_KEYS):
            body = b'' if key == 'dir/' else f'body of {index}'.encode()
            self.server.put(bucket, key, body)
            objects[key.encode()] = body
        self.leat.mount(f's3://{bucket}', self.mountpoint)
        self.check(objects)
        self.leat.imported(self.mountpoint)
        self.check(objects)
        self.leat.unmount(self.mountpoint)
        self.leat.mount(f's3://{bucket}', self.mountpoint)
        self.check(objects)

    def test_random_changes_by_a_second_client(self):
        seed = int(os.environ.get('LEAT_TEST_SEED', '1'))
        chosen = random.Random(seed)
        bucket = self.server.bucket(f'random-{seed}')
        names = ['a', 'b', 'c', 'x', 'y', '@leat-object', '..', '', 'long' * 70, 'ü']
        objects = {}

        def change(count):
            for _ in range(count):
                if objects and chosen.random() < 0.35:
                    key = chosen.choice(sorted(objects))
                    del objects[key]
                    self.server.remove(bucket, key.decode())
                    continue
                if objects and chosen.random() < 0.3:
                    key = chosen.choice(sorted(objects))
                else:
                    key = '/'.join(chosen.choice(names) for _ in range(chosen.randrange(1, 4))).encode()
                    if chosen.random() < 0.2:
                        key += b'/'
                    if key in (b'', b'.', b'..'):
                        continue
                objects[key] = chosen.randbytes(chosen.choice([0, 3, 200, 70_000]))
                self.server.put(bucket, key.decode(), objects[key])

        change(40)
        self.leat.mount(f's3://{bucket}', self.mountpoint)
        self.check(objects)
        for round_number in range(8):
            change(12)
            self.leat.run('import', self.mountpoint)
            with self.subTest(seed=seed, round=round_number):
                self.check(objects)
        change(20)
        self.leat.unmount(self.mountpoint)
        self.leat.mount(f's3://{bucket}', self.mountpoint)
        self.leat.run('import', self.mountpoint)
        self.check(objects)

    def test_a_replaced_object_is_a_new_inode_and_never_a_mix(self):
        bucket = self.server.bucket('replaced')
        old, new = b'o' * (3 << 20), b'n' * (3 << 20)
        self.server.put(bucket, 'f', old)
        self.server.put(bucket, 'big', b'O' * (12 << 20))
        self.leat.mount(f's3://{bucket}', self.mountpoint)
        path, big = os.path.join(self.mountpoint, 'f'), os.path.join(self.mountpoint, 'big')
        with open(path, 'rb', buffering=0) as file, open(big, 'rb', buffering=0) as large:
            os.posix_fadvise(large.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            self.assertEqual(os.pread(file.fileno(), 100, 0), old[:100])
            self.assertEqual(os.pread(large.fileno(), 100, 0), b'O' * 100)
            inode = os.stat(path).st_ino
            self.server.put(bucket, 'f', new)
            self.server.put(bucket, 'big', b'N' * (12 << 20))
            with self.assertRaises(OSError) as caught:  # not cached: ESTALE, and an immediate reopen sees the new version
                os.pread(large.fileno(), 100, 9 << 20)
            self.assertEqual(caught.exception.errno, 116)
            with open(big, 'rb', buffering=0) as again:
                self.assertEqual(os.pread(again.fileno(), 100, 9 << 20), b'N' * 100)
            self.leat.run('import', self.mountpoint)
            self.assertNotEqual(os.stat(path).st_ino, inode)
            self.assertEqual(open(path, 'rb').read(), new)
            self.assertEqual(set(os.pread(file.fileno(), 1 << 20, 1 << 20)), {ord('o')})  # the old inode: old bytes only

    def test_a_removed_object_is_gone_after_a_read_that_finds_out(self):
        bucket = self.server.bucket('removed')
        self.server.put(bucket, 'd/f', b'1' * 100_000)
        self.server.put(bucket, 'd/g', b'2')
        self.leat.mount(f's3://{bucket}', self.mountpoint)
        path = os.path.join(self.mountpoint, 'd/f')
        os.stat(path)
        self.server.remove(bucket, 'd/f')
        with self.assertRaises(OSError):
            open(path, 'rb').read()
        self.assertFalse(os.path.exists(path))
        self.assertEqual(os.listdir(os.path.dirname(path)), ['g'])


if __name__ == '__main__':
    unittest.main(verbosity=2)
