#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Jobs that wait: for room on the machine, and for credentials that a supervisor which was killed took with it. And the logs of
several hosts. Conditions are waited for; no test looks at how long anything took."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import LEAT, wait_for  # noqa: E402
from job_harness import LONG, JobsTest  # noqa: E402


class WaitingForRoom(JobsTest):
    def test_a_job_that_waits_longer_than_it_may_ends_without_a_start(self):
        os.makedirs(self.leat.state, 0o700)
        with open(os.path.join(self.leat.state, 'instance-types.json'), 'w') as file:
            json.dump({'ml.m5.large': {'cpus': len(os.sched_getaffinity(0))}}, file)
        members = {'ResourceConfig': {'InstanceType': 'ml.m5.large', 'InstanceCount': 1}}
        spot = {**members, 'EnableManagedSpotTraining': True,
                'StoppingCondition': {'MaxRuntimeInSeconds': 1, 'MaxWaitTimeInSeconds': 1}}
        self.submit(self.spec('first', "mark('first'); until('go')\n", **members))
        self.wait_marked('first')
        for name in ('head', 'behind'):
            self.submit(self.spec(name, "mark('ran')\n", **spot))
        self.submit(self.spec('patient', "mark('patient')\n", **members))
        attached = self.attach(self.spec('attached', "mark('ran')\n", **spot))
        for name in ('head', 'behind', 'attached'):
            described = self.wait_status(name, 'Stopped')
            self.assertEqual(described['SecondaryStatus'], 'MaxWaitTimeExceeded')
            states = [entry['Status'] for entry in described['SecondaryStatusTransitions']]
            self.assertEqual(states, ['Starting', 'Stopping', 'MaxWaitTimeExceeded'])
            self.assertNotIn('TrainingStartTime', described)
            self.assertNotIn('FailureReason', described)
        self.assertEqual(attached.wait(LONG), 1)
        with open(attached.log) as file:
            self.assertIn('MaxWaitTimeExceeded - Training job waited for longer than MaxWaitTimeInSeconds', file.read())
        self.assertEqual(self.describe('first')['SecondaryStatus'], 'Training')
        self.assertEqual(self.describe('patient')['SecondaryStatus'], 'Starting')
        self.touch('go')
        for name in ('first', 'patient'):
            self.wait_status(name, 'Completed')
        self.assertEqual((self.marked('ran'), self.marked('patient')), ([], ['x']))


