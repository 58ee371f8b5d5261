// SPDX-License-Identifier: Apache-2.0
#include "jobs/machine.h"

#include <gmock/gmock.h>

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

TEST(Program, ThatDoesNotEndIsKilled) {
  TrainerCommand command;
  command.arguments = {"/bin/sh", "-c", "echo begun; exec sleep 600"};
  EXPECT_EQ(RunProgram(command, std::chrono::milliseconds(200)).error().code, ErrorCode::kTimedOut);
  command.arguments = {"/bin/sh", "-c", "echo out; exit 3"};
  const auto ran = RunProgram(command, std::chrono::minutes(5));
  ASSERT_TRUE(ran);
  EXPECT_EQ(ran->text, "out\n");
  EXPECT_EQ(ran->exit_code, 3);
}

}  // namespace
}  // namespace leat::jobs
