// SPDX-License-Identifier: Apache-2.0
// leat restore: fetch contents ahead of their use.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/daemon_client.h"
#include "cli/mount_registry.h"
#include "cli/plan_lines.h"
#include "cli/status_text.h"
#include "cli/verbs.h"

namespace leat::cli {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::chrono::seconds kPlainLineEvery{10};  // in a pipe or a log
constexpr size_t kLineWidth = 79;                    // on a terminal: 80 would wrap
constexpr size_t kRequestBytesMax = 768u << 10;      // the protocol's line holds 1 MiB; paths may need escapes
constexpr size_t kMistakesShownMax = 20;             // lines of a plan that name no file

struct Arguments {
  std::vector<std::string> paths;
  std::string plan, state_directory;
  bool wait = false;
};

uint64_t Number(const Json& object, const char* member) {
  const auto found = object.find(member);
  return found != object.end() && found->is_number() ? found->get<uint64_t>() : 0;
}

// What --wait shows meanwhile and at the end, over all requests of the command.
class ProgressLine {
 public:
  void Show(const Json& progress) {
    const auto now = std::chrono::steady_clock::now();
    if (!terminal_ && now - shown_ < kPlainLineEvery) return;
    shown_ = now;
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const uint64_t bytes = Number(progress, "bytes_done");
    const double rate = seconds > 0 ? static_cast<double>(bytes) / seconds : 0;
    std::string line = Counted(files_ + Number(progress, "files_done"), "file") + ", " + FormatBytes(bytes_ + bytes) +
                       " restored, " + FormatBytes(static_cast<uint64_t>(rate)) + "/s";
    const uint64_t total = Number(progress, "bytes");
    if (total > bytes && rate > 0) line += ", " + FormatSeconds(static_cast<double>(total - bytes) / rate) + " left";
    if (const uint64_t failed = Number(progress, "files_failed")) line += ", " + FormatCount(failed) + " failed";
    if (terminal_) {
      line.resize(kLineWidth, ' ');
      std::fprintf(stderr, "\r%s", line.c_str());
      drawn_ = true;
    } else {
      std::fprintf(stderr, "%s\n", line.c_str());
    }
    std::fflush(stderr);
  }
  void Add(const Json& result) {
    AddDone(result);
    started_ += Number(result, "paths");
  }
  void AddDone(const Json& result) {
    files_ += Number(result, "files_done");
    bytes_ += Number(result, "bytes_done");
    skipped_ += Number(result, "files_skipped");
  }
  void AddPlanned(uint64_t count) {
    started_ += count;
    planned_ = true;
  }
  bool planned() const { return planned_; }
  void Clear() {
    if (drawn_) std::fprintf(stderr, "\r%*s\r", static_cast<int>(kLineWidth), "");
    drawn_ = false;
  }
  void Started() const {
    if (started_ == 0) return;  // of a plan that names no file
    std::printf("restoring %s in the background; leat status shows it\n", Counted(started_, "path").c_str());
  }
  void Summary() {
    Clear();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    std::printf("restored %s, %s in %s", Counted(files_, "file").c_str(), FormatBytes(bytes_).c_str(),
                FormatSeconds(seconds).c_str());
    if (skipped_) std::printf("; %s not kept: the cache is full", Counted(skipped_, "file").c_str());
    std::printf("\n");
  }

