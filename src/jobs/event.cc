// SPDX-License-Identifier: Apache-2.0
#include "jobs/event.h"

#include <algorithm>
#include <utility>

namespace leat::jobs {
namespace {

void Enter(JobState& state, const std::string& status, const std::string& message, int64_t at_ns) {
  state.secondary = status;
  if (!state.transitions.empty() && state.transitions.back().status == status) {
    state.transitions.back().message = message;  // each status appears once a visit, with its latest message
    return;
  }
  if (!state.transitions.empty()) state.transitions.back().end_ns = at_ns;
  state.transitions.push_back({status, message, at_ns, std::nullopt});
}

}  // namespace

JobState Apply(JobState state, const Event& event) {
  if (event.kind == "resumed") {  // a tuning job only
    state.status = "InProgress";
    state.failure_reason.clear();
    state.stop_level = 0;
    state.ended_ns = std::nullopt;
  }
  if (state.IsTerminal()) return state;
  const Json& body = event.body;
  state.modified_ns = event.at_ns;
  if (event.kind == "created") {
    state.created_ns = event.at_ns;
    state.request = body.value("request", Json::object());
    state.options = body.value("options", Json::object());
    state.tuning_job = state.options.value("tuning_job", "");
    Enter(state, "Starting", "Starting the training job", event.at_ns);
  } else if (event.kind == "status") {
    const std::string secondary = body.value("secondary", "");
    // A job that is stopped in the queue has not started.
    if (!state.started_ns && (secondary == "Downloading" || secondary == "Training")) state.started_ns = event.at_ns;
    if (secondary == "Stopping") state.status = "Stopping";
    Enter(state, secondary, body.value("message", ""), event.at_ns);
  } else if (event.kind == "stop_requested") {
    state.stop_level = std::max(state.stop_level, body.value("level", 1));
  } else if (event.kind == "placed") {
    state.placement = body;
  } else if (event.kind == "attempt") {
    state.attempt = body.value("number", 1u);
    if (body.value("is_retry", true)) ++state.retries;
    if (state.training_started_ns)
      state.trained_before_ns += state.training_ended_ns.value_or(event.at_ns) - *state.training_started_ns;
    state.training_started_ns = state.training_ended_ns = std::nullopt;
    state.exit_code = std::nullopt;
    state.exec_errno = 0;
    state.data = Json::object();
  } else if (event.kind == "data_ready") {
    state.data = body;
  } else if (event.kind == "confined") {
    state.control_group = body.value("directories", std::vector<std::string>{});
  } else if (event.kind == "timed_out") {
    state.timed_out = true;
    state.timed_out_by = body.value("by", "MaxRuntimeExceeded");
  } else if (event.kind == "training_started") {
    if (!state.training_started_ns) state.training_started_ns = event.at_ns;
    if (!state.first_training_started_ns) state.first_training_started_ns = event.at_ns;
  } else if (event.kind == "training_ended") {
    state.training_ended_ns = event.at_ns;
    state.exit_code = body.value("exit_code", 0);
    state.exec_errno = body.value("exec_errno", 0);
    state.script_failure = body.value("failure", "");
    state.checkpoints_copied = body.value("checkpoints_copied", false);
  } else if (event.kind == "uploaded") {
    state.is_uploaded = true;
  } else if (event.kind == "artifacts") {
    state.model_artifacts = body.value("model", "");
  } else if (event.kind == "accounting") {
    state.accounting.update(body);
  } else if (event.kind == "warning") {
    state.warnings.push_back(body.value("text", ""));
  } else if (event.kind == "ended") {
    state.status = body.value("status", "Failed");
    state.failure_reason = body.value("failure_reason", "");
    Enter(state, body.value("secondary", state.status), body.value("message", ""), event.at_ns);
    state.transitions.back().end_ns = event.at_ns;
    state.ended_ns = event.at_ns;
  }
  return state;
}

JobState Fold(const std::vector<Event>& events) {
  JobState state;
  for (const auto& event : events) state = Apply(std::move(state), event);
  return state;
}

}  // namespace leat::jobs
