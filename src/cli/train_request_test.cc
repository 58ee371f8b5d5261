// SPDX-License-Identifier: Apache-2.0
#include "cli/train_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/accelerate.h"
#include "model/training_job.h"

namespace leat::cli {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

// 2026-01-02 03:04:05.678 UTC
const TrainSurroundings kHere{"/state", "/home/me", 1767323045678000000};

Json Request(const TrainFlags& flags) {
  const auto request = TrainRequest(flags, kHere);
  EXPECT_TRUE(request) << request.error().message;
  if (!request) return Json::object();
  const TrainingJobCheck check = CheckTrainingJob(*request);
  for (const auto& problem : check.problems) ADD_FAILURE() << problem.ToString();
  return *request;
}

std::string Refusal(const TrainFlags& flags) {
  const auto request = TrainRequest(flags, kHere);
  if (request) return "none";
  EXPECT_EQ(request.error().code, ErrorCode::kInvalidArgument);
  return request.error().message;
}

TEST(TrainRequestTest, AScriptAloneIsAWholeRequest) {
  const Json expected = {
      {"TrainingJobName", "train-2026-01-02-03-04-05-678"},
      {"HyperParameters", {{"sagemaker_program", "train.py"}, {"sagemaker_submit_directory", "/home/me/code"}}},
      {"AlgorithmSpecification", {{"TrainingInputMode", "File"}}},
      {"OutputDataConfig", {{"S3OutputPath", "file:///state/output"}}},
      {"ResourceConfig", {{"InstanceType", "local"}, {"InstanceCount", 1}}}};
  EXPECT_EQ(Request({.script = "./code/train.py"}), expected);
}

TEST(TrainRequestTest, EveryFlagHasItsMember) {
  TrainFlags flags{.script = "run.sh",
                   .image = "localhost/trainer:1",
                   .output = "s3://bkt/out",
                   .name = "my-job",
                   .instance_type = "ml.g5.xlarge",
                   .checkpoint_uri = "checkpoints"};
  flags.hyperparameters = {"lr=0.1", "text=a=b", "empty="};
  flags.metrics = {"loss=loss=([0-9.]+)"};
  flags.environment = {"A=1"};
  flags.instance_count = 2;
  flags.max_runtime_s = 60;
  const Json request = Request(flags);
  EXPECT_EQ(request["TrainingJobName"], "my-job");
  EXPECT_EQ(request["HyperParameters"]["lr"], "0.1");
  EXPECT_EQ(request["HyperParameters"]["text"], "a=b");
  EXPECT_EQ(request["HyperParameters"]["empty"], "");
  EXPECT_EQ(request["HyperParameters"]["sagemaker_submit_directory"], "/home/me");
  EXPECT_EQ(request["AlgorithmSpecification"]["TrainingImage"], "localhost/trainer:1");
  EXPECT_EQ(request["AlgorithmSpecification"]["MetricDefinitions"],
            Json::array({{{"Name", "loss"}, {"Regex", "loss=([0-9.]+)"}}}));
  EXPECT_EQ(request["Environment"], (Json{{"A", "1"}}));
  EXPECT_EQ(request["OutputDataConfig"]["S3OutputPath"], "s3://bkt/out");
  EXPECT_EQ(request["CheckpointConfig"]["S3Uri"], "file:///home/me/checkpoints");
  EXPECT_EQ(request["ResourceConfig"], (Json{{"InstanceType", "ml.g5.xlarge"}, {"InstanceCount", 2}}));
  EXPECT_EQ(request["StoppingCondition"]["MaxRuntimeInSeconds"], 60);
}

TEST(TrainRequestTest, InputsAreDirectoriesRepositoriesAndFileSystems) {
  TrainFlags flags{.script = "a.py"};
  flags.inputs = {"here=../data/",           "s3=s3://bkt/images",
                  "fs=fs-0123456789abcdef0", "part=fs-0123456789abcdef0:/train",
                  "odd=fs-notes/x",          "tree=file:///srv/data"};
  const Json channels = Request(flags)["InputDataConfig"];
  const auto source = [&](size_t i) { return channels[i]["DataSource"]["FileSystemDataSource"]; };
  EXPECT_EQ(source(0)["FileSystemType"], "EFS");
  EXPECT_EQ(source(0)["DirectoryPath"], "/home/data");
  EXPECT_EQ(channels[1]["DataSource"], MountedSource("s3://bkt/images", "/"));
  EXPECT_EQ(channels[2]["DataSource"], MountedSource("fs-0123456789abcdef0", "/"));
  EXPECT_EQ(channels[3]["DataSource"], MountedSource("fs-0123456789abcdef0", "/train"));
  EXPECT_EQ(source(4)["DirectoryPath"], "/home/me/fs-notes/x");
  EXPECT_EQ(channels[5]["DataSource"], MountedSource("file:///srv/data", "/"));
}

TEST(TrainRequestTest, AnInputModeMakesS3Channels) {
  TrainFlags flags{.script = "a.py", .input_mode = "Pipe"};
  flags.inputs = {"a=s3://bkt/p/", "d=/data"};
  const Json channels = Request(flags)["InputDataConfig"];
  EXPECT_EQ(channels[0]["InputMode"], "Pipe");
  EXPECT_EQ(channels[0]["DataSource"]["S3DataSource"]["S3Uri"], "s3://bkt/p/");
  EXPECT_FALSE(channels[1].contains("InputMode"));
  flags.inputs = {"d=/data"};
  EXPECT_THAT(Refusal(flags), HasSubstr("--input-mode Pipe is for inputs of s3://"));
}

TEST(TrainRequestTest, ASourceDirectoryHoldsTheScript) {
  const auto code = [](const std::string& script, const std::string& source) {
    const Json parameters = Request({.script = script, .source_dir = source})["HyperParameters"];
    return parameters["sagemaker_submit_directory"].get<std::string>() + " " +
           parameters["sagemaker_program"].get<std::string>();
  };
  EXPECT_EQ(code("sub/a.py", "code/"), "/home/me/code sub/a.py");
  EXPECT_EQ(code("/home/me/code/sub/a.py", "code"), "/home/me/code sub/a.py");
  EXPECT_EQ(code("a.py", "s3://bkt/sourcedir.tar.gz"), "s3://bkt/sourcedir.tar.gz a.py");
  EXPECT_THAT(Refusal({.script = "/elsewhere/a.py", .source_dir = "code"}), HasSubstr("does not lie in --source-dir"));
  EXPECT_THAT(Refusal({.script = "../a.py", .source_dir = "code"}), HasSubstr("leads out of"));
}

TEST(TrainRequestTest, NamesFitWhateverTheScriptIsCalled) {
  const auto name = [](const std::string& script) { return Request({.script = script})["TrainingJobName"]; };
  EXPECT_EQ(name("my_train (2).py"), "my-train-2-2026-01-02-03-04-05-678");
  EXPECT_EQ(name("\xc3\xa9.py"), "job-2026-01-02-03-04-05-678");
  EXPECT_EQ(name(std::string(80, 'x') + ".py").get<std::string>().size(), 63u);
}

TEST(TrainRequestTest, WhatIsWrongIsTold) {
  EXPECT_THAT(Refusal({.name = "x"}), HasSubstr("--script is missing"));
  TrainFlags flags{.script = "a.py"};
  flags.hyperparameters = {"lr"};
  EXPECT_EQ(Refusal(flags), "--hyperparameter lr: write it as --hyperparameter NAME=VALUE");
  flags.hyperparameters = {"lr=1", "lr=2"};
  EXPECT_EQ(Refusal(flags), "--hyperparameter lr is given twice");
  flags.hyperparameters = {"sagemaker_program=x"};
  EXPECT_THAT(Refusal(flags), HasSubstr("is set by --script"));
  flags.hyperparameters = {};
  flags.inputs = {"=x"};
  EXPECT_THAT(Refusal(flags), HasSubstr("--input NAME=DIRECTORY"));
  flags.inputs = {"a=s3:///x"};
  EXPECT_THAT(Refusal(flags), HasSubstr("--input a=s3:///x: "));
}

TEST(TrainRequestTest, AVariableOfTheCallersIsPassedOnByItsName) {
  TrainFlags flags{.script = "a.py"};
  flags.environment = {"TOKEN", "A=1"};
  EXPECT_THAT(Refusal(flags), HasSubstr("--environment TOKEN: there is no such variable"));
  TrainSurroundings here = kHere;
  here.variable = [](const char* name) { return std::string(name) == "TOKEN" ? "mine" : nullptr; };
  EXPECT_EQ((*TrainRequest(flags, here))["Environment"], (Json{{"TOKEN", "mine"}, {"A", "1"}}));
}

TEST(TrainRequestTest, AFileAndFlagsExcludeEachOther) {
  JobArguments arguments;
  EXPECT_THAT(ReadTrainRequest(arguments, {}).error().message, HasSubstr("leat train --script FILE.py"));
  arguments.request_path = "job.json";
  EXPECT_THAT(ReadTrainRequest(arguments, {.script = "a.py"}).error().message, HasSubstr("given twice: job.json"));
}

}  // namespace
}  // namespace leat::cli
