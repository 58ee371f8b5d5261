// SPDX-License-Identifier: Apache-2.0
// JobStore: the events and metric samples of all training and tuning jobs of a state directory, in STATE/jobs.db
// (SQLite, WAL). Any thread and any number of processes; every call is one transaction, durable against a crash of the
// process.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "jobs/event.h"

namespace leat::jobs {

enum class JobKind { kTraining, kTuning };

struct MetricSample {
  std::string name;
  double value = 0;  // NaN and infinities are kept
  int64_t at_ns = 0;
};

class JobStore {
 public:
  static Result<std::unique_ptr<JobStore>> Open(const std::string& state_directory);
  virtual ~JobStore() = default;

  // kExists: the name is taken (names differ in more than case), by a job that runs or one that has ended.
  virtual Status Create(JobKind kind, const std::string& name, const Event& created) = 0;
  virtual Status Append(JobKind kind, const std::string& name, const Event& event) = 0;
  // kNotFound: no such job.
  virtual Result<std::vector<Event>> Events(JobKind kind, const std::string& name) = 0;
  virtual Result<std::vector<std::string>> Names(JobKind kind) = 0;  // in order of creation
  virtual Status AddSamples(const std::string& training_job, const std::vector<MetricSample>& samples) = 0;
  virtual Result<std::vector<MetricSample>> Samples(const std::string& training_job) = 0;  // in order of arrival

  Result<JobState> Load(const std::string& training_job);
  // Ends every training job whose supervisor is gone as Failed, and removes its volume; tuning jobs likewise. Called at
  // the start of every command. Gone means both that nobody holds the job's lock and that no such process runs here:
  // with a state directory that machines or containers share, the process alone would tell nothing.
  Status EndAbandoned(int64_t now_ns);

 protected:
  explicit JobStore(std::string state_directory) : state_directory_(std::move(state_directory)) {}
  const std::string state_directory_;
};

// The calling process; and whether a process still lives.
ProcessIdentity ThisProcess();
bool IsAlive(const ProcessIdentity& process);
Json ToJson(const ProcessIdentity& process);

int64_t WallTimeNs();

}  // namespace leat::jobs
