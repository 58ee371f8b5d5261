// SPDX-License-Identifier: Apache-2.0
// The life of one fetch: what the cache has by now is served from there, room is reserved, the GET runs, each chunk
// goes to the cache and to those who wait for it, and at the end whoever is left learns why.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "hydrate/hydrator_implementation.h"

namespace leat::hydrate {
namespace {

FlightKey KeyOf(const Fetch& fetch, uint64_t chunk) { return {fetch.object.dataset, fetch.object.id, chunk}; }

bool HasLive(const std::vector<std::shared_ptr<Reader>>& readers) {
  return std::any_of(readers.begin(), readers.end(), [](const auto& reader) { return !reader->finished; });
}

class Receiver final : public env::GetReceiver {
 public:
  Receiver(HydratorImplementation& hydrator, std::shared_ptr<Fetch> fetch)
      : hydrator_(hydrator), fetch_(std::move(fetch)) {}
  void OnStart(const ObjectInfo& info) override { hydrator_.OnStart(*fetch_, info); }
  void OnData(std::span<const std::byte> bytes) override { hydrator_.OnData(fetch_, bytes); }
  // The hydrator may be gone when this returns; the receiver itself lives as long as the store likes.
  void OnDone(Status status) override { hydrator_.OnDone(fetch_, std::move(status)); }

