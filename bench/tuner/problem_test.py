#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each function has its minimum where it is said to be and nothing lower, also when moved; the move is the seed's alone."""
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from functions import CATEGORICAL, CONTINUOUS, DEVELOPMENT, FUNCTIONS, REPORTED  # noqa: E402
from problem import MARGIN, MOVE_MAX, Problem, from_unit, to_unit  # noqa: E402

SEEDS = (100, 101, 102)
TRIES = 400  # accepted or refused steps of a descent


def neighbour(problem, stream, best, width):
    """One to three dimensions changed by up to `width` of their range."""
    found = dict(best)
    for dimension in stream.sample(problem.function.dimensions, min(len(best), stream.randint(1, 3))):
        if dimension.kind == CATEGORICAL:
            found[dimension.name] = stream.choice(dimension.values)
            continue
        unit = min(1.0, max(0.0, to_unit(dimension, best[dimension.name]) + stream.uniform(-width, width)))
        value = min(dimension.high, max(dimension.low, from_unit(dimension, unit)))
        found[dimension.name] = value if dimension.kind == CONTINUOUS else round(value)
    return found


def descent(problem, stream, start):
    best, lowest = start, problem.evaluate(start)
    for step in range(TRIES):
        tried = neighbour(problem, stream, best, 10 ** -(6 * step / TRIES))
        value = problem.evaluate(tried)
        if value < lowest:
            best, lowest = tried, value
    return lowest


class Problems(unittest.TestCase):
    def test_the_minimum_is_at_the_optimum(self):
        for name, function in FUNCTIONS.items():
            tolerance = 1e-12 * max(1, abs(function.minimum))
            self.assertAlmostEqual(function.formula(list(function.optimum)), function.minimum, delta=tolerance, msg=name)
            for seed in SEEDS:
                problem = Problem(name, seed)
                # Moving there and back rounds the place; a kink (bukin2) makes most of it.
                self.assertAlmostEqual(problem.evaluate(problem.optimum()), function.minimum, msg=f'{name} {seed}',
                                       delta=1e-5 if name == 'bukin2' else 1e-8 * max(1, abs(function.minimum)))

    def test_nothing_is_lower(self):
        for name, function in FUNCTIONS.items():
            tolerance = 1e-9 * max(1, abs(function.minimum))
            for seed in SEEDS:
                problem, stream = Problem(name, seed), random.Random(seed)
                starts = [problem.optimum()] + [problem.sample(stream) for _ in range(12)]
                for start in starts:
                    self.assertGreaterEqual(descent(problem, stream, start), function.minimum - tolerance, f'{name} {seed}')

    def test_the_optimum_moves_and_stays_inside(self):
        for name, function in FUNCTIONS.items():
            places = []
            for seed in range(100, 150):
                problem = Problem(name, seed)
                units = []
                for dimension, best in zip(function.dimensions, function.optimum):
                    value = problem.optimum()[dimension.name]
                    if dimension.kind != CONTINUOUS:
                        self.assertTrue(value in dimension.values or dimension.low <= value <= dimension.high, name)
                        continue
                    unit, own = to_unit(dimension, value), to_unit(dimension, best)
                    self.assertGreaterEqual(unit, min(own, MARGIN) - 1e-9, f'{name} {seed}')
                    self.assertLessEqual(unit, max(own, 1 - MARGIN) + 1e-9, f'{name} {seed}')
                    self.assertLessEqual(abs(unit - own), MOVE_MAX + 1e-9, f'{name} {seed}')
                    units.append(round(unit, 9))
                places.append(tuple(units))
            self.assertEqual(len(set(places)), len(places), f'{name}: two seeds have one optimum')

    def test_a_seed_repeats(self):
        first, second = Problem('network6', 117), Problem('network6', 117)
        self.assertEqual(first.optimum(), second.optimum())
        self.assertEqual(first.scale(), second.scale())
        self.assertEqual([next(first.durations()), first.moves], [next(second.durations()), second.moves])

    def test_the_sets_are_apart(self):
        self.assertFalse({function.name for function in DEVELOPMENT} & {function.name for function in REPORTED})
        self.assertEqual(len(FUNCTIONS), len(DEVELOPMENT) + len(REPORTED))


if __name__ == '__main__':
    unittest.main()
