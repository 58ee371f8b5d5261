// SPDX-License-Identifier: Apache-2.0
// Time. Monotonic for deadlines, wall time only for display and signatures. Any thread.
#pragma once

#include <chrono>
#include <cstdint>

namespace leat::env {

using MonotonicTime = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime Now() const = 0;
  virtual int64_t WallTimeNs() const = 0;  // since the epoch
};

}  // namespace leat::env
