// SPDX-License-Identifier: Apache-2.0
// The pure parts of s3lab: ranges, conditions, listings against a naive model, synthetic bytes and keys, chunked
// bodies, fault rules, shapes, the signature check, and a bucket that is opened again.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "authorizer.h"
#include "base/random.h"
#include "base/text.h"
#include "chunked_body.h"
#include "directory_bucket.h"
#include "faults.h"
#include "generated_buckets.h"
#include "listing.h"
#include "operation.h"
#include "request_body.h"
#include "s3/checksum.h"
#include "service.h"
#include "shape.h"

namespace leat::s3lab {
namespace {

using Json = nlohmann::json;

TEST(Range, AsS3ReadsIt) {
  using Kind = ByteRange::Kind;
  const struct {
    const char* header;
    uint64_t size;
    Kind kind;
    uint64_t first, length;
  } cases[] = {
      {"bytes=0-9", 100, Kind::kPart, 0, 10},        {"bytes=90-", 100, Kind::kPart, 90, 10},
      {"bytes=-5", 100, Kind::kPart, 95, 5},         {"bytes=-500", 100, Kind::kPart, 0, 100},
      {"bytes=50-500", 100, Kind::kPart, 50, 50},    {"bytes=100-", 100, Kind::kUnsatisfiable, 0, 0},
      {"bytes=-0", 100, Kind::kUnsatisfiable, 0, 0}, {"bytes=0-0", 0, Kind::kUnsatisfiable, 0, 0},
      {"bytes=9-3", 100, Kind::kWhole, 0, 100},      {"bytes=0-1,5-6", 100, Kind::kWhole, 0, 100},
      {"lines=0-9", 100, Kind::kWhole, 0, 100},      {"bytes=x-", 100, Kind::kWhole, 0, 100},
  };
  for (const auto& expected : cases) {
    const ByteRange range = ParseRange(expected.header, expected.size);
    EXPECT_EQ(range.kind, expected.kind) << expected.header;
    EXPECT_EQ(range.first, expected.first) << expected.header;
    EXPECT_EQ(range.length, expected.length) << expected.header;
  }
}

TEST(Head, IsParsedAndMalformedOnesAreRefused) {
  const auto request = ParseHead(
      "GET /b/a%20b?prefix=x+y%2Fz&list-type=2&flag HTTP/1.1\r\nHost: h\r\nX-Amz-Date:  d \r\nConnection: "
      "close\r\n\r\n");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->raw_path, "/b/a%20b");
  EXPECT_EQ(*request->Query("prefix"), "x y/z");
  EXPECT_EQ(*request->Query("flag"), "");
  EXPECT_EQ(*request->Header("x-amz-date"), "d");
  EXPECT_FALSE(request->keep_alive);
  for (const char* bad :
       {"GET\r\n\r\n", "GET / HTTP/2\r\n\r\n", "GET x HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\n: x\r\n\r\n", "GET /a b HTTP/1.1\r\n\r\n"})
    EXPECT_FALSE(ParseHead(bad)) << bad;
}

TEST(Conditions, ETags) {
  EXPECT_TRUE(ETagMatches("\"a\"", "a"));
  EXPECT_TRUE(ETagMatches("a", "a"));
  EXPECT_TRUE(ETagMatches("\"x\", \"a\"", "a"));
  EXPECT_TRUE(ETagMatches("*", "a"));
  EXPECT_FALSE(ETagMatches("\"aa\"", "a"));
}

TEST(Targets, AreFoundAndUnknownSubresourcesAreNotTakenForThePlainOperation) {
  const auto operation = [](const std::string& line, const std::string& headers = "") {
    return std::string(
        OperationName(FindTarget(*ParseHead(line + " HTTP/1.1\r\nhost: h\r\n" + headers + "\r\n")).operation));
  };
  EXPECT_EQ(operation("GET /"), "ListBuckets");
  EXPECT_EQ(operation("GET /b"), "ListObjects");
  EXPECT_EQ(operation("GET /b/?list-type=2&prefix=x"), "ListObjectsV2");
  EXPECT_EQ(operation("GET /b?location"), "GetBucketLocation");
  EXPECT_EQ(operation("GET /b/k?x-id=GetObject"), "GetObject");
  EXPECT_EQ(operation("PUT /b/k", "x-amz-copy-source: /b/x\r\n"), "CopyObject");
  EXPECT_EQ(operation("PUT /b/k?uploadId=1&partNumber=2"), "UploadPart");
  EXPECT_EQ(operation("POST /b/?delete"), "DeleteObjects");
  for (const char* line :
       {"GET /b?acl", "GET /b?versions", "PUT /b?versioning", "GET /b/k?tagging", "GET /b/k?versionId=1", "PATCH /b/k"})
    EXPECT_EQ(operation(line), "Unknown") << line;
  const Target odd = FindTarget(*ParseHead("GET /b/a//b/%00%2E%2E HTTP/1.1\r\n\r\n"));
  EXPECT_EQ(odd.key, std::string("a//b/\0..", 8));
}

// A bucket in memory, and how a reader of the manual would list it: every key above the marker, rolled up, cut.
class ModelBucket final : public Bucket {
 public:
  std::map<std::string, Object, std::less<>> objects;
  mutable size_t seen = 0;
  void Add(const std::string& key) { objects[key].key = key; }
  void Scan(std::string_view from, const Visitor& visitor) const override {
    std::string seek;
    for (auto at = objects.lower_bound(from); at != objects.end();) {
      ++seen;
      if (!visitor(at->second, seek)) return;
      at = seek.empty() ? std::next(at) : objects.lower_bound(seek);
      seek.clear();
    }
  }
  std::shared_ptr<const Object> Find(std::string_view) const override { return nullptr; }
  std::shared_ptr<const Body> Open(const Object&) const override { return nullptr; }
};

std::vector<std::string> NaiveEntries(const ModelBucket& bucket, const ListQuery& query) {
  std::set<std::string> entries;
  for (const auto& [key, object] : bucket.objects) {
    if (key.compare(0, query.prefix.size(), query.prefix) != 0 || key <= query.after) continue;
    const size_t at = query.delimiter.empty() ? std::string::npos : key.find(query.delimiter, query.prefix.size());
    const std::string entry = at == std::string::npos ? key : key.substr(0, at + query.delimiter.size());
    if (entry != query.after) entries.insert(entry);
  }
  return {entries.begin(), entries.end()};
}

TEST(Listing, PagesEqualTheNaiveModel) {
  Random random(11);
  static constexpr std::string_view kBytes = "ab/-\xff";
  size_t pages = 0;
  for (int round = 0; round < 300; ++round) {
    ModelBucket bucket;
    const auto word = [&](uint64_t longest) {
      std::string text;
      for (uint64_t n = random.Below(longest + 1); n > 0; --n) text += kBytes[random.Below(kBytes.size())];
      return text;
    };
    for (int i = 0; i < 40; ++i)
      if (std::string key = word(7); !key.empty()) bucket.Add(key);
    ListQuery query{word(2),
                    random.Below(3) == 0   ? ""
                    : random.Below(4) == 0 ? "a/"
                                           : "/",
                    random.Below(2) == 0 ? "" : word(4), 1 + random.Below(5)};
    const std::vector<std::string> expected = NaiveEntries(bucket, query);
    std::vector<std::string> found;
    for (;;) {
      const ListResult page = ListPage(bucket, query);
      std::vector<std::string> entries;
      for (const Object& object : page.objects) entries.push_back(object.key);
      entries.insert(entries.end(), page.common_prefixes.begin(), page.common_prefixes.end());
      std::sort(entries.begin(), entries.end());
      ASSERT_LE(entries.size(), query.max_keys);
      found.insert(found.end(), entries.begin(), entries.end());
      ++pages;
      if (!page.truncated) break;
      ASSERT_EQ(page.last, entries.back());
      query.after = page.last;
    }
    ASSERT_EQ(found, expected) << "round " << round;
  }
  EXPECT_GT(pages, 600u);
}

TEST(Listing, ACommonPrefixCostsOneStep) {
  ModelBucket bucket;
  for (int i = 0; i < 5000; ++i) bucket.Add("a/" + std::to_string(i));
  bucket.Add("b");
  const ListResult page = ListPage(bucket, {"", "/", "", 1000});
  EXPECT_EQ(page.common_prefixes, std::vector<std::string>{"a/"});
  ASSERT_EQ(page.objects.size(), 1u);
  EXPECT_LE(bucket.seen, 3u);
}

TEST(Synthetic, BytesAreWhatThePythonOfTheManualComputes) {
  // python3: docs/s3lab.md's synthetic(7, 'data/000005', offset, 8)
  const SyntheticPattern pattern = *SyntheticPattern::Create(7);
  EXPECT_EQ(HexEncode(pattern.Bytes("data/000005", 0, 8)), "62a545da84981471");
  EXPECT_EQ(HexEncode(pattern.Bytes("data/000005", (1 << 20) - 4, 8)), "3ff34a8deabf53c7");
  EXPECT_EQ(HexEncode(pattern.Bytes("huge.bin", (100ull << 30) - 8, 8)), "c43444d094645d9c");
}

TEST(Synthetic, BodiesAreTheBytes) {
  auto bucket = SyntheticBucket::Create(*SyntheticSpec::Parse("object=o,size=5M,seed=3"));
  ASSERT_TRUE(bucket);
  const auto object = (*bucket)->Find("o");
  ASSERT_NE(object, nullptr);
  EXPECT_EQ(object->size, 5u << 20);
  const auto body = (*bucket)->Open(*object);
  std::string read;
  while (read.size() < object->size) {
    const Body::Stretch stretch = body->At(read.size());
    std::string piece(std::min<uint64_t>(stretch.length, object->size - read.size()), '\0');
    ASSERT_EQ(pread(stretch.descriptor, piece.data(), piece.size(), static_cast<off_t>(stretch.offset)),
              static_cast<ssize_t>(piece.size()));
    read += piece;
  }
  EXPECT_EQ(read, SyntheticPattern::Create(3)->Bytes("o", 0, object->size));
  EXPECT_NE(read.substr(0, 4096), read.substr(1 << 20, 4096)) << "blocks of one object differ";
}

TEST(Synthetic, KeysAreInOrderAndFound) {
  for (const char* text : {"count=1237,layout=flat,prefix=data/", "count=1237,layout=nested:10,prefix=p/",
                           "count=1237,layout=nested:7:11", "count=5,layout=nested:100", "object=one,size=9"}) {
    const SyntheticKeys keys(*SyntheticSpec::Parse(text));
    std::string before;
    for (uint64_t i = 0; i < keys.count(); ++i) {
      const std::string key = keys.Key(i);
      ASSERT_LT(before, key) << text;
      ASSERT_EQ(keys.Find(key), i);
      ASSERT_EQ(keys.LowerBound(key), i);
      ASSERT_EQ(keys.LowerBound(key + '\0'), i + 1);
      before = key;
    }
    EXPECT_EQ(keys.LowerBound(""), 0u);
    EXPECT_FALSE(keys.Find("nothing"));
    EXPECT_FALSE(keys.Find(before + "0"));
  }
  for (const char* bad : {"", "count=0", "size=5", "count=1,layout=deep", "count=1,layout=nested:0", "count=1,size=9-3",
                          "count=1,colour=2"})
    EXPECT_FALSE(SyntheticSpec::Parse(bad)) << bad;
}

class Collected final : public ChunkedDecoder::Listener {
 public:
  std::string bytes, extensions;
  Status ChunkBegins(uint64_t, std::string_view extension) override {
    extensions.append(extension).append("|");
    return {};
  }
  Status ChunkBytes(std::string_view more) override {
    bytes += more;
    return {};
  }
  Status ChunkEnds() override { return {}; }
};

TEST(ChunkedBody, DecodesInAnyPieces) {
  const std::string text = "5;chunk-signature=ab\r\nhello\r\n1\r\n!\r\n0\r\nX-Amz-Checksum-Crc32: AAAAAA==\r\n\r\n";
  for (size_t step = 1; step <= text.size() + 4; ++step) {
    ChunkedDecoder decoder;
    Collected collected;
    const std::string input = text + "NEXT";
    size_t at = 0;
    while (!decoder.done()) {
      const auto taken = decoder.Decode(std::string_view(input).substr(at, step), collected);
      ASSERT_TRUE(taken);
      at += *taken;
    }
    EXPECT_EQ(at, text.size());
    EXPECT_EQ(collected.bytes, "hello!");
    EXPECT_EQ(collected.extensions, "chunk-signature=ab|||");
    ASSERT_EQ(decoder.trailers().size(), 1u);
    EXPECT_EQ(decoder.trailers()[0].second, "AAAAAA==");
  }
  for (const char* bad : {"x\r\n", "5\r\nhelloXX\r\n", "5\nhello", "ffffffffffffffffff\r\n", "0\r\nno trailer\r\n"}) {
    ChunkedDecoder decoder;
    Collected collected;
    EXPECT_FALSE(decoder.Decode(bad, collected)) << bad;
  }
}

// The error code of a body with these headers, or "" when all promises hold.
std::string BodyOutcome(const std::string& headers, PayloadPromise promise, const std::string& body) {
  const auto request = ParseHead("PUT /b/k HTTP/1.1\r\n" + headers + "\r\n");
  RequestBody kept(*request, std::move(promise), RequestBody::Keep::kMemory);
  for (const char c : body) kept.Add(std::string_view(&c, 1));
  const auto error = kept.Finish();
  return error ? error->code : "";
}

TEST(RequestBody, HoldsWhatTheHeadPromised) {
  using Kind = PayloadPromise::Kind;
  const PayloadPromise hash{Kind::kSha256, HexEncode(s3::Sha256("hello")), false, {}, "", "", ""};
  EXPECT_EQ(BodyOutcome("", hash, "hello"), "");
  EXPECT_EQ(BodyOutcome("", hash, "hellO"), "XAmzContentSHA256Mismatch");
  const PayloadPromise plain{Kind::kUnsigned, "", false, {}, "", "", ""};
  EXPECT_EQ(BodyOutcome("content-md5: XUFAKrxLKna5cZ2REBfFkg==\r\n", plain, "hello"), "");
  EXPECT_EQ(BodyOutcome("content-md5: XUFAKrxLKna5cZ2REBfFkg==\r\n", plain, "hallo"), "BadDigest");
  const std::string crc = s3::ChecksumBase64(s3::ChecksumAlgorithm::kCrc32c, "hello");
  EXPECT_EQ(BodyOutcome("x-amz-checksum-crc32c: " + crc + "\r\n", plain, "hello"), "");
  EXPECT_EQ(BodyOutcome("x-amz-checksum-crc32c: " + crc + "\r\n", plain, "help!"), "BadDigest");
  const PayloadPromise trailer{Kind::kUnsignedTrailer, "", false, {}, "", "", ""};
  const std::string head = "x-amz-decoded-content-length: 5\r\nx-amz-trailer: x-amz-checksum-crc32c\r\n";
  EXPECT_EQ(BodyOutcome(head, trailer, "5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:" + crc + "\r\n\r\n"), "");
  EXPECT_EQ(BodyOutcome(head, trailer, "5\r\nhallo\r\n0\r\nx-amz-checksum-crc32c:" + crc + "\r\n\r\n"), "BadDigest");
  EXPECT_EQ(BodyOutcome(head, trailer, "5\r\nhello\r\n0\r\n\r\n"), "BadDigest") << "the promised trailer did not come";
  EXPECT_EQ(BodyOutcome(head, trailer, "5\r\nhello\r\n"), "IncompleteBody");
  EXPECT_EQ(BodyOutcome(head, trailer, "4\r\nhell\r\n0\r\nx-amz-checksum-crc32c:" + crc + "\r\n\r\n"),
            "IncompleteBody");
  EXPECT_EQ(BodyOutcome("", trailer, "0\r\n\r\n"), "MissingContentLength");
}

TEST(RequestBody, ChunkSignaturesAreThoseOfTheManual) {
  // "Example: PUT object" of "Signature Calculations for the Authorization Header: Transferring Payload in Multiple
  // Chunks".
  PayloadPromise promise;
  promise.kind = PayloadPromise::Kind::kSignedChunks;
  promise.check_chunks = true;
  promise.signing_key =
      s3::SigningKey(s3::Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), "20130524", "us-east-1", "s3");
  promise.amz_date = "20130524T000000Z";
  promise.scope = "20130524/us-east-1/s3/aws4_request";
  promise.seed_signature = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
  std::string body = "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" +
                     std::string(65536, 'a') +
                     "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" +
                     std::string(1024, 'a') +
                     "\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n";
  EXPECT_EQ(BodyOutcome("x-amz-decoded-content-length: 66560\r\n", promise, body), "");
  body[66000] = 'b';
  EXPECT_EQ(BodyOutcome("x-amz-decoded-content-length: 66560\r\n", promise, body), "SignatureDoesNotMatch");
}

