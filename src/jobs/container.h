// SPDX-License-Identifier: Apache-2.0
// A host of a job in a container of its TrainingImage, by podman and crun. `podman run` stays in the foreground as the
// script's first process, so that log, exit status, signals and adoption are the shim's as ever (trainer_process.h);
// the container outlives podman in podman's own records only, until RemoveContainer. docs/decisions/0016. Any thread;
// what asks podman blocks.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "jobs/contract.h"
#include "jobs/event.h"
#include "jobs/failure.h"
#include "jobs/services.h"
#include "model/training_job.h"

namespace leat::jobs {

// Unique on this machine, also among state directories.
std::string ContainerName(const std::string& state_directory, const std::string& job, const std::string& host);

struct ContainerLimits {
  uint64_t files_soft = 1024, files_hard = 1024;  // open files; podman's own default needs CAP_SYS_RESOURCE
  uint64_t processes = 1024;
  uint64_t shared_memory_bytes = 64u << 20;  // of /dev/shm, which loaders of data pass batches through
};
// As those of this process, and half of the machine's memory to share.
ContainerLimits ContainerLimitsHere();

struct ContainerView {
  std::string name;    // ContainerName
  std::string volume;  // becomes /opt/ml
  // Directory of the machine -> path in the container.
  std::vector<std::pair<std::string, std::string>> read_only, writable;
  std::string seccomp_profile;  // a file; empty: podman's own
  ContainerLimits limits;
  std::map<std::string, std::string> environment;  // all that the container has beside its image's
};
// What a container is given of the contract's variables: the caller's region and nothing else of the caller's.
std::map<std::string, std::string> ContainerEnvironment(const std::vector<std::string>& caller,
                                                        const std::map<std::string, std::string>& contract);
// `podman run ...`. Its values are not in the arguments, which every user of the machine can read, but in the
// environment below; but for names that podman itself would take for its own (PATH, HOME, ...). Names that podman
// cannot pass (of hyperparameters with spaces, as SM_HP_*) are left out. kInvalidArgument: a directory to bind has a
// comma in its name. Pure.
Result<std::vector<std::string>> ContainerArguments(const TrainingJob& job, const Machine& machine,
                                                    const ContainerView& view);
// Whether podman, its helpers, the Go runtime or the loader go by the variable.
bool IsReadByPodman(const std::string& name);
// What podman itself runs with: the caller's variables (where its storage and its registry logins are) without
// credentials, and the container's values. NAME=value. Pure.
std::vector<std::string> PodmanEnvironment(const std::vector<std::string>& caller,
                                           const std::map<std::string, std::string>& container = {});

// podman's seccomp profile, in which ioctl(TCGETS) answers ENOTTY as in the sandbox (OpenTerminalFilter) and all else
// is as it was; kInvalidArgument: it is none, or does not let ioctl pass. Pure.
Result<Json> WithoutTerminals(Json profile);
// The machine's profile so changed, written to `path`. False: this machine has none that can be so changed.
Result<bool> WriteSeccompProfile(const std::string& path);

// Whether podman and crun are there and work in that environment; the error says what to do. kTimedOut: one of them did
// not answer in ten seconds.
Status CheckContainers(const std::vector<std::string>& environment);
// Unless the machine has the image. kCancelled: `stopped`. Another error names the image and says podman's last words.
Status PullImage(const std::string& image, const std::vector<std::string>& environment, const StopCheck& stopped);
// Kills what runs in the container and removes it; success also when there is none.
Status RemoveContainer(const std::string& name, const std::vector<std::string>& environment);
// Of a container whose `podman run` ended with `exit_code`: the FailureReason when its program was never started;
// absent: it was, and the code is the program's own.
std::optional<std::string> WhyNotStarted(const TrainingJob& job, const std::string& name, int exit_code,
                                         const LogTail& log, const std::vector<std::string>& environment);

}  // namespace leat::jobs
