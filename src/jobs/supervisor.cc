// SPDX-License-Identifier: Apache-2.0
#include "jobs/supervisor.h"

#include <algorithm>
#include <limits>

#include "base/log.h"
#include "jobs/describe.h"
#include "jobs/leftovers.h"
#include "jobs/training_run.h"
#include "jobs/volume.h"

namespace leat::jobs {
namespace {

class SilentObserver final : public RunObserver {
 public:
  void OnStatus(const std::string&, const std::string&, const std::string&) override {}
  void OnLogLine(const std::string&, std::string_view) override {}
  void OnMetric(const std::string&, const std::string&, double) override {}
  void OnWarning(const std::string&, const std::string&) override {}
};

// What of it a job in that environment may use.
Hardware VisibleIn(const std::vector<std::string>& environment, Hardware hardware) {
  const std::string name = "CUDA_VISIBLE_DEVICES=";
  for (const auto& entry : environment) {
    if (entry.starts_with(name)) hardware.visible_gpus = entry.substr(name.size());
  }
  return hardware;
}

// The environment that a supervisor happens to be started in is one of its callers' only.
Hardware WholeMachine(Hardware hardware) {
  hardware.visible_gpus = std::nullopt;
  return hardware;
}

// Whether it may be otherwise at the next look at the job, whose script is left to itself until then.
bool MayPass(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotFound:
    case ErrorCode::kCorrupt:
    case ErrorCode::kNotSupported:
    case ErrorCode::kInternal:
      return false;
    default:
      return true;
  }
}

}  // namespace

Supervisor::Supervisor(std::string state_directory, JobStore& store, JobServicesFactory& factory, Hardware hardware,
                       std::chrono::milliseconds again_after)
    : state_directory_(std::move(state_directory)),
      store_(store),
      factory_(factory),
      hardware_(WholeMachine(std::move(hardware))),
      again_after_(again_after),
      pool_(hardware_.cpus, hardware_.memory_bytes, DevicesOf(hardware_)) {}

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
    if (running.is_over) {
      pool_.Return(running.placement);
    } else {
      held_[at->first] = running.placement;
    }
    if (running.outcome) {
      Settle(at->first);
    } else if (!running.is_over) {
      LogError("job " + at->first + ": " + running.outcome.error().message + "; it is looked at again");
      LookAgain(at->first);
    } else {
      GiveUp(at->first, running.outcome.error().message);
    }
    at = running_.erase(at);
  }
}

void Supervisor::LookAgain(const std::string& name) {
  again_at_[name] = std::chrono::steady_clock::now() + again_after_;
}

Placement Supervisor::TakeBack(const std::string& name, const JobState& state) {
  if (const auto held = held_.extract(name)) return held.mapped();
  const Placement placement = PlacementFrom(state.placement);
  pool_.TakeAgain(placement);
  return placement;
}

void Supervisor::GiveUp(const std::string& name, const std::string& reason) {
  LogError("job " + name + " cannot be run: " + reason);
  End(name, {{"status", "Failed"},
             {"secondary", "Failed"},
             {"message", "Training job failed"},
             {"failure_reason", "InternalServerError: " + reason}});
}

void Supervisor::End(const std::string& name, Json outcome) {
  const Status told = StoreOf(name).Append(JobKind::kTraining, name, {"ended", WallTimeNs(), std::move(outcome)});
  if (told) return Settle(name);
  LogError("job " + name + ": " + told.error().message);
  LookAgain(name);
}

void Supervisor::Settle(const std::string& name) {
  const Status stored = StoreOf(name).Flush();
  if (!stored && stored.error().code != ErrorCode::kNotFound) {
    LogError("job " + name + " has ended, which cannot be stored yet: " + stored.error().message);
    LookAgain(name);
    return;
  }
  stores_.erase(name);
  factory_.OnEnded(name);
}

RetainingStore& Supervisor::StoreOf(const std::string& name) {
  auto& store = stores_[name];
  if (!store) store = std::make_unique<RetainingStore>(state_directory_, store_, name);
  return *store;
}

void Supervisor::EndOverdue(const std::vector<std::string>& unfinished, const std::vector<std::string>& to_stop) {
  std::map<std::string, int64_t> waits_until;
  for (const auto& name : unfinished) {
    if (running_.contains(name) || stores_.contains(name) || std::ranges::binary_search(to_stop, name)) continue;
    const auto known = waits_until_.find(name);
    const auto until = known != waits_until_.end() ? known->second : WaitsUntil(name);
    if (!until) continue;
    if (WallTimeNs() < *until) {
      waits_until.emplace(name, *until);
      continue;
    }
    LogInfo("job " + name + " has waited for longer than its MaxWaitTimeInSeconds");
    const Event stopping{"status", WallTimeNs(), {{"secondary", "Stopping"}, {"message", "Stopping the training job"}}};
    if (const Status told = StoreOf(name).Append(JobKind::kTraining, name, stopping); !told)
      LogError("job " + name + ": " + told.error().message);
    End(name, {{"status", "Stopped"},
               {"secondary", "MaxWaitTimeExceeded"},
               {"message", "Training job waited for longer than MaxWaitTimeInSeconds provided"}});
  }
  waits_until_ = std::move(waits_until);
}

