// SPDX-License-Identifier: Apache-2.0
#include "fs/inode_cache.h"

#include <string>

namespace leat::fs {
namespace {

constexpr size_t kAllocatorBytes = 16;  // of each allocation

size_t HeapBytes(const std::string& text) {
  static const size_t in_place = std::string().capacity();
  return text.capacity() <= in_place ? 0 : text.capacity() + kAllocatorBytes;
}

}  // namespace

size_t InodeCache::Hash::operator()(const Key& key) const {
  return Value(key.id) ^ (uint64_t{Value(key.dataset)} * 0x9e3779b97f4a7c15u);
}

size_t InodeCache::Cost(const InodeRecord& record) {
  // The record and its count of owners, and the nodes of list and table with their share of its buckets.
  size_t bytes = sizeof(InodeRecord) + sizeof(Entry) + sizeof(Key) + 9 * sizeof(void*) + 3 * kAllocatorBytes;
  const catalog::Inode& inode = record.inode;
  for (const std::string* text : {&inode.name, &inode.key, &inode.etag, &inode.storage_class, &inode.symlink_target,
                                  &record.object.key, &record.object.etag}) {
    bytes += HeapBytes(*text);
  }
  for (const auto& [name, value] : inode.user_metadata) {
    bytes += sizeof(name) + sizeof(value) + HeapBytes(name) + HeapBytes(value);
  }
  return bytes;
}

void InodeCache::Shard::Remove(std::list<Entry>::iterator entry) {
  bytes -= entry->bytes;
  by_key.erase(entry->key);
  recent.erase(entry);
}

std::shared_ptr<const InodeRecord> InodeCache::Find(DatasetId dataset, InodeId id) {
  Shard& shard = ShardOf(id);
  std::lock_guard lock(shard.mutex);
  const auto found = shard.by_key.find({dataset, id});
  if (found == shard.by_key.end()) return nullptr;
  shard.recent.splice(shard.recent.begin(), shard.recent, found->second);
  return found->second->record;
}

uint64_t InodeCache::Ticket(InodeId id) {
  Shard& shard = ShardOf(id);
  std::lock_guard lock(shard.mutex);
  return shard.erased;
}

void InodeCache::Insert(DatasetId dataset, std::shared_ptr<const InodeRecord> record, uint64_t ticket) {
  const Key key{dataset, record->inode.id};
  const size_t bytes = Cost(*record);
  Shard& shard = ShardOf(key.id);
  std::lock_guard lock(shard.mutex);
  if (shard.erased != ticket) return;
  if (const auto found = shard.by_key.find(key); found != shard.by_key.end()) shard.Remove(found->second);
  shard.recent.push_front({key, bytes, std::move(record)});
  shard.by_key.emplace(key, shard.recent.begin());
  shard.bytes += bytes;
  while (shard.bytes > bytes_per_shard_max_) shard.Remove(std::prev(shard.recent.end()));
}

void InodeCache::Erase(DatasetId dataset, InodeId id) {
  Shard& shard = ShardOf(id);
  std::lock_guard lock(shard.mutex);
  ++shard.erased;
  if (const auto found = shard.by_key.find({dataset, id}); found != shard.by_key.end()) shard.Remove(found->second);
}

void InodeCache::EraseDataset(DatasetId dataset) {
  for (Shard& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    ++shard.erased;
    for (auto at = shard.recent.begin(); at != shard.recent.end();) {
      const auto entry = at++;
      if (entry->key.dataset == dataset) shard.Remove(entry);
    }
  }
}

size_t InodeCache::Bytes() {
  size_t bytes = 0;
  for (Shard& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    bytes += shard.bytes;
  }
  return bytes;
}

}  // namespace leat::fs
