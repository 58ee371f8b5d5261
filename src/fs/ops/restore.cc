// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "fs/file_system.h"
#include "fs/file_system_implementation.h"
#include "fs/ops/resolve.h"

namespace leat::fs {
namespace {

// A plan of more paths than this is resolved after a full import instead of by a look-up for each.
constexpr size_t kPlanLookUpsMax = 1000;

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

// The files of a plan, in exactly its order, found in the catalog as they are needed.
class PlanSource final : public hydrate::HydrationSource {
 public:
  PlanSource(FileSystemImplementation& self, std::vector<std::string> paths, std::shared_ptr<FirstError> error)
      : gate_(self.gate()), self_(self), paths_(std::move(paths)), error_(std::move(error)) {}

  std::vector<cache::ObjectRef> Next(size_t count) override {
    std::vector<cache::ObjectRef> objects;
    GateScope scope(gate_);
    if (!scope) return objects;
    while (objects.size() < count && next_ < paths_.size()) {
      const std::string& path = paths_[next_++];
      const Result<InodeId> id = self_.catalog().ResolvePath(path);
      const auto record = id ? self_.Record(*id) : Fail(id.error());
      if (!record) {
        error_->Note({record.error().code, "the plan names " + path + ": " + record.error().message});
      } else if ((*record)->inode.type == catalog::FileType::kDirectory) {
        error_->Note({ErrorCode::kIsADirectory, "the plan names a directory: " + path + "; a plan lists files"});
      } else if ((*record)->object.size_bytes > 0) {
        self_.metadata().Expect((*record)->inode);
        objects.push_back((*record)->object);
      }
    }
    return objects;
  }

 private:
  const std::shared_ptr<Gate> gate_;
  FileSystemImplementation& self_;  // behind the gate
  const std::vector<std::string> paths_;
  const std::shared_ptr<FirstError> error_;
  size_t next_ = 0;
};

class Restoring : public std::enable_shared_from_this<Restoring> {
 public:
  Restoring(FileSystemImplementation& self, RestoreRequest request,
            std::shared_ptr<hydrate::HydrationProgress> progress, std::function<void(Status)> done)
      : self_(self), request_(std::move(request)), progress_(std::move(progress)), done_(std::move(done)) {}

  void Run() {
    const bool complete = self_.catalog().Totals().complete;
    const bool large_plan = request_.from_plan && request_.paths.size() > kPlanLookUpsMax;
    if (request_.from_plan && complete) return Fetch();
    if (large_plan) {
      return self_.importer().Import(kRootInode, false, [me = shared_from_this(), gate = self_.gate()](Status status) {
        GateScope scope(gate);
        if (!status) me->error_->Note(status.error());
        if (scope) return me->Fetch();
        me->done_(Fail(ErrorCode::kCancelled, "the file system is being closed"));
      });
    }
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
        if (!me->request_.from_plan) me->error_->Note(inode.error());  // a plan's source finds it out again
        return next();
      }
      me->roots_.push_back(inode->id);
      const bool directory = inode->type == catalog::FileType::kDirectory;
      if (!directory || me->request_.from_plan || me->self_.catalog().Totals().complete) return next();
      me->self_.importer().Import(inode->id, false, [me, next](Status status) {
        if (!status) me->error_->Note(status.error());
        next();
      });
    });
  }

  void Fetch() {
    GateScope scope(self_gate_);
    if (!scope) return done_(Fail(ErrorCode::kCancelled, "the file system is being closed"));
    std::unique_ptr<hydrate::HydrationSource> source;
    if (request_.from_plan) {
      source = std::make_unique<PlanSource>(self_, request_.paths, error_);
    } else {
      source = MakeWalkSource(self_, roots_, std::make_shared<std::atomic<bool>>(false));
    }
    self_.hydrator().Restore(
        self_.repository(), std::move(source), hydrate::BackgroundPriority::kRestore, progress_,
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
