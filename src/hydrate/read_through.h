// SPDX-License-Identifier: Apache-2.0
// ReadThrough: chunks that were fetched and found no room in the cache, held in memory until their reader has had all
// of them. The kernel may read one file in many pieces; without this each piece would be a GET of the whole chunk.
// The least recently used go first. Threads: confined to the hydrator's mutex. No I/O.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>

#include "hydrate/fetch.h"

namespace leat::hydrate {

class ReadThrough {
 public:
  explicit ReadThrough(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // `read_bytes` of the chunk have been handed out already. Nothing is held of a chunk that has been read whole.
  void Insert(const FlightKey& key, std::shared_ptr<const Buffer> buffer, uint64_t read_bytes);
  std::shared_ptr<const Buffer> Find(const FlightKey& key) const;  // null: not held
  // `bytes` more were handed out: the chunk goes when that is all of it.
  void Read(const FlightKey& key, uint64_t bytes);
  void EvictOldest();
  void Forget(const FlightKey& key);
  void ForgetDataset(DatasetId dataset);

  uint64_t bytes() const { return bytes_; }
  bool empty() const { return held_.empty(); }

 private:
  struct Held {
    std::shared_ptr<const Buffer> buffer;
    uint64_t unread_bytes = 0;
    std::list<FlightKey>::iterator age;
  };
  void Erase(std::map<FlightKey, Held>::iterator held);

  const uint64_t bytes_max_;
  uint64_t bytes_ = 0;
  std::map<FlightKey, Held> held_;
  std::list<FlightKey> by_age_;  // last used first
};

}  // namespace leat::hydrate
