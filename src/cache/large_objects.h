// SPDX-License-Identifier: Apache-2.0
// LargeObjects: the open files of large objects and which of their blocks are present.
// Threads: any. Find and Acquire are called with the object's commit lock (Store::CommitLock) held, so that what they
// load from the index cannot change meanwhile; what they return may be used without it.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "cache/index.h"
#include "cache/records.h"

namespace leat::cache {

// A size that a server may claim but S3 never has (its limit is 50 TB): read through, so that no bitmap is made for it.
inline constexpr uint64_t kLargeObjectBytesMax = uint64_t{1} << 48;

struct LargeObject {
  ObjectKey key;
  uint64_t size_bytes = 0;
  FileDescriptor file;
  std::atomic<bool> unsynced{false};
  std::atomic<bool> detached{false};  // released: its file is gone, nothing may be committed to it any more
  std::mutex mutex;                   // guards what follows
  std::vector<bool> present;
  uint64_t present_blocks = 0, present_bytes = 0;
  std::map<uint32_t, uint32_t> writing;  // block -> writers whose bytes of it are in the file and not committed
  uint32_t writers = 0;                  // guarded by LargeObjects::mutex_

  uint64_t BlockLength(uint64_t block) const;
  bool Has(uint64_t offset, uint64_t length);
};

class LargeObjects {
 public:
  // `open_max` descriptors; those with writers are never closed.
  LargeObjects(int directory, Index& index, size_t open_max)
      : directory_(directory), index_(index), open_max_(open_max) {}

  // What is open already; no lock is needed. Null when it is not.
  std::shared_ptr<LargeObject> Peek(const ObjectKey& key);
  // Null with kNotFound: nothing of it is cached. kCorrupt: the file does not hold this object (drop it). kIo.
  Result<std::shared_ptr<LargeObject>> Find(const ObjectKey& key, uint64_t size_bytes);
  // Finds or creates; counts the caller as a writer until EndWrite.
  Result<std::shared_ptr<LargeObject>> Acquire(const ObjectKey& key, uint64_t size_bytes);
  void EndWrite(LargeObject& object);
  uint32_t WritersOf(const LargeObject& object);
  // Forgets and deletes the file. False: its blocks are still there.
  bool Remove(const ObjectKey& key);
  // After a crash: gives back blocks that no record covers, for every object with an intent.
  Status Tidy();
  // Also what has been closed since it was written.
  void Sync(uint64_t& errors);
  // Room on the disk for bytes to come, at once, as far as there is any. False: the file system cannot.
  static bool Preallocate(int file, uint64_t offset, uint64_t bytes);
  // False: the blocks are still there.
  static bool Punch(int file, uint64_t offset, uint64_t bytes);

 private:
  void Remember(const std::shared_ptr<LargeObject>& object, bool writer);

  const int directory_;
  Index& index_;
  const size_t open_max_;
  std::mutex mutex_;
  std::list<std::shared_ptr<LargeObject>> by_use_;  // most recent first
  std::map<ObjectKey, std::list<std::shared_ptr<LargeObject>>::iterator> open_;
  std::set<ObjectKey> closed_unsynced_;  // as many as are written between two calls of Sync
};

// "ab/<32 hex of the id>-<8 hex of the dataset>": two datasets may hold the same object, each its own copy.
std::string LargeFileName(const ObjectKey& key);

}  // namespace leat::cache
