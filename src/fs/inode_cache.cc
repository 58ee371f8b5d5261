// SPDX-License-Identifier: Apache-2.0
#include "fs/inode_cache.h"

namespace leat::fs {

std::shared_ptr<const InodeRecord> InodeCache::Find(InodeId id) {
  Shard& shard = ShardOf(id);
  std::lock_guard lock(shard.mutex);
  const auto found = shard.by_id.find(Value(id));
  if (found == shard.by_id.end()) return nullptr;
  shard.recent.splice(shard.recent.begin(), shard.recent, found->second);
  return *found->second;
}

uint64_t InodeCache::Ticket(InodeId id) {
  Shard& shard = ShardOf(id);
  std::lock_guard lock(shard.mutex);
  return shard.erased;
}

void InodeCache::Insert(std::shared_ptr<const InodeRecord> record, uint64_t ticket) {
  const InodeId id = record->inode.id;
  Shard& shard = ShardOf(id);
  std::lock_guard lock(shard.mutex);
  if (shard.erased != ticket) return;
  if (const auto found = shard.by_id.find(Value(id)); found != shard.by_id.end()) {
    *found->second = std::move(record);
    return;
  }
  shard.recent.push_front(std::move(record));
  shard.by_id.emplace(Value(id), shard.recent.begin());
  if (shard.recent.size() > kRecordsPerShardMax) {
    shard.by_id.erase(Value(shard.recent.back()->inode.id));
    shard.recent.pop_back();
  }
}

void InodeCache::Erase(InodeId id) {
  Shard& shard = ShardOf(id);
  std::lock_guard lock(shard.mutex);
  ++shard.erased;
  const auto found = shard.by_id.find(Value(id));
  if (found == shard.by_id.end()) return;
  shard.recent.erase(found->second);
  shard.by_id.erase(found);
}

}  // namespace leat::fs
