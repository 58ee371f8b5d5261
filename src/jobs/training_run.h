// SPDX-License-Identifier: Apache-2.0
// One training job from submission to its end: the states of SageMaker's contract, its files, the script on each of its
// hosts, the artifacts. Everything that is done is recorded as an event first or after, so that a job can be taken up
// by another process at any point: its trainer is adopted where it runs, and everything else is done again.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "jobs/contract.h"
#include "jobs/event.h"
#include "jobs/job_store.h"
#include "jobs/services.h"
#include "jobs/submission.h"
#include "model/training_job.h"

namespace leat::jobs {

struct RunServices {
  std::string state_directory;  // jobs live below it, in jobs/<name>/
  JobStore& store;
  FileSystemResolver& file_systems;
  RepositoryFactory& repositories;
  RunObserver& observer;
  const StopLevel& stop;
  std::vector<std::string> environment;  // the submitter's, NAME=value
  std::vector<Machine> machines;         // what each host may use; empty: as many of the whole machine as are asked for
  std::map<std::string, std::string> script_variables = {};  // ScriptService's, and MASTER_PORT
  // How long the end of a job waits for a store that takes nothing; then the job's volume is left.
  std::chrono::milliseconds store_patience{60'000};
};

// Runs the job to its end, from wherever it stands; blocks for minutes or days, on the caller's thread. At most one
// call at a time for one job, which the supervisor's lock on the state directory assures. Returns the final state, also
// of one that failed or was stopped. An error leaves the job as it is, and what runs of it runs on: kNotFound: there is
// none, kBusy: its trainer runs on another machine that shares the state directory, kInvalidArgument: its request is
// none of this version's; others may pass.
Result<JobState> RunTrainingJob(const std::string& name, const RunServices& services);

}  // namespace leat::jobs
