// SPDX-License-Identifier: Apache-2.0
#include "cli/jobs.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/job_list.h"
#include "cli/job_removal.h"
#include "cli/job_services.h"
#include "cli/metrics_text.h"
#include "cli/supervisor_process.h"
#include "cli/tunings.h"
#include "cli/verbs.h"
#include "jobs/contract.h"
#include "jobs/describe.h"
#include "jobs/job_follower.h"
#include "tuner/study_report.h"
#include "tuner/warm_start.h"

namespace leat::cli {
namespace {

using jobs::JobKind;
using jobs::JobStore;

constexpr std::chrono::milliseconds kFollowPoll{100};
constexpr std::chrono::milliseconds kLookAfter{1000};

struct Arguments {
  std::string name, state_directory, host;
  std::vector<std::string> names, metrics;
  ListSelection selection;
  bool json = false, follow = false, csv = false, force = false, at_once = false;
};

void PrintJson(const Json& value) {
  std::printf("%s\n", value.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
}

std::string StateDirectory(const Arguments& arguments) {
  return arguments.state_directory.empty() ? DefaultStateDirectory() : AbsoluteOption(arguments.state_directory);
}

Result<std::vector<ListedJob>> AllJobs(JobStore& store) {
  LEAT_ASSIGN_OR_RETURN(const auto tuning, store.Names(JobKind::kTuning));
  LEAT_ASSIGN_OR_RETURN(const auto training, store.Names(JobKind::kTraining));
  std::vector<ListedJob> listed;
  for (const auto& name : tuning) {
    const auto study = tuner::LoadStudy(store, name);
    if (!study && study.error().code == ErrorCode::kNotFound) continue;  // deleted since
    if (!study) return Fail(study.error());
    ListedJob job = ListTuning(name, *study);
    const int completed = job.summary["TrainingJobStatusCounters"].value("Completed", 0);
    job.shown_status = study->status + ": " + std::to_string(completed) + " done";
    listed.push_back(std::move(job));
  }
  for (const auto& name : training) {
    const auto state = store.Load(name);
    if (!state && state.error().code == ErrorCode::kNotFound) continue;
    if (!state) return Fail(state.error());
    listed.push_back({name, state->status, state->secondary, jobs::EpochSeconds(state->created_ns), false,
                      jobs::SummarizeTrainingJob(name, *state)});
  }
  return listed;
}

Status List(JobStore& store, const Arguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(auto all, AllJobs(store));
  const bool is_none = all.empty();
  const auto listed = SelectJobs(std::move(all), arguments.selection);
  if (arguments.json) {
    Json tuning = Json::array(), training = Json::array();
    for (const auto& job : listed) (job.is_tuning ? tuning : training).push_back(job.summary);
    PrintJson({{"TrainingJobSummaries", training}, {"HyperParameterTuningJobSummaries", tuning}});
    return {};
  }
  if (is_none) std::printf("no job has run from %s\n", StateDirectory(arguments).c_str());
  if (!is_none && listed.empty()) std::printf("no job is as asked for (leat jobs list shows all)\n");
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
  if (const auto text = jobs::DataText(state.accounting); !text.empty()) std::printf("  reads     %s\n", text.c_str());
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
    PrintJson(tuner::DescribeWithParents(arguments.name, study, store));
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

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Those of the metrics that were asked for; of all when none were.
Result<std::vector<jobs::MetricSample>> WantedSamples(JobStore& store, const Arguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(auto samples, store.Samples(arguments.name));
  if (arguments.metrics.empty() || samples.empty()) return samples;
  std::string known;
  std::set<std::string> names;
  for (const auto& metric : SummarizeMetrics(samples)) {
    known += (known.empty() ? "" : ", ") + metric.name;
    names.insert(metric.name);
  }
  for (const auto& wanted : arguments.metrics) {
    if (names.contains(wanted)) continue;
    return Fail(ErrorCode::kNotFound, arguments.name + " has no metric " + wanted + "; it has " + known);
  }
  std::erase_if(samples, [&](const auto& sample) { return !std::ranges::count(arguments.metrics, sample.name); });
  return samples;
}

Status Metrics(JobStore& store, const Arguments& arguments) {
  const auto loaded = store.Load(arguments.name);
  if (!loaded && loaded.error().code == ErrorCode::kNotFound && store.Events(JobKind::kTuning, arguments.name)) {
    return Fail(ErrorCode::kInvalidArgument, arguments.name + " is a tuning job: leat jobs describe " + arguments.name +
                                                 " names its training jobs, which have metrics");
  }
  if (!loaded) return Fail(loaded.error());
  LEAT_ASSIGN_OR_RETURN(const auto samples, WantedSamples(store, arguments));
  const int64_t start_ns = loaded->first_training_started_ns.value_or(loaded->created_ns);
  if (arguments.json) {
    PrintJson({{"TrainingJobName", arguments.name},
               {"TrainingStartTime", jobs::EpochSeconds(start_ns)},
               {"Metrics", MetricsJson(samples, start_ns)}});
    return {};
  }
  if (arguments.csv) std::printf("%s", MetricsCsv(samples, start_ns).c_str());
  if (samples.empty()) {
    const Json algorithm = loaded->request.value("AlgorithmSpecification", Json::object());
    const size_t definitions = algorithm.value("MetricDefinitions", Json::array()).size();
    std::fputs(NoMetricsText(arguments.name, definitions, loaded->IsTerminal()).c_str(),
               arguments.csv ? stderr : stdout);
  }
  if (arguments.csv || samples.empty()) return {};
  const bool is_unicode = ShowsUnicode(Variable("LC_ALL"), Variable("LC_CTYPE"), Variable("LANG"), Variable("TERM"));
  std::printf("%s%s", MetricsTable(SummarizeMetrics(samples), start_ns).c_str(),
              MetricCharts(samples, start_ns, is_unicode).c_str());
  return {};
}

// Each by itself: what cannot be deleted keeps nothing else.
Status Delete(JobStore& store, const Arguments& arguments) {
  Status first;
  for (const auto& name : arguments.names) {
    Status status;
    const auto kind = KindOf(store, name);
    if (kind) status = DeleteJob(store, StateDirectory(arguments), *kind, name, arguments.force);
    if (!kind) status = Fail(kind.error());
    if (status) {
      std::printf("%s is deleted%s\n", name.c_str(),
                  *kind == JobKind::kTuning ? "; its training jobs stay (leat jobs list shows them)" : "");
      continue;
    }
    if (first) {
      first = std::move(status);
    } else {
      Complain("jobs", status.error());
    }
  }
  return first;
}

Status RequestStop(JobStore& store, const std::string& name, bool at_once) {
  LEAT_ASSIGN_OR_RETURN(const JobKind kind, KindOf(store, name));
  LEAT_ASSIGN_OR_RETURN(const auto events, store.Events(kind, name));
  const jobs::JobState state = jobs::Fold(events);
  if (state.IsTerminal()) {
    return Fail(ErrorCode::kBusy, std::string("The request was rejected because the ") +
                                      (kind == JobKind::kTraining ? "training" : "tuning") + " job is in status " +
                                      state.status + ".");
  }
  return store.Append(kind, name, {"stop_requested", jobs::WallTimeNs(), {{"level", at_once ? 2 : 1}}});
}

// Each by itself. The supervisor sees the requests within a second.
Status Stop(JobStore& store, const Arguments& arguments) {
  Status first;
  for (const auto& name : arguments.names) {
    Status status = RequestStop(store, name, arguments.at_once);
    if (!status && arguments.names.size() > 1) status = Fail(status.error().code, name + ": " + status.error().message);
    if (status) continue;
    if (first) {
      first = std::move(status);
    } else {
      Complain("jobs", status.error());
    }
  }
  const Status woken = TakeUpJobs(store, StateDirectory(arguments));
  return first ? woken : first;
}

// To standard output, as it is: others may read it.
class LogPrinter final : public jobs::RunObserver {
 public:
  void OnStatus(const std::string&, const std::string&, const std::string&) override {}
  void OnLogLine(const std::string&, std::string_view line) override {
    is_read_ =
        is_read_ && std::fwrite(line.data(), 1, line.size(), stdout) == line.size() && std::fputc('\n', stdout) != EOF;
  }
  void OnMetric(const std::string&, const std::string&, double) override {}
  void OnWarning(const std::string&, const std::string& text) override {
    if (text.ends_with("no longer kept")) std::fprintf(stderr, "leat jobs logs: %s\n", text.c_str());
  }
  bool is_read() const { return is_read_; }

 private:
  bool is_read_ = true;
};

// The number of the host of that name; an empty name is all of them.
Result<std::optional<uint32_t>> HostNumber(JobStore& store, const std::string& job, const std::string& host) {
  if (host.empty()) return std::optional<uint32_t>();
  LEAT_ASSIGN_OR_RETURN(const auto state, store.Load(job));
  const uint32_t hosts = CheckTrainingJob(state.request).job.instance_count;
  std::string known;
  for (uint32_t i = 0; i < hosts; ++i) {
    if (jobs::HostName(i) == host) return std::optional(i);
    known += (known.empty() ? "" : ", ") + jobs::HostName(i);
  }
  return Fail(ErrorCode::kNotFound,
              job + " has no host " + host + "; " + (hosts == 1 ? "its only one is " : "it has ") + known);
}

Status Logs(JobStore& store, const Arguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(const auto host, HostNumber(store, arguments.name, arguments.host));
  LogPrinter printer;
  jobs::JobFollower follower(store, StateDirectory(arguments), arguments.name, printer, true, host);
  auto looked_after = std::chrono::steady_clock::now();
  for (;;) {
    LEAT_ASSIGN_OR_RETURN(const bool has_ended, follower.Turn());
    std::fflush(stdout);
    if (has_ended || !arguments.follow || !printer.is_read()) return {};
    std::this_thread::sleep_for(kFollowPoll);
    if (std::chrono::steady_clock::now() - looked_after < kLookAfter) continue;
    looked_after = std::chrono::steady_clock::now();
    LEAT_RETURN_IF_ERROR(TakeUpJobs(store, StateDirectory(arguments)));
  }
}

int RunAction(const Arguments& arguments, Status (*action)(JobStore&, const Arguments&)) {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // scripts run as the same user: /proc/PID/environ holds AWS secrets
  auto store = JobStore::Open(StateDirectory(arguments));
  if (!store) return Complain("jobs", store.error());
  Status status = TakeUpJobs(**store, StateDirectory(arguments));
  if (status) status = action(**store, arguments);
  return status ? 0 : Complain("jobs", status.error());
}

}  // namespace

void AddJobsCommand(CLI::App& app, int& exit_code) {
  CLI::App* verb = app.add_subcommand("jobs", "Show, stop and delete training and tuning jobs");
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
  AddListOptions(*list, list_arguments->selection);
  list->footer("Example:\n  leat jobs list --status Failed --descending --max 10");
  const auto [describe, describe_arguments] = add("describe", "One job: states, metrics, data read", true, Describe);
  describe->add_flag("--json", describe_arguments->json,
                     "as DescribeTrainingJob or DescribeHyperParameterTuningJob answers");
  const auto [metrics, metrics_arguments] = add("metrics", "A job's metrics, as table and charts", true, Metrics);
  metrics->add_option("--metric", metrics_arguments->metrics, "only this one; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  CLI::Option* csv = metrics->add_flag("--csv", metrics_arguments->csv, "every sample, a line each");
  metrics->add_flag("--json", metrics_arguments->json, "every sample, and each metric's range")->excludes(csv);
  metrics->footer("Example:\n  leat jobs metrics my-job --metric val:accuracy --csv > accuracy.csv");
  const auto [stop, stop_arguments] = add("stop", "Stop jobs in good order, running or waiting", false, Stop);
  stop->add_option("NAME", stop_arguments->names, "the jobs' names")->required();
  stop->add_flag("--now", stop_arguments->at_once, "at once: SIGKILL, and nothing is uploaded any more");
  const auto [remove, remove_arguments] =
      add("delete", "Delete jobs that have ended: log, metrics, files", false, Delete);
  remove->add_option("NAME", remove_arguments->names, "the jobs' names")->required();
  remove->add_flag("--force", remove_arguments->force,
                   "also checkpoints, a model or output data that only the state directory has");
  remove->footer(
      "What was uploaded stays. The name is free then; SageMaker takes each once only.\n"
      "Example:\n  leat jobs delete my-job my-other-job");
  const auto [logs, logs_arguments] = add("logs", "What the job's script has printed", true, Logs);
  logs->add_flag("-f,--follow", logs_arguments->follow, "go on until the job ends");
  logs->add_option("--host", logs_arguments->host, "only this host's, as it is (algo-1, algo-2, ...)")
      ->type_name("HOST");
  logs->footer("Example:\n  leat jobs logs my-job --host algo-2 -f");
  verb->footer("Examples:\n  leat jobs list\n  leat jobs logs my-job -f");
}

void AddSupervisorCommand(CLI::App& app, int& exit_code) {
  struct SupervisorArguments {
    std::string state_directory;
    int ready_fd = -1;
  };
  auto arguments = std::make_shared<SupervisorArguments>();
  CLI::App* verb = app.add_subcommand("supervisor", "")->group("");
  verb->add_option("--state-dir", arguments->state_directory)->required();
  verb->add_option("--ready-fd", arguments->ready_fd);
  verb->callback(
      [arguments, &exit_code] { exit_code = RunSupervisorProcess(arguments->state_directory, arguments->ready_fd); });
}

}  // namespace leat::cli
