// SPDX-License-Identifier: Apache-2.0
#include "tuner/tunings.h"

#include "base/log.h"

namespace leat::tuner {
namespace {

constexpr std::chrono::seconds kAgainAfter{10};

}  // namespace

Tunings::Tunings(jobs::JobStore& store, jobs::JobSubmitter& submitter, TuningServicesFactory& factory)
    : store_(store), submitter_(submitter), factory_(factory) {}

Tunings::~Tunings() {
  leave_ = true;
  for (auto& [name, running] : running_) running->thread.join();
}

Result<bool> Tunings::Turn() {
  ReapEnded();
  LEAT_ASSIGN_OR_RETURN(const auto unfinished, store_.Unfinished(jobs::JobKind::kTuning));
  const auto now = std::chrono::steady_clock::now();
  for (const auto& name : unfinished) {
    if (running_.contains(name)) continue;
    if (const auto again = again_at_.find(name); again != again_at_.end()) {
      if (now < again->second) continue;
      again_at_.erase(again);
    }
    Start(name);
  }
  return !unfinished.empty() || !running_.empty();
}

void Tunings::Start(const std::string& name) {
  Running& running = *running_.emplace(name, std::make_unique<Running>()).first->second;
  running.data = factory_.WatcherFor(name);
  running.thread = std::thread([this, name, &running] {
    const TunerServices services{store_, submitter_, running.data.get(), leave_};
    try {
      const auto study = RunTuningJob(name, services);
      if (!study) running.outcome = Fail(study.error());
    } catch (const std::exception& error) {
      running.outcome = Fail(ErrorCode::kInternal, std::string("an exception: ") + error.what());
    }
    running.has_ended = true;
  });
}

void Tunings::ReapEnded() {
  for (auto at = running_.begin(); at != running_.end();) {
    Running& running = *at->second;
    if (!running.has_ended) {
      ++at;
      continue;
    }
    running.thread.join();
    if (!running.outcome) {
      // Nobody can run it; its training jobs end by themselves.
      const std::string reason = running.outcome.error().message;
      LogError("tuning job " + at->first + " cannot be run: " + reason);
      const Status told = store_.Append(
          jobs::JobKind::kTuning, at->first,
          {"ended", jobs::WallTimeNs(), {{"status", "Failed"}, {"failure_reason", "InternalServerError: " + reason}}});
      if (!told) {
        LogError("tuning job " + at->first + ": " + told.error().message);
        again_at_[at->first] = std::chrono::steady_clock::now() + kAgainAfter;
      }
    }
    factory_.OnTuningEnded(at->first);
    at = running_.erase(at);
  }
}

}  // namespace leat::tuner
