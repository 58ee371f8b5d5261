// SPDX-License-Identifier: Apache-2.0
// Segments: the files in which small objects are packed. Extents are handed out one after another and never twice; a
// released extent becomes a hole; a full segment is sealed, and deleted once nothing in it is live.
// Threads: any; one mutex for the allocation state, never held across I/O.
// Ownership: a reader holds its Segment (shared_ptr) and, while it reads, the segment's open file.
// Crash: a segment that may hold blocks without a record has an intent in the index and is tidied at the next Open.
// Room that could not be given back (no hole could be punched) stays counted in Space until the segment is deleted.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/index.h"
#include "cache/segment.h"
#include "cache/space.h"

namespace leat::cache {

struct Place {
  std::shared_ptr<Segment> segment;
  uint64_t offset = 0;
};

class Segments {
 public:
  static constexpr uint64_t kPreallocateBytes = 64u << 20;
  static constexpr uint64_t kPreallocateBytesMin = 1u << 20;  // less is not worth a system call

  // `directory` (segments/) must outlive this, and this every Segment.
  Segments(int directory, Index& index, Space& space, uint64_t segment_bytes, size_t open_max);
  Status Open();  // reads one record a segment; tidies those with intents
  void Close();   // no write may be in progress

  // The room must have been reserved in Space.
  Result<Place> Allocate(uint64_t bytes);
  void MarkWritten(Segment& segment) { segment.unsynced_ = true; }
  void Commit(Segment& segment, uint64_t bytes);     // after the index has the record
  void Abandon(const Place& place, uint64_t bytes);  // of an allocated extent without a record
  // Of an extent whose record has been deleted together with writing the intent `sequence`.
  void Discard(uint32_t segment, uint64_t offset, uint64_t bytes);
  void EndIntent(uint32_t segment, uint64_t sequence);
  std::shared_ptr<Segment> Find(uint32_t number);
  void SealCurrent();  // also gives the preallocated tail back
  void Sync(uint64_t& errors);

 private:
  Status Tidy(const std::shared_ptr<Segment>& segment);
  Result<std::shared_ptr<Segment>> Create();
  void Preallocate(const std::shared_ptr<Segment>& segment);
  void FinishSealing(const std::shared_ptr<Segment>& segment);
  void SettleSealed(const std::shared_ptr<Segment>& segment);
  // False: the blocks are still there.
  bool Punch(Segment& segment, uint64_t offset, uint64_t bytes);
  bool Trim(Segment& segment, uint64_t end);  // gives back every block past `end`; false: they are still there
  void Strand(Segment& segment, uint64_t bytes);

  const int directory_;
  Index& index_;
  Space& space_;
  const uint64_t segment_bytes_;
  SegmentFiles files_;  // outlives the segments below
  std::atomic<bool> can_preallocate_{true}, can_punch_{true};
  std::mutex mutex_;
  std::map<uint32_t, std::shared_ptr<Segment>> segments_;
  std::shared_ptr<Segment> current_;
  uint32_t next_number_ = 1;
};

}  // namespace leat::cache
