// SPDX-License-Identifier: Apache-2.0
// Which hyperparameters to try next: Random, Grid and Bayesian. Pure: the same study and seed give the same suggestions
// on every machine, bit for bit. Any thread.
//
//   Random    draws, uniform on each range's scale
//   Grid      every combination, the last range varying fastest; a continuous range has none
//   Bayesian  a scrambled Sobol sequence first (after the best points of earlier studies, where there are any), then a
//             Gaussian process of the trials so far (see Surrogate); trials that are pending count as known at what is
//             expected of them, so that it can be asked at any time; from 100 trials on it may begin anew (see Restart)
//
// Nothing is suggested that is among the study's trials, or among those of an earlier one of the same task.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "search/study.h"

namespace leat::search {

// The next `count` trials, pending. The first has the number study.trials.size(), which with the seed decides on all
// that is drawn; a caller adds them to the trials before it asks for more. Fewer than `count`: there are no more.
// kNotFound: every combination was tried, or a range has no value. kInvalidArgument: a range depends on what it cannot
// (see Space), or Grid has a continuous range.
Result<std::vector<Trial>> Suggest(const Study& study, uint32_t count, uint64_t seed);

}  // namespace leat::search
