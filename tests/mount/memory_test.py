#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One budget for the daemon's memory: set by --memory or by what the machine or control group has, shown by `leat status`, shared
by all file systems of the daemon, and kept: a cold epoch over far more data than a group of 512 MB may hold ends well in it."""
import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import MountTest, S3Lab, wait_for  # noqa: E402

LIMIT = 512 << 20
BUDGET = LIMIT // 8
PROGRAM = 48 << 20  # pages of the program and its libraries, which are files' and can be dropped: beside the budget
SEED = 7
EPOCHS = {'small': (8000, 110_000), 'middle': (100, 6_000_000), 'large': (6, 143_000_000)}
MASK, GOLDEN = (1 << 64) - 1, 0x9e3779b97f4a7c15

# Reads the files named on standard input with eight threads and prints their SHA-256.
READER = '''
import concurrent.futures, hashlib, json, sys
def digest(path):
    value = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(1 << 20):
            value.update(piece)
    return value.hexdigest()
paths = json.load(sys.stdin)
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    json.dump(dict(zip(paths, pool.map(digest, paths))), sys.stdout)
'''


def mix(z):
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9 & MASK
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb & MASK
    return z ^ (z >> 31)


class Synthetic:
    """The bytes of s3lab's synthetic objects (docs/s3lab.md), a MiB at a time."""

    def __init__(self, seed):
        self.seed = seed
        self.pattern = 2 * b''.join(mix((mix(seed) + (word + 1) * GOLDEN) & MASK).to_bytes(8, 'little') for word in range(1 << 17))

    def sha256(self, key, size):
        hashed = 0xcbf29ce484222325
        for byte in key.encode():
            hashed = (hashed ^ byte) * 0x100000001b3 & MASK
        value = hashlib.sha256()
        for number in range((size + (1 << 20) - 1) >> 20):
            turn = mix((mix(hashed ^ self.seed) + number * GOLDEN) & MASK) & 0xfffff
            value.update(self.pattern[turn:turn + min(1 << 20, size - (number << 20))])
        return value.hexdigest()


class ControlGroup:
    """A group of its own with a limit of memory, of version 1 or 2, whichever has the controller."""

    def __init__(self, limit_bytes):
        self.path = None
        reasons = []
        for make in (self.make_version_1, self.make_version_2):
            try:
                make(limit_bytes)
                return
            except (OSError, StopIteration) as error:
                reasons.append(f'{make.__name__}: {error!r}')
                self.remove()
        raise unittest.SkipTest('no control group with a limit of memory can be made: ' + '; '.join(reasons))

    @staticmethod
    def own_group(version_2):
        """Mountpoint, and the path below it of this process's group."""
        mounts, groups = (pathlib.Path(f'/proc/self/{name}').read_text().splitlines() for name in ('mountinfo', 'cgroup'))
        mount = next(line.split() for line in mounts
                     if (' - cgroup2 ' in line if version_2 else ' - cgroup ' in line and 'memory' in line.split()[-1].split(',')))
        fields = next(line.split(':', 2) for line in groups
                      if (line.startswith('0::') if version_2 else 'memory' in line.split(':')[1].split(',')))
        top, group = mount[3], fields[2]
        if top != '/' and group.startswith(top):
            group = group[len(top):]
        return mount[4], group.strip('/')

    def make_version_1(self, limit_bytes):
        mountpoint, group = self.own_group(False)
        path = os.path.join(mountpoint, group, f'leat-test-{os.getpid()}')
        os.mkdir(path)
        self.path, self.version_2 = path, False
        self.write('memory.limit_in_bytes', limit_bytes)

    def make_version_2(self, limit_bytes):
        mountpoint, group = self.own_group(True)
        above = os.path.join(mountpoint, group)
        # A group that has processes cannot hand the controller on: then one further up.
        while True:
            with contextlib.suppress(OSError):
                with open(os.path.join(above, 'cgroup.subtree_control'), 'w') as file:
                    file.write('+memory')
            if 'memory' in pathlib.Path(above, 'cgroup.subtree_control').read_text().split():
                break
            if above.rstrip('/') == mountpoint:
                raise OSError('no group here has the memory controller')
            above = os.path.dirname(above.rstrip('/'))
        path = os.path.join(above, f'leat-test-{os.getpid()}')
        os.mkdir(path)
        self.path, self.version_2 = path, True
        self.write('memory.max', limit_bytes)

    def write(self, name, value):
        with open(os.path.join(self.path, name), 'w') as file:
            file.write(str(value))

    def read(self, name):
        with open(os.path.join(self.path, name)) as file:
            return file.read()

    def enter(self):
        self.write('cgroup.procs', os.getpid())

    def out_of_memory_kills(self):
        lines = self.read('memory.events' if self.version_2 else 'memory.oom_control').splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith('oom_kill '))

    def peak(self):
        """What the group has held at most, page cache included; None where the kernel does not say."""
        with contextlib.suppress(OSError):
            return int(self.read('memory.peak' if self.version_2 else 'memory.max_usage_in_bytes'))
        return None

    def remove(self):
        if self.path and os.path.isdir(self.path):
            with contextlib.suppress(AssertionError):
                wait_for(lambda: not self.read('cgroup.procs').split(), 'the group is empty', 10)
            os.rmdir(self.path)


