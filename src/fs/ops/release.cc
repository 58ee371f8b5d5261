// SPDX-License-Identifier: Apache-2.0
#include "fs/catalog_walk.h"
#include "fs/file_system.h"
#include "fs/file_system_implementation.h"
#include "fs/ops/resolve.h"

namespace leat::fs {

void Release(FileSystem& file_system, const std::string& path, std::function<void(Result<uint64_t>)> done) {
  FileSystemImplementation& self = Implementation(file_system);
  ResolvePath(file_system, path, [&self, gate = self.gate(), done = std::move(done)](Result<catalog::Inode> inode) {
    GateScope scope(gate);
    if (!scope) return done(Fail(ErrorCode::kCancelled, "the file system is being closed"));
    if (!inode) return done(Fail(inode.error()));
    self.hydration_ahead().Reset();  // or it would fetch again what is dropped here
    self.read_order().Save();        // the next reads are a new epoch
    uint64_t bytes = 0;
    Status failed;
    const auto count = [&](cache::Released released) {
      bytes += released.bytes;
      if (failed && !released.status) failed = std::move(released.status);
    };
    CatalogWalk walk(self.catalog(), {inode->id});
    while (true) {
      Result<std::vector<catalog::Inode>> files = walk.Next();
      if (!files) return done(Fail(files.error()));
      if (files->empty()) break;
      for (const catalog::Inode& file : *files) {
        if (file.size_bytes == 0) continue;
        count(self.cache().Release(self.ObjectOf(file)));
        if (self.knowledge().MayKnowInode(file.id)) self.InvalidateInode(file.id, true);
      }
    }
    // What belongs to no live file any more (replaced versions) goes with the whole.
    if (inode->id == kRootInode) count(self.cache().ReleaseDataset(self.options().dataset));
    self.AfterContentInvalidations([done, bytes, failed] {
      if (!failed) return done(Fail(failed.error()));
      done(bytes);
    });
  });
}

}  // namespace leat::fs
