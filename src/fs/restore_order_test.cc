// SPDX-License-Identifier: Apache-2.0
// In which order contents are fetched: a plan's, the last epoch's, the listing's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "env/blocking.h"
#include "fs/ops/read.h"
#include "fs/ops/resolve.h"
#include "fs/ops/restore_plan.h"
#include "sim/file_system_rig.h"

namespace leat::fs {
namespace {

using testing::ElementsAre;

class RestoreOrderTest : public testing::Test {
 protected:
  FileSystem& fs() { return *rig_.file_system; }

  // directory/0000 ... in the bucket; their keys in the listing's order.
  std::vector<std::string> Fill(const std::string& directory, int count) {
    std::vector<std::string> keys;
    for (int i = 0; i < count; ++i) {
      std::string number = std::to_string(i);
      keys.push_back(directory + "/" + std::string(4 - number.size(), '0') + number);
      rig_.store->PutObject(keys.back(), PatternBytes(1000 + static_cast<size_t>(i) % 7, static_cast<uint64_t>(i)));
    }
    return keys;
  }
  static std::vector<std::string> Shuffled(std::vector<std::string> keys, uint64_t seed) {
    Random random(seed);
    Shuffle(keys, random);
    return keys;
  }
  void Import() {
    ASSERT_TRUE(env::Await<void>([&](auto done) { fs::Import(fs(), "", false, std::move(done)); }));
  }
  void Read(const std::string& path) {
    const auto inode = env::Await<catalog::Inode>([&](auto done) { ResolvePath(fs(), path, std::move(done)); });
    ASSERT_TRUE(inode);
    std::string bytes(inode->size_bytes, '\0');
    if (ReadNow(fs(), inode->id, 0, std::as_writable_bytes(std::span(bytes)))) return;
    ASSERT_TRUE(env::Await<hydrate::DataSlice>(
        [&](auto done) { fs::Read(fs(), inode->id, 0, bytes.size(), std::move(done)); }));
  }
  void Release(const std::string& path) {
    ASSERT_TRUE(env::Await<uint64_t>([&](auto done) { fs::Release(fs(), path, std::move(done)); }));
  }
  Result<PlanAnswer> Add(RestorePlan& plan, std::vector<std::string> paths, bool more) {
    return env::Await<PlanAnswer>([&](auto told) { plan.Add(std::move(paths), more, std::move(told)); });
  }
  // A plan in parts of `part` paths, run to its end.
  Status Restore(const std::vector<std::string>& paths, size_t part, uint64_t* mistaken = nullptr) {
    std::promise<Status> ended;
    const auto plan = RestorePlan::Start(fs(), progress_, [&](Status status) { ended.set_value(std::move(status)); });
    for (size_t next = 0; next < paths.size(); next += part) {
      const size_t end = std::min(paths.size(), next + part);
      const auto answer =
          Add(*plan, {paths.begin() + static_cast<ptrdiff_t>(next), paths.begin() + static_cast<ptrdiff_t>(end)},
              end < paths.size());
      if (!answer) return Fail(answer.error());
      if (mistaken) *mistaken += answer->mistaken;
    }
    return ended.get_future().get();
  }
  bool WaitForGets(size_t count) {
    for (int i = 0; i < 4000 && rig_.store->GetsInOrder().size() < count; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return rig_.store->GetsInOrder().size() == count;
  }
  // The keys asked for from the `first`-th GET on, without those named.
  std::vector<std::string> GetsSince(size_t first, const std::vector<std::string>& without = {}) {
    std::vector<std::string> gets = rig_.store->GetsInOrder();
    gets.erase(gets.begin(), gets.begin() + static_cast<ptrdiff_t>(first));
    std::erase_if(gets, [&](const auto& key) { return std::count(without.begin(), without.end(), key) > 0; });
    return gets;
  }

  TestingRig rig_;
  std::shared_ptr<hydrate::HydrationProgress> progress_ = std::make_shared<hydrate::HydrationProgress>();
};

TEST_F(RestoreOrderTest, APlanIsFetchedInItsOrderHoweverItIsCut) {
  const auto order = Shuffled(Fill("d", 500), 1);
  rig_.Open();
  Import();
  ASSERT_TRUE(Restore(order, 7));
  EXPECT_EQ(rig_.store->GetsInOrder(), order);
  EXPECT_EQ(progress_->objects_done, 500u);
  EXPECT_TRUE(progress_->finished);
}

TEST_F(RestoreOrderTest, ALargePlanImportsAndASmallOneLooksUp) {
  const auto large = Fill("d", 1200);
  const auto small = Shuffled(Fill("e", 5), 2);
  rig_.Open();
  ASSERT_TRUE(Restore(small, 100));
  EXPECT_FALSE(fs().Statistics().totals.complete);
  ASSERT_TRUE(Restore(Shuffled(large, 3), 5000));
  EXPECT_TRUE(fs().Statistics().totals.complete);
  EXPECT_EQ(GetsSince(0, Shuffled(large, 3)), small);
  EXPECT_EQ(GetsSince(5), Shuffled(large, 3));
}

TEST_F(RestoreOrderTest, LinesThatNameNoFileAreToldAndTheRestIsRestored) {
  Fill("d", 3);
  rig_.store->PutObject("empty", "");
  rig_.Open();
  for (const bool complete : {false, true}) {
    if (complete) Import();
    std::promise<Status> ended;
    const auto plan = RestorePlan::Start(fs(), progress_, [&](Status status) { ended.set_value(std::move(status)); });
    const auto answer = Add(*plan, {"d/0002", "d/none", "empty", "d", "d/0000/x", "", "d/0001"}, false);
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->files, 3u);
    EXPECT_EQ(answer->mistaken, 4u);
    ASSERT_EQ(answer->mistakes.size(), 4u);
    EXPECT_EQ(answer->mistakes[0].index, 1u);
    EXPECT_THAT(answer->mistakes[0].message, testing::HasSubstr("no such file: d/none"));
    EXPECT_EQ(answer->mistakes[1].index, 3u);
    EXPECT_THAT(answer->mistakes[1].message, testing::HasSubstr("a directory: d"));
    EXPECT_EQ(answer->mistakes[2].index, 4u);
    EXPECT_EQ(answer->mistakes[3].index, 5u);
    EXPECT_TRUE(ended.get_future().get());
  }
  EXPECT_THAT(rig_.store->GetsInOrder(), ElementsAre("d/0002", "d/0001"));
}

TEST_F(RestoreOrderTest, APlanOfMistakesAloneEndsAndTellsTheFirst) {
  Fill("d", 1);
  rig_.Open();
  Import();
  std::vector<std::string> paths;
  for (int i = 0; i < 3000; ++i) paths.push_back("none/" + std::to_string(i));
  uint64_t mistaken = 0;
  EXPECT_TRUE(Restore(paths, 1000, &mistaken));
  EXPECT_EQ(mistaken, 3000u);
  EXPECT_TRUE(rig_.store->GetsInOrder().empty());
}

TEST_F(RestoreOrderTest, NothingIsHydratedAheadBesideAPlan) {
  const auto keys = Fill("d", 200);
  rig_.Open();
  Import();
  const std::vector<std::string> planned = Shuffled({keys.begin() + 100, keys.end()}, 4);
  const std::vector<std::string> read = {keys[0], keys[1], keys[2]};
  std::promise<Status> ended;
  const auto plan = RestorePlan::Start(fs(), progress_, [&](Status status) { ended.set_value(std::move(status)); });
  ASSERT_TRUE(Add(*plan, {planned.begin(), planned.begin() + 50}, true));
  for (const auto& key : read) Read(key);  // names the directory
  ASSERT_TRUE(Add(*plan, {planned.begin() + 50, planned.end()}, false));
  ASSERT_TRUE(ended.get_future().get());
  ASSERT_TRUE(WaitForGets(200));  // the rest follows
  std::vector<std::string> expected = planned;
  expected.resize(100);
  std::vector<std::string> gets = GetsSince(0, read);
  gets.resize(100);
  EXPECT_EQ(gets, expected);
}

TEST_F(RestoreOrderTest, WhatWasHydratedWhenAPlanCameGoesOnAfterIt) {
  const auto keys = Fill("d", 300);
  rig_.store->AddFault({.kind = env::RequestKind::kGet, .key_prefix = keys[5], .stall = true});
  rig_.Open();
  Import();
  for (int i = 0; i < 3; ++i) Read(keys[static_cast<size_t>(i)]);
  for (int i = 0; i < 4000 && rig_.store->FaultsFired() == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ASSERT_EQ(rig_.store->FaultsFired(), 1);  // hydration hangs there until the plan ends it
  ASSERT_TRUE(Restore({keys[299], keys[298], keys[297]}, 10));
  const auto done = [&] {
    return env::Await<HsmState>([&](auto told) { State(fs(), "d", std::move(told)); })->restored_percent == 100.0;
  };
  for (int i = 0; i < 4000 && !done(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_TRUE(done());
}

TEST_F(RestoreOrderTest, ACancelledPlanEnds) {
  const auto keys = Fill("d", 10);
  rig_.store->AddFault({.kind = env::RequestKind::kGet, .key_prefix = "d/", .stall = true, .count = 10});
  rig_.Open();
  Import();
  std::promise<Status> ended;
  const auto plan = RestorePlan::Start(fs(), progress_, [&](Status status) { ended.set_value(std::move(status)); });
  ASSERT_TRUE(Add(*plan, keys, true));
  plan->Cancel();
  EXPECT_EQ(ended.get_future().get().error().code, ErrorCode::kCancelled);
}

TEST_F(RestoreOrderTest, AFileSystemClosesUnderAPlan) {
  const auto keys = Fill("d", 10);
  rig_.Open();
  Import();
  std::promise<Status> ended;
  const auto plan = RestorePlan::Start(fs(), progress_, [&](Status status) { ended.set_value(std::move(status)); });
  ASSERT_TRUE(Add(*plan, keys, true));
  rig_.Close();
  ended.get_future().get().has_value();
  EXPECT_EQ(Add(*plan, keys, false).error().code, ErrorCode::kCancelled);
}

TEST_F(RestoreOrderTest, AReleasedDirectoryIsFetchedInTheOrderOfTheLastEpoch) {
  const auto order = Shuffled(Fill("d", 300), 5);
  rig_.Open();
  Import();
  for (const auto& key : order) Read(key);  // most from the cache: hydration was ahead
  EXPECT_NE(rig_.store->GetsInOrder(), order);
  Release("d");
  const std::vector<std::string> read = {order[0], order[1], order[2]};
  for (const auto& key : read) Read(key);
  ASSERT_TRUE(WaitForGets(600));
  EXPECT_EQ(GetsSince(300, read), std::vector<std::string>(order.begin() + 3, order.end()));
}

TEST_F(RestoreOrderTest, TheOrderOutlivesAMountAndWhatItLacksFollowsInTheListings) {
  const auto keys = Fill("d", 300);
  const std::vector<std::string> elsewhere = Fill("other", 20);
  auto order = Shuffled({keys.begin(), keys.begin() + 200}, 6);
  rig_.Open();
  Import();
  for (const auto& key : order) Read(key);
  for (const auto& key : elsewhere) Read(key);
  ASSERT_TRUE(WaitForGets(320));
  rig_.Close();
  rig_.cache->ReleaseDataset(DatasetId{1});  // as if the cache had been deleted
  rig_.Open();
  const std::vector<std::string> read = {order[0], order[1], order[2]};
  for (const auto& key : read) Read(key);
  ASSERT_TRUE(WaitForGets(620));  // nothing of the other directory
  const auto gets = GetsSince(320, read);
  ASSERT_EQ(gets.size(), 297u);
  EXPECT_EQ(std::vector<std::string>(gets.begin(), gets.begin() + 197),
            std::vector<std::string>(order.begin() + 3, order.end()));
  std::vector<std::string> rest(gets.begin() + 197, gets.end());
  std::sort(rest.begin(), rest.end());  // small files first within a page
  EXPECT_EQ(rest, std::vector<std::string>(keys.begin() + 200, keys.end()));
}

}  // namespace
}  // namespace leat::fs
