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
constexpr int64_t kJobsMax = 750, kRandomMax = 10000, kParallelMax = 100, kResourceMax = 20000;
constexpr char kObjectiveHyperparameter[] = "_tuning_objective_metric";
constexpr const char* kResources = "HyperParameterTuningResourceConfig";  // of a definition
constexpr size_t kDefinitionsMax = 10, kDefinitionNameMax = 64, kParentsMax = 5, kInstanceConfigsMax = 6;

// The whole text as a number; strtod's hexadecimal, inf and nan are not among them.
template <class Number>
std::optional<Number> ParseNumber(const std::string& text) {
  Number number{};
  const bool has_plus = text.size() > 1 && text[0] == '+' && text[1] != '-';  // which from_chars does not take
  const auto [end, error] = std::from_chars(text.data() + has_plus, text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if constexpr (std::is_floating_point_v<Number>) {
    if (!std::isfinite(number)) return std::nullopt;
  }
  return number;
}

bool HasNul(const std::string& text) { return text.find('\0') != std::string::npos; }

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
  if (std::ranges::any_of(range.values, HasNul))
    reader.Problem(path + ".Values", &value["Values"], "must not contain NUL, which no argument can have");
  if (std::set<std::string>(range.values.begin(), range.values.end()).size() != range.values.size()) {
    reader.Problem(path + ".Values", &value["Values"], "must not repeat a value");
  }
}

// LeatActiveFor {Name, Values}: of another range of the definition, a categorical one that is always active.
void ReadCondition(RequestReader& reader, const Json& value, const std::string& path, ParameterRange& range) {
  const Json* condition = reader.Object(value, path, "LeatActiveFor", false);
  if (!condition) return;
  range.parent = reader.Text(*condition, path + ".LeatActiveFor", "Name", true, kTextMax);
  range.parent_values = reader.TextList(*condition, path + ".LeatActiveFor", "Values", kValuesMax, kTextMax);
  if (range.parent_values.empty())
    reader.Problem(path + ".LeatActiveFor.Values", condition, "a list of values of the other range is required");
}

void CheckConditions(RequestReader& reader, const std::string& path, const std::vector<ParameterRange>& ranges) {
  for (const auto& range : ranges) {
    if (range.parent.empty()) continue;
    const Json shown = range.parent;
    const std::string here = path + " (" + range.name + ").LeatActiveFor";
    const auto parent = std::ranges::find(ranges, range.parent, &ParameterRange::name);
    if (parent == ranges.end() || parent->kind != ParameterRange::Kind::kCategorical || !parent->parent.empty()) {
      reader.Problem(here + ".Name", &shown,
                     "must name a CategoricalParameterRange without a LeatActiveFor of its own");
      continue;
    }
    for (const auto& value : range.parent_values) {
      const Json wrong = value;
      if (std::ranges::find(parent->values, value) == parent->values.end())
        reader.Problem(here + ".Values", &wrong, "is no value of " + range.parent);
    }
  }
}

std::set<std::string> FixedNames(const TuningDefinition& definition) {
  std::set<std::string> names = {kObjectiveHyperparameter};
  const auto fixed = definition.request.find("StaticHyperParameters");
  if (fixed != definition.request.end() && fixed->is_object()) {
    for (const auto& [name, value] : fixed->items()) names.insert(name);
  }
  return names;
}

// Grid tries every combination: categorical values and whole numbers. 0: there was a problem.
uint64_t CountGrid(RequestReader& reader, const std::string& path, const TuningDefinition& definition) {
  uint64_t combinations = 1;
  for (const auto& range : definition.ranges) {
    const Json shown = range.name;
    if (range.kind == ParameterRange::Kind::kContinuous) {
      reader.Problem(path + ".ContinuousParameterRanges", &shown,
                     "Grid cannot enumerate a continuous range; give the values as a CategoricalParameterRange");
      return 0;
    }
    if (!range.parent.empty()) {
      reader.Problem(path, &shown,
                     "Grid takes no LeatActiveFor; give each case as one of several TrainingJobDefinitions");
      return 0;
    }
    const uint64_t count = range.kind == ParameterRange::Kind::kCategorical
                               ? range.values.size()
                               : static_cast<uint64_t>(std::max<int64_t>(0, range.integer_max - range.integer_min)) + 1;
    combinations = count > kGridMax || combinations > kGridMax ? kGridMax + 1 : combinations * count;
  }
  return combinations;
}

