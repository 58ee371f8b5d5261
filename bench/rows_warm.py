# SPDX-License-Identifier: Apache-2.0
"""Rows 1, 2 and 3: data that is on this machine already, against a native copy of the same bytes."""
import json
import os
import shutil
import statistics
import subprocess
import sys

import datasets
import machine
import services
from measurement import Case, Group, LEAT, PEER, REFERENCE, Side, ratio_at_least

HERE = os.path.dirname(os.path.abspath(__file__))
WARM_EPOCHS = 5  # one pass of a warm set is over in half a second
READER_JOB_EPOCHS = 3


class WarmData:
    """One data set mounted by Leat and copied to the local disk; for peers a smaller one of the same shape."""

    def __init__(self, bench, dataset, peer_dataset=None):
        self.bench, self.dataset, self.peer_dataset = bench, dataset, peer_dataset
        self.peers = bench.peers if peer_dataset else []
        self.peer_paths, self.jobs = {}, 0

    def open(self, stack):
        bench, note = self.bench, self.bench.progress.note
        sets = [self.dataset] + ([self.peer_dataset] if self.peers else [])
        self.lab = services.Lab(bench.directory('s3lab'), sets)
        stack.callback(self.lab.close)
        self.names = datasets.keys(self.lab, self.dataset)
        self.list = bench.file('names', self.names)
        self.mounted = services.Mounted(bench.directory('leat'), self.lab, self.dataset)
        stack.callback(self.mounted.close)
        self.mounted.start()
        note(f'restoring {self.dataset.shape}')
        self.mounted.restore()
        self.native = bench.directory('native')
        stack.callback(shutil.rmtree, self.native, True)
        note(f'copying {self.dataset.shape} to the native file system')
        datasets.copy(self.mounted.mountpoint, self.names, self.native)
        if self.peers:
            self.peer_list = bench.file('peer-names', datasets.keys(self.lab, self.peer_dataset))
        for peer in self.peers:
            note(f'{peer.name}: mounting, and reading {self.peer_dataset.shape} once')
            self.open_peer(stack, peer)

    def open_peer(self, stack, peer):
        """A peer that fails here is measured as failed later."""
        try:
            peer.prepare(self.lab, self.peer_dataset.bucket, datasets.keys(self.lab, self.peer_dataset))
            scratch = self.bench.directory('peer')
            path = stack.enter_context(services.mounted_peer(peer, self.lab, self.peer_dataset, scratch))
            services.read_files(path, self.peer_list, '--threads', 4)
            self.peer_paths[peer.name] = path
        except Exception as error:  # any way in which a foreign program can fail
            self.bench.progress.line(f'{peer.name}: {type(error).__name__}: {error}')

    def peer_path(self, peer):
        if peer.name not in self.peer_paths:
            raise machine.Unavailable('could not be mounted and read')
        return self.peer_paths[peer.name]

    def sides(self, arguments, value='files_per_second', dropped=False, peers=True):
        """Native, Leat and the peers, each reading with `arguments`; peers read their smaller set, once a round."""
        def read(root, list_file, meter, round_number, epochs=1):
            path = root()
            if dropped:
                machine.drop_caches()
                machine.list_tree(path)
            spent = meter()
            answer = services.read_files(path, list_file(), '--seed', round_number, '--epochs', 1 if dropped else epochs,
                                         *arguments)
            # The middle one of the epochs: the kernel may have reclaimed pages before the first.
            middle = statistics.median(epoch['files_per_second'] for epoch in answer['epochs'])
            return {**answer, **spent.stop(), 'value': answer[value] * middle / answer['files_per_second']}

        def restarted(peer):
            if dropped:
                peer.restart()  # what it holds in its own memory goes too
            return self.peer_path(peer)

        def passes(root, list_file):
            return None if dropped else lambda: services.read_files(root(), list_file(), '--threads', 2) and None

        def native():
            return self.native

        def mount():
            return self.mounted.mountpoint

        def names():
            return self.list

        def meter():
            return services.Meter(self.lab, self.mounted)

        files = {'set_files': self.dataset.count}
        found = [Side('native ' + machine.file_system_of(self.bench.scratch)[0], REFERENCE,
                      lambda number: read(native, names, services.Meter, number, WARM_EPOCHS), passes(native, names), files),
                 Side('leat', LEAT, lambda number: read(mount, names, meter, number, WARM_EPOCHS), passes(mount, names), files)]
        for peer in self.peers if peers else []:
            if dropped and not peer.keeps_caches:
                continue  # it would read from S3 again
            found.append(Side(
                peer.name, PEER,
                lambda number, peer=peer: read(lambda: restarted(peer), lambda: self.peer_list,
                                               lambda: services.Meter(self.lab, pids=peer.pids()), number),
                passes(lambda peer=peer: self.peer_path(peer), lambda: self.peer_list),
                services.peer_facts(peer, self.peer_dataset.count)))
        return found

    # Python's open(path, 'rb').read(), outside and inside a training job.

    def python(self, root, **meter):
        spent = services.Meter(**meter)
        done = subprocess.run([sys.executable, os.path.join(HERE, 'python_reader.py'), '--list', self.list, '--root', root,
                               '--epochs', str(READER_JOB_EPOCHS)], stdout=subprocess.PIPE, text=True, check=True)
        return self.python_answer(done.stdout, spent.stop())

    def python_answer(self, output, spent):
        line = next(line for line in output.splitlines() if 'python_reader {' in line)
        answer = json.loads(line[line.index('{'):])
        return {**answer, **spent, 'value': answer['files_per_second'],
                'client_cpu_s': answer['user_seconds'] + answer['system_seconds']}

    def python_in_job(self):
        """The same script by `leat train` on this mount; starting the job is not in its time but in the daemon's counters."""
        self.jobs += 1
        name = f'reader-{self.jobs}'
        file_system = self.mounted.file_system(self.mounted.mountpoint)['id']
        source = {'FileSystemId': file_system, 'FileSystemAccessMode': 'ro', 'FileSystemType': 'FSxLustre', 'DirectoryPath': '/'}
        request = {
            'TrainingJobName': name, 'AlgorithmSpecification': {'TrainingInputMode': 'File'},
            'InputDataConfig': [{'ChannelName': 'training', 'DataSource': {'FileSystemDataSource': source}}],
            'OutputDataConfig': {'S3OutputPath': 'file://' + os.path.join(self.mounted.scratch, 'output')},
            'ResourceConfig': {'InstanceType': 'local', 'InstanceCount': 1},
            'StoppingCondition': {'MaxRuntimeInSeconds': 1800},
            'HyperParameters': {'sagemaker_program': 'python_reader.py', 'sagemaker_submit_directory': HERE, 'list': self.list,
                                'epochs': str(READER_JOB_EPOCHS)}}
        path = os.path.join(self.mounted.scratch, name + '.json')
        with open(path, 'w') as file:
            json.dump(request, file)
        spent = services.Meter(self.lab, self.mounted)
        done = self.mounted.run('train', path, '--python', sys.executable, state_directory=True, timeout=1800)
        return self.python_answer(done.stdout + done.stderr, spent.stop())

    def python_sides(self):
        files = {'set_files': self.dataset.count}
        return [Side('python, native', REFERENCE, lambda number: self.python(self.native), facts=files),
                Side('python, leat', 'leat outside a job', lambda number: self.python(
                    self.mounted.mountpoint, lab=self.lab, mounted=self.mounted), facts=files),
                Side('python, leat train', LEAT, lambda number: self.python_in_job(), facts=files)]


