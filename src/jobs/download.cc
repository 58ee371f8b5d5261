// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <set>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "env/blocking.h"
#include "jobs/transfer.h"

namespace leat::jobs {
namespace {

// The requests in flight of one download, and its first failure. One mutex.
class Flight {
 public:
  explicit Flight(unsigned places) : places_(places) {}
  // Waits for a place; false when the download has failed.
  bool Enter() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return in_flight_ < places_; });
    if (!status_) return false;
    ++in_flight_;
    return true;
  }
  void Leave(Status status) {
    std::lock_guard lock(mutex_);
    --in_flight_;
    if (!status && status_) status_ = std::move(status);
    changed_.notify_all();
  }
  Status WaitForAll() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return in_flight_ == 0; });
    return status_;
  }

 private:
  const unsigned places_;
  std::mutex mutex_;
  std::condition_variable changed_;
  unsigned in_flight_ = 0;
  Status status_;
};

class FileReceiver final : public env::GetReceiver {
 public:
  FileReceiver(std::string path, std::function<void(Status)> done) : path_(std::move(path)), done_(std::move(done)) {}
  void OnStart(const ObjectInfo&) override {
    file_ = FileDescriptor(open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!file_.valid()) status_ = FailErrno(errno, path_);
  }
  void OnData(std::span<const std::byte> bytes) override {
    if (!status_) return;
    status_ = WriteAll(file_.get(), bytes, offset_);
    offset_ += bytes.size();
  }
  void OnDone(Status status) override {
    file_.Reset();
    done_(status ? std::move(status_) : std::move(status));
  }

 private:
  const std::string path_;
  std::function<void(Status)> done_;
  FileDescriptor file_;
  uint64_t offset_ = 0;
  Status status_;
};

bool IsSafePath(const std::string& path) {
  if (path.find('\0') != std::string::npos) return false;
  for (const auto& component : Split(path, '/')) {
    if (component.empty() || component == "." || component == ".." || component.size() > 255) return false;
  }
  return true;
}

}  // namespace

RepositoryLocation LocationOf(const std::string& uri) {
  if (uri.rfind("s3://", 0) != 0) return {uri, ""};
  const size_t slash = uri.find('/', 5);
  if (slash == std::string::npos) return {uri, ""};
  return {uri.substr(0, slash), uri.substr(slash + 1)};
}

std::string PathOfKey(const std::string& uri_key, const std::string& key) {
  if (uri_key.empty() || uri_key.back() == '/') return key.substr(uri_key.size());
  if (key.compare(0, uri_key.size() + 1, uri_key + "/") == 0) return key.substr(uri_key.size() + 1);
  const size_t slash = uri_key.rfind('/');
  return slash == std::string::npos ? key : key.substr(slash + 1);
}

Result<DownloadResult> DownloadPrefix(env::ObjectStore& store, const std::string& uri, const std::string& directory,
                                      unsigned connections, const StopLevel& stop) {
  const RepositoryLocation location = LocationOf(uri);
  DownloadResult result;
  std::set<std::string> made;
  auto flight = std::make_shared<Flight>(connections);
  env::ListRequest request;
  request.prefix = location.key;
  Status status;
  for (bool more = true; more && status;) {
    auto page = env::Await<env::ListPage>([&](auto done) { store.List(request, std::move(done)); });
    if (!page) {
      status = Fail(page.error());
      break;
    }
    for (const auto& object : page->objects) {
      const std::string relative = PathOfKey(location.key, object.key);
      if (relative.empty() || (relative.back() == '/' && object.size_bytes == 0)) continue;
      if (!IsSafePath(relative)) {
        status = Fail(ErrorCode::kInvalidArgument, "the key '" + EscapeForDisplay(object.key) + "' below " + uri +
                                                       " is no file name; rename it, or read the bucket through a "
                                                       "FileSystemDataSource, which can show it");
        break;
      }
      if (stop.load() > 0) status = Fail(ErrorCode::kCancelled, "the download of " + uri + " was stopped");
      const size_t slash = relative.rfind('/');
      if (status && slash != std::string::npos && made.insert(relative.substr(0, slash)).second) {
        status = CreateDirectories(directory + "/" + relative.substr(0, slash));
      }
      if (!status || !flight->Enter()) break;
      ++result.objects;
      result.bytes += object.size_bytes;
      env::GetRequest get;
      get.key = object.key;
      get.if_match = object.etag;
      store.Get(std::move(get), std::make_shared<FileReceiver>(directory + "/" + relative, [flight](Status ended) {
                  flight->Leave(std::move(ended));
                }));
    }
    more = !page->next_token.empty();
    request.continuation_token = page->next_token;
  }
  const Status fetched = flight->WaitForAll();
  if (!status) return Fail(status.error());
  if (!fetched) return Fail(fetched.error());
  if (result.objects == 0) {
    return Fail(ErrorCode::kNotFound,
                "No S3 objects found under S3 URL \"" + uri +
                    "\" given in input data source. Please ensure that the bucket exists, that objects "
                    "exist under that S3 prefix, and that you may list them");
  }
  return result;
}

Status DownloadObject(env::ObjectStore& store, const std::string& key, const std::string& path) {
  std::promise<Status> promise;
  auto future = promise.get_future();
  env::GetRequest get;
  get.key = key;
  store.Get(std::move(get),
            std::make_shared<FileReceiver>(path, [&promise](Status status) { promise.set_value(std::move(status)); }));
  return future.get();
}

}  // namespace leat::jobs
