// SPDX-License-Identifier: Apache-2.0
// Shows a tuning job while the supervisor runs it: on a terminal a table that is drawn anew as it changes, in a pipe a
// line for every change of a training job. Blocking; one thread.
#pragma once

#include <string>

#include "cli/supervisor_process.h"
#include "jobs/job_store.h"
#include "jobs/services.h"

namespace leat::cli {

// Until the tuning job ends, whose end it tells. Each rise of `stop` is a request to stop it. `json`: standard output
// gets the description, the progress goes to standard error. Returns the exit status: 0 Completed, 130 stopped by a
// signal, else 1. Does not return when nobody reads the output (see LeaveUnread).
int FollowStudy(const std::string& verb, const std::string& name, jobs::JobStore& store, SupervisorClient& supervisor,
                const std::string& state_directory, const jobs::StopLevel& stop, bool json);

size_t TerminalColumns();

}  // namespace leat::cli
