// SPDX-License-Identifier: Apache-2.0
// The kernel's files as text of both versions, and real groups where this machine permits them.
#include "jobs/control_group.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "jobs/control_group_text.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(ControlGroupText, TreesOfVersion1) {
  const auto found = ControlHierarchies(
      "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
      "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:7 master:3 - cgroup cgroup rw,cpu,cpuacct\n"
      "35 31 0:32 /docker/0123 /sys/fs/cgroup/a\\040b rw - cgroup cgroup rw,memory\n"
      "36 31 0:33 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n"
      "37 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
      "38 31 0:38 /elsewhere /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n"
      "39 31 0:29 / /other/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
      "9:name=systemd:/x\n7:blkio:/jobs\n4:memory:/docker/0123/jobs/one\n3:cpu,cpuacct:/\n0::/\n");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_THAT(found[0].controllers, ElementsAre("cpu", "cpuacct"));
  EXPECT_EQ(found[0].own_group, "/sys/fs/cgroup/cpu,cpuacct");
  EXPECT_FALSE(found[0].version2);
  EXPECT_EQ(found[1].mount_point, "/sys/fs/cgroup/a b");
  EXPECT_EQ(found[1].own_group, "/sys/fs/cgroup/a b/jobs/one");
}

TEST(ControlGroupText, TheTreeOfVersion2) {
  const char* mount = "31 20 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
  const auto found = ControlHierarchies(mount, "0::/user.slice/user-1000.slice/a:b.scope\n");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0].version2);
  EXPECT_EQ(found[0].own_group, "/sys/fs/cgroup/user.slice/user-1000.slice/a:b.scope");
  EXPECT_EQ(ControlHierarchies(mount, "0::/\n")[0].own_group, "/sys/fs/cgroup");
  EXPECT_TRUE(ControlHierarchies(mount, "0::/../outside\n").empty());
  EXPECT_TRUE(ControlHierarchies(mount, "").empty());
  EXPECT_TRUE(ControlHierarchies("", "0::/\n").empty());
  EXPECT_TRUE(ControlHierarchies("- - -\n1 2 3 / /x rw - cgroup2\n", ":\n\n4:memory\n0::/\n").empty());
}

TEST(ControlGroupText, Numbers) {
  const char* events = "low 0\nhigh 12\noom 3\noom_kill 2\noom_group_kill 1\n";
  EXPECT_EQ(NumberNamed(events, "oom_kill"), 2u);
  EXPECT_EQ(NumberNamed(events, "oom"), 3u);
  EXPECT_EQ(NumberNamed(events, "max"), std::nullopt);
  EXPECT_EQ(NumberNamed("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n", "oom_kill"), 7u);
  EXPECT_EQ(NumberNamed("usage_usec x\n", "usage_usec"), std::nullopt);
}

TEST(ControlGroupText, Transfers) {
  const auto second = IoStatBytes(
      "254:0 rbytes=100 wbytes=7 rios=2 wios=1 dbytes=0 dios=0\n8:0 \n253:1 rbytes=1 wbytes=2 rios=1 wios=1\n");
  EXPECT_EQ(second.read, 101u);
  EXPECT_EQ(second.written, 9u);
  const auto first =
      IoServiceBytes("254:0 Read 100\n254:0 Write 7\n254:0 Sync 7\n8:0 Read 1\n254:0 Total 107\nTotal 108\n");
  EXPECT_EQ(first.read, 101u);
  EXPECT_EQ(first.written, 7u);
  EXPECT_EQ(IoStatBytes("").read + IoServiceBytes("").written, 0u);
}

TEST(ControlGroupText, Pressure) {
  EXPECT_EQ(PressureSeconds("some avg10=0.12 avg60=0.00 avg300=0.00 total=2500000\n"
                            "full avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"),
            2.5);
  EXPECT_EQ(PressureSeconds("full avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"), std::nullopt);
  EXPECT_EQ(PressureSeconds(""), std::nullopt);
}

