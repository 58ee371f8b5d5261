// SPDX-License-Identifier: Apache-2.0
#include "fs/read_order.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>

#include "base/crc32c.h"
#include "base/log.h"

namespace leat::fs {
namespace {

constexpr std::string_view kMagic = "leatread";
constexpr uint64_t kVersion = 1;
constexpr size_t kHeaderBytes = 8 + 4 + 4, kEntryBytes = 8, kChecksumBytes = 4;
constexpr size_t kPieceBytes = 65536;

void Append(std::string& to, uint64_t number, size_t bytes) {  // little-endian
  for (size_t i = 0; i < bytes; ++i) to.push_back(static_cast<char>(number >> (8 * i) & 0xff));
}

uint64_t NumberAt(std::string_view from, size_t offset, size_t bytes) {
  uint64_t number = 0;
  for (size_t i = bytes; i-- > 0;) number = number << 8 | static_cast<unsigned char>(from[offset + i]);
  return number;
}

uint32_t ChecksumOf(std::string_view bytes, uint32_t before = 0) {
  return Crc32c(std::as_bytes(std::span(bytes)), before);
}

// Up to `size` bytes; fewer at the end of the file, or where it cannot be read.
std::string ReadAt(int file, uint64_t offset, size_t size) {
  std::string bytes(size, '\0');
  size_t have = 0;
  while (have < size) {
    const ssize_t got = pread(file, bytes.data() + have, size - have, static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    have += static_cast<size_t>(got);
  }
  bytes.resize(have);
  return bytes;
}

}  // namespace

std::string EncodeReadOrder(const std::deque<InodeId>& order) {
  std::string bytes(kMagic);
  bytes.reserve(kHeaderBytes + order.size() * kEntryBytes + kChecksumBytes);
  Append(bytes, kVersion, 4);
  Append(bytes, order.size(), 4);
  for (const InodeId file : order) Append(bytes, Value(file), kEntryBytes);
  Append(bytes, ChecksumOf(bytes), kChecksumBytes);
  return bytes;
}

Result<uint64_t> CheckReadOrder(int file) {
  const std::string header = ReadAt(file, 0, kHeaderBytes);
  if (header.size() < kHeaderBytes || header.substr(0, kMagic.size()) != kMagic) {
    return Fail(ErrorCode::kCorrupt, "it is no record of reads");
  }
  if (NumberAt(header, 8, 4) != kVersion) return Fail(ErrorCode::kCorrupt, "it is of another version");
  const uint64_t count = NumberAt(header, 12, 4);
  const uint64_t end = kHeaderBytes + count * kEntryBytes;
  const off_t size = lseek(file, 0, SEEK_END);
  if (count > ReadOrder::kFilesMax || size < 0 || static_cast<uint64_t>(size) != end + kChecksumBytes) {
    return Fail(ErrorCode::kCorrupt, "its length is wrong");
  }
  uint32_t checksum = 0;
  for (uint64_t at = 0; at < end; at += kPieceBytes) {
    checksum = ChecksumOf(ReadAt(file, at, std::min<uint64_t>(kPieceBytes, end - at)), checksum);
  }
  const std::string stored = ReadAt(file, end, kChecksumBytes);
  if (stored.size() < kChecksumBytes || NumberAt(stored, 0, kChecksumBytes) != checksum) {
    return Fail(ErrorCode::kCorrupt, "its checksum is wrong");
  }
  return count;
}

void ReadOrder::Note(InodeId file) {
  const uint64_t bit = Value(file) % kBits, mask = uint64_t{1} << (bit % 64);
  if (((*seen_)[bit / 64].fetch_or(mask, std::memory_order_relaxed) & mask) != 0) return;
  std::lock_guard lock(mutex_);
  if (order_.size() < kFilesMax) order_.push_back(file);
}

void ReadOrder::Save() {
  if (saving_.exchange(true)) return;  // what is seen meanwhile is kept next time
  Reader kept(*this);
  std::deque<InodeId> order;
  {
    std::lock_guard lock(mutex_);
    order.swap(order_);
  }
  const bool anything = !order.empty();
  while (anything && order.size() < kFilesMax) {
    const std::vector<InodeId> files = kept.Next(kPieceBytes / kEntryBytes);
    if (files.empty()) break;
    for (const InodeId file : files) {
      if (order.size() < kFilesMax && !WasSeen(file)) order.push_back(file);
    }
  }
  for (auto& word : *seen_) word.store(0, std::memory_order_relaxed);
  if (anything && !path_.empty()) {
    const Status written = WriteFileAtomically(path_, EncodeReadOrder(order), 0600, false);
    if (!written) LogWarning("the order of reads is not kept: " + written.error().message);
  }
  saving_ = false;
}

ReadOrder::Reader::Reader(ReadOrder& order) : order_(order) {
  {
    std::lock_guard lock(order.mutex_);
    end_ = order.order_.size();
  }
  if (order.path_.empty()) return;
  FileDescriptor file(open(order.path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return;  // none is kept yet
  const Result<uint64_t> count = CheckReadOrder(file.get());
  if (!count) {
    LogWarning("the order of reads in " + order.path_ + " is not used: " + count.error().message);
    return;
  }
  kept_ = std::move(file);
  kept_next_ = kHeaderBytes;
  kept_end_ = kHeaderBytes + *count * kEntryBytes;
}

std::vector<InodeId> ReadOrder::Reader::Next(size_t count) {
  std::vector<InodeId> files;
  {
    std::lock_guard lock(order_.mutex_);
    const size_t end = std::min(end_, order_.order_.size());  // a new epoch may have begun
    while (next_ < end && files.size() < count) files.push_back(order_.order_[next_++]);
  }
  if (!files.empty() || kept_next_ == kept_end_) return files;
  const std::string bytes =
      ReadAt(kept_.get(), kept_next_, std::min<uint64_t>(count * kEntryBytes, kept_end_ - kept_next_));
  for (size_t at = 0; at + kEntryBytes <= bytes.size(); at += kEntryBytes) {
    files.push_back(InodeId{NumberAt(bytes, at, kEntryBytes)});
  }
  kept_next_ = files.empty() ? kept_end_ : kept_next_ + bytes.size();
  return files;
}

}  // namespace leat::fs
