// SPDX-License-Identifier: Apache-2.0
#include "tuner/tuning_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <thread>

#include "base/log.h"
#include "base/random.h"
#include "jobs/job_follower.h"
#include "jobs/metrics.h"
#include "jobs/sandbox.h"
#include "jobs/volume.h"
#include "policy/search.h"

namespace leat::tuner {
namespace {

using jobs::Event;
using jobs::JobKind;

constexpr std::chrono::milliseconds kPoll{50};
constexpr std::chrono::milliseconds kLookAfter{500};  // how soon another process's stop is seen

class TuningRun {
 public:
  TuningRun(const TuningJob& job, const jobs::RunOptions& options, const TunerServices& services, uint64_t seed)
      : job_(job), options_(options), services_(services), seed_(seed) {
    options_.tuning_job = job.name;
  }

  Status Run() {
    const auto started = std::chrono::steady_clock::now();
    auto looked_after = started;
    uint32_t number = 0;
    std::vector<policy::Suggestion> suggestions;
    Status broken;
    for (;;) {
      const auto now = std::chrono::steady_clock::now();
      if (now - looked_after >= kLookAfter) {
        looked_after = now;
        // The training jobs outlive whoever runs them: somebody must go on with them.
        if (const Status woken = services_.submitter.Wake(); !woken) LogWarning(woken.error().message);
        stop_requested_ = stop_requested_ || StopRequested();
      }
      const bool out_of_time = job_.max_runtime_s > 0 && now - started >= std::chrono::seconds(job_.max_runtime_s);
      const int level = std::max(services_.stop.load(), stop_requested_ || out_of_time ? 1 : 0);
      if (level > stop_ && !out_of_time) {
        if (stop_ == 0) Record("status", {{"secondary", "Stopping"}, {"message", "Stopping the tuning job"}});
        stopped_ = true;
      }
      if (level > stop_) StopChildren(level);
      if (const Status followed = FollowChildren(); !followed) {
        StopChildren(1);
        return followed;
      }
      if (children_.empty() && (stop_ > 0 || number >= job_.jobs_max || !broken)) return broken;
      bool launched = false;
      if (stop_ == 0 && broken && number < job_.jobs_max && children_.size() < job_.parallel_max) {
        auto suggestion = policy::Suggest(job_, seed_, number, suggestions);
        if (!suggestion) {
          number = job_.jobs_max;  // the grid is at its end
          continue;
        }
        suggestions.push_back(*suggestion);
        // A child that cannot be created at all would be followed by others like it.
        broken = Launch(++number, *suggestion);
        launched = true;
      }
      if (!launched) std::this_thread::sleep_for(kPoll);
    }
  }
  bool stopped() const { return stopped_; }

 private:
  bool StopRequested() const {
    const auto events = services_.store.Events(JobKind::kTuning, job_.name);
    return events && jobs::Fold(*events).stop_level > 0;
  }
  void Record(const std::string& kind, Json body) {
    const Status status =
        services_.store.Append(JobKind::kTuning, job_.name, {kind, jobs::WallTimeNs(), std::move(body)});
    if (!status) LogError("tuning job " + job_.name + ": " + status.error().message);
  }

  void StopChildren(int level) {
    stop_ = level;
    for (const auto& [name, child] : children_) {
      const Status status =
          services_.store.Append(JobKind::kTraining, name, {"stop_requested", jobs::WallTimeNs(), {{"level", level}}});
      if (!status) LogError("training job " + name + ": " + status.error().message);
    }
    if (const Status woken = services_.submitter.Wake(); !woken) LogWarning(woken.error().message);
  }

  Status FollowChildren() {
    for (auto at = children_.begin(); at != children_.end();) {
      const auto has_ended = at->second->Turn();
      if (!has_ended) {  // a store that is busy or full for a moment; the children are told of again then
        if (has_ended.error().code != ErrorCode::kBusy && has_ended.error().code != ErrorCode::kIo &&
            has_ended.error().code != ErrorCode::kNoSpace)
          return Fail(has_ended.error());
        LogWarning("training job " + at->first + ": " + has_ended.error().message);
      }
      at = has_ended.value_or(false) ? children_.erase(at) : std::next(at);
    }
    return {};
  }

  Status Launch(uint32_t number, const policy::Suggestion& suggestion) {
    const std::string name = ChildName(job_, seed_, number);
    Record("trial", {{"number", number}, {"job", name}, {"tuned", suggestion}});
    const TrainingJobCheck child = CheckTrainingJob(ChildRequest(job_, name, suggestion));
    LEAT_RETURN_IF_ERROR(StatusOf(child.problems, name));
    LEAT_RETURN_IF_ERROR(services_.submitter.Submit(child.job, options_));
    children_.emplace(name, std::make_unique<jobs::JobFollower>(services_.store, services_.state_directory, name,
                                                                services_.observer, false));
    return {};
  }

