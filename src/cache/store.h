// SPDX-License-Identifier: Apache-2.0
// Store: the parts of an open cache that reading, writing and releasing share. Internal to cache/.
// Threads: any. Commit locks serialize commits and releases of one object (64 stripes); they are held while the index
// and the object's file change, never by a read that finds its record. Lock order: commit lock, then any part's own
// mutex.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "base/file.h"
#include "cache/cache.h"
#include "cache/extent_memory.h"
#include "cache/index.h"
#include "cache/large_objects.h"
#include "cache/segments.h"
#include "cache/space.h"

namespace leat::cache {

struct Store {
  Store(CacheOptions given, EvictionChooser given_chooser)
      : options(std::move(given)), chooser(std::move(given_chooser)), space(options.capacity_bytes) {}

  static constexpr size_t kStripes = 64;

  CacheOptions options;
  EvictionChooser chooser;
  FileDescriptor directory, lock_file, segments_directory, objects_directory;  // destroyed last
  Space space;
  std::unique_ptr<Index> index;
  std::unique_ptr<Segments> segments;
  std::unique_ptr<LargeObjects> large;
  ExtentMemory extents;
  std::array<std::mutex, kStripes> commit_locks;
  std::atomic<uint64_t> hits{0}, misses{0}, corrupt{0}, io_errors{0}, evicted_bytes{0};
  std::mutex eviction_mutex;
  std::condition_variable eviction_over;
  bool evicting = false;

  std::mutex& CommitLock(const ObjectKey& key) {
    return commit_locks[static_cast<size_t>(key.id.bytes[14]) % kStripes];
  }
  // Counts and logs a failure of the disk, and starts no write for a while.
  void DiskFailed(const Error& error);
  // kNoSpace after asking for evictions.
  Status Reserve(DatasetId wanted, uint64_t bytes);
  // Deletes the object's records and gives its room back. With `only`, only when that is still its record.
  // Returns the bytes given back.
  uint64_t ReleaseSmall(const ObjectKey& key, const ExtentRecord* only = nullptr);
  uint64_t ReleaseLarge(const ObjectKey& key);
  uint64_t ReleaseBlock(const std::shared_ptr<LargeObject>& object, uint32_t block, const BlockRecord& only);
  uint64_t ReleaseDataset(DatasetId dataset);
  // Null: not cached.
  std::shared_ptr<const Extent> FindExtent(const ObjectKey& key);
  std::shared_ptr<LargeObject> FindLarge(const ObjectRef& object);

 private:
  uint64_t ReleaseLargeLocked(const ObjectKey& key);
};

Result<std::unique_ptr<Cache::Writer>> StartSmallWrite(Store& store, const ObjectRef& object);
Result<std::unique_ptr<Cache::Writer>> StartLargeWrite(Store& store, const ObjectRef& object, uint64_t offset,
                                                       uint64_t length);

}  // namespace leat::cache
