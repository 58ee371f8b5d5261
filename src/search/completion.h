// SPDX-License-Identifier: Apache-2.0
// When a tuning job is complete before all its jobs have run: SageMaker's TuningJobCompletionCriteria, in the order of
// the ends of its jobs. Pure: values in, a decision out.
//
// A job improves if its objective is better than the best before it, by at least 1 % of that best's absolute value;
// where the best is 0, by any amount. The best is the best of all jobs before, also of those that were too little
// better to improve. The first objective improves. A job without an objective (none reported, or not finite) does not
// improve; before the first objective there is nothing to improve on, and no job is counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace leat::search {

struct CompletionCriteria {
  std::optional<double> target;    // TargetObjectiveMetricValue: an objective as good as this
  uint32_t not_improving_max = 0;  // MaxNumberOfTrainingJobsNotImproving, in a row; 0: any number
  bool converged = false;          // CompleteOnConvergence, and the search has found that it converged
};

struct Completion {
  enum class Criterion { kTarget, kNotImproving, kConverged };
  // The first that was met, of those met at once the first in this order. Once met it stays met, whatever the jobs that
  // end later bring.
  std::optional<Criterion> reached;
  size_t finished = 0;         // jobs that had ended when it was met; 0: none was
  uint32_t not_improving = 0;  // NumberOfTrainingJobsObjectiveNotImproving: jobs in a row, up to the last
};

// `objectives` of the jobs that have ended, in the order of their ends, in whatever way they did.
Completion JudgeCompletion(const std::vector<std::optional<double>>& objectives, bool maximize,
                           const CompletionCriteria& criteria);

}  // namespace leat::search
