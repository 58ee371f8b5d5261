#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The repository lints itself: licence lines, lengths, names, run bits, links between documents. Prints one line a finding."""
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LINES_MAX = 800            # about 500 is the aim; past this a file is two concepts
COLUMNS_MAX = 160
VAGUE = re.compile(r'(^|[/_])(utils?|common|helpers?|manager|misc)([/_.]|$)')


def all_files():
    for folder, folders, names in os.walk(TOP):
        folders[:] = [name for name in folders if name not in ('.git', 'build', '__pycache__')]
        yield from (os.path.relpath(os.path.join(folder, name), TOP) for name in names)


def check_file(path):
    full = os.path.join(TOP, path)
    if VAGUE.search(path):
        yield f'{path}: a name that says nothing: name the concept'
    if not path.endswith(('.cc', '.h', '.py', '.sh')):
        return
    lines = open(full, encoding='utf-8').read().split('\n')
    if 'SPDX-License-Identifier: Apache-2.0' not in '\n'.join(lines[:2]):
        yield f'{path}:1: no SPDX line'
    if len(lines) > LINES_MAX:
        yield f'{path}: {len(lines)} lines, more than {LINES_MAX}: two concepts in one file?'
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX:
            yield f'{path}:{number}: {len(line)} columns, more than {COLUMNS_MAX}'
        if '\t' in line and not path.endswith('.sh'):
            yield f'{path}:{number}: a tab'
        if line != line.rstrip():
            yield f'{path}:{number}: trailing white space'
    if path.endswith('.h') and not any(line == '#pragma once' for line in lines):
        yield f'{path}: no #pragma once'
    if lines[0].startswith('#!') and not os.access(full, os.X_OK):
        yield f'{path}: a script without its run bit'


def check_links(path):
    for target in re.findall(r'\]\(([^)#:]+)\)', open(os.path.join(TOP, path), encoding='utf-8').read()):
        if not os.path.exists(os.path.join(TOP, os.path.dirname(path), target)):
            yield f'{path}: links to {target}, which is not there'


def main():
    files = sorted(all_files())
    findings = []
    for path in files:
        findings += check_file(path)
        if path.endswith('.md'):
            findings += check_links(path)
    for finding in findings:
        print(finding)
    print(f'style: {len(files)} files, {len(findings)} findings')
    sys.exit(1 if findings else 0)


main()
