// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <future>
#include <set>

#include "base/log.h"
#include "jobs/checkpoint_sync.h"
#include "jobs/stoppable.h"
#include "jobs/transfer.h"

namespace leat::jobs {
namespace {

constexpr unsigned kConnectionsMax = 64;
constexpr unsigned kTriesMax = 3;    // of one object that is replaced while it is read
constexpr size_t kWarningsMax = 10;  // then a count
constexpr unsigned kTemporariesMax = kConnectionsMax;

using Promise = std::shared_ptr<std::promise<Result<ObjectInfo>>>;

// One object into an open file. Its thread is the store's; the promise is kept once.
class FileReceiver final : public env::GetReceiver {
 public:
  FileReceiver(int fd, Promise promise) : fd_(fd), promise_(std::move(promise)) {}
  void OnStart(const ObjectInfo& info) override { info_ = info; }
  void OnData(std::span<const std::byte> bytes) override {
    if (!status_) return;
    status_ = WriteAll(fd_, bytes, offset_);
    offset_ += bytes.size();
  }
  void OnDone(Status status) override {
    if (status) status = std::move(status_);
    if (!status) return promise_->set_value(Fail(std::move(status).error()));
    promise_->set_value(std::move(info_));
  }

 private:
  const int fd_;
  const Promise promise_;
  ObjectInfo info_;
  uint64_t offset_ = 0;
  Status status_;
};

class Restoration {
 public:
  Restoration(const CheckpointPlace& place, const CheckpointTarget& target, env::ObjectStore& store, int directory_fd)
      : place_(place), prefix_(target.prefix), store_(store), directory_fd_(directory_fd) {
    record_.boot_id = ThisBootId();
    record_.uri = target.Uri();
  }

  Status List(const StopCheck& stopped) {
    env::ListRequest request;
    request.prefix = prefix_;
    do {
      LEAT_ASSIGN_OR_RETURN(env::ListPage page, AwaitUnlessStopped<env::ListPage>(stopped, [&](auto done) {
                              store_.List(request, std::move(done));
                            }));
      for (auto& object : page.objects) Take(std::move(object));
      request.continuation_token = std::move(page.next_token);
    } while (!request.continuation_token.empty());
    // S3 can have both "a" and "a/b", a directory cannot.
    std::set<std::string> directories;
    for (const auto& [path, object] : objects_) {
      for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
        directories.insert(path.substr(0, slash));
      }
    }
    for (const auto& directory : directories) {
      if (objects_.erase(directory) != 0) Skip(directory, "other objects need a directory of that name");
    }
    return {};
  }

  // Drops what need not be downloaded.
  void KeepWhatIsHere(const CheckpointRecord& before) {
    if (before.uri != record_.uri || before.boot_id != record_.boot_id || before.boot_id.empty()) return;
    for (const auto& [path, file] : before.files) {
      const auto object = objects_.find(path);
      if (object == objects_.end() || object->second.etag != file.etag || !VersionAt(directory_fd_, path)) continue;
      record_.files[path] = file;
      objects_.erase(object);
      ++result_.kept;
    }
  }

  Status Download(unsigned connections, const StopCheck& stopped) {
    for (auto& [path, object] : objects_) queue_.push_back(path);
    next_ = 0;
    std::vector<std::thread> threads;
    std::vector<std::future<void>> ends;
    const size_t count = std::min<size_t>({connections, kConnectionsMax, queue_.size()});
    for (size_t i = 0; i < count; ++i) {
      std::promise<void> end;
      ends.push_back(end.get_future());
      threads.emplace_back([this, i, end = std::move(end)]() mutable {
        Work(std::string(kRestorePrefix) + std::to_string(i));
        end.set_value();
      });
    }
    bool was_stopped = false;
    for (auto& end : ends) {
      while (end.wait_for(kStopPoll) != std::future_status::ready) {
        if (was_stopped || !stopped || !stopped()) continue;
        was_stopped = true;
        ended_ = true;
      }
    }
    for (auto& thread : threads) thread.join();
    // Also those that a restoration before left.
    for (unsigned i = 0; i < kTemporariesMax; ++i) {
      unlinkat(directory_fd_, (std::string(kRestorePrefix) + std::to_string(i)).c_str(), 0);
    }
    if (was_stopped) return Fail(ErrorCode::kCancelled, "stopped");
    return status_;
  }

  const CheckpointRecord& record() const { return record_; }
  RestoredCheckpoints Finish() {
    if (warnings_left_out_ > 0) {
      result_.warnings.push_back(std::to_string(warnings_left_out_) + " more objects below " + place_.uri +
                                 " were not restored");
    }
    return std::move(result_);
  }

 private:
  void Take(ObjectInfo object) {
    if (object.key.size() <= prefix_.size() || object.key.compare(0, prefix_.size(), prefix_) != 0) return;
    std::string path = object.key.substr(prefix_.size());
    if (path.back() == '/' && object.size_bytes == 0) return;  // a folder marker
    if (!IsSafeRelativePath(path) || path.starts_with(kRestorePrefix)) return Skip(path, "it can be no file's name");
    objects_[std::move(path)] = std::move(object);
  }
  // Only of the thread that downloads, or under the mutex.
  void Skip(const std::string& path, const std::string& why) {
    if (result_.warnings.size() >= kWarningsMax) {
      ++warnings_left_out_;
      return;
    }
    result_.warnings.push_back("the checkpoint '" + EscapeForDisplay(prefix_ + path) + "' of " + place_.uri +
                               " was not restored: " + why + "; rename the object if the script needs it");
  }

