// SPDX-License-Identifier: Apache-2.0
// What the hydrator keeps of the work it does: readers that wait, fetches that serve them, restores under way.
//
// All fields are protected by the hydrator's mutex unless a comment says otherwise. A chunk is the unit in which bytes
// are handed to readers and kept: a small object whole, or one block of a large one.
#pragma once

#include <algorithm>
#include <atomic>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cache/cache.h"
#include "env/clock.h"
#include "env/object_store.h"
#include "hydrate/hedged_get.h"
#include "hydrate/hydrator.h"

namespace leat::hydrate {

struct BufferGauge {
  std::atomic<uint64_t> all{0};   // bytes in buffers
  std::atomic<uint64_t> held{0};  // of these, what no running fetch has reserved any more
};

// A body's bytes in memory, counted while they live. Immutable once shared.
class Buffer {
 public:
  Buffer(std::shared_ptr<BufferGauge> gauge, uint64_t size_bytes)
      : gauge_(std::move(gauge)), bytes_(new std::byte[size_bytes]), size_bytes_(size_bytes) {
    gauge_->all.fetch_add(size_bytes_, std::memory_order_relaxed);
  }
  ~Buffer() {
    gauge_->all.fetch_sub(size_bytes_, std::memory_order_relaxed);
    if (held_.load(std::memory_order_relaxed)) gauge_->held.fetch_sub(size_bytes_, std::memory_order_relaxed);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  std::span<std::byte> bytes() const { return {bytes_.get(), size_bytes_}; }
  // The fetch that filled it goes on to the next: from here on it counts for itself, until the last reader lets go.
  void Hold() const {
    if (!held_.exchange(true, std::memory_order_relaxed)) {
      gauge_->held.fetch_add(size_bytes_, std::memory_order_relaxed);
    }
  }

 private:
  const std::shared_ptr<BufferGauge> gauge_;
  const std::unique_ptr<std::byte[]> bytes_;
  const uint64_t size_bytes_;
  mutable std::atomic<bool> held_{false};
};

// How an object is divided.
struct Chunks {
  explicit Chunks(const cache::ObjectRef& object)
      : object_bytes(object.size_bytes),
        chunk_bytes(object.size_bytes <= cache::kSmallObjectBytesMax ? object.size_bytes : cache::kBlockBytes) {}
  bool small() const { return object_bytes <= cache::kSmallObjectBytesMax; }
  uint64_t count() const { return (object_bytes + chunk_bytes - 1) / chunk_bytes; }
  uint64_t OffsetOf(uint64_t chunk) const { return std::min(object_bytes, chunk * chunk_bytes); }
  uint64_t LengthOf(uint64_t chunk) const { return OffsetOf(chunk + 1) - OffsetOf(chunk); }

  uint64_t object_bytes, chunk_bytes;
};

struct Reader {
  // How much of a chunk it asks for.
  uint64_t BytesOf(uint64_t chunk, uint64_t chunk_length) const {
    const uint64_t start = chunk * chunk_bytes;
    return std::min(offset + length, start + chunk_length) - std::max(offset, start);
  }

  DatasetId dataset{};
  uint64_t offset = 0, length = 0;
  uint64_t chunk_first = 0;
  uint64_t chunk_bytes = 0;
  std::vector<std::shared_ptr<const Buffer>> parts;  // one a chunk, as they come
  size_t missing = 0;
  env::MonotonicTime deadline;
  std::function<void(Result<DataSlice>)> done;
  bool finished = false;  // `done` was taken: it runs once
  bool was_held = false;  // answered from what was held in memory
  std::list<std::shared_ptr<Reader>>::iterator place;
};

// Reader callbacks that are due, run when the mutex is free.
struct Answer {
  std::shared_ptr<Reader> reader;
  std::function<void(Result<DataSlice>)> done;
  Status status;
};

struct WantedObject {  // of a restore, not asked for yet, or not now
  cache::ObjectRef object;
  uint64_t bytes_counted = 0;  // in the restore's progress already
  uint32_t refusals = 0;       // how often the cache's disk failed while it was being kept
};

struct RestoreOperation {
  std::shared_ptr<Repository> repository;
  std::unique_ptr<HydrationSource> source;  // the hydrator's thread only
  BackgroundPriority priority{};
  std::shared_ptr<HydrationProgress> progress;
  std::function<void(Status)> done;
  std::optional<DatasetId> dataset;  // known from the first object on
  size_t outstanding = 0;            // fetches that it waits for
  bool exhausted = false, no_room = false, cancelled = false;
  Status first_error;
  // What the cache could not take just then (kBusy); asked for again when the pause is over.
  std::vector<WantedObject> postponed;
  env::MonotonicTime paused_until{};
  std::optional<env::MonotonicTime> waits_since;  // for room; nothing has been kept since
  // The hydrator's thread only: objects pulled and not yet looked at, and the large object whose ranges are being made.
  std::vector<WantedObject> pulled;  // last first
  std::shared_ptr<struct RestoredObject> large;
  uint64_t large_chunk = 0;
};

struct RestoredObject {  // one object of a restore
  std::shared_ptr<RestoreOperation> operation;
  cache::ObjectRef object;
  size_t parts = 0;        // fetches that it waits for
  bool all_asked = false;  // no more parts will be added
  Status status;
  uint64_t bytes_counted = 0;
  uint32_t refusals = 0;
};

enum class Priority : uint8_t { kDemand, kReadAhead, kHydration, kRestore };
inline constexpr size_t kPriorities = 4;

struct FlightKey {  // single flight: at most one fetch a key
  DatasetId dataset{};
  cache::ObjectId object;
  uint64_t chunk = 0;
  auto operator<=>(const FlightKey&) const = default;
};

enum class FetchState { kQueued, kRunning, kEnded };

struct Fetch {  // one GET of consecutive chunks
  std::shared_ptr<Repository> repository;
  cache::ObjectRef object;
  uint64_t chunk_first = 0, chunk_end = 0;
  Priority priority = Priority::kDemand;
  FetchState state = FetchState::kQueued;
  std::map<uint64_t, std::vector<std::shared_ptr<Reader>>> waiters;  // by chunk
  std::vector<std::shared_ptr<RestoredObject>> watchers;
  bool retried = false;  // after a corrupt body; once
  bool cancelled = false;
  std::shared_ptr<HedgedGet> get;  // the one under way, also while it is being started
  uint64_t reserved_bytes = 0;
  bool background_range = false;  // counted in background_ranges_

  // Only the thread that runs the fetch: the one that launches it, then the store's.
  std::unique_ptr<cache::Cache::Writer> writer;
  Status kept;                  // why what is fetched is not kept in the cache
  bool refused = false;         // by the cache's disk, when the bytes were there
  uint64_t answered_bytes = 0;  // of the chunk at hand, to readers who did not have to wait until it was kept
  Status failure;               // found before the store's own verdict
  std::shared_ptr<Buffer> filling;
  uint64_t filled_bytes = 0;
  uint64_t chunk_at = 0;     // the chunk being filled
  uint64_t chunks_from = 0;  // the first chunk of this attempt
  uint64_t received_bytes = 0;
  bool committed = false;
};

}  // namespace leat::hydrate
