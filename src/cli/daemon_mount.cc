// SPDX-License-Identifier: Apache-2.0
// Mounting, unmounting, leases, and who may be evicted.
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "cli/daemon.h"
#include "cli/mount_registry.h"
#include "cli/pending.h"
#include "control/protocol.h"
#include "policy/eviction.h"

namespace leat::cli {
namespace {

using control::BoolMember;
using control::StringMember;
using control::UnsignedMember;
using State = MountedFileSystem::State;

constexpr std::chrono::seconds kUsersWait{30};  // for requests to notice that their file system closes
constexpr size_t kOwnersMax = 64;               // processes of one job

// Of an object's identity: two endpoints may have buckets of one name.
std::string RepositoryIdentity(const std::string& endpoint, const RepositoryUrl& repository) {
  return endpoint + " " + (repository.kind == RepositoryUrl::Kind::kS3 ? repository.bucket : repository.path);
}

// "owner_pid", or "owner_pids" of a job with several processes; absent: the process that asks.
Result<std::vector<int>> OwnersMember(const Json& request, const control::Connection& connection) {
  Json pids = request.value("owner_pids", Json::array({request.value("owner_pid", Json(connection.peer().pid))}));
  if (!pids.is_array() || pids.empty() || pids.size() > kOwnersMax) {
    return Fail(ErrorCode::kInvalidArgument, "the request's \"owner_pids\" must be a list of 1 to " +
                                                 std::to_string(kOwnersMax) + " process numbers");
  }
  std::vector<int> owners;
  for (const Json& pid : pids) {
    if (!pid.is_number_integer() || pid.get<int64_t>() < 0 || pid.get<int64_t>() > INT32_MAX) {
      return Fail(ErrorCode::kInvalidArgument, "the owner of a lease must be the number of a process");
    }
    owners.push_back(pid.get<int>());
  }
  return owners;
}

}  // namespace

Json Daemon::Described(const MountedFileSystem& entry) const {
  return {{"id", entry.settings.id},
          {"name", entry.settings.name},
          {"repository", entry.repository},
          {"mountpoint", entry.mountpoint},
          {"managed", entry.managed}};
}

Json Daemon::Reused(const MountedFileSystem& entry, const Json& request) const {
  // Temporary credentials that came with the first request may have ended since.
  if (entry.opened.renew_credentials) entry.opened.renew_credentials(request);
  return Described(entry);
}

Result<Json> Daemon::HandleMount(const Json& request, control::Connection& connection) {
  if (stopping_) return Fail(ErrorCode::kCancelled, "the daemon is stopping; try again");
  LEAT_ASSIGN_OR_RETURN(const std::string url, StringMember(request, "repository"));
  LEAT_ASSIGN_OR_RETURN(const RepositoryUrl repository, RepositoryUrl::Parse(url));
  LEAT_ASSIGN_OR_RETURN(const std::string endpoint, EndpointOf(request, repository));
  LEAT_ASSIGN_OR_RETURN(const std::string name, StringMember(request, "name", ""));
  LEAT_ASSIGN_OR_RETURN(const bool managed, BoolMember(request, "managed", false));
  LEAT_ASSIGN_OR_RETURN(const std::string mountpoint, StringMember(request, "mountpoint", ""));
  if (!managed && (mountpoint.empty() || mountpoint[0] != '/')) {
    return Fail(ErrorCode::kInvalidArgument, "a mount request needs an absolute \"mountpoint\"");
  }

  auto entry = std::make_shared<MountedFileSystem>();
  bool is_new = false;
  std::unique_lock lock(mutex_);
  for (;;) {
    if (managed && name.empty()) {  // wherever the repository is mounted already, under whatever name
      for (const auto& [id, other] : entries_) {
        if (other->repository == repository.ToString() && other->settings.endpoint == endpoint &&
            other->state == State::kMounted && !other->ended) {
          return Reused(*other, request);
        }
      }
    }
    LEAT_ASSIGN_OR_RETURN(const ResolvedFileSystem resolved, ResolveFileSystem(known_, repository, endpoint, name));
    const auto found = entries_.find(resolved.settings.id);
    if (found == entries_.end()) {
      entry->settings = resolved.settings;
      is_new = resolved.is_new;
      break;
    }
    const Entry other = found->second;
    if (other->state == State::kMounted && !other->ended) {
      if (managed) return Reused(*other, request);
      return Fail(ErrorCode::kExists, other->repository + " is mounted already at " + other->mountpoint + " (" +
                                          other->settings.id + "); use that, or leat unmount " + other->mountpoint +
                                          " first");
    }
    // Another request is mounting or unmounting it; both end in bounded time.
    changed_.wait_for(lock, std::chrono::seconds(1));
    lock.unlock();
    if (!connection.SendProgress({{"waiting_for", resolved.settings.id}}))
      return Fail(ErrorCode::kCancelled, "the caller left");
    lock.lock();
  }
  for (const auto& [id, other] : entries_) {
    // The kernel would stack the second on the first.
    if (!managed && other->mountpoint == mountpoint && !other->ended) {
      return Fail(ErrorCode::kExists, mountpoint + " is already mounted: " + id + ", " + other->repository);
    }
  }
  if (is_new) {
    entry->settings.dataset = DatasetId{daemon_settings_.next_dataset++};
    known_.push_back(entry->settings);
  }
  entry->repository = repository.ToString();
  entry->managed = managed;
  entry->mountpoint = managed ? paths_.ManagedMount(entry->settings.id) : mountpoint;
  entries_.emplace(entry->settings.id, entry);
  lock.unlock();

  auto result = MountEntry(entry, is_new, request, connection);
  if (!result) {
    entry->mount.reset();
    entry->file_system.reset();
    entry->opened = {};
  }
  lock.lock();
  if (result) {
    entry->state = State::kMounted;
    had_mount_ = true;
  } else {
    entries_.erase(entry->settings.id);
    if (!had_mount_ && entries_.empty() && options_.exit_when_empty) {
      // Nothing is left running, and the next attempt may ask for another capacity. Until the process has ended, mount
      // requests are answered kCancelled, on which the command waits and starts a new daemon.
      stopping_ = true;
      stop_ = true;
    }
    // One that is on disk stays known: the next attempt must find it, not make a second one of the same name.
    if (is_new && !entry->saved)
      std::erase_if(known_, [&](const auto& known) { return known.id == entry->settings.id; });
  }
  changed_.notify_all();
  return result;
}

Status Daemon::PrepareMountpoint(const std::string& mountpoint, bool managed, Json& notes) {
  if (managed) LEAT_RETURN_IF_ERROR(CreateDirectories(mountpoint, 0700));
  switch (fuse::InspectMountpoint(mountpoint)) {
    case fuse::MountpointState::kReady:
      return {};
    case fuse::MountpointState::kMissing:
      return Fail(ErrorCode::kNotFound, mountpoint + " does not exist; make it first: mkdir -p " + mountpoint);
    case fuse::MountpointState::kNotADirectory:
      return Fail(ErrorCode::kNotADirectory, mountpoint + " is not a directory");
    case fuse::MountpointState::kNotPermitted:
      return Fail(ErrorCode::kDenied,
                  "mounting on " + mountpoint + " is not permitted; use a directory that you may write");
    case fuse::MountpointState::kBusyMounted:
      return Fail(ErrorCode::kBusy,
                  "something else is mounted on " + mountpoint + "; unmount it or use another directory");
    case fuse::MountpointState::kLeatMounted: {
      std::string what = "a Leat file system";
      if (const auto registered = FindRegisteredMount(mountpoint)) {
        what = registered->file_system;
        std::lock_guard lock(mutex_);
        if (const auto found = entries_.find(registered->file_system); found != entries_.end()) {
          what += ", " + found->second->repository;
        }
      }
      return Fail(ErrorCode::kExists, mountpoint + " is already mounted: " + what);
    }
    case fuse::MountpointState::kDead:
      LEAT_RETURN_IF_ERROR(fuse::CleanDeadMount(mountpoint));
      notes.push_back("a dead mount of an earlier daemon was removed from " + mountpoint);
      return {};
  }
  return Fail(ErrorCode::kInternal, "the state of " + mountpoint + " is not known");
}

Status Daemon::Probe(const Entry& entry, const RepositoryUrl& repository, control::Connection& connection,
                     Json& notes) {
  // A mistyped prefix is no error to S3.
  const auto note_if_empty = [&](bool empty) {
    if (!empty) return;
    const bool prefixed = !repository.prefix.empty();
    notes.push_back("nothing lies below " + entry->repository + ": " +
                    (prefixed ? "check the prefix" : "it is empty so far"));
  };
  if (entry->opened.check) {
    const auto holds_anything = entry->opened.check();
    if (!holds_anything) {
      return Fail(holds_anything.error().code,
                  "cannot mount " + entry->repository + ": " + holds_anything.error().message);
    }
    note_if_empty(!*holds_anything);
    return {};
  }
  auto pending = Pending<env::ListPage>::Make();
  entry->opened.store->List({.prefix = repository.prefix, .delimiter = "/", .keys_max = 1},
                            Pending<env::ListPage>::CallbackOf(pending));
  const auto deadline = clock_->Now() + options_.probe_wait;
  for (;;) {
    if (auto page = pending->WaitFor(std::chrono::milliseconds(1000))) {
      if (!*page) return Fail(page->error().code, "cannot mount " + entry->repository + ": " + page->error().message);
      note_if_empty((*page)->objects.empty() && (*page)->common_prefixes.empty());
      return {};
    }
    if (clock_->Now() > deadline) {
      return Fail(ErrorCode::kTimedOut, "cannot mount " + entry->repository + ": it has not answered for " +
                                            std::to_string(options_.probe_wait.count()) +
                                            " s; check the endpoint, the network and the proxy settings");
    }
    if (stopping_ || !connection.SendProgress({{"waiting_for", entry->repository}})) {
      return Fail(ErrorCode::kCancelled, "the mount was cancelled");
    }
  }
}

Result<Json> Daemon::MountEntry(const Entry& entry, bool is_new, const Json& request, control::Connection& connection) {
  Json notes = Json::array();
  LEAT_ASSIGN_OR_RETURN(const RepositoryUrl repository, RepositoryUrl::Parse(entry->repository));
  LEAT_RETURN_IF_ERROR(PrepareMountpoint(entry->mountpoint, entry->managed, notes));
  LEAT_ASSIGN_OR_RETURN(entry->opened, OpenRepository(request, repository, *clock_));
  LEAT_RETURN_IF_ERROR(Probe(entry, repository, connection, notes));

  fs::FileSystemOptions options;
  options.id = entry->settings.id;
  options.name = entry->settings.name;
  options.repository = repository;
  options.repository_identity = RepositoryIdentity(entry->settings.endpoint, repository);
  options.dataset = entry->settings.dataset;
  options.catalog_directory = paths_.FileSystem(entry->settings.id) + "/catalog";
  options.read_order_path = paths_.FileSystem(entry->settings.id) + "/read-order";
  LEAT_ASSIGN_OR_RETURN(const uint64_t uid, UnsignedMember(request, "uid", connection.peer().uid));
  LEAT_ASSIGN_OR_RETURN(const uint64_t gid, UnsignedMember(request, "gid", connection.peer().gid));
  LEAT_ASSIGN_OR_RETURN(const uint64_t file_mode, UnsignedMember(request, "file_mode", 0644));
  LEAT_ASSIGN_OR_RETURN(const uint64_t directory_mode, UnsignedMember(request, "directory_mode", 0755));
  LEAT_ASSIGN_OR_RETURN(const bool allow_other, BoolMember(request, "allow_other", false));
  if (uid > UINT32_MAX || gid > UINT32_MAX || file_mode > 0777 || directory_mode > 0777) {
    return Fail(ErrorCode::kInvalidArgument, "uid and gid must fit 32 bits, and modes lie between 0 and 0777");
  }
  options.uid = static_cast<uint32_t>(uid);
  options.gid = static_cast<uint32_t>(gid);
  options.file_mode = static_cast<uint32_t>(file_mode);
  options.directory_mode = static_cast<uint32_t>(directory_mode);

  // Remembered before anything is cached under its dataset number, so that no other file system is ever given that
  // number.
  if (is_new) {
    DaemonSettings settings;
    {
      std::lock_guard lock(mutex_);
      settings = daemon_settings_;
    }
    LEAT_RETURN_IF_ERROR(SaveFileSystem(paths_, entry->settings));
    entry->saved = true;
    LEAT_RETURN_IF_ERROR(SaveDaemonSettings(paths_, settings));
  }
  LEAT_RETURN_IF_ERROR(CreateDirectories(options.catalog_directory, 0700));
  LEAT_ASSIGN_OR_RETURN(
      entry->file_system,
      fs::FileSystem::Open(std::move(options), {entry->opened.store, cache_.get(), hydrator_.get(), clock_.get(),
                                                inodes_, database_memory_, &processes_}));
  if (stopping_) return Fail(ErrorCode::kCancelled, "the daemon is stopping");
  LEAT_ASSIGN_OR_RETURN(entry->mount, fuse::Mount::Start({.mountpoint = entry->mountpoint,
                                                          .source = "leat#" + entry->settings.name,
                                                          .allow_other = allow_other},
                                                         *entry->file_system));
  // The entry is kept alive by the table until this mount is gone, and so outlives the callback.
  entry->mount->SetEndedCallback([raw = entry.get()] { raw->ended = true; });
  if (const auto status = RegisterMount({entry->mountpoint, entry->settings.id, paths_.root}); !status) {
    notes.push_back("verbs on paths below " + entry->mountpoint + " need --state-dir: " + status.error().message);
  }
  entry->file_system->StartImport();
  LogInfo("mounted " + entry->repository + " at " + entry->mountpoint + " as " + entry->settings.id);
  if (const auto wanted = UnsignedMember(request, "capacity_bytes", 0);
      wanted && *wanted && *wanted != capacity_bytes_) {
    notes.push_back("the running daemon keeps its capacity of " + FormatBytes(capacity_bytes_) +
                    "; --capacity counts when the next daemon starts (after the last unmount)");
  }
  if (const auto wanted = UnsignedMember(request, "memory_bytes", 0); wanted && *wanted && *wanted != memory_.total) {
    notes.push_back("the running daemon keeps its memory of " + FormatBytes(memory_.total) +
                    "; --memory counts when the next daemon starts (after the last unmount)");
  }
  Json result = Described(*entry);
  result["notes"] = notes;
  return result;
}

Result<Json> Daemon::HandleUnmount(const Json& request) {
  LEAT_ASSIGN_OR_RETURN(const bool force, BoolMember(request, "force", false));
  LEAT_ASSIGN_OR_RETURN(const Entry entry, Find(request));
  LEAT_RETURN_IF_ERROR(Unmount(entry, force, !force));
  return Described(*entry);
}

Status Daemon::Unmount(const Entry& entry, bool force, bool spare_leased) {
  {
    std::unique_lock lock(mutex_);
    if (entry->state != State::kMounted)
      return Fail(ErrorCode::kBusy, entry->mountpoint + " is being unmounted already");
    if (spare_leased && !entry->leases.empty()) {
      return Fail(ErrorCode::kBusy, entry->mountpoint + " is used by " + std::to_string(entry->leases.size()) +
                                        " running job(s); wait for them, or pass --force");
    }
    entry->state = State::kUnmounting;
  }
  if (!entry->ended) {
    if (auto status = entry->mount->Unmount(force); !status && !entry->ended) {
      std::lock_guard lock(mutex_);
      entry->state = State::kMounted;
      changed_.notify_all();
      return status;
    }
  }
  Dismantle(entry);
  return {};
}

void Daemon::Dismantle(const Entry& entry) {
  entry->closing = true;
  FileSystemSettings settings = entry->settings;
  settings.last_use_ns = clock_->WallTimeNs();
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kUsersWait, [&] { return entry->users == 0; });
    if (entry->users > 0) LogWarning("a request on " + entry->mountpoint + " does not end; going on without it");
    for (auto& known : known_) {
      if (known.id == settings.id) known = settings;
    }
  }
  UnregisterMount(entry->mountpoint);
  entry->mount.reset();
  hydrator_->CancelDataset(settings.dataset);
  entry->file_system.reset();
  entry->opened = {};
  cache_->Sync();
  if (entry->managed) rmdir(entry->mountpoint.c_str());
  if (const auto status = SaveFileSystem(paths_, settings); !status) LogWarning(status.error().message);
  LogInfo("unmounted " + entry->repository + " from " + entry->mountpoint);
  std::lock_guard lock(mutex_);
  entries_.erase(settings.id);
  changed_.notify_all();
}

