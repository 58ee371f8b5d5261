// SPDX-License-Identifier: Apache-2.0
#include "jobs/launch.h"

#include <gmock/gmock.h>

namespace leat::jobs {
namespace {

TEST(Launch, WithoutASandboxThereIsOneHost) {
  TrainingJob job;
  EXPECT_TRUE(CheckLaunch(job, false, {}));
  job.instance_count = 2;
  const Status status = CheckLaunch(job, false, {});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(status.error().message,
              testing::HasSubstr("--no-sandbox does not go with ResourceConfig.InstanceCount 2"));
}

}  // namespace
}  // namespace leat::jobs
