// SPDX-License-Identifier: Apache-2.0
// The machine's clocks. Stateless: any thread.
#pragma once

#include <chrono>

#include "env/clock.h"

namespace leat::posix {

class SystemClock final : public env::Clock {
 public:
  env::MonotonicTime Now() const override { return std::chrono::steady_clock::now(); }
  int64_t WallTimeNs() const override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

}  // namespace leat::posix
