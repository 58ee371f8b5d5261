// SPDX-License-Identifier: Apache-2.0
// What is lent in a caller's name, against an STS that answers by a script.
#include "s3/temporary_credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "s3/scripted_server.h"

namespace leat::s3 {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr int64_t kMinute = 60'000'000'000;

class SetClock final : public env::Clock {
 public:
  env::MonotonicTime Now() const override { return env::MonotonicTime(std::chrono::nanoseconds(now_ns)); }
  int64_t WallTimeNs() const override { return now_ns; }
  int64_t now_ns = 1'767'323'045'000'000'000;
};

class Lending : public testing::Test {
 protected:
  Environment Keys(const std::string& id = "AKLONG") const {
    return {{"AWS_ACCESS_KEY_ID", id},
            {"AWS_SECRET_ACCESS_KEY", "long-secret"},
            {"AWS_REGION", "eu-west-1"},
            {"AWS_EC2_METADATA_DISABLED", "true"}};
  }
  Environment WithSts() const {
    Environment environment = Keys();
    environment["AWS_ENDPOINT_URL_STS"] = sts_.url() + "/base";
    return environment;
  }
  void ThenSession(const std::string& id, int64_t ends_ns) {
    sts_.Then({Http("200 OK", "",
                    "<GetSessionTokenResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
                    "<GetSessionTokenResult><Credentials><AccessKeyId>" +
                        id +
                        "</AccessKeyId><SecretAccessKey>s&amp;s</SecretAccessKey><SessionToken>t</SessionToken>"
                        "<Expiration>" +
                        FormatTimeUtc(ends_ns) + "</Expiration></Credentials></GetSessionTokenResult>" +
                        "</GetSessionTokenResponse>")});
  }
  std::string IdOf(TemporaryCredentials& credentials) {
    const auto lent = credentials.Get();
    return lent ? lent->credentials.access_key_id : ErrorCodeName(lent.error().code).data();
  }

  SetClock clock_;
  ScriptedServer sts_;
};

TEST_F(Lending, LongTermKeysAreExchangedAndKeptUntilTheirEndIsNear) {
  ThenSession("AKONE", clock_.now_ns + 60 * kMinute);
  TemporaryCredentials credentials(WithSts(), clock_);
  const auto lent = credentials.Get();
  ASSERT_TRUE(lent) << lent.error().message;
  EXPECT_EQ(lent->credentials.access_key_id, "AKONE");
  EXPECT_EQ(lent->credentials.secret_access_key.Reveal(), "s&s");
  EXPECT_EQ(lent->credentials.session_token.Reveal(), "t");
  EXPECT_EQ(lent->credentials.expires_ns, clock_.now_ns + 60 * kMinute);
  EXPECT_FALSE(lent->are_long_term);
  ASSERT_EQ(sts_.requests().size(), 1u);
  const std::string request = sts_.requests()[0];
  EXPECT_THAT(request, StartsWith("POST /base/ HTTP/1.1\r\n"));
  EXPECT_THAT(request, HasSubstr("Credential=AKLONG/20260102/eu-west-1/sts/aws4_request, "
                                 "SignedHeaders=content-type;host;x-amz-date, Signature="));
  EXPECT_THAT(request, HasSubstr("\r\n\r\nAction=GetSessionToken&DurationSeconds=3600&Version=2011-06-15"));
  EXPECT_THAT(request, Not(HasSubstr("long-secret")));
  clock_.now_ns += 39 * kMinute;
  EXPECT_EQ(IdOf(credentials), "AKONE");
  EXPECT_EQ(sts_.requests().size(), 1u);
  clock_.now_ns += 2 * kMinute;
  ThenSession("AKTWO", clock_.now_ns + 60 * kMinute);
  EXPECT_EQ(IdOf(credentials), "AKTWO");
}

TEST_F(Lending, AnStsThatFailsTakesNothingAwayBeforeTheEnd) {
  ThenSession("AKONE", clock_.now_ns + 60 * kMinute);
  TemporaryCredentials credentials(WithSts(), clock_);
  EXPECT_EQ(IdOf(credentials), "AKONE");
  clock_.now_ns += 45 * kMinute;
  EXPECT_EQ(IdOf(credentials), "AKONE");  // 500: the script is used up
  EXPECT_EQ(sts_.requests().size(), 2u);
  EXPECT_EQ(IdOf(credentials), "AKONE");
  EXPECT_EQ(sts_.requests().size(), 2u) << "it is not asked again at once";
  clock_.now_ns += 15 * kMinute;
  sts_.Then({Http("403 Forbidden", "",
                  "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error>"
                  "</ErrorResponse>")});
  const auto ended = credentials.Get();
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, ErrorCode::kDenied);
  EXPECT_THAT(ended.error().message, HasSubstr("AccessDenied: no"));
  EXPECT_EQ(IdOf(credentials), "denied");
  EXPECT_EQ(sts_.requests().size(), 3u) << "the failure stands for a while";
  clock_.now_ns += kMinute;
  ThenSession("AKTWO", clock_.now_ns + 60 * kMinute);
  EXPECT_EQ(IdOf(credentials), "AKTWO");
}

