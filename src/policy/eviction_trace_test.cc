// SPDX-License-Identifier: Apache-2.0
// "Pin until full, then read through", replayed on traces of training epochs beside LRU and an oracle.
//
// In an epoch every sample is read once. A hit must have been kept since an earlier epoch, so an epoch has no more hits
// than samples were kept when it began: no policy, even one that knows the future, does better over many epochs than
// the fraction of the data that fits.
#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>
#include <set>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "policy/admission.h"
#include "policy/eviction.h"

namespace leat::policy {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr seconds kIdleAfter{300};
constexpr uint64_t kPageBytes = 4096, kTrailerBytes = 40;  // the cache's (docs/formats/cache.md)

struct Object {
  uint32_t dataset = 0, number = 0;
  uint64_t bytes = 0;
  uint64_t allocated() const { return (bytes + kTrailerBytes + kPageBytes - 1) / kPageBytes * kPageBytes; }
  uint64_t id() const { return uint64_t{dataset} << 32 | number; }
};
using Trace = std::vector<Object>;

Trace MakeDataset(uint32_t dataset, uint32_t objects, uint64_t bytes_min, uint64_t bytes_max, uint64_t seed) {
  Random random(seed, dataset);
  Trace all;
  for (uint32_t number = 0; number < objects; ++number) {
    all.push_back({dataset, number, bytes_min + random.Below(bytes_max - bytes_min + 1)});
  }
  return all;
}

uint64_t BytesOf(const Trace& objects) {
  uint64_t bytes = 0;
  for (const Object& object : objects) bytes += object.bytes;
  return bytes;
}

uint64_t AllocatedFor(const Trace& objects) {
  uint64_t bytes = 0;
  for (const Object& object : objects) bytes += object.allocated();
  return bytes;
}

Trace Reshuffled(Trace objects, int epochs, uint64_t seed) {
  Random random(seed);
  Trace trace;
  for (int epoch = 0; epoch < epochs; ++epoch) {
    Shuffle(objects, random);
    trace.insert(trace.end(), objects.begin(), objects.end());
  }
  return trace;
}

// Our policy, with the cache around it reduced to sums.
class PinningCache {
 public:
  explicit PinningCache(uint64_t capacity) : capacity_(capacity) {}

  bool Read(const Object& object) {
    Dataset& dataset = datasets_[object.dataset];
    dataset.last_use = now;
    if (dataset.objects.contains(object.number)) return true;
    for (;;) {
      const CacheRoom room{.capacity_bytes = capacity_, .used_bytes = used()};
      const Admission admission = Admit(room, object.allocated());
      if (admission == Admission::kKeep) {
        dataset.objects.insert(object.number);
        dataset.bytes += object.allocated();
        return false;
      }
      if (admission != Admission::kMakeRoom || !Evict(object, Lacking(room, object.allocated()))) return false;
    }
  }

  void Mount(uint32_t dataset, bool mounted) { datasets_[dataset].mounted = mounted; }
  void Job(uint32_t dataset, bool in_use) { datasets_[dataset].in_use_by_job = in_use; }
  uint64_t Bytes(uint32_t dataset) { return datasets_[dataset].bytes; }
  uint64_t used() const {
    uint64_t bytes = 0;
    for (const auto& [id, dataset] : datasets_) bytes += dataset.bytes;
    return bytes;
  }

  nanoseconds now{};
  std::vector<uint32_t> evicted;

 private:
  struct Dataset {
    bool mounted = true, in_use_by_job = false;
    nanoseconds last_use{};
    std::set<uint32_t> objects;
    uint64_t bytes = 0;
    bool Active(nanoseconds now) const { return in_use_by_job || (mounted && now - last_use < kIdleAfter); }
  };

  bool Evict(const Object& wanted, uint64_t bytes) {
    std::vector<CachedDataset> view;
    for (const auto& [id, dataset] : datasets_) {
      view.push_back({DatasetId{id}, dataset.bytes, dataset.mounted, dataset.in_use_by_job, dataset.last_use});
    }
    const auto chosen = ChooseEvictions(view, DatasetId{wanted.dataset}, bytes, now, kIdleAfter);
    for (const DatasetId id : chosen) {
      Dataset& dataset = datasets_[Value(id)];
      EXPECT_FALSE(dataset.Active(now)) << "an active dataset lost its blocks";
      if (dataset.mounted) {
        for (const auto& [other_id, other] : datasets_) {
          const bool left = !other.mounted && !other.Active(now) && other.bytes > 0 && other_id != wanted.dataset;
          EXPECT_FALSE(left) << "an unmounted one would have done";
        }
      }
      dataset.objects.clear();
      dataset.bytes = 0;
      evicted.push_back(Value(id));
    }
    return !chosen.empty();
  }

