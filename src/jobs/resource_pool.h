// SPDX-License-Identifier: Apache-2.0
// ResourcePool: which of this machine's processors, memory and GPUs running jobs have. Processors and bytes are
// counted, GPUs are given out one by one and never twice. Pure; confined to its caller's thread.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "jobs/machine.h"

namespace leat::jobs {

// What one job has been given. A job of no known instance type is not counted: it shares the machine with the others.
struct Placement {
  bool is_counted = false;
  unsigned cpus = 0;                           // of all hosts together, as the memory
  uint64_t memory_bytes = 0;                   // of a type that says how much it has
  std::vector<std::vector<std::string>> gpus;  // of each host
};
Json ToJson(const Placement& placement);
Placement PlacementFrom(const Json& json);

class ResourcePool {
 public:
  ResourcePool(unsigned cpus, uint64_t memory_bytes, std::vector<std::string> gpus)
      : cpus_(cpus), cpus_free_(cpus), memory_(memory_bytes), memory_free_(memory_bytes), gpus_(std::move(gpus)) {}

  // Room for `hosts` of that size, on GPUs that are among `visible` (DevicesOf), in its order; absent: it does not fit
  // now. What is larger than the machine gets the whole machine. A device without an index is one beside the pool's.
  std::optional<Placement> Take(InstanceSize size, unsigned hosts, const std::vector<std::string>& visible);
  // What a job has had before: the supervisor was started anew.
  void TakeAgain(const Placement& placement);
  void Return(const Placement& placement);
  unsigned cpus_free() const { return cpus_free_; }
  size_t gpus_free() const;

 private:
  bool IsFree(const std::string& gpu) const;
  const unsigned cpus_;
  unsigned cpus_free_;
  const uint64_t memory_;
  uint64_t memory_free_;
  const std::vector<std::string> gpus_;
  std::vector<std::string> taken_;
};

}  // namespace leat::jobs
