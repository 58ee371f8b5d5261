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
  int64_t sequence = 0;  // the store's: grows from sample to sample
};

class JobStore {
 public:
  static Result<std::unique_ptr<JobStore>> Open(const std::string& state_directory);
  virtual ~JobStore() = default;

  // kExists: the name is taken (names differ in more than case), by a job that runs or one that has ended.
  virtual Status Create(JobKind kind, const std::string& name, const Event& created) = 0;
  virtual Status Append(JobKind kind, const std::string& name, const Event& event) = 0;
  // kNotFound: no such job.
  // Those behind the one with that sequence number; 0: all.
  virtual Result<std::vector<Event>> Events(JobKind kind, const std::string& name, int64_t behind = 0) = 0;
  virtual Result<std::vector<std::string>> Names(JobKind kind) = 0;       // in order of creation
  virtual Result<std::vector<std::string>> Unfinished(JobKind kind) = 0;  // of those, the jobs that have not ended
  // Of the unfinished training jobs those that somebody has asked to stop, sorted by name.
  virtual Result<std::vector<std::string>> UnfinishedToStop() = 0;
  // The samples and how far they bring the host's log, in one transaction: a supervisor that goes on from there finds
  // each sample once.
  virtual Status AddSamples(const std::string& training_job, uint32_t host, const std::vector<MetricSample>& samples,
                            uint64_t log_position) = 0;
  virtual Result<uint64_t> LogPosition(const std::string& training_job, uint32_t host) = 0;
  // Log positions begin anew with an attempt.
  virtual Status ForgetLogPositions(const std::string& training_job) = 0;
  // In order of arrival; those behind the one with that sequence number.
  virtual Result<std::vector<MetricSample>> Samples(const std::string& training_job, int64_t behind = 0) = 0;
  // Removes all that is kept of a job that has ended; its name is free then. kBusy: it has not ended.
  virtual Status Remove(JobKind kind, const std::string& name) = 0;

  // Stores what this store keeps in memory meanwhile. Ok: nothing is.
  virtual Status Flush() { return {}; }

  Result<JobState> Load(const std::string& training_job);

 protected:
  explicit JobStore(std::string state_directory) : state_directory_(std::move(state_directory)) {}
  const std::string state_directory_;
};

int64_t WallTimeNs();

}  // namespace leat::jobs
