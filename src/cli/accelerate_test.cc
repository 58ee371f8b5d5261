// SPDX-License-Identifier: Apache-2.0
#include "cli/accelerate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace leat::cli {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

Json S3Channel(const std::string& uri) {
  return {{"ChannelName", "c"}, {"DataSource", {{"S3DataSource", {{"S3DataType", "S3Prefix"}, {"S3Uri", uri}}}}}};
}

Json JobOf(const Json& channel, const std::string& mode = "File") {
  return {{"AlgorithmSpecification", {{"TrainingInputMode", mode}}}, {"InputDataConfig", {channel}}};
}

AcceleratedRequest AcceleratedIf(const Json& request, Result<bool> is_folder = false) {
  return AccelerateChannels(request, [&](const std::string&) { return is_folder; });
}

TEST(AccelerateTest, FileModePrefixesBecomeMounts) {
  for (const char* uri : {"s3://bkt/p/", "s3://bkt", "s3://bkt/", "file:///srv/data"}) {
    const auto result = AcceleratedIf(JobOf(S3Channel(uri)));
    EXPECT_EQ(result.request["InputDataConfig"][0]["DataSource"], MountedSource(uri, "/"));
    EXPECT_TRUE(result.warnings.empty());
  }
  const auto folder = AcceleratedIf(JobOf(S3Channel("s3://bkt/p/train")), true);
  EXPECT_EQ(folder.request["InputDataConfig"][0]["DataSource"], MountedSource("s3://bkt/p/train", "/"));
  Json own = S3Channel("s3://bkt/p/");
  own["InputMode"] = "File";
  own["ContentType"] = "text/csv";
  const Json channel = AcceleratedIf(JobOf(own, "Pipe")).request["InputDataConfig"][0];
  EXPECT_EQ(channel["DataSource"], MountedSource("s3://bkt/p/", "/"));
  EXPECT_EQ(channel["InputMode"], "File");
  EXPECT_EQ(channel["ContentType"], "text/csv");
}

TEST(AccelerateTest, PrefixesThatNameNoFolderStayAndAreTold) {
  const Json request = JobOf(S3Channel("s3://bkt/p/train"));
  auto result = AcceleratedIf(request, false);
  EXPECT_EQ(result.request, request);
  ASSERT_EQ(result.warnings.size(), 1u);
  EXPECT_THAT(result.warnings[0],
              HasSubstr("channel c is copied as before, s3://bkt/p/train: it does not name a folder"));
  result = AcceleratedIf(request, Fail(ErrorCode::kDenied, "access denied"));
  EXPECT_EQ(result.request, request);
  EXPECT_THAT(result.warnings[0], HasSubstr("access denied"));
}

TEST(AccelerateTest, WhatIsNoFileModePrefixStaysUntold) {
  Json manifest = S3Channel("s3://bkt/m");
  manifest["DataSource"]["S3DataSource"]["S3DataType"] = "ManifestFile";
  Json fast = S3Channel("s3://bkt/p/");
  fast["InputMode"] = "FastFile";
  const Json mounted = {{"ChannelName", "c"}, {"DataSource", MountedSource("fs-1", "/")}};
  for (const Json& request :
       {JobOf(manifest), JobOf(fast), JobOf(mounted), JobOf(S3Channel("s3://bkt/p/"), "Pipe"), JobOf(5),
        JobOf({{"DataSource", 3}}), Json::object(), Json(), Json{{"InputDataConfig", 1}}}) {
    const auto result = AcceleratedIf(request, true);
    EXPECT_EQ(result.request, request);
    EXPECT_TRUE(result.warnings.empty());
  }
}

TEST(AccelerateTest, AShareOfAHostCannotBeMounted) {
  Json channel = S3Channel("s3://bkt/p/");
  channel["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key";
  Json request = JobOf(channel);
  EXPECT_EQ(AcceleratedIf(request).request["InputDataConfig"][0]["DataSource"], MountedSource("s3://bkt/p/", "/"));
  request["ResourceConfig"]["InstanceCount"] = 2;
  const auto result = AcceleratedIf(request);
  EXPECT_EQ(result.request, request);
  EXPECT_THAT(result.warnings.at(0), HasSubstr("ShardedByS3Key"));
  request.erase("ResourceConfig");
  request["HyperParameterTuningResourceConfig"] = {{"InstanceType", "local"}, {"InstanceCount", 2}};
  EXPECT_EQ(AcceleratedIf({{"TrainingJobDefinition", request}}).request["TrainingJobDefinition"], request);
}

TEST(AccelerateTest, DefinitionsOfATuningJobToo) {
  const Json job = JobOf(S3Channel("s3://bkt/p/"));
  const Json request = {{"TrainingJobDefinition", job},
                        {"TrainingJobDefinitions", {job, 7, JobOf(S3Channel("s3://other"))}}};
  const Json result = AcceleratedIf(request).request;
  EXPECT_EQ(result["TrainingJobDefinition"]["InputDataConfig"][0]["DataSource"], MountedSource("s3://bkt/p/", "/"));
  EXPECT_EQ(result["TrainingJobDefinitions"][1], 7);
  EXPECT_EQ(result["TrainingJobDefinitions"][2]["InputDataConfig"][0]["DataSource"], MountedSource("s3://other", "/"));
}

}  // namespace
}  // namespace leat::cli
