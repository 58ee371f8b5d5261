# SPDX-License-Identifier: Apache-2.0
"""The chart: for each case the ratio of Leat and of each peer to the reference, as bars. Text and bars are large enough for a
page of half its width."""
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP = 760, 190, 70, 84
BAR, GAP, CASE_GAP, TITLE = 14, 3, 18, 18
LINE_LIMIT = 96  # characters
SCALE_MAX = 1.2  # longer bars end here, with their number beside them
COLOURS = {'leat': '#1f6f8b', 'peer': '#c9a66b', 'other': '#8fb8c6'}
STYLE = ('text{font-family:system-ui,Helvetica,Arial,sans-serif;font-size:13px;fill:#222}.title{font-weight:600}'
         '.large{font-size:18px;font-weight:600}.quiet{fill:#666}')


def text(x, y, words, kind='', anchor='start'):
    of_kind = f' class="{kind}"' if kind else ''
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{of_kind}>{escape(words)}</text>'


def position(ratio):
    return LEFT + (WIDTH - LEFT - RIGHT) * min(ratio, SCALE_MAX) / SCALE_MAX


def bars(case):
    return [side for side in case['sides'] if side.get('ratio') is not None and side['role'] != 'reference']


def drawn_case(case, y):
    """The elements of a case that starts at `y`, and where it ends."""
    name, more = f'{case["row"]}: {case["title"]}', f'page cache {case["page_cache"]}, against {case["reference"]}'
    together = len(name) + len(more) <= LINE_LIMIT
    found = [f'<text x="12" y="{y + 13}"><tspan class="title">{escape(name)}</tspan>'
             + (f'<tspan class="quiet" dx="8">{escape(more)}</tspan>' if together else '') + '</text>']
    y += TITLE
    if not together:
        found.append(text(12, y + 12, more, 'quiet'))
        y += TITLE
    for side in bars(case):
        colour = COLOURS.get(side['role'], COLOURS['other'])
        end = position(side['ratio'])
        found.append(text(LEFT - 8, y + 12, side['name'][:26], '', 'end'))
        found.append(f'<rect x="{LEFT}" y="{y}" width="{max(1, end - LEFT):.1f}" height="{BAR}" fill="{colour}"/>')
        found.append(text(end + 6, y + 12, f'{side["ratio"]:.2f}' if side['ratio'] >= 0.095 else f'{side["ratio"]:.3f}'))
        y += BAR + GAP
    return found, y + CASE_GAP


def drawn(cases):
    cases = [case for case in cases if bars(case)]
    elements, y, last = [], TOP, None
    for case in cases:
        found, y = drawn_case(case, y)
        elements += found
        last = case
    one = position(1)
    grid = [f'<line x1="{position(at):.1f}" y1="{TOP - 8}" x2="{position(at):.1f}" y2="{y - CASE_GAP + 4}" stroke="#ddd"/>'
            for at in (0.25, 0.5, 0.75)]
    grid.append(f'<line x1="{one:.1f}" y1="{TOP - 8}" x2="{one:.1f}" y2="{y - CASE_GAP + 4}" stroke="#444"/>')
    axis = [text(position(at), TOP - 13, f'{at:g}', 'quiet', 'middle') for at in (0, 0.25, 0.5, 0.75)]
    axis.append(text(one, TOP - 13, '1 = reference', 'quiet', 'middle'))
    legend, x = [], 12
    for role, words in (('leat', 'Leat'), ('peer', 'another file system or downloader'), ('other', 'Leat, a variant')):
        legend += [f'<rect x="{x}" y="36" width="12" height="12" fill="{COLOURS[role]}"/>', text(x + 18, 47, words)]
        x += 40 + 7 * len(words)
    head = text(12, 24, 'Speed as a share of the reference in the same rounds (longer is faster)', 'large')
    when = text(WIDTH - 12, y + 2, last['date'][:10] if last else '', 'quiet', 'end')
    return '\n'.join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 12}" width="100%" role="img" '
                      'aria-label="Ratios to the reference">', f'<style>{STYLE}</style>',
                      f'<rect width="{WIDTH}" height="{y + 12}" fill="#fff"/>',
                      head, *legend, *grid, *axis, *elements, when, '</svg>', ''])
