// SPDX-License-Identifier: Apache-2.0
#include "cli/memory_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace leat::cli {
namespace {

constexpr uint64_t kMiB = 1u << 20, kGiB = 1u << 30;

TEST(MemoryBudgetTest, ThePartsAreTheWholeAndDataHasTheMost) {
  for (const uint64_t total : {kMemoryBytesMin, 100 * kMiB + 1, 128 * kMiB, 512 * kMiB, 3 * kGiB, 1024 * kGiB}) {
    const MemoryBudget budget = DivideMemory(total);
    EXPECT_EQ(budget.total, total);
    EXPECT_EQ(budget.data + budget.databases + budget.inodes + budget.extents + budget.rest, total);
    EXPECT_GT(budget.data, budget.databases);
    EXPECT_GE(budget.data, 33 * kMiB / 2);   // two of the largest objects that are received whole
    EXPECT_GE(budget.databases, 12 * kMiB);  // write buffers, and blocks beside them
  }
  // What fills up and stays, by itself, whatever the budget: an idle daemon is small.
  const MemoryBudget large = DivideMemory(64 * kGiB);
  EXPECT_LE(large.databases + large.inodes + large.extents, 136 * kMiB);
}

TEST(MemoryBudgetTest, TheDefaultIsAnEighthWithinBounds) {
  EXPECT_EQ(DefaultMemoryBytes(0), kMemoryBytesMin);
  EXPECT_EQ(DefaultMemoryBytes(512 * kMiB), 64 * kMiB);
  EXPECT_EQ(DefaultMemoryBytes(2 * kGiB), 256 * kMiB);
  EXPECT_EQ(DefaultMemoryBytes(1024 * kGiB), 512 * kMiB);
}

TEST(MemoryBudgetTest, TooLittleIsRefusedWithTheLeastThatWorks) {
  EXPECT_TRUE(CheckMemoryBytes(kMemoryBytesMin));
  const Status refused = CheckMemoryBytes(kMemoryBytesMin - 1);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("64.0 MiB or more"));
}

class UsableMemoryTest : public testing::Test {
 protected:
  UsableMemoryTest() {
    char path[] = "/tmp/leat-memory-XXXXXX";
    root_ = mkdtemp(path);
    Write("/proc/meminfo", "MemTotal:       16000000 kB\nMemFree:        1 kB\n");
  }
  ~UsableMemoryTest() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  static constexpr uint64_t kMachine = uint64_t{16'000'000} * 1024;
  std::string root_;
};

TEST_F(UsableMemoryTest, WithoutControlGroupsItIsTheMachines) { EXPECT_EQ(UsableMemory(root_), kMachine); }

TEST_F(UsableMemoryTest, TheSmallestLimitOnTheWayUpCountsInVersion1) {
  Write("/proc/self/cgroup", "5:cpu:/x\n4:memory,foo:/jobs/one\n0::/elsewhere\n");
  Write("/proc/self/mountinfo",
        "30 20 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
        "31 20 0:27 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  Write("/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "536870912\n");
  Write("/sys/fs/cgroup/memory/jobs/one/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(UsableMemory(root_), 512 * kMiB);
  Write("/sys/fs/cgroup/memory/jobs/one/memory.limit_in_bytes", "268435456\n");
  EXPECT_EQ(UsableMemory(root_), 256 * kMiB);
}

TEST_F(UsableMemoryTest, TheSmallestLimitOnTheWayUpCountsInVersion2) {
  Write("/proc/self/cgroup", "0::/system.slice/job.service\n");
  Write("/proc/self/mountinfo", "31 20 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n");
  Write("/sys/fs/cgroup/system.slice/job.service/memory.max", "max\n");
  EXPECT_EQ(UsableMemory(root_), kMachine);
  Write("/sys/fs/cgroup/system.slice/memory.max", "1073741824\n");
  EXPECT_EQ(UsableMemory(root_), kGiB);
}

TEST_F(UsableMemoryTest, AContainerSeesItsGroupAtTheMountpoint) {
  Write("/proc/self/cgroup", "4:memory:/docker/0123\n");
  Write("/proc/self/mountinfo", "31 20 0:27 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n");
  EXPECT_EQ(UsableMemory(root_), 2 * kGiB);
}

TEST_F(UsableMemoryTest, NonsenseDoesNoHarm) {
  Write("/proc/self/cgroup", ":\n\n4:memory\n4:memory:\n");
  Write("/proc/self/mountinfo", "- - -\n1 2 3 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "\n");
  EXPECT_EQ(UsableMemory(root_), kMachine);
  std::filesystem::remove(root_ + "/proc/meminfo");
  EXPECT_EQ(UsableMemory(root_), kMemoryBytesMin);
}

}  // namespace
}  // namespace leat::cli
