// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "fs/file_system.h"

namespace leat::fs {

struct Totals {
  uint64_t bytes = 0, inodes = 0;
};
// What df shows: the repository's size as far as it is known; nothing is free, since nothing can be written.
Totals FileSystemTotals(FileSystem& file_system);
// A request of the kernel, of any kind, has come.
void CountKernelRequest(FileSystem& file_system);

}  // namespace leat::fs
