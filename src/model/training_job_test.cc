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
    "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1},
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
        Refusal{"/AlgorithmSpecification/TrainingImage", "7", "must be text of 0 to 255 characters"},
        Refusal{"/AlgorithmSpecification/TrainingImage", "\"--privileged\"", "must be an image as podman names it"},
        Refusal{"/AlgorithmSpecification/TrainingImage", "\"img 1\"", "must be an image as podman names it"},
        Refusal{"/AlgorithmSpecification/TrainingImage", "\"oci:/tmp/image\"", "must be an image as podman names it"},
        Refusal{"/AlgorithmSpecification/AlgorithmName", "\"xgboost\"", "are not here; use TrainingImage"},
        Refusal{"/AlgorithmSpecification/TrainingInputMode", "\"Tape\"", "must be one of File, FastFile, Pipe"},
        Refusal{"/AlgorithmSpecification/TrainingInputMode", "\"Pipe\"", "a FileSystemDataSource needs File"},
        Refusal{"/InputDataConfig/1/InputMode", "\"FastFile\"", "a FileSystemDataSource needs File"},
        Refusal{"/InputDataConfig/0/CompressionType", "\"Gzip\"", "needs InputMode Pipe"},
        Refusal{"/InputDataConfig/0/RecordWrapperType", "\"RecordIO\"", "needs InputMode Pipe"},
        Refusal{"/InputDataConfig/0/ShuffleConfig", "{}", "ShuffleConfig.Seed is missing"},
        Refusal{"/InputDataConfig/0/ShuffleConfig", "{\"Seed\": 1.5}", "a whole number from"},
        Refusal{"/InputDataConfig/0/DataSource/S3DataSource/S3DataType", "\"Converse\"", "without a script"},
        Refusal{"/InputDataConfig/0/DataSource/S3DataSource/AttributeNames", "[\"a\"]", "needs S3DataType Augmented"},
        Refusal{"/InputDataConfig/0/DataSource/S3DataSource/S3DataDistributionType", "\"Some\"", "must be one of"},
        Refusal{"/InputDataConfig/0/DataSource/S3DataSource/S3Uri", "\"http://x\"", "must be s3://bucket/prefix"},
        Refusal{"/InputDataConfig/0/ChannelName", "\"..\"", "name a directory"},
        Refusal{"/InputDataConfig/1/DataSource/FileSystemDataSource/FileSystemAccessMode", "\"rw\"",
                "writable mounts do"},
        Refusal{"/InputDataConfig/1/DataSource/FileSystemDataSource/DirectoryPath", "\"/a/../..\"", "'..'"},
        Refusal{"/InputDataConfig/1/DataSource/S3DataSource", "{}", "exactly one of"},
        Refusal{"/ResourceConfig/InstanceCount", "17", "from 1 to 16: the hosts of a job share this machine"},
        Refusal{"/ResourceConfig/InstanceCount", "0", "from 1 to 16"},
        Refusal{"/ResourceConfig/InstanceGroups", "[]", "heterogeneous clusters are not supported"},
        Refusal{"/ResourceConfig/InstanceType", "\"foo bar\"", "must be one of the service's"},
        Refusal{"/ResourceConfig/VolumeSizeInGB", "-7", "a whole number from 1"},
        Refusal{"/StoppingCondition/MaxPendingTimeInSeconds", "-5", "a whole number from 7200 to 2419200"},
        Refusal{"/RoleArn", "5", "must be text of 0 to 2048 characters"},
        Refusal{"/Tags", "\"x\"", "must be a list of 0 to 50 items"},
        Refusal{"/Tags", "[{\"Value\": \"v\"}]", "Tags[0].Key is missing"},
        Refusal{"/VpcConfig", "[]", "must be an object"},
        Refusal{"/VpcConfig", "{\"Subnets\": []}", "must be a list of 1 to 16 items"},
        Refusal{"/AlgorithmSpecification/TrainingImageConfig", "{\"TrainingRepositoryAccessMode\": \"Own\"}",
                "must be one of Platform, Vpc"},
        Refusal{"/EnableManagedSpotTraining", "true", "MaxWaitTimeInSeconds is missing"},
        Refusal{"/EnableManagedSpotTraining", "\"yes\"", "must be true or false"},
        Refusal{"/RetryStrategy", "{}", "MaximumRetryAttempts is missing"},
        Refusal{"/RetryStrategy", "{\"MaximumRetryAttempts\": 31}", "a whole number from 1 to 30"},
        Refusal{"/CheckpointConfig", "{\"S3Uri\": \"http://c\"}", "must be s3://bucket/prefix"},
        Refusal{"/StoppingCondition/MaxRuntimeInSeconds", "0", "a whole number from 1"},
        Refusal{"/StoppingCondition/MaxRuntimeInSeconds", "18446744073709551615", "a whole number from 1"},
        Refusal{"/Environment", "{\"1A\": \"x\"}", "the key must match"},
        Refusal{"/InputDataConfig", "[]", "1 to 20 items"}));

