// SPDX-License-Identifier: Apache-2.0
// Whole jobs: real scripts, under bubblewrap where this machine allows it, data from a store in memory.
#include "jobs/training_run.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "jobs/archive.h"
#include "jobs/job_follower.h"
#include "jobs/jobs_testing.h"
#include "jobs/sandbox.h"
#include "jobs/transfer.h"
#include "jobs/volume.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

class Listener final : public RunObserver {
 public:
  void OnStatus(const std::string&, const std::string& secondary, const std::string&) override {
    statuses.push_back(secondary);
    if (on_status) on_status(secondary);
  }
  void OnLogLine(const std::string&, std::string_view line) override {
    if (on_line) on_line(std::string(line));
  }
  void OnMetric(const std::string&, const std::string&, double) override {}
  void OnWarning(const std::string&, const std::string& text) override { warnings.push_back(text); }
  std::vector<std::string> statuses, warnings;
  std::function<void(const std::string&)> on_line, on_status;
};

class TrainingRunTest : public testing::TestWithParam<bool> {
 protected:
  TrainingRunTest() {
    fs::create_directories(root_ + "/code");
    options_.sandbox = GetParam();
    options_.stop_grace = std::chrono::milliseconds(1500);
    file_systems_.root = root_ + "/mounted";
    fs::create_directories(file_systems_.root + "/dir");
    store_ = JobStore::Open(state_directory_).value();
  }
  void SetUp() override {
    if (!GetParam()) return;
    if (const Status status = CheckSandbox(); !status) GTEST_SKIP() << status.error().message;
  }

  Json Request(const std::string& script) {
    EXPECT_TRUE(WriteFileAtomically(root_ + "/code/run.sh", script, 0755, false));
    return {{"TrainingJobName", "job"},
            {"HyperParameters", {{"sagemaker_program", "run.sh"}, {"sagemaker_submit_directory", root_ + "/code"}}},
            {"AlgorithmSpecification",
             {{"TrainingInputMode", "File"},
              {"MetricDefinitions",
               {{{"Name", "acc"}, {"Regex", "acc=(\\S+)"}},
                {{"Name", "first_batch_seconds"}, {"Regex", "first=(\\S+)"}}}}}},
            {"OutputDataConfig", {{"S3OutputPath", "s3://bucket/out"}}}};
  }
  JobState Run(const Json& request) {
    const auto check = CheckTrainingJob(request);
    EXPECT_TRUE(StatusOf(check.problems, "request")) << StatusOf(check.problems, "request").error().message;
    const Status submitted = SubmitTrainingJob(check.job, options_, *store_);
    EXPECT_TRUE(submitted) << submitted.error().message;
    auto state = RunTrainingJob(check.job.name, Services());
    EXPECT_TRUE(state) << state.error().message;
    return state.value_or(JobState{});
  }
  RunServices Services() {
    std::vector<std::string> environment;
    for (char** entry = environ; *entry; ++entry) environment.emplace_back(*entry);
    return {state_directory_, *store_, file_systems_, buckets_, listener_, stop_, environment, {}};
  }
  // What a supervisor does that is killed at a line of the log; the job's state is only in files and in the store.
  void RunUntilKilledAt(const std::string& last_line) {
    const pid_t killed = fork();
    if (killed == 0) {
      auto store = JobStore::Open(state_directory_).value();
      Listener listener;
      listener.on_line = [&](const std::string& line) {
        if (line == last_line) raise(SIGKILL);
      };
      Buckets buckets;  // the other one's threads are not in this process
      buckets.bucket().PutObject("d/a", "one ");
      const StopLevel stop{0};
      (void)RunTrainingJob(
          "job", {state_directory_, *store, file_systems_, buckets, listener, stop, Services().environment, {}});
      _exit(1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(killed, &status, 0), killed);
    ASSERT_TRUE(WIFSIGNALED(status));
  }
  void KillShim() {
    const std::string text = ReadFile(state_directory_ + "/jobs/job/trainer").value();
    kill(static_cast<pid_t>(ParseUnsigned(Trim(text.substr(text.rfind(' ')))).value()), SIGKILL);
  }
  std::string LogPath(const std::string& job, uint32_t host = 0) {
    return HostDirectory(state_directory_, job, host) + "/log.0";
  }
  std::string Log() { return ReadFile(LogPath("job")).value_or(""); }

  const TestDirectory directory_;
  const std::string root_ = directory_.path(), state_directory_ = root_ + "/state";
  RunOptions options_;
  Buckets buckets_;
  sim::MemoryObjectStore& bucket_ = buckets_.bucket();
  Directories file_systems_;
  Listener listener_;
  StopLevel stop_{0};
  std::unique_ptr<JobStore> store_;
};

TEST_P(TrainingRunTest, FromBucketToModel) {
  for (int i = 0; i < 100; ++i)
    bucket_.PutObject("data/train/d" + std::to_string(i % 3) + "/f" + std::to_string(i), "12345");
  bucket_.PutObject("data/train/marker/", "");
  bucket_.PutObject("data/other", "no");
  ASSERT_TRUE(WriteFileAtomically(file_systems_.root + "/dir/file", "mounted", 0644, false));
  Json request = Request(R"(#!/bin/sh
echo "args: $*"
find "$SM_CHANNEL_TRAIN" -type f | wc -l
cat "$SM_CHANNEL_TRAIN/d1/f1" "$SM_CHANNEL_FSX/file"; echo
echo first=0.5; echo "acc=0.5"; echo "acc=0.75" >&2
printf weights > "$SM_MODEL_DIR/weights"; printf extra > "$SM_OUTPUT_DATA_DIR/extra"
)");
  request["HyperParameters"]["lr"] = "0.1";
  request["InputDataConfig"] = Json::parse(R"([
    {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/data/train"}}},
    {"ChannelName": "fsx", "DataSource": {"FileSystemDataSource": {"FileSystemId": "fs-1", "FileSystemAccessMode": "ro",
      "FileSystemType": "FSxLustre", "DirectoryPath": "/dir"}}}])");
  const JobState state = Run(request);
  EXPECT_EQ(state.status, "Completed") << state.failure_reason;
  EXPECT_THAT(listener_.statuses,
              testing::ElementsAre("Starting", "Downloading", "Training", "Uploading", "Completed"));
  EXPECT_EQ(Log(), "args: --lr 0.1\n100\n12345mounted\nfirst=0.5\nacc=0.5\nacc=0.75\n");
  EXPECT_EQ(state.model_artifacts, "s3://bucket/out/job/output/model.tar.gz");
  const auto contents = bucket_.Contents();
  ASSERT_TRUE(contents.count("out/job/output/model.tar.gz"));
  EXPECT_TRUE(contents.count("out/job/output/output.tar.gz"));
  ASSERT_TRUE(WriteFileAtomically(root_ + "/m.tar.gz", contents.at("out/job/output/model.tar.gz"), 0644, false));
  fs::create_directory(root_ + "/m");
  ASSERT_TRUE(ExtractArchive(root_ + "/m.tar.gz", root_ + "/m"));
  EXPECT_EQ(ReadFile(root_ + "/m/weights").value(), "weights");
  EXPECT_GE(state.accounting["S3Requests"], 100 + 10);
  EXPECT_EQ(state.accounting["S3Bytes"], 500 + 10);
  EXPECT_GT(state.accounting["SecondsToFirstBatch"], 0.5);
  EXPECT_EQ(store_->Samples("job")->size(), 3u);
  EXPECT_FALSE(fs::exists(state_directory_ + "/jobs/job/ml"));
  auto again = SubmitTrainingJob(CheckTrainingJob(request).job, options_, *store_);
  EXPECT_EQ(again.error().code, ErrorCode::kExists);
  EXPECT_THAT(again.error().message, HasSubstr("Training job names must be unique within an AWS account and region"));
  EXPECT_THAT(again.error().message, HasSubstr("choose another TrainingJobName (leat jobs describe job shows"));
}

TEST_P(TrainingRunTest, AMetricThatNeverHeldANumberIsTold) {
  const JobState state = Run(Request("echo 'acc=0.5,'; echo first=1\n"));
  EXPECT_THAT(state.warnings, testing::ElementsAre(testing::AllOf(StartsWith("metric acc"), HasSubstr("'0.5,'"))));
}

TEST_P(TrainingRunTest, AFailureTellsWhatTheScriptWrote) {
  const JobState state = Run(Request("printf 'out of luck' > \"$SM_OUTPUT_DIR/failure\"; exit 3\n"));
  EXPECT_EQ(state.status, "Failed");
  EXPECT_EQ(state.failure_reason, "AlgorithmError: out of luck, exit code: 3");
  EXPECT_TRUE(state.model_artifacts.empty());
}

TEST_P(TrainingRunTest, MissingDataFailsTheJobBeforeTheScript) {
  Json request = Request("echo never\n");
  request["InputDataConfig"] = Json::parse(
      R"([{"ChannelName": "c", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/none"}}}])");
  const JobState state = Run(request);
  EXPECT_EQ(state.status, "Failed");
  EXPECT_THAT(state.failure_reason,
              StartsWith("ClientError: channel c: No S3 objects found under S3 URL \"s3://bucket/none\""));
  EXPECT_EQ(Log(), "");
}

