// SPDX-License-Identifier: Apache-2.0
// A job's state in the shape of SageMaker's DescribeTrainingJob. Times are seconds since the epoch. Pure; any thread.
// Leat's own members: LeatDataAccounting (times and S3 requests), LeatBestMetrics (lowest and highest value of each
// metric).
#pragma once

#include <string>
#include <vector>

#include "jobs/event.h"
#include "jobs/job_store.h"
#include "jobs/services.h"

namespace leat::jobs {

Json DescribeTrainingJob(const std::string& name, const JobState& state, const std::vector<MetricSample>& samples);
Json SummarizeTrainingJob(const std::string& name, const JobState& state);

// "submitted to first batch 3.2 s, trained 12 s, 1,204 S3 requests, 110 MiB": what is known of it.
std::string AccountingText(const JobState& state);

// Counters as an event keeps them, and back.
Json ToJson(const FileSystemCounters& counters);
FileSystemCounters CountersFrom(const Json& json);
// Adds what was counted between `before` and `after`; counters begin anew with a mount.
void AddCounters(FileSystemCounters& total, const FileSystemCounters& after, const FileSystemCounters& before = {});

// What a job read of its file systems, for its accounting: Reads, BytesRead, BytesReadCached, BytesReadCold,
// ReadSecondsWaited, ReadSecondsStalled and, once a READ has come, SecondsToFirstRead. Several file systems' are added
// up: their stalls too, though they may have been at one time.
Json ReadsJson(const std::vector<ReadCounters>& file_systems, int64_t submitted_ns);
// All that is known of a job's data and time when it ends: S3Requests, S3RequestsByKind, S3Bytes, Seconds..., and
// ReadsJson's members. `total`: what was asked of S3 for it; `reads`: of each file system, where they are counted.
Json AccountingOf(const JobState& state, const FileSystemCounters& total, const std::vector<ReadCounters>& reads,
                  const std::vector<MetricSample>& samples, int64_t now_ns);
// "62 % of the 1.2 GiB read was cold; readers waited 41 s of 120 s for S3": of accounting that holds ReadsJson's
// members, else "".
std::string DataText(const Json& accounting);

double EpochSeconds(int64_t epoch_ns);

}  // namespace leat::jobs
