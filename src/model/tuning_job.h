// SPDX-License-Identifier: Apache-2.0
// A tuning job as it is asked for: Amazon SageMaker's CreateHyperParameterTuningJob request, read and checked (see
// model/training_job.h for how problems are told). Values only; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "model/training_job.h"

namespace leat {

enum class Scaling { kAuto, kLinear, kLogarithmic, kReverseLogarithmic };

struct ParameterRange {
  enum class Kind { kContinuous, kInteger, kCategorical };
  std::string name;
  Kind kind = Kind::kContinuous;
  double min = 0, max = 0;                   // kContinuous
  int64_t integer_min = 0, integer_max = 0;  // kInteger
  std::string min_text, max_text;            // as written, so that a bound is suggested as its author wrote it
  Scaling scaling = Scaling::kAuto;
  std::vector<std::string> values;  // kCategorical, passed on untouched
};

struct TuningJob {
  enum class Strategy { kRandom, kGrid };
  std::string name;
  Strategy strategy = Strategy::kRandom;
  bool maximize = true;
  std::string objective;
  uint32_t jobs_max = 0;  // Grid: the number of combinations
  uint32_t parallel_max = 1;
  std::optional<uint64_t> seed;
  int64_t max_runtime_s = 0;           // 0: none
  std::vector<ParameterRange> ranges;  // in order of name
  nlohmann::json definition;           // TrainingJobDefinition
  nlohmann::json request;
  std::vector<std::string> warnings;
};

struct TuningJobCheck {
  TuningJob job;
  std::vector<RequestProblem> problems;
};
TuningJobCheck CheckTuningJob(const nlohmann::json& request);

// The CreateTrainingJob request of one child: static and tuned hyperparameters, and _tuning_objective_metric.
nlohmann::json ChildRequest(const TuningJob& job, const std::string& name,
                            const std::map<std::string, std::string>& tuned);
// "<tuning job>-<NNN>-<8 hex digits>": number from 1; the digits follow from the seed, so they repeat with it.
std::string ChildName(const TuningJob& job, uint64_t seed, uint32_t number);

}  // namespace leat
