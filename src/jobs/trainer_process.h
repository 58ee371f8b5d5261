// SPDX-License-Identifier: Apache-2.0
// TrainerProcess: a training script and everything that it starts. Between us and the script stands a small process,
// the shim: it is the reaper of all of the script's descendants, so that none outlives the job, and it dies with us,
// taking them along. The object belongs to one thread, which must be the one that started it and must outlive it (the
// kernel tells the shim of the thread's end).
#pragma once

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
  void Terminate();                                // SIGTERM to the script's process group
  void Kill();                                     // SIGKILL to every process of the job
  // Waits until all are gone. The script's exit code; 128 + signal when a signal ended it.
  int Wait();

 private:
  TrainerProcess(int shim, FileDescriptor output, FileDescriptor status);
  int shim_;
  FileDescriptor output_, status_;
};

}  // namespace leat::jobs
