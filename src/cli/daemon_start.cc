// SPDX-License-Identifier: Apache-2.0
#include "cli/daemon_start.h"

#include <fcntl.h>

#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "cli/daemon.h"
#include "cli/detached_process.h"
#include "cli/state_directory.h"

namespace leat::cli {

Status StartDaemonProcess(const std::string& state_directory, const DaemonLimits& limits) {
  LEAT_RETURN_IF_ERROR(CreateDirectories(state_directory, 0700));
  std::vector<std::string> arguments = {"daemon", "--state-dir", state_directory};
  const auto add = [&](const char* option, std::optional<uint64_t> bytes) {
    if (bytes) arguments.insert(arguments.end(), {option, std::to_string(*bytes)});
  };
  add("--capacity", limits.capacity_bytes);
  add("--memory", limits.memory_bytes);
  return StartDetached(std::move(arguments), StatePaths(state_directory).DaemonLog(), "the daemon");
}

int RunDaemonProcess(const std::string& state_directory, const DaemonLimits& limits,
                     std::optional<uint64_t> active_for_s, int ready_fd) {
  if (ready_fd >= 0) fcntl(ready_fd, F_SETFD, FD_CLOEXEC);
  BlockStopSignals();
  if (const auto status = LogToFile(StatePaths(state_directory).DaemonLog()); !status) {
    LogWarning(status.error().message);  // to standard error, which is the same file
  }
  DaemonOptions options;
  options.state_directory = state_directory;
  options.capacity_bytes = limits.capacity_bytes;
  options.memory_bytes = limits.memory_bytes;
  if (active_for_s) options.active_for = std::chrono::seconds(*active_for_s);
  auto daemon = Daemon::Start(std::move(options));
  if (!daemon) LogError("cannot start: " + daemon.error().message);
  ReportStart(ready_fd, daemon ? Status() : Status(Fail(daemon.error())));
  if (!daemon) return 1;
  (*daemon)->Run();
  daemon->reset();
  return 0;
}

}  // namespace leat::cli
