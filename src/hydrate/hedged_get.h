// SPDX-License-Identifier: Apache-2.0
// HedgedGet: one GET of a fetch, which may be sent a second time while it has had no first byte. Its receiver sees one
// GET: the answer whose body begins first; the other request is cancelled and nothing of it passes. An error before any
// body waits for the other request, if there is one that may do better.
//
// Threads: any. The receiver is called as a store would call it: in order, never concurrently, on the store's threads.
// Ownership: held by the store through both requests, perhaps longer than the fetch lives; neither the store nor, once
// it has had its last call, the receiver is touched then. Whoever calls a function here keeps the store alive
// meanwhile.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "base/result.h"
#include "env/clock.h"
#include "env/object_store.h"

namespace leat::hydrate {

class HedgedGet final : public std::enable_shared_from_this<HedgedGet> {
 public:
  HedgedGet(env::ObjectStore& store, env::GetRequest request, std::shared_ptr<env::GetReceiver> receiver)
      : store_(store), request_(std::move(request)), receiver_(std::move(receiver)) {}

  void Start(env::MonotonicTime now);  // once
  // Sends the second request. False, and nothing done: there is one already, the answer has begun, or the GET is over.
  bool Hedge(env::MonotonicTime now);
  // The receiver's last call will be OnDone(kCancelled), unless the answer has just ended. Also before Start.
  void Cancel();

  // When it was sent, as long as Hedge() would send it again.
  std::optional<env::MonotonicTime> WaitsSince() const;
  // How long the first byte took: of the request sent first (at least, when the other one won), and of the second if it
  // won. To be asked from the receiver's OnStart.
  struct FirstByte {
    env::Duration first{};
    std::optional<env::Duration> hedge;
  };
  FirstByte FirstByteAt(env::MonotonicTime now) const;
  // Whether the store has had a "slow down" for it since this was last asked.
  bool TakeThrottled() { return throttled_.exchange(false, std::memory_order_relaxed); }

 private:
  class Attempt;
  struct Sent {
    env::MonotonicTime at;
    std::optional<env::RequestId> id;  // absent while the store is being asked
    bool ended = false;
  };
  static constexpr int kNone = -1;

  void Send(int number);
  std::optional<env::RequestId> OtherThan(int number) const;
  void OnStart(int number, const ObjectInfo& info);
  void OnData(int number, std::span<const std::byte> bytes);
  void OnDone(int number, Status status);

  env::ObjectStore& store_;
  const env::GetRequest request_;
  std::atomic<bool> throttled_{false};
  std::atomic<int> winner_{kNone};  // the request whose answer passes; written with the mutex held

  mutable std::mutex mutex_;                    // protects what follows
  std::shared_ptr<env::GetReceiver> receiver_;  // null: it has had, or is about to have, its last call
  std::array<std::optional<Sent>, 2> sent_;
  bool cancelled_ = false;
};

}  // namespace leat::hydrate
