// SPDX-License-Identifier: Apache-2.0
// Tunings: runs the tuning jobs of a state directory, each on a thread of its own; one that an earlier process left
// goes on where it was. Threads: all calls from one. Exactly one object may exist for a state directory, which its
// caller assures by a lock.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "tuner/tuning_run.h"

namespace leat::tuner {

class TuningServicesFactory {  // called on the thread of Tunings' caller
 public:
  virtual ~TuningServicesFactory() = default;
  virtual std::unique_ptr<DataWatcher> WatcherFor(const std::string& tuning_job) = 0;  // null: nobody watches
  virtual void OnTuningEnded(const std::string& tuning_job) = 0;
};

class Tunings {
 public:
  Tunings(jobs::JobStore& store, jobs::JobSubmitter& submitter, TuningServicesFactory& factory);
  ~Tunings();  // ends the threads, not the tuning jobs
  Tunings(const Tunings&) = delete;

  // Takes in what has ended and starts what is unfinished. False: no tuning job is left.
  Result<bool> Turn();

 private:
  struct Running {
    std::unique_ptr<DataWatcher> data;
    Status outcome;  // of the thread, until it has ended
    std::atomic<bool> has_ended = false;
    std::thread thread;
  };
  void Start(const std::string& name);
  void ReapEnded();

  jobs::JobStore& store_;
  jobs::JobSubmitter& submitter_;
  TuningServicesFactory& factory_;
  std::atomic<bool> leave_ = false;
  std::map<std::string, std::unique_ptr<Running>> running_;
  std::map<std::string, std::chrono::steady_clock::time_point> again_at_;  // those that could not be ended
};

}  // namespace leat::tuner
