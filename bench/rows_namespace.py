# SPDX-License-Identifier: Apache-2.0
"""Rows 9, 10, 11 and 14: a bucket of a million objects: mounted, imported, walked, and what memory it takes."""
import os
import shutil
import subprocess
import sys
import time

import datasets
import machine
import services
from measurement import Case, Group, LEAT, REFERENCE, Side, Target, ratio_at_least, value_target
from rows_cold import LATENCY_MS, READERS, ColdData

LISTERS = 16             # of the reference: parallel LIST requests
LIST_LATENCY_MS = 100    # what S3 takes, about, for a page of 1,000 keys; without it the two cores are measured
IDLE_SECONDS = 5
MEMORY_LIMIT = 512 << 20
LAYOUTS = ('flat', 'nested:1000', 'nested:10:100')


def layout_text(dataset):
    return {'flat': 'flat', 'nested:1000': '1,000 folders', 'nested:10:100': '10 x 100 folders'}[dataset.layout]


def read_first_byte(path):
    with open(path, 'rb', buffering=0) as file:
        return file.read(1)


class Million(ColdData):
    """A bucket of many small objects. A key from its middle is what a job would open first."""

    def open(self, stack):
        super().open(stack)
        self.wanted = self.names[len(self.names) // 2]

    def first_byte(self, number):
        """From the start of `leat mount` to the first byte of a file, with nothing known."""
        self.lab.shape(latency_ms=LATENCY_MS)
        os.sync()
        mounted = services.Mounted(self.bench.directory('leat'), self.lab, self.dataset)
        try:
            return self.timed_mount(mounted)
        finally:
            mounted.close()

    def timed_mount(self, mounted):
        before, began = self.lab.counters(), time.monotonic()
        mounted.mount(f's3://{self.dataset.bucket}', mounted.mountpoint)
        mounted_s = time.monotonic() - began
        read_first_byte(os.path.join(mounted.mountpoint, self.wanted))
        seconds = time.monotonic() - began
        after = self.lab.counters()
        return {'value': seconds, 'mount_s': mounted_s, **{name: after[name] - before[name] for name in before}}

    def second_mount(self, number):
        """The same when the catalog is there: imported once, unmounted, mounted again by a new daemon."""
        self.lab.shape()
        os.sync()
        mounted = services.Mounted(self.bench.directory('leat'), self.lab, self.dataset)
        try:
            mounted.start()
            mounted.imported(mounted.mountpoint, 900)
            mounted.unmount(mounted.mountpoint)
            services.harness.wait_for(lambda: not os.path.exists(f'/proc/{mounted.pid}'), 'the daemon ends', 60)
            self.lab.shape(latency_ms=LATENCY_MS)
            return self.timed_mount(mounted)
        finally:
            mounted.close()

    def imported(self, latency_ms):
        """From the start of `leat mount` until the whole listing is in the catalog; then a refresh of what has not changed."""
        self.lab.shape(latency_ms=latency_ms)
        os.sync()
        mounted = services.Mounted(self.bench.directory('leat'), self.lab, self.dataset)
        try:
            before, began = self.lab.counters(), time.monotonic()
            mounted.start()
            mounted.imported(mounted.mountpoint, 900)
            seconds, after = time.monotonic() - began, self.lab.counters()
            files = mounted.file_system(mounted.mountpoint)['files']
            if files != self.dataset.count:
                raise RuntimeError(f'{files} of {self.dataset.count} objects were imported')
            found = {'value': files / seconds, 'seconds': seconds, 'files': files,
                     'server_cpu_s': machine.cpu_seconds([mounted.pid]),
                     **{name: after[name] - before[name] for name in before},
                     'peak_memory_bytes': machine.resident_bytes(mounted.pid, 'VmHWM'),
                     'catalog_bytes_per_entry': machine.disk_bytes(mounted.state) / files}
            return {**found, **self.refreshed(mounted)}
        finally:
            mounted.close()

    def refreshed(self, mounted):
        spent, began = services.Meter(self.lab, mounted), time.monotonic()
        mounted.run('import', mounted.mountpoint, timeout=900)
        mounted.imported(mounted.mountpoint, 900)
        seconds, found = time.monotonic() - began, spent.stop()
        return {'refresh_s': seconds, 'refresh_lists': found['s3_lists'], 'refresh_list_bytes': found['s3_list_bytes'],
                'refresh_gets': found['s3_gets'], 'refresh_cpu_s': found['server_cpu_s']}

    def listed(self, latency_ms):
        """The raw rate: the same pages, parsed and thrown away."""
        self.lab.shape(latency_ms=latency_ms)
        step = max(1, len(self.names) // LISTERS)
        splits = self.bench.file('splits', self.names[step::step][:LISTERS - 1])
        spent = services.Meter(self.lab)
        answer = services.list_objects(self.lab, self.dataset.bucket, '--parallel', LISTERS, '--split-keys', splits)
        if answer['keys'] != self.dataset.count:
            raise RuntimeError(f'{answer["keys"]} of {self.dataset.count} keys were listed')
        return {**answer, **spent.stop(), 'files': answer['keys'], 'value': answer['keys'] / answer['seconds']}

    def idle_memory(self, number):
        mounted = services.Mounted(self.bench.directory('leat'), self.lab, self.dataset)
        self.lab.shape()
        try:
            mounted.start()
            mounted.imported(mounted.mountpoint, 900)
            time.sleep(IDLE_SECONDS)
            status = mounted.status()
            return {'value': machine.resident_bytes(mounted.pid) / 1e6, 'status_memory_bytes': status['daemon']['memory_bytes'],
                    'peak_memory_bytes': machine.resident_bytes(mounted.pid, 'VmHWM'), **mounted.memory_budget()}
        finally:
            mounted.close()


def many(bench, layout):
    data = Million(bench, bench.dataset('million', layout))
    label = f'{data.dataset.count:,} objects, {layout_text(data.dataset)}'
    cases = []
    if layout != 'nested:10:100':
        trips = 1 + 2 * LATENCY_MS / 1000
        for text, measure, limit in (('first mount', data.first_byte, trips), ('second mount', data.second_mount, 1)):
            cases.append(Case('9', f'{label}: {text} to first byte, {LATENCY_MS} ms', 'cold', 's', [Side('leat', LEAT, measure)],
                              [value_target(ceiling=limit, unit='s')], per=''))
    for latency_ms in (0, LIST_LATENCY_MS):
        targets = [ratio_at_least(0.90)] + ([] if latency_ms else [value_target(floor=150_000, unit='entries/s')])
        cases.append(Case('10', f'{label}: import, first byte {latency_ms} ms', 'cold', 'entries/s',
                          [Side(f'LIST, {LISTERS} parallel', REFERENCE, lambda number, wait=latency_ms: data.listed(wait)),
                           Side('leat', LEAT, lambda number, wait=latency_ms: data.imported(wait))], targets))
    if layout == 'flat':
        cases.append(Case('14', f'{label}: daemon idle after the import', 'cold', 'MB', [Side('leat', LEAT, data.idle_memory)],
                          [value_target(ceiling=200, unit='MB')], per=''))
    return Group(cases, data.open)


def mount_and_import(bench):
    return [many(bench, layout) for layout in LAYOUTS]


PYTHON_WALK = 'import os\nfor top, _, names in os.walk("."):\n  for name in names: print(os.stat(top + "/" + name).st_size)'
WALKS = {'find': ['find', '.', '-type', 'f'], 'stat of all': ['find', '.', '-type', 'f', '-printf', r'%s\n'],
         'du': ['du', '-s', '.'], 'ls -lR': ['ls', '-lR', '.'], 'os.walk and stat': [sys.executable, '-c', PYTHON_WALK]}


class Tree(ColdData):
    """The same million names mounted and as a native tree of files without blocks."""

    def open(self, stack):
        super().open(stack)
        self.leat_tree = stack.enter_context(self.mounted())
        self.leat_tree.imported(self.leat_tree.mountpoint, 900)
        self.native = self.bench.directory('native')
        stack.callback(shutil.rmtree, self.native, True)
        self.bench.progress.note(f'making {self.dataset.count:,} native files')
        datasets.sparse_tree(self.names, self.dataset.size, self.native)

    def walk(self, command, root, mounted=None):
        spent, used, began = services.Meter(mounted=mounted), os.times(), time.monotonic()
        # Through a pipe: programs may do less when they write to /dev/null.
        process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE)
        try:
            lines = sum(part.count(b'\n') for part in iter(lambda: process.stdout.read1(1 << 20), b''))
            status = process.wait()
        finally:
            machine.end(process)
        seconds, now = time.monotonic() - began, os.times()
        if status != 0 or (command[0] != 'du' and lines < self.dataset.count):
            raise RuntimeError(f'{command[0]}: exit {status}, {lines} lines')
        cpu = now.children_user + now.children_system - used.children_user - used.children_system
        return {**spent.stop(), 'value': self.dataset.count / seconds, 'seconds': seconds, 'files': self.dataset.count,
                'client_cpu_s': cpu}


def walks(bench):
    """Row 11: the first pass starts with the page cache dropped, the second follows it."""
    data = Tree(bench, bench.dataset('million', 'nested:1000'))
    native = 'native ' + machine.file_system_of(bench.scratch)[0]

    def measured(command, mounted, dropped):
        def measure(number):
            if dropped:
                machine.drop_caches()
            tree = data.leat_tree if mounted else None
            root = tree.mountpoint if mounted else data.native
            return data.walk(command, root, tree)
        return measure
    cases = []
    for name, command in WALKS.items():
        for order, dropped in (('first', True), ('second', False)):
            target = [] if dropped or name == 'ls -lR' else [ratio_at_least(0.90)]
            sides = [Side(native, REFERENCE, measured(command, False, dropped)),
                     Side('leat', LEAT, measured(command, True, dropped))]
            for side in sides if not dropped else []:
                side.warm = lambda measure=side.measure: measure(0) and None
            cases.append(Case('11', f'{data.dataset.count:,} files in 1,000 folders: {name}, {order} pass',
                              'dropped' if dropped else 'warm', 'files/s', sides, target))
    return [Group(cases, data.open)]


def memory_when_cold(bench):
    """Row 14: the most that the daemon takes during row 4's epoch, free and in a cgroup."""
    data = ColdData(bench, bench.dataset('small110'))

    def epoch(limit=None):
        def measure(number):
            data.lab.shape(latency_ms=LATENCY_MS)
            group = machine.MemoryGroup(f'leat-bench-{os.getpid()}', limit) if limit else None
            try:
                with data.mounted(**({'preexec_fn': group.enter} if group else {})) as mounted:
                    answer = services.read_files(mounted.mountpoint, data.order(number), '--threads', READERS,
                                                 '--order', 'listed')
                    found = {**answer, **mounted.memory_budget(), 'value': machine.resident_bytes(mounted.pid, 'VmHWM') / 1e6}
                    return {**found, 'kills': group.kills()} if group else found
            finally:
                if group:
                    group.close()
        return measure

    def kills(summary):
        return next((side.get('kills') for side in summary['sides'] if side['name'] != 'leat'), None)
    def of_budget(summary):
        side = next(side for side in summary['sides'] if side['role'] == LEAT)
        return side['median'] * 1e6 / side['budget_bytes'] if side.get('median') and side.get('budget_bytes') else None
    facts = {'set_files': data.dataset.count}
    case = Case('14', f'{data.dataset.shape}: peak of the daemon in a cold epoch', 'cold', 'MB',
                [Side('leat', LEAT, epoch(), facts=facts),
                 Side(f'leat, {MEMORY_LIMIT >> 20} MiB group', 'leat in a group', epoch(MEMORY_LIMIT), facts=facts)],
                [Target('not killed at 512 MiB', kills, lambda count: count == 0),
                 Target('<= 1 x the budget', of_budget, lambda share: share <= 1)])
    return [Group([case], data.open)]
