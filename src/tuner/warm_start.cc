// SPDX-License-Identifier: Apache-2.0
#include "tuner/warm_start.h"

#include <algorithm>
#include <map>

#include "tuner/study_report.h"

namespace leat::tuner {
namespace {

std::map<std::string, std::string> FixedHyperparameters(const TuningDefinition& definition) {
  std::map<std::string, std::string> fixed;
  const Json given = definition.request.value("StaticHyperParameters", Json::object());
  if (!given.is_object()) return fixed;
  for (const auto& [name, value] : given.items()) {
    if (value.is_string()) fixed[name] = value.get<std::string>();
  }
  return fixed;
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
  const size_t our_count = ours.ranges.size() + FixedHyperparameters(ours).size();
  const size_t their_count = theirs.ranges.size() + FixedHyperparameters(theirs).size();
  if (our_count != their_count) {
    return refuse("has " + std::to_string(their_count) + " hyperparameters, tuned and static ones together, not " +
                  std::to_string(our_count));
  }
  for (const auto& range : ours.ranges) {
    const auto same = std::ranges::find(theirs.ranges, range.name, &ParameterRange::name);
    if (same != theirs.ranges.end() && same->kind != range.kind)
      return refuse("has a range " + range.name + " of another kind");
    if (same == theirs.ranges.end() && !FixedHyperparameters(theirs).count(range.name))
      return refuse("has no hyperparameter " + range.name);
  }
  return {};
}

search::EarlierStudy TrialsOf(const TuningJob& job, const Study& parent) {
  search::EarlierStudy earlier;
  earlier.maximize = parent.job.definitions[0].maximize;
  earlier.is_same_task = !job.is_transfer;
  const auto fixed = FixedHyperparameters(parent.job.definitions[0]);
  for (const auto& trial : parent.trials) {
    if (!trial.is_done) continue;
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

Result<std::vector<search::EarlierStudy>> LoadWarmStart(const TuningJob& job, jobs::JobStore& store) {
  std::vector<search::EarlierStudy> earlier;
  for (const auto& name : job.warm_start_parents) {
    const auto parent = LoadStudy(store, name);
    if (!parent && parent.error().code == ErrorCode::kNotFound)
      return Fail(ErrorCode::kInvalidArgument, "WarmStartConfig: there is no tuning job " + name);
    if (!parent) return Fail(parent.error());
    LEAT_RETURN_IF_ERROR(CheckFits(job, name, *parent));
    earlier.push_back(TrialsOf(job, *parent));
  }
  return earlier;
}

std::optional<Json> OverallBestTrainingJob(const std::string& name, const Study& study, jobs::JobStore& store) {
  if (study.job.warm_start_parents.empty() || study.job.is_transfer) return std::nullopt;
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
  return best;
}

}  // namespace leat::tuner
