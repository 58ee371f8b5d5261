// SPDX-License-Identifier: Apache-2.0
#include "cli/job_removal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "jobs/volume.h"

namespace leat::cli {
namespace {

namespace fs = std::filesystem;
using jobs::JobKind;
using testing::HasSubstr;

class JobRemovalTest : public testing::Test {
 protected:
  JobRemovalTest() {
    char path[] = "/tmp/leat-removal-XXXXXX";
    state_ = mkdtemp(path);
    store_ = std::move(*jobs::JobStore::Open(state_));
  }
  ~JobRemovalTest() override { fs::remove_all(state_); }

  void Make(const std::string& name, JobKind kind = JobKind::kTraining, const std::string& tuning_job = "") {
    const jobs::Json body = {{"request", jobs::Json::object()}, {"options", {{"tuning_job", tuning_job}}}};
    ASSERT_TRUE(store_->Create(kind, name, {"created", 1, body}));
    if (kind == JobKind::kTraining) Write(jobs::JobDirectory(state_, name) + "/log.1", "a line");
  }
  void End(const std::string& name, JobKind kind = JobKind::kTraining) {
    ASSERT_TRUE(store_->Append(kind, name, {"ended", 2, {{"status", "Completed"}, {"secondary", "Completed"}}}));
  }
  static void Write(const std::string& path, const std::string& text) {
    ASSERT_TRUE(CreateDirectories(path.substr(0, path.rfind('/'))));
    std::ofstream(path) << text;
  }
  Status Delete(const std::string& name, bool force = false, JobKind kind = JobKind::kTraining) {
    return DeleteJob(*store_, state_, kind, name, force);
  }
  bool Exists(const std::string& name) const { return fs::exists(jobs::JobDirectory(state_, name)); }

  std::string state_;
  std::unique_ptr<jobs::JobStore> store_;
};

TEST_F(JobRemovalTest, AJobThatHasEndedGoesWithItsFilesAndItsNameIsFree) {
  Make("one");
  Make("other");
  ASSERT_TRUE(store_->AddSamples("one", 0, {{"loss", 1, 5}}, 7));
  End("one");
  const Status deleted = Delete("ONE");  // names differ in more than case
  ASSERT_TRUE(deleted) << deleted.error().message;
  EXPECT_FALSE(Exists("one"));
  EXPECT_TRUE(Exists("other"));
  EXPECT_THAT(*store_->Names(JobKind::kTraining), testing::ElementsAre("other"));
  EXPECT_EQ(store_->Load("one").error().code, ErrorCode::kNotFound);
  Make("one");
  EXPECT_TRUE(store_->Samples("one")->empty());
  EXPECT_EQ(*store_->LogPosition("one", 0), 0u);
  EXPECT_FALSE(store_->Load("one")->IsTerminal());
}

TEST_F(JobRemovalTest, AJobThatRunsStays) {
  Make("one");
  const Status deleted = Delete("one", true);
  ASSERT_FALSE(deleted);
  EXPECT_EQ(deleted.error().code, ErrorCode::kBusy);
  EXPECT_THAT(deleted.error().message, HasSubstr("is in status InProgress: leat jobs stop one"));
  EXPECT_TRUE(Exists("one"));
  EXPECT_EQ(store_->Remove(JobKind::kTraining, "one").error().code, ErrorCode::kBusy);
  EXPECT_TRUE(store_->Load("one"));
  EXPECT_EQ(Delete("none").error().code, ErrorCode::kNotFound);
}

TEST_F(JobRemovalTest, WhatExistsNowhereElseIsDeletedWithForceOnly) {
  Make("one");
  End("one");
  Write(jobs::JobDirectory(state_, "one") + "/checkpoints/epoch-1", "x");
  Write(jobs::HostDirectory(state_, "one", 1) + "/checkpoints/epoch-1", "x");
  Write(jobs::JobVolume(state_, "one") + "/model/weights", "x");
  ASSERT_TRUE(CreateDirectories(jobs::JobVolume(state_, "one") + "/output/data"));  // empty
  const Status refused = Delete("one");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kExists);
  EXPECT_THAT(refused.error().message, HasSubstr(state_ + "/jobs/one/checkpoints, " + state_ +
                                                 "/jobs/one/algo-2/checkpoints, " + state_ + "/jobs/one/ml/model is"));
  EXPECT_THAT(refused.error().message, HasSubstr("--force"));
  EXPECT_TRUE(Exists("one"));
  EXPECT_TRUE(Delete("one", true));
  EXPECT_FALSE(Exists("one"));
}

TEST_F(JobRemovalTest, LinksAreRemovedAndNotFollowed) {
  Make("one");
  End("one");
  Write(state_ + "/precious/file", "x");
  fs::create_directory_symlink(state_ + "/precious", jobs::JobDirectory(state_, "one") + "/ml");
  fs::create_directory_symlink(state_ + "/precious", jobs::JobDirectory(state_, "one") + "/checkpoints");
  EXPECT_TRUE(Delete("one"));
  EXPECT_FALSE(Exists("one"));
  EXPECT_TRUE(fs::exists(state_ + "/precious/file"));

  Make("two");
  End("two");
  fs::remove_all(jobs::JobDirectory(state_, "two"));
  fs::create_directory_symlink(state_ + "/precious", jobs::JobDirectory(state_, "two"));
  EXPECT_TRUE(Delete("two"));
  EXPECT_FALSE(fs::is_symlink(jobs::JobDirectory(state_, "two")));
  EXPECT_TRUE(fs::exists(state_ + "/precious/file"));
}

TEST_F(JobRemovalTest, ReadOnlyDirectoriesAndMissingOnesAreNoObstacle) {
  Make("one");
  End("one");
  const std::string directory = jobs::JobDirectory(state_, "one") + "/ml/tmp";
  Write(directory + "/file", "x");
  ASSERT_EQ(chmod(directory.c_str(), 0555), 0);
  EXPECT_TRUE(Delete("one"));
  EXPECT_FALSE(Exists("one"));
  Make("two");
  End("two");
  fs::remove_all(state_ + "/jobs");
  EXPECT_TRUE(Delete("two"));
  for (const char* path : {"", "x", "/x/", "/x/..", "/x/."}) EXPECT_FALSE(RemoveTree(path)) << path;
}

TEST_F(JobRemovalTest, AJobOfATuningJobThatRunsStaysAndATuningJobLeavesItsJobs) {
  Make("sweep", JobKind::kTuning);
  Make("sweep-001", JobKind::kTraining, "sweep");
  End("sweep-001");
  Write(state_ + "/tuning-jobs/sweep/lock", "");
  const Status refused = Delete("sweep-001");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("leat jobs stop sweep first"));
  EXPECT_EQ(Delete("sweep", true, JobKind::kTuning).error().code, ErrorCode::kBusy);
  End("sweep", JobKind::kTuning);
  EXPECT_TRUE(Delete("sweep", false, JobKind::kTuning));
  EXPECT_FALSE(fs::exists(state_ + "/tuning-jobs/sweep"));
  EXPECT_TRUE(store_->Load("sweep-001"));
  EXPECT_TRUE(Delete("sweep-001"));
}

}  // namespace
}  // namespace leat::cli
