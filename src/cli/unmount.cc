// SPDX-License-Identifier: Apache-2.0
// leat unmount.
#include "cli/daemon_client.h"
#include "cli/mount_registry.h"
#include "cli/verbs.h"
#include "fuse/mount.h"

namespace leat::cli {
namespace {

Status RunUnmount(const std::string& path, const std::string& state_option, bool force) {
  LEAT_ASSIGN_OR_RETURN(const std::string mountpoint, ResolvedMountpoint(path));
  std::string state = AbsoluteOption(state_option);
  if (state.empty()) {
    const auto registered = FindRegisteredMount(mountpoint);
    state = registered ? registered->state_directory : DefaultStateDirectory();
  }
  const auto result =
      CallDaemon(state, {{"verb", "unmount"}, {"mountpoint", mountpoint}, {"force", force}}, StartPolicy::kMustRun);
  if (result) return {};
  // What a daemon that died has left is not in any daemon's table.
  if (result.error().code == ErrorCode::kNotFound) {
    const auto found = fuse::InspectMountpoint(mountpoint);
    if (found == fuse::MountpointState::kDead) {
      LEAT_RETURN_IF_ERROR(fuse::CleanDeadMount(mountpoint));
      UnregisterMount(mountpoint);
      return {};
    }
    if (found == fuse::MountpointState::kLeatMounted) {
      return Fail(ErrorCode::kNotFound, mountpoint + " is served by another daemon; name it with --state-dir");
    }
    return Fail(ErrorCode::kNotFound, mountpoint + " is not a mounted Leat file system (leat status lists them)");
  }
  return Fail(result.error());
}

// Every file system of one state directory; goes on after a failure and reports the first.
Status RunUnmountAll(const std::string& state_option, bool force) {
  const std::string state = state_option.empty() ? DefaultStateDirectory() : AbsoluteOption(state_option);
  const auto status = CallDaemon(state, {{"verb", "status"}}, StartPolicy::kMustRun);
  if (!status && status.error().code != ErrorCode::kNotFound) return Fail(status.error());
  Status first;
  if (!status) {  // what a daemon that died has left
    for (const auto& mount : RegisteredMounts()) {
      if (mount.state_directory != state) continue;
      if (fuse::InspectMountpoint(mount.mountpoint) != fuse::MountpointState::kDead) continue;
      const Status cleaned = fuse::CleanDeadMount(mount.mountpoint);
      if (cleaned) UnregisterMount(mount.mountpoint);
      if (!cleaned && first) first = cleaned;
    }
    return first;
  }
  for (const auto& file_system : (*status)["file_systems"]) {
    if (!file_system["mountpoint"].is_string()) continue;
    const auto done =
        CallDaemon(state, {{"verb", "unmount"}, {"mountpoint", file_system["mountpoint"]}, {"force", force}},
                   StartPolicy::kMustRun);
    if (!done && first) first = Fail(done.error());
  }
  return first;
}

}  // namespace

void AddUnmountCommand(CLI::App& app, int& exit_code) {
  struct Arguments {
    std::string mountpoint, state_directory;
    bool force = false, all = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* verb = app.add_subcommand("unmount", "Unmount a file system; what it has cached stays");
  verb->footer("Example:\n  leat unmount /mnt/data");
  verb->add_option("MOUNTPOINT", arguments->mountpoint, "Where it is mounted");
  verb->add_option("--state-dir", arguments->state_directory,
                   "The daemon's state directory (found by itself as a rule)");
  verb->add_flag("--force", arguments->force, "Detach it even while programs use it");
  verb->add_flag("--all", arguments->all, "Every file system of the state directory")->excludes("MOUNTPOINT");
  verb->callback([arguments, &exit_code] {
    if (!arguments->all && arguments->mountpoint.empty()) throw CLI::RequiredError("MOUNTPOINT or --all");
    const auto status = arguments->all
                            ? RunUnmountAll(arguments->state_directory, arguments->force)
                            : RunUnmount(arguments->mountpoint, arguments->state_directory, arguments->force);
    exit_code = status ? 0 : Complain("unmount", status.error());
  });
}

}  // namespace leat::cli
