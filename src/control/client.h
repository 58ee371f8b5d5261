// SPDX-License-Identifier: Apache-2.0
// Client: one connection to a daemon's control socket. Confined to one thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "control/line_channel.h"

namespace leat::control {

class Client {
 public:
  // kNotFound: nobody listens there. kTimedOut: the daemon does not take the connection. kDenied: the listener is
  // another user's (neither ours nor root's), to whom no request, which may hold credentials, must go.
  static Result<std::unique_ptr<Client>> Connect(const std::string& socket_path, std::chrono::milliseconds wait);

  // One request, its progress, its result. `silence_max`: the longest time between two lines of the answer (kTimedOut).
  // kCancelled: the daemon went away before it answered.
  Result<Json> Call(const Json& request, std::chrono::milliseconds silence_max,
                    const std::function<void(const Json& progress)>& on_progress = {});
  bool HasDaemonEnded() const { return channel_.PeerGone(); }
  Result<PeerCredentials> Peer() const { return CredentialsOfPeer(channel_.fd()); }

 private:
  explicit Client(FileDescriptor socket) : channel_(std::move(socket)) {}
  LineChannel channel_;
};

}  // namespace leat::control
