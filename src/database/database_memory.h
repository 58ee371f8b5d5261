// SPDX-License-Identifier: Apache-2.0
// DatabaseMemory: the memory that the RocksDB databases of one daemon (the cache's index, a catalog a file system) have
// together: one block cache, and one limit of write buffers that counts in it. So ten file systems take no more than
// one. Threads: any; immutable. Ownership: each database holds it, by what it is opened with, until it is closed.
#pragma once

#include <cstdint>
#include <memory>

namespace rocksdb {
class Cache;
class WriteBufferManager;
}  // namespace rocksdb

namespace leat::database {

class DatabaseMemory {
 public:
  static constexpr uint64_t kBytesDefault = 64u << 20;  // of a database that is opened alone

  explicit DatabaseMemory(uint64_t bytes_max = kBytesDefault);

  const std::shared_ptr<rocksdb::Cache>& block_cache() const { return block_cache_; }
  const std::shared_ptr<rocksdb::WriteBufferManager>& write_buffers() const { return write_buffers_; }
  // What one database's write buffers should stay below, so that the others can write too.
  uint64_t WriteBufferBytesOfOne() const { return write_buffer_bytes_max_ / 2; }
  uint64_t bytes_max() const { return bytes_max_; }
  uint64_t UsedBytes() const;  // blocks and write buffers now

 private:
  const uint64_t bytes_max_, write_buffer_bytes_max_;
  const std::shared_ptr<rocksdb::Cache> block_cache_;
  const std::shared_ptr<rocksdb::WriteBufferManager> write_buffers_;
};

}  // namespace leat::database
