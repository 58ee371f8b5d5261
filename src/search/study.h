// SPDX-License-Identifier: Apache-2.0
// What a search knows: the ranges, and the trials so far. Values only; any thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/tuning_job.h"

namespace leat::search {

using Suggestion = std::map<std::string, std::string>;  // name -> value, as the script gets it

struct Trial {
  enum class State { kPending, kCompleted, kFailed };
  Suggestion parameters;
  State state = State::kPending;
  double objective = std::nan("");  // of a completed one; a number that is not finite makes it a failed one
  uint32_t restart = 0;             // the Restart that suggested it; 0: the search of all trials
};

// Trials of a tuning job that came before.
struct EarlierStudy {
  std::vector<Trial> trials;
  bool maximize = true;
  bool is_same_task = false;  // the same algorithm on the same data: its trials count as the study's own
};

struct Study {
  enum class Strategy { kRandom, kGrid, kBayesian };
  std::vector<ParameterRange> ranges;
  Strategy strategy = Strategy::kBayesian;
  bool maximize = true;
  bool start_at_centre = false;       // the first suggestion is the middle of every range
  std::vector<Trial> trials;          // in the order of suggestion: the place of a trial is its number
  std::vector<EarlierStudy> earlier;  // warm start
};

}  // namespace leat::search
