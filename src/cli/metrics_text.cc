// SPDX-License-Identifier: Apache-2.0
#include "cli/metrics_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "base/log.h"
#include "base/text.h"
#include "cli/status_text.h"
#include "jobs/describe.h"

namespace leat::cli {
namespace {

using Json = nlohmann::json;
using jobs::MetricSample;

constexpr size_t kColumns = 80;
constexpr size_t kConstantRows = 3;
constexpr size_t kLabelEvery = 4;  // rows
constexpr int kDigitsMin = 4, kDigitsMax = 15;

std::string ValueText(double value, int digits = kDigitsMin) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char text[40];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  return text;
}

// The shortest text that reads back as the same number.
std::string ExactText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

// Where `value` lies between `from` (0) and `to` (1); halves, because the distance of two doubles may be none.
double Fraction(double value, double from, double to) {
  const double whole = to / 2 - from / 2;
  return whole == 0 ? 0 : std::clamp((value / 2 - from / 2) / whole, 0.0, 1.0);
}

size_t DotAt(double fraction, size_t dots) {
  return static_cast<size_t>(std::lround(fraction * static_cast<double>(dots - 1)));
}

// Dots that are set, drawn as characters: 2 by 4 dots a character in braille, one in ASCII.
class Canvas {
 public:
  Canvas(size_t columns, size_t rows, bool is_unicode)
      : is_unicode_(is_unicode), columns_(columns), cells_(columns * rows, is_unicode ? 0 : ' ') {}
  void Set(size_t x, size_t y, char ascii) {
    if (!is_unicode_) {
      uint8_t& cell = cells_[y * columns_ + x];
      if (cell != '*') cell = static_cast<uint8_t>(ascii);
      return;
    }
    // Unicode numbers the dots of a cell down the left column, down the right one, and the lowest two last.
    static constexpr uint8_t kBits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    cells_[y / 4 * columns_ + x / 2] |= kBits[y % 4][x % 2];
  }
  // All dots between two ends, which are not set.
  void Connect(size_t x0, size_t y0, size_t x1, size_t y1) {
    const double dx = static_cast<double>(x1) - static_cast<double>(x0);
    const double dy = static_cast<double>(y1) - static_cast<double>(y0);
    const auto steps = static_cast<size_t>(std::max(std::abs(dx), std::abs(dy)));
    for (size_t i = 1; i < steps; ++i) {
      const double part = static_cast<double>(i) / static_cast<double>(steps);
      Set(static_cast<size_t>(std::lround(static_cast<double>(x0) + dx * part)),
          static_cast<size_t>(std::lround(static_cast<double>(y0) + dy * part)), '.');
    }
  }
  // Without spaces at its end.
  std::string Row(size_t row) const {
    std::string text;
    size_t end = 0;
    for (size_t i = 0; i < columns_; ++i) {
      const uint8_t cell = cells_[row * columns_ + i];
      const bool is_empty = is_unicode_ ? cell == 0 : cell == ' ';
      if (is_empty) {
        text += ' ';
        continue;
      }
      if (is_unicode_) {  // U+2800 + cell
        text += '\xe2';
        text += static_cast<char>(0xa0 | (cell >> 6));
        text += static_cast<char>(0x80 | (cell & 0x3f));
      } else {
        text += static_cast<char>(cell);
      }
      end = text.size();
    }
    text.resize(end);
    return text;
  }