  const uint64_t capacity_;
  std::map<uint32_t, Dataset> datasets_;
};

class LruCache {
 public:
  explicit LruCache(uint64_t capacity) : capacity_(capacity) {}

  bool Read(const Object& object) {
    if (const auto found = places_.find(object.id()); found != places_.end()) {
      by_use_.splice(by_use_.begin(), by_use_, found->second);
      return true;
    }
    if (object.allocated() > capacity_) return false;
    while (used_ + object.allocated() > capacity_) {
      used_ -= by_use_.back().allocated();
      places_.erase(by_use_.back().id());
      by_use_.pop_back();
    }
    by_use_.push_front(object);
    places_[object.id()] = by_use_.begin();
    used_ += object.allocated();
    return false;
  }

 private:
  const uint64_t capacity_;
  uint64_t used_ = 0;
  std::list<Object> by_use_;
  std::unordered_map<uint64_t, std::list<Object>::iterator> places_;  // looked up only, never walked
};

// Belady's rule on pages: what is read again last goes first, what was just read included, and an object may be kept in
// part. With objects of one size this is the offline optimum; with mixed sizes it is above every policy that keeps
// objects whole, so it bounds them all. The share of the bytes from access `from` on that were there.
double BeladyRate(const Trace& trace, uint64_t capacity, size_t from) {
  std::vector<size_t> next(trace.size(), trace.size());
  std::unordered_map<uint64_t, size_t> seen;
  for (size_t at = trace.size(); at-- > 0;) {
    if (const auto found = seen.find(trace[at].id()); found != seen.end()) next[at] = found->second;
    seen[trace[at].id()] = at;
  }
  std::map<size_t, uint64_t> kept;  // when it is read next -> bytes kept of it
  uint64_t used = 0, hit = 0, all = 0;
  for (size_t at = 0; at < trace.size(); ++at) {
    uint64_t there = 0;
    if (const auto found = kept.find(at); found != kept.end()) {
      there = found->second;
      kept.erase(found);
    }
    if (at >= from) {
      hit += there;
      all += trace[at].allocated();
    }
    used -= there;
    if (next[at] == trace.size()) continue;
    kept[next[at]] = trace[at].allocated();
    used += trace[at].allocated();
    while (used > capacity) {
      const auto last = std::prev(kept.end());
      const uint64_t taken = std::min(used - capacity, last->second);
      used -= taken;
      if ((last->second -= taken) == 0) kept.erase(last);
    }
  }
  return static_cast<double>(hit) / static_cast<double>(all);
}

struct Rates {
  double objects = 0, bytes = 0;
};

template <class Policy>
Rates Replay(Policy& policy, const Trace& trace, size_t from = 0) {
  uint64_t hits = 0, hit_bytes = 0, bytes = 0;
  for (size_t at = 0; at < trace.size(); ++at) {
    const bool hit = policy.Read(trace[at]);
    if (at < from) continue;
    bytes += trace[at].bytes;
    if (!hit) continue;
    ++hits;
    hit_bytes += trace[at].bytes;
  }
  return {static_cast<double>(hits) / static_cast<double>(trace.size() - from),
          static_cast<double>(hit_bytes) / static_cast<double>(bytes)};
}

struct Kind {
  const char* name;
  uint64_t bytes_min, bytes_max;
};
constexpr Kind kKinds[] = {
    {"all 110 KB", 110'000, 110'000}, {"39-323 KB", 39'000, 323'000}, {"all 39 KB", 39'000, 39'000}};
constexpr uint32_t kObjects = 2000;
constexpr int kEpochs = 5;
constexpr uint64_t kSeeds = 3;

// Capacity is a share of the data's own bytes: whole pages and trailers have to fit in it too.
TEST(EvictionTrace, ReshuffledEpochsKeepWhatFits) {
  for (const Kind& kind : kKinds) {
    for (const uint64_t percent : {25u, 50u, 75u, 100u}) {
      for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
        const Trace objects = MakeDataset(1, kObjects, kind.bytes_min, kind.bytes_max, seed);
        const Trace trace = Reshuffled(objects, kEpochs, seed);
        const uint64_t capacity = BytesOf(objects) * percent / 100;
        const double fits = static_cast<double>(capacity) / static_cast<double>(AllocatedFor(objects));
        PinningCache pinning(capacity);
        LruCache lru(capacity);
        const Rates ours = Replay(pinning, trace, kObjects);
        const Rates recent = Replay(lru, trace, kObjects);
        const double bound = BeladyRate(trace, capacity, kObjects);
        SCOPED_TRACE(::testing::Message() << kind.name << ", " << percent << " %, seed " << seed);
        // Not even one more object would fit.
        const double object = 1.0 / kObjects;
        EXPECT_GE(ours.bytes, std::min(fits, 1.0) - 2 * object);
        EXPECT_LE(bound, std::min(fits, 1.0) + 1e-9) << "not even an oracle finds more than fits";
        EXPECT_GE(bound, std::min(fits, 1.0) - 0.001);
        EXPECT_LE(pinning.used(), capacity);
        EXPECT_TRUE(pinning.evicted.empty());
        if (percent < 75) {
          EXPECT_GT(ours.objects, recent.objects + 0.2);
        } else {
          EXPECT_GT(ours.objects, recent.objects);
        }
        if (percent == 50) {
          EXPECT_NEAR(recent.objects, 0.153, 0.03) << "a position in an epoch times one in the next: (1 - ln 2) / 2";
          if (kind.bytes_max > 100'000) {
            EXPECT_GE(ours.bytes, 0.49);
            EXPECT_GE(ours.objects, 0.485) << "which objects come first is chance";
          } else {
            EXPECT_GE(ours.bytes, 0.475) << "of 39,000 bytes in ten pages a twentieth is lost";
          }
        }
      }
    }
  }
}

