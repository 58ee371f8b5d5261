// SPDX-License-Identifier: Apache-2.0
#include "fuse/kernel_notifier.h"

#include <pthread.h>

#include <algorithm>

namespace leat::fuse {

KernelNotifier::KernelNotifier(fuse_session* session) : session_(session) {}

void KernelNotifier::Start() {
  names_.thread = std::thread([this] { Work(names_); });
  pthread_setname_np(names_.thread.native_handle(), "leat-notify");
  contents_.thread = std::thread([this] { Work(contents_); });
  pthread_setname_np(contents_.thread.native_handle(), "leat-notify-p");
}

void KernelNotifier::Stop() {
  for (Queue* queue : {&names_, &contents_}) {
    std::lock_guard lock(queue->mutex);
    queue->stopping = true;
    if (queue == &names_) {
      for (Notice& notice : after_held_) queue->notices.push_back(std::move(notice));
      after_held_.clear();
    }
    queue->wake.notify_all();
  }
  for (Queue* queue : {&names_, &contents_}) {
    if (queue->thread.joinable()) queue->thread.join();
  }
}

void KernelNotifier::Push(Queue& queue, Notice notice) {
  std::lock_guard lock(queue.mutex);
  queue.notices.push_back(std::move(notice));
  queue.wake.notify_one();
}

void KernelNotifier::Hold(InodeId directory) {
  std::lock_guard lock(names_.mutex);
  ++held_[Value(directory)].requests;
}

void KernelNotifier::Unhold(InodeId directory) {
  std::lock_guard lock(names_.mutex);
  const auto found = held_.find(Value(directory));
  if (--found->second.requests > 0) return;
  for (const std::string& name : found->second.names) {
    names_.notices.push_back({Notice::Kind::kEntry, Value(directory), name, nullptr});
  }
  if (!found->second.names.empty()) {
    names_.notices.push_back({Notice::Kind::kDirectoryContents, Value(directory), {}, nullptr});
    names_.wake.notify_one();
  }
  held_.erase(found);
  if (after_held_.empty() || NamesHeldLocked()) return;
  for (Notice& notice : after_held_) names_.notices.push_back(std::move(notice));
  after_held_.clear();
  names_.wake.notify_one();
}

bool KernelNotifier::NamesHeldLocked() const {
  return std::any_of(held_.begin(), held_.end(), [](const auto& held) { return !held.second.names.empty(); });
}

void KernelNotifier::InvalidateEntry(InodeId parent, const std::string& name) {
  std::lock_guard lock(names_.mutex);
  // An import changes many names of one directory in a row: its cached contents are dropped once, after them.
  if (!names_.notices.empty() && names_.notices.back().kind == Notice::Kind::kDirectoryContents &&
      names_.notices.back().inode == Value(parent)) {
    names_.notices.pop_back();
  }
  names_.notices.push_back({Notice::Kind::kEntry, Value(parent), name, nullptr});
  names_.notices.push_back({Notice::Kind::kDirectoryContents, Value(parent), {}, nullptr});
  names_.wake.notify_one();
}

void KernelNotifier::InvalidateInode(InodeId inode, bool contents) {
  Push(names_, {Notice::Kind::kAttributes, Value(inode), {}, nullptr});
  if (contents) Push(contents_, {Notice::Kind::kContents, Value(inode), {}, nullptr});
}

void KernelNotifier::AfterInvalidations(bool held_too, std::function<void()> then) {
  Push(names_, {held_too ? Notice::Kind::kCallbackAfterHeld : Notice::Kind::kCallback, 0, {}, std::move(then)});
}

void KernelNotifier::AfterContentInvalidations(std::function<void()> then) {
  Push(contents_, {Notice::Kind::kCallback, 0, {}, std::move(then)});
}

void KernelNotifier::Work(Queue& queue) {
  std::unique_lock lock(queue.mutex);
  while (true) {
    queue.wake.wait(lock, [&] { return queue.stopping || !queue.notices.empty(); });
    if (queue.notices.empty()) return;
    const Notice notice = std::move(queue.notices.front());
    queue.notices.pop_front();
    if (notice.kind == Notice::Kind::kEntry) {  // only in names_, whose mutex guards held_
      if (const auto held = held_.find(notice.inode); held != held_.end()) {
        held->second.names.insert(notice.name);
        continue;
      }
    }
    const bool stopping = queue.stopping;
    if (notice.kind == Notice::Kind::kCallbackAfterHeld && !stopping && NamesHeldLocked()) {
      after_held_.push_back(notice);
      continue;
    }
    lock.unlock();
    if (notice.kind == Notice::Kind::kCallback || notice.kind == Notice::Kind::kCallbackAfterHeld) {
      notice.then();
    } else if (!stopping) {
      Send(notice);
    }
    lock.lock();
  }
}

void KernelNotifier::Send(const Notice& notice) {
  // ENOENT: the kernel does not know it, which is as good. ENODEV, ENOTCONN: the mount has ended. Nothing else is left
  // to do about a failure: the entry's timeout ends it.
  switch (notice.kind) {
    case Notice::Kind::kEntry:
      (void)fuse_lowlevel_notify_inval_entry(session_, notice.inode, notice.name.data(), notice.name.size());
      break;
    case Notice::Kind::kDirectoryContents:
    case Notice::Kind::kContents:
      (void)fuse_lowlevel_notify_inval_inode(session_, notice.inode, 0, 0);
      break;
    case Notice::Kind::kAttributes:
      (void)fuse_lowlevel_notify_inval_inode(session_, notice.inode, -1, 0);
      break;
    case Notice::Kind::kCallback:
    case Notice::Kind::kCallbackAfterHeld:
      break;
  }
}

}  // namespace leat::fuse
