// SPDX-License-Identifier: Apache-2.0
// Real scripts, without a sandbox; buckets in memory.
#include "jobs/supervisor.h"

#include <gmock/gmock.h>

#include <set>

#include "base/file.h"
#include "jobs/jobs_testing.h"
#include "jobs/training_run.h"

namespace leat::jobs {
namespace {

using testing::ElementsAre;

// A job's own way to buckets that are the test's.
class Borrowed final : public RepositoryFactory {
 public:
  explicit Borrowed(Buckets& buckets) : buckets_(buckets) {}
  Result<Repository> Open(const std::string& url, unsigned connections) override {
    return buckets_.Open(url, connections);
  }

 private:
  Buckets& buckets_;
};

class SupervisorTest : public testing::Test, protected JobServicesFactory {
 protected:
  JobServices For(const std::string& job) override {
    std::vector<std::string> environment = {"PATH=/usr/bin:/bin"};
    if (const auto found = visible_gpus_.find(job); found != visible_gpus_.end())
      environment.push_back("CUDA_VISIBLE_DEVICES=" + found->second);
    return {std::make_unique<Directories>(), std::make_unique<Borrowed>(buckets_), environment};
  }
  void OnEnded(const std::string& job) override {
    ended_.push_back(job);
    EXPECT_TRUE(disk_.Load(job)->IsTerminal());  // what goes with it is not needed any more
  }

  Json Request(const std::string& name, const std::string& script) {
    const std::string code = directory_.path() + "/" + name;
    EXPECT_TRUE(CreateDirectories(code));
    EXPECT_TRUE(WriteFileAtomically(code + "/run.sh", script, 0755, false));
    return {{"TrainingJobName", name},
            {"HyperParameters", {{"sagemaker_program", "run.sh"}, {"sagemaker_submit_directory", code}}},
            {"AlgorithmSpecification", {{"TrainingInputMode", "File"}}},
            {"ResourceConfig", {{"InstanceType", "ml.own.box"}, {"InstanceCount", 1}}},
            {"OutputDataConfig", {{"S3OutputPath", "s3://bucket/out"}}}};
  }
  // One that may wait and run for a minute.
  Json SpotRequest(const std::string& name, const std::string& script) {
    Json request = Request(name, script);
    request["EnableManagedSpotTraining"] = true;
    request["StoppingCondition"] = {{"MaxRuntimeInSeconds", 60}, {"MaxWaitTimeInSeconds", 60}};
    return request;
  }
  void Submit(const Json& request, std::chrono::seconds ago = {}) {
    ASSERT_TRUE(CheckTrainingJob(request).problems.empty());
    RunOptions options;
    options.sandbox = false;
    ASSERT_TRUE(disk_.Create(JobKind::kTraining, request["TrainingJobName"],
                             {"created",
                              WallTimeNs() - std::chrono::nanoseconds(ago).count(),
                              {{"request", request}, {"options", ToJson(options)}}}));
  }
  void WriteInstanceTypes(const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(state_directory_ + "/instance-types.json", text, 0600, false));
  }
  // Turns until `condition` holds.
  template <class Condition>
  void TurnUntil(Supervisor& supervisor, Condition condition) {
    for (;;) {
      const auto left = supervisor.Turn();
      ASSERT_TRUE(left) << left.error().message;
      if (condition(*left)) return;
      supervisor.Wait(std::chrono::milliseconds(20));
    }
  }
  void TurnToTheEnd(Supervisor& supervisor) {
    TurnUntil(supervisor, [](bool left) { return !left; });
  }

