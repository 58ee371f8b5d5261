// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "fs/file_system.h"
#include "fs/file_system_implementation.h"
#include "fs/hydration_sources.h"
#include "fs/ops/resolve.h"

namespace leat::fs {
namespace {

// The first thing that went wrong; the rest is tried all the same.
class FirstError {
 public:
  void Note(const Error& error) {
    std::lock_guard lock(mutex_);
    if (!error_) error_ = error;
  }
  Status Take(Status status) {
    std::lock_guard lock(mutex_);
    if (error_) return Fail(*error_);
    return status;
  }

 private:
  std::mutex mutex_;
  std::optional<Error> error_;
};

class Restoring : public std::enable_shared_from_this<Restoring> {
 public:
  Restoring(FileSystemImplementation& self, RestoreRequest request,
            std::shared_ptr<hydrate::HydrationProgress> progress, std::function<void(Status)> done)
      : self_(self), request_(std::move(request)), progress_(std::move(progress)), done_(std::move(done)) {}

  void Run() {
    ForEachInTurn(
        request_.paths.size(),
        [me = shared_from_this()](size_t index, std::function<void()> next) { me->Find(index, std::move(next)); },
        [me = shared_from_this()] { me->Fetch(); });
  }

 private:
  // Makes the catalog know the path, and all below it.
  void Find(size_t index, std::function<void()> next) {
    GateScope scope(self_gate_);  // while it is open the importer is there; a closed one ends the chain
    if (!scope) return done_(Fail(ErrorCode::kCancelled, "the file system is being closed"));
    ResolvePath(self_, request_.paths[index], [me = shared_from_this(), next](Result<catalog::Inode> inode) {
      if (!inode) {
        me->error_->Note(inode.error());
        return next();
      }
      me->roots_.push_back(inode->id);
      const bool directory = inode->type == catalog::FileType::kDirectory;
      if (!directory || me->self_.catalog().Totals().complete) return next();
      me->self_.importer().Import(inode->id, false, [me, next](Status status) {
        if (!status) me->error_->Note(status.error());
        next();
      });
    });
  }

  void Fetch() {
    GateScope scope(self_gate_);
    if (!scope) return done_(Fail(ErrorCode::kCancelled, "the file system is being closed"));
    self_.hydrator().Restore(
        self_.repository(), MakeWalkSource(self_, roots_, std::make_shared<std::atomic<bool>>(false)),
        hydrate::BackgroundPriority::kRestore, progress_,
        [me = shared_from_this()](Status status) { me->done_(me->error_->Take(std::move(status))); });
  }

  FileSystemImplementation& self_;
  const std::shared_ptr<Gate> self_gate_ = self_.gate();
  const RestoreRequest request_;
  const std::shared_ptr<hydrate::HydrationProgress> progress_;
  const std::function<void(Status)> done_;
  const std::shared_ptr<FirstError> error_ = std::make_shared<FirstError>();
  std::vector<InodeId> roots_;
};

}  // namespace

void Restore(FileSystem& file_system, RestoreRequest request, std::shared_ptr<hydrate::HydrationProgress> progress,
             std::function<void(Status)> done) {
  if (!progress) progress = std::make_shared<hydrate::HydrationProgress>();
  std::make_shared<Restoring>(Implementation(file_system), std::move(request), std::move(progress), std::move(done))
      ->Run();
}

}  // namespace leat::fs
