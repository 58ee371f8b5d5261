// SPDX-License-Identifier: Apache-2.0
#include "hydrate/hydrator.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "hydrate/hydrator_implementation.h"

namespace leat::hydrate {
namespace {

FlightKey KeyOf(const cache::ObjectRef& object, uint64_t chunk) { return {object.dataset, object.id, chunk}; }

bool Wanted(const Fetch& fetch) {
  for (const auto& [chunk, readers] : fetch.waiters) {
    for (const auto& reader : readers) {
      if (!reader->finished) return true;
    }
  }
  return std::any_of(fetch.watchers.begin(), fetch.watchers.end(),
                     [](const auto& watcher) { return !watcher->operation->cancelled; });
}

}  // namespace

std::unique_ptr<Hydrator> Hydrator::Create(HydratorOptions options, cache::Cache& cache, const env::Clock& clock) {
  auto hydrator = std::make_unique<HydratorImplementation>(options, cache, clock);
  hydrator->StartThread();
  return hydrator;
}

HydratorImplementation::HydratorImplementation(HydratorOptions options, cache::Cache& cache, const env::Clock& clock)
    : options_(options),
      cache_(cache),
      clock_(clock),
      memory_(std::make_shared<BufferGauge>()),
      streams_({.block_bytes = cache::kBlockBytes,
                .range_bytes_first = std::max(options.range_bytes_first, cache::kBlockBytes),
                .range_bytes_max = std::max(options.range_bytes_max, cache::kBlockBytes),
                .ahead_bytes_max = options.ahead_bytes_max}),
      read_through_(std::min(options.read_through_bytes_max, options.memory_bytes_max / 4)),
      // At the most from the start: an epoch is short, and a repository that has enough says so.
      concurrency_({.limit_start = std::max(1u, options.requests_in_flight_max),
                    .limit_max = std::max(1u, options.requests_in_flight_max)}) {}

void HydratorImplementation::StartThread() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "leat-hydrate");
    Work();
  });
}

HydratorImplementation::~HydratorImplementation() {
  std::vector<Answer> answers;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    CancelLocked(nullptr, answers);
    WakeLocked();
  }
  Run(answers);
  CancelRequests(nullptr);
  WaitUntilQuiet(nullptr);
  {
    std::lock_guard lock(mutex_);
    quit_ = true;
    WakeLocked();
  }
  if (thread_.joinable()) thread_.join();
}

void HydratorImplementation::Read(std::shared_ptr<Repository> repository, const cache::ObjectRef& object,
                                  uint64_t offset, uint64_t length, std::function<void(Result<DataSlice>)> done) {
  if (offset >= object.size_bytes || length == 0) return done(DataSlice{});
  length = std::min(length, object.size_bytes - offset);
  const Chunks chunks(object);
  FetchPlan plan{.first = offset / chunks.chunk_bytes,
                 .demand_end = (offset + length + chunks.chunk_bytes - 1) / chunks.chunk_bytes};
  const uint64_t read_end = plan.demand_end;
  std::vector<Answer> answers;
  {
    std::lock_guard lock(mutex_);
    auto reader = std::make_shared<Reader>();
    reader->dataset = object.dataset;
    reader->offset = offset;
    reader->length = length;
    reader->chunk_first = plan.first;
    reader->chunk_bytes = chunks.chunk_bytes;
    reader->parts.resize(read_end - plan.first);
    reader->missing = reader->parts.size();
    reader->deadline = clock_.Now() + options_.demand_timeout;
    reader->done = std::move(done);
    reader->place = readers_.insert(readers_.end(), reader);
    if (CancellingLocked(object.dataset)) {
      AnswerLocked(reader, Fail(ErrorCode::kCancelled, "the file system is stopping"), answers);
    } else if (!ServeReadThroughLocked(reader, object, answers)) {
      if (!chunks.small()) plan = streams_.Plan(object, offset, length);
      AskLocked(repository, object, plan.first, read_end, Priority::kDemand, nullptr);
      if (plan.demand_end > read_end) {
        // One request for the read and what follows it, where nothing of it is on its way yet.
        const auto last = flights_.at(KeyOf(object, read_end - 1));
        uint64_t end = read_end;
        const bool extend = last->state == FetchState::kQueued && last->chunk_end == read_end;
        while (extend && end < plan.demand_end && flights_.try_emplace(KeyOf(object, end), last).second) ++end;
        if (extend) last->chunk_end = end;
        AskLocked(repository, object, end, plan.demand_end, Priority::kReadAhead, nullptr);
      }
      AskAheadLocked(repository, object, plan);
      for (uint64_t chunk = plan.first; chunk < read_end; ++chunk) {
        flights_.at(KeyOf(object, chunk))->waiters[chunk].push_back(reader);
      }
    }
    released_.push_back(std::move(repository));
    if (!queues_[static_cast<size_t>(Priority::kReadAhead)].empty()) WakeLocked();
  }
  Run(answers);
  // Whoever reads must not be made to start the work of others: room for a restore may have to be looked for.
  LaunchReady(Priority::kDemand);
}

