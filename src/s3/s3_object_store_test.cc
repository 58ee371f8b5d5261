// SPDX-License-Identifier: Apache-2.0
// The store against a scripted server: each connection's request gets the script's next answer, byte for byte. A test
// that injects a fault also checks that the script was used up, so that the fault was reached.
#include "s3/s3_object_store.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <thread>

#include "base/text.h"
#include "env/blocking.h"
#include "s3/checksum.h"
#include "s3/scripted_server.h"

namespace leat::s3 {
namespace {

using env::Await;

class TestClock final : public env::Clock {
 public:
  env::MonotonicTime Now() const override { return std::chrono::steady_clock::now(); }
  int64_t WallTimeNs() const override {
    return std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
  }
};

std::string ErrorXml(const std::string& code, const std::string& more = "") {
  return "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>told so</Message>" + more + "</Error>";
}
const std::string kEtag = "ETag: \"v1\"\r\nLast-Modified: Fri, 02 Jan 2026 03:04:05 GMT\r\n";

class Store : public testing::Test {
 protected:
  void SetUp() override { Open({}); }
  void Open(S3Options options) {
    options.bucket = "bkt";
    options.endpoint_url = server_.url();
    options.metadata_service = false;
    options.demand_deadline = std::chrono::milliseconds(3000);
    OpenAsIs(options, {{"AWS_ACCESS_KEY_ID", "AKID"}, {"AWS_SECRET_ACCESS_KEY", "secret"}});
  }
  void OpenAsIs(S3Options options, const Environment& environment) {
    options.bucket = "bkt";
    store_ = std::move(*S3ObjectStore::Create(options, environment, counters_, clock_));
  }
  // The machine's metadata service, by the same script: token, role, then these credentials.
  void ThenCredentials(const std::string& expiration) {
    server_.Then({Http("200 OK", "", "token")});
    server_.Then({Http("200 OK", "", "role")});
    server_.Then(
        {Http("200 OK", "",
              R"({"AccessKeyId":"AKIMDS","SecretAccessKey":"s","Token":"t","Expiration":")" + expiration + "\"}")});
  }
  Result<std::string> Complete() {
    return Await<std::string>([&](auto done) {
      store_->CompleteMultipartUpload("k", "id", {{1, "\"5d41402abc4b2a76b9719d911017c592\""}}, std::move(done));
    });
  }
  Result<env::ObjectBody> Get(env::GetRequest request) { return env::GetWhole(*store_, std::move(request)); }

  ScriptedServer server_;
  TestClock clock_;
  env::RequestCounters counters_;
  std::unique_ptr<S3ObjectStore> store_;
};

TEST_F(Store, GetsAnObjectWithItsMetadata) {
  server_.Then({Http("200 OK", kEtag + "x-amz-meta-File-Permissions: 0100664\r\n", "hello")});
  const auto got = Get({.key = "a b/\xc3\xa9"});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->bytes, "hello");
  EXPECT_EQ(got->info.etag, "\"v1\"");
  EXPECT_EQ(got->info.last_modified_ns, 1767323045'000'000'000);
  EXPECT_EQ(got->info.user_metadata, (UserMetadata{{"file-permissions", "0100664"}}));
  const std::string request = server_.requests().at(0);
  EXPECT_TRUE(request.starts_with("GET /bkt/a%20b/%C3%A9 HTTP/1.1\r\n")) << request;
  EXPECT_NE(request.find("authorization: AWS4-HMAC-SHA256 Credential=AKID/"), std::string::npos);
  EXPECT_EQ(ToLower(request).find("\r\nrange:"), std::string::npos);
}

TEST_F(Store, ThrottledThenServed) {
  server_.Then({Http("503 Slow Down", "", ErrorXml("SlowDown"))});
  server_.Then({Http("200 OK", kEtag, "x")});
  EXPECT_EQ(Get({.key = "k"})->bytes, "x");
  EXPECT_EQ(counters_.retries, 1u);
  EXPECT_EQ(counters_.requests[0], 2u);
}

TEST_F(Store, WhoWaitsHearsOfSlowDown) {
  struct Waiter final : env::GetReceiver {
    void OnThrottled() override { ++throttled; }
    void OnStart(const ObjectInfo&) override {}
    void OnData(std::span<const std::byte>) override {}
    void OnDone(Status status) override { done.set_value(std::move(status)); }
    int throttled = 0;
    std::promise<Status> done;
  };
  server_.Then({Http("503 Slow Down", "", ErrorXml("SlowDown"))});
  server_.Then({Http("500 Internal Server Error", "", ErrorXml("InternalError"))});
  server_.Then({Http("200 OK", kEtag, "x")});
  const auto waiter = std::make_shared<Waiter>();
  store_->Get({.key = "k"}, waiter);
  EXPECT_TRUE(waiter->done.get_future().get());
  EXPECT_EQ(waiter->throttled, 1);
}

TEST_F(Store, ResumesACutBodyFromTheNextByte) {
  server_.Then({"HTTP/1.1 200 OK\r\n" + kEtag + "Content-Length: 10\r\n\r\n0123", true});
  server_.Then({Http("206 Partial Content", kEtag + "Content-Range: bytes 4-9/10\r\n", "456789")});
  const auto got = Get({.key = "k"});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->bytes, "0123456789");
  EXPECT_TRUE(server_.UsedUp());
  const std::string second = server_.requests().at(1);
  EXPECT_NE(second.find("range: bytes=4-\r\n"), std::string::npos) << second;
  EXPECT_NE(second.find("if-match: \"v1\"\r\n"), std::string::npos) << second;
}