TEST_P(TrainingRunTest, AMountedPrefixThatShowsNotAllOfTheDataFailsTheJob) {
  for (const char* key : {"tr/train/a", "tr/train-more", "tr/only/b", "tr/marker/"})
    bucket_.PutObject(key, std::string(key).ends_with('/') ? "" : "x");
  int jobs = 0;
  const auto run = [&](const std::string& uri, bool is_fast_file) {
    Json request = Request("exit 0\n");
    request["TrainingJobName"] = "job-" + std::to_string(++jobs);
    Json source = {{"S3DataSource", {{"S3DataType", "S3Prefix"}, {"S3Uri", uri}}}};
    if (!is_fast_file) {
      source = {{"FileSystemDataSource",
                 {{"FileSystemId", uri},
                  {"FileSystemAccessMode", "ro"},
                  {"FileSystemType", "FSxLustre"},
                  {"DirectoryPath", "/dir"}}}};
    }
    request["InputDataConfig"] = {
        {{"ChannelName", "c"}, {"InputMode", is_fast_file ? "FastFile" : "File"}, {"DataSource", source}}};
    const JobState state = Run(request);
    return state.status == "Completed" ? "" : state.failure_reason;
  };
  for (const bool is_fast_file : {true, false}) {
    for (const char* uri : {"s3://bucket/none", "s3://bucket/none/", "s3://bucket/tr/marker", "s3://bucket/tr/marker/"})
      EXPECT_THAT(run(uri, is_fast_file), StartsWith("ClientError: channel c: No S3 objects found under S3 URL"))
          << uri;
    for (const char* uri : {"s3://bucket/tr/tra", "s3://bucket/tr/train", "s3://bucket/tr/only/b"})
      EXPECT_THAT(run(uri, is_fast_file),
                  StartsWith("ClientError: channel c: " + std::string(uri) + " names no folder"))
          << uri;
    for (const char* uri : {"s3://bucket", "s3://bucket/tr/", "s3://bucket/tr/only", "s3://bucket/tr/train/"})
      EXPECT_EQ(run(uri, is_fast_file), "") << uri;
  }
}

