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
#include <set>
#include <string>
#include <thread>
#include <unordered_map>

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

  // While a look-up or a reading of a directory waits for its answer, the kernel holds that directory's lock, and a
  // notice about a name in it would wait too, with all notices after it and every program that asks for a name there.
  // Such notices wait here instead until the last one has been answered.
  void Hold(InodeId directory);
  void Unhold(InodeId directory);

  void InvalidateEntry(InodeId parent, const std::string& name) override;
  void InvalidateInode(InodeId inode, bool contents) override;
  void AfterInvalidations(bool held_too, std::function<void()> then) override;
  void AfterContentInvalidations(std::function<void()> then) override;

 private:
  struct Notice {
    enum class Kind {
      kEntry,
      kDirectoryContents,
      kAttributes,
      kContents,
      kCallback,
      kCallbackAfterHeld,
    } kind = Kind::kCallback;
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
  struct HeldDirectory {
    uint32_t requests = 0;
    std::set<std::string> names;  // to be told
  };
  bool NamesHeldLocked() const;
  // Under names_.mutex.
  std::unordered_map<uint64_t, HeldDirectory> held_;
  std::deque<Notice> after_held_;  // callbacks that wait until no name is held
};

}  // namespace leat::fuse