TEST_F(Store, AShortBodyIsNeverASuccess) {
  server_.Then({"HTTP/1.1 200 OK\r\n" + kEtag + "Content-Length: 10\r\n\r\n0123"});
  server_.Then({Http("412 Precondition Failed", "", ErrorXml("PreconditionFailed"))});
  EXPECT_EQ(Get({.key = "k"}).error().code, ErrorCode::kObjectChanged);
  EXPECT_TRUE(server_.UsedUp());
}

TEST_F(Store, AWrongRangeIsRefusedAndAskedAgain) {
  server_.Then({Http("206 Partial Content", kEtag + "Content-Range: bytes 0-3/10\r\n", "0123")});
  server_.Then({Http("200 OK", kEtag, "0123456789")});  // the whole object is no slice
  server_.Then({Http("206 Partial Content", kEtag + "Content-Range: bytes 4-7/10\r\n", "4567")});
  const auto got = Get({.key = "k", .offset = 4, .length = 4});
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->bytes, "4567");
  EXPECT_TRUE(server_.UsedUp());
}

TEST_F(Store, ReplacedBetweenTwoPiecesIsNoticedWithoutThe412) {
  server_.Then({"HTTP/1.1 200 OK\r\n" + kEtag + "Content-Length: 10\r\n\r\n0123"});
  server_.Then({Http("206 Partial Content", "ETag: \"v2\"\r\nContent-Range: bytes 4-9/10\r\n", "456789")});
  EXPECT_EQ(Get({.key = "k"}).error().code, ErrorCode::kObjectChanged);
}

TEST_F(Store, ChecksumsAreVerified) {
  server_.Then({Http("200 OK", kEtag + "x-amz-checksum-crc32c: mnG7TA==\r\n", "hello")});
  EXPECT_EQ(Get({.key = "k"})->bytes, "hello");
  server_.Then({Http("200 OK", kEtag + "x-amz-checksum-crc32c: mnG7TA==\r\n", "hellp")});
  EXPECT_EQ(Get({.key = "k"}).error().code, ErrorCode::kCorrupt);
}

TEST_F(Store, ErrorsThatRetryingCannotMend) {
  const struct {
    const char* status;
    const char* code;
    ErrorCode expected;
  } rows[] = {{"404 Not Found", "NoSuchKey", ErrorCode::kNotFound},
              {"404 Not Found", "NoSuchBucket", ErrorCode::kNoSuchBucket},
              {"403 Forbidden", "AccessDenied", ErrorCode::kDenied},
              {"403 Forbidden", "InvalidObjectState", ErrorCode::kArchivedStorage}};
  for (const auto& row : rows) {
    server_.Then({Http(row.status, "", ErrorXml(row.code))});
    EXPECT_EQ(Get({.key = "k"}).error().code, row.expected) << row.code;
  }
  EXPECT_EQ(server_.requests().size(), 4u);
  EXPECT_EQ(counters_.retries, 0u);
}

