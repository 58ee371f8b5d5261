// SPDX-License-Identifier: Apache-2.0
#include "database/database_memory.h"

#include <rocksdb/cache.h>
#if __has_include(<rocksdb/advanced_cache.h>)
#include <rocksdb/advanced_cache.h>  // RocksDB 8 (Debian 13): what a Cache can be asked
#endif
#include <rocksdb/write_buffer_manager.h>

namespace leat::database {
namespace {

// A shard must hold a filter or an index block of a table file (some hundred KiB) beside others.
int ShardBits(uint64_t bytes) { return bytes >= (64u << 20) ? 4 : 2; }

}  // namespace

DatabaseMemory::DatabaseMemory(uint64_t bytes_max)
    : bytes_max_(bytes_max),
      write_buffer_bytes_max_(bytes_max / 3),
      block_cache_(rocksdb::NewLRUCache(bytes_max, ShardBits(bytes_max))),
      // No stall at the limit: the database that writes may not be the one whose buffers are full.
      write_buffers_(std::make_shared<rocksdb::WriteBufferManager>(write_buffer_bytes_max_, block_cache_)) {}

uint64_t DatabaseMemory::UsedBytes() const { return block_cache_->GetUsage(); }

}  // namespace leat::database
