// SPDX-License-Identifier: Apache-2.0
#include "posix/directory_object_store.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "posix/beneath.h"
#include "posix/directory_listing.h"

namespace leat::posix {
namespace {

using env::RequestKind;

constexpr size_t kThreads = 4;
constexpr size_t kReadBytes = 1 << 20;

tl::unexpected<Error> Closing() { return Fail(ErrorCode::kCancelled, "the store is closing"); }

class DirectoryObjectStore final : public env::ObjectStore {
 public:
  DirectoryObjectStore(FileDescriptor root, env::RequestCounters& counters)
      : root_(std::move(root)), counters_(counters) {}
  ~DirectoryObjectStore() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    condition_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  void Start() {
    for (size_t i = 0; i < kThreads; ++i) {
      threads_.emplace_back([this] {
        pthread_setname_np(pthread_self(), "leat-directory");
        Run();
      });
    }
  }

  env::RequestId Get(env::GetRequest request, std::shared_ptr<env::GetReceiver> receiver) override {
    const uint64_t id = next_id_.fetch_add(1);
    {
      const std::lock_guard lock(mutex_);
      reads_.insert(id);
    }
    const bool background = request.background;
    Submit(RequestKind::kGet, background,
           [this, id, request = std::move(request), receiver = std::move(receiver)](bool stopping) {
             Status status = stopping ? Status(Closing()) : Read(id, request, *receiver);
             {
               const std::lock_guard lock(mutex_);
               reads_.erase(id);
             }
             CountError(status);
             receiver->OnDone(std::move(status));
           });
    return env::RequestId(id);
  }
  void Head(std::string key, env::Callback<ObjectInfo> done) override {
    Do<ObjectInfo>(RequestKind::kHead, std::move(done), [this, key] { return HeadNow(key); });
  }
  void List(env::ListRequest request, env::Callback<env::ListPage> done) override {
    Do<env::ListPage>(RequestKind::kList, std::move(done),
                      [this, request] { return ListDirectory(root_.get(), request); });
  }
  void Put(env::PutRequest request, env::Callback<std::string> done) override {
    Do<std::string>(RequestKind::kPut, std::move(done), [this, request] {
      return Write(request, [&](int fd) {
        const std::string_view body = request.body == nullptr ? std::string_view() : *request.body;
        return WriteAll(fd, std::as_bytes(std::span(body.data(), body.size())), 0);
      });
    });
  }
  void Delete(std::string key, env::Callback<void> done) override {
    Do<void>(RequestKind::kDelete, std::move(done), [this, key]() -> Status {
      LEAT_RETURN_IF_ERROR(CheckKey(key));
      const bool is_directory = key.ends_with('/');
      const std::string path = is_directory ? key.substr(0, key.size() - 1) : key;
      const size_t slash = path.rfind('/');
      auto parent =
          OpenBeneath(root_.get(), slash == std::string::npos ? "" : path.substr(0, slash), O_RDONLY | O_DIRECTORY);
      if (!parent) return parent.error().code == ErrorCode::kNotFound ? Status() : Status(Fail(parent.error()));
      const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
      if (unlinkat(parent->get(), name.c_str(), is_directory ? AT_REMOVEDIR : 0) == 0 || errno == ENOENT) return {};
      if (is_directory && (errno == ENOTEMPTY || errno == EEXIST))
        return {};  // the marker goes, its keys stay, as in S3
      return FailErrno(errno, "cannot delete '" + EscapeForDisplay(key) + "'");
    });
  }

