#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the objective's mean and spread over the jobs of each augmentation, the best first:

    leat jobs describe augmentations --json | python3 summarise.py

Reads the tuning job's description from standard input. `spread` is the largest less the smallest value: a difference of means
that is not clearly larger tells nothing.
"""
import argparse
import json
import sys


def groups(description, parameter):
    """{value of the parameter: objectives of its completed jobs}."""
    values = {}
    for job in description['LeatTrainingJobs']:
        found = values.setdefault(job['TunedHyperParameters'].get(parameter, '-'), [])
        objective = job.get('FinalHyperParameterTuningJobObjectiveMetric')
        if job['TrainingJobStatus'] == 'Completed' and objective:
            found.append(float(objective['Value']))
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--parameter', default='augmentation', help='group by this hyperparameter (augmentation)')
    options = parser.parse_args()
    try:
        description = json.load(sys.stdin)
        rows = [(sum(found) / len(found) if found else float('-inf'), name, found)
                for name, found in groups(description, options.parameter).items()]
    except (ValueError, KeyError) as error:
        sys.exit(f'summarise.py: this is no description of a tuning job ({error!r}); pipe it in: '
                 'leat jobs describe NAME --json | summarise.py')
    print(f'{options.parameter:<14} jobs    mean  spread')
    for mean, name, found in sorted(rows, reverse=True):
        figures = f'{mean:7.4f} {max(found) - min(found):7.4f}' if found else '      -       -'
        print(f'{name:<14} {len(found):>4} {figures}')


if __name__ == '__main__':
    main()