TEST(ControlGroupText, NamesAreEscaped) {
  EXPECT_EQ(ControlGroupDirectoryName("../a b").value(), "leat-..%2Fa%20b");
  EXPECT_EQ(ControlGroupDirectoryName("job-1").value(), "leat-job-1");
  EXPECT_FALSE(ControlGroupDirectoryName(""));
  EXPECT_FALSE(ControlGroupDirectoryName(std::string(251, 'x')));
}

// A tree of version 2 as files: where a group would be made, and what would be read there.
class FakeTree : public testing::Test {
 protected:
  FakeTree() {
    char name[] = "/tmp/leat-tree-XXXXXX";
    root_ = fs::canonical(mkdtemp(name)).string();
    Write("/proc/self/mountinfo", "31 20 0:27 / /cgroup rw - cgroup2 cgroup2 rw\n");
    Write("/proc/self/cgroup", "0::/slice/own\n");
    for (const char* group : {"/cgroup", "/cgroup/slice", "/cgroup/slice/own"}) {
      Write(std::string(group) + "/cgroup.controllers", "cpuset cpu io memory pids\n");
    }
    Write("/cgroup/slice/cgroup.subtree_control", "cpu io memory\n");
    fs::create_directories(root_ + "/cgroup/slice/own/cgroup.subtree_control");  // refuses to be written
  }
  ~FakeTree() override { fs::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    ASSERT_TRUE(WriteFileAtomically(root_ + path, text, 0644, false));
  }
  std::string root_;
};

TEST_F(FakeTree, BesideOurOwnGroupWhereThatHandsNothingOn) {
  const auto group = ControlGroup::Create("job", {}, root_);
  ASSERT_TRUE(group);
  EXPECT_THAT((*group)->directories(), ElementsAre(root_ + "/cgroup/slice/leat-job"));
}

TEST_F(FakeTree, NeverOutOfALimitOfOurOwn) {
  Write("/cgroup/slice/own/memory.max", "1073741824\n");
  const auto group = ControlGroup::Create("job", {}, root_);
  ASSERT_TRUE(group);
  EXPECT_THAT((*group)->directories(), ElementsAre(root_ + "/cgroup/slice/own/leat-job"));
}

TEST_F(FakeTree, BelowOurOwnWhereItHandsControllersOn) {
  fs::remove(root_ + "/cgroup/slice/own/cgroup.subtree_control");
  Write("/cgroup/slice/own/cgroup.subtree_control", "cpu io memory\n");
  const auto group = ControlGroup::Create("job", {}, root_);
  ASSERT_TRUE(group);
  EXPECT_THAT((*group)->directories(), ElementsAre(root_ + "/cgroup/slice/own/leat-job"));
}

TEST_F(FakeTree, ALimitWithoutItsControllerIsRefusedAndNothingStays) {
  const auto group = ControlGroup::Create("job", {.memory_bytes = 1u << 20, .cpus = {}}, root_);
  EXPECT_EQ(group.error().code, ErrorCode::kNotSupported);
  EXPECT_THAT(group.error().message, HasSubstr("memory cannot be limited here"));
  EXPECT_FALSE(fs::exists(root_ + "/cgroup/slice/leat-job"));
  fs::remove_all(root_ + "/proc");
  EXPECT_EQ(ControlGroup::Create("job", {}, root_).error().code, ErrorCode::kNotSupported);
}

