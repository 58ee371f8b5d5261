// SPDX-License-Identifier: Apache-2.0
#include "cli/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "cli/allocator.h"
#include "cli/version.h"
#include "posix/system_clock.h"

namespace leat::cli {
namespace {

constexpr std::chrono::milliseconds kTick{250};
constexpr std::chrono::seconds kSyncEvery{60};
constexpr std::chrono::seconds kGiveBackEvery{10};
constexpr std::chrono::seconds kSampleEvery{1};
constexpr size_t kSamplesKept = 6;  // five intervals of a second: what "per second" means in status
// The command that asks whether the lock is free holds it for a moment.
constexpr std::chrono::milliseconds kLockWait{1'000};

// The caches' files, the index, the catalogs and the connections need more than the usual 1,024.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) LogWarning("the limit of open files could not be raised");
}

}  // namespace

Daemon::Use::~Use() {
  if (!daemon_ || !entry_) return;
  std::lock_guard lock(daemon_->mutex_);
  --entry_->users;
  daemon_->changed_.notify_all();
}

Daemon::Daemon(DaemonOptions options)
    : options_(std::move(options)),
      paths_(options_.state_directory),
      started_wall_ns_(posix::SystemClock().WallTimeNs()),
      started_(std::chrono::steady_clock::now()),
      clock_(std::make_unique<posix::SystemClock>()),
      last_busy_(started_),
      last_sync_(started_) {}

Result<std::unique_ptr<Daemon>> Daemon::Start(DaemonOptions options) {
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(options)));
  LEAT_RETURN_IF_ERROR(daemon->Open());
  return daemon;
}

