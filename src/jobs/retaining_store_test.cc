// SPDX-License-Identifier: Apache-2.0
#include "jobs/retaining_store.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "jobs/host_log.h"
#include "jobs/jobs_testing.h"

namespace leat::jobs {
namespace {

using testing::ElementsAre;

class RetainingStoreTest : public testing::Test {
 protected:
  RetainingStoreTest() { EXPECT_TRUE(disk_.Create(JobKind::kTraining, "job", {"created", 1, Json::object()})); }
  std::vector<std::string> KindsIn(JobStore& store) {
    std::vector<std::string> kinds;
    const auto events = store.Events(JobKind::kTraining, "job", 0).value();
    for (const auto& event : events) kinds.push_back(event.kind);
    return kinds;
  }
  static std::vector<double> ValuesIn(JobStore& store) {
    std::vector<double> values;
    const auto samples = store.Samples("job", 0).value();
    for (const auto& sample : samples) values.push_back(sample.value);
    return values;
  }
  Status Append(const std::string& kind) {
    return store_.Append(JobKind::kTraining, "job", {kind, 2, {{"status", "Completed"}}});
  }

  const TestDirectory directory_;
  FailingJobStore disk_{directory_.path(), JobStore::Open(directory_.path()).value()};
  RetainingStore store_{directory_.path(), disk_, "job"};
};

TEST_F(RetainingStoreTest, KeepsWhatTheDiskRefusesInItsOrder) {
  disk_.is_failing = true;
  for (const ErrorCode failure : {ErrorCode::kNoSpace, ErrorCode::kBusy, ErrorCode::kIo}) {
    disk_.failure = failure;
    EXPECT_TRUE(Append("uploaded"));
  }
  EXPECT_TRUE(store_.AddSamples("job", 1, {{"m", 0.5, 3}}, 77));
  EXPECT_FALSE(store_.has_ended());
  EXPECT_TRUE(Append("ended"));
  EXPECT_TRUE(store_.has_ended());
  EXPECT_FALSE(store_.Flush());
  EXPECT_THAT(KindsIn(disk_), ElementsAre("created"));
  EXPECT_THAT(KindsIn(store_), ElementsAre("created", "uploaded", "uploaded", "uploaded", "ended"));
  EXPECT_TRUE(store_.Load("job")->IsTerminal());
  EXPECT_EQ(store_.LogPosition("job", 1).value(), 77u);
  EXPECT_EQ(store_.LogPosition("job", 0).value(), 0u);
  EXPECT_THAT(ValuesIn(store_), ElementsAre(0.5));
  disk_.is_failing = false;
  EXPECT_TRUE(store_.Flush());
  EXPECT_THAT(KindsIn(disk_), ElementsAre("created", "uploaded", "uploaded", "uploaded", "ended"));
  EXPECT_THAT(KindsIn(store_), KindsIn(disk_));
  EXPECT_THAT(ValuesIn(disk_), ElementsAre(0.5));
  EXPECT_EQ(disk_.LogPosition("job", 1).value(), 77u);
}

TEST_F(RetainingStoreTest, StoresWhatIsRetainedBeforeWhatComes) {
  disk_.is_failing = true;
  EXPECT_TRUE(Append("data_ready"));
  EXPECT_FALSE(store_.ForgetLogPositions("job"));  // it would be overtaken by samples of before
  disk_.is_failing = false;
  EXPECT_TRUE(Append("training_started"));
  EXPECT_THAT(KindsIn(disk_), ElementsAre("created", "data_ready", "training_started"));
}

TEST_F(RetainingStoreTest, RetainsNeitherWithoutEndNorForAJobThatIsGone) {
  disk_.is_failing = true;
  const std::vector<MetricSample> many(RetainingStore::kRetainedMax - 2, MetricSample{"m", 1, 1});
  EXPECT_TRUE(store_.AddSamples("job", 0, many, 1));
  EXPECT_TRUE(Append("warning"));
  EXPECT_EQ(Append("warning").error().code, ErrorCode::kNoSpace);
  disk_.failure = ErrorCode::kNotFound;
  EXPECT_EQ(store_.Flush().error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(store_.Flush());
  EXPECT_EQ(Append("warning").error().code, ErrorCode::kNotFound);
  EXPECT_THAT(KindsIn(store_), ElementsAre("created"));
}

class NoObserver final : public RunObserver {
 public:
  void OnStatus(const std::string&, const std::string&, const std::string&) override {}
  void OnLogLine(const std::string&, std::string_view) override {}
  void OnMetric(const std::string&, const std::string&, double) override {}
  void OnWarning(const std::string&, const std::string&) override {}
};

TEST_F(RetainingStoreTest, SamplesAtTheEndOfALogOutliveABusyStore) {
  ASSERT_TRUE(WriteFileAtomically(directory_.path() + "/log.0", "m=1\nm=2", 0600, false));
  const auto metrics = MetricReader::Make({{"m", "m=([0-9])"}}).value();
  NoObserver observer;
  HostLog log(store_, "job", 0, directory_.path(), *metrics, observer);
  ASSERT_TRUE(log.Open());
  disk_.failure = ErrorCode::kBusy;
  disk_.is_failing = true;
  ASSERT_TRUE(log.Read(true));
  EXPECT_GT(disk_.refused, 0);
  disk_.is_failing = false;
  EXPECT_TRUE(Append("training_ended"));
  EXPECT_THAT(ValuesIn(disk_), ElementsAre(1, 2));
  EXPECT_EQ(disk_.LogPosition("job", 0).value(), 7u);
}

}  // namespace
}  // namespace leat::jobs
