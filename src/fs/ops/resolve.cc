// SPDX-License-Identifier: Apache-2.0
#include "fs/ops/resolve.h"

#include <atomic>
#include <memory>

#include "base/text.h"
#include "fs/file_system_implementation.h"
#include "fs/ops/lookup.h"

namespace leat::fs {
namespace {

class Resolution : public std::enable_shared_from_this<Resolution> {
 public:
  Resolution(FileSystemImplementation& file_system, const std::string& path,
             std::function<void(Result<catalog::Inode>)> done)
      : file_system_(file_system), path_(path), done_(std::move(done)) {
    for (std::string& name : Split(path, '/')) {
      if (!name.empty() && name != ".") names_.push_back(std::move(name));
    }
  }

  void Run() {
    for (; next_ < names_.size(); ++next_) {
      std::optional<Result<LookUpAnswer>> answer = LookUpNow(file_system_, at_, names_[next_]);
      if (!answer) {
        return LookUp(file_system_, at_, names_[next_], [self = shared_from_this()](Result<LookUpAnswer> later) {
          if (!self->Take(later)) return;
          ++self->next_;
          self->Run();
        });
      }
      if (!Take(*answer)) return;
    }
    done_(file_system_.catalog().Get(at_));
  }

 private:
  bool Take(const Result<LookUpAnswer>& answer) {
    if (answer && answer->attributes) {
      at_ = answer->attributes->id;
      return true;
    }
    if (!answer) {
      done_(Fail(answer.error()));
    } else {
      done_(Fail(ErrorCode::kNotFound, "no such file or directory in the file system: " + path_));
    }
    return false;
  }

  FileSystemImplementation& file_system_;
  const std::string path_;
  const std::function<void(Result<catalog::Inode>)> done_;
  std::vector<std::string> names_;
  size_t next_ = 0;
  InodeId at_ = kRootInode;
};

class Turns : public std::enable_shared_from_this<Turns> {
 public:
  Turns(size_t count, std::function<void(size_t, std::function<void()>)> step, std::function<void()> done)
      : count_(count), step_(std::move(step)), done_(std::move(done)) {}
  void Run() {
    while (index_ < count_) {
      auto met = std::make_shared<std::atomic<bool>>(false);
      step_(index_++, [self = shared_from_this(), met] {
        if (met->exchange(true)) self->Run();  // the loop has left: go on here
      });
      if (!met->exchange(true)) return;  // not answered yet
    }
    done_();
  }

 private:
  const size_t count_;
  const std::function<void(size_t, std::function<void()>)> step_;
  const std::function<void()> done_;
  size_t index_ = 0;
};

}  // namespace

void ResolvePath(FileSystem& file_system, const std::string& path, std::function<void(Result<catalog::Inode>)> done) {
  std::make_shared<Resolution>(Implementation(file_system), path, std::move(done))->Run();
}

void ForEachInTurn(size_t count, std::function<void(size_t index, std::function<void()> next)> step,
                   std::function<void()> done) {
  std::make_shared<Turns>(count, std::move(step), std::move(done))->Run();
}

}  // namespace leat::fs
