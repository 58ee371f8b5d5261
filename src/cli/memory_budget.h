// SPDX-License-Identifier: Apache-2.0
// The daemon's memory: how much it may take, and who of it how much. The only place that says so; each part is kept by
// whom it is given to. Pure, but for UsableMemory. All sizes in bytes.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace leat::cli {

struct MemoryBudget {
  uint64_t total = 0;      // the sum of what follows
  uint64_t data = 0;       // chunks in flight and held for readers, network buffers (hydrate::HydratorOptions)
  uint64_t databases = 0;  // blocks and write buffers of the index and of all catalogs (database::DatabaseMemory)
  uint64_t inodes = 0;     // records of inodes in use, of all file systems (fs::InodeCache)
  uint64_t extents = 0;    // where small objects lie in the cache (cache::CacheOptions)
  uint64_t rest = 0;  // of the program itself: stacks, buffers of the kernel's requests, listings, what the allocator
                      // holds back; not counted, but small
};

inline constexpr uint64_t kMemoryBytesMin = 64u << 20;

// `total` is at least kMemoryBytesMin.
MemoryBudget DivideMemory(uint64_t total);
// Of a process that may use `usable`: an eighth, since training is what the memory is for; not less than what works
// well, and no more than brings anything: 128 requests at a time, and caches beside them.
uint64_t DefaultMemoryBytes(uint64_t usable);
// kInvalidArgument, naming --memory, when it is less than kMemoryBytesMin.
Status CheckMemoryBytes(uint64_t bytes);

// The smallest of the machine's memory and the limits of this process's control group and of all above it, of both
// versions. `root` is put before every path that is read (for tests). Without /proc: kMemoryBytesMin.
uint64_t UsableMemory(const std::string& root = "");

}  // namespace leat::cli
