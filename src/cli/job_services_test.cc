// SPDX-License-Identifier: Apache-2.0
// What jobs ask of file systems, against a daemon in this process with a real mount.
#include "cli/job_services.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "base/file.h"
#include "cli/daemon.h"

namespace leat::cli {
namespace {

using Json = nlohmann::json;

class DaemonFileSystemsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "/dev/fuse is not here or not permitted";
    char path[] = "/tmp/leat-services-XXXXXX";
    directory_ = mkdtemp(path);
    mask_ = umask(0);  // the daemon sets its own
    umask(mask_);
    ASSERT_TRUE(CreateDirectories(directory_ + "/data/one"));
    ASSERT_TRUE(CreateDirectories(directory_ + "/data/two"));
    std::ofstream(directory_ + "/data/one/file") << std::string(5000, 'x');
    std::ofstream(directory_ + "/data/two/file") << std::string(700, 'y');
    auto daemon = Daemon::Start({.state_directory = State(), .capacity_bytes = 64u << 20});
    ASSERT_TRUE(daemon) << daemon.error().message;
    daemon_ = std::move(*daemon);
  }
  void TearDown() override {
    daemon_.reset();
    umask(mask_);
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }
  std::string State() const { return directory_ + "/state"; }
  std::string Repository() const { return "file://" + directory_ + "/data"; }

  std::string directory_;
  mode_t mask_ = 0;
  std::unique_ptr<Daemon> daemon_;
};

// Ends when it is destroyed; reads a whole file each time it is asked to.
class ReaderProcess {
 public:
  ReaderProcess() {
    if (pipe(ask_) != 0 || pipe(answer_) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) Serve();
    close(ask_[0]);
    close(answer_[1]);
  }
  ~ReaderProcess() {
    close(ask_[1]);
    close(answer_[0]);
    waitpid(pid_, nullptr, 0);
  }
  int pid() const { return pid_; }
  // Bytes read.
  uint32_t Read(const std::string& path) {
    char name[512] = {};
    path.copy(name, sizeof name - 1);
    uint32_t bytes = 0;
    if (write(ask_[1], name, sizeof name) != sizeof name || read(answer_[0], &bytes, sizeof bytes) != sizeof bytes) {
      return 0;
    }
    return bytes;
  }

 private:
  [[noreturn]] void Serve() {
    close(ask_[1]);
    close(answer_[0]);
    static char name[512], piece[1 << 16];
    while (read(ask_[0], name, sizeof name) == sizeof name) {
      uint32_t bytes = 0;
      const int file = open(name, O_RDONLY);
      for (ssize_t got = 1; file >= 0 && got > 0; bytes += static_cast<uint32_t>(got)) {
        got = read(file, piece, sizeof piece);
        if (got < 0) break;
      }
      close(file);
      if (write(answer_[1], &bytes, sizeof bytes) != sizeof bytes) break;
    }
    _exit(0);
  }

  int ask_[2], answer_[2];
  int pid_ = 0;
};

TEST_F(DaemonFileSystemsTest, ReadsAreThoseOfTheOwnersWhoeverResolvedFirst) {
  ReaderProcess first, second;
  DaemonFileSystems file_systems(State(), CallerEnvironment);
  EXPECT_EQ(file_systems.ReadsOf(Repository()).error().code, ErrorCode::kNotFound);
  const auto resolved = file_systems.DirectoryOf(Repository(), "/");
  if (!resolved) GTEST_SKIP() << resolved.error().message;
  auto reads = file_systems.ReadsOf(Repository());
  ASSERT_TRUE(reads) << reads.error().message;
  EXPECT_EQ(reads->reads, 0u);
  EXPECT_EQ(reads->first_read_ns, 0);

  // The job's process is there only after its data.
  ASSERT_TRUE(file_systems.SetOwner(first.pid()));
  EXPECT_EQ(first.Read(*resolved + "/one/file"), 5000u);
  EXPECT_EQ(second.Read(*resolved + "/two/file"), 700u);
  reads = file_systems.ReadsOf(Repository());
  ASSERT_TRUE(reads) << reads.error().message;
  EXPECT_EQ(reads->reads, 1u);
  EXPECT_EQ(reads->bytes, 5000u);
  EXPECT_EQ(reads->bytes_cold, 5000u);
  EXPECT_GT(reads->wait_seconds, 0);
  EXPECT_GT(reads->stalled_seconds, 0);
  EXPECT_GT(reads->first_read_ns, 0);

  // Another resolver of the same job, as after a restart; the owner is set before it resolves anything.
  DaemonFileSystems again(State(), CallerEnvironment);
  ASSERT_TRUE(again.SetOwner(first.pid()));
  ASSERT_TRUE(again.DirectoryOf(Repository(), "/"));
  EXPECT_EQ(again.ReadsOf(Repository())->bytes, 5000u);

  ASSERT_TRUE(file_systems.SetOwners({second.pid(), first.pid(), second.pid()}));
  EXPECT_EQ(file_systems.ReadsOf(Repository())->bytes, 0u) << "another job";
  EXPECT_EQ(again.ReadsOf(Repository())->bytes, 5000u);
}

class RequestFileTest : public testing::Test {
 protected:
  RequestFileTest() {
    char path[] = "/tmp/leat-request-XXXXXX";
    directory_ = mkdtemp(path);
    path_ = directory_ + "/job.json";
  }
  ~RequestFileTest() override { std::filesystem::remove_all(directory_); }
  std::string directory_, path_;
};

TEST_F(RequestFileTest, WhatIsTooLongInARequestIsToldByItsName) {
  const Json request = {{"TrainingJobName", "job"}, {"HyperParameters", {{"weights", std::string(10u << 20, 'x')}}}};
  std::ofstream(path_) << request;
  const auto read = ReadRequest(path_);
  ASSERT_TRUE(read) << read.error().message;
  for (const auto& problem : CheckTrainingJob(*read).problems) {
    if (problem.path != "HyperParameters[\"weights\"]") continue;
    EXPECT_EQ(problem.value, "\"" + std::string(79, 'x') + "...");
    EXPECT_EQ(problem.rule, "must be text of at most 2500 characters (numbers are written in quotes)");
    return;
  }
  FAIL() << "nothing was told of it";
}

TEST_F(RequestFileTest, AFileThatIsNoRequestIsToldWithTheLimit) {
  std::ofstream(path_) << "{";
  std::filesystem::resize_file(path_, kRequestBytesMax + 1);
  const auto read = ReadRequest(path_);
  EXPECT_EQ(read.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(read.error().message.rfind(path_ + " is larger than 64.0 MiB, the most that a request may have", 0), 0u)
      << read.error().message;
  EXPECT_NE(read.error().message.find("sagemaker_submit_directory"), std::string::npos);
  EXPECT_EQ(ReadRequest(directory_ + "/none").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace leat::cli
