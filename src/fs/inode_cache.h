// SPDX-License-Identifier: Apache-2.0
// InodeCache: records of inodes in use, so that a read costs no look-up in the catalog. Bounded, least recently used
// out. Threads: any; sharded by inode, one mutex a shard.
//
// A record read from the catalog may be out of date by the time it is put in; so take a ticket before reading, and
// Insert drops the record when anything in its shard was erased since.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "cache/object_ref.h"
#include "catalog/catalog.h"

namespace leat::fs {

struct InodeRecord {
  catalog::Inode inode;
  cache::ObjectRef object;  // files and symlinks
};

class InodeCache {
 public:
  static constexpr size_t kShards = 16;
  // About 600 bytes each: 20 MB when full.
  static constexpr size_t kRecordsPerShardMax = 2048;

  std::shared_ptr<const InodeRecord> Find(InodeId id);
  uint64_t Ticket(InodeId id);
  void Insert(std::shared_ptr<const InodeRecord> record, uint64_t ticket);
  void Erase(InodeId id);

 private:
  using Recent = std::list<std::shared_ptr<const InodeRecord>>;
  struct Shard {
    std::mutex mutex;  // protects what follows
    Recent recent;     // last used first
    std::unordered_map<uint64_t, Recent::iterator> by_id;
    uint64_t erased = 0;
  };
  Shard& ShardOf(InodeId id) { return shards_[Value(id) % kShards]; }

  std::array<Shard, kShards> shards_;
};

}  // namespace leat::fs
