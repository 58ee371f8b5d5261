#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the daemon at random moments of a cold epoch, again and again on the same state: the next mount works at once, every
byte is right, and what was restored before is not fetched again."""
import os
import random
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import MountTest, random_bytes, wait_for  # noqa: E402


class KillDaemon(MountTest):
    server_arguments = ('--latency-ms', '5')

    def test_kill_during_cold_reads(self):
        bucket = self.server.bucket('kill-test')
        contents = {f'd{index % 5}/{index}': random_bytes(index, 20_000 + 37 * index) for index in range(400)}
        contents['large'] = random_bytes(999, 30 << 20)
        for key, body in contents.items():
            self.server.put(bucket, key, body)
        chosen = random.Random(4)
        keys = sorted(contents)
        for round_number in range(6):
            self.leat.mount(f's3://{bucket}', self.mountpoint)
            pid = self.leat.daemon_pid()
            wrong = []

            def read(order):
                for key in order:
                    try:
                        with open(os.path.join(self.mountpoint, key), 'rb') as file:
                            if file.read() != contents[key]:
                                wrong.append(key)
                    except OSError:
                        return  # the daemon died: ENOTCONN is what a reader may see, wrong bytes never

            readers = [threading.Thread(target=read, args=(chosen.sample(keys, len(keys)),)) for _ in range(4)]
            for reader in readers:
                reader.start()
            time.sleep(chosen.uniform(0.05, 0.8))
            os.kill(pid, signal.SIGKILL)
            for reader in readers:
                reader.join(30)
                self.assertFalse(reader.is_alive(), 'a reader hangs after the daemon died')
            self.assertEqual(wrong, [])
            wait_for(lambda: not os.path.exists(f'/proc/{pid}') or open(f'/proc/{pid}/stat').read().split()[2] == 'Z', 'killed', 10)
        self.leat.mount(f's3://{bucket}', self.mountpoint)
        for key, body in contents.items():
            with open(os.path.join(self.mountpoint, key), 'rb') as file:
                self.assertEqual(file.read(), body, key)
        self.leat.run('restore', self.mountpoint, '--wait')
        os.kill(self.leat.daemon_pid(), signal.SIGKILL)
        time.sleep(0.3)
        self.leat.mount(f's3://{bucket}', self.mountpoint)
        for key, body in contents.items():
            with open(os.path.join(self.mountpoint, key), 'rb') as file:
                self.assertEqual(file.read(), body, key)
        self.assertEqual(self.leat.file_system(self.mountpoint)['requests']['s3.get'], 0)

    def test_a_damaged_cache_is_a_miss_and_never_wrong_bytes(self):
        bucket = self.server.bucket('damage-test')
        contents = {f'{index}': random_bytes(index, 50_000) for index in range(50)}
        contents['large'] = random_bytes(51, 12 << 20)
        for key, body in contents.items():
            self.server.put(bucket, key, body)
        self.leat.mount(f's3://{bucket}', self.mountpoint)
        self.leat.run('restore', self.mountpoint, '--wait')
        self.leat.unmount(self.mountpoint)
        wait_for(lambda: self.leat.daemon_pid() is None, 'the daemon has gone', 30)
        damaged = 0
        for folder, _, names in os.walk(os.path.join(self.leat.state, 'cache')):
            for name in names:
                path = os.path.join(folder, name)
                if 'index' in path or os.path.getsize(path) < 100_000:
                    continue
                with open(path, 'r+b') as file:
                    for offset in range(5000, min(os.path.getsize(path), 14 << 20), 40_000):
                        file.seek(offset)
                        byte = file.read(1)
                        file.seek(offset)
                        file.write(bytes([byte[0] ^ 0x40]))
                        damaged += 1
        self.assertGreater(damaged, 100)
        self.leat.mount(f's3://{bucket}', self.mountpoint)
        for key, body in contents.items():
            with open(os.path.join(self.mountpoint, key), 'rb') as file:
                self.assertEqual(file.read(), body, key)
        self.assertGreater(self.leat.file_system(self.mountpoint)['requests']['s3.get'], 10)

    def test_a_deleted_cache_costs_only_time(self):
        bucket = self.server.bucket('deleted-test')
        self.server.put(bucket, 'f', b'x' * 70_000)
        self.leat.mount(f's3://{bucket}', self.mountpoint)
        self.assertEqual(open(os.path.join(self.mountpoint, 'f'), 'rb').read(), b'x' * 70_000)
        self.leat.unmount(self.mountpoint)
        wait_for(lambda: self.leat.daemon_pid() is None, 'the daemon has gone', 30)
        import shutil
        shutil.rmtree(os.path.join(self.leat.state, 'cache'))
        self.leat.mount(f's3://{bucket}', self.mountpoint)
        self.assertEqual(open(os.path.join(self.mountpoint, 'f'), 'rb').read(), b'x' * 70_000)


if __name__ == '__main__':
    unittest.main(verbosity=2)