TEST_F(Store, FollowsTheRegionOnce) {
  server_.Then({Http("400 Bad Request", "", ErrorXml("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"))});
  server_.Then({Http("200 OK", kEtag, "x")});
  EXPECT_EQ(Get({.key = "k"})->bytes, "x");
  EXPECT_NE(server_.requests().at(1).find("/eu-west-1/s3/aws4_request"), std::string::npos);
  server_.Then({Http("301 Moved", "x-amz-bucket-region: eu-west-2\r\n", "")});
  server_.Then({Http("301 Moved", "x-amz-bucket-region: eu-west-3\r\n", "")});
  EXPECT_EQ(Get({.key = "k"}).error().code, ErrorCode::kWrongRegion);
}

TEST_F(Store, ARedirectToAnotherHostIsNotFollowed) {
  ScriptedServer other;
  server_.Then({Http("302 Found", "Location: " + other.url() + "/bkt/k\r\n", "")});
  EXPECT_FALSE(Get({.key = "k"}));
  EXPECT_TRUE(other.requests().empty());
}

TEST_F(Store, CorrectsTheClockOnce) {
  server_.Then({Http("403 Forbidden", "Date: Fri, 02 Jan 2037 03:04:05 GMT\r\n", ErrorXml("RequestTimeTooSkewed"))});
  server_.Then({Http("200 OK", kEtag, "x")});
  EXPECT_EQ(Get({.key = "k"})->bytes, "x");
  EXPECT_NE(server_.requests().at(1).find("x-amz-date: 20370102T"), std::string::npos);
}

TEST_F(Store, ABrokenServerIsNotStormed) {
  EXPECT_EQ(Get({.key = "k"}).error().code, ErrorCode::kUnavailable);  // unscripted: 500 for ever
  // Full jitter from 50 ms, doubling, within 3 s: even with the luckiest draws far below this.
  EXPECT_LE(server_.requests().size(), 30u);
  EXPECT_GE(counters_.retries, 1u);
}

