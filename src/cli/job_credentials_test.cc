// SPDX-License-Identifier: Apache-2.0
// What of a submitter's credentials reaches a job's script, and what stays on the disk.
#include "cli/job_credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/file.h"
#include "jobs/volume.h"
#include "s3/service_request.h"

namespace leat::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

class JobCredentialsTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/leat-job-credentials-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    ASSERT_TRUE(CreateDirectories(jobs::JobDirectory(directory_, "job")));
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string File() const { return jobs::JobDirectory(directory_, "job") + "/credentials-endpoint"; }
  std::vector<std::string> Public() const {
    return {"HOME=" + directory_, "AWS_REGION=eu-west-1", "AWS_EC2_METADATA_DISABLED=true"};
  }
  std::vector<std::string> WithKeys(const std::string& secret) const {
    auto variables = Public();
    variables.insert(variables.end(),
                     {"AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=" + secret, "AWS_SESSION_TOKEN=session"});
    return variables;
  }
  std::string Identity() const { return JobCredentials::IdentityIn(WithKeys("any")); }
  jobs::ScriptService::Given Begin(JobCredentials& credentials) {
    auto given = credentials.Begin();
    EXPECT_TRUE(given) << given.error().message;
    return given.value_or(jobs::ScriptService::Given{});
  }
  s3::ServiceAnswer Ask(const jobs::ScriptService::Given& given) {
    return s3::Ask({.url = given.variables.at("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
                    .headers = {"Authorization: " + given.variables.at("AWS_CONTAINER_AUTHORIZATION_TOKEN")},
                    .timeout_ms = 60'000});
  }

  std::string directory_;
};

TEST_F(JobCredentialsTest, TheNextSupervisorServesTheSameAddress) {
  std::optional<JobCredentials> first(std::in_place, directory_, "job", WithKeys("first"), Identity());
  const auto given = Begin(*first);
  EXPECT_THAT(Ask(given).body, HasSubstr("\"first\""));
  struct stat info {};
  ASSERT_EQ(stat(File().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_THAT(*ReadFile(File()), Not(HasSubstr("first")));
  first.reset();
  EXPECT_EQ(Ask(given).status, 0);

  // It has not heard of any credentials: those of the file belong to somebody else.
  std::filesystem::create_directory(directory_ + "/.aws");
  std::ofstream(directory_ + "/.aws/credentials")
      << "[default]\naws_access_key_id = AKFILE\naws_secret_access_key = s\n";
  JobCredentials second(directory_, "job", Public(), Identity());
  const auto given_again = Begin(second);
  EXPECT_EQ(given_again.variables, given.variables);
  EXPECT_THAT(given_again.warnings, IsEmpty());
  EXPECT_EQ(Ask(given).status, 503);
  second.Renew(Public());
  EXPECT_EQ(Ask(given).status, 503);
  auto of_another = WithKeys("another");
  std::ranges::replace(of_another, std::string("AWS_ACCESS_KEY_ID=AKID"), std::string("AWS_ACCESS_KEY_ID=AKADMIN"));
  second.Renew(of_another);  // who may do more, perhaps
  EXPECT_EQ(Ask(given).status, 503);
  second.Renew(WithKeys("second"));
  EXPECT_THAT(Ask(given).body, HasSubstr("\"second\""));

  JobCredentials::Remove(directory_, "job");
  EXPECT_FALSE(std::filesystem::exists(File()));
}

TEST_F(JobCredentialsTest, AnIdentityIsTheKeysElseTheProfiles) {
  EXPECT_EQ(JobCredentials::IdentityIn(Public()), "");
  EXPECT_EQ(JobCredentials::IdentityIn({"AWS_PROFILE=lab"}), "AWS_PROFILE lab");
  EXPECT_EQ(JobCredentials::IdentityIn({"AWS_PROFILE=lab", "AWS_ACCESS_KEY_ID=AKID"}), Identity());
  EXPECT_THAT(Identity(), Not(HasSubstr("AKID")));
}

TEST_F(JobCredentialsTest, AJobThatWasQueuedWhenItsSupervisorDiedTakesNobodyElses) {
  std::filesystem::create_directory(directory_ + "/.aws");
  std::ofstream(directory_ + "/.aws/credentials")
      << "[default]\naws_access_key_id = AKFILE\naws_secret_access_key = s\naws_session_token = t\n";
  JobCredentials credentials(directory_, "job", Public(), Identity());
  const auto given = Begin(credentials);
  EXPECT_THAT(given.warnings, ElementsAre(HasSubstr("not known yet")));
  EXPECT_EQ(Ask(given).status, 503);
  credentials.Renew(WithKeys("own"));
  EXPECT_THAT(Ask(given).body, HasSubstr("\"own\""));
}

TEST_F(JobCredentialsTest, CredentialsOfFilesAreFoundAgainWithoutACommand) {
  std::filesystem::create_directory(directory_ + "/.aws");
  std::ofstream(directory_ + "/.aws/credentials")
      << "[default]\naws_access_key_id = AKFILE\naws_secret_access_key = s\n"
         "aws_session_token = t\n";
  const auto given = [&] {
    JobCredentials first(directory_, "job", Public(), "");
    return Begin(first);
  }();
  JobCredentials second(directory_, "job", Public(), "");
  Begin(second);
  EXPECT_THAT(Ask(given).body, HasSubstr("AKFILE"));
}

TEST_F(JobCredentialsTest, KeysThatNobodyExchangesAreToldOf) {
  std::vector<std::string> variables = Public();
  variables.insert(variables.end(),
                   {"AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=long", "AWS_ENDPOINT_URL_S3=http://127.0.0.1:1"});
  JobCredentials credentials(directory_, "job", variables, Identity());
  const auto given = Begin(credentials);
  EXPECT_THAT(given.warnings, ElementsAre(HasSubstr("AWS_ENDPOINT_URL_STS")));
  EXPECT_THAT(given.variables, Contains(Pair("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")));  // for a container
  EXPECT_THAT(Ask(given).body, HasSubstr("\"long\""));
}

TEST_F(JobCredentialsTest, AnEndpointOfTheProfileReachesTheScript) {
  std::filesystem::create_directory(directory_ + "/.aws");
  std::ofstream(directory_ + "/.aws/config")
      << "[profile lab]\nregion = xx-lab-1\nendpoint_url = http://127.0.0.1:1/base\n"
         "aws_access_key_id = AKLAB\naws_secret_access_key = s\naws_session_token = t\n";
  JobCredentials credentials(directory_, "job",
                             {"HOME=" + directory_, "AWS_PROFILE=lab", "AWS_EC2_METADATA_DISABLED=true"},
                             "AWS_PROFILE lab");
  const auto given = Begin(credentials);
  EXPECT_THAT(given.variables, Contains(Pair("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1/base")));
  EXPECT_THAT(given.variables, Contains(Pair("S3_ENDPOINT_URL", "http://127.0.0.1:1/base")));
  EXPECT_THAT(given.variables, Contains(Pair("AWS_DEFAULT_REGION", "xx-lab-1")));
  EXPECT_THAT(Ask(given).body, HasSubstr("AKLAB"));
}

}  // namespace
}  // namespace leat::cli