  const TestDirectory directory_;
  const std::string state_directory_ = directory_.path() + "/state";
  FailingJobStore disk_{state_directory_, JobStore::Open(state_directory_).value()};
  Buckets buckets_;
  std::map<std::string, std::string> visible_gpus_;
  std::vector<std::string> ended_;
};

TEST_F(SupervisorTest, AJobThatHasWaitedTooLongEndsWithoutAStart) {
  WriteInstanceTypes(R"({"ml.own.box": {"cpus": 2}})");
  const std::string go = directory_.path() + "/go", ran = directory_.path() + "/ran";
  Submit(Request("first", "until [ -e '" + go + "' ]; do sleep 0.02; done\n"));
  Submit(SpotRequest("head", "touch '" + ran + "'\n"), std::chrono::hours(1));
  Submit(SpotRequest("patient", "exit 0\n"));
  Submit(SpotRequest("behind", "touch '" + ran + "'\n"), std::chrono::hours(1));
  Supervisor supervisor(state_directory_, disk_, *this, {.cpus = 2});
  EXPECT_TRUE(supervisor.Turn().value());
  EXPECT_THAT(ended_, ElementsAre("head", "behind"));
  for (const char* name : {"head", "behind"}) {
    const JobState state = disk_.Load(name).value();
    EXPECT_EQ(state.status, "Stopped");
    EXPECT_EQ(state.secondary, "MaxWaitTimeExceeded");
    ASSERT_EQ(state.transitions.size(), 3u);
    EXPECT_EQ(state.transitions[1].status, "Stopping");
    EXPECT_FALSE(state.started_ns);
    EXPECT_TRUE(state.placement.empty());
    EXPECT_TRUE(state.failure_reason.empty());
  }
  EXPECT_EQ(disk_.Load("patient")->status, "InProgress");
  EXPECT_EQ(disk_.Load("patient")->transitions.back().message,
            "Waiting for 1 running job to leave room on this machine");
  ASSERT_TRUE(WriteFileAtomically(go, "", 0600, false));
  TurnToTheEnd(supervisor);
  EXPECT_EQ(disk_.Load("first")->status, "Completed");
  EXPECT_EQ(disk_.Load("patient")->status, "Completed");
  EXPECT_FALSE(ReadFile(ran));
  EXPECT_THAT(ended_, ElementsAre("head", "behind", "first", "patient"));
}

TEST_F(SupervisorTest, AnEndThatCannotBeStoredIsKeptAndNothingDoneTwice) {
  disk_.fails_from = "uploaded";
  Submit(Request("job", "printf weights > \"$SM_MODEL_DIR/w\"; printf o > \"$SM_OUTPUT_DATA_DIR/o\"\n"));
  Supervisor supervisor(state_directory_, disk_, *this, {.cpus = 2}, std::chrono::milliseconds(1));
  TurnUntil(supervisor, [&](bool left) {
    EXPECT_TRUE(left);
    return disk_.refused > 20;
  });
  EXPECT_EQ(disk_.Load("job")->secondary, "Uploading");
  EXPECT_THAT(ended_, ElementsAre());
  disk_.is_failing = false;
  TurnToTheEnd(supervisor);
  const JobState state = disk_.Load("job").value();
  EXPECT_EQ(state.status, "Completed") << state.failure_reason;
  EXPECT_TRUE(state.is_uploaded);
  EXPECT_FALSE(state.accounting.empty());
  EXPECT_EQ(buckets_.bucket().counters().Of(env::RequestKind::kPut), 2u);  // output and model, once each
  EXPECT_THAT(ended_, ElementsAre("job"));
}

TEST_F(SupervisorTest, ABrokenTableLosesNoJob) {
  WriteInstanceTypes(R"({"ml.own.box": {"cpus": 2}})");
  const std::string go = directory_.path() + "/go";
  Submit(Request("runs", "until [ -e '" + go + "' ]; do sleep 0.02; done\n"));
  {
    Supervisor supervisor(state_directory_, disk_, *this, {.cpus = 2});
    EXPECT_TRUE(supervisor.Turn().value());
    WriteInstanceTypes("{");
    Submit(Request("waits", "exit 0\n"));
    EXPECT_TRUE(supervisor.Turn().value());
    const JobState waits = disk_.Load("waits").value();
    EXPECT_EQ(waits.status, "InProgress") << waits.failure_reason;
    EXPECT_THAT(waits.transitions.back().message, testing::HasSubstr("instance-types.json"));
    ASSERT_TRUE(WriteFileAtomically(go, "", 0600, false));
    TurnUntil(supervisor, [&](bool) { return disk_.Load("runs")->IsTerminal(); });
    EXPECT_EQ(disk_.Load("runs")->status, "Completed");
  }
  // A job that another supervisor has placed.
  Submit(Request("placed", "exit 0\n"));
  ASSERT_TRUE(disk_.Append(JobKind::kTraining, "placed",
                           {"placed", WallTimeNs(), ToJson(Placement{.is_counted = true, .cpus = 2, .gpus = {{}}})}));
  Supervisor supervisor(state_directory_, disk_, *this, {.cpus = 2});
  TurnUntil(supervisor, [&](bool) { return disk_.Load("placed")->IsTerminal(); });
  const JobState placed = disk_.Load("placed").value();
  EXPECT_EQ(placed.status, "Completed") << placed.failure_reason;
  EXPECT_THAT(placed.warnings, testing::Contains(testing::HasSubstr("instance-types.json")));
  EXPECT_EQ(disk_.Load("waits")->status, "InProgress");
  WriteInstanceTypes("{}");
  TurnToTheEnd(supervisor);
  EXPECT_EQ(disk_.Load("waits")->status, "Completed");
}

TEST_F(SupervisorTest, HostsOfJobsThatRunAtOnceMeetAtPortsOfTheirOwn) {
  const std::string go = directory_.path() + "/go";
  for (const char* name : {"first", "second"}) {
    Json request = Request(
        name, "echo \"$MASTER_PORT\" > \"$SM_MODEL_DIR/../../port\"\nuntil [ -e '" + go + "' ]; do sleep 0.02; done\n");
    request["ResourceConfig"] = {{"InstanceType", "local"}, {"InstanceCount", 2}};
    Submit(request);
  }
  Supervisor supervisor(state_directory_, disk_, *this, {2, 0, std::nullopt});
  const auto seen = [&](const std::string& host) {
    return ReadFile(state_directory_ + "/jobs/" + host + "/port").value_or("");
  };
  const std::vector<std::string> hosts = {"first", "first/algo-2", "second", "second/algo-2"};
  TurnUntil(supervisor,
            [&](bool) { return std::ranges::none_of(hosts, [&](auto& host) { return seen(host).empty(); }); });
  EXPECT_THAT((std::vector{seen(hosts[0]), seen(hosts[1]), seen(hosts[2]), seen(hosts[3])}),
              ElementsAre("7777\n", "7777\n", "7778\n", "7778\n"));
  ASSERT_TRUE(WriteFileAtomically(go, "", 0600, false));
  TurnToTheEnd(supervisor);
}

TEST_F(SupervisorTest, GpusNamedByUuidAreTheJobsAlone) {
  WriteInstanceTypes(R"({"ml.own.box": {"cpus": 1, "gpus": 1}})");
  const std::string script = "echo \"$CUDA_VISIBLE_DEVICES\" > \"$SM_MODEL_DIR/../../gpu\"\n";
  visible_gpus_ = {{"by-uuid", "GPU-bb"}, {"mig", "MIG-7"}, {"none", ""}};
  const std::string go = directory_.path() + "/go";
  for (const char* name : {"by-uuid", "any", "mig", "none"})
    Submit(Request(name, script + "until [ -e '" + go + "' ]; do sleep 0.02; done\n"));
  Submit(Request("waits", "exit 0\n"));
  // The supervisor's own environment names one of them, which is nobody's wish.
  Supervisor supervisor(state_directory_, disk_, *this, {8, 2, "1", {"GPU-aaaa", "GPU-bbbb"}});
  const auto gpus = [&](const std::string& name) { return PlacementFrom(disk_.Load(name)->placement).gpus; };
  EXPECT_TRUE(supervisor.Turn().value());
  EXPECT_THAT(gpus("by-uuid"), ElementsAre(ElementsAre("1")));
  EXPECT_THAT(gpus("any"), ElementsAre(ElementsAre("0")));
  EXPECT_THAT(gpus("mig"), ElementsAre(ElementsAre("MIG-7")));
  EXPECT_THAT(gpus("none"), ElementsAre(ElementsAre()));
  EXPECT_TRUE(disk_.Load("waits")->placement.empty());
  const auto seen = [&](const std::string& name) {
    return ReadFile(state_directory_ + "/jobs/" + name + "/gpu").value_or("(none)");
  };
  TurnUntil(supervisor, [&](bool) { return seen("mig") == "MIG-7\n" && seen("by-uuid") == "1\n"; });
  ASSERT_TRUE(WriteFileAtomically(go, "", 0600, false));
  TurnToTheEnd(supervisor);
  EXPECT_EQ(disk_.Load("waits")->status, "Completed") << disk_.Load("waits")->failure_reason;
}

}  // namespace
}  // namespace leat::jobs
