// SPDX-License-Identifier: Apache-2.0
// A job's files in the state directory. jobs/<name>/ of a training job is its first host's directory, and
// jobs/<name>/algo-N/ another's: `ml` (its volume: what the script sees at /opt/ml, which ends with the job), `hosts`
// (its /etc/hosts) and `seccomp.json` (its container's profile), both likewise, and what the trainer leaves
// (trainer_process.h: `trainer`, `exit`, `log.N`), and `checkpoints` where those are kept. jobs/<name>/ also has
// `environment` (the script's, until the job ends) and `attempt-N/` with the logs of attempts that were lost.
// tuning-jobs/<name>/: `environment`. Blocking; any thread, but one call at a time for one job.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/file.h"
#include "base/result.h"

namespace leat::jobs {

std::string JobDirectory(const std::string& state_directory, const std::string& training_job);
// Of the host with that number, from 0 on.
std::string HostDirectory(const std::string& state_directory, const std::string& training_job, uint32_t host);
// Where the host's log of an attempt that was lost is.
std::string AttemptDirectory(const std::string& state_directory, const std::string& training_job, uint32_t attempt,
                             uint32_t host);
std::string JobVolume(const std::string& state_directory, const std::string& training_job, uint32_t host = 0);

std::string TuningDirectory(const std::string& state_directory, const std::string& tuning_job);

// Takes the lock without waiting; makes its directory. It is held for as long as the descriptor is open (no other
// program inherits it), between machines and between containers that share the state directory too, where process
// numbers mean nothing. kBusy: somebody holds it. kNotSupported: this file system has no locks.
Result<FileDescriptor> TakeJobLock(const std::string& path);

// Moves everything below `from` to where it lies below `to`; what is there already stays, and `on_clash` is told its
// path.
void MergeDirectory(const std::string& from, const std::string& to,
                    const std::function<void(const std::string& path)>& on_clash);

// What the hosts made becomes the first host's: their files lie side by side, and of files of one name its own stays.
void MergeHosts(const std::string& state_directory, const std::string& training_job,
                const std::function<void(const std::string& path)>& on_clash);

// Moves what is in `checkpoint_path` of each host's volume beside it, where the job's end leaves it. Where it lies
// then, for a message; empty: there was nothing.
Result<std::string> KeepCheckpoints(const std::string& state_directory, const std::string& training_job,
                                    const std::string& checkpoint_path);
// Moves them back into the volumes, for the next attempt.
Status TakeBackCheckpoints(const std::string& state_directory, const std::string& training_job,
                           const std::string& checkpoint_path);
struct VolumeParts {
  bool model = false, output_data = false;
};
// Those that hold anything.
VolumeParts PartsWithEntries(const std::string& state_directory, const std::string& training_job);
// kInvalidArgument: a link stands in the place of one of any host's, and who follows it leaves the volume.
Status CheckParts(const std::string& state_directory, const std::string& training_job);
// Tells where they are kept; empty: none is.
std::string KeptText(const std::string& state_directory, const std::string& training_job, VolumeParts kept);
// Removes the volume of the first host but for the parts to keep, those of the others, and the hosts files.
Status RemoveVolume(const std::string& state_directory, const std::string& training_job, VolumeParts keep = {});

}  // namespace leat::jobs
