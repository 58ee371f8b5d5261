// SPDX-License-Identifier: Apache-2.0
#include "jobs/supervisor.h"

#include <algorithm>

#include "base/log.h"
#include "jobs/describe.h"
#include "jobs/training_run.h"
#include "jobs/volume.h"

namespace leat::jobs {
namespace {

constexpr std::chrono::seconds kAgainAfter{10};

class SilentObserver final : public RunObserver {
 public:
  void OnStatus(const std::string&, const std::string&, const std::string&) override {}
  void OnLogLine(const std::string&, std::string_view) override {}
  void OnMetric(const std::string&, const std::string&, double) override {}
  void OnWarning(const std::string&, const std::string&) override {}
};

std::string VariableOf(const std::vector<std::string>& environment, const std::string& name) {
  for (const auto& entry : environment) {
    if (entry.rfind(name + "=", 0) == 0) return entry.substr(name.size() + 1);
  }
  return "";
}

}  // namespace

Supervisor::Supervisor(std::string state_directory, JobStore& store, JobServicesFactory& factory, Hardware hardware)
    : state_directory_(std::move(state_directory)),
      store_(store),
      factory_(factory),
      hardware_(std::move(hardware)),
      pool_(hardware_.cpus, DevicesOf(hardware_)) {}

Supervisor::~Supervisor() {
  for (auto& [name, running] : running_) running->thread.join();
}

void Supervisor::Wake() {
  const std::lock_guard lock(mutex_);
  woken_ = true;
  changed_.notify_all();
}

void Supervisor::Wait(std::chrono::milliseconds longest) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, longest, [&] {
    return woken_ || std::ranges::any_of(running_, [](const auto& one) { return one.second->has_ended; });
  });
  woken_ = false;
}

void Supervisor::ReapEnded() {
  for (auto at = running_.begin(); at != running_.end();) {
    Running& running = *at->second;
    {
      const std::lock_guard lock(mutex_);
      if (!running.has_ended) {
        ++at;
        continue;
      }
    }
    running.thread.join();
    pool_.Return(running.placement);
    if (running.outcome) {
      factory_.OnEnded(at->first);
    } else if (running.outcome.error().code == ErrorCode::kBusy || running.outcome.error().code == ErrorCode::kIo) {
      // Its trainer runs on another machine, or its end could not be stored.
      LogError("job " + at->first + ": " + running.outcome.error().message + "; it is looked at again");
      again_at_[at->first] = std::chrono::steady_clock::now() + kAgainAfter;
    } else {
      GiveUp(at->first, running.outcome.error().message);
    }
    at = running_.erase(at);
  }
}

void Supervisor::GiveUp(const std::string& name, const std::string& reason) {
  LogError("job " + name + " cannot be run: " + reason);
  const Status told = store_.Append(JobKind::kTraining, name,
                                    {"ended",
                                     WallTimeNs(),
                                     {{"status", "Failed"},
                                      {"secondary", "Failed"},
                                      {"message", "Training job failed"},
                                      {"failure_reason", "InternalServerError: " + reason}}});
  if (told) {
    factory_.OnEnded(name);
  } else {
    LogError("job " + name + ": " + told.error().message);
    again_at_[name] = std::chrono::steady_clock::now() + kAgainAfter;
  }
}

Result<bool> Supervisor::Turn() {
  ReapEnded();
  LEAT_ASSIGN_OR_RETURN(const auto unfinished, store_.Unfinished(JobKind::kTraining));
  LEAT_ASSIGN_OR_RETURN(const auto to_stop, store_.UnfinishedToStop());
  const auto now = std::chrono::steady_clock::now();
  size_t left = 0;
  bool is_full = false;
  // Trainers of an earlier supervisor hold their share before anybody else gets one. What is wrong with one job holds
  // up no other.
  for (const bool had_started : {true, false}) {
    for (const auto& name : unfinished) {
      if (running_.contains(name)) continue;
      if (const auto again = again_at_.find(name); again != again_at_.end()) {
        ++left;
        if (now < again->second) continue;
        again_at_.erase(again);
      }
      const bool stops = std::ranges::binary_search(to_stop, name);
      if (!had_started && is_full && !stops) {
        ++left;
        continue;
      }
      const auto state = store_.Load(name);
      if (!state && state.error().code == ErrorCode::kCorrupt) GiveUp(name, state.error().message);
      if (!state || state->IsTerminal() || state->placement.empty() == had_started) continue;
      std::optional<Placement> placement = Placement{};
      if (had_started) {
        placement = PlacementFrom(state->placement);
        pool_.TakeAgain(*placement);
      } else if (!stops) {  // else what it would need does not matter any more
        auto found = Place(*state, name);
        if (!found) {
          GiveUp(name, found.error().message);
          continue;
        }
        placement = *found;
        if (!placement || running_.size() >= kRunningMax) {
          if (placement) pool_.Return(*placement);
          TellItWaits(name);
          is_full = true;  // none overtakes: it would wait for ever
          ++left;
          continue;
        }
      }
      Status started;
      if (!had_started && !stops)
        started = store_.Append(JobKind::kTraining, name, {"placed", WallTimeNs(), ToJson(*placement)});
      if (started) started = Start(name, *state, *placement);
      if (started) continue;
      pool_.Return(*placement);
      if (started.error().code == ErrorCode::kInvalidArgument) {
        GiveUp(name, started.error().message);
      } else {
        LogError("job " + name + ": " + started.error().message);
        again_at_[name] = now + kAgainAfter;
        ++left;
      }
    }
  }
  return left > 0 || !running_.empty();
}

