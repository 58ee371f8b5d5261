// SPDX-License-Identifier: Apache-2.0
// RetainingStore: the job store as the run of one training job sees it. While the disk is full, or others hold the
// database, what the job records is kept in memory and told as if it were stored; it is stored, in its order, before
// anything later is. So nothing that has been done, an upload above all, is done again for want of having been written
// down, as long as the process lives.
//
// Used by one thread at a time.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "jobs/job_store.h"

namespace leat::jobs {

class RetainingStore final : public JobStore {
 public:
  static constexpr size_t kRetainedMax = 100'000;  // events and samples; more are refused, with the store's own error

  RetainingStore(std::string state_directory, JobStore& store, std::string job)
      : JobStore(std::move(state_directory)), store_(store), job_(std::move(job)) {}

  // Stores what is retained. Ok: nothing is any more. kNotFound: the job has gone, and what was retained with it.
  Status Flush() override;
  // Whether this run has recorded the job's end, be it stored or retained.
  bool has_ended() const { return has_ended_; }

  Status Create(JobKind kind, const std::string& name, const Event& created) override;
  Status Append(JobKind kind, const std::string& name, const Event& event) override;
  Result<std::vector<Event>> Events(JobKind kind, const std::string& name, int64_t behind) override;
  Result<std::vector<std::string>> Names(JobKind kind) override { return store_.Names(kind); }
  Result<std::vector<std::string>> Unfinished(JobKind kind) override { return store_.Unfinished(kind); }
  Result<std::vector<std::string>> UnfinishedToStop() override { return store_.UnfinishedToStop(); }
  Status AddSamples(const std::string& training_job, uint32_t host, const std::vector<MetricSample>& samples,
                    uint64_t log_position) override;
  Result<uint64_t> LogPosition(const std::string& training_job, uint32_t host) override;
  // Stores what is retained first, or fails.
  Status ForgetLogPositions(const std::string& training_job) override;
  Result<std::vector<MetricSample>> Samples(const std::string& training_job, int64_t behind) override;
  Status Remove(JobKind kind, const std::string& name) override { return store_.Remove(kind, name); }

 private:
  struct Entry {
    std::optional<Event> event;  // absent: samples
    uint32_t host = 0;
    std::vector<MetricSample> samples;
    uint64_t log_position = 0;
    size_t weight() const { return 1 + samples.size(); }
  };
  Status Store(const Entry& entry);
  // Stores it, behind what is retained, or retains it.
  Status Take(Entry entry);

  JobStore& store_;
  const std::string job_;
  std::deque<Entry> retained_;
  size_t weight_ = 0;  // of all that is retained
  bool has_ended_ = false;
};

}  // namespace leat::jobs
