// SPDX-License-Identifier: Apache-2.0
// leat status.
#include <algorithm>
#include <cstdio>

#include "cli/daemon_client.h"
#include "cli/mount_registry.h"
#include "cli/status_text.h"
#include "cli/verbs.h"

namespace leat::cli {
namespace {

struct Arguments {
  std::string mountpoint, state_directory;
  bool json = false;
};

// Without an option: the default one first, then those of mounts in other places.
std::vector<std::string> StateDirectories(const std::string& option) {
  if (!option.empty()) return {AbsoluteOption(option)};
  std::vector<std::string> directories = {DefaultStateDirectory()};
  for (const auto& mount : RegisteredMounts()) {
    if (std::find(directories.begin(), directories.end(), mount.state_directory) == directories.end()) {
      directories.push_back(mount.state_directory);
    }
  }
  return directories;
}

Status RunStatus(const Arguments& arguments) {
  Json request = {{"verb", "status"}};
  std::vector<std::string> directories = StateDirectories(arguments.state_directory);
  if (!arguments.mountpoint.empty()) {
    LEAT_ASSIGN_OR_RETURN(const ServedPath served, FindServed(arguments.mountpoint, arguments.state_directory));
    request["mountpoint"] = served.mountpoint;
    directories = {served.state_directory};
  }
  bool any = false;
  for (const std::string& directory : directories) {
    auto status = CallDaemon(directory, request, StartPolicy::kMustRun);
    if (!status) {
      // No daemon there, or, with a mountpoint named, no such mount: only the latter is an error.
      if (arguments.mountpoint.empty() && status.error().code == ErrorCode::kNotFound) continue;
      return Fail(status.error());
    }
    if (arguments.json) {
      std::printf("%s\n", status->dump(2, ' ', false, Json::error_handler_t::replace).c_str());
      return {};
    }
    std::printf("%s%s", any ? "\n" : "", RenderStatus(*status).c_str());
    any = true;
  }
  if (any) return {};
  if (arguments.json) {
    std::printf("{\"daemon\":null,\"file_systems\":[]}\n");
  } else {
    std::printf("no file system is mounted from %s\n", directories.front().c_str());
  }
  return {};
}

}  // namespace

void AddStatusCommand(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("status", "Show what is mounted, cached and being fetched");
  verb->footer("Examples:\n  leat status\n  leat status /mnt/data --json");
  verb->add_option("MOUNTPOINT", arguments->mountpoint, "Only this one");
  verb->add_option("--state-dir", arguments->state_directory, "The daemon's state directory");
  verb->add_flag("--json", arguments->json, "For programs (docs/status-json.md)");
  verb->callback([arguments, &exit_code] {
    const auto status = RunStatus(*arguments);
    exit_code = status ? 0 : Complain("status", status.error());
  });
}

}  // namespace leat::cli
