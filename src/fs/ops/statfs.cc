// SPDX-License-Identifier: Apache-2.0
#include "fs/ops/statfs.h"

#include "fs/file_system_implementation.h"

namespace leat::fs {

Totals FileSystemTotals(FileSystem& file_system) {
  const catalog::CatalogTotals totals = Implementation(file_system).catalog().Totals();
  return {.bytes = totals.bytes, .inodes = totals.files + totals.directories};
}

void CountKernelRequest(FileSystem& file_system) {
  FileSystemImplementation& self = Implementation(file_system);
  self.counters().kernel_requests.fetch_add(1, std::memory_order_relaxed);
  self.TouchUse();
}

}  // namespace leat::fs
