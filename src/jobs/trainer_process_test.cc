// SPDX-License-Identifier: Apache-2.0
// Real processes: what a trainer leaves behind, and that it can be taken up by others.
#include "jobs/trainer_process.h"

#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "jobs/log_reader.h"

namespace leat::jobs {
namespace {

namespace fs = std::filesystem;

class TrainerProcessTest : public testing::Test {
 protected:
  TrainerProcessTest() { EXPECT_TRUE(mkdtemp(directory_)); }
  ~TrainerProcessTest() override { fs::remove_all(directory_); }

  TrainerCommand Command(const std::string& script) const {
    TrainerCommand command;
    command.arguments = {"sh", "-c", script};
    command.environment = {"PATH=/usr/bin:/bin"};
    return command;
  }
  std::unique_ptr<TrainerProcess> Start(const std::string& script) {
    auto started = TrainerProcess::Start(Command(script), directory_);
    EXPECT_TRUE(started) << started.error().message;
    return std::move(started).value();
  }
  static void WaitFor(const TrainerProcess& trainer) {
    pollfd ended{trainer.ended_fd(), POLLIN, 0};
    if (!trainer.HasEnded()) poll(&ended, 1, 60'000);
    ASSERT_TRUE(trainer.HasEnded());
  }
  std::string Log() {
    LogReader reader(directory_);
    std::string text;
    char buffer[4096];
    for (size_t got; (got = reader.Read(buffer, sizeof buffer).value()) > 0;) text.append(buffer, got);
    return text;
  }
  void WaitForLog(const std::string& text) {
    for (int i = 0; i < 6000 && Log().find(text) == std::string::npos; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_THAT(Log(), testing::HasSubstr(text));
  }
  pid_t ShimNumber() {
    const std::string text = ReadFile(std::string(directory_) + "/trainer").value();
    return static_cast<pid_t>(ParseUnsigned(Trim(text.substr(text.rfind(' ')))).value());
  }
  char directory_[32] = "/tmp/leat-trainer-XXXXXX";
};

TEST_F(TrainerProcessTest, LeavesItsLogAndItsExit) {
  const auto trainer = Start("echo one; echo two >&2; exit 7");
  WaitFor(*trainer);
  EXPECT_EQ(trainer->Exit()->code, 7);
  EXPECT_EQ(Log(), "one\ntwo\n");
  const auto adopted = TrainerProcess::Adopt(directory_);
  ASSERT_TRUE(adopted);
  EXPECT_TRUE((*adopted)->HasEnded());
  EXPECT_EQ((*adopted)->Exit()->code, 7);
}

TEST_F(TrainerProcessTest, NothingIsAdoptedWhereNothingWasStarted) {
  EXPECT_EQ(TrainerProcess::Adopt(directory_).error().code, ErrorCode::kNotFound);
  // The supervisor ended between making the file and starting the shim.
  ASSERT_TRUE(WriteFileAtomically(std::string(directory_) + "/trainer", "", 0600, false));
  EXPECT_EQ(TrainerProcess::Adopt(directory_).error().code, ErrorCode::kNotFound);
}

TEST_F(TrainerProcessTest, OutlivesWhoStartedItAndIsTakenUp) {
  const pid_t supervisor = fork();
  if (supervisor == 0) {
    (void)TrainerProcess::Start(Command("echo begun; until [ -e '" + std::string(directory_) +
                                        "/go' ]; do sleep 0.02; done; echo done; exit 3"),
                                directory_);
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(supervisor, &status, 0), supervisor);
  auto adopted = TrainerProcess::Adopt(directory_);
  ASSERT_TRUE(adopted) << adopted.error().message;
  EXPECT_FALSE((*adopted)->HasEnded());
  EXPECT_EQ(TrainerProcess::Start(Command("exit 0"), directory_).error().code, ErrorCode::kBusy);
  WaitForLog("begun");
  ASSERT_TRUE(WriteFileAtomically(std::string(directory_) + "/go", "", 0600, false));
  WaitFor(**adopted);
  EXPECT_EQ((*adopted)->Exit()->code, 3);
  EXPECT_EQ(Log(), "begun\ndone\n");
}

TEST_F(TrainerProcessTest, IsStoppedByWhoAdoptsIt) {
  const auto trainer = Start("trap 'echo told; exit 4' TERM; echo ready; while true; do sleep 0.02; done");
  WaitForLog("ready");
  const auto adopted = TrainerProcess::Adopt(directory_).value();
  adopted->Terminate();
  adopted->Terminate();  // one is passed on
  WaitFor(*adopted);
  EXPECT_EQ(adopted->Exit()->code, 4);
  EXPECT_EQ(Log(), "ready\ntold\n");
  EXPECT_EQ(trainer->Exit()->code, 4);
}

TEST_F(TrainerProcessTest, AShimThatIsKilledLeavesNoWordAndNoScript) {
  const auto trainer = Start("echo $$; while true; do sleep 0.02; done");
  WaitForLog("\n");
  const auto script = static_cast<pid_t>(ParseUnsigned(Trim(Log())).value());
  kill(ShimNumber(), SIGKILL);
  WaitFor(*trainer);
  EXPECT_EQ(trainer->Exit().error().code, ErrorCode::kNotFound);
  for (int i = 0; i < 6000 && kill(script, 0) == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_NE(kill(script, 0), 0);
  const auto adopted = TrainerProcess::Adopt(directory_).value();
  EXPECT_TRUE(adopted->HasEnded());
  EXPECT_EQ(adopted->Exit().error().code, ErrorCode::kNotFound);
}

// However early it comes: the shim is never without a word of how the script ended.
TEST_F(TrainerProcessTest, IsKilledAtItsVeryBeginning) {
  for (int i = 0; i < 50; ++i) {
    const auto trainer = Start("exec sleep 600");
    trainer->Kill();
    WaitFor(*trainer);
    const auto exit = trainer->Exit();
    ASSERT_TRUE(exit) << exit.error().message << " (" << i << ")";
    EXPECT_EQ(exit->code, 128 + SIGKILL);
  }
}

TEST_F(TrainerProcessTest, AProgramThatCannotStartTellsWhy) {
  TrainerCommand command = Command("exit 0");
  command.directory = "/none";
  const auto trainer = TrainerProcess::Start(command, directory_).value();
  WaitFor(*trainer);
  EXPECT_EQ(trainer->Exit()->exec_errno, ENOENT);
  command.arguments = {"no-such-program-anywhere"};
  EXPECT_EQ(TrainerProcess::Start(command, directory_).error().code, ErrorCode::kNotFound);
}

TEST_F(TrainerProcessTest, AFloodOfOutputIsBoundedOnTheDisk) {
  // 400 MiB with no reader: the first segment and the last ones stay, and the script is not held up.
  const auto trainer = Start("head -c 419430400 /dev/zero | tr '\\0' x; echo; echo end");
  WaitFor(*trainer);
  EXPECT_EQ(trainer->Exit()->code, 0);
  uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(directory_)) {
    if (entry.path().filename().string().rfind("log.", 0) == 0) bytes += entry.file_size();
  }
  EXPECT_LE(bytes, (kLogSegmentsKept + 2) * kLogSegmentBytes);
  LogReader reader(directory_);
  std::vector<char> buffer(1u << 20);
  uint64_t read = 0;
  std::string last;
  for (size_t got; (got = reader.Read(buffer.data(), buffer.size()).value()) > 0; read += got)
    last = std::string(buffer.data(), got);
  EXPECT_TRUE(last.ends_with("\nend\n"));
  const uint64_t skipped = reader.TakeSkipped();
  EXPECT_GT(skipped, 0u);
  EXPECT_EQ(read + skipped, 419430400u + 5);
}

TEST_F(TrainerProcessTest, AReaderThatHoldsBackMissesNothing) {
  const auto trainer = Start("head -c 400000000 /dev/zero; echo end");
  LogReader reader(directory_);
  ASSERT_TRUE(reader.HoldBack());
  std::vector<char> buffer(1u << 20);
  uint64_t read = 0;
  for (bool has_ended = false;;) {
    const size_t got = reader.Read(buffer.data(), buffer.size()).value();
    read += got;
    if (got > 0) continue;
    if (has_ended) break;
    has_ended = trainer->HasEnded();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(read, 400000004u);
  EXPECT_EQ(reader.TakeSkipped(), 0u);
}

}  // namespace
}  // namespace leat::jobs
