// SPDX-License-Identifier: Apache-2.0
#include "fs/hydration_ahead.h"

#include <algorithm>

#include "base/log.h"
#include "fs/file_system_implementation.h"
#include "fs/hydration_sources.h"

namespace leat::fs {
void HydrationAhead::OnMiss(const InodeRecord& file) {
  constexpr size_t kDepthMax = 512;  // a key of 1,024 bytes has no more directories
  std::vector<InodeId> ancestors;
  InodeId id = file.inode.parent;
  while (ancestors.size() < kDepthMax) {
    ancestors.push_back(id);
    if (id == kRootInode) break;
    const auto record = file_system_.Record(id);
    if (!record) return;
    id = (*record)->inode.parent;
  }
  std::optional<InodeId> directory;
  {
    std::lock_guard lock(mutex_);
    if (cancelled_) return;
    directory = trigger_.OnMiss(file.inode.id, ancestors);
  }
  if (directory) Begin(*directory);
}

void HydrationAhead::Begin(InodeId directory) {
  const auto record = file_system_.Record(directory);
  if (!record || (*record)->inode.removed) return;
  if ((*record)->inode.listed) return Run(directory);
  file_system_.importer().ListDirectory(directory, [this, gate = file_system_.gate(), directory](Status) {
    GateScope scope(gate);
    if (scope) Run(directory);  // also after a failed listing: what is known is worth fetching
  });
}

void HydrationAhead::Run(InodeId directory) {
  auto progress = std::make_shared<hydrate::HydrationProgress>();
  auto incomplete = std::make_shared<std::atomic<bool>>(false);
  bool began_before_import_done = false;
  {
    std::lock_guard lock(mutex_);
    began_before_import_done = !import_done_;
    if (holds_ > 0 && !cancelled_) {
      held_.push_back(directory);
      return;
    }
    if (cancelled_ || !running_.emplace(Value(directory), progress).second) return;
  }
  file_system_.hydrator().Restore(
      file_system_.repository(), MakeLearnedSource(file_system_, directory, incomplete),
      hydrate::BackgroundPriority::kHydration, progress,
      [this, gate = file_system_.gate(), directory, progress, incomplete, began_before_import_done](Status status) {
        GateScope scope(gate);
        if (!scope) return;
        if (!status && status.error().code != ErrorCode::kCancelled) {
          LogWarning("hydration ahead of reads failed for some objects: " + status.error().message);
        }
        bool again = false;
        {
          std::lock_guard lock(mutex_);
          const auto found = running_.find(Value(directory));
          if (found != running_.end() && found->second == progress) running_.erase(found);
          if (*incomplete && !progress->cancelled) {
            // The import may have ended while this ran: then its names are there now, once more is enough.
            again = import_done_ && began_before_import_done;
            if (!import_done_) incomplete_.push_back(directory);
          }
        }
        if (again) Begin(directory);
      });
}

void HydrationAhead::OnImportDone() {
  std::vector<InodeId> directories;
  {
    std::lock_guard lock(mutex_);
    import_done_ = true;
    directories.swap(incomplete_);
  }
  for (const InodeId directory : directories) Begin(directory);
}

void HydrationAhead::Hold() {
  std::lock_guard lock(mutex_);
  ++holds_;
  for (auto& [id, progress] : running_) {
    progress->cancelled = true;
    held_.push_back(InodeId{id});
  }
  std::sort(held_.begin(), held_.end());
  running_.clear();
}

void HydrationAhead::LetGo() {
  std::vector<InodeId> directories;
  {
    std::lock_guard lock(mutex_);
    if (--holds_ == 0) directories.swap(held_);
  }
  for (const InodeId directory : directories) Begin(directory);
}

void HydrationAhead::Reset() {
  std::lock_guard lock(mutex_);
  trigger_.Clear();
  incomplete_.clear();
  held_.clear();
  for (auto& [id, progress] : running_) progress->cancelled = true;
  running_.clear();
}

void HydrationAhead::CancelAll() {
  Reset();
  std::lock_guard lock(mutex_);
  cancelled_ = true;
}

}  // namespace leat::fs