Status Daemon::LockStateDirectory() {
  lock_ = FileDescriptor(open(paths_.Lock().c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_.valid()) return FailErrno(errno, "opening " + paths_.Lock());
  const auto deadline = std::chrono::steady_clock::now() + kLockWait;
  while (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return FailErrno(errno, "locking " + paths_.Lock());
    if (std::chrono::steady_clock::now() >= deadline) {
      return Fail(ErrorCode::kBusy, "another daemon serves " + paths_.root);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(lock_.get(), 0) != 0 || pwrite(lock_.get(), pid.data(), pid.size(), 0) < 0) {
    return FailErrno(errno, "writing " + paths_.Lock());
  }
  return {};
}

Status Daemon::Open() {
  umask(077);
  LimitAllocator();
  RaiseDescriptorLimit();
  // Credentials are in this process's memory: no core file, no reading of it by other processes of the user.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  LEAT_RETURN_IF_ERROR(CreateDirectories(paths_.root, 0700));
  struct stat status {};
  if (stat(paths_.root.c_str(), &status) != 0) return FailErrno(errno, paths_.root);
  if (status.st_uid != geteuid()) {
    return Fail(ErrorCode::kDenied, paths_.root + " belongs to another user; pass a --state-dir of your own");
  }
  // Whoever may write here may put a socket of his own in the daemon's place, and is sent credentials.
  if ((status.st_mode & 022) != 0) {
    return Fail(ErrorCode::kDenied, "the state directory " + paths_.root +
                                        " can be written by other users; run chmod go-w " + paths_.root +
                                        ", or pass another --state-dir");
  }
  LEAT_RETURN_IF_ERROR(LockStateDirectory());
  LEAT_RETURN_IF_ERROR(CreateDirectories(paths_.FileSystems(), 0700));
  LEAT_ASSIGN_OR_RETURN(capacity_bytes_, SettleCapacity(paths_, options_.capacity_bytes));
  LEAT_ASSIGN_OR_RETURN(const uint64_t memory_bytes, SettleMemory(paths_, options_.memory_bytes, UsableMemory()));
  memory_ = DivideMemory(memory_bytes);
  LEAT_ASSIGN_OR_RETURN(daemon_settings_, LoadDaemonSettings(paths_));
  known_ = LoadFileSystems(paths_);
  for (const auto& known : known_) {
    daemon_settings_.next_dataset = std::max(daemon_settings_.next_dataset, Value(known.dataset) + 1);
  }
  database_memory_ = std::make_shared<database::DatabaseMemory>(memory_.databases);
  inodes_ = std::make_shared<fs::InodeCache>(memory_.inodes);
  cache::CacheOptions cache_options;
  cache_options.directory = paths_.Cache();
  cache_options.capacity_bytes = capacity_bytes_;
  cache_options.extent_memory_bytes = memory_.extents;
  cache_options.database_memory = database_memory_;
  LEAT_ASSIGN_OR_RETURN(cache_, cache::Cache::Open(cache_options, [this](DatasetId wanted, uint64_t bytes_needed) {
                          return ChooseEviction(wanted, bytes_needed);
                        }));
  hydrator_ = hydrate::Hydrator::Create({.memory_bytes_max = memory_.data}, *cache_, *clock_);
  LEAT_ASSIGN_OR_RETURN(server_, control::Server::Start({.socket_path = paths_.Socket()}, *this));
  LogInfo("leat " + std::string(kVersion) + " serves " + paths_.root + ", capacity " + FormatBytes(capacity_bytes_) +
          ", memory " + FormatBytes(memory_.total));
  return {};
}

Daemon::~Daemon() {
  stopping_ = true;
  server_.reset();
  UnmountAll();
  hydrator_.reset();
  if (cache_) cache_->Sync();
  cache_.reset();
}

void Daemon::Run() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  const timespec tick{0, std::chrono::nanoseconds(kTick).count()};
  while (!stop_) {
    const int signal = sigtimedwait(&signals, nullptr, &tick);
    if (signal > 0) {
      LogInfo("stopping on signal " + std::to_string(signal));
      break;
    }
    Tick();
    const auto now = clock_->Now();
    std::lock_guard lock(mutex_);
    if (!entries_.empty() || server_->RequestsInFlight() > 0) last_busy_ = now;
    const auto grace = had_request_ ? options_.empty_grace : options_.first_mount_grace;
    if (options_.exit_when_empty && now - last_busy_ > grace) {
      LogInfo("nothing is mounted any more");
      break;
    }
  }
  stopping_ = true;
  {
    std::lock_guard lock(mutex_);
    for (auto& [id, entry] : entries_) entry->closing = true;  // whoever waits for a restore stops now
  }
  UnmountAll();
}

void Daemon::Tick() {
  const auto now = clock_->Now();
  SampleRates();
  if (now - last_sync_ > kSyncEvery) {
    cache_->Sync();
    last_sync_ = now;
  }
  if (now - last_give_back_ > kGiveBackEvery) {
    GiveBackFreeMemory();
    last_give_back_ = now;
  }
  std::vector<std::pair<Entry, bool>> to_unmount;  // and whether its session has ended already
  {
    std::lock_guard lock(mutex_);
    for (auto& [id, entry] : entries_) {
      if (entry->state != MountedFileSystem::State::kMounted) continue;
      entry->file_system->Tick();
      const bool idle = entry->managed && entry->leases.empty() && entry->users == 0 &&
                        now - entry->file_system->LastUse() > options_.managed_idle;
      if (entry->ended || idle) to_unmount.emplace_back(entry, entry->ended);
    }
  }
  for (auto& [entry, ended] : to_unmount) {
    LogInfo(entry->mountpoint +
            (ended ? " was unmounted from outside" : " is unmounted: nobody has used it for a while"));
    if (const auto status = Unmount(entry, false, !ended); !status) LogWarning(status.error().message);
  }
}

void Daemon::SampleRates() {
  const auto now = clock_->Now();
  std::lock_guard lock(mutex_);
  for (auto& [id, entry] : entries_) {
    if (entry->state != MountedFileSystem::State::kMounted || !entry->opened.counters) continue;
    auto& samples = entry->samples;
    if (!samples.empty() && now - samples.back().at < kSampleEvery) continue;
    MountedFileSystem::Sample sample{now};
    for (const auto& count : entry->opened.counters->requests) sample.requests += count;
    sample.bytes = entry->opened.counters->bytes_received + entry->opened.counters->bytes_sent;
    samples.push_back(sample);
    if (samples.size() > kSamplesKept) samples.pop_front();
  }
}

void Daemon::UnmountAll() {
  for (;;) {
    Entry entry;
    {
      std::unique_lock lock(mutex_);
      // A mount or unmount of another thread ends by itself, in bounded time.
      changed_.wait_for(lock, options_.probe_wait + std::chrono::seconds(5), [this] {
        return std::all_of(entries_.begin(), entries_.end(),
                           [](const auto& named) { return named.second->state == MountedFileSystem::State::kMounted; });
      });
      for (auto& named : entries_) {
        if (named.second->state == MountedFileSystem::State::kMounted) entry = named.second;
      }
    }
    if (!entry) return;
    auto status = Unmount(entry, false, false);
    if (!status) {
      LogWarning(entry->mountpoint + " is in use; it is detached and disappears when the last user leaves");
      status = Unmount(entry, true, false);
    }
    if (!status) {
      LogError("unmounting " + entry->mountpoint + ": " + status.error().message);
      std::lock_guard lock(mutex_);
      entries_.erase(entry->settings.id);
    }
  }
}

}  // namespace leat::cli
