// SPDX-License-Identifier: Apache-2.0
// Cache: the persistent local store of object contents, shared by every file system of a daemon.
//
// Objects up to kSmallObjectBytesMax are packed whole into segments; larger ones have a sparse file of their own, kept
// in blocks of kBlockBytes. Every read is checked against the CRC-32C stored for each 64 KiB and against the object's
// identity; what does not check out is dropped and is a miss, never an answer (docs/formats/cache.md).
// The cache is disposable: any fault of its disk is a miss, logged and counted, never an error for a reader.
//
// Threads: any. Mutexes for allocation and accounting are not held across I/O. Commits and releases of one object take
// turns (a lock of a stripe of objects, held while the index and the object's file change); a read takes one only to
// open the file of a large object or to drop what is damaged. Evictions run on the cache's own thread: nobody waits for
// one. Ownership: the directory is locked (flock) while a Cache is open.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/object_ref.h"

namespace leat::database {
class DatabaseMemory;
}

namespace leat::cache {

inline constexpr uint64_t kSmallObjectBytesMax = 8u << 20;
inline constexpr uint64_t kBlockBytes = 1u << 20;      // unit of caching of a large object
inline constexpr uint64_t kChecksumBytes = 64u << 10;  // one CRC-32C for each of these

struct CacheOptions {
  std::string directory;              // made (0700) if missing
  uint64_t capacity_bytes = 0;        // hard limit on allocated blocks
  uint64_t segment_bytes = 1u << 30;  // lowered to a quarter of the capacity when that is smaller
  // Descriptors that are kept; more only while so many files are being read or written.
  size_t open_segments_max = 1024;
  size_t open_large_objects_max = 256;
  // A disk that twice in a row takes so long to keep an object, or a block of a large one, is left alone for a while.
  std::chrono::milliseconds slow_write{500};
  size_t extent_memory_bytes = 16u << 20;  // records of small objects read lately, some 300 bytes each
  std::shared_ptr<database::DatabaseMemory> database_memory;  // null: the index has its own
};

// What a release gave back. `status` tells why the rest is still there: its records could not be read or changed.
struct Released {
  uint64_t bytes = 0;
  Status status;
  operator uint64_t() const { return bytes; }  // for those who only count
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
  uint64_t extent_memory_bytes = 0;
};

// Decides who may be evicted when `wanted` needs room; returns datasets to evict whole, first to last; empty: none may
// go. Called without a lock held, on the thread that needs room; they are evicted on the cache's own.
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
    // Consecutive bytes. A disk error makes the writer dead (Commit fails, kIo); the caller goes on without the cache.
    // A small object in one piece is written without being copied.
    virtual void Append(std::span<const std::byte> bytes) = 0;
    // Makes what was appended readable. Of a large object every whole block (or the object's last, shorter one) that
    // has arrived so far is committed, so Commit may be called repeatedly while bytes arrive. A small object commits
    // once, whole. After process death committed data is there; after power loss it may be a miss.
    virtual Status Commit() = 0;
  };
  // Reserves room and starts a write of [offset, offset + length). Small objects: offset 0, length = size. Large ones:
  // offset a multiple of kBlockBytes, end a multiple or the object's end. Waits for nobody. kNoSpace when the cache is
  // full and nothing may be evicted; kBusy when it is worth asking again: an eviction is making room, or the disk
  // failed or was too slow and gets a rest (Space::kBackOff). Either way a reader's bytes are then read through.
  virtual Result<std::unique_ptr<Writer>> StartWrite(const ObjectRef& object, uint64_t offset, uint64_t length) = 0;

  // Drops the object's cached contents.
  virtual Released Release(const ObjectRef& object) = 0;
  virtual Released ReleaseDataset(DatasetId dataset) = 0;

  // Room that could be used without evicting anything.
  virtual uint64_t FreeBytes() = 0;
  // An eviction is under way: FreeBytes grows.
  virtual bool MakesRoom() = 0;
  virtual DatasetUsage Usage(DatasetId dataset) = 0;
  virtual CacheStatistics Statistics() = 0;
  // Pushes what is committed to disk (power loss then loses nothing of it). Called at unmount and once a minute.
  virtual void Sync() = 0;
};

}  // namespace leat::cache
