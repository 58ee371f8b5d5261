// SPDX-License-Identifier: Apache-2.0
#include "fs/ops/restore_plan.h"

#include <atomic>
#include <deque>
#include <mutex>
#include <optional>

#include "fs/file_system_implementation.h"
#include "fs/ops/resolve.h"

namespace leat::fs {
namespace {

// What was added and not yet handed to the hydrator. Threads: any.
class PlannedFiles {
 public:
  void Add(const std::vector<InodeId>& files, bool more) {
    std::lock_guard lock(mutex_);
    waiting_.insert(waiting_.end(), files.begin(), files.end());
    ended_ = !more;
  }
  size_t size() {
    std::lock_guard lock(mutex_);
    return waiting_.size();
  }
  void End() {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  bool ended() {
    std::lock_guard lock(mutex_);
    return ended_;
  }
  std::optional<InodeId> Take() {
    std::lock_guard lock(mutex_);
    if (waiting_.empty()) return std::nullopt;
    const InodeId file = waiting_.front();
    waiting_.pop_front();
    return file;
  }

 private:
  std::mutex mutex_;  // protects what follows
  std::deque<InodeId> waiting_;
  bool ended_ = false;
};

class PlanSource final : public hydrate::HydrationSource {
 public:
  PlanSource(FileSystemImplementation& self, std::shared_ptr<PlannedFiles> files)
      : gate_(self.gate()), self_(self), dataset_(self.options().dataset), files_(std::move(files)) {}

  std::optional<DatasetId> Dataset() override { return dataset_; }
  bool MoreToCome() override { return GateScope(gate_) && !files_->ended(); }

  std::vector<cache::ObjectRef> Next(size_t count) override {
    std::vector<cache::ObjectRef> objects;
    GateScope scope(gate_);
    if (!scope) return objects;
    while (objects.size() < count) {
      const std::optional<InodeId> file = files_->Take();
      if (!file) break;
      const Result<catalog::Inode> inode = self_.catalog().Get(*file);
      if (!inode || inode->removed) continue;  // replaced since: whoever reads the new version fetches it
      self_.metadata().Expect(*inode);
      objects.push_back(self_.ObjectOf(*inode));
    }
    return objects;
  }

 private:
  const std::shared_ptr<Gate> gate_;
  FileSystemImplementation& self_;  // behind the gate
  const DatasetId dataset_;
  const std::shared_ptr<PlannedFiles> files_;
};

class RunningPlan final : public RestorePlan, public std::enable_shared_from_this<RunningPlan> {
 public:
  RunningPlan(FileSystemImplementation& self, std::shared_ptr<hydrate::HydrationProgress> progress,
              std::function<void(Status)> done)
      : self_(self), gate_(self.gate()), progress_(std::move(progress)), done_(std::move(done)) {}

  void Add(std::vector<std::string> paths, bool more, std::function<void(Result<PlanAnswer>)> told) override {
    GateScope scope(gate_);
    if (!scope) return told(Closed());
    auto part = std::make_shared<Part>();
    part->paths = std::move(paths);
    part->more = more;
    part->told = std::move(told);
    if (self_.catalog().Totals().complete) return FindInCatalog(part);
    if (import_failed_ || (!more && part->paths.size() <= kLookUpsMax)) return LookUp(part);
    self_.importer().WaitForImport([me = shared_from_this(), part](Status status) {
      GateScope still(me->gate_);
      if (!still) return part->told(me->Closed());
      if (status) return me->FindInCatalog(part);
      me->import_failed_ = true;
      me->LookUp(part);  // what may be listed of it
    });
  }

  size_t FilesWaiting() const override { return files_->size(); }

  void Cancel() override {
    progress_->cancelled = true;
    files_->End();
  }

 private:
  struct Part {
    std::vector<std::string> paths;
    bool more = false;
    std::function<void(Result<PlanAnswer>)> told;
    std::vector<InodeId> files;
    PlanAnswer answer;
    std::optional<Error> error;
  };
  using PartPointer = std::shared_ptr<Part>;

