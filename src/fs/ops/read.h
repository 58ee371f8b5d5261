// SPDX-License-Identifier: Apache-2.0
// Contents of a file. Two steps: ReadNow from the cache, then Read for what must be fetched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "base/result.h"
#include "fs/file_system.h"
#include "fs/read_account.h"
#include "hydrate/hydrator.h"

namespace leat::fs {

// Bytes read into `out` from `offset`, fewer only at the end of the file. Absent: not in the cache. `reader`: the
// number of the thread that asks, in whose job's account the READ goes; 0: in nobody's.
std::optional<Result<size_t>> ReadNow(FileSystem& file_system, InodeId inode, uint64_t offset, std::span<std::byte> out,
                                      int reader = 0);
// For a READ that ReadNow left open: counts it as waiting for the repository. Null: in nobody's account. The file
// system outlives it.
std::shared_ptr<ReadWait> BeginWait(FileSystem& file_system, int reader);
// Fetches. An object that changed or went ends in kObjectChanged, once the catalog has the new state and the kernel was
// told: opening the name again then gives the new version.
void Read(FileSystem& file_system, InodeId inode, uint64_t offset, uint64_t length,
          std::function<void(Result<hydrate::DataSlice>)> done);

}  // namespace leat::fs
