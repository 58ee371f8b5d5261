#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""count_tests.py LOG ok|FAILED: prints "passed failed skipped" as the runner in the log counted them (ctest over GoogleTest, Python's
unittest, or our own "N passed, N failed"). A step that failed counts at least one failure; one that counted nothing fails."""
import re
import sys


def count(text):
    passed = failed = skipped = 0
    ctest = re.search(r'(\d+)% tests passed, (\d+) tests failed out of (\d+)', text)
    if ctest:
        failed, total = int(ctest[2]), int(ctest[3])
        return total - failed, failed, len(re.findall(r'\*\*\*Skipped', text))
    for ran, tail in re.findall(r'^Ran (\d+) tests? in [^\n]*\n+((?:OK|FAILED)[^\n]*)', text, re.M):
        numbers = dict((name, int(value)) for name, value in re.findall(r'(failures|errors|skipped)=(\d+)', tail))
        bad = numbers.get('failures', 0) + numbers.get('errors', 0)
        failed += bad
        skipped += numbers.get('skipped', 0)
        passed += int(ran) - bad - numbers.get('skipped', 0)
    for good, bad in re.findall(r'(\d+) passed, (\d+) failed', text):
        passed += int(good)
        failed += int(bad)
    return passed, failed, skipped


def main():
    text = open(sys.argv[1], errors='replace').read()
    passed, failed, skipped = count(text)
    if passed + failed + skipped == 0 or (sys.argv[2] != 'ok' and failed == 0):
        failed += 1
    print(passed, failed, skipped)


main()
