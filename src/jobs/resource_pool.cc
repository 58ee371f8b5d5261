// SPDX-License-Identifier: Apache-2.0
#include "jobs/resource_pool.h"

#include <algorithm>

#include "base/text.h"

namespace leat::jobs {

Json ToJson(const Placement& placement) {
  return {{"counted", placement.is_counted},
          {"cpus", placement.cpus},
          {"memory_bytes", placement.memory_bytes},
          {"gpus", placement.gpus},
          {"port", placement.port}};
}

Placement PlacementFrom(const Json& json) {
  return {json.value("counted", false), json.value("cpus", 0u), json.value("memory_bytes", uint64_t{0}),
          json.value("gpus", std::vector<std::vector<std::string>>{}), json.value("port", 0u)};
}

bool ResourcePool::IsFree(const std::string& gpu) const { return std::ranges::find(taken_, gpu) == taken_.end(); }

size_t ResourcePool::gpus_free() const {
  return static_cast<size_t>(std::ranges::count_if(gpus_, [&](const auto& gpu) { return IsFree(gpu); }));
}

std::optional<Placement> ResourcePool::Take(InstanceSize size, unsigned hosts,
                                            const std::vector<std::string>& visible) {
  std::vector<std::string> usable, free;
  for (const auto& gpu : visible) {
    const bool is_index = ParseUnsigned(gpu).has_value();
    if (is_index && std::ranges::find(gpus_, gpu) == gpus_.end()) continue;
    usable.push_back(gpu);
    if (IsFree(gpu)) free.push_back(gpu);
  }
  Placement placement;
  placement.is_counted = true;
  placement.cpus = std::min(size.cpus * hosts, cpus_);
  placement.memory_bytes = size.memory_bytes > memory_ / hosts ? memory_ : size.memory_bytes * hosts;
  // More hosts than the machine has GPUs for: the first ones get theirs.
  const size_t gpus = std::min<size_t>(size_t{size.gpus} * hosts, usable.size());
  if (placement.cpus > cpus_free_ || placement.memory_bytes > memory_free_ || gpus > free.size()) return std::nullopt;
  size_t next = 0;
  for (unsigned host = 0; host < hosts; ++host) {
    auto& own = placement.gpus.emplace_back();
    while (own.size() < size.gpus && next < gpus) own.push_back(free[next++]);
  }
  TakeAgain(placement);
  return placement;
}

void ResourcePool::TakePort(Placement& placement) {
  placement.port = kFirstPort;
  while (!ports_.insert(placement.port).second) ++placement.port;
}

void ResourcePool::TakeAgain(const Placement& placement) {
  cpus_free_ -= std::min(placement.cpus, cpus_free_);
  memory_free_ -= std::min(placement.memory_bytes, memory_free_);
  for (const auto& host : placement.gpus) taken_.insert(taken_.end(), host.begin(), host.end());
  if (placement.port > 0) ports_.insert(placement.port);
}

void ResourcePool::Return(const Placement& placement) {
  cpus_free_ = std::min(cpus_, cpus_free_ + placement.cpus);
  memory_free_ = std::min(memory_, memory_free_ + placement.memory_bytes);
  ports_.erase(placement.port);
  for (const auto& host : placement.gpus) {
    for (const auto& gpu : host) {
      const auto found = std::ranges::find(taken_, gpu);
      if (found != taken_.end()) taken_.erase(found);
    }
  }
}

}  // namespace leat::jobs
