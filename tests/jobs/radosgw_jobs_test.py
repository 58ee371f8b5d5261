#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whole jobs against a second S3 server, Ceph's radosgw: every kind of channel, checkpoints, artifacts, stops and retries; what jobs
leave in buckets is read back with boto3. The same request runs on s3lab, with the same result."""
import hashlib
import json
import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import RadosGateway, random_bytes, wait_for  # noqa: E402
from job_harness import LONG, JobsTest, s3_source  # noqa: E402

LARGE = (40 << 20) + 1234  # more than two parts of an upload

EVERYTHING = """import hashlib, random
base = '/opt/ml/input/data/'
def digests(directory):
    return {os.path.relpath(os.path.join(folder, name), directory): hashlib.md5(open(os.path.join(folder, name), 'rb').read()).hexdigest()
            for folder, _, names in os.walk(directory) for name in names}
path = base + 'piped_0'
until(path)
seen = {channel: digests(base + channel) for channel in ('prefix', 'manifest', 'lustre', 'mounted', 'fast')}
seen['piped'] = hashlib.md5(open(path, 'rb').read()).hexdigest()
os.makedirs('/opt/ml/checkpoints/deep')
for name, seed, size in (('/opt/ml/checkpoints/deep/large', 1, LARGE), ('/opt/ml/checkpoints/epoch', 2, 7),
                         ('/opt/ml/model/large', 3, LARGE), ('/opt/ml/output/data/notes', 4, 100)):
    with open(name, 'wb') as file: file.write(random.Random(seed).randbytes(size))
os.makedirs('/opt/ml/model/empty')
os.symlink('large', '/opt/ml/model/latest')
mark('seen', json.dumps(seen))
print('m=0.5')
""".replace('LARGE', str(LARGE))


def digest(body):
    return hashlib.md5(body).hexdigest()


class WholeJobs(JobsTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.objects = {f'part-{i}': random_bytes(i, 1000 + i) for i in range(7)}
        cls.objects['deep/er'] = random_bytes(7, (17 << 20) + 7)
        for key, body in cls.objects.items():
            cls.server.put('data', 'set/' + key, body)
        cls.server.put('data', 'set/marker/', b'')
        cls.server.put('data', 'manifest', json.dumps([{'prefix': 's3://data/set/'}, 'part-1', 'deep/er']).encode())

    def body(self, bucket, key):
        return self.server.client.get_object(Bucket=bucket, Key=key)['Body'].read()

    def test_every_kind_of_channel_checkpoints_and_artifacts(self):
        self.leat.mount('s3://data/set', self.mountpoint)
        lustre = {'FileSystemAccessMode': 'ro', 'FileSystemType': 'FSxLustre', 'DirectoryPath': '/'}
        mounted = self.leat.file_system(self.mountpoint)['id']
        self.submit(self.spec('whole', EVERYTHING, CheckpointConfig={'S3Uri': 's3://checkpoints/whole'}, InputDataConfig=[
            {'ChannelName': 'prefix', 'DataSource': s3_source('s3://data/set/')},
            {'ChannelName': 'manifest', 'DataSource': s3_source('s3://data/manifest', 'ManifestFile')},
            {'ChannelName': 'lustre', 'DataSource': {'FileSystemDataSource': {'FileSystemId': 's3://data/set/', **lustre}}},
            {'ChannelName': 'mounted', 'DataSource': {'FileSystemDataSource': {'FileSystemId': mounted, **lustre}}},
            {'ChannelName': 'fast', 'InputMode': 'FastFile', 'DataSource': s3_source('s3://data/set/')},
            {'ChannelName': 'piped', 'InputMode': 'Pipe', 'DataSource': s3_source('s3://data/set/part-')}]))
        described = self.wait_status('whole', 'Completed')
        seen = json.loads(self.marked('seen')[0])
        everything = {key: digest(body) for key, body in self.objects.items()}
        for channel in ('prefix', 'lustre', 'mounted', 'fast'):
            self.assertEqual(seen[channel], everything, channel)
        self.assertEqual(seen['manifest'], {key: everything[key] for key in ('part-1', 'deep/er')})
        self.assertEqual(seen['piped'], digest(b''.join(self.objects[f'part-{i}'] for i in range(7))))
        with self.subTest('checkpoints'):
            self.assertEqual(self.keys('checkpoints', 'whole/'), ['whole/deep/large', 'whole/epoch'])
            self.assertEqual(digest(self.body('checkpoints', 'whole/deep/large')), digest(random_bytes(1, LARGE)))
            self.assertEqual(self.body('checkpoints', 'whole/epoch'), random_bytes(2, 7))
            self.check_parts('checkpoints', 'whole/deep/large')
        with self.subTest('artifacts'):
            self.assertEqual(self.keys('out', 'jobs/whole/'), ['jobs/whole/output/model.tar.gz', 'jobs/whole/output/output.tar.gz'])
            self.assertEqual(described['ModelArtifacts']['S3ModelArtifacts'], 's3://out/jobs/whole/output/model.tar.gz')
            model = self.artifact('whole')
            self.assertEqual(digest(model.pop('large')), digest(random_bytes(3, LARGE)))
            self.assertEqual(model, {'empty': None, 'latest': 'large'})
            self.assertEqual(self.artifact('whole', 'output'), {'notes': random_bytes(4, 100)})
            self.check_parts('out', 'jobs/whole/output/model.tar.gz')
        with self.subTest('nothing is left half uploaded'):
            for bucket in ('out', 'checkpoints'):
                self.assertEqual(self.server.client.list_multipart_uploads(Bucket=bucket).get('Uploads', []), [])
        with self.subTest('the mount of the user stays'):
            self.assertEqual(sorted(os.listdir(self.mountpoint)), sorted({key.split('/')[0] for key in self.objects} | {'marker'}))

    def check_parts(self, bucket, key):
        """That the object was uploaded in more than one part: an ETag of parts tells how many."""
        etag = self.server.client.head_object(Bucket=bucket, Key=key)['ETag'].strip('"')
        self.assertRegex(etag, r'^[0-9a-f]{32}-[2-9]$', key)

    def test_two_hosts_share_a_channel(self):
        self.submit(self.spec('shared', """host = os.environ['SM_CURRENT_HOST']
