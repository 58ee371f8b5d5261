// SPDX-License-Identifier: Apache-2.0
#include "emulated_accelerator.h"

#include <thread>

namespace leat::bench {

void SampleQueue::Put() {
  std::unique_lock lock(mutex_);
  has_room_.wait(lock, [&] { return samples_ < capacity_; });
  ++samples_;
  // The one taker wakes only for a whole batch.
  if (samples_ % batch_ == 0) has_batch_.notify_one();
}

void SampleQueue::EndReading() {
  const std::lock_guard lock(mutex_);
  if (--readers_ == 0) has_batch_.notify_one();
}

bool SampleQueue::TakeBatch() {
  std::unique_lock lock(mutex_);
  has_batch_.wait(lock, [&] { return samples_ >= batch_ || readers_ == 0; });
  if (samples_ < batch_) return false;
  samples_ -= batch_;
  has_room_.notify_all();
  return true;
}

Steps RunAccelerator(SampleQueue& queue, std::chrono::nanoseconds compute) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration duration) { return std::chrono::duration<double>(duration).count(); };
  Steps steps;
  Clock::time_point first_end, end = Clock::now();
  while (true) {
    const Clock::time_point asked = end;
    if (!queue.TakeBatch()) break;
    const Clock::time_point got = Clock::now();
    steps.wait_seconds += seconds(got - asked);
    std::this_thread::sleep_until(got + compute);
    end = Clock::now();
    if (++steps.count == 1) first_end = end;
  }
  if (steps.count > 1 && end > first_end)
    steps.utilisation = static_cast<double>(steps.count - 1) * seconds(compute) / seconds(end - first_end);
  return steps;
}

}  // namespace leat::bench
