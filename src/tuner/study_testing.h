// SPDX-License-Identifier: Apache-2.0
// Studies for tests of what people see of them: made of a seed, without a store.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "tuner/chart_axis.h"
#include "tuner/study.h"

namespace leat::tuner {

constexpr int64_t kSecond = 1000000000, kStudyStart = 1767323045 * kSecond;

inline ParameterRange NumberRange(std::string name, double min, double max, Scaling scaling = Scaling::kAuto) {
  ParameterRange range;
  range.name = std::move(name);
  range.min = min;
  range.max = max;
  range.scaling = scaling;
  return range;
}

inline ParameterRange IntegerRange(std::string name, int64_t min, int64_t max) {
  ParameterRange range;
  range.name = std::move(name);
  range.kind = ParameterRange::Kind::kInteger;
  range.integer_min = min;
  range.integer_max = max;
  return range;
}

inline ParameterRange CategoryRange(std::string name, std::vector<std::string> values) {
  ParameterRange range;
  range.name = std::move(name);
  range.kind = ParameterRange::Kind::kCategorical;
  range.values = std::move(values);
  return range;
}

inline Study EmptyStudy(std::string name, std::vector<ParameterRange> ranges, bool maximize = true) {
  Study study;
  study.job.name = std::move(name);
  study.job.jobs_max = 100;
  study.job.parallel_max = 4;
  TuningDefinition definition;
  definition.objective = "validation:accuracy";
  definition.maximize = maximize;
  definition.ranges = std::move(ranges);
  study.job.definitions.push_back(std::move(definition));
  study.created_ns = study.modified_ns = kStudyStart;
  return study;
}

// A trial that has ended with `objective`, a minute after it began; trials run one after the other.
inline Trial& AddTrial(Study& study, std::map<std::string, std::string> tuned, std::optional<double> objective,
                       const std::string& status = "Completed") {
  Trial& trial = study.trials.emplace_back();
  trial.number = static_cast<uint32_t>(study.trials.size());
  char digits[24];
  std::snprintf(digits, sizeof digits, "-%03u-%08x", trial.number, 0x1234567 + trial.number);
  trial.job_name = study.job.name + digits;
  trial.tuned = std::move(tuned);
  trial.objective = objective;
  trial.state.status = trial.state.secondary = status;
  const int64_t start = kStudyStart + (trial.number - 1) * 60 * kSecond;
  trial.state.created_ns = start;
  trial.state.started_ns = start + kSecond;
  trial.is_done = status != "InProgress";
  if (trial.is_done) trial.state.ended_ns = start + 60 * kSecond;
  if (trial.is_done) study.order_of_ends.push_back(trial.number);
  if (objective) trial.reports.push_back({*objective, start + 50 * kSecond});
  return trial;
}

// A classifier's learning rate, optimizer, batch size and so on, with learning curves; some jobs fail, some are
// stopped early, the last few run. `more` hyperparameters beside change nothing.
inline Study TrainingStudy(uint32_t trials, uint32_t reports, size_t more = 0, uint64_t seed = 1) {
  ParameterRange momentum = NumberRange("momentum", 0.5, 0.999, Scaling::kReverseLogarithmic);
  momentum.parent = "optimizer";
  momentum.parent_values = {"sgd"};
  std::vector<ParameterRange> ranges = {IntegerRange("batch-size", 16, 256),
                                        NumberRange("dropout", 0, 0.6),
                                        NumberRange("learning-rate", 1e-5, 0.3),
                                        momentum,
                                        CategoryRange("optimizer", {"adam", "adamw", "sgd"}),
                                        NumberRange("weight-decay", 1e-6, 0.01)};
  for (size_t i = 0; i < more; ++i) ranges.push_back(NumberRange("unused-" + std::to_string(i), 0, 1));
  Study study = EmptyStudy("image-classification", ranges);
  study.seed = seed;
  study.job.jobs_max = trials;
  study.job.stops_early = true;
  Random random(seed);
  double lead = 2.5;  // how far from the best learning rate the search still looks, in powers of ten
  std::vector<int64_t> slots(study.job.parallel_max, kStudyStart);
  for (uint32_t number = 1; number <= trials; ++number) {
    lead = std::max(1.0, lead * 0.985);
    const double rate = std::clamp(-2.2 + (random.Unit() + random.Unit() - 1) * lead, -5.0, std::log10(0.3));
    const double dropout = 0.6 * random.Unit(), decay = -6 + 4 * random.Unit();
    const auto batch = static_cast<int>(16 * std::pow(2.0, random.Below(5)));
    const std::string optimizer = study.job.definitions[0].ranges[4].values[random.Below(3)];
    std::map<std::string, std::string> tuned = {{"batch-size", std::to_string(batch)},
                                                {"dropout", ShortNumber(dropout, 8)},
                                                {"learning-rate", ShortNumber(std::pow(10, rate), 8)},
                                                {"optimizer", optimizer},
                                                {"weight-decay", ShortNumber(std::pow(10, decay), 8)}};
    double quality = 0.93 - 0.06 * std::pow(rate + 2.2, 2) - 0.3 * std::pow(dropout - 0.25, 2) +
                     (optimizer == "adamw" ? 0.01
                      : optimizer == "sgd" ? -0.015
                                           : 0) -
                     0.0001 * batch + 0.01 * (random.Unit() - 0.5);
    if (optimizer == "sgd") {
      const double place = random.Unit();
      tuned["momentum"] = ShortNumber(1 - std::exp(std::log(0.5) + place * std::log(0.002)), 8);
      quality -= 0.05 * std::pow(place - 0.6, 2);
    }
    for (size_t i = 0; i < more; ++i) tuned["unused-" + std::to_string(i)] = ShortNumber(random.Unit(), 8);
    const bool runs = number + 3 > trials;
    const bool fails = !runs && (random.Unit() < 0.04 || rate > -0.7);
    const bool stops = !runs && !fails && quality < 0.86 && random.Unit() < 0.6;
    uint32_t count = fails   ? static_cast<uint32_t>(random.Below(3))
                     : stops ? 3 + random.Below(reports / 3 + 1)
                             : reports;
    if (runs) count = reports / (number + 4 - trials);
    Trial& trial = AddTrial(study, tuned, std::nullopt,
                            runs    ? "InProgress"
                            : fails ? "Failed"
                            : stops ? "Stopped"
                                    : "Completed");
    auto& slot = *std::ranges::min_element(slots);
    trial.state.created_ns = slot;
    trial.state.started_ns = slot + (5 + static_cast<int64_t>(random.Below(10))) * kSecond;
    for (uint32_t i = 1; i <= count; ++i) {
      const double part = static_cast<double>(i) / reports;
      const double value =
          0.1 + (quality - 0.1) * (1 - std::exp(-5 * part)) + 0.02 * (random.Unit() - 0.5) * (1 - part);
      trial.reports.push_back({value, *trial.state.started_ns + i * 20 * kSecond});
      trial.objective = value;
    }
    slot = *trial.state.started_ns + (count + 1) * 20 * kSecond;
    if (!runs) trial.state.ended_ns = slot;
    if (runs) trial.state.secondary = "Training";
    if (fails) trial.state.failure_reason = "AlgorithmError: CUDA out of memory, exit code: 1";
    if (stops) {
      trial.stop_reason =
          ShortNumber(*trial.objective, 3) + " < median 0.842 of 9 jobs at report " + std::to_string(count);
    }
    study.modified_ns = slot;
  }
  return study;
}

}  // namespace leat::tuner
