// SPDX-License-Identifier: Apache-2.0
// The median rule: SageMaker's TrainingJobEarlyStoppingType Auto (developer guide, "Stop Training Jobs Early"). After
// its e-th report a trial is stopped if the value is worse than the median, over the other trials that had reported e
// times by then, of each one's running mean up to e. A tie goes on. Which other trials: running, ended and stopped
// ones.
//
// Ours, since the guide is silent: no trial is stopped with fewer than 5 such peers, nor at its first report, nor
// within a tenth of the median number of reports of the trials that completed. A value that is not finite is the worst,
// and ties with others like it; a running mean is of the finite values, and is the worst where the last value is not
// finite.
//
// Pure: a fold of reports. The same reports and completions in the same order give the same decisions, and a report
// that comes again gets the decision that it had and counts once. Confined to one thread. A report takes time in
// proportion to the trials.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "search/stop_decision.h"

namespace leat::search {

class MedianStopping {
 public:
  static constexpr uint32_t kPeersMin = 5;
  static constexpr uint32_t kGraceDivisor = 10;

  explicit MedianStopping(bool maximize) : maximize_(maximize) {}

  // `trial` has reported its objective for the `count`th time (from 1). Reports that were missed count as reached, with
  // the running mean of this one. A trial that was stopped and reports once more, before it has ended, is stopped
  // again; its peers see the report.
  StopDecision Report(uint32_t trial, uint32_t count, double value);
  // `trial` has come to its own end, all its reports before. Again, or without a report: nothing changes.
  void Completed(uint32_t trial);

 private:
  struct TrialState {
    std::vector<double> means;  // costs, by report
    double mean = 0;            // of the finite ones
    uint32_t finite = 0;
    bool completed = false;
    uint32_t stopped_at = 0;  // the report; 0: it runs
    StopDecision stopped;
  };
  bool InGrace(uint32_t count) const;
  StopDecision Judge(uint32_t count, double value) const;

  const bool maximize_;
  std::map<uint32_t, TrialState> trials_;
  std::vector<size_t> lengths_;  // reports of the completed trials, ascending
};

}  // namespace leat::search
