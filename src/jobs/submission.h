// SPDX-License-Identifier: Apache-2.0
// A submission: how a training job shall be run, beside what its request says, and how it enters the store. Any thread.
#pragma once

#include <chrono>
#include <string>

#include "base/result.h"
#include "jobs/code.h"
#include "jobs/event.h"
#include "jobs/job_store.h"
#include "model/training_job.h"

namespace leat::jobs {

// As the job was submitted; kept with it.
struct RunOptions {
  bool sandbox = true;  // false: no /opt/ml, SM_* variables point into the job's directory
  unsigned file_mode_connections = 64;
  std::string python = "python3";
  Requirements requirements = Requirements::kIgnore;
  std::chrono::milliseconds stop_grace{120000};  // between SIGTERM and SIGKILL, as the service gives
  std::string submitted_from;                    // the directory that relative paths are relative to
  std::string submission;                        // unique to each; empty: not told
  std::string tuning_job;                        // whose child this is; empty: nobody's
  bool pass_credentials = false;                 // the submitter's, temporary ones, to the script
  std::string credentials_identity;              // whose those of the submitter's environment are; empty: it has none
};
Json ToJson(const RunOptions& options);
RunOptions RunOptionsFrom(const Json& json);

// Enters the job into the store, from where RunTrainingJob takes it. kExists: its name is taken. kInvalidArgument: its
// metrics do not compile. Whether this machine can start it CheckLaunch tells, which takes longer.
Status SubmitTrainingJob(const TrainingJob& job, const RunOptions& options, JobStore& store);

}  // namespace leat::jobs
