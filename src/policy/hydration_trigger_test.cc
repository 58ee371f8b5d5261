// SPDX-License-Identifier: Apache-2.0
#include "policy/hydration_trigger.h"

#include <gtest/gtest.h>

namespace leat::policy {
namespace {

using Ids = std::vector<InodeId>;
constexpr InodeId Id(uint64_t value) { return InodeId{value}; }

TEST(HydrationTrigger, NamesADirectoryAtTheThirdDistinctFileAndOnce) {
  HydrationTrigger trigger;
  const Ids path = {Id(10), kRootInode};
  EXPECT_FALSE(trigger.OnMiss(Id(100), path));
  EXPECT_FALSE(trigger.OnMiss(Id(101), path));
  EXPECT_FALSE(trigger.OnMiss(Id(101), path)) << "the same file again is no new child";
  EXPECT_EQ(trigger.OnMiss(Id(102), path), Id(10));
  for (uint64_t file = 103; file < 120; ++file) EXPECT_FALSE(trigger.OnMiss(Id(file), path));
}

TEST(HydrationTrigger, OneFileReadForLongNamesNothing) {
  HydrationTrigger trigger;
  const Ids path = {Id(10), kRootInode};
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(trigger.OnMiss(Id(100), path));
}

TEST(HydrationTrigger, ClassDirectoriesNameTheirParent) {
  HydrationTrigger trigger;
  EXPECT_FALSE(trigger.OnMiss(Id(100), Ids{Id(20), Id(10), kRootInode}));
  EXPECT_FALSE(trigger.OnMiss(Id(101), Ids{Id(21), Id(10), kRootInode}));
  EXPECT_EQ(trigger.OnMiss(Id(102), Ids{Id(22), Id(10), kRootInode}), Id(10));
  EXPECT_FALSE(trigger.OnMiss(Id(103), Ids{Id(22), Id(10), kRootInode}));
  EXPECT_FALSE(trigger.OnMiss(Id(104), Ids{Id(22), Id(10), kRootInode})) << "below a named directory nothing is named";
}

TEST(HydrationTrigger, TheDeepestIsNamedFirstThenItWidens) {
  HydrationTrigger trigger;
  const Ids first = {Id(20), Id(10), kRootInode};
  trigger.OnMiss(Id(100), first);
  trigger.OnMiss(Id(101), first);
  EXPECT_EQ(trigger.OnMiss(Id(102), first), Id(20));
  EXPECT_FALSE(trigger.OnMiss(Id(110), Ids{Id(21), Id(10), kRootInode}));
  EXPECT_EQ(trigger.OnMiss(Id(120), Ids{Id(22), Id(10), kRootInode}), Id(10));
}

TEST(HydrationTrigger, AReleasedDirectoryCanBeNamedAgain) {
  HydrationTrigger trigger;
  const Ids path = {Id(10), kRootInode};
  for (uint64_t file = 100; file < 103; ++file) trigger.OnMiss(Id(file), path);
  trigger.Forget(Id(10));
  EXPECT_FALSE(trigger.OnMiss(Id(100), path));
  EXPECT_FALSE(trigger.OnMiss(Id(101), path));
  EXPECT_EQ(trigger.OnMiss(Id(102), path), Id(10));
}

TEST(HydrationTrigger, ItsMemoryIsBounded) {
  HydrationTrigger trigger({.distinct_children = 3, .directories_max = 16});
  for (uint64_t i = 0; i < 10'000; ++i) {
    trigger.OnMiss(Id(1'000'000 + i), Ids{Id(2000 + i), Id(500), kRootInode});
    ASSERT_LE(trigger.followed(), 16u);
  }
}

}  // namespace
}  // namespace leat::policy
