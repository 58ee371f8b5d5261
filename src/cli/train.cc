// SPDX-License-Identifier: Apache-2.0
#include "cli/train.h"

#include <sys/prctl.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "cli/accelerate.h"
#include "cli/job_credentials.h"
#include "cli/job_services.h"
#include "cli/supervisor_process.h"
#include "cli/train_request.h"
#include "cli/verbs.h"
#include "jobs/describe.h"
#include "jobs/job_follower.h"
#include "jobs/metrics.h"
#include "jobs/queued_observer.h"

namespace leat::cli {
namespace {

using Json = nlohmann::json;

constexpr std::chrono::milliseconds kFollowPoll{50};
constexpr std::chrono::milliseconds kLookAfter{1000};

// The job's own output as it is, and around it what the service's SDK prints: a line for every change of status.
class TrainDisplay final : public jobs::RunObserver {
 public:
  explicit TrainDisplay(FILE* out) : out_(out) {}
  void OnStatus(const std::string&, const std::string& secondary, const std::string& message) override {
    std::string time = FormatTimeUtc(jobs::WallTimeNs());
    if (time.size() > 19) time = time.substr(0, 10) + " " + time.substr(11, 8);
    std::fprintf(out_, "%s %s - %s\n", time.c_str(), secondary.c_str(), message.c_str());
    std::fflush(out_);
  }
  void OnLogLine(const std::string&, std::string_view line) override {
    // Colours and UTF-8 pass; the script could write to the terminal anyhow, were it run by hand.
    std::fwrite(line.data(), 1, line.size(), out_);
    std::fputc('\n', out_);
    std::fflush(out_);
  }
  void OnMetric(const std::string&, const std::string&, double) override {}
  void OnWarning(const std::string&, const std::string& text) override {
    std::fprintf(stderr, "leat train: warning: %s\n", EscapeForDisplay(text).c_str());
  }

 private:
  FILE* const out_;
};

// Until the job has ended; passes stop requests on, and sees to it that somebody runs the job.
Result<jobs::JobState> FollowToEnd(jobs::JobFollower& follower, SupervisorClient& supervisor, jobs::JobStore& store,
                                   const std::string& job, const jobs::StopLevel& stop) {
  int told = 0;
  auto looked_after = std::chrono::steady_clock::now();
  for (;;) {
    LEAT_ASSIGN_OR_RETURN(const bool has_ended, follower.Turn());
    if (has_ended) return follower.state();
    const int level = stop.load();
    const auto now = std::chrono::steady_clock::now();
    if (level > told) {
      told = level;
      LEAT_RETURN_IF_ERROR(
          store.Append(jobs::JobKind::kTraining, job, {"stop_requested", jobs::WallTimeNs(), {{"level", level}}}));
      looked_after = {};
    }
    if (now - looked_after > kLookAfter) {
      looked_after = now;
      if (const Status woken = supervisor.Wake(); !woken) LogWarning(woken.error().message);
    }
    std::this_thread::sleep_for(kFollowPoll);
  }
}

int RunTrain(const JobArguments& arguments, const TrainFlags& flags) {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // the script runs as the same user: /proc/PID/environ holds AWS secrets
  auto request = ReadTrainRequest(arguments, flags);
  if (!request) {
    Complain("train", request.error());
    return 2;
  }
  if (arguments.accelerate) request = Accelerated("train", std::move(*request));
  if (flags.print_request) {
    std::printf("%s\n", request->dump(2, ' ', false, Json::error_handler_t::replace).c_str());
    return 0;
  }
  TrainingJobCheck check = CheckTrainingJob(*request);
  std::ranges::move(jobs::MetricReader::Check(check.job.metrics), std::back_inserter(check.problems));
  if (!check.problems.empty()) {
    ShowProblems("train", arguments.request_path.empty() ? "the request" : arguments.request_path, check.problems);
    return 2;
  }
  if (arguments.pass_credentials) {
    if (const Status status = JobCredentials::Check(); !status) return Complain("train", status.error());
  }
  const std::string state_directory = arguments.StateDirectory();
  auto store = jobs::JobStore::Open(state_directory);
  if (!store) return Complain("train", store.error());
  if (const Status status = TakeUpJobs(**store, state_directory); !status) return Complain("train", status.error());
  const jobs::StopLevel& stop = CatchStopSignals();
  SupervisorClient supervisor(state_directory);
  if (const Status submitted = supervisor.Submit(check.job, arguments.Options()); !submitted)
    return Complain("train", submitted.error());
  if (arguments.detach) {
    if (arguments.json) {
      std::printf("%s\n", Json{{"TrainingJobArn", jobs::TrainingJobArn(check.job.name)}}.dump(2).c_str());
    } else {
      const char* name = check.job.name.c_str();
      std::printf("%s is submitted\n  leat jobs logs -f %s\n  leat jobs stop %s\n", name, name, name);
    }
    return 0;
  }
  TrainDisplay display(arguments.json ? stderr : stdout);
  jobs::QueuedObserver queue(display);
  queue.Start();
  jobs::JobFollower follower(**store, state_directory, check.job.name, queue, true);
  const auto state = FollowToEnd(follower, supervisor, **store, check.job.name, stop);
  const bool all_shown = queue.Finish(kReaderPatience);
  if (!state && all_shown) return Complain("train", state.error());
  if (!state) LeaveUnread("train", check.job.name, "Failed", 1);
  const int exit_code = state->status == "Completed" ? 0 : stop.load() > 0 ? 130 : 1;
  if (!all_shown && !arguments.json) LeaveUnread("train", check.job.name, state->status, exit_code);
  if (arguments.json) {
    const auto samples = (*store)->Samples(check.job.name);
    const Json description =
        jobs::DescribeTrainingJob(check.job.name, *state, samples.value_or(std::vector<jobs::MetricSample>{}));
    std::printf("%s\n", description.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    std::printf("%s: %s%s%s\n", check.job.name.c_str(), state->status.c_str(), state->accounting.empty() ? "" : "; ",
                jobs::AccountingText(*state).c_str());
    if (!state->model_artifacts.empty()) std::printf("model: %s\n", EscapeForDisplay(state->model_artifacts).c_str());
  }
  if (!all_shown) {
    std::fflush(stdout);
    LeaveUnread("train", check.job.name, state->status, exit_code);
  }
  if (!state->failure_reason.empty()) ComplainLines("train", state->failure_reason);
  return exit_code;
}

}  // namespace

void AddTrainCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<JobArguments>();
  auto flags = std::make_shared<TrainFlags>();
  CLI::App* verb = app.add_subcommand("train", "Run a training job: a SageMaker CreateTrainingJob request");
  verb->add_option("JOB.json", arguments->request_path, "the request; or flags in its place, from --script on");
  verb->add_flag("--json", arguments->json,
                 "print the DescribeTrainingJob answer at the end; the log goes to standard error");
  AddJobOptions(*verb, *arguments);
  AddTrainRequestOptions(*verb, *flags);
  verb->footer(
      "Examples:\n  leat train job.json && leat jobs describe my-job\n"
      "  leat train --script train.py --input training=s3://my-bucket/images \\\n"
      "    --hyperparameter epochs=3 --metric 'loss=loss: ([0-9.]+)'");
  verb->callback(
      [arguments, flags, &exit_code] { exit_code = RunCaught("train", [&] { return RunTrain(*arguments, *flags); }); });
}

}  // namespace leat::cli
