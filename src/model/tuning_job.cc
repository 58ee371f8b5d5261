// SPDX-License-Identifier: Apache-2.0
#include "model/tuning_job.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <set>

#include "base/random.h"

namespace leat {
namespace {

using Json = nlohmann::json;

constexpr size_t kNameMax = 32, kRangesMax = 30, kTextMax = 256, kValuesMax = 30;
constexpr uint64_t kGridMax = 750;  // the service's limit of jobs in one tuning job
constexpr int64_t kRandomMax = 10000, kParallelMax = 100;

// The whole text as a number; strtod's hexadecimal, inf and nan are not among them.
template <class Number>
std::optional<Number> ParseNumber(const std::string& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if constexpr (std::is_floating_point_v<Number>) {
    if (!std::isfinite(number)) return std::nullopt;
  }
  return number;
}

Scaling ReadScaling(RequestReader& reader, const Json& value, const std::string& path, ParameterRange& range) {
  const std::string text =
      reader.Choice(value, path, "ScalingType", false, {"Auto", "Linear", "Logarithmic", "ReverseLogarithmic"}, "Auto");
  const double min = range.kind == ParameterRange::Kind::kInteger ? static_cast<double>(range.integer_min) : range.min;
  if (text == "Logarithmic" && min <= 0) {
    reader.Problem(path + ".ScalingType", &value["ScalingType"], "needs a MinValue greater than 0");
  }
  if (text == "ReverseLogarithmic" &&
      (range.kind != ParameterRange::Kind::kContinuous || range.min < 0 || range.max >= 1)) {
    reader.Problem(path + ".ScalingType", &value["ScalingType"],
                   "needs a continuous range with 0 <= MinValue and MaxValue < 1");
  }
  if (text == "Linear") return Scaling::kLinear;
  if (text == "Logarithmic") return Scaling::kLogarithmic;
  return text == "ReverseLogarithmic" ? Scaling::kReverseLogarithmic : Scaling::kAuto;
}

void ReadNumericRange(RequestReader& reader, const Json& value, const std::string& path, ParameterRange& range) {
  range.min_text = reader.Text(value, path, "MinValue", true, kTextMax);
  range.max_text = reader.Text(value, path, "MaxValue", true, kTextMax);
  if (range.min_text.empty() || range.max_text.empty()) return;
  bool ordered = false;
  if (range.kind == ParameterRange::Kind::kInteger) {
    const auto min = ParseNumber<int64_t>(range.min_text), max = ParseNumber<int64_t>(range.max_text);
    if (!min) reader.Problem(path + ".MinValue", &value["MinValue"], "must be a whole number in quotes");
    if (!max) reader.Problem(path + ".MaxValue", &value["MaxValue"], "must be a whole number in quotes");
    if (!min || !max) return;
    // Beyond 2^53 a double no longer tells neighbours apart, and the span must fit its type.
    constexpr int64_t kExact = int64_t{1} << 53;
    if (*min < -kExact || *max > kExact) {
      reader.Problem(path, &value, "must lie between -2^53 and 2^53");
      return;
    }
    range.integer_min = *min;
    range.integer_max = *max;
    ordered = *min <= *max;
  } else {
    const auto min = ParseNumber<double>(range.min_text), max = ParseNumber<double>(range.max_text);
    if (!min) reader.Problem(path + ".MinValue", &value["MinValue"], "must be a number in quotes");
    if (!max) reader.Problem(path + ".MaxValue", &value["MaxValue"], "must be a number in quotes");
    if (!min || !max) return;
    range.min = *min;
    range.max = *max;
    ordered = *min <= *max;
  }
  if (!ordered)
    reader.Problem(path + ".MinValue", &value["MinValue"], "must not be greater than MaxValue " + range.max_text);
  range.scaling = ReadScaling(reader, value, path, range);
}

void ReadCategories(RequestReader& reader, const Json& value, const std::string& path, ParameterRange& range) {
  // null is no list either, and a range without a value has nothing to suggest.
  if (!value.contains("Values") || value["Values"].is_null()) {
    reader.Problem(path + ".Values", nullptr, "a list of 1 to 30 values is required");
  }
  range.values = reader.TextList(value, path, "Values", kValuesMax, kTextMax);
  if (std::set<std::string>(range.values.begin(), range.values.end()).size() != range.values.size()) {
    reader.Problem(path + ".Values", &value["Values"], "must not repeat a value");
  }
}

void ReadRanges(RequestReader& reader, const Json& ranges, const std::string& path, const Json& definition,
                TuningJob& job) {
  std::set<std::string> names;
  if (const auto fixed = definition.find("StaticHyperParameters"); fixed != definition.end() && fixed->is_object()) {
    for (const auto& [name, value] : fixed->items()) names.insert(name);
  }
  using Kind = ParameterRange::Kind;
  const std::pair<const char*, Kind> kinds[] = {{"ContinuousParameterRanges", Kind::kContinuous},
                                                {"IntegerParameterRanges", Kind::kInteger},
                                                {"CategoricalParameterRanges", Kind::kCategorical}};
  for (const auto& [member, kind] : kinds) {
    const Json* list = reader.Array(ranges, path, member, false, 0, kRangesMax);
    for (size_t i = 0; list && i < list->size(); ++i) {
      const std::string here = path + "." + member + "[" + std::to_string(i) + "]";
      const Json& value = (*list)[i];
      if (!value.is_object()) {
        reader.Problem(here, &value, "must be an object");
        continue;
      }
      ParameterRange range;
      range.kind = kind;
      range.name = reader.Text(value, here, "Name", true, kTextMax);
      if (!range.name.empty() && !names.insert(range.name).second) {
        reader.Problem(here + ".Name", &value["Name"], "is given more than once, or among StaticHyperParameters too");
      }
      if (kind == Kind::kCategorical) {
        ReadCategories(reader, value, here, range);
      } else {
        ReadNumericRange(reader, value, here, range);
      }
      job.ranges.push_back(std::move(range));
    }
  }
  if (ranges.contains("AutoParameters") && !ranges["AutoParameters"].empty()) {
    reader.Problem(path + ".AutoParameters", &ranges["AutoParameters"],
                   "comes in a later version of Leat; give ranges");
  }
  if (job.ranges.size() > kRangesMax) reader.Problem(path, &ranges, "must tune at most 30 hyperparameters");
  std::sort(job.ranges.begin(), job.ranges.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
}

// Grid tries every combination: categorical values and whole numbers.
void CheckGrid(RequestReader& reader, const Json& limits, TuningJob& job, std::optional<int64_t> jobs_max) {
  uint64_t combinations = 1;
  for (const auto& range : job.ranges) {
    if (range.kind == ParameterRange::Kind::kContinuous) {
      const Json shown = range.name;
      reader.Problem("HyperParameterTuningJobConfig.ParameterRanges.ContinuousParameterRanges", &shown,
                     "Grid cannot enumerate a continuous range; give the values as a CategoricalParameterRange");
      return;
    }
    const uint64_t count = range.kind == ParameterRange::Kind::kCategorical
                               ? range.values.size()
                               : static_cast<uint64_t>(std::max<int64_t>(0, range.integer_max - range.integer_min)) + 1;
    combinations = count > kGridMax || combinations > kGridMax ? kGridMax + 1 : combinations * count;
  }
  const std::string path = "HyperParameterTuningJobConfig.ResourceLimits.MaxNumberOfTrainingJobs";
  if (combinations > kGridMax) {
    const Json shown = "over 750";
    reader.Problem("HyperParameterTuningJobConfig.ParameterRanges", &shown, "Grid takes at most 750 combinations");
  } else if (jobs_max && static_cast<uint64_t>(*jobs_max) != combinations) {
    reader.Problem(path, &limits["MaxNumberOfTrainingJobs"],
                   "must be left out or equal the grid's " + std::to_string(combinations) + " combinations");
  }
  job.jobs_max = static_cast<uint32_t>(combinations);
}

void ReadObjective(RequestReader& reader, const Json& config, TuningJob& job) {
  const std::string path = "HyperParameterTuningJobConfig.HyperParameterTuningJobObjective";
  const Json* objective =
      reader.Object(config, "HyperParameterTuningJobConfig", "HyperParameterTuningJobObjective", true);
  if (!objective) return;
  job.maximize = reader.Choice(*objective, path, "Type", true, {"Maximize", "Minimize"}, "Maximize") == "Maximize";
  job.objective = reader.Text(*objective, path, "MetricName", true, 255);
  RequestReader unheard;  // problems of the definition are told by CheckTrainingJob
  const auto algorithm = job.definition.find("AlgorithmSpecification");
  if (job.objective.empty() || algorithm == job.definition.end() || !algorithm->is_object()) return;
  const auto metrics = ReadMetricDefinitions(unheard, *algorithm, "");
  if (std::none_of(metrics.begin(), metrics.end(), [&](const auto& metric) { return metric.name == job.objective; })) {
    reader.Problem(path + ".MetricName", &(*objective)["MetricName"],
                   "must be the Name of one of TrainingJobDefinition.AlgorithmSpecification.MetricDefinitions");
  }
}

void ReadConfig(RequestReader& reader, const Json& request, TuningJob& job) {
  const std::string path = "HyperParameterTuningJobConfig";
  const Json* config = reader.Object(request, "", path.c_str(), true);
  if (!config) return;
  const std::string strategy =
      reader.Choice(*config, path, "Strategy", true, {"Random", "Grid", "Bayesian", "Hyperband"}, "Random");
  if (strategy == "Bayesian" || strategy == "Hyperband") {
    reader.Problem(path + ".Strategy", &(*config)["Strategy"], "comes in a later version of Leat; use Random or Grid");
  }
  job.strategy = strategy == "Grid" ? TuningJob::Strategy::kGrid : TuningJob::Strategy::kRandom;
  if (reader.Choice(*config, path, "TrainingJobEarlyStoppingType", false, {"Off", "Auto"}, "Off") == "Auto") {
    job.warnings.push_back(
        "TrainingJobEarlyStoppingType Auto comes in a later version of Leat: every job runs to its end");
  }
  if (config->contains("TuningJobCompletionCriteria")) {
    job.warnings.push_back("TuningJobCompletionCriteria comes in a later version of Leat and is ignored");
  }
  if (const auto seed = reader.Integer(*config, path, "RandomSeed", false, 0, INT64_MAX)) {
    job.seed = static_cast<uint64_t>(*seed);
  }
  ReadObjective(reader, *config, job);
  if (const Json* ranges = reader.Object(*config, path, "ParameterRanges", true)) {
    ReadRanges(reader, *ranges, path + ".ParameterRanges", job.definition, job);
  }
  if (const Json* limits = reader.Object(*config, path, "ResourceLimits", true)) {
    const std::string here = path + ".ResourceLimits";
    const bool grid = job.strategy == TuningJob::Strategy::kGrid;
    const auto jobs_max = reader.Integer(*limits, here, "MaxNumberOfTrainingJobs", !grid, 1, kRandomMax);
    job.parallel_max = static_cast<uint32_t>(
        reader.Integer(*limits, here, "MaxParallelTrainingJobs", true, 1, kParallelMax).value_or(1));
    job.max_runtime_s = reader.Integer(*limits, here, "MaxRuntimeInSeconds", false, 120, 15768000).value_or(0);
    job.jobs_max = static_cast<uint32_t>(jobs_max.value_or(1));
    if (grid) CheckGrid(reader, *limits, job, jobs_max);
  }
}

}  // namespace

TuningJobCheck CheckTuningJob(const Json& request) {
  TuningJobCheck check;
  RequestReader reader;
  TuningJob& job = check.job;
  if (!request.is_object()) {
    reader.Problem("request", &request, "must be an object: a CreateHyperParameterTuningJob request");
    check.problems = std::move(reader.problems);
    return check;
  }
  static const std::set<std::string> known = {"HyperParameterTuningJobName",
                                              "HyperParameterTuningJobConfig",
                                              "TrainingJobDefinition",
                                              "TrainingJobDefinitions",
                                              "WarmStartConfig",
                                              "Tags",
                                              "Autotune"};
  for (const auto& [name, value] : request.items()) {
    if (!known.count(name))
      job.warnings.push_back("'" + name + "' is no member of CreateHyperParameterTuningJob and is ignored");
  }
  for (const char* later : {"TrainingJobDefinitions", "WarmStartConfig", "Autotune"}) {
    if (request.contains(later))
      reader.Problem(later, &request[later], "comes in a later version of Leat; leave it out");
  }
  job.request = request;
  job.name = reader.Text(request, "", "HyperParameterTuningJobName", true, 1024);
  if (!job.name.empty() && !IsJobName(job.name, kNameMax)) {
    reader.Problem("HyperParameterTuningJobName", &request["HyperParameterTuningJobName"],
                   "must have 1 to 32 letters, digits and hyphens, with no hyphen at either end");
  }
  const Json* definition = reader.Object(request, "", "TrainingJobDefinition", true);
  job.definition = definition ? *definition : Json::object();
  ReadConfig(reader, request, job);
  if (definition) {
    // What is wrong with every child is wrong with the definition: told once, before any job starts.
    for (auto& problem : CheckTrainingJob(ChildRequest(job, "child", {})).problems) {
      if (problem.path.rfind("HyperParameters", 0) == 0) problem.path = "Static" + problem.path;
      problem.path = "TrainingJobDefinition." + problem.path;
      reader.problems.push_back(std::move(problem));
    }
  }
  check.problems = std::move(reader.problems);
  return check;
}

Json ChildRequest(const TuningJob& job, const std::string& name, const std::map<std::string, std::string>& tuned) {
  Json child = job.definition;
  child["TrainingJobName"] = name;
  Json hyperparameters = child.value("StaticHyperParameters", Json::object());
  if (hyperparameters.is_null()) hyperparameters = Json::object();
  for (const char* member : {"StaticHyperParameters", "DefinitionName", "TuningObjective", "HyperParameterRanges"}) {
    child.erase(member);
  }
  if (hyperparameters.is_object()) {
    for (const auto& [key, value] : tuned) hyperparameters[key] = value;
    hyperparameters["_tuning_objective_metric"] = job.objective;
  }
  child["HyperParameters"] = std::move(hyperparameters);
  if (job.request.contains("Tags")) child["Tags"] = job.request["Tags"];
  return child;
}

std::string ChildName(const TuningJob& job, uint64_t seed, uint32_t number) {
  char tail[24];
  const auto digits = static_cast<uint32_t>(Random(seed, number).Next() >> 32);
  std::snprintf(tail, sizeof tail, "-%03u-%08x", number, digits);
  return job.name + tail;
}

}  // namespace leat
