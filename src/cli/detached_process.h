// SPDX-License-Identifier: Apache-2.0
// Starting this program again as a process of its own, detached from the caller's terminal, descriptors and
// environment: the daemon and the supervisor of a state directory.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace leat::cli {

// Runs `leat arguments... --ready-fd N` and waits (at most 20 s) until it has said that it serves, or why it cannot;
// `what` names it in errors ("the daemon"). Its standard error is `log_path`. It inherits where programs and the home
// directory are, but no credentials: those travel with requests, so that they are never in /proc/PID/environ of a
// process that outlives the command.
Status StartDetached(std::vector<std::string> arguments, const std::string& log_path, const std::string& what);

// The other side: tells `ready_fd` (if not negative) how the start went, and closes it.
void ReportStart(int ready_fd, const Status& status);
// Blocks the signals that such a process waits for. Before any thread is started.
void BlockStopSignals();

}  // namespace leat::cli
