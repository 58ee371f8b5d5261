#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the files of a list as training scripts do, open(path, 'rb').read(), and prints a line of JSON. As a training job it gets
its arguments as hyperparameters and the directory from SM_CHANNEL_TRAINING.

Example: python_reader.py --list names --root /mnt/data --epochs 2"""
import argparse
import json
import os
import random
import resource
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--list', required=True, help='a name a line, relative to the root')
    parser.add_argument('--root', default=os.environ.get('SM_CHANNEL_TRAINING', '.'))
    parser.add_argument('--epochs', type=int, default=1)
    parser.add_argument('--seed', type=int, default=1)
    options = parser.parse_args()
    with open(options.list) as file:
        paths = [os.path.join(options.root, line.rstrip('\n')) for line in file]
    chosen, files, read, seconds = random.Random(options.seed), 0, 0, 0.0
    used = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(options.epochs):
        chosen.shuffle(paths)
        began = time.perf_counter()
        for path in paths:
            with open(path, 'rb') as file:
                read += len(file.read())
        seconds += time.perf_counter() - began
        files += len(paths)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    print('python_reader ' + json.dumps({
        'files': files, 'bytes': read, 'seconds': seconds,
        'files_per_second': files / seconds, 'bytes_per_second': read / seconds,
        'user_seconds': spent.ru_utime - used.ru_utime, 'system_seconds': spent.ru_stime - used.ru_stime}), flush=True)


if __name__ == '__main__':
    main()
