// SPDX-License-Identifier: Apache-2.0
// How the script of a host is started: the command that the trainer's shim runs, in the sandbox, in a container, or as
// it is. Blocking; any thread.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "jobs/code.h"
#include "jobs/contract.h"
#include "jobs/services.h"
#include "jobs/trainer_process.h"
#include "model/training_job.h"

namespace leat::jobs {

// Whether this machine has what the job is started with: bubblewrap, or podman, which is asked in the submitter's
// `environment`; the error says what to do. Takes less than half a minute, whatever podman does.
Status CheckLaunch(const TrainingJob& job, bool sandbox, const std::vector<std::string>& environment);

// The machine of each of the job's hosts. `given`: what each may use; empty: the whole machine.
Result<std::vector<Machine>> MachinesOf(const TrainingJob& job, const std::string& state_directory,
                                        const std::vector<std::string>& environment, std::vector<Machine> given,
                                        std::vector<std::string>& warnings);

struct LaunchPlace {
  std::string directory, volume;  // of the host (jobs/volume.h)
  std::string container;          // ContainerName
  // Directory of the machine -> path in the job's view.
  std::vector<std::pair<std::string, std::string>> read_only, writable;
};

struct Launch {
  TrainerCommand command;
  FileDescriptor filter;  // command.inherited_fd, open until the command is started
  std::string text;       // names the program, for a message
};

// `environment`: the caller's; `given`: ScriptService's. Writes what the command reads into the host's directory.
Result<Launch> PrepareLaunch(const TrainingJob& job, const Machine& machine, const LaunchPlace& place,
                             const TrainerProgram& program, bool sandbox, const std::vector<std::string>& environment,
                             const std::map<std::string, std::string>& given);

}  // namespace leat::jobs
