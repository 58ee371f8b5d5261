// SPDX-License-Identifier: Apache-2.0
// InodeCache: records of inodes in use, of all file systems of a daemon, so that a read costs no look-up in the
// catalog. Bounded by bytes, least recently used out. Threads: any; sharded by inode, one mutex a shard.
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
  static constexpr size_t kBytesDefault = 24u << 20;  // a record of a short key is some 800 bytes

  explicit InodeCache(size_t bytes_max = kBytesDefault) : bytes_per_shard_max_(bytes_max / kShards) {}

  std::shared_ptr<const InodeRecord> Find(DatasetId dataset, InodeId id);
  uint64_t Ticket(InodeId id);
  void Insert(DatasetId dataset, std::shared_ptr<const InodeRecord> record, uint64_t ticket);
  void Erase(DatasetId dataset, InodeId id);
  void EraseDataset(DatasetId dataset);
  size_t Bytes();
  static size_t Cost(const InodeRecord& record);  // in bytes, the cache's own included

 private:
  struct Key {
    DatasetId dataset{};
    InodeId id{};
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Key& key) const;
  };
  struct Entry {
    Key key;
    size_t bytes = 0;
    std::shared_ptr<const InodeRecord> record;
  };
  struct Shard {
    std::mutex mutex;         // protects what follows
    std::list<Entry> recent;  // last used first
    std::unordered_map<Key, std::list<Entry>::iterator, Hash> by_key;
    size_t bytes = 0;
    uint64_t erased = 0;

    void Remove(std::list<Entry>::iterator entry);
  };
  Shard& ShardOf(InodeId id) { return shards_[Value(id) % kShards]; }

  const size_t bytes_per_shard_max_;
  std::array<Shard, kShards> shards_;
};

}  // namespace leat::fs
