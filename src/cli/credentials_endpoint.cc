// SPDX-License-Identifier: Apache-2.0
#include "cli/credentials_endpoint.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

namespace leat::cli {
namespace {

using SteadyClock = std::chrono::steady_clock;
using Json = nlohmann::json;

constexpr std::chrono::milliseconds kLookAtConnections{500};
constexpr std::chrono::milliseconds kPortRetry{1000};
constexpr int kBacklog = 64;

Result<std::string> RandomHex() {
  std::array<unsigned char, 24> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    return Fail(ErrorCode::kInternal, "the system gives no random numbers");
  return HexEncode(std::as_bytes(std::span(bytes)));
}

bool IsSecret(std::string_view given, std::string_view secret) {
  return given.size() == secret.size() && CRYPTO_memcmp(given.data(), secret.data(), secret.size()) == 0;
}

// Port 0: any.
Result<FileDescriptor> ListenAt(uint16_t port) {
  FileDescriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.valid()) return FailErrno(errno, "socket");
  const int yes = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener.get(), kBacklog) != 0)
    return FailErrno(errno, "listening at 127.0.0.1:" + std::to_string(port));
  return listener;
}

Result<uint16_t> PortOf(const FileDescriptor& listener) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return FailErrno(errno, "getsockname");
  return ntohs(address.sin_port);
}

struct Reply {
  unsigned status = MHD_HTTP_OK;
  Json body;
};

Reply Refusal(unsigned status, const char* code, const std::string& message) {
  return {status, {{"code", code}, {"message", message}}};
}

class HttpEndpoint final : public CredentialsEndpoint {
 public:
  HttpEndpoint(Address address, Source source, Limits limits, FileDescriptor stop)
      : address_(std::move(address)), source_(std::move(source)), limits_(limits), stop_(std::move(stop)) {}
  ~HttpEndpoint() override {
    const uint64_t one = 1;
    (void)!write(stop_.get(), &one, sizeof one);
    if (thread_.joinable()) thread_.join();
    if (server_ != nullptr) MHD_stop_daemon(server_);
  }
  const Address& address() const override { return address_; }

  Status Open(FileDescriptor listener) {
    server_ = MHD_start_daemon(
        MHD_USE_EPOLL, 0, nullptr, nullptr, &HttpEndpoint::OnRequest, this, MHD_OPTION_LISTEN_SOCKET, listener.get(),
        MHD_OPTION_CONNECTION_LIMIT, limits_.connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        limits_.connection_bytes_max, MHD_OPTION_NOTIFY_CONNECTION, &HttpEndpoint::OnConnection, this, MHD_OPTION_END);
    if (server_ == nullptr) return Fail(ErrorCode::kIo, "the endpoint for credentials cannot be served");
    listener.Release();
    return {};
  }
  void Run() {
    thread_ = std::thread([this] {
      while (!Turn()) {
      }
    });
  }

