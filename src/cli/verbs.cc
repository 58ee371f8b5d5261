// SPDX-License-Identifier: Apache-2.0
#include "cli/verbs.h"

#include <cstdio>

#include "base/log.h"
#include "cli/daemon_client.h"
#include "cli/mount_registry.h"

namespace leat::cli {

int Complain(const std::string& verb, const Error& error) {
  std::fprintf(stderr, "leat %s: %s\n", verb.c_str(), EscapeForDisplay(error.message).c_str());
  return error.code == ErrorCode::kInvalidArgument ? 2 : 1;
}

std::string AbsoluteOption(const std::string& path) {
  if (path.empty()) return path;
  return AbsolutePath(path).value_or(path);
}

Result<ServedPath> FindServed(const std::string& path, const std::string& state_directory) {
  LEAT_ASSIGN_OR_RETURN(LocatedPath located, LocatePath(path));
  std::string state = AbsoluteOption(state_directory);
  if (state.empty()) {
    const auto registered = FindRegisteredMount(located.mountpoint);
    state = registered ? registered->state_directory : DefaultStateDirectory();
  }
  return ServedPath{std::move(state), std::move(located.mountpoint), std::move(located.relative)};
}

}  // namespace leat::cli
