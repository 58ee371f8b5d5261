// SPDX-License-Identifier: Apache-2.0
#include "fs/read_accounting.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "base/log.h"

namespace leat::fs {

ReadAccounting::Lease& ReadAccounting::Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  End();
  accounting_ = std::move(other.accounting_);
  account_ = std::exchange(other.account_, 0);
  return *this;
}

void ReadAccounting::Lease::End() {
  if (accounting_) accounting_->End(account_);
  accounting_.reset();
}

uint32_t ReadAccounting::Second() const {
  return static_cast<uint32_t>(
      std::chrono::duration_cast<std::chrono::seconds>(clock_.Now().time_since_epoch()).count());
}

ReadAccounting::Lease ReadAccounting::Count(const std::vector<int>& owner_pids) {
  std::vector<Owner> owners;
  for (const int pid : owner_pids) {
    const auto process = processes_ ? processes_->Find(pid) : std::nullopt;
    owners.push_back({pid, process ? process->start : 0});
  }
  std::sort(owners.begin(), owners.end());
  owners.erase(std::unique(owners.begin(), owners.end()), owners.end());
  std::lock_guard lock(mutex_);
  const uint32_t account = PlaceLocked(owners);
  if (account == 0) return {};
  Entry& entry = At(account);
  if (++entry.leases == 1) {
    entry.turned = ++turns_;
    PublishLocked();
  }
  return {shared_from_this(), account};
}

// The account of these owners, or an unused one for them; 0: there is none.
uint32_t ReadAccounting::PlaceLocked(const std::vector<Owner>& owners) {
  uint32_t oldest = 0;  // of those that ended
  size_t ended = 0;
  for (uint32_t account = 1; account <= entries_used_; ++account) {
    const Entry& entry = At(account);
    if (entry.owners == owners) return account;
    if (entry.leases > 0) continue;
    ++ended;
    if (entry.account.HasWaiting()) continue;
    if (oldest == 0 || entry.turned < At(oldest).turned) oldest = account;
  }
  const bool is_full = entries_used_ == kAccountsMax;
  if (oldest != 0 && (is_full || ended > kEndedKept)) {
    At(oldest).owners = owners;
    At(oldest).account.Clear();
    return oldest;
  }
  if (is_full) {
    LogWarning("more than " + std::to_string(kAccountsMax) + " jobs use one mount: the next's reads are not counted");
    return 0;
  }
  entries_[entries_used_++] = std::make_unique<Entry>();
  const auto account = static_cast<uint32_t>(entries_used_);
  At(account).owners = owners;
  return account;
}

void ReadAccounting::End(uint32_t account) {
  std::lock_guard lock(mutex_);
  Entry& entry = At(account);
  if (--entry.leases > 0) return;
  entry.turned = ++turns_;
  // Its place may go to another job.
  for (auto& [thread, known] : known_) {
    if (known.account == account) known.account = 0;
  }
  PublishLocked();
}

void ReadAccounting::PublishLocked() {
  auto owners = std::make_shared<Owners>();
  for (uint32_t account = 1; account <= entries_used_; ++account) {
    if (At(account).leases == 0) continue;
    for (const Owner& owner : At(account).owners) {
      if (owner.start == 0) continue;
      // Of two jobs with one owner the later counts.
      const auto [place, is_new] = owners->emplace(owner, account);
      if (!is_new && At(place->second).turned < At(account).turned) place->second = account;
    }
  }
  owners_ = std::move(owners);
  ++generation_;
  if (owners_->empty()) known_.clear();
  for (auto& word : table_) word.store(0, std::memory_order_relaxed);
  owners_counted_.store(owners_->size(), std::memory_order_relaxed);
}