TEST_F(Lending, WithoutStsKeysAreLentAsTheyAre) {
  Environment environment = Keys();
  environment["AWS_ENDPOINT_URL"] = sts_.url();
  const auto lent = TemporaryCredentials(environment, clock_).Get();
  ASSERT_TRUE(lent) << lent.error().message;
  EXPECT_TRUE(lent->are_long_term);
  EXPECT_EQ(lent->credentials.secret_access_key.Reveal(), "long-secret");
  EXPECT_EQ(lent->credentials.expires_ns, clock_.now_ns + 60 * kMinute);
  EXPECT_TRUE(sts_.requests().empty());
}

TEST_F(Lending, TemporaryOnesAreLentUntilTheirEnd) {
  Environment environment = WithSts();
  environment["AWS_SESSION_TOKEN"] = "t";
  environment["AWS_CREDENTIAL_EXPIRATION"] = FormatTimeUtc(clock_.now_ns + 30 * kMinute);
  TemporaryCredentials credentials(environment, clock_);
  EXPECT_EQ(credentials.Get()->credentials.expires_ns, clock_.now_ns + 30 * kMinute);
  clock_.now_ns += 30 * kMinute;
  const auto ended = credentials.Get();
  ASSERT_FALSE(ended);
  EXPECT_THAT(ended.error().message, HasSubstr("ended at 2026-01-02T03:34:05Z"));
  environment["AWS_ACCESS_KEY_ID"] = "AKNEW";
  environment["AWS_CREDENTIAL_EXPIRATION"] = FormatTimeUtc(clock_.now_ns + 30 * kMinute);
  credentials.Renew(environment);
  EXPECT_EQ(IdOf(credentials), "AKNEW");
  EXPECT_TRUE(sts_.requests().empty());
}

TEST_F(Lending, AnotherIdentityDrivesOutNoneThatWorks) {
  Environment other = Keys("AKOTHER");
  other["AWS_SESSION_TOKEN"] = "t";
  Environment first = other;
  first["AWS_ACCESS_KEY_ID"] = "AKFIRST";
  TemporaryCredentials credentials(first, clock_);
  credentials.Renew(other);
  EXPECT_EQ(IdOf(credentials), "AKFIRST");
  TemporaryCredentials unknown(std::nullopt, clock_);
  EXPECT_EQ(IdOf(unknown), "no_credentials");
  unknown.Renew(other);
  EXPECT_EQ(IdOf(unknown), "AKOTHER");
}

TEST(StsSettings, AreAmazonsOnlyWhereS3Is) {
  const auto endpoint = [](Environment environment) {
    environment["AWS_REGION"] = "cn-north-1";
    const auto settings = ResolveStsSettings(environment);
    return settings ? settings->Endpoint() + settings->base_path : std::string(ErrorCodeName(settings.error().code));
  };
  EXPECT_EQ(endpoint({}), "https://sts.cn-north-1.amazonaws.com.cn");
  EXPECT_EQ(endpoint({{"AWS_ENDPOINT_URL_S3", "http://here:9000"}}), "not_found");
  EXPECT_EQ(endpoint({{"AWS_ENDPOINT_URL", "http://here:9000"}}), "not_found");
  EXPECT_EQ(endpoint({{"AWS_ENDPOINT_URL_S3", "http://here:9000"}, {"AWS_ENDPOINT_URL_STS", "https://there/sts/"}}),
            "https://there/sts");
  EXPECT_EQ(endpoint({{"AWS_ENDPOINT_URL_STS", "nonsense"}}), "invalid_argument");
}

}  // namespace
}  // namespace leat::s3
