// SPDX-License-Identifier: Apache-2.0
// A tuning job as it is asked for: Amazon SageMaker's CreateHyperParameterTuningJob request, read and checked (see
// model/training_job.h for how problems are told). Values only; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
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
  // LeatActiveFor: the range matters, and is given to the script, only where the categorical range `parent` has one of
  // these values; empty: always.
  std::string parent;
  std::vector<std::string> parent_values;
};

// One of the training jobs that a tuning job tunes.
struct TuningDefinition {
  std::string name;       // DefinitionName; empty where there is one definition only
  std::string objective;  // a metric
  bool maximize = true;
  std::vector<ParameterRange> ranges;  // in order of name
  nlohmann::json request;              // TrainingJobDefinition, as it came
};

struct TuningJob {
  enum class Strategy { kBayesian, kRandom, kGrid, kHyperband };
  std::string name;
  Strategy strategy = Strategy::kBayesian;
  std::vector<TuningDefinition> definitions;  // one or more; training jobs are made of them in turn
  uint32_t jobs_max = 0;                      // Grid: the number of combinations
  bool is_limited_by_jobs = true;             // else jobs_max is the most that any tuning job may have
  uint32_t parallel_max = 1;
  int64_t max_runtime_s = 0;  // 0: none
  std::optional<uint64_t> seed;
  uint32_t min_resource = 1, max_resource = 0;  // Hyperband: how often a job tells its objective, at least and at most
  bool stops_early = false;                     // TrainingJobEarlyStoppingType Auto
  std::optional<double> target;                 // TuningJobCompletionCriteria.TargetObjectiveMetricValue
  std::optional<uint32_t> not_improving_max;    // BestObjectiveNotImproving
  bool completes_on_convergence = false;
  std::vector<std::string> warm_start_parents;
  bool is_transfer = false;  // WarmStartType TransferLearning; else IdenticalDataAndAlgorithm
  nlohmann::json request;
  std::vector<std::string> warnings;
};

struct TuningJobCheck {
  TuningJob job;
  std::vector<RequestProblem> problems;
};
TuningJobCheck CheckTuningJob(const nlohmann::json& request);

// ParameterRanges, in order of name; what is wrong with them is the reader's. `taken`: names that may not come again.
std::vector<ParameterRange> ReadParameterRanges(RequestReader& reader, const nlohmann::json& ranges,
                                                const std::string& path, std::set<std::string> taken = {});

// The CreateTrainingJob request of one child: static and tuned hyperparameters, and _tuning_objective_metric.
nlohmann::json ChildRequest(const TuningJob& job, const TuningDefinition& definition, const std::string& name,
                            const std::map<std::string, std::string>& tuned);
// "<tuning job>-<NNN>-<8 hex digits>": number and attempt from 1; the digits follow from them and the seed.
std::string ChildName(const TuningJob& job, uint64_t seed, uint32_t number, uint32_t attempt = 1);

}  // namespace leat
