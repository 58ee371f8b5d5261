// SPDX-License-Identifier: Apache-2.0
#include "search/completion.h"

#include <algorithm>
#include <cmath>

namespace leat::search {
namespace {

constexpr double kImprovement = 0.01;  // of the best

bool Improves(double gain, double best) { return gain > 0 && gain >= kImprovement * std::abs(best); }

}  // namespace

Completion JudgeCompletion(const std::vector<std::optional<double>>& objectives, bool maximize,
                           const CompletionCriteria& criteria) {
  const double sign = maximize ? 1 : -1;
  Completion completion;
  std::optional<double> best;  // higher is better
  for (size_t i = 0; i < objectives.size(); ++i) {
    std::optional<double> objective;
    if (objectives[i] && std::isfinite(*objectives[i])) objective = sign * *objectives[i];
    if (objective && (!best || Improves(*objective - *best, *best))) {
      completion.not_improving = 0;
    } else if (best) {
      ++completion.not_improving;
    }
    if (objective) best = best ? std::max(*best, *objective) : *objective;
    if (completion.reached) continue;
    if (objective && criteria.target && *objective >= sign * *criteria.target) {
      completion.reached = Completion::Criterion::kTarget;
    } else if (criteria.not_improving_max > 0 && completion.not_improving >= criteria.not_improving_max) {
      completion.reached = Completion::Criterion::kNotImproving;
    }
    if (completion.reached) completion.finished = i + 1;
  }
  if (!completion.reached && criteria.converged) {
    completion.reached = Completion::Criterion::kConverged;
    completion.finished = objectives.size();
  }
  return completion;
}

}  // namespace leat::search
