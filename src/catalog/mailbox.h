// SPDX-License-Identifier: Apache-2.0
// Mailbox: what one thread has been asked to run, demand before background. Any thread posts; one takes.
// Bounded by its users: each has at most one message under way per request that it sent.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <utility>

namespace leat::catalog {

class Mailbox {
 public:
  enum class Priority { kDemand, kBackground };
  using Message = std::function<void()>;

  void Post(Priority priority, Message message) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      (priority == Priority::kDemand ? demand_ : background_).push_back(std::move(message));
    }
    wake_.notify_one();
  }
  // Waits for a message; false once Stop() was called (what is left can still be had with TryTake).
  bool Take(Message& message) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return stopped_ || !demand_.empty() || !background_.empty(); });
    return !stopped_ && TakeLocked(message);
  }
  bool TryTake(Message& message) {
    const std::lock_guard lock(mutex_);
    return TakeLocked(message);
  }
  void Stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    wake_.notify_all();
  }
  void Close() {  // what is posted from now on is dropped
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }

 private:
  bool TakeLocked(Message& message) {
    auto& queue = demand_.empty() ? background_ : demand_;
    if (queue.empty()) return false;
    message = std::move(queue.front());
    queue.pop_front();
    return true;
  }
  std::mutex mutex_;  // protects everything below
  std::condition_variable wake_;
  std::deque<Message> demand_, background_;
  bool stopped_ = false, closed_ = false;
};

}  // namespace leat::catalog
