// SPDX-License-Identifier: Apache-2.0
// Which hyperparameters to try next: Random and Grid. Pure: the same job, seed, number and earlier suggestions give the
// same suggestion on every machine. Any thread.
//
// Scales (u uniform in [0,1)): Linear a+u(b-a); Logarithmic exp(ln a+u(ln b-ln a)); ReverseLogarithmic
// 1-exp(ln(1-a)+u(ln(1-b)-ln(1-a))). Auto is Logarithmic where the range is positive and spans a factor of 100 or more,
// else Linear. Bounds are inclusive. Continuous values have eight significant digits; integers are rounded on their
// scale.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/tuning_job.h"

namespace leat::policy {

using Suggestion = std::map<std::string, std::string>;  // name -> value, as the script gets it

// The suggestion number `number` (from 0). `earlier`: those before it. kNotFound: the grid is exhausted, or a range has
// no value.
// Random does not repeat itself until a finite space of up to kEnumerableMax combinations is exhausted.
Result<Suggestion> Suggest(const TuningJob& job, uint64_t seed, uint32_t number,
                           const std::vector<Suggestion>& earlier);

inline constexpr uint64_t kEnumerableMax = 10000;
// How many combinations there are, at most kEnumerableMax + 1 (which also stands for infinitely many).
uint64_t Combinations(const std::vector<ParameterRange>& ranges);
// The value at `unit` in [0, 1] of a range's scale.
std::string ValueAt(const ParameterRange& range, double unit);

}  // namespace leat::policy
