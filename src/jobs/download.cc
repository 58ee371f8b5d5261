// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "jobs/stoppable.h"
#include "jobs/transfer.h"

namespace leat::jobs {
namespace {

// The requests in flight of one download, and its first failure. One mutex; Enter, Started and WaitForAll are the
// job's thread's.
class Flight {
 public:
  Flight(env::ObjectStore& store, unsigned places, const StopCheck& stopped)
      : store_(store), places_(places), stopped_(stopped) {}
  // Waits for a place, and gives its number; 0 when the download has failed or was stopped.
  uint64_t Enter() {
    while (!WaitUntil([&] { return in_flight_.size() < places_ || !status_; })) {
      if (Stopped()) return 0;
    }
    std::lock_guard lock(mutex_);
    if (!status_) return 0;
    in_flight_.emplace(++last_place_, std::nullopt);
    return last_place_;
  }
  // By what the request of a place can be cancelled.
  void Started(uint64_t place, env::RequestId id) {
    std::lock_guard lock(mutex_);
    if (const auto found = in_flight_.find(place); found != in_flight_.end()) found->second = id;
  }
  void Leave(uint64_t place, Status status) {
    std::lock_guard lock(mutex_);
    in_flight_.erase(place);
    if (!status && status_) status_ = std::move(status);
    changed_.notify_all();
  }
  Status WaitForAll() {
    while (!WaitUntil([&] { return in_flight_.empty(); })) Stopped();
    std::lock_guard lock(mutex_);
    return status_;
  }

 private:
  template <class Condition>
  bool WaitUntil(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kStopPoll, condition);
  }
  // Asks, without the lock, and cancels everything at the first yes.
  bool Stopped() {
    if (is_stopped_ || !stopped_ || !stopped_()) return is_stopped_;
    is_stopped_ = true;
    std::vector<env::RequestId> requests;
    {
      std::lock_guard lock(mutex_);
      if (status_) status_ = Fail(ErrorCode::kCancelled, "stopped");
      for (const auto& [place, id] : in_flight_) {
        if (id) requests.push_back(*id);
      }
    }
    for (const auto id : requests) store_.Cancel(id);
    return true;
  }

  env::ObjectStore& store_;
  const unsigned places_;
  const StopCheck stopped_;
  bool is_stopped_ = false;
  std::mutex mutex_;  // protects everything below
  std::condition_variable changed_;
  std::map<uint64_t, std::optional<env::RequestId>> in_flight_;
  uint64_t last_place_ = 0;
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

env::GetRequest WholeObject(const ObjectInfo& object) {
  env::GetRequest get;
  get.key = object.key;
  get.if_match = object.etag;
  return get;
}

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
                                      unsigned connections, const StopCheck& stopped) {
  const RepositoryLocation location = LocationOf(uri);
  DownloadResult result;
  std::set<std::string> made;
  auto flight = std::make_shared<Flight>(store, connections, stopped);
  env::ListRequest request;
  request.prefix = location.key;
  Status status;
  bool ended = false;  // failed or stopped: what is in flight tells of it
  for (bool more = true; more && status && !ended;) {
    auto page = AwaitUnlessStopped<env::ListPage>(stopped, [&](auto done) { store.List(request, std::move(done)); });
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
      if (stopped && stopped()) status = Fail(ErrorCode::kCancelled, "the download of " + uri + " was stopped");
      const size_t slash = relative.rfind('/');
      if (status && slash != std::string::npos && made.insert(relative.substr(0, slash)).second) {
        status = CreateDirectories(directory + "/" + relative.substr(0, slash));
      }
      const uint64_t place = status ? flight->Enter() : 0;
      if (place == 0) {
        ended = true;
        break;
      }
      ++result.objects;
      result.bytes += object.size_bytes;
      const auto id = store.Get(WholeObject(object),
                                std::make_shared<FileReceiver>(directory + "/" + relative, [flight, place](Status got) {
                                  flight->Leave(place, std::move(got));
                                }));
      flight->Started(place, id);
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

Status DownloadObject(env::ObjectStore& store, const std::string& key, const std::string& path,
                      const StopCheck& stopped) {
  std::promise<Status> promise;
  auto future = promise.get_future();
  env::GetRequest get;
  get.key = key;
  const auto id = store.Get(std::move(get), std::make_shared<FileReceiver>(path, [&promise](Status status) {
                              promise.set_value(std::move(status));
                            }));
  while (future.wait_for(kStopPoll) != std::future_status::ready) {
    if (!stopped || !stopped()) continue;
    store.Cancel(id);
    break;
  }
  return future.get();
}

}  // namespace leat::jobs
