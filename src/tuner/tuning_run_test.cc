// SPDX-License-Identifier: Apache-2.0
#include "tuner/tuning_run.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "jobs/supervisor.h"
#include "jobs/training_run.h"
#include "tuner/data_pacing.h"
#include "tuner/study_report.h"
#include "tuner/warm_start.h"

namespace leat::tuner {
namespace {

namespace fs = std::filesystem;

class Nothing final : public jobs::FileSystemResolver, public jobs::RepositoryFactory {
 public:
  Result<std::string> DirectoryOf(const std::string&, const std::string&) override {
    return Fail(ErrorCode::kNotFound, "no file system");
  }
  Result<jobs::FileSystemCounters> Counters(const std::string&) override { return jobs::FileSystemCounters{}; }
  Result<jobs::Repository> Open(const std::string& url, unsigned) override {
    return Fail(ErrorCode::kNoSuchBucket, url);
  }
};

// Runs the jobs in this process.
class OwnSupervisor final : public jobs::JobSubmitter, jobs::JobServicesFactory {
 public:
  OwnSupervisor(const std::string& state_directory, jobs::JobStore& store)
      : store_(store), supervisor_(state_directory, store, *this, {.cpus = 2}) {
    thread_ = std::jthread([this](const std::stop_token& end) {
      while (!end.stop_requested()) {
        EXPECT_TRUE(supervisor_.Turn());
        supervisor_.Wait(std::chrono::milliseconds(20));
      }
    });
  }
  Status Submit(const TrainingJob& job, const jobs::RunOptions& options) override {
    LEAT_RETURN_IF_ERROR(jobs::SubmitTrainingJob(job, options, store_));
    return Wake();
  }
  Status Wake() override {
    supervisor_.Wake();
    return {};
  }

 private:
  jobs::JobServices For(const std::string&) override {
    return {std::make_unique<Nothing>(), std::make_unique<Nothing>(), {"PATH=" + std::string(getenv("PATH"))}};
  }
  void OnEnded(const std::string&) override {}
  jobs::JobStore& store_;
  jobs::Supervisor supervisor_;
  std::jthread thread_;
};

class TuningRunTest : public testing::Test {
 protected:
  TuningRunTest() {
    char name[] = "/tmp/leat-tune-XXXXXX";
    root_ = mkdtemp(name);
    fs::create_directory(root_ + "/code");
    state_ = root_ + "/state";
    options_.sandbox = false;
    options_.stop_grace = std::chrono::milliseconds(100);
    store_ = jobs::JobStore::Open(state_).value();
    supervisor_ = std::make_unique<OwnSupervisor>(state_, *store_);
  }
  ~TuningRunTest() override {
    supervisor_.reset();
    fs::remove_all(root_);
  }

