// SPDX-License-Identifier: Apache-2.0
#include "tuner/study.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "jobs/event.h"

namespace leat::tuner {
namespace {

using jobs::Event;
using jobs::JobKind;

void ApplyTrial(Study& study, const Event& event) {
  const uint32_t number = event.body.value("number", 0u);
  if (number == 0 || number > study.trials.size() + 1) return;
  if (number > study.trials.size()) study.trials.emplace_back();
  Trial& trial = study.trials[number - 1];
  const uint32_t attempt = trial.number == 0 ? 1 : trial.attempt + 1;
  trial = {};
  trial.number = number;
  trial.attempt = attempt;
  trial.job_name = event.body.value("job", "");
  trial.definition = std::min(event.body.value("definition", size_t{0}), study.job.definitions.size() - 1);
  trial.tuned = event.body.value("tuned", std::map<std::string, std::string>{});
  trial.bracket = event.body.value("bracket", 0u);
  trial.restart = event.body.value("restart", 0u);
  trial.state.created_ns = event.at_ns;
}

void ApplyToTrial(Study& study, const Event& event) {
  const uint32_t number = event.body.value("number", 0u);
  if (number == 0 || number > study.trials.size()) return;
  Trial& trial = study.trials[number - 1];
  if (event.kind == "trial_stopped") {
    trial.stop_reason = event.body.value("reason", "");
    return;
  }
  if (trial.is_done) return;
  trial.is_done = true;
  trial.is_cut = study.stop_level > 0 && event.body.value("status", "") == "Stopped" && trial.stop_reason.empty();
  study.order_of_ends.push_back(number);
  // The rest is the training job's to tell, if there ever was one; but it may be deleted one day.
  if (event.body.value("was_submitted", true)) {
    trial.was_submitted = true;
  } else {
    trial.state.status = trial.state.secondary = event.body.value("status", "Failed");
    trial.state.failure_reason = event.body.value("failure_reason", "");
  }
  if (const auto objective = event.body.find("objective"); objective != event.body.end() && objective->is_number())
    trial.objective = objective->get<double>();
}

void Resume(Study& study, const Event& event) {
  study.ran_before_ns = study.RanNs(event.at_ns);
  study.status = "InProgress";
  study.failure_reason.clear();
  study.completed_by.clear();
  study.stop_level = 0;
  study.ended_ns = std::nullopt;
  study.resumed_ns = event.at_ns;
  for (Trial& trial : study.trials) {
    if (!trial.is_cut) continue;
    trial.is_done = false;
    std::erase(study.order_of_ends, trial.number);
  }
  study.ends_before_resume = study.order_of_ends.size();
}

void Apply(Study& study, const Event& event) {
  if (study.IsTerminal() && event.kind != "resumed") return;
  study.modified_ns = event.at_ns;
  const Json& body = event.body;
  if (event.kind == "created") {
    study.job = CheckTuningJob(body.value("request", Json::object())).job;
    if (study.job.definitions.empty()) study.job.definitions.emplace_back();  // of a version that took other requests
    study.options = body.value("options", Json::object());
    study.seed = body.value("seed", uint64_t{0});
    study.names_seed = body.value("names_seed", study.seed);
    study.created_ns = event.at_ns;
  } else if (event.kind == "trial") {
    ApplyTrial(study, event);
  } else if (event.kind == "trial_stopped" || event.kind == "trial_ended") {
    ApplyToTrial(study, event);
  } else if (event.kind == "schedule") {
    study.schedule = body.value("text", "");
  } else if (event.kind == "converged") {
    study.converged_ns = event.at_ns;
  } else if (event.kind == "completing") {
    study.completed_by = body.value("by", "");
  } else if (event.kind == "stop_requested") {
    study.stop_level = std::max(study.stop_level, body.value("level", 1));
  } else if (event.kind == "status") {
    study.status = body.value("secondary", study.status);
  } else if (event.kind == "exhausted") {
    study.is_exhausted = true;
  } else if (event.kind == "warning") {
    study.warnings.push_back(body.value("text", ""));
  } else if (event.kind == "ended") {
    study.status = body.value("status", "Failed");
    study.failure_reason = body.value("failure_reason", "");
    study.schedule.clear();
    study.ended_ns = event.at_ns;
  } else if (event.kind == "resumed") {
    Resume(study, event);
  }
}

// A training job of that name that somebody else has made is not the trial's.
bool IsOf(const std::vector<Event>& events, const std::string& tuning_job) {
  if (events.empty() || events.front().kind != "created") return true;  // looked at before
  return jobs::Fold({events.front()}).tuning_job == tuning_job;
}

}  // namespace

bool Trial::HasObjective() const { return objective && std::isfinite(*objective) && state.status != "Failed"; }

int64_t Study::RanNs(int64_t now_ns) const {
  return ran_before_ns + ended_ns.value_or(now_ns) - resumed_ns.value_or(created_ns);
}

Status StudyReader::Read() {
  try {
    return ReadEvents();
  } catch (const Json::exception& error) {
    return Fail(ErrorCode::kCorrupt, "an event of the tuning job " + name_ + " is not readable: " + error.what());
  }
}

Status StudyReader::ReadEvents() {
  LEAT_ASSIGN_OR_RETURN(const auto events, store_.Events(JobKind::kTuning, name_, event_));
  for (const auto& event : events) {
    Apply(study_, event);
    event_ = event.sequence;
  }
  children_.resize(study_.trials.size());
  for (size_t i = 0; i < children_.size(); ++i) {
    if (children_[i].job_name != study_.trials[i].job_name) children_[i] = {study_.trials[i].job_name, 0, 0, false};
    if (!children_[i].has_ended) LEAT_RETURN_IF_ERROR(ReadChild(study_.trials[i], children_[i]));
  }
  return {};
}

Status StudyReader::ReadChild(Trial& trial, Child& child) {
  const auto events = store_.Events(JobKind::kTraining, child.job_name, child.event);
  const bool is_there = events ? IsOf(*events, name_) : events.error().code != ErrorCode::kNotFound;
  if (!is_there) {
    if (!trial.is_done) return {};  // it is about to be submitted
    child.has_ended = true;
    if (trial.was_submitted) trial.state.status = trial.state.secondary = "Deleted";
    return {};
  }
  if (!events) return Fail(events.error());
  if (child.event == 0) trial.state = {};
  trial.was_submitted = true;
  for (const auto& event : *events) {
    trial.state = jobs::Apply(std::move(trial.state), event);
    child.event = event.sequence;
  }
  const bool has_ended = trial.state.IsTerminal();  // before the samples are read: none comes behind the end
  LEAT_ASSIGN_OR_RETURN(const auto samples, store_.Samples(child.job_name, child.sample));
  const std::string& metric = study_.job.definitions[trial.definition].objective;
  for (const auto& sample : samples) {
    child.sample = sample.sequence;
    if (sample.name != metric) continue;
    trial.reports.push_back({sample.value, sample.at_ns, sample.sequence});
    trial.objective = sample.value;
  }
  child.has_ended = has_ended;
  return {};
}

Result<Study> LoadStudy(jobs::JobStore& store, const std::string& name) {
  StudyReader reader(store, name);
  LEAT_RETURN_IF_ERROR(reader.Read());
  return reader.study();
}

const Trial* BestTrial(const Study& study) {
  const Trial* best = nullptr;
  for (const auto& trial : study.trials) {
    if (!trial.is_done || !trial.HasObjective()) continue;
    const bool maximize = study.job.definitions[trial.definition].maximize;
    if (!best || (maximize ? *trial.objective > *best->objective : *trial.objective < *best->objective)) best = &trial;
  }
  return best;
}

std::vector<std::optional<double>> ObjectivesInOrder(const Study& study) {
  std::vector<std::optional<double>> objectives;
  for (const uint32_t number : study.order_of_ends) {
    const Trial& trial = study.trials[number - 1];
    objectives.push_back(trial.HasObjective() ? trial.objective : std::nullopt);
  }
  return objectives;
}

search::Completion CompletionOf(const Study& study) {
  return search::JudgeCompletion(ObjectivesInOrder(study), study.job.definitions[0].maximize,
                                 {study.job.target, study.job.not_improving_max.value_or(0),
                                  study.job.completes_on_convergence && study.converged_ns});
}

}  // namespace leat::tuner