TEST_F(FakeTree, UsageOfVersion2) {
  const auto group = ControlGroup::Create("job", {}, root_);
  ASSERT_TRUE(group);
  const auto none = (*group)->usage();
  EXPECT_FALSE(none.cpu_seconds || none.memory_bytes_max || none.bytes_read || none.io_stall_seconds);
  const std::string at = "/cgroup/slice/leat-job/";
  Write(at + "cpu.stat", "usage_usec 2500000\nuser_usec 2000000\n");
  Write(at + "memory.peak", "4096\n");
  Write(at + "memory.events", "low 0\nmax 3\noom 1\noom_kill 0\n");
  Write(at + "io.stat", "254:0 rbytes=5 wbytes=6 rios=1 wios=1\n");
  for (const char* what : {"cpu", "io", "memory"}) {
    Write(at + what + ".pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n");
  }
  const auto usage = (*group)->usage();
  EXPECT_EQ(usage.cpu_seconds, 2.5);
  EXPECT_EQ(usage.memory_bytes_max, 4096u);
  EXPECT_EQ(usage.bytes_read, 5u);
  EXPECT_EQ(usage.bytes_written, 6u);
  EXPECT_EQ(usage.cpu_stall_seconds, 0.5);
  EXPECT_EQ(usage.io_stall_seconds, 0.5);
  EXPECT_EQ(usage.memory_stall_seconds, 0.5);
  EXPECT_FALSE((*group)->WasKilledForMemory());
  Write(at + "memory.events", "oom 1\noom_kill 1\n");
  EXPECT_TRUE((*group)->WasKilledForMemory());
}

class ControlGroupTest : public testing::Test {
 protected:
  std::unique_ptr<ControlGroup> Create(const ControlGroupLimits& limits) {
    auto group = ControlGroup::Create(name_, limits);
    if (group) return std::move(*group);
    EXPECT_EQ(group.error().code, ErrorCode::kNotSupported) << group.error().message;
    EXPECT_EQ(ControlGroup::Adopt(name_).error().code, ErrorCode::kNotFound);
    why_not_ = group.error().message;
    return nullptr;
  }
  void TearDown() override {
    const auto left = ControlGroup::Adopt(name_);
    if (!left) return;
    EXPECT_TRUE((*left)->Kill());
    EXPECT_TRUE((*left)->Remove());
  }
  // A child of ours that enters the group itself, as a trainer does, and then runs `action`.
  template <class Action>
  static pid_t StartIn(const ControlGroup& group, Action action) {
    const auto files = group.procs_files();
    const pid_t child = fork();
    if (child != 0) return child;
    for (const auto& file : files) {
      const int fd = open(file.c_str(), O_WRONLY | O_CLOEXEC);
      if (fd < 0 || write(fd, "0", 1) != 1) _exit(9);
      close(fd);
    }
    action();
    _exit(0);
  }
  static int Wait(pid_t child) {
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status;
  }

  const std::string name_ = "test/" + std::to_string(getpid());
  std::string why_not_;
};

#define CREATE_OR_SKIP(group, limits) \
  const auto group = Create(limits);  \
  if (group == nullptr) GTEST_SKIP() << why_not_

TEST_F(ControlGroupTest, CountsAndRemoves) {
  CREATE_OR_SKIP(group, {});
  EXPECT_EQ(ControlGroup::Create(name_, {}).error().code, ErrorCode::kExists);
  ASSERT_FALSE(group->directories().empty());  // and the failure has removed none of them
  for (const auto& directory : group->directories()) EXPECT_TRUE(fs::exists(directory));
  const pid_t child = StartIn(*group, [] {
    volatile unsigned sum = 0;
    for (unsigned i = 0; i < 30'000'000; ++i) sum = sum + i;
  });
  EXPECT_EQ(Wait(child), 0);
  const auto usage = group->usage();
  ASSERT_TRUE(usage.cpu_seconds);
  EXPECT_GT(*usage.cpu_seconds, 0.0);
  EXPECT_FALSE(group->WasKilledForMemory());
  EXPECT_TRUE(group->Remove());
  for (const auto& directory : group->directories()) EXPECT_FALSE(fs::exists(directory));
  EXPECT_TRUE(group->Remove());  // once more is no failure
}

