// SPDX-License-Identifier: Apache-2.0
// Server: the daemon's end of the control socket. One thread accepts, one serves each connection (at most
// connections_max); a connection carries requests one after another.
//
// Who may call: the daemon's own user and root, checked with SO_PEERCRED beside the socket's mode 0600.
// A malformed request is answered with an error and its connection closed.
// Ownership: the handler outlives the server. The destructor wakes and joins every thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "control/line_channel.h"

namespace leat::control {

// One client, as a handler sees it. Confined to the thread that serves it.
class Connection {
 public:
  Connection(uint64_t id, PeerCredentials peer, LineChannel& channel) : id_(id), peer_(peer), channel_(channel) {}
  uint64_t id() const { return id_; }
  const PeerCredentials& peer() const { return peer_; }
  // False when the client is gone: whoever waits on its behalf should stop.
  bool SendProgress(const Json& progress);
  bool PeerGone() const { return channel_.PeerGone(); }

 private:
  uint64_t id_;
  PeerCredentials peer_;
  LineChannel& channel_;
};

class Handler {
 public:
  virtual ~Handler() = default;
  // Many threads at once. The request is an object with a string "verb". May take long if it sends progress every
  // second.
  virtual Result<Json> Handle(const Json& request, Connection& connection) = 0;
  virtual void OnConnectionClosed(uint64_t connection_id) = 0;
};

struct ServerOptions {
  std::string socket_path;
  uint32_t connections_max = 256;                // jobs hold one each as a lease
  std::chrono::milliseconds write_wait{10'000};  // for a client that does not read
};

class Server {
 public:
  // Removes a stale socket first: the caller holds the state directory's lock, so no other daemon can own it.
  static Result<std::unique_ptr<Server>> Start(ServerOptions options, Handler& handler);
  virtual ~Server() = default;
  // Requests being handled now.
  virtual uint32_t RequestsInFlight() const = 0;
};

}  // namespace leat::control