  TuningJob Job(const std::string& name, const std::string& script, const std::string& config) {
    EXPECT_TRUE(WriteFileAtomically(root_ + "/code/run.sh", script, 0755, false));
    Json request = {
        {"HyperParameterTuningJobName", name},
        {"HyperParameterTuningJobConfig", Json::parse(config)},
        {"TrainingJobDefinition",
         {{"StaticHyperParameters", {{"sagemaker_program", "run.sh"}, {"sagemaker_submit_directory", root_ + "/code"}}},
          {"AlgorithmSpecification",
           {{"TrainingInputMode", "File"}, {"MetricDefinitions", {{{"Name", "score"}, {"Regex", "score=(\\S+)"}}}}}},
          {"OutputDataConfig", {{"S3OutputPath", "file://" + root_ + "/out"}}}}}};
    request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"] = {{"Type", "Maximize"},
                                                                                    {"MetricName", "score"}};
    const auto check = CheckTuningJob(request);
    const Status status = StatusOf(check.problems, "request");
    EXPECT_TRUE(status) << status.error().message;
    return check.job;
  }
  Study Run(const TuningJob& job) {
    const Status submitted = SubmitTuningJob(job, options_, *store_);
    EXPECT_TRUE(submitted) << submitted.error().message;
    return GoOn(job.name);
  }
  Study GoOn(const std::string& name) {
    auto study = RunTuningJob(name, {*store_, *supervisor_, nullptr, leave_});
    EXPECT_TRUE(study) << study.error().message;
    return study.value_or(Study{});
  }
  Status RequestStop(const std::string& name, int level) {
    return store_->Append(jobs::JobKind::kTuning, name, {"stop_requested", 1, {{"level", level}}});
  }
  // Once `is_so` of the study holds.
  std::jthread When(const std::string& name, std::function<bool(const Study&)> is_so, std::function<void()> act) {
    return std::jthread([this, name, is_so, act](const std::stop_token& end) {
      while (!end.stop_requested()) {
        const auto study = LoadStudy(*store_, name);
        if (study && is_so(*study)) return act();
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
    });
  }

  std::string root_;
  jobs::RunOptions options_;
  std::string state_;
  std::atomic<bool> leave_{false};
  std::unique_ptr<jobs::JobStore> store_;
  std::unique_ptr<OwnSupervisor> supervisor_;
};

bool HasReport(const Study& study) {
  return std::ranges::any_of(study.trials, [](const Trial& trial) { return !trial.reports.empty(); });
}

constexpr const char* kGrid = R"({"Strategy": "Grid", "ResourceLimits": {"MaxParallelTrainingJobs": 2},
  "ParameterRanges": {"CategoricalParameterRanges": [{"Name": "a", "Values": ["1", "2"]}],
                      "IntegerParameterRanges": [{"Name": "b", "MinValue": "3", "MaxValue": "4"}]}})";

// One job at a time, each of which takes a while: there is time to step in.
const std::string kSlowly = std::string(kGrid).replace(std::string(kGrid).find("Jobs\": 2"), 8, "Jobs\": 1");
constexpr const char* kSlowScript = "echo score=0.$SM_HP_A$SM_HP_B\nsleep 0.5\n";

TEST_F(TuningRunTest, GridRunsEveryCombinationAndKeepsTheBest) {
  // One child fails: the search goes on without it.
  const Study study = Run(Job("grid", "[ $SM_HP_A$SM_HP_B = 24 ] && exit 1\necho score=0.$SM_HP_A$SM_HP_B\n", kGrid));
  EXPECT_EQ(study.status, "Completed");
  ASSERT_EQ(study.trials.size(), 4u);
  const Trial* best = BestTrial(study);
  ASSERT_NE(best, nullptr);
  EXPECT_EQ(best->tuned, (std::map<std::string, std::string>{{"a", "2"}, {"b", "3"}}));
  EXPECT_THAT(best->job_name, testing::MatchesRegex("grid-003-[0-9a-f]{8}"));
  EXPECT_EQ(best->state.tuning_job, "grid");
  const Json description = DescribeTuningJob("grid", study);
  EXPECT_EQ(description["HyperParameterTuningJobStatus"], "Completed");
  EXPECT_EQ(description["TrainingJobStatusCounters"]["Completed"], 3);
  EXPECT_EQ(description["TrainingJobStatusCounters"]["NonRetryableError"], 1);
  EXPECT_EQ(description["ObjectiveStatusCounters"]["Succeeded"], 3);
  EXPECT_EQ(description["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"], 0.23);
  EXPECT_EQ(description["LeatTrainingJobs"].size(), 4u);
  const std::string table = StudyTable(study, 80);
  EXPECT_THAT(table, testing::HasSubstr("0.230000"));
  EXPECT_THAT(table, testing::HasSubstr("best: grid-003-"));
  for (const auto& line : Split(table, '\n')) EXPECT_LE(line.size(), 80u) << line;
  const Status again = SubmitTuningJob(Job("grid", "exit 0\n", kGrid), options_, *store_);
  EXPECT_THAT(again.error().message, testing::HasSubstr("already exists. Choose a different name."));
}