class PeakOf:
    """Watches a process's memory: anonymous, and resident in all (the kernel's own high-water mark)."""

    def __init__(self, pid):
        self.pid, self.anonymous, self.resident = pid, 0, 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.stop.wait(0.005):
            with contextlib.suppress(OSError):
                for line in pathlib.Path(f'/proc/{self.pid}/status').read_text().splitlines():
                    if line.startswith('RssAnon:'):
                        self.anonymous = max(self.anonymous, int(line.split()[1]) << 10)
                    if line.startswith('VmHWM:'):
                        self.resident = int(line.split()[1]) << 10

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class Memory(MountTest):
    @classmethod
    def make_server(cls):
        buckets = [f'{name}=count={count},size={size},prefix=data/,seed={SEED}' for name, (count, size) in EPOCHS.items()]
        buckets += [f'tree{number}=count=20000,size=1000,layout=nested:100,prefix=data/,seed={SEED}' for number in range(6)]
        return S3Lab(cls.class_scratch, '--latency-ms', '30', *(part for bucket in buckets for part in ('--synthetic', bucket)))

    def parts_within_their_limits(self):
        daemon = self.leat.status()['daemon']
        for name, part in daemon['memory'].items():
            self.assertLessEqual(part['used_bytes'], part['limit_bytes'], name)
        self.assertLessEqual(sum(part['limit_bytes'] for part in daemon['memory'].values()), daemon['memory_budget_bytes'])
        return daemon

    def test_a_cold_epoch_in_a_group_of_512_mb(self):
        group = ControlGroup(LIMIT)
        self.addCleanup(group.remove)
        synthetic = Synthetic(SEED)
        peak = None
        with contextlib.ExitStack() as stack:
            for name, (count, size) in EPOCHS.items():
                mountpoint = os.path.join(self.scratch, name)
                self.leat.mount(f's3://{name}', mountpoint, '--capacity', '8G', preexec_fn=group.enter)
                daemon = self.leat.status()['daemon']
                self.assertEqual(daemon['memory_budget_bytes'], BUDGET, 'the default is a share of the group\'s limit')
                peak = peak or stack.enter_context(PeakOf(daemon['pid']))
                width = len(os.listdir(os.path.join(mountpoint, 'data'))[0])
                keys = [f'data/{number:0{width}d}' for number in range(count)]
                began = time.monotonic()
                done = subprocess.run(['/usr/bin/python3', '-c', READER], preexec_fn=group.enter, stdout=subprocess.PIPE, text=True,
                                      input=json.dumps([os.path.join(mountpoint, key) for key in keys]), check=True, timeout=300)
                seconds = time.monotonic() - began
                digests = json.loads(done.stdout)
                for key in keys:
                    self.assertEqual(digests[os.path.join(mountpoint, key)], synthetic.sha256(key, size), key)
                after = self.parts_within_their_limits()
                self.assertEqual(after['pid'], daemon['pid'], 'the daemon has lived through it')
                print(f'    {count} x {size / 1e6:g} MB: {count * size / 1e6 / seconds:.0f} MB/s, daemon so far: anonymous '
                      f'{peak.anonymous / 1e6:.0f} MB, resident {peak.resident / 1e6:.0f} MB at most, budget {BUDGET / 1e6:.0f} MB')
        self.assertEqual(group.out_of_memory_kills(), 0)
        self.assertLessEqual(peak.anonymous, BUDGET)
        self.assertLessEqual(peak.resident, BUDGET + PROGRAM)
        if group.peak() is not None:
            self.assertGreater(group.peak(), 0.9 * LIMIT, 'the limit was reached, or this tested nothing')

    def test_many_file_systems_take_no_more_than_one(self):
        mountpoints = [f'{self.mountpoint}-{number}' for number in range(6)]
        for number, mountpoint in enumerate(mountpoints):
            self.leat.mount(f's3://tree{number}', mountpoint, '--memory', '64M')
            self.leat.imported(mountpoint)  # pages of listings are not counted: eight imports at once would show
        with PeakOf(self.leat.daemon_pid()) as peak:
            for mountpoint in mountpoints:
                self.leat.imported(mountpoint)
                found = subprocess.run(f'find {mountpoint} -type f -size 1000c | wc -l', shell=True, check=True, stdout=subprocess.PIPE)
                self.assertEqual(int(found.stdout), 20000)
                for key in ('data/00', 'data/57'):
                    directory = os.path.join(mountpoint, key)
                    for name in os.listdir(directory):
                        with open(os.path.join(directory, name), 'rb') as file:
                            self.assertEqual(len(file.read()), 1000)
                self.parts_within_their_limits()
        self.assertLessEqual(peak.anonymous, 64 << 20)
        print(f'    6 file systems of 20,000 files: anonymous {peak.anonymous / 1e6:.0f} MB at most, budget 67 MB')

    def test_memory_is_set_shown_and_kept_by_a_running_daemon(self):
        refused = self.leat.mount('s3://tree0', self.mountpoint, '--memory', '10M', check=False)
        self.assertEqual(refused.returncode, 2)
        self.assertIn('--memory 10.0 MiB is too little: pass 64.0 MiB or more', refused.stderr)
        refused = self.leat.mount('s3://tree0', self.mountpoint, '--memory', '900T', check=False)
        self.assertEqual(refused.returncode, 2)
        self.assertIn('--memory 900 TiB is more than a process may use here', refused.stderr)
        refused = self.leat.mount('s3://tree0', self.mountpoint, '--memory', 'much', check=False)
        self.assertEqual(refused.returncode, 2)
        self.assertIn('much', refused.stderr)
        self.leat.mount('s3://tree0', self.mountpoint, '--memory', '100M')
        self.assertEqual(self.leat.status()['daemon']['memory_budget_bytes'], 100 << 20)
        self.assertRegex(self.leat.run('status', state_directory=True).stdout, r'\nmemory  [0-9.]+ [KM]?i?B of 100 MiB budget \(')
        second = self.leat.mount('s3://tree1', self.mountpoint + '-2', '--memory', '200M')
        self.assertIn('the running daemon keeps its memory of 100 MiB', second.stderr)
        self.leat.unmount(self.mountpoint + '-2')
        self.leat.unmount(self.mountpoint)
        wait_for(lambda: self.leat.daemon_pid() is None, 'the daemon ends', 20)
        self.leat.mount('s3://tree0', self.mountpoint)
        self.assertEqual(self.leat.status()['daemon']['memory_budget_bytes'], 100 << 20, 'remembered')


if __name__ == '__main__':
    unittest.main(verbosity=2)
