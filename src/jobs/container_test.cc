// SPDX-License-Identifier: Apache-2.0
#include "jobs/container.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "base/file.h"

namespace leat::jobs {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

class ContainerTest : public testing::Test {
 protected:
  ContainerTest() {
    job_.training_image = "img:1";
    view_.name = "leat-j-7-algo-1";
    view_.volume = "/state/jobs/j/ml";
  }
  std::vector<std::string> Arguments() const {
    const auto arguments = ContainerArguments(job_, machine_, view_);
    EXPECT_TRUE(arguments) << arguments.error().message;
    return arguments.value_or(std::vector<std::string>{});
  }
  // From the entry point, if one is given, to the end.
  std::vector<std::string> Command() const {
    const auto all = Arguments();
    auto at = std::ranges::find(all, "--entrypoint");
    if (at == all.end()) at = std::ranges::find(all, "--");
    return {at, all.end()};
  }
  // What follows `option`, each time that it is there.
  std::vector<std::string> ValuesOf(const std::string& option) const {
    std::vector<std::string> values;
    const auto all = Arguments();
    for (size_t i = 0; i + 1 < all.size() && all[i] != "--"; ++i) {
      if (all[i] == option) values.push_back(all[i + 1]);
    }
    return values;
  }

  TrainingJob job_;
  Machine machine_;
  ContainerView view_;
};

// SageMaker Developer Guide, "How Amazon SageMaker AI Runs Your Training Image".
TEST_F(ContainerTest, TheCommandIsTheServices) {
  EXPECT_THAT(Command(), ElementsAre("--", "img:1", "train"));
  job_.arguments = {"-a", "b c"};
  EXPECT_THAT(Command(), ElementsAre("--", "img:1", "-a", "b c"));
  job_.entrypoint = {"/bin/sh", "-c"};
  EXPECT_THAT(Command(), ElementsAre("--entrypoint", R"(["/bin/sh"])", "--", "img:1", "-c", "-a", "b c"));
  job_.arguments.clear();
  job_.entrypoint = {"[\"x"};
  EXPECT_THAT(Command(), ElementsAre("--entrypoint", R"(["[\"x"])", "--", "img:1"));
}

TEST_F(ContainerTest, ItHasTheJobsVolumeAndReadOnlyChannels) {
  view_.read_only = {{"/mnt/a:b", "/opt/ml/input/data/train"}};
  EXPECT_THAT(ValuesOf("--mount"),
              ElementsAre("type=bind,source=/state/jobs/j/ml,destination=/opt/ml",
                          "type=bind,source=/mnt/a:b,destination=/opt/ml/input/data/train,ro=true"));
  view_.read_only = {{"/mnt/a,b", "/opt/ml/input/data/train"}};
  const auto refused = ContainerArguments(job_, machine_, view_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(refused.error().message, HasSubstr("/mnt/a,b"));
}

TEST_F(ContainerTest, ItIsLimitedAndConnectedAsTheJob) {
  machine_.hosts = {"algo-1", "algo-2"};
  view_.limits = {100, 200, 30, 4096};
  EXPECT_THAT(ValuesOf("--ulimit"), ElementsAre("nofile=100:200", "nproc=30:30"));
  EXPECT_THAT(ValuesOf("--shm-size"), ElementsAre("4096b"));
  EXPECT_THAT(ValuesOf("--network"), ElementsAre("host"));
  EXPECT_THAT(ValuesOf("--add-host"), ElementsAre("algo-1:127.0.0.1", "algo-2:127.0.0.1"));
  EXPECT_THAT(ValuesOf("--security-opt"), ElementsAre("label=disable"));
  job_.network_isolation = true;
  view_.seccomp_profile = "/state/seccomp.json";
  EXPECT_THAT(ValuesOf("--network"), ElementsAre("none"));
  EXPECT_THAT(ValuesOf("--security-opt"), ElementsAre("label=disable", "seccomp=/state/seccomp.json"));
  const ContainerLimits here = ContainerLimitsHere();
  EXPECT_LE(here.files_soft, here.files_hard);
  EXPECT_GT(here.shared_memory_bytes, 0u);
}

TEST_F(ContainerTest, ItsGpusAreTheJobs) {
  EXPECT_THAT(ValuesOf("--device"), ElementsAre());
  machine_.gpus = 2;
  EXPECT_THAT(ValuesOf("--device"), ElementsAre("nvidia.com/gpu=all"));
  machine_.visible_gpus = "1, GPU-5e9d";
  EXPECT_THAT(ValuesOf("--device"), ElementsAre("nvidia.com/gpu=1", "nvidia.com/gpu=GPU-5e9d"));
}

TEST_F(ContainerTest, ValuesAreNotOnTheCommandLine) {
  view_.environment = {{"TOKEN", "secret-1"}, {"PATH", "/x"}, {"XDG_DATA_HOME", "/y"}, {"no_Proxy", "z"}};
  EXPECT_THAT(ValuesOf("--env"), ElementsAre("PATH=/x", "TOKEN", "XDG_DATA_HOME=/y", "no_Proxy=z"));
  EXPECT_THAT(Arguments(), Not(Contains(HasSubstr("secret"))));
  EXPECT_THAT(PodmanEnvironment({"PATH=/usr/bin", "HOME=/root", "TOKEN=old", "AWS_SECRET_ACCESS_KEY=k", "MINE=m"},
                                view_.environment),
              testing::UnorderedElementsAre("PATH=/usr/bin", "HOME=/root", "MINE=m", "TOKEN=secret-1",
                                            "PODMAN_IGNORE_CGROUPSV1_WARNING=1"));
}

TEST_F(ContainerTest, OfTheCallersVariablesItGetsTheRegion) {
  const std::vector<std::string> caller = {"AWS_REGION=eu", "AWS_SECRET_ACCESS_KEY=k", "PYTHONPATH=/p", "MY_REGION=x",
                                           "HOME=/root"};
  const auto environment =
      ContainerEnvironment(caller, {{"SM_HP_A", "1"}, {"SM_HP_TWO WORDS", "2"}, {"SM_HP_A=B", "3"}, {"SM_HP_A*", "4"}});
  EXPECT_THAT(environment, ElementsAre(testing::Pair("AWS_DEFAULT_REGION", "eu"), testing::Pair("AWS_REGION", "eu"),
                                       testing::Pair("PYTHONUNBUFFERED", "1"), testing::Pair("SAGEMAKER_REGION", "eu"),
                                       testing::Pair("SM_HP_A", "1")));
  EXPECT_THAT(ContainerEnvironment(caller, {{"PYTHONPATH", "/mine"}}), Contains(testing::Pair("PYTHONPATH", "/mine")));
}

TEST_F(ContainerTest, NamesTellStateDirectoriesApart) {
  EXPECT_NE(ContainerName("/a", "j", "algo-1"), ContainerName("/b", "j", "algo-1"));
  EXPECT_EQ(ContainerName("/a", "j", "algo-1"), ContainerName("/a", "j", "algo-1"));
  EXPECT_THAT(ContainerName("/a", "j", "algo-2"), testing::MatchesRegex("leat-j-[0-9]+-algo-2"));
}

TEST(SeccompProfile, OnlyOneRequestOfIoctlIsAnswered) {
  const Json profile = Json::parse(R"({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
      {"names": ["read", "ioctl", "write"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {"caps": ["X"]}},
      {"names": ["mount"], "action": "SCMP_ACT_ALLOW"}]})");
  EXPECT_EQ(*WithoutTerminals(profile), Json::parse(R"({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
      {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["X"]},
       "args": [{"index": 1, "value": 21505, "op": "SCMP_CMP_NE"}]},
      {"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 25, "errno": "ENOTTY", "includes": {"caps": ["X"]},
       "args": [{"index": 1, "value": 21505, "op": "SCMP_CMP_EQ"}]},
      {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [], "includes": {"caps": ["X"]}},
      {"names": ["mount"], "action": "SCMP_ACT_ALLOW"}]})"));
}

