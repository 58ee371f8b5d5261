# SPDX-License-Identifier: Apache-2.0
"""What is measured and how: a group shares what is mounted, a case compares sides, a round measures each side once."""
import contextlib
import dataclasses
import os
import statistics
import time
from typing import Callable, Optional

from machine import Unavailable, touch_free_memory

REFERENCE, LEAT, PEER = 'reference', 'leat', 'peer'


@dataclasses.dataclass
class Side:
    """One competitor of a case. `measure(round)` gives {'value': number, ...}; `warm()` is a pass before them, not measured."""
    name: str
    role: str
    measure: Callable[[int], dict]
    warm: Optional[Callable[[], object]] = None
    facts: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Target:
    """`find(summary)` gives the number to judge, or None where its sides were not measured."""
    text: str
    find: Callable[[dict], Optional[float]]
    met: Callable[[float], bool]


@dataclasses.dataclass
class Case:
    row: str
    title: str
    page_cache: str  # warm, dropped before each measurement, or cold: nothing of the data on this machine
    unit: str
    sides: list
    targets: list = dataclasses.field(default_factory=list)
    per: str = 'file'  # what CPU time is divided by: file, gb or nothing
    rounds: Optional[int] = None  # where the rounds are not repetitions
    first_round: int = 1          # medians are of this round and later ones


class Group:
    """Cases that share what `open(stack)` starts; the stack ends it."""

    def __init__(self, cases, opener=None):
        self.cases, self.opener = cases, opener or (lambda stack: None)


def ratio_at_least(floor, name=None):
    """Of Leat, or of the side that has the name."""
    def find(summary):
        return next((side.get('ratio') for side in summary['sides']
                     if (side['name'] == name if name else side['role'] == LEAT)), None)
    return Target(f'>= {floor:.2f} of the reference' + (f' ({name})' if name else ''), find, lambda ratio: ratio >= floor)


def value_target(floor=None, ceiling=None, unit='', side=None):
    def find(summary):
        return next((found.get('median') for found in summary['sides']
                     if (found['name'] == side if side else found['role'] == LEAT)), None)
    bound = f'>= {floor:,}' if ceiling is None else f'<= {ceiling:,}'
    return Target(f'{bound} {unit}'.strip() + (f' ({side})' if side else ''), find,
                  lambda value: value >= floor if ceiling is None else value <= ceiling)


def times_best_peer(factor, *names):
    """Leat against the best of the peers whose names start so."""
    def find(summary):
        of = {side['name']: side.get('median') for side in summary['sides']}
        rivals = [value for name, value in of.items() if value and name.lower().startswith(names)]
        own = next((side.get('median') for side in summary['sides'] if side['role'] == LEAT), None)
        return own / max(rivals) if rivals and own else None
    return Target(f'>= {factor:g} x the best of {", ".join(names)}', find, lambda ratio: ratio >= factor)


def median_of(measurements, field):
    values = [found[field] for found in measurements if found.get(field) is not None]
    return statistics.median(values) if values else None


def summarise(case, measurements):
    """Medians with spread of each side; ratios are the median of the rounds' ratios, each to the reference of its own round."""
    reference = next((side.name for side in case.sides if side.role == REFERENCE), None)
    counted = [found for found in measurements if found['round'] >= case.first_round and 'value' in found]
    of_reference = {found['round']: found['value'] for found in counted if found['side'] == reference}
    summary = {'row': case.row, 'title': case.title, 'page_cache': case.page_cache, 'unit': case.unit, 'per': case.per,
               'reference': reference, 'sides': []}
    for side in case.sides:
        own = [found for found in counted if found['side'] == side.name]
        entry = {'name': side.name, 'role': side.role, **side.facts}
        if own:
            values = [found['value'] for found in own]
            ratios = [found['value'] / of_reference[found['round']] for found in own if of_reference.get(found['round'])]
            entry |= {'median': statistics.median(values), 'low': min(values), 'high': max(values), 'rounds': len(values)}
            if ratios:
                entry['ratio'] = statistics.median(ratios)
            numbers = {name for found in own for name, value in found.items() if isinstance(value, (int, float))}
            entry |= {name: median_of(own, name) for name in sorted(numbers - {'value', 'round', 'wall_s', 'load'})}
        errors = [found['error'] for found in measurements if found['side'] == side.name and 'error' in found]
        if errors:
            entry['error'] = errors[0]
        summary['sides'].append(entry)
    summary['targets'] = []
    for target in case.targets:
        found = target.find(summary)
        if found is not None:
            summary['targets'].append({'text': target.text, 'found': found, 'met': bool(target.met(found))})
    summary['measurements'] = measurements
    return summary


class Runner:
    """Runs groups: interleaved rounds A B C A B C. One failed measurement leaves its side out of the case's later rounds.
    `touches_memory`: before each, so that the numbers can be compared; it takes seconds."""

    def __init__(self, rounds, touches_memory, progress, done):
        self.rounds, self.touches_memory, self.progress, self.done = rounds, touches_memory, progress, done
        self.failed = False

    def rounds_of(self, case):
        return case.rounds or self.rounds

    def rows_of(self, group):
        return ' and '.join(sorted({case.row for case in group.cases}, key=int))

    def run(self, groups):
        for group in groups:
            try:
                with contextlib.ExitStack() as stack:
                    self.progress.note(f'preparing row {self.rows_of(group)}')
                    group.opener(stack)
                    for case in group.cases:
                        self.run_case(case)
            except Unavailable as error:
                self.lose(group, f'left out: {error}')
            except Exception as error:  # the other rows are worth having
                self.failed = True
                self.lose(group, f'{type(error).__name__}: {error}')

    def lose(self, group, why):
        self.progress.line(f'row {self.rows_of(group)}: {why}')
        for case in group.cases:
            for side in case.sides:
                self.progress.skip(case, side)

    def run_case(self, case):
        measurements, lost = [], set()
        for side in case.sides:
            if side.warm:
                self.progress.note(f'row {case.row}, {side.name}: a pass that is not measured')
                self.attempt(case, side, 0, side.warm, measurements, lost)
        for round_number in range(1, self.rounds_of(case) + 1):
            for side in case.sides:
                if side.name not in lost:
                    self.attempt(case, side, round_number, lambda: side.measure(round_number), measurements, lost)
        self.done(summarise(case, measurements))

    def attempt(self, case, side, round_number, action, measurements, lost):
        began = time.monotonic()
        found = {'side': side.name, 'round': round_number}
        if round_number:
            self.progress.begin(case, side, round_number)
        if self.touches_memory:
            touch_free_memory()
        try:
            found |= action() or {}
        except Unavailable as error:
            found['error'] = str(error)
        except Exception as error:  # a peer's failure is a result, and so is Leat's
            found['error'] = f'{type(error).__name__}: {error}'
            self.failed |= side.role != PEER
        found['wall_s'] = round(time.monotonic() - began, 3)
        found['load'] = os.getloadavg()[0]
        if 'error' in found:
            lost.add(side.name)
        if round_number or 'error' in found:
            measurements.append(found)
            self.progress.end(case, side, found)
        if 'error' in found:
            self.progress.skip(case, side)
