// SPDX-License-Identifier: Apache-2.0
// A tuning job: asks policy/search for hyperparameters, has a training job run for each, several at once, and keeps the
// best. The study is events in the job store, as training jobs are. Blocking on the caller's thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "jobs/training_run.h"
#include "model/tuning_job.h"

namespace leat::tuner {

using Json = nlohmann::json;

struct Trial {
  uint32_t number = 0;  // from 1
  std::string job_name;
  std::map<std::string, std::string> tuned;
  jobs::JobState state;
  std::optional<double> objective;  // the last value that the job printed, if it is a number
  bool is_done = false;
};

struct Study {
  Json request = Json::object();
  uint64_t seed = 0;
  std::string status = "InProgress", failure_reason;
  int64_t created_ns = 0, modified_ns = 0;
  std::optional<int64_t> ended_ns;
  std::vector<Trial> trials;
};

// The trial with the best objective among those with one, jobs that failed left out; null: none.
const Trial* BestTrial(const Study& study, bool maximize);

struct TunerServices {
  std::string state_directory;
  jobs::JobStore& store;
  jobs::JobSubmitter& submitter;  // runs the training jobs
  jobs::RunObserver& observer;    // is told of them, without their logs
  const jobs::StopLevel& stop;
};

// Without RandomSeed in the request the seed is drawn from the clock and kept.
// An error when there is no study: its name is taken, or its state cannot be stored.
Result<Study> RunTuningJob(const TuningJob& job, const jobs::RunOptions& options, const TunerServices& services);

// What the store knows of a study, running or ended. kNotFound: none of that name.
Result<Study> LoadStudy(jobs::JobStore& store, const std::string& name);

// DescribeHyperParameterTuningJob, and with it LeatTrainingJobs: one summary for each child.
Json DescribeTuningJob(const std::string& name, const Study& study);

// Jobs, their hyperparameters and results as lines of at most `columns` (40 or more), and the best job.
std::string StudyTable(const Study& study, size_t columns);
// Each job that failed with its reason, a line of text each ("name: reason", which may hold line ends); the first few,
// and how many there are beside.
std::vector<std::string> FailureLines(const Study& study);

}  // namespace leat::tuner
