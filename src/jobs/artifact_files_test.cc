// SPDX-License-Identifier: Apache-2.0
#include "jobs/artifact_files.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "base/file.h"
#include "jobs/jobs_testing.h"
#include "jobs/transfer.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;

TEST(ArtifactFiles, LinksGoAsTheFilesThatTheyLeadTo) {
  const TestDirectory state;
  const std::string model = state.path() + "/ml/model";
  ASSERT_TRUE(CreateDirectories(model + "/step-7"));
  ASSERT_TRUE(WriteFileAtomically(model + "/step-7/w", "weights", 0644, false));
  ASSERT_TRUE(WriteFileAtomically(state.path() + "/secret", "no", 0644, false));
  fs::create_symlink("step-7/w", model + "/best");
  fs::create_symlink("/opt/ml/model/step-7/w", model + "/latest");
  fs::create_symlink("step-7", model + "/directory");
  fs::create_symlink("../../secret", model + "/out");
  fs::create_symlink("nothing", model + "/dangling");
  ASSERT_EQ(mkfifo((model + "/pipe").c_str(), 0600), 0);
  Buckets buckets;
  EXPECT_EQ(UploadDirectory(buckets, model, "s3://bucket/m", false, {}).value(), "s3://bucket/m/");
  const std::map<std::string, std::string> uploaded = {
      {"m/step-7/w", "weights"}, {"m/best", "weights"}, {"m/latest", "weights"}};
  EXPECT_EQ(buckets.bucket().Contents(), uploaded);
  EXPECT_THAT(ArtifactFilesIn(model)->left_out, testing::UnorderedElementsAre("directory", "out", "dangling", "pipe"));
}

TEST(ArtifactFiles, AFewNamesAreTold) {
  EXPECT_EQ(LeftOutText("/opt/ml/model", {}), "");
  EXPECT_THAT(LeftOutText("/opt/ml/model", {"a", "b"}), testing::HasSubstr("/opt/ml/model: a, b (no"));
  EXPECT_THAT(LeftOutText("/opt/ml/model", std::vector<std::string>(12, "a")), testing::HasSubstr("a and 2 more ("));
}

}  // namespace
}  // namespace leat::jobs
