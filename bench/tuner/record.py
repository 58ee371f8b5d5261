# SPDX-License-Identifier: Apache-2.0
"""Runs on disk. A CSV for each tuner, a row per trial in the order in which trials end: raw, all trials; published (results/,
compressed), only those that improved and the last, from which the curve of the best can be drawn all the same. cpu_s: the tuner's
CPU time since the row before, without the objective."""
import csv
import dataclasses
import lzma
import os

COLUMNS = ('function', 'seed', 'pending', 'tuner', 'trial', 'value', 'best', 'cpu_s')
HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.join(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'leat-bench')
RAW = os.path.join(CACHE, 'raw')
PUBLISHED = os.path.join(HERE, 'results')


@dataclasses.dataclass
class Row:
    trial: int
    value: float
    best: float
    cpu_s: float


class Run:
    """The rows of one run, by trial."""

    def __init__(self):
        self.rows = []

    def length(self):
        return self.rows[-1].trial if self.rows else 0

    def best_at(self, trial):
        """The best value of the first `trial` trials, or None where the run was shorter."""
        if self.length() < trial:
            return None
        return [row.best for row in self.rows if row.trial <= trial][-1]

    def cpu_s(self):
        return sum(row.cpu_s for row in self.rows)

    def improving(self):
        """The rows of a published file."""
        kept, spent, before = [], 0.0, None
        for row in self.rows:
            spent += row.cpu_s
            if before is None or row.best < before or row is self.rows[-1]:
                kept.append(Row(row.trial, row.value, row.best, spent))
                spent, before = 0.0, row.best
        return kept


def read(path):
    """(tuner, function, seed, pending) -> Run; of a run that is there twice, the later."""
    runs = {}
    with lzma.open(path, 'rt') if path.endswith('.xz') else open(path, encoding='ascii', newline='') as file:
        for row in csv.DictReader(file):
            key = row['tuner'], row['function'], int(row['seed']), int(row['pending'])
            if int(row['trial']) == 1:
                runs[key] = Run()
            runs[key].rows.append(Row(int(row['trial']), float(row['value']), float(row['best']), float(row['cpu_s'])))
    return runs


def paths(tuner, raw):
    return [path for path in (os.path.join(PUBLISHED, f'{tuner}.csv.xz'), os.path.join(raw, f'{tuner}.csv')) if os.path.exists(path)]


def longest(tuner, raw):
    """The runs of a tuner, raw or published; of two that are equally long, the raw one."""
    found = {}
    for path in paths(tuner, raw):
        for key, run in read(path).items():
            if key not in found or run.length() >= found[key].length():
                found[key] = run
    return found


def written(key, rows):
    tuner, function, seed, pending = key
    return ''.join(f'{function},{seed},{pending},{tuner},{row.trial},{row.value:.12g},{row.best:.12g},{row.cpu_s:.6f}\n' for row in rows)


def publish(tuner, raw):
    """Writes what there is of a tuner into results/."""
    found = longest(tuner, raw)
    if found:
        os.makedirs(PUBLISHED, exist_ok=True)
        with lzma.open(os.path.join(PUBLISHED, f'{tuner}.csv.xz'), 'wt', preset=9) as file:
            file.write(','.join(COLUMNS) + '\n' + ''.join(written(key, found[key].improving()) for key in sorted(found)))


class Record:
    """What a tuner's runs are added to, each when it has ended. `again`: what was there is put aside as .old."""

    def __init__(self, raw, tuner, again):
        os.makedirs(raw, exist_ok=True)
        self.path, self.tuner = os.path.join(raw, f'{tuner}.csv'), tuner
        if again and os.path.exists(self.path):
            os.replace(self.path, self.path + '.old')
        elif os.path.exists(self.path):
            self.drop_broken_line()
        self.lengths = {} if again else {key[1:]: run.length() for key, run in longest(tuner, raw).items()}

    def drop_broken_line(self):
        """An interrupted write may have left a part of a line."""
        with open(self.path, 'rb+') as file:
            content = file.read()
            file.truncate(content.rfind(b'\n') + 1)

    def has(self, function, seed, pending, trials):
        return self.lengths.get((function, seed, pending), 0) >= trials

    def put(self, function, seed, pending, trials):
        """`trials`: [(value, best, cpu_s)]."""
        rows = [Row(number, *trial) for number, trial in enumerate(trials, 1)]
        with open(self.path, 'a', encoding='ascii') as file:
            if file.tell() == 0:
                file.write(','.join(COLUMNS) + '\n')
            file.write(written((self.tuner, function, seed, pending), rows))
        self.lengths[(function, seed, pending)] = len(trials)
