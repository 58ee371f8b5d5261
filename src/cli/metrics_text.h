// SPDX-License-Identifier: Apache-2.0
// What `leat jobs metrics` prints: a table, a chart of each metric, CSV. Pure functions of the samples; any thread.
// Times are nanoseconds since the epoch; nothing is wider than 80 columns but CSV.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "jobs/job_store.h"

namespace leat::cli {

struct ChartPoint {
  double seconds = 0, value = 0;  // finite both
};

struct ChartOptions {
  size_t columns = 80, rows = 13;  // of the whole chart, and of its drawing
  bool is_unicode = true;          // braille dots; else ASCII
  double begin_s = 0, end_s = 0;   // of the axis of time; points outside stand at its ends
  size_t label_columns_min = 0;    // so that charts one below the other have their axes in one place
};

// A line chart, each line of it ended: values at the left, times below. Of many points that share a column of dots the
// lowest, the highest and all between is drawn. A series of one value takes three rows. No points: "".
std::string DrawChart(const std::vector<ChartPoint>& points, const ChartOptions& options);

// Samples of one metric.
struct MetricSummary {
  std::string name;
  uint64_t count = 0, not_numbers = 0, infinities = 0;
  double first = 0, last = 0;                   // whatever they are
  double lowest = 0, highest = 0;               // of the finite ones; meaningless where there are none
  int64_t lowest_at_ns = 0, highest_at_ns = 0;  // the first time
  bool HasFinite() const { return count > not_numbers + infinities; }
};
// In the order in which the metrics first came.
std::vector<MetricSummary> SummarizeMetrics(const std::vector<jobs::MetricSample>& samples);

// The table, and below it what is left out of charts.
std::string MetricsTable(const std::vector<MetricSummary>& metrics, int64_t start_ns);
// For each metric its name and its chart, all over the same time.
std::string MetricCharts(const std::vector<jobs::MetricSample>& samples, int64_t start_ns, bool is_unicode);
// timestamp,seconds_since_start,metric,value, with a header; quoted as RFC 4180 says, lines end with LF.
std::string MetricsCsv(const std::vector<jobs::MetricSample>& samples, int64_t start_ns);
// MetricName, Count, First, Last, Lowest, Highest, LowestTimestamp, HighestTimestamp, and the samples.
nlohmann::json MetricsJson(const std::vector<jobs::MetricSample>& samples, int64_t start_ns);

// Why a job has no samples, and what to do.
std::string NoMetricsText(const std::string& job, size_t definitions, bool has_ended);

// "0:02:05", "-0:00:01".
std::string ClockText(double seconds);
// Whether braille can be shown: by what LC_ALL, LC_CTYPE and LANG say, and the terminal's kind.
bool ShowsUnicode(const std::string& lc_all, const std::string& lc_ctype, const std::string& lang,
                  const std::string& terminal);

}  // namespace leat::cli
