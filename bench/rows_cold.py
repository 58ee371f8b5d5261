# SPDX-License-Identifier: Apache-2.0
"""Rows 4 to 8: data that is in S3 only. A measurement of Leat or a peer starts with empty caches, unless it says otherwise."""
import contextlib
import os
import shutil
import subprocess
import time

import datasets
import machine
import services
from measurement import (Case, Group, LEAT, PEER, REFERENCE, Side, Target, ratio_at_least, times_best_peer, value_target)

READERS = 8
CONNECTIONS = 128        # of the reference for small files: as many as Leat opens
# Of the reference for large ones: at BANDWIDTH each, a link of 11 Gbit/s, which is what two cores carry through a file system
# beside s3lab. Leat is not held to that number: it has up to 32 ranges in flight for hydration and 24 for a reader in order,
# so the same client with as many is beside it, and the target's ratio says nothing of equal connections.
LARGE_CONNECTIONS = 16
LARGE_CONNECTIONS_OF_LEAT = 32 + 24
RANGE_BYTES = 8 << 20
SAMPLE_BYTES = 115_000
LATENCY_MS = 30
SLOW = {'slow_percent': 1, 'slow_ms': 2000}
BANDWIDTH = 90_000_000   # of one connection to S3, as measured by others for GETs within a region
JOBS = 4


class ColdData:
    """s3lab with one data set, and the clients that read it from nothing."""

    def __init__(self, bench, dataset, peer_dataset=None):
        self.bench, self.dataset, self.peer_dataset = bench, dataset, peer_dataset
        self.peers = bench.peers if peer_dataset else []
        self.downloaders = bench.downloaders if peer_dataset else []
        self.lost = {}

    def open(self, stack):
        sets = [self.dataset] + ([self.peer_dataset] if self.peer_dataset else [])
        self.lab = services.Lab(self.bench.directory('s3lab'), sets)
        stack.callback(self.lab.close)
        self.names = datasets.keys(self.lab, self.dataset)
        if self.peer_dataset:
            self.peer_names = datasets.keys(self.lab, self.peer_dataset)
        for peer in self.peers:
            self.bench.progress.note(f'{peer.name}: preparing {self.peer_dataset.shape}')
            try:
                peer.prepare(self.lab, self.peer_dataset.bucket, self.peer_names)
            except Exception as error:  # any way in which a foreign program can fail
                self.lost[peer.name] = f'{type(error).__name__}: {error}'

    def order(self, seed, names=None):
        """A list of names in the random order of `seed`."""
        return self.bench.file('order', datasets.shuffled(names or self.names, seed))

    def keys_in_order(self, seed):
        return self.bench.file('keys', (f'{name}\t{self.dataset.size}' for name in datasets.shuffled(self.names, seed)))

    @contextlib.contextmanager
    def mounted(self, *arguments, **more):
        """Leat with a fresh state directory; nothing of an earlier measurement is still being written."""
        os.sync()
        found = services.Mounted(self.bench.directory('leat'), self.lab, self.dataset)
        try:
            found.start(*arguments, **more)
            yield found
        finally:
            found.close()

    def leat(self, shape, list_file, arguments, value='files_per_second', plan=False):
        self.lab.shape(**shape)
        with self.mounted() as mounted:
            machine.list_tree(mounted.mountpoint)
            spent = services.Meter(self.lab, mounted)
            if plan:
                mounted.run('restore', '--plan', list_file, mounted.mountpoint)
            answer = services.read_files(mounted.mountpoint, list_file, *arguments)
            return {**answer, **spent.stop(), **mounted.hedges(), 'value': answer[value],
                    'peak_memory_bytes': machine.resident_bytes(mounted.pid, 'VmHWM')}

    def get_client(self, shape, keys_file, connections, value='objects_per_second', *arguments):
        self.lab.shape(**shape)
        os.sync()
        spent = services.Meter(self.lab)
        answer = services.get_objects(self.lab, self.dataset.bucket, keys_file, connections, *arguments)
        return {**answer, **spent.stop(), 'files': answer['objects'], 'value': answer[value]}

    def peer(self, peer, shape, list_file, arguments, value='files_per_second'):
        if peer.name in self.lost:
            raise machine.Unavailable(self.lost[peer.name])
        self.lab.shape(**shape)
        os.sync()
        scratch = self.bench.directory('peer')
        try:
            with services.mounted_peer(peer, self.lab, self.peer_dataset, scratch) as path:
                machine.list_tree(path)
                spent = services.Meter(self.lab, pids=peer.pids())
                answer = services.read_files(path, list_file, *arguments)
                return {**answer, **spent.stop(), 'value': answer[value]}
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def download(self, downloader, shape, per_second):
        """File mode: a copy of everything before the first sample. `per_second` is the number of units that it brings."""
        self.lab.shape(**shape)
        os.sync()
        scratch = self.bench.directory('download')
        spent, used, began = services.Meter(self.lab), os.times(), time.monotonic()
        try:
            downloader.download(self.lab, self.peer_dataset.bucket, datasets.PREFIX, scratch)
            seconds, now = time.monotonic() - began, os.times()
            count = sum(len(names) for _, _, names in os.walk(scratch))
            if count != self.peer_dataset.count:
                raise RuntimeError(f'{count} of {self.peer_dataset.count} files arrived')
            cpu = now.children_user + now.children_system - used.children_user - used.children_system
            return {**spent.stop(), 'value': per_second / seconds, 'seconds': seconds, 'client_cpu_s': cpu,
                    'files': count, 'bytes': self.peer_dataset.bytes}
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def peer_sides(self, shape, list_of, arguments, value='files_per_second', units=None):
        """`list_of(round)` is what peers read; `units` is what a download brings, in the case's unit; None leaves it out."""
        facts = [(peer, services.peer_facts(peer, self.peer_dataset.count)) for peer in self.peers]
        found = [Side(peer.name, PEER, lambda number, peer=peer: self.peer(peer, shape, list_of(number), arguments, value),
                      facts=known) for peer, known in facts]
        for downloader in self.downloaders if units else []:
            found.append(Side(downloader.name, PEER, lambda number, tool=downloader: self.download(tool, shape, units),
                              facts=services.peer_facts(downloader, self.peer_dataset.count)))
        return found


