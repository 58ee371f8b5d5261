// SPDX-License-Identifier: Apache-2.0
// The vectors of "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)", and two that
// botocore computed.
#include "s3/sigv4.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace leat::s3 {
namespace {

const Secret kKey("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");

std::string Sign(std::string_view method, std::string_view path, const NameValues& query, NameValues headers,
                 std::string_view date, std::string_view payload = "") {
  const std::string hash = HexEncode(Sha256(payload));
  headers.emplace_back("x-amz-content-sha256", hash);
  headers.emplace_back("x-amz-date", date);
  return Signature(SigningKey(kKey, date.substr(0, 8), "us-east-1", "s3"), date, "us-east-1", "s3",
                   CanonicalRequest(method, path, CanonicalQuery(query), headers, hash));
}

constexpr std::string_view kDate = "20130524T000000Z";
const std::pair<std::string, std::string> kHost{"host", "examplebucket.s3.amazonaws.com"};

TEST(SigV4, PublishedVectors) {
  EXPECT_EQ(Sign("GET", "/test.txt", {}, {kHost, {"range", "bytes=0-9"}}, kDate),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  EXPECT_EQ(Sign("PUT", "/" + PercentEncode("test$file.text", true), {},
                 {kHost, {"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                 kDate, "Welcome to Amazon S3."),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
  EXPECT_EQ(Sign("GET", "/", {{"lifecycle", ""}}, {kHost}, kDate),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  EXPECT_EQ(Sign("GET", "/", {{"prefix", "J"}, {"max-keys", "2"}}, {kHost}, kDate),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(SigV4, BotocoreVectors) {
  const std::pair<std::string, std::string> host{"host", "127.0.0.1:9000"};
  EXPECT_EQ(Sign("GET", "/bkt",
                 {{"list-type", "2"}, {"prefix", "a b+/\xc3\xa9"}, {"delimiter", "/"}, {"encoding-type", "url"}},
                 {host}, "20260102T030405Z"),
            "80db1524ff232beb617a6decaa89f0499dec71a6bc20ce60a6bbb52cc67a7b03");
  EXPECT_EQ(Sign("GET", PercentEncode("/bkt/a b+c/\xc3\xa9~=.txt", true), {},
                 {host, {"range", "bytes=0-9"}, {"if-match", "\"abc\""}}, "20260102T030405Z"),
            "3cfed3f410d531ca43b12fa58aac086f00fbc33ac9c9d46a8f9111f3e97191cb");
}

TEST(SigV4, EveryByteOfTheRequestMatters) {
  const Digest key = SigningKey(kKey, "20130524", "us-east-1", "s3");
  const std::string request = CanonicalRequest("GET", "/test.txt", "", {kHost}, kEmptyPayloadSha256);
  const std::string signature = Signature(key, kDate, "us-east-1", "s3", request);
  for (size_t i = 0; i < request.size(); ++i) {
    std::string changed = request;
    changed[i] ^= 1;
    EXPECT_NE(Signature(key, kDate, "us-east-1", "s3", changed), signature) << i;
  }
}

}  // namespace
}  // namespace leat::s3
