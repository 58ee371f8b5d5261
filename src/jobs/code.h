// SPDX-License-Identifier: Apache-2.0
// A job's code: from where sagemaker_submit_directory says into /opt/ml/code, and the command that runs it. Blocking.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "jobs/contract.h"
#include "jobs/services.h"
#include "model/training_job.h"

namespace leat::jobs {

struct TrainerProgram {
  std::string name;                    // SM_USER_ENTRY_POINT; empty with a ContainerEntrypoint
  std::vector<std::string> arguments;  // the whole command
  std::vector<std::string> warnings;
};

// `code_directory`: exists and is empty. `python`: the interpreter for .py programs.
Result<TrainerProgram> PrepareCode(const TrainingJob& job, RepositoryFactory& repositories,
                                   const std::string& code_directory, const std::string& python, unsigned connections,
                                   const StopLevel& stop);

}  // namespace leat::jobs
