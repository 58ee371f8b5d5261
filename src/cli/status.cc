// SPDX-License-Identifier: Apache-2.0
// leat status.
#include <algorithm>
#include <cstdio>

#include "base/log.h"
#include "cli/daemon_client.h"
#include "cli/mount_registry.h"
#include "cli/status_text.h"
#include "cli/verbs.h"
#include "fuse/mount.h"

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

// What daemons that died have left of the state directory's mounts; `alive`: the status of the one that runs now.
Json DeadMounts(const std::string& state_directory, const Json& alive) {
  Json dead = Json::array();
  for (const auto& mount : RegisteredMounts()) {
    if (mount.state_directory != state_directory) continue;
    const Json mounted = alive.value("file_systems", Json::array());
    const bool is_alive = std::any_of(mounted.begin(), mounted.end(), [&](const Json& file_system) {
      return file_system.contains("mountpoint") && file_system["mountpoint"] == mount.mountpoint;
    });
    if (is_alive || fuse::InspectMountpoint(mount.mountpoint) != fuse::MountpointState::kDead) continue;
    dead.push_back({{"mountpoint", mount.mountpoint}, {"file_system", mount.file_system}});
  }
  return dead;
}

Json NoDaemon() { return {{"daemon", nullptr}, {"file_systems", Json::array()}}; }

std::string Text(const Json& status) { return status.dump(2, ' ', false, Json::error_handler_t::replace); }

Status ShowOne(const Arguments& arguments) {
  LEAT_ASSIGN_OR_RETURN(const ServedPath served, FindServed(arguments.mountpoint, arguments.state_directory));
  LEAT_ASSIGN_OR_RETURN(const Json status,
                        CallMounted(served.state_directory, served.mountpoint, {{"verb", "status"}}));
  std::printf("%s", arguments.json ? (Text(status) + "\n").c_str() : RenderStatus(status).c_str());
  return {};
}

Status ShowAll(const Arguments& arguments) {
  const std::vector<std::string> directories = StateDirectories(arguments.state_directory);
  std::vector<Json> found;  // of each daemon that runs
  Json dead = Json::array();
  std::string others;
  for (const std::string& directory : directories) {
    auto status = CallDaemon(directory, {{"verb", "status"}}, StartPolicy::kMustRun);
    if (!status && status.error().code == ErrorCode::kCancelled) {  // it was just ending: is there one now?
      status = CallDaemon(directory, {{"verb", "status"}}, StartPolicy::kMustRun);
    }
    if (!status && status.error().code == ErrorCode::kDenied && directory != directories.front()) {
      others += EscapeForDisplay(directory) + " is served by another user's daemon\n";  // root's, as a rule
      continue;
    }
    if (!status && status.error().code != ErrorCode::kNotFound) return Fail(status.error());
    const Json left = DeadMounts(directory, status ? *status : NoDaemon());
    if (!status) {
      dead.insert(dead.end(), left.begin(), left.end());
      continue;
    }
    (*status)["dead_mounts"] = left;
    found.push_back(std::move(*status));
  }
  if (arguments.json) {
    Json shown = found.empty() ? NoDaemon() : found.front();
    Json more = Json::array();
    for (size_t i = 1; i < found.size(); ++i) more.push_back(found[i]);
    if (!shown.contains("dead_mounts")) shown["dead_mounts"] = Json::array();
    shown["dead_mounts"].insert(shown["dead_mounts"].end(), dead.begin(), dead.end());
    shown["other_daemons"] = more;
    std::printf("%s\n", Text(shown).c_str());
    return {};
  }
  for (size_t i = 0; i < found.size(); ++i) std::printf("%s%s", i > 0 ? "\n" : "", RenderStatus(found[i]).c_str());
  if (found.empty()) std::printf("no file system is mounted from %s\n", directories.front().c_str());
  std::printf("%s%s", RenderDeadMounts({{"dead_mounts", dead}}).c_str(), others.c_str());
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
    const auto status = arguments->mountpoint.empty() ? ShowAll(*arguments) : ShowOne(*arguments);
    exit_code = status ? 0 : Complain("status", status.error());
  });
}

}  // namespace leat::cli
