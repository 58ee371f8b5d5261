// SPDX-License-Identifier: Apache-2.0
// Waiting for a store's answer that ends early when the job shall stop.
#pragma once

#include <chrono>
#include <future>
#include <memory>
#include <utility>

#include "env/object_store.h"
#include "jobs/services.h"

namespace leat::jobs {

inline constexpr std::chrono::milliseconds kStopPoll{100};

// As env::Await; kCancelled once `stopped` says so: then the answer, when it comes, goes nowhere.
template <class T, class Start>
Result<T> AwaitUnlessStopped(const StopCheck& stopped, Start start) {
  auto promise = std::make_shared<std::promise<Result<T>>>();
  auto future = promise->get_future();
  start(env::Callback<T>([promise](Result<T> result) { promise->set_value(std::move(result)); }));
  while (future.wait_for(kStopPoll) != std::future_status::ready) {
    if (stopped && stopped()) return Fail(ErrorCode::kCancelled, "stopped");
  }
  return future.get();
}

}  // namespace leat::jobs
