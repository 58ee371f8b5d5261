// SPDX-License-Identifier: Apache-2.0
#include "fs/catalog_walk.h"
#include "fs/file_system.h"
#include "fs/file_system_implementation.h"
#include "fs/ops/resolve.h"

namespace leat::fs {

void State(FileSystem& file_system, const std::string& path, std::function<void(Result<HsmState>)> done) {
  FileSystemImplementation& self = Implementation(file_system);
  ResolvePath(file_system, path, [&self, gate = self.gate(), done = std::move(done)](Result<catalog::Inode> inode) {
    GateScope scope(gate);
    if (!scope) return done(Fail(ErrorCode::kCancelled, "the file system is being closed"));
    if (!inode) return done(Fail(inode.error()));
    uint64_t size = 0, cached = 0;
    CatalogWalk walk(self.catalog(), {inode->id});
    while (inode->type != catalog::FileType::kSymlink) {
      Result<std::vector<catalog::Inode>> files = walk.Next();
      if (!files) return done(Fail(files.error()));
      if (files->empty()) break;
      for (const catalog::Inode& file : *files) {
        size += file.size_bytes;
        if (file.size_bytes > 0) cached += self.cache().CachedBytes(self.ObjectOf(file));
      }
    }
    HsmState state;
    state.restored_percent = size == 0 ? 100.0 : 100.0 * static_cast<double>(cached) / static_cast<double>(size);
    state.is_directory = inode->type == catalog::FileType::kDirectory;
    if (state.is_directory) {
      state.exists = state.archived = false;  // a directory has no copy of its own in the repository
    } else {
      state.released = cached < size;
    }
    done(state);
  });
}

}  // namespace leat::fs
