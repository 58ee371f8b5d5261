// SPDX-License-Identifier: Apache-2.0
#include "search/restart.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <vector>

namespace leat::search {
namespace {

constexpr double kGain = 0.01;

// The completed trials of one search, in turn.
class Progress {
 public:
  void Add(double value) {
    recent_.push_back(value);
    if (recent_.size() > kPatience) {
      before_.insert(std::upper_bound(before_.begin(), before_.end(), recent_.front()), recent_.front());
      recent_.pop_front();
    }
    ++since_gain_;
    const double wanted = before_.empty() ? 0 : std::max(0.0, kGain * (value - before_[before_.size() / 2]));
    if (value - best_ <= wanted) return;
    best_ = value;
    since_gain_ = 0;
  }
  bool has_stalled() const { return since_gain_ >= kPatience; }

 private:
  std::deque<double> recent_;   // the last kPatience
  std::vector<double> before_;  // those before them, ascending: at the end most trials are beside the best
  double best_ = -std::numeric_limits<double>::infinity();  // when there was a gain last
  uint32_t since_gain_ = 0;
};

}  // namespace

std::optional<Restart> LastRestart(const Study& study) {
  Restart restart;
  for (const auto& trial : study.trials) restart.number = std::max(restart.number, trial.restart);
  Progress progress;
  for (const auto& trial : study.trials) {
    if (trial.restart == restart.number && trial.state == Trial::State::kCompleted && std::isfinite(trial.objective))
      progress.Add(study.maximize ? trial.objective : -trial.objective);
  }
  if (progress.has_stalled() && study.trials.size() >= kRestartAfter) ++restart.number;
  if (restart.number == 0) return std::nullopt;
  restart.study.ranges = study.ranges;
  restart.study.maximize = study.maximize;
  for (const auto& trial : study.trials) {
    const bool is_own = trial.restart == restart.number;
    if (is_own) ++restart.own_trials;
    if (is_own || trial.state == Trial::State::kFailed) restart.study.trials.push_back(trial);
  }
  return restart;
}

}  // namespace leat::search
