// SPDX-License-Identifier: Apache-2.0
// Runs a tuning job: asks search/ for hyperparameters, has a training job run for each, several at once, stops those
// that do not promise much, and ends when it is time. All that it decides is an event in the job store before it is
// done, so that a process that is killed at any point is followed by another that goes on where it was.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "jobs/training_run.h"
#include "model/tuning_job.h"
#include "tuner/data_pacing.h"
#include "tuner/study.h"

namespace leat::tuner {

struct TunerServices {
  jobs::JobStore& store;
  jobs::JobSubmitter& submitter;   // runs the training jobs
  DataWatcher* data = nullptr;     // where the data are that they share; null: not looked at
  const std::atomic<bool>& leave;  // ends RunTuningJob with the study as it is, for another process to go on with
};

// Whether this machine has what the training jobs are started with (jobs::CheckLaunch, which may take long).
Status CheckTuningLaunch(const TuningJob& job, const jobs::RunOptions& options,
                         const std::vector<std::string>& environment);

// Takes a tuning job into the store; the seed is drawn from the clock where the request has none. kExists: the name is
// taken. kInvalidArgument: its metrics do not compile, or what it shall start from does not fit.
Status SubmitTuningJob(const TuningJob& job, const jobs::RunOptions& options, jobs::JobStore& store);

// Lets one that was stopped, or that has ended for another reason than its limits, go on. kInvalidArgument: it runs, or
// nothing is left to do.
Status ResumeTuningJob(const std::string& name, jobs::JobStore& store);

// To its end, on the caller's thread; nobody else may run it meanwhile. An error when it cannot be read or its end
// cannot be stored.
Result<Study> RunTuningJob(const std::string& name, const TunerServices& services);

}  // namespace leat::tuner