TEST_F(TuningRunTest, FailsWhenEveryJobFails) {
  const Study study = Run(Job("bad", "echo no such thing; exit 2\n", kGrid));
  EXPECT_EQ(study.status, "Failed");
  EXPECT_EQ(study.trials.size(), 4u);
  EXPECT_EQ(DescribeTuningJob("bad", study)["TrainingJobStatusCounters"]["NonRetryableError"], 4);
  EXPECT_THAT(study.failure_reason, testing::HasSubstr("leat jobs logs " + study.trials[0].job_name));
  const auto lines = FailureLines(study);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[1], study.trials[1].job_name + ": AlgorithmError: no such thing, exit code: 2");
}

TEST_F(TuningRunTest, ToldWhenNoJobTellsItsObjective) {
  const Study study = Run(Job("mute", "echo accuracy=1\n", kGrid));
  EXPECT_EQ(study.status, "Failed");
  EXPECT_THAT(study.failure_reason, testing::HasSubstr("score=(\\S+)"));
  EXPECT_THAT(study.failure_reason, testing::HasSubstr("leat jobs logs " + study.trials[0].job_name));
}

TEST_F(TuningRunTest, EndsAfterFiveFailuresFromTheFirst) {
  const Study study = Run(Job("five", "exit 1\n", R"({"Strategy": "Random", "RandomSeed": 1,
    "ResourceLimits": {"MaxNumberOfTrainingJobs": 100, "MaxParallelTrainingJobs": 1},
    "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]}})"));
  EXPECT_EQ(study.status, "Failed");
  EXPECT_EQ(study.trials.size(), 5u);
}

// Whatever keeps children from being submitted, it is no reason to make hundreds of them.
TEST_F(TuningRunTest, EndsAfterFiveThatCouldNotBeSubmitted) {
  class Refusing final : public jobs::JobSubmitter {
   public:
    Status Submit(const TrainingJob&, const jobs::RunOptions&) override {
      return Fail(ErrorCode::kInvalidArgument, "no interpreter");
    }
    Status Wake() override { return {}; }
  } refusing;
  const TuningJob job = Job("unable", "exit 0\n", R"({"Strategy": "Random", "RandomSeed": 1,
    "ResourceLimits": {"MaxNumberOfTrainingJobs": 100, "MaxParallelTrainingJobs": 10},
    "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]}})");
  ASSERT_TRUE(SubmitTuningJob(job, options_, *store_));
  const auto study = RunTuningJob("unable", {*store_, refusing, nullptr, leave_});
  ASSERT_TRUE(study);
  EXPECT_EQ(study->trials.size(), 5u);
  EXPECT_EQ(study->status, "Failed");
  EXPECT_THAT(study->failure_reason, testing::HasSubstr("no interpreter"));
  EXPECT_THAT(study->failure_reason, testing::Not(testing::HasSubstr("leat jobs logs")));  // there is none
}

TEST_F(TuningRunTest, ASpaceThatHasBeenTriedWholeEndsItAndItSaysSo) {
  const TuningJob job = Job("small", "echo score=1\n", R"({"Strategy": "Random", "RandomSeed": 1,
    "ResourceLimits": {"MaxNumberOfTrainingJobs": 10, "MaxParallelTrainingJobs": 2},
    "ParameterRanges": {"IntegerParameterRanges": [{"Name": "n", "MinValue": "1", "MaxValue": "3"}]}})");
  const Study study = Run(job);
  EXPECT_EQ(study.trials.size(), 3u);
  const Json description = DescribeTuningJob("small", study);
  EXPECT_EQ(description["LeatCompletedBy"], "AllCombinationsTried");
  EXPECT_THAT(description["LeatWarnings"].dump(), testing::HasSubstr("after 3 training jobs"));
  EXPECT_THAT(ResumeTuningJob("small", *store_).error().message, testing::HasSubstr("all combinations"));
}

