// SPDX-License-Identifier: Apache-2.0
#include "fs/ops/measure.h"

#include "fs/file_system_implementation.h"

namespace leat::fs {

std::optional<Contents> Measure::Step(std::chrono::milliseconds budget) {
  FileSystemImplementation& self = Implementation(file_system_);
  const auto end = self.clock().Now() + budget;
  while (!unknown_ && (walk_ || next_path_ < paths_.size())) {
    if (self.clock().Now() >= end) return std::nullopt;
    if (!walk_) {
      const Result<InodeId> id = self.catalog().ResolvePath(paths_[next_path_++]);
      if (!id) {
        unknown_ = true;
        break;
      }
      walk_.emplace(self.catalog(), std::vector<InodeId>{*id});
    }
    const Result<std::vector<catalog::Inode>> files = walk_->Next();
    unknown_ = !files || walk_->unlisted() > 0;
    if (!unknown_ && files->empty()) walk_.reset();
    if (unknown_) break;
    for (const catalog::Inode& file : *files) {
      ++contents_.files;
      contents_.bytes += file.size_bytes;
    }
  }
  if (unknown_) return std::nullopt;
  return contents_;
}

}  // namespace leat::fs
