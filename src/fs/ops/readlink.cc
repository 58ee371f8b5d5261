// SPDX-License-Identifier: Apache-2.0
#include "fs/ops/readlink.h"

#include "fs/file_system_implementation.h"

namespace leat::fs {

Result<std::string> ReadLink(FileSystem& file_system, InodeId inode) {
  LEAT_ASSIGN_OR_RETURN(const auto record, Implementation(file_system).Record(inode));
  if (record->inode.type != catalog::FileType::kSymlink)
    return Fail(ErrorCode::kInvalidArgument, "not a symbolic link");
  return record->inode.symlink_target;
}

}  // namespace leat::fs
