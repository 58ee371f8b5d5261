// SPDX-License-Identifier: Apache-2.0
// The control protocol over a real socket in a temporary directory: requests, progress, hostile input, many clients.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "control/client.h"
#include "control/protocol.h"
#include "control/raw_text.h"
#include "control/server.h"

namespace leat::control {
namespace {

using std::chrono::seconds;

class EchoHandler final : public Handler {
 public:
  Result<Json> Handle(const Json& request, Connection& connection) override {
    const std::string verb = request["verb"];
    if (verb == "echo") return Json{{"got", request.value("text", "")}, {"uid", connection.peer().uid}};
    if (verb == "count") {
      for (int i = 1; i <= 3; ++i) connection.SendProgress({{"step", i}});
      return Json{{"done", true}};
    }
    if (verb == "fail") return Fail(ErrorCode::kObjectChanged, "s3://b/k is another version now");
    if (verb == "throw") return Json{{"n", request.at("absent")}};
    if (verb == "wait") {
      while (!connection.PeerGone()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      saw_peer_go = true;
      return Json::object();
    }
    return Fail(ErrorCode::kInvalidArgument, "unknown verb " + verb);
  }
  void OnConnectionClosed(uint64_t id) override {
    std::lock_guard lock(mutex);
    closed.insert(id);
    changed.notify_all();
  }
  void AwaitClosed(size_t count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return closed.size() >= count; });
  }

  std::atomic<bool> saw_peer_go{false};
  std::mutex mutex;
  std::condition_variable changed;
  std::set<uint64_t> closed;
};

class ControlTest : public testing::Test {
 protected:
  ControlTest() {
    char path[] = "/tmp/leat-control-XXXXXX";
    directory_ = mkdtemp(path);
    socket_ = directory_ + "/control.sock";
  }
  ~ControlTest() override {
    server_.reset();
    std::filesystem::remove_all(directory_);
  }
  void StartServer(uint32_t connections_max = 256) {
    auto server = Server::Start({.socket_path = socket_, .connections_max = connections_max}, handler_);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
  std::unique_ptr<Client> Connect() {
    auto client = Client::Connect(socket_, seconds(5));
    EXPECT_TRUE(client) << client.error().message;
    return std::move(*client);
  }
  // A bare socket, for what Client would never send. Returns all that the server answers until it closes.
  std::string Raw(const std::string& bytes) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, socket_.c_str());
    EXPECT_EQ(0, connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address));
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t count = send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (count < 0) break;  // closed already: the answer is in the buffer
      sent += static_cast<size_t>(count);
    }
    std::string answer;
    char buffer[4096];
    for (ssize_t count; (count = read(fd, buffer, sizeof buffer)) > 0;) answer.append(buffer, count);
    close(fd);
    return answer;
  }

  std::string directory_, socket_;
  EchoHandler handler_;
  std::unique_ptr<Server> server_;
};

TEST_F(ControlTest, AnswersRequestsOneAfterAnother) {
  StartServer();
  auto client = Connect();
  for (int i = 0; i < 3; ++i) {
    auto result = client->Call({{"verb", "echo"}, {"text", "n" + std::to_string(i)}}, seconds(5));
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ((*result)["got"], "n" + std::to_string(i));
    EXPECT_EQ((*result)["uid"], geteuid());
  }
}

TEST_F(ControlTest, StreamsProgressBeforeTheResult) {
  StartServer();
  std::vector<int> steps;
  auto result = Connect()->Call({{"verb", "count"}}, seconds(5), [&](const Json& p) { steps.push_back(p["step"]); });
  ASSERT_TRUE(result);
  EXPECT_THAT(steps, testing::ElementsAre(1, 2, 3));
}

TEST_F(ControlTest, ErrorsKeepTheirCodeAndMessage) {
  StartServer();
  auto result = Connect()->Call({{"verb", "fail"}}, seconds(5));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kObjectChanged);
  EXPECT_EQ(result.error().message, "s3://b/k is another version now");
}

TEST_F(ControlTest, AHandlerThatMissesAMemberAnswersInsteadOfEndingTheDaemon) {
  StartServer();
  auto client = Connect();
  auto result = client->Call({{"verb", "throw"}}, seconds(5));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(client->Call({{"verb", "echo"}}, seconds(5)));
}

TEST_F(ControlTest, MalformedLinesAreAnsweredAndClosed) {
  StartServer();
  for (const char* line :
       {"hello\n", "[1,2]\n", "{\"verb\":7}\n", "{}\n", "\n", "{\"verb\":\"echo\"\n", "\xff\xfe\n"}) {
    const std::string answer = Raw(line);
    EXPECT_THAT(answer, testing::HasSubstr("\"ok\":false")) << line;
    EXPECT_THAT(answer, testing::HasSubstr("\"code\":\"protocol\"")) << line;
  }
  EXPECT_TRUE(Connect()->Call({{"verb", "echo"}}, seconds(5)));
}

