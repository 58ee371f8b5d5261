// SPDX-License-Identifier: Apache-2.0
#include "cache/extent_memory.h"

#include <cstring>

namespace leat::cache {

size_t ExtentMemory::Hash::operator()(const ObjectKey& key) const {
  uint64_t part = 0;  // the id is a hash already
  std::memcpy(&part, key.id.bytes.data(), sizeof part);
  return part ^ (uint64_t{Value(key.dataset)} * 0x9e3779b97f4a7c15u);
}

// With the nodes of list and table, their share of its buckets, and what the allocator adds.
size_t ExtentMemory::Cost(const Extent& extent) {
  constexpr size_t kFixedBytes = sizeof(Extent) + sizeof(Entry) + sizeof(ObjectKey) + 7 * sizeof(void*) + 4 * 16;
  return kFixedBytes + sizeof(uint32_t) * extent.record.checksums.size();
}

size_t ExtentMemory::Bytes() {
  size_t bytes = 0;
  for (Shard& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    bytes += shard.bytes;
  }
  return bytes;
}

ExtentMemory::Shard& ExtentMemory::ShardOf(const ObjectKey& key) {
  return shards_[static_cast<size_t>(key.id.bytes[15]) % shards_.size()];
}

std::shared_ptr<const Extent> ExtentMemory::Find(const ObjectKey& key) {
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  const auto found = shard.entries.find(key);
  if (found == shard.entries.end()) return nullptr;
  shard.by_use.splice(shard.by_use.begin(), shard.by_use, found->second);
  return found->second->extent;
}

uint64_t ExtentMemory::Generation(const ObjectKey& key) {
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  return shard.generation;
}

void ExtentMemory::Insert(const ObjectKey& key, std::shared_ptr<const Extent> extent, uint64_t generation) {
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  if (shard.generation != generation || shard.entries.contains(key)) return;
  shard.bytes += Cost(*extent);
  shard.by_use.push_front({key, std::move(extent)});
  shard.entries.emplace(key, shard.by_use.begin());
  while (shard.bytes > bytes_per_shard_max_) {
    const Entry& last = shard.by_use.back();
    shard.bytes -= Cost(*last.extent);
    shard.entries.erase(last.key);
    shard.by_use.pop_back();
  }
}

void ExtentMemory::Erase(const ObjectKey& key) {
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  ++shard.generation;
  const auto found = shard.entries.find(key);
  if (found == shard.entries.end()) return;
  shard.bytes -= Cost(*found->second->extent);
  shard.by_use.erase(found->second);
  shard.entries.erase(found);
}

}  // namespace leat::cache
