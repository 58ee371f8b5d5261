// SPDX-License-Identifier: Apache-2.0
// For tests: an HTTP server on loopback that gives each connection's request the script's next answer, byte for byte,
// and keeps the requests. Any thread.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/text.h"

namespace leat::s3 {

struct Answer {
  std::string bytes;
  bool reset = false;    // RST instead of FIN behind the bytes
  bool trickle = false;  // then a byte every 20 ms, until the client has enough of it
};

class ScriptedServer {
 public:
  ScriptedServer() {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 64), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~ScriptedServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  void Then(Answer answer) {
    const std::lock_guard lock(mutex_);
    script_.push_back(std::move(answer));
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<std::string> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  bool UsedUp() {
    const std::lock_guard lock(mutex_);
    return script_.empty();
  }

 private:
  void Run() {
    while (true) {
      const int fd = accept(listener_, nullptr, nullptr);
      if (fd < 0) return;
      std::string request;
      char buffer[4096];
      size_t body_at = std::string::npos;
      while (body_at == std::string::npos || request.size() < body_at + BodySize(request)) {
        const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
        if (got <= 0) break;
        request.append(buffer, static_cast<size_t>(got));
        if (const size_t end = request.find("\r\n\r\n"); end != std::string::npos) body_at = end + 4;
      }
      Answer answer{"HTTP/1.1 500 Unscripted\r\nContent-Length: 0\r\n\r\n"};
      {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
        if (!script_.empty()) {
          answer = script_.front();
          script_.pop_front();
        }
      }
      (void)!send(fd, answer.bytes.data(), answer.bytes.size(), MSG_NOSIGNAL);
      while (answer.trickle && send(fd, "x", 1, MSG_NOSIGNAL) == 1)
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      if (answer.reset) {
        // Let the client take the bytes first: a reset throws away what it has not read.
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        const linger now{1, 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
      }
      close(fd);
    }
  }
  static size_t BodySize(const std::string& request) {
    const std::string lower = ToLower(request);
    const size_t at = lower.find("\r\ncontent-length: ");
    return at == std::string::npos ? 0 : std::strtoull(lower.c_str() + at + 18, nullptr, 10);
  }

  int listener_ = -1;
  int port_ = 0;
  std::thread thread_;
  std::mutex mutex_;  // protects what follows
  std::deque<Answer> script_;
  std::vector<std::string> requests_;
};

inline std::string Http(const std::string& status, const std::string& headers, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\n" + headers + "Content-Length: " + std::to_string(body.size()) +
         "\r\nConnection: close\r\n\r\n" + body;
}

}  // namespace leat::s3
