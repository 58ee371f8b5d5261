// SPDX-License-Identifier: Apache-2.0
// Metrics from a log: every line is searched with every definition's regular expression; group 1, read as a number, is
// a sample. No expression can hold the log up: PCRE2's match limits bound one search, and a budget of processor time
// all of them. Confined to one thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "jobs/job_store.h"
#include "model/training_job.h"

namespace leat::jobs {

// Cuts a byte stream into lines. A line longer than kLineMax is delivered in pieces; '\r' ends a line as '\n' does, so
// that progress bars do not pile up.
class LineSplitter {
 public:
  static constexpr size_t kLineMax = 64u << 10;
  // Calls `line` for every complete one (without its end).
  template <class Function>
  void Add(std::string_view bytes, Function line) {
    for (const char c : bytes) {
      if (c == '\n' || c == '\r') {
        if (!pending_.empty() || c == '\n') line(std::string_view(pending_));
        pending_.clear();
        continue;
      }
      pending_ += c;
      if (pending_.size() == kLineMax) {
        line(std::string_view(pending_));
        pending_.clear();
      }
    }
  }
  template <class Function>
  void Finish(Function line) {
    if (!pending_.empty()) line(std::string_view(pending_));
    pending_.clear();
  }
  size_t pending_bytes() const { return pending_.size(); }  // of a line that has not ended

 private:
  std::string pending_;
};

struct MetricLimits {
  size_t line_bytes_max = 4096;  // of a line, its start is searched; a number that is told stands early in its line
  // What one expression may take of the processor: this much, and this share of the time since the first line.
  std::chrono::nanoseconds search_time{std::chrono::seconds(2)};
  double search_share = 0.05;
};

class MetricReader {
 public:
  // The regular expressions that do not compile, or capture nothing.
  static std::vector<RequestProblem> Check(const std::vector<MetricDefinition>& definitions);
  // kInvalidArgument: there are some; the message says which.
  static Result<std::unique_ptr<MetricReader>> Make(const std::vector<MetricDefinition>& definitions,
                                                    MetricLimits limits = {});
  ~MetricReader();
  // The samples of one line.
  void Read(std::string_view line, int64_t at_ns, std::vector<MetricSample>& samples);
  // Warnings of metrics of which no number was ever read, though their expressions found something. `samples`: the
  // job's, for a reader of an earlier supervisor may have read some.
  std::vector<std::string> NeverNumbers(const std::vector<MetricSample>& samples) const;
  // What was found out about the expressions since the last call: one that has spent its time is told of once.
  std::vector<std::string> TakeWarnings();

 private:
  struct Compiled;
  static Result<std::unique_ptr<Compiled>> Compile(const MetricDefinition& definition);
  explicit MetricReader(MetricLimits limits);
  const MetricLimits limits_;
  std::vector<std::unique_ptr<Compiled>> definitions_;
  std::chrono::steady_clock::time_point first_line_{};
  std::vector<std::string> warnings_;
};

}  // namespace leat::jobs
