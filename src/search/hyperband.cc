// SPDX-License-Identifier: Apache-2.0
#include "search/hyperband.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/random.h"

namespace leat::search {
namespace {

constexpr uint64_t kBracketStream = 0x68797065726261;  // draws that have nothing to do with the search's own

}  // namespace

Hyperband::Hyperband(HyperbandOptions options) : options_(options) {
  const uint64_t max = options_.resource_max;
  LEAT_CHECK(options_.resource_min >= 1 && options_.resource_min <= max);
  uint32_t brackets = 0;
  for (uint64_t resource = options_.resource_min; resource <= max; resource *= kReduction, ++brackets) {
    if (resource < max) levels_.push_back(static_cast<uint32_t>(resource));
  }
  costs_.resize(levels_.size());
  levels_.push_back(options_.resource_max);
  uint64_t power = 1;
  for (uint32_t s = 0; s < brackets; ++s, power *= kReduction) sizes_.push_back((brackets * power + s) / (s + 1));
}

uint32_t Hyperband::Bracket(uint32_t trial) const {
  uint64_t total = 0;
  for (const uint64_t size : sizes_) total += size;
  uint64_t drawn = Random(Random::Mix(options_.seed ^ kBracketStream), trial).Below(total);
  uint32_t s = 0;
  while (drawn >= sizes_[s]) drawn -= sizes_[s++];
  return s;
}

StopDecision Hyperband::Report(uint32_t trial, uint32_t resource, double value) {
  LEAT_CHECK(resource >= 1);
  const auto [entry, is_new] = trials_.try_emplace(trial);
  TrialState& state = entry->second;
  if (is_new) state.next_level = FirstLevel(trial);
  const bool is_repeated = resource <= state.resource;
  if (!is_repeated) {
    state.resource = resource;
    state.value = value;
    if (state.stopped_at == 0) {
      state.stopped = Judge(state);
      if (state.stopped.stop) state.stopped_at = resource;
    }
  }
  return state.stopped_at != 0 && resource >= state.stopped_at ? state.stopped : StopDecision{};
}

StopDecision Hyperband::Judge(TrialState& trial) {
  if (trial.resource >= options_.resource_max) {
    return {true, "reached epoch " + std::to_string(options_.resource_max) + ", the last (MaxResource)"};
  }
  const double cost = Cost(trial.value, options_.maximize);
  // Below the last level, which no resource here reaches.
  for (; levels_[trial.next_level] <= trial.resource; ++trial.next_level) {
    auto& costs = costs_[trial.next_level];
    costs.insert(std::upper_bound(costs.begin(), costs.end(), cost), cost);
    if (costs.size() < kReduction) continue;
    const double last = costs[(costs.size() - 1) / kReduction];
    if (cost <= last) continue;
    // `last` is lower than another, so it is finite.
    const double bound = options_.maximize ? -last : last;
    const uint32_t rung = levels_[trial.next_level];
    const std::string late = trial.resource == rung ? "" : " at epoch " + std::to_string(trial.resource);
    return {true, NumberText(trial.value, bound) + late + " is not among the best third of " +
                      std::to_string(costs.size()) + " jobs at epoch " + std::to_string(rung) + " (" +
                      NumberText(bound, trial.value) + ")"};
  }
  return {};
}

std::optional<Hyperband::Result> Hyperband::Last(uint32_t trial) const {
  const auto entry = trials_.find(trial);
  if (entry == trials_.end()) return std::nullopt;
  Result result{entry->second.value, entry->second.resource, std::nullopt};
  const auto above = std::upper_bound(levels_.begin(), levels_.end(), result.resource);
  if (above != levels_.begin()) result.level = static_cast<size_t>(above - levels_.begin()) - 1;
  return result;
}

}  // namespace leat::search
