// SPDX-License-Identifier: Apache-2.0
#include "policy/concurrency.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <queue>
#include <vector>

namespace leat::policy {
namespace {

constexpr int64_t kMillisecond = 1'000'000;

// A repository with a fixed latency, a link of a fixed rate, and a limit of requests beyond which it throttles.
struct ToyRepository {
  int64_t latency_ns = 30 * kMillisecond;
  double bytes_per_second = 100e6;
  uint32_t throttle_above = UINT32_MAX;
};

// Keeps the limit's number of requests in flight for `seconds`; returns bytes per second over the last half.
double Drive(Concurrency& concurrency, const ToyRepository& repository, double seconds, int64_t& now_ns,
             uint32_t& limit_highest) {
  struct Running {
    int64_t end_ns;
    bool throttled;
    bool operator>(const Running& other) const { return end_ns > other.end_ns; }
  };
  constexpr uint64_t kObjectBytes = 110'000;
  std::priority_queue<Running, std::vector<Running>, std::greater<>> running;
  const int64_t start_ns = now_ns, end_ns = now_ns + static_cast<int64_t>(seconds * 1e9);
  const int64_t half_ns = (start_ns + end_ns) / 2;
  int64_t link_free_ns = now_ns;
  double bytes_in_half = 0;
  while (now_ns < end_ns) {
    while (running.size() < concurrency.limit()) {
      const bool throttled = running.size() >= repository.throttle_above;
      const int64_t first_byte_ns = now_ns + repository.latency_ns;
      if (throttled) {
        running.push({first_byte_ns, true});
        continue;
      }
      link_free_ns = std::max(link_free_ns, first_byte_ns) +
                     static_cast<int64_t>(static_cast<double>(kObjectBytes) / repository.bytes_per_second * 1e9);
      running.push({link_free_ns, false});
    }
    const Running next = running.top();
    const auto in_flight = static_cast<uint32_t>(running.size());
    running.pop();
    now_ns = std::max(now_ns, next.end_ns);
    concurrency.Completed(now_ns, next.throttled ? 0 : kObjectBytes, in_flight >= concurrency.limit(), next.throttled);
    limit_highest = std::max(limit_highest, concurrency.limit());
    if (now_ns > half_ns && !next.throttled) bytes_in_half += kObjectBytes;
  }
  return bytes_in_half / (seconds / 2);
}

TEST(Concurrency, StartsWithinItsBounds) {
  EXPECT_EQ(Concurrency({.limit_min = 4, .limit_start = 32, .limit_max = 128}).limit(), 32u);
  EXPECT_EQ(Concurrency({.limit_min = 4, .limit_start = 32, .limit_max = 8}).limit(), 8u);
  EXPECT_EQ(Concurrency({.limit_min = 4, .limit_start = 1, .limit_max = 128}).limit(), 4u);
  EXPECT_EQ(Concurrency({.limit_min = 4, .limit_start = 32, .limit_max = 2}).limit(), 2u);
  EXPECT_EQ(Concurrency({.limit_min = 4, .limit_start = 0, .limit_max = 0}).limit(), 1u);
}

TEST(Concurrency, OneCutForABurstOfRefusals) {
  Concurrency concurrency({.limit_min = 4, .limit_start = 64, .limit_max = 128});
  for (int i = 0; i < 60; ++i) concurrency.Completed(i * kMillisecond, 0, true, true);
  EXPECT_EQ(concurrency.limit(), 32u);
  // A second later they still come: cut again, down to the least.
  for (int second = 2; second < 12; ++second) concurrency.Completed(second * 1000 * kMillisecond, 0, true, true);
  EXPECT_EQ(concurrency.limit(), 4u);
}

TEST(Concurrency, ARefusalOfARequestThatGoesOnCutsToo) {
  Concurrency concurrency({.limit_min = 4, .limit_start = 64, .limit_max = 128});
  for (int i = 0; i < 60; ++i) concurrency.Throttled(i * kMillisecond);
  EXPECT_EQ(concurrency.limit(), 32u);
  concurrency.Throttled(2000 * kMillisecond);
  EXPECT_EQ(concurrency.limit(), 16u);
}

TEST(Concurrency, LeavesAnIdleLimitAlone) {
  Concurrency concurrency({});
  for (int i = 0; i < 10'000; ++i) concurrency.Completed(i * kMillisecond, 100'000, false, false);
  EXPECT_EQ(concurrency.limit(), 32u);
}

TEST(Concurrency, GrowsToHideLatency) {
  // 110 kB in 100 ms: 128 requests carry 140 MB/s, a quarter of the link. More is always better.
  Concurrency concurrency({});
  int64_t now_ns = 0;
  uint32_t highest = 0;
  Drive(concurrency, {.latency_ns = 100 * kMillisecond, .bytes_per_second = 600e6}, 30, now_ns, highest);
  EXPECT_EQ(concurrency.limit(), 128u);
}

TEST(Concurrency, RestsWhereTheLinkIsFull) {
  // 30 ms x 100 MB/s = 3 MB in flight = 28 requests fill the link.
  Concurrency concurrency({.limit_min = 4, .limit_start = 8, .limit_max = 512});
  int64_t now_ns = 0;
  uint32_t highest = 0;
  const double rate = Drive(concurrency, {}, 60, now_ns, highest);
  EXPECT_GT(rate, 0.9 * 100e6);
  EXPECT_LE(highest, 128u);
}

TEST(Concurrency, StaysNearTheThrottlingPointAndRecovers) {
  Concurrency concurrency({});
  int64_t now_ns = 0;
  uint32_t highest = 0;
  ToyRepository repository{.latency_ns = 50 * kMillisecond, .bytes_per_second = 1e9, .throttle_above = 20};
  const double throttled_rate = Drive(concurrency, repository, 60, now_ns, highest);
  // 20 requests of 110 kB each 50 ms are 44 MB/s; at least half of it must be had while it refuses.
  EXPECT_GT(throttled_rate, 22e6);
  EXPECT_LE(concurrency.limit(), 24u);
  repository.throttle_above = UINT32_MAX;
  Drive(concurrency, repository, 60, now_ns, highest);
  EXPECT_EQ(concurrency.limit(), 128u);
}

TEST(Concurrency, NeverLeavesItsBounds) {
  Concurrency concurrency({.limit_min = 3, .limit_start = 10, .limit_max = 50});
  uint64_t state = 7;
  int64_t now_ns = 0;
  for (int i = 0; i < 100'000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    now_ns += static_cast<int64_t>((state >> 33) % (20 * kMillisecond));
    concurrency.Completed(now_ns, (state >> 20) % 1'000'000, true, (state >> 60) == 0);
    ASSERT_GE(concurrency.limit(), 3u);
    ASSERT_LE(concurrency.limit(), 50u);
  }
}

}  // namespace
}  // namespace leat::policy
