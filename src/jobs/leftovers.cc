// SPDX-License-Identifier: Apache-2.0
#include "jobs/leftovers.h"

#include <filesystem>
#include <thread>

#include "base/file.h"
#include "jobs/confinement.h"
#include "jobs/container.h"
#include "jobs/contract.h"
#include "jobs/volume.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::seconds kEndPatience{30};

Status EndTrainer(const std::string& host_directory) {
  const auto trainer = TrainerProcess::Adopt(host_directory);
  if (!trainer && trainer.error().code == ErrorCode::kNotFound) return {};
  if (!trainer) return Fail(trainer.error());
  if (KillAndWait(**trainer)) return {};
  return Fail(ErrorCode::kIo, "a process of the trainer in " + host_directory + " does not end, though it is killed");
}

bool MayHaveContainer(const JobState* state) {
  if (!state) return true;
  const auto algorithm = state->request.find("AlgorithmSpecification");
  return algorithm != state->request.end() && algorithm->contains("TrainingImage");
}

Status EndGroup(const std::string& name, const std::vector<std::string>& directories) {
  const auto group = ControlGroup::Adopt(name, directories);
  if (!group) return {};
  LEAT_RETURN_IF_ERROR((*group)->Kill());
  return (*group)->Remove();
}

}  // namespace

bool KillAndWait(const TrainerProcess& trainer) {
  const auto deadline = SteadyClock::now() + kEndPatience;
  for (trainer.Kill(); !trainer.HasEnded() && SteadyClock::now() < deadline;)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return trainer.HasEnded();
}

Result<std::string> EndLeftovers(const std::string& state_directory, const std::string& training_job,
                                 const JobState* state, const std::vector<std::string>& environment) {
  for (uint32_t host = 0;; ++host) {
    const std::string directory = HostDirectory(state_directory, training_job, host);
    std::error_code error;
    if (!fs::exists(directory, error)) break;
    LEAT_RETURN_IF_ERROR(EndTrainer(directory));
    if (!MayHaveContainer(state)) continue;
    const Status removed = RemoveContainer(ContainerName(state_directory, training_job, HostName(host)), environment);
    const bool has_no_podman = !removed && removed.error().code == ErrorCode::kNotFound;
    if (!removed && (state || !has_no_podman)) return Fail(removed.error());
  }
  LEAT_RETURN_IF_ERROR(EndGroup(ConfinementName(state_directory, training_job),
                                state ? state->control_group : std::vector<std::string>{}));
  if (!state) return std::string();
  const VolumeParts made = PartsWithEntries(state_directory, training_job);
  const auto checkpoints =
      KeepCheckpoints(state_directory, training_job, CheckTrainingJob(state->request).job.checkpoint_path);
  if (!checkpoints) return checkpoints.error().message + "; the job's volume is left as it is";
  if (const Status cleaned = RemoveVolume(state_directory, training_job, made); !cleaned)
    return cleaned.error().message;
  return KeptText(state_directory, training_job, made);
}

Status PutLogsAside(const std::string& host_directory, const std::string& attempt_directory) {
  LEAT_RETURN_IF_ERROR(CreateDirectories(attempt_directory, 0700));
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(host_directory, error)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("log.", 0) == 0) fs::rename(entry.path(), attempt_directory + "/" + name, error);
  }
  return {};
}

}  // namespace leat::jobs