mark('hosts', json.dumps([host, sorted(os.listdir('/opt/ml/input/data/c'))]))
open(f'/opt/ml/model/{host}', 'w').write(host)
open('/opt/ml/model/both', 'w').write(host)
""", ResourceConfig={'InstanceType': 'local', 'InstanceCount': 2}, InputDataConfig=[
            {'ChannelName': 'c', 'DataSource': s3_source('s3://data/set/part-', sharded=True)}]))
        described = self.wait_status('shared', 'Completed')
        hosts = dict(map(json.loads, self.marked('hosts')))
        self.assertEqual(sorted(hosts), ['algo-1', 'algo-2'])
        self.assertEqual(sorted(hosts['algo-1'] + hosts['algo-2']), [f'part-{i}' for i in range(7)])
        self.assertEqual(sorted(map(len, hosts.values())), [3, 4])
        self.assertEqual(self.artifact('shared'), {'algo-1': b'algo-1', 'algo-2': b'algo-2', 'both': b'algo-1'})
        self.assertTrue(any('several hosts wrote model/both' in warning for warning in described['LeatWarnings']), described)

    def test_what_a_stopped_job_leaves_is_uploaded(self):
        self.submit(self.spec('stopped', """def stop(*_):
    open('/opt/ml/checkpoints/last', 'w').write('written at the stop')
    open('/opt/ml/model/w', 'w').write('half')
    raise SystemExit(0)
