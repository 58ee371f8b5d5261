// SPDX-License-Identifier: Apache-2.0
#include "jobs/failure.h"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

namespace leat::jobs {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Failure, WhatTheScriptWroteComesFirst) {
  LogTail log;
  log.Add("Traceback");
  EXPECT_EQ(AlgorithmError(3, "out of luck", log), "AlgorithmError: out of luck, exit code: 3");
  const std::string longest = AlgorithmError(3, std::string(5000, 'x'), log);
  EXPECT_EQ(longest.size(), kFailureReasonMax);
  EXPECT_THAT(longest, EndsWith(", exit code: 3"));
}

TEST(Failure, ElseTheEndOfTheLog) {
  LogTail log;
  EXPECT_EQ(AlgorithmError(1, "", log), "AlgorithmError: , exit code: 1");
  for (int i = 0; i < 100; ++i) log.Add("line " + std::to_string(i));
  log.Add("  ");
  log.Add("ModuleNotFoundError: No module named 'torch'");
  const std::string reason = AlgorithmError(1, "", log);
  EXPECT_THAT(reason, StartsWith("AlgorithmError: line 81\nline 82\n"));
  EXPECT_THAT(reason, EndsWith("No module named 'torch', exit code: 1"));
  log.Add(std::string(400, 'a'));
  log.Add(std::string(400, 'b'));
  log.Add(std::string(400, 'c'));
  EXPECT_LE(AlgorithmError(1, "", log).size(), kFailureReasonMax);
  EXPECT_THAT(AlgorithmError(1, "", log), HasSubstr(std::string(400, 'b') + "\n" + std::string(400, 'c')));
  log.Add(std::string(9000, 'd'));
  EXPECT_EQ(AlgorithmError(1, "", log).size(), kFailureReasonMax);
}

TEST(Failure, ASignalIsNamed) {
  LogTail log;
  EXPECT_EQ(AlgorithmError(137, "", log),
            "AlgorithmError: killed by signal 9 (SIGKILL); perhaps out of memory, exit code: 137");
  log.Add("bang");
  EXPECT_EQ(AlgorithmError(139, "", log),
            "AlgorithmError: killed by signal 11 (SIGSEGV); the end of its log: bang, exit code: 139");
}

TEST(Failure, CountsCharacters) {
  std::string line;
  for (int i = 0; i < 1500; ++i) line += "\xe6\xbc\xa2";
  LogTail log;
  EXPECT_EQ(CharacterCount(AlgorithmError(3, line, log)), kFailureReasonMax);
  log.Add(line);
  EXPECT_EQ(CharacterCount(AlgorithmError(3, "", log)), kFailureReasonMax);
  char path[] = "/tmp/leat-failure-XXXXXX";
  close(mkstemp(path));
  ASSERT_TRUE(WriteFileAtomically(path, line, 0600, false));
  EXPECT_EQ(CharacterCount(AlgorithmError(3, ReadFailureFile(path), log)), kFailureReasonMax);
  unlink(path);
}

}  // namespace
}  // namespace leat::jobs