TEST(TrainingJob, MisspeltMembersAreToldHoweverDeepTheyAre) {
  Json request = Valid();
  request["StoppingCondition"] = {{"MaxRunTimeInSeconds", 60}};
  request["InputDataConfig"][1]["DataSource"]["FileSystemDataSource"]["Mode"] = "ro";
  request["AlgorithmSpecification"]["MetricDefinitions"][0]["Regexp"] = "x";
  request["Environment"] = {{"Anything", "goes"}};
  const auto check = CheckTrainingJob(request);
  EXPECT_THAT(check.problems, IsEmpty());
  EXPECT_THAT(
      check.job.warnings,
      ElementsAre("'AlgorithmSpecification.MetricDefinitions[0].Regexp' is no member of CreateTrainingJob and is "
                  "ignored; is Regex meant?",
                  "'InputDataConfig[1].DataSource.FileSystemDataSource.Mode' is no member of CreateTrainingJob and is "
                  "ignored",
                  "'StoppingCondition.MaxRunTimeInSeconds' is no member of CreateTrainingJob and is ignored; is "
                  "MaxRuntimeInSeconds meant?"));
}

// All that the service's contract names.
TEST(TrainingJob, MembersOfTheContractAreKnownWhetherUsedOrNot) {
  Json request = Valid();
  request.update(Json::parse(R"json({
    "RoleArn": "arn:aws:iam::123456789012:role/SM", "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["s-1"]},
    "Tags": [{"Key": "k", "Value": "v"}], "ProfilerConfig": {"DisableProfiler": true}, "InfraCheckConfig": {},
    "SessionChainingConfig": {}, "ExperimentConfig": {"TrialName": "t"},
    "CheckpointConfig": {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/checkpoints"},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxPendingTimeInSeconds": 7200}})json"));
  request["AlgorithmSpecification"].update(Json::parse(
      R"({"EnableSageMakerMetricsTimeSeries": true, "TrainingImageConfig": {"TrainingRepositoryAccessMode": "Vpc"}, "AlgorithmName": null,
                      "ContainerArguments": ["a"]})"));
  request["ResourceConfig"].update(Json::parse(
      R"({"VolumeKmsKeyId": "k", "KeepAlivePeriodInSeconds": 0, "TrainingPlanArn": "a", "InstancePlacementConfig": {}})"));
  request["OutputDataConfig"]["KmsKeyId"] = "k";
  request["InputDataConfig"][0]["DataSource"]["S3DataSource"].update(Json::parse(
      R"({"AttributeNames": [], "InstanceGroupNames": [], "ModelAccessConfig": {}, "HubAccessConfig": {}})"));
  EXPECT_THAT(CheckTrainingJob(request).job.warnings, testing::Each(testing::Not(HasSubstr("is no member of"))));
}