class Signatures : public testing::Test {
 protected:
  static constexpr int64_t kNow = 1'767'323'045;  // 2026-01-02T03:04:05Z
  static constexpr std::string_view kDate = "20260102T030405Z";
  static constexpr std::string_view kSecret = "the secret";

  static std::string Sign(const std::string& method, const std::string& target, s3::NameValues headers,
                          const std::string& payload, const std::string& key = "KEY",
                          const std::string& region = "us-east-1", std::string_view secret = kSecret) {
    headers.emplace_back("host", "127.0.0.1:9");
    headers.emplace_back("x-amz-content-sha256", payload);
    headers.emplace_back("x-amz-date", kDate);
    std::string text = method + " " + target + " HTTP/1.1\r\n";
    for (const auto& [name, value] : headers) text += name + ": " + value + "\r\n";
    const auto request = ParseHead(text + "\r\n");
    const auto signature = s3::Signature(
        s3::SigningKey(s3::Secret(secret), kDate.substr(0, 8), region, "s3"), kDate, region, "s3",
        s3::CanonicalRequest(method, request->raw_path, s3::CanonicalQuery(request->query), headers, payload));
    return text +
           "authorization: " + s3::Authorization(key, kDate, region, "s3", s3::SignedHeaders(headers), signature) +
           "\r\n";
  }
  static std::string Check(const std::string& head, int64_t now_s = kNow, bool anonymous = false) {
    AuthorizerOptions options;
    options.access_key = "KEY";
    options.secret_key = s3::Secret(kSecret);
    options.anonymous = anonymous;
    PayloadPromise promise;
    const auto request = ParseHead(head + "\r\n");
    if (!request) return "unparsed";
    const auto error = Authorizer(options).Check(*request, now_s, &promise);
    return error ? error->code : "";
  }
};