// Whether any process still has `mark` among its arguments.
bool AnyProcessHas(const std::string& mark) {
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const auto line = ReadFile(entry.path().string() + "/cmdline", 1u << 16);
    if (line && line->find(mark) != std::string::npos) return true;
  }
  return false;
}

TEST_P(TrainingRunTest, StopTermsThenKillsEveryDescendant) {
  const std::string mark = "31" + std::to_string(getpid()) + (GetParam() ? "1" : "2");
  // The script notes SIGTERM and goes on; a grandchild in a session of its own ignores it.
  const Json request = Request(
      "trap 'echo termed; printf m > \"$SM_MODEL_DIR/m\"' TERM\n"
      "setsid sh -c 'trap \"\" TERM; exec sleep " +
      mark +
      "' >/dev/null 2>&1 &\n"
      "echo ready\nwhile true; do sleep 0.05; done\n");
  listener_.on_line = [&](const std::string& line) {
    if (line != "ready") return;
    bool seen = false;
    for (int i = 0; i < 1000 && !(seen = AnyProcessHas(mark)); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_TRUE(seen);  // else its absence would prove nothing
    EXPECT_TRUE(store_->Append(JobKind::kTraining, "job", {"stop_requested", WallTimeNs(), Json::object()}));
  };
  const JobState state = Run(request);
  EXPECT_EQ(state.status, "Stopped");
  EXPECT_EQ(state.secondary, "Stopped");
  EXPECT_THAT(listener_.statuses, testing::ElementsAre("Starting", "Downloading", "Training", "Stopping", "Stopped"));
  EXPECT_THAT(Log(), HasSubstr("termed"));
  EXPECT_FALSE(state.model_artifacts.empty());  // what is there is kept
  EXPECT_FALSE(AnyProcessHas(mark));
}

TEST_P(TrainingRunTest, WhatTheScriptLeavesBehindEndsWithIt) {
  const std::string mark = "32" + std::to_string(getpid()) + (GetParam() ? "1" : "2");
  const JobState state = Run(Request("setsid sleep " + mark + " &\nexit 0\n"));
  EXPECT_EQ(state.status, "Completed");
  EXPECT_FALSE(AnyProcessHas(mark));
}

TEST_P(TrainingRunTest, StopLeavesTheScriptItsWorkers) {
  // As a DataLoader's: SIGTERM would end the worker, and the script needs it to finish its work.
  options_.stop_grace = std::chrono::minutes(5);
  listener_.on_line = [&](const std::string& line) {
    if (line == "ready") stop_ = 1;
  };
  const JobState state =
      Run(Request("trap 'stopping=1' TERM\n"
                  "sh -c 'trap \"echo worker was told; exit\" TERM; while true; do sleep 0.05; done' &\n"
                  "worker=$!\necho ready\n"
                  "while [ -z \"$stopping\" ]; do sleep 0.05; done\n"
                  "sleep 0.3; kill -0 $worker && echo worker lives; kill -KILL $worker\n"));
  EXPECT_EQ(state.status, "Stopped");
  EXPECT_THAT(Log(), HasSubstr("worker lives"));
  EXPECT_THAT(Log(), testing::Not(HasSubstr("worker was told")));
}

TEST_P(TrainingRunTest, StopReachesTheProgramOfAScriptThatDiesAtOnce) {
  // `bash run.sh` dies of SIGTERM; the program that it runs is told too, and has its time.
  Json request = Request(
      "sh -c 'trap \"sleep 0.3; echo saved; echo m > $SM_MODEL_DIR/m; exit\" TERM; echo ready; "
      "while true; do sleep 0.05; done'\n");
  options_.stop_grace = std::chrono::minutes(5);
  listener_.on_line = [&](const std::string& line) {
    if (line == "ready") stop_ = 1;
  };
  const JobState state = Run(request);
  EXPECT_EQ(state.status, "Stopped");
  EXPECT_THAT(Log(), HasSubstr("saved"));
}

TEST_P(TrainingRunTest, StopEndsADownloadFromBothSources) {
  for (const bool by_signal : {true, false}) {
    Json request = Request("echo never\n");
    request["TrainingJobName"] = by_signal ? "by-signal" : "by-request";
    request["InputDataConfig"] = Json::parse(
        R"([{"ChannelName": "c", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/d"}}}])");
    bucket_.PutObject("d/file", "x");
    sim::Fault stall{env::RequestKind::kGet, "d/file"};
    stall.stall = true;  // a GET that never ends by itself
    bucket_.AddFault(stall);
    stop_ = 0;
    listener_.on_status = [&](const std::string& secondary) {
      if (secondary != "Downloading") return;
      if (by_signal) {
        stop_ = 1;
      } else {
        EXPECT_TRUE(store_->Append(JobKind::kTraining, "by-request", {"stop_requested", WallTimeNs(), Json::object()}));
      }
    };
    EXPECT_EQ(Run(request).status, "Stopped");
  }
  EXPECT_FALSE(fs::exists(LogPath("by-signal")));
}

TEST_P(TrainingRunTest, AnUploadThatFailsKeepsTheModel) {
  bucket_.AddFault({env::RequestKind::kPut, "out/job/output/model"});
  const JobState state = Run(Request("printf weights > \"$SM_MODEL_DIR/weights\"\n"));
  EXPECT_EQ(state.status, "Failed");
  EXPECT_EQ(bucket_.FaultsFired(), 1);
  const std::string volume = state_directory_ + "/jobs/job/ml";
  EXPECT_THAT(state.failure_reason, StartsWith("ClientError: uploading s3://bucket/out/job/output/model"));
  EXPECT_THAT(state.failure_reason, testing::EndsWith("; the model is kept in " + volume + "/model"));
  EXPECT_EQ(ReadFile(volume + "/model/weights").value(), "weights");
  EXPECT_FALSE(fs::exists(volume + "/code"));
}

