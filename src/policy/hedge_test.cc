// SPDX-License-Identifier: Apache-2.0
#include "policy/hedge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>
#include <vector>

#include "base/random.h"

namespace leat::policy {
namespace {

constexpr int64_t kMillisecond = 1'000'000;

// The time to the first byte of a request that is sent at `now`, in milliseconds.
using Server = std::function<double(Random& random, double now_ms)>;

double LogNormal(Random& random, double median_ms, double sigma) {
  const double radius = std::sqrt(-2 * std::log(1 - random.Unit()));
  return median_ms * std::exp(sigma * radius * std::cos(2 * M_PI * random.Unit()));
}

Server Usual(double median_ms, double slow_share, double slow_ms) {
  return
      [=](Random& random, double) { return random.Unit() < slow_share ? slow_ms : LogNormal(random, median_ms, 0.25); };
}

struct Outcome {
  double mean_ms = 0, p99_ms = 0;
  double hedged_share = 0;         // of the requests
  double hedged_share_of_end = 0;  // of the last half of them
  double all_ms = 0;               // until the last one had its first byte
};

// `in_flight` workers send one request after another, as the hydrator does: looks every 10 ms for what is late, takes
// the first answer of two, and observes what it can see.
Outcome Simulate(const Server& server, size_t requests, size_t in_flight, HedgeOptions options = {}) {
  struct Request {
    double sent_ms = 0, hedged_ms = -1, due_ms = 0, hedge_due_ms = 0;
    double Answered() const { return hedged_ms < 0 ? due_ms : std::min(due_ms, hedge_due_ms); }
  };
  Hedging hedging(options);
  Random random(7);
  std::vector<Request> running;
  std::vector<double> latencies;
  size_t sent = 0, hedges = 0, hedges_in_end = 0;
  double now = 0;
  for (; latencies.size() < requests; now += 1) {
    const auto now_ns = static_cast<int64_t>(now * 1e6);
    for (size_t i = 0; i < running.size();) {
      const Request& request = running[i];
      const double answered = request.Answered();
      if (answered > now) {
        ++i;
        continue;
      }
      hedging.FirstByte(static_cast<int64_t>((answered - request.sent_ms) * 1e6));
      if (request.hedged_ms >= 0 && request.hedge_due_ms < request.due_ms) {
        hedging.FirstByte(static_cast<int64_t>((answered - request.hedged_ms) * 1e6));
      }
      latencies.push_back(answered - request.sent_ms);
      running[i] = running.back();
      running.pop_back();
    }
    for (; running.size() < in_flight && sent < requests; ++sent) {
      running.push_back({.sent_ms = now, .due_ms = now + server(random, now)});
      hedging.Sent();
    }
    const auto wait_ns = hedging.WaitNs(now_ns);
    if (!wait_ns || static_cast<int64_t>(now) % 10 != 0) continue;
    for (Request& request : running) {
      if (request.hedged_ms >= 0 || (now - request.sent_ms) * 1e6 < static_cast<double>(*wait_ns)) continue;
      if (!hedging.Take(now_ns, false)) continue;
      request.hedged_ms = now;
      request.hedge_due_ms = now + server(random, now);
      ++hedges;
      if (sent > requests / 2) ++hedges_in_end;
    }
  }
  Outcome outcome;
  for (const double latency : latencies) outcome.mean_ms += latency / static_cast<double>(requests);
  std::sort(latencies.begin(), latencies.end());
  outcome.p99_ms = latencies[latencies.size() * 99 / 100];
  outcome.hedged_share = static_cast<double>(hedges) / static_cast<double>(requests);
  outcome.hedged_share_of_end = static_cast<double>(hedges_in_end) / static_cast<double>(requests) * 2;
  outcome.all_ms = now;
  return outcome;
}

const HedgeOptions kNever{.share_max = 0};

TEST(Hedging, OneSlowRequestInAHundredCostsLessThanFivePointsOfTheRate) {
  for (const double median_ms : {30.0, 100.0}) {
    for (const size_t in_flight : {8u, 128u}) {
      SCOPED_TRACE(testing::Message() << median_ms << " ms, " << in_flight << " in flight");
      const Outcome ideal = Simulate(Usual(median_ms, 0, 0), 20'000, in_flight, kNever);
      const Outcome without = Simulate(Usual(median_ms, 0.01, 2000), 20'000, in_flight, kNever);
      const Outcome with = Simulate(Usual(median_ms, 0.01, 2000), 20'000, in_flight);
      EXPECT_GT(without.mean_ms, ideal.mean_ms * 1.15);  // there was something to win
      EXPECT_LT(with.mean_ms, ideal.mean_ms * 1.05);
      EXPECT_LT(with.all_ms, ideal.all_ms * 1.05 + 200);
      EXPECT_LT(with.hedged_share, 0.015);
      EXPECT_GT(with.hedged_share, 0.008);
    }
  }
}

TEST(Hedging, HoldsWithAnySmallShareOfSlowRequests) {
  // Also where the slow ones are exactly at a percentile that somebody might have chosen.
  for (const double share : {0.002, 0.01, 0.02, 0.04}) {
    const Outcome with = Simulate(Usual(30, share, 2000), 20'000, 64);
    const Outcome without = Simulate(Usual(30, share, 2000), 20'000, 64, kNever);
    EXPECT_LT(with.mean_ms, 31 + (without.mean_ms - 31) * 0.25) << share;
    EXPECT_LT(with.hedged_share, 0.05) << share;
  }
}

TEST(Hedging, OtherShapesOfTheBodyAreHedgedLittle) {
  const Server exponential = [](Random& random, double) { return -30 * std::log(1 - random.Unit()); };
  const Server wide = [](Random& random, double) { return LogNormal(random, 30, 0.7); };
  const Server uniform = [](Random& random, double) { return 2000 * random.Unit(); };
  EXPECT_LT(Simulate(exponential, 20'000, 64).hedged_share, 0.02);
  EXPECT_LT(Simulate(wide, 20'000, 64).hedged_share, 0.02);
  EXPECT_LT(Simulate(uniform, 20'000, 64).hedged_share, 0.005);
}

TEST(Hedging, ASlowServerIsNotSentTwiceTheLoad) {
  EXPECT_LT(Simulate(Usual(1500, 0, 0), 5'000, 128).hedged_share, 0.005);
  // One in three hangs: more than hedging is for.
  EXPECT_LE(Simulate(Usual(30, 0.33, 2000), 20'000, 128).hedged_share, 0.051);
}

TEST(Hedging, AServerThatBecomesSlowIsLearned) {
  const Server becomes_slow = [](Random& random, double now_ms) {
    return LogNormal(random, now_ms < 1000 ? 30 : 800, 0.25);
  };
  const Outcome outcome = Simulate(becomes_slow, 20'000, 128);
  EXPECT_LT(outcome.hedged_share, 0.01);
  EXPECT_LT(outcome.hedged_share_of_end, 0.002);
  // And one that becomes fast again: its slow requests are hedged once that has been learned.
  const Server becomes_fast = [](Random& random, double now_ms) {
    return now_ms < 5000 ? LogNormal(random, 800, 0.25) : random.Unit() < 0.01 ? 2000.0 : LogNormal(random, 30, 0.25);
  };
  EXPECT_GT(Simulate(becomes_fast, 20'000, 128).hedged_share_of_end, 0.007);
}

TEST(Hedging, NothingIsKnownAtFirst) {
  Hedging hedging({});
  for (int i = 0; i < 49; ++i) {
    hedging.Sent();
    hedging.FirstByte(30 * kMillisecond);
  }
  EXPECT_FALSE(hedging.WaitNs(0).has_value());
  EXPECT_FALSE(hedging.Take(0, true));
  hedging.FirstByte(30 * kMillisecond);
  ASSERT_TRUE(hedging.WaitNs(0).has_value());
  EXPECT_NEAR(static_cast<double>(*hedging.WaitNs(0)), 60e6, 6e6);
}

TEST(Hedging, TimesBeyondTheScaleAreKept) {
  Hedging fast({}), slow({});
  for (int i = 0; i < 100; ++i) {
    fast.FirstByte(0);
    slow.FirstByte(INT64_MAX / 4);
  }
  EXPECT_EQ(*fast.WaitNs(0), 20 * kMillisecond);  // the least
  EXPECT_GT(*slow.WaitNs(0), 10'000 * kMillisecond);
}

TEST(Hedging, TheBudgetIsAShareOfTheRequestsAndDemandHasTheLastOfIt) {
  Hedging hedging({});
  for (int i = 0; i < 10'000; ++i) {  // more than can be saved
    hedging.Sent();
    hedging.FirstByte(30 * kMillisecond);
  }
  int background = 0, demand = 0;
  while (hedging.Take(0, false)) ++background;
  while (hedging.Take(0, true)) ++demand;
  EXPECT_EQ(background, 8);
  EXPECT_EQ(demand, 2);
  for (int i = 0; i < 2000; ++i) {
    hedging.Sent();
    if (hedging.Take(0, true)) ++demand;
  }
  EXPECT_NEAR(demand, 102, 2);
}

TEST(Hedging, NoneAfterTheRepositorySaidSlowDown) {
  Hedging hedging({});
  for (int i = 0; i < 100; ++i) {
    hedging.Sent();
    hedging.FirstByte(30 * kMillisecond);
  }
  hedging.Throttled(5 * kMillisecond);
  EXPECT_FALSE(hedging.WaitNs(6 * kMillisecond).has_value());
  EXPECT_FALSE(hedging.Take(9'999 * kMillisecond, true));
  EXPECT_TRUE(hedging.Take(10'006 * kMillisecond, true));
}

}  // namespace
}  // namespace leat::policy