TEST_F(ControlTest, AnEndlessLineIsRefusedAtTheLimit) {
  StartServer();
  const std::string answer = Raw(std::string(kLineBytesMax + 100'000, 'x'));
  EXPECT_THAT(answer, testing::HasSubstr("longer than 1 MiB"));
}

TEST_F(ControlTest, TextThatIsNotUtf8ArrivesAsItIs) {
  StartServer();
  for (const std::string text : {"a\xff"
                                 "b",
                                 "\x80\xc0\xbf", "\xc3\xa9", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbe"}) {
    auto result = Connect()->Call({{"verb", "echo"}, {"text", text}}, seconds(5));
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ((*result)["got"], text);
  }
}

TEST_F(ControlTest, AListenerOfAnotherUserIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  constexpr uid_t kNobody = 65534;
  ASSERT_EQ(0, chmod(directory_.c_str(), 0777));
  ASSERT_EQ(0, seteuid(kNobody));
  StartServer();  // whose credentials the kernel notes as it begins to listen
  ASSERT_EQ(0, seteuid(0));
  const auto client = Client::Connect(socket_, seconds(5));
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, ErrorCode::kDenied);
  EXPECT_THAT(client.error().message, testing::HasSubstr("another user's daemon"));
}

TEST(RawTextTest, EveryByteAndPairOfBytesSurvives) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text = {static_cast<char>(first), static_cast<char>(second), '\xf4', '\x8f'};
      const std::string escaped = EscapeRawBytes(text);
      EXPECT_NO_THROW((void)Json(escaped).dump());
      ASSERT_EQ(UnescapeRawBytes(escaped), text);
    }
  }
  const std::string own = EscapeRawBytes("\xff");
  EXPECT_EQ(UnescapeRawBytes(EscapeRawBytes(own)), own);
  EXPECT_EQ(EscapeRawBytes("plain \xc3\xa9"), "plain \xc3\xa9");
}

TEST_F(ControlTest, ManyClientsAtOnce) {
  StartServer();
  std::atomic<int> good{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 32; ++t) {
    threads.emplace_back([&, t] {
      auto client = Client::Connect(socket_, seconds(10));
      if (!client) return;
      for (int i = 0; i < 20; ++i) {
        const std::string text = std::to_string(t * 1000 + i);
        auto result = (*client)->Call({{"verb", "echo"}, {"text", text}}, seconds(10));
        if (result && (*result)["got"] == text) ++good;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(good, 32 * 20);
  handler_.AwaitClosed(32);
}

TEST_F(ControlTest, TooManyConnectionsAreToldSo) {
  StartServer(2);
  auto first = Connect(), second = Connect();
  ASSERT_TRUE(first->Call({{"verb", "echo"}}, seconds(5)));
  ASSERT_TRUE(second->Call({{"verb", "echo"}}, seconds(5)));
  auto refused = Connect()->Call({{"verb", "echo"}}, seconds(5));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
}

TEST_F(ControlTest, AHandlerSeesThatItsClientIsGone) {
  StartServer();
  {
    auto client = Connect();
    auto result = client->Call({{"verb", "wait"}}, std::chrono::milliseconds(50));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kTimedOut);
  }
  handler_.AwaitClosed(1);
  EXPECT_TRUE(handler_.saw_peer_go);
}

TEST_F(ControlTest, TheSocketIsTheOwnersAlone) {
  StartServer();
  struct stat status {};
  ASSERT_EQ(0, stat(socket_.c_str(), &status));
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(ControlTest, NobodyThereIsNotFound) {
  auto client = Client::Connect(socket_, seconds(1));
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, ErrorCode::kNotFound);
}

TEST_F(ControlTest, AStaleSocketIsReplacedAndStoppingRemovesIt) {
  StartServer();
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(socket_));
  { std::ofstream(socket_) << "stale"; }
  StartServer();
  EXPECT_TRUE(Connect()->Call({{"verb", "echo"}}, seconds(5)));
}

TEST_F(ControlTest, StoppingEndsIdleConnections) {
  StartServer();
  auto client = Connect();
  ASSERT_TRUE(client->Call({{"verb", "echo"}}, seconds(5)));
  server_.reset();
  auto result = client->Call({{"verb", "echo"}}, seconds(5));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kCancelled);
}

TEST_F(ControlTest, PathsLongerThanASocketAddressWork) {
  const std::string deep = directory_ + "/" + std::string(120, 'd');
  ASSERT_EQ(0, mkdir(deep.c_str(), 0700));
  socket_ = deep + "/control.sock";
  StartServer();
  EXPECT_TRUE(Connect()->Call({{"verb", "echo"}}, seconds(5)));
}

TEST(ProtocolTest, ErrorCodesSurviveTheWire) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::kInternal); ++code) {
    const Result<Json> failure = Fail(static_cast<ErrorCode>(code), "m");
    EXPECT_EQ(ResultOf(AnswerOf(failure)).error().code, static_cast<ErrorCode>(code));
  }
  EXPECT_EQ(ErrorCodeFromName("of a later version"), ErrorCode::kInternal);
}

TEST(ProtocolTest, MembersOfTheWrongTypeAreNamed) {
  const Json object = {{"s", 1}, {"n", -1}, {"b", "yes"}};
  EXPECT_THAT(StringMember(object, "s").error().message, testing::HasSubstr("\"s\""));
  EXPECT_THAT(UnsignedMember(object, "n", 0).error().message, testing::HasSubstr("\"n\""));
  EXPECT_THAT(BoolMember(object, "b", false).error().message, testing::HasSubstr("\"b\""));
  EXPECT_EQ(*UnsignedMember(object, "absent", 7), 7u);
}

}  // namespace
}  // namespace leat::control