  static tl::unexpected<Error> Closed() { return Fail(ErrorCode::kCancelled, "the file system is being closed"); }

  void FindInCatalog(const PartPointer& part) {
    for (size_t i = 0; i < part->paths.size() && !part->error; ++i) {
      const Result<InodeId> id = self_.catalog().ResolvePath(part->paths[i]);
      Take(*part, i, id ? self_.catalog().Get(*id) : Fail(id.error()));
    }
    Finish(part);
  }

  void LookUp(const PartPointer& part) {
    ForEachInTurn(
        part->paths.size(),
        [me = shared_from_this(), part](size_t index, std::function<void()> next) {
          GateScope scope(me->gate_);  // while it is open the importer is there
          if (!scope) part->error = Closed().value();
          if (part->error) return next();
          ResolvePath(me->self_, part->paths[index], [me, part, index, next](Result<catalog::Inode> inode) {
            me->Take(*part, index, std::move(inode));
            next();
          });
        },
        [me = shared_from_this(), part] { me->Finish(part); });
  }

  void Take(Part& part, size_t index, Result<catalog::Inode> inode) {
    std::string mistake;
    if (!inode) {
      const ErrorCode code = inode.error().code;
      if (code == ErrorCode::kNotFound || code == ErrorCode::kNotADirectory || code == ErrorCode::kInvalidArgument) {
        mistake = "no such file: " + part.paths[index];
      } else {
        part.error = inode.error();
        return;
      }
    } else if (inode->type == catalog::FileType::kDirectory) {
      mistake = "a directory: " + part.paths[index] + "; a plan names files";
    }
    if (!mistake.empty()) {
      ++part.answer.mistaken;
      if (part.answer.mistakes.size() < kMistakesToldMax) part.answer.mistakes.push_back({index, std::move(mistake)});
      return;
    }
    ++part.answer.files;
    if (inode->type != catalog::FileType::kFile || inode->size_bytes == 0) return;  // nothing to fetch
    part.answer.bytes += inode->size_bytes;
    part.files.push_back(inode->id);
  }

  void Finish(const PartPointer& part) {
    if (part->error) return part->told(Fail(*part->error));
    files_->Add(part->files, part->more);
    {
      GateScope scope(gate_);
      if (!scope) return part->told(Closed());
      // Not before there is something to fetch: the hydrator must know whose restore it is.
      if (!started_ && !part->files.empty()) Fetch();
    }
    const bool all_done = !started_ && !part->more;
    part->told(std::move(part->answer));  // the next part may come from here on
    if (!all_done) return;
    progress_->finished = true;
    done_({});
  }

  void Fetch() {
    started_ = true;
    self_.hydration_ahead().Hold();
    self_.hydrator().Restore(self_.repository(), std::make_unique<PlanSource>(self_, files_),
                             hydrate::BackgroundPriority::kRestore, progress_,
                             [me = shared_from_this()](Status status) {
                               {
                                 GateScope scope(me->gate_);
                                 if (scope) me->self_.hydration_ahead().LetGo();
                               }
                               me->done_(std::move(status));
                             });
  }

  FileSystemImplementation& self_;  // behind the gate
  const std::shared_ptr<Gate> gate_;
  const std::shared_ptr<hydrate::HydrationProgress> progress_;
  const std::function<void(Status)> done_;
  const std::shared_ptr<PlannedFiles> files_ = std::make_shared<PlannedFiles>();
  bool started_ = false;                    // in Add alone
  std::atomic<bool> import_failed_{false};  // it is not tried again for each part
};

}  // namespace

std::shared_ptr<RestorePlan> RestorePlan::Start(FileSystem& file_system,
                                                std::shared_ptr<hydrate::HydrationProgress> progress,
                                                std::function<void(Status)> done) {
  return std::make_shared<RunningPlan>(Implementation(file_system), std::move(progress), std::move(done));
}

}  // namespace leat::fs
