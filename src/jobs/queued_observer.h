// SPDX-License-Identifier: Apache-2.0
// QueuedObserver: a RunObserver that never waits. What it is told goes through a bounded queue to another observer,
// which is called on a thread of the queue's own and may block as it likes: it writes to a terminal or a pipe, and who
// reads that may not. When the queue is full, lines of the log and metrics are dropped, and the display is told how
// many lines.
//
// Threads: any may tell; the display is called on one thread. Owns the thread; the display must outlive the object.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "jobs/services.h"

namespace leat::jobs {

class QueuedObserver final : public RunObserver {
 public:
  static constexpr size_t kQueueBytesMax = 4u << 20;
  explicit QueuedObserver(RunObserver& display, size_t bytes_max = kQueueBytesMax)
      : display_(display), bytes_max_(bytes_max) {}
  ~QueuedObserver() override;  // leaves what is queued unshown; waits for the display to return
  void Start();

  void OnStatus(const std::string& job, const std::string& secondary, const std::string& message) override;
  void OnLogLine(const std::string& job, std::string_view line) override;
  void OnMetric(const std::string& job, const std::string& name, double value) override;
  void OnWarning(const std::string& job, const std::string& text) override;

  // Waits until everything is shown, for as long as the display takes something every `patience`. False: it does not,
  // and its thread stands in a call: only _exit ends the process without waiting for it. Nothing is told after this.
  bool Finish(std::chrono::milliseconds patience);

 private:
  struct Item {
    std::function<void(RunObserver&)> show;
    size_t bytes = 0;
  };
  enum class Kind { kAlways, kLine, kMetric };
  void Add(Kind kind, const std::string& job, size_t bytes, std::function<void(RunObserver&)> show);
  void AddNoticeLocked(const std::string& job);
  void Work();

  RunObserver& display_;
  const size_t bytes_max_;
  std::mutex mutex_;  // protects everything below; not held while the display is called
  std::condition_variable changed_;
  std::deque<Item> items_;
  size_t bytes_ = 0;
  uint64_t lines_dropped_ = 0, shown_ = 0;
  std::string dropped_of_;  // whose line was dropped last
  bool is_full_ = false, is_showing_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace leat::jobs
