// SPDX-License-Identifier: Apache-2.0
// Segments: the files in which small objects are packed. Extents are handed out one after another and never twice; a
// released extent becomes a hole; a full segment is sealed, and deleted once nothing in it is live.
// Threads: any; one mutex for the allocation state, never held across I/O.
// Ownership: a reader holds its Segment (shared_ptr), whose descriptor stays open until the last holder lets go.
// Crash: a segment that may hold blocks without a record has an intent in the index and is tidied at the next Open.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "cache/index.h"
#include "cache/space.h"

namespace leat::cache {

class Segment {
 public:
  Segment(uint32_t number, int directory, FileDescriptor file);
  ~Segment();
  uint32_t number() const { return number_; }
  // Opened at first use; -1 with errno when that fails.
  int file();

 private:
  friend class Segments;
  const uint32_t number_;
  const int directory_;
  std::atomic<int> file_;
  std::atomic<bool> unsynced_{false};
  // Guarded by Segments::mutex_.
  uint64_t next_ = 0;              // where the next extent begins
  uint64_t preallocated_end_ = 0;  // the tail is [next_, preallocated_end_)
  uint64_t live_ = 0, reserved_ = 0;
  bool sealed_ = true;
  std::optional<uint64_t> intent_;  // sequence of the intent that covers writes in progress
};

struct Place {
  std::shared_ptr<Segment> segment;
  uint64_t offset = 0;
};

class Segments {
 public:
  static constexpr uint64_t kPreallocateBytes = 64u << 20;
  static constexpr uint64_t kPreallocateBytesMin = 1u << 20;  // less is not worth a system call

  // `directory` (segments/) must outlive this and every Segment.
  Segments(int directory, Index& index, Space& space, uint64_t segment_bytes);
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
  Status Tidy(uint32_t number);
  Result<std::shared_ptr<Segment>> Create();
  void Preallocate(const std::shared_ptr<Segment>& segment);
  void FinishSealing(const std::shared_ptr<Segment>& segment);
  void SettleSealed(const std::shared_ptr<Segment>& segment);
  void Punch(Segment& segment, uint64_t offset, uint64_t bytes);

  const int directory_;
  Index& index_;
  Space& space_;
  const uint64_t segment_bytes_;
  std::atomic<bool> can_preallocate_{true}, can_punch_{true};
  std::mutex mutex_;
  std::map<uint32_t, std::shared_ptr<Segment>> segments_;
  std::shared_ptr<Segment> current_;
  uint32_t next_number_ = 1;
};

// "00000012"
std::string SegmentFileName(uint32_t number);

}  // namespace leat::cache
