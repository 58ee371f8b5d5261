#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The main job on a small data set: images in S3, a sweep of three jobs over the mounted bucket; the first job fetches each object
once, the later ones ask S3 for nothing; the same job in File mode; a failing script; Ctrl-C."""
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import LEAT, MountTest, S3Lab, TOP, wait_for  # noqa: E402

EXAMPLE = os.path.join(TOP, 'examples/image-classification')


class Sweep(MountTest):
    @classmethod
    def make_server(cls):
        cls.data = os.path.join(cls.class_scratch, 'shapes')
        subprocess.run([sys.executable, os.path.join(EXAMPLE, 'generate_dataset.py'), cls.data, '--count', '360', '--size', '32'],
                       check=True, stdout=subprocess.DEVNULL)
        cls.images = sum(name.endswith('.jpg') for _, _, names in os.walk(cls.data) for name in names)
        return S3Lab(cls.class_scratch, '--import-tree', f'shapes={cls.data}')

    def channel(self, **source):
        return [{'ChannelName': 'training', 'DataSource': source}]

    def leat_channel(self):
        return self.channel(FileSystemDataSource={'FileSystemId': 's3://shapes/', 'FileSystemAccessMode': 'ro',
                                                  'FileSystemType': 'FSxLustre', 'DirectoryPath': '/'})

    def job(self, name, channels, script='train.py', directory=EXAMPLE, **hyperparameters):
        return {
            'TrainingJobName': name,
            'AlgorithmSpecification': {'TrainingInputMode': 'File', 'MetricDefinitions': [
                {'Name': 'val:accuracy', 'Regex': 'val_accuracy=([0-9.]+)'}]},
            'InputDataConfig': channels,
            'OutputDataConfig': {'S3OutputPath': 'file://' + os.path.join(self.scratch, 'output')},
            'ResourceConfig': {'InstanceType': 'local', 'InstanceCount': 1},
            'StoppingCondition': {'MaxRuntimeInSeconds': 300},
            'HyperParameters': {'sagemaker_program': script, 'sagemaker_submit_directory': directory,
                                **{key.replace('_', '-'): str(value) for key, value in hyperparameters.items()}},
        }

    def write(self, name, value):
        path = os.path.join(self.scratch, name)
        with open(path, 'w') as file:
            json.dump(value, file)
        return path

    def describe(self, name):
        return json.loads(self.leat.run('jobs', 'describe', name, '--json', state_directory=True).stdout)

    def test_a_sweep_reads_s3_once(self):
        tuning = {
            'HyperParameterTuningJobName': 'shapes-sweep',
            'HyperParameterTuningJobConfig': {
                'Strategy': 'Grid',
                'HyperParameterTuningJobObjective': {'Type': 'Maximize', 'MetricName': 'val:accuracy'},
                'ResourceLimits': {'MaxParallelTrainingJobs': 1},
                'ParameterRanges': {'CategoricalParameterRanges': [{'Name': 'augmentation', 'Values': ['none', 'flip', 'full']}]}},
            'TrainingJobDefinition': {
                key: value for key, value in self.job('x', self.leat_channel()).items()
                if key not in ('TrainingJobName', 'HyperParameters')},
        }
        tuning['TrainingJobDefinition']['StaticHyperParameters'] = {
            'sagemaker_program': 'train.py', 'sagemaker_submit_directory': EXAMPLE, 'epochs': '1', 'workers': '0', 'width': '4'}
        path = self.write('tuning.json', tuning)
        done = self.leat.run('tune', path, state_directory=True, timeout=300)
        print(done.stdout)
        gets = self.server.gets()
        # Each object once, and the script has seen each image.
        self.assertLessEqual(gets, self.images + 5)
        self.assertGreaterEqual(gets, self.images)
        jobs = json.loads(self.leat.run('jobs', 'list', '--json', state_directory=True).stdout)['TrainingJobSummaries']
        self.assertEqual(len(jobs), 3)
        self.assertEqual({job['TrainingJobStatus'] for job in jobs}, {'Completed'})
        for job in jobs:
            model = os.path.join(self.scratch, 'output', job['TrainingJobName'], 'output/model.tar.gz')
            with tarfile.open(model) as archive:
                self.assertIn('classes.json', [name.lstrip('./') for name in archive.getnames()])
        self.assertIn('val:accuracy', json.dumps(self.describe(jobs[0]['TrainingJobName'])['FinalMetricDataList']))

    def test_file_mode_downloads_before_the_start(self):
        spec = self.job('file-mode', self.channel(S3DataSource={
            'S3DataType': 'S3Prefix', 'S3Uri': 's3://shapes/', 'S3DataDistributionType': 'FullyReplicated'}), epochs=1, workers=0, width=4)
        self.leat.run('train', self.write('job.json', spec), state_directory=True, timeout=300)
        self.assertEqual(self.describe('file-mode')['TrainingJobStatus'], 'Completed')

    def test_a_failing_script(self):
        code = os.path.join(self.scratch, 'code')
        os.makedirs(code)
        with open(os.path.join(code, 'fail.py'), 'w') as file:
            file.write("open('/opt/ml/output/failure', 'w').write('the data is sour')\nraise SystemExit(3)\n")
        path = self.write('job.json', self.job('failing', self.leat_channel(), 'fail.py', code))
        done = self.leat.run('train', path, state_directory=True, check=False)
        self.assertEqual(done.returncode, 1)
        described = self.describe('failing')
        self.assertEqual(described['TrainingJobStatus'], 'Failed')
        self.assertEqual(described['FailureReason'], 'AlgorithmError: the data is sour, exit code: 3')

    def test_validation_names_every_error_at_once(self):
        spec = self.job('bad name!', self.leat_channel())
        spec['StoppingCondition']['MaxRuntimeInSeconds'] = 0
        done = self.leat.run('train', self.write('job.json', spec), state_directory=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn('TrainingJobName', done.stderr)
        self.assertIn('MaxRuntimeInSeconds', done.stderr)

    def test_a_failure_without_a_file_tells_the_end_of_the_log(self):
        code = os.path.join(self.scratch, 'code')
        os.makedirs(code)
        with open(os.path.join(code, 'fail.py'), 'w') as file:
            file.write("import no_such_module\n")
        path = self.write('job.json', self.job('no-module', self.leat_channel(), 'fail.py', code))
        done = self.leat.run('train', path, state_directory=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("No module named 'no_such_module', exit code: 1", self.describe('no-module')['FailureReason'])
        self.assertIn("No module named 'no_such_module'", done.stderr)

    def test_a_reader_that_does_not_read_holds_nothing_up(self):
        code = os.path.join(self.scratch, 'code')
        os.makedirs(code)
        with open(os.path.join(code, 'loud.py'), 'w') as file:
            file.write("for i in range(20000): print(i, 'x' * 1000)\n")
        path = self.write('job.json', self.job('loud', self.leat_channel(), 'loud.py', code))
        train = subprocess.Popen([LEAT, 'train', path, '--state-dir', self.leat.state], env=self.leat.environment,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.assertEqual(train.wait(timeout=120), 0)  # not a byte of its output has been read
        self.assertEqual(self.describe('loud')['TrainingJobStatus'], 'Completed')
        logs = self.leat.run('jobs', 'logs', 'loud', state_directory=True).stdout
        self.assertEqual(len(logs.splitlines()), 20000)
        train.stdout.close()

    def test_stop_and_describe_of_a_name_that_a_training_and_a_tuning_job_share(self):
        code = os.path.join(self.scratch, 'code')
        os.makedirs(code)
        with open(os.path.join(code, 'nap.py'), 'w') as file:
            file.write("import sys, time\nprint('val_accuracy=1', flush=True)\ntime.sleep(float(sys.argv[-1]))\n")
        self.leat.run('train', self.write('job.json', self.job('shared', self.leat_channel(), 'nap.py', code, z=0)),
                      state_directory=True)
        self.assertEqual(self.describe('shared')['TrainingJobStatus'], 'Completed')
        definition = {key: value for key, value in self.job('x', self.leat_channel()).items()
                      if key not in ('TrainingJobName', 'HyperParameters')}
        definition['StaticHyperParameters'] = {'sagemaker_program': 'nap.py', 'sagemaker_submit_directory': code}
        path = self.write('tuning.json', {
            'HyperParameterTuningJobName': 'shared',
            'HyperParameterTuningJobConfig': {
                'Strategy': 'Grid', 'ResourceLimits': {'MaxParallelTrainingJobs': 1},
                'HyperParameterTuningJobObjective': {'Type': 'Maximize', 'MetricName': 'val:accuracy'},
                'ParameterRanges': {'CategoricalParameterRanges': [{'Name': 'z', 'Values': ['3600', '3601']}]}},
            'TrainingJobDefinition': definition})
        output = os.path.join(self.scratch, 'tune.log')
        with open(output, 'w') as file:
            tune = subprocess.Popen([LEAT, 'tune', path, '--state-dir', self.leat.state], env=self.leat.environment,
                                    stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        wait_for(lambda: 'val:accuracy=1' in open(output).read(), 'the first job runs', 60)
        self.assertEqual(self.describe('shared')['HyperParameterTuningJobStatus'], 'InProgress')
        self.leat.run('jobs', 'stop', 'shared', state_directory=True)
        tune.wait(timeout=60)
        self.assertEqual(self.describe('shared')['HyperParameterTuningJobStatus'], 'Stopped')
        for line in self.leat.run('jobs', 'list', state_directory=True).stdout.splitlines():
            self.assertLessEqual(len(line), 80)

    def test_the_data_set_is_made_anew_with_other_options(self):
        data = os.path.join(self.scratch, 'shapes')
        generate = [sys.executable, os.path.join(EXAMPLE, 'generate_dataset.py'), data, '--size', '8', '--count']
        count = lambda: sum(name.endswith('.jpg') for _, _, names in os.walk(data) for name in names)  # noqa: E731
        for wanted in (144, 72):
            subprocess.run([*generate, str(wanted)], check=True, stdout=subprocess.DEVNULL)
            self.assertEqual(count(), wanted)

    def test_interrupt_stops_the_whole_tree(self):
        code = os.path.join(self.scratch, 'code')
        os.makedirs(code)
        marker = os.path.join(self.scratch, 'pids')
        with open(os.path.join(code, 'sleepy.py'), 'w') as file:
            file.write('import subprocess, time\nchild = subprocess.Popen(["sleep", "4321"])\nprint("started", flush=True)\ntime.sleep(4321)\n')
        path = self.write('job.json', self.job('interrupted', self.leat_channel(), 'sleepy.py', code))
        with open(marker, 'w') as output:
            train = subprocess.Popen([LEAT, 'train', path, '--state-dir', self.leat.state], env=self.leat.environment,
                                     stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        wait_for(lambda: 'started' in open(marker).read(), 'the script starts', 60)
        train.send_signal(signal.SIGINT)
        self.assertNotEqual(train.wait(timeout=60), 0)
        time.sleep(0.5)
        left = subprocess.run(['pgrep', '-f', 'sleep 4321'], stdout=subprocess.PIPE, text=True).stdout.split()
        self.assertEqual(left, [])
        self.assertEqual(self.describe('interrupted')['TrainingJobStatus'], 'Stopped')


if __name__ == '__main__':
    unittest.main(verbosity=2)
