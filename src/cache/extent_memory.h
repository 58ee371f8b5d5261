// SPDX-License-Identifier: Apache-2.0
// ExtentMemory: the extents read lately, so that a warm read asks the index nothing. Bounded by bytes; sharded by id.
// Threads: any; one mutex a shard. An entry keeps its segment's descriptor open.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "cache/records.h"
#include "cache/segments.h"

namespace leat::cache {

struct Extent {
  ExtentRecord record;
  std::shared_ptr<Segment> segment;
};

class ExtentMemory {
 public:
  explicit ExtentMemory(size_t bytes_max) : bytes_per_shard_max_(bytes_max / kShards) {}

  std::shared_ptr<const Extent> Find(const ObjectKey& key);
  // What must be passed to Insert, taken before the index is asked: an Erase in between makes the insertion void.
  uint64_t Generation(const ObjectKey& key);
  void Insert(const ObjectKey& key, std::shared_ptr<const Extent> extent, uint64_t generation);
  void Erase(const ObjectKey& key);
  size_t Bytes();

 private:
  static constexpr size_t kShards = 16;
  struct Hash {
    size_t operator()(const ObjectKey& key) const;
  };
  struct Entry {
    ObjectKey key;
    std::shared_ptr<const Extent> extent;
  };
  struct Shard {
    std::mutex mutex;
    std::list<Entry> by_use;  // most recent first
    std::unordered_map<ObjectKey, std::list<Entry>::iterator, Hash> entries;
    size_t bytes = 0;
    uint64_t generation = 0;
  };
  static size_t Cost(const Extent& extent);
  Shard& ShardOf(const ObjectKey& key);

  const size_t bytes_per_shard_max_;
  std::array<Shard, kShards> shards_;
};

}  // namespace leat::cache