 private:
  const bool is_unicode_;
  const size_t columns_;
  std::vector<uint8_t> cells_;
};

// What of the samples falls on one column of dots.
struct Bin {
  size_t first = 0, last = 0, top = 0, bottom = 0;  // dots from the top
};

void DrawLine(Canvas& canvas, const std::vector<ChartPoint>& points, const ChartOptions& options, double low,
              double high, size_t dots_across, size_t dots_down) {
  std::vector<std::optional<Bin>> bins(dots_across);
  for (const auto& point : points) {
    const size_t x = DotAt(Fraction(point.seconds, options.begin_s, options.end_s), dots_across);
    const size_t y = low == high ? dots_down / 2 : DotAt(Fraction(point.value, high, low), dots_down);
    if (!bins[x]) bins[x] = Bin{y, y, y, y};
    bins[x]->last = y;
    bins[x]->top = std::min(bins[x]->top, y);
    bins[x]->bottom = std::max(bins[x]->bottom, y);
  }
  std::optional<size_t> before;
  for (size_t x = 0; x < dots_across; ++x) {
    if (!bins[x]) continue;
    for (size_t y = bins[x]->top; y <= bins[x]->bottom; ++y) canvas.Set(x, y, '*');
    if (before) canvas.Connect(*before, bins[*before]->last, x, bins[x]->first);
    before = x;
  }
}

// For each row its value, or nothing. As many digits as tell them apart.
std::vector<std::string> RowLabels(double low, double high, size_t rows) {
  std::vector<std::string> labels(rows);
  if (low == high) {
    labels[rows / 2] = ValueText(low, 6);
    return labels;
  }
  for (int digits = kDigitsMin; digits <= kDigitsMax; ++digits) {
    std::set<std::string> different;
    size_t labelled = 0;
    for (size_t row = 0; row < rows; ++row) {
      const bool has_label = row % kLabelEvery == 0 || row + 1 == rows;
      if (!has_label) continue;
      const double part = static_cast<double>(row) / static_cast<double>(std::max<size_t>(rows - 1, 1));
      double value = high * (1 - part) + low * part;
      // What should be 0 and is a rounding error away from it.
      if (std::abs(value) < 1e-12 * std::max(std::abs(low), std::abs(high))) value = 0;
      labels[row] = ValueText(value, digits);
      different.insert(labels[row]);
      ++labelled;
    }
    if (different.size() == labelled) break;
  }
  return labels;
}

struct ChartFrame {
  double low = 0, high = 0;
  std::vector<std::string> labels;  // one a row
  size_t label_width = 0;
};

// `points` has some.
ChartFrame FrameOf(const std::vector<ChartPoint>& points, const ChartOptions& options) {
  ChartFrame frame{.low = points[0].value, .high = points[0].value};
  for (const auto& point : points) {
    frame.low = std::min(frame.low, point.value);
    frame.high = std::max(frame.high, point.value);
  }
  const size_t rows = frame.low == frame.high ? kConstantRows : std::max<size_t>(options.rows, 2);
  frame.labels = RowLabels(frame.low, frame.high, rows);
  frame.label_width = options.label_columns_min;
  for (const auto& label : frame.labels) frame.label_width = std::max(frame.label_width, label.size());
  return frame;
}

// `left` and `right` at the two ends of `width` columns, `middle` between them where there is room.
std::string AxisLabels(const std::string& left, const std::string& middle, const std::string& right, size_t width) {
  std::string line = left;
  if (left == right || left.size() + 1 + right.size() > width) return line;
  const size_t at = (width - std::min(middle.size(), width)) / 2, right_at = width - right.size();
  if (middle != left && middle != right && middle.size() < width && at > left.size() && at + middle.size() < right_at) {
    line.resize(at, ' ');
    line += middle;
  }
  line.resize(right_at, ' ');
  return line + right;
}

std::string Quoted(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? "\"\"" : std::string(1, c);
  return text + "\"";
}

std::string MillisecondsUtc(int64_t at_ns) {
  std::string text = FormatTimeUtc(at_ns);
  char fraction[8];
  std::snprintf(fraction, sizeof fraction, ".%03d", static_cast<int>(at_ns / 1000000 % 1000));
  return text.insert(text.size() - 1, fraction);
}

double SecondsSince(int64_t start_ns, int64_t at_ns) { return static_cast<double>(at_ns - start_ns) / 1e9; }

Json NumberOrText(double value) {
  if (std::isfinite(value)) return value;
  return ExactText(value);
}

// "3 values are NaN and one is infinite"
std::string LeftOutText(const MetricSummary& metric) {
  const auto are = [](uint64_t count, const char* what) {
    return (count == 1 ? "one value is " : FormatCount(count) + " values are ") + what;
  };
  std::string text;
  if (metric.not_numbers > 0) text = are(metric.not_numbers, "NaN");
  if (metric.infinities > 0) text += (text.empty() ? "" : " and ") + are(metric.infinities, "infinite");
  return text;
}

}  // namespace

