// SPDX-License-Identifier: Apache-2.0
// The files of a checkpoint directory, which a script that nobody vouches for writes at the same time: no path leads
// out of the directory. Symlinks to regular files in it are followed (relative ones: an absolute link means another
// place to the script than to us), those to directories are not, and those that lead out are skipped. Functions;
// blocking; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/result.h"

namespace leat::jobs {

// What tells one content of a file from another without reading it.
struct FileVersion {
  uint64_t size_bytes = 0;
  int64_t modified_ns = 0;  // since the epoch
  uint64_t inode = 0;

  friend bool operator==(const FileVersion&, const FileVersion&) = default;
};

struct CheckpointView {
  std::map<std::string, FileVersion> files;  // by path, relative to the directory
  uint64_t skipped = 0;                      // links that lead out, devices, FIFOs, sockets
  std::optional<Error> incomplete;           // why something below the directory could not be looked at
};

struct CheckpointFile {
  FileDescriptor file;
  FileVersion version;
};

// Names at the top of the directory that Restore makes at work; no view has them.
inline constexpr std::string_view kRestorePrefix = ".leat-restore-";

// kNotFound: it is not there. A symlink in its place is refused.
Result<FileDescriptor> OpenCheckpointDirectory(const std::string& directory);
Result<CheckpointView> ViewCheckpoints(int directory_fd);
// To read it. kNotFound: there is no regular file of that name any more.
Result<CheckpointFile> OpenCheckpointFile(int directory_fd, const std::string& path);
Result<FileVersion> VersionOf(int fd);
// The version of the regular file there; absent: there is none, or it is a link.
std::optional<FileVersion> VersionAt(int directory_fd, const std::string& path);
// Renames `temporary`, a name in the directory, to `path`, and makes the directories above it. kNotADirectory,
// kIsADirectory: something else has the place.
Status PlaceCheckpointFile(int directory_fd, const std::string& temporary, const std::string& path);

// Whether it can be a path below a directory: no empty, "." or ".." component, none longer than 255 bytes.
bool IsSafeRelativePath(std::string_view path);

}  // namespace leat::jobs
