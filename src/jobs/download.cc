// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
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
  void Leave(uint64_t place, Status status, uint64_t bytes) {
    std::lock_guard lock(mutex_);
    in_flight_.erase(place);
    bytes_ += bytes;
    if (!status && status_) status_ = std::move(status);
    changed_.notify_all();
  }
  // The bytes received.
  Result<uint64_t> WaitForAll() {
    while (!WaitUntil([&] { return in_flight_.empty(); })) Stopped();
    std::lock_guard lock(mutex_);
    if (!status_) return Fail(status_.error());
    return bytes_;
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
  uint64_t last_place_ = 0, bytes_ = 0;
  Status status_;
};

class FileReceiver final : public env::GetReceiver {
 public:
  // `done` gets how it ended, and the bytes received.
  FileReceiver(std::string path, std::function<void(Status, uint64_t)> done)
      : path_(std::move(path)), done_(std::move(done)) {}
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
    done_(status ? std::move(status_) : std::move(status), offset_);
  }

 private:
  const std::string path_;
  const std::function<void(Status, uint64_t)> done_;
  FileDescriptor file_;
  uint64_t offset_ = 0;
  Status status_;
};

namespace fs = std::filesystem;

tl::unexpected<Error> FileAndFolder(const std::string& key, const std::string& uri) {
  const std::string shown = EscapeForDisplay(key);
  return Fail(ErrorCode::kInvalidArgument, "the key '" + shown + "' of " + uri +
                                               " is an object, and others begin with '" + shown +
                                               "/': no directory can hold both; rename one of them, or read the "
                                               "channel through FastFile or a FileSystemDataSource, which show both");
}

bool IsSafePath(const std::string& path) {
  if (path.find('\0') != std::string::npos) return false;
  for (const auto& component : Split(path, '/')) {
    if (component.empty() || component == "." || component == ".." || component.size() > 255) return false;
  }
  return true;
}

// Objects of one store on their way into one directory. Confined to one thread.
class Download {
 public:
  Download(env::ObjectStore& store, std::string uri, std::string directory, unsigned connections,
           const StopCheck& stopped)
      : store_(store),
        uri_(std::move(uri)),
        directory_(std::move(directory)),
        stopped_(stopped),
        flight_(std::make_shared<Flight>(store, connections, stopped)) {}

  // Starts the download of one object to `relative`, once there is a place for it. A failure may be an earlier one's.
  Status Add(const std::string& key, const std::string& etag, const std::string& relative) {
    if (!IsSafePath(relative)) {
      return Fail(ErrorCode::kInvalidArgument, "the key '" + EscapeForDisplay(key) + "' of " + uri_ +
                                                   " is no file name; rename it, or read the bucket through a "
                                                   "FileSystemDataSource, which can show it");
    }
    if (stopped_ && stopped_()) return Fail(ErrorCode::kCancelled, "the download of " + uri_ + " was stopped");
    const size_t slash = relative.rfind('/');
    if (slash != std::string::npos && made_.insert(relative.substr(0, slash)).second) {
      LEAT_RETURN_IF_ERROR(MakeFolder(key, relative, slash));
    }
    const uint64_t place = flight_->Enter();
    if (place == 0) {
      has_ended_ = true;
      return Fail(ErrorCode::kCancelled, "the download of " + uri_ + " has ended");  // Finish tells why
    }
    ++objects_;
    env::GetRequest get;
    get.key = key;
    get.if_match = etag;
    const std::string path = directory_ + "/" + relative;
    const auto done = [flight = flight_, place, path, key, uri = uri_](Status got, uint64_t bytes) {
      std::error_code error;
      if (!got && fs::is_directory(path, error)) got = FileAndFolder(key, uri);
      flight->Leave(place, std::move(got), bytes);
    };
    flight_->Started(place, store_.Get(std::move(get), std::make_shared<FileReceiver>(path, done)));
    return {};
  }

