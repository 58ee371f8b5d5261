# SPDX-License-Identifier: Apache-2.0
"""The functions that tuners are compared on, all minimised: values of the dimensions in, one number out. Each has a known optimum.

DEVELOPMENT: what constants of Leat's tuner may be chosen on. REPORTED: what it is judged on; no constant may be chosen on these.
Sources: Dixon and Szego 1978 (Branin, camel, Goldstein-Price, Hartmann, Shekel), Picheny 2013 (log Goldstein-Price, Hartmann 4),
Jamil and Yang 2013 (the other analytic ones), Kannan and Kramer 1994 (pressure vessel), Ru 2020 (a categorical that chooses the
function). ellipsoid10, network6, choice4 and boosting7 are our own forms of those kinds.
"""
import dataclasses
import math
from typing import Callable

CONTINUOUS, INTEGER, CATEGORICAL = 'continuous', 'integer', 'categorical'


@dataclasses.dataclass(frozen=True)
class Dimension:
    """A hyperparameter: bounds are inclusive; a categorical has values instead."""
    name: str
    kind: str = CONTINUOUS
    low: float = 0
    high: float = 1
    logarithmic: bool = False
    values: tuple = ()


@dataclasses.dataclass(frozen=True)
class Function:
    """`formula` takes the values in the order of the dimensions. `mirrored`: it has lower values, or none, outside its bounds, so a
    shift mirrors it at them (see problem.py)."""
    name: str
    dimensions: tuple
    formula: Callable[[list], float]
    optimum: tuple
    minimum: float
    mirrored: bool = False


def box(low, high, count):
    return tuple(Dimension(f'x{index + 1}', low=low, high=high) for index in range(count))


def branin(x):
    return (x[1] - 5.1 / (4 * math.pi**2) * x[0]**2 + 5 / math.pi * x[0] - 6)**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x[0]) + 10


def six_hump_camel(x):
    return (4 - 2.1 * x[0]**2 + x[0]**4 / 3) * x[0]**2 + x[0] * x[1] + (4 * x[1]**2 - 4) * x[1]**2


HARTMANN_WEIGHTS = (1.0, 1.2, 3.0, 3.2)
HARTMANN3 = (((3, 10, 30), (0.3689, 0.1170, 0.2673)), ((0.1, 10, 35), (0.4699, 0.4387, 0.7470)),
             ((3, 10, 30), (0.1091, 0.8732, 0.5547)), ((0.1, 10, 35), (0.03815, 0.5743, 0.8828)))
HARTMANN6 = (((10, 3, 17, 3.5, 1.7, 8), (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886)),
             ((0.05, 10, 17, 0.1, 8, 14), (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991)),
             ((3, 3.5, 1.7, 10, 17, 8), (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650)),
             ((17, 8, 0.05, 10, 0.1, 14), (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381)))


def hartmann(x, peaks):
    return -sum(weight * math.exp(-sum(a * (value - p)**2 for a, value, p in zip(scales, x, centre)))
                for weight, (scales, centre) in zip(HARTMANN_WEIGHTS, peaks))


def rosenbrock(x):
    return sum(100 * (following - value**2)**2 + (1 - value)**2 for value, following in zip(x, x[1:]))


def rastrigin(x):
    return sum(value**2 - 10 * math.cos(2 * math.pi * value) + 10 for value in x)


def ackley(x):
    return (20 + math.e - 20 * math.exp(-0.2 * math.sqrt(sum(value**2 for value in x) / len(x)))
            - math.exp(sum(math.cos(2 * math.pi * value) for value in x) / len(x)))


def michalewicz(x):
    return -sum(math.sin(value) * math.sin(index * value**2 / math.pi)**20 for index, value in enumerate(x, 1))


def styblinski_tang(x):
    return sum(value**4 - 16 * value**2 + 5 * value for value in x) / 2


