// SPDX-License-Identifier: Apache-2.0
#include "s3/config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace leat::s3 {
namespace {

class Config : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/leat-config-test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    home_ = name;
    environment_["HOME"] = home_;
    std::filesystem::create_directory(home_ + "/.aws");
  }
  void TearDown() override { std::filesystem::remove_all(home_); }
  void WriteConfig(const std::string& text) { std::ofstream(home_ + "/.aws/config") << text; }
  S3Settings Resolve(S3Options options = {}) {
    if (options.bucket.empty()) options.bucket = "bkt";
    return *ResolveS3Settings(options, environment_);
  }

  std::string home_;
  Environment environment_;
};

TEST_F(Config, EachSourceOfTheEndpointBeatsTheNext) {
  WriteConfig(
      "[default]\nregion = eu-north-1\nendpoint_url = http://profile\nservices = lab\n[services lab]\ns3 =\n  "
      "endpoint_url = http://services\n");
  EXPECT_EQ(Resolve().Endpoint(), "http://services");
  environment_["AWS_ENDPOINT_URL"] = "http://general/";
  EXPECT_EQ(Resolve().Endpoint(), "http://general");
  environment_["AWS_ENDPOINT_URL_S3"] = "http://specific:80";
  EXPECT_EQ(Resolve().Endpoint(), "http://specific");
  EXPECT_EQ(Resolve({.endpoint_url = "https://option:9000"}).Endpoint(), "https://option:9000");
  EXPECT_EQ(Resolve().base_path, "/bkt");
  environment_["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "true";
  EXPECT_EQ(Resolve().Endpoint(), "https://bkt.s3.eu-north-1.amazonaws.com");
}

TEST_F(Config, EachSourceOfTheRegionBeatsTheNext) {
  EXPECT_EQ(Resolve().region, "us-east-1");
  WriteConfig("[default]\nregion=r-profile\n[profile  other]\nregion=r-other\n");
  EXPECT_EQ(Resolve().region, "r-profile");
  environment_["AWS_PROFILE"] = "other";
  EXPECT_EQ(Resolve().region, "r-other");
  environment_["AWS_DEFAULT_REGION"] = "r-default";
  EXPECT_EQ(Resolve().region, "r-default");
  environment_["AWS_REGION"] = "r-region";
  EXPECT_EQ(Resolve().region, "r-region");
  EXPECT_EQ(Resolve({.region = "r-option"}).region, "r-option");
}

TEST_F(Config, AddressingAtAws) {
  EXPECT_EQ(Resolve({.bucket = "plain"}).authority, "plain.s3.us-east-1.amazonaws.com");
  EXPECT_EQ(Resolve({.bucket = "with.dot"}).authority, "s3.us-east-1.amazonaws.com");
  EXPECT_EQ(Resolve({.bucket = "with.dot"}).base_path, "/with.dot");
  EXPECT_EQ(Resolve({.bucket = "Upper"}).base_path, "/Upper");
  EXPECT_EQ(WithRegion(Resolve({.bucket = "plain"}), "eu-west-1").authority, "plain.s3.eu-west-1.amazonaws.com");
  EXPECT_EQ(WithRegion(Resolve({.bucket = "plain"}), "x.evil.com/").authority, "plain.s3.us-east-1.amazonaws.com");
}

TEST_F(Config, ProxyAndCertificatesAreTheMounts) {
  EXPECT_EQ(Resolve().proxy, "");
  EXPECT_EQ(Resolve().ca_bundle, "");
  environment_ = {{"HOME", home_},          {"HTTPS_PROXY", "http://upper:1"}, {"HTTP_PROXY", "http://plain:1"},
                  {"NO_PROXY", "internal"}, {"SSL_CERT_FILE", "/ssl.pem"},     {"SSL_CERT_DIR", "/certs"}};
  EXPECT_EQ(Resolve().proxy, "http://upper:1");
  EXPECT_EQ(Resolve({.endpoint_url = "http://host"}).proxy, "http://plain:1");
  EXPECT_EQ(Resolve().no_proxy, "internal");
  EXPECT_EQ(Resolve().ca_bundle, "/ssl.pem");
  EXPECT_EQ(Resolve().ca_directory, "/certs");
  environment_["https_proxy"] = "http://lower:1";
  environment_["CURL_CA_BUNDLE"] = "/curl.pem";
  EXPECT_EQ(Resolve().proxy, "http://lower:1");
  EXPECT_EQ(Resolve().ca_bundle, "/curl.pem");
  environment_["AWS_CA_BUNDLE"] = "~/aws.pem";
  EXPECT_EQ(Resolve().ca_bundle, home_ + "/aws.pem");
}

TEST_F(Config, RefusalsNameTheSource) {
  environment_["AWS_ENDPOINT_URL"] = "localhost:9000";
  const auto settings = ResolveS3Settings({.bucket = "bkt"}, environment_);
  ASSERT_FALSE(settings);
  EXPECT_NE(settings.error().message.find("AWS_ENDPOINT_URL"), std::string::npos);
  const auto profile = ResolveS3Settings({.bucket = "bkt", .profile = "nobody"}, environment_);
  ASSERT_FALSE(profile);
  EXPECT_NE(profile.error().message.find("nobody"), std::string::npos);
}

}  // namespace
}  // namespace leat::s3