class WaitingForCredentials(JobsTest):
    SCRIPT = """name = os.environ['TRAINING_JOB_NAME']
mark(name + '-starts')
open('/opt/ml/model/w', 'w').write('weights')
open('/opt/ml/checkpoints/c', 'w').write('checkpoint')
until('go')
"""

    def without_credentials(self):
        environment = {key: value for key, value in self.leat.environment.items() if not key.startswith('AWS_')}
        return {**environment, 'HOME': self.scratch, 'AWS_EC2_METADATA_DISABLED': 'true'}

    def look(self):
        """A command in a shell without credentials, which starts a supervisor where there is none."""
        subprocess.run([LEAT, 'jobs', 'list', '--state-dir', self.leat.state], env=self.without_credentials(), check=True,
                       stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=LONG)

    def described_without(self, name):
        shown = subprocess.run([LEAT, 'jobs', 'describe', name, '--json', '--state-dir', self.leat.state],
                               env=self.without_credentials(), check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                               timeout=LONG).stdout
        return json.loads(shown)

    def wait_told(self, name, secondary):
        def is_told():
            described = self.described_without(name)
            last = described['SecondaryStatusTransitions'][-1]
            self.assertEqual(described['TrainingJobStatus'], 'InProgress', described.get('FailureReason'))
            return last['Status'] == secondary and 'Waiting for AWS credentials: run leat jobs describe' in last['StatusMessage']
        wait_for(is_told, f'{name} waits for credentials', LONG)

    def test_a_job_waits_for_a_command_that_brings_some(self):
        self.submit(self.spec('trained', self.SCRIPT))
        self.submit(self.spec('synced', self.SCRIPT, CheckpointConfig={'S3Uri': 's3://checkpoints/synced'}))
        self.submit(self.spec('stopped', self.SCRIPT))
        self.server.put('data', 'slow/x', b'the data')
        self.server.faults({'match': {'operation': 'GetObject', 'bucket': 'data'}, 'count': -1, 'action': {'delay': 600000}})
        self.submit(self.spec('loading', "print(open('/opt/ml/input/data/c/x').read())\n", InputDataConfig=[
            {'ChannelName': 'c', 'DataSource': {'S3DataSource': {'S3DataType': 'S3Prefix', 'S3Uri': 's3://data/slow/',
                                                                 'S3DataDistributionType': 'FullyReplicated'}}}]))
        for name in ('trained', 'synced', 'stopped'):
            self.wait_marked(name + '-starts')
        self.wait_status('loading', 'Downloading')
        self.kill_supervisor()
        self.server.control('DELETE', 'faults')
        self.server.client.delete_object(Bucket='checkpoints', Key='synced/c')
        self.look()
        self.wait_told('loading', 'Downloading')
        self.assertEqual(self.described_without('synced')['SecondaryStatus'], 'Training')  # goes on
        self.touch('go')
        self.wait_told('trained', 'Uploading')
        self.wait_told('synced', 'Training')  # its checkpoints come first
        self.wait_told('stopped', 'Uploading')
        subprocess.run([LEAT, 'jobs', 'stop', 'stopped', '--state-dir', self.leat.state], env=self.without_credentials(),
                       check=True, stdin=subprocess.DEVNULL, timeout=LONG)
        wait_for(lambda: self.described_without('stopped')['TrainingJobStatus'] == 'Stopped', 'the stop ends the wait', LONG)
        self.assertTrue(any('the model is kept in' in warning for warning in self.described_without('stopped')['LeatWarnings']))
        for name in ('trained', 'synced', 'loading'):
            described = self.wait_status(name, 'Completed')  # asked with credentials
            self.assertNotIn('Waiting', described['SecondaryStatusTransitions'][-2]['StatusMessage'])
            self.assertEqual(self.keys('out', f'jobs/{name}/'), [f'jobs/{name}/output/model.tar.gz'])
        self.assertEqual(self.keys('checkpoints', 'synced/'), ['synced/c'])
        self.assertEqual(self.logs('loading'), b'the data\n')
        for name in ('trained', 'synced', 'stopped'):
            self.assertEqual(self.marked(name + '-starts'), ['x'])


class LogsOfHosts(JobsTest):
    def host_logs(self, name, *arguments):
        return subprocess.run([LEAT, 'jobs', 'logs', name, '--state-dir', self.leat.state, *arguments], env=self.leat.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=LONG)

    def test_one_hosts_alone(self):
        self.submit(self.spec('pair', """host = os.environ['SM_CURRENT_HOST']
print('begins', host, flush=True)
mark('begun')
until('go')
print('ends', host)
""", ResourceConfig={'InstanceType': 'local', 'InstanceCount': 2}))
        self.wait_marked('begun', 2)
        following = subprocess.Popen([LEAT, 'jobs', 'logs', 'pair', '-f', '--host', 'algo-2', '--state-dir', self.leat.state],
                                     env=self.leat.environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.addCleanup(following.kill)
        self.assertEqual(following.stdout.readline(), b'begins algo-2\n')
        self.touch('go')
        self.assertEqual(following.stdout.read(), b'ends algo-2\n')
        self.assertEqual(following.wait(LONG), 0)
        self.wait_status('pair', 'Completed')
        self.assertEqual(self.host_logs('pair', '--host', 'algo-1').stdout, b'begins algo-1\nends algo-1\n')
        self.assertEqual(sorted(self.logs('pair').splitlines()),
                         [f'algo-{i}  {what} algo-{i}'.encode() for i in (1, 2) for what in ('begins', 'ends')])
        wrong = self.host_logs('pair', '--host', 'algo-3')
        self.assertEqual((wrong.returncode, wrong.stdout), (1, b''))
        self.assertIn(b'pair has no host algo-3; it has algo-1, algo-2', wrong.stderr)


if __name__ == '__main__':
    unittest.main()
