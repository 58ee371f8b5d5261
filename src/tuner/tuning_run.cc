// SPDX-License-Identifier: Apache-2.0
#include "tuner/tuning_run.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <set>
#include <thread>

#include "base/log.h"
#include "base/random.h"
#include "jobs/describe.h"
#include "jobs/launch.h"
#include "jobs/metrics.h"
#include "search/hyperband.h"
#include "search/median_stopping.h"
#include "search/search.h"
#include "tuner/warm_start.h"

namespace leat::tuner {
namespace {

using jobs::JobKind;
using Strategy = TuningJob::Strategy;

constexpr std::chrono::milliseconds kPoll{200};
constexpr std::chrono::milliseconds kAfterFailure{2000};  // of the store or the supervisor
constexpr std::chrono::seconds kLookAtData{2};
constexpr std::chrono::seconds kTellAgain{10};      // why it waits, with later numbers
constexpr std::chrono::seconds kRunAgainAfter{10};  // after each attempt that was lost
constexpr uint32_t kAttemptsMax = 3;                // of a training job that is lost by no fault of its script
constexpr size_t kFailuresInARow = 5;               // from the first on: the others would fail too
constexpr size_t kReasonMax = 600;
// The search has converged when so many jobs for each of its ranges, in a row, have not improved the best by 1 %.
constexpr size_t kConvergedAfter = 2, kRangesMin = 5;

bool IsTransient(ErrorCode code) {
  return code == ErrorCode::kBusy || code == ErrorCode::kIo || code == ErrorCode::kNoSpace ||
         code == ErrorCode::kTimedOut || code == ErrorCode::kUnavailable;
}

class TuningRun {
 public:
  TuningRun(const std::string& name, const TunerServices& services)
      : name_(name), services_(services), reader_(services.store, name) {}