TEST_F(Signatures, AreCheckedAsS3Does) {
  const std::string empty(s3::kEmptyPayloadSha256);
  const std::string good = Sign("GET", "/b/a%20b?list-type=2&prefix=x%2Fy", {{"x-amz-meta-a", "v"}}, empty);
  EXPECT_EQ(Check(good), "");
  EXPECT_EQ(Check(good, kNow + 14 * 60), "");
  EXPECT_EQ(Check(good, kNow + 16 * 60), "RequestTimeTooSkewed");
  EXPECT_EQ(Check(good, kNow - 16 * 60), "RequestTimeTooSkewed");
  EXPECT_EQ(Check(Sign("GET", "/b", {}, empty, "OTHER")), "InvalidAccessKeyId");
  EXPECT_EQ(Check(Sign("GET", "/b", {}, empty, "KEY", "us-east-1", "wrong")), "SignatureDoesNotMatch");
  EXPECT_EQ(Check(Sign("GET", "/b", {}, empty, "KEY", "eu-west-1")), "AuthorizationHeaderMalformed");
  EXPECT_EQ(Check(good + "x-amz-meta-extra: 1\r\n"), "AccessDenied") << "an x-amz- header that is not signed";
  EXPECT_EQ(Check(good + "x-amz-meta-a: 2\r\n"), "InvalidRequest") << "a signed header twice";
  EXPECT_EQ(Check(Sign("PUT", "/b/k", {}, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")), "");
  EXPECT_EQ(Check(Sign("PUT", "/b/k", {}, "STREAMING-NONSENSE")), "InvalidArgument");
  EXPECT_EQ(Check("GET /b HTTP/1.1\r\nhost: h\r\n"), "AccessDenied");
  EXPECT_EQ(Check("GET /b HTTP/1.1\r\nhost: h\r\n", kNow, true), "");
  EXPECT_EQ(Check("GET /b?X-Amz-Credential=KEY&X-Amz-Signature=0 HTTP/1.1\r\nhost: h\r\n", kNow, true),
            "AuthorizationQueryParametersError");
  EXPECT_EQ(Check("PUT /b/k HTTP/1.1\r\nhost: h\r\nauthorization: AWS KEY:sig\r\n"), "InvalidRequest");
}

TEST_F(Signatures, EveryChangedByteIsRefused) {
  const std::string good =
      Sign("GET", "/bucket/key?prefix=p", {{"x-amz-meta-a", "value"}}, std::string(s3::kEmptyPayloadSha256));
  ASSERT_EQ(Check(good), "");
  size_t refused = 0;
  for (size_t i = 0; i < good.size(); ++i) {
    if (good.compare(i, 1, "\r") == 0 || good.compare(i, 1, "\n") == 0) continue;
    std::string changed = good;
    changed[i] ^= 1;
    // Names of headers are compared without case, and HTTP/1.1's digits are not signed.
    const size_t version = good.find(" HTTP/1.1");
    if (i >= version && i < version + 9) continue;
    EXPECT_NE(Check(changed), "") << i << ": " << changed.substr(i > 10 ? i - 10 : 0, 20);
    ++refused;
  }
  EXPECT_GT(refused, 300u);
}

TEST(Faults, FireInTheirTurnAndCount) {
  FaultRules rules;
  ASSERT_TRUE(
      rules.Add(Json::parse(R"([{"match": {"operation": "GetObject", "key_prefix": "d/"}, "after": 1, "count": 2,
                                         "action": {"status": 503, "code": "SlowDown"}},
                                        {"match": {"key": "x"}, "count": -1, "action": {"stall": {"bytes": 10, "ms": 300}}}])")));
  const Target get{Operation::kGetObject, "b", "d/1"}, put{Operation::kPutObject, "b", "d/1"},
      x{Operation::kHeadObject, "b", "x"};
  EXPECT_FALSE(rules.Take(put));
  EXPECT_FALSE(rules.Take(get));
  EXPECT_EQ(rules.Take(get)->code, "SlowDown");
  EXPECT_EQ(rules.Take(get)->status, 503);
  EXPECT_FALSE(rules.Take(get));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(rules.Take(x)->ms, 300u);
  const Json shown = rules.Describe();
  EXPECT_EQ(shown["rules"][0]["matched"], 4);
  EXPECT_EQ(shown["rules"][0]["fired"], 2);
  EXPECT_EQ(shown["rules"][1]["fired"], 5);
  rules.Clear();
  EXPECT_FALSE(rules.Take(x));
  for (const char* bad :
       {R"({"action": {"explode": true}})", R"({"match": {"operation": "Get"}, "action": {"deny": true}})",
        R"({"match": {}})", R"({"action": {"stall": 5}})", R"({"action": {"reset": true, "deny": true}})",
        R"({"action": {"short_body": "x"}})", R"({"count": "x", "action": {"deny": true}})", R"([1])"})
    EXPECT_FALSE(rules.Add(Json::parse(bad))) << bad;
  EXPECT_EQ(rules.Describe()["rules"].size(), 0u);
}

TEST(ShapeTest, LatencyHasItsMedianAndRateItsLimit) {
  ShapeSettings settings;
  settings.latency_ms = 30;
  settings.latency_sigma = 0.5;
  Shape shape(settings, 1);
  std::vector<int64_t> delays;
  for (int i = 0; i < 4001; ++i) delays.push_back(shape.FirstByteDelayNs());
  std::sort(delays.begin(), delays.end());
  EXPECT_NEAR(static_cast<double>(delays[2000]) / 1e6, 30, 1);
  EXPECT_NEAR(static_cast<double>(delays[3365]) / 1e6, 30 * std::exp(0.5), 2) << "one sigma up";
  ASSERT_TRUE(shape.Change(Json{{"rate", 1000}, {"latency_ms", 0}}));
  EXPECT_EQ(shape.FirstByteDelayNs(), 0);
  int64_t now_ns = 1'000'000'000;
  uint64_t admitted = 0;
  for (int i = 0; i < 20'000; ++i) admitted += shape.Admit(now_ns += 100'000);  // 10,000 a second, for 2 s
  EXPECT_NEAR(static_cast<double>(admitted), 2000, 110);
  EXPECT_FALSE(shape.Change(Json{{"colour", 1}}));
  EXPECT_FALSE(shape.Change(Json{{"rate", -1}}));
}

TEST(DirectoryBucketTest, KeepsEveryKeyOverARestart) {
  char scratch[] = "/tmp/s3lab-test-XXXXXX";
  ASSERT_NE(mkdtemp(scratch), nullptr);
  const std::vector<std::string> keys = {
      "a//b",     "..", "../../etc/passwd", "/lead", std::string("nul\0key", 7), std::string(1024, 'k'), "a",
      "\xff\xfe", "a/"};
  const auto put = [](DirectoryBucket& bucket, const std::string& key, const std::string& text,
                      WriteCondition condition = {}) {
    auto file = bucket.NewFile();
    EXPECT_TRUE(WriteAll(file->first.get(), std::as_bytes(std::span(text.data(), text.size())), 0));
    Object object;
    object.key = key;
    object.size = text.size();
    object.etag = "e" + text.substr(0, 3);
    object.headers = {{"x-amz-meta-odd", "\xc3\xa9\x01"}};
    object.file = file->second;
    return *bucket.Put(std::move(object), condition);
  };
  {
    auto bucket = *DirectoryBucket::Open(scratch);
    for (const std::string& key : keys) EXPECT_EQ(put(*bucket, key, "old of " + key), WriteOutcome::kDone);
    for (const std::string& key : keys) EXPECT_EQ(put(*bucket, key, "body of " + key), WriteOutcome::kDone);
    EXPECT_EQ(put(*bucket, "a", "x", {true, ""}), WriteOutcome::kPreconditionFailed);
    EXPECT_EQ(put(*bucket, "a", "x", {false, "other"}), WriteOutcome::kPreconditionFailed);
    EXPECT_EQ(put(*bucket, "absent", "x", {false, "other"}), WriteOutcome::kNoSuchKey);
    EXPECT_EQ(put(*bucket, "gone", "x"), WriteOutcome::kDone);
    EXPECT_TRUE(*bucket->Delete("gone"));
    EXPECT_FALSE(*bucket->Delete("gone"));
  }
  {  // a line that a crash tore
    FILE* index = fopen((std::string(scratch) + "/index.jsonl").c_str(), "a");
    fputs("{\"put\": \"half", index);
    fclose(index);
  }
  auto bucket = *DirectoryBucket::Open(scratch);
  std::set<std::string> found;
  bucket->Scan("", [&](const Object& object, std::string&) { return found.insert(object.key).second; });
  EXPECT_EQ(found, std::set<std::string>(keys.begin(), keys.end()));
  for (const std::string& key : keys) {
    const auto object = bucket->Find(key);
    ASSERT_NE(object, nullptr);
    EXPECT_EQ(object->headers.at(0).second, "\xc3\xa9\x01");
    std::string text(object->size, '\0');
    EXPECT_EQ(pread(bucket->Open(*object)->At(0).descriptor, text.data(), text.size(), 0),
              static_cast<ssize_t>(text.size()));
    EXPECT_EQ(text, "body of " + key);
  }
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(std::string(scratch) + "/data"))
    ++files;
  EXPECT_EQ(files, keys.size()) << "replaced, refused and deleted bodies are gone";
  std::filesystem::remove_all(scratch);
}

TEST(XmlItems, AreReadAndDocumentTypesRefused) {
  const auto items = ReadXmlItems(
      "<Delete xmlns='x'><Object><Key>a&amp;b</Key></Object><Object><Key> c</Key></Object></Delete>", "Object");
  ASSERT_TRUE(items);
  ASSERT_EQ(items->size(), 2u);
  EXPECT_EQ((*items)[0].at("Key"), "a&b");
  EXPECT_EQ((*items)[1].at("Key"), " c");
  EXPECT_FALSE(
      ReadXmlItems("<!DOCTYPE x [<!ENTITY e 'v'>]><Delete><Object><Key>&e;</Key></Object></Delete>", "Object"));
  EXPECT_FALSE(ReadXmlItems("<Delete><Object>", "Object"));
}

}  // namespace
}  // namespace leat::s3lab