 private:
  const bool terminal_ = isatty(STDERR_FILENO) == 1;
  const SteadyTime start_ = std::chrono::steady_clock::now();
  SteadyTime shown_ = start_;
  bool drawn_ = false;
  uint64_t files_ = 0, bytes_ = 0, skipped_ = 0;
  uint64_t started_ = 0;  // paths that go on in the background
  bool planned_ = false;  // those of a whole plan, with the lines that name no file passed over
};

// One file system's share of the command, in requests that fit the protocol's lines.
Status RestoreOn(const std::string& state_directory, const std::string& mountpoint,
                 const std::vector<std::string>& paths, bool wait, ProgressLine& line) {
  for (size_t next = 0; next < paths.size();) {
    Json part = Json::array();
    for (size_t bytes = 0; next < paths.size() && bytes < kRequestBytesMax; ++next) {
      bytes += 4 * paths[next].size() + 4;
      part.push_back(paths[next]);
    }
    const Json request = {{"verb", "restore"}, {"paths", part}, {"wait", wait}};
    LEAT_ASSIGN_OR_RETURN(const Json result, CallMounted(state_directory, mountpoint, request,
                                                         [&](const Json& progress) { line.Show(progress); }));
    line.Add(result);
  }
  return {};
}

// A plan on its way to the daemon, a part at a time. Its mistakes are shown, the rest goes on.
class PlanSender {
 public:
  PlanSender(PlanLines& lines, const ServedPath& served, const std::vector<std::string>& roots, bool wait,
             ProgressLine& progress)
      : lines_(lines), served_(served), roots_(roots), wait_(wait), progress_(progress) {}

  Status Run() {
    LEAT_ASSIGN_OR_RETURN(const auto connection, MountedConnection::Open(served_.state_directory, served_.mountpoint));
    LEAT_ASSIGN_OR_RETURN(std::optional<PlanLine> line, lines_.Next());
    if (!line) return Fail(ErrorCode::kInvalidArgument, lines_.name() + " names no file");
    while (line) {
      Json paths = Json::array();
      std::vector<uint64_t> numbers;
      for (size_t bytes = 0; line && bytes < kRequestBytesMax;) {
        ++named_;
        bytes += 4 * line->text.size() + 4;
        if (auto path = PathOnMount(*line, roots_)) {
          paths.push_back(std::move(*path));
          numbers.push_back(line->number);
        } else {
          mistakes_.emplace(line->number, path.error().message);
          ++mistaken_;
        }
        LEAT_ASSIGN_OR_RETURN(line, lines_.Next());
      }
      const Json request = {{"verb", "restore"},
                            {"plan", true},
                            {"paths", std::move(paths)},
                            {"more", line.has_value()},
                            {"wait", wait_}};
      LEAT_ASSIGN_OR_RETURN(const Json result, connection->Call(request, [&](const Json& now) { Show(now); }));
      Take(result, numbers);
      for (const auto& [number, what] : std::exchange(mistakes_, {})) Mistaken(number, what);
      if (line) {
        Show(result);
      } else {
        progress_.AddDone(result);
        if (const auto failed = result.find("failed"); failed != result.end() && failed->is_string()) {
          progress_.AddPlanned(found_);
          return Fail(ErrorCode::kIo, failed->get<std::string>());
        }
      }
    }
    progress_.AddPlanned(found_);
    if (mistaken_ == 0) return {};
    return Fail(ErrorCode::kNotFound,
                lines_.name() + ": " + FormatCount(mistaken_) + " of " + Counted(named_, "line") + " name no file on " +
                    served_.mountpoint +
                    " and were passed over: correct them, or leat import the mount if the bucket has changed");
  }

 private:
  void Show(const Json& now) {
    if (wait_) progress_.Show(now);
  }
  void Take(const Json& result, const std::vector<uint64_t>& numbers) {
    mistaken_ += Number(result, "mistaken");
    found_ += Number(result, "paths");
    const auto mistakes = result.find("mistakes");
    if (mistakes == result.end() || !mistakes->is_array()) return;
    for (const Json& mistake : *mistakes) {
      const uint64_t index = Number(mistake, "index");
      const auto message = mistake.find("message");
      if (index < numbers.size() && message != mistake.end() && message->is_string()) {
        mistakes_.emplace(numbers[index], message->get<std::string>());
      }
    }
  }
  void Mistaken(uint64_t number, const std::string& what) {
    if (shown_ == kMistakesShownMax) return;
    progress_.Clear();
    Complain("restore", {ErrorCode::kNotFound, lines_.name() + " line " + std::to_string(number) + ": " + what});
    if (++shown_ == kMistakesShownMax) {
      Complain("restore", {ErrorCode::kNotFound, "further lines like these are counted, not shown"});
    }
  }

