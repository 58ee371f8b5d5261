# SPDX-License-Identifier: Apache-2.0
"""Row 13: a sweep of training jobs over one data set in S3, each with an emulated accelerator: over a mount, and in File mode."""
import json
import os
import shutil
import time

import datasets
import services
from measurement import Case, Group, LEAT, REFERENCE, Side, Target
from rows_cold import LATENCY_MS

JOBS = 8
BATCH = 24
# What a step takes the emulated accelerator: all steps together 0.4 of what File mode's download takes, or less (design 13).
# The download of 10,000 x 110 KB takes 5 s here with 64 connections.
COMPUTE_MS = 4.5
READERS = 4
SCRIPT = """#!/bin/sh
exec "$READ_FILES" --list "$SAMPLES" --root "$SM_CHANNEL_TRAIN" --threads {readers} --order shuffled --seed "$SM_HP_TRIAL" \\
  --batch {batch} --compute-ms {compute}
"""


class Sweep:
    def __init__(self, bench):
        self.bench, self.dataset = bench, bench.dataset('sweep110')

    def open(self, stack):
        self.lab = services.Lab(self.bench.directory('s3lab'), [self.dataset])
        stack.callback(self.lab.close)
        names = datasets.keys(self.lab, self.dataset)
        self.samples = self.bench.file('samples', (name.removeprefix(datasets.PREFIX) for name in names))

    def request(self, scratch, source):
        return {
            'HyperParameterTuningJobName': 'sweep',
            'HyperParameterTuningJobConfig': {
                'Strategy': 'Grid',
                'HyperParameterTuningJobObjective': {'Type': 'Maximize', 'MetricName': 'utilisation'},
                'ResourceLimits': {'MaxParallelTrainingJobs': 1},
                'ParameterRanges': {'CategoricalParameterRanges': [
                    {'Name': 'trial', 'Values': [str(number) for number in range(1, JOBS + 1)]}]}},
            'TrainingJobDefinition': {
                'StaticHyperParameters': {'sagemaker_program': 'run.sh', 'sagemaker_submit_directory': scratch + '/code'},
                'Environment': {'READ_FILES': os.path.join(services.TOOLS, 'read_files'), 'SAMPLES': self.samples},
                'AlgorithmSpecification': {'TrainingInputMode': 'File', 'MetricDefinitions': [
                    {'Name': 'utilisation', 'Regex': '"accelerator_utilisation": ?([0-9.]+)'}]},
                'InputDataConfig': [{'ChannelName': 'train', 'DataSource': source}],
                'OutputDataConfig': {'S3OutputPath': 'file://' + scratch + '/out'}}}

    def run(self, source):
        """The wall time of the whole sweep, from nothing cached; what its first and its later jobs took."""
        scratch = self.bench.directory('sweep')
        os.makedirs(scratch + '/code')
        with open(scratch + '/code/run.sh', 'w') as file:
            file.write(SCRIPT.format(readers=READERS, batch=BATCH, compute=COMPUTE_MS))
        os.chmod(scratch + '/code/run.sh', 0o755)
        with open(scratch + '/sweep.json', 'w') as file:
            json.dump(self.request(scratch, source), file)
        self.lab.shape(latency_ms=LATENCY_MS)
        os.sync()
        leat = services.harness.Leat(scratch, self.lab.environment)
        try:
            spent, began = services.Meter(self.lab), time.monotonic()
            done = leat.run('tune', scratch + '/sweep.json', '--json', state_directory=True, timeout=services.limit_s)
            wall = time.monotonic() - began
            study = json.loads(done.stdout)
            if study['TrainingJobStatusCounters']['Completed'] != JOBS:
                raise RuntimeError('a training job did not complete: ' + done.stderr[-300:])
            jobs = [job['TrainingEndTime'] - job['CreationTime'] for job in study['LeatTrainingJobs']]
            return {'value': wall, 'first_job_s': jobs[0], 'later_jobs_s': sum(jobs[1:]) / (JOBS - 1),
                    'accelerator_utilisation': study['BestTrainingJob']['FinalHyperParameterTuningJobObjectiveMetric']['Value'],
                    **spent.stop()}
        finally:
            leat.close()
            shutil.rmtree(scratch, ignore_errors=True)

    def mounted(self, number):
        return self.run({'FileSystemDataSource': {
            'FileSystemId': f's3://{self.dataset.bucket}/{datasets.PREFIX}', 'DirectoryPath': '/',
            'FileSystemType': 'FSxLustre', 'FileSystemAccessMode': 'ro'}})

    def file_mode(self, number):
        return self.run({'S3DataSource': {'S3DataType': 'S3Prefix', 'S3Uri': f's3://{self.dataset.bucket}/{datasets.PREFIX}'}})


def sweep(bench):
    """Row 13."""
    data = Sweep(bench)

    def ratio(summary):
        return next((side.get('ratio') for side in summary['sides'] if side['role'] == LEAT), None)
    compute = data.dataset.count / BATCH * COMPUTE_MS / 1000
    case = Case('13', f'sweep of {JOBS} jobs, {data.dataset.shape}, {compute:.1f} s of compute each, first byte {LATENCY_MS} ms',
                'cold', 's', [Side('File mode, 64 conn.', REFERENCE, data.file_mode), Side('leat', LEAT, data.mounted)],
                [Target('<= 0.40 of the wall time', ratio, lambda found: found <= 0.4)], per='nothing')
    yield Group([case], data.open)
