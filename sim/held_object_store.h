// SPDX-License-Identifier: Apache-2.0
// HeldObjectStore: for tests, holds GETs of keys that begin with "held" until the test answers them, from whatever
// thread the test likes. The rest goes to another store. Any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <utility>

#include "sim/forwarding_object_store.h"

namespace leat::sim {

class HeldObjectStore final : public ForwardingObjectStore {
 public:
  explicit HeldObjectStore(env::ObjectStore& store) : ForwardingObjectStore(store) {}

  env::RequestId Get(env::GetRequest request, std::shared_ptr<env::GetReceiver> receiver) override {
    if (!request.key.starts_with("held")) return ForwardingObjectStore::Get(std::move(request), std::move(receiver));
    std::lock_guard lock(mutex_);
    held_.push_back({std::move(request), std::move(receiver)});
    return env::RequestId{kIdFirst + held_.size() - 1};
  }
  void Cancel(env::RequestId id) override {
    if (static_cast<uint64_t>(id) < kIdFirst) return ForwardingObjectStore::Cancel(id);
    std::lock_guard lock(mutex_);
    held_.at(static_cast<uint64_t>(id) - kIdFirst).cancelled = true;
  }

  // Of the GETs held so far, by number in the order in which they came.
  size_t count() const {
    std::lock_guard lock(mutex_);
    return held_.size();
  }
  void WaitFor(size_t count_wanted) const {
    while (count() < count_wanted) std::this_thread::yield();
  }
  env::GetRequest RequestOf(size_t number) const {
    std::lock_guard lock(mutex_);
    return held_.at(number).request;
  }
  bool CancelledOf(size_t number) const {
    std::lock_guard lock(mutex_);
    return held_.at(number).cancelled;
  }

  // The callbacks of one GET.
  void Begin(size_t number, uint64_t object_bytes) {
    ObjectInfo info;
    info.key = RequestOf(number).key;
    info.etag = RequestOf(number).if_match;
    info.size_bytes = object_bytes;
    ReceiverOf(number)->OnStart(info);
  }
  void Send(size_t number, const std::string& bytes) { ReceiverOf(number)->OnData(std::as_bytes(std::span(bytes))); }
  void Throttle(size_t number) { ReceiverOf(number)->OnThrottled(); }
  void End(size_t number, Status status = {}) {
    const auto receiver = ReceiverOf(number);
    {
      std::lock_guard lock(mutex_);
      held_.at(number).receiver = nullptr;
    }
    receiver->OnDone(std::move(status));
  }

 private:
  static constexpr uint64_t kIdFirst = 1'000'000'000;
  struct Held {
    env::GetRequest request;
    std::shared_ptr<env::GetReceiver> receiver;
    bool cancelled = false;
  };
  std::shared_ptr<env::GetReceiver> ReceiverOf(size_t number) const {
    std::lock_guard lock(mutex_);
    return held_.at(number).receiver;
  }

  mutable std::mutex mutex_;  // protects what follows
  std::deque<Held> held_;
};

}  // namespace leat::sim
