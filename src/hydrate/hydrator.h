// SPDX-License-Identifier: Apache-2.0
// Hydrator: owns every fetch from the repository into the cache.
//
// Single flight: however many readers and jobs want a block, it is fetched once. Demand goes before read-ahead,
// read-ahead before background hydration and restore requests. One memory budget bounds what requests are receiving
// (each the chunk at hand: a small object, or 1 MiB of a large one; and the network's buffer) together with what
// readers still hold and what is held for the readers of a full cache: beyond it no request is started. One concurrency
// limit, adapted to throughput and 503 SlowDown, bounds requests; a request whose answer is late is sent a second time,
// beyond the limit, a few of them at a time (policy/hedge.h). A full or failing cache never fails a read: it is read
// through, and a reader is answered before its bytes are kept. Restores wait for a cache that is making room, or whose
// disk gets a rest. Large objects: the block that was asked for first (1 MiB), and while reads continue in order ranges
// ahead of them in parallel (hydrate/read_streams.h).
//
// Threads: any. Callbacks run on the store's or the hydrator's own thread, or on the one that asks when the bytes are
// there; they may reply to the kernel, must not block.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/cache.h"
#include "cache/object_ref.h"
#include "env/clock.h"
#include "env/object_store.h"
#include "policy/hedge.h"

namespace leat::hydrate {

// One repository as the hydrator sees it. Kept alive by whoever asks (shared_ptr) until the callback has run.
struct Repository {
  std::shared_ptr<env::ObjectStore> store;
  // Called (on the store's thread) with what a GET told of the object: its POSIX metadata may be applied. May be empty.
  std::function<void(const ObjectInfo& info)> on_object_info;
};

// Bytes handed to a reader; the span lives as long as `owner`.
struct DataSlice {
  std::shared_ptr<const void> owner;
  std::span<const std::byte> bytes;
  bool was_held = false;  // in memory already: nothing was waited for
};

struct HydratorOptions {
  uint64_t memory_bytes_max = 256u << 20;      // chunks being received, and those held for readers
  uint64_t network_buffer_bytes = 256u << 10;  // what a connection's buffer takes beside the chunk, at most
  // Of these, held after they were fetched and found no room: the rest of what a reader has had only a piece of.
  uint64_t read_through_bytes_max = 64u << 20;
  // Over all repositories. A few more than a store has connections, so that each finds its next request waiting.
  uint32_t requests_in_flight_max = 144;
  uint64_t range_bytes_first = 1u << 20;
  uint64_t range_bytes_max = 8u << 20;
  uint64_t ahead_bytes_max = 192u << 20;  // asked for ahead of a reader in order
  // Ranges of large objects that are restored or hydrated at a time. At 90 MB/s a connection these fill a link of 25
  // Gbit/s, and leave a reader in order, whose ranges come on top, a good part of it.
  uint32_t background_ranges_in_flight_max = 32;
  std::chrono::seconds demand_timeout{120};  // a reader waits no longer than this
  // A restore or hydration ahead of reads waits no longer for a cache that says "not now" and takes nothing at all.
  std::chrono::seconds room_wait_max{60};
  policy::HedgeOptions hedge{};              // of each dataset's requests
  std::chrono::milliseconds hedge_tick{10};  // how much later than decided a hedge may be sent
};

struct HydratorStatistics {
  uint64_t demand_waiting = 0;                        // readers waiting now
  uint64_t fetching_objects = 0, fetching_bytes = 0;  // in flight now
  uint64_t background_queued = 0;                     // objects in restore and hydration queues now, as far as known
  uint64_t fetched_objects = 0, fetched_bytes = 0;    // since the start
  uint64_t read_through_bytes = 0;                    // fetched but not kept: the cache was full
  uint64_t hedges_sent = 0, hedges_won = 0;           // late requests sent a second time; those answered by it
  uint64_t memory_bytes = 0;                          // in memory now, what readers still hold included
};

// Where background work comes from: pulled in batches, so that a plan for a million files costs no memory.
class HydrationSource {
 public:
  virtual ~HydrationSource() = default;
  // The next objects to restore, at most `count`, all of one dataset; empty: no more. Called on the hydrator's thread.
  virtual std::vector<cache::ObjectRef> Next(size_t count) = 0;
  // Asked before Next: true, an empty answer means "none yet", and it is asked again after a moment.
  virtual bool MoreToCome() { return false; }
  // Whose objects they are, when that is known before the first of them. Called by Restore.
  virtual std::optional<DatasetId> Dataset() { return std::nullopt; }
};

struct HydrationProgress {                                      // written by the hydrator, read by anybody
  std::atomic<uint64_t> objects_done{0}, bytes_done{0};         // fetched, or there already
  std::atomic<uint64_t> objects_failed{0}, objects_skipped{0};  // skipped: no room in the cache
  std::atomic<bool> finished{false}, cancelled{false};          // set `cancelled` to end it early
};

enum class BackgroundPriority { kHydration, kRestore };  // restore requests go after what is being read ahead of need

class Hydrator {
 public:
  static std::unique_ptr<Hydrator> Create(HydratorOptions options, cache::Cache& cache, const env::Clock& clock);
  virtual ~Hydrator() = default;  // cancels everything; every callback has run when it returns

  // For a read that missed the cache: bytes [offset, offset + length) of the object, at most 1 MiB at a time or the
  // kernel's read size. Errors: kObjectChanged (412), kNotFound, kDenied, kArchivedStorage, kCorrupt (twice),
  // kTimedOut, kUnavailable, kThrottled.
  virtual void Read(std::shared_ptr<Repository> repository, const cache::ObjectRef& object, uint64_t offset,
                    uint64_t length, std::function<void(Result<DataSlice>)> done) = 0;

  // For a read of a large object that the cache has answered: fetches what follows, if reads go in order.
  virtual void ReadAhead(const std::shared_ptr<Repository>& repository, const cache::ObjectRef& object, uint64_t offset,
                         uint64_t length) = 0;

  // Restores all that the source names, in its order, in the background; `done` runs once with the first error, if any
  // object failed. Hydration stops (skipped) when the cache has no free room, a restore when nothing may be evicted.
  virtual void Restore(std::shared_ptr<Repository> repository, std::unique_ptr<HydrationSource> source,
                       BackgroundPriority priority, std::shared_ptr<HydrationProgress> progress,
                       std::function<void(Status)> done) = 0;

  // Forgets waiting work of a dataset (its unmount); its demand reads, also those that come while this runs, end with
  // kCancelled. Nothing of the dataset runs any more when it returns. Not to be called from a callback.
  virtual void CancelDataset(DatasetId dataset) = 0;
  virtual HydratorStatistics Statistics() = 0;
  // The same of one dataset (memory_bytes excluded).
  virtual HydratorStatistics Statistics(DatasetId dataset) = 0;
};

}  // namespace leat::hydrate
