// SPDX-License-Identifier: Apache-2.0
// What a job needs of the world beyond it, as interfaces: file systems by id, repositories by URL, and somebody to
// tell. The command line implements them; jobs/ knows neither mounts nor the daemon.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "env/object_store.h"
#include "env/request_counters.h"

namespace leat::jobs {

struct FileSystemCounters {
  std::array<uint64_t, env::kRequestKindNames.size()> requests{};  // S3 requests by kind
  uint64_t bytes_received = 0;
};

// Calls may block for long (a mount) and come from any thread.
class FileSystemResolver {
 public:
  virtual ~FileSystemResolver() = default;
  // The directory of this machine that `directory_path` of a file system is. `file_system_id`: fs-..., a name, or a
  // repository, which is mounted now if it is not yet. It stays mounted at least for as long as the resolver lives.
  virtual Result<std::string> DirectoryOf(const std::string& file_system_id, const std::string& directory_path) = 0;
  // What the file system has asked of its repository since it was mounted.
  virtual Result<FileSystemCounters> Counters(const std::string& file_system_id) = 0;
};

struct Repository {
  std::shared_ptr<env::ObjectStore> store;
  const env::RequestCounters* counters = nullptr;  // lives as long as the store; may be null
};

class RepositoryFactory {
 public:
  virtual ~RepositoryFactory() = default;
  // "s3://bucket" or "file:///directory". `connections`: how many requests will be in flight. A store of its own each
  // time.
  virtual Result<Repository> Open(const std::string& url, unsigned connections) = 0;
};

// Told what happens, on the job's own thread; must return soon.
class RunObserver {
 public:
  virtual ~RunObserver() = default;
  virtual void OnStatus(const std::string& job, const std::string& secondary, const std::string& message) = 0;
  virtual void OnLogLine(const std::string& job, std::string_view line) = 0;
  virtual void OnMetric(const std::string& job, const std::string& name, double value) = 0;
  virtual void OnWarning(const std::string& job, const std::string& text) = 0;
};

// How urgently a job shall stop: 0 not at all, 1 in good order (SIGTERM and its grace), 2 at once: SIGKILL, and nothing
// is uploaded any more; what the script left is kept in the job's directory.
using StopLevel = std::atomic<int>;
// Whether what is being done shall end early; asked several times a second by what blocks, on the job's own thread.
// Empty: never.
using StopCheck = std::function<bool()>;

}  // namespace leat::jobs
