# SPDX-License-Identifier: Apache-2.0
"""Where tuners run: one thread each, in the virtual environment of bench/tuner/setup where one needs it. Import this first."""
import os
import sys

from record import CACHE

for name in ('OMP', 'OPENBLAS', 'MKL', 'NUMEXPR'):
    os.environ[f'{name}_NUM_THREADS'] = '1'
VENV = os.environ.get('LEAT_BENCH_VENV') or os.path.join(CACHE, 'venv')


def enter(tuners):
    """Starts the program again in the virtual environment, unless it runs there or `tuners` (names) need none."""
    if tuners != ['leat'] and sys.prefix != VENV:
        python = os.path.join(VENV, 'bin/python3')
        if not os.path.exists(python):
            sys.exit(f'{sys.argv[0]}: {VENV} is not there: run bench/tuner/setup, or name another environment with LEAT_BENCH_VENV')
        os.execv(python, [python, *sys.argv])
    if set(tuners) & {'gp', 'ax'}:
        import torch
        torch.set_num_threads(1)