Result<std::optional<Placement>> Supervisor::Place(const JobState& state, const std::string& name) {
  LEAT_ASSIGN_OR_RETURN(const Json table, ReadInstanceTypes(state_directory_));
  const TrainingJob job = CheckTrainingJob(state.request).job;
  const auto size = CountedSize(job.instance_type, table);
  if (!size) return std::optional(Placement{});
  Hardware hardware = hardware_;
  if (const std::string visible = VariableOf(factory_.For(name).environment, "CUDA_VISIBLE_DEVICES"); !visible.empty())
    hardware.visible_gpus = visible;
  return pool_.Take(*size, job.instance_count, DevicesOf(hardware));
}

void Supervisor::TellItWaits(const std::string& name) {
  if (std::exchange(told_to_wait_, name) == name) return;
  const Status told = store_.Append(JobKind::kTraining, name,
                                    {"status",
                                     WallTimeNs(),
                                     {{"secondary", "Starting"},
                                      {"message", "Waiting for " + std::to_string(running_.size()) +
                                                      " running jobs to leave room on this machine"}}});
  if (!told) LogWarning("job " + name + ": " + told.error().message);
}

Status Supervisor::Start(const std::string& name, const JobState& state, const Placement& placement) {
  auto running = std::make_unique<Running>();
  running->placement = placement;
  running->services = factory_.For(name);
  const TrainingJob job = CheckTrainingJob(state.request).job;
  std::vector<Machine> machines;
  LEAT_ASSIGN_OR_RETURN(const Json table, ReadInstanceTypes(state_directory_));
  for (uint32_t host = 0; host < job.instance_count; ++host) {
    std::vector<std::string> warnings;
    Hardware hardware = hardware_;
    if (const std::string visible = VariableOf(running->services.environment, "CUDA_VISIBLE_DEVICES"); !visible.empty())
      hardware.visible_gpus = visible;
    if (placement.is_counted && host < placement.gpus.size()) {
      std::string visible;
      for (const auto& gpu : placement.gpus[host]) visible += (visible.empty() ? "" : ",") + gpu;
      hardware.visible_gpus = visible;
    }
    machines.push_back(FitMachine(job.instance_type, hardware, table, warnings));
    machines.back().is_limited = placement.is_counted;
    if (placement.is_counted) machines.back().visible_gpus = hardware.gpus > 0 ? hardware.visible_gpus : std::nullopt;
    for (const auto& warning : warnings) {
      if (host > 0 || !state.placement.empty()) break;  // each host's are the same, and told once
      LEAT_RETURN_IF_ERROR(store_.Append(JobKind::kTraining, name, {"warning", WallTimeNs(), {{"text", warning}}}));
    }
  }
  Running& started = *running_.emplace(name, std::move(running)).first->second;
  started.thread = std::thread([this, name, &started, machines = std::move(machines)]() mutable {
    RunJob(name, started, std::move(machines));
    const std::lock_guard lock(mutex_);
    started.has_ended = true;
    changed_.notify_all();
  });
  return {};
}

void Supervisor::RunJob(const std::string& name, Running& running, std::vector<Machine> machines) {
  SilentObserver observer;
  const RunServices services{state_directory_, store_, *running.services.file_systems, *running.services.repositories,
                             observer,         never_, running.services.environment,   std::move(machines)};
  Result<JobState> state = Fail(ErrorCode::kInternal, "");
  try {
    state = RunTrainingJob(name, services);
  } catch (const std::exception& error) {
    state = Fail(ErrorCode::kInternal, std::string("an exception: ") + error.what());
  }
  if (state && state->IsTerminal()) return;
  if (state) state = Fail(ErrorCode::kIo, "its end could not be stored");
  running.outcome = Fail(state.error());
}

}  // namespace leat::jobs
