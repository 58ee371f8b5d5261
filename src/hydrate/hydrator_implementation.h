// SPDX-License-Identifier: Apache-2.0
// The hydrator's inside, for hydrate/*.cc alone.
//
// One mutex protects all state; it is never held while the cache, a store, a source or a callback runs. A thread that
// reads launches demand and nothing else (its own, or another reader's that waited for its turn); the hydrator's own
// thread launches everything. Bodies arrive on the store's threads, which answer readers first and keep the bytes then.
// Functions named ...Locked are called with the mutex held.
#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "hydrate/fetch.h"
#include "hydrate/hydrator.h"
#include "hydrate/read_streams.h"
#include "hydrate/read_through.h"
#include "policy/concurrency.h"
#include "policy/hedge.h"

namespace leat::hydrate {

class HydratorImplementation final : public Hydrator {
 public:
  HydratorImplementation(HydratorOptions options, cache::Cache& cache, const env::Clock& clock);
  ~HydratorImplementation() override;
  void StartThread();

  void Read(std::shared_ptr<Repository> repository, const cache::ObjectRef& object, uint64_t offset, uint64_t length,
            std::function<void(Result<DataSlice>)> done) override;
  void ReadAhead(const std::shared_ptr<Repository>& repository, const cache::ObjectRef& object, uint64_t offset,
                 uint64_t length) override;
  void Restore(std::shared_ptr<Repository> repository, std::unique_ptr<HydrationSource> source,
               BackgroundPriority priority, std::shared_ptr<HydrationProgress> progress,
               std::function<void(Status)> done) override;
  void CancelDataset(DatasetId dataset) override;
  HydratorStatistics Statistics() override;
  HydratorStatistics Statistics(DatasetId dataset) override;

  // From the receiver of a GET, on the store's thread.
  void OnStart(Fetch& fetch, const ObjectInfo& info);
  void OnData(const std::shared_ptr<Fetch>& fetch, std::span<const std::byte> bytes);
  void OnDone(const std::shared_ptr<Fetch>& fetch, Status status);

 private:
  using FetchPointer = std::shared_ptr<Fetch>;
  struct Totals {
    uint64_t fetched_objects = 0, fetched_bytes = 0, read_through_bytes = 0;
    uint64_t hedges_sent = 0, hedges_won = 0;
  };

  // --- scheduling (hydrator.cc)
  // Chunks [first, end) become part of fetches: in flight already (joined), or new ones.
  void AskLocked(const std::shared_ptr<Repository>& repository, const cache::ObjectRef& object, uint64_t first,
                 uint64_t end, Priority priority, const std::shared_ptr<RestoredObject>& watcher);
  void AskAheadLocked(const std::shared_ptr<Repository>& repository, const cache::ObjectRef& object,
                      const FetchPlan& plan);
  // From what is held in memory because the cache was full; false: not all of it is.
  bool ServeReadThroughLocked(const std::shared_ptr<Reader>& reader, const cache::ObjectRef& object,
                              std::vector<Answer>& answers);
  void QueueLocked(const FetchPointer& fetch);
  void PromoteLocked(const FetchPointer& fetch, Priority priority);
  void WatchLocked(Fetch& fetch, const std::shared_ptr<RestoredObject>& watcher);
  uint64_t ReservationOf(const Fetch& fetch) const;
  FetchPointer PickLocked(Priority least);
  void LaunchReady(Priority least);  // what is queued with this priority or a higher one
  void WakeLocked();
  void CancelLocked(const DatasetId* dataset, std::vector<Answer>& answers);  // null: everything
  void CancelRequests(const DatasetId* dataset);
  void WaitUntilQuiet(const DatasetId* dataset);
  bool QuietLocked(const DatasetId* dataset) const;
  bool CancellingLocked(DatasetId dataset) const { return stopping_ || cancelling_.contains(dataset); }
  HydratorStatistics CollectLocked(const DatasetId* dataset) const;