TEST(SeccompProfile, WhatIsNoneIsRefused) {
  for (const char* text :
       {"[]", "{}", "7", R"({"syscalls": {}})", R"({"syscalls": [7]})", R"({"syscalls": [{"names": "ioctl"}]})",
        R"({"syscalls": []})", R"({"syscalls": [{"names": ["ioctl"], "action": "SCMP_ACT_ERRNO"}]})",
        R"({"syscalls": [{"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 1}]}]})"}) {
    EXPECT_FALSE(WithoutTerminals(Json::parse(text))) << text;
  }
  EXPECT_FALSE(WithoutTerminals(Json::parse("{", nullptr, false)));
}

// Its first argument decides what the fake podman does.
class FakePodmanTest : public testing::Test {
 protected:
  FakePodmanTest() {
    char name[] = "/tmp/leat-podman-XXXXXX";
    directory_ = mkdtemp(name);
    environment_ = {"PATH=" + directory_ + ":/usr/bin:/bin"};
    job_.training_image = "img:1";
    log_.Add("Error: no such thing");
  }
  ~FakePodmanTest() override { std::filesystem::remove_all(directory_); }
  void Podman(const std::string& script) {
    ASSERT_TRUE(WriteFileAtomically(directory_ + "/podman", "#!/bin/sh\n" + script + "\n", 0755, false));
  }
  std::string directory_;
  std::vector<std::string> environment_;
  TrainingJob job_;
  LogTail log_;
};

