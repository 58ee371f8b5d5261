// SPDX-License-Identifier: Apache-2.0
#include "hydrate/read_streams.h"

#include <gtest/gtest.h>

#include <vector>

namespace leat::hydrate {
namespace {

constexpr uint64_t kMiB = 1u << 20;

cache::ObjectRef Object(uint64_t blocks, uint8_t id = 1) {
  cache::ObjectRef object;
  object.size_bytes = blocks * kMiB;
  object.id.bytes[0] = std::byte{id};
  return object;
}

TEST(ReadStreams, DoublesWhileMissesGoOn) {
  ReadStreams streams({});
  const auto object = Object(512);
  FetchPlan plan = streams.Plan(object, 0, kMiB);
  EXPECT_EQ(plan.demand_end, 1u);
  EXPECT_EQ(plan.ahead_ranges, 0u);
  uint64_t fetched_end = 1, range = 1;
  for (int step = 0; step < 6; ++step) {
    // The next miss is where the fetched part ends.
    plan = streams.Plan(object, fetched_end * kMiB, kMiB);
    range = std::min<uint64_t>(16, range * 2);
    EXPECT_EQ(plan.first, fetched_end);
    EXPECT_EQ(plan.demand_end, fetched_end + range);
    EXPECT_EQ(plan.ahead_first, plan.demand_end);
    EXPECT_EQ(plan.range_blocks, range);
    EXPECT_EQ(plan.ahead_ranges, range == 16 ? 3u : 1u);
    fetched_end = plan.ahead_first + plan.ahead_ranges * plan.range_blocks;
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
  EXPECT_EQ(streams.Plan(Object(100, 3), kMiB, kMiB).ahead_ranges, 1u);
}

}  // namespace
}  // namespace leat::hydrate
