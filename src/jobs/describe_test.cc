// SPDX-License-Identifier: Apache-2.0
#include "jobs/describe.h"

#include <gtest/gtest.h>

namespace leat::jobs {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

Json Accounting(ReadCounters reads, double training_seconds = 0) {
  reads.bytes = reads.bytes_cached + reads.bytes_cold;
  Json accounting = ReadsJson({reads}, 0);
  if (training_seconds > 0) accounting["SecondsOfTraining"] = training_seconds;
  return accounting;
}

TEST(DescribeTest, WhatWasReadIsToldInASentence) {
  EXPECT_EQ(DataText(Json::object()), "");
  EXPECT_EQ(
      DataText(Accounting({.reads = 9, .bytes_cached = 38 * kGiB, .bytes_cold = 62 * kGiB, .stalled_seconds = 41}, 55)),
      "62 % of the 100 GiB read was cold; readers waited 41 s of 55 s for S3");
  EXPECT_EQ(DataText(Accounting({.reads = 9, .bytes_cached = kGiB})), "none of the 1.00 GiB read was cold");
  EXPECT_EQ(DataText(Accounting({.reads = 9, .bytes_cold = kGiB, .stalled_seconds = 0.42})),
            "all of the 1.00 GiB read was cold; readers waited 0.4 s for S3");
  EXPECT_EQ(DataText(Accounting({.reads = 9, .bytes_cached = kGiB, .bytes_cold = 1})),
            "less than 1 % of the 1.00 GiB read was cold");
  EXPECT_EQ(DataText(Accounting({.reads = 9, .bytes_cached = 1, .bytes_cold = kGiB})),
            "more than 99 % of the 1.00 GiB read was cold");
  EXPECT_EQ(DataText(Accounting({})), "no data was asked for beside the page cache");
  EXPECT_EQ(DataText(Accounting({.reads = 3, .stalled_seconds = 20})), "no data was read; readers waited 20 s for S3");
}

TEST(DescribeTest, DefaultsAreFilledInAsTheServiceDoes) {
  JobState state;
  state.request = {{"OutputDataConfig", {{"S3OutputPath", "s3://b/o"}}},
                   {"StoppingCondition", {{"MaxWaitTimeInSeconds", 9}}},
                   {"InputDataConfig", {{{"ChannelName", "a"}}, {{"ChannelName", "b"}, {"CompressionType", "Gzip"}}}}};
  const Json description = DescribeTrainingJob("job", state, {});
  EXPECT_EQ(description["ProfilingStatus"], "Disabled");
  EXPECT_EQ(description["EnableManagedSpotTraining"], false);
  EXPECT_EQ(description["OutputDataConfig"],
            (Json{{"S3OutputPath", "s3://b/o"}, {"CompressionType", "GZIP"}, {"KmsKeyId", ""}}));
  EXPECT_EQ(description["StoppingCondition"], (Json{{"MaxWaitTimeInSeconds", 9}, {"MaxRuntimeInSeconds", 86400}}));
  const Json& channels = description["InputDataConfig"];
  EXPECT_EQ(channels[0], (Json{{"ChannelName", "a"}, {"CompressionType", "None"}, {"RecordWrapperType", "None"}}));
  EXPECT_EQ(channels[1]["CompressionType"], "Gzip");
  state.request = Json::object();
  EXPECT_EQ(DescribeTrainingJob("job", state, {})["StoppingCondition"], (Json{{"MaxRuntimeInSeconds", 86400}}));
}

TEST(DescribeTest, TheFirstBatchIsWhatTheScriptSaysElseTheFirstReadElseTheFirstMetric) {
  constexpr int64_t kSecond = 1'000'000'000;
  JobState state;
  state.created_ns = 100 * kSecond;
  state.first_training_started_ns = 102 * kSecond;
  const std::vector<MetricSample> other = {{"loss", 1, 109 * kSecond}};
  std::vector<MetricSample> told = other;
  told.push_back({"first_batch_seconds", 1.5, 110 * kSecond});
  const std::vector<ReadCounters> reads = {{.reads = 1, .first_read_ns = 103 * kSecond}};
  const auto accounted = [&](const std::vector<ReadCounters>& read, const std::vector<MetricSample>& samples) {
    state.accounting = AccountingOf(state, {}, read, samples, 120 * kSecond);
    return AccountingText(state).substr(0, AccountingText(state).find(','));
  };
  EXPECT_EQ(accounted(reads, told), "first batch 3.5 s after submission");
  EXPECT_EQ(accounted(reads, other), "first read 3.0 s after submission");
  EXPECT_EQ(state.accounting["SecondsToFirstBatch"], 3.0);
  EXPECT_EQ(accounted({{}}, other), "first metric 9.0 s after submission");
  EXPECT_EQ(state.accounting["SecondsToFirstMetric"], 9.0);
  EXPECT_EQ(accounted({}, {}), "script started 2.0 s after submission");
}

TEST(DescribeTest, SeveralFileSystemsAreAddedUpAndTheFirstReadIsTheEarliest) {
  const ReadCounters none,
      late{.reads = 2,
           .bytes = 30,
           .bytes_cached = 10,
           .bytes_cold = 20,
           .wait_seconds = 3,
           .stalled_seconds = 1,
           .first_read_ns = 9'000'000'000},
      early{.reads = 1, .bytes = 5, .bytes_cached = 5, .first_read_ns = 6'500'000'000};
  const Json json = ReadsJson({none, late, early}, 5'000'000'000);
  EXPECT_EQ(json, (Json{{"Reads", 3},
                        {"BytesRead", 35},
                        {"BytesReadCached", 15},
                        {"BytesReadCold", 20},
                        {"ReadSecondsWaited", 3.0},
                        {"ReadSecondsStalled", 1.0},
                        {"SecondsToFirstRead", 1.5}}));
  EXPECT_FALSE(ReadsJson({none}, 0).contains("SecondsToFirstRead"));
}

}  // namespace
}  // namespace leat::jobs
