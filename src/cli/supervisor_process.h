// SPDX-License-Identifier: Apache-2.0
// The supervisor of a state directory as a process of its own: it runs the training jobs (jobs/supervisor.h) and the
// tuning jobs (tuner/tunings.h), whoever submitted them, and ends when none is left. Any command that has to do with
// jobs starts it when it is not there. It may be killed at any time: trainers run on, and the next one takes them up.
//
//   STATE/supervisor.lock, supervisor.sock, supervisor.log
#pragma once

#include <string>

#include "base/result.h"
#include "jobs/services.h"
#include "jobs/training_run.h"
#include "model/tuning_job.h"

namespace leat::cli {

// The whole life of the process; `ready_fd`: see detached_process.h. Returns the exit status.
int RunSupervisorProcess(const std::string& state_directory, int ready_fd);

// Submits to the supervisor of a state directory, and starts it when it is not there. With a job goes the caller's
// environment: what is in it of credentials stays in the supervisor's memory. Any thread.
class SupervisorClient final : public jobs::JobSubmitter {
 public:
  explicit SupervisorClient(std::string state_directory) : state_directory_(std::move(state_directory)) {}
  Status Submit(const TrainingJob& job, const jobs::RunOptions& options) override;
  Status Submit(const TuningJob& job, const jobs::RunOptions& options);
  Status Wake() override;

 private:
  Status Send(const std::string& verb, const std::string& name, const nlohmann::json& job_request,
              const jobs::RunOptions& options);
  const std::string state_directory_;
};

// Sees to it that a supervisor goes on with the jobs, if there are any that have not ended: what every command about
// jobs does first.
Status TakeUpJobs(jobs::JobStore& store, const std::string& state_directory);

}  // namespace leat::cli
