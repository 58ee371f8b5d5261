// SPDX-License-Identifier: Apache-2.0
// Which datasets leave the cache when another needs room. Whole datasets only: each epoch reads every sample once in a
// new order, so evicting parts of a data set that is being read cannot beat keeping a fixed part of it ("pin until
// full, then read through"). Pure: values in, decision out.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "model/ids.h"

namespace leat::policy {

struct CachedDataset {
  DatasetId id{};
  uint64_t bytes = 0;  // allocated in the cache
  bool mounted = false;
  bool in_use_by_job = false;
  std::chrono::nanoseconds last_use{};  // on the same clock as `now`
};

// In the order in which to evict: unmounted datasets by least recent use, then mounted ones that no job uses and that
// have not been used for `idle_after`. Never `wanted`, never one that a job uses, never an empty one; no more datasets
// than it takes to free `bytes_needed`. When all of them together would not free enough, they are returned all the same
// (less is then read through). Ties go to the lower id.
std::vector<DatasetId> ChooseEvictions(const std::vector<CachedDataset>& datasets, DatasetId wanted,
                                       uint64_t bytes_needed, std::chrono::nanoseconds now,
                                       std::chrono::nanoseconds idle_after);

}  // namespace leat::policy
