#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""leat restore --plan: what stands first in the plan is there first; lines that name no file; long plans; standard input."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import LEAT, MountTest, random_bytes, wait_for  # noqa: E402

FIRST, REST = 40, 300
BUCKET = 'plan-test'


class RestorePlan(MountTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.bucket(BUCKET)
        # What the plan names first is last in the listing.
        cls.first = [f'z/{index:03d}' for index in range(FIRST)]
        cls.rest = [f'a/{index:03d}' for index in range(REST)]
        for key in cls.first + cls.rest:
            cls.server.put(BUCKET, key, random_bytes(key, 3000))

    def setUp(self):
        super().setUp()
        self.leat.mount(f's3://{BUCKET}', self.mountpoint)
        self.leat.imported(self.mountpoint)

    def restore(self, text, *arguments, check=True):
        done = subprocess.run([LEAT, 'restore', '--plan', '-', *arguments], input=text, text=True, env=self.leat.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        if check and done.returncode != 0:
            raise AssertionError(f'exit {done.returncode}\n{done.stdout}{done.stderr}')
        return done

    def restored(self, key):
        return 'released' not in self.leat.run('state', os.path.join(self.mountpoint, key)).stdout

    def test_what_stands_first_is_restored_first(self):
        # Every object of the rest hangs: were they asked for first, they would hold every connection.
        self.server.faults({'match': {'bucket': BUCKET, 'operation': 'GetObject', 'key_prefix': 'a/'}, 'count': -1,
                            'action': {'stall': {'bytes': 100, 'ms': 60_000}}})
        try:
            plan = os.path.join(self.scratch, 'plan.txt')
            with open(plan, 'w') as file:
                file.writelines(key + '\n' for key in self.first + self.rest)
            before = self.server.gets()
            done = self.leat.run('restore', '--plan', plan, self.mountpoint)
            self.assertIn(f'restoring {FIRST + REST} paths in the background', done.stdout)
            wait_for(lambda: all(self.restored(key) for key in self.first), 'the first files of the plan')
            wait_for(lambda: self.server.gets() > before + FIRST, 'the rest is asked for')
            self.assertFalse(any(self.restored(key) for key in self.rest[:20]))
            self.assertGreater(self.server.control('GET', 'faults')['rules'][0]['fired'], 0)
        finally:
            self.server.control('DELETE', 'faults')

    def test_wait_and_what_is_told_at_the_end(self):
        plan = ''.join(f'{self.mountpoint}/{key}\n' for key in self.first)
        done = self.restore('\n' + plan, '--wait')  # the first line tells which mount
        self.assertRegex(done.stdout, rf'^restored {FIRST} files, 117 KiB in ')
        self.assertTrue(all(self.restored(key) for key in self.first))
        self.assertEqual(self.leat.file_system(self.mountpoint)['restored']['files'], FIRST)

    def test_lines_that_name_no_file_are_told_with_their_numbers_and_the_rest_goes_on(self):
        done = self.restore('z/000\n\nz/none\n./z/001\n/elsewhere/x\nz\n# z/002\nz/003', self.mountpoint, '--wait', check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.splitlines(), [
            'leat restore: standard input line 3: no such file: z/none',
            f'leat restore: standard input line 5: not below {self.mountpoint}: /elsewhere/x',
            'leat restore: standard input line 6: a directory: z; a plan names files',
            'leat restore: standard input line 7: no such file: # z/002',
            f'leat restore: standard input: 4 of 7 lines name no file on {self.mountpoint} and were passed over: correct them, or '
            'leat import the mount if the bucket has changed'])
        self.assertIn('restored 3 files', done.stdout)
        for key in ('z/000', 'z/001', 'z/003'):
            self.assertTrue(self.restored(key))

    def test_a_file_that_cannot_be_fetched_hides_no_mistake(self):
        self.server.faults({'match': {'bucket': BUCKET, 'key': 'z/002'}, 'count': -1, 'action': {'deny': True}})
        try:
            done = self.restore('z/001\n./z/none\nz/./002\n', self.mountpoint, '--wait', check=False)
        finally:
            self.server.control('DELETE', 'faults')
        self.assertEqual(done.returncode, 1)
        told = done.stderr.splitlines()
        self.assertEqual(len(told), 2, done.stderr)
        self.assertEqual(told[0], 'leat restore: standard input line 2: no such file: z/none')
        self.assertIn('access denied', told[1])
        self.assertTrue(self.restored('z/001'))

    def test_what_cannot_be_a_plan(self):
        for text, arguments, told in [('z/000\n', [], 'is not absolute; say which mount'), ('\n\n', [self.mountpoint], 'names no file'),
                                      ('', [], 'names no file')]:
            done = self.restore(text, *arguments, check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(told, done.stderr)
        done = self.leat.run('restore', '--plan', self.scratch + '/none', self.mountpoint, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('/none', done.stderr)

    def test_a_plan_of_many_parts(self):
        lines = [f'directory/that/is/not/there/{index}' for index in range(50_000)] + self.first
        done = self.restore('\n'.join(lines * 2), self.mountpoint, '--wait', check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.splitlines()), 22)  # twenty of them, that there are more, and how many
        self.assertIn('100 k of 100 k lines name no file', done.stderr)
        self.assertIn(f'restored {2 * FIRST} files', done.stdout)
        self.assertTrue(all(self.restored(key) for key in self.first))

    def test_an_interrupted_sender_ends_its_plan(self):
        sender = subprocess.Popen([LEAT, 'restore', '--plan', '-', self.mountpoint], stdin=subprocess.PIPE, text=True,
                                  env=self.leat.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        sender.stdin.write('z/000\n' * 200_000)  # several parts, and no end
        sender.stdin.flush()
        wait_for(lambda: self.restored('z/000'), 'the first part is under way')
        sender.kill()
        sender.wait()
        sender.stdin.close()
        self.leat.unmount(self.mountpoint)  # nothing holds it


if __name__ == '__main__':
    unittest.main(verbosity=2)