TEST_F(FakePodmanTest, AnImageThatIsThereIsNotPulled) {
  Podman("[ \"$*\" = 'image exists -- img:1' ]");
  EXPECT_TRUE(PullImage("img:1", environment_, {}));
  Podman("[ $1 = pull ] || exit 1; [ \"$*\" = 'pull --quiet -- img:1' ]");
  EXPECT_TRUE(PullImage("img:1", environment_, {}));
}

TEST_F(FakePodmanTest, APullThatFailsNamesTheImage) {
  Podman("[ $1 = pull ] && echo trying && echo 'Error: denied'; exit 125");
  const Status pulled = PullImage("img:1", environment_, {});
  ASSERT_FALSE(pulled);
  EXPECT_THAT(pulled.error().message, HasSubstr("img:1 could not be pulled: Error: denied; `podman pull img:1`"));
}

TEST_F(FakePodmanTest, AStopEndsAPull) {
  Podman("[ $1 = pull ] || exit 1; exec sleep 5000");
  int asked = 0;
  const Status pulled = PullImage("img:1", environment_, [&] { return ++asked > 2; });
  ASSERT_FALSE(pulled);
  EXPECT_EQ(pulled.error().code, ErrorCode::kCancelled);
}

TEST_F(FakePodmanTest, OnlyWhatNeverStartedIsTheContainersFailure) {
  Podman("echo 'level=warning msg=something'; echo -62135596800");
  EXPECT_THAT(WhyNotStarted(job_, "c", 127, log_, environment_),
              testing::Optional(testing::AllOf(HasSubstr("ClientError: CannotStartContainerError"), HasSubstr("img:1"),
                                               HasSubstr("Error: no such thing"), HasSubstr("no program `train`"))));
  EXPECT_EQ(WhyNotStarted(job_, "c", 1, log_, environment_), std::nullopt);
  job_.entrypoint = {"/bin/none"};
  EXPECT_THAT(WhyNotStarted(job_, "c", 127, log_, environment_), testing::Optional(Not(HasSubstr("`train`"))));
  Podman("exit 125");  // there is no such container
  log_.Add("Error: unresolvable CDI devices nvidia.com/gpu=0");
  EXPECT_THAT(WhyNotStarted(job_, "c", 125, log_, environment_), testing::Optional(HasSubstr("nvidia-ctk")));
  Podman("echo 1790000000");
  EXPECT_EQ(WhyNotStarted(job_, "c", 127, log_, environment_), std::nullopt);
}

TEST_F(FakePodmanTest, WhatCannotBeRemovedIsTold) {
  Podman("[ $3 = rm ]");
  EXPECT_TRUE(RemoveContainer("c", environment_));
  Podman("[ -e $0.again ] && exit; touch $0.again; echo 'Error: conmon exited prematurely'; exit 125");
  EXPECT_TRUE(RemoveContainer("c", environment_));
  Podman("echo 'Error: busy'; exit 1");
  const Status removed = RemoveContainer("c", environment_);
  ASSERT_FALSE(removed);
  EXPECT_THAT(removed.error().message, HasSubstr("c could not be removed: Error: busy"));
}

}  // namespace
}  // namespace leat::jobs