TEST_F(Store, ListsAndDecodesKeys) {
  server_.Then({Http("200 OK", "",
                     "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</"
                     "IsTruncated><NextContinuationToken>t1</NextContinuationToken>"
                     "<Contents><Key>a+b/x%2By%0A</Key><LastModified>2026-01-02T03:04:05.250Z</"
                     "LastModified><ETag>&quot;e&quot;</ETag><Size>7</Size></Contents>"
                     "<CommonPrefixes><Prefix>a+b/c/</Prefix></CommonPrefixes></ListBucketResult>")});
  env::ListRequest request;
  const auto page = Await<env::ListPage>([&](auto done) { store_->List(request, std::move(done)); });
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_EQ(page->objects.at(0).key, "a b/x+y\n");
  EXPECT_EQ(page->objects.at(0).etag, "\"e\"");
  EXPECT_EQ(page->objects.at(0).last_modified_ns, 1767323045'250'000'000);
  EXPECT_EQ(page->common_prefixes.at(0), "a b/c/");
  EXPECT_EQ(page->next_token, "t1");
  request.continuation_token = "t1";
  server_.Then({Http("200 OK", "",
                     "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t1</"
                     "NextContinuationToken></ListBucketResult>")});
  EXPECT_EQ(Await<env::ListPage>([&](auto done) { store_->List(request, std::move(done)); }).error().code,
            ErrorCode::kProtocol);
}

TEST_F(Store, HostileXmlIsRefused) {
  std::string deep = "<ListBucketResult>";
  for (int i = 0; i < 100'000; ++i) deep += "<a>";
  for (const std::string& body :
       {std::string("<!DOCTYPE x [<!ENTITY a \"b\">]><ListBucketResult>&a;</ListBucketResult>"), deep,
        std::string("<html/>"), std::string()}) {
    server_.Then({Http("200 OK", "", body)});
    EXPECT_EQ(Await<env::ListPage>([&](auto done) { store_->List({}, std::move(done)); }).error().code,
              ErrorCode::kProtocol);
  }
}

TEST_F(Store, PutSendsTheBodyAgainAfterAFailure) {
  server_.Then({Http("500 Internal", "", ErrorXml("InternalError"))});
  server_.Then({Http("200 OK", "ETag: \"new\"\r\n", "")});
  env::PutRequest request;
  request.key = "k";
  request.body = std::make_shared<const std::string>("hello");
  request.user_metadata = {{"Colour", "red"}};
  EXPECT_EQ(*Await<std::string>([&](auto done) { store_->Put(request, std::move(done)); }), "\"new\"");
  for (const std::string& sent : server_.requests()) {
    EXPECT_TRUE(sent.ends_with("\r\n\r\nhello")) << sent;
    EXPECT_NE(sent.find("x-amz-checksum-crc32c: mnG7TA=="), std::string::npos);
    EXPECT_NE(sent.find("x-amz-meta-colour: red"), std::string::npos);
  }
}

TEST_F(Store, DeletesAlsoWhatIsGone) {
  server_.Then({Http("500 Internal", "", ErrorXml("InternalError"))});
  server_.Then(
      {"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"});  // so S3 answers also when there is no such key
  server_.Then({Http("403 Forbidden", "", ErrorXml("AccessDenied"))});
  EXPECT_TRUE(Await<void>([&](auto done) { store_->Delete("a b", std::move(done)); }));
  EXPECT_EQ(Await<void>([&](auto done) { store_->Delete("kept", std::move(done)); }).error().code, ErrorCode::kDenied);
  ASSERT_EQ(server_.requests().size(), 3u);
  EXPECT_TRUE(server_.requests()[1].starts_with("DELETE /bkt/a%20b HTTP/1.1")) << server_.requests()[1];
  EXPECT_EQ(counters_.Of(env::RequestKind::kDelete), 3u);
}

TEST_F(Store, ACompletionThatFailsInsideA200IsTriedAgain) {
  server_.Then({Http("200 OK", "", "  " + ErrorXml("InternalError"))});
  server_.Then({Http("200 OK", "",
                     "\n<CompleteMultipartUploadResult><ETag>&quot;m-1&quot;</ETag></CompleteMultipartUploadResult>")});
  EXPECT_EQ(*Await<std::string>([&](auto done) {
    store_->CompleteMultipartUpload("k", "id", {{1, "\"p\""}}, std::move(done));
  }),
            "\"m-1\"");
  EXPECT_TRUE(server_.UsedUp());
}

TEST_F(Store, CheckSaysWhatIsWrong) {
  server_.Then({Http("404 Not Found", "", ErrorXml("NoSuchBucket"))});
  const auto missing = store_->Check("p/");
  EXPECT_EQ(missing.error().code, ErrorCode::kNoSuchBucket);
  EXPECT_NE(missing.error().message.find("bucket 'bkt' does not exist at " + server_.url()), std::string::npos);
  S3Options options;
  options.bucket = "bkt";
  options.endpoint_url = "http://127.0.0.1:1";
  options.metadata_service = false;
  options.check_deadline = std::chrono::milliseconds(500);
  EXPECT_EQ((*S3ObjectStore::Create(options, {}, counters_, clock_))->Check("").error().code,
            ErrorCode::kNoCredentials);
  options.no_sign_request = true;
  const auto unreachable = (*S3ObjectStore::Create(options, {}, counters_, clock_))->Check("");
  EXPECT_EQ(unreachable.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(unreachable.error().message.find("cannot connect to http://127.0.0.1:1"), std::string::npos)
      << unreachable.error().message;
}

TEST_F(Store, CheckTellsWhetherAnythingLiesBelowThePrefix) {
  server_.Then({Http("200 OK", "", "<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>")});
  EXPECT_FALSE(*store_->Check("typo/"));
  server_.Then({Http("200 OK", "",
                     "<ListBucketResult><Contents><Key>p/x</Key><LastModified>2026-01-02T03:04:05.250Z</LastModified>"
                     "<ETag>&quot;e&quot;</ETag><Size>7</Size></Contents></ListBucketResult>")});
  EXPECT_TRUE(*store_->Check("p/"));
}

TEST_F(Store, CredentialsThatLookExpiredAreServedAndFetchedOnce) {
  OpenAsIs({.endpoint_url = server_.url()}, {{"AWS_EC2_METADATA_SERVICE_ENDPOINT", server_.url()}});
  ThenCredentials("2020-01-01T00:00:00Z");  // or this machine's clock is wrong: who is to say
  server_.Then({Http("200 OK", kEtag, "x")});
  server_.Then({Http("200 OK", kEtag, "y")});
  EXPECT_EQ(Get({.key = "k"})->bytes, "x");
  EXPECT_EQ(Get({.key = "k"})->bytes, "y");
  EXPECT_EQ(server_.requests().size(), 5u);
  EXPECT_NE(server_.requests().at(4).find("Credential=AKIMDS/"), std::string::npos);
  // Refused by S3, too: the service is not asked for the same again within the minute.
  server_.Then({Http("400 Bad Request", "", ErrorXml("ExpiredToken"))});
  server_.Then({Http("400 Bad Request", "", ErrorXml("ExpiredToken"))});
  const auto refused = Get({.key = "k"});
  EXPECT_EQ(refused.error().code, ErrorCode::kDenied);
  EXPECT_NE(refused.error().message.find("mount again with fresh credentials"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(server_.requests().size(), 7u);
}

TEST_F(Store, ADeadlineHoldsAlsoWhileWaitingForCredentials) {
  const int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);  // takes connections, answers nothing
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(silent, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(silent, 64), 0);
  getsockname(silent, reinterpret_cast<sockaddr*>(&address), &size);
  OpenAsIs({.endpoint_url = server_.url(), .demand_deadline = std::chrono::milliseconds(200)},
           {{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port))}});
  EXPECT_EQ(Get({.key = "k"}).error().code, ErrorCode::kTimedOut);
  EXPECT_TRUE(server_.requests().empty());
  store_.reset();
  close(silent);
}

TEST_F(Store, RenewedCredentialsSignOnceTheOldOnesHaveEnded) {
  server_.Then({Http("200 OK", kEtag, "x")});
  server_.Then({Http("200 OK", kEtag, "y")});
  server_.Then({Http("200 OK", kEtag, "good still")});
  server_.Then({Http("400 Bad Request", "", ErrorXml("ExpiredToken"))});
  server_.Then({Http("200 OK", kEtag, "z")});
  EXPECT_EQ(Get({.key = "k"})->bytes, "x");
  store_->RenewCredentials({{"AWS_REGION", "eu-west-1"}});  // no credentials in it: nothing changes
  EXPECT_EQ(Get({.key = "k"})->bytes, "y");
  store_->RenewCredentials({{"AWS_ACCESS_KEY_ID", "AKNEW"}, {"AWS_SECRET_ACCESS_KEY", "s"}});
  EXPECT_EQ(Get({.key = "k"})->bytes, "good still");
  EXPECT_EQ(Get({.key = "k"})->bytes, "z");
  EXPECT_NE(server_.requests().at(2).find("Credential=AKID/"), std::string::npos);
  EXPECT_NE(server_.requests().at(3).find("Credential=AKID/"), std::string::npos);
  EXPECT_NE(server_.requests().at(4).find("Credential=AKNEW/"), std::string::npos);
}

TEST_F(Store, AHandshakeThatIsCutIsTriedAgain) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 64), 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::atomic<int> connections{0};
  std::thread thread([&] {
    for (int fd = 0; (fd = accept(listener, nullptr, nullptr)) >= 0; close(fd)) {
      char hello[4096];
      (void)!recv(fd, hello, sizeof hello, 0);
      const linger now{1, 0};
      setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
      ++connections;
    }
  });
  OpenAsIs({.endpoint_url = "https://127.0.0.1:" + std::to_string(ntohs(address.sin_port)),
            .no_sign_request = true,
            .demand_deadline = std::chrono::milliseconds(2000)},
           {});
  EXPECT_EQ(Get({.key = "k"}).error().code, ErrorCode::kUnavailable);
  EXPECT_GE(connections, 2);
  shutdown(listener, SHUT_RDWR);
  thread.join();
  close(listener);
}

