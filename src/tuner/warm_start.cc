// SPDX-License-Identifier: Apache-2.0
#include "tuner/warm_start.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/log.h"
#include "tuner/study_report.h"

namespace leat::tuner {
namespace {

constexpr size_t kChangesMax = 10;

std::map<std::string, std::string> FixedHyperparameters(const TuningDefinition& definition) {
  std::map<std::string, std::string> fixed;
  const Json given = definition.request.value("StaticHyperParameters", Json::object());
  if (!given.is_object()) return fixed;
  for (const auto& [name, value] : given.items()) {
    if (value.is_string()) fixed[name] = value.get<std::string>();
  }
  return fixed;
}

std::set<std::string> NamesOf(const TuningDefinition& definition, const std::map<std::string, std::string>& fixed) {
  std::set<std::string> names;
  for (const auto& range : definition.ranges) names.insert(range.name);
  for (const auto& [name, value] : fixed) names.insert(name);
  return names;
}

Status CheckFits(const TuningJob& job, const std::string& parent_name, const Study& parent) {
  const auto refuse = [&](const std::string& why) {
    return Fail(ErrorCode::kInvalidArgument, "WarmStartConfig: " + parent_name + " " + why);
  };
  if (!parent.IsTerminal()) return refuse("is " + parent.status + ": a parent must have ended");
  if (parent.job.definitions.size() != 1) return refuse("has several training job definitions");
  const TuningDefinition &ours = job.definitions[0], &theirs = parent.job.definitions[0];
  if (ours.objective != theirs.objective)
    return refuse("has the objective " + theirs.objective + ", not " + ours.objective);
  if (ours.maximize != theirs.maximize) return refuse("has an objective of the other Type");
  const auto our_fixed = FixedHyperparameters(ours), their_fixed = FixedHyperparameters(theirs);
  const std::set<std::string> our_names = NamesOf(ours, our_fixed), their_names = NamesOf(theirs, their_fixed);
  if (our_names.size() != their_names.size()) {
    return refuse("has " + std::to_string(their_names.size()) +
                  " hyperparameters, tuned and static ones together, not " + std::to_string(our_names.size()));
  }
  for (const auto& name : our_names) {
    if (!their_names.contains(name)) return refuse("has no hyperparameter " + name);
  }
  size_t changes = 0;  // as the service counts them
  for (const auto& range : ours.ranges) {
    const auto same = std::ranges::find(theirs.ranges, range.name, &ParameterRange::name);
    if (same != theirs.ranges.end() && same->kind != range.kind)
      return refuse("has a range " + range.name + " of another kind");
  }
  for (const auto& [name, value] : our_fixed) {
    const auto fixed = their_fixed.find(name);
    if (fixed == their_fixed.end() || fixed->second != value) ++changes;
  }
  if (changes > kChangesMax) {
    return refuse("has other values of " + std::to_string(changes) + " static hyperparameters; at most " +
                  std::to_string(kChangesMax) + " may change");
  }
  return {};
}

search::EarlierStudy TrialsOf(const TuningJob& job, const Study& parent, int64_t created_ns) {
  search::EarlierStudy earlier;
  earlier.maximize = parent.job.definitions[0].maximize;
  earlier.is_same_task = !job.is_transfer;
  const auto fixed = FixedHyperparameters(parent.job.definitions[0]);
  for (const auto& trial : parent.trials) {
    if (!trial.is_done || trial.state.ended_ns.value_or(trial.state.created_ns) > created_ns) continue;
    search::Trial one;
    for (const auto& range : job.definitions[0].ranges) {
      if (const auto tuned = trial.tuned.find(range.name); tuned != trial.tuned.end()) {
        one.parameters.insert(*tuned);
      } else if (const auto constant = fixed.find(range.name); constant != fixed.end()) {
        one.parameters.insert(*constant);
      }
    }
    one.state = trial.HasObjective() ? search::Trial::State::kCompleted : search::Trial::State::kFailed;
    if (trial.HasObjective()) one.objective = *trial.objective;
    earlier.trials.push_back(std::move(one));
  }
  return earlier;
}

}  // namespace

Status CheckWarmStart(const TuningJob& job, jobs::JobStore& store) {
  for (const auto& name : job.warm_start_parents) {
    const auto parent = LoadStudy(store, name);
    if (!parent && parent.error().code == ErrorCode::kNotFound)
      return Fail(ErrorCode::kInvalidArgument, "WarmStartConfig: there is no tuning job " + name);
    if (!parent) return Fail(parent.error());
    LEAT_RETURN_IF_ERROR(CheckFits(job, name, *parent));
  }
  return {};
}

Result<std::vector<search::EarlierStudy>> LoadWarmStart(const TuningJob& job, jobs::JobStore& store,
                                                        int64_t created_ns) {
  std::vector<search::EarlierStudy> earlier;
  for (const auto& name : job.warm_start_parents) {
    const auto parent = LoadStudy(store, name);
    if (parent) {
      earlier.push_back(TrialsOf(job, *parent, created_ns));
    } else if (parent.error().code == ErrorCode::kNotFound) {
      LogWarning("tuning job " + job.name + ": its parent " + name +
                 " has been deleted; its trials are not known any more");
    } else {
      return Fail(parent.error());
    }
  }
  return earlier;
}

Json DescribeWithParents(const std::string& name, const Study& study, jobs::JobStore& store) {
  Json description = DescribeTuningJob(name, study);
  if (study.job.warm_start_parents.empty() || study.job.is_transfer) return description;
  std::optional<Json> best;
  double objective = 0;
  const auto consider = [&](const std::string& tuning_job, const Study& candidate) {
    const Trial* trial = BestTrial(candidate);
    if (!trial) return;
    const bool maximize = study.job.definitions[0].maximize;
    if (best && (maximize ? *trial->objective <= objective : *trial->objective >= objective)) return;
    objective = *trial->objective;
    best = SummarizeTrial(candidate, *trial);
    (*best)["TuningJobName"] = tuning_job;
  };
  consider(name, study);
  for (const auto& parent : study.job.warm_start_parents) {
    if (const auto loaded = LoadStudy(store, parent)) consider(parent, *loaded);
  }
  if (best) description["OverallBestTrainingJob"] = std::move(*best);
  return description;
}

}  // namespace leat::tuner
