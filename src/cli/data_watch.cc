// SPDX-License-Identifier: Apache-2.0
#include "cli/data_watch.h"

#include <algorithm>

#include "cli/daemon_client.h"

namespace leat::cli {
namespace {

constexpr double kStaleAfter = 30;  // seconds: what was then says nothing of now

}  // namespace

using Json = nlohmann::json;

std::optional<tuner::DataState> DaemonDataWatcher::Look(const std::vector<std::string>& file_system_ids) {
  if (file_system_ids.empty()) return std::nullopt;
  const auto status = CallDaemon(state_directory_, {{"verb", "status"}}, StartPolicy::kMustRun);
  if (!status) return std::nullopt;
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - last_look_).count();
  last_look_ = now;
  return Read(*status, file_system_ids, seconds);
}

std::optional<tuner::DataState> DaemonDataWatcher::Read(const Json& status,
                                                        const std::vector<std::string>& file_system_ids,
                                                        double seconds) {
  tuner::DataState state;
  bool is_known = false;
  uint64_t bytes = 0, restored = 0;
  double waited = 0;
  size_t readers = 0;
  std::map<std::string, double> stalled;
  const Json file_systems = status.value("file_systems", Json::array());
  for (const Json& entry : file_systems) {
    const std::string id = entry.value("id", ""), repository = entry.value("repository", "");
    const bool is_ours = std::ranges::any_of(file_system_ids, [&](const std::string& wanted) {
      return wanted == id || wanted == entry.value("name", "") || wanted == repository || wanted + "/" == repository;
    });
    if (!is_ours) continue;
    is_known = true;
    if (entry.value("import", Json::object()).value("state", "") == "running") state.is_listed = false;
    bytes += entry.value("bytes", uint64_t{0});
    restored += entry.value("restored", Json::object()).value("bytes", uint64_t{0});
    const Json jobs = entry.value("jobs", Json::array());
    for (const Json& job : jobs) {
      if (!job.value("leased", false)) continue;
      const std::string key = id + " " + job.value("owner_pids", Json::array()).dump();
      stalled[key] = job.value("stalled_seconds", 0.0);
      const auto before = stalled_.find(key);
      if (before == stalled_.end()) continue;  // it has just begun
      waited += stalled[key] - before->second;
      ++readers;
    }
  }
  stalled_ = std::move(stalled);
  if (!is_known) return std::nullopt;
  if (bytes > 0) state.part_here = std::min(1.0, static_cast<double>(restored) / static_cast<double>(bytes));
  if (readers > 0 && seconds > 0 && seconds < kStaleAfter)
    state.part_waiting = std::clamp(waited / (seconds * static_cast<double>(readers)), 0.0, 1.0);
  state.fits = bytes <= status.value("capacity", Json::object()).value("total_bytes", uint64_t{0});
  return state;
}

}  // namespace leat::cli
