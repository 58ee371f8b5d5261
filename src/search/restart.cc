// SPDX-License-Identifier: Apache-2.0
#include "search/restart.h"

#include <algorithm>
#include <cmath>

namespace leat::search {
namespace {

constexpr double kGain = 0.01;

// The completed trials of one search, in turn.
class Progress {
 public:
  void Add(double value) {
    ++since_gain_;
    values_.insert(std::upper_bound(values_.begin(), values_.end(), value), value);
    const double median = values_[values_.size() / 2];
    if (values_.size() > 1 && value - best_ <= kGain * (value - median)) return;
    best_ = value;
    since_gain_ = 0;
  }
  bool has_stalled() const { return since_gain_ >= kPatience; }

 private:
  std::vector<double> values_;  // ascending
  double best_ = 0;             // when there was a gain last
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
