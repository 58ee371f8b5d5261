// SPDX-License-Identifier: Apache-2.0
// leat mount, and the daemon that it starts.
#include <cstdio>
#include <mutex>
#include <optional>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "cli/daemon.h"
#include "cli/daemon_client.h"
#include "cli/daemon_start.h"
#include "cli/detached_process.h"
#include "cli/memory_budget.h"
#include "cli/mount_registry.h"
#include "cli/verbs.h"

namespace leat::cli {
namespace {

struct MountArguments {
  std::string repository, mountpoint, name, state_directory, capacity, memory, endpoint_url, region, profile;
  std::string file_mode, directory_mode;
  std::optional<uint32_t> uid, gid;
  bool no_sign_request = false, request_payer = false, allow_other = false, foreground = false;
};

Result<uint32_t> ParseMode(const std::string& text) {
  uint32_t mode = 0;
  for (const char c : text) {
    if (c < '0' || c > '7' || mode > 0777) {
      return Fail(ErrorCode::kInvalidArgument, "'" + text + "' is not a mode; write it in octal, such as 0644");
    }
    mode = mode * 8 + static_cast<uint32_t>(c - '0');
  }
  if (text.empty() || mode > 0777) {
    return Fail(ErrorCode::kInvalidArgument, "'" + text + "' is not a mode; write it in octal, such as 0644");
  }
  return mode;
}

Result<Json> RequestOf(const MountArguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(const std::string mountpoint, ResolvedMountpoint(arguments.mountpoint));
  Json request = {{"verb", "mount"},
                  {"repository", arguments.repository},
                  {"mountpoint", mountpoint},
                  {"environment", CallerEnvironment()},
                  {"no_sign_request", arguments.no_sign_request},
                  {"request_payer", arguments.request_payer},
                  {"allow_other", arguments.allow_other}};
  const auto add = [&](const char* member, const std::string& value) {
    if (!value.empty()) request[member] = value;
  };
  add("name", arguments.name);
  add("endpoint_url", arguments.endpoint_url);
  add("region", arguments.region);
  add("profile", arguments.profile);
  if (arguments.uid) request["uid"] = *arguments.uid;
  if (arguments.gid) request["gid"] = *arguments.gid;
  if (!arguments.file_mode.empty()) {
    LEAT_ASSIGN_OR_RETURN(request["file_mode"], ParseMode(arguments.file_mode));
  }
  if (!arguments.directory_mode.empty()) {
    LEAT_ASSIGN_OR_RETURN(request["directory_mode"], ParseMode(arguments.directory_mode));
  }
  if (!arguments.capacity.empty()) {
    LEAT_ASSIGN_OR_RETURN(const uint64_t capacity, ParseBytes(arguments.capacity));
    if (capacity == 0) return Fail(ErrorCode::kInvalidArgument, "--capacity must be more than nothing");
    request["capacity_bytes"] = capacity;
  }
  if (!arguments.memory.empty()) {
    LEAT_ASSIGN_OR_RETURN(const uint64_t memory, ParseBytes(arguments.memory));
    LEAT_RETURN_IF_ERROR(CheckMemoryBytes(memory));
    request["memory_bytes"] = memory;
  }
  return request;
}

void Tell(const Json& result) {
  for (const Json& note : result.value("notes", Json::array())) {
    std::fprintf(stderr, "leat mount: note: %s\n", note.get<std::string>().c_str());
  }
  std::printf("%s at %s (%s)\n", result.value("repository", "").c_str(),
              EscapeForDisplay(result.value("mountpoint", "")).c_str(), result.value("id", "").c_str());
  std::fflush(stdout);
}

// The daemon in this process, until its file system is unmounted or a signal comes.
Result<int> MountInForeground(const std::string& state_directory, const Json& request) {
  BlockStopSignals();
  DaemonOptions options;
  options.state_directory = state_directory;
  options.empty_grace = std::chrono::milliseconds(0);
  if (request.contains("capacity_bytes")) options.capacity_bytes = request["capacity_bytes"].get<uint64_t>();
  if (request.contains("memory_bytes")) options.memory_bytes = request["memory_bytes"].get<uint64_t>();
  auto daemon = Daemon::Start(std::move(options));
  if (!daemon && daemon.error().code == ErrorCode::kBusy) {
    return Fail(ErrorCode::kBusy, daemon.error().message + "; leave out --foreground to mount through it, or pass a " +
                                      "--state-dir of its own");
  }
  if (!daemon) return Fail(daemon.error());
  Result<Json> mounted = Json::object();
  std::mutex mutex;
  bool gone = false;  // the daemon is being taken down; protected by mutex
  {
    std::jthread mounting([&] {
      mounted = CallDaemon(state_directory, request, StartPolicy::kMustRun);
      if (mounted) {
        Tell(*mounted);
      } else {
        std::lock_guard lock(mutex);
        if (!gone) (*daemon)->RequestStop();
      }
    });
    (*daemon)->Run();
    {
      std::lock_guard lock(mutex);
      gone = true;
    }
    // Run has ended, so the request, if it still waits, ends with the server.
    daemon->reset();
  }
  if (!mounted) return Fail(mounted.error());
  return 0;
}

Result<int> RunMount(const MountArguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(const Json request, RequestOf(arguments));
  const std::string state =
      arguments.state_directory.empty() ? DefaultStateDirectory() : AbsoluteOption(arguments.state_directory);
  if (arguments.foreground) return MountInForeground(state, request);
  LEAT_ASSIGN_OR_RETURN(const Json result, CallDaemon(state, request, StartPolicy::kStartIfAbsent));
  Tell(result);
  return 0;
}

}  // namespace

void AddMountCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<MountArguments>();
  CLI::App* verb = app.add_subcommand("mount", "Mount a repository as a file system");
  verb->footer(
      "Examples:\n"
      "  leat mount s3://my-bucket/imagenet/ /mnt/data\n"
      "  leat mount s3://my-bucket/ ~/data --endpoint-url http://127.0.0.1:9000\n"
      "  leat mount file:///srv/corpus /mnt/data --name corpus");
  verb->add_option("REPOSITORY", arguments->repository, "s3://BUCKET[/PREFIX] or file:///PATH")->required();
  verb->add_option("MOUNTPOINT", arguments->mountpoint, "An existing directory")->required();
  verb->add_option("--name", arguments->name, "The file system's name (default: from bucket and prefix)");
  verb->add_option("--state-dir", arguments->state_directory,
                   "Cache and settings (default: " + DefaultStateDirectory() + ")");
  verb->add_option("--capacity", arguments->capacity, "Cache size, such as 200G (default: half of what is free)");
  verb->add_option("--memory", arguments->memory,
                   "The daemon's memory, such as 256M (default: an eighth of what a process may use, 64M to 512M)");
  verb->add_option("--endpoint-url", arguments->endpoint_url, "An S3 endpoint other than Amazon's");
  verb->add_option("--region", arguments->region, "The bucket's region");
  verb->add_option("--profile", arguments->profile, "A profile of the AWS configuration files");
  verb->add_flag("--no-sign-request", arguments->no_sign_request, "Ask without credentials (public buckets)");
  verb->add_flag("--request-payer", arguments->request_payer, "Agree to pay for requests (requester-pays buckets)");
  verb->add_option("--uid", arguments->uid, "Owner shown where the repository names none (default: you)");
  verb->add_option("--gid", arguments->gid, "Group shown where the repository names none");
  verb->add_option("--file-mode", arguments->file_mode, "Mode of files, octal (default 0644)");
  verb->add_option("--dir-mode", arguments->directory_mode, "Mode of directories, octal (default 0755)");
  verb->add_flag("--allow-other", arguments->allow_other, "Let other users in, by the modes shown");
  verb->add_flag("--foreground", arguments->foreground, "Serve from this process until unmounted or Ctrl-C");
  verb->callback([arguments, &exit_code] {
    const auto result = RunMount(*arguments);
    exit_code = result ? *result : Complain("mount", result.error());
  });
}

void AddDaemonCommand(CLI::App& app, int& exit_code) {
  struct Arguments {
    std::string state_directory;
    DaemonLimits limits;
    std::optional<uint64_t> active_for_s;
    int ready_fd = -1;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("daemon", "")->group("");
  verb->add_option("--state-dir", arguments->state_directory)->required();
  verb->add_option("--capacity", arguments->limits.capacity_bytes);
  verb->add_option("--memory", arguments->limits.memory_bytes);
  verb->add_option("--active-for", arguments->active_for_s);
  verb->add_option("--ready-fd", arguments->ready_fd);
  verb->callback([arguments, &exit_code] {
    exit_code =
        RunDaemonProcess(arguments->state_directory, arguments->limits, arguments->active_for_s, arguments->ready_fd);
  });
}

}  // namespace leat::cli
