// SPDX-License-Identifier: Apache-2.0
#include "jobs/confinement.h"

#include "base/crc32c.h"
#include "base/log.h"

namespace leat::jobs {

std::string ConfinementName(const std::string& state_directory, const std::string& job) {
  return "leat-" + job + "-" + std::to_string(Crc32c(std::as_bytes(std::span(state_directory))));
}

Result<std::unique_ptr<Confinement>> Confinement::Begin(const std::string& state_directory, const std::string& job,
                                                        const ControlGroupLimits& limits) {
  const std::string name = ConfinementName(state_directory, job);
  auto made = ControlGroup::Create(name, limits);
  if (!made && made.error().code == ErrorCode::kExists) {
    if (const auto old = ControlGroup::Adopt(name); old) {
      LEAT_RETURN_IF_ERROR((*old)->Kill());
      LEAT_RETURN_IF_ERROR((*old)->Remove());
    }
    made = ControlGroup::Create(name, limits);
  }
  if (!made) return Fail(made.error());
  return std::unique_ptr<Confinement>(new Confinement(std::move(*made)));
}

Result<std::unique_ptr<Confinement>> Confinement::Adopt(const std::string& state_directory, const std::string& job,
                                                        const std::vector<std::string>& directories) {
  LEAT_ASSIGN_OR_RETURN(auto group, ControlGroup::Adopt(ConfinementName(state_directory, job), directories));
  return std::unique_ptr<Confinement>(new Confinement(std::move(group)));
}

Confinement::End Confinement::Finish() {
  End end;
  if (const Status killed = group_->Kill(); !killed) LogWarning(killed.error().message);
  const ControlGroupUsage usage = group_->usage();
  const auto tell = [&](const char* name, const auto& value) {
    if (value) end.usage[name] = *value;
  };
  tell("CpuSeconds", usage.cpu_seconds);
  tell("MemoryBytesMax", usage.memory_bytes_max);
  tell("DiskBytesRead", usage.bytes_read);
  tell("DiskBytesWritten", usage.bytes_written);
  tell("SecondsStalledForCpu", usage.cpu_stall_seconds);
  tell("SecondsStalledForDisk", usage.io_stall_seconds);
  tell("SecondsStalledForMemory", usage.memory_stall_seconds);
  end.was_killed_for_memory = group_->WasKilledForMemory();
  if (const Status removed = group_->Remove(); !removed) LogWarning(removed.error().message);
  return end;
}

}  // namespace leat::jobs
