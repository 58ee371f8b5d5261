#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The plan that the example writes is the order in which its training script reads."""
import os
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = os.path.join(TOP, 'examples/image-classification')

# Runs train.py's main() and prints the path of each sample that its data sets are asked for.
RECORDER = '''
import sys
sys.path.insert(0, sys.argv.pop(1))
import train
read = train.ImageFolder.__getitem__
def recorded(self, index):
    print("READ", self.samples[index][0])
    return read(self, index)
train.ImageFolder.__getitem__ = recorded
train.main()
'''


class PlanExample(unittest.TestCase):
    def test_the_plan_is_the_order_of_the_first_epoch(self):
        with tempfile.TemporaryDirectory(prefix='leat-test-') as scratch:
            data = os.path.join(scratch, 'shapes')
            subprocess.run([sys.executable, os.path.join(EXAMPLE, 'generate_dataset.py'), data, '--count', '240', '--size', '8'],
                           check=True, stdout=subprocess.DEVNULL)
            plans = []
            for seed in (1, 7):
                # Whatever else draws random numbers: another width, other augmentation.
                options = ['--seed', str(seed), '--epochs', '1', '--workers', '0', '--width', str(3 + seed), '--image-size', '16',
                           '--model-dir', scratch, '--training', data]
                done = subprocess.run([sys.executable, '-c', RECORDER, EXAMPLE, *options], check=True, stdout=subprocess.PIPE, text=True)
                read = [line[5:] for line in done.stdout.splitlines() if line.startswith('READ ')]
                plan = subprocess.run([sys.executable, os.path.join(EXAMPLE, 'write_plan.py'), '--training', data, '--seed', str(seed)],
                                      check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
                self.assertEqual(plan, read)
                self.assertEqual(len(set(plan)), sum(name.endswith('.jpg') for _, _, names in os.walk(data) for name in names))
                plans.append(plan)
            self.assertNotEqual(plans[0], plans[1])


if __name__ == '__main__':
    unittest.main(verbosity=2)
