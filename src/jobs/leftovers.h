// SPDX-License-Identifier: Apache-2.0
// What of a training job may run or lie about while nobody watches it. Blocking; any thread, but one call at a time for
// one job.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "jobs/event.h"
#include "jobs/trainer_process.h"

namespace leat::jobs {

// False: it stands in the kernel, and did not end in thirty seconds.
bool KillAndWait(const TrainerProcess& trainer);

// Ends the trainers of a job that nobody can run, its containers and its control group, and then removes its volume but
// for what the script made. Where that is; empty: there is none. An error: something of the job may run on. `state`:
// null where it cannot be read, and then the volume stays too.
Result<std::string> EndLeftovers(const std::string& state_directory, const std::string& training_job,
                                 const JobState* state, const std::vector<std::string>& environment);

// Moves the logs of an attempt that was lost to its own directory.
Status PutLogsAside(const std::string& host_directory, const std::string& attempt_directory);

}  // namespace leat::jobs
