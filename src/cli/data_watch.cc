// SPDX-License-Identifier: Apache-2.0
#include "cli/data_watch.h"

#include <algorithm>
#include <set>

#include "cli/daemon_client.h"

namespace leat::cli {
namespace {

constexpr double kStaleAfter = 30;  // seconds: what was then says nothing of now

}  // namespace

using Json = nlohmann::json;

std::optional<tuner::DataState> DaemonDataWatcher::Look(const std::vector<std::string>& file_system_ids) {
  if (file_system_ids.empty()) return std::nullopt;
  auto status = CallDaemon(state_directory_, {{"verb", "status"}}, StartPolicy::kMustRun);
  if (!status) status = Json::object();  // the first training job starts it
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - last_look_).count();
  last_look_ = now;
  return Read(*status, file_system_ids, seconds);
}

tuner::DataState DaemonDataWatcher::Read(const Json& status, const std::vector<std::string>& file_system_ids,
                                         double seconds) {
  tuner::DataState state;
  std::set<std::string> unknown(file_system_ids.begin(), file_system_ids.end());
  uint64_t bytes = 0, restored = 0;
  double waited = 0;
  size_t watched = 0;
  std::map<std::string, double> stalled;
  const Json file_systems = status.value("file_systems", Json::array());
  for (const Json& entry : file_systems) {
    const std::string id = entry.value("id", ""), repository = entry.value("repository", "");
    bool is_ours = false;
    for (const auto& wanted : file_system_ids) {
      if (wanted != id && wanted != entry.value("name", "") && wanted != repository && wanted + "/" != repository)
        continue;
      is_ours = true;
      unknown.erase(wanted);
    }
    if (!is_ours) continue;
    const Json import = entry.value("import", Json::object());
    if (import.value("state", "") == "running" && import.value("imported_at", Json()).is_null())
      state.is_listed = false;
    bytes += entry.value("bytes", uint64_t{0});
    restored += entry.value("restored", Json::object()).value("bytes", uint64_t{0});
    const Json jobs = entry.value("jobs", Json::array());
    for (const Json& job : jobs) {
      if (!job.value("leased", false)) continue;
      const std::string key = id + " " + job.value("owner_pids", Json::array()).dump();
      stalled[key] = job.value("stalled_seconds", 0.0);
      if (job.value("reads", uint64_t{0}) > 0) ++state.readers;
      const auto before = stalled_.find(key);
      if (before == stalled_.end()) continue;  // it has just begun
      waited += stalled[key] - before->second;
      ++watched;
    }
  }
  stalled_ = std::move(stalled);
  if (!unknown.empty()) state.is_listed = false;
  if (bytes > 0) state.part_here = std::min(1.0, static_cast<double>(restored) / static_cast<double>(bytes));
  if (watched > 0 && seconds > 0 && seconds < kStaleAfter)
    state.part_waiting = std::clamp(waited / (seconds * static_cast<double>(watched)), 0.0, 1.0);
  state.fits = bytes <= status.value("capacity", Json::object()).value("total_bytes", uint64_t{0});
  return state;
}

}  // namespace leat::cli
