// SPDX-License-Identifier: Apache-2.0
#include "jobs/queued_observer.h"

#include <utility>

namespace leat::jobs {
namespace {

constexpr size_t kItemBytes = 128;  // what an item takes beside its text, about

}  // namespace

QueuedObserver::~QueuedObserver() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void QueuedObserver::Start() {
  thread_ = std::thread([this] { Work(); });
}

void QueuedObserver::OnStatus(const std::string& job, const std::string& secondary, const std::string& message) {
  Add(Kind::kAlways, job, secondary.size() + message.size(),
      [=](RunObserver& display) { display.OnStatus(job, secondary, message); });
}

void QueuedObserver::OnLogLine(const std::string& job, std::string_view line) {
  Add(Kind::kLine, job, line.size(),
      [job, text = std::string(line)](RunObserver& display) { display.OnLogLine(job, text); });
}

void QueuedObserver::OnMetric(const std::string& job, const std::string& name, double value) {
  Add(Kind::kMetric, job, name.size(), [=](RunObserver& display) { display.OnMetric(job, name, value); });
}

void QueuedObserver::OnWarning(const std::string& job, const std::string& text) {
  Add(Kind::kAlways, job, text.size(), [=](RunObserver& display) { display.OnWarning(job, text); });
}

void QueuedObserver::Add(Kind kind, const std::string& job, size_t bytes, std::function<void(RunObserver&)> show) {
  std::lock_guard lock(mutex_);
  bytes += kItemBytes;
  // Once full, half of the queue is shown before more is taken: one notice then stands for many lines.
  if (bytes_ + bytes > bytes_max_) is_full_ = true;
  if (bytes_ <= bytes_max_ / 2) is_full_ = false;
  if (is_full_ && kind != Kind::kAlways) {
    if (kind == Kind::kLine) {
      ++lines_dropped_;
      dropped_of_ = job;
    }
    return;
  }
  AddNoticeLocked(dropped_of_);
  bytes_ += bytes;
  items_.push_back({std::move(show), bytes});
  changed_.notify_all();
}

void QueuedObserver::AddNoticeLocked(const std::string& job) {
  const uint64_t dropped = std::exchange(lines_dropped_, 0);
  if (dropped == 0) return;
  const std::string text = "[" + std::to_string(dropped) + (dropped == 1 ? " line" : " lines") + " not shown]";
  items_.push_back({[job, text](RunObserver& display) { display.OnLogLine(job, text); }, kItemBytes});
  bytes_ += kItemBytes;
}

bool QueuedObserver::Finish(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  AddNoticeLocked(dropped_of_);
  changed_.notify_all();
  for (;;) {
    if (items_.empty() && !is_showing_) return true;
    const uint64_t before = shown_;
    const bool moved =
        changed_.wait_for(lock, patience, [&] { return shown_ != before || (items_.empty() && !is_showing_); });
    if (!moved) return false;
  }
}

void QueuedObserver::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !items_.empty(); });
    if (stopping_) return;
    const Item item = std::move(items_.front());
    items_.pop_front();
    is_showing_ = true;
    lock.unlock();
    try {
      item.show(display_);
    } catch (...) {  // out of memory: what is not shown is in the log all the same
    }
    lock.lock();
    is_showing_ = false;
    bytes_ -= item.bytes;
    ++shown_;
    changed_.notify_all();
  }
}

}  // namespace leat::jobs
