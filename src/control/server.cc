// SPDX-License-Identifier: Apache-2.0
#include "control/server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "base/log.h"
#include "control/protocol.h"

namespace leat::control {
namespace {

// How long a read waits before it looks whether the server is stopping; Shutdown wakes it at once anyway.
constexpr std::chrono::minutes kReadWait{10};

class ServerImplementation final : public Server {
 public:
  ServerImplementation(ServerOptions options, Handler& handler, FileDescriptor listener, int wake_read, int wake_write)
      : options_(std::move(options)),
        handler_(handler),
        listener_(std::move(listener)),
        wake_read_(wake_read),
        wake_write_(wake_write) {}

  void Begin() {
    acceptor_ = std::jthread([this] { AcceptLoop(); });
  }

  ~ServerImplementation() override {
    stopping_ = true;
    const char byte = 1;
    while (write(wake_write_.get(), &byte, 1) < 0 && errno == EINTR) {
    }
    if (acceptor_.joinable()) acceptor_.join();
    unlink(options_.socket_path.c_str());
    std::map<uint64_t, std::unique_ptr<Client>> clients;
    {
      std::lock_guard lock(mutex_);
      clients.swap(clients_);
      for (auto& [id, client] : clients) client->channel.Shutdown();
    }
    clients.clear();  // joins
  }

  uint32_t RequestsInFlight() const override { return in_flight_; }

 private:
  struct Client {
    Client(FileDescriptor socket, PeerCredentials who) : channel(std::move(socket)), peer(who) {}
    LineChannel channel;
    PeerCredentials peer;
    std::atomic<bool> finished{false};
    std::jthread thread;  // last: joined before the channel goes
  };

  void AcceptLoop() {
    while (!stopping_) {
      pollfd entries[2] = {{listener_.get(), POLLIN, 0}, {wake_read_.get(), POLLIN, 0}};
      if (poll(entries, 2, -1) < 0 && errno != EINTR) break;
      if (stopping_) break;
      JoinFinished();
      if (!(entries[0].revents & POLLIN)) continue;
      FileDescriptor socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!socket.valid()) {
        // Out of descriptors: wait a little instead of turning round at full speed.
        if (errno == EMFILE || errno == ENFILE) std::this_thread::sleep_for(std::chrono::milliseconds(50));
        continue;
      }
      Admit(std::move(socket));
    }
  }

  void Admit(FileDescriptor socket) {
    auto peer = CredentialsOfPeer(socket.get());
    if (!peer) return;
    if (peer->uid != 0 && peer->uid != geteuid()) {
      LineChannel channel(std::move(socket));
      (void)channel.Write(AnswerOf(Fail(ErrorCode::kDenied, "this daemon belongs to another user")),
                          std::chrono::milliseconds(100));
      return;
    }
    std::lock_guard lock(mutex_);
    if (clients_.size() >= options_.connections_max) {
      LineChannel channel(std::move(socket));
      (void)channel.Write(
          AnswerOf(Fail(ErrorCode::kBusy, "the daemon serves " + std::to_string(options_.connections_max) +
                                              " connections already; try again when a job or command has ended")),
          std::chrono::milliseconds(100));
      return;
    }
    const uint64_t id = next_id_++;
    auto client = std::make_unique<Client>(std::move(socket), *peer);
    Client* raw = client.get();
    clients_.emplace(id, std::move(client));
    raw->thread = std::jthread([this, raw, id] { Serve(*raw, id); });
  }

  void Serve(Client& client, uint64_t id) {
    Connection connection(id, client.peer, client.channel);
    while (!stopping_ && ServeOne(client, connection)) {
    }
    handler_.OnConnectionClosed(id);
    client.channel.Shutdown();
    client.finished = true;
    const char byte = 1;  // the acceptor then joins this thread
    (void)!write(wake_write_.get(), &byte, 1);
  }

  bool ServeOne(Client& client, Connection& connection) {
    auto request = client.channel.Read(kReadWait);
    if (!request) {
      if (request.error().code == ErrorCode::kTimedOut) return true;
      if (request.error().code == ErrorCode::kProtocol) {
        (void)client.channel.Write(AnswerOf(Fail(ErrorCode::kProtocol, "bad request: " + request.error().message)),
                                   options_.write_wait);
      }
      return false;
    }
    if (!request->contains("verb") || !(*request)["verb"].is_string()) {
      (void)client.channel.Write(AnswerOf(Fail(ErrorCode::kProtocol, "bad request: no \"verb\"")), options_.write_wait);
      return false;
    }
    ++in_flight_;
    const Json answer = AnswerOf(Answer(*request, connection));
    const bool sent = client.channel.Write(answer, options_.write_wait).has_value();
    --in_flight_;
    return sent;
  }

  // The JSON library throws on a member of an unexpected type; here, and only here, that becomes an answer.
  Result<Json> Answer(const Json& request, Connection& connection) {
    try {
      return handler_.Handle(request, connection);
    } catch (const std::exception& error) {
      return Fail(ErrorCode::kInvalidArgument, std::string("the request cannot be served: ") + error.what());
    }
  }

  void JoinFinished() {
    char bytes[64];
    while (read(wake_read_.get(), bytes, sizeof bytes) > 0) {
    }
    std::vector<std::unique_ptr<Client>> finished;  // joined after the lock is given up
    std::lock_guard lock(mutex_);
    for (auto it = clients_.begin(); it != clients_.end();) {
      if (it->second->finished) {
        finished.push_back(std::move(it->second));
        it = clients_.erase(it);
      } else {
        ++it;
      }
    }
  }

  const ServerOptions options_;
  Handler& handler_;
  FileDescriptor listener_;
  FileDescriptor wake_read_, wake_write_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint32_t> in_flight_{0};
  std::mutex mutex_;
  std::map<uint64_t, std::unique_ptr<Client>> clients_;  // guarded by mutex_
  uint64_t next_id_ = 1;                                 // guarded by mutex_
  std::jthread acceptor_;
};

}  // namespace

bool Connection::SendProgress(const Json& progress) {
  return channel_.Write({{"progress", progress}}, std::chrono::seconds(10)).has_value();
}

Result<std::unique_ptr<Server>> Server::Start(ServerOptions options, Handler& handler) {
  FileDescriptor directory;
  LEAT_ASSIGN_OR_RETURN(const std::string address_path, SocketAddressFor(options.socket_path, directory));
  FileDescriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.valid()) return FailErrno(errno, "making the control socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, address_path.data(), address_path.size());
  unlink(options.socket_path.c_str());
  if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return FailErrno(errno, "making the control socket " + options.socket_path);
  }
  // Between bind and this the umask of the daemon (077) holds; the mode must not depend on it.
  if (chmod(options.socket_path.c_str(), 0600) != 0) return FailErrno(errno, "chmod " + options.socket_path);
  if (listen(listener.get(), 64) != 0) return FailErrno(errno, "listening on " + options.socket_path);
  int wake[2];
  if (pipe2(wake, O_CLOEXEC | O_NONBLOCK) != 0) return FailErrno(errno, "making a pipe");
  auto server =
      std::make_unique<ServerImplementation>(std::move(options), handler, std::move(listener), wake[0], wake[1]);
  server->Begin();
  return server;
}

}  // namespace leat::control
