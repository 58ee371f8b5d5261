// SPDX-License-Identifier: Apache-2.0
#include "policy/concurrency.h"

#include <algorithm>

namespace leat::policy {

Concurrency::Concurrency(ConcurrencyOptions options)
    : options_(options),
      limit_(std::clamp(options.limit_start, std::min(options.limit_min, std::max(1u, options.limit_max)),
                        std::max(1u, options.limit_max))) {}

void Concurrency::Completed(int64_t now_ns, uint64_t bytes, bool limit_reached, bool throttled) {
  if (window_start_ns_ < 0) window_start_ns_ = now_ns;
  bytes_ += bytes;
  ++requests_;
  if (throttled) ++throttled_;
  if (limit_reached) limit_reached_ = true;
  const bool long_enough = now_ns - window_start_ns_ >= options_.window_ns;
  // A cut does not wait for the window's end: every further request would be refused too.
  const bool cut_now = throttled && now_ns >= rest_until_ns_;
  if (cut_now || (long_enough && requests_ >= options_.requests_per_window_min)) Decide(now_ns);
}

void Concurrency::Throttled(int64_t now_ns) {
  if (window_start_ns_ < 0) window_start_ns_ = now_ns;
  ++throttled_;
  if (now_ns >= rest_until_ns_) Decide(now_ns);
}

void Concurrency::Decide(int64_t now_ns) {
  const uint32_t lowest = std::min(options_.limit_min, std::max(1u, options_.limit_max));
  const double seconds = static_cast<double>(std::max<int64_t>(1, now_ns - window_start_ns_)) * 1e-9;
  const double rate = static_cast<double>(bytes_) / seconds;
  const bool resting = now_ns < rest_until_ns_;
  if (throttled_ > 0) {
    if (!resting) {  // one cut a burst: the refusals of requests sent before the cut say nothing new
      limit_ = std::max(lowest, limit_ / 2);
      rest_until_ns_ = now_ns + options_.throttle_rest_ns;
    }
    slow_start_ = false;
    probing_ = false;
  } else if (probing_ && limit_reached_ && rate < rate_before_ * options_.gain_min) {
    limit_ = std::max(lowest, limit_before_);
    slow_start_ = false;
    probing_ = false;
    rest_until_ns_ = now_ns + options_.rest_ns;
  } else if (limit_reached_ && !resting && limit_ < options_.limit_max) {
    probing_ = true;
    limit_before_ = limit_;
    rate_before_ = rate;
    limit_ = std::min(options_.limit_max, limit_ + (slow_start_ ? limit_ : std::max(1u, limit_ / 8)));
  } else {
    probing_ = false;
  }
  window_start_ns_ = now_ns;
  bytes_ = 0;
  requests_ = 0;
  throttled_ = 0;
  limit_reached_ = false;
}

}  // namespace leat::policy
