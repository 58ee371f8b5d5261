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
  std::vector<std::string> arguments;  // the whole command; empty with a TrainingImage, which has its own
  std::vector<std::string> warnings;
};

// What becomes of a requirements.txt beside the program: it is passed over with a warning, installed for this job alone
// (pip, into the job's directory, before the program starts), or the job is refused.
enum class Requirements { kIgnore, kInstall, kRefuse };

struct CodeOptions {
  std::string python = "python3";  // the interpreter for .py programs
  unsigned connections = 64;
  std::string state_directory;  // never copied, though it may lie inside the source directory
  Requirements requirements = Requirements::kIgnore;
  std::string submitted_from;  // what a relative sagemaker_submit_directory is relative to; empty: as it is
};

// `code_directory`: exists and is empty. From a directory of this machine, links to files are copied as the files, and
// links to directories outside it lead where they led, of which a job with an image is warned. kCancelled: stopped.
Result<TrainerProgram> PrepareCode(const TrainingJob& job, RepositoryFactory& repositories,
                                   const std::string& code_directory, const CodeOptions& options,
                                   const StopCheck& stopped);

}  // namespace leat::jobs