TEST_F(TuningRunTest, ConvergenceEndsAnyStrategy) {
  const Study study = Run(Job("flat", "echo score=1\n", R"({"Strategy": "Random", "RandomSeed": 1,
    "ResourceLimits": {"MaxNumberOfTrainingJobs": 40, "MaxParallelTrainingJobs": 2},
    "TuningJobCompletionCriteria": {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}},
    "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]}})"));
  EXPECT_EQ(study.completed_by, "ConvergenceDetected");
  EXPECT_LT(study.trials.size(), 20u);
}

TEST_F(TuningRunTest, TheBestIsOneThatHasEnded) {
  const auto stopper = When("running", HasReport, [&] {
    const auto study = LoadStudy(*store_, "running");
    EXPECT_EQ(BestTrial(*study), nullptr);
    EXPECT_FALSE(DescribeTuningJob("running", *study).contains("BestTrainingJob"));
    EXPECT_TRUE(RequestStop("running", 2));
  });
  EXPECT_NE(BestTrial(Run(Job("running", "echo score=1\nsleep 60\n", kGrid))), nullptr);
}

TEST_F(TuningRunTest, WhatItTookFromItsParentOutlastsWhatBecomesOfThat) {
  const char* config = R"({"Strategy": "Random", "RandomSeed": 1,
    "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 1},
    "ParameterRanges": {"IntegerParameterRanges": [{"Name": "n", "MinValue": "1", "MaxValue": "4"}]}})";
  const Study parent = Run(Job("parent", "echo score=1\n", config));
  TuningJob job = Job("child", "echo score=1\n", config);
  job.request["WarmStartConfig"] = {{"WarmStartType", "IdenticalDataAndAlgorithm"},
                                    {"ParentHyperParameterTuningJobs", {{{"HyperParameterTuningJobName", "parent"}}}}};
  job = CheckTuningJob(job.request).job;
  ASSERT_TRUE(CheckWarmStart(job, *store_));
  ASSERT_TRUE(SubmitTuningJob(job, options_, *store_));
  // The parent goes on before the child is taken up, as by a supervisor that was killed.
  ASSERT_TRUE(store_->Append(jobs::JobKind::kTuning, "parent", {"resumed", jobs::WallTimeNs(), Json::object()}));
  const Study child = GoOn("child");
  ASSERT_EQ(child.trials.size(), 1u);  // of four, three are the parent's
  for (const auto& trial : parent.trials) EXPECT_NE(trial.tuned, child.trials[0].tuned);
}

TEST_F(TuningRunTest, StopEndsTheChildrenToo) {
  const auto stopper = When("stop", HasReport, [&] { EXPECT_TRUE(RequestStop("stop", 2)); });
  const Study study = Run(Job("stop", "echo score=1\nsleep 60\n", kGrid));
  EXPECT_EQ(study.status, "Stopped");
  EXPECT_LE(study.trials.size(), 2u);
  for (const auto& trial : study.trials) EXPECT_EQ(trial.state.status, "Stopped");
}

TEST_F(TuningRunTest, AnotherProcessGoesOnAndCountsNoTrialTwice) {
  const TuningJob job = Job("again", kSlowScript, kSlowly);
  ASSERT_TRUE(SubmitTuningJob(job, options_, *store_));
  {
    const auto leaver = When(
        "again", [](const Study& study) { return !study.order_of_ends.empty(); }, [&] { leave_ = true; });
    const Study left = GoOn("again");
    EXPECT_FALSE(left.IsTerminal());
  }
  leave_ = false;
  const Study study = GoOn("again");
  EXPECT_EQ(study.status, "Completed");
  ASSERT_EQ(study.trials.size(), 4u);
  EXPECT_EQ(study.order_of_ends.size(), 4u);
  std::set<std::string> tried;
  for (const auto& trial : study.trials) {
    tried.insert(trial.tuned.at("a") + trial.tuned.at("b"));
    EXPECT_EQ(trial.reports.size(), 1u);
  }
  EXPECT_EQ(tried.size(), 4u);
  EXPECT_EQ(store_->Names(jobs::JobKind::kTraining)->size(), 4u);
}