TEST_P(TrainingRunTest, ASecondStopGivesAnUploadUp) {
  sim::Fault stall{env::RequestKind::kPut, "out/"};
  stall.stall = true;
  stall.count = 2;
  bucket_.AddFault(stall);
  std::jthread impatient([&](const std::stop_token& end) {
    for (const int uploads : {1, 2}) {
      while (bucket_.FaultsFired() < uploads && !end.stop_requested())
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      stop_ = 2;
    }
  });
  Json request = Request("printf weights > \"$SM_MODEL_DIR/weights\"\n");
  EXPECT_EQ(Run(request).secondary, "Stopped");
  stop_ = 0;
  request = Request("printf weights > \"$SM_MODEL_DIR/weights\"; sleep 60\n");
  request["TrainingJobName"] = "overdue";
  request["StoppingCondition"] = {{"MaxRuntimeInSeconds", 1}};
  const JobState overdue = Run(request);
  EXPECT_EQ(overdue.status, "Stopped") << overdue.failure_reason;
  EXPECT_EQ(overdue.secondary, "MaxRuntimeExceeded");
  EXPECT_EQ(bucket_.FaultsFired(), 2);
  for (const char* name : {"job", "overdue"}) {
    const std::string model = state_directory_ + "/jobs/" + name + "/ml/model";
    EXPECT_TRUE(fs::exists(model + "/weights"));
    EXPECT_THAT(listener_.warnings, testing::Contains("the model is kept in " + model));
  }
}

TEST_P(TrainingRunTest, AnUploadWithoutCredentialsWaitsForSome) {
  for (const bool come : {true, false}) {
    Json request = Request("printf weights > \"$SM_MODEL_DIR/weights\"; echo trained\n");
    request["TrainingJobName"] = come ? "come" : "stopped";
    listener_.on_line = [&](const std::string&) { buckets_.has_credentials = false; };
    std::string message;
    listener_.on_status = [&](const std::string& secondary) {
      if (secondary != "Uploading") return;
      message = store_->Load(request["TrainingJobName"])->transitions.back().message;
      if (message.rfind("Waiting for AWS credentials", 0) != 0) return;
      if (come) buckets_.has_credentials = true;
      if (!come) stop_ = 1;
    };
    const JobState state = Run(request);
    EXPECT_EQ(state.status, come ? "Completed" : "Stopped") << state.failure_reason;
    EXPECT_THAT(message,
                HasSubstr(come ? "Uploading generated training model" : "run leat jobs describe stopped with"));
    EXPECT_EQ(bucket_.Contents().count("out/" + request["TrainingJobName"].get<std::string>() + "/output/model.tar.gz"),
              come ? 1u : 0u);
    buckets_.has_credentials = true;
  }
  EXPECT_EQ(ReadFile(state_directory_ + "/jobs/stopped/ml/model/weights").value_or(""), "weights");
  EXPECT_THAT(listener_.warnings, testing::Contains(HasSubstr("the model is kept in")));
}

TEST_P(TrainingRunTest, AMissingBucketIsFoundBeforeTheScriptRuns) {
  Json request = Request("echo never\n");
  request["OutputDataConfig"]["S3OutputPath"] = "s3://none/out";
  EXPECT_THAT(Run(request).failure_reason, StartsWith("ClientError: OutputDataConfig.S3OutputPath s3://none/out"));
  EXPECT_THAT(listener_.statuses, testing::ElementsAre("Starting", "Failed"));
  EXPECT_FALSE(fs::exists(LogPath("job")));
}

TEST_P(TrainingRunTest, OutputThatMayNotBeListedIsTried) {
  bucket_.AddFault({env::RequestKind::kList, "out", ErrorCode::kDenied});
  EXPECT_EQ(Run(Request("exit 0\n")).status, "Completed");
  EXPECT_EQ(bucket_.FaultsFired(), 1);
  EXPECT_THAT(listener_.warnings, testing::Contains(HasSubstr("whether it can be written shows at the end")));
}

TEST_P(TrainingRunTest, CheckpointsGoToS3AndComeBack) {
  Json request =
      Request("cat \"${SM_MODEL_DIR%/model}/saved/ckpt/c\"; printf c > \"${SM_MODEL_DIR%/model}/saved/ckpt/c\"\n");
  request["CheckpointConfig"] = {{"S3Uri", "s3://bucket/c"}, {"LocalPath", "/opt/ml/saved/ckpt/"}};
  EXPECT_EQ(Run(request).status, "Completed");
  EXPECT_EQ(bucket_.Contents()["c/c"], "c");
  EXPECT_FALSE(fs::exists(state_directory_ + "/jobs/job/checkpoints"));
  request["TrainingJobName"] = "next";
  EXPECT_EQ(Run(request).status, "Completed");
  EXPECT_EQ(ReadFile(LogPath("next")).value_or(""), "c");
}

TEST_P(TrainingRunTest, CheckpointsThatCannotBeCopiedAreKept) {
  sim::Fault refused{env::RequestKind::kPut, "c/c", ErrorCode::kDenied};
  refused.count = 1000;
  bucket_.AddFault(refused);
  Json request = Request("printf c > \"${SM_MODEL_DIR%/model}/checkpoints/c\"\n");
  request["CheckpointConfig"] = {{"S3Uri", "s3://bucket/c"}};
  EXPECT_EQ(Run(request).status, "Completed");
  const std::string kept = state_directory_ + "/jobs/job/checkpoints";
  EXPECT_EQ(ReadFile(kept + "/c").value_or(""), "c");
  EXPECT_THAT(listener_.warnings, testing::Contains("checkpoints are kept in " + kept));
}

