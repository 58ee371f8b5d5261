// SPDX-License-Identifier: Apache-2.0
// Hyperband: which trials of a tuning job are stopped early. Asynchronous successive halving that stops (Li and others,
// A System for Massively Parallel Hyperparameter Tuning, 2018) with the brackets of Hyperband (Li and others, 2016).
//
// The resource is the number of reports of the objective so far ("epochs"). The rungs are resource_min * 3^k below
// resource_max. A trial is judged at each rung from the first one of its bracket on: it goes on if it is among the best
// third of all trials that reached the rung until then, itself among them: the best ceil(n/3) of n, as numpy's linear
// quantile has it. A tie with the last of these goes on, and so do all while a rung has fewer than 3. At resource_max
// every trial is stopped. A value that is not finite is the worst, and ties with others like it.
//
// Brackets share the rungs: a bracket says from where on a trial is judged, not against whom.
//
// Pure: a fold of reports. The same reports in the same order give the same decisions on every machine, and a report
// that comes again gets the decision that it had and counts once. Confined to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "search/stop_decision.h"

namespace leat::search {

struct HyperbandOptions {
  uint32_t resource_min = 1;  // 1 to resource_max
  uint32_t resource_max = 1;
  bool maximize = true;
  uint64_t seed = 0;
};

class Hyperband {
 public:
  static constexpr uint32_t kReduction = 3;

  explicit Hyperband(HyperbandOptions options);

  // The resource of each rung, ascending, and at the end resource_max.
  const std::vector<uint32_t>& levels() const { return levels_; }
  // floor(log3(resource_max / resource_min)) + 1.
  uint32_t brackets() const { return static_cast<uint32_t>(sizes_.size()); }
  // The number of a trial's bracket, a function of the seed and its number: s with a probability in proportion to the
  // trials ceil(brackets * 3^s / (s + 1)) that Hyperband starts in it.
  uint32_t Bracket(uint32_t trial) const;
  // The first level that a trial is judged at: brackets - 1 - s.
  size_t FirstLevel(uint32_t trial) const { return sizes_.size() - 1 - Bracket(trial); }

  // `trial` has reported its objective for the `resource`th time (from 1). Where reports were missed, the first one at
  // or above a rung is judged there; one at or above resource_max is judged nowhere. A trial that was stopped and
  // reports once more, before it has ended, is stopped again and not judged.
  StopDecision Report(uint32_t trial, uint32_t resource, double value);

  // What a trial is worth to the search: its last report, also when that came after it was stopped.
  struct Result {
    double value = 0;
    uint32_t resource = 0;
    std::optional<size_t> level;  // the highest that it reached: of levels(); nothing: it is below resource_min
  };
  std::optional<Result> Last(uint32_t trial) const;  // nothing: it has not reported

 private:
  struct TrialState {
    uint32_t resource = 0;
    double value = 0;
    size_t next_level = 0;    // to be judged at
    uint32_t stopped_at = 0;  // the resource; 0: it runs
    StopDecision stopped;
  };
  StopDecision Judge(TrialState& trial);

  const HyperbandOptions options_;
  std::vector<uint32_t> levels_;
  std::vector<uint64_t> sizes_;             // of the brackets
  std::vector<std::vector<double>> costs_;  // of each rung, ascending
  std::map<uint32_t, TrialState> trials_;
};

}  // namespace leat::search
