// SPDX-License-Identifier: Apache-2.0
// ReadAccount: what one job asked of one mount. What the page cache answers sends no message and is not in it.
//
// Threads: any. An answer from the cache adds to atomics; a wait for the repository takes the account's mutex twice.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "env/clock.h"

namespace leat::fs {

struct ReadCounts {
  uint64_t reads = 0;         // READs that came, whatever became of them
  uint64_t bytes_cached = 0;  // of answers: what was in the cache, or in memory, when it was asked for
  uint64_t bytes_cold = 0;    // and what a READ waited for; all of a READ that lacked a part
  env::Duration waited{};     // of all READs that waited for the repository, together
  env::Duration stalled{};    // during which at least one of them waited
  int64_t first_read_ns = 0;  // since the epoch; 0: none came yet
};

class ReadAccount {
 public:
  void OnRead(const env::Clock& clock);
  void OnAnswered(uint64_t bytes, bool was_cached) {
    (was_cached ? bytes_cached_ : bytes_cold_).fetch_add(bytes, std::memory_order_relaxed);
  }
  void BeginWait(const env::Clock& clock);
  void EndWait(const env::Clock& clock);

  ReadCounts Counts(const env::Clock& clock) const;  // waits that go on count up to now
  bool HasWaiting() const;
  void Clear();  // while nothing waits

 private:
  void PassLocked(env::MonotonicTime now) const;

  std::atomic<uint64_t> reads_{0}, bytes_cached_{0}, bytes_cold_{0};
  std::atomic<int64_t> first_read_ns_{0};
  mutable std::mutex mutex_;  // protects what follows
  uint32_t waiting_ = 0;
  mutable env::MonotonicTime counted_to_{};
  mutable env::Duration waited_{}, stalled_{};
};

// A READ that waits for the repository, from now until End, which is called once. Ownership: the account and the clock
// outlive it.
class ReadWait {
 public:
  ReadWait(ReadAccount& account, const env::Clock& clock) : account_(account), clock_(clock) {
    account_.BeginWait(clock_);
  }
  void OnAnswered(uint64_t bytes, bool was_cached) { account_.OnAnswered(bytes, was_cached); }
  void End() { account_.EndWait(clock_); }

 private:
  ReadAccount& account_;
  const env::Clock& clock_;
};

}  // namespace leat::fs
