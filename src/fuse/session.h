// SPDX-License-Identifier: Apache-2.0
// Session: one libfuse session and the threads ("leat-fuse") that receive its requests. The device is not cloned, so
// that one descriptor is all there is to the connection. Threads: Start, Stop and Detach by the owner; the threads run
// the operations.
#pragma once

#include <pthread.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "fuse/libfuse.h"
#include "fuse/requests.h"

namespace leat::fuse {

class Session {
 public:
  ~Session();
  // Mounts at `mountpoint` with libfuse's `mount_options` ("ro,nosuid,...").
  static Result<std::unique_ptr<Session>> Mount(const std::string& mountpoint, const std::string& mount_options,
                                                Server& server);
  // `ended` runs on the last thread to leave, when that was not for Stop.
  Status Start(unsigned threads, std::function<void()> ended);
  // Threads stop receiving; joins them. The connection stays until the session is destroyed.
  void Stop();

  fuse_session* get() const { return session_; }

 private:
  Session() = default;
  static void* RunThread(void* self);
  void Receive();

  fuse_session* session_ = nullptr;
  std::vector<pthread_t> threads_;
  std::function<void()> ended_;
  std::atomic<unsigned> running_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace leat::fuse
