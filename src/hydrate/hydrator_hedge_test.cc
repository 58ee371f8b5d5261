// SPDX-License-Identifier: Apache-2.0
// The hydrator's late requests. Those of keys that begin with "held" are answered by the test.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <thread>

#include "sim/held_object_store.h"
#include "sim/hydrator_rig.h"

namespace leat::hydrate {
namespace {

class HydratorHedgeTest : public HydratorTest {
 protected:
  void BuildAndLearn(HydratorOptions options = {}) {
    hedging_ = true;
    Build(options);
    held_ = std::make_shared<sim::HeldObjectStore>(*store_);
    repository_->store = held_;
    // Enough requests for the hydrator to know how long one takes; a small part of a second.
    for (int i = 0; i < 100; ++i) {
      const auto object = Put("o" + std::to_string(i), 1000);
      ExpectRight(Read(object, 0, 1000), object, 0, 1000);
    }
    WaitUntilKept();
    fetched_before_ = hydrator_->Statistics();
  }
  ~HydratorHedgeTest() override { hydrator_.reset(); }

  // Whatever waits for its first byte is late then.
  void LetTimePass() { clock_.Advance(std::chrono::seconds(5)); }
  // Long enough for the hydrator to have looked a few times.
  static void GiveItAChance() { std::this_thread::sleep_for(std::chrono::milliseconds(60)); }
  void Answer(size_t number, const cache::ObjectRef& object) {
    held_->Begin(number, object.size_bytes);
    const env::GetRequest request = held_->RequestOf(number);
    held_->Send(number, contents_.at(object.key).substr(request.offset, request.length.value_or(std::string::npos)));
    held_->End(number);
  }
  void EndCancelled(size_t number) { held_->End(number, Fail(ErrorCode::kCancelled, "cancelled")); }
  HydratorStatistics Since() {
    HydratorStatistics statistics = hydrator_->Statistics();
    statistics.fetched_objects -= fetched_before_.fetched_objects;
    statistics.fetched_bytes -= fetched_before_.fetched_bytes;
    statistics.hedges_sent -= fetched_before_.hedges_sent;
    statistics.hedges_won -= fetched_before_.hedges_won;
    return statistics;
  }

