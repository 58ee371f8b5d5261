// SPDX-License-Identifier: Apache-2.0
// What the daemon tells of itself; the members are documented in docs/status-json.md and stay.
#include <unistd.h>

#include <cctype>

#include "base/text.h"
#include "cli/daemon.h"
#include "cli/version.h"
#include "control/protocol.h"

namespace leat::cli {
namespace {

uint64_t ResidentBytes() {
  const auto status = ReadFile("/proc/self/status", 1u << 16);
  if (!status) return 0;
  const size_t at = status->find("VmRSS:");
  if (at == std::string::npos) return 0;
  uint64_t kibibytes = 0;
  for (size_t i = at + 6; i < status->size() && (*status)[i] != '\n'; ++i) {
    if (std::isdigit(static_cast<unsigned char>((*status)[i]))) {
      kibibytes = kibibytes * 10 + static_cast<uint64_t>((*status)[i] - '0');
    }
  }
  return kibibytes * 1024;
}

double Seconds(env::Duration duration) { return std::chrono::duration<double>(duration).count(); }

Json JobsOf(const fs::ReadAccounting& accounting) {
  Json jobs = Json::array();
  for (const auto& job : accounting.Jobs()) {
    const fs::ReadCounts& counts = job.counts;
    Json first_read_at;  // null until one has come
    if (counts.first_read_ns != 0) first_read_at = FormatTimeUtc(counts.first_read_ns);
    jobs.push_back({{"owner_pid", job.owner_pids.empty() ? 0 : job.owner_pids.front()},
                    {"owner_pids", job.owner_pids},
                    {"leased", job.leased},
                    {"reads", counts.reads},
                    {"bytes", counts.bytes_cached + counts.bytes_cold},
                    {"bytes_cached", counts.bytes_cached},
                    {"bytes_cold", counts.bytes_cold},
                    {"wait_seconds", Seconds(counts.waited)},
                    {"stalled_seconds", Seconds(counts.stalled)},
                    {"first_read_at", first_read_at},
                    {"first_read_ns", counts.first_read_ns}});
  }
  return jobs;
}

}  // namespace

Result<Json> Daemon::HandleStatus(const Json& request) {
  std::vector<Use> uses;
  if (request.contains("mountpoint") || request.contains("file_system")) {
    LEAT_ASSIGN_OR_RETURN(Use use, FindForUse(request));
    uses.push_back(std::move(use));
  } else {
    std::lock_guard lock(mutex_);
    for (auto& [id, entry] : entries_) {
      if (entry->state != MountedFileSystem::State::kMounted) continue;
      ++entry->users;
      uses.emplace_back(*this, entry);
    }
  }
  Json file_systems = Json::array();
  for (const Use& use : uses) file_systems.push_back(StatusOf(*use));
  const auto cache = cache_->Statistics();
  const auto uptime = std::chrono::duration_cast<std::chrono::seconds>(clock_->Now() - started_).count();
  return Json{{"daemon",
               {{"pid", getpid()},
                {"version", kVersion},
                {"state_directory", paths_.root},
                {"started_at", FormatTimeUtc(started_wall_ns_)},
                {"uptime_s", uptime},
                {"memory_bytes", ResidentBytes()},
                {"memory_budget_bytes", memory_.total},
                {"memory", MemoryStatus()}}},
              {"capacity",
               {{"total_bytes", cache.capacity_bytes},
                {"used_bytes", cache.used_bytes},
                {"free_bytes", cache.capacity_bytes > cache.used_bytes ? cache.capacity_bytes - cache.used_bytes : 0}}},
              {"file_systems", file_systems}};
}

Json Daemon::MemoryStatus() {
  const auto part = [](uint64_t used, uint64_t limit) { return Json{{"used_bytes", used}, {"limit_bytes", limit}}; };
  return {{"data", part(hydrator_->Statistics().memory_bytes, memory_.data)},
          {"databases", part(database_memory_->UsedBytes(), memory_.databases)},
          {"inodes", part(inodes_->Bytes(), memory_.inodes)},
          {"extents", part(cache_->Statistics().extent_memory_bytes, memory_.extents)}};
}

Json Daemon::StatusOf(MountedFileSystem& entry) {
  const auto statistics = entry.file_system->Statistics();
  double requests_per_s = 0, bytes_per_s = 0;
  {
    std::lock_guard lock(mutex_);
    if (entry.samples.size() > 1) {
      const auto& first = entry.samples.front();
      const auto& last = entry.samples.back();
      const double seconds = std::chrono::duration<double>(last.at - first.at).count();
      requests_per_s = static_cast<double>(last.requests - first.requests) / seconds;
      bytes_per_s = static_cast<double>(last.bytes - first.bytes) / seconds;
    }
  }
  static const env::RequestCounters kNothingCounted;
  const env::RequestCounters& counters = entry.opened.counters ? *entry.opened.counters : kNothingCounted;
  Json requests = Json::object();
  for (size_t kind = 0; kind < env::kRequestKindNames.size(); ++kind) {
    requests["s3." + std::string(env::kRequestKindNames[kind])] = counters.requests[kind].load();
  }
  const char* import_state = statistics.importing ? "running" : statistics.totals.complete ? "complete" : "failed";
  Json imported_at;  // null until an import is complete
  if (statistics.totals.imported_at_ns) imported_at = FormatTimeUtc(statistics.totals.imported_at_ns);

  Json status = Described(entry);
  status["files"] = statistics.totals.files;
  status["directories"] = statistics.totals.directories;
  status["bytes"] = statistics.totals.bytes;
  status["import"] = {{"state", import_state}, {"objects", statistics.import_objects}, {"imported_at", imported_at}};
  status["restored"] = {{"files", statistics.restored.objects}, {"bytes", statistics.restored.bytes}};
  status["fetching"] = {{"files", statistics.hydration.fetching_objects},
                        {"bytes", statistics.hydration.fetching_bytes}};
  status["queued"] = statistics.hydration.background_queued;
  status["read_through_bytes"] = statistics.hydration.read_through_bytes;
  status["hedges"] = {{"sent", statistics.hydration.hedges_sent}, {"won", statistics.hydration.hedges_won}};
  status["requests"] = requests;
  status["s3"] = {{"bytes_received", counters.bytes_received.load()},
                  {"bytes_sent", counters.bytes_sent.load()},
                  {"errors", counters.errors.load()},
                  {"retries", counters.retries.load()},
                  {"in_flight", counters.in_flight.load()},
                  {"requests_per_s", requests_per_s},
                  {"bytes_per_s", bytes_per_s}};
  status["kernel_requests"] = statistics.kernel_requests;
  status["reads"] = {{"count", statistics.reads},
                     {"bytes", statistics.read_bytes},
                     {"hits", statistics.read_hits},
                     {"errors", statistics.read_errors}};
  status["jobs"] = JobsOf(*entry.file_system->Accounting());
  return status;
}

}  // namespace leat::cli
