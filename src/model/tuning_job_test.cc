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
  ASSERT_EQ(check.job.definitions.size(), 1u);
  const TuningDefinition& definition = check.job.definitions[0];
  EXPECT_FALSE(definition.maximize);
  ASSERT_EQ(definition.ranges.size(), 3u);
  EXPECT_EQ(definition.ranges[0].name, "act");
  EXPECT_EQ(definition.ranges[2].min, 1e-5);
}

TEST(TuningJob, MisspeltMembersAreToldHoweverDeepTheyAre) {
  EXPECT_THAT(CheckTuningJob(Valid()).job.warnings, IsEmpty());
  Json request = Valid();
  Json& config = request["HyperParameterTuningJobConfig"];
  config["TrainingJobEarlyStopingType"] = "Auto";
  config["Random_Seed"] = 3;
  config["ParameterRanges"]["ContinuousParameterRanges"][0]["Scaling"] = "Linear";
  Json& definition = request["TrainingJobDefinition"];
  definition["HyperParameters"] = {{"lr", "1"}};
  definition["StoppingCondition"] = {{"MaxRunTimeInSeconds", 60}};
  definition["HyperParameterTuningResourceConfig"] = {{"InstanceType", "ml.c5.xlarge"}};
  const auto check = CheckTuningJob(request);
  EXPECT_THAT(check.problems, IsEmpty());
  const std::string is_none = "' is no member of CreateHyperParameterTuningJob and is ignored";
  const std::string config_path = "'HyperParameterTuningJobConfig.";
  EXPECT_THAT(
      check.job.warnings,
      testing::ElementsAre(
          config_path + "ParameterRanges.ContinuousParameterRanges[0].Scaling" + is_none + "; is ScalingType meant?",
          config_path + "Random_Seed" + is_none + "; is RandomSeed meant?",
          config_path + "TrainingJobEarlyStopingType" + is_none + "; is TrainingJobEarlyStoppingType meant?",
          "'TrainingJobDefinition.HyperParameters" + is_none,
          "'TrainingJobDefinition.StoppingCondition.MaxRunTimeInSeconds" + is_none +
              "; is MaxRuntimeInSeconds meant?"));
  const Json child = ChildRequest(check.job, check.job.definitions[0], "child", {});
  EXPECT_FALSE(child.contains("HyperParameterTuningResourceConfig"));
}

TEST(TuningJob, ChildGetsStaticAndTunedValues) {
  const auto job = CheckTuningJob(Valid()).job;
  const Json child = ChildRequest(job, job.definitions[0], "hp1-001-00000000", {{"lr", "0.01"}});
  EXPECT_EQ(child["HyperParameters"]["lr"], "0.01");
  EXPECT_EQ(child["HyperParameters"]["sagemaker_program"], "t.py");
  EXPECT_EQ(child["HyperParameters"]["_tuning_objective_metric"], "loss");
  EXPECT_FALSE(child.contains("StaticHyperParameters"));
  EXPECT_THAT(CheckTrainingJob(child).problems, IsEmpty());
  EXPECT_THAT(ChildName(job, 7, 1), testing::MatchesRegex("hp1-001-[0-9a-f]{8}"));
  EXPECT_EQ(ChildName(job, 7, 1), ChildName(job, 7, 1));
  EXPECT_NE(ChildName(job, 7, 1).substr(8), ChildName(job, 8, 1).substr(8));
  EXPECT_NE(ChildName(job, 7, 1), ChildName(job, 7, 1, 2));
}