void HydratorImplementation::ReadAhead(const std::shared_ptr<Repository>& repository, const cache::ObjectRef& object,
                                       uint64_t offset, uint64_t length) {
  if (Chunks(object).small() || length == 0 || offset >= object.size_bytes) return;
  length = std::min(length, object.size_bytes - offset);
  std::lock_guard lock(mutex_);
  if (CancellingLocked(object.dataset)) return;
  const FetchPlan plan = streams_.Plan(object, offset, length, true);
  if (plan.ahead_ranges == 0) return;
  AskAheadLocked(repository, object, plan);
  WakeLocked();
}

void HydratorImplementation::AskAheadLocked(const std::shared_ptr<Repository>& repository,
                                            const cache::ObjectRef& object, const FetchPlan& plan) {
  const uint64_t chunks = Chunks(object).count();
  for (uint64_t range = 0; range < plan.ahead_ranges; ++range) {
    const uint64_t first = plan.ahead_first + range * plan.range_blocks;
    AskLocked(repository, object, first, std::min(chunks, first + plan.range_blocks), Priority::kReadAhead, nullptr);
  }
}

bool HydratorImplementation::ServeReadThroughLocked(const std::shared_ptr<Reader>& reader,
                                                    const cache::ObjectRef& object, std::vector<Answer>& answers) {
  if (read_through_.empty()) return false;
  std::vector<std::shared_ptr<const Buffer>> parts;
  for (uint64_t chunk = reader->chunk_first; parts.size() < reader->parts.size(); ++chunk) {
    auto held = read_through_.Find(KeyOf(object, chunk));
    if (!held) return false;
    parts.push_back(std::move(held));
  }
  for (size_t part = 0; part < parts.size(); ++part) {
    const uint64_t chunk = reader->chunk_first + part;
    read_through_.Read(KeyOf(object, chunk), reader->BytesOf(chunk, parts[part]->bytes().size()));
  }
  reader->parts = std::move(parts);
  reader->was_held = true;
  AnswerLocked(reader, {}, answers);
  return true;
}

void HydratorImplementation::AskLocked(const std::shared_ptr<Repository>& repository, const cache::ObjectRef& object,
                                       uint64_t first, uint64_t end, Priority priority,
                                       const std::shared_ptr<RestoredObject>& watcher) {
  FetchPointer fresh;
  for (uint64_t chunk = first; chunk < end; ++chunk) {
    const auto found = flights_.find(KeyOf(object, chunk));
    if (found != flights_.end()) {
      fresh = nullptr;
      PromoteLocked(found->second, priority);
      if (watcher) WatchLocked(*found->second, watcher);
      continue;
    }
    if (!fresh) {
      fresh = std::make_shared<Fetch>();
      fresh->repository = repository;
      fresh->object = object;
      fresh->chunk_first = fresh->chunk_end = chunk;
      fresh->priority = priority;
      if (watcher) WatchLocked(*fresh, watcher);
      QueueLocked(fresh);
    }
    fresh->chunk_end = chunk + 1;
    flights_.emplace(KeyOf(object, chunk), fresh);
  }
}

void HydratorImplementation::QueueLocked(const FetchPointer& fetch) {
  fetch->state = FetchState::kQueued;
  queues_[static_cast<size_t>(fetch->priority)].push_back(fetch);
}

