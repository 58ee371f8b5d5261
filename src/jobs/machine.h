// SPDX-License-Identifier: Apache-2.0
// From an InstanceType to what a job may use of this machine. Common types are known; STATE/instance-types.json, if
// there, adds to them and has the last word: {"ml.g5.xlarge": {"cpus": 4, "gpus": 1, "memory_gib": 16}}. A type that
// neither names is the whole machine. Any thread.
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
  std::vector<std::string> uuids;           // of each GPU ("GPU-..."), in order of their indices; empty: not known
  uint64_t memory_bytes = 0;                // 0: not known, and not counted
};
struct InstanceSize {
  unsigned cpus = 0, gpus = 0;
  uint64_t memory_bytes = 0;  // 0: it does not say
};

// The processors and GPUs of a common type of the service, whose memory nothing is limited to; absent: not known here.
std::optional<InstanceSize> SizeOfInstanceType(const std::string& instance_type);

// What a job of that type gets. `table`: of instance-types.json. More than there is is clamped, with a warning.
Machine FitMachine(const std::string& instance_type, const Hardware& hardware, const Json& table,
                   std::vector<std::string>& warnings);

// Processors and GPUs of this machine; `environment` (NAME=value) tells where nvidia-smi is, and names the GPUs.
Hardware CountHardware(const std::vector<std::string>& environment, std::vector<std::string>& warnings);
// The GPUs that there are, each once: by its index where it has one, whether CUDA_VISIBLE_DEVICES says "1" or
// "GPU-5e9d" (NVIDIA CUDA C++ Programming Guide, environment variables: a UUID may be shortened, and what follows a
// name that is none is not read), else by its name: a MIG device is one of its own.
std::vector<std::string> DevicesOf(const Hardware& hardware);
// STATE/instance-types.json; an empty object without one. Fails when it cannot be read.
Result<Json> ReadInstanceTypes(const std::string& state_directory);
// What a job of that type is counted with; absent: neither the table nor the service's list knows the type.
std::optional<InstanceSize> CountedSize(const std::string& instance_type, const Json& table);

}  // namespace leat::jobs
