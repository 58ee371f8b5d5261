// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"
#include "fs/file_system.h"

namespace leat::fs {

// kInvalidArgument when the inode is no symlink, as readlink(2) has it.
Result<std::string> ReadLink(FileSystem& file_system, InodeId inode);

}  // namespace leat::fs