 private:
  HydratorImplementation& hydrator_;
  const std::shared_ptr<Fetch> fetch_;
};

}  // namespace

void HydratorImplementation::Launch(const FetchPointer& fetch) {
  if (!ServeFromCache(fetch)) return EndFetch(fetch, {}, false);
  fetch->kept = ReserveRoom(*fetch);
  if (!fetch->kept) {
    bool wanted = false;
    {
      std::lock_guard lock(mutex_);
      wanted = TrimToWaitersLocked(*fetch);
    }
    if (!wanted) return EndFetch(fetch, fetch->kept, false);
  }
  fetch->chunk_at = fetch->chunk_first;
  StartGet(fetch);
}

bool HydratorImplementation::ServeFromCache(const FetchPointer& fetch) {
  // Between a reader's miss and the start of its fetch another fetch may have brought the bytes.
  const Chunks chunks(fetch->object);
  const uint64_t end = fetch->chunk_end;
  std::vector<std::pair<uint64_t, uint64_t>> missing;  // runs of chunks
  for (uint64_t chunk = fetch->chunk_first; chunk < end; ++chunk) {
    const uint64_t offset = chunks.OffsetOf(chunk), length = chunks.LengthOf(chunk);
    bool present = cache_.Contains(fetch->object, offset, length);
    while (present && !Deliver(fetch, chunk, nullptr, false)) {
      const auto buffer = std::make_shared<Buffer>(memory_, length);
      present = cache_.Read(fetch->object, offset, buffer->bytes());
      if (present && Deliver(fetch, chunk, buffer, false)) {
        buffer->Hold();
        break;
      }
    }
    if (present) continue;
    if (missing.empty() || missing.back().second != chunk) missing.emplace_back(chunk, chunk);
    missing.back().second = chunk + 1;
  }
  if (missing.empty()) return false;
  std::lock_guard lock(mutex_);
  fetch->chunk_first = missing[0].first;
  fetch->chunk_end = missing[0].second;
  for (size_t run = 1; run < missing.size(); ++run) {
    auto rest = std::make_shared<Fetch>();
    rest->repository = fetch->repository;
    rest->object = fetch->object;
    rest->chunk_first = missing[run].first;
    rest->chunk_end = missing[run].second;
    rest->priority = fetch->priority;
    rest->retried = fetch->retried;
    rest->cancelled = fetch->cancelled;
    for (const auto& watcher : fetch->watchers) WatchLocked(*rest, watcher);
    for (uint64_t chunk = rest->chunk_first; chunk < rest->chunk_end; ++chunk) {
      flights_[KeyOf(*rest, chunk)] = rest;
      if (auto readers = fetch->waiters.extract(chunk)) rest->waiters.insert(std::move(readers));
    }
    QueueLocked(rest);
  }
  WakeLocked();
  return true;
}

Status HydratorImplementation::ReserveRoom(Fetch& fetch) {
  const Chunks chunks(fetch.object);
  const uint64_t offset = chunks.OffsetOf(fetch.chunk_first);
  const uint64_t length = chunks.OffsetOf(fetch.chunk_end) - offset;
  if (fetch.priority == Priority::kHydration && cache_.FreeBytes() < length) {
    return cache_.MakesRoom() ? Fail(ErrorCode::kBusy, "room is being made in the cache")
                              : Fail(ErrorCode::kNoSpace, "the cache is full");
  }
  LEAT_ASSIGN_OR_RETURN(fetch.writer, cache_.StartWrite(fetch.object, offset, length));
  return {};
}

bool HydratorImplementation::TrimToWaitersLocked(Fetch& fetch) {
  for (const auto& watcher : fetch.watchers) EndPartLocked(*watcher, fetch.kept);
  fetch.watchers.clear();
  uint64_t first = fetch.chunk_end, end = fetch.chunk_first;
  for (const auto& [chunk, readers] : fetch.waiters) {
    if (!HasLive(readers)) continue;
    first = std::min(first, chunk);
    end = std::max(end, chunk + 1);
  }
  for (uint64_t chunk = fetch.chunk_first; chunk < fetch.chunk_end; ++chunk) {
    if (chunk < first || chunk >= end) flights_.erase(KeyOf(fetch, chunk));  // nobody may join it any more
  }
  if (first >= end) return false;
  fetch.chunk_first = first;
  fetch.chunk_end = end;
  return true;
}

void HydratorImplementation::StartGet(const FetchPointer& fetch) {
  const Chunks chunks(fetch->object);
  env::GetRequest request;
  request.key = fetch->object.key;
  request.if_match = fetch->object.etag;
  request.background = fetch->priority >= Priority::kHydration;
  if (!chunks.small()) {
    request.offset = chunks.OffsetOf(fetch->chunk_at);
    request.length = chunks.OffsetOf(fetch->chunk_end) - request.offset;
  }
  fetch->received_bytes = 0;
  fetch->filled_bytes = 0;
  fetch->filling = nullptr;
  fetch->failure = {};
  std::shared_ptr<Repository> repository;
  std::shared_ptr<HedgedGet> get;
  {
    std::lock_guard lock(mutex_);
    ++starting_;
    repository = fetch->repository;
    if (!fetch->cancelled) {
      get =
          std::make_shared<HedgedGet>(*repository->store, std::move(request), std::make_shared<Receiver>(*this, fetch));
      fetch->get = get;
      HedgingLocked(fetch->object.dataset).Sent();
    }
  }
  if (get) {
    get->Start(clock_.Now());  // from here on the fetch belongs to the store's thread
  } else {
    fetch->writer.reset();
    EndFetch(fetch, Fail(ErrorCode::kCancelled, "cancelled"), false);
  }
  // The fetch may be over: this thread, which may be the store's, is what the hydrator's end waits for.
  std::lock_guard lock(mutex_);
  released_.push_back(std::move(repository));
  --starting_;
  quiet_.notify_all();
}

void HydratorImplementation::OnStart(Fetch& fetch, const ObjectInfo& info) {
  NoteFirstByte(fetch);
  if (info.etag != fetch.object.etag || info.size_bytes != fetch.object.size_bytes) {
    fetch.failure =
        Fail(ErrorCode::kObjectChanged, "the object is no longer the version that was listed: " + fetch.object.key +
                                            "; open the file again to get the new one");
    return;
  }
  if (fetch.repository->on_object_info) fetch.repository->on_object_info(info);
}

void HydratorImplementation::OnData(const FetchPointer& fetch, std::span<const std::byte> bytes) {
  const Chunks chunks(fetch->object);
  while (!bytes.empty() && fetch->failure) {
    if (fetch->chunk_at >= fetch->chunk_end) {
      fetch->failure =
          Fail(ErrorCode::kProtocol, "the repository sent more bytes than were asked for of " + fetch->object.key);
      return;
    }
    const uint64_t length = chunks.LengthOf(fetch->chunk_at);
    if (!fetch->filling) fetch->filling = std::make_shared<Buffer>(memory_, length);
    const size_t taken = std::min<size_t>(bytes.size(), length - fetch->filled_bytes);
    if (taken == 0) {  // a small object that is whole already
      fetch->chunk_at = fetch->chunk_end;
      continue;
    }
    std::memcpy(fetch->filling->bytes().data() + fetch->filled_bytes, bytes.data(), taken);
    fetch->filled_bytes += taken;
    fetch->received_bytes += taken;
    bytes = bytes.subspan(taken);
    // A small object is kept and handed out when the store says that it is right as a whole.
    if (fetch->filled_bytes < length || chunks.small()) continue;
    FinishChunk(fetch, fetch->chunk_at);
    fetch->filled_bytes = 0;
    ++fetch->chunk_at;
  }
}

void HydratorImplementation::OnDone(const FetchPointer& fetch, Status status) {
  const Chunks chunks(fetch->object);
  if (!fetch->failure && (status || status.error().code != ErrorCode::kCancelled)) status = fetch->failure;
  if (status && chunks.small()) {
    if (fetch->filled_bytes == fetch->object.size_bytes) {
      FinishChunk(fetch, 0);
      fetch->chunk_at = fetch->chunk_end;
    }
  }
  if (status && fetch->chunk_at < fetch->chunk_end) {
    status = Fail(ErrorCode::kProtocol, "the repository sent fewer bytes than were asked for of " + fetch->object.key);
  }
  if (!status && status.error().code == ErrorCode::kCorrupt && RetryCorrupt(fetch)) return;
  fetch->writer.reset();
  fetch->filling = nullptr;
  EndFetch(fetch, std::move(status), true);
}

bool HydratorImplementation::RetryCorrupt(const FetchPointer& fetch) {
  // The store cannot say which bytes are wrong: blocks that were kept already go too.
  if (fetch->committed) {
    fetch->writer.reset();
    cache_.Release(fetch->object);
  }
  {
    std::lock_guard lock(mutex_);
    for (uint64_t chunk = fetch->chunk_first; chunk < fetch->chunk_at; ++chunk) {
      read_through_.Forget(KeyOf(*fetch, chunk));
    }
    if (fetch->retried || fetch->cancelled) return false;
    fetch->retried = true;
    const uint64_t again_end = fetch->committed ? fetch->chunk_at : fetch->chunk_first;
    const auto watchers = fetch->watchers;
    for (const auto& watcher : watchers) {
      AskLocked(fetch->repository, fetch->object, fetch->chunk_first, again_end, fetch->priority, watcher);
    }
    if (!watchers.empty()) {
      for (uint64_t chunk = fetch->chunk_first; chunk < again_end; ++chunk) {
        flights_.at(KeyOf(*fetch, chunk))->retried =
            true;  // or a body that is always wrong would be asked for for ever
      }
    }
  }
  if (!Chunks(fetch->object).small()) {
    {
      std::lock_guard lock(mutex_);
      fetch->chunk_first = fetch->chunk_at;
    }
    if (fetch->chunk_at == fetch->chunk_end) {
      EndFetch(fetch, {}, true);
      return true;
    }
    if (!fetch->writer && fetch->kept) fetch->kept = ReserveRoom(*fetch);
  }
  fetch->chunk_at = fetch->chunk_first;
  fetch->committed = false;
  StartGet(fetch);
  return true;
}

void HydratorImplementation::FinishChunk(const FetchPointer& fetch, uint64_t chunk) {
  const std::shared_ptr<const Buffer> buffer = std::exchange(fetch->filling, nullptr);
  if (fetch->writer) {
    // However slow the cache's disk is, a reader does not wait for it.
    std::vector<Answer> answers;
    {
      std::lock_guard lock(mutex_);
      fetch->answered_bytes = AnswerWaitersLocked(*fetch, chunk, buffer, answers);
    }
    Run(answers);
    KeepChunk(*fetch, buffer->bytes());
  }
  Deliver(fetch, chunk, buffer, true);
  buffer->Hold();
}

void HydratorImplementation::KeepChunk(Fetch& fetch, std::span<const std::byte> bytes) {
  fetch.writer->Append(bytes);
  fetch.kept = fetch.writer->Commit();
  if (fetch.kept) {
    fetch.committed = true;
    return;
  }
  fetch.writer.reset();
  const ErrorCode code = fetch.kept.error().code;
  if (code != ErrorCode::kIo && code != ErrorCode::kNoSpace) return;
  // There was room, the disk refused: that may pass.
  fetch.refused = true;
  fetch.kept = Fail(ErrorCode::kBusy, fetch.kept.error().message);
}

uint64_t HydratorImplementation::AnswerWaitersLocked(Fetch& fetch, uint64_t chunk,
                                                     const std::shared_ptr<const Buffer>& buffer,
                                                     std::vector<Answer>& answers) {
  const auto waiting = fetch.waiters.find(chunk);
  if (waiting == fetch.waiters.end()) return 0;
  uint64_t bytes = 0;
  for (const auto& reader : waiting->second) {
    if (reader->finished) continue;
    bytes += reader->BytesOf(chunk, buffer->bytes().size());
    reader->parts[chunk - reader->chunk_first] = buffer;
    if (--reader->missing == 0) AnswerLocked(reader, {}, answers);
  }
  fetch.waiters.erase(waiting);
  return bytes;
}

bool HydratorImplementation::Deliver(const FetchPointer& fetch, uint64_t chunk, std::shared_ptr<const Buffer> buffer,
                                     bool fetched) {
  std::vector<Answer> answers;
  {
    std::lock_guard lock(mutex_);
    const auto waiting = fetch->waiters.find(chunk);
    if (!buffer && waiting != fetch->waiters.end() && HasLive(waiting->second)) return false;
    const auto flight = flights_.find(KeyOf(*fetch, chunk));
    if (flight != flights_.end() && flight->second == fetch) flights_.erase(flight);
    uint64_t read_bytes = std::exchange(fetch->answered_bytes, 0);
    if (buffer) {
      read_bytes += AnswerWaitersLocked(*fetch, chunk, buffer, answers);
    } else {
      fetch->waiters.erase(chunk);  // those who waited have given up
    }
    if (fetched) {
      if (!fetch->writer && read_bytes > 0) read_through_.Insert(KeyOf(*fetch, chunk), buffer, read_bytes);
      const uint64_t bytes = buffer->bytes().size();
      for (Totals* totals : {&totals_, &totals_by_dataset_[fetch->object.dataset]}) {
        totals->fetched_bytes += bytes;
        if (!fetch->writer) totals->read_through_bytes += bytes;
        if (chunk == 0) ++totals->fetched_objects;
      }
      for (const auto& watcher : fetch->watchers) {
        if (!fetch->writer) continue;
        const uint64_t counted = std::min(bytes, watcher->object.size_bytes - watcher->bytes_counted);
        watcher->bytes_counted += counted;
        watcher->operation->progress->bytes_done += counted;
        watcher->operation->waits_since.reset();
      }
    }
  }
  Run(answers);
  return true;
}

void HydratorImplementation::EndFetch(const FetchPointer& fetch, Status status, bool requested) {
  std::vector<Answer> answers;
  std::shared_ptr<HedgedGet> get;
  {
    std::lock_guard lock(mutex_);
    get.swap(fetch->get);
    for (uint64_t chunk = fetch->chunk_first; chunk < fetch->chunk_end; ++chunk) {
      const auto flight = flights_.find(KeyOf(*fetch, chunk));
      if (flight != flights_.end() && flight->second == fetch) flights_.erase(flight);
    }
    // Cancelled for those who wanted it, but somebody else joined meanwhile: the work starts anew for them.
    const bool again = !status && status.error().code == ErrorCode::kCancelled && fetch->cancelled &&
                       !CancellingLocked(fetch->object.dataset);
    for (auto& [chunk, readers] : fetch->waiters) {
      if (!HasLive(readers)) continue;
      LEAT_CHECK(!status);
      if (again) {
        AskLocked(fetch->repository, fetch->object, chunk, chunk + 1, Priority::kDemand, nullptr);
        auto& waiters = flights_.at(KeyOf(*fetch, chunk))->waiters[chunk];
        waiters.insert(waiters.end(), readers.begin(), readers.end());
      } else {
        for (const auto& reader : readers) AnswerLocked(reader, status, answers);
      }
    }
    fetch->waiters.clear();
    for (const auto& watcher : fetch->watchers) {
      if (fetch->refused) ++watcher->refusals;
      if (again && !watcher->operation->cancelled) {
        AskLocked(fetch->repository, fetch->object, fetch->chunk_first, fetch->chunk_end, fetch->priority, watcher);
        EndPartLocked(*watcher, fetch->kept);
      } else {
        EndPartLocked(*watcher, status ? fetch->kept : status);
      }
    }
    fetch->watchers.clear();
    fetch->state = FetchState::kEnded;
    if (requested) {
      const bool throttled = !status && status.error().code == ErrorCode::kThrottled;
      if (throttled) HedgingLocked(fetch->object.dataset).Throttled(clock_.Now().time_since_epoch().count());
      concurrency_.Completed(clock_.Now().time_since_epoch().count(), fetch->received_bytes,
                             std::exchange(limit_reached_, false), throttled);
    }
  }
  Run(answers);
  std::lock_guard lock(mutex_);
  reserved_bytes_ -= fetch->reserved_bytes;
  if (fetch->background_range) --background_ranges_;
  released_.push_back(std::move(fetch->repository));
  running_.erase(fetch.get());
  WakeLocked();
  quiet_.notify_all();
}

}  // namespace leat::hydrate
