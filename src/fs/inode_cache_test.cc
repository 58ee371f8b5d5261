// SPDX-License-Identifier: Apache-2.0
#include "fs/inode_cache.h"

#include <gtest/gtest.h>

#include <string>

namespace leat::fs {
namespace {

constexpr DatasetId kOne{1}, kTwo{2};

std::shared_ptr<const InodeRecord> Record(uint64_t id, const std::string& key = "key") {
  auto record = std::make_shared<InodeRecord>();
  record->inode.id = InodeId{id};
  record->inode.key = record->object.key = key;
  return record;
}

void Insert(InodeCache& cache, DatasetId dataset, uint64_t id, const std::string& key = "key") {
  cache.Insert(dataset, Record(id, key), cache.Ticket(InodeId{id}));
}

TEST(InodeCacheTest, ItStaysBelowItsBytesAndTheLastUsedStay) {
  constexpr size_t kBytesMax = 256 << 10;
  InodeCache cache(kBytesMax);
  uint64_t ids = 10'000;
  for (uint64_t id = 0; id < ids; ++id) {
    Insert(cache, kOne, id, std::string(id % 1024, 'k'));
    EXPECT_LE(cache.Bytes(), kBytesMax);
    ASSERT_NE(cache.Find(kOne, InodeId{id}), nullptr);
  }
  EXPECT_GT(cache.Bytes(), kBytesMax / 2);
  EXPECT_EQ(cache.Find(kOne, InodeId{0}), nullptr);
}

TEST(InodeCacheTest, ARecordTooLargeForItIsNotKept) {
  InodeCache cache(16 << 10);
  Insert(cache, kOne, 1, std::string(2000, 'k'));
  EXPECT_EQ(cache.Find(kOne, InodeId{1}), nullptr);
  EXPECT_EQ(cache.Bytes(), 0u);
}

TEST(InodeCacheTest, FileSystemsShareItAndNeverSeeEachOthersRecords) {
  InodeCache cache;
  Insert(cache, kOne, 7, "one");
  Insert(cache, kTwo, 7, "two");
  EXPECT_EQ(cache.Find(kOne, InodeId{7})->inode.key, "one");
  EXPECT_EQ(cache.Find(kTwo, InodeId{7})->inode.key, "two");
  cache.Erase(kOne, InodeId{7});
  EXPECT_EQ(cache.Find(kOne, InodeId{7}), nullptr);
  EXPECT_NE(cache.Find(kTwo, InodeId{7}), nullptr);
  for (uint64_t id = 0; id < 100; ++id) Insert(cache, kOne, id);
  cache.EraseDataset(kOne);
  for (uint64_t id = 0; id < 100; ++id) EXPECT_EQ(cache.Find(kOne, InodeId{id}), nullptr);
  EXPECT_EQ(cache.Bytes(), InodeCache::Cost(*cache.Find(kTwo, InodeId{7})));
}

TEST(InodeCacheTest, WhatWasErasedSinceTheTicketIsNotPutIn) {
  InodeCache cache;
  const uint64_t ticket = cache.Ticket(InodeId{7});
  cache.Erase(kOne, InodeId{7});
  cache.Insert(kOne, Record(7), ticket);
  EXPECT_EQ(cache.Find(kOne, InodeId{7}), nullptr);
  Insert(cache, kOne, 7);
  Insert(cache, kOne, 7, "newer");
  EXPECT_EQ(cache.Find(kOne, InodeId{7})->inode.key, "newer");
  EXPECT_EQ(cache.Bytes(), InodeCache::Cost(*cache.Find(kOne, InodeId{7})));
}

}  // namespace
}  // namespace leat::fs