void HydratorImplementation::PromoteLocked(const FetchPointer& fetch, Priority priority) {
  if (fetch->state != FetchState::kQueued || priority >= fetch->priority) return;
  fetch->priority = priority;
  QueueLocked(fetch);
}

void HydratorImplementation::WatchLocked(Fetch& fetch, const std::shared_ptr<RestoredObject>& watcher) {
  if (std::find(fetch.watchers.begin(), fetch.watchers.end(), watcher) != fetch.watchers.end()) return;
  fetch.watchers.push_back(watcher);
  ++watcher->parts;
  ++watcher->operation->outstanding;
}

// Of the requests in flight, 1/kDemandPart are for readers only: a reader beyond them waits for the next to end, which
// with many in flight is a moment. Read-ahead leaves more: its ranges are long, and to the store they are as urgent as
// a reader's, so that together they must not be more than its connections.
constexpr uint32_t kDemandPart = 32;
constexpr uint32_t kDemandPartOfReadAhead = 8;

uint64_t HydratorImplementation::ReservationOf(const Fetch& fetch) const {
  const Chunks chunks(fetch.object);
  const uint64_t length = chunks.OffsetOf(fetch.chunk_end) - chunks.OffsetOf(fetch.chunk_first);
  return chunks.LengthOf(fetch.chunk_first) + std::min(length, options_.network_buffer_bytes);
}

HydratorImplementation::FetchPointer HydratorImplementation::PickLocked(Priority least) {
  const auto running = static_cast<uint32_t>(running_.size());
  const uint32_t limit = concurrency_.limit();
  // Some stay free for readers, who overtake what is queued: with a limit of one there is nothing to keep free.
  const auto without = [limit](uint32_t part) { return limit == 1 ? 1 : limit - std::max(1u, limit / part); };
  const std::array<uint32_t, kPriorities> limits = {limit, without(kDemandPartOfReadAhead), without(kDemandPart),
                                                    without(kDemandPart)};
  for (size_t priority = 0; priority <= static_cast<size_t>(least); ++priority) {
    auto& queue = queues_[priority];
    while (!queue.empty() &&
           (queue.front()->state != FetchState::kQueued || static_cast<size_t>(queue.front()->priority) != priority)) {
      queue.pop_front();
    }
    if (queue.empty()) continue;
    if (running >= limits[priority]) {
      limit_reached_ = true;
      if (priority == static_cast<size_t>(Priority::kReadAhead)) continue;  // lesser work may be of another kind
      return nullptr;
    }
    const FetchPointer fetch = queue.front();
    const bool background_range = fetch->priority >= Priority::kHydration && !Chunks(fetch->object).small();
    if (background_range && background_ranges_ >= options_.background_ranges_in_flight_max) continue;
    const uint64_t bytes = ReservationOf(*fetch);
    const uint64_t held = memory_->held.load(std::memory_order_relaxed);
    const uint64_t held_by_readers = held - std::min(held, read_through_.bytes());
    const uint64_t needed = reserved_bytes_ + held_by_readers + bytes;
    // Something must be able to run, however small the budget. What waits for room is not overtaken by lesser work.
    if (running > 0 && needed > options_.memory_bytes_max) return nullptr;
    while (!read_through_.empty() && needed + read_through_.bytes() > options_.memory_bytes_max) {
      read_through_.EvictOldest();
    }
    queue.pop_front();
    fetch->state = FetchState::kRunning;
    if (stopping_) fetch->cancelled = true;
    fetch->reserved_bytes = bytes;
    reserved_bytes_ += bytes;
    fetch->background_range = background_range;
    if (background_range) ++background_ranges_;
    running_.emplace(fetch.get(), fetch);
    return fetch;
  }
  return nullptr;
}

void HydratorImplementation::LaunchReady(Priority least) {
  for (;;) {
    FetchPointer fetch;
    {
      std::lock_guard lock(mutex_);
      fetch = PickLocked(least);
    }
    if (!fetch) return;
    Launch(fetch);
  }
}

void HydratorImplementation::WakeLocked() {
  wake_requested_ = true;
  wake_.notify_one();
}

