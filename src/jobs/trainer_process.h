// SPDX-License-Identifier: Apache-2.0
// TrainerProcess: a training script and everything that it starts. Between us and the script stands a small process,
// the shim: the script's parent and the reaper of all its descendants, so that none outlives the job. It writes the
// script's output to the log and its exit status to a file, and does not end with us: a supervisor that comes back
// adopts the trainer through the files in its directory and has lost neither.
//
//   trainer  locked (flock) by the shim for as long as it lives; names the shim
//   log.N    the output of the script (LogReader reads it)
//   exit     how the script ended, written once, at the end
//
// No process is ever addressed by a number alone: the shim's is believed while it holds the lock, and signals go
// through a pidfd. Objects are confined to one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "jobs/services.h"

namespace leat::jobs {

struct TrainerCommand {
  std::vector<std::string> arguments;    // the first is searched in the environment's PATH
  std::vector<std::string> environment;  // NAME=value
  std::string directory;                 // where it starts; empty: the caller's
  int inherited_fd = -1;                 // is kInheritedFd in the process
  bool in_sandbox = false;               // the first process is bwrap, which signals must go around
  std::vector<std::string> groups;       // ControlGroup::procs_files of the group that it shall be in
};
inline constexpr int kInheritedFd = 4;

struct TrainerExit {
  int code = 0;              // of the script; 128 + signal when a signal ended it
  int exec_errno = 0;        // of an exec or a chdir that failed; 0: the program was started
  uint64_t log_dropped = 0;  // bytes of output that the disk did not take
};

class TrainerProcess {
 public:
  // `directory`: the trainer's, which exists; what an earlier attempt left there is removed. kNotFound: no such
  // program. kBusy: a trainer runs there.
  static Result<std::unique_ptr<TrainerProcess>> Start(const TrainerCommand& command, const std::string& directory);
  // The one that was started in `directory` by whomever, running or ended. kNotFound: none was. kBusy: it runs on
  // another machine, or in a container, that shares the directory.
  static Result<std::unique_ptr<TrainerProcess>> Adopt(const std::string& directory);
  ~TrainerProcess() = default;  // leaves it as it is

  // Readable once the trainer and everything that it started are gone; below zero: they were when it was adopted.
  int ended_fd() const { return shim_.get(); }
  // The root of all of the trainer's processes, for whoever attributes what they do; 0: it had ended when adopted.
  int shim_number() const { return shim_number_; }
  bool HasEnded() const;
  // SIGTERM to the script's main process, and to it only: a script that wants to finish its epoch needs its workers.
  // Once; from then on what outlives the main process is sent SIGTERM too, once, and may run on until Kill; without
  // Terminate it is killed with the main process.
  void Terminate() const;
  void Kill() const;  // SIGKILL to every process of the job
  // After the end. kNotFound: the shim left no word, for it was killed or the machine stopped.
  Result<TrainerExit> Exit();

 private:
  TrainerProcess(std::string directory, FileDescriptor shim, int shim_number)
      : directory_(std::move(directory)), shim_(std::move(shim)), shim_number_(shim_number) {}
  const std::string directory_;
  FileDescriptor shim_;  // a pidfd
  const int shim_number_;
};

struct ProgramOutput {
  std::string text;  // its start, up to 64 KiB
  int exit_code = 0;
};
// Runs a program to its end; it ends with the caller's thread at the latest. kTimedOut: it took longer than `deadline`,
// and was killed; kCancelled: it was killed because `stopped` said so. kNotFound: there is no such program.
Result<ProgramOutput> RunProgram(const TrainerCommand& command, std::chrono::milliseconds deadline,
                                 const StopCheck& stopped = {});

}  // namespace leat::jobs
