// SPDX-License-Identifier: Apache-2.0
#include "fuse/pending.h"

#include <cerrno>
#include <vector>

namespace leat::fuse {
namespace {
// The request that this thread is registering: libfuse tells an interrupt that came before with a lock held that a
// reply would free.
thread_local PendingRequest* registering = nullptr;
}  // namespace

void PendingRequest::OnInterrupt(fuse_req_t request, void* data) {
  auto* pending = static_cast<PendingRequest*>(data);
  if (pending == registering) {
    pending->interrupted_while_registering_ = true;
    return;
  }
  if (pending->answered_.exchange(true)) return;
  // PendingRequests still holds it, until Remove.
  fuse_reply_err(request, EINTR);
  pending->all_.Remove(pending);
}

std::shared_ptr<PendingRequest> PendingRequests::Register(fuse_req_t request, std::function<void()> when_answered) {
  auto pending = std::make_shared<PendingRequest>(*this, request, std::move(when_answered));
  int closing_error = 0;
  {
    std::lock_guard lock(mutex_);
    waiting_.emplace(pending.get(), pending);
    closing_error = closing_error_;
    // Under the lock: Close must not answer, and so free, a request that is still being armed.
    registering = pending.get();
    fuse_req_interrupt_func(request, &PendingRequest::OnInterrupt, pending.get());
    registering = nullptr;
  }
  if (pending->interrupted_while_registering_) closing_error = EINTR;
  if (closing_error != 0) pending->Answer([&](fuse_req_t answered) { fuse_reply_err(answered, closing_error); });
  return pending;
}

void PendingRequests::Remove(PendingRequest* request) {
  if (request->when_answered_) request->when_answered_();
  std::shared_ptr<PendingRequest> last;  // let go of without the lock
  std::lock_guard lock(mutex_);
  const auto found = waiting_.find(request);
  if (found == waiting_.end()) return;
  last = std::move(found->second);
  waiting_.erase(found);
  removed_.notify_all();
}

void PendingRequests::Close(int error) {
  std::vector<std::shared_ptr<PendingRequest>> waiting;
  {
    std::lock_guard lock(mutex_);
    closing_error_ = error;
    for (const auto& [pointer, pending] : waiting_) waiting.push_back(pending);
  }
  for (const auto& pending : waiting) pending->Answer([&](fuse_req_t request) { fuse_reply_err(request, error); });
  std::unique_lock lock(mutex_);
  removed_.wait(lock, [&] { return waiting_.empty(); });
}

}  // namespace leat::fuse
