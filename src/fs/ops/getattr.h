// SPDX-License-Identifier: Apache-2.0
// Attributes, symlink targets and file system totals: always at hand.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "fs/attributes.h"
#include "fs/file_system.h"

namespace leat::fs {

struct AttributesAnswer {
  Attributes attributes;
  uint64_t mark = 0;
};
Result<AttributesAnswer> GetAttributes(FileSystem& file_system, InodeId inode);
void AttributesAnswered(FileSystem& file_system, InodeId inode, uint64_t mark);  // as LookUpAnswered

}  // namespace leat::fs
