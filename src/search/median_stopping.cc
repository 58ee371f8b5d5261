// SPDX-License-Identifier: Apache-2.0
#include "search/median_stopping.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace leat::search {

StopDecision MedianStopping::Report(uint32_t trial, uint32_t count, double value) {
  LEAT_CHECK(count >= 1);
  TrialState& state = trials_[trial];
  const bool is_repeated = count <= state.means.size();
  if (!is_repeated) {
    if (state.stopped_at == 0) {
      state.stopped = Judge(count, value);
      if (state.stopped.stop) state.stopped_at = count;
    }
    const double cost = Cost(value, maximize_);
    // Step by step, for the mean of equal values is then exactly the value.
    if (std::isfinite(cost)) state.mean += (cost - state.mean) / ++state.finite;
    state.means.resize(count, std::isfinite(cost) ? state.mean : cost);
  }
  return state.stopped_at != 0 && count >= state.stopped_at ? state.stopped : StopDecision{};
}

void MedianStopping::Completed(uint32_t trial) {
  const auto entry = trials_.find(trial);
  if (entry == trials_.end() || entry->second.completed) return;
  entry->second.completed = true;
  const size_t length = entry->second.means.size();
  lengths_.insert(std::upper_bound(lengths_.begin(), lengths_.end(), length), length);
}

bool MedianStopping::InGrace(uint32_t count) const {
  if (count <= 1) return true;
  if (lengths_.empty()) return false;
  const uint64_t twice_median = lengths_[(lengths_.size() - 1) / 2] + lengths_[lengths_.size() / 2];
  return uint64_t{2} * kGraceDivisor * count <= twice_median;
}

StopDecision MedianStopping::Judge(uint32_t count, double value) const {
  if (InGrace(count)) return {};
  std::vector<double> peers;  // without the trial itself, which has not had this report yet
  for (const auto& [number, peer] : trials_) {
    if (peer.means.size() >= count) peers.push_back(peer.means[count - 1]);
  }
  if (peers.size() < kPeersMin) return {};
  std::sort(peers.begin(), peers.end());
  const double median = std::midpoint(peers[(peers.size() - 1) / 2], peers[peers.size() / 2]);
  if (Cost(value, maximize_) <= median) return {};
  // The median is lower than another, so it is finite.
  const double bound = maximize_ ? -median : median;
  return {true, NumberText(value, bound) + " at epoch " + std::to_string(count) + " is worse than " +
                    NumberText(bound, value) + ", the median of the running means of " + std::to_string(peers.size()) +
                    " jobs"};
}

}  // namespace leat::search