def shape_text(shape):
    text = f'{shape["latency_ms"]} ms'
    if 'slow_percent' in shape:
        text += f', {shape["slow_percent"]} % take {shape["slow_ms"]} ms'
    if 'bandwidth' in shape:
        text += f', {shape["bandwidth"] / 1e6:.0f} MB/s a connection'
    return text


def small_files(bench):
    """Row 4: the first epoch, each file once in random order."""
    data = ColdData(bench, bench.dataset('small110'), bench.dataset('peer110'))
    arguments = ['--threads', READERS, '--order', 'listed']
    cases = []
    for shape in ({'latency_ms': LATENCY_MS}, {'latency_ms': 100}, {'latency_ms': LATENCY_MS, **SLOW}):
        sides = [
            Side(f'GET client, {CONNECTIONS} conn.', REFERENCE,
                 lambda number, shape=shape: data.get_client(shape, data.keys_in_order(number), CONNECTIONS),
                 facts={'set_files': data.dataset.count}),
            Side('leat', LEAT, lambda number, shape=shape: data.leat(shape, data.order(number), arguments),
                 facts={'set_files': data.dataset.count}),
            Side('leat, order known', 'leat with restore --plan',
                 lambda number, shape=shape: data.leat(shape, data.order(number), arguments, plan=True),
                 facts={'set_files': data.dataset.count})]
        targets = [ratio_at_least(0.90), ratio_at_least(0.90, 'leat, order known')]
        if len(shape) == 1 and shape['latency_ms'] == LATENCY_MS:
            sides += data.peer_sides(shape, lambda number: data.order(number, data.peer_names), arguments,
                                     units=data.peer_dataset.count)
            targets += [times_best_peer(5, 'geesefs', 'juicefs'), times_best_peer(10, 'mountpoint', 's3fs', 'rclone mount')]
        title = f'{data.dataset.shape}, {READERS} readers, first byte {shape_text(shape)}'
        cases.append(Case('4', title, 'cold', 'files/s', sides, targets))
    yield Group(cases, data.open)
    yield accelerator(bench)


