// SPDX-License-Identifier: Apache-2.0
// What the system says of a path as a mountpoint. Never touches a mounted file system from the calling process, which a
// hung one would hold for ever.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"

namespace leat::fuse {

struct MountedFileSystem {
  std::string device;  // "0:57"
  std::string type;    // "fuse.leat"
};
// The path with its directory's symlinks resolved and its own name untouched.
std::string CanonicalMountpoint(const std::string& path);
// What is mounted exactly there, the topmost; from /proc/self/mountinfo.
std::optional<MountedFileSystem> MountedAt(const std::string& path);
// umount2, or fusermount3 where that is not permitted. kBusy: a process has it in use (not with `lazy`).
Status Detach(const std::string& path, bool lazy);

}  // namespace leat::fuse
