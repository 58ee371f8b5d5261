// SPDX-License-Identifier: Apache-2.0
#include "fs/attributes.h"

namespace leat::fs {
namespace {
constexpr uint64_t kDirectoryBytes = 4096;  // what other file systems show for a small directory
}

Attributes AttributesOf(const catalog::Inode& inode, const FileSystemOptions& options, int64_t mount_time_ns) {
  using catalog::FileType;
  Attributes attributes;
  attributes.id = inode.id;
  attributes.type = inode.type;
  attributes.uid = inode.uid.value_or(options.uid);
  attributes.gid = inode.gid.value_or(options.gid);
  attributes.mtime_ns = inode.mtime_ns;
  attributes.links = inode.removed ? 0 : 1;
  switch (inode.type) {
    case FileType::kFile:
      attributes.permissions = inode.mode.value_or(options.file_mode) & 0777;
      attributes.size_bytes = inode.size_bytes;
      break;
    case FileType::kDirectory:
      attributes.permissions = inode.mode.value_or(options.directory_mode) & 0777;
      attributes.size_bytes = kDirectoryBytes;
      if (!inode.removed) attributes.links = 2;
      if (attributes.mtime_ns == 0) attributes.mtime_ns = mount_time_ns;
      break;
    case FileType::kSymlink:
      attributes.permissions = 0777;
      attributes.size_bytes = inode.symlink_target.size();
      break;
  }
  attributes.blocks_512 = (attributes.size_bytes + 511) / 512;
  attributes.ctime_ns = attributes.mtime_ns;
  attributes.atime_ns = inode.atime_ns.value_or(attributes.mtime_ns);
  return attributes;
}

}  // namespace leat::fs
