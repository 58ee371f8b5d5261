// SPDX-License-Identifier: Apache-2.0
#include "cli/tune.h"

#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>

#include "base/log.h"
#include "cli/job_services.h"
#include "cli/supervisor_process.h"
#include "cli/verbs.h"
#include "jobs/queued_observer.h"
#include "tuner/tuning_run.h"

namespace leat::cli {
namespace {

size_t TerminalColumns() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40) return size.ws_col;
  return 80;
}

// On a terminal one line for every running job, rewritten as it goes; in a pipe a line for every change. Calls come one
// at a time.
class TuneDisplay final : public jobs::RunObserver {
 public:
  TuneDisplay(FILE* out, std::string objective)
      : out_(out),
        objective_(std::move(objective)),
        is_terminal_(isatty(fileno(out)) != 0),
        columns_(TerminalColumns()) {}
  void OnStatus(const std::string& job, const std::string& secondary, const std::string&) override {
    const bool ended = secondary == "Completed" || secondary == "Failed" || secondary == "Stopped" ||
                       secondary == "MaxRuntimeExceeded";
    Line& line = lines_[job];
    line.status = secondary;
    if (!ended) {
      Show(job, line);
      return;
    }
    const std::string text = Text(job, line);
    lines_.erase(job);
    Erase();
    std::fprintf(out_, "%s\n", text.c_str());
    Draw();
  }
  void OnLogLine(const std::string&, std::string_view) override {}
  void OnMetric(const std::string& job, const std::string& name, double value) override {
    Line& line = lines_[job];
    char text[40];
    std::snprintf(text, sizeof text, "%.6g", value);
    line.metrics[name] = text;
    if (is_terminal_ || name == objective_) Show(job, line);
  }
  void OnWarning(const std::string& job, const std::string& text) override {
    Erase();
    std::fprintf(stderr, "leat tune: %s: warning: %s\n", job.c_str(), EscapeForDisplay(text).c_str());
    Draw();
  }

 private:
  struct Line {
    std::string status;
    std::map<std::string, std::string> metrics;
  };

  std::string Text(const std::string& job, const Line& line) const {
    std::string text = job + "  " + line.status;
    for (const auto& [name, value] : line.metrics) text += "  " + EscapeForDisplay(name) + "=" + value;
    if (is_terminal_ && text.size() >= columns_) {
      text.resize(columns_ - 1);
      while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0x80)) text.pop_back();
    }
    return text;
  }
  void Show(const std::string& job, const Line& line) {
    if (is_terminal_) {
      Erase();
      Draw();
      return;
    }
    std::fprintf(out_, "%s\n", Text(job, line).c_str());
    std::fflush(out_);
  }
  void Erase() {
    if (drawn_ > 0) std::fprintf(out_, "\x1b[%zuA\x1b[J", drawn_);
    drawn_ = 0;
  }
  void Draw() {
    if (is_terminal_) {
      for (const auto& [job, line] : lines_) std::fprintf(out_, "%s\n", Text(job, line).c_str());
      drawn_ = lines_.size();
    }
    std::fflush(out_);
  }

  FILE* const out_;
  const std::string objective_;
  const bool is_terminal_;
  const size_t columns_;
  std::map<std::string, Line> lines_;  // of running jobs
  size_t drawn_ = 0;
};

int RunTune(const JobArguments& arguments) {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // the script runs as the same user: /proc/PID/environ holds AWS secrets
  const auto request = ReadRequest(arguments.request_path);
  if (!request) {
    Complain("tune", request.error());
    return 2;
  }
  const TuningJobCheck check = CheckTuningJob(*request);
  if (!check.problems.empty()) {
    ShowProblems("tune", arguments.request_path, check.problems);
    return 2;
  }
  for (const auto& warning : check.job.warnings) {
    std::fprintf(stderr, "leat tune: warning: %s\n", EscapeForDisplay(warning).c_str());
  }
  const std::string state_directory = arguments.StateDirectory();
  auto store = jobs::JobStore::Open(state_directory);
  if (!store) return Complain("tune", store.error());
  if (const Status status = TakeUpJobs(**store, state_directory); !status) return Complain("tune", status.error());
  const jobs::StopLevel& stop = CatchStopSignals();
  SupervisorClient supervisor(state_directory);
  TuneDisplay display(arguments.json ? stderr : stdout, check.job.objective);
  jobs::QueuedObserver queue(display);
  queue.Start();
  const auto study =
      tuner::RunTuningJob(check.job, arguments.Options(), {state_directory, **store, supervisor, queue, stop});
  const bool all_shown = queue.Finish(kReaderPatience);
  if (!study && all_shown) return Complain("tune", study.error());
  if (!study) LeaveUnread("tune", check.job.name, "Failed", 1);
  const int exit_code = study->status == "Completed" ? 0 : stop.load() > 0 ? 130 : 1;
  if (!all_shown && !arguments.json) LeaveUnread("tune", check.job.name, study->status, exit_code);
  if (arguments.json) {
    const Json description = tuner::DescribeTuningJob(check.job.name, *study);
    std::printf("%s\n", description.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    std::printf("\n%s: %s\n%s", check.job.name.c_str(), study->status.c_str(),
                tuner::StudyTable(*study, TerminalColumns()).c_str());
  }
  if (!all_shown) {
    std::fflush(stdout);
    LeaveUnread("tune", check.job.name, study->status, exit_code);
  }
  for (const auto& line : tuner::FailureLines(*study)) ComplainLines("tune", line);
  if (!study->failure_reason.empty()) ComplainLines("tune", study->failure_reason);
  return exit_code;
}

}  // namespace

void AddTuneCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<JobArguments>();
  if (const char* python = std::getenv("LEAT_PYTHON")) arguments->python = python;
  CLI::App* verb = app.add_subcommand("tune", "Run a tuning job: a SageMaker CreateHyperParameterTuningJob request");
  verb->add_option("TUNING.json", arguments->request_path, "the request")->required();
  verb->add_option("--state-dir", arguments->state_directory, "where jobs and file systems are kept");
  verb->add_flag("--json", arguments->json,
                 "print the DescribeHyperParameterTuningJob answer at the end; progress goes to standard error");
  verb->add_flag("--no-sandbox", arguments->no_sandbox,
                 "without namespaces: no /opt/ml, the SM_* variables point into each job's directory");
  verb->add_option("--file-mode-connections", arguments->file_mode_connections, "downloads at once in File mode (64)")
      ->check(CLI::Range(1, 1024));
  verb->add_option("--python", arguments->python, "the interpreter for .py scripts (python3, or $LEAT_PYTHON)");
  verb->add_option("--requirements", arguments->requirements,
                   "a requirements.txt beside the script: ignore (with a warning), install (for the job alone, by pip) "
                   "or refuse")
      ->check(CLI::IsMember({"ignore", "install", "refuse"}));
  verb->footer("Example:\n  leat tune tuning-job.json && leat jobs list");
  verb->callback([arguments, &exit_code] { exit_code = RunCaught("tune", [&] { return RunTune(*arguments); }); });
}

}  // namespace leat::cli