std::string DrawChart(const std::vector<ChartPoint>& points, const ChartOptions& options) {
  if (points.empty()) return "";
  const ChartFrame frame = FrameOf(points, options);
  const auto& labels = frame.labels;
  const size_t rows = labels.size(), label_width = frame.label_width;
  const size_t width = std::max<size_t>(options.columns, label_width + 12) - label_width - 2;
  Canvas canvas(width, rows, options.is_unicode);
  DrawLine(canvas, points, options, frame.low, frame.high, options.is_unicode ? width * 2 : width,
           options.is_unicode ? rows * 4 : rows);
  std::string text;
  for (size_t row = 0; row < rows; ++row) {
    const bool has_label = !labels[row].empty();
    const char* edge = !options.is_unicode ? (has_label ? "+" : "|") : has_label ? "\u2524" : "\u2502";
    text += std::string(label_width - labels[row].size(), ' ') + labels[row] + " " + edge + canvas.Row(row) + "\n";
  }
  text += std::string(label_width + 1, ' ') + (options.is_unicode ? "\u2514" : "+");
  for (size_t i = 0; i < width; ++i) text += options.is_unicode ? "\u2500" : "-";
  const double middle_s = options.begin_s / 2 + options.end_s / 2;
  return text + "\n" + std::string(label_width + 2, ' ') +
         AxisLabels(ClockText(options.begin_s), ClockText(middle_s), ClockText(options.end_s), width) + "\n";
}

std::vector<MetricSummary> SummarizeMetrics(const std::vector<MetricSample>& samples) {
  std::vector<MetricSummary> metrics;
  std::map<std::string, size_t> places;
  for (const auto& sample : samples) {
    const auto [place, is_new] = places.try_emplace(sample.name, metrics.size());
    if (is_new) metrics.push_back({.name = sample.name, .first = sample.value});
    MetricSummary& metric = metrics[place->second];
    const bool is_first = !metric.HasFinite();
    ++metric.count;
    metric.last = sample.value;
    metric.not_numbers += std::isnan(sample.value);
    metric.infinities += std::isinf(sample.value);
    if (!std::isfinite(sample.value)) continue;
    if (is_first || sample.value < metric.lowest) {
      metric.lowest = sample.value;
      metric.lowest_at_ns = sample.at_ns;
    }
    if (is_first || sample.value > metric.highest) {
      metric.highest = sample.value;
      metric.highest_at_ns = sample.at_ns;
    }
  }
  return metrics;
}

