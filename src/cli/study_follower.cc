// SPDX-License-Identifier: Apache-2.0
#include "cli/study_follower.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <thread>
#include <utility>

#include "base/log.h"
#include "cli/job_services.h"
#include "cli/metrics_text.h"
#include "cli/verbs.h"
#include "jobs/job_follower.h"
#include "jobs/queued_observer.h"
#include "tuner/live_table.h"
#include "tuner/study_report.h"
#include "tuner/warm_start.h"

namespace leat::cli {
namespace {

constexpr std::chrono::milliseconds kPoll{200};
constexpr std::chrono::milliseconds kDrawAfter{1000};
constexpr std::chrono::milliseconds kLookAfter{1000};  // how soon a supervisor that has died is followed by another

constexpr size_t kColumnsMin = 20;

winsize TerminalSize() {
  winsize size{};
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    if (ioctl(fd, TIOCGWINSZ, &size) == 0) return size;
  }
  return {};
}

// A line for every change of a training job. Calls come one at a time.
class ChangeLines final : public jobs::RunObserver {
 public:
  ChangeLines(FILE* out, std::string verb, std::string objective)
      : out_(out), verb_(std::move(verb)), objective_(std::move(objective)) {}
  void OnStatus(const std::string& job, const std::string& secondary, const std::string& message) override {
    const bool is_same = std::exchange(lines_[job].status, secondary) == secondary;
    Show(job, is_same ? message : "");  // the service's words for a new state say no more than its name
  }
  void OnLogLine(const std::string&, std::string_view) override {}
  void OnMetric(const std::string& job, const std::string& name, double value) override {
    char text[40];
    std::snprintf(text, sizeof text, "%.6g", value);
    lines_[job].metrics[name] = text;
    if (name == objective_) Show(job);
  }
  void OnWarning(const std::string& job, const std::string& text) override {
    std::fprintf(stderr, "leat %s: %s: warning: %s\n", verb_.c_str(), job.c_str(), EscapeForDisplay(text).c_str());
  }

 private:
  struct Line {
    std::string status;
    std::map<std::string, std::string> metrics;
  };
  void Show(const std::string& job, const std::string& message = "") {
    const Line& line = lines_[job];
    std::string text = job + "  " + line.status;
    for (const auto& [name, value] : line.metrics) text += "  " + EscapeForDisplay(name) + "=" + value;
    if (!message.empty()) text += "  " + EscapeForDisplay(message);
    std::fprintf(out_, "%s\n", text.c_str());
    std::fflush(out_);
  }

  FILE* const out_;
  const std::string verb_, objective_;
  std::map<std::string, Line> lines_;
};

// The live table, drawn over what was drawn before.
class Screen {
 public:
  explicit Screen(FILE* out) : out_(out) {}
  void Draw(const std::string& name, const tuner::Study& study) {
    const winsize size = TerminalSize();
    const size_t lines = size.ws_row > 4 ? size.ws_row - 1 : 23;
    const std::string text = tuner::LiveTable(name, study, TerminalColumns(), lines, jobs::WallTimeNs(), is_unicode_);
    Erase();
    std::fputs(text.c_str(), out_);
    std::fflush(out_);
    drawn_ = static_cast<size_t>(std::ranges::count(text, '\n'));
  }
  void Erase() {
    if (drawn_ > 0) std::fprintf(out_, "\x1b[%zuA\x1b[J", drawn_);
    drawn_ = 0;
  }

 private:
  static std::string Variable(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
  }
  FILE* const out_;
  const bool is_unicode_ = ShowsUnicode(Variable("LC_ALL"), Variable("LC_CTYPE"), Variable("LANG"), Variable("TERM"));
  size_t drawn_ = 0;
};

class Follower {
 public:
  Follower(const std::string& name, jobs::JobStore& store, SupervisorClient& supervisor,
           const std::string& state_directory, const jobs::StopLevel& stop)
      : name_(name),
        store_(store),
        supervisor_(supervisor),
        state_directory_(state_directory),
        stop_(stop),
        reader_(store, name) {}

  // Calls `show` at each turn, the last one after the end.
  template <class Show>
  Result<tuner::Study> Run(Show show) {
    for (;;) {
      Status read = PassStopOn();
      if (read) read = reader_.Read();
      // A store that others hold, or a full disk, does not end the tuning job; a stop is told again.
      if (!read && (read.error().code == ErrorCode::kNotFound || read.error().code == ErrorCode::kCorrupt))
        return Fail(read.error());
      if (read) show(reader_.study());
      if (read && reader_.study().IsTerminal()) return reader_.study();
      const auto now = std::chrono::steady_clock::now();
      if (now - looked_after_ > kLookAfter) {
        looked_after_ = now;
        if (const Status woken = supervisor_.Wake(); !woken) LogWarning(woken.error().message);
      }
      std::this_thread::sleep_for(kPoll);
    }
  }

