// SPDX-License-Identifier: Apache-2.0
// ControlGroup: the processes of one job as the kernel counts, limits and kills them, where we may make such a group:
// as root, or in a tree that was delegated to us (a systemd user session). Version 2, version 1 and both at once.
//
//   auto group = ControlGroup::Create("job-17", {.memory_bytes = 8 << 30, .cpus = 2.0});
//   if (!group) ... kNotSupported: go on without, and say why
//   ... a child, before it executes: writes "0" to each of (*group)->procs_files()
//   ... later: (*group)->usage(), (*group)->Kill(), (*group)->Remove()
//
// The group lies below our own, so that whatever limits us limits the job. In version 2 a group that has processes
// cannot hand controllers on ("no internal processes"); then it lies beside our own, below the same parent, but only
// where our own has no limit that it would escape.
//
// Threads: immutable; any thread. Blocking calls on a file system in memory; Kill and Remove wait. The object owns
// nothing: the group outlives it, and us, until Remove.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace leat::jobs {

struct ControlGroupLimits {
  // Of memory, with the page cache that its files take (the kernel drops that first) and without swap. Beyond it the
  // kernel kills: in version 2 all processes of the group at once, in version 1 the largest.
  std::optional<uint64_t> memory_bytes;
  std::optional<double> cpus;  // processor seconds a second; at least 0.01
};

// Since the group was made; absent: not counted on this machine.
struct ControlGroupUsage {
  std::optional<double> cpu_seconds;
  std::optional<uint64_t> memory_bytes_max;           // the page cache of its files included
  std::optional<uint64_t> bytes_read, bytes_written;  // of block devices; what the page cache served is not in it
  // For how long at least one of its processes could not go on for want of a processor, a device, or memory.
  std::optional<double> cpu_stall_seconds, io_stall_seconds, memory_stall_seconds;
};

class ControlGroup {
 public:
  // `name`: any bytes, unique on this machine. kNotSupported: not permitted here, or a limit's controller is missing;
  // the message says why and nothing stays. kExists: a group of that name is there (Adopt and Remove it). `root`: of
  // the file system that has /proc and the mounts; a test's directory.
  static Result<std::unique_ptr<ControlGroup>> Create(const std::string& name, const ControlGroupLimits& limits,
                                                      const std::string& root = "");
  // The one that was created under that name. `directories`: as directories() told then; needed by a process whose own
  // group is another than the creator's was (a new login session). Empty: it is looked for where Create would make it.
  // kNotFound: there is none. Whatever is not a control group of that name is refused.
  static Result<std::unique_ptr<ControlGroup>> Adopt(const std::string& name,
                                                     const std::vector<std::string>& directories = {});

  const std::vector<std::string>& directories() const { return directories_; }
  // A process that writes its number, or "0" for itself, to each of them is in the group, and so is what it starts.
  std::vector<std::string> procs_files() const;
  // Puts a process (all its threads) into the group; children that it has already stay where they are.
  Status Enter(pid_t process) const;
  // The processes in the group and in groups below it.
  std::vector<pid_t> Processes() const;
  // SIGKILL to all, until none is left. kTimedOut: some are still there after ten seconds, in an uninterruptible wait
  // or frozen. kInvalidArgument: we are one of them.
  Status Kill() const;

  ControlGroupUsage usage() const;
  // Whether the kernel killed any of its processes for want of memory, the group's or the machine's.
  bool WasKilledForMemory() const;

  // Removes the group and what its processes have made below it. kBusy: processes are in it (Kill it first).
  Status Remove() const;

 private:
  explicit ControlGroup(std::vector<std::string> directories) : directories_(std::move(directories)) {}
  // Of the first directory that has a file of that name.
  std::optional<std::string> Read(const std::string& file) const;
  bool Write(const std::string& file, const std::string& text, std::string& why) const;
  Status Limit(const ControlGroupLimits& limits) const;

  const std::vector<std::string> directories_;  // one in each tree
};

}  // namespace leat::jobs