TEST_F(TuningRunTest, AFollowerLosesNothingOfAJobWhoseEndTheTunerToldFirst) {
  const TuningJob job = Job("late", "exit 0\n", kGrid);
  ASSERT_TRUE(SubmitTuningJob(job, options_, *store_));
  const auto append = [&](jobs::JobKind kind, const std::string& name, const std::string& event, const Json& body) {
    ASSERT_TRUE(store_->Append(kind, name, {event, 2, body}));
  };
  append(jobs::JobKind::kTuning, "late", "trial", {{"number", 1}, {"job", "child"}, {"tuned", {{"a", "1"}}}});
  ASSERT_TRUE(store_->Create(jobs::JobKind::kTraining, "child",
                             {"created", 1, {{"request", Json::object()}, {"options", {{"tuning_job", "late"}}}}}));
  StudyReader reader(*store_, "late");
  ASSERT_TRUE(reader.Read());
  append(jobs::JobKind::kTraining, "child", "accounting", {{"S3Bytes", 7}});
  append(jobs::JobKind::kTraining, "child", "ended", {{"status", "Completed"}});
  append(jobs::JobKind::kTuning, "late", "trial_ended", {{"number", 1}, {"status", "Completed"}, {"objective", 0.5}});
  ASSERT_TRUE(reader.Read());
  EXPECT_EQ(reader.study().trials[0].state.accounting.value("S3Bytes", 0), 7);
  EXPECT_EQ(reader.study().trials[0].state.status, "Completed");
}

TEST_F(TuningRunTest, ATrialThatWasRecordedAndNotSubmittedIsSubmitted) {
  const TuningJob job = Job("cut", "echo score=1\n", kGrid);
  ASSERT_TRUE(SubmitTuningJob(job, options_, *store_));
  const std::string name = ChildName(job, LoadStudy(*store_, "cut")->names_seed, 1);
  ASSERT_TRUE(store_->Append(
      jobs::JobKind::kTuning, "cut",
      {"trial", 1, {{"number", 1}, {"job", name}, {"definition", 0}, {"tuned", {{"a", "1"}, {"b", "3"}}}}}));
  const Study study = GoOn("cut");
  EXPECT_EQ(study.status, "Completed");
  EXPECT_EQ(study.trials.size(), 4u);
  EXPECT_EQ(store_->Load(name)->status, "Completed");
}

TEST_F(TuningRunTest, AJobOfAnotherIsNotItsOwn) {
  const TuningJob job = Job("clash", "exit 0\n", kGrid);
  ASSERT_TRUE(SubmitTuningJob(job, options_, *store_));
  ASSERT_TRUE(store_->Append(jobs::JobKind::kTuning, "clash",
                             {"trial", 1, {{"number", 1}, {"job", "foreign"}, {"tuned", {{"a", "1"}, {"b", "3"}}}}}));
  ASSERT_TRUE(store_->Create(jobs::JobKind::kTraining, "foreign", {"created", 1, {{"request", Json::object()}}}));
  ASSERT_TRUE(store_->AddSamples("foreign", 0, {{"score", 9, 1}}, 1));
  ASSERT_TRUE(store_->Append(jobs::JobKind::kTraining, "foreign", {"ended", 2, {{"status", "Completed"}}}));
  const Study study = GoOn("clash");
  EXPECT_EQ(study.trials[0].state.status, "Failed");
  EXPECT_THAT(study.trials[0].state.failure_reason, testing::HasSubstr("already exists"));
  EXPECT_FALSE(study.trials[0].HasObjective());
}

TEST_F(TuningRunTest, WhatTheStopCutIsRunAgainWhenItIsResumed) {
  const std::string script = "[ -e " + root_ + "/go ] && echo score=1 && exit 0\ntouch " + root_ + "/runs; sleep 600\n";
  {
    const auto stopper = When(
        "rerun", [&](const Study& study) { return study.trials.size() == 2 && fs::exists(root_ + "/runs"); },
        [&] { EXPECT_TRUE(RequestStop("rerun", 1)); });
    ASSERT_EQ(Run(Job("rerun", script, kGrid)).status, "Stopped");
  }
  ASSERT_TRUE(WriteFileAtomically(root_ + "/go", "", 0644, false));
  ASSERT_TRUE(ResumeTuningJob("rerun", *store_));
  const Study study = GoOn("rerun");
  EXPECT_EQ(study.status, "Completed");
  ASSERT_EQ(study.trials.size(), 4u);
  EXPECT_EQ(study.order_of_ends.size(), 4u);
  for (const auto& trial : study.trials) EXPECT_EQ(trial.state.status, "Completed");
  EXPECT_EQ(study.trials[0].attempt, 2u);
}