 private:
  Status PassStopOn() {
    const int level = stop_.load();
    if (level <= told_) return {};
    LEAT_RETURN_IF_ERROR(
        store_.Append(jobs::JobKind::kTuning, name_, {"stop_requested", jobs::WallTimeNs(), {{"level", level}}}));
    told_ = level;
    looked_after_ = {};
    return {};
  }

  const std::string& name_;
  jobs::JobStore& store_;
  SupervisorClient& supervisor_;
  const std::string& state_directory_;
  const jobs::StopLevel& stop_;
  tuner::StudyReader reader_;
  int told_ = 0;
  std::chrono::steady_clock::time_point looked_after_{};
};

int ExitCodeOf(const tuner::Study& study, bool is_interrupted) {
  return study.status == "Completed" ? 0 : is_interrupted ? 130 : 1;
}

int TellEnd(const std::string& verb, const std::string& name, const tuner::Study& study, jobs::JobStore& store,
            bool json, bool is_interrupted) {
  if (json) {
    const Json description = tuner::DescribeWithParents(name, study, store);
    std::printf("%s\n", description.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    std::printf("\n%s: %s\n%s", name.c_str(), study.status.c_str(),
                tuner::StudyTable(study, TerminalColumns()).c_str());
  }
  for (const auto& line : tuner::FailureLines(study)) ComplainLines(verb, line);
  if (!study.failure_reason.empty()) ComplainLines(verb, study.failure_reason);
  return ExitCodeOf(study, is_interrupted);
}

}  // namespace

size_t TerminalColumns() {
  const winsize size = TerminalSize();
  return size.ws_col == 0 ? 80 : std::max<size_t>(size.ws_col, kColumnsMin);
}

int FollowStudy(const std::string& verb, const std::string& name, jobs::JobStore& store, SupervisorClient& supervisor,
                const std::string& state_directory, const jobs::StopLevel& stop, bool json) {
  FILE* const out = json ? stderr : stdout;
  Follower follower(name, store, supervisor, state_directory, stop);
  if (isatty(fileno(out)) != 0) {
    Screen screen(out);
    auto drawn = std::chrono::steady_clock::time_point();
    int64_t shown_ns = 0;
    const auto study = follower.Run([&](const tuner::Study& now) {
      if (now.modified_ns == shown_ns && std::chrono::steady_clock::now() - drawn < kDrawAfter) return;
      shown_ns = now.modified_ns;
      drawn = std::chrono::steady_clock::now();
      screen.Draw(name, now);
    });
    screen.Erase();
    return study ? TellEnd(verb, name, *study, store, json, stop.load() > 0) : Complain(verb, study.error());
  }
  const auto at_first = tuner::LoadStudy(store, name);
  if (!at_first) return Complain(verb, at_first.error());
  ChangeLines display(out, verb, at_first->job.definitions[0].objective);
  jobs::QueuedObserver queue(display);
  queue.Start();
  std::map<std::string, std::unique_ptr<jobs::JobFollower>> children;
  std::map<std::string, bool> has_ended;
  std::string schedule;
  const auto study = follower.Run([&](const tuner::Study& now) {
    if (schedule.empty() && !now.schedule.empty()) queue.OnWarning(name, "waiting: " + now.schedule);
    schedule = now.schedule;
    for (const auto& trial : now.trials) {
      if (!trial.was_submitted || has_ended[trial.job_name]) continue;
      auto& child = children[trial.job_name];
      if (!child) child = std::make_unique<jobs::JobFollower>(store, state_directory, trial.job_name, queue, false);
      const auto turned = child->Turn();
      if (!turned && turned.error().code != ErrorCode::kNotFound)
        LogWarning("training job " + trial.job_name + ": " + turned.error().message);
      if (!turned.value_or(false)) continue;
      has_ended[trial.job_name] = true;
      children.erase(trial.job_name);
      if (!trial.stop_reason.empty()) queue.OnWarning(trial.job_name, "stopped early: " + trial.stop_reason);
    }
  });
  const bool is_all_shown = queue.Finish(kReaderPatience);
  const std::string status = study ? study->status : "its state cannot be read";
  const int exit_code = study ? ExitCodeOf(*study, stop.load() > 0) : 1;
  // The queue's thread stands in a write: only the end of the process ends it.
  if (!is_all_shown && (!json || !study)) LeaveUnread(verb, name, status, exit_code);
  if (!study) return Complain(verb, study.error());
  TellEnd(verb, name, *study, store, json, stop.load() > 0);
  std::fflush(stdout);
  if (!is_all_shown) LeaveUnread(verb, name, status, exit_code);
  return exit_code;
}

}  // namespace leat::cli