  Result<Study> Run() {
    for (;;) {
      const Status turned = Turn();
      if (!turned && !IsTransient(turned.error().code)) return Fail(turned.error());
      const std::string failure = turned ? "" : turned.error().message;
      if (!failure.empty() && failure != told_failure_)
        LogWarning("tuning job " + name_ + ": " + failure + "; it is tried again");
      told_failure_ = failure;
      if (study().IsTerminal()) return study();
      const auto until = std::chrono::steady_clock::now() + (turned ? kPoll : kAfterFailure);
      while (!services_.leave && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(kPoll / 4);
      if (services_.leave) return study();
    }
  }

 private:
  const Study& study() const { return reader_.study(); }
  const TuningJob& job() const { return study().job; }
  bool IsEnding() const { return study().stop_level > 0 || !study().completed_by.empty(); }

  // In the store, and thereby in the study.
  Status Record(const std::string& kind, Json body) {
    LEAT_RETURN_IF_ERROR(services_.store.Append(JobKind::kTuning, name_, {kind, jobs::WallTimeNs(), std::move(body)}));
    return reader_.Read();
  }

  Status Turn() {
    LEAT_RETURN_IF_ERROR(reader_.Read());
    if (study().IsTerminal()) return {};
    if (!is_begun_) LEAT_RETURN_IF_ERROR(Begin());
    LEAT_RETURN_IF_ERROR(TakeEnds());
    LEAT_RETURN_IF_ERROR(JudgeReports());
    LEAT_RETURN_IF_ERROR(LookAtCriteria());
    LEAT_RETURN_IF_ERROR(StopJobs());
    LEAT_RETURN_IF_ERROR(Launch());
    return EndIfDone();
  }

  // What is computed from the study, not kept in it.
  Status Begin() {
    if (job().strategy == Strategy::kHyperband) {
      hyperband_.emplace(search::HyperbandOptions{job().min_resource, job().max_resource, job().definitions[0].maximize,
                                                  study().seed});
    }
    if (job().stops_early) median_.emplace(job().definitions[0].maximize);
    LEAT_ASSIGN_OR_RETURN(earlier_, LoadWarmStart(job(), services_.store, study().created_ns));
    is_begun_ = true;
    return {};
  }

  static bool IsLost(const Trial& trial) {
    return trial.state.status == "Failed" && trial.state.failure_reason.rfind("InternalServerError", 0) == 0;
  }

  Status TakeEnds() {
    for (size_t i = 0; i < study().trials.size(); ++i) {
      const Trial& trial = study().trials[i];
      if (trial.is_done || trial.is_cut || !trial.state.IsTerminal()) continue;
      if (IsLost(trial) && trial.attempt < kAttemptsMax && !IsEnding()) {
        if (jobs::WallTimeNs() - *trial.state.ended_ns >= std::chrono::nanoseconds(kRunAgainAfter).count())
          LEAT_RETURN_IF_ERROR(RunAgain(trial));
        continue;
      }
      Json ended = {
          {"number", trial.number}, {"status", trial.state.status}, {"failure_reason", trial.state.failure_reason}};
      if (trial.HasObjective()) ended["objective"] = *trial.objective;
      LEAT_RETURN_IF_ERROR(Record("trial_ended", std::move(ended)));
    }
    return {};
  }

  Status RunAgain(const Trial& trial) {
    const std::string name = ChildName(job(), study().names_seed, trial.number, trial.attempt + 1);
    return Record("trial", TrialJson(trial, name));
  }

  static Json TrialJson(const Trial& trial, const std::string& job) {
    return {{"number", trial.number},         {"job", job},
            {"definition", trial.definition}, {"tuned", trial.tuned},
            {"bracket", trial.bracket},       {"restart", trial.restart}};
  }

  // Each report once, in the order in which they came, also those of an earlier process: its decisions follow again.
  Status JudgeReports() {
    if (!hyperband_ && !median_) return {};
    struct Due {
      int64_t sequence;
      size_t trial, report;
    };
    std::vector<Due> due;
    for (size_t i = 0; i < study().trials.size(); ++i) {
      const Trial& trial = study().trials[i];
      size_t& judged = judged_[trial.job_name];
      for (; judged < trial.reports.size(); ++judged) due.push_back({trial.reports[judged].sequence, i, judged});
    }
    std::ranges::sort(due, {}, &Due::sequence);
    for (const Due& next : due) {
      const Trial& trial = study().trials[next.trial];
      const auto count = static_cast<uint32_t>(next.report + 1);
      const double value = trial.reports[next.report].value;
      const search::StopDecision decision =
          hyperband_ ? hyperband_->Report(trial.number, count, value) : median_->Report(trial.number, count, value);
      if (!decision.stop || !trial.stop_reason.empty() || trial.is_done || trial.state.IsTerminal()) continue;
      LEAT_RETURN_IF_ERROR(Record("trial_stopped", {{"number", trial.number}, {"reason", decision.reason}}));
    }
    for (; median_ && completed_ < study().order_of_ends.size(); ++completed_) {
      const Trial& trial = study().trials[study().order_of_ends[completed_] - 1];
      if (trial.state.status == "Completed") median_->Completed(trial.number);
    }
    return {};
  }

  // Jobs that came to their own end, without an objective.
  size_t FailuresSinceResume() const {
    return static_cast<size_t>(
        std::ranges::count_if(study().order_of_ends.begin() + static_cast<std::ptrdiff_t>(study().ends_before_resume),
                              study().order_of_ends.end(),
                              [&](uint32_t number) { return study().trials[number - 1].state.status != "Stopped"; }));
  }

  Status Complete(const std::string& by) { return Record("completing", {{"by", by}}); }

  Status LookAtCriteria() {
    if (IsEnding()) return {};
    if (job().max_runtime_s > 0 && study().RanNs(jobs::WallTimeNs()) >= job().max_runtime_s * 1'000'000'000)
      return Complete("MaxRuntimeInSeconds");
    if (!BestTrial(study()) && FailuresSinceResume() >= kFailuresInARow) return Complete("AllTrainingJobsFailed");
    if (!study().converged_ns && CompletionOf(study()).not_improving >= kConvergedAfter * RangesMax())
      LEAT_RETURN_IF_ERROR(Record("converged", Json::object()));
    const auto completion = CompletionOf(study());
    if (!completion.reached) return {};
    return Complete(*completion.reached == search::Completion::Criterion::kTarget         ? "TargetObjectiveMetricValue"
                    : *completion.reached == search::Completion::Criterion::kNotImproving ? "BestObjectiveNotImproving"
                                                                                          : "ConvergenceDetected");
  }

  size_t RangesMax() const {
    size_t most = kRangesMin;
    for (const auto& definition : job().definitions) most = std::max(most, definition.ranges.size());
    return most;
  }

  // Training jobs that shall stop and have not been told. After a stop at once too: a child hears of each level once.
  Status StopJobs() {
    if (study().stop_level > 0 && study().status != "Stopping")
      LEAT_RETURN_IF_ERROR(Record("status", {{"secondary", "Stopping"}}));
    bool is_told = false;
    for (size_t i = 0; i < study().trials.size(); ++i) {
      const Trial& trial = study().trials[i];
      if (trial.is_done || trial.state.IsTerminal()) continue;
      const int level = std::max(study().stop_level, IsEnding() || !trial.stop_reason.empty() ? 1 : 0);
      if (level == 0) continue;
      if (!trial.was_submitted) {
        LEAT_RETURN_IF_ERROR(
            Record("trial_ended", {{"number", trial.number}, {"status", "Stopped"}, {"was_submitted", false}}));
      } else if (trial.state.stop_level < level) {
        LEAT_RETURN_IF_ERROR(services_.store.Append(JobKind::kTraining, trial.job_name,
                                                    {"stop_requested", jobs::WallTimeNs(), {{"level", level}}}));
        is_told = true;
      }
    }
    return is_told ? services_.submitter.Wake() : Status();
  }

  size_t RunningCount() const {
    return static_cast<size_t>(
        std::ranges::count_if(study().trials, [](const Trial& trial) { return !trial.is_done; }));
  }
  bool IsAllLaunched() const { return study().is_exhausted || study().trials.size() >= job().jobs_max; }

  Status Launch() {
    if (IsEnding()) return {};
    for (size_t i = 0; i < study().trials.size(); ++i) {
      if (!study().trials[i].is_done && study().trials[i].is_cut) LEAT_RETURN_IF_ERROR(RunAgain(study().trials[i]));
      if (!study().trials[i].is_done && !study().trials[i].was_submitted)
        LEAT_RETURN_IF_ERROR(Submit(study().trials[i]));
    }
    while (!IsAllLaunched() && RunningCount() < job().parallel_max) {
      LEAT_ASSIGN_OR_RETURN(const bool waits, WaitsForData());
      if (waits) return {};
      const size_t count = study().trials.size();
      LEAT_RETURN_IF_ERROR(LaunchNext());
      // One that could not be submitted has ended: the criteria are looked at before another.
      if (study().trials.size() == count || study().trials.back().is_done) return {};
    }
    return {};
  }

  Result<bool> WaitsForData() {
    std::string why;
    const auto now = std::chrono::steady_clock::now();
    const bool has_completed =
        std::ranges::any_of(study().trials, [](const Trial& trial) { return trial.state.status == "Completed"; });
    if (services_.data && RunningCount() > 0 && !has_completed) {
      if (now - looked_at_data_ >= kLookAtData) {
        looked_at_data_ = now;
        data_ = services_.data->Look(FileSystems());
      }
      why = WhyWaitForData(data_, RunningCount(), std::chrono::duration_cast<std::chrono::seconds>(now - launched_at_));
    }
    if (why.empty() != study().schedule.empty() || (why != study().schedule && now - told_why_ >= kTellAgain)) {
      told_why_ = now;
      LEAT_RETURN_IF_ERROR(Record("schedule", {{"text", why}}));
    }
    return !why.empty();
  }

  std::vector<std::string> FileSystems() const {
    std::vector<std::string> ids;
    for (const auto& definition : job().definitions) {
      const TrainingJob child = CheckTrainingJob(ChildRequest(job(), definition, "child", {})).job;
      for (const auto& channel : child.channels) {
        if (channel.file_system && !channel.file_system->is_plain_directory)
          ids.push_back(channel.file_system->file_system_id);
      }
    }
    return ids;
  }

  search::Study SearchStudy(size_t definition) const {
    const TuningDefinition& of = job().definitions[definition];
    search::Study known;
    known.ranges = of.ranges;
    known.strategy = job().strategy == Strategy::kGrid       ? search::Study::Strategy::kGrid
                     : job().strategy == Strategy::kBayesian ? search::Study::Strategy::kBayesian
                                                             : search::Study::Strategy::kRandom;
    known.maximize = of.maximize;
    for (const auto& trial : study().trials) {
      if (trial.definition != definition) continue;
      search::Trial one{trial.tuned, search::Trial::State::kPending, std::nan(""), trial.restart};
      if (trial.is_done) {
        one.state = trial.HasObjective() ? search::Trial::State::kCompleted : search::Trial::State::kFailed;
        if (trial.HasObjective()) one.objective = *trial.objective;
      }
      known.trials.push_back(std::move(one));
    }
    known.earlier = earlier_;
    return known;
  }

  // Definitions take turns; one whose space is exhausted is passed over.
  Status LaunchNext() {
    const uint32_t number = static_cast<uint32_t>(study().trials.size()) + 1;
    const size_t definitions = job().definitions.size();
    for (size_t turn = 0; turn < definitions; ++turn) {
      const size_t definition = (number - 1 + turn) % definitions;
      const auto suggestions = search::Suggest(SearchStudy(definition), 1, Random::Mix(study().seed + definition));
      if (!suggestions && suggestions.error().code == ErrorCode::kNotFound) continue;
      if (!suggestions) return Fail(suggestions.error());
      Trial next;
      next.number = number;
      next.definition = definition;
      next.tuned = suggestions->front().parameters;
      next.restart = suggestions->front().restart;
      if (hyperband_) next.bracket = hyperband_->Bracket(number);
      LEAT_RETURN_IF_ERROR(Record("trial", TrialJson(next, ChildName(job(), study().names_seed, number, 1))));
      launched_at_ = std::chrono::steady_clock::now();
      return Submit(study().trials.back());
    }
    LEAT_RETURN_IF_ERROR(Record("warning", {{"text", "all combinations of the ranges have been tried, after " +
                                                         std::to_string(study().trials.size()) + " training jobs"}}));
    return Record("exhausted", Json::object());
  }

  Status Submit(const Trial& trial) {
    const TrainingJobCheck child =
        CheckTrainingJob(ChildRequest(job(), job().definitions[trial.definition], trial.job_name, trial.tuned));
    Status submitted = StatusOf(child.problems, trial.job_name);
    jobs::RunOptions options = jobs::RunOptionsFrom(study().options);
    options.tuning_job = name_;
    if (submitted) submitted = services_.submitter.Submit(child.job, options);
    if (submitted) return reader_.Read();
    if (IsTransient(submitted.error().code)) return submitted;
    // It counts as one that failed; when all do, the tuning job ends.
    return Record("trial_ended", {{"number", trial.number},
                                  {"status", "Failed"},
                                  {"failure_reason", "ClientError: " + submitted.error().message},
                                  {"was_submitted", false}});
  }

  Status EndIfDone() {
    if (RunningCount() > 0 || !(IsEnding() || IsAllLaunched())) return {};
    Json end = {{"status", "Completed"}, {"failure_reason", ""}};
    if (study().stop_level > 0) {
      end["status"] = "Stopped";
    } else if (!BestTrial(study())) {
      end = {{"status", "Failed"}, {"failure_reason", WhyNone()}};
    }
    return Record("ended", std::move(end));
  }

  // Why no training job has an objective.
  std::string WhyNone() const {
    if (study().trials.empty()) return "no training job could be started: the ranges have no values";
    if (study().completed_by == "MaxRuntimeInSeconds")
      return "MaxRuntimeInSeconds was reached before a training job had come to its end with an objective";
    const auto failed =
        std::ranges::find_if(study().trials, [](const Trial& trial) { return trial.state.status == "Failed"; });
    if (failed != study().trials.end()) {
      const bool all =
          std::ranges::all_of(study().trials, [](const Trial& trial) { return trial.state.status == "Failed"; });
      return (all ? "All training jobs failed; " : "No training job has an objective; ") + failed->job_name + ": " +
             failed->state.failure_reason.substr(0, kReasonMax) +
             (failed->was_submitted ? " (leat jobs logs " + failed->job_name + " shows its output)" : "");
    }
    const Trial& first = study().trials.front();
    const TuningDefinition& definition = job().definitions[first.definition];
    std::string regexes;
    for (const auto& metric : CheckTrainingJob(ChildRequest(job(), definition, "child", {})).job.metrics) {
      if (metric.name == definition.objective) regexes += (regexes.empty() ? "" : ", ") + metric.regex;
    }
    return "No training job told its objective, " + definition.objective + ": nothing that is a number matched " +
           regexes + " (leat jobs logs " + first.job_name + " shows what it printed)";
  }

  const std::string name_;
  const TunerServices& services_;
  StudyReader reader_;
  bool is_begun_ = false;
  std::optional<search::Hyperband> hyperband_;
  std::optional<search::MedianStopping> median_;
  std::vector<search::EarlierStudy> earlier_;
  size_t completed_ = 0;                  // ends that the median rule has been told of
  std::map<std::string, size_t> judged_;  // reports of each training job
  std::chrono::steady_clock::time_point looked_at_data_{}, launched_at_{}, told_why_{};
  std::string told_failure_;
  std::optional<DataState> data_;
};

}  // namespace

Status CheckTuningLaunch(const TuningJob& job, const jobs::RunOptions& options,
                         const std::vector<std::string>& environment) {
  std::set<bool> checked;  // with an image, and without one
  for (const auto& definition : job.definitions) {
    const auto child = CheckTrainingJob(ChildRequest(job, definition, job.name, {})).job;
    if (!checked.insert(child.training_image.empty()).second) continue;
    LEAT_RETURN_IF_ERROR(jobs::CheckLaunch(child, options.sandbox, environment));
  }
  return {};
}

Status SubmitTuningJob(const TuningJob& job, const jobs::RunOptions& options, jobs::JobStore& store) {
  // Everything that every child would stumble over is found before the first.
  for (const auto& definition : job.definitions) {
    const auto child = CheckTrainingJob(ChildRequest(job, definition, job.name, {})).job;
    LEAT_RETURN_IF_ERROR(jobs::MetricReader::Make(child.metrics));
  }
  LEAT_RETURN_IF_ERROR(CheckWarmStart(job, store));
  const int64_t now = jobs::WallTimeNs();
  const uint64_t seed = job.seed.value_or(Random(static_cast<uint64_t>(now)).Next() >> 1);
  const Status created =
      store.Create(JobKind::kTuning, job.name,
                   {"created",
                    now,
                    {{"request", job.request},
                     {"seed", seed},
                     {"names_seed", Random(static_cast<uint64_t>(now), static_cast<uint64_t>(getpid())).Next()},
                     {"options", jobs::ToJson(options)}}});
  if (created || created.error().code != ErrorCode::kExists) return created;
  return Fail(ErrorCode::kExists, "ResourceInUse: A hyperparameter tuning job with the name, " + job.name +
                                      ", already exists. Choose a different name. (leat tunings describe " + job.name +
                                      " shows the one that has it)");
}

Status ResumeTuningJob(const std::string& name, jobs::JobStore& store) {
  LEAT_ASSIGN_OR_RETURN(const Study study, LoadStudy(store, name));
  if (!study.IsTerminal())
    return Fail(ErrorCode::kInvalidArgument, name + " is " + study.status + ": it has not ended");
  if (const auto completion = CompletionOf(study); completion.reached)
    return Fail(ErrorCode::kInvalidArgument,
                name + " is complete by " + study.completed_by + "; start another with WarmStartConfig to search on");
  const bool has_cut = std::ranges::any_of(study.trials, [](const Trial& trial) { return trial.is_cut; });
  if (study.job.max_runtime_s > 0 && study.RanNs(0) >= study.job.max_runtime_s * 1'000'000'000)
    return Fail(ErrorCode::kInvalidArgument, name + " has run for its MaxRuntimeInSeconds, " +
                                                 std::to_string(study.job.max_runtime_s) +
                                                 "; start another with WarmStartConfig to search on");
  if (study.is_exhausted && !has_cut)
    return Fail(ErrorCode::kInvalidArgument, name + " has tried all combinations of its ranges");
  if (study.trials.size() >= study.job.jobs_max && !has_cut)
    return Fail(ErrorCode::kInvalidArgument, name + " has had all of its " + std::to_string(study.job.jobs_max) +
                                                 " training jobs; start another with WarmStartConfig to search on");
  return store.Append(JobKind::kTuning, name, {"resumed", jobs::WallTimeNs(), Json::object()});
}

Result<Study> RunTuningJob(const std::string& name, const TunerServices& services) {
  return TuningRun(name, services).Run();
}

}  // namespace leat::tuner