TEST_F(TuningRunTest, ATypeThatIsWrongIsToldNotThrown) {
  ASSERT_TRUE(SubmitTuningJob(Job("odd", "exit 0\n", kGrid), options_, *store_));
  ASSERT_TRUE(store_->Append(jobs::JobKind::kTuning, "odd", {"trial", 1, {{"number", "one"}}}));
  EXPECT_EQ(LoadStudy(*store_, "odd").error().code, ErrorCode::kCorrupt);
}

TEST(DataPacing, WaitsOnlyWhereAnotherJobWouldGainNothing) {
  using std::chrono::seconds;
  DataState cold{.part_here = 0.2, .part_waiting = 0.8, .readers = 2};
  EXPECT_THAT(WhyWaitForData(cold, 2, seconds(9)), testing::HasSubstr("20 % of the data is here, and the 2 running"));
  EXPECT_EQ(WhyWaitForData(cold, 0, seconds(0)), "");  // somebody must fetch it
  EXPECT_EQ(WhyWaitForData(std::nullopt, 2, seconds(0)), "");
  cold.part_waiting = 0.1;  // S3 gives more than the running ones take
  EXPECT_EQ(WhyWaitForData(cold, 2, seconds(9)), "");
  EXPECT_THAT(WhyWaitForData(cold, 2, seconds(1)), testing::HasSubstr("does not show yet"));
  cold.readers = 0;
  EXPECT_THAT(WhyWaitForData(cold, 1, seconds(9)), testing::HasSubstr("does not show yet"));
  EXPECT_EQ(WhyWaitForData(cold, 1, seconds(60)), "");  // it will never read
  cold = {.part_here = 0.95, .part_waiting = 0.9};
  EXPECT_EQ(WhyWaitForData(cold, 1, seconds(0)), "");
  cold = {.part_here = 0.2, .part_waiting = 0.9, .fits = false};
  EXPECT_EQ(WhyWaitForData(cold, 1, seconds(0)), "");
  EXPECT_NE(WhyWaitForData(DataState{.part_here = 1, .is_listed = false}, 1, seconds(0)), "");
}

TEST_F(TuningRunTest, AStoppedOneIsResumed) {
  {
    const auto stopper = When(
        "more", [](const Study& study) { return !study.order_of_ends.empty(); },
        [&] { EXPECT_TRUE(RequestStop("more", 1)); });
    const Study stopped = Run(Job("more", kSlowScript, kSlowly));
    ASSERT_EQ(stopped.status, "Stopped");
    ASSERT_LT(stopped.trials.size(), 4u);
  }
  EXPECT_THAT(store_->Unfinished(jobs::JobKind::kTuning).value(), testing::IsEmpty());
  ASSERT_TRUE(ResumeTuningJob("more", *store_));
  EXPECT_THAT(store_->Unfinished(jobs::JobKind::kTuning).value(), testing::ElementsAre("more"));
  const Study study = GoOn("more");
  EXPECT_EQ(study.status, "Completed");
  EXPECT_EQ(study.trials.size(), 4u);
  EXPECT_THAT(ResumeTuningJob("more", *store_).error().message, testing::HasSubstr("has had all of its 4"));
}

// Prints its objective at each of nine epochs, a good one where x is, and waits to be stopped.
constexpr const char* kEpochs =
    "for epoch in 1 2 3 4 5 6 7 8 9; do echo score=$SM_HP_X.$epoch; sleep 0.15; done\nsleep 600\n";