TEST(TuningJob, RefusesWhatItCannotDo) {
  const auto with = [](const char* pointer, const char* value) {
    Json request = Valid();
    request[Json::json_pointer(pointer)] = Json::parse(value);
    return FirstProblem(request);
  };
  const std::string config = "/HyperParameterTuningJobConfig";
  EXPECT_THAT(with((config + "/Strategy").c_str(), "\"Hyperband\""), HasSubstr("MaxResource is missing"));
  EXPECT_THAT(with((config + "/ParameterRanges").c_str(), "{}"), HasSubstr("at least one range"));
  EXPECT_THAT(with((config + "/ResourceLimits/MaxNumberOfTrainingJobs").c_str(), "10001"), HasSubstr("10000"));
  EXPECT_THAT(with((config + "/StrategyConfig").c_str(), R"({"HyperbandStrategyConfig": {"MaxResource": 9}})"),
              HasSubstr("needs Strategy Hyperband"));
  EXPECT_THAT(with((config + "/TuningJobCompletionCriteria").c_str(), R"({"TargetObjectiveMetricValue": "x"})"),
              HasSubstr("must be a number"));
  EXPECT_THAT(with("/WarmStartConfig", R"({"WarmStartType": "TransferLearning"})"),
              HasSubstr("ParentHyperParameterTuningJobs is missing"));
  EXPECT_THAT(with("/TrainingJobDefinitions", "[]"), HasSubstr("and not both"));
  EXPECT_THAT(with("/Autotune", R"({"Mode": "Enabled"})"), HasSubstr("give ranges and limits"));
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

TEST(TuningJob, HyperbandTakesItsResourceFromTheEpochs) {
  Json request = Valid();
  Json& config = request["HyperParameterTuningJobConfig"];
  config["Strategy"] = "Hyperband";
  request["TrainingJobDefinition"]["StaticHyperParameters"]["epochs"] = "27";
  EXPECT_EQ(FirstProblem(request), "");
  EXPECT_EQ(CheckTuningJob(request).job.max_resource, 27u);
  config["StrategyConfig"]["HyperbandStrategyConfig"] = {{"MinResource", 30}};
  EXPECT_THAT(FirstProblem(request), HasSubstr("must not be greater than MaxResource 27"));
  config["StrategyConfig"]["HyperbandStrategyConfig"] = {{"MinResource", 3}, {"MaxResource", 81}};
  const auto check = CheckTuningJob(request);
  EXPECT_THAT(check.problems, IsEmpty());
  EXPECT_EQ(check.job.min_resource, 3u);
  EXPECT_EQ(check.job.max_resource, 81u);
  config["TrainingJobEarlyStoppingType"] = "Auto";
  EXPECT_THAT(FirstProblem(request), HasSubstr("must be Off with Strategy Hyperband"));
}

TEST(TuningJob, HyperbandTakesEpochsThatAllDefinitionsShare) {
  const auto with = [](const char* first, const char* second) {
    Json request = Valid();
    Json& config = request["HyperParameterTuningJobConfig"];
    config["Strategy"] = "Hyperband";
    Json definition = request["TrainingJobDefinition"];
    definition["HyperParameterRanges"] = config["ParameterRanges"];
    definition["TuningObjective"] = config["HyperParameterTuningJobObjective"];
    for (const char* member : {"ParameterRanges", "HyperParameterTuningJobObjective"}) config.erase(member);
    request.erase("TrainingJobDefinition");
    for (const char* epochs : {first, second}) {
      definition["DefinitionName"] =
          std::string("e") + epochs + std::to_string(request["TrainingJobDefinitions"].size());
      definition["StaticHyperParameters"]["epochs"] = epochs;
      request["TrainingJobDefinitions"].push_back(definition);
    }
    return FirstProblem(request);
  };
  EXPECT_EQ(with("9", "9"), "");
  EXPECT_THAT(with("2", "9"), HasSubstr("the same in all definitions"));
  EXPECT_THAT(with("30000", "30000"), HasSubstr("at most 20000"));
}

TEST(TuningJob, BayesianIsTheDefaultAndMaxRuntimeIsLimitEnough) {
  Json request = Valid();
  Json& config = request["HyperParameterTuningJobConfig"];
  config.erase("Strategy");
  config["ResourceLimits"].erase("MaxNumberOfTrainingJobs");
  EXPECT_THAT(FirstProblem(request), HasSubstr("or MaxRuntimeInSeconds is"));
  config["ResourceLimits"]["MaxRuntimeInSeconds"] = 3600;
  const auto check = CheckTuningJob(request);
  EXPECT_THAT(check.problems, IsEmpty());
  EXPECT_EQ(check.job.strategy, TuningJob::Strategy::kBayesian);
  EXPECT_EQ(check.job.max_runtime_s, 3600);
}

TEST(TuningJob, SeveralDefinitionsHaveObjectivesAndRangesOfTheirOwn) {
  Json request = Valid();
  Json& config = request["HyperParameterTuningJobConfig"];
  Json definition = request["TrainingJobDefinition"];
  definition["HyperParameterRanges"] = config["ParameterRanges"];
  definition["TuningObjective"] = config["HyperParameterTuningJobObjective"];
  definition["DefinitionName"] = "one";
  Json other = definition;
  other["DefinitionName"] = "two";
  request.erase("TrainingJobDefinition");
  request["TrainingJobDefinitions"] = {definition, other};
  EXPECT_THAT(FirstProblem(request), HasSubstr("belongs into each"));
  config.erase("ParameterRanges");
  config.erase("HyperParameterTuningJobObjective");
  const auto check = CheckTuningJob(request);
  EXPECT_THAT(check.problems, IsEmpty());
  ASSERT_EQ(check.job.definitions.size(), 2u);
  EXPECT_EQ(check.job.definitions[1].name, "two");
  EXPECT_EQ(check.job.definitions[1].ranges.size(), 3u);
  request["TrainingJobDefinitions"][1]["DefinitionName"] = "one";
  EXPECT_THAT(FirstProblem(request), HasSubstr("no other definition's"));
  request["TrainingJobDefinitions"][1]["DefinitionName"] = "two";
  request["TrainingJobDefinitions"][1]["TuningObjective"]["Type"] = "Maximize";
  EXPECT_THAT(FirstProblem(request), HasSubstr("the same for all definitions"));
}

TEST(TuningJob, ARangeMayDependOnACategory) {
  Json request = Valid();
  Json& lr = request["HyperParameterTuningJobConfig"]["ParameterRanges"]["ContinuousParameterRanges"][0];
  lr["LeatActiveFor"] = {{"Name", "act"}, {"Values", {"relu"}}};
  const auto check = CheckTuningJob(request);
  EXPECT_THAT(check.problems, IsEmpty());
  EXPECT_EQ(check.job.definitions[0].ranges[2].parent, "act");
  EXPECT_THAT(check.job.definitions[0].ranges[2].parent_values, testing::ElementsAre("relu"));
  lr["LeatActiveFor"]["Values"] = {"tanh"};
  EXPECT_THAT(FirstProblem(request), HasSubstr("is no value of act"));
  lr["LeatActiveFor"] = {{"Name", "depth"}, {"Values", {"1"}}};
  EXPECT_THAT(FirstProblem(request), HasSubstr("must name a CategoricalParameterRange"));
}

TEST(TuningJob, WarmStartNamesItsParents) {
  Json request = Valid();
  request["WarmStartConfig"] = {{"WarmStartType", "IdenticalDataAndAlgorithm"},
                                {"ParentHyperParameterTuningJobs", {{{"HyperParameterTuningJobName", "before"}}}}};
  const auto check = CheckTuningJob(request);
  EXPECT_THAT(check.problems, IsEmpty());
  EXPECT_THAT(check.job.warm_start_parents, testing::ElementsAre("before"));
  EXPECT_FALSE(check.job.is_transfer);
  request["HyperParameterTuningJobConfig"]["Strategy"] = "Hyperband";
  request["TrainingJobDefinition"]["StaticHyperParameters"]["epochs"] = "9";
  EXPECT_THAT(FirstProblem(request), HasSubstr("needs Strategy Bayesian or Random"));
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

TEST(TuningJob, WhatEveryChildWouldStumbleOverIsToldBeforeTheFirst) {
  Json request = Valid();
  Json& fixed = request["TrainingJobDefinition"]["StaticHyperParameters"];
  for (int i = 0; i < 95; ++i) fixed["h" + std::to_string(i)] = "1";  // 97 with the program's, 3 ranges, Leat's own
  EXPECT_THAT(FirstProblem(request), HasSubstr("StaticHyperParameters and ranges together"));
  request = Valid();
  Json& ranges = request["HyperParameterTuningJobConfig"]["ParameterRanges"];
  ranges["CategoricalParameterRanges"][0]["Values"][1] = std::string("a\0b", 3);
  EXPECT_THAT(FirstProblem(request), HasSubstr("CategoricalParameterRanges[0].Values"));
  ranges["CategoricalParameterRanges"][0] = {{"Name", "_tuning_objective_metric"}, {"Values", {"a"}}};
  EXPECT_THAT(FirstProblem(request), HasSubstr("CategoricalParameterRanges[0].Name"));
}

TEST(TuningJob, AContradictionIsRefused) {
  const auto with = [](const char* place, const Json& value) {
    Json request = Valid();
    request[Json::json_pointer(place)] = value;
    return FirstProblem(request);
  };
  const Json ranges = Valid()["HyperParameterTuningJobConfig"]["ParameterRanges"];
  EXPECT_THAT(with("/TrainingJobDefinition/HyperParameterRanges", ranges), HasSubstr("must not be given beside"));
  EXPECT_THAT(with("/TrainingJobDefinition/TuningObjective", {{"Type", "Maximize"}, {"MetricName", "loss"}}),
              HasSubstr("must be left out or equal"));
  EXPECT_EQ(with("/TrainingJobDefinition/TuningObjective", {{"Type", "Minimize"}, {"MetricName", "loss"}}), "");
  Json both = Valid();
  both["TrainingJobDefinition"]["ResourceConfig"] = {{"InstanceType", "local"}, {"InstanceCount", 1}};
  both["TrainingJobDefinition"]["HyperParameterTuningResourceConfig"] = {{"InstanceType", "local"}};
  EXPECT_THAT(FirstProblem(both), HasSubstr("in place of ResourceConfig"));
}

TEST(TuningJob, InstancesAreOneOfAListOrTheDefinitionsOwn) {
  Json request = Valid();
  Json& resources = request["TrainingJobDefinition"]["HyperParameterTuningResourceConfig"];
  resources = {{"InstanceType", "local"}, {"InstanceCount", 3}, {"AllocationStrategy", "Prioritized"}};
  auto check = CheckTuningJob(request);
  EXPECT_THAT(check.problems, IsEmpty());
  const auto count = [&] {
    const Json child = ChildRequest(check.job, check.job.definitions[0], "child", {});
    EXPECT_FALSE(child.contains("HyperParameterTuningResourceConfig"));
    return child["ResourceConfig"]["InstanceCount"];
  };
  EXPECT_EQ(count(), 3);
  resources = {{"InstanceConfigs",
                {{{"InstanceType", "local"}, {"InstanceCount", 2}, {"VolumeSizeInGB", 1}},
                 {{"InstanceType", "ml.m5.large"}, {"InstanceCount", 9}, {"VolumeSizeInGB", 1}}}}};
  check = CheckTuningJob(request);
  EXPECT_THAT(check.problems, IsEmpty());
  EXPECT_EQ(count(), 2);
}

TEST(TuningJob, WhatIsWrongIsToldOnce) {
  const auto problems = [](const char* place, const Json& value) {
    Json request = Valid();
    request[Json::json_pointer(std::string("/HyperParameterTuningJobConfig") + place)] = value;
    return CheckTuningJob(request).problems.size();
  };
  EXPECT_EQ(problems("/ResourceLimits/MaxNumberOfTrainingJobs", 10001), 1u);
  Json many = Json::array();
  for (int i = 0; i < 31; ++i) many.push_back({{"Name", "r" + std::to_string(i)}, {"Values", {"a"}}});
  EXPECT_EQ(problems("/ParameterRanges", {{"CategoricalParameterRanges", many}}), 1u);
  EXPECT_EQ(problems("/ParameterRanges/ContinuousParameterRanges/0/MaxValue", "+0.1"), 0u);
  EXPECT_EQ(problems("/ParameterRanges/ContinuousParameterRanges/0/MaxValue", "+-0.1"), 1u);
}

}  // namespace
}  // namespace leat
