// SPDX-License-Identifier: Apache-2.0
// Whether what is being fetched is kept in the cache: "pin until full, then read through". What is there is never
// replaced piece by piece; room is made only by evicting whole datasets that are idle (policy/eviction.h).
// Pure: values in, decision out.
#pragma once

#include <cstdint>

namespace leat::policy {

// The cache as it is when an object asks for room. Bytes are allocated ones: whole pages of the cache's disk.
struct CacheRoom {
  uint64_t capacity_bytes = 0;
  uint64_t used_bytes = 0;  // kept, or reserved for what is being written
  uint64_t tail_bytes = 0;  // preallocated and not used: given back when somebody else needs the room
  bool tail_asked = false;  // it was asked back for this object, and what still counts is on its way
  bool evicting = false;    // an eviction is under way
  bool disk_rests = false;  // the disk failed or was too slow a moment ago
};

enum class Admission {
  kKeep,
  kTakeBackTail,  // and ask again
  kMakeRoom,      // evict idle datasets; where there are none, read through
  kLater,         // read through now, worth asking again
  kReadThrough,
};

Admission Admit(const CacheRoom& room, uint64_t bytes);

// How many of `bytes` do not fit beside what is used: what an eviction has to free.
uint64_t Lacking(const CacheRoom& room, uint64_t bytes);

}  // namespace leat::policy
