// SPDX-License-Identifier: Apache-2.0
// Ranges in a line each, for tests.
#pragma once

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "model/tuning_job.h"

namespace leat::search {

inline ParameterRange Continuous(const char* name, const char* min, const char* max,
                                 Scaling scaling = Scaling::kLinear) {
  ParameterRange range;
  range.name = name;
  range.min_text = min;
  range.max_text = max;
  range.min = std::atof(min);
  range.max = std::atof(max);
  range.scaling = scaling;
  return range;
}

inline ParameterRange Integer(const char* name, int64_t min, int64_t max, Scaling scaling = Scaling::kAuto) {
  ParameterRange range;
  range.kind = ParameterRange::Kind::kInteger;
  range.name = name;
  range.integer_min = min;
  range.integer_max = max;
  range.scaling = scaling;
  return range;
}

inline ParameterRange Categories(const char* name, std::vector<std::string> values) {
  ParameterRange range;
  range.kind = ParameterRange::Kind::kCategorical;
  range.name = name;
  range.values = std::move(values);
  return range;
}

inline ParameterRange When(ParameterRange range, const char* parent, std::vector<std::string> values) {
  range.parent = parent;
  range.parent_values = std::move(values);
  return range;
}

}  // namespace leat::search
