// SPDX-License-Identifier: Apache-2.0
// Segment: one file in which small objects are packed. SegmentFiles: how many of these files are open at once.
// Threads: any. A file is opened at first use and closed again, least recently used first, when more than the limit
// are open and nobody holds it.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/file.h"

namespace leat::cache {

class SegmentFiles;

// "00000012"
std::string SegmentFileName(uint32_t number);

class Segment {
 public:
  using File = std::shared_ptr<const FileDescriptor>;

  Segment(uint32_t number, SegmentFiles& files) : number_(number), files_(files) {}
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  uint32_t number() const { return number_; }
  // Stays open while it is held. Null with errno when it cannot be opened.
  File Open();

 private:
  friend class Segments;
  friend class SegmentFiles;
  const uint32_t number_;
  SegmentFiles& files_;
  std::atomic<bool> unsynced_{false};
  std::atomic<bool> used_{false};  // since SegmentFiles looked last
  std::mutex file_mutex_;          // guards file_; after SegmentFiles::mutex_ where both are held
  File file_;
  std::list<Segment*>::iterator place_;  // guarded by SegmentFiles::mutex_; valid while file_ is set
  // Guarded by Segments::mutex_.
  uint64_t next_ = 0;              // where the next extent begins
  uint64_t preallocated_end_ = 0;  // the tail is [next_, preallocated_end_)
  uint64_t live_ = 0, reserved_ = 0;
  uint64_t stuck_ = 0;  // bytes that no record covers and that could not be given back; they go with the file
  bool sealed_ = true;
  std::optional<uint64_t> intent_;        // sequence of the intent that covers writes in progress
  std::optional<uint64_t> stuck_intent_;  // of one that is kept because of stuck_
};

class SegmentFiles {
 public:
  // `directory` (segments/) must outlive this, and this every Segment.
  SegmentFiles(int directory, size_t open_max) : directory_(directory), open_max_(open_max) {}
  Segment::File Open(Segment& segment);
  // Of a segment whose file has just been made.
  Segment::File Keep(Segment& segment, Segment::File file);
  void Forget(Segment& segment);

 private:
  const int directory_;
  const size_t open_max_;
  std::mutex mutex_;
  std::list<Segment*> open_;  // the next to be looked at is the last
};

}  // namespace leat::cache
