// SPDX-License-Identifier: Apache-2.0
#include "tuner/tuning_run.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "jobs/supervisor.h"
#include "jobs/training_run.h"
#include "jobs/volume.h"

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
      : store_(store), supervisor_(state_directory, store, *this, {2, 0, std::nullopt}) {
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

class Counter final : public jobs::RunObserver {
 public:
  void OnStatus(const std::string&, const std::string& secondary, const std::string&) override {
    running += secondary == "Training";
    running -= secondary == "Uploading" || secondary == "Failed";
    running_max = std::max(running_max, running);
  }
  void OnLogLine(const std::string&, std::string_view) override {}
  void OnMetric(const std::string&, const std::string&, double) override {
    if (on_metric) on_metric();
  }
  void OnWarning(const std::string&, const std::string&) override {}
  int running = 0, running_max = 0;
  std::function<void()> on_metric;
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
    auto study = RunTuningJob(job, options_, {state_, *store_, *supervisor_, counter_, stop_});
    EXPECT_TRUE(study) << study.error().message;
    return study.value_or(Study{});
  }

  std::string root_;
  jobs::RunOptions options_;
  std::string state_;
  Counter counter_;
  jobs::StopLevel stop_{0};
  std::unique_ptr<jobs::JobStore> store_;
  std::unique_ptr<OwnSupervisor> supervisor_;
};

constexpr const char* kGrid = R"({"Strategy": "Grid", "ResourceLimits": {"MaxParallelTrainingJobs": 2},
  "ParameterRanges": {"CategoricalParameterRanges": [{"Name": "a", "Values": ["1", "2"]}],
                      "IntegerParameterRanges": [{"Name": "b", "MinValue": "3", "MaxValue": "4"}]}})";

TEST_F(TuningRunTest, GridRunsEveryCombinationAndKeepsTheBest) {
  // One child fails: the search goes on without it.
  const Study study = Run(Job("grid", "[ $SM_HP_A$SM_HP_B = 24 ] && exit 1\necho score=0.$SM_HP_A$SM_HP_B\n", kGrid));
  EXPECT_EQ(study.status, "Completed");
  ASSERT_EQ(study.trials.size(), 4u);
  EXPECT_LE(counter_.running_max, 2);
  const Trial* best = BestTrial(study, true);
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
  auto again = RunTuningJob(Job("grid", "exit 0\n", kGrid), options_, {state_, *store_, *supervisor_, counter_, stop_});
  EXPECT_THAT(again.error().message, testing::HasSubstr("already exists. Choose a different name."));
}

TEST_F(TuningRunTest, FailsWhenEveryJobFails) {
  const Study study = Run(Job("bad", "echo no such thing; exit 2\n", kGrid));
  EXPECT_EQ(study.status, "Failed");
  EXPECT_EQ(study.trials.size(), 4u);
  EXPECT_EQ(DescribeTuningJob("bad", study)["TrainingJobStatusCounters"]["NonRetryableError"], 4);
  EXPECT_THAT(study.failure_reason, testing::HasSubstr("leat jobs describe " + study.trials[0].job_name));
  const auto lines = FailureLines(study);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[1], study.trials[1].job_name + ": AlgorithmError: no such thing, exit code: 2");
}

TEST(StudyTable, FitsWhateverIsTuned) {
  Study study;
  study.request = {{"HyperParameterTuningJobConfig",
                    {{"HyperParameterTuningJobObjective", {{"MetricName", "val:accuracy"}, {"Type", "Maximize"}}}}}};
  for (uint32_t i = 1; i <= 3; ++i) {
    Trial trial;
    trial.number = i;
    trial.job_name = "shapes-00" + std::to_string(i) + "-0123abcd";
    trial.tuned = {{"augmentation", "none"}, {"batch-size", "32"}, {"learning-rate", "0.0012345678"}};
    trial.state.status = "Completed";
    trial.state.accounting = {{"SecondsToFirstBatch", 1234.5},
                              {"SecondsOfTraining", 12345.6},
                              {"S3Requests", 1234567},
                              {"S3Bytes", 123456789012}};
    trial.objective = 0.5 + i;
    study.trials.push_back(trial);
  }
  const std::string table = StudyTable(study, 80);
  for (const char* text : {"val:accuracy 3.5", "learning-rate 0.0012345678", "1234567", "115 GiB", "batch s"}) {
    EXPECT_THAT(table, testing::HasSubstr(text));
  }
  for (auto& trial : study.trials) {
    for (int i = 0; i < 20; ++i) trial.tuned["a-long-hyperparameter-name-" + std::to_string(i)] = std::string(90, 'v');
  }
  for (const size_t columns : {40u, 60u, 80u, 120u}) {
    for (const auto& line : Split(StudyTable(study, columns), '\n')) EXPECT_LE(line.size(), columns) << line;
  }
}

TEST(FailureLines, AreFew) {
  Study study;
  study.trials.resize(7);
  for (auto& trial : study.trials) trial.state.failure_reason = "why";
  EXPECT_EQ(FailureLines(study).size(), 6u);
  EXPECT_THAT(FailureLines(study).back(), testing::StartsWith("and 2 more jobs failed"));
}

TEST_F(TuningRunTest, ItsLockIsHeldWhileItRuns) {
  counter_.on_metric = [&] {
    EXPECT_EQ(jobs::TakeJobLock(jobs::TuningLockPath(state_, "held")).error().code, ErrorCode::kBusy);
  };
  EXPECT_EQ(Run(Job("held", "echo score=1\n", kGrid)).status, "Completed");
  EXPECT_TRUE(jobs::TakeJobLock(jobs::TuningLockPath(state_, "held")));
}

TEST_F(TuningRunTest, StopEndsTheChildrenToo) {
  counter_.on_metric = [&] { stop_ = 2; };
  const Study study = Run(Job("stop", "echo score=1\nsleep 60\n", kGrid));
  EXPECT_EQ(study.status, "Stopped");
  EXPECT_LE(study.trials.size(), 2u);
  for (const auto& trial : study.trials) EXPECT_EQ(trial.state.status, "Stopped");
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
