// SPDX-License-Identifier: Apache-2.0
#include "fs/read_accounting.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "env/blocking.h"
#include "fs/ops/lookup.h"
#include "fs/ops/read.h"
#include "sim/file_system_rig.h"

namespace leat::fs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class FakeProcesses final : public env::Processes {
 public:
  void Put(int id, int parent, uint64_t start = 1) {
    std::lock_guard lock(mutex_);
    processes_[id] = {parent, start};
  }
  void PutThread(int id, int process, uint64_t start = 1) {
    std::lock_guard lock(mutex_);
    processes_[id] = {processes_.at(process).parent, start};
    groups_[id] = process;
  }
  void Remove(int id) {
    std::lock_guard lock(mutex_);
    processes_.erase(id);
    groups_.erase(id);
  }
  std::optional<env::Process> Find(int id) const override {
    ++looked_;
    std::lock_guard lock(mutex_);
    const auto found = processes_.find(id);
    return found == processes_.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<int> ProcessOf(int thread) const override {
    std::lock_guard lock(mutex_);
    if (!processes_.contains(thread)) return std::nullopt;
    const auto found = groups_.find(thread);
    return found == groups_.end() ? thread : found->second;
  }
  int looked() const { return looked_; }

 private:
  mutable std::atomic<int> looked_{0};
  mutable std::mutex mutex_;  // protects what follows
  std::map<int, env::Process> processes_;
  std::map<int, int> groups_;
};

class FakeClock final : public env::Clock {
 public:
  void Advance(env::Duration by) { now_ = now_.load() + by; }
  env::MonotonicTime Now() const override { return env::MonotonicTime(now_.load()); }
  int64_t WallTimeNs() const override { return 7'000'000'000 + now_.load().count(); }

 private:
  std::atomic<env::Duration> now_{std::chrono::hours(1)};
};

using ByOwner = std::map<int, uint64_t>;

constexpr int kInit = 1, kShell = 100, kShimA = 200, kTrainerA = 201, kWorkerA = 202, kShimB = 300, kTrainerB = 301;

class ReadAccountingTest : public testing::Test {
 protected:
  ReadAccountingTest() {
    processes_.Put(kInit, 0);
    processes_.Put(kShell, kInit);
    processes_.Put(kShimA, kShell);
    processes_.Put(kTrainerA, kShimA);
    processes_.Put(kWorkerA, kTrainerA);
    processes_.Put(kShimB, kShell);
    processes_.Put(kTrainerB, kShimB);
  }
  void Read(int thread, uint64_t bytes = 1) {
    ReadAccount* const account = accounting_->Of(thread);
    if (!account) return;
    account->OnRead(clock_);
    account->OnAnswered(bytes, true);
  }
  // By owner; the last of several.
  ByOwner Bytes() {
    ByOwner bytes;
    for (const auto& job : accounting_->Jobs()) bytes[job.owner_pids.at(0)] = job.counts.bytes_cached;
    return bytes;
  }

