// SPDX-License-Identifier: Apache-2.0
#include "posix/process_table.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace leat::posix {
namespace {

int ThreadId() { return static_cast<int>(syscall(SYS_gettid)); }

TEST(ProcessTableTest, AProcessItsThreadsAndItsChildAreFound) {
  const ProcessTable processes;
  const auto self = processes.Find(getpid());
  ASSERT_TRUE(self);
  EXPECT_EQ(self->parent, getppid());
  EXPECT_GT(self->start, 0u);
  EXPECT_EQ(processes.ProcessOf(getpid()), getpid());
  std::thread([&] {
    const auto thread = processes.Find(ThreadId());
    ASSERT_TRUE(thread);
    EXPECT_EQ(thread->parent, getppid());
    EXPECT_GE(thread->start, self->start);
    EXPECT_NE(ThreadId(), getpid());
    EXPECT_EQ(processes.ProcessOf(ThreadId()), getpid());
  }).join();

  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  const auto found = processes.Find(child);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->parent, getpid());
  EXPECT_GE(found->start, self->start);
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_FALSE(processes.Find(child));
  EXPECT_FALSE(processes.ProcessOf(child));
}

TEST(ProcessTableTest, ANameMayHoldAnything) {
  const std::string rest = " S 77 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 7 8 9\n";
  for (const std::string name : {"sh", "a) S 5 (b", ") R 1 1", "two words", "line\nend"}) {
    const auto process = ParseProcess("12 (" + name + ")" + rest);
    ASSERT_TRUE(process) << name;
    EXPECT_EQ(process->parent, 77) << name;
    EXPECT_EQ(process->start, 123456u) << name;
  }
  EXPECT_FALSE(ParseProcess(""));
  EXPECT_FALSE(ParseProcess("12 (sh)"));
  EXPECT_FALSE(ParseProcess("12 (sh) S 77 1"));
}

}  // namespace
}  // namespace leat::posix
