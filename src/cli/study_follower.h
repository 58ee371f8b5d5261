// SPDX-License-Identifier: Apache-2.0
// Shows a tuning job while the supervisor runs it: on a terminal a table that is drawn anew as it changes, in a pipe a
// line for every change of a training job. Blocking; one thread.
#pragma once

#include <cstdio>
#include <string>

#include "base/result.h"
#include "cli/supervisor_process.h"
#include "jobs/services.h"
#include "tuner/study.h"

namespace leat::cli {

struct FollowedStudy {
  tuner::Study study;
  bool is_all_shown = true;  // false: nobody reads `out`, and a thread stands in a write to it (see LeaveUnread)
};
// Until the tuning job ends. Each rise of `stop` is a request to stop it. An error: its state cannot be read.
Result<FollowedStudy> FollowStudy(const std::string& verb, const std::string& name, jobs::JobStore& store,
                                  SupervisorClient& supervisor, const std::string& state_directory,
                                  const jobs::StopLevel& stop, FILE* out);
// The end of a tuning job as a command tells it; its exit status: 0 Completed, 130 stopped by a signal, else 1.
int TellStudyEnd(const std::string& verb, const std::string& name, const FollowedStudy& followed, bool json,
                 bool is_interrupted);

size_t TerminalColumns();

}  // namespace leat::cli