  std::shared_ptr<sim::HeldObjectStore> held_;
  HydratorStatistics fetched_before_;
};

TEST_F(HydratorHedgeTest, ALateRequestIsSentAgainAndTheFirstAnswerCounts) {
  BuildAndLearn();
  const auto object = Put("held", 110'000);
  auto answer = Read(object, 0, 110'000);
  held_->WaitFor(1);
  LetTimePass();
  held_->WaitFor(2);
  auto joined = Read(object, 500, 100);  // still one flight
  held_->Begin(1, object.size_bytes);
  EXPECT_TRUE(held_->CancelledOf(0));
  held_->Send(1, contents_["held"].substr(0, 60'000));
  held_->Begin(0, object.size_bytes);  // too late
  held_->Send(0, std::string(110'000, 'x'));
  held_->Send(1, contents_["held"].substr(60'000));
  held_->End(1);
  ExpectRight(std::move(answer), object, 0, 110'000);
  ExpectRight(std::move(joined), object, 500, 100);
  EXPECT_TRUE(CachedRight(object));
  held_->End(0);
  EXPECT_EQ(held_->count(), 2u);
  EXPECT_EQ(held_->RequestOf(1).if_match, object.etag);
  EXPECT_EQ(Since().fetched_objects, 1u);
  EXPECT_EQ(Since().fetched_bytes, 110'000u);
  EXPECT_EQ(Since().hedges_sent, 1u);
  EXPECT_EQ(Since().hedges_won, 1u);
  EXPECT_EQ(hydrator_->Statistics(object.dataset).hedges_won, hydrator_->Statistics().hedges_won);
}

TEST_F(HydratorHedgeTest, ALateRangeIsSentAgainAndTheFirstMayWin) {
  BuildAndLearn();
  const auto object = Put("held", 20 * kMiB);
  auto answer = Read(object, 7 * kMiB + 5, 1000);
  held_->WaitFor(1);
  LetTimePass();
  held_->WaitFor(2);
  EXPECT_EQ(held_->RequestOf(1).offset, 7 * kMiB);
  EXPECT_EQ(held_->RequestOf(1).length, held_->RequestOf(0).length);
  Answer(0, object);
  EXPECT_TRUE(held_->CancelledOf(1));
  EndCancelled(1);
  ExpectRight(std::move(answer), object, 7 * kMiB + 5, 1000);
  EXPECT_EQ(Since().hedges_sent, 1u);
  EXPECT_EQ(Since().hedges_won, 0u);
  EXPECT_EQ(Since().fetched_bytes, *held_->RequestOf(0).length);
}

TEST_F(HydratorHedgeTest, OneErrorWaitsForTheOtherRequestTwoAreAnError) {
  BuildAndLearn();
  for (const bool both : {false, true}) {
    const auto object = Put(both ? "held/both" : "held/one", 1000);
    const size_t base = held_->count();
    auto answer = Read(object, 0, 1000);
    held_->WaitFor(base + 1);
    LetTimePass();
    held_->WaitFor(base + 2);
    held_->End(base, Fail(ErrorCode::kUnavailable, "injected"));
    EXPECT_EQ(answer.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
    if (both) {
      held_->End(base + 1, Fail(ErrorCode::kTimedOut, "injected"));
      EXPECT_EQ(ErrorOf(std::move(answer)), ErrorCode::kTimedOut);
    } else {
      Answer(base + 1, object);
      ExpectRight(std::move(answer), object, 0, 1000);
    }
  }
}

TEST_F(HydratorHedgeTest, AChangedObjectEndsBoth) {
  BuildAndLearn();
  const auto object = Put("held", 1000);
  auto answer = Read(object, 0, 1000);
  held_->WaitFor(1);
  LetTimePass();
  held_->WaitFor(2);
  held_->End(1, Fail(ErrorCode::kObjectChanged, "412"));
  EXPECT_EQ(ErrorOf(std::move(answer)), ErrorCode::kObjectChanged);
  EXPECT_TRUE(held_->CancelledOf(0));
  Answer(0, object);  // nobody listens
  EXPECT_EQ(cache_->CachedBytes(object), 0u);
}

TEST_F(HydratorHedgeTest, ACorruptAnswerOfAHedgeIsFetchedAnew) {
  BuildAndLearn();
  const auto object = Put("held", 1000);
  auto answer = Read(object, 0, 1000);
  held_->WaitFor(1);
  LetTimePass();
  held_->WaitFor(2);
  held_->Begin(1, object.size_bytes);
  held_->Send(1, std::string(1000, 'x'));
  held_->End(1, Fail(ErrorCode::kCorrupt, "injected"));
  held_->WaitFor(3);
  EndCancelled(0);  // of the attempt before: no matter
  Answer(2, object);
  ExpectRight(std::move(answer), object, 0, 1000);
  EXPECT_TRUE(CachedRight(object));
}

TEST_F(HydratorHedgeTest, CancelDatasetDuringAHedge) {
  BuildAndLearn();
  const auto object = Put("held", 1000);
  auto answer = Read(object, 0, 1000);
  held_->WaitFor(1);
  LetTimePass();
  held_->WaitFor(2);
  auto cancelled = std::async(std::launch::async, [&] { hydrator_->CancelDataset(object.dataset); });
  while (!held_->CancelledOf(0) || !held_->CancelledOf(1)) std::this_thread::yield();
  EXPECT_EQ(ErrorOf(std::move(answer)), ErrorCode::kCancelled);
  EndCancelled(1);
  EXPECT_EQ(cancelled.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EndCancelled(0);
}

TEST_F(HydratorHedgeTest, DestructionDuringAHedge) {
  BuildAndLearn();
  const auto object = Put("held", 1000);
  auto answer = Read(object, 0, 1000);
  held_->WaitFor(1);
  LetTimePass();
  held_->WaitFor(2);
  auto destroyed = std::async(std::launch::async, [&] { hydrator_.reset(); });
  while (!held_->CancelledOf(0) || !held_->CancelledOf(1)) std::this_thread::yield();
  EXPECT_EQ(ErrorOf(std::move(answer)), ErrorCode::kCancelled);
  EndCancelled(0);
  destroyed.wait();
  // The hydrator is gone, the other request is not.
  held_->Begin(1, object.size_bytes);
  held_->Send(1, contents_["held"]);
  held_->Throttle(1);
  held_->End(1);
}

TEST_F(HydratorHedgeTest, ARestoresRequestIsSentAgainToo) {
  BuildAndLearn();
  const auto object = Put("held", 1000);
  auto progress = std::make_shared<HydrationProgress>();
  auto restored = Restore({object}, BackgroundPriority::kHydration, progress);
  held_->WaitFor(1);
  EXPECT_TRUE(held_->RequestOf(0).background);
  LetTimePass();
  held_->WaitFor(2);
  Answer(1, object);
  EXPECT_TRUE(restored.get().has_value());
  EXPECT_EQ(progress->bytes_done.load(), 1000u);
  EndCancelled(0);
}

TEST_F(HydratorHedgeTest, WhatReadersWaitForComesFirst) {
  BuildAndLearn({.hedge = {.share_max = 1, .saved_max = 1, .saved_for_demand = 0}});
  const auto background = Put("held/background", 1000), demand = Put("held/demand", 1000);
  auto progress = std::make_shared<HydrationProgress>();
  auto restored = Restore({background}, BackgroundPriority::kRestore, progress);
  held_->WaitFor(1);
  auto answer = Read(demand, 0, 10);
  held_->WaitFor(2);
  LetTimePass();
  held_->WaitFor(3);
  GiveItAChance();
  EXPECT_EQ(held_->count(), 3u);  // the budget is spent
  EXPECT_EQ(held_->RequestOf(2).key, "held/demand");
  Answer(2, demand);
  ExpectRight(std::move(answer), demand, 0, 10);
  Answer(0, background);
  EXPECT_TRUE(restored.get().has_value());
  EndCancelled(1);
}

TEST_F(HydratorHedgeTest, NothingIsSentAgainToARepositoryThatAsksForLess) {
  BuildAndLearn();
  const auto throttled = Put("held/throttled", 1000), other = Put("held/other", 1000);
  auto first = Read(throttled, 0, 10), second = Read(other, 0, 10);
  held_->WaitFor(2);
  held_->Throttle(0);
  GiveItAChance();
  LetTimePass();
  GiveItAChance();
  EXPECT_EQ(held_->count(), 2u);
  LetTimePass();
  LetTimePass();
  held_->WaitFor(4);
  for (const size_t number : {2u, 3u}) Answer(number, held_->RequestOf(number).key == other.key ? other : throttled);
  ExpectRight(std::move(first), throttled, 0, 10);
  ExpectRight(std::move(second), other, 0, 10);
  EndCancelled(0);
  EndCancelled(1);
}

TEST_F(HydratorHedgeTest, NothingIsSentAgainAfterARequestFailedOfThrottling) {
  BuildAndLearn();
  const auto refused = Put("held/refused", 1000), late = Put("held/late", 1000);
  auto first = Read(refused, 0, 10);
  held_->WaitFor(1);
  auto second = Read(late, 0, 10);
  held_->WaitFor(2);
  held_->End(0, Fail(ErrorCode::kThrottled, "503"));
  EXPECT_EQ(ErrorOf(std::move(first)), ErrorCode::kThrottled);
  LetTimePass();
  GiveItAChance();
  EXPECT_EQ(held_->count(), 2u);
  Answer(1, late);
  ExpectRight(std::move(second), late, 0, 10);
}

TEST_F(HydratorHedgeTest, NothingIsSentAgainBeforeMuchIsKnown) {
  BuildAndLearn({.hedge = {.observations_min = 10'000, .observations_max = 20'000}});
  const auto object = Put("held", 1000);
  auto answer = Read(object, 0, 10);
  held_->WaitFor(1);
  LetTimePass();
  GiveItAChance();
  EXPECT_EQ(held_->count(), 1u);
  Answer(0, object);
  ExpectRight(std::move(answer), object, 0, 10);
}

}  // namespace
}  // namespace leat::hydrate
