# SPDX-License-Identifier: Apache-2.0
"""The data sets: objects that s3lab computes, so that a million of them cost nothing; and the same as files on the local disk."""
import dataclasses
import os
import random
import re
import shutil
import urllib.parse
import urllib.request

PREFIX = 'data/'


@dataclasses.dataclass(frozen=True)
class Dataset:
    bucket: str
    count: int
    size: int
    layout: str = 'flat'

    @property
    def bytes(self):
        return self.count * self.size

    @property
    def shape(self):
        size = f'{self.size / 1e6:.0f} MB' if self.size >= 1e6 else f'{self.size / 1000:.0f} KB' if self.size else 'empty'
        return f'{self.count:,} x {size}'

    @property
    def specification(self):
        return f'{self.bucket}=count={self.count},size={self.size},layout={self.layout},prefix={PREFIX},seed=7'


# Full size, and with --quick.
COUNTS = {'small39': (30_000, 600), 'small110': (20_000, 400), 'sweep110': (10_000, 200), 'small323': (5_000, 200),
          'large': (10, 2), 'million': (1_000_000, 20_000), 'peer110': (2_000, 60), 'peerlarge': (3, 1)}
SIZES = {'small39': 39_000, 'small110': 110_000, 'sweep110': 110_000, 'small323': 323_000, 'large': 143_000_000, 'million': 3000}
QUICK_LARGE_SIZE = 20_000_000


def named(name, quick, layout='flat'):
    """One of COUNTS; `peer110` and `peerlarge` are the fewer objects that peers get."""
    count = COUNTS[name][1 if quick else 0]
    shape = name.replace('peer1', 'small1').replace('peerl', 'l')
    size = QUICK_LARGE_SIZE if quick and shape == 'large' else SIZES[shape]
    bucket = 'bench-' + name + ('' if layout == 'flat' else '-' + layout.replace('nested:', '').replace(':', 'x'))
    return Dataset(bucket, count, size, layout)


def keys(server, dataset):
    """All keys, listed as a plain client does."""
    found, after = [], ''
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        query = urllib.parse.urlencode({'list-type': 2, 'start-after': after})
        with opener.open(f'{server.endpoint}/{dataset.bucket}?{query}', timeout=60) as answer:
            page = re.findall(r'<Key>([^<]*)</Key>', answer.read().decode())
        found += page
        if len(page) < 1000:
            return found
        after = page[-1]


def shuffled(names, seed):
    names = list(names)
    random.Random(seed).shuffle(names)
    return names


def write_lines(path, lines):
    with open(path, 'w') as file:
        file.writelines(line + '\n' for line in lines)
    return path


def samples(names, size, length, seed):
    """(name, offset, length) of every sample of `length` bytes in each file, in random order."""
    every = [(name, offset, min(length, size - offset)) for name in names for offset in range(0, size, length)]
    random.Random(seed).shuffle(every)
    return every


def copy(mountpoint, names, destination):
    """The same bytes as a plain directory: the native reference."""
    made = set()
    for name in names:
        target = os.path.join(destination, name)
        directory = os.path.dirname(target)
        if directory not in made:
            os.makedirs(directory, exist_ok=True)
            made.add(directory)
        shutil.copyfile(os.path.join(mountpoint, name), target)
    os.sync()


def sparse_tree(names, size, destination):
    """Files of the same names and sizes that occupy no block: the reference of what reads names and attributes only."""
    made = set()
    for name in names:
        target = os.path.join(destination, name)
        directory = os.path.dirname(target)
        if directory not in made:
            os.makedirs(directory, exist_ok=True)
            made.add(directory)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT, 0o644)
        os.truncate(descriptor, size)
        os.close(descriptor)
    os.sync()
