// SPDX-License-Identifier: Apache-2.0
#include "cli/jobs.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/job_services.h"
#include "cli/verbs.h"
#include "jobs/describe.h"
#include "tuner/tuning_run.h"

namespace leat::cli {
namespace {

using jobs::JobKind;
using jobs::JobStore;

constexpr std::chrono::milliseconds kFollowPoll{300};

struct Arguments {
  std::string name, state_directory;
  bool json = false, follow = false;
};

void PrintJson(const Json& value) {
  std::printf("%s\n", value.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
}

std::string StateDirectory(const Arguments& arguments) {
  return arguments.state_directory.empty() ? DefaultStateDirectory() : AbsoluteOption(arguments.state_directory);
}

struct ListedJob {
  std::string name, status;
  double created_s = 0;
};

// "name  status  month-day hour:minute" in UTC: a child of a tuning job, 45 characters, fits into 80 columns.
std::string ListText(const std::vector<ListedJob>& listed) {
  constexpr size_t kNameMax = 47;
  size_t name_width = 0, status_width = 0;
  for (const auto& job : listed) {
    if (job.name.size() <= kNameMax) name_width = std::max(name_width, job.name.size());
    status_width = std::max(status_width, job.status.size());
  }
  std::string text;
  for (const auto& job : listed) {
    std::string time = FormatTimeUtc(static_cast<int64_t>(job.created_s) * 1000000000);
    if (time.size() > 16) time = time.substr(5, 5) + " " + time.substr(11, 5);
    text += job.name;
    // A longer name has a line of its own.
    const size_t used = job.name.size() > kNameMax ? 0 : job.name.size();
    if (used == 0) text += "\n";
    text += std::string(name_width - used, ' ') + "  " + job.status +
            std::string(status_width - job.status.size(), ' ') + "  " + time + "\n";
  }
  return text;
}

Status List(JobStore& store, const Arguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(const auto tuning, store.Names(JobKind::kTuning));
  LEAT_ASSIGN_OR_RETURN(const auto training, store.Names(JobKind::kTraining));
  Json tuning_list = Json::array(), training_list = Json::array();
  for (const auto& name : tuning) {
    LEAT_ASSIGN_OR_RETURN(const tuner::Study study, tuner::LoadStudy(store, name));
    Json description = tuner::DescribeTuningJob(name, study);
    Json summary = Json::object();
    for (const char* member :
         {"HyperParameterTuningJobName", "HyperParameterTuningJobArn", "HyperParameterTuningJobStatus", "CreationTime",
          "HyperParameterTuningEndTime", "LastModifiedTime", "TrainingJobStatusCounters", "ObjectiveStatusCounters"}) {
      if (description.contains(member)) summary[member] = description[member];
    }
    tuning_list.push_back(std::move(summary));
  }
  for (const auto& name : training) {
    LEAT_ASSIGN_OR_RETURN(const jobs::JobState state, store.Load(name));
    training_list.push_back(jobs::SummarizeTrainingJob(name, state));
  }
  if (arguments.json) {
    PrintJson({{"TrainingJobSummaries", training_list}, {"HyperParameterTuningJobSummaries", tuning_list}});
    return {};
  }
  if (tuning.empty() && training.empty()) std::printf("no job has run from %s\n", StateDirectory(arguments).c_str());
  std::vector<ListedJob> listed;
  for (const auto& summary : tuning_list) {
    const int completed = summary["TrainingJobStatusCounters"].value("Completed", 0);
    listed.push_back({summary.value("HyperParameterTuningJobName", ""),
                      summary.value("HyperParameterTuningJobStatus", "") + ": " + std::to_string(completed) + " done",
                      summary.value("CreationTime", 0.0)});
  }
  for (const auto& summary : training_list) {
    listed.push_back({summary.value("TrainingJobName", ""), summary.value("SecondaryStatus", ""),
                      summary.value("CreationTime", 0.0)});
  }
  std::printf("%s", ListText(listed).c_str());
  return {};
}

// Text of a script's, its line ends kept, for a terminal; ends with a line end.
std::string Indented(const std::string& text) {
  std::string out;
  for (const auto& line : Split(text, '\n')) out += (out.empty() ? "" : "            ") + EscapeForDisplay(line) + "\n";
  return out;
}

void ShowTrainingJob(const std::string& name, const jobs::JobState& state, const Json& description) {
  std::printf("%s: %s (%s)\n", name.c_str(), state.status.c_str(), state.secondary.c_str());
  if (!state.failure_reason.empty()) std::printf("  failure   %s", Indented(state.failure_reason).c_str());
  for (const auto& transition : state.transitions) {
    std::printf("  %s  %-12s  %s\n", FormatTimeUtc(transition.start_ns).c_str(), transition.status.c_str(),
                transition.message.c_str());
  }
  for (const auto& metric : description.value("FinalMetricDataList", Json::array())) {
    std::printf("  metric    %s = %s\n", EscapeForDisplay(metric.value("MetricName", "")).c_str(),
                metric["Value"].dump().c_str());
  }
  if (const auto text = jobs::AccountingText(state); !text.empty()) std::printf("  data      %s\n", text.c_str());
  if (!state.model_artifacts.empty()) std::printf("  model     %s\n", EscapeForDisplay(state.model_artifacts).c_str());
  for (const auto& warning : state.warnings) std::printf("  warning   %s\n", EscapeForDisplay(warning).c_str());
}

// A training and a tuning job may share a name; a training job that has ended then stands behind the tuning job.
Result<JobKind> KindOf(JobStore& store, const std::string& name) {
  const auto training = store.Load(name);
  if (!training && training.error().code != ErrorCode::kNotFound) return Fail(training.error());
  if (training && !training->IsTerminal()) return JobKind::kTraining;
  const auto tuning = store.Events(JobKind::kTuning, name);
  if (tuning) return JobKind::kTuning;
  if (tuning.error().code != ErrorCode::kNotFound) return Fail(tuning.error());
  if (!training) return Fail(training.error());
  return JobKind::kTraining;
}

Status DescribeTuning(JobStore& store, const Arguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(const tuner::Study study, tuner::LoadStudy(store, arguments.name));
  if (arguments.json) {
    PrintJson(tuner::DescribeTuningJob(arguments.name, study));
    return {};
  }
  std::printf("%s: %s\n%s", arguments.name.c_str(), study.status.c_str(), tuner::StudyTable(study, 80).c_str());
  for (const auto& line : tuner::FailureLines(study)) std::printf("%s", Indented(line).c_str());
  return {};
}

Status DescribeTraining(JobStore& store, const Arguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(const jobs::JobState state, store.Load(arguments.name));
  LEAT_ASSIGN_OR_RETURN(const auto samples, store.Samples(arguments.name));
  const Json description = jobs::DescribeTrainingJob(arguments.name, state, samples);
  if (arguments.json) {
    PrintJson(description);
  } else {
    ShowTrainingJob(arguments.name, state, description);
  }
  return {};
}

Status Describe(JobStore& store, const Arguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(const JobKind kind, KindOf(store, arguments.name));
  return kind == JobKind::kTraining ? DescribeTraining(store, arguments) : DescribeTuning(store, arguments);
}

// The running `leat train` or `leat tune` sees the request within a second.
Status Stop(JobStore& store, const Arguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(const JobKind kind, KindOf(store, arguments.name));
  LEAT_ASSIGN_OR_RETURN(const auto events, store.Events(kind, arguments.name));
  const jobs::JobState state = jobs::Fold(events);
  if (state.IsTerminal()) {
    return Fail(ErrorCode::kBusy, std::string("The request was rejected because the ") +
                                      (kind == JobKind::kTraining ? "training" : "tuning") + " job is in status " +
                                      state.status + ".");
  }
  return store.Append(kind, arguments.name, {"stop_requested", jobs::WallTimeNs(), Json::object()});
}

Status Logs(JobStore& store, const Arguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(jobs::JobState state, store.Load(arguments.name));
  const std::string path = jobs::LogPath(StateDirectory(arguments), arguments.name);
  FileDescriptor file;
  char buffer[1u << 16];
  for (;;) {
    if (!file.valid()) file = FileDescriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ssize_t got = 0;
    while (file.valid() && (got = read(file.get(), buffer, sizeof buffer)) > 0) {
      if (std::fwrite(buffer, 1, static_cast<size_t>(got), stdout) != static_cast<size_t>(got)) return {};
    }
    if (got < 0) return FailErrno(errno, path);
    std::fflush(stdout);
    // The state was read before the log: what an ended job wrote has been shown.
    if (!arguments.follow || state.IsTerminal()) return {};
    std::this_thread::sleep_for(kFollowPoll);
    LEAT_RETURN_IF_ERROR(store.EndAbandoned(jobs::WallTimeNs()));
    LEAT_ASSIGN_OR_RETURN(state, store.Load(arguments.name));
  }
}

int RunAction(const Arguments& arguments, Status (*action)(JobStore&, const Arguments&)) {
  auto store = JobStore::Open(StateDirectory(arguments));
  if (!store) return Complain("jobs", store.error());
  Status status = (*store)->EndAbandoned(jobs::WallTimeNs());
  if (status) status = action(**store, arguments);
  return status ? 0 : Complain("jobs", status.error());
}

}  // namespace

void AddJobsCommand(CLI::App& app, int& exit_code) {
  CLI::App* verb = app.add_subcommand("jobs", "Show and stop training and tuning jobs");
  verb->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, bool named, Status (*action)(JobStore&, const Arguments&)) {
    auto arguments = std::make_shared<Arguments>();
    CLI::App* sub = verb->add_subcommand(name, help);
    if (named) sub->add_option("NAME", arguments->name, "the job's name")->required();
    sub->add_option("--state-dir", arguments->state_directory, "where jobs are kept");
    sub->callback([arguments, action, &exit_code] {
      exit_code = RunCaught("jobs", [&] { return RunAction(*arguments, action); });
    });
    return std::pair(sub, arguments);
  };
  const auto [list, list_arguments] = add("list", "All jobs, in order of submission", false, List);
  list->add_flag("--json", list_arguments->json, "as ListTrainingJobs answers");
  const auto [describe, describe_arguments] = add("describe", "One job: states, metrics, data read", true, Describe);
  describe->add_flag("--json", describe_arguments->json,
                     "as DescribeTrainingJob or DescribeHyperParameterTuningJob answers");
  add("stop", "Stop a running job in good order", true, Stop);
  const auto [logs, logs_arguments] = add("logs", "What the job's script has printed", true, Logs);
  logs->add_flag("-f,--follow", logs_arguments->follow, "go on until the job ends");
  verb->footer("Example:\n  leat jobs list\n  leat jobs logs my-job -f");
}

}  // namespace leat::cli
