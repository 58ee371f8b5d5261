// SPDX-License-Identifier: Apache-2.0
// Owned file descriptors and whole-file helpers. Every open is O_CLOEXEC.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace leat {

class FileDescriptor {  // owns one descriptor; closes it
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor() { Reset(); }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset();

 private:
  int fd_ = -1;
};

Result<std::string> ReadFile(const std::string& path, size_t bytes_max = 64u << 20);
// Writes beside and renames over, so that a reader sees the old or the new whole file. With `durable`, fsyncs both.
Status WriteFileAtomically(const std::string& path, std::string_view contents, unsigned mode, bool durable);
Status WriteAll(int fd, std::span<const std::byte> bytes, uint64_t offset);  // pwrite until all is written
// mkdir -p; new directories get `mode`.
Status CreateDirectories(const std::string& path, unsigned mode = 0755);

}  // namespace leat
