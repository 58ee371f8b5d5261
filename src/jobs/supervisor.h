// SPDX-License-Identifier: Apache-2.0
// Supervisor: runs the training jobs of a state directory, each on a thread of its own, in the order of submission, as
// they fit on the machine. Its memory is the job store: one that is started anew goes on where the last one was, and
// trainers have run on meanwhile.
//
// Threads: Wake from any; the rest from one. Exactly one supervisor may exist for a state directory, which its caller
// assures by a lock.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "jobs/job_store.h"
#include "jobs/resource_pool.h"
#include "jobs/retaining_store.h"
#include "jobs/services.h"

namespace leat::jobs {

// What one job is run with: in its submitter's name, and no other job's.
struct JobServices {
  std::unique_ptr<FileSystemResolver> file_systems;
  std::unique_ptr<RepositoryFactory> repositories;
  std::vector<std::string> environment;        // NAME=value
  std::shared_ptr<ScriptService> script = {};  // may be null
};
class JobServicesFactory {
 public:
  virtual ~JobServicesFactory() = default;
  virtual JobServices For(const std::string& job) = 0;  // the supervisor's thread
  virtual void OnEnded(const std::string& job) = 0;     // likewise
};

class Supervisor {
 public:
  static constexpr size_t kRunningMax = 64;
  static constexpr size_t kStoppingMax = 64;  // jobs beside those that end before they were started
  static constexpr std::chrono::milliseconds kAgainAfter{10'000};
  // `again_after`: when a job that cannot be run, or whose end cannot be stored, is looked at again.
  Supervisor(std::string state_directory, JobStore& store, JobServicesFactory& factory, Hardware hardware,
             std::chrono::milliseconds again_after = kAgainAfter);
  ~Supervisor();  // waits for the running jobs; a process that will not wait ends by _exit
  Supervisor(const Supervisor&) = delete;

  // Something has changed: a job was submitted, or asked to stop.
  void Wake();
  // Takes in what has ended and starts what fits; a job that has waited for longer than its MaxWaitTimeInSeconds ends.
  // False: no job is left.
  Result<bool> Turn();
  // Until Wake, the end of a job, or `longest`.
  void Wait(std::chrono::milliseconds longest);

 private:
  struct Running {
    Placement placement;
    JobServices services;
    RetainingStore* store = nullptr;  // its thread's, until that has ended
    std::thread thread;
    Status outcome;          // its thread's, until that has ended: why the job has not
    bool has_room = true;    // false: it stops, and was not placed
    bool is_over = true;     // likewise: nothing of the job runs
    bool has_ended = false;  // protected by mutex_
  };
  Status Start(const std::string& name, const JobState& state, const Placement& placement);
  void Launch(const std::string& name, const Placement& placement, JobServices services, std::vector<Machine> machines);
  // instance-types.json; where that cannot be read, what the job has been given already.
  Json TableFor(const std::string& name, const JobState& state, const TrainingJob& job, const Placement& placement);
  void RunJob(const std::string& name, Running& running, std::vector<Machine> machines);
  Result<std::map<std::string, std::string>> BeginScriptService(const std::string& name, ScriptService& service);
  // Absent: it does not fit now. An error: instance-types.json cannot be read.
  Result<std::optional<Placement>> Place(const JobState& state, const std::string& name);
  size_t CountWorking() const;  // running jobs that have room on the machine
  void TellItWaits(const std::string& name, const std::string& reason);
  // What the job has had so far, which it keeps while it is to be looked at again.
  Placement TakeBack(const std::string& name, const JobState& state);
  void LookAgain(const std::string& name);
  void ReapEnded();
  // Of the jobs that have not begun, ends those whose MaxWaitTimeInSeconds is over.
  void EndOverdue(const std::vector<std::string>& unfinished, const std::vector<std::string>& to_stop);
  // When that is, in wall time. Absent: it cannot be read now.
  std::optional<int64_t> WaitsUntil(const std::string& name);
  // Ends it as Failed: nobody can run it, and nothing of it runs.
  void GiveUp(const std::string& name, const std::string& reason);
  void End(const std::string& name, Json outcome);
  // A job whose end is recorded is forgotten, once that is stored.
  void Settle(const std::string& name);
  RetainingStore& StoreOf(const std::string& name);

  const std::string state_directory_;
  JobStore& store_;
  JobServicesFactory& factory_;
  const Hardware hardware_;
  const std::chrono::milliseconds again_after_;
  ResourcePool pool_;
  std::map<std::string, std::unique_ptr<Running>> running_;
  std::map<std::string, std::chrono::steady_clock::time_point> again_at_;  // jobs that cannot be run now
  std::map<std::string, std::unique_ptr<RetainingStore>> stores_;  // of jobs that run, or whose end is not stored yet
  std::map<std::string, int64_t> waits_until_;                     // of jobs that have not begun
  std::map<std::string, Placement> held_;  // of jobs that have started, and are to be looked at again
  std::set<std::string> queued_;           // of the unfinished jobs those that were found without a placement
  std::string told_to_wait_;
  const StopLevel never_{0};
  std::mutex mutex_;  // protects woken_ and each Running's has_ended
  std::condition_variable changed_;
  bool woken_ = false;
};

}  // namespace leat::jobs
