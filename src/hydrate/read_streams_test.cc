// SPDX-License-Identifier: Apache-2.0
#include "hydrate/read_streams.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace leat::hydrate {
namespace {

constexpr uint64_t kMiB = 1u << 20;

cache::ObjectRef Object(uint64_t blocks, uint8_t id = 1) {
  cache::ObjectRef object;
  object.size_bytes = blocks * kMiB;
  object.id.bytes[0] = std::byte{id};
  return object;
}

uint64_t EndOf(const FetchPlan& plan) { return plan.ahead_first + plan.ahead_ranges * plan.range_blocks; }

TEST(ReadStreams, TheWindowGrowsWithWhatWasReadAndMovesOnWithHits) {
  ReadStreams streams({});
  const auto object = Object(1024);
  FetchPlan plan = streams.Plan(object, 0, kMiB);
  EXPECT_EQ(plan.demand_end, 1u);
  EXPECT_EQ(plan.ahead_ranges, 0u);
  uint64_t fetched_end = 1;
  for (uint64_t block = 1; block < 800; ++block) {
    plan = streams.Plan(object, block * kMiB, kMiB, block % 3 != 0);
    const uint64_t window = std::min<uint64_t>(192, 4 * (block + 1));
    ASSERT_LE(plan.range_blocks, 8u);
    if (plan.ahead_ranges > 0) {
      ASSERT_EQ(plan.ahead_first, std::max(fetched_end, block + 1));  // nothing twice, nothing left out
      fetched_end = EndOf(plan);
    }
    ASSERT_LE(fetched_end, block + 1 + window);
    ASSERT_GT(fetched_end + 8, block + 1 + window);
  }
}

TEST(ReadStreams, WholeFilesMakeTheNextOnesBeginWithTheWholeWindow) {
  ReadStreams streams({.whole_starts_max = 2});
  const auto first = Object(20, 1);
  for (uint64_t block = 0; block < 20; ++block) {
    EXPECT_LE(streams.Plan(first, block * kMiB, kMiB).ahead_ranges, 8u);
  }
  // The second and the third are begun and left: the fourth is not trusted any more.
  EXPECT_EQ(EndOf(streams.Plan(Object(500, 2), 0, kMiB)), 193u);
  streams.Plan(Object(500, 3), kMiB, kMiB);  // the kernel's reads overtake one another
  EXPECT_EQ(EndOf(streams.Plan(Object(500, 3), 0, kMiB)), 194u);
  EXPECT_EQ(streams.Plan(Object(500, 4), 0, kMiB).ahead_ranges, 0u);
}

TEST(ReadStreams, ARandomReadEndsTheTrustInWholeFiles) {
  ReadStreams streams({});
  for (uint64_t block = 0; block < 20; ++block) streams.Plan(Object(20, 1), block * kMiB, kMiB);
  streams.Plan(Object(500, 2), 300 * kMiB, 1000);
  EXPECT_EQ(streams.Plan(Object(500, 3), 0, kMiB).ahead_ranges, 0u);
}

TEST(ReadStreams, HitsAtRandomPlacesBeginNothing) {
  ReadStreams streams({});
  const auto object = Object(1000);
  for (const uint64_t block : {500u, 501u, 502u, 20u, 21u}) {
    const FetchPlan plan = streams.Plan(object, block * kMiB, kMiB, true);
    EXPECT_EQ(plan.demand_end, plan.first);
    EXPECT_EQ(plan.ahead_ranges, 0u);
  }
}

TEST(ReadStreams, RandomReadsGetWhatTheyTouch) {
  ReadStreams streams({});
  const auto object = Object(1000);
  for (const uint64_t block : {500u, 20u, 700u, 41u, 333u, 801u, 90u, 600u, 210u, 951u}) {
    const FetchPlan plan = streams.Plan(object, block * kMiB + 100, 5000);
    EXPECT_EQ(plan.first, block);
    EXPECT_EQ(plan.demand_end, block + 1);
    EXPECT_EQ(plan.ahead_ranges, 0u);
  }
}

TEST(ReadStreams, ReadsThatOvertakeOneAnotherAreOneStream) {
  ReadStreams streams({});
  const auto object = Object(100);
  streams.Plan(object, 0, kMiB);
  streams.Plan(object, 2 * kMiB, kMiB);  // before the one in front of it
  streams.Plan(object, kMiB, kMiB);
  const FetchPlan plan = streams.Plan(object, 3 * kMiB, kMiB);
  EXPECT_GT(plan.ahead_ranges + plan.demand_end, 4u);
}

TEST(ReadStreams, NeverPlansBeyondTheObject) {
  ReadStreams streams({});
  auto object = Object(37);
  object.size_bytes -= 1000;
  uint64_t at = 0, offset = 0;
  while (offset < object.size_bytes) {
    const uint64_t length = std::min<uint64_t>(300'000 + at++ % 7, object.size_bytes - offset);
    const FetchPlan plan = streams.Plan(object, offset, length);
    EXPECT_LE(plan.demand_end, 37u);
    if (plan.ahead_ranges > 0) {
      EXPECT_LT(plan.ahead_first + (plan.ahead_ranges - 1) * plan.range_blocks, 37u);
    }
    offset += length;
  }
}

TEST(ReadStreams, ForgetsTheLeastRecentlyReadObject) {
  ReadStreams streams({.objects_max = 2});
  streams.Plan(Object(100, 1), 0, kMiB);
  streams.Plan(Object(100, 2), 0, kMiB);
  streams.Plan(Object(100, 3), 0, kMiB);
  EXPECT_EQ(streams.Plan(Object(100, 1), kMiB, kMiB).ahead_ranges, 0u);
  EXPECT_GT(streams.Plan(Object(100, 3), kMiB, kMiB).ahead_ranges, 0u);
}

}  // namespace
}  // namespace leat::hydrate
