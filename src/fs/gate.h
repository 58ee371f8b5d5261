// SPDX-License-Identifier: Apache-2.0
// Gate: lets callbacks that outlive their FileSystem find that it has gone. A callback enters before it touches the
// file system; closing waits for those inside. Only running code is waited for, never work that is still to come.
// Threads: any. Ownership: shared by the file system and every callback it hands out.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

namespace leat::fs {

class Gate {
 public:
  bool Enter() {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    ++inside_;
    return true;
  }
  void Leave() {
    std::lock_guard lock(mutex_);
    if (--inside_ == 0) left_.notify_all();
  }
  void Close() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    left_.wait(lock, [&] { return inside_ == 0; });
  }

 private:
  std::mutex mutex_;  // protects what follows
  std::condition_variable left_;
  int inside_ = 0;
  bool closed_ = false;
};

class GateScope {
 public:
  explicit GateScope(std::shared_ptr<Gate> gate) : gate_(std::move(gate)), inside_(gate_->Enter()) {}
  ~GateScope() {
    if (inside_) gate_->Leave();
  }
  GateScope(const GateScope&) = delete;
  GateScope& operator=(const GateScope&) = delete;
  explicit operator bool() const { return inside_; }

 private:
  std::shared_ptr<Gate> gate_;
  bool inside_;
};

}  // namespace leat::fs