void ReadObjective(RequestReader& reader, const Json& parent, const std::string& parent_path, const char* member,
                   TuningDefinition& definition) {
  const std::string path = RequestReader::Join(parent_path, member);
  const Json* objective = reader.Object(parent, parent_path, member, true);
  if (!objective) return;
  definition.maximize =
      reader.Choice(*objective, path, "Type", true, {"Maximize", "Minimize"}, "Maximize") == "Maximize";
  definition.objective = reader.Text(*objective, path, "MetricName", true, 255);
  RequestReader unheard;  // problems of the definition are told by CheckTrainingJob
  const auto algorithm = definition.request.find("AlgorithmSpecification");
  if (definition.objective.empty() || algorithm == definition.request.end() || !algorithm->is_object()) return;
  const auto metrics = ReadMetricDefinitions(unheard, *algorithm, "");
  if (std::ranges::none_of(metrics, [&](const auto& metric) { return metric.name == definition.objective; })) {
    reader.Problem(path + ".MetricName", &(*objective)["MetricName"],
                   "must be the Name of one of the definition's AlgorithmSpecification.MetricDefinitions");
  }
}

// What is wrong with every child is wrong with the definition: told once, before any job starts.
void CheckChildren(RequestReader& reader, const TuningJob& job, const TuningDefinition& definition,
                   const std::string& path) {
  std::map<std::string, std::string> tuned;  // with a value of each range
  for (const auto& range : definition.ranges)
    tuned[range.name] = range.values.empty() ? range.min_text : range.values.front();
  TrainingJobCheck check = CheckTrainingJob(ChildRequest(job, definition, "child", tuned));
  for (auto& problem : check.problems) {
    if (problem.path == "HyperParameters") {
      problem.rule += ", StaticHyperParameters and ranges together";
    } else if (problem.path.starts_with("HyperParameters")) {
      problem.path = "Static" + problem.path;
    }
    if (!problem.path.starts_with("Tags")) problem.path = path + "." + problem.path;
    reader.problems.push_back(std::move(problem));
  }
  reader.known.AddBelow(path, check.known);
  for (const char* of_the_child : {"TrainingJobName", "HyperParameters"}) reader.known.Remove(path, of_the_child);
  reader.Accept(path,
                {"DefinitionName", "TuningObjective", "HyperParameterRanges", "StaticHyperParameters", kResources});
}

// HyperParameterTuningResourceConfig: in place of ResourceConfig, with the instances themselves or a list of which the
// first counts.
void CheckResources(RequestReader& reader, const TuningDefinition& definition, const std::string& path) {
  const auto resources = definition.request.find(kResources);
  if (resources == definition.request.end()) return;
  const std::string here = path + "." + kResources;
  reader.Accept(here, {"InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId", "AllocationStrategy",
                       "InstanceConfigs"});
  reader.Accept(here + ".InstanceConfigs[0]", {"InstanceType", "InstanceCount", "VolumeSizeInGB"});
  if (definition.request.contains("ResourceConfig"))
    reader.Problem(here, &*resources, "is given in place of ResourceConfig, not beside it");
  if (!resources->is_object()) {
    reader.Problem(here, &*resources, "must be an object");
  } else if (resources->contains("InstanceConfigs")) {
    const Json* list = reader.Array(*resources, here, "InstanceConfigs", true, 1, kInstanceConfigsMax);
    if (list && !list->front().is_object())
      reader.Problem(here + ".InstanceConfigs[0]", &list->front(), "must be an object");
  }
}

Json ResourcesOf(const Json& given) {
  Json resources = given;
  if (!given.is_object()) return resources;
  const auto list = given.find("InstanceConfigs");
  if (list != given.end() && list->is_array() && !list->empty() && list->front().is_object())
    resources.update(list->front());
  resources.erase("InstanceConfigs");
  resources.erase("AllocationStrategy");
  return resources;
}

