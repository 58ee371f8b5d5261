// SPDX-License-Identifier: Apache-2.0
// What the kernel writes about control groups, read into values. Pure functions; any thread. Sources: proc(5),
// cgroups(7), Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst, Documentation/accounting/psi.rst.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace leat::jobs {

// A mounted tree of control groups, and where in it a process is.
struct ControlHierarchy {
  bool version2 = false;
  std::vector<std::string> controllers;  // version 1: those of this tree ("cpu", "memory"); version 2: empty
  std::string mount_point;
  std::string own_group;  // a directory at or below the mount point
};

// From /proc/self/mountinfo and /proc/self/cgroup. A tree in which our group cannot be seen (another's mount namespace)
// is left out, as are trees without controllers ("name=systemd").
std::vector<ControlHierarchy> ControlHierarchies(std::string_view mountinfo, std::string_view self_cgroup);

// "name number" lines (memory.events, memory.oom_control, cpu.stat): the number of `name`.
std::optional<uint64_t> NumberNamed(std::string_view text, std::string_view name);

struct TransferredBytes {
  uint64_t read = 0, written = 0;
};
// io.stat of version 2: "254:0 rbytes=1 wbytes=2 ..."; summed over the devices.
TransferredBytes IoStatBytes(std::string_view text);
// blkio.*.io_service_bytes of version 1: "254:0 Read 1"; summed over the devices.
TransferredBytes IoServiceBytes(std::string_view text);

// cpu.pressure, io.pressure, memory.pressure: for how long some task waited, in seconds since the group was made.
std::optional<double> PressureSeconds(std::string_view text);

// The directory name of a job's group: "leat-" and the name, percent-encoded. kInvalidArgument: longer than a file name
// can be, or empty.
Result<std::string> ControlGroupDirectoryName(std::string_view name);

}  // namespace leat::jobs
