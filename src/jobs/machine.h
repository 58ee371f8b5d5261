// SPDX-License-Identifier: Apache-2.0
// From an InstanceType to what a job may use of this machine. Common types are known; STATE/instance-types.json, if
// there, adds to them and has the last word: {"ml.g5.xlarge": {"cpus": 4, "gpus": 1}}. A type that neither names is the
// whole machine. Any thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "jobs/contract.h"

namespace leat::jobs {

// What there is to share out.
struct Hardware {
  unsigned cpus = 1, gpus = 0;
  std::optional<std::string> visible_gpus;  // the caller's CUDA_VISIBLE_DEVICES, which names fewer GPUs than there are
};
struct InstanceSize {
  unsigned cpus = 0, gpus = 0;
};

// The processors and GPUs of a common type of the service; absent: not known here.
std::optional<InstanceSize> SizeOfInstanceType(const std::string& instance_type);

// What a job of that type gets. `table`: of instance-types.json. More than there is is clamped, with a warning.
Machine FitMachine(const std::string& instance_type, const Hardware& hardware, const Json& table,
                   std::vector<std::string>& warnings);

// Counts this machine's processors and GPUs, and fits. Fails when the table cannot be read.
Result<Machine> ChooseMachine(const std::string& instance_type, const std::string& state_directory,
                              std::vector<std::string>& warnings);

}  // namespace leat::jobs