// TrainingJobDefinition with the objective and ranges of the tuning job, or TrainingJobDefinitions with their own.
void ReadDefinitions(RequestReader& reader, const Json& request, const Json& config, TuningJob& job) {
  const std::string config_path = "HyperParameterTuningJobConfig";
  const bool has_many = request.contains("TrainingJobDefinitions");
  if (has_many == request.contains("TrainingJobDefinition")) {
    reader.Problem("TrainingJobDefinition", has_many ? &request["TrainingJobDefinition"] : nullptr,
                   "is required, or TrainingJobDefinitions is, and not both");
    return;
  }
  if (!has_many) {
    const Json* one = reader.Object(request, "", "TrainingJobDefinition", true);
    if (!one) return;
    TuningDefinition& definition = job.definitions.emplace_back();
    definition.request = *one;
    ReadObjective(reader, config, config_path, "HyperParameterTuningJobObjective", definition);
    const bool has_own = one->contains("HyperParameterRanges") && !config.contains("ParameterRanges");
    const std::string path = has_own ? "TrainingJobDefinition" : config_path;
    const char* member = has_own ? "HyperParameterRanges" : "ParameterRanges";
    if (const Json* ranges = reader.Object(has_own ? *one : config, path, member, true))
      definition.ranges = ReadParameterRanges(reader, *ranges, path + "." + member, FixedNames(definition));
    if (config.contains("ParameterRanges") && one->contains("HyperParameterRanges")) {
      reader.Problem("TrainingJobDefinition.HyperParameterRanges", nullptr,
                     "must not be given beside HyperParameterTuningJobConfig.ParameterRanges");
    }
    if (const auto own = one->find("TuningObjective");
        own != one->end() && *own != config.value("HyperParameterTuningJobObjective", Json())) {
      reader.Problem("TrainingJobDefinition.TuningObjective", &*own,
                     "must be left out or equal HyperParameterTuningJobConfig.HyperParameterTuningJobObjective");
    }
    CheckResources(reader, definition, "TrainingJobDefinition");
    CheckChildren(reader, job, definition, "TrainingJobDefinition");
    return;
  }
  const Json* list = reader.Array(request, "", "TrainingJobDefinitions", true, 1, kDefinitionsMax);
  if (!list) return;
  for (const char* member : {"ParameterRanges", "HyperParameterTuningJobObjective"}) {
    if (config.contains(member))
      reader.Problem(config_path + "." + member, &config[member], "belongs into each of the TrainingJobDefinitions");
  }
  std::set<std::string> names;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string path = "TrainingJobDefinitions[" + std::to_string(i) + "]";
    const Json& one = (*list)[i];
    if (!one.is_object()) {
      reader.Problem(path, &one, "must be an object");
      continue;
    }
    TuningDefinition& definition = job.definitions.emplace_back();
    definition.request = one;
    definition.name = reader.Text(one, path, "DefinitionName", true, kDefinitionNameMax);
    if (!definition.name.empty() &&
        (!IsJobName(definition.name, kDefinitionNameMax) || !names.insert(definition.name).second)) {
      reader.Problem(path + ".DefinitionName", &one["DefinitionName"],
                     "must have letters, digits and hyphens, and be no other definition's");
    }
    ReadObjective(reader, one, path, "TuningObjective", definition);
    if (const Json* ranges = reader.Object(one, path, "HyperParameterRanges", true))
      definition.ranges = ReadParameterRanges(reader, *ranges, path + ".HyperParameterRanges", FixedNames(definition));
    if (definition.maximize != job.definitions.front().maximize) {
      reader.Problem(path + ".TuningObjective.Type", &one,
                     "must be the same for all definitions: their jobs are compared with each other");
    }
    CheckResources(reader, definition, path);
    CheckChildren(reader, job, definition, path);
  }
}

// The epochs that a script runs if nobody stops it, by the names that the service knows them.
std::optional<int64_t> EpochsOf(const TuningDefinition& definition) {
  const Json fixed = definition.request.value("StaticHyperParameters", Json::object());
  for (const char* name : {"epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs"}) {
    if (!fixed.is_object() || !fixed.contains(name) || !fixed[name].is_string()) continue;
    if (const auto epochs = ParseNumber<int64_t>(fixed[name].get<std::string>()); epochs && *epochs >= 1) return epochs;
  }
  return std::nullopt;
}

