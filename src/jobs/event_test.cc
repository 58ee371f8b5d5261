// SPDX-License-Identifier: Apache-2.0
#include "jobs/event.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>

#include "jobs/describe.h"
#include "jobs/job_store.h"
#include "jobs/volume.h"

namespace leat::jobs {
namespace {

std::vector<Event> WholeJob() {
  const Json request = {{"TrainingJobName", "t"}, {"OutputDataConfig", {{"S3OutputPath", "s3://b/o"}}}};
  return {{"created", 1000000000, {{"request", request}}},
          {"status", 2000000000, {{"secondary", "Downloading"}, {"message", "Downloading input data"}}},
          {"status", 3000000000, {{"secondary", "Training"}, {"message", "one"}}},
          {"status", 3500000000, {{"secondary", "Training"}, {"message", "two"}}},
          {"status", 5000000000, {{"secondary", "Uploading"}, {"message", "up"}}},
          {"artifacts", 5500000000, {{"model", "s3://b/o/t/output/model.tar.gz"}}},
          {"ended", 6000000000, {{"status", "Completed"}, {"message", "Training job completed"}}}};
}

TEST(Event, AJobIsTheFoldOfItsEvents) {
  const JobState state = Fold(WholeJob());
  EXPECT_EQ(state.status, "Completed");
  ASSERT_EQ(state.transitions.size(), 5u);
  EXPECT_EQ(state.transitions[2].message, "two");  // each status once a visit, with its latest message
  EXPECT_EQ(state.transitions[2].start_ns, 3000000000);
  EXPECT_EQ(state.transitions[2].end_ns, 5000000000);
  EXPECT_EQ(state.transitions[4].start_ns, state.transitions[4].end_ns);
  EXPECT_EQ(state.started_ns, 2000000000);
}

TEST(Event, AnAttemptStartsAnewAndTheTimesOfAllAddUp) {
  const JobState state = Fold({{"created", 1000000000, {{"request", Json::object()}}},
                               {"training_started", 3000000000},
                               {"attempt", 7000000000, {{"number", 2}}},
                               {"training_started", 8000000000},
                               {"training_ended", 9000000000, {{"exit_code", 0}}}});
  EXPECT_EQ(state.training_started_ns, 8000000000);
  EXPECT_EQ(state.first_training_started_ns, 3000000000);
  const Json accounting = AccountingOf(state, {}, {}, {}, 10000000000);
  EXPECT_EQ(accounting["SecondsToStart"], 2.0);
  EXPECT_EQ(accounting["SecondsOfTraining"], 5.0);
  const auto first_batch = [&](int64_t told_ns) {
    return AccountingOf(state, {}, {}, {{"first_batch_seconds", 0.5, told_ns}}, 10000000000)["SecondsToFirstBatch"];
  };
  EXPECT_EQ(first_batch(4000000000), 2.5);
  EXPECT_EQ(first_batch(8600000000), 7.5);
}

TEST(Event, NothingChangesAJobThatHasEnded) {
  auto events = WholeJob();
  events.push_back({"ended", 7000000000, {{"status", "Failed"}}});
  events.push_back({"status", 7000000000, {{"secondary", "Training"}}});
  const JobState state = Fold(events);
  EXPECT_EQ(state.status, "Completed");
  EXPECT_EQ(state.modified_ns, 6000000000);
}

TEST(Event, StoppingIsAStatusOfItsOwn) {
  auto events = WholeJob();
  events.resize(4);
  events.push_back({"stop_requested", 4000000000});
  EXPECT_EQ(Fold(events).stop_level, 1);
  EXPECT_EQ(Fold(events).status, "InProgress");
  events.push_back({"status", 4100000000, {{"secondary", "Stopping"}}});
  EXPECT_EQ(Fold(events).status, "Stopping");
  EXPECT_FALSE(Fold(events).IsTerminal());
  events.erase(events.begin() + 1, events.end() - 2);  // in the queue
  events.push_back({"ended", 4200000000, {{"status", "Stopped"}}});
  const Json queued = DescribeTrainingJob("t", Fold(events), {});
  for (const char* time : {"TrainingStartTime", "TrainingTimeInSeconds", "BillableTimeInSeconds"})
    EXPECT_FALSE(queued.contains(time)) << time;
}

TEST(Describe, HasTheServicesShape) {
  const std::vector<MetricSample> samples = {{"acc", 0.5, 1000}, {"acc", 0.9, 2000}, {"acc", 0.7, 3000000000}};
  const Json description = DescribeTrainingJob("t", Fold(WholeJob()), samples);
  EXPECT_EQ(description["TrainingJobStatus"], "Completed");
  EXPECT_EQ(description["OutputDataConfig"]["CompressionType"], "GZIP");
  EXPECT_EQ(description["ModelArtifacts"]["S3ModelArtifacts"], "s3://b/o/t/output/model.tar.gz");
  EXPECT_EQ(description["TrainingTimeInSeconds"], 4);
  EXPECT_EQ(description["FinalMetricDataList"].size(), 1u);
  EXPECT_EQ(description["FinalMetricDataList"][0]["Value"], 0.7);
  EXPECT_EQ(description["FinalMetricDataList"][0]["Timestamp"], 3.0);
  EXPECT_EQ(description["LeatBestMetrics"][0]["Highest"], 0.9);
}

class JobStoreTest : public testing::Test {
 protected:
  JobStoreTest() { EXPECT_TRUE(mkdtemp(directory_)); }
  ~JobStoreTest() override { std::filesystem::remove_all(directory_); }
  char directory_[32] = "/tmp/leat-store-XXXXXX";
};

TEST_F(JobStoreTest, KeepsEventsSamplesAndPositions) {
  const auto events = WholeJob();
  {
    auto store = JobStore::Open(directory_).value();
    ASSERT_TRUE(store->Create(JobKind::kTraining, "One", events[0]));
    EXPECT_EQ(store->Create(JobKind::kTraining, "one", events[0]).error().code, ErrorCode::kExists);
    ASSERT_TRUE(store->Create(JobKind::kTraining, "two", events[0]));
    ASSERT_TRUE(store->AddSamples("One", 0, {{"x", 0.1, 5}, {"y", -2, 6}}, 70));
    ASSERT_TRUE(store->AddSamples("One", 1, {}, 9));
    EXPECT_EQ(store->Load("none").error().code, ErrorCode::kNotFound);
  }
  auto store = JobStore::Open(directory_).value();
  EXPECT_THAT(store->Names(JobKind::kTraining).value(), testing::ElementsAre("One", "two"));
  EXPECT_THAT(store->Unfinished(JobKind::kTraining).value(), testing::ElementsAre("One", "two"));
  EXPECT_EQ(store->Load("One")->status, "InProgress");
  const auto samples = store->Samples("One").value();
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[0].value, 0.1);
  EXPECT_EQ(store->Samples("One", samples[0].sequence)->size(), 1u);
  EXPECT_EQ(store->LogPosition("One", 0).value(), 70u);
  EXPECT_EQ(store->LogPosition("One", 1).value(), 9u);
  EXPECT_EQ(store->LogPosition("two", 0).value(), 0u);
  ASSERT_TRUE(store->ForgetLogPositions("One"));
  EXPECT_EQ(store->LogPosition("One", 0).value(), 0u);
  ASSERT_TRUE(store->Append(JobKind::kTraining, "two", {"stop_requested", 5, {{"level", 1}}}));
  EXPECT_THAT(store->UnfinishedToStop().value(), testing::ElementsAre("two"));
  ASSERT_TRUE(store->Append(JobKind::kTraining, "two", {"ended", 6, {{"status", "Stopped"}}}));
  EXPECT_THAT(store->Unfinished(JobKind::kTraining).value(), testing::ElementsAre("One"));
  EXPECT_TRUE(store->UnfinishedToStop()->empty());
  const auto kept = store->Events(JobKind::kTraining, "two").value();
  ASSERT_EQ(kept.size(), 3u);
  EXPECT_EQ(store->Events(JobKind::kTraining, "two", kept[1].sequence)->size(), 1u);
}

TEST_F(JobStoreTest, ATuningJobThatIsResumedIsUnfinishedAgain) {
  auto store = JobStore::Open(directory_).value();
  ASSERT_TRUE(store->Create(JobKind::kTuning, "t", {"created", 1, {{"request", Json::object()}}}));
  ASSERT_TRUE(store->Append(JobKind::kTuning, "t", {"stop_requested", 2, {{"level", 1}}}));
  ASSERT_TRUE(store->Append(JobKind::kTuning, "t", {"ended", 3, {{"status", "Stopped"}}}));
  EXPECT_TRUE(store->Unfinished(JobKind::kTuning)->empty());
  ASSERT_TRUE(store->Append(JobKind::kTuning, "t", {"resumed", 4, Json::object()}));
  EXPECT_THAT(store->Unfinished(JobKind::kTuning).value(), testing::ElementsAre("t"));
  const JobState state = Fold(store->Events(JobKind::kTuning, "t").value());
  EXPECT_EQ(state.status, "InProgress");
  EXPECT_EQ(state.stop_level, 0);
  EXPECT_FALSE(state.IsTerminal());
}

TEST(Volume, NoLinkOfAScriptsLeadsOut) {
  char name[] = "/tmp/leat-volume-XXXXXX";
  const std::string state = mkdtemp(name), volume = JobVolume(state, "j"), second = JobVolume(state, "j", 1);
  for (const auto& path : {volume + "/model", volume + "/output/data", second + "/model", second + "/output",
                           state + "/outside/data", state + "/outside/checkpoints/c"})
    ASSERT_TRUE(CreateDirectories(path));
  ASSERT_TRUE(WriteFileAtomically(state + "/outside/data/file", "x", 0644, false));
  EXPECT_TRUE(CheckParts(state, "j"));
  std::filesystem::remove(second + "/output");
  std::filesystem::create_directory_symlink(state + "/outside", second + "/output");
  EXPECT_THAT(CheckParts(state, "j").error().message, testing::StartsWith("/opt/ml/output is a link"));
  std::filesystem::remove_all(volume + "/output");
  std::filesystem::create_directory_symlink(state + "/outside", volume + "/output");
  EXPECT_FALSE(PartsWithEntries(state, "j").output_data);
  std::filesystem::create_directory_symlink(state + "/outside", volume + "/deep");
  EXPECT_EQ(KeepCheckpoints(state, "j", "deep/checkpoints").value(), "");
  ASSERT_TRUE(RemoveVolume(state, "j"));
  EXPECT_TRUE(std::filesystem::exists(state + "/outside/checkpoints/c"));
  EXPECT_TRUE(std::filesystem::exists(state + "/outside/data/file"));
  std::filesystem::remove_all(state);
}

TEST(Volume, CheckpointsOfEachHostAreKeptAndComeBack) {
  char name[] = "/tmp/leat-volume-XXXXXX";
  const std::string state = mkdtemp(name), first = JobDirectory(state, "j"), third = HostDirectory(state, "j", 2);
  for (const uint32_t host : {0, 1, 2}) ASSERT_TRUE(CreateDirectories(JobVolume(state, "j", host) + "/saved"));
  for (const auto& directory : {first, third})
    ASSERT_TRUE(WriteFileAtomically(directory + "/ml/saved/c", directory, 0644, false));
  EXPECT_EQ(KeepCheckpoints(state, "j", "saved").value(), first + "/checkpoints, " + third + "/checkpoints");
  ASSERT_TRUE(RemoveVolume(state, "j"));
  EXPECT_EQ(ReadFile(third + "/checkpoints/c").value_or(""), third);
  for (const uint32_t host : {0, 1, 2}) ASSERT_TRUE(CreateDirectories(JobVolume(state, "j", host) + "/saved"));
  ASSERT_TRUE(TakeBackCheckpoints(state, "j", "saved"));
  for (const auto& directory : {first, third}) EXPECT_EQ(ReadFile(directory + "/ml/saved/c").value_or(""), directory);
  std::filesystem::remove_all(state);
}

TEST(Volume, WhatIsKeptStays) {
  char directory[] = "/tmp/leat-volume-XXXXXX";
  ASSERT_TRUE(mkdtemp(directory));
  const std::string volume = JobVolume(directory, "j");
  for (const char* name : {"/model/m", "/output/data/d", "/output/other", "/input/i", "/checkpoints/c"}) {
    std::filesystem::create_directories(volume + name);
  }
  EXPECT_EQ(KeepCheckpoints(directory, "j", "nothing").value(), "");
  EXPECT_EQ(KeepCheckpoints(directory, "j", "checkpoints").value(), JobDirectory(directory, "j") + "/checkpoints");
  EXPECT_TRUE(std::filesystem::exists(JobDirectory(directory, "j") + "/checkpoints/c"));
  ASSERT_TRUE(RemoveVolume(directory, "j", {true, true}));
  EXPECT_TRUE(std::filesystem::exists(volume + "/model/m"));
  EXPECT_TRUE(std::filesystem::exists(volume + "/output/data/d"));
  EXPECT_FALSE(std::filesystem::exists(volume + "/output/other"));
  EXPECT_FALSE(std::filesystem::exists(volume + "/input"));
  ASSERT_TRUE(WriteFileAtomically(JobDirectory(directory, "j") + "/hosts", "", 0644, false));
  ASSERT_TRUE(RemoveVolume(directory, "j"));
  EXPECT_FALSE(std::filesystem::exists(JobDirectory(directory, "j") + "/hosts"));
  EXPECT_FALSE(std::filesystem::exists(volume));
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace leat::jobs