def accelerator(bench):
    """Row 4 as a training job sees it: is the accelerator kept busy by the first epoch?"""
    data = ColdData(bench, bench.dataset('small323'))
    plain, slow = {'latency_ms': LATENCY_MS}, {'latency_ms': LATENCY_MS, **SLOW}
    arguments = ['--threads', READERS, '--order', 'listed', '--accelerator', 'retinanet']

    def utilisation(shape):
        def measure(number):
            found = data.leat(shape, data.order(number), arguments, 'accelerator_utilisation')
            return {**found, 'value': 100 * found['value']}
        return measure

    def loss(summary):
        of = {side['name']: side.get('median') for side in summary['sides']}
        return of['leat'] - of['leat, slow GETs'] if of.get('leat') and of.get('leat, slow GETs') else None
    facts = {'set_files': data.dataset.count}
    case = Case('4', f'{data.dataset.shape}, RetinaNet accelerator, {shape_text(slow)}', 'cold', '% used',
                [Side('leat', LEAT, utilisation(plain), facts=facts),
                 Side('leat, slow GETs', 'leat with slow GETs', utilisation(slow), facts=facts)],
                [Target('loss to slow GETs <= 5 points', loss, lambda points: points <= 5)])
    return Group([case], data.open)


def large_files(bench):
    """Row 5: whole large files, and samples at random places in them."""
    data = ColdData(bench, bench.dataset('large'), bench.dataset('peerlarge'))
    cases = []
    s3, loopback = {'latency_ms': LATENCY_MS, 'bandwidth': BANDWIDTH}, {'latency_ms': LATENCY_MS}
    for threads, shape in ((1, s3), (4, s3), (1, loopback), (4, loopback)):
        arguments = ['--threads', threads, '--order', 'listed', '--read-bytes', 1 << 20]
        sides = [Side(f'GET client, {LARGE_CONNECTIONS} conn.', REFERENCE, lambda number, shape=shape: data.get_client(
                     shape, data.keys_in_order(number), LARGE_CONNECTIONS, 'bytes_per_second', '--range-bytes', RANGE_BYTES)),
                 Side('leat', LEAT, lambda number, shape=shape, arguments=arguments: data.leat(
                     shape, data.order(number), arguments, 'bytes_per_second'), facts={'set_files': data.dataset.count})]
        if shape is s3:
            sides.append(Side(f'GET client, {LARGE_CONNECTIONS_OF_LEAT} conn.', 'GET client, connections as leat',
                              lambda number, shape=shape: data.get_client(
                                  shape, data.keys_in_order(number), LARGE_CONNECTIONS_OF_LEAT, 'bytes_per_second',
                                  '--range-bytes', RANGE_BYTES)))
        # Without a limit a client that drops the bytes is only as slow as its processor: a ratio to know, not to reach.
        targets = [ratio_at_least(0.95)] if shape is s3 else []
        if threads == 1 and shape is s3:
            sides += data.peer_sides(shape, lambda number: data.order(number, data.peer_names), arguments, 'bytes_per_second',
                                     data.peer_dataset.bytes)
            targets.append(times_best_peer(1, 's3fs'))
        readers = f'{threads} readers' if threads > 1 else '1 reader'
        cases.append(Case('5', f'{data.dataset.shape}, sequential, {readers}, first byte {shape_text(shape)}',
                          'cold', 'bytes/s', sides, targets, per='gb'))
    cases.append(random_samples(data))
    return [Group(cases, data.open)]


def random_samples(data):
    shape = {'latency_ms': LATENCY_MS}
    arguments = ['--threads', READERS, '--order', 'listed', '--keep-open']

    def places(names, dataset, seed):
        return data.bench.file('samples', (f'{name}\t{offset}\t{length}' for name, offset, length in
                                           datasets.samples(names, dataset.size, SAMPLE_BYTES, seed)))

    def leat(number):
        found = data.leat(shape, places(data.names, data.dataset, number), arguments, 'bytes_per_second')
        return {**found, 'fetched_ratio': found['s3_bytes'] / data.dataset.bytes}

    def fetched(summary):
        return next((side.get('fetched_ratio') for side in summary['sides'] if side['role'] == LEAT), None)
    sides = [Side(f'GET client, {CONNECTIONS} conn.', REFERENCE, lambda number: data.get_client(
                 shape, data.keys_in_order(number), CONNECTIONS, 'bytes_per_second', '--range-bytes', SAMPLE_BYTES)),
             Side('leat', LEAT, leat)]
    sides += data.peer_sides(shape, lambda number: places(data.peer_names, data.peer_dataset, number), arguments,
                             'bytes_per_second')
    title = f'{data.dataset.shape}, all samples of 115 KB at random, {READERS} readers, first byte {shape_text(shape)}'
    target = Target('fetched <= 1.05 x the data set', fetched, lambda ratio: ratio <= 1.05)
    return Case('5', title, 'cold', 'bytes/s', sides, [target], per='gb')


