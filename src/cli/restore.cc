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
#include "cli/status_text.h"
#include "cli/verbs.h"

namespace leat::cli {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::chrono::seconds kPlainLineEvery{10};  // in a pipe or a log
constexpr size_t kLineWidth = 79;                    // on a terminal: 80 would wrap
constexpr size_t kRequestBytesMax = 768u << 10;      // the protocol's line holds 1 MiB; paths may need escapes

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
    files_ += Number(result, "files_done");
    bytes_ += Number(result, "bytes_done");
    skipped_ += Number(result, "files_skipped");
    started_ += Number(result, "paths");
  }
  void Clear() {
    if (drawn_) std::fprintf(stderr, "\r%*s\r", static_cast<int>(kLineWidth), "");
    drawn_ = false;
  }
  void Started() const {
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
};

// One file system's share of the command, in requests that fit the protocol's lines.
Status RestoreOn(const std::string& state_directory, const std::string& mountpoint,
                 const std::vector<std::string>& paths, bool plan, bool wait, ProgressLine& line) {
  for (size_t next = 0; next < paths.size();) {
    Json part = Json::array();
    for (size_t bytes = 0; next < paths.size() && bytes < kRequestBytesMax; ++next) {
      bytes += 4 * paths[next].size() + 4;
      part.push_back(paths[next]);
    }
    // The parts of a plan go one after another, in its order.
    const Json request = {{"verb", "restore"}, {"paths", part}, {"plan", plan}, {"wait", wait}};
    LEAT_ASSIGN_OR_RETURN(const Json result, CallMounted(state_directory, mountpoint, request,
                                                         [&](const Json& progress) { line.Show(progress); }));
    line.Add(result);
  }
  return {};
}

// The plan's paths, relative to the mount. With no PATH given, the first absolute line tells which mount.
Result<std::pair<ServedPath, std::vector<std::string>>> ReadPlan(const Arguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(const std::string text, ReadFile(arguments.plan, 1u << 30));
  std::vector<std::string> lines;
  for (std::string& line : Split(text, '\n')) {
    if (!line.empty()) lines.push_back(std::move(line));
  }
  if (lines.empty()) return Fail(ErrorCode::kInvalidArgument, arguments.plan + " names no file");
  const auto absolute = std::find_if(lines.begin(), lines.end(), [](const auto& line) { return line[0] == '/'; });
  if (arguments.paths.empty() && absolute == lines.end()) {
    return Fail(ErrorCode::kInvalidArgument,
                arguments.plan + " names no absolute path; say which mount it is for: leat restore MOUNTPOINT --plan " +
                    arguments.plan);
  }
  const std::string& anchor = arguments.paths.empty() ? *absolute : arguments.paths[0];
  LEAT_ASSIGN_OR_RETURN(ServedPath served, FindServed(anchor, arguments.state_directory));
  std::vector<std::string> paths;
  paths.reserve(lines.size());
  for (std::string& line : lines) {
    if (line[0] != '/') {
      paths.push_back(std::move(line));
    } else if (line.compare(0, served.mountpoint.size() + 1, served.mountpoint + "/") == 0) {
      paths.push_back(line.substr(served.mountpoint.size() + 1));
    } else {
      return Fail(ErrorCode::kInvalidArgument,
                  arguments.plan + " names " + line + ", which is not below " + served.mountpoint);
    }
  }
  return std::pair(std::move(served), std::move(paths));
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
    if (auto plan = ReadPlan(arguments)) {
      note(RestoreOn(plan->first.state_directory, plan->first.mountpoint, plan->second, true, arguments.wait, line));
    } else {
      note(Fail(plan.error()));
    }
  } else {
    std::map<std::pair<std::string, std::string>, std::vector<std::string>> by_mount;
    for (const std::string& path : arguments.paths) {
      if (auto served = FindServed(path, arguments.state_directory)) {
        by_mount[{served->state_directory, served->mountpoint}].push_back(served->relative);
      } else {
        note(Fail(served.error()));
      }
    }
    for (const auto& [where, paths] : by_mount)
      note(RestoreOn(where.first, where.second, paths, false, arguments.wait, line));
  }
  if (exit_code != 0) return exit_code;
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
      "  leat restore /mnt/data --plan epoch1.txt    (a path a line, in order of use)");
  verb->add_option("PATH", arguments->paths, "Files, or directories with all below them");
  verb->add_flag("--wait", arguments->wait, "Show progress until all is there; Ctrl-C cancels the rest");
  verb->add_option("--plan", arguments->plan,
                   "A file of paths, relative to the mount or absolute, restored in that order");
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
