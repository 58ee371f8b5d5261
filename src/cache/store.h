// SPDX-License-Identifier: Apache-2.0
// Store: the parts of an open cache that reading, writing and releasing share. Internal to cache/.
// Threads: any. Commit locks serialize commits and releases of one object (64 stripes); they are held while the index
// and the object's file change, never by a read that finds its record. Lock order: commit lock, then any part's own
// mutex.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "base/file.h"
#include "cache/cache.h"
#include "cache/evictor.h"
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
  static constexpr int kSlowWritesMax = 2;                      // in a row, before the disk gets a rest
  static constexpr std::chrono::milliseconds kAskingTime{100};  // a thread waits no longer for another that asks

  CacheOptions options;
  EvictionChooser chooser;
  FileDescriptor directory, lock_file, segments_directory, objects_directory;  // destroyed last
  Space space;
  std::unique_ptr<Index> index;
  std::unique_ptr<Segments> segments;
  std::unique_ptr<LargeObjects> large;
  ExtentMemory extents{options.extent_memory_bytes};
  std::array<std::mutex, kStripes> commit_locks;
  std::atomic<uint64_t> hits{0}, misses{0}, corrupt{0}, io_errors{0}, evicted_bytes{0};
  std::atomic<int> slow_writes{0};
  std::mutex asking_mutex;
  std::condition_variable asked;
  bool asking = false;                     // a thread has the tail given back or asks the chooser
  std::mutex fruitless_mutex;              // protects the next
  std::set<DatasetId> fruitless_datasets;  // an eviction got nothing of them: others are tried
  Evictor evictor;                         // stopped before what it uses goes

  std::mutex& CommitLock(const ObjectKey& key) {
    return commit_locks[static_cast<size_t>(key.id.bytes[14]) % kStripes];
  }
  // Counts and logs a failure of the disk, and starts no write for a while.
  void DiskFailed(const Error& error);
  // DiskFailed, and what a caller who wants to write hears of it: kBusy, for the disk may be well in a moment.
  Error RefusedByDisk(const Error& error);
  // How long it took to keep an object or a block: a disk that is slow time after time is left alone for a while.
  void WriteTook(std::chrono::steady_clock::duration took);
  // kNoSpace: nothing may be evicted. kBusy: not now, room is being made or the disk gets a rest.
  Status Reserve(DatasetId wanted, uint64_t bytes);
  // Deletes the object's records and gives its room back. With `only`, only when that is still its record.
  Released ReleaseSmall(const ObjectKey& key, const ExtentRecord* only = nullptr);
  Released ReleaseLarge(const ObjectKey& key);
  Released ReleaseBlock(const std::shared_ptr<LargeObject>& object, uint32_t block, const BlockRecord& only);
  // Ends at the first failure; with `stop` (an eviction) only when that is set.
  Released ReleaseDataset(DatasetId dataset, const std::atomic<bool>* stop = nullptr);
  // On the evictor's thread.
  uint64_t Evict(DatasetId dataset, const std::atomic<bool>& stop);
  // Null: not cached.
  std::shared_ptr<const Extent> FindExtent(const ObjectKey& key);
  std::shared_ptr<LargeObject> FindLarge(const ObjectRef& object);

 private:
  // What one who wants room hears of a decision that is final.
  Status Answer(policy::Admission admission, uint64_t bytes) const;
  Status MakeRoom(DatasetId wanted, uint64_t bytes);
  Released ReleaseLargeLocked(const ObjectKey& key);
};

Result<std::unique_ptr<Cache::Writer>> StartSmallWrite(Store& store, const ObjectRef& object);
Result<std::unique_ptr<Cache::Writer>> StartLargeWrite(Store& store, const ObjectRef& object, uint64_t offset,
                                                       uint64_t length);

}  // namespace leat::cache