def levy(x):
    w = [1 + (value - 1) / 4 for value in x]
    return (math.sin(math.pi * w[0])**2
            + sum((value - 1)**2 * (1 + 10 * math.sin(math.pi * value + 1)**2) for value in w[:-1])
            + (w[-1] - 1)**2 * (1 + math.sin(2 * math.pi * w[-1])**2))


def ellipsoid(x):
    """Condition 1000; coupled by the orthonormal cosine transform."""
    count = len(x)
    total = 0.0
    for row in range(count):
        factor = math.sqrt((1 if row == 0 else 2) / count)
        turned = factor * sum(value * math.cos(math.pi * (column + 0.5) * row / count) for column, value in enumerate(x))
        total += 1000**(row / (count - 1)) * turned**2
    return total


def network(x):
    """The error of a small network: rate and decay on log scales interact, and the best rate depends on the batch size."""
    rate, decay, depth, batch, dropout, activation = x
    wanted_rate = -2.7 + 0.35 * (math.log2(batch) - 6) - 0.12 * (depth - 4)
    off = math.log10(rate) - wanted_rate
    error = 0.07 + 0.05 * off**2 + (0.02 * off**4 if off > 0 else 0)
    error += 0.008 * (math.log10(decay) + 4 + 2 * (dropout - 0.2))**2
    error += 0.006 * (depth - 5)**2 / (1 + 0.2 * depth) + 0.15 * (dropout - 0.25)**2 + 0.002 * abs(math.log2(batch) - 5.5)
    return error + {'relu': 0.004, 'gelu': 0.0, 'tanh': 0.02, 'sigmoid': 0.06}[activation] * (1 + 0.1 * depth)


NETWORK = (Dimension('rate', low=1e-5, high=1, logarithmic=True), Dimension('decay', low=1e-6, high=1e-1, logarithmic=True),
           Dimension('depth', INTEGER, 1, 10), Dimension('batch', INTEGER, 8, 512, logarithmic=True),
           Dimension('dropout', low=0, high=0.8),
           Dimension('activation', CATEGORICAL, values=('relu', 'gelu', 'tanh', 'sigmoid')))


def griewank(x):
    return (1 + sum(value**2 for value in x) / 4000
            - math.prod(math.cos(value / math.sqrt(index)) for index, value in enumerate(x, 1)))


def log_goldstein_price(x):
    first, second = x
    one = 1 + (first + second + 1)**2 * (19 - 14 * first + 3 * first**2 - 14 * second + 6 * first * second + 3 * second**2)
    two = 30 + (2 * first - 3 * second)**2 * (18 - 32 * first + 12 * first**2 + 48 * second - 36 * first * second
                                              + 27 * second**2)
    return math.log(one * two)


SHEKEL = (((4, 4, 4, 4), 0.1), ((1, 1, 1, 1), 0.2), ((8, 8, 8, 8), 0.2), ((6, 6, 6, 6), 0.4), ((3, 7, 3, 7), 0.4),
          ((2, 9, 2, 9), 0.6), ((5, 5, 3, 3), 0.3), ((8, 1, 8, 1), 0.7), ((6, 2, 6, 2), 0.5), ((7, 3.6, 7, 3.6), 0.5))


def shekel(x):
    return -sum(1 / (sum((value - c)**2 for value, c in zip(x, centre)) + width) for centre, width in SHEKEL)


def zakharov(x):
    weighted = sum(0.5 * index * value for index, value in enumerate(x, 1))
    return sum(value**2 for value in x) + weighted**2 + weighted**4


def dixon_price(x):
    return (x[0] - 1)**2 + sum(index * (2 * value**2 - before)**2 for index, (before, value) in enumerate(zip(x, x[1:]), 2))


def hartmann4(x):
    """The first four dimensions of Hartmann 6, standardised."""
    return (1.1 + hartmann(x, HARTMANN6)) / 0.839