  FakeProcesses processes_;
  FakeClock clock_;
  const std::shared_ptr<ReadAccounting> accounting_ = std::make_shared<ReadAccounting>(clock_, &processes_);
};

TEST_F(ReadAccountingTest, AReadIsTheJobsInWhoseTreeItsThreadIs) {
  Read(kTrainerA, 1000);
  EXPECT_EQ(processes_.looked(), 0) << "nothing is leased";
  processes_.PutThread(203, kWorkerA);
  processes_.PutThread(204, kShimA);
  const auto a = accounting_->Count({kShimA}), b = accounting_->Count({kShimB});
  Read(kShimA, 1);
  Read(kTrainerA, 10);
  Read(kWorkerA, 100);
  Read(203, 1000);
  Read(204, 10'000);  // a thread of the owner itself, whose parent lies above the owner
  Read(kTrainerB, 7);
  for (const int nobody : {0, -1, kInit, kShell, 999, (1 << 22) + kTrainerA}) Read(nobody, 1'000'000);
  EXPECT_EQ(Bytes(), (ByOwner{{kShimA, 11'111}, {kShimB, 7}}));
  EXPECT_EQ(accounting_->Jobs()[0].counts.reads, 5u);
}

TEST_F(ReadAccountingTest, TheNearestOwnerCountsWhoeverCameFirst) {
  const auto outer = accounting_->Count({kShell});
  Read(kTrainerA, 1);
  {
    const auto inner = accounting_->Count({kShimA});
    Read(kTrainerA, 10);
    Read(kTrainerB, 100);
  }
  Read(kTrainerA, 1000);
  EXPECT_EQ(Bytes(), (ByOwner{{kShell, 1101}, {kShimA, 10}}));
}

TEST_F(ReadAccountingTest, SeveralOwnersAreOneJobAndLeasesOfTheSameShareAnAccount) {
  auto first = accounting_->Count({kShimB, kShimA});
  {
    const auto second = accounting_->Count({kShimA, kShimB, kShimA});
    Read(kTrainerA, 1);
  }
  Read(kTrainerB, 10);
  auto jobs = accounting_->Jobs();
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].owner_pids, (std::vector<int>{kShimA, kShimB}));
  EXPECT_TRUE(jobs[0].leased);
  EXPECT_EQ(jobs[0].counts.bytes_cached, 11u);

  // A supervisor that is started anew goes on with what the last one counted.
  first = {};
  EXPECT_FALSE(accounting_->Jobs().at(0).leased);
  Read(kTrainerA, 1000);
  first = accounting_->Count({kShimA, kShimB});
  Read(kTrainerA, 100);
  jobs = accounting_->Jobs();
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].counts.bytes_cached, 111u);
}

TEST_F(ReadAccountingTest, ProcIsReadOnceASecondForEachThread) {
  const auto lease = accounting_->Count({kShimA});
  Read(kWorkerA);
  int before = processes_.looked();
  // 1024 apart: one place of the table.
  processes_.Put(kWorkerA + 1024, kShell);
  Read(kWorkerA + 1024);
  const int other = processes_.looked() - before;
  for (int i = 0; i < 1000; ++i) {
    Read(kWorkerA);
    Read(kWorkerA + 1024);
  }
  EXPECT_EQ(processes_.looked(), before + other);
  before = processes_.looked();
  clock_.Advance(seconds(1));
  for (int i = 0; i < 1000; ++i) Read(kWorkerA);
  EXPECT_EQ(processes_.looked(), before + 1) << "its place in the tree stays";
  EXPECT_EQ(Bytes(), (ByOwner{{kShimA, 2001}}));
}

TEST_F(ReadAccountingTest, ANumberThatGoesToAnotherProcessIsNoticedWithinASecond) {
  const auto lease = accounting_->Count({kShimA});
  Read(kWorkerA, 1);
  Read(kTrainerB, 1);
  processes_.Put(kWorkerA, kShell, 2);
  processes_.Put(kTrainerB, kTrainerA, 2);
  clock_.Advance(seconds(1));
  Read(kWorkerA, 10);
  Read(kTrainerB, 100);
  EXPECT_EQ(Bytes(), (ByOwner{{kShimA, 101}}));
  // The owner's own number, while its lease goes on.
  processes_.Put(kShimA, kShell, 2);
  processes_.Put(400, kShimA, 2);
  Read(400, 1000);
  EXPECT_EQ(Bytes(), (ByOwner{{kShimA, 101}}));
}

TEST_F(ReadAccountingTest, WhoeverEndedOrLostItsParentIsStillWhoItWas) {
  const auto lease = accounting_->Count({kShimA});
  Read(kWorkerA, 1);
  processes_.Remove(kTrainerA);
  processes_.Put(kWorkerA, kInit);
  clock_.Advance(seconds(1));
  Read(kWorkerA, 10);
  const auto other = accounting_->Count({kShimB});  // all are looked up anew
  Read(kWorkerA, 100);
  processes_.Remove(kWorkerA);
  clock_.Advance(seconds(1));
  Read(kWorkerA, 1000);
  EXPECT_EQ(Bytes(), (ByOwner{{kShimA, 1111}, {kShimB, 0}}));
}

TEST_F(ReadAccountingTest, AnOwnerThatDoesNotExistCountsNothing) {
  const auto lease = accounting_->Count({999});
  processes_.Put(999, kShell);
  Read(999);
  EXPECT_EQ(Bytes(), (ByOwner{{999, 0}}));
  EXPECT_EQ(accounting_->Jobs().at(0).counts.first_read_ns, 0);
}

TEST_F(ReadAccountingTest, WithoutProcessesNothingIsCounted) {
  const auto none = std::make_shared<ReadAccounting>(clock_, nullptr);
  const auto lease = none->Count({kShimA});
  EXPECT_EQ(none->Of(kTrainerA), nullptr);
}

TEST_F(ReadAccountingTest, OnlySoManyThatEndedAreKeptAndNoneInWhichAReadWaits) {
  constexpr int kJobs = 1000;
  ReadAccount* waiting = nullptr;
  for (int i = 0; i < kJobs; ++i) {
    const int owner = 10'000 + i;
    processes_.Put(owner, kShell);
    const auto lease = accounting_->Count({owner});
    Read(owner, static_cast<uint64_t>(i));
    if (i == 0) (waiting = accounting_->Of(owner))->BeginWait(clock_);
  }
  const auto jobs = accounting_->Jobs();
  ASSERT_EQ(jobs.size(), ReadAccounting::kEndedKept);
  for (size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_EQ(jobs[i].owner_pids.at(0), 10'000 + kJobs - 1 - static_cast<int>(i));
    EXPECT_EQ(jobs[i].counts.bytes_cached, static_cast<uint64_t>(kJobs) - 1 - i);
  }
  clock_.Advance(seconds(5));
  waiting->EndWait(clock_);
  EXPECT_EQ(waiting->Counts(clock_).waited, seconds(5)) << "its place went to another";

  std::vector<ReadAccounting::Lease> leases;
  for (int i = 0; i < static_cast<int>(ReadAccounting::kAccountsMax) + 10; ++i) {
    processes_.Put(20'000 + i, kShell);
    leases.push_back(accounting_->Count({20'000 + i}));
    Read(20'000 + i);
  }
  EXPECT_EQ(accounting_->Jobs().size(), ReadAccounting::kAccountsMax);
}

TEST_F(ReadAccountingTest, MoreThreadsThanAreRememberedAreCountedAllTheSame) {
  const auto lease = accounting_->Count({kShimA});
  constexpr int kThreads = static_cast<int>(ReadAccounting::kThreadsMax) + 100;
  for (int i = 0; i < kThreads; ++i) processes_.Put(10'000 + i, kTrainerA);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < kThreads; ++i) Read(10'000 + i);
  }
  EXPECT_EQ(Bytes(), (ByOwner{{kShimA, 2 * uint64_t{kThreads}}}));
}

TEST_F(ReadAccountingTest, WaitsAreAddedUpAndStallsAreTheirUnion) {
  const auto lease = accounting_->Count({kShimA});
  const int64_t begun_ns = clock_.WallTimeNs();
  ReadAccount& account = *accounting_->Of(kTrainerA);
  account.OnRead(clock_);
  clock_.Advance(seconds(10));
  account.OnRead(clock_);
  ReadWait first(account, clock_);
  clock_.Advance(seconds(2));
  ReadWait second(account, clock_);
  clock_.Advance(seconds(1));
  auto counts = account.Counts(clock_);
  EXPECT_EQ(counts.waited, seconds(4)) << "those that go on too";
  EXPECT_EQ(counts.stalled, seconds(3));
  first.OnAnswered(100, false);
  first.End();
  clock_.Advance(milliseconds(500));
  second.OnAnswered(10, true);
  second.End();
  clock_.Advance(seconds(100));
  counts = account.Counts(clock_);
  EXPECT_EQ(counts.waited, milliseconds(4500));
  EXPECT_EQ(counts.stalled, milliseconds(3500));
  EXPECT_EQ(counts.bytes_cold, 100u);
  EXPECT_EQ(counts.bytes_cached, 10u);
  EXPECT_EQ(counts.first_read_ns, begun_ns);
}

TEST_F(ReadAccountingTest, ManyThreadsAndLeasesAtOnceLoseNoRead) {
  constexpr int kThreads = 8, kReads = 20'000;
  const auto lease = accounting_->Count({kShimA});
  std::atomic<bool> done{false};
  std::thread turning([&] {
    for (int i = 0; !done; ++i) {
      const auto other = accounting_->Count({i % 2 == 0 ? kShimB : kShell});
      clock_.Advance(milliseconds(300));
      (void)accounting_->Jobs();
    }
  });
  std::vector<std::thread> readers;
  for (int thread = 0; thread < kThreads; ++thread) {
    processes_.Put(1000 + thread, kWorkerA);
    readers.emplace_back([&, thread] {
      for (int i = 0; i < kReads; ++i) {
        Read(1000 + thread);
        Read(kTrainerB);
        if (i % 100 != 0) continue;
        ReadWait wait(*accounting_->Of(1000 + thread), clock_);
        wait.End();
      }
    });
  }
  for (auto& reader : readers) reader.join();
  done = true;
  turning.join();
  EXPECT_EQ(accounting_->Jobs().at(0).owner_pids.at(0), kShimA);
  EXPECT_EQ(accounting_->Jobs().at(0).counts.bytes_cached, uint64_t{kThreads} * kReads);
}

// On a file system: what waits is cold, what is there is cached, and errors have no bytes.
TEST(ReadAccountingOnAFileSystemTest, ColdAndCachedBytesAndTheWait) {
  FakeProcesses processes;
  processes.Put(kShimA, kInit);
  processes.Put(kTrainerA, kShimA);
  TestingRig rig;
  rig.processes = &processes;
  rig.store->PutObject("f", PatternBytes(5000, 1));
  rig.Open();
  const auto found = env::Await<LookUpAnswer>([&](auto done) { LookUp(*rig.file_system, kRootInode, "f", done); });
  ASSERT_TRUE(found && found->attributes);
  const InodeId inode = found->attributes->id;
  std::vector<std::byte> bytes(6000);
  const auto read = [&](int reader) {
    if (const auto now = ReadNow(*rig.file_system, inode, 0, bytes, reader)) return **now;
    const auto wait = BeginWait(*rig.file_system, reader);
    const auto slice =
        env::Await<hydrate::DataSlice>([&](auto done) { Read(*rig.file_system, inode, 0, bytes.size(), done); });
    rig.clock.Advance(seconds(3));
    if (wait) wait->OnAnswered(slice->bytes.size(), slice->was_held);
    if (wait) wait->End();
    return slice->bytes.size();
  };
  const auto lease = rig.file_system->Accounting()->Count({kShimA});
  EXPECT_EQ(read(kTrainerA), 5000u);
  // The first answer does not wait until its bytes are kept.
  while (rig.file_system->Statistics().restored.objects == 0) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_EQ(read(kTrainerA), 5000u);
  EXPECT_EQ(read(kInit), 5000u);
  EXPECT_EQ(ReadNow(*rig.file_system, inode, 5000, bytes, kTrainerA)->value(), 0u);
  const auto jobs = rig.file_system->Accounting()->Jobs();
  ASSERT_EQ(jobs.size(), 1u);
  EXPECT_EQ(jobs[0].counts.reads, 3u);
  EXPECT_EQ(jobs[0].counts.bytes_cold, 5000u);
  EXPECT_EQ(jobs[0].counts.bytes_cached, 5000u);
  EXPECT_GE(jobs[0].counts.waited, seconds(3));
  EXPECT_EQ(jobs[0].counts.waited, jobs[0].counts.stalled);
  EXPECT_GT(jobs[0].counts.first_read_ns, 0);
}

}  // namespace
}  // namespace leat::fs
