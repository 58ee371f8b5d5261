// SPDX-License-Identifier: Apache-2.0
#include "cache/cache.h"

#include <atomic>
#include <thread>

#include "cache/cache_testing.h"
#include "cache/records.h"

namespace leat::cache {
namespace {

constexpr uint64_t kLarge = (9u << 20) + 12345;

TEST(Cache, KeepsSmallObjectsOfEverySize) {
  Directory directory;
  auto cache = OpenCache(directory);
  for (const uint64_t size :
       {uint64_t{0}, uint64_t{1}, uint64_t{4055}, uint64_t{4056}, uint64_t{4057}, uint64_t{4096}, uint64_t{65535},
        uint64_t{65536}, uint64_t{65537}, uint64_t{110000}, kSmallObjectBytesMax}) {
    const auto object = MakeObject(1, "small" + std::to_string(size), size);
    EXPECT_FALSE(cache->Contains(object, 0, size));
    EXPECT_EQ(ReadBack(*cache, object), Found::kMiss);
    ASSERT_TRUE(Store(*cache, object)) << size;
    EXPECT_EQ(ReadBack(*cache, object), Found::kRight) << size;
    EXPECT_EQ(cache->CachedBytes(object), size);
    EXPECT_TRUE(cache->Contains(object, 0, size));
    Random random(size);
    for (int i = 0; i < 20 && size > 0; ++i) {
      const uint64_t offset = random.Below(size);
      EXPECT_EQ(ReadBack(*cache, object, offset, 1 + random.Below(size - offset)), Found::kRight);
    }
  }
  EXPECT_EQ(cache->Statistics().corrupt, 0u);
}

TEST(Cache, KeepsLargeObjectsBlockByBlock) {
  Directory directory;
  auto cache = OpenCache(directory);
  const auto object = MakeObject(1, "large", kLarge);
  const auto bytes = BytesOf(object);
  {
    auto writer = cache->StartWrite(object, 2 * kBlockBytes, 3 * kBlockBytes);
    ASSERT_TRUE(writer);
    (*writer)->Append(std::span(bytes).subspan(2 * kBlockBytes, kBlockBytes + 1000));
    EXPECT_EQ(cache->CachedBytes(object), 0u);
    ASSERT_TRUE((*writer)->Commit());
    EXPECT_EQ(cache->CachedBytes(object), kBlockBytes);  // the part of a block stays out
    (*writer)->Append(std::span(bytes).subspan(3 * kBlockBytes + 1000, 2 * kBlockBytes - 1000));
    ASSERT_TRUE((*writer)->Commit());
  }
  EXPECT_EQ(cache->CachedBytes(object), 3 * kBlockBytes);
  EXPECT_EQ(ReadBack(*cache, object, 2 * kBlockBytes + 7, 2 * kBlockBytes + 99), Found::kRight);
  EXPECT_EQ(ReadBack(*cache, object, 5 * kBlockBytes - 1, 2), Found::kMiss);
  EXPECT_FALSE(cache->Contains(object, 0, 1));
  EXPECT_TRUE(cache->Contains(object, 2 * kBlockBytes, 3 * kBlockBytes));
  EXPECT_EQ(cache->Usage(DatasetId{1}).bytes, 3 * kBlockBytes + kPageBytes);
  ASSERT_TRUE(Store(*cache, object));  // over what is there already
  EXPECT_EQ(ReadBack(*cache, object), Found::kRight);
  EXPECT_EQ(cache->Usage(DatasetId{1}).bytes, RoundUp(kLarge, kPageBytes) + kPageBytes);
  EXPECT_EQ(cache->Statistics().used_bytes, cache->Usage(DatasetId{1}).bytes);
}

TEST(Cache, IsThereAfterReopening) {
  Directory directory;
  const auto small = MakeObject(1, "a", 110000), large = MakeObject(2, "b", kLarge);
  {
    auto cache = OpenCache(directory);
    ASSERT_TRUE(Store(*cache, small));
    ASSERT_TRUE(Store(*cache, large));
  }
  auto cache = OpenCache(directory);
  EXPECT_EQ(ReadBack(*cache, small), Found::kRight);
  EXPECT_EQ(ReadBack(*cache, large), Found::kRight);
  EXPECT_EQ(cache->Usage(DatasetId{1}).bytes, ExtentBytes(110000));
  EXPECT_EQ(cache->Usage(DatasetId{1}).objects, 1u);
  EXPECT_EQ(cache->Usage(DatasetId{2}).objects, 1u);
  EXPECT_LE(directory.BlocksOnDisk(), cache->Statistics().used_bytes + 16 * kPageBytes);
}

TEST(Cache, TwoDatasetsHoldTheSameObjectApart) {
  Directory directory;
  auto cache = OpenCache(directory);
  for (const uint64_t size : {uint64_t{1000}, kLarge}) {
    const auto one = MakeObject(1, "x", size), two = MakeObject(2, "x", size);
    ASSERT_TRUE(Store(*cache, one));
    EXPECT_EQ(ReadBack(*cache, two), Found::kMiss);
    ASSERT_TRUE(Store(*cache, two));
    cache->Release(one);
    EXPECT_EQ(ReadBack(*cache, one), Found::kMiss);
    EXPECT_EQ(ReadBack(*cache, two), Found::kRight);
  }
}

TEST(Cache, AWriteThatIsNotCommittedLeavesNothing) {
  Directory directory;
  auto cache = OpenCache(directory);
  for (const uint64_t size : {uint64_t{700000}, kLarge}) {
    const auto object = MakeObject(1, "half", size);
    const auto bytes = BytesOf(object);
    {
      auto writer = cache->StartWrite(object, 0, size);
      ASSERT_TRUE(writer);
      (*writer)->Append(std::span(bytes).first(size / 2));
      EXPECT_GE(cache->Statistics().used_bytes, size);
    }
    EXPECT_EQ(ReadBack(*cache, object), Found::kMiss);
    EXPECT_EQ(cache->Statistics().used_bytes, 0u);
  }
  cache.reset();
  EXPECT_LE(directory.BlocksOnDisk(), 2 * kPageBytes);
}

TEST(Cache, AnIncompleteSmallObjectIsNotCommitted) {
  Directory directory;
  auto cache = OpenCache(directory);
  const auto object = MakeObject(1, "short", 5000);
  auto writer = cache->StartWrite(object, 0, 5000);
  ASSERT_TRUE(writer);
  const auto bytes = BytesOf(object);
  (*writer)->Append(std::span(bytes).first(4999));
  EXPECT_FALSE((*writer)->Commit());
  writer->reset();
  auto too_long = cache->StartWrite(object, 0, 5000);
  (*too_long)->Append(std::vector<std::byte>(5001));
  EXPECT_FALSE((*too_long)->Commit());
}

TEST(Cache, WritingTwiceCountsOnce) {
  Directory directory;
  auto cache = OpenCache(directory);
  for (const uint64_t size : {uint64_t{110000}, kLarge}) {
    const auto object = MakeObject(static_cast<uint32_t>(size), "twice", size);
    const auto bytes = BytesOf(object);
    auto one = cache->StartWrite(object, 0, size), two = cache->StartWrite(object, 0, size);
    ASSERT_TRUE(one && two);
    (*one)->Append(bytes);
    (*two)->Append(bytes);
    ASSERT_TRUE((*one)->Commit());
    ASSERT_TRUE((*two)->Commit());
    one->reset();
    two->reset();
    EXPECT_EQ(ReadBack(*cache, object), Found::kRight);
    EXPECT_EQ(cache->Usage(object.dataset).objects, 1u);
    EXPECT_EQ(cache->Release(object), size == kLarge ? RoundUp(kLarge, kPageBytes) + kPageBytes : ExtentBytes(size));
    EXPECT_EQ(cache->Usage(object.dataset).bytes, 0u);
    EXPECT_EQ(cache->Usage(object.dataset).objects, 0u);
  }
  EXPECT_EQ(cache->Statistics().used_bytes, 0u);
}

TEST(Cache, ReleaseGivesTheBlocksBack) {
  Directory directory;
  auto cache = OpenCache(directory);
  std::vector<ObjectRef> objects;
  for (int i = 0; i < 40; ++i) objects.push_back(MakeObject(1, "o" + std::to_string(i), 110000));
  objects.push_back(MakeObject(1, "large", kLarge));
  for (const auto& object : objects) ASSERT_TRUE(Store(*cache, object));
  cache->Sync();
  const uint64_t before = directory.BlocksOnDisk();
  uint64_t given_back = 0;
  for (size_t i = 0; i < objects.size(); i += 2) given_back += cache->Release(objects[i]);
  EXPECT_GT(given_back, kLarge);
  EXPECT_LE(directory.BlocksOnDisk(), before - given_back + 16 * kPageBytes);
  EXPECT_EQ(ReadBack(*cache, objects[0]), Found::kMiss);
  EXPECT_EQ(ReadBack(*cache, objects[1]), Found::kRight);
  cache->ReleaseDataset(DatasetId{1});
  EXPECT_EQ(cache->Usage(DatasetId{1}).bytes, 0u);
  EXPECT_EQ(cache->Statistics().corrupt, 0u);
  cache.reset();
  EXPECT_LE(directory.BlocksOnDisk(), 4 * kPageBytes);
}

TEST(Cache, CapacityIsNeverExceededAndFullReadsThrough) {
  Directory directory;
  constexpr uint64_t kCapacity = 24u << 20;
  auto cache = OpenCache(directory, kCapacity);
  int kept = 0, refused = 0;
  for (int i = 0; i < 400; ++i) {
    const auto object = MakeObject(1, "o" + std::to_string(i), i % 50 == 49 ? kLarge : 110000);
    const Status stored = Store(*cache, object);
    if (stored) ++kept;
    if (!stored) {
      ++refused;
      EXPECT_EQ(stored.error().code, ErrorCode::kNoSpace) << stored.error().message;
    }
    ASSERT_LE(cache->Statistics().used_bytes, kCapacity);
    ASSERT_LE(directory.BlocksOnDisk(), kCapacity + 64 * kPageBytes);  // the file system's own extent blocks
  }
  EXPECT_GT(refused, 0);
  EXPECT_GT(cache->Statistics().used_bytes, kCapacity - ExtentBytes(110000)) << kept;
}

TEST(Cache, EvictsWhatTheChooserNames) {
  Directory directory;
  constexpr uint64_t kCapacity = 8u << 20;
  Cache* opened = nullptr;
  int asked = 0;
  auto cache = OpenCache(directory, kCapacity, [&](DatasetId wanted, uint64_t needed) {
    ++asked;
    EXPECT_EQ(wanted, DatasetId{2});
    EXPECT_GT(needed, 0u);
    EXPECT_GT(opened->Usage(DatasetId{1}).bytes, 0u);  // no lock is held
    return std::vector<DatasetId>{DatasetId{1}, DatasetId{3}};
  });
  opened = cache.get();
  const auto other = MakeObject(3, "other", 1000);
  ASSERT_TRUE(Store(*cache, other));
  std::vector<ObjectRef> first;
  for (int i = 0; i < 60; ++i) {
    first.push_back(MakeObject(1, "a" + std::to_string(i), 110000));
    ASSERT_TRUE(Store(*cache, first.back()));
  }
  for (int i = 0; i < 60; ++i) {
    ASSERT_TRUE(StoreWhenThereIsRoom(*cache, MakeObject(2, "b" + std::to_string(i), 110000)));
  }
  while (cache->MakesRoom()) std::this_thread::yield();
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(cache->Usage(DatasetId{1}).bytes, 0u);
  EXPECT_EQ(ReadBack(*cache, other), Found::kRight) << "evicting the first was enough";
  EXPECT_EQ(cache->Statistics().evicted_bytes, 60 * ExtentBytes(110000));
}

TEST(Cache, KeepsSmallObjectsThatComeInPiecesOfAnySize) {
  Directory directory;
  auto cache = OpenCache(directory);
  for (const size_t piece : {size_t{1000}, size_t{65536}, size_t{262144}, size_t{300000}, size_t{2000000}}) {
    const auto object = MakeObject(1, "pieces of " + std::to_string(piece), 1500000);
    ASSERT_TRUE(Store(*cache, object, piece));
    EXPECT_EQ(ReadBack(*cache, object), Found::kRight) << piece;
  }
}

int OpenSegmentFiles() {
  int open = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const std::string target = std::filesystem::read_symlink(entry.path(), ignored);
    if (target.find("/segments/0") != std::string::npos) ++open;
  }
  return open;
}

TEST(Cache, FewSegmentsAreOpenHoweverManyThereAre) {
  Directory directory;
  CacheOptions options{directory.path(), 256u << 20, 1u << 20};
  options.open_segments_max = 4;
  auto opened = Cache::Open(options, {});
  ASSERT_TRUE(opened);
  std::vector<ObjectRef> objects;
  for (int i = 0; i < 30; ++i) {
    objects.push_back(MakeObject(1, "o" + std::to_string(i), 600000));
    ASSERT_TRUE(Store(**opened, objects.back()));
    EXPECT_LE(OpenSegmentFiles(), 4);
  }
  EXPECT_GE(directory.DataFiles().size(), 15u);
  for (int round = 0; round < 2; ++round) {
    for (const auto& object : objects) EXPECT_EQ(ReadBack(**opened, object), Found::kRight);
    EXPECT_EQ(OpenSegmentFiles(), 4);
  }
}

TEST(Cache, SyncCoversWhatHasBeenClosedSinceItWasWritten) {
  Directory directory;
  CacheOptions options{directory.path(), 256u << 20};
  options.open_large_objects_max = 1;
  auto opened = Cache::Open(options, {});
  ASSERT_TRUE(opened);
  const auto first = MakeObject(1, "first", kLarge);
  ASSERT_TRUE(Store(**opened, first));
  const std::string file = directory.DataFiles().at(0);
  ASSERT_TRUE(Store(**opened, MakeObject(1, "second", kLarge)));  // the first is closed
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);  // what the sync of it trips over
  (*opened)->Sync();
  EXPECT_EQ((*opened)->Statistics().io_errors, 1u);
  (*opened)->Sync();
  EXPECT_EQ((*opened)->Statistics().io_errors, 1u);
}

