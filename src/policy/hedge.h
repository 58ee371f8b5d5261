// SPDX-License-Identifier: Apache-2.0
// When a request that has had no first byte is sent a second time (hedged), and how many may be. Source: Dean and
// Barroso, "The Tail at Scale" (Communications of the ACM, 2013): a second request after the time that most requests
// take cuts the tail for a few per cent more load.
//
// The wait is a multiple of a quantile below the tail. With one request in a hundred slow, the 99th percentile is
// either of the body or of the tail, as chance has it; twice the 90th is more than a body of any usual shape needs and
// holds with up to a tenth of the requests slow, which is more than the budget pays for. Where all requests are slow
// the quantile is too and nothing is hedged; until that has been learned the budget bounds the harm.
//
// Pure: times and observations in, decisions out. Confined to one thread (or the caller's lock). Times in nanoseconds,
// `now` of any monotonic clock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace leat::policy {

struct HedgeOptions {
  double quantile = 0.9;  // of the times to the first byte
  double multiple = 2;
  int64_t wait_min_ns = 20'000'000;  // less is the noise of this machine, not of the repository
  uint32_t observations_min = 50;    // before that nothing is hedged
  uint32_t observations_max = 1000;  // then all that was observed weighs half: what is recent counts
  double share_max = 0.05;           // hedges as a part of the requests; 0: none at all
  double saved_max = 10;             // hedges that requests without one have paid for and that may come at once
  double saved_for_demand = 2;       // of these, not for requests that nobody waits for
  int64_t throttle_rest_ns = 10'000'000'000;  // none for so long after the repository said "slow down"
};

class Hedging {
 public:
  explicit Hedging(HedgeOptions options) : options_(options) {}

  void Sent();  // a request, hedges not counted
  // A request had its first byte `waited_ns` after it was sent, or was given up for its hedge after that time.
  void FirstByte(int64_t waited_ns);
  void Throttled(int64_t now_ns);

  // How long a request waits for its first byte before it is hedged; nothing: none is, now.
  std::optional<int64_t> WaitNs(int64_t now_ns) const;
  // Takes one hedge from the budget. False: there is none for this request, whose reader waits (`demand`) or not.
  bool Take(int64_t now_ns, bool demand);

 private:
  // Eight a factor of two from 1/4 ms on, 2^14 ms at the end: a quantile is known to 9 %.
  static constexpr int kBucketsPerDoubling = 8;
  static constexpr int64_t kShortestNs = 250'000;
  static constexpr size_t kBuckets = 16 * kBucketsPerDoubling;
  int64_t QuantileNs() const;

  const HedgeOptions options_;
  std::array<float, kBuckets> counts_{};
  float total_ = 0;
  std::optional<int64_t> wait_ns_;
  double saved_ = 0;
  int64_t rest_until_ns_ = INT64_MIN;
};

}  // namespace leat::policy
