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

// A process, told apart from a later one with the same number by its start time and the machine's boot.
struct ProcessIdentity {
  int64_t pid = 0;
  uint64_t start_ticks = 0;
  std::string boot_id;
};

struct Event {
  // created{request, supervisor, tuning_job}, status{secondary, message}, stop_requested, training_started,
  // training_ended, artifacts{model}, accounting{...}, warning{text}, ended{status, secondary, message, failure_reason}
  std::string kind;
  int64_t at_ns = 0;
  Json body = Json::object();
};

struct Transition {
  std::string status, message;
  int64_t start_ns = 0;
  std::optional<int64_t> end_ns;
};

struct JobState {
  Json request = Json::object();
  std::string tuning_job;
  ProcessIdentity supervisor;
  std::string status = "InProgress", secondary = "Starting";
  std::string failure_reason;
  std::vector<Transition> transitions;
  std::vector<std::string> warnings;
  int64_t created_ns = 0, modified_ns = 0;
  std::optional<int64_t> started_ns, training_started_ns, training_ended_ns, ended_ns;
  bool stop_requested = false;
  std::string model_artifacts;
  Json accounting = Json::object();
  bool IsTerminal() const { return status == "Completed" || status == "Failed" || status == "Stopped"; }
};

// Events after the job's end change nothing: whoever ended it first was right.
JobState Apply(JobState state, const Event& event);
JobState Fold(const std::vector<Event>& events);

}  // namespace leat::jobs
