// SPDX-License-Identifier: Apache-2.0
#include "tuner/tuning_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "base/random.h"
#include "jobs/metrics.h"
#include "jobs/sandbox.h"
#include "jobs/volume.h"
#include "policy/search.h"

namespace leat::tuner {
namespace {

using jobs::Event;
using jobs::JobKind;

constexpr std::chrono::milliseconds kPoll{200};  // how soon a stop is seen
constexpr std::chrono::milliseconds kStopRequestPoll{500};

// The children's observer: one call at a time, whichever thread it comes from.
class SerialObserver final : public jobs::RunObserver {
 public:
  explicit SerialObserver(jobs::RunObserver& observer) : observer_(observer) {}
  void OnStatus(const std::string& job, const std::string& secondary, const std::string& message) override {
    std::lock_guard lock(mutex_);
    observer_.OnStatus(job, secondary, message);
  }
  void OnLogLine(const std::string& job, std::string_view line) override {
    std::lock_guard lock(mutex_);
    observer_.OnLogLine(job, line);
  }
  void OnMetric(const std::string& job, const std::string& name, double value) override {
    std::lock_guard lock(mutex_);
    observer_.OnMetric(job, name, value);
  }
  void OnWarning(const std::string& job, const std::string& text) override {
    std::lock_guard lock(mutex_);
    observer_.OnWarning(job, text);
  }

 private:
  std::mutex mutex_;  // what it protects is the display; the calls under it are short
  jobs::RunObserver& observer_;
};

class TuningRun {
 public:
  TuningRun(const TuningJob& job, const jobs::RunOptions& options, const jobs::RunServices& services, uint64_t seed)
      : job_(job), options_(options), services_(services), observer_(services.observer), seed_(seed) {
    options_.tuning_job = job.name;
  }

  Status Run() {
    const auto started = std::chrono::steady_clock::now();
    auto polled = started;
    uint32_t number = 0;
    bool stop_requested = false;
    std::vector<policy::Suggestion> suggestions;
    std::unique_lock lock(mutex_);
    for (;;) {
      const auto now = std::chrono::steady_clock::now();
      if (!stop_requested && now - polled >= kStopRequestPoll) {
        polled = now;
        lock.unlock();
        stop_requested = StopRequested();
        lock.lock();
      }
      const bool out_of_time = job_.max_runtime_s > 0 && now - started >= std::chrono::seconds(job_.max_runtime_s);
      const int level = std::max(services_.stop.load(), stop_requested || out_of_time ? 1 : 0);
      if (level > 0 && stop_ == 0 && !out_of_time) {
        lock.unlock();
        Record("status", {{"secondary", "Stopping"}, {"message", "Stopping the tuning job"}});
        lock.lock();
      }
      if (level > 0 && !out_of_time) stopped_ = true;
      if (level > stop_) stop_ = level;
      if (running_ == 0 && (stop_ > 0 || number >= job_.jobs_max || !broken_)) break;
      if (stop_ == 0 && broken_ && number < job_.jobs_max && running_ < job_.parallel_max) {
        auto suggestion = policy::Suggest(job_, seed_, number, suggestions);
        if (!suggestion) break;
        suggestions.push_back(*suggestion);
        ++number;
        ++running_;
        lock.unlock();
        Launch(number, *suggestion);
        lock.lock();
        continue;
      }
      changed_.wait_for(lock, kPoll);
    }
    lock.unlock();
    threads_.clear();  // joins
    return broken_;
  }
  bool stopped() const { return stopped_; }

 private:
  bool StopRequested() const {
    const auto events = services_.store.Events(JobKind::kTuning, job_.name);
    return events && jobs::Fold(*events).stop_requested;
  }
  void Record(const std::string& kind, Json body) {
    const Status status =
        services_.store.Append(JobKind::kTuning, job_.name, {kind, jobs::WallTimeNs(), std::move(body)});
    if (!status) LogError("tuning job " + job_.name + ": " + status.error().message);
  }

  void Launch(uint32_t number, const policy::Suggestion& suggestion) {
    const std::string name = ChildName(job_, seed_, number);
    Record("trial", {{"number", number}, {"job", name}, {"tuned", suggestion}});
    threads_.emplace_back([this, name, child = CheckTrainingJob(ChildRequest(job_, name, suggestion))] {
      jobs::RunServices services{services_.store, services_.file_systems, services_.repositories, observer_, stop_};
      const Status status = RunChild(child, name, services);
      std::lock_guard lock(mutex_);
      // A child that cannot be created at all would be followed by others like it.
      if (!status && broken_) broken_ = status;
      --running_;
      changed_.notify_all();
    });
  }

  Status RunChild(const TrainingJobCheck& child, const std::string& name, const jobs::RunServices& services) {
    try {
      LEAT_RETURN_IF_ERROR(StatusOf(child.problems, name));
      LEAT_RETURN_IF_ERROR(jobs::RunTrainingJob(child.job, options_, services));
      return {};
    } catch (const std::exception& error) {
      return Fail(ErrorCode::kInternal, name + " ended by an exception of Leat's: " + error.what());
    }
  }

  const TuningJob& job_;
  jobs::RunOptions options_;
  const jobs::RunServices& services_;
  SerialObserver observer_;
  const uint64_t seed_;
  jobs::StopLevel stop_{0};
  bool stopped_ = false;  // by somebody, not by MaxRuntimeInSeconds
  std::mutex mutex_;      // protects running_ and broken_
  std::condition_variable changed_;
  uint32_t running_ = 0;
  Status broken_;
  std::vector<std::jthread> threads_;  // last: joined before what they use goes
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

Result<Study> RunTuningJob(const TuningJob& job, const jobs::RunOptions& options, const jobs::RunServices& services) {
  // Everything that every child would stumble over is found before the first.
  const auto child = CheckTrainingJob(ChildRequest(job, job.name, {})).job;
  LEAT_RETURN_IF_ERROR(jobs::MetricReader::Make(child.metrics));
  if (options.sandbox) LEAT_RETURN_IF_ERROR(jobs::CheckSandbox());
  const Error exists{ErrorCode::kExists, "ResourceInUse: A hyperparameter tuning job with the name, " + job.name +
                                             ", already exists. Choose a different name. (leat jobs describe " +
                                             job.name + " shows the one that has it)"};
  // Held to the end; before the job is in the store, where one that nobody holds counts as abandoned.
  const auto lock = jobs::TakeJobLock(jobs::TuningLockPath(options.state_directory, job.name));
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
    end = {{"status", "Failed"}, {"failure_reason", "a training job could not be created: " + status.error().message}};
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
    }
    study.trials.push_back(std::move(trial));
  }
  return study;
}

}  // namespace leat::tuner