def small_files(bench):
    """Rows 1 and 2 on the same mounts; peers on one shape."""
    for name in ('small110', 'small39', 'small323'):
        dataset = bench.dataset(name)
        data = WarmData(bench, dataset, bench.dataset('peer110') if name == 'small110' else None)
        cases = []
        for state, dropped, row, floor in (('warm', False, '1', 0.90), ('dropped', True, '2', 0.85)):
            for threads in (1, 4):
                arguments = ['--threads', threads, '--order', 'shuffled']
                cases.append(Case(row, f'{dataset.shape}, random order, {threads} thread{"s" * (threads > 1)}', state, 'files/s',
                                  data.sides(arguments, dropped=dropped), [ratio_at_least(floor)]))
            if not dropped:
                cases.append(Case(row, f'{dataset.shape}, random order, Python', state, 'files/s', data.python_sides(),
                                  [ratio_at_least(floor)]))
        yield Group(cases, data.open)


def large_files(bench):
    """Row 3: whole files one after another, by read() and by mmap."""
    dataset = bench.dataset('large')
    data = WarmData(bench, dataset, bench.dataset('peerlarge'))
    cases = []
    for state, dropped, floor in (('warm', False, 0.80), ('dropped', True, 0.90)):
        for label, arguments in (('read', ['--read-bytes', 1 << 20]), ('mmap', ['--mmap'])):
            cases.append(Case('3', f'{dataset.shape}, sequential, {label}', state, 'bytes/s',
                              data.sides(['--threads', 1, '--order', 'listed', *arguments], 'bytes_per_second', dropped,
                                         peers=label == 'read'),
                              [ratio_at_least(floor)], per='gb'))
    return [Group(cases, data.open)]
