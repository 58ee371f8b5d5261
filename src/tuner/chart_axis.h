// SPDX-License-Identifier: Apache-2.0
// The axis of a chart: where a value stands on it, and the marks beside it. Immutable once made; any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/tuning_job.h"

namespace leat::tuner {

class ChartAxis {
 public:
  struct Mark {
    double place = 0;  // from 0 to 1
    std::string text;
  };
  // On the scale that the range is searched on: Auto is logarithmic where the range is positive and spans a factor of
  // 100 or more.
  static ChartAxis OfRange(const ParameterRange& range);
  // Objectives: logarithmic where they are positive and span a factor of 100 or more. Else a few values far worse than
  // the others do not set the scale: they are left beyond the end. Values that are not finite are passed over.
  static ChartAxis OfObjectives(std::vector<double> values, bool maximize);
  static ChartAxis OfNumbers(double min, double max);

  // From 0 to 1 within the axis, less or more beyond its ends.
  double Place(double value) const;
  // Categories stand in the middle of equal parts. nullopt: no number, or no such category.
  std::optional<double> Place(const std::string& text) const;
  // 1 / how many categories or integers there are; 0: a continuum.
  double StepWidth() const;
  bool IsCategorical() const { return !categories_.empty(); }
  std::vector<Mark> Marks(size_t max) const;

 private:
  std::vector<double> Numbers(size_t max) const;
  Scaling scaling_ = Scaling::kLinear;
  double min_ = 0, max_ = 1;
  bool is_integer_ = false;
  std::vector<std::string> categories_;
};

// At most `digits` significant ones, without zeros that say nothing: "0.25", "1e-5".
std::string ShortNumber(double value, int digits = 6);

}  // namespace leat::tuner