TEST_P(TrainingRunTest, APipeFeedsTheScriptEpochByEpoch) {
  bucket_.PutObject("d/a", "one ");
  bucket_.PutObject("d/b", "two ");
  Json request = Request(
      "for epoch in 0 1; do p=$SM_CHANNEL_TRAIN\"_$epoch\"; until [ -p \"$p\" ]; do sleep 0.02; done; cat \"$p\"; "
      "done; echo\n");
  request["InputDataConfig"] = Json::parse(
      R"([{"ChannelName": "train", "InputMode": "Pipe",
           "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/d/"}}}])");
  const JobState state = Run(request);
  EXPECT_EQ(state.status, "Completed") << state.failure_reason;
  EXPECT_EQ(Log(), "one two one two \n");
  EXPECT_GE(state.accounting["S3Bytes"], 16);
}

TEST_P(TrainingRunTest, APipeThatCannotBeFedFailsTheJob) {
  bucket_.PutObject("d/a", "one ");
  sim::Fault refused{env::RequestKind::kGet, "d/a", ErrorCode::kDenied};
  refused.count = 1000;
  bucket_.AddFault(refused);
  Json request =
      Request("until [ -p \"$SM_CHANNEL_TRAIN\"_0 ]; do sleep 0.02; done; cat \"$SM_CHANNEL_TRAIN\"_0; exit 0\n");
  request["InputDataConfig"] = Json::parse(
      R"([{"ChannelName": "train", "InputMode": "Pipe",
           "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/d/"}}}])");
  const JobState state = Run(request);
  EXPECT_EQ(state.status, "Failed");
  EXPECT_THAT(state.failure_reason, StartsWith("ClientError: "));
}

TEST_P(TrainingRunTest, EachHostGetsItsPartOfAShardedChannel) {
  for (const char* key : {"d/a", "d/b", "d/c", "d/d"}) bucket_.PutObject(key, key);
  Json request = Request("ls \"$SM_CHANNEL_TRAIN\" | tr -d '\\n'; echo\n");
  request["ResourceConfig"] = {{"InstanceType", "local"}, {"InstanceCount", 2}};
  request["InputDataConfig"] = Json::parse(
      R"([{"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/d/",
           "S3DataDistributionType": "ShardedByS3Key"}}}])");
  EXPECT_EQ(Run(request).status, "Completed");
  EXPECT_EQ(Log(), "ac\n");
  EXPECT_EQ(ReadFile(LogPath("job", 1)).value_or(""), "bd\n");
}

Json EfsChannels(const std::string& id, const std::string& directory, const char* mode = "ro") {
  Json channel = {{"ChannelName", "train"}};
  channel["DataSource"]["FileSystemDataSource"] = {
      {"FileSystemId", id}, {"FileSystemAccessMode", mode}, {"FileSystemType", "EFS"}, {"DirectoryPath", directory}};
  return Json::array({channel});
}

TEST_P(TrainingRunTest, AFileSystemIdMayNameADirectory) {
  ASSERT_TRUE(WriteFileAtomically(state_directory_ + "/file-systems.json",
                                  "{\"fs-0123456789abcdef0\": \"" + root_ + "/mounted\"}", 0600, false));
  ASSERT_TRUE(WriteFileAtomically(root_ + "/mounted/dir/f", "shared", 0644, false));
  Json request = Request("cat \"$SM_CHANNEL_TRAIN/f\"\n");
  request["InputDataConfig"] = EfsChannels("fs-0123456789abcdef0", "/dir");
  EXPECT_EQ(Run(request).status, "Completed");
  EXPECT_EQ(Log(), "shared");
}

TEST_P(TrainingRunTest, AWritableFileSystemIsWrittenTo) {
  Json request = Request("echo kept > \"$SM_CHANNEL_TRAIN/kept\"\n");
  request["InputDataConfig"] = EfsChannels("local", root_, "rw");
  Run(request);
  EXPECT_EQ(ReadFile(root_ + "/kept").value_or(""), "kept\n");
  request.update({{"TrainingJobName", "ro"}, {"InputDataConfig", EfsChannels("local", root_)}});
  if (GetParam()) EXPECT_EQ(Run(request).status, "Failed");
}

TEST_P(TrainingRunTest, AFileSystemIdThatNobodyKnowsOpensNoDirectory) {
  Json request = Request("true\n");
  request["InputDataConfig"] = EfsChannels("fs-0123456789abcdef1", "/");
  EXPECT_THAT(Run(request).failure_reason,
              StartsWith("ClientError: channel train: file system fs-0123456789abcdef1 is not in "
                         "STATE/file-systems.json: add {\"fs-0123456789abcdef1\": "));
}

TEST_P(TrainingRunTest, TheNameOfTheHostResolves) {
  if (!GetParam()) GTEST_SKIP() << "needs /etc/hosts of the job's own";
  EXPECT_EQ(Run(Request("getent hosts \"$SM_CURRENT_HOST\"\n")).status, "Completed") << Log();
  EXPECT_THAT(Log(), HasSubstr("127.0.0.1"));
}

TEST_P(TrainingRunTest, AProgramThatCannotStartSaysWhy) {
  Json request = Request("");
  request["HyperParameters"] = Json::object();
  request["AlgorithmSpecification"]["ContainerEntrypoint"] = {root_ + "/code"};
  const JobState state = Run(request);
  EXPECT_THAT(state.failure_reason, HasSubstr("ermission denied"));
}

TEST_P(TrainingRunTest, TheScriptHoldsNothingOfOurs) {
  EXPECT_EQ(Run(Request("ls -l /proc/self/fd\n")).status, "Completed");
  EXPECT_THAT(Log(), testing::Not(HasSubstr("jobs.db")));
  EXPECT_THAT(Log(), testing::Not(HasSubstr("/jobs/job/trainer")));
}