void HydratorImplementation::CancelLocked(const DatasetId* dataset, std::vector<Answer>& answers) {
  const Status cancelled = Fail(ErrorCode::kCancelled, "the file system is being unmounted");
  for (auto at = readers_.begin(); at != readers_.end();) {
    const auto reader = *at++;
    if (!dataset || reader->dataset == *dataset) AnswerLocked(reader, cancelled, answers);
  }
  for (const auto& operation : operations_) {
    if (!dataset || operation->dataset == *dataset) operation->cancelled = true;
  }
}

void HydratorImplementation::CancelRequests(const DatasetId* dataset) {
  // Queued fetches end here and now, running ones when their store says so.
  std::vector<FetchPointer> queued;
  std::vector<std::pair<std::shared_ptr<Repository>, std::shared_ptr<HedgedGet>>> requests;
  {
    std::lock_guard lock(mutex_);
    for (auto& [key, fetch] : flights_) {
      if (dataset && key.dataset != *dataset) continue;
      if (fetch->state != FetchState::kQueued) continue;
      fetch->state = FetchState::kRunning;
      fetch->reserved_bytes = 0;
      running_.emplace(fetch.get(), fetch);
      queued.push_back(fetch);
    }
    for (auto& [pointer, fetch] : running_) {
      if (dataset && fetch->object.dataset != *dataset) continue;
      fetch->cancelled = true;
      if (fetch->get) requests.emplace_back(fetch->repository, fetch->get);
    }
  }
  for (auto& [repository, get] : requests) get->Cancel();
  for (const auto& fetch : queued) EndFetch(fetch, Fail(ErrorCode::kCancelled, "cancelled"), false);
  std::lock_guard lock(mutex_);
  for (auto& [repository, get] : requests) released_.push_back(std::move(repository));
  WakeLocked();
}

bool HydratorImplementation::QuietLocked(const DatasetId* dataset) const {
  if (!dataset && starting_ > 0) return false;
  const bool fetching = std::any_of(running_.begin(), running_.end(), [&](const auto& running) {
    return !dataset || running.second->object.dataset == *dataset;
  });
  const bool restoring = std::any_of(operations_.begin(), operations_.end(), [&](const auto& operation) {
    return !dataset || !operation->dataset || operation->dataset == *dataset;  // whose it is will be known in a moment
  });
  // A fetch that was split while it was cancelled may have left a queued part behind.
  const auto flight = dataset ? flights_.lower_bound({*dataset, {}, 0}) : flights_.begin();
  const bool queued = flight != flights_.end() && (!dataset || flight->first.dataset == *dataset);
  return !fetching && !restoring && !queued;
}

void HydratorImplementation::WaitUntilQuiet(const DatasetId* dataset) {
  LEAT_CHECK(std::this_thread::get_id() != thread_.get_id());  // it would wait for itself
  std::unique_lock lock(mutex_);
  quiet_.wait(lock, [&] { return QuietLocked(dataset); });
}

void HydratorImplementation::CancelDataset(DatasetId dataset) {
  std::vector<Answer> answers;
  {
    std::lock_guard lock(mutex_);
    cancelling_.insert(dataset);
    CancelLocked(&dataset, answers);
    WakeLocked();
  }
  Run(answers);
  CancelRequests(&dataset);
  WaitUntilQuiet(&dataset);
  std::lock_guard lock(mutex_);
  cancelling_.erase(cancelling_.find(dataset));
  read_through_.ForgetDataset(dataset);
}

void HydratorImplementation::Run(std::vector<Answer>& answers) {
  for (auto& answer : answers) {
    if (!answer.status) {
      answer.done(Fail(answer.status.error()));
      continue;
    }
    const Reader& reader = *answer.reader;
    if (reader.parts.size() == 1) {
      const auto& buffer = reader.parts[0];
      const uint64_t from = reader.offset - reader.chunk_first * reader.chunk_bytes;
      const auto bytes = std::span<const std::byte>(buffer->bytes()).subspan(from, reader.length);
      answer.done(DataSlice{buffer, bytes, reader.was_held});
      continue;
    }
    auto joined = std::make_shared<std::vector<std::byte>>();
    joined->reserve(reader.length);
    uint64_t from = reader.offset - reader.chunk_first * reader.chunk_bytes;
    for (const auto& part : reader.parts) {
      const auto bytes = part->bytes().subspan(from);
      const size_t wanted = std::min<size_t>(bytes.size(), reader.length - joined->size());
      joined->insert(joined->end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(wanted));
      from = 0;
    }
    LEAT_CHECK(joined->size() == reader.length);
    const std::span<const std::byte> bytes(*joined);
    answer.done(DataSlice{std::move(joined), bytes, reader.was_held});
  }
  answers.clear();
}

