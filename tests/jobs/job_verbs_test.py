#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A job from flags, its metrics, lists of jobs, deletion; File mode channels that --accelerate mounts."""
import csv
import io
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import MountTest, S3Lab  # noqa: E402

SCRIPT = """import os, sys
channel = os.environ['SM_CHANNEL_TRAINING']
print('files', sorted(os.listdir(channel)))
for i in range(10): print(f'loss={1 / (i + 1)}', flush=True)
"""


class JobVerbs(MountTest):
    @classmethod
    def make_server(cls):
        tree = os.path.join(cls.class_scratch, 'tree')
        for name in ['train/a.txt', 'train/b.txt', 'part-1/x', 'part-2/y']:
            os.makedirs(os.path.dirname(os.path.join(tree, name)), exist_ok=True)
            with open(os.path.join(tree, name), 'w') as file:
                file.write(name)
        return S3Lab(cls.class_scratch, '--import-tree', f'verbs={tree}')

    def setUp(self):
        super().setUp()
        self.script = os.path.join(self.scratch, 'code', 'learn.py')
        os.makedirs(os.path.dirname(self.script))
        with open(self.script, 'w') as file:
            file.write(SCRIPT)

    def leat_jobs(self, *arguments, **options):
        return self.leat.run('jobs', *arguments, state_directory=True, **options)

    def train(self, name, place, *flags):
        return self.leat.run('train', '--script', self.script, '--input', f'training={place}', '--name', name,
                             '--metric', 'loss=loss=([0-9.]+)', *flags, state_directory=True)

    def test_a_job_from_flags_its_metrics_and_its_end(self):
        done = self.train('flags', 's3://verbs/train')
        self.assertIn("files ['a.txt', 'b.txt']", done.stdout)
        shown = self.leat_jobs('metrics', 'flags').stdout
        self.assertIn('highest', shown)
        self.assertTrue(all(len(line) <= 80 for line in shown.splitlines()), shown)
        rows = list(csv.DictReader(io.StringIO(self.leat_jobs('metrics', 'flags', '--csv').stdout)))
        self.assertEqual([float(row['value']) for row in rows], [1 / (i + 1) for i in range(10)])
        metrics = json.loads(self.leat_jobs('metrics', 'flags', '--json').stdout)['Metrics']
        self.assertEqual((metrics[0]['Count'], metrics[0]['Lowest']), (10, 0.1))
        self.train('other', os.path.dirname(self.script))
        names = [line.split()[0] for line in self.leat_jobs('list', '--sort', 'name', '--descending').stdout.splitlines()]
        self.assertEqual(names, ['other', 'flags'])
        self.assertEqual(len(self.leat_jobs('list', '--max', '1').stdout.splitlines()), 1)
        self.leat_jobs('delete', 'flags', 'other')
        self.assertEqual(os.listdir(os.path.join(self.leat.state, 'jobs')), [])
        self.train('flags', 's3://verbs/train')  # the name is free

    def test_accelerate_mounts_folders_and_leaves_partial_names(self):
        def source(place):
            request = self.leat.run('train', '--script', self.script, '--input', f'training={place}', '--input-mode', 'File',
                                    '--accelerate', '--print-request', state_directory=True)
            return next(iter(json.loads(request.stdout)['InputDataConfig'][0]['DataSource'])), request.stderr
        self.assertEqual(source('s3://verbs/train'), ('FileSystemDataSource', ''))
        self.assertEqual(source('s3://verbs/train/')[0], 'FileSystemDataSource')
        kind, warning = source('s3://verbs/part-')
        self.assertEqual(kind, 'S3DataSource')
        self.assertIn('does not name a folder', warning)
        self.assertIn("files ['a.txt', 'b.txt']",
                      self.train('fast', 's3://verbs/train', '--input-mode', 'File', '--accelerate').stdout)


if __name__ == '__main__':
    unittest.main()