void ReadHyperband(RequestReader& reader, const Json& config, TuningJob& job) {
  const std::string path = "HyperParameterTuningJobConfig.StrategyConfig";
  const Json* strategy = reader.Object(config, "HyperParameterTuningJobConfig", "StrategyConfig", false);
  if (job.strategy != TuningJob::Strategy::kHyperband) {
    if (strategy && strategy->contains("HyperbandStrategyConfig"))
      reader.Problem(path + ".HyperbandStrategyConfig", &(*strategy)["HyperbandStrategyConfig"],
                     "needs Strategy Hyperband");
    return;
  }
  const Json* hyperband = strategy ? reader.Object(*strategy, path, "HyperbandStrategyConfig", false) : nullptr;
  const std::string here = path + ".HyperbandStrategyConfig";
  const Json none = Json::object();
  const Json& given = hyperband ? *hyperband : none;
  const auto min = reader.Integer(given, here, "MinResource", false, 1, kResourceMax);
  auto max = reader.Integer(given, here, "MaxResource", false, 1, kResourceMax);
  if (!max && given.contains("MaxResource")) return;  // and it is told what is wrong with it
  if (!max && !job.definitions.empty()) {
    max = EpochsOf(job.definitions.front());
    if (std::ranges::any_of(job.definitions, [&](const auto& definition) { return EpochsOf(definition) != max; }))
      max = std::nullopt;
    if (max && *max > kResourceMax) {
      const Json shown = *max;
      reader.Problem("StaticHyperParameters (epochs)", &shown, "must be at most 20000 where MaxResource is not given");
      return;
    }
  }
  if (!max) {
    reader.Problem(here + ".MaxResource", nullptr,
                   "give it, or one static hyperparameter epochs, numepochs, n-epochs, n_epochs or num_epochs, the "
                   "same in all definitions");
    return;
  }
  job.min_resource = static_cast<uint32_t>(min.value_or(1));
  job.max_resource = static_cast<uint32_t>(*max);
  if (job.min_resource > job.max_resource) {
    const Json shown = job.min_resource;
    reader.Problem(here + ".MinResource", &shown,
                   "must not be greater than MaxResource " + std::to_string(job.max_resource));
  }
}

void ReadCompletion(RequestReader& reader, const Json& config, TuningJob& job) {
  const std::string path = "HyperParameterTuningJobConfig.TuningJobCompletionCriteria";
  const Json* criteria = reader.Object(config, "HyperParameterTuningJobConfig", "TuningJobCompletionCriteria", false);
  if (!criteria) return;
  if (const Json* target = reader.Member(*criteria, path, "TargetObjectiveMetricValue")) {
    if (target->is_number() && std::isfinite(target->get<double>())) {
      job.target = target->get<double>();
    } else {
      reader.Problem(path + ".TargetObjectiveMetricValue", target, "must be a number");
    }
  }
  if (const Json* best = reader.Object(*criteria, path, "BestObjectiveNotImproving", false)) {
    const auto jobs = reader.Integer(*best, path + ".BestObjectiveNotImproving", "MaxNumberOfTrainingJobsNotImproving",
                                     false, 3, kJobsMax);
    if (jobs) job.not_improving_max = static_cast<uint32_t>(*jobs);
  }
  if (const Json* convergence = reader.Object(*criteria, path, "ConvergenceDetected", false)) {
    job.completes_on_convergence = reader.Choice(*convergence, path + ".ConvergenceDetected", "CompleteOnConvergence",
                                                 false, {"Disabled", "Enabled"}, "Disabled") == "Enabled";
  }
}

