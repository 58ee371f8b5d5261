// SPDX-License-Identifier: Apache-2.0
#include "control/client.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "control/protocol.h"

namespace leat::control {

Result<std::unique_ptr<Client>> Client::Connect(const std::string& socket_path, std::chrono::milliseconds wait) {
  const auto deadline = std::chrono::steady_clock::now() + wait;
  FileDescriptor directory;
  LEAT_ASSIGN_OR_RETURN(const std::string address_path, SocketAddressFor(socket_path, directory));
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return FailErrno(errno, "making a socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, address_path.data(), address_path.size());
  // A unix socket connects at once or says EAGAIN while the daemon's backlog is full.
  while (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EINTR) continue;
    if (errno == ENOENT || errno == ECONNREFUSED) return Fail(ErrorCode::kNotFound, "no daemon at " + socket_path);
    if (errno == EACCES)
      return Fail(ErrorCode::kDenied,
                  socket_path + " is served by another user's daemon; run the command as that user");
    if (errno != EAGAIN) return FailErrno(errno, "connecting to " + socket_path);
    if (std::chrono::steady_clock::now() >= deadline) {
      return Fail(ErrorCode::kTimedOut, "the daemon at " + socket_path + " takes no connection");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::unique_ptr<Client> client(new Client(std::move(socket)));
  LEAT_ASSIGN_OR_RETURN(const PeerCredentials peer, client->Peer());
  if (peer.uid != geteuid() && peer.uid != 0) {
    return Fail(ErrorCode::kDenied, socket_path + " is served by another user's daemon (user id " +
                                        std::to_string(peer.uid) + "); run the command as that user");
  }
  return client;
}

Result<Json> Client::Call(const Json& request, std::chrono::milliseconds silence_max,
                          const std::function<void(const Json&)>& on_progress) {
  // When the daemon has refused the connection its reason may be waiting to be read though the write fails.
  const Status written = channel_.Write(request, silence_max);
  if (!written && written.error().code != ErrorCode::kUnavailable) return Fail(written.error());
  for (;;) {
    auto answer = channel_.Read(silence_max);
    if (!answer) {
      if (answer.error().code == ErrorCode::kNotFound || answer.error().code == ErrorCode::kProtocol) {
        return Fail(ErrorCode::kCancelled, "the daemon ended before it answered; its log tells why");
      }
      if (answer.error().code == ErrorCode::kTimedOut) {
        return Fail(ErrorCode::kTimedOut,
                    "the daemon has not answered for " + std::to_string(silence_max.count() / 1000) + " s");
      }
      return Fail(answer.error());
    }
    const auto progress = answer->find("progress");
    if (progress == answer->end()) return ResultOf(*answer);
    if (on_progress) on_progress(*progress);
  }
}

}  // namespace leat::control
