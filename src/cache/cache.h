// SPDX-License-Identifier: Apache-2.0
// Cache: the persistent local store of object contents, shared by every file system of a daemon.
//
// Objects up to kSmallObjectBytesMax are packed whole into segments; larger ones have a sparse file of their own, kept
// in blocks of kBlockBytes. Every read is checked against the CRC-32C stored for each 64 KiB and against the object's
// identity; what does not check out is dropped and is a miss, never an answer (docs/formats/cache.md).
// The cache is disposable: any fault of its disk is a miss, logged and counted, never an error for a reader.
//
// Threads: any; internally one mutex for allocation and accounting, none held across I/O.
// Ownership: the directory is locked (flock) while a Cache is open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/object_ref.h"

namespace leat::cache {

inline constexpr uint64_t kSmallObjectBytesMax = 8u << 20;
inline constexpr uint64_t kBlockBytes = 1u << 20;      // unit of caching of a large object
inline constexpr uint64_t kChecksumBytes = 64u << 10;  // one CRC-32C for each of these

struct CacheOptions {
  std::string directory;              // made (0700) if missing
  uint64_t capacity_bytes = 0;        // hard limit on allocated blocks
  uint64_t segment_bytes = 1u << 30;  // lowered to a quarter of the capacity when that is smaller
};

struct DatasetUsage {
  uint64_t bytes = 0;    // allocated, rounded up to 4 KiB
  uint64_t objects = 0;  // small objects, and large ones with at least one block
};

struct CacheStatistics {
  uint64_t capacity_bytes = 0;
  uint64_t used_bytes = 0;
  uint64_t hits = 0, misses = 0;        // calls of Read
  uint64_t corrupt = 0, io_errors = 0;  // reads turned into misses, by cause
  uint64_t evicted_bytes = 0;
};

// Decides who may be evicted when `wanted` needs room; returns datasets to evict whole, first to last; empty: none may
// go. Called without a lock held, on the thread that needs room.
using EvictionChooser = std::function<std::vector<DatasetId>(DatasetId wanted, uint64_t bytes_needed)>;

class Cache {
 public:
  // Opens or creates; time does not depend on how much is cached. An index of another format version is set aside and
  // the cache starts empty. Fails when the directory cannot be used or is locked by another process (kBusy).
  static Result<std::unique_ptr<Cache>> Open(CacheOptions options, EvictionChooser chooser);
  virtual ~Cache() = default;

  // Fills `out` from [offset, offset + out.size()), which must lie inside the object. True: all of it, checked.
  // False: a miss (not there, not all there, or it did not check out).
  virtual bool Read(const ObjectRef& object, uint64_t offset, std::span<std::byte> out) = 0;
  // True when all of [offset, offset + length) is present by the index (no check of the bytes).
  virtual bool Contains(const ObjectRef& object, uint64_t offset, uint64_t length) = 0;
  // Bytes of the object that are present: size_bytes when it is restored whole.
  virtual uint64_t CachedBytes(const ObjectRef& object) = 0;

  // A write in progress of one small object, or of one run of blocks of a large one. Confined to one thread at a time.
  class Writer {
   public:
    // Not committed: the space is given back.
    virtual ~Writer() = default;
    // Consecutive bytes. A disk error makes the writer dead (Commit fails); the caller goes on without the cache.
    virtual void Append(std::span<const std::byte> bytes) = 0;
    // Makes what was appended readable. Of a large object every whole block (or the object's last, shorter one) that
    // has arrived so far is committed, so Commit may be called repeatedly while bytes arrive. A small object commits
    // once, whole. After process death committed data is there; after power loss it may be a miss.
    virtual Status Commit() = 0;
  };
  // Reserves room and starts a write of [offset, offset + length). Small objects: offset 0, length = size. Large ones:
  // offset a multiple of kBlockBytes, end a multiple or the object's end. kNoSpace when the cache is full and nothing
  // may be evicted: the caller then reads through.
  virtual Result<std::unique_ptr<Writer>> StartWrite(const ObjectRef& object, uint64_t offset, uint64_t length) = 0;

  // Drops the object's cached contents. Returns the bytes given back.
  virtual uint64_t Release(const ObjectRef& object) = 0;
  virtual uint64_t ReleaseDataset(DatasetId dataset) = 0;

  // Room that could be used without evicting anything.
  virtual uint64_t FreeBytes() = 0;
  virtual DatasetUsage Usage(DatasetId dataset) = 0;
  virtual CacheStatistics Statistics() = 0;
  // Pushes what is committed to disk (power loss then loses nothing of it). Called at unmount and once a minute.
  virtual void Sync() = 0;
};

}  // namespace leat::cache
