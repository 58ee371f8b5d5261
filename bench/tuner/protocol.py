# SPDX-License-Identifier: Apache-2.0
"""One run of a tuner on a problem."""
import heapq
import itertools
import math

from tuners import typed

FIRST_SEED = 100
TRIALS = 100


def run(tuner, problem, trials, pending):
    """[(value, best, cpu_s)] of each trial as it ends, `pending` of them under way at a time on a simulated clock. cpu_s is of
    the tuner: to take in what it was told since it was last asked, and to suggest this trial."""
    durations = problem.durations()
    running, started, ended, best = [], itertools.count(), [], math.inf
    before = tuner.cpu_s()
    now = 0.0
    while len(ended) < trials:
        number = next(started)
        if number < trials:
            key, parameters = tuner.ask()
            after = tuner.cpu_s()
            parameters = {dimension.name: typed(dimension, parameters[dimension.name]) for dimension in problem.function.dimensions}
            value = problem.evaluate(parameters)
            heapq.heappush(running, (now + next(durations), number, key, value, after - before))
            before = tuner.cpu_s()
        if len(running) == pending or number + 1 >= trials:
            now, _, key, value, cpu_s = heapq.heappop(running)
            tuner.tell(key, value)
            best = min(best, value)
            ended.append((value, best, cpu_s))
    return ended