Result<Json> Daemon::HandleLease(const Json& request, control::Connection& connection) {
  LEAT_ASSIGN_OR_RETURN(const std::vector<int> owners, OwnersMember(request, connection));
  LEAT_ASSIGN_OR_RETURN(const Use use, FindForUse(request));
  auto lease = use->file_system->Accounting()->Count(owners);
  std::lock_guard lock(mutex_);
  if (use->state != State::kMounted) return Fail(ErrorCode::kBusy, use->mountpoint + " is being unmounted");
  use->leases.insert_or_assign(connection.id(), std::move(lease));
  return Described(*use);
}

Result<Json> Daemon::HandleLeaseOwner(const Json& request, control::Connection& connection) {
  LEAT_ASSIGN_OR_RETURN(const std::vector<int> owners, OwnersMember(request, connection));
  std::vector<Use> uses;
  {
    std::lock_guard lock(mutex_);
    for (auto& [id, entry] : entries_) {
      if (entry->state != State::kMounted || !entry->leases.contains(connection.id())) continue;
      ++entry->users;
      uses.emplace_back(*this, entry);
    }
  }
  if (uses.empty()) return Fail(ErrorCode::kNotFound, "this connection holds no lease");
  Json file_systems = Json::array();
  for (const Use& use : uses) {
    auto lease = use->file_system->Accounting()->Count(owners);
    std::lock_guard lock(mutex_);
    // Nobody else works on this connection's leases, but the file system may be going.
    if (const auto found = use->leases.find(connection.id()); found != use->leases.end()) {
      found->second = std::move(lease);
    }
    file_systems.push_back(Described(*use));
  }
  return Json{{"file_systems", file_systems}};
}

