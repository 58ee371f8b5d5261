// SPDX-License-Identifier: Apache-2.0
#include "cache/evictor.h"

#include <pthread.h>

#include <utility>

namespace leat::cache {

void Evictor::Start(Drop drop) {
  drop_ = std::move(drop);
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "leat-evict");
    Work();
  });
}

void Evictor::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Evictor::Evict(std::vector<DatasetId> datasets, uint64_t bytes_needed) {
  {
    std::lock_guard lock(mutex_);
    if (busy_ || stop_) return;
    busy_ = true;
    datasets_ = std::move(datasets);
    bytes_needed_ = bytes_needed;
  }
  wake_.notify_all();
}

bool Evictor::Busy() const {
  std::lock_guard lock(mutex_);
  return busy_;
}

void Evictor::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stop_ || busy_; });
    if (stop_) return;
    const std::vector<DatasetId> datasets = std::move(datasets_);
    const uint64_t bytes_needed = bytes_needed_;
    lock.unlock();
    uint64_t given_back = 0;
    for (const DatasetId dataset : datasets) {
      if (stop_ || given_back >= bytes_needed) break;
      given_back += drop_(dataset, stop_);
    }
    lock.lock();
    busy_ = false;
  }
}

}  // namespace leat::cache
