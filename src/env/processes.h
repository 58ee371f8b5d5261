// SPDX-License-Identifier: Apache-2.0
// The machine's processes, as far as their descent goes; numbers are those of this process's pid namespace. Any thread.
#pragma once

#include <cstdint>
#include <optional>

namespace leat::env {

struct Process {
  int parent = 0;      // 0: none that is seen here
  uint64_t start = 0;  // since boot, in the kernel's ticks: tells a process from a later one with the same number
};

class Processes {
 public:
  virtual ~Processes() = default;
  // Of a process or of one thread (whose parent is its process's, whose start is its own). Absent: it has ended, or is
  // not seen from here.
  virtual std::optional<Process> Find(int id) const = 0;
  // The process that a thread belongs to, its own number for a main thread.
  virtual std::optional<int> ProcessOf(int thread) const = 0;
};

}  // namespace leat::env
