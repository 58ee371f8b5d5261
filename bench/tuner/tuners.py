# SPDX-License-Identifier: Apache-2.0
"""The tuners behind one seam: ask() gives (key, parameters), tell(key, value) a result; cpu_s() is the CPU time of the tuner's
process. All with their defaults, in memory, one thread, no first point given."""
import json
import os
import subprocess
import sys
import time
import warnings

from functions import CATEGORICAL, CONTINUOUS, INTEGER

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))


def typed(dimension, value):
    """A parameter in the type of its dimension, within its bounds: a tuner may give text, or a float for an integer."""
    if dimension.kind == CATEGORICAL:
        return str(value)
    number = float(value)
    slack = 1e-7 * (dimension.high - dimension.low)  # text has eight digits
    if not dimension.low - slack <= number <= dimension.high + slack:
        raise ValueError(f'{dimension.name}: {value} is not within {dimension.low} and {dimension.high}')
    number = min(dimension.high, max(dimension.low, number))
    return round(number) if dimension.kind == INTEGER else number


class InProcess:
    """A tuner that is a Python library."""

    def cpu_s(self):
        return time.process_time()

    def close(self):
        pass


class Optuna(InProcess):
    def __init__(self, problem, seed, sampler):
        import optuna
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings('ignore', module='optuna')
        self.study = optuna.create_study(sampler=sampler(optuna.samplers, seed))
        self.space, self.trials = {}, {}
        for dimension in problem.function.dimensions:
            if dimension.kind == CATEGORICAL:
                self.space[dimension.name] = optuna.distributions.CategoricalDistribution(dimension.values)
            elif dimension.kind == INTEGER:
                self.space[dimension.name] = optuna.distributions.IntDistribution(
                    int(dimension.low), int(dimension.high), log=dimension.logarithmic)
            else:
                self.space[dimension.name] = optuna.distributions.FloatDistribution(
                    dimension.low, dimension.high, log=dimension.logarithmic)

    def ask(self):
        trial = self.study.ask(self.space)
        self.trials[trial.number] = trial
        return trial.number, trial.params

    def tell(self, key, value):
        self.study.tell(self.trials.pop(key), value)


class Ax(InProcess):
    def __init__(self, problem, seed):
        import logging
        from ax.api.client import Client
        from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig
        logging.disable(logging.WARNING)
        warnings.filterwarnings('ignore')
        self.client = Client(random_seed=seed)
        parameters = []
        for dimension in problem.function.dimensions:
            if dimension.kind == CATEGORICAL:
                parameters.append(ChoiceParameterConfig(name=dimension.name, values=list(dimension.values), parameter_type='str',
                                                        is_ordered=False))
            else:
                number = int if dimension.kind == INTEGER else float
                parameters.append(RangeParameterConfig(
                    name=dimension.name, bounds=(number(dimension.low), number(dimension.high)), parameter_type=number.__name__,
                    scaling='log' if dimension.logarithmic else 'linear'))
        self.client.configure_experiment(parameters=parameters)
        self.client.configure_optimization(objective='-value')

    def ask(self):
        (key, parameters), = self.client.get_next_trials(max_trials=1).items()
        return key, parameters

    def tell(self, key, value):
        self.client.complete_trial(trial_index=key, raw_data={'value': value})


def ranges(function):
    """The space in the shape of SageMaker's ParameterRanges."""
    found = {'ContinuousParameterRanges': [], 'IntegerParameterRanges': [], 'CategoricalParameterRanges': []}
    for dimension in function.dimensions:
        if dimension.kind == CATEGORICAL:
            found['CategoricalParameterRanges'].append({'Name': dimension.name, 'Values': list(dimension.values)})
        else:
            number = repr if dimension.kind == CONTINUOUS else lambda bound: str(int(bound))
            found['ContinuousParameterRanges' if dimension.kind == CONTINUOUS else 'IntegerParameterRanges'].append(
                {'Name': dimension.name, 'MinValue': number(dimension.low), 'MaxValue': number(dimension.high),
                 'ScalingType': 'Logarithmic' if dimension.logarithmic else 'Linear'})
    return found


class Leat:
    """A process of its own; a JSON object a line. First {"space": ParameterRanges, "seed": N, "maximize": false}, then
    {"ask": 1}, answered by {"trial": N, "parameters": {name: value}}, and {"tell": N, "value": X}, not answered."""

    def __init__(self, problem, seed):
        worker = os.environ.get('TUNER_BENCH_WORKER') or os.path.join(TOP, 'build/release/bench/tuner_bench_worker')
        if not os.access(worker, os.X_OK):
            sys.exit(f'bench/tuner: {worker} is not there: ninja -C build/release tuner_bench_worker')
        self.process = subprocess.Popen([worker], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.clock = (~self.process.pid << 3) | 2  # Linux: the CPU clock of another process
        self.send({'space': ranges(problem.function), 'seed': seed, 'maximize': False})

    def send(self, message):
        self.process.stdin.write(json.dumps(message) + '\n')
        self.process.stdin.flush()

    def ask(self):
        self.send({'ask': 1})
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f'tuner_bench_worker ended with {self.process.wait()}: see its messages above')
        answer = json.loads(line)
        return answer['trial'], answer['parameters']

    def tell(self, key, value):
        self.send({'tell': key, 'value': value})

    def cpu_s(self):
        return time.clock_gettime(self.clock)

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


TUNERS = {
    'random': lambda problem, seed: Optuna(problem, seed, lambda samplers, seed: samplers.RandomSampler(seed=seed)),
    'cmaes': lambda problem, seed: Optuna(problem, seed, lambda samplers, seed: samplers.CmaEsSampler(
        seed=seed, warn_independent_sampling=False)),
    'tpe': lambda problem, seed: Optuna(problem, seed, lambda samplers, seed: samplers.TPESampler(seed=seed)),
    'gp': lambda problem, seed: Optuna(problem, seed, lambda samplers, seed: samplers.GPSampler(seed=seed)),
    'ax': Ax,
    'leat': Leat,
}
TITLES = {'random': 'random', 'cmaes': 'Optuna CMA-ES', 'tpe': 'Optuna TPE', 'gp': 'Optuna GP', 'ax': 'Ax', 'leat': 'Leat'}
