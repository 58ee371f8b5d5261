// SPDX-License-Identifier: Apache-2.0
// Training jobs of one tuning job read the same data. While those are on their way from S3, another job helps nobody if
// the ones that run wait for S3 already: it would take a share of the same stream, hold processors and wait too, and
// the search would have chosen its hyperparameters before the first result. Pure; any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace leat::tuner {

struct DataState {
  double part_here = 1;     // of the bytes of the file systems that the jobs read, what is in the cache
  double part_waiting = 0;  // of the running jobs' time, how much went into waiting for S3, since the last look
  bool fits = true;         // the cache has room for all of it
  bool is_listed = true;    // its listing is complete; else nobody knows how much there is
  size_t readers = 0;       // running jobs that have begun to read
};

class DataWatcher {
 public:
  virtual ~DataWatcher() = default;
  // nullopt: there are none. What is not mounted yet is not listed and not here. May take a second; called from one
  // thread.
  virtual std::optional<DataState> Look(const std::vector<std::string>& file_system_ids) = 0;
};

// Why the next training job shall wait, beside `running` ones; empty: it may start. `since_launch`: of the last of
// them, for what it takes of S3 does not show at once.
std::string WhyWaitForData(const std::optional<DataState>& data, size_t running, std::chrono::seconds since_launch);

}  // namespace leat::tuner
