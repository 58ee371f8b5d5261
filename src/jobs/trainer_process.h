// SPDX-License-Identifier: Apache-2.0
// TrainerProcess: a training script and everything that it starts. Between us and the script stands a small process,
// the shim: it is the reaper of all of the script's descendants, so that none outlives the job, and it dies with us,
// taking them along. The object belongs to one thread, which must be the one that started it and must outlive it (the
// kernel tells the shim of the thread's end).
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace leat::jobs {

struct TrainerCommand {
  std::vector<std::string> arguments;    // the first is searched in the environment's PATH
  std::vector<std::string> environment;  // NAME=value
  std::string directory;                 // empty: the caller's
  int inherited_fd = -1;                 // is kInheritedFd in the process
  bool in_sandbox = false;               // the first process is bwrap, which signals must go around
};
inline constexpr int kInheritedFd = 4;

class TrainerProcess {
 public:
  // kNotFound: no such program.
  static Result<std::unique_ptr<TrainerProcess>> Start(const TrainerCommand& command);
  ~TrainerProcess();  // kills what is left

  int status_fd() const { return status_.get(); }  // hangs up when the shim has ended
  int output_fd() const { return output_.get(); }  // standard output and error, one stream; ends with the last process
  // SIGTERM to the script's main process, and to it only: a script that wants to finish its epoch needs its workers.
  // From then on what outlives the main process is sent SIGTERM too, once, and may run on until Kill; without
  // Terminate it is killed with the main process.
  void Terminate();
  void Kill();  // SIGKILL to every process of the job
  // Waits until all are gone. The script's exit code; 128 + signal when a signal ended it.
  int Wait();
  // After Wait: the errno of an exec or a chdir that failed; 0 when the program was started.
  int exec_errno() const { return exec_errno_; }
  // Kills without waiting: for a process that may stand in the kernel. What is left is reaped without us.
  void Abandon();

 private:
  TrainerProcess(int shim, FileDescriptor output, FileDescriptor status);
  int shim_;
  int exec_errno_ = 0;
  FileDescriptor output_, status_;
};

struct ProgramOutput {
  std::string text;  // its start, up to 64 KiB
  int exit_code = 0;
};
// Runs a small program to its end. kTimedOut: it took longer than `deadline`, and was killed.
Result<ProgramOutput> RunProgram(const TrainerCommand& command, std::chrono::milliseconds deadline);

}  // namespace leat::jobs