std::string MetricsTable(const std::vector<MetricSummary>& metrics, int64_t start_ns) {
  constexpr size_t kCells = 7;                             // behind the name, all to the right
  constexpr size_t kGaps[kCells] = {2, 2, 2, 2, 1, 2, 1};  // before each
  std::vector<std::vector<std::string>> lines = {{"count", "first", "last", "lowest", "at", "highest", "at"}};
  for (const auto& metric : metrics) {
    std::vector<std::string> line = {FormatCount(metric.count), ValueText(metric.first), ValueText(metric.last)};
    const bool has = metric.HasFinite();
    line.push_back(has ? ValueText(metric.lowest) : "-");
    line.push_back(has ? ClockText(SecondsSince(start_ns, metric.lowest_at_ns)) : "-");
    line.push_back(has ? ValueText(metric.highest) : "-");
    line.push_back(has ? ClockText(SecondsSince(start_ns, metric.highest_at_ns)) : "-");
    lines.push_back(std::move(line));
  }
  size_t widths[kCells] = {}, all = 0;
  for (const auto& line : lines) {
    for (size_t i = 0; i < kCells; ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  for (size_t i = 0; i < kCells; ++i) all += widths[i] + kGaps[i];
  const size_t room = kColumns - std::min(all, kColumns);
  std::vector<std::string> names = {"metric"};
  for (const auto& metric : metrics) names.push_back(EscapeForDisplay(metric.name));
  size_t name_width = 0;
  for (const auto& name : names) {
    if (DisplayWidth(name) <= room) name_width = std::max(name_width, DisplayWidth(name));
  }
  std::string text;
  for (size_t i = 0; i < lines.size(); ++i) {
    // A longer name has a line of its own.
    const bool is_long = DisplayWidth(names[i]) > room;
    const std::string own_line = is_long && i > 0 ? Shortened(names[i], kColumns) + "\n" : "";
    text += is_long ? own_line + std::string(name_width, ' ')
                    : names[i] + std::string(name_width - DisplayWidth(names[i]), ' ');
    for (size_t cell = 0; cell < kCells; ++cell) {
      text += std::string(kGaps[cell] + widths[cell] - lines[i][cell].size(), ' ') + lines[i][cell];
    }
    text += "\n";
  }
  return text;
}

std::string MetricCharts(const std::vector<MetricSample>& samples, int64_t start_ns, bool is_unicode) {
  std::map<std::string, std::vector<ChartPoint>> series;
  ChartOptions options{.is_unicode = is_unicode, .begin_s = std::numeric_limits<double>::infinity()};
  options.end_s = -options.begin_s;
  for (const auto& sample : samples) {
    const double seconds = SecondsSince(start_ns, sample.at_ns);
    options.begin_s = std::min(options.begin_s, seconds);
    options.end_s = std::max(options.end_s, seconds);
    if (std::isfinite(sample.value)) series[sample.name].push_back({seconds, sample.value});
  }
  for (const auto& [name, points] : series) {
    options.label_columns_min = FrameOf(points, options).label_width;
  }
  std::string text;
  for (const auto& metric : SummarizeMetrics(samples)) {
    auto& points = series[metric.name];
    std::ranges::stable_sort(points, {}, &ChartPoint::seconds);  // hosts' logs are read in turns
    text += "\n" + Shortened(EscapeForDisplay(metric.name), kColumns) + "\n" + DrawChart(points, options);
    const std::string left_out = LeftOutText(metric);
    if (!left_out.empty()) text += "(" + left_out + ": not in the chart)\n";
  }
  return text;
}

std::string MetricsCsv(const std::vector<MetricSample>& samples, int64_t start_ns) {
  std::string text = "timestamp,seconds_since_start,metric,value\n";
  for (const auto& sample : samples) {
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%.3f", SecondsSince(start_ns, sample.at_ns));
    text += MillisecondsUtc(sample.at_ns) + "," + seconds + "," + Quoted(sample.name) + "," + ExactText(sample.value) +
            "\n";
  }
  return text;
}

Json MetricsJson(const std::vector<MetricSample>& samples, int64_t start_ns) {
  Json list = Json::array();
  std::map<std::string, size_t> places;
  for (const auto& metric : SummarizeMetrics(samples)) {
    places[metric.name] = list.size();
    Json entry = {{"MetricName", metric.name},
                  {"Count", metric.count},
                  {"First", NumberOrText(metric.first)},
                  {"Last", NumberOrText(metric.last)},
                  {"Samples", Json::array()}};
    if (metric.HasFinite()) {
      entry["Lowest"] = metric.lowest;
      entry["LowestTimestamp"] = jobs::EpochSeconds(metric.lowest_at_ns);
      entry["Highest"] = metric.highest;
      entry["HighestTimestamp"] = jobs::EpochSeconds(metric.highest_at_ns);
    }
    list.push_back(std::move(entry));
  }
  for (const auto& sample : samples) {
    list[places[sample.name]]["Samples"].push_back({{"Timestamp", jobs::EpochSeconds(sample.at_ns)},
                                                    {"SecondsSinceStart", SecondsSince(start_ns, sample.at_ns)},
                                                    {"Value", NumberOrText(sample.value)}});
  }
  return list;
}

std::string NoMetricsText(const std::string& job, size_t definitions, bool has_ended) {
  if (definitions == 0) {
    return "no metrics: the job's request defines none. Set AlgorithmSpecification.\n"
           "MetricDefinitions, or leat train --metric NAME=REGEX, and run it again.\n";
  }
  const std::string whose =
      definitions == 1 ? "its metric's regex" : "a regex of its " + std::to_string(definitions) + " metrics";
  const std::string logs = "  leat jobs logs " + job + "\n";
  if (!has_ended) return "no metrics yet: no line of its output has matched " + whose + ".\n" + logs;
  return "no metrics: no line of its output matched " + whose + ".\n" + logs +
         "shows it; MetricDefinitions in leat jobs describe --json has the regexes.\n";
}

std::string ClockText(double seconds) {
  const auto whole = static_cast<int64_t>(std::floor(std::abs(seconds)));
  char text[40];
  std::snprintf(text, sizeof text, "%s%lld:%02lld:%02lld", seconds < 0 && whole > 0 ? "-" : "",
                static_cast<long long>(whole / 3600), static_cast<long long>(whole / 60 % 60),
                static_cast<long long>(whole % 60));
  return text;
}

bool ShowsUnicode(const std::string& lc_all, const std::string& lc_ctype, const std::string& lang,
                  const std::string& terminal) {
  // The Linux console has no braille.
  if (terminal == "linux" || terminal == "dumb") return false;
  const std::string locale = ToLower(!lc_all.empty() ? lc_all : !lc_ctype.empty() ? lc_ctype : lang);
  return locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
}

}  // namespace leat::cli