ReadAccount* ReadAccounting::Find(int thread) {
  const auto number = static_cast<uint64_t>(thread);
  if (thread <= 0 || number >> (64 - kThreadShift) != 0) return nullptr;
  const uint32_t second = Second();
  const uint64_t word = table_[number % kTableSize].load(std::memory_order_acquire);
  if (word >> kThreadShift != number || static_cast<uint32_t>(word) != second) return Resolve(thread, second);
  const auto account = static_cast<uint32_t>(word >> kAccountShift & ((1u << (kThreadShift - kAccountShift)) - 1));
  return account == 0 ? nullptr : &At(account).account;
}

ReadAccount* ReadAccounting::RememberLocked(int thread, const Known& known) {
  const auto number = static_cast<uint64_t>(thread);
  const uint64_t word = number << kThreadShift | uint64_t{known.account} << kAccountShift | known.second;
  table_[number % kTableSize].store(word, std::memory_order_release);
  return known.account == 0 ? nullptr : &At(known.account).account;
}

ReadAccount* ReadAccounting::Resolve(int thread, uint32_t second) {
  Known known;  // as it was last time
  uint64_t generation = 0;
  std::shared_ptr<const Owners> owners;
  {
    std::lock_guard lock(mutex_);
    if (const auto found = known_.find(thread); found != known_.end()) known = found->second;
    // Another thread of the same place in the table has taken it.
    if (known.generation == generation_ && known.second == second) return RememberLocked(thread, known);
    generation = generation_;
    owners = owners_;
  }
  const auto process = processes_->Find(thread);
  Known now = known;
  now.generation = generation;
  now.second = second;
  // One that has ended since it asked is who it was; so is one whose place in the tree was looked up already.
  if (process && (process->start != known.start || known.generation != generation)) {
    const uint32_t account = OwnerAbove(thread, *process, *owners);
    // It was in a job, and its parent has ended since.
    const bool stays = account == 0 && process->start == known.start;
    if (!stays) now.account = account;
    now.start = process->start;
  }
  std::lock_guard lock(mutex_);
  if (generation != generation_) {  // the owners have changed meanwhile: right for this READ, not for the next
    return now.account == 0 || At(now.account).leases == 0 ? nullptr : &At(now.account).account;
  }
  if (known_.size() >= kThreadsMax && !known_.contains(thread)) known_.clear();
  known_[thread] = now;
  return RememberLocked(thread, now);
}

uint32_t ReadAccounting::OwnerAbove(int thread, env::Process process, const Owners& owners) const {
  int at = thread;
  if (const auto group = processes_->ProcessOf(thread); group && *group != thread) {
    const auto leader = processes_->Find(*group);
    if (!leader) return 0;
    at = *group;
    process = *leader;
  }
  for (int depth = 0; depth < kDepthMax; ++depth) {
    if (const auto owner = owners.find({at, process.start}); owner != owners.end()) return owner->second;
    if (process.parent <= 0) return 0;
    const auto parent = processes_->Find(process.parent);
    if (!parent) return 0;
    at = process.parent;
    process = *parent;
  }
  return 0;
}

std::vector<ReadAccounting::Job> ReadAccounting::Jobs() const {
  std::vector<std::pair<uint64_t, Job>> leased, ended;  // turned
  {
    std::lock_guard lock(mutex_);
    for (uint32_t account = 1; account <= entries_used_; ++account) {
      const Entry& entry = At(account);
      Job job{.leased = entry.leases > 0, .counts = entry.account.Counts(clock_)};
      for (const Owner& owner : entry.owners) job.owner_pids.push_back(owner.pid);
      (job.leased ? leased : ended).emplace_back(entry.turned, std::move(job));
    }
  }
  const auto by_turn = [](const auto& left, const auto& right) { return left.first < right.first; };
  std::sort(leased.begin(), leased.end(), by_turn);
  std::sort(ended.rbegin(), ended.rend(), by_turn);
  if (ended.size() > kEndedKept) ended.resize(kEndedKept);
  std::vector<Job> jobs;
  for (auto* list : {&leased, &ended}) {
    for (auto& [turned, job] : *list) jobs.push_back(std::move(job));
  }
  return jobs;
}

}  // namespace leat::fs
