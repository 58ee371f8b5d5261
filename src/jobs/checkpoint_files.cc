// SPDX-License-Identifier: Apache-2.0
#include "jobs/checkpoint_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "base/log.h"
#include "base/text.h"

namespace leat::jobs {
namespace {

// The file's descriptor, or errno negated.
int OpenBeneath(int directory_fd, const std::string& path, int flags, bool follow_links) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (follow_links ? 0u : RESOLVE_NO_SYMLINKS);
  for (;;) {
    const long fd = syscall(SYS_openat2, directory_fd, path.empty() ? "." : path.c_str(), &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    if (errno == EINTR || errno == EAGAIN) continue;  // EAGAIN: a rename went on beside
    return -errno;
  }
}

FileVersion VersionFrom(const struct stat& attributes) {
  return {static_cast<uint64_t>(attributes.st_size),
          static_cast<int64_t>(attributes.st_mtim.tv_sec) * 1'000'000'000 + attributes.st_mtim.tv_nsec,
          attributes.st_ino};
}

bool IsGone(int error) { return error == ENOENT || error == ENOTDIR; }

struct Closer {
  void operator()(DIR* stream) const { closedir(stream); }
};

// One directory of the tree; the directories in it go to `waiting`.
class Look {
 public:
  Look(int root, CheckpointView& view, std::vector<std::string>& waiting)
      : root_(root), view_(view), waiting_(waiting) {}

  void At(const std::string& directory) {
    const int fd = OpenBeneath(root_, directory, O_RDONLY | O_DIRECTORY, false);
    if (fd < 0) {
      if (!IsGone(-fd) && fd != -ELOOP) Incomplete(-fd, directory);
      return;
    }
    const std::unique_ptr<DIR, Closer> stream(fdopendir(fd));
    if (stream == nullptr) {
      close(fd);
      return Incomplete(errno, directory);
    }
    for (;;) {
      errno = 0;
      const dirent* entry = readdir(stream.get());
      if (entry == nullptr) break;
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (directory.empty() && name.starts_with(kRestorePrefix)) continue;
      Add(fd, name, directory.empty() ? name : directory + "/" + name);
    }
    if (errno != 0) Incomplete(errno, directory);
  }

 private:
  void Add(int directory_fd, const std::string& name, const std::string& path) {
    struct stat attributes {};
    if (fstatat(directory_fd, name.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) != 0) {
      if (!IsGone(errno)) Incomplete(errno, path);
      return;
    }
    if (S_ISDIR(attributes.st_mode)) return waiting_.push_back(path);
    if (S_ISLNK(attributes.st_mode)) {
      const FileDescriptor target(OpenBeneath(root_, path, O_PATH, true));
      if (!target.valid() || fstat(target.get(), &attributes) != 0) {
        ++view_.skipped;
        return;
      }
    }
    if (!S_ISREG(attributes.st_mode)) {
      ++view_.skipped;
      return;
    }
    view_.files[path] = VersionFrom(attributes);
  }
  void Incomplete(int error, const std::string& path) {
    if (!view_.incomplete) view_.incomplete = FailErrno(error, "'" + EscapeForDisplay(path) + "'").value();
  }

  const int root_;
  CheckpointView& view_;
  std::vector<std::string>& waiting_;
};

}  // namespace

Result<FileDescriptor> OpenCheckpointDirectory(const std::string& directory) {
  FileDescriptor file(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid()) return FailErrno(errno, "the checkpoint directory " + directory);
  return file;
}

Result<CheckpointView> ViewCheckpoints(int directory_fd) {
  CheckpointView view;
  std::vector<std::string> waiting = {""};
  Look look(directory_fd, view, waiting);
  while (!waiting.empty()) {
    const std::string directory = std::move(waiting.back());
    waiting.pop_back();
    look.At(directory);
  }
  return view;
}

Result<CheckpointFile> OpenCheckpointFile(int directory_fd, const std::string& path) {
  const std::string shown = "'" + EscapeForDisplay(path) + "'";
  // Not blocking: it may have become a FIFO.
  const int fd = OpenBeneath(directory_fd, path, O_RDONLY | O_NONBLOCK, true);
  if (fd == -EXDEV || fd == -ELOOP || (fd < 0 && IsGone(-fd))) return Fail(ErrorCode::kNotFound, shown + " is gone");
  if (fd < 0) return FailErrno(-fd, shown);
  CheckpointFile opened{FileDescriptor(fd), {}};
  struct stat attributes {};
  if (fstat(fd, &attributes) != 0) return FailErrno(errno, shown);
  if (!S_ISREG(attributes.st_mode)) return Fail(ErrorCode::kNotFound, shown + " is no regular file");
  opened.version = VersionFrom(attributes);
  return opened;
}

Result<FileVersion> VersionOf(int fd) {
  struct stat attributes {};
  if (fstat(fd, &attributes) != 0) return FailErrno(errno, "cannot look at a file");
  return VersionFrom(attributes);
}

std::optional<FileVersion> VersionAt(int directory_fd, const std::string& path) {
  const FileDescriptor file(OpenBeneath(directory_fd, path, O_PATH | O_NOFOLLOW, false));
  struct stat attributes {};
  if (!file.valid() || fstat(file.get(), &attributes) != 0 || !S_ISREG(attributes.st_mode)) return std::nullopt;
  return VersionFrom(attributes);
}

Status PlaceCheckpointFile(int directory_fd, const std::string& temporary, const std::string& path) {
  const std::string shown = "'" + EscapeForDisplay(path) + "'";
  for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string above = path.substr(0, slash);
    const size_t last = above.rfind('/');
    const FileDescriptor in(OpenBeneath(directory_fd, last == std::string::npos ? "" : above.substr(0, last),
                                        O_RDONLY | O_DIRECTORY, false));
    const std::string name = last == std::string::npos ? above : above.substr(last + 1);
    if (!in.valid() || (mkdirat(in.get(), name.c_str(), 0755) != 0 && errno != EEXIST)) {
      if (!in.valid()) return Fail(ErrorCode::kNotADirectory, shown + ": what is above it is no directory here");
      return FailErrno(errno, "cannot make the directory of " + shown);
    }
  }
  const size_t slash = path.rfind('/');
  const FileDescriptor parent(OpenBeneath(directory_fd, slash == std::string::npos ? "" : path.substr(0, slash),
                                          O_RDONLY | O_DIRECTORY, false));
  if (!parent.valid()) return Fail(ErrorCode::kNotADirectory, shown + ": what is above it is no directory here");
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (renameat(directory_fd, temporary.c_str(), parent.get(), name.c_str()) == 0) return {};
  if (errno == EISDIR || errno == ENOTEMPTY || errno == EEXIST) {
    return Fail(ErrorCode::kIsADirectory, shown + " is a directory here");
  }
  return FailErrno(errno, "cannot write " + shown);
}

bool IsSafeRelativePath(std::string_view path) {
  if (path.find('\0') != std::string_view::npos) return false;
  for (const auto& component : Split(path, '/')) {
    if (component.empty() || component == "." || component == ".." || component.size() > 255) return false;
  }
  return true;
}

}  // namespace leat::jobs
