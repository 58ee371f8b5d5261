// SPDX-License-Identifier: Apache-2.0
#include "fs/read_account.h"

#include <algorithm>

#include "base/check.h"

namespace leat::fs {

void ReadAccount::OnRead(const env::Clock& clock) {
  reads_.fetch_add(1, std::memory_order_relaxed);
  if (first_read_ns_.load(std::memory_order_relaxed) != 0) return;
  int64_t none = 0;
  first_read_ns_.compare_exchange_strong(none, clock.WallTimeNs(), std::memory_order_relaxed);
}

void ReadAccount::PassLocked(env::MonotonicTime now) const {
  const env::Duration passed = std::max(env::Duration::zero(), now - counted_to_);
  waited_ += passed * waiting_;
  if (waiting_ > 0) stalled_ += passed;
  counted_to_ = now;
}

void ReadAccount::BeginWait(const env::Clock& clock) {
  std::lock_guard lock(mutex_);
  PassLocked(clock.Now());
  ++waiting_;
}

void ReadAccount::EndWait(const env::Clock& clock) {
  std::lock_guard lock(mutex_);
  LEAT_CHECK(waiting_ > 0);
  PassLocked(clock.Now());
  --waiting_;
}

ReadCounts ReadAccount::Counts(const env::Clock& clock) const {
  ReadCounts counts;
  counts.reads = reads_.load(std::memory_order_relaxed);
  counts.bytes_cached = bytes_cached_.load(std::memory_order_relaxed);
  counts.bytes_cold = bytes_cold_.load(std::memory_order_relaxed);
  counts.first_read_ns = first_read_ns_.load(std::memory_order_relaxed);
  std::lock_guard lock(mutex_);
  PassLocked(clock.Now());
  counts.waited = waited_;
  counts.stalled = stalled_;
  return counts;
}

bool ReadAccount::HasWaiting() const {
  std::lock_guard lock(mutex_);
  return waiting_ > 0;
}

void ReadAccount::Clear() {
  reads_ = bytes_cached_ = bytes_cold_ = 0;
  first_read_ns_ = 0;
  std::lock_guard lock(mutex_);
  waited_ = stalled_ = env::Duration::zero();
}

}  // namespace leat::fs