TEST(TrainingJob, LimitsCountCharacters) {
  Json request = Valid();
  const auto repeated = [](const std::string& text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all;
  };
  const std::string character = "\xe6\xbc\xa2";
  request["HyperParameters"][repeated(character, 256)] = repeated(character, 2500);
  request["AlgorithmSpecification"]["MetricDefinitions"][0]["Regex"] = repeated(character, 498) + "()";
  request["AlgorithmSpecification"]["ContainerArguments"] = {repeated(character, 256)};
  EXPECT_THAT(PathsOf(request), IsEmpty());
  request["HyperParameters"] = {{"sagemaker_program", "t.py"}, {"a", repeated(character, 2501)}};
  EXPECT_THAT(PathsOf(request), ElementsAre("HyperParameters[\"a\"]"));
}

TEST(TrainingJob, WhatANameOrAValueOfAHyperparameterCannotHold) {
  Json request = Valid();
  Json& parameters = request["HyperParameters"];
  parameters["a\nb"] = "1";
  parameters[std::string("c\0d", 3)] = "1";
  parameters["e"] = std::string("1\0", 2);
  EXPECT_EQ(PathsOf(request).size(), 3u);
  request = Valid();
  request["HyperParameters"]["f=g"] = "1";
  EXPECT_THAT(PathsOf(request), IsEmpty());
  EXPECT_THAT(CheckTrainingJob(request).job.warnings, ElementsAre(HasSubstr("f=g has no SM_HP_ variable")));
}

TEST(TrainingJob, AnAddressOnTheWebIsAnsweredWithItsS3Form) {
  const std::pair<const char*, const char*> forms[] = {
      {"https://my-bucket.s3.eu-west-1.amazonaws.com/train/a", "; here perhaps s3://my-bucket/train/a"},
      {"https://my.bucket.s3-us-west-2.amazonaws.com", "; here perhaps s3://my.bucket/"},
      {"https://s3.eu-west-1.amazonaws.com/my-bucket/train", "; here perhaps s3://my-bucket/train"},
      {"http://127.0.0.1:9000/data/train/", "; here perhaps s3://data/train/"},
      {"https://host", "must be s3://bucket/prefix or file:///directory"},
      {"ftp://host/data", "must be s3://bucket/prefix or file:///directory"}};
  for (const auto& [uri, rule] : forms) {
    Json request = Valid();
    request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"] = uri;
    const auto problems = CheckTrainingJob(request).problems;
    ASSERT_EQ(problems.size(), 1u);
    EXPECT_THAT(problems[0].rule, testing::EndsWith(rule));
  }
  Json request = Valid();
  request["OutputDataConfig"]["S3OutputPath"] = "https://s3.amazonaws.com/b/out";
  EXPECT_THAT(CheckTrainingJob(request).problems.at(0).rule, HasSubstr("s3://b/out"));
  std::string key;
  for (int i = 0; i < 342; ++i) key += "\xe6\xbc\xa2";  // 1,026 bytes
  request["OutputDataConfig"]["S3OutputPath"] = "s3://b/" + key;
  EXPECT_THAT(CheckTrainingJob(request).problems.at(0).rule, HasSubstr("1,024 bytes"));
}

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
  request["EnableManagedSpotTraining"] = false;
  request["EnableNetworkIsolation"] = false;
  request["EnableInterContainerTrafficEncryption"] = true;
  request["StoppingCondition"]["MaxWaitTimeInSeconds"] = 1;
  request["RetryStrategy"] = {{"MaximumRetryAttempts", 2}};
  request["TensorBoardOutputConfig"] = {{"S3OutputPath", "s3://b/t"}};
  request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = 0;
  request["ResourceConfig"]["VolumeSizeInGB"] = 30;
  request["StoppingCondition"]["MaxPendingTimeInSeconds"] = 7200;
  request["ProfilerConfig"] = {{"DisableProfiler", true}};
  request["AlgorithmSpecification"]["TrainingImageConfig"] = {{"TrainingRepositoryAccessMode", "Vpc"}};
  request["OutputDataConfig"]["KmsKeyId"] = "";
  request["InputDataConfig"][0]["ShuffleConfig"] = {{"Seed", 1}};
  request["HyperParameters"]["sagemaker_mpi_enabled"] = "true";
  request["HyperParameters"]["sagemaker_parameter_server_enabled"] = "false";
  EXPECT_THAT(
      CheckTrainingJob(request).job.warnings,
      ElementsAre("StoppingCondition.MaxWaitTimeInSeconds is used with EnableManagedSpotTraining only, and ignored",
                  "accepted, but not used in this version of Leat: EnableInterContainerTrafficEncryption, "
                  "TensorBoardOutputConfig, ProfilerConfig, AlgorithmSpecification.TrainingImageConfig, "
                  "StoppingCondition.MaxPendingTimeInSeconds, "
                  "InputDataConfig[0].ShuffleConfig",
                  HasSubstr("sagemaker_mpi_enabled is not used")));
}

