#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""demo.py: a sweep of six training jobs on a mounted bucket, two of them again in File mode, and a table of what was measured.
Called by demo.sh, which has built Leat and filled the bucket."""
import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
METRICS = [{'Name': 'val:accuracy', 'Regex': r'val_accuracy=([0-9.]+)'},
           {'Name': 'train:loss', 'Regex': r'train_loss=([0-9.]+)'},
           {'Name': 'epoch_seconds', 'Regex': r'epoch_seconds=([0-9.]+)'},
           {'Name': 'first_batch_seconds', 'Regex': r'first_batch_seconds=([0-9.]+)'}]


def mounted(repository):
    return {'FileSystemDataSource': {'FileSystemId': repository, 'FileSystemAccessMode': 'ro', 'FileSystemType': 'FSxLustre',
                                     'DirectoryPath': '/'}}


def downloaded(repository):
    return {'S3DataSource': {'S3DataType': 'S3Prefix', 'S3Uri': repository, 'S3DataDistributionType': 'FullyReplicated'}}


def definition(source, output):
    return {'AlgorithmSpecification': {'TrainingInputMode': 'File', 'MetricDefinitions': METRICS},
            'InputDataConfig': [{'ChannelName': 'training', 'DataSource': source}],
            'OutputDataConfig': {'S3OutputPath': 'file://' + output},
            'ResourceConfig': {'InstanceType': 'local', 'InstanceCount': 1},
            'StoppingCondition': {'MaxRuntimeInSeconds': 1800}}


def static(epochs):
    return {'sagemaker_program': 'train.py', 'sagemaker_submit_directory': HERE, 'epochs': str(epochs)}


def metric(job, name):
    return next((entry['Value'] for entry in job.get('FinalMetricDataList', []) if entry['MetricName'] == name), float('nan'))


def row(label, job):
    hyper, data = job['HyperParameters'], job['LeatDataAccounting']
    return (f"{label:<15} {float(hyper['learning-rate']):.5f} {hyper['batch-size']:>5} {hyper['augmentation']:<7}"
            f"{data['SecondsToFirstBatch']:8.1f} {metric(job, 'epoch_seconds'):6.1f} {metric(job, 'val:accuracy'):9.6f}"
            f"{data['S3Requests']:9d} {data['S3Bytes'] / 1e6:6.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ['leat', 'state-dir', 'repository', 'output']:
        parser.add_argument('--' + name, required=True)
    parser.add_argument('--epochs', type=int, default=2)
    options = parser.parse_args()
    os.makedirs(options.output, exist_ok=True)

    def leat(*arguments, capture=False):
        return subprocess.run([options.leat, *arguments, '--state-dir', options.state_dir], check=True,
                              stdout=subprocess.PIPE if capture else None, text=True).stdout

    def write(name, value):
        path = os.path.join(options.output, name)
        with open(path, 'w') as file:
            json.dump(value, file, indent=1)
        return path

    def describe(name):
        return json.loads(leat('jobs', 'describe', name, '--json', capture=True))

    print('\nA sweep of 6 jobs over the mounted bucket, one after another:', flush=True)
    leat('tune', write('tuning-job.json', {
        'HyperParameterTuningJobName': 'shapes',
        'HyperParameterTuningJobConfig': {
            'Strategy': 'Random', 'RandomSeed': 5,
            'HyperParameterTuningJobObjective': {'Type': 'Maximize', 'MetricName': 'val:accuracy'},
            'ResourceLimits': {'MaxNumberOfTrainingJobs': 6, 'MaxParallelTrainingJobs': 1},
            'ParameterRanges': {
                'ContinuousParameterRanges': [{'Name': 'learning-rate', 'MinValue': '0.0008', 'MaxValue': '0.004',
                                               'ScalingType': 'Logarithmic'}],
                'CategoricalParameterRanges': [{'Name': 'batch-size', 'Values': ['32', '64']},
                                               {'Name': 'augmentation', 'Values': ['none', 'flip', 'full']}]}},
        'TrainingJobDefinition': {'StaticHyperParameters': static(options.epochs),
                                  **definition(mounted(options.repository), options.output)}}))
    names = [job['TrainingJobName'] for job in json.loads(leat('jobs', 'list', '--json', capture=True))['TrainingJobSummaries']]
    sweep = [describe(name) for name in sorted(names)]

    rows = [(f'Leat, job {number}', job) for number, job in enumerate(sweep, 1)]
    for connections, label in [(64, 'File mode, 64'), (10, 'File mode, 10')]:
        for number, job in enumerate(sweep[:2], 1):
            name = f'file-mode-{connections}-connections-{number}'
            print(f'\nJob {number} again in File mode with {connections} connections:', flush=True)
            hyper = {key: value for key, value in job['HyperParameters'].items() if not key.startswith('_')}
            leat('train', write(name + '.json', {'TrainingJobName': name, 'HyperParameters': hyper,
                                                 **definition(downloaded(options.repository), options.output)}),
                 '--file-mode-connections', str(connections))
            rows.append((label, describe(name)))

    print('\n                learning batch augmen- to first  epoch    val.        S3  MB from')
    print('                    rate  size tation  batch s      s  accuracy requests    S3')
    for label, job in rows:
        print(row(label, job))
    print_comparison([job['LeatDataAccounting'] for _, job in rows])
    write('results.json', [job for _, job in rows])


def print_comparison(data):
    leat, file_mode, few = data[:6], data[6:8], data[8:10]
    warm = sum(job['SecondsToFirstBatch'] for job in leat[1:]) / len(leat[1:])
    slow = [sum(job['SecondsToFirstBatch'] for job in jobs) / len(jobs) for jobs in (file_mode, few)]
    print(f'\nFrom submit to the first batch: {leat[0]["SecondsToFirstBatch"]:.1f} s for the first job on Leat and {warm:.1f} s for the\n'
          f'later five, which sent S3 {sum(job["S3Requests"] for job in leat[1:])} requests; File mode took {slow[0]:.1f} s for every job with\n'
          f'64 connections ({slow[0] / warm:.1f} times as long) and {slow[1]:.1f} s with 10, as the AWS CLI does ({slow[1] / warm:.1f} times).')


if __name__ == '__main__':
    sys.exit(main())
