// SPDX-License-Identifier: Apache-2.0
// Late requests: what is learned of the time to the first byte, a dataset at a time since each has its own repository,
// and the second requests sent by it.
#include <algorithm>
#include <tuple>
#include <utility>

#include "hydrate/hydrator_implementation.h"

namespace leat::hydrate {
namespace {

int64_t Nanoseconds(env::Duration duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

bool HasReaders(const Fetch& fetch) {
  return std::any_of(fetch.waiters.begin(), fetch.waiters.end(), [](const auto& waiting) {
    return std::any_of(waiting.second.begin(), waiting.second.end(),
                       [](const auto& reader) { return !reader->finished; });
  });
}

}  // namespace

policy::Hedging& HydratorImplementation::HedgingLocked(DatasetId dataset) {
  return hedging_.try_emplace(dataset, options_.hedge).first->second;
}

void HydratorImplementation::TakeThrottledLocked(HedgedGet& get, policy::Hedging& hedging, int64_t now_ns) {
  if (!get.TakeThrottled()) return;
  hedging.Throttled(now_ns);
  concurrency_.Throttled(now_ns);
}

void HydratorImplementation::NoteFirstByte(Fetch& fetch) {
  const env::MonotonicTime now = clock_.Now();
  std::lock_guard lock(mutex_);
  policy::Hedging& hedging = HedgingLocked(fetch.object.dataset);
  TakeThrottledLocked(*fetch.get, hedging, Nanoseconds(now.time_since_epoch()));
  const HedgedGet::FirstByte first_byte = fetch.get->FirstByteAt(now);
  hedging.FirstByte(Nanoseconds(first_byte.first));
  if (!first_byte.hedge) return;
  hedging.FirstByte(Nanoseconds(*first_byte.hedge));
  for (Totals* totals : {&totals_, &totals_by_dataset_[fetch.object.dataset]}) ++totals->hedges_won;
}

void HydratorImplementation::HedgeLate() {
  const env::MonotonicTime now = clock_.Now();
  if (now < hedge_look_at_) return;  // there are many more turns than requests can become late in
  hedge_look_at_ = now + options_.hedge_tick;
  const int64_t now_ns = Nanoseconds(now.time_since_epoch());
  struct Late {
    FetchPointer fetch;
    bool demand;
    env::MonotonicTime since;
  };
  std::vector<Late> late;
  std::vector<std::tuple<std::shared_ptr<Repository>, std::shared_ptr<HedgedGet>, DatasetId>> hedges;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [pointer, fetch] : running_) {
      if (!fetch->get) continue;
      policy::Hedging& hedging = HedgingLocked(fetch->object.dataset);
      TakeThrottledLocked(*fetch->get, hedging, now_ns);
      const auto since = fetch->get->WaitsSince();
      const auto wait_ns = hedging.WaitNs(now_ns);
      if (since && wait_ns && Nanoseconds(now - *since) >= *wait_ns)
        late.push_back({fetch, HasReaders(*fetch), *since});
    }
    std::sort(late.begin(), late.end(), [](const Late& one, const Late& other) {
      return std::tie(other.demand, one.since) < std::tie(one.demand, other.since);
    });
    for (const auto& [fetch, demand, since] : late) {
      const DatasetId dataset = fetch->object.dataset;
      if (HedgingLocked(dataset).Take(now_ns, demand)) hedges.emplace_back(fetch->repository, fetch->get, dataset);
    }
  }
  for (auto& [repository, get, dataset] : hedges) {
    const bool sent = get->Hedge(clock_.Now());
    std::lock_guard lock(mutex_);
    released_.push_back(std::move(repository));
    if (!sent) continue;
    for (Totals* totals : {&totals_, &totals_by_dataset_[dataset]}) ++totals->hedges_sent;
  }
}

}  // namespace leat::hydrate
