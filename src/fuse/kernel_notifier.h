// SPDX-License-Identifier: Apache-2.0
// KernelNotifier: sends invalidations to the kernel, from two threads of its own. Names and attributes go through one
// ("leat-notify"); contents through the other ("leat-notify-p"), because dropping pages waits for reads of them, and
// the answer to such a read may itself wait for a name's invalidation. Threads: any may queue; nothing is sent by the
// caller. The session outlives it.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "fs/kernel.h"
#include "fuse/libfuse.h"

namespace leat::fuse {

class KernelNotifier final : public fs::Kernel {
 public:
  explicit KernelNotifier(fuse_session* session);
  ~KernelNotifier() override { Stop(); }
  void Start();
  // Drops what is queued, runs the callbacks that wait, joins.
  void Stop();

  void InvalidateEntry(InodeId parent, const std::string& name) override;
  void InvalidateInode(InodeId inode, bool contents) override;
  void AfterInvalidations(std::function<void()> then) override;
  void AfterContentInvalidations(std::function<void()> then) override;

 private:
  struct Notice {
    enum class Kind { kEntry, kDirectoryContents, kAttributes, kContents, kCallback } kind = Kind::kCallback;
    uint64_t inode = 0;
    std::string name;
    std::function<void()> then;
  };
  struct Queue {
    std::mutex mutex;  // protects what follows
    std::condition_variable wake;
    std::deque<Notice> notices;
    bool stopping = false;
    std::thread thread;
  };
  void Push(Queue& queue, Notice notice);
  void Work(Queue& queue);
  void Send(const Notice& notice);

  fuse_session* const session_;
  Queue names_, contents_;
};

}  // namespace leat::fuse
