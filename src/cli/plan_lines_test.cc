// SPDX-License-Identifier: Apache-2.0
#include "cli/plan_lines.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

namespace leat::cli {
namespace {

// What PlanLines makes of a text that comes through a pipe.
std::vector<PlanLine> LinesOf(const std::string& text) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  std::thread writer([&] {
    EXPECT_TRUE(write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    close(ends[1]);
  });
  PlanLines lines{FileDescriptor(ends[0]), "plan"};
  std::vector<PlanLine> found;
  for (;;) {
    const auto line = lines.Next();
    EXPECT_TRUE(line);
    if (!line || !*line) break;
    found.push_back(**line);
  }
  writer.join();
  return found;
}

TEST(PlanLinesTest, APathALineAndEmptyLinesPassedOver) {
  const auto lines = LinesOf("a/b.jpg\n\n# no comment\n  two spaces \nlast");
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0].text, "a/b.jpg");
  EXPECT_EQ(lines[1].text, "# no comment");
  EXPECT_EQ(lines[1].number, 3u);
  EXPECT_EQ(lines[2].text, "  two spaces ");
  EXPECT_EQ(lines[3].text, "last");
  EXPECT_EQ(lines[3].number, 5u);
  EXPECT_TRUE(LinesOf("").empty());
  EXPECT_TRUE(LinesOf("\n\n").empty());
  EXPECT_EQ(LinesOf("a\n").size(), 1u);
}

TEST(PlanLinesTest, ManyLinesAndOnesThatAreTooLong) {
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += "directory/" + std::to_string(i) + "\n";
  text.append(PlanLines::kLineBytesMax, 'x').append("\n").append(200'000, 'y').append("\nz\n");
  const auto lines = LinesOf(text);
  ASSERT_EQ(lines.size(), 50'003u);
  for (size_t i = 0; i < 50'000; ++i) ASSERT_EQ(lines[i].text, "directory/" + std::to_string(i));
  EXPECT_FALSE(lines[50'000].too_long);
  EXPECT_TRUE(lines[50'001].too_long);
  EXPECT_EQ(lines[50'001].text.size(), PlanLines::kLineBytesMax);
  EXPECT_EQ(lines[50'002].text, "z");
  EXPECT_EQ(lines[50'002].number, 50'003u);
}

TEST(PlanLinesTest, PeekTakesNothing) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "\na\nb", 4), 4);
  close(ends[1]);
  PlanLines lines{FileDescriptor(ends[0]), "plan"};
  EXPECT_EQ((*lines.Peek())->text, "a");
  EXPECT_EQ((*lines.Peek())->text, "a");
  EXPECT_EQ((*lines.Next())->text, "a");
  EXPECT_EQ((*lines.Next())->text, "b");
  EXPECT_FALSE(lines.Peek()->has_value());
  EXPECT_FALSE(lines.Next()->has_value());
}

TEST(PlanLinesTest, AFileThatIsNotThereIsNamed) {
  const auto lines = PlanLines::Open("/no/such/plan");
  ASSERT_FALSE(lines);
  EXPECT_NE(lines.error().message.find("/no/such/plan"), std::string::npos);
}

TEST(PlanLinesTest, PathsAreRelativeToTheMountOrAbsoluteBelowIt) {
  // The user wrote /data, a symlink to where it is mounted.
  const auto roots = MountRoots("/mnt/data", "/data/train", "train");
  EXPECT_EQ(roots, (std::vector<std::string>{"/mnt/data", "/data"}));
  EXPECT_EQ(MountRoots("/mnt/data", "/mnt/data", ""), std::vector<std::string>{"/mnt/data"});
  EXPECT_EQ(MountRoots("/mnt/data", "/elsewhere/link", "a/b"), std::vector<std::string>{"/mnt/data"});
  const auto on_mount = [&](const std::string& text) { return PathOnMount({1, text, false}, roots); };
  EXPECT_EQ(on_mount("train/1").value(), "train/1");
  EXPECT_EQ(on_mount("././train/1").value(), "train/1");
  EXPECT_EQ(on_mount("/mnt/data/train/1").value(), "train/1");
  EXPECT_EQ(on_mount("/data/train/1").value(), "train/1");
  EXPECT_FALSE(on_mount("/mnt/database/1"));
  EXPECT_FALSE(on_mount("/mnt/data"));
  EXPECT_FALSE(PathOnMount({1, "x", true}, roots));
}

}  // namespace
}  // namespace leat::cli
