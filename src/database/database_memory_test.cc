// SPDX-License-Identifier: Apache-2.0
#include "database/database_memory.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/table.h>

#include <filesystem>
#include <string>
#include <vector>

namespace leat::database {
namespace {

TEST(DatabaseMemoryTest, TenDatabasesThatWriteAndReadTakeNoMoreThanTheLimit) {
  constexpr uint64_t kBytesMax = 16u << 20;
  constexpr int kDatabases = 10, kRounds = 40, kKeys = 100;
  char path[] = "/tmp/leat-database-XXXXXX";
  const std::string directory = mkdtemp(path);
  const DatabaseMemory memory(kBytesMax);
  rocksdb::Options options;
  options.create_if_missing = true;
  options.write_buffer_manager = memory.write_buffers();
  options.write_buffer_size = memory.WriteBufferBytesOfOne();
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = memory.block_cache();
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  std::vector<std::unique_ptr<rocksdb::DB>> databases;
  for (int i = 0; i < kDatabases; ++i) {
    rocksdb::DB* database = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(options, directory + "/" + std::to_string(i), &database).ok());
    databases.emplace_back(database);
  }
  uint64_t highest = 0;
  const auto name = [](int round, int key) { return std::to_string(round * kKeys + key); };
  const std::string value(1000, 'v');
  for (auto& database : databases) {  // what each leaves in its buffers stays there while the next ones write
    for (int round = 0; round < kRounds; ++round) {
      for (int key = 0; key < kKeys; ++key) {
        ASSERT_TRUE(database->Put(rocksdb::WriteOptions(), name(round, key), value).ok());
      }
      highest = std::max(highest, memory.UsedBytes());
    }
  }
  EXPECT_GT(highest, memory.WriteBufferBytesOfOne());
  for (auto& database : databases) {
    std::string found;
    for (int round = 0; round < kRounds; ++round) {
      for (int key = 0; key < kKeys; ++key) {
        ASSERT_TRUE(database->Get(rocksdb::ReadOptions(), name(round, key), &found).ok());
      }
      highest = std::max(highest, memory.UsedBytes());
    }
  }
  EXPECT_GT(highest, kBytesMax / 2);  // or there was nothing to limit
  // A flush holds its buffer a moment longer, on a thread of its own.
  EXPECT_LE(highest, kBytesMax + kBytesMax / 4);
  databases.clear();
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace leat::database