TEST_F(Store, TheProxyIsTheMountsNotThisProcesss) {
  ScriptedServer other;
  setenv("http_proxy", other.url().c_str(), 1);
  const S3Options options{.endpoint_url = "http://s3.leat.invalid",
                          .no_sign_request = true,
                          .check_deadline = std::chrono::milliseconds(300)};
  OpenAsIs(options, {{"HTTP_PROXY", server_.url()}});
  server_.Then({Http("200 OK", kEtag, "x")});
  EXPECT_EQ(Get({.key = "k"})->bytes, "x");
  EXPECT_TRUE(server_.requests().at(0).starts_with("GET http://s3.leat.invalid/bkt/k HTTP/1.1\r\n"));
  OpenAsIs(options, {{"HTTP_PROXY", server_.url()}, {"no_proxy", ".invalid"}});
  EXPECT_FALSE(store_->Check(""));
  OpenAsIs(options, {});
  EXPECT_FALSE(store_->Check(""));
  unsetenv("http_proxy");
  EXPECT_EQ(server_.requests().size(), 1u);
  EXPECT_TRUE(other.requests().empty());
}

TEST_F(Store, AServerThatTricklesIsCut) {
  Open({.stall_timeout = std::chrono::seconds(1)});
  server_.Then({"HTTP/1.1 200 OK\r\n" + kEtag + "Content-Length: 1000000\r\n\r\n", false, true});
  server_.Then({Http("412 Precondition Failed", "", ErrorXml("PreconditionFailed"))});
  EXPECT_EQ(Get({.key = "k"}).error().code, ErrorCode::kObjectChanged);
  EXPECT_TRUE(server_.UsedUp());
  // Faster than that floor, perhaps, but a listing has a deadline as a whole.
  OpenAsIs({.endpoint_url = server_.url(), .no_sign_request = true, .demand_deadline = std::chrono::milliseconds(500)},
           {});
  server_.Then({"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", false, true});
  EXPECT_EQ(Await<env::ListPage>([&](auto done) { store_->List({}, std::move(done)); }).error().code,
            ErrorCode::kTimedOut);
  EXPECT_TRUE(server_.UsedUp());
}

