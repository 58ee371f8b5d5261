// SPDX-License-Identifier: Apache-2.0
#include "jobs/credentials_wait.h"

#include <gmock/gmock.h>

#include "jobs/jobs_testing.h"

namespace leat::jobs {
namespace {

const auto kLater = std::chrono::steady_clock::now() + std::chrono::hours(1);

TEST(CredentialsWait, EndsWhenSomebodyBringsThem) {
  Buckets buckets;
  int waits = 0;
  const auto on_wait = [&] { ++waits; };
  EXPECT_TRUE(AwaitCredentials(buckets, "s3://bucket", {}, on_wait, kLater));
  EXPECT_TRUE(AwaitCredentials(buckets, "s3://none", {}, on_wait, kLater));  // its user is told
  EXPECT_EQ(waits, 0);
  buckets.has_credentials = false;
  EXPECT_TRUE(AwaitCredentials(buckets, "file:///somewhere", {}, on_wait, kLater));
  EXPECT_TRUE(AwaitCredentials(buckets, "", {}, on_wait, kLater));
  EXPECT_EQ(waits, 0);
  EXPECT_TRUE(AwaitCredentials(
      buckets, "s3://bucket", {},
      [&] {
        ++waits;
        buckets.has_credentials = true;
      },
      kLater));
  EXPECT_EQ(waits, 1);
}

TEST(CredentialsWait, IsBoundedAndCanBeStopped) {
  Buckets buckets;
  buckets.has_credentials = false;
  const Status late = AwaitCredentials(
      buckets, "s3://bucket", {}, [] {}, std::chrono::steady_clock::now());
  EXPECT_EQ(late.error().code, ErrorCode::kNoCredentials);
  EXPECT_THAT(late.error().message, testing::HasSubstr("no leat command has brought any"));
  EXPECT_EQ(AwaitCredentials(
                buckets, "s3://bucket", [] { return true; }, [] {}, kLater)
                .error()
                .code,
            ErrorCode::kCancelled);
}

TEST(CredentialsWait, LooksForABucketInAllOfTheJob) {
  TrainingJob job;
  job.output_path = "file:///out";
  EXPECT_EQ(BucketOf(job), "");
  Channel channel;
  channel.s3 = S3Source{"s3://data/set/"};
  job.channels = {channel};
  EXPECT_EQ(BucketOf(job), "s3://data");
  job.checkpoint_uri = "s3://checkpoints/a";
  EXPECT_EQ(BucketOf(job), "s3://checkpoints");
  job.output_path = "s3://out/b";
  EXPECT_EQ(BucketOf(job), "s3://out");
}

}  // namespace
}  // namespace leat::jobs
