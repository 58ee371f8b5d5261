// SPDX-License-Identifier: Apache-2.0
// LineChannel: JSON objects, one a line, over a connected socket; both ends of the control protocol stand on it.
//
// Threads: one reads, one writes at a time (the same or two). Ownership: owns the socket. Every wait has a deadline.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

#include "base/file.h"
#include "base/result.h"

namespace leat::control {

using Json = nlohmann::json;

inline constexpr size_t kLineBytesMax = 1u << 20;  // a longer line is answered with an error and the connection closed

class LineChannel {
 public:
  explicit LineChannel(FileDescriptor socket) : socket_(std::move(socket)) {}

  // The next object. kNotFound: the other side closed between lines. kTimedOut: no whole line within `wait`.
  // kProtocol: too long, cut short, not JSON or not an object; the stream is of no further use then.
  Result<Json> Read(std::chrono::milliseconds wait);
  // kUnavailable: the other side is gone. kTimedOut: it does not read. Text that is not UTF-8 arrives as it is
  // (raw_text.h).
  Status Write(const Json& object, std::chrono::milliseconds wait);
  // True once the other side has closed or died. Does not wait.
  bool PeerGone() const;
  // Ends a Read or Write of another thread.
  void Shutdown();
  int fd() const { return socket_.get(); }

 private:
  FileDescriptor socket_;
  std::string pending_;  // bytes read, not yet returned
};

struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};
Result<PeerCredentials> CredentialsOfPeer(int socket);

// A unix socket's address may be 107 bytes; a longer path is reached through /proc/self/fd of its directory.
// `keep` holds that directory open until bind or connect is done.
Result<std::string> SocketAddressFor(const std::string& path, FileDescriptor& keep);

}  // namespace leat::control
