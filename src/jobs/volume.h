// SPDX-License-Identifier: Apache-2.0
// A job's files in the state directory. jobs/<name>/ of a training job: `ml` (its volume: what the script sees at
// /opt/ml, which ends with the job), `hosts` (its /etc/hosts, likewise), `log`, `lock`, and `checkpoints` where those
// are kept. tuning-jobs/<name>/: `lock`. Blocking; any thread, but one call at a time for one job, which the lock
// assures.
#pragma once

#include <string>

#include "base/file.h"
#include "base/result.h"

namespace leat::jobs {

std::string JobDirectory(const std::string& state_directory, const std::string& training_job);
std::string JobVolume(const std::string& state_directory, const std::string& training_job);
std::string HostsPath(const std::string& state_directory, const std::string& training_job);

// Held by whoever runs the job, for as long as the descriptor is open (no other program inherits it). It holds between
// machines and between containers that share the state directory, where process numbers mean nothing.
std::string TrainingLockPath(const std::string& state_directory, const std::string& training_job);
std::string TuningLockPath(const std::string& state_directory, const std::string& tuning_job);
// Takes the lock without waiting; makes its directory. kBusy: somebody holds it. kNotSupported: this file system has no
// locks.
Result<FileDescriptor> TakeJobLock(const std::string& path);

// Moves what is in `checkpoint_path` of the volume beside it, where the job's end leaves it. Where it lies then; empty:
// there was nothing.
Result<std::string> KeepCheckpoints(const std::string& state_directory, const std::string& training_job,
                                    const std::string& checkpoint_path);
struct VolumeParts {
  bool model = false, output_data = false;
};
// Those that hold anything.
VolumeParts PartsWithEntries(const std::string& state_directory, const std::string& training_job);
// Tells where they are kept; empty: none is.
std::string KeptText(const std::string& state_directory, const std::string& training_job, VolumeParts kept);
// Removes the volume but for the parts to keep, and the hosts file.
Status RemoveVolume(const std::string& state_directory, const std::string& training_job, VolumeParts keep = {});

}  // namespace leat::jobs