def powell(x):
    total = 0.0
    for at in range(0, len(x), 4):
        a, b, c, d = x[at:at + 4]
        total += (a + 10 * b)**2 + 5 * (c - d)**2 + (b - 2 * c)**4 + 10 * (a - d)**4
    return total


def alpine(x):
    return sum(abs(value * math.sin(value) + 0.1 * value) for value in x)


def bukin(x):
    return 100 * math.sqrt(abs(x[1] - 0.01 * x[0]**2)) + 0.01 * abs(x[0] + 10)


def pressure_vessel(x):
    """Cost of a vessel of plates in sixteenths of an inch; what is broken of a constraint is paid for."""
    shell, head, radius, length = x[0] / 16, x[1] / 16, x[2], x[3]
    cost = 0.6224 * shell * radius * length + 1.7781 * head * radius**2 + 3.1661 * shell**2 * length + 19.84 * shell**2 * radius
    volume = math.pi * radius**2 * length + 4 / 3 * math.pi * radius**3
    broken = max(0, 0.0193 * radius - shell) + max(0, 0.00954 * radius - head) + max(0, 1 - volume / 1296000)
    return cost + 30000 * broken


VESSEL = (Dimension('shell', INTEGER, 1, 40), Dimension('head', INTEGER, 1, 40), Dimension('radius', low=10, high=100),
          Dimension('length', low=10, high=240))


def beale(x):
    return ((1.5 - x[0] + x[0] * x[1])**2 + (2.25 - x[0] + x[0] * x[1]**2)**2 + (2.625 - x[0] + x[0] * x[1]**3)**2)


def choice(x):
    """Two categoricals each choose a function of the same two numbers."""
    terms = {'rosenbrock': lambda at: rosenbrock(at) / 300, 'camel': lambda at: six_hump_camel(at) / 10,
             'beale': lambda at: beale(at) / 50, 'bowl': lambda at: 0.02 * (at[0]**2 + at[1]**2),
             'waves': lambda at: rastrigin(at) / 60 + 0.05}
    return terms[x[0]](x[2:]) + terms[x[1]](x[2:])


CHOICE = (Dimension('first', CATEGORICAL, values=('rosenbrock', 'camel', 'beale')),
          Dimension('second', CATEGORICAL, values=('rosenbrock', 'camel', 'beale', 'bowl', 'waves')),
          Dimension('x1', low=-2, high=2), Dimension('x2', low=-2, high=2))


def boosting(x):
    """The loss of boosted trees: more trees need a lower rate, deep trees more regularisation; some choices matter only a little."""
    trees, rate, leaves, penalty, share, growth, missing = x
    learned = math.log10(trees * rate)
    loss = 0.3 + 0.06 * max(0, 1.4 - learned)**2 + 0.1 * max(0, learned - 1.4)**2 + 0.015 * (math.log10(rate) + 1.6)**2
    wanted_penalty = -1 + 1.2 * (math.log2(leaves) - 5)
    loss += 0.004 * (math.log10(penalty) - 0.5 * wanted_penalty)**2 + 0.012 * (math.log2(leaves) - 5.2)**2
    loss += 0.2 * (share - 0.7)**2 + {'depth': 0.01, 'leaf': 0.0, 'symmetric': 0.025}[growth] * (1 + abs(math.log2(leaves) - 5))
    return loss + (0.006 if missing == 'mean' else 0.0)


BOOSTING = (Dimension('trees', INTEGER, 10, 2000, logarithmic=True), Dimension('rate', low=1e-3, high=1, logarithmic=True),
            Dimension('leaves', INTEGER, 2, 256, logarithmic=True), Dimension('penalty', low=1e-4, high=1e2, logarithmic=True),
            Dimension('share', low=0.2, high=1), Dimension('growth', CATEGORICAL, values=('depth', 'leaf', 'symmetric')),
            Dimension('missing', CATEGORICAL, values=('branch', 'mean')))

