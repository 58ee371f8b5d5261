// SPDX-License-Identifier: Apache-2.0
#include "control/line_channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>

#include "control/raw_text.h"

namespace leat::control {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// True when `fd` is ready for `events` (or has failed) before `deadline`.
bool WaitFor(int fd, short events, SteadyTime deadline) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd entry{fd, events, 0};
    const int ready = poll(&entry, 1, static_cast<int>(std::max<int64_t>(0, left.count())));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

}  // namespace

Result<Json> LineChannel::Read(std::chrono::milliseconds wait) {
  const SteadyTime deadline = std::chrono::steady_clock::now() + wait;
  size_t searched = 0;
  for (;;) {
    if (const size_t end = pending_.find('\n', searched); end != std::string::npos) {
      Json object = Json::parse(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(end), nullptr, false);
      pending_.erase(0, end + 1);
      if (!object.is_object()) return Fail(ErrorCode::kProtocol, "not a JSON object on one line");
      UnescapeTexts(object);
      return object;
    }
    searched = pending_.size();
    if (pending_.size() > kLineBytesMax) return Fail(ErrorCode::kProtocol, "a line is longer than 1 MiB");
    if (!WaitFor(socket_.get(), POLLIN, deadline)) return Fail(ErrorCode::kTimedOut, "no answer in time");
    char buffer[16384];
    const ssize_t count = recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (count > 0) {
      pending_.append(buffer, static_cast<size_t>(count));
    } else if (count == 0 || errno == ECONNRESET) {
      if (pending_.empty()) return Fail(ErrorCode::kNotFound, "the connection was closed");
      return Fail(ErrorCode::kProtocol, "the connection was closed in the middle of a line");
    } else if (errno != EAGAIN && errno != EINTR) {
      return FailErrno(errno, "reading from the control socket");
    }
  }
}

Status LineChannel::Write(const Json& object, std::chrono::milliseconds wait) {
  const SteadyTime deadline = std::chrono::steady_clock::now() + wait;
  const std::string line = DumpWithRawBytes(object) + "\n";
  for (size_t sent = 0; sent < line.size();) {
    if (!WaitFor(socket_.get(), POLLOUT, deadline)) return Fail(ErrorCode::kTimedOut, "the other side does not read");
    const ssize_t count = send(socket_.get(), line.data() + sent, line.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) {
      sent += static_cast<size_t>(count);
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return Fail(ErrorCode::kUnavailable, "the other side has closed the connection");
    } else if (errno != EAGAIN && errno != EINTR) {
      return FailErrno(errno, "writing to the control socket");
    }
  }
  return {};
}

bool LineChannel::PeerGone() const {
  pollfd entry{socket_.get(), POLLRDHUP, 0};
  return poll(&entry, 1, 0) > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void LineChannel::Shutdown() { shutdown(socket_.get(), SHUT_RDWR); }

Result<PeerCredentials> CredentialsOfPeer(int socket) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) {
    return FailErrno(errno, "asking who is connected");
  }
  return PeerCredentials{credentials.pid, credentials.uid, credentials.gid};
}

Result<std::string> SocketAddressFor(const std::string& path, FileDescriptor& keep) {
  if (path.size() < sizeof(sockaddr_un::sun_path)) return path;
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return Fail(ErrorCode::kInvalidArgument, "the socket's name is too long: " + path);
  const std::string directory = path.substr(0, slash);
  keep = FileDescriptor(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!keep.valid()) return FailErrno(errno, "opening " + directory);
  return "/proc/self/fd/" + std::to_string(keep.get()) + path.substr(slash);
}

}  // namespace leat::control
