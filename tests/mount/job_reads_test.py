#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each job has read, counted by the process tree below the owner of its lease: two trees on one mount, bytes exact and
apart; what had to be waited for is cold, what the cache has is not; what stands outside of every tree is nobody's."""
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../harness'))
from harness import MountTest, end, random_bytes, wait_for  # noqa: E402

# Reads whole files, each by one read(2) and in a thread of its own, whose number is another than the process's.
READ = '''
import os, sys, threading
def read(path):
    descriptor = os.open(path, os.O_RDONLY)
    while os.read(descriptor, 1 << 20):
        pass
    os.close(descriptor)
for path in sys.argv[1:]:
    thread = threading.Thread(target=read, args=(path,))
    thread.start()
    thread.join()
'''
# Owns a lease as a trainer's shim does: runs each command that comes (one JSON list a line) in a grandchild, and says so when it
# has ended; ["self", path] is read by the owner itself.
OWNER = '''
import json, os, subprocess, sys
for line in sys.stdin:
    command = json.loads(line)
    if command[0] == "self":
        open(command[1], "rb", buffering=0).read()
    else:
        child = os.fork()
        if child == 0:
            os._exit(subprocess.run(command).returncode)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    print("done", flush=True)
'''


class Tree:
    def __init__(self):
        self.process = subprocess.Popen([sys.executable, '-c', OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def run(self, *command):
        self.process.stdin.write(json.dumps(command) + '\n')
        self.process.stdin.flush()
        assert self.process.stdout.readline() == 'done\n', command

    def read(self, *paths):
        self.run(sys.executable, '-c', READ, *paths)

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


class Lease:
    """A connection to the daemon, which holds a lease for as long as it is open."""

    def __init__(self, state, file_system, **owner):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(os.path.join(state, 'control.sock'))
        self.lines = self.socket.makefile('rb')
        self.call(verb='lease', file_system=file_system, **owner)

    def call(self, **request):
        answer = self.ask(**request)
        assert answer['ok'], answer
        return answer['result']

    def ask(self, **request):
        self.socket.sendall(json.dumps(request).encode() + b'\n')
        return json.loads(self.lines.readline())

    def close(self):
        self.lines.close()
        self.socket.close()


class JobReads(MountTest):
    bucket_name = 'job-reads'
    server_arguments = ('--latency-ms', '30')

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.bucket(cls.bucket_name)
        cls.sizes = {'a0': 10_007, 'a1': 40_018, 'b0': 10_010, 'b1': 40_021, 'c0': 10_013, 'c1': 40_024,
                     'large': (12 << 20) + 345}
        # No directory has three children with files: nothing is fetched ahead of the reader.
        cls.keys = {name: f'{index >> 2}/{index >> 1 & 1}/{index & 1}/{name}' for index, name in enumerate(cls.sizes)}
        for index, (name, size) in enumerate(cls.sizes.items()):
            cls.server.put(cls.bucket_name, cls.keys[name], random_bytes(index, size))

    def setUp(self):
        super().setUp()
        self.leat.mount(f's3://{self.bucket_name}', self.mountpoint)
        self.leat.imported(self.mountpoint)
        self.id = self.leat.file_system(self.mountpoint)['id']
        self.closing = contextlib.ExitStack()

    def tearDown(self):
        self.closing.close()  # whoever has the mount open
        super().tearDown()

    def tree(self):
        tree = Tree()
        self.closing.callback(end, tree.process)
        self.closing.callback(tree.close)
        return tree

    def lease(self, **owner):
        lease = Lease(self.leat.state, self.id, **owner)
        self.closing.callback(lease.close)
        return lease

    def path(self, name):
        return os.path.join(self.mountpoint, self.keys[name])

    def jobs(self):
        return {job['owner_pid']: job for job in self.leat.file_system(self.mountpoint)['jobs']}

    def counts(self, pid):
        job = self.jobs()[pid]
        self.assertEqual(job['bytes'], job['bytes_cached'] + job['bytes_cold'])
        return job['reads'], job['bytes_cold'], job['bytes_cached']

    def size(self, *names):
        return sum(self.sizes[name] for name in names)

    def kept(self, files):
        """The reader is answered before its bytes are kept."""
        wait_for(lambda: self.leat.file_system(self.mountpoint)['restored']['files'] == files, f'{files} files are in the cache')

    def drop_pages(self, *names):
        for name in names:
            descriptor = os.open(self.path(name), os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)

    def test_two_trees_are_counted_apart_and_the_rest_is_nobodys(self):
        a, b = self.tree(), self.tree()
        started = time.time()
        lease_a, lease_b = self.lease(owner_pid=a.pid), self.lease(owner_pid=b.pid)
        self.assertEqual(self.counts(a.pid), (0, 0, 0))
        self.assertIsNone(self.jobs()[a.pid]['first_read_at'])

        a.read(self.path('a0'), self.path('a1'))
        b.read(self.path('b0'))
        cold_a, cold_b = self.size('a0', 'a1'), self.size('b0')
        self.assertEqual(self.counts(a.pid), (2, cold_a, 0))
        self.assertEqual(self.counts(b.pid), (1, cold_b, 0))
        job = self.jobs()[a.pid]
        self.assertGreater(job['stalled_seconds'], 0)
        self.assertGreaterEqual(job['wait_seconds'], job['stalled_seconds'] * 0.999)
        self.assertTrue(started <= job['first_read_ns'] / 1e9 <= time.time(), job)
        stalled = job['stalled_seconds']

        # From the page cache no message comes; without it, the cache on disk answers, in whosever name it was fetched.
        a.read(self.path('a0'))
        self.assertEqual(self.counts(a.pid), (2, cold_a, 0))
        self.kept(3)
        self.drop_pages('a0', 'b0')
        a.read(self.path('a0'), self.path('b0'))
        self.assertEqual(self.counts(a.pid), (4, cold_a, self.size('a0', 'b0')))
        self.assertEqual(self.jobs()[a.pid]['stalled_seconds'], stalled)
        self.assertEqual(self.counts(b.pid), (1, cold_b, 0))

        # The owner itself, and a process in a pid namespace of its own, as bubblewrap makes one.
        b.run('self', self.path('b1'))
        b.run('unshare', '--pid', '--fork', '--mount-proc', sys.executable, '-c', READ, self.path('c0'))
        cold_b += self.size('b1', 'c0')
        self.assertEqual(self.counts(b.pid), (3, cold_b, 0))

        # Outside of both.
        before = self.leat.file_system(self.mountpoint)['reads']
        subprocess.run([sys.executable, '-c', READ, self.path('c1')], check=True)
        reads = self.leat.file_system(self.mountpoint)['reads']
        self.assertEqual((reads['count'] - before['count'], reads['bytes'] - before['bytes']), (1, self.size('c1')))
        self.assertEqual(self.counts(a.pid), (4, cold_a, self.size('a0', 'b0')))
        self.assertEqual(self.counts(b.pid), (3, cold_b, 0))

        # A lease that ended is still told of, and counts no more.
        lease_a.close()
        wait_for(lambda: not self.jobs()[a.pid]['leased'], 'the lease ends')
        self.drop_pages('a1')
        a.read(self.path('a1'))
        self.assertEqual(self.counts(a.pid)[0], 4)
        self.assertTrue(self.jobs()[b.pid]['leased'])
        # Taken again, it goes on.
        self.lease(owner_pid=a.pid)
        self.drop_pages('a1')
        a.read(self.path('a1'))
        self.assertEqual(self.counts(a.pid), (5, cold_a, self.size('a0', 'b0', 'a1')))
        lease_b.close()

    def test_the_owner_may_come_later_and_be_several(self):
        lease = self.lease()  # of this process, below which all is
        outside = self.tree()
        outside.read(self.path('a0'))
        self.assertEqual(self.counts(os.getpid()), (1, self.size('a0'), 0))
        hosts = sorted([self.tree(), self.tree()], key=lambda tree: tree.pid)
        lease.call(verb='lease_owner', owner_pids=[host.pid for host in reversed(hosts)])
        hosts[0].read(self.path('b0'))
        hosts[1].read(self.path('b1'))
        outside.read(self.path('a1'))
        jobs = self.jobs()
        self.assertEqual(jobs[hosts[0].pid]['owner_pids'], [host.pid for host in hosts])
        self.assertEqual(self.counts(hosts[0].pid), (2, self.size('b0', 'b1'), 0))
        self.assertEqual(self.counts(os.getpid()), (1, self.size('a0'), 0))
        self.assertEqual([jobs[pid]['leased'] for pid in (hosts[0].pid, os.getpid())], [True, False])

        for wrong in [{'owner_pid': -1}, {'owner_pid': 'x'}, {'owner_pid': 1 << 40}, {'owner_pids': []}, {'owner_pids': 5}]:
            self.assertEqual(lease.ask(verb='lease_owner', **wrong)['error']['code'], 'invalid_argument', wrong)
        lease.call(verb='unlease', file_system=self.id)
        self.assertEqual(lease.ask(verb='lease_owner', owner_pid=1)['error']['code'], 'not_found')
        self.leat.unmount(self.mountpoint)  # no lease is in the way

    def test_every_byte_of_a_large_file_is_counted_once(self):
        tree = self.tree()
        self.lease(owner_pid=tree.pid)
        tree.read(self.path('large'))
        reads, cold, cached = self.counts(tree.pid)
        self.assertEqual(cold + cached, self.size('large'))
        self.assertGreater(cold, 0)  # what was fetched ahead of the reader in time is cached
        self.drop_pages('large')
        tree.read(self.path('large'))
        again = self.counts(tree.pid)
        self.assertEqual(again[1], cold)
        self.assertEqual(again[2] - cached, self.size('large'))


if __name__ == '__main__':
    unittest.main()
