// SPDX-License-Identifier: Apache-2.0
#include "fs/ops/getattr.h"

#include "fs/file_system_implementation.h"

namespace leat::fs {

Result<AttributesAnswer> GetAttributes(FileSystem& file_system, InodeId inode) {
  FileSystemImplementation& self = Implementation(file_system);
  self.knowledge().KnowsInode(inode);
  const uint64_t mark = self.knowledge().AttributesMark(inode);
  LEAT_ASSIGN_OR_RETURN(const auto record, self.Record(inode));
  return AttributesAnswer{self.Describe(record->inode), mark};
}

void AttributesAnswered(FileSystem& file_system, InodeId inode, uint64_t mark) {
  FileSystemImplementation& self = Implementation(file_system);
  if (self.knowledge().AttributesMark(inode) != mark) self.InvalidateInode(inode, false);
}

}  // namespace leat::fs