TEST_F(TuningRunTest, HyperbandStopsThePoorAndEndsAllAtMaxResource) {
  const Study study = Run(Job("bands", kEpochs, R"({"Strategy": "Hyperband", "RandomSeed": 3,
    "StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}},
    "ResourceLimits": {"MaxNumberOfTrainingJobs": 9, "MaxParallelTrainingJobs": 2},
    "ParameterRanges": {"IntegerParameterRanges": [{"Name": "x", "MinValue": "1", "MaxValue": "90"}]}})"));
  EXPECT_EQ(study.status, "Completed");
  ASSERT_EQ(study.trials.size(), 9u);
  size_t poor = 0;
  for (const auto& trial : study.trials) {
    EXPECT_EQ(trial.state.status, "Stopped");
    EXPECT_NE(trial.stop_reason, "");
    poor += trial.stop_reason.find("best third") != std::string::npos;
  }
  EXPECT_GT(poor, 0u);
  EXPECT_LT(poor, 9u);
}

TEST_F(TuningRunTest, ATargetCompletesIt) {
  const Study study = Run(Job("target", "echo score=$SM_HP_X\n", R"({"Strategy": "Bayesian", "RandomSeed": 3,
    "TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 0.5},
    "ResourceLimits": {"MaxNumberOfTrainingJobs": 50, "MaxParallelTrainingJobs": 1},
    "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]}})"));
  EXPECT_EQ(study.status, "Completed");
  EXPECT_EQ(study.completed_by, "TargetObjectiveMetricValue");
  EXPECT_LT(study.trials.size(), 50u);
  EXPECT_GE(*BestTrial(study)->objective, 0.5);
}

TEST_F(TuningRunTest, ASearchThatBeganAnewKeepsItsTrials) {
  const TuningJob job = Job("anew", "echo score=1\n", R"({"ResourceLimits": {
      "MaxNumberOfTrainingJobs": 104, "MaxParallelTrainingJobs": 1}, "ParameterRanges": {
      "ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]}})");
  ASSERT_TRUE(SubmitTuningJob(job, options_, *store_));
  for (int number = 1; number <= 100; ++number) {
    const Json tuned = {{"x", std::to_string(0.5 + number * 1e-4)}};
    ASSERT_TRUE(store_->Append(jobs::JobKind::kTuning, "anew",
                               {"trial", number, {{"number", number}, {"job", "past"}, {"tuned", tuned}}}));
    ASSERT_TRUE(
        store_->Append(jobs::JobKind::kTuning, "anew",
                       {"trial_ended",
                        number,
                        {{"number", number}, {"status", "Completed"}, {"was_submitted", false}, {"objective", 1.0}}}));
  }
  const Study study = GoOn("anew");
  ASSERT_EQ(study.trials.size(), 104u);
  std::vector<uint32_t> restarts;
  for (size_t i = 99; i < 104; ++i) restarts.push_back(study.trials[i].restart);
  EXPECT_THAT(restarts, testing::ElementsAre(0, 0, 1, 0, 1));
}

TEST_F(TuningRunTest, TheSameSeedTriesTheSame) {
  const std::string config = R"({"Strategy": "Random", "RandomSeed": 11,
    "ResourceLimits": {"MaxNumberOfTrainingJobs": 3, "MaxParallelTrainingJobs": 3},
    "ParameterRanges": {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0", "MaxValue": "1"}]}})";
  const Study first = Run(Job("one", "echo score=$SM_HP_X\n", config));
  const Study second = Run(Job("two", "echo score=$SM_HP_X\n", config));
  ASSERT_EQ(first.trials.size(), 3u);
  ASSERT_EQ(second.trials.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(first.trials[i].tuned, second.trials[i].tuned);
  EXPECT_NE(first.trials[0].tuned, first.trials[1].tuned);
  EXPECT_EQ(first.trials[0].objective, std::strtod(first.trials[0].tuned.at("x").c_str(), nullptr));
}

}  // namespace
}  // namespace leat::tuner