 private:
  // True: it shall end.
  bool Turn() {
    if (server_ == nullptr) {
      if (auto listener = ListenAt(address_.port)) {
        if (const Status opened = Open(std::move(*listener)); !opened) LogWarning(opened.error().message);
      }
    }
    pollfd waiting[2] = {{stop_.get(), POLLIN, 0}, {-1, POLLIN, 0}};
    std::chrono::milliseconds longest = kPortRetry;
    if (server_ != nullptr)
      longest =
          connections_.empty() ? std::chrono::milliseconds(-1) : std::min(kLookAtConnections, limits_.connection_life);
    if (server_ != nullptr) {
      waiting[1].fd = MHD_get_daemon_info(server_, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
      MHD_UNSIGNED_LONG_LONG timeout = 0;
      if (MHD_get_timeout(server_, &timeout) == MHD_YES &&
          (longest.count() < 0 || timeout < static_cast<uint64_t>(longest.count())))
        longest = std::chrono::milliseconds(timeout);
    }
    poll(waiting, 2, static_cast<int>(longest.count()));
    if (waiting[0].revents != 0) return true;
    if (server_ == nullptr) return false;
    EndOldConnections();
    // Once more when one has ended: where the limit was reached, only the next run listens again.
    for (size_t before = connections_.size() + 1; connections_.size() < before;) {
      before = connections_.size();
      MHD_run(server_);
    }
    return false;
  }

  // However busy it looks: a request and its answer are a few hundred bytes.
  void EndOldConnections() {
    const auto now = SteadyClock::now();
    for (const auto& [connection, opened] : connections_) {
      if (now - opened < limits_.connection_life) continue;
      const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
      if (info != nullptr) shutdown(info->connect_fd, SHUT_RDWR);
    }
  }

  Reply Answer(std::string_view path, std::string_view method, const char* token) {
    if (!IsSecret(path, address_.path)) return Refusal(MHD_HTTP_NOT_FOUND, "NotFound", "nothing is at this path");
    if (method != MHD_HTTP_METHOD_GET)
      return Refusal(MHD_HTTP_METHOD_NOT_ALLOWED, "MethodNotAllowed", "only GET is answered");
    if (token == nullptr || !IsSecret(token, address_.token)) {
      return Refusal(MHD_HTTP_UNAUTHORIZED, "Unauthorized",
                     "the header Authorization must hold what AWS_CONTAINER_AUTHORIZATION_TOKEN does");
    }
    auto lent = source_();
    if (!lent) return Refusal(MHD_HTTP_SERVICE_UNAVAILABLE, "NotAvailable", lent.error().message);
    const s3::Credentials& credentials = lent->credentials;
    return {MHD_HTTP_OK,
            {{"AccessKeyId", credentials.access_key_id},
             {"SecretAccessKey", credentials.secret_access_key.Reveal()},
             {"Token", credentials.session_token.Reveal()},
             {"Expiration", FormatTimeUtc(credentials.expires_ns)}}};
  }
  Reply AnswerCaught(std::string_view path, std::string_view method, const char* token) {
    try {
      return Answer(path, method, token);
    } catch (const std::exception& error) {
      LogError(std::string("credentials endpoint: an exception: ") + error.what());
      return Refusal(MHD_HTTP_INTERNAL_SERVER_ERROR, "Internal", "a fault of Leat's");
    }
  }

  // The answer goes out when the header is there: what a request carries beside is never waited for.
  static MHD_Result OnRequest(void* self, MHD_Connection* connection, const char* path, const char* method, const char*,
                              const char*, size_t*, void**) {
    auto& endpoint = *static_cast<HttpEndpoint*>(self);
    const char* token = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    const Reply reply = endpoint.AnswerCaught(path, method, token);
    const std::string text = reply.body.dump(-1, ' ', false, Json::error_handler_t::replace);
    MHD_Response* response =
        MHD_create_response_from_buffer(text.size(), const_cast<char*>(text.data()), MHD_RESPMEM_MUST_COPY);
    if (response == nullptr) return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (reply.status == MHD_HTTP_METHOD_NOT_ALLOWED) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET");
    const MHD_Result queued = MHD_queue_response(connection, reply.status, response);
    MHD_destroy_response(response);
    return queued;
  }
  static void OnConnection(void* self, MHD_Connection* connection, void**, MHD_ConnectionNotificationCode code) {
    auto& endpoint = *static_cast<HttpEndpoint*>(self);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
      endpoint.connections_.emplace(connection, SteadyClock::now());
    } else {
      endpoint.connections_.erase(connection);
    }
  }

  const Address address_;
  const Source source_;
  const Limits limits_;
  const FileDescriptor stop_;
  std::thread thread_;
  // Its thread's, once that runs.
  MHD_Daemon* server_ = nullptr;  // null: somebody else has the port
  std::map<MHD_Connection*, SteadyClock::time_point> connections_;
};

Result<std::unique_ptr<CredentialsEndpoint>> Serve(CredentialsEndpoint::Address address, FileDescriptor listener,
                                                   CredentialsEndpoint::Source source,
                                                   CredentialsEndpoint::Limits limits) {
  FileDescriptor stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.valid()) return FailErrno(errno, "eventfd");
  auto endpoint = std::make_unique<HttpEndpoint>(std::move(address), std::move(source), limits, std::move(stop));
  if (listener.valid()) LEAT_RETURN_IF_ERROR(endpoint->Open(std::move(listener)));
  endpoint->Run();
  return endpoint;
}

}  // namespace

Result<std::unique_ptr<CredentialsEndpoint>> CredentialsEndpoint::Start(Source source, Limits limits) {
  LEAT_ASSIGN_OR_RETURN(FileDescriptor listener, ListenAt(0));
  Address address;
  LEAT_ASSIGN_OR_RETURN(address.port, PortOf(listener));
  LEAT_ASSIGN_OR_RETURN(const std::string path, RandomHex());
  address.path = "/" + path;
  LEAT_ASSIGN_OR_RETURN(address.token, RandomHex());
  return Serve(std::move(address), std::move(listener), std::move(source), limits);
}

Result<std::unique_ptr<CredentialsEndpoint>> CredentialsEndpoint::StartAt(Address address, Source source,
                                                                          Limits limits) {
  auto listener = ListenAt(address.port);
  if (!listener) LogWarning("the endpoint for credentials waits for its port: " + listener.error().message);
  return Serve(std::move(address), listener ? std::move(*listener) : FileDescriptor(), std::move(source), limits);
}

}  // namespace leat::cli
