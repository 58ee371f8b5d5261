// SPDX-License-Identifier: Apache-2.0
// One training job from submission to its end: the states of SageMaker's contract, its files, the script, the
// artifacts. Blocking, for minutes or days, on the caller's thread; several may run at once on threads of their own.
#pragma once

#include <chrono>
#include <string>

#include "base/result.h"
#include "jobs/event.h"
#include "jobs/job_store.h"
#include "jobs/services.h"
#include "model/training_job.h"

namespace leat::jobs {

struct RunOptions {
  std::string state_directory;  // jobs live below it, in jobs/<name>/
  bool sandbox = true;          // false: no /opt/ml, SM_* variables point into the job's directory
  unsigned file_mode_connections = 64;
  std::string python = "python3";
  std::chrono::milliseconds stop_grace{120000};  // between SIGTERM and SIGKILL, as the service gives
  std::string tuning_job;                        // whose child this is; empty: nobody's
};

struct RunServices {
  JobStore& store;
  FileSystemResolver& file_systems;
  RepositoryFactory& repositories;
  RunObserver& observer;
  const StopLevel& stop;
};

// The job's final state, also when it failed or was stopped. An error when there is no job: its name is taken
// (kExists), its metrics do not compile, the sandbox is not allowed, or its state cannot be stored.
Result<JobState> RunTrainingJob(const TrainingJob& job, const RunOptions& options, const RunServices& services);

std::string LogPath(const std::string& state_directory, const std::string& job);

}  // namespace leat::jobs
