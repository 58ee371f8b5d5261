// SPDX-License-Identifier: Apache-2.0
// Confinement: the control group of one job (jobs/control_group.h), by the job's name: made anew for each attempt,
// found again by another supervisor, and what it counted. Blocking; confined to one thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "jobs/control_group.h"
#include "jobs/event.h"

namespace leat::jobs {

// The group's name: the same in every version of Leat, for a later one finds the group by it. Another state directory
// of this machine may have a job of the same name, so it holds a checksum of the directory's path.
std::string ConfinementName(const std::string& state_directory, const std::string& job);

class Confinement {
 public:
  // What an earlier attempt left is killed and removed. kNotSupported: no such group may be made here.
  static Result<std::unique_ptr<Confinement>> Begin(const std::string& state_directory, const std::string& job,
                                                    const ControlGroupLimits& limits);
  // kNotFound: there is none. `directories`: as directories() told when it was made.
  static Result<std::unique_ptr<Confinement>> Adopt(const std::string& state_directory, const std::string& job,
                                                    const std::vector<std::string>& directories);

  const std::vector<std::string>& directories() const { return group_->directories(); }
  std::vector<std::string> procs_files() const { return group_->procs_files(); }

  struct End {
    Json usage = Json::object();  // CpuSeconds, MemoryBytesMax, DiskBytesRead, ...: what this machine counts
    bool was_killed_for_memory = false;
  };
  // Kills what is left and removes the group.
  End Finish();

 private:
  explicit Confinement(std::unique_ptr<ControlGroup> group) : group_(std::move(group)) {}
  std::unique_ptr<ControlGroup> group_;
};

}  // namespace leat::jobs
