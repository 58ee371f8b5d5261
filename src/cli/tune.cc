// SPDX-License-Identifier: Apache-2.0
#include "cli/tune.h"

#include <sys/prctl.h>

#include <cstdio>
#include <memory>

#include "base/log.h"
#include "cli/accelerate.h"
#include "cli/job_credentials.h"
#include "cli/job_services.h"
#include "cli/study_follower.h"
#include "cli/supervisor_process.h"
#include "cli/verbs.h"
#include "jobs/contract.h"
#include "jobs/metrics.h"
#include "tuner/study_report.h"

namespace leat::cli {
namespace {

int RunTune(const JobArguments& arguments) {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // the script runs as the same user: /proc/PID/environ holds AWS secrets
  auto request = ReadRequest(arguments.request_path);
  if (!request) {
    Complain("tune", request.error());
    return 2;
  }
  if (arguments.accelerate) request = Accelerated("tune", std::move(*request));
  TuningJobCheck check = CheckTuningJob(*request);
  for (size_t i = 0; i < check.job.definitions.size(); ++i) {
    const TuningDefinition& definition = check.job.definitions[i];
    const TrainingJob child = CheckTrainingJob(ChildRequest(check.job, definition, "child", {})).job;
    for (auto& problem : jobs::MetricReader::Check(child.metrics)) {
      problem.path =
          (definition.name.empty() ? "TrainingJobDefinition." : "TrainingJobDefinitions[" + std::to_string(i) + "].") +
          problem.path;
      check.problems.push_back(std::move(problem));
    }
  }
  if (!check.problems.empty()) {
    ShowProblems("tune", arguments.request_path, check.problems);
    return 2;
  }
  for (const auto& warning : check.job.warnings) {
    std::fprintf(stderr, "leat tune: warning: %s\n", EscapeForDisplay(warning).c_str());
  }
  if (arguments.pass_credentials) {
    if (const Status status = JobCredentials::Check(); !status) return Complain("tune", status.error());
  }
  const std::string state_directory = arguments.StateDirectory();
  auto store = jobs::JobStore::Open(state_directory);
  if (!store) return Complain("tune", store.error());
  if (const Status status = TakeUpJobs(**store, state_directory); !status) return Complain("tune", status.error());
  const jobs::StopLevel& stop = CatchStopSignals();
  SupervisorClient supervisor(state_directory);
  if (const Status submitted = supervisor.Submit(check.job, arguments.Options()); !submitted)
    return Complain("tune", submitted.error());
  const std::string& name = check.job.name;
  if (arguments.detach) {
    if (arguments.json) {
      std::printf("%s\n", Json{{"HyperParameterTuningJobArn", tuner::TuningJobArn(name)}}.dump(2).c_str());
    } else {
      std::printf("%s is submitted\n  leat tunings follow %s\n  leat tunings stop %s\n", name.c_str(), name.c_str(),
                  name.c_str());
    }
    return 0;
  }
  return FollowStudy("tune", name, **store, supervisor, state_directory, stop, arguments.json);
}

}  // namespace

void AddTuneCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<JobArguments>();
  CLI::App* verb = app.add_subcommand("tune", "Run a tuning job: a SageMaker CreateHyperParameterTuningJob request");
  verb->add_option("TUNING.json", arguments->request_path, "the request")->required();
  verb->add_flag("--json", arguments->json,
                 "print the DescribeHyperParameterTuningJob answer at the end; progress goes to standard error");
  AddJobOptions(*verb, *arguments);
  verb->footer("Example:\n  leat tune tuning-job.json --detach && leat tunings follow my-tuning-job");
  verb->callback([arguments, &exit_code] { exit_code = RunCaught("tune", [&] { return RunTune(*arguments); }); });
}

}  // namespace leat::cli
