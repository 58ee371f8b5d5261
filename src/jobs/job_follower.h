// SPDX-License-Identifier: Apache-2.0
// JobFollower: tells an observer what happens to a training job that another process runs, from its events, its samples
// and its log. What the script printed before a change of status is told before it. Confined to one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "jobs/job_store.h"
#include "jobs/log_reader.h"
#include "jobs/metrics.h"
#include "jobs/services.h"

namespace leat::jobs {

class JobFollower {
 public:
  // `with_log`: the log is told too, each host's, from its beginning; with `only_host` that host's alone, which is one
  // of the job's.
  JobFollower(JobStore& store, std::string state_directory, std::string job, RunObserver& observer, bool with_log,
              std::optional<uint32_t> only_host = std::nullopt)
      : store_(store),
        state_directory_(std::move(state_directory)),
        job_(std::move(job)),
        observer_(observer),
        with_log_(with_log),
        only_host_(only_host) {}

  // Tells what is new. True: the job has ended, and all is told.
  Result<bool> Turn();
  const JobState& state() const { return state_; }

 private:
  struct Log {
    uint32_t host;
    std::string prefix;  // of every line; empty where one host's are told
    LogReader reader;
    LineSplitter lines;
  };
  void OpenLogs();
  void TurnToLostAttempt();
  Status TellLogs(bool to_their_end);
  Status TellSamples();

  JobStore& store_;
  const std::string state_directory_, job_;
  RunObserver& observer_;
  const bool with_log_;
  const std::optional<uint32_t> only_host_;
  JobState state_;
  int64_t event_ = 0, sample_ = 0;  // told up to here
  uint32_t attempt_ = 1;            // whose logs are open
  std::vector<std::unique_ptr<Log>> logs_;
  std::vector<char> buffer_;
};

}  // namespace leat::jobs
