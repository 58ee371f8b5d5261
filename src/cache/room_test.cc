// SPDX-License-Identifier: Apache-2.0
// Who waits for room, and what counts as room: evictions, disks that are slow, and blocks that cannot be given back.
#include <atomic>
#include <thread>

#include "cache/cache_testing.h"
#include "cache/records.h"
#include "cache/step.h"

namespace leat::cache {
namespace {

constexpr uint64_t kLarge = (9u << 20) + 12345;

// Holds up every release between its record and its hole, or makes the steps of a write slow.
std::atomic<bool> hold{false};
std::atomic<int> held{0};

class Steps {
 public:
  explicit Steps(void (*observer)(const char*)) { step_observer = observer; }
  ~Steps() {
    hold = false;
    step_observer = nullptr;
  }
};

void HoldReleases(const char* name) {
  if (std::string_view(name) != "release.recorded") return;
  ++held;
  while (hold) std::this_thread::yield();
}

void SlowWrites(const char* name) {
  const std::string_view step(name);
  if (step == "small.written" || step == "large.recorded") std::this_thread::sleep_for(std::chrono::milliseconds(30));
}

std::vector<ObjectRef> FillWith(Cache& cache, uint32_t dataset, int count) {
  std::vector<ObjectRef> objects;
  for (int i = 0; i < count; ++i) {
    objects.push_back(MakeObject(dataset, std::to_string(i), 110000));
    EXPECT_TRUE(Store(cache, objects.back()));
  }
  return objects;
}

TEST(Room, NobodyWaitsForAnEviction) {
  Directory directory;
  auto cache = OpenCache(directory, 8u << 20, [](DatasetId, uint64_t) { return std::vector<DatasetId>{DatasetId{1}}; });
  FillWith(*cache, 1, 70);
  const auto wanted = MakeObject(2, "wanted", 2u << 20);
  Steps steps(HoldReleases);
  hold = true;
  held = 0;
  for (int i = 0; i < 3; ++i) {  // a thread that reads is told so at once, and reads through
    const Status stored = Store(*cache, wanted);
    ASSERT_FALSE(stored);
    EXPECT_EQ(stored.error().code, ErrorCode::kBusy);
  }
  while (held == 0) std::this_thread::yield();
  EXPECT_TRUE(cache->MakesRoom());
  EXPECT_GT(cache->Usage(DatasetId{1}).objects, 60u);
  hold = false;
  EXPECT_TRUE(StoreWhenThereIsRoom(*cache, wanted));
  EXPECT_EQ(ReadBack(*cache, wanted), Found::kRight);
  while (cache->MakesRoom()) std::this_thread::yield();
  EXPECT_EQ(cache->Usage(DatasetId{1}).objects, 0u) << "whole datasets only";
}

TEST(Room, AnEvictionEndsWithTheCache) {
  Directory directory;
  auto cache = OpenCache(directory, 8u << 20, [](DatasetId, uint64_t) { return std::vector<DatasetId>{DatasetId{1}}; });
  FillWith(*cache, 1, 70);
  Steps steps(HoldReleases);
  hold = true;
  held = 0;
  EXPECT_FALSE(Store(*cache, MakeObject(2, "wanted", 2u << 20)));
  while (held == 0) std::this_thread::yield();
  std::thread opener([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    hold = false;
  });
  cache.reset();
  opener.join();
  cache = OpenCache(directory, 8u << 20);
  EXPECT_GT(cache->Usage(DatasetId{1}).objects, 0u) << "one object was dropped, the rest is for another day";
}

TEST(Room, WhatHoldsNothingIsNotEvictedAgainAndAgain) {
  Directory directory;
  auto cache = OpenCache(directory, 8u << 20, [](DatasetId, uint64_t) { return std::vector<DatasetId>{DatasetId{3}}; });
  FillWith(*cache, 1, 70);
  const Status stored = Store(*cache, MakeObject(2, "wanted", 2u << 20));
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().code, ErrorCode::kNoSpace);
}

TEST(Room, ADiskThatIsSlowTwiceInARowGetsARest) {
  for (const uint64_t size : {uint64_t{1000}, kLarge}) {
    Directory directory;
    CacheOptions options{directory.path(), 256u << 20};
    options.slow_write = std::chrono::milliseconds(2);
    auto opened = Cache::Open(options, {});
    ASSERT_TRUE(opened);
    Steps steps(SlowWrites);
    for (int i = 0; i < 2; ++i) {
      const auto object = MakeObject(1, std::to_string(i), size);
      const auto bytes = BytesOf(object);
      const uint64_t length = std::min(size, kBlockBytes);
      auto writer = (*opened)->StartWrite(object, 0, length);
      ASSERT_TRUE(writer) << writer.error().message;
      (*writer)->Append(std::span(bytes).first(length));
      ASSERT_TRUE((*writer)->Commit());
    }
    const Status refused = Store(**opened, MakeObject(1, "next", size));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  }
}

TEST(Room, WhatTheDiskDoesNotGiveBackIsStillUsed) {
  Directory directory;
  std::vector<ObjectRef> objects;
  {
    auto cache = OpenCache(directory);
    objects = FillWith(*cache, 1, 10);
  }
  ASSERT_EQ(directory.DataFiles().size(), 1u);
  const std::string segment = directory.DataFiles()[0], aside = directory.path() + "/aside";
  const uint64_t extent = ExtentBytes(110000);
  const auto hide = [&] {  // the segment cannot be opened
    std::filesystem::rename(segment, aside);
    std::filesystem::create_directory(segment);
  };
  const auto show = [&] {
    std::filesystem::remove(segment);
    std::filesystem::rename(aside, segment);
  };
  hide();
  {
    auto cache = OpenCache(directory);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(cache->Release(objects[static_cast<size_t>(i)]), extent);
    EXPECT_EQ(cache->Usage(DatasetId{1}).bytes, 6 * extent);
    EXPECT_EQ(cache->Statistics().used_bytes, 10 * extent);
  }
  {
    auto cache = OpenCache(directory);  // tries again, in vain
    EXPECT_EQ(cache->Statistics().used_bytes, 10 * extent);
  }
  show();
  {
    auto cache = OpenCache(directory);
    EXPECT_EQ(cache->Statistics().used_bytes, 6 * extent);
    EXPECT_LE(directory.BlocksOnDisk(), 6 * extent + 4 * kPageBytes);
    EXPECT_EQ(ReadBack(*cache, objects[9]), Found::kRight);
  }
  hide();
  {
    auto cache = OpenCache(directory);
    cache->ReleaseDataset(DatasetId{1});
    EXPECT_EQ(cache->Statistics().used_bytes, 6 * extent) << "nor could the whole segment be deleted";
  }
  show();
  auto cache = OpenCache(directory);
  EXPECT_EQ(cache->Statistics().used_bytes, 0u);
  EXPECT_EQ(directory.BlocksOnDisk(), 0u);
}

TEST(Room, AReleaseTellsWhenItCouldNotDrop) {
  Directory directory;
  auto cache = OpenCache(directory);
  const auto object = MakeObject(1, "a", 110000);
  EXPECT_TRUE(cache->Release(object).status) << "what is not there is no failure";
  ASSERT_TRUE(Store(*cache, object));
  const Released released = cache->Release(object);
  EXPECT_EQ(released.bytes, ExtentBytes(110000));
  EXPECT_TRUE(released.status);
}

}  // namespace
}  // namespace leat::cache
