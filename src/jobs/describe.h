// SPDX-License-Identifier: Apache-2.0
// A job's state in the shape of SageMaker's DescribeTrainingJob. Times are seconds since the epoch. Pure; any thread.
// Leat's own members: LeatDataAccounting (times and S3 requests), LeatBestMetrics (lowest and highest value of each
// metric).
#pragma once

#include <string>
#include <vector>

#include "jobs/event.h"
#include "jobs/job_store.h"

namespace leat::jobs {

Json DescribeTrainingJob(const std::string& name, const JobState& state, const std::vector<MetricSample>& samples);
Json SummarizeTrainingJob(const std::string& name, const JobState& state);

// "submitted to first batch 3.2 s, trained 12 s, 1,204 S3 requests, 110 MiB": what is known of it.
std::string AccountingText(const JobState& state);

double EpochSeconds(int64_t epoch_ns);

}  // namespace leat::jobs
