// SPDX-License-Identifier: Apache-2.0
// Space: who holds how much of the capacity. Live bytes (committed), reserved bytes (writes in progress), stuck bytes
// (nobody's, but the disk did not give them back) and the tail (preallocated to the open segment, given back when
// anybody else needs it). Nothing is reserved past the capacity. Who gets room is decided in policy/admission.h.
// Threads: any; one mutex. Pure accounting: no I/O.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>

#include "cache/cache.h"
#include "policy/admission.h"

namespace leat::cache {

class Space {
 public:
  // After the disk itself was full, failed or was too slow, how long no write is started.
  static constexpr std::chrono::seconds kBackOff{5};

  explicit Space(uint64_t capacity_bytes) : capacity_(capacity_bytes) {}

  void Load(DatasetId dataset, DatasetUsage usage);  // at open, from the index
  // Decides, and reserves at the same time what is to be kept. `tail_asked`: the tail was asked back for this already.
  policy::Admission Admit(uint64_t bytes, bool evicting, bool tail_asked);
  void Unreserve(uint64_t bytes);
  // As much as it may, up to `bytes`, but at most an eighth of what is free.
  uint64_t ReserveTail(uint64_t bytes);
  void ReleaseTail(uint64_t bytes);
  void AddStuck(uint64_t bytes);  // before what held them lets them go, so that nobody takes the room in between
  void ReleaseStuck(uint64_t bytes);
  // A write took `reserved` of its reservation; the dataset's live bytes and objects change by the deltas.
  void Settle(DatasetId dataset, uint64_t reserved, int64_t bytes_delta, int64_t objects_delta);

  DatasetUsage Usage(DatasetId dataset) const;
  uint64_t Used() const;  // live, reserved and stuck
  uint64_t Free() const;
  uint64_t Capacity() const { return capacity_; }
  // How many of `bytes` do not fit beside what is used.
  uint64_t Lacking(uint64_t bytes) const;

  void DiskRefused();
  bool BackingOff() const;

 private:
  uint64_t UsedLocked() const { return live_ + reserved_ + stuck_; }
  bool BackingOffLocked() const;

  const uint64_t capacity_;
  mutable std::mutex mutex_;
  std::map<DatasetId, DatasetUsage> datasets_;
  uint64_t live_ = 0, reserved_ = 0, stuck_ = 0, tail_ = 0;
  std::chrono::steady_clock::time_point refused_until_{};
};

}  // namespace leat::cache
