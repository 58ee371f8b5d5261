// SPDX-License-Identifier: Apache-2.0
// The kernel's requests, as libfuse's low-level operations over fs/ops/.
#pragma once

#include <atomic>

#include "fs/file_system.h"
#include "fuse/kernel_notifier.h"
#include "fuse/libfuse.h"
#include "fuse/pending.h"

namespace leat::fuse {

// What the operations work on: libfuse's userdata. Outlives the session.
struct Server {
  fs::FileSystem* file_system = nullptr;
  PendingRequests pending;
  KernelNotifier* notifier = nullptr;
  // What the kernel offered at INIT.
  std::atomic<bool> no_open{false}, no_opendir{false}, parallel_directories{false};
  std::atomic<bool> init_replied{false};
};

const fuse_lowlevel_ops& Operations();

}  // namespace leat::fuse
