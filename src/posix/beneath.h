// SPDX-License-Identifier: Apache-2.0
// Files of a repository directory by key, never outside of it: every path is resolved with openat2(RESOLVE_BENEATH).
// Functions; any thread.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>

#include "base/file.h"
#include "base/result.h"
#include "model/object.h"

namespace leat::posix {

// Names that the store itself makes at work; never listed.
inline constexpr std::string_view kWorkPrefix = ".leat-work-";

// `key` relative to `directory_fd`; "" is the directory itself. kNotFound also for a symlink that leads out.
Result<FileDescriptor> OpenBeneath(int directory_fd, const std::string& key, int flags);
// Fails with kInvalidArgument for keys that no file can have: "", "/x", "a//b", "a/../b".
Status CheckKey(std::string_view key);
// Makes the directories above `key` (and `key` itself when it ends with '/') and gives the one it stands in.
Result<FileDescriptor> MakeParent(int root_fd, const std::string& key);
std::string EtagOf(const struct stat& attributes);
ObjectInfo InfoOf(const std::string& key, const struct stat& attributes);
UserMetadata ReadMetadata(int fd);
Status WriteMetadata(int fd, const UserMetadata& metadata);

}  // namespace leat::posix
