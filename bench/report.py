# SPDX-License-Identifier: Apache-2.0
"""What is shown: a line of progress, a table of 80 columns for each case as it ends, and results.json."""
import json
import os
import sys

FORMAT = 1


def magnitude(value, unit):
    """A number of at most nine characters."""
    if value is None:
        return '-'
    if unit == '' and value == int(value):
        return f'{value:,.0f}'
    if unit == 'bytes/s':
        return f'{value / 1e6:,.0f}'
    if abs(value) >= 100:
        return f'{value:,.0f}'
    return f'{value:.3f}' if abs(value) < 10 else f'{value:.1f}'


def shown_unit(unit):
    return 'MB/s' if unit == 'bytes/s' else unit


def cpu_of(side, name, per):
    """CPU seconds per 1,000 files or per GB."""
    spent = side.get(name)
    amount = side.get('bytes', 0) / 1e9 if per == 'gb' else side.get('files', 0) / 1000 if per == 'file' else 0
    if spent is None or not amount:
        return '-'
    return f'{spent / amount:.3f}' if spent / amount >= 0.1 else f'{spent / amount:.4f}'


def count(value):
    if value is None:
        return '-'
    return f'{value:,.0f}' if value < 1e6 else f'{value / 1e6:.2f}M'


def spread(side):
    """Half of the range between the rounds, of the median."""
    if not side.get('median') or side.get('rounds', 0) < 2:
        return '-'
    return f'{100 * (side["high"] - side["low"]) / 2 / side["median"]:.0f} %'


def per_epoch(side, name):
    passes = side.get('files', 0) / side['set_files'] if side.get('set_files') else 1
    return side[name] / max(1, passes) if side.get(name) is not None else None


EXTRAS = {'peak_memory_bytes': ('peak memory', 'MB', 1e6), 'first_file_seconds': ('first file', 'ms', 1e-3),
          'p99_us': ('p99 of a file', 'ms', 1e3), 'fetched_ratio': ('fetched / data set', 'x', 1),
          'mount_s': ('mount returned after', 's', 1),
          'catalog_bytes_per_entry': ('disk per entry', 'bytes', 1), 'refresh_s': ('refresh', 's', 1),
          'refresh_lists': ('refresh LISTs', '', 1), 'refresh_list_bytes': ('refresh bytes', 'MB', 1e6),
          'hedges_sent': ('hedged GETs', '', 1), 'budget_bytes': ('memory budget', 'MB', 1e6),
          'status_memory_bytes': ('status says', 'MB', 1e6), 'kills': ('killed for memory', 'times', 1)}


def extras(side, page_cache):
    return [f'{label} {magnitude(side[name] / scale, "")} {unit}'.strip() for name, (label, unit, scale) in EXTRAS.items()
             if side.get(name) is not None and (page_cache != 'warm' or not name.startswith(('first_', 'p99')))]


def wrapped(words, indent, width=80):
    line = indent
    for word in words:
        if len(line) + len(word) + 2 > width and line.strip():
            yield line.rstrip()
            line = indent
        line += word + ', '
    yield line.rstrip(', ')


def table(summary):
    """The lines of one case."""
    unit, per = shown_unit(summary['unit']), summary['per']
    yield f'row {summary["row"]}: {summary["title"]}'
    yield f'  page cache {summary["page_cache"]}; CPU seconds per {"GB" if per == "gb" else "1,000 files"}' if per else \
        f'  page cache {summary["page_cache"]}'
    yield (f'  {"":<21}{unit:>10}{"spread":>7}{"ratio":>7}{"client":>8}{"server":>8}{"GETs":>9}{"kernel":>8}')
    for side in summary['sides']:
        if 'median' not in side:
            yield f'  {side["name"]:<21} not measured: {side.get("error", "")}'[:80]
            continue
        ratio = f'{side["ratio"]:.2f}' if side.get('ratio') is not None else '-'
        yield (f'  {side["name"][:21]:<21}{magnitude(side["median"], summary["unit"]):>10}{spread(side):>7}{ratio:>7}'
               f'{cpu_of(side, "client_cpu_s", per):>8}{cpu_of(side, "server_cpu_s", per):>8}{count(side.get("s3_gets")):>9}'
               f'{count(per_epoch(side, "kernel_requests")):>8}')
    own = next((side for side in summary['sides'] if side['role'] == 'leat' and 'median' in side), None)
    fewer = {f'{side["set_files"]:,} files' for side in summary['sides'] if side['role'] == 'peer' and side.get('set_files')}
    if fewer:
        yield f'  peers read {", ".join(sorted(fewer))} of the same size'
    more = extras(own, summary['page_cache']) if own else []
    if more:
        yield from wrapped(['leat: ' + more[0], *more[1:]], '  ')
    for target in summary['targets']:
        yield f'  {"met  " if target["met"] else "SHORT"} {target["text"]}: {magnitude(target["found"], "")}'
    yield ''


