// SPDX-License-Identifier: Apache-2.0
#include "model/tuning_job.h"

#include <gmock/gmock.h>

namespace leat {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;

Json Valid() {
  return Json::parse(R"json({
    "HyperParameterTuningJobName": "hp1",
    "HyperParameterTuningJobConfig": {
      "Strategy": "Random", "RandomSeed": 7,
      "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
      "ResourceLimits": {"MaxNumberOfTrainingJobs": 4, "MaxParallelTrainingJobs": 2},
      "ParameterRanges": {
        "ContinuousParameterRanges": [{"Name": "lr", "MinValue": "1e-5", "MaxValue": "0.1", "ScalingType": "Logarithmic"}],
        "IntegerParameterRanges": [{"Name": "depth", "MinValue": "1", "MaxValue": "3"}],
        "CategoricalParameterRanges": [{"Name": "act", "Values": ["relu", "gelu"]}]}},
    "TrainingJobDefinition": {
      "StaticHyperParameters": {"sagemaker_program": "t.py", "sagemaker_submit_directory": "/c"},
      "AlgorithmSpecification": {"TrainingInputMode": "File", "MetricDefinitions": [{"Name": "loss", "Regex": "l=(.*)"}]},
      "OutputDataConfig": {"S3OutputPath": "s3://b/o"}}})json");
}

std::string FirstProblem(const Json& request) {
  const auto check = CheckTuningJob(request);
  return check.problems.empty() ? "" : check.problems[0].ToString();
}

TEST(TuningJob, ReadsAValidRequest) {
  const auto check = CheckTuningJob(Valid());
  EXPECT_THAT(check.problems, IsEmpty());
  EXPECT_EQ(check.job.jobs_max, 4u);
  EXPECT_EQ(check.job.parallel_max, 2u);
  EXPECT_EQ(check.job.seed, 7u);
  EXPECT_FALSE(check.job.maximize);
  ASSERT_EQ(check.job.ranges.size(), 3u);
  EXPECT_EQ(check.job.ranges[0].name, "act");
  EXPECT_EQ(check.job.ranges[2].min, 1e-5);
}

TEST(TuningJob, ChildGetsStaticAndTunedValues) {
  const auto job = CheckTuningJob(Valid()).job;
  const Json child = ChildRequest(job, "hp1-001-00000000", {{"lr", "0.01"}});
  EXPECT_EQ(child["HyperParameters"]["lr"], "0.01");
  EXPECT_EQ(child["HyperParameters"]["sagemaker_program"], "t.py");
  EXPECT_EQ(child["HyperParameters"]["_tuning_objective_metric"], "loss");
  EXPECT_FALSE(child.contains("StaticHyperParameters"));
  EXPECT_THAT(CheckTrainingJob(child).problems, IsEmpty());
  EXPECT_THAT(ChildName(job, 7, 1), testing::MatchesRegex("hp1-001-[0-9a-f]{8}"));
  EXPECT_EQ(ChildName(job, 7, 1), ChildName(job, 7, 1));
  EXPECT_NE(ChildName(job, 7, 1).substr(8), ChildName(job, 8, 1).substr(8));
}

TEST(TuningJob, RefusesWhatItCannotDo) {
  const auto with = [](const char* pointer, const char* value) {
    Json request = Valid();
    request[Json::json_pointer(pointer)] = Json::parse(value);
    return FirstProblem(request);
  };
  const std::string config = "/HyperParameterTuningJobConfig";
  EXPECT_THAT(with((config + "/Strategy").c_str(), "\"Bayesian\""), HasSubstr("comes in a later version"));
  EXPECT_THAT(with((config + "/Strategy").c_str(), "\"Grid\""), HasSubstr("cannot enumerate a continuous range"));
  const std::string lr = config + "/ParameterRanges/ContinuousParameterRanges/0";
  EXPECT_THAT(with((lr + "/MinValue").c_str(), "\"0\""), HasSubstr("greater than 0"));
  EXPECT_THAT(with((lr + "/MinValue").c_str(), "\"1x\""), HasSubstr("a number in quotes"));
  EXPECT_THAT(with((lr + "/MinValue").c_str(), "0.1"), HasSubstr("must be text"));
  EXPECT_THAT(with((lr + "/MinValue").c_str(), "\"2\""), HasSubstr("must not be greater than MaxValue"));
  EXPECT_THAT(with((lr + "/ScalingType").c_str(), "\"ReverseLogarithmic\""), testing::IsEmpty());
  EXPECT_THAT(with((lr + "/Name").c_str(), "\"depth\""), HasSubstr("more than once"));
  const std::string act = config + "/ParameterRanges/CategoricalParameterRanges/0";
  EXPECT_THAT(with((act + "/Values").c_str(), "null"), HasSubstr("a list of 1 to 30 values is required"));
  EXPECT_THAT(with((act + "/Values").c_str(), "[]"), HasSubstr("1 to 30 items"));
  EXPECT_THAT(with((config + "/HyperParameterTuningJobObjective/MetricName").c_str(), "\"x\""),
              HasSubstr("MetricDefinitions"));
  EXPECT_THAT(with("/TrainingJobDefinition/OutputDataConfig", "{}"),
              HasSubstr("TrainingJobDefinition.OutputDataConfig.S3OutputPath is missing"));
}

TEST(TuningJob, GridCountsItsCombinations) {
  Json request = Valid();
  Json& config = request["HyperParameterTuningJobConfig"];
  config["Strategy"] = "Grid";
  config["ParameterRanges"].erase("ContinuousParameterRanges");
  EXPECT_THAT(FirstProblem(request), HasSubstr("6 combinations"));
  config["ResourceLimits"].erase("MaxNumberOfTrainingJobs");
  EXPECT_EQ(FirstProblem(request), "");
  EXPECT_EQ(CheckTuningJob(request).job.jobs_max, 6u);
}

}  // namespace
}  // namespace leat