TEST_P(TrainingRunTest, MaxRuntimeStops) {
  Json request = Request("sleep 60\n");
  request["StoppingCondition"] = {{"MaxRuntimeInSeconds", 1}};
  const JobState state = Run(request);
  EXPECT_EQ(state.status, "Stopped");
  EXPECT_EQ(state.secondary, "MaxRuntimeExceeded");
}

TEST_P(TrainingRunTest, MaxRuntimeSpansAllAttempts) {
  Json request = Request("sleep 60\n");
  request["StoppingCondition"] = {{"MaxRuntimeInSeconds", 3600}};
  constexpr int64_t kHourNs = 3'600'000'000'000;
  const int64_t now_ns = WallTimeNs();
  ASSERT_TRUE(store_->Create(JobKind::kTraining, "job",
                             {"created", now_ns - 3 * kHourNs, {{"request", request}, {"options", ToJson(options_)}}}));
  const auto append = [&](const char* kind, int64_t at_ns, Json body) {
    ASSERT_TRUE(store_->Append(JobKind::kTraining, "job", {kind, at_ns, std::move(body)}));
  };
  append("status", now_ns - 3 * kHourNs, {{"secondary", "Training"}, {"message", ""}});
  append("training_started", now_ns - 3 * kHourNs, Json::object());
  append("attempt", now_ns - kHourNs, {{"number", 2}});
  const auto state = RunTrainingJob("job", Services());
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->secondary, "MaxRuntimeExceeded") << state->failure_reason;
  EXPECT_EQ(state->trained_before_ns, 2 * kHourNs);
}

TEST_P(TrainingRunTest, MaxWaitStops) {
  Json request = Request("sleep 60\n");
  request["EnableManagedSpotTraining"] = true;
  request["StoppingCondition"] = {{"MaxRuntimeInSeconds", 1}, {"MaxWaitTimeInSeconds", 1}};
  // The time begins with the submission.
  ASSERT_TRUE(SubmitTrainingJob(CheckTrainingJob(request).job, options_, *store_));
  std::this_thread::sleep_for(std::chrono::milliseconds(600));
  const auto state = RunTrainingJob("job", Services());
  ASSERT_TRUE(state);
  EXPECT_EQ(state->status, "Stopped");
  EXPECT_EQ(state->secondary, "MaxWaitTimeExceeded");
}

TEST_P(TrainingRunTest, MaxWaitEndsThePreparation) {
  Json request = Request("echo never\n");
  request["EnableManagedSpotTraining"] = true;
  request["StoppingCondition"] = {{"MaxRuntimeInSeconds", 1}, {"MaxWaitTimeInSeconds", 1}};
  // The time is over before the preparation begins.
  ASSERT_TRUE(store_->Create(
      JobKind::kTraining, "job",
      {"created", WallTimeNs() - 3'600'000'000'000, {{"request", request}, {"options", ToJson(options_)}}}));
  const auto state = RunTrainingJob("job", Services());
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->status, "Stopped") << state->failure_reason;
  EXPECT_EQ(state->secondary, "MaxWaitTimeExceeded");
  EXPECT_FALSE(state->training_started_ns);
  EXPECT_EQ(Log(), "");
}

TEST_P(TrainingRunTest, CodeFromAnArchiveInTheBucket) {
  Json request = Request("echo from an archive\n");
  std::string bytes;
  ASSERT_TRUE(WriteArchive(root_ + "/code", [&](std::span<const std::byte> piece) -> Status {
    bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    return {};
  }));
  bucket_.PutObject("src/sourcedir.tar.gz", bytes);
  request["HyperParameters"]["sagemaker_submit_directory"] = "\"s3://bucket/src/sourcedir.tar.gz\"";
  EXPECT_EQ(Run(request).status, "Completed");
  EXPECT_EQ(Log(), "from an archive\n");
}

TEST_P(TrainingRunTest, HostsSeeEachOtherAndTheirModelsAreOne) {
  Json request = Request(
      "echo \"$SM_CURRENT_HOST of $SM_HOSTS, master $MASTER_ADDR\"; echo acc=0.5\n"
      "printf $SM_CURRENT_HOST > \"$SM_MODEL_DIR/$SM_CURRENT_HOST\"; printf $SM_CURRENT_HOST > "
      "\"$SM_MODEL_DIR/shared\"\n"
      "grep -c '\"current_host\":\"'$SM_CURRENT_HOST'\"' \"$SM_INPUT_CONFIG_DIR/resourceconfig.json\"\n");
  request["ResourceConfig"] = {{"InstanceType", "local"}, {"InstanceCount", 2}};
  const JobState state = Run(request);
  ASSERT_EQ(state.status, "Completed") << state.failure_reason;
  EXPECT_EQ(Log(), "algo-1 of [\"algo-1\",\"algo-2\"], master algo-1\nacc=0.5\n1\n");
  EXPECT_EQ(ReadFile(LogPath("job", 1)).value_or(""), "algo-2 of [\"algo-1\",\"algo-2\"], master algo-1\nacc=0.5\n1\n");
  EXPECT_EQ(store_->Samples("job")->size(), 2u);
  ASSERT_TRUE(
      WriteFileAtomically(root_ + "/m.tar.gz", bucket_.Contents().at("out/job/output/model.tar.gz"), 0644, false));
  fs::create_directory(root_ + "/m");
  ASSERT_TRUE(ExtractArchive(root_ + "/m.tar.gz", root_ + "/m"));
  EXPECT_EQ(ReadFile(root_ + "/m/algo-1").value_or(""), "algo-1");
  EXPECT_EQ(ReadFile(root_ + "/m/algo-2").value_or(""), "algo-2");
  EXPECT_EQ(ReadFile(root_ + "/m/shared").value_or(""), "algo-1");
  EXPECT_THAT(listener_.warnings, testing::Contains(HasSubstr("several hosts wrote model/shared")));
}