def markdown(cases):
    """The lines of a table for a page of text: a case a line, peers in one column by their ratio to the reference."""
    yield '| row | case | page cache | reference | Leat | ratio | target | CPU: client + daemon | others, of the reference |'
    yield '|---|---|---|---|---|---|---|---|---|'
    for case in cases:
        unit, sides = shown_unit(case['unit']), [side for side in case['sides'] if side.get('median') is not None]
        reference = next((side for side in sides if side['role'] == 'reference'), None)
        own = next((side for side in sides if side['role'] == 'leat'), None)
        if own is None:
            continue
        others = [f'{side["name"]} ' + (f'{side["ratio"]:.3f}' if side.get('ratio') is not None else
                                        magnitude(side['median'], case['unit'])) for side in sides
                  if side is not own and side is not reference]
        cpu = [cpu_of(own, name, case['per']) for name in ('client_cpu_s', 'server_cpu_s')] if case['per'] else []
        targets = [f'{"" if target["met"] else "**short** "}{target["text"]}' for target in case['targets']]
        yield ' | '.join([f'| {case["row"]}', case['title'], case['page_cache'],
                          f'{reference["name"]}: {magnitude(reference["median"], case["unit"])} {unit}' if reference else '-',
                          f'{magnitude(own["median"], case["unit"])} {unit}',
                          f'{own["ratio"]:.2f}' if own.get('ratio') is not None else '-', '; '.join(targets) or '-',
                          ' + '.join(cpu) or '-', '; '.join(others) or '-']) + ' |'


class Progress:
    """One line that is rewritten on a terminal; a line for each measurement elsewhere. Both go to standard error."""

    def __init__(self, known_seconds):
        self.terminal = sys.stderr.isatty()
        self.known = dict(known_seconds)  # (row, title, side) -> seconds of a measurement, from earlier results
        self.left, self.total = [], 0

    def expect(self, groups, rounds_of):
        self.left = [(case.row, case.title, side.name) for group in groups for case in group.cases
                     for _ in range(rounds_of(case)) for side in case.sides]
        self.total = len(self.left)

    def eta(self):
        if not self.known:
            return ''
        mean = sum(self.known.values()) / len(self.known)
        seconds = sum(self.known.get(key, mean) for key in self.left)
        left = f'{seconds / 60:.0f} min' if seconds >= 60 else f'{seconds:.0f} s'
        return f', about {left} of measuring left'

    def clear(self):
        if self.terminal:
            sys.stderr.write('\r\033[K')

    def note(self, text):
        if self.terminal:
            sys.stderr.write(f'\r\033[K{text}'[:84])
            sys.stderr.flush()

    def line(self, text):
        self.clear()
        print(text, flush=True)

    def number(self):
        return self.total - len(self.left) + 1

    def skip(self, case, side):
        """It will not be measured any more."""
        self.left = [key for key in self.left if key != (case.row, case.title, side.name)]

    def begin(self, case, side, round_number):
        self.note(f'[{self.number()}/{self.total}] row {case.row}, round {round_number}, {side.name}{self.eta()}')

    def end(self, case, side, found):
        number, key = self.number(), (case.row, case.title, side.name)
        self.known[key] = found['wall_s']
        if key in self.left:
            self.left.remove(key)
        if 'error' in found:
            self.line(f'row {case.row}, {side.name}: {found["error"]}')
        elif not self.terminal:
            print(f'[{number}/{self.total}] row {case.row}, {case.title}, {side.name}: {magnitude(found["value"], case.unit)} '
                  f'{shown_unit(case.unit)}{self.eta()}', file=sys.stderr, flush=True)


class Results:
    """results.json: cases measured now replace those of the same row and title; the others stay."""

    def __init__(self, path):
        self.path, self.cases = path, []
        if os.path.exists(path):
            with open(path) as file:
                found = json.load(file)
            if found.get('format') == FORMAT:
                self.cases = found['cases']

    def seconds(self):
        return {(case['row'], case['title'], found['side']): found['wall_s']
                for case in self.cases for found in case['measurements']}

    def put(self, summary, order):
        """`order` sorts cases: rows by number, then as they are defined."""
        self.cases = [case for case in self.cases if (case['row'], case['title'], case['page_cache']) !=
                      (summary['row'], summary['title'], summary['page_cache'])] + [summary]
        self.cases.sort(key=order)
        temporary = self.path + '.new'
        with open(temporary, 'w') as file:
            json.dump({'format': FORMAT, 'cases': self.cases}, file, indent=1)
        os.replace(temporary, self.path)