  PlanLines& lines_;
  const ServedPath& served_;
  const std::vector<std::string>& roots_;
  const bool wait_;
  ProgressLine& progress_;
  std::map<uint64_t, std::string> mistakes_;  // of the part at hand, by line
  size_t shown_ = 0;
  uint64_t named_ = 0, found_ = 0, mistaken_ = 0;
};

// With no PATH given, the first line tells which mount.
Status RestorePlanned(const Arguments& arguments, ProgressLine& progress) {
  LEAT_ASSIGN_OR_RETURN(const auto lines, PlanLines::Open(arguments.plan));
  std::string anchor = arguments.paths.empty() ? "" : arguments.paths[0];
  if (anchor.empty()) {
    LEAT_ASSIGN_OR_RETURN(const auto first, lines->Peek());
    if (!first) return Fail(ErrorCode::kInvalidArgument, lines->name() + " names no file");
    if (first->text[0] != '/') {
      return Fail(ErrorCode::kInvalidArgument, "the first path of " + lines->name() +
                                                   " is not absolute; say which mount it is for: leat restore --plan " +
                                                   arguments.plan + " MOUNTPOINT");
    }
    anchor = first->text;
  }
  LEAT_ASSIGN_OR_RETURN(const ServedPath served, FindServed(anchor, arguments.state_directory));
  LEAT_ASSIGN_OR_RETURN(const std::string absolute, AbsolutePath(anchor));
  const std::vector<std::string> roots = MountRoots(served.mountpoint, absolute, served.relative);
  return PlanSender(*lines, served, roots, arguments.wait, progress).Run();
}

int RunRestore(const Arguments& arguments) {
  int exit_code = 0;
  ProgressLine line;
  const auto note = [&](const Status& status) {
    line.Clear();
    if (!status && exit_code == 0)
      exit_code = Complain("restore", status.error());
    else if (!status)
      Complain("restore", status.error());
  };
  if (!arguments.plan.empty()) {
    note(RestorePlanned(arguments, line));
  } else {
    std::map<std::pair<std::string, std::string>, std::vector<std::string>> by_mount;
    for (const std::string& path : arguments.paths) {
      if (auto served = FindServed(path, arguments.state_directory)) {
        by_mount[{served->state_directory, served->mountpoint}].push_back(served->relative);
      } else {
        note(Fail(served.error()));
      }
    }
    for (const auto& [where, paths] : by_mount) note(RestoreOn(where.first, where.second, paths, arguments.wait, line));
  }
  if (exit_code != 0 && !line.planned()) return exit_code;
  if (arguments.wait) {
    line.Summary();
  } else {
    line.Started();
  }
  return exit_code;
}

}  // namespace

void AddRestoreCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("restore", "Fetch the contents of files ahead of their use");
  verb->footer(
      "Examples:\n"
      "  leat restore /mnt/data/train --wait\n"
      "  leat restore --plan epoch1.txt /mnt/data --wait\n"
      "  leat restore --plan - /mnt/data < epoch1.txt\n"
      "A plan has a path a line, relative to the mount or absolute below it, in the\n"
      "order of need; empty lines are passed over, there are no comments. Lines that\n"
      "name no file are told, the rest is restored; the exit status is then 1.\n"
      "examples/image-classification/write_plan.py writes one for a PyTorch sampler.");
  verb->add_option("PATH", arguments->paths, "Files, or directories with all below them");
  verb->add_flag("--wait", arguments->wait, "Show progress until all is there; Ctrl-C cancels the rest");
  verb->add_option("--plan", arguments->plan, "A file of paths, or - for standard input, restored in that order");
  verb->add_option("--state-dir", arguments->state_directory,
                   "The daemon's state directory (found by itself as a rule)");
  verb->callback([arguments, &exit_code] {
    const auto refuse = [](const char* what) { return Complain("restore", {ErrorCode::kInvalidArgument, what}); };
    if (arguments->paths.empty() && arguments->plan.empty()) {
      exit_code = refuse("name a path, or a plan with --plan FILE");
    } else if (arguments->paths.size() > 1 && !arguments->plan.empty()) {
      exit_code = refuse("a plan is for one mount: name one PATH with --plan, or none");
    } else {
      exit_code = RunRestore(*arguments);
    }
  });
}

}  // namespace leat::cli