  // Waits for what has been started. `status`: how far the adding got.
  Result<DownloadResult> Finish(Status status) {
    const auto bytes = flight_->WaitForAll();
    if (!status && !has_ended_) return Fail(status.error());
    if (!bytes) return Fail(bytes.error());
    return DownloadResult{objects_, *bytes};
  }

 private:
  // What is before `slash` of `relative`.
  Status MakeFolder(const std::string& key, const std::string& relative, size_t slash) {
    Status made = CreateDirectories(directory_ + "/" + relative.substr(0, slash));
    for (size_t end = relative.find('/'); !made && end <= slash; end = relative.find('/', end + 1)) {
      std::error_code error;
      if (!fs::is_regular_file(directory_ + "/" + relative.substr(0, end), error)) continue;
      return FileAndFolder(key.substr(0, key.size() - (relative.size() - end)), uri_);
    }
    return made;
  }

  env::ObjectStore& store_;
  const std::string uri_, directory_;
  const StopCheck& stopped_;
  const std::shared_ptr<Flight> flight_;
  std::set<std::string> made_;
  uint64_t objects_ = 0;
  bool has_ended_ = false;  // failed or stopped: what was in flight tells of it
};

Result<DownloadResult> DownloadShare(OpenRepositories& repositories, const Channel& channel, HostShare share,
                                     const std::string& directory, unsigned connections, const StopCheck& stopped) {
  const S3Source& source = *channel.s3;
  LEAT_ASSIGN_OR_RETURN(const ChannelListing listing, ListChannel(repositories, channel, stopped));
  const bool is_manifest = source.type == S3DataType::kManifest;
  const std::string uri_key = LocationOf(source.uri).key;
  Download download(*listing.store, source.uri, directory, connections, stopped);
  std::set<std::string> paths;  // of a manifest, which may name an object twice
  Status status;
  for (const uint32_t i : OrderOf(listing.objects.size(), channel, share, 0)) {
    const ChannelObject& object = listing.objects[i];
    const std::string path =
        is_manifest ? object.key.substr(listing.manifest_prefix_bytes) : PathOfKey(uri_key, object.key);
    if (path.empty() || (is_manifest && !paths.insert(path).second)) continue;
    status = download.Add(object.key, object.etag, path);
    if (!status) break;
  }
  return download.Finish(std::move(status));
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
  const std::string uri_key = LocationOf(uri).key;
  Download download(store, uri, directory, connections, stopped);
  Status status = ListPrefix(store, uri, stopped, [&](ObjectInfo& object) -> Status {
    const std::string relative = PathOfKey(uri_key, object.key);
    return relative.empty() ? Status() : download.Add(object.key, object.etag, relative);
  });
  auto result = download.Finish(std::move(status));
  if (result && result->objects == 0) return NoObjectsBelow(uri);
  return result;
}

Result<DownloadResult> DownloadChannel(RepositoryFactory& factory, const Channel& channel, HostShare share,
                                       const std::string& directory, unsigned connections, FileSystemCounters& counters,
                                       const StopCheck& stopped) {
  const S3Source& source = *channel.s3;
  OpenRepositories repositories(factory, connections);
  Result<DownloadResult> result;
  if (source.type == S3DataType::kPrefix && !source.is_sharded) {  // begins with the first page of the listing
    const auto store = repositories.Of(LocationOf(source.uri).repository);
    if (store) result = DownloadPrefix(**store, source.uri, directory, connections, stopped);
    if (!store) result = Fail(store.error());
  } else {
    result = DownloadShare(repositories, channel, share, directory, connections, stopped);
  }
  const FileSystemCounters asked = repositories.Counters();
  for (size_t i = 0; i < counters.requests.size(); ++i) counters.requests[i] += asked.requests[i];
  counters.bytes_received += asked.bytes_received;
  return result;
}

Status DownloadObject(env::ObjectStore& store, const std::string& key, const std::string& path,
                      const StopCheck& stopped) {
  std::promise<Status> promise;
  auto future = promise.get_future();
  env::GetRequest get;
  get.key = key;
  const auto id = store.Get(std::move(get), std::make_shared<FileReceiver>(path, [&promise](Status status, uint64_t) {
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
