// SPDX-License-Identifier: Apache-2.0
// Mount: a FileSystem at a mountpoint: the kernel session, its threads and its invalidations. The only room, with its
// neighbours in fuse/, that knows errno and libfuse.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "fs/file_system.h"

namespace leat::fuse {

struct MountOptions {
  std::string mountpoint;    // absolute, an existing directory, checked by the caller with CheckMountpoint
  std::string source;        // shown in /proc/mounts: "leat#NAME"
  bool allow_other = false;  // always with default_permissions
  unsigned session_threads = 4;
};

class Mount {
 public:
  // Mounts and starts serving on threads of its own. Errors name the cause and the remedy: no /dev/fuse, not permitted,
  // allow_other without user_allow_other, mountpoint busy.
  static Result<std::unique_ptr<Mount>> Start(MountOptions options, fs::FileSystem& file_system);
  // Unmounts (lazily if it is busy and `force`), joins the threads; replies to everything that waits first.
  virtual ~Mount() = default;
  // kBusy when a process has it in use and not `force`.
  virtual Status Unmount(bool force) = 0;
  // Called once when the session ended for another reason: `fusermount3 -u`, umount, or the kernel's abort.
  virtual void SetEndedCallback(std::function<void()> ended) = 0;
};

enum class MountpointState { kReady, kMissing, kNotADirectory, kNotPermitted, kBusyMounted, kLeatMounted, kDead };
// What is at `path` now. kDead: a FUSE mount whose daemon is gone (ENOTCONN). Never blocks on a hung mount longer than
// a second.
MountpointState InspectMountpoint(const std::string& path);
// Detaches a dead mount.
Status CleanDeadMount(const std::string& path);

}  // namespace leat::fuse
