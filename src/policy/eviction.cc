// SPDX-License-Identifier: Apache-2.0
#include "policy/eviction.h"

#include <algorithm>
#include <tuple>

namespace leat::policy {

std::vector<DatasetId> ChooseEvictions(const std::vector<CachedDataset>& datasets, DatasetId wanted,
                                       uint64_t bytes_needed, std::chrono::nanoseconds now,
                                       std::chrono::nanoseconds idle_after) {
  std::vector<CachedDataset> candidates;
  for (const CachedDataset& dataset : datasets) {
    if (dataset.id == wanted || dataset.in_use_by_job || dataset.bytes == 0) continue;
    if (dataset.mounted && now - dataset.last_use < idle_after) continue;
    candidates.push_back(dataset);
  }
  std::sort(candidates.begin(), candidates.end(), [](const CachedDataset& a, const CachedDataset& b) {
    return std::make_tuple(a.mounted, a.last_use, Value(a.id)) < std::make_tuple(b.mounted, b.last_use, Value(b.id));
  });
  std::vector<DatasetId> chosen;
  uint64_t freed = 0;
  for (const CachedDataset& dataset : candidates) {
    if (freed >= bytes_needed) break;
    chosen.push_back(dataset.id);
    freed += dataset.bytes;
  }
  return chosen;
}

}  // namespace leat::policy
