// SPDX-License-Identifier: Apache-2.0
#include "cache/segment.h"

#include <fcntl.h>

#include <utility>
#include <vector>

namespace leat::cache {

std::string SegmentFileName(uint32_t number) {
  std::string digits = std::to_string(number);
  return std::string(digits.size() < 8 ? 8 - digits.size() : 0, '0') + digits;
}

Segment::~Segment() { files_.Forget(*this); }

Segment::File Segment::Open() {
  {
    std::lock_guard lock(file_mutex_);
    if (file_ != nullptr) {
      used_.store(true, std::memory_order_relaxed);
      return file_;
    }
  }
  return files_.Open(*this);
}

Segment::File SegmentFiles::Open(Segment& segment) {
  FileDescriptor file(::openat(directory_, SegmentFileName(segment.number_).c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid()) return nullptr;
  return Keep(segment, std::make_shared<const FileDescriptor>(std::move(file)));
}

Segment::File SegmentFiles::Keep(Segment& segment, Segment::File file) {
  std::vector<Segment::File> closed;  // after the lock
  std::lock_guard lock(mutex_);
  {
    std::lock_guard file_lock(segment.file_mutex_);
    if (segment.file_ != nullptr) {  // another thread was first
      closed.push_back(std::move(file));
      return segment.file_;
    }
    segment.file_ = file;
  }
  segment.place_ = open_.insert(open_.begin(), &segment);
  // A second chance for what was used since it was looked at last: a hit then takes no common lock.
  for (size_t looks = 2 * open_.size(); open_.size() > open_max_ && looks > 0; --looks) {
    Segment& oldest = *open_.back();
    std::lock_guard file_lock(oldest.file_mutex_);
    // Held by nobody else: whoever wants to hold it needs the lock first.
    const bool idle = &oldest != &segment && oldest.file_.use_count() == 1 && !oldest.used_.exchange(false);
    if (!idle) {
      open_.splice(open_.begin(), open_, oldest.place_);
      continue;
    }
    closed.push_back(std::exchange(oldest.file_, nullptr));
    open_.pop_back();
  }
  return file;
}

void SegmentFiles::Forget(Segment& segment) {
  std::lock_guard lock(mutex_);
  if (segment.file_ != nullptr) open_.erase(segment.place_);
}

}  // namespace leat::cache