DEVELOPMENT = (
    Function('branin2', (Dimension('x1', low=-5, high=10), Dimension('x2', low=0, high=15)), branin,
             (math.pi, 2.275), 0.39788735772973816),
    Function('camel2', (Dimension('x1', low=-3, high=3), Dimension('x2', low=-2, high=2)), six_hump_camel,
             (0.08984201091027666, -0.7126564051222863), -1.0316284534898774),
    Function('hartmann3', box(0, 1, 3), lambda x: hartmann(x, HARTMANN3),
             (0.11461433816618904, 0.5556488492945044, 0.8525469534142753), -3.862782147820756),
    Function('rosenbrock4', box(-5, 10, 4), rosenbrock, (1, 1, 1, 1), 0),
    Function('rastrigin4', box(-5.12, 5.12, 4), rastrigin, (0, 0, 0, 0), 0),
    Function('ackley5', box(-32.768, 32.768, 5), ackley, (0, 0, 0, 0, 0), 0),
    Function('michalewicz5', box(0, math.pi, 5), michalewicz,
             (2.20290551901534, 1.5707963260940478, 1.2849915702711059, 1.9230584691622796, 1.720469770970355),
             -4.687658179088144, mirrored=True),
    Function('styblinski5', box(-5, 5, 5), styblinski_tang,
             (-2.903534030080572,) * 5, -195.83082851885712),
    Function('hartmann6', box(0, 1, 6), lambda x: hartmann(x, HARTMANN6),
             (0.2016895105822894, 0.150010693487016, 0.4768739730887802, 0.2753324302734883, 0.3116516155339381, 0.6573005310401792),
             -3.322368011415515),
    Function('levy8', box(-10, 10, 8), levy, (1,) * 8, 0),
    Function('ellipsoid10', box(-5, 5, 10), ellipsoid, (0,) * 10, 0),
    Function('network6', NETWORK, network,
             (10**(-2.82 + 0.35 * (math.log2(45) - 6)), 10**-4.1, 5, 45, 0.25, 'gelu'), 0.07001629380734066, mirrored=True),
)
REPORTED = (
    Function('griewank5', box(-600, 600, 5), griewank, (0,) * 5, 0),
    Function('goldstein2', box(-2, 2, 2), log_goldstein_price, (0, -1), math.log(3)),
    Function('shekel4', box(0, 10, 4), shekel,
             (4.0007465338827455, 4.000592932989054, 3.9996633990870025, 3.9995098017768433), -10.536409816692046),
    Function('zakharov6', box(-5, 10, 6), zakharov, (0,) * 6, 0),
    Function('dixon5', box(-10, 10, 5), dixon_price, tuple(2**-((2**index - 2) / 2**index) for index in range(1, 6)), 0),
    Function('hartmann4', box(0, 1, 4), hartmann4,
             (0.18739527128623978, 0.19415152649959905, 0.5579177793445708, 0.2647796241395863), -3.1344941412224),
    Function('powell8', box(-4, 5, 8), powell, (0,) * 8, 0),
    Function('alpine6', box(-10, 10, 6), alpine, (0,) * 6, 0),
    Function('bukin2', (Dimension('x1', low=-15, high=-5), Dimension('x2', low=-3, high=3)), bukin, (-10, 1), 0),
    Function('vessel4', VESSEL, pressure_vessel,
             (12, 6, 0.75 / 0.0193, 221.36547135600824), 5850.383060329162, mirrored=True),
    Function('choice4', CHOICE, choice,
             ('camel', 'camel', 0.08984201091027666, -0.7126564051222863), -0.2063256906979755),
    Function('boosting7', BOOSTING, boosting,
             (1000, 10**-1.6, 37, 10**(-0.5 + 0.6 * (math.log2(37) - 5)), 0.7, 'leaf', 'branch'), 0.3000010723934606, mirrored=True),
)
FUNCTIONS = {function.name: function for function in REPORTED + DEVELOPMENT}