TEST(TrainingJob, WhereCheckpointsLie) {
  const auto job_of = [](const Json& config) {
    Json request = Valid();
    request["CheckpointConfig"] = config;
    const auto check = CheckTrainingJob(request);
    EXPECT_THAT(check.problems, IsEmpty());
    return check.job;
  };
  const auto path_of = [&](const Json& config) {
    const TrainingJob job = job_of(config);
    EXPECT_EQ(job.warnings.size(), 1u);
    return job.checkpoint_path;
  };
  EXPECT_EQ(CheckTrainingJob(Valid()).job.checkpoint_path, "");
  const TrainingJob in_s3 = job_of({{"S3Uri", "s3://b/c/"}});
  EXPECT_EQ(in_s3.checkpoint_path, "checkpoints");
  EXPECT_EQ(in_s3.checkpoint_uri, "s3://b/c");
  EXPECT_THAT(in_s3.warnings, IsEmpty());
  EXPECT_EQ(job_of({{"S3Uri", "file:///c//"}}).checkpoint_uri, "file:///c");
  EXPECT_EQ(job_of({{"S3Uri", "s3://b/"}}).checkpoint_uri, "s3://b");
  EXPECT_EQ(path_of({{"LocalPath", "/opt/ml/a/./b/"}}), "a/b");
  for (const char* other : {"/tmp/c", "/opt/ml", "/opt/ml/", "/opt/ml/../x", "/opt/ml/model", "/opt/ml/input/data/c"}) {
    Json request = Valid();
    request["CheckpointConfig"] = {{"S3Uri", "s3://b/c"}, {"LocalPath", other}};
    const auto problems = CheckTrainingJob(request).problems;
    ASSERT_EQ(problems.size(), 1u) << other;
    EXPECT_THAT(problems[0].ToString(), HasSubstr("use /opt/ml/checkpoints"));
  }
}

