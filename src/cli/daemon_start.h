// SPDX-License-Identifier: Apache-2.0
// Starting the daemon of a state directory as a process of its own, detached from the caller's terminal and
// environment.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace leat::cli {

// What a daemon is started with; absent: as it was set before, else the default.
struct DaemonLimits {
  std::optional<uint64_t> capacity_bytes;  // of the cache
  std::optional<uint64_t> memory_bytes;
};

// Runs this program again as `leat daemon` and waits (at most 20 s) until it serves or has said why it cannot.
// kBusy: another daemon holds the state directory.
Status StartDaemonProcess(const std::string& state_directory, const DaemonLimits& limits);

// The whole life of a daemon process; tells `ready_fd` (if not negative) once whether it serves. Returns the exit
// status. `active_for_s`: DaemonOptions::active_for, for tests.
int RunDaemonProcess(const std::string& state_directory, const DaemonLimits& limits,
                     std::optional<uint64_t> active_for_s, int ready_fd);

}  // namespace leat::cli
