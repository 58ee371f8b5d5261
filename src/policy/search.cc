// SPDX-License-Identifier: Apache-2.0
#include "policy/search.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "base/random.h"

namespace leat::policy {
namespace {

using Kind = ParameterRange::Kind;

constexpr double kAutoLogarithmicRatio = 100;
constexpr int kDrawsMax = 32;  // draws before a finite space is searched for an unused combination

double OnScale(Scaling scaling, double min, double max, double unit) {
  if (scaling == Scaling::kAuto) {
    scaling = min > 0 && max / min >= kAutoLogarithmicRatio ? Scaling::kLogarithmic : Scaling::kLinear;
  }
  switch (scaling) {
    case Scaling::kLogarithmic:
      return std::exp(std::log(min) + unit * (std::log(max) - std::log(min)));
    case Scaling::kReverseLogarithmic:
      return 1 - std::exp(std::log1p(-min) + unit * (std::log1p(-max) - std::log1p(-min)));
    default:
      // Without max - min, which overflows for the widest ranges.
      return min * (1 - unit) + max * unit;
  }
}

uint64_t ValueCount(const ParameterRange& range) {
  switch (range.kind) {
    case Kind::kCategorical:
      return range.values.size();
    case Kind::kInteger:
      return static_cast<uint64_t>(range.integer_max - range.integer_min) + 1;
    case Kind::kContinuous:
      break;
  }
  return range.min == range.max ? 1 : kEnumerableMax + 1;
}

// Combination `index` of a finite space, the last name varying fastest.
Suggestion Combination(const std::vector<ParameterRange>& ranges, uint64_t index) {
  Suggestion suggestion;
  for (auto range = ranges.rbegin(); range != ranges.rend(); ++range) {
    const uint64_t count = ValueCount(*range);
    const uint64_t at = index % count;
    index /= count;
    if (range->kind == Kind::kCategorical) {
      suggestion[range->name] = range->values[at];
    } else if (range->kind == Kind::kInteger) {
      suggestion[range->name] = std::to_string(range->integer_min + static_cast<int64_t>(at));
    } else {
      suggestion[range->name] = range->min_text;
    }
  }
  return suggestion;
}

Suggestion Draw(const std::vector<ParameterRange>& ranges, Random& random) {
  Suggestion suggestion;
  for (const auto& range : ranges) {
    suggestion[range.name] = range.kind == Kind::kCategorical ? range.values[random.Below(range.values.size())]
                                                              : ValueAt(range, random.Unit());
  }
  return suggestion;
}

}  // namespace

uint64_t Combinations(const std::vector<ParameterRange>& ranges) {
  uint64_t product = 1;
  for (const auto& range : ranges) {
    const uint64_t count = ValueCount(range);
    if (count > kEnumerableMax || product * count > kEnumerableMax) return kEnumerableMax + 1;
    product *= count;
  }
  return product;
}

std::string ValueAt(const ParameterRange& range, double unit) {
  if (range.kind == Kind::kCategorical) {
    const auto at = static_cast<size_t>(unit * static_cast<double>(range.values.size()));
    return range.values[std::min(at, range.values.size() - 1)];
  }
  if (range.kind == Kind::kInteger) {
    const auto min = static_cast<double>(range.integer_min), max = static_cast<double>(range.integer_max);
    // Half a unit of room at both ends of a linear scale, so that the bounds come as often as what lies between them.
    const bool linear = range.scaling == Scaling::kLinear ||
                        (range.scaling == Scaling::kAuto && !(min > 0 && max / min >= kAutoLogarithmicRatio));
    const double value =
        linear ? std::floor(min + unit * (max - min + 1)) : std::round(OnScale(range.scaling, min, max, unit));
    return std::to_string(std::clamp(static_cast<int64_t>(value), range.integer_min, range.integer_max));
  }
  const double value = OnScale(range.scaling, range.min, range.max, unit);
  // Eight digits: enough to tell hyperparameters apart, few enough that no math library's last bit shows.
  char text[40];
  std::snprintf(text, sizeof text, "%.8g", value);
  const double rounded = std::strtod(text, nullptr);
  if (rounded <= range.min) return range.min_text;
  return rounded >= range.max ? range.max_text : text;
}

Result<Suggestion> Suggest(const TuningJob& job, uint64_t seed, uint32_t number,
                           const std::vector<Suggestion>& earlier) {
  for (const auto& range : job.ranges) {
    if (range.kind == Kind::kCategorical && range.values.empty()) {
      return Fail(ErrorCode::kNotFound, "the range " + range.name + " has no value");
    }
  }
  const uint64_t combinations = Combinations(job.ranges);
  if (job.strategy == TuningJob::Strategy::kGrid) {
    if (number >= combinations) return Fail(ErrorCode::kNotFound, "the grid is exhausted");
    return Combination(job.ranges, number);
  }
  Random random(seed, number);
  const std::set<Suggestion> used(earlier.begin(), earlier.end());
  if (used.size() >= combinations) return Draw(job.ranges, random);
  for (int i = 0; i < kDrawsMax; ++i) {
    Suggestion suggestion = Draw(job.ranges, random);
    if (!used.count(suggestion)) return suggestion;
  }
  if (combinations > kEnumerableMax) return Draw(job.ranges, random);
  uint64_t index = random.Below(combinations);
  while (used.count(Combination(job.ranges, index))) index = (index + 1) % combinations;
  return Combination(job.ranges, index);
}

}  // namespace leat::policy
