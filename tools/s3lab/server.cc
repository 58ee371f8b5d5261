// SPDX-License-Identifier: Apache-2.0
#include "server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <functional>
#include <queue>
#include <unordered_map>

#include "base/log.h"

namespace leat::s3lab {
namespace {

constexpr int kBacklog = 4096;
constexpr uint64_t kListenerTag = 0, kStopTag = 1, kFirstConnection = 2;
// A whole small object fits: its answer is one system call and no wait. The kernel caps it at net.core.wmem_max.
constexpr int kSendBufferBytes = 1 << 20;

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

class Server::Loop {
 public:
  Loop(Endpoint& endpoint, int listener, int stop_event)
      : endpoint_(endpoint), listener_(listener), stop_event_(stop_event) {}

  Status Open() {
    epoll_ = FileDescriptor(epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_.valid()) return FailErrno(errno, "epoll_create1");
    epoll_event listens{};
    listens.events = EPOLLIN | EPOLLEXCLUSIVE;
    listens.data.u64 = kListenerTag;
    epoll_event stops{};
    stops.events = EPOLLIN;
    stops.data.u64 = kStopTag;
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_, &listens) != 0 ||
        epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_event_, &stops) != 0)
      return FailErrno(errno, "epoll_ctl");
    return {};
  }

  void Run() {
    std::array<epoll_event, 256> events;
    for (;;) {
      const int count = Wait(events);
      const int64_t now_ns = NowNs();
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<size_t>(i)];
        if (event.data.u64 == kStopTag) return;
        if (event.data.u64 == kListenerTag) {
          Accept(now_ns);
        } else {
          Handle(event.data.u64, event.events, now_ns);
        }
      }
      while (!timers_.empty() && timers_.top().first <= now_ns) {
        const uint64_t id = timers_.top().second;
        timers_.pop();
        const auto found = connections_.find(id);
        // A wake-up that was put off or cancelled since is not this connection's any more.
        if (found != connections_.end() && found->second->wake_ns() != 0 && found->second->wake_ns() <= now_ns)
          Advance(id, now_ns);
      }
    }
  }

 private:
  // epoll_pwait2 waits in nanoseconds; where it is missing, whole milliseconds, rounded up.
  int Wait(std::array<epoll_event, 256>& events) {
    const int64_t wait_ns = timers_.empty() ? -1 : std::max<int64_t>(0, timers_.top().first - NowNs());
    if (fine_waits_) {
      const timespec time{wait_ns / 1'000'000'000, wait_ns % 1'000'000'000};
      const int count = epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                     wait_ns < 0 ? nullptr : &time, nullptr);
      if (count >= 0 || errno == EINTR) return std::max(count, 0);
      fine_waits_ = false;
    }
    const int64_t wait_ms = wait_ns < 0 ? -1 : std::min<int64_t>(3'600'000, (wait_ns + 999'999) / 1'000'000);
    return std::max(
        0, epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), static_cast<int>(wait_ms)));
  }

  void Accept(int64_t now_ns) {
    for (;;) {
      FileDescriptor socket(accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!socket.valid()) {
        if (errno == EMFILE || errno == ENFILE)
          LogWarning("s3lab has no file descriptors left for a connection: raise ulimit -n");
        return;
      }
      const int on = 1;
      setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof kSendBufferBytes);
      const uint64_t id = next_id_++;
      epoll_event event{};
      event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
      event.data.u64 = id;
      const int descriptor = socket.get();
      connections_.emplace(id, std::make_unique<Connection>(std::move(socket), endpoint_));
      if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) {
        connections_.erase(id);
      } else {
        Advance(id, now_ns);
      }
    }
  }

  void Handle(uint64_t id, uint32_t events, int64_t now_ns) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    Connection& connection = *found->second;
    const bool gone = (events & (EPOLLERR | EPOLLHUP)) != 0 || ((events & EPOLLRDHUP) != 0 && connection.answering());
    if (gone) {
      connections_.erase(found);
      return;
    }
    if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) connection.SetReadable();
    Advance(id, now_ns);
  }

  void Advance(uint64_t id, int64_t now_ns) {
    const auto found = connections_.find(id);
    const int64_t before_ns = found->second->wake_ns();
    if (!found->second->Advance(now_ns)) {
      connections_.erase(found);
      return;
    }
    const int64_t wake_ns = found->second->wake_ns();
    if (wake_ns != 0 && wake_ns != before_ns) timers_.emplace(wake_ns, id);
  }

  using Timer = std::pair<int64_t, uint64_t>;

  Endpoint& endpoint_;
  const int listener_, stop_event_;
  FileDescriptor epoll_;
  bool fine_waits_ = true;
  uint64_t next_id_ = kFirstConnection;
  std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
};

Server::Server(Endpoint endpoint) : endpoint_(endpoint) {}
Server::~Server() { Stop(); }

Status Server::Listen(uint16_t port) {
  listener_ = FileDescriptor(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  stop_event_ = FileDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!listener_.valid() || !stop_event_.valid()) return FailErrno(errno, "cannot make a socket");
  const int on = 1;
  setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener_.get(), kBacklog) != 0 ||
      getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return FailErrno(errno, "cannot listen on 127.0.0.1:" + std::to_string(port) + " (--port 0 picks a free port)");
  port_ = ntohs(address.sin_port);
  return {};
}

Status Server::Start(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i) {
    loops_.push_back(std::make_unique<Loop>(endpoint_, listener_.get(), stop_event_.get()));
    LEAT_RETURN_IF_ERROR(loops_.back()->Open());
  }
  for (auto& loop : loops_) {
    threads_.emplace_back([&loop] { loop->Run(); });
    pthread_setname_np(threads_.back().native_handle(), "s3lab-loop");
  }
  return {};
}

void Server::Stop() {
  const uint64_t one = 1;
  if (stop_event_.valid()) [[maybe_unused]]
    const ssize_t written = write(stop_event_.get(), &one, sizeof one);
  threads_.clear();
  loops_.clear();
}

}  // namespace leat::s3lab
