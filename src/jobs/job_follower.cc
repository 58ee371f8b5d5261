// SPDX-License-Identifier: Apache-2.0
#include "jobs/job_follower.h"

#include "jobs/contract.h"
#include "jobs/volume.h"

namespace leat::jobs {
namespace {

constexpr size_t kReadBytes = 64u << 10;
constexpr int kReadsATurn = 64;  // others want their turn, too

}  // namespace

Result<bool> JobFollower::Turn() {
  // The events before the log: what the script printed before they happened is in it.
  LEAT_ASSIGN_OR_RETURN(const auto events, store_.Events(JobKind::kTraining, job_, event_));
  for (const auto& event : events) {
    event_ = event.sequence;
    const bool was_training = state_.training_started_ns.has_value();
    if (event.kind == "attempt") TurnToLostAttempt();
    if (event.kind == "training_ended" || event.kind == "attempt" || (event.kind == "ended" && was_training)) {
      LEAT_RETURN_IF_ERROR(TellLogs(true));
    } else if (event.kind == "status" && was_training) {
      LEAT_RETURN_IF_ERROR(TellLogs(false));
    }
    state_ = Apply(std::move(state_), event);
    if (event.kind == "ended") LEAT_RETURN_IF_ERROR(TellSamples());
    if (event.kind == "created" || event.kind == "status" || event.kind == "ended") {
      observer_.OnStatus(job_, state_.secondary, state_.transitions.back().message);
    } else if (event.kind == "warning") {
      observer_.OnWarning(job_, event.body.value("text", ""));
    }
  }
  if (state_.IsTerminal()) return true;
  if (state_.training_started_ns) LEAT_RETURN_IF_ERROR(TellLogs(false));
  LEAT_RETURN_IF_ERROR(TellSamples());
  return false;
}

Status JobFollower::TellSamples() {
  LEAT_ASSIGN_OR_RETURN(const auto samples, store_.Samples(job_, sample_));
  for (const auto& sample : samples) {
    sample_ = sample.sequence;
    observer_.OnMetric(job_, sample.name, sample.value);
  }
  return {};
}

void JobFollower::OpenLogs() {
  logs_.clear();
  attempt_ = state_.attempt;
  const uint32_t hosts = CheckTrainingJob(state_.request).job.instance_count;
  for (uint32_t host = 0; host < hosts; ++host) {
    if (only_host_ && *only_host_ != host) continue;
    const bool is_alone = hosts == 1 || only_host_;
    logs_.push_back(std::make_unique<Log>(
        Log{host, is_alone ? "" : HostName(host) + "  ", LogReader(HostDirectory(state_directory_, job_, host)), {}}));
  }
}

// The logs of the attempt that has ended were put aside before that was recorded.
void JobFollower::TurnToLostAttempt() {
  if (!with_log_) return;
  if (logs_.empty() || attempt_ != state_.attempt) OpenLogs();
  for (const auto& log : logs_) {
    const std::string directory = AttemptDirectory(state_directory_, job_, state_.attempt, log->host);
    log->reader = LogReader(directory, log->reader.position());
  }
}

Status JobFollower::TellLogs(bool to_their_end) {
  if (!with_log_) return {};
  if (logs_.empty() || attempt_ != state_.attempt) OpenLogs();
  buffer_.resize(kReadBytes);
  for (const auto& log : logs_) {
    const auto line = [&](std::string_view text) {
      if (log->prefix.empty()) return observer_.OnLogLine(job_, text);
      observer_.OnLogLine(job_, log->prefix + std::string(text));
    };
    for (int turn = 0; to_their_end || turn < kReadsATurn; ++turn) {
      LEAT_ASSIGN_OR_RETURN(const size_t got, log->reader.Read(buffer_.data(), buffer_.size()));
      if (const uint64_t skipped = log->reader.TakeSkipped(); skipped > 0)
        observer_.OnWarning(job_, std::to_string(skipped) + " bytes of the log are no longer kept");
      log->lines.Add({buffer_.data(), got}, line);
      if (got == 0) break;
    }
    if (to_their_end) log->lines.Finish(line);
  }
  return {};
}

}  // namespace leat::jobs
