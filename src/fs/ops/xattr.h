// SPDX-License-Identifier: Apache-2.0
// Extended attributes: user.leat.* tells what Leat knows, other user.* names show the object's user metadata.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fs/file_system.h"

namespace leat::fs {

// kNotFound when there is no such attribute. Absent: GetAttribute must ask the repository (one HEAD, once a file).
std::optional<Result<std::string>> GetAttributeNow(FileSystem& file_system, InodeId inode, std::string_view name);
void GetAttribute(FileSystem& file_system, InodeId inode, const std::string& name,
                  std::function<void(Result<std::string>)> done);
// The names known now. Never asks the repository, because new versions of ls list attributes for every file.
Result<std::vector<std::string>> ListAttributes(FileSystem& file_system, InodeId inode);

}  // namespace leat::fs
