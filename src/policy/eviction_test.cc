// SPDX-License-Identifier: Apache-2.0
#include "policy/eviction.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace leat::policy {
namespace {

using std::chrono::seconds;
constexpr DatasetId kWanted{99};

CachedDataset Dataset(uint32_t id, uint64_t bytes, bool mounted, int last_use, bool job = false) {
  return {DatasetId{id}, bytes, mounted, job, seconds(last_use)};
}

std::vector<uint32_t> Choose(const std::vector<CachedDataset>& datasets, uint64_t needed) {
  std::vector<uint32_t> ids;
  for (const DatasetId id : ChooseEvictions(datasets, kWanted, needed, seconds(1000), seconds(600)))
    ids.push_back(Value(id));
  return ids;
}

TEST(Eviction, UnmountedGoFirstByLeastRecentUseThenIdleMountedOnes) {
  const std::vector<CachedDataset> datasets = {Dataset(1, 10, true, 100), Dataset(2, 10, false, 300),
                                               Dataset(3, 10, false, 200), Dataset(4, 10, true, 50)};
  EXPECT_EQ(Choose(datasets, 40), (std::vector<uint32_t>{3, 2, 4, 1}));
  EXPECT_EQ(Choose(datasets, 11), (std::vector<uint32_t>{3, 2}));
  EXPECT_EQ(Choose(datasets, 10), (std::vector<uint32_t>{3}));
  EXPECT_EQ(Choose(datasets, 0), (std::vector<uint32_t>{}));
}

TEST(Eviction, WhatIsInUseStays) {
  EXPECT_TRUE(Choose({Dataset(1, 10, true, 999)}, 5).empty());      // mounted and used a second ago
  EXPECT_TRUE(Choose({Dataset(1, 10, true, 401)}, 5).empty());      // one second short of idle
  EXPECT_EQ(Choose({Dataset(1, 10, true, 400)}, 5).size(), 1u);     // exactly idle
  EXPECT_TRUE(Choose({Dataset(1, 10, true, 1, true)}, 5).empty());  // a job uses it
  EXPECT_TRUE(Choose({Dataset(1, 10, false, 1, true)}, 5).empty());
  EXPECT_TRUE(Choose({Dataset(99, 10, false, 1)}, 5).empty());  // itself
  EXPECT_TRUE(Choose({Dataset(1, 0, false, 1)}, 5).empty());    // frees nothing
}

TEST(Eviction, EnoughAndNoMoreOrEverythingThatMayGo) {
  Random random(7);
  for (int round = 0; round < 2000; ++round) {
    std::vector<CachedDataset> datasets;
    for (uint32_t id = 0; id < random.Below(8); ++id) {
      datasets.push_back(Dataset(90 + 3 * id, random.Below(50), random.Below(2) == 0,
                                 static_cast<int>(random.Below(1000)), random.Below(4) == 0));
    }
    const uint64_t needed = random.Below(120);
    const auto chosen = Choose(datasets, needed);
    uint64_t freed = 0, last = 0, possible = 0;
    for (const auto& dataset : datasets) {
      const bool may_go = dataset.id != kWanted && !dataset.in_use_by_job &&
                          (!dataset.mounted || seconds(1000) - dataset.last_use >= seconds(600));
      if (may_go) possible += dataset.bytes;
      if (std::find(chosen.begin(), chosen.end(), Value(dataset.id)) == chosen.end()) continue;
      EXPECT_TRUE(may_go);
      freed += dataset.bytes;
      if (Value(dataset.id) == chosen.back()) last = dataset.bytes;
    }
    if (possible < needed) {
      EXPECT_EQ(freed, possible);
    }
    if (possible >= needed) {
      EXPECT_GE(freed, needed);
    }
    if (!chosen.empty()) {
      EXPECT_LT(freed - last, needed) << "the last one was not needed";
    }
  }
}

}  // namespace
}  // namespace leat::policy
