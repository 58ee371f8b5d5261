// SPDX-License-Identifier: Apache-2.0
#include "tuner/live_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "tuner/chart_axis.h"
#include "tuner/display_text.h"
#include "tuner/importance.h"
#include "tuner/study_report.h"

namespace leat::tuner {
namespace {

constexpr size_t kHeadLinesMax = 2, kCurveColumns = 16, kValueColumnsMax = 16, kStatusColumnsMax = 20;

struct Column {
  std::string head;
  std::vector<std::string> cells;
  bool is_left = false;
  size_t width_max = kValueColumnsMax;
  size_t Width() const {
    size_t width = DisplayColumns(head);
    for (const auto& cell : cells) width = std::max(width, DisplayColumns(cell));
    return std::min(width, width_max);
  }
};

struct LiveTableForm {
  size_t columns, lines;
  bool is_utf8;
};

const char* CutMark(const LiveTableForm& form) { return form.is_utf8 ? "…" : "~"; }

double Seconds(int64_t ns) { return static_cast<double>(ns) / 1e9; }

// From how long jobs took so far; nullopt: none has ended, or nothing limits the tuning job.
std::optional<double> SecondsLeft(const Study& study, int64_t now_ns) {
  double took = 0, running = 0, done = 0;
  for (const auto& trial : study.trials) {
    if (trial.is_done && trial.state.ended_ns) {
      took += Seconds(*trial.state.ended_ns - trial.state.created_ns);
      ++done;
    } else if (!trial.is_done) {
      running += Seconds(now_ns - trial.state.created_ns);
    }
  }
  std::optional<double> left;
  if (done > 0 && study.job.is_limited_by_jobs) {
    const double mean = took / done;
    const double jobs = std::max(0.0, study.job.jobs_max - static_cast<double>(study.order_of_ends.size()));
    const double at_once = std::max(1.0, std::min<double>(study.job.parallel_max, jobs));
    left = std::max(0.0, (jobs * mean - running) / at_once);
  }
  if (study.job.max_runtime_s > 0) {
    const double allowed = static_cast<double>(study.job.max_runtime_s) - Seconds(study.RanNs(now_ns));
    left = std::max(0.0, std::min(left.value_or(allowed), allowed));
  }
  return left;
}

std::vector<std::string> Head(const std::string& name, const Study& study, const LiveTableForm& form, size_t lines_max,
                              int64_t now_ns) {
  size_t done = 0, failed = 0;
  for (const auto& trial : study.trials) {
    done += trial.is_done;
    failed += trial.is_done && !trial.HasObjective();
  }
  std::string counts = std::to_string(done);
  if (study.job.is_limited_by_jobs) counts += " of " + std::to_string(study.job.jobs_max);
  counts += " done, " + std::to_string(study.trials.size() - done) + " running";
  if (failed > 0) counts += ", " + std::to_string(failed) + " failed";
  std::vector<std::string> parts = {DisplayText(name), StrategyName(study.job.strategy)};
  if (study.status != "InProgress") parts.push_back(DisplayText(study.status));
  parts.push_back(counts);
  if (const Trial* best = BestTrial(study)) parts.push_back("best " + ShortNumber(*best->objective));
  parts.push_back(FormatSeconds(Seconds(study.ended_ns.value_or(now_ns) - study.created_ns)));
  const auto left = study.IsTerminal() ? std::nullopt : SecondsLeft(study, now_ns);
  if (left) parts.back() += ", about " + FormatSeconds(*left) + " left";
  std::vector<std::string> lines;
  for (const auto& part : parts) {
    if (!lines.empty() && DisplayColumns(lines.back()) + 2 + DisplayColumns(part) <= form.columns) {
      lines.back() += "  " + part;
    } else if (lines.size() < lines_max) {
      lines.push_back(CutToColumns(part, form.columns, CutMark(form)));
    }
  }
  return lines;
}

// Which trials are shown, best first, those without an objective last.
std::vector<const Trial*> Chosen(const Study& study, size_t count) {
  const auto is_better = [&](const Trial* a, const Trial* b) {
    if (a->HasObjective() != b->HasObjective()) return a->HasObjective();
    if (!a->HasObjective()) return !a->is_done && b->is_done;
    const bool maximize = study.job.definitions[a->definition].maximize;
    return maximize ? *a->objective > *b->objective : *a->objective < *b->objective;
  };
  std::vector<const Trial*> trials;
  for (const auto& trial : study.trials) trials.push_back(&trial);
  std::ranges::stable_sort(trials, is_better);
  if (trials.size() <= count) return trials;
  const auto is_running = [](const Trial* trial) { return !trial->is_done; };
  const size_t running = std::min(static_cast<size_t>(std::ranges::count_if(trials, is_running)), (count + 1) / 2);
  std::vector<const Trial*> chosen;
  size_t of_running = 0;
  for (const auto* trial : trials) {  // running ones first
    if (is_running(trial) && of_running < running) {
      chosen.push_back(trial);
      ++of_running;
    }
  }
  for (const auto* trial : trials) {
    if (chosen.size() < count && std::ranges::find(chosen, trial) == chosen.end()) chosen.push_back(trial);
  }
  std::ranges::stable_sort(chosen, is_better);
  return chosen;
}

// As wide as the longest trial's is kCurveColumns wide, so that one that was stopped is shorter.
std::string Curve(const Trial& trial, const ChartAxis& axis, size_t longest, bool is_utf8) {
  static constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  static constexpr const char* kAscii[] = {"_", ".", ":", "-", "=", "+", "*", "#"};
  std::string curve;
  const size_t count = trial.reports.size();
  for (size_t column = 0; column < kCurveColumns; ++column) {
    // The last report of those that share the column.
    const size_t end = longest <= kCurveColumns ? column + 1 : (column + 1) * longest / kCurveColumns;
    const size_t start = longest <= kCurveColumns ? column : column * longest / kCurveColumns;
    if (start >= count) break;
    const double value = trial.reports[std::min(end, count) - 1].value;
    const auto level = static_cast<size_t>(std::clamp(axis.Place(value), 0.0, 0.999) * 8);
    curve += std::isfinite(value) ? is_utf8 ? kBlocks[level] : kAscii[level] : " ";
  }
  return curve;
}

std::string ShortValue(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_whole = text.find_first_of(".eE") == std::string::npos;
  if (error != std::errc() || end != text.data() + text.size() || is_whole) return DisplayText(text);
  return ShortNumber(value, 4);
}

// The most important ones of the best trial's definition first.
std::vector<std::string> NamesInOrder(const Study& study) {
  constexpr ImportanceEffort kQuick{20, 200};
  const Trial* best = BestTrial(study);
  std::vector<std::string> names;
  for (const auto& one : ImportancesOf(study, best ? best->definition : 0, kQuick).of_each) names.push_back(one.name);
  for (const auto& definition : study.job.definitions) {
    for (const auto& range : definition.ranges) {
      if (std::ranges::find(names, range.name) == names.end()) names.push_back(range.name);
    }
  }
  return names;
}

std::vector<Column> Columns(const Study& study, const std::vector<const Trial*>& trials, const LiveTableForm& form) {
  const Trial* best = BestTrial(study);
  std::vector<double> values;
  size_t longest = 0;
  for (const auto& trial : study.trials) {
    longest = std::max(longest, trial.reports.size());
    for (const auto& report : trial.reports) values.push_back(report.value);
  }
  const bool maximize = study.job.definitions[0].maximize;
  const auto axis = ChartAxis::OfObjectives(std::move(values), maximize);
  std::vector<Column> columns = {{"#"}, {"status", {}, true, kStatusColumnsMax}, {"objective"}, {"curve", {}, true}};
  const size_t digits = std::to_string(study.trials.size()).size();
  for (const auto* trial : trials) {
    const std::string mark = trial == best ? "*" : trial->is_done ? " " : ">";
    const bool is_under_way = !trial->is_done && trial->state.status == "InProgress";
    columns[0].cells.push_back(mark + PadToColumns(std::to_string(trial->number), digits, true));
    columns[1].cells.push_back(DisplayText(is_under_way ? trial->state.secondary : trial->state.status));
    columns[2].cells.push_back(trial->objective ? ShortNumber(*trial->objective) : "-");
    columns[3].cells.push_back(Curve(*trial, axis, longest, form.is_utf8));
  }
  if (longest < 2) columns.pop_back();
  for (const auto& name : NamesInOrder(study)) {
    Column& column = columns.emplace_back(Column{DisplayText(name)});
    for (const auto* trial : trials) {
      const auto value = trial->tuned.find(name);
      column.cells.push_back(value == trial->tuned.end() ? "-" : ShortValue(value->second));
    }
  }
  return columns;
}

// The columns that fit, from the left; the first is always there.
std::vector<std::string> Rows(const std::vector<Column>& columns, size_t count, const LiveTableForm& form) {
  std::vector<std::string> rows(count + 1);
  size_t used = 0;
  for (size_t i = 0; i < columns.size(); ++i) {
    const size_t gap = i == 0 ? 0 : 2, width = columns[i].Width();
    if (i > 0 && used + gap + width > form.columns) continue;
    for (size_t row = 0; row <= count; ++row) {
      const std::string& cell = row == 0 ? columns[i].head : columns[i].cells[row - 1];
      rows[row] +=
          std::string(gap, ' ') + PadToColumns(CutToColumns(cell, width, CutMark(form)), width, !columns[i].is_left);
    }
    used += gap + width;
  }
  for (auto& row : rows) {
    row.erase(row.find_last_not_of(' ') + 1);
    row = CutToColumns(row, form.columns, CutMark(form));
  }
  return rows;
}

}  // namespace

std::string LiveTable(const std::string& name, const Study& study, size_t columns, size_t lines, int64_t now_ns,
                      bool is_utf8) {
  constexpr size_t kFewLines = 6;
  if (columns == 0 || lines == 0) return "";
  const LiveTableForm form{columns, lines, is_utf8};
  std::vector<std::string> drawn = Head(name, study, form, lines < kFewLines ? 1 : kHeadLinesMax, now_ns);
  if (!study.schedule.empty() && lines >= kFewLines) {
    drawn.push_back(CutToColumns("waiting: " + DisplayText(study.schedule), columns, CutMark(form)));
  }
  const size_t room = lines - drawn.size();
  if (room >= 2 && !study.trials.empty()) {
    // One line for the heads of the columns and, where some trials are left out, one that says so.
    const bool all_fit = study.trials.size() < room;
    const auto trials = Chosen(study, all_fit ? study.trials.size() : std::max<size_t>(1, room - 2));
    for (auto& row : Rows(Columns(study, trials, form), trials.size(), form)) drawn.push_back(std::move(row));
    const size_t more = study.trials.size() - trials.size();
    if (more > 0 && drawn.size() < lines) {
      drawn.push_back(CutToColumns("and " + std::to_string(more) + " more", columns, CutMark(form)));
    }
  }
  std::string text;
  for (const auto& line : drawn) text += line + "\n";
  return text;
}

}  // namespace leat::tuner