void ReadLimits(RequestReader& reader, const Json& config, TuningJob& job) {
  const Json* limits = reader.Object(config, "HyperParameterTuningJobConfig", "ResourceLimits", true);
  if (!limits) return;
  using Strategy = TuningJob::Strategy;
  const std::string path = "HyperParameterTuningJobConfig.ResourceLimits";
  const int64_t most = job.strategy == Strategy::kRandom ? kRandomMax : kJobsMax;
  const auto jobs_max = reader.Integer(*limits, path, "MaxNumberOfTrainingJobs", false, 1, most);
  const auto parallel_max = reader.Integer(*limits, path, "MaxParallelTrainingJobs", true, 1, kParallelMax);
  job.parallel_max = static_cast<uint32_t>(parallel_max.value_or(1));
  job.max_runtime_s = reader.Integer(*limits, path, "MaxRuntimeInSeconds", false, 120, 15768000).value_or(0);
  if (job.strategy == Strategy::kGrid) {
    uint64_t combinations = 0;
    const std::string ranges_path = job.definitions.size() > 1 || !config.contains("ParameterRanges")
                                        ? "HyperParameterRanges"
                                        : "HyperParameterTuningJobConfig.ParameterRanges";
    for (const auto& definition : job.definitions) {
      const uint64_t of_one = CountGrid(reader, ranges_path, definition);
      if (of_one == 0) return;
      combinations += of_one;
    }
    if (combinations > kGridMax) {
      const Json shown = "over 750";
      reader.Problem(ranges_path, &shown, "Grid takes at most 750 combinations");
    } else if (jobs_max && static_cast<uint64_t>(*jobs_max) != combinations) {
      reader.Problem(path + ".MaxNumberOfTrainingJobs", &(*limits)["MaxNumberOfTrainingJobs"],
                     "must be left out or equal the grid's " + std::to_string(combinations) + " combinations");
    }
    job.jobs_max = static_cast<uint32_t>(combinations);
    job.is_limited_by_jobs = true;
    return;
  }
  if (!limits->contains("MaxNumberOfTrainingJobs") && job.max_runtime_s == 0)
    reader.Problem(path + ".MaxNumberOfTrainingJobs", nullptr, "is required, or MaxRuntimeInSeconds is");
  job.jobs_max = static_cast<uint32_t>(jobs_max.value_or(most));
  job.is_limited_by_jobs = jobs_max.has_value();
  if (jobs_max && job.parallel_max > *jobs_max)
    job.warnings.push_back("MaxParallelTrainingJobs is greater than MaxNumberOfTrainingJobs, which holds");
}

void ReadConfig(RequestReader& reader, const Json& request, TuningJob& job) {
  using Strategy = TuningJob::Strategy;
  const std::string path = "HyperParameterTuningJobConfig";
  const Json* config = reader.Object(request, "", path.c_str(), true);
  if (!config) return;
  reader.Accept(path, {"HyperParameterTuningJobObjective", "ParameterRanges"});
  const std::string strategy =
      reader.Choice(*config, path, "Strategy", false, {"Bayesian", "Random", "Grid", "Hyperband"}, "Bayesian");
  job.strategy = strategy == "Random"      ? Strategy::kRandom
                 : strategy == "Grid"      ? Strategy::kGrid
                 : strategy == "Hyperband" ? Strategy::kHyperband
                                           : Strategy::kBayesian;
  if (const auto seed = reader.Integer(*config, path, "RandomSeed", false, 0, INT64_MAX)) {
    job.seed = static_cast<uint64_t>(*seed);
  }
  ReadDefinitions(reader, request, *config, job);
  job.stops_early =
      reader.Choice(*config, path, "TrainingJobEarlyStoppingType", false, {"Off", "Auto"}, "Off") == "Auto";
  if (job.stops_early && job.strategy == Strategy::kHyperband)
    reader.Problem(path + ".TrainingJobEarlyStoppingType", &(*config)["TrainingJobEarlyStoppingType"],
                   "must be Off with Strategy Hyperband, which stops jobs by itself");
  if (job.stops_early && job.definitions.size() > 1)
    reader.Problem(path + ".TrainingJobEarlyStoppingType", &(*config)["TrainingJobEarlyStoppingType"],
                   "Auto takes one training job definition only");
  ReadHyperband(reader, *config, job);
  ReadCompletion(reader, *config, job);
  ReadLimits(reader, *config, job);
}

void ReadWarmStart(RequestReader& reader, const Json& request, TuningJob& job) {
  const std::string path = "WarmStartConfig";
  const Json* config = reader.Object(request, "", path.c_str(), false);
  if (!config) return;
  using Strategy = TuningJob::Strategy;
  if (job.strategy != Strategy::kBayesian && job.strategy != Strategy::kRandom)
    reader.Problem(path, config, "needs Strategy Bayesian or Random");
  if (job.definitions.size() > 1) reader.Problem(path, config, "takes one training job definition only");
  job.is_transfer =
      reader.Choice(*config, path, "WarmStartType", true, {"IdenticalDataAndAlgorithm", "TransferLearning"},
                    "TransferLearning") == "TransferLearning";
  const Json* parents = reader.Array(*config, path, "ParentHyperParameterTuningJobs", true, 1, kParentsMax);
  for (size_t i = 0; parents && i < parents->size(); ++i) {
    const std::string here = path + ".ParentHyperParameterTuningJobs[" + std::to_string(i) + "]";
    const Json& parent = (*parents)[i];
    if (!parent.is_object()) {
      reader.Problem(here, &parent, "must be an object");
      continue;
    }
    const std::string name = reader.Text(parent, here, "HyperParameterTuningJobName", true, kNameMax);
    if (std::ranges::find(job.warm_start_parents, name) != job.warm_start_parents.end())
      reader.Problem(here, &parent, "is given more than once");
    job.warm_start_parents.push_back(name);
  }
}

}  // namespace