  // --- one fetch (hydrator_fetch.cc)
  void Launch(const FetchPointer& fetch);
  bool ServeFromCache(const FetchPointer& fetch);  // false: nothing is left to fetch
  Status ReserveRoom(Fetch& fetch);
  // There is no room for it: restores hear so, and what is left is what readers wait for. False: nobody does.
  bool TrimToWaitersLocked(Fetch& fetch);
  void StartGet(const FetchPointer& fetch);
  // Hands a chunk to those who wait for it. Without bytes: false, and nothing done, when somebody does.
  bool Deliver(const FetchPointer& fetch, uint64_t chunk, std::shared_ptr<const Buffer> buffer, bool fetched);
  // Bytes to those who wait for the chunk now; who joins later gets them from Deliver. Returns how many.
  uint64_t AnswerWaitersLocked(Fetch& fetch, uint64_t chunk, const std::shared_ptr<const Buffer>& buffer,
                               std::vector<Answer>& answers);
  // A chunk has arrived: readers, the cache, and those who came meanwhile.
  void FinishChunk(const FetchPointer& fetch, uint64_t chunk);
  static void KeepChunk(Fetch& fetch, std::span<const std::byte> bytes);
  bool RetryCorrupt(const FetchPointer& fetch);
  void EndFetch(const FetchPointer& fetch, Status status, bool requested);
  // Takes the reader's callback, with what it is due, unless it was taken before.
  void AnswerLocked(std::shared_ptr<Reader> reader, const Status& status, std::vector<Answer>& answers);
  static void Run(std::vector<Answer>& answers);

  // --- late requests (hydrator_hedge.cc)
  policy::Hedging& HedgingLocked(DatasetId dataset);
  void TakeThrottledLocked(HedgedGet& get, policy::Hedging& hedging, int64_t now_ns);
  void NoteFirstByte(Fetch& fetch);
  // Sends what is late a second time: first what readers wait for, then what has waited longest.
  void HedgeLate();

  // --- restores and the thread (hydrator_restore.cc)
  void Work();
  bool Fill(const std::shared_ptr<RestoreOperation>& operation);     // true: there is more to do at once
  bool FillOne(const std::shared_ptr<RestoreOperation>& operation);  // false: nothing more for now
  bool Pull(RestoreOperation& operation);                            // false: the source is at its end
  void AskForRange(const std::shared_ptr<RestoreOperation>& operation);
  bool Drain(RestoreOperation& operation);  // one batch; false: all is counted
  void PauseLocked(RestoreOperation& operation);
  void FinishObjectLocked(RestoredObject& object);
  void EndPartLocked(RestoredObject& object, const Status& status);
  void DropUnwanted();
  void FinishOperations();
  void TimeOutReaders();

  const HydratorOptions options_;
  cache::Cache& cache_;
  const env::Clock& clock_;
  const std::shared_ptr<BufferGauge> memory_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;   // the hydrator's thread
  std::condition_variable quiet_;  // those who wait for work to end
  bool wake_requested_ = false;
  bool stopping_ = false, quit_ = false;
  std::map<FlightKey, FetchPointer> flights_;
  std::array<std::deque<FetchPointer>, kPriorities>
      queues_;  // a promoted fetch stays where it was too and is passed over
  std::map<Fetch*, FetchPointer> running_;
  uint64_t reserved_bytes_ = 0;
  uint32_t background_ranges_ = 0;              // of large objects, running
  uint32_t starting_ = 0;                       // threads inside StartGet
  std::list<std::shared_ptr<Reader>> readers_;  // in the order of their deadlines
  std::list<std::shared_ptr<RestoreOperation>> operations_;
  std::multiset<DatasetId> cancelling_;  // by CancelDataset, until it returns
  ReadStreams streams_;
  ReadThrough read_through_;
  policy::Concurrency concurrency_;
  bool limit_reached_ = false;  // by a fetch that had to wait, since a request last ended
  Totals totals_;
  std::map<DatasetId, Totals> totals_by_dataset_;
  std::map<DatasetId, policy::Hedging> hedging_;
  env::MonotonicTime hedge_look_at_{};  // the hydrator's thread only
  // A repository may be the last one to hold its store, which must not be destroyed on a thread of its own.
  std::vector<std::shared_ptr<Repository>> released_;
  std::thread thread_;
};

}  // namespace leat::hydrate
