#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The order of asking and telling, what is kept of a run, the seam to Leat's process, and the statistics."""
import os
import random
import sys
import tempfile
import textwrap
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import comparison  # noqa: E402
import record  # noqa: E402
from problem import Problem  # noqa: E402
from protocol import run  # noqa: E402
from tuners import Leat, ranges, typed  # noqa: E402

WORKER = textwrap.dedent('''\
    #!/usr/bin/env python3
    import json, sys
    first = json.loads(sys.stdin.readline())
    assert first['seed'] == 7 and first['maximize'] is False, first
    bounds = first['space']['ContinuousParameterRanges']
    asked, told = 0, {}
    for line in sys.stdin:
        message = json.loads(line)
        if 'ask' in message:
            # The number of results so far is the parameter, so that the test sees what was told before.
            number = {entry['Name']: str(float(entry['MinValue']) + len(told)) for entry in bounds}
            print(json.dumps({'trial': asked, 'parameters': number}), flush=True)
            asked += 1
        else:
            told[message['tell']] = message['value']
    ''')


class Scripted:
    """Draws at random and remembers the order of what happens. A suggestion costs 2 s, to be told 1 s."""

    def __init__(self, problem):
        self.problem, self.stream, self.events, self.clock = problem, random.Random(1), [], 0.0

    def ask(self):
        self.clock += 2
        key = sum(1 for kind, _ in self.events if kind == 'ask')
        self.events.append(('ask', key))
        return key, self.problem.sample(self.stream)

    def tell(self, key, value):
        self.clock += 1
        self.events.append(('tell', key))

    def cpu_s(self):
        return self.clock


class Protocol(unittest.TestCase):
    def test_one_after_another(self):
        tuner = Scripted(Problem('branin2', 100))
        trials = run(tuner, tuner.problem, 20, 1)
        self.assertEqual(tuner.events, [event for number in range(20) for event in (('ask', number), ('tell', number))])
        self.assertEqual([best for _, best, _ in trials], [min(value for value, _, _ in trials[:end]) for end in range(1, 21)])
        self.assertEqual([cpu_s for _, _, cpu_s in trials], [2] + [3] * 19)

    def test_four_pending(self):
        problem = Problem('network6', 100)
        tuner = Scripted(problem)
        trials = run(tuner, problem, 40, 4)
        self.assertEqual(len(trials), 40)
        under_way, most, told = set(), 0, []
        for kind, key in tuner.events:
            if kind == 'ask':
                under_way.add(key)
            else:
                under_way.remove(key)
                told.append(key)
            most = max(most, len(under_way))
        self.assertEqual((most, len(under_way)), (4, 0))
        self.assertEqual(sorted(told), list(range(40)))
        # Trial k of the first four ends when its duration says so, before any that started later and ends later.
        durations = [length for length, _ in zip(problem.durations(), range(4))]
        self.assertEqual(told[0], durations.index(min(durations)))
        self.assertNotEqual(told, sorted(told))
        again = Scripted(problem)
        run(again, problem, 40, 4)
        self.assertEqual(again.events, tuner.events)

    def test_parameters_have_the_type_of_their_dimension(self):
        rate, _, depth, _, _, activation = Problem('network6', 100).function.dimensions
        self.assertEqual([typed(rate, '0.5'), typed(depth, '3'), typed(activation, 'relu')], [0.5, 3, 'relu'])
        self.assertEqual(typed(rate, 1.00000001), 1)
        with self.assertRaises(ValueError):
            typed(rate, 1.1)

    def test_the_space_is_sagemakers(self):
        space = ranges(Problem('network6', 100).function)
        self.assertIn({'Name': 'batch', 'MinValue': '8', 'MaxValue': '512', 'ScalingType': 'Logarithmic'},
                      space['IntegerParameterRanges'])
        self.assertEqual(space['CategoricalParameterRanges'], [{'Name': 'activation', 'Values': ['relu', 'gelu', 'tanh', 'sigmoid']}])

    def test_leat_is_a_process(self):
        with tempfile.TemporaryDirectory() as folder:
            worker = os.path.join(folder, 'worker')
            with open(worker, 'w', encoding='ascii') as file:
                file.write(WORKER)
            os.chmod(worker, 0o755)
            os.environ['TUNER_BENCH_WORKER'] = worker
            self.addCleanup(os.environ.pop, 'TUNER_BENCH_WORKER')
            problem = Problem('hartmann3', 100)
            tuner = Leat(problem, 7)
            key, parameters = tuner.ask()
            self.assertEqual((key, parameters), (0, {'x1': '0.0', 'x2': '0.0', 'x3': '0.0'}))
            tuner.tell(key, 0.5)
            self.assertEqual(tuner.ask(), (1, {'x1': '1.0', 'x2': '1.0', 'x3': '1.0'}))
            self.assertGreater(tuner.cpu_s(), 0)
            tuner.close()
            self.assertEqual(tuner.process.returncode, 0)
            with self.assertRaises(OSError):
                tuner.cpu_s()


