// SPDX-License-Identifier: Apache-2.0
// PendingRequest: a kernel request whose answer comes later, from any thread, exactly once: the answer itself, EINTR
// when the program that waits is interrupted, or an error when the mount ends; whichever is first. Ownership: its
// PendingRequests holds it until it is answered; so do the callbacks that will answer.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "fuse/libfuse.h"

namespace leat::fuse {

class PendingRequests;

class PendingRequest {
 public:
  PendingRequest(PendingRequests& all, fuse_req_t request, std::function<void()> when_answered)
      : all_(all), request_(request), when_answered_(std::move(when_answered)) {}

  // Runs reply(request), which must send exactly one reply, unless this has been answered otherwise.
  template <class Reply>
  bool Answer(Reply reply);

 private:
  friend class PendingRequests;
  static void OnInterrupt(fuse_req_t request, void* data);

  PendingRequests& all_;  // outlives every unanswered request
  fuse_req_t request_;
  const std::function<void()> when_answered_;
  std::atomic<bool> answered_{false};
  bool interrupted_while_registering_ = false;  // used by the registering thread only
};

class PendingRequests {
 public:
  // From here on libfuse tells interrupts. When the mount is closing, the request is answered with an error at once.
  // `when_answered`, if given, runs once, after the reply, whichever it is.
  std::shared_ptr<PendingRequest> Register(fuse_req_t request, std::function<void()> when_answered = nullptr);
  // Answers all with `error`, and all that come later; returns when no reply is being sent any more.
  void Close(int error);

 private:
  friend class PendingRequest;
  void Remove(PendingRequest* request);

  std::mutex mutex_;  // protects what follows
  std::condition_variable removed_;
  std::unordered_map<PendingRequest*, std::shared_ptr<PendingRequest>> waiting_;
  int closing_error_ = 0;
};

template <class Reply>
bool PendingRequest::Answer(Reply reply) {
  if (answered_.exchange(true)) return false;
  // Waits for an interrupt that is being told now; after it none is told for this request.
  fuse_req_interrupt_func(request_, nullptr, nullptr);
  reply(request_);
  all_.Remove(this);
  return true;
}

}  // namespace leat::fuse