std::vector<ParameterRange> ReadParameterRanges(RequestReader& reader, const Json& ranges, const std::string& path,
                                                std::set<std::string> taken) {
  std::vector<ParameterRange> read;
  const size_t problems_before = reader.problems.size();
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
      if (HasNul(range.name)) reader.Problem(here + ".Name", &value["Name"], "must not contain NUL");
      if (!range.name.empty() && !taken.insert(range.name).second) {
        reader.Problem(here + ".Name", &value["Name"],
                       "is given more than once, or among StaticHyperParameters too, or is Leat's own");
      }
      if (kind == Kind::kCategorical) {
        ReadCategories(reader, value, here, range);
      } else {
        ReadNumericRange(reader, value, here, range);
      }
      ReadCondition(reader, value, here, range);
      read.push_back(std::move(range));
    }
  }
  if (const Json* automatic = reader.Member(ranges, path, "AutoParameters"); automatic && !automatic->empty()) {
    reader.Problem(path + ".AutoParameters", automatic, "is not supported by Leat: give ranges");
  }
  if (read.empty() && reader.problems.size() == problems_before)
    reader.Problem(path, &ranges, "must have at least one range to tune");
  if (read.size() > kRangesMax) reader.Problem(path, &ranges, "must tune at most 30 hyperparameters");
  std::ranges::sort(read, {}, &ParameterRange::name);
  CheckConditions(reader, path, read);
  return read;
}

TuningJobCheck CheckTuningJob(const Json& request) {
  TuningJobCheck check;
  RequestReader reader;
  TuningJob& job = check.job;
  if (!request.is_object()) {
    reader.Problem("request", &request, "must be an object: a CreateHyperParameterTuningJob request");
    check.problems = std::move(reader.problems);
    return check;
  }
  reader.Accept("", {"TrainingJobDefinition", "TrainingJobDefinitions", "Tags", "Autotune"});
  if (request.contains("Autotune"))
    reader.Problem("Autotune", &request["Autotune"], "is not supported by Leat: give ranges and limits");
  job.request = request;
  job.name = reader.Text(request, "", "HyperParameterTuningJobName", true, 1024);
  if (!job.name.empty() && !IsJobName(job.name, kNameMax)) {
    reader.Problem("HyperParameterTuningJobName", &request["HyperParameterTuningJobName"],
                   "must have 1 to 32 letters, digits and hyphens, with no hyphen at either end");
  }
  ReadConfig(reader, request, job);
  ReadWarmStart(reader, request, job);
  for (auto& warning : reader.known.WarningsOf(request, "CreateHyperParameterTuningJob"))
    job.warnings.push_back(std::move(warning));
  check.problems = std::move(reader.problems);
  return check;
}

Json ChildRequest(const TuningJob& job, const TuningDefinition& definition, const std::string& name,
                  const std::map<std::string, std::string>& tuned) {
  Json child = definition.request;
  child["TrainingJobName"] = name;
  Json hyperparameters = child.value("StaticHyperParameters", Json::object());
  if (hyperparameters.is_null()) hyperparameters = Json::object();
  if (child.contains(kResources)) child["ResourceConfig"] = ResourcesOf(child[kResources]);
  for (const char* member :
       {"StaticHyperParameters", "DefinitionName", "TuningObjective", "HyperParameterRanges", kResources}) {
    child.erase(member);
  }
  if (hyperparameters.is_object()) {
    for (const auto& [key, value] : tuned) hyperparameters[key] = value;
    hyperparameters[kObjectiveHyperparameter] = definition.objective;
  }
  child["HyperParameters"] = std::move(hyperparameters);
  if (job.request.contains("Tags")) child["Tags"] = job.request["Tags"];
  return child;
}

std::string ChildName(const TuningJob& job, uint64_t seed, uint32_t number, uint32_t attempt) {
  char tail[24];
  const auto digits = static_cast<uint32_t>(Random(seed, number + (uint64_t{attempt - 1} << 32)).Next() >> 32);
  std::snprintf(tail, sizeof tail, "-%03u-%08x", number, digits);
  return job.name + tail;
}

}  // namespace leat
