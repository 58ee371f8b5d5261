// SPDX-License-Identifier: Apache-2.0
#include "jobs/machine.h"

#include <gmock/gmock.h>
#include <sys/wait.h>

#include "base/file.h"
#include "jobs/jobs_testing.h"
#include "jobs/trainer_process.h"

namespace leat::jobs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Machine, KnowsTheCommonTypes) {
  const auto size = [](const char* type) {
    const auto found = SizeOfInstanceType(type);
    return found ? std::pair(found->cpus, found->gpus) : std::pair(0u, 0u);
  };
  EXPECT_EQ(size("ml.m5.large"), std::pair(2u, 0u));
  EXPECT_EQ(size("ml.m5.xlarge"), std::pair(4u, 0u));
  EXPECT_EQ(size("ml.g5.12xlarge"), std::pair(48u, 4u));
  EXPECT_EQ(size("ml.g5.16xlarge"), std::pair(64u, 1u));
  EXPECT_EQ(size("ml.p3.16xlarge"), std::pair(64u, 8u));
  EXPECT_EQ(size("ml.p4d.24xlarge"), std::pair(96u, 8u));
  EXPECT_EQ(size("ml.c4.8xlarge"), std::pair(36u, 0u));
  for (const char* type : {"local", "ml.z9.xlarge", "ml.m5.huge", "ml.m5.x2large", "ml.m5.0xlarge", "m5.xlarge"}) {
    EXPECT_FALSE(SizeOfInstanceType(type)) << type;
  }
}

TEST(Machine, GivesWhatThereIsAndSaysWhatIsMissing) {
  std::vector<std::string> warnings;
  const Machine machine = FitMachine("ml.g5.12xlarge", {8, 1, std::nullopt}, Json::object(), warnings);
  EXPECT_EQ(machine.cpus, 8u);
  EXPECT_EQ(machine.gpus, 1u);
  EXPECT_FALSE(machine.visible_gpus);  // all there are: nothing to hide
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("has 48 cpus, this machine 8"), HasSubstr("has 4 gpus, this machine 1")));
}

TEST(Machine, HidesTheGpusThatAJobDoesNotGet) {
  std::vector<std::string> warnings;
  EXPECT_EQ(FitMachine("ml.g5.xlarge", {96, 8, std::nullopt}, Json::object(), warnings).visible_gpus, "0");
  EXPECT_EQ(FitMachine("ml.m5.xlarge", {96, 8, std::nullopt}, Json::object(), warnings).visible_gpus, "");
  // The caller's own choice is shared out, not passed by.
  EXPECT_EQ(FitMachine("ml.g5.xlarge", {96, 8, "5,GPU-1a"}, Json::object(), warnings).visible_gpus, "5");
  EXPECT_EQ(FitMachine("local", {96, 8, "5,6"}, Json::object(), warnings).gpus, 2u);
  EXPECT_FALSE(FitMachine("local", {96, 8, "5,6"}, Json::object(), warnings).visible_gpus);
  EXPECT_FALSE(FitMachine("local", {96, 8, std::nullopt}, Json::object(), warnings).visible_gpus);
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("has 1 gpus, this machine 8"), HasSubstr("has 0 gpus, this machine 8"),
                                    HasSubstr("has 1 gpus, this machine 2")));
}

TEST(Machine, TheTableHasTheLastWord) {
  std::vector<std::string> warnings;
  const Json table = {{"ml.g5.xlarge", {{"gpus", 2}}}, {"ml.own.box", {{"cpus", 3}}}};
  const Machine known = FitMachine("ml.g5.xlarge", {96, 8, std::nullopt}, table, warnings);
  EXPECT_EQ(known.cpus, 4u);
  EXPECT_EQ(known.visible_gpus, "0,1");
  EXPECT_EQ(FitMachine("ml.own.box", {96, 8, std::nullopt}, table, warnings).cpus, 3u);
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("has 2 gpus, this machine 8")));
}

constexpr const char* kGpus = R"(GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5e9d1a00-0000-0000-0000-000000000000)
  MIG 1g.10gb     Device  0: (UUID: MIG-77c1f2a8-0000-0000-0000-000000000000)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-5e9d2b11-1111-1111-1111-111111111111)
GPU 2: NVIDIA H100 80GB HBM3 (UUID: GPU-a0000000-2222-2222-2222-222222222222)
)";

TEST(Machine, KnowsGpusByTheirUuids) {
  const TestDirectory programs;
  ASSERT_TRUE(WriteFileAtomically(programs.path() + "/gpus", kGpus, 0644, false));
  ASSERT_TRUE(WriteFileAtomically(
      programs.path() + "/nvidia-smi",
      "#!/bin/sh\n[ \"$*\" = --list-gpus ] && exec /bin/cat '" + programs.path() + "/gpus'\n", 0755, false));
  std::vector<std::string> warnings;
  Hardware hardware = CountHardware({"PATH=" + programs.path()}, warnings);
  EXPECT_EQ(hardware.gpus, 3u);
  const auto devices = [&](const char* visible) {
    hardware.visible_gpus = visible;
    return DevicesOf(hardware);
  };
  EXPECT_THAT(devices("GPU-a0000000-2222-2222-2222-222222222222,GPU-5e9d1"), ElementsAre("2", "0"));
  EXPECT_THAT(devices("GPU-5e9d2b11, 1,2,2"), ElementsAre("1", "2"));  // each once
  EXPECT_THAT(devices("MIG-77c1f2a8-0000-0000-0000-000000000000,2"),
              ElementsAre("MIG-77c1f2a8-0000-0000-0000-000000000000", "2"));
  for (const char* none : {"", "-1", "3,0", "GPU-5e9d,0", "GPU-b,0", "none"}) {
    EXPECT_THAT(devices(none), ElementsAre()) << none;
  }
  hardware = CountHardware({"PATH=" + programs.path(), "CUDA_VISIBLE_DEVICES=GPU-a,MIG-1"}, warnings);
  EXPECT_THAT(DevicesOf(hardware), ElementsAre("2", "MIG-1"));
  EXPECT_TRUE(warnings.empty());
}

TEST(Program, ThatDoesNotEndIsKilled) {
  TrainerCommand command;
  command.arguments = {"/bin/sh", "-c", "echo begun; exec sleep 600"};
  EXPECT_EQ(RunProgram(command, std::chrono::milliseconds(200)).error().code, ErrorCode::kTimedOut);
  command.arguments = {"/bin/sh", "-c", "echo out; exit 3"};
  const auto ran = RunProgram(command, std::chrono::minutes(5));
  ASSERT_TRUE(ran);
  EXPECT_EQ(ran->text, "out\n");
  EXPECT_EQ(ran->exit_code, 3);
  siginfo_t left{};
  int runs = 0;  // the killed one ends when it can, and the next run after that reaps it
  while (waitid(P_ALL, 0, &left, WEXITED | WNOHANG | WNOWAIT) == 0 && ++runs < 2000)
    ASSERT_TRUE(RunProgram(command, std::chrono::minutes(5)));
  EXPECT_LT(runs, 2000) << "process " << left.si_pid << " is left";
}

}  // namespace
}  // namespace leat::jobs
