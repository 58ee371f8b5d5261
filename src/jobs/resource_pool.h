// SPDX-License-Identifier: Apache-2.0
// ResourcePool: which of this machine's processors, memory and GPUs running jobs have. Processors and bytes are
// counted, GPUs are given out one by one and never twice. Pure; confined to its caller's thread.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
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
  unsigned port = 0;  // where its hosts meet, which are all on this machine's loopback; 0: it has one host
};
Json ToJson(const Placement& placement);
Placement PlacementFrom(const Json& json);

class ResourcePool {
 public:
  static constexpr unsigned kFirstPort = 7777;  // the service's MASTER_PORT
  ResourcePool(unsigned cpus, uint64_t memory_bytes, std::vector<std::string> gpus)
      : cpus_(cpus), cpus_free_(cpus), memory_(memory_bytes), memory_free_(memory_bytes), gpus_(std::move(gpus)) {}

  // Room for `hosts` of that size, on GPUs that are among `visible` (DevicesOf), in its order; absent: it does not fit
  // now. What is larger than the machine gets the whole machine. A device without an index is one beside the pool's.
  std::optional<Placement> Take(InstanceSize size, unsigned hosts, const std::vector<std::string>& visible);
  // Gives the job the first port from kFirstPort on that no other job has.
  void TakePort(Placement& placement);
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
  std::set<unsigned> ports_;
};

}  // namespace leat::jobs
