// SPDX-License-Identifier: Apache-2.0
// Asks the daemon of a state directory how far the data of training jobs have come from S3. Confined to one thread.
#pragma once

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tuner/data_pacing.h"

namespace leat::cli {

class DaemonDataWatcher final : public tuner::DataWatcher {
 public:
  explicit DaemonDataWatcher(std::string state_directory) : state_directory_(std::move(state_directory)) {}
  std::optional<tuner::DataState> Look(const std::vector<std::string>& file_system_ids) override;

  // What `status`, the daemon's answer, says of them `seconds` after the last look.
  tuner::DataState Read(const nlohmann::json& status, const std::vector<std::string>& file_system_ids, double seconds);

 private:
  const std::string state_directory_;
  std::chrono::steady_clock::time_point last_look_{};
  std::map<std::string, double> stalled_;  // of each job of each file system, at the last look
};

}  // namespace leat::cli
