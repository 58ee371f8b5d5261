// SPDX-License-Identifier: Apache-2.0
// What stat(2) tells of an inode, in Leat's terms.
#pragma once

#include <cstdint>

#include "catalog/catalog.h"
#include "fs/file_system.h"
#include "model/ids.h"

namespace leat::fs {

struct Attributes {
  InodeId id{};
  catalog::FileType type = catalog::FileType::kFile;
  uint32_t permissions = 0;  // 0777 at most
  uint32_t uid = 0, gid = 0;
  uint32_t links = 1;
  uint64_t size_bytes = 0;
  uint64_t blocks_512 = 0;  // of the whole file, restored or not: du and tar's sparse detection read it
  int64_t mtime_ns = 0, ctime_ns = 0, atime_ns = 0;
};

// Directories that the repository gives no time show `mount_time_ns`.
Attributes AttributesOf(const catalog::Inode& inode, const FileSystemOptions& options, int64_t mount_time_ns);

}  // namespace leat::fs
