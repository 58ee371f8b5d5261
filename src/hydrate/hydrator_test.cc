// SPDX-License-Identifier: Apache-2.0
#include "hydrate/hydrator.h"

#include <gtest/gtest.h>

#include <future>
#include <set>
#include <thread>

#include "base/random.h"
#include "sim/forwarding_object_store.h"
#include "sim/hydrator_rig.h"

namespace leat::hydrate {
namespace {

TEST_F(HydratorTest, OneGetForManyReadersOfASmallObject) {
  Build();
  const auto object = Put("a", 110'000);
  store_->AddFault({.key_prefix = "a", .stall = true});
  std::vector<Answered> answers;
  for (uint64_t i = 0; i < 100; ++i) answers.push_back(Read(object, i * 1000, 50'000));
  EXPECT_EQ(hydrator_->Statistics().demand_waiting, 100u);
  while (store_->FaultsFired() == 0) std::this_thread::yield();
  store_->ReleaseStalled();
  for (uint64_t i = 0; i < 100; ++i) {
    if (i > 0 && answers[i].wait_for(std::chrono::milliseconds(0)) != std::future_status::ready)
      store_->ReleaseStalled();
    ExpectRight(std::move(answers[i]), object, i * 1000, 50'000);
  }
  EXPECT_EQ(store_->GetsOf("a"), 1u);
  EXPECT_TRUE(CachedRight(object));
  ExpectRight(Read(object, 5, 10), object, 5, 10);  // late: from the cache
  EXPECT_EQ(store_->GetsOf("a"), 1u);
  EXPECT_EQ(hydrator_->Statistics(DatasetId{1}).fetched_bytes, 110'000u);
}

TEST_F(HydratorTest, AnswersNothingAndTheEndOfTheObject) {
  Build();
  const auto empty = Put("empty", 0), object = Put("a", 1000);
  ExpectRight(Read(empty, 0, 100), empty, 0, 100);
  ExpectRight(Read(object, 1000, 1), object, 1000, 1);
  ExpectRight(Read(object, 990, 500), object, 990, 500);
  EXPECT_EQ(store_->GetsOf("empty"), 0u);
}

TEST_F(HydratorTest, RandomReadsOfALargeObjectFetchOnlyTheirBlocks) {
  Build();
  const auto object = Put("large", 64 * kMiB + 12'345);
  std::set<uint64_t> blocks;
  for (const uint64_t block : {40u, 10u, 63u, 25u, 55u, 2u}) {
    ExpectRight(Read(object, block * kMiB + 777, 100'000), object, block * kMiB + 777, 100'000);
    blocks.insert(block);
  }
  ExpectRight(Read(object, 31 * kMiB - 500, 1000), object, 31 * kMiB - 500, 1000);  // two blocks
  ExpectRight(Read(object, 64 * kMiB + 45, 1'000'000), object, 64 * kMiB + 45, 1'000'000);
  EXPECT_EQ(store_->counters().bytes_received.load(), (blocks.size() + 2) * kMiB + 12'345);
  WaitUntilKept();
  EXPECT_EQ(cache_->CachedBytes(object), (blocks.size() + 2) * kMiB + 12'345);
}

TEST_F(HydratorTest, ReadsInOrderTakeFewLongRequests) {
  Build();
  const auto object = Put("large", 100 * kMiB + 5);
  for (uint64_t offset = 0; offset < object.size_bytes; offset += 128 << 10) {
    std::string bytes(std::min<uint64_t>(128 << 10, object.size_bytes - offset), '\0');
    if (cache_->Read(object, offset, std::as_writable_bytes(std::span(bytes)))) {
      ASSERT_TRUE(bytes == Expected(object, offset, bytes.size()));
      hydrator_->ReadAhead(repository_, object, offset, bytes.size());
    } else {
      ExpectRight(Read(object, offset, bytes.size()), object, offset, bytes.size());
    }
  }
  EXPECT_LE(store_->GetsOf("large"), 48u);                                 // of 101 blocks; ranges are short at first
  EXPECT_EQ(store_->counters().bytes_received.load(), object.size_bytes);  // nothing twice
  EXPECT_TRUE(CachedRight(object));
}

TEST_F(HydratorTest, DemandOvertakesHydration) {
  Build({.requests_in_flight_max = 8}, 1u << 30, {.threads = 4, .delay_max = std::chrono::milliseconds(2)});
  std::vector<cache::ObjectRef> objects;
  for (int i = 0; i < 1000; ++i) objects.push_back(Put("h/" + std::to_string(i), 3000));
  const auto wanted = Put("wanted", 5000);
  auto progress = std::make_shared<HydrationProgress>();
  auto done = Restore(objects, BackgroundPriority::kHydration, progress);
  while (progress->objects_done < 20) std::this_thread::yield();
  ExpectRight(Read(wanted, 0, 5000), wanted, 0, 5000);
  EXPECT_LT(progress->objects_done.load(), 500u);
  // One that is queued far behind is promoted, not asked for twice.
  ExpectRight(Read(objects[999], 0, 3000), objects[999], 0, 3000);
  EXPECT_LT(progress->objects_done.load(), 800u);
  EXPECT_TRUE(done.get().has_value());
  EXPECT_EQ(progress->objects_done.load(), 1000u);
  EXPECT_EQ(progress->bytes_done.load(), 3'000'000u);
  EXPECT_TRUE(progress->finished.load());
  for (const auto& object : objects) {
    EXPECT_EQ(store_->GetsOf(object.key), 1u);
    EXPECT_TRUE(CachedRight(object));
  }
}

TEST_F(HydratorTest, RestoresWhatIsMissingOfLargeObjects) {
  Build({.range_bytes_max = 4 * kMiB});
  const auto large = Put("large", 30 * kMiB + 1), small = Put("small", 100), empty = Put("empty", 0);
  ExpectRight(Read(large, 9 * kMiB, 10), large, 9 * kMiB, 10);
  auto progress = std::make_shared<HydrationProgress>();
  EXPECT_TRUE(Restore({large, small, empty, large}, BackgroundPriority::kRestore, progress).get().has_value());
  EXPECT_EQ(progress->objects_done.load(), 4u);
  EXPECT_EQ(progress->bytes_done.load(), 2 * large.size_bytes + 100);
  EXPECT_EQ(store_->counters().bytes_received.load(), large.size_bytes + 100);
  EXPECT_TRUE(CachedRight(large));
}

TEST_F(HydratorTest, HitsInOrderFetchWhatFollows) {
  Build();
  const auto object = Put("large", 40 * kMiB);
  for (uint64_t block = 0; block < 3; ++block) {
    ExpectRight(Read(object, block * kMiB, kMiB), object, block * kMiB, kMiB);
  }
  // From here on every read is answered by the cache.
  for (uint64_t block = 3; block < 40; ++block) {
    while (!cache_->Contains(object, block * kMiB, kMiB)) std::this_thread::yield();
    hydrator_->ReadAhead(repository_, object, block * kMiB, kMiB);
  }
  EXPECT_EQ(store_->counters().bytes_received.load(), object.size_bytes);
}

TEST_F(HydratorTest, FewRangesOfLargeObjectsAreRestoredAtATime) {
  Build({.range_bytes_max = kMiB, .background_ranges_in_flight_max = 3}, 1u << 30, {.threads = 6});
  const auto large = Put("large", 30 * kMiB), small = Put("small", 1000);
  store_->AddFault({.key_prefix = "large", .stall = true, .count = 3});
  auto progress = std::make_shared<HydrationProgress>();
  auto restored = Restore({large}, BackgroundPriority::kRestore, progress);
  while (store_->FaultsFired() < 3) std::this_thread::yield();
  EXPECT_EQ(hydrator_->Statistics().fetching_objects, 3u);
  ExpectRight(Read(large, 20 * kMiB, 10), large, 20 * kMiB, 10);  // promoted past the limit
  ExpectRight(Read(small, 0, 10), small, 0, 10);
  store_->ReleaseStalled();
  EXPECT_TRUE(restored.get().has_value());
  EXPECT_TRUE(CachedRight(large));
}

TEST_F(HydratorTest, MemoryStaysInItsBudget) {
  Build({.memory_bytes_max = 5'000'000}, 1u << 30, {.threads = 4, .delay_max = std::chrono::microseconds(300)});
  std::atomic<uint64_t> in_commit{0};  // on a busy machine this thread may never run while there is a body in memory
  cache_->before_commit = [&] { in_commit = hydrator_->Statistics().memory_bytes; };
  std::vector<cache::ObjectRef> objects;
  for (int i = 0; i < 60; ++i) objects.push_back(Put("o" + std::to_string(i), 1'000'000));
  auto progress = std::make_shared<HydrationProgress>();
  auto done = Restore(objects, BackgroundPriority::kRestore, progress);
  uint64_t highest = 0;
  while (!progress->finished) highest = std::max(highest, hydrator_->Statistics().memory_bytes);
  EXPECT_TRUE(done.get().has_value());
  EXPECT_GE(in_commit, 1'000'000u);
  EXPECT_LE(std::max<uint64_t>(highest, in_commit), 5'000'000u);
  const auto big = Put("big", 8 * kMiB);  // more than the budget, alone it may
  ExpectRight(Read(big, 0, kMiB), big, 0, kMiB);
  WaitUntilKept();
}

TEST_F(HydratorTest, WhatReadersHoldCountsInTheBudget) {
  Build({.memory_bytes_max = 6'000'000}, 1u << 30, {.threads = 4, .delay_max = std::chrono::microseconds(300)});
  std::vector<DataSlice> held;
  for (int i = 0; i < 4; ++i) {
    const auto object = Put("held" + std::to_string(i), 1'000'000);
    std::promise<DataSlice> promise;
    hydrator_->Read(repository_, object, 0, object.size_bytes,
                    [&promise](Result<DataSlice> slice) { promise.set_value(slice.value_or(DataSlice{})); });
    held.push_back(promise.get_future().get());
    ASSERT_EQ(held.back().bytes.size(), object.size_bytes);
  }
  WaitUntilKept();
  EXPECT_EQ(hydrator_->Statistics().memory_bytes, 4'000'000u);
  const auto restore = [this](const std::string& name) {
    std::vector<cache::ObjectRef> objects;
    for (int i = 0; i < 60; ++i) objects.push_back(Put(name + std::to_string(i), 300'000));
    auto progress = std::make_shared<HydrationProgress>();
    auto done = Restore(objects, BackgroundPriority::kRestore, progress);
    uint64_t highest = 0;
    while (!progress->finished) highest = std::max(highest, hydrator_->Statistics().memory_bytes);
    EXPECT_TRUE(done.get().has_value());
    return highest;
  };
  EXPECT_LE(restore("beside"), 6'000'000u);
  held.clear();
  EXPECT_EQ(hydrator_->Statistics().memory_bytes, 0u);
  EXPECT_LE(restore("alone"), 6'000'000u);
}

TEST_F(HydratorTest, ChangedObjectIsAnErrorAndNotKept) {
  Build();
  const auto small = Put("small", 1000), large = Put("large", 20 * kMiB);
  store_->PutObject("small", "another");
  store_->PutObject("large", "another");
  EXPECT_EQ(ErrorOf(Read(small, 0, 10)), ErrorCode::kObjectChanged);
  EXPECT_EQ(ErrorOf(Read(large, 0, 10)), ErrorCode::kObjectChanged);
  auto wrong_size = Put("wrong", 1000);
  wrong_size.size_bytes = 900;
  EXPECT_EQ(ErrorOf(Read(wrong_size, 0, 10)), ErrorCode::kObjectChanged);
  EXPECT_EQ(cache_->CachedBytes(small) + cache_->CachedBytes(large) + cache_->CachedBytes(wrong_size), 0u);
  store_->RemoveObject("small");
  EXPECT_EQ(ErrorOf(Read(small, 0, 10)), ErrorCode::kNotFound);
}

TEST_F(HydratorTest, CorruptOnceIsRetriedTwiceIsAnError) {
  Build();
  const auto once = Put("once", 100'000), twice = Put("twice", 100'000);
  store_->AddFault({.key_prefix = "once", .flip_bit = true});
  store_->AddFault({.key_prefix = "twice", .flip_bit = true, .count = 2});
  ExpectRight(Read(once, 0, 100'000), once, 0, 100'000);
  EXPECT_EQ(store_->GetsOf("once"), 2u);
  EXPECT_TRUE(CachedRight(once));
  EXPECT_EQ(ErrorOf(Read(twice, 0, 100'000)), ErrorCode::kCorrupt);
  EXPECT_EQ(cache_->CachedBytes(twice), 0u);
  EXPECT_EQ(store_->FaultsFired(), 3);
  ExpectRight(Read(twice, 0, 100'000), twice, 0, 100'000);
}

TEST_F(HydratorTest, CorruptLargeObjectsAreFetchedAnew) {
  Build({.range_bytes_max = 4 * kMiB});
  const auto once = Put("once", 12 * kMiB), always = Put("always", 12 * kMiB);
  store_->AddFault({.key_prefix = "once", .flip_bit = true});
  store_->AddFault({.key_prefix = "always", .flip_bit = true, .count = 1000});
  auto progress = std::make_shared<HydrationProgress>();
  const Status status = Restore({once, always}, BackgroundPriority::kRestore, progress).get();
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(progress->objects_failed.load(), 1u);
  // Blocks of other ranges of the object may have gone with the wrong ones; none may be wrong.
  for (uint64_t block = 0; block < 12; ++block) {
    std::string bytes(kMiB, '\0');
    if (!cache_->Read(once, block * kMiB, std::as_writable_bytes(std::span(bytes)))) continue;
    EXPECT_TRUE(bytes == Expected(once, block * kMiB, kMiB)) << block;
  }
  EXPECT_LT(cache_->CachedBytes(always), 12 * kMiB);
}

TEST_F(HydratorTest, AReaderDoesNotWaitForTheCachesDisk) {
  Build();
  std::promise<void> disk;
  cache_->before_commit = [done = disk.get_future().share()] { done.wait(); };
  const auto small = Put("small", 1000), large = Put("large", 9 * kMiB);
  for (const auto& object : {small, large}) {
    auto answer = Read(object, 10, 100);
    const bool answered = answer.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
    EXPECT_TRUE(answered) << object.key;
    if (answered) ExpectRight(std::move(answer), object, 10, 100);
  }
  auto late = Read(small, 500, 100);  // joins what is being kept: fetched once
  disk.set_value();
  ExpectRight(std::move(late), small, 500, 100);
  EXPECT_TRUE(CachedRight(small));
  EXPECT_EQ(store_->GetsOf("small"), 1u);
}

TEST_F(HydratorTest, ARestoreWaitsForACacheThatMakesRoom) {
  for (const auto priority : {BackgroundPriority::kHydration, BackgroundPriority::kRestore}) {
    Build();
    std::vector<cache::ObjectRef> objects;
    for (int i = 0; i < 10; ++i) objects.push_back(Put("o" + std::to_string(i), 1000));
    objects.push_back(Put("large", 12 * kMiB));
    cache_->busy = true;
    auto progress = std::make_shared<HydrationProgress>();
    auto restored = Restore(objects, priority, progress);
    while (cache_->refused_writes < 15) std::this_thread::yield();
    ExpectRight(Read(objects[3], 0, 1000), objects[3], 0, 1000);  // readers do not wait
    EXPECT_FALSE(progress->finished.load());
    cache_->busy = false;
    EXPECT_TRUE(restored.get().has_value());
    EXPECT_EQ(progress->objects_done.load(), objects.size());
    EXPECT_EQ(progress->objects_skipped.load(), 0u);
    EXPECT_EQ(progress->bytes_done.load(), 10'000 + 12 * kMiB);
    for (const auto& object : objects) EXPECT_TRUE(CachedRight(object));
  }
}

TEST_F(HydratorTest, ARestoreDoesNotWaitForRoomForEver) {
  Build();
  std::vector<cache::ObjectRef> objects;
  for (int i = 0; i < 200; ++i) objects.push_back(Put("o" + std::to_string(i), 1000));
  cache_->busy = true;
  auto progress = std::make_shared<HydrationProgress>();
  auto restored = Restore(objects, BackgroundPriority::kRestore, progress);
  while (cache_->refused_writes < 5) std::this_thread::yield();
  clock_.Advance(std::chrono::seconds(61));
  EXPECT_TRUE(restored.get().has_value());
  EXPECT_EQ(progress->objects_skipped.load(), 200u);
  EXPECT_EQ(progress->objects_failed.load(), 0u);
}

TEST_F(HydratorTest, AHiccupOfTheCachesDiskCostsARestoreNothing) {
  Build({.requests_in_flight_max = 4});
  std::vector<cache::ObjectRef> objects;
  for (int i = 0; i < 50; ++i) objects.push_back(Put("o" + std::to_string(i), 1000));
  objects.push_back(Put("large", 12 * kMiB));
  cache_->failing_commits = 6;
  auto progress = std::make_shared<HydrationProgress>();
  EXPECT_TRUE(Restore(objects, BackgroundPriority::kRestore, progress).get().has_value());
  EXPECT_LE(cache_->failing_commits.load(), 0);
  EXPECT_EQ(progress->objects_done.load(), objects.size());
  EXPECT_EQ(progress->bytes_done.load(), 50'000 + 12 * kMiB);
  for (const auto& object : objects) EXPECT_TRUE(CachedRight(object));
  // One that fails for good ends it with an error.
  cache_->failing_commits = 1'000'000;
  const auto more = Put("more", 1000);
  progress = std::make_shared<HydrationProgress>();
  EXPECT_FALSE(Restore({more}, BackgroundPriority::kRestore, progress).get().has_value());
  EXPECT_EQ(progress->objects_failed.load(), 1u);
}

TEST_F(HydratorTest, FullCacheIsReadThrough) {
  Build({}, 250'000);
  std::vector<cache::ObjectRef> objects;
  for (int i = 0; i < 10; ++i) objects.push_back(Put("o" + std::to_string(i), 100'000));
  for (const auto& object : objects) ExpectRight(Read(object, 10, 1000), object, 10, 1000);
  EXPECT_EQ(hydrator_->Statistics().read_through_bytes, 800'000u);
  const auto large = Put("large", 20 * kMiB);
  ExpectRight(Read(large, 0, 3 * kMiB), large, 0, 3 * kMiB);
  for (const auto priority : {BackgroundPriority::kHydration, BackgroundPriority::kRestore}) {
    auto progress = std::make_shared<HydrationProgress>();
    EXPECT_TRUE(Restore(objects, priority, progress).get().has_value());
    EXPECT_EQ(progress->objects_done.load(), 2u);
    EXPECT_EQ(progress->objects_skipped.load(), 8u);
  }
}

TEST_F(HydratorTest, AFullCacheFetchesAnObjectOnceForAReaderOfItsPieces) {
  Build({}, 0);
  const auto small = Put("small", 500'000), large = Put("large", 20 * kMiB);
  for (const auto& [object, pieces] : {std::pair(small, 4u), std::pair(large, 16u)}) {
    const uint64_t piece = 131'072;
    for (uint64_t at = 0; at < pieces * piece; at += piece) {
      const uint64_t length = std::min(piece, object.size_bytes - at);
      ExpectRight(Read(object, at, length), object, at, length);
    }
  }
  EXPECT_EQ(store_->GetsOf("small"), 1u);
  EXPECT_EQ(store_->counters().bytes_received.load(), small.size_bytes + 2 * kMiB);
  while (hydrator_->Statistics().fetching_objects > 0) std::this_thread::yield();
  EXPECT_EQ(hydrator_->Statistics().memory_bytes, 0u);  // both were read whole: nothing is held
  ExpectRight(Read(small, 0, 1000), small, 0, 1000);
  EXPECT_EQ(store_->GetsOf("small"), 2u);
  hydrator_->CancelDataset(small.dataset);
  EXPECT_EQ(hydrator_->Statistics().memory_bytes, 0u);
}

TEST_F(HydratorTest, WhatAFullCacheHoldsInMemoryMakesRoomForFetches) {
  Build({.memory_bytes_max = 4'000'000, .read_through_bytes_max = 4'000'000}, 0);
  uint64_t highest = 0;
  for (int i = 0; i < 40; ++i) {
    const auto object = Put("o" + std::to_string(i), 400'000);
    ExpectRight(Read(object, 0, 100), object, 0, 100);
    highest = std::max(highest, hydrator_->Statistics().memory_bytes);
  }
  EXPECT_GE(highest, 800'000u);
  EXPECT_LE(highest, 4'000'000u);
  const auto big = Put("big", 3'900'000);
  ExpectRight(Read(big, 0, 100), big, 0, 100);
  EXPECT_LE(hydrator_->Statistics().memory_bytes, 4'000'000u);
}

TEST_F(HydratorTest, WhoJoinsAHydrationThatFindsTheCacheFullIsServed) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Build({.requests_in_flight_max = 8}, 0, {.seed = seed});
    std::vector<cache::ObjectRef> objects;
    for (int i = 0; i < 300; ++i) objects.push_back(Put("o" + std::to_string(i), 100));
    auto progress = std::make_shared<HydrationProgress>();
    auto restored = Restore(objects, BackgroundPriority::kHydration, progress);
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 3; ++thread) {
      threads.emplace_back([&] {
        for (const auto& object : objects) ExpectRight(Read(object, 0, 100), object, 0, 100);
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_TRUE(restored.get().has_value());
    EXPECT_EQ(progress->objects_done + progress->objects_skipped, objects.size());
    EXPECT_EQ(progress->objects_failed.load(), 0u);
  }
}

TEST_F(HydratorTest, ARestoreTrimmedForLackOfRoomIsNotComplete) {
  Build({.requests_in_flight_max = 1, .range_bytes_max = 4 * kMiB}, 0);
  const auto first = Put("first", 1000), large = Put("large", 12 * kMiB);
  store_->AddFault({.key_prefix = "first", .stall = true});
  auto held_up = Read(first, 0, 10);
  while (store_->FaultsFired() == 0) std::this_thread::yield();
  auto progress = std::make_shared<HydrationProgress>();
  auto restored = Restore({large}, BackgroundPriority::kRestore, progress);
  while (hydrator_->Statistics().background_queued == 0) std::this_thread::yield();
  auto joined = Read(large, 2 * kMiB, 1000);
  store_->ReleaseStalled();
  ExpectRight(std::move(joined), large, 2 * kMiB, 1000);
  EXPECT_TRUE(restored.get().has_value());
  EXPECT_EQ(progress->objects_skipped.load(), 1u);
  EXPECT_EQ(progress->objects_done.load(), 0u);
  EXPECT_EQ(progress->bytes_done.load(), 0u);
  EXPECT_EQ(store_->counters().bytes_received.load(), first.size_bytes + kMiB);
  held_up.wait();
}

TEST_F(HydratorTest, WhoReadsDoesNotStartTheWorkOfARestore) {
  Build();
  std::promise<void> room;
  std::atomic<int> held{0}, by_reader{0};
  const auto reader = std::this_thread::get_id();
  cache_->before_write = [&, done = room.get_future().share()](const cache::ObjectRef& object) {
    if (object.key[0] != 'o') return;
    if (std::this_thread::get_id() == reader) {
      ++by_reader;
      return;
    }
    ++held;
    done.wait();
  };
  std::vector<cache::ObjectRef> objects;
  for (int i = 0; i < 20; ++i) objects.push_back(Put("o" + std::to_string(i), 1000));
  const auto wanted = Put("wanted", 1000);
  auto progress = std::make_shared<HydrationProgress>();
  auto restored = Restore(objects, BackgroundPriority::kRestore, progress);
  while (held == 0) std::this_thread::yield();
  ExpectRight(Read(wanted, 0, 1000), wanted, 0, 1000);
  EXPECT_EQ(by_reader, 0);
  room.set_value();
  EXPECT_TRUE(restored.get().has_value());
}

TEST_F(HydratorTest, CancelDatasetDoesNotWaitForTheRestoreOfAnother) {
  Build();
  const auto mine = Put("mine", 1000, 1), other = Put("other", 1000, 2);
  store_->AddFault({.key_prefix = "other", .stall = true});
  std::promise<void> listed;
  std::atomic<bool> asked{false};
  class SlowSource final : public HydrationSource {
   public:
    SlowSource(std::atomic<bool>& asked, std::future<void> listed, cache::ObjectRef object)
        : asked_(asked), listed_(std::move(listed)), object_(std::move(object)) {}
    std::vector<cache::ObjectRef> Next(size_t) override {
      if (asked_.exchange(true)) return {};
      listed_.wait();
      return {object_};
    }

   private:
    std::atomic<bool>& asked_;
    std::future<void> listed_;
    const cache::ObjectRef object_;
  };
  auto progress = std::make_shared<HydrationProgress>();
  hydrator_->Restore(repository_, std::make_unique<SlowSource>(asked, listed.get_future(), other),
                     BackgroundPriority::kRestore, progress, [](Status) {});
  while (!asked) std::this_thread::yield();
  auto cancelled = std::async(std::launch::async, [&] { hydrator_->CancelDataset(DatasetId{1}); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // it waits: whose restore this is nobody knows yet
  listed.set_value();
  EXPECT_EQ(cancelled.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_FALSE(progress->finished.load());
  hydrator_.reset();  // also ends the wait where it would last
}

TEST_F(HydratorTest, FailedObjectsAreCountedAndTheRestIsTried) {
  Build();
  std::vector<cache::ObjectRef> objects;
  for (int i = 0; i < 50; ++i) objects.push_back(Put("o" + std::to_string(i), 1000));
  store_->RemoveObject("o7");
  store_->AddFault({.key_prefix = "o2", .error = ErrorCode::kThrottled, .count = 3});
  auto progress = std::make_shared<HydrationProgress>();
  EXPECT_FALSE(Restore(objects, BackgroundPriority::kRestore, progress).get().has_value());
  EXPECT_EQ(progress->objects_failed.load(), 4u);
  EXPECT_EQ(progress->objects_done.load(), 46u);
}

TEST_F(HydratorTest, AReaderDoesNotWaitForEver) {
  Build();
  const auto object = Put("a", 1000);
  store_->AddFault({.key_prefix = "a", .stall = true});
  auto answer = Read(object, 0, 10);
  clock_.Advance(std::chrono::seconds(121));
  EXPECT_EQ(ErrorOf(std::move(answer)), ErrorCode::kTimedOut);
}

TEST_F(HydratorTest, CancelDatasetEndsItsReadsAndNoOthers) {
  Build();
  const auto mine = Put("mine", 1000, 1), other = Put("other", 1000, 2);
  store_->AddFault({.key_prefix = "mine", .stall = true});
  auto cancelled = Read(mine, 0, 10);
  while (store_->FaultsFired() == 0) std::this_thread::yield();  // else the last read would be the one that stalls
  auto progress = std::make_shared<HydrationProgress>();
  auto restored = Restore({mine}, BackgroundPriority::kRestore, progress);
  hydrator_->CancelDataset(DatasetId{1});
  EXPECT_EQ(ErrorOf(std::move(cancelled)), ErrorCode::kCancelled);
  EXPECT_EQ(restored.get().error().code, ErrorCode::kCancelled);
  ExpectRight(Read(other, 0, 10), other, 0, 10);
  ExpectRight(Read(mine, 0, 10), mine, 0, 10);
}

TEST_F(HydratorTest, RestoreCancelledByItsProgress) {
  Build({}, 1u << 30, {.threads = 2, .delay_max = std::chrono::milliseconds(1)});
  std::vector<cache::ObjectRef> objects;
  for (int i = 0; i < 2000; ++i) objects.push_back(Put("o" + std::to_string(i), 100));
  auto progress = std::make_shared<HydrationProgress>();
  auto done = Restore(objects, BackgroundPriority::kRestore, progress);
  while (progress->objects_done < 5) std::this_thread::yield();
  progress->cancelled = true;
  EXPECT_EQ(done.get().error().code, ErrorCode::kCancelled);
  EXPECT_LT(progress->objects_done.load(), 2000u);
}

// A store that runs something whenever a request is cancelled.
class CancelHook final : public sim::ForwardingObjectStore {
 public:
  CancelHook(env::ObjectStore& store, std::function<void()> on_cancel)
      : ForwardingObjectStore(store), on_cancel_(std::move(on_cancel)) {}
  void Cancel(env::RequestId id) override {
    on_cancel_();
    ForwardingObjectStore::Cancel(id);
  }

 private:
  const std::function<void()> on_cancel_;
};

TEST_F(HydratorTest, WhoJoinsWhatACancelledRestoreDropsIsServed) {
  Build({.requests_in_flight_max = 1});
  const auto running = Put("running", 1000), queued = Put("queued", 2000);
  store_->AddFault({.key_prefix = "running", .stall = true});
  std::vector<Answered> joined;
  repository_->store = std::make_shared<CancelHook>(*store_, [&] {
    if (!joined.empty()) return;
    // Now both fetches are being ended and neither has ended.
    joined.push_back(Read(queued, 0, 2000));
    joined.push_back(Read(running, 0, 1000));
  });
  auto progress = std::make_shared<HydrationProgress>();
  auto restored = Restore({running, queued}, BackgroundPriority::kRestore, progress);
  while (store_->FaultsFired() == 0 || hydrator_->Statistics().background_queued == 0) std::this_thread::yield();
  progress->cancelled = true;
  EXPECT_EQ(restored.get().error().code, ErrorCode::kCancelled);
  ASSERT_EQ(joined.size(), 2u);
  ExpectRight(std::move(joined[0]), queued, 0, 2000);
  ExpectRight(std::move(joined[1]), running, 0, 1000);
  hydrator_.reset();  // before what the hook refers to
}

// What is not answered at once is sent a second time, and so most requests of the memory store are.
constexpr policy::HedgeOptions kHedgeMuch{
    .multiple = 0.01, .wait_min_ns = 0, .observations_min = 3, .share_max = 0.5, .saved_for_demand = 0};

TEST_F(HydratorTest, DestructionAtAnyMomentAnswersEverybodyOnce) {
  hedging_ = true;
  uint64_t hedges_sent = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Build({.memory_bytes_max = 20 * kMiB,
           .requests_in_flight_max = 16,
           .hedge = kHedgeMuch,
           .hedge_tick = std::chrono::milliseconds(0)},
          seed % 2 == 0 ? 40 * kMiB : 500'000,
          {.seed = seed, .threads = 3, .delay_max = std::chrono::microseconds(300)});
    Random random(seed);
    std::vector<cache::ObjectRef> objects;
    for (int i = 0; i < 40; ++i) objects.push_back(Put("o" + std::to_string(i), random.Below(60'000), 1 + i % 2));
    objects.push_back(Put("large", 20 * kMiB));
    store_->AddFault({.key_prefix = "o3", .flip_bit = true});
    store_->AddFault({.key_prefix = "o1", .stall = true});
    store_->AddFault({.key_prefix = "large", .after_bytes = 1'500'000});
    std::vector<cache::ObjectRef> of_dataset[2];
    for (const auto& object : objects) of_dataset[Value(object.dataset) - 1].push_back(object);
    auto progress = std::make_shared<HydrationProgress>(), other_progress = std::make_shared<HydrationProgress>();
    auto restored = Restore(of_dataset[0], BackgroundPriority::kHydration, progress);
    auto other_restored = Restore(of_dataset[1], BackgroundPriority::kRestore, other_progress);
    std::vector<Answered> answers;
    std::vector<std::pair<cache::ObjectRef, std::pair<uint64_t, uint64_t>>> asked;
    for (int i = 0; i < 200; ++i) {
      const auto& object = objects[random.Below(objects.size())];
      const uint64_t offset = random.Below(object.size_bytes + 1), length = 1 + random.Below(100'000);
      asked.push_back({object, {offset, length}});
      answers.push_back(Read(object, offset, length));
      if (i == 90 && seed % 4 == 0) progress->cancelled = true;
      if (i == 120 && seed % 3 == 0) hydrator_->CancelDataset(DatasetId{2});
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random.Below(3000)));
    hedges_sent += hydrator_->Statistics().hedges_sent;
    hydrator_.reset();
    for (size_t i = 0; i < answers.size(); ++i) {
      const auto bytes = answers[i].get();  // a broken promise or a second answer fails the test
      if (!bytes) continue;
      EXPECT_TRUE(*bytes == Expected(asked[i].first, asked[i].second.first, asked[i].second.second));
    }
    restored.wait();
    other_restored.wait();
    for (const auto& object : objects) {
      if (object.size_bytes == 0 || !cache_->Contains(object, 0, object.size_bytes)) continue;
      EXPECT_TRUE(CachedRight(object));
    }
  }
  EXPECT_GT(hedges_sent, 0u);
}

TEST_F(HydratorTest, ManyThreadsReadRightBytes) {
  hedging_ = true;
  Build({.memory_bytes_max = 16 * kMiB, .hedge = kHedgeMuch, .hedge_tick = std::chrono::milliseconds(0)}, 30 * kMiB,
        {.threads = 4, .data_piece_bytes = 5000});
  std::vector<cache::ObjectRef> objects;
  for (int i = 0; i < 60; ++i) objects.push_back(Put("o" + std::to_string(i), 1 + static_cast<uint64_t>(i) * 2000));
  objects.push_back(Put("large", 40 * kMiB + 99));
  auto progress = std::make_shared<HydrationProgress>();
  auto restored = Restore(objects, BackgroundPriority::kHydration, progress);
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < 6; ++thread) {
    threads.emplace_back([&, thread] {
      Random random(99, thread);
      for (int i = 0; i < 150; ++i) {
        const auto& object = objects[random.Below(4) == 0 ? objects.size() - 1 : random.Below(objects.size())];
        const uint64_t offset = random.Below(object.size_bytes), length = 1 + random.Below(200'000);
        ExpectRight(Read(object, offset, length), object, offset, length);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(restored.get().has_value());
  EXPECT_EQ(progress->objects_done + progress->objects_skipped, objects.size());
  EXPECT_GT(hydrator_->Statistics().hedges_sent, 0u);
  EXPECT_GT(hydrator_->Statistics().hedges_won, 0u);
}

}  // namespace
}  // namespace leat::hydrate