TEST_P(TrainingRunTest, OneHostsFailureEndsTheOthers) {
  Json request = Request("[ $SM_CURRENT_HOST = algo-2 ] && { echo broken >&2; exit 5; }\nsleep 600\n");
  request["ResourceConfig"] = {{"InstanceType", "local"}, {"InstanceCount", 2}};
  const JobState state = Run(request);
  EXPECT_EQ(state.status, "Failed");
  EXPECT_EQ(state.failure_reason, "AlgorithmError: broken, exit code: 5");
}

TEST_P(TrainingRunTest, AnotherSupervisorTakesTheJobUp) {
  const std::string go = root_ + "/code/go";
  Json request = Request("echo acc=0.1; echo first=0.5; until [ -e \"" + go +
                         "\" ]; do sleep 0.02; done; echo acc=0.2; echo m > \"$SM_MODEL_DIR/m\"\n");
  ASSERT_TRUE(SubmitTrainingJob(CheckTrainingJob(request).job, options_, *store_));
  RunUntilKilledAt("first=0.5");
  EXPECT_EQ(store_->Load("job")->secondary, "Training");
  ASSERT_TRUE(WriteFileAtomically(go, "", 0600, false));
  const auto state = RunTrainingJob("job", Services());
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->status, "Completed") << state->failure_reason;
  EXPECT_EQ(state->attempt, 1u);
  std::vector<double> values;
  const auto samples = store_->Samples("job").value();
  for (const auto& sample : samples) {
    if (sample.name == "acc") values.push_back(sample.value);
  }
  EXPECT_THAT(values, testing::ElementsAre(0.1, 0.2));  // each once
  EXPECT_EQ(Log(), "acc=0.1\nfirst=0.5\nacc=0.2\n");
}

TEST_P(TrainingRunTest, APipedJobStartsAnewBesideItsFirstLog) {
  const std::string go = root_ + "/code/go";
  bucket_.PutObject("d/a", "one ");
  Json request =
      Request("cat \"$SM_CHANNEL_TRAIN\"_0; echo; until [ -e \"" + go + "\" ]; do sleep 0.02; done; exit 3\n");
  request["InputDataConfig"] = Json::parse(
      R"([{"ChannelName": "train", "InputMode": "Pipe",
           "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/d/"}}}])");
  ASSERT_TRUE(SubmitTrainingJob(CheckTrainingJob(request).job, options_, *store_));
  RunUntilKilledAt("one ");
  ASSERT_TRUE(WriteFileAtomically(go, "", 0600, false));
  const auto state = RunTrainingJob("job", Services());
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->attempt, 2u);
  EXPECT_EQ(state->retries, 0u);
  EXPECT_THAT(state->warnings, testing::Contains(HasSubstr("attempt 1 was started anew: its pipes ended with")));
  EXPECT_THAT(ReadFile(state_directory_ + "/jobs/job/attempt-1/log.0").value_or(""), StartsWith("one \n"));
  Listener told;
  std::vector<std::string> lines;
  told.on_line = [&](const std::string& line) { lines.push_back(line); };
  JobFollower follower(*store_, state_directory_, "job", told, true);
  EXPECT_TRUE(follower.Turn().value());
  EXPECT_THAT(lines, testing::ElementsAre("one ", "one "));
}

TEST_P(TrainingRunTest, ALostTrainerIsRetriedWithItsCheckpoints) {
  Json request = Request(
      "c=\"${SM_MODEL_DIR%/model}/checkpoints/c\"; [ -e \"$c\" ] && { echo again; exit 0; }\n"
      "echo 1 > \"$c\"; echo ready; sleep 600\n");
  request["CheckpointConfig"] = {{"S3Uri", "s3://bucket/c"}};
  request["RetryStrategy"] = {{"MaximumRetryAttempts", 1}};
  listener_.on_line = [&](const std::string& line) {
    if (line == "ready") KillShim();
  };
  const JobState state = Run(request);
  EXPECT_EQ(state.status, "Completed") << state.failure_reason;
  EXPECT_EQ(state.attempt, 2u);
  EXPECT_EQ(Log(), "again\n");
  EXPECT_EQ(ReadFile(state_directory_ + "/jobs/job/attempt-1/log.0").value_or(""), "ready\n");
}

TEST_P(TrainingRunTest, ARetryKnowsNothingOfThePipesAndCheckpointsBefore) {
  bucket_.PutObject("d/a", "one ");
  bucket_.AddFault({env::RequestKind::kGet, "d/a", ErrorCode::kDenied});
  bucket_.AddFault({env::RequestKind::kPut, "c/c", ErrorCode::kDenied});
  Json request = Request(
      "c=\"${SM_MODEL_DIR%/model}/checkpoints/c\"; p=\"$SM_CHANNEL_TRAIN\"_0; until [ -p \"$p\" ]; do sleep 0.02; "
      "done\n"
      "[ -e \"$c\" ] && exec cat \"$p\"\n"
      "trap '' TERM; cat \"$p\" & echo 1 > \"$c\"; echo ready; sleep 600\n");
  request["InputDataConfig"] = Json::parse(
      R"([{"ChannelName": "train", "InputMode": "Pipe",
           "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/d/"}}}])");
  request["CheckpointConfig"] = {{"S3Uri", "s3://bucket/c"}};
  request["RetryStrategy"] = {{"MaximumRetryAttempts", 1}};
  options_.stop_grace = std::chrono::minutes(5);
  listener_.on_line = [&](const std::string& line) {
    if (line != "ready") return;
    while (bucket_.FaultsFired() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::this_thread::sleep_for(std::chrono::milliseconds(200));  // the pipe's failure is known then
    KillShim();
  };
  const JobState state = Run(request);
  EXPECT_EQ(bucket_.FaultsFired(), 2);
  EXPECT_EQ(state.status, "Completed") << state.failure_reason;
  EXPECT_EQ(state.attempt, 2u);
  EXPECT_EQ(bucket_.Contents()["c/c"], "1\n");
  EXPECT_FALSE(fs::exists(state_directory_ + "/jobs/job/checkpoints"));
}

