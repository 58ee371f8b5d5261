// SPDX-License-Identifier: Apache-2.0
#include "policy/admission.h"

namespace leat::policy {

Admission Admit(const CacheRoom& room, uint64_t bytes) {
  if (room.disk_rests) return Admission::kLater;
  if (bytes > room.capacity_bytes) return Admission::kReadThrough;
  const uint64_t taken = room.used_bytes + room.tail_bytes;
  if (taken <= room.capacity_bytes && bytes <= room.capacity_bytes - taken) return Admission::kKeep;
  // While an eviction runs the tail is left alone: sealing a segment for each object that comes meanwhile would make
  // many small ones.
  if (room.evicting) return Admission::kLater;
  if (room.tail_bytes > 0 && !room.tail_asked) return Admission::kTakeBackTail;
  return Lacking(room, bytes) == 0 ? Admission::kLater : Admission::kMakeRoom;
}

uint64_t Lacking(const CacheRoom& room, uint64_t bytes) {
  const uint64_t wanted = room.used_bytes + bytes;
  return wanted > room.capacity_bytes ? wanted - room.capacity_bytes : 0;
}

}  // namespace leat::policy
