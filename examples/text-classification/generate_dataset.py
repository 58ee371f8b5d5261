#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a text data set of many small files whose classes need word order for a part: eight classes, three questions each.

    generate_dataset.py OUTPUT [--count 4800] [--seed 1]

- where it happens, sea or farm: the words alone tell;
- who praised whom, elder or novice: the same words either way, told by neighbours;
- whether the bell rang before the lamp went out: the same sentences either way, far apart.

A bag of words can tell two classes' worth of eight (25 %), a model that sees neighbours half, one that keeps the order all.
Layout: OUTPUT/train/<class>/<number>.txt and OUTPUT/validation/... (one sixth). The same seed gives the same bytes.
"""
import argparse
import os
import random
import re
import sys

PLACES = {'sea': 'harbour sail anchor wave gull deck rope tide island mast'.split(),
          'farm': 'barn field plough hay cow fence orchard mill hen wheat'.split()}
PRAISES = ['elder praised novice', 'novice praised elder']
EVENTS = ['bell rang loudly', 'lamp went out']
FILLER = 'old grey quiet long near far again then still under over small warm early late two many some other left'.split()
CLASSES = [f'{place}-{praise}-{event}' for place in PLACES for praise in ('elder', 'novice') for event in ('bell', 'lamp')]


def make_text(index, seed):
    """The text of number `index`; its class is CLASSES[index % 8]."""
    source = random.Random(f'{seed}/{index}')
    place, praise, event = CLASSES[index % len(CLASSES)].split('-')

    def phrase():
        words = [source.choice(FILLER) for _ in range(source.randint(1, 4))]
        words.insert(source.randrange(len(words) + 1), source.choice(PLACES[place]))
        return ' '.join(words)

    events = EVENTS if event == 'bell' else EVENTS[::-1]
    # Other sentences stand first, between and last: what is next to an event must not tell which event it is.
    sentences = [phrase(), events[0], *(phrase() for _ in range(source.randint(1, 3))), events[1], phrase()]
    sentences.insert(source.randrange(1, len(sentences)), PRAISES[praise == 'novice'])
    return '. '.join(sentences) + '.\n'


def remove_stale(output, wanted):
    """Removes texts of ours that are not among `wanted`: those of a larger data set made here before."""
    for part in ('train', 'validation'):
        for name in CLASSES:
            folder = os.path.join(output, part, name)
            for file in os.listdir(folder) if os.path.isdir(folder) else []:
                path = os.path.join(folder, file)
                if re.fullmatch(r'[0-9]{6,}\.txt', file) and path not in wanted:
                    os.remove(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('output')
    parser.add_argument('--count', type=int, default=4800)
    parser.add_argument('--seed', type=int, default=1)
    options = parser.parse_args()
    if options.count < len(CLASSES) * 6:
        parser.error(f'--count must be at least {len(CLASSES) * 6}, six texts a class')
    paths = set()
    for index in range(options.count):
        part = 'validation' if index // len(CLASSES) % 6 == 5 else 'train'
        folder = os.path.join(options.output, part, CLASSES[index % len(CLASSES)])
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f'{index:06d}.txt')
        with open(path, 'w') as file:
            file.write(make_text(index, options.seed))
        paths.add(path)
    remove_stale(options.output, paths)
    print(f'{options.output}: {options.count} texts of {len(CLASSES)} classes')


if __name__ == '__main__':
    sys.exit(main())
