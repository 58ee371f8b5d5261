// SPDX-License-Identifier: Apache-2.0
#include "policy/hedge.h"

#include <algorithm>
#include <cmath>

namespace leat::policy {

void Hedging::Sent() { saved_ = std::min(options_.saved_max, saved_ + options_.share_max); }

void Hedging::FirstByte(int64_t waited_ns) {
  const double doublings =
      std::log2(static_cast<double>(std::max(waited_ns, kShortestNs)) / static_cast<double>(kShortestNs));
  const auto bucket = static_cast<size_t>(doublings * kBucketsPerDoubling);
  counts_[std::min(bucket, kBuckets - 1)] += 1;
  total_ += 1;
  if (total_ >= static_cast<float>(options_.observations_max)) {
    total_ = 0;
    for (float& count : counts_) total_ += count /= 2;
  }
  if (!wait_ns_ && total_ < static_cast<float>(options_.observations_min)) return;
  wait_ns_ =
      std::max(options_.wait_min_ns, static_cast<int64_t>(static_cast<double>(QuantileNs()) * options_.multiple));
}

void Hedging::Throttled(int64_t now_ns) { rest_until_ns_ = now_ns + options_.throttle_rest_ns; }

std::optional<int64_t> Hedging::WaitNs(int64_t now_ns) const {
  if (now_ns < rest_until_ns_) return std::nullopt;
  return wait_ns_;
}

bool Hedging::Take(int64_t now_ns, bool demand) {
  if (!WaitNs(now_ns) || saved_ < 1 + (demand ? 0 : options_.saved_for_demand)) return false;
  saved_ -= 1;
  return true;
}

int64_t Hedging::QuantileNs() const {
  double below = static_cast<double>(total_) * options_.quantile;
  size_t bucket = 0;
  for (; bucket + 1 < kBuckets && below > static_cast<double>(counts_[bucket]); ++bucket) {
    below -= static_cast<double>(counts_[bucket]);
  }
  const double count = static_cast<double>(counts_[bucket]);
  const double part = count > 0 ? std::min(1.0, below / count) : 0;
  return static_cast<int64_t>(static_cast<double>(kShortestNs) *
                              std::exp2((static_cast<double>(bucket) + part) / kBucketsPerDoubling));
}

}  // namespace leat::policy
