// SPDX-License-Identifier: Apache-2.0
#include "fs/hydration_sources.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "base/log.h"
#include "fs/catalog_walk.h"
#include "fs/file_system_implementation.h"

namespace leat::fs {
namespace {

class WalkSource final : public hydrate::HydrationSource {
 public:
  WalkSource(FileSystemImplementation& file_system, std::vector<InodeId> roots,
             std::shared_ptr<std::atomic<bool>> incomplete)
      : gate_(file_system.gate()),
        file_system_(file_system),
        walk_(file_system.catalog(), std::move(roots)),
        incomplete_(std::move(incomplete)) {}

  std::vector<cache::ObjectRef> Next(size_t count) override {
    std::vector<cache::ObjectRef> objects;
    GateScope scope(gate_);
    if (!scope) return objects;
    while (objects.size() < count && Fill()) {
      const catalog::Inode& inode = page_[next_++];
      if (inode.size_bytes == 0) continue;  // nothing to fetch
      file_system_.metadata().Expect(inode);
      objects.push_back(file_system_.ObjectOf(inode));
    }
    return objects;
  }

 private:
  bool Fill() {
    if (next_ < page_.size()) return true;
    Result<std::vector<catalog::Inode>> page = walk_.Next();
    if (walk_.unlisted() > 0) incomplete_->store(true);
    if (!page) LogWarning("hydration stops early: " + page.error().message);
    if (!page || page->empty()) return false;
    page_ = std::move(*page);
    next_ = 0;
    return true;
  }

  const std::shared_ptr<Gate> gate_;
  FileSystemImplementation& file_system_;  // behind the gate
  CatalogWalk walk_;
  std::shared_ptr<std::atomic<bool>> incomplete_;
  std::vector<catalog::Inode> page_;
  size_t next_ = 0;
};

class LearnedSource final : public hydrate::HydrationSource {
 public:
  LearnedSource(FileSystemImplementation& file_system, InodeId directory, std::shared_ptr<std::atomic<bool>> incomplete)
      : gate_(file_system.gate()),
        file_system_(file_system),
        directory_(directory),
        rest_(file_system, {directory}, std::move(incomplete)) {}

  std::vector<cache::ObjectRef> Next(size_t count) override {
    std::vector<cache::ObjectRef> objects;
    if (!learned_all_) {
      GateScope scope(gate_);
      if (!scope) return objects;
      if (!reader_) reader_.emplace(file_system_.read_order());
      objects = Learned(count);
    }
    // Where the epoch was elsewhere for long, the listing's next keep the connections busy.
    return objects.empty() ? rest_.Next(count) : objects;
  }

 private:
  static constexpr size_t kLooksMax = 1024;          // at files of the epoch, before the hydrator goes on
  static constexpr size_t kDirectoriesMax = 16'384;  // remembered

  std::vector<cache::ObjectRef> Learned(size_t count) {
    std::vector<cache::ObjectRef> objects;
    for (size_t looks = 0; objects.size() < count && looks < kLooksMax && !learned_all_;) {
      const std::vector<InodeId> files = reader_->Next(std::min(count - objects.size(), kLooksMax - looks));
      learned_all_ = files.empty();
      looks += files.size();
      for (const InodeId file : files) {
        const Result<catalog::Inode> inode = file_system_.catalog().Get(file);
        if (!inode || inode->removed || inode->type != catalog::FileType::kFile || inode->size_bytes == 0) continue;
        if (!IsBelow(inode->parent)) continue;
        file_system_.metadata().Expect(*inode);
        objects.push_back(file_system_.ObjectOf(*inode));
      }
    }
    return objects;
  }

  bool IsBelow(InodeId directory) {
    if (below_.size() > kDirectoriesMax) below_.clear();
    std::vector<InodeId> passed;
    bool below = false;
    for (InodeId at = directory;;) {
      below = at == directory_;
      if (below || at == kRootInode) break;
      if (const auto known = below_.find(Value(at)); known != below_.end()) {
        below = known->second;
        break;
      }
      passed.push_back(at);
      const auto record = file_system_.Record(at);
      if (!record) break;
      at = (*record)->inode.parent;
    }
    for (const InodeId id : passed) below_[Value(id)] = below;
    return below;
  }

  const std::shared_ptr<Gate> gate_;
  FileSystemImplementation& file_system_;  // behind the gate
  const InodeId directory_;
  std::optional<ReadOrder::Reader> reader_;
  bool learned_all_ = false;
  std::unordered_map<uint64_t, bool> below_;  // directories met so far
  WalkSource rest_;
};

}  // namespace

std::unique_ptr<hydrate::HydrationSource> MakeWalkSource(FileSystemImplementation& file_system,
                                                         std::vector<InodeId> roots,
                                                         std::shared_ptr<std::atomic<bool>> incomplete) {
  return std::make_unique<WalkSource>(file_system, std::move(roots), std::move(incomplete));
}

std::unique_ptr<hydrate::HydrationSource> MakeLearnedSource(FileSystemImplementation& file_system, InodeId directory,
                                                            std::shared_ptr<std::atomic<bool>> incomplete) {
  return std::make_unique<LearnedSource>(file_system, directory, std::move(incomplete));
}

}  // namespace leat::fs
