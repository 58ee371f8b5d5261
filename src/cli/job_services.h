// SPDX-License-Identifier: Apache-2.0
// What jobs/ and tuner/ need of the world, made from the daemon and the repositories' stores; and what the verbs train,
// tune and jobs share. DaemonFileSystems and JobRepositories: any thread.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

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
  // `environment`: RepositoryEnvironment of the one for whom repositories are mounted, asked each time. kNoCredentials:
  // it is not known; then of S3 only what is mounted already can be used.
  DaemonFileSystems(std::string state_directory, std::function<Result<nlohmann::json>()> environment)
      : state_directory_(std::move(state_directory)), environment_(std::move(environment)) {}
  Result<std::string> DirectoryOf(const std::string& file_system_id, const std::string& directory_path) override;
  Result<jobs::FileSystemCounters> Counters(const std::string& file_system_id) override;
  Status SetOwners(const std::vector<int>& pids) override;
  Result<jobs::ReadCounters> ReadsOf(const std::string& file_system_id) override;
  std::string LostFileSystem() override;

 private:
  struct Known {
    std::string id, name, mountpoint;
    std::shared_ptr<Lease> lease;
  };
  Result<Known> Use(const std::string& file_system_id);
  Result<Known> MountAndLease(const std::string& repository) const;

  Result<std::string> MountedAs(const std::string& repository) const;

  const std::string state_directory_;
  const std::function<Result<nlohmann::json>()> environment_;
  std::mutex mutex_;  // protects what follows; not held while the daemon is asked
  std::map<std::string, Known> known_;
  std::vector<int> owners_;  // in order; empty: this process
};

class JobRepositories final : public jobs::RepositoryFactory {
 public:
  // `environment`: asked each time that a repository is opened, for a later command may have brought credentials.
  // kNoCredentials: those are not known; then nothing in S3 is opened.
  explicit JobRepositories(std::function<Result<nlohmann::json>()> environment)
      : environment_(std::move(environment)) {}
  Result<jobs::Repository> Open(const std::string& url, unsigned connections) override;

 private:
  const std::function<Result<nlohmann::json>()> environment_;
  posix::SystemClock clock_;
};

// The options of train and tune.
struct JobArguments {
  std::string request_path, state_directory, python = "python3", requirements = "ignore";
  unsigned file_mode_connections = 64;
  bool json = false, no_sandbox = false, detach = false, pass_credentials = false, accelerate = false;
  jobs::RunOptions Options() const;
  std::string StateDirectory() const;
};
// All of them but the request's path and --json, whose help differs.
void AddJobOptions(CLI::App& verb, JobArguments& arguments);
// A request from a file of JSON. Large enough that what is too long in it is told by its name.
inline constexpr size_t kRequestBytesMax = 64u << 20;
Result<nlohmann::json> ReadRequest(const std::string& path);
// One problem a line on standard error, keys' control characters escaped.
void ShowProblems(const std::string& verb, const std::string& path, const std::vector<RequestProblem>& problems);

// `text` on standard error behind "leat VERB: ", control characters escaped; its line ends are kept, indented.
void ComplainLines(const std::string& verb, const std::string& text);
// How long the end of a job waits for a reader of its output that reads nothing.
inline constexpr std::chrono::milliseconds kReaderPatience{3000};
// For a display that stands in a write: ends the process without waiting for it, as an ordinary return would. Standard
// error is told when that is possible without waiting.
[[noreturn]] void LeaveUnread(const std::string& verb, const std::string& job, const std::string& status,
                              int exit_code);
// Runs a verb; an exception becomes a message and exit status 1.
int RunCaught(const std::string& verb, const std::function<int()>& run);

// SIGINT, SIGTERM and SIGHUP count up to 2 from here on: stop, stop at once.
const jobs::StopLevel& CatchStopSignals();

}  // namespace leat::cli
