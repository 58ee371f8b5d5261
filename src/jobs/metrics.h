// SPDX-License-Identifier: Apache-2.0
// Metrics from a log: every line is searched with every definition's regular expression; group 1, read as a number, is
// a sample. PCRE2 with match limits, so that no expression can hold the log up. Confined to one thread.
#pragma once

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

 private:
  std::string pending_;
};

class MetricReader {
 public:
  // kInvalidArgument: a regular expression does not compile; the message says which and where.
  static Result<std::unique_ptr<MetricReader>> Make(const std::vector<MetricDefinition>& definitions);
  ~MetricReader();
  // The samples of one line.
  void Read(std::string_view line, int64_t at_ns, std::vector<MetricSample>& samples);

 private:
  struct Compiled;
  MetricReader();
  std::vector<std::unique_ptr<Compiled>> definitions_;
};

}  // namespace leat::jobs
