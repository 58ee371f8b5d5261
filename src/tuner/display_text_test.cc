// SPDX-License-Identifier: Apache-2.0
#include "tuner/display_text.h"

#include <gtest/gtest.h>

namespace leat::tuner {
namespace {

TEST(DisplayText, LeavesNothingThatSteersATerminal) {
  EXPECT_EQ(DisplayText("plain"), "plain");
  EXPECT_EQ(DisplayText("a\x1b[2Jb\n"), "a\\x1b[2Jb\\x0a");
  EXPECT_EQ(DisplayText("a\u009b2Jb"), "a?2Jb");
  EXPECT_EQ(DisplayText("\u202eabc\u2066"), "?abc?");
  EXPECT_EQ(DisplayText("größe 学习"), "größe 学习");
}

TEST(DisplayColumns, CountsWhatIsSeen) {
  EXPECT_EQ(DisplayColumns(""), 0u);
  EXPECT_EQ(DisplayColumns("abc"), 3u);
  EXPECT_EQ(DisplayColumns("größe"), 5u);
  EXPECT_EQ(DisplayColumns("e\u0301"), 1u);
  EXPECT_EQ(DisplayColumns("学习率"), 6u);
  EXPECT_EQ(DisplayColumns("\U0001f600"), 2u);
  EXPECT_EQ(DisplayColumns("▁▂█…"), 4u);
}

TEST(CutToColumns, NeverTakesMore) {
  EXPECT_EQ(CutToColumns("abcdef", 6, "…"), "abcdef");
  EXPECT_EQ(CutToColumns("abcdef", 4, "…"), "abc…");
  EXPECT_EQ(CutToColumns("学习率", 5, "~"), "学习~");
  EXPECT_EQ(CutToColumns("学习率", 4, "~"), "学~");
  EXPECT_EQ(CutToColumns("学习率", 1, "~"), "~");
  EXPECT_EQ(CutToColumns("学习率", 0, "~"), "");
}

TEST(PadToColumns, FillsOnEitherSide) {
  EXPECT_EQ(PadToColumns("学", 4), "学  ");
  EXPECT_EQ(PadToColumns("学", 4, true), "  学");
  EXPECT_EQ(PadToColumns("abc", 2), "abc");
}

}  // namespace
}  // namespace leat::tuner
