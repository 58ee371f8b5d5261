// SPDX-License-Identifier: Apache-2.0
#include "jobs/log_reader.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <optional>

#include "base/text.h"

namespace leat::jobs {
namespace {

// The oldest segment from `least` on.
std::optional<uint64_t> OldestFrom(const std::string& directory, uint64_t least) {
  std::optional<uint64_t> oldest;
  std::error_code error;
  for (std::filesystem::directory_iterator i(directory, error), end; !error && i != end; i.increment(error)) {
    const std::string name = i->path().filename().string();
    if (name.rfind("log.", 0) != 0) continue;
    const auto number = ParseUnsigned(name.substr(4));
    if (number && *number >= least && (!oldest || *number < *oldest)) oldest = *number;
  }
  return oldest;
}

}  // namespace

bool LogReader::HoldBack() {
  progress_ = FileDescriptor(
      open((directory_ + "/" + kLogProgressName).c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!progress_.valid() || flock(progress_.get(), LOCK_EX | LOCK_NB) != 0) {
    progress_.Reset();
    return false;
  }
  (void)!pwrite(progress_.get(), &position_, sizeof position_, 0);
  return true;
}

Status LogReader::Open() {
  segment_ = position_ / kLogSegmentBytes;
  file_ = FileDescriptor(open(SegmentPath(segment_).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (file_.valid() || errno == ENOENT) return {};
  return FailErrno(errno, SegmentPath(segment_));
}

Result<size_t> LogReader::Read(char* bytes, size_t count) {
  for (;;) {
    if (!file_.valid() || segment_ != position_ / kLogSegmentBytes) LEAT_RETURN_IF_ERROR(Open());
    if (!file_.valid()) {
      const auto next = OldestFrom(directory_, segment_ + 1);
      if (!next) return size_t{0};
      skipped_ += *next * kLogSegmentBytes - position_;
      position_ = *next * kLogSegmentBytes;
      continue;
    }
    const uint64_t within = position_ % kLogSegmentBytes;
    const size_t wanted = std::min<uint64_t>(count, kLogSegmentBytes - within);
    const ssize_t got = pread(file_.get(), bytes, wanted, static_cast<off_t>(within));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno(errno, SegmentPath(segment_));
    position_ += static_cast<uint64_t>(got);
    if (progress_.valid() && got > 0) (void)!pwrite(progress_.get(), &position_, sizeof position_, 0);
    return static_cast<size_t>(got);
  }
}

}  // namespace leat::jobs
