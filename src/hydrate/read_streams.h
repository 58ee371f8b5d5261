// SPDX-License-Identifier: Apache-2.0
// Which reads of large objects go in order, and how far ahead of them to fetch.
//
// Every read is seen, also what the cache answers, so that the window moves on with the reader. A read continues a
// stream when it begins where the stream ends, or ends where it begins; once the stream is long enough that the kernel
// reads ahead for it, also a little beside that, since the kernel sends such reads out of order. Several streams of an
// object are told apart: jobs read one shard in several places.
//
// The window grows with what was read in order, so that a reader who stops has had little fetched in vain, and is
// divided into ranges that are fetched in parallel: one connection to S3 brings 90 MB/s, a reader takes ten times that.
// Where files of a dataset are read from start to end, the next ones begin with the whole window.
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
  uint64_t range_bytes_max = 8u << 20;
  uint64_t ahead_bytes_max = 192u << 20;
  uint64_t ahead_per_read_byte = 4;         // as long as the stream is short
  uint64_t ranges_per_window = 8;           // before ranges are as long as they get
  uint64_t reordered_bytes_max = 8u << 20;  // how far from its place a read of an established stream may come
  uint64_t established_bytes = 2u << 20;    // a stream is established once it is that long
  uint32_t whole_starts_max = 8;            // objects begun with the whole window after one was read to its end
  size_t objects_max = 1024;                // the least recently read is forgotten
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
  // A read of [offset, offset + length), length > 0, inside the object. `cached`: the cache had it; then nothing is
  // demanded, and only a read at the object's start begins a stream.
  FetchPlan Plan(const cache::ObjectRef& object, uint64_t offset, uint64_t length, bool cached = false);

 private:
  struct Stream {
    uint64_t start = 0, end = 0;  // bytes that were read in order
    uint64_t fetched_end = 0;     // block: what is before it has been asked for
    uint64_t window_bytes = 0;
    uint64_t last_used = 0;
  };
  struct Streams {
    std::list<Stream> streams;
    uint64_t last_used = 0;
  };

  Streams& Know(const cache::ObjectRef& object);
  Stream* Continue(Streams& known, uint64_t offset, uint64_t length) const;
  Stream& Begin(Streams& known, uint64_t offset, uint64_t length) const;
  void PlanAhead(Stream& stream, uint64_t blocks, FetchPlan& plan) const;

  const ReadStreamsOptions options_;
  std::map<cache::ObjectId, Streams> objects_;
  std::map<DatasetId, uint32_t> whole_starts_;  // how many more objects are taken to be read to their end
  uint64_t tick_ = 0;
};

}  // namespace leat::hydrate
