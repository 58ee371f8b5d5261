// SPDX-License-Identifier: Apache-2.0
// LogReader: reads what a trainer has printed, from the segments that its shim keeps: log.0, log.1, ... of one size,
// the first and the last few. Positions count the bytes that were ever printed, so that they stay true when segments
// go. Confined to one thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/file.h"
#include "base/result.h"

namespace leat::jobs {

inline constexpr uint64_t kLogSegmentBytes = 64u << 20;
inline constexpr uint64_t kLogSegmentsKept = 3;  // beside the first: 256 MiB of a log at most are on the disk
inline constexpr const char* kLogProgressName = "log.read";

class LogReader {
 public:
  explicit LogReader(std::string directory, uint64_t position = 0)
      : directory_(std::move(directory)), position_(position) {}

  // From here on the shim lets some time pass before it removes what this reader has not read; at most one reader of a
  // log may ask for that. False: another does.
  bool HoldBack();
  // The next bytes; 0: there are no more now. What is gone is passed over and counted.
  Result<size_t> Read(char* bytes, size_t count);
  uint64_t position() const { return position_; }
  uint64_t TakeSkipped() { return std::exchange(skipped_, 0); }

 private:
  std::string SegmentPath(uint64_t segment) const { return directory_ + "/log." + std::to_string(segment); }
  Status Open();

  std::string directory_;
  uint64_t position_;
  uint64_t skipped_ = 0;
  uint64_t segment_ = 0;
  FileDescriptor file_, progress_;
};

}  // namespace leat::jobs
