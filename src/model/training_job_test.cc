// SPDX-License-Identifier: Apache-2.0
#include "model/training_job.h"

#include <gmock/gmock.h>

namespace leat {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Json Valid() {
  return Json::parse(R"json({
    "TrainingJobName": "t1",
    "HyperParameters": {"sagemaker_program": "train.py", "sagemaker_submit_directory": "/code", "lr": "0.1"},
    "AlgorithmSpecification": {"TrainingInputMode": "File", "MetricDefinitions": [{"Name": "loss", "Regex": "loss=(.*)"}]},
    "InputDataConfig": [
      {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/p"}}},
      {"ChannelName": "fsx", "DataSource": {"FileSystemDataSource": {"FileSystemId": "fs-0123456789abcdef0",
        "FileSystemAccessMode": "ro", "FileSystemType": "FSxLustre", "DirectoryPath": "/m/train"}}}],
    "OutputDataConfig": {"S3OutputPath": "s3://b/out/"},
    "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600}})json");
}

std::vector<std::string> PathsOf(const Json& request) {
  std::vector<std::string> paths;
  for (const auto& problem : CheckTrainingJob(request).problems) paths.push_back(problem.path);
  return paths;
}

TEST(TrainingJob, ReadsAValidRequest) {
  const auto check = CheckTrainingJob(Valid());
  EXPECT_THAT(check.problems, IsEmpty());
  EXPECT_EQ(check.job.name, "t1");
  EXPECT_EQ(check.job.output_path, "s3://b/out");
  EXPECT_EQ(check.job.max_runtime_s, 3600);
  ASSERT_EQ(check.job.channels.size(), 2u);
  EXPECT_EQ(check.job.channels[0].s3->uri, "s3://b/p");
  EXPECT_EQ(check.job.channels[1].file_system->directory_path, "/m/train");
  EXPECT_THAT(check.job.warnings, IsEmpty());
}

TEST(TrainingJob, NamesEveryProblemAtOnce) {
  Json request = Valid();
  request["TrainingJobName"] = "-bad-";
  request["HyperParameters"]["epochs"] = 3;
  request["InputDataConfig"][1]["ChannelName"] = "train";
  request["OutputDataConfig"].erase("S3OutputPath");
  request["Colour"] = "blue";
  const auto check = CheckTrainingJob(request);
  EXPECT_THAT(PathsOf(request), ElementsAre("TrainingJobName", "HyperParameters[\"epochs\"]",
                                            "InputDataConfig[1].ChannelName", "OutputDataConfig.S3OutputPath"));
  EXPECT_THAT(check.job.warnings, ElementsAre(HasSubstr("'Colour'")));
  const std::string text = StatusOf(check.problems, "job.json").error().message;
  EXPECT_THAT(text, HasSubstr("4 problems"));
  EXPECT_THAT(text, HasSubstr("TrainingJobName = \"-bad-\": must have 1 to 63"));
  EXPECT_THAT(text, HasSubstr("OutputDataConfig.S3OutputPath is missing"));
}

struct Refusal {
  const char* pointer;
  const char* value;
  const char* rule;
};

class Refused : public testing::TestWithParam<Refusal> {};

TEST_P(Refused, SaysWhat) {
  Json request = Valid();
  request[Json::json_pointer(GetParam().pointer)] = Json::parse(GetParam().value);
  const auto check = CheckTrainingJob(request);
  ASSERT_FALSE(check.problems.empty());
  EXPECT_THAT(check.problems[0].ToString(), HasSubstr(GetParam().rule));
}

INSTANTIATE_TEST_SUITE_P(
    Requests, Refused,
    testing::Values(
        Refusal{"/AlgorithmSpecification/TrainingImage", "\"img:1\"", "containers come in a later version"},
        Refusal{"/AlgorithmSpecification/TrainingInputMode", "\"Tape\"", "must be one of File, FastFile, Pipe"},
        Refusal{"/InputDataConfig/0/InputMode", "\"FastFile\"", "comes in a later version"},
        Refusal{"/InputDataConfig/0/DataSource/S3DataSource/S3DataType", "\"ManifestFile\"", "use S3Prefix"},
        Refusal{"/InputDataConfig/0/DataSource/S3DataSource/S3Uri", "\"http://x\"", "must be s3://bucket/prefix"},
        Refusal{"/InputDataConfig/0/ChannelName", "\"..\"", "name a directory"},
        Refusal{"/InputDataConfig/1/DataSource/FileSystemDataSource/FileSystemAccessMode", "\"rw\"", "read-only"},
        Refusal{"/InputDataConfig/1/DataSource/FileSystemDataSource/DirectoryPath", "\"/a/../..\"", "'..'"},
        Refusal{"/InputDataConfig/1/DataSource/S3DataSource", "{}", "exactly one of"},
        Refusal{"/ResourceConfig/InstanceCount", "2", "several hosts"},
        Refusal{"/StoppingCondition/MaxRuntimeInSeconds", "0", "a whole number from 1"},
        Refusal{"/StoppingCondition/MaxRuntimeInSeconds", "18446744073709551615", "a whole number from 1"},
        Refusal{"/Environment", "{\"1A\": \"x\"}", "the key must match"},
        Refusal{"/InputDataConfig", "[]", "1 to 20 items"}));

TEST(TrainingJob, SomethingMustRun) {
  Json request = Valid();
  request.erase("HyperParameters");
  EXPECT_THAT(PathsOf(request), ElementsAre("AlgorithmSpecification"));
  request["AlgorithmSpecification"]["ContainerEntrypoint"] = {"/bin/sh", "-c", "true"};
  EXPECT_THAT(PathsOf(request), IsEmpty());
  EXPECT_THAT(PathsOf(Json::array()), ElementsAre("request"));
}

TEST(TrainingJob, SaysWhatIsAcceptedAndNotUsed) {
  Json request = Valid();
  request["EnableManagedSpotTraining"] = true;
  request["EnableNetworkIsolation"] = false;
  request["RetryStrategy"] = {{"MaximumRetryAttempts", 2}};
  request["TensorBoardOutputConfig"] = {{"S3OutputPath", "s3://b/t"}};
  request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = 0;
  request["OutputDataConfig"]["KmsKeyId"] = "";
  request["InputDataConfig"][0]["ShuffleConfig"] = {{"Seed", 1}};
  request["HyperParameters"]["sagemaker_mpi_enabled"] = "true";
  request["HyperParameters"]["sagemaker_parameter_server_enabled"] = "false";
  EXPECT_THAT(CheckTrainingJob(request).job.warnings,
              ElementsAre("accepted, but not used in this version of Leat: EnableManagedSpotTraining, RetryStrategy, "
                          "TensorBoardOutputConfig, InputDataConfig[0].ShuffleConfig",
                          HasSubstr("sagemaker_mpi_enabled is not used")));
}

TEST(TrainingJob, WhereCheckpointsLie) {
  const auto path_of = [](const Json& config) {
    Json request = Valid();
    request["CheckpointConfig"] = config;
    const auto check = CheckTrainingJob(request);
    EXPECT_THAT(check.problems, IsEmpty());
    EXPECT_EQ(check.job.warnings.size(), 1u);
    return check.job.checkpoint_path;
  };
  EXPECT_EQ(CheckTrainingJob(Valid()).job.checkpoint_path, "");
  EXPECT_EQ(path_of({{"S3Uri", "s3://b/c"}}), "checkpoints");
  EXPECT_EQ(path_of({{"LocalPath", "/opt/ml/a/./b/"}}), "a/b");
  for (const char* other : {"/tmp/c", "/opt/ml", "/opt/ml/", "/opt/ml/../x", "/opt/ml/model", "/opt/ml/input/data/c"}) {
    EXPECT_EQ(path_of({{"LocalPath", other}}), "") << other;
  }
}

TEST(TrainingJob, NamesOfJobs) {
  EXPECT_TRUE(IsJobName("a", 63));
  EXPECT_TRUE(IsJobName("a--b-1", 63));
  EXPECT_FALSE(IsJobName("a_b", 63));
  EXPECT_FALSE(IsJobName("a-", 63));
  EXPECT_TRUE(IsJobName(std::string(63, 'x'), 63));
  EXPECT_FALSE(IsJobName(std::string(64, 'x'), 63));
}

}  // namespace
}  // namespace leat
