// SPDX-License-Identifier: Apache-2.0
// A training job's state is a fold of its events: Apply is pure, and the store keeps events only.
// Times are nanoseconds since the epoch. Values; any thread.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace leat::jobs {

using Json = nlohmann::json;

struct Event {
  // created{request, options}, placed{hosts}, attempt{number, is_retry}, status{secondary, message},
  // stop_requested{level}, data_ready{...}, confined{directories}, training_started, timed_out{by},
  // training_ended{exit_code, exec_errno, failure, checkpoints_copied}, uploaded, artifacts{model}, accounting{...},
  // warning{text}, ended{status, secondary, message, failure_reason}. Of a tuning job: created{request, options, seed},
  // trial{number, job, definition, tuned, bracket}, trial_stopped{number, reason}, trial_ended{number, status,
  // objective, failure_reason}, schedule{text}, converged, completing{by}, stop_requested, status, ended, resumed.
  std::string kind;
  int64_t at_ns = 0;
  Json body = Json::object();
  int64_t sequence = 0;  // the store's: grows from event to event
};

struct Transition {
  std::string status, message;
  int64_t start_ns = 0;
  std::optional<int64_t> end_ns;
};

struct JobState {
  Json request = Json::object();
  Json options = Json::object();    // RunOptions, as they were asked for
  Json placement = Json::object();  // which part of the machine it got
  Json data = Json::object();       // of this attempt: what was downloaded, and the file systems' counters before it
  std::vector<std::string> control_group;  // its directories; empty: none
  std::string tuning_job;
  uint32_t attempt = 1;
  uint32_t retries = 0;  // of the attempts those that RetryStrategy counts
  std::string status = "InProgress", secondary = "Starting";
  std::string failure_reason;
  std::vector<Transition> transitions;
  std::vector<std::string> warnings;
  int64_t created_ns = 0, modified_ns = 0;
  int64_t trained_before_ns = 0;  // how long the scripts of earlier attempts ran
  std::optional<int64_t> started_ns, ended_ns;
  std::optional<int64_t> first_training_started_ns;               // of all attempts
  std::optional<int64_t> training_started_ns, training_ended_ns;  // of this one
  int stop_level = 0;                                             // a StopLevel
  bool timed_out = false;
  std::string timed_out_by;         // the secondary status that it ends with
  std::optional<int> exit_code;     // of this attempt's script, once it has ended
  bool checkpoints_copied = false;  // the last ones of this attempt are in S3
  bool is_uploaded = false;         // what the script made
  std::string script_failure;       // FailureReason, where that is not 0
  int exec_errno = 0;               // why it could not be started; 0: it was
  std::string model_artifacts;
  Json accounting = Json::object();
  bool IsTerminal() const { return status == "Completed" || status == "Failed" || status == "Stopped"; }
};

// Events after the job's end change nothing: whoever ended it first was right.
JobState Apply(JobState state, const Event& event);
JobState Fold(const std::vector<Event>& events);

}  // namespace leat::jobs
