#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One capacity for all file systems of a state directory: what is idle (unmounted) leaves first; a full cache pins what it has
and reads the rest through, each object once however small the kernel's reads are; half a cache answers half of the bytes of every
epoch; a switch to another data set takes nothing from the one that a job reads; every byte stays right and the limit holds."""
import contextlib
import hashlib
import json
import os
import random
import subprocess
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import LEAT, MountTest, end, random_bytes, wait_for  # noqa: E402

CAPACITY = 24 << 20

# Reads its channel, says so, and reads it again each time it is told to: between, nothing is heard of it.
READER = """
import os, time
scratch = os.environ['SM_HP_SCRATCH']
for turn in (1, 2):
    while not os.path.exists(f'{scratch}/read-{turn}'):
        time.sleep(0.05)
    for root, _, names in os.walk(os.environ['SM_CHANNEL_TRAINING']):
        for name in names:
            with open(os.path.join(root, name), 'rb') as file:
                file.read()
    open(f'{scratch}/done-{turn}', 'w').close()
"""


def drop_page_cache():
    with open('/proc/sys/vm/drop_caches', 'w') as file:
        file.write('1')


class Eviction(MountTest):
    server_arguments = ('--synthetic', 'epochs=count=800,size=39000-323000,seed=7',
                        '--synthetic', 'lately=count=200,size=110000,seed=8', '--synthetic', 'newcomer=count=60,size=110000,seed=9',
                        '--synthetic', 'idle=count=150,size=110000,seed=1', '--synthetic', 'active=count=60,size=110000,seed=2',
                        '--synthetic', 'next=count=150,size=110000,seed=3')

    def gets(self, bucket):
        return self.server.control('GET', f'stats?bucket={bucket}')['gets']

    def digests(self, mountpoint, names, threads=4):
        def digest(name):
            with open(os.path.join(mountpoint, name), 'rb') as file:
                return hashlib.sha256(file.read()).digest()
        with ThreadPoolExecutor(threads) as pool:
            return dict(zip(names, pool.map(digest, names)))

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
        drop_page_cache()
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

    def test_half_a_cache_answers_half_of_every_later_epoch(self):
        sizes = {item['Key']: item['Size'] for item in self.server.client.list_objects_v2(Bucket='epochs')['Contents']}
        self.assertEqual(len(sizes), 800)
        data_bytes = sum(sizes.values())
        self.leat.mount('s3://epochs', self.mountpoint, '--capacity', str(data_bytes // 2))
        names, shuffle, first, rates = sorted(sizes), random.Random(1), None, []
        for epoch in range(1, 6):
            drop_page_cache()
            shuffle.shuffle(names)
            before = self.server.control('GET', 'stats?bucket=epochs')['bytes_out']
            digests = self.digests(self.mountpoint, names)
            fetched = self.server.control('GET', 'stats?bucket=epochs')['bytes_out'] - before
            first = first or digests
            self.assertEqual(digests, first, f'epoch {epoch}')
            if epoch > 1:
                rates.append(1 - fetched / data_bytes)
        print('hit rates', rates)
        self.assertGreaterEqual(min(rates), 0.49)
        self.assertLessEqual(max(rates), 0.5, 'or the page cache was not dropped')
        self.assertLessEqual(self.leat.status()['capacity']['used_bytes'], data_bytes // 2)

    def test_what_was_read_lately_stays_and_the_newcomer_is_read_through(self):
        other = self.mountpoint + '-newcomer'
        self.leat.mount('s3://lately', self.mountpoint, '--capacity', str(22_500_000))  # 200 times 110,592 are 22,118,400
        self.leat.run('restore', self.mountpoint, '--wait')
        self.leat.mount('s3://newcomer', other)
        for _ in range(2):
            self.digests(other, sorted(os.listdir(other)))
            drop_page_cache()
        self.assertEqual(self.leat.file_system(self.mountpoint)['restored']['files'], 200)
        before = self.gets('lately')
        self.digests(self.mountpoint, sorted(os.listdir(self.mountpoint)))
        self.assertEqual(self.gets('lately'), before)

    @contextlib.contextmanager
    def daemon(self, *arguments):
        process = subprocess.Popen([LEAT, 'daemon', '--state-dir', self.leat.state, *arguments], env=self.leat.environment,
                                   stdin=subprocess.DEVNULL)
        try:
            wait_for(lambda: os.path.exists(os.path.join(self.leat.state, 'daemon.log')) and self.leat.daemon_pid(), 'the daemon serves')
            yield
        finally:
            self.leat.close()
            end(process)

    @contextlib.contextmanager
    def job(self, repository):
        code = os.path.join(self.scratch, 'code')
        os.makedirs(code)
        with open(os.path.join(code, 'reader.py'), 'w') as file:
            file.write(READER)
        path = os.path.join(self.scratch, 'job.json')
        with open(path, 'w') as file:
            json.dump({
                'TrainingJobName': 'reader', 'AlgorithmSpecification': {'TrainingInputMode': 'File'},
                'InputDataConfig': [{'ChannelName': 'training', 'DataSource': {'FileSystemDataSource': {
                    'FileSystemId': repository, 'FileSystemAccessMode': 'ro', 'FileSystemType': 'FSxLustre', 'DirectoryPath': '/'}}}],
                'OutputDataConfig': {'S3OutputPath': 'file://' + os.path.join(self.scratch, 'output')},
                'ResourceConfig': {'InstanceType': 'local', 'InstanceCount': 1},
                'StoppingCondition': {'MaxRuntimeInSeconds': 120},
                'HyperParameters': {'sagemaker_program': 'reader.py', 'sagemaker_submit_directory': code, 'scratch': self.scratch}},
                file)
        train = subprocess.Popen([LEAT, 'train', path, '--state-dir', self.leat.state], env=self.leat.environment,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            yield train
        finally:
            end(train)

    def turn(self, number):
        open(os.path.join(self.scratch, f'read-{number}'), 'w').close()
        wait_for(lambda: os.path.exists(os.path.join(self.scratch, f'done-{number}')), 'the job has read its channel')

    def test_a_switch_evicts_what_is_idle_and_not_what_a_job_reads(self):
        following = self.mountpoint + '-next'
        with self.daemon('--capacity', str(CAPACITY), '--active-for', '1'), self.job('s3://active/') as train:
            self.turn(1)
            self.leat.mount('s3://idle', self.mountpoint)
            self.leat.run('restore', self.mountpoint, '--wait')
            self.assertEqual(self.leat.file_system(self.mountpoint)['restored']['files'], 150)
            time.sleep(1.5)  # both are silent, but a job holds one of them
            self.leat.mount('s3://next', following)
            self.leat.run('restore', following, '--wait')
            self.assertEqual(self.leat.file_system(following)['restored']['files'], 150)
            self.assertEqual(self.leat.file_system(self.mountpoint)['restored']['files'], 0, 'whole data sets leave')
            self.assertLessEqual(self.leat.status()['capacity']['used_bytes'], CAPACITY)
            drop_page_cache()
            self.turn(2)
            self.assertEqual(self.gets('active'), 60, 'each object once, ever')
            self.assertEqual(train.wait(30), 0)


if __name__ == '__main__':
    unittest.main(verbosity=2)
