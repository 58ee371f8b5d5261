#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/run on small data: every side is measured, results and chart are written, nothing stays mounted. No time is judged."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(*arguments, **more):
    return subprocess.run([sys.executable, os.path.join(TOP, 'bench/run'), *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=600, check=False, **more)


class Bench(unittest.TestCase):
    def setUp(self):
        self.output = tempfile.mkdtemp(prefix='leat-bench-', dir=os.path.join(TOP, 'build'))
        self.addCleanup(shutil.rmtree, self.output, True)

    def test_small_rows_are_measured_and_drawn(self):
        done = run('1', '4', '6', '7', '--quick', '--peers', 'none', '--no-build', '--output', self.output)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(os.path.join(self.output, 'results.json')) as file:
            cases = json.load(file)['cases']
        self.assertEqual({case['row'] for case in cases}, {'1', '4', '6', '7'})
        for case in cases:
            for side in case['sides']:
                self.assertGreater(side.get('median', -1), 0, (case['title'], side))
        together = next(case for case in cases if case['row'] == '6')
        self.assertLess(together['sides'][0]['median'], 1.05)  # bytes fetched of the data set's, four jobs at once
        xml.etree.ElementTree.parse(os.path.join(self.output, 'chart.svg'))
        shown = run('--markdown', '--output', self.output)
        self.assertEqual(len(shown.stdout.splitlines()), 2 + len(cases))
        with open('/proc/self/mounts') as mounts:
            self.assertNotIn(self.output, mounts.read())

    def test_an_unknown_row_is_named(self):
        done = run('12', '--output', self.output)
        self.assertEqual(done.returncode, 2)
        self.assertIn('no row 12', done.stderr)


if __name__ == '__main__':
    unittest.main(verbosity=2)