TEST(TrainingJob, ReadsWhatAChannelIs) {
  Json request = Valid();
  request["AlgorithmSpecification"]["TrainingInputMode"] = "Pipe";
  request["InputDataConfig"] = Json::parse(R"json([
    {"ChannelName": "a", "CompressionType": "Gzip", "RecordWrapperType": "RecordIO", "ShuffleConfig": {"Seed": -5},
     "DataSource": {"S3DataSource": {"S3DataType": "AugmentedManifestFile", "S3Uri": "s3://b/m.jsonl",
       "S3DataDistributionType": "ShardedByS3Key", "AttributeNames": ["image-ref", "class"]}}},
    {"ChannelName": "b", "InputMode": "File",
     "DataSource": {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "file:///d/m.json"}}},
    {"ChannelName": "c", "InputMode": "FastFile",
     "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/p/"}}}])json");
  request["ResourceConfig"]["InstanceCount"] = 16;
  const auto check = CheckTrainingJob(request);
  EXPECT_THAT(check.problems, IsEmpty()) << StatusOf(check.problems, "request").error().message;
  EXPECT_THAT(check.job.warnings, IsEmpty());
  EXPECT_EQ(check.job.instance_count, 16u);
  const Channel &a = check.job.channels[0], &b = check.job.channels[1], &c = check.job.channels[2];
  EXPECT_EQ(a.input_mode, InputMode::kPipe);
  EXPECT_TRUE(a.is_gzip && a.is_record_io);
  EXPECT_EQ(a.shuffle_seed, -5);
  EXPECT_EQ(a.s3->type, S3DataType::kAugmentedManifest);
  EXPECT_TRUE(a.s3->is_sharded);
  EXPECT_THAT(a.s3->attribute_names, ElementsAre("image-ref", "class"));
  EXPECT_EQ(b.input_mode, InputMode::kFile);
  EXPECT_EQ(b.s3->type, S3DataType::kManifest);
  EXPECT_FALSE(b.is_gzip || b.is_record_io || b.s3->is_sharded || b.shuffle_seed);
  EXPECT_EQ(c.input_mode, InputMode::kFastFile);
}

TEST(TrainingJob, WhatGoesTogetherInAChannel) {
  Json request = Valid();
  Json& channel = request["InputDataConfig"][0];
  Json& source = channel["DataSource"]["S3DataSource"];
  source["S3DataType"] = "AugmentedManifestFile";
  channel["InputMode"] = "FastFile";
  channel["CompressionType"] = "Gzip";
  EXPECT_THAT(PathsOf(request), ElementsAre("InputDataConfig[0].DataSource.S3DataSource.AttributeNames",
                                            "InputDataConfig[0].CompressionType", "InputDataConfig[0].InputMode"));
  channel.erase("CompressionType");
  source["AttributeNames"] = {"a-ref", ""};
  EXPECT_THAT(PathsOf(request), ElementsAre("InputDataConfig[0].DataSource.S3DataSource.AttributeNames[1]",
                                            "InputDataConfig[0].InputMode"));
  source.erase("AttributeNames");
  source["S3DataType"] = "ManifestFile";
  EXPECT_THAT(PathsOf(request), ElementsAre("InputDataConfig[0].InputMode"));
  channel["InputMode"] = "Pipe";
  EXPECT_THAT(PathsOf(request), IsEmpty());
  source["S3Uri"] = "s3://b";
  EXPECT_THAT(PathsOf(request), ElementsAre("InputDataConfig[0].DataSource.S3DataSource.S3Uri"));
  source["S3Uri"] = "s3://b/m/";
  EXPECT_THAT(PathsOf(request), ElementsAre("InputDataConfig[0].DataSource.S3DataSource.S3Uri"));
  source["S3Uri"] = "s3://b/m";
  request["InputDataConfig"][1]["ChannelName"] = "train_0";  // where a pipe of the other will be
  EXPECT_THAT(PathsOf(request), ElementsAre("InputDataConfig[1].ChannelName"));
  request["InputDataConfig"][1]["ChannelName"] = "train_x";
  EXPECT_THAT(PathsOf(request), IsEmpty());
  source["S3DataType"] = "S3Prefix";
  source["S3DataDistributionType"] = "ShardedByS3Key";
  channel["InputMode"] = "FastFile";
  EXPECT_THAT(PathsOf(request), IsEmpty());
  request["ResourceConfig"]["InstanceCount"] = 2;
  EXPECT_THAT(PathsOf(request), ElementsAre("InputDataConfig[0].DataSource.S3DataSource.S3DataDistributionType"));
}