TEST_P(TrainingRunTest, ALostTrainerWithoutARetryIsAnInternalError) {
  listener_.on_line = [&](const std::string&) { KillShim(); };
  const JobState state = Run(Request("echo ready; sleep 600\n"));
  EXPECT_EQ(state.status, "Failed");
  EXPECT_THAT(state.failure_reason, StartsWith("InternalServerError: the script's parent process ended"));
}

TEST_P(TrainingRunTest, AScriptThatFailsWithItsFileSystemIsRetried) {
  ASSERT_TRUE(WriteFileAtomically(file_systems_.root + "/dir/file", "mounted", 0644, false));
  Json request = Request("echo ready; exit 7\n");
  request["InputDataConfig"] = Json::parse(
      R"([{"ChannelName": "fsx", "DataSource": {"FileSystemDataSource": {"FileSystemId": "fs-1",
        "FileSystemAccessMode": "ro", "FileSystemType": "FSxLustre", "DirectoryPath": "/dir"}}}])");
  request["RetryStrategy"] = {{"MaximumRetryAttempts", 1}};
  listener_.on_line = [&](const std::string&) { file_systems_.lost = "fs-1"; };
  JobState state = Run(request);
  EXPECT_EQ(state.attempt, 2u);
  EXPECT_THAT(state.failure_reason, StartsWith("InternalServerError: file system fs-1 was lost under the script"));
  listener_.on_line = nullptr;
  request["TrainingJobName"] = "own-fault";
  state = Run(request);
  EXPECT_EQ(state.attempt, 1u);
  EXPECT_THAT(state.failure_reason, StartsWith("AlgorithmError: "));
}

INSTANTIATE_TEST_SUITE_P(Sandbox, TrainingRunTest, testing::Bool(),
                         [](const auto& about) { return about.param ? "WithSandbox" : "WithoutSandbox"; });

TEST(Transfer, PathsOfKeys) {
  EXPECT_EQ(PathOfKey("p/train", "p/train/x/a.csv"), "x/a.csv");
  EXPECT_EQ(PathOfKey("p/train/", "p/train/x/a.csv"), "x/a.csv");
  EXPECT_EQ(PathOfKey("converts/00c7", "converts/00c7-1.zip"), "00c7-1.zip");
  EXPECT_EQ(PathOfKey("a.csv", "a.csv"), "a.csv");
  EXPECT_EQ(PathOfKey("", "x/y"), "x/y");
}

TEST(Transfer, AKeyThatIsNoPathIsRefused) {
  sim::MemoryObjectStore store;
  store.PutObject("p/../../evil", "x");
  char directory[] = "/tmp/leat-transfer-XXXXXX";
  ASSERT_TRUE(mkdtemp(directory));
  const auto result = DownloadPrefix(store, "s3://bucket/p", std::string(directory) + "/a/b", 4, {});
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
  fs::remove_all(directory);
}

TEST(Transfer, AKeyThatIsAFileAndAFolderIsNamed) {
  for (const bool file_first : {true, false}) {
    const TestDirectory directory;
    sim::MemoryObjectStore store;
    store.PutObject("p/col/a", "x");
    store.PutObject("p/col/a/b", "x");
    if (file_first) {
      ASSERT_TRUE(CreateDirectories(directory.path() + "/col"));
      ASSERT_TRUE(WriteFileAtomically(directory.path() + "/col/a", "", 0644, false));
    } else {
      ASSERT_TRUE(CreateDirectories(directory.path() + "/col/a"));
    }
    const auto result = DownloadPrefix(store, "s3://bucket/p/", directory.path(), 1, {});
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(result.error().message, HasSubstr("'p/col/a' of s3://bucket/p/ is an object"));
    EXPECT_THAT(result.error().message, HasSubstr("'p/col/a/'"));
  }
}

TEST(Transfer, OneFailureEndsADownload) {
  sim::MemoryObjectStore store;
  for (int i = 0; i < 20; ++i) store.PutObject("p/" + std::to_string(i), "x");
  store.AddFault({env::RequestKind::kGet, "p/7", ErrorCode::kCorrupt});
  char directory[] = "/tmp/leat-transfer-XXXXXX";
  ASSERT_TRUE(mkdtemp(directory));
  EXPECT_EQ(DownloadPrefix(store, "s3://bucket/p", directory, 4, {}).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(store.FaultsFired(), 1);
  fs::remove_all(directory);
}

TEST(Transfer, LargeArtifactsGoInParts) {
  Buckets buckets;
  const std::vector<std::byte> piece(5u << 20, std::byte{7});
  {
    auto writer = OpenArtifact(buckets, "s3://bucket/big", {}).value();
    for (int i = 0; i < 8; ++i) ASSERT_TRUE(writer->Write(piece));
    EXPECT_EQ(buckets.bucket().Contents().count("big"), 0u);
    ASSERT_TRUE(writer->Finish());
  }
  EXPECT_EQ(buckets.bucket().Contents().at("big"), std::string(40u << 20, '\7'));
}

}  // namespace
}  // namespace leat::jobs
