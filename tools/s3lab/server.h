// SPDX-License-Identifier: Apache-2.0
// The listening socket and the event loops: epoll, edge-triggered, one loop a thread, a heap of wake-up times in each.
// No thread ever sleeps for a delay that a client should see.
#pragma once

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "connection.h"

namespace leat::s3lab {

class Server {
 public:
  explicit Server(Endpoint endpoint);
  ~Server();  // stops and joins
  // Listens on 127.0.0.1:`port` (0: any free one).
  Status Listen(uint16_t port);
  uint16_t port() const { return port_; }
  Status Start(unsigned threads);
  void Stop();

 private:
  class Loop;
  Endpoint endpoint_;
  FileDescriptor listener_;
  FileDescriptor stop_event_;
  uint16_t port_ = 0;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::vector<std::jthread> threads_;
};

}  // namespace leat::s3lab