TEST_F(ControlGroupTest, TheMemoryLimitKillsWhoExceedsIt) {
  CREATE_OR_SKIP(group, (ControlGroupLimits{.memory_bytes = 256u << 20, .cpus = {}}));
  const auto use = [](size_t bytes) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) _exit(8);
    memset(memory, 1, bytes);
  };
  EXPECT_EQ(Wait(StartIn(*group, [&] { use(16u << 20); })), 0);  // a sanitizer makes it five times as much
  EXPECT_FALSE(group->WasKilledForMemory());
  const int status = Wait(StartIn(*group, [&] { use(512u << 20); }));
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  EXPECT_TRUE(group->WasKilledForMemory());
  const auto peak = group->usage().memory_bytes_max;
  if (peak) {
    EXPECT_GE(*peak, 16u << 20);
    EXPECT_LE(*peak, 256u << 20);
  }
}

TEST_F(ControlGroupTest, TheProcessorLimitIsTheKernels) {
  CREATE_OR_SKIP(group, (ControlGroupLimits{.memory_bytes = {}, .cpus = 1.5}));
  std::string limit;
  for (const auto& directory : group->directories()) {
    limit += ReadFile(directory + "/cpu.max").value_or("") + ReadFile(directory + "/cpu.cfs_quota_us").value_or("");
  }
  EXPECT_THAT(limit, HasSubstr("150000"));
  EXPECT_EQ(ControlGroup::Create("x", {.memory_bytes = {}, .cpus = 0.0}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(ControlGroupTest, KillsEveryDescendant) {
  CREATE_OR_SKIP(group, {});
  const pid_t child = StartIn(*group, [] {
    for (int i = 0; i < 3; ++i) {
      if (fork() == 0) {
        setsid();
        signal(SIGTERM, SIG_IGN);
        for (;;) pause();
      }
    }
    for (;;) pause();
  });
  while (group->Processes().size() < 4) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  EXPECT_EQ(group->Remove().error().code, ErrorCode::kBusy);
  const auto adopted = ControlGroup::Adopt(name_, group->directories());
  ASSERT_TRUE(adopted);
  EXPECT_EQ((*adopted)->Processes().size(), 4u);
  EXPECT_TRUE((*adopted)->Kill());
  const int status = Wait(child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_TRUE((*adopted)->Processes().empty());
  EXPECT_TRUE(group->Kill());  // of nobody
  EXPECT_TRUE((*adopted)->Remove());
}

TEST_F(ControlGroupTest, ARunningProcessCanBePutIn) {
  CREATE_OR_SKIP(group, {});
  const pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  EXPECT_TRUE(group->Enter(child));
  EXPECT_THAT(group->Processes(), ElementsAre(child));
  // A group that the job made itself goes with its own.
  const std::string below = group->directories()[0] + "/below";
  ASSERT_TRUE(fs::create_directory(below));
  const std::string number = std::to_string(child);
  EXPECT_TRUE(WriteAll(FileDescriptor(open((below + "/cgroup.procs").c_str(), O_WRONLY)).get(),
                       std::as_bytes(std::span(number)), 0));
  EXPECT_THAT(group->Processes(), ElementsAre(child));
  EXPECT_TRUE(group->Kill());
  Wait(child);
  EXPECT_TRUE(group->Remove());
  EXPECT_FALSE(fs::exists(below));
  EXPECT_FALSE(group->Enter(getpid()));
}

TEST_F(ControlGroupTest, OnlyGroupsOfThatNameAreAdopted) {
  EXPECT_EQ(ControlGroup::Adopt(name_).error().code, ErrorCode::kNotFound);
  char directory[] = "/tmp/leat-group-XXXXXX";
  ASSERT_TRUE(mkdtemp(directory));
  const std::string look_alike = std::string(directory) + "/" + ControlGroupDirectoryName(name_).value();
  fs::create_directory(look_alike);
  EXPECT_EQ(ControlGroup::Adopt(name_, {look_alike, "/sys/fs/cgroup", ""}).error().code, ErrorCode::kNotFound);
  fs::remove_all(directory);
}

}  // namespace
}  // namespace leat::jobs
