// SPDX-License-Identifier: Apache-2.0
// HostLog: the log of one host of a job, as its supervisor reads it: searched for metrics, which are stored together
// with how far it was read, so that whoever reads on finds each once. Confined to one thread.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "jobs/failure.h"
#include "jobs/job_store.h"
#include "jobs/log_reader.h"
#include "jobs/metrics.h"
#include "jobs/services.h"

namespace leat::jobs {

class HostLog {
 public:
  HostLog(JobStore& store, std::string job, uint32_t host, std::string directory, MetricReader& metrics,
          RunObserver& observer)
      : store_(store),
        job_(std::move(job)),
        host_(host),
        directory_(std::move(directory)),
        reader_(directory_),
        metrics_(metrics),
        observer_(observer) {}

  // From where the last reader left off.
  Status Open();
  // What is new; of a script that runs, for a while at most. Samples that the store refuses are stored with the next:
  // at the log's end there is none, so the store must be one that retains (RetainingStore).
  Status Read(bool to_its_end);
  const LogTail& tail() const { return tail_; }
  std::vector<std::string> TakeWarnings() { return std::exchange(warnings_, {}); }

 private:
  void OnLine(std::string_view text);
  void StoreSamples();

  JobStore& store_;
  const std::string job_;
  const uint32_t host_;
  const std::string directory_;
  LogReader reader_;
  MetricReader& metrics_;
  RunObserver& observer_;
  std::vector<char> buffer_;
  LineSplitter lines_;
  std::vector<MetricSample> samples_;  // not stored yet
  uint64_t position_stored_ = 0;
  LogTail tail_;
  std::vector<std::string> warnings_;
};

}  // namespace leat::jobs
