# SPDX-License-Identifier: Apache-2.0
"""What a measurement runs on: s3lab with the data sets, Leat with a state directory of its own, the clients, and a meter of what
they cost."""
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time

import datasets
import machine

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, 'tests/harness'))
import harness  # noqa: E402

TOOLS = os.environ.get('BENCH_TOOLS', os.path.join(TOP, 'build/release/bench'))
limit_s = 3600  # of one program; shorter with --quick
FAST = {'latency_ms': 0, 'slow_percent': 0, 'slow_ms': 0, 'bandwidth': 0}


class Lab(harness.S3Lab):
    """s3lab with these data sets, and a directory for buckets that take writes."""

    def __init__(self, scratch, sets):
        buckets = os.path.join(scratch, 'buckets')
        os.makedirs(buckets, exist_ok=True)
        synthetic = [argument for dataset in sets for argument in ('--synthetic', dataset.specification)]
        super().__init__(scratch, '--anonymous', '--directory', buckets, *synthetic)

    def shape(self, **shape):
        self.control('POST', 'shape', {**FAST, **shape})

    def counters(self):
        operations = self.stats()['operations']
        gets = operations.get('GetObject', {})
        lists = [operations.get(name, {}) for name in ('ListObjectsV2', 'ListObjects')]
        return {'s3_requests': sum(found.get('requests', 0) for found in operations.values()),
                's3_gets': gets.get('requests', 0), 's3_bytes': gets.get('bytes_out', 0),
                's3_lists': sum(found.get('requests', 0) for found in lists),
                's3_list_bytes': sum(found.get('bytes_out', 0) for found in lists)}


class Mounted(harness.Leat):
    """Leat with one mount of one data set."""

    def __init__(self, scratch, lab, dataset):
        super().__init__(scratch, lab.environment)
        self.scratch, self.dataset = scratch, dataset
        self.mountpoint = os.path.join(scratch, 'mnt')
        self.pid = None

    def start(self, *arguments, **more):
        self.mount(f's3://{self.dataset.bucket}', self.mountpoint, *arguments, **more)
        self.pid = self.daemon_pid()

    def kernel_requests(self):
        return self.file_system(self.mountpoint)['kernel_requests']

    def hedges(self):
        """GETs sent a second time because the first was late."""
        found = self.file_system(self.mountpoint).get('hedges') or {}
        return {'hedges_' + name: found[name] for name in ('sent', 'won') if name in found}

    def memory_budget(self):
        """What `leat status` says of the daemon's memory: the budget, and each part's use and limit."""
        daemon = self.status()['daemon']
        found = {'budget_bytes': daemon['memory_budget_bytes']} if 'memory_budget_bytes' in daemon else {}
        for part, numbers in daemon.get('memory', {}).items():
            found |= {f'budget_{part}_{name}': value for name, value in numbers.items()}
        return found

    def restore(self):
        self.imported(self.mountpoint, 600)
        self.run('restore', self.mountpoint, '--wait', timeout=limit_s)

    def close(self):
        super().close()
        shutil.rmtree(self.scratch, ignore_errors=True)


class Meter:
    """What was spent between its start and `stop()`: S3 requests and bytes, kernel requests, the servers' CPU time."""

    def __init__(self, lab=None, mounted=None, pids=()):
        self.lab, self.mounted = lab, mounted
        self.pids = list(pids) or ([mounted.pid] if mounted else [])
        self.before = {**self.counters(), 'server_cpu_s': machine.cpu_seconds(self.pids) if self.pids else None}

    def counters(self):
        kernel = {'kernel_requests': self.mounted.kernel_requests()} if self.mounted else {}
        return {**(self.lab.counters() if self.lab else {}), **kernel}

    def stop(self):
        # Time first: asking for the counters costs the daemon some.
        after = {'server_cpu_s': machine.cpu_seconds(self.pids) if self.pids else None, **self.counters()}
        return {name: after[name] - before for name, before in self.before.items() if before is not None}


def tool(name, *arguments, **more):
    """Runs a program of ours that answers in JSON."""
    done = subprocess.run([os.path.join(TOOLS, name), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=limit_s, stdin=subprocess.DEVNULL, check=False, **more)
    return answer_of(name, done.returncode, done.stdout, done.stderr)


def answer_of(name, status, output, errors):
    with contextlib.suppress(ValueError):
        answer = json.loads(output)
        if answer.get('errors'):
            raise RuntimeError(f'{name}: {answer["errors"]} errors: {errors.strip()[:300]}')
        if status == 0:
            return {**answer, 'client_cpu_s': answer.get('user_seconds', 0) + answer.get('system_seconds', 0)}
    raise RuntimeError(f'{name}: exit {status}: {errors.strip()[-300:]}')


def read_files(root, list_file, *arguments):
    answer = tool('read_files', '--list', list_file, '--root', root, *arguments)
    return {**answer, 'p99_us': answer['latency_us']['p99']}


def get_objects(lab, bucket, keys_file, connections, *arguments):
    return tool('get_objects', '--endpoint-url', lab.endpoint, '--bucket', bucket, '--keys', keys_file,
                '--connections', connections, *arguments, env={**os.environ, **lab.environment})


def list_objects(lab, bucket, *arguments):
    return tool('list_objects', '--endpoint-url', lab.endpoint, '--bucket', bucket, *arguments,
                env={**os.environ, **lab.environment})


def fresh_directory(parent, name):
    """An empty directory of its own for each use, on the same disk as everything else."""
    path = os.path.join(parent, f'{name}-{time.monotonic_ns()}')
    os.makedirs(path)
    return path


class Bench:
    """What all rows share: the options, the scratch directory, the peers that are here."""

    def __init__(self, scratch, quick, peers, downloaders, progress):
        self.scratch, self.quick, self.progress = scratch, quick, progress
        self.peers, self.downloaders = peers, downloaders

    def dataset(self, name, layout='flat'):
        return datasets.named(name, self.quick, layout)

    def directory(self, name):
        return fresh_directory(self.scratch, name)

    def file(self, name, lines):
        return datasets.write_lines(os.path.join(self.directory('lists'), name), lines)


@contextlib.contextmanager
def mounted_peer(peer, lab, dataset, scratch):
    """Mounts a peer with empty caches; gives the directory of the data set."""
    mountpoint = os.path.join(scratch, 'mnt')
    os.makedirs(mountpoint, exist_ok=True)
    peer.mount(lab, dataset.bucket, mountpoint, os.path.join(scratch, 'state'))
    try:
        yield peer.path(mountpoint, dataset.bucket)
    finally:
        peer.unmount()


def peer_facts(peer, files):
    return {'version': peer.version, 'settings': peer.settings, 'caches': getattr(peer, 'caches', None), 'set_files': files}