TEST(Cache, ASecondProcessIsRefused) {
  Directory directory;
  auto cache = OpenCache(directory);
  const auto second = Cache::Open({directory.path(), 1u << 20}, {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  EXPECT_NE(second.error().message.find(std::to_string(::getpid())), std::string::npos);
}

TEST(Cache, ADirectoryThatGoesAwayCostsOnlyMisses) {
  Directory directory;
  auto cache = OpenCache(directory);
  const auto object = MakeObject(1, "a", 110000);
  ASSERT_TRUE(Store(*cache, object));
  std::filesystem::remove_all(directory.path());
  EXPECT_NE(ReadBack(*cache, object), Found::kWrong);
  for (int i = 0; i < 30; ++i) {
    for (const uint64_t size : {uint64_t{1u << 20}, kLarge}) {
      const auto next = MakeObject(1, "n" + std::to_string(i), size);
      (void)Store(*cache, next).has_value();
      EXPECT_NE(ReadBack(*cache, next), Found::kWrong);
    }
  }
  cache->Sync();
}

TEST(Cache, ThreadsReadWriteAndReleaseTogether) {
  Directory directory;
  auto cache =
      OpenCache(directory, 48u << 20, [](DatasetId, uint64_t) { return std::vector<DatasetId>{DatasetId{3}}; });
  std::atomic<int> right{0}, wrong{0};
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      Random random(11, thread);
      for (int i = 0; i < 150; ++i) {
        const bool large = random.Below(12) == 0;
        const auto object =
            MakeObject(1 + static_cast<uint32_t>(random.Below(3)), "k" + std::to_string(random.Below(large ? 2 : 20)),
                       large ? kLarge : 30000 + 1000 * random.Below(2));
        switch (random.Below(6)) {
          case 0:
            cache->Release(object);
            break;
          case 1:
            if (random.Below(20) == 0) cache->ReleaseDataset(object.dataset);
            break;
          case 2:
          case 3:
            (void)Store(*cache, object).has_value();
            break;
          default:
            const uint64_t offset = random.Below(object.size_bytes);
            const Found found =
                ReadBack(*cache, object, offset, std::min<uint64_t>(object.size_bytes - offset, 200000));
            if (found == Found::kRight) ++right;
            if (found == Found::kWrong) ++wrong;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  while (cache->MakesRoom()) std::this_thread::yield();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(right, 0);
  EXPECT_EQ(cache->Statistics().corrupt, 0u);
  for (uint32_t dataset = 1; dataset <= 3; ++dataset) {
    cache->ReleaseDataset(DatasetId{dataset});
    EXPECT_EQ(cache->Usage(DatasetId{dataset}).bytes, 0u);
    EXPECT_EQ(cache->Usage(DatasetId{dataset}).objects, 0u);
  }
  EXPECT_EQ(cache->Statistics().used_bytes, 0u);
  cache.reset();
  EXPECT_LE(directory.BlocksOnDisk(), 4 * kPageBytes);
}

}  // namespace
}  // namespace leat::cache
