// SPDX-License-Identifier: Apache-2.0
// What jobs/ and tuner/ need of the world, made from the daemon and the repositories' stores; and what the verbs train,
// tune and jobs share. DaemonFileSystems and JobRepositories: any thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"
#include "cli/daemon_client.h"
#include "jobs/services.h"
#include "jobs/training_run.h"
#include "model/training_job.h"
#include "posix/system_clock.h"

namespace leat::cli {

// Mounts repositories through the daemon of a state directory, and holds a lease on every file system that was asked
// for.
class DaemonFileSystems final : public jobs::FileSystemResolver {
 public:
  explicit DaemonFileSystems(std::string state_directory) : state_directory_(std::move(state_directory)) {}
  Result<std::string> DirectoryOf(const std::string& file_system_id, const std::string& directory_path) override;
  Result<jobs::FileSystemCounters> Counters(const std::string& file_system_id) override;

 private:
  struct Known {
    std::string id, name, mountpoint;
    std::shared_ptr<Lease> lease;
  };
  Result<Known> Use(const std::string& file_system_id);

  const std::string state_directory_;
  std::mutex mutex_;  // protects known_; not held while the daemon is asked
  std::map<std::string, Known> known_;
};

class JobRepositories final : public jobs::RepositoryFactory {
 public:
  Result<jobs::Repository> Open(const std::string& url, unsigned connections) override;

 private:
  posix::SystemClock clock_;
};

// The options of train and tune.
struct JobArguments {
  std::string request_path, state_directory, python = "python3";
  unsigned file_mode_connections = 64;
  bool json = false, no_sandbox = false;
  jobs::RunOptions Options() const;
};
// A request from a file of JSON.
Result<nlohmann::json> ReadRequest(const std::string& path);
// One problem a line on standard error, keys' control characters escaped.
void ShowProblems(const std::string& verb, const std::string& path, const std::vector<RequestProblem>& problems);

// SIGINT, SIGTERM and SIGHUP count up to 2 from here on: stop, stop at once.
const jobs::StopLevel& CatchStopSignals();

}  // namespace leat::cli
