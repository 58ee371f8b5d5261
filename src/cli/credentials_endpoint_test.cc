// SPDX-License-Identifier: Apache-2.0
// The endpoint against clients that ask as they should, and against those that do not.
#include "cli/credentials_endpoint.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/file.h"

namespace leat::cli {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

FileDescriptor Connect(uint16_t port) {
  FileDescriptor client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return FileDescriptor();
  return client;
}
bool Send(const FileDescriptor& client, const std::string& text) {
  return send(client.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}
// Until the server ends the connection.
std::string ReadToEnd(const FileDescriptor& client) {
  std::string text;
  char bytes[4096];
  for (;;) {
    const ssize_t count = read(client.get(), bytes, sizeof bytes);
    if (count <= 0) return text;
    text.append(bytes, static_cast<size_t>(count));
  }
}

class Endpoint : public testing::Test {
 protected:
  void Start(CredentialsEndpoint::Limits limits = {}) {
    auto started = CredentialsEndpoint::Start(source_, limits);
    ASSERT_TRUE(started) << started.error().message;
    endpoint_ = std::move(*started);
  }
  std::string Request(const std::string& method, const std::string& path, const std::string& token,
                      const std::string& more = "") const {
    return method + " " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" +
           (token.empty() ? "" : "Authorization: " + token + "\r\n") + more + "\r\n";
  }
  std::string Ask(const std::string& request) const {
    const FileDescriptor client = Connect(endpoint_->address().port);
    EXPECT_TRUE(client.valid() && Send(client, request));
    return ReadToEnd(client);
  }
  std::string AskWell() const { return Ask(Request("GET", endpoint_->address().path, endpoint_->address().token)); }

  std::atomic<int> asked_{0};
  std::atomic<bool> is_known_{true};
  const CredentialsEndpoint::Source source_ = [this]() -> Result<s3::LentCredentials> {
    ++asked_;
    if (!is_known_) return Fail(ErrorCode::kNoCredentials, "not known yet");
    s3::LentCredentials lent;
    lent.credentials.access_key_id = "AKLENT";
    lent.credentials.secret_access_key = s3::Secret("the-secret");
    lent.credentials.session_token = s3::Secret("the-session");
    lent.credentials.expires_ns = 1'767'323'045'000'000'000;
    return lent;
  };
  std::unique_ptr<CredentialsEndpoint> endpoint_;
};

TEST_F(Endpoint, GivesCredentialsAsSdksReadThem) {
  Start();
  const std::string answer = AskWell();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(answer, HasSubstr("no-store"));
  EXPECT_EQ(nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n") + 4)),
            (nlohmann::json{{"AccessKeyId", "AKLENT"},
                            {"SecretAccessKey", "the-secret"},
                            {"Token", "the-session"},
                            {"Expiration", "2026-01-02T03:04:05Z"}}));
}

TEST_F(Endpoint, RefusesWhoDoesNotKnowTokenAndPath) {
  Start();
  const auto& [port, path, token] = endpoint_->address();
  std::string other = token;
  other[5] = other[5] == '0' ? '1' : '0';
  for (const std::string& wrong : {other, token.substr(1), token + "0", "Bearer " + token, std::string()})
    EXPECT_THAT(Ask(Request("GET", path, wrong)), StartsWith("HTTP/1.1 401 ")) << wrong;
  for (const std::string& wrong : {std::string("/"), path + "/", path.substr(0, path.size() - 1), "/.." + path})
    EXPECT_THAT(Ask(Request("GET", wrong, token)), StartsWith("HTTP/1.1 404 ")) << wrong;
  for (const char* method : {"HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
    EXPECT_THAT(Ask(Request(method, path, token, "Content-Length: 0\r\n")), StartsWith("HTTP/1.1 405 ")) << method;
  EXPECT_EQ(asked_, 0);
}

TEST_F(Endpoint, EachHasAnAddressOfItsOwn) {
  Start();
  const auto other = CredentialsEndpoint::Start(source_, {});
  ASSERT_TRUE(other);
  const auto& mine = endpoint_->address();
  const auto& theirs = (*other)->address();
  EXPECT_NE(mine.port, theirs.port);
  EXPECT_NE(mine.path, theirs.path);
  EXPECT_NE(mine.token, theirs.token);
  EXPECT_GE(mine.token.size(), 32u);
  EXPECT_THAT(Ask(Request("GET", mine.path, theirs.token)), StartsWith("HTTP/1.1 401 "));
}

TEST_F(Endpoint, AnswersThatTheyAreNotKnownYet) {
  Start();
  is_known_ = false;
  EXPECT_THAT(AskWell(), StartsWith("HTTP/1.1 503 "));
  is_known_ = true;
  EXPECT_THAT(AskWell(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Endpoint, ClientsThatStandStillHoldUpNobody) {
  Start({.connections_max = 8, .connection_life = std::chrono::hours(1)});
  std::vector<FileDescriptor> still;
  for (int i = 0; i < 7; ++i) {
    still.push_back(Connect(endpoint_->address().port));
    ASSERT_TRUE(Send(still.back(), i % 2 == 0 ? "" : "GET " + endpoint_->address().path + " HTTP/1.1\r\nAuthor"));
  }
  EXPECT_THAT(AskWell(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Endpoint, MoreConnectionsThanItTakesEndOneAfterAnother) {
  Start({.connections_max = 4, .connection_life = std::chrono::milliseconds(50)});
  std::vector<FileDescriptor> still;
  for (int i = 0; i < 40; ++i) {
    still.push_back(Connect(endpoint_->address().port));
    ASSERT_TRUE(still.back().valid());
  }
  EXPECT_THAT(AskWell(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Endpoint, AConnectionEndsHoweverBusyItIs) {
  Start({.connection_life = std::chrono::milliseconds(50)});
  const FileDescriptor client = Connect(endpoint_->address().port);
  ASSERT_TRUE(Send(client, "GET / HTTP/1.1\r\nX: "));
  pollfd ended{client.get(), POLLIN | POLLRDHUP, 0};
  while (poll(&ended, 1, 1) == 0) (void)!send(client.get(), "x", 1, MSG_NOSIGNAL);
  EXPECT_THAT(ReadToEnd(client), Not(HasSubstr(" 200 ")));
}

TEST_F(Endpoint, ARequestWithoutAnEndIsRefused) {
  Start({.connection_life = std::chrono::hours(1)});
  const FileDescriptor client = Connect(endpoint_->address().port);
  ASSERT_TRUE(Send(client, "GET / HTTP/1.1\r\nX: "));
  const std::string much(4096, 'x');
  pollfd ended{client.get(), POLLIN, 0};
  for (int i = 0; i < 100 && poll(&ended, 1, 0) == 0; ++i)
    (void)!send(client.get(), much.data(), much.size(), MSG_NOSIGNAL);
  EXPECT_THAT(ReadToEnd(client), Not(HasSubstr(" 200 ")));
  EXPECT_THAT(AskWell(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Endpoint, ABodyIsNotWaitedFor) {
  Start({.connection_life = std::chrono::hours(1)});
  EXPECT_THAT(
      Ask(Request("POST", endpoint_->address().path, endpoint_->address().token, "Content-Length: 1000000\r\n")),
      StartsWith("HTTP/1.1 405 "));
}

TEST_F(Endpoint, IsGoneWithItsObjectAndBackAtItsAddress) {
  Start();
  const CredentialsEndpoint::Address address = endpoint_->address();
  const FileDescriptor open = Connect(address.port);
  ASSERT_TRUE(open.valid());
  endpoint_.reset();
  EXPECT_FALSE(Connect(address.port).valid());
  auto again = CredentialsEndpoint::StartAt(address, source_, {});
  ASSERT_TRUE(again);
  endpoint_ = std::move(*again);
  EXPECT_EQ(endpoint_->address().Url(), address.Url());
  EXPECT_THAT(AskWell(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(Endpoint, WaitsForAPortThatSomebodyElseHas) {
  Start();
  const CredentialsEndpoint::Address address = endpoint_->address();
  auto later = CredentialsEndpoint::StartAt(address, source_, {});
  ASSERT_TRUE(later);
  EXPECT_THAT(AskWell(), StartsWith("HTTP/1.1 200 "));
  EXPECT_EQ(asked_, 1);
  endpoint_ = std::move(*later);
  FileDescriptor client;
  while (!(client = Connect(address.port)).valid()) usleep(1000);
  ASSERT_TRUE(Send(client, Request("GET", address.path, address.token)));
  EXPECT_THAT(ReadToEnd(client), StartsWith("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace leat::cli
