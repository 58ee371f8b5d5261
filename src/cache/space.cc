// SPDX-License-Identifier: Apache-2.0
#include "cache/space.h"

#include <algorithm>

#include "cache/records.h"

namespace leat::cache {

void Space::Load(DatasetId dataset, DatasetUsage usage) {
  std::lock_guard lock(mutex_);
  datasets_[dataset] = usage;
  live_ += usage.bytes;
}

policy::Admission Space::Admit(uint64_t bytes, bool evicting, bool tail_asked) {
  std::lock_guard lock(mutex_);
  const policy::Admission admission = policy::Admit({.capacity_bytes = capacity_,
                                                     .used_bytes = UsedLocked(),
                                                     .tail_bytes = tail_,
                                                     .tail_asked = tail_asked,
                                                     .evicting = evicting,
                                                     .disk_rests = BackingOffLocked()},
                                                    bytes);
  if (admission == policy::Admission::kKeep) reserved_ += bytes;
  return admission;
}

void Space::Unreserve(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  reserved_ -= bytes;
}

uint64_t Space::ReserveTail(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  const uint64_t taken = UsedLocked() + tail_;
  if (taken >= capacity_) return 0;
  const uint64_t granted = std::min(bytes, (capacity_ - taken) / 8) / kPageBytes * kPageBytes;
  tail_ += granted;
  return granted;
}

void Space::ReleaseTail(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  tail_ -= bytes;
}

void Space::AddStuck(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  stuck_ += bytes;
}

void Space::ReleaseStuck(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  stuck_ -= bytes;
}

void Space::Settle(DatasetId dataset, uint64_t reserved, int64_t bytes_delta, int64_t objects_delta) {
  // A counter may fall behind the records after a power loss; it then stops at zero.
  const auto changed = [](uint64_t value, int64_t delta) {
    return delta < 0 && static_cast<uint64_t>(-delta) > value ? 0 : value + static_cast<uint64_t>(delta);
  };
  std::lock_guard lock(mutex_);
  reserved_ -= reserved;
  DatasetUsage& usage = datasets_[dataset];
  const uint64_t before = usage.bytes;
  usage.bytes = changed(usage.bytes, bytes_delta);
  usage.objects = changed(usage.objects, objects_delta);
  live_ += usage.bytes - before;
}

DatasetUsage Space::Usage(DatasetId dataset) const {
  std::lock_guard lock(mutex_);
  const auto found = datasets_.find(dataset);
  return found == datasets_.end() ? DatasetUsage{} : found->second;
}

uint64_t Space::Used() const {
  std::lock_guard lock(mutex_);
  return UsedLocked();
}

uint64_t Space::Free() const {
  std::lock_guard lock(mutex_);
  return UsedLocked() >= capacity_ ? 0 : capacity_ - UsedLocked();
}

uint64_t Space::Lacking(uint64_t bytes) const {
  std::lock_guard lock(mutex_);
  return policy::Lacking({.capacity_bytes = capacity_, .used_bytes = UsedLocked()}, bytes);
}

void Space::DiskRefused() {
  std::lock_guard lock(mutex_);
  refused_until_ = std::chrono::steady_clock::now() + kBackOff;
}

bool Space::BackingOff() const {
  std::lock_guard lock(mutex_);
  return BackingOffLocked();
}

bool Space::BackingOffLocked() const {
  return refused_until_ != std::chrono::steady_clock::time_point{} && std::chrono::steady_clock::now() < refused_until_;
}

}  // namespace leat::cache
