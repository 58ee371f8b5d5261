// SPDX-License-Identifier: Apache-2.0
// Which state directory serves which mountpoint, so that verbs which name a path need no --state-dir: one small file a
// mount in a run-time directory ($XDG_RUNTIME_DIR/leat, for root /run/leat, else /tmp/leat-UID), written by the daemon.
// Other users may read root's, so that a verb can tell them whose daemon serves a path.
// Entries of daemons that died stay until the mountpoint is used again; whoever reads one asks the daemon before
// believing it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace leat::cli {

struct RegisteredMount {
  std::string mountpoint;
  std::string file_system;
  std::string state_directory;
};

Status RegisterMount(const RegisteredMount& mount);
// The same into `directory`, as 0644 files of a 0755 directory below a 0755 parent whatever the umask: for tests.
Status RegisterMountIn(const std::string& directory, const RegisteredMount& mount);
void UnregisterMount(const std::string& mountpoint);
// Of this user's and root's daemons.
std::optional<RegisteredMount> FindRegisteredMount(const std::string& mountpoint);
std::vector<RegisteredMount> RegisteredMounts();

// A Leat mount that a path lies on, told from /proc/self/mountinfo and the path's text alone (nothing that a dead mount
// could hold up is touched, unless no Leat mount contains the text and symlinks must be followed).
struct LocatedPath {
  std::string mountpoint;
  std::string relative;  // "" for the mountpoint itself
};
// kNotFound: "PATH is not on a Leat file system (leat status lists them)".
Result<LocatedPath> LocatePath(const std::string& path);
// Absolute, without "." and ".." components and double slashes; symlinks stay.
Result<std::string> AbsolutePath(const std::string& path);
// The same with the symlinks of everything but a dead or missing last component resolved.
Result<std::string> ResolvedMountpoint(const std::string& path);
// The user who mounted `mountpoint` (user_id=), told from the text of /proc/self/mountinfo.
std::optional<uint32_t> UserOfMount(std::string_view mountinfo, const std::string& mountpoint);
// Mountpoints whose source is "leat#...", in /proc/self/mountinfo's order; `text` is that file's contents.
std::vector<std::string> LeatMountpoints(std::string_view text);

}  // namespace leat::cli