TEST(EvictionTrace, EpochsInOneOrderKeepWhatFitsToo) {
  const Trace objects = MakeDataset(1, kObjects, 39'000, 323'000, 1);
  Trace trace;
  for (int epoch = 0; epoch < kEpochs; ++epoch) trace.insert(trace.end(), objects.begin(), objects.end());
  const uint64_t capacity = BytesOf(objects) / 2;
  PinningCache pinning(capacity);
  LruCache lru(capacity);
  EXPECT_GE(Replay(pinning, trace, kObjects).bytes, 0.49);
  EXPECT_EQ(Replay(lru, trace, kObjects).objects, 0.0);
}

TEST(EvictionTrace, AScanOfAnotherActiveDatasetTakesNothing) {
  const Trace pinned = MakeDataset(1, kObjects, 39'000, 323'000, 1);
  const Trace scanned = MakeDataset(2, 3 * kObjects, 39'000, 323'000, 1);
  const uint64_t capacity = BytesOf(pinned) / 2;
  PinningCache pinning(capacity);
  LruCache lru(capacity);
  Replay(pinning, Reshuffled(pinned, 2, 1));
  Replay(lru, Reshuffled(pinned, 2, 1));
  Replay(pinning, scanned);
  Replay(lru, scanned);
  EXPECT_GE(Replay(pinning, Reshuffled(pinned, 1, 2)).bytes, 0.49);
  EXPECT_EQ(pinning.Bytes(2) + pinning.Bytes(1), pinning.used());
  EXPECT_TRUE(pinning.evicted.empty());
  LruCache fresh(capacity);
  EXPECT_EQ(Replay(lru, Reshuffled(pinned, 1, 2)).objects, Replay(fresh, Reshuffled(pinned, 1, 2)).objects)
      << "LRU begins anew";
}

