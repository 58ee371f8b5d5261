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
  return {{"created", 1000000000, {{"request", request}, {"supervisor", ToJson({42, 7, "boot"})}}},
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
  EXPECT_EQ(state.supervisor.pid, 42);
  ASSERT_EQ(state.transitions.size(), 5u);
  EXPECT_EQ(state.transitions[2].message, "two");  // each status once a visit, with its latest message
  EXPECT_EQ(state.transitions[2].start_ns, 3000000000);
  EXPECT_EQ(state.transitions[2].end_ns, 5000000000);
  EXPECT_EQ(state.transitions[4].start_ns, state.transitions[4].end_ns);
  EXPECT_EQ(state.started_ns, 2000000000);
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
  EXPECT_TRUE(Fold(events).stop_requested);
  EXPECT_EQ(Fold(events).status, "InProgress");
  events.push_back({"status", 4100000000, {{"secondary", "Stopping"}}});
  EXPECT_EQ(Fold(events).status, "Stopping");
  EXPECT_FALSE(Fold(events).IsTerminal());
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

TEST(JobStore, KeepsEventsAndNamesAndEndsWhatWasAbandoned) {
  char directory[] = "/tmp/leat-store-XXXXXX";
  ASSERT_TRUE(mkdtemp(directory));
  {
    auto store = JobStore::Open(directory).value();
    const auto events = WholeJob();
    ASSERT_TRUE(store->Create(JobKind::kTraining, "Gone", events[0]));  // its supervisor is no process of this boot
    EXPECT_EQ(store->Create(JobKind::kTraining, "gone", events[0]).error().code, ErrorCode::kExists);
    Event alive = events[0];
    alive.body["supervisor"] = ToJson(ThisProcess());
    ASSERT_TRUE(store->Create(JobKind::kTraining, "alive", alive));
    ASSERT_TRUE(store->AddSamples("alive", {{"x", 0.1, 5}, {"y", -2, 6}}));
    EXPECT_EQ(store->Load("none").error().code, ErrorCode::kNotFound);
  }
  auto store = JobStore::Open(directory).value();
  EXPECT_THAT(store->Names(JobKind::kTraining).value(), testing::ElementsAre("Gone", "alive"));
  for (const char* name : {"Gone", "alive"}) std::filesystem::create_directories(JobVolume(directory, name) + "/code");
  std::filesystem::create_directories(JobVolume(directory, "Gone") + "/model/best");
  {
    // Its process is none of this machine's, but somebody holds it: another machine, another container.
    const auto lock = TakeJobLock(TrainingLockPath(directory, "Gone"));
    ASSERT_TRUE(lock);
    ASSERT_TRUE(store->EndAbandoned(8000000000));
    EXPECT_TRUE(std::filesystem::exists(JobVolume(directory, "Gone")));
    EXPECT_EQ(store->Load("Gone")->status, "InProgress");
  }
  ASSERT_TRUE(store->EndAbandoned(9000000000));
  EXPECT_FALSE(std::filesystem::exists(JobVolume(directory, "Gone") + "/code"));
  EXPECT_TRUE(std::filesystem::exists(JobVolume(directory, "Gone") + "/model/best"));  // the only copy there is
  EXPECT_THAT(store->Load("Gone")->failure_reason,
              testing::HasSubstr("the model is kept in " + std::string(directory)));
  EXPECT_TRUE(std::filesystem::exists(JobVolume(directory, "alive")));
  EXPECT_EQ(store->Load("alive")->status, "InProgress");
  EXPECT_EQ(store->Load("Gone")->status, "Failed");
  EXPECT_THAT(store->Load("Gone")->failure_reason, testing::StartsWith("InternalServerError: the supervisor"));
  EXPECT_EQ(store->Samples("alive")->at(0).value, 0.1);
  std::filesystem::remove_all(directory);
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
  ASSERT_TRUE(WriteFileAtomically(HostsPath(directory, "j"), "", 0644, false));
  ASSERT_TRUE(RemoveVolume(directory, "j"));
  EXPECT_FALSE(std::filesystem::exists(HostsPath(directory, "j")));
  EXPECT_FALSE(std::filesystem::exists(volume));
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace leat::jobs
