// SPDX-License-Identifier: Apache-2.0
// Restores, and the hydrator's own thread: it pulls objects from sources, only so many that the requests in flight
// never run dry, starts what is queued, ends what has waited too long, and tells who asked when all is done.
#include <algorithm>
#include <utility>

#include "hydrate/hydrator_implementation.h"

namespace leat::hydrate {
namespace {

constexpr size_t kPullCount = 64;                 // objects asked of a source at a time
constexpr int kStepsPerTurn = 512;                // of one restore, before the others and the queues get their turn
constexpr std::chrono::milliseconds kTick{100};   // how late a deadline or a cancelled restore may be noticed
constexpr std::chrono::milliseconds kPause{100};  // of a restore that the cache told "not now"
constexpr uint32_t kRefusalsMax = 3;              // of one object by the cache's disk, before it counts as failed

}  // namespace

void HydratorImplementation::Restore(std::shared_ptr<Repository> repository, std::unique_ptr<HydrationSource> source,
                                     BackgroundPriority priority, std::shared_ptr<HydrationProgress> progress,
                                     std::function<void(Status)> done) {
  auto operation = std::make_shared<RestoreOperation>();
  operation->repository = std::move(repository);
  operation->source = std::move(source);
  operation->dataset = operation->source->Dataset();
  operation->priority = priority;
  operation->progress = std::move(progress);
  operation->done = std::move(done);
  {
    std::lock_guard lock(mutex_);
    if (!stopping_) {
      if (operation->dataset && CancellingLocked(*operation->dataset)) operation->cancelled = true;
      operations_.push_back(std::move(operation));
      WakeLocked();
      return;
    }
  }
  operation->progress->finished = true;
  operation->done(Fail(ErrorCode::kCancelled, "the file system is stopping"));
}

void HydratorImplementation::Work() {
  for (;;) {
    std::vector<std::shared_ptr<RestoreOperation>> operations;
    std::vector<std::shared_ptr<Repository>> released;
    {
      std::lock_guard lock(mutex_);
      operations.assign(operations_.begin(), operations_.end());
      released.swap(released_);
    }
    released.clear();
    bool more = false, cancelled = false;
    for (const auto& operation : operations) {
      more = Fill(operation) || more;
      std::lock_guard lock(mutex_);
      cancelled = cancelled || operation->cancelled;
    }
    if (cancelled) DropUnwanted();
    operations.clear();
    FinishOperations();
    TimeOutReaders();
    LaunchReady(Priority::kRestore);
    HedgeLate();
    std::unique_lock lock(mutex_);
    if (quit_) break;
    const auto tick = running_.empty() ? kTick : std::min(kTick, options_.hedge_tick);
    if (!more) wake_.wait_for(lock, tick, [&] { return wake_requested_; });
    wake_requested_ = false;
  }
  // The last of the repositories, outside the lock.
  std::vector<std::shared_ptr<Repository>> released;
  std::lock_guard lock(mutex_);
  released.swap(released_);
}

bool HydratorImplementation::Fill(const std::shared_ptr<RestoreOperation>& operation) {
  for (int step = 0; step < kStepsPerTurn; ++step) {
    bool no_room = false;
    {
      std::lock_guard lock(mutex_);
      if (operation->progress->cancelled) operation->cancelled = true;
      if (operation->cancelled) return false;
      no_room = operation->no_room;
      if (!no_room) {
        if (clock_.Now() < operation->paused_until) return false;
        if (operation->outstanding >= 2 * static_cast<size_t>(options_.requests_in_flight_max)) return false;
      }
      // What had to wait goes first.
      for (WantedObject& wanted : operation->postponed) operation->pulled.push_back(std::move(wanted));
      operation->postponed.clear();
    }
    if (no_room) return Drain(*operation);
    if (!FillOne(operation)) return false;
  }
  return true;
}

bool HydratorImplementation::FillOne(const std::shared_ptr<RestoreOperation>& operation) {
  if (operation->large) {
    AskForRange(operation);
    return true;
  }
  if (operation->pulled.empty() && !Pull(*operation)) return false;
  if (operation->pulled.empty()) return true;
  auto object = std::make_shared<RestoredObject>();
  object->operation = operation;
  object->object = std::move(operation->pulled.back().object);
  object->bytes_counted = operation->pulled.back().bytes_counted;
  object->refusals = operation->pulled.back().refusals;
  operation->pulled.pop_back();
  const Chunks chunks(object->object);
  const bool present = object->object.size_bytes == 0 || cache_.Contains(object->object, 0, object->object.size_bytes);
  if (!present && !chunks.small()) {
    operation->large = std::move(object);
    operation->large_chunk = 0;
    return true;
  }
  std::lock_guard lock(mutex_);
  if (operation->cancelled) return false;
  object->all_asked = true;
  if (present) {
    FinishObjectLocked(*object);
  } else {
    AskLocked(operation->repository, object->object, 0, 1,
              operation->priority == BackgroundPriority::kHydration ? Priority::kHydration : Priority::kRestore,
              object);
  }
  return true;
}

bool HydratorImplementation::Pull(RestoreOperation& operation) {
  {
    std::lock_guard lock(mutex_);
    if (operation.exhausted) return false;
  }
  const bool more_to_come = operation.source->MoreToCome();  // before Next, or the last objects could be missed
  std::vector<cache::ObjectRef> next = operation.source->Next(kPullCount);
  std::reverse(next.begin(), next.end());
  for (cache::ObjectRef& object : next) operation.pulled.push_back({std::move(object)});
  std::lock_guard lock(mutex_);
  if (operation.pulled.empty() && more_to_come) return false;
  operation.exhausted = operation.pulled.empty();
  if (!operation.pulled.empty() && !operation.dataset) {
    operation.dataset = operation.pulled.back().object.dataset;
    if (CancellingLocked(*operation.dataset)) operation.cancelled = true;
    quiet_.notify_all();  // who waits for another dataset need not wait for this restore any more
  }
  return !operation.exhausted && !operation.cancelled;
}

void HydratorImplementation::AskForRange(const std::shared_ptr<RestoreOperation>& operation) {
  const auto object = operation->large;
  const Chunks chunks(object->object);
  const uint64_t range = std::max<uint64_t>(1, options_.range_bytes_max / chunks.chunk_bytes);
  const uint64_t first = operation->large_chunk, end = std::min(chunks.count(), first + range);
  std::vector<uint64_t> missing;
  for (uint64_t chunk = first; chunk < end; ++chunk) {
    if (!cache_.Contains(object->object, chunks.OffsetOf(chunk), chunks.LengthOf(chunk))) missing.push_back(chunk);
  }
  operation->large_chunk = end;
  std::lock_guard lock(mutex_);
  if (operation->cancelled) return;
  const Priority priority =
      operation->priority == BackgroundPriority::kHydration ? Priority::kHydration : Priority::kRestore;
  for (size_t at = 0; at < missing.size();) {
    size_t next = at + 1;
    while (next < missing.size() && missing[next] == missing[next - 1] + 1) ++next;
    AskLocked(operation->repository, object->object, missing[at], missing[next - 1] + 1, priority, object);
    at = next;
  }
  if (end < chunks.count()) return;
  operation->large = nullptr;
  object->all_asked = true;
  if (object->parts == 0) FinishObjectLocked(*object);
}

bool HydratorImplementation::Drain(RestoreOperation& operation) {
  // The cache is full: what is left is counted, not fetched.
  if (operation.large) {
    std::lock_guard lock(mutex_);
    const auto object = std::move(operation.large);
    operation.large = nullptr;
    object->all_asked = true;
    if (object->status) object->status = Fail(ErrorCode::kNoSpace, "the cache is full");
    if (object->parts == 0) FinishObjectLocked(*object);
  }
  if (operation.pulled.empty() && !Pull(operation)) return false;
  while (!operation.pulled.empty()) {
    const WantedObject wanted = std::move(operation.pulled.back());
    operation.pulled.pop_back();
    const uint64_t size_bytes = wanted.object.size_bytes;
    if (size_bytes == 0 || cache_.Contains(wanted.object, 0, size_bytes)) {
      ++operation.progress->objects_done;
      operation.progress->bytes_done += size_bytes - wanted.bytes_counted;
    } else {
      ++operation.progress->objects_skipped;
    }
  }
  return true;
}

void HydratorImplementation::EndPartLocked(RestoredObject& object, const Status& status) {
  --object.parts;
  --object.operation->outstanding;
  if (!status && object.status) object.status = status;
  if (!status && status.error().code == ErrorCode::kNoSpace) object.operation->no_room = true;
  if (!status && status.error().code == ErrorCode::kBusy) PauseLocked(*object.operation);
  if (object.parts == 0 && object.all_asked) FinishObjectLocked(object);
}

void HydratorImplementation::PauseLocked(RestoreOperation& operation) {
  const env::MonotonicTime now = clock_.Now();
  if (!operation.waits_since) operation.waits_since = now;
  operation.paused_until = now + kPause;
  if (now - *operation.waits_since > options_.room_wait_max) operation.no_room = true;
}

void HydratorImplementation::FinishObjectLocked(RestoredObject& object) {
  RestoreOperation& operation = *object.operation;
  HydrationProgress& progress = *operation.progress;
  if (object.status) {
    ++progress.objects_done;
    progress.bytes_done += object.object.size_bytes - object.bytes_counted;
  } else if (object.status.error().code == ErrorCode::kNoSpace) {
    ++progress.objects_skipped;
  } else if (object.status.error().code == ErrorCode::kBusy && object.refusals < kRefusalsMax) {
    operation.postponed.push_back({std::move(object.object), object.bytes_counted, object.refusals});
  } else if (object.status.error().code != ErrorCode::kCancelled || !operation.cancelled) {
    ++progress.objects_failed;
    if (operation.first_error) operation.first_error = object.status;
  }
}

void HydratorImplementation::FinishOperations() {
  std::vector<std::pair<std::shared_ptr<RestoreOperation>, Status>> finished;
  {
    std::lock_guard lock(mutex_);
    for (const auto& operation : operations_) {
      const bool all_asked =
          operation->exhausted && operation->pulled.empty() && operation->postponed.empty() && !operation->large;
      if (operation->outstanding > 0 || !(all_asked || operation->cancelled)) continue;
      Status status = operation->first_error;
      if (operation->cancelled) status = Fail(ErrorCode::kCancelled, "the restore was cancelled");
      finished.emplace_back(operation, std::move(status));
    }
  }
  for (auto& [operation, status] : finished) {
    operation->progress->finished = true;
    operation->done(std::move(status));
    operation->done = nullptr;
    operation->source = nullptr;
    operation->large = nullptr;  // points back
    std::shared_ptr<Repository> repository = std::move(operation->repository);
    std::lock_guard lock(mutex_);
    released_.push_back(std::move(repository));
    operations_.remove(operation);
    quiet_.notify_all();
  }
}

void HydratorImplementation::TimeOutReaders() {
  std::vector<Answer> answers;
  const env::MonotonicTime now = clock_.Now();
  {
    std::lock_guard lock(mutex_);
    while (!readers_.empty() && readers_.front()->deadline <= now) {
      AnswerLocked(readers_.front(),
                   Fail(ErrorCode::kTimedOut,
                        "the repository did not answer a read in time; it may be unreachable, "
                        "the read can be tried again"),
                   answers);
    }
  }
  Run(answers);
}

}  // namespace leat::hydrate
