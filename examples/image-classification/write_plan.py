#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the order in which train.py reads its files, for `leat restore --plan`: they then arrive in the order of need.

    python3 write_plan.py --training /mnt/shapes --seed 1 | leat restore --plan -
    SM_CHANNEL_TRAINING=/mnt/shapes python3 train.py --seed 1

A seeded sampler gives its order before a file is read: ask the one that the DataLoader will use. The first epoch reads every
file, so its order is the whole plan.
"""
import argparse
import os
import sys

from train import ImageFolder, train_sampler


def plan(training, seed):
    """Paths in the order of the first epoch: the training images as sampled, then those of the validation after it."""
    train = ImageFolder(os.path.join(training, 'train'), 0, 'none')
    for index in train_sampler(train, seed):
        yield train.samples[index][0]
    for path, _ in ImageFolder(os.path.join(training, 'validation'), 0, 'none').samples:
        yield path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--training', default=os.environ.get('SM_CHANNEL_TRAINING'), help='the mounted data')
    parser.add_argument('--seed', type=int, default=1, help='as given to train.py')
    arguments = parser.parse_args()
    if not arguments.training:
        parser.error('name the data: --training DIRECTORY, or SM_CHANNEL_TRAINING')
    for path in plan(os.path.abspath(arguments.training), arguments.seed):
        sys.stdout.write(path + '\n')


if __name__ == '__main__':
    main()
