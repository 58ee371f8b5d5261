// SPDX-License-Identifier: Apache-2.0
// POSIX metadata on objects: FSx's (file-permissions, file-owner, file-group, file-mtime, file-atime) read and written;
// s3fs's and rclone's (mode, uid, gid, mtime, atime) read. FSx's win where both are. Sources: the FSx for Lustre user
// guide, "POSIX metadata support"; s3fs-fuse and rclone as they write. Values that make no sense are ignored, never an
// error: any writer can put them there. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>

#include "model/object.h"

namespace leat {

// The longest target that Linux takes (PATH_MAX without its NUL): a longer body is no symlink.
inline constexpr uint64_t kSymlinkBytesMax = 4095;

enum class PosixKind { kFile, kDirectory, kSymlink };

struct PosixMetadata {
  std::optional<uint32_t> mode;  // permission bits, 0777 at most: setuid, setgid and sticky are never taken over
  std::optional<uint32_t> uid, gid;
  std::optional<int64_t> mtime_ns, atime_ns;
  bool is_symlink = false;  // the type bits say so; then the object's body is the target
  bool operator==(const PosixMetadata&) const = default;
};

// `rest`, when given, gets the pairs that are not POSIX metadata, in their order.
PosixMetadata DecodePosixMetadata(const UserMetadata& metadata, UserMetadata* rest);
// FSx's form, for what is set.
UserMetadata EncodePosixMetadata(const PosixMetadata& metadata, PosixKind kind);

}  // namespace leat