signal.signal(signal.SIGTERM, stop)
mark('ready')
while True: time.sleep(0.1)
""", CheckpointConfig={'S3Uri': 's3://checkpoints/stopped'}))
        self.wait_marked('ready')
        self.leat.run('jobs', 'stop', 'stopped', state_directory=True)
        described = self.wait_status('stopped', 'Stopped')
        self.assertEqual(self.artifact('stopped'), {'w': b'half'})
        self.assertEqual(described['ModelArtifacts']['S3ModelArtifacts'], 's3://out/jobs/stopped/output/model.tar.gz')
        self.assertEqual(self.body('checkpoints', 'stopped/last'), b'written at the stop')

    def test_checkpoints_come_back_to_the_next_attempt_and_to_another_machine(self):
        config = {'CheckpointConfig': {'S3Uri': 's3://checkpoints/resumed'}}
        self.submit(self.spec('resumed', """path = '/opt/ml/checkpoints/epoch'
if not os.path.exists(path):
    open(path, 'w').write('7')
    mark('first')
    until('never')
mark('second', open(path).read())
open(path, 'w').write('8')
open('/opt/ml/model/w', 'w').write('weights')
""", RetryStrategy={'MaximumRetryAttempts': 1}, **config))
        self.wait_marked('first')
        wait_for(lambda: self.keys('checkpoints', 'resumed/') == ['resumed/epoch'], 'the checkpoint is in S3', LONG)
        os.kill(self.shim_pid('resumed'), signal.SIGKILL)
        described = self.wait_status('resumed', 'Completed')
        self.assertEqual((self.marked('first'), self.marked('second')), (['x'], ['7']))
        self.assertTrue(any(warning.startswith('attempt 1 was lost') for warning in described['LeatWarnings']), described)
        self.assertEqual(self.artifact('resumed'), {'w': b'weights'})
        other = self.another_leat('other-machine')
        self.submit(self.spec('elsewhere', "mark('third', open('/opt/ml/checkpoints/epoch').read())\n", **config), other)
        self.wait_status('elsewhere', 'Completed', leat=other)
        self.assertEqual(self.marked('third'), ['8'])

    def test_what_cannot_work_is_refused_before_the_script_starts(self):
        jobs = {'no-output': {'OutputDataConfig': {'S3OutputPath': 's3://no-such-bucket/x'}},
                'no-checkpoints': {'CheckpointConfig': {'S3Uri': 's3://no-such-bucket/x'}},
                'no-data': {'InputDataConfig': [{'ChannelName': 'c', 'DataSource': s3_source('s3://data/no-such-prefix')}]},
                'no-manifest': {'InputDataConfig': [{'ChannelName': 'c', 'DataSource': s3_source('s3://data/none', 'ManifestFile')}]},
                'no-bucket': {'InputDataConfig': [{'ChannelName': 'c', 'DataSource': {'FileSystemDataSource': {
                    'FileSystemId': 's3://no-such-bucket', 'FileSystemAccessMode': 'ro', 'FileSystemType': 'FSxLustre',
                    'DirectoryPath': '/'}}}]}}
        told = {'no-output': 'OutputDataConfig.S3OutputPath s3://no-such-bucket/x', 'no-checkpoints': 'CheckpointConfig',
                'no-data': 'channel c: No S3 objects found under S3 URL "s3://data/no-such-prefix"',
                'no-manifest': 'channel c: ', 'no-bucket': 'channel c: '}
        for name, members in jobs.items():
            self.submit(self.spec(name, "mark('ran')\n", **members))
        for name in jobs:
            described = self.wait_status(name, 'Failed')
            self.assertIn('ClientError: ' + told[name], described['FailureReason'], name)
            self.assertNotIn('Training', [entry['Status'] for entry in described['SecondaryStatusTransitions']], name)
        self.assertEqual(self.marked('ran'), [])


class WholeJobsOnRadosGateway(WholeJobs):
    @classmethod
    def make_server(cls):
        server = RadosGateway(cls.class_scratch)
        for bucket in ('data', 'out', 'checkpoints'):
            server.bucket(bucket)
        return server


if __name__ == '__main__':
    unittest.main()
