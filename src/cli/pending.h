// SPDX-License-Identifier: Apache-2.0
// Pending<T>: the answer of an asynchronous call, waited for in steps, so that the waiter can look around in between.
// Shared by the waiter and the callback: a waiter may give up and go.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "base/result.h"

namespace leat::cli {

template <class T>
class Pending {
 public:
  static std::shared_ptr<Pending> Make() { return std::make_shared<Pending>(); }
  static std::function<void(Result<T>)> CallbackOf(const std::shared_ptr<Pending>& pending) {
    return [pending](Result<T> result) {
      std::lock_guard lock(pending->mutex_);
      pending->result_ = std::move(result);
      pending->arrived_.notify_all();
    };
  }
  // The answer, if it comes within `wait`.
  std::optional<Result<T>> WaitFor(std::chrono::milliseconds wait) {
    std::unique_lock lock(mutex_);
    arrived_.wait_for(lock, wait, [this] { return result_.has_value(); });
    return result_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::optional<Result<T>> result_;
};

}  // namespace leat::cli