TEST_F(Store, ACompletionWhoseAnswerWasLostIsFoundDone) {
  const std::string whole = "ETag: \"62109206880d38a4010a98e11243924a-1\"\r\n";
  server_.Then({"", true});
  server_.Then({Http("404 Not Found", "", ErrorXml("NoSuchUpload"))});
  server_.Then({"HTTP/1.1 200 OK\r\n" + whole + "Content-Length: 5\r\nConnection: close\r\n\r\n"});
  const auto completed = Complete();
  ASSERT_TRUE(completed) << completed.error().message;
  EXPECT_EQ(*completed, "\"62109206880d38a4010a98e11243924a-1\"");
  EXPECT_TRUE(server_.UsedUp());
  // What lies there is somebody else's, or the upload was gone from the start.
  server_.Then({"", true});
  server_.Then({Http("404 Not Found", "", ErrorXml("NoSuchUpload"))});
  server_.Then({"HTTP/1.1 200 OK\r\n" + kEtag + "Content-Length: 5\r\nConnection: close\r\n\r\n"});
  EXPECT_EQ(Complete().error().code, ErrorCode::kNotFound);
  server_.Then({Http("404 Not Found", "", ErrorXml("NoSuchUpload"))});
  EXPECT_EQ(Complete().error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(server_.UsedUp());
}

TEST_F(Store, ACompletionWithoutAnETagIsLookedAt) {
  const auto answer = Http("200 OK", "", "<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>");
  server_.Then({answer});
  server_.Then({"HTTP/1.1 200 OK\r\nETag: \"62109206880d38a4010a98e11243924a-1\"\r\nContent-Length: 5\r\n"
                "Connection: close\r\n\r\n"});
  const auto completed = Complete();
  ASSERT_TRUE(completed) << completed.error().message;
  EXPECT_EQ(*completed, "\"62109206880d38a4010a98e11243924a-1\"");
  // What lies there is somebody else's.
  server_.Then({answer});
  server_.Then({"HTTP/1.1 200 OK\r\n" + kEtag + "Content-Length: 5\r\nConnection: close\r\n\r\n"});
  EXPECT_EQ(Complete().error().code, ErrorCode::kProtocol);
  EXPECT_TRUE(server_.UsedUp());
}

TEST_F(Store, ClosingEndsEveryRequest) {
  std::promise<Status> ended;
  store_->Head("k",
               [&](Result<ObjectInfo> result) { ended.set_value(result ? Status() : Status(Fail(result.error()))); });
  store_.reset();
  EXPECT_FALSE(ended.get_future().get());
  EXPECT_EQ(counters_.in_flight, 0u);
}

TEST(Checksums, CheckValues) {
  EXPECT_EQ(ChecksumBase64(ChecksumAlgorithm::kCrc32, "hello"), "NhCmhg==");
  EXPECT_EQ(ChecksumBase64(ChecksumAlgorithm::kCrc32c, "hello"), "mnG7TA==");
  EXPECT_EQ(ChecksumBase64(ChecksumAlgorithm::kCrc64Nvme, "123456789"), "rosUhgp5mIg=");
  EXPECT_EQ(ChecksumBase64(ChecksumAlgorithm::kCrc32, "123456789"), "y/Q5Jg==");
  EXPECT_EQ(ChecksumBase64(ChecksumAlgorithm::kSha1, ""), "2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
}

}  // namespace
}  // namespace leat::s3