TEST(EvictionTrace, ASwitchEvictsTheIdleDatasetAndLeavesTheActiveOne) {
  const Trace old = MakeDataset(1, kObjects, 39'000, 323'000, 1),
              active = MakeDataset(2, kObjects / 2, 39'000, 323'000, 1),
              fresh = MakeDataset(3, kObjects, 39'000, 323'000, 1);
  for (const bool mounted : {false, true}) {
    PinningCache cache(AllocatedFor(active) + AllocatedFor(old));
    cache.Job(2, true);  // reads from the page cache alone from now on: nothing is heard of it
    Replay(cache, active);
    Replay(cache, old);
    EXPECT_EQ(Replay(cache, Reshuffled(old, 1, 1)).objects, 1.0);
    cache.Mount(1, mounted);
    if (mounted) cache.now += kIdleAfter;
    const Trace epochs = Reshuffled(fresh, kEpochs, 1);
    Trace mixed;  // the job reads on meanwhile
    for (size_t at = 0; at < epochs.size(); ++at) {
      const bool hit = cache.Read(epochs[at]);
      EXPECT_TRUE(!hit || at >= kObjects) << "a first epoch has no hits";
      EXPECT_TRUE(cache.Read(active[at % active.size()]));
      cache.now += std::chrono::milliseconds(1);
    }
    EXPECT_EQ(cache.evicted, (std::vector<uint32_t>{1}));
    EXPECT_GE(Replay(cache, Reshuffled(fresh, 1, 2)).bytes,
              0.99 * std::min(1.0, static_cast<double>(AllocatedFor(old)) / static_cast<double>(AllocatedFor(fresh))));
  }
}

TEST(EvictionTrace, ADatasetJustReadStaysUntilItIsIdle) {
  const Trace first = MakeDataset(1, kObjects, 110'000, 110'000, 1),
              second = MakeDataset(2, kObjects, 110'000, 110'000, 1);
  PinningCache cache(AllocatedFor(first));
  Replay(cache, first);
  cache.now += kIdleAfter - seconds(1);
  EXPECT_EQ(Replay(cache, Reshuffled(second, 2, 1)).objects, 0.0) << "read through";
  cache.now += seconds(1);
  EXPECT_EQ(Replay(cache, second).objects, 0.0);
  EXPECT_EQ(cache.evicted, (std::vector<uint32_t>{1}));
  EXPECT_EQ(Replay(cache, second).objects, 1.0);
}

TEST(EvictionTrace, TwoActiveDatasetsShareAndTakeNothingFromEachOther) {
  const Trace first = MakeDataset(1, kObjects, 39'000, 323'000, 1),
              second = MakeDataset(2, kObjects, 39'000, 323'000, 2);
  const Trace a = Reshuffled(first, kEpochs, 1), b = Reshuffled(second, kEpochs, 2);
  Trace trace;
  for (size_t at = 0; at < a.size(); ++at) {
    trace.push_back(a[at]);
    trace.push_back(b[at]);
  }
  const uint64_t capacity = (BytesOf(first) + BytesOf(second)) / 2;
  PinningCache pinning(capacity);
  LruCache lru(capacity);
  const Rates ours = Replay(pinning, trace, size_t{2} * kObjects);
  EXPECT_GE(ours.objects, 0.49);
  EXPECT_GE(ours.bytes, 0.49);
  EXPECT_LT(Replay(lru, trace, size_t{2} * kObjects).objects, 0.2);
  EXPECT_TRUE(pinning.evicted.empty());
  EXPECT_NEAR(static_cast<double>(pinning.Bytes(1)) / static_cast<double>(capacity), 0.5, 0.05);
}

// Datasets come, go, are used by jobs and fall idle; PinningCache::Evict expects that no active one loses anything.
TEST(EvictionTrace, WhateverHappensAnActiveDatasetLosesNothing) {
  size_t evictions = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    constexpr uint32_t kDatasets = 5;
    std::vector<Trace> datasets;
    for (uint32_t id = 0; id < kDatasets; ++id) {
      datasets.push_back(MakeDataset(id, static_cast<uint32_t>(20 + random.Below(60)), 39'000, 323'000, seed));
    }
    const uint64_t capacity = BytesOf(datasets[0]) + BytesOf(datasets[1]) / 2;
    PinningCache cache(capacity);
    for (int step = 0; step < 5000; ++step) {
      const auto id = static_cast<uint32_t>(random.Below(kDatasets));
      switch (random.Below(40)) {
        case 0:
          cache.Mount(id, false);
          break;
        case 1:
          cache.Job(id, true);
          break;
        case 2:
        case 3:
          cache.Job(id, false);
          break;
        case 4:
          cache.now += seconds(random.Below(400));
          break;
        default: {
          const Trace& objects = datasets[id];
          cache.Mount(id, true);
          cache.Read(objects[random.Below(objects.size())]);
          cache.now += seconds(random.Below(20));
        }
      }
      ASSERT_LE(cache.used(), capacity);
    }
    evictions += cache.evicted.size();
  }
  EXPECT_GT(evictions, 100u) << "the test must see evictions";
}

}  // namespace
}  // namespace leat::policy