  void CreateMultipartUpload(env::PutRequest request, env::Callback<std::string> done) override {
    Do<std::string>(RequestKind::kMultipart, std::move(done), [this, request]() -> Result<std::string> {
      LEAT_RETURN_IF_ERROR(CheckKey(request.key));
      const std::string id = std::to_string(getpid()) + "-" + std::to_string(next_id_.fetch_add(1));
      const std::string directory = WorkName(id);
      if (mkdirat(root_.get(), directory.c_str(), 0700) != 0)
        return FailErrno(errno, "cannot begin the upload of '" + EscapeForDisplay(request.key) + "'");
      const std::lock_guard lock(mutex_);
      upload_metadata_[id] = request.user_metadata;
      return id;
    });
  }
  void UploadPart(std::string key, std::string upload_id, uint32_t number, std::shared_ptr<const std::string> body,
                  env::Callback<env::UploadedPart> done) override {
    Do<env::UploadedPart>(
        RequestKind::kMultipart, std::move(done), [this, key, upload_id, number, body]() -> Result<env::UploadedPart> {
          LEAT_ASSIGN_OR_RETURN(const FileDescriptor directory, OpenUpload(upload_id));
          const FileDescriptor file(openat(directory.get(), std::to_string(number).c_str(),
                                           O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
          if (!file.valid()) return FailErrno(errno, "cannot write a part of '" + EscapeForDisplay(key) + "'");
          LEAT_RETURN_IF_ERROR(WriteAll(file.get(), std::as_bytes(std::span(body->data(), body->size())), 0));
          counters_.bytes_sent.fetch_add(body->size());
          struct stat attributes;
          if (fstat(file.get(), &attributes) != 0) return FailErrno(errno, "cannot read a part back");
          return env::UploadedPart{number, EtagOf(attributes)};
        });
  }
  void CompleteMultipartUpload(std::string key, std::string upload_id, std::vector<env::UploadedPart> parts,
                               env::Callback<std::string> done) override {
    Do<std::string>(RequestKind::kMultipart, std::move(done), [this, key, upload_id, parts]() -> Result<std::string> {
      LEAT_ASSIGN_OR_RETURN(const FileDescriptor directory, OpenUpload(upload_id));
      std::vector<env::UploadedPart> ordered = parts;
      std::sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
      env::PutRequest request;
      request.key = key;
      {
        const std::lock_guard lock(mutex_);
        request.user_metadata = upload_metadata_[upload_id];
      }
      auto etag = Write(request, [&](int fd) { return JoinParts(directory.get(), ordered, fd); });
      if (etag) RemoveUpload(directory.get(), upload_id);
      return etag;
    });
  }
  void AbortMultipartUpload(std::string, std::string upload_id, env::Callback<void> done) override {
    Do<void>(RequestKind::kMultipart, std::move(done), [this, upload_id]() -> Status {
      const auto directory = OpenUpload(upload_id);
      if (directory) RemoveUpload(directory->get(), upload_id);
      return {};
    });
  }

  void Cancel(env::RequestId id) override {
    const std::lock_guard lock(mutex_);
    reads_.erase(static_cast<uint64_t>(id));  // Read() looks before each piece
  }

 private:
  using Task = std::function<void(bool stopping)>;

  void Submit(RequestKind kind, bool background, Task task) {
    counters_.Of(kind).fetch_add(1);
    counters_.in_flight.fetch_add(1);
    {
      const std::lock_guard lock(mutex_);
      (background ? background_ : demand_).push_back(std::move(task));
    }
    condition_.notify_one();
  }
  template <class T>
  void Do(RequestKind kind, env::Callback<T> done, std::function<Result<T>()> work) {
    Submit(kind, false, [this, done = std::move(done), work = std::move(work)](bool stopping) {
      Result<T> result = stopping ? Result<T>(Closing()) : work();
      if (!result) CountError(Status(Fail(result.error())));
      done(std::move(result));
    });
  }
  void CountError(const Status& status) {
    if (status) return;
    const ErrorCode code = status.error().code;
    if (code != ErrorCode::kNotFound && code != ErrorCode::kObjectChanged && code != ErrorCode::kCancelled)
      counters_.errors.fetch_add(1);
  }

  void Run() {
    while (true) {
      Task task;
      bool stopping = false;
      {
        std::unique_lock lock(mutex_);
        // One thread in four stays free for demand, so that background reads never hold all of them.
        const auto may_take_background = [&] {
          return !background_.empty() && (stop_ || background_running_ < kThreads - 1);
        };
        condition_.wait(lock, [&] { return stop_ || !demand_.empty() || may_take_background(); });
        stopping = stop_;
        if (!demand_.empty()) {
          task = std::move(demand_.front());
          demand_.pop_front();
          lock.unlock();
          task(stopping);
          counters_.in_flight.fetch_sub(1);
          continue;
        }
        if (background_.empty()) return;  // stopping, and nothing is left
        task = std::move(background_.front());
        background_.pop_front();
        ++background_running_;
      }
      task(stopping);
      counters_.in_flight.fetch_sub(1);
      {
        const std::lock_guard lock(mutex_);
        --background_running_;
      }
      condition_.notify_one();
    }
  }

  bool IsWanted(uint64_t id) {
    const std::lock_guard lock(mutex_);
    return !stop_ && reads_.contains(id);
  }

  Status Read(uint64_t id, const env::GetRequest& request, env::GetReceiver& receiver) {
    const auto changed = [&] {
      return Fail(ErrorCode::kObjectChanged,
                  "'" + EscapeForDisplay(request.key) + "' was replaced while being read; open it again");
    };
    LEAT_RETURN_IF_ERROR(CheckKey(request.key));
    LEAT_ASSIGN_OR_RETURN(const FileDescriptor file, OpenBeneath(root_.get(), request.key, O_RDONLY | O_NONBLOCK));
    struct stat attributes;
    if (fstat(file.get(), &attributes) != 0)
      return FailErrno(errno, "cannot read '" + EscapeForDisplay(request.key) + "'");
    const bool is_marker = S_ISDIR(attributes.st_mode) && request.key.ends_with('/');
    if (!S_ISREG(attributes.st_mode) && !is_marker)
      return Fail(ErrorCode::kNotFound, "'" + EscapeForDisplay(request.key) + "' is not a regular file");
    ObjectInfo info = InfoOf(request.key, attributes);
    info.has_user_metadata = true;
    info.user_metadata = ReadMetadata(file.get());
    if (!request.if_match.empty() && info.etag != request.if_match) return changed();
    const uint64_t size = info.size_bytes;
    if (request.offset > 0 && request.offset >= size)
      return Fail(ErrorCode::kInvalidArgument,
                  "the range begins behind the end of '" + EscapeForDisplay(request.key) + "'");
    const uint64_t end = request.length ? std::min(size, request.offset + std::min(*request.length, size)) : size;
    receiver.OnStart(info);
    std::vector<std::byte> buffer(std::min<uint64_t>(kReadBytes, end - request.offset));
    for (uint64_t at = request.offset; at < end;) {
      if (!IsWanted(id)) return Fail(ErrorCode::kCancelled, "the read was cancelled");
      const ssize_t got =
          pread(file.get(), buffer.data(), std::min<uint64_t>(buffer.size(), end - at), static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return FailErrno(errno, "cannot read '" + EscapeForDisplay(request.key) + "'");
      if (got == 0) return changed();
      counters_.bytes_received.fetch_add(static_cast<uint64_t>(got));
      receiver.OnData(std::span(buffer.data(), static_cast<size_t>(got)));
      at += static_cast<uint64_t>(got);
    }
    // Written in place meanwhile: the bytes may be of both versions.
    if (fstat(file.get(), &attributes) != 0 || EtagOf(attributes) != info.etag) return changed();
    return {};
  }

  Result<ObjectInfo> HeadNow(const std::string& key) {
    LEAT_RETURN_IF_ERROR(CheckKey(key));
    LEAT_ASSIGN_OR_RETURN(const FileDescriptor file, OpenBeneath(root_.get(), key, O_RDONLY | O_NONBLOCK));
    struct stat attributes;
    if (fstat(file.get(), &attributes) != 0) return FailErrno(errno, "cannot read '" + EscapeForDisplay(key) + "'");
    if (!S_ISREG(attributes.st_mode) && !(S_ISDIR(attributes.st_mode) && key.ends_with('/')))
      return Fail(ErrorCode::kNotFound, "'" + EscapeForDisplay(key) + "' is not a regular file");
    ObjectInfo info = InfoOf(key, attributes);
    info.has_user_metadata = true;
    info.user_metadata = ReadMetadata(file.get());
    return info;
  }

  // Writes beside and renames over, so that a reader sees the old or the new whole file.
  Result<std::string> Write(const env::PutRequest& request, const std::function<Status(int fd)>& fill) {
    LEAT_RETURN_IF_ERROR(CheckKey(request.key));
    const std::string shown = "'" + EscapeForDisplay(request.key) + "'";
    LEAT_ASSIGN_OR_RETURN(const FileDescriptor parent, MakeParent(root_.get(), request.key));
    struct stat attributes;
    if (request.key.ends_with('/')) {
      if (fstat(parent.get(), &attributes) != 0) return FailErrno(errno, "cannot make " + shown);
      return EtagOf(attributes);
    }
    const std::string name = request.key.substr(request.key.rfind('/') + 1);
    const std::string work = WorkName(std::to_string(getpid()) + "-" + std::to_string(next_id_.fetch_add(1)));
    const FileDescriptor file(openat(parent.get(), work.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (!file.valid()) return FailErrno(errno, "cannot write " + shown);
    Status status = fill(file.get());
    if (status) status = WriteMetadata(file.get(), request.user_metadata);
    if (status && fsync(file.get()) != 0) status = FailErrno(errno, "cannot write " + shown);
    if (status && !request.if_match.empty()) {
      const auto held = HeadNow(request.key);
      if (!held)
        status = Fail(held.error());
      else if (held->etag != request.if_match)
        status = Fail(ErrorCode::kObjectChanged, shown + " is no longer the version to replace");
    }
    if (status) {
      const int renamed = request.if_none_match ? linkat(parent.get(), work.c_str(), parent.get(), name.c_str(), 0)
                                                : renameat(parent.get(), work.c_str(), parent.get(), name.c_str());
      if (renamed != 0) status = FailErrno(errno, "cannot write " + shown);
    }
    if (status && fstat(file.get(), &attributes) != 0) status = FailErrno(errno, "cannot read back " + shown);
    unlinkat(parent.get(), work.c_str(), 0);  // gone already after a rename
    if (!status) return Fail(status.error());
    if (fsync(parent.get()) != 0) return FailErrno(errno, "cannot write the directory of " + shown);
    counters_.bytes_sent.fetch_add(static_cast<uint64_t>(attributes.st_size));
    return EtagOf(attributes);
  }

  static std::string WorkName(const std::string& id) { return std::string(kWorkPrefix) + id; }
  Result<FileDescriptor> OpenUpload(const std::string& id) {
    if (id.empty() || id.find('/') != std::string::npos)
      return Fail(ErrorCode::kInvalidArgument, "'" + EscapeForDisplay(id) + "' is no upload id");
    return OpenBeneath(root_.get(), WorkName(id), O_RDONLY | O_DIRECTORY);
  }
  static Status JoinParts(int directory_fd, const std::vector<env::UploadedPart>& parts, int out) {
    std::vector<std::byte> buffer(kReadBytes);
    uint64_t offset = 0;
    for (const env::UploadedPart& part : parts) {
      LEAT_ASSIGN_OR_RETURN(const FileDescriptor file,
                            OpenBeneath(directory_fd, std::to_string(part.number), O_RDONLY));
      struct stat attributes;
      if (fstat(file.get(), &attributes) != 0) return FailErrno(errno, "cannot read a part");
      if (EtagOf(attributes) != part.etag)
        return Fail(ErrorCode::kInvalidArgument,
                    "part " + std::to_string(part.number) + " is not the one that was uploaded");
      while (true) {
        const ssize_t got = read(file.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return FailErrno(errno, "cannot read a part");
        if (got == 0) break;
        LEAT_RETURN_IF_ERROR(WriteAll(out, std::span(buffer.data(), static_cast<size_t>(got)), offset));
        offset += static_cast<uint64_t>(got);
      }
    }
    return {};
  }
  void RemoveUpload(int directory_fd, const std::string& id) {
    for (uint32_t number = 1; number <= 10'000; ++number) unlinkat(directory_fd, std::to_string(number).c_str(), 0);
    unlinkat(root_.get(), WorkName(id).c_str(), AT_REMOVEDIR);
    const std::lock_guard lock(mutex_);
    upload_metadata_.erase(id);
  }

  const FileDescriptor root_;
  env::RequestCounters& counters_;
  std::atomic<uint64_t> next_id_{1};
  std::vector<std::thread> threads_;

  std::mutex mutex_;  // protects what follows
  std::condition_variable condition_;
  std::deque<Task> demand_, background_;
  size_t background_running_ = 0;
  std::set<uint64_t> reads_;  // not cancelled
  std::map<std::string, UserMetadata> upload_metadata_;
  bool stop_ = false;
};

}  // namespace

Result<std::unique_ptr<env::ObjectStore>> OpenDirectoryObjectStore(const std::string& path,
                                                                   env::RequestCounters& counters) {
  FileDescriptor root(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) {
    const std::string shown = "the repository directory '" + EscapeForDisplay(path) + "'";
    if (errno == ENOENT) return Fail(ErrorCode::kNoSuchBucket, shown + " does not exist; check the path");
    if (errno == ENOTDIR) return Fail(ErrorCode::kNotADirectory, shown + " is not a directory");
    return FailErrno(errno, "cannot open " + shown);
  }
  auto store = std::make_unique<DirectoryObjectStore>(std::move(root), counters);
  store->Start();
  return std::unique_ptr<env::ObjectStore>(std::move(store));
}

}  // namespace leat::posix
