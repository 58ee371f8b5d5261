// SPDX-License-Identifier: Apache-2.0
// From an InstanceType to what a job may use of this machine. STATE/instance-types.json, if there, says
// {"ml.g5.xlarge": {"cpus": 4, "gpus": 1}}; a type that it does not name is the whole machine. Any thread.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "jobs/contract.h"

namespace leat::jobs {

// More than the machine has is clamped, with a warning. Fails when the table cannot be read.
Result<Machine> ChooseMachine(const std::string& instance_type, const std::string& state_directory,
                              std::vector<std::string>& warnings);

}  // namespace leat::jobs