  void Work(const std::string& temporary) {
    for (;;) {
      std::string path;
      {
        std::lock_guard lock(mutex_);
        if (ended_ || next_ == queue_.size()) return;
        path = queue_[next_++];
      }
      auto file = RestoreOne(temporary, objects_.at(path), path);
      std::lock_guard lock(mutex_);
      if (file) {
        ++result_.objects;
        result_.bytes += file->size_bytes;
        record_.files[path] = std::move(*file);
        continue;
      }
      const ErrorCode code = file.error().code;
      if (code == ErrorCode::kNotADirectory || code == ErrorCode::kIsADirectory) {
        Skip(path, file.error().message);
      } else if (code != ErrorCode::kNotFound) {  // deleted since it was listed
        if (status_) {
          status_ = Fail(code, "the checkpoint '" + EscapeForDisplay(prefix_ + path) + "' of " + place_.uri +
                                   " could not be restored: " + file.error().message);
        }
        ended_ = true;
      }
    }
  }

  Result<RecordedFile> RestoreOne(const std::string& temporary, const ObjectInfo& object, const std::string& path) {
    const FileDescriptor file(
        openat(directory_fd_, temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
    // Whatever ENOENT would mean, the object is there.
    if (!file.valid())
      return Fail(ErrorCode::kIo, place_.directory + ": " + FailErrno(errno, temporary).value().message);
    auto got = Fetch(file.get(), object);
    for (unsigned tries = 1; !got && got.error().code == ErrorCode::kObjectChanged && tries < kTriesMax; ++tries) {
      if (ftruncate(file.get(), 0) != 0) return Fail(ErrorCode::kIo, FailErrno(errno, temporary).value().message);
      got = Fetch(file.get(), object);
    }
    if (!got) return Fail(got.error());
    // As `aws s3 sync` does: scripts look for the newest.
    const int64_t modified_ns = got->last_modified_ns != 0 ? got->last_modified_ns : object.last_modified_ns;
    timespec times[2] = {};
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_sec = modified_ns / 1'000'000'000;
    times[1].tv_nsec = modified_ns % 1'000'000'000;
    if (modified_ns > 0 && futimens(file.get(), times) != 0) {
      return Fail(ErrorCode::kIo, FailErrno(errno, "the time of a file could not be set").value().message);
    }
    LEAT_ASSIGN_OR_RETURN(const FileVersion version, VersionOf(file.get()));
    if (const Status placed = PlaceCheckpointFile(directory_fd_, temporary, path); !placed) {
      const bool is_gone = placed.error().code == ErrorCode::kNotFound;  // the directory, not the object
      return Fail(is_gone ? ErrorCode::kIo : placed.error().code, placed.error().message);
    }
    return RecordedFile{version.size_bytes, version.modified_ns, got->etag.empty() ? object.etag : got->etag};
  }

  Result<ObjectInfo> Fetch(int fd, const ObjectInfo& object) {
    const auto promise = std::make_shared<std::promise<Result<ObjectInfo>>>();
    auto future = promise->get_future();
    env::GetRequest get;
    get.key = object.key;
    const auto id = store_.Get(std::move(get), std::make_shared<FileReceiver>(fd, promise));
    bool cancelled = false;
    while (future.wait_for(kStopPoll) != std::future_status::ready) {
      if (cancelled || !ended_) continue;
      cancelled = true;
      store_.Cancel(id);
    }
    return future.get();
  }

  const CheckpointPlace& place_;
  const std::string prefix_;
  env::ObjectStore& store_;
  const int directory_fd_;
  std::map<std::string, ObjectInfo> objects_;  // by path; constant while it is downloaded
  std::vector<std::string> queue_;

  std::atomic<bool> ended_{false};
  std::mutex mutex_;  // protects what follows while it is downloaded
  size_t next_ = 0;
  CheckpointRecord record_;
  RestoredCheckpoints result_;
  uint64_t warnings_left_out_ = 0;
  Status status_;
};

}  // namespace

CheckpointTarget TargetOf(const std::string& uri) {
  std::string trimmed = uri;
  while (trimmed.size() > 8 && trimmed.back() == '/') trimmed.pop_back();
  const RepositoryLocation location = LocationOf(trimmed);
  return {location.repository, location.key.empty() ? "" : location.key + "/"};
}

Result<Repository> OpenCheckpointTarget(RepositoryFactory& repositories, const CheckpointTarget& target,
                                        unsigned connections) {
  if (target.repository.starts_with("file://")) LEAT_RETURN_IF_ERROR(CreateDirectories(target.repository.substr(7)));
  return repositories.Open(target.repository, connections);
}

Result<RestoredCheckpoints> CheckpointSync::Restore(RepositoryFactory& repositories, const CheckpointPlace& place,
                                                    unsigned connections, const StopCheck& stopped) {
  connections = std::clamp(connections, 1u, kConnectionsMax);
  const CheckpointTarget target = TargetOf(place.uri);
  LEAT_ASSIGN_OR_RETURN(const FileDescriptor directory, OpenCheckpointDirectory(place.directory));
  LEAT_ASSIGN_OR_RETURN(const Repository repository, OpenCheckpointTarget(repositories, target, connections));
  Restoration restoration(place, target, *repository.store, directory.get());
  if (const Status listed = restoration.List(stopped); !listed) {
    return Fail(listed.error().code,
                "the checkpoints of " + place.uri + " cannot be listed: " + listed.error().message);
  }
  if (!place.record_path.empty()) {
    if (const auto before = ReadCheckpointRecord(place.record_path)) restoration.KeepWhatIsHere(*before);
  }
  LEAT_RETURN_IF_ERROR(restoration.Download(connections, stopped));
  if (!place.record_path.empty()) {
    LEAT_RETURN_IF_ERROR(WriteCheckpointRecord(place.record_path, restoration.record()));
  }
  return restoration.Finish();
}

}  // namespace leat::jobs
