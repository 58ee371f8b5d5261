# SPDX-License-Identifier: Apache-2.0
"""A function as a tuner meets it: its optimum moved by the seed, its space, and how long each trial takes.

The move is the same for all tuners. Each continuous or linear integer dimension moves by a uniform share of its range (on its scale),
up to 25 % and so that the optimum stays 2 % inside; integers by whole numbers; the values of a categorical are rotated; a
logarithmic integer does not move, for its levels have unequal steps. A function that is mirrored takes what falls outside its
bounds from the mirror image at them; the others go on outside, where their minimum is the same.
"""
import math
import random
import statistics

from functions import CATEGORICAL, CONTINUOUS, FUNCTIONS, INTEGER

MOVE_MAX = 0.25
MARGIN = 0.02
DURATION_SIGMA = 0.5
SAMPLES = 999  # uniform samples whose median scales the regret


def to_unit(dimension, value):
    if dimension.logarithmic:
        return math.log(value / dimension.low) / math.log(dimension.high / dimension.low)
    return (value - dimension.low) / (dimension.high - dimension.low)


def from_unit(dimension, unit):
    if dimension.logarithmic:
        return dimension.low * (dimension.high / dimension.low)**unit
    return dimension.low + unit * (dimension.high - dimension.low)


def mirrored(value, low, high):
    """`value` within the bounds, as often mirrored at them as is needed."""
    while not low <= value <= high:
        value = 2 * low - value if value < low else 2 * high - value
    return value


class Problem:
    """`evaluate(parameters)`: name -> value of the type of its dimension. Minimised; one thread."""

    def __init__(self, name, seed):
        self.function, self.seed = FUNCTIONS[name], seed
        self.minimum = self.function.minimum
        stream = random.Random(f'move {name} {seed}')
        self.moves = [self.drawn_move(dimension, best, stream.random())
                      for dimension, best in zip(self.function.dimensions, self.function.optimum)]

    @staticmethod
    def drawn_move(dimension, best, share):
        if dimension.kind == CATEGORICAL:
            return int(share * len(dimension.values))
        if dimension.kind == INTEGER and dimension.logarithmic:
            return 0
        at = to_unit(dimension, best)
        low, high = max(-MOVE_MAX, min(0.0, MARGIN - at)), min(MOVE_MAX, max(0.0, 1 - MARGIN - at))
        move = low + share * (high - low)
        return round(move * (dimension.high - dimension.low)) if dimension.kind == INTEGER else move

    def unmoved(self, dimension, move, value, sign=-1):
        """The value of the function's own space; with sign 1, the way back."""
        if dimension.kind == CATEGORICAL:
            return dimension.values[(dimension.values.index(value) + sign * move) % len(dimension.values)]
        if dimension.kind == INTEGER:
            return mirrored(value + sign * move, dimension.low, dimension.high)
        unit = to_unit(dimension, value) + sign * move
        return from_unit(dimension, mirrored(unit, 0, 1) if self.function.mirrored else unit)

    def evaluate(self, parameters):
        return float(self.function.formula([self.unmoved(dimension, move, parameters[dimension.name])
                                            for dimension, move in zip(self.function.dimensions, self.moves)]))

    def optimum(self):
        """Where the minimum is for this seed."""
        return {dimension.name: self.unmoved(dimension, move, best, 1)
                for dimension, move, best in zip(self.function.dimensions, self.moves, self.function.optimum)}

    def sample(self, stream):
        """Uniform on the scales, as random search draws."""
        def drawn(dimension):
            if dimension.kind == CATEGORICAL:
                return dimension.values[stream.randrange(len(dimension.values))]
            value = from_unit(dimension, stream.random())
            return value if dimension.kind == CONTINUOUS else min(int(dimension.high), max(int(dimension.low), round(value)))
        return {dimension.name: drawn(dimension) for dimension in self.function.dimensions}

    def scale(self):
        """Regret of the median uniform sample: a normalised regret of 1."""
        stream = random.Random(f'scale {self.function.name} {self.seed}')
        return statistics.median(self.evaluate(self.sample(stream)) for _ in range(SAMPLES)) - self.minimum

    def durations(self):
        """Of the trials in the order in which they start, for ever."""
        stream = random.Random(f'durations {self.function.name} {self.seed}')
        while True:
            yield stream.lognormvariate(0, DURATION_SIGMA)
