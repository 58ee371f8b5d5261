#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when a file of src/ includes a folder that layers.txt does not list for it, or when policy/ touches the world.

    tools/check_layers.py            checks the tree; prints one line a finding and a count
    tools/check_layers.py --self-test  proves that it finds what it looks for
"""
import os
import re
import sys
import tempfile

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"/]+)/[^"]+"')
# policy/ and search/ decide on values and `now`: no clock, lock, thread or I/O.
IMPURE = re.compile(r'^\s*#\s*include\s+<(mutex|shared_mutex|thread|condition_variable|fstream|iostream|unistd\.h|fcntl\.h|'
                    r'sys/[^>]+|atomic|future)>|system_clock::now|steady_clock::now|std::shuffle|std::random_device')
UNSTABLE = re.compile(r'std::shuffle|std::\w+_distribution|std::random_device')


def read_layers(path):
    layers, seen = {}, []
    for line in open(path, encoding='utf-8'):
        line = line.split('#')[0].strip()
        if not line:
            continue
        folder, lower = line.split(':')
        lower = lower.split()
        for name in lower:
            if name not in seen:
                raise SystemExit(f'layers.txt: {folder} lists {name}, which does not stand above it')
        layers[folder] = {folder, 'base', *lower}
        seen.append(folder)
    return layers


def check(top):
    layers = read_layers(os.path.join(top, 'layers.txt'))
    findings, files = [], 0
    source = os.path.join(top, 'src')
    for directory, _, names in sorted(os.walk(source)):
        for name in sorted(names):
            if not name.endswith(('.h', '.cc')):
                continue
            files += 1
            path = os.path.join(directory, name)
            folder = os.path.relpath(path, source).split(os.sep)[0]
            shown = os.path.relpath(path, top)
            if folder not in layers:
                findings.append(f'{shown}: folder {folder} is not in layers.txt')
                continue
            test = name.endswith(('_test.cc', '_testing.h'))
            for number, line in enumerate(open(path, encoding='utf-8'), 1):
                match = INCLUDE.match(line)
                if match and match[1] not in layers[folder] and not (test and match[1] in ('sim', *layers)):
                    findings.append(f'{shown}:{number}: {folder} may not include {match[1]}/')
                if folder in ('policy', 'search') and not test and IMPURE.search(line):
                    findings.append(f'{shown}:{number}: {folder}/ is pure: no clock, lock or I/O: {line.strip()}')
                if UNSTABLE.search(line):
                    findings.append(f'{shown}:{number}: differs between compilers: use base/random.h: {line.strip()}')
    return findings, files


def self_test():
    with tempfile.TemporaryDirectory() as top:
        os.makedirs(f'{top}/src/low')
        os.makedirs(f'{top}/src/high')
        os.makedirs(f'{top}/src/policy')
        open(f'{top}/layers.txt', 'w').write('base:\npolicy:\nlow:\nhigh: low\n')
        open(f'{top}/src/high/a.cc', 'w').write('#include "low/b.h"\n#include "base/c.h"\n')
        assert check(top) == ([], 1), 'a clean tree has no finding'
        open(f'{top}/src/low/b.h', 'w').write('#include "high/a.h"\n')
        open(f'{top}/src/policy/p.cc', 'w').write('#include <mutex>\n')
        assert len(check(top)[0]) == 2, 'an upward include and a lock in policy/ are found'


def main():
    if sys.argv[1:] == ['--self-test']:
        self_test()
        print('layers self-test: 2 passed, 0 failed')
        return
    findings, files = check(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for finding in findings:
        print(finding)
    print(f'layers: {files} files, {len(findings)} findings')
    sys.exit(1 if findings else 0)


main()
