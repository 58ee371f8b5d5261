// SPDX-License-Identifier: Apache-2.0
// A cache::Cache in memory for the hydrator's tests: what was committed, a hard capacity, nothing evicted, faults.
// Any thread.
#pragma once

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "base/check.h"
#include "cache/cache.h"

namespace leat::hydrate {

class MemoryCache final : public cache::Cache {
 public:
  explicit MemoryCache(uint64_t capacity_bytes) : capacity_bytes_(capacity_bytes) {}

  bool Read(const cache::ObjectRef& object, uint64_t offset, std::span<std::byte> out) override {
    std::lock_guard lock(mutex_);
    if (!ContainsLocked(object, offset, out.size())) return false;
    std::memcpy(out.data(), objects_.at(object.id).bytes.data() + offset, out.size());
    return true;
  }
  bool Contains(const cache::ObjectRef& object, uint64_t offset, uint64_t length) override {
    std::lock_guard lock(mutex_);
    return ContainsLocked(object, offset, length);
  }
  uint64_t CachedBytes(const cache::ObjectRef& object) override {
    std::lock_guard lock(mutex_);
    uint64_t bytes = 0;
    const auto found = objects_.find(object.id);
    if (found == objects_.end()) return 0;
    for (const uint64_t chunk : found->second.chunks) {
      bytes += std::min(ChunkBytes(object), object.size_bytes - chunk * ChunkBytes(object));
    }
    return bytes;
  }
  Result<std::unique_ptr<Writer>> StartWrite(const cache::ObjectRef& object, uint64_t offset,
                                             uint64_t length) override {
    LEAT_CHECK(offset % ChunkBytes(object) == 0);
    LEAT_CHECK((offset + length) % ChunkBytes(object) == 0 || offset + length == object.size_bytes);
    if (before_write) before_write(object);
    if (busy) {
      ++refused_writes;
      return Fail(ErrorCode::kBusy, "not now");
    }
    std::lock_guard lock(mutex_);
    if (reserved_bytes_ + length > capacity_bytes_) return Fail(ErrorCode::kNoSpace, "the cache is full");
    reserved_bytes_ += length;
    return std::make_unique<MemoryWriter>(*this, object, offset, length);
  }
  cache::Released Release(const cache::ObjectRef& object) override {
    const uint64_t bytes = CachedBytes(object);
    std::lock_guard lock(mutex_);
    objects_.erase(object.id);
    reserved_bytes_ -= bytes;
    return {bytes, {}};
  }
  cache::Released ReleaseDataset(DatasetId) override { return {}; }
  bool MakesRoom() override { return busy; }
  uint64_t FreeBytes() override {
    std::lock_guard lock(mutex_);
    return capacity_bytes_ - reserved_bytes_;
  }
  cache::DatasetUsage Usage(DatasetId) override { return {}; }
  cache::CacheStatistics Statistics() override { return {}; }
  void Sync() override {}

  std::atomic<bool> busy{false};        // every write is told "not now"
  std::atomic<int> refused_writes{0};   // how many were
  std::atomic<int> failing_commits{0};  // so many commits fail, as on a failing disk
  // Set before the first write.
  std::function<void(const cache::ObjectRef& object)> before_write;
  std::function<void()> before_commit;

 private:
  struct Object {
    std::vector<std::byte> bytes;
    std::set<uint64_t> chunks;
  };
  class MemoryWriter final : public Writer {
   public:
    MemoryWriter(MemoryCache& cache, cache::ObjectRef object, uint64_t offset, uint64_t length)
        : cache_(cache), object_(std::move(object)), offset_(offset), length_(length) {}
    ~MemoryWriter() override {
      std::lock_guard lock(cache_.mutex_);
      cache_.reserved_bytes_ -= length_ - kept_bytes_;
    }
    void Append(std::span<const std::byte> bytes) override { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
    Status Commit() override {
      LEAT_CHECK(bytes_.size() <= length_);
      if (cache_.before_commit) cache_.before_commit();
      if (cache_.failing_commits > 0 && cache_.failing_commits-- > 0) return Fail(ErrorCode::kIo, "the disk failed");
      const uint64_t chunk_bytes = ChunkBytes(object_);
      std::lock_guard lock(cache_.mutex_);
      Object& object = cache_.objects_[object_.id];
      object.bytes.resize(object_.size_bytes);
      std::memcpy(object.bytes.data() + offset_, bytes_.data(), bytes_.size());
      for (uint64_t at = offset_; at < offset_ + bytes_.size(); at += chunk_bytes) {
        const uint64_t wanted = std::min(chunk_bytes, object_.size_bytes - at);
        if (at + wanted > offset_ + bytes_.size()) break;
        if (object.chunks.insert(at / chunk_bytes).second) kept_bytes_ += wanted;
      }
      return {};
    }

   private:
    MemoryCache& cache_;
    const cache::ObjectRef object_;
    const uint64_t offset_, length_;
    uint64_t kept_bytes_ = 0;
    std::vector<std::byte> bytes_;
  };

  static uint64_t ChunkBytes(const cache::ObjectRef& object) {
    return object.size_bytes <= cache::kSmallObjectBytesMax ? object.size_bytes : cache::kBlockBytes;
  }
  bool ContainsLocked(const cache::ObjectRef& object, uint64_t offset, uint64_t length) const {
    const auto found = objects_.find(object.id);
    if (found == objects_.end()) return false;
    const uint64_t chunk_bytes = ChunkBytes(object);
    for (uint64_t chunk = offset / chunk_bytes; chunk * chunk_bytes < offset + length; ++chunk) {
      if (!found->second.chunks.contains(chunk)) return false;
    }
    return true;
  }

  const uint64_t capacity_bytes_;
  std::mutex mutex_;  // protects everything below
  uint64_t reserved_bytes_ = 0;
  std::map<cache::ObjectId, Object> objects_;
};

}  // namespace leat::hydrate
