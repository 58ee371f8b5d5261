// SPDX-License-Identifier: Apache-2.0
// How many requests to keep in flight towards a repository: additive increase, multiplicative decrease.
//
// Decisions are made once a window. A window in which the repository throttled cuts the limit by half; one whose
// requests filled the limit raises it: by doubling at first, then by an eighth. A raise that brought no more throughput
// is taken back and the limit rests for a while before the next probe, so that a link that is full is not queued on.
//
// Pure: time and observations in, a limit out. Confined to one thread (or the caller's lock). Times in nanoseconds of
// any monotonic clock.
#pragma once

#include <cstdint>

namespace leat::policy {

struct ConcurrencyOptions {
  uint32_t limit_min = 4;
  uint32_t limit_start = 32;
  uint32_t limit_max = 128;
  int64_t window_ns = 200'000'000;           // observations shorter than this say more of noise than of the link
  uint32_t requests_per_window_min = 8;      // likewise
  int64_t rest_ns = 5'000'000'000;           // between a probe that gained nothing and the next
  int64_t throttle_rest_ns = 1'000'000'000;  // no raise for so long after a cut
  double gain_min = 1.05;                    // throughput a raise must bring to be kept
};

class Concurrency {
 public:
  explicit Concurrency(ConcurrencyOptions options);

  // The requests that may be in flight now.
  uint32_t limit() const { return limit_; }
  // A request has ended: `bytes` arrived; since the last one ended, the limit held back another, or did not; the
  // repository said "slow down", or did not.
  void Completed(int64_t now_ns, uint64_t bytes, bool limit_reached, bool throttled);
  // The repository said "slow down" to a request that goes on.
  void Throttled(int64_t now_ns);

 private:
  void Decide(int64_t now_ns);

  const ConcurrencyOptions options_;
  uint32_t limit_;
  bool slow_start_ = true;
  // The window under way.
  int64_t window_start_ns_ = -1;
  uint64_t bytes_ = 0;
  uint32_t requests_ = 0;
  uint32_t throttled_ = 0;
  bool limit_reached_ = false;
  // The last raise, while its effect is awaited.
  bool probing_ = false;
  uint32_t limit_before_ = 0;
  double rate_before_ = 0;
  int64_t rest_until_ns_ = INT64_MIN;
};

}  // namespace leat::policy