TEST(TrainingJob, SpotAndRetries) {
  Json request = Valid();
  request["EnableManagedSpotTraining"] = true;
  request["StoppingCondition"]["MaxWaitTimeInSeconds"] = 3600;
  request["RetryStrategy"] = {{"MaximumRetryAttempts", 30}};
  const auto check = CheckTrainingJob(request);
  EXPECT_THAT(check.problems, IsEmpty());
  EXPECT_THAT(check.job.warnings, IsEmpty());
  EXPECT_EQ(check.job.max_wait_s, 3600);
  EXPECT_EQ(check.job.retry_attempts_max, 30u);
  request["StoppingCondition"]["MaxWaitTimeInSeconds"] = 3599;
  EXPECT_THAT(PathsOf(request), ElementsAre("StoppingCondition.MaxWaitTimeInSeconds"));
  request["StoppingCondition"] = {{"MaxWaitTimeInSeconds", 3600}};  // MaxRuntimeInSeconds is a day then
  EXPECT_THAT(PathsOf(request), ElementsAre("StoppingCondition.MaxWaitTimeInSeconds"));
  request.erase("StoppingCondition");
  EXPECT_THAT(PathsOf(request), ElementsAre("StoppingCondition.MaxWaitTimeInSeconds"));
}

TEST(TrainingJob, AHugeRequestIsToldInAFewLines) {
  Json request = Valid();
  request["HyperParameters"][std::string(10 << 20, 'k')] = std::string(10 << 20, 'v');
  request[std::string(10 << 20, 'm')] = 1;
  auto check = CheckTrainingJob(request);
  EXPECT_FALSE(check.problems.empty());
  EXPECT_LT(StatusOf(check.problems, "request").error().message.size(), 1000u);
  EXPECT_LT(check.job.warnings[0].size(), 200u);
  for (int i = 0; i < 1000; ++i) {
    request["HyperParameters"]["n" + std::to_string(i)] = i;
    request["X" + std::to_string(i)] = i;
  }
  check = CheckTrainingJob(request);
  EXPECT_EQ(check.problems.size(), 1u);
  EXPECT_EQ(check.job.warnings.size(), 21u);
}

TEST(TrainingJob, AnImageHasItsOwnProgram) {
  Json request = Valid();
  request.erase("HyperParameters");
  for (const char* image : {"img", "img:1", "localhost:5000/team/img_x:1.0", "registry.example/img@sha256:0123abcd"}) {
    request["AlgorithmSpecification"]["TrainingImage"] = image;
    const auto check = CheckTrainingJob(request);
    EXPECT_THAT(PathsOf(request), IsEmpty()) << image;
    EXPECT_EQ(check.job.training_image, image);
  }
  request["AlgorithmSpecification"]["TrainingImage"] = "";
  EXPECT_THAT(PathsOf(request), ElementsAre("AlgorithmSpecification"));
  request = Valid();
  request["AlgorithmSpecification"]["TrainingImage"] = "img";
  request["AlgorithmSpecification"]["ContainerEntrypoint"] = {"/bin/sh"};
  for (const auto& warning : CheckTrainingJob(request).job.warnings)
    EXPECT_THAT(warning, testing::Not(HasSubstr("ContainerEntrypoint")));
}

TEST(TrainingJob, OnlyContainersAreIsolatedFromTheNetwork) {
  Json request = Valid();
  request["EnableNetworkIsolation"] = true;
  EXPECT_FALSE(CheckTrainingJob(request).job.network_isolation);
  EXPECT_THAT(CheckTrainingJob(request).job.warnings, testing::Contains(HasSubstr("EnableNetworkIsolation")));
  request["AlgorithmSpecification"]["TrainingImage"] = "img";
  EXPECT_TRUE(CheckTrainingJob(request).job.network_isolation);
  EXPECT_THAT(CheckTrainingJob(request).job.warnings,
              testing::Not(testing::Contains(HasSubstr("EnableNetworkIsolation"))));
  request["ResourceConfig"]["InstanceCount"] = 2;
  EXPECT_THAT(PathsOf(request), ElementsAre("EnableNetworkIsolation"));
  request["EnableNetworkIsolation"] = false;
  EXPECT_THAT(PathsOf(request), IsEmpty());
  EXPECT_FALSE(CheckTrainingJob(request).job.network_isolation);
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