def jobs_together(bench):
    """Rows 6 and 7: four jobs start at once on cold data; later another one starts."""
    data = ColdData(bench, bench.dataset('small110'))

    def together(number):
        data.lab.shape(latency_ms=LATENCY_MS)
        with data.mounted() as mounted:
            lists = [data.order(number * JOBS + job) for job in range(JOBS)]
            spent, began = services.Meter(data.lab, mounted), time.monotonic()
            program = [os.path.join(services.TOOLS, 'read_files'), '--root', mounted.mountpoint, '--threads', '4',
                       '--order', 'listed']
            jobs = [subprocess.Popen([*program, '--list', names], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                    for names in lists]
            try:
                # Each writes one short line at its end, so that none waits on a full pipe.
                answers = [services.answer_of('read_files', job.wait(services.limit_s), job.stdout.read(), job.stderr.read())
                           for job in jobs]
            finally:
                for job in jobs:
                    machine.end(job)
            seconds, found = time.monotonic() - began, spent.stop()
            return {**found, 'value': found['s3_bytes'] / data.dataset.bytes, 'seconds': seconds,
                    'files': sum(answer['files'] for answer in answers), 'bytes': sum(answer['bytes'] for answer in answers),
                    'client_cpu_s': sum(answer['client_cpu_s'] for answer in answers)}

    def second(dropped):
        def measure(number):
            data.lab.shape(latency_ms=LATENCY_MS)
            if dropped:
                machine.drop_caches()
            spent = services.Meter(data.lab, data.first)
            answer = services.read_files(data.first.mountpoint, data.order(100 + number), '--threads', READERS,
                                         '--order', 'listed')
            return {**answer, **spent.stop(), 'value': 1000 * answer['first_file_seconds']}
        return measure

    def first_job(stack):
        data.open(stack)
        data.first = stack.enter_context(data.mounted())
        services.read_files(data.first.mountpoint, data.order(99), '--threads', READERS, '--order', 'listed')

    def gets(summary):
        return next((side.get('s3_gets') for side in summary['sides']), None)
    facts = {'set_files': data.dataset.count}
    yield Group([Case('6', f'{data.dataset.shape}, {JOBS} jobs of 4 readers start together, first byte {LATENCY_MS} ms', 'cold',
                      'x data set', [Side('leat', LEAT, together, facts=facts)],
                      [value_target(ceiling=1.02, unit='x the data set from S3')])], data.open)
    cases = [Case('7', f'{data.dataset.shape}, second job, first file', state, 'ms',
                  [Side('leat', LEAT, second(state == 'dropped'), facts=facts)],
                  [value_target(ceiling=100, unit='ms'), Target('no GET', gets, lambda count: count == 0)])
             for state in ('warm', 'dropped')]
    yield Group(cases, first_job)


def half_a_cache(bench):
    """Row 8: the cache holds half of the data; epochs in new orders, each with the page cache dropped before it."""
    data, epochs = ColdData(bench, bench.dataset('small110')), 5

    def opener(stack):
        data.open(stack)
        data.lab.shape(latency_ms=LATENCY_MS)
        data.half = stack.enter_context(data.mounted('--capacity', str(data.dataset.bytes // 2)))

    def epoch(number):
        machine.drop_caches()
        spent = services.Meter(data.lab, data.half)
        answer = services.read_files(data.half.mountpoint, data.order(number), '--threads', READERS, '--order', 'listed')
        found = {**answer, **spent.stop()}
        return {**found, 'value': 1 - found['s3_bytes'] / data.dataset.bytes}
    side = Side('leat', LEAT, epoch, facts={'set_files': data.dataset.count})
    return [Group([Case('8', f'{data.dataset.shape}, cache = half, epochs 2 to {epochs}, first byte {LATENCY_MS} ms', 'dropped',
                        'hit rate', [side], [value_target(floor=0.49)], rounds=epochs, first_round=2)], opener)]