std::optional<int64_t> Supervisor::WaitsUntil(const std::string& name) {
  const auto state = store_.Load(name);
  if (!state) return std::nullopt;
  const auto max_wait_s = CheckTrainingJob(state->request).job.max_wait_s;
  if (state->IsTerminal() || !state->placement.empty() || !max_wait_s) return std::numeric_limits<int64_t>::max();
  return state->created_ns + *max_wait_s * 1'000'000'000;
}

Result<bool> Supervisor::Turn() {
  ReapEnded();
  LEAT_ASSIGN_OR_RETURN(const auto unfinished, store_.Unfinished(JobKind::kTraining));
  LEAT_ASSIGN_OR_RETURN(const auto to_stop, store_.UnfinishedToStop());
  EndOverdue(unfinished, to_stop);
  std::erase_if(held_, [&](const auto& held) {
    const bool has_gone = std::ranges::find(unfinished, held.first) == unfinished.end();
    if (has_gone) pool_.Return(held.second);
    return has_gone;
  });
  const auto now = std::chrono::steady_clock::now();
  size_t left = 0;
  bool is_full = false;
  std::set<std::string> queued;
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
      if (const auto ended = stores_.find(name); ended != stores_.end() && ended->second->has_ended()) {
        Settle(name);
        if (stores_.contains(name)) ++left;
        continue;
      }
      const bool stops = std::ranges::binary_search(to_stop, name);
      // A queued job that stops needs no room on the machine, but a thread for a moment.
      if (!had_started && (stops ? running_.size() >= kRunningMax + kStoppingMax : is_full)) {
        ++left;
        continue;
      }
      if (had_started && queued_.contains(name)) {  // thousands of them are not read again at every turn
        queued.insert(name);
        continue;
      }
      const auto state = store_.Load(name);
      // Its thread ends what runs of it.
      if (!state && state.error().code == ErrorCode::kCorrupt) Launch(name, TakeBack(name, {}), factory_.For(name), {});
      if (!state || state->IsTerminal()) continue;
      if (had_started && state->placement.empty()) queued.insert(name);
      if (state->placement.empty() == had_started) continue;
      std::optional<Placement> placement = Placement{};
      if (had_started) {
        placement = TakeBack(name, *state);
      } else if (!stops) {  // else what it would need does not matter any more
        auto found = Place(*state, name);
        if (found) placement = *found;
        if (!found || !placement || CountWorking() >= kRunningMax) {
          if (found && placement) pool_.Return(*placement);
          TellItWaits(name, found ? "" : found.error().message);
          is_full = true;  // none overtakes: it would wait for ever
          ++left;
          continue;
        }
      }
      Status started;
      queued.erase(name);
      if (!had_started && !stops)
        started = store_.Append(JobKind::kTraining, name, {"placed", WallTimeNs(), ToJson(*placement)});
      const bool is_placed = had_started || (started && !stops);
      if (started) started = Start(name, *state, *placement);
      if (started) {
        running_.at(name)->has_room = is_placed;
        continue;
      }
      if (is_placed) {
        held_[name] = *placement;
      } else {
        pool_.Return(*placement);
      }
      LogError("job " + name + ": " + started.error().message);
      LookAgain(name);
      ++left;
    }
  }
  queued_ = std::move(queued);
  return left > 0 || !running_.empty();
}

Result<std::optional<Placement>> Supervisor::Place(const JobState& state, const std::string& name) {
  LEAT_ASSIGN_OR_RETURN(const Json table, ReadInstanceTypes(state_directory_));
  const TrainingJob job = CheckTrainingJob(state.request).job;
  const auto size = CountedSize(job.instance_type, table);
  std::optional<Placement> placement = Placement{};
  if (size)
    placement = pool_.Take(*size, job.instance_count, DevicesOf(VisibleIn(factory_.For(name).environment, hardware_)));
  if (placement && job.instance_count > 1) pool_.TakePort(*placement);
  return placement;
}

size_t Supervisor::CountWorking() const {
  const auto has_room = [](const auto& one) { return one.second->has_room; };
  return static_cast<size_t>(std::ranges::count_if(running_, has_room));
}

