// SPDX-License-Identifier: Apache-2.0
// Where credentials are looked for, and that the search stops at a source that was meant and cannot be used.
#include "s3/credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace leat::s3 {
namespace {

using testing::HasSubstr;

class StillClock final : public env::Clock {
 public:
  env::MonotonicTime Now() const override { return env::MonotonicTime(std::chrono::hours(1)); }
  int64_t WallTimeNs() const override { return 1'767'323'045'000'000'000; }
};

class Chain : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/leat-credentials-test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    home_ = name;
    environment_["HOME"] = home_;
    std::filesystem::create_directory(home_ + "/.aws");
  }
  void TearDown() override { std::filesystem::remove_all(home_); }
  void Write(const std::string& file, const std::string& text) { std::ofstream(home_ + "/.aws/" + file) << text; }
  Result<std::shared_ptr<const Credentials>> Fetch(const std::string& profile = "") {
    S3Options options;
    options.bucket = "bkt";
    options.profile = profile;
    options.metadata_service = false;
    const auto settings = ResolveS3Settings(options, environment_);
    if (!settings) return Fail(settings.error());
    return CredentialChain(*settings, environment_, clock_).Fetch(0);
  }

  std::string home_;
  Environment environment_;
  StillClock clock_;
};

TEST_F(Chain, AProfileThatNeedsWhatLeatDoesNotReadStopsTheSearch) {
  // A container's credentials are at hand, and are another identity.
  environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1:1/";
  for (const std::string key : {"role_arn", "credential_process", "sso_session", "web_identity_token_file"}) {
    Write("config", "[profile prod]\nregion = eu-west-1\n" + key + " = x\n");
    const auto by_option = Fetch("prod");
    ASSERT_FALSE(by_option);
    EXPECT_EQ(by_option.error().message,
              "profile 'prod' uses " + key +
                  ", which Leat does not read yet; export keys with: aws configure export-credentials --profile prod "
                  "--format env");
    environment_["AWS_PROFILE"] = "prod";
    EXPECT_EQ(Fetch().error().message, by_option.error().message);
    environment_.erase("AWS_PROFILE");
  }
  Write("credentials", "[prod]\naws_access_key_id = AKPROD\naws_secret_access_key = s\n");
  EXPECT_EQ((*Fetch("prod"))->access_key_id, "AKPROD");
}

TEST_F(Chain, AProfileOfTheEnvironmentMustExist) {
  environment_["AWS_PROFILE"] = "nobody";
  EXPECT_THAT(Fetch().error().message, HasSubstr("profile 'nobody' is in neither"));
}

TEST_F(Chain, AWebIdentityStopsTheSearchButKeysComeFirst) {
  environment_["AWS_WEB_IDENTITY_TOKEN_FILE"] = "/token";
  environment_["AWS_ROLE_ARN"] = "arn:aws:iam::1:role/pod";
  Write("credentials", "[default]\naws_access_key_id = AKFILE\naws_secret_access_key = s\n");
  EXPECT_THAT(Fetch().error().message, HasSubstr("AWS_WEB_IDENTITY_TOKEN_FILE"));
  environment_["AWS_ACCESS_KEY_ID"] = "AKENV";
  environment_["AWS_SECRET_ACCESS_KEY"] = "s";
  EXPECT_EQ((*Fetch())->access_key_id, "AKENV");
}

TEST_F(Chain, AContainerEndpointThatFailsSaysWhy) {
  environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1:1/";
  EXPECT_THAT(Fetch().error().message, HasSubstr("the container's credential endpoint http://127.0.0.1:1/ gives no"));
  environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://example.com/";
  EXPECT_THAT(Fetch().error().message, HasSubstr("not allowed over http"));
}

TEST_F(Chain, TheReasonOfTheMetadataServiceReachesTheMessage) {
  environment_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:1";
  S3Options options;
  options.bucket = "bkt";
  const auto fetched = CredentialChain(*ResolveS3Settings(options, environment_), environment_, clock_).Fetch(0);
  ASSERT_FALSE(fetched);
  EXPECT_THAT(fetched.error().message, HasSubstr("metadata service (no token: "));
}

}  // namespace
}  // namespace leat::s3
