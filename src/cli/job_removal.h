// SPDX-License-Identifier: Apache-2.0
// Deleting jobs that have ended: their files in the state directory and what the store knows of them. Blocking; any
// thread, but one call at a time for one job.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "jobs/job_store.h"

namespace leat::cli {

// Directories of a training job that hold what exists nowhere else: checkpoints, and a model or output data that could
// not be uploaded.
std::vector<std::string> KeptOfJob(const std::string& state_directory, const std::string& training_job);

// Removes `directory` and all below it. Symbolic links are removed, not followed; what another file system is mounted
// on is left, and fails. `directory` that is not there: success.
Status RemoveTree(const std::string& directory);

// `name`: letters' case makes no difference, as when jobs are created. Files go first: what fails halfway can be
// deleted again. kNotFound: no such job. kBusy: it has not ended, or the tuning job it belongs to has not.
// kExists: there is something that only the job's directory has, and not `force`.
Status DeleteJob(jobs::JobStore& store, const std::string& state_directory, jobs::JobKind kind, const std::string& name,
                 bool force);

}  // namespace leat::cli
