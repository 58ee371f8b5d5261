// SPDX-License-Identifier: Apache-2.0
#include "hydrate/read_through.h"

#include <utility>

namespace leat::hydrate {

void ReadThrough::Insert(const FlightKey& key, std::shared_ptr<const Buffer> buffer, uint64_t read_bytes) {
  const uint64_t size_bytes = buffer->bytes().size();
  Forget(key);
  if (read_bytes >= size_bytes || size_bytes > bytes_max_) return;
  while (bytes_ + size_bytes > bytes_max_) EvictOldest();
  by_age_.push_front(key);
  held_.emplace(key, Held{std::move(buffer), size_bytes - read_bytes, by_age_.begin()});
  bytes_ += size_bytes;
}

std::shared_ptr<const Buffer> ReadThrough::Find(const FlightKey& key) const {
  const auto found = held_.find(key);
  return found == held_.end() ? nullptr : found->second.buffer;
}

void ReadThrough::Read(const FlightKey& key, uint64_t bytes) {
  const auto found = held_.find(key);
  if (found == held_.end()) return;
  if (bytes >= found->second.unread_bytes) return Erase(found);
  found->second.unread_bytes -= bytes;
  by_age_.splice(by_age_.begin(), by_age_, found->second.age);
}

void ReadThrough::EvictOldest() {
  if (!by_age_.empty()) Erase(held_.find(by_age_.back()));
}

void ReadThrough::Forget(const FlightKey& key) {
  if (const auto found = held_.find(key); found != held_.end()) Erase(found);
}

void ReadThrough::ForgetDataset(DatasetId dataset) {
  for (auto at = held_.lower_bound({dataset, {}, 0}); at != held_.end() && at->first.dataset == dataset;) {
    Erase(at++);
  }
}

void ReadThrough::Erase(std::map<FlightKey, Held>::iterator held) {
  bytes_ -= held->second.buffer->bytes().size();
  by_age_.erase(held->second.age);
  held_.erase(held);
}

}  // namespace leat::hydrate
