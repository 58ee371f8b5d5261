// SPDX-License-Identifier: Apache-2.0
#include "cli/tunings.h"

#include <sys/prctl.h>

#include <cstdio>
#include <memory>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/job_removal.h"
#include "cli/job_services.h"
#include "cli/study_follower.h"
#include "cli/supervisor_process.h"
#include "cli/verbs.h"
#include "tuner/display_text.h"
#include "tuner/html_report.h"
#include "tuner/study_report.h"
#include "tuner/tuning_run.h"
#include "tuner/warm_start.h"

namespace leat::cli {
namespace {

using jobs::JobKind;
using jobs::JobStore;

struct Arguments {
  std::string name, state_directory, html;
  ListSelection selection;
  bool json = false, force = false, at_once = false;
  std::string StateDirectory() const {
    return state_directory.empty() ? DefaultStateDirectory() : AbsoluteOption(state_directory);
  }
};

void PrintJson(const Json& value) {
  std::printf("%s\n", value.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
}

int List(JobStore& store, const Arguments& arguments) {
  const auto names = store.Names(JobKind::kTuning);
  if (!names) return Complain("tunings", names.error());
  std::vector<ListedJob> all;
  int exit_code = 0;
  for (const auto& name : *names) {
    const auto study = tuner::LoadStudy(store, name);
    if (!study && study.error().code == ErrorCode::kNotFound) continue;  // deleted since
    if (!study) {
      exit_code = Complain("tunings", study.error());
      continue;
    }
    all.push_back(ListTuning(name, *study));
  }
  const bool is_none = all.empty();
  const auto listed = SelectJobs(std::move(all), arguments.selection);
  if (arguments.json) {
    Json summaries = Json::array();
    for (const auto& job : listed) summaries.push_back(job.summary);
    PrintJson({{"HyperParameterTuningJobSummaries", summaries}});
    return exit_code;
  }
  if (names->empty()) std::printf("no tuning job has run from %s\n", arguments.StateDirectory().c_str());
  if (!is_none && listed.empty()) std::printf("no tuning job is as asked for (leat tunings list shows all)\n");
  std::printf("%s", ListText(listed).c_str());
  return exit_code;
}

int Describe(JobStore& store, const Arguments& arguments) {
  const auto study = tuner::LoadStudy(store, arguments.name);
  if (!study) return Complain("tunings", study.error());
  if (!arguments.html.empty()) {
    const std::string page = tuner::HtmlReport(arguments.name, *study, jobs::WallTimeNs());
    const std::string path = AbsoluteOption(arguments.html);
    if (const Status written = WriteFileAtomically(path, page, 0644, false); !written)
      return Complain("tunings", written.error());
    if (!arguments.json) std::printf("%s is written\n", path.c_str());
    if (!arguments.json) return 0;
  }
  if (arguments.json) {
    PrintJson(tuner::DescribeWithParents(arguments.name, *study, store));
    return 0;
  }
  std::printf("%s: %s\n%s", arguments.name.c_str(), study->status.c_str(),
              tuner::StudyTable(*study, TerminalColumns()).c_str());
  if (!study->schedule.empty()) std::printf("waiting: %s\n", study->schedule.c_str());
  for (const auto& line : tuner::FailureLines(*study)) std::printf("%s\n", EscapeForDisplay(line).c_str());
  if (!study->failure_reason.empty()) std::printf("failure: %s\n", EscapeForDisplay(study->failure_reason).c_str());
  return 0;
}

int Follow(JobStore& store, const Arguments& arguments) {
  if (const auto study = tuner::LoadStudy(store, arguments.name); !study) return Complain("tunings", study.error());
  // Ctrl-C ends the looking, not the tuning job.
  const jobs::StopLevel never{0};
  SupervisorClient supervisor(arguments.StateDirectory());
  return FollowStudy("tunings", arguments.name, store, supervisor, arguments.StateDirectory(), never, arguments.json);
}

int Stop(JobStore& store, const Arguments& arguments) {
  const auto study = tuner::LoadStudy(store, arguments.name);
  if (!study) return Complain("tunings", study.error());
  if (study->IsTerminal()) {
    return Complain("tunings", Error{ErrorCode::kBusy, "The request was rejected because the tuning job is in status " +
                                                           study->status + "."});
  }
  Status status = store.Append(JobKind::kTuning, arguments.name,
                               {"stop_requested", jobs::WallTimeNs(), {{"level", arguments.at_once ? 2 : 1}}});
  if (status) status = SupervisorClient(arguments.StateDirectory()).Wake();
  return status ? 0 : Complain("tunings", status.error());
}

int Resume(JobStore& store, const Arguments& arguments) {
  Status status = tuner::ResumeTuningJob(arguments.name, store);
  if (status) status = SupervisorClient(arguments.StateDirectory()).Wake();
  if (!status) return Complain("tunings", status.error());
  std::printf("%s goes on\n  leat tunings follow %s\n", arguments.name.c_str(), arguments.name.c_str());
  return 0;
}

int Delete(JobStore& store, const Arguments& arguments) {
  const Status status = DeleteJob(store, arguments.StateDirectory(), JobKind::kTuning, arguments.name, arguments.force);
  if (!status) return Complain("tunings", status.error());
  std::printf("%s is deleted; its training jobs stay (leat jobs list shows them)\n", arguments.name.c_str());
  return 0;
}

int Run(const Arguments& arguments, int (*action)(JobStore&, const Arguments&)) {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // scripts run as the same user: /proc/PID/environ holds AWS secrets
  auto store = JobStore::Open(arguments.StateDirectory());
  if (!store) return Complain("tunings", store.error());
  if (const Status status = TakeUpJobs(**store, arguments.StateDirectory()); !status)
    return Complain("tunings", status.error());
  return action(**store, arguments);
}

}  // namespace

ListedJob ListTuning(const std::string& name, const tuner::Study& study) {
  Json summary = tuner::SummarizeTuningJob(name, study);
  const double created_s = summary.value("CreationTime", 0.0);
  return {name,      study.status, tuner::PadToColumns(study.status, 10) + "  " + tuner::StudyLine(study),
          created_s, true,         std::move(summary)};
}

void AddTuningsCommand(CLI::App& app, int& exit_code) {
  CLI::App* verb = app.add_subcommand("tunings", "Show, follow, stop, resume and delete tuning jobs");
  verb->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, bool named, int (*action)(JobStore&, const Arguments&)) {
    auto arguments = std::make_shared<Arguments>();
    CLI::App* sub = verb->add_subcommand(name, help);
    if (named) sub->add_option("NAME", arguments->name, "the tuning job's name")->required();
    sub->add_option("--state-dir", arguments->state_directory, "where jobs are kept");
    sub->callback(
        [arguments, action, &exit_code] { exit_code = RunCaught("tunings", [&] { return Run(*arguments, action); }); });
    return std::pair(sub, arguments);
  };
  const auto [list, list_arguments] = add("list", "All tuning jobs, in order of submission", false, List);
  list->add_flag("--json", list_arguments->json, "as ListHyperParameterTuningJobs answers");
  AddListOptions(*list, list_arguments->selection);
  list->footer("Example:\n  leat tunings list --status Completed --descending --max 10");
  const auto [describe, describe_arguments] =
      add("describe", "One tuning job: its training jobs, the best of them", true, Describe);
  describe->add_flag("--json", describe_arguments->json, "as DescribeHyperParameterTuningJob answers");
  describe
      ->add_option("--html", describe_arguments->html, "write a page of charts, which needs nothing else, to a file")
      ->type_name("FILE");
  describe->footer("Example:\n  leat tunings describe my-tuning-job --html report.html");
  const auto [follow, follow_arguments] = add("follow", "Show how it goes until it ends", true, Follow);
  follow->add_flag("--json", follow_arguments->json,
                   "print the DescribeHyperParameterTuningJob answer at the end; progress goes to standard error");
  const auto [stop, stop_arguments] = add("stop", "Stop it and its training jobs in good order", true, Stop);
  stop->add_flag("--now", stop_arguments->at_once, "at once: SIGKILL, and nothing is uploaded any more");
  const auto [resume, resume_arguments] = add("resume", "Let one that was stopped go on where it was", true, Resume);
  resume->footer("Example:\n  leat tunings stop my-tuning-job; leat tunings resume my-tuning-job");
  const auto [remove, remove_arguments] =
      add("delete", "Delete one that has ended; its training jobs stay", true, Delete);
  remove->add_flag("--force", remove_arguments->force, "also what only the state directory has");
  verb->footer("Example:\n  leat tunings describe my-tuning-job");
}

}  // namespace leat::cli
