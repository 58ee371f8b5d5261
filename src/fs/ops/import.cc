// SPDX-License-Identifier: Apache-2.0
#include "fs/file_system.h"
#include "fs/file_system_implementation.h"
#include "fs/ops/resolve.h"

namespace leat::fs {

void Import(FileSystem& file_system, const std::string& path, bool posix, std::function<void(Status)> done) {
  FileSystemImplementation& self = Implementation(file_system);
  ResolvePath(file_system, path,
              [&self, gate = self.gate(), posix, done = std::move(done)](Result<catalog::Inode> inode) {
                GateScope scope(gate);
                if (!scope) return done(Fail(ErrorCode::kCancelled, "the file system is being closed"));
                if (!inode) return done(Fail(inode.error()));
                const auto told = [&self, gate, done](Status status) {
                  GateScope inner(gate);
                  if (!inner) return done(Fail(ErrorCode::kCancelled, "the file system is being closed"));
                  // Whoever asked sees the new names as soon as this is done.
                  self.AfterInvalidations(true, [done, status = std::move(status)] { done(status); });
                };
                if (inode->type == catalog::FileType::kDirectory) return self.importer().Import(inode->id, posix, told);
                self.importer().RefreshObject(inode->id, told);
              });
}

}  // namespace leat::fs