void Supervisor::TellItWaits(const std::string& name, const std::string& reason) {
  const std::string telling = name + " " + reason;
  if (std::exchange(told_to_wait_, telling) == telling) return;
  const size_t working = CountWorking();
  const std::string message = reason.empty() ? "Waiting for " + std::to_string(working) + " running job" +
                                                   (working == 1 ? "" : "s") + " to leave room on this machine"
                                             : "Waiting, because it cannot be told what the job needs: " + reason;
  const Status told = store_.Append(JobKind::kTraining, name,
                                    {"status", WallTimeNs(), {{"secondary", "Starting"}, {"message", message}}});
  if (!told) LogWarning("job " + name + ": " + told.error().message);
}

Status Supervisor::Start(const std::string& name, const JobState& state, const Placement& placement) {
  JobServices services = factory_.For(name);
  const TrainingJob job = CheckTrainingJob(state.request).job;
  std::vector<Machine> machines;
  const Json table = TableFor(name, state, job, placement);
  for (uint32_t host = 0; host < job.instance_count; ++host) {
    std::vector<std::string> warnings;
    Hardware hardware = VisibleIn(services.environment, hardware_);
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
  Launch(name, placement, std::move(services), std::move(machines));
  return {};
}

Json Supervisor::TableFor(const std::string& name, const JobState& state, const TrainingJob& job,
                          const Placement& placement) {
  const auto table = ReadInstanceTypes(state_directory_);
  if (table) return *table;
  const std::string text = table.error().message + "; the job keeps the processors and GPUs that it was given";
  if (std::ranges::find(state.warnings, text) == state.warnings.end()) {
    const Status told = StoreOf(name).Append(JobKind::kTraining, name, {"warning", WallTimeNs(), {{"text", text}}});
    if (!told) LogWarning("job " + name + ": " + told.error().message);
  }
  if (!placement.is_counted || placement.gpus.empty()) return Json::object();
  return {{job.instance_type,
           {{"cpus", placement.cpus / std::max(1u, job.instance_count)}, {"gpus", placement.gpus[0].size()}}}};
}

void Supervisor::Launch(const std::string& name, const Placement& placement, JobServices services,
                        std::vector<Machine> machines) {
  auto running = std::make_unique<Running>();
  running->placement = placement;
  running->services = std::move(services);
  running->store = &StoreOf(name);
  Running& started = *running_.emplace(name, std::move(running)).first->second;
  started.thread = std::thread([this, name, &started, machines = std::move(machines)]() mutable {
    RunJob(name, started, std::move(machines));
    const std::lock_guard lock(mutex_);
    started.has_ended = true;
    changed_.notify_all();
  });
}

Result<std::map<std::string, std::string>> Supervisor::BeginScriptService(const std::string& name,
                                                                          ScriptService& service) {
  LEAT_ASSIGN_OR_RETURN(const ScriptService::Given given, service.Begin());
  LEAT_ASSIGN_OR_RETURN(const JobState state, store_.Load(name));
  for (const auto& warning : given.warnings) {
    if (std::ranges::find(state.warnings, warning) != state.warnings.end()) continue;
    LEAT_RETURN_IF_ERROR(store_.Append(JobKind::kTraining, name, {"warning", WallTimeNs(), {{"text", warning}}}));
  }
  return given.variables;
}

void Supervisor::RunJob(const std::string& name, Running& running, std::vector<Machine> machines) {
  SilentObserver observer;
  RunServices services{state_directory_, *running.store, *running.services.file_systems, *running.services.repositories,
                       observer,         never_,         running.services.environment,   std::move(machines)};
  Result<JobState> state = Fail(ErrorCode::kInternal, "");
  try {
    Result<std::map<std::string, std::string>> variables;
    if (running.services.script) variables = BeginScriptService(name, *running.services.script);
    if (variables) {
      services.script_variables = std::move(*variables);
      if (const unsigned port = running.placement.port; port > 0)
        services.script_variables.emplace("MASTER_PORT", std::to_string(port));
      state = RunTrainingJob(name, services);
    } else {
      state = Fail(variables.error());
    }
  } catch (const std::exception& error) {
    state = Fail(ErrorCode::kInternal, std::string("an exception: ") + error.what());
  }
  running.services.script.reset();  // waits for what it is doing, which must hold up no other job
  if (state && state->IsTerminal()) return;
  if (state) state = Fail(ErrorCode::kIo, "its end could not be recorded");
  Error why = state.error();
  running.is_over = !MayPass(why.code);
  if (running.is_over) {
    const auto last = running.store->Load(name);
    const auto kept = EndLeftovers(state_directory_, name, last ? &*last : nullptr, running.services.environment);
    running.is_over = static_cast<bool>(kept);
    const std::string& more = kept ? *kept : kept.error().message;
    if (!more.empty()) why.message += "; " + more;
  }
  running.outcome = Fail(std::move(why));
}

}  // namespace leat::jobs