  const TuningJob& job_;
  jobs::RunOptions options_;
  const TunerServices& services_;
  const uint64_t seed_;
  int stop_ = 0;                                                        // told to the children
  bool stop_requested_ = false;                                         // by another process
  bool stopped_ = false;                                                // by somebody, not by MaxRuntimeInSeconds
  std::map<std::string, std::unique_ptr<jobs::JobFollower>> children_;  // that run
};

}  // namespace

const Trial* BestTrial(const Study& study, bool maximize) {
  const Trial* best = nullptr;
  for (const auto& trial : study.trials) {
    if (!trial.objective || !std::isfinite(*trial.objective) || trial.state.status == "Failed") continue;
    if (!best || (maximize ? *trial.objective > *best->objective : *trial.objective < *best->objective)) best = &trial;
  }
  return best;
}

Result<Study> RunTuningJob(const TuningJob& job, const jobs::RunOptions& options, const TunerServices& services) {
  // Everything that every child would stumble over is found before the first.
  const auto child = CheckTrainingJob(ChildRequest(job, job.name, {})).job;
  LEAT_RETURN_IF_ERROR(jobs::MetricReader::Make(child.metrics));
  if (options.sandbox) LEAT_RETURN_IF_ERROR(jobs::CheckSandbox());
  const Error exists{ErrorCode::kExists, "ResourceInUse: A hyperparameter tuning job with the name, " + job.name +
                                             ", already exists. Choose a different name. (leat jobs describe " +
                                             job.name + " shows the one that has it)"};
  // Held to the end; before the job is in the store, where one that nobody holds counts as abandoned.
  const auto lock = jobs::TakeJobLock(jobs::TuningLockPath(services.state_directory, job.name));
  if (!lock && lock.error().code == ErrorCode::kBusy) return Fail(exists);
  if (!lock && lock.error().code != ErrorCode::kNotSupported) return Fail(lock.error());
  if (!lock) LogWarning("tuning job " + job.name + ": " + lock.error().message);
  const int64_t now = jobs::WallTimeNs();
  const uint64_t seed = job.seed.value_or(Random(static_cast<uint64_t>(now)).Next() >> 1);
  const Status created = services.store.Create(
      JobKind::kTuning, job.name,
      {"created", now, {{"request", job.request}, {"seed", seed}, {"supervisor", jobs::ToJson(jobs::ThisProcess())}}});
  if (!created) {
    if (created.error().code != ErrorCode::kExists) return Fail(created.error());
    return Fail(exists);
  }
  TuningRun run(job, options, services, seed);
  const Status status = run.Run();
  LEAT_ASSIGN_OR_RETURN(Study study, LoadStudy(services.store, job.name));
  const bool any = std::any_of(study.trials.begin(), study.trials.end(),
                               [](const Trial& trial) { return trial.is_done && trial.state.status != "Failed"; });
  const std::string first_failed = study.trials.empty() ? job.name : study.trials[0].job_name;
  Json end = {{"status", "Completed"}, {"failure_reason", ""}};
  if (run.stopped()) {
    end["status"] = "Stopped";
  } else if (!status) {
    end = {{"status", "Failed"},
           {"failure_reason", "a training job could not be created or followed: " + status.error().message}};
  } else if (!any) {
    end = {{"status", "Failed"},
           {"failure_reason", "All training jobs failed: leat jobs describe " + first_failed + " tells why"}};
  }
  LEAT_RETURN_IF_ERROR(services.store.Append(JobKind::kTuning, job.name, {"ended", jobs::WallTimeNs(), end}));
  return LoadStudy(services.store, job.name);
}

Result<Study> LoadStudy(jobs::JobStore& store, const std::string& name) {
  LEAT_ASSIGN_OR_RETURN(const auto events, store.Events(JobKind::kTuning, name));
  const jobs::JobState state = jobs::Fold(events);  // status and times; trials are read below
  Study study;
  study.request = state.request;
  study.status = state.status;
  study.failure_reason = state.failure_reason;
  study.created_ns = state.created_ns;
  study.modified_ns = state.modified_ns;
  study.ended_ns = state.ended_ns;
  std::string objective;
  if (const auto* config = &study.request; config->contains("HyperParameterTuningJobConfig")) {
    objective = (*config)["HyperParameterTuningJobConfig"]
                    .value("HyperParameterTuningJobObjective", Json::object())
                    .value("MetricName", "");
  }
  for (const auto& event : events) {
    if (event.kind == "created") study.seed = event.body.value("seed", uint64_t{0});
    if (event.kind != "trial") continue;
    Trial trial;
    trial.number = event.body.value("number", 0u);
    trial.job_name = event.body.value("job", "");
    trial.tuned = event.body.value("tuned", std::map<std::string, std::string>{});
    trial.state.created_ns = event.at_ns;
    if (auto job = store.Load(trial.job_name)) {
      trial.state = std::move(*job);
      trial.is_done = trial.state.IsTerminal();
      LEAT_ASSIGN_OR_RETURN(const auto samples, store.Samples(trial.job_name));
      for (const auto& sample : samples) {
        if (sample.name == objective) trial.objective = sample.value;
      }
    } else if (state.IsTerminal() && job.error().code == ErrorCode::kNotFound) {
      trial.state.status = trial.state.secondary = "Deleted";  // leat jobs delete
      trial.is_done = true;
    }
    study.trials.push_back(std::move(trial));
  }
  return study;
}

}  // namespace leat::tuner
