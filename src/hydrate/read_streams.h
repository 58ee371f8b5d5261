// SPDX-License-Identifier: Apache-2.0
// Which reads of large objects go in order, and how far ahead of them to fetch.
//
// Only misses are seen here: what was fetched ahead is a hit and never asked for. So a read continues a stream when it
// begins where the last read of it ended, or inside or right behind what was fetched for it. Several streams of an
// object are told apart, since the kernel sends reads of one file out of order and jobs read one shard in several
// places.
//
// Confined to the caller's lock. Offsets and lengths in bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>

#include "cache/object_ref.h"

namespace leat::hydrate {

struct ReadStreamsOptions {
  uint64_t block_bytes = 1u << 20;
  uint64_t range_bytes_first = 1u << 20;
  uint64_t range_bytes_max = 16u << 20;
  uint32_t ranges_ahead_max = 3;  // once ranges are as long as they get; before that one
  size_t objects_max = 1024;      // the least recently read is forgotten
  size_t streams_per_object_max = 8;
};

// Whole blocks to fetch for one read: [first, demand_end) at once, and ahead of the reader `ahead_ranges` ranges of
// `range_blocks` from `ahead_first` on (the last one ends with the object).
struct FetchPlan {
  uint64_t first = 0, demand_end = 0;
  uint64_t ahead_first = 0, ahead_ranges = 0, range_blocks = 0;
};

class ReadStreams {
 public:
  explicit ReadStreams(ReadStreamsOptions options) : options_(options) {}
  // A read of [offset, offset + length), length > 0, inside the object.
  FetchPlan Plan(const cache::ObjectRef& object, uint64_t offset, uint64_t length);
  void Forget(const cache::ObjectId& object) { objects_.erase(object); }

 private:
  struct Stream {
    uint64_t end = 0;            // bytes: where the last read ended
    uint64_t fetched_first = 0;  // blocks asked for on behalf of the stream: [fetched_first, fetched_end)
    uint64_t fetched_end = 0;
    uint64_t range_bytes = 0;  // length of the range fetched last
    uint64_t last_used = 0;
  };
  struct Streams {
    std::list<Stream> streams;
    uint64_t last_used = 0;
  };

  const ReadStreamsOptions options_;
  std::map<cache::ObjectId, Streams> objects_;
  uint64_t tick_ = 0;
};

}  // namespace leat::hydrate
