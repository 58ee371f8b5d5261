// SPDX-License-Identifier: Apache-2.0
// Daemon: the object graph behind one state directory: one cache and one hydrator, shared by every file system it
// mounts, and the control socket by which the command line and the jobs reach it.
//
// Threads: Start, Run and the destructor on one thread (which must have SIGTERM, SIGINT and SIGHUP blocked before
// Start, so that Run alone receives them); requests on the control server's threads. One mutex guards the table of file
// systems; it is never held across I/O, a mount or a callback: an entry's state (mounting, mounted, unmounting) says
// who works on it.
//
// The parts of the class: daemon.cc (start, run, stop), daemon_mount.cc (mount, unmount, leases, eviction),
// daemon_verbs.cc (dispatch and the verbs on paths), daemon_status.cc (status).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "cache/cache.h"
#include "cli/memory_budget.h"
#include "cli/open_repository.h"
#include "cli/pending.h"
#include "cli/state_directory.h"
#include "control/server.h"
#include "database/database_memory.h"
#include "env/clock.h"
#include "fs/file_system.h"
#include "fs/inode_cache.h"
#include "fs/ops/restore_plan.h"
#include "fs/read_accounting.h"
#include "fuse/mount.h"
#include "hydrate/hydrator.h"
#include "posix/process_table.h"

