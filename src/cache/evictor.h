// SPDX-License-Identifier: Apache-2.0
// Evictor: drops whole datasets on a thread of its own, so that nobody who needs room waits for a whole eviction (a
// million small objects take minutes). Room appears object by object; whoever asks again meanwhile gets it.
// Threads: any; one mutex, not held while a dataset is being dropped. The thread runs between Start and Stop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "model/ids.h"

namespace leat::cache {

class Evictor {
 public:
  // Drops the dataset, or what it can until `stop` is set; returns the bytes given back. Called on the thread.
  using Drop = std::function<uint64_t(DatasetId dataset, const std::atomic<bool>& stop)>;

  ~Evictor() { Stop(); }
  void Start(Drop drop);
  void Stop();  // returns when the object that is being dropped is
  // Drops these, first to last, until so many bytes were given back. Nothing when an eviction is under way.
  void Evict(std::vector<DatasetId> datasets, uint64_t bytes_needed);
  bool Busy() const;

 private:
  void Work();

  Drop drop_;  // constant after Start
  std::thread thread_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool busy_ = false;
  std::vector<DatasetId> datasets_;
  uint64_t bytes_needed_ = 0;
};

}  // namespace leat::cache
