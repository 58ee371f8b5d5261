// SPDX-License-Identifier: Apache-2.0
// What a job needs of the world beyond it, as interfaces: file systems by id, repositories by URL, and somebody to
// tell. The command line implements them; jobs/ knows neither mounts nor the daemon.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "env/object_store.h"
#include "env/request_counters.h"
#include "model/training_job.h"

namespace leat::jobs {

struct FileSystemCounters {
  std::array<uint64_t, env::kRequestKindNames.size()> requests{};  // S3 requests by kind
  uint64_t bytes_received = 0;
};

// What a job's processes asked of a file system's daemon. What the page cache answers never reaches it.
struct ReadCounters {
  uint64_t reads = 0;
  uint64_t bytes = 0;          // bytes_cached + bytes_cold
  uint64_t bytes_cached = 0;   // were in the cache, on disk or in memory, when they were asked for
  uint64_t bytes_cold = 0;     // were waited for from S3
  double wait_seconds = 0;     // of all READs that waited for S3, together
  double stalled_seconds = 0;  // during which at least one of them waited
  int64_t first_read_ns = 0;   // since the epoch; 0: none yet
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
  // Whose reads ReadsOf tells, of all file systems that this resolver has resolved or will: those of the processes
  // `pids` (a shim on each host) and of all that descend from them. Until it is called, of this process. Owners that
  // were set before, by a resolver that has gone too, are counted on from where they were.
  virtual Status SetOwners(const std::vector<int>&) { return {}; }
  Status SetOwner(int pid) { return SetOwners({pid}); }
  // kNotFound: the file system is not in use by this resolver. kNotSupported: nothing is counted.
  virtual Result<ReadCounters> ReadsOf(const std::string& file_system_id) {
    return Fail(ErrorCode::kNotSupported, "reads of " + file_system_id + " are not counted");
  }
  // One that was resolved and can be read no more, because whoever serves it has ended; resolved again, it is mounted
  // again. Empty: there is none.
  virtual std::string LostFileSystem() { return ""; }
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

// What a job's script is given beside the contract, by whoever runs the job. There while the job is run.
class ScriptService {
 public:
  virtual ~ScriptService() = default;
  struct Given {
    std::map<std::string, std::string> variables;  // the job's own Environment has the last word
    std::vector<std::string> warnings;             // told once
  };
  // Before the script starts or is taken up; on the job's thread, may block for seconds.
  virtual Result<Given> Begin() = 0;
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

// Takes training jobs for whoever runs them; any thread, may block for seconds.
struct RunOptions;
class JobSubmitter {
 public:
  virtual ~JobSubmitter() = default;
  // kExists: the name is taken. kInvalidArgument: its metrics do not compile.
  virtual Status Submit(const TrainingJob& job, const RunOptions& options) = 0;
  // A job was asked to stop, or whoever runs the jobs may have died: sees to it that they are looked at.
  virtual Status Wake() = 0;
};

// How urgently a job shall stop: 0 not at all, 1 in good order (SIGTERM and its grace), 2 at once: SIGKILL, and nothing
// is uploaded any more; what the script left is kept in the job's directory.
using StopLevel = std::atomic<int>;
// Whether what is being done shall end early; asked several times a second by what blocks, on the job's own thread.
// Empty: never.
using StopCheck = std::function<bool()>;

}  // namespace leat::jobs
