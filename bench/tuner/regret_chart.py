# SPDX-License-Identifier: Apache-2.0
"""The chart: for each function the median normalised regret of each tuner after all trials, with its interval, on a log axis."""
import math
import os
import sys
from xml.sax.saxutils import escape

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from chart import STYLE, text  # noqa: E402
from comparison import FLOOR  # noqa: E402
from tuners import TITLES  # noqa: E402

WIDTH, LEFT, RIGHT, TOP = 760, 130, 24, 92
LINE, GAP = 11, 12
COLOURS = {'leat': '#1f6f8b', 'ax': '#b5533c', 'gp': '#c9a66b', 'tpe': '#7a9e57', 'cmaes': '#8d7bb0', 'random': '#b8b8b8'}
HIGHEST = 10.0


def position(regret):
    share = (math.log10(min(HIGHEST, max(FLOOR, regret))) - math.log10(FLOOR)) / (math.log10(HIGHEST) - math.log10(FLOOR))
    return LEFT + (WIDTH - LEFT - RIGHT) * share


def marks(cell, tuner, y):
    colour, at = COLOURS[tuner], position(cell['median'])
    words = escape(f'{TITLES[tuner]}: {cell["median"]:.2g}, {cell["runs"]} runs')
    if cell['interval']:
        low, high = (position(bound) for bound in cell['interval'])
        yield f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="{colour}" stroke-width="2" opacity="0.55"/>'
    yield f'<circle cx="{at:.1f}" cy="{y}" r="4.5" fill="{colour}"><title>{words}</title></circle>'


def drawn(summary, title, budget):
    shown = [tuner for tuner in COLOURS if any(of['tuners'].get(tuner, {}).get(budget) for of in summary['functions'].values())]
    elements, y = [], TOP
    for name, found in summary['functions'].items():
        cells = [(tuner, found['tuners'].get(tuner, {}).get(budget)) for tuner in shown]
        height = LINE * len(shown)
        elements.append(text(LEFT - 10, y + height / 2 + 4, name, '', 'end'))
        for row, (tuner, cell) in enumerate(cells):
            if cell:
                elements += marks(cell, tuner, y + LINE * row + LINE // 2)
        y += height + GAP
        elements.append(f'<line x1="12" y1="{y - GAP / 2}" x2="{WIDTH - RIGHT}" y2="{y - GAP / 2}" stroke="#eee"/>')
    bottom, grid = y - GAP, []
    for power in range(round(math.log10(FLOOR)), round(math.log10(HIGHEST)) + 1):
        at = position(10.0**power)
        grid.append(f'<line x1="{at:.1f}" y1="{TOP - 8}" x2="{at:.1f}" y2="{bottom}" stroke="{"#444" if power == 0 else "#ddd"}"/>')
        label = '1' if power == 0 else 'optimum' if power == round(math.log10(FLOOR)) else f'1e{power}'
        grid.append(text(at, TOP - 13, label, 'quiet', 'middle'))
    legend, x = [], 12
    for tuner in shown:
        legend += [f'<circle cx="{x + 6}" cy="47" r="5" fill="{COLOURS[tuner]}"/>', text(x + 17, 52, TITLES[tuner])]
        x += 36 + 7.5 * len(TITLES[tuner])
    return '\n'.join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 12}" width="100%" role="img" '
                      f'aria-label="{escape(title)}">', f'<style>{STYLE}</style>',
                      f'<rect width="{WIDTH}" height="{bottom + 12}" fill="#fff"/>',
                      text(12, 26, title, 'large'), *legend, *grid, *elements, '</svg>', ''])
