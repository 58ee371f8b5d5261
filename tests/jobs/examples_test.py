#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The other examples on small data sets, from the tuning.json that they bring: every job completes and tells its metric, and all but
the first ask S3 for nothing."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import MountTest, S3Lab, TOP  # noqa: E402

EXAMPLES = os.path.join(TOP, 'examples')


class Examples(MountTest):
    @classmethod
    def make_server(cls):
        trees = []
        for bucket, example, options in [('texts', 'text-classification', ['--count', '240']),
                                         ('shapes', 'image-classification', ['--count', '144', '--size', '16'])]:
            data = os.path.join(cls.class_scratch, bucket)
            subprocess.run([sys.executable, os.path.join(EXAMPLES, example, 'generate_dataset.py'), data, *options],
                           check=True, stdout=subprocess.DEVNULL)
            trees += ['--import-tree', f'{bucket}={data}']
        return S3Lab(cls.class_scratch, *trees)

    def tune(self, example, parameters, **static):
        """Runs the example's tuning job with less work in each job; the tuning job's description."""
        with open(os.path.join(EXAMPLES, example, 'tuning.json')) as file:
            request = json.loads(file.read().replace('/path/to/leat', TOP))
        definition = request['TrainingJobDefinition']
        definition['StaticHyperParameters'].update(epochs='1', workers='0', **static)
        definition['OutputDataConfig']['S3OutputPath'] = 'file://' + os.path.join(self.scratch, 'output')
        ranges = request['HyperParameterTuningJobConfig']['ParameterRanges']['CategoricalParameterRanges']
        for found in ranges:
            found['Values'] = parameters.get(found['Name'], found['Values'])
        path = os.path.join(self.scratch, 'tuning.json')
        with open(path, 'w') as file:
            json.dump(request, file)
        print(self.leat.run('tune', path, state_directory=True).stdout)
        text = self.leat.run('jobs', 'describe', request['HyperParameterTuningJobName'], '--json', state_directory=True).stdout
        description = json.loads(text)
        jobs = description['LeatTrainingJobs']
        self.assertEqual({job['TrainingJobStatus'] for job in jobs}, {'Completed'})
        for job in jobs:
            self.assertEqual(job['FinalHyperParameterTuningJobObjectiveMetric']['MetricName'], 'val:accuracy')
            self.assertIn('SecondsToFirstBatch', job['LeatDataAccounting'])
        requests = [job['LeatDataAccounting']['S3Requests'] for job in sorted(jobs, key=lambda job: job['TrainingJobName'])]
        self.assertGreater(requests[0], 0)
        self.assertEqual(requests[1:], [0] * (len(jobs) - 1))
        return text, jobs

    def test_text_classification(self):
        _, jobs = self.tune('text-classification', {'learning-rate': ['0.003']})
        self.assertEqual({job['TunedHyperParameters']['architecture'] for job in jobs}, {'bag', 'cnn', 'gru'})

    def test_augmentation_study(self):
        text, jobs = self.tune('augmentation-study', {}, width='4')
        self.assertEqual(len(jobs), 10)
        done = subprocess.run([sys.executable, os.path.join(EXAMPLES, 'augmentation-study/summarise.py')], input=text,
                              check=True, stdout=subprocess.PIPE, text=True)
        rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[1:]}
        self.assertEqual(set(rows), {'none', 'flip', 'crop', 'color', 'full'})
        for jobs_of, mean, spread in rows.values():
            self.assertEqual(jobs_of, '2')
            self.assertGreaterEqual(float(mean), 0)
            self.assertGreaterEqual(float(spread), 0)

    def test_the_summary_refuses_what_is_no_tuning_job(self):
        done = subprocess.run([sys.executable, os.path.join(EXAMPLES, 'augmentation-study/summarise.py')], input='{}',
                              stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn('no description of a tuning job', done.stderr)


if __name__ == '__main__':
    unittest.main(verbosity=2)