namespace leat::cli {

struct DaemonOptions {
  std::string state_directory;
  std::optional<uint64_t> capacity_bytes;
  std::optional<uint64_t> memory_bytes;                 // absent: as it was set before, else by what the machine has
  bool exit_when_empty = true;                          // false: runs until it is told to stop
  std::chrono::milliseconds empty_grace{3'000};         // how long it stays after the last unmount
  std::chrono::milliseconds first_mount_grace{15'000};  // how long it waits for the first request
  std::chrono::seconds managed_idle{3600};              // a managed mount without use or lease is unmounted
  std::chrono::seconds probe_wait{40};                  // the first LIST of a mount
  std::chrono::seconds active_for{300};                 // used this recently: not evicted for another's sake
};

// One entry of the daemon's table.
struct MountedFileSystem {
  enum class State { kMounting, kMounted, kUnmounting };
  struct Sample {
    env::MonotonicTime at;
    uint64_t requests = 0, bytes = 0;
  };
  // Set before it is mounted, constant after.
  FileSystemSettings settings;
  std::string repository;
  std::string mountpoint;
  bool managed = false;
  OpenedRepository opened;
  std::unique_ptr<fs::FileSystem> file_system;
  std::unique_ptr<fuse::Mount> mount;
  bool saved = false;  // its settings are on disk: known from then on, whatever becomes of this mount

  std::atomic<bool> ended{false};    // the kernel's session is over: unmounted from outside
  std::atomic<bool> closing{false};  // whoever waits on its behalf should give up
  // Guarded by the daemon's mutex.
  State state = State::kMounting;
  uint32_t users = 0;                                    // requests that hold it
  std::map<uint64_t, fs::ReadAccounting::Lease> leases;  // by connection; counts what the job reads
  std::deque<Sample> samples;                            // one a second, for the rates
};

using Json = nlohmann::json;

// A plan whose parts come over one connection.
struct IncomingPlan {
  std::shared_ptr<MountedFileSystem> entry;
  std::shared_ptr<hydrate::HydrationProgress> progress;
  std::shared_ptr<fs::RestorePlan> plan;
  std::shared_ptr<Pending<void>> done;
  uint64_t files = 0, bytes = 0;  // found so far
};

class Daemon final : public control::Handler {
 public:
  // kBusy: another daemon holds the state directory.
  static Result<std::unique_ptr<Daemon>> Start(DaemonOptions options);
  ~Daemon() override;
  // Until a signal, RequestStop, or the last file system has been unmounted. Unmounts all.
  void Run();
  void RequestStop() { stop_ = true; }

  Result<Json> Handle(const Json& request, control::Connection& connection) override;
  void OnConnectionClosed(uint64_t connection_id) override;

 private:
  using Entry = std::shared_ptr<MountedFileSystem>;
  // Holds an entry mounted while a request works on it.
  class Use;

  explicit Daemon(DaemonOptions options);
  Status Open();
  Status LockStateDirectory();
  void Tick();  // once a second or so
  void SampleRates();
  void UnmountAll();

  // daemon_mount.cc
  Result<Json> HandleMount(const Json& request, control::Connection& connection);
  Result<Json> MountEntry(const Entry& entry, bool is_new, const Json& request, control::Connection& connection);
  Status PrepareMountpoint(const std::string& mountpoint, bool managed, Json& notes);
  Status Probe(const Entry& entry, const RepositoryUrl& repository, control::Connection& connection, Json& notes);
  // A mounted entry as the answer to another mount request, whose credentials it takes over.
  Json Reused(const MountedFileSystem& entry, const Json& request) const;
  Result<Json> HandleUnmount(const Json& request);
  // With spare_leased, kBusy while a job holds a lease: decided where the state changes, so that none can come between.
  Status Unmount(const Entry& entry, bool force, bool spare_leased);
  void Dismantle(const Entry& entry);  // after the kernel's side has ended
  Result<Json> HandleLease(const Json& request, control::Connection& connection);
  Result<Json> HandleLeaseOwner(const Json& request, control::Connection& connection);  // of all that it leases
  Result<Json> HandleUnlease(const Json& request, control::Connection& connection);
  std::vector<DatasetId> ChooseEviction(DatasetId wanted, uint64_t bytes_needed);
  Json Described(const MountedFileSystem& entry) const;

  // daemon_verbs.cc
  Result<Json> HandleRestore(const Json& request, control::Connection& connection);
  Result<Json> HandlePlan(const Json& request, control::Connection& connection);  // the next part of a plan
  Result<Json> HandleRelease(const Json& request, control::Connection& connection);
  Result<Json> HandleState(const Json& request, control::Connection& connection);
  Result<Json> HandleImport(const Json& request, control::Connection& connection);
  // kNotFound: the first of `paths` that is not there.
  Status CheckPaths(MountedFileSystem& entry, const std::vector<std::string>& paths, control::Connection& connection);
  // The file system that a request's "file_system" (id or name) or "mountpoint" names.
  Result<Entry> Find(const Json& request);
  Result<Use> FindForUse(const Json& request);

  // daemon_status.cc
  Result<Json> HandleStatus(const Json& request);
  Json StatusOf(MountedFileSystem& entry);
  Json MemoryStatus();

  const DaemonOptions options_;
  const StatePaths paths_;
  const int64_t started_wall_ns_;
  const env::MonotonicTime started_;
  std::unique_ptr<env::Clock> clock_;
  const posix::ProcessTable processes_;
  FileDescriptor lock_;
  uint64_t capacity_bytes_ = 0;
  MemoryBudget memory_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> stopping_{false};  // no more mounts

  std::mutex mutex_;
  std::condition_variable changed_;                          // an entry's state, or its users
  std::map<std::string, Entry> entries_;                     // by id; guarded by mutex_
  std::map<uint64_t, std::shared_ptr<IncomingPlan>> plans_;  // by connection; guarded by mutex_
  std::vector<FileSystemSettings> known_;  // all that the state directory remembers; guarded by mutex_
  DaemonSettings daemon_settings_;         // guarded by mutex_
  env::MonotonicTime last_busy_;           // Run's thread only
  bool had_request_ = false;               // a mount was asked for; guarded by mutex_
  bool had_mount_ = false;                 // and one succeeded; guarded by mutex_
  env::MonotonicTime last_sync_;           // Run's thread only, as is the next
  env::MonotonicTime last_give_back_;
  // Shared by the caches of all file systems.
  std::shared_ptr<database::DatabaseMemory> database_memory_;
  std::shared_ptr<fs::InodeCache> inodes_;
  // Destroyed in this order: server first (it joins the requests), then what the file systems stand on.
  std::unique_ptr<cache::Cache> cache_;
  std::unique_ptr<hydrate::Hydrator> hydrator_;
  std::unique_ptr<control::Server> server_;
};

class Daemon::Use {
 public:
  Use(Daemon& daemon, Entry entry) : daemon_(&daemon), entry_(std::move(entry)) {}
  Use() = default;
  Use(Use&& other) noexcept : daemon_(other.daemon_), entry_(std::move(other.entry_)) { other.daemon_ = nullptr; }
  Use& operator=(Use&& other) noexcept {
    std::swap(daemon_, other.daemon_);
    std::swap(entry_, other.entry_);
    return *this;
  }
  ~Use();
  MountedFileSystem* operator->() const { return entry_.get(); }
  MountedFileSystem& operator*() const { return *entry_; }
  const Entry& entry() const { return entry_; }

 private:
  Daemon* daemon_ = nullptr;
  Entry entry_;
};

}  // namespace leat::cli