void HydratorImplementation::AnswerLocked(std::shared_ptr<Reader> reader, const Status& status,
                                          std::vector<Answer>& answers) {
  if (reader->finished) return;
  reader->finished = true;
  readers_.erase(reader->place);
  auto done = std::move(reader->done);
  answers.push_back({std::move(reader), std::move(done), status});
}

void HydratorImplementation::DropUnwanted() {
  std::vector<FetchPointer> dropped;
  std::vector<std::pair<std::shared_ptr<Repository>, std::shared_ptr<HedgedGet>>> requests;
  {
    std::lock_guard lock(mutex_);
    for (const Priority priority : {Priority::kHydration, Priority::kRestore}) {
      for (const auto& fetch : queues_[static_cast<size_t>(priority)]) {
        if (fetch->state != FetchState::kQueued || fetch->priority != priority || Wanted(*fetch)) continue;
        fetch->state = FetchState::kRunning;
        fetch->cancelled = true;  // who joins from here on is served anew by EndFetch
        fetch->reserved_bytes = 0;
        running_.emplace(fetch.get(), fetch);
        dropped.push_back(fetch);
      }
    }
    for (auto& [pointer, fetch] : running_) {
      if (fetch->cancelled || !fetch->get || fetch->watchers.empty() || Wanted(*fetch)) continue;
      if (fetch->priority < Priority::kHydration) continue;
      fetch->cancelled = true;
      requests.emplace_back(fetch->repository, fetch->get);
    }
  }
  for (auto& [repository, get] : requests) get->Cancel();
  for (const auto& fetch : dropped) EndFetch(fetch, Fail(ErrorCode::kCancelled, "cancelled"), false);
}

HydratorStatistics HydratorImplementation::CollectLocked(const DatasetId* dataset) const {
  HydratorStatistics statistics;
  statistics.demand_waiting = static_cast<uint64_t>(std::count_if(
      readers_.begin(), readers_.end(), [&](const auto& reader) { return !dataset || reader->dataset == *dataset; }));
  for (const auto& [pointer, fetch] : running_) {
    if (dataset && fetch->object.dataset != *dataset) continue;
    const Chunks chunks(fetch->object);
    ++statistics.fetching_objects;
    statistics.fetching_bytes += chunks.OffsetOf(fetch->chunk_end) - chunks.OffsetOf(fetch->chunk_first);
  }
  for (const Priority priority : {Priority::kHydration, Priority::kRestore}) {
    for (const auto& fetch : queues_[static_cast<size_t>(priority)]) {
      if (dataset && fetch->object.dataset != *dataset) continue;
      if (fetch->state == FetchState::kQueued && fetch->priority == priority) ++statistics.background_queued;
    }
  }
  Totals totals = totals_;
  if (dataset) {
    const auto found = totals_by_dataset_.find(*dataset);
    totals = found == totals_by_dataset_.end() ? Totals{} : found->second;
  }
  statistics.fetched_objects = totals.fetched_objects;
  statistics.fetched_bytes = totals.fetched_bytes;
  statistics.read_through_bytes = totals.read_through_bytes;
  statistics.hedges_sent = totals.hedges_sent;
  statistics.hedges_won = totals.hedges_won;
  if (!dataset) statistics.memory_bytes = memory_->all.load(std::memory_order_relaxed);
  return statistics;
}

HydratorStatistics HydratorImplementation::Statistics() {
  std::lock_guard lock(mutex_);
  return CollectLocked(nullptr);
}

HydratorStatistics HydratorImplementation::Statistics(DatasetId dataset) {
  std::lock_guard lock(mutex_);
  return CollectLocked(&dataset);
}

}  // namespace leat::hydrate