class Kept(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.raw = os.path.join(folder.name, 'raw')
        published, record.PUBLISHED = record.PUBLISHED, os.path.join(folder.name, 'results')
        self.addCleanup(setattr, record, 'PUBLISHED', published)
        self.trials = [(5.0, 5.0, 0.5), (6.0, 5.0, 0.25), (4.0, 4.0, 0.125), (4.5, 4.0, 1.0)]

    def test_a_run_is_kept(self):
        kept = record.Record(self.raw, 'tpe', False)
        self.assertFalse(kept.has('branin2', 100, 1, 4))
        kept.put('branin2', 100, 1, self.trials)
        again = record.Record(self.raw, 'tpe', False)
        self.assertTrue(again.has('branin2', 100, 1, 4))
        self.assertFalse(again.has('branin2', 100, 1, 5) or again.has('branin2', 100, 4, 4) or again.has('branin2', 101, 1, 4))
        forgotten = record.Record(self.raw, 'tpe', True)
        self.assertFalse(forgotten.has('branin2', 100, 1, 4))

    def test_an_interrupted_write(self):
        kept = record.Record(self.raw, 'tpe', False)
        kept.put('branin2', 100, 1, self.trials)
        kept.put('branin2', 101, 1, self.trials)
        with open(kept.path, 'rb+') as file:
            file.truncate(os.path.getsize(kept.path) - 40)
        again = record.Record(self.raw, 'tpe', False)
        self.assertTrue(again.has('branin2', 100, 1, 4))
        self.assertFalse(again.has('branin2', 101, 1, 4))
        again.put('branin2', 101, 1, self.trials)
        run_again = record.longest('tpe', self.raw)[('tpe', 'branin2', 101, 1)]
        self.assertEqual([row.trial for row in run_again.rows], [1, 2, 3, 4])

    def test_what_is_published_draws_the_same_curve(self):
        record.Record(self.raw, 'tpe', False).put('branin2', 100, 1, self.trials)
        record.publish('tpe', self.raw)
        os.remove(os.path.join(self.raw, 'tpe.csv'))
        kept = record.longest('tpe', self.raw)[('tpe', 'branin2', 100, 1)]
        self.assertEqual([row.trial for row in kept.rows], [1, 3, 4])
        self.assertEqual([kept.best_at(trial) for trial in range(1, 6)], [5, 5, 4, 4, None])
        self.assertEqual(kept.cpu_s(), 1.875)
        self.assertTrue(record.Record(self.raw, 'tpe', False).has('branin2', 100, 1, 4))


class Statistics(unittest.TestCase):
    def test_a12(self):
        self.assertEqual(comparison.a12([1, 2], [3, 4]), 1)
        self.assertEqual(comparison.a12([3, 4], [1, 2]), 0)
        self.assertEqual(comparison.a12([1, 3], [2, 3]), 0.625)

    def test_an_interval_holds_the_statistic_and_narrows(self):
        stream = random.Random(3)
        few, many = ([stream.gauss(10, 1) for _ in range(count)] for count in (10, 1000))
        mean = comparison.statistics.fmean
        wide, narrow = (comparison.interval(values, mean) for values in (few, many))
        self.assertTrue(wide[0] < mean(few) < wide[1] and narrow[0] < mean(many) < narrow[1])
        # The known width: 2 * 1.96 / sqrt(1000).
        self.assertAlmostEqual(narrow[1] - narrow[0], 0.124, delta=0.02)
        self.assertGreater(wide[1] - wide[0], 3 * (narrow[1] - narrow[0]))
        self.assertIsNone(comparison.interval([1, 2], mean))

    def test_regret_is_normalised_by_the_median_sample(self):
        problem = Problem('hartmann6', 103)
        stream = random.Random(5)
        values = sorted(problem.evaluate(problem.sample(stream)) for _ in range(999))
        self.assertAlmostEqual(comparison.normalised('hartmann6', 103, values[499]), 1, delta=0.05)
        self.assertEqual(comparison.normalised('hartmann6', 103, problem.minimum), comparison.FLOOR)


if __name__ == '__main__':
    unittest.main()
