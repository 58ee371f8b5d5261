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
    const double wanted = before_.empty() ? 0 : kGain * (value - before_[before_.size() / 2]);
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
  restart.study.ranges = study.ranges;
  restart.study.maximize = study.maximize;
  Progress progress;
  for (uint64_t number = 0;; ++number) {
    if (progress.has_stalled() && number >= kRestartAfter) {
      ++restart.count;
      restart.study.trials.clear();
      progress = {};
    }
    if (number == study.trials.size()) break;
    if (restart.count > 0 && !IsOfRestart(number)) continue;
    const Trial& trial = study.trials[number];
    if (restart.count > 0) restart.study.trials.push_back(trial);
    if (trial.state == Trial::State::kCompleted && std::isfinite(trial.objective)) {
      progress.Add(study.maximize ? trial.objective : -trial.objective);
    }
  }
  if (restart.count == 0) return std::nullopt;
  return restart;
}

}  // namespace leat::search
