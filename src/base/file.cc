// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace leat {

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    Reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void FileDescriptor::Reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<std::string> ReadFile(const std::string& path, size_t bytes_max) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return FailErrno(errno, "cannot open " + path);
  std::string contents;
  char piece[65536];
  for (;;) {
    const ssize_t got = ::read(file.get(), piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno(errno, "cannot read " + path);
    if (got == 0) return contents;
    if (contents.size() + static_cast<size_t>(got) > bytes_max) {
      return Fail(ErrorCode::kInvalidArgument, path + " is larger than " + std::to_string(bytes_max) + " bytes");
    }
    contents.append(piece, static_cast<size_t>(got));
  }
}

Status WriteAll(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return FailErrno(errno, "write failed");
    offset += static_cast<uint64_t>(put);
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return {};
}

namespace {
Status SyncParentDirectory(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  FileDescriptor directory(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || ::fsync(directory.get()) != 0) return FailErrno(errno, "cannot sync " + parent);
  return {};
}
}  // namespace

Status WriteFileAtomically(const std::string& path, std::string_view contents, unsigned mode, bool durable) {
  static std::atomic<unsigned> counter{0};
  const std::string temporary = path + ".new." + std::to_string(::getpid()) + "." + std::to_string(counter++);
  FileDescriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!file.valid()) return FailErrno(errno, "cannot create " + temporary);
  Status written = WriteAll(file.get(), std::as_bytes(std::span(contents)), 0);
  if (written && durable && ::fsync(file.get()) != 0) written = FailErrno(errno, "cannot sync " + temporary);
  if (written && ::rename(temporary.c_str(), path.c_str()) != 0) written = FailErrno(errno, "cannot replace " + path);
  if (!written) {
    ::unlink(temporary.c_str());
    return written;
  }
  return durable ? SyncParentDirectory(path) : Status();
}

Status CreateDirectories(const std::string& path, unsigned mode) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) return FailErrno(errno, "cannot create directory " + part);
    if (at == std::string::npos) break;
  }
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return FailErrno(errno, "cannot open directory " + path);
  if (!S_ISDIR(info.st_mode)) return Fail(ErrorCode::kNotADirectory, path + " is not a directory");
  return {};
}

}  // namespace leat
