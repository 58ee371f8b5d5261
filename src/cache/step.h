// SPDX-License-Identifier: Apache-2.0
// Named points between the steps of a write or release, where the crash tests end the process. Nothing in production.
#pragma once

#include <atomic>

namespace leat::cache {

inline std::atomic<void (*)(const char* name)> step_observer{nullptr};

inline void Step(const char* name) {
  if (auto* observer = step_observer.load(std::memory_order_relaxed); observer != nullptr) [[unlikely]]
    observer(name);
}

}  // namespace leat::cache
