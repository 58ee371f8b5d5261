// SPDX-License-Identifier: Apache-2.0
// ReadAccounting: whose the READs of a mount are. A job is the process that owns its lease and all that descend from
// it; where owners stand below owners, the nearest counts. A process that was seen in a job stays in it when its parent
// ends before it. Nobody's are the READs of other processes, and those that the kernel sends in no process's name (0).
//
//   const auto lease = accounting->Count({trainer_pid});          // counts while it lives
//   if (ReadAccount* account = accounting->Of(reader)) account->OnRead(clock);
//
// Threads: any. Of costs one relaxed load while nothing is leased, else a look into a table without a lock. /proc is
// read, outside of the mutex, when a reading thread is first seen and once a second while it reads: a number that goes
// to another process is misattributed no longer than that. Ownership: shared with its leases; accounts live as long as
// it does.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "env/clock.h"
#include "env/processes.h"
#include "fs/read_account.h"

namespace leat::fs {

class ReadAccounting : public std::enable_shared_from_this<ReadAccounting> {
 public:
  static constexpr size_t kEndedKept = 64;      // accounts whose leases have ended
  static constexpr size_t kAccountsMax = 512;   // and those leased; what is leased beyond is not counted
  static constexpr size_t kThreadsMax = 8'192;  // remembered; beyond them all are looked up anew
  static constexpr int kDepthMax = 64;          // how far up an owner is looked for

  // `clock` and `processes` outlive it; without `processes` nothing is counted.
  ReadAccounting(const env::Clock& clock, const env::Processes* processes) : clock_(clock), processes_(processes) {}

  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept = default;
    Lease& operator=(Lease&& other) noexcept;
    ~Lease() { End(); }

   private:
    friend class ReadAccounting;
    Lease(std::shared_ptr<ReadAccounting> accounting, uint32_t account)
        : accounting_(std::move(accounting)), account_(account) {}
    void End();
    std::shared_ptr<ReadAccounting> accounting_;
    uint32_t account_ = 0;
  };
  // Counts for a job with these owners. Leases of the same owners share one account, and one that comes after the last
  // has ended goes on with it. An owner that does not exist is passed over.
  Lease Count(const std::vector<int>& owner_pids);

  // The account of whoever reads; null: nobody's. `thread`: a thread's or a process's number; 0: the kernel's own.
  ReadAccount* Of(int thread) {
    if (owners_counted_.load(std::memory_order_relaxed) == 0) return nullptr;
    return Find(thread);
  }

  struct Job {
    std::vector<int> owner_pids;
    bool leased = false;
    ReadCounts counts;
  };
  // Those leased in the order of their beginning, then the last kEndedKept in the reverse order of their end.
  std::vector<Job> Jobs() const;

 private:
  struct Owner {
    int pid = 0;
    uint64_t start = 0;
    auto operator<=>(const Owner&) const = default;
  };
  using Owners = std::map<Owner, uint32_t>;  // account
  struct Entry {
    ReadAccount account;
    // Guarded by mutex_.
    std::vector<Owner> owners;  // in order
    uint32_t leases = 0;
    uint64_t turned = 0;  // its place in the order of beginnings and ends
  };
  struct Known {  // a thread, as it was when /proc was last read
    uint64_t start = 0;
    uint64_t generation = 0;  // 0: not seen yet
    uint32_t second = 0;
    uint32_t account = 0;
  };

  ReadAccount* Find(int thread);
  ReadAccount* Resolve(int thread, uint32_t second);
  ReadAccount* RememberLocked(int thread, const Known& known);
  uint32_t OwnerAbove(int thread, env::Process process, const Owners& owners) const;
  uint32_t PlaceLocked(const std::vector<Owner>& owners);
  void PublishLocked();
  void End(uint32_t account);
  Entry& At(uint32_t account) const { return *entries_[account - 1]; }
  uint32_t Second() const;

  const env::Clock& clock_;
  const env::Processes* const processes_;
  std::atomic<size_t> owners_counted_{0};

  // Threads seen in this second: number (22 bits, the kernel's bound), account (10 bits, 0: nobody's), second (32).
  static constexpr size_t kTableSize = 1024;
  static constexpr int kThreadShift = 42, kAccountShift = 32;
  std::array<std::atomic<uint64_t>, kTableSize> table_{};

  mutable std::mutex mutex_;  // protects what follows
  // An account is its place here, plus 1. Places are filled once and never emptied: Find reads them without the mutex.
  std::array<std::unique_ptr<Entry>, kAccountsMax> entries_;
  size_t entries_used_ = 0;
  uint64_t turns_ = 0;
  std::shared_ptr<const Owners> owners_ = std::make_shared<Owners>();
  uint64_t generation_ = 1;  // of owners_
  std::unordered_map<int, Known> known_;
};

}  // namespace leat::fs
