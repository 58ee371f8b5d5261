// SPDX-License-Identifier: Apache-2.0
// A second look. A model with a hundred trials around one optimum believes in it and hardly looks elsewhere. So when a
// long Bayesian search gains nothing any more, every second trial belongs to a search that begins anew (as the trust
// regions of Eriksson and others, Scalable Global Optimization via Local Bayesian Optimization, 2019) and knows where
// jobs fail, and nothing else of what was before; when that gains nothing any more, to another. The trials between go
// on with a model of them all.
//
// Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>

#include "search/study.h"

namespace leat::search {

// A gain: better than the best so far, once there are more trials by a hundredth of what lies between the new best and
// the median of the trials before the last kPatience.
inline constexpr uint32_t kPatience = 50;       // completed trials in a row without a gain
inline constexpr uint64_t kRestartAfter = 100;  // trials of a study; a search that is shorter needs them all

struct Restart {
  uint32_t number = 0;      // from 1: Trial::restart of its trials
  uint64_t own_trials = 0;  // so far
  Study study;              // what it knows: those, and where jobs have failed
};
// The one that a study's next trials may belong to; nothing: there is none yet.
std::optional<Restart> LastRestart(const Study& study);
// Whether a trial with that number in its study is the restart's, and not of the search that has seen them all.
inline bool IsOfRestart(uint64_t number) { return number % 2 == 1; }

}  // namespace leat::search
