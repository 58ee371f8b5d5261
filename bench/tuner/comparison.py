# SPDX-License-Identifier: Apache-2.0
"""What runs show: normalised regret with bootstrap intervals, A12 against each opponent, CPU time of a suggestion.

Normalised regret: (best - minimum) / (median of uniform samples - minimum), of the seed's own problem: 1 is what one random trial
gives. Below FLOOR it counts as FLOOR: the optimum. A12 (Vargha and Delaney): how often a run of Leat is better than an opponent's,
a tie half; over the seeds that both have. 0.71 is a large effect.
"""
import functools
import math
import random
import statistics

import record
from functions import FUNCTIONS
from problem import Problem

FLOOR = 1e-7
RESAMPLES = 2000
BUDGETS = (20, 50, 100)
LARGE = 0.71
ORACLE = ('random', 'cmaes', 'tpe')  # the best of these on a function, chosen afterwards: "oracle Optuna"


@functools.cache
def scale(function, seed):
    return Problem(function, seed).scale()


def normalised(function, seed, best):
    return max(FLOOR, (best - FUNCTIONS[function].minimum) / scale(function, seed))


def interval(values, statistic):
    """95 %, by the bootstrap over runs."""
    if len(values) < 3:
        return None
    stream = random.Random(len(values))
    found = sorted(statistic(stream.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return found[int(0.025 * RESAMPLES)], found[int(0.975 * RESAMPLES)]


def a12(ours, theirs):
    """How often ours is lower."""
    return sum((one < other) + 0.5 * (one == other) for one in ours for other in theirs) / (len(ours) * len(theirs))


def mean_log(values):
    return statistics.fmean(math.log10(value) for value in values)


class Comparison:
    """Of the runs in `raw` and in results/, with `pending` trials under way, on `functions` (names)."""

    def __init__(self, tuners, functions, pending, raw):
        self.functions, self.pending = functions, pending
        self.runs = {}  # (tuner, function) -> {seed: Run}
        for tuner in tuners:
            for (_, function, seed, run_pending), run in record.longest(tuner, raw).items():
                if run_pending == pending and function in functions:
                    self.runs.setdefault((tuner, function), {})[seed] = run
        self.tuners = [tuner for tuner in tuners if any((tuner, function) in self.runs for function in functions)]

    def regrets(self, tuner, function, budget):
        """seed -> normalised regret after `budget` trials, of the runs that are as long."""
        found = {seed: run.best_at(budget) for seed, run in self.runs.get((tuner, function), {}).items()}
        return {seed: normalised(function, seed, best) for seed, best in sorted(found.items()) if best is not None}

    def cell(self, tuner, function, budget):
        regrets = list(self.regrets(tuner, function, budget).values())
        if not regrets:
            return None
        return {'runs': len(regrets), 'median': statistics.median(regrets), 'interval': interval(regrets, statistics.median),
                'mean_log10': mean_log(regrets)}

    def against(self, function, opponent, budget, own_budget=None):
        """Leat and an opponent on the seeds of both, or None."""
        ours, theirs = self.regrets('leat', function, own_budget or budget), self.regrets(opponent, function, budget)
        seeds = sorted(ours.keys() & theirs.keys())
        if not seeds:
            return None
        pairs = [(ours[seed], theirs[seed]) for seed in seeds]

        def statistic(chosen):
            return a12([one for one, _ in chosen], [other for _, other in chosen])
        return {'runs': len(seeds), 'a12': statistic(pairs), 'interval': interval(pairs, statistic),
                'lower_median': statistics.median(one for one, _ in pairs) < statistics.median(other for _, other in pairs)}

    def oracle(self, function, budget):
        """The name of the best of ORACLE here."""
        cells = {tuner: self.cell(tuner, function, budget) for tuner in ORACLE}
        known = {tuner: cell['median'] for tuner, cell in cells.items() if cell}
        return min(known, key=known.get) if known else None

    def cpu_ms(self, tuner):
        """Mean CPU time of a suggestion in runs of the full budget, which is what it depends on."""
        runs = [run for (name, _), of_seed in self.runs.items() if name == tuner for run in of_seed.values()
                if run.length() >= BUDGETS[-1]]
        return 1000 * sum(run.cpu_s() for run in runs) / sum(run.length() for run in runs) if runs else None

    def standing(self, opponent, budget):
        """Leat against one opponent over all functions."""
        found = [pair for pair in (self.against(function, self.oracle(function, budget) if opponent == 'oracle' else opponent, budget)
                                   for function in self.functions) if pair]
        if not found:
            return None
        return {'functions': len(found), 'runs': sum(pair['runs'] for pair in found),
                'lower_median': sum(pair['lower_median'] for pair in found),
                'large_wins': sum(pair['a12'] >= LARGE for pair in found),
                'large_losses': sum(pair['a12'] <= 1 - LARGE + 1e-12 for pair in found)}

    def overall(self, tuner, budget):
        """Mean of log10 of normalised regret over functions, each function as one; the interval resamples the runs of each."""
        groups = [list(self.regrets(tuner, function, budget).values()) for function in self.functions]
        if not all(groups):
            return None
        logs = [[math.log10(value) for value in group] for group in groups]
        stream = random.Random(len(groups))
        found = sorted(statistics.fmean(statistics.fmean(stream.choices(group, k=len(group))) for group in logs)
                       for _ in range(RESAMPLES))
        return {'mean_log10': statistics.fmean(statistics.fmean(group) for group in logs),
                'interval': (found[int(0.025 * RESAMPLES)], found[int(0.975 * RESAMPLES)])}

    def summary(self):
        opponents = [tuner for tuner in self.tuners if tuner != 'leat']
        ours = 'leat' in self.tuners
        return {
            'pending': self.pending,
            'functions': {function: {
                'tuners': {tuner: {str(budget): self.cell(tuner, function, budget) for budget in BUDGETS} for tuner in self.tuners},
                'against': {opponent: {str(budget): self.against(function, opponent, budget) for budget in BUDGETS}
                            for opponent in opponents} if ours else {},
                'oracle': self.oracle(function, BUDGETS[-1]),
                'half_the_trials_of_tpe': self.against(function, 'tpe', 100, 50) if ours else None,
            } for function in self.functions},
            'overall': {tuner: {str(budget): self.overall(tuner, budget) for budget in BUDGETS} for tuner in self.tuners},
            'standing': {opponent: {str(budget): self.standing(opponent, budget) for budget in BUDGETS}
                         for opponent in [*opponents, 'oracle']} if ours else {},
            'cpu_ms_per_suggestion': {tuner: self.cpu_ms(tuner) for tuner in self.tuners},
        }