Result<Json> Daemon::HandleUnlease(const Json& request, control::Connection& connection) {
  LEAT_ASSIGN_OR_RETURN(const Entry entry, Find(request));
  std::lock_guard lock(mutex_);
  entry->leases.erase(connection.id());
  return Described(*entry);
}

void Daemon::OnConnectionClosed(uint64_t connection_id) {
  std::shared_ptr<IncomingPlan> plan;  // its client left before the last part
  {
    std::lock_guard lock(mutex_);
    for (auto& [id, entry] : entries_) entry->leases.erase(connection_id);
    if (auto found = plans_.extract(connection_id)) plan = std::move(found.mapped());
  }
  if (plan) plan->plan->Cancel();
}

// Whole data sets, least recently used first: those not mounted, then mounted ones that nobody has used for a while.
// What a job holds a lease on, or what is being read, stays: the newcomer then reads through.
std::vector<DatasetId> Daemon::ChooseEviction(DatasetId wanted, uint64_t bytes_needed) {
  const auto now = clock_->Now();
  const std::chrono::nanoseconds wall(clock_->WallTimeNs());
  std::vector<policy::CachedDataset> datasets;
  {
    std::lock_guard lock(mutex_);
    for (const auto& known : known_) {
      policy::CachedDataset dataset{.id = known.dataset, .last_use = std::chrono::nanoseconds(known.last_use_ns)};
      if (const auto found = entries_.find(known.id); found != entries_.end()) {
        const MountedFileSystem& entry = *found->second;
        const bool settled = entry.state == State::kMounted;
        dataset.mounted = true;
        // A lease, a restore that somebody waits for, or mounting and unmounting: leave it alone.
        dataset.in_use_by_job = !entry.leases.empty() || entry.users > 0 || !settled;
        dataset.last_use = wall - (settled ? now - entry.file_system->LastUse() : env::Duration::zero());
      }
      datasets.push_back(dataset);
    }
  }
  for (auto& dataset : datasets) dataset.bytes = cache_->Usage(dataset.id).bytes;
  return policy::ChooseEvictions(datasets, wanted, bytes_needed, wall, options_.active_for);
}

}  // namespace leat::cli
