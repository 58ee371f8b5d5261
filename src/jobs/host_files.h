// SPDX-License-Identifier: Apache-2.0
// What a job's host finds at /opt/ml before its channels are there, and where directories of this machine stand in for
// EFS. Blocking; any thread.
#pragma once

#include <string>

#include "base/result.h"
#include "jobs/contract.h"
#include "model/training_job.h"

namespace leat::jobs {

// The directories of /opt/ml in `volume`, and the files of input/config.
Status MakeVolume(const TrainingJob& job, const Machine& machine, const std::string& volume);

// The directory of an EFS source: STATE/file-systems.json says where an id is mounted ({"fs-0123456789abcdef0":
// "/mnt/shared"}); of the id "local" the path is one of this machine. kNotFound: the table does not have the id.
// kInvalidArgument: it is no JSON object.
Result<std::string> PlainDirectory(const std::string& state_directory, const FileSystemSource& source);

}  // namespace leat::jobs
