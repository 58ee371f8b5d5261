// SPDX-License-Identifier: Apache-2.0
#include "tuner/study_report.h"

#include <gmock/gmock.h>

#include "base/text.h"
#include "tuner/display_text.h"
#include "tuner/study_testing.h"

namespace leat::tuner {
namespace {

using testing::HasSubstr;
using testing::Not;

void ExpectFits(const Study& study, size_t columns) {
  for (const auto& line : Split(StudyTable(study, columns), '\n')) EXPECT_LE(DisplayColumns(line), columns) << line;
}

Study ThreeTrials() {
  Study study = EmptyStudy("shapes", {});
  for (int i = 1; i <= 3; ++i) {
    AddTrial(study, {{"augmentation", "none"}, {"batch-size", "32"}, {"learning-rate", "0.0012345678"}}, 0.5 + i)
        .state.accounting = {{"SecondsToFirstBatch", 1234.5},
                             {"SecondsOfTraining", 12345.6},
                             {"S3Requests", 1234567},
                             {"S3Bytes", 123456789012}};
  }
  return study;
}

TEST(StudyTable, FitsWhateverIsTuned) {
  Study study = ThreeTrials();
  const std::string table = StudyTable(study, 80);
  for (const char* text : {"* best: shapes-003-", "validation:accuracy 3.5", "learning-rate 0.0012345678", "1234567",
                           "115 GiB", "batch s"}) {
    EXPECT_THAT(table, HasSubstr(text));
  }
  EXPECT_THAT(table, Not(HasSubstr("stopped")));
  for (auto& trial : study.trials) {
    for (int i = 0; i < 20; ++i) trial.tuned["a-long-name-" + std::to_string(i)] = std::string(90, 'v');
    trial.tuned["学习率"] =
        "学习学习学习学习学习学习学习学习学习学习学习学习学习学习学习学习学习学习学习学习学习学习学习";
    trial.stop_reason = std::string(200, 'r');
  }
  for (const size_t columns : {30u, 40u, 60u, 80u, 120u}) ExpectFits(study, columns);
}

TEST(StudyTable, SaysWhyJobsWereStopped) {
  Study study = ThreeTrials();
  study.trials[1].state.status = "Stopped";
  study.trials[1].stop_reason = "0.412 < median 0.497 of 9 jobs at report 6";
  EXPECT_THAT(StudyTable(study, 300), HasSubstr("stopped because\n"));
  EXPECT_THAT(StudyTable(study, 300), HasSubstr("  0.412 < median 0.497 of 9 jobs at report 6\n"));
  EXPECT_THAT(StudyTable(study, 80), HasSubstr("\n    stopped: 0.412 < median 0.497 of 9 jobs at report 6\n"));
  ExpectFits(study, 80);
}

TEST(StudyTable, HasAPlaceForWhatSomeTrialsHave) {
  Study study = EmptyStudy("conditional", {});
  AddTrial(study, {{"optimizer", "adam"}}, 0.5);
  AddTrial(study, {{"momentum", "0.9"}, {"optimizer", "sgd"}}, 0.25);
  const auto lines = Split(StudyTable(study, 120), '\n');
  EXPECT_THAT(lines[0], testing::ContainsRegex("status +momentum +optimizer +objective"));
  EXPECT_THAT(lines[1], testing::ContainsRegex("Completed +- +adam +0.500000"));
  EXPECT_THAT(lines[2], testing::ContainsRegex("Completed +0.9 +sgd +0.250000"));
}

TEST(StudyTable, NamesTheDefinitionsWhereThereAreSeveral) {
  Study study = ThreeTrials();
  study.job.definitions.push_back(study.job.definitions[0]);
  study.job.definitions[0].name = "small";
  study.job.definitions[1].name = "large";
  study.trials[2].definition = 1;
  EXPECT_THAT(StudyTable(study, 200), HasSubstr("definition  augmentation"));
  EXPECT_THAT(StudyTable(study, 80), HasSubstr("    definition large, augmentation none"));
  EXPECT_EQ(SummarizeTrial(study, study.trials[2])["TrainingJobDefinitionName"], "large");
}

TEST(StudyTable, WithoutABestOrATrial) {
  Study study = EmptyStudy("none", {});
  EXPECT_EQ(StudyTable(study, 80), "no training job was started\n");
  AddTrial(study, {{"x", "1"}}, std::nullopt, "Failed");
  EXPECT_THAT(StudyTable(study, 80), HasSubstr("no job has told its objective, validation:accuracy\n"));
}

TEST(DescribeTuningJob, HasTheShapeOfTheAnswer) {
  Study study = EmptyStudy("Job", {}, false);
  study.job.request = {{"HyperParameterTuningJobConfig", {{"Strategy", "Bayesian"}}},
                       {"TrainingJobDefinition", {{"RoleArn", "role"}}},
                       {"WarmStartConfig", {{"WarmStartType", "TransferLearning"}}}};
  study.seed = 7;
  AddTrial(study, {{"x", "1"}}, 0.5);
  AddTrial(study, {{"x", "2"}}, 0.25, "Stopped").stop_reason = "why";
  AddTrial(study, {{"x", "3"}}, 0.1, "Failed").state.failure_reason = "AlgorithmError: no";
  AddTrial(study, {{"x", "4"}}, std::nullopt, "Failed").state.failure_reason = "InternalServerError: disk";
  AddTrial(study, {{"x", "5"}}, std::nullopt, "InProgress");
  AddTrial(study, {{"x", "6"}}, 0.75, "Deleted");
  const Json running = DescribeTuningJob("Job", study);
  for (const char* member : {"HyperParameterTuningJobConfig", "TrainingJobDefinition", "WarmStartConfig"}) {
    EXPECT_EQ(running[member], study.job.request[member]) << member;
  }
  EXPECT_EQ(running["HyperParameterTuningJobArn"],
            "arn:aws:sagemaker:local:000000000000:hyper-parameter-tuning-job/job");
  EXPECT_EQ(
      running["TrainingJobStatusCounters"],
      Json({{"Completed", 2}, {"InProgress", 1}, {"RetryableError", 1}, {"NonRetryableError", 1}, {"Stopped", 1}}));
  EXPECT_EQ(running["ObjectiveStatusCounters"], Json({{"Succeeded", 3}, {"Pending", 1}, {"Failed", 2}}));
  EXPECT_EQ(running["TuningJobCompletionDetails"], Json({{"NumberOfTrainingJobsObjectiveNotImproving", 3}}));
  EXPECT_EQ(running["ConsumedResources"]["RuntimeInSeconds"], 5 * 59);
  EXPECT_FALSE(running.contains("HyperParameterTuningEndTime"));
  const Json& best = running["BestTrainingJob"];
  EXPECT_EQ(best["TrainingJobName"], study.trials[1].job_name);  // the lowest of those that did not fail
  EXPECT_EQ(best["FinalHyperParameterTuningJobObjectiveMetric"],
            Json({{"MetricName", "validation:accuracy"}, {"Type", "Minimize"}, {"Value", 0.25}}));
  EXPECT_EQ(best["TunedHyperParameters"], Json({{"x", "2"}}));
  EXPECT_EQ(best["TuningJobName"], "Job");
  EXPECT_EQ(best["LeatStopReason"], "why");
  EXPECT_FALSE(best.contains("TrainingJobDefinitionName"));
  EXPECT_EQ(running["LeatTrainingJobs"].size(), 6u);
  EXPECT_EQ(running["LeatRandomSeed"], 7);

  study.status = "Completed";
  study.ended_ns = kStudyStart + 90 * kSecond;
  study.converged_ns = kStudyStart + 80 * kSecond;
  study.completed_by = "ConvergenceDetected";
  study.warnings = {"a warning"};
  const Json ended = DescribeTuningJob("Job", study);
  EXPECT_EQ(ended["TuningJobCompletionDetails"]["ConvergenceDetectedTime"], 1767323125.0);
  EXPECT_EQ(ended["HyperParameterTuningEndTime"], 1767323135.0);
  EXPECT_EQ(ended["LeatCompletedBy"], "ConvergenceDetected");
  EXPECT_EQ(ended["LeatWarnings"], Json({"a warning"}));
}

TEST(SummarizeTuningJob, HasTheShapeOfAListsEntry) {
  Study study = ThreeTrials();
  study.job.request = {{"HyperParameterTuningJobConfig", {{"ResourceLimits", {{"MaxParallelTrainingJobs", 4}}}}}};
  const Json summary = SummarizeTuningJob("shapes", study);
  EXPECT_EQ(summary["HyperParameterTuningJobName"], "shapes");
  EXPECT_EQ(summary["Strategy"], "Bayesian");
  EXPECT_EQ(summary["ResourceLimits"], Json({{"MaxParallelTrainingJobs", 4}}));
  EXPECT_EQ(summary["TrainingJobStatusCounters"]["Completed"], 3);
  EXPECT_FALSE(summary.contains("LeatTrainingJobs"));
  study.job.request = Json::object();
  EXPECT_FALSE(SummarizeTuningJob("shapes", study).contains("ResourceLimits"));
}

TEST(StudyTable, TellsThatTheSearchBeganAnew) {
  Study study = ThreeTrials();
  EXPECT_THAT(StudyTable(study, 80), testing::Not(testing::HasSubstr("new search")));
  study.trials[1].restart = 1;
  EXPECT_THAT(StudyTable(study, 80), testing::EndsWith("every second job since 002 is of a new search\n"));
  EXPECT_EQ(DescribeTuningJob("Job", study)["LeatTrainingJobs"][1]["LeatRestart"], 1);
}

TEST(StudyLine, IsALineOfAList) {
  Study study = ThreeTrials();
  EXPECT_EQ(StudyLine(study), "3 of 100 done, best 3.5");
  study.job.is_limited_by_jobs = false;
  EXPECT_EQ(StudyLine(study), "3 done, best 3.5");
}

TEST(FailureLines, AreFew) {
  Study study = EmptyStudy("failures", {});
  for (int i = 0; i < 7; ++i) AddTrial(study, {}, std::nullopt, "Failed").state.failure_reason = "why";
  const auto lines = FailureLines(study);
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(lines[1], study.trials[1].job_name + ": why");
  EXPECT_THAT(lines.back(), testing::StartsWith("and 2 more jobs failed"));
}

}  // namespace
}  // namespace leat::tuner
